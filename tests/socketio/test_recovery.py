"""Recovery of connections: who gets back the socket that was lost, with what, and what those see who may not."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, ConnectError, Disconnected, LocalProtocolError, OptionError, Recovery
from sioproto.socketio import (
    MemoryAdapter,
    MemoryStore,
    RecoveringAdapter,
    RecoveryStore,
    RestoreRefused,
    SocketServer,
    Trail,
)
from sioproto.socketio.trail import MAX_LEFT
from tests.socketio.returning import Returning
from tests.virtual import drive_app, drive_sockets, living

if TYPE_CHECKING:
    from sioproto import Namespace, Socket
    from sioproto.socketio import RestoreTicket
    from tests.virtual import AppDriver

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


class Scene:
    """A server that recovers, and what its lifecycle handlers were told."""

    def __init__(self, hooks: dict[str, Any] | None = None, engine: dict[str, Any] | None = None, **options: Any):
        self.driver = drive_app(hooks=hooks, recovery=Recovery(**options), **(engine or {}))
        self.io = self.driver.core
        self.log: list[tuple[str, str]] = []
        self.io.on("connection", lambda socket: self.log.append(("connection", socket.id)))
        self.io.on("disconnecting", lambda socket, reason: self.log.append(("disconnecting", socket.id)))
        self.io.on("disconnect", lambda socket, reason: self.log.append(("disconnect", socket.id)))

    def peer(self, namespace: str = "/", transport: str = "websocket", **auth: Any) -> Returning:
        """Returns a client that has entered a namespace."""
        peer = Returning(self.driver, namespace, transport).enter(**auth)
        peer.take()
        return peer

    def socket(self, peer: Returning) -> Socket:
        """Returns the server's side of a client."""
        assert peer.id is not None
        return self.io.of(peer.namespace).sockets[peer.id]

    @property
    def happened(self) -> list[str]:
        """What lifecycle handlers were told, whichever socket it was."""
        return [name for name, _ in self.log]

    def settle(self) -> None:
        """Lets everything happen that happens without time going by."""
        self.driver.settle()

    def advance(self, seconds: float, *peers: Returning) -> None:
        """Lets time pass; these clients read what comes meanwhile."""
        for _ in range(int(seconds)):
            self.driver.advance(1.0)
            for peer in peers:
                peer.read()


def names(told: list[list[Any]]) -> list[Any]:
    """Returns the names of events, without their arguments."""
    return [event[0] for event in told]


def coming_back(transport: str, *missed: str) -> list[str]:
    """Returns what a client is told that comes back: before CONNECT where one poll carries all, else behind it."""
    return [*missed, "connect"] if transport == "polling" else ["connect", *missed]


def without_offset(told: list[list[Any]]) -> list[list[Any]]:
    """Returns events with their own arguments; of those that are kept the last one is the offset."""
    return [event if event[0] == "connect" else event[:-1] for event in told]


# -- the option


def test_it_is_off_by_default() -> None:
    driver = drive_app()
    peer = Returning(driver).enter()
    assert (peer.pid, peer.connected) == (None, True)
    socket = driver.core.sockets.sockets[str(peer.id)]
    assert (socket.private_id, socket.recovered, socket.recovery_refused) == (None, False, None)
    assert type(driver.core.sockets.adapter) is MemoryAdapter
    socket.emit("news", 1)
    driver.settle()
    assert peer.read().take() == [["connect", False], ["news", 1]]
    peer.cut()
    peer.enter(pid="anything", offset="anything")
    assert (peer.pid, peer.recovered) == (None, False)


def test_the_defaults() -> None:
    config = Recovery()
    assert (config.max_disconnection, config.skip_middlewares) == (120.0, True)
    assert (config.max_packets, config.max_bytes, config.max_sessions) == (100_000, 64 * 1024 * 1024, 10_000)
    assert config.store_timeout == 5.0


@pytest.mark.parametrize("name", ["max_disconnection", "max_packets", "max_bytes", "max_sessions", "store_timeout"])
def test_values_that_make_no_sense(name: str) -> None:
    with pytest.raises(OptionError, match=name):
        Recovery(**{name: 0})  # type: ignore[arg-type]  # none of these is a bool


@pytest.mark.parametrize("value", [True, {"max_disconnection": 1}, 120])
def test_the_option_takes_a_recovery(value: Any) -> None:
    with pytest.raises(OptionError, match=re.escape("Recovery(...)")):
        drive_app(recovery=value)


def test_an_adapter_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match="MemoryAdapter cannot recover"):
        drive_app(hooks={"adapter": lambda namespace: MemoryAdapter(namespace, 10)}, recovery=Recovery())


def test_an_adapter_of_ones_own_that_recovers() -> None:
    def adapter(namespace: Namespace) -> RecoveringAdapter:
        assert namespace.log is not None
        return RecoveringAdapter(namespace, 10, namespace.log)

    scene = Scene({"adapter": adapter})
    peer = scene.peer()
    peer.cut()
    scene.io.emit("missed")
    assert names(peer.enter().take()) == ["connect", "missed"]


# -- private ids and offsets


def test_the_private_id_comes_with_connect_and_is_of_one_socket() -> None:
    scene = Scene()
    first, second = scene.peer(), scene.peer()
    assert first.client.log[1] == f'40{{"sid":"{first.id}","pid":"{first.pid}"}}'
    assert len({first.id, first.pid, second.id, second.pid}) == 4
    socket = scene.socket(first)
    assert socket.private_id == first.pid
    assert not socket.recovered
    scene.io.of("/admin")
    assert scene.peer("/admin").pid not in (first.pid, second.pid)


def test_no_text_shows_what_is_secret() -> None:
    scene = Scene()
    peer = scene.peer()
    scene.io.emit("news")
    scene.settle()
    peer.read().cut()
    peer.enter(token="mine")
    socket = scene.socket(peer)
    assert socket.recovered
    texts = [repr(each) for each in (socket, socket.handshake, socket.trail, socket.namespace, socket.client)]
    assert socket.handshake.auth == {"pid": peer.pid, "offset": peer.offset, "token": "mine"}
    assert "'pid': '...', 'offset': '...', 'token': 'mine'" in texts[1]
    assert [text for text in texts if str(peer.pid) in text or str(peer.offset) in text] == []


@BOTH
def test_every_event_that_is_kept_ends_in_its_offset(transport: str) -> None:
    scene = Scene()
    peer = scene.peer(transport=transport)
    socket = scene.socket(peer)
    socket.join("room")
    socket.emit("direct", {"a": [1]})
    socket.send("text")
    scene.io.emit("all", b"binary", 2)
    scene.io.to("room").emit("room")
    scene.settle()
    told = peer.read().take()
    assert without_offset(told) == [["direct", {"a": [1]}], ["message", "text"], ["all", b"binary", 2], ["room"]]
    offsets = [event[-1] for event in told]
    heads = {offset.rpartition(".")[0] for offset in offsets}
    numbers = [int(offset.rpartition(".")[2]) for offset in offsets]
    assert len(heads) == 1
    assert numbers == [1, 2, 3, 4]
    # What the stock client, and ours, take for an offset.
    assert all(re.fullmatch(r"[0-9A-Za-z_.\-]{1,64}", offset) for offset in offsets)


def test_a_broadcast_is_encoded_once_and_kept_as_it_was_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    peers = [scene.peer() for _ in range(3)]
    parser = scene.io.sockets.server.parser
    calls = 0
    encode = type(parser).encode_event

    def count(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return encode(*args, **named)

    monkeypatch.setattr(type(parser), "encode_event", count)
    peers[0].cut()
    scene.io.emit("news")
    scene.settle()
    peers[0].enter()
    assert names(peers[0].take()) == ["connect", "news"]
    assert calls == 1


def test_observers_of_what_is_sent_see_no_offset() -> None:
    scene = Scene()
    peer = scene.peer()
    seen: list[Any] = []
    scene.socket(peer).on_any_outgoing(lambda *args: seen.append(args))
    scene.socket(peer).emit("direct", "x")
    scene.io.emit("all")
    assert seen == [("direct", "x"), ("all",)]


def test_what_cannot_be_encoded_is_not_kept() -> None:
    scene = Scene()
    peer = scene.peer()
    log = scene.io.sockets.log
    assert log is not None
    for emit in (scene.socket(peer).emit, scene.io.emit):
        with pytest.raises(LocalProtocolError):
            emit("news", object())
    assert (len(log), log.number, log.size) == (0, 0, 0)


# -- coming back


@BOTH
def test_a_client_comes_back(transport: str) -> None:
    scene = Scene()
    peer = scene.peer(transport=transport)
    socket = scene.socket(peer)
    socket.join("room")
    socket.data["user"] = "Ada"
    vars(socket)["note"] = "an attribute of the program's own"
    socket.emit("first")
    scene.settle()
    peer.read().take()
    before = (peer.id, peer.pid)
    peer.cut()
    scene.io.to("room").emit("to the room", b"binary")
    scene.io.to(str(before[0])).emit("to its id")
    scene.io.to("elsewhere").emit("not for it")
    scene.io.except_("room").emit("not for it either")
    scene.io.local.emit("to all")
    peer.enter()
    assert names(peer.take()) == coming_back(transport, "to the room", "to its id", "to all")
    assert (peer.id, peer.pid, peer.recovered) == (*before, True)
    again = scene.socket(peer)
    assert again is not socket
    assert (again.id, again.recovered, again.recovery_refused) == (socket.id, True, None)
    assert again.rooms == {socket.id, "room"}
    assert again.data is socket.data
    assert not hasattr(again, "note")
    assert again.conn is not socket.conn
    assert set(again.handshake.auth) == {"pid", "offset"}
    # And goes on as if nothing had been.
    scene.io.to("room").emit("later")
    scene.settle()
    assert names(peer.read().take()) == ["later"]
    assert scene.log == [
        ("connection", peer.id), ("disconnecting", peer.id), ("disconnect", peer.id), ("connection", peer.id),
    ]  # fmt: skip


@BOTH
def test_what_was_missed_comes_with_connect(transport: str) -> None:
    """Before it in the answer to a poll, which arrives whole or not at all; behind it where a cut may come between."""
    scene = Scene()
    peer = scene.peer(transport=transport)
    peer.cut()
    scene.io.emit("one", b"binary")
    scene.io.emit("two")
    peer.open()
    packets = [packet for packet in peer.client.log[1:] if packet != "6"]
    connect = packets.pop(-1 if transport == "polling" else 0)
    assert connect == f'40{{"sid":"{scene.log[0][1]}","pid":"{peer.pid}"}}'
    assert isinstance(packets[0], str)
    assert packets[0].startswith('451-["one"')
    assert packets[1] == b"binary"
    assert packets[2:] == [f'42["two","{scene.io.sockets.log.offset}"]']  # type: ignore[union-attr]  # it recovers


def test_what_was_missed_comes_behind_connect_where_it_may_be_that_a_websocket_carries_it() -> None:
    scene = Scene()
    peer = scene.peer(transport="polling")
    peer.cut()
    scene.io.emit("missed")
    client = scene.driver.client("polling")
    client.polls = False
    candidate = client.attach()
    client.say(candidate, "2probe")
    scene.driver.advance(0.1)  # releases the poll
    client.send(f'40{{"pid":"{peer.pid}"}}')
    client.say(candidate, "5")
    connect, missed = candidate.frames[1:]
    assert str(connect).startswith("40")
    assert str(missed).startswith('42["missed"')


@BOTH
def test_a_client_that_is_cut_off_while_it_is_given_what_it_missed_is_told_nothing_twice(transport: str) -> None:
    """What the JavaScript client had before CONNECT it would keep over the loss, and tell once more."""
    scene = Scene()
    peer = scene.peer(transport=transport)
    peer.cut()
    told: list[Any] = []
    for packets in range(8):
        scene.io.emit("number", packets, b"binary")
        peer.open().read(packets)
        told += [event[1] for event in peer.take() if event[0] == "number"]
        peer.cut(noticed=packets % 2 == 0)
    peer.enter()
    assert told + [event[1] for event in peer.take() if event[0] == "number"] == list(range(8))
    assert peer.recovered


def test_a_client_that_has_received_nothing_yet_names_no_offset_and_comes_back() -> None:
    scene = Scene()
    peer = scene.peer()
    peer.cut()
    scene.io.emit("missed")
    peer.open()
    assert peer.offset is None
    assert scene.io.sockets.sockets[scene.log[0][1]].handshake.auth == {"pid": peer.pid}
    assert names(peer.read().take()) == ["connect", "missed"]
    assert peer.recovered


def test_what_was_sent_and_lost_on_the_way_is_sent_again() -> None:
    scene = Scene()
    peer = scene.peer()
    for number in range(5):
        scene.io.emit("number", number)
    scene.settle()
    peer.read(2)
    assert [event[1] for event in peer.take()] == [0, 1]
    peer.cut()
    scene.io.emit("number", 5)
    peer.enter()
    assert [event[1] for event in peer.take()] == [True, 2, 3, 4, 5]


@pytest.mark.parametrize("noticed", [True, False])
def test_the_end_of_the_lost_socket_is_handled_before_the_new_one_connects(noticed: bool) -> None:
    scene = Scene()
    gate = scene.driver.gate()

    @scene.io.on("disconnect")
    async def slow(socket: Socket) -> None:
        await gate
        scene.log.append(("let go", socket.id))

    peer = scene.peer()
    peer.cut(noticed=noticed)
    peer.enter()
    assert scene.happened == ["connection", "disconnecting", "disconnect"]
    assert not peer.connected
    scene.driver.open(gate)
    assert peer.read().recovered
    assert scene.happened[3:] == ["let go", "connection"]


def test_disconnect_handlers_that_take_too_long_are_not_waited_for() -> None:
    scene = Scene()
    gate = scene.driver.gate()

    @scene.io.on("disconnect")
    async def slow(socket: Socket) -> None:
        await gate

    peer = scene.peer()
    peer.cut()
    peer.enter()
    scene.driver.advance(4.9)
    assert not peer.read().connected
    scene.driver.advance(0.2)
    assert peer.read().recovered
    scene.driver.open(gate)


def test_disconnecting_handlers_may_still_change_what_is_restored() -> None:
    scene = Scene()
    gate = scene.driver.gate()

    @scene.io.on("disconnecting")
    async def tidy(socket: Socket) -> None:
        await gate
        socket.leave("old")
        socket.join("new")
        socket.data = {"replaced": True}

    peer = scene.peer()
    scene.socket(peer).join("old")
    peer.cut()
    scene.io.to("old").emit("while it was there")
    scene.io.to("new").emit("before it was there")
    peer.open()
    scene.driver.open(gate)
    scene.io.to("old").emit("after it left")
    scene.io.to("new").emit("live")
    scene.settle()
    assert names(peer.read().take()) == ["connect", "while it was there", "live"]
    assert scene.socket(peer).rooms == {peer.id, "new"}
    assert scene.socket(peer).data == {"replaced": True}


# -- what is sent again: exactly what it would have got


def test_rooms_count_as_they_were_when_an_event_was_sent() -> None:
    scene = Scene()
    peer, other = scene.peer(), scene.peer()
    socket = scene.socket(peer)
    socket.emit("start")
    scene.settle()
    peer.read()
    peer.take()
    scene.io.to("room").emit("before it entered")
    socket.join("room")
    scene.io.to("room").emit("while it was in")
    scene.io.except_("room").emit("excepted while it was in")
    socket.leave("room")
    scene.io.to("room").emit("after it left")
    scene.io.except_("room").emit("not excepted")
    socket.join("room", "more")
    scene.socket(other).to("room", "more").emit("once, though in both")
    socket.broadcast.emit("by itself")
    # All of that is under way when the connection breaks.
    peer.cut()
    scene.io.to("more").emit("while away")
    assert names(peer.enter().take()) == [
        "connect", "while it was in", "not excepted", "once, though in both", "while away",
    ]  # fmt: skip


def test_a_new_socket_gets_nothing_of_the_time_before() -> None:
    gates: list[Any] = []

    async def wait(socket: Socket) -> None:
        gates.append(scene.driver.gate())
        await gates[-1]

    scene = Scene()
    scene.io.use(wait)
    scene.io.emit("before it came")
    peer = Returning(scene.driver).open()
    scene.io.emit("while it was in its middlewares")
    scene.driver.open(gates[0])
    assert names(peer.read().take()) == ["connect"]
    peer.cut()
    assert names(peer.enter().take()) == ["connect"]
    assert peer.recovered


def test_an_offset_of_an_earlier_socket_is_none() -> None:
    """The JavaScript client keeps its last offset when it gets a new socket, and names it until it gets another."""
    scene = Scene()
    peer = scene.peer()
    scene.io.emit("first life")
    scene.settle()
    peer.read()
    peer.cut()
    scene.advance(121)
    scene.io.emit("while it was nobody")
    peer.enter()
    assert not peer.recovered
    assert scene.socket(peer).recovery_refused == "unknown"
    old = peer.offset
    peer.take()
    peer.cut()
    scene.io.emit("missed")
    peer.enter()
    assert scene.socket(peer).handshake.auth["offset"] == old
    assert names(peer.take()) == ["connect", "missed"]
    assert peer.recovered


def test_an_offset_of_another_server_is_none() -> None:
    peer = Scene().peer()
    for _ in range(6):
        peer.driver.core.emit("elsewhere")
    peer.driver.settle()
    peer.read()
    peer.cut()
    scene = Scene()
    for number in range(5):
        scene.io.emit("before", number)
    peer.driver = scene.driver
    # The ids of tests begin anew with each server; real ones do not.
    peer.offset = "another-" + str(peer.offset)
    peer.pid = "another"
    peer.enter()
    assert not peer.recovered
    peer.cut()
    scene.io.emit("missed")
    assert names(peer.enter().take())[-2:] == ["connect", "missed"]
    assert peer.recovered


def test_a_quiet_client_comes_back_to_a_busy_namespace() -> None:
    """What was sent before the last ping that it answered, it has; so it need not be kept."""
    scene = Scene(max_packets=50)
    peer = scene.peer()
    scene.socket(peer).join("quiet")
    for _ in range(30):
        for _ in range(10):
            scene.io.to("busy").emit("not for it")
        scene.advance(10, peer)
    log = scene.io.sockets.log
    assert log is not None
    assert log.dropped > 100
    peer.cut()
    scene.io.to("quiet").emit("missed")
    assert names(peer.enter().take()) == ["connect", "missed"]
    assert peer.recovered
    # It goes at once, before it answered a ping, and still has what it had.
    peer.offset = None
    peer.cut()
    assert names(peer.enter().take()) == ["connect", "missed"]
    assert peer.recovered


def test_a_new_client_comes_back_although_the_log_is_full() -> None:
    scene = Scene(max_packets=5)
    for _ in range(10):
        scene.io.emit("before it came")
    peer = scene.peer()
    peer.cut()
    for _ in range(5):
        scene.io.emit("missed")
    assert names(peer.enter().take()) == ["connect"] + ["missed"] * 5


def test_that_holds_although_all_that_is_kept_is_younger() -> None:
    scene = Scene(max_packets=5)
    peer = scene.peer()
    for _ in range(10):
        scene.io.to("busy").emit("not for it")
    scene.advance(30, peer)
    for _ in range(5):
        scene.io.to("busy").emit("not for it")
    peer.cut()
    assert peer.enter().recovered
    peer.cut()
    scene.io.to("busy").emit("one too many")
    assert peer.enter().recovered is False


def test_a_ping_that_was_not_answered_tells_nothing() -> None:
    scene = Scene(max_packets=3)
    peer = scene.peer()
    scene.io.emit("lost on the way")
    scene.driver.advance(25)  # a ping is on its way, behind it
    peer.cut()
    for _ in range(3):
        scene.io.to("busy").emit("not for it")
    peer.enter()
    assert not peer.recovered
    assert scene.socket(peer).recovery_refused == "lost"


def test_a_ping_that_was_sent_before_connect_tells_nothing_of_what_came_behind() -> None:
    gates: list[Any] = []

    async def wait(socket: Socket) -> None:
        gates.append(scene.driver.gate())
        await gates[-1]

    scene = Scene(skip_middlewares=False)
    scene.io.use(wait)
    peer = Returning(scene.driver).open()
    scene.driver.open(gates[0])
    peer.read().take()
    peer.cut()
    scene.io.emit("missed")
    scene.driver.advance(1)
    peer.open()
    scene.advance(30, peer)  # long enough for a ping and its pong
    scene.driver.open(gates[1])
    peer.cut()  # before it reads what was missed
    peer.open()
    scene.driver.open(gates[2])
    assert names(peer.read().take()) == ["connect", "missed"]


# -- the holes of others


@BOTH
def test_a_reconnect_that_overtakes_the_servers_notice_takes_over(transport: str) -> None:
    scene = Scene()
    peer = scene.peer(transport=transport)
    scene.socket(peer).join("room")
    sid, old = peer.id, peer.client
    peer.cut(noticed=False)
    scene.io.to("room").emit("into the void")
    assert scene.io.sockets.sockets[str(sid)].connected
    peer.enter()
    assert names(peer.take()) == coming_back(transport, "into the void")
    assert (peer.id, peer.recovered) == (sid, True)
    assert not old.session.open
    assert scene.happened == ["connection", "disconnecting", "disconnect", "connection"]
    assert list(scene.io.sockets.sockets) == [sid]


def test_a_takeover_ends_the_old_connection_in_all_namespaces() -> None:
    scene = Scene()
    reasons: list[str] = []
    scene.io.of("/admin").on("disconnect", lambda socket, reason: reasons.append(reason))
    peer = scene.peer()
    peer.client.send("40/admin,")
    peer.cut(noticed=False)
    peer.enter()
    assert peer.recovered
    assert reasons == ["transport close"]


def test_five_cuts_in_a_row_while_old_connections_are_timing_out() -> None:
    scene = Scene()
    peer = scene.peer()
    sid = peer.id
    expected = []
    for number in range(5):
        peer.cut(noticed=False)
        scene.io.emit("number", number)
        expected.append(number)
        scene.driver.advance(1)
        peer.open()
        if number % 2:
            peer.read()
    peer.read()
    assert [event[1] for event in peer.take() if event[0] == "number"] == expected
    assert (peer.id, peer.recovered) == (sid, True)
    scene.advance(100, peer)
    assert len(scene.driver.engine.sessions) == 1
    assert list(scene.io.sockets.sockets) == [sid]


def test_five_cuts_in_a_row_while_disconnect_handlers_are_slow() -> None:
    scene = Scene()

    @scene.io.on("disconnect")
    async def slow(socket: Socket) -> None:
        await scene.io.sleep(1)

    peer = scene.peer()
    sid = peer.id
    for number in range(5):
        peer.cut(noticed=False)
        scene.io.emit("number", number)
        peer.open()
        scene.driver.advance(0.3)
    scene.driver.advance(5)
    peer.read()
    assert [event[1] for event in peer.take() if event[0] == "number"] == [0, 1, 2, 3, 4]
    assert (peer.id, peer.recovered) == (sid, True)
    # Only the first two ever were connected, and what ended is as much as what began.
    assert scene.log.count(("connection", str(sid))) == scene.log.count(("disconnect", str(sid))) + 1


@BOTH
def test_a_lost_answer_is_given_again(transport: str) -> None:
    scene = Scene()
    peer = scene.peer(transport=transport)
    scene.io.emit("before")
    scene.settle()
    peer.read().take()
    peer.cut()
    scene.io.emit("missed")
    for noticed in (True, False, True):
        peer.open()
        peer.cut(noticed=noticed)  # nothing of the answer arrived
    scene.io.emit("missed, too")
    peer.enter()
    assert names(peer.take()) == coming_back(transport, "missed", "missed, too")
    assert peer.recovered


def test_a_lost_answer_before_any_event_is_given_again() -> None:
    scene = Scene()
    peer = scene.peer()
    peer.cut()
    scene.io.emit("missed")
    peer.open()
    peer.cut()
    assert names(peer.enter().take()) == ["connect", "missed"]


@pytest.mark.parametrize("args", [(), ("text",), (1, "text"), (1,), (b"binary",)])
def test_volatile_events_do_not_spoil_an_offset(args: tuple[Any, ...]) -> None:
    scene = Scene()
    peer = scene.peer()
    socket = scene.socket(peer)
    socket.volatile.emit("first of all", *args)
    scene.settle()
    socket.emit("kept")
    scene.settle()
    socket.volatile.emit("volatile", *args)
    scene.settle()
    scene.io.volatile.emit("volatile", *args)
    scene.settle()
    told = peer.read().take()
    assert [event[: 1 + len(args)] for event in told if event[0] == "volatile"] == [["volatile", *args]] * 2
    assert peer.offset == scene.io.sockets.log.offset  # type: ignore[union-attr]  # it recovers
    peer.cut()
    scene.io.volatile.emit("volatile events are not kept")
    scene.io.emit("missed")
    assert names(peer.enter().take()) == ["connect", "missed"]
    assert peer.recovered


def test_the_offset_of_a_volatile_event_says_that_what_came_before_was_received() -> None:
    scene = Scene()
    peer = scene.peer()
    scene.io.emit("kept")
    scene.io.volatile.emit("volatile", "text")
    scene.settle()
    peer.read()
    assert [event[-1] for event in peer.take()] == [peer.offset] * 2


# -- acknowledgements


def test_an_event_that_asks_is_sent_again_and_answered_once() -> None:
    scene = Scene()
    peer = scene.peer()
    socket = scene.socket(peer)
    direct = socket.emit_with_ack("direct", "q")
    broadcast = scene.io.emit_with_ack("all")
    scene.settle()
    peer.cut()  # before they arrive
    assert not direct.done
    assert not broadcast.done
    peer.enter()
    assert peer.take() == [["connect", True], ["direct", "q"], ["all"]]
    scene.settle()
    assert direct.result() == "yes"
    assert broadcast.result().answers == {peer.id: "yes"}
    # Nobody waits any more, so it is not sent again.
    peer.cut()
    assert names(peer.enter().take()) == ["connect"]


def test_an_answer_may_come_over_the_next_connection() -> None:
    scene = Scene()
    peer = scene.peer()
    peer.answers = False
    pending = scene.socket(peer).emit_with_ack("ask")
    scene.io.emit("behind it")
    scene.settle()
    peer.read()
    assert names(peer.take()) == ["ask", "behind it"]
    peer.cut()
    peer.enter()
    assert names(peer.take()) == ["connect"]  # it has the question: an event behind it arrived
    peer.answer(0, "late")
    peer.answer(0, "later still")
    assert pending.result() == "late"


def test_an_event_that_asks_is_not_sent_again_if_it_is_known_to_have_arrived() -> None:
    scene = Scene()
    peer = scene.peer()
    peer.answers = False
    pending = scene.socket(peer).timeout(100).emit_with_ack("ask")
    scene.advance(30, peer)  # it answers a ping that was sent behind it
    assert names(peer.take()) == ["ask"]
    peer.cut()
    assert names(peer.enter().take()) == ["connect"]
    peer.answer(0, "late")
    assert pending.result() == "late"


def test_an_event_that_asks_has_no_offset() -> None:
    """The JavaScript client would hand it to the handler in place of the function that answers."""
    scene = Scene()
    peer = scene.peer()
    scene.socket(peer).emit_with_ack("direct", "text")
    scene.io.volatile.emit_with_ack("all")
    scene.settle()
    assert peer.read().take() == [["direct", "text"], ["all"]]


def test_who_waits_for_an_answer_is_told_when_its_client_does_not_come_back() -> None:
    scene = Scene()
    peer = scene.peer()
    direct = scene.socket(peer).timeout(1000).emit_with_ack("ask")
    broadcast = scene.io.timeout(1000).emit_with_ack("ask")
    peer.cut()
    scene.driver.advance(119)
    assert not direct.done
    scene.driver.advance(2)
    with pytest.raises(Disconnected):
        direct.result()
    assert set(broadcast.result().missing.values()) == {"left"}


def test_the_time_for_an_answer_goes_on_while_a_client_is_away() -> None:
    scene = Scene()
    peer = scene.peer()
    direct = scene.socket(peer).timeout(10).emit_with_ack("ask")
    broadcast = scene.io.timeout(10).emit_with_ack("ask")
    peer.cut()
    scene.driver.advance(11)
    with pytest.raises(AckTimeout):
        direct.result()
    assert list(broadcast.result().missing.values()) == ["timed out"]
    assert names(peer.enter().take()) == ["connect"]
    later = scene.io.timeout(10).emit_with_ack("ask")
    scene.settle()
    peer.answers = False
    peer.read().cut()
    peer.enter()
    scene.driver.advance(11)
    assert later.result().missing == {peer.id: "timed out"}


def test_an_event_whose_time_ran_out_while_middlewares_ran_is_not_sent_again() -> None:
    scene = Scene(skip_middlewares=False)
    gates: list[Any] = []

    @scene.io.use
    async def wait(socket: Socket) -> None:
        if socket.recovered:
            gates.append(scene.driver.gate())
            await gates[-1]

    peer = scene.peer()
    pending = scene.socket(peer).timeout(10).emit_with_ack("ask")
    peer.cut()
    peer.open()
    scene.driver.advance(11)
    scene.driver.open(gates[0])
    assert names(peer.read().take()) == ["connect"]
    with pytest.raises(AckTimeout):
        pending.result()


@pytest.mark.parametrize("end", ["server", "client"])
def test_an_end_that_is_meant_fails_what_is_awaited_at_once(end: str) -> None:
    scene = Scene()
    peer = scene.peer()
    pending = scene.socket(peer).emit_with_ack("ask")
    if end == "server":
        scene.socket(peer).disconnect()
    else:
        peer.client.send("41")
    with pytest.raises(Disconnected):
        pending.result()


def test_a_handler_that_waits_for_its_own_client_does_not_hold_up_its_end() -> None:
    scene = Scene()
    found: list[str] = []

    @scene.io.on("start")
    async def start(socket: Socket) -> None:
        try:
            await socket.emit_with_ack("question")
        except Disconnected:
            found.append("disconnected")

    peer = scene.peer()
    peer.client.emit("start")
    peer.cut()
    assert found == ["disconnected"]
    assert scene.happened == ["connection", "disconnecting", "disconnect"]
    assert names(peer.enter().take()) == ["connect"]


def test_asking_a_lost_socket_fails_at_once() -> None:
    scene = Scene()
    peer = scene.peer()
    socket = scene.socket(peer)
    peer.cut()
    with pytest.raises(Disconnected):
        socket.emit_with_ack("ask").result()
    assert names(peer.enter().take()) == ["connect"]


# -- emitting to a socket that was lost


def test_what_is_emitted_to_a_lost_socket_reaches_its_client() -> None:
    scene = Scene()
    peer = scene.peer()
    lost = scene.socket(peer)
    peer.cut()
    lost.emit("while away", 1)
    lost.volatile.emit("volatile")
    peer.enter()
    assert without_offset(peer.take()) == [["connect", True], ["while away", 1]]
    lost.emit("to the old object", 2)
    scene.settle()
    assert without_offset(peer.read().take()) == [["to the old object", 2]]
    peer.cut()
    scene.advance(121)
    log = scene.io.sockets.log
    assert log is not None
    size = log.number
    lost.emit("to nobody")
    assert log.number == size


def test_emits_of_middlewares() -> None:
    scene = Scene(skip_middlewares=False)

    @scene.io.use
    def greet(socket: Socket) -> None:
        socket.emit("recovered" if socket.recovered else "new", 1)

    peer = scene.peer()
    told = without_offset(peer.read().take())
    assert told == []  # read by ``peer`` already
    peer.cut()
    scene.io.emit("missed")
    peer.enter()
    assert without_offset(peer.take()) == [["connect", True], ["missed"], ["recovered", 1]]
    scene.io.emit("later")
    scene.settle()
    assert names(peer.read().take()) == ["later"]


def test_what_a_middleware_emitted_and_was_lost_is_sent_again() -> None:
    scene = Scene()
    scene.io.use(lambda socket: socket.emit("welcome"))
    peer = Returning(scene.driver).open()
    peer.read(1)
    assert names(peer.take()) == ["connect"]
    peer.cut()
    assert names(peer.enter().take()) == ["connect", "welcome"]


# -- middlewares


def test_middlewares_are_skipped_or_run_as_the_option_says() -> None:
    for skip, expected in ((True, [False]), (False, [False, True])):
        scene = Scene(skip_middlewares=skip)
        seen: list[Any] = []
        scene.io.use(lambda socket, seen=seen: seen.append(socket.recovered))
        peer = scene.peer()
        peer.cut()
        assert peer.enter().recovered
        assert seen == expected


def test_middlewares_of_a_restored_socket_see_its_rooms_and_data() -> None:
    scene = Scene(skip_middlewares=False)
    seen: list[Any] = []
    scene.io.use(lambda socket: seen.append((sorted(socket.rooms), dict(socket.data))))
    peer = scene.peer()
    scene.socket(peer).join("~room")
    scene.socket(peer).data["user"] = "Ada"
    peer.cut()
    peer.enter()
    assert seen == [([], {}), ([peer.id, "~room"], {"user": "Ada"})]


def test_what_is_sent_while_middlewares_run_is_not_missed() -> None:
    scene = Scene(skip_middlewares=False)
    gates: list[Any] = []

    @scene.io.use
    async def wait(socket: Socket) -> None:
        if socket.recovered:
            gates.append(scene.driver.gate())
            await gates[-1]

    peer = scene.peer()
    scene.socket(peer).join("room")
    peer.cut()
    scene.io.emit("while away")
    peer.open()
    scene.io.to("room").emit("while asked")
    scene.settle()
    scene.driver.open(gates[0])
    assert names(peer.read().take()) == ["connect", "while away", "while asked"]


def test_a_middleware_may_refuse_a_restored_socket_which_is_over_then() -> None:
    scene = Scene(skip_middlewares=False)
    banned: set[str] = set()

    @scene.io.use
    def check(socket: Socket) -> None:
        if socket.data.get("user") in banned:
            raise ConnectError("banned")
        socket.data["user"] = "Eve"

    peer = scene.peer()
    pending = scene.socket(peer).emit_with_ack("ask")
    peer.cut()
    banned.add("Eve")
    peer.enter()
    assert peer.refusal == {"message": "banned"}
    with pytest.raises(Disconnected):
        pending.result()
    peer.enter()
    assert not peer.recovered
    assert scene.socket(peer).recovery_refused == "unknown"


def test_a_client_that_goes_while_it_is_asked_may_come_back_again() -> None:
    scene = Scene(skip_middlewares=False)
    gates: list[Any] = []

    @scene.io.use
    async def wait(socket: Socket) -> None:
        if socket.recovered:
            gates.append(scene.driver.gate())
            await gates[-1]

    peer = scene.peer()
    scene.socket(peer).join("room")
    pending = scene.socket(peer).emit_with_ack("ask")
    peer.cut()
    scene.io.to("room").emit("missed")
    for noticed in (True, False):
        given_up = peer.open().client
        peer.cut(noticed=noticed)
    assert given_up.session.open
    peer.open()
    assert not given_up.session.open
    for gate in gates:
        scene.driver.open(gate)
    assert names(peer.read().take()) == ["connect", "ask", "missed"]
    assert pending.result() == "yes"
    assert scene.socket(peer).rooms == {peer.id, "room"}
    assert scene.log.count(("connection", str(peer.id))) == 2


# -- who is not recovered


REASONS = [
    ("transport close", lambda peer: peer.client.lose()),
    ("transport error", lambda peer: peer.client.lose("reset")),
    ("ping timeout", lambda peer: peer.driver.advance(46)),
    ("forced close", lambda peer: peer.client.session.close()),
    ("forced close", lambda peer: peer.client.send("4nonsense")),
]


@pytest.mark.parametrize(("reason", "end"), REASONS, ids=lambda value: value if isinstance(value, str) else "")
def test_ends_after_which_a_client_may_come_back(reason: str, end: Any) -> None:
    scene = Scene()
    reasons: list[str] = []
    scene.io.on("disconnect", lambda socket, reason: reasons.append(reason))
    peer = scene.peer()
    end(peer)
    scene.settle()
    peer.cut()
    peer.enter()
    assert reasons == [reason]
    assert peer.recovered


MEANT = [
    ("server namespace disconnect", lambda scene, peer: scene.socket(peer).disconnect()),
    ("server namespace disconnect", lambda scene, peer: scene.socket(peer).disconnect(close=True)),
    ("client namespace disconnect", lambda scene, peer: peer.client.send("41")),
    ("parse error", lambda scene, peer: peer.client.send("x")),
]


@pytest.mark.parametrize(("reason", "end"), MEANT, ids=lambda value: value if isinstance(value, str) else "")
def test_ends_that_are_for_good(reason: str, end: Any) -> None:
    scene = Scene()
    reasons: list[str] = []
    scene.io.on("disconnect", lambda socket, reason: reasons.append(reason))
    peer = scene.peer()
    lost = scene.socket(peer)
    before = (peer.id, peer.pid)
    end(scene, peer)
    scene.settle()
    lost.emit("to nobody")
    peer.cut()
    scene.io.emit("not kept for it")
    peer.enter()
    assert reasons == [reason]
    assert names(peer.take()) == ["connect"]
    assert not peer.recovered
    assert not {peer.id, peer.pid} & {*before}
    assert scene.socket(peer).recovery_refused == "unknown"


def test_leaving_and_entering_again_over_the_same_connection_gives_a_new_socket() -> None:
    scene = Scene()
    gate = scene.driver.gate()

    @scene.io.on("disconnecting")
    async def slow(socket: Socket) -> None:
        await gate

    peer = scene.peer()
    first = peer.id
    peer.client.send("41", "40" + json.dumps({"pid": peer.pid}))
    peer.read()
    assert peer.connected
    assert peer.id != first
    scene.driver.open(gate)


LIES: list[dict[str, Any]] = [
    {"pid": "never heard of"},
    {"pid": ""},
    {"pid": 5},
    {"pid": ["PID"]},
    {"pid": {"a": 1}},
    {"pid": True},
    {"pid": "x" * 65},
    {"pid": "PID", "offset": 1},
    {"pid": "PID", "offset": ""},
    {"pid": "PID", "offset": "EPOCH.99"},
    {"pid": "PID", "offset": "EPOCH.-1"},
    {"pid": "PID", "offset": "EPOCH.0000000000000000"},
    {"pid": "PID", "offset": "EPOCH.\u0661"},
    {"pid": "PID", "offset": "nonsense"},
    {"pid": "PID", "offset": "x" * 65},
    {"pid": "PID", "offset": ["EPOCH.1"]},
]


@pytest.mark.parametrize("lie", LIES, ids=json.dumps)
def test_a_client_that_lies_gets_a_new_socket_and_learns_nothing(lie: dict[str, Any]) -> None:
    scene = Scene()
    peer = scene.peer()
    scene.socket(peer).join("room")
    scene.socket(peer).data["secret"] = 1
    scene.io.emit("one")
    scene.settle()
    peer.read().cut()
    scene.io.to("room").emit("secret")
    epoch = str(peer.offset).rpartition(".")[0]
    auth = json.loads(json.dumps(lie).replace("PID", str(peer.pid)).replace("EPOCH", epoch))
    liar = Returning(scene.driver).open(**auth)
    socket = next(iter(scene.io.sockets.sockets.values()))
    # As any new client sees it.
    assert liar.client.log[1:] == [f'40{{"sid":"{socket.id}","pid":"{socket.private_id}"}}']
    assert not {socket.id, socket.private_id} & {scene.log[0][1], peer.pid}
    assert socket.rooms == {socket.id}
    assert (socket.data, socket.recovered) == ({}, False)
    assert socket.recovery_refused in ("invalid", "unknown")
    assert socket.handshake.auth == auth


def test_null_asks_for_nothing() -> None:
    scene = Scene()
    peer = scene.peer(pid=None, offset=None)
    assert scene.socket(peer).recovery_refused is None


def test_a_private_id_is_good_in_its_namespace_only() -> None:
    scene = Scene()
    scene.io.of("/admin")
    peer = scene.peer()
    thief = scene.peer("/admin", pid=peer.pid)
    assert scene.socket(thief).recovery_refused == "unknown"
    assert scene.socket(peer).connected
    peer.cut()
    assert peer.enter().recovered


def test_a_private_id_is_used_once() -> None:
    scene = Scene()
    peer = scene.peer()
    peer.cut()
    other = Returning(scene.driver)
    other.pid, other.offset = peer.pid, peer.offset
    assert peer.enter().recovered
    # Whoever knows it takes over; there are never two of them.
    assert other.enter().recovered
    assert list(scene.io.sockets.sockets) == [other.id]
    assert not peer.client.session.open


def test_a_client_that_is_away_for_too_long() -> None:
    scene = Scene(max_disconnection=10)
    for seconds, expected in ((9.9, True), (10.1, False)):
        peer = scene.peer()
        peer.cut()
        scene.driver.advance(seconds)
        assert peer.enter().recovered is expected
        assert scene.socket(peer).recovery_refused == (None if expected else "unknown")


def test_an_event_tells_why() -> None:
    driver = drive_sockets(recovery=Recovery())
    peer = Returning(driver).enter(pid="nobody")
    (refused,) = driver.told(RestoreRefused)
    assert (refused.socket.id, refused.reason) == (peer.id, "unknown")


def test_more_than_a_client_may_be_sent_at_once() -> None:
    scene = Scene(engine={"max_send_buffer": 10_000})
    peer = scene.peer()
    for count, expected in ((4, True), (6, False)):
        peer.cut()
        for _ in range(count):
            scene.io.emit("large", "x" * 1500)
        peer.enter()
        assert peer.recovered is expected
        assert scene.socket(peer).recovery_refused == (None if expected else "too much")
    assert len(peer.take()) == 4 + 2


# -- bounds


def test_the_log_keeps_so_many_events() -> None:
    scene = Scene(max_packets=10)
    peer = scene.peer()
    log = scene.io.sockets.log
    assert log is not None
    for count, expected in ((10, True), (11, False)):
        peer.cut()
        for _ in range(count):
            scene.io.emit("news")
        assert len(log) == 10
        peer.enter()
        assert peer.recovered is expected
        assert scene.socket(peer).recovery_refused == (None if expected else "lost")


def test_the_log_keeps_so_many_bytes() -> None:
    scene = Scene(max_bytes=20_000)
    peer = scene.peer()
    peer.cut()
    log = scene.io.sockets.log
    assert log is not None
    for size in (10, 100, 1000, 5000, 19_000, 100_000, 10):
        for data in ("x" * size, b"x" * size):
            scene.io.emit("news", data)
            assert log.size <= 20_000
    assert len(log) == 2
    for _ in range(1000):
        scene.io.emit("tiny")
    assert len(log) < 80
    peer.enter()
    assert scene.socket(peer).recovery_refused == "lost"


def test_a_flood_of_all_kinds_stays_within_its_bounds() -> None:
    scene = Scene(max_packets=300, max_bytes=400_000)
    spaces = [scene.io.of(name) for name in ("/", "/a", "/b")]
    for space in spaces:
        scene.peer(space.name).cut()
    full: set[str] = set()
    for number in range(3000):
        space = spaces[number % 3]
        rooms = [f"room {number} {each}" for each in range(number % 200)]
        kind = number // 500 % 5
        if kind == 0:
            space.emit("all", number)
        elif kind == 1:
            space.to("room").emit("binary", bytes(number % 5000))
        elif kind == 2:
            space.to(*rooms).emit("many rooms")
        elif kind == 3:
            space.except_(*rooms).emit("all but many rooms")
        else:
            space.emit_with_ack("asks")
        log = space.log
        assert log is not None
        assert len(log) <= 300
        assert log.size <= 400_000
        full |= {"packets"} if len(log) == 300 else {"bytes"} if log.size > 390_000 else set()
    assert full == {"packets", "bytes"}


def test_an_event_for_many_rooms_weighs_what_they_weigh() -> None:
    scene = Scene()
    log = scene.io.sockets.log
    assert log is not None
    sizes = []
    for rooms, excluded in ((1, 0), (11, 0), (1, 10)):
        before = log.size
        scene.io.to(*map(str, range(rooms))).except_(*map(str, range(100, 100 + excluded))).emit("news")
        sizes.append(log.size - before)
    assert sizes == [sizes[0], sizes[0] + 2500, sizes[0] + 2500]


def test_the_log_keeps_events_for_a_limited_time() -> None:
    scene = Scene(max_disconnection=10)
    log = scene.io.sockets.log
    assert log is not None
    scene.io.emit("news")
    # As long as somebody may be away, and as long as it takes to notice that.
    scene.driver.advance(10 + 25 + 2 * 20 - 1)
    scene.io.emit("news")
    assert len(log) == 2
    scene.driver.advance(2)
    scene.io.emit("news")
    assert len(log) == 2
    # Nobody sends any more, and all of it goes.
    scene.driver.advance(150)
    assert len(log) == 0
    assert living(scene.io.timers) == {}


def test_so_many_sockets_may_be_away() -> None:
    scene = Scene(max_sessions=2)
    peers = [scene.peer() for _ in range(3)]
    for peer in peers:
        peer.cut()
        scene.driver.advance(1)
    assert [peer.enter().recovered for peer in peers] == [False, True, True]


def test_so_many_rooms_that_were_left_are_remembered() -> None:
    scene = Scene()
    peer = scene.peer()
    scene.socket(peer).emit("start")
    scene.settle()
    peer.read().take()
    socket = scene.socket(peer)
    for number in range(3 * MAX_LEFT):
        socket.join(f"room {number}")
        scene.io.to("elsewhere").emit("news")
        socket.leave(f"room {number}")
    trail = socket.trail
    assert trail is not None
    assert sum(map(len, trail.left.values())) <= MAX_LEFT
    # Where it was is not known well enough.
    peer.cut()
    peer.enter()
    assert scene.socket(peer).recovery_refused == "lost"


def test_a_client_that_has_received_what_came_before_needs_no_memory_of_its_rooms() -> None:
    scene = Scene()
    peer = scene.peer()

    def wander() -> None:
        for number in range(3 * MAX_LEFT):
            scene.socket(peer).join(f"room {number}")
            scene.io.to("elsewhere").emit("news")
            scene.socket(peer).leave(f"room {number}")

    wander()
    scene.advance(30, peer)  # it answers a ping
    peer.cut()
    assert peer.enter().recovered
    scene.advance(30, peer)
    wander()
    peer.cut()
    assert not peer.enter().recovered


def test_or_one_that_names_an_offset_behind_it() -> None:
    scene = Scene()
    peer = scene.peer()
    scene.socket(peer).join("room")
    for number in range(3 * MAX_LEFT):
        scene.socket(peer).join(f"room {number}")
        scene.socket(peer).emit("news", number)
        scene.socket(peer).leave(f"room {number}")
    scene.settle()
    peer.read().cut()
    scene.io.to("room").emit("missed")
    peer.take()
    assert names(peer.enter().take()) == ["connect", "missed"]


def test_who_comes_back_costs_no_more_than_what_was_sent_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    for _ in range(100):
        scene.io.emit("before it came")
    peer = scene.peer()
    scene.socket(peer).emit("one")
    for _ in range(100):
        scene.io.to("room").emit("before it was there")
        scene.io.to("other").emit("before it was there")
    scene.socket(peer).join("room", "other")
    scene.socket(peer).leave("other")
    peer.cut()
    for _ in range(100):
        scene.io.to("elsewhere").emit("not for it")
        scene.io.to("other").emit("not any more")
    scene.io.to("room").emit("two")
    scene.io.emit("three")
    seen: list[int] = []
    concerns = Trail.concerns

    def count(trail: Trail, entry: Any) -> bool:
        seen.append(entry.number)
        return concerns(trail, entry)

    monkeypatch.setattr(Trail, "concerns", count)
    assert names(peer.enter().take()) == ["connect", "one", "two", "three"]
    assert len(seen) == 3


def test_an_event_for_several_rooms_counts_once() -> None:
    scene = Scene(engine={"max_send_buffer": 3000})
    peer = scene.peer()
    scene.socket(peer).join("a", "b", "c")
    peer.cut()
    scene.io.to("a", "b", "c").emit("large", "x" * 2000)
    assert names(peer.enter().take()) == ["connect", "large"]


def test_what_is_dropped_leaves_nothing_behind() -> None:
    scene = Scene(max_packets=3)
    peer = scene.peer()
    log = scene.io.sockets.log
    assert log is not None
    for number in range(20):
        scene.io.to(f"room {number}", "all").emit("news")
        scene.io.to("one room").emit("news")
        scene.socket(peer).emit("news")
    assert set(log._latest) == {"room 19", "all", "one room", peer.id}
    entry = log._latest["all"]
    assert entry.before("all") is None or entry.before("all").frames == ()  # type: ignore[union-attr]  # it was said
    scene.driver.advance(1000)
    assert log._latest == {}


def test_a_flood_of_clients_that_come_and_go() -> None:
    scene = Scene(max_sessions=5, max_packets=20)
    for number in range(100):
        peer = scene.peer()
        scene.socket(peer).join(f"room {number}")
        scene.socket(peer).emit_with_ack("ask")
        scene.io.emit("news", "x" * 100)
        peer.cut()
    store = scene.io.sockets.server.restoring
    assert store is not None
    assert isinstance(store.store, MemoryStore)
    assert len(store.store) == 5
    assert scene.io.sockets.away == 5
    scene.driver.advance(400)
    assert (len(store.store), scene.io.sockets.away) == (0, 0)
    assert living(scene.io.timers) == {}
    assert scene.driver.failures == []


def test_a_flood_of_claims_keeps_nothing() -> None:
    scene = Scene()
    client = scene.driver.client("websocket")
    for number in range(50):
        client.send("40" + json.dumps({"pid": f"claim {number}", "offset": "a.1"}))
        client.send("41")
    restoring = scene.io.sockets.server.restoring
    assert restoring is not None
    assert scene.io.sockets.away == 0
    assert len(scene.log) == 150
    assert "recovery" not in living(scene.io.timers)


# -- dynamic namespaces


def test_a_child_stays_as_long_as_somebody_may_come_back() -> None:
    scene = Scene()
    family = scene.io.of(re.compile(r"/room-\d+"))
    peer = scene.peer("/room-1")
    child = scene.io.of("/").server.namespaces["/room-1"]
    peer.cut()
    family.emit("to all children")
    assert names(peer.enter().take()) == ["connect", "to all children"]
    assert scene.io.sockets.server.namespaces["/room-1"] is child
    peer.cut()
    scene.driver.advance(121)
    assert "/room-1" not in scene.io.sockets.server.namespaces
    child.emit("to a namespace that is gone")
    scene.driver.advance(400)
    assert living(scene.io.timers) == {}
    peer.enter()
    assert not peer.recovered
    assert scene.io.sockets.server.namespaces["/room-1"] is not child


def test_a_predicate_sees_what_the_client_claims() -> None:
    scene = Scene()
    seen: list[Any] = []

    async def allow(name: str, auth: dict[str, Any]) -> bool:
        seen.append(auth)
        await scene.io.sleep(1)
        return True

    scene.io.of(allow)
    peer = Returning(scene.driver, "/a").open()
    scene.driver.advance(1.5)
    peer.read().cut(noticed=False)
    peer.enter()
    assert peer.recovered  # the namespace is there, so nobody is asked
    assert seen == [{}]
    peer.cut()
    scene.driver.advance(121)
    peer.open()
    peer.cut()
    assert seen[1:] == [{"pid": peer.pid}]
    scene.driver.advance(2)


# -- the end of the server


def test_a_server_that_ended_keeps_nothing() -> None:
    scene = Scene()
    away, peer = scene.peer(), scene.peer()
    pending = scene.socket(away).timeout(1000).emit_with_ack("ask")
    other = scene.socket(peer).timeout(1000).emit_with_ack("ask")
    away.cut()
    scene.io.emit("news")
    scene.settle()
    scene.io.on("disconnect", lambda socket: scene.io.emit("left", socket.id))
    scene.io.stop(1)
    scene.settle()
    for each in (pending, other):
        with pytest.raises(Disconnected):
            each.result()
    scene.driver.advance(2)
    assert living(scene.io.timers) == {}
    log = scene.io.sockets.log
    assert log is not None
    assert len(log) == 0


# -- a store that has to wait


class SlowStore(RecoveryStore):
    """Keeps trails, and answers when the test says so."""

    def __init__(self, server: SocketServer) -> None:
        self.server = server
        self.trails: dict[str, Trail] = {}
        self.asked: list[RestoreTicket] = []
        self.closed = False

    def save(self, trail: Trail) -> None:
        self.trails[trail.private_id] = trail

    def restore(self, ticket: RestoreTicket) -> None:
        self.asked.append(ticket)

    def answer(self, ticket: RestoreTicket) -> bool:
        return self.server.answer_restore(ticket, self.trails.pop(ticket.private_id, None))

    def close(self) -> None:
        self.closed = True


def slow_scene(**options: Any) -> tuple[Scene, SlowStore]:
    """Returns a scene with a slow store."""
    stores: list[SlowStore] = []

    def make(server: SocketServer) -> SlowStore:
        stores.append(SlowStore(server))
        return stores[0]

    scene = Scene({"recovery_store": make}, **options)
    return scene, stores[0]


def test_a_store_may_answer_later() -> None:
    scene, store = slow_scene()
    peer = scene.peer()
    peer.cut()
    peer.open()
    scene.io.emit("while it is looked for")
    scene.driver.advance(4)
    assert not peer.read().connected
    assert store.answer(store.asked[0])
    scene.settle()
    assert names(peer.read().take()) == ["connect", "while it is looked for"]
    assert peer.recovered
    assert not store.server.answer_restore(store.asked[0], None)
    scene.io.stop(1)
    assert store.closed


def test_a_store_that_does_not_answer() -> None:
    scene, store = slow_scene(store_timeout=3)
    peer = scene.peer()
    peer.cut()
    peer.open()
    scene.driver.advance(2.9)
    assert not peer.read().connected
    scene.driver.advance(0.2)
    assert (peer.read().connected, peer.recovered) == (True, False)
    assert scene.socket(peer).recovery_refused == "store"
    # Its answer goes back to it.
    trail = store.trails[store.asked[0].private_id]
    assert not store.answer(store.asked[0])
    assert store.trails == {trail.private_id: trail}


def test_a_store_answers_whoever_asked_last() -> None:
    scene, store = slow_scene()
    peer = scene.peer()
    peer.cut()
    peer.open()
    peer.cut(noticed=False)
    peer.open()
    first, second = store.asked
    assert not store.answer(first)  # nobody waits there any more, but somewhere else
    scene.settle()
    assert peer.read().recovered
    assert not store.answer(second)


def test_a_client_that_goes_while_the_store_looks() -> None:
    scene, store = slow_scene()
    peer = scene.peer()
    peer.cut()
    peer.open()
    peer.cut()
    assert not store.answer(store.asked[0])
    assert set(store.trails) == {peer.pid}
    assert living(scene.io.timers).get("restore") is None


def test_the_driver_is_woken_by_a_store_that_answers() -> None:
    scene, store = slow_scene()
    peer = scene.peer()
    peer.cut()
    peer.open()
    scene.settle()
    assert scene.driver.wakes == []
    assert store.answer(store.asked[0])
    assert scene.driver.wakes == [False]
    scene.settle()
    assert peer.read().recovered


class BrokenStore(MemoryStore):
    """Fails where the test says."""

    broken = ""

    def save(self, trail: Trail) -> None:
        if self.broken == "save":
            raise OSError(self.broken)
        super().save(trail)

    def restore(self, ticket: RestoreTicket) -> None:
        if self.broken == "restore":
            raise OSError(self.broken)
        super().restore(ticket)
        if self.broken == "late":
            raise OSError(self.broken)

    def close(self) -> None:
        super().close()
        if self.broken == "close":
            raise OSError(self.broken)


@pytest.mark.parametrize(
    ("broken", "refused"), [("save", "unknown"), ("restore", "store"), ("late", None), ("close", None)]
)
def test_a_store_that_fails_stops_nobody(broken: str, refused: str | None) -> None:
    stores: list[BrokenStore] = []

    def make(server: SocketServer) -> BrokenStore:
        stores.append(BrokenStore(server))
        return stores[0]

    scene = Scene({"recovery_store": make})
    (store,) = stores
    peer, other = scene.peer(), scene.peer()
    asked = scene.socket(peer).emit_with_ack("ask")
    scene.settle()
    store.broken = broken
    peer.cut()
    peer.enter()
    assert peer.connected
    assert peer.recovered is (refused is None)
    assert scene.socket(peer).recovery_refused == refused
    assert scene.socket(other).connected
    scene.io.stop(1)
    scene.driver.advance(2)
    if refused is not None:
        with pytest.raises(Disconnected):
            asked.result()
    assert living(scene.io.timers) == {}
    where = broken.replace("late", "restore")
    assert set(scene.driver.failures) == {f"OSError: observer of recovery_store.{where}"}


def test_what_was_dropped_while_middlewares_ran_is_found_out() -> None:
    scene = Scene(skip_middlewares=False, max_packets=3)
    gates: list[Any] = []

    @scene.io.use
    async def wait(socket: Socket) -> None:
        if socket.recovered:
            gates.append(scene.driver.gate())
            await gates[-1]

    peer = scene.peer()
    scene.socket(peer).join("room")
    peer.cut()
    scene.io.emit("missed")
    peer.open()
    for _ in range(5):
        scene.io.emit("flood")
    scene.driver.open(gates[0])
    assert names(peer.read().take()) == ["connect"]
    assert not peer.recovered
    socket = scene.socket(peer)
    assert socket.recovery_refused == "lost"
    assert socket.rooms == {peer.id}
    assert set(scene.io.sockets.sockets) == {peer.id}
    assert set(scene.io.sockets.adapter.rooms) == {peer.id}  # type: ignore[attr-defined]  # one of this process


def test_what_grew_too_large_while_middlewares_ran_is_found_out() -> None:
    scene = Scene(skip_middlewares=False, engine={"max_send_buffer": 10_000})
    gates: list[Any] = []

    @scene.io.use
    async def wait(socket: Socket) -> None:
        if socket.recovered:
            gates.append(scene.driver.gate())
            await gates[-1]

    peer = scene.peer()
    peer.cut()
    peer.open()
    for _ in range(6):
        scene.io.emit("large", "x" * 2000)
    scene.driver.open(gates[0])
    peer.read()
    assert (peer.connected, peer.recovered) == (True, False)
    assert scene.socket(peer).recovery_refused == "too much"


def test_a_runtime_with_threads_handles_the_end_first_as_well() -> None:
    driver: AppDriver = drive_app(inline=False, recovery=Recovery())
    log: list[str] = []
    driver.core.on("connection", lambda socket: log.append("connection"))
    driver.core.on("disconnect", lambda socket: log.append("disconnect"))
    peer = Returning(driver).enter()
    for noticed in (True, False):
        peer.cut(noticed=noticed)
        assert peer.enter().recovered
    driver.settle()
    assert log == ["connection", "disconnect", "connection", "disconnect", "connection"]
