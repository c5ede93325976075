"""Clients that say exactly what a test tells them to: HTTP, WebSocket frames and Engine.IO packets, written by hand.

They share no code with the library, so that a mistake cannot be made on both sides at once. All reading raises
``Ended`` when the server has closed, in whichever way; nothing here has a time limit, the test as a whole has one.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable, Sequence

SEPARATOR = "\x1e"
KEY = base64.b64encode(bytes(range(16))).decode()
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
HANDSHAKE = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
)

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

Address = tuple[str, int] | str
"""Host and port, or the path of a Unix socket."""


class Ended(Exception):
    """The server closed: with a close frame that has ``code`` (1005: an empty one), or without one (1006)."""

    def __init__(self, code: int = 1006) -> None:
        super().__init__(code)
        self.code = code


@dataclass(slots=True)
class Answer:
    """An HTTP response, its header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""

    @property
    def packets(self) -> list[str]:
        """The packets of a polling payload."""
        return self.body.decode().split(SEPARATOR)

    @property
    def error(self) -> tuple[int, dict[str, Any]]:
        """The status and the parsed body of a refusal."""
        return self.status, json.loads(self.body)


def head(method: str, target: str, headers: Iterable[tuple[str, str]] = (), length: int | None = None) -> bytes:
    """Returns the head of a request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in headers)]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def frame(opcode: int, payload: bytes, *, final: bool = True, masked: bool = True, reserved: int = 0) -> bytes:
    """Returns one WebSocket frame as a client sends it."""
    size = len(payload)
    first = bytes([opcode | reserved << 4 | final << 7])
    mask_bit = masked << 7
    if size < 126:
        length = bytes([mask_bit | size])
    elif size < 65536:
        length = struct.pack(">BH", mask_bit | 126, size)
    else:
        length = struct.pack(">BQ", mask_bit | 127, size)
    if not masked:
        return first + length + payload
    key = os.urandom(4)
    repeated = key * (size // 4 + 1)
    number = int.from_bytes(payload, "big") ^ int.from_bytes(repeated[:size], "big")
    return first + length + key + number.to_bytes(size, "big")


class Connection:
    """One connection to the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.last = False
        """Whether the server said that it closes."""

    @classmethod
    async def open(cls, address: Address, tls: ssl.SSLContext | None = None) -> Connection:
        """Connects."""
        if isinstance(address, str):
            return cls(*await asyncio.open_unix_connection(address))
        name = "localhost" if tls else None
        return cls(*await asyncio.open_connection(*address, ssl=tls, server_hostname=name, limit=2**24))

    async def send(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(data)
        try:
            await self.writer.drain()
        except ConnectionError:
            raise Ended from None

    async def request(
        self, method: str, target: str, body: bytes | None = None, headers: Iterable[tuple[str, str]] = ()
    ) -> Answer:
        """Sends a request and returns its answer."""
        await self.send(head(method, target, headers, None if body is None else len(body)) + (body or b""))
        return await self.answer(method)

    async def answer(self, method: str = "GET") -> Answer:
        """Reads the next response."""
        lines = (await self.until(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:-2])
        headers = {name.lower(): value for name, value in fields.items()}
        self.last = headers.get("connection", "") == "close"
        size = 0 if method == "HEAD" else int(headers.get("content-length", "0"))
        return Answer(int(lines[0].split(" ")[1]), headers, await self.exactly(size))

    async def upgrade(self, target: str, headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """Asks for a WebSocket; status 101 says that it begins."""
        await self.send(head("GET", target, [*HANDSHAKE, *headers]))
        answer = await self.answer()
        if answer.status == 101:
            assert answer.headers["sec-websocket-accept"] == ACCEPT
        return answer

    async def until(self, end: bytes) -> bytes:
        """Reads up to and including ``end``."""
        try:
            return await self.reader.readuntil(end)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Ended from None

    async def exactly(self, size: int) -> bytes:
        """Reads that many bytes."""
        try:
            return await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Ended from None

    async def rest(self) -> bytes:
        """Reads whatever comes until the server closes."""
        data = bytearray()
        try:
            while more := await self.reader.read(65536):
                data += more
        except ConnectionError:
            pass
        return bytes(data)

    def stop_reading(self) -> None:
        """Takes nothing more from the network, as soon as a small buffer is full."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]  # streams have reading transports

    def resume_reading(self) -> None:
        """Reads on."""
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]  # streams have reading transports

    def half_close(self) -> None:
        """Says that nothing more is sent, and goes on reading."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Drops the connection with a reset, as a machine that crashed and came back does."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def close(self) -> None:
        """Closes, if that has not happened yet."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (OSError, EOFError):
            pass


class WebSocket:
    """The client's end of a WebSocket: whole messages, or frames as a test wants them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def send(self, *messages: str | bytes) -> None:
        """Sends messages, each in one frame, all in one piece."""
        await self.connection.send(
            b"".join(frame(TEXT, each.encode()) if isinstance(each, str) else frame(BINARY, each) for each in messages)
        )

    async def send_frame(
        self, opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, reserved: int = 0
    ) -> None:
        """Sends one frame."""
        await self.connection.send(frame(opcode, payload, final=final, masked=masked, reserved=reserved))

    async def read_frame(self) -> tuple[int, bytes]:
        """Reads one frame. The server's are final, unmasked and without reserved bits, always."""
        first, size = await self.connection.exactly(2)
        assert first & 0xF0 == 0x80
        assert size < 128
        if size >= 126:
            size = int.from_bytes(await self.connection.exactly(2 if size == 126 else 8), "big")
        return first & 0x0F, await self.connection.exactly(size)

    async def receive(self) -> str | bytes:
        """Reads one message."""
        opcode, payload = await self.read_frame()
        if opcode == CLOSE:
            raise Ended(int.from_bytes(payload[:2], "big") if payload else 1005)
        assert opcode in (TEXT, BINARY)
        return payload.decode() if opcode == TEXT else payload

    async def closed(self, *, answer: bool = True) -> int:
        """Skips messages until the server closes and returns the code, after the closing handshake if asked for."""
        try:
            while True:
                await self.receive()
        except Ended as end:
            if answer and end.code != 1006:
                try:
                    await self.send_frame(CLOSE)
                except Ended:
                    pass
                await self.connection.rest()
            return end.code


class Engine:
    """One Engine.IO session over either transport; what both have in common, so that tests can be run over both."""

    def __init__(self, address: Address, path: str = "/socket.io/", tls: ssl.SSLContext | None = None) -> None:
        self.address = address
        self.path = path
        self.tls = tls
        self.sid = ""
        self.handshake: dict[str, Any] = {}
        self.connections: list[Connection] = []

    def target(self, transport: str) -> str:
        """Returns the request target of this session."""
        sid = f"&sid={self.sid}" if self.sid else ""
        return f"{self.path}?EIO=4&transport={transport}{sid}"

    async def connect(self) -> Connection:
        """Returns a new connection, which is closed with the session."""
        connection = await Connection.open(self.address, self.tls)
        self.connections.append(connection)
        return connection

    async def open(self) -> None:
        """Opens the session."""
        raise NotImplementedError

    async def send(self, *packets: str | bytes) -> None:
        """Sends packets; ``bytes`` are a binary message."""
        raise NotImplementedError

    async def receive(self) -> str | bytes:
        """Returns the next packet. Raises ``Ended`` when there will be none."""
        raise NotImplementedError

    async def join(self, namespace: str = "/", auth: object = None) -> str:
        """Connects to a namespace and returns the socket's id."""
        address = "" if namespace == "/" else f"{namespace},"
        await self.send("40" + address + ("" if auth is None else json.dumps(auth)))
        packet = await self.receive()
        assert isinstance(packet, str)
        assert packet.startswith("40" + address), packet
        return str(json.loads(packet[2 + len(address) :])["sid"])

    async def ended(self) -> int:
        """Skips packets until the session is over: 1006, or the code of a WebSocket's close frame."""
        try:
            while True:
                await self.receive()
        except Ended as end:
            return end.code

    async def hang_up(self) -> None:
        """Closes every connection, without a word."""
        for connection in self.connections:
            await connection.close()


@dataclass(slots=True)
class Inbox:
    """Packets that came in one payload and were not asked for yet."""

    packets: list[str] = field(default_factory=list)


class Polling(Engine):
    """A session over long-polling, on two connections as stock clients use them."""

    name = "polling"

    def __init__(self, address: Address, path: str = "/socket.io/", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(address, path, tls)
        self._inbox = Inbox()
        self._get: Connection | None = None
        self._post: Connection | None = None

    async def open(self) -> None:
        answer = await self.get()
        assert answer.status == 200, answer
        self._inbox.packets = answer.packets
        first = self._inbox.packets.pop(0)
        assert first.startswith("0")
        self.handshake = json.loads(first[1:])
        self.sid = self.handshake["sid"]

    async def get(self) -> Answer:
        """Polls once."""
        self._get = await self._ready(self._get)
        return await self._get.request("GET", self.target("polling"))

    async def begin_get(self) -> Connection:
        """Sends a poll and does not wait for its answer."""
        self._get = await self._ready(self._get)
        await self._get.send(head("GET", self.target("polling")))
        return self._get

    async def post(self, body: str | bytes, headers: Sequence[tuple[str, str]] = ()) -> Answer:
        """Posts a payload."""
        self._post = await self._ready(self._post)
        data = body.encode() if isinstance(body, str) else body
        return await self._post.request("POST", self.target("polling"), data, headers)

    async def send(self, *packets: str | bytes) -> None:
        texts = [each if isinstance(each, str) else "b" + base64.b64encode(each).decode() for each in packets]
        answer = await self.post(SEPARATOR.join(texts))
        if answer.status != 200:
            raise Ended
        assert answer.body == b"ok"

    async def receive(self) -> str | bytes:
        while not self._inbox.packets:
            answer = await self.get()
            if answer.status != 200:
                raise Ended
            self._inbox.packets = [packet for packet in answer.packets if packet != "6"]
        packet = self._inbox.packets.pop(0)
        if packet == "1":
            raise Ended
        return base64.b64decode(packet[1:]) if packet.startswith("b") else packet

    async def _ready(self, connection: Connection | None) -> Connection:
        """Returns a connection that the server has not closed, the one of the last time if possible."""
        if connection is None or connection.last or connection.reader.at_eof():
            return await self.connect()
        return connection


class WebSockets(Engine):
    """A session over WebSocket from its beginning, or from a given point on."""

    name = "websocket"

    def __init__(self, address: Address, path: str = "/socket.io/", tls: ssl.SSLContext | None = None) -> None:
        super().__init__(address, path, tls)
        self.socket: WebSocket

    async def open(self) -> None:
        connection = await self.connect()
        answer = await connection.upgrade(self.target("websocket"))
        assert answer.status == 101, answer
        self.socket = WebSocket(connection)
        first = await self.socket.receive()
        assert isinstance(first, str)
        assert first.startswith("0")
        self.handshake = json.loads(first[1:])
        self.sid = self.handshake["sid"]

    async def send(self, *packets: str | bytes) -> None:
        await self.socket.send(*packets)

    async def receive(self) -> str | bytes:
        return await self.socket.receive()

    async def ended(self) -> int:
        return await self.socket.closed()


TRANSPORTS: dict[str, type[Polling | WebSockets]] = {"polling": Polling, "websocket": WebSockets}


async def upgrade(session: Polling) -> WebSockets:
    """Moves a polling session to WebSocket as stock clients do it; no poll of it may be held."""
    upgraded = WebSockets(session.address, session.path, session.tls)
    upgraded.sid, upgraded.handshake, upgraded.connections = session.sid, session.handshake, session.connections
    connection = await upgraded.connect()
    answer = await connection.upgrade(upgraded.target("websocket"))
    assert answer.status == 101, answer
    upgraded.socket = WebSocket(connection)
    await upgraded.send("2probe")
    assert await upgraded.receive() == "3probe"
    await upgraded.send("5")
    return upgraded
