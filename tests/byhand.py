"""A client core and, in the place of its server, the test, which says word by word what the client hears.

``Hand`` takes what the client has to send after everything that it does, and turns the clock. It answers nothing by
itself: ``open()`` lets a connection come up, ``accept()`` lets a namespace in, ``say()`` is whatever else a server
says. For honest servers and whole conversations there is ``sioproto.testing.World``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sioproto import Pending, Response
from sioproto.app import Client
from sioproto.config import ClientConfig, EngineClientConfig
from sioproto.engineio.fetch import Fetch
from sioproto.engineio.origin import Origin
from sioproto.socketio.client_events import (
    ClientConnected,
    ClientDisconnected,
    ConnectFailed,
    EventArrived,
    EventLost,
    Reconnection,
)
from sioproto.socketio.socket_client import SocketClient
from tests.virtual import Clock, Stepper, make_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.engineio import Link
    from sioproto.timers import Timers

E = TypeVar("E")

BUDGET = 10_000
"""Rounds after which a core that is never quiet counts as stuck."""

ORIGIN = Origin("http", "server.test", 80)


class ClientCore(Protocol):
    """The verbs that every floor of a client has."""

    @property
    def timers(self) -> Timers: ...
    def receive_response(self, fetch: Fetch, response: Response) -> None: ...
    def receive_failure(self, fetch: Fetch, error: str) -> None: ...
    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None: ...
    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None: ...
    def receive_blocked(self, link: Link) -> None: ...
    def receive_unblocked(self, link: Link) -> None: ...
    def take_dirty(self) -> list[Fetch | Link]: ...
    def next_deadline(self) -> float | None: ...
    def handle_timeout(self) -> None: ...


C = TypeVar("C", bound=ClientCore)


class Hand(Generic[C]):
    """Drives a client core. ``fetches`` are the requests that have no answer yet, the dropped ones left out."""

    def __init__(self, core: C, clock: Clock, wakes: list[bool]) -> None:
        self.core = core
        self.clock = clock
        self.wakes = wakes
        self.fetches: list[Fetch] = []
        self.sent: list[str | bytes] = []
        """What came over WebSockets, but for pongs."""
        self.links: list[Link] = []
        """The WebSockets that were accepted, in order."""
        self.closed: list[Link] = []
        """Those that the client closed."""
        self._seen = 0

    @property
    def link(self) -> Link:
        """The newest WebSocket."""
        return self.links[-1]

    def settle(self) -> None:
        """Goes on until nothing is left to do. It takes only when it was woken, as a binding does."""
        for _ in range(BUDGET):
            busy = self.turn()
            if self.wakes:
                self.wakes.clear()
                busy = True
                for carrier in self.core.take_dirty():
                    self._take(carrier)
            if not busy:
                return
        raise AssertionError("the core is never quiet")

    def turn(self) -> bool:
        """Does what stands above the core; returns whether there was anything to do."""
        return False

    # The server's part

    def open(self, *, interval: int = 25000, timeout: int = 20000, sid: str = "session") -> None:
        """Lets the WebSocket that is asked for come up, and says the handshake."""
        (fetch,) = self.fetches
        assert fetch.request.upgrade
        self.fetches.clear()
        self.core.receive_response(fetch, Response(101, [], b""))
        assert fetch.link is not None
        self.links.append(fetch.link)
        handshake = {"sid": sid, "upgrades": [], "pingInterval": interval, "pingTimeout": timeout}
        self.say("0" + json.dumps(handshake))

    def fail(self, error: str = "no route") -> None:
        """Lets what is asked for come to nothing."""
        (fetch,) = self.fetches
        self.fetches.clear()
        self.core.receive_failure(fetch, error)
        self.settle()

    def say(self, *messages: str | bytes) -> None:
        """Says packets over the newest WebSocket."""
        self.core.receive_messages(self.link, messages)
        self.settle()

    def accept(self, sid: str = "one", namespace: str = "/", **fields: Any) -> None:
        """Lets a namespace in."""
        self.say(f"40{'' if namespace == '/' else namespace + ','}" + json.dumps({"sid": sid, **fields}))

    def emit(self, *args: Any, ack_id: int | str = "", namespace: str = "/") -> None:
        """Emits an event."""
        self.say(f"42{'' if namespace == '/' else namespace + ','}{ack_id}" + json.dumps(args))

    def lose(self, error: str | None = None) -> None:
        """The connection is gone."""
        self.core.receive_link_closed(self.link, None if error else 1005, error)
        self.settle()

    def block(self) -> None:
        """The WebSocket takes no more."""
        self.core.receive_blocked(self.link)

    def unblock(self) -> None:
        """The WebSocket takes data again."""
        self.core.receive_unblocked(self.link)
        self.settle()

    def take(self) -> list[str | bytes]:
        """Returns what the client sent since the last call, pongs left out."""
        self.settle()
        fresh, self._seen = self.sent[self._seen :], len(self.sent)
        return fresh

    # Time

    def advance(self, seconds: float) -> None:
        """Lets time pass, from deadline to deadline."""
        self.settle()
        end = self.clock.now + seconds
        for _ in range(BUDGET):
            deadline = self.core.next_deadline()
            if deadline is None or deadline > end:
                self.clock.now = end
                return
            self.clock.now = max(self.clock.now, deadline)
            self.core.handle_timeout()
            self.wakes.append(False)
            self.settle()
        raise AssertionError("deadlines without end")

    def jump(self, seconds: float) -> None:
        """Moves the clock and lets nobody notice."""
        self.clock.now += seconds

    @property
    def armed(self) -> int:
        """How many timers live."""
        return sum(number for _, number, _ in self.core.timers.explain())

    def _take(self, carrier: Fetch | Link) -> None:
        if isinstance(carrier, Fetch):
            if carrier.dropped:
                if carrier in self.fetches:
                    self.fetches.remove(carrier)
            else:
                self.fetches.append(carrier)
            return
        self.sent += [frame.data for frame in carrier.take() if frame.data != "3"]
        if carrier.closing and carrier not in self.closed:
            self.closed.append(carrier)


class SocketHand(Hand[SocketClient]):
    """Drives a ``SocketClient``; ``log`` is what it told."""

    def __init__(self, core: SocketClient, clock: Clock, wakes: list[bool]) -> None:
        super().__init__(core, clock, wakes)
        self.log: list[Any] = []

    def turn(self) -> bool:
        events = self.core.events()
        self.log += events
        return bool(events)

    def told(self, kind: type[E]) -> list[E]:
        """Returns the events of one kind, so far."""
        return [event for event in self.log if isinstance(event, kind)]

    def story(self) -> list[str]:
        """Returns what was told since the last call, in a word or two each."""
        self.settle()
        story = [tell(event) for event in self.log]
        self.log.clear()
        return story

    def join(self, namespace: str = "/", sid: str = "one", auth: Any = None) -> Any:
        """Connects a namespace and returns its socket; what was said so far is forgotten."""
        socket = self.core.of(namespace, auth)
        socket.connect()
        self.settle()
        if self.fetches:
            self.open()
        self.accept(sid, namespace)
        assert socket.connected
        self.take()
        self.story()
        return socket


def tell(event: Any) -> str:
    """Returns an event as a person would tell it."""
    match event:
        case ClientConnected(socket, _):
            return f"{socket.name} connected"
        case ClientDisconnected(socket, reason, description):
            return f"{socket.name} disconnected: {reason}" + (f" ({description})" if description else "")
        case ConnectFailed(socket, error):
            return f"{socket.name} failed: {error.message}"
        case EventArrived(socket, args):
            return f"{socket.name} got {' '.join(map(str, args))}"
        case EventLost(socket, name):
            return f"{socket.name} lost {name}"
        case Reconnection(socket, stage, args):
            return " ".join([socket.name, stage, *map(str, args)])
    return type(event).__name__


class AppHand(Hand[Client]):
    """Drives a ``Client`` and its handlers."""

    def __init__(self, core: Client, runtime: Stepper, clock: Clock) -> None:
        super().__init__(core, clock, runtime.wakes)
        self.runtime = runtime

    def turn(self) -> bool:
        return self.runtime.step()

    def gate(self) -> Pending[Any]:
        """Returns something that a handler can wait for until the test opens it."""
        return Pending(self.runtime)

    def unlock(self, gate: Pending[Any], value: Any = None) -> None:
        """Opens a gate and lets whoever waited go on."""
        assert gate.resolve(value)
        self.settle()

    def join(self, sid: str = "one") -> None:
        """Connects the main socket."""
        self.core.connect()
        self.settle()
        self.open()
        self.accept(sid, self.core.socket.name)
        assert self.core.connected
        self.take()

    @property
    def failures(self) -> list[str]:
        """What was reported and not taken by an ``on_error`` hook: the kind of error, and where."""
        return [f"{type(error).__name__}: {where}" for error, where in self.runtime.reports]


def hand_sockets(**options: Any) -> SocketHand:
    """Returns a hand over a ``SocketClient`` that knows WebSocket only; the options of both floors by name."""
    clock = Clock()
    wakes: list[bool] = []
    engine_config, config = make_configs(options)
    core = SocketClient(ORIGIN, engine_config, config, make_environment(clock), wake=wakes.append)
    return SocketHand(core, clock, wakes)


def hand_app(
    url: str = "http://server.test/", *, inline: bool = True, hooks: dict[str, Any] | None = None, **options: Any
) -> AppHand:
    """Returns a hand over a ``Client`` that knows WebSocket only: ``hooks`` for its own arguments."""
    clock = Clock()
    runtime = Stepper(make_environment(clock), inline=inline)
    engine_config, config = make_configs(options)
    client = Client(runtime, url, engine_config=engine_config, config=config, **(hooks or {}))
    return AppHand(client, runtime, clock)


def make_configs(options: dict[str, Any]) -> tuple[EngineClientConfig, ClientConfig]:
    """Distributes options over the configs of both floors."""
    ours = {name: value for name, value in options.items() if name in ClientConfig.__dataclass_fields__}
    rest = {"transports": ("websocket",), **{name: value for name, value in options.items() if name not in ours}}
    return EngineClientConfig(**rest), ClientConfig(**ours)


def error_of(pending: Pending[Any]) -> BaseException | None:
    """Returns what a settled result raises, or None for a value."""
    assert pending.done
    try:
        pending.result()
    except Exception as error:
        return error
    return None
