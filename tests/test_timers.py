"""Timers against a sorted list: what fires when, whatever was cancelled, and nothing grows with what is gone."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sioproto.timers import Lane, Timer, Timers
from tests.virtual import Clock

LANES = {"short": 0.5, "middle": 2.0, "long": 7.25}


class TimersMachine(RuleBasedStateMachine):
    """Arms, cancels and fires at random; the model is a list of ``(deadline, number)`` of those that live."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(0.0)
        self.timers = Timers(self.clock)
        self.fired: list[tuple[float, int]] = []
        self.lanes = {label: self.timers.lane(duration, label, self.due) for label, duration in LANES.items()}
        self.model: dict[int, tuple[float, str]] = {}
        self.armed: dict[int, Timer] = {}

    def due(self, number: int, deadline: float) -> None:
        assert self.clock.now >= deadline
        self.fired.append((deadline, number))

    @rule(label=st.sampled_from(sorted(LANES)))
    def arm(self, label: str) -> None:
        number = len(self.armed) + 1
        self.armed[number] = self.lanes[label].arm(number)
        self.model[number] = (self.clock.now + LANES[label], label)

    @rule(duration=st.sampled_from([0.0, 0.1, 0.5, 2.0, 30.0]))
    def arm_odd(self, duration: float) -> None:
        number = len(self.armed) + 1
        deadline = self.clock.now + duration
        self.armed[number] = self.timers.after(duration, lambda: self.due(number, deadline))
        self.model[number] = (deadline, "odd durations")

    @precondition(lambda self: self.armed)
    @rule(data=st.data(), times=st.integers(1, 2))
    def cancel(self, data: st.DataObject, times: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.armed)))
        for _ in range(times):
            self.armed[number].cancel()
        self.model.pop(number, None)

    @rule(seconds=st.sampled_from([0.0, 0.05, 0.5, 1.0, 2.0, 8.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        due = sorted((deadline, number) for number, (deadline, _) in self.model.items() if deadline <= self.clock.now)
        assert self.timers.fire(self.clock.now) == len(due)
        assert sorted(self.fired) == due
        # Within one queue they fire in the order of their deadlines.
        for queue in (*LANES, "odd durations"):
            own = [deadline for deadline, number in self.fired if self.model[number][1] == queue]
            assert own == sorted(own)
        for _, number in self.fired:
            del self.model[number]
        self.fired.clear()

    @rule()
    def fire_too_early(self) -> None:
        deadline = self.timers.next_deadline()
        early = self.clock.now - 0.001 if deadline is None else min(deadline, self.clock.now) - 0.001
        assert self.timers.fire(early) == 0
        assert self.fired == []

    @invariant()
    def next_is_the_least(self) -> None:
        assert self.timers.next_deadline() == min((deadline for deadline, _ in self.model.values()), default=None)

    @invariant()
    def explains_what_lives(self) -> None:
        expected = {
            queue: sorted(deadline for deadline, label in self.model.values() if label == queue)
            for queue in (*LANES, "odd durations")
        }
        for label, number, deadline in self.timers.explain():
            assert number == len(expected[label])
            assert deadline == (expected[label][0] if expected[label] else None)


TestTimers = TimersMachine.TestCase


@given(st.lists(st.booleans(), max_size=300), st.booleans())
def test_what_was_cancelled_is_forgotten(kept: list[bool], odd: bool) -> None:
    clock = Clock(0.0)
    timers = Timers(clock)
    fired: list[int] = []
    lane: Lane[int] = timers.lane(1.0, "lane", lambda number, _: fired.append(number))

    def arm(number: int) -> Timer:
        return timers.after(1.0, lambda: fired.append(number)) if odd else lane.arm(number)

    armed = [arm(number) for number in range(len(kept))]
    for keep, timer in zip(kept, armed, strict=True):
        if not keep:
            timer.cancel()
    assert timers.fire(1.0) == sum(kept)
    assert sorted(fired) == [number for number, keep in enumerate(kept) if keep]
    for timer in armed:
        timer.cancel()  # too late, which is harmless
    assert {number for _, number, _ in timers.explain()} == {0}


@pytest.mark.parametrize("odd", [False, True])
def test_a_queue_does_not_grow_with_its_dead(odd: bool) -> None:
    """One timer lives on while 10,000 behind it are cancelled: they are let go long before anything fires."""
    timers = Timers(Clock())
    lane: Lane[str] = timers.lane(1000.0, "lane", lambda owner, _: None)

    def arm() -> Timer:
        return timers.after(1000.0, lambda: None) if odd else lane.arm("owner")

    def count() -> int:
        gc.collect()
        return sum(isinstance(each, Timer) for each in gc.get_objects())

    first = arm()
    before = count()
    for _ in range(10_000):
        arm().cancel()
    assert count() - before < 500
    assert sum(number for _, number, _ in timers.explain()) == 1
    first.cancel()
    assert timers.next_deadline() is None
    assert count() <= before


def test_a_fired_timer_may_arm_and_cancel_others() -> None:
    clock = Clock(0.0)
    timers = Timers(clock)
    heard: list[str] = []
    later = timers.after(5.0, lambda: heard.append("never"))

    def due(owner: str, deadline: float) -> None:
        heard.append(owner)
        later.cancel()
        if owner == "first":
            lane.arm("second")

    lane: Lane[str] = timers.lane(1.0, "lane", due)
    lane.arm("first")
    clock.now = 10.0
    assert timers.fire(10.0) == 1
    assert heard == ["first"]
    assert timers.next_deadline() == 11.0
    clock.now = 11.0
    timers.fire(11.0)
    assert heard == ["first", "second"]
    assert timers.next_deadline() is None


def test_a_clock_that_is_turned_back_does_not_unsort_a_lane() -> None:
    clock = Clock(100.0)
    timers = Timers(clock)
    fired: list[str] = []
    lane: Lane[str] = timers.lane(5.0, "lane", lambda owner, _: fired.append(owner))
    lane.arm("first")
    clock.now = 50.0
    lane.arm("second")
    assert timers.next_deadline() == 105.0
    assert timers.fire(104.0) == 0
    assert timers.fire(105.0) == 2
    assert fired == ["first", "second"]


@pytest.mark.parametrize("duration", [0, -1.0, float("nan")])
def test_a_lane_needs_a_duration(duration: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Timers(Clock()).lane(duration, "lane", lambda owner, _: None)
