"""What the Socket.IO floor tells: facts and questions, pulled with ``SocketServer.events()``, in the order they
happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sioproto.engineio.events import CloseReason, ForeignRequest, ObserverFailed, RequestAsked, RequestRefused

if TYPE_CHECKING:
    from sioproto.errors import RemoteProtocolError
    from sioproto.socketio.connecting import ConnectTicket
    from sioproto.socketio.dynamic import DynamicNamespace
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.socket import Socket
    from sioproto.socketio.trail import RefusalReason

DisconnectReason = (
    CloseReason | Literal["server namespace disconnect", "client namespace disconnect", "server shutting down"]
)
"""Why a socket disconnected, in the words that the Node.js server uses."""


@dataclass(slots=True)
class NamespaceAsked:
    """A question: may ``ticket.name`` become a child of ``parent``? Answer with ``answer_namespace``."""

    ticket: ConnectTicket
    parent: DynamicNamespace


@dataclass(slots=True)
class NamespaceCreated:
    """A namespace came to be (the ``new_namespace`` event of the Node.js server)."""

    namespace: Namespace


@dataclass(slots=True)
class ConnectAsked:
    """A question: may ``socket`` connect? Answer with ``accept`` or ``refuse``."""

    ticket: ConnectTicket
    socket: Socket
    previous: Socket | None = None
    """The lost socket that this one continues. Whoever runs handlers finishes those of its ``disconnect`` first."""
    skip_middlewares: bool = False
    """Whether this is a recovered socket and the option says that it passes no middleware."""


@dataclass(slots=True)
class RestoreRefused:
    """A client asked for the socket that it had and is getting a new one, ``socket``."""

    socket: Socket
    reason: RefusalReason


@dataclass(slots=True)
class SocketConnected:
    """A socket is connected; its client was told. Comes before every event of the socket."""

    socket: Socket


@dataclass(slots=True)
class EventReceived:
    """The client emitted an event. ``args[0]`` is its name; ``ack_id`` is set when the client waits for an answer.

    ``size`` is what the event took on the wire, in characters or bytes. Answer with ``Socket.acknowledge``.
    """

    socket: Socket
    args: list[Any]
    ack_id: int | None
    size: int


@dataclass(slots=True)
class DecodeFailed:
    """The client sent an invalid packet; its session is being closed. Told to each socket of the session."""

    socket: Socket
    error: RemoteProtocolError


@dataclass(slots=True)
class DisconnectingAsked:
    """A socket is going; it is still in its rooms. They are left upon ``finish_disconnect``, or after a time-out."""

    socket: Socket
    reason: DisconnectReason
    description: str | None


@dataclass(slots=True)
class SocketDisconnected:
    """A socket is gone and in no room any more; exactly once for each ``SocketConnected``, and nothing follows it."""

    socket: Socket
    reason: DisconnectReason
    description: str | None


SocketEvent = (
    NamespaceAsked
    | NamespaceCreated
    | ConnectAsked
    | RestoreRefused
    | SocketConnected
    | EventReceived
    | DecodeFailed
    | DisconnectingAsked
    | SocketDisconnected
    | RequestAsked
    | RequestRefused
    | ForeignRequest
    | ObserverFailed
)
