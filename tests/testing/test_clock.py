"""The clock of a world, and each party's share of its deadlines."""

from __future__ import annotations

import pytest

from sioproto.testing import Clock
from sioproto.testing.clock import Share
from sioproto.timers import Timers


class Shares:
    """Two parties on one clock; ``log`` is who was touched and what fell due, in order."""

    def __init__(self, *, passing: bool = False) -> None:
        self.clock = Clock()
        self.whole = Timers(self.clock)
        self.log: list[str] = []
        self.one = Share(self.whole, lambda: self.log.append("touch one"), passing=passing)
        self.two = Share(self.whole, lambda: self.log.append("touch two"))

    def due(self, owner: str, deadline: float) -> None:
        self.log.append(f"{owner} at {deadline:g}")


def test_a_clock_says_what_it_was_set_to() -> None:
    clock = Clock()
    assert clock() == clock.now == 0.0
    clock.now = 2.5
    assert clock() == 2.5
    assert repr(clock) == "<Clock 2.500>"


@pytest.mark.parametrize("passing", [False, True], ids=["staying", "passing"])
def test_whoever_fires_touches_whose_deadline_it_was(passing: bool) -> None:
    shares = Shares(passing=passing)
    shares.one.lane(1.0, "short", shares.due).arm("lane")
    shares.one.after(2.0, lambda: shares.log.append("odd"))
    shares.two.after(3.0, lambda: shares.log.append("other"))
    assert shares.two.next_deadline() == 1.0
    shares.clock.now = 3.0
    assert shares.two.fire(3.0) == 3
    assert shares.log == ["touch one", "lane at 1", "touch one", "odd", "touch two", "other"]


@pytest.mark.parametrize("passing", [False, True], ids=["staying", "passing"])
def test_a_cancelled_deadline_touches_nobody(passing: bool) -> None:
    shares = Shares(passing=passing)
    shares.one.lane(1.0, "short", shares.due).arm("lane").cancel()
    shares.one.after(1.0, lambda: shares.log.append("odd")).cancel()
    shares.clock.now = 9.0
    assert shares.whole.fire(9.0) == 0
    assert shares.log == []


def test_a_share_explains_its_own_lanes() -> None:
    shares = Shares()
    shares.one.lane(1.0, "mine", shares.due).arm("a")
    shares.two.lane(2.0, "yours", shares.due)
    assert shares.one.explain() == [("mine", 1, 1.0)]
    assert [label for label, _, _ in shares.whole.explain()] == ["mine", "yours", "odd durations"]


def test_of_a_passing_party_no_lane_is_left() -> None:
    shares = Shares(passing=True)
    for _ in range(100):
        shares.one.lane(1.0, "mine", shares.due)
    assert [label for label, _, _ in shares.whole.explain()] == ["odd durations"]


def test_a_lane_needs_a_duration_wherever_it_is_kept() -> None:
    for passing in (False, True):
        with pytest.raises(ValueError, match="above 0 seconds"):
            Shares(passing=passing).one.lane(0.0, "none", lambda owner, deadline: None)
