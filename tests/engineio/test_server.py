"""The Engine.IO server around its sessions: who may open one, what goes out with the answers, and the end of all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sioproto import CorsPolicy, LocalProtocolError, Request, Response, SessionCookie
from sioproto.engineio import (
    EngineServer,
    Exchange,
    ForeignRequest,
    Link,
    ObserverFailed,
    RequestAsked,
    RequestRefused,
    SessionClosed,
    SessionOpened,
)
from sioproto.engineio.bundle import Bundle
from tests.virtual import Call, Clock, EngineDriver, drive_engine, living, make_environment, payload

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


def refusals(driver: EngineDriver) -> list[tuple[int, dict[str, Any]]]:
    """Returns what was refused: the codes and contexts."""
    return [(event.code, event.context) for event in driver.told(RequestRefused)]


# -- allow_request


@BOTH
def test_a_handshake_is_a_question(transport: str) -> None:
    driver = drive_engine(asks=True)
    client = driver.client(transport)
    assert client.opening.response is None
    [asked] = driver.told(RequestAsked)
    assert asked.request is client.opening.exchange.request
    assert driver.core.sessions == {}
    assert driver.core.answer_request(asked.exchange)
    driver.settle()
    assert client.session.open
    assert client.opening.status == (101 if transport == "websocket" else 200)
    assert not driver.core.answer_request(asked.exchange)
    # Only the first request of a session is a question.
    client.send("4a")
    driver.advance(30.0)
    if transport == "polling":
        client.upgrade()
    assert len(driver.told(RequestAsked)) == 1


@BOTH
def test_a_refused_handshake(transport: str) -> None:
    driver = drive_engine(asks=True)
    client = driver.client(transport)
    [asked] = driver.told(RequestAsked)
    assert driver.core.answer_request(asked.exchange, "not today")
    driver.settle()
    assert client.opening.status == 403
    assert json.loads(client.opening.body) == {"code": 4, "message": "not today"}
    assert refusals(driver) == [(4, {"message": "not today"})]
    assert not driver.core.answer_request(asked.exchange)
    assert driver.core.sessions == {}
    assert driver.core.next_deadline() is None


@BOTH
def test_a_question_that_nobody_answers(transport: str) -> None:
    driver = drive_engine(asks=True)
    client = driver.client(transport)
    driver.advance(29.9)
    assert client.opening.response is None
    driver.advance(0.2)
    assert client.opening.status == 503
    assert client.opening.header("Retry-After") is not None
    [asked] = driver.told(RequestAsked)
    assert not driver.core.answer_request(asked.exchange)
    driver.settle()
    assert driver.core.sessions == {}


@BOTH
def test_a_client_that_goes_before_the_answer(transport: str) -> None:
    driver = drive_engine(asks=True)
    client = driver.client(transport)
    client.abort(client.opening)
    [asked] = driver.told(RequestAsked)
    assert not driver.core.answer_request(asked.exchange)
    assert not driver.core.answer_request(asked.exchange, "no")
    driver.settle()
    assert driver.told(SessionOpened) == []
    assert driver.core.next_deadline() is None


def test_a_question_that_is_answered_too_late_to_take_sessions() -> None:
    """A closed server holds no session, whatever was under way when it closed."""
    driver = drive_engine(asks=True)
    client = driver.client()
    driver.core.close()
    driver.settle()
    assert client.opening.status == 503
    assert driver.core.next_deadline() is None
    [asked] = driver.told(RequestAsked)
    assert not driver.core.answer_request(asked.exchange)
    assert driver.core.sessions == {}


def test_a_question_whose_answer_finds_the_server_full() -> None:
    driver = drive_engine(asks=True)
    client, refused = driver.client(), driver.client()
    driver.core.accepting = False
    for asked, refusal in zip(driver.told(RequestAsked), (None, "no"), strict=True):
        assert driver.core.answer_request(asked.exchange, refusal)
    driver.settle()
    assert (client.opening.status, refused.opening.status) == (503, 403)
    assert driver.core.sessions == {}


# -- not accepting


@BOTH
def test_no_sessions_are_taken(transport: str) -> None:
    driver = drive_engine()
    known = driver.client()
    driver.core.accepting = False
    assert driver.client(transport).opening.status == 503
    known.send("4a")
    driver.core.accepting = True
    assert driver.client(transport).session.open


def test_a_refusal_comes_before_503() -> None:
    driver = drive_engine()
    driver.core.accepting = False
    assert driver.get("EIO=3&transport=polling").code == 5


# -- what a handshake gets


def test_a_first_message() -> None:
    driver = drive_engine(initial_packet="hello")
    assert driver.client().opening.packets[1:] == ["4hello"]
    assert driver.client("websocket").opening.frames[1:] == ["4hello"]


def test_a_cookie_goes_with_the_first_poll_only() -> None:
    driver = drive_engine(cookie=SessionCookie(name="sticky"))
    client = driver.client(polls=False)
    assert client.opening.header("Set-Cookie") == f"sticky={client.sid}; Path=/; HttpOnly; SameSite=Lax"
    poll = client.poll()
    client.session.send("x")
    driver.settle()
    assert poll.header("Set-Cookie") is None
    assert client.post("4").header("Set-Cookie") is None
    assert driver.client("websocket").opening.header("Set-Cookie") is None


def test_header_observers() -> None:
    driver = drive_engine()
    seen: list[tuple[str, str]] = []

    def initial(headers: list[tuple[str, str]], request: Request) -> None:
        seen.append(("initial", request.method))
        headers.append(("X-First", "1"))

    def every(headers: list[tuple[str, str]], request: Request) -> None:
        seen.append(("headers", request.method))
        headers.append(("X-Every", "2"))

    driver.core.on("initial_headers", initial)
    driver.core.on("headers", every)
    client = driver.client(polls=False)
    assert (client.opening.header("X-First"), client.opening.header("X-Every")) == ("1", "2")
    post = client.post("4")
    assert (post.header("X-First"), post.header("X-Every")) == (None, "2")
    poll = client.poll()
    client.session.send("x")
    driver.settle()
    assert (poll.header("X-First"), poll.header("X-Every")) == (None, "2")
    candidate = client.attach()
    assert (candidate.header("X-First"), candidate.header("X-Every")) == (None, "2")
    assert seen == [
        ("initial", "GET"),
        ("headers", "GET"),
        ("headers", "POST"),
        ("headers", "GET"),
        ("headers", "GET"),
    ]
    seen.clear()
    direct = driver.client("websocket")
    assert (direct.opening.header("X-First"), direct.opening.header("X-Every")) == ("1", "2")
    assert seen == [("initial", "GET"), ("headers", "GET")]
    seen.clear()
    assert driver.get("EIO=3&transport=polling").header("X-Every") is None
    assert seen == []


def test_answers_carry_the_cors_headers() -> None:
    driver = drive_engine(cors=CorsPolicy(origins=("https://app.example",), credentials=True))
    origin = ("origin", "https://app.example")
    client = driver.client(headers=[origin], polls=False)
    for call in (client.opening, client.post("4"), client.attach(), driver.get("EIO=3&transport=polling", origin)):
        assert call.header("Access-Control-Allow-Origin") == "https://app.example"
        assert call.header("Access-Control-Allow-Credentials") == "true"
    driver.core.accepting = False
    turned_away = driver.client(headers=[origin]).opening
    assert turned_away.status == 503
    assert turned_away.header("Access-Control-Allow-Origin") == "https://app.example"


# -- refusals


@pytest.mark.parametrize(
    ("query", "code", "context"),
    [
        ("EIO=4&transport=carrier-pigeon", 0, {"transport": "carrier-pigeon"}),
        ("EIO=4&transport=polling&sid=unknown", 1, {"sid": "unknown"}),
        ("EIO=4&transport=websocket", 3, {"name": "TRANSPORT_HANDSHAKE_ERROR"}),
        ("EIO=3&transport=polling", 5, {"protocol": 3}),
    ],
)
def test_refused_requests_are_told(query: str, code: int, context: dict[str, Any]) -> None:
    driver = drive_engine()
    seen: list[RequestRefused] = []
    driver.core.on("connection_error", seen.append)
    call = driver.get(query)
    assert (call.status, call.code) == (400, code)
    assert refusals(driver) == [(code, context)]
    assert seen == driver.told(RequestRefused)
    assert seen[0].request is call.exchange.request
    assert driver.core.sessions == {}


def test_an_observer_of_the_server_that_fails() -> None:
    driver = drive_engine()
    error = ValueError()

    def fail(*_: object) -> None:
        raise error

    for event in ("connection_error", "headers", "initial_headers"):
        driver.core.on(event, fail)
    assert driver.client().session.open
    assert driver.get("EIO=3&transport=polling").code == 5
    assert [(event.error, event.where) for event in driver.told(ObserverFailed)] == [
        (error, "initial_headers"),
        (error, "headers"),
        (error, "connection_error"),
    ]
    with pytest.raises(LocalProtocolError, match="'connection'"):
        driver.core.on("connection", fail)


def test_a_refused_upgrade_leaves_the_session() -> None:
    driver = drive_engine(allow_upgrades=False)
    client = driver.client()
    assert client.handshake["upgrades"] == []
    candidate = client.attach()
    assert (candidate.status, candidate.code) == (400, 3)
    assert refusals(driver) == [(3, {"name": "UPGRADE_NOT_ALLOWED"})]
    client.send("4a")


# -- ids of the application


def test_ids_of_the_application() -> None:
    driver = drive_engine(generate_id=lambda request: request.query["id"])
    assert driver.client(query="&id=mine").sid == "mine"
    assert driver.client("websocket", query="&id=yours").sid == "yours"
    assert set(driver.core.sessions) == {"mine", "yours"}


@BOTH
@pytest.mark.parametrize("query", ["", "&id=", "&id=mine"])
def test_ids_that_do_not_do(query: str, transport: str) -> None:
    driver = drive_engine(generate_id=lambda request: request.query["id"])
    driver.client(query="&id=mine")
    refused = driver.client(transport, query=query).opening
    assert (refused.status, refused.code) == (400, 3)
    assert [context["name"] for _, context in refusals(driver)] == ["ID_GENERATION_ERROR"]
    assert [event.where for event in driver.told(ObserverFailed)] == ["generate_id"]
    assert len(driver.core.sessions) == 1


def test_ids_may_not_be_waited_for() -> None:
    async def late(request: Request) -> str:
        return "late"

    with pytest.raises(LocalProtocolError, match="plain function"):
        drive_engine(generate_id=late)  # type: ignore[arg-type]
    driver = drive_engine(generate_id=lambda request: 7)  # type: ignore[arg-type, return-value]
    assert driver.client().opening.code == 3


# -- middlewares, the client bundle, other requests


def test_middlewares_see_every_request() -> None:
    driver = drive_engine()
    seen: list[str] = []

    def note(request: Request, headers: list[tuple[str, str]]) -> None:
        seen.append(("upgrade " if request.upgrade else "") + request.method)
        headers.append(("X-Seen", str(len(seen))))

    driver.core.use(note)
    client = driver.client(polls=False)
    assert client.opening.header("X-Seen") == "1"
    assert client.post("4").header("X-Seen") == "2"
    poll = client.poll()
    assert client.attach().header("X-Seen") == "4"
    client.session.send("x")
    driver.settle()
    assert poll.header("X-Seen") == "3"
    assert driver.get("EIO=3&transport=polling").header("X-Seen") == "5"
    driver.request(Request("GET", "/other", []))
    assert seen == ["GET", "POST", "GET", "upgrade GET", "GET"]


@BOTH
def test_a_middleware_may_answer(transport: str) -> None:
    driver = drive_engine()
    driver.core.use(lambda request, headers: headers.append(("X-A", "1")))
    driver.core.use(lambda request, headers: Response(429))
    call = driver.client(transport).opening
    assert (call.status, call.header("X-A")) == (429, "1")
    assert driver.core.sessions == {}


@pytest.mark.parametrize("middleware", [lambda request, headers: 1 / 0, lambda request, headers: "nonsense"])
def test_a_middleware_that_fails(middleware: Any) -> None:
    driver = drive_engine()
    driver.core.use(middleware)
    call = driver.client().opening
    assert (call.status, call.code) == (400, 3)
    assert refusals(driver)[0][1]["name"] == "MIDDLEWARE_FAILURE"
    assert [event.where for event in driver.told(ObserverFailed)] == ["engine middleware"]

    async def late(request: Request, headers: list[tuple[str, str]]) -> None: ...

    with pytest.raises(LocalProtocolError, match="may not wait"):
        driver.core.use(late)  # type: ignore[arg-type]


def test_a_preflight_is_answered() -> None:
    driver = drive_engine(cors=CorsPolicy(origins=("https://app.example",)))
    asks = [("origin", "https://app.example"), ("access-control-request-method", "POST")]
    call = driver.request(Request("OPTIONS", "/socket.io/?EIO=4&transport=polling", asks))
    assert call.status == 204
    assert call.header("Access-Control-Allow-Origin") == "https://app.example"
    assert driver.told(RequestRefused) == []


def test_the_client_bundle() -> None:
    clock = Clock()
    bundle = Bundle({"socket.io.min.js": b"code", "socket.io.min.js.map": b"{}", "passwords.txt": b"secret"})
    driver = EngineDriver(EngineServer(drive_engine().core.config, make_environment(clock), bundle=bundle), clock)
    assert len(bundle) == 2

    def fetch(name: str, *headers: tuple[str, str], method: str = "GET") -> Call:
        return driver.request(Request(method, f"/socket.io/{name}", list(headers)))

    packed = fetch("socket.io.min.js", ("accept-encoding", "gzip"))
    assert packed.header("Content-Encoding") is None  # too small to be worth it
    code = fetch("socket.io.min.js?x=1")
    assert (code.status, code.body) == (200, "code")
    assert code.header("Content-Type") == "application/javascript; charset=utf-8"
    tag = code.header("ETag")
    assert tag is not None
    assert fetch("socket.io.min.js", ("if-none-match", f'"other", W/{tag}')).status == 304
    assert fetch("socket.io.min.js.map").header("Content-Type") == "application/json; charset=utf-8"
    for name in ("passwords.txt", "socket.io.js", "x/socket.io.min.js", ""):
        assert fetch(name).code == 0
    assert fetch("socket.io.min.js", method="POST").code == 0
    assert driver.client().session.open


def test_requests_that_are_not_ours() -> None:
    driver = drive_engine()
    call = driver.request(Request("POST", "/socket.iox/", []))
    assert call.exchange.foreign
    assert call.exchange.wants_body
    driver.core.receive_body(call.exchange, b"body")
    driver.settle()
    [event] = driver.told(ForeignRequest)
    assert (event.exchange, event.body) == (call.exchange, b"body")
    assert driver.core.answer_foreign(call.exchange, Response(204))
    assert not driver.core.answer_foreign(call.exchange, Response(500))
    driver.settle()
    assert call.status == 204


def test_requests_that_are_not_ours_and_go() -> None:
    driver = drive_engine()
    call = driver.request(Request("GET", "/", []))
    driver.core.receive_abort(call.exchange)
    assert not driver.core.answer_foreign(call.exchange, Response(204))
    large = driver.request(Request("POST", "/", []))
    driver.core.receive_oversize(large.exchange)
    driver.settle()
    assert large.status == 413
    ours = driver.client().opening.exchange
    with pytest.raises(LocalProtocolError, match=r"Engine\.IO"):
        driver.core.answer_foreign(ours, Response(200))


# -- what comes out, and when


def test_the_driver_is_woken_once_a_turn() -> None:
    wakes: list[bool] = []
    clock = Clock()
    core = EngineServer(drive_engine().core.config, make_environment(clock), wake=wakes.append)
    driver = EngineDriver(core, clock, wakes)
    sessions = [driver.client(transport).session for transport in ("websocket", "polling", "websocket")]
    for _ in range(2):
        wakes.clear()
        for session in sessions * 2:
            session.send("x")
        assert wakes == [False]
        wakes.clear()
        core.take_dirty()
        assert wakes == []


def test_the_driver_is_woken_by_whatever_has_to_go_out() -> None:
    wakes: list[bool] = []
    clock = Clock()
    config = drive_engine().core.config
    core = EngineServer(config, make_environment(clock), wake=wakes.append, asks_requests=True)
    driver = EngineDriver(core, clock, wakes)
    refused, client = driver.client(), driver.client("websocket")
    first, second = driver.told(RequestAsked)
    core.answer_request(first.exchange, "no")
    assert wakes == [False]
    driver.settle()
    core.answer_request(second.exchange)
    assert wakes == [False]
    driver.settle()
    for command in (client.session.pause, client.session.resume, client.session.close):
        command()
        assert wakes == [False]
        driver.settle()
    assert refused.opening.status == 403
    assert client.over
    foreign = driver.request(Request("GET", "/", []))
    core.answer_foreign(foreign.exchange, Response(204))
    assert wakes == [False]


@pytest.mark.parametrize("loops", [True, False])
def test_nothing_is_forgotten_while_a_driver_takes(loops: bool) -> None:
    """A driver either ignores what wakes it while it takes, and takes until there is nothing; or takes once a wake."""
    clock = Clock()
    taking = awake = False

    def wake(urgent: bool) -> None:
        nonlocal awake
        awake = awake or not (loops and taking)

    core = EngineServer(drive_engine().core.config, make_environment(clock), wake=wake)
    exchange = core.receive_request(Request("GET", "/socket.io/?EIO=4&transport=websocket", [], upgrade=True), "owner")
    session = exchange.session
    assert session is not None
    taken: list[str | bytes] = []

    def run() -> None:
        nonlocal awake, taking
        for _ in range(10):
            if not awake:
                return
            taking, awake = True, False
            while carriers := core.take_dirty():
                taken.extend(frame.data for each in carriers if isinstance(each, Link) for frame in each.take())
                if not loops:
                    break
            taking = False
        raise AssertionError("never quiet")

    run()
    taken.clear()
    for number in range(3):
        session.send(str(number))
        run()
        assert taken == ["40", "41", "42"][: number + 1]
    # Somebody who waited for the drain may send from within.
    session.send("x")
    session.when_drained(lambda: session.send("from within"))
    run()
    assert taken[3:] == ["4x", "4from within"]
    session.send("last")
    run()
    assert taken[5:] == ["4last"]


def test_exchanges_and_links_know_their_owner() -> None:
    core = drive_engine().core
    owner = object()
    exchange = core.receive_request(Request("GET", "/socket.io/?EIO=4&transport=websocket", [], upgrade=True), owner)
    carriers = core.take_dirty()
    assert [carrier.owner for carrier in carriers] == [owner, owner]
    assert isinstance(carriers[0], Exchange)
    assert carriers[1] is exchange.link
    assert core.take_dirty() == []


def test_frames_that_are_not_taken_at_once_keep_their_order() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    core, link = driver.core, client.link
    client.session.send("1")
    assert core.take_dirty() == [link]
    client.session.send("2")
    assert core.take_dirty() == []  # it is known to have something
    client.session.send("3")
    core.take_dirty()
    assert [frame.data for frame in link.take()] == ["41", "42", "43"]
    client.session.send("4")
    assert core.take_dirty() == [link]


def test_a_timeout_that_comes_too_early_does_nothing() -> None:
    driver = drive_engine()
    driver.client("websocket")
    driver.core.handle_timeout()
    assert driver.core.take_dirty() == []
    assert driver.core.events() == []
    assert driver.core.next_deadline() == driver.clock.now + 25.0
    assert driver.core.engine_config is driver.core.config


# -- the end


def test_closing_the_server_ends_every_session() -> None:
    driver = drive_engine()
    plain, probing, direct = driver.client(), driver.client(), driver.client("websocket")
    posting = driver.client()
    post = posting.begin_post()
    candidate = probing.attach()
    assert driver.core.clients_count == 4
    driver.core.close()
    driver.settle()
    assert [(event.session, event.reason) for event in driver.told(SessionClosed)] == [
        (client.session, "forced close") for client in (plain, probing, direct, posting)
    ]
    assert post.status == 400
    assert candidate.closed
    assert all(client.over for client in (plain, probing, direct, posting))
    assert driver.core.clients_count == 0
    assert living(driver.core.timers) == {}
    assert driver.core.next_deadline() is None
    assert driver.client().opening.status == 503


def test_closing_the_server_gracefully() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    client.session.send("last")
    driver.core.close(discard=False)
    driver.settle()
    assert driver.client().opening.status == 503
    assert client.poll().packets == ["4last"]
    assert client.poll().packets == ["1"]
    assert driver.core.sessions == {}


def test_what_comes_for_a_session_that_is_over() -> None:
    driver = drive_engine()
    client, direct = driver.client(), driver.client("websocket")
    post = client.begin_post()
    driver.core.close()
    driver.settle()
    core = driver.core
    core.receive_body(post.exchange, payload("4late"))
    core.receive_oversize(post.exchange)
    core.receive_abort(post.exchange)
    core.receive_messages(direct.link, ["4late"])
    core.receive_blocked(direct.link)
    core.receive_unblocked(direct.link)
    core.receive_link_closed(direct.link, 1000)
    core.receive_link_closed(direct.link, 1000)
    events = len(driver.log)
    driver.settle()
    assert len(driver.log) == events
