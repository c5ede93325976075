"""The heartbeat of one session: when to ping, and how long to wait for the pong (Engine.IO protocol, "Heartbeat").

The next ping is due ``ping_interval`` after the pong, so the period is that and the time the pong took. Two things
give the peer its time once more: a first other packet while a pong is awaited, because it shows a living peer, and a
time-out that we notice far too late, because then it is we who slept and what the peer sent is still unread.

While the session is paused no pong can be heard, so none is overdue; pings go on. They keep the peer from giving us up,
and writing is how the end of a peer is noticed that nobody reads from. Polls are answered all the same: a ping that
none came for within ``ping_timeout`` tells that the peer is gone.

The rule not to be broken: an open session has a timer here, always.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.packet import PacketType
from sioproto.engineio.states import Input
from sioproto.frame import Frame

if TYPE_CHECKING:
    from sioproto.engineio.session import Session
    from sioproto.timers import Lane, Timer

PING = Frame(PacketType.PING)

LATE = 1.0
"""A time-out that is noticed this many seconds late says that we slept, not that the peer did."""


class Heartbeat:
    """Runs one timer at a time: until the next ping, or until the pong is overdue."""

    __slots__ = ("_asked", "_session", "_timer", "_unanswered", "awaited", "confirmed", "grace")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._timer: Timer | None = None
        self.awaited = 0
        """Pings since the last pong; more than one only when the session was paused meanwhile."""
        self.grace = False
        """Whether the pong that is awaited may still get its time once more."""
        self.confirmed = float("-inf")
        """When the latest ping was sent that is answered: what was sent before, the peer has received."""
        self._asked = 0.0
        self._unanswered = 0

    @property
    def awaits_pong(self) -> bool:
        """Whether a ping is not answered yet."""
        return self.awaited > 0

    def start(self, pings: Lane[Session]) -> None:
        """Waits for the time of the next ping; a pong, asked for or not, comes here, too."""
        if self._unanswered:
            # Of several the pong answers the first one, whose time is kept until all are answered.
            self._unanswered -= 1
            self.confirmed = self._asked
        self.awaited = 0
        self.grace = False
        self.stop()
        self._timer = pings.arm(self._session)

    def ping(self, pongs: Lane[Session], now: float) -> None:
        """Sends a ping and waits for its pong; a paused session does not queue a second one."""
        session = self._session
        self.grace = True
        self._timer = pongs.arm(session)
        if not (session.paused and PING in session.outbox):
            if not self._unanswered:
                self._asked = now
            self._unanswered += 1
            self.awaited += 1
            # At the end, because writing may find that the client takes nothing, which ends the session.
            session.write((PING,))

    def extend(self, pongs: Lane[Session]) -> None:
        """Gives the pong its time once more, if it has not had that already."""
        if self.grace:
            self.grace = False
            self.stop()
            self._timer = pongs.arm(self._session)

    def overdue(self, pongs: Lane[Session], late: float) -> bool:
        """The pong did not come. Returns whether that is final; ``late`` is by how many seconds we noticed too late."""
        session = self._session
        self._timer = None
        if late > LATE and self.grace:
            self.grace = False
            self._timer = pongs.arm(session)
            return False
        if session.paused and (session.link is not None or PING not in session.outbox):
            session.step(Input.PING_DUE)
            return False
        return True

    def resume(self, pongs: Lane[Session]) -> None:
        """We listen again: from here on the pong has all of its time."""
        if self.awaited:
            self.stop()
            self._timer = pongs.arm(self._session)

    def stop(self) -> None:
        """Cancels the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
