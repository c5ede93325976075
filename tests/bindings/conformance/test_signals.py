"""``run`` in a process of its own: what SIGINT and SIGTERM do, with clients of every kind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bindings.live import LATE
from tests.bindings.raw import Connection, Ended, Polling, WebSockets, head
from tests.bindings.scene import OVER, eventually, gathered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bindings.flavours import Flavour
    from tests.bindings.scene import Scene

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")

ROOT = Path(__file__).resolve().parent.parent.parent.parent
CLIENTS = 300
BATCH = 50

feature = pytest.mark.feature
each_signal = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


class Application:
    """The process of ``application.py``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.address = ("127.0.0.1", int(self.line()))
        self.url = f"http://127.0.0.1:{self.address[1]}"

    def line(self) -> str:
        """Returns the next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        """Waits for its end; returns the exit code, the rest of what it said, and what it said on standard error."""
        out, errors = self.process.communicate(timeout=4 * LATE)
        return self.process.returncode, out.strip(), errors


@contextmanager
def application(runtime: Flavour, grace: float) -> Iterator[Application]:
    """Runs the application for the length of a block."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("application.py")), runtime.name, str(grace)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bindings")])},
    ) as process:
        try:
            yield Application(process)
        finally:
            process.kill()


@feature("SIGINT and SIGTERM")
@each_signal
def test_a_signal_ends_gracefully_with_clients_of_every_kind(
    scene: Scene, runtime: Flavour, number: signal.Signals
) -> None:
    grace = 4 * LATE
    with application(runtime, grace) as app:
        ours = [scene.client(runtime, app.url, transports=each, reconnection=False) for each in OVER.values()]
        lost = scene.log("lost")
        for client in ours:
            client.call(client.hosted.on, "disconnect", lambda reason: lost.append(reason))
        asked = ours[0].hosted.from_thread(ours[0].hosted.emit_with_ack, "slow", 0.3)
        assert app.line() == "slow begins"

        async def main() -> tuple[int, str, str]:
            watchers: list[asyncio.Task[None]] = []
            for begin in range(0, CLIENTS, BATCH):
                watchers += await asyncio.gather(*(connect(index) for index in range(begin, begin + BATCH)))
            begun = time.monotonic()
            app.process.send_signal(number)
            ended = await asyncio.to_thread(app.end)
            assert time.monotonic() - begun < grace / 2
            await asyncio.gather(*watchers)
            return ended

        async def connect(index: int) -> asyncio.Task[None]:
            if index % 3 == 0:
                # One half of these says nothing, the other stops within a request.
                connection = await Connection.open(app.address)
                if index % 2:
                    await connection.send(head("GET", "/socket.io/")[:-2])
                return asyncio.create_task(watch_half_open(connection))
            client = WebSockets(app.address) if index % 3 == 1 else Polling(app.address)
            await client.open()
            await client.join()
            if isinstance(client, Polling):
                return asyncio.create_task(watch_polling(client, await client.begin_get()))
            return asyncio.create_task(watch_websocket(client))

        code, out, errors = asyncio.run(main())
        assert asked.result(LATE) == "done"
        gathered(lost, len(ours))
        assert (code, errors) == (0, "")
        assert out == f"slow ends\nend {{'server shutting down': {CLIENTS // 3 * 2 + len(ours)}}}"
        assert lost == ["transport close"] * len(ours)


async def watch_half_open(connection: Connection) -> None:
    """Watches how a connection without a session ends."""
    await connection.rest()
    await connection.close()


async def watch_polling(client: Polling, held: Connection) -> None:
    """Watches how a polling session with a held poll ends."""
    assert (await held.answer()).packets == ["1"]
    await client.hang_up()


async def watch_websocket(client: WebSockets) -> None:
    """Watches how a WebSocket session ends."""
    with pytest.raises(Ended) as ended:
        await client.receive()
    assert ended.value.code == 1005
    with suppress(Ended):  # the server does not wait long for everybody's part of the closing
        await client.socket.send_frame(8)
    await client.hang_up()


@feature("SIGINT and SIGTERM")
@each_signal
def test_a_second_signal_ends_at_once(scene: Scene, runtime: Flavour, number: signal.Signals) -> None:
    with application(runtime, 20 * LATE) as app:
        # Not over polling: whoever polls may need a new connection for what is left.
        client = scene.client(runtime, app.url, reconnection=False, transports=("websocket",))
        client.emit("slow", 1000)
        client.emit("slow", 1000)
        assert app.line() == "slow begins"
        app.process.send_signal(number)
        # It does not listen any more, and waits for its handler.
        eventually(lambda: is_refused(app.address))
        assert client.hosted.connected
        begun = time.monotonic()
        app.process.send_signal(number)
        code, out, errors = app.end()
        assert time.monotonic() - begun < LATE
        assert (code, errors) == (0, "")
        assert out.startswith("end ")


def is_refused(address: tuple[str, int]) -> bool:
    """Returns whether nobody listens."""

    async def connect() -> bool:
        try:
            connection = await Connection.open(address)
        except ConnectionError:
            return True
        await connection.close()
        return False

    return asyncio.run(connect())


@feature("SIGINT and SIGTERM")
def test_a_handler_that_does_not_end_is_cut_off_after_the_grace(scene: Scene, runtime: Flavour) -> None:
    with application(runtime, 0.2) as app:
        client = scene.client(runtime, app.url, reconnection=False)
        client.emit("slow", 1000)
        assert app.line() == "slow begins"
        app.process.send_signal(signal.SIGTERM)
        code, out, errors = app.end()
        assert (code, errors) == (0, "")
        assert out.startswith("end ")


@feature("restarts")
def test_a_process_that_is_killed(scene: Scene, runtime: Flavour) -> None:
    with application(runtime, LATE) as app:
        clients = [scene.client(runtime, app.url, transports=each, reconnection=False) for each in OVER.values()]
        lost = scene.log("lost")
        for client in clients:
            client.call(client.hosted.on, "disconnect", lambda reason: lost.append(reason))
            client.upgraded()
        app.process.kill()
        gathered(lost, len(clients))
        for client in clients:
            runtime.begin(client.hosted, client.hosted.wait).result(LATE)
