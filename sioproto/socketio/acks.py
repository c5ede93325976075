"""Acknowledgements that a socket waits for: answered, timed out or failed, each exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.errors import AckTimeout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.pending import Pending
    from sioproto.timers import Lane, Timer, Timers


class Ack:
    """One acknowledgement that is awaited."""

    __slots__ = ("_acks", "_id", "pending", "timer")

    def __init__(self, acks: Acks, ack_id: int, pending: Pending[Any]) -> None:
        self._acks = acks
        self._id = ack_id
        self.pending = pending
        self.timer: Timer | None = None

    def time_out(self) -> None:
        """Fails it, because the time is over."""
        if self._acks.take(self._id) is not None:
            self.pending.reject(AckTimeout())


class Acks:
    """Those of one socket. Beyond ``limit`` the oldest fails, so that a silent client keeps no memory."""

    __slots__ = ("_awaited", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._awaited: dict[int, Ack] = {}

    def expect(
        self, ack_id: int, pending: Pending[Any], timeout: float | None, timers: Timers, lane: Lane[Ack]
    ) -> None:
        """Waits for ``ack_id``, for ``timeout`` seconds or the duration of ``lane``."""
        if len(self._awaited) >= self._limit:
            self._awaited[next(iter(self._awaited))].time_out()
        ack = Ack(self, ack_id, pending)
        self._awaited[ack_id] = ack
        ack.timer = lane.arm(ack) if timeout is None else timers.after(timeout, ack.time_out)

    def answer(self, ack_id: int, args: Sequence[Any]) -> None:
        """Settles one: with None for no argument, the argument itself for one, a tuple for several. Ignores
        strangers.
        """
        ack = self.take(ack_id)
        if ack is not None:
            ack.pending.resolve(args[0] if len(args) == 1 else tuple(args) or None)

    def fail(self, error: Exception) -> None:
        """Fails all of them."""
        for ack_id in list(self._awaited):
            ack = self.take(ack_id)
            if ack is not None:
                ack.pending.reject(error)

    def take(self, ack_id: int) -> Ack | None:
        """Forgets one and its timer, and returns it; None if nobody waits for it."""
        ack = self._awaited.pop(ack_id, None)
        if ack is not None and ack.timer is not None:
            ack.timer.cancel()
        return ack

    def __len__(self) -> int:
        return len(self._awaited)


def ack_overdue(ack: Ack, _: float) -> None:
    """What the lane of the default time-out calls."""
    ack.time_out()
