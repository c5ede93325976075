"""Clients on curio: how they come to a server, through proxies and TLS, come back, give up; and slow readers."""

from __future__ import annotations

import select
import socket
import ssl
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError
from tests.bindings.raw import WebSockets

curio = pytest.importorskip("curio")

from sioproto_curio import Server, connect  # noqa: E402
from tests.bindings.kernels import (  # noqa: E402
    Tripwire,
    cancel,
    check_closed,
    driver_of,
    named,
    on_asyncio,
    run,
    serving,
    settled,
    url_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024


@contextmanager
def proxy(answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Iterator[tuple[str, list[str]]]:
    """Runs an HTTP proxy in another thread; yields its address and the heads that it was sent."""
    listener = socket.create_server(("127.0.0.1", 0))
    heads: list[str] = []
    threads: list[threading.Thread] = []

    def relay(near: socket.socket) -> None:
        with near, suppress(OSError):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                data = near.recv(65536)
                if not data:
                    return
                head += data
            heads.append(head.decode())
            near.sendall(answer)
            if b" 200 " not in answer:
                return
            host, _, port = head.split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as far:
                while True:
                    for one in select.select([near, far], [], [])[0]:
                        data = one.recv(65536)
                        if not data:
                            return
                        (far if one is near else near).sendall(data)

    def accept() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=relay, args=(near,)))
            threads[-1].start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in [accepting, *threads]:
            thread.join()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_through_a_proxy(secure: bool) -> None:
    trustme = pytest.importorskip("trustme", reason='trustme is missing: install it with `pip install -e ".[test]"`')
    authority = trustme.CA()
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)

    async def main() -> None:
        with proxy() as (address, heads):
            async with serving(where={"port": 0, "ssl": server_tls if secure else None}) as io:
                io.on("hello", lambda socket: "world")
                url = url_of(io).replace("http", "https" if secure else "http")
                async with connect(url, proxy=f"http://me:secret@{address}", ssl=client_tls) as client:
                    assert await client.emit_with_ack("hello") == "world"
                host = url.partition("//")[2]
        assert heads
        for head in heads:
            assert head.startswith(f"CONNECT {host} HTTP/1.1\r\n")
            assert "Basic bWU6c2VjcmV0" in head

    run(main)


def test_a_client_that_is_cancelled_at_any_step_of_its_connections() -> None:
    """Wherever the tasks of connections stand, on either side: in CONNECT, in the handshake of TLS, in reading."""
    trustme = pytest.importorskip("trustme", reason='trustme is missing: install it with `pip install -e ".[test]"`')
    authority = trustme.CA()
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server_tls)
    client_tls = ssl.create_default_context()
    authority.configure_trust(client_tls)

    def once(at: int, address: str) -> bool:
        victims: list[Any] = []

        async def main() -> None:
            async with serving(where={"port": 0, "ssl": server_tls}) as io:
                io.on("hello", lambda socket: "world")
                url = url_of(io).replace("http", "https")
                client = connect(url, proxy=f"http://{address}", ssl=client_tls, grace=0.1)

                async def victim() -> None:
                    async with client:
                        assert await client.emit_with_ack("hello") == "world"

                victims.append(await curio.spawn(victim))
                await victims[0].wait()
                victims[0].joined = True
                assert await settled(lambda: driver_of(client)._pump.terminated)
                check_closed(client)
                assert await settled(lambda: not io.wire.connections)

        wire = Tripwire(at, named("Carrier._live"), lambda kernel, _: cancel(kernel, victims[0]))
        run(main, wire)
        return wire.sprung

    with proxy() as (address, _):
        assert sum(once(at, address) for at in range(1, 40, 2)) > 8


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "407"),
        (b"nonsense\r\n\r\n", "HTTP"),
    ],
)
def test_a_proxy_that_refuses(answer: bytes, said: str) -> None:
    async def main() -> None:
        with proxy(answer) as (address, _):
            client = connect("http://127.0.0.1:1", proxy=f"http://{address}")
            with pytest.raises(ConnectError, match=said):
                await client.__aenter__()
            check_closed(client)

    run(main)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no-such-host.invalid", f"http://{'x' * 70}.invalid"])
def test_nobody_there(url: str) -> None:
    async def main() -> None:
        client = connect(url)
        with pytest.raises(ConnectError):
            async with client:
                raise AssertionError("it is not connected")
        check_closed(client)

    run(main)


def test_a_host_of_several_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving() as io:
            io.on("hello", lambda socket: "world")
            port = io.addresses[0][1]

            async def look_up(host: str, port: int, **_: Any) -> list[Any]:
                stream = (socket.AF_INET, socket.SOCK_STREAM, 0, "")
                return [(*stream, ("127.0.0.1", 1)), (*stream, ("127.0.0.1", port))]

            monkeypatch.setattr("curio.socket.getaddrinfo", look_up)
            async with connect(f"http://somewhere.invalid:{port}") as client:
                assert await client.emit_with_ack("hello") == "world"

    run(main)


def test_dialing_that_takes_for_ever_is_given_up() -> None:
    def once(at: int) -> bool:
        async def main() -> None:
            # The one place in its queue is taken, so that the kernel answers no more.
            with socket.socket() as full, socket.socket() as first, socket.socket() as second:
                full.bind(("127.0.0.1", 0))
                full.listen(0)
                for sock in (first, second):
                    sock.setblocking(False)
                    sock.connect_ex(full.getsockname())
                client = connect(f"http://127.0.0.1:{full.getsockname()[1]}", dial_timeout=0.2)

                async def victim() -> None:
                    with pytest.raises(ConnectError, match="in time"):
                        await client.__aenter__()

                task = await curio.spawn(victim)
                await task.wait()
                task.joined = True
                assert await settled(lambda: driver_of(client)._pump.terminated)
                check_closed(client)

        wire = Tripwire(at, named("victim"), cancel)
        run(main, wire)
        return wire.sprung

    assert once(1)
    assert not once(1000)


def test_a_lost_connection_comes_back() -> None:
    async def main() -> None:
        given = socket.create_server(("127.0.0.1", 0))
        address = given.getsockname()
        told: list[str] = []
        again = curio.Event()
        client = connect(f"http://127.0.0.1:{address[1]}", reconnection_delay=0.01, reconnection_delay_max=0.05)
        client.on("connect", lambda: told.append("connect"))
        client.on("disconnect", lambda reason: told.append(reason))
        client.on("news", again.set)
        async with curio.TaskGroup(wait=None) as group:
            first, second = Server(grace=0.1), Server(grace=0.1)
            serving_first = await group.spawn(lambda: first.serve(sock=given))
            async with client:
                await serving_first.cancel()
                assert await settled(lambda: "transport close" in told)
                client.emit("kept")
                kept: list[None] = []

                @second.on("kept")
                def keep(socket: Any) -> None:
                    kept.append(None)
                    socket.emit("news")

                await group.spawn(lambda: second.serve(port=address[1]))
                await again.wait()
                assert kept == [None]
            assert told == ["connect", "transport close", "connect", "io client disconnect"]
        check_closed(client)

    run(main)


def test_waiting_for_a_server_that_comes_later() -> None:
    async def main() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as taken:
            port = taken.getsockname()[1]
        client = connect(f"http://127.0.0.1:{port}", wait_for_server=True, reconnection_delay=0.01)
        entering = await curio.spawn(client.__aenter__)
        assert await settled(lambda: driver_of(client).running)
        await curio.sleep(0.05)
        async with serving(where={"port": port}):
            await entering.join()
            await client.close()

    run(main)


def test_a_time_limit_around_a_client() -> None:
    async def main() -> None:
        async with serving() as io:
            io.on("endless", lambda socket: curio.sleep(1000))
            client = connect(url_of(io), grace=0.1)
            with pytest.raises(curio.TaskTimeout):
                async with curio.timeout_after(0.3), client:
                    await client.emit_with_ack("endless")
            check_closed(client)

    run(main)


def test_a_slow_reader_holds_nobody_up() -> None:
    async def main() -> None:
        async with serving(max_send_buffer=64 * MIB, send_timeout=300.0) as io:
            go_on = threading.Event()
            got: list[int] = []

            async def slow() -> None:
                client = WebSockets(io.addresses[0])
                await client.open()
                await client.join()
                go_on.wait()  # its loop stands still, so that nothing is read
                got.extend([len(await client.receive()) for _ in range(40)])
                assert await client.receive() == '42["last"]'
                await client.hang_up()

            reading = await curio.spawn(on_asyncio, slow)
            assert await settled(lambda: io.sockets.sockets)
            (behind,) = io.sockets.sockets.values()
            connection = next(iter(io.wire.connections))
            for _ in range(40):
                behind.emit("news", "x" * MIB)
            assert await settled(lambda: connection.blocked)
            io.on("hello", lambda socket: "world")
            async with connect(url_of(io)) as client:
                assert await client.emit_with_ack("hello") == "world"
            writer = connection.owner._writer
            assert not writer.terminated
            behind.volatile.emit("dropped")
            behind.emit("last")
            go_on.set()
            await reading.join()
            assert got == [MIB + len('42["news",""]')] * 40
            # The writer lives only while its client is blocked.
            assert writer.terminated

    run(main)


def test_a_reader_that_never_reads_is_dropped() -> None:
    async def main() -> None:
        limits = {"polling_close_timeout": 0.2, "close_timeout": 0.2, "send_timeout": 0.2}
        async with serving(max_send_buffer=64 * MIB, **limits) as io:
            over = threading.Event()

            async def stuck() -> None:
                client = WebSockets(io.addresses[0])
                await client.open()
                await client.join()
                over.wait()
                await client.hang_up()

            reading = await curio.spawn(on_asyncio, stuck)
            assert await settled(lambda: io.sockets.sockets)
            (behind,) = io.sockets.sockets.values()
            for _ in range(40):
                behind.emit("news", "x" * MIB)
            behind.disconnect(close=True)
            assert await settled(lambda: not io.wire.connections)
            over.set()
            await reading.join()

    run(main)
