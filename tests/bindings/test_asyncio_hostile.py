"""Clients that misbehave on the network, and many at once: slow readers, resets, half-closed connections, crowds."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import Response
from tests.bindings.live import LATE, serving, settled
from tests.bindings.raw import HANDSHAKE, TRANSPORTS, Polling, head, upgrade

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sioproto import Socket
    from tests.bindings.live import Live
    from tests.bindings.raw import Connection

KILOBYTE = "x" * 1024
LIMIT = 256 * 1024
"""The send buffer of these tests, in bytes."""
CROWD = 1000


async def flood(live: Live, rounds: int, healthy: list[str], until: Callable[[], object]) -> int:
    """Broadcasts megabytes; returns the most that any session had queued.

    The sessions ``healthy`` get each round before the next one, as fast as that goes.
    """
    most = 0
    sessions = live.io.engine.sessions
    for _ in range(rounds):
        for _ in range(64):
            live.io.emit("flood", KILOBYTE)
        most = max([most, *(session.queued for session in sessions.values())])
        assert await settled(lambda: not any(sessions[sid].queued for sid in healthy))
        if until():
            break
    return most


async def count(client: Any, wanted: str) -> int:
    """Reads until an event comes and returns how many others came before."""
    seen = 0
    while (packet := await client.receive()) != f'42["{wanted}"]':
        seen += packet.startswith('42["flood"')
    return seen


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_that_stops_reading_is_closed_and_nobody_else_notices(transport: str) -> None:
    async with serving(max_send_buffer=LIMIT, close_timeout=0.1, send_timeout=0.1) as live:
        reasons: list[tuple[str, str | None]] = []
        live.io.on("disconnect", lambda socket, reason, description: reasons.append((reason, description)))
        slow = await live.client(transport)
        await slow.join()
        healthy = {name: await live.client(name) for name in TRANSPORTS}
        for client in healthy.values():
            await client.join()
        readers = [asyncio.create_task(count(client, "end")) for client in healthy.values()]
        if isinstance(slow, Polling):
            (await slow.begin_get()).stop_reading()
        else:
            slow.socket.connection.stop_reading()
        live.clock.hold()
        most = await flood(live, 400, [client.sid for client in healthy.values()], lambda: reasons)
        assert reasons == [("transport error", "slow consumer")]
        # One turn's worth may stand above the limit.
        assert most <= LIMIT + 128 * 1024
        assert slow.sid not in live.io.engine.sessions
        live.io.emit("end")
        live.clock.go_on()
        counts = await asyncio.gather(*readers)
        assert counts[0] == counts[1] > 64
        if transport == "websocket":
            # The connection itself goes, too, although its client takes nothing.
            assert await settled(lambda: len(live.io.wire.connections) == 3)


async def test_a_client_that_pauses_and_reads_on_gets_everything() -> None:
    async with serving() as live:
        client = await live.websocket()
        await client.join()
        client.socket.connection.stop_reading()
        # More than the kernel and asyncio keep for it, and less than the limit for slow ones.
        (session,) = live.io.engine.sessions.values()
        sent = 0
        while session.writable and sent < 20_000:
            for _ in range(50):
                live.io.emit("number", sent, KILOBYTE)
                sent += 1
            await asyncio.sleep(0)
        assert not session.writable
        live.io.volatile.emit("number", -1)
        (socket,) = live.io.sockets.sockets.values()
        live.io.emit("number", sent, KILOBYTE)
        drained = socket.drained()
        await asyncio.sleep(0)
        assert not drained.done
        client.socket.connection.resume_reading()
        for number in range(sent + 1):
            packet = await client.receive()
            assert isinstance(packet, str)
            assert packet.startswith(f'42["number",{number},')
        await drained
        live.io.emit("last")
        assert await client.receive() == '42["last"]'


async def test_a_client_that_never_reads_answers_cannot_fill_the_memory() -> None:
    page = Response(200, [("Content-Type", "text/plain")], b"x" * 20_000)
    async with serving(send_timeout=0.2, fallback=lambda request: page) as live:
        connection = await live.connect()
        connection.stop_reading()
        request = head("GET", "/" + "page/" * 200) * 10
        # It sends requests and takes no answers; at some point the server stops reading.
        sending = asyncio.create_task(send_for_ever(connection, request))
        assert await settled(lambda: not live.io.wire.connections)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await live.check_fresh_client()


async def send_for_ever(connection: Connection, data: bytes) -> None:
    """Sends until the server closes."""
    while True:
        await connection.send(data)


async def opened(live: Live) -> Connection:
    """Connected, and silent."""
    return await live.connect()


async def in_a_head(live: Live) -> Connection:
    """Within a request's head."""
    connection = await live.connect()
    await connection.send(head("GET", "/socket.io/?EIO=4")[:-2])
    return connection


async def in_a_body(live: Live) -> Connection:
    """Within a POST's body."""
    client = await live.polling()
    connection = await client.connect()
    await connection.send(head("POST", client.target("polling"), length=100) + b"40")
    assert await settled(lambda: live.io.engine.sessions[client.sid].polling.post)
    return connection


async def in_a_poll(live: Live) -> Connection:
    """With a held poll."""
    client = await live.polling()
    await client.join()
    connection = await client.begin_get()
    assert await settled(lambda: live.io.engine.sessions[client.sid].writable)
    return connection


async def between_polls(live: Live) -> Connection:
    """With a session and no request."""
    client = await live.polling()
    await client.join()
    assert client._get is not None
    return client._get


async def in_a_probe(live: Live) -> Connection:
    """With a WebSocket that was answered 3probe."""
    client = await live.polling()
    upgraded = await client.connect()
    await upgraded.upgrade(client.target("websocket"))
    return upgraded


async def upgraded(live: Live) -> Connection:
    """After an upgrade."""
    client = await live.polling()
    await client.join()
    return (await upgrade(client)).socket.connection


async def in_a_websocket(live: Live) -> Connection:
    """With a WebSocket."""
    client = await live.websocket()
    await client.join()
    return client.socket.connection


async def in_a_frame(live: Live) -> Connection:
    """Within a WebSocket frame."""
    client = await live.websocket()
    await client.join()
    await client.socket.connection.send(b"\x81\xff\x00\x00\x00")
    return client.socket.connection


async def with_attachments_missing(live: Live) -> Connection:
    """Between a binary event's header and its attachments."""
    client = await live.websocket()
    await client.join()
    await client.send('451-["file",{"_placeholder":true,"num":0}]')
    return client.socket.connection


async def in_a_handshake(live: Live) -> Connection:
    """Right after a request for a WebSocket, before its answer."""
    connection = await live.connect()
    connection.writer.write(head("GET", "/socket.io/?EIO=4&transport=websocket", HANDSHAKE))
    return connection


STATES: dict[str, Callable[[Live], Awaitable[Connection]]] = {
    state.__name__: state
    for state in (
        opened,
        in_a_head,
        in_a_body,
        in_a_poll,
        between_polls,
        in_a_probe,
        upgraded,
        in_a_websocket,
        in_a_frame,
        with_attachments_missing,
        in_a_handshake,
    )
}

ENDED = {"in_a_poll", "in_a_body", "upgraded", "in_a_websocket", "in_a_frame", "with_attachments_missing"}
"""Where the session ends with the connection; in a probe it goes on, and between polls nothing tells of the end."""
STAYING = {"between_polls", "in_a_probe"}


@pytest.mark.parametrize("how", ["reset", "half_close", "close"])
@pytest.mark.parametrize("state", STATES)
async def test_connections_that_go_away_in_any_state(state: str, how: str) -> None:
    async with serving(close_timeout=0.2) as live:
        connection = await STATES[state](live)
        before = len(live.connections)
        if state != "in_a_handshake":
            assert await settled(lambda: len(live.io.wire.connections) == before)
        if how == "reset":
            connection.reset()
        elif how == "half_close":
            connection.half_close()
        else:
            await connection.close()
        if state != "in_a_handshake":
            assert await settled(lambda: len(live.io.wire.connections) == before - 1)
        if state in ENDED or state == "in_a_handshake":
            assert await settled(lambda: live.sessions == 0)
            assert live.io.sockets.sockets == {}
        else:
            assert live.sessions == (1 if state in STAYING else 0)
        if how == "half_close" and state != "in_a_handshake":
            await connection.rest()
        await live.check_fresh_client()


async def test_a_half_closed_connection_still_gets_its_answer() -> None:
    async with serving() as live:
        connection = await live.connect()
        await connection.send(head("GET", "/socket.io/?EIO=4&transport=polling") + head("GET", "/missing"))
        connection.half_close()
        assert (await connection.answer()).status == 200
        assert (await connection.answer()).status == 404
        assert await connection.rest() == b""


async def test_a_thousand_clients_at_once(many_descriptors: None) -> None:
    async with serving() as live:

        @live.io.on("ask")
        def ask(socket: Socket, number: int) -> int:
            return number + 1

        async def come(index: int) -> Any:
            client = await live.client(list(TRANSPORTS)[index % 2])
            await client.join()
            await client.send(f'421["ask",{index}]')
            assert await client.receive() == f"431[{index + 1}]"
            return client

        clients = []
        for begin in range(0, CROWD, 100):
            clients += await asyncio.gather(*(come(index) for index in range(begin, begin + 100)))
        assert live.sessions == CROWD
        # Held by all pollers, so that everybody is there for the broadcast.
        reading = [asyncio.create_task(client.receive()) for client in clients]
        sessions = list(live.io.engine.sessions.values())
        pollers = [session for session in sessions if session.transport_name == "polling"]
        assert await settled(lambda: all(session.writable for session in pollers))
        live.io.emit("everybody", {"number": 1})
        assert set(await asyncio.gather(*reading)) == {'42["everybody",{"number":1}]'}
        # All of them go at once.
        for client in clients:
            for connection in client.connections:
                connection.reset()
        websockets = [session for session in sessions if session.transport_name == "websocket"]
        assert await settled(lambda: all(session.ready_state == "closed" for session in websockets))
        assert live.sessions == CROWD // 2
        assert await settled(lambda: not live.io.wire.connections)


async def test_a_crowd_that_connects_and_goes_leaves_no_memory() -> None:
    async with serving() as live:
        for _ in range(300):
            connection = await live.connect()
            await connection.upgrade("/socket.io/?EIO=4&transport=websocket")
            connection.reset()
        assert await settled(lambda: live.sessions == 0 and not live.io.wire.connections)
        assert await settled(lambda: len(asyncio.all_tasks()) == 1)


async def test_clients_that_join_no_namespace_are_let_go() -> None:
    async with serving(connect_timeout=0.2, close_timeout=0.1) as live:
        live.clock.hold()
        polling = await live.polling()
        held = await polling.begin_get()
        websocket = await live.websocket()
        await polling.post("40/nowhere,")
        assert (await held.answer()).packets == ['44/nowhere,{"message":"Invalid namespace"}']
        begun = time.monotonic()
        live.clock.go_on()
        assert (await polling.get()).packets == ["1"]
        assert await websocket.ended() == 1005
        assert 0.2 <= time.monotonic() - begun < LATE
        assert live.sessions == 0


async def test_a_crowd_that_joins_no_namespace_locks_nobody_out() -> None:
    async with serving(max_unconnected=3, close_timeout=0.1) as live:
        crowd = [await live.client(transport) for transport in (*TRANSPORTS, *TRANSPORTS)]
        assert live.sessions == 3
        assert (await crowd[0].ended(), crowd[0].sid in live.io.engine.sessions) == (1006, False)
        await live.check_fresh_client()
        assert await crowd[1].ended() == 1005
        await crowd[3].join()
        await live.check_fresh_client()


async def test_too_many_that_wait_for_their_answer_get_503() -> None:
    async with serving(max_unconnected=3) as live:
        go = asyncio.Event()

        @live.io.use
        async def wait(socket: Socket) -> None:
            await go.wait()

        clients = [await live.polling() for _ in range(3)]
        for client in clients:
            await client.send("40")
        connection = await live.connect()
        assert (await connection.request("GET", "/socket.io/?EIO=4&transport=polling")).status == 503
        go.set()
        packet = await clients[0].receive()
        assert isinstance(packet, str)
        assert packet.startswith("40")
        assert (await connection.request("GET", "/socket.io/?EIO=4&transport=polling")).status == 200


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_dead_client_is_noticed(transport: str) -> None:
    async with serving(ping_interval=0.2, ping_timeout=0.2, close_timeout=0.1) as live:
        reasons: list[str] = []
        live.io.on("disconnect", lambda socket, reason: reasons.append(reason))
        live.clock.hold()
        client = await live.client(transport)
        await client.join()
        begun = time.monotonic()
        live.clock.go_on()
        assert await client.receive() == "2"
        await client.ended()
        assert reasons == ["ping timeout"]
        assert 0.4 <= time.monotonic() - begun < LATE


@pytest.mark.parametrize("way", ["closes", "resets", "polling"])
async def test_a_client_that_is_gone_is_noticed_while_it_is_not_read(way: str) -> None:
    """Its events wait for handlers, so nobody reads the end of it; a ping finds it."""
    options: dict[str, Any] = {"ping_interval": 0.2, "ping_timeout": 0.1, "disconnecting_timeout": 0.1}
    async with serving(max_parked=10_000, **options) as live:
        go = asyncio.Event()
        heard: list[Any] = []

        @live.io.on("number")
        async def number(socket: Socket, value: int, filler: str) -> None:
            await go.wait()
            heard.append(value)

        live.io.on("disconnect", lambda socket, reason: heard.append(reason))
        live.clock.hold()
        client = await live.client("polling" if way == "polling" else "websocket")
        await client.join()
        (socket,) = live.io.sockets.sockets.values()
        await client.send(*(f'42["number",{value},"{KILOBYTE}"]' for value in range(20)))
        assert await settled(lambda: socket.conn.paused)
        if isinstance(client, Polling):
            # A POST that has no answer, and no poll: nothing of the client is awaited but that it comes again.
            connection = await client.connect()
            body = b'42["number",20,""]'
            await connection.send(head("POST", client.target("polling"), length=len(body)) + body)
            assert await settled(lambda: socket.conn.polling.begun)
            await client.hang_up()
        elif way == "resets":
            client.socket.connection.reset()
        else:
            await client.hang_up()
        live.clock.go_on()
        assert await settled(lambda: live.sessions == 0 and not live.io.wire.connections)
        assert await settled(lambda: not socket.connected)
        go.set()
        assert await settled(lambda: len(heard) == 2)
        assert heard == [0, "ping timeout" if way == "polling" else "transport close"]


async def test_slow_requests_are_cut_off() -> None:
    async with serving(head_timeout=0.15, body_timeout=0.15, keep_alive_timeout=0.15, close_timeout=0.2) as live:
        connection = await live.connect()
        await connection.send(b"GET /socket.io/")
        assert (await connection.answer()).status == 408
        connection = await live.connect()
        await connection.send(head("POST", "/", length=10) + b"12")
        assert (await connection.answer()).status == 408
        connection = await live.connect()
        assert (await connection.request("GET", "/")).status == 404
        assert await connection.rest() == b""


async def test_a_large_message_and_one_too_large() -> None:
    async with serving(max_payload=100_000) as live:
        sizes: list[int] = []
        live.io.on("file", lambda socket, data: sizes.append(len(data)))
        text = json.dumps(["file", "x" * 90_000])
        for transport in TRANSPORTS:
            client = await live.client(transport)
            await client.join()
            await client.send("42" + text)
        assert await settled(lambda: sizes == [90_000, 90_000])
        polling = await live.polling()
        await polling.join()
        assert (await polling.post("4" + "x" * 100_000)).status == 413
        # The session stays, as with Node.js.
        await polling.send('42["file",""]')
        websocket = await live.websocket()
        await websocket.join()
        await websocket.send("4" + "x" * 100_000)
        assert await websocket.ended() == 1009
        assert await settled(lambda: live.sessions == 3)
