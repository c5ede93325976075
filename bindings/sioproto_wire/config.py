"""Every option of the wire, with its default and its unit.

Durations are seconds, sizes are bytes. Whatever a peer could push against below the core is here under a name; the size
of a body or of a WebSocket message is the core's own ``max_payload``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from sioproto.config import check_positive
from sioproto.errors import OptionError


@dataclass(frozen=True, kw_only=True, slots=True)
class PerMessageDeflate:
    """Compression of WebSocket messages, both ways, where the other side has it as well (RFC 7692).

    Packets that are sent with ``compress`` false are not compressed. Nothing else runs while a message is compressed,
    which takes some tens of milliseconds for a megabyte. Where one message mixes secrets with text of strangers, its
    compressed length tells those about the secrets.
    """

    threshold: int = 1024
    """Shorter messages are sent as they are."""
    level: int = 3
    """zlib's level, 0 to 9: higher ones are slower, and make the messages little smaller."""
    window_bits: int = 15
    """How far back repetitions are found, as a power of two, 9 to 15. A message never takes more than fits its size."""
    memory_level: int = 8
    """zlib's memory level, 1 to 9. A message never takes more than fits its size."""

    def __post_init__(self) -> None:
        for name, lowest, highest in (
            ("threshold", 0, None),
            ("level", 0, 9),
            ("window_bits", 9, 15),
            ("memory_level", 1, 9),
        ):
            value = getattr(self, name)
            if type(value) is not int or value < lowest or (highest is not None and value > highest):
                reach = f"of at least {lowest}" if highest is None else f"from {lowest} to {highest}"
                raise OptionError(f"{name} must be an integer {reach}, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class WireConfig:
    """The options of HTTP and WebSocket connections."""

    max_head: int = 16 * 1024
    """A request's head, in bytes; a larger one gets 431."""
    max_fields: int = 100
    """Header fields of one request; more get 431."""
    first_timeout: float = 10.0
    """How long a new connection may stay silent."""
    keep_alive_timeout: float = 5.0
    """How long a connection may stay silent between two requests."""
    head_timeout: float = 10.0
    """How long a head may take from its first byte on; a slower one gets 408."""
    body_timeout: float = 30.0
    """How long a body may take; a slower one gets 408."""
    body_grace: float = 5.0
    """How long a body may come as slowly as it likes."""
    min_body_rate: int = 1024
    """Bytes a second that a body must bring after the grace, on average; a slower one gets 408."""
    chunk_allowance: int = 64 * 1024
    """Bytes of a chunked body, framing included, before its chunks are judged; and the framing that is free."""
    min_chunk: int = 16
    """Bytes that a chunk must have on average once the allowance is used up; smaller ones get 413."""
    max_pipelined: int = 16 * 1024
    """Bytes kept behind a request that is not answered yet. Above, reading stops; what one read brought is kept."""
    max_unsent: int = 64 * 1024
    """Bytes of responses in one turn, above which the next pipelined request waits for a turn of its own."""
    max_fragments: int = 1024
    """Fragments of one WebSocket message."""
    per_message_deflate: PerMessageDeflate | None = None
    """A ``PerMessageDeflate`` to compress WebSocket messages; None for no compression."""
    close_timeout: float = 5.0
    """How long the peer's part of a WebSocket's close is awaited, and how long input is discarded after an error."""
    max_linger: int = 4 * 1024 * 1024
    """Bytes that are discarded after an error, so that the peer sees the answer rather than a reset."""
    send_timeout: float = 60.0
    """How long a response, or the last bytes of a closing connection, may wait for a peer that takes no more."""

    def __post_init__(self) -> None:
        check_wire(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientWireConfig:
    """The options of HTTP and WebSocket connections that a client dials."""

    dial_timeout: float = 10.0
    """How long a connection may take to be there, with all that belongs to it, as TLS."""
    keep_alive_timeout: float = 4.0
    """How long a connection without a request is kept for the next one. Common servers close theirs after 5 seconds,
    and a request that crosses that is lost; one that says when it will close is believed."""
    max_head: int = 16 * 1024
    """An answer's head, in bytes, interim ones before it included; with a larger one the request fails."""
    max_fields: int = 100
    """Header fields of one answer; with more the request fails."""
    head_timeout: float = 10.0
    """How long the head of an answer may take from its first byte on."""
    body_timeout: float = 60.0
    """How long the body of an answer may take."""
    chunk_allowance: int = 64 * 1024
    """Bytes of a chunked body, framing included, before its chunks are judged; and the framing that is free."""
    min_chunk: int = 16
    """Bytes that a chunk must have on average once the allowance is used up; with smaller ones the request fails."""
    max_fragments: int = 1024
    """Fragments of one WebSocket message."""
    per_message_deflate: PerMessageDeflate | None = None
    """A ``PerMessageDeflate`` to offer compression of WebSocket messages; None to offer none."""
    close_timeout: float = 5.0
    """How long the server's part of a WebSocket's close is awaited, and how long input is discarded after an error."""
    max_linger: int = 4 * 1024 * 1024
    """Bytes that are discarded after an error, so that the server sees our close frame rather than a reset."""
    send_timeout: float = 60.0
    """How long a request, or the last bytes of a closing connection, may wait for a server that takes no more."""

    def __post_init__(self) -> None:
        check_wire(self)


def check_wire(config: WireConfig | ClientWireConfig) -> None:
    """Raises ``OptionError`` for a value that cannot be."""
    check_positive(config, *(field.name for field in fields(config) if field.name != "per_message_deflate"))
    value = config.per_message_deflate
    if value is not None and not isinstance(value, PerMessageDeflate):
        raise OptionError(f"per_message_deflate must be PerMessageDeflate(...) or None, not {value!r}")
