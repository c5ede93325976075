"""Any course of cuts, emits and rooms: a client that is told it was recovered has got every event, once, in order."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sioproto import Recovery, Socket
from tests.socketio.returning import Returning
from tests.virtual import drive_app, living

ROOMS = ("a", "b", "c")
CLIENTS = 3
AWAY = 120.0

clients = st.integers(0, CLIENTS - 1)
rooms = st.lists(st.sampled_from(ROOMS), max_size=2, unique=True).map(tuple)
ends = st.sampled_from(["", "text", b"binary", 7])


class Known:
    """A client, and what it has to get."""

    def __init__(self, peer: Returning) -> None:
        self.peer = peer
        self.rooms: set[str] = set()
        self.sid: str | None = None
        """Of the socket that the server has for it, be it away; None until its client knows of it."""
        self.pid: str | None = None
        self.spent: str | None = None
        """The private id that an attempt was refused for whose client went on: the server knows it no more."""
        self.lost_at = 0.0
        self.attempt = 0
        self.owed: list[int] = []
        self.got: list[int] = []


class Courses(RuleBasedStateMachine):
    """A few clients of one server, against a model of what each has to get."""

    @initialize(
        skip=st.booleans(),
        slow=st.booleans(),
        packets=st.sampled_from([4, 1000]),
        transports=st.lists(st.booleans(), min_size=CLIENTS, max_size=CLIENTS),
    )
    def start(self, skip: bool, slow: bool, packets: int, transports: list[bool]) -> None:
        self.driver = drive_app(recovery=Recovery(skip_middlewares=skip, max_packets=packets))
        self.io = self.driver.core
        if slow:
            self.io.use(lambda socket: self.io.sleep(1.0))
        self.number = 0
        self.present: dict[str, bool] = {}
        self.io.on("connection", self.arrived)
        self.io.on("disconnect", self.gone)
        self.known = [
            Known(Returning(self.driver, transport="polling" if polling else "websocket")) for polling in transports
        ]
        for each in self.known:
            self.enter(each, None)

    def arrived(self, socket: Socket) -> None:
        assert socket.id not in self.present, "connected twice"
        self.present[socket.id] = True
        auth = socket.handshake.auth
        known = self.known[auth["who"]]
        if auth["attempt"] != known.attempt:
            # Its client went on before it was accepted, and knows nothing of it.
            if not socket.recovered:
                known.spent = auth.get("pid")
            return
        if socket.recovered:
            assert known.sid == socket.id
            assert socket.rooms - {socket.id} == known.rooms
        else:
            if known.pid is not None and auth.get("pid") == known.pid:
                # It asked for the socket that it has here, so there must be a reason.
                log = self.io.sockets.log
                assert log is not None
                late = self.driver.clock.now - known.lost_at >= AWAY
                spent = known.spent == known.pid
                assert socket.recovery_refused == ("unknown" if late or spent else "lost")
                assert late or spent or log.dropped
            known.sid, known.pid, known.rooms, known.owed = socket.id, socket.private_id, set(), []

    def gone(self, socket: Socket, reason: str) -> None:
        del self.present[socket.id]
        self.known[socket.handshake.auth["who"]].lost_at = self.driver.clock.now

    def next(self) -> int:
        self.number += 1
        return self.number

    # What the application does

    @rule(number=clients, end=ends, mode=st.sampled_from(["plain", "volatile"]))
    def emit(self, number: int, end: object, mode: str) -> None:
        known = self.known[number]
        socket = None if known.sid is None else self.io.sockets.sockets.get(known.sid)
        if socket is None:
            return
        if mode == "volatile":
            socket.volatile.emit("volatile", *([end] if end else []))
        else:
            known.owed.append(self.next())
            socket.emit("event", self.number, *([end] if end else []))
        self.driver.settle()

    @rule(to=rooms, excluded=rooms, end=ends, mode=st.sampled_from(["plain", "volatile"]), sender=clients)
    def broadcast(self, to: tuple[str, ...], excluded: tuple[str, ...], end: object, mode: str, sender: int) -> None:
        sid = self.known[sender].sid
        if sender == 0 and sid is not None:
            excluded = (*excluded, sid)
        operator = self.io.to(*to).except_(*excluded)
        if mode == "volatile":
            operator.volatile.emit("volatile", *([end] if end else []))
        else:
            number = self.next()
            for known in self.known:
                own = known.rooms | {known.sid}
                if known.sid and (not to or own & set(to)) and not own & set(excluded):
                    known.owed.append(number)
            operator.emit("event", number, *([end] if end else []))
        self.driver.settle()

    @rule(number=clients, room=st.sampled_from(ROOMS), enter=st.booleans())
    def move(self, number: int, room: str, enter: bool) -> None:
        known = self.known[number]
        socket = None if known.sid is None else self.io.sockets.sockets.get(known.sid)
        if socket is not None:
            if enter:
                socket.join(room)
                known.rooms.add(room)
            else:
                socket.leave(room)
                known.rooms.discard(room)

    # What the network does

    @rule(number=clients, packets=st.none() | st.integers(1, 3))
    def reads(self, number: int, packets: int | None) -> None:
        self.read(self.known[number], packets)

    @rule(number=clients, noticed=st.booleans())
    def cut(self, number: int, noticed: bool) -> None:
        self.known[number].peer.cut(noticed=noticed)

    @rule(number=clients, packets=st.none() | st.integers(0, 3))
    def come_back(self, number: int, packets: int | None) -> None:
        self.enter(self.known[number], packets)

    @rule(seconds=st.sampled_from([0.5, 10.0, 30.0, 100.0]))
    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds // 5) + 1):
            self.driver.advance(min(seconds, 5.0))
            for known in self.known:
                if known.peer.connected and known.peer.unread <= 3:
                    self.read(known, None)

    def enter(self, known: Known, packets: int | None) -> None:
        if known.attempt:
            known.peer.cut(noticed=False)
        known.attempt += 1
        known.peer.open(who=self.known.index(known), attempt=known.attempt)
        self.read(known, packets)

    def read(self, known: Known, packets: int | None) -> None:
        known.peer.read(packets)
        fresh: list[int] = []
        for name, *args in known.peer.take():
            if name == "connect":
                assert known.peer.id == known.sid
                assert fresh == [] or (args[0] and known.peer.transport == "polling"), "an event before connect"
                if not args[0]:
                    known.got = []
            elif name == "event":
                fresh.append(args[0])
        known.got += fresh
        if known.peer.connected:
            assert known.got == known.owed[: len(known.got)]

    @precondition(lambda self: hasattr(self, "driver"))
    @invariant()
    def one_socket_each(self) -> None:
        assert self.driver.failures == []
        assert set(self.present) == set(self.io.sockets.sockets)
        log = self.io.sockets.log
        assert log is not None
        assert len(log) <= 1000

    def teardown(self) -> None:
        if not hasattr(self, "driver"):
            return
        for known in self.known:
            self.enter(known, None)
            self.driver.advance(2)
            self.read(known, None)
            assert known.peer.connected
            assert known.got == known.owed
        self.io.stop(1)
        self.driver.advance(2)
        assert living(self.io.timers) == {}


Courses.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCourses = pytest.mark.filterwarnings("error")(Courses.TestCase)
