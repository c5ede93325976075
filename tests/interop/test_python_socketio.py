"""python-socketio's asyncio client against the asyncio server."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError
from tests.bindings.live import settled
from tests.interop.stock import serving_stock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import ModuleType

    from sioproto import Socket
    from tests.bindings.live import Live

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "upgrade": ["polling", "websocket"]}
over_each = pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS.keys())


@asynccontextmanager
async def connected(module: ModuleType, live: Live, transports: list[str], **options: Any) -> AsyncIterator[Any]:
    """A client that is connected for the length of a block."""
    client = module.AsyncClient(reconnection=False)
    await client.connect(live.url, transports=transports, **options)
    try:
        yield client
    finally:
        await disconnect(client)


async def disconnect(client: Any) -> None:
    """Disconnects, when nothing is on its way: during a POST this client forgets to tell the server."""
    if client.connected:
        await client.eio.queue.join()
    await client.disconnect()
    await client.eio.wait()


@over_each
async def test_events_acknowledgements_and_binary(python_socketio: ModuleType, transports: list[str]) -> None:
    async with serving_stock() as live:

        @live.io.on("echo")
        async def echo(socket: Socket, *args: Any) -> tuple[Any, ...]:
            await asyncio.sleep(0)
            socket.emit("echoed", *args)
            return args

        async with connected(python_socketio, live, transports) as client:
            echoed: list[tuple[Any, ...]] = []
            client.on("echoed", lambda *args: echoed.append(args))
            values = ("text ä€😀", 1, None, {"list": [b"\x00\xff", {"deep": b""}]})
            assert await client.call("echo", values) == values
            assert await client.call("echo", b"alone") == b"alone"
            assert await client.call("echo") is None
            assert await settled(lambda: len(echoed) == 3)
            assert echoed == [values, (b"alone",), ()]
            assert client.transport() == transports[-1]


@over_each
async def test_the_server_asks_and_is_answered(python_socketio: ModuleType, transports: list[str]) -> None:
    async with serving_stock() as live:
        answers: list[Any] = []

        @live.io.on("go")
        async def go(socket: Socket) -> None:
            answers.append(await socket.emit_with_ack("question", 1, b"two"))
            answers.append((await live.io.emit_with_ack("question", "all")).answers)

        async with connected(python_socketio, live, transports) as client:
            client.on("question", lambda *args: args)
            await client.emit("go")
            assert await settled(lambda: len(answers) == 2)
            assert answers == [(1, b"two"), {client.get_sid(): "all"}]


@over_each
async def test_many_events_keep_their_order(python_socketio: ModuleType, transports: list[str]) -> None:
    async with serving_stock() as live:
        up: list[int] = []
        live.io.on("up", lambda socket, number: up.append(number))

        async def flood(socket: Socket) -> None:
            for number in range(500):
                socket.emit("down", number)
                await asyncio.sleep(0)

        live.io.on("connection", lambda socket: live.io.spawn(flood, socket))
        down: list[int] = []
        client = python_socketio.AsyncClient(reconnection=False)
        client.on("down", down.append)
        await client.connect(live.url, transports=transports)
        for number in range(500):
            await client.emit("up", number)
        assert await settled(lambda: len(up) == len(down) == 500)
        await disconnect(client)
        assert up == down == list(range(500))


async def test_namespaces_auth_and_refusal(python_socketio: ModuleType) -> None:
    async with serving_stock() as live:

        @live.io.of("/private").use
        def check(socket: Socket) -> None:
            if socket.handshake.auth != {"token": "right"}:
                raise ConnectError("not you", {"code": 7})

        live.io.of("/private").on("who", lambda socket: socket.namespace.name)
        options = {"namespaces": ["/", "/private"], "auth": {"token": "right"}}
        async with connected(python_socketio, live, ["websocket"], **options) as client:
            assert client.get_sid("/") != client.get_sid("/private")
            assert await client.call("who", namespace="/private") == "/private"

        refused = python_socketio.AsyncClient(reconnection=False)
        errors: list[Any] = []
        refused.on("connect_error", errors.append, namespace="/private")
        with pytest.raises(python_socketio.exceptions.ConnectionError, match="One or more namespaces failed"):
            await refused.connect(live.url, transports=["websocket"], namespaces=["/private"], auth={"token": "x"})
        assert errors == [{"message": "not you", "data": {"code": 7}}]
        await refused.disconnect()


@over_each
async def test_both_sides_disconnect(python_socketio: ModuleType, transports: list[str]) -> None:
    async with serving_stock() as live:
        reasons: list[str] = []
        live.io.on("disconnect", lambda socket, reason: reasons.append(reason))
        live.io.on("bye", lambda socket: socket.disconnect())
        async with connected(python_socketio, live, transports):
            pass
        assert await settled(lambda: reasons)
        async with connected(python_socketio, live, transports) as client:
            gone = asyncio.Event()
            client.on("disconnect", lambda reason: gone.set())
            await client.emit("bye")
            await gone.wait()
        assert await settled(lambda: len(reasons) == 2)
        # It closes the connection right after it left, so either may be seen first.
        assert reasons[0] in ("client namespace disconnect", "transport close")
        assert reasons[1] == "server namespace disconnect"


async def test_heartbeat(python_socketio: ModuleType) -> None:
    async with serving_stock(ping_interval=0.1, ping_timeout=1.0) as live:
        heartbeats: list[str] = []

        @live.io.on("connection")
        def come(socket: Socket) -> None:
            name = socket.conn.transport_name
            socket.conn.on("heartbeat", lambda: heartbeats.append(name))

        async with (
            connected(python_socketio, live, ["websocket"]),
            connected(python_socketio, live, ["polling"]),
        ):
            # For longer than a client that hears nothing stays.
            assert await settled(lambda: all(heartbeats.count(name) > 12 for name in ("websocket", "polling")))
            assert live.sessions == 2
