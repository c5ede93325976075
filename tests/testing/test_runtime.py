"""Coroutines without an event loop: what they may wait for, what they are told otherwise, and their order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import LocalProtocolError, Pending
from sioproto.testing import HandlerFailed, World
from sioproto.testing.runtime import Party

if TYPE_CHECKING:
    from collections.abc import Generator

    from sioproto import Socket


def failure_of(world: World, handler: Any) -> BaseException:
    """Returns what a handler of an event fails with."""
    io = world.server()
    io.on("message", handler)
    world.client().emit("message")
    with pytest.raises(HandlerFailed) as caught:
        world.advance(1)
    cause = caught.value.__cause__
    assert cause is not None
    return cause


async def wait_for_the_loop(socket: Socket) -> None:
    await asyncio.Event().wait()


async def wait_with_a_timeout(socket: Socket) -> None:
    async with asyncio.timeout(1):
        await asyncio.Event().wait()


async def look_for_a_library(socket: Socket) -> None:
    raise RuntimeError("unknown async library, or not in async context")  # what anyio and trio find out


async def make_a_task(socket: Socket) -> None:
    wait = asyncio.sleep(0)
    try:
        asyncio.create_task(wait)  # noqa: RUF006  # it is never made
    finally:
        wait.close()


@pytest.mark.parametrize("handler", [wait_for_the_loop, wait_with_a_timeout, make_a_task, look_for_a_library])
def test_what_needs_an_event_loop_is_explained(world: World, handler: Any) -> None:
    error = failure_of(world, handler)
    assert "io.sleep(seconds)" in error.__notes__[0]


async def yield_to_the_loop(socket: Socket) -> None:
    await asyncio.sleep(0)


class Trap:
    """What curio's coroutines wait with."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield ("_trap_sleep", 1)


async def trap(socket: Socket) -> None:
    await Trap()


@pytest.mark.parametrize(
    ("handler", "what"), [(yield_to_the_loop, "nothing in particular"), (trap, "a builtins.tuple")]
)
def test_what_is_not_ours_is_refused_in_place(world: World, handler: Any, what: str) -> None:
    error = failure_of(world, handler)
    assert isinstance(error, LocalProtocolError)
    assert f"waits for {what}" in str(error)
    assert "io.sleep(seconds)" in str(error)


def test_a_coroutine_may_go_on_after_that(world: World) -> None:
    async def insist() -> str:
        for _ in range(3):
            with pytest.raises(LocalProtocolError):
                await asyncio.sleep(0)
        await world.sleep(1)
        return "done"

    assert world.result(world.spawn(insist)) == "done"


def test_any_number_may_wait_for_one_pending(world: World) -> None:
    io = world.server()
    gate = io.sleep(5)
    order: list[str] = []

    async def wait(name: str) -> None:
        await gate
        order.append(name)

    for name in "abc":
        world.spawn(wait, name)
    world.advance(4)
    assert order == []
    world.advance(1)
    assert order == ["a", "b", "c"]
    world.result(world.spawn(wait, "late"))
    assert order[-1] == "late"


def test_handlers_of_one_socket_run_in_order_and_those_of_others_beside(world: World) -> None:
    io = world.server()
    order: list[Any] = []

    @io.on("message")
    async def message(socket: Socket, value: str, seconds: float) -> None:
        await io.sleep(seconds)
        order.append(value)

    alice, bob = world.client(), world.client()
    alice.emit("message", "a1", 3)
    alice.emit("message", "a2", 0)
    bob.emit("message", "b1", 1)
    world.advance(10)
    assert order == ["b1", "a1", "a2"]


def test_a_handler_may_wait_for_its_own_client(world: World) -> None:
    io = world.server()

    @io.on("message")
    async def message(socket: Socket) -> str:
        answer: str = await socket.emit_with_ack("question")
        await socket.drained()
        return answer * 2

    alice = world.client()

    @alice.on("question")
    async def question() -> str:
        await alice.sleep(1)
        return "yes"

    assert world.result(alice.emit_with_ack("message")) == "yesyes"


def test_a_pending_of_no_world_says_so(world: World) -> None:
    async def wait() -> None:
        await Pending()

    with pytest.raises(LocalProtocolError, match="without a runtime"):
        world.result(world.spawn(wait))


def test_interrupting_a_test_is_no_failure_of_a_handler() -> None:
    world = World()

    async def interrupt() -> None:
        raise KeyboardInterrupt

    world.spawn(interrupt)
    with pytest.raises(KeyboardInterrupt):
        world.settle()
    world.close()


def test_what_is_sent_in_an_urgent_turn_arrives_later(world: World) -> None:
    io = world.server(drain_mark=100)
    alice = world.client()
    seen: list[Any] = []
    alice.on("n", lambda number, _: seen.append(number))
    world.settle()

    @io.on("go")
    def go(socket: Socket) -> None:
        for number in range(50):
            socket.emit("n", number, "x" * 50)
            assert not seen, "a client's handler was called from within an emit of the server"

    alice.emit("go")
    world.settle()
    assert seen == list(range(50))


def test_order_may_be_drawn() -> None:
    def order(seed: int) -> list[int]:
        world = World(seed=seed, shuffle=True)
        seen: list[int] = []

        async def note(number: int) -> None:
            seen.append(number)

        for number in range(8):
            world.spawn(note, number)
        world.settle()
        return seen

    assert order(1) == order(1)
    assert sorted(order(1)) == list(range(8))
    assert len({tuple(order(seed)) for seed in range(10)}) > 5


def test_a_party_is_a_runtime_of_its_own(world: World) -> None:
    party = world.party("mine")
    assert isinstance(party, Party)
    environment = party.environment
    assert environment.clock() == 0.0
    assert environment.wall() == 1_767_225_600.0
    assert len(environment.ids()) == 20
    assert environment.entropy(5) != environment.entropy(5)
    assert 0 <= environment.jitter() < 1
    world.advance(3)
    assert environment.clock() == 3.0
    assert environment.wall() == 1_767_225_603.0
