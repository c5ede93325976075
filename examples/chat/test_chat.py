"""The chat, tested without a network: `python -m pytest examples/chat/test_chat.py`.

The handlers are those that `server.py` serves; people are clients in a `World`, whose time passes when a test says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from app import register
from sioproto import AckTimeout, Recovery
from sioproto.testing import World

if TYPE_CHECKING:
    from sioproto.testing import Client, Server


@pytest.fixture
def world() -> World:
    return World(seed=1)


@pytest.fixture
def io(world: World) -> Server:
    return world.server(register, max_send_buffer=100_000)


def person(world: World, name: str, token: str = "", **options: Any) -> Client:
    """Lets somebody come in; what they got so far is forgotten."""
    client = world.client(auth={"name": name, "token": token or f"token-of-{name}"}, **options)
    world.settle()
    client.take()
    return client


def test_a_name_that_is_taken_is_refused(world: World, io: Server) -> None:
    person(world, "Ada")
    thief = world.client(auth={"name": "ada", "token": "another-token"})
    world.settle()
    assert not thief.connected
    assert thief.connect_error is not None
    assert thief.connect_error.data == {"code": "taken"}


def test_a_message_reaches_everybody_in_the_room_but_its_sender(world: World, io: Server) -> None:
    ada, bob, eve = (person(world, name) for name in ("Ada", "Bob", "Eve"))
    for client in (ada, bob):
        assert world.result(client.emit_with_ack("join", "tea"))["ok"]
    for client in (ada, bob, eve):
        client.take()
    assert world.result(ada.emit_with_ack("message", "#tea", "milk?", "message-1"))["ok"]
    assert [(event, said["text"]) for event, said in bob.take()] == [("message", "milk?")]
    assert ada.take() == []
    assert eve.take() == []


def test_an_answer_that_does_not_come_in_time(world: World, io: Server) -> None:
    ada = person(world, "Ada")
    ada.network.stall()
    answer = ada.timeout(3).emit_with_ack("message", "#lobby", "hello?", "message-1")
    with pytest.raises(AckTimeout):
        world.result(answer)
    assert world.now == 3


def test_a_lost_link_comes_back(world: World, io: Server) -> None:
    ada, bob = person(world, "Ada"), person(world, "Bob")
    ada.network.cut()
    world.settle()
    assert ada.disconnect_reason == "transport close"
    assert [event for event, *_ in bob.take()] == ["left", "rooms"]
    world.advance(2)
    assert ada.connected
    assert [event for event, *_ in bob.take()] == ["joined", "rooms"]


def test_a_link_that_is_recovered_brings_what_was_missed(world: World) -> None:
    world.server(register, recovery=Recovery())
    ada, bob = person(world, "Ada"), person(world, "Bob")
    before = ada.id
    ada.network.cut()
    world.settle()
    assert world.result(bob.emit_with_ack("message", "#lobby", "still there?", "message-1"))["ok"]
    world.advance(2)
    assert ada.recovered
    assert ada.id == before
    # Behind what was emitted stands the offset from which the client goes on.
    assert [args[0]["text"] for event, *args in ada.take() if event == "message"] == ["still there?"]


def test_a_link_that_dies_silently_is_noticed_by_the_heartbeat(world: World, io: Server) -> None:
    ada, bob = person(world, "Ada"), person(world, "Bob")
    ada.network.stall()
    world.advance(44)
    assert len(io.sockets.sockets) == 2
    world.advance(1)
    assert len(io.sockets.sockets) == 1
    assert ("left", {"room": "lobby", "name": "Ada", "at": bob.received[0][1]["at"]}) in bob.take()


def test_a_tab_that_comes_back_takes_its_name_along(world: World, io: Server) -> None:
    before = person(world, "Ada", reconnection=False)
    after = person(world, "Ada")
    assert after.connected
    assert before.disconnect_reason == "io server disconnect"
    assert [event for event, *_ in before.take()][-1] == "replaced"


def test_somebody_who_does_not_read_is_cut_off(world: World, io: Server) -> None:
    ada, slow = person(world, "Ada"), person(world, "Slow")
    slow.network.stall("down")
    for number in range(100):
        ada.emit("message", "#lobby", "x" * 2000, f"message-{number:03}")
        world.settle()
    assert len(io.sockets.sockets) == 1
    assert ada.connected
