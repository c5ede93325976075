"""Socket.IO, protocol revision 5: namespaces, sockets, rooms and acknowledgements over Engine.IO sessions."""

from sioproto.socketio.adapter import Adapter, Flags, MemoryAdapter, Selection
from sioproto.socketio.client_events import (
    AuthAsked,
    ClientConnected,
    ClientDisconnected,
    ClientEvent,
    ClientReason,
    ConnectFailed,
    EventArrived,
    EventLost,
    Reconnection,
)
from sioproto.socketio.client_socket import AuthTicket, ClientSocket, ClientSocketState
from sioproto.socketio.connecting import ConnectTicket
from sioproto.socketio.dynamic import DynamicNamespace
from sioproto.socketio.events import (
    ConnectAsked,
    DecodeFailed,
    DisconnectingAsked,
    DisconnectReason,
    EventReceived,
    NamespaceAsked,
    NamespaceCreated,
    RestoreRefused,
    SocketConnected,
    SocketDisconnected,
    SocketEvent,
)
from sioproto.socketio.handshake import Handshake
from sioproto.socketio.namespace import Namespace
from sioproto.socketio.operator import BroadcastOperator, EmitOperator, SocketOperator
from sioproto.socketio.packet import Packet, PacketType
from sioproto.socketio.parser import Decoder, ParseError, Parser
from sioproto.socketio.recovery import (
    EventLog,
    MemoryStore,
    RecoveringAdapter,
    RecoveryStore,
)
from sioproto.socketio.restoring import RestoreTicket
from sioproto.socketio.server import SocketServer
from sioproto.socketio.socket import Socket, SocketState
from sioproto.socketio.socket_client import SocketClient
from sioproto.socketio.trail import RefusalReason, Trail

__all__ = [
    "Adapter",
    "AuthAsked",
    "AuthTicket",
    "BroadcastOperator",
    "ClientConnected",
    "ClientDisconnected",
    "ClientEvent",
    "ClientReason",
    "ClientSocket",
    "ClientSocketState",
    "ConnectAsked",
    "ConnectFailed",
    "ConnectTicket",
    "DecodeFailed",
    "Decoder",
    "DisconnectReason",
    "DisconnectingAsked",
    "DynamicNamespace",
    "EmitOperator",
    "EventArrived",
    "EventLog",
    "EventLost",
    "EventReceived",
    "Flags",
    "Handshake",
    "MemoryAdapter",
    "MemoryStore",
    "Namespace",
    "NamespaceAsked",
    "NamespaceCreated",
    "Packet",
    "PacketType",
    "ParseError",
    "Parser",
    "Reconnection",
    "RecoveringAdapter",
    "RecoveryStore",
    "RefusalReason",
    "RestoreRefused",
    "RestoreTicket",
    "Selection",
    "Socket",
    "SocketClient",
    "SocketConnected",
    "SocketDisconnected",
    "SocketEvent",
    "SocketOperator",
    "SocketServer",
    "SocketState",
    "Trail",
]
