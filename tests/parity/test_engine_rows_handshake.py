"""Handshake, the judgement of requests and what a refused one gets, row by row (HS-01 to 17)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import Request
from sioproto.engineio import RequestAsked, RequestRefused
from tests.parity.engine_scene import Wired, frame, frames
from tests.virtual import drive_app, drive_engine

if TYPE_CHECKING:
    from tests.virtual import Call, EngineDriver

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
BAD_ORIGIN = ("origin", "a\x01b")


def refused(engine: EngineDriver, call: Call) -> tuple[int, dict[str, Any]]:
    """Returns code and context of the only refusal so far, which has to be the one in the answer."""
    (event,) = engine.told(RequestRefused)
    assert call.code == event.code
    assert json.loads(call.body)["message"] == event.context.get("message", event.message)
    return event.code, event.context


def ask(engine: EngineDriver, method: str, query: str, *headers: tuple[str, str], upgrade: bool = False) -> Call:
    return engine.request(Request(method, "/socket.io/?" + query, list(headers), upgrade=upgrade))


@pytest.mark.parametrize(
    ("method", "query", "headers", "upgrade", "code", "name"),
    [
        ("PUT", "transport=x&sid=x&EIO=3", [BAD_ORIGIN], False, 0, None),
        ("PUT", "transport=polling&sid=x&EIO=3", [BAD_ORIGIN], False, 3, "INVALID_ORIGIN"),
        ("PUT", "transport=polling&sid=x&EIO=3", [], False, 1, None),
        ("PUT", "transport=websocket&EIO=3", [], False, 2, None),
        ("GET", "transport=websocket&EIO=3", [], False, 3, "TRANSPORT_HANDSHAKE_ERROR"),
        ("GET", "transport=websocket&EIO=3", [], True, 5, None),
    ],
)
def test_hs_01_the_first_failing_check_decides(
    method: str, query: str, headers: list[tuple[str, str]], upgrade: bool, code: int, name: str | None
) -> None:
    engine = drive_engine(asks=True)
    call = ask(engine, method, query, *headers, upgrade=upgrade)
    found, context = refused(engine, call)
    assert (found, context.get("name")) == (code, name)
    assert engine.told(RequestAsked) == []


def test_hs_01_middlewares_come_before_every_check() -> None:
    engine = drive_engine()
    engine.core.use(lambda request, headers: 1 / 0)  # type: ignore[arg-type, return-value]
    _, context = refused(engine, ask(engine, "PUT", "transport=x"))
    assert context["name"] == "MIDDLEWARE_FAILURE"


def test_hs_02_a_refusal_is_400_with_json_and_nothing_else() -> None:
    engine = drive_engine()
    seen: list[str] = []
    for event in ("headers", "initial_headers"):
        engine.core.on(event, lambda *_, event=event: seen.append(event))
    call = ask(engine, "GET", "EIO=4")
    assert call.response is not None
    assert call.response.headers == [("Content-Type", "application/json")]
    assert (call.status, call.body) == (400, '{"code":0,"message":"Transport unknown"}')
    assert seen == []


@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=webtransport", "EIO=4&transport=Polling"])
def test_hs_03_code_0_transport_unknown(query: str) -> None:
    engine = drive_engine()
    transport = query.partition("transport=")[2] or None
    assert refused(engine, ask(engine, "GET", query)) == (0, {"transport": transport})


@pytest.mark.parametrize("sid", ["nobody", "__proto__", "toString"])
def test_hs_04_code_1_session_id_unknown(sid: str) -> None:
    engine = drive_engine()
    call = ask(engine, "GET", f"{POLLING}&sid={sid}")
    assert refused(engine, call) == (1, {"sid": sid})
    assert call.body == '{"code":1,"message":"Session ID unknown"}'


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "HEAD"])
def test_hs_05_code_2_bad_handshake_method(method: str) -> None:
    engine = drive_engine()
    call = ask(engine, method, POLLING)
    assert refused(engine, call) == (2, {"method": method})
    assert json.loads(call.body)["message"] == "Bad handshake method"


def test_hs_06_code_3_origin_with_characters_that_no_header_may_have() -> None:
    engine = drive_engine()
    call = ask(engine, "GET", POLLING, BAD_ORIGIN)
    assert refused(engine, call) == (3, {"name": "INVALID_ORIGIN", "origin": "a\x01b"})
    assert call.body == '{"code":3,"message":"Bad request"}'


def test_hs_06_code_3_transport_mismatch() -> None:
    engine = drive_engine()
    client = engine.client("websocket")
    names = {"transport": "polling", "previousTransport": "websocket"}
    assert refused(engine, client.begin_post()) == (3, {"name": "TRANSPORT_MISMATCH", **names})


def test_hs_06_code_3_a_websocket_that_is_none() -> None:
    engine = drive_engine()
    assert refused(engine, ask(engine, "GET", WEBSOCKET)) == (3, {"name": "TRANSPORT_HANDSHAKE_ERROR"})


def test_hs_06_code_3_another_revision_than_the_sessions() -> None:
    engine = drive_engine()
    sid = engine.client().sid
    call = ask(engine, "GET", f"EIO=3&transport=polling&sid={sid}")
    assert refused(engine, call) == (3, {"name": "PROTOCOL_MISMATCH", "protocol": 3, "previousProtocol": 4})


@pytest.mark.parametrize("upgrade", [False, True], ids=["polling", "websocket"])
@pytest.mark.parametrize(("text", "message"), [("members only", "members only"), ("Forbidden", "Forbidden")])
def test_hs_07_code_4_is_403_over_both_transports(upgrade: bool, text: str, message: str) -> None:
    engine = drive_engine(asks=True)
    call = ask(engine, "GET", WEBSOCKET if upgrade else POLLING, upgrade=upgrade)
    engine.core.answer_request(call.exchange, text)
    engine.settle()
    assert call.status == 403
    assert refused(engine, call) == (4, {"message": message})
    assert engine.told(RequestRefused)[0].message == "Forbidden"


@pytest.mark.parametrize("version", ["", "EIO=3&", "EIO=5&", "EIO=abc&", "EIO=4.0&", "EIO=04&"])
def test_hs_08_code_5_for_everything_but_4(version: str) -> None:
    engine = drive_engine()
    call = ask(engine, "GET", version + "transport=polling")
    assert refused(engine, call) == (5, {"protocol": 3})
    assert json.loads(call.body)["message"] == "Unsupported protocol version"


@pytest.mark.parametrize(
    ("query", "code"), [("EIO=4&transport=x", 0), (WEBSOCKET + "&sid=x", 1), ("EIO=3&transport=websocket", 5)]
)
def test_hs_09_a_refused_upgrade_gets_the_same_json(query: str, code: int) -> None:
    scene = Wired()
    peer = scene.websocket(query)
    (answer,) = peer.answers
    assert (answer.status, answer.headers["content-type"]) == (400, "application/json")
    assert json.loads(answer.body)["code"] == code
    assert answer.headers["connection"] == "close"
    assert peer.end().closed


def test_hs_10_nothing_is_refused_after_the_101() -> None:
    scene = Wired()
    assert scene.websocket("EIO=3&transport=websocket").statuses == [400]
    failing = drive_engine(generate_id=lambda request: "")
    call = ask(failing, "GET", WEBSOCKET, upgrade=True)
    assert (call.status, call.exchange.link) == (400, None)


def test_hs_11_connection_error_for_refusals_and_for_nothing_else() -> None:
    engine = drive_engine(max_payload=5)
    seen: list[RequestRefused] = []
    engine.core.on("connection_error", seen.append)
    call = ask(engine, "GET", "EIO=4&transport=x")
    assert seen[0].request is call.exchange.request
    assert (seen[0].code, seen[0].message, seen[0].context) == (0, "Transport unknown", {"transport": "x"})
    ask(engine, "GET", WEBSOCKET + "&sid=x", upgrade=True)
    assert [each.code for each in seen] == [0, 1]
    client = engine.client()
    engine.core.receive_oversize(client.begin_post().exchange)
    client.poll()
    assert not client.session.open
    assert len(seen) == 2


def test_hs_12_the_open_packet_comes_first_with_its_keys_in_order() -> None:
    engine = drive_engine(initial_packet="x")
    for transport in ("polling", "websocket"):
        client = engine.client(transport, polls=False)
        first = client.log[0]
        assert isinstance(first, str)
        assert first == "0" + json.dumps(client.handshake, separators=(",", ":"))
        assert list(client.handshake) == ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]


def test_hs_13_upgrades() -> None:
    engine = drive_engine()
    assert engine.client().handshake["upgrades"] == ["websocket"]
    assert engine.client("websocket").handshake["upgrades"] == []


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("a=1&a=2", "2"),
        ("a=x+y%20z", "x y z"),
        ("a=%C3%A9", "é"),
        ("%61=b", "b"),
        ("a", ""),
        ("a==", "="),
        ("a=%", "%"),
    ],
)
def test_hs_14_of_two_parameters_the_last_counts(query: str, value: str) -> None:
    client = drive_engine().client(query="&" + query)
    assert client.session.request.query["a"] == value


def test_hs_14_that_holds_for_engine_io_itself() -> None:
    assert ask(drive_engine(), "GET", "transport=x&EIO=3&EIO=4&transport=polling").status == 200


def test_hs_15_the_cache_buster_is_kept_and_means_nothing() -> None:
    app = drive_app()
    _, socket = app.join("polling", query="&t=Pabc123")
    assert socket.handshake.query["t"] == "Pabc123"


def test_hs_16_the_address_is_that_of_the_first_request() -> None:
    engine = drive_engine()
    client = engine.client(address="192.0.2.7", headers=[("x-forwarded-for", "203.0.113.9")])
    assert client.session.remote_address == "192.0.2.7"
    target = f"/socket.io/?{WEBSOCKET}&sid={client.sid}"
    engine.request(Request("GET", target, [], address="192.0.2.8", upgrade=True))
    assert client.session.remote_address == "192.0.2.7"


def test_hs_16_a_trusted_proxy_is_believed() -> None:
    engine = drive_engine(trusted_proxies=("192.0.2.0/24",))
    client = engine.client(address="192.0.2.7", headers=[("x-forwarded-for", "10.1.1.1, 203.0.113.9, 192.0.2.9")])
    assert client.session.remote_address == "203.0.113.9"


def test_hs_17_a_websocket_that_says_polling_is_refused() -> None:
    scene = Wired()
    peer = scene.websocket(POLLING)
    assert peer.statuses == [400]
    assert json.loads(peer.answers[0].body)["code"] == 3
    assert scene.core.sessions == {}


def test_hs_17_so_is_one_for_a_session() -> None:
    scene = Wired()
    sid = json.loads(scene.ask("GET", f"/socket.io/?{POLLING}").body[1:])["sid"]
    assert scene.websocket(f"{POLLING}&sid={sid}").statuses == [400]
    peer = scene.websocket(f"{WEBSOCKET}&sid={sid}", then=frame(0x81, "2probe"))
    assert frames(peer.frames) == [(0x81, b"3probe")]
