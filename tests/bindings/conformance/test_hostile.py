"""Peers that do not read, or go away in the middle of anything: they harm nobody but themselves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError
from tests.bindings.flavours import in_thread
from tests.bindings.impostor import Impostor
from tests.bindings.live import LATE
from tests.bindings.raw import HANDSHAKE, TRANSPORTS, Connection, Polling, WebSockets, head, upgrade
from tests.bindings.scene import OVER, eventually, gathered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sioproto import app
    from tests.bindings.flavours import Flavour
    from tests.bindings.raw import Engine
    from tests.bindings.scene import Scene, Server

feature = pytest.mark.feature

KILOBYTE = "x" * 1024
LIMIT = 256 * 1024
"""The send buffer of these tests, in bytes."""


# Who does not read


@feature("slow peers")
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_client_that_does_not_read_is_cut_off_and_others_are_served(
    scene: Scene, runtime: Flavour, transport: str
) -> None:
    gone = scene.log("gone")
    server = scene.server(
        runtime,
        lambda io: io.on("disconnect", lambda socket, reason, description: gone.append((reason, description))),
        max_send_buffer=LIMIT,
        close_timeout=0.2,
        send_timeout=0.2,
    )
    got = {name: scene.log(name) for name in ("polling", "websocket")}
    for name, rows in got.items():

        def listen(io: app.Client, rows: list[Any] = rows) -> None:
            io.on("flood", lambda number, _: rows.append(number))

        scene.client(runtime, server.url, listen, transports=OVER[name])

    def flood(first: int) -> None:
        for number in range(first, first + 64):
            server.io.emit("flood", number, KILOBYTE)

    async def main() -> None:
        slow = TRANSPORTS[transport](server.address)
        await slow.open()
        await slow.join()
        if isinstance(slow, Polling):
            (await slow.begin_get()).stop_reading()
        else:
            slow.socket.connection.stop_reading()
        rounds = 0
        while not gone and rounds < 1000:
            await asyncio.to_thread(server.call, flood, 64 * rounds)
            rounds += 1
            # The others keep up.
            for rows in got.values():
                await asyncio.to_thread(gathered, rows, 64 * rounds)
        assert gone == [("transport error", "slow consumer")]
        assert all(rows == list(range(64 * rounds)) for rows in got.values())
        await slow.hang_up()

    asyncio.run(main())
    assert server.sessions == 2


@feature("slow peers")
def test_a_server_that_does_not_read(scene: Scene, runtime: Flavour) -> None:
    with Impostor() as impostor:
        options: dict[str, Any] = {"transports": ("websocket",), "reconnection": False, "max_send_buffer": LIMIT}
        client = scene.make_client(runtime, impostor.url, close_timeout=0.2, send_timeout=0.2, **options)
        rows = scene.record("rows", client.hosted, "disconnect")
        beginning = in_thread(client.start)
        impostor.join()
        beginning.result(LATE)

        def flood() -> None:
            for _ in range(64):
                client.hosted.emit("flood", KILOBYTE)

        rounds = 0
        while not rows and rounds < 1000:
            client.call(flood)
            rounds += 1
        assert [row[:2] for row in rows] == [("disconnect", "transport error")]
        client.stop()


# Who goes away


async def opened(server: Server) -> Engine | Connection:
    """Connected, and silent."""
    return await Connection.open(server.address)


async def in_a_head(server: Server) -> Engine | Connection:
    """Within a request's head."""
    connection = await Connection.open(server.address)
    await connection.send(head("GET", "/socket.io/?EIO=4")[:-2])
    return connection


async def in_a_body(server: Server) -> Engine | Connection:
    """Within a POST's body."""
    client = Polling(server.address)
    await client.open()
    connection = await client.connect()
    await connection.send(head("POST", client.target("polling"), length=100) + b"40")
    return client


async def in_a_poll(server: Server) -> Engine | Connection:
    """With a held poll."""
    client = Polling(server.address)
    await client.open()
    await client.join()
    await client.begin_get()
    return client


async def in_a_handshake(server: Server) -> Engine | Connection:
    """Right after a request for a WebSocket, before its answer."""
    connection = await Connection.open(server.address)
    connection.writer.write(head("GET", "/socket.io/?EIO=4&transport=websocket", HANDSHAKE))
    return connection


async def upgraded(server: Server) -> Engine | Connection:
    """After an upgrade."""
    client = Polling(server.address)
    await client.open()
    await client.join()
    return await upgrade(client)


async def in_a_websocket(server: Server) -> Engine | Connection:
    """With a WebSocket."""
    client = WebSockets(server.address)
    await client.open()
    await client.join()
    return client


async def in_a_frame(server: Server) -> Engine | Connection:
    """Within a WebSocket frame."""
    client = WebSockets(server.address)
    await client.open()
    await client.join()
    await client.connections[0].send(b"\x81\xff\x00\x00\x00")
    return client


async def with_attachments_missing(server: Server) -> Engine | Connection:
    """Between a binary event's header and its attachments."""
    client = WebSockets(server.address)
    await client.open()
    await client.join()
    await client.send('451-["file",{"_placeholder":true,"num":0}]')
    return client


STATES: dict[str, Callable[[Server], Awaitable[Engine | Connection]]] = {
    state.__name__: state
    for state in (
        opened,
        in_a_head,
        in_a_body,
        in_a_poll,
        in_a_handshake,
        upgraded,
        in_a_websocket,
        in_a_frame,
        with_attachments_missing,
    )
}


@feature("abrupt ends")
@pytest.mark.parametrize("how", ["reset", "close"])
def test_clients_that_go_away_in_any_state(scene: Scene, runtime: Flavour, how: str) -> None:
    server = scene.server(runtime, lambda io: io.on("echo", lambda socket, value: value))
    witness = scene.client(runtime, server.url, transports=("websocket",))

    async def main() -> None:
        for state in STATES.values():
            found = await state(server)
            for connection in [found] if isinstance(found, Connection) else found.connections:
                if how == "reset":
                    connection.reset()
                else:
                    await connection.close()

    asyncio.run(main())
    eventually(lambda: len(server.io.wire.connections) == 1)
    eventually(lambda: server.sessions == 1)
    assert witness.ask("echo", 1) == 1
    assert len(server.sockets) == 1


@feature("abrupt ends")
@pytest.mark.parametrize("reset", [True, False], ids=["reset", "close"])
def test_servers_that_go_away_in_any_state(scene: Scene, runtime: Flavour, reset: bool) -> None:
    with Impostor() as impostor:

        def refused_after(*steps: Callable[[bytes], object]) -> None:
            """The connection ends after some steps, and that is the end of entering."""
            beginning = in_thread(
                lambda: scene.client(runtime, impostor.url, transports=("websocket",), reconnection=False)
            )
            request = impostor.accept()
            for step in steps:
                step(request)
            impostor.drop(reset=reset)
            with pytest.raises(ConnectError):
                beginning.result(LATE)

        refused_after()
        refused_after(lambda _: impostor.sock.sendall(b"HTTP/1.1 101 Switch"))
        refused_after(impostor.switch)
        refused_after(impostor.switch, lambda _: impostor.sock.sendall(b"\x81"))
        refused_after(impostor.switch, lambda _: impostor.send('0{"sid":"a"}'))
        # Once it is connected it comes back, whatever the connection was in the middle of.
        client = scene.make_client(runtime, impostor.url, transports=("websocket",))
        rows = scene.record("rows", client.hosted, "connect", "disconnect")
        got = scene.log("got")
        client.hosted.on("number", got.append)
        beginning = in_thread(client.start)
        impostor.join()
        beginning.result(LATE)
        rests = (b"", b"\x81", b"\x81\x7e\x01", b"\x81\x0542[", b"\x81\x1a" + b'451-["a",{"_placeholder":t')
        for turn, rest in enumerate(rests):
            impostor.send(f'42["number",{turn}]')
            gathered(got, turn + 1)
            impostor.sock.sendall(rest)
            impostor.drop(reset=reset)
            impostor.join()
            gathered(rows, 2 * turn + 3)
        assert got == list(range(len(rests)))
        assert [row[0] for row in rows] == ["connect", *["disconnect", "connect"] * len(rests)]
        client.stop()


@feature("abrupt ends")
@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0{", b"nonsense\r\n\r\n"],
    ids=["nothing", "half a head", "half a body", "nonsense"],
)
def test_servers_that_go_away_while_they_are_polled(scene: Scene, runtime: Flavour, answer: bytes) -> None:
    with Impostor() as impostor:
        for reset in (True, False):
            beginning = in_thread(lambda: scene.client(runtime, impostor.url, transports=("polling",)))
            impostor.accept()
            impostor.sock.sendall(answer)
            impostor.drop(reset=reset)
            with pytest.raises(ConnectError):
                beginning.result(LATE)
