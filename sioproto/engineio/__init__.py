"""Engine.IO, protocol revision 4: sessions over long-polling and WebSocket, and the upgrade between them."""

from sioproto.engineio.events import (
    CloseReason,
    EngineEvent,
    ForeignRequest,
    MessageReceived,
    ObserverFailed,
    RequestAsked,
    RequestRefused,
    SessionClosed,
    SessionOpened,
)
from sioproto.engineio.link import Link
from sioproto.engineio.request import Exchange, Headers, Request, Response
from sioproto.engineio.server import EngineServer
from sioproto.engineio.session import Session
from sioproto.engineio.states import TABLE, Input, State

__all__ = [
    "TABLE",
    "CloseReason",
    "EngineEvent",
    "EngineServer",
    "Exchange",
    "ForeignRequest",
    "Headers",
    "Input",
    "Link",
    "MessageReceived",
    "ObserverFailed",
    "Request",
    "RequestAsked",
    "RequestRefused",
    "Response",
    "Session",
    "SessionClosed",
    "SessionOpened",
    "State",
]
