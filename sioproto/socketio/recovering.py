"""What a client remembers so that a server can give it back what it missed (connection state recovery).

The server sends a private id with CONNECT and, from then on, an offset as the last argument of each event that it
keeps. A client that comes back names both.

An event that asks for an answer has no offset. So a server that keeps those, too, may send one again that arrived
before; it is known by its id, and answered again rather than told again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.socketio.packet import Packet

OFFSET = re.compile(r"[0-9A-Za-z_.\-]{1,64}")
"""What an offset looks like, on whichever server. An event's own last text that looks otherwise is none."""

MAX_PID = 256
"""Characters of a private id, which is sent with every further CONNECT; servers make 20."""


MAX_ASKED = 1000
"""Events that asked for an answer, and came behind the latest offset, which are remembered."""


class Recovering:
    """The private id and the latest offset of one socket, and what asked for an answer since."""

    __slots__ = ("_asked", "_offset", "pid", "recovered")

    def __init__(self) -> None:
        self.pid: str | None = None
        """The private id. Without one there is nothing to remember of what comes."""
        self._offset: str | None = None
        self._asked: dict[int, tuple[Any, Sequence[Any] | None]] = {}
        self.recovered = False

    def claim(self, auth: dict[str, Any] | None) -> dict[str, Any] | None:
        """Returns what to send with CONNECT. What the application says stands, as in the JavaScript client."""
        if self.pid is None:
            return auth
        offset = {} if self._offset is None else {"offset": self._offset}
        return {"pid": self.pid, **offset, **(auth or {})}

    def connected(self, pid: object) -> None:
        """Takes the private id that came with the answer; the same one as before means that nothing was missed."""
        if not isinstance(pid, str) or len(pid) > MAX_PID:
            pid = None
        self.recovered = pid is not None and pid == self.pid
        if not self.recovered:
            self._offset = None
            self._asked = {}
        self.pid = pid

    def note(self, packet: Packet) -> None:
        """Takes an event. One that the server wants answered has no offset."""
        args = packet.data
        if packet.id is not None:
            self._asked[packet.id] = (args[0], None)
            if len(self._asked) > MAX_ASKED:
                del self._asked[next(iter(self._asked))]
        elif len(args) > 1:
            last = args[-1]
            if isinstance(last, str) and OFFSET.fullmatch(last) is not None:
                self._offset = last
                # The server knows by it that what came before arrived.
                self._asked = {}

    def note_answer(self, ack_id: int, args: Sequence[Any]) -> None:
        """Takes the answer to one of them."""
        asked = self._asked.get(ack_id)
        if asked is not None:
            self._asked[ack_id] = (asked[0], args)

    def is_known(self, packet: Packet) -> bool:
        """Whether an event that the server wants answered is one that it sends again: no id is used twice."""
        return packet.id in self._asked and self._asked[packet.id][0] == packet.data[0]

    def answer_of(self, ack_id: int) -> Sequence[Any] | None:
        """Returns what was answered to it; None if nothing yet."""
        return self._asked[ack_id][1]
