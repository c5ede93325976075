"""What is remembered of one socket so that it can be restored: who it was, where it was, and since when.

The rule not to be broken: what a trail does not know for certain it says that it does not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto.socketio.recovery import Entry, EventLog
    from sioproto.socketio.socket import Socket

RefusalReason = Literal["invalid", "unknown", "lost", "too much", "store"]
"""Why a client that came back got a new socket.

``invalid``: what it named is no private id and offset. ``unknown``: nobody is away under that private id, because none
ever was, or for too long, or its end was meant. ``lost``: events that it may have missed are not kept any more. ``too
much``: it missed more than ``max_send_buffer``. ``store``: the store did not answer in time.
"""

MAX_LEFT = 1000
"""Rooms that a socket left, remembered with when it was in them; beyond, the older half is forgotten."""

NEVER = float("-inf")


class Trail:
    """What is remembered of one socket, from its CONNECT until it is certain that it does not come back.

    Numbers are those of events in the log of its namespace.
    """

    __slots__ = (
        "begun", "confirmed", "data", "entered", "entered_at", "left", "left_count", "log", "namespace", "over",
        "previous", "private_id", "refusal", "sid", "since", "socket", "unsure", "unsure_when",
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
        self.unsure_when = NEVER
        """When that was forgotten."""
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
            self.unsure_when = self.log.now
        self.left = {}
        for span, room in spans[excess:]:
            self.left.setdefault(room, []).append(span)
        self.left_count = len(spans) - excess

    def targets(self) -> Iterator[tuple[str | None, int, int]]:
        """Yields what events for it may have been sent to, each with the last event before that was so, and the last
        while it was.
        """
        spans, number = self.left, self.log.number
        yield None, self.entered, number
        yield self.sid, self.begun, number
        for room, since in self.since.items():
            if room != self.sid:
                yield room, since if room not in spans else spans[room][0][0], number
        for room, left in spans.items():
            if room != self.sid and room not in self.since:
                yield room, left[0][0], left[-1][1]

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
