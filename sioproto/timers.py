"""All deadlines of a process, in one place.

A duration that is the same for everybody (ping interval, ping time-out, upgrade time-out) has a *lane*: a FIFO queue
that is born sorted, because later arrivals have later deadlines. Odd durations share one heap. Cancelling only marks
a timer dead; a lane or heap whose dead outnumber its living is compacted, so that neither grows with what was
cancelled.

The rule not to be broken: nobody else keeps a deadline. Whoever drives the core asks ``next_deadline()`` and calls
``fire()``; a call that comes too early does nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

COMPACT_ABOVE = 64
"""Below this many dead timers, compacting costs more than it frees."""


class Timer:
    """One armed deadline. ``cancel()`` it when it is no longer needed; cancelling twice is harmless."""

    __slots__ = ("_queue", "deadline", "owner")

    def __init__(self, deadline: float, owner: object, queue: Lane[Any] | Heap) -> None:
        self.deadline = deadline
        self.owner: Any = owner
        self._queue = queue

    def cancel(self) -> None:
        """Makes sure that the timer never fires (again)."""
        if self.owner is not None:
            self.owner = None
            self._queue.forget_one()

    def __lt__(self, other: Timer) -> bool:
        return self.deadline < other.deadline


class Lane(Generic[T]):
    """The timers of one constant duration, in seconds; ``due(owner, deadline)`` is called for each that fires."""

    __slots__ = ("_clock", "_dead", "_due", "_last", "_queue", "duration", "label")

    def __init__(
        self, clock: Callable[[], float], duration: float, label: str, due: Callable[[T, float], None]
    ) -> None:
        if not duration > 0:
            raise ValueError(f"a lane needs a duration above 0 seconds, not {duration!r} ({label})")
        self.duration = duration
        self.label = label
        self._clock = clock
        self._due = due
        self._queue: deque[Timer] = deque()
        self._dead = 0
        self._last = float("-inf")

    def arm(self, owner: T) -> Timer:
        """Starts a timer that fires ``duration`` seconds from now."""
        deadline = self._clock() + self.duration
        # A clock that a test turns back must not unsort the lane.
        if deadline < self._last:
            deadline = self._last
        self._last = deadline
        timer = Timer(deadline, owner, self)
        self._queue.append(timer)
        return timer

    def forget_one(self) -> None:
        self._dead += 1
        if self._dead > COMPACT_ABOVE and self._dead * 2 > len(self._queue):
            self._queue = deque(timer for timer in self._queue if timer.owner is not None)
            self._dead = 0

    def head(self) -> Timer | None:
        queue = self._queue
        while queue:
            timer = queue[0]
            if timer.owner is not None:
                return timer
            queue.popleft()
            self._dead -= 1
        return None

    def fire(self, now: float) -> int:
        fired = 0
        while (timer := self.head()) is not None and timer.deadline <= now:
            self._queue.popleft()
            owner, timer.owner = timer.owner, None
            fired += 1
            self._due(owner, timer.deadline)
        return fired

    def __len__(self) -> int:
        return len(self._queue) - self._dead


class Heap:
    """The timers of odd durations; each brings the callable that it fires."""

    __slots__ = ("_clock", "_dead", "_heap")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heap: list[Timer] = []
        self._dead = 0

    def arm(self, duration: float, due: Callable[[], None]) -> Timer:
        timer = Timer(self._clock() + duration, due, self)
        heapq.heappush(self._heap, timer)
        return timer

    def forget_one(self) -> None:
        self._dead += 1
        if self._dead > COMPACT_ABOVE and self._dead * 2 > len(self._heap):
            self._heap = [timer for timer in self._heap if timer.owner is not None]
            heapq.heapify(self._heap)
            self._dead = 0

    def head(self) -> Timer | None:
        heap = self._heap
        while heap:
            if heap[0].owner is not None:
                return heap[0]
            heapq.heappop(heap)
            self._dead -= 1
        return None

    def fire(self, now: float) -> int:
        fired = 0
        while (timer := self.head()) is not None and timer.deadline <= now:
            heapq.heappop(self._heap)
            due, timer.owner = timer.owner, None
            fired += 1
            due()
        return fired

    def __len__(self) -> int:
        return len(self._heap) - self._dead


class Timers:
    """Every lane and the heap: one ``next_deadline()`` for all floors and all connections of a process."""

    __slots__ = ("_heap", "_lanes", "clock")

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._lanes: list[Lane[Any]] = []
        self._heap = Heap(clock)

    def lane(self, duration: float, label: str, due: Callable[[T, float], None]) -> Lane[T]:
        """Opens a lane. ``label`` names it in ``explain()``; ``due(owner, deadline)`` is called on this clock."""
        lane = Lane(self.clock, duration, label, due)
        self._lanes.append(lane)
        return lane

    def after(self, duration: float, due: Callable[[], None]) -> Timer:
        """Starts a timer of an odd duration, in seconds."""
        return self._heap.arm(duration, due)

    def next_deadline(self) -> float | None:
        """Returns the earliest deadline on the clock, or None when nothing is armed."""
        head = self._heap.head()
        earliest = None if head is None else head.deadline
        for lane in self._lanes:
            if lane._queue:  # most of them are empty
                head = lane.head()
                if head is not None and (earliest is None or head.deadline < earliest):
                    earliest = head.deadline
        return earliest

    def fire(self, now: float) -> int:
        """Fires what is due at ``now`` and returns how many timers that were; too early a call fires none."""
        fired = 0
        for lane in self._lanes:
            fired += lane.fire(now)
        return fired + self._heap.fire(now)

    def explain(self) -> list[tuple[str, int, float | None]]:
        """Returns, for a person who wonders who woke us: each lane's label, living timers and next deadline."""
        rows = [(lane.label, len(lane), head.deadline if (head := lane.head()) else None) for lane in self._lanes]
        head = self._heap.head()
        return [*rows, ("odd durations", len(self._heap), head.deadline if head else None)]
