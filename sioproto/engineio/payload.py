"""Polling payloads: several packets in one HTTP body, separated by the record separator 0x1E.

The rules (Engine.IO protocol, "HTTP long-polling" and "Packet encoding"): a packet is a type digit and its data; a
binary message is ``b`` and its base64. Decoding is lazy and linear, because a legal body may hold half a million
packets and the session wants to stop in between. It is strict, because leniency would be a second spelling of the same
message: base64 must be canonical, and the body must be UTF-8. (The reference server takes both loosely.)

Error texts are fixed and never repeat what the peer sent.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import a2b_base64
from typing import TYPE_CHECKING

from sioproto.engineio.packet import PacketType
from sioproto.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sioproto.frame import Frame

SEPARATOR = "\x1e"


def encode_payload(frames: Iterable[Frame]) -> bytes:
    """Returns the body of a polling response that carries ``frames`` in order."""
    return SEPARATOR.join([frame.payload for frame in frames]).encode()


def decode_payload(body: bytes, max_control_packets: int | None = None) -> Iterator[str | bytes]:
    """Returns an iterator over the packets of a body: ``str`` with the type digit, or ``bytes`` for a binary message.

    Raises ``RemoteProtocolError`` at once if the body is not UTF-8, and from the iterator where it meets the first
    invalid packet, after those that stand before it. An empty body is one empty packet, which is invalid. So is the
    packet that is one too many: messages are bounded by the size of the body alone, others by their number, because
    each of them may cost an answer. The iterator may be left between any two packets and taken up again; all of it
    takes linear time.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise RemoteProtocolError("payload is not valid UTF-8") from None
    # The size is a limit on any number of packets; it saves a test for None for each of them.
    return packets(text, len(text) if max_control_packets is None else max_control_packets)


def packets(text: str, max_control_packets: int) -> Iterator[str | bytes]:
    """Yields the packets of a decoded payload."""
    start, end, budget = 0, 0, max_control_packets
    while end >= 0:
        # A search from where the last one ended: ``split`` would build every packet before the first is looked at.
        end = text.find(SEPARATOR, start)
        packet = text[start:end] if end >= 0 else text[start:]
        start = end + 1
        if packet[:1] == PacketType.MESSAGE:
            yield packet
            continue
        decoded = decode_packet(packet)
        if isinstance(decoded, str):
            budget -= 1
            if budget < 0:
                raise RemoteProtocolError("too many packets other than messages in one payload")
        yield decoded


def decode_packet(text: str) -> str | bytes:
    """Returns one packet of a payload or a WebSocket text message, checked: itself, or a binary message's bytes.

    Base64 packets are legal over WebSocket, too: clients without binary frames use them. Raises
    ``RemoteProtocolError`` for an empty packet, an unknown type and invalid base64.
    """
    first = text[:1]
    # A range of characters: ``isdigit`` would let other alphabets' digits through.
    if "0" <= first <= "6":
        return text
    if first == "b":
        return decode_base64(text[1:])
    raise RemoteProtocolError("unknown packet type" if first else "empty packet")


def decode_base64(text: str) -> bytes:
    """Decodes canonical base64 (RFC 4648, section 4): standard alphabet, padded, unused bits zero, nothing skipped."""
    try:
        data = a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii.Error is one; so is what text outside ASCII raises
        raise RemoteProtocolError("invalid base64") from None
    # What the decoder is lax about shows at the end: bits that the padding leaves unused, and one "=" too many.
    tail = data[len(data) // 3 * 3 :]
    if len(text) % 4 or (tail and not text.endswith(b64encode(tail).decode("ascii"))):
        raise RemoteProtocolError("invalid base64")
    return data
