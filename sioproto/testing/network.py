"""What lies between a client and its server, and all that can go wrong there.

Each client has one ``Network``, which every connection that it makes goes through. At first nothing is in the way:
whatever is sent arrives in the same moment. A test changes that, before or while things are under way.

The rule not to be broken: a network loses, delays and repeats, but it never changes the order within a connection.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, get_args

from sioproto.errors import LocalProtocolError
from sioproto.testing.checking import check_flag, check_one_of, check_seconds, check_whole, is_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.testing.chance import Chance
    from sioproto.testing.cores import ServerCore
    from sioproto.testing.pipe import Pipe
    from sioproto.testing.runtime import Party
    from sioproto.testing.transcript import Transcript
    from sioproto.testing.watch import Watch
    from sioproto.timers import Timer

Direction = Literal["up", "down"]
"""From the client to the server, or back."""

Method = Literal["GET", "POST"]

LARGEST_CHUNK = 1460
"""Of random chunks, in bytes: what fits into one packet of an Ethernet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proxy:
    """A reverse proxy on the way, which many servers stand behind."""

    timeout: float | None = 60.0
    """After so many seconds without an answer a request gets 504, and a WebSocket without traffic is cut."""
    buffers: bool = True
    """Whether a request is passed on only when all of it is there, and its response likewise."""
    websockets: bool = True
    """Whether WebSockets get through; otherwise the request for one gets 400."""

    def __post_init__(self) -> None:
        if self.timeout is not None and not (is_number(self.timeout) and self.timeout > 0):
            raise LocalProtocolError(f"a proxy's timeout is a number of seconds above 0 or None, not {self.timeout!r}")
        check_flag("buffers of a proxy", self.buffers)
        check_flag("websockets of a proxy", self.websockets)


class Destination(Protocol):
    """A server, as networks see it."""

    core: ServerCore
    listening: bool

    def shutdown(self) -> None:
        """Lets the connections go that wait for a request."""


class Connection(Protocol):
    """A connection of a client, as its network sees it."""

    up: Pipe
    down: Pipe

    def cut(self) -> None:
        """Both sides notice that the connection is gone; what was on its way is lost."""

    def half_close(self) -> None:
        """The server is told that the client sends no more."""


class Network:
    """The way from one client to its server. All of it may be changed at any time."""

    __slots__ = (
        "_chance", "_chunking", "_delayed", "_duplicated", "_find", "_fuse", "_latency", "_left", "_proxy", "_stalled",
        "address", "connections", "destination", "loop", "name", "refusing", "transcript", "warm", "watch",
    )  # fmt: skip

    def __init__(
        self,
        party: Party,
        address: str,
        destination: Destination,
        find: Callable[[object], Destination],
        transcript: Transcript,
        watch: Watch,
        chance: Chance,
    ) -> None:
        self.loop = party.loop
        self.name = party.name
        self.address = address
        """Where the client's requests come from."""
        self.destination = destination
        """Which server new connections lead to."""
        self.connections: dict[Connection, None] = {}
        self.transcript = transcript
        self.watch = watch
        self.warm = 0
        """Connections that the client keeps for its next requests, where they are not connections of the wire."""
        self.refusing = False
        """Whether new connections are refused."""
        self._find = find
        self._chance = chance
        self._latency = 0.0
        self._chunking: int | Literal["random"] | None = None
        self._proxy: Proxy | None = None
        self._stalled: dict[Direction, bool] = {"up": False, "down": False}
        self._left: int | None = None
        self._fuse: Timer | None = None
        self._duplicated: list[str] = []
        self._delayed: list[tuple[str, float]] = []

    # What a test changes

    @property
    def latency(self) -> float:
        """Seconds that everything takes one way; a new connection takes a round trip more."""
        return self._latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        check_seconds("a latency", seconds)
        if seconds != self._latency:
            self.transcript.note(self.name, f"latency {seconds:g}")
        self._latency = seconds
        self._refresh()

    @property
    def chunking(self) -> int | Literal["random"] | None:
        """How many bytes arrive at a time, or ``"random"``; None for as many as were sent. Messages stay whole."""
        return self._chunking

    @chunking.setter
    def chunking(self, size: int | Literal["random"] | None) -> None:
        if size != "random" and size is not None and (type(size) is not int or size <= 0):
            raise LocalProtocolError(f'chunking is a number of bytes above 0, "random" or None, not {size!r}')
        self._chunking = size

    @property
    def proxy(self) -> Proxy | None:
        """The proxy on the way, for connections from now on."""
        return self._proxy

    @proxy.setter
    def proxy(self, proxy: Proxy | None) -> None:
        if proxy is not None and not isinstance(proxy, Proxy):
            raise LocalProtocolError(f"a proxy is a Proxy(...) or None, not {proxy!r}")
        if proxy != self._proxy:
            self.transcript.note(self.name, f"on the way: {proxy or 'no proxy'}")
        self._proxy = proxy
        self._refresh()

    def lead(self, server: object) -> None:
        """Leads new connections to another server of this world. Those there are stay."""
        self.destination = self._find(server)

    def cut(self) -> None:
        """Cuts every connection there is: both sides notice at once, and what is on its way is lost.

        The client may connect anew; ``refuse`` first if it is not to.
        """
        self._left = None
        if self._fuse is not None:
            self._fuse.cancel()
            self._fuse = None
        self.warm = 0
        if self.connections:
            self.transcript.note(self.name, "the network is cut")
        for connection in list(self.connections):
            connection.cut()

    def cut_after(
        self,
        *,
        bytes: int | None = None,  # noqa: A002  # the unit is what a reader wants to know
        seconds: float | None = None,
    ) -> None:
        """Cuts every connection later: when so many more bytes went over them, in either direction, or so much time.

        The byte after the last one is lost and all that comes behind it. Messages count as many bytes as they have and
        are lost whole.
        """
        if (bytes is None) is (seconds is None):
            raise LocalProtocolError("say after how many bytes or after how many seconds, one of them")
        if bytes is not None:
            check_whole("what still gets through", " of bytes", bytes, 0)
            self._left = bytes
            self._refresh()
        elif seconds is not None:
            check_seconds("the time until a cut", seconds)
            if self._fuse is not None:
                self._fuse.cancel()
            self._fuse = self.loop.timers.after(seconds, self.cut)

    def stall(self, direction: Direction | None = None) -> None:
        """Lets nothing through any more, in one direction or in both, without anybody noticing."""
        self._set_stalled(direction, True)

    def flow(self, direction: Direction | None = None) -> None:
        """Ends a stall: what was held back arrives, and everything flows again."""
        self._set_stalled(direction, False)

    def half_close(self) -> None:
        """Tells the server on every connection that the client sends no more."""
        self.transcript.note(self.name, "the client's half of its connections is closed")
        for connection in list(self.connections):
            connection.half_close()

    def refuse(self) -> None:
        """Refuses new connections until ``restore``; those there are stay."""
        self.refusing = True

    def restore(self) -> None:
        """Ends refusals and stalls, and forgets what was to happen next. Latency, chunking and proxy stay."""
        self.refusing = False
        self._left = None
        if self._fuse is not None:
            self._fuse.cancel()
            self._fuse = None
        self._duplicated.clear()
        self._delayed.clear()
        self.flow()

    def duplicate_next(self, method: Method) -> None:
        """Lets the next request with this method arrive twice; the second answer is lost."""
        check_one_of("the method of a request", method, get_args(Method))
        self._duplicated.append(method)

    def delay_next(self, method: Method, seconds: float) -> None:
        """Lets the next request with this method arrive so many seconds later than others would."""
        check_one_of("the method of a request", method, get_args(Method))
        check_seconds("a delay", seconds)
        self._delayed.append((method, seconds))

    # For its connections

    def is_clear(self, up: bool) -> bool:
        """Whether nothing is in the way in that direction."""
        return not (self._latency or self._left is not None or self._proxy is not None) and not self.is_stalled(up)

    def is_stalled(self, up: bool) -> bool:
        """Whether nothing gets through in that direction."""
        return self._stalled["up" if up else "down"]

    def burn(self, size: int) -> int:
        """Returns how many of so many bytes get through before the cut that was ordered."""
        if self._left is None:
            return size
        allowed = min(size, self._left)
        self._left -= allowed
        return allowed

    def takes_duplicate(self, method: str) -> bool:
        """Returns whether a request with this method is to arrive twice; once for each order."""
        if method in self._duplicated:
            self._duplicated.remove(method)
            self.transcript.note(self.name, f"the {method} arrives twice")
            return True
        return False

    def takes_delay(self, method: str) -> float:
        """Returns how many seconds a request with this method is late; once for each order."""
        for row in self._delayed:
            if row[0] == method:
                self._delayed.remove(row)
                self.transcript.note(self.name, f"the {method} is late by {row[1]:g} s")
                return row[1]
        return 0.0

    @property
    def unmet(self) -> list[str]:
        """What was ordered of requests and did not happen, because none came."""
        return [f"a {method} of {self.name} to arrive twice" for method in self._duplicated] + [
            f"a {method} of {self.name} to be late by {seconds:g} s" for method, seconds in self._delayed
        ]

    def chunks(self, data: bytes) -> list[bytes]:
        """Returns bytes in the pieces in which they arrive."""
        size = self._chunking
        if size is None:
            return [data]
        if size == "random":
            pieces = []
            while data:
                count = 1 + self._chance.below(LARGEST_CHUNK)
                pieces.append(data[:count])
                data = data[count:]
            return pieces
        return [data[start : start + size] for start in range(0, len(data), size)]

    def _set_stalled(self, direction: Direction | None, stalled: bool) -> None:
        if direction is not None:
            check_one_of("a direction", direction, get_args(Direction))
        directions: tuple[Direction, ...] = ("up", "down") if direction is None else (direction,)
        changed = [each for each in directions if self._stalled[each] is not stalled]
        for each in changed:
            self._stalled[each] = stalled
        if changed:
            self.transcript.note(self.name, f"{' and '.join(changed)}: {'stalled' if stalled else 'flowing'}")
            self._refresh()

    def _refresh(self) -> None:
        for connection in list(self.connections):
            connection.up.refresh()
            connection.down.refresh()

    def __repr__(self) -> str:
        return f"<Network of {self.name}, {len(self.connections)} connections>"
