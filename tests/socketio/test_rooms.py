"""Rooms and broadcasts: who is in, who gets what, once and encoded once."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sioproto import (
    AckTimeout,
    Adapter,
    BroadcastOperator,
    Disconnected,
    LocalProtocolError,
    ReservedEventError,
    Socket,
)
from sioproto.engineio import Link, ObserverFailed
from sioproto.socketio import ConnectAsked, MemoryAdapter, Selection, SocketServer
from sioproto.socketio.remote import RemoteSocket
from tests.virtual import Client, Clock, SocketDriver, drive_sockets, make_configs, make_environment

ROOMS = ["a", "b", "c"]


def memory(driver: SocketDriver) -> MemoryAdapter:
    """Returns the adapter of the main namespace."""
    adapter = driver.core.sockets.adapter
    assert isinstance(adapter, MemoryAdapter)
    return adapter


class Sockets:
    """Three clients: ``a`` is in room a, ``b`` in a and b, ``c`` in none."""

    def __init__(self, **options: Any) -> None:
        self.driver = drive_sockets(**options)
        self.clients: dict[str, Client] = {}
        self.sockets: dict[str, Socket] = {}
        for name, rooms in (("a", ["a"]), ("b", ["a", "b"]), ("c", [])):
            self.clients[name], self.sockets[name] = self.driver.join("polling" if name == "b" else "websocket")
            self.sockets[name].join(*rooms)
        self.io = self.driver.core.sockets

    def got(self) -> str:
        """Returns who got something just now, as letters; two of one if it came twice."""
        self.driver.settle()
        return "".join(name * len(client.take()) for name, client in self.clients.items())


# -- selecting


def test_whom_a_broadcast_reaches() -> None:
    each = Sockets()
    io = each.io
    a, b, c = each.sockets.values()
    expected: list[tuple[BroadcastOperator, str]] = [
        (io.everybody, "abc"),
        (io.to("a"), "ab"),
        (io.in_("a"), "ab"),
        (io.to("a", "b"), "ab"),
        (io.to("a").to("b").in_("a"), "ab"),
        (io.to("nobody"), ""),
        (io.to("nobody", "b"), "b"),
        (io.except_("b"), "ac"),
        (io.except_("a", "nobody"), "c"),
        (io.to("a").except_("b"), "a"),
        (io.except_("b").to("a"), "a"),
        (io.to("b").except_("a"), ""),
        (io.to(c.id), "c"),
        (io.to(c.id, "b"), "bc"),
        (io.except_(c.id), "ab"),
        (a.broadcast, "bc"),
        (a.to("a"), "b"),
        (a.in_("a"), "b"),
        (c.to("a"), "ab"),
        (a.except_("b"), "c"),
        (a.broadcast.except_("b"), "c"),
        (a.to(a.id), ""),
        (a.to(b.id, c.id), "bc"),
        (a.local, "bc"),
        (a.volatile.to("a"), "b"),
        (io.local, "abc"),
        (io.volatile, "abc"),
        (io.compress(False), "abc"),
        (io.timeout(5.0), "abc"),
    ]
    for operator, names in expected:
        operator.emit("x")
        assert each.got() == names
        assert operator.count_sockets().result() == len(names)
        found = [socket.id for socket in operator.fetch_sockets().result()]
        assert sorted(found) == sorted(each.sockets[name].id for name in names)


def test_operators_do_not_change() -> None:
    each = Sockets()
    everybody = each.io.everybody
    room = everybody.to("a")
    room.except_("b")
    room.volatile.compress(False)
    everybody.to("b")
    room.emit("x")
    assert each.got() == "ab"
    everybody.emit("x")
    assert each.got() == "abc"
    # The modifiers of a socket do not stick to it, either.
    a = each.sockets["a"]
    assert a.volatile is not None
    each.clients["a"].block()
    a.emit("kept")
    each.driver.settle()
    each.clients["a"].unblock()
    assert each.got() == "a"


def test_who_joins_later_gets_nothing() -> None:
    each = Sockets()
    each.io.to("b").emit("x")
    each.sockets["c"].join("b")
    late, _ = each.driver.join()
    assert each.got() == "b"
    assert late.take() == []


def test_an_event_is_sent_as_it_is() -> None:
    each = Sockets()
    each.io.send("hello", 1)
    each.io.to("a").send()
    each.sockets["c"].send(None)
    each.driver.settle()
    assert each.clients["a"].take() == ['42["message","hello",1]', '42["message"]']
    assert each.clients["c"].take() == ['42["message","hello",1]', '42["message",null]']


def test_a_broadcast_is_encoded_once() -> None:
    """The frames that three WebSockets get are the same objects, so the bytes are made once."""
    driver = drive_sockets()
    links: list[Link] = []
    for _ in range(3):
        client, socket = driver.join()
        socket.join("room")
        links.append(client.link)
    driver.join("polling")[1].join("room")
    driver.core.sockets.to("room").emit("x", b"\x01", {"k": b"\x02"})
    driver.core.take_dirty()
    taken = [link.take() for link in links]
    assert len(taken[0]) == 3
    for frames in taken[1:]:
        assert all(mine is other for mine, other in zip(frames, taken[0], strict=True))


def test_what_cannot_be_sent_is_sent_to_nobody() -> None:
    each = Sockets()
    with pytest.raises(LocalProtocolError):
        each.io.emit("x", object())
    with pytest.raises(LocalProtocolError):
        each.sockets["a"].emit("x", float("nan"))
    with pytest.raises(ReservedEventError, match='"disconnect" is a reserved event name'):
        each.io.emit("disconnect")
    for name in ("connect", "connect_error", "disconnecting", "newListener", "removeListener"):
        for emit in (each.sockets["a"].emit, each.sockets["a"].volatile.emit, each.io.to("a").emit):
            with pytest.raises(ReservedEventError):
                emit(name)
    with pytest.raises(TypeError, match="int"):
        each.io.emit(5)  # type: ignore[call-overload]  # no name
    assert each.got() == ""


@pytest.mark.parametrize("room", [1, None, b"a", ("a",), ["a", "b"]])
def test_a_room_is_a_str(room: Any) -> None:
    each = Sockets()
    socket = each.sockets["a"]
    operator = each.io.to("a")
    for call in (
        socket.join,
        socket.leave,
        socket.to,
        socket.in_,
        socket.except_,
        operator.to,
        operator.in_,
        operator.except_,
        operator.sockets_join,
        operator.sockets_leave,
        each.io.to,
    ):
        with pytest.raises(TypeError, match="a room is a str"):
            call(room)
    assert socket.rooms == {socket.id, "a"}


def test_a_socket_may_leave_its_own_room() -> None:
    each = Sockets()
    c = each.sockets["c"]
    c.leave(c.id)
    assert c.rooms == frozenset()
    each.io.to(c.id).emit("x")
    assert each.got() == ""
    each.io.emit("x")
    assert each.got() == "abc"


def test_many_sockets_at_once() -> None:
    each = Sockets()
    each.io.to("a").sockets_join("d", "e")
    assert memory(each.driver).rooms["d"].keys() == {each.sockets["a"], each.sockets["b"]}
    each.io.in_("b").sockets_leave("d")
    each.io.to("d").emit("x")
    assert each.got() == "a"
    each.io.except_("a").disconnect_sockets()
    each.driver.settle()
    assert not each.sockets["c"].connected
    assert each.sockets["a"].connected


def test_too_many_rooms() -> None:
    each = Sockets(max_rooms=3)
    b = each.sockets["b"]
    assert len(b.rooms) == 3
    b.join("a", "b")
    with pytest.raises(LocalProtocolError, match="max_rooms"):
        b.join("c")
    b.leave("a")
    b.join("c")
    assert b.rooms == {b.id, "b", "c"}


def test_the_rooms_of_a_middleware_do_not_keep_a_socket_from_its_own() -> None:
    driver = drive_sockets(max_rooms=2)
    driver.accepts = False
    client = driver.client("websocket")
    client.send("40")
    [asked] = driver.told(ConnectAsked)
    asked.socket.join("a", "b")
    driver.core.accept(asked.ticket)
    driver.settle()
    assert asked.socket.connected
    assert asked.socket.rooms == {"a", "b", asked.socket.id}
    assert len(client.take()) == 1


# -- adapter events


def test_rooms_come_and_go() -> None:
    driver = drive_sockets()
    adapter = driver.core.sockets.adapter
    seen: list[tuple[str, ...]] = []
    for event in ("create_room", "join_room", "leave_room", "delete_room"):
        adapter.on(event, lambda *args, event=event: seen.append((event, *args)))
    client, one = driver.join()
    assert seen == [("create_room", one.id), ("join_room", one.id, one.id)]
    seen.clear()
    _, two = driver.join()
    seen.clear()
    one.join("a")
    one.join("a")
    two.join("a")
    assert seen == [("create_room", "a"), ("join_room", "a", one.id), ("join_room", "a", two.id)]
    seen.clear()
    two.leave("a")
    two.leave("a")
    two.leave("never")
    assert seen == [("leave_room", "a", two.id)]
    seen.clear()
    client.lose()
    assert seen == [
        ("leave_room", one.id, one.id),
        ("delete_room", one.id),
        ("leave_room", "a", one.id),
        ("delete_room", "a"),
    ]
    with pytest.raises(LocalProtocolError, match="'join'"):
        adapter.on("join", print)


def test_an_observer_of_rooms_that_fails() -> None:
    driver = drive_sockets()
    error = ValueError()

    def fail(*_: object) -> None:
        raise error

    driver.core.sockets.adapter.on("join_room", fail)
    _, socket = driver.join()
    assert socket.rooms == {socket.id}
    assert [(event.error, event.where) for event in driver.told(ObserverFailed)] == [(error, "join_room")]


# -- how it is sent


def test_modifiers_of_one_socket() -> None:
    each = Sockets()
    a = each.sockets["a"]
    a.volatile.compress(False).emit("one")
    a.compress(False).volatile.send("two")
    a.timeout(1.0).compress(True).emit("three")
    each.driver.settle()
    assert each.clients["a"].take() == ['42["one"]', '42["message","two"]', '42["three"]']
    for operator, names in (
        (a.volatile.broadcast, "bc"),
        (a.compress(False).to("a"), "b"),
        (a.volatile.in_("a"), "b"),
        (a.timeout(1.0).except_("b"), "c"),
        (a.volatile.local, "bc"),
    ):
        operator.emit("x")
        assert each.got() == names
    each.clients["a"].block()
    a.volatile.compress(False).timeout(1.0).emit("dropped")
    a.compress(False).volatile.send("dropped")
    each.clients["c"].block()
    a.volatile.broadcast.emit("dropped")
    each.driver.settle()
    each.clients["a"].unblock()
    each.clients["c"].unblock()
    assert each.got() == "b"


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("kind", ["socket", "broadcast", "ack"])
def test_who_does_not_want_compression(kind: str, compress: bool) -> None:
    driver = drive_sockets()
    client, socket = driver.join("polling", headers=[("accept-encoding", "gzip")])
    poll = client.call
    assert poll is not None
    text = "x" * 5000
    if kind == "socket":
        socket.compress(compress).emit("x", text)
    elif kind == "broadcast":
        driver.core.sockets.compress(compress).emit("x", text)
    else:
        socket.compress(compress).emit_with_ack("x", text)
    driver.settle()
    assert (poll.header("Content-Encoding") == "gzip") == compress


def test_drained() -> None:
    driver = drive_sockets()
    client, socket = driver.join()
    assert socket.drained().done
    client.block()
    socket.emit("x")
    pending = socket.drained()
    driver.settle()
    assert not pending.done
    client.unblock()
    assert pending.done
    assert pending.result() is None


# -- sockets of other servers


def test_a_remote_socket_is_reached_through_its_room() -> None:
    each = Sockets()
    a, client = each.sockets["a"], each.clients["a"]
    remote = RemoteSocket(each.io, a.id, a.handshake, a.rooms, {"user": "ann"})
    assert (remote.id, remote.data) == (a.id, {"user": "ann"})
    assert remote.rooms == {a.id, "a"}
    remote.emit("x", 1)
    remote.send("hello")
    answer = remote.emit_with_ack("ask")
    late = remote.timeout(2.0).emit_with_ack("ask")
    remote.join("c", "d")
    remote.leave("a")
    assert a.rooms == {a.id, "c", "d"}
    each.driver.settle()
    assert client.take() == ['42["x",1]', '42["message","hello"]', '420["ask"]', '421["ask"]']
    client.send('430["yes"]')
    assert answer.result() == "yes"
    each.driver.advance(2.1)
    with pytest.raises(AckTimeout):
        late.result()
    gone = remote.emit_with_ack("ask")
    each.driver.settle()
    client.take()
    remote.disconnect()
    each.driver.settle()
    assert client.take() == ["41"]
    with pytest.raises(Disconnected):
        gone.result()
    assert not a.connected


# -- outgoing catch-alls


def test_what_is_sent_is_observed() -> None:
    each = Sockets()
    a, client = each.sockets["a"], each.clients["a"]
    seen: list[Any] = []
    a.on_any_outgoing(lambda event, *args: seen.append((event, *args)))

    @a.prepend_any_outgoing
    def first(event: str) -> None:
        seen.append("first")

    a.emit("direct", 1)
    each.io.to("a", "b").emit("broadcast", 2)
    a.emit_with_ack("ack", 3)
    client.block()
    a.volatile.emit("dropped", 4)
    client.emit("ask", ack=1)
    a.acknowledge(1, ["not seen"])
    a.broadcast.emit("to others")
    assert seen == [
        "first",
        ("direct", 1),
        "first",
        ("broadcast", 2),
        "first",
        ("ack", 3),
        "first",
        ("dropped", 4),
    ]
    a.off_any_outgoing(first)
    assert len(a.any_outgoing_listeners()) == 1
    a.off_any_outgoing()
    a.emit("unseen")
    assert len(seen) == 8


def test_an_outgoing_observer_that_fails() -> None:
    each = Sockets()

    @each.sockets["a"].on_any_outgoing
    def fail(event: str) -> None:
        raise ValueError(event)

    each.sockets["a"].emit("x")
    assert each.got() == "a"
    assert [event.where for event in each.driver.told(ObserverFailed)] == ["outgoing events"]


# -- an adapter of somebody else's


def test_another_adapter() -> None:
    made: list[str] = []

    class Counting(MemoryAdapter):
        def close(self) -> None:
            made.append("close")

        def broadcast(self, args: tuple[Any, ...], selection: Selection, flags: Any) -> None:
            made.append(args[0])
            super().broadcast(args, selection, flags)

    clock = Clock()
    engine_config, config = make_configs({})
    core = SocketServer(
        engine_config, config, make_environment(clock), adapter=lambda namespace: Counting(namespace, 10)
    )
    driver = SocketDriver(core, clock)
    client, socket = driver.join()
    core.sockets.to(socket.id).emit("x")
    driver.settle()
    assert made == ["x"]
    assert client.take() == ['42["x"]']
    assert issubclass(Counting, Adapter)
    # The adapter of a child goes with it.
    core.of(re.compile("/child"))
    client.connect("/child")
    assert made == ["x"]
    client.send("41/child,")
    assert made == ["x", "close"]


# -- anything, against a model


class RoomsMachine(RuleBasedStateMachine):
    """The model is a dict: the rooms of each connected socket, in the order of connecting."""

    @initialize()
    def start(self) -> None:
        self.driver = drive_sockets()
        self.io = self.driver.core.sockets
        self.clients: dict[str, tuple[Client, Socket]] = {}
        self.model: dict[str, set[str]] = {}

    @rule(transport=st.sampled_from(["polling", "websocket"]))
    def connect(self, transport: str) -> None:
        client, socket = self.driver.join(transport)
        self.clients[socket.id] = client, socket
        self.model[socket.id] = {socket.id}

    def draw(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(list(self.clients)))

    def rooms(self, data: st.DataObject) -> list[str]:
        return data.draw(st.lists(st.sampled_from(ROOMS + list(self.clients)), max_size=3))

    def expected(self, rooms: list[str], excluded: list[str]) -> list[str]:
        return [
            sid
            for sid, own in self.model.items()
            if (not rooms or own.intersection(rooms)) and not own.intersection(excluded)
        ]

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), room=st.sampled_from(ROOMS))
    def join(self, data: st.DataObject, room: str) -> None:
        sid = self.draw(data)
        self.clients[sid][1].join(room)
        if sid in self.model:
            self.model[sid].add(room)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), room=st.sampled_from(ROOMS))
    def leave(self, data: st.DataObject, room: str) -> None:
        sid = self.draw(data)
        self.clients[sid][1].leave(room)
        self.model.get(sid, set()).discard(room)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def leave_itself(self, data: st.DataObject) -> None:
        sid = self.draw(data)
        self.clients[sid][1].leave(sid)
        self.model.get(sid, set()).discard(sid)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), how=st.sampled_from(["server", "client", "lost"]))
    def disconnect(self, data: st.DataObject, how: str) -> None:
        sid = self.draw(data)
        client, socket = self.clients[sid]
        if sid not in self.model:
            return
        if how == "server":
            socket.disconnect()
        elif how == "client":
            client.send("41")
        else:
            client.lose()
        self.driver.settle()
        del self.model[sid]

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), kind=st.sampled_from(["to", "broadcast", "ack"]))
    def emit(self, data: st.DataObject, kind: str) -> None:
        rooms, excluded = self.rooms(data), self.rooms(data)
        sender = self.draw(data) if kind == "broadcast" else None
        operator = self.io.to(*rooms) if sender is None else self.clients[sender][1].to(*rooms)
        operator = operator.except_(*excluded)
        if sender is not None:
            excluded = [*excluded, sender]
        expected = self.expected(rooms, excluded)
        if kind == "ack":
            answers = operator.emit_with_ack("x")
            assert answers.done == (not expected)
        else:
            operator.emit("x")
        assert sorted(socket.id for socket in operator.fetch_sockets().result()) == sorted(expected)
        self.driver.settle()
        got = {
            sid: len([each for each in client.take() if '["x"]' in str(each)])
            for sid, (client, _) in self.clients.items()
        }
        assert got == {sid: int(sid in expected) for sid in self.clients}

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), room=st.sampled_from(ROOMS), joins=st.booleans())
    def move_many(self, data: st.DataObject, room: str, joins: bool) -> None:
        rooms = self.rooms(data)
        operator = self.io.in_(*rooms)
        (operator.sockets_join if joins else operator.sockets_leave)(room)
        for sid in self.expected(rooms, []):
            (self.model[sid].add if joins else self.model[sid].discard)(room)

    @invariant()
    def rooms_are_those_of_the_model(self) -> None:
        if not hasattr(self, "model"):
            return
        for sid, (_, socket) in self.clients.items():
            assert socket.rooms == self.model.get(sid, set())
        assert list(self.io.sockets) == list(self.model)
        # Both maps of the adapter say the same, and neither keeps what is empty.
        adapter = memory(self.driver)
        members = {room: {socket.id for socket in sockets} for room, sockets in adapter.rooms.items()}
        assert members == {
            room: {sid for sid, own in self.model.items() if room in own} for room in set().union(*self.model.values())
        }
        assert {socket.id for socket in adapter.sids} == set(self.model)


TestRooms = RoomsMachine.TestCase
TestRooms.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
