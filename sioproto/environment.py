"""Time and chance, as constructor arguments.

The core reads no clock and draws no random number: whoever drives it hands both in, once, as an ``Environment``. That
is why a test can run a ping time-out in no time and why one seed gives one transcript.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The five things that a pure core cannot know by itself."""

    clock: Callable[[], float]
    """Monotonic seconds. Every deadline is on this clock."""

    wall: Callable[[], float]
    """Seconds since the Unix epoch, for ``handshake.issued`` and ``handshake.time``; in a client for the age of cookies
    and for what tells its requests apart."""

    ids: Callable[[], str]
    """A new unguessable id of 20 characters of the URL-safe base64 alphabet (120 random bits)."""

    entropy: Callable[[int], bytes]
    """That many random bytes (a client's WebSocket masks and keys)."""

    jitter: Callable[[], float]
    """A random number, at least 0 and below 1 (a client's reconnection delay)."""
