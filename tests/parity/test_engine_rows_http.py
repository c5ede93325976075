"""Cookies, CORS, header events, engine middlewares, compression and the client bundle, row by row (HC, FC)."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import (
    CorsPolicy,
    EngineConfig,
    HttpCompression,
    LocalProtocolError,
    OptionError,
    Request,
    Response,
    SessionCookie,
)
from sioproto.engineio import RequestRefused
from sioproto_asyncio import Server
from tests.parity.engine_scene import Wired
from tests.virtual import Clock, Driver, EngineDriver, drive_app, drive_engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sioproto.engineio import Headers

POLLING = "/socket.io/?EIO=4&transport=polling"
ELSEWHERE = "https://elsewhere.example"
PLAIN: dict[str | None, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}


def ask(engine: Driver[Any], method: str, target: str, *headers: tuple[str, str], upgrade: bool = False) -> Any:
    return engine.request(Request(method, target, list(headers), upgrade=upgrade))


def test_hc_01_the_cookie_comes_on_the_first_polling_response_alone() -> None:
    engine = drive_engine(cookie=SessionCookie(), generate_id=lambda request: "a/b")
    client = engine.client(polls=False)
    assert client.opening.header("Set-Cookie") == "io=a%2Fb; Path=/; HttpOnly; SameSite=Lax"
    client.session.send("a")
    assert client.poll().header("Set-Cookie") is None
    assert client.post("4a").header("Set-Cookie") is None
    assert client.attach().header("Set-Cookie") is None
    engine.core.close()
    engine = drive_engine(cookie=SessionCookie())
    assert engine.client("websocket").opening.header("Set-Cookie") is None
    assert drive_engine().client().opening.header("Set-Cookie") is None


def test_hc_02_cookie_options() -> None:
    cookie = SessionCookie(
        name="sid", path="/x", http_only=False, same_site="none", secure=True, domain="example.org", max_age=60
    )
    engine = drive_engine(cookie=cookie)
    expected = "sid=id-1; Max-Age=60; Domain=example.org; Path=/x; Secure; SameSite=None"
    assert engine.client().opening.header("Set-Cookie") == expected


def test_hc_03_a_preflight_gets_204() -> None:
    engine = drive_engine(cors=CorsPolicy(origins=(ELSEWHERE,), credentials=True))
    asked = ("access-control-request-headers", "x-a")
    call = ask(engine, "OPTIONS", POLLING, ("origin", ELSEWHERE), asked)
    assert (call.status, call.body) == (204, "")
    assert call.header("Access-Control-Allow-Origin") == ELSEWHERE
    assert call.header("Access-Control-Allow-Methods") == "GET,HEAD,PUT,PATCH,POST,DELETE"
    assert call.header("Access-Control-Allow-Headers") == "x-a"
    assert call.header("Access-Control-Allow-Credentials") == "true"


@pytest.mark.parametrize("upgrade", [False, True], ids=["polling", "websocket"])
def test_hc_03_an_origin_that_is_not_listed_is_refused(upgrade: bool) -> None:
    engine = drive_engine(cors=CorsPolicy(origins=("https://app.example",)))
    target = POLLING.replace("polling", "websocket") if upgrade else POLLING
    assert ask(engine, "GET", target, ("origin", ELSEWHERE), upgrade=upgrade).status == 403
    call = ask(engine, "GET", target, ("origin", "https://app.example"), upgrade=upgrade)
    assert call.status == (101 if upgrade else 200)
    assert call.header("Access-Control-Allow-Origin") == "https://app.example"


def test_hc_04_without_a_policy_no_headers_and_no_preflight() -> None:
    engine = drive_engine()
    same = [("origin", "https://example.org"), ("host", "example.org")]
    call = ask(engine, "GET", POLLING, *same)
    assert call.status == 200
    assert [name for name, _ in call.response.headers if name.startswith("Access-Control")] == []
    assert ask(engine, "OPTIONS", POLLING, *same).code == 2
    assert ask(engine, "GET", POLLING, ("origin", ELSEWHERE)).status == 403
    assert ask(engine, "GET", POLLING).status == 200


def observed(engine: EngineDriver) -> list[tuple[str, str]]:
    """Notes which header events happen for which request, and has each add a field."""
    seen: list[tuple[str, str]] = []
    for event in ("initial_headers", "headers"):

        def note(headers: Headers, request: Request, event: str = event) -> None:
            seen.append((event, f"{request.method} {request.query.get('transport')}"))
            headers.append((f"X-{event}", str(len(seen))))

        engine.core.on(event, note)
    return seen


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_hc_05_initial_headers_once_a_session(transport: str) -> None:
    engine = drive_engine()
    seen = observed(engine)
    client = engine.client(transport, polls=False)
    assert seen == [("initial_headers", f"GET {transport}"), ("headers", f"GET {transport}")]
    assert client.opening.header("X-initial_headers") == "1"
    if transport == "polling":
        client.session.send("a")
        assert client.poll().header("X-initial_headers") is None


def test_hc_06_headers_for_every_answer_but_refusals() -> None:
    engine = drive_engine()
    seen = observed(engine)
    client = engine.client(polls=False)
    del seen[:]
    client.session.send("a")
    assert client.poll().header("X-headers") == "1"
    assert client.post("4a").header("X-headers") == "2"
    assert client.attach().header("X-headers") == "3"
    assert ask(engine, "GET", POLLING + "&sid=x").header("X-headers") is None
    assert [event for event, _ in seen] == ["headers"] * 3
    assert [request for _, request in seen] == ["GET polling", "POST polling", "GET websocket"]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_hc_07_what_a_middleware_sets_goes_out_with_the_answer(transport: str) -> None:
    engine = drive_engine()
    engine.core.use(lambda request, headers: headers.append(("X-Mine", "1")))
    assert engine.client(transport).opening.header("X-Mine") == "1"
    wired = Wired()
    wired.core.use(lambda request, headers: headers.append(("X-Mine", "1")))
    assert wired.websocket().answers[0].headers["x-mine"] == "1"


def test_hc_08_middlewares_run_in_order_for_every_request() -> None:
    engine = drive_engine()
    seen: list[str] = []
    engine.core.use(lambda request, headers: seen.append(f"1 {request.method} {request.upgrade}"))
    engine.core.use(lambda request, headers: seen.append("2"))
    client = engine.client(polls=False)
    client.post("4a")
    client.attach()
    ask(engine, "GET", "/other")
    assert seen == ["1 GET False", "2", "1 POST False", "2", "1 GET True", "2"]


@pytest.mark.parametrize("upgrade", [False, True], ids=["polling", "websocket"])
def test_hc_08_one_that_fails_refuses_with_code_3(upgrade: bool) -> None:
    engine = drive_engine()

    def fail(request: Request, headers: Headers) -> None:
        headers.append(("X-Before", "1"))
        raise RuntimeError("secret")

    engine.core.use(fail)
    call = ask(engine, "GET", POLLING.replace("polling", "websocket") if upgrade else POLLING, upgrade=upgrade)
    assert (call.status, call.body) == (400, '{"code":3,"message":"Bad request"}')
    assert call.header("X-Before") == "1"
    assert engine.told(RequestRefused)[0].context == {"name": "MIDDLEWARE_FAILURE"}
    assert engine.core.sessions == {}


def test_hc_08_one_may_answer_itself() -> None:
    engine = drive_engine()
    seen: list[str] = []
    engine.core.use(lambda request, headers: Response(429, [("Retry-After", "1")]))
    engine.core.use(lambda request, headers: seen.append("never"))
    call = ask(engine, "GET", POLLING)
    assert (call.status, call.header("Retry-After")) == (429, "1")
    assert ask(engine, "GET", POLLING.replace("polling", "websocket"), upgrade=True).status == 429
    assert seen == []


def test_hc_08_one_that_would_wait_or_returns_something_else_is_refused() -> None:
    engine = drive_engine()

    async def wait(request: Request, headers: Headers) -> None:
        pass

    with pytest.raises(LocalProtocolError, match="may not wait"):
        engine.core.use(wait)  # type: ignore[arg-type]
    engine.core.use(lambda request, headers: "hello")  # type: ignore[arg-type, return-value]
    assert ask(engine, "GET", POLLING).code == 3


def poll(engine: EngineDriver, *data: str, accept: str | None = "gzip", compress: bool = True) -> Any:
    """Returns the answer to a poll that takes messages."""
    client = engine.client(polls=False)
    for each in data:
        client.session.send(each, compress)
    headers = [] if accept is None else [("accept-encoding", accept)]
    return ask(engine, "GET", f"{POLLING}&sid={client.sid}", *headers)


@pytest.mark.parametrize(
    ("accept", "encoding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("deflate, gzip", "gzip"),
        ("gzip;q=0.1, deflate", "deflate"),
        ("br", None),
    ],
)
def test_hc_09_large_answers_are_compressed_as_the_client_likes_it(accept: str, encoding: str | None) -> None:
    call = poll(drive_engine(), "x" * 1023, accept=accept)
    assert call.header("Content-Encoding") == encoding
    body = call.response.body
    plain = PLAIN[encoding](body)
    assert plain == b"4" + b"x" * 1023


def test_hc_09_threshold_and_the_wish_of_the_packets() -> None:
    engine = drive_engine()
    assert poll(engine, "x" * 1022).header("Content-Encoding") is None
    assert poll(engine, "x" * 600, "x" * 600).header("Content-Encoding") == "gzip"
    assert poll(engine, "x" * 5000, compress=False).header("Content-Encoding") is None
    assert poll(engine, "x" * 5000, accept=None).header("Content-Encoding") is None
    assert poll(drive_engine(http_compression=None), "x" * 5000).header("Content-Encoding") is None
    assert poll(drive_engine(http_compression=HttpCompression(threshold=3)), "xx").header("Content-Encoding") == "gzip"


def test_hc_09_noops_and_the_answers_to_posts_never_are() -> None:
    engine = drive_engine(http_compression=HttpCompression(threshold=1))
    client = engine.client(polls=False)
    target = f"{POLLING}&sid={client.sid}"
    held = ask(engine, "GET", target, ("accept-encoding", "gzip"))
    candidate = client.attach()
    client.say(candidate, "2probe")
    engine.advance(0.1)
    assert (held.packets, held.header("Content-Encoding")) == (["6"], None)
    post = client.begin_post(("accept-encoding", "gzip"))
    assert client.finish_post(post, b"4a").header("Content-Encoding") is None
    with pytest.raises(OptionError, match="http_compression"):
        EngineConfig(http_compression=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("accept", ["gzip;q=x", ";;;", "gzip;q=9999999", "*;q=0", "\xff", "identity;q=0"])
def test_hc_10_compression_cannot_fail(accept: str) -> None:
    assert poll(drive_engine(), "x" * 2000, accept=accept).status == 200


def test_hc_11_hooks_of_engine_and_namespace_see_the_same_session() -> None:
    app = drive_app()
    seen: list[tuple[str, str | None]] = []
    app.engine.use(lambda request, headers: seen.append(("engine", request.header("cookie"))))
    app.core.use(lambda socket: seen.append(("namespace", socket.handshake.headers["cookie"])))
    client, socket = app.join("polling", headers=[("cookie", "sid=1")])
    client.upgrade()
    assert set(seen) == {("engine", "sid=1"), ("namespace", "sid=1")}
    assert seen.count(("namespace", "sid=1")) == 1
    assert socket.conn.request.header("cookie") == "sid=1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a client bundle, and with what must stay in it."""
    for name in ("socket.io.js", "socket.io.min.js", "socket.io.min.js.map", "secret.js"):
        (tmp_path / name).write_bytes(f"/* {name} */".encode() * 100)
    return tmp_path


def serve(folder: Path, **options: Any) -> Driver[Server]:
    """Returns a driver of a server that serves a folder."""
    io = Server(serve_client=folder, **options)
    return Driver(io, io.engine, Clock())


def test_fc_01_the_client_is_served_from_a_folder(folder: Path) -> None:
    engine = serve(folder)
    call = ask(engine, "GET", "/socket.io/socket.io.min.js?v=1")
    assert (call.status, call.response.body) == (200, (folder / "socket.io.min.js").read_bytes())
    assert call.header("Content-Type") == "application/javascript; charset=utf-8"
    assert call.header("Cache-Control") == "public, max-age=0"
    tag = call.header("ETag")
    for known in (tag, f"W/{tag}", f'"x", {tag}'):
        again = ask(engine, "GET", "/socket.io/socket.io.min.js", ("if-none-match", known))
        assert (again.status, again.body, again.header("ETag")) == (304, "", tag)
    assert ask(engine, "GET", "/socket.io/socket.io.min.js", ("if-none-match", '"x"')).status == 200
    call = ask(engine, "GET", "/socket.io/socket.io.min.js.map")
    assert call.header("Content-Type") == "application/json; charset=utf-8"
    assert ask(engine, "GET", "/socket.io/socket.io.js").header("ETag") != tag


@pytest.mark.parametrize(
    "name", ["secret.js", "socket.io.esm.min.js", "socket.io.msgpack.min.js.map", "../secret.js", "x/socket.io.js", ""]
)
def test_fc_01_nothing_else_is(folder: Path, name: str) -> None:
    assert ask(serve(folder), "GET", f"/socket.io/{name}").code == 0


@pytest.mark.parametrize(("accept", "encoding"), [("gzip, br", "gzip"), ("deflate", "deflate"), ("br", None)])
def test_fc_01_it_is_compressed(folder: Path, accept: str, encoding: str | None) -> None:
    engine = serve(folder)
    calls = [ask(engine, "GET", "/socket.io/socket.io.js", ("accept-encoding", accept)) for _ in range(2)]
    assert [call.header("Content-Encoding") for call in calls] == [encoding] * 2
    assert {call.header("Vary") for call in calls} == {"Accept-Encoding"}
    plain = PLAIN[encoding]
    assert all(plain(call.response.body) == (folder / "socket.io.js").read_bytes() for call in calls)


def test_fc_01_cors_and_the_path_apply_and_without_a_folder_there_is_none(folder: Path, tmp_path: Path) -> None:
    engine = serve(folder, cors=CorsPolicy(origins="*"), path="/chat")
    call = ask(engine, "GET", "/chat/socket.io.js", ("origin", ELSEWHERE))
    assert (call.status, call.header("Access-Control-Allow-Origin")) == (200, "*")
    assert ask(engine, "GET", "/socket.io/socket.io.js").exchange.foreign
    assert json.loads(ask(drive_engine(), "GET", "/socket.io/socket.io.js").body)["code"] == 0
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match="serve_client"):
        Server(serve_client=tmp_path / "empty")
