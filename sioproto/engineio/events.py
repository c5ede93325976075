"""What the Engine.IO floor tells: facts and questions, pulled with ``EngineServer.events()``.

They come in the order in which things happened. Outgoing data does not travel here; see ``take_dirty()``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from sioproto.engineio.request import Exchange, Request
    from sioproto.engineio.session import Session

CloseReason = Literal["transport close", "transport error", "parse error", "ping timeout", "forced close"]
"""Why a session ended, in the words that the Node.js server uses."""


@dataclass(slots=True)
class SessionOpened:
    """A handshake succeeded. Comes before every other event of its session."""

    session: Session


@dataclass(slots=True)
class MessageReceived:
    """The peer sent a message, ``str`` or ``bytes``, over whichever transport."""

    session: Session
    data: str | bytes = field(repr=False)  # among it private ids and auth, and reprs end up in logs


@dataclass(slots=True)
class SessionClosed:
    """A session ended; exactly once for each ``SessionOpened``, and nothing follows it.

    ``unsent`` is how many messages had been queued for it and were not sent, the same as ``session.unsent``.
    """

    session: Session
    reason: CloseReason
    description: str | None
    unsent: int


@dataclass(slots=True)
class RequestAsked:
    """A question: may this request open a session? Answer with ``EngineServer.answer_request(exchange, ...)``."""

    exchange: Exchange
    request: Request


@dataclass(slots=True)
class RequestRefused:
    """A handshake or another request was refused (the ``connection_error`` of the Node.js server)."""

    request: Request
    code: int
    message: str
    context: dict[str, Any]


@dataclass(slots=True)
class ForeignRequest:
    """A whole request that is not Engine.IO's. Answer with ``EngineServer.answer_foreign(exchange, response)``."""

    exchange: Exchange
    body: bytes


@dataclass(slots=True)
class ObserverFailed:
    """A synchronous observer raised; ``where`` names the event it observed."""

    error: Exception
    where: str


EngineEvent = (
    SessionOpened | MessageReceived | SessionClosed | RequestAsked | RequestRefused | ForeignRequest | ObserverFailed
)
