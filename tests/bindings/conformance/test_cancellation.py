"""The main task of an application is cancelled, wherever it waits: nothing leaks, and peers see an ordinary end."""

from __future__ import annotations

import socket as sockets
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError
from tests.bindings.flavours import Interrupted, in_thread
from tests.bindings.live import LATE
from tests.bindings.scene import Server, eventually, gathered

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sioproto import Socket, app
    from tests.bindings.flavours import LoopFlavour
    from tests.bindings.scene import Scene

pytestmark = pytest.mark.feature("cancellation")

NUMBERS = 3
twice = pytest.mark.parametrize("again", [(), (1,), (1, 2)], ids=["once", "twice", "thrice"])
"""How many suspensions later it is cancelled once more, while it cleans up."""


def play(flavour: LoopFlavour, hosted: Any, script: Coroutine[Any, Any, None], *numbers: int) -> int:
    """Runs a script whose task is cancelled at those suspensions; returns how many it had, once nothing is left of it.

    What ends goes on ending when whoever waited for that is cancelled, as long as the loop runs.
    """
    suspensions = 0

    async def main() -> None:
        nonlocal suspensions
        interrupted = Interrupted(flavour, script, *numbers)
        try:
            await interrupted
        except flavour.cancelled:
            pass
        suspensions = interrupted.suspensions
        end = time.monotonic() + LATE
        while hosted._driver.running or hosted.wire.connections or await flavour.leftovers():
            assert time.monotonic() < end, await flavour.leftovers()
            await flavour.rest()

    flavour.run(main)
    return suspensions


def handlers(io: app.Server, log: list[tuple[str, ...]], numbers: dict[str, list[int]]) -> None:
    """Writes down who comes, what they say, and who goes."""

    @io.on("connection")
    def connected(socket: Socket) -> None:
        log.append((socket.id, "connection"))

    @io.on("number")
    def number(socket: Socket, value: int) -> int:
        numbers.setdefault(socket.id, []).append(value)
        return value

    @io.on("disconnect")
    def disconnected(socket: Socket, reason: str) -> None:
        log.append((socket.id, "disconnect"))


@twice
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_a_client(scene: Scene, loop_runtime: LoopFlavour, transport: str, again: tuple[int, ...]) -> None:
    scene.sleeping = True
    log: list[tuple[str, ...]] = []
    numbers: dict[str, list[int]] = {}
    server = scene.server(loop_runtime, lambda io: handlers(io, log, numbers))
    for at in count(1):
        log.clear()
        numbers.clear()
        client = scene.make_client(loop_runtime, server.url, transports=(transport,), grace=0.5)
        finished: list[int] = []

        async def script(client: Any = client.hosted, finished: list[int] = finished) -> None:
            async with client:
                for number in range(NUMBERS):
                    assert await client.emit_with_ack("number", number) == number
                client.emit("number", NUMBERS)
                await client.sleep(0.001)
            finished.append(1)

        suspensions = play(loop_runtime, client.hosted, script(), at, *(at + later for later in again))
        # The server knows nobody any more, whoever came has gone, and what was said came in order.
        eventually(lambda: server.sessions == 0)
        assert [what for _, what in log] in ([], ["connection", "disconnect"])
        said = [value for values in numbers.values() for value in values]
        assert said == list(range(len(said)))
        if suspensions < at:
            assert finished == [1]
            assert said == list(range(NUMBERS + 1))
            assert at > NUMBERS
            break


@twice
def test_a_server(scene: Scene, loop_runtime: LoopFlavour, again: tuple[int, ...]) -> None:
    scene.sleeping = True
    for at in count(1):
        finished: list[int] = []
        listener = sockets.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        guest = scene.make_server(loop_runtime, grace=0.5)
        assert isinstance(guest, Server)
        client = scene.make_client(loop_runtime, url, reconnection=False)
        rows = scene.record(f"rows {at}", client.hosted, "connect", "disconnect")
        numbers = scene.log(f"numbers {at}")
        client.hosted.on("number", numbers.append)
        coming = in_thread(client.start)

        async def script(io: Any = guest.hosted, listener: Any = listener, finished: list[int] = finished) -> None:
            async with io.listening(sock=listener):
                there = io.sleep(LATE)
                io.on("connection", lambda socket: there.resolve(None))
                await there
                for number in range(NUMBERS):
                    await io.timeout(LATE).emit_with_ack("number", number)
                io.emit("number", NUMBERS)
                await io.sleep(0.001)
            finished.append(1)

        suspensions = play(loop_runtime, guest.hosted, script(), at, *(at + later for later in again))
        listener.close()
        try:
            coming.result(2 * LATE)
        except ConnectError:
            assert rows == []
        else:
            gathered(rows, 2)
            assert [row[0] for row in rows] == ["connect", "disconnect"]
            client.stop()
        assert numbers == list(range(len(numbers)))
        if suspensions < at:
            assert finished == [1]
            assert numbers == list(range(NUMBERS + 1))
            assert at > NUMBERS
            break
