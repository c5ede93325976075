"""Cancellation on curio: at every suspension of a user's task nothing leaks, and no event is lost or doubled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError, Disconnected

curio = pytest.importorskip("curio")

from sioproto_curio import Client, Server, connect  # noqa: E402
from tests.bindings.kernels import (  # noqa: E402
    LATE,
    Interrupted,
    Tripwire,
    cancel,
    check_closed,
    driver_of,
    named,
    run,
    serving,
    settled,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto import Socket

TRANSPORTS: list[Any] = [("websocket",), ("polling",), ("polling", "websocket")]
MOST = 60
"""No scenario here suspends its task that often."""


def sweep(once: Callable[[int], Tripwire]) -> int:
    """Runs a scenario once for each suspension of its task, until there is none of that number; returns how many."""
    for at in range(1, MOST):
        if not once(at).sprung:
            return at - 1
    raise AssertionError("the scenario suspends more often than expected")


@pytest.mark.parametrize("transports", TRANSPORTS, ids="+".join)
def test_a_client_that_is_cancelled_anywhere(transports: Any) -> None:
    def once(at: int) -> Tripwire:
        seen: list[int] = []
        answered: list[int] = []
        clients: list[Client] = []

        async def victim(url: str) -> None:
            client = connect(url, transports=transports, grace=0.1)
            clients.append(client)
            async with client:
                for number in range(3):
                    assert await client.emit_with_ack("number", number) == number
                    answered.append(number)

        async def main() -> None:
            async with serving() as io:

                @io.on("number")
                async def number(socket: Socket, value: int) -> int:
                    seen.append(value)
                    await curio.sleep(0)
                    return value

                task = await curio.spawn(victim, url_of(io))
                await task.wait()
                assert task.cancelled is (True if wire.sprung else None)
                task.joined = True
                # Where the second wait of its end was cut short, the end comes all the same.
                driver = driver_of(clients[0])
                assert await settled(lambda: not driver.running and driver._pump.terminated)
                check_closed(clients[0])
                assert await settled(lambda: not io.wire.connections)
            assert seen == sorted(set(seen))
            assert answered == seen[: len(answered)]

        wire = Tripwire(at, named("victim"), cancel)
        run(main, wire)
        return wire

    assert sweep(once) > 4


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_a_server_that_is_cancelled_closes_gracefully(how: str) -> None:
    async def main() -> None:
        io = Server(grace=30, ping_interval=300.0)
        done: list[str] = []
        go_on = curio.Event()

        @io.on("slow")
        async def slow(socket: Socket) -> str:
            done.append("begins")
            await go_on.wait()
            done.append("ends")
            return "yes"

        io.on("disconnect", lambda socket, reason: done.append(reason))
        if how == "cancelled":
            task = await curio.spawn(io.serve, "127.0.0.1", 0)
        else:
            task = await curio.spawn(curio.ignore_after, 0.3, io.serve, "127.0.0.1", 0)
        assert await settled(lambda: io.addresses)
        async with connect(url_of(io), reconnection=False, grace=0.1) as client:
            answer = client.emit_with_ack("slow")
            assert await settled(lambda: done)
            if how == "cancelled":
                await task.cancel(blocking=False)
            assert await settled(lambda: not io.addresses)
            # The listener is gone, the handler is not.
            assert done == ["begins"]
            await go_on.set()
            assert await answer == "yes"
            await client.wait()
        await task.wait()
        task.joined = True
        assert done == ["begins", "ends", "server shutting down"]
        check_closed(io)

    run(main)


def test_the_end_comes_also_when_nobody_waits_for_it() -> None:
    def once(at: int) -> Tripwire:
        async def main() -> None:
            io = Server(grace=0.2, ping_interval=300.0)

            @io.on("endless")
            async def endless(socket: Socket) -> None:
                await curio.sleep(1000)

            async def victim() -> None:
                await io.close()

            async with curio.TaskGroup(wait=None) as group:
                await group.spawn(io.serve, "127.0.0.1", 0)
                assert await settled(lambda: io.addresses)
                async with connect(url_of(io), reconnection=False, grace=0.1) as client:
                    client.emit("endless")
                    assert await settled(lambda: driver_of(io).tasks)
                    task = await curio.spawn(victim)
                    await task.wait()
                    task.joined = True
                    await client.wait()
                assert await settled(lambda: driver_of(io)._pump.terminated)
            check_closed(io)

        wire = Tripwire(at, named("victim"), cancel)
        run(main, wire)
        return wire

    assert sweep(once) >= 1


def test_a_handler_that_is_cancelled_anywhere() -> None:
    def once(at: int) -> Tripwire:
        async def main() -> None:
            handled: list[int] = []
            async with serving() as io:

                @io.on("number")
                async def number(socket: Socket, value: int) -> int:
                    if value == 0:
                        await io.sleep(0)
                        await curio.sleep(0)
                        assert await socket.emit_with_ack("question") == "answer"
                    handled.append(value)
                    return value

                async with connect(url_of(io), ack_timeout=None, grace=0.1) as client:
                    client.on("question", lambda: "answer")
                    client.emit("number", 0)
                    # The lane of the socket goes on.
                    assert await client.emit_with_ack("number", 1) == 1
                    assert handled in ([1], [0, 1])
                    assert (handled == [1]) is wire.sprung

        first: list[Any] = []

        def is_first(task: Any) -> bool:
            if not first and named("_user")(task):
                first.append(task)
            return first == [task]

        wire = Tripwire(at, is_first, cancel)
        run(main, wire)
        return wire

    assert sweep(once) == 3


def test_a_waiter_that_gives_up_takes_nothing_from_the_others() -> None:
    async def main() -> None:
        async with serving() as io:
            go_on = curio.Event()

            @io.on("question")
            async def question(socket: Socket) -> str:
                await go_on.wait()
                return "answer"

            async with connect(url_of(io)) as client:
                answer = client.emit_with_ack("question")

                async def wait() -> str:
                    return str(await answer)

                waiting = [await curio.spawn(wait) for _ in range(3)]
                assert await settled(lambda: all(task.state == "FUTURE_WAIT" for task in waiting))
                await waiting[1].cancel()
                with pytest.raises(curio.TaskTimeout):
                    async with curio.timeout_after(0.01):
                        await answer
                assert len(answer._callbacks) == 2
                await go_on.set()
                assert [await task.join() for task in (waiting[0], waiting[2])] == ["answer"] * 2
                assert await answer == "answer"

    run(main)


def test_hundreds_of_waiters_that_are_woken_at_once() -> None:
    async def main() -> None:
        async with serving() as io:

            async def wait(seconds: float) -> None:
                await io.sleep(seconds)

            waiting = [await curio.spawn(wait, 0.05) for _ in range(2000)]
            for task in waiting:
                await task.join()

    run(main)


EVERYWHERE = [*range(1, 30, 2), *range(30, 160, 11)]
"""A sample: the scenario suspends some 260 times in all."""


def test_a_kernel_whose_main_task_ends_anywhere() -> None:
    """Whichever task suspends for the k-th time: after that the kernel cancels them all."""

    def once(at: int) -> Tripwire:
        over: list[Any] = []

        async def main() -> None:
            story = await curio.spawn(talk, daemon=True)
            while not over and not story.terminated:
                await curio.sleep(0)

        wire = Tripwire(at, lambda task: not named("_timeout_after_func")(task), lambda _, task: over.append(task))
        run(main, wire, may_stay=EVERYTHING)
        return wire

    assert sum(once(at).sprung for at in EVERYWHERE) > 20


def test_a_kernel_that_is_interrupted_anywhere() -> None:
    """Ctrl-C where nobody watches signals: the kernel cancels all tasks then, the newest first."""

    def once(at: int) -> Interrupted:
        selector = Interrupted(at)
        run(talk, selector=selector, may_stay=EVERYTHING)
        return selector

    assert sum(once(at).sprung for at in EVERYWHERE) > 20


def test_who_waits_for_a_server_hears_of_the_end_of_the_kernel_alone() -> None:
    """curio cancels its tasks in the order of their age, so the connection is gone before its user is cancelled."""
    told: list[BaseException] = []

    async def main() -> None:
        async with connect(url, grace=0.1) as client:
            try:
                waiting.append(client)
                await client.emit_with_ack("endless")
            except BaseException as error:
                told.append(error)
                raise

    waiting: list[Any] = []
    ready, over = threading.Event(), threading.Event()
    url = ""

    def serve() -> None:
        async def serving_there() -> None:
            nonlocal url
            async with serving() as io:
                io.on("endless", lambda socket: curio.sleep(1000))
                url = url_of(io)
                ready.set()
                assert await settled(over.is_set)

        curio.run(serving_there)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        assert ready.wait(LATE)
        run(main, selector=Interrupted(when=lambda: bool(waiting)))
    finally:
        over.set()
        thread.join()
    assert [type(error) for error in told] == [curio.TaskCancelled]


EVERYTHING = ("talk", "ask", "CurioDriver._live", "CurioDriver._accept", "CurioDriver._user", "Carrier._live")


async def talk() -> None:
    """A server and its clients of every kind, with handlers that wait."""
    io = Server(grace=0.5, ping_interval=300.0, on_error=lambda error, where: None)

    @io.on("number")
    async def number(socket: Socket, value: int) -> int:
        await curio.sleep(0)
        return value

    @io.on("endless", concurrent=True)
    async def endless(socket: Socket) -> None:
        await curio.sleep(1000)

    @io.on("disconnect")
    async def disconnected(socket: Socket, reason: str) -> None:
        await curio.sleep(0)

    async with io.listening(port=0):
        for transports in TRANSPORTS:
            try:
                async with connect(url_of(io), transports=transports, grace=0.1) as client:
                    client.emit("endless")
                    for value in range(3):
                        assert await client.emit_with_ack("number", value) == value
            except (ConnectError, Disconnected):
                return  # the server was gone first
