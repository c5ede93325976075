"""Decoding what many clients get, once.

A thousand clients of a world that get the same broadcast would decode the same text a thousand times, which is most of
what a broadcast costs there. Where it holds nothing that a handler could change, each client gets its own list of what
the first one decoded.
"""

from __future__ import annotations

from typing import Any

from sioproto.socketio.packet import Packet, PacketType
from sioproto.socketio.parser import Decoder, Parser

EVENT = PacketType.EVENT
FLAT = frozenset({str, int, float, bool, type(None)})

MOST = 64
"""Events that are remembered: what is sent to many in one go."""
LONGEST = 4096
"""Characters of an event that is."""


class Memo:
    """The latest events that were decoded with certain limits, by whichever client."""

    __slots__ = ("events",)

    def __init__(self) -> None:
        self.events: dict[str, tuple[str, list[Any]]] = {}
        """By the message: the namespace, and the name and arguments."""

    def note(self, message: str, packet: Packet) -> None:
        """Remembers an event, if what it holds cannot be changed."""
        if len(message) <= LONGEST and FLAT.issuperset(map(type, packet.data)):
            if len(self.events) == MOST:
                del self.events[next(iter(self.events))]
            self.events[message] = (packet.namespace, packet.data[:])


class SharingParser(Parser):
    """The codec of one client that decodes nothing which ``memo`` knows already."""

    __slots__ = ("memo",)

    def __init__(self, original: Parser, memo: Memo) -> None:
        for name in Parser.__slots__:
            setattr(self, name, getattr(original, name))
        self.memo = memo

    def decoder(self) -> Decoder:
        """Returns a decoder for one session."""
        return SharingDecoder(self, self.memo)


class SharingDecoder(Decoder):
    """A decoder that looks at the memo first."""

    __slots__ = ("_memo",)

    def __init__(self, parser: Parser, memo: Memo) -> None:
        super().__init__(parser)
        self._memo = memo

    def feed(self, message: str | bytes) -> Packet | None:
        """Takes one message; see ``Decoder.feed``."""
        memo = self._memo
        known = memo.events.get(message) if isinstance(message, str) else None
        if known is not None and self._partial is None:
            return Packet(EVENT, known[0], known[1][:])
        packet = Decoder.feed(self, message)
        if packet is not None and packet.type is EVENT and packet.id is None and isinstance(message, str):
            memo.note(message, packet)
        return packet


def limits(parser: Parser) -> tuple[int, ...]:
    """Returns what decides what a parser takes, JSON aside."""
    return tuple(getattr(parser, name) for name in Parser.__slots__ if name != "json")
