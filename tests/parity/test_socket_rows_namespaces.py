"""Namespaces, row by row: how clients enter, dynamic ones, their children (NS-01 to NS-09, DN-01 to DN-07)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from sioproto import ConnectError, DynamicNamespace, LocalProtocolError, Namespace, Socket
from tests.parity.scene import Scene, ids_of


def refusal(message: str, namespace: str = "") -> str:
    return f'4{namespace}{{"message":"{message}"}}'


def test_ns_01_a_namespace_has_a_name_sockets_an_adapter_and_a_server() -> None:
    scene = Scene()
    scene.admin.use(lambda socket: scene.io.sleep(1))
    alice, bob = scene.client(), scene.open()
    bob.send("0/admin,")
    assert scene.admin.name == "/admin"
    assert scene.io.sockets.sockets == {alice.ids["/"]: alice.socket}
    assert scene.admin.sockets == {}
    alice.socket.join("room")
    assert [each.id for each in scene.wait(scene.io.to("room").fetch_sockets())] == [alice.ids["/"]]
    assert scene.admin.adapter is not scene.io.sockets.adapter
    assert scene.admin.server is scene.io.sockets.server


def test_ns_02_middlewares_run_in_order_and_the_first_refusal_counts() -> None:
    scene = Scene()
    seen: list[str] = []

    @scene.io.use
    async def first(socket: Socket) -> None:
        await scene.io.sleep(1)
        seen.append("first")

    @scene.io.use
    def second(socket: Socket) -> None:
        seen.append("second")
        if socket.handshake.auth.get("token") != "s3":
            raise ConnectError("not authorized", {"retry": False})

    scene.io.use(lambda socket: seen.append("third"))
    alice = scene.open()
    alice.send("0")
    scene.advance(1)
    assert alice.take() == ['4{"message":"not authorized","data":{"retry":false}}']
    assert seen == ["first", "second"]
    alice.send('0{"token":"s3"}')
    scene.advance(1)
    assert len(alice.take()) == 1
    assert seen[2:] == ["first", "second", "third"]
    assert len(scene.io.sockets.sockets) == 1


def test_ns_02_any_other_exception_refuses_with_a_fixed_text() -> None:
    scene = Scene(tolerant=True)

    @scene.io.use
    async def fail(socket: Socket) -> None:
        raise ValueError("secret")

    alice = scene.open()
    alice.send("0")
    assert alice.take() == [refusal("Internal server error")]
    assert scene.failures == ["middleware of /: secret"]


def test_ns_02_a_middleware_that_never_ends_is_ended_by_the_connect_timeout() -> None:
    scene = Scene(connect_timeout=45.0)
    scene.io.use(lambda socket: scene.io.sleep(1000))
    alice = scene.open()
    alice.send("0")
    scene.advance(44)
    assert not alice.closed
    scene.advance(2)
    assert alice.closed
    assert scene.io.sockets.sockets == {}


def test_ns_03_what_a_middleware_sees_of_the_socket() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.use
    async def middleware(socket: Socket) -> None:
        seen.append((socket.connected, socket.rooms, socket.handshake.auth, len(socket.id)))
        socket.emit("early", 1)
        socket.volatile.emit("dropped")
        socket.join("room")
        socket.disconnect()
        await scene.io.sleep(1)

    alice = scene.open()
    alice.send('0{"a":1}')
    scene.io.to("room").emit("not for who is not connected")
    assert alice.take() == []
    scene.advance(1)
    reply, early = alice.take()
    # Unlike in Node.js, what is emitted early comes behind the CONNECT packet.
    assert (str(reply)[0], early) == ("0", '2["early",1]')
    assert seen == [(False, frozenset(), {"a": 1}, 20)]
    assert len(ids_of(scene.io, "room")) == 1


def test_ns_03_a_refused_socket_leaves_the_rooms_it_joined() -> None:
    scene = Scene()
    sockets: list[Socket] = []

    @scene.io.use
    def middleware(socket: Socket) -> None:
        sockets.append(socket)
        socket.join("room")
        socket.emit("never sent")
        raise ConnectError("no")

    alice = scene.open()
    alice.send("0")
    assert alice.take() == [refusal("no")]
    assert sockets[0].rooms == frozenset()


def test_ns_04_a_client_that_goes_meanwhile_is_cleaned_up_without_events() -> None:
    scene = Scene()
    seen: list[str] = []
    sockets: list[Socket] = []

    @scene.io.use
    async def middleware(socket: Socket) -> None:
        sockets.append(socket)
        socket.join("room")
        await scene.io.sleep(1)

    scene.io.use(lambda socket: seen.append("second middleware"))
    for event in ("connection", "disconnecting", "disconnect"):
        scene.io.on(event, lambda socket, *_, event=event: seen.append(event))
    alice = scene.open()
    alice.send("0")
    alice.close()
    scene.advance(2)
    assert seen == []
    assert sockets[0].rooms == frozenset()


def test_ns_05_what_happens_at_acceptance_and_in_which_order() -> None:
    scene = Scene()
    seen: list[Any] = []
    scene.io.sockets.adapter.on("join_room", lambda room, sid: seen.append(("join", room == sid)))

    @scene.io.on("connection")
    def connection(socket: Socket) -> None:
        seen.append((socket.connected, socket.id in scene.io.sockets.sockets, socket.rooms == {socket.id}))
        socket.emit("welcome")

    alice = scene.open()
    alice.send("0")
    reply, welcome = alice.take()
    assert (str(reply)[0], welcome) == ("0", '2["welcome"]')
    assert seen == [("join", True), (True, True, True)]


def test_ns_06_no_flag_of_one_emit_reaches_the_next() -> None:
    scene = Scene()
    alice = scene.client()
    alice.block()
    operator = scene.io.sockets.volatile
    scene.io.sockets.emit("kept")
    operator.emit("dropped")
    alice.unblock()
    assert alice.take() == ['2["kept"]']


def test_ns_07_events_of_other_servers_have_handlers_of_their_own() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.on_server_event("hello")
    def hello(*args: Any) -> None:
        seen.append(args)

    alice = scene.client()
    alice.send('2["hello"]')
    scene.io.server_side_emit("hello")
    scene.settle()
    assert seen == []


def test_ns_08_a_namespace_needs_no_handlers() -> None:
    scene = Scene()
    scene.io.of("/quiet")
    alice = scene.client("/quiet")
    alice.send('2/quiet,1["anything"]')
    assert alice.take() == []
    assert alice.at("/quiet").connected


def test_dn_01_a_pattern_has_to_fit_the_whole_name() -> None:
    scene = Scene()
    parent = scene.io.of(re.compile(r"/dynamic-\d+"))
    assert isinstance(parent, DynamicNamespace)
    alice = scene.client("/dynamic-101")
    assert alice.at("/dynamic-101").namespace.name == "/dynamic-101"
    alice.send("0/dynamic-1/more,", "0/not/dynamic-1,")
    assert alice.take() == [
        refusal("Invalid namespace", "/dynamic-1/more,"),
        refusal("Invalid namespace", "/not/dynamic-1,"),
    ]


def test_dn_02_a_predicate_gets_the_name_and_auth_and_may_wait() -> None:
    scene = Scene(tolerant=True)
    asked: list[Any] = []

    async def predicate(name: str, auth: dict[str, Any]) -> bool:
        asked.append((name, auth))
        await scene.io.sleep(1)
        if name == "/fails":
            raise ValueError("broken")
        return bool(auth.get("ok"))

    scene.io.of(predicate)
    alice = scene.open()
    alice.send('0/a,{"ok":true}', "0/b,", "0/fails,")
    scene.advance(1)
    replies = [str(each) for each in alice.take()]
    assert replies[0].startswith('0/a,{"sid"')
    assert replies[1:] == [refusal("Invalid namespace", "/b,"), refusal("Invalid namespace", "/fails,")]
    assert asked == [("/a", {"ok": True}), ("/b", {}), ("/fails", {})]
    assert scene.failures == ["predicate of a dynamic namespace: broken"]


def test_dn_03_existing_names_come_first_then_parents_in_their_order() -> None:
    scene = Scene()
    seen: list[str] = []
    for label in ("first", "second"):
        parent = scene.io.of(re.compile("/x.*" if label == "first" else "/.*"))
        parent.on("connection", lambda socket, label=label: seen.append(f"{label} {socket.namespace.name}"))
    alice = scene.client("/admin")
    alice.connect("/x1")
    alice.connect("/y1")
    assert seen == ["first /x1", "second /y1"]


def test_dn_03_two_clients_that_wait_for_the_same_predicate_meet_in_one_child() -> None:
    scene = Scene()

    async def slowly(name: str, auth: dict[str, Any]) -> bool:
        await scene.io.sleep(1)
        return True

    scene.io.of(slowly)
    alice, bob = scene.open(), scene.open()
    alice.send("0/new,")
    bob.send("0/new,")
    scene.advance(1)
    assert (len(alice.take()), len(bob.take())) == (1, 1)
    scene.io.of("/new").emit("both")
    assert (alice.take(), bob.take()) == (['2/new,["both"]'], ['2/new,["both"]'])


def test_dn_04_a_child_has_what_its_parent_has_also_what_comes_later() -> None:
    scene = Scene()
    seen: list[str] = []
    made: list[str] = []
    scene.io.on("new_namespace", lambda namespace: made.append(namespace.name))
    scene.settle()
    made.clear()
    parent = scene.io.of(re.compile("/d.+"))
    parent.use(lambda socket: seen.append("middleware"))
    alice = scene.client("/d1")
    parent.use(lambda socket: seen.append("later middleware"))
    parent.on("connection", lambda socket: seen.append("connection"))
    parent.on("hello", lambda socket: seen.append("hello"))
    parent.on_any(lambda socket, event: seen.append(f"any {event}"))
    alice.send('2/d1,["hello"]')
    scene.client("/d1")
    assert seen == ["middleware", "any hello", "hello", "middleware", "later middleware", "connection"]
    assert made == ["/d1"]


def test_dn_05_a_parent_broadcasts_to_all_children() -> None:
    scene = Scene()
    parent = scene.io.of(re.compile("/d.+"))
    alice, bob = scene.client("/d1"), scene.client("/d2")
    bob.at("/d2").join("room")
    parent.emit("all", b"\x01")
    parent.to("room").emit("some")
    assert alice.take() == ['51-/d1,["all",{"_placeholder":true,"num":0}]', b"\x01"]
    assert bob.take() == ['51-/d2,["all",{"_placeholder":true,"num":0}]', b"\x01", '2/d2,["some"]']


def test_dn_06_a_parent_cannot_be_asked() -> None:
    parent = Scene().io.of(re.compile("/d.+"))
    for ask in (parent.fetch_sockets, parent.count_sockets, lambda: parent.emit_with_ack("a")):
        with pytest.raises(LocalProtocolError, match="ask its children"):
            ask()


def test_dn_07_a_child_goes_with_its_last_socket_and_comes_back() -> None:
    scene = Scene()
    parent = scene.io.of(re.compile("/d.+"))
    alice, bob = scene.client("/d1"), scene.client("/d1")
    alice.close()
    assert "/d1" in parent.children
    bob.close()
    assert parent.children == {}
    scene.client("/d1")
    assert list(parent.children) == ["/d1"]


def test_dn_07_no_child_is_taken_from_a_client_in_its_middlewares() -> None:
    scene = Scene()
    parent = scene.io.of(re.compile("/d.+"))

    @parent.use
    async def middleware(socket: Socket) -> None:
        if "refuse" in socket.handshake.auth:
            raise ConnectError("no")
        await scene.io.sleep(1)

    alice, bob = scene.open(), scene.open()
    alice.send("0/d1,")
    bob.send('0/d1,{"refuse":1}')
    scene.advance(1)
    alice.take()
    parent.emit("hello")
    assert alice.take() == ['2/d1,["hello"]']


class Chat(Namespace):
    """A class of its own for a namespace."""

    def on_connection(self, socket: Socket) -> None:
        socket.join("lobby")

    def on_say(self, socket: Socket, text: str) -> str:
        self.to("lobby").emit("said", text)
        return "ok"


def test_ns_08_a_namespace_may_be_a_class() -> None:
    scene = Scene()
    chat = scene.io.of("/chat", Chat)
    assert scene.io.of("chat") is chat
    alice = scene.client("/chat")
    alice.send('2/chat,1["say","hi"]', '2/chat,2["connection"]')
    assert alice.take() == ['2/chat,["said","hi"]', '3/chat,1["ok"]']
