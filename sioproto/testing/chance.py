"""The chance of a world: everything random in it comes from one seed, through one small generator of our own.

Python's own generator may change between versions, and what it gives for a seed with it; this one does not. It is
splitmix64 (Steele, Lea, Flood 2014): a counter and a mixing function that maps different counters to different
numbers. That is good enough to make schedules and ids of, and for nothing secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Chance:
    """A sequence of numbers that a seed determines. Forks of different names are independent of each other."""

    __slots__ = ("_seed", "_state")

    def __init__(self, seed: int) -> None:
        self._seed = self._state = seed & MASK

    def number(self) -> int:
        """Returns a number of 64 bits. It comes again after 2 ** 64 others, and not before."""
        self._state = (self._state + STEP) & MASK
        return mix(self._state)

    def below(self, limit: int) -> int:
        """Returns a number of at least 0 and below ``limit``."""
        return (self.number() * limit) >> 64

    def fraction(self) -> float:
        """Returns a number of at least 0 and below 1."""
        return (self.number() >> 11) * 2.0**-53

    def between(self, low: float, high: float) -> float:
        """Returns a number of at least ``low`` and below ``high``."""
        return low + (high - low) * self.fraction()

    def happens(self, probability: float) -> bool:
        """Returns True with a probability of 0 to 1."""
        return self.fraction() < probability

    def choice(self, values: Sequence[T]) -> T:
        """Returns one of some values."""
        return values[self.below(len(values))]

    def bytes(self, count: int) -> bytes:
        """Returns that many bytes."""
        pieces = [self.number().to_bytes(8, "big") for _ in range((count + 7) // 8)]
        return b"".join(pieces)[:count]

    def id(self) -> str:
        """Returns 20 characters of the URL-safe base64 alphabet, which nobody else gets from this sequence."""
        number = self.number() << 56 | self.number() >> 8
        return "".join(ALPHABET[number >> shift & 63] for shift in range(114, -1, -6))

    def fork(self, name: str) -> Chance:
        """Returns another sequence, the same for the same name however much of this one was used meanwhile."""
        number = 0xCBF29CE484222325  # FNV-1a, because Python's own hashes differ from run to run
        for byte in name.encode():
            number = ((number ^ byte) * 0x100000001B3) & MASK
        return Chance(mix(self._seed ^ mix(number)))


def mix(state: int) -> int:
    """Maps every number of 64 bits to another one, so that neighbours look unrelated."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)
