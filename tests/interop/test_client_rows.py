"""Rows of the client that show only with npm's server: what it sends early, what it recovers, what it cannot bear."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto import AckTimeout
from tests.interop.clients import JUMPING, QUICK, Clients, Peer, on_loop, record


@on_loop
async def test_leaving_before_one_is_let_in_ends_nobody_elses_connection(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        """
        io.of("/slow").use((socket, next) => { globalThis.letIn = next; });
        io.of("/slow").on("connection", (socket) => {
          log.push("in");
          socket.emit("greeting");
          socket.on("disconnect", (reason) => log.push(reason));
        });
        """
    )
    client = clients.client(server.url, **QUICK)
    log: list[Any] = []
    record(log, client, ["disconnect"])
    await client.connect()
    slow = client.of("/slow")
    record(log, slow, ["connect", "disconnect", "connect_error"])
    slow.on("greeting", lambda: log.append("greeting"))
    slow.connect()
    await clients.until(lambda: server("return Boolean(globalThis.letIn);"))
    slow.disconnect()
    await clients.sleep(0.1)
    server("globalThis.letIn(); globalThis.letIn = null;")
    await clients.until(lambda: server("return log.length;") == 2)
    assert server.take() == ["in", "client namespace disconnect"]
    slow.connect()
    await clients.until(lambda: server("return Boolean(globalThis.letIn);"))
    server("globalThis.letIn();")
    await clients.until(lambda: slow.connected)
    await clients.until(lambda: len(log) == 2)
    assert log == [("connect", slow.id), "greeting"]
    assert client.connected


@on_loop
async def test_what_a_middleware_emits_comes_early_and_is_told_after_connect(clients: Clients, peer: Peer) -> None:
    server = peer.serve('io.use((socket, next) => { socket.emit("early", 1); next(); });')
    client = clients.client(server.url)
    log: list[Any] = []
    record(log, client, ["connect"])
    client.on("early", lambda number: log.append(number))
    await client.connect()
    await clients.until(lambda: len(log) == 2)
    assert log == [("connect", client.id), 1]


@pytest.mark.parametrize("transports", [("websocket",), ("polling",)])
@on_loop
async def test_what_was_missed_is_recovered(clients: Clients, peer: Peer, transports: tuple[str, ...]) -> None:
    server = peer.serve("", connectionStateRecovery={})
    client = clients.client(server.url, transports=transports, **QUICK)
    log: list[Any] = []
    client.on("x", lambda number, *rest: log.append(number))
    client.on("connect", lambda: log.append(("connect", client.recovered)))
    await client.connect()
    first = client.id
    server('io.emit("x", 1);')
    await clients.until(lambda: 1 in log)
    server('cut(); setTimeout(() => { io.emit("x", 2); io.emit("x", 3); }, 20);')
    await clients.until(lambda: 3 in log)
    assert log == [("connect", False), 1, ("connect", True), 2, 3]
    assert client.id == first


@on_loop
async def test_an_event_is_sent_until_it_is_acknowledged(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        """
        let seen = 0;
        io.on("connection", (socket) => {
          socket.on("x", (number, ack) => { log.push(number); if (++seen >= 3) ack("seen"); });
          socket.on("never", () => log.push("never"));
        });
        """,
        pingTimeout=1_000_000,
    )
    client = clients.client(server.url, retries=2, ack_timeout=100.0, **JUMPING)
    await client.connect()
    await clients.upgraded(client)
    first, second = client.emit_with_ack("x", 1), client.emit_with_ack("x", 2)
    await clients.in_vain(server, 1, 2, seconds=100.0)
    assert await first == "seen"
    assert await second == "seen"
    assert server.take() == [1, 1, 1, 2]
    never = client.emit_with_ack("never")
    await clients.in_vain(server, 1, 2, 3, seconds=100.0)
    with pytest.raises(AckTimeout):
        await never
    assert server.take() == 3 * ["never"]


@on_loop
async def test_a_packet_that_is_none_ends_the_connection_and_it_comes_back(clients: Clients, peer: Peer) -> None:
    server = peer.serve('io.on("connection", (socket) => socket.on("bad", () => socket.conn.write("nonsense")));')
    client = clients.client(server.url, transports=("websocket",), **QUICK)
    log: list[Any] = []
    record(log, client, ["disconnect"])
    await client.connect()
    first = client.id
    client.emit("bad")
    await clients.until(lambda: client.connected and client.id != first)
    assert log == [("disconnect", "parse error", "unknown packet type")]
