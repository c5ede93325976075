"""The judgement of an HTTP request: what it asks for, or why it is refused. Sessions are looked up, never touched.

The first failing check decides, in this order: the path, a preflight, the parts of the query, the transport, the
origin; with a session id: the session, its transport, the protocol version, the method; without one: the method, the
handshake of the transport, the version (Engine.IO protocol, "Handshake"; codes and texts are those of the reference
server). All of it comes before a WebSocket is accepted, so that a refused client gets a proper HTTP answer. What only
the application can know (``allow_request``) is asked after ``Open`` by whoever called ``judge``.

Below the judgement stands what responses of Engine.IO need besides their body: the session cookie, the address of
the client behind proxies, compression. Nothing here raises because of what a peer sent, and no text to the peer
repeats it.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeAlias, TypeVar
from urllib.parse import quote

from sioproto.engineio.cors import cors_headers as cors_headers  # of this module's surface, too
from sioproto.engineio.cors import is_field_value, origin_allowed, preflight_headers
from sioproto.engineio.request import MAX_PARTS, Headers, Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.config import EngineConfig, TransportName


class ErrorCode(IntEnum):
    """The codes in the body of a refusal, as stock clients know them."""

    UNKNOWN_TRANSPORT = 0
    UNKNOWN_SID = 1
    BAD_HANDSHAKE_METHOD = 2
    BAD_REQUEST = 3
    FORBIDDEN = 4
    UNSUPPORTED_PROTOCOL_VERSION = 5


MESSAGES: Final = {
    ErrorCode.UNKNOWN_TRANSPORT: "Transport unknown",
    ErrorCode.UNKNOWN_SID: "Session ID unknown",
    ErrorCode.BAD_HANDSHAKE_METHOD: "Bad handshake method",
    ErrorCode.BAD_REQUEST: "Bad request",
    ErrorCode.FORBIDDEN: "Forbidden",
    ErrorCode.UNSUPPORTED_PROTOCOL_VERSION: "Unsupported protocol version",
}
ORIGIN_MESSAGE: Final = "Origin not allowed: see the server option cors"


class SessionLike(Protocol):
    """What the judgement needs to know of a session."""

    @property
    def transport_name(self) -> str:
        """``"polling"`` or ``"websocket"``: the transport that the session runs over now."""


S = TypeVar("S", bound=SessionLike)


@dataclass(slots=True)
class NotOurs:
    """The path is not Engine.IO's; somebody else answers."""


@dataclass(slots=True)
class Preflight:
    """A browser asks whether a page may make its request (Fetch standard, "CORS-preflight request")."""

    response: Response


@dataclass(slots=True)
class Refuse:
    """The request is refused, to be reported as ``connection_error``; no session is affected.

    ``context`` holds the details under the reference server's names. It may repeat the peer's input, so it is for the
    application alone; ``response`` never does.
    """

    code: ErrorCode
    message: str
    context: dict[str, Any]
    response: Response

    @property
    def name(self) -> str | None:
        """The name in the context that tells the causes of one code apart, such as ``TRANSPORT_MISMATCH``."""
        name: str | None = self.context.get("name")
        return name


@dataclass(slots=True)
class Unsupported:
    """HTTP that an established session has no use for (405, 415). It stays as it is, and nothing is reported."""

    response: Response


@dataclass(slots=True)
class Open:
    """A new session is asked for, over ``transport``."""

    transport: TransportName


@dataclass(slots=True)
class Poll(Generic[S]):
    """A GET that wants the session's packets."""

    session: S


@dataclass(slots=True)
class Post(Generic[S]):
    """A POST that brings packets. ``binary`` marks the framing of older protocols, which ends the session."""

    session: S
    binary: bool = False


@dataclass(slots=True)
class Attach(Generic[S]):
    """A WebSocket for an existing session. Whether that one is upgrading already is for the session to say."""

    session: S


Verdict: TypeAlias = NotOurs | Preflight | Refuse | Unsupported | Open | Poll[S] | Post[S] | Attach[S]


def judge(request: Request, config: EngineConfig, lookup: Callable[[str], S | None]) -> Verdict[S]:
    """Judges a request head. ``lookup`` finds a session by id; nothing is changed and nothing raises."""
    # A test on the raw target, as the reference server does it: what follows the prefix does not matter.
    if not request.target.startswith(config.prefix):
        return NotOurs()
    # Of several fields of one name the first wins. One scan, in C, serves every check below.
    fields = dict(reversed(request.headers))
    origin = fields.get("origin") or None
    preflight = origin is not None and request.method == "OPTIONS"
    if preflight and config.cors is not None:
        return Preflight(Response(204, preflight_headers(request, config.cors)))
    if request.target.count("&") >= MAX_PARTS:
        return bad_request(request, config, "QUERY_TOO_LONG")
    query = request.query
    transport = query.get("transport")
    if transport not in config.transports:
        return refuse(request, config, ErrorCode.UNKNOWN_TRANSPORT, transport=transport)
    if origin is not None:
        if not is_field_value(origin):
            return refuse(request, config, ErrorCode.BAD_REQUEST, name="INVALID_ORIGIN", origin=origin)
        # A preflight without a policy does nothing anyway: its method is refused below, as the reference server does.
        if not preflight and not origin_allowed(origin, fields, config, secure=request.secure):
            return forbidden(request, config, ORIGIN_MESSAGE, name="ORIGIN_NOT_ALLOWED", origin=origin)
    sid = query.get("sid")
    if sid:
        session = lookup(sid)
        if session is None:
            return refuse(request, config, ErrorCode.UNKNOWN_SID, sid=sid)
        return judge_established(request, config, session, transport, fields)
    return judge_handshake(request, config, transport)


def judge_established(
    request: Request, config: EngineConfig, session: S, transport: TransportName, fields: dict[str, str]
) -> Refuse | Unsupported | Poll[S] | Post[S] | Attach[S]:
    """Judges a request that names a known session."""
    upgrade = request.upgrade
    if not upgrade and transport != session.transport_name:
        names = {"transport": transport, "previousTransport": session.transport_name}
        return refuse(request, config, ErrorCode.BAD_REQUEST, name="TRANSPORT_MISMATCH", **names)
    if upgrade != (transport == "websocket"):
        return refuse(request, config, ErrorCode.BAD_REQUEST, name="TRANSPORT_HANDSHAKE_ERROR")
    if request.query.get("EIO") != "4":
        mismatch = {"name": "PROTOCOL_MISMATCH", "protocol": 3, "previousProtocol": 4}
        return refuse(request, config, ErrorCode.BAD_REQUEST, **mismatch)
    method = request.method
    if upgrade:
        if method != "GET":
            return unsupported(request, config, 405, [("Allow", "GET")])
        # The reference server only stops advertising upgrades: a client that tries one anyway gets it there.
        if not config.allow_upgrades:
            return refuse(request, config, ErrorCode.BAD_REQUEST, name="UPGRADE_NOT_ALLOWED")
        return Attach(session)
    if method == "GET":
        return Poll(session)
    if method == "POST":
        # Nothing that a peer compressed is ever inflated: a small body could become an arbitrarily large one.
        if fields.get("content-encoding", "identity").lower() != "identity":
            return unsupported(request, config, 415, [("Accept-Encoding", "identity")])
        return Post(session, fields.get("content-type") == "application/octet-stream")
    return unsupported(request, config, 405, [("Allow", "GET, POST")])


def judge_handshake(request: Request, config: EngineConfig, transport: TransportName) -> Open | Refuse:
    """Judges a request that wants a new session."""
    if request.method != "GET":
        return refuse(request, config, ErrorCode.BAD_HANDSHAKE_METHOD, method=request.method)
    # Both ways round: a WebSocket that says transport=polling would be a session that nobody can reach.
    if request.upgrade != (transport == "websocket"):
        return refuse(request, config, ErrorCode.BAD_REQUEST, name="TRANSPORT_HANDSHAKE_ERROR")
    if request.query.get("EIO") != "4":
        return refuse(request, config, ErrorCode.UNSUPPORTED_PROTOCOL_VERSION, protocol=3)
    return Open(transport)


def refuse(request: Request, config: EngineConfig, code: ErrorCode, /, **context: Any) -> Refuse:
    """Returns the refusal with the fixed text of ``code``."""
    return refusal(request, config, code, MESSAGES[code], context)


def forbidden(request: Request, config: EngineConfig, message: str = "Forbidden", /, **context: Any) -> Refuse:
    """Returns a refusal with code 4 and a text of the application's or ours: what ``allow_request`` comes to."""
    return refusal(request, config, ErrorCode.FORBIDDEN, message, {"message": message, **context})


def bad_request(request: Request, config: EngineConfig, name: str, /, **context: Any) -> Refuse:
    """Returns a refusal with code 3, for the reason that ``name`` says in its context."""
    return refusal(request, config, ErrorCode.BAD_REQUEST, MESSAGES[ErrorCode.BAD_REQUEST], {"name": name, **context})


def refusal(request: Request, config: EngineConfig, code: ErrorCode, message: str, context: dict[str, Any]) -> Refuse:
    """Builds a refusal: the same for polling and WebSocket, and readable by a page of an origin that CORS lists."""
    status = 403 if code == ErrorCode.FORBIDDEN else 400
    headers = [("Content-Type", "application/json"), *cors_headers(request, config)]
    body = json.dumps({"code": code, "message": message}, separators=(",", ":"))
    return Refuse(code, message, context, Response(status, headers, body.encode()))


def unsupported(request: Request, config: EngineConfig, status: int, headers: Headers) -> Unsupported:
    """Builds the bodiless answer for HTTP that a session has no use for."""
    return Unsupported(Response(status, headers + cors_headers(request, config)))


def wants_base64(request: Request) -> bool:
    """Whether the client that opens this session cannot take binary frames: ``b64`` in the query, with any value."""
    return bool(request.query.get("b64"))


def session_cookie(config: EngineConfig, sid: str) -> str | None:
    """Returns the ``Set-Cookie`` value for the first response of a polling session, or None without the option.

    Never for a WebSocket: the reference server sets none there. The attributes stand in its order.
    """
    cookie = config.cookie
    if cookie is None:
        return None
    parts = [f"{cookie.name}={quote(sid, safe=COOKIE_SAFE)}"]
    if cookie.max_age is not None:
        parts.append(f"Max-Age={cookie.max_age}")
    if cookie.domain is not None:
        parts.append(f"Domain={cookie.domain}")
    parts.append(f"Path={cookie.path}")
    if cookie.http_only:
        parts.append("HttpOnly")
    if cookie.secure:
        parts.append("Secure")
    if cookie.same_site is not None:
        parts.append(f"SameSite={cookie.same_site.title()}")
    return "; ".join(parts)


COOKIE_SAFE: Final = "!'()*"
"""What ``encodeURIComponent`` leaves alone besides letters, digits and ``-._~``."""


Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

MAX_HOPS: Final = 32
"""Entries of ``X-Forwarded-For`` that are looked at, from the right."""


def client_address(request: Request, config: EngineConfig) -> tuple[str, bool]:
    """Returns the address of the client and whether its connection was TLS.

    ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed only when the TCP peer is a trusted proxy. Each proxy
    appends whom it saw, so the entries are read from the right: the first that is no trusted proxy is the client, and
    what stands further left is hearsay. An entry that is no address ends the walk at the last hop that was one, because
    behind it nothing is known.
    """
    address, secure = request.address, request.secure
    if not config.trusted_proxies or not is_trusted(config.trusted_proxies, address):
        return address, secure
    depth = 0
    for index, hop in enumerate(forwarded(request, "x-forwarded-for")):
        parsed = parse_hop(hop)
        if parsed is None:
            break
        address, depth = str(parsed), index
        if not is_trusted(config.trusted_proxies, address):
            break
    schemes = forwarded(request, "x-forwarded-proto")
    # Most proxies overwrite the scheme; those that append keep one for each hop.
    scheme = schemes[min(depth, len(schemes) - 1)].lower() if schemes else ""
    if scheme in ("http", "https"):
        secure = scheme == "https"
    return address, secure


def forwarded(request: Request, name: str) -> list[str]:
    """Returns the entries of a list header, the right-most first, at most ``MAX_HOPS``."""
    value = ",".join([value for key, value in request.headers if key == name])
    return [part.strip() for part in reversed(value.rsplit(",", MAX_HOPS)[-MAX_HOPS:])] if value else []


def parse_hop(text: str) -> Address | None:
    """Reads an entry of ``X-Forwarded-For``: an address, maybe with a port, IPv6 maybe in brackets."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return unmapped(address)


def unmapped(address: Address) -> Address:
    """Returns the IPv4 address that a dual-stack socket shows as IPv6."""
    return getattr(address, "ipv4_mapped", None) or address


def is_trusted(proxies: tuple[str, ...], address: str) -> bool:
    """Whether ``address`` is one of the proxies: word for word (the peer of a Unix socket has no IP), or as an IP."""
    if address in proxies:
        return True
    parsed = parse_hop(address)
    return parsed is not None and any(parsed in network for network in networks(proxies))


@lru_cache(maxsize=8)
def networks(proxies: tuple[str, ...]) -> tuple[Network, ...]:
    """Returns those of ``proxies`` that are addresses or networks (``10.0.0.0/8``)."""
    found: list[Network] = []
    for text in proxies:
        try:
            found.append(ip_network(text, strict=False))
        except ValueError:
            continue
    return tuple(found)


def compress_body(body: bytes, request: Request, config: EngineConfig) -> tuple[bytes, Headers]:
    """Compresses a polling response where the options and the client allow it; returns the body and the headers to add.

    Whether the packets want compression at all is known to the caller alone.
    """
    compression = config.http_compression
    if compression is None or len(body) < compression.threshold:
        return body, []
    headers = [("Vary", "Accept-Encoding")]
    encoding = accepted_encoding(request)
    if encoding is None:
        return body, headers
    # Both wrappers are zlib's own, which writes no time into the gzip one: the same body gives the same bytes.
    # HTTP's "deflate" is the zlib format (RFC 9110, section 8.4.1.2).
    body = zlib.compress(body, compression.level, 31 if encoding == "gzip" else 15)
    return body, [("Content-Encoding", encoding), *headers]


def accepted_encoding(request: Request) -> str | None:
    """Returns ``gzip`` or ``deflate``, the one with the higher quality, gzip of equals; or None for no compression."""
    value = request.header("accept-encoding")
    if value is None:
        return None
    accepted: dict[str, float] = {}
    for part in value.split(","):
        coding, *parameters = part.split(";")
        accepted[coding.strip().lower()] = quality(parameters)
    default = accepted.get("*", 0.0)
    gzip, deflate = accepted.get("gzip", default), accepted.get("deflate", default)
    best = max(gzip, deflate)
    if best <= 0.0 or best < accepted.get("identity", 0.0):
        return None
    return "gzip" if gzip >= deflate else "deflate"


def quality(parameters: list[str]) -> float:
    """Returns the weight among the parameters of an entry (RFC 9110, section 12.4.2): 1 without one, 0 for nonsense."""
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            value = value.strip()
            digits = value.replace(".", "", 1)
            if len(value) <= 5 and digits.isascii() and digits.isdigit():
                return min(float(value), 1.0)
            return 0.0
    return 1.0
