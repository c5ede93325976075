"""How long a client waits before it tries again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto import OptionError
from sioproto.config import ClientConfig
from sioproto.socketio.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Iterator


def delays(config: ClientConfig, *chances: float) -> list[float]:
    """Returns the first delays, with these random numbers."""
    numbers: Iterator[float] = iter(chances)
    backoff = Backoff(config, lambda: next(numbers))
    return [backoff.next_delay() for _ in chances]


def test_delays_double_up_to_the_longest() -> None:
    config = ClientConfig(randomization_factor=0)
    assert delays(config, *(7 * [0.3])) == [1, 2, 4, 5, 5, 5, 5]


def test_each_is_spread_in_both_directions() -> None:
    config = ClientConfig(reconnection_delay_max=100)
    assert delays(config, 0, 0, 0) == [0.5, 1, 2]
    assert delays(config, 0.5, 0.5, 0.5) == [1, 2, 4]
    assert delays(config, 1, 1, 1) == [1.5, 3, 6]


def test_the_longest_is_spread_too_and_stays_the_longest() -> None:
    config = ClientConfig(reconnection_delay=5)
    assert delays(config, 0, 0.5, 1) == [2.5, 3.75, 5]


def test_a_first_delay_above_the_longest_is_the_longest() -> None:
    config = ClientConfig(reconnection_delay=9, randomization_factor=0)
    assert delays(config, 0, 0) == [5, 5]


def test_it_counts_and_begins_anew() -> None:
    backoff = Backoff(ClientConfig(randomization_factor=0), lambda: 0.5)
    assert (backoff.next_delay(), backoff.next_delay(), backoff.attempts) == (1, 2, 2)
    backoff.count_anew()
    assert backoff.attempts == 0
    assert (backoff.next_delay(), backoff.attempts) == (4, 1)
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.next_delay() == 1


@given(
    st.floats(0.001, 1e6),
    st.floats(0.001, 1e6),
    st.floats(0, 1),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=80),
)
def test_a_delay_is_within_its_bounds(first: float, longest: float, factor: float, chances: list[float]) -> None:
    config = ClientConfig(reconnection_delay=first, reconnection_delay_max=longest, randomization_factor=factor)
    for attempt, delay in enumerate(delays(config, *chances)):
        middle = min(first * 2.0**attempt, longest)
        assert (1 - factor) * middle * (1 - 1e-9) <= delay <= min((1 + factor) * middle * (1 + 1e-9), longest)


def test_many_attempts_are_no_overflow() -> None:
    assert delays(ClientConfig(randomization_factor=0), *(5000 * [0.5]))[-1] == 5


@pytest.mark.parametrize("factor", [-0.1, 1.1])
def test_the_spread_is_a_fraction(factor: float) -> None:
    with pytest.raises(OptionError, match="randomization_factor"):
        ClientConfig(randomization_factor=factor)
