"""Modifiers and broadcasts, row by row: who gets what, in which order, and encoded how often (EM-01 to EM-15)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from sioproto import LocalProtocolError
from sioproto.socketio import Flags
from tests.parity.scene import Client, Scene


def crowd(scene: Scene, *rooms: str) -> list[Client]:
    """Returns a client for each text: it is in the rooms with those letters."""
    clients = []
    for letters in rooms:
        client = scene.client()
        client.socket.join(*letters)
        clients.append(client)
    return clients


def who_got(clients: list[Client], event: str) -> list[int]:
    """Returns the places of the clients that got an event, once for each time."""
    return [index for index, client in enumerate(clients) for got in client.take() if got == f'2["{event}"]']


def test_em_01_an_operator_is_immutable() -> None:
    scene = Scene()
    clients = crowd(scene, "a", "b", "ab")
    everybody = scene.io.except_()
    in_a = everybody.to("a")
    in_a.to("b")
    in_a.except_("b")
    in_a.volatile.emit("unrelated")
    who_got(clients, "unrelated")
    in_a.emit("x")
    assert who_got(clients, "x") == [0, 2]
    everybody.emit("y")
    assert who_got(clients, "y") == [0, 1, 2]


def test_em_02_modifiers_of_a_socket_do_not_stick() -> None:
    scene = Scene()
    alice = scene.client(transport="polling")
    alice.block()
    alice.socket.emit("takes the poll")
    scene.settle()
    operator = alice.socket.volatile
    alice.socket.emit("kept")
    operator.emit("dropped")
    alice.unblock()
    assert alice.take() == ['2["takes the poll"]', '2["kept"]']


def test_em_03_rooms_are_united_and_everybody_gets_it_once() -> None:
    scene = Scene()
    clients = crowd(scene, "a", "b", "ab", "")
    scene.io.to("a", "b").emit("x")
    assert who_got(clients, "x") == [0, 1, 2]
    scene.io.to("a").in_("b").emit("y")
    assert who_got(clients, "y") == [0, 1, 2]
    scene.io.to("nowhere").emit("z")
    assert who_got(clients, "z") == []


def test_em_03_from_a_socket_the_sender_is_left_out() -> None:
    scene = Scene()
    clients = crowd(scene, "a", "a", "")
    clients[0].socket.to("a").emit("x")
    assert who_got(clients, "x") == [1]


def test_em_04_except_leaves_out_rooms_and_ids() -> None:
    scene = Scene()
    clients = crowd(scene, "a", "b", "ab", "")
    scene.io.except_("b").emit("x")
    assert who_got(clients, "x") == [0, 3]
    scene.io.to("a").except_("b").emit("y")
    assert who_got(clients, "y") == [0]
    scene.io.except_("b", clients[3].ids["/"]).emit("z")
    assert who_got(clients, "z") == [0]
    clients[0].socket.to("b").except_("a").emit("u")
    assert who_got(clients, "u") == [1]


def test_em_05_broadcast_is_everybody_else() -> None:
    scene = Scene()
    clients = crowd(scene, "", "", "")
    clients[1].socket.broadcast.emit("x")
    assert who_got(clients, "x") == [0, 2]


def test_em_06_without_rooms_it_is_everybody_of_this_namespace() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client("/admin")
    alice.connect("/admin")
    scene.io.emit("main")
    scene.admin.emit("admin")
    assert alice.take() == ['2["main"]', '2/admin,["admin"]']
    assert bob.take() == ['2/admin,["admin"]']


def test_em_06_who_is_still_in_the_middlewares_gets_nothing() -> None:
    scene = Scene()
    scene.io.use(lambda socket: scene.io.sleep(1))
    alice = scene.open()
    alice.send("0")
    scene.io.emit("x")
    scene.advance(1)
    assert len(alice.take()) == 1


def test_em_07_recipients_are_those_of_the_moment() -> None:
    scene = Scene()
    clients = crowd(scene, "", "a")
    scene.io.to("a").emit("x")
    clients[0].socket.join("a")
    clients[1].socket.leave("a")
    assert who_got(clients, "x") == [1]


def test_em_08_volatile_is_dropped_where_the_websocket_is_blocked() -> None:
    scene = Scene()
    clients = crowd(scene, "", "")
    clients[1].block()
    scene.io.volatile.emit("x")
    clients[1].socket.volatile.emit("x")
    scene.io.emit("y")
    assert who_got(clients[:1], "x") == [0]
    clients[1].unblock()
    assert clients[1].take() == ['2["y"]']


def test_em_08_volatile_is_dropped_between_two_polls() -> None:
    scene = Scene()
    alice = scene.client(transport="polling")
    alice.socket.volatile.emit("poll held")
    assert alice.take() == ['2["poll held"]']
    alice.polls = False
    alice.socket.emit("uses the poll up")
    scene.settle()
    alice.socket.volatile.emit("no poll")
    alice.unblock()
    assert alice.take() == ['2["uses the poll up"]']


def test_em_08_a_volatile_event_right_behind_another_is_sent() -> None:
    scene = Scene()
    for transport in ("polling", "websocket"):
        alice = scene.client(transport=transport)
        alice.socket.emit("a")
        alice.socket.volatile.emit("b")
        assert alice.take() == ['2["a"]', '2["b"]']


def test_em_08_volatile_drops_attachments_with_their_header() -> None:
    scene = Scene()
    alice = scene.client()
    alice.block()
    alice.socket.volatile.emit("a", b"1")
    scene.io.volatile.emit("a", b"1")
    alice.unblock()
    assert alice.take() == []


@pytest.mark.parametrize("compress", [True, False])
def test_em_09_compress_decides_for_polling(compress: bool) -> None:
    scene = Scene()
    alice = scene.client(transport="polling", headers={"accept-encoding": "gzip"})
    bodies: list[list[tuple[str, str]]] = []
    scene.io.engine.on("headers", lambda headers: bodies.append(list(headers)))
    alice.polls = False
    exchange = alice.poll
    scene.io.compress(compress).emit("x", "a" * 5000)
    scene.io.take_dirty()
    assert exchange is not None
    assert exchange.response is not None
    assert (("Content-Encoding", "gzip") in exchange.response.headers) is compress
    assert (len(exchange.response.body) < 1000) is compress


def test_em_10_timeout_is_in_seconds_and_above_zero() -> None:
    scene = Scene(ack_timeout=60.0)
    alice = scene.client()
    operators: list[Any] = [alice.socket, scene.io, scene.admin, scene.io.to("a"), alice.socket.volatile]
    for operator in operators:
        for seconds in (0, -1, float("nan")):
            with pytest.raises(LocalProtocolError, match="time-out"):
                operator.timeout(seconds)
    answer = alice.socket.timeout(2).emit_with_ack("x")
    everybody = scene.io.timeout(2).emit_with_ack("x")
    scene.advance(1.9)
    assert not answer.done
    assert not everybody.done
    scene.advance(0.2)
    assert answer.done
    assert everybody.done


def test_em_11_local_reaches_the_sockets_of_this_server() -> None:
    scene = Scene()
    clients = crowd(scene, "a", "")
    scene.io.local.emit("x")
    assert who_got(clients, "x") == [0, 1]
    scene.io.local.to("a").emit("y")
    assert who_got(clients, "y") == [0]
    clients[0].socket.local.emit("z")
    assert who_got(clients, "z") == [1]
    clients[0].socket.volatile.local.to("a").emit("u")
    assert who_got(clients, "u") == []
    assert "local" in {field.name for field in fields(Flags)}  # what an adapter of a cluster is told


def test_em_12_a_broadcast_is_encoded_once() -> None:
    encoded: list[Any] = []

    def dumps(value: Any) -> str:
        encoded.append(value)
        return '["x",1]'

    scene = Scene(dumps=dumps)
    clients = [scene.open() for _ in range(3)]
    for client in clients:
        client.send("0")
        client.take()
    encoded.clear()
    scene.io.emit("x", 1)
    assert [client.take() for client in clients] == [['2["x",1]']] * 3
    assert len(encoded) == 1


def test_em_13_an_id_is_a_room_and_nobody_reaches_himself() -> None:
    scene = Scene()
    clients = crowd(scene, "", "")
    scene.io.to(clients[1].ids["/"]).emit("x")
    assert who_got(clients, "x") == [1]
    clients[0].socket.to(clients[0].ids["/"]).emit("y")
    assert who_got(clients, "y") == []
    clients[0].socket.to(clients[1].ids["/"]).emit("private")
    assert who_got(clients, "private") == [1]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_em_14_attachments_follow_their_header(transport: str) -> None:
    scene = Scene()
    alice = scene.client(transport=transport)
    scene.io.emit("x", b"1", b"2")
    alice.socket.emit("y")
    scene.io.emit("z", [b"3"])
    assert alice.take() == [
        '52-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
        b"1",
        b"2",
        '2["y"]',
        '51-["z",[{"_placeholder":true,"num":0}]]',
        b"3",
    ]


def test_em_15_events_keep_their_order_across_an_upgrade() -> None:
    scene = Scene()
    alice = scene.client(transport="polling")
    link = alice.probe()
    alice.polls = False
    for index in range(3):
        scene.io.emit("x", index)
        alice.socket.emit("y", index)
    scene.advance(0.1)
    for index in range(3, 6):
        scene.io.emit("x", index)
        alice.socket.emit("y", index)
    scene.io.receive_messages(link, ["5"])
    alice.link = link
    assert alice.take() == [f'2["{name}",{index}]' for index in range(6) for name in "xy"]
