"""One namespace at a client: connecting, leaving, coming back, and what is sent and heard meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import AckTimeout, ConnectError, Disconnected, LocalProtocolError, Pending, ReservedEventError
from sioproto.socketio import AuthAsked, ClientSocket, ConnectFailed, EventArrived
from tests.byhand import error_of, hand_sockets, tell

# -- connecting


def test_connecting_opens_a_connection_and_asks_to_be_let_in() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    assert (socket.connected, socket.active, socket.id) == (False, False, None)
    pending = socket.connect()
    hand.settle()
    assert (socket.connected, socket.active, socket.id) == (False, True, None)
    hand.open()
    assert hand.take() == ["40"]
    assert not pending.done
    hand.accept("one")
    assert error_of(pending) is None
    assert (socket.connected, socket.active, socket.id) == (True, True, "one")
    assert hand.story() == ["/ connected"]


def test_connecting_twice_is_connecting_once() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    pending = socket.connect()
    assert socket.connect() is pending
    hand.settle()
    hand.open()
    assert socket.connect() is pending
    hand.accept()
    assert socket.connect().done
    assert hand.take() == ["40"]
    assert hand.story() == ["/ connected"]


@pytest.mark.parametrize("name", ["/admin", "admin"])
def test_a_namespace_has_one_socket(name: str) -> None:
    hand = hand_sockets()
    socket = hand.core.of(name)
    assert hand.core.of("/admin") is socket
    socket.connect()
    hand.settle()
    hand.open()
    assert hand.take() == ["40/admin,"]
    hand.accept("two", "/admin")
    assert socket.id == "two"


@pytest.mark.parametrize("name", ["/a,b", "/a\n", "/\x85", "/\ud800", "/" + 256 * "a"])
def test_names_that_no_packet_could_carry_are_refused_at_once(name: str) -> None:
    hand = hand_sockets()
    with pytest.raises(LocalProtocolError, match="cannot be the name of a namespace"):
        hand.core.of(name)
    hand.core.of("/" + 255 * "a")


def test_several_namespaces_share_a_connection() -> None:
    hand = hand_sockets()
    main = hand.join()
    admin = hand.core.of("/admin")
    admin.connect()
    assert hand.take() == ["40/admin,"]
    hand.accept("two", "/admin")
    assert (main.id, admin.id) == ("one", "two")
    hand.emit("x", 1, namespace="/admin")
    hand.emit("x", 2)
    assert hand.story() == ["/admin connected", "/admin got x 1", "/ got x 2"]
    admin.disconnect()
    assert hand.take() == ["41/admin,"]
    assert hand.closed == []
    main.disconnect()
    assert hand.take() == ["41"]
    assert hand.closed == hand.links


def test_whoever_connects_while_the_connection_opens_is_let_in_with_the_others() -> None:
    hand = hand_sockets()
    hand.core.of("/").connect()
    hand.settle()
    hand.core.of("/admin").connect()
    hand.core.of("/quiet")
    hand.open()
    assert hand.take() == ["40", "40/admin,"]


# -- auth


def test_auth_goes_with_connect() -> None:
    hand = hand_sockets()
    hand.core.of("/", {"token": "s3"}).connect()
    hand.core.of("/admin").connect()
    hand.settle()
    hand.open()
    assert hand.take() == ['40{"token":"s3"}', "40/admin,"]


def test_a_later_auth_holds_from_the_next_connection_on() -> None:
    hand = hand_sockets(reconnection_delay=1.0)
    socket = hand.join(auth={"n": 1})
    assert hand.core.of("/", {"n": 2}) is socket
    hand.lose()
    hand.advance(1)
    hand.open()
    assert hand.take() == ['40{"n":2}']


def test_a_callable_is_asked_for_each_attempt() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/", lambda: None)
    socket.connect()
    hand.settle()
    hand.open()
    (asked,) = hand.told(AuthAsked)
    assert asked.ticket.alive
    assert hand.take() == []
    assert hand.core.answer_auth(asked.ticket, {"n": 1})
    assert hand.take() == ['40{"n":1}']
    assert not hand.core.answer_auth(asked.ticket, {"n": 1})
    hand.accept()
    hand.lose()
    hand.advance(1)
    hand.open()
    _, asked = hand.told(AuthAsked)
    assert hand.core.answer_auth(asked.ticket, None)
    assert hand.take() == ["40"]


def test_an_answer_that_comes_too_late_is_for_nobody() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/", lambda: None)
    socket.connect()
    hand.settle()
    hand.open()
    hand.lose()
    hand.advance(1)
    hand.open()
    first, second = hand.told(AuthAsked)
    assert not hand.core.answer_auth(first.ticket, {"n": 1})
    assert not hand.core.refuse_auth(first.ticket, ConnectError("no"))
    socket.disconnect()
    assert not hand.core.answer_auth(second.ticket, {"n": 2})
    assert hand.take() == []


@pytest.mark.parametrize("auth", ["token", 7, ["token"]])
def test_an_auth_that_is_no_dict_may_be_corrected_or_given_up(auth: Any) -> None:
    hand = hand_sockets()
    socket = hand.core.of("/", lambda: None)
    pending = socket.connect()
    hand.settle()
    hand.open()
    (asked,) = hand.told(AuthAsked)
    with pytest.raises(LocalProtocolError, match="auth is a dict or None"):
        hand.core.answer_auth(asked.ticket, auth)
    assert hand.take() == []
    assert not pending.done
    assert hand.core.refuse_auth(asked.ticket, ConnectError("no token"))
    assert str(error_of(pending)) == "no token"
    assert hand.story()[-1] == "/ failed: no token"


def test_an_auth_of_another_kind_is_refused_at_once() -> None:
    hand = hand_sockets()
    wrong: Any = "token"
    with pytest.raises(LocalProtocolError, match="auth is a dict, a callable that returns one, or None, not 'token'"):
        hand.core.of("/", wrong)


@pytest.mark.parametrize("auth", [{"when": object()}, {"n": float("nan")}])
def test_a_value_that_cannot_be_sent_is_a_failed_attempt(auth: Any) -> None:
    hand = hand_sockets()
    socket = hand.core.of("/", auth)
    pending = socket.connect()
    hand.settle()
    hand.open()
    assert isinstance(error_of(pending), ConnectError)
    assert not socket.active
    assert hand.take() == []
    assert hand.closed == hand.links


def test_an_attempt_that_fails_in_place_is_told_like_any_other() -> None:
    hand = hand_sockets()
    hand.join()
    admin = hand.core.of("/admin", {"when": object()})
    assert isinstance(error_of(admin.connect()), ConnectError)
    assert not admin.active


# -- refusals


@pytest.mark.parametrize(
    ("packet", "message", "data"),
    [
        ('44{"message":"no"}', "no", None),
        ('44{"message":"no","data":{"code":7}}', "no", {"code": 7}),
        ('44"no"', "no", None),
        ("44{}", "", None),
        ('44{"message":7}', "7", None),
    ],
)
def test_a_refusal_says_why_and_is_not_tried_again(packet: str, message: str, data: Any) -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    pending = socket.connect()
    hand.settle()
    hand.open()
    hand.say(packet)
    error = error_of(pending)
    assert isinstance(error, ConnectError)
    assert (error.message, error.data) == (message, data)
    (failed,) = hand.told(ConnectFailed)
    assert failed.error is error
    assert (socket.active, socket.id) == (False, None)
    assert hand.closed == hand.links
    hand.advance(60)
    assert hand.fetches == []
    assert hand.armed == 0


def test_a_refused_namespace_leaves_the_others_alone() -> None:
    hand = hand_sockets()
    main = hand.join()
    admin = hand.core.of("/admin")
    admin.connect()
    hand.take()
    hand.say('44/admin,{"message":"no"}')
    assert hand.story() == ["/admin failed: no"]
    assert hand.closed == []
    assert main.connected
    admin.connect()
    assert hand.take() == ["40/admin,"]


def test_the_connection_is_closed_before_the_refusal_is_told() -> None:
    hand = hand_sockets()
    seen: list[tuple[str, int]] = []
    hand.core.on("close", lambda reason: seen.append((reason, len(hand.told(ConnectFailed)))))
    hand.core.of("/").connect()
    hand.settle()
    hand.open()
    hand.say('44{"message":"no"}')
    assert seen == [("forced close", 0)]
    assert hand.story() == ["/ failed: no"]


@pytest.mark.parametrize("packet", ["40", "40{}", '40{"sid":7}', '40{"sid":""}', "40" + json.dumps({"sid": 300 * "x"})])
def test_a_server_without_socket_ids_is_too_old(packet: str) -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    pending = socket.connect()
    hand.settle()
    hand.open()
    hand.say(packet)
    assert "older protocol" in str(error_of(pending))
    assert not socket.active


# -- leaving


def test_disconnect_tells_the_server_and_closes_the_last_connection() -> None:
    hand = hand_sockets()
    socket = hand.join()
    socket.disconnect()
    assert (socket.connected, socket.active, socket.id) == (False, False, None)
    assert hand.take() == ["41"]
    assert hand.closed == hand.links
    assert hand.story() == ["/ disconnected: io client disconnect"]
    hand.core.receive_link_closed(hand.link, 1005)
    hand.settle()
    socket.disconnect()
    assert hand.story() == []
    assert hand.core.closed
    assert hand.armed == 0


def test_it_can_connect_again() -> None:
    hand = hand_sockets()
    socket = hand.join()
    socket.disconnect()
    pending = socket.connect()
    hand.take()
    hand.open()
    assert hand.take() == ["40"]
    hand.accept("two")
    assert error_of(pending) is None
    assert socket.id == "two"
    assert hand.story() == ["/ disconnected: io client disconnect", "/ connected"]


def test_disconnect_before_it_is_connected_ends_the_attempt() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    pending = socket.connect()
    hand.settle()
    socket.disconnect()
    assert isinstance(error_of(pending), Disconnected)
    hand.settle()
    assert hand.fetches == []
    assert hand.story() == []
    assert hand.core.closed
    assert hand.armed == 0


def test_a_server_that_has_not_answered_yet_is_told_when_it_has() -> None:
    """A Node.js server ends the whole connection when somebody leaves whom it has not let in yet."""
    hand = hand_sockets()
    hand.join()
    admin = hand.core.of("/admin")
    pending = admin.connect()
    assert hand.take() == ["40/admin,"]
    admin.disconnect()
    assert isinstance(error_of(pending), Disconnected)
    assert hand.take() == []
    hand.emit("x", namespace="/admin")
    hand.accept("two", "/admin")
    assert hand.take() == ["41/admin,"]
    assert hand.story() == []
    assert not admin.active


@pytest.mark.parametrize(
    ("answer", "sent"),
    [
        ('40/admin,{"sid":"two"}', ["41/admin,", '40/admin,{"n":2}']),
        ('44/admin,{"message":"no"}', ['40/admin,{"n":2}']),
        ("41/admin,", ['40/admin,{"n":2}']),
    ],
)
def test_coming_back_waits_for_the_answer_to_the_first_attempt(answer: str, sent: list[str]) -> None:
    hand = hand_sockets()
    hand.join()
    admin = hand.core.of("/admin", {"n": 1})
    admin.connect()
    assert hand.take() == ['40/admin,{"n":1}']
    admin.disconnect()
    hand.core.of("/admin", {"n": 2})
    pending = admin.connect()
    assert hand.take() == []
    assert admin.active
    hand.say(answer)
    assert hand.take() == sent
    assert not pending.done
    hand.accept("three", "/admin")
    assert error_of(pending) is None
    assert admin.id == "three"
    assert hand.story() == ["/admin connected"]


def test_that_answer_is_not_waited_for_over_another_connection() -> None:
    hand = hand_sockets()
    hand.join()
    admin = hand.core.of("/admin")
    admin.connect()
    admin.disconnect()
    admin.connect()
    hand.take()
    hand.lose()
    hand.advance(1)
    hand.open()
    assert hand.take() == ["40", "40/admin,"]


def test_the_server_disconnects_and_nobody_comes_back() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.say("41")
    assert hand.story() == ["/ disconnected: io server disconnect"]
    assert not socket.active
    assert hand.closed == hand.links
    hand.advance(60)
    assert hand.fetches == []
    socket.connect()
    hand.settle()
    hand.open()
    hand.accept("two")
    assert socket.id == "two"


def test_the_server_disconnects_one_of_several() -> None:
    hand = hand_sockets()
    main = hand.join()
    admin = hand.join("/admin", "two")
    hand.say("41")
    assert hand.closed == []
    assert (main.active, admin.connected) == (False, True)
    hand.lose()
    hand.advance(1)
    hand.open()
    assert hand.take() == ["40/admin,"]


def test_the_server_disconnects_somebody_who_is_not_in_yet() -> None:
    hand = hand_sockets()
    pending = hand.core.of("/").connect()
    hand.settle()
    hand.open()
    hand.say("41")
    assert "before it was connected" in str(error_of(pending))


# -- sending


def test_what_is_emitted_while_away_is_sent_in_order() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    socket.emit("x", 1)
    socket.send("hi", b"\x01")
    assert socket.buffered == 2
    socket.connect()
    socket.emit("x", 2)
    hand.settle()
    hand.open()
    socket.emit("x", 3)
    assert hand.take() == ["40"]
    hand.accept()
    assert hand.take() == [
        '42["x",1]',
        '451-["message","hi",{"_placeholder":true,"num":0}]',
        b"\x01",
        '42["x",2]',
        '42["x",3]',
    ]
    assert socket.buffered == 0
    socket.emit("x", 4)
    assert hand.take() == ['42["x",4]']


def test_what_waits_is_encoded_when_it_is_emitted() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    value = {"n": 1}
    socket.emit("x", value)
    value["n"] = 2
    socket.connect()
    hand.settle()
    hand.open()
    hand.accept()
    assert hand.take()[1:] == ['42["x",{"n":1}]']


def test_what_waits_stays_over_losses_and_leaves() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.lose()
    socket.emit("x", 1)
    socket.disconnect()
    socket.emit("x", 2)
    socket.connect()
    hand.settle()
    hand.fail()
    socket.emit("x", 3)
    hand.advance(2)
    hand.open()
    hand.accept("two")
    assert hand.take() == ["40", '42["x",1]', '42["x",2]', '42["x",3]']


def test_what_waits_is_limited() -> None:
    hand = hand_sockets(max_buffered=3)
    socket = hand.core.of("/")
    for number in range(3):
        socket.emit("x", number)
    with pytest.raises(LocalProtocolError, match="max_buffered"):
        socket.emit("x", 3)
    with pytest.raises(LocalProtocolError, match="max_buffered"):
        socket.emit_with_ack("x", 3)
    assert socket.buffered == 3
    assert hand.armed == 0
    hand.join()
    socket.emit("x", 4)
    assert hand.take() == ['42["x",4]']


@pytest.mark.parametrize("emit", ["emit", "emit_with_ack"])
def test_what_cannot_be_sent_is_refused_at_once(emit: str) -> None:
    hand = hand_sockets(ack_timeout=1.0)
    socket = hand.core.of("/")
    call = getattr(socket, emit)
    with pytest.raises(ReservedEventError):
        call("disconnect")
    with pytest.raises(LocalProtocolError):
        call("x", object())
    with pytest.raises(TypeError):
        call(7)
    assert socket.buffered == 0
    assert hand.armed == 0


def test_volatile_events_are_dropped_unless_connected() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    socket.volatile.emit("x", 1)
    socket.connect()
    hand.settle()
    hand.open()
    socket.volatile.emit("x", 2)
    assert hand.take() == ["40"]
    hand.accept()
    assert hand.take() == []
    socket.volatile.emit("x", 3)
    hand.block()
    socket.volatile.emit("x", 4)
    socket.emit("x", 5)
    hand.unblock()
    socket.volatile.emit("x", 6)
    assert hand.take() == ['42["x",3]', '42["x",5]', '42["x",6]']


def test_compress_is_passed_on() -> None:
    hand = hand_sockets()
    socket = hand.join()
    socket.compress(False).emit("x")
    socket.emit("y")
    (link,) = hand.core.take_dirty()
    assert link is hand.link
    assert [frame.compress for frame in hand.link.take()] == [False, True]


def test_outgoing_events_are_observed_when_they_leave() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    seen: list[Any] = []
    socket.on_any_outgoing(lambda *args: seen.append(args))
    socket.prepend_any_outgoing(lambda name: seen.append(name))
    socket.emit("x", 1)
    socket.volatile.emit("y")
    assert seen == []
    socket.connect()
    hand.settle()
    hand.open()
    hand.accept()
    assert seen == ["x", ("x", 1)]
    assert len(socket.any_outgoing_listeners()) == 2
    socket.off_any_outgoing()
    socket.emit("z")
    assert seen == ["x", ("x", 1)]


def test_an_observer_that_fails_stops_nobody() -> None:
    hand = hand_sockets()
    socket = hand.join()
    socket.on_any_outgoing(lambda: 1 / 0)
    socket.emit("x")
    assert hand.take() == ['42["x"]']
    assert hand.story() == ["ObserverFailed"]


# Observers may not call back. Those that do anyway harm nobody but themselves.


@pytest.mark.parametrize("waits", [True, False])
def test_an_observer_that_asks_is_answered_as_well(waits: bool) -> None:
    hand = hand_sockets()
    answers: list[Pending[Any]] = []
    socket = hand.core.of("/") if waits else hand.join()

    def audit(event: str) -> None:
        if event != "audit":
            answers.append(socket.emit_with_ack("audit"))

    socket.on_any_outgoing(audit)
    answers.append(socket.emit_with_ack("x"))
    if waits:
        socket.connect()
        hand.settle()
        hand.open()
        hand.accept()
    hand.say("430[0]", "431[1]")
    assert sorted(each.result() for each in answers) == [0, 1]


@pytest.mark.parametrize("how", ["leave", "close", "discard", "lose", "come back"])
@pytest.mark.parametrize("waits", [True, False])
def test_an_observer_that_ends_it_in_place_leaves_no_question_open(waits: bool, how: str) -> None:
    hand = hand_sockets()
    hand.join("/admin")
    socket = hand.core.of("/") if waits else hand.join()
    connecting: list[Pending[None]] = []

    def end() -> None:
        engine = hand.core.engine
        assert engine is not None
        if how == "close":
            hand.core.close()
        elif how == "discard":
            engine.close(discard=True)
        elif how == "lose":
            engine.lose_network()
        else:
            socket.disconnect()
            if how == "come back":
                connecting.append(socket.connect())

    if waits:
        answer, other = socket.emit_with_ack("x"), socket.emit_with_ack("y")
        socket.on_any_outgoing(end)
        socket.connect()
        hand.settle()
        hand.accept()
    else:
        socket.on_any_outgoing(end)
        answer = socket.emit_with_ack("x")
        other = answer
    socket.off_any_outgoing()
    hand.settle()
    assert isinstance(error_of(answer), Disconnected)
    assert not any(each.done for each in connecting)
    assert '421["y"]' not in hand.take(), "an event of a namespace that was left"
    hand.core.close()
    hand.settle()
    assert isinstance(error_of(other), Disconnected)
    assert all(each.done for each in connecting)


def test_a_callback_that_fails_stops_nobody() -> None:
    hand = hand_sockets(ack_timeout=5.0)
    socket = hand.join()
    for event in ("a", "b"):
        socket.emit_with_ack(event).on_done(lambda _: 1 / 0)
    hand.say("430[1]", '42["x",1]')
    assert hand.story() == ["ObserverFailed", "/ got x 1"]
    hand.advance(5)
    assert hand.story() == ["ObserverFailed"]
    socket.disconnect()
    socket.connect().on_done(lambda _: 1 / 0)
    hand.settle()
    hand.open()
    hand.accept("two")
    hand.emit("x", 2)
    assert hand.story() == [
        "/ disconnected: io client disconnect",
        "/ connected",
        "ObserverFailed",
        "/ got x 2",
    ]


# -- acknowledgements


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("430[]", None),
        ("430[null]", None),
        ("430[1]", 1),
        ("430[[1,2]]", [1, 2]),
        ("430[1,2]", (1, 2)),
    ],
)
def test_the_shape_of_an_answer(answer: str, value: Any) -> None:
    hand = hand_sockets()
    socket = hand.join()
    pending = socket.emit_with_ack("ask", 1)
    assert hand.take() == ['420["ask",1]']
    hand.say(answer)
    assert pending.result() == value
    assert type(pending.result()) is type(value)
    assert hand.armed == 1


def test_answers_are_told_apart_and_come_once() -> None:
    hand = hand_sockets()
    socket = hand.join()
    first, second = socket.emit_with_ack("a"), socket.emit_with_ack("b")
    assert hand.take() == ['420["a"]', '421["b"]']
    hand.say('431["two"]', '431["again"]', '437["nobody"]')
    assert (first.done, second.result()) == (False, "two")
    hand.say('430["one"]')
    assert first.result() == "one"
    assert hand.story() == []


def test_an_answer_with_binary() -> None:
    hand = hand_sockets()
    socket = hand.join()
    pending = socket.emit_with_ack("ask")
    hand.take()
    hand.say('461-0[{"_placeholder":true,"num":0}]', b"\x02")
    assert pending.result() == b"\x02"


def test_an_answer_may_take_its_time_but_not_more() -> None:
    hand = hand_sockets(ack_timeout=10.0)
    socket = hand.join()
    late, later = socket.timeout(2).emit_with_ack("a"), socket.emit_with_ack("b")
    hand.take()
    hand.advance(2)
    assert isinstance(error_of(late), AckTimeout)
    hand.say("430[1]")
    hand.advance(7.9)
    assert not later.done
    hand.advance(0.1)
    assert isinstance(error_of(later), AckTimeout)
    assert hand.armed == 1


def test_without_a_time_out_it_is_awaited_as_long_as_the_connection() -> None:
    hand = hand_sockets()
    socket = hand.join()
    pending = socket.emit_with_ack("a")
    for _ in range(100):
        hand.advance(25)
        hand.say("2")
    assert not pending.done
    hand.lose()
    assert isinstance(error_of(pending), Disconnected)


@pytest.mark.parametrize("how", ["lose", "41", "disconnect"])
def test_what_was_sent_is_not_answered_after_the_end(how: str) -> None:
    hand = hand_sockets(ack_timeout=10.0)
    socket = hand.join()
    pending = socket.emit_with_ack("a")
    hand.take()
    if how == "lose":
        hand.lose()
    elif how == "41":
        hand.say("41")
    else:
        socket.disconnect()
    assert isinstance(error_of(pending), Disconnected)
    if how == "lose":
        hand.advance(1)
        hand.open()
        hand.accept("two")
        hand.say("430[1]")
    assert isinstance(error_of(pending), Disconnected)


def test_what_waits_to_be_sent_may_still_be_answered() -> None:
    hand = hand_sockets()
    socket = hand.join()
    gone = socket.emit_with_ack("a")
    hand.take()
    hand.lose()
    pending = socket.emit_with_ack("b")
    assert (gone.done, pending.done) == (True, False)
    hand.advance(1)
    hand.open()
    hand.lose()
    hand.advance(2)
    hand.open()
    hand.accept("two")
    assert hand.take() == ["40", "40", '421["b"]']
    hand.say("431[7]")
    assert pending.result() == 7


def test_a_time_out_takes_the_event_back_that_was_not_sent() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    socket.emit("x", 1)
    pending = socket.timeout(2).emit_with_ack("x", 2)
    socket.emit("x", 3)
    hand.advance(2)
    assert isinstance(error_of(pending), AckTimeout)
    assert socket.buffered == 2
    socket.connect()
    hand.settle()
    hand.open()
    hand.accept()
    assert hand.take() == ["40", '42["x",1]', '42["x",3]']


def test_a_new_time_out_is_told_to_whoever_keeps_the_clock() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    hand.wakes.clear()
    socket.timeout(2).emit_with_ack("x")
    assert hand.wakes


def test_too_many_awaited_answers_crowd_out_the_oldest() -> None:
    hand = hand_sockets(max_acks=2, ack_timeout=10.0)
    socket = hand.join()
    first, second, third = (socket.emit_with_ack("x", number) for number in range(3))
    assert isinstance(error_of(first), AckTimeout)
    hand.take()
    hand.say("430[0]", "431[1]", "432[2]")
    assert (second.result(), third.result()) == (1, 2)
    assert hand.armed == 1


def test_whoever_is_crowded_out_before_being_sent_is_not_sent() -> None:
    hand = hand_sockets(max_acks=2)
    socket = hand.core.of("/")
    for number in range(3):
        socket.emit_with_ack("x", number)
    assert socket.buffered == 2
    socket.connect()
    hand.settle()
    hand.open()
    hand.accept()
    assert hand.take() == ["40", '421["x",1]', '422["x",2]']


def test_asking_again_in_place_keeps_the_limit() -> None:
    hand = hand_sockets(max_acks=2)
    socket = hand.join()
    answers: list[Pending[Any]] = []

    def ask() -> None:
        pending = socket.emit_with_ack("x", len(answers))
        answers.append(pending)
        if len(answers) < 6:
            pending.on_done(lambda _: ask())

    for _ in range(3):
        ask()
    assert sum(not each.done for each in answers) == 2
    hand.say(*(f"43{number}[{number}]" for number in range(20)))
    assert all(each.done for each in answers)


def test_volatile_questions_are_not_asked_without_a_connection() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/")
    pending = socket.volatile.emit_with_ack("x")
    assert isinstance(error_of(pending), Disconnected)
    assert hand.armed == 0
    hand.join()
    pending = socket.volatile.emit_with_ack("x")
    assert hand.take() == ['421["x"]']
    hand.say("431[1]")
    assert pending.result() == 1
    hand.block()
    dropped = socket.volatile.timeout(1).emit_with_ack("x")
    hand.advance(1)
    assert isinstance(error_of(dropped), AckTimeout)


# -- events of the server


def test_events_come_in_order_with_what_they_weigh() -> None:
    hand = hand_sockets()
    hand.join()
    binary = '451-["y",{"_placeholder":true,"num":0}]'
    hand.say('42["x",1]', binary, b"abc", '427["z"]', "42[8]")
    events = hand.told(EventArrived)
    assert [event.args for event in events] == [["x", 1], ["y", b"abc"], ["z"], [8]]
    assert [event.ack_id for event in events] == [None, None, 7, None]
    assert [event.size for event in events] == [8, len(binary) - 1 + 3, 7, 4]
    assert {event.connection for event in events} == {1}


def test_an_event_is_answered_over_its_own_connection_only() -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.emit("x", ack_id=7)
    hand.emit("x", ack_id=8)
    first, second = hand.told(EventArrived)
    assert first.ack_id == 7
    assert socket.acknowledge(7, [1, b"\x01"], first.connection)
    assert hand.take() == ['461-7[1,{"_placeholder":true,"num":0}]', b"\x01"]
    hand.lose()
    assert not socket.acknowledge(8, [], second.connection)
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert not socket.acknowledge(8, [], second.connection)
    assert hand.take() == ["40"]


def test_early_events_follow_connect() -> None:
    hand = hand_sockets()
    hand.core.of("/").connect()
    hand.settle()
    hand.open()
    hand.emit("x", 1)
    hand.emit("x", 2, ack_id=7)
    assert hand.story() == []
    hand.accept()
    hand.emit("x", 3)
    assert hand.story() == ["/ connected", "/ got x 1", "/ got x 2", "/ got x 3"]


def test_early_events_of_a_connection_that_is_lost_are_forgotten() -> None:
    hand = hand_sockets()
    hand.core.of("/").connect()
    hand.settle()
    hand.open()
    hand.emit("x", 1)
    hand.lose()
    hand.advance(1)
    hand.open()
    hand.accept()
    assert hand.story() == ["/ reconnect_attempt 1", "/ reconnect 1", "/ connected"]


def test_early_events_are_limited_in_number() -> None:
    hand = hand_sockets(max_early=3)
    socket = hand.core.of("/")
    socket.connect()
    hand.settle()
    hand.open()
    hand.say(*(3 * ['42["x"]']))
    assert hand.closed == []
    hand.say('42["x"]', '40{"sid":"one"}')
    assert hand.closed == hand.links
    assert hand.story() == []
    assert (socket.connected, socket.active) == (False, True)


def test_early_events_are_limited_in_bytes() -> None:
    hand = hand_sockets(max_early_bytes=1000)
    hand.core.of("/").connect()
    hand.settle()
    hand.open()
    hand.emit(490 * "x")
    hand.emit(490 * "x")
    assert hand.closed == []
    hand.emit(20 * "x")
    assert hand.closed == hand.links


@pytest.mark.parametrize(
    "packet",
    [
        '40{"sid":"two"}',
        '44{"message":"no"}',
        "437[1]",
        '42/other,["x"]',
        "41/other,",
        '40/other,{"sid":"x"}',
        "4390[]",
    ],
)
def test_packets_that_nobody_asked_for_are_ignored(packet: str) -> None:
    hand = hand_sockets()
    socket = hand.join()
    hand.core.of("/idle")
    hand.say(packet, packet.replace("/other", "/idle"))
    assert hand.story() == []
    assert hand.take() == []
    assert socket.id == "one"
    assert hand.closed == []


# -- a server that is silent, an auth that fails


def test_a_server_that_does_not_answer_connect_is_tried_again() -> None:
    hand = hand_sockets(connect_timeout=30.0)
    socket = hand.core.of("/")
    pending = socket.connect()
    hand.settle()
    hand.open(interval=300_000)
    hand.advance(29.9)
    assert (hand.closed, hand.story()) == ([], [])
    hand.advance(0.1)
    assert hand.closed == hand.links
    assert hand.story() == ["/ failed: CONNECT was not answered"]
    assert (socket.active, pending.done) == (True, False)
    hand.advance(1)
    hand.open(interval=300_000)
    hand.advance(29.9)
    hand.accept()
    assert error_of(pending) is None
    assert hand.story() == ["/ reconnect_attempt 1", "/ reconnect 1", "/ connected"]
    hand.advance(200)
    assert socket.connected


def test_a_connection_that_others_use_survives_a_namespace_that_does_not_answer() -> None:
    hand = hand_sockets(connect_timeout=30.0)
    main = hand.join()
    admin = hand.core.of("/admin")
    pending = admin.connect()
    assert hand.take() == ["40/admin,"]
    hand.advance(10)
    hand.say("2")
    hand.advance(20)
    assert hand.story() == ["/admin failed: CONNECT was not answered"]
    assert isinstance(error_of(pending), ConnectError)
    assert (main.connected, admin.active) == (True, False)
    # As long as the answer to the first one may come, there is no second.
    pending = admin.connect()
    assert hand.take() == []
    hand.accept("late", "/admin")
    assert hand.take() == ["41/admin,", "40/admin,"]
    hand.accept("two", "/admin")
    assert error_of(pending) is None
    assert admin.id == "two"


def test_an_answer_that_never_comes_is_not_awaited_for_ever_by_a_second_attempt_either() -> None:
    hand = hand_sockets(connect_timeout=30.0)
    hand.join()
    admin = hand.core.of("/admin")
    for _ in range(3):
        admin.connect()
        for _ in range(3):
            hand.advance(10)
            hand.say("2")
        assert hand.story() == ["/admin failed: CONNECT was not answered"]
    assert hand.take() == ["40/admin,"]
    # A late answer is for nobody now.
    hand.accept("late", "/admin")
    assert hand.take() == ["41/admin,"]
    assert not admin.active


def test_without_a_deadline_an_answer_is_awaited_as_long_as_the_connection_lasts() -> None:
    hand = hand_sockets(connect_timeout=None)
    hand.core.of("/").connect()
    hand.settle()
    hand.open(interval=3_000_000)
    hand.advance(2_900)
    assert hand.closed == []
    assert hand.story() == []


@pytest.mark.parametrize("end", ["disconnect", "lose", "refuse", "accept", "close"])
def test_nobody_waits_for_an_answer_when_the_attempt_is_over(end: str) -> None:
    hand = hand_sockets(connect_timeout=30.0, reconnection=False)
    socket = hand.core.of("/")
    socket.connect()
    hand.settle()
    hand.open()
    armed = hand.armed
    if end == "disconnect":
        socket.disconnect()
    elif end == "lose":
        hand.lose()
    elif end == "refuse":
        hand.say('44{"message":"no"}')
    elif end == "close":
        hand.core.close()
    else:
        hand.accept()
        assert hand.armed == armed - 1
        return
    hand.settle()
    hand.advance(10)
    assert hand.armed == 0


@pytest.mark.parametrize("auth", [{"bad": object()}, lambda: {"bad": object()}])
@pytest.mark.parametrize("alone", [True, False])
def test_an_auth_that_fails_again_and_again_is_no_livelock(auth: Any, alone: bool) -> None:
    hand = hand_sockets(reconnection_delay=2.0)
    if not alone:
        hand.join("/other")
    socket = hand.core.of("/", auth)
    attempts = 0
    began = hand.clock.now
    socket.connect()
    while hand.clock.now - began < 10:
        hand.settle()
        if hand.fetches:
            hand.open()
        for asked in hand.told(AuthAsked):
            if asked.ticket.alive:
                with pytest.raises(LocalProtocolError):
                    hand.core.answer_auth(asked.ticket, {"bad": object()})
                hand.core.refuse_auth(asked.ticket, ConnectError("no auth"))
        failed = len(hand.told(ConnectFailed))
        if failed > attempts:
            attempts = failed
            socket.connect()
            hand.settle()
            # It is not tried in place, and no deadline is lost either.
            assert len(hand.told(ConnectFailed)) == failed
            assert socket.active
        hand.advance(0.5)
    assert attempts == 5
    socket.disconnect()
    socket.auth = {"good": 1}
    socket.connect()
    hand.settle()
    if hand.fetches:
        hand.open()
    hand.advance(2)
    assert hand.take()[-1] == '40{"good":1}'


def test_leaving_ends_the_wait_after_an_auth_that_failed() -> None:
    hand = hand_sockets()
    hand.join("/other")
    socket = hand.core.of("/", {"bad": object()})
    socket.connect()
    socket.connect()
    socket.disconnect()
    hand.story()
    hand.advance(5)
    assert hand.story() == []
    assert not socket.active


# -- whatever happens


class Life:
    """A client and a server that do at random what they may do; what is told is checked as it comes."""

    def __init__(self) -> None:
        self.hand = hand_sockets(ack_timeout=7.0, max_acks=3, max_buffered=6, reconnection_attempts=3)
        self.sockets = [self.hand.core.of(name) for name in ("/", "/admin")]
        self.asked: list[list[BaseException | None]] = []
        self.connects: list[list[None]] = []
        self.served: dict[str, bool] = {}
        """What the server thinks: the namespaces that asked, and whether it answered."""

    def act(self, action: str, which: int) -> None:
        hand, socket = self.hand, self.sockets[which]
        if action == "connect":
            done: list[None] = []
            self.connects.append(done)
            socket.connect().on_done(lambda _: done.append(None))
        elif action == "disconnect":
            socket.disconnect()
        elif action == "emit":
            self.try_to(lambda: socket.emit("x"))
        elif action == "ask":
            self.try_to(lambda: self.ask(socket, volatile=False))
        elif action == "ask volatile":
            self.ask(socket, volatile=True)
        elif action == "pass":
            hand.advance(1)
        elif action == "sleep":
            hand.jump(60)
        elif hand.fetches and action in ("open", "fail"):
            getattr(hand, action)()
        elif hand.links and hand.link.session is not None and hand.link not in hand.closed:
            self.serve(action, socket)
        hand.settle()
        self.listen()

    def serve(self, action: str, socket: ClientSocket) -> None:
        """Does something that a server may do over a connection."""
        hand, name = self.hand, socket.name
        at = "" if name == "/" else f"{name},"
        if action == "lose":
            hand.lose()
        elif action == "accept" and self.served.get(name) is False:
            self.served[name] = True
            hand.accept(f"id-{len(hand.log)}", name)
        elif action == "refuse" and self.served.get(name) is False:
            del self.served[name]
            hand.say(f'44{at}{{"message":"no"}}')
        elif action == "kick" and self.served.get(name):
            del self.served[name]
            hand.say(f"41{at}")
        elif action == "answer":
            hand.say(*(f"43{at}{number}[1]" for number in range(20)))
        elif action == "garbage":
            hand.say("4nonsense")

    def ask(self, socket: ClientSocket, *, volatile: bool) -> None:
        pending = (socket.volatile if volatile else socket).emit_with_ack("ask")
        settled: list[BaseException | None] = []
        self.asked.append(settled)
        pending.on_done(lambda each: settled.append(error_of(each)))

    def try_to(self, call: Any) -> None:
        try:
            call()
        except LocalProtocolError as error:
            if "max_buffered" not in str(error):
                raise

    def listen(self) -> None:
        """The server's view of who is in."""
        for message in self.hand.take():
            assert isinstance(message, str)
            name = "/admin" if "/admin" in message else "/"
            if message.startswith("40"):
                assert self.served.get(name) is None, "CONNECT for somebody who is in, or about to be"
                self.served[name] = False
            elif message.startswith("41"):
                assert self.served.pop(name), "somebody leaves who was not let in"
            else:
                assert self.served.get(name), "an event of somebody who was not let in"
        hand = self.hand
        if not hand.links or hand.link.session is None or hand.link in hand.closed:
            self.served.clear()

    def check(self, finished: bool = False) -> None:
        for socket in self.sockets:
            kinds = [
                each.split()[1].rstrip(":")
                for each in map(str, self.story)
                if each.split()[0] == socket.name and each.split()[1].rstrip(":") in ("connected", "disconnected")
            ]
            assert kinds[::2] == ["connected"] * len(kinds[::2])
            assert kinds[1::2] == ["disconnected"] * len(kinds[1::2])
            assert (len(kinds) % 2 == 1) == socket.connected
            assert socket.buffered <= 6
        for settled in self.asked:
            assert len(settled) <= 1
            assert settled or not finished
        for done in self.connects:
            assert len(done) <= 1
            assert done or not finished

    @property
    def story(self) -> list[str]:
        return [tell(event) for event in self.hand.log]


ACTIONS = (
    "connect", "disconnect", "emit", "ask", "ask volatile", "pass", "sleep", "open", "open", "fail", "lose", "accept",
    "accept", "refuse", "kick", "answer", "garbage",
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1)), max_size=40))
def test_whatever_happens_connect_and_disconnect_alternate_and_each_answer_comes_once(
    actions: list[tuple[str, int]],
) -> None:
    life = Life()
    for action, which in actions:
        life.act(action, which)
        life.check()
    life.hand.core.close()
    life.hand.core.cut_off()
    life.hand.settle()
    life.listen()
    life.check(finished=True)
    assert life.hand.core.closed
    assert life.hand.armed == 0
    assert life.hand.fetches == []
    assert all(link in life.hand.closed or link.session is None for link in life.hand.links)
