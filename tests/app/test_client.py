"""The client that applications write handlers for: with a server in a world, or with the test in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import (
    Ack,
    AckTimeout,
    ConnectError,
    Disconnected,
    LocalProtocolError,
    OptionError,
    Pending,
    ReservedEventError,
    Socket,
)
from sioproto.config import Recovery
from sioproto.testing import World
from tests.byhand import AppHand, error_of, hand_app

if TYPE_CHECKING:
    from collections.abc import Callable

INLINE = pytest.mark.parametrize("inline", [True, False])
TRANSPORTS = pytest.mark.parametrize("transports", [("polling",), ("websocket",), ("polling", "websocket")])

LIFECYCLE = (
    "connect",
    "connect_error",
    "disconnect",
    "reconnect",
    "reconnect_attempt",
    "reconnect_error",
    "reconnect_failed",
)


def note(heard: list[Any], *args: Any) -> Callable[..., None]:
    """Returns a handler that notes what it gets."""
    return lambda *got: heard.append((*args, *got))


def note_all(client: Any, heard: list[Any]) -> None:
    """Notes every lifecycle event of a client."""
    for event in LIFECYCLE:
        client.on(event, note(heard, event))


# -- with a server


@TRANSPORTS
def test_a_conversation(transports: tuple[str, ...]) -> None:
    with World(seed=1) as world:
        io = world.server()

        @io.on("connection")
        def connected(socket: Socket) -> None:
            socket.emit("welcome", socket.handshake.auth)

        @io.on("echo")
        async def echo(socket: Socket, value: Any) -> Any:
            await io.sleep(1)
            return value

        @io.on("ask back")
        async def ask_back(socket: Socket) -> Any:
            return await socket.emit_with_ack("question", 20)

        client = world.client(auth={"token": "s3"}, transports=transports)
        client.on("question")(lambda number: number + 1)
        world.settle()
        assert client.received == [("welcome", {"token": "s3"})]
        assert world.result(client.emit_with_ack("echo", [b"\x01", {"n": 1}])) == [b"\x01", {"n": 1}]
        assert world.result(client.emit_with_ack("ask back")) == 21
        assert client.id == next(iter(io.of("/").sockets))


def test_a_lost_link_is_come_back_from() -> None:
    with World(seed=2) as world:
        io = world.server()
        reasons: list[str] = []
        io.on("disconnect", lambda socket, reason: reasons.append(reason))
        client = world.client()
        heard: list[Any] = []
        note_all(client, heard)
        world.advance(1)
        first = client.id
        client.network.refuse()
        client.network.cut()
        world.advance(2)
        client.emit("x")
        client.network.restore()
        world.advance(10)
        names = [event for event, *_ in heard]
        assert names[:3] == ["connect", "disconnect", "reconnect_attempt"]
        assert names[3:5] == ["connect_error", "reconnect_error"]
        assert names[-2:] == ["reconnect", "connect"]
        assert heard[1][1] == "transport close"
        assert client.connected
        assert client.id != first
        assert reasons == ["transport close"]


def test_a_silent_link_is_noticed_by_both_sides() -> None:
    with World(seed=3) as world:
        io = world.server()
        client = world.client()
        heard: list[Any] = []
        client.on("disconnect", note(heard))
        world.advance(1)
        client.network.stall()
        world.advance(46)
        assert [reason for reason, *_ in heard] == ["ping timeout"]
        client.network.flow()
        client.network.cut()
        world.advance(30)
        assert client.connected
        assert io.engine.clients_count == 1


def test_a_refusal_and_another_try() -> None:
    with World(seed=4) as world:
        io = world.server()

        @io.use
        def check(socket: Socket) -> None:
            if socket.handshake.auth.get("token") != "s3":
                raise ConnectError("who are you?", {"hint": "token"})

        tokens = iter([None, "s3"])
        client = world.client(auth=lambda: {"token": next(tokens)}, connect=False)
        errors: list[ConnectError] = []

        @client.on("connect_error")
        def refused(error: ConnectError) -> None:
            errors.append(error)
            assert not client.active
            client.connect()

        with pytest.raises(ConnectError, match="who are you"):
            world.result(client.connect())
        world.settle()
        assert client.connected
        assert [(error.message, error.data) for error in errors] == [("who are you?", {"hint": "token"})]


def test_the_server_throws_one_out_and_goes_down() -> None:
    with World(seed=5) as world:
        io = world.server()
        client = world.client()
        heard: list[Any] = []
        note_all(client, heard)
        world.advance(1)
        io.disconnect_sockets()
        world.advance(60)
        assert heard[-1] == ("disconnect", "io server disconnect", None)
        assert not client.active
        world.result(client.connect())
        world.advance(1)
        other = world.Server(name="other")
        io.close()
        client.network.lead(other)
        world.advance(10)
        assert ("disconnect", "transport close") in [each[:2] for each in heard]
        assert client.connected
        assert other.engine.clients_count == 1


def test_a_laptop_sleeps() -> None:
    with World(seed=6) as world:
        io = world.server()
        got: list[Any] = []
        io.on("x", lambda socket, number: got.append(number))
        client = world.client()
        heard: list[Any] = []
        client.on("disconnect", note(heard))
        world.advance(1)
        world.clock.now += 3600
        client.emit("x", 1)
        client.emit("x", 2)
        assert client.connected
        world.advance(5)
        assert heard == [("ping timeout", None)]
        assert got == [1, 2]


def test_the_namespace_and_the_query_stand_in_the_url() -> None:
    with World(seed=7) as world:
        io = world.server()
        seen: list[Any] = []
        io.of("/admin").on("connection", lambda socket: seen.append(socket.handshake.query))
        client = world.client("/admin?room=1&token=url", query={"token": "option"})
        world.settle()
        assert client.connected
        assert client.socket.name == "/admin"
        assert seen[0]["room"] == "1"
        assert seen[0]["token"] == "option"


def test_namespaces_share_a_connection_and_are_handled_side_by_side() -> None:
    with World(seed=8) as world:
        io = world.server()
        io.of("/admin").on("connection", lambda socket: socket.emit("x", "admin"))
        io.on("connection", lambda socket: socket.emit("x", "main"))
        client = world.client()
        admin = client.of("/admin")
        heard: list[Any] = []

        @client.on("x")
        async def slow(who: str) -> None:
            await world.sleep(5)
            heard.append(who)

        admin.on("x", heard.append)
        admin.connect()
        world.settle()
        assert heard == ["admin"]
        assert io.engine.clients_count == 1
        world.advance(5)
        assert heard == ["admin", "main"]
        client.disconnect()
        world.settle()
        assert admin.connected


@TRANSPORTS
def test_what_was_missed_is_given_back(transports: tuple[str, ...]) -> None:
    with World(seed=10) as world:
        io = world.server(recovery=Recovery())
        client = world.client(transports=transports)
        heard: list[Any] = []
        client.on("connect", lambda: heard.append(client.recovered))
        client.on("x", lambda number: heard.append(number))
        world.advance(1)
        first = client.id
        io.emit("x", 1)
        world.advance(1)
        client.network.cut()
        world.settle()
        io.emit("x", 2)
        io.emit("x", 3)
        world.advance(5)
        assert heard == [False, 1, True, 2, 3]
        assert client.id == first


# -- handlers


@INLINE
def test_what_a_handler_returns_is_the_answer(inline: bool) -> None:
    hand = hand_app(inline=inline)
    client = hand.core
    client.on("nothing", lambda: None)
    client.on("one", lambda value: [value])
    client.on("many", lambda: (1, b"\x02"))

    @client.on("late")
    async def late() -> int:
        await gate
        return 7

    @client.on("fails")
    def fails() -> None:
        raise ValueError

    gate = hand.gate()
    hand.join()
    hand.emit("nothing", ack_id=1)
    hand.emit("one", "x", ack_id=2)
    hand.emit("many", ack_id=3)
    hand.emit("nobody", ack_id=4)
    hand.emit("fails", ack_id=5)
    hand.emit("one", "unasked")
    hand.emit("late", ack_id=6)
    assert hand.take() == ["431[]", '432[["x"]]', '461-3[1,{"_placeholder":true,"num":0}]', b"\x02"]
    hand.unlock(gate)
    assert hand.take() == ["436[7]"]
    assert hand.failures == ["ValueError: event 'fails' in /"]


@INLINE
def test_a_handler_may_take_the_answer_over(inline: bool) -> None:
    hand = hand_app(inline=inline)
    acks: list[Ack | None] = []

    @hand.core.on("x")
    def take_over(value: int, *, ack: Ack | None) -> str:
        acks.append(ack)
        return "not the answer"

    hand.join()
    hand.emit("x", 1)
    hand.emit("x", 2, ack_id=7)
    assert hand.take() == []
    nobody, ack = acks
    assert nobody is None
    assert ack is not None
    assert ack("a", "b")
    assert not ack("again")
    assert ack.called
    assert hand.take() == ['437["a","b"]']


def test_of_several_handlers_the_first_answers_and_all_are_called() -> None:
    hand = hand_app()
    heard: list[Any] = []
    hand.core.on("x", lambda: 1)
    hand.core.on("x", note(heard))
    hand.core.on("x", lambda: 2)
    hand.join()
    hand.emit("x", ack_id=7)
    assert hand.take() == ["437[1]"]
    assert heard == [()]


@INLINE
def test_an_answer_is_not_sent_over_another_connection(inline: bool) -> None:
    hand = hand_app(inline=inline)
    acks: list[Ack] = []
    gate = hand.gate()

    @hand.core.on("x")
    async def slow() -> str:
        await gate
        return "late"

    @hand.core.on("y")
    def keep(*, ack: Ack) -> None:
        acks.append(ack)

    hand.join()
    hand.emit("x", ack_id=7)
    hand.emit("y", ack_id=8)
    hand.lose()
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert hand.take() == ["40"]
    hand.unlock(gate)
    (ack,) = acks
    assert not ack("late")
    assert hand.take() == []
    assert hand.failures == []


def test_arguments_that_a_handler_does_not_take_are_dropped_and_missing_ones_are_reported() -> None:
    hand = hand_app()
    heard: list[Any] = []
    hand.core.on("x", lambda first: heard.append(first))
    hand.join()
    hand.emit("x", 1, 2, 3)
    hand.emit("x", ack_id=7)
    assert heard == [1]
    assert hand.take() == []
    assert hand.failures == ["MissingArguments: event 'x' in /"]


@INLINE
def test_handlers_run_one_after_another_unless_they_are_told_otherwise(inline: bool) -> None:
    hand = hand_app(inline=inline)
    gates = {name: hand.gate() for name in "abc"}
    heard: list[str] = []

    async def wait(name: str) -> None:
        heard.append(f"begin {name}")
        await gates[name]
        heard.append(f"end {name}")

    hand.core.on("x", wait)
    hand.core.on("beside", wait, concurrent=True)
    hand.join()
    hand.emit("x", "a")
    hand.emit("x", "b")
    assert heard == ["begin a"]
    hand.unlock(gates["b"])
    hand.unlock(gates["a"])
    assert heard == ["begin a", "end a", "begin b", "end b"]
    gates["a"], gates["b"] = hand.gate(), hand.gate()
    hand.emit("beside", "c")
    hand.emit("x", "a")
    assert heard[4:] == ["begin c", "begin a"]
    hand.unlock(gates["a"])
    hand.unlock(gates["c"])
    assert heard[6:] == ["end a", "end c"]
    assert hand.runtime.unfinished == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["plain", "waits", "fails", "fails late"]), max_size=12),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_holds_whatever_the_handlers_do(events: list[str], inline: bool, random: Any) -> None:
    hand = hand_app(inline=inline)
    gates: list[Pending[Any]] = []
    heard: list[int] = []

    def plain(number: int) -> None:
        heard.append(number)

    def fails(number: int) -> None:
        heard.append(number)
        raise ValueError

    async def waits(number: int) -> None:
        gates.append(hand.gate())
        await gates[-1]
        plain(number)

    async def fails_late(number: int) -> None:
        gates.append(hand.gate())
        await gates[-1]
        fails(number)

    for name, handler in {"plain": plain, "waits": waits, "fails": fails, "fails late": fails_late}.items():
        hand.core.on(name, handler)
    hand.join()
    for number, event in enumerate(events):
        hand.emit(event, number)
        if gates and random.random() < 0.5:
            hand.unlock(gates.pop())
    while gates:
        hand.unlock(gates.pop())
    assert heard == list(range(len(events)))
    assert len(hand.failures) == sum(event.startswith("fails") for event in events)
    assert hand.runtime.unfinished == []


def test_the_connect_handler_is_done_before_events_are_handled() -> None:
    hand = hand_app()
    gate = hand.gate()
    heard: list[Any] = []

    @hand.core.on("connect")
    async def connected() -> None:
        heard.append("begin")
        await gate
        hand.core.on("x", note(heard))

    hand.core.connect()
    hand.settle()
    hand.open()
    hand.emit("x", "early")
    hand.accept()
    hand.emit("x", 1)
    assert heard == ["begin"]
    hand.unlock(gate)
    assert heard == ["begin", ("early",), (1,)]


def test_catch_alls_come_first_and_do_not_answer() -> None:
    hand = hand_app()
    client = hand.core
    heard: list[Any] = []

    @client.on_any
    def everything(event: str, *args: Any) -> str:
        heard.append((event, *args))
        return "no answer"

    client.prepend_any(lambda event: heard.append(event))
    client.on("x", lambda: heard.append("handler"))
    hand.join()
    hand.emit("x", 1, ack_id=7)
    hand.emit("nobody", ack_id=8)
    hand.emit(8)
    assert heard == ["x", ("x", 1), "handler", "nobody", ("nobody",), "8", ("8",)]
    assert hand.take() == ["437[]"]
    assert len(client.any_listeners()) == 2
    client.off_any(everything)
    assert len(client.any_listeners()) == 1
    client.off_any()
    hand.emit("x")
    assert heard[7:] == ["handler"]


def test_once_and_off() -> None:
    hand = hand_app()
    client = hand.core
    heard: list[Any] = []
    handler = note(heard, "handler")
    client.once("x", note(heard, "once"))
    client.on("x", handler)

    @client.once("connect")
    def connected() -> None:
        heard.append("connect")

    hand.join()
    hand.emit("x", 1)
    hand.emit("x", 2)
    client.off("x", handler)
    client.off("unknown")
    hand.emit("x", 3)
    hand.lose()
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert heard == ["connect", ("once", 1), ("handler", 1), ("handler", 2)]
    assert hand.failures == []


def test_names_of_ours_and_of_the_servers_never_meet() -> None:
    hand = hand_app()
    heard: list[Any] = []
    note_all(hand.core, heard)
    hand.core.on("reconnect", note(heard, "wire"), wire=True)
    hand.join()
    heard.clear()
    hand.emit("reconnect", 1)
    hand.emit("reconnect_failed", 1)
    assert heard == [("wire", 1)]
    with pytest.raises(ReservedEventError):
        hand.core.on("connect", print, wire=True)
    with pytest.raises(LocalProtocolError):
        hand.core.on("x", "no handler")  # type: ignore[call-overload]  # wrong on purpose


def test_what_handlers_raise_goes_to_one_hook() -> None:
    failed: list[tuple[str, str]] = []
    hand = hand_app(hooks={"on_error": lambda error, where: failed.append((type(error).__name__, where))})
    client = hand.core

    @client.on("connect")
    def connected() -> None:
        raise KeyError

    @client.on("x")
    async def late() -> None:
        await hand.gate()

    client.on("y", lambda: 1 / 0)
    client.of("/admin").on("disconnect", lambda: 1 / 0)
    client.on_connection("ping", lambda: 1 / 0)
    hand.join()
    hand.emit("y")
    hand.say("2")
    assert failed == [
        ("KeyError", "ClientConnected in /"),
        ("ZeroDivisionError", "event 'y' in /"),
        ("ZeroDivisionError", "observer of ping"),
    ]
    assert hand.failures == []


def test_so_does_what_callbacks_raise() -> None:
    failed: list[tuple[str, str]] = []
    hand = hand_app(hooks={"on_error": lambda error, where: failed.append((type(error).__name__, where))})
    heard: list[int] = []
    hand.core.on("x", heard.append)
    hand.join()
    hand.core.emit_with_ack("a").on_done(lambda _: 1 / 0)
    hand.core.sleep(1).on_done(lambda _: 1 / 0)
    hand.say("430[1]", '42["x",1]')
    hand.advance(1)
    assert heard == [1]
    assert failed == 2 * [("ZeroDivisionError", "callback of a Pending")]
    assert hand.failures == []


def test_an_answer_that_cannot_be_sent_is_reported() -> None:
    hand = hand_app()
    hand.core.on("x", lambda: object())
    hand.join()
    hand.emit("x", ack_id=7)
    assert hand.take() == []
    assert hand.failures == ["LocalProtocolError: event 'x' in /"]


def test_a_handler_may_wait_for_an_answer_of_its_own_server() -> None:
    hand = hand_app()
    heard: list[Any] = []

    @hand.core.on("x")
    async def ask() -> None:
        heard.append(await hand.core.emit_with_ack("question"))

    hand.join()
    hand.emit("x")
    hand.emit("y")
    assert hand.take() == ['420["question"]']
    hand.say("430[7]")
    assert heard == [7]


# -- auth


def test_auth_may_be_asked_from_a_coroutine_each_time() -> None:
    hand: AppHand
    gates: list[Pending[Any]] = []

    async def ask() -> dict[str, int]:
        gates.append(hand.gate())
        await gates[-1]
        return {"n": len(gates)}

    hand = hand_app(hooks={"auth": ask})
    hand.core.connect()
    hand.settle()
    hand.open()
    assert hand.take() == []
    hand.unlock(gates[0])
    assert hand.take() == ['40{"n":1}']
    hand.accept()
    hand.lose()
    hand.advance(1)
    hand.open()
    # The connection is lost while it is asked: that answer is for nobody.
    hand.lose()
    hand.advance(2)
    hand.open()
    hand.unlock(gates[1])
    assert hand.take() == []
    hand.unlock(gates[2])
    assert hand.take() == ['40{"n":3}']


def raising(error: Exception) -> Callable[[], Any]:
    def ask() -> Any:
        raise error

    return ask


@pytest.mark.parametrize(
    ("ask", "message", "failures"),
    [
        (raising(KeyError("token")), "the auth could not be had", ["KeyError: auth of /"]),
        (raising(ConnectError("not logged in", 7)), "not logged in", []),
        (lambda: "token", "the auth could not be had", ["LocalProtocolError: auth of /"]),
        (lambda: {"x": object()}, "the auth could not be had", ["LocalProtocolError: auth of /"]),
    ],
)
def test_an_auth_that_cannot_be_had_is_a_failed_attempt(
    ask: Callable[[], Any], message: str, failures: list[str]
) -> None:
    hand = hand_app(hooks={"auth": ask})
    heard: list[Any] = []
    hand.core.on("connect_error", lambda error: heard.append(str(error)))
    pending = hand.core.connect()
    hand.settle()
    hand.open()
    assert str(error_of(pending)) == message
    assert heard == [message]
    assert not hand.core.active
    assert hand.failures == failures
    assert hand.closed == hand.links
    assert hand.take() == []


def test_an_auth_that_is_cancelled_is_a_failed_attempt() -> None:
    hand: AppHand

    async def ask() -> None:
        await hand.gate()

    hand = hand_app(hooks={"auth": ask})
    pending = hand.core.connect()
    hand.settle()
    hand.open()
    (task,) = hand.runtime.unfinished
    hand.runtime.cancel(task)
    hand.settle()
    assert str(error_of(pending)) == "the auth could not be had"
    assert not hand.core.active
    assert hand.closed == hand.links
    assert hand.failures == []


# -- losses and leaves


def test_events_that_came_before_a_loss_are_handled_and_then_its_end() -> None:
    hand = hand_app()
    gate = hand.gate()
    heard: list[Any] = []

    @hand.core.on("x")
    async def wait(number: int) -> None:
        if number == 1:
            await gate
        heard.append(number)

    hand.core.on("disconnect", lambda reason: heard.append(reason))
    hand.core.on("connect", lambda: heard.append("connect"))
    hand.join()
    hand.emit("x", 1)
    hand.emit("x", 2)
    hand.lose()
    hand.advance(1)
    hand.open()
    hand.accept("two")
    hand.emit("x", 3)
    hand.unlock(gate)
    assert heard == ["connect", 1, 2, "transport close", "connect", 3]


def test_after_disconnect_nothing_is_handled_but_its_end() -> None:
    hand = hand_app()
    gate = hand.gate()
    heard: list[Any] = []

    @hand.core.on("x")
    async def leave(number: int) -> None:
        heard.append(number)
        hand.core.disconnect()
        await gate

    hand.core.on("disconnect", lambda reason: heard.append(reason))
    hand.join()
    hand.emit("x", 1)
    hand.emit("x", 2)
    hand.unlock(gate)
    assert heard == [1, "io client disconnect"]
    assert hand.take() == ["41"]


def test_what_ends_during_a_batch_ends_it() -> None:
    hand = hand_app()
    heard: list[Any] = []

    @hand.core.on("x")
    def leave(number: int) -> None:
        heard.append(number)
        hand.core.disconnect()

    hand.join()
    hand.say('42["x",1]', '42["x",2]')
    assert heard == [1]


def test_the_stages_of_coming_back_are_told() -> None:
    hand = hand_app(reconnection_attempts=2)
    heard: list[Any] = []
    for event in LIFECYCLE:
        hand.core.on(event, lambda *args, event=event: heard.append((event, *map(str, args))))
    hand.join()
    hand.lose()
    hand.advance(1)
    hand.fail()
    hand.advance(2)
    hand.fail()
    no_route = "websocket error: no route"
    assert heard == [
        ("connect", "one"),
        ("disconnect", "transport close", "websocket connection closed"),
        ("reconnect_attempt", "1"),
        ("connect_error", no_route),
        ("reconnect_error", no_route),
        ("reconnect_attempt", "2"),
        ("connect_error", no_route),
        ("reconnect_error", no_route),
        ("reconnect_failed",),
    ]


def test_an_event_that_was_sent_in_vain_goes_to_the_hook() -> None:
    hand = hand_app(retries=1, ack_timeout=1.0)
    hand.join()
    hand.core.emit("x")
    hand.advance(2)
    assert hand.failures == ["AckTimeout: event 'x' in /, sent as often as allowed"]


def test_the_main_socket_is_what_the_client_is() -> None:
    hand = hand_app("http://server.test:8080/chat", hooks={"loads": None})
    client = hand.core
    assert (client.id, client.connected, client.active, client.recovered) == (None, False, False, False)
    assert client.engine is None
    assert str(client.origin) == "http://server.test:8080"
    assert client.of("/chat") is client.socket
    client.send("early")
    client.volatile.emit("dropped")
    client.connect()
    hand.settle()
    hand.open()
    hand.accept("one", "/chat", pid="p")
    assert (client.id, client.connected, client.active, client.recovered) == ("one", True, True, False)
    assert client.engine is not None
    assert client.engine.transport_name == "websocket"
    late = client.timeout(1).emit_with_ack("x")
    client.compress(False).emit("y")
    assert hand.take() == ["40/chat,", '42/chat,["message","early"]', '42/chat,0["x"]', '42/chat,["y"]']
    hand.advance(1)
    assert isinstance(error_of(late), AckTimeout)
    drained = client.drained()
    assert drained.done
    client.disconnect()
    assert hand.take() == ["41/chat,"]


def test_a_codec_of_ones_own() -> None:
    import json

    seen: list[str] = []

    def dumps(value: Any) -> str:
        seen.append("dumps")
        return json.dumps(value, separators=(",", ":"))

    def loads(text: str) -> Any:
        seen.append("loads")
        return json.loads(text)

    hand = hand_app(hooks={"loads": loads, "dumps": dumps})
    hand.join()
    hand.core.emit("x", 1)
    assert hand.take() == ['42["x",1]']
    assert seen == ["loads", "dumps"]


# -- while handlers lag


def test_reading_stops_while_handlers_lag_and_goes_on_when_half_is_done() -> None:
    hand = hand_app(hooks={"max_parked": 4000})
    gates = [hand.gate() for _ in range(12)]
    done: list[int] = []

    @hand.core.on("x")
    async def wait(number: int, text: str) -> None:
        await gates[number]
        done.append(number)

    hand.join()
    stopped = None
    for number in range(12):
        hand.emit("x", number, 400 * "a")
        if stopped is None and not hand.link.reading:
            stopped = number
    assert stopped == 5
    for number in range(12):
        hand.unlock(gates[number])
        if hand.link.reading:
            break
    assert 5 < number < 11
    for gate in gates[number + 1 :]:
        hand.unlock(gate)
    assert done == list(range(12))


def test_a_handler_that_waits_behind_what_is_not_read_is_set_free() -> None:
    hand = hand_app(hooks={"max_parked": 2000})
    heard: list[Any] = []

    @hand.core.on("x")
    async def ask() -> None:
        try:
            heard.append(await hand.core.emit_with_ack("question"))
        except Disconnected:
            heard.append("disconnected")

    hand.core.on("y", lambda text: heard.append("y"))
    hand.join()
    hand.emit("x")
    hand.emit("y", 3000 * "a")
    assert not hand.link.reading
    hand.advance(44)
    assert heard == []
    hand.advance(1)
    assert heard == ["disconnected", "y"]
    hand.advance(1)
    hand.open()
    hand.accept("two")
    assert hand.link.reading


def test_what_lags_does_not_grow_over_further_connections() -> None:
    hand = hand_app(hooks={"max_parked": 4000})
    gate = hand.gate()
    heard: list[int] = []

    @hand.core.on("x")
    async def wait(number: int, text: str) -> None:
        heard.append(number)
        await gate

    hand.join()
    hand.emit("x", 0, 1000 * "a")
    hand.emit("x", 1, 3000 * "a")
    hand.advance(45)
    assert not hand.core.connected
    for number, seconds in enumerate([1, 2]):
        hand.advance(seconds)
        hand.open()
        hand.accept()
        # What is no event is still taken: a handler may wait for it.
        answer = hand.core.emit_with_ack("question")
        hand.say(f"43{number}[1]")
        assert answer.result() == 1
        hand.emit("x", 2, 9000 * "a")
        assert not hand.core.connected
        assert hand.closed == hand.links
    # Nor is it kept until the namespace is connected.
    hand.advance(3.5)
    hand.open()
    hand.emit("x", 3, 9000 * "a")
    assert hand.closed == hand.links
    hand.advance(3.75)
    hand.open()
    hand.accept()
    hand.unlock(gate)
    hand.emit("x", 4, "")
    assert heard == [0, 1, 4]
    # All is well again, and so are the delays.
    hand.lose()
    hand.advance(3.75)
    hand.open()
    hand.accept()
    hand.advance(5)
    hand.lose()
    hand.advance(1)
    assert len(hand.fetches) == 1


@pytest.mark.parametrize("up", [True, False])
def test_a_handler_that_never_ends_does_not_make_the_news_pile_up(up: bool) -> None:
    hand = hand_app(hooks={"max_parked": 256 * 20}, reconnection_delay=0.1, reconnection_delay_max=0.1)
    gate = hand.gate()
    heard: list[Any] = []
    note_all(hand.core, heard)

    @hand.core.on("x")
    async def wait(number: int) -> None:
        heard.append(number)
        await gate

    hand.join()
    hand.emit("x", 1)
    hand.lose()
    for number in range(100):
        hand.advance(0.1)
        if up:
            hand.open()
            hand.accept(str(number))
            hand.lose()
        else:
            hand.fail()
    assert 20 <= len(hand.core.socket.lane.jobs) <= 22
    hand.advance(0.1)
    hand.open()
    hand.accept("last")
    hand.emit("x", 2)
    hand.unlock(gate)
    # What was told is in order, and the last word is true.
    told = [each[0] for each in heard if isinstance(each, tuple) and each[0] in ("connect", "disconnect")]
    assert told == ["connect", "disconnect"] * (len(told) // 2) + ["connect"]
    assert heard[-2:] == [("connect", "last"), 2]
    assert len(heard) <= 25


@INLINE
@pytest.mark.parametrize("auth", [{"bad": object()}, lambda: {"bad": object()}, lambda: 1 / 0])
def test_connecting_again_whenever_it_fails_is_no_livelock(auth: Any, inline: bool) -> None:
    hand = hand_app(inline=inline, hooks={"auth": auth, "on_error": lambda error, where: None})
    other = hand.core.of("/other")
    other.connect()
    hand.settle()
    hand.open()
    hand.accept("two", "/other")
    failures: list[ConnectError] = []

    @hand.core.on("connect_error")
    def again(error: ConnectError) -> None:
        failures.append(error)
        hand.core.connect()

    hand.core.connect()
    hand.settle()
    assert len(failures) == 1
    hand.advance(10)
    assert len(failures) == 11
    hand.core.socket.auth = {"good": 1}
    hand.advance(1)
    assert hand.take()[-1] == '40{"good":1}'


def test_what_came_over_a_short_connection_is_told_with_it() -> None:
    hand = hand_app(hooks={"max_parked": 256 * 10}, reconnection_delay=0.1, reconnection_delay_max=0.1)
    gate = hand.gate()
    heard: list[Any] = []
    note_all(hand.core, heard)

    @hand.core.on("x")
    async def wait(number: int) -> None:
        heard.append(number)
        await gate

    hand.join()
    hand.emit("x", 0)
    hand.lose()
    for number in range(1, 50):
        hand.advance(0.1)
        hand.open()
        hand.accept(str(number))
        if number == 40:
            hand.emit("x", 40)
        hand.lose()
    hand.unlock(gate)
    place = heard.index(40)
    assert heard[place - 1] == ("connect", "40")
    assert heard[place + 1][0] == "disconnect"


def test_max_parked_is_a_number_of_bytes() -> None:
    with pytest.raises(OptionError, match="max_parked"):
        hand_app(hooks={"max_parked": 0})


# -- the end


@TRANSPORTS
def test_stopping_delivers_what_was_queued_and_leaves_nothing(transports: tuple[str, ...]) -> None:
    world = World(seed=9)
    io = world.server()
    got: list[Any] = []
    io.on("x", lambda socket, number: got.append(number))
    reasons: list[str] = []
    io.on("disconnect", lambda socket, reason: reasons.append(reason))
    client = world.client(transports=transports, ack_timeout=60.0)
    heard: list[Any] = []
    client.on("disconnect", note(heard))
    world.advance(1)
    for number in range(5):
        client.emit("x", number)
    pending = client.emit_with_ack("never")
    stopped = client.stop(5)
    world.result(stopped)
    assert got == [0, 1, 2, 3, 4]
    assert heard == [("io client disconnect", None)]
    assert isinstance(error_of(pending), Disconnected)
    world.settle()
    assert reasons in (["client namespace disconnect"], ["transport close"])
    assert client.stop(5) is stopped
    assert io.engine.clients_count == 0
    world.close()


def test_stopping_waits_for_handlers_but_not_for_ever() -> None:
    hand = hand_app()
    gate = hand.gate()

    @hand.core.on("disconnect")
    async def tidy() -> None:
        await gate

    hand.join()
    stopped = hand.core.stop(5)
    hand.take()
    hand.core.receive_link_closed(hand.link, 1005)
    hand.settle()
    assert not stopped.done
    hand.advance(4.9)
    assert not stopped.done
    hand.advance(0.1)
    assert stopped.done
    hand.unlock(gate)
    assert hand.armed == 0


def test_a_second_stop_may_be_more_in_a_hurry() -> None:
    hand = hand_app()
    hand.join()
    hand.block()
    hand.core.emit("x")
    stopped = hand.core.stop(60)
    hand.advance(1)
    assert hand.core.stop(2) is stopped
    hand.advance(2)
    assert stopped.done
    assert hand.closed == hand.links
    assert hand.armed == 0


def test_what_is_cancelled_after_the_end_takes_the_rest_along() -> None:
    hand = hand_app()
    heard: list[Any] = []

    @hand.core.on("disconnect")
    async def tidy() -> None:
        await hand.gate()

    hand.core.on("disconnect", heard.append)
    hand.join()
    stopped = hand.core.stop(1)
    hand.take()
    hand.advance(1)
    assert stopped.done
    (task,) = hand.runtime.unfinished
    hand.runtime.cancel(task)
    hand.settle()
    assert heard == []
    assert hand.runtime.unfinished == []


@pytest.mark.parametrize("connected", [True, False])
def test_handlers_that_always_come_back_do_not_outlive_the_end(connected: bool) -> None:
    hand = hand_app()
    answers: list[Pending[None]] = []

    @hand.core.on("disconnect")
    @hand.core.on("connect_error")
    def again(*_: Any) -> None:
        answers.append(hand.core.connect())

    if connected:
        hand.join()
    else:
        hand.core.connect()
        hand.settle()
    stopped = hand.core.stop(1)
    hand.settle()
    for link in hand.links:
        hand.core.receive_link_closed(link, 1005)
    hand.settle()
    assert stopped.done
    assert [type(error_of(each)) for each in answers] == [Disconnected] * connected
    hand.advance(60)
    assert hand.fetches == []
    assert hand.armed == 0


def test_stopping_tells_whoever_waits_for_a_connection() -> None:
    hand = hand_app(ack_timeout=60.0)
    connecting = hand.core.connect()
    waiting = hand.core.emit_with_ack("x")
    hand.settle()
    stopped = hand.core.stop(5)
    hand.settle()
    assert stopped.done
    assert isinstance(error_of(connecting), Disconnected)
    assert isinstance(error_of(waiting), Disconnected)
    assert hand.fetches == []
    assert hand.armed == 0


def test_sleep_and_spawn() -> None:
    hand = hand_app()
    heard: list[Any] = []

    async def loop(name: str) -> None:
        await hand.core.sleep(2)
        heard.append(name)
        raise ValueError

    hand.core.spawn(loop, "woken")
    hand.core.spawn(heard.append, "at once")
    hand.settle()
    assert heard == ["at once"]
    hand.advance(2)
    assert heard == ["at once", "woken"]
    assert hand.failures == [f"ValueError: spawned {loop.__qualname__}"]


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://x:y/", "http://u:p@x/", "http://x/ y"])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError):
        hand_app(url)


# -- whatever the network does


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(
        st.sampled_from(["cut", "stall", "flow", "refuse", "restore", "emit", "ask", "leave", "join", "pass", "sleep"]),
        max_size=25,
    ),
)
def test_connect_and_disconnect_alternate_and_questions_are_answered_once(seed: int, actions: list[str]) -> None:
    world = World(seed=seed, shuffle=bool(seed % 2))
    io = world.server()
    io.on("ask", lambda socket, number: number)
    client = world.client(ack_timeout=30.0)
    heard: list[str] = []
    client.on("connect", lambda: heard.append("connect"))
    client.on("disconnect", lambda: heard.append("disconnect"))
    settled: list[list[Pending[Any]]] = []
    network = client.network
    for action in actions:
        if action in ("cut", "stall", "flow", "refuse", "restore"):
            getattr(network, action)()
        elif action == "emit":
            client.emit("x")
        elif action == "ask":
            settled.append([])
            client.emit_with_ack("ask", len(settled)).on_done(settled[-1].append)
        elif action == "leave":
            client.disconnect()
        elif action == "join":
            client.connect()
        elif action == "pass":
            world.advance(7)
        else:
            world.jump(50)
        world.settle()
    network.restore()
    client.connect()
    world.advance(120)
    assert client.connected
    assert heard[::2] == ["connect"] * len(heard[::2])
    assert heard[1::2] == ["disconnect"] * len(heard[1::2])
    assert all(len(each) == 1 for each in settled)
    world.close()
