"""What was sent before an end arrives, as long as the other side is there and reads; else it says how much was lost.

Every ending of a server and of a client, over each transport and in the middle of an upgrade, with binary events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sioproto.errors import Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.socketio import Socket
    from sioproto.testing import Client, Server, World

POLLING, WEBSOCKET, BOTH = ("polling",), ("websocket",), ("polling", "websocket")

TRANSPORTS = pytest.mark.parametrize("transports", [POLLING, WEBSOCKET], ids=["polling", "websocket"])

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


@TRANSPORTS
@pytest.mark.parametrize(
    ("end", "count", "latency"),
    [
        *((end, 5, latency) for end in SERVER_ENDS for latency in (0.0, 0.05)),
        *((end, 1000, 0.05) for end in ("disconnect close", "io.close")),
    ],
)
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


@TRANSPORTS
@pytest.mark.parametrize(
    ("end", "count", "latency"),
    [
        *((end, 5, latency) for end in CLIENT_ENDS for latency in (0.0, 0.05)),
        *((end, 1000, 0.05) for end in ("disconnect", "close")),
    ],
)
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
    client.emit("n", "posted")
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


MOMENTS = [0.0, 0.05, 0.11, 0.14, 0.2, 0.26, 0.31, 0.5]


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("latency", [0.02, 0.09])
@pytest.mark.parametrize("end", ["disconnect close", "conn.close", "io.close"])
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
@pytest.mark.parametrize("latency", [0.02, 0.09])
@pytest.mark.parametrize("end", ["disconnect", "close"])
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


# -- what does not, and how much that is


@TRANSPORTS
def test_a_server_that_is_closed_says_how_much_was_lost(world: World, transports: tuple[str, ...]) -> None:
    io, client, socket, _ = meet(world, transports)
    client.network.stall("down")
    socket.emit("big", b"x" * 100_000)
    world.settle()
    for args in numbered(4):
        socket.emit("n", *args)
    # Two of the four have an attachment. Over polling the first answer is under way, and nobody asks for more.
    assert socket.conn.unsent == 6
    ended: list[int] = []
    socket.conn.on("close", lambda *_: ended.append(socket.conn.unsent))
    closed = io.close(2)
    world.advance(3)
    assert closed.result() == socket.conn.unsent == io.engine.unsent == 6
    assert ended == [6]
    assert io.close().result() == 6


def test_what_was_lost_before_the_end_is_not_counted_with_it(world: World) -> None:
    io, client, socket, _ = meet(world, POLLING)
    client.network.stall("down")
    socket.emit("n", 1)
    world.settle()
    socket.emit("n", 2)
    socket.conn.close(discard=True)
    world.settle()
    client.network.restore()
    assert (socket.conn.unsent, io.engine.unsent) == (1, 1)
    assert world.result(io.close(1)) == 0


def test_a_disconnect_that_waits_tells_what_waits_and_then_what_was_lost(world: World) -> None:
    told: list[int] = []
    _, client, socket, _ = meet(world, POLLING)
    socket.on("disconnect", lambda reason: told.append(socket.conn.unsent))
    client.network.stall("down")
    socket.emit("n", 1)
    world.settle()
    socket.emit("n", 2)
    socket.disconnect(True)
    world.settle()
    # The DISCONNECT packet is a message, too.
    assert (told, socket.conn.ready_state) == ([2], "closing")
    client.network.cut()
    world.settle()
    assert (socket.conn.unsent, socket.conn.ready_state) == (2, "closing")
    world.advance(30)
    assert (socket.conn.unsent, socket.conn.ready_state) == (2, "closed")


@TRANSPORTS
def test_a_client_that_is_closed_says_how_much_was_lost(world: World, transports: tuple[str, ...]) -> None:
    _, client, _, heard = meet(world, transports)
    client.network.stall("up")
    client.emit("big", b"x" * 100_000)
    world.settle()
    before = client.engine.unsent if client.engine is not None else 0
    for args in numbered(4):
        client.emit("n", *args)
    closed = client.close(2)
    world.advance(3)
    # Six messages, and DISCONNECT. Over polling what is posted and not answered counts as well.
    assert closed.result() == client.unsent == before + 7
    assert before == (2 if transports == POLLING else 0)
    assert heard == []


def test_what_waits_for_a_connection_is_counted_when_a_client_closes(world: World) -> None:
    world.server()
    client = world.client(connect=False)
    for args in numbered(4):
        client.emit("n", *args)
    assert client.socket.buffered == 4
    assert world.result(client.close()) == client.unsent == 6


def test_nothing_is_counted_where_all_is_delivered(world: World) -> None:
    io, client, socket, heard = meet(world, POLLING)
    for args in numbered(100):
        client.emit("n", *args)
        socket.emit("n", *args)
    assert world.result(client.close()) == client.unsent == 0
    assert heard == numbered(100)
    assert world.result(io.close()) == 0


def test_events_that_wait_for_an_earlier_one_are_sent_at_the_end(world: World) -> None:
    _, client, _, heard = meet(world, WEBSOCKET, retries=2, ack_timeout=5)
    client.network.latency = 0.2
    answers = [client.emit_with_ack("n", number) for number in range(3)]
    client.emit("n", b"3")
    assert client.socket.buffered == 4
    assert world.result(client.close()) == 0
    world.advance(1)
    assert heard == [(0,), (1,), (2,), (b"3",)]
    for answer in answers:
        with pytest.raises(Disconnected):
            answer.result()


def test_those_that_cannot_be_are_counted(world: World) -> None:
    _, client, _, heard = meet(world, WEBSOCKET, retries=2, ack_timeout=5)
    client.network.stall()
    client.emit("n", 0)
    client.network.cut()
    world.settle()
    client.emit("n", b"1")
    # The first one was handed to the transport, and the link has lost it.
    assert client.socket.buffered == 2
    assert world.result(client.close()) == 2
    client.network.restore()
    world.advance(10)
    assert heard == []
