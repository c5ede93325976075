"""The upgrade from polling to WebSocket, and the heartbeat, row by row (UP-01 to 11, HB-01 to 07)."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto.engineio import MessageReceived, SessionClosed
from tests.virtual import Client, EngineDriver, drive_engine, living


def scene(transport: str = "polling", **options: Any) -> tuple[EngineDriver, Client]:
    """Returns a driver and a session that does nothing by itself."""
    engine = drive_engine(**options)
    return engine, engine.client(transport, polls=False, pongs=False)


def closes(engine: EngineDriver) -> list[tuple[str, str | None]]:
    """Returns reason and description of the sessions that ended."""
    return [(event.reason, event.description) for event in engine.told(SessionClosed)]


def messages(engine: EngineDriver) -> list[str | bytes]:
    """Returns the messages that came in."""
    return [event.data for event in engine.told(MessageReceived)]


def test_up_01_probe_answer_pause_switch() -> None:
    engine, client = scene()
    session = client.session
    seen: list[str] = []
    session.on("upgrading", lambda transport: seen.append(f"upgrading {transport.name} {session.transport_name}"))
    session.on("upgrade", lambda transport: seen.append(f"upgrade {transport.name} {session.transport_name}"))
    candidate = client.attach()
    assert (candidate.status, candidate.frames, seen) == (101, [], [])
    client.say(candidate, "2probe")
    assert candidate.frames == ["3probe"]
    assert seen == ["upgrading websocket polling"]
    client.say(candidate, "5")
    assert seen[1:] == ["upgrade websocket websocket"]
    session.send("a")
    engine.settle()
    assert candidate.frames == ["3probe", "4a"]


def test_up_02_a_held_poll_is_released_every_100_ms_from_the_probe_on() -> None:
    engine, client = scene()
    held = client.poll()
    candidate = client.attach()
    engine.advance(1.0)
    assert held.response is None
    client.say(candidate, "2probe")
    engine.advance(0.09)
    assert held.response is None
    engine.advance(0.02)
    assert held.packets == ["6"]
    engine.advance(0.25)
    again = client.poll()
    assert again.response is None
    engine.advance(0.1)
    assert again.packets == ["6"]


def test_up_03_packets_flow_by_polling_until_the_switch() -> None:
    engine, client = scene()
    candidate = client.attach()
    client.say(candidate, "2probe")
    client.session.send("a")
    assert client.poll().packets == ["4a"]
    held = client.poll()
    client.session.send("b")
    engine.settle()
    assert held.packets == ["4b"]
    client.post("4x")
    client.session.send("c")
    engine.settle()
    assert candidate.frames == ["3probe"]
    client.say(candidate, "5", "4y")
    assert candidate.frames == ["3probe", "4c"]
    assert messages(engine) == ["x", "y"]


def test_up_04_a_poll_that_is_still_held_gets_a_close_before_upgrade_is_told() -> None:
    engine, client = scene()
    session, held, candidate = client.session, client.poll(), client.attach()
    seen: list[object] = []
    session.on(
        "upgrade", lambda: seen.append((held.exchange.response is not None, session.upgraded, session.upgrading))
    )
    session.on("flush", lambda frames: seen.append([frame.data for frame in frames]))
    client.say(candidate, "2probe")
    engine.core.receive_messages(candidate.link, ["5"])
    session.send("a")
    engine.settle()
    assert held.packets == ["1"]
    assert seen == [(True, True, False), ["4a"]]
    assert session.open


@pytest.mark.parametrize("probed", [False, True])
def test_up_05_too_late_closes_the_websocket_alone(probed: bool) -> None:
    engine, client = scene()
    candidate = client.attach()
    if probed:
        client.say(candidate, "2probe")
    engine.advance(9.9)
    assert not candidate.closed
    engine.advance(0.2)
    assert candidate.closed
    assert not client.session.upgrading
    client.polls = True
    client.poll()
    client.upgrade()
    assert client.session.upgraded


@pytest.mark.parametrize("probed", [False, True])
@pytest.mark.parametrize("packet", ["4a", "2", "2PROBE", "3probe", "1", "", b"5"])
def test_up_06_another_packet_closes_the_websocket_alone(packet: str | bytes, probed: bool) -> None:
    engine, client = scene()
    candidate = client.attach()
    if probed:
        client.say(candidate, "2probe")
    client.say(candidate, packet, "4late")
    assert candidate.closed
    assert messages(engine) == []
    client.session.send("b")
    assert client.poll().packets == ["4b"]


def test_up_06_a_5_without_a_probe_is_taken() -> None:
    engine, client = scene()
    candidate = client.attach()
    client.say(candidate, "5", "4a")
    assert client.session.upgraded
    assert messages(engine) == ["a"]


def test_up_07_the_end_of_polling_ends_the_websocket_too() -> None:
    engine, client = scene()
    held, candidate = client.poll(), client.attach()
    client.say(candidate, "2probe")
    client.abort(held)
    assert closes(engine) == [("transport error", "poll connection closed prematurely")]
    assert candidate.closed
    client.say(candidate, "5")
    assert candidate.frames == ["3probe"]


@pytest.mark.parametrize("queued", [[], ["4a", b"b"]], ids=["nothing", "messages"])
def test_up_08_an_upgrade_that_is_agreed_on_takes_what_is_queued_and_is_closed(queued: list[str | bytes]) -> None:
    engine, client = scene()
    candidate = client.attach()
    client.say(candidate, "2probe")
    for message in queued:
        client.session.send(message[1:] if isinstance(message, str) else message)
    client.session.close()
    engine.settle()
    assert not candidate.closed
    assert (client.session.ready_state, client.session.upgrading) == ("closing", True)
    client.say(candidate, "5")
    assert candidate.frames == ["3probe", *queued]
    assert candidate.closed
    assert closes(engine) == [("forced close", None)]


def test_up_08_a_client_that_goes_on_polling_gets_it_by_polls() -> None:
    engine, client = scene()
    candidate = client.attach()
    client.say(candidate, "2probe")
    client.session.send("a")
    client.session.close()
    engine.settle()
    assert client.poll().packets == ["4a"]
    assert not candidate.closed
    assert client.poll().packets == ["1"]
    assert candidate.closed
    assert candidate.frames == ["3probe"]
    assert closes(engine) == [("forced close", None)]


@pytest.mark.parametrize("how", ["stray", "lost", "overdue"])
def test_up_08_an_upgrade_that_fails_leaves_it_to_polls(how: str) -> None:
    engine, client = scene(upgrade_timeout=5.0)
    candidate = client.attach()
    client.say(candidate, "2probe")
    client.session.send("a")
    client.session.close()
    if how == "stray":
        client.say(candidate, "4what?")
    elif how == "lost":
        engine.core.receive_link_closed(candidate.link, 1006)
    else:
        engine.advance(5.1)
    engine.settle()
    assert (client.session.ready_state, client.session.upgrading) == ("closing", False)
    assert [client.poll().packets, client.poll().packets] == [["4a"], ["1"]]
    assert closes(engine) == [("forced close", None)]


def test_up_09_a_ping_on_its_way_is_still_awaited_after_the_switch() -> None:
    engine, client = scene(ping_interval=5.0, ping_timeout=2.0)
    engine.advance(5.0)
    assert client.session.heartbeat.awaits_pong
    candidate = client.attach()
    client.say(candidate, "2probe", "5")
    assert candidate.frames == ["3probe", "2"]
    engine.advance(1.9)
    assert closes(engine) == []
    engine.advance(0.2)
    assert closes(engine) == [("ping timeout", None)]


def test_up_10_upgrading_and_upgraded() -> None:
    _, client = scene()
    session = client.session
    flags = [(session.upgrading, session.upgraded)]
    candidate = client.attach()
    flags.append((session.upgrading, session.upgraded))
    client.say(candidate, "2probe", "5")
    flags.append((session.upgrading, session.upgraded))
    session.close()
    flags.append((session.upgrading, session.upgraded))
    assert flags == [(False, False), (True, False), (False, True), (False, True)]


def test_up_11_there_is_no_way_back() -> None:
    engine, client = scene("websocket")
    call = client.poll()
    assert (call.status, call.code) == (400, 3)
    assert client.attach().closed
    assert client.handshake["upgrades"] == []
    assert closes(engine) == []


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_hb_01_a_ping_of_the_clients_is_an_error(transport: str) -> None:
    engine, client = scene(transport)
    if transport == "polling":
        client.post("2", "4late")
    else:
        client.say(client.opening, "2", "4late")
    assert closes(engine) == [("transport error", "invalid heartbeat direction")]
    assert messages(engine) == []


def test_hb_02_the_period_is_the_interval_and_the_way_of_the_pong() -> None:
    engine, client = scene("websocket", ping_interval=10.0, ping_timeout=5.0)
    for _ in range(3):
        engine.advance(9.9)
        assert client.log[1:].count("2") == 0
        engine.advance(0.2)
        assert client.log.pop() == "2"
        engine.advance(4.0)
        client.say(client.opening, "3")
    assert closes(engine) == []


def test_hb_02_the_time_runs_though_nobody_takes_the_ping() -> None:
    engine, client = scene(ping_interval=10.0, ping_timeout=5.0)
    engine.advance(14.9)
    assert client.session.open
    assert [frame.data for frame in client.session.outbox] == ["2"]
    engine.advance(0.2)
    assert closes(engine) == [("ping timeout", None)]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_hb_03_without_a_pong_the_transport_is_closed(transport: str) -> None:
    engine, client = scene(transport)
    client.poll() if transport == "polling" else None
    engine.advance(25.0)
    assert client.log[-1] == "2"
    held = client.poll() if transport == "polling" else client.opening
    engine.advance(20.0)
    assert closes(engine) == [("ping timeout", None)]
    assert held.packets == ["1"] if transport == "polling" else held.closed
    assert living(engine.core.timers) == {}


def test_hb_04_the_first_other_packet_gives_the_pong_its_time_once_more() -> None:
    engine, client = scene("websocket", ping_interval=0.2, ping_timeout=0.2)
    engine.advance(0.35)
    client.say(client.opening, "4a")
    engine.advance(0.1)
    client.say(client.opening, "4b")
    engine.advance(0.05)
    assert closes(engine) == []
    engine.advance(0.06)
    assert closes(engine) == [("ping timeout", None)]


def test_hb_04_before_the_ping_it_means_nothing() -> None:
    engine, client = scene("websocket", ping_interval=0.2, ping_timeout=0.2)
    client.say(client.opening, "4a")
    engine.advance(0.39)
    assert closes(engine) == []
    engine.advance(0.02)
    assert closes(engine) == [("ping timeout", None)]


def test_hb_05_a_pong_that_nobody_asked_for_starts_the_interval_anew() -> None:
    engine, client = scene("websocket", ping_interval=10.0)
    seen: list[str] = []
    client.session.on("heartbeat", lambda: seen.append("heartbeat"))
    engine.advance(9.0)
    client.say(client.opening, "3")
    assert seen == ["heartbeat"]
    engine.advance(9.9)
    assert "2" not in client.log
    engine.advance(0.2)
    assert client.log[-1] == "2"


def test_hb_06_heartbeat_is_told_for_each_pong() -> None:
    engine = drive_engine(ping_interval=10.0)
    seen: list[float] = []
    for transport in ("polling", "websocket"):
        engine.client(transport).session.on("heartbeat", lambda: seen.append(engine.clock.now - 1000.0))
    engine.advance(31.0)
    assert seen == [10.0, 10.0, 20.0, 20.0, 30.0, 30.0]


def test_hb_07_a_ping_has_no_payload() -> None:
    engine, client = scene("websocket")
    engine.advance(25.0)
    assert client.log[1:] == ["2"]
    client.say(client.opening, "3whatever")
    assert not client.session.heartbeat.awaits_pong
