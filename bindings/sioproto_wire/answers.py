"""What a client says and hears in HTTP/1.1, as bytes: requests out, answers in (RFC 9112).

The counterpart of ``http``, and built from the same rules. Requests are written from a template. The head of an answer
is cut out of the stream, judged by rules that are stricter than h11's, and then read by an h11 connection of its own,
which goes on to read the body where that is chunked.

The rule not to be broken: there is one way only to see where an answer ends. Whatever another parser might see
otherwise fails its request, and the connection is closed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import h11

from sioproto.errors import LocalProtocolError
from sioproto_wire.http import (
    END_OF_HEAD,
    MALFORMED,
    TOKEN,
    Body,
    HttpError,
    count_lines,
    declared_length,
    elements,
    field_name,
    header_lines,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.engineio.request import Headers, Request
    from sioproto_wire.config import ClientWireConfig

STATUS_LINE: Final = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
TARGET: Final = re.compile(r"/[!-~]*")
KEPT: Final = re.compile(r"timeout=([0-9]{1,9})")

BEGINNING: Final = b"HTTP/1."
"""What every answer begins with: whatever else comes is no HTTP, and need not be awaited."""

SET_HERE: Final = frozenset(
    {"accept-encoding", "connection", "content-length", "expect", "keep-alive", "te", "trailer", "transfer-encoding"}
    | {"upgrade", "sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-key", "sec-websocket-protocol"}
    | {"sec-websocket-version"}
)
"""Request fields that a connection sets itself; those of a ``Request`` are dropped."""

WATCHED: Final = frozenset(
    {"connection", "content-encoding", "keep-alive", "transfer-encoding", "upgrade"}
    | {"sec-websocket-accept", "sec-websocket-extensions", "sec-websocket-protocol"}
)
"""Answer fields that mean something to a connection."""

ASKED: Final = {
    (method, upgrade): h11.Request(
        method=method,
        target="/",
        headers=[("Host", ""), *([("Connection", "upgrade"), ("Upgrade", "websocket")] if upgrade else [])],
    )
    for method in ("GET", "POST")
    for upgrade in (False, True)
}
"""What h11 has to know of a request to read its answer."""


class AnswerError(Exception):
    """An answer that cannot be taken, or that does not come; a fixed text says why, with nothing of the server's."""


class AnswerHead:
    """An answer's head: what the core sees, and what the connection has to know of it."""

    __slots__ = ("chunks", "headers", "keep_alive", "length", "old", "status", "until_end", "watched")

    def __init__(self, status: int, headers: Headers, watched: dict[str, list[str]], *, old: bool) -> None:
        self.status = status
        self.headers = headers
        """With lower-case names, and values decoded as latin-1."""
        self.watched = watched
        """The values of fields that mean something to a connection."""
        self.old = old
        """HTTP/1.0."""
        self.keep_alive = not old
        """Whether another request may follow on the connection."""
        self.length = 0
        self.chunks: h11.Connection | None = None
        """Reads the body where that is chunked; it has read the head."""
        self.until_end = False
        """Whether the body goes on until the server ends the connection."""

    @property
    def interim(self) -> bool:
        """Whether another head follows, of the answer proper (RFC 9110, 15.2)."""
        return self.status < 200 and self.status != 101

    @property
    def kept_for(self) -> float | None:
        """For how many seconds the server says that it keeps the connection without a request; None if it does not."""
        for text in elements(self.watched.get("keep-alive", ())):
            match = KEPT.fullmatch(text)
            if match is not None:
                return float(match[1])
        return None


class AnswerReader:
    """The answer to one request, as it comes in.

    ``receive`` what came, then call ``read``, which says whether the answer is whole. What came behind it stays in
    ``buffer``.
    """

    __slots__ = ("_config", "_limit", "_method", "_room", "_searched", "_upgrade", "body", "buffer", "head")

    def __init__(self, request: Request, config: ClientWireConfig, limit: int) -> None:
        self._config = config
        self._limit = limit
        self._method = request.method
        self._upgrade = request.upgrade
        self._room = config.max_head
        self._searched = 0
        self.buffer = bytearray()
        self.head: AnswerHead | None = None
        """The head of the answer proper, once that is there."""
        self.body: Body | None = None

    @property
    def begun(self) -> bool:
        """Whether any byte of an answer came."""
        return bool(self.buffer) or self.head is not None or self._room < self._config.max_head

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what came; the bytes are copied."""
        self.buffer += data

    def read(self, *, ended: bool) -> bool:
        """Returns whether the answer is whole. Raises ``AnswerError`` when it cannot become one.

        ``ended`` says that nothing more comes.
        """
        while self.head is None:
            head = self._read_head()
            if head is None:
                if ended:
                    raise AnswerError("the connection ended before the answer was there")
                return False
            if not head.interim:
                self._begin(head)
        body = self.body
        if body is None:
            return True
        try:
            body.receive(self.buffer, self._limit)
        except HttpError as error:
            text = "the answer is too long" if error.status == 413 else "the answer has malformed chunks"
            raise AnswerError(text) from None
        if self.head.until_end:
            if body.size > self._limit:
                raise AnswerError("the answer is too long")
            return ended
        if ended and not body.done:
            raise AnswerError("the answer is cut off")
        return body.done

    def _read_head(self) -> AnswerHead | None:
        """Returns the next head when it is there as a whole."""
        buffer = self.buffer
        if buffer[: len(BEGINNING)] != BEGINNING[: len(buffer)]:
            raise AnswerError("the answer is no HTTP/1.1")
        end = END_OF_HEAD.search(buffer, self._searched)
        size = len(buffer) if end is None else end.end()
        if size > self._room:
            raise AnswerError("the head of the answer is too long")
        if end is None:
            self._searched = max(0, size - 2)
            return None
        block = bytes(buffer[:size])
        del buffer[:size]
        self._searched = 0
        self._room -= size
        return parse_answer(block, self._method, self._config, upgrade=self._upgrade)

    def _begin(self, head: AnswerHead) -> None:
        """Takes the head of the answer proper, and expects the body that it announces."""
        self.head = head
        if head.length > self._limit:
            raise AnswerError("the answer is too long")
        if head.until_end:
            # One byte more than there may be, so that more is noticed.
            head.length = self._limit + 1
        if head.length or head.chunks is not None:
            self.body = Body(head, self._config)
            self.body.keep = True


def parse_answer(block: bytes, method: str, config: ClientWireConfig, *, upgrade: bool) -> AnswerHead:
    """Reads one head, its empty line included, of the answer to a ``method``. Raises ``AnswerError``."""
    lines = count_lines(block)
    match = STATUS_LINE.fullmatch(block, 0, block.find(b"\r\n")) if lines else None
    length = declared_length(block)
    if match is None or length == MALFORMED:
        raise AnswerError("the head of the answer is malformed")
    if lines - 2 > config.max_fields:
        raise AnswerError("the answer has too many header fields")

    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=config.max_head)
    parser.send(ASKED["GET" if method == "GET" else "POST", upgrade])
    parser.send(h11.EndOfMessage())
    parser.receive_data(block)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError:
        raise AnswerError("the head of the answer is malformed") from None
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise AnswerError("the head of the answer is malformed")

    headers: Headers = []
    watched: dict[str, list[str]] = {}
    for raw, data in event.headers.raw_items():
        name, value = field_name(raw.lower()), data.decode("latin-1")
        headers.append((name, value))
        if name in WATCHED:
            watched.setdefault(name, []).append(value)
    head = AnswerHead(int(match[2]), headers, watched, old=match[1] == b"0")
    tokens = elements(watched.get("connection", ()))
    if "close" in tokens:
        head.keep_alive = False
    elif "keep-alive" in tokens:
        head.keep_alive = True
    chunked = "transfer-encoding" in watched
    # A length beside it, an old server that cannot mean it, or a status that has no body: two ways to find the end
    # (RFC 9112, 6.1 and 6.3).
    bodiless = head.status < 200 or head.status == 204
    if (chunked and (length is not None or head.old or bodiless)) or (length and bodiless):
        raise AnswerError("the end of the answer cannot be told")
    if bodiless or head.status == 304 or method == "HEAD":
        return head
    # We ask for none, and nothing that a server compressed is ever inflated: a small body could become a large one.
    if any(coding != "identity" for coding in elements(watched.get("content-encoding", ()))):
        raise AnswerError("the answer is compressed, though that was not asked for")
    head.length = length or 0
    if chunked:
        head.chunks = parser
    elif length is None:
        head.until_end = True
        head.keep_alive = False
    return head


def write_request(request: Request, body: bytes, authority: str, more: Sequence[str] = ()) -> list[bytes]:
    """Returns the bytes of a request, in pieces; ``more`` are lines of its head. ``authority`` is the default host.

    Raises ``LocalProtocolError`` for a method, a target or a header field that cannot be sent.
    """
    if TOKEN.fullmatch(request.method) is None or TARGET.fullmatch(request.target) is None:
        raise LocalProtocolError("a request has a method or target that HTTP forbids")
    lines = [f"{request.method} {request.target} HTTP/1.1"]
    hosts = sum(name.lower() == "host" for name, _ in request.headers)
    if hosts > 1:
        raise LocalProtocolError("a request has more than one host")
    if not hosts:
        lines += header_lines([("host", authority)])
    lines += header_lines(request.headers, SET_HERE)
    lines.append("accept-encoding: identity")
    if body or request.method not in ("GET", "HEAD"):
        lines.append(f"content-length: {len(body)}")
    lines += more
    lines.append("\r\n")
    block = "\r\n".join(lines).encode("latin-1")
    return [block, body] if body else [block]
