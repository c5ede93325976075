"""How the asyncio server begins and ends: listening, closing, being closed twice, being cancelled."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import pytest

from sioproto import LocalProtocolError
from sioproto_asyncio import Server
from sioproto_host.hosted import LINGER
from tests.bindings.live import LATE, check_nothing_is_left, serving, settled
from tests.bindings.raw import Connection, Ended

if TYPE_CHECKING:
    from sioproto import Socket

HANDSHAKE = "/socket.io/?EIO=4&transport=polling"


async def test_listening_serves_while_the_block_runs() -> None:
    io = Server(grace=0.1)
    async with io.listening(port=0) as same:
        assert same is io
        (address,) = io.addresses
        connection = await Connection.open(address)
        assert (await connection.request("GET", HANDSHAKE)).status == 200
        await connection.close()
    assert io.addresses == []
    with pytest.raises(ConnectionRefusedError):
        await Connection.open(address)


async def test_what_the_block_raises_comes_out_of_it() -> None:
    io = Server(grace=0.1)
    with pytest.raises(ZeroDivisionError):
        async with io.listening(port=0):
            raise ZeroDivisionError
    assert io.addresses == []


async def test_serve_returns_when_it_is_closed() -> None:
    io = Server(grace=0.1)
    serving_task = asyncio.create_task(io.serve(port=0))
    assert await settled(lambda: io.addresses)
    await io.close()
    await serving_task


async def test_cancelling_serve_closes_gracefully() -> None:
    async with serving() as live:
        io = Server(grace=2 * LATE)
        done: list[str] = []
        finish = asyncio.Event()

        @io.on("slow")
        async def slow(socket: Socket) -> str:
            await finish.wait()
            done.append("handler")
            return "yes"

        io.on("disconnect", lambda socket, reason: done.append(reason))
        task = asyncio.create_task(io.serve(port=0))
        assert await settled(lambda: io.addresses)
        live.address = io.addresses[0]
        client = await live.websocket()
        await client.join()
        await client.send('421["slow"]')
        assert await settled(lambda: io._dispatcher.running)
        task.cancel()
        assert await settled(lambda: io._stopping is not None)
        finish.set()
        assert await client.receive() == '431["yes"]'
        assert await client.ended() == 1005
        with pytest.raises(asyncio.CancelledError):
            await task
        assert done == ["handler", "server shutting down"]


async def test_closing_tells_clients_by_the_end_of_their_transport() -> None:
    async with serving() as live:
        reasons: list[str] = []
        live.io.on("disconnecting", lambda socket, reason: reasons.append(f"{reason}: {len(socket.rooms)}"))
        live.io.on("disconnect", lambda socket, reason: reasons.append(f"{reason}: {len(socket.rooms)}"))
        websocket = await live.websocket()
        await websocket.join()
        polling = await live.polling()
        await polling.join()
        held = await polling.begin_get()
        idle = await live.connect()
        assert await settled(lambda: live.io.engine.sessions[polling.sid].writable)
        closing = asyncio.create_task(live.io.close(LATE))
        # No 41 packet: stock clients would not come back after that.
        assert (await held.answer()).packets == ["1"]
        assert await websocket.socket.read_frame() == (8, b"")
        await websocket.socket.send_frame(8)
        assert await idle.rest() == b""
        await closing
        assert sorted(reasons) == ["server shutting down: 0"] * 2 + ["server shutting down: 1"] * 2


async def test_what_was_queued_is_delivered_before_the_end() -> None:
    async with serving() as live:
        polling = await live.polling()
        await polling.join()
        websocket = await live.websocket()
        await websocket.join()
        live.io.emit("last", "words")
        closing = asyncio.create_task(live.io.close(LATE))
        for client in (polling, websocket):
            assert await client.receive() == '42["last","words"]'
            with pytest.raises(Ended):
                await client.receive()
        await closing


async def test_closing_says_how_much_was_not_sent() -> None:
    async with serving() as live:
        polling = await live.polling()  # which never polls
        await polling.join()
        websocket = await live.websocket()
        await websocket.join()
        live.io.emit("last", b"words")
        # An event with one attachment is two messages. Whoever waits for the same end learns the same.
        closing = [asyncio.create_task(live.io.close(0.3)) for _ in range(2)]
        assert await websocket.receive() == '451-["last",{"_placeholder":true,"num":0}]'
        assert await asyncio.gather(*closing) == [2, 2]
        assert await live.io.close() == 2


async def test_whoever_reads_slowly_gets_everything_within_the_grace() -> None:
    async with serving() as live:
        client = await live.websocket()
        await client.join()
        client.socket.connection.stop_reading()
        (connection,) = live.io.wire.connections
        # As much as the kernel takes, and a little more, which asyncio keeps and does not call blocked.
        sent = 0
        while not connection.owner.holding:
            live.io.emit("number", sent, "x" * 20_000)
            sent += 1
            await asyncio.sleep(0)
        assert not connection.blocked
        closing = asyncio.create_task(live.io.close(60))
        assert await settled(lambda: live.sessions == 0)
        await asyncio.sleep(2 * LINGER)
        client.socket.connection.resume_reading()
        for number in range(sent):
            assert str(await client.receive()).startswith(f'42["number",{number},')
        with pytest.raises(Ended):
            await client.receive()
        assert await closing == 0


async def test_new_sessions_are_turned_away_while_handlers_finish() -> None:
    async with serving() as live:
        finish = asyncio.Event()

        @live.io.on("slow")
        async def slow(socket: Socket) -> None:
            await finish.wait()

        client = await live.websocket()
        await client.join()
        await client.send('421["slow"]')
        kept = await live.connect()
        assert (await kept.request("GET", "/")).status == 404
        assert await settled(lambda: live.io._dispatcher.running)
        closing = asyncio.create_task(live.io.close(2 * LATE))
        await asyncio.sleep(0)
        answer = await kept.request("GET", HANDSHAKE)
        assert answer.status == 503
        assert "retry-after" in answer.headers
        with pytest.raises(ConnectionRefusedError):
            await live.connect()
        finish.set()
        assert await client.receive() == "431[]"
        assert await client.ended() == 1005
        await closing


async def test_a_handler_that_does_not_end_is_cut_off() -> None:
    async with serving() as live:
        told: list[str] = []

        @live.io.on("endless")
        async def endless(socket: Socket) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                told.append("cleaned up")

        client = await live.websocket()
        await client.join()
        # The second one waits behind the first and may not begin when that is cancelled.
        await client.send('42["endless"]', '42["endless"]')
        assert await settled(lambda: live.io._dispatcher.running)
        begun = time.monotonic()
        await live.io.close(0.3)
        assert 0.25 <= time.monotonic() - begun < LATE
        assert told == ["cleaned up"]


async def test_a_spawned_loop_does_not_delay_the_end() -> None:
    async with serving() as live:
        turns: list[int] = []

        async def tick() -> None:
            while True:
                turns.append(1)
                await asyncio.sleep(0.01)

        live.io.spawn(tick)
        assert await settled(lambda: len(turns) > 3)
        begun = time.monotonic()
        await live.io.close(4 * LATE)
        assert time.monotonic() - begun < LATE


async def test_closing_twice() -> None:
    async with serving() as live:
        await live.websocket()
        await live.polling()
        idle = await live.connect()
        begun = time.monotonic()
        await asyncio.gather(live.io.close(0.2), live.io.close(0.2), live.io.close(0.2))
        await live.io.close()
        assert time.monotonic() - begun < LATE
        assert await idle.rest() == b""


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_is_accepted_while_the_server_closes(turns: int) -> None:
    async with serving() as live:
        # The kernel completes this without the loop, so what is varied is where on its way in the connection is met.
        sock = socket.create_connection(("127.0.0.1", live.port))
        for _ in range(turns):
            await asyncio.sleep(0)
        await live.io.close(0.1)
        connection = Connection(*await asyncio.open_connection(sock=sock))
        assert await connection.rest() == b""
        await connection.close()


async def test_closing_again_may_shorten_the_time() -> None:
    async with serving() as live:

        @live.io.on("endless")
        async def endless(socket: Socket) -> None:
            await asyncio.Event().wait()

        client = await live.websocket()
        await client.join()
        await client.send('42["endless"]')
        assert await settled(lambda: live.io._dispatcher.running)
        begun = time.monotonic()
        patient = asyncio.create_task(live.io.close(8 * LATE))
        await asyncio.sleep(0)
        await live.io.close(0)
        await patient
        assert time.monotonic() - begun < LATE


async def test_closing_from_a_handler() -> None:
    async with serving(grace=0.2) as live:
        closed: list[str] = []

        @live.io.on("close")
        async def close(socket: Socket) -> None:
            await live.io.close()
            closed.append("closed")

        client = await live.websocket()
        await client.join()
        await client.send('42["close"]')
        await client.ended()
        assert await settled(lambda: closed)


async def test_closing_before_serving_does_nothing() -> None:
    io = Server()
    assert await io.close() == 0
    async with io.listening(port=0):
        pass
    with pytest.raises(LocalProtocolError, match="was closed"):
        async with io.listening(port=0):
            pass


async def test_a_port_that_is_taken() -> None:
    async with serving() as live:
        io = Server(grace=0.1)
        with pytest.raises(OSError, match="address"):
            await io.serve(port=live.port)
        # It can try again elsewhere.
        async with io.listening(port=0):
            pass


def test_a_port_that_is_taken_does_not_bind_the_server_to_its_loop() -> None:
    io = Server(grace=0.1)

    async def taken() -> None:
        async with serving() as live:
            await io.serve(port=live.port)

    async def free() -> None:
        async with io.listening(port=0):
            pass

    with pytest.raises(OSError, match="address"):
        asyncio.run(taken())
    asyncio.run(free())


def test_a_server_belongs_to_one_loop() -> None:
    io = Server(grace=0.1)

    async def serve_and_fail() -> None:
        async with io.listening(port=0):
            other = asyncio.new_event_loop()
            try:
                await asyncio.to_thread(other.run_until_complete, io.serve(port=0))
            finally:
                other.close()

    with pytest.raises(LocalProtocolError, match="another event loop"):
        asyncio.run(serve_and_fail())


async def test_nothing_is_left_of_clients_of_every_kind() -> None:
    async with serving() as live:
        tasks, descriptors = asyncio.all_tasks(), 10**9

        @live.io.on("wait")
        async def wait(socket: Socket) -> None:
            await asyncio.Event().wait()

        for _ in range(5):
            websocket = await live.websocket()
            await websocket.join()
            await websocket.send('421["wait"]')
            polling = await live.polling()
            await polling.join()
            await polling.begin_get()
            await (await live.polling()).post("40")
            begun = await live.polling()
            probing = await begun.connect()
            await probing.upgrade(begun.target("websocket"))
            await live.connect()
            await (await live.connect()).send(b"GET /socket.io/?EIO=4 HT")
            await (await live.connect()).send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123")
        (socket, *_) = live.io.sockets.sockets.values()
        answer = socket.emit_with_ack("question")
        begun_at = time.monotonic()
        await live.io.close(0.2)
        assert time.monotonic() - begun_at < LATE
        assert answer.done
        await check_nothing_is_left(live, tasks, descriptors)
