"""Who sees both ends of a session: what one side wrote, the other side gets, in that order, each message once.
What a side says at its end that it has not sent, the other side never gets.

A server's session and a client's engine are each watched above every transport, so that polling, WebSocket and the
upgrade between them are all below. The two halves of a pair find each other by the id of the session.

Both are watched by becoming a ``Watched`` subclass of what they are, in place. Observers of packets would see the same,
at several times the cost on the road that every message takes.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, ClassVar

from sioproto.engineio.client import EngineClient
from sioproto.engineio.client_events import EngineClosed
from sioproto.engineio.packet import count_messages
from sioproto.engineio.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.engineio.client_events import EngineClientEvent
    from sioproto.engineio.events import CloseReason
    from sioproto.engineio.link import Link
    from sioproto.frame import Frame

EVENTS, ACKS = ("42", "45"), ("43", "46")
"""How the messages of events and acknowledgements begin, the type digit of Engine.IO first."""
HEAD = re.compile(r"4[2356](?:\d+-)?((?:/[^,]*,)?\d+)\[")
"""One with an id; the group is what tells it from others."""

REMEMBERED = 1000
"""Sessions that ended and whose last messages a client may still get."""


class Half:
    """One side of a session: what it wrote and what has not arrived at the other side."""

    __slots__ = ("_asked", "_before", "_broken", "name", "peer", "unsent", "written")

    def __init__(self, name: str, broken: Callable[[str], object], earlier: Half | None = None) -> None:
        self.name = name
        self.written: deque[Frame] = deque()
        """Packets of all kinds; only messages are compared."""
        self.peer: Half | None = None
        self.unsent = 0
        """Messages that it said to be unsent when it ended."""
        self._asked: dict[str, int] = {}
        """How often each event that the other side sent is to be acknowledged: namespace and id."""
        self._before: dict[str, int] = {} if earlier is None else {**earlier._before, **earlier._asked}
        """The same of earlier connections of this client, which a recovered one continues."""
        self._broken = broken

    def look_at(self, head: str | bytes) -> None:
        """A packet was queued that is no event, or its first frame.

        An event is acknowledged as often as it was sent, at most (Socket.IO protocol, ACK).
        """
        if self._before and isinstance(head, str) and head.startswith("40") and '"pid":' in head:
            self._asked, self._before = self._before, {}
        if isinstance(head, str) and head[:2] in ACKS and (match := HEAD.match(head)) is not None:
            answer = match[1]
            asked = self._asked.get(answer, 0)
            if asked == 0:
                self._broken(f"{self.name} answered {answer}, which was not asked, or not once more")
            elif asked == 1:
                del self._asked[answer]
            else:
                self._asked[answer] = asked - 1

    def got_plain(self, messages: Sequence[str | bytes]) -> int:
        """Says the same as ``got`` of the messages in front that are as expected, and returns how many those are.

        It is the one hot road, for events of the main namespace that ask for no answer.
        """
        # What did not arrive is counted with each message, once the other side has said how much that is.
        if self.peer is None or self.peer.unsent:
            return 0
        written, count = self.peer.written, 0
        for message in messages:
            if not written or written[0].data != message or not isinstance(message, str) or message[:3] != "42[":
                break
            written.popleft()
            count += 1
        return count

    def got(self, message: str | bytes) -> None:
        """A message arrived, a ``str`` with its type digit; it has to be the next one that the other side wrote."""
        peer = self.peer
        if peer is None:
            return
        if isinstance(message, str) and message[:2] in EVENTS and (match := HEAD.match(message)) is not None:
            self._asked[match[1]] = self._asked.get(match[1], 0) + 1
        written = peer.written
        while written:
            data = written.popleft().data
            if data == message:
                peer.check_unsent()
                return
            if not isinstance(data, str) or data.startswith("4"):
                self._broken(f"{self.name} got {message!r} where {peer.name} wrote {data!r}")
                return
        self._broken(f"{self.name} got {message!r}, which {peer.name} did not write, or not once more")

    def ended(self, unsent: int) -> None:
        """This side has ended, and so many messages were not sent: the last ones that it wrote."""
        self.unsent = unsent
        self.check_unsent()

    def check_unsent(self) -> None:
        """Compares what was not sent with what did not arrive."""
        if self.unsent and self.unsent > (missing := count_messages(self.written)):
            self._broken(f"{self.name} says that {self.unsent} messages were not sent, and {missing} did not arrive")

    def excuse(self) -> None:
        """Looks away: a network that repeats requests is beyond what the protocol promises."""
        for half in (self, self.peer):
            if half is not None:
                half.peer = None
                half._broken = _ignore


class WatchedSession(Session):
    """A session of a server that is watched. Each world has a subclass of its own, with its own ``halves``."""

    __slots__ = ()
    halves: ClassVar[dict[Session, Half]]

    def write(self, frames: Sequence[Frame]) -> bool:
        """Queues encoded packets; see ``Session.write``."""
        # Beforehand, as much as queues may be handed over from within the call.
        if self.open:
            half = self.halves[self]
            half.written += frames
            # Anything else than events may be of interest.
            if frames[0].data[:2] != "42":
                half.look_at(frames[0].data)
        return Session.write(self, frames)

    def receive_messages(self, messages: Sequence[str | bytes]) -> None:
        """Takes messages of a WebSocket; see ``Session.receive_messages``."""
        count = self.halves[self].got_plain(messages) if self.open else 0
        if count:
            Session.receive_messages(self, messages[:count])
        for message in messages[count:]:
            if isinstance(message, str) and message.startswith("4") and self.open:
                self.halves[self].got(message)
            Session.receive_messages(self, (message,))

    def receive_packet(self, packet: str | bytes) -> None:
        """Takes a packet; see ``Session.receive_packet``."""
        if self.open and (not isinstance(packet, str) or packet.startswith("4")):
            self.halves[self].got(packet)
        Session.receive_packet(self, packet)

    def end(self, reason: CloseReason, description: str | None) -> None:
        """Ends the session; see ``Session.end``."""
        Session.end(self, reason, description)
        self.halves[self].ended(self.unsent)


class WatchedEngine(EngineClient):
    """A client's engine that is watched. Each world has a subclass of its own, with its own ``halves``."""

    __slots__ = ()
    halves: ClassVar[dict[EngineClient, Half]]
    witness: ClassVar[Witness]

    def write(self, frames: Sequence[Frame]) -> bool:
        """Queues encoded packets; see ``EngineClient.write``."""
        if self.open and not self.expired:
            half = self.half
            half.written += frames
            if frames[0].data[:2] != "42":
                half.look_at(frames[0].data)
        return EngineClient.write(self, frames)

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes messages of a WebSocket; see ``EngineClient.receive_messages``."""
        count = self.halves[self].got_plain(messages) if link is self.link and self.open else 0
        if count:
            EngineClient.receive_messages(self, link, messages[:count])
        for message in messages[count:]:
            if isinstance(message, str) and message.startswith("4") and link is self.link and self.open:
                self.half.got(message)
            EngineClient.receive_messages(self, link, (message,))

    def receive_packet(self, packet: str | bytes) -> None:
        """Takes a packet; see ``EngineClient.receive_packet``."""
        if self.open and (not isinstance(packet, str) or packet.startswith("4")):
            self.half.got(packet)
        EngineClient.receive_packet(self, packet)

    def tell(self, event: EngineClientEvent) -> None:
        """Leaves an event for the floor above; see ``EngineClient.tell``."""
        if isinstance(event, EngineClosed):
            # A POST that the server took and whose answer did not come counts as unsent, for want of knowing better.
            self.half.ended(event.unsent - self.polling.posted)
        EngineClient.tell(self, event)

    @property
    def half(self) -> Half:
        """Its half, which knows the other one as soon as the session's id is known."""
        half = self.halves[self]
        if half.peer is None and self.id:
            self.witness.introduce(half, self.id)
        return half


class Witness:
    """The halves of all sessions of a world."""

    def __init__(self, broken: Callable[[str], object]) -> None:
        self._broken = broken

        class OurSession(WatchedSession):
            __slots__ = ()
            halves: ClassVar[dict[Session, Half]] = {}

        class OurEngine(WatchedEngine):
            __slots__ = ()
            halves: ClassVar[dict[EngineClient, Half]] = {}
            witness: ClassVar[Witness] = self

        self._session_class = OurSession
        self._engine_class = OurEngine
        self._latest: dict[str, Half] = {}
        """The latest half of each client."""
        self._alone: dict[str, Half] = {}
        """The halves of sessions that no client has claimed, by id."""

    def see_session(self, session: Session, name: str) -> None:
        """Watches a session of a server, from before its first packet to its end."""
        if type(session) is not Session:
            return
        halves = self._session_class.halves
        halves[session] = self._alone[session.id] = Half(f"session {session.id} of {name}", self._broken)
        session.__class__ = self._session_class

    def see_engine(self, engine: EngineClient, name: str) -> None:
        """Watches the engine of a client, from before its first packet to its end."""
        if type(engine) is not EngineClient:
            return
        half = self._latest[name] = Half(name, self._broken, self._latest.get(name))
        self._engine_class.halves[engine] = half
        engine.__class__ = self._engine_class

    def introduce(self, half: Half, sid: str) -> None:
        """Lets a client's half know that of its session."""
        peer = self._alone.pop(sid, None)
        if peer is not None:
            half.peer, peer.peer = peer, half

    def excuse(self, sid: str) -> None:
        """Looks away from a session and its client."""
        for engine in self._engine_class.halves:
            if engine.id == sid and isinstance(engine, WatchedEngine):
                engine.half.excuse()

    def forget_ended(self) -> None:
        """Lets go of those that are over."""
        sessions, engines = self._session_class.halves, self._engine_class.halves
        for session in [each for each in sessions if each.ready_state == "closed"]:
            session.__class__ = Session
            del sessions[session]
        for engine in [each for each in engines if each.ready_state == "closed"]:
            engine.__class__ = EngineClient
            del engines[engine]
        while len(self._alone) > REMEMBERED + len(sessions):
            self._alone.pop(next(iter(self._alone)))

    @property
    def size(self) -> int:
        """How many halves are kept."""
        return len(self._session_class.halves) + len(self._engine_class.halves)


def _ignore(_: str) -> None:
    """Nobody is told."""
