"""User code on asyncio: what it raises, how long it takes, how it is cancelled; hooks, options and what is missing."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError, CorsPolicy, Event, Forbidden, OptionError, Request, Response
from sioproto_asyncio import Server
from tests.bindings.live import serving, settled
from tests.bindings.raw import TRANSPORTS

if TYPE_CHECKING:
    from sioproto import AnyEvent, Socket

ROOT = Path(__file__).resolve().parent.parent.parent
HANDSHAKE = "/socket.io/?EIO=4&transport=polling"

both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
async def test_a_handler_that_raises_disturbs_nobody(transport: str) -> None:
    async with serving() as live:

        @live.io.on("plain")
        def plain(socket: Socket) -> None:
            raise ZeroDivisionError("plain")

        @live.io.on("waiting")
        async def waiting(socket: Socket) -> None:
            await asyncio.sleep(0)
            raise ZeroDivisionError("waiting")

        @live.io.on("next")
        def following(socket: Socket) -> str:
            return "fine"

        client = await live.client(transport)
        await client.join()
        await client.send('421["plain"]', '422["waiting"]', '423["next"]')
        assert await client.receive() == '433["fine"]'
        told = [(str(error), where) for error, where in live.errors]
        assert told == [("plain", "event 'plain' in /"), ("waiting", "event 'waiting' in /")]
        live.errors.clear()


@pytest.mark.parametrize("name", ["connection", "disconnecting", "disconnect"])
async def test_a_lifecycle_handler_that_raises_disturbs_nobody(name: str) -> None:
    async with serving() as live:

        @live.io.on(name)
        def fail(socket: Socket) -> None:
            raise ZeroDivisionError

        client = await live.websocket()
        await client.join()
        await client.send("41")
        assert await settled(lambda: not live.io.sockets.sockets and live.errors)
        assert isinstance(live.take_error()[0], ZeroDivisionError)


async def test_without_a_hook_errors_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as live:
        live.io._on_error = None

        @live.io.on("fail")
        def fail(socket: Socket) -> None:
            raise ZeroDivisionError("told to the log")

        client = await live.websocket()
        await client.join()
        with caplog.at_level(logging.ERROR, "sioproto_asyncio"):
            await client.send('42["fail"]', '421["nothing"]')
            assert await settled(lambda: live.logged.texts)
        (text,) = live.take_logged()
        assert text.startswith("unhandled error in event 'fail' in /\nTraceback")
        assert "told to the log" in text


async def test_what_a_client_caused_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as live:
        live.io._on_error = None

        def reject(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
            raise ValueError(f"unknown: {args[0]}")

        live.io.on(Event("x", str, validate=reject), lambda socket, text: None)
        client = await live.websocket()
        await client.join()
        with caplog.at_level(logging.DEBUG, "sioproto_asyncio"):
            await client.send('421["x","a\\nERROR:forged"]')
            assert await client.receive() == '431[{"error":"invalid payload"}]'
        (line,) = [record.getMessage() for record in caplog.records if "unknown" in record.getMessage()]
        assert "forged" in line
        assert "\n" not in line


async def test_a_hook_that_fails_itself() -> None:
    async with serving() as live:

        def broken(error: BaseException, where: str) -> None:
            raise RuntimeError("the hook")

        live.io._on_error = broken

        @live.io.on("fail")
        def fail(socket: Socket) -> None:
            raise ZeroDivisionError("the handler")

        client = await live.websocket()
        await client.join()
        await client.send('42["fail"]')
        assert await settled(lambda: len(live.logged.texts) == 2)
        first, second = live.take_logged()
        assert "the handler" in first
        assert "the hook" in second
        await live.check_fresh_client()


async def test_a_handler_that_is_cancelled_takes_nobody_with_it() -> None:
    async with serving() as live:
        tasks: list[asyncio.Task[Any]] = []

        @live.io.on("wait")
        async def wait(socket: Socket) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.append(task)
            await asyncio.sleep(60)

        @live.io.on("next")
        async def following(socket: Socket) -> str:
            await asyncio.sleep(0)
            return "fine"

        client = await live.websocket()
        await client.join()
        await client.send('421["wait"]', '422["next"]', '423["next"]')
        assert await settled(lambda: tasks)
        tasks[0].cancel()
        assert [await client.receive() for _ in range(2)] == ['432["fine"]', '433["fine"]']
        assert await settled(lambda: not live.io._dispatcher.running)


async def test_a_client_that_goes_does_not_cancel_its_handler() -> None:
    async with serving() as live:
        done: list[str] = []
        go = asyncio.Event()

        @live.io.on("wait")
        async def wait(socket: Socket) -> str:
            await go.wait()
            done.append("handler")
            return "for nobody"

        live.io.on("disconnect", lambda socket, reason: done.append(reason))
        client = await live.websocket()
        await client.join()
        await client.send('421["wait"]')
        assert await settled(lambda: live.io._dispatcher.running)
        await client.hang_up()
        assert await settled(lambda: live.sessions == 0)
        go.set()
        assert await settled(lambda: len(done) == 2)
        assert done == ["handler", "transport close"]


async def test_handlers_of_one_client_wait_for_each_other_and_those_of_others_do_not() -> None:
    async with serving() as live:
        log: list[tuple[str, int]] = []
        together = asyncio.Barrier(3)

        @live.io.on("step")
        async def step(socket: Socket, number: int) -> None:
            log.append((socket.id, number))
            # Nobody gets further before all three clients have a handler here.
            await together.wait()
            log.append((socket.id, -number))

        clients = [await live.websocket() for _ in range(3)]
        sids = [await client.join() for client in clients]
        for client in clients:
            await client.send('42["step",1]', '42["step",2]', '42["step",3]')
        assert await settled(lambda: len(log) == 18)
        for sid in sids:
            assert [number for each, number in log if each == sid] == [1, -1, 2, -2, 3, -3]


async def test_a_handler_that_blocks_the_loop_costs_nobody_the_connection() -> None:
    async with serving(ping_interval=0.2, ping_timeout=0.7) as live:

        @live.io.on("block")
        def block(socket: Socket) -> None:
            # The subject: a user's mistake holds up everything for longer than the ping time-out.
            time.sleep(0.8)

        client = await live.websocket()
        await client.join()
        other = await live.websocket()
        await other.join()
        await client.send('421["block"]')

        async def keep_up(one: Any) -> list[str]:
            seen: list[str] = []
            # Each ping after the first says that the pong before was not too late.
            while seen.count("2") < 3:
                packet = await one.receive()
                seen.append(packet)
                if packet == "2":
                    await one.send("3")
            return seen

        seen, _ = await asyncio.gather(keep_up(client), keep_up(other))
        assert "431[]" in seen
        assert live.sessions == 2


async def test_a_handler_waits_for_an_acknowledgement_of_its_own_client() -> None:
    async with serving() as live:

        @live.io.on("ask")
        async def ask(socket: Socket) -> Any:
            return await socket.emit_with_ack("question")

        client = await live.websocket()
        await client.join()
        await client.send('427["ask"]')
        assert await client.receive() == '420["question"]'
        await client.send('430["answer"]')
        assert await client.receive() == '437["answer"]'


async def test_parked_events_stop_the_reading_and_nothing_is_lost() -> None:
    async with serving(max_parked=20_000) as live:
        go = asyncio.Event()
        numbers: list[int] = []

        @live.io.on("number")
        async def number(socket: Socket, value: int, filler: str) -> None:
            await go.wait()
            numbers.append(value)

        client = await live.websocket()
        await client.join()
        (socket,) = live.io.sockets.sockets.values()
        filler = "x" * 1000
        sending = asyncio.create_task(client.send(*(f'42["number",{value},"{filler}"]' for value in range(4000))))
        assert await settled(lambda: socket.conn.paused)
        # One read brings at most the shared buffer; then nothing more is taken.
        assert socket.client.parked < 20_000 + 2 * 256 * 1024
        go.set()
        await sending
        assert await settled(lambda: len(numbers) == 4000)
        assert numbers == list(range(4000))
        assert not socket.conn.paused


async def test_a_middleware_whose_task_is_cancelled_refuses() -> None:
    async with serving() as live:

        @live.io.use
        async def cancelled(socket: Socket) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.sleep(10)

        client = await live.websocket()
        await client.send("40")
        assert await client.receive() == '44{"message":"Internal server error"}'


async def test_middlewares_refuse_and_accept_on_the_same_session() -> None:
    async with serving() as live:

        @live.io.use
        async def check(socket: Socket) -> None:
            await asyncio.sleep(0)
            if socket.handshake.auth.get("token") != "right":
                raise ConnectError("not you", {"code": 7})

        client = await live.websocket()
        await client.send('40{"token":"wrong"}')
        assert await client.receive() == '44{"message":"not you","data":{"code":7}}'
        await client.join(auth={"token": "right"})

        @live.io.use
        def broken(socket: Socket) -> None:
            raise ZeroDivisionError

        other = await live.websocket()
        await other.send('40{"token":"right"}')
        assert await other.receive() == '44{"message":"Internal server error"}'
        error, where = live.take_error()
        assert isinstance(error, ZeroDivisionError)
        assert where == "middleware of /"


async def test_allow_request_is_asked_once_a_session() -> None:
    asked: list[str] = []

    async def allow(request: Request) -> None:
        asked.append(request.target)
        await asyncio.sleep(0)
        if "no=1" in request.target:
            raise Forbidden("go away")

    async with serving(allow_request=allow) as live:
        polling = await live.polling()
        await polling.join()
        await polling.send("41")
        assert len(asked) == 1
        connection = await live.connect()
        refusal = (403, {"code": 4, "message": "go away"})
        assert (await connection.request("GET", HANDSHAKE + "&no=1")).error == refusal
        answer = await connection.upgrade("/socket.io/?EIO=4&transport=websocket&no=1")
        assert answer.error == refusal
        assert await connection.rest() == b""


async def test_fallback_serves_pages() -> None:
    async def pages(request: Request, body: bytes) -> Response | None:
        if request.path == "/":
            return Response(200, [("Content-Type", "text/html")], b"<h1>hello</h1>")
        if request.path == "/echo":
            await asyncio.sleep(0)
            return Response(200, [("Content-Type", "application/octet-stream")], request.method.encode() + b" " + body)
        if request.path == "/broken":
            raise ZeroDivisionError
        return None

    async with serving(fallback=pages) as live:
        connection = await live.connect()
        answer = await connection.request("GET", "/")
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/html", b"<h1>hello</h1>")
        assert (await connection.request("POST", "/echo", b"\x00data")).body == b"POST \x00data"
        assert (await connection.request("HEAD", "/")).headers["content-length"] == "14"
        assert (await connection.request("GET", "/missing")).status == 404
        assert (await connection.request("GET", "/broken")).status == 500
        assert isinstance(live.take_error()[0], ZeroDivisionError)
        assert (await connection.request("GET", "/socket.iox/")).status == 404
        assert (await connection.request("GET", HANDSHAKE)).status == 200


async def test_origins() -> None:
    async with serving(cors=CorsPolicy(origins=("https://good.example",), credentials=True)) as live:
        connection = await live.connect()
        ask = [("Origin", "https://good.example"), ("Access-Control-Request-Method", "POST")]
        answer = await connection.request("OPTIONS", HANDSHAKE, headers=ask)
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "https://good.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        foreign = [("Origin", "https://bad.example"), ("Access-Control-Request-Method", "POST")]
        answer = await connection.request("OPTIONS", HANDSHAKE, headers=foreign)
        assert answer.status == 204
        assert "access-control-allow-origin" not in answer.headers
        answer = await connection.request("GET", HANDSHAKE, headers=ask[:1])
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, "https://good.example")
        refusal = (403, {"code": 4, "message": "Origin not allowed: see the server option cors"})
        answer = await connection.request("GET", HANDSHAKE, headers=foreign[:1])
        assert answer.error == refusal
        assert "access-control-allow-origin" not in answer.headers
        # A page of the server's own host needs no policy, and what is no browser sends no origin.
        own = [("Origin", "http://localhost")]
        assert (await connection.request("GET", HANDSHAKE, headers=own)).status == 200
        answer = await connection.upgrade("/socket.io/?EIO=4&transport=websocket", foreign[:1])
        assert answer.error == refusal


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("ping_intervall", "ping_interval"), ("pingTimeout", "ping_timeout"), ("gracee", "grace"), ("Cors", "cors")],
)
def test_an_unknown_option_names_the_nearest(wrong: str, near: str) -> None:
    options: dict[str, Any] = {wrong: 1}
    with pytest.raises(OptionError, match=f"{wrong!r}.*{near!r}"):
        Server(**options)


@pytest.mark.parametrize("options", [{"grace": -1}, {"ping_interval": 0}, {"max_parked": 0}, {"path": "x"}])
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(OptionError, match=name):
        Server(**options)


MISSING = """
import sys
from importlib.abc import MetaPathFinder

class Blocked(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
import sioproto
try:
    import sioproto_asyncio
except ModuleNotFoundError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["h11", "wsproto"])
def test_a_missing_package_is_named_with_its_extra(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MISSING.format(name=name)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bindings")])},
        timeout=120,
        check=True,
    )
    assert done.stdout == f'sioproto_asyncio needs {name}, which comes with: pip install "sioproto[asyncio]"\n'


async def test_time_and_chance_are_handed_in() -> None:
    from sioproto_wire import real_environment

    real = real_environment()
    counter = iter(range(100))
    environment = type(real)(
        clock=real.clock, wall=real.wall, ids=lambda: f"id{next(counter)}", entropy=real.entropy, jitter=real.jitter
    )
    async with serving(environment=environment) as live:
        client = await live.websocket()
        assert client.sid == "id0"
        assert await client.join() == "id1"


async def test_fire_and_forget_work() -> None:
    async with serving() as live:
        done: list[Any] = []

        async def work(value: int) -> None:
            await live.io.sleep(0.01)
            done.append(value)
            raise ZeroDivisionError

        live.io.spawn(work, 1)
        live.io.spawn(done.append, 2)
        assert await settled(lambda: len(done) == 2 and live.errors)
        assert done == [2, 1]
        assert live.take_error()[1].startswith("spawned ")
