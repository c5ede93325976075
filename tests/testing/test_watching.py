"""Faults that are planted in a core while a world watches: each is found, with its number, and explained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sioproto.engineio import EngineClient, EngineServer, Session
from sioproto.frame import Frame
from sioproto.socketio import MemoryAdapter
from sioproto.socketio.events import EventReceived, SocketConnected
from sioproto.testing import Client, InvariantBroken, Server, World
from sioproto.testing.witness import REMEMBERED, WatchedEngine, WatchedSession

if TYPE_CHECKING:
    from collections.abc import Callable

BOTH: tuple[Any, ...] = ("polling", "websocket")


def scene(wire: Any = None, **options: Any) -> tuple[World, Server, Client]:
    """Returns a world with a server and a connected client."""
    world = World(seed=5, wire=wire)
    io = world.server()
    client = world.client(name="alice", **options)
    world.settle()
    return world, io, client


def session_of(io: Server) -> Session:
    """Returns the only session."""
    return next(iter(io.engine.sessions.values()))


def expect(world: World, number: int, facts: str) -> None:
    """Expects that the next settling finds a broken invariant."""
    with pytest.raises(InvariantBroken, match=facts) as caught:
        world.settle()
    assert caught.value.number == number
    assert str(caught.value).startswith(f"invariant {number}: ")
    assert "seed 5" in caught.value.__notes__[0]


# -- both ends of a session


@pytest.mark.parametrize("transports", [("polling",), ("websocket",), BOTH])
def test_sessions_are_seen_from_both_ends(wire: Any, transports: Any) -> None:
    world, io, client = scene(wire, transports=transports)
    io.on("echo", lambda socket, value: socket.emit("echo", value))
    for value in (1, "two", b"three", {"four": b"five"}):
        client.emit("echo", value)
        world.advance(1)
    assert len(client.take()) == 4
    assert isinstance(session_of(io), WatchedSession)
    assert isinstance(client.engine, WatchedEngine)
    half = client.engine.half
    assert half.peer is not None
    assert not any(str(frame.data).startswith("42") for frame in half.written)
    world.close()


@pytest.mark.parametrize(
    ("spoil", "facts"),
    [
        (lambda frames: frames[:1] + frames[2:], r"got '42\[\"n\",2\]' where session .* wrote '42\[\"n\",1\]'"),
        (lambda frames: [frames[1], frames[0], *frames[2:]], r"got '42\[\"n\",1\]' where session .* wrote"),
        (lambda frames: [*frames[:2], frames[1], *frames[2:]], r"got '42\[\"n\",1\]' where session .* wrote"),
        (
            lambda frames: [*frames, frames[-1]],
            r"got '42\[\"n\",3\]', which session .* did not write, or not once more",
        ),
    ],
    ids=["lost", "swapped", "repeated", "repeated at the end"],
)
def test_what_a_server_spoils_is_found(wire: Any, spoil: Callable[[list[Frame]], list[Frame]], facts: str) -> None:
    world, io, _ = scene(wire)
    for number in range(4):
        io.emit("n", number)
    session = session_of(io)
    session.outbox = spoil(session.outbox)
    expect(world, 1, f"alice {facts}")


def test_what_a_client_spoils_is_found(wire: Any) -> None:
    world, _, client = scene(wire)
    client.emit("n", 1)
    client.emit("n", 2)
    assert client.engine is not None
    client.engine.outbox.frames.reverse()
    expect(world, 1, "session .* of io got")


def test_sessions_that_are_over_are_let_go() -> None:
    world = World(seed=5)
    world.server()
    for _ in range(REMEMBERED // 4):
        client = world.client()
        world.settle()
        client.disconnect()
        world.settle()
    assert world.watch._witness.size < 300


def test_nobody_watches_where_that_is_not_wanted() -> None:
    world = World(invariants=False)
    io = world.server()
    client = world.client()
    world.settle()
    assert type(session_of(io)) is Session
    assert type(client.engine) is EngineClient
    io.sockets.adapter.add_all(next(iter(io.sockets.sockets.values())), ["a"])
    assert isinstance(io.sockets.adapter, MemoryAdapter)
    io.sockets.adapter.rooms.clear()
    world.settle()


# -- sessions


def test_a_packet_that_is_left_behind_is_found() -> None:
    world, io, _ = scene()
    session_of(io).outbox.append(Frame("4x"))
    expect(world, 7, "counts 0 bytes")


def test_a_session_without_a_heartbeat_is_found() -> None:
    world, io, _ = scene()
    session_of(io).heartbeat.stop()
    expect(world, 3, "timers 'ping'")


def test_a_session_that_is_closed_and_known_is_found() -> None:
    world, io, _ = scene()
    session = session_of(io)
    session.close(discard=True)
    io.engine.sessions["left"] = session
    with pytest.raises(InvariantBroken, match="still known as left"):
        world.settle()


# -- sockets


def test_a_room_that_forgets_is_found() -> None:
    world, io, client = scene()
    io.sockets.sockets[str(client.id)].join("a")
    assert isinstance(io.sockets.adapter, MemoryAdapter)
    io.sockets.adapter.rooms["a"].clear()
    expect(world, 8, "'a'")


def test_an_event_for_nobody_is_found() -> None:
    world, io, client = scene()
    socket = io.sockets.sockets[str(client.id)]
    client.disconnect()
    world.settle()
    io.socket_server.tell(EventReceived(socket, ["n"], None, 1))
    io.engine.timers.after(0, lambda: None)
    expect(world, 2, "which is not connected")


def test_a_socket_that_connects_twice_is_found() -> None:
    world, io, client = scene()
    io.socket_server.tell(SocketConnected(io.sockets.sockets[str(client.id)]))
    io.engine.timers.after(0, lambda: None)
    expect(world, 3, "a second time")


def test_an_answer_that_is_awaited_for_ever_is_found() -> None:
    world, io, client = scene()
    socket = io.sockets.sockets[str(client.id)]
    client.network.stall("up")
    pending = socket.emit_with_ack("question")
    world.settle()
    acks = socket._acks
    assert acks is not None
    waiter: Any = next(iter(acks._waiters.values()))
    waiter.timer.cancel()
    expect(world, 4, "for ever")
    assert not pending.done


# -- many


def test_in_a_large_world_everything_is_looked_at_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    io = world.server()
    for _ in range(60):
        world.client(record=False)
    world.settle()
    looks: list[int] = []
    look = world.watch.look_at_all

    def count() -> None:
        looks.append(1)
        look()

    monkeypatch.setattr(world.watch, "look_at_all", count)
    for _ in range(40):
        io.emit("n")
        world.settle()
    assert 2 <= len(looks) <= 8
    assert isinstance(io.engine, EngineServer)
