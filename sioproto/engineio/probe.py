"""An upgrade that is under way: the WebSocket that wants to take over from polling, and its two timers.

(Engine.IO protocol, "Upgrade".) A session has one of these only while it probes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.packet import PacketType
from sioproto.engineio.states import Input
from sioproto.engineio.transport import Transport
from sioproto.frame import Frame

if TYPE_CHECKING:
    from sioproto.engineio.link import Link
    from sioproto.engineio.server import EngineServer
    from sioproto.engineio.session import Session
    from sioproto.timers import Timer

ANSWER = Frame(PacketType.PONG + "probe")


class Probe:
    """The candidate, when it is given up, and when a held poll is released so that the peer can pause its polling."""

    __slots__ = ("_noop", "_overdue", "_server", "_session", "link")

    def __init__(self, server: EngineServer, session: Session, link: Link) -> None:
        self._server = server
        self._session = session
        self.link = link
        self._overdue = server.upgrade_lane.arm(session)
        self._noop: Timer | None = None

    def receive(self, message: str | bytes) -> None:
        """Takes a message of the candidate."""
        if message == PacketType.PING + "probe":
            self._session.step(Input.PROBE)
        elif message == PacketType.UPGRADE:
            self._session.step(Input.UPGRADE)
        else:
            self._session.step(Input.STRAY)

    def answer(self) -> None:
        """Says ``3probe`` over the candidate."""
        self.link.frames.append(ANSWER)
        self._server.carry(self.link)
        self.wait_for_noop()
        self._session.notify("upgrading", Transport(self._session, self.link))

    def wait_for_noop(self) -> None:
        """Arms the next release of a held poll; for the first time when the candidate has said ``2probe``."""
        self._cancel_noop()
        self._noop = self._server.noop_lane.arm(self._session)

    def stop(self) -> Link:
        """Cancels the timers and returns the candidate."""
        self._overdue.cancel()
        self._cancel_noop()
        return self.link

    def drop(self) -> None:
        """Gives the candidate up and closes it."""
        link = self.stop()
        link.session = None
        link.close()
        self._server.carry(link)

    def _cancel_noop(self) -> None:
        if self._noop is not None:
            self._noop.cancel()
            self._noop = None
