"""The requests of one client: their targets and header fields.

(Engine.IO protocol, "URL".) Names in the query that are the protocol's own cannot be taken by ``query``. Whoever sends
a request adds what its connection needs: ``Content-Length`` and the fields of a WebSocket handshake.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from sioproto.engineio.fetch import Fetch
from sioproto.engineio.request import Request
from sioproto.errors import LocalProtocolError

if TYPE_CHECKING:
    from sioproto.config import EngineClientConfig, TransportName
    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.cookies import CookieJar
    from sioproto.engineio.origin import Origin
    from sioproto.engineio.request import Headers
    from sioproto.environment import Environment

TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
"""What the name of a header field, or of a subprotocol, is made of, in lower case (RFC 9110, section 5.6.2)."""

UNFIT_FOR_PATHS = frozenset('"#<>?\\^`{|}')
"""What is printable and cannot stand in the path of a request as it is (RFC 3986, section 3.3)."""

TRANSPORTS: tuple[TransportName, ...] = ("polling", "websocket")
POST_TYPE = ("content-type", "text/plain;charset=UTF-8")


class Requests:
    """Makes the requests of one connection, each with a time stamp of its own.

    Raises ``LocalProtocolError`` for a path, a query, header fields or subprotocols that could not be sent.
    """

    __slots__ = ("_config", "_environment", "_fields", "_jar", "_numbers", "_url")

    def __init__(
        self, url: Origin, config: EngineClientConfig, environment: Environment, jar: CookieJar | None
    ) -> None:
        self._url = url
        self._config = config
        self._environment = environment
        self._jar = jar
        self._numbers = count()
        check_target(config)
        for each in config.subprotocols:
            if not each or not TOKEN.issuperset(each.lower()):
                raise LocalProtocolError(f"{each!r} is no name for a subprotocol")
        self._fields = {name: self._headers(name) for name in TRANSPORTS}

    def poll(self, client: EngineClient) -> Fetch:
        """Returns a GET; before there is a session it is the one that asks for it."""
        return self._fetch(client, "GET", "polling")

    def post(self, client: EngineClient, body: bytes) -> Fetch:
        """Returns a POST."""
        fetch = self._fetch(client, "POST", "polling")
        fetch.request.headers.append(POST_TYPE)
        fetch.body = body
        return fetch

    def dial(self, client: EngineClient) -> Fetch:
        """Returns the request for a WebSocket; before there is a session it is one that brings its own."""
        fetch = self._fetch(client, "GET", "websocket")
        fetch.subprotocols = tuple(self._config.subprotocols)
        return fetch

    def _fetch(self, client: EngineClient, method: str, transport: TransportName) -> Fetch:
        fetch = Fetch(self._request(method, transport, client.id))
        fetch.engine = client
        return fetch

    def _request(self, method: str, transport: TransportName, sid: str) -> Request:
        headers = list(self._fields[transport])
        cookies = None if self._jar is None else self._jar.header()
        if cookies is not None:
            given = [value for name, value in headers if name == "cookie"]
            headers = [field for field in headers if field[0] != "cookie"]
            headers.append(("cookie", "; ".join([*given, cookies])))
        upgrade = transport == "websocket"
        return Request(method, self._target(transport, sid), headers, secure=self._url.secure, upgrade=upgrade)

    def _target(self, transport: TransportName, sid: str) -> str:
        config = self._config
        stamped = config.timestamp_requests
        if stamped is None:
            stamped = transport == "polling"
        own = {"EIO": "4", "transport": transport}
        last = {"b64": "1"} if config.force_base64 else {}
        if stamped:
            # The time keeps it apart from those of other connections, the number from those of this one.
            milliseconds = int(self._environment.wall() * 1000)
            last[config.timestamp_param] = f"{milliseconds:x}.{next(self._numbers):x}"
        if sid:
            last["sid"] = sid
        given = {name: value for name, value in config.query.items() if name not in (*own, *last, "sid")}
        return f"{config.target}?{urlencode(own | given | last, quote_via=quote)}"

    def _headers(self, transport: TransportName) -> Headers:
        """Returns the fields that every request over a transport has; the more specific option wins."""
        fields = {"host": self._url.authority}
        for given in (self._config.extra_headers, self._config.transport_headers.get(transport, {})):
            fields |= {name.lower(): value for name, value in given.items()}
        for name, value in fields.items():
            check_field(name, value)
        return list(fields.items())


def check_target(config: EngineClientConfig) -> None:
    """Raises ``LocalProtocolError`` for a path or a query that no request could have."""
    path = config.path
    if not (path.isascii() and path.isprintable()) or " " in path or not UNFIT_FOR_PATHS.isdisjoint(path):
        raise LocalProtocolError(f"path is written as it is sent, percent-encoded where that is needed, not {path!r}")
    try:
        urlencode({**config.query, config.timestamp_param: ""}, quote_via=quote)
    except UnicodeEncodeError:
        raise LocalProtocolError("a query cannot contain a lone surrogate: UTF-8 has none") from None


def check_field(name: str, value: str) -> None:
    """Raises ``LocalProtocolError`` for what cannot be a header field."""
    if not name or not TOKEN.issuperset(name):
        raise LocalProtocolError(f"{name!r} is no name for a header field")
    if not isinstance(value, str):
        raise LocalProtocolError(f"header field {name!r} is a str, not {type(value).__name__}")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise LocalProtocolError(f"header field {name!r} holds characters outside of latin-1") from None
    if any(each < " " or each == "\x7f" for each in value.replace("\t", "")):
        raise LocalProtocolError(f"header field {name!r} holds a line break, or another control")
