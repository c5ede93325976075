"""HTTP/1.x as bytes: heads and bodies in, heads out (RFC 9112), and the opening handshake of WebSocket (RFC 6455, 4).

A head is cut out of the stream here, judged by rules that are stricter than h11's, and then read by an h11 connection
of its own, which goes on to read the body where that is chunked. Nothing of h11 is kept while a connection idles, and
answers are written from a template.

The rule not to be broken: there is one way only to see where a request ends. Whatever another parser might see
otherwise (two lengths, a length and chunks, folded lines, a bare line feed) is refused, and the connection is closed.
"""

from __future__ import annotations

import re
from base64 import b64decode
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import h11
from wsproto.utilities import generate_accept_token

from sioproto.engineio.request import Response
from sioproto.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from sioproto.engineio.request import Headers
    from sioproto_wire.answers import AnswerHead
    from sioproto_wire.config import ClientWireConfig, WireConfig

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

END_OF_HEAD = re.compile(rb"\n\r?\n")
REQUEST_LINE = re.compile(rb"([A-Za-z]{1,20}) ([!-~]+) HTTP/1\.([01])")
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*)")
ABSOLUTE_FORM = re.compile(r"https?://([^/?#]+)(.*)", re.IGNORECASE)
HOST = re.compile(r"[A-Za-z0-9\-._~%!$&'()*+,;=:\[\]]*")
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t -~\x80-\xff]*")

MALFORMED: Final = -1
"""The length of a body that cannot be told."""

TEXT: Final = bytes([9, 10, 13, *range(0x20, 0x7F), *range(0x80, 0x100)])
"""The bytes that may occur in a head."""

WATCHED: Final = frozenset(
    {"connection", "content-encoding", "expect", "host", "transfer-encoding", "upgrade"}
    | {"sec-websocket-extensions", "sec-websocket-key", "sec-websocket-protocol", "sec-websocket-version"}
)
"""Request fields that mean something to a connection."""

OWN_FIELDS: Final = frozenset(
    {"connection", "content-length", "transfer-encoding"}
    | {"sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"}
)
"""Response fields that a connection sets itself; those of a ``Response`` are dropped."""


class HttpError(Exception):
    """A request that gets no answer from the core: ``status`` and ``headers`` say what it gets instead."""

    def __init__(self, status: int, headers: Headers | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.headers: Headers = [] if headers is None else headers


class HttpReader:
    """What a peer sends, cut into heads and bodies.

    ``receive`` what came, then call ``read_head`` until it gives a head; where ``body`` is set afterwards, that is to
    be read to its end before the next head. ``buffer`` holds what was not read yet.
    """

    __slots__ = ("_config", "_searched", "body", "buffer", "head")

    def __init__(self, config: WireConfig) -> None:
        self._config = config
        self._searched = 0
        self.buffer = bytearray()
        self.head: Head | None = None
        """The request in hand."""
        self.body: Body | None = None
        """Its body, as long as that is not read to the end."""

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what came; the bytes are copied."""
        self.buffer += data

    def read_head(self) -> Head | None:
        """Returns the next head when it is there as a whole. Raises ``HttpError`` when it cannot become one."""
        buffer = self.buffer
        # Empty lines before a request are left over by careless peers (RFC 9112, 2.2).
        while buffer.startswith(b"\r\n"):
            del buffer[:2]
            self._searched = 0
        if not buffer or buffer == b"\r":
            return None
        if not buffer[:1].isalpha():
            raise HttpError(400)
        end = END_OF_HEAD.search(buffer, self._searched)
        size = len(buffer) if end is None else end.end()
        if size > self._config.max_head:
            raise HttpError(431)
        if end is None:
            self._searched = max(0, size - 2)
            return None
        block = bytes(buffer[:size])
        del buffer[:size]
        self._searched = 0
        head = self.head = parse_head(block, self._config)
        if head.chunks is not None or head.length:
            self.body = Body(head, self._config)
        return head


class Head:
    """A request's head: what the core sees, and what the connection has to know of it."""

    __slots__ = ("chunks", "expects", "handshake", "headers", "keep_alive", "length", "method", "old", "target")

    def __init__(self, method: str, target: str, headers: Headers, *, old: bool) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.old = old
        """HTTP/1.0."""
        self.keep_alive = not old
        self.length = 0
        self.chunks: h11.Connection | None = None
        """Reads the body where that is chunked; it has read the head."""
        self.expects = False
        """Whether the peer waits for ``100 Continue`` before it sends the body."""
        self.handshake: Handshake | None = None
        """What a request for a WebSocket asks for."""


class Handshake:
    """A client's valid opening handshake (RFC 6455, 4.2.1), reduced to what the answer needs."""

    __slots__ = ("extensions", "key", "protocol")

    def __init__(self, key: str, protocol: str | None, extensions: Sequence[str] = ()) -> None:
        self.key = key
        self.protocol = protocol
        self.extensions = extensions
        """The lists of offered extensions, as they came."""


class Body:
    """A body as it comes in, a request's or an answer's, kept or not."""

    __slots__ = ("_chunk_count", "_config", "_parser", "_wire", "data", "done", "keep", "left", "size")

    def __init__(self, head: Head | AnswerHead, config: WireConfig | ClientWireConfig) -> None:
        self._config = config
        self._parser = head.chunks
        self._wire = 0
        self._chunk_count = 0
        self.left = head.length
        """Bytes that are still to come, where the length was declared."""
        self.size = 0
        self.keep = False
        """Whether the bytes are collected in ``data``, or only counted."""
        self.data = bytearray()
        self.done = False

    def receive(self, buffer: bytearray, limit: int) -> None:
        """Takes its bytes out of ``buffer``.

        Raises ``HttpError``: 413 for more than ``limit`` bytes or chunks too small, 400 for chunks that are none.
        """
        if self._parser is None:
            data = buffer[: self.left]
            del buffer[: self.left]
            self.left -= len(data)
            self.size += len(data)
            self.done = not self.left
            if self.keep:
                self.data += data
        elif buffer:  # h11 takes nothing for the end of the stream
            self._wire += len(buffer)
            self._parser.receive_data(bytes(buffer))
            buffer.clear()
            try:
                buffer += self._read_chunks(self._parser, limit)
            except h11.RemoteProtocolError:
                raise HttpError(400) from None

    def _read_chunks(self, parser: h11.Connection, limit: int) -> bytes:
        config = self._config
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Data):
                self.size += len(event.data)
                if self.size > limit:
                    raise HttpError(413)
                self._chunk_count += event.chunk_start
                # Judged by what came of the body, not by how it was cut into reads: a chunk costs six bytes of framing.
                if (
                    event.chunk_end
                    and self._chunk_count * config.min_chunk > self.size
                    and self._chunk_count * 6 + self.size > config.chunk_allowance
                ):
                    raise HttpError(413)
                if self.keep:
                    self.data += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.done = True
                return parser.trailing_data[0]
            else:
                # Long chunk extensions and padded lengths are framing, too.
                if self._wire - self.size > self.size + config.chunk_allowance:
                    raise HttpError(413)
                return b""


def parse_head(block: bytes, config: WireConfig) -> Head:
    """Reads one head, its empty line included. Raises ``HttpError`` with the status of the refusal.

    The one place where h11 reads a head. What comes out depends on the arguments alone, so it may be remembered for a
    peer that repeats itself.
    """
    lines = count_lines(block)
    if not lines:
        raise HttpError(400)
    if lines - 2 > config.max_fields:
        raise HttpError(431)
    # A method or version that no client of ours uses is refused.
    match = REQUEST_LINE.fullmatch(block, 0, block.index(b"\r\n"))
    length = declared_length(block)
    if match is None or length == MALFORMED:
        raise HttpError(400)

    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=config.max_head)
    parser.receive_data(block)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise HttpError(error.error_status_hint) from None
    if not isinstance(event, h11.Request):
        raise HttpError(400)

    headers: Headers = []
    watched: dict[str, list[str]] = {}
    for raw, data in event.headers.raw_items():
        # Most peers use the same few names: one string for all of them.
        name, value = field_name(raw.lower()), data.decode("latin-1")
        headers.append((name, value))
        if name in WATCHED:
            watched.setdefault(name, []).append(value)
    head = Head(match[1].decode("ascii"), match[2].decode("ascii"), headers, old=match[3] == b"0")
    head.length = length or 0
    if "transfer-encoding" in watched:
        # A length beside it, or an old peer that cannot mean it: two ways to find the end (RFC 9112, 6.1 and 6.3).
        if length is not None or head.old:
            raise HttpError(400)
        head.chunks = parser
    judge(head, watched)
    return head


def count_lines(block: bytes) -> int:
    """Returns how many lines a head has; 0 for one that others might read otherwise.

    That is one with a line that ends otherwise than with CRLF, a byte that no head may have, or a folded line (RFC
    9112, 2.2 and 5.2).
    """
    lines = block.count(b"\r\n")
    if block.translate(None, TEXT) or block.count(b"\n") != lines or block.count(b"\r") != lines:
        return 0
    return 0 if b"\r\n " in block or b"\r\n\t" in block else lines


def declared_length(block: bytes) -> int | None:
    """Returns the length of the body that a head declares, None if it does not, ``MALFORMED`` if it cannot be told."""
    lengths = CONTENT_LENGTH.findall(block.lower())
    if not lengths:
        return None
    length = lengths[0].rstrip(b" \t")
    # h11 would take "10, 10" and two equal fields for one.
    if len(lengths) > 1 or not length.isdigit() or len(length) > 18:
        return MALFORMED
    return int(length)


@lru_cache(maxsize=1024)
def field_name(raw: bytes) -> str:
    """Returns the name of a field. Not by ``sys.intern``: some Pythons keep for ever what that gets."""
    return raw.decode("ascii")


def judge(head: Head, watched: dict[str, list[str]]) -> None:
    """Completes a head with what its fields ask of the connection. Raises ``HttpError`` for what cannot be had."""
    hosts = watched.get("host", [])
    if len(hosts) > 1 or not (hosts or head.old) or (hosts and HOST.fullmatch(hosts[0]) is None):
        raise HttpError(400)
    judge_target(head)
    tokens = elements(watched.get("connection", ()))
    if "close" in tokens:
        head.keep_alive = False
    elif "keep-alive" in tokens:
        head.keep_alive = True
    has_body = head.chunks is not None or head.length > 0
    expectations = elements(watched.get("expect", ()))
    if expectations and not head.old:  # RFC 9110, 10.1.1
        if expectations != ["100-continue"]:
            raise HttpError(417)
        head.expects = has_body
    # Nothing that a peer compressed is ever inflated: a small body could become an arbitrarily large one.
    if has_body and any(coding != "identity" for coding in elements(watched.get("content-encoding", ()))):
        raise HttpError(415, [("Accept-Encoding", "identity")])
    # Other protocols to upgrade to, and those of HTTP/1.0, are ignored (RFC 9110, 7.8).
    if "upgrade" in tokens and not head.old and "websocket" in elements(watched.get("upgrade", ())):
        head.handshake = judge_handshake(head, watched, has_body)


def judge_target(head: Head) -> None:
    """Brings the target into origin form (RFC 9112, 3.2). Only ``OPTIONS`` may have ``*`` instead."""
    target = head.target
    if target.startswith("/") or (target == "*" and head.method == "OPTIONS"):
        return
    match = ABSOLUTE_FORM.fullmatch(target)
    if match is None or HOST.fullmatch(match[1]) is None:
        raise HttpError(400)
    # What a proxy is asked for counts, whatever stands in the field (RFC 9112, 3.2.2).
    head.headers[:] = [(name, match[1] if name == "host" else value) for name, value in head.headers]
    head.target = match[2] if match[2].startswith("/") else "/" + match[2]


def judge_handshake(head: Head, watched: dict[str, list[str]], has_body: bool) -> Handshake:
    """Judges a client's opening handshake (RFC 6455, 4.2.1), but not what extensions it offers."""
    if head.method != "GET" or has_body:
        raise HttpError(400)
    if watched.get("sec-websocket-version") != ["13"]:
        raise HttpError(426, [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")])
    keys = watched.get("sec-websocket-key", ())
    if len(keys) != 1 or not is_key(keys[0]):
        raise HttpError(400)
    offered = [part.strip() for value in watched.get("sec-websocket-protocol", ()) for part in value.split(",")]
    # The reference server takes the first one; what is not a token is not offered.
    protocol = offered[0] if offered and TOKEN.fullmatch(offered[0]) else None
    return Handshake(keys[0], protocol, watched.get("sec-websocket-extensions", ()))


def is_key(text: str) -> bool:
    """Whether a ``Sec-WebSocket-Key`` is the base64 of 16 bytes."""
    try:
        return len(text) == 24 and len(b64decode(text, validate=True)) == 16
    except ValueError:  # neither base64 nor ASCII
        return False


def elements(values: Iterable[str]) -> list[str]:
    """Returns the elements of a list field in lower case, empty ones left out (RFC 9110, 5.6.1)."""
    return [text for value in values for part in value.split(",") if (text := part.strip().lower())]


STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}" for status in HTTPStatus}

BAD_REQUEST: Final = b'{"code":3,"message":"Bad request"}'


def write_response(response: Response, head: Head | None, *, close: bool, server: str | None) -> list[bytes]:
    """Returns the bytes of a response to ``head``, in pieces; a head that could not be read is None.

    Raises ``LocalProtocolError`` for a status or a header field that cannot be sent.
    """
    status = response.status
    if status not in range(200, 600):
        raise LocalProtocolError(f"a response cannot have the status {status!r}")
    lines = [STATUS_LINES.get(status) or f"HTTP/1.1 {status} ", *header_lines(response.headers)]
    body = response.body
    if status in (204, 304):
        body = b""
    else:
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: upgrade, close" if status == 426 else "Connection: close")
    elif head is not None and head.old:
        lines.append("Connection: keep-alive")
    if server is not None:
        lines.append(f"Server: {server}")
    lines.append("\r\n")
    block = "\r\n".join(lines).encode("latin-1")
    return [block, body] if body and (head is None or head.method != "HEAD") else [block]


def write_accept(
    response: Response, handshake: Handshake, *, server: str | None, extensions: str | None = None
) -> bytes:
    """Returns the bytes of the 101 that ends the opening handshake (RFC 6455, 4.2.2), with the ``extensions`` agreed.

    Raises ``LocalProtocolError`` for a header field that cannot be sent.
    """
    token = generate_accept_token(handshake.key.encode("ascii")).decode("ascii")
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    lines.append(f"Sec-WebSocket-Accept: {token}")
    if handshake.protocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {handshake.protocol}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    lines += header_lines(response.headers)
    if server is not None:
        lines.append(f"Server: {server}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")


def error_response(error: HttpError) -> Response:
    """Returns the answer to a request that the core never sees, or not any more: fixed text, nothing of the peer's."""
    if error.status == 400:
        return Response(400, [("Content-Type", "application/json")], BAD_REQUEST)
    text = HTTPStatus(error.status).phrase.encode("ascii")
    return Response(error.status, [("Content-Type", "text/plain"), *error.headers], text)


def header_lines(headers: Headers, own: Container[str] = OWN_FIELDS) -> list[str]:
    """Returns the lines of fields that may be sent as they are, but for those that a connection sets itself.

    Raises ``LocalProtocolError`` for a name or value that HTTP forbids.
    """
    lines = []
    for name, value in headers:
        line = f"{name}: {value}"
        if FIELD.fullmatch(line) is None:
            raise LocalProtocolError(f"the header {name!r} has a name or value that HTTP forbids")
        if name.lower() not in own:
            lines.append(line)
    return lines
