"""The judgement of requests row by row, and what stands beside it: CORS, cookies, proxies, compression."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto.config import CorsPolicy, EngineConfig, HttpCompression, SessionCookie
from sioproto.engineio.http import (
    Attach,
    ErrorCode,
    NotOurs,
    Open,
    Poll,
    Post,
    Preflight,
    Refuse,
    Unsupported,
    Verdict,
    client_address,
    compress_body,
    cors_headers,
    forbidden,
    judge,
    session_cookie,
    wants_base64,
)
from sioproto.engineio.request import Headers, Request


@dataclass
class FakeSession:
    transport_name: str


SESSIONS = {"poll": FakeSession("polling"), "ws": FakeSession("websocket")}
PLAIN = EngineConfig()
OPEN = "EIO=4&transport=polling"
SOCKET = "EIO=4&transport=websocket"
EVIL = ("origin", "https://evil.example")
APP = ("origin", "https://app.example")
HOST = ("host", "api.example")


def request(query: str = OPEN, method: str = "GET", *headers: tuple[str, str], **options: Any) -> Request:
    return Request(method, "/socket.io/?" + query, [HOST, *headers], **options)


def verdict(request: Request, config: EngineConfig = PLAIN) -> Verdict[FakeSession]:
    return judge(request, config, SESSIONS.get)


def refused(request: Request, config: EngineConfig = PLAIN) -> Refuse:
    found = verdict(request, config)
    assert isinstance(found, Refuse)
    return found


def with_cors(origins: Literal["*"] | tuple[str, ...], **options: Any) -> EngineConfig:
    return EngineConfig(cors=CorsPolicy(origins=origins, **options))


# What is let through


def test_the_limit_on_parts_of_the_query_is_exact() -> None:
    """Each part costs a dozen times its size for as long as the session lives."""
    many = "".join(f"&{number}=%41+{number}" for number in range(98))
    asked = request(OPEN + many)
    assert verdict(asked) == Open("polling")
    assert len(asked.query) == 100
    assert asked.query["97"] == "A 97"
    assert isinstance(verdict(request(OPEN + many + "&98")), Refuse)
    # Whoever else answers requests does not get more of it either.
    foreign = Request("GET", "/elsewhere?" + "&".join(f"{number}=x" for number in range(8000)), [HOST])
    assert list(foreign.query) == [str(number) for number in range(100)]


def test_open() -> None:
    assert verdict(request(OPEN)) == Open("polling")
    assert verdict(request(SOCKET, upgrade=True)) == Open("websocket")
    assert verdict(request(OPEN + "&sid=")) == Open("polling")  # an empty id is none, as in Node.js


def test_poll_and_post_carry_the_session() -> None:
    assert verdict(request(OPEN + "&sid=poll")) == Poll(SESSIONS["poll"])
    assert verdict(request(OPEN + "&sid=poll", "POST")) == Post(SESSIONS["poll"])


@pytest.mark.parametrize(
    ("content_type", "binary"),
    [
        ("application/octet-stream", True),
        ("text/plain;charset=UTF-8", False),
        ("application/octet-stream; a=b", False),
    ],
)
def test_post_says_whether_its_body_is_in_the_binary_framing(content_type: str, binary: bool) -> None:
    found = verdict(request(OPEN + "&sid=poll", "POST", ("content-type", content_type)))
    assert found == Post(SESSIONS["poll"], binary)


@pytest.mark.parametrize("sid", ["poll", "ws"])
def test_attach_leaves_it_to_the_session_whether_it_can_upgrade(sid: str) -> None:
    assert verdict(request(f"{SOCKET}&sid={sid}", upgrade=True)) == Attach(SESSIONS[sid])


@pytest.mark.parametrize(
    ("target", "path", "slash", "ours"),
    [
        ("/socket.io/?EIO=4&transport=polling", "/socket.io", True, True),
        ("/socket.io/any/thing?EIO=4&transport=polling", "/socket.io", True, True),
        ("/socket.io/?EIO=4&transport=polling", "/socket.io/", True, True),
        ("/socket.io?EIO=4&transport=polling", "/socket.io", True, False),
        ("/socket.iox/?EIO=4&transport=polling", "/socket.io", True, False),
        ("/%73ocket.io/?EIO=4&transport=polling", "/socket.io", True, False),
        ("http://a/socket.io/?EIO=4&transport=polling", "/socket.io", True, False),
        ("*", "/socket.io", True, False),
        ("", "/socket.io", True, False),
        ("/socket.io?EIO=4&transport=polling", "/socket.io", False, True),
        ("/socket.io/?EIO=4&transport=polling", "/socket.io", False, True),
        ("/other?EIO=4&transport=polling", "/", True, True),
    ],
)
def test_the_path_is_a_prefix_of_the_raw_target(target: str, path: str, slash: bool, ours: bool) -> None:
    found = verdict(Request("GET", target, []), EngineConfig(path=path, add_trailing_slash=slash))
    assert found == (Open("polling") if ours else NotOurs())


# The error table: request, configuration, then code, message and context of the refusal

NO_UPGRADES = EngineConfig(allow_upgrades=False)
POLLING_ONLY = EngineConfig(transports=("polling",))
HANDSHAKE_ERROR = {"name": "TRANSPORT_HANDSHAKE_ERROR"}
ORIGIN_MESSAGE = "Origin not allowed: see the server option cors"
ERRORS: dict[str, tuple[Request, EngineConfig, int, str, dict[str, Any]]] = {
    "no transport": (request("EIO=4"), PLAIN, 0, "Transport unknown", {"transport": None}),
    "odd transport": (request("EIO=4&transport=abc"), PLAIN, 0, "Transport unknown", {"transport": "abc"}),
    "webtransport": (
        request("EIO=4&transport=webtransport"),
        PLAIN,
        0,
        "Transport unknown",
        {"transport": "webtransport"},
    ),
    "transport switched off": (
        request(SOCKET, upgrade=True),
        POLLING_ONLY,
        0,
        "Transport unknown",
        {"transport": "websocket"},
    ),
    "last duplicate counts": (
        request(OPEN + "&transport=x"),
        PLAIN,
        0,
        "Transport unknown",
        {"transport": "x"},
    ),
    "unknown sid": (request(OPEN + "&sid=abc"), PLAIN, 1, "Session ID unknown", {"sid": "abc"}),
    "sid like a prototype key": (
        request(OPEN + "&sid=__proto__"),
        PLAIN,
        1,
        "Session ID unknown",
        {"sid": "__proto__"},
    ),
    "long sid": (request(OPEN + "&sid=" + "a" * 15000), PLAIN, 1, "Session ID unknown", {"sid": "a" * 15000}),
    "odd sid": (request(OPEN + "&sid=%00%ff"), PLAIN, 1, "Session ID unknown", {"sid": "\0\ufffd"}),
    "unknown sid by POST": (
        request(OPEN + "&sid=abc", "POST"),
        PLAIN,
        1,
        "Session ID unknown",
        {"sid": "abc"},
    ),
    "unknown sid by upgrade": (
        request(SOCKET + "&sid=abc", upgrade=True),
        PLAIN,
        1,
        "Session ID unknown",
        {"sid": "abc"},
    ),
    "POST without sid": (request(OPEN, "POST"), PLAIN, 2, "Bad handshake method", {"method": "POST"}),
    "HEAD without sid": (request(OPEN, "HEAD"), PLAIN, 2, "Bad handshake method", {"method": "HEAD"}),
    "OPTIONS without cors": (
        request(OPEN, "OPTIONS"),
        PLAIN,
        2,
        "Bad handshake method",
        {"method": "OPTIONS"},
    ),
    "preflight without cors": (
        request(OPEN, "OPTIONS", APP, ("access-control-request-method", "POST")),
        PLAIN,
        2,
        "Bad handshake method",
        {"method": "OPTIONS"},
    ),
    "OPTIONS without origin": (
        request(OPEN, "OPTIONS"),
        with_cors("*"),
        2,
        "Bad handshake method",
        {"method": "OPTIONS"},
    ),
    "websocket without upgrade": (request(SOCKET), PLAIN, 3, "Bad request", HANDSHAKE_ERROR),
    "upgrade with polling": (request(OPEN, upgrade=True), PLAIN, 3, "Bad request", HANDSHAKE_ERROR),
    "upgrade with polling and sid": (
        request(OPEN + "&sid=poll", upgrade=True),
        PLAIN,
        3,
        "Bad request",
        HANDSHAKE_ERROR,
    ),
    "websocket with sid without upgrade": (
        request(SOCKET + "&sid=ws"),
        PLAIN,
        3,
        "Bad request",
        HANDSHAKE_ERROR,
    ),
    "websocket without upgrade on a polling session": (
        request(SOCKET + "&sid=poll"),
        PLAIN,
        3,
        "Bad request",
        {"name": "TRANSPORT_MISMATCH", "transport": "websocket", "previousTransport": "polling"},
    ),
    "poll after the upgrade": (
        request(OPEN + "&sid=ws"),
        PLAIN,
        3,
        "Bad request",
        {"name": "TRANSPORT_MISMATCH", "transport": "polling", "previousTransport": "websocket"},
    ),
    "invalid origin": (
        request(OPEN, "GET", ("origin", "http://a\x00")),
        with_cors("*"),
        3,
        "Bad request",
        {"name": "INVALID_ORIGIN", "origin": "http://a\x00"},
    ),
    "other version with sid": (
        request("EIO=3&transport=polling&sid=poll"),
        PLAIN,
        3,
        "Bad request",
        {"name": "PROTOCOL_MISMATCH", "protocol": 3, "previousProtocol": 4},
    ),
    "no version with sid": (
        request("transport=websocket&sid=poll", upgrade=True),
        PLAIN,
        3,
        "Bad request",
        {"name": "PROTOCOL_MISMATCH", "protocol": 3, "previousProtocol": 4},
    ),
    "upgrades not allowed": (
        request(SOCKET + "&sid=poll", upgrade=True),
        NO_UPGRADES,
        3,
        "Bad request",
        {"name": "UPGRADE_NOT_ALLOWED"},
    ),
    "too many parts of the query": (
        request(OPEN + "&a" * 99),
        PLAIN,
        3,
        "Bad request",
        {"name": "QUERY_TOO_LONG"},
    ),
    "too many empty parts of the query": (
        request("&" * 100 + SOCKET + "&sid=poll", upgrade=True),
        PLAIN,
        3,
        "Bad request",
        {"name": "QUERY_TOO_LONG"},
    ),
    "foreign origin": (
        request(OPEN, "GET", EVIL),
        PLAIN,
        4,
        ORIGIN_MESSAGE,
        {"message": ORIGIN_MESSAGE, "name": "ORIGIN_NOT_ALLOWED", "origin": "https://evil.example"},
    ),
    "no version": (request("transport=polling"), PLAIN, 5, "Unsupported protocol version", {"protocol": 3}),
    "version 3": (
        request("EIO=3&transport=polling"),
        PLAIN,
        5,
        "Unsupported protocol version",
        {"protocol": 3},
    ),
    "version 5": (
        request("EIO=5&transport=polling"),
        PLAIN,
        5,
        "Unsupported protocol version",
        {"protocol": 3},
    ),
    "version 04": (
        request("EIO=04&transport=polling"),
        PLAIN,
        5,
        "Unsupported protocol version",
        {"protocol": 3},
    ),
    "version 3 by websocket": (
        request("EIO=3&transport=websocket", upgrade=True),
        PLAIN,
        5,
        "Unsupported protocol version",
        {"protocol": 3},
    ),
}


@pytest.mark.parametrize("row", ERRORS)
def test_error_table(row: str) -> None:
    asked, config, code, message, context = ERRORS[row]
    found = refused(asked, config)
    assert (found.code, found.message, found.context) == (code, message, context)
    assert found.name == context.get("name")
    assert found.response.status == (403 if code == 4 else 400)
    assert found.response.headers[0] == ("Content-Type", "application/json")
    assert found.response.body == b'{"code":%d,"message":"%s"}' % (code, message.encode())


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "get"])
def test_other_methods_on_a_session_get_405(method: str) -> None:
    found = verdict(request(OPEN + "&sid=poll", method))
    assert isinstance(found, Unsupported)
    assert (found.response.status, found.response.headers) == (405, [("Allow", "GET, POST")])
    assert found.response.body == b""


def test_an_upgrade_by_another_method_gets_405() -> None:
    found = verdict(request(SOCKET + "&sid=poll", "POST", upgrade=True))
    assert isinstance(found, Unsupported)
    assert (found.response.status, found.response.headers) == (405, [("Allow", "GET")])


@pytest.mark.parametrize(("encoding", "taken"), [("gzip", False), ("identity", True), ("Identity", True)])
def test_compressed_bodies_are_not_taken(encoding: str, taken: bool) -> None:
    found = verdict(request(OPEN + "&sid=poll", "POST", ("content-encoding", encoding)), with_cors("*"))
    if taken:
        assert found == Post(SESSIONS["poll"])
    else:
        assert isinstance(found, Unsupported)
        assert found.response.status == 415
        assert ("Access-Control-Allow-Origin", "*") in found.response.headers


def test_the_first_failing_check_decides() -> None:
    """One request fails every check; mending the first failure each time brings the next one to light."""
    bad = ("origin", "http://a\x7f")
    config = with_cors(("https://app.example",))
    handshake = [
        (Request("POST", "/x/?EIO=3", [HOST, bad]), None),
        (request("EIO=3", "POST", bad), ErrorCode.UNKNOWN_TRANSPORT),
        (request("EIO=3&transport=websocket", "POST", bad), ErrorCode.BAD_REQUEST),
        (request("EIO=3&transport=websocket", "POST", EVIL), ErrorCode.FORBIDDEN),
        (request("EIO=3&transport=websocket", "POST", APP), ErrorCode.BAD_HANDSHAKE_METHOD),
        (request("EIO=3&transport=websocket", "GET", APP), ErrorCode.BAD_REQUEST),
        (
            request("EIO=3&transport=websocket", "GET", APP, upgrade=True),
            ErrorCode.UNSUPPORTED_PROTOCOL_VERSION,
        ),
    ]
    for asked, code in handshake:
        found = verdict(asked, config)
        assert (found.code if isinstance(found, Refuse) else None) == code
    established = [
        (request("transport=polling&sid=no", "PUT", EVIL), "ORIGIN_NOT_ALLOWED"),
        (request("transport=polling&sid=no", "PUT", APP), None),
        (request("transport=polling&sid=ws", "PUT", APP), "TRANSPORT_MISMATCH"),
        (request("transport=websocket&sid=ws", "PUT", APP), "TRANSPORT_HANDSHAKE_ERROR"),
        (request("transport=polling&sid=poll", "PUT", APP), "PROTOCOL_MISMATCH"),
    ]
    for asked, name in established:
        assert refused(asked, config).name == name
    assert isinstance(verdict(request(OPEN + "&sid=poll", "PUT", APP), config), Unsupported)


def test_what_the_application_refuses() -> None:
    found = forbidden(request(), PLAIN)
    assert (found.code, found.context, found.response.status) == (4, {"message": "Forbidden"}, 403)
    found = forbidden(request(), PLAIN, 'nothing "here" \u00e9')
    assert json.loads(found.response.body) == {"code": 4, "message": 'nothing "here" \u00e9'}


# Origins

SAME_SITE = ("sec-fetch-site", "same-origin")


@pytest.mark.parametrize(
    ("origin", "host", "secure", "allowed"),
    [
        ("http://a.example", "a.example", False, True),
        ("http://a.example", "a.example:80", False, True),
        ("http://a.example:80", "a.example", False, True),
        ("http://A.example", "a.EXAMPLE", False, True),
        ("http://a.example:3000", "a.example:3000", False, True),
        ("http://a.example:3000", "a.example:3001", False, False),
        ("http://a.example:3000", "a.example", False, False),
        ("http://a.example", "a.example:443", False, False),
        ("https://a.example", "a.example", False, True),  # a proxy took the TLS off
        ("https://a.example", "a.example:443", True, True),
        ("https://a.example", "a.example:80", True, False),
        ("http://a.example", "a.example", True, False),
        ("http://[::1]:3000", "[::1]:3000", False, True),
        ("http://[::1]", "[::1]:80", False, True),
        ("http://b.example", "a.example", False, False),
        ("http://a.example.evil", "a.example", False, False),
        ("http://evil/a.example", "a.example", False, False),
        ("null", "a.example", False, False),
        ("null", "null", False, False),
        ("file://", "", False, False),
        ("http://", "", False, False),
        ("http://:80", "", False, False),
        ("capacitor://localhost", "localhost", False, False),
        ("a.example", "a.example", False, False),
    ],
)
def test_pages_of_the_same_host_are_allowed(origin: str, host: str, secure: bool, allowed: bool) -> None:
    asked = Request("GET", "/socket.io/?" + OPEN, [("host", host), ("origin", origin)], secure=secure)
    found = verdict(asked)
    assert isinstance(found, Open if allowed else Refuse)


def test_an_origin_without_a_host_header_is_foreign() -> None:
    assert isinstance(verdict(Request("GET", "/socket.io/?" + OPEN, [("origin", "http://a")])), Refuse)


def test_the_browsers_own_word_counts() -> None:
    assert verdict(request(OPEN, "GET", EVIL, SAME_SITE)) == Open("polling")
    for site in ("same-site", "cross-site", "none"):
        assert refused(request(OPEN, "GET", EVIL, ("sec-fetch-site", site))).code == 4


@pytest.mark.parametrize(
    ("query", "method", "upgrade"),
    [
        (OPEN, "GET", False),
        (SOCKET, "GET", True),
        (OPEN + "&sid=poll", "GET", False),
        (OPEN + "&sid=poll", "POST", False),
        (SOCKET + "&sid=poll", "GET", True),
    ],
)
@pytest.mark.parametrize(
    ("origin", "config", "allowed"),
    [
        (None, PLAIN, True),
        ("", PLAIN, True),
        ("https://api.example", PLAIN, True),
        ("https://evil.example", PLAIN, False),
        ("null", PLAIN, False),
        ("https://evil.example", with_cors("*"), True),
        ("null", with_cors("*"), True),
        ("https://app.example", with_cors(("https://app.example", "null")), True),
        ("null", with_cors(("https://app.example", "null")), True),
        ("https://evil.example", with_cors(("https://app.example",)), False),
        ("http://app.example", with_cors(("https://app.example",)), False),
        ("https://api.example", with_cors(()), True),
        (None, with_cors(()), True),
    ],
)
def test_every_request_of_both_transports_has_its_origin_checked(
    query: str, method: str, upgrade: bool, origin: str | None, config: EngineConfig, allowed: bool
) -> None:
    headers = [] if origin is None else [("origin", origin)]
    found = verdict(request(query, method, *headers, upgrade=upgrade), config)
    if allowed:
        assert isinstance(found, Open | Poll | Post | Attach)
    else:
        assert isinstance(found, Refuse)
        assert (found.code, found.response.status) == (4, 403)


# CORS headers

ECHO = ("Access-Control-Allow-Origin", "https://app.example")
ANY = ("Access-Control-Allow-Origin", "*")
VARY = ("Vary", "Origin")
CREDENTIALS = ("Access-Control-Allow-Credentials", "true")


@pytest.mark.parametrize(
    ("config", "origin", "headers"),
    [
        (PLAIN, "https://app.example", []),
        (with_cors("*"), None, [ANY]),
        (with_cors("*"), "https://app.example", [ANY]),
        (with_cors("*", credentials=True), "https://app.example", [ECHO, VARY, CREDENTIALS]),
        (with_cors("*", credentials=True), None, [VARY, CREDENTIALS]),
        (with_cors("*", credentials=True), "https://a\r\nb", [VARY, CREDENTIALS]),
        (with_cors(("https://app.example",)), "https://app.example", [ECHO, VARY]),
        (with_cors(("https://app.example",)), "https://evil.example", [VARY]),
        (with_cors(("https://app.example",)), None, [VARY]),
        (
            with_cors(("https://app.example",), credentials=True),
            "https://app.example",
            [ECHO, VARY, CREDENTIALS],
        ),
        (with_cors("*", expose=("X-A", "X-B")), None, [ANY, ("Access-Control-Expose-Headers", "X-A,X-B")]),
    ],
)
def test_cors_headers(config: EngineConfig, origin: str | None, headers: Headers) -> None:
    asked = request(OPEN, "GET", *([] if origin is None else [("origin", origin)]))
    assert cors_headers(asked, config) == headers
    # Refusals carry them, too: only so can a page read why.
    assert refused(request("", "GET", *asked.headers), config).response.headers[1:] == headers


def preflight(config: EngineConfig, *headers: tuple[str, str], query: str = OPEN) -> Headers:
    asked = ("access-control-request-method", "POST")
    found = verdict(request(query, "OPTIONS", APP, asked, *headers), config)
    assert isinstance(found, Preflight)
    assert (found.response.status, found.response.body) == (204, b"")
    return found.response.headers


METHODS = ("Access-Control-Allow-Methods", "GET,HEAD,PUT,PATCH,POST,DELETE")
VARY_HEADERS = ("Vary", "Access-Control-Request-Headers")


def test_preflight() -> None:
    assert preflight(with_cors("*")) == [ANY, METHODS, VARY_HEADERS]
    assert preflight(with_cors(("https://app.example",), credentials=True)) == [
        ECHO,
        VARY,
        CREDENTIALS,
        METHODS,
        VARY_HEADERS,
    ]


def test_preflight_comes_before_every_other_check() -> None:
    assert preflight(with_cors("*"), query="sid=unknown") == [ANY, METHODS, VARY_HEADERS]


def test_preflight_of_an_origin_that_is_not_listed_gets_no_permission() -> None:
    assert preflight(with_cors(("https://other.example",))) == [VARY, METHODS, VARY_HEADERS]


def test_preflight_echoes_the_headers_asked_for_if_they_are_clean() -> None:
    asked = ("access-control-request-headers", "x-a, x-b")
    allowed = ("Access-Control-Allow-Headers", "x-a, x-b")
    assert preflight(with_cors("*"), asked) == [ANY, METHODS, VARY_HEADERS, allowed]
    assert preflight(with_cors("*"), (asked[0], "x-a\r\nset-cookie: b")) == [ANY, METHODS, VARY_HEADERS]


def test_preflight_with_everything_set() -> None:
    config = with_cors("*", headers=("X-A", "X-B"), methods=("GET", "POST"), max_age=60, expose=("X-C",))
    assert preflight(config, ("access-control-request-headers", "x-z")) == [
        ANY,
        ("Access-Control-Expose-Headers", "X-C"),
        ("Access-Control-Allow-Methods", "GET,POST"),
        ("Access-Control-Allow-Headers", "X-A,X-B"),
        ("Access-Control-Max-Age", "60"),
    ]
    assert preflight(with_cors("*", headers=())) == [ANY, METHODS]


# Cookies and binary support


@pytest.mark.parametrize(
    ("cookie", "value"),
    [
        (None, None),
        (SessionCookie(), "io=ab-_%2F%3B%20(!); Path=/; HttpOnly; SameSite=Lax"),
        (
            SessionCookie(
                name="sid", path="/x", http_only=False, same_site="none", secure=True, domain="a.b", max_age=9
            ),
            "sid=ab-_%2F%3B%20(!); Max-Age=9; Domain=a.b; Path=/x; Secure; SameSite=None",
        ),
        (SessionCookie(same_site=None), "io=ab-_%2F%3B%20(!); Path=/; HttpOnly"),
        (SessionCookie(same_site="strict"), "io=ab-_%2F%3B%20(!); Path=/; HttpOnly; SameSite=Strict"),
    ],
)
def test_session_cookie(cookie: SessionCookie | None, value: str | None) -> None:
    assert session_cookie(EngineConfig(cookie=cookie), "ab-_/; (!)") == value


@pytest.mark.parametrize(("query", "wanted"), [("b64=1", True), ("b64=0", True), ("b64=", False), ("", False)])
def test_base64_for_clients_without_binary_frames(query: str, wanted: bool) -> None:
    assert wants_base64(request(query)) is wanted


# Proxies


@pytest.mark.parametrize(
    ("peer", "proxies", "forwarded", "address"),
    [
        ("9.9.9.9", (), "1.1.1.1", "9.9.9.9"),
        ("9.9.9.9", ("10.0.0.1",), "1.1.1.1", "9.9.9.9"),
        ("10.0.0.1", ("10.0.0.1",), None, "10.0.0.1"),
        ("10.0.0.1", ("10.0.0.1",), "1.1.1.1", "1.1.1.1"),
        (
            "10.0.0.1",
            ("10.0.0.1",),
            "6.6.6.6, 1.1.1.1",
            "1.1.1.1",
        ),  # what the client made up stands further left
        ("10.0.0.1", ("10.0.0.1", "10.0.0.2"), "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("10.0.0.1", ("10.0.0.0/8",), "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", ("10.0.0.0/8",), "1.1.1.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", ("10.0.0.0/8",), "1.1.1.1, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ("10.0.0.0/8",), "1.1.1.1,", "10.0.0.1"),
        ("10.0.0.1", ("10.0.0.0/8",), "unknown", "10.0.0.1"),
        ("10.0.0.1", ("10.0.0.0/8",), "1.1.1.1:4711", "1.1.1.1"),
        ("10.0.0.1", ("10.0.0.0/8",), "[2001:DB8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", ("10.0.0.0/8",), "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", ("10.0.0.0/8",), "\u0661.1.1.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", ("10.0.0.1",), "::ffff:1.1.1.1", "1.1.1.1"),
        ("::1", ("::1",), "1.1.1.1", "1.1.1.1"),
        ("", ("",), "1.1.1.1", "1.1.1.1"),  # a Unix socket
        ("", ("10.0.0.1",), "1.1.1.1", ""),
    ],
)
def test_client_address(peer: str, proxies: tuple[str, ...], forwarded: str | None, address: str) -> None:
    headers = [] if forwarded is None else [("x-forwarded-for", forwarded)]
    asked = request(OPEN, "GET", *headers, address=peer)
    assert client_address(asked, EngineConfig(trusted_proxies=proxies)) == (address, False)


def test_repeated_forwarded_headers_are_one_list() -> None:
    headers = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-for", "10.0.0.2"),
    ]
    asked = request(OPEN, "GET", *headers, address="10.0.0.1")
    assert client_address(asked, EngineConfig(trusted_proxies=("10.0.0.0/8",)))[0] == "1.1.1.1"


def test_the_walk_through_proxies_is_bounded() -> None:
    headers = ("x-forwarded-for", ",".join(["10.0.0.9"] + ["10.0.0.2"] * 5000))
    asked = request(OPEN, "GET", headers, address="10.0.0.1")
    assert client_address(asked, EngineConfig(trusted_proxies=("10.0.0.0/8",)))[0] == "10.0.0.2"


@pytest.mark.parametrize(
    ("peer", "hops", "schemes", "secure", "found"),
    [
        ("9.9.9.9", "1.1.1.1", "https", False, False),
        ("9.9.9.9", "1.1.1.1", "http", True, True),
        ("10.0.0.1", "1.1.1.1", "https", False, True),
        ("10.0.0.1", "1.1.1.1", "HTTPS", False, True),
        ("10.0.0.1", "1.1.1.1", "http", True, False),
        ("10.0.0.1", "1.1.1.1", "gopher", True, True),
        ("10.0.0.1", "1.1.1.1", "", True, True),
        ("10.0.0.1", "1.1.1.1", "https, http", False, False),  # the left one is what the client said
        ("10.0.0.1", "1.1.1.1, 10.0.0.2", "https, http", False, True),
        ("10.0.0.1", "1.1.1.1, 10.0.0.2", "https", False, True),
        ("10.0.0.1", "1.1.1.1, 10.0.0.2", "http, https, http", False, True),
    ],
)
def test_forwarded_scheme(peer: str, hops: str, schemes: str, secure: bool, found: bool) -> None:
    headers = [("x-forwarded-for", hops), ("x-forwarded-proto", schemes)]
    asked = request(OPEN, "GET", *headers, address=peer, secure=secure)
    assert client_address(asked, EngineConfig(trusted_proxies=("10.0.0.0/8", "not an address")))[1] is found


# Compression

BODY = b"4hello" * 400


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        (None, None),
        ("", None),
        ("gzip, deflate, br", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=0.5, deflate;q=0.8", "deflate"),
        ("gzip ; Q=0.5 , deflate ; q=0.5", "gzip"),
        ("gzip;q=0, deflate", "deflate"),
        ("gzip;q=0", None),
        ("gzip;q=0.000, deflate;q=0", None),
        ("*", "gzip"),
        ("*;q=0.1, gzip;q=0", "deflate"),
        ("br", None),
        ("identity, gzip;q=0.5", None),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("gzip;q=nan", None),
        ("gzip;q=inf", None),
        ("gzip;q=-1", None),
        ("gzip;q=1e5", None),
        ("gzip;q=", None),
        ("gzip;q=\u00b2", None),
        ("gzip;q=9", "gzip"),
        ("gzip;level=1;q=1.0", "gzip"),
        (";;,,=;q", None),
    ],
)
def test_compression_is_negotiated(accept: str | None, encoding: str | None) -> None:
    asked = request(OPEN, "GET", *([] if accept is None else [("accept-encoding", accept)]))
    body, headers = compress_body(BODY, asked, PLAIN)
    if encoding is None:
        assert (body, headers) == (BODY, [("Vary", "Accept-Encoding")])
    else:
        assert headers == [("Content-Encoding", encoding), ("Vary", "Accept-Encoding")]
        assert (gzip.decompress if encoding == "gzip" else zlib.decompress)(body) == BODY
        assert len(body) < len(BODY)


def test_compression_has_a_threshold_and_may_be_off() -> None:
    asked = request(OPEN, "GET", ("accept-encoding", "gzip"))
    assert compress_body(b"4" * 1023, asked, PLAIN) == (b"4" * 1023, [])
    assert compress_body(b"4" * 1024, asked, PLAIN)[1] != []
    assert compress_body(BODY, asked, EngineConfig(http_compression=None)) == (BODY, [])
    stored, _ = compress_body(b"4" * 20, asked, EngineConfig(http_compression=HttpCompression(threshold=0, level=0)))
    assert len(stored) > 20


def test_the_same_body_compresses_to_the_same_bytes() -> None:
    body, _ = compress_body(BODY, request(OPEN, "GET", ("accept-encoding", "gzip")), PLAIN)
    assert body[4:8] == b"\0\0\0\0"  # no time of making (RFC 1952)


# Whatever comes

ANYTHING = st.text(max_size=30)
QUERIES = st.lists(
    st.sampled_from(
        [
            "EIO=4",
            "EIO",
            "transport=polling",
            "transport=websocket",
            "sid=poll",
            "sid=ws",
            "sid=%ff",
            "=",
            "%",
            "b64=1",
        ]
    )
    | ANYTHING,
    max_size=6,
).map("&".join)
TARGETS = QUERIES.map(lambda query: "/socket.io/?" + query) | ANYTHING
NAMES = st.sampled_from(
    [
        "origin",
        "host",
        "sec-fetch-site",
        "accept-encoding",
        "content-type",
        "content-encoding",
        "x-forwarded-for",
        "x-forwarded-proto",
        "access-control-request-method",
        "access-control-request-headers",
    ]
)
VALUES = (
    st.sampled_from(["http://a", "a:80", "null", "[::1", "]", "1.1.1.1, ,", "gzip;q=0.", "same-origin", "://", "%25"])
    | ANYTHING
    | st.text(st.characters(max_codepoint=255))
)
CONFIGS = st.sampled_from(
    [
        PLAIN,
        with_cors("*"),
        with_cors("*", credentials=True),
        with_cors(("http://a",), credentials=True, max_age=1),
        EngineConfig(allow_upgrades=False, trusted_proxies=("10.0.0.0/8", ""), add_trailing_slash=False),
        EngineConfig(http_compression=HttpCompression(threshold=0), trusted_proxies=("::1",)),
    ]
)


@given(
    method=st.sampled_from(["GET", "POST", "OPTIONS", "HEAD"]) | ANYTHING,
    target=TARGETS,
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6),
    config=CONFIGS,
    address=st.sampled_from(["10.0.0.1", "::1", "1.1.1.1", ""]) | ANYTHING,
    secure=st.booleans(),
    upgrade=st.booleans(),
)
def test_nothing_that_a_peer_sends_raises(
    method: str,
    target: str,
    headers: Headers,
    config: EngineConfig,
    address: str,
    secure: bool,
    upgrade: bool,
) -> None:
    asked = Request(method, target, headers, address=address, secure=secure, upgrade=upgrade)
    found = verdict(asked, config)
    sent = cors_headers(asked, config) + compress_body(b"4abc", asked, config)[1]
    client_address(asked, config)
    wants_base64(asked)
    if isinstance(found, Preflight | Refuse | Unsupported):
        sent += found.response.headers
    if isinstance(found, Refuse):
        assert json.loads(found.response.body) == {"code": found.code, "message": found.message}
        assert found.message in {
            "Transport unknown",
            "Session ID unknown",
            "Bad handshake method",
            "Bad request",
            "Unsupported protocol version",
            ORIGIN_MESSAGE,
        }
    for _, value in sent:
        value.encode("latin-1")
        assert not any(char in value for char in "\r\n\0")
