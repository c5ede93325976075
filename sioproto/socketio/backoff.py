"""How long to wait before a lost connection is tried again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.config import ClientConfig


class Backoff:
    """Delays that double up to a longest one, each spread by chance so that clients do not come back all at once.

    A delay varies by ``randomization_factor`` in both directions and is never above the longest one, at which it varies
    downwards. (The JavaScript client cuts off after spreading, so that from its fifth attempt on all clients of a
    server that went away knock in step.)
    """

    __slots__ = ("_config", "_jitter", "_waits", "attempts")

    def __init__(self, config: ClientConfig, jitter: Callable[[], float]) -> None:
        self._config = config
        self._jitter = jitter
        self._waits = 0
        self.attempts = 0
        """How many delays were asked for since a connection came up last."""

    def next_delay(self) -> float:
        """Returns the seconds to wait before the next attempt, and counts it."""
        config = self._config
        longest = config.reconnection_delay_max
        # The exponent is bounded, or a client that is away for a day would overflow a float.
        delay = min(config.reconnection_delay * 2.0 ** min(self._waits, 30), longest)
        self._waits += 1
        self.attempts += 1
        spread = config.randomization_factor * delay
        lowest, highest = delay - spread, min(delay + spread, longest)
        return lowest + self._jitter() * (highest - lowest)

    def count_anew(self) -> None:
        """A connection came up. Nobody knows whether it lasts, so the delays go on as they were."""
        self.attempts = 0

    def reset(self) -> None:
        """Begins anew with the shortest delay."""
        self.attempts = self._waits = 0
