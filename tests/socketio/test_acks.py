"""Acknowledgements that clients owe: each is answered, timed out or failed, exactly once."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import AckTimeout, Disconnected, LocalProtocolError, Pending, ReservedEventError
from sioproto.engineio import ObserverFailed
from sioproto.socketio import EventReceived
from tests.virtual import SocketDriver, drive_sockets, living

if TYPE_CHECKING:
    from sioproto import Socket
    from tests.virtual import Client

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


def error_of(pending: Pending[Any]) -> BaseException | None:
    """Returns what a settled result raises, or None for a value."""
    assert pending.done
    try:
        pending.result()
    except Exception as error:
        return error
    return None


def timers(driver: SocketDriver) -> dict[str, int]:
    """Returns the living timers besides the heartbeat's."""
    return {label: number for label, number in living(driver.core.timers).items() if label not in ("ping", "pong")}


# -- one socket


@BOTH
@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("[]", None),
        ("[null]", None),
        ("[1]", 1),
        ('["a"]', "a"),
        ("[[1,2]]", [1, 2]),
        ("[1,2]", (1, 2)),
        ('[{"k":[]},null]', ({"k": []}, None)),
        ("[false]", False),
    ],
)
def test_the_shape_of_an_answer(answer: str, value: Any, transport: str) -> None:
    driver = drive_sockets()
    client, socket = driver.join(transport)
    pending = socket.emit_with_ack("ask", "x")
    driver.settle()
    assert client.take() == ['420["ask","x"]']
    assert not pending.done
    client.send("430" + answer)
    assert pending.result() == value
    assert type(pending.result()) is type(value)
    assert timers(driver) == {}


def test_an_answer_with_binary() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    pending = socket.emit_with_ack("ask", b"\x01")
    driver.settle()
    assert client.take() == ['451-0["ask",{"_placeholder":true,"num":0}]', b"\x01"]
    client.send('461-0[{"_placeholder":true,"num":0}]', b"\x02")
    assert pending.result() == b"\x02"


def test_ids_are_counted_by_the_namespace() -> None:
    driver = drive_sockets()
    driver.core.of("/other")
    client, socket = driver.join()
    other_client, other = driver.join()
    elsewhere = driver.socket(client.connect("/other"))
    for each in (socket, other, elsewhere, socket):
        each.emit_with_ack("ask")
    driver.core.sockets.emit_with_ack("all")
    driver.settle()
    assert client.take() == ['420["ask"]', '42/other,0["ask"]', '422["ask"]', '423["all"]']
    assert other_client.take() == ['421["ask"]', '423["all"]']


def test_answers_that_nobody_waits_for_are_ignored() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    client.send("430[]", "4399[1]", "43999999999999999[1]")
    pending = socket.emit_with_ack("ask")
    driver.settle()
    client.send('430["first"]', '430["second"]')
    assert pending.result() == "first"
    assert client.session.open


def test_nobody_answers_for_somebody_else() -> None:
    driver = drive_sockets()
    driver.core.of("/other")
    client, socket = driver.join()
    other, _ = driver.join()
    client.connect("/other")
    pending = socket.emit_with_ack("ask")
    other.send('430["evil"]')
    client.send('43/other,0["wrong place"]')
    assert not pending.done
    client.send('430["good"]')
    assert pending.result() == "good"


def test_the_default_time_is_a_minute() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    pending = socket.emit_with_ack("ask")
    driver.advance(59.9)
    assert not pending.done
    driver.advance(0.2)
    assert isinstance(error_of(pending), AckTimeout)
    assert isinstance(error_of(pending), TimeoutError)
    assert str(error_of(pending)) == "operation has timed out"
    client.send('430["late"]')
    assert isinstance(error_of(pending), AckTimeout)
    assert timers(driver) == {}


@pytest.mark.parametrize("seconds", [0.5, 90.0])
def test_a_time_of_its_own(seconds: float) -> None:
    driver = drive_sockets()
    _, socket = driver.join()
    pending = socket.timeout(seconds).emit_with_ack("ask")
    driver.advance(seconds - 0.1)
    assert not pending.done
    driver.advance(0.2)
    assert isinstance(error_of(pending), AckTimeout)


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_time_is_above_0(seconds: float) -> None:
    driver = drive_sockets()
    _, socket = driver.join()
    for timeout in (socket.timeout, socket.volatile.timeout, driver.core.sockets.timeout):
        with pytest.raises(LocalProtocolError, match="above 0"):
            timeout(seconds)


def test_the_oldest_fails_when_too_many_are_awaited() -> None:
    driver = drive_sockets(max_acks=1000)
    client, socket = driver.join()
    pendings = [socket.emit_with_ack("ask") for _ in range(1002)]
    assert [pending.done for pending in pendings] == [True, True] + [False] * 1000
    assert isinstance(error_of(pendings[0]), AckTimeout)
    driver.settle()
    client.send('430["late"]', '432["on time"]')
    assert pendings[2].result() == "on time"
    assert isinstance(error_of(pendings[0]), AckTimeout)
    assert timers(driver) == {"acknowledgement": 999}


@pytest.mark.parametrize("how", ["lost", "client", "server", "shutdown", "decode error"])
def test_the_end_fails_what_is_awaited(how: str) -> None:
    driver = drive_sockets()
    driver.finishes = False  # it does not wait for the handlers of disconnecting
    client, socket = driver.join()
    pendings = [socket.emit_with_ack("ask"), socket.timeout(500.0).emit_with_ack("ask")]
    if how == "lost":
        client.lose()
    elif how == "client":
        client.send("41")
    elif how == "server":
        socket.disconnect()
    elif how == "shutdown":
        driver.core.shut_down()
    else:
        client.send("4nonsense")
    for pending in pendings:
        assert isinstance(error_of(pending), Disconnected)
        assert isinstance(error_of(pending), ConnectionError)
        assert str(error_of(pending)) == "socket has been disconnected"
    late = socket.emit_with_ack("ask")
    assert isinstance(error_of(late), Disconnected)
    assert set(timers(driver)) <= {"disconnecting", "connect"}


def test_a_refused_socket_fails_what_it_asked() -> None:
    driver = drive_sockets()
    driver.accepts = False
    client = driver.client("websocket")
    client.send("40")
    ticket = driver.log[0].ticket
    pending = ticket.socket.emit_with_ack("early")
    driver.core.refuse(ticket, "no")
    assert isinstance(error_of(pending), Disconnected)
    driver.settle()
    assert client.take() == ['44{"message":"no"}']
    assert timers(driver) == {"connect": 1}


def test_what_cannot_be_asked() -> None:
    driver = drive_sockets()
    _, socket = driver.join()
    for emit in (socket.emit_with_ack, socket.timeout(1.0).emit_with_ack, driver.core.sockets.emit_with_ack):
        with pytest.raises(ReservedEventError):
            emit("connect")
        with pytest.raises(TypeError):
            emit(7)  # type: ignore[call-overload]  # no name
        with pytest.raises(LocalProtocolError):
            emit("ask", object())
    assert timers(driver) == {}


def test_a_volatile_question_that_is_dropped_times_out() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    client.block()
    pending = socket.volatile.timeout(3.0).emit_with_ack("ask")
    driver.settle()
    client.unblock()
    assert client.take() == []
    driver.advance(3.1)
    assert isinstance(error_of(pending), AckTimeout)


@BOTH
def test_answers_come_while_reading_is_paused_by_nobody(transport: str) -> None:
    """An acknowledgement is taken at once, ahead of events that nobody has handled yet."""
    driver = drive_sockets()
    client, socket = driver.join(transport)
    pending = socket.emit_with_ack("ask")
    driver.settle()
    client.send('42["event"]', '430["answer"]')
    assert pending.result() == "answer"


# -- several sockets


def three(driver: SocketDriver) -> tuple[list[Client], list[Socket]]:
    """Connects three clients."""
    pairs = [driver.join(transport) for transport in ("websocket", "polling", "websocket")]
    return [client for client, _ in pairs], [socket for _, socket in pairs]


def test_everybody_answers() -> None:
    driver = drive_sockets()
    clients, sockets = three(driver)
    pending = driver.core.sockets.emit_with_ack("ask", 1)
    driver.settle()
    for number in (2, 0, 1):
        assert not pending.done
        assert clients[number].take() == ['420["ask",1]']
        clients[number].send(f"430[{number}]")
    result = pending.result()
    assert list(result.answers.items()) == [(sockets[number].id, number) for number in (2, 0, 1)]
    assert result.missing == {}
    assert result.complete
    assert timers(driver) == {}


@pytest.mark.parametrize(("answer", "value"), [("[]", None), ("[[]]", []), ("[1,2]", (1, 2))])
def test_the_shape_of_each_answer(answer: str, value: Any) -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    pending = driver.core.sockets.emit_with_ack("ask")
    driver.settle()
    client.send("430" + answer)
    assert pending.result().answers == {socket.id: value}


def test_who_leaves_is_not_waited_for() -> None:
    driver = drive_sockets()
    clients, sockets = three(driver)
    pending = driver.core.sockets.emit_with_ack("ask")
    driver.settle()
    clients[0].send("430[0]")
    clients[1].lose()
    assert not pending.done
    sockets[2].disconnect()
    result = pending.result()
    assert result.answers == {sockets[0].id: 0}
    assert result.missing == {sockets[1].id: "left", sockets[2].id: "left"}
    assert not result.complete
    assert timers(driver) == {"disconnecting": 1}


def test_who_is_late_is_missing() -> None:
    driver = drive_sockets()
    clients, sockets = three(driver)
    pending = driver.core.sockets.to(sockets[0].id, sockets[1].id).timeout(2.0).emit_with_ack("ask")
    driver.settle()
    clients[0].send("430[0]")
    driver.advance(1.9)
    assert not pending.done
    driver.advance(0.2)
    result = pending.result()
    assert result.answers == {sockets[0].id: 0}
    assert result.missing == {sockets[1].id: "timed out"}
    clients[1].send("430[1]")
    assert result.answers == {sockets[0].id: 0}


def test_the_default_time_holds_for_broadcasts() -> None:
    driver = drive_sockets()
    driver.join()
    pending = driver.core.sockets.emit_with_ack("ask")
    driver.advance(59.9)
    assert not pending.done
    driver.advance(0.2)
    assert list(pending.result().missing.values()) == ["timed out"]


def test_nobody_to_ask() -> None:
    driver = drive_sockets()
    _, socket = driver.join()
    for operator in (driver.core.sockets.to("nobody"), socket.broadcast):
        pending = operator.emit_with_ack("ask")
        assert pending.result().answers == {}
        assert pending.result().complete
    assert timers(driver) == {}


def test_a_volatile_broadcast_says_who_was_skipped() -> None:
    driver = drive_sockets()
    clients, sockets = three(driver)
    clients[0].block()
    pending = driver.core.sockets.volatile.emit_with_ack("ask")
    driver.settle()
    clients[0].unblock()
    assert clients[0].take() == []
    clients[1].send("430[1]")
    clients[2].send("430[2]")
    result = pending.result()
    assert result.answers == {sockets[1].id: 1, sockets[2].id: 2}
    assert result.missing == {sockets[0].id: "dropped"}


def test_who_is_asked_too_much_is_missing() -> None:
    driver = drive_sockets(max_acks=2)
    client, socket = driver.join()
    first = driver.core.sockets.emit_with_ack("ask")
    socket.emit_with_ack("ask")
    assert not first.done
    socket.emit_with_ack("ask")
    assert first.result().missing == {socket.id: "timed out"}
    driver.settle()
    client.send("430[]")
    assert first.result().answers == {}


def test_one_answer_of_one_socket() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    alone = driver.core.sockets.to(socket.id)
    pending = alone.emit_with_one_ack("ask")
    driver.settle()
    client.send('430["yes"]')
    assert pending.result() == "yes"
    late = alone.timeout(1.0).emit_with_one_ack("ask")
    driver.advance(1.1)
    assert isinstance(error_of(late), AckTimeout)
    gone = alone.emit_with_one_ack("ask")
    client.lose()
    assert isinstance(error_of(gone), Disconnected)
    assert isinstance(error_of(alone.emit_with_one_ack("ask")), Disconnected)


def test_a_namespace_asks_the_other_servers() -> None:
    driver = drive_sockets()
    driver.core.sockets.server_side_emit("hello", 1)
    assert driver.core.sockets.server_side_emit_with_ack("hello", 1).result() == []
    for name in ("connect", "connection", "new_namespace"):
        with pytest.raises(ReservedEventError):
            driver.core.sockets.server_side_emit(name)
        with pytest.raises(ReservedEventError):
            driver.core.sockets.on_server_event(name, print)
    with pytest.raises(TypeError):
        driver.core.sockets.server_side_emit(1)  # type: ignore[arg-type]  # no name
    assert driver.core.sockets.on_server_event("hello", print) is print


# -- whatever happens


def test_a_callback_that_fails_stops_nobody() -> None:
    driver = drive_sockets()
    clients, sockets = three(driver)
    sockets[0].emit_with_ack("ask").on_done(lambda _: 1 / 0)
    sockets[0].timeout(1.0).emit_with_ack("ask").on_done(lambda answer: answer.result())
    clients[0].take()
    clients[0].send("430[0]", '42["x"]')
    assert len(driver.told(EventReceived)) == 1
    driver.advance(1)
    failed = [(type(event.error), event.where) for event in driver.told(ObserverFailed)]
    assert failed == [(ZeroDivisionError, "callback of a Pending"), (AckTimeout, "callback of a Pending")]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 2), st.sampled_from([None, 1.0, 70.0])),
        st.tuples(st.just("ask all"), st.integers(0, 2), st.sampled_from([None, 1.0, 70.0])),
        st.tuples(st.just("answer"), st.integers(0, 2), st.integers(0, 12)),
        st.tuples(st.just("leave"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("pass"), st.just(0), st.sampled_from([0.5, 30.0])),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(ACTIONS)
def test_each_question_is_settled_once(actions: list[tuple[str, int, Any]]) -> None:
    driver = drive_sockets(max_acks=3)
    clients, sockets = three(driver)
    settled: Counter[int] = Counter()
    pendings: list[Pending[Any]] = []
    broadcasts: list[Pending[Any]] = []

    def count(pending: Pending[Any]) -> None:
        number = len(pendings)
        pendings.append(pending)
        pending.on_done(lambda _: settled.update([number]))

    for action, number, value in actions:
        socket = sockets[number]
        if action == "ask":
            count((socket if value is None else socket.timeout(value)).emit_with_ack("ask"))
        elif action == "ask all":
            io = driver.core.sockets
            broadcasts.append((io if value is None else io.timeout(value)).emit_with_ack("ask"))
            count(broadcasts[-1])
        elif action == "answer" and not clients[number].over:
            clients[number].send(f"43{value}[{number}]")
        elif action == "leave" and not clients[number].over:
            clients[number].lose()
        elif action == "pass":
            driver.advance(value)
        driver.settle()
    driver.advance(71.0)
    assert all(pending.done for pending in pendings)
    assert settled == Counter(range(len(pendings)))
    for pending in broadcasts:
        result = pending.result()
        assert not result.answers.keys() & result.missing.keys()
        assert result.answers.keys() | result.missing.keys() <= {socket.id for socket in sockets}
    assert set(timers(driver)) <= {"connect"}
