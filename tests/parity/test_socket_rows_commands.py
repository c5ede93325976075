"""What is done with a socket, row by row: joining, leaving, sending, listening (SO-20 to SO-26, SO-33, SO-34)."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto import LocalProtocolError, Socket
from tests.parity.scene import Scene, ids_of


def test_so_20_connected_changes_at_acceptance_and_at_the_end() -> None:
    scene = Scene()
    seen: list[tuple[str, bool]] = []
    scene.io.use(lambda socket: seen.append(("middleware", socket.connected)))
    for event in ("connection", "disconnecting", "disconnect"):
        scene.io.on(event, lambda socket, *_, event=event: seen.append((event, socket.connected)))
    alice = scene.client()
    socket = alice.socket
    assert socket.connected
    alice.close()
    assert not socket.connected
    assert seen == [("middleware", False), ("connection", True), ("disconnecting", True), ("disconnect", False)]


def test_so_22_a_socket_leads_to_its_namespace_client_and_request() -> None:
    scene = Scene()
    alice = scene.client()
    alice.connect("/admin")
    main, admin = alice.socket, alice.at("/admin")
    assert admin.namespace is scene.admin
    assert main.namespace is scene.io.sockets
    assert main.client is admin.client
    assert main.client.sockets == {"/": main, "/admin": admin}
    assert main.client.session is main.conn
    assert main.request is admin.request
    assert main.request.target == main.handshake.url


def test_so_23_join_takes_several_rooms_and_changes_nothing_twice() -> None:
    scene = Scene()
    alice = scene.client()
    seen: list[tuple[str, str]] = []
    scene.io.sockets.adapter.on("join_room", lambda room, sid: seen.append((room, sid)))
    alice.socket.join("a", "b")
    alice.socket.join("a")
    assert seen == [("a", alice.socket.id), ("b", alice.socket.id)]
    assert alice.socket.rooms == {alice.socket.id, "a", "b"}


@pytest.mark.parametrize("room", [1, None, b"a", ["a"]])
def test_so_23_a_room_is_a_str(room: Any) -> None:
    scene = Scene()
    socket = scene.client().socket
    for call in (socket.join, socket.leave, socket.to, socket.except_, scene.io.in_, scene.io.sockets_join):
        with pytest.raises(TypeError, match="a room is a str"):
            call(room)
    assert socket.rooms == {socket.id}


def test_so_23_joining_after_the_end_changes_nothing() -> None:
    scene = Scene()
    alice = scene.client()
    socket = alice.socket
    alice.close()
    socket.join("a")
    assert socket.rooms == frozenset()
    assert ids_of(scene.io, "a") == set()


def test_so_23_the_number_of_rooms_has_a_limit() -> None:
    scene = Scene(max_rooms=3)
    socket = scene.client().socket
    socket.join("a", "b")
    with pytest.raises(LocalProtocolError, match="max_rooms"):
        socket.join("c")


def test_so_24_leave_leaves_one_room_and_ignores_others() -> None:
    scene = Scene()
    alice = scene.client()
    alice.socket.join("a", "b")
    alice.socket.leave("a")
    alice.socket.leave("nowhere")
    assert alice.socket.rooms == {alice.socket.id, "b"}
    alice.socket.leave(alice.socket.id)
    scene.io.to(alice.socket.id).emit("direct")
    scene.io.emit("all")
    assert alice.take() == ['2["all"]']


def test_so_25_emit_sends_json_and_binary_and_returns_nothing() -> None:
    scene = Scene()
    alice = scene.client()
    alice.connect("/admin")
    socket: Any = alice.socket
    assert socket.emit("hello", 1, "two", {"three": [4, None, True]}) is None
    alice.at("/admin").emit("file", {"data": b"\x01\x02"}, bytearray(b"\x03"))
    assert alice.take() == [
        '2["hello",1,"two",{"three":[4,null,true]}]',
        '52-/admin,["file",{"data":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":1}]',
        b"\x01\x02",
        b"\x03",
    ]


def test_so_25_nothing_is_sent_to_a_namespace_that_the_client_left() -> None:
    scene = Scene()
    alice = scene.client()
    alice.connect("/admin")
    admin = alice.at("/admin")
    admin.disconnect()
    admin.emit("late")
    alice.socket.emit("here")
    assert alice.take() == ["1/admin,", '2["here"]']


def test_so_25_what_cannot_be_encoded_is_refused_at_once() -> None:
    scene = Scene()
    alice = scene.client()
    for value in (object(), float("nan"), {1, 2}):
        with pytest.raises(LocalProtocolError):
            alice.socket.emit("a", value)
    assert alice.take() == []


def test_so_26_send_emits_message() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    alice.socket.send("hi", 1)
    alice.socket.volatile.send("v")
    alice.socket.broadcast.send("b")
    assert alice.take() == ['2["message","hi",1]', '2["message","v"]']
    assert bob.take() == ['2["message","b"]']


def test_so_33_several_handlers_run_in_the_order_of_their_registration() -> None:
    scene = Scene()
    seen: list[str] = []
    scene.io.on("a", lambda socket: seen.append("namespace"))

    @scene.io.on("connection")
    def connection(socket: Socket) -> None:
        socket.on("a", lambda: seen.append("first"))
        socket.on("a", lambda: seen.append("second"))

    alice = scene.client()
    alice.send('2["a"]')
    assert seen == ["namespace", "first", "second"]


def test_so_33_once_and_off() -> None:
    scene = Scene()
    seen: list[str] = []
    alice = scene.client()
    socket = alice.socket

    def handler() -> None:
        seen.append("on")

    socket.once("a", lambda: seen.append("once"))
    socket.on("a", handler)
    socket.on("b", lambda: seen.append("b"))
    alice.send('2["a"]', '2["a"]')
    assert seen == ["once", "on", "on"]
    socket.off("a", handler)
    socket.off("never")
    alice.send('2["a"]', '2["b"]')
    assert seen[3:] == ["b"]
    socket.on("b", handler)
    socket.off("b")
    alice.send('2["b"]')
    assert seen[4:] == []


def test_so_33_on_is_a_decorator_or_takes_the_handler() -> None:
    scene = Scene()
    alice = scene.client()

    @alice.socket.on("a")
    def first() -> str:
        return "a"

    def second() -> str:
        return "b"

    assert alice.socket.on("b", second) is second
    assert first() == "a"
    alice.send('21["a"]', '22["b"]')
    assert alice.take() == ['31["a"]', '32["b"]']


def test_so_33_a_failing_handler_stops_nobody() -> None:
    scene = Scene(tolerant=True)
    alice = scene.client()
    seen: list[str] = []

    @alice.socket.on("a")
    def fail() -> None:
        raise ValueError("my fault")

    alice.socket.on("a", lambda: seen.append("second"))
    alice.socket.on("b", lambda: seen.append("b"))
    alice.send('2["a"]', '2["b"]')
    assert seen == ["second", "b"]
    assert scene.failures == ["event 'a' in /: my fault"]
    assert alice.socket.connected


def test_so_33_failures_go_to_one_hook() -> None:
    seen: list[tuple[str, str]] = []
    scene = Scene(on_error=lambda error, where: seen.append((str(error), where)))
    alice = scene.client()

    @alice.socket.on("a")
    async def fail() -> None:
        raise ValueError("my fault")

    alice.send('2["a"]')
    assert seen == [("my fault", "event 'a' in /")]
    assert not scene.failures


def test_so_34_operators_of_a_socket_leave_it_out() -> None:
    scene = Scene()
    alice, bob, carol = scene.client(), scene.client(), scene.client()
    socket = alice.socket
    for each in (alice, bob):
        each.socket.join("room")
    socket.broadcast.emit("broadcast")
    socket.to("room").emit("to")
    socket.in_("room").emit("in")
    socket.except_("room").emit("except")
    socket.volatile.emit("volatile")
    socket.compress(False).emit("compress")
    socket.local.emit("local")
    assert alice.take() == ['2["volatile"]', '2["compress"]']
    assert bob.take() == ['2["broadcast"]', '2["to"]', '2["in"]', '2["local"]']
    assert carol.take() == ['2["broadcast"]', '2["except"]', '2["local"]']
