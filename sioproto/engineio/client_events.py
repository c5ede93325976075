"""What a client's Engine.IO floor tells, pulled with ``EngineClient.events()``, in the order in which things happened.

Outgoing data does not travel here; see ``take_dirty()``. The failure of an observer is ``ObserverFailed``, as on a
server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sioproto.engineio.events import ObserverFailed

if TYPE_CHECKING:
    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.events import CloseReason


@dataclass(slots=True)
class EngineOpened:
    """The handshake succeeded: from here on messages may be sent."""

    engine: EngineClient


@dataclass(slots=True)
class MessageArrived:
    """The server sent a message, ``str`` or ``bytes``, over whichever transport."""

    engine: EngineClient
    data: str | bytes = field(repr=False)  # among it private ids and auth, and reprs end up in logs


@dataclass(slots=True)
class EngineClosed:
    """The connection ended, or could not be opened: exactly once, and nothing follows it.

    Unless it was ever ``opened`` the reason is ``"transport error"``, or ``"forced close"`` where we gave up ourselves.
    ``unsent`` is how many messages had been queued for it and were not sent, the same as ``engine.unsent``.
    """

    engine: EngineClient
    reason: CloseReason
    description: str | None
    opened: bool
    unsent: int


EngineClientEvent = EngineOpened | MessageArrived | EngineClosed | ObserverFailed
