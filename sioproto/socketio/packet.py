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

    What ``data`` holds depends on ``type``:

    - ``CONNECT``: a dict. A client's is its authentication, empty where it sent none; a server's has ``sid``.
    - ``DISCONNECT``: None.
    - ``EVENT``: a list of its name, a ``str`` or ``int``, and the arguments. ``id`` is there where the peer asks for an
      acknowledgement.
    - ``ACK``: a list of the arguments. ``id`` is always there.
    - ``CONNECT_ERROR``: a dict or a ``str``.
    """

    type: PacketType
    namespace: str = "/"
    data: Any = None
    id: int | None = None


RESERVED_EVENTS = frozenset(
    ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")
)
"""Event names that neither side may send (Socket.IO protocol; the last two are those of Node's event emitter)."""
