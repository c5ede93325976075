"""Servers with the clients of others, clients with the servers of others: JavaScript and python-socketio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError
from tests.bindings.scene import OVER, eventually, gathered
from tests.interop.python_server import serving_python

if TYPE_CHECKING:
    from types import ModuleType

    from sioproto import Socket, app
    from tests.bindings.flavours import Flavour
    from tests.bindings.scene import Scene
    from tests.interop.clients import Peer
    from tests.interop.stock import Stock

over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
feature = pytest.mark.feature

VALUES: list[Any] = ["text ä€😀", 1, None, {"list": [b"\x00\xff", {"deep": b""}]}]
FLOOD = 500
FEW = 10
"""For a client that takes no more than 16 packets at once over polling."""


def handlers(io: app.Server) -> None:
    """What the clients of others talk to."""

    @io.on("echo")
    def echo(socket: Socket, *args: Any) -> tuple[Any, ...]:
        socket.emit("echoed", *args)
        return args

    @io.on("ask me")
    async def ask(socket: Socket) -> Any:
        return await socket.emit_with_ack("question", 1, b"two")

    @io.on("flood")
    async def flood(socket: Socket, count: int) -> None:
        for number in range(count):
            socket.emit("number", number)


@feature("stock JavaScript client")
@over_each
def test_the_stock_client(scene: Scene, runtime: Flavour, stock: Stock, transports: tuple[str, ...]) -> None:
    server = scene.server(runtime, handlers)
    code = """
        const socket = io(url, { transports });
        socket.on("question", (one, two, ack) => ack([one, two]));
        const echoed = next(socket, "echoed");
        const numbers = gather(socket, "number", count);
        await opened(socket);
        const answered = await socket.emitWithAck("echo", ...values);
        const asked = await socket.emitWithAck("ask me");
        if (transports.length === 2) await upgraded(socket);
        socket.emit("flood", count);
        return [socket.id, socket.io.engine.transport.name, await echoed, asked, await numbers];
    """
    sid, name, echoed, asked, numbers = asyncio.run(
        stock_call(stock, code, url=server.url, transports=list(transports), values=VALUES, count=FLOOD)
    )
    assert (len(sid), name) == (20, transports[-1])
    assert (echoed, asked, numbers) == (VALUES, [1, b"two"], list(range(FLOOD)))
    eventually(lambda: server.sessions == 0)


async def stock_call(stock: Stock, code: str, **args: Any) -> Any:
    """Runs JavaScript."""
    return await stock(code, **args)


@feature("python-socketio's client")
@over_each
def test_the_client_of_python_socketio(
    scene: Scene, runtime: Flavour, python_socketio: ModuleType, transports: tuple[str, ...]
) -> None:
    server = scene.server(runtime, handlers)
    echoed, numbers = scene.log("echoed"), scene.log("numbers")

    async def main() -> None:
        client = python_socketio.AsyncClient(reconnection=False)
        client.on("echoed", lambda *args: echoed.append(args))
        client.on("question", lambda *args: [*args])
        client.on("number", numbers.append)
        await client.connect(server.url, transports=list(transports))
        assert await client.call("echo", tuple(VALUES)) == tuple(VALUES)
        assert await client.call("ask me") == [1, b"two"]
        await client.emit("flood", FEW)
        await asyncio.to_thread(gathered, numbers, FEW)
        await client.eio.queue.join()
        await client.disconnect()
        await client.eio.wait()

    asyncio.run(main())
    assert echoed == [tuple(VALUES)]
    assert sorted(numbers) == list(range(FEW))  # it runs each handler in a task of its own
    eventually(lambda: server.sessions == 0)


NPM = """
io.use((socket, next) => next(socket.handshake.auth.token === "right" ? undefined : new Error("not you")));
io.on("connection", (socket) => {
  log.push("connection");
  socket.on("echo", (...args) => {
    const ack = args.pop();
    socket.emit("echoed", ...args);
    ack(...args);
  });
  socket.on("ask me", async (ack) => ack(await socket.emitWithAck("question", 1, Buffer.from("two"))));
  socket.on("flood", (count) => { for (let number = 0; number < count; number++) socket.emit("number", number); });
  socket.on("disconnect", (reason) => log.push(reason));
});
"""


def talk(scene: Scene, runtime: Flavour, url: str, transports: tuple[str, ...]) -> list[Any]:
    """Has a client of ours refused, then talk with a server of others until it leaves; returns how it came and went."""
    with pytest.raises(ConnectError, match="not you"):
        scene.client(runtime, url, transports=transports, auth={"token": "wrong"})
    client = scene.make_client(runtime, url, transports=transports, auth={"token": "right"})
    echoed, numbers = scene.log("echoed"), scene.log("numbers")
    client.hosted.on("echoed", lambda *args: echoed.append(args))
    client.hosted.on("question", lambda *args: [*args])
    client.hosted.on("number", numbers.append)
    rows = scene.record("rows", client.hosted, "connect", "disconnect")
    client.start()
    assert client.ask("echo", *VALUES) == tuple(VALUES)
    assert client.ask("ask me") == [1, b"two"]
    client.upgraded()
    client.emit("flood", FLOOD)
    assert gathered(numbers, FLOOD) == list(range(FLOOD))
    assert gathered(echoed, 1) == [tuple(VALUES)]
    client.stop()
    return [row[0] for row in rows]


@feature("npm's server")
@over_each
def test_the_server_of_npm(scene: Scene, runtime: Flavour, peer: Peer, transports: tuple[str, ...]) -> None:
    server = peer.serve(NPM)
    assert talk(scene, runtime, server.url, transports) == ["connect", "disconnect"]
    eventually(lambda: server.log() == ["connection", "client namespace disconnect"])


@feature("npm's server")
def test_the_server_of_npm_that_restarts(scene: Scene, runtime: Flavour, peer: Peer) -> None:
    server = peer.serve(NPM)
    client = scene.make_client(runtime, server.url, auth={"token": "right"})
    rows = scene.record("rows", client.hosted, "connect", "disconnect")
    client.start()
    server("await leave();")
    gathered(rows, 2)
    server("await comeBack();")
    gathered(rows, 3)
    assert client.ask("echo", 1) == 1
    assert [row[0] for row in rows] == ["connect", "disconnect", "connect"]


@feature("python-socketio's server")
@over_each
def test_the_server_of_python_socketio(
    scene: Scene, runtime: Flavour, python_socketio: ModuleType, transports: tuple[str, ...]
) -> None:
    with serving_python(python_socketio, async_handlers=True) as server:

        @server.event
        async def connect(sid: str, environ: Any, auth: dict[str, str]) -> None:
            if auth["token"] != "right":
                raise python_socketio.exceptions.ConnectionRefusedError("not you")

        @server.event
        async def echo(sid: str, *args: Any) -> tuple[Any, ...]:
            await server.io.emit("echoed", args, to=sid)
            return args

        async def ask(sid: str) -> Any:
            return await server.io.call("question", (1, b"two"), to=sid)

        @server.event
        async def flood(sid: str, count: int) -> None:
            for number in range(count):
                await server.io.emit("number", number, to=sid)

        server.io.on("ask me", ask)
        assert talk(scene, runtime, server.url, transports) == ["connect", "disconnect"]
