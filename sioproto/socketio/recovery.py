"""What a server remembers so that a client which lost its connection can go on as if it had not (connection state
recovery).

Each namespace has an ``EventLog``: what was sent, as it was sent, in order, with an offset as the last argument. A
client remembers the last offset that it saw and its private id, and names both when it comes back. The ``Trail`` of its
socket says where it was and when; it waits in a ``RecoveryStore``. ``restoring`` is about how it gets there and back.

The rule not to be broken: what a restored socket is given is exactly what it would have got and has not, each event
once and in order. Where that is not certain, it is not restored.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Any, Literal

from sioproto.config import Recovery
from sioproto.socketio.adapter import MemoryAdapter, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sioproto.frame import Frame
    from sioproto.socketio.adapter import Flags
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.restoring import RestoreTicket
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket
    from sioproto.timers import Timer

RefusalReason = Literal["invalid", "unknown", "lost", "too much", "store"]
"""Why a client that came back got a new socket.

``invalid``: what it named is no private id and offset. ``unknown``: nobody is away under that private id, because none
ever was, or for too long, or its end was meant. ``lost``: events that it may have missed are not kept any more. ``too
much``: it missed more than ``max_send_buffer``. ``store``: the store did not answer in time.
"""

OFFSET = re.compile(r"([0-9A-Za-z_-]{1,20})\.([0-9]{1,15})")

OVERHEAD = 256
"""What a kept event costs besides its size on the wire, in bytes; without it tiny events would weigh nothing."""

MAX_LEFT = 1000
"""Rooms that a socket left, remembered with when it was in them; beyond, the older half is forgotten."""

NEVER = float("-inf")


class Trail:
    """What is remembered of one socket, from its CONNECT until it is certain that it does not come back.

    Numbers are those of events in the log of its namespace.
    """

    __slots__ = (
        "begun", "confirmed", "data", "entered", "entered_at", "left", "left_count", "log", "namespace", "over",
        "previous", "private_id", "refusal", "sid", "since", "socket", "unsure",
    )  # fmt: skip

    def __init__(self, socket: Socket, log: EventLog, private_id: str) -> None:
        number = log.number
        self.log = log
        self.namespace = socket.namespace.name
        self.sid = socket.id
        self.private_id = private_id
        """A secret between the two sides; whoever knows it can take over."""
        self.socket: Socket | None = socket
        """The socket that goes this way now; of one that is away, only as long as answers of it are awaited."""
        self.previous: Socket | None = None
        """The socket that was lost, as long as its end is being handled."""
        self.data = socket.data
        self.over = False
        """Whether it cannot be restored any more."""
        self.refusal: RefusalReason | None = None
        """Why its client, when it came, could not be given back the socket that it asked for."""
        self.since: dict[str, int] = {}
        """The rooms it is in, each with the last event before it entered."""
        self.left: dict[str, list[tuple[int, int]]] = {}
        """Rooms it was in: the last events before it entered and before it left."""
        self.left_count = 0
        self.unsure = 0
        """Which rooms it was in up to this event is not known any more."""
        self.begun = number
        """Events up to this one came before its CONNECT."""
        self.entered = number
        """Events up to this one came before it was connected; of those it gets what was for it alone."""
        self.entered_at = NEVER
        """When its present connection was told that it is connected."""
        self.confirmed = NEVER
        """The client has everything that was sent before this moment."""

    def leave(self, room: str) -> None:
        """Notes that it left a room."""
        self.left.setdefault(room, []).append((self.since.pop(room), self.log.number))
        self.left_count += 1
        if self.left_count > MAX_LEFT:
            self._forget_left()

    def _forget_left(self) -> None:
        spans = [(span, room) for room, spans in self.left.items() for span in spans if span[1] > self.log.dropped]
        spans.sort(key=lambda row: row[0][1])
        excess = max(0, len(spans) - MAX_LEFT // 2)
        if excess:
            self.unsure = spans[excess - 1][0][1]
        self.left = {}
        for span, room in spans[excess:]:
            self.left.setdefault(room, []).append(span)
        self.left_count = len(spans) - excess

    def was_in(self, room: str, number: int) -> bool:
        """Whether it was in a room when an event was sent."""
        since = self.since.get(room)
        if since is not None and since < number:
            return True
        return any(entered < number <= left for entered, left in self.left.get(room, ()))

    def concerns(self, entry: Entry) -> bool:
        """Whether an event was for it; one that asks for an answer only as long as somebody waits for that."""
        if entry.ack_id is not None:
            return self.socket is not None and self.socket.owes(entry.ack_id)
        selection = entry.selection
        if selection is None:
            return entry.only == self.sid
        number = entry.number
        if number <= self.entered:
            return False
        if selection.rooms and not any(self.was_in(room, number) for room in selection.rooms):
            return False
        return not any(self.was_in(room, number) for room in selection.excluded)

    def __repr__(self) -> str:
        return f"<Trail of {self.sid} in {self.namespace}>"


class Entry:
    """One event that was sent, and to whom: a selection, or only the socket with an id."""

    __slots__ = ("ack_id", "frames", "number", "only", "selection", "size", "when")

    def __init__(
        self,
        number: int,
        when: float,
        frames: tuple[Frame, ...],
        selection: Selection | None,
        only: str,
        ack_id: int | None,
    ) -> None:
        self.number = number
        self.when = when
        self.frames = frames
        self.selection = selection
        self.only = only
        self.ack_id = ack_id
        size = OVERHEAD
        for frame in frames:
            size += frame.size
        self.size = size


class Missed:
    """What a client missed up to one moment."""

    __slots__ = ("entries", "number", "size")

    def __init__(self, number: int, entries: list[Entry]) -> None:
        self.number = number
        """The latest event of that moment."""
        self.entries = entries
        self.size = sum(entry.size for entry in entries)


class EventLog:
    """The latest events of a namespace, bounded by age, number and bytes; all its sockets share it.

    An offset is ``epoch.number``. The epoch tells this log from all others, so that an offset that a client brings from
    an earlier server, or an earlier socket of its own, is seen to be old.
    """

    __slots__ = (
        "_closed", "_config", "_entries", "_epoch", "_namespace", "_retention", "_size", "_timer", "dropped",
        "dropped_when", "number",
    )  # fmt: skip

    def __init__(self, namespace: Namespace, config: Recovery) -> None:
        server = namespace.server
        self._config = config
        self._namespace = namespace
        self._epoch = server.environment.ids()[-8:]
        # A client is away from the moment at which its loss is noticed. What was sent before the last ping that it
        # answered it has, and that is no longer ago than this.
        engine = server.engine_config
        self._retention = config.max_disconnection + engine.ping_interval + 2 * engine.ping_timeout
        self._entries: deque[Entry] = deque()
        self._size = 0
        self._timer: Timer | None = None
        self._closed = False
        self.number = 0
        """The latest event's number."""
        self.dropped = 0
        """The latest event that is not kept any more."""
        self.dropped_when = NEVER

    @property
    def offset(self) -> str:
        """The offset of the latest event."""
        return f"{self._epoch}.{self.number}"

    @property
    def size(self) -> int:
        """What is kept, in bytes on the wire and 256 for each event."""
        return self._size

    def __len__(self) -> int:
        return len(self._entries)

    def append(
        self,
        args: tuple[Any, ...],
        compress: bool,
        *,
        selection: Selection | None = None,
        only: str = "",
        ack_id: int | None = None,
    ) -> tuple[Frame, ...]:
        """Keeps an event and returns its frames, which have its offset as last argument.

        One that asks for an answer has none: the JavaScript client would hand it to the handler and not remember it.
        """
        number = self.number + 1
        if ack_id is None:
            args = (*args, f"{self._epoch}.{number}")
        namespace = self._namespace
        server = namespace.server
        frames = server.parser.encode_event(namespace.name, args, ack_id, compress)
        self.number = number
        if self._closed:
            return frames
        entry = Entry(number, server.environment.clock(), frames, selection, only, ack_id)
        self._entries.append(entry)
        self._size += entry.size
        self.trim(entry.when)
        if self._timer is None:
            self._timer = server.timers.after(self._retention, self._sweep)
        return frames

    def encode(self, args: tuple[Any, ...], compress: bool) -> tuple[Frame, ...]:
        """Returns the frames of an event that is not kept.

        The JavaScript client takes the last text of any event for an offset, be it the name. So an event that ends in a
        text gets the latest offset: whoever receives it has received what was sent before.
        """
        if isinstance(args[-1], str):
            args = (*args, self.offset)
        namespace = self._namespace
        return namespace.server.parser.encode_event(namespace.name, args, None, compress)

    def read_offset(self, offset: str) -> int | None:
        """Returns the number in an offset; 0 for one of another log. Returns None for what cannot be one."""
        match = OFFSET.fullmatch(offset)
        if match is None:
            return None
        if match[1] != self._epoch:
            return 0
        number = int(match[2])
        return number if number <= self.number else None

    def missed(self, trail: Trail, offset: int = 0) -> Missed | None:
        """Returns what a client missed that has the event ``offset``; None if not all of it is kept, or known."""
        received = max(trail.begun, offset)
        found = []
        for entry in reversed(self._entries):
            if entry.number <= received:
                break
            if entry.when < trail.confirmed:
                received = entry.number
                break
            if trail.concerns(entry):
                found.append(entry)
        else:
            if self.dropped > received:
                if self.dropped_when >= trail.confirmed:
                    return None
                received = self.dropped
        if received < trail.unsure:
            return None
        found.reverse()
        return Missed(self.number, found)

    def trim(self, now: float) -> None:
        """Drops what is too old or too much."""
        entries, config, oldest = self._entries, self._config, now - self._retention
        while entries and (
            len(entries) > config.max_packets or self._size > config.max_bytes or entries[0].when < oldest
        ):
            entry = entries.popleft()
            self._size -= entry.size
            self.dropped, self.dropped_when = entry.number, entry.when

    def close(self) -> None:
        """Drops everything, and keeps nothing any more."""
        self._closed = True
        self._entries.clear()
        self._size = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        # Once in a while is enough: a namespace that sends trims as it goes.
        self._timer = None
        server = self._namespace.server
        self.trim(server.environment.clock())
        if self._entries:
            self._timer = server.timers.after(self._retention, self._sweep)


class RecoveringAdapter(MemoryAdapter):
    """Rooms of one process, and a log of what was sent to them."""

    __slots__ = ("_log",)

    recovers = True

    def __init__(self, namespace: Namespace, max_rooms: int, log: EventLog) -> None:
        super().__init__(namespace, max_rooms)
        self._log = log

    def add_all(self, socket: Socket, rooms: Iterable[str]) -> None:
        rooms = tuple(rooms)
        try:
            super().add_all(socket, rooms)
        finally:
            own, trail = self.sids[socket], socket.trail
            if trail is not None:
                for room in rooms:
                    if room in own:
                        trail.since.setdefault(room, self._log.number)

    def delete(self, socket: Socket, room: str) -> None:
        if room in self.sids.get(socket, ()):
            super().delete(socket, room)
            if socket.trail is not None:
                socket.trail.leave(room)

    def encode(
        self, args: tuple[Any, ...], selection: Selection, flags: Flags, ack_id: int | None = None
    ) -> tuple[Frame, ...]:
        if not flags.volatile:
            return self._log.append(args, flags.compress, selection=selection, ack_id=ack_id)
        if ack_id is None:
            return self._log.encode(args, flags.compress)
        return super().encode(args, selection, flags, ack_id)


class RecoveryStore(ABC):
    """Where the trails of sockets wait that are away. One for all namespaces of a server.

    A store that has to wait for its answer gives it later.
    """

    @abstractmethod
    def save(self, trail: Trail) -> None:
        """Takes the trail of a socket that was lost, for ``max_disconnection`` seconds.

        Whenever it lets one go without handing it out, it calls ``SocketServer.release``.
        """

    @abstractmethod
    def restore(self, ticket: RestoreTicket) -> None:
        """Is asked for the trail with ``ticket.private_id`` in ``ticket.namespace``, and answers with
        ``SocketServer.answer_restore``. A trail is handed out once; then it is not there any more.
        """

    @abstractmethod
    def close(self) -> None:
        """The server ends: what is saved from now on, nobody in this process is going to ask for."""


class MemoryStore(RecoveryStore):
    """Trails in this process; beyond ``max_sessions`` the one that has been away for the longest goes."""

    def __init__(self, server: SocketServer) -> None:
        config = server.config.recovery or Recovery()
        self._server = server
        self._limit = config.max_sessions
        self._lane = server.timers.lane(config.max_disconnection, "recovery", self._expire)
        self._waiting: dict[tuple[str, str], tuple[Trail, Timer]] = {}
        self._closed = False

    def save(self, trail: Trail) -> None:
        if self._closed:
            self._server.release(trail)
            return
        while len(self._waiting) >= self._limit:
            self._drop(next(iter(self._waiting)))
        self._waiting[trail.namespace, trail.private_id] = (trail, self._lane.arm(trail))

    def restore(self, ticket: RestoreTicket) -> None:
        row = self._waiting.pop((ticket.namespace.name, ticket.private_id), None)
        if row is None:
            self._server.answer_restore(ticket, None)
            return
        trail, timer = row
        timer.cancel()
        self._server.answer_restore(ticket, trail)

    def close(self) -> None:
        self._closed = True
        for key in list(self._waiting):
            self._drop(key)

    def __len__(self) -> int:
        return len(self._waiting)

    def _expire(self, trail: Trail, _: float) -> None:
        self._drop((trail.namespace, trail.private_id))

    def _drop(self, key: tuple[str, str]) -> None:
        trail, timer = self._waiting.pop(key)
        timer.cancel()
        self._server.release(trail)
