"""Masks of WebSocket frames (RFC 6455, 5.3): a client masks what it sends, with keys that nobody can foresee.

The rule not to be broken: a frame that is shared is never masked in place; each peer gets a copy with a key of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TRANSLATE_FROM: Final = 1024
"""Body size in bytes from which four translations beat one big-integer XOR, whose cost per byte is higher."""

_XOR: Final = [bytes(a ^ b for a in range(256)) for b in range(256)]
"""For each byte of a masking key, the translation table that applies it."""

_MARKED: Final = [bytes((0x80 | size,)) for size in range(128)]
"""The second byte of a masked frame, by the seven bits of its length field."""

_DRAWN: Final = 256
"""Bytes of chance that are drawn at once: asking the system for four takes longer than to mask a small frame."""

_from_bytes = int.from_bytes


def key_source(entropy: Callable[[int], bytes]) -> Callable[[], bytes]:
    """Returns a callable that gives a new masking key each time."""
    return _keys(entropy).__next__


def _keys(entropy: Callable[[int], bytes]) -> Iterator[bytes]:
    while True:
        drawn = entropy(_DRAWN)
        for at in range(0, _DRAWN, 4):
            yield drawn[at : at + 4]


def masked(frame: bytes, key: bytes) -> bytes:
    """Returns an unmasked frame as a masked one."""
    size = len(frame) - 2
    if size < 126:
        number = _from_bytes(frame[2:]) ^ _from_bytes((key * ((size + 3) >> 2))[:size])
        return frame[:1] + _MARKED[size] + key + number.to_bytes(size)
    header = 4 if frame[1] == 126 else 10
    data = b"".join((frame[:1], _MARKED[frame[1]], frame[2:header], key, frame[header:]))
    return data[: header + 4] + unmask(data, header + 4, len(data))


def unmask(data: bytes | bytearray, start: int, stop: int) -> bytes | bytearray:
    """Returns the body from ``start`` to ``stop`` under the key in the four bytes before it, which also masks."""
    size = stop - start
    if size < _TRANSLATE_FROM:
        key = data[start - 4 : start] * ((size + 3) >> 2)
        return (_from_bytes(data[start:stop]) ^ _from_bytes(key[:size])).to_bytes(size)
    body = bytearray(size)
    body[0::4] = data[start:stop:4].translate(_XOR[data[start - 4]])
    body[1::4] = data[start + 1 : stop : 4].translate(_XOR[data[start - 3]])
    body[2::4] = data[start + 2 : stop : 4].translate(_XOR[data[start - 2]])
    body[3::4] = data[start + 3 : stop : 4].translate(_XOR[data[start - 1]])
    return body


def cut(data: bytes | bytearray, start: int, stop: int) -> bytes | bytearray:
    """Returns the body from ``start`` to ``stop`` of a frame that is not masked: what ``unmask`` is to one that is."""
    return data[start:stop]
