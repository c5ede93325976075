"""An Engine.IO server behind the wire, and a peer that speaks bytes to it on a clock that is turned by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto import EngineConfig
from sioproto.engineio import EngineServer, SessionClosed
from sioproto_wire import ServerWire, WireConfig
from tests.virtual import Clock, make_environment
from tests.wire.conftest import Answer, Peer

if TYPE_CHECKING:
    from sioproto.engineio import Link

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)
TEXT, BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A


class Wired:
    """A server and its connections; ``config`` are the options of these."""

    def __init__(self, config: WireConfig | None = None, **options: Any) -> None:
        self.clock = Clock()
        self.core = EngineServer(EngineConfig(**options), make_environment(self.clock))
        self.wire = ServerWire(self.core, config)

    def peer(self) -> Peer:
        """Returns a new connection."""
        return Peer(self.wire, self.core, self.clock)  # type: ignore[arg-type]  # the same clock by another name

    def ask(self, method: str, target: str, *fields: str, body: bytes = b"") -> Answer:
        """Sends one request on a connection of its own and returns the answer."""
        (answer,) = self.peer().send(request(method, target, *fields, body=body)).answers
        return answer

    def websocket(self, query: str = "EIO=4&transport=websocket", *fields: str, then: bytes = b"") -> Peer:
        """Opens a WebSocket; ``then`` comes in one piece with the request."""
        return self.peer().send(request("GET", f"/socket.io/?{query}", *HANDSHAKE, *fields) + then)

    def closes(self) -> list[tuple[str, str | None]]:
        """Returns reason and description of the sessions that ended."""
        return [(event.reason, event.description) for event in self.core.events() if isinstance(event, SessionClosed)]

    @property
    def link(self) -> Link:
        """The WebSocket of the only session."""
        (session,) = self.core.sessions.values()
        assert session.link is not None
        return session.link


def request(method: str, target: str, *fields: str, body: bytes = b"") -> bytes:
    """Returns the bytes of a request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: example.org", *fields]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def frame(first: int, body: bytes | str = b"", key: bytes = b"\x01\x02\x03\x04") -> bytes:
    """Returns a masked frame, as a client sends it."""
    data = body.encode() if isinstance(body, str) else body
    size = len(data)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((first,)) + length + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Reads a server's frames apart: first byte and payload."""
    found = []
    while data:
        first, size, start = data[0], data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        found.append((first, data[start : start + size]))
        data = data[start + size :]
    return found
