"""Events that are sent until they are acknowledged: at least once, in order, one in flight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import AckTimeout, Disconnected, LocalProtocolError, OptionError, Pending
from sioproto.config import ClientConfig
from tests.byhand import error_of, hand_sockets


def test_one_is_in_flight_and_the_others_wait_for_its_answer() -> None:
    hand = hand_sockets(retries=2, ack_timeout=3.0)
    socket = hand.join()
    socket.emit("a")
    pending = socket.emit_with_ack("b", 1)
    socket.emit("c")
    assert hand.take() == ['420["a"]']
    assert socket.buffered == 3
    hand.say("430[]")
    assert hand.take() == ['421["b",1]']
    hand.say("431[7]")
    assert pending.result() == 7
    assert hand.take() == ['422["c"]']
    hand.say("432[]")
    assert socket.buffered == 0
    assert hand.armed == 1
    assert hand.story() == []


def test_what_is_not_acknowledged_in_time_is_sent_again() -> None:
    hand = hand_sockets(retries=2, ack_timeout=3.0)
    socket = hand.join()
    pending = socket.emit_with_ack("a")
    hand.advance(2.9)
    assert hand.take() == ['420["a"]']
    hand.advance(0.1)
    assert hand.take() == ['420["a"]']
    hand.advance(3)
    assert hand.take() == ['420["a"]']
    hand.say("430[1]")
    assert pending.result() == 1


def test_a_late_answer_to_an_earlier_try_counts() -> None:
    hand = hand_sockets(retries=2, ack_timeout=3.0)
    socket = hand.join()
    first, second = socket.emit_with_ack("a"), socket.emit_with_ack("b")
    hand.advance(3)
    assert hand.take() == ['420["a"]', '420["a"]']
    hand.say("430[1]")
    assert first.result() == 1
    assert hand.take() == ['421["b"]']
    hand.say("430[2]")
    assert not second.done
    hand.say("431[3]")
    assert second.result() == 3


def test_each_try_has_the_time_that_the_call_names() -> None:
    hand = hand_sockets(retries=1, ack_timeout=3.0)
    socket = hand.join()
    socket.timeout(10).emit("a")
    hand.advance(9)
    assert hand.take() == ['420["a"]']
    hand.advance(1)
    assert hand.take() == ['420["a"]']


def test_when_the_tries_are_used_up_whoever_waits_is_told_and_the_next_has_its_turn() -> None:
    hand = hand_sockets(retries=1, ack_timeout=3.0)
    socket = hand.join()
    pending = socket.emit_with_ack("a")
    socket.emit("b")
    socket.emit("c")
    hand.advance(5.9)
    assert not pending.done
    hand.advance(0.1)
    assert isinstance(error_of(pending), AckTimeout)
    assert hand.take() == ['420["a"]', '420["a"]', '421["b"]']
    assert hand.story() == []
    hand.advance(6)
    assert hand.story() == ["/ lost b"]
    assert hand.take() == ['421["b"]', '422["c"]']


def test_what_was_in_flight_when_the_connection_was_lost_is_sent_again() -> None:
    hand = hand_sockets(retries=3, ack_timeout=9.0)
    socket = hand.join()
    socket.emit("a")
    pending = socket.emit_with_ack("b")
    hand.take()
    hand.lose()
    socket.emit("c")
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert hand.take() == ["40", '420["a"]']
    hand.say("430[]")
    hand.say("431[1]")
    assert pending.result() == 1
    assert hand.take() == ['421["b"]', '422["c"]']


def test_a_loss_counts_as_a_try() -> None:
    hand = hand_sockets(retries=1, ack_timeout=9.0, reconnection_delay=1.0)
    socket = hand.join()
    pending = socket.emit_with_ack("a")
    for number in range(2):
        hand.lose()
        assert pending.done == (number == 1)
        hand.advance(2)
        hand.open()
        hand.accept()
    assert isinstance(error_of(pending), Disconnected)
    assert socket.buffered == 0


def test_what_waits_for_a_connection_uses_up_no_tries() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    socket = hand.core.of("/")
    pending = socket.emit_with_ack("a")
    hand.advance(60)
    assert not pending.done
    assert socket.buffered == 1
    assert hand.armed == 0
    hand.join()
    hand.advance(2)
    hand.say("430[1]")
    assert pending.result() == 1


def test_disconnect_keeps_what_waits_for_the_next_connect() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    socket = hand.join()
    pending = socket.emit_with_ack("a")
    hand.take()
    socket.disconnect()
    assert not pending.done
    socket.connect()
    hand.settle()
    hand.open()
    hand.accept("two")
    assert hand.take() == ["41", "40", '420["a"]']


def test_the_last_try_may_be_under_way_at_the_end() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    socket = hand.join()
    pending = socket.emit_with_ack("a")
    socket.emit("b")
    hand.advance(2)
    assert hand.take() == 2 * ['420["a"]']
    hand.core.close()
    assert isinstance(error_of(pending), Disconnected)
    assert hand.story() == ["/ disconnected: io client disconnect"]


def test_what_is_sent_again_is_what_was_emitted() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    socket = hand.join()
    value: dict[str, Any] = {"n": 1}
    socket.emit("a", value)
    value["n"] = object()
    hand.advance(2)
    assert hand.take() == 2 * ['420["a",{"n":1}]']


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    socket = hand.join()
    with pytest.raises(LocalProtocolError):
        socket.emit("a", object())
    assert socket.buffered == 0


def test_volatile_events_are_sent_once_and_at_once() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    socket = hand.join()
    socket.emit("a")
    socket.volatile.emit("b")
    pending = socket.volatile.emit_with_ack("c")
    assert hand.take() == ['420["a"]', '42["b"]', '421["c"]']
    hand.advance(2)
    assert isinstance(error_of(pending), AckTimeout)
    assert hand.take() == ['420["a"]']


def test_the_queue_is_limited_and_a_full_one_survives_the_sleep_of_a_laptop() -> None:
    hand = hand_sockets(retries=9, ack_timeout=2.0, max_buffered=2)
    socket = hand.join()
    answers = [socket.emit_with_ack(name) for name in "ab"]
    with pytest.raises(LocalProtocolError, match="max_buffered"):
        socket.emit("c")
    assert hand.take() == ['420["a"]']
    # The time-out of the first is noticed when the server's ping is overdue as well.
    hand.jump(100)
    hand.advance(0)
    assert hand.story() == ["/ disconnected: ping timeout"]
    assert socket.buffered == 2
    hand.advance(1)
    hand.open()
    hand.accept("two")
    hand.say("430[1]", "431[2]")
    assert [each.result() for each in answers] == [1, 2]
    assert hand.take() == ["40", '420["a"]', '421["b"]']


def test_an_emit_after_the_sleep_of_a_laptop_waits() -> None:
    hand = hand_sockets(retries=1, ack_timeout=90.0)
    socket = hand.join()
    hand.jump(50)
    socket.emit("a")
    assert hand.take() == []
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert hand.take() == ["40", '420["a"]']


def test_whoever_is_told_may_send_the_next_in_place() -> None:
    hand = hand_sockets(retries=0 + 1, ack_timeout=2.0)
    socket = hand.join()
    answers: list[Pending[Any]] = []

    def ask(_: object = None) -> None:
        if len(answers) < 4:
            answers.append(socket.emit_with_ack("a", len(answers)))
            answers[-1].on_done(ask)

    ask()
    for number in range(4):
        assert hand.take() == [f'42{number}["a",{number}]']
        hand.say(f"43{number}[{number}]")
    assert [each.result() for each in answers] == [0, 1, 2, 3]


def test_an_observer_that_sends_in_place_lines_up_behind() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    socket = hand.join()
    socket.on_any_outgoing(lambda event: socket.emit("audit") if event == "a" else None)
    answer = socket.emit_with_ack("a")
    assert hand.take() == ['420["a"]']
    hand.say("430[1]")
    assert answer.result() == 1
    assert hand.take() == ['421["audit"]']
    hand.say("431[]")
    assert socket.buffered == 0


def test_an_observer_that_leaves_in_place_counts_as_a_loss() -> None:
    hand = hand_sockets(retries=1, ack_timeout=2.0)
    hand.join("/admin")
    socket = hand.join()
    socket.on_any_outgoing(lambda: socket.disconnect())
    socket.emit("a")
    socket.off_any_outgoing()
    assert hand.take() == ['420["a"]', "41"]
    socket.connect()
    hand.settle()
    hand.accept("two")
    assert hand.take() == ["40", '420["a"]']


@pytest.mark.parametrize("options", [{"retries": -1}, {"retries": 1.5}, {"retries": True}, {"retries": 1}])
def test_retries_are_a_number_and_need_a_time_out(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="retries"):
        ClientConfig(**options)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["emit", "answer", "pass", "lose", "back", "sleep"]), max_size=40))
def test_events_arrive_at_least_once_and_in_order(actions: list[str]) -> None:
    hand = hand_sockets(retries=1000, ack_timeout=2.0)
    socket = hand.join()
    answers: list[Pending[Any]] = []
    seen: list[int] = []

    def serve() -> None:
        for message in hand.take():
            assert isinstance(message, str)
            if message.startswith("42"):
                seen.append(int(message.partition("[")[0][2:]))

    def come_back() -> None:
        while not socket.connected:
            hand.advance(5)
            if hand.fetches:
                hand.open()
                hand.accept()

    for action in actions:
        if action == "emit":
            answers.append(socket.emit_with_ack("a"))
        elif action == "pass":
            hand.advance(1)
        elif action == "sleep":
            hand.jump(60)
        elif action == "back":
            come_back()
        elif socket.connected and action == "lose":
            hand.lose()
        elif socket.connected and action == "answer" and seen:
            hand.say(f"43{seen[-1]}[{seen[-1]}]")
        serve()
    while not all(each.done for each in answers):
        come_back()
        serve()
        hand.say(f"43{seen[-1]}[{seen[-1]}]")
    serve()
    assert [each.result() for each in answers] == list(range(len(answers)))
    assert seen == sorted(seen)
    assert set(seen) == set(range(len(answers)))
