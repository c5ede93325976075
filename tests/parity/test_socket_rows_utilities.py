"""Catch-alls and utilities, row by row (CA-01 to CA-05, UT-01 to UT-09)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sioproto import LocalProtocolError, Namespace, Pending, Socket
from sioproto.socketio import Flags, MemoryAdapter, Selection
from sioproto.socketio.remote import RemoteSocket
from tests.parity.scene import Scene, ids_of

if TYPE_CHECKING:
    from sioproto.socketio.remote import SocketLike


def test_ca_01_a_catch_all_gets_every_event_before_anybody_else() -> None:
    scene = Scene()
    seen: list[Any] = []
    alice = scene.client()
    alice.socket.on_any(lambda event, *args: seen.append(("any", event, args)))
    scene.io.on_any(lambda socket, event, *args: seen.append(("io", socket is alice.socket, event)))

    @alice.socket.use
    def refuse(event: str, args: list[Any]) -> None:
        seen.append("use")
        raise ValueError("refused")

    alice.send('27["a",1,"two"]', '2["error"]')
    assert seen == [
        ("io", True, "a"),
        ("any", "a", (1, "two")),
        "use",
        ("io", True, "error"),
        ("any", "error", ()),
        "use",
    ]


def test_ca_01_a_catch_all_never_answers() -> None:
    scene = Scene()
    alice = scene.client()
    scene.io.on_any(lambda socket, event: "not an answer")
    assert len(scene.io.any_listeners()) == 1
    alice.send('27["a"]')
    assert alice.take() == []
    alice.socket.on("a", lambda: "the answer")
    alice.send('28["a"]')
    assert alice.take() == ['38["the answer"]']


def test_ca_01_a_catch_all_gets_no_acknowledgements() -> None:
    scene = Scene()
    seen: list[Any] = []
    alice = scene.client()
    alice.socket.on_any(lambda *args: seen.append(args))
    alice.socket.emit_with_ack("ask")
    alice.send("30[1]", "1")
    assert seen == []


def test_ca_02_catch_alls_are_put_first_listed_and_taken_back() -> None:
    scene = Scene()
    seen: list[str] = []
    alice = scene.client()
    socket = alice.socket

    @socket.on_any
    def second(event: str) -> None:
        seen.append("second")

    @socket.prepend_any
    def first(event: str) -> None:
        seen.append("first")

    assert socket.any_listeners() == (first, second)
    alice.send('2["a"]')
    assert seen == ["first", "second"]
    socket.off_any(first)
    assert socket.any_listeners() == (second,)
    socket.on_any(first)
    socket.off_any()
    assert socket.any_listeners() == ()
    alice.send('2["a"]')
    assert len(seen) == 2


def test_ca_03_outgoing_events_are_observed_in_place() -> None:
    scene = Scene()
    seen: list[Any] = []
    alice, bob = scene.client(), scene.client()
    socket = alice.socket
    socket.on_any_outgoing(lambda event, *args: seen.append((event, args)))
    socket.emit("emit", 1)
    assert seen == [("emit", (1,))]
    scene.io.emit("broadcast", 2)
    socket.broadcast.emit("not mine")
    socket.emit_with_ack("ask", 3)
    scene.io.emit_with_ack("ask all")
    alice.block()
    socket.volatile.emit("dropped")
    socket.on("a", lambda: "an answer")
    alice.send('21["a"]')
    assert [event for event, _ in seen] == ["emit", "broadcast", "ask", "ask all", "dropped"]
    assert seen[2] == ("ask", (3,))
    assert bob.take()[0] == '2["broadcast",2]'


def test_ca_03_an_observer_that_fails_stops_nobody_and_none_may_wait() -> None:
    scene = Scene(tolerant=True)
    alice = scene.client()

    @alice.socket.on_any_outgoing
    def fail(event: str) -> None:
        raise ValueError("my fault")

    alice.socket.emit("a", 1)
    assert alice.take() == ['2["a",1]']
    assert scene.failures == ["observer of outgoing events: my fault"]

    async def waits(event: str) -> None: ...

    with pytest.raises(LocalProtocolError, match="may not wait"):
        alice.socket.on_any_outgoing(waits)


def test_ca_04_outgoing_observers_are_put_first_listed_and_taken_back() -> None:
    scene = Scene()
    seen: list[str] = []
    socket = scene.client().socket

    def second() -> None:
        seen.append("second")

    def first() -> None:
        seen.append("first")

    socket.on_any_outgoing(second)
    socket.prepend_any_outgoing(first)
    assert socket.any_outgoing_listeners() == (first, second)
    socket.emit("a", 1)
    assert seen == ["first", "second"]
    socket.off_any_outgoing(second)
    assert socket.any_outgoing_listeners() == (first,)
    socket.off_any_outgoing()
    assert socket.any_outgoing_listeners() == ()


def test_ca_05_every_broadcast_is_observed() -> None:
    scene = Scene()
    seen: list[str] = []
    alice = scene.client()
    alice.socket.join("room")
    alice.socket.on_any_outgoing(seen.append)
    scene.io.to("room").emit("one room")
    scene.io.to("room", "other").emit("two rooms")
    scene.io.local.emit("local")
    scene.admin.emit("another namespace")
    assert seen == ["one room", "two rooms", "local"]


def test_ut_01_fetch_sockets_gives_the_sockets_themselves() -> None:
    scene = Scene()
    seen: list[int] = []
    alice, bob = scene.client(), scene.client()
    alice.connect("/admin")
    alice.socket.join("room")
    assert scene.wait(scene.io.fetch_sockets()) == [alice.socket, bob.socket]
    assert scene.wait(scene.io.in_("room").fetch_sockets()) == [alice.socket]
    assert scene.wait(scene.io.except_("room").local.fetch_sockets()) == [bob.socket]
    assert scene.wait(scene.admin.fetch_sockets()) == [alice.at("/admin")]
    assert scene.wait(alice.socket.broadcast.fetch_sockets()) == [bob.socket]

    @scene.io.on("count")
    async def count(socket: Socket) -> None:
        seen.append(len(await scene.io.fetch_sockets()))
        seen.append(await scene.io.to("room").count_sockets())

    alice.send('2["count"]')
    assert seen == [2, 1]


class Told(MemoryAdapter):
    """An adapter that writes down what it is told, as one of a cluster would publish it."""

    def __init__(self, namespace: Namespace) -> None:
        super().__init__(namespace, 100)
        self.told: list[Any] = []

    def broadcast(self, args: tuple[Any, ...], selection: Selection, flags: Flags) -> None:
        self.told.append(("emit", args, selection.rooms))
        super().broadcast(args, selection, flags)

    def fetch_sockets(self, selection: Selection, flags: Flags, pending: Pending[list[SocketLike]]) -> None:
        self.told.append(("fetch", selection.rooms, flags.local))
        super().fetch_sockets(selection, flags, pending)

    def server_side_emit(self, args: tuple[Any, ...], pending: Pending[list[Any]] | None) -> None:
        self.told.append(("server", args))
        if pending is not None:
            pending.resolve(["from another server"])


def test_ut_02_a_remote_socket_acts_through_its_room() -> None:
    scene = Scene(adapter=Told)
    alice = scene.client()
    socket = alice.socket
    socket.data["name"] = "alice"
    remote = RemoteSocket(scene.io.sockets, socket.id, socket.handshake, socket.rooms, socket.data)
    remote.data["name"] = "a copy"
    assert remote.id == socket.id
    assert remote.rooms == {socket.id}
    assert socket.data == {"name": "alice"}
    remote.emit("hello", 1)
    remote.send("hi")
    remote.join("a", "b")
    remote.leave("a")
    assert socket.rooms == {socket.id, "b"}
    remote.disconnect(close=True)
    assert alice.take() == ['2["hello",1]', '2["message","hi"]', "1"]
    assert alice.closed
    adapter: Any = scene.io.sockets.adapter
    assert adapter.told[0] == ("emit", ("hello", 1), (socket.id,))


def test_ut_03_ut_04_sockets_join_and_leave() -> None:
    scene = Scene()
    alice, bob, carol = scene.client(), scene.client(), scene.client()
    alice.socket.join("a")
    scene.io.sockets_join("all", "more")
    scene.io.to("a").sockets_join("only a")
    bob.socket.broadcast.sockets_join("not bob")
    scene.io.except_("a").sockets_leave("more")
    assert ids_of(scene.io, "all") == {each.ids["/"] for each in (alice, bob, carol)}
    assert ids_of(scene.io, "only a") == ids_of(scene.io, "more") == {alice.ids["/"]}
    assert ids_of(scene.io, "not bob") == {alice.ids["/"], carol.ids["/"]}


@pytest.mark.parametrize("close", [False, True])
def test_ut_05_disconnect_sockets(close: bool) -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    alice.connect("/admin")
    alice.socket.join("room")
    scene.io.in_("room").disconnect_sockets(close)
    assert alice.take() == (["1", "1/admin,"] if close else ["1"])
    assert (alice.closed, bob.closed) == (close, False)
    scene.io.disconnect_sockets()
    assert bob.take() == ["1"]


def test_ut_06_server_side_emit_goes_to_other_servers_only() -> None:
    scene = Scene(adapter=Told)
    seen: list[str] = []
    scene.io.sockets.on_server_event("hello", lambda *args: seen.append("local"))
    scene.admin.server_side_emit("hello", 1)
    scene.io.server_side_emit("hello", 2)
    told: list[Any] = [getattr(each.adapter, "told", None) for each in (scene.io.sockets, scene.admin)]
    assert told == [[("server", ("hello", 2))], [("server", ("hello", 1))]]
    assert seen == []


def test_ut_07_the_answers_of_the_other_servers() -> None:
    alone = Scene()
    assert alone.wait(alone.io.server_side_emit_with_ack("count")) == []
    scene = Scene(adapter=Told)
    assert scene.wait(scene.io.server_side_emit_with_ack("count", 1)) == ["from another server"]


def test_ut_08_server_side_emit_with_ack_is_awaited() -> None:
    scene = Scene(adapter=Told)
    seen: list[Any] = []

    async def ask() -> None:
        seen.append(await scene.io.server_side_emit_with_ack("count"))

    scene.io.spawn(ask)
    scene.settle()
    assert seen == [["from another server"]]


def test_ut_01_room_events_are_told_by_the_adapter() -> None:
    scene = Scene()
    seen: list[Any] = []
    adapter = scene.io.of("/chat").adapter
    for event in ("create_room", "join_room", "leave_room", "delete_room"):
        adapter.on(event, lambda *args, event=event: seen.append((event, *args)))
    alice = scene.client("/chat")
    sid = alice.ids["/chat"]
    assert seen == [("create_room", sid), ("join_room", sid, sid)]
    seen.clear()
    alice.at("/chat").join("room")
    alice.at("/chat").leave("room")
    assert seen == [
        ("create_room", "room"),
        ("join_room", "room", sid),
        ("leave_room", "room", sid),
        ("delete_room", "room"),
    ]
    with pytest.raises(LocalProtocolError, match="create_room"):
        adapter.on("no_such_event", print)
