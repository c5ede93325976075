"""What waits until a socket is connected: events that a client is to send, and events that came early, on either side.

The rule not to be broken: what waits keeps its order, and neither the application nor the other side can make it grow
beyond its limit.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.frame import Frame
    from sioproto.socketio.packet import Packet


class SendBuffer:
    """Encoded events that wait for a connection, in the order in which they were emitted."""

    __slots__ = ("_events",)

    def __init__(self) -> None:
        self._events: deque[tuple[tuple[Frame, ...], tuple[Any, ...], int | None]] = deque()

    def add(self, frames: tuple[Frame, ...], args: tuple[Any, ...], ack_id: int | None) -> None:
        """Lets an event wait."""
        self._events.append((frames, args, ack_id))

    def discard(self, ack_id: int) -> None:
        """Forgets the event with this id, if it waits here."""
        # The one that is looked for is nearly always the oldest.
        for index, event in enumerate(self._events):
            if event[2] == ack_id:
                del self._events[index]
                return

    def send_first(self, write: Callable[[Sequence[Frame], tuple[Any, ...]], bool]) -> bool:
        """Sends the oldest. Returns False when there is none, or ``write(frames, args)`` says that it cannot; then it
        stays.
        """
        if not self._events:
            return False
        # Taken out first: whoever observes what is sent may ask, leave or close in place.
        event = self._events.popleft()
        if write(event[0], event[1]):
            return True
        self._events.appendleft(event)
        return False

    def asking(self) -> set[int]:
        """Returns the ids of the events whose answer somebody waits for."""
        return {ack_id for _, _, ack_id in self._events if ack_id is not None}

    def clear(self) -> int:
        """Forgets all of them, and returns how many messages that were."""
        count = sum(len(frames) for frames, _, _ in self._events)
        self._events.clear()
        return count

    def __len__(self) -> int:
        return len(self._events)


class EarlyEvents:
    """Events that came before the answer to CONNECT: at most ``limit`` of them, of ``room`` in all."""

    __slots__ = ("_events", "_limit", "_room", "_size")

    def __init__(self, limit: int, room: int) -> None:
        self._limit = limit
        self._room = room
        self._events: list[tuple[Packet, int]] = []
        self._size = 0

    def add(self, packet: Packet, size: int) -> bool:
        """Keeps an event; ``size`` is what it took on the wire. Returns False beyond the limits."""
        self._events.append((packet, size))
        self._size += size
        return len(self._events) <= self._limit and self._size <= self._room

    def take(self) -> list[tuple[Packet, int]]:
        """Returns what is kept, in order, and forgets it."""
        events, self._events, self._size = self._events, [], 0
        return events
