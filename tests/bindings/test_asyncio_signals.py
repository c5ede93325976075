"""``run`` and ``serve(signals=True)`` in a process of their own: what SIGINT and SIGTERM do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sioproto_asyncio import Server
from tests.bindings.live import LATE, settled
from tests.bindings.loops import LIMIT, LOOPS
from tests.bindings.raw import Connection, Ended, Polling, WebSockets, head

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")

ROOT = Path(__file__).resolve().parent.parent.parent
SIGNALS = [signal.SIGINT, signal.SIGTERM]
CLIENTS = 1000
BATCH = 50


class Application:
    """The process of ``application.py``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.address = ("127.0.0.1", 0)

    async def line(self) -> str:
        """Returns the next line that it says."""
        assert self.process.stdout is not None
        return (await self.process.stdout.readline()).decode().strip()

    async def end(self) -> tuple[int, str, str]:
        """Waits for its end; returns the exit code, the rest of what it said, and what it said on standard error."""
        out, errors = await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode, out.decode().strip(), errors.decode()


@asynccontextmanager
async def application(grace: float, loop: str = "asyncio") -> AsyncIterator[Application]:
    """Runs the application for the length of a block."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bindings")])}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        str(Path(__file__).with_name("application.py")),
        str(grace),
        loop,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
    )
    started = Application(process)
    try:
        started.address = ("127.0.0.1", int(await started.line()))
        yield started
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def websocket(address: tuple[str, int]) -> WebSockets:
    """Opens a session over WebSocket and joins the main namespace."""
    client = WebSockets(address)
    await client.open()
    await client.join()
    return client


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("loop", LOOPS)
def test_a_signal_ends_gracefully(number: signal.Signals, loop: str) -> None:
    async def main() -> None:
        async with application(4 * LATE, loop) as app:
            client = await websocket(app.address)
            await client.send('421["slow",0.3]')
            assert await app.line() == "slow begins"
            app.process.send_signal(number)
            # The listener is gone, the handler is not.
            await settled_refused(app.address)
            assert await client.receive() == '431["done"]'
            assert await client.ended() == 1005
            assert await app.end() == (0, "slow ends\nend {'server shutting down': 1}", "")
            await client.hang_up()

    asyncio.run(asyncio.wait_for(main(), LIMIT))


async def settled_refused(address: tuple[str, int]) -> None:
    """Waits until nobody listens any more."""
    end = time.monotonic() + LATE
    while time.monotonic() < end:
        try:
            connection = await Connection.open(address)
        except ConnectionError:
            return
        await connection.close()
    raise AssertionError("the server goes on listening")


@pytest.mark.parametrize("loop", LOOPS)
def test_a_second_signal_ends_at_once(loop: str) -> None:
    async def main() -> None:
        async with application(4 * LATE, loop) as app:
            client = await websocket(app.address)
            await client.send('42["slow",1000]', '42["slow",1000]')
            assert await app.line() == "slow begins"
            app.process.send_signal(signal.SIGTERM)
            await settled_refused(app.address)
            begun = time.monotonic()
            app.process.send_signal(signal.SIGTERM)
            code, out, errors = await app.end()
            assert time.monotonic() - begun < LATE
            assert (code, errors) == (0, "")
            assert out.startswith("end ")
            await client.hang_up()

    asyncio.run(asyncio.wait_for(main(), LIMIT))


@pytest.mark.parametrize("loop", LOOPS)
def test_gone_within_the_grace_with_a_thousand_clients(loop: str, many_descriptors: None) -> None:
    grace = 2 * LATE

    async def main() -> None:
        async with application(grace, loop) as app:
            told: list[str] = []
            watchers: list[asyncio.Task[None]] = []
            for begin in range(0, CLIENTS, BATCH):
                watchers += await asyncio.gather(*(connect(app, index, told) for index in range(begin, begin + BATCH)))
            begun = time.monotonic()
            app.process.send_signal(signal.SIGTERM)
            code, out, errors = await app.end()
            elapsed = time.monotonic() - begun
            await asyncio.gather(*watchers)
            assert (code, errors) == (0, "")
            assert out == "end {'server shutting down': 750}"
            assert sorted(set(told)) == ["end of file", "polling close", "websocket close"]
            assert [told.count(kind) for kind in sorted(set(told))] == [250, 375, 375]
            assert elapsed < grace / 2

    async def connect(app: Application, index: int, told: list[str]) -> asyncio.Task[None]:
        if index % 4 == 0:
            # One half of these says nothing, the other stops within a request.
            connection = await Connection.open(app.address)
            if index % 8:
                await connection.send(head("GET", "/socket.io/")[:-2])
            return asyncio.create_task(watch_half_open(connection, told))
        client = WebSockets(app.address) if index % 8 < 4 else Polling(app.address)
        await client.open()
        await client.join()
        if isinstance(client, Polling):
            held = await client.begin_get()
            return asyncio.create_task(watch_polling(client, held, told))
        return asyncio.create_task(watch_websocket(client, told))

    asyncio.run(asyncio.wait_for(main(), LIMIT))


async def watch_half_open(connection: Connection, told: list[str]) -> None:
    """Notes how a connection without a session ends."""
    await connection.rest()
    told.append("end of file")
    await connection.close()


async def watch_polling(client: Polling, held: Connection, told: list[str]) -> None:
    """Notes how a polling session with a held poll ends."""
    assert (await held.answer()).packets == ["1"]
    told.append("polling close")
    await client.hang_up()


async def watch_websocket(client: WebSockets, told: list[str]) -> None:
    """Notes how a WebSocket session ends."""
    with pytest.raises(Ended) as ended:
        await client.receive()
    assert ended.value.code == 1005
    told.append("websocket close")
    with suppress(Ended):  # the server does not wait long for everybody's part of the closing
        await client.socket.send_frame(8)
    await client.hang_up()


@pytest.mark.parametrize("loop", LOOPS)
def test_a_program_that_goes_on_has_its_signals_back(loop: str) -> None:
    async def main() -> None:
        before = [signal.getsignal(number) for number in SIGNALS]
        io = Server(grace=0.1)
        task = asyncio.create_task(io.serve(port=0, signals=True))
        assert await settled(lambda: io.addresses)
        os.kill(os.getpid(), signal.SIGTERM)
        await task
        after = [signal.getsignal(number) for number in SIGNALS]
        # Of SIGINT the loop has its own idea, which is an exception as well.
        assert after[1] == before[1]
        assert after[0] in (before[0], signal.default_int_handler)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())
