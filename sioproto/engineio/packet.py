"""The Engine.IO packet types, and the one packet whose content is Engine.IO's own: OPEN.

A packet is a type digit followed by its data (Engine.IO protocol, "Packet encoding"). It is never an object here: a
``str`` that begins with the digit, or ``bytes`` for a binary message, is all that the session needs, and it is what the
transports carry.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.config import EngineConfig


class PacketType:
    """The type digits, plain strings because they are compared for every packet that comes in."""

    OPEN: Final = "0"
    CLOSE: Final = "1"
    PING: Final = "2"
    PONG: Final = "3"
    MESSAGE: Final = "4"
    UPGRADE: Final = "5"
    NOOP: Final = "6"


def open_packet(sid: str, upgrades: Sequence[str], config: EngineConfig) -> str:
    """Returns the packet that every session begins with (Engine.IO protocol, "Handshake").

    The keys stand in the order in which the reference server writes them; times are whole milliseconds.
    """
    handshake = {
        "sid": sid,
        "upgrades": list(upgrades),
        "pingInterval": round(config.ping_interval * 1000),
        "pingTimeout": round(config.ping_timeout * 1000),
        "maxPayload": int(config.max_payload),
    }
    return PacketType.OPEN + json.dumps(handshake, separators=(",", ":"))
