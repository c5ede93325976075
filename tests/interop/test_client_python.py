"""Our client core, over plain sockets, against python-socketio's server under uvicorn."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, ConnectError, Disconnected
from tests.interop.clients import OVER, QUICK, Clients, on_loop, record
from tests.interop.python_server import serving_python

if TYPE_CHECKING:
    from types import ModuleType

    from sioproto.config import TransportName

over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
over_both = pytest.mark.parametrize("transports", [OVER["polling"], OVER["websocket"]], ids=["polling", "websocket"])


@over_each
@on_loop
async def test_events_acknowledgements_and_binary(
    clients: Clients, python_socketio: ModuleType, transports: tuple[TransportName, ...]
) -> None:
    with serving_python(python_socketio) as server:

        @server.event
        async def echo(sid: str, *args: Any) -> tuple[Any, ...]:
            await server.io.emit("echoed", args, to=sid)
            return args

        client = clients.client(server.url, transports=transports)
        echoed: list[tuple[Any, ...]] = []
        client.on("echoed", lambda *args: echoed.append(args))
        await client.connect()
        values = ("text ä€😀", 1, None, {"list": [b"\x00\xff", {"deep": b""}]})
        assert await client.emit_with_ack("echo", *values) == values
        assert await client.emit_with_ack("echo", b"alone") == b"alone"
        assert await client.emit_with_ack("echo") is None
        await clients.upgraded(client)
        assert await client.emit_with_ack("echo", [b"a"] * 10) == [b"a"] * 10
        assert echoed == [values, (b"alone",), (), ([b"a"] * 10,)]


@over_each
@on_loop
async def test_many_events_keep_their_order_and_arrive_once(
    clients: Clients, python_socketio: ModuleType, transports: tuple[TransportName, ...]
) -> None:
    with serving_python(python_socketio, async_handlers=False) as server:
        server.io.on("up", lambda sid, *args: server.log.append(args))

        @server.event
        async def connect(sid: str, environ: Any) -> None:
            server.io.start_background_task(flood, sid)

        async def flood(sid: str) -> None:
            for number in range(300):
                await server.io.emit("down", (number, None if number % 7 else bytes([number % 256])), to=sid)
                await asyncio.sleep(0)

        client = clients.client(server.url, transports=transports)
        down: list[tuple[int, Any]] = []
        client.on("down", lambda number, data: down.append((number, data)))
        await client.connect()
        for number in range(300):
            client.emit("up", number, None if number % 7 else bytes([number % 256]))
        await clients.until(lambda: len(server.log) == len(down) == 300)
        expected = [(number, None if number % 7 else bytes([number % 256])) for number in range(300)]
        assert down == expected
        assert server.log == expected
        await clients.upgraded(client)


@over_each
@on_loop
async def test_the_server_asks_and_is_answered(
    clients: Clients, python_socketio: ModuleType, transports: tuple[TransportName, ...]
) -> None:
    with serving_python(python_socketio) as server:

        @server.event
        async def go(sid: str) -> None:
            server.log.append(await server.io.call("question", (1, b"two"), to=sid))
            server.log.append(await server.io.call("late", to=sid))

        client = clients.client(server.url, transports=transports)
        client.on("question", lambda *args: args)

        @client.on("late")
        async def late() -> bytes:
            await client.sleep(0.05)
            return b"late"

        await client.connect()
        client.emit("go")
        await clients.until(lambda: len(server.log) == 2)
        assert server.log == [(1, b"two"), b"late"]


@on_loop
async def test_broadcasts_to_rooms(clients: Clients, python_socketio: ModuleType) -> None:
    with serving_python(python_socketio) as server:

        @server.event
        async def join(sid: str, room: str) -> None:
            await server.io.enter_room(sid, room)

        @server.event
        async def tell(sid: str, *args: Any) -> None:
            await server.io.emit("told", args, room="room", skip_sid=sid)

        told: list[list[Any]] = []
        for transports in OVER.values():
            client = clients.client(server.url, transports=transports)
            log: list[Any] = []
            client.on("told", lambda *args, log=log: log.append(args))
            told.append(log)
            await client.connect()
        one, other, outside = clients.clients
        for client in (one, other):
            await client.emit_with_ack("join", "room")
        outside.emit("tell", 1, b"one")
        one.emit("tell", 2)
        await clients.until(lambda: [len(log) for log in told] == [1, 2, 0])
        assert told[0] == [(1, b"one")]
        assert sorted(told[1]) == [(1, b"one"), (2,)]


@over_both
@on_loop
async def test_namespaces_auth_and_refusals(
    clients: Clients, python_socketio: ModuleType, transports: tuple[TransportName, ...]
) -> None:
    with serving_python(python_socketio, namespaces=["/", "/private"]) as server:

        async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
            server.log.append(auth)
            if auth != {"token": "right"}:
                raise python_socketio.exceptions.ConnectionRefusedError("not you", {"code": 7})

        async def where(sid: str) -> str:
            return "private"

        for handler in (connect, where):
            server.event(handler, "/private")

        client = clients.client(server.url, transports=transports)
        await client.connect()
        tokens = [{"token": "wrong"}, {"token": "right"}]

        async def token() -> dict[str, str]:
            await client.sleep(0.01)
            return tokens.pop(0)

        private = client.of("/private", token)
        private.emit("where")
        with pytest.raises(ConnectError, match="not you") as refused:
            await private.connect()
        assert refused.value.data == {"code": 7}
        assert client.connected
        await private.connect()
        assert await private.emit_with_ack("where") == "private"
        assert server.log == [{"token": "wrong"}, {"token": "right"}]
        with pytest.raises(ConnectError, match="Unable to connect"):
            await client.of("/nowhere").connect()
        assert client.connected


@over_both
@on_loop
async def test_the_server_disconnects(
    clients: Clients, python_socketio: ModuleType, transports: tuple[TransportName, ...]
) -> None:
    with serving_python(python_socketio) as server:
        server.io.on("disconnect", lambda sid, reason: server.log.append(reason))

        @server.event
        async def leave(sid: str) -> None:
            await server.io.emit("last", "words", to=sid)
            await server.io.disconnect(sid)

        client = clients.client(server.url, transports=transports, **QUICK)
        log: list[Any] = []
        record(log, client, ["disconnect", "reconnect_attempt"])
        client.on("last", log.append)
        for _ in range(2):
            await client.connect()
            client.emit("leave")
            await clients.until(lambda: not client.active)
            assert log == ["words", ("disconnect", "io server disconnect", None)]
            log.clear()
        await clients.sleep(0.2)
        assert log == []
        await client.connect()
        client.disconnect()
        await clients.until(lambda: len(server.log) == 3)
        assert server.log[2] in ("client disconnect", "transport close")


@over_each
@on_loop
async def test_the_server_goes_and_comes_back(
    clients: Clients, python_socketio: ModuleType, transports: tuple[TransportName, ...]
) -> None:
    with serving_python(python_socketio, async_handlers=False) as server:
        server.io.on("*", lambda event, sid, *args: server.log.append((event, *args)))
        client = clients.client(server.url, transports=transports, **QUICK)
        log: list[Any] = []
        record(log, client, ["connect", "disconnect", "reconnect_attempt", "reconnect"])
        await client.connect()
        await clients.upgraded(client)
        client.emit("before")
        await clients.until(lambda: server.log == [("before",)])
        server.stop()
        await clients.until(lambda: not client.connected)
        for number in range(50):
            client.emit("away", number, b"x")
        asked = client.emit_with_ack("asked")
        await clients.until(lambda: "reconnect_attempt" in [row[0] for row in log])
        server.start()
        await clients.until(lambda: client.connected)
        client.emit("after")
        await clients.until(lambda: ("after",) in server.log)
        away = [("away", number, b"x") for number in range(50)]
        assert server.log == [("before",), *away, ("asked",), ("after",)]
        assert [row[0] for row in log[:3]] == ["connect", "disconnect", "reconnect_attempt"]
        assert [row[0] for row in log[-2:]] == ["reconnect", "connect"]
        assert await asked is None


@on_loop
async def test_time_outs_and_ends_of_those_who_wait(clients: Clients, python_socketio: ModuleType) -> None:
    with serving_python(python_socketio) as server:
        asked = 0
        again = asyncio.Event()

        @server.event
        async def late(sid: str) -> str:
            nonlocal asked
            asked += 1
            if asked == 2:
                again.set()
            await again.wait()
            return "too late"

        @server.event
        async def never(sid: str) -> None:
            await server.io.disconnect(sid)

        client = clients.client(server.url, **QUICK)
        await client.connect()
        with pytest.raises(AckTimeout):
            await client.timeout(0.05).emit_with_ack("late")
        assert await client.emit_with_ack("late") == "too late"
        with pytest.raises(Disconnected):
            await client.emit_with_ack("never")


@on_loop
async def test_heartbeats(clients: Clients, python_socketio: ModuleType) -> None:
    with serving_python(python_socketio, ping_interval=0.2, ping_timeout=1.5) as server:
        server.io.on("disconnect", lambda sid, reason: server.log.append(reason))
        pings: list[str] = []
        for name, transports in OVER.items():
            client = clients.client(server.url, transports=transports)
            client.on_connection("ping", lambda name=name: pings.append(name))
            await client.connect()
        # Each ping after the first says that the one before was answered, and all that the silence was never long.
        await clients.until(lambda: all(pings.count(name) >= 10 for name in OVER))
        assert all(client.connected for client in clients.clients)
        assert server.log == []


@over_both
@on_loop
async def test_sizes(clients: Clients, python_socketio: ModuleType, transports: tuple[TransportName, ...]) -> None:
    with serving_python(python_socketio, max_http_buffer_size=3_000_000) as server:

        @server.event
        async def echo(sid: str, data: Any) -> Any:
            return data

        client = clients.client(server.url, transports=transports)
        await client.connect()
        for data in ("ä" * 1_000_000, b"x" * 2_000_000, [b"x" * 100_000] * 8):
            assert await client.emit_with_ack("echo", data) == data


@on_loop
async def test_headers_query_path_and_cookies(clients: Clients, python_socketio: ModuleType) -> None:
    with serving_python(python_socketio, cookie="io") as server:

        @server.event
        async def connect(sid: str, environ: dict[str, Any]) -> None:
            server.log.append((environ["HTTP_X_ALL"], environ["QUERY_STRING"], environ.get("HTTP_COOKIE")))

        client = clients.client(
            server.url + "/?colour=r%C3%B6t", extra_headers={"X-All": "yes"}, cookie_jar=True, **QUICK
        )
        for _ in range(2):
            await client.connect()
            await clients.upgraded(client)
            client.disconnect()
        (yes, query, none), (_, _, cookie) = server.log
        assert (yes, none) == ("yes", None)
        assert "&colour=r%C3%B6t&" in query
        assert cookie.startswith("io=")
