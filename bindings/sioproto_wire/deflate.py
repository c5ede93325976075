"""Compression of WebSocket messages (permessage-deflate, RFC 7692): negotiation, inflating and deflating.

Every message is compressed by itself, in both directions: the answer to an offer always says so, and a client's offer
asks for it. So no connection keeps a window, and a broadcast is compressed once for all clients with the same window.

Rule 1: no offer fails a handshake. The first one that can be kept is answered; else the WebSocket goes uncompressed. An
answer that was not asked for does fail it, as the peer would read our bytes by rules that we do not keep.

Rule 2: what a peer sends is inflated up to the limit of a message and one byte, never beyond, and an inflater lives no
longer than the message that is open.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sioproto.frame import websocket_header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sioproto.frame import Frame
    from sioproto_wire.config import PerMessageDeflate

NAME: Final = "permessage-deflate"

WINDOWS: Final = {str(bits): bits for bits in range(8, 16)}
"""The window sizes as they may be written: without a sign, without a leading zero (RFC 7692, 7.1.2)."""

SMALLEST_WINDOW: Final = 9
"""zlib deflates into no window of 8 bits, so an offer that insists on that is declined."""

MAX_STREAMS: Final = 32
"""Deflate streams in one message. A sender may end a stream wherever it likes (RFC 7692, 7.2.3.4), and each costs."""

MARK: Final = b"\x00\x00\xff\xff"
"""The end of each flush, which the sender leaves out (RFC 7692, 7.2.1)."""

END: Final = MARK + b"\x03\x00"
"""The mark, and a last block without contents: after both a stream has ended, unless it was cut off."""

LOOKAHEAD: Final = 262
"""Bytes of its window that zlib cannot use."""

OFFER: Final = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
"""A client's offer. It lets the server choose no window for us: what zlib cannot do could not be declined any more."""

EMPTY: Final = re.compile(r"[ \t,]*+")
PARAMETER: Final = re.compile(
    r"[ \t]*+([!#$%&'*+\-.^_`|~0-9A-Za-z]++)"
    r'(?:[ \t]*+=[ \t]*+(?:([!#$%&\'*+\-.^_`|~0-9A-Za-z]++)|"((?:[^"\\]|\\.)*+)"))?+'
    r"[ \t]*+([,;]|\Z)"
)
"""The name of an extension or of a parameter, its value, plain or quoted, and what follows. It never tracks back."""


class OversizeError(Exception):
    """A message that inflates to more than it may have."""


# The handshake


def negotiate(offered: Iterable[str], config: PerMessageDeflate) -> tuple[Deflater, str] | None:
    """Picks the first acceptable offer (RFC 7692, 5.1), or None.

    ``offered`` are the values of the request's ``Sec-WebSocket-Extensions``; the text that is returned is the value of
    the response's.
    """
    for name, *parameters in offers(",".join(offered)):
        if name == (NAME, None):
            asked = judge(parameters)
            if asked is not None and asked.get("server_max_window_bits", 15) >= SMALLEST_WINDOW:
                bits = min(asked.get("server_max_window_bits", 15), config.window_bits)
                # Both may be answered unasked (7.1.1); a window of the server's need not be (7.1.2.1), and one of the
                # client's is no concern, since any can be inflated.
                answer = f"{NAME}; server_no_context_takeover; client_no_context_takeover"
                if "server_max_window_bits" in asked:
                    answer += f"; server_max_window_bits={bits}"
                return deflater(config, bits), answer
    return None


def agree(answered: str, config: PerMessageDeflate) -> Deflater | None:
    """Returns how a client compresses after this answer to ``OFFER``, or None if that is not what was offered.

    ``answered`` is the value of the response's ``Sec-WebSocket-Extensions``.
    """
    # The end shows whether all of it could be read.
    found = list(offers(f"{answered},end"))
    if len(found) != 2 or found[1] != [("end", None)] or found[0][0] != (NAME, None):
        return None
    asked = judge(found[0][1:])
    if asked is None or "server_no_context_takeover" not in asked or "client_max_window_bits" in asked:
        return None
    return deflater(config, config.window_bits)


def offers(text: str) -> Iterator[list[tuple[str, str | None]]]:
    """Yields the extensions of a list, each as its name and its parameters with their values (RFC 6455, 9.1).

    Ends where the text is malformed, because what follows cannot be told apart any more.
    """
    position = 0
    while True:
        empty = EMPTY.match(text, position)
        assert empty is not None
        position = empty.end()
        if position == len(text):
            return
        offer: list[tuple[str, str | None]] = []
        follows = ";"
        while follows == ";":
            match = PARAMETER.match(text, position)
            if match is None:
                return
            name, value, quoted, follows = match.groups()
            offer.append((name, value if quoted is None else quoted.replace("\\", "")))
            position = match.end()
        yield offer


def judge(parameters: list[tuple[str, str | None]]) -> dict[str, int] | None:
    """Returns what the parameters of one offer ask for, or None if it has to be declined (RFC 7692, 7)."""
    asked: dict[str, int] = {}
    for name, value in parameters:
        if name in asked:
            return None
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            if value is not None:
                return None
            asked[name] = 1
        elif name == "server_max_window_bits" or (name == "client_max_window_bits" and value is not None):
            if value not in WINDOWS:
                return None
            asked[name] = WINDOWS[value]
        elif name == "client_max_window_bits":
            asked[name] = 15
        else:
            return None
    return asked


# Messages


class Deflater:
    """How messages to a connection are compressed. It keeps nothing of them, and serves all that agreed on the same."""

    __slots__ = ("_bits", "_level", "_memory", "_threshold")

    def __init__(self, config: PerMessageDeflate, bits: int) -> None:
        self._bits = bits
        self._level = config.level
        self._memory = config.memory_level
        self._threshold = config.threshold

    def encode(self, frame: Frame) -> bytes:
        """Returns the packet as one WebSocket frame: compressed if it may be, is long enough and gets shorter by that.

        The result is kept with the frame for whoever needs the same.
        """
        if not frame.compress or frame.size < self._threshold:
            return frame.websocket
        forms = frame.deflated
        if forms is None:
            forms = frame.deflated = {}
        form = forms.get(self)
        return self._deflate(frame, forms) if form is None else form

    def _deflate(self, frame: Frame, forms: dict[object, bytes]) -> bytes:
        # A window larger than the message, and tables for one, would only take time to set up. And a short message
        # looks the same for every window that it fits into.
        bits = min(self._bits, max(SMALLEST_WINDOW, (frame.size + LOOKAHEAD).bit_length()))
        memory = min(self._memory, bits - 6)
        key = (bits, memory, self._level)
        form = forms.get(key)
        if form is None:
            form = forms[key] = deflate(frame, bits, memory, self._level)
        forms[self] = form
        return form


@lru_cache(maxsize=64)
def deflater(config: PerMessageDeflate, bits: int) -> Deflater:
    """Returns the one deflater of all connections with these options and this window."""
    return Deflater(config, bits)


def deflate(frame: Frame, bits: int, memory: int, level: int) -> bytes:
    """Returns a compressed WebSocket frame (RFC 7692, 7.2.1), or the plain one where that is no longer."""
    data = frame.data
    first, body = (0xC1, data.encode()) if isinstance(data, str) else (0xC2, data)
    compressor = zlib.compressobj(level, zlib.DEFLATED, -bits, memory)
    body = (compressor.compress(body) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(MARK)
    if len(body) >= frame.size:
        return frame.websocket
    return websocket_header(first, len(body)) + body


class InflatedMessage:
    """A compressed message of which the last frame has not come."""

    __slots__ = ("_inflate", "_parts", "_room", "_streams", "_text", "count", "size")

    def __init__(self, limit: int, *, text: bool) -> None:
        self.count = 0
        """Fragments so far."""
        self.size = 0
        """The bytes of their bodies, as they came."""
        self._room = limit
        self._text = text
        self._parts: list[bytes] = []
        self._streams = 0
        self._inflate: zlib._Decompress | None = None

    def add(self, body: bytes | bytearray, *, final: bool) -> str | bytes | None:
        """Adds the unmasked body of one frame; returns the message if that was its last.

        Raises ``OversizeError`` for more than the limit, before more than that is inflated; ``zlib.error`` for what is
        no compressed data, ``UnicodeDecodeError`` for text that is not UTF-8.
        """
        self._feed(body)
        if not final:
            return None
        # Without an open stream the last block said that it is the last. Then nothing has to follow.
        if self._inflate is not None:
            self._feed(END)
            if self._inflate is not None:
                raise zlib.error("the compressed data is cut off")
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        return data.decode() if self._text else data

    def _feed(self, data: bytes | bytearray) -> None:
        while data:
            inflate = self._inflate
            if inflate is None:
                if self._streams == MAX_STREAMS:
                    raise zlib.error("too many streams in a message")
                self._streams += 1
                inflate = self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            part = inflate.decompress(data, self._room + 1)
            if part:
                self._room -= len(part)
                if self._room < 0:
                    raise OversizeError
                self._parts.append(part)
            # Having stayed below its limit, it has taken all of the data up to the end of its stream.
            if not inflate.eof:
                return
            data = inflate.unused_data
            self._inflate = None


def wire_limit(limit: int) -> int:
    """Returns how long a message of ``limit`` bytes may be when deflate makes it longer.

    The worst that a sound compressor does is nine bits for each byte, or short blocks stored as they are.
    """
    return limit + (limit >> 3) + 64
