"""HTTP as the core sees it: a request's head, a response, and the exchange that holds the two together.

Nothing here parses bytes or knows a connection. Whoever owns one (``sioproto_wire``, an ASGI server, a test) makes a
``Request``, gets an ``Exchange`` for it, and sends the ``Response`` that the exchange receives sooner or later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_plus

if TYPE_CHECKING:
    from sioproto.engineio.link import Link
    from sioproto.engineio.session import Session

Headers = list[tuple[str, str]]
"""Header fields in order; names are lower-case in requests and written as given in responses."""

MAX_PARTS = 100
"""Parts of a query, as many as a request may have header fields. Each is decoded by itself, and sessions keep them."""


class Request:
    """The head of one HTTP request, body not included.

    ``target`` is the request target as received (path and query, undecoded). ``headers`` has lower-case names and
    values decoded as latin-1. ``address`` is the TCP peer, ``secure`` whether the connection is TLS, ``upgrade``
    whether the request asks for a WebSocket (and the owner of the connection has already checked that handshake).
    """

    __slots__ = ("_query", "address", "headers", "method", "secure", "target", "upgrade")

    def __init__(
        self,
        method: str,
        target: str,
        headers: Headers,
        *,
        address: str = "",
        secure: bool = False,
        upgrade: bool = False,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.address = address
        self.secure = secure
        self.upgrade = upgrade
        self._query: dict[str, str] | None = None

    def header(self, name: str) -> str | None:
        """Returns the value of a header field (``name`` in lower case), the first one if there are several."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def path(self) -> str:
        """The decoded path, without the query."""
        return unquote(self.target.partition("?")[0])

    @property
    def query(self) -> dict[str, str]:
        """The decoded query; of a name that is given twice the last value counts, as in Node.js.

        At most ``MAX_PARTS`` parts of it are looked at.
        """
        query = self._query
        if query is None:
            query = self._query = parse_query(self.target.partition("?")[2], MAX_PARTS)
        return query

    def __repr__(self) -> str:
        # The query names the session, which is a secret of both sides, and texts like this one end up in logs.
        return f"Request({self.method!r}, {self.target.partition('?')[0]!r})"


class Response:
    """One HTTP response. The connection's owner adds ``Content-Length``, ``Date`` and connection management."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Headers | None = None, body: bytes = b"") -> None:
        self.status = status
        self.headers: Headers = [] if headers is None else headers
        self.body = body

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"


class Exchange:
    """One request and the answer it is going to get.

    Made by ``receive_request``. While ``response`` is None the request is in hand: a held poll, a POST whose body is
    still awaited (``wants_body``), or a question to the application. As soon as it is answered it shows up in
    ``take_dirty()``, exactly once. A WebSocket that was accepted is answered with status 101 and has ``link`` set. For
    ``foreign`` the request is not Engine.IO's at all. ``headers`` are added to the answer. ``owner`` belongs to whoever
    made the request and is never looked at.
    """

    __slots__ = ("foreign", "headers", "link", "owner", "request", "response", "session", "wants_body")

    def __init__(self, request: Request, owner: object = None) -> None:
        self.request = request
        self.owner = owner
        self.response: Response | None = None
        self.headers: Headers = []
        self.session: Session | None = None
        self.link: Link | None = None
        self.foreign = False
        self.wants_body = False


def parse_query(text: str, max_parts: int | None = None) -> dict[str, str]:
    """Decodes a query string in linear time. ``+`` is a space; invalid UTF-8 is replaced; the last duplicate wins.

    What stands behind ``max_parts`` is ignored.
    """
    query: dict[str, str] = {}
    for part in text.split("&") if max_parts is None else text.split("&", max_parts)[:max_parts]:
        if part:
            name, _, value = part.partition("=")
            if "%" in part or "+" in part:
                name, value = unquote_plus(name), unquote_plus(value)
            query[name] = value
    return query
