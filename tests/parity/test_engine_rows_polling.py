"""HTTP long-polling, row by row (PO-01 to 21)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sioproto import Request
from sioproto.engineio import MessageReceived, RequestRefused, SessionClosed
from tests.parity.engine_scene import Wired, request
from tests.virtual import Client, EngineDriver, drive_engine

POLLING = "/socket.io/?EIO=4&transport=polling"


def scene(*, polls: bool = False, **options: Any) -> tuple[EngineDriver, Client]:
    """Returns a driver and a polling session."""
    engine = drive_engine(**options)
    return engine, engine.client(polls=polls)


def closes(engine: EngineDriver) -> list[tuple[str, str | None]]:
    """Returns reason and description of the sessions that ended."""
    return [(event.reason, event.description) for event in engine.told(SessionClosed)]


def messages(engine: EngineDriver) -> list[str | bytes]:
    """Returns the messages that came in."""
    return [event.data for event in engine.told(MessageReceived)]


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_po_01_other_methods_get_405_and_the_session_stays(method: str) -> None:
    engine, client = scene()
    call = engine.request(Request(method, f"{POLLING}&sid={client.sid}", []))
    assert (call.status, call.header("Allow")) == (405, "GET, POST")
    assert client.post("4a").status == 200
    client.session.send("b")
    assert client.poll().packets == ["4b"]
    assert closes(engine) == []


def test_po_02_a_poll_takes_everything_at_once() -> None:
    wired = Wired(max_payload=10)
    sid = json.loads(wired.ask("GET", POLLING).body[1:])["sid"]
    session = wired.core.sessions[sid]
    for data in ("é", b"\x00\xff", "x" * 30):
        session.send(data)
    answer = wired.ask("GET", f"{POLLING}&sid={sid}")
    body = "4é\x1ebAP8=\x1e4" + "x" * 30
    assert (answer.status, answer.body) == (200, body.encode())
    assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-length"] == str(len(body.encode()))


def test_po_03_a_poll_is_held_until_there_is_something() -> None:
    engine, client = scene(ping_interval=1000.0)
    call = client.poll()
    assert client.session.writable
    engine.advance(999)
    assert call.response is None
    engine.advance(1)
    assert call.packets == ["2"]
    assert not client.session.writable


def test_po_04_a_second_poll_gets_400_and_the_first_a_close() -> None:
    engine, client = scene()
    first, second = client.poll(), client.poll()
    assert (second.status, second.body) == (400, "")
    assert first.packets == ["1"]
    assert closes(engine) == [("transport error", "overlap from client")]


def test_po_05_a_second_post_gets_400_and_so_does_the_first() -> None:
    engine, client = scene()
    first, second = client.begin_post(), client.begin_post()
    assert (second.status, second.body) == (400, "")
    assert (first.status, first.body) == (400, "")
    assert closes(engine) == [("transport error", "data request overlap from client")]
    client.finish_post(first, b"4late")
    assert messages(engine) == []


def test_po_06_a_poll_that_goes_away_ends_the_session_at_once() -> None:
    engine, client = scene()
    client.abort(client.poll())
    assert closes(engine) == [("transport error", "poll connection closed prematurely")]


def test_po_07_a_post_that_goes_away_ends_it_too() -> None:
    engine, client = scene()
    client.abort(client.begin_post())
    assert closes(engine) == [("transport error", "data request connection closed prematurely")]


def test_po_08_a_post_is_answered_ok() -> None:
    wired = Wired()
    sid = json.loads(wired.ask("GET", POLLING).body[1:])["sid"]
    wired.core.events()
    answer = wired.ask("POST", f"{POLLING}&sid={sid}", "Content-Type: text/plain;charset=UTF-8", body=b"4a\x1e4b")
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-length"] == "2"
    assert answer.headers["cache-control"] == "no-store"
    assert [event.data for event in wired.core.events() if isinstance(event, MessageReceived)] == ["a", "b"]


def test_po_08_handlers_run_after_the_answer_is_there() -> None:
    engine, client = scene()
    call = client.begin_post()
    engine.core.receive_body(call.exchange, b"4a")
    assert call.exchange.response is not None
    assert [type(event) for event in engine.core.events()] == [MessageReceived]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [("application/octet-stream", 400), ("application/octet-stream; x=y", 200), ("application/json", 200)],
)
def test_po_09_the_binary_framing_of_older_protocols_ends_the_session(content_type: str, status: int) -> None:
    engine, client = scene()
    call = client.finish_post(client.begin_post(("content-type", content_type)), b"4a")
    assert call.status == status
    assert closes(engine) == ([("transport error", "invalid content")] if status == 400 else [])


@pytest.mark.parametrize("framing", ["declared", "chunked"])
def test_po_10_a_body_that_is_too_large_gets_413_and_the_session_stays(framing: str) -> None:
    wired = Wired(max_payload=20)
    sid = json.loads(wired.ask("GET", POLLING).body[1:])["sid"]
    target = f"{POLLING}&sid={sid}"
    if framing == "declared":
        data = request("POST", target, body=b"4" + b"x" * 20)
    else:
        head = request("GET", target, "Transfer-Encoding: chunked").replace(b"GET", b"POST", 1)
        data = head + b"b\r\n4xxxxxxxxxx\r\n" * 2 + b"0\r\n\r\n"
    (answer,) = wired.peer().send(data).answers
    assert (answer.status, answer.body) == (413, b"")
    assert [event for event in wired.core.events() if isinstance(event, MessageReceived | SessionClosed)] == []
    assert wired.ask("POST", target, body=b"4" + b"x" * 19).status == 200


@pytest.mark.parametrize("bad", ["", "x", "7", "b*", "\u0664"])
def test_po_11_what_stands_before_the_first_bad_packet_is_delivered(bad: str) -> None:
    engine, client = scene()
    call = client.finish_post(client.begin_post(), f"4first\x1e{bad}\x1e4last".encode())
    assert call.status == 400
    assert messages(engine) == ["first"]
    assert [reason for reason, _ in closes(engine)] == ["parse error"]


def test_po_11_an_empty_body_is_a_bad_packet() -> None:
    engine, client = scene()
    held = client.poll()
    assert client.finish_post(client.begin_post(), b"").status == 400
    assert closes(engine) == [("parse error", "empty packet")]
    assert held.packets == ["1"]


def test_po_11_any_number_of_messages_is_taken_and_other_packets_up_to_a_limit() -> None:
    engine, client = scene(max_control_packets=3)
    call = client.post(*["4x"] * 5000, "3", "3", "3")
    engine.advance(0)
    assert call.status == 200
    assert len(messages(engine)) == 5000
    assert client.post(*["3"] * 4).status == 400


def test_po_12_a_close_packet_ends_the_session_and_frees_the_poll_with_a_noop() -> None:
    engine, client = scene()
    held = client.poll()
    call = client.post("4a", "1", "4b")
    assert (call.status, call.body) == (200, "ok")
    assert held.packets == ["6"]
    assert messages(engine) == ["a"]
    assert closes(engine) == [("transport close", None)]


def test_po_13_a_close_of_ours_goes_to_the_held_poll_at_once() -> None:
    engine, client = scene()
    held = client.poll()
    client.session.close()
    engine.settle()
    assert held.packets == ["1"]
    assert closes(engine) == [("forced close", None)]


def test_po_14_without_a_poll_it_waits_for_the_next_one() -> None:
    engine, client = scene()
    session = client.session
    session.send("last")
    session.close()
    engine.settle()
    assert (session.ready_state, closes(engine)) == ("closing", [])
    assert client.poll().packets == ["4last"]
    assert closes(engine) == []
    assert client.poll().packets == ["1"]
    assert closes(engine) == [("forced close", None)]


def test_po_14_but_not_for_ever() -> None:
    engine, client = scene()
    client.session.close()
    engine.advance(29.9)
    assert closes(engine) == []
    engine.advance(0.2)
    assert closes(engine) == [("forced close", None)]


def test_po_15_a_discarding_close_waits_for_nothing() -> None:
    engine, client = scene()
    client.session.send("never")
    client.session.close(discard=True)
    engine.settle()
    assert closes(engine) == [("forced close", None)]
    assert client.poll().code == 1


@pytest.mark.parametrize(("discard", "status"), [(False, 200), (True, 400)])
def test_po_16_a_post_that_is_still_coming_is_answered_and_dropped(discard: bool, status: int) -> None:
    engine, client = scene()
    call = client.begin_post()
    client.session.close(discard)
    engine.settle()
    client.finish_post(call, b"4late")
    assert call.status == status
    assert messages(engine) == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_po_17_a_request_after_the_upgrade_is_a_mismatch(method: str) -> None:
    engine, client = scene(polls=True)
    client.upgrade()
    call = client.begin_post() if method == "POST" else client.poll()
    assert (call.status, call.code) == (400, 3)
    assert engine.told(RequestRefused)[0].context["name"] == "TRANSPORT_MISMATCH"
    assert client.session.open


def test_po_18_jsonp_is_not_there() -> None:
    engine = drive_engine()
    call = engine.request(Request("GET", POLLING + "&j=0", []))
    assert call.body.startswith('0{"sid":')


def test_po_19_no_header_for_old_browsers() -> None:
    engine = drive_engine()
    call = engine.request(Request("GET", POLLING, [("user-agent", "Mozilla/4.0 (compatible;MSIE 8.0; Trident/4.0)")]))
    assert call.status == 200
    assert call.header("X-XSS-Protection") is None


@pytest.mark.parametrize(("query", "form"), [("&b64=1", "bAQI="), ("&b64=", b"\x01\x02"), ("", b"\x01\x02")])
def test_po_20_b64_turns_binary_frames_off(query: str, form: str | bytes) -> None:
    engine = drive_engine()
    client = engine.client("websocket", query=query)
    client.session.send(b"\x01\x02")
    engine.settle()
    assert client.take() == [form]
    client.send("bAQI=")
    assert messages(engine) == [b"\x01\x02"]


@pytest.mark.parametrize("version", ["EIO=3&", "", "EIO=5&"])
def test_po_21_the_revision_is_checked_in_every_request(version: str) -> None:
    engine, client = scene()
    for method in ("GET", "POST"):
        target = f"/socket.io/?{version}transport=polling&sid={client.sid}"
        call = engine.request(Request(method, target, []))
        assert (call.status, call.code) == (400, 3)
    assert [each.context["name"] for each in engine.told(RequestRefused)] == ["PROTOCOL_MISMATCH"] * 2
    assert client.session.open


def test_po_02_binary_comes_in_as_base64() -> None:
    engine, client = scene()
    assert client.post(b"\x00\xff", "4a").status == 200
    assert messages(engine) == [b"\x00\xff", "a"]
