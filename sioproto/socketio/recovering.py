"""What a client remembers so that a server can give it back what it missed (connection state recovery).

The server sends a private id with CONNECT and, from then on, an offset as the last argument of each event that it
keeps. A client that comes back names both.
"""

from __future__ import annotations

import re
from typing import Any

OFFSET = re.compile(r"[0-9A-Za-z_.\-]{1,64}")
"""What an offset looks like, on whichever server. An event's own last text that looks otherwise is none."""

MAX_PID = 256
"""Characters of a private id, which is sent with every further CONNECT; servers make 20."""


class Recovering:
    """The private id and the latest offset of one socket."""

    __slots__ = ("_offset", "_pid", "recovered")

    def __init__(self) -> None:
        self._pid: str | None = None
        self._offset: str | None = None
        self.recovered = False

    def claim(self, auth: dict[str, Any] | None) -> dict[str, Any] | None:
        """Returns what to send with CONNECT. What the application says stands, as in the JavaScript client."""
        if self._pid is None:
            return auth
        offset = {} if self._offset is None else {"offset": self._offset}
        return {"pid": self._pid, **offset, **(auth or {})}

    def connected(self, pid: object) -> None:
        """Takes the private id that came with the answer; the same one as before means that nothing was missed."""
        if not isinstance(pid, str) or len(pid) > MAX_PID:
            pid = None
        self.recovered = pid is not None and pid == self._pid
        if not self.recovered:
            self._offset = None
        self._pid = pid

    def note(self, args: list[Any]) -> None:
        """Takes the arguments of an event that the server does not want acknowledged; those it does have no offset."""
        if self._pid is not None and len(args) > 1:
            last = args[-1]
            if isinstance(last, str) and OFFSET.fullmatch(last) is not None:
                self._offset = last
