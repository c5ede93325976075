"""Declared events at work: as names, and with a validation that stands before their handlers."""

from __future__ import annotations

import json
from typing import Any, TypedDict

import pytest

from sioproto import (
    Ack,
    AnyEvent,
    BroadcastAnswers,
    Event,
    InvalidPayload,
    LocalProtocolError,
    Pending,
    ReservedEventError,
    Socket,
    data_of,
)
from sioproto.testing import World
from tests.virtual import AppDriver, Client, drive_app

INLINE = pytest.mark.parametrize("inline", [True, False])


def typed(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Takes arguments of the declared types and nothing else; says in the answer which one it is."""
    for number, (wanted, arg) in enumerate(zip(event.types, args, strict=True)):
        if type(arg) is not wanted:
            raise InvalidPayload(f"argument {number} is no {wanted.__name__}", {"error": number})
    return args


message = Event("message", str, int)
ask = Event("ask", str, ack=int)
strict = Event("strict", str, int, ack=int, validate=typed)
doubled = Event("strict", str, int, validate=lambda event, args: (args[0] * 2, args[1] * 2))


def taken(client: Client) -> list[Any]:
    """Returns the events that came, and the acknowledgements."""
    return [json.loads(str(packet).lstrip("0123456789")) for packet in client.take()]


# -- names


def test_handlers_of_a_server() -> None:
    driver = drive_app()
    io, heard = driver.core, list[Any]()

    @io.on(message)
    def said(socket: Socket, text: str, number: int) -> None:
        heard.append((socket.id, text, number))

    @io.once(ask)
    async def asked(socket: Socket, text: str) -> int:
        return len(text)

    client, socket = driver.join()
    socket.on(message, lambda text, number: heard.append((text, number)))
    client.emit("message", "hi", 1)
    assert heard == [(socket.id, "hi", 1), ("hi", 1)]
    client.emit("ask", "four", ack=1)
    client.emit("ask", "none", ack=2)
    assert client.take() == ["431[4]"]
    io.off(message, said)
    client.emit("message", "hi", 2)
    assert heard[2:] == [("hi", 2)]
    socket.off(message)
    client.emit("message", "hi", 3)
    assert len(heard) == 3
    assert driver.failures == []


def test_a_decorated_handler_stays_what_it_was() -> None:
    driver = drive_app()

    def said(socket: Socket, text: str, number: int) -> None: ...

    assert driver.core.on(message)(said) is said
    assert driver.core.on(message, said) is said
    assert driver.core.of("/other").once(message)(said) is said


def test_everything_sends_by_name() -> None:
    driver = drive_app()
    io = driver.core
    client, socket = driver.join()
    socket.join("room")
    io.emit(message, "io", 1)
    io.sockets.emit(message, "namespace", 1)
    io.to("room").emit(message, "room", 1)
    socket.emit(message, "socket", 1)
    socket.volatile.emit(message, "volatile", 1)
    driver.settle()
    assert taken(client) == [["message", each, 1] for each in ("io", "namespace", "room", "socket", "volatile")]
    answers: list[Pending[Any]] = [
        socket.emit_with_ack(ask, "?"),
        socket.timeout(5).emit_with_ack(ask, "?"),
        io.emit_with_ack(ask, "?"),
        io.to("room").emit_with_ack(ask, "?"),
    ]
    driver.settle()
    packets = client.take()
    for number, packet in enumerate(packets):
        assert str(packet).endswith('["ask","?"]')
        client.send("43" + str(packet)[2:].partition("[")[0] + f"[{number}]")
    results = [pending.result() for pending in answers]
    assert results[:2] == [0, 1]
    assert [result.answers for result in results[2:]] == [{socket.id: 2}, {socket.id: 3}]
    assert isinstance(results[2], BroadcastAnswers)


def test_outgoing_observers_see_the_name() -> None:
    driver = drive_app()
    _, socket = driver.join()
    seen: list[Any] = []
    socket.on_any_outgoing(lambda *args: seen.append(args))
    socket.emit(message, "a", 1)
    driver.core.emit(message, "b", 2)
    assert seen == [("message", "a", 1), ("message", "b", 2)]


def test_a_declared_event_is_about_the_wire_whatever_its_name() -> None:
    driver = drive_app()
    io, heard = driver.core, list[Any]()
    error = Event("error", str)
    io.on(error, lambda socket, text: heard.append(text))
    io.on("error", lambda socket, error: heard.append(type(error)))
    client, _ = driver.join()
    client.emit("error", "from the client")
    assert heard == ["from the client"]
    io.off(error)
    client.emit("error", "again")
    client.send("4nonsense")
    assert heard[1:] != ["again"]
    assert len(heard) == 2


def test_names_that_nobody_may_use() -> None:
    driver = drive_app()
    _, socket = driver.join()
    reserved = Event("disconnect", str)
    for call in (driver.core.on, socket.on, driver.core.once):
        with pytest.raises(ReservedEventError):
            call(reserved)
    for emit in (driver.core.emit, socket.emit, socket.volatile.emit, driver.core.to("a").emit):
        with pytest.raises(ReservedEventError):
            emit(reserved, "x")


def test_a_handler_that_needs_more_than_is_declared_is_refused() -> None:
    driver = drive_app()
    _, socket = driver.join()

    def greedy(socket: Any, text: str, number: int, more: int) -> None: ...

    with pytest.raises(LocalProtocolError, match=r"'message' gets \(socket, str, int\), and greedy needs 4"):
        driver.core.on(message, greedy)  # type: ignore[arg-type]  # a handler that asks for too much
    with pytest.raises(LocalProtocolError, match=r"'message' gets \(str, int\), and greedy needs 4"):
        socket.on(message)(greedy)  # type: ignore[arg-type]  # a handler that asks for too much


def test_a_client_in_a_world() -> None:
    with World(seed=1) as world:
        io = world.server()
        heard: list[Any] = []

        @io.on(ask)
        async def asked(socket: Socket, text: str) -> int:
            return await socket.emit_with_ack(ask, text * 2)

        client = world.client()

        @client.on(ask)
        def asked_back(text: str) -> int:
            return len(text)

        @client.once(message)
        def said(text: str, number: int) -> None:
            heard.append((text, number))

        world.settle()
        assert world.result(client.emit_with_ack(ask, "ab")) == 4
        client.off(ask)
        io.emit(message, "hi", 1)
        io.emit(message, "hi", 2)
        [other] = world.result(io.fetch_sockets())
        other.emit(message, "hi", 3)
        world.settle()
        assert heard == [("hi", 1)]


# -- validation


def strict_app(heard: list[Any], *, inline: bool = True) -> AppDriver:
    """Returns a server that answers ``strict`` and notes its errors."""
    driver = drive_app(inline=inline, hooks={"on_error": lambda error, where: heard.append((str(error), where))})

    @driver.core.on(strict)
    def handle(socket: Socket, text: str, number: int) -> int:
        heard.append((text, number))
        return number + 1

    return driver


@INLINE
def test_what_fits_is_handled(inline: bool) -> None:
    heard: list[Any] = []
    driver = strict_app(heard, inline=inline)
    client, _ = driver.join()
    client.emit("strict", "a", 1, ack=7)
    assert heard == [("a", 1)]
    assert client.take() == ["437[2]"]


@INLINE
def test_what_does_not_fit_is_one_error_before_the_handler(inline: bool) -> None:
    heard: list[Any] = []
    driver = strict_app(heard, inline=inline)
    client, socket = driver.join()
    socket.on("error", lambda error: heard.append(error))
    driver.core.on("error", lambda socket, error: heard.append(error.answer))
    client.emit("strict", "a", "1", ack=7)
    (text, where), answer, error = heard
    assert (text, where) == ("argument 1 is no int", "event 'strict' in /")
    assert answer == {"error": 1}
    assert isinstance(error, InvalidPayload)
    assert client.take() == ['437[{"error":1}]']
    client.emit("strict", "a", "1")
    assert client.take() == []
    assert len(heard) == 6
    client.emit("strict", "a", 1, ack=8)
    assert client.take() == ["438[2]"]


def test_what_is_answered_is_chosen_by_the_application() -> None:
    driver = drive_app()
    answers: list[Any] = [None, (1, 2), [3], ...]

    def reject(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
        raise InvalidPayload("no", answers.pop(0))

    driver.core.on(Event("x", validate=reject), lambda socket: None)
    client, _ = driver.join()
    for ack_id in range(4):
        client.emit("x", ack=ack_id)
    assert client.take() == ["430[]", "431[1,2]", "432[[3]]", '433[{"error":"invalid payload"}]']
    assert driver.failures == ["InvalidPayload: event 'x' in /"] * 4


def test_an_answer_that_cannot_be_sent_is_reported() -> None:
    driver = drive_app()

    def reject(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
        raise InvalidPayload("no", object())

    driver.core.on(Event("x", validate=reject), lambda socket: None)
    client, _ = driver.join()
    client.emit("x", ack=1)
    assert client.take() == []
    assert driver.failures == ["LocalProtocolError: event 'x' in /"]


def test_a_validation_that_returns_nonsense_is_the_programs_fault() -> None:
    driver = drive_app()
    nonsense: Any = lambda event, args: "no"  # noqa: E731  # so that no type checker finds it first
    driver.core.on(Event("x", validate=nonsense), lambda socket: None)
    client, socket = driver.join()
    socket.on("error", lambda error: pytest.fail("the client did nothing wrong"))
    client.emit("x", ack=1)
    assert client.take() == []
    assert driver.failures == ["LocalProtocolError: event 'x' in /"]


def test_each_event_judges_once_for_all_its_handlers() -> None:
    driver = drive_app()
    io, heard = driver.core, list[Any]()
    judged: list[Any] = []

    def counted(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
        judged.append(args)
        return typed(event, args)

    event = Event("strict", str, int, validate=counted)
    io.on(event, lambda socket, text, number: heard.append(("io", text, number)))
    io.on(doubled, lambda socket, text, number: heard.append(("doubled", text, number)))
    io.on("strict", lambda socket, *args: heard.append(("plain", *args)))
    client, socket = driver.join()
    socket.on(event, lambda text, number: heard.append(("socket", text, number)))
    client.emit("strict", "a", 1)
    assert heard == [("io", "a", 1), ("doubled", "aa", 2), ("plain", "a", 1), ("socket", "a", 1)]
    assert judged == [("a", 1)]
    heard.clear()
    client.emit("strict", "a", "1")
    assert heard == [("doubled", "aa", "11"), ("plain", "a", "1")]
    assert len(judged) == 2
    assert driver.failures == ["InvalidPayload: event 'strict' in /"]


def test_the_first_registered_answers_be_it_with_a_rejection() -> None:
    driver = drive_app()
    io = driver.core
    io.on(strict, lambda socket, text, number: 1)
    io.on("strict", lambda socket: "plain")
    io.on("other", lambda socket: "plain")
    io.on(Event("other", str, ack=int, validate=typed), lambda socket, text: 1)

    @io.on("strict")
    def by_hand(socket: Socket, *, ack: Ack | None) -> None:
        assert ack is None

    client, _ = driver.join()
    client.emit("strict", 5, 5, ack=1)
    client.emit("other", 5, ack=2)
    assert client.take() == ['431[{"error":0}]', '432["plain"]']


def test_a_rejected_event_still_passes_catch_alls_and_middlewares() -> None:
    heard: list[Any] = []
    driver = strict_app(heard)
    driver.core.on_any(lambda socket, name, *args: heard.append((name, *args)))
    client, socket = driver.join()

    @socket.use
    def mend(event: str, args: list[Any]) -> None:
        args[1] = int(args[1])

    client.emit("strict", "a", "1")
    assert heard == [("strict", "a", "1"), ("a", 1)]


def test_validation_on_a_client() -> None:
    with World(seed=1) as world:
        io = world.server()
        heard: list[Any] = []
        client = world.client(on_error=lambda error, where: heard.append((type(error), where)))

        @client.on(strict)
        async def handle(text: str, number: int) -> int:
            return number + 1

        world.settle()
        [socket] = io.of("/").sockets.values()
        assert world.result(socket.emit_with_ack(strict, "a", 1)) == 2
        assert world.result(socket.emit_with_ack("strict", "a", "1")) == {"error": 1}
        assert heard == [(InvalidPayload, "event 'strict' in /")]


def test_a_concurrent_handler_is_validated_as_well() -> None:
    driver = drive_app()
    heard: list[Any] = []

    @driver.core.on(strict, concurrent=True)
    async def handle(socket: Socket, text: str, number: int) -> int:
        heard.append((text, number))
        return number + 1

    client, _ = driver.join()
    client.emit("strict", "a", 1, ack=1)
    client.emit("strict", 1, "a", ack=2)
    assert client.take() == ["431[2]", '432[{"error":0}]']
    assert heard == [("a", 1)]


# -- data


class Data(TypedDict, total=False):
    """What is kept of a client."""

    user: str


def test_data_is_the_very_dict() -> None:
    driver = drive_app()
    _, socket = driver.join()
    data_of(socket, Data)["user"] = "Ada"
    assert socket.data == {"user": "Ada"}
    assert data_of(socket, Data) is socket.data


def test_data_is_described_by_a_typed_dict() -> None:
    driver = drive_app()
    _, socket = driver.join()
    with pytest.raises(LocalProtocolError, match="TypedDict, not by <class 'dict'>"):
        data_of(socket, dict)
