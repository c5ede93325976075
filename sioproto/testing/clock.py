"""The time of a world: seconds that pass only when somebody says so, and each party's share of the deadlines.

All parties of a world keep their deadlines in one ``Timers``, so there is one next deadline to go to. Whoever fires
them has to know whose they were, because a party is looked at only when something happened to it; that is what a
``Share`` is for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto.timers import Lane, Timer, Timers

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Clock:
    """Seconds since the world began. ``clock()`` reads it; ``now`` is what it says."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def __repr__(self) -> str:
        return f"<Clock {self.now:.3f}>"


class Share(Timers):
    """The deadlines of one party among those of its world; ``touch()`` is called before one of them is acted upon.

    ``next_deadline`` and ``fire`` are about the whole world, ``explain`` is about the lanes of this party. A
    ``passing`` party keeps what it has in the heap: a lane lives as long as its ``Timers``, and clients come and go.
    """

    __slots__ = ("_own", "_passing", "_touch")

    def __init__(self, whole: Timers, touch: Callable[[], object], *, passing: bool = False) -> None:
        super().__init__(whole.clock)
        self._lanes = whole._lanes
        self._heap = whole._heap
        self._touch = touch
        self._passing = passing
        self._own: list[Lane[Any]] = []

    def lane(self, duration: float, label: str, due: Callable[[T, float], None]) -> Lane[T]:
        """Opens a lane; see ``Timers.lane``."""
        touch = self._touch

        def touched(owner: T, deadline: float) -> None:
            touch()
            due(owner, deadline)

        if self._passing:
            return HeapLane(super().after, self.clock, duration, label, touched)
        lane = super().lane(duration, label, touched)
        self._own.append(lane)
        return lane

    def after(self, duration: float, due: Callable[[], None]) -> Timer:
        """Starts a timer; see ``Timers.after``."""
        # A partial, because whoever looks at the timers wants to know whose they are.
        return super().after(duration, partial(_touch_first, self._touch, due))

    def explain(self) -> list[tuple[str, int, float | None]]:
        """Returns each lane of this party, with its living timers and its next deadline."""
        return [(lane.label, len(lane), head.deadline if (head := lane.head()) else None) for lane in self._own]


def _touch_first(touch: Callable[[], object], due: Callable[[], None]) -> None:
    touch()
    due()


def owner_of(timer: Timer) -> Any:
    """Returns whom a living timer is for: the owner in a lane, or in the heap the object whose method is called."""
    owner = timer.owner
    if isinstance(owner, partial):
        owner = owner.args[-1]
    return getattr(owner, "__self__", owner)


class HeapLane(Lane[T]):
    """A lane whose timers are kept among those of odd durations."""

    __slots__ = ("_after",)

    def __init__(
        self,
        after: Callable[[float, Callable[[], None]], Timer],
        clock: Callable[[], float],
        duration: float,
        label: str,
        due: Callable[[T, float], None],
    ) -> None:
        super().__init__(clock, duration, label, due)
        self._after = after

    def arm(self, owner: T) -> Timer:
        """Starts a timer that fires ``duration`` seconds from now."""
        deadline = self._clock() + self.duration
        return self._after(self.duration, partial(self._due, owner, deadline))
