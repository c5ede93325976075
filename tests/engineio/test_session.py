"""One session from its handshake to its end: polling, WebSocket, the upgrade between them, heartbeat and closing."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import HttpCompression, LocalProtocolError
from sioproto.engineio import EngineServer, MessageReceived, ObserverFailed, SessionClosed, SessionOpened, State
from sioproto.frame import FRAME_COST
from tests.virtual import EngineDriver, drive_engine, living, payload

if TYPE_CHECKING:
    from tests.virtual import Call, Client

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


def heard(driver: EngineDriver) -> list[str | bytes]:
    """Returns the messages that the server got."""
    return [event.data for event in driver.told(MessageReceived)]


def ends(driver: EngineDriver) -> list[tuple[str, str | None]]:
    """Returns why sessions ended."""
    return [(event.reason, event.description) for event in driver.told(SessionClosed)]


# -- handshake


@BOTH
def test_a_handshake(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    assert client.handshake == {
        "sid": client.session.id,
        "upgrades": ["websocket"] if transport == "polling" else [],
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 1000000,
    }
    assert client.log[0] == client.opening.frames[0] if transport == "websocket" else client.opening.packets[0]
    assert client.opening.status == (101 if transport == "websocket" else 200)
    session = client.session
    assert (session.ready_state, session.transport_name, session.transport.name) == ("open", transport, transport)
    assert (session.upgraded, session.upgrading, session.writable) == (False, False, True)
    assert [type(event) for event in driver.log] == [SessionOpened]


def test_a_polling_answer_has_its_headers() -> None:
    client = drive_engine().client()
    assert client.opening.header("Content-Type") == "text/plain; charset=UTF-8"
    assert client.opening.header("Cache-Control") == "no-store"
    post = client.post("4")
    assert (post.status, post.body) == (200, "ok")
    assert post.header("Content-Type") == "text/html"
    assert post.header("Cache-Control") == "no-store"


# -- messages


@BOTH
def test_messages_go_both_ways_in_order(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    client.send("4one", b"\x00\x01", "4", "4ü")
    client.send("4last")
    assert heard(driver) == ["one", b"\x00\x01", "", "ü", "last"]
    for message in ("one", b"\x00\x01", bytearray(b"\x02"), memoryview(b"\x03"), "", "ü"):
        assert client.session.send(message)  # type: ignore[arg-type]
    driver.settle()
    client.session.send("last")
    driver.settle()
    assert client.take() == ["4one", b"\x00\x01", b"\x02", b"\x03", "4", "4ü", "4last"]
    assert client.session.queued == 0


def test_what_is_no_message_is_refused() -> None:
    session = drive_engine().client().session
    with pytest.raises(LocalProtocolError, match="int"):
        session.send(5)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="surrogate"):
        session.send("a\ud800")
    assert session.queued == 0


def test_several_packets_share_a_poll() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    poll = client.poll()
    assert poll.response is None
    for number in range(3):
        client.session.send(str(number))
    client.session.send(b"\xff")
    driver.settle()
    assert poll.body == "40\x1e41\x1e42\x1eb/w=="
    # What comes between polls waits, and the next poll is answered at once.
    client.session.send("later")
    driver.settle()
    assert client.session.queued == len("4later")
    assert not client.session.writable
    assert client.poll().packets == ["4later"]


def test_a_client_without_binary_gets_text() -> None:
    driver = drive_engine()
    client = driver.client("websocket", query="&b64=1")
    client.session.send(b"\xff")
    client.send("b/w==")
    assert client.take() == ["b/w=="]
    assert heard(driver) == [b"\xff"]


@pytest.mark.parametrize(
    ("size", "compress", "accepts", "packed"),
    [
        (2000, True, "gzip", True),
        (2000, True, "deflate;q=0.5, gzip;q=0", True),
        (2000, True, "br", False),
        (2000, True, "", False),
        (2000, False, "gzip", False),
        (100, True, "gzip", False),
    ],
)
def test_large_polls_are_compressed(size: int, compress: bool, accepts: str, packed: bool) -> None:
    driver = drive_engine(http_compression=HttpCompression(threshold=1024))
    client = driver.client(polls=False, headers=[("accept-encoding", accepts)])
    poll = client.poll()
    client.session.send("x" * size, compress)
    driver.settle()
    assert (poll.header("Content-Encoding") is not None) == packed
    assert poll.packets == ["4" + "x" * size]
    assert poll.response is not None
    assert (len(poll.response.body) < size / 2) == packed


# -- polling: what goes wrong


def test_two_polls_at_a_time_end_the_session() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    first, second = client.poll(), client.poll()
    assert (first.status, first.packets) == (200, ["1"])
    assert (second.status, second.body) == (400, "")
    assert ends(driver) == [("transport error", "overlap from client")]


def test_two_posts_at_a_time_end_the_session() -> None:
    driver = drive_engine()
    client = driver.client()
    first, second = client.begin_post(), client.begin_post()
    assert (first.status, second.status) == (400, 400)
    assert not first.exchange.wants_body
    assert ends(driver) == [("transport error", "data request overlap from client")]
    assert client.over
    client.finish_post(first, b"4too late")
    assert heard(driver) == []


def test_an_aborted_poll_ends_the_session() -> None:
    driver = drive_engine()
    client = driver.client()
    poll = client.call
    client.lose()
    assert poll is not None
    assert poll.response is None  # there is nobody to send it to
    assert ends(driver) == [("transport error", "poll connection closed prematurely")]
    assert driver.core.sessions == {}


def test_an_aborted_post_ends_the_session() -> None:
    driver = drive_engine()
    client = driver.client()
    client.abort(client.begin_post())
    assert ends(driver) == [("transport error", "data request connection closed prematurely")]
    assert client.take() == ["1"]


def test_an_answered_request_may_be_aborted() -> None:
    driver = drive_engine()
    client = driver.client()
    client.abort(client.opening)
    client.abort(client.post("4a"))
    client.session.send("still here")
    driver.settle()
    assert client.take() == ["4still here"]
    assert ends(driver) == []


def test_raw_binary_is_refused() -> None:
    driver = drive_engine()
    client = driver.client()
    post = client.begin_post(("content-type", "application/octet-stream"))
    assert post.status == 400
    assert ends(driver) == [("transport error", "invalid content")]


def test_a_large_post_leaves_the_session() -> None:
    driver = drive_engine()
    client = driver.client()
    post = client.begin_post()
    driver.core.receive_oversize(post.exchange)
    driver.settle()
    assert (post.status, post.body) == (413, "")
    assert client.post("4next").status == 200
    assert heard(driver) == ["next"]
    assert ends(driver) == []


@pytest.mark.parametrize("bad", ["", "9", "x", "b@", "bAAA", "\u0661"])
def test_a_malformed_payload_ends_the_session(bad: str) -> None:
    driver = drive_engine()
    client = driver.client()
    post = client.post("4before", bad, "4behind")
    assert post.status == 400
    assert post.body == ""
    assert heard(driver) == ["before"]
    assert [reason for reason, _ in ends(driver)] == ["parse error"]
    assert client.take() == ["1"]


def test_an_empty_body_and_invalid_utf8_are_malformed() -> None:
    for body in (b"", b"4\xff"):
        driver = drive_engine()
        client = driver.client()
        assert client.finish_post(client.begin_post(), body).status == 400
        assert [reason for reason, _ in ends(driver)] == ["parse error"]
        assert heard(driver) == []


def test_too_many_control_packets_are_malformed() -> None:
    driver = drive_engine(max_control_packets=3)
    client = driver.client()
    assert client.post("3", "4a", "6", "4b", "3").status == 200
    assert client.post("3", "3", "3", "4c", "3", "4d").status == 400
    assert heard(driver) == ["a", "b", "c"]
    assert [reason for reason, _ in ends(driver)] == ["parse error"]


def test_nothing_behind_what_ends_a_session_is_delivered() -> None:
    driver = drive_engine()
    client = driver.client()
    assert client.post("4a", "2", "4b").status == 400
    assert heard(driver) == ["a"]
    assert ends(driver) == [("transport error", "invalid heartbeat direction")]


@BOTH
def test_a_huge_payload_is_decoded_in_slices(transport: str) -> None:
    """5,000 packets are legal; whoever else sends meanwhile is not kept waiting for the last of them."""
    driver = drive_engine(decode_slice=100)
    other = driver.client(transport)
    client = driver.client()
    post = client.post(*(f"4{number}" for number in range(5000)))
    assert post.response is None
    assert len(heard(driver)) == 100
    other.send("4me, too")
    assert driver.core.next_deadline() == driver.clock.now
    driver.core.handle_timeout()
    driver.settle()
    assert len(heard(driver)) == 201
    driver.advance(0.0)
    assert post.status == 200
    messages = heard(driver)
    messages.remove("me, too")
    assert messages == [str(number) for number in range(5000)]


def test_a_sliced_payload_stops_when_its_session_ends() -> None:
    driver = drive_engine(decode_slice=10)
    client = driver.client()
    post = client.post(*["4m"] * 50)
    client.session.close(discard=True)
    driver.advance(1.0)
    assert post.status == 400
    assert len(heard(driver)) == 10


def test_a_sliced_payload_that_is_malformed_further_on() -> None:
    driver = drive_engine(decode_slice=10)
    client = driver.client()
    post = client.post(*["4m"] * 25, "9", "4m")
    driver.advance(0.0)
    assert post.status == 400
    assert len(heard(driver)) == 25
    assert [reason for reason, _ in ends(driver)] == ["parse error"]


# -- the client closes


def test_a_close_packet_in_a_post() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    poll = client.poll()
    post = client.post("4a", "1", "4b")
    assert post.status == 200
    assert poll.packets == ["6"]
    assert heard(driver) == ["a"]
    assert ends(driver) == [("transport close", None)]
    assert client.poll().code == 1


def test_a_close_packet_over_websocket() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.send("4a", "1", "4b")
    assert heard(driver) == ["a"]
    assert ends(driver) == [("transport close", None)]
    assert client.over
    assert client.link.close_code is None


def test_a_closed_websocket() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.lose()
    assert ends(driver) == [("transport close", None)]


def test_a_broken_websocket() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.lose("message too large")
    assert ends(driver) == [("transport error", "message too large")]


@pytest.mark.parametrize(
    ("packet", "reason"),
    [("", "parse error"), ("7", "parse error"), ("b@", "parse error"), ("x4", "parse error"), ("2", "transport error")],
)
def test_an_invalid_packet_over_websocket(packet: str, reason: str) -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.send("4before", packet, "4behind")
    assert [each for each, _ in ends(driver)] == [reason]
    assert heard(driver) == ["before"]
    assert client.over
    assert client.link.close_code is None


@BOTH
def test_packets_without_a_meaning_there_are_ignored(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    client.send("0", "5", "6", "0{}", "4a")
    assert heard(driver) == ["a"]
    assert ends(driver) == []


@BOTH
def test_commands_on_a_closed_session_are_harmless(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    session = client.session
    session.close(discard=True)
    driver.settle()
    assert session.ready_state == "closed"
    assert not session.send("x")
    session.close()
    session.close(discard=True)
    session.pause()
    session.resume()
    drained: list[bool] = []
    session.when_drained(lambda: drained.append(True))
    driver.advance(100.0)
    assert drained == [True]
    assert len(ends(driver)) == 1
    if transport == "websocket":
        client.send("4late")
        assert heard(driver) == []


# -- upgrade


def test_an_upgrade() -> None:
    driver = drive_engine()
    client = driver.client()
    session = client.session
    candidate = client.attach()
    assert session.state is State.PROBING
    assert session.upgrading
    client.say(candidate, "2probe")
    assert candidate.frames == ["3probe"]
    assert (session.upgraded, session.transport_name) == (False, "polling")
    driver.advance(0.05)
    client.say(candidate, "5")
    assert (session.upgraded, session.upgrading, session.transport_name) == (True, False, "websocket")
    assert session.transport.name == "websocket"
    session.send("over there")
    driver.settle()
    assert candidate.frames == ["3probe", "4over there"]
    assert ends(driver) == []
    assert living(driver.core.timers) == {"ping": 1}


def test_polling_is_over_after_an_upgrade() -> None:
    driver = drive_engine()
    client = driver.client()
    client.upgrade()
    assert client.poll().code == 3
    assert client.begin_post().code == 3
    assert ends(driver) == []


def test_a_held_poll_is_released_after_100_ms() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    candidate = client.attach()
    poll = client.poll()
    client.say(candidate, "2probe")
    driver.advance(0.099)
    assert poll.response is None
    driver.advance(0.002)
    assert poll.packets == ["6"]
    # A client that polls again is released again.
    again = client.poll()
    driver.advance(0.101)
    assert again.packets == ["6"]


def test_a_poll_that_is_held_at_the_switch_is_closed() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    candidate = client.attach()
    poll = client.poll()
    client.say(candidate, "2probe", "5")
    assert poll.packets == ["1"]
    assert client.session.upgraded
    assert ends(driver) == []


def test_messages_flow_over_polling_while_probing() -> None:
    driver = drive_engine()
    client = driver.client()
    candidate = client.attach()
    client.say(candidate, "2probe")
    client.session.send("down")
    driver.settle()
    assert client.take() == ["4down"]
    assert client.post("4up").status == 200
    assert heard(driver) == ["up"]
    assert candidate.frames == ["3probe"]


def test_what_waits_leaves_by_the_websocket() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    candidate = client.attach()
    client.say(candidate, "2probe")
    client.session.send("one")
    client.session.send(b"two")
    driver.settle()
    client.say(candidate, "5", "4three")
    assert candidate.frames == ["3probe", "4one", b"two"]
    assert heard(driver) == ["three"]


def test_an_upgrade_without_probe() -> None:
    driver = drive_engine()
    client = driver.client()
    candidate = client.attach()
    client.say(candidate, "5", "4a")
    assert client.session.upgraded
    assert heard(driver) == ["a"]


def test_a_post_in_hand_survives_the_switch() -> None:
    driver = drive_engine()
    client = driver.client()
    post = client.begin_post()
    candidate = client.attach()
    client.say(candidate, "2probe", "5")
    assert client.finish_post(post, b"4late").status == 200
    assert heard(driver) == ["late"]


@pytest.mark.parametrize("probed", [False, True])
def test_an_upgrade_that_takes_too_long(probed: bool) -> None:
    driver = drive_engine()
    client = driver.client()
    candidate = client.attach()
    if probed:
        driver.advance(4.0)
        client.say(candidate, "2probe")
        driver.advance(5.9)
    else:
        driver.advance(9.9)
    assert not candidate.closed
    driver.advance(0.2)
    assert candidate.closed
    assert client.session.state is State.POLLING
    # Polling goes on as it was, and another attempt may succeed.
    client.session.send("still here")
    driver.settle()
    assert client.take() == ["4still here"]
    client.upgrade()
    assert client.session.upgraded


@pytest.mark.parametrize("packet", ["4early", "2", "3", "2probe ", b"2probe", "", "x"])
@pytest.mark.parametrize("probed", [False, True])
def test_a_wrong_packet_closes_the_candidate_only(probed: bool, packet: str | bytes) -> None:
    driver = drive_engine()
    client = driver.client()
    candidate = client.attach()
    if probed:
        client.say(candidate, "2probe")
    client.say(candidate, packet, "5", "4late")
    assert candidate.closed
    assert client.session.state is State.POLLING
    assert heard(driver) == []
    client.say(candidate, "5")
    assert client.session.state is State.POLLING
    client.upgrade()


def test_a_lost_candidate_leaves_polling() -> None:
    driver = drive_engine()
    client = driver.client()
    candidate = client.attach()
    client.say(candidate, "2probe")
    driver.core.receive_link_closed(candidate.link, 1006, "gone")
    driver.settle()
    assert client.session.state is State.POLLING
    client.send("4a")
    assert heard(driver) == ["a"]
    client.upgrade()


@pytest.mark.parametrize("when", ["probing", "upgraded", "websocket"])
def test_a_second_websocket_is_closed(when: str) -> None:
    driver = drive_engine()
    client = driver.client("websocket" if when == "websocket" else "polling")
    if when == "probing":
        first = client.attach()
    elif when == "upgraded":
        client.upgrade()
    second = client.attach()
    assert second.status == 101
    assert second.closed
    assert second.frames == []
    client.say(second, "2probe", "5", "4evil")
    driver.core.receive_link_closed(second.link)
    driver.settle()
    assert heard(driver) == []
    assert ends(driver) == []
    if when == "probing":
        client.say(first, "2probe")
        assert first.frames == ["3probe"]
    else:
        client.send("4good")
        assert heard(driver) == ["good"]


def test_a_failing_poll_ends_everything_while_probing() -> None:
    driver = drive_engine()
    client = driver.client()
    candidate = client.attach()
    client.lose()
    assert candidate.closed
    assert [reason for reason, _ in ends(driver)] == ["transport error"]


def test_closing_while_probing_closes_the_candidate() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    candidate = client.attach()
    client.session.close()
    driver.settle()
    assert candidate.closed
    client.say(candidate, "5")
    assert client.poll().packets == ["1"]
    assert ends(driver) == [("forced close", None)]


class StockClient:
    """A client that upgrades as stock clients do: it pauses polling when the probe is answered, waits for what is in
    hand, then says ``5``. Every step between is the test's to order, so that anything may happen in between.
    """

    def __init__(self, driver: EngineDriver) -> None:
        self.driver = driver
        self.client: Client = driver.client(polls=False)
        self.poll: Call | None = None
        self.post: tuple[Call, bytes] | None = None
        self.candidate: Call | None = None
        self.probed = self.paused = self.upgraded = self.failed = False
        self.outbox: deque[str | bytes] = deque()
        self.sent: list[str | bytes] = []
        self.got: list[str | bytes] = []
        self.read = 0

    def send(self, message: str | bytes) -> None:
        self.sent.append(message)
        self.outbox.append("4" + message if isinstance(message, str) else message)

    def step_poll(self) -> None:
        if self.poll is not None and self.poll.response is not None:
            self.got += [each for each in self.poll.packets if each not in ("6", "1")]
            self.poll = None
        elif self.poll is None and not self.paused and not self.upgraded:
            self.poll = self.client.poll()

    def step_post(self) -> None:
        if self.post is None:
            if self.outbox and not self.paused and not self.upgraded:
                self.post = self.client.begin_post(), payload(*self.outbox)
                self.outbox.clear()
            return
        call, body = self.post
        if call.exchange.wants_body:
            self.client.finish_post(call, body)
        if call.response is not None:
            assert call.status == 200
            self.post = None

    def step_candidate(self) -> None:
        if self.upgraded or self.failed:
            return
        if self.candidate is None:
            self.candidate = self.client.attach()
        elif self.candidate.closed:
            self.failed, self.paused = True, False
        elif not self.probed:
            self.client.say(self.candidate, "2probe")
            self.probed = True
        elif not self.paused:
            self.paused = "3probe" in self.candidate.frames
        elif self.poll is None and self.post is None:
            self.client.say(self.candidate, "5")
            self.upgraded = self.client.session.upgraded

    def step_websocket(self) -> None:
        if self.candidate is None or not self.upgraded:
            return
        if self.outbox:
            self.client.say(self.candidate, self.outbox.popleft())
        frames = self.candidate.frames[1:]
        self.got += frames[self.read :]
        self.read = len(frames)

    def lose_candidate(self) -> None:
        if self.candidate is not None and not self.upgraded and not self.failed:
            self.driver.core.receive_link_closed(self.candidate.link, 1006, "lost")
            self.driver.settle()
            self.failed, self.paused = True, False


STEPS = ["up", "down", "down binary", "poll", "post", "candidate", "websocket", "tick", "block", "unblock"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=60), st.none() | st.integers(0, 60), st.integers(1, 3))
def test_an_upgrade_loses_doubles_and_reorders_nothing(steps: list[str], cut: int | None, decode_slice: int) -> None:
    driver = drive_engine(decode_slice=decode_slice)
    stock = StockClient(driver)
    session = stock.client.session
    sent: list[str | bytes] = []

    def take(step: str) -> None:
        if step == "up":
            stock.send(f"up {len(stock.sent)}" if len(stock.sent) % 3 else bytes([len(stock.sent)]))
        elif step.startswith("down"):
            message = f"down {len(sent)}" if step == "down" else b"down %d" % len(sent)
            assert session.send(message)
            sent.append("4" + message if isinstance(message, str) else message)
            driver.settle()
        elif step in ("poll", "post", "candidate", "websocket"):
            getattr(stock, f"step_{step}")()
        elif step == "tick":
            driver.advance(0.06)
        elif stock.candidate is not None and not stock.failed:
            (driver.core.receive_blocked if step == "block" else driver.core.receive_unblocked)(stock.candidate.link)
            driver.settle()

    for number, step in enumerate(steps):
        if number == cut:
            stock.lose_candidate()
        take(step)
    for _ in range(40):
        for step in ("unblock", "candidate", "post", "poll", "poll", "websocket", "tick"):
            take(step)
    assert stock.upgraded or stock.failed
    assert heard(driver) == stock.sent
    assert stock.got == sent
    assert ends(driver) == []


# -- heartbeat


@BOTH
def test_pings_and_pongs(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    driver.advance(24.9)
    assert "2" not in client.log
    driver.advance(0.2)
    assert client.log.count("2") == 1
    driver.advance(500.0)
    assert client.log.count("2") == 21
    assert ends(driver) == []


@BOTH
def test_a_client_without_pongs_times_out(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport, pongs=False)
    driver.advance(44.9)
    assert ends(driver) == []
    driver.advance(0.2)
    assert ends(driver) == [("ping timeout", None)]
    assert client.over
    if transport == "polling":
        assert client.take() == ["1"]


def test_the_timeout_runs_while_no_poll_is_there() -> None:
    driver = drive_engine()
    driver.client(polls=False)
    driver.advance(45.1)
    assert ends(driver) == [("ping timeout", None)]


def test_the_next_ping_counts_from_the_pong() -> None:
    driver = drive_engine()
    client = driver.client("websocket", pongs=False)
    driver.advance(25.0)
    driver.advance(10.0)
    client.send("3")
    driver.advance(24.9)
    assert client.log.count("2") == 1
    driver.advance(0.2)
    assert client.log.count("2") == 2


def test_a_pong_that_nobody_asked_for_counts() -> None:
    driver = drive_engine()
    client = driver.client("websocket", pongs=False)
    driver.advance(20.0)
    client.send("3")
    driver.advance(24.9)
    assert "2" not in client.log


@BOTH
def test_other_traffic_gives_the_pong_its_time_once_more(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport, pongs=False)
    driver.advance(25.0)
    driver.advance(15.0)
    client.send("4first")
    driver.advance(19.0)
    client.send("4second")
    driver.advance(0.9)
    assert ends(driver) == []
    driver.advance(0.2)
    assert ends(driver) == [("ping timeout", None)]


def test_traffic_before_the_ping_gives_nothing() -> None:
    driver = drive_engine()
    client = driver.client("websocket", pongs=False)
    driver.advance(24.0)
    client.send("4early")
    driver.advance(21.1)
    assert ends(driver) == [("ping timeout", None)]


@BOTH
def test_a_late_wake_up_gives_the_pong_its_time_once_more(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport, pongs=False)
    driver.advance(25.0)
    driver.oversleep(30.0)  # it is we who slept; the pong may be there, unread
    assert ends(driver) == []
    client.send("3")
    driver.advance(24.9)
    assert ends(driver) == []


def test_a_second_late_wake_up_is_no_excuse() -> None:
    driver = drive_engine()
    driver.client("websocket", pongs=False)
    driver.advance(25.0)
    driver.oversleep(30.0)
    driver.oversleep(30.0)
    assert ends(driver) == [("ping timeout", None)]


def test_a_wake_up_that_is_hardly_late_is_none() -> None:
    driver = drive_engine()
    driver.client("websocket", pongs=False)
    driver.advance(25.0)
    driver.oversleep(20.5)
    assert ends(driver) == [("ping timeout", None)]


def test_a_pong_is_awaited_across_an_upgrade() -> None:
    driver = drive_engine()
    client = driver.client(pongs=False)
    driver.advance(25.0)
    assert client.log[-1] == "2"
    client.upgrade()
    driver.advance(19.8)
    assert ends(driver) == []
    driver.advance(0.2)
    assert ends(driver) == [("ping timeout", None)]


def test_a_pong_may_come_over_the_other_transport() -> None:
    driver = drive_engine()
    client = driver.client(pongs=False)
    driver.advance(25.0)
    client.upgrade()
    client.send("3")
    driver.advance(24.8)
    assert ends(driver) == []
    assert client.log.count("2") == 1
    driver.advance(0.3)
    assert client.log.count("2") == 2


# -- we close


def test_closing_with_a_held_poll() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    poll = client.poll()
    client.session.send("last")
    client.session.close()
    assert not client.session.send("later")
    driver.settle()
    assert poll.packets == ["4last"]
    assert ends(driver) == []
    assert client.poll().packets == ["1"]
    assert ends(driver) == [("forced close", None)]
    assert client.poll().code == 1


def test_closing_without_a_poll_waits_for_one() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    client.session.send("last")
    client.session.close()
    driver.settle()
    assert client.session.ready_state == "closing"
    assert ends(driver) == []
    assert client.post("4ignored").status == 200
    assert heard(driver) == []
    driver.advance(29.0)
    assert client.poll().packets == ["4last"]
    assert client.poll().packets == ["1"]
    assert ends(driver) == [("forced close", None)]


def test_nobody_comes_for_the_last_packets() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    client.session.send("last")
    client.session.close()
    driver.advance(29.9)
    assert ends(driver) == []
    driver.advance(0.2)
    assert ends(driver) == [("forced close", None)]
    assert driver.core.next_deadline() is None


def test_closing_a_websocket() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.session.send("last")
    client.session.close()
    driver.settle()
    assert client.take() == ["4last"]
    assert client.over
    assert client.link.close_code is None
    assert ends(driver) == [("forced close", None)]


def test_a_websocket_needs_no_close_packet() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.session.close()
    driver.settle()
    assert client.over
    assert "1" not in client.log
    blocked = driver.client("websocket")
    blocked.block()
    blocked.session.close()
    driver.settle()
    blocked.unblock()
    assert blocked.over
    assert "1" not in blocked.log


def test_closing_a_blocked_websocket_waits_for_it() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.block()
    client.session.send("last")
    client.session.close()
    driver.settle()
    assert client.session.state is State.WEBSOCKET_CLOSING
    assert not client.over
    client.send("4ignored")
    assert heard(driver) == []
    driver.advance(10.0)
    client.unblock()
    assert client.take() == ["4last"]
    assert client.over
    assert ends(driver) == [("forced close", None)]


@pytest.mark.parametrize("how", ["overdue", "lost", "broken", "discard"])
def test_a_blocked_websocket_that_never_drains(how: str) -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    client.block()
    client.session.send("last")
    client.session.close()
    driver.settle()
    if how == "overdue":
        driver.advance(30.1)
    elif how == "discard":
        client.session.close(discard=True)
        driver.settle()
    else:
        client.lose("broken" if how == "broken" else None)
    assert ends(driver) == [("forced close", None)]
    assert client.take() == []
    assert client.over
    assert driver.core.next_deadline() is None


def test_closing_answers_a_post_in_hand() -> None:
    driver = drive_engine(decode_slice=1)
    client = driver.client(polls=False)
    post = client.post("4a", "4b", "4c")
    client.session.close()
    driver.advance(0.0)
    assert post.status == 200
    assert heard(driver) == ["a"]
    late = client.begin_post()
    assert client.finish_post(late, b"4d").status == 200
    assert client.poll().packets == ["1"]


def test_a_post_may_go_away_while_closing() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    client.session.close()
    client.abort(client.begin_post())
    assert client.post("4ignored").status == 200
    assert client.poll().packets == ["1"]
    assert ends(driver) == [("forced close", None)]


def test_discarding_drops_what_waits() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    client.session.send("lost")
    client.session.close(discard=True)
    driver.settle()
    assert ends(driver) == [("forced close", None)]
    assert client.poll().code == 1


@BOTH
def test_a_closing_session_pings_no_more(transport: str) -> None:
    driver = drive_engine(polling_close_timeout=100.0)
    client = driver.client(transport, polls=False, pongs=False)
    if transport == "websocket":
        client.block()
    client.session.close()
    driver.settle()
    assert living(driver.core.timers) == {"close": 1}
    driver.advance(99.0)
    assert "2" not in client.log
    assert ends(driver) == []


# -- slow consumers


def test_a_poll_that_never_comes() -> None:
    driver = drive_engine(max_send_buffer=1000 + FRAME_COST)
    client = driver.client(polls=False)
    assert client.session.send("x" * 999)
    driver.settle()
    assert client.session.queued == 1000
    assert client.session.weight == 1000 + FRAME_COST
    client.session.send("")
    driver.settle()
    assert ends(driver) == [("transport error", "slow consumer")]
    assert client.session.queued == client.session.weight == 0


def test_a_websocket_that_takes_nothing() -> None:
    driver = drive_engine(max_send_buffer=1000 + FRAME_COST)
    client = driver.client("websocket")
    client.block()
    client.session.send("x" * 999)
    driver.settle()
    assert ends(driver) == []
    client.session.send("")
    driver.settle()
    assert ends(driver) == [("transport error", "slow consumer")]
    assert client.over
    assert client.link.close_code == 1008


@BOTH
def test_a_client_that_takes_is_never_slow(transport: str) -> None:
    """Slowness is judged by what the transport refused, not by how much is sent in one turn."""
    driver = drive_engine(max_send_buffer=1000)
    client = driver.client(transport)
    for _ in range(100):
        assert client.session.send("x" * 999)
    driver.settle()
    assert len(client.take()) == 100
    assert ends(driver) == []


@BOTH
def test_tiny_packets_have_their_weight_as_well(transport: str) -> None:
    """Answers of a few bytes cost many times that in memory while nobody takes them."""
    driver = drive_engine(max_send_buffer=10_000)
    client = driver.client(transport, polls=False)
    if transport == "websocket":
        client.block()
    sent = 0
    while client.session.send("30[]"):
        driver.settle()
        sent += 1
        assert sent < 100
    assert sent == 10_000 // (len("430[]") + FRAME_COST) + 1
    assert ends(driver) == [("transport error", "slow consumer")]


def test_a_slow_consumer_is_noticed_within_the_turn() -> None:
    driver = drive_engine(max_send_buffer=1000, drain_mark=100)
    client = driver.client("websocket")
    client.block()
    sent = 0
    while client.session.send("x" * 99):
        sent += 1
        assert sent < 100
    assert sent <= 11
    assert client.session.state is State.CLOSED


@BOTH
def test_a_ping_may_be_one_byte_too_many(transport: str) -> None:
    driver = drive_engine(max_send_buffer=100 + 2 * FRAME_COST, drain_mark=50)
    client = driver.client(transport, polls=False)
    if transport == "websocket":
        client.block()
    client.session.send("x" * 99)
    driver.advance(25.0)
    assert ends(driver) == [("transport error", "slow consumer")]
    assert living(driver.core.timers) == {}


def test_an_urgent_drain_is_asked_for() -> None:
    driver = drive_engine(drain_mark=1000)
    urgent: list[bool] = []
    core = EngineServer(driver.core.config, driver.core.environment, wake=urgent.append)
    other = EngineDriver(core, driver.clock, urgent).client("websocket")
    urgent.clear()
    other.session.send("x" * 600)
    assert urgent == [False]
    other.session.send("x" * 600)
    assert urgent == [False, True]


def test_drained() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    drained: list[int] = []
    client.session.when_drained(lambda: drained.append(1))
    assert drained == [1]
    client.block()
    client.session.send("x")
    client.session.when_drained(lambda: drained.append(2))
    client.session.when_drained(lambda: drained.append(3))
    driver.settle()
    assert drained == [1]
    client.unblock()
    assert drained == [1, 2, 3]
    client.block()
    client.session.send("x")
    client.session.when_drained(lambda: drained.append(4))
    client.lose()
    assert drained == [1, 2, 3, 4]


def test_whoever_waits_for_a_drain_and_fails_stops_nobody() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    drained: list[int] = []
    client.session.send("x")
    client.session.when_drained(lambda: 1 / 0)
    client.session.when_drained(lambda: drained.append(1))
    driver.settle()
    assert drained == [1]
    assert [event.where for event in driver.told(ObserverFailed)] == ["drain"]


# -- back-pressure


@BOTH
def test_a_paused_session_does_not_read(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    client.session.pause()
    driver.settle()
    if transport == "websocket":
        assert not client.opening.reading
        client.session.resume()
        driver.settle()
        assert client.opening.reading
        return
    post = client.post("4a")
    assert post.response is None
    assert heard(driver) == []
    client.session.resume()
    driver.advance(0.0)
    assert post.status == 200
    assert heard(driver) == ["a"]


def test_a_payload_is_paused_in_the_middle() -> None:
    driver = drive_engine(decode_slice=2)
    client = driver.client()
    post = client.post("4a", "4b", "4c", "4d", "4e")
    client.session.pause()
    driver.advance(1.0)
    assert heard(driver) == ["a", "b"]
    client.session.resume()
    client.session.pause()
    client.session.resume()
    driver.advance(0.0)
    assert heard(driver) == ["a", "b", "c", "d", "e"]
    assert post.status == 200


@BOTH
def test_a_pong_is_not_overdue_while_we_do_not_listen(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport, pongs=False)
    driver.advance(25.0)
    driver.advance(19.0)
    client.session.pause()
    driver.advance(1000.0)
    assert ends(driver) == []
    client.session.resume()
    driver.advance(19.9)
    assert ends(driver) == []
    driver.advance(0.2)
    assert ends(driver) == [("ping timeout", None)]


@BOTH
def test_pings_go_on_while_we_do_not_listen(transport: str) -> None:
    """So a client that is still there does not give us up, and the end of one that is gone is noticed."""
    driver = drive_engine()
    client = driver.client(transport, pongs=False)
    client.session.pause()
    driver.advance(25.0)
    assert client.log.count("2") == 1
    driver.advance(200.0)
    assert client.log.count("2") == 11
    assert ends(driver) == []
    client.session.resume()
    driver.settle()
    client.send("3")
    driver.advance(24.9)
    assert ends(driver) == []
    driver.advance(0.2)
    assert client.log.count("2") == 12


def test_a_poll_that_goes_away_is_noticed_while_we_do_not_listen() -> None:
    driver = drive_engine()
    client = driver.client()
    client.session.pause()
    client.lose()
    assert ends(driver) == [("transport error", "poll connection closed prematurely")]


@pytest.mark.parametrize("pings", [0, 3])
def test_a_ping_that_nobody_comes_for_ends_a_paused_session(pings: int) -> None:
    """Polls are taken even then, so it is the client who does not listen."""
    driver = drive_engine()
    client = driver.client(pongs=False)
    client.session.pause()
    post = client.post("4a")
    if pings:
        driver.advance(25.0 + 20.0 * (pings - 1))
    client.polls = False
    driver.advance(25.0 if pings == 0 else 20.0)
    assert client.log.count("2") == pings + 1  # in the poll that was held
    driver.advance(39.9)
    assert ends(driver) == []
    driver.advance(0.2)
    assert ends(driver) == [("ping timeout", None)]
    assert client.log.count("2") == pings + 1
    assert post.status == 400


def test_a_late_wake_up_gives_the_poll_its_time_as_well() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    client.poll()
    client.session.pause()
    driver.advance(45.0)
    assert client.session.outbox
    driver.oversleep(60.0)
    assert ends(driver) == []
    driver.advance(20.1)
    assert ends(driver) == [("ping timeout", None)]


def test_a_blocked_websocket_gets_one_ping_while_we_do_not_listen() -> None:
    """Its peer may be waiting for us to read. That it is gone shows in what waits to be sent."""
    driver = drive_engine()
    client = driver.client("websocket", pongs=False)
    client.session.pause()
    client.block()
    driver.advance(1000.0)
    assert ends(driver) == []
    client.unblock()
    assert client.log.count("2") == 1


def test_every_pong_to_a_ping_of_ours_has_room_in_one_payload() -> None:
    """A client whose POST is not answered keeps its pongs for the next one."""
    driver = drive_engine(max_control_packets=2)
    client = driver.client(pongs=False)
    client.session.pause()
    held = client.post("4a")
    driver.advance(25.0 + 20.0 * 6)
    assert client.log.count("2") == 7
    client.session.resume()
    driver.advance(0.0)
    assert held.status == 200
    assert client.post(*["3"] * 9).status == 200
    assert client.post(*["3"] * 3).status == 400
    assert ends(driver) == [("parse error", "too many packets other than messages in one payload")]


def test_a_pause_outlives_the_upgrade() -> None:
    driver = drive_engine()
    client = driver.client()
    client.session.pause()
    candidate = client.upgrade()
    assert not candidate.reading
    client.session.resume()
    driver.settle()
    assert candidate.reading


@BOTH
def test_a_paused_session_sends_and_closes(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    client.session.pause()
    client.session.send("x")
    driver.settle()
    assert client.take() == ["4x"]
    post = client.post("4a") if transport == "polling" else None
    client.session.close()
    driver.settle()
    assert client.over
    assert ends(driver) == [("forced close", None)]
    if post is not None:
        assert post.status == 200
    else:
        assert client.opening.reading


# -- observers


def watch(client: Client, *events: str) -> list[Any]:
    """Observes a session; returns the list that fills."""
    seen: list[Any] = []
    for event in events:
        client.session.on(event, lambda *args, event=event: seen.append((event, *args)))
    return seen


@BOTH
def test_packets_are_seen(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport, pongs=False)
    seen = watch(client, "packet", "heartbeat")
    client.send("4a", b"\x01", "3", "6")
    assert seen == [
        ("packet", "message", "a"),
        ("packet", "message", b"\x01"),
        ("packet", "pong", ""),
        ("heartbeat",),
        ("packet", "noop", ""),
    ]
    seen.clear()
    client.send("1")
    assert seen == [("packet", "close", "")]
    assert len(driver.told(MessageReceived)) == 2


@BOTH
def test_what_is_sent_is_seen(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport)
    seen = watch(client, "packetCreate", "flush", "drain")
    client.session.send("a")
    client.session.send(b"\x01")
    assert seen == [("packetCreate", "message", "a"), ("packetCreate", "message", b"\x01")]
    driver.settle()
    assert [each[0] for each in seen[2:]] == ["flush", "drain"]
    assert [frame.data for frame in seen[2][1]] == ["4a", b"\x01"]
    seen.clear()
    driver.advance(25.0)
    assert [each[:2] for each in seen if each[0] != "flush"] == [("packetCreate", "ping"), ("drain",)]


def test_an_upgrade_is_seen() -> None:
    driver = drive_engine()
    client = driver.client()
    seen: list[tuple[str, str, bool]] = []
    session = client.session
    for event in ("upgrading", "upgrade"):
        session.on(event, lambda new, event=event: seen.append((event, new.name, session.upgraded)))
    client.upgrade()
    assert seen == [("upgrading", "websocket", False), ("upgrade", "websocket", True)]


@BOTH
def test_the_end_is_seen_once(transport: str) -> None:
    driver = drive_engine()
    client = driver.client(transport, polls=False)
    if transport == "websocket":
        client.block()
    seen = watch(client, "close")
    waiting: list[list[Any]] = []
    client.session.on("close", lambda *_: waiting.append([frame.data for frame in client.session.outbox]))
    client.session.send("never taken")
    client.session.close(discard=True)
    client.session.close()
    driver.settle()
    assert seen == [("close", "forced close", None)]
    assert waiting == [["4never taken"]]
    assert client.session.outbox == []


def test_observers_once_and_off() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    seen: list[str] = []

    def see(kind: str, data: str) -> None:
        seen.append(data)

    client.session.once("packet", see)
    client.send("4once", "4twice")
    client.session.on("packet_create", see)
    client.session.send("created")
    client.session.off("packetCreate", see)
    client.session.send("unseen")
    client.session.off("packet")
    assert seen == ["once", "created"]


def test_an_observer_that_fails_is_reported() -> None:
    driver = drive_engine()
    client = driver.client("websocket")
    error = ValueError()

    def fail(*_: object) -> None:
        raise error

    client.session.on("packet", fail)
    client.send("4a")
    assert heard(driver) == ["a"]
    assert [(event.error, event.where) for event in driver.told(ObserverFailed)] == [(error, "packet")]


def test_observers_of_nothing_are_refused() -> None:
    session = drive_engine().client().session
    with pytest.raises(LocalProtocolError, match="'message'"):
        session.on("message", print)

    async def wait() -> None: ...

    with pytest.raises(LocalProtocolError, match="plain function"):
        session.on("packet", wait)


def test_a_closing_session_ends_with_the_goodbye_of_a_client_that_polls_no_more() -> None:
    driver = drive_engine()
    client = driver.client("polling", polls=False)
    client.session.send("last")
    client.session.close()
    assert driver.core.sessions
    client.send("1")
    driver.settle()
    assert not driver.core.sessions
