"""Options and construction of the Engine.IO server, row by row (EO-01 to 23), and WebTransport, which is not there."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from sioproto import CorsPolicy, EngineConfig, LocalProtocolError, OptionError, Request, Response
from sioproto.engineio import ForeignRequest, RequestAsked, RequestRefused, SessionClosed, SessionOpened
from sioproto_asyncio import Server
from sioproto_wire import real_environment
from tests.parity.engine_scene import CLOSE, HANDSHAKE, TEXT, Wired, frame, frames, request
from tests.virtual import drive_app, drive_engine

OPEN = "EIO=4&transport=polling"


@pytest.mark.parametrize(
    ("target", "ours"),
    [
        ("/socket.io/?EIO=4&transport=polling", True),
        ("/socket.io/any/thing?EIO=4&transport=polling", True),
        ("/socket.iox?EIO=4&transport=polling", False),
        ("/socket.io?EIO=4&transport=polling", False),
        ("/SOCKET.IO/?EIO=4&transport=polling", False),
        ("/socket%2Eio/?EIO=4&transport=polling", False),
    ],
)
def test_eo_01_the_path_is_a_prefix_of_the_raw_target(target: str, ours: bool) -> None:
    engine = drive_engine()
    call = engine.request(Request("GET", target, []))
    assert call.exchange.foreign is not ours
    assert (call.status == 200) is ours


def test_eo_01_one_trailing_slash_of_the_option_is_dropped() -> None:
    engine = drive_engine(path="/chat/")
    assert engine.request(Request("GET", "/chat/?" + OPEN, [])).status == 200
    assert engine.request(Request("GET", "/socket.io/?" + OPEN, [])).exchange.foreign


def test_eo_02_without_the_trailing_slash() -> None:
    engine = drive_engine(add_trailing_slash=False)
    assert engine.request(Request("GET", "/socket.io?" + OPEN, [])).status == 200
    assert engine.request(Request("GET", "/socket.io/?" + OPEN, [])).status == 200


def test_eo_03_an_upgrade_for_another_path_is_answered_at_once() -> None:
    scene = Wired()
    peer = scene.peer().send(request("GET", "/other", *HANDSHAKE))
    (event,) = scene.core.events()
    assert isinstance(event, ForeignRequest)
    assert event.exchange.request.upgrade
    scene.core.answer_foreign(event.exchange, Response(404))
    assert peer.pump().statuses == [404]
    assert peer.closed


async def speak(address: tuple[str, int], *requests: bytes) -> bytes:
    """Sends bytes and returns what came when the server has closed."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"".join(requests))
    try:
        return await reader.read()
    finally:
        writer.close()


def test_eo_04_other_requests_go_to_the_fallback_and_upgrades_need_the_transport() -> None:
    async def fallback(request: Request, body: bytes) -> Response:
        await asyncio.sleep(0)
        return Response(200, [("Content-Type", "text/plain")], request.method.encode() + b" " + body)

    async def main() -> None:
        async with Server(fallback=fallback, transports=("polling",)).listening(port=0) as io:
            assert io.addresses[0][1] != 0
            own = await speak(io.addresses[0], request("POST", "/mine", "Connection: close", body=b"body"))
            assert own.startswith(b"HTTP/1.1 200 ")
            assert own.endswith(b"\r\n\r\nPOST body")
            target = "/socket.io/?EIO=4&transport=websocket"
            refused = await speak(io.addresses[0], request("GET", target, *HANDSHAKE))
            assert refused.startswith(b"HTTP/1.1 400 ")
            assert json.loads(refused.partition(b"\r\n\r\n")[2])["code"] == 0

    asyncio.run(main())


def test_eo_05_what_is_not_engine_io_gets_404_and_a_closed_server_does_not_listen_again() -> None:
    async def main() -> None:
        io = Server(grace=0.1)  # nobody polls any more
        async with io.listening(port=0):
            address = io.addresses[0]
            assert (await speak(address, request("GET", "/", "Connection: close"))).startswith(b"HTTP/1.1 404 ")
            answer = await speak(address, request("GET", "/socket.io/?" + OPEN, "Connection: close"))
            assert b'\r\n\r\n0{"sid":"' in answer
        with pytest.raises(OSError):  # noqa: PT011  # which one is the system's affair
            await asyncio.open_connection(*address)
        with pytest.raises(LocalProtocolError, match="make a new one"):
            await io.serve(port=0)

    asyncio.run(main())


def handshake_of(**options: Any) -> dict[str, Any]:
    """Opens a session and returns the content of its OPEN packet."""
    return drive_engine(**options).client(polls=False).handshake


def test_eo_06_ping_interval_is_advertised_and_kept() -> None:
    assert handshake_of()["pingInterval"] == 25_000
    assert handshake_of(ping_interval=1.5)["pingInterval"] == 1500
    engine = drive_engine(ping_interval=1.5)
    client = engine.client("websocket")
    engine.advance(1.4)
    assert "2" not in client.log
    engine.advance(0.2)
    assert client.log[-1] == "2"


def test_eo_07_ping_timeout_is_advertised_and_kept() -> None:
    assert handshake_of()["pingTimeout"] == 20_000
    assert handshake_of(ping_timeout=0.25)["pingTimeout"] == 250
    engine = drive_engine(ping_interval=1.0, ping_timeout=0.25)
    client = engine.client("websocket", pongs=False)
    engine.advance(1.2)
    assert not client.over
    engine.advance(0.1)
    assert client.over


def test_eo_08_upgrade_timeout() -> None:
    engine = drive_engine(upgrade_timeout=2.0)
    client = engine.client()
    candidate = client.attach()
    engine.advance(1.9)
    assert not candidate.closed
    engine.advance(0.2)
    assert candidate.closed
    assert client.session.open


def test_eo_09_max_payload_is_advertised_and_limits_what_comes_in_alone() -> None:
    assert handshake_of()["maxPayload"] == 1_000_000
    scene = Wired(max_payload=10)
    answer = scene.ask("GET", "/socket.io/?" + OPEN)
    sid = json.loads(answer.body[1:])["sid"]
    assert json.loads(answer.body[1:])["maxPayload"] == 10
    target = f"/socket.io/?{OPEN}&sid={sid}"
    assert scene.ask("POST", target, body=b"4" + b"x" * 10).status == 413
    assert scene.ask("POST", target, body=b"4" + b"x" * 9).status == 200
    scene.core.sessions[sid].send("y" * 100)
    assert scene.ask("GET", target).body == b"4" + b"y" * 100


def test_eo_09_a_websocket_message_is_limited_too() -> None:
    scene = Wired(max_payload=10)
    peer = scene.websocket().send(frame(TEXT, "4" + "x" * 9))
    assert not peer.closed
    peer.send(frame(TEXT, "4" + "x" * 10))
    first, payload = frames(peer.frames)[-1]
    assert (first, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))


def test_eo_10_transports_that_are_not_enabled_get_code_0_and_are_not_advertised() -> None:
    polling = drive_engine(transports=("polling",))
    assert polling.get("EIO=4&transport=websocket", upgrade=True).code == 0
    assert polling.client(polls=False).handshake["upgrades"] == []
    websocket = drive_engine(transports=("websocket",))
    assert websocket.get(OPEN).code == 0
    assert websocket.client("websocket").sid
    with pytest.raises(OptionError, match="transports"):
        EngineConfig(transports=("webtransport",))  # type: ignore[arg-type]


def test_eo_11_allow_upgrades_is_enforced() -> None:
    engine = drive_engine(allow_upgrades=False)
    client = engine.client()
    assert client.handshake["upgrades"] == []
    assert client.attach().code == 3
    assert engine.told(RequestRefused)[0].context == {"name": "UPGRADE_NOT_ALLOWED"}
    client.send("4a")
    assert client.session.open


def test_eo_12_the_initial_packet_follows_the_handshake_in_one_body() -> None:
    engine = drive_engine(initial_packet="hello")
    opening = engine.client(polls=False).opening
    assert len(opening.packets) == 2
    assert opening.packets[1] == "4hello"
    assert engine.client("websocket").log[1:] == ["4hello"]


def asked(upgrade: bool) -> tuple[Any, Any]:
    """Sends a handshake to a server that asks; returns the driver and the call."""
    engine = drive_engine(asks=True)
    call = engine.get(f"EIO=4&transport={'websocket' if upgrade else 'polling'}", upgrade=upgrade)
    assert call.response is None
    return engine, call


@pytest.mark.parametrize("upgrade", [False, True], ids=["polling", "websocket"])
def test_eo_14_allow_request_is_asked_once_a_session(upgrade: bool) -> None:
    engine, call = asked(upgrade)
    assert engine.core.answer_request(call.exchange)
    engine.settle()
    assert call.status == (101 if upgrade else 200)
    sid = call.exchange.session.id
    if not upgrade:
        assert engine.get(f"EIO=4&transport=websocket&sid={sid}", upgrade=True).status == 101
        engine.get(f"{OPEN}&sid={sid}")
    assert len(engine.told(RequestAsked)) == 1
    assert not engine.core.answer_request(call.exchange, "too late")


@pytest.mark.parametrize("upgrade", [False, True], ids=["polling", "websocket"])
def test_eo_14_its_refusal_has_code_4_and_the_text(upgrade: bool) -> None:
    engine, call = asked(upgrade)
    engine.core.answer_request(call.exchange, "members only")
    engine.settle()
    assert call.status == 403
    assert json.loads(call.body) == {"code": 4, "message": "members only"}
    assert engine.core.sessions == {}


def test_eo_14_what_is_refused_anyway_is_not_asked() -> None:
    engine = drive_engine(asks=True)
    engine.get("EIO=4&transport=carrier-pigeon")
    engine.request(Request("POST", "/socket.io/?" + OPEN, []))
    engine.get("EIO=3&transport=polling")
    assert engine.told(RequestAsked) == []


def test_eo_16_clients_count_is_of_sessions() -> None:
    app = drive_app()
    client = app.client("websocket")
    assert app.engine.clients_count == 1
    client.connect()
    app.core.of("/admin")
    client.connect("/admin")
    assert app.engine.clients_count == 1
    client.lose()
    assert app.engine.clients_count == 0


def test_eo_17_sessions_by_id() -> None:
    engine = drive_engine()
    client = engine.client("websocket")
    assert engine.core.sessions == {client.sid: client.session}
    seen: list[int] = []
    client.session.on("close", lambda: seen.append(len(engine.core.sessions)))
    client.lose()
    assert engine.core.sessions == {}
    assert seen == [0]


def test_eo_18_generate_id_makes_the_ids_of_sessions() -> None:
    engine = drive_engine(generate_id=lambda request: "id/" + (request.header("x-name") or ""))
    client = engine.client(headers=[("x-name", "ann")])
    assert client.sid == "id/ann"
    client.send("4a")


@pytest.mark.parametrize("made", ["", None, 7, b"x", "taken"])
def test_eo_18_an_id_that_is_none_refuses_with_code_3(made: object) -> None:
    ids: list[Any] = ["taken", made]
    engine = drive_engine(generate_id=lambda request: ids.pop(0))
    engine.client()
    call = engine.get("EIO=4&transport=websocket", upgrade=True)
    assert (call.status, call.code) == (400, 3)
    assert engine.told(RequestRefused)[0].context == {"name": "ID_GENERATION_ERROR"}
    assert list(engine.core.sessions) == ["taken"]


def test_eo_18_it_may_not_wait() -> None:
    async def generate_id(request: Request) -> str:
        return "id"

    with pytest.raises(LocalProtocolError, match="may not wait"):
        drive_engine(generate_id=generate_id)  # type: ignore[arg-type]


def test_eo_19_an_id_is_120_random_bits_in_20_characters() -> None:
    ids = {real_environment().ids() for _ in range(500)}
    assert len(ids) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{20}", each) for each in ids)
    assert len({each[-4:] for each in ids}) > 490


def test_eo_20_close_ends_every_session_and_takes_no_new_ones() -> None:
    engine = drive_engine()
    polling, websocket = engine.client(), engine.client("websocket")
    engine.core.close()
    engine.settle()
    assert polling.over
    assert websocket.over
    assert [event.reason for event in engine.told(SessionClosed)] == ["forced close"] * 2
    assert engine.get(OPEN).status == 503


def test_eo_22_requests_and_upgrades_have_one_entry_point() -> None:
    engine = drive_engine().core
    first = engine.receive_request(Request("GET", "/socket.io/?" + OPEN, []), "first")
    second = engine.receive_request(Request("GET", "/socket.io/?EIO=4&transport=websocket", [], upgrade=True), "second")
    assert [type(event) for event in engine.events()] == [SessionOpened, SessionOpened]
    assert {carrier.owner for carrier in engine.take_dirty()} == {"first", "second"}
    assert first.response is not None
    assert second.response is not None
    assert (first.response.status, second.response.status) == (200, 101)


def test_options_of_other_kinds_are_refused_at_once() -> None:
    for options in ({"cookie": True}, {"cors": "*"}, {"http_compression": True}):
        with pytest.raises(OptionError, match=next(iter(options))):
            EngineConfig(**options)
    assert EngineConfig(cors=CorsPolicy(origins="*")).cors is not None


def test_wt_01_webtransport_is_an_unknown_transport() -> None:
    engine = drive_engine()
    assert engine.get("EIO=4&transport=webtransport").code == 0
    assert "webtransport" not in engine.client(polls=False).handshake["upgrades"]
