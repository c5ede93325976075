"""Acknowledgements, row by row, in both directions: answered, too late or in vain, each once (AK-01 to AK-14)."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto import Ack, AckTimeout, Disconnected, Socket
from sioproto.socketio.remote import RemoteSocket
from tests.parity.scene import Scene


def test_ak_01_ids_count_up_in_each_namespace() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    alice.connect("/admin")
    alice.socket.emit_with_ack("a")
    bob.socket.emit_with_ack("b")
    scene.io.emit_with_ack("c")
    alice.at("/admin").emit_with_ack("d")
    assert alice.take() == ['20["a"]', '22["c"]', '2/admin,0["d"]']
    assert bob.take() == ['21["b"]', '22["c"]']


ANSWERS = [(None, "[]"), ("one", '["one"]'), (("one", 2), '["one",2]'), ([1, 2], "[[1,2]]"), (False, "[false]")]


@pytest.mark.parametrize(("value", "text"), ANSWERS)
def test_ak_02_what_a_handler_returns_is_the_answer(value: Any, text: str) -> None:
    scene = Scene()
    scene.io.on("ask", lambda socket: value)
    alice = scene.client()
    alice.send('27["ask"]', '2["ask"]')
    assert alice.take() == [f"37{text}"]


def test_ak_02_a_handler_may_take_the_callable_instead() -> None:
    scene = Scene()
    acks: list[Any] = []

    @scene.io.on("ask")
    def ask(socket: Socket, *, ack: Ack | None) -> str:
        acks.append(ack)
        return "ignored"

    alice = scene.client()
    alice.send('27["ask"]', '2["ask"]')
    assert alice.take() == []
    assert acks[1] is None
    assert acks[0]("first", 1) is True
    assert acks[0]("second") is False
    assert acks[0].called
    assert alice.take() == ['37["first",1]']


def test_ak_02_an_answer_to_who_left_goes_nowhere() -> None:
    scene = Scene()
    acks: list[Ack] = []
    scene.io.of("/admin").on("ask", lambda socket, *, ack: acks.append(ack))
    alice = scene.client()
    alice.connect("/admin")
    alice.send('2/admin,7["ask"]', "1/admin,")
    assert acks[0]("late") is False
    assert alice.take() == []


def test_ak_03_of_several_handlers_the_first_answers() -> None:
    scene = Scene()
    scene.io.on("ask", lambda socket: "first")
    scene.io.on("ask", lambda socket: "second")
    alice = scene.client()
    alice.socket.on("ask", lambda: "third")
    alice.send('27["ask"]')
    assert alice.take() == ['37["first"]']


def test_ak_04_an_outgoing_acknowledgement_has_all_arguments() -> None:
    scene = Scene()
    alice = scene.client()
    answers = [alice.socket.emit_with_ack("ask") for _ in range(3)]
    alice.send("30[]", '31["one"]', '32["one",2]', '399["nobody asked"]')
    assert [answer.result() for answer in answers] == [None, "one", ("one", 2)]
    assert alice.socket.connected


def test_ak_04_whoever_waits_is_told_when_the_socket_goes() -> None:
    scene = Scene()
    alice = scene.client()
    answer = alice.socket.emit_with_ack("ask")
    alice.close()
    with pytest.raises(Disconnected, match="socket has been disconnected"):
        answer.result()


def test_ak_04_asking_who_is_gone_fails_at_once() -> None:
    scene = Scene()
    alice = scene.client()
    socket = alice.socket
    alice.close()
    with pytest.raises(Disconnected):
        socket.emit_with_ack("ask").result()


def test_ak_04_a_silent_client_keeps_a_bounded_number_of_waiters() -> None:
    scene = Scene(max_acks=2)
    alice = scene.client()
    answers = [alice.socket.emit_with_ack("ask") for _ in range(3)]
    assert [answer.done for answer in answers] == [True, False, False]
    with pytest.raises(AckTimeout):
        answers[0].result()


def test_ak_05_timeout() -> None:
    scene = Scene()
    alice = scene.client()
    late, early = (alice.socket.timeout(5).emit_with_ack("ask") for _ in range(2))
    alice.send('31["on time"]')
    scene.advance(5)
    alice.send('30["late"]')
    assert early.result() == "on time"
    with pytest.raises(AckTimeout, match=r"^operation has timed out$"):
        late.result()


def test_ak_05_there_is_a_default_time_out() -> None:
    scene = Scene(ack_timeout=60.0)
    answer = scene.client().socket.emit_with_ack("ask")
    scene.advance(59)
    assert not answer.done
    scene.advance(1)
    with pytest.raises(TimeoutError):
        answer.result()


def test_ak_06_emit_with_ack_is_awaited() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.on("start")
    async def start(socket: Socket) -> None:
        seen.append(await socket.emit_with_ack("ask", 1))
        try:
            await socket.timeout(1).emit_with_ack("ask", 2)
        except AckTimeout as error:
            seen.append(str(error))

    alice = scene.client()
    alice.send('2["start"]')
    assert alice.take() == ['20["ask",1]']
    # The answer does not queue behind the handler that waits for it.
    alice.send('30["yes"]')
    scene.advance(1)
    assert seen == ["yes", "operation has timed out"]


def test_ak_07_a_broadcast_tells_who_answered_what() -> None:
    scene = Scene()
    alice, bob, carol = scene.client(), scene.client(), scene.client()
    for each in (alice, bob):
        each.socket.join("room")
    answers = scene.io.to("room").emit_with_ack("ask", 1)
    assert (alice.take(), carol.take()) == (['20["ask",1]'], [])
    bob.send('30["b",2]')
    assert not answers.done
    alice.send('30["a"]')
    result = answers.result()
    assert list(result.answers.items()) == [(bob.ids["/"], ("b", 2)), (alice.ids["/"], "a")]
    assert result.missing == {}
    assert result.complete


def test_ak_07_from_a_socket_the_sender_is_not_asked() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    answers = alice.socket.broadcast.emit_with_ack("ask")
    bob.send("30[]")
    assert answers.result().answers == {bob.ids["/"]: None}


def test_ak_08_who_is_late_is_missing_and_the_others_are_there() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    answers = scene.io.timeout(5).emit_with_ack("ask")
    alice.send('30["a"]')
    scene.advance(5)
    result = answers.result()
    bob.send('30["late"]')
    assert result.answers == {alice.ids["/"]: "a"}
    assert result.missing == {bob.ids["/"]: "timed out"}
    assert not result.complete


def test_ak_09_without_a_timeout_the_default_holds() -> None:
    scene = Scene(ack_timeout=7.0)
    alice = scene.client()
    answers = scene.io.emit_with_ack("ask")
    scene.advance(6.9)
    assert not answers.done
    scene.advance(0.1)
    assert answers.result().missing == {alice.ids["/"]: "timed out"}


def test_ak_10_nobody_waits_for_who_left() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    answers = scene.io.emit_with_ack("ask")
    alice.send('30["a"]')
    bob.close()
    assert answers.result().answers == {alice.ids["/"]: "a"}
    assert answers.result().missing == {bob.ids["/"]: "left"}


def test_ak_10_with_nobody_to_ask_it_is_done_at_once() -> None:
    result = Scene().io.to("nowhere").emit_with_ack("ask").result()
    assert result.complete
    assert result.answers == {}


def test_ak_11_whom_a_volatile_event_missed_is_not_waited_for() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    bob.block()
    answers = scene.io.volatile.emit_with_ack("ask")
    alice.send('30["a"]')
    assert answers.result().answers == {alice.ids["/"]: "a"}
    assert answers.result().missing == {bob.ids["/"]: "dropped"}


def test_ak_12_acknowledgements_carry_binary() -> None:
    scene = Scene()
    scene.io.on("echo", lambda socket, value: (value, b"\x02"))
    alice = scene.client()
    alice.send('51-8["echo",{"_placeholder":true,"num":0}]', b"\x01")
    assert alice.take() == ['62-8[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"\x01", b"\x02"]
    answer = alice.socket.emit_with_ack("ask", b"\x03")
    assert alice.take() == ['51-0["ask",{"_placeholder":true,"num":0}]', b"\x03"]
    alice.send('61-0[{"deep":{"_placeholder":true,"num":0}}]', b"\x04")
    assert answer.result() == {"deep": b"\x04"}


def test_ak_13_a_handler_that_raises_sends_no_answer() -> None:
    scene = Scene(tolerant=True)

    @scene.io.on("ask")
    def ask(socket: Socket) -> None:
        raise ValueError("secret")

    scene.io.on("ask", lambda socket: "second")
    alice = scene.client()
    alice.send('27["ask"]')
    assert alice.take() == []
    assert scene.failures == ["event 'ask' in /: secret"]


def test_ak_14_a_remote_socket_gives_one_answer() -> None:
    scene = Scene()
    alice = scene.client()
    socket = alice.socket
    remote = RemoteSocket(scene.io.sockets, socket.id, socket.handshake, socket.rooms, socket.data)
    answer, late = remote.emit_with_ack("ask"), remote.timeout(2).emit_with_ack("ask")
    alice.send('30["yes"]')
    assert answer.result() == "yes"
    scene.advance(2)
    with pytest.raises(AckTimeout):
        late.result()
    gone = remote.emit_with_ack("ask")
    alice.close()
    with pytest.raises(Disconnected):
        gone.result()
    with pytest.raises(Disconnected):
        remote.emit_with_ack("ask").result()
