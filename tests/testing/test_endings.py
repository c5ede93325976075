"""What was sent before an end arrives, as long as the other side is there and reads; else the end says how much did not.

Every ending of a server and of a client, over each transport and in the middle of an upgrade, with binary events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.socketio import Socket
    from sioproto.testing import Client, Server, World

POLLING, WEBSOCKET, BOTH = ("polling",), ("websocket",), ("polling", "websocket")

TRANSPORTS = pytest.mark.parametrize("transports", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
LATENCY = pytest.mark.parametrize("latency", [0.0, 0.05], ids=["near", "far"])

SERVER_ENDS: dict[str, Callable[[Server, Socket], object]] = {
    "disconnect": lambda io, socket: socket.disconnect(),
    "disconnect close": lambda io, socket: socket.disconnect(True),
    "disconnect_sockets": lambda io, socket: io.disconnect_sockets(True),
    "conn.close": lambda io, socket: socket.conn.close(),
    "io.close": lambda io, socket: io.close(20),
}
CLIENT_ENDS: dict[str, Callable[[Client], object]] = {
    "disconnect": lambda client: client.disconnect(),
    "close": lambda client: client.close(20),
    "engine.close": lambda client: close_engine(client),
}


def close_engine(client: Client) -> None:
    """Closes the connection below."""
    assert client.engine is not None
    client.engine.close()


def meet(world: World, transports: tuple[str, ...], **options: Any) -> tuple[Server, Client, Socket, list[Any]]:
    """Returns a server, a client that is connected, its socket at the server, and what the server heard from it."""
    heard: list[Any] = []
    io = world.server(lambda io: io.on("n", lambda socket, *args: heard.append(args)))
    client = world.client(name="alice", transports=transports, upgrade=False, reconnection=False, **options)
    world.advance(1)
    return io, client, io.sockets.sockets[str(client.id)], heard


def numbered(count: int) -> list[tuple[Any, ...]]:
    """Returns the arguments of events, every third one with a binary one among them."""
    return [(number, bytes([number % 256]) * 3) if number % 3 == 0 else (number,) for number in range(count)]


# -- what arrives


@LATENCY
@TRANSPORTS
@pytest.mark.parametrize("count", [1, 5, 1000])
@pytest.mark.parametrize("end", SERVER_ENDS)
def test_what_a_server_sent_before_the_end_arrives(
    world: World, transports: tuple[str, ...], end: str, count: int, latency: float
) -> None:
    io, client, socket, _ = meet(world, transports)
    client.network.latency = latency
    world.advance(1)
    for args in numbered(count):
        socket.emit("n", *args)
    SERVER_ENDS[end](io, socket)
    world.advance(60)
    assert [event[1:] for event in client.take()] == numbered(count)
    assert not client.connected


@LATENCY
@TRANSPORTS
@pytest.mark.parametrize("count", [1, 5, 1000])
@pytest.mark.parametrize("end", CLIENT_ENDS)
def test_what_a_client_sent_before_the_end_arrives(
    world: World, transports: tuple[str, ...], end: str, count: int, latency: float
) -> None:
    _, client, _, heard = meet(world, transports)
    client.network.latency = latency
    world.advance(1)
    for args in numbered(count):
        client.emit("n", *args)
    CLIENT_ENDS[end](client)
    world.advance(60)
    assert heard == numbered(count)
    assert not client.connected


@pytest.mark.parametrize("end", SERVER_ENDS)
def test_what_waits_for_the_next_poll_arrives(world: World, end: str) -> None:
    io, client, socket, _ = meet(world, POLLING)
    # The answer to the poll in hand is under way for a while, and no other one is there.
    client.network.latency = 0.2
    socket.emit("n", -1)
    world.advance(0.05)
    assert socket.conn.polling.poll is None
    for args in numbered(5):
        socket.emit("n", *args)
    SERVER_ENDS[end](io, socket)
    world.advance(60)
    assert [event[1:] for event in client.take()] == [(-1,), *numbered(5)]


@pytest.mark.parametrize("end", SERVER_ENDS)
def test_what_waits_for_a_blocked_websocket_arrives(world: World, end: str) -> None:
    io, client, socket, _ = meet(world, WEBSOCKET)
    client.network.stall("down")
    socket.emit("n", b"x" * 100_000)
    world.settle()
    assert not socket.conn.writable
    for args in numbered(5):
        socket.emit("n", *args)
    SERVER_ENDS[end](io, socket)
    world.advance(2)
    client.network.flow()
    world.advance(60)
    assert [event[1:] for event in client.take()] == [(b"x" * 100_000,), *numbered(5)]


@pytest.mark.parametrize("end", CLIENT_ENDS)
def test_what_waits_for_a_blocked_websocket_of_a_client_arrives(world: World, end: str) -> None:
    _, client, _, heard = meet(world, WEBSOCKET)
    client.network.stall("up")
    client.emit("n", b"x" * 100_000)
    world.settle()
    for args in numbered(5):
        client.emit("n", *args)
    CLIENT_ENDS[end](client)
    world.advance(2)
    client.network.flow()
    world.advance(60)
    assert heard == [(b"x" * 100_000,), *numbered(5)]


@pytest.mark.parametrize("end", CLIENT_ENDS)
def test_what_waits_for_a_post_arrives(world: World, end: str) -> None:
    _, client, _, heard = meet(world, POLLING)
    client.network.latency = 0.2
    client.emit("n", -1)
    world.advance(0.05)
    for args in numbered(5):
        client.emit("n", *args)
    CLIENT_ENDS[end](client)
    world.advance(60)
    assert heard == [(-1,), *numbered(5)]


MOMENTS = [0.0, 0.01, 0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.15, 0.17, 0.2, 0.23, 0.26, 0.29, 0.31, 0.35, 0.4, 0.5, 0.6]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("latency", [0.0, 0.02, 0.09])
@pytest.mark.parametrize("end", SERVER_ENDS)
def test_an_upgrade_under_way_loses_nothing_of_a_server(world: World, end: str, latency: float, moment: float) -> None:
    io = world.server()
    client = world.client(name="alice", transports=BOTH, reconnection=False, connect=False)
    client.network.latency = latency
    client.connect()
    while not client.connected:
        world.advance(0.001)
    world.advance(moment)
    socket = io.sockets.sockets[str(client.id)]
    for args in numbered(5):
        socket.emit("n", *args)
    SERVER_ENDS[end](io, socket)
    world.advance(60)
    assert [event[1:] for event in client.take()] == numbered(5)
    assert socket.conn.ready_state == "closed"


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("latency", [0.0, 0.02, 0.09])
@pytest.mark.parametrize("end", CLIENT_ENDS)
def test_an_upgrade_under_way_loses_nothing_of_a_client(world: World, end: str, latency: float, moment: float) -> None:
    heard: list[Any] = []
    world.server(lambda io: io.on("n", lambda socket, *args: heard.append(args)))
    client = world.client(name="alice", transports=BOTH, reconnection=False, connect=False)
    client.network.latency = latency
    client.connect()
    while not client.connected:
        world.advance(0.001)
    world.advance(moment)
    for args in numbered(5):
        client.emit("n", *args)
    CLIENT_ENDS[end](client)
    world.advance(60)
    assert heard == numbered(5)
