"""One encoded Engine.IO packet on its way out.

A broadcast encodes once: every recipient's outbox holds the same ``Frame``. The forms that the transports need (a
piece of a polling payload, an unmasked WebSocket frame) are made the first time someone asks and kept, so the second
recipient pays nothing. A frame never changes what it says after it was made.
"""

from __future__ import annotations

from base64 import b64encode

FRAME_COST = 160
"""What a frame that waits costs besides its size on the wire, in bytes; without it tiny packets would weigh nothing."""


class Frame:
    """An immutable outgoing Engine.IO packet, with its encoded forms remembered.

    ``data`` is the packet as one WebSocket message: a ``str`` beginning with the packet type digit, or ``bytes`` for a
    binary message, which has no type digit (Engine.IO protocol, packet encoding). ``compress`` says whether a transport
    may compress it; ``size`` is its length in bytes on a WebSocket, without the frame header.
    """

    __slots__ = ("_payload", "_websocket", "compress", "data", "deflated", "size")

    def __init__(self, data: str | bytes, compress: bool = True) -> None:
        self.data = data
        self.compress = compress
        self.size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
        self._payload: str | None = None
        self._websocket: bytes | None = None
        self.deflated: dict[object, bytes] | None = None
        """Compressed WebSocket frames by how they were compressed; whoever compresses keeps them here."""

    @property
    def payload(self) -> str:
        """The packet as it stands in a polling payload: binary as ``b`` and base64."""
        form = self._payload
        if form is None:
            data = self.data
            form = data if isinstance(data, str) else "b" + b64encode(data).decode("ascii")
            self._payload = form
        return form

    @property
    def websocket(self) -> bytes:
        """The packet as one final, unmasked, extension-free WebSocket frame, as a server sends it (RFC 6455, 5.2)."""
        form = self._websocket
        if form is None:
            data = self.data
            if isinstance(data, str):
                form = websocket_header(0x81, self.size) + data.encode()
            else:
                form = websocket_header(0x82, self.size) + data
            self._websocket = form
        return form

    @property
    def as_text(self) -> Frame:
        """The packet for a client that takes no binary WebSocket messages: itself, or its polling form."""
        return self if isinstance(self.data, str) else Frame(self.payload, self.compress)

    def __repr__(self) -> str:
        # Not what it says: that may be a handshake, with what is secret between the two sides.
        kind = repr(self.data[:1]) if isinstance(self.data, str) else "binary"
        return f"<Frame {kind}, {self.size} bytes>"


def websocket_header(first: int, size: int) -> bytes:
    """Returns the header of an unmasked WebSocket frame: ``first`` (FIN, RSV, opcode) and the shortest length form."""
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126)) + size.to_bytes(2, "big")
    return bytes((first, 127)) + size.to_bytes(8, "big")
