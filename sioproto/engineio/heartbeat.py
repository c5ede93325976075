"""The heartbeat of one session: when to ping, and how long to wait for the pong (Engine.IO protocol, "Heartbeat").

The next ping is due ``ping_interval`` after the pong, so the period is that and the time the pong took. Two things
give the peer its time once more: a first other packet while a pong is awaited, because it shows a living peer, and a
time-out that we notice far too late, because then it is we who slept and what the peer sent is still unread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sioproto.engineio.session import Session
    from sioproto.timers import Lane, Timer

LATE = 1.0
"""A time-out that is noticed this many seconds late says that we slept, not that the peer did."""


class Heartbeat:
    """Runs one timer at a time: until the next ping, or until the pong is overdue."""

    __slots__ = ("_asked", "_session", "_timer", "_unanswered", "awaits_pong", "confirmed", "grace")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._timer: Timer | None = None
        self.awaits_pong = False
        self.grace = False
        """Whether the pong that is awaited may still get its time once more."""
        self.confirmed = float("-inf")
        """When the latest ping was sent that is answered: what was sent before, the peer has received."""
        self._asked = 0.0
        self._unanswered = 0

    def start(self, pings: Lane[Session]) -> None:
        """Waits for the time of the next ping; a pong, asked for or not, comes here, too."""
        if self._unanswered:
            # Of several the pong answers the first one, whose time is kept until all are answered.
            self._unanswered -= 1
            self.confirmed = self._asked
        self.awaits_pong = self.grace = False
        self.stop()
        self._timer = pings.arm(self._session)

    def pinged(self, pongs: Lane[Session], paused: bool, now: float) -> None:
        """A ping is on its way. While the session is paused its pong has all the time it needs."""
        if not self._unanswered:
            self._asked = now
        self._unanswered += 1
        self.awaits_pong = self.grace = True
        self._timer = None if paused else pongs.arm(self._session)

    def extend(self, pongs: Lane[Session]) -> None:
        """Gives the pong its time once more, if it has not had that already."""
        if self.grace:
            self.grace = False
            if self._timer is not None:
                self.stop()
                self._timer = pongs.arm(self._session)

    def overdue(self, pongs: Lane[Session], late: float) -> bool:
        """The pong did not come. Returns whether that is final; ``late`` is by how many seconds we noticed too late."""
        self._timer = None
        if late > LATE and self.grace:
            self.grace = False
            self._timer = pongs.arm(self._session)
            return False
        return True

    def suspend(self) -> None:
        """We do not listen for a while, so no pong can be overdue."""
        if self.awaits_pong:
            self.stop()

    def resume(self, pongs: Lane[Session]) -> None:
        """We listen again."""
        if self.awaits_pong:
            self.stop()
            self._timer = pongs.arm(self._session)

    def stop(self) -> None:
        """Cancels the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
