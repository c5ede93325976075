"""A stateful machine over the public API: rooms, broadcasts and acknowledgements against a model of a few dicts.

Hypothesis draws what users, the application and the network do. After each rule the world is settled, so that the model
knows exactly who has got what; the world itself looks after the invariants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from sioproto import AckTimeout, Disconnected
from sioproto.testing import World

if TYPE_CHECKING:
    from sioproto import Pending, Socket
    from sioproto.testing import Client

ROOMS = st.sampled_from(("red", "green", "blue"))
TRANSPORTS = st.sampled_from((("polling",), ("websocket",), ("polling", "websocket")))


class Rooms(RuleBasedStateMachine):
    """A server, its clients, and the model: who is in which room, what everybody got, which answers are awaited."""

    clients = Bundle("clients")

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.world = World(seed)
        self.io = self.world.server()
        self.members: dict[Client, dict[str, None]] = {}
        self.owed: dict[Client, list[int]] = {}
        self.answers: list[tuple[Pending[Any], int]] = []
        self.number = 0

        @self.io.on("join")
        def join(socket: Socket, room: str) -> list[str]:
            socket.join(room)
            return sorted(socket.rooms)

        @self.io.on("leave")
        def leave(socket: Socket, room: str) -> list[str]:
            socket.leave(room)
            return sorted(socket.rooms)

        @self.io.on("echo")
        async def echo(socket: Socket, number: int) -> int:
            await self.io.sleep(1)
            return number

    # Users

    @rule(target=clients, transports=TRANSPORTS)
    def connect(self, transports: Any) -> Client:
        client = self.world.client(transports=transports, reconnection=False)
        self.world.settle()
        assert client.connected
        self.members[client] = {}
        self.owed[client] = []

        @client.on("ask")
        def ask(number: int) -> int:
            return number

        return client

    @rule(client=clients, room=ROOMS)
    def join(self, client: Client, room: str) -> None:
        self.members[client][room] = None
        self.check_rooms(client, client.emit_with_ack("join", room))

    @rule(client=clients, room=ROOMS)
    def leave(self, client: Client, room: str) -> None:
        self.members[client].pop(room, None)
        self.check_rooms(client, client.emit_with_ack("leave", room))

    @rule(client=clients)
    def ask_server(self, client: Client) -> None:
        self.number += 1
        self.answers.append((client.timeout(5).emit_with_ack("echo", self.number), self.number))
        self.world.settle()

    @rule(client=consumes(clients), how=st.sampled_from(("leave", "cut", "kick", "close", "half")))
    def go(self, client: Client, how: str) -> None:
        if how == "leave":
            client.disconnect()
        elif how == "cut":
            client.network.cut()
        elif how == "half":
            client.network.half_close()
        else:
            self.socket(client).disconnect(how == "close")
        self.world.advance(0.2)  # a client that is about to upgrade says goodbye over the WebSocket
        assert not client.connected
        del self.members[client]

    # The application

    @rule(to=st.frozensets(ROOMS), without=st.frozensets(ROOMS))
    def broadcast(self, to: frozenset[str], without: frozenset[str]) -> None:
        self.number += 1
        self.io.to(*sorted(to)).except_(*sorted(without)).emit("news", self.number)
        self.owe(to, without)

    @rule(client=clients, to=st.frozensets(ROOMS))
    def broadcast_from(self, client: Client, to: frozenset[str]) -> None:
        self.number += 1
        self.socket(client).to(*sorted(to)).emit("news", self.number)
        self.owe(to, frozenset(), client)

    @rule(to=st.frozensets(ROOMS))
    def ask_clients(self, to: frozenset[str]) -> None:
        self.number += 1
        answers = self.world.result(self.io.to(*sorted(to)).timeout(5).emit_with_ack("ask", self.number))
        asked = {client.id for client, rooms in self.members.items() if not to or to & set(rooms)}
        assert answers.complete
        assert set(answers.answers) == asked
        assert all(value == self.number for value in answers.answers.values())

    # Time

    @rule(seconds=st.sampled_from((0.1, 0.5, 3.0, 30.0, 100.0)))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)

    # What holds

    @invariant()
    def everybody_got_what_was_sent(self) -> None:
        for client in self.members:
            assert [args[0] for event, *args in client.received if event == "news"] == self.owed[client]

    @invariant()
    def rooms_hold_their_members(self) -> None:
        # One that is gone stays in its namespace until its handlers are done, but gets nothing any more.
        there = {socket.id for socket in self.io.sockets.sockets.values() if socket.accepted}
        assert there == {client.id for client in self.members}
        for room in ("red", "green", "blue"):
            found = {socket.id for socket in self.io.to(room).fetch_sockets().result()}
            assert found == {client.id for client, rooms in self.members.items() if room in rooms}

    @invariant()
    def answers_are_right(self) -> None:
        for pending, number in self.answers:
            if pending.done:
                try:
                    assert pending.result() == number
                except (AckTimeout, Disconnected):
                    pass

    def teardown(self) -> None:
        self.world.advance(10)
        assert all(pending.done for pending, _ in self.answers)
        self.world.close()

    # Below this line: helpers

    def socket(self, client: Client) -> Socket:
        assert client.id is not None
        return self.io.sockets.sockets[client.id]

    def owe(self, to: frozenset[str], without: frozenset[str], sender: Client | None = None) -> None:
        self.world.settle()
        for client, rooms in self.members.items():
            if client is not sender and (not to or to & set(rooms)) and not without & set(rooms):
                self.owed[client].append(self.number)

    def check_rooms(self, client: Client, answer: Pending[Any]) -> None:
        assert self.world.result(answer) == sorted([str(client.id), *self.members[client]])


TestRooms = Rooms.TestCase
TestRooms.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
