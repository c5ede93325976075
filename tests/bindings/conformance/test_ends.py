"""The end, in good order or not: shutting down under load, servers that are killed and come back, crowds."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from tests.bindings.live import LATE
from tests.bindings.raw import WebSockets
from tests.bindings.scene import OVER, eventually, gathered

if TYPE_CHECKING:
    from sioproto import Socket, app
    from tests.bindings.flavours import Flavour
    from tests.bindings.scene import Client, Scene

over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
feature = pytest.mark.feature

RESTARTS = 20
CROWD = 1000
BATCH = 50


@feature("shutdown under load")
@over_each
def test_what_was_emitted_before_the_end_is_delivered(
    scene: Scene, server_runtime: Flavour, client_runtime: Flavour, transports: tuple[str, ...]
) -> None:
    up, down = scene.log("up"), scene.log("down")
    server = scene.server(server_runtime, lambda io: io.on("up", lambda socket, number: up.append(number)))

    def handlers(io: app.Client) -> None:
        io.on("down", down.append)

    client = scene.make_client(client_runtime, server.url, transports=transports, reconnection=False)
    handlers(client.hosted)
    rows = scene.record("rows", client.hosted, "connect", "disconnect")
    client.start()

    def send_up() -> None:
        async def flood() -> None:
            number = 0
            while client.hosted.connected:
                client.hosted.emit("up", number)
                number += 1
                if number % 20 == 0:
                    await client.hosted.sleep(0.001)

        client.hosted.spawn(flood)

    client.upgraded()
    if client.transport == "websocket":
        # A POST that comes too late fails, and may be quicker with that than the last poll with its events.
        client.call(send_up)
        gathered(up, 100)
    for number in range(1000):
        server.io.from_thread(server.io.emit, "down", number)
    server.stop(LATE)
    gathered(rows, 2)
    assert down == list(range(1000))
    assert up == list(range(len(up)))
    assert [row[0] for row in rows] == ["connect", "disconnect"]
    assert rows[1][1] == "transport close"
    assert server.sessions == 0


@feature("shutdown under load")
def test_a_handler_that_runs_is_waited_for_and_one_that_does_not_end_is_cut_off(scene: Scene, runtime: Flavour) -> None:
    scene.sleeping = True
    finish = threading.Event()
    told = scene.log("told")

    def handlers(io: app.Server) -> None:
        @io.on("slow")
        async def slow(socket: Socket) -> str:
            told.append("begun")
            while not finish.is_set():
                await io.sleep(0.005)
            return "done"

    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url, reconnection=False)
    asked = client.hosted.from_thread(client.hosted.emit_with_ack, "slow")
    gathered(told, 1)
    stopping = threading.Thread(target=server.stop, args=[20 * LATE])
    stopping.start()
    finish.set()
    assert asked.result(LATE) == "done"
    stopping.join(LATE)
    assert not stopping.is_alive()
    finish.clear()
    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url, reconnection=False)
    asked = client.hosted.from_thread(client.hosted.emit_with_ack, "slow")
    gathered(told, 2)
    begun = time.monotonic()
    server.stop(0.1)
    assert time.monotonic() - begun < LATE
    assert isinstance(asked.exception(LATE), ConnectionError)


@feature("shutdown under load")
def test_whoever_polls_over_new_connections_gets_everything(scene: Scene, runtime: Flavour) -> None:
    """The stock client makes one for each request on Node.js. Once it is gone, nobody can connect any more."""
    server = scene.server(runtime)
    url = f"{server.url}/socket.io/?EIO=4&transport=polling"

    def ask(query: str, body: bytes | None = None) -> str:
        with urlopen(Request(url + query, body, {"Connection": "close"}), timeout=LATE) as answer:
            text: str = answer.read().decode()
        return text

    sid = json.loads(ask("")[1:])["sid"]
    ask(f"&sid={sid}", b"40")
    assert ask(f"&sid={sid}").startswith("40")
    for number in range(100):
        server.io.from_thread(server.io.emit, "number", number).result(LATE)
    stopping = threading.Thread(target=server.stop, args=[20 * LATE])
    stopping.start()
    eventually(lambda: server.io.stopping)
    with pytest.raises(HTTPError) as refused:
        ask("")
    with refused.value as answer:
        assert answer.status == 503
    assert ask(f"&sid={sid}").split("\x1e") == [f'42["number",{number}]' for number in range(100)]
    assert ask(f"&sid={sid}") == "1"
    stopping.join(LATE)
    assert not stopping.is_alive()
    with pytest.raises(URLError):
        ask("")


@feature("shutdown under load")
def test_closing_again_may_shorten_the_time(scene: Scene, runtime: Flavour) -> None:
    scene.sleeping = True
    begun = scene.log("begun")

    def handlers(io: app.Server) -> None:
        @io.on("endless")
        async def endless(socket: Socket) -> None:
            begun.append(1)
            while True:
                await io.sleep(0.01)

    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url, reconnection=False)
    client.emit("endless")
    gathered(begun, 1)
    patient = threading.Thread(target=runtime.close, args=[server.hosted, 20 * LATE])
    patient.start()
    eventually(lambda: server.hosted._stopping is not None)
    server.stop(0)
    patient.join(LATE)
    assert not patient.is_alive()


@feature("restarts")
def test_a_server_that_is_killed_and_comes_back(scene: Scene, runtime: Flavour) -> None:
    received, asked = scene.log("received"), scene.log("asked")

    def handlers(io: app.Server) -> None:
        @io.on("number")
        def number(socket: Socket, name: str, value: int) -> int:
            received.append((name, value))
            return value

    server = scene.server(runtime, handlers)
    where = {"host": "127.0.0.1", "port": server.port}
    clients: dict[str, Client] = {}
    for name, transports in OVER.items():

        def auth(name: str = name) -> dict[str, Any]:
            asked.append(name)
            return {"name": name}

        client = clients[name] = scene.make_client(runtime, server.url, transports=transports, auth=auth)
        scene.record(name, client.hosted, "connect", "disconnect")
        client.hosted.on("news", lambda value, name=name: scene.log(f"news of {name}").append(value))
        client.start()
    for turn in range(RESTARTS):
        for name, client in clients.items():
            gathered(scene.log(name), 2 * turn + 1, 2 * LATE)
            assert client.ask("number", name, turn) == turn
        server.emit("news", turn)
        for name in OVER:
            gathered(scene.log(f"news of {name}"), turn + 1)
        server.stop(0)
        for name in OVER:
            gathered(scene.log(name), 2 * turn + 2)
        server = scene.server(runtime, handlers, where=where)
    for name in OVER:
        gathered(scene.log(name), 2 * RESTARTS + 1)
        assert [row[0] for row in scene.log(name)] == ["connect", *["disconnect", "connect"] * RESTARTS]
        assert scene.log(f"news of {name}") == list(range(RESTARTS))
        assert asked.count(name) == RESTARTS + 1
    assert sorted(received) == sorted((name, turn) for name in OVER for turn in range(RESTARTS))
    assert len(server.sockets) == len(OVER)


@feature("1,000 connections at once")
def test_a_thousand_at_once(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime, lambda io: io.on("echo", lambda socket, value: value))

    async def one(index: int) -> WebSockets:
        client = WebSockets(server.address)
        await client.open()
        await client.join()
        return client

    async def use(index: int, client: WebSockets) -> None:
        assert await client.receive() == '42["news",1]'
        await client.send(f'421["echo",{index}]')
        assert await client.receive() == f"431[{index}]"

    async def main() -> None:
        clients: list[WebSockets] = []
        for begin in range(0, CROWD, BATCH):
            clients += await asyncio.gather(*(one(index) for index in range(begin, begin + BATCH)))
        assert server.sessions == CROWD
        await asyncio.to_thread(server.emit, "news", 1)
        await asyncio.gather(*(use(index, client) for index, client in enumerate(clients)))
        for client in clients[::2]:
            await client.hang_up()
        await asyncio.to_thread(eventually, lambda: server.sessions == CROWD // 2)
        stopping = asyncio.create_task(asyncio.to_thread(server.stop, LATE))
        codes = await asyncio.gather(*(client.ended() for client in clients[1::2]))
        assert set(codes) == {1005}
        await stopping
        for client in clients:
            await client.hang_up()

    asyncio.run(main())
