"""The Engine.IO packet types, the one packet whose content is Engine.IO's own, OPEN, and the one for others', MESSAGE.

A packet is a type digit followed by its data (Engine.IO protocol, "Packet encoding"). What comes in is never an object
here: a ``str`` that begins with the digit, or ``bytes`` for a binary message, is all that the session needs, and it is
what the transports carry.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from sioproto.errors import LocalProtocolError
from sioproto.frame import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def count_messages(frames: Iterable[Frame]) -> int:
    """Returns how many of some packets are messages."""
    count = 0
    for frame in frames:
        data = frame.data
        # Where a client takes no binary frames, a binary message is "b" and base64.
        count += isinstance(data, bytes) or data[:1] in ("4", "b")
    return count


def message_frame(data: object, compress: bool) -> Frame:
    """Returns the frame of a message. Raises ``LocalProtocolError`` for what cannot be one."""
    if isinstance(data, bytearray | memoryview):
        data = bytes(data)
    elif isinstance(data, str):
        data = PacketType.MESSAGE + data
    elif not isinstance(data, bytes):
        raise LocalProtocolError(f"a message is a str or bytes, not {type(data).__name__}")
    try:
        return Frame(data, compress)
    except UnicodeEncodeError as error:
        raise LocalProtocolError("a message cannot contain a lone surrogate: UTF-8 has none") from error
