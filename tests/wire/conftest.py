"""A scripted core, and a peer that moves bytes and virtual time between it and one connection, as a binding would."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sioproto.config import EngineConfig
from sioproto.engineio.link import Link
from sioproto.engineio.request import Exchange, Request, Response
from sioproto.frame import Frame
from sioproto.timers import Timers
from sioproto_wire import ServerWire, WireConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sioproto.errors import LocalProtocolError
    from sioproto_wire import Connection, Core

PLAIN = [("Content-Type", "text/plain")]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class FakeCore:
    """Answers by the path of a request, and writes down what it was told.

    ``/now`` is answered at once, ``/held`` and ``/ws-held`` never by itself, ``/post`` with its body; ``/later`` wants
    a body but answers nothing; ``/foreign`` is somebody else's, ``/ws`` becomes a WebSocket, ``/refused`` is forbidden;
    ``/bad`` has a header that cannot be sent, ``/big`` a long body and ``/empty`` none.
    """

    def __init__(self, clock: Clock, max_payload: int = 100_000) -> None:
        self.engine_config = EngineConfig(max_payload=max_payload)
        self.timers = Timers(clock)
        self.log: list[tuple[Any, ...]] = []
        self.requests: list[Request] = []
        self.held: list[Exchange] = []
        self.links: list[Link] = []
        self.headers: list[tuple[str, str]] = []
        self.meanwhile: Callable[[], object] | None = None
        """Is called while the core is told something, as user code may run then."""
        self._carriers: list[Exchange | Link] = []

    def receive_request(self, request: Request, owner: object) -> Exchange:
        exchange = Exchange(request, owner)
        self.requests.append(request)
        self.log.append(("request", request.method, request.target, request.upgrade))
        path = request.target.partition("?")[0]
        if path in ("/ws", "/ws-bad"):
            self.accept(exchange)
        elif path == "/refused":
            self.answer(exchange, Response(403, [("Content-Type", "application/json")], b'{"code":4}'))
        elif path == "/bad":
            self.answer(exchange, Response(200, [("X-Bad", "a\r\nSet-Cookie: b=c")], b"never"))
        elif path == "/big":
            self.answer(exchange, Response(200, PLAIN, b"x" * 50_000))
        elif path == "/empty":
            self.answer(exchange, Response(204, list(self.headers)))
        elif path in ("/post", "/later"):
            exchange.wants_body = True
        elif path == "/foreign":
            exchange.foreign = exchange.wants_body = True
        elif path in ("/held", "/ws-held"):
            self.held.append(exchange)
        else:
            self.answer(exchange, Response(200, PLAIN + self.headers, b"now"))
        self._interrupt()
        return exchange

    def receive_body(self, exchange: Exchange, body: bytes) -> None:
        assert type(body) is bytes
        self.log.append(("body", body))
        exchange.wants_body = False
        if exchange.request.target == "/later":
            self.held.append(exchange)
        else:
            self.answer(exchange, Response(200, PLAIN, b"got " + body))
        self._interrupt()

    def receive_oversize(self, exchange: Exchange) -> None:
        self.log.append(("oversize",))
        self.answer(exchange, Response(413))
        self._interrupt()

    def receive_abort(self, exchange: Exchange) -> None:
        assert exchange.response is None
        self.log.append(("abort", exchange.request.target))
        exchange.response = Response(499)

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        assert link in self.links
        self.log += [("message", message) for message in messages]
        self._interrupt()

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        self.links.remove(link)
        self.log.append(("closed", code, error))

    def receive_blocked(self, link: Link) -> None:
        link.blocked = True

    def receive_unblocked(self, link: Link) -> None:
        link.blocked = False

    def take_dirty(self) -> list[Exchange | Link]:
        carriers, self._carriers = self._carriers, []
        if carriers:
            self._interrupt()
        return carriers

    def next_deadline(self) -> float | None:
        return self.timers.next_deadline()

    def handle_timeout(self) -> None:
        self.timers.fire(self.timers.clock())

    # What a test makes it do

    def answer(self, exchange: Exchange, response: Response) -> None:
        if exchange.response is None:
            exchange.response = response
            exchange.wants_body = False
            self._carriers.append(exchange)

    def accept(self, exchange: Exchange, headers: Iterable[tuple[str, str]] = ()) -> Link:
        link = exchange.link = Link(None, exchange.owner)
        self.links.append(link)
        headers = [("X-Bad", "\n")] if exchange.request.target == "/ws-bad" else list(headers)
        self.answer(exchange, Response(101, headers))
        self.send(link, "0{}")
        return link

    def send(self, link: Link, *messages: str | bytes) -> None:
        link.frames += [Frame(message) for message in messages]
        self.mark(link)

    def _interrupt(self) -> None:
        if self.meanwhile is not None:
            self.meanwhile()

    def mark(self, link: Link) -> None:
        if not link.dirty:
            link.dirty = True
            self._carriers.append(link)


@dataclass
class Answer:
    """One response, read apart."""

    status: int
    headers: dict[str, str]
    body: bytes


class Peer:
    """The other end of one connection, and the binding between: it reads, writes and closes as it is told."""

    def __init__(self, wire: ServerWire, core: Core, clock: Clock, *, address: str = "192.0.2.1") -> None:
        self.wire = wire
        self.core: Any = core
        """The core: a scripted one, unless a test says otherwise."""
        self.clock = clock
        self.connection: Connection = wire.connect(address=address, secure=False, owner=self)
        self.sent = b""
        """What came out."""
        self.closed = False
        self.aborted = False
        self._unread: list[bytes] = []
        self._ended = False

    def send(self, data: bytes, cut: Callable[[bytes], Iterable[bytes]] | None = None) -> Peer:
        """Sends bytes, cut into pieces, each of which is read as soon as the connection wants to read."""
        self._unread += [data] if cut is None else cut(data)
        return self.pump()

    def end(self) -> Peer:
        """Closes the sending half."""
        self._ended = True
        return self.pump()

    def lose(self) -> Peer:
        """Breaks the connection."""
        self.closed = True
        self.connection.receive_lost()
        return self.pump()

    def pump(self) -> Peer:
        """Moves bytes until nothing moves any more."""
        self.flush()
        while self.connection.reading and not self.closed and (self._unread or self._ended):
            if self._unread:
                shared = bytearray(self._unread.pop(0))
                with memoryview(shared) as view:
                    self.connection.receive_data(view)
                shared[:] = b"\xff" * len(shared)
            else:
                self._ended = False
                self.connection.receive_eof()
            self.flush()
        return self

    def flush(self) -> None:
        """Sends what is to be sent, once."""
        for connection in self.wire.take_dirty():
            peer: Peer = connection.owner
            peer.sent += connection.take()
            if connection.closing and not peer.closed:
                peer.closed = True
                peer.aborted = connection.aborted
                connection.receive_lost()

    def advance(self, seconds: float) -> Peer:
        """Lets time pass, from deadline to deadline."""
        end = self.clock.now + seconds
        while (deadline := self.core.next_deadline()) is not None and deadline <= end:
            self.clock.now = max(deadline, self.clock.now)
            self.core.handle_timeout()
            self.pump()
        self.clock.now = end
        return self.pump()

    @property
    def answers(self) -> list[Answer]:
        """The responses that came out, up to a 101."""
        return read_answers(self.sent)[0]

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers]

    @property
    def frames(self) -> bytes:
        """What came out after the 101."""
        return read_answers(self.sent)[1]


def read_answers(data: bytes) -> tuple[list[Answer], bytes]:
    """Reads responses to GET and POST apart, up to a 101; returns the bytes behind, too."""
    answers = []
    while data:
        head, mark, data = data.partition(b"\r\n\r\n")
        assert mark, head
        line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = line.split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {}
        for text in lines:
            name, value = text.split(": ", 1)
            assert name.lower() not in headers
            headers[name.lower()] = value
        size = int(headers.get("content-length", "0"))
        assert len(data) >= size, "the response is not whole"
        answers.append(Answer(int(status), headers, data[:size]))
        data = data[size:]
        if int(status) == 101:
            break
    return answers, data


class Bench:
    """Makes peers of one server."""

    def __init__(self, config: WireConfig | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.errors: list[LocalProtocolError] = []
        self.core = FakeCore(self.clock, **options)
        self.wire = ServerWire(self.core, config, on_error=self.errors.append)

    def peer(self) -> Peer:
        return Peer(self.wire, self.core, self.clock)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def peer(bench: Bench) -> Peer:
    return bench.peer()
