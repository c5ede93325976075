"""One end of a WebSocket without I/O: bytes in, whole messages and control answers out (RFC 6455).

A server's end reads masked frames and writes plain ones, a client's the other way round; nothing else differs. It
begins after the 101: the handshake is another module's, and what a message means is Engine.IO's. The one extension
is permessage-deflate (RFC 7692), where it was negotiated; otherwise a message is the bytes of its frames.

Rule 1: every frame header is judged here, before its body is awaited. Sizes and counts are bounded at that place and no
other; wsproto, which bounds nothing, only ever sees single whole frames that passed. What compressed frames become is
bounded where they are inflated.

Rule 2: an idle connection holds no buffer, no wsproto object and no inflater. Idle means: no partial frame, no
fragmented message that is still open.

Rule 3: what the peer sent never raises, and its words never come back in an error: failures have fixed texts.

A whole, final, short text or binary frame takes the hot road: a server's lies in ``_read``, in line, a client's in
``_skim``. Everything else takes the slow road through ``_judge`` and ``_accept``; a test compares both with wsproto, in
every chunking.
"""

from __future__ import annotations

import zlib
from enum import Enum
from typing import TYPE_CHECKING, Final

from wsproto.frame_protocol import FrameProtocol, ParseFailed

from sioproto.errors import LocalProtocolError
from sioproto_wire.deflate import InflatedMessage, OversizeError, wire_limit
from sioproto_wire.fragments import FragmentedMessage
from sioproto_wire.masking import cut, masked, unmask

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.frame import Frame
    from sioproto_wire.deflate import Deflater

_FINAL_TEXT: Final = 0x81
_FINAL_BINARY: Final = 0x82
_COMPRESSED: Final = 0x40
_CONTINUATION: Final = 0x0
_TEXT: Final = 0x1
_BINARY: Final = 0x2
_CLOSE: Final = 0x8
_PING: Final = 0x9
_PONG: Final = 0xA

_PROTOCOL_ERROR: Final = 1002
_NO_STATUS: Final = 1005
_ABNORMAL: Final = 1006
_INVALID_DATA: Final = 1007
_POLICY_VIOLATION: Final = 1008
_TOO_BIG: Final = 1009

_TURN: Final = 1_000_000
"""Bytes of messages in one call, compressed ones among them, after which the rest is left for the next turn."""

_FRAGMENT: Final = 8_000
"""What a fragment counts there, in bytes, if it is not the last one: wsproto takes long even for an empty one."""

_MASKED_BODY: Final = [6] * 126 + [8, 14]
"""Where the body of a masked frame begins, by the seven bits of its length field."""

_PLAIN_BODY: Final = [2] * 126 + [4, 10]
"""The same for one that is not masked: there is no key before it."""

_NONE: Final = -1
"""Where a hot road has no frames to take: below any length."""

_ANSWERS: Final = FrameProtocol(client=False, extensions=[])
"""Writes the control frames of all connections: writing a plain, extension-free frame keeps no state in wsproto."""

_from_bytes = int.from_bytes


class WebSocketState(Enum):
    """How far the closing handshake is (RFC 6455, 7)."""

    OPEN = "open"
    CLOSING = "closing"
    """Our close frame is queued or sent; the peer's is awaited."""
    CLOSED = "closed"
    """Both close frames were seen, or the connection failed and ours is queued, or the bytes ended."""


class WebSocketWire:
    """Reads the peer's frames, and writes the control frames that they call for.

    It is a client's end if there is a callable ``keys``, which returns a new masking key each time, else a server's.
    ``max_payload`` bounds a message in bytes, however it is framed or compressed; ``max_fragments`` bounds the frames
    of one message. After each ``receive`` and ``close`` the caller sends what ``take`` returns, and once ``state`` is
    ``CLOSED``, it drops the connection after that. As long as something is ``pending``, it stops reading, and calls
    ``receive`` with nothing when others had their turn. ``deflate`` says that compression was negotiated.

    Held memory: at most one message (``max_payload`` bytes; compressed, as much again and an inflater's 40 KiB) and one
    header or control frame (131 bytes), and what is pending: the rest of what one read brought. A body is kept as it
    arrives, never allocated because a header announced it. At most one pong and one close frame wait to be taken.
    """

    __slots__ = (
        "max_payload",
        "max_fragments",
        "state",
        "close_code",
        "error",
        "deflate",
        "keys",
        "_mask",
        "_body",
        "_unmask",
        "_short",
        "_plain",
        "_held",
        "_need",
        "_message",
        "_ping",
        "_close",
    )

    def __init__(
        self,
        max_payload: int,
        max_fragments: int = 1024,
        deflate: Deflater | None = None,
        keys: Callable[[], bytes] | None = None,
    ) -> None:
        self.max_payload = max_payload
        self.max_fragments = max_fragments
        self.state = WebSocketState.OPEN
        self.close_code: int | None = None
        """The peer's code (1005: it gave none), ours after a failure, 1006 after an end without a close frame."""
        self.error: str | None = None
        """Why the connection failed, a fixed text; ``None`` while open and after a clean close."""
        self.deflate = deflate
        """How messages to the peer are compressed; ``None`` where compression was not negotiated."""
        self.keys = keys
        """Where masking keys come from; ``None`` at a server's end."""
        short = min(125, max_payload)
        if keys is None:
            self._mask, self._body, self._unmask = 0x80, _MASKED_BODY, unmask
            self._short, self._plain = short, _NONE
        else:
            self._mask, self._body, self._unmask = 0, _PLAIN_BODY, cut
            self._short, self._plain = _NONE, short
        self._held: bytearray | None = None
        self._need = 0
        self._message: FragmentedMessage | InflatedMessage | None = None
        self._ping: bytes | None = None
        self._close = b""

    @property
    def peer_closed(self) -> bool:
        """Whether the peer's close frame came, and was valid."""
        return self.state is WebSocketState.CLOSED and self.error is None

    @property
    def pending(self) -> bool:
        """Whether frames were left unread, because those before were much work."""
        return self._held is not None and self._need == 0

    def receive(self, data: bytes | bytearray | memoryview) -> list[str | bytes]:
        """Takes bytes as read, in any chunking, and returns the messages that are whole now, in order.

        Nothing of ``data`` is referenced after the call. Never raises for what the peer sent: a failure shows in
        ``state``, ``close_code`` and ``error``, and the messages before the bad frame are still returned. After
        ``close`` messages are dropped, control frames still handled; once ``CLOSED``, bytes are discarded. The work is
        linear in the bytes received, in any chunking, and in what they inflate to. When that comes to a megabyte, or
        after 125 fragments, the rest is left ``pending``.
        """
        if self.state is not WebSocketState.OPEN:
            if self.state is WebSocketState.CLOSING:
                self._read(data)
            return []
        return self._read(data)

    def take(self) -> bytes:
        """Returns the control frames to be sent now, ``b""`` when there are none, and forgets them."""
        frames = self._own(self._close) if self._close else b""
        if self._ping is not None:
            # Before the close frame: nothing may follow that one which the peer would have to read.
            frames = self._own(bytes(_ANSWERS.pong(self._ping))) + frames
            self._ping = None
        self._close = b""
        return frames

    def write(self, frames: list[Frame]) -> list[bytes]:
        """Returns packets as the peer wants them: compressed or not, masked or not."""
        deflate, keys = self.deflate, self.keys
        forms = [frame.websocket for frame in frames] if deflate is None else list(map(deflate.encode, frames))
        return forms if keys is None else [masked(form, keys()) for form in forms]

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Starts the closing handshake: queues a close frame, with an empty body for ``None`` (RFC 6455, 5.5.1).

        Does nothing when the connection is closing or closed. The caller limits the wait for the peer's answer. Raises
        ``LocalProtocolError`` for a code that may not be sent, for a reason without a code, and for one that is not
        encodable or over 123 bytes in UTF-8.
        """
        if code is None:
            if reason:
                raise LocalProtocolError("a close reason needs a close code")
        elif not _is_sendable(code):
            raise LocalProtocolError(f"close code {code} may not be sent")
        try:
            size = len(reason.encode())
        except UnicodeEncodeError:
            raise LocalProtocolError("the close reason has no UTF-8 form") from None
        if size > 123:
            raise LocalProtocolError(f"the close reason takes {size} bytes in UTF-8, more than 123")
        if self.state is WebSocketState.OPEN:
            self._close = _close_frame(code, reason)
            self.state = WebSocketState.CLOSING

    def receive_eof(self) -> None:
        """Takes the end of the peer's bytes. Without a close frame before it, that is a failure with code 1006.

        Answers that were not taken are dropped then, since nobody is left to read them.
        """
        if self.state is not WebSocketState.CLOSED:
            self._end(_ABNORMAL, "the connection ended without a close frame")
            self._ping = None
            self._close = b""

    def _read(self, data: bytes | bytearray | memoryview) -> list[str | bytes]:
        """Reads all whole frames and keeps the rest, if the connection is still alive then."""
        chunk: bytes | bytearray
        held = self._held
        if held is not None:
            # Nothing is looked at before the awaited step (the next header field, the whole frame) is there, and a
            # bytearray grows in steps that grow with it: that keeps the work linear when bytes come one by one.
            held += data
            if len(held) < self._need:
                return []
            chunk = held
            self._held = None
        else:
            chunk = data if isinstance(data, bytes) else bytes(data)
        messages: list[str | bytes] = []
        short = self._short
        position = 0
        end = len(chunk)
        budget = _TURN
        try:
            while position < end:
                # The hot road of a server: the shortest header that a client may send is six bytes, key included.
                if end - position >= 6 and self._message is None:
                    first = chunk[position]
                    size = chunk[position + 1] - 128
                    body = position + 6
                    stop = body + size
                    if 0 <= size <= short and stop <= end and _FINAL_TEXT <= first <= _FINAL_BINARY:
                        key = chunk[position + 2 : body] * ((size + 3) >> 2)
                        number = _from_bytes(chunk[body:stop]) ^ _from_bytes(key[:size])
                        plain = number.to_bytes(size)
                        messages.append(plain.decode() if first == _FINAL_TEXT else plain)
                        position = stop
                        continue
                if short < 0 and self._message is None:
                    position = _skim(chunk, position, end, self._plain, messages)
                    if position == end:
                        break
                need = self._judge(chunk, position, end - position)
                if need == 0:
                    break
                if need > end - position:
                    self._need = need
                    self._held = bytearray(chunk[position:])
                    break
                message = self._accept(chunk, position, position + need)
                position += need
                if message is not None:
                    messages.append(message)
                    if self.deflate is not None:
                        budget -= len(message)
                elif self.state is WebSocketState.CLOSED:
                    break
                elif not chunk[position - need] & _CLOSE:  # control frames have this bit, and are little work
                    budget -= _FRAGMENT
                if budget <= 0 and position < end and self.state is WebSocketState.OPEN:
                    self._need = 0
                    self._held = bytearray(chunk[position:])
                    break
        except zlib.error:
            self._fail(_INVALID_DATA, "compressed data is not valid")
        except OversizeError:
            self._fail(_TOO_BIG, "a message is too big")
        except (UnicodeDecodeError, ParseFailed):
            # All that `_judge` lets through is well-formed, so this is about UTF-8 and nothing else.
            self._fail(_INVALID_DATA, "text is not valid UTF-8")
        return messages

    def _judge(self, data: bytes | bytearray, start: int, available: int) -> int:
        """Judges the frame header at ``start``, as far as it is there, without changing anything but for a failure.

        Returns how many bytes from ``start`` on the whole frame takes, or, when the header is not whole, how many show
        its next field; 0 after a failure (RFC 6455, 5.2 and 5.4).
        """
        if available < 2:
            return 2
        first = data[start]
        second = data[start + 1]
        opcode = first & 0x0F
        if first & 0x70:
            if self.deflate is None or first & 0x70 != _COMPRESSED:
                return self._fail(_PROTOCOL_ERROR, "a reserved bit is set without an extension")
            if opcode != _TEXT and opcode != _BINARY:
                return self._fail(_PROTOCOL_ERROR, "a frame that begins no message is marked as compressed")
        if second & 0x80 != self._mask:  # RFC 6455, 5.1
            text = "a frame from the client is not masked" if self._mask else "a frame from the server is masked"
            return self._fail(_PROTOCOL_ERROR, text)
        size = second & 0x7F
        if opcode >= _CLOSE:
            if opcode > _PONG:
                return self._fail(_PROTOCOL_ERROR, "reserved opcode")
            if first < 0x80:
                return self._fail(_PROTOCOL_ERROR, "a control frame is fragmented")
            if size > 125:
                return self._fail(_PROTOCOL_ERROR, "a control frame is longer than 125 bytes")
            if opcode == _CLOSE and size == 1:
                return self._fail(_PROTOCOL_ERROR, "a close frame holds half a code")
            return self._body[0] + size
        if opcode > _BINARY:
            return self._fail(_PROTOCOL_ERROR, "reserved opcode")
        message = self._message
        if message is None:
            if opcode == _CONTINUATION:
                return self._fail(_PROTOCOL_ERROR, "a continuation frame without a message to continue")
        elif opcode != _CONTINUATION:
            return self._fail(_PROTOCOL_ERROR, "a new message inside a fragmented one")
        elif message.count >= self.max_fragments:
            return self._fail(_POLICY_VIOLATION, "too many fragments in a message")
        header = self._body[size]
        if size > 125:
            length = _PLAIN_BODY[size]
            if available < length:
                return length
            shortest = 126 if size == 126 else 65536
            size = _from_bytes(data[start + 2 : start + length])
            if size >> 63:
                return self._fail(_PROTOCOL_ERROR, "the top bit of a length is set")
            if size < shortest:
                return self._fail(_PROTOCOL_ERROR, "a length is not in its shortest form")
        total = size + (0 if message is None else message.size)
        if total > self.max_payload:
            compressed = first & _COMPRESSED or type(message) is InflatedMessage
            if not compressed or total > wire_limit(self.max_payload):
                return self._fail(_TOO_BIG, "a message is too big")
        return header + size

    def _accept(self, data: bytes | bytearray, start: int, stop: int) -> str | bytes | None:
        """Takes the whole frame from ``start`` to ``stop``, which was judged; returns the message that it completes.

        Raises ``UnicodeDecodeError`` or ``ParseFailed`` for text that is not UTF-8, ``zlib.error`` and
        ``OversizeError`` for compressed data.
        """
        first = data[start]
        body = start + self._body[data[start + 1] & 0x7F]
        unmasked = self._unmask
        message = self._message
        if first == _FINAL_TEXT:
            return unmasked(data, body, stop).decode()
        if first == _FINAL_BINARY:
            return bytes(unmasked(data, body, stop))
        opcode = first & 0x0F
        if opcode == _CLOSE:
            self._receive_close(bytes(unmasked(data, body, stop)))
        elif opcode == _PING:
            # Only the latest is answered, so that a flood of pings queues one pong (RFC 6455, 5.5.3). The peer's
            # close frame ends this duty, our own does not (5.5.2).
            self._ping = bytes(unmasked(data, body, stop))
        elif opcode != _PONG:
            if message is None:
                if first & _COMPRESSED:
                    message = InflatedMessage(self.max_payload, text=opcode == _TEXT)
                else:
                    message = FragmentedMessage(client=self.keys is not None)
            message.count += 1
            message.size += stop - body
            self._message = None if first & 0x80 else message
            # After our close frame nobody wants the message, so nothing is looked into.
            if self.state is WebSocketState.OPEN:
                if isinstance(message, InflatedMessage):
                    return message.add(unmasked(data, body, stop), final=first >= 0x80)
                return message.add(bytes(data[start:stop]))
        return None

    def _receive_close(self, body: bytes) -> None:
        """Takes the body of the peer's close frame, and echoes it unless ours is on its way (RFC 6455, 5.5.1).

        wsproto 1.3 is not asked, because it refuses code 1014, which the registry of codes has since the RFC.
        """
        code = None
        if body:
            code = _from_bytes(body[:2])
            if not _is_sendable(code):
                self._fail(_PROTOCOL_ERROR, "a close code is invalid")
                return
        reason = body[2:].decode()
        if self.state is WebSocketState.OPEN:
            self._close = _close_frame(code, reason)
        self._end(_NO_STATUS if code is None else code, None)

    def _fail(self, code: int, error: str) -> int:
        """Fails the connection: queues a close frame unless ours is on its way (RFC 6455, 7.1.7). Returns 0."""
        if self.state is WebSocketState.OPEN:
            self._close = _close_frame(code, error)
        self._end(code, error)
        return 0

    def _own(self, frame: bytes) -> bytes:
        """Returns a control frame as this end sends it."""
        return frame if self.keys is None else masked(frame, self.keys())

    def _end(self, code: int, error: str | None) -> None:
        self.state = WebSocketState.CLOSED
        self.close_code = code
        self.error = error
        self._held = None
        self._message = None


def _is_sendable(code: int) -> bool:
    """Whether a close frame may carry ``code``: RFC 6455, 7.4, and the registry of codes that it founded."""
    return 3000 <= code <= 4999 or 1000 <= code <= 1003 or 1007 <= code <= 1014


def _close_frame(code: int | None, reason: str) -> bytes:
    return bytes(_ANSWERS.close(code, reason))


def _skim(chunk: bytes | bytearray, position: int, end: int, short: int, messages: list[str | bytes]) -> int:
    """Reads plain frames from ``position`` on, as long as they are whole, final and short; returns where it stopped.

    Raises ``UnicodeDecodeError`` for text that is not UTF-8.
    """
    while end - position > 1:
        first = chunk[position]
        size = chunk[position + 1]
        stop = position + 2 + size
        if size > short or stop > end or not _FINAL_TEXT <= first <= _FINAL_BINARY:
            break
        body = chunk[position + 2 : stop]
        messages.append(body.decode() if first == _FINAL_TEXT else bytes(body))
        position = stop
    return position
