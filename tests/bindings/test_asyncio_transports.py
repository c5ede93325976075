"""The asyncio server as clients meet it: both transports and the way from one to the other, wherever it listens."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import SessionCookie
from tests.bindings.live import LATE, serving, settled
from tests.bindings.raw import TRANSPORTS, Polling, WebSocket, head, upgrade

if TYPE_CHECKING:
    from pathlib import Path

    from sioproto import Socket
    from tests.bindings.live import Live

both = pytest.mark.parametrize("transport", TRANSPORTS)


def echo(live: Live) -> None:
    """Makes the server send back what it gets."""

    @live.io.on("echo")
    def back(socket: Socket, *args: Any) -> Any:
        socket.emit("echo", *args)
        return args


@both
async def test_handshake(transport: str) -> None:
    async with serving(ping_interval=7, ping_timeout=3, max_payload=5000) as live:
        client = await live.client(transport)
        assert len(client.sid) == 20
        assert list(client.handshake.items()) == [
            ("sid", client.sid),
            ("upgrades", ["websocket"] if transport == "polling" else []),
            ("pingInterval", 7000),
            ("pingTimeout", 3000),
            ("maxPayload", 5000),
        ]
        sid = await client.join()
        assert len(sid) == 20
        assert sid != client.sid
        assert list(live.io.sockets.sockets) == [sid]


@both
async def test_events_and_acknowledgements(transport: str) -> None:
    async with serving() as live:
        echo(live)
        client = await live.client(transport)
        await client.join()
        await client.send('42["echo",1,"zwei",{"drei":[null,true]}]')
        assert await client.receive() == '42["echo",1,"zwei",{"drei":[null,true]}]'
        await client.send('427["echo"]', '428["echo",1,2]')
        received = [await client.receive() for _ in range(4)]
        assert received == ['42["echo"]', "437[]", '42["echo",1,2]', "438[1,2]"]


@both
async def test_binary_both_ways(transport: str) -> None:
    async with serving() as live:
        echo(live)
        client = await live.client(transport)
        await client.join()
        payload = '["echo",{"_placeholder":true,"num":1},{"in":[{"_placeholder":true,"num":0}]}]'
        await client.send(f"452-3{payload}", b"\x00\x01", bytes(range(256)))
        header = '["echo",{"_placeholder":true,"num":0},{"in":[{"_placeholder":true,"num":1}]}]'
        answer = '[{"_placeholder":true,"num":0},{"in":[{"_placeholder":true,"num":1}]}]'
        received = [await client.receive() for _ in range(6)]
        attachments = [bytes(range(256)), b"\x00\x01"]
        assert received == [f"452-{header}", *attachments, f"462-3{answer}", *attachments]


async def test_polling_answers_carry_what_browsers_need() -> None:
    async with serving() as live:
        client = await live.polling()
        answer = await client.post("40")
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/html", b"ok")
        assert answer.headers["cache-control"] == "no-store"
        answer = await client.get()
        assert answer.headers["content-type"] == "text/plain; charset=UTF-8"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.packets[0].startswith("40{")


async def test_a_poll_is_held_until_there_is_news() -> None:
    async with serving() as live:
        client = await live.polling()
        await client.join()
        held = await client.begin_get()
        assert await settled(lambda: live.io.engine.sessions[client.sid].writable)
        live.io.emit("news", 1)
        live.io.emit("news", 2)
        assert (await held.answer()).packets == ['42["news",1]', '42["news",2]']


async def test_many_packets_in_one_post() -> None:
    async with serving() as live:
        numbers: list[int] = []
        live.io.on("number", lambda socket, number: numbers.append(number))
        client = await live.polling()
        await client.join()
        await client.send(*(f'42["number",{number}]' for number in range(5000)))
        assert numbers == list(range(5000))


async def test_upgrade_with_messages_in_both_directions() -> None:
    async with serving() as live:
        echo(live)
        polling = await live.polling()
        await polling.join()
        for number in range(10):
            await polling.send(f'42["echo",{number}]')
        # What was queued before the switch follows on the new transport, in order.
        client = await upgrade(polling)
        for number in range(10, 20):
            await client.send(f'42["echo",{number}]')
        assert [await client.receive() for _ in range(20)] == [f'42["echo",{number}]' for number in range(20)]
        session = live.io.engine.sessions[client.sid]
        assert session.upgraded
        assert session.transport_name == "websocket"


async def test_a_held_poll_is_released_for_the_probe() -> None:
    async with serving(upgrade_noop_interval=0.02) as live:
        polling = await live.polling()
        held = await polling.begin_get()
        upgrading = await begin_upgrade(polling)
        assert (await held.answer()).packets == ["6"]
        await upgrading.send("5")
        live.io.engine.sessions[polling.sid].send("hello")
        assert await upgrading.receive() == "4hello"


async def begin_upgrade(polling: Polling) -> WebSocket:
    """Probes, and leaves out the ``5``."""
    connection = await polling.connect()
    assert (await connection.upgrade(polling.target("websocket"))).status == 101
    candidate = WebSocket(connection)
    await candidate.send("2probe")
    assert await candidate.receive() == "3probe"
    return candidate


async def test_requests_in_small_pieces_and_pipelined() -> None:
    async with serving() as live:
        client = await live.polling()
        connection = await live.connect()
        for byte in head("POST", client.target("polling"), length=2) + b"40":
            await connection.send(bytes([byte]))
        assert (await connection.answer()).body == b"ok"
        again = head("POST", client.target("polling"), length=4)
        await connection.send(again + b"40/x" + again + b"40/y")
        assert [(await connection.answer()).status for _ in range(2)] == [200, 200]
        assert [(await client.receive())[:4] for _ in range(3)] == ['40{"', "44/x", "44/y"]


@both
async def test_tls(transport: str) -> None:
    trustme = pytest.importorskip("trustme", reason='trustme is missing: install it with `pip install -e ".[test]"`')
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_tls)
    client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client_tls)
    where = {"host": "127.0.0.1", "port": 0, "ssl": server_tls}
    async with serving(where, client_tls) as live:
        echo(live)
        client = await live.client(transport)
        await client.join()
        (socket,) = live.io.sockets.sockets.values()
        assert socket.handshake.secure
        # More than a TLS record and more than the read buffer, both ways.
        text = "x" * 600_000
        await client.send(f'42["echo","{text}"]')
        assert await client.receive() == f'42["echo","{text}"]'
        if isinstance(client, Polling):
            upgraded = await upgrade(client)
            await upgraded.send('42["echo",1]')
            assert await upgraded.receive() == '42["echo",1]'


async def test_plain_text_on_a_tls_port_disturbs_nobody() -> None:
    trustme = pytest.importorskip("trustme", reason='trustme is missing: install it with `pip install -e ".[test]"`')
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(server_tls)
    async with serving({"host": "127.0.0.1", "port": 0, "ssl": server_tls}) as live:
        connection = await live.connect()
        await connection.send(head("GET", "/socket.io/?EIO=4&transport=polling"))
        await connection.rest()
        assert live.io.wire.connections == {}


async def test_a_handshake_of_tls_has_its_time() -> None:
    trustme = pytest.importorskip("trustme", reason='trustme is missing: install it with `pip install -e ".[test]"`')
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(server_tls)
    async with serving({"host": "127.0.0.1", "port": 0, "ssl": server_tls}, first_timeout=0.2) as live:
        begun = time.monotonic()
        silent = [await live.connect() for _ in range(3)]
        await silent[0].send(b"\x16\x03\x01")
        for connection in silent:
            await connection.rest()
        assert time.monotonic() - begun < 2 * LATE  # asyncio's own limit


async def test_without_descriptors_it_neither_spins_nor_fills_the_log() -> None:
    resource = pytest.importorskip("resource", reason="this system has no limits of that kind")
    async with serving() as live:
        await live.check_fresh_client()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        clients = [socket.socket() for _ in range(3)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(client.fileno() for client in clients) + 1, hard))
        taken: list[int] = []
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.dup(clients[0].fileno()))
            for client in clients:
                client.connect(("127.0.0.1", live.port))
            if type(asyncio.get_running_loop()).__module__.startswith("asyncio"):
                assert await settled(lambda: live.logged.texts)
            assert len(live.take_logged()) <= 2  # this was written in one turn
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in taken:
                os.close(descriptor)
        for client in clients:
            client.close()
        await live.check_fresh_client()
        live.take_logged()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
async def test_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with serving({"path": path}) as live:
        assert live.address == path
        echo(live)
        for transport in TRANSPORTS:
            client = await live.client(transport)
            sid = await client.join()
            assert live.io.sockets.sockets[sid].handshake.address == ""
            await client.send('42["echo",1]')
            assert await client.receive() == '42["echo",1]'


async def test_a_socket_that_is_listening_already() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with serving({"sock": listener}) as live:
        assert live.address == ("127.0.0.1", port)
        await live.check_fresh_client()


async def test_two_addresses_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with serving() as live, live.io.listening(path=path):
        assert len(live.io.addresses) == 2
        await live.check_fresh_client()
        tcp, live.address = live.address, path
        await live.check_fresh_client()
        live.address = tcp


async def test_initial_headers_and_cookie() -> None:
    async with serving(cookie=SessionCookie()) as live:
        seen: list[str] = []
        live.io.engine.on("initial_headers", lambda headers, request: headers.append(("X-First", "yes")))
        live.io.engine.on("headers", lambda headers, request: seen.append(request.method))
        connection = await live.connect()
        answer = await connection.request("GET", "/socket.io/?EIO=4&transport=polling")
        sid = json.loads(answer.packets[0][1:])["sid"]
        assert answer.headers["set-cookie"] == f"io={sid}; Path=/; HttpOnly; SameSite=Lax"
        assert answer.headers["x-first"] == "yes"
        answer = await connection.upgrade("/socket.io/?EIO=4&transport=websocket")
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-first"] == "yes"
        assert seen == ["GET", "GET"]
