"""Our asyncio server and the reference server with the same application, and what a test looks at of both.

``tests/peers/parity_engine.mjs`` is the application's other half.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sioproto import CorsPolicy, Forbidden, Request, Response, SessionCookie
from sioproto_asyncio import Server
from sioproto_wire import PerMessageDeflate
from tests.bindings.raw import HANDSHAKE, Answer, Connection, Ended, Polling, WebSocket, WebSockets, head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from sioproto import Socket
    from tests.bindings.raw import Address

APP = "https://app.example"

OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "small": ({"maxHttpBufferSize": 100}, {"max_payload": 100}),
    # As fast as a busy machine still keeps up with.
    "fast": ({"pingInterval": 500, "pingTimeout": 1000}, {"ping_interval": 0.5, "ping_timeout": 1.0}),
    "hurried": ({"upgradeTimeout": 1000}, {"upgrade_timeout": 1.0}),
    "polling": ({"transports": ["polling"]}, {"transports": ("polling",)}),
    "no_upgrades": ({"allowUpgrades": False}, {"allow_upgrades": False}),
    "initial": ({"initialPacket": "hello"}, {"initial_packet": "hello"}),
    "no_slash": ({"addTrailingSlash": False}, {"add_trailing_slash": False}),
    "chat": ({"path": "/chat/"}, {"path": "/chat/"}),
    "cookie": ({"cookie": {"name": "sid", "maxAge": 60}}, {"cookie": SessionCookie(name="sid", max_age=60)}),
    "cors": (
        {"cors": {"origin": APP, "credentials": True}},
        {"cors": CorsPolicy(origins=(APP,), credentials=True)},
    ),
    "deflate": ({"perMessageDeflate": True}, {"per_message_deflate": PerMessageDeflate()}),
    "refusing": ({}, {}),
    "forbidding": ({}, {}),
    "failing": ({}, {}),
    "middleware": ({}, {}),
}
"""The options of the reference server and ours, by a name; some names stand for hooks instead."""

SHOWN = ("content-type", "cache-control", "set-cookie", "content-encoding", "x-mine")


@asynccontextmanager
async def serving(name: str) -> AsyncIterator[Target]:
    """Serves the application for the length of a block."""
    log: list[Any] = []

    def fallback(request: Request, body: bytes) -> Response:
        mine = request.target == "/log"
        text = json.dumps(log if mine else None)
        if mine:
            log.clear()
        return Response(200 if mine else 404, [("Content-Type", "application/json")], text.encode())

    options = dict(OPTIONS[name][1])
    if name in ("refusing", "forbidding"):

        def allow_request(request: Request) -> None:
            raise Forbidden(*(["members only"] if name == "refusing" else []))

        options["allow_request"] = allow_request
    io = Server(fallback=fallback, grace=0.05, on_error=lambda *_: None, **options)
    build(io, name, log)
    async with io.listening(port=0):
        yield Target(io.addresses[0])


def build(io: Server, name: str, log: list[Any]) -> None:
    """Registers what the reference server registers."""
    engine = io.engine
    if name == "failing":
        engine.use(lambda request, headers: 1 / 0)  # type: ignore[arg-type, return-value]
    if name == "middleware":
        engine.use(lambda request, headers: headers.append(("X-Mine", request.method)))
    engine.on("connection_error", lambda each: log.append(["refused", int(each.code), each.message, each.context]))
    for event in ("initial_headers", "headers"):

        def note(headers: Any, request: Request, event: str = event) -> None:
            log.append([event, request.method, request.query.get("transport")])

        engine.on(event, note)

    @io.use
    def watch(socket: Socket) -> None:
        conn = socket.conn
        conn.on("upgrading", lambda transport: log.append(["upgrading", transport.name]))
        conn.on("upgrade", lambda transport: log.append(["upgrade", transport.name]))
        conn.on("packet", lambda kind, data: log.append(["packet", *packet_of(kind, data)]))
        conn.on("heartbeat", lambda: log.append(["heartbeat"]))
        conn.on("close", lambda reason: log.append(["close", reason]))

    @io.on("say")
    def say(socket: Socket, *args: Any) -> None:
        for each in args:
            socket.emit("said", each)

    @io.on("last")
    def last(socket: Socket) -> None:
        socket.emit("said", "last")
        socket.conn.close()

    io.on("quiet", lambda socket, data: socket.compress(False).emit("said", data))
    io.on("close", lambda socket: socket.conn.close())
    io.on("discard", lambda socket: socket.conn.close(discard=True))
    io.on("leave", lambda socket: socket.disconnect(close=True))


def packet_of(kind: str, data: str | bytes) -> tuple[str, str]:
    """Returns a packet as the reference server tells it; what cannot be read is a packet of its own there."""
    if kind == "error":
        return "error", "parser error"
    return kind, data if isinstance(data, str) else data.decode("latin-1")


class Wire(Connection):
    """A connection that reads chunked bodies, too: the reference server sends some."""

    async def answer(self, method: str = "GET") -> Answer:
        lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        status = int(lines[0].split(" ")[1])
        body = b""
        if headers.get("transfer-encoding") == "chunked":
            while size := int(await self.until(b"\r\n"), 16):
                body += await self.exactly(size)
                await self.until(b"\r\n")
            await self.until(b"\r\n")
        elif method != "HEAD" and status != 101:
            body = await self.exactly(int(headers.get("content-length", "0")))
        return Answer(status, headers, body)


@dataclass
class Target:
    """One of the two servers."""

    address: Address
    connections: list[Connection] = field(default_factory=list)

    async def connect(self) -> Wire:
        """Returns a new connection."""
        connection = await Wire.open(self.address)
        assert isinstance(connection, Wire)
        self.connections.append(connection)
        return connection

    async def http(
        self, method: str, target: str, body: bytes | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """Sends a request on a connection of its own."""
        return await (await self.connect()).request(method, target, body, headers)

    async def get(self, query: str, *headers: tuple[str, str]) -> Answer:
        """Sends a GET to the engine."""
        return await self.http("GET", f"/socket.io/?{query}", None, headers)

    async def websocket(self, query: str, *headers: tuple[str, str]) -> tuple[Answer, WebSocket]:
        """Asks the engine for a WebSocket."""
        connection = await self.connect()
        answer = await connection.upgrade(f"/socket.io/?{query}", headers)
        return answer, WebSocket(connection)

    async def held(self, session: Polling) -> Wire:
        """Holds a poll of a session, and waits until the server has it: a request behind it is answered later."""
        connection = await self.connect()
        await connection.send(head("GET", session.target("polling")))
        assert (await self.http("GET", "/elsewhere")).status == 404
        return connection

    async def open(self, transport: str) -> Any:
        """Opens a session."""
        session = Session(self) if transport == "polling" else WebSockets(self.address)
        session.connections = self.connections
        await session.open()
        return session

    async def joined(self, transport: str) -> Any:
        """Opens a session that is in the main namespace; what that left in the log is dropped."""
        session = await self.open(transport)
        await session.join()
        await self.log()
        return session

    async def log(self) -> list[Any]:
        """Returns what was logged since the last time."""
        connection = await Wire.open(self.address)
        body = re.sub(rb'"sid": ?"[\w-]{20}"', b'"sid":"SID"', (await connection.request("GET", "/log")).body)
        await connection.close()
        return [without_nothing(entry) for entry in json.loads(body)]

    async def log_until_closed(self) -> list[Any]:
        """Returns what is logged until a session is closed, or a while has passed, but for answers to requests."""
        found: list[Any] = []
        for _ in range(2000):
            found += [entry for entry in await self.log() if entry[0] != "headers"]
            if found and found[-1][0] == "close":
                break
            await asyncio.sleep(0.01)
        return found

    async def hang_up(self) -> None:
        """Closes every connection."""
        for connection in self.connections:
            await connection.close()


class Session(Polling):
    """A polling session whose connections read chunked bodies."""

    def __init__(self, target: Target) -> None:
        super().__init__(target.address)
        self._owner = target

    async def connect(self) -> Connection:
        """Returns a new connection, which is closed with the target's others."""
        return await self._owner.connect()


def without_nothing(entry: list[Any]) -> list[Any]:
    """Returns an entry without what is None on our side and not there, or null, on the other."""
    return [
        {key: value for key, value in each.items() if value is not None} if isinstance(each, dict) else each
        for each in entry
    ]


def shape(answer: Answer) -> dict[str, Any]:
    """Returns what of an answer has to be the same."""
    shown = {name: value for name, value in answer.headers.items() if name in SHOWN or name.startswith("access-")}
    if "set-cookie" in shown:
        shown["set-cookie"] = re.sub(r"=[\w-]{20};", "=SID;", shown["set-cookie"])
    body = answer.body.decode("utf-8", "replace")
    return {"status": answer.status, "body": re.sub(r'"sid":"[\w-]{20}"', '"sid":"SID"', body), **shown}


async def heard(socket: WebSocket) -> list[str | bytes | int]:
    """Returns the messages of a WebSocket until it is over, and the code at its end."""
    found: list[str | bytes | int] = []
    try:
        while True:
            found.append(await socket.receive())
    except Ended as end:
        return [*found, end.code]


__all__ = ["APP", "HANDSHAKE", "OPTIONS", "Target", "heard", "serving", "shape"]
