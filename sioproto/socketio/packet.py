"""The Socket.IO packet, and the names that only the protocol may use for events.

A ``Packet`` is what a ``Decoder`` hands over: whole, with its binary back in place. It knows nothing of JSON,
attachments or Engine.IO. Whoever decodes has checked its shape: nobody above looks at it twice.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class PacketType(enum.IntEnum):
    """The packet types, by their digit on the wire (Socket.IO protocol, packet encoding)."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4
    BINARY_EVENT = 5
    """On the wire only: a decoder hands over an ``EVENT``."""
    BINARY_ACK = 6
    """On the wire only: a decoder hands over an ``ACK``."""


@dataclass(slots=True)
class Packet:
    """One Socket.IO packet.

    What ``data`` holds depends on ``type``: the authentication of a ``CONNECT`` (a dict, empty where the client sent
    none; from a server the dict with ``sid``), None for a ``DISCONNECT``, a list for an ``EVENT`` (its name, a
    ``str`` or ``int``, then the arguments) and for an ``ACK`` (the arguments), a ``str`` or dict for a
    ``CONNECT_ERROR``. ``id`` is the acknowledgement's: always there in an ``ACK``, in an ``EVENT`` where the peer
    asks for one, None elsewhere.
    """

    type: PacketType
    namespace: str = "/"
    data: Any = None
    id: int | None = None


RESERVED_EVENTS = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)
"""Event names that neither side may send (Socket.IO protocol; the last two are those of Node's event emitter)."""
