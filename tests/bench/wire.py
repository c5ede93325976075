"""The client's side of HTTP and WebSocket, as cheap as Python makes it: what the load generator speaks through.

Nothing here knows what is measured. Sockets do not block, and what is sent is small and answered before more is sent,
so a send that does not take all at once means that the server has stopped reading, and fails.

The rule not to be broken: what a server sends is either exactly what was expected or read in full; nothing is skipped.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import selectors
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATH = "/socket.io/?EIO=4&transport="
READ_SIZE = 65536
OPENING = 50
"""How many clients connect at the same time before a measurement."""
PATIENCE = 60.0
"""Seconds that a server may take over what it owes."""

FIELDS = (
    "Host: 127.0.0.1\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) sioproto-bench\r\n"
    "Accept: */*\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Accept-Encoding: identity\r\n"
)
KEY = base64.b64encode(b"a nonce of 16 by").decode()
ACCEPT = base64.b64encode(hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
UPGRADE = (
    f"GET {PATH}websocket HTTP/1.1\r\n{FIELDS}Connection: Upgrade\r\nUpgrade: websocket\r\n"
    f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
).encode()

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Failure(Exception):
    """The server did something wrong, or not at all; the text says what."""


class Loop:
    """Waits for readable sockets and calls who owns them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def add(self, sock: socket.socket, receive: Callable[[], None]) -> None:
        self._selector.register(sock, selectors.EVENT_READ, receive)

    def remove(self, sock: socket.socket) -> None:
        self._selector.unregister(sock)

    def run(self, seconds: float) -> None:
        """Runs for a time."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                key.data()

    def run_until(self, done: Callable[[], bool], what: str) -> None:
        """Runs until something is done. Raises ``Failure`` with ``what`` where that does not happen in time."""
        end = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > end:
                raise Failure(what)
            for key, _ in self._selector.select(0.1):
                key.data()


def connect(address: tuple[str, int]) -> socket.socket:
    """Returns a connected socket that does not block."""
    sock = socket.create_connection(address, timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


def send(sock: socket.socket, data: bytes) -> None:
    """Sends all of ``data`` at once. Raises ``Failure`` where the server takes less."""
    try:
        taken = sock.send(data)
    except OSError as error:
        raise Failure(f"sending failed: {error}") from None
    if taken != len(data):
        raise Failure("the server stopped reading")


def receive(sock: socket.socket) -> bytes:
    """Returns what came. Raises ``Failure`` where the connection broke; ``b""`` is its proper end."""
    try:
        return sock.recv(READ_SIZE)
    except OSError as error:
        raise Failure(f"receiving failed: {error}") from None


def masked(payload: bytes, opcode: int = TEXT) -> bytes:
    """Returns a payload as one final frame of a client, under a mask of its own (RFC 6455, 5.3)."""
    size = len(payload)
    mask = os.urandom(4)
    key = (mask * (size // 4 + 1))[:size]
    body = bytes(a ^ b for a, b in zip(payload, key, strict=True))
    if size < 126:
        return bytes((0x80 | opcode, 0x80 | size)) + mask + body
    return bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big") + mask + body


def unmasked(payload: bytes) -> bytes:
    """Returns a short text as the frame that a server sends."""
    if len(payload) > 125:
        raise ValueError("made for short texts")
    return bytes((0x80 | TEXT, len(payload))) + payload


def split(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Returns the whole frames of a server as opcodes and payloads, and the bytes behind them."""
    found = []
    start = 0
    while len(data) - start >= 2:
        first, size = data[start], data[start + 1]
        body = start + 2
        if first < 0x80 or first & 0x70 or size > 127:
            raise Failure("a frame is fragmented, masked, or has a reserved bit set")
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[body : body + width], "big")
            body += width
        # With a header that is not whole the body begins behind the end.
        if body + size > len(data):
            break
        found.append((first & 0x0F, data[body : body + size]))
        start = body + size
    return found, data[start:]


class Talker:
    """A client's WebSocket. What it does not know by heart is read frame by frame, and pings are answered."""

    __slots__ = ("rest", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rest = b""

    def read(self, data: bytes) -> list[bytes]:
        """Returns the Socket.IO packets that are whole now."""
        if not data:
            raise Failure("the server closed a connection")
        found = []
        frames, self.rest = split(self.rest + data)
        for opcode, payload in frames:
            if opcode == PING:
                send(self.sock, masked(payload, PONG))
            elif opcode != TEXT:
                raise Failure(f"the server sent a frame with opcode {opcode}")
            elif payload == b"2":
                send(self.sock, masked(b"3"))
            elif payload[:1] == b"4":
                found.append(payload[1:])
            else:
                raise Failure(f"unexpected packet: {payload[:80]!r}")
        return found

    def receive(self) -> None:
        """Takes what came, which should be nothing but pings."""
        for packet in self.read(receive(self.sock)):
            raise Failure(f"unexpected packet: {packet[:80]!r}")


class Opening:
    """A client on its way into the main namespace over WebSocket; calls ``opened`` with the socket once it is there."""

    __slots__ = ("_data", "_loop", "_opened", "_step", "sock")

    def __init__(self, loop: Loop, address: tuple[str, int], opened: Callable[[socket.socket], None]) -> None:
        self.sock = connect(address)
        self._loop = loop
        self._opened = opened
        self._data = b""
        self._step = 0
        loop.add(self.sock, self._receive)
        send(self.sock, UPGRADE)

    def _receive(self) -> None:
        data = receive(self.sock)
        if not data:
            raise Failure(f"the server closed a connection that was being opened: {self._data[:200]!r}")
        self._data += data
        if self._step == 0:
            head, mark, rest = self._data.partition(b"\r\n\r\n")
            if not mark:
                return
            if not head.startswith(b"HTTP/1.1 101 ") or ACCEPT not in head or b"permessage-deflate" in head:
                raise Failure(f"the upgrade was answered with {head[:200]!r}")
            self._data = rest
            self._step = 1
        frames, self._data = split(self._data)
        for opcode, payload in frames:
            if self._step == 1 and opcode == TEXT and payload.startswith(b'0{"sid":"'):
                send(self.sock, CONNECT)
                self._step = 2
            elif self._step == 2 and opcode == TEXT and payload.startswith(b'40{"sid":"'):
                self._loop.remove(self.sock)
                self._step = 3
            else:
                raise Failure(f"unexpected frame while opening: {payload[:80]!r}")
        if self._step == 3:
            if self._data:
                raise Failure(f"unexpected bytes after opening: {self._data[:80]!r}")
            self._opened(self.sock)


CONNECT = masked(b"40")


def open_all(loop: Loop, address: tuple[str, int], count: int) -> list[socket.socket]:
    """Returns the sockets of so many clients, in the main namespace over WebSocket. Nothing watches them."""
    found: list[socket.socket] = []
    for start in range(0, count, OPENING):
        end = min(start + OPENING, count)
        for _ in range(start, end):
            Opening(loop, address, found.append)
        loop.run_until(functools.partial(reached, found, end), "clients could not connect in time")
    return found


def reached(found: list[socket.socket], count: int) -> bool:
    return len(found) >= count


class Http:
    """One connection that is kept open for requests one after another."""

    __slots__ = ("_answered", "_data", "_heads", "sock")

    def __init__(self, loop: Loop, address: tuple[str, int]) -> None:
        self.sock = connect(address)
        self._data = b""
        self._answered: Callable[[bytes], None] | None = None
        self._heads: dict[bytes, int] = {}
        loop.add(self.sock, self.receive)

    def ask(self, request: bytes, answered: Callable[[bytes], None]) -> None:
        """Sends a request; ``answered`` is called with the body of its response, which has to be a 200."""
        self._answered = answered
        send(self.sock, request)

    def receive(self) -> None:
        data = receive(self.sock)
        if not data:
            raise Failure("the server closed a connection that was to be kept open")
        data = self._data + data
        end = data.find(b"\r\n\r\n") + 4
        if end == 3:
            self._data = data
            return
        head = data[:end]
        size = self._heads.get(head)
        if size is None:
            size = self._read_head(head)
        if size < 0:
            body, whole = unchunk(data[end:])
        else:
            body = data[end : end + size]
            whole = len(body) == size
            if len(data) > end + size:
                raise Failure(f"unexpected bytes after a response: {data[end + size :][:80]!r}")
        if not whole:
            self._data = data
            return
        self._data = b""
        answered, self._answered = self._answered, None
        if answered is None:
            raise Failure("a response that nobody asked for")
        answered(body)

    def _read_head(self, head: bytes) -> int:
        """Returns the size of the body, -1 where it is chunked. Heads repeat, so what was read is remembered."""
        lines = head.lower().split(b"\r\n")
        if not lines[0].startswith(b"http/1.1 200 "):
            raise Failure(f"a request was answered with {head[:200]!r}")
        size = None
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if name == b"content-length":
                size = int(value)
            elif name == b"transfer-encoding" and value.strip() == b"chunked":
                size = -1
            elif name == b"content-encoding" or (name == b"connection" and value.strip() == b"close"):
                raise Failure(f"a response is compressed, or the last one: {head[:200]!r}")
        if size is None:
            raise Failure(f"a response has no length: {head[:200]!r}")
        if len(self._heads) > 64:
            self._heads.clear()
        self._heads[head] = size
        return size


def unchunk(data: bytes) -> tuple[bytes, bool]:
    """Returns the body of a chunked response, and whether it is whole."""
    body = b""
    while True:
        line, mark, data = data.partition(b"\r\n")
        if not mark:
            return body, False
        size = int(line, 16)
        if len(data) < size + 2:
            return body, False
        body += data[:size]
        data = data[size + 2 :]
        if size == 0:
            if data:
                raise Failure(f"unexpected bytes after a response: {data[:80]!r}")
            return body, True


def get(query: str) -> bytes:
    """Returns a polling GET."""
    return f"GET {PATH}polling{query} HTTP/1.1\r\n{FIELDS}Connection: keep-alive\r\n\r\n".encode()


def post(query: str, body: bytes) -> bytes:
    """Returns a polling POST."""
    head = (
        f"POST {PATH}polling{query} HTTP/1.1\r\n{FIELDS}Connection: keep-alive\r\n"
        f"Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
