"""What happened in a world, as lines that a person can read, and that are the same for the same seed.

    "   0.000  alice > 40"
    "   0.000  alice < 40{"sid":"Zl8W..."}"
    "  12.000  alice: the connection is cut"

It is the clients' log: ``>`` is what a client sent, at that moment; ``<`` is what reached it. Only so many entries are
kept, and long messages only in part, so that a world may run for as long as it likes. Nothing is made a line before
somebody reads it.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sioproto.testing.clock import Clock

Entry = tuple[float, str, str, "Sequence[str | bytes]"]

KEPT = 400
"""Of a message that is longer than that, in characters or bytes, only the beginning is kept."""
SHOWN = 100
"""What is shown of a message."""

IDLE = frozenset({"2", "3", "6"})
"""Ping, pong and noop of Engine.IO, which say nothing but that somebody is there."""

UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")


class Transcript:
    """The last entries of a world, oldest first; ``str()`` is all of them, ``tail()`` the end."""

    __slots__ = ("_clock", "_entries", "count")

    def __init__(self, clock: Clock, limit: int) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=limit)
        self.count = 0
        """How many entries there ever were."""

    def note(self, name: str, text: str) -> None:
        """Writes down a fact about a party."""
        self.count += 1
        self._entries.append((self._clock.now, name, ":", (text,)))

    def add(self, name: str, sign: str, messages: Sequence[str | bytes]) -> None:
        """Writes down what a client sent (``" >"``) or got (``" <"``)."""
        self.count += 1
        if len(messages) > 1 or len(messages[0]) > KEPT:  # most of the time it is one short message
            messages = [shorten(each) for each in messages]
        self._entries.append((self._clock.now, name, sign, messages))

    def lines(self) -> Iterator[str]:
        """Yields the lines; an entry that says several things has several."""
        for now, name, sign, messages in self._entries:
            head = f"{now:8.3f}  {name}{sign} "
            for message in messages:
                yield head + show(message)

    def tail(self, count: int = 20) -> str:
        """Returns the last lines. Pings, pongs and noops are left out; how many there were is said in front."""
        lines: deque[str] = deque()
        idle = left_out = 0
        for now, name, sign, messages in reversed(self._entries):
            for message in reversed(messages):
                if sign != ":" and message in IDLE:
                    idle += 1
                    continue
                if len(lines) >= count:
                    break
                left_out = idle
                lines.appendleft(f"{now:8.3f}  {name}{sign} {show(message)}")
            if len(lines) >= count:
                break
        else:
            left_out = idle
        if left_out:
            lines.appendleft(f"({left_out} pings, pongs and noops are left out)")
        return "\n".join(lines)

    def __str__(self) -> str:
        gone = self.count - len(self._entries)
        head = [f"({gone} earlier entries are gone)"] if gone else []
        return "\n".join([*head, *self.lines()])

    def __len__(self) -> int:
        return len(self._entries)


class Shown(str):
    """A long message as it stands in a line; the rest of it is not kept."""

    __slots__ = ()


def shorten(message: str | bytes) -> str | bytes:
    """Returns what is kept of a message."""
    return message if len(message) <= KEPT else Shown(show(message))


def show(message: str | bytes) -> str:
    """Returns a message as it stands in a line."""
    if isinstance(message, Shown):
        return message
    shown = message[:SHOWN]
    text = UNPRINTABLE.sub(escape, shown) if isinstance(shown, str) else repr(bytes(shown))
    if len(message) <= SHOWN:
        return text
    return f"{text}... ({len(message)} {'characters' if isinstance(message, str) else 'bytes'})"


def escape(match: re.Match[str]) -> str:
    """Returns an unprintable character in a form that can be read."""
    return f"\\x{ord(match[0]):02x}"
