"""Who sees both ends of a session: what one side wrote, the other side gets, in that order, each message once.

A server's session and a client's engine are each watched by their own observers of packets, above every transport, so
that polling, WebSocket and the upgrade between them are all below. The two halves of a pair find each other by the id
of the session.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.engineio.observing import Observed

REMEMBERED = 1000
"""Sessions that ended and whose last messages a client may still get."""


class Half:
    """One side of a session: the messages that it wrote and that have not arrived at the other side."""

    __slots__ = ("_broken", "name", "peer", "written")

    def __init__(self, name: str, broken: Callable[[str], object]) -> None:
        self.name = name
        self.written: deque[str | bytes] = deque()
        self.peer: Half | None = None
        self._broken = broken

    def watch(self, observed: Observed) -> None:
        """Begins to see what its side writes and gets."""
        observed.on("packet_create", self._wrote)
        observed.on("packet", self._got)

    def meet(self, peer: Half) -> None:
        """The two halves of a pair know each other from now on."""
        self.peer = peer
        peer.peer = self

    def excuse(self) -> None:
        """Looks away: a network that repeats requests is beyond what the protocol promises."""
        for half in (self, self.peer):
            if half is not None:
                half.peer = None
                half.written.clear()
                half._broken = _ignore

    def _wrote(self, kind: str, data: str | bytes) -> None:
        if kind == "message":
            self.written.append(data)

    def _got(self, kind: str, data: str | bytes) -> None:
        peer = self.peer
        if kind != "message" or peer is None:
            return
        if not peer.written:
            self._broken(f"{self.name} got {data!r}, which {peer.name} did not write, or not once more")
        elif (expected := peer.written.popleft()) != data:
            self._broken(f"{self.name} got {data!r} where {peer.name} wrote {expected!r}")


class Witness:
    """The halves of all sessions of a world."""

    def __init__(self, broken: Callable[[str], object]) -> None:
        self._broken = broken
        self._sessions: dict[str, Half] = {}
        self._ended: dict[str, Half] = {}

    def see_session(self, session: Any, name: str) -> None:
        """Watches a session of a server, from before its first packet to its end."""
        half = self._sessions[session.id] = Half(f"session {session.id} of {name}", self._broken)
        half.watch(session)
        session.on("close", lambda: self._end(session.id))

    def see_engine(self, engine: Any, name: str) -> Half:
        """Watches the engine of a client, from before its first packet."""
        half = EngineHalf(self, engine, name, self._broken)
        half.watch(engine)
        return half

    def find(self, sid: str) -> Half | None:
        """Returns the server's half of a session."""
        return self._sessions.get(sid) or self._ended.get(sid)

    def _end(self, sid: str) -> None:
        half = self._sessions.pop(sid, None)
        if half is not None and half.peer is None:
            self._ended[sid] = half
            if len(self._ended) > REMEMBERED:
                self._ended.pop(next(iter(self._ended)))


class EngineHalf(Half):
    """The client's half, which looks for the other one as soon as it knows the session's id."""

    __slots__ = ("_engine", "_witness")

    def __init__(self, witness: Witness, engine: Any, name: str, broken: Callable[[str], object]) -> None:
        super().__init__(name, broken)
        self._witness = witness
        self._engine = engine

    def _wrote(self, kind: str, data: str | bytes) -> None:
        if self.peer is None:
            self._look()
        super()._wrote(kind, data)

    def _got(self, kind: str, data: str | bytes) -> None:
        if self.peer is None:
            self._look()
        super()._got(kind, data)

    def _look(self) -> None:
        half = self._witness.find(self._engine.id)
        if half is not None and half.peer is None:
            self.meet(half)


def _ignore(_: str) -> None:
    """Nobody is told."""
