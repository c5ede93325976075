"""Engine.IO, protocol revision 4: sessions over long-polling and WebSocket, and the upgrade between them."""

from sioproto.engineio.client import EngineClient
from sioproto.engineio.client_events import EngineClientEvent, EngineClosed, EngineOpened, MessageArrived
from sioproto.engineio.client_states import CLIENT_TABLE, ClientInput, ClientState
from sioproto.engineio.cookies import CookieJar
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
from sioproto.engineio.fetch import Fetch
from sioproto.engineio.link import Link
from sioproto.engineio.origin import Origin, parse_url
from sioproto.engineio.request import Exchange, Headers, Request, Response
from sioproto.engineio.server import EngineServer
from sioproto.engineio.session import Session
from sioproto.engineio.states import TABLE, Input, State

__all__ = [
    "CLIENT_TABLE",
    "TABLE",
    "ClientInput",
    "ClientState",
    "CloseReason",
    "CookieJar",
    "EngineClient",
    "EngineClientEvent",
    "EngineClosed",
    "EngineEvent",
    "EngineOpened",
    "EngineServer",
    "Exchange",
    "Fetch",
    "ForeignRequest",
    "Headers",
    "Input",
    "Link",
    "MessageArrived",
    "MessageReceived",
    "ObserverFailed",
    "Origin",
    "Request",
    "RequestAsked",
    "RequestRefused",
    "Response",
    "Session",
    "SessionClosed",
    "SessionOpened",
    "State",
    "parse_url",
]
