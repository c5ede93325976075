"""How servers on curio begin, run and end: kernels, listeners, signals, other threads, exhausted descriptors."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import sys
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import LocalProtocolError
from tests.bindings.raw import Connection, WebSockets

curio = pytest.importorskip("curio")

from sioproto_curio import Server, connect  # noqa: E402
from tests.bindings.kernels import (  # noqa: E402
    LATE,
    check_closed,
    driver_of,
    on_asyncio,
    run,
    serving,
    settled,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sioproto import Socket


async def say_hello(address: Any, tls: ssl.SSLContext | None = None) -> None:
    """Joins over WebSocket, asks something and is answered."""
    client = WebSockets(address, tls=tls)
    await client.open()
    await client.join()
    await client.send('420["hello"]')
    assert await client.receive() == '430["world"]'
    await client.hang_up()


def greet(io: Server) -> None:
    """Lets a server answer what ``say_hello`` asks."""

    @io.on("hello")
    async def hello(socket: Socket) -> str:
        await curio.sleep(0)
        return "world"


def test_several_listeners_of_every_kind(tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "socket")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(path)
        stale.close()
        given = socket.create_server(("127.0.0.1", 0))
        async with serving() as io:
            greet(io)
            async with curio.TaskGroup(wait=None) as group:
                await group.spawn(lambda: io.serve(path=path))
                await group.spawn(lambda: io.serve(sock=given))
                assert await settled(lambda: len(io.addresses) == 3)
                for address in io.addresses:
                    await on_asyncio(partial(say_hello, address))
                await io.close()
            assert io.addresses == []
        with pytest.raises(ConnectionRefusedError):
            await on_asyncio(lambda: say_hello(path))

    run(main)


def test_over_tls() -> None:
    trustme = pytest.importorskip("trustme", reason='trustme is missing: install it with `pip install -e ".[test]"`')
    authority = trustme.CA()
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)
    big = "x" * 3_000_000

    async def main() -> None:
        async with serving(where={"port": 0, "ssl": server_tls}, max_payload=8_000_000) as io:
            io.on("echo", lambda socket, text: text)
            url = url_of(io).replace("http", "https")
            for transports in (("polling",), ("websocket",)):
                async with connect(url, ssl=client_tls, transports=transports, max_payload=8_000_000) as client:
                    # More than a record, and more than the sockets take at once, in both directions.
                    assert await client.emit_with_ack("echo", big) == big
            # One who speaks no TLS, one who says nothing, and one whom the certificate does not convince.
            with socket.create_connection(io.addresses[0]) as plain, socket.create_connection(io.addresses[0]):
                plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert await settled(lambda: len(io.wire.connections) == 1)
                with pytest.raises(Exception, match="certificate"):
                    await connect(url).__aenter__()
                await io.close()

    run(main)


def test_a_port_that_is_taken_may_be_left_for_another() -> None:
    async def main() -> None:
        async with serving() as first:
            second = Server(grace=0.1)
            with pytest.raises(OSError, match="address"):
                await second.serve(port=first.addresses[0][1])
            greet(second)
            async with second.listening(port=0):
                address = second.addresses[0]
                await on_asyncio(lambda: say_hello(address))
            check_closed(second)

    run(main)


def test_what_the_block_raises_comes_out_of_it() -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with serving():
                raise ZeroDivisionError

    run(main)


def test_a_server_serves_one_kernel_after_the_other_never_two() -> None:
    io = Server(grace=0.1)

    async def fail() -> None:
        with pytest.raises(LocalProtocolError, match="thread"):
            await io.serve(port=0)

    async def main() -> None:
        async with io.listening(port=0):
            await curio.run_in_thread(curio.run, fail)

    run(main)


def test_a_handler_may_close_its_own_server() -> None:
    async def main() -> None:
        closed: list[str] = []
        io = Server(grace=0.2, ping_interval=300.0)

        @io.on("close")
        async def close(socket: Socket) -> None:
            await io.close()
            closed.append("closed")

        async with connect_to(io) as client:
            client.emit("close")
            await client.wait()
        assert await settled(lambda: closed)
        check_closed(io)

    run(main)


def connect_to(io: Server) -> Any:
    """Serves and connects for the length of a block."""

    class Both:
        async def __aenter__(self) -> Any:
            self.listening = io.listening(port=0)
            await self.listening.__aenter__()
            self.client = await connect(url_of(io), reconnection=False, grace=0.1).__aenter__()
            return self.client

        async def __aexit__(self, *_: object) -> None:
            await self.client.close()
            await self.listening.__aexit__(None, None, None)

    return Both()


def test_a_handler_that_swallows_its_cancellation_holds_nobody_up() -> None:
    async def main() -> None:
        go_on = curio.Event()
        io = Server(grace=0.1, ping_interval=300.0)

        @io.on("stubborn")
        async def stubborn(socket: Socket) -> None:
            try:
                await curio.sleep(1000)
            except curio.CancelledError:
                await go_on.wait()

        async with connect_to(io) as client:
            client.emit("stubborn")
            assert await settled(lambda: driver_of(io).tasks)
        assert driver_of(io)._pump.terminated
        await go_on.set()
        assert await settled(lambda: not driver_of(io).tasks)

    run(main)


def test_a_time_out_that_a_handler_does_not_catch_is_reported() -> None:
    async def main() -> None:
        errors: list[tuple[BaseException, str]] = []
        async with serving(on_error=lambda error, where: errors.append((error, where))) as io:

            @io.on("impatient")
            async def impatient(socket: Socket) -> str:
                async with curio.timeout_after(0.01):
                    await curio.sleep(1000)
                return "never"

            io.on("next", lambda socket: "answer")
            async with connect(url_of(io)) as client:
                client.emit("impatient")
                # The lane goes on.
                assert await client.emit_with_ack("next") == "answer"
        ((error, where),) = errors
        assert isinstance(error, curio.TaskTimeout)
        assert where == "task"

    run(main)


def test_a_flood_of_data_leaves_others_their_turn() -> None:
    async def main() -> None:
        async with serving(max_payload=1_000_000) as io:
            got: list[int] = []
            io.on("flood", lambda socket, data: got.append(len(data)))
            io.on("hello", lambda socket: "world")
            stop = threading.Event()

            async def flood() -> None:
                client = WebSockets(io.addresses[0])
                await client.open()
                await client.join()
                while not stop.is_set():
                    await client.send('42["flood","' + "x" * 500_000 + '"]')
                await client.hang_up()

            flooding = await curio.spawn(on_asyncio, flood)
            assert await settled(lambda: got)
            async with connect(url_of(io)) as client:
                for _ in range(20):
                    assert await client.emit_with_ack("hello") == "world"
            stop.set()
            await flooding.join()

    run(main)


def test_without_descriptors_it_waits_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits of that kind")

    async def main() -> None:
        monkeypatch.setattr("sioproto_host.sockets.ACCEPT_PAUSE", 0.05)
        reports: list[str] = []
        async with serving() as io:
            greet(io)
            driver_of(io).report = lambda error, where: reports.append(where)
            with socket.create_connection(io.addresses[0]):
                assert await settled(lambda: io.wire.connections)
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                client = socket.socket()
                resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
                taken: list[int] = []
                try:
                    with suppress(OSError):
                        while True:
                            taken.append(os.dup(client.fileno()))
                    client.connect(io.addresses[0])
                    assert await settled(lambda: len(reports) > 1)
                    cycles = driver_of(io)._listeners[next(iter(driver_of(io)._listeners))].cycles
                    assert cycles < 100  # it does not spin
                    assert set(reports) == {"accepting connections"}
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                    for descriptor in (*taken, client.detach()):
                        os.close(descriptor)
            address = io.addresses[0]
            await on_asyncio(lambda: say_hello(address))

    run(main)


def test_calls_from_other_threads() -> None:
    async def main() -> None:
        async with serving() as io:
            got: list[Any] = []

            async def slow(value: int) -> int:
                await curio.sleep(0.01)
                return value

            def foreign() -> list[Any]:
                with pytest.raises(LocalProtocolError, match="from_thread"):
                    io.emit("refused")
                calls = [io.from_thread(io.emit, "news", number) for number in range(1000)]
                assert [call.result(LATE) for call in calls] == [None] * 1000
                return [
                    io.call_from_thread(len, "abc"),
                    io.call_from_thread(slow, 7, timeout=LATE),
                    io.call_from_thread(io.sleep, 0.01, timeout=LATE),
                ]

            with pytest.raises(LocalProtocolError, match="without call_from_thread"):
                io.call_from_thread(len, "abc")
            client = connect(url_of(io))
            client.on("news", got.append)
            async with client:
                assert await curio.run_in_thread(foreign) == [3, 7, None]
                assert await settled(lambda: len(got) == 1000)
                assert got == [*range(1000)]
                with pytest.raises(LocalProtocolError, match="await"):
                    client.emit_with_ack("question").wait(0)
        with pytest.raises(LocalProtocolError, match="not running"):
            io.from_thread(io.emit, "news")

    run(main)


def test_calls_that_come_while_it_closes_are_not_forgotten() -> None:
    async def main() -> None:
        async with serving() as io:
            called = threading.Event()

            def call() -> str:
                while True:
                    try:
                        io.from_thread(len, "abc").result(LATE)
                    except LocalProtocolError as error:
                        return str(error)
                    called.set()

            calling = await curio.spawn(curio.run_in_thread, call)
            assert await settled(called.is_set)
            await io.close()
            assert "not running" in await calling.join()

    run(main)


@pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signals_end_gracefully_then_at_once(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    told: list[str] = []
    io = Server(grace=300, ping_interval=300.0)

    @io.on("slow")
    async def slow(socket: Socket) -> None:
        told.append("begins")
        try:
            await curio.sleep(1000)
        finally:
            told.append("ends")

    async def main() -> None:
        serving_there = await curio.spawn(lambda: io.serve(port=0, signals=True))
        assert await settled(lambda: io.addresses)
        async with connect(url_of(io), reconnection=False, grace=0.1) as client:
            client.emit("slow")
            assert await settled(lambda: told)
            os.kill(os.getpid(), number)
            assert await settled(lambda: not io.addresses)
            assert told == ["begins"]
            os.kill(os.getpid(), number)
            await client.wait()
        await serving_there.join()
        assert told == ["begins", "ends"]

    run(main)
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")
def test_run_is_woken_by_a_signal_while_nothing_happens() -> None:
    io = Server(grace=0.1)
    began = threading.Event()

    def send() -> None:
        assert began.wait(LATE)
        os.kill(os.getpid(), signal.SIGTERM)

    async def begin() -> None:
        began.set()

    given = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=send)
    thread.start()
    driver_of(io).errand(begin)  # the first thing that it does
    io.run(sock=given)
    thread.join()


def test_a_connection_that_comes_while_it_closes() -> None:
    def once(turns: int) -> None:
        async def main() -> None:
            async with serving() as io:
                sock = socket.create_connection(io.addresses[0])
                for _ in range(turns):
                    await curio.sleep(0)
                await io.close()

                async def rest() -> None:
                    connection = Connection(*await asyncio.open_connection(sock=sock))
                    assert await connection.rest() == b""
                    await connection.close()

                await on_asyncio(rest)

        run(main)

    for turns in range(8):
        once(turns)


@pytest.mark.parametrize("call", ["run", "serve"])
def test_it_cannot_be_run_again(call: str) -> None:
    async def main() -> Any:
        async with serving() as io:
            pass
        return io

    io: Any = run(main)
    again: Callable[[], Any] = io.run if call == "run" else lambda: run(io.serve)
    with pytest.raises(LocalProtocolError, match="closed"):
        again()
