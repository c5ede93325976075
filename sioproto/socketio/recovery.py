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
from typing import TYPE_CHECKING, Any

from sioproto.config import Recovery
from sioproto.frame import FRAME_COST
from sioproto.socketio.adapter import MemoryAdapter, Selection
from sioproto.socketio.trail import NEVER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sioproto.frame import Frame
    from sioproto.socketio.adapter import Flags
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.restoring import RestoreTicket
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket
    from sioproto.socketio.trail import RefusalReason, Trail
    from sioproto.timers import Timer

OFFSET = re.compile(r"([0-9A-Za-z_-]{1,20})\.([0-9]{1,15})")

OVERHEAD = 400
"""What a kept event costs besides its size on the wire, in bytes; without it tiny events would weigh nothing."""

ROOM = 250
"""What each further room of an event costs, and each excluded one: its name, and where it stands in the log."""


class Entry:
    """One event that was sent, and to whom: a selection, or only the socket with an id.

    Each knows the one before it with the same target: a room, a socket's id, or None for everybody.
    """

    __slots__ = ("_before", "ack_id", "frames", "number", "only", "selection", "size", "target", "when")

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
        if selection is not None:
            size += ROOM * (max(0, len(selection.rooms) - 1) + len(selection.excluded))
        self.size = size
        self.target = only if selection is None else selection.rooms[0] if selection.rooms else None
        """Whom it was sent to, if that is one target."""
        self._before: Entry | dict[str | None, Entry | None] | None = None
        """One entry for the one target that most have, else one for each."""

    def link(self, latest: dict[str | None, Entry]) -> None:
        """Becomes the latest for its targets."""
        selection = self.selection
        if selection is None or len(selection.rooms) < 2:
            target = self.target
            self._before = latest.get(target)
            latest[target] = self
        else:
            self._before = {room: latest.get(room) for room in selection.rooms}
            latest.update(dict.fromkeys(selection.rooms, self))

    def unlink(self, latest: dict[str | None, Entry]) -> None:
        """Goes. A later one still refers to it, and must not keep alive what was before."""
        for target in self._before if isinstance(self._before, dict) else (self.target,):
            if latest[target] is self:
                del latest[target]
        self.frames, self._before = (), None

    def before(self, target: str | None) -> Entry | None:
        """Returns the one before it with the same target."""
        return self._before.get(target) if isinstance(self._before, dict) else self._before


class Missed:
    """What a client missed up to one moment."""

    __slots__ = ("entries", "number")

    def __init__(self, number: int, entries: list[Entry]) -> None:
        self.number = number
        """The latest event of that moment."""
        self.entries = entries


class EventLog:
    """The latest events of a namespace, bounded by age, number and bytes; all its sockets share it.

    An offset is ``epoch.number``. The epoch tells this log from all others, so that an offset that a client brings from
    an earlier server, or an earlier socket of its own, is seen to be old.
    """

    __slots__ = (
        "_closed", "_config", "_entries", "_epoch", "_latest", "_namespace", "_retention", "_size", "_timer",
        "dropped", "dropped_when", "number",
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
        self._latest: dict[str | None, Entry] = {}
        """The latest event for each target."""
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
    def now(self) -> float:
        """The time by which events are dated."""
        return self._namespace.server.environment.clock()

    @property
    def size(self) -> int:
        """What is kept, in bytes on the wire, 400 for each event, and 250 for each room but the first."""
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
        entry.link(self._latest)
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

    def missed(self, trail: Trail, offset: int, limit: int) -> Missed | RefusalReason:
        """Returns what a client missed that has the event ``offset``, or why it cannot be given that.

        It takes time for what was sent to this client or its rooms, not for what was sent to others, and gives up above
        ``limit``, which counts as ``max_send_buffer`` does.
        """
        received, confirmed = max(trail.begun, offset), trail.confirmed
        if self.dropped > received and self.dropped_when >= confirmed:
            return "lost"
        if trail.unsure > received and trail.unsure_when >= confirmed:
            return "lost"
        found: dict[int, Entry] = {}
        size = 0
        for target, before, last in trail.targets():
            entry = self._latest.get(target)
            before = max(before, received)
            while entry is not None and (number := entry.number) > before and entry.when >= confirmed:
                if number <= last and number not in found and trail.concerns(entry):
                    found[number] = entry
                    size += sum(frame.size + FRAME_COST for frame in entry.frames)
                    if size > limit:
                        return "too much"
                entry = entry.before(target)
        return Missed(self.number, [found[number] for number in sorted(found)])

    def trim(self, now: float) -> None:
        """Drops what is too old or too much."""
        entries, config, oldest = self._entries, self._config, now - self._retention
        most, room = config.max_packets, config.max_bytes
        while entries and (entries[0].when < oldest or len(entries) > most or self._size > room):
            entry = entries.popleft()
            self._size -= entry.size
            self.dropped, self.dropped_when = entry.number, entry.when
            entry.unlink(self._latest)

    def close(self) -> None:
        """Drops everything, and keeps nothing any more."""
        self._closed = True
        self._entries.clear()
        self._latest.clear()
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
