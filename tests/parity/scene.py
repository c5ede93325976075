"""A server and its clients on a clock that moves only when a test says so: no network, no event loop, no threads.

Clients speak whole Engine.IO messages: what they send and get is text as it stands on the wire (without the ``4`` of a
message) and ``bytes``. Coroutines of the application are stepped by hand until each waits for a ``Pending``.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import deque
from contextlib import nullcontext
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from sioproto import EngineConfig, Environment, LocalProtocolError, Request, SocketConfig
from sioproto.app import Server
from sioproto.engineio import Exchange, Link

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from sioproto import Namespace, Pending, Socket

START = 1000.0
WALL = 1_795_433_579.0
"""Mon Nov 23 2026 11:32:59 UTC, when the clock stands at ``START``."""


class HandRuntime:
    """The runtime port by hand."""

    inline = True
    guard = nullcontext()  # there is one thread, so every caller is in the right place

    def __init__(self) -> None:
        self.now = START
        self.failures: list[tuple[str, BaseException]] = []
        self._ids = 0
        self._ready: deque[Coroutine[Any, Any, None]] = deque()
        self.environment = Environment(
            clock=lambda: self.now,
            wall=lambda: WALL + self.now - START,
            ids=self._next_id,
            entropy=bytes,
            jitter=lambda: 0.5,
        )

    def wake(self, urgent: bool) -> None:
        """Output is taken after each step anyway."""

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        self._ready.append(run)

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        yield pending

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        raise LocalProtocolError("nobody can block here")

    def report(self, error: BaseException, where: str) -> None:
        self.failures.append((where, error))

    def step(self) -> bool:
        """Runs what is ready until all of it waits. Returns whether there was anything."""
        found = bool(self._ready)
        while self._ready:
            run = self._ready.popleft()
            try:
                pending: Pending[Any] = run.send(None)
            except StopIteration:
                continue
            pending.on_done(lambda _, run=run: self._ready.append(run))  # type: ignore[misc]  # a default is a capture
        return found

    def _next_id(self) -> str:
        self._ids += 1
        return f"id{self._ids:018d}"


class Scene:
    """A server, its runtime and its clients.

    Options go by name to ``EngineConfig``, ``SocketConfig`` or the server itself. A failure of user code that reached
    the runtime fails the test, unless ``tolerant`` is set: then it stands in ``failures``.
    """

    def __init__(self, *, tolerant: bool = False, **options: Any) -> None:
        engine = {field.name: options.pop(field.name) for field in fields(EngineConfig) if field.name in options}
        config = {field.name: options.pop(field.name) for field in fields(SocketConfig) if field.name in options}
        self.runtime = HandRuntime()
        self.tolerant = tolerant
        self.replies: list[Client] = []
        """Who has to answer a ping."""
        self.io = Server(self.runtime, engine_config=EngineConfig(**engine), config=SocketConfig(**config), **options)

        self.admin = self.io.of("/admin")
        """A second namespace, as any namespace that is there needs no handlers to be entered."""

    @property
    def failures(self) -> list[str]:
        """What user code raised, in words."""
        return [f"{where}: {error}" for where, error in self.runtime.failures]

    def open(self, transport: str = "websocket", query: str = "", **about: Any) -> Client:
        """Opens a session that is in no namespace yet."""
        return Client(self, transport, query, **about)

    def client(self, namespace: str = "/", auth: Any = None, transport: str = "websocket", **about: Any) -> Client:
        """Opens a session that is in a namespace."""
        client = Client(self, transport, **about)
        client.connect(namespace, auth)
        return client

    def settle(self) -> None:
        """Lets everything happen that happens without time going by."""
        busy = True
        while busy:
            carriers = self.io.take_dirty()
            for carrier in carriers:
                owner = carrier.owner
                assert isinstance(owner, Client)
                owner.serve(carrier)
            busy = self.runtime.step() or bool(carriers)
            replies, self.replies = self.replies, []
            for client in replies:
                client.deliver("3")
                busy = True
            deadline = self.io.next_deadline()
            if deadline is not None and deadline <= self.runtime.now:
                self.io.handle_timeout()
                busy = True
        if self.runtime.failures and not self.tolerant:
            raise self.runtime.failures[0][1]

    def advance(self, seconds: float) -> None:
        """Lets time go by, from deadline to deadline."""
        self.settle()
        end = self.runtime.now + seconds
        while (deadline := self.io.next_deadline()) is not None and deadline <= end:
            self.runtime.now = max(self.runtime.now, deadline)
            self.io.handle_timeout()
            self.settle()
        self.runtime.now = end
        self.settle()

    def wait(self, pending: Pending[Any]) -> Any:
        """Returns what is pending, which has to be settled without time going by."""
        self.settle()
        return pending.result()


class Client:
    """One session's peer. It answers pings unless ``pongs`` is false, and polls again unless ``polls`` is false."""

    def __init__(
        self,
        scene: Scene,
        transport: str = "websocket",
        query: str = "",
        *,
        headers: dict[str, str] | None = None,
        address: str = "10.0.0.7",
        secure: bool = False,
    ) -> None:
        self.scene = scene
        self.io = scene.io
        self.pongs = self.polls = True
        self.closed = False
        self.sid = ""
        self.ids: dict[str, str] = {}
        self.packets: list[str] = []
        """Engine.IO packets other than messages, as they came."""
        self.statuses: list[int] = []
        """Of the answers to what it posted."""
        self.refusal = 0
        """The status with which the handshake was refused."""
        self.link: Link | None = None
        self.poll: Exchange | None = None
        self._got: list[str | bytes] = []
        self._about: dict[str, Any] = {"address": address, "secure": secure}
        self._headers = list((headers or {}).items())
        self._url = f"/socket.io/?EIO=4&transport={transport}{query}"
        if transport == "websocket":
            self.link = self._request("GET", self._url, upgrade=True).link
        else:
            self.poll = self._request("GET", self._url)
        scene.settle()

    @property
    def socket(self) -> Socket:
        """The server's socket in the main namespace."""
        return self.at("/")

    def at(self, namespace: str) -> Socket:
        """The server's socket in a namespace."""
        return self.io.of(namespace).sockets[self.ids[namespace]]

    def take(self) -> list[str | bytes]:
        """Returns the messages that came, and forgets them."""
        self.scene.settle()
        got, self._got = self._got, []
        return got

    def connect(self, namespace: str = "/", auth: Any = None) -> str:
        """Enters a namespace and returns the id that it gets there. Nothing else may come meanwhile."""
        prefix = "" if namespace == "/" else namespace + ","
        self.send(f"0{prefix}{'' if auth is None else json.dumps(auth)}")
        reply, *rest = self.take()
        assert isinstance(reply, str)
        assert reply.startswith(f"0{prefix}{{"), reply
        self._got = rest
        self.ids[namespace] = json.loads(reply[1 + len(prefix) :])["sid"]
        return self.ids[namespace]

    def send(self, *messages: str | bytes) -> None:
        """Sends messages, which arrive together."""
        self.send_packets(*("4" + each if isinstance(each, str) else each for each in messages))

    def send_packets(self, *packets: str | bytes) -> None:
        """Sends Engine.IO packets, which arrive together."""
        self.deliver(*packets)
        self.scene.settle()

    def deliver(self, *packets: str | bytes) -> None:
        """Hands packets to the server and leaves it at that."""
        if self.link is not None:
            self.io.receive_messages(self.link, packets)
        else:
            body = "\x1e".join(
                each if isinstance(each, str) else "b" + b64encode(each).decode("ascii") for each in packets
            )
            exchange = self._request("POST", f"{self._url}&sid={self.sid}")
            if exchange.wants_body:
                self.io.receive_body(exchange, body.encode())

    def hold_poll(self) -> None:
        """Holds a GET."""
        self.poll = self._request("GET", f"{self._url}&sid={self.sid}")
        self.scene.settle()

    def probe(self) -> Link:
        """Attaches a WebSocket to a polling session."""
        url = self._url.replace("polling", "websocket")
        link = self._request("GET", f"{url}&sid={self.sid}", upgrade=True).link
        assert link is not None
        self.io.receive_messages(link, ["2probe"])
        self.scene.settle()
        return link

    def upgrade(self) -> None:
        """Moves a polling session to WebSocket, as stock clients do."""
        link = self.probe()
        self.polls = False
        self.scene.advance(0.1)
        assert self.poll is None, "the held poll was not released"
        self.io.receive_messages(link, ["5"])
        self.link = link
        self.scene.settle()

    def close(self, error: str | None = None) -> None:
        """Ends the transport: properly, or with an error."""
        if self.link is not None:
            self.io.receive_link_closed(self.link, 1006 if error else 1000, error)
        elif error is not None:
            assert self.poll is not None
            exchange, self.poll = self.poll, None
            self.io.receive_abort(exchange)
        else:
            self.send_packets("1")
        self.closed = True
        self.scene.settle()

    def block(self) -> None:
        """Takes no more bytes."""
        if self.link is not None:
            self.io.receive_blocked(self.link)
        self.polls = False

    def unblock(self) -> None:
        """Takes bytes again."""
        self.polls = True
        if self.link is not None:
            self.io.receive_unblocked(self.link)
        else:
            self.hold_poll()
        self.scene.settle()

    def serve(self, carrier: Exchange | Link) -> None:
        """Takes what the server has for this client."""
        if isinstance(carrier, Link):
            for frame in carrier.take():
                self._receive(frame.data)
            if carrier.closing and carrier is self.link and not self.closed:
                self.closed = True
                self.io.receive_link_closed(carrier, 1000)
            return
        response = carrier.response
        assert response is not None
        if carrier.request.method == "POST":
            self.statuses.append(response.status)
        elif response.status == 200:
            self.poll = None
            for piece in response.body.decode().split("\x1e"):
                self._receive(b64decode(piece[1:]) if piece.startswith("b") else piece)
            if self.polls and not self.closed:
                self.poll = self._request("GET", f"{self._url}&sid={self.sid}")
        elif response.status != 101:
            self.refusal = response.status
            self.closed = True

    def _receive(self, packet: str | bytes) -> None:
        if isinstance(packet, bytes):
            self._got.append(packet)
        elif packet.startswith("4"):
            self._got.append(packet[1:])
        else:
            self.packets.append(packet)
            if packet.startswith("0"):
                self.sid = json.loads(packet[1:])["sid"]
            elif packet == "1":
                self.closed = True
            elif packet == "2" and self.pongs:
                # Not at once: the rest of what came with it has to be read first.
                self.scene.replies.append(self)

    def _request(self, method: str, target: str, *, upgrade: bool = False) -> Exchange:
        request = Request(method, target, list(self._headers), upgrade=upgrade, **self._about)
        return self.io.receive_request(request, self)


def ids_of(namespace: Namespace | Server, *rooms: str) -> set[str]:
    """Returns the ids of the sockets in any of the rooms; of all, if there are none."""
    found = (namespace.to(*rooms) if rooms else namespace).fetch_sockets().result()
    return {socket.id for socket in found}
