"""Recovery between this server and this client: a world in which the network breaks wherever it can."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

import sioproto_wire
from sioproto import AckTimeout, Disconnected, Recovery
from sioproto.testing import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto import Pending, Socket
    from sioproto.config import TransportName
    from sioproto.testing import Client, Server

TRANSPORTS: list[tuple[TransportName, ...]] = [("polling",), ("websocket",), ("polling", "websocket")]


@pytest.fixture(params=[None, sioproto_wire], ids=["messages", "bytes"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A world of either speed, which has to end well."""
    world = World(seed=7, wire=request.param)
    yield world
    world.close()


@pytest.fixture(params=TRANSPORTS, ids=["polling", "websocket", "upgrade"])
def transports(request: pytest.FixtureRequest) -> Any:
    """The transports of a client."""
    return request.param


class Party:
    """A server, a client, and what they got."""

    def __init__(self, world: World, transports: tuple[TransportName, ...] = ("websocket",), **options: Any) -> None:
        self.world = world
        self.io: Server = world.server(recovery=Recovery(**options))
        self.client: Client = world.client(transports=transports)
        self.got: list[int] = []
        self.asked: list[int] = []
        self.recovered: list[bool] = []
        self.client.on("number", self.number)
        self.client.on("ask", self.ask)
        self.client.on("connect", lambda: self.recovered.append(self.client.recovered))
        world.result(self.client.connect())
        world.settle()

    def number(self, number: int) -> None:
        self.got.append(number)

    async def ask(self, number: int) -> int:
        self.asked.append(number)
        await self.world.sleep(number % 3)
        return number * 2

    @property
    def socket(self) -> Socket | None:
        """The server's socket, while there is one."""
        return next(iter(self.io.sockets.sockets.values()), None)


@pytest.mark.parametrize("seed", range(4))
def test_every_event_once_wherever_the_connection_breaks(world: World, transports: Any, seed: int) -> None:
    chance = random.Random(seed)
    party = Party(world, transports)
    number = 0
    for _ in range(40):
        for _ in range(chance.randrange(3)):
            party.io.emit("number", number)
            number += 1
        how = chance.randrange(4)
        if how == 0:
            party.client.network.cut()
        elif how == 1:
            party.client.network.cut_after(bytes=chance.randrange(1, 200))
        elif how == 2:
            party.client.network.latency = chance.choice([0.0, 0.05, 0.3])
        party.io.volatile.emit("volatile", "text")
        party.io.emit("number", number)
        number += 1
        world.advance(chance.choice([0.1, 1.0, 6.0]))
    party.client.network.restore()
    party.client.network.latency = 0
    world.advance(60)
    assert party.got == list(range(number))
    assert party.recovered[0] is False
    assert all(party.recovered[1:])
    assert len(party.recovered) > 5


@pytest.mark.parametrize("seed", range(4))
def test_every_question_is_asked_once_and_answered_once(world: World, transports: Any, seed: int) -> None:
    chance = random.Random(seed)
    party = Party(world, transports)
    answers: list[tuple[int, Pending[Any]]] = []
    for number in range(60):
        socket = party.socket
        if socket is not None:
            answers.append((number, socket.emit_with_ack("ask", number)))
        if chance.randrange(3) == 0:
            party.io.emit("number", number)
        how = chance.randrange(4)
        if how == 0:
            party.client.network.cut()
        elif how == 1:
            party.client.network.cut_after(bytes=chance.randrange(1, 200))
        world.advance(chance.choice([0.1, 1.0, 6.0]))
    party.client.network.restore()
    world.advance(120)
    assert all(party.recovered[1:])
    assert len(party.recovered) > 5
    assert len(set(party.asked)) == len(party.asked)
    failed = set()
    for number, answer in answers:
        assert answer.done
        try:
            assert answer.result() == number * 2
            assert number in party.asked
        except (AckTimeout, Disconnected) as error:
            failed.add((number, type(error)))
    # An answer may get lost behind an offset that says that its question arrived; a question never does.
    assert {kind for _, kind in failed} <= {AckTimeout}
    assert party.asked == [number for number, _ in answers]
    assert len(failed) < len(answers) / 4


def test_a_client_takes_all_that_a_server_would_send_it_at_once(world: World) -> None:
    party = Party(world)
    party.client.network.cut()
    for number in range(18_000):
        party.io.emit("number", number)
    world.advance(10)
    assert party.got == list(range(18_000))
    assert party.recovered == [False, True]
    # What is too much even for that gives a new socket, and no endless loop of attempts.
    party.client.network.cut()
    for number in range(30_000):
        party.io.emit("number", number)
    world.advance(10)
    assert len(party.got) == 18_000
    assert party.recovered == [False, True, False]
    assert party.socket is not None
    assert party.socket.recovery_refused == "too much"


def test_a_server_that_is_left_behind_unnoticed(world: World, transports: Any) -> None:
    """The client gives the connection up long before the server does, which has its pings to wait for."""
    party = Party(world, transports)
    for number in range(3):
        party.client.network.stall()
        party.io.emit("number", number)
        assert party.client.engine is not None
        party.client.engine.lose_network()
        party.client.network.restore()
        world.advance(8)
    assert party.got == [0, 1, 2]
    assert party.recovered == [False, True, True, True]
    assert len(party.io.sockets.sockets) == 1
