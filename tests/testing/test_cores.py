"""A world drives every floor: an engine, a Socket.IO core or an application, on either side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sioproto import EngineConfig, SocketConfig
from sioproto.app import Client, Server
from sioproto.config import ClientConfig, EngineClientConfig
from sioproto.engineio import EngineClient, EngineServer, MessageArrived, MessageReceived, SessionOpened, parse_url
from sioproto.socketio import (
    ClientConnected,
    ConnectAsked,
    DisconnectingAsked,
    EventArrived,
    EventReceived,
    SocketClient,
    SocketServer,
)

if TYPE_CHECKING:
    from sioproto.testing import World

ORIGIN = parse_url("http://world.test")[0]


class Engines:
    """An engine on each side; ``log`` is what they told."""

    def __init__(self, world: World, **options: Any) -> None:
        self.world = world
        self.log: list[Any] = []
        there = world.party("server")
        self.server = EngineServer(EngineConfig(), there.environment, timers=there.timers, wake=there.wake)
        world.serve(self.server, there)
        here = world.party("client", passing=True)
        config = EngineClientConfig(**options)
        self.client = EngineClient(ORIGIN, config, here.environment, timers=here.timers, wake=here.wake)
        self.network = world.connect(self.client, here)

    def settle(self) -> None:
        self.world.settle()
        while events := [*self.server.events(), *self.client.events()]:
            self.log += events
            self.world.settle()

    def got(self, kind: type[MessageReceived | MessageArrived]) -> list[str | bytes]:
        return [event.data for event in self.log if isinstance(event, kind)]


@pytest.mark.parametrize("transports", [("polling",), ("websocket",), ("polling", "websocket")])
def test_two_engines(world: World, transports: Any) -> None:
    engines = Engines(world, transports=transports)
    engines.client.begin()
    engines.settle()
    session = next(event.session for event in engines.log if isinstance(event, SessionOpened))
    for number in range(5):
        engines.client.send(f"up {number}")
        session.send(bytes([number]))
    world.advance(1)
    engines.settle()
    assert engines.got(MessageReceived) == [f"up {number}" for number in range(5)]
    assert engines.got(MessageArrived) == [bytes([number]) for number in range(5)]
    assert engines.client.transport_name == transports[-1]
    engines.client.close()
    engines.settle()
    assert not engines.server.sessions


def test_two_socket_cores(world: World) -> None:
    there = world.party("server")
    server = SocketServer(
        EngineConfig(), SocketConfig(), there.environment, timers=there.timers, waiting=there, wake=there.wake
    )
    world.serve(server, there)
    here = world.party("client", passing=True)
    client = SocketClient(
        ORIGIN,
        EngineClientConfig(),
        ClientConfig(),
        here.environment,
        timers=here.timers,
        waiting=here,
        wake=here.wake,
    )
    world.connect(client, here)
    socket = client.of("/")
    socket.connect()
    socket.emit("hello", 1)
    log: list[Any] = []
    for _ in range(10):
        world.advance(0.1)
        for event in [*server.events(), *client.events()]:
            log.append(event)
            if isinstance(event, ConnectAsked):
                server.accept(event.ticket)
            elif isinstance(event, EventReceived):
                event.socket.emit("hello back", 2)
            elif isinstance(event, EventArrived):
                client.close()
            elif isinstance(event, DisconnectingAsked):
                server.finish_disconnect(event.socket)
    assert [event.args for event in log if isinstance(event, EventArrived)] == [["hello back", 2]]
    assert any(isinstance(event, ClientConnected) for event in log)
    assert not server.sockets.sockets


def test_plain_applications(world: World) -> None:
    there = world.party("server")
    io = Server(there, timers=there.timers)
    world.serve(io, there)
    here = world.party("client", passing=True)
    client = Client(here, "http://world.test/", timers=here.timers)
    world.connect(client, here, io)
    io.on("add", lambda socket, one, two: one + two)
    client.connect()
    assert world.result(client.emit_with_ack("add", 1, 2)) == 3
    client.disconnect()
    world.result(io.stop(5))
