"""What a client remembers for its server, to be given what it missed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sioproto.socketio.recovering import MAX_ASKED
from tests.byhand import SocketHand, hand_sockets


def come_back(hand: SocketHand) -> dict[str, Any]:
    """Loses the connection, comes back and returns what the client claims."""
    hand.take()
    hand.lose()
    hand.advance(5)
    hand.open()
    (connect,) = hand.take()
    assert isinstance(connect, str)
    assert connect.startswith("40")
    claim: dict[str, Any] = json.loads(connect[2:] or "{}")
    return claim


def join(**options: Any) -> tuple[SocketHand, Any]:
    """Connects to a server that recovers."""
    hand = hand_sockets(**options)
    socket = hand.core.of("/", {"token": "s3"})
    socket.connect()
    hand.settle()
    hand.open()
    hand.accept("one", pid="p1")
    assert not socket.recovered
    return hand, socket


def test_it_names_its_private_id_and_the_latest_offset() -> None:
    hand, socket = join()
    hand.emit("x", 1, "o1")
    hand.emit("x", "o2")
    assert come_back(hand) == {"pid": "p1", "offset": "o2", "token": "s3"}
    hand.accept("one", pid="p1")
    assert socket.recovered
    assert socket.id == "one"


def test_without_an_event_there_is_no_offset() -> None:
    hand, _ = join()
    assert come_back(hand) == {"pid": "p1", "token": "s3"}


def test_a_server_that_does_not_recover_is_claimed_nothing_of() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.emit("x", "o1")
    assert come_back(hand) == {}
    hand.accept("two")
    assert not socket.recovered


def test_another_private_id_is_another_life() -> None:
    hand, socket = join()
    hand.emit("x", "o1")
    come_back(hand)
    hand.accept("two", pid="p2")
    assert not socket.recovered
    assert come_back(hand) == {"pid": "p2", "token": "s3"}


def test_what_was_missed_comes_before_the_answer_and_counts() -> None:
    hand, socket = join()
    hand.emit("x", "o1")
    assert come_back(hand)["offset"] == "o1"
    hand.emit("x", "o2")
    hand.accept("one", pid="p1")
    assert socket.recovered
    assert hand.story()[-2:] == ["/ connected", "/ got x o2"]
    assert come_back(hand)["offset"] == "o2"


def test_what_was_missed_counts_only_if_the_answer_comes() -> None:
    hand, _ = join()
    hand.emit("x", "o1")
    come_back(hand)
    hand.emit("x", "o2")
    assert come_back(hand)["offset"] == "o1"


@pytest.mark.parametrize(
    "args",
    [
        ["x", 7],
        ["x", {"offset": "o2"}],
        ["x"],
        ["x", "two words"],
        ["x", ""],
        ["x", 65 * "a"],
        ["x", "ä"],
        ["x", "o2\n"],
    ],
)
def test_what_is_no_offset_is_not_taken_for_one(args: list[Any]) -> None:
    hand, _ = join()
    hand.emit("x", "o1")
    hand.emit(*args)
    assert come_back(hand)["offset"] == "o1"


def test_an_event_that_wants_an_answer_has_no_offset() -> None:
    hand, _ = join()
    hand.emit("x", "o1")
    hand.emit("x", "o2", ack_id=3)
    assert come_back(hand)["offset"] == "o1"


def test_what_the_application_says_stands() -> None:
    hand, _ = join()
    hand.core.of("/", {"pid": "mine"})
    hand.emit("x", "o1")
    assert come_back(hand) == {"pid": "mine", "offset": "o1"}


@pytest.mark.parametrize("pid", [7, None, ["p"], 300 * "p"])
def test_a_private_id_that_is_none_is_forgotten(pid: Any) -> None:
    hand, socket = join()
    hand.emit("x", "o1")
    come_back(hand)
    hand.accept("two", pid=pid)
    assert not socket.recovered
    assert come_back(hand) == {"token": "s3"}


def test_namespaces_recover_each_for_itself() -> None:
    hand, _ = join()
    admin = hand.core.of("/admin")
    admin.connect()
    hand.accept("two", "/admin", pid="p9")
    hand.emit("x", "o7", namespace="/admin")
    hand.take()
    hand.lose()
    hand.advance(5)
    hand.open()
    assert hand.take() == ['40{"pid":"p1","token":"s3"}', '40/admin,{"pid":"p9","offset":"o7"}']
    hand.accept("two", "/admin", pid="p9")
    assert admin.recovered


# -- events that ask for an answer


@pytest.mark.parametrize("early", [True, False], ids=["before CONNECT", "behind CONNECT"])
def test_one_that_arrived_before_is_answered_again_and_not_told_again(early: bool) -> None:
    hand, socket = join()
    hand.take()
    hand.emit("ask", 1, ack_id=6)
    assert socket.acknowledge(6, ["yes"], socket.connection)
    assert hand.take() == ['436["yes"]']
    come_back(hand)
    hand.story()
    if not early:
        hand.accept("one", pid="p1")
    hand.emit("ask", 1, ack_id=6)
    hand.emit("ask", 2, ack_id=7)
    if early:
        hand.accept("one", pid="p1")
    assert hand.take() == ['436["yes"]']
    assert hand.story() == ["/ connected", "/ got ask 2"]


def test_one_whose_handler_is_still_at_work_is_answered_over_the_next_connection() -> None:
    hand, socket = join()
    hand.emit("ask", ack_id=6)
    first = socket.connection
    come_back(hand)
    assert not socket.acknowledge(6, ["while away"], first)
    hand.accept("one", pid="p1")
    assert hand.take() == []
    assert socket.acknowledge(6, ["yes"], first)
    assert hand.take() == ['436["yes"]']


def test_an_answer_that_was_given_while_away_is_sent_when_it_is_asked_for_again() -> None:
    hand, socket = join()
    hand.emit("ask", ack_id=6)
    first = socket.connection
    come_back(hand)
    assert not socket.acknowledge(6, ["while away"], first)
    hand.emit("ask", ack_id=6)
    hand.accept("one", pid="p1")
    assert hand.take() == ['436["while away"]']


def test_another_life_is_asked_anew() -> None:
    hand, socket = join()
    hand.emit("ask", ack_id=6)
    first = socket.connection
    come_back(hand)
    hand.emit("ask", ack_id=6)
    hand.story()
    hand.accept("two", pid="p2")
    assert hand.story() == ["/ connected", "/ got ask"]
    assert not socket.acknowledge(6, ["yes"], first)
    assert hand.take() == []


def test_the_same_id_for_another_event_is_another_question() -> None:
    hand, _ = join()
    hand.emit("ask", ack_id=6)
    come_back(hand)
    hand.story()
    hand.emit("other", ack_id=6)
    hand.accept("one", pid="p1")
    assert hand.story() == ["/ connected", "/ got other"]


def test_what_lies_before_an_offset_is_not_sent_again() -> None:
    hand, _ = join()
    hand.emit("ask", ack_id=6)
    hand.emit("x", "o1")
    come_back(hand)
    hand.story()
    hand.emit("ask", ack_id=6)  # so this is a new one, be it from another server
    hand.accept("one", pid="p1")
    assert hand.story() == ["/ connected", "/ got ask"]


def test_so_many_questions_are_remembered() -> None:
    hand, _ = join()
    for number in range(MAX_ASKED + 1):
        hand.emit("ask", number, ack_id=number)
    come_back(hand)
    hand.story()
    for number in (1, 0):
        hand.emit("ask", number, ack_id=number)
    hand.accept("one", pid="p1")
    assert hand.story() == ["/ connected", "/ got ask 0"]
