"""A server of the WebSocket transport that does what a test tells it to, one connection at a time, by blocking calls.

Its part of the protocol is written by hand and shared with nothing that is tested.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.bindings.live import LATE

if TYPE_CHECKING:
    from typing import Self

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
OPEN = {"sid": "a" * 20, "upgrades": [], "pingInterval": 300_000, "pingTimeout": 200_000, "maxPayload": 1_000_000}


class Impostor:
    """Listens on loopback for the length of a ``with`` block."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LATE)
        self._sock: socket.socket | None = None
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()
        self._listener.close()

    @property
    def sock(self) -> socket.socket:
        """The connection at hand."""
        assert self._sock is not None
        return self._sock

    def accept(self) -> bytes:
        """Takes the next connection, and returns the head of its first request."""
        self.drop()
        self._sock, _ = self._listener.accept()
        self._sock.settimeout(LATE)
        head = b""
        while b"\r\n\r\n" not in head:
            more = self._sock.recv(1)
            assert more
            head += more
        return head

    def answer(self, status: str, body: bytes = b"", *headers: str) -> None:
        """Answers a request."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.sock.sendall("\r\n".join(lines).encode() + body)

    def switch(self, head: bytes) -> None:
        """Answers that the connection is a WebSocket from here on."""
        key = next(line[19:] for line in head.decode().split("\r\n") if line.lower().startswith("sec-websocket-key: "))
        accept = base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()
        lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
        self.sock.sendall("\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())

    def send(self, *messages: str) -> None:
        """Sends text messages."""
        for message in messages:
            data = message.encode()
            size = bytes([len(data)]) if len(data) < 126 else struct.pack(">BH", 126, len(data))
            self.sock.sendall(b"\x81" + size + data)

    def receive(self) -> str:
        """Reads a short text message."""
        first, size = self._exactly(2)
        assert first == 0x81
        assert size & 127 < 126
        mask, data = self._exactly(4), self._exactly(size & 127)
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(data)).decode()

    def join(self) -> None:
        """Goes through with everything until the client is connected."""
        self.switch(self.accept())
        self.send("0" + json.dumps(OPEN))
        assert self.receive() == "40"
        self.send('40{"sid":"' + "b" * 20 + '"}')

    def drop(self, *, reset: bool = False) -> None:
        """Ends the connection at hand, by a reset if asked to."""
        sock, self._sock = self._sock, None
        if sock is not None:
            if reset:
                with suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            assert more, "the client is gone"
            data += more
        return data
