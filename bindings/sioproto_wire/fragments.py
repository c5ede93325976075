"""A WebSocket message in fragments (RFC 6455, 5.4), as long as its last one has not come.

The rule not to be broken: only whole frames come here, and only those that were judged. wsproto, which bounds nothing,
reads them.
"""

from __future__ import annotations

from wsproto.frame_protocol import FrameProtocol


class FragmentedMessage:
    """A message of which the last fragment has not come. wsproto unmasks its frames and checks UTF-8 across them."""

    __slots__ = ("_binary", "_protocol", "_text", "count", "size")

    def __init__(self, *, client: bool) -> None:
        self.count = 0
        """Fragments so far."""
        self.size = 0
        """The bytes of their bodies."""
        self._text: list[str] = []
        self._binary: list[bytes] = []
        self._protocol = FrameProtocol(client=client, extensions=[])

    def add(self, frame: bytes) -> str | bytes | None:
        """Adds one whole, judged frame; returns the message if that was its last.

        Raises wsproto's ``ParseFailed`` as soon as a text cannot become valid UTF-8 any more.
        """
        self._protocol.receive_bytes(frame)
        for part in self._protocol.received_frames():
            if isinstance(part.payload, str):
                self._text.append(part.payload)
                if part.message_finished:
                    return "".join(self._text)
            elif isinstance(part.payload, bytes):
                self._binary.append(part.payload)
                if part.message_finished:
                    return b"".join(self._binary)
        return None
