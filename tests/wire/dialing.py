"""A scripted core in the client's role, and the lines that it dials: a test is the server at their other end."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha1
from itertools import count
from typing import TYPE_CHECKING, Any

from sioproto import Environment
from sioproto.config import EngineClientConfig
from sioproto.engineio import Fetch, Link, Origin, Request, Response
from sioproto.frame import Frame
from sioproto.timers import Timers
from sioproto_wire import ClientWire, ClientWireConfig
from tests.wire.conftest import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sioproto.errors import LocalProtocolError
    from sioproto_wire import ClientConnection

HOME = Origin("http", "example.org", 8080)

CUTS: dict[str, Callable[[bytes], Iterable[bytes]]] = {
    "whole": lambda data: [data],
    "single bytes": lambda data: [data[at : at + 1] for at in range(len(data))],
    "sevens": lambda data: [data[at : at + 7] for at in range(0, len(data), 7)],
}
"""How what one side sends reaches the other."""


class Chance:
    """Bytes that no two draws have in common, and that every test gets alike."""

    def __init__(self) -> None:
        self._numbers = count(0x10203040)

    def __call__(self, size: int) -> bytes:
        return b"".join(next(self._numbers).to_bytes(4, "big") for _ in range((size + 3) // 4))[:size]


class ScriptedClient:
    """Asks what a test says, and writes down what it was told."""

    def __init__(self, clock: Clock, origin: Origin = HOME, max_payload: int = 100_000) -> None:
        self.origin = origin
        self.engine_config = EngineClientConfig(max_payload=max_payload)
        self.timers = Timers(clock)
        self.environment = Environment(
            clock=clock, wall=lambda: 0.0, ids=lambda: "", entropy=Chance(), jitter=lambda: 0.5
        )
        self.log: list[tuple[Any, ...]] = []
        """What became of requests, by the number of the request, and what came over WebSockets."""
        self.responses: list[Response] = []
        self.fetches: list[Fetch] = []
        self.links: list[Link] = []
        self.wants_links = True
        """Whether a WebSocket that the server accepts is wanted."""
        self.meanwhile: Callable[[], object] | None = None
        """Is called while the core is told something, as user code may run then."""
        self._carriers: list[Fetch | Link] = []

    # What a test makes it do

    def ask(
        self,
        method: str = "GET",
        target: str = "/x",
        *headers: tuple[str, str],
        body: bytes = b"",
        upgrade: bool = False,
        subprotocols: tuple[str, ...] = (),
    ) -> Fetch:
        request = Request(method, target, [("host", "example.org:8080"), *headers], upgrade=upgrade)
        return self.put(Fetch(request, body, subprotocols))

    def put(self, fetch: Fetch) -> Fetch:
        self.fetches.append(fetch)
        self._carriers.append(fetch)
        return fetch

    def drop(self, fetch: Fetch) -> None:
        fetch.dropped = True
        self._carriers.append(fetch)

    def send(self, link: Link, *messages: str | bytes) -> list[Frame]:
        frames = [Frame(message) for message in messages]
        link.frames += frames
        self.mark(link)
        return frames

    def mark(self, link: Link) -> None:
        if not link.dirty:
            link.dirty = True
            self._carriers.append(link)

    # What a connection tells it

    def receive_response(self, fetch: Fetch, response: Response) -> None:
        self._end(fetch, ("response", self.fetches.index(fetch), response.status, response.body))
        self.responses.append(response)
        if response.status == 101 and self.wants_links:
            fetch.link = Link(None, fetch.owner)
            self.links.append(fetch.link)
        self._interrupt()

    def receive_failure(self, fetch: Fetch, error: str) -> None:
        self._end(fetch, ("failure", self.fetches.index(fetch), error))
        self._interrupt()

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        assert link in self.links
        self.log += [("message", message) for message in messages]
        self._interrupt()

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        self.links.remove(link)
        self.log.append(("closed", code, error))
        self._interrupt()

    def receive_blocked(self, link: Link) -> None:
        link.blocked = True

    def receive_unblocked(self, link: Link) -> None:
        link.blocked = False

    def take_dirty(self) -> list[Fetch | Link]:
        carriers, self._carriers = self._carriers, []
        return carriers

    def _end(self, fetch: Fetch, entry: tuple[Any, ...]) -> None:
        told = [each for each in self.log if each[0] in ("response", "failure") and each[1] == entry[1]]
        assert not told or fetch.dropped, "told twice"
        self.log.append(entry)

    def _interrupt(self) -> None:
        if self.meanwhile is not None:
            self.meanwhile()


class Line:
    """A transport that was dialed, and the server at its other end."""

    def __init__(self, bench: ClientBench, connection: ClientConnection) -> None:
        self.bench = bench
        self.connection = connection
        self.sent = b""
        """What the client sent."""
        self.closed = False
        self.aborted = False
        self.half_closed = False
        self._unread: list[bytes] = []
        self._ended = False

    def open(self) -> Line:
        """The transport is there."""
        self.connection.receive_open()
        return self._pump()

    def refuse(self, error: str = "connection refused") -> Line:
        """There is going to be no transport."""
        self.connection.receive_failure(error)
        return self._pump()

    def send(self, data: bytes, cut: str = "whole") -> Line:
        """The server sends bytes, cut into pieces, each of which is read as soon as the client wants to read."""
        self._unread += CUTS[cut](data)
        return self._pump()

    def end(self) -> Line:
        """The server sends no more."""
        self._ended = True
        return self._pump()

    def lose(self) -> Line:
        """The transport breaks."""
        self.closed = True
        self.connection.receive_lost()
        return self._pump()

    def block(self) -> Line:
        self.connection.receive_blocked()
        return self._pump()

    def unblock(self) -> Line:
        self.connection.receive_unblocked()
        return self._pump()

    def taken(self) -> bytes:
        """Returns what the client sent since the last call."""
        data, self.sent = self.sent, b""
        return data

    def _pump(self) -> Line:
        self.bench.flush()
        while self.connection.reading and not self.closed and (self._unread or self._ended):
            if self._unread:
                shared = bytearray(self._unread.pop(0))
                with memoryview(shared) as view:
                    self.connection.receive_data(view)
                shared[:] = b"\xff" * len(shared)
            else:
                self._ended = False
                self.connection.receive_eof()
            self.bench.flush()
        return self

    def serve(self) -> None:
        """Does what the connection has to do now, as a binding would."""
        connection = self.connection
        data = connection.take()
        if self.closed:
            assert not data, "bytes for a transport that is gone"
            return
        self.sent += data
        self.half_closed = self.half_closed or connection.half_closing
        if connection.closing:
            self.closed = True
            self.aborted = connection.aborted
            connection.receive_lost()


class ClientBench:
    """One client and its lines. With ``opens`` what it dials is there at once."""

    def __init__(self, config: ClientWireConfig | None = None, *, opens: bool = True, **options: Any) -> None:
        self.clock = Clock()
        self.errors: list[LocalProtocolError] = []
        self.core = ScriptedClient(self.clock, **options)
        self.wire = ClientWire(self.core, config, on_error=self.errors.append)
        self.lines: list[Line] = []
        self.opens = opens

    def flush(self) -> None:
        """Moves what the wire has to move, until it has nothing."""
        while connections := self.wire.take_dirty():
            assert len(set(connections)) == len(connections), "a connection is listed twice"
            for connection in connections:
                if connection.opening:
                    assert connection.owner is None, "dialed twice"
                    connection.owner = Line(self, connection)
                    self.lines.append(connection.owner)
                    if not self.opens:
                        assert connection.take() == b"", "bytes before there is a transport"
                    if self.opens:
                        connection.receive_open()
                elif connection.owner is not None:
                    connection.owner.serve()

    def ask(self, method: str = "GET", target: str = "/x", *headers: tuple[str, str], **options: Any) -> Line:
        """Has the client send a request, and returns the line on which it comes."""
        fetch = self.core.ask(method, target, *headers, **options)
        self.flush()
        return line_of(fetch)

    def dial(self, *, cut: str = "whole", more: bytes = b"", **options: Any) -> tuple[Line, Link]:
        """Opens a WebSocket; ``more`` comes right behind the server's 101."""
        line = self.ask(target="/ws", upgrade=True, **options)
        line.send(accept(line.taken()) + more, cut)
        return line, self.core.links[-1]

    def advance(self, seconds: float) -> None:
        """Lets time pass, from deadline to deadline."""
        timers, end = self.core.timers, self.clock.now + seconds
        while (deadline := timers.next_deadline()) is not None and deadline <= end:
            self.clock.now = max(deadline, self.clock.now)
            timers.fire(self.clock.now)
            self.flush()
        self.clock.now = end

    @property
    def log(self) -> list[tuple[Any, ...]]:
        """What the core was told."""
        return self.core.log

    def check_over(self) -> None:
        """Nothing is left: no connection, no deadline, no link."""
        assert self.wire.connections == {}
        assert self.wire.free == []
        assert self.core.links == []
        assert self.core.timers.next_deadline() is None


def line_of(fetch: Fetch) -> Line:
    """Returns the line on which a request travels."""
    line: Any = fetch.owner
    assert line is not None, "the request is on no connection"
    assert isinstance(line.owner, Line)
    return line.owner


def answer(status: int = 200, *fields: str, body: bytes | None = b"", version: str = "1.1") -> bytes:
    """Returns an answer; with a ``body`` of None, its head without a length."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    lines = [f"HTTP/{version} {status} Whatever", *length, *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    """Returns a body in chunks."""
    return b"".join(b"%x\r\n%b\r\n" % (len(each), each) for each in chunks) + b"0\r\n" + trailer + b"\r\n"


def fields_of(request: bytes) -> dict[str, str]:
    """Returns the header fields of a request."""
    head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
    return dict(line.split(": ", 1) for line in head.split("\r\n")[1:])


def accept(request: bytes, *fields: str, leave: str = "", instead: Mapping[str, str] | None = None) -> bytes:
    """Returns the 101 to a request for a WebSocket; ``leave`` names a field that is left out, ``instead`` others."""
    lines = {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": token(fields_of(request)["sec-websocket-key"]),
    }
    lines |= instead or {}
    kept = [f"{name}: {value}" for name, value in lines.items() if name != leave]
    return "\r\n".join(["HTTP/1.1 101 Whatever", *kept, *fields, "", ""]).encode("latin-1")


def token(key: str) -> str:
    """Returns what a server answers to a ``Sec-WebSocket-Key`` (RFC 6455, 4.2.2)."""
    both = key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    return b64encode(sha1(both, usedforsecurity=False).digest()).decode()
