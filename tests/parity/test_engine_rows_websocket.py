"""The WebSocket transport, row by row (WS-01 to 15): what the core decides, and what of it is seen in bytes."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from sioproto.engineio import MessageReceived, SessionClosed
from sioproto_wire import PerMessageDeflate, WireConfig
from tests.parity.engine_scene import BINARY, CLOSE, PING, PONG, TEXT, Wired, frame, frames
from tests.virtual import Client, EngineDriver, drive_app, drive_engine


def scene(**options: Any) -> tuple[EngineDriver, Client]:
    """Returns a driver and a session over WebSocket."""
    engine = drive_engine(**options)
    return engine, engine.client("websocket")


def closes(engine: EngineDriver) -> list[tuple[str, str | None]]:
    """Returns reason and description of the sessions that ended."""
    return [(event.reason, event.description) for event in engine.told(SessionClosed)]


def test_ws_01_a_session_may_begin_as_websocket() -> None:
    wired = Wired()
    peer = wired.websocket()
    assert peer.statuses == [101]
    (first, payload), *rest = frames(peer.frames)
    assert (first, rest) == (TEXT, [])
    assert payload.startswith(b'0{"sid":')
    assert json.loads(payload[1:])["upgrades"] == []


def test_ws_02_one_message_a_packet_and_binary_without_a_type() -> None:
    wired = Wired()
    peer = wired.websocket().send(frame(TEXT, "4a") + frame(BINARY, b"\x04b"))
    assert [event.data for event in wired.core.events() if isinstance(event, MessageReceived)] == ["a", b"\x04b"]
    (session,) = wired.core.sessions.values()
    session.send("é")
    session.send(b"\x00")
    assert frames(peer.pump().frames)[1:] == [(TEXT, "4é".encode()), (BINARY, b"\x00")]


@pytest.mark.parametrize("packet", ["", "7", "x", "hello", "b*"])
def test_ws_03_an_invalid_packet_is_a_parse_error_and_an_empty_close_frame(packet: str) -> None:
    wired = Wired()
    peer = wired.websocket().send(frame(TEXT, packet) + frame(TEXT, "4late"))
    assert frames(peer.frames)[1:] == [(CLOSE, b"")]
    _, closed = wired.core.events()
    assert isinstance(closed, SessionClosed)
    assert closed.reason == "parse error"


def test_ws_04_a_close_packet_closes() -> None:
    engine, client = scene()
    client.send("1")
    assert closes(engine) == [("transport close", None)]
    assert client.over


@pytest.mark.parametrize("packet", ["0", "5", "6", "0{}"])
def test_ws_04_others_are_told_and_ignored(packet: str) -> None:
    engine, client = scene()
    seen: list[tuple[str, str]] = []
    client.session.on("packet", lambda kind, data: seen.append((kind, data)))
    client.send(packet, "4a")
    names = {"0": "open", "5": "upgrade", "6": "noop"}
    assert seen == [(names[packet[0]], packet[1:]), ("message", "a")]
    assert client.session.open
    assert [event.data for event in engine.told(MessageReceived)] == ["a"]


def test_ws_05_a_message_that_is_too_large_closes_with_1009() -> None:
    wired = Wired(max_payload=10)
    peer = wired.websocket().send(frame(TEXT, "4" + "x" * 10))
    first, payload = frames(peer.frames)[-1]
    assert (first, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
    assert wired.closes() == [("transport error", "a message is too big")]


@pytest.mark.parametrize("code", [None, 1000, 1001, 4000])
def test_ws_06_a_close_of_the_peers_is_a_transport_close(code: int | None) -> None:
    wired = Wired()
    peer = wired.websocket().send(frame(CLOSE, b"" if code is None else code.to_bytes(2, "big")))
    assert wired.closes() == [("transport close", None)]
    assert peer.closed


def test_ws_06_so_is_the_end_of_the_connection() -> None:
    for end in ("end", "lose"):
        wired = Wired()
        getattr(wired.websocket(), end)()
        assert wired.closes() == [("transport close", None)]


@pytest.mark.parametrize(
    ("data", "code"), [(b"\x83\x80\x01\x02\x03\x04", 1002), (b"\x81\x01x", 1002), (frame(TEXT, b"4\xff"), 1007)]
)
def test_ws_06_a_frame_against_the_rules_is_a_transport_error(data: bytes, code: int) -> None:
    wired = Wired()
    peer = wired.websocket().send(data)
    ((reason, description),) = wired.closes()
    assert reason == "transport error"
    assert description
    assert frames(peer.frames)[-1][1][:2] == code.to_bytes(2, "big")


def test_ws_07_it_is_writable_until_the_transport_refuses() -> None:
    engine, client = scene()
    session = client.session
    session.send("a")
    assert session.writable
    engine.settle()
    client.block()
    assert not session.writable
    session.send("b")
    session.send("c")
    engine.settle()
    assert client.take() == ["4a"]
    client.unblock()
    assert session.writable
    assert client.take() == ["4b", "4c"]


def test_ws_08_the_wish_not_to_be_compressed_reaches_the_websocket() -> None:
    app = drive_app()
    client, socket = app.join()
    socket.emit("a")
    socket.compress(False).emit("b")
    assert socket.conn.outbox[-2].compress
    assert not socket.conn.outbox[-1].compress
    app.settle()
    assert client.take() == ['42["a"]', '42["b"]']


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def test_ws_08_messages_are_deflated_above_a_threshold_and_if_they_may_be() -> None:
    wired = Wired(WireConfig(per_message_deflate=PerMessageDeflate()))
    peer = wired.websocket("EIO=4&transport=websocket", DEFLATE)
    assert peer.answers[0].headers["sec-websocket-extensions"].startswith("permessage-deflate")
    (session,) = wired.core.sessions.values()
    session.send("x" * 1022)
    session.send("x" * 1023)
    session.send("x" * 5000, compress=False)
    small, large, plain = frames(peer.pump().frames)[1:]
    assert small == (TEXT, b"4" + b"x" * 1022)
    assert large[0] == TEXT | 0x40
    inflater = zlib.decompressobj(-15)
    assert inflater.decompress(large[1] + b"\x00\x00\xff\xff") == b"4" + b"x" * 1023
    assert plain == (TEXT, b"4" + b"x" * 5000)


def test_ws_08_what_comes_in_is_inflated_up_to_the_limit() -> None:
    wired = Wired(WireConfig(per_message_deflate=PerMessageDeflate()), max_payload=10_000)
    peer = wired.websocket("EIO=4&transport=websocket", DEFLATE)
    for size in (9_999, 10_000):
        deflater = zlib.compressobj(wbits=-15)
        data = deflater.compress(b"4" + b"x" * size) + deflater.flush(zlib.Z_SYNC_FLUSH)
        peer.send(frame(TEXT | 0x40, data.removesuffix(b"\x00\x00\xff\xff")))
    first, payload = frames(peer.frames)[-1]
    assert (first, payload[:2]) == (CLOSE, (1009).to_bytes(2, "big"))
    _, message, closed = wired.core.events()
    assert isinstance(message, MessageReceived)
    assert message.data == "x" * 9_999
    assert isinstance(closed, SessionClosed)


def test_ws_08_no_extension_is_agreed_to_by_default() -> None:
    peer = Wired().websocket("EIO=4&transport=websocket", DEFLATE)
    assert peer.statuses == [101]
    assert "sec-websocket-extensions" not in peer.answers[0].headers


def test_ws_09_a_broadcast_is_encoded_once() -> None:
    app = drive_app()
    clients = [app.join()[0] for _ in range(3)]
    app.core.emit("news", "x" * 10)
    outboxes = [client.session.outbox for client in clients]
    assert all(box[-1] is outboxes[0][-1] for box in outboxes)
    assert outboxes[0][-1].websocket is outboxes[1][-1].websocket
    app.settle()
    assert [client.take() for client in clients] == [['42["news","xxxxxxxxxx"]']] * 3


def test_ws_10_a_close_of_ours_has_no_code_and_waits_for_nobody() -> None:
    wired = Wired()
    peer = wired.websocket()
    (session,) = wired.core.sessions.values()
    session.send("last")
    session.close()
    assert frames(peer.pump().frames)[1:] == [(TEXT, b"4last"), (CLOSE, b"")]
    assert wired.closes() == [("forced close", None)]
    assert not peer.closed
    assert peer.send(frame(CLOSE)).closed


def test_ws_10_close_hands_over_what_waits_and_discard_does_not() -> None:
    for discard, rest in ((False, ["4last"]), (True, [])):
        engine, client = scene()
        client.block()
        client.session.send("last")
        client.session.close(discard)
        engine.settle()
        assert (closes(engine) == []) is not discard
        client.unblock()
        assert client.take() == rest
        assert closes(engine) == [("forced close", None)]


def test_ws_11_a_second_websocket_is_closed_at_once_and_the_session_stays() -> None:
    wired = Wired()
    sid = json.loads(wired.ask("GET", "/socket.io/?EIO=4&transport=polling").body[1:])["sid"]
    query = f"EIO=4&transport=websocket&sid={sid}"
    first = wired.websocket(query, then=frame(TEXT, "2probe"))
    second = wired.websocket(query)
    assert second.statuses == [101]
    assert frames(second.frames) == [(CLOSE, b"")]
    first.send(frame(TEXT, "5"))
    third = wired.websocket(query)
    assert (third.statuses, frames(third.frames)) == ([101], [(CLOSE, b"")])
    wired.core.sessions[sid].send("a")
    assert frames(first.pump().frames) == [(TEXT, b"3probe"), (TEXT, b"4a")]


def test_ws_12_a_connection_that_breaks_while_writing_is_a_transport_close() -> None:
    wired = Wired()
    peer = wired.websocket()
    (session,) = wired.core.sessions.values()
    peer.connection.receive_blocked()
    session.send("never")
    peer.lose()
    assert wired.closes() == [("transport close", None)]


def test_ws_13_pings_of_the_websocket_are_answered_and_are_no_heartbeat() -> None:
    wired = Wired(ping_interval=10.0, ping_timeout=5.0)
    peer = wired.websocket().send(frame(PING, b"hi"))
    assert frames(peer.frames)[-1] == (PONG, b"hi")
    for _ in range(14):
        peer.advance(1.0).send(frame(PING))
    assert wired.closes() == []
    peer.advance(1.0)
    assert wired.closes() == [("ping timeout", None)]


@pytest.mark.parametrize(("offer", "chosen"), [("one, two", "one"), (" two ", "two")])
def test_ws_14_the_first_subprotocol_is_taken(offer: str, chosen: str) -> None:
    wired = Wired()
    peer = wired.websocket("EIO=4&transport=websocket", f"Sec-WebSocket-Protocol: {offer}")
    assert peer.answers[0].headers["sec-websocket-protocol"] == chosen
    assert "sec-websocket-protocol" not in wired.websocket().answers[0].headers


def test_ws_15_a_broken_frame_right_behind_the_handshake_ends_that_session_alone() -> None:
    wired = Wired()
    other = wired.websocket()
    peer = wired.websocket("EIO=4&transport=websocket", then=b"\xff\xff\xff\xff")
    assert peer.statuses == [101]
    assert frames(peer.frames)[-1][1][:2] == (1002).to_bytes(2, "big")
    assert [reason for reason, _ in wired.closes()] == ["transport error"]
    assert len(wired.core.sessions) == 1
    assert not other.closed
