"""What a reverse proxy does to the bytes of one connection: it waits only so long, and may hold things back.

It stands right before the server. Requests and responses are seen at their heads only; once a WebSocket is accepted it
passes everything on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sioproto.testing.network import Proxy

HEAD_END = b"\r\n\r\n"


def refusal(status: str) -> bytes:
    """Returns the answer of a proxy that gives none of the server's."""
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


GATEWAY_TIMEOUT = refusal("504 Gateway Timeout")
NO_WEBSOCKETS = refusal("400 Bad Request")


class Middle:
    """A proxy's view of one connection."""

    __slots__ = ("_held", "_proxy", "awaiting", "tunnel")

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._held = b""
        self.awaiting = False
        """Whether a request is unanswered."""
        self.tunnel = False
        """Whether a WebSocket was accepted."""

    def refuses(self, data: bytes) -> bool:
        """Takes note of what the client sent, and returns whether the proxy refuses it."""
        if self.tunnel:
            return False
        self.awaiting = True
        head = data.partition(HEAD_END)[0].lower()
        return not self._proxy.websockets and b"\r\nupgrade: websocket" in head

    def passes(self, data: bytes) -> bytes:
        """Takes what the server sent, and returns what is passed on now."""
        if self.tunnel:
            return data
        data, self._held = self._held + data, b""
        head, end, body = data.partition(HEAD_END)
        if self._proxy.buffers and (not end or len(body) < body_size(head)):
            self._held = data
            return b""
        self.awaiting = False
        self.tunnel = data.startswith(b"HTTP/1.1 101")
        return data


def body_size(head: bytes) -> int:
    """Returns how long the body of a response is."""
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
