"""Rows of the client that no other test has a place for: mostly what is different from the JavaScript client."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from sioproto import LocalProtocolError, OptionError
from sioproto.config import ClientConfig
from sioproto.socketio import ClientSocket
from sioproto.testing import World
from tests.byhand import hand_app, hand_sockets

# -- CE: the connection


def test_ce_04_each_attempt_begins_with_the_first_transport() -> None:
    hand = hand_sockets(transports=("polling", "websocket"), try_all_transports=True)
    hand.core.of("/").connect()
    asked: list[str] = []
    for _ in range(2):
        for _ in range(2):
            hand.settle()
            (fetch,) = hand.fetches
            asked.append("websocket" if fetch.request.upgrade else "polling")
            hand.fail()
        hand.advance(2)
    assert asked == ["polling", "websocket", "polling", "websocket"]


def test_ce_17_a_client_keeps_nothing_alive() -> None:
    threads = threading.enumerate()
    hand = hand_sockets()
    hand.join()
    # Those of other tests may end meanwhile.
    assert [thread for thread in threading.enumerate() if thread not in threads] == []
    # Deadlines are numbers, which somebody may look at or not.
    assert isinstance(hand.core.next_deadline(), float)
    core = weakref.ref(hand.core)
    del hand
    gc.collect()
    assert core() is None


@pytest.mark.parametrize("option", ["close_on_beforeunload", "with_credentials", "use_native_timers", "auto_unref"])
def test_ce_18_options_of_pages_and_of_node_are_not_there(option: str) -> None:
    options: dict[str, Any] = {option: True}
    with World() as world:
        world.server()
        with pytest.raises(OptionError, match=option):
            world.client(**options)


def test_ce_22_messages_and_the_end_are_events_and_the_rest_is_observed() -> None:
    hand = hand_app(hooks={"auth": {"n": 1}})
    seen: list[str] = []
    for event in ("open", "packet", "packet_create", "drain", "ping", "close"):
        hand.core.on_connection(event, lambda *args, event=event: seen.append(event))
    hand.join()
    assert seen == ["packet", "open", "packet_create", "drain", "packet"]
    hand.say("2")
    hand.lose()
    assert seen[5:] == ["packet", "packet_create", "ping", "drain", "close"]
    with pytest.raises(LocalProtocolError, match="no event 'poll'"):
        hand.core.on_connection("poll", print)


# -- CM: coming back


def test_cm_02_a_client_is_a_connection_and_a_namespace_has_one_socket() -> None:
    with World() as world:
        io = world.server()
        for name in ("/", "/a"):
            io.of(name)
        one, two = world.client(), world.client()
        world.settle()
        assert io.engine.clients_count == 2
        first = one.of("/a", {"n": 1})
        assert one.of("/a") is first
        assert isinstance(first, ClientSocket)
        first.connect()
        world.settle()
        assert io.engine.clients_count == 2
        assert len(io.of("/a").sockets) == 1
        assert two.of("/a") is not first


def test_cm_03_nothing_connects_by_itself() -> None:
    hand = hand_app()
    hand.core.emit("x")
    hand.advance(60)
    assert hand.fetches == []
    hand.core.connect()
    hand.settle()
    assert len(hand.fetches) == 1


def test_cm_05_options_are_named_once_and_none_means_for_ever() -> None:
    config = ClientConfig(reconnection_attempts=None, open_timeout=None)
    with pytest.raises(AttributeError):
        config.reconnection_delay = 3.0  # type: ignore[misc]  # wrong on purpose
    with pytest.raises(OptionError, match="reconnection_attempts"):
        ClientConfig(reconnection_attempts=0)


def test_cm_08_sockets_are_told_of_the_stages_and_their_handlers_may_wait() -> None:
    hand = hand_app()
    gate = hand.gate()
    heard: list[Any] = []

    @hand.core.on("reconnect_attempt")
    async def attempt(number: int) -> None:
        await gate
        heard.append(number)

    admin = hand.core.of("/admin")
    admin.on("reconnect_attempt", lambda number: heard.append(("admin", number)))
    hand.core.of("/idle").on("reconnect_attempt", heard.append)
    hand.join()
    admin.connect()
    hand.accept("two", "/admin")
    hand.lose()
    hand.advance(1)
    assert heard == [("admin", 1)]
    hand.unlock(gate)
    assert heard == [("admin", 1), 1]


# -- CK: sockets


def test_ck_04_what_is_tried_again_is_active_and_what_was_refused_is_not() -> None:
    hand = hand_app()
    heard: list[Any] = []
    hand.core.on("connect_error", lambda error: heard.append((str(error), hand.core.active)))
    hand.core.connect()
    hand.settle()
    hand.fail()
    hand.advance(1)
    hand.open()
    hand.say('44{"message":"no"}')
    assert heard == [("websocket error: no route", True), ("no", False)]


def test_ck_06_what_a_socket_says_of_itself() -> None:
    hand = hand_sockets()
    socket = hand.core.of("/chat")
    assert (socket.name, socket.client) == ("/chat", hand.core)
    seen = [(socket.id, socket.connected, socket.active, socket.recovered)]
    hand.join("/chat", "one")
    seen.append((socket.id, socket.connected, socket.active, socket.recovered))
    hand.lose()
    seen.append((socket.id, socket.connected, socket.active, socket.recovered))
    assert seen == [(None, False, False, False), ("one", True, True, False), (None, False, True, False)]


def test_ck_16_send_connect_and_disconnect_have_one_name_each() -> None:
    hand = hand_app()
    heard: list[Any] = []
    hand.core.on("message", heard.append)
    hand.join()
    hand.core.send("a", 1)
    assert hand.take() == ['42["message","a",1]']
    hand.core.disconnect()
    assert hand.take() == ["41"]
    hand.core.connect()
    hand.settle()
    hand.open()
    hand.accept("two")
    hand.emit("message", "still heard")
    assert heard == ["still heard"]
    for name in ("open", "close", "write", "listeners"):
        assert not hasattr(hand.core, name)
