"""Other threads: ``from_thread`` runs what they want where the server lives, and anything else is refused."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

import pytest

from sioproto import LocalProtocolError, Pending
from sioproto_asyncio import Server
from tests.bindings.live import LATE, serving, settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto import Socket

THREADS = 8
EMITS = 1000


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_many_threads_emit_each_in_its_order(transport: str) -> None:
    async with serving() as live:
        client = await live.client(transport)
        await client.join()

        def emit(thread: int) -> None:
            futures = [live.io.from_thread(live.io.emit, "number", thread, index) for index in range(EMITS)]
            for future in futures:
                assert future.result(LATE) is None

        threads = [asyncio.to_thread(emit, thread) for thread in range(THREADS)]
        done = asyncio.gather(*threads)
        received: list[list[int]] = [[] for _ in range(THREADS)]
        for _ in range(THREADS * EMITS):
            packet = await client.receive()
            assert isinstance(packet, str)
            name, thread, index = json.loads(packet[2:])
            assert name == "number"
            received[thread].append(index)
        await done
        assert received == [list(range(EMITS))] * THREADS


async def test_results_and_exceptions_come_back() -> None:
    async with serving() as live:
        client = await live.websocket()
        await client.join()

        def count() -> int:
            assert threading.get_ident() == home
            return len(live.io.sockets.sockets)

        home = threading.get_ident()
        assert await asyncio.to_thread(lambda: live.io.from_thread(count).result(LATE)) == 1
        future = await asyncio.to_thread(live.io.from_thread, live.io.emit, "disconnect")
        with pytest.raises(LocalProtocolError, match='"disconnect" is a reserved event name'):
            await asyncio.wrap_future(future)
        other = await asyncio.to_thread(lambda: live.io.from_thread(int, "x"))
        with pytest.raises(ValueError, match="invalid literal"):
            await asyncio.wrap_future(other)
        # Neither is a failure of the server.
        assert live.errors == []


async def test_it_may_be_called_from_the_loop_and_cancelled_before_it_ran() -> None:
    async with serving() as live:
        ran: list[int] = []
        first = live.io.from_thread(ran.append, 1)
        second = live.io.from_thread(ran.append, 2)
        assert first.cancel()
        assert ran == []
        await asyncio.wrap_future(second)
        assert ran == [2]
        with pytest.raises(CancelledError):
            first.result(0)


async def test_a_pending_is_not_for_threads_but_its_result_is() -> None:
    async with serving() as live:

        async def question() -> object:
            (socket,) = live.io.sockets.sockets.values()
            return await socket.emit_with_ack("question")

        client = await live.websocket()
        await client.join()
        asking = asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(question(), loop).result(LATE))
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(asking)
        assert await client.receive() == '420["question"]'
        await client.send('430["answer"]')
        assert await task == "answer"
        (socket,) = live.io.sockets.sockets.values()
        with pytest.raises(LocalProtocolError, match="await"):
            socket.emit_with_ack("question").wait(0)


def test_a_server_that_is_not_running() -> None:
    io = Server(grace=0.1)
    with pytest.raises(LocalProtocolError, match="not running"):
        io.from_thread(io.emit, "news")

    async def serve_once() -> None:
        async with io.listening(port=0):
            pass

    asyncio.run(serve_once())
    with pytest.raises(LocalProtocolError, match="not running"):
        io.from_thread(io.emit, "news")


async def test_calls_that_come_while_it_closes_are_not_forgotten() -> None:
    async with serving(grace=0.1) as live:
        stop = threading.Event()
        outcomes: list[str] = []
        lengths: list[int] = []

        def call() -> None:
            while not stop.is_set():
                try:
                    lengths.append(live.io.from_thread(len, "abc").result(LATE))
                except LocalProtocolError as error:
                    outcomes.append(str(error))
                    return

        calling = asyncio.create_task(asyncio.to_thread(call))
        assert await settled(lambda: lengths)
        await live.io.close()
        try:
            await asyncio.wait_for(asyncio.shield(calling), 2 * LATE)
        finally:
            stop.set()
        await calling
        assert outcomes == ["this is not running"]


async def test_results_that_do_not_come_before_the_end_fail() -> None:
    async with serving(grace=0.1) as live:
        later: Pending[None] = Pending(live.io._waiting)

        async def never() -> None:
            await later

        calls = [live.io.from_thread(lambda: later), live.io.from_thread(never)]
        assert await asyncio.to_thread(lambda: live.io.from_thread(len, "abc").result(LATE)) == 3
        ending = live.io.from_thread(live.io.close)
        calls.append(live.io.from_thread(never))  # it may not even begin
        await live.io.close()
        for call in calls:
            assert isinstance(await asyncio.to_thread(call.exception, LATE), LocalProtocolError)
        assert await asyncio.to_thread(ending.result, LATE) == 0


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda socket: socket.namespace.emit("news"), id="emit"),
        pytest.param(lambda socket: socket.namespace.to(socket.id).emit("news"), id="to.emit"),
        pytest.param(lambda socket: socket.emit("news"), id="socket.emit"),
        pytest.param(lambda socket: socket.emit_with_ack("news"), id="emit_with_ack"),
        pytest.param(lambda socket: socket.disconnect(), id="disconnect"),
        pytest.param(lambda socket: socket.conn.send("news"), id="conn.send"),
        pytest.param(lambda socket: socket.conn.close(), id="conn.close"),
    ],
)
async def test_touching_the_server_from_another_thread_is_refused(call: Callable[[Socket], object]) -> None:
    async with serving() as live:
        client = await live.websocket()
        socket = live.io.sockets.sockets[await client.join()]
        with pytest.raises(LocalProtocolError, match="from_thread"):
            await asyncio.to_thread(call, socket)


async def test_a_refused_call_from_another_thread_sends_nothing() -> None:
    async with serving() as live:
        client = await live.websocket()
        await client.join()
        with pytest.raises(LocalProtocolError, match="from_thread"):
            await asyncio.to_thread(live.io.emit, "refused")
        live.io.emit("meant")
        async with asyncio.timeout(LATE):
            assert await client.receive() == '42["meant"]'


async def test_a_thread_does_not_slip_through_while_output_waits() -> None:
    async with serving() as live:
        client = await live.websocket()
        await client.join()
        raised: list[BaseException] = []

        def foreign() -> None:
            try:
                live.io.emit("refused")
            except LocalProtocolError as error:
                raised.append(error)

        thread = threading.Thread(target=foreign)
        live.io.emit("meant")
        # The loop has not had its turn, so there is output that waits already.
        thread.start()
        thread.join()
        live.io.emit("meant, too")
        assert await client.receive() == '42["meant"]'
        assert await client.receive() == '42["meant, too"]'
        assert len(raised) == 1


async def test_threads_that_only_look_are_let_be() -> None:
    async with serving() as live:
        await live.websocket()
        assert await asyncio.to_thread(lambda: live.io.engine.clients_count) == 1
        assert await settled(lambda: live.sessions == 1)
