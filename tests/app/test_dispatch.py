"""Running handlers: their order, their answers, their failures, and what happens while they lag."""

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
    Pending,
    ReservedEventError,
    Socket,
)
from tests.virtual import drive_app

if TYPE_CHECKING:
    from collections.abc import Callable

INLINE = pytest.mark.parametrize("inline", [True, False])
BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


def note(heard: list[Any], *args: Any) -> Callable[..., None]:
    """Returns a handler that notes what it gets, without the socket."""
    return lambda *got: heard.append((*args, *(each for each in got if not isinstance(each, Socket))))


# -- order


@INLINE
def test_handlers_of_a_socket_run_one_after_another(inline: bool) -> None:
    driver = drive_app(inline=inline)
    gates = {name: driver.gate() for name in "abc"}
    heard: list[str] = []

    @driver.core.on("x")
    async def wait(socket: Socket, name: str) -> None:
        heard.append(f"begin {name}")
        await gates[name]
        heard.append(f"end {name}")

    @driver.core.on("y")
    def plain(socket: Socket, name: str) -> None:
        heard.append(f"plain {name}")

    client, _ = driver.join()
    client.emit("x", "a")
    client.emit("x", "b")
    client.emit("y", "1")
    client.emit("x", "c")
    assert heard == ["begin a"]
    driver.open(gates["b"])
    driver.open(gates["c"])
    assert heard == ["begin a"]
    driver.open(gates["a"])
    assert heard == ["begin a", "end a", "begin b", "end b", "plain 1", "begin c", "end c"]
    assert driver.failures == []
    assert driver.runtime.unfinished == []


@INLINE
def test_sockets_do_not_wait_for_each_other(inline: bool) -> None:
    driver = drive_app(inline=inline)
    driver.core.of("/other").on("x", lambda socket: heard.append(socket.id))
    gate = driver.gate()
    heard: list[str] = []

    @driver.core.on("x")
    async def wait(socket: Socket) -> None:
        await gate
        heard.append(socket.id)

    one, first = driver.join()
    two, second = driver.join()
    one.emit("x")
    elsewhere = one.connect("/other")
    one.emit("x", namespace="/other")
    assert heard == [elsewhere]
    two.emit("x")
    driver.open(gate)
    assert sorted(heard[1:]) == sorted([first.id, second.id])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["plain", "waits", "fails", "fails late"])), max_size=12),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_the_order_of_arrival_holds_whatever_the_handlers_do(
    events: list[tuple[int, str]], inline: bool, random: Any
) -> None:
    driver = drive_app(inline=inline)
    gates: list[Pending[Any]] = []
    heard: dict[str, list[int]] = {}

    def finish(socket: Socket, number: int) -> None:
        heard.setdefault(socket.id, []).append(number)

    @driver.core.on("plain")
    def plain(socket: Socket, number: int) -> None:
        finish(socket, number)

    @driver.core.on("waits")
    async def waits(socket: Socket, number: int) -> None:
        gates.append(driver.gate())
        await gates[-1]
        finish(socket, number)

    @driver.core.on("fails")
    def fails(socket: Socket, number: int) -> None:
        finish(socket, number)
        raise ValueError

    @driver.core.on("fails late")
    async def fails_late(socket: Socket, number: int) -> None:
        gates.append(driver.gate())
        await gates[-1]
        finish(socket, number)
        raise ValueError

    pairs = [driver.join("websocket" if number else "polling") for number in range(2)]
    for number, (which, event) in enumerate(events):
        pairs[which][0].emit(event, number)
        if gates and random.random() < 0.5:
            driver.open(gates.pop(random.randrange(len(gates))))
    while gates:
        driver.open(gates.pop(random.randrange(len(gates))))
    for which, (_, socket) in enumerate(pairs):
        assert heard.get(socket.id, []) == [number for number, (each, _) in enumerate(events) if each == which]
    assert len(driver.failures) == sum(event.startswith("fails") for _, event in events)
    assert driver.runtime.unfinished == []


def test_a_connection_handler_holds_the_lane() -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[Any] = []

    @driver.core.on("connection")
    async def connection(socket: Socket) -> None:
        await gate
        socket.on("x", note(heard))

    client, _ = driver.join()
    client.emit("x", 1)
    assert heard == []
    driver.open(gate)
    assert heard == [(1,)]


def test_a_handler_may_cause_what_is_handled_next() -> None:
    """What a plain handler causes is handled after it, not within it."""
    driver = drive_app()
    heard: list[Any] = []
    driver.core.on("new_namespace", lambda namespace: heard.append(namespace.name))
    driver.core.on("disconnect", note(heard, "disconnect"))
    driver.core.sockets.on("disconnecting", note(heard, "disconnecting"))

    @driver.core.on("x")
    def cause(socket: Socket) -> None:
        heard.append("begin")
        driver.core.of("/new")
        socket.disconnect()
        driver.core.take_dirty()
        heard.append("end")

    client, _ = driver.join()
    driver.core.receive_messages(client.link, ['42["x"]'])
    assert heard[:2] == ["begin", "end"]
    assert "/new" in heard
    assert [each[0] for each in heard if isinstance(each, tuple)] == ["disconnecting", "disconnect"]


def test_handlers_of_one_event_run_in_the_order_of_their_registration() -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[Any] = []
    io = driver.core

    async def slow(socket: Socket) -> None:
        await gate
        heard.append("slow")

    io.on("x", note(heard, "first"))
    io.on("x", slow)
    io.on("x", note(heard, "last"))
    client, socket = driver.join()
    socket.on("x", note(heard, "own"))
    client.emit("x")
    assert heard == [("first",)]
    driver.open(gate)
    assert heard == [("first",), "slow", ("last",), ("own",)]


def test_a_concurrent_handler_lets_the_next_begin() -> None:
    driver = drive_app()
    gates = {name: driver.gate() for name in "ab"}
    heard: list[str] = []

    @driver.core.on("x", concurrent=True)
    async def wait(socket: Socket, name: str) -> str:
        heard.append(f"begin {name}")
        await gates[name]
        heard.append(f"end {name}")
        return name

    driver.core.on("y", lambda socket: heard.append("y"))
    client, _ = driver.join()
    client.emit("x", "a", ack=1)
    client.emit("x", "b", ack=2)
    client.emit("y")
    assert heard == ["begin a", "begin b", "y"]
    driver.open(gates["b"])
    driver.open(gates["a"])
    assert client.take() == ['432["b"]', '431["a"]']


def test_a_concurrent_handler_may_be_plain() -> None:
    driver = drive_app()
    heard: list[Any] = []
    driver.core.on("x", note(heard), concurrent=True)
    client, _ = driver.join()
    client.emit("x", 1)
    assert heard == [(1,)]


def test_waiting_for_an_answer_of_ones_own_client_is_no_deadlock() -> None:
    driver = drive_app()
    heard: list[Any] = []

    @driver.core.on("x")
    async def ask(socket: Socket) -> str:
        answer = await socket.emit_with_ack("really?")
        heard.append(answer)
        return f"you said {answer}"

    client, _ = driver.join()
    client.emit("x", ack=5)
    client.emit("x")
    assert client.take() == ['420["really?"]']
    client.send('430["yes"]')
    assert heard == ["yes"]
    assert client.take() == ['435["you said yes"]', '421["really?"]']


def test_waiting_for_somebody_who_goes() -> None:
    driver = drive_app()
    heard: list[str] = []

    @driver.core.on("x")
    async def ask(socket: Socket) -> None:
        try:
            await socket.emit_with_ack("really?")
        except Disconnected:
            heard.append("gone")

    driver.core.on("disconnect", lambda socket, reason: heard.append(reason))
    client, _ = driver.join()
    client.emit("x")
    client.lose()
    assert heard == ["gone", "transport close"]


def test_waiting_for_somebody_who_says_nothing() -> None:
    driver = drive_app()

    @driver.core.on("x")
    async def ask(socket: Socket) -> None:
        await socket.timeout(3.0).emit_with_ack("really?")

    client, _ = driver.join()
    client.emit("x")
    driver.advance(3.1)
    assert driver.failures == ["AckTimeout: event 'x' in /"]
    assert isinstance(driver.runtime.reports[0][0], AckTimeout)


# -- what is given and answered


@INLINE
@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (None, "[]"),
        ((), "[]"),
        (1, "[1]"),
        ("a", '["a"]'),
        ((1, 2), "[1,2]"),
        ([1, 2], "[[1,2]]"),
        ({"k": (1,)}, '[{"k":[1]}]'),
        (False, "[false]"),
        ((None,), "[null]"),
    ],
)
def test_what_a_handler_returns_is_the_answer(value: Any, answer: str, inline: bool) -> None:
    driver = drive_app(inline=inline)

    @driver.core.on("waits")
    async def waits(socket: Socket) -> Any:
        return value

    driver.core.on("plain", lambda socket: value)
    client, _ = driver.join()
    client.emit("plain", ack=12)
    client.emit("waits", ack=13)
    client.emit("plain")
    client.emit("waits")
    assert client.take() == [f"4312{answer}", f"4313{answer}"]


def test_an_answer_with_binary() -> None:
    driver = drive_app()
    driver.core.on("x", lambda socket: (b"\x01", 2))
    client, _ = driver.join()
    client.emit("x", ack=0)
    assert client.take() == ['461-0[{"_placeholder":true,"num":0},2]', b"\x01"]


def test_the_ack_parameter_takes_the_answer_over() -> None:
    driver = drive_app()
    acks: list[Ack | None] = []

    @driver.core.on("x")
    def hold(socket: Socket, text: str, *, ack: Ack | None) -> str:
        acks.append(ack)
        return "not the answer"

    client, _ = driver.join()
    client.emit("x", "hi", ack=4)
    client.emit("x", "hi")
    assert client.take() == []
    ack = acks[0]
    assert ack is not None
    assert acks[1] is None
    assert not ack.called
    assert ack(1, b"\x02")
    assert ack.called
    assert not ack("again")
    driver.settle()
    assert client.take() == ['461-4[1,{"_placeholder":true,"num":0}]', b"\x02"]


def test_an_ack_that_cannot_be_sent_may_be_tried_again() -> None:
    driver = drive_app()
    acks: list[Ack] = []
    driver.core.on("x", lambda socket, *, ack: acks.append(ack))
    client, _ = driver.join()
    client.emit("x", ack=1)
    with pytest.raises(LocalProtocolError):
        acks[0](object())
    assert acks[0]("fine")
    driver.settle()
    assert client.take() == ['431["fine"]']


def test_an_ack_after_the_end_says_no() -> None:
    driver = drive_app()
    acks: list[Ack] = []
    driver.core.on("x", lambda socket, *, ack: acks.append(ack))
    client, socket = driver.join()
    client.emit("x", ack=1)
    socket.disconnect()
    assert not acks[0]("late")
    driver.settle()
    assert client.take() == ["41"]


def test_of_several_handlers_the_first_answers() -> None:
    driver = drive_app()
    io = driver.core
    io.on("x", lambda socket: "first")
    io.on("x", lambda socket: "second")
    client, socket = driver.join()
    socket.on("x", lambda: "own")
    client.emit("x", ack=1)
    assert client.take() == ['431["first"]']


def test_a_handler_that_wants_the_ack_may_leave_it_to_the_next() -> None:
    driver = drive_app()
    io = driver.core
    io.on("x", lambda socket, *, ack: None)
    io.on("x", lambda socket: "second")
    io.on("x", lambda socket: "third")
    client, socket = driver.join()
    socket.on("y", lambda *, ack: None)
    socket.on("y", lambda: "own second")
    socket.on("y", lambda: "own third")
    client.emit("x", ack=1)
    client.emit("y", ack=2)
    assert client.take() == ['431["second"]', '432["own second"]']


def test_nobody_answers_for_an_event_without_handlers() -> None:
    driver = drive_app()
    client, _ = driver.join()
    client.emit("x", ack=1)
    assert client.take() == []
    assert driver.failures == []


@INLINE
@pytest.mark.parametrize("args", [[], [1], [1, 2], [1, 2, 3]])
def test_how_many_arguments_came(args: list[int], inline: bool) -> None:
    driver = drive_app(inline=inline)
    heard: list[Any] = []

    def two(socket: Socket, one: int, other: int = 0) -> str:
        heard.append((one, other))
        return "ok"

    driver.core.on("x", two)
    client, socket = driver.join()
    socket.on("x", note(heard, "own"))
    client.emit("x", *args, ack=1)
    if not args:
        # Too few: the handler is not called, nobody is answered for it, and the others are called.
        assert heard == [("own",)]
        assert driver.failures == ["MissingArguments: event 'x' in /"]
        assert client.take() == []
    else:
        assert heard == [tuple([*args, 0][:2]), ("own", *args)]
        assert driver.failures == []
        assert client.take() == ['431["ok"]']


def test_a_number_is_a_name_as_well() -> None:
    driver = drive_app()
    heard: list[Any] = []
    driver.core.on("7", note(heard))
    client, _ = driver.join()
    client.send('42[7,"x"]')
    assert heard == [("x",)]


# -- catch-alls and middlewares of a socket


def test_catch_alls_come_first_and_answer_nothing() -> None:
    driver = drive_app()
    heard: list[Any] = []
    io = driver.core

    @io.on_any
    def everything(socket: Socket, event: str, *args: Any) -> str:
        heard.append(("io", event, *args))
        return "no answer"

    io.prepend_any(note(heard, "first"))
    io.on("x", note(heard, "handler"))
    client, socket = driver.join()
    socket.on_any(note(heard, "socket"))
    socket.prepend_any(note(heard, "socket first"))
    socket.use(lambda event, args: heard.append("middleware"))
    client.emit("x", 1, ack=1)
    assert heard == [
        ("first", "x", 1),
        ("io", "x", 1),
        ("socket first", "x", 1),
        ("socket", "x", 1),
        "middleware",
        ("handler", 1),
    ]
    assert client.take() == ["431[]"]
    heard.clear()
    client.emit("unhandled", ack=2)
    assert heard[0] == ("first", "unhandled")
    assert client.take() == []
    io.off_any(everything)
    assert len(io.sockets.any_listeners()) == 1
    io.off_any()
    socket.off_any()
    heard.clear()
    client.emit("x")
    assert heard == ["middleware", ("handler",)]


@INLINE
def test_middlewares_may_change_and_refuse(inline: bool) -> None:
    driver = drive_app(inline=inline)
    heard: list[Any] = []
    errors: list[Any] = []
    gate = driver.gate()

    @driver.core.on("x")
    def handler(socket: Socket, *args: Any) -> str:
        heard.append(args)
        return "ok"

    driver.core.on("error", lambda socket, error: errors.append(("io", str(error))))
    client, socket = driver.join()

    @socket.use
    async def change(event: str, args: list[Any]) -> None:
        await gate
        args.append(event)

    @socket.use
    def refuse(event: str, args: list[Any]) -> None:
        if args[0] == "bad":
            raise ValueError("not this")

    socket.on("error", lambda error: errors.append(("socket", str(error))))
    client.emit("x", "good", ack=1)
    client.emit("x", "bad", ack=2)
    client.emit("x", "late", ack=3)
    assert heard == []
    driver.open(gate)
    assert heard == [("good", "x"), ("late", "x")]
    assert errors == [("io", "not this"), ("socket", "not this")]
    assert client.take() == ['431["ok"]', '433["ok"]']
    # A refusal is no failure: somebody asked for it.
    assert driver.failures == []


def test_an_async_middleware_may_refuse() -> None:
    driver = drive_app()
    heard: list[Any] = []
    driver.core.on("x", note(heard))
    client, socket = driver.join()

    @socket.use
    async def refuse(event: str, args: list[Any]) -> None:
        raise ConnectError("no")

    client.emit("x", ack=1)
    assert heard == []
    assert client.take() == []
    assert driver.failures == []


def test_a_middleware_that_expels() -> None:
    driver = drive_app()
    heard: list[Any] = []
    driver.core.on("x", note(heard))
    driver.core.on("disconnect", note(heard, "disconnect"))
    client, socket = driver.join()
    socket.use(lambda event, args: socket.disconnect())
    client.emit("x", ack=1)
    assert heard == [("disconnect", "server namespace disconnect", None)]
    assert client.take() == ["41"]


# -- failures


@INLINE
def test_a_failure_stops_nobody(inline: bool) -> None:
    errors: list[tuple[BaseException, str]] = []
    driver = drive_app(inline=inline, hooks={"on_error": lambda error, where: errors.append((error, where))})
    heard: list[Any] = []
    failure = ValueError("oh")

    @driver.core.on("x")
    def fails(socket: Socket) -> str:
        raise failure

    @driver.core.on("x")
    def second(socket: Socket) -> str:
        heard.append("second")
        return "answer of the second"

    driver.core.on("y", lambda socket: "fine")
    client, socket = driver.join()
    client.emit("x", ack=1)
    client.emit("y", ack=2)
    assert heard == ["second"]
    assert errors == [(failure, "event 'x' in /")]
    assert client.take() == ['432["fine"]']
    assert socket.connected
    assert driver.runtime.reports == []


@INLINE
@pytest.mark.parametrize("event", ["connection", "disconnecting", "disconnect", "error"])
def test_failures_of_lifecycle_handlers(event: str, inline: bool) -> None:
    driver = drive_app(inline=inline)
    heard: list[str] = []

    async def fails(*args: Any) -> None:
        raise ValueError(event)

    driver.core.on(event, fails)
    driver.core.on("disconnect", lambda socket, reason: heard.append(reason))
    client, socket = driver.join()
    assert socket.connected
    client.send("4nonsense")
    assert heard == ["forced close"]
    assert [failure.split(":")[0] for failure in driver.failures] == ["ValueError"]
    assert socket.rooms == frozenset()


def test_a_failing_error_hook_is_reported_with_what_it_was_for() -> None:
    def hook(error: BaseException, where: str) -> None:
        raise RuntimeError("hook")

    driver = drive_app(hooks={"on_error": hook})

    @driver.core.on("x")
    def fails(socket: Socket) -> None:
        raise ValueError

    client, _ = driver.join()
    client.emit("x")
    assert driver.failures == ["ValueError: event 'x' in /", "RuntimeError: on_error"]


def test_an_answer_that_cannot_be_sent_is_a_failure() -> None:
    driver = drive_app()

    @driver.core.on("waits")
    async def waits(socket: Socket) -> object:
        return object()

    driver.core.on("plain", lambda socket: float("nan"))
    client, _ = driver.join()
    client.emit("plain", ack=1)
    client.emit("waits", ack=2)
    assert driver.failures == ["LocalProtocolError: event 'plain' in /", "LocalProtocolError: event 'waits' in /"]
    assert client.take() == []


@pytest.mark.parametrize("waits", [True, False])
def test_a_failing_concurrent_handler(waits: bool) -> None:
    driver = drive_app()

    def fails(socket: Socket) -> str:
        raise ValueError

    async def fails_late(socket: Socket) -> str:
        raise ValueError

    driver.core.on("x", fails_late if waits else fails, concurrent=True)
    client, socket = driver.join()
    client.emit("x", ack=1)
    assert driver.failures == ["ValueError: event 'x' in /"]
    assert client.take() == []
    assert socket.client.parked == 0


@pytest.mark.parametrize("waiting", [True, False])
def test_the_lane_goes_on_when_a_handler_is_cancelled(waiting: bool) -> None:
    driver = drive_app()
    heard: list[Any] = []
    gate = driver.gate()

    @driver.core.on("x")
    async def waits(socket: Socket) -> None:
        await gate
        heard.append("never")

    driver.core.on("x", note(heard, "second handler"))
    driver.core.on("y", note(heard, "y"))
    client, _ = driver.join()
    client.emit("x", ack=1)
    if waiting:
        client.emit("y")
    [task] = driver.runtime.unfinished
    driver.runtime.cancel(task)
    driver.settle()
    assert heard == [("second handler",)] + [("y",)] * waiting
    client.emit("y")
    assert heard[-1] == ("y",)
    client.lose()
    driver.settle()
    assert driver.runtime.unfinished == []
    done = driver.core.stop(10.0)
    driver.settle()
    assert done.done


def test_a_cancelled_concurrent_handler_is_only_itself() -> None:
    driver = drive_app()
    gate = driver.gate()

    @driver.core.on("x", concurrent=True)
    async def waits(socket: Socket) -> None:
        await gate

    client, _ = driver.join()
    client.emit("x")
    driver.runtime.cancel(driver.runtime.unfinished[0])
    done = driver.core.stop(10.0)
    driver.settle()
    assert done.done


# -- the end of a socket


@INLINE
def test_what_came_before_the_end_is_handled_first(inline: bool) -> None:
    driver = drive_app(inline=inline)
    gate = driver.gate()
    heard: list[Any] = []
    io = driver.core

    @io.on("x")
    async def waits(socket: Socket, number: int) -> None:
        await gate
        heard.append(number)

    @io.on("disconnecting")
    async def disconnecting(socket: Socket, reason: str) -> None:
        heard.append(("disconnecting", reason, socket.connected, sorted(socket.rooms - {socket.id})))

    @io.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        heard.append(("disconnect", reason, socket.connected, sorted(socket.rooms)))

    client, socket = driver.join()
    socket.join("a", "b")
    client.emit("x", 1)
    client.emit("x", 2)
    client.lose()
    assert heard == []
    driver.open(gate)
    assert heard == [
        1,
        2,
        ("disconnecting", "transport close", True, ["a", "b"]),
        ("disconnect", "transport close", False, []),
    ]


def test_rooms_are_left_when_disconnecting_takes_too_long() -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[Any] = []

    @driver.core.on("disconnecting")
    async def slow(socket: Socket) -> None:
        heard.append(len(socket.rooms))
        await gate
        heard.append(len(socket.rooms))

    driver.core.on("disconnect", lambda socket: heard.append("disconnect"))
    client, socket = driver.join()
    client.lose()
    driver.advance(4.9)
    assert socket.rooms
    driver.advance(0.2)
    assert not socket.rooms
    assert heard == [1]
    driver.open(gate)
    assert heard == [1, 0, "disconnect"]


def test_a_reason_and_its_description_are_told() -> None:
    driver = drive_app()
    heard: list[Any] = []
    driver.core.on("disconnect", note(heard))
    client, socket = driver.join()
    socket.on("disconnect", note(heard, "own"))
    client.lose("message too large")
    assert heard == [("transport error", "message too large"), ("own", "transport error", "message too large")]


def test_disconnecting_again_within_the_handlers_of_the_end() -> None:
    driver = drive_app()
    heard: list[str] = []

    def again(socket: Socket, reason: str) -> None:
        heard.append(reason)
        socket.disconnect()
        socket.disconnect(close=True)
        socket.emit("unheard")
        socket.join("room")

    driver.core.on("disconnecting", again)
    driver.core.on("disconnect", again)
    client, socket = driver.join()
    socket.disconnect()
    driver.settle()
    assert heard == ["server namespace disconnect"] * 2
    assert client.take() == ["41"]
    assert client.session.open
    assert socket.rooms == frozenset()


def test_what_a_client_sent_before_the_application_disconnected_it() -> None:
    """The application decided: nothing more of this client is handled, not even what is already here."""
    driver = drive_app()
    gate = driver.gate()
    heard: list[Any] = []

    @driver.core.on("x")
    async def expel(socket: Socket) -> None:
        await gate
        socket.disconnect()

    driver.core.on("y", note(heard, "y"))
    driver.core.on("disconnect", note(heard))
    client, _ = driver.join()
    client.emit("x")
    client.emit("y")
    driver.open(gate)
    assert heard == [("server namespace disconnect", None)]


def test_decode_errors_are_told_to_every_socket() -> None:
    driver = drive_app()
    heard: list[str] = []
    for namespace in (driver.core.sockets, driver.core.of("/other")):
        namespace.on("error", lambda socket, error: heard.append(f"{socket.namespace.name} {type(error).__name__}"))
        namespace.on("disconnect", lambda socket, reason: heard.append(f"{socket.namespace.name} {reason}"))
    client, _ = driver.join()
    client.connect("/other")
    client.send("4nonsense")
    assert heard == ["/ ParseError", "/other ParseError", "/ forced close", "/other forced close"]
    assert driver.failures == []


# -- names


def test_wire_names_and_lifecycle_names_do_not_meet() -> None:
    driver = drive_app()
    heard: list[Any] = []
    io = driver.core
    for name in ("connection", "error", "new_namespace"):
        io.on(name, note(heard, "lifecycle", name))
        io.on(name, note(heard, "wire", name), wire=True)
    client, socket = driver.join()
    socket.on("error", note(heard, "own lifecycle"))
    socket.on("error", note(heard, "own wire"), wire=True)
    socket.on("connection", note(heard, "own wire connection"))
    assert heard == [("lifecycle", "connection")]
    heard.clear()
    for name in ("connection", "error", "new_namespace", "any"):
        client.emit(name)
    assert heard == [
        ("wire", "connection"),
        ("own wire connection",),
        ("wire", "error"),
        ("own wire",),
        ("wire", "new_namespace"),
    ]
    io.off("error", wire=True)
    socket.off("error", wire=True)
    heard.clear()
    client.emit("error")
    assert heard == []
    client.send("4nonsense")
    assert [each[:2] for each in heard[:2]] == [("lifecycle", "error"), ("own lifecycle", heard[1][1])]


def test_connect_is_connection() -> None:
    driver = drive_app()
    heard: list[str] = []

    @driver.core.on("connect")
    def connect(socket: Socket) -> None:
        heard.append("connect")

    driver.core.on("connection", lambda socket: heard.append("connection"))
    driver.join()
    assert heard == ["connect", "connection"]
    driver.core.off("connect", connect)
    driver.join()
    assert heard == ["connect", "connection", "connection"]


def test_once_and_off() -> None:
    driver = drive_app()
    heard: list[Any] = []
    io = driver.core
    io.once("connection", note(heard, "once connected"))

    @io.once("x")
    def once(socket: Socket) -> None:
        heard.append("once")

    @io.on("x")
    def always(socket: Socket) -> None:
        heard.append("always")

    client, socket = driver.join()
    driver.join()
    socket.once("x", lambda: heard.append("own once"))
    client.emit("x")
    client.emit("x")
    assert heard == [("once connected",), "once", "always", "own once", "always"]
    io.off("x", always)
    io.off("never")
    client.emit("x")
    assert len(heard) == 5


@pytest.mark.parametrize("name", ["disconnecting", "disconnect", "connect", "newListener", "removeListener"])
def test_names_that_no_client_can_send(name: str) -> None:
    driver = drive_app()
    with pytest.raises(ReservedEventError):
        driver.core.on(name, print, wire=True)
    _, socket = driver.join()
    if name not in ("disconnecting", "disconnect"):
        with pytest.raises(ReservedEventError):
            socket.on(name, print)


def test_handlers_that_make_no_sense() -> None:
    io = drive_app().core
    with pytest.raises(LocalProtocolError, match="callable"):
        io.on("x", 7)  # type: ignore[call-overload]
    with pytest.raises(LocalProtocolError, match="str"):
        io.on(7, print)  # type: ignore[call-overload]
    with pytest.raises(LocalProtocolError, match="'needed'"):

        @io.on("x")
        def needs(socket: Socket, *, needed: int) -> None: ...


# -- back-pressure


@BOTH
def test_a_handler_that_lags_stops_the_reading(transport: str) -> None:
    driver = drive_app(hooks={"max_parked": 5000})
    gates: list[Pending[Any]] = []
    heard: list[int] = []

    @driver.core.on("x")
    async def slow(socket: Socket, number: int, text: str) -> None:
        gates.append(driver.gate())
        await gates[-1]
        heard.append(number)

    client, socket = driver.join(transport)
    session = socket.conn
    sent = 0
    while not session.paused:
        client.emit("x", sent, "t" * 400)
        sent += 1
        assert sent < 30
    assert 5000 // 700 <= sent <= 5000 // 400 + 1
    if transport == "websocket":
        assert not client.opening.reading
        pending = None
    else:
        # The next POST waits for its answer, and holds the client back that way.
        pending = client.post('42["x",99,""]')
        assert pending.response is None
    # Reading begins again when half of it is handled, not before.
    while session.paused:
        assert transport == "polling" or not client.opening.reading
        before = len(heard)
        driver.open(gates.pop())
        driver.settle()
        assert len(heard) == before + 1
    assert sent // 2 - 1 <= len(heard) <= sent // 2 + 2
    driver.advance(0.0)
    if pending is not None:
        assert pending.status == 200
    else:
        assert client.opening.reading
    while gates:
        driver.open(gates.pop())
    assert heard == [*range(sent), *([99] if pending is not None else [])]
    assert socket.client.parked == 0


def test_tiny_events_have_their_weight_as_well() -> None:
    driver = drive_app(hooks={"max_parked": 10_000})
    gate = driver.gate()

    @driver.core.on("x")
    async def slow(socket: Socket) -> None:
        await gate

    client, socket = driver.join()
    for _ in range(50):
        client.emit("x")
    assert socket.conn.paused
    driver.open(gate)
    assert not socket.conn.paused
    assert socket.client.parked == 0


def test_pongs_and_answers_come_through_while_events_wait() -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[Any] = []

    @driver.core.on("x")
    async def slow(socket: Socket) -> None:
        await gate

    client, socket = driver.join()
    client.emit("x")
    for _ in range(100):
        client.emit("y")
    socket.emit_with_ack("ask").on_done(lambda pending: heard.append(pending.result()))
    driver.settle()
    client.send('430["answer"]')
    assert heard == ["answer"]
    driver.advance(300.0)
    assert socket.connected


def test_nobody_is_overdue_while_we_do_not_read() -> None:
    driver = drive_app(hooks={"max_parked": 1000})
    gate = driver.gate()

    @driver.core.on("x")
    async def slow(socket: Socket, text: str) -> None:
        await gate

    client, socket = driver.join(pongs=False)
    client.emit("x", "t" * 1000)
    assert socket.conn.paused
    driver.advance(1000.0)
    assert socket.connected
    driver.open(gate)
    assert not socket.conn.paused
    driver.advance(50.0)
    assert not socket.connected


@BOTH
def test_concurrent_handlers_count_as_well(transport: str) -> None:
    driver = drive_app(hooks={"max_parked": 3000})
    gate = driver.gate()

    @driver.core.on("x", concurrent=True)
    async def slow(socket: Socket, text: str) -> None:
        await gate

    client, socket = driver.join(transport)
    for _ in range(2):
        client.emit("x", "t" * 1000)
    assert not socket.conn.paused
    client.emit("x", "t" * 1000)
    assert socket.conn.paused
    driver.open(gate)
    assert not socket.conn.paused
    assert socket.client.parked == 0


def test_a_session_ends_while_its_events_wait() -> None:
    driver = drive_app(hooks={"max_parked": 1000})
    gate = driver.gate()
    heard: list[str] = []

    @driver.core.on("x")
    async def slow(socket: Socket, text: str) -> None:
        await gate
        heard.append("x")

    driver.core.on("disconnect", lambda socket, reason: heard.append(reason))
    client, socket = driver.join()
    client.emit("x", "t" * 2000)
    assert socket.conn.paused
    client.lose()
    driver.open(gate)
    assert heard == ["x", "transport close"]
    assert socket.client.parked == 0


@BOTH
def test_what_a_gone_client_parked_is_not_handled_after_its_time(transport: str) -> None:
    driver = drive_app(hooks={"max_parked": 1000}, disconnecting_timeout=5.0)
    gate = driver.gate()
    heard: list[Any] = []

    @driver.core.on("x")
    async def slow(socket: Socket, number: int) -> None:
        await gate
        heard.append(number)

    driver.core.on("disconnect", lambda socket, reason: heard.append(reason))
    client, socket = driver.join(transport)
    for number in range(1, 5):
        client.emit("x", number)
    assert socket.conn.paused
    client.lose()
    driver.advance(4.9)
    assert socket.client.parked > 1000
    driver.advance(0.2)
    # What is in hand goes on; the rest is not even kept.
    assert 0 < socket.client.parked < 300
    assert not socket.connected
    driver.open(gate)
    assert heard == [1, "transport close" if transport == "websocket" else "transport error"]
    assert socket.client.parked == 0


def test_what_an_expelled_socket_parked_no_longer_holds_the_others_back() -> None:
    driver = drive_app(hooks={"max_parked": 1000})
    gate = driver.gate()
    heard: list[Any] = []

    @driver.core.of("/slow").on("x")
    async def slow(socket: Socket) -> None:
        await gate
        heard.append("slow")

    driver.core.on("x", lambda socket: heard.append("quick"))
    client, socket = driver.join()
    client.connect("/slow")
    for _ in range(4):
        client.emit("x", namespace="/slow")
    assert socket.conn.paused
    other = next(iter(driver.core.of("/slow").sockets.values()))
    other.disconnect()
    driver.settle()
    assert not socket.conn.paused
    client.emit("x")
    driver.open(gate)
    assert heard == ["quick", "slow"]
    assert socket.client.parked == 0


@pytest.mark.parametrize("event", ["connection", "connect", "disconnecting", "disconnect", "error"])
def test_a_lifecycle_handler_that_needs_more_than_there_is_to_get_is_refused(event: str) -> None:
    driver = drive_app()

    def greedy(one: object, two: object, three: object, four: object) -> None: ...

    with pytest.raises(LocalProtocolError, match=rf"a handler of '{event}' gets \(socket.*\), and greedy needs 4"):
        driver.core.on(event, greedy)
    _, socket = driver.join()
    if event.startswith("disconnect"):
        with pytest.raises(LocalProtocolError, match=r"gets \(reason, description\), and greedy needs 4"):
            socket.on(event, greedy)
    # A client's event of that name may have as many arguments as it likes.
    if event in ("connection", "error"):
        driver.core.on(event, greedy, wire=True)


def test_a_middleware_that_needs_more_than_there_is_to_get_is_refused() -> None:
    driver = drive_app()

    def greedy(one: object, two: object, three: object) -> None: ...

    with pytest.raises(LocalProtocolError, match=r"a middleware of a namespace gets \(socket\), and greedy needs 3"):
        driver.core.use(greedy)
    _, socket = driver.join()
    with pytest.raises(LocalProtocolError, match=r"a middleware of a socket gets \(event, args\)"):
        socket.use(greedy)
