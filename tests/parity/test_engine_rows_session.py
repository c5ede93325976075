"""The session (``socket.conn``), its events and its end, and the packet codec, row by row (SE, EC)."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto import LocalProtocolError, Session
from sioproto.engineio import MessageReceived, SessionClosed
from tests.virtual import AppDriver, Client, EngineDriver, drive_app, drive_engine

TRANSPORTS = ("polling", "websocket")


def scene(transport: str = "websocket", **options: Any) -> tuple[EngineDriver, Client, Session]:
    """Returns a driver, a client that does nothing by itself, and its session."""
    engine = drive_engine(**options)
    client = engine.client(transport, polls=False, pongs=False)
    return engine, client, client.session


def closes(engine: EngineDriver) -> list[tuple[str, str | None]]:
    """Returns reason and description of the sessions that ended."""
    return [(event.reason, event.description) for event in engine.told(SessionClosed)]


def watch(session: Session, *events: str) -> list[tuple[Any, ...]]:
    """Notes what the observers of a session are told."""
    seen: list[tuple[Any, ...]] = []
    for event in events:

        def note(*args: Any, event: str = event) -> None:
            seen.append((event, *args))

        session.on(event, note)
    return seen


def test_se_01_attributes() -> None:
    engine = drive_engine()
    client = engine.client(polls=False, address="192.0.2.7", query="&x=1")
    session = client.session
    assert session.id == client.sid
    assert session.protocol == 4
    assert session.request.query["x"] == "1"
    assert session.remote_address == "192.0.2.7"
    states = [session.ready_state]
    assert (session.upgrading, session.upgraded) == (False, False)
    assert (session.transport.name, session.transport.writable) == ("polling", False)
    session.send("a")
    assert [frame.data for frame in session.outbox] == ["4a"]
    session.close()
    states.append(session.ready_state)
    client.poll()
    client.poll()
    assert [*states, session.ready_state] == ["open", "closing", "closed"]
    assert engine.client("websocket").session.transport.name == "websocket"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_se_02_packet_is_told_for_everything_before_it_is_handled(transport: str) -> None:
    engine, client, session = scene(transport)
    seen = watch(session, "packet", "close")
    packets = ("4a", "4", "3", "6", b"\x01", "2")
    client.post(*packets) if transport == "polling" else client.say(client.opening, *packets)
    types = [
        ("packet", "message", "a"),
        ("packet", "message", ""),
        ("packet", "pong", ""),
        ("packet", "noop", ""),
        ("packet", "message", b"\x01"),
    ]
    end = ("close", "transport error", "invalid heartbeat direction")
    assert seen == [*types, ("packet", "ping", ""), end]
    assert len(engine.told(SessionClosed)) == 1


def test_se_02_packets_of_a_probe_are_not_told() -> None:
    _, client, session = scene("polling")
    seen = watch(session, "packet")
    client.say(client.attach(), "2probe", "5", "4a")
    assert seen == [("packet", "message", "a")]


def test_se_03_packet_create_is_told_before_the_packet_is_queued() -> None:
    engine, client, session = scene(ping_interval=5.0)
    seen: list[tuple[str, str | bytes, int]] = []
    session.on("packet_create", lambda kind, data: seen.append((kind, data, len(session.outbox))))
    session.on("packetCreate", lambda kind, data: seen.append((kind, data, len(session.outbox))))
    session.send("a")
    session.send(b"\x01")
    engine.advance(5.0)
    each = [("message", "a", 0), ("message", b"\x01", 1), ("ping", "", 0)]
    assert [row for row in seen if row[0] != "ping"] == [row for row in each[:2] for _ in range(2)]
    assert [row[:2] for row in seen[4:]] == [("ping", "")] * 2
    assert client.log[1:] == ["4a", b"\x01", "2"]


def test_se_03_what_the_transport_writes_alone_is_not_told() -> None:
    engine, client, session = scene("polling")
    seen = watch(session, "packet_create", "flush")
    held, candidate = client.poll(), client.attach()
    client.say(candidate, "2probe")
    engine.advance(0.1)
    assert held.packets == ["6"]
    assert seen == []
    session.close()
    assert client.poll().packets == ["1"]
    assert [row[0] for row in seen] == ["flush"]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_se_04_flush_tells_what_is_handed_over_and_se_05_drain_follows(transport: str) -> None:
    engine, client, session = scene(transport)
    seen: list[Any] = []
    session.on("flush", lambda frames: seen.append([frame.data for frame in frames]))
    session.on("drain", lambda: seen.append("drain"))
    session.send("a")
    session.send("b")
    engine.settle()
    if transport == "polling":
        assert seen == []
        client.poll()
    assert seen == [["4a", "4b"], "drain"]


def test_se_04_flush_is_told_when_the_packets_are_handed_over() -> None:
    engine, client, session = scene()
    seen = watch(session, "flush")
    client.block()
    session.send("a")
    engine.settle()
    assert seen == []
    client.unblock()
    (flushed,) = seen
    assert [frame.data for frame in flushed[1]] == ["4a"]


def test_se_05_drain_means_handed_to_the_transport() -> None:
    engine, client, session = scene()
    seen = watch(session, "drain")
    session.send("a")
    assert seen == []
    engine.core.take_dirty()
    assert seen == [("drain",)]
    assert client.take() == []


def test_se_06_messages_are_events_of_the_engine() -> None:
    engine, client, session = scene()
    client.send("4a", "4", b"\x01")
    told = [(event.session, event.data) for event in engine.told(MessageReceived)]
    assert told == [(session, "a"), (session, ""), (session, b"\x01")]
    with pytest.raises(LocalProtocolError, match="no event 'message'"):
        session.on("message", print)


def test_se_07_upgrading_and_upgrade_bring_the_new_transport() -> None:
    _, client, session = scene("polling")
    names: list[str] = []
    session.once("upgrading", lambda transport: names.append(transport.name))
    session.once("upgrade", lambda transport: names.append(f"{transport.name} {session.transport.name}"))
    client.say(client.attach(), "2probe", "2probe", "5")
    assert names == ["websocket", "websocket websocket"]


def test_se_08_heartbeat() -> None:
    engine, client, session = scene(ping_interval=5.0)
    seen = watch(session, "heartbeat")
    engine.advance(5.0)
    assert seen == []
    client.say(client.opening, "3")
    assert seen == [("heartbeat",)]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("how", "reason", "description"),
    [
        ("1", "transport close", None),
        ("2", "transport error", "invalid heartbeat direction"),
        ("x", "parse error", "unknown packet type"),
        ("silence", "ping timeout", None),
        ("close", "forced close", None),
    ],
)
def test_se_09_close_is_told_once_with_its_reason(
    transport: str, how: str, reason: str, description: str | None
) -> None:
    engine, client, session = scene(transport)
    seen = watch(session, "close")
    if how == "silence":
        engine.advance(45.0)
    elif how == "close":
        session.close(discard=True)
    elif transport == "polling":
        client.post(how)
    else:
        client.send(how)
    session.close()
    session.close(discard=True)
    engine.settle()
    engine.advance(100.0)
    assert seen == [("close", reason, description)]
    assert closes(engine) == [(reason, description)]


def test_se_09_then_the_timers_are_gone_and_what_was_not_sent_can_be_seen() -> None:
    engine, client, session = scene()
    client.block()
    seen: list[Any] = []

    def note() -> None:
        data = [frame.data for frame in session.outbox]
        seen.append((data, session.ready_state, client.link.closing, engine.core.timers.next_deadline()))

    session.on("close", note)
    session.send("never")
    session.close(discard=True)
    assert seen == [(["4never"], "closed", True, None)]
    assert session.outbox == []


def test_se_10_send_is_refused_unless_the_session_is_open() -> None:
    engine, client, session = scene()
    assert session.send("a")
    assert session.send("")
    assert session.send("b", compress=False)
    assert [frame.compress for frame in session.outbox] == [True, True, False]
    engine.settle()
    assert client.take() == ["4a", "4", "4b"]
    session.close()
    assert not session.send("late")
    engine.settle()
    assert client.take() == []


def test_se_10_when_drained_stands_for_the_callback() -> None:
    engine, client, session = scene()
    seen: list[str] = []
    session.when_drained(lambda: seen.append("at once"))
    client.block()
    session.send("a")
    session.when_drained(lambda: seen.append("handed over"))
    engine.settle()
    assert seen == ["at once"]
    client.unblock()
    assert seen == ["at once", "handed over"]


def test_se_11_a_graceful_close_waits_for_what_is_queued() -> None:
    engine, client, session = scene()
    client.block()
    session.send("a")
    session.close()
    engine.settle()
    assert (session.ready_state, session.send("late")) == ("closing", False)
    client.unblock()
    assert client.take() == ["4a"]
    assert client.over
    assert closes(engine) == [("forced close", None)]


@pytest.mark.parametrize("closing", [False, True])
def test_se_12_discard_waits_for_nothing_from_open_or_closing(closing: bool) -> None:
    engine, client, session = scene()
    client.block()
    session.send("a")
    if closing:
        session.close()
    session.close(discard=True)
    engine.settle()
    assert session.ready_state == "closed"
    client.unblock()
    assert client.take() == []
    assert closes(engine) == [("forced close", None)]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_se_13_a_closing_session_hears_nothing(transport: str) -> None:
    engine, client, session = scene(transport)
    if transport == "websocket":
        client.block()
        session.send("a")
    session.close()
    seen = watch(session, "packet")
    if transport == "polling":
        assert client.post("4late", "2").body == "ok"
    else:
        client.send("4late", "2")
    assert engine.told(MessageReceived) == []
    assert seen == []
    assert session.ready_state == "closing"


def both(app: AppDriver) -> tuple[Client, list[str]]:
    """Returns a client and the reasons that its socket and its session end with."""
    reasons: list[str] = []
    app.core.on("disconnect", lambda socket, reason: reasons.append(f"socket: {reason}"))
    client, socket = app.join()
    socket.conn.on("close", lambda reason: reasons.append(f"session: {reason}"))
    return client, reasons


def test_se_14_the_reasons_of_socket_and_session_differ() -> None:
    app = drive_app()
    _, reasons = both(app)
    app.core.disconnect_sockets(close=True)
    app.settle()
    assert sorted(reasons) == ["session: forced close", "socket: server namespace disconnect"]


def test_se_14_connect_timeout_is_a_forced_close() -> None:
    app = drive_app(connect_timeout=5.0)
    client = app.client("websocket")
    seen = watch(client.session, "close")
    app.advance(4.9)
    assert seen == []
    app.advance(0.2)
    assert seen == [("close", "forced close", None)]


def test_ec_01_packet_types() -> None:
    engine, client, session = scene("polling", ping_interval=5.0)
    assert client.log[0][:1] == "0"
    session.send("a")
    assert client.poll().packets == ["4a"]
    engine.advance(5.0)
    assert client.poll().packets == ["2"]
    seen = watch(session, "packet")
    client.post("0", "3", "4x", "5", "6", b"y")
    assert [row[1] for row in seen] == ["open", "pong", "message", "upgrade", "noop", "message"]
    held = client.poll()
    client.say(client.attach(), "2probe", "5")
    assert held.packets == ["1"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("packet", ["7", "a", "\u0664", " 4", "-1", "c", "B"])
def test_ec_02_another_first_character_is_an_error(transport: str, packet: str) -> None:
    engine, client, _ = scene(transport)
    if transport == "polling":
        assert client.post(packet).status == 400
    else:
        client.send(packet)
    assert closes(engine) == [("parse error", "unknown packet type")]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_ec_02_a_packet_may_have_no_data(transport: str) -> None:
    engine, client, _ = scene(transport)
    client.send("4", "3")
    assert [event.data for event in engine.told(MessageReceived)] == [""]
    assert closes(engine) == []


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("text", ["A", "AAA", "AA=", "A-_A", "AA A", "AA==AAAA", "AB==", "AAA*"])
def test_ec_03_base64_has_one_spelling(transport: str, text: str) -> None:
    engine, client, _ = scene(transport)
    if transport == "polling":
        assert client.post("b" + text).status == 400
    else:
        client.send("b" + text)
    assert [reason for reason, _ in closes(engine)] == ["parse error"]


def test_ec_04_a_binary_message_is_a_message() -> None:
    engine, client, _ = scene()
    client.send(b"", b"4", b"\xff\x00")
    assert [event.data for event in engine.told(MessageReceived)] == [b"", b"4", b"\xff\x00"]


@pytest.mark.parametrize("data", [b"\x00\xff", bytearray(b"\x00\xff"), memoryview(b"\x00\xff")])
def test_ec_05_bytes_of_all_kinds_are_sent_raw_or_as_base64(data: bytes) -> None:
    for transport, form in (("websocket", b"\x00\xff"), ("polling", "bAP8=")):
        engine, client, session = scene(transport)
        assert session.send(data)
        engine.settle()
        got = client.take() if transport == "websocket" else client.poll().body.split("\x1e")
        assert got == [form]


@pytest.mark.parametrize("data", [None, 5, ["a"]])
def test_ec_05_other_data_is_refused_at_the_caller(data: Any) -> None:
    _, _, session = scene()
    with pytest.raises(LocalProtocolError, match="a message is a str or bytes"):
        session.send(data)


def test_ec_06_a_payload_joins_packets_and_binary_is_base64() -> None:
    _, client, session = scene("polling")
    for data in ("a", b"\x01\x02\x03\x04", "", "é"):
        session.send(data)
    assert client.poll().body == "4a\x1ebAQIDBA==\x1e4\x1e4é"


def test_ec_07_a_body_that_is_not_utf_8_is_a_parse_error() -> None:
    engine, client, _ = scene("polling")
    assert client.finish_post(client.begin_post(), b"4a\x1e4\xff").status == 400
    assert engine.told(MessageReceived) == []
    assert [reason for reason, _ in closes(engine)] == ["parse error"]
