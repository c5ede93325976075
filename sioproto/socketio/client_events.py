"""What the Socket.IO floor tells in the client's role: facts and questions, pulled with ``SocketClient.events()``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sioproto.engineio.events import CloseReason, ObserverFailed

if TYPE_CHECKING:
    from sioproto.errors import ConnectError
    from sioproto.socketio.client_socket import AuthTicket, ClientSocket

ClientReason = CloseReason | Literal["io server disconnect", "io client disconnect"]
"""Why a socket disconnected, in the words that the JavaScript client uses."""

ReconnectionStage = Literal["reconnect_attempt", "reconnect", "reconnect_error", "reconnect_failed"]


@dataclass(slots=True)
class AuthAsked:
    """A question: what is sent as ``auth``? Answer with ``SocketClient.answer_auth``. Asked for each attempt."""

    ticket: AuthTicket


@dataclass(slots=True)
class ClientConnected:
    """The server accepted a socket, as ``sid``. What came for it before follows, and so does what waited to be sent."""

    socket: ClientSocket
    sid: str


@dataclass(slots=True)
class ConnectFailed:
    """The server refused a socket, or there is no connection to it.

    ``socket.active`` says whether it is going to be tried again.
    """

    socket: ClientSocket
    error: ConnectError


@dataclass(slots=True)
class EventArrived:
    """The server emitted an event. ``args[0]`` is its name; ``ack_id`` is set when the server waits for an answer.

    ``size`` is what it took on the wire, in characters or bytes. Answer with ``ClientSocket.acknowledge``, which wants
    ``connection`` back.
    """

    socket: ClientSocket
    args: list[Any]
    ack_id: int | None
    size: int
    connection: int


@dataclass(slots=True)
class ClientDisconnected:
    """A socket is disconnected; exactly once for each ``ClientConnected``."""

    socket: ClientSocket
    reason: ClientReason
    description: str | None


@dataclass(slots=True)
class EventLost:
    """An event was sent as often as ``retries`` allows and not acknowledged; nobody waits for its acknowledgement."""

    socket: ClientSocket
    event: str


@dataclass(slots=True)
class Reconnection:
    """How coming back goes; told to every socket that wants to.

    ``reconnect_attempt`` and ``reconnect`` have the number of the attempt as argument, from 1 on, ``reconnect_error``
    the error; after ``reconnect_failed`` nothing more is tried.
    """

    socket: ClientSocket
    stage: ReconnectionStage
    args: tuple[Any, ...]


ClientEvent = (
    AuthAsked
    | ClientConnected
    | ConnectFailed
    | EventArrived
    | ClientDisconnected
    | EventLost
    | Reconnection
    | ObserverFailed
)
