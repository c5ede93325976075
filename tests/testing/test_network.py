"""What can go wrong between a client and its server, with messages and with bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from sioproto import LocalProtocolError
from sioproto.testing import Client, Proxy, Server, World

if TYPE_CHECKING:
    from sioproto import Socket
    from sioproto.config import TransportName

TRANSPORTS: list[tuple[TransportName, ...]] = [("polling",), ("websocket",), ("polling", "websocket")]


@pytest.fixture(params=TRANSPORTS, ids=["polling", "websocket", "upgrade"])
def transports(request: pytest.FixtureRequest) -> Any:
    """The transports of a client."""
    return request.param


def reasons_of(io: Server) -> list[tuple[str, str | None]]:
    """Returns a list of why sockets disconnect, which grows as they do."""
    reasons: list[tuple[str, str | None]] = []
    io.on("disconnect", lambda socket, reason, description: reasons.append((reason, description)))
    return reasons


def echo(io: Server) -> None:
    """Has the server send back what it gets."""
    io.on("echo", lambda socket, value: socket.emit("echo", value))


def talk(world: World, client: Client, count: int = 20) -> None:
    """Sends messages and expects all of them back, in order."""
    client.take()
    for number in range(count):
        client.emit("echo", number)
    world.advance(20)
    assert client.take() == [("echo", number) for number in range(count)]


# -- latency


def test_latency_delays_both_ways(world: World) -> None:
    io = world.server()
    arrived: list[float] = []
    io.on("message", lambda socket: arrived.append(world.now))
    alice = world.client(transports=("websocket",))
    alice.network.latency = 0.25
    world.settle()
    assert not alice.connected
    # A round trip for the connection, one for the handshake, one for CONNECT.
    world.result(alice.connect())
    assert world.now == pytest.approx(1.5)
    sent = world.now
    alice.emit_with_ack("message").on_done(lambda _: arrived.append(world.now))
    world.advance(2)
    assert arrived == [pytest.approx(sent + 0.25), pytest.approx(sent + 0.5)]


def test_latency_keeps_the_order_whatever_it_becomes(world: World, transports: Any) -> None:
    echo(io := world.server())
    alice = world.client(transports=transports)
    world.settle()
    for number in range(30):
        alice.network.latency = (number % 7) * 0.1
        alice.emit("echo", number)
        io.emit("echo", -number)
        world.advance(0.05)
    alice.network.latency = 0
    world.advance(20)
    assert [value for _, value in alice.received if value > 0] == list(range(1, 30))
    assert [value for _, value in alice.received if value < 0] == [-number for number in range(1, 30)]


def test_a_latency_is_no_negative_number() -> None:
    world = World()
    world.server()
    with pytest.raises(LocalProtocolError, match="latency"):
        world.client().network.latency = -1


# -- chunks


@pytest.mark.parametrize("chunking", [1, 7, "random"])
def test_chunking(wire: Any, transports: Any, chunking: int | Literal["random"]) -> None:
    world = World(seed=3, wire=wire)
    echo(world.server())
    alice = world.client(transports=transports)
    alice.network.chunking = chunking
    world.settle()
    talk(world, alice)
    alice.emit("echo", b"\x00" * 5000)
    world.settle()
    assert alice.take() == [("echo", b"\x00" * 5000)]
    world.close()


def test_a_chunk_has_a_size() -> None:
    world = World()
    world.server()
    with pytest.raises(LocalProtocolError, match="chunking"):
        world.client().network.chunking = 0


# -- cuts


def test_a_cut_is_noticed_at_once_and_the_client_comes_back(world: World, transports: Any) -> None:
    echo(io := world.server())
    reasons = reasons_of(io)
    alice = world.client(transports=transports)
    world.advance(1)
    alice.network.cut()
    world.settle()
    assert not alice.connected
    assert len(reasons) == 1
    assert reasons[0][0] in ("transport close", "transport error")
    world.advance(3)
    talk(world, alice)


def test_what_is_under_way_is_lost_with_a_cut(world: World) -> None:
    io = world.server()
    got: list[int] = []
    io.on("n", lambda socket, number: got.append(number))
    alice = world.client(transports=("websocket",))
    world.settle()
    alice.network.latency = 1.0
    alice.emit("n", 1)
    world.advance(0.9)
    alice.emit("n", 2)
    world.advance(0.5)
    alice.network.cut()
    world.advance(60)
    assert got == [1]
    assert alice.connected


def test_a_cut_after_some_time(world: World, transports: Any) -> None:
    world.server()
    alice = world.client(transports=transports)
    world.settle()
    alice.network.cut_after(seconds=3)
    world.advance(2.9)
    assert alice.connected
    world.advance(0.1)
    assert not alice.connected
    world.advance(30)
    assert alice.connected


@pytest.mark.parametrize("count", [0, 1, 50, 300, 1000])
def test_a_cut_after_some_bytes(world: World, transports: Any, count: int) -> None:
    echo(io := world.server())
    alice = world.client(transports=transports)
    world.advance(1)
    alice.network.cut_after(bytes=count)
    for number in range(100):
        alice.emit("echo", number)
    world.settle()
    assert not alice.connected
    got = [value for _, value in alice.take()]
    assert got == list(range(len(got)))
    world.advance(60)
    assert alice.connected
    assert io.engine.clients_count == 1


def test_a_cut_is_ordered_in_bytes_or_in_seconds() -> None:
    world = World()
    world.server()
    network = world.client().network
    for order in ({}, {"bytes": 1, "seconds": 1}):
        with pytest.raises(LocalProtocolError, match="one of them"):
            network.cut_after(**order)


def test_restoring_takes_orders_back(world: World) -> None:
    echo(world.server())
    alice = world.client()
    world.settle()
    alice.network.cut_after(bytes=1)
    alice.network.cut_after(seconds=5)
    alice.network.cut_after(seconds=1)
    alice.network.duplicate_next("POST")
    alice.network.delay_next("POST", 100)
    alice.network.stall()
    alice.network.refuse()
    alice.network.restore()
    talk(world, alice)
    assert "cut" not in str(world.transcript)


# -- stalls


def test_a_stall_lets_nothing_through_and_nobody_notices(world: World, transports: Any) -> None:
    echo(io := world.server(ping_interval=25.0, ping_timeout=20.0))
    alice = world.client(transports=transports)
    world.advance(1)
    alice.network.stall()
    alice.emit("echo", 1)
    world.advance(3)
    assert alice.connected
    assert alice.take() == []
    alice.network.flow()
    world.settle()
    assert alice.take() == [("echo", 1)]
    alice.network.stall()
    world.advance(60)
    assert not alice.connected
    assert io.engine.clients_count == 0
    alice.network.flow()
    world.advance(30)
    talk(world, alice)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_stall_in_one_direction(world: World, direction: Literal["up", "down"]) -> None:
    io = world.server()
    got: list[int] = []
    io.on("n", lambda socket, number: got.append(number))
    alice = world.client(transports=("websocket",))
    world.settle()
    alice.network.stall(direction)
    alice.emit("n", 1)
    io.emit("n", 2)
    world.settle()
    assert got == ([] if direction == "up" else [1])
    assert alice.received == ([] if direction == "down" else [("n", 2)])
    alice.network.flow(direction)
    world.settle()
    assert got == [1]
    assert alice.received == [("n", 2)]


def test_a_dial_into_a_stall_waits(world: World) -> None:
    world.server()
    alice = world.client(open_timeout=100.0)
    alice.network.stall()
    world.advance(5)
    assert not alice.connected
    alice.network.flow()
    world.settle()
    assert alice.connected


def test_a_dial_into_a_stall_is_given_up(world: World) -> None:
    world.server()
    alice = world.client(open_timeout=5.0, reconnection=False)
    alice.network.stall()
    world.advance(20)
    assert not alice.active
    alice.network.flow()
    world.advance(60)
    assert not alice.active


# -- half-closed, refused


def test_a_half_closed_connection_is_over(world: World, transports: Any) -> None:
    io = world.server()
    reasons = reasons_of(io)
    alice = world.client(transports=transports)
    world.advance(1)
    alice.network.half_close()
    world.settle()
    assert len(reasons) == 1
    assert not alice.connected
    world.advance(10)
    assert alice.connected


def test_refused_connections(world: World, transports: Any) -> None:
    world.server()
    alice = world.client(transports=transports)
    world.advance(1)
    alice.network.refuse()
    world.advance(40)
    if transports != ("polling",):  # its two connections are not needed all the time, and new ones are refused
        assert alice.connected
    alice.network.cut()
    world.advance(40)
    assert not alice.connected
    assert alice.connect_error is not None
    assert "connection refused" in str(alice.connect_error)
    alice.network.restore()
    world.advance(10)
    assert alice.connected


def test_refusals_take_a_round_trip(world: World) -> None:
    world.server()
    alice = world.client(reconnection=False)
    alice.network.latency = 0.5
    alice.network.refuse()
    world.advance(0.9)
    assert alice.active
    world.advance(0.1)
    assert not alice.active


# -- requests


def test_a_late_request(world: World) -> None:
    io = world.server()
    got: list[tuple[int, float]] = []
    io.on("n", lambda socket, number: got.append((number, world.now)))
    alice = world.client(transports=("polling",))
    world.settle()
    alice.network.delay_next("POST", 3)
    alice.emit("n", 1)
    world.settle()
    alice.emit("n", 2)
    world.advance(10)
    # One POST at a time: the second one waits for the answer to the first.
    assert got == [(1, 3.0), (2, 3.0)]


def test_a_repeated_request(world: World) -> None:
    io = world.server()
    got: list[int] = []
    io.on("n", lambda socket, number: got.append(number))
    alice = world.client(transports=("polling",))
    world.settle()
    alice.network.duplicate_next("POST")
    alice.emit("n", 1)
    world.settle()
    # Engine.IO numbers nothing, so the server cannot tell; a request that overlaps with another ends the session.
    assert got in ([1, 1], [1])
    world.advance(30)
    assert alice.connected


def test_a_repeated_goodbye(world: World) -> None:
    io = world.server()
    alice = world.client(transports=("polling",))
    world.settle()
    alice.network.duplicate_next("POST")
    alice.disconnect()
    world.advance(1)
    assert io.engine.clients_count == 0


def test_a_repeated_poll_ends_the_session(world: World) -> None:
    io = world.server()
    reasons = reasons_of(io)
    alice = world.client(transports=("polling",))
    world.settle()
    alice.network.duplicate_next("GET")
    io.emit("n")
    world.settle()
    assert reasons == [("transport error", "overlap from client")]
    world.advance(10)
    assert alice.connected


# -- proxies


def test_a_patient_proxy_is_not_noticed(world: World, transports: Any) -> None:
    echo(world.server())
    alice = world.client(transports=transports)
    alice.network.proxy = Proxy()
    talk(world, alice)
    world.advance(100)
    assert "disconnected" not in str(world.transcript)


def test_a_proxy_that_waits_less_than_a_poll_takes(world: World) -> None:
    io = world.server(ping_interval=25.0)
    reasons = reasons_of(io)
    alice = world.client(transports=("polling",))
    alice.network.proxy = Proxy(timeout=10)
    world.advance(5)
    assert alice.connected
    world.advance(6)
    assert len(reasons) == 1
    assert "504" in str(world.transcript)


def test_a_proxy_cuts_idle_websockets(world: World) -> None:
    io = world.server(ping_interval=25.0)
    reasons = reasons_of(io)
    alice = world.client(transports=("websocket",))
    alice.network.proxy = Proxy(timeout=10)
    world.advance(5)
    io.emit("n")
    world.advance(9)
    assert alice.connected
    world.advance(2)
    assert len(reasons) == 1
    assert "idle WebSocket" in str(world.transcript)


def test_a_proxy_that_lets_no_websockets_through(world: World) -> None:
    echo(world.server())
    alice = world.client(transports=("polling", "websocket"))
    alice.network.proxy = Proxy(websockets=False)
    world.advance(1)
    assert alice.connected
    assert alice.engine is not None
    assert alice.engine.transport_name == "polling"
    talk(world, alice)
    bob = world.client(transports=("websocket",), reconnection=False)
    bob.network.proxy = Proxy(websockets=False)
    world.advance(1)
    assert not bob.active


@pytest.mark.parametrize("buffers", [False, True])
def test_a_proxy_that_buffers(wire: Any, buffers: bool) -> None:
    world = World(wire=wire)
    io = world.server()
    alice = world.client(transports=("polling",))
    alice.network.proxy = Proxy(buffers=buffers)
    world.settle()
    io.emit("big", "x" * 300_000)
    world.settle()
    assert alice.take() == [("big", "x" * 300_000)]
    world.close()


# -- back-pressure


def test_a_client_whose_handlers_lag_is_not_read_from(world: World) -> None:
    io = world.server(max_parked=5000)

    @io.on("slow")
    async def slow(socket: Socket, text: str) -> None:
        await io.sleep(0.1)

    alice = world.client(transports=("websocket",))
    world.settle()
    for _ in range(100):
        alice.emit("slow", "x" * 1000)
    world.settle()
    session = next(iter(io.engine.sessions.values()))
    assert session.paused
    world.advance(30)
    assert not session.paused
    assert alice.connected


def test_a_writer_hears_when_its_transport_is_full(world: World) -> None:
    io = world.server()
    alice = world.client(transports=("websocket",))
    world.settle()
    socket = io.sockets.sockets[str(alice.id)]
    alice.network.stall("down")
    for _ in range(3):
        socket.emit("big", "x" * 50_000)
        world.settle()
    assert not socket.conn.writable
    drained = socket.drained()
    assert not drained.done
    socket.volatile.emit("lost")
    alice.network.flow()
    world.settle()
    assert drained.done
    assert socket.conn.writable
    assert alice.take() == [("big", "x" * 50_000)] * 3
