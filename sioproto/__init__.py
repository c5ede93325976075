"""Socket.IO as a pure state machine: no I/O, no clock, no threads, no randomness.

Handlers are written against ``Socket``, ``Namespace`` and the ``Server`` of a binding, such as ``sioproto_asyncio``.
Who embeds the core in an event loop of their own drives ``sioproto.socketio.SocketServer`` or
``sioproto.app.Server``.
"""

from sioproto.config import (
    ClientConfig,
    CorsPolicy,
    EngineClientConfig,
    EngineConfig,
    HttpCompression,
    Recovery,
    SessionCookie,
    SocketConfig,
)
from sioproto.engineio.request import Request, Response
from sioproto.engineio.session import Session
from sioproto.environment import Environment
from sioproto.errors import (
    AckTimeout,
    ConnectError,
    Disconnected,
    Forbidden,
    InvalidPayload,
    LocalProtocolError,
    MissingArguments,
    OptionError,
    ProtocolError,
    RemoteProtocolError,
    ReservedEventError,
)
from sioproto.event import AnyEvent, Event
from sioproto.pending import Pending
from sioproto.socketio.acks import Ack, BroadcastAnswers
from sioproto.socketio.adapter import Adapter
from sioproto.socketio.client_socket import ClientSocket
from sioproto.socketio.data import data_of
from sioproto.socketio.dynamic import DynamicNamespace
from sioproto.socketio.handshake import Handshake
from sioproto.socketio.namespace import Namespace
from sioproto.socketio.operator import BroadcastOperator, SocketOperator
from sioproto.socketio.remote import SocketLike
from sioproto.socketio.socket import Socket

__version__ = "0.1.0"

__all__ = [
    "Ack",
    "AckTimeout",
    "Adapter",
    "AnyEvent",
    "BroadcastAnswers",
    "BroadcastOperator",
    "ClientConfig",
    "ClientSocket",
    "ConnectError",
    "CorsPolicy",
    "Disconnected",
    "DynamicNamespace",
    "EngineClientConfig",
    "EngineConfig",
    "Environment",
    "Event",
    "Forbidden",
    "Handshake",
    "HttpCompression",
    "InvalidPayload",
    "LocalProtocolError",
    "MissingArguments",
    "Namespace",
    "OptionError",
    "Pending",
    "ProtocolError",
    "Recovery",
    "RemoteProtocolError",
    "Request",
    "ReservedEventError",
    "Response",
    "Session",
    "SessionCookie",
    "Socket",
    "SocketConfig",
    "SocketLike",
    "SocketOperator",
    "__version__",
    "data_of",
]
