"""One namespace as a client has it: the socket that handlers are registered on and events are sent with.

It outlives its connections: what is sent while it is away waits, and what it listens to stays. Only ``id`` and what the
server knows of it belong to one connection.

The rule not to be broken: connect and disconnect alternate, and nothing is told of a connection before the one or after
the other.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from sioproto.errors import ConnectError, Disconnected, LocalProtocolError
from sioproto.pending import Pending
from sioproto.socketio.buffering import EarlyEvents
from sioproto.socketio.client_events import (
    AuthAsked,
    ClientConnected,
    ClientDisconnected,
    ConnectFailed,
    EventArrived,
)
from sioproto.socketio.client_sender import Sender
from sioproto.socketio.emitting import Emitting
from sioproto.socketio.operator import EmitOperator, name_of
from sioproto.socketio.patience import Patience
from sioproto.socketio.recovering import Recovering

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sioproto.engineio.client import EngineClient
    from sioproto.event import AnyEvent
    from sioproto.guard import Guard
    from sioproto.socketio.adapter import Flags
    from sioproto.socketio.client_events import ClientReason
    from sioproto.socketio.packet import Packet
    from sioproto.socketio.socket_client import SocketClient

    Auth = dict[str, Any] | Callable[[], Any] | None

OLD_SERVER = "the server sent no socket id: it speaks an older protocol than Socket.IO 3"

MAX_ID = 256
"""Characters of a socket's id; servers make 20."""


class ClientSocketState(Enum):
    """Where a client's socket stands."""

    IDLE = "not connected, and not going to be by itself"
    AWAY = "waiting for a connection to the server"
    ASKING = "the application is asked for its auth"
    CONNECTING = "CONNECT is sent, the answer awaited"
    CONNECTED = "connected"


# As a global, because reaching a member through its enum costs several times as much.
CONNECTED = ClientSocketState.CONNECTED


class AuthTicket:
    """One attempt of one socket that needs its ``auth``."""

    __slots__ = ("socket",)

    def __init__(self, socket: ClientSocket) -> None:
        self.socket = socket

    @property
    def alive(self) -> bool:
        """Whether an answer still matters."""
        return self.socket.ticket is self


class ClientSocket(Emitting[EmitOperator]):
    """A namespace at a client (Socket.IO documentation, client API, "Socket"). Get one from ``of``.

    What the server emits while the socket is connected reaches its handlers, in order. ``emit`` waits for a connection
    if there is none.
    """

    __slots__ = (
        "__dict__",
        "_early",
        "_first",
        "_patience",
        "_recovering",
        "_sender",
        "_unanswered",
        "_waiting",
        "auth",
        "client",
        "connection",
        "id",
        "lane",
        "left",
        "name",
        "state",
        "ticket",
    )

    LIFECYCLE: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "connect": ("id",),
        "connect_error": ("error",),
        "disconnect": ("reason", "description"),
        "reconnect_attempt": ("attempt",),
        "reconnect": ("attempt",),
        "reconnect_error": ("error",),
        "reconnect_failed": (),
    }

    def __init__(self, client: SocketClient, name: str, auth: Auth) -> None:
        super().__init__()
        self.client = client
        """The connection, which the sockets of all namespaces share."""
        self.name = name
        """The namespace."""
        self.auth = auth
        """What is sent with CONNECT: a dict, or a callable that returns one and is asked again for each attempt."""
        self.id: str | None = None
        """20 characters, the same as ``socket.id`` on the server; None while it is not connected."""
        self.state = ClientSocketState.IDLE
        self.ticket: AuthTicket | None = None
        self.connection = 0
        """How often it was connected."""
        self._first = 0
        """The first of the connections that continue each other."""
        self.left = 0
        """Events of connections up to this one are not handled any more, because the application left."""
        self.lane: Any = None
        """A slot for the floor above."""
        self._early = EarlyEvents(client.config.max_early, client.config.max_early_bytes)
        self._patience = Patience(self)
        self._recovering = Recovering()
        self._sender = Sender(self)
        self._waiting: Pending[None] | None = None
        self._unanswered: EngineClient | None = None
        """The connection that a CONNECT went over which has no answer yet."""

    @property
    def connected(self) -> bool:
        """Whether the server accepted it and the connection is not known to be lost."""
        return self.state is CONNECTED

    @property
    def active(self) -> bool:
        """Whether it is connected, or going to be by itself."""
        return self.state is not ClientSocketState.IDLE

    @property
    def guard(self) -> Guard:
        return self.client.guard

    @property
    def recovered(self) -> bool:
        """Whether the latest connection continues the one before: same id, same rooms, nothing missed."""
        return self._recovering.recovered

    @property
    def buffered(self) -> int:
        """Events that wait for a connection, or for their turn."""
        return self._sender.waiting

    # Connecting

    def connect(self) -> Pending[None]:
        """Connects, and comes back after losses if ``reconnection`` is on; returns what is done once it is connected.

        Waiting for it raises ``ConnectError`` when the server refuses, or when there is no connection and no further
        attempt is made, and ``Disconnected`` when ``disconnect`` is called first, or the client was closed.
        """
        client = self.client
        with client.guard:
            pending: Pending[None] = Pending(client.waiting)
            if client.closing:
                pending.reject(Disconnected())
                return pending
            if self.connected:
                pending.resolve(None)
                return pending
            if self._waiting is None:
                self._waiting = pending
            waiting = self._waiting
            if not self.active:
                self.state = ClientSocketState.AWAY
                client.open_for(self)  # which may settle it in place
            return waiting

    def disconnect(self) -> None:
        """Leaves the namespace, and does not come back by itself; the last one to leave closes the connection.

        The reason is ``"io client disconnect"``. Events that came before and are not handled yet are not handled any
        more; what waits to be sent stays for the next ``connect``. Where that follows over the same connection, events
        that were on their way may reach it: the protocol does not tell the two stays in a namespace apart.
        """
        client = self.client
        with client.guard:
            if not self.active:
                return
            # A server that has not let it in yet knows nobody who could leave; see ``_receive_late``.
            if self.connected:
                client.write(client.parser.encode_disconnect(self.name))
            self.left = self.connection
            waiting, self._waiting = self._waiting, None
            self._leave("io client disconnect", None, ClientSocketState.IDLE)
            if waiting is not None:
                waiting.reject(Disconnected())
            client.close_if_unused()

    # For the floors around

    def operator(self, flags: Flags) -> EmitOperator:
        """Returns the operator for what is sent next."""
        return EmitOperator(self, flags)

    def report_observer(self, error: Exception, where: str) -> None:
        """Takes what an observer raised."""
        self.client.report(error, where)

    def emit_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> None:
        """Sends an event the way the flags say, or lets it wait for a connection."""
        name = name_of(event)
        with self.client.guard:
            self._sender.emit(flags, (name, *args))

    def emit_with_ack_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> Pending[Any]:
        """Sends an event that is to be acknowledged, the way the flags say."""
        name = name_of(event)
        with self.client.guard:
            return self._sender.ask(flags, (name, *args))

    def acknowledge(self, ack_id: int, args: Sequence[Any], connection: int) -> bool:
        """Answers an event of the server. Returns False when the connection that it came by is gone, unless a recovered
        one took its place.
        """
        if connection < self._first:
            return False
        self._recovering.note_answer(ack_id, args)
        return self.connected and self._sender.acknowledge(ack_id, args)

    def observe_outgoing(self, args: tuple[Any, ...]) -> None:
        """Tells observers of an event that is being sent."""
        if self._outgoing:
            self._observe_outgoing(args)

    def close(self) -> None:
        """Leaves for good: what waits for a connection is forgotten, and whoever waits for an answer is told."""
        self._sender.close()
        self.disconnect()

    # What the connection tells

    def ask_auth(self) -> None:
        """There is a connection: sends CONNECT, as soon as its ``auth`` is known."""
        if self.state is not ClientSocketState.AWAY:
            return
        if self._unanswered is self.client.engine:  # it was left before the server answered: that answer comes first
            self._patience.await_answer()
            return
        if self._patience.held:
            return
        if callable(self.auth):
            self.state = ClientSocketState.ASKING
            self.ticket = AuthTicket(self)
            self.client.tell(AuthAsked(self.ticket))
            return
        try:
            self.send_connect(self.auth)
        except LocalProtocolError as error:
            self.refuse_auth(ConnectError(str(error)))

    def send_connect(self, auth: Any) -> None:
        """Sends CONNECT (Socket.IO protocol, "Connection to a namespace").

        Raises ``LocalProtocolError`` for an ``auth`` that is no dict, or cannot be encoded.
        """
        if auth is not None and not isinstance(auth, dict):
            raise LocalProtocolError(f"auth is a dict or None, not {type(auth).__name__}")
        client = self.client
        frames = client.parser.encode_connect(self.name, self._recovering.claim(auth))
        self.ticket = None
        self.state = ClientSocketState.CONNECTING
        self._unanswered = client.engine
        self._patience.await_answer()
        client.write(frames)

    def receive_connect(self, packet: Packet) -> None:
        """The server accepted: the application is told, then of what came early, and what waited is sent."""
        if self.state is not ClientSocketState.CONNECTING:
            self._receive_late(accepted=True)
            return
        sid, pid = packet.data.get("sid"), packet.data.get("pid")
        if not isinstance(sid, str) or not 0 < len(sid) <= MAX_ID:
            self.refuse(ConnectError(OLD_SERVER))
            return
        client = self.client
        self._unanswered = None
        self._patience.stop()
        self._recovering.connected(pid)
        self.state = ClientSocketState.CONNECTED
        self.id = sid
        self.connection += 1
        if not self.recovered:
            self._first = self.connection
        client.tell(ClientConnected(self, sid))
        for event, size in self._early.take():
            self._tell_event(event, size)
        self._sender.set_connected()
        if self.connected:  # nobody who observed what was sent has left in place
            self._settle(None)

    def receive_event(self, packet: Packet, size: int) -> None:
        """Takes an event; one that comes before the answer to CONNECT waits for that.

        While too much of earlier connections is not handled yet, it is not taken, and the connection is lost like the
        one before. Else a server could fill memory by coming back, with one read each time.
        """
        client = self.client
        if client.parked and client.crowded:
            client.drop("ping timeout", "handlers lag")
        elif self.state is CONNECTED:
            self._tell_event(packet, size)
        elif self.state is ClientSocketState.CONNECTING and not self._early.add(packet, size):
            client.drop("transport error", "too many events before CONNECT was answered")

    def receive_ack(self, packet: Packet) -> None:
        """Takes an acknowledgement; one that nobody waits for is ignored."""
        if self.connected:
            self._sender.receive_ack(packet)

    def receive_disconnect(self) -> None:
        """The server disconnected the socket, which stays away until ``connect`` is called."""
        if self.state is ClientSocketState.CONNECTED:
            self._leave("io server disconnect", None, ClientSocketState.IDLE)
            self.client.close_if_unused()
        elif self.state is ClientSocketState.CONNECTING:
            self.refuse(ConnectError("the server disconnected the socket before it was connected"))
        else:
            self._receive_late(accepted=False)

    def receive_refusal(self, packet: Packet) -> None:
        """The server refused the socket, which stays away until ``connect`` is called."""
        if self.state is ClientSocketState.CONNECTING:
            data = packet.data
            if isinstance(data, dict):
                self.refuse(ConnectError(str(data.get("message", "")), data.get("data")))
            else:
                self.refuse(ConnectError(data))
        else:
            self._receive_late(accepted=False)

    def refuse_auth(self, error: ConnectError) -> None:
        """The attempt failed for good, and the server has no part in it."""
        self._patience.hold()
        self.refuse(error)

    def refuse(self, error: ConnectError, *, answered: bool = True) -> None:
        """The attempt failed for good. Unless the server has ``answered``, its answer may still come."""
        self._early.take()
        self._patience.stop()
        if answered:
            self._unanswered = None
        self.ticket = None
        self.state = ClientSocketState.IDLE
        self.client.tell(ConnectFailed(self, error))
        self._settle(error)
        self.client.close_if_unused()

    def receive_lost(self, reason: ClientReason, description: str | None) -> None:
        """The connection is gone; a socket that was there, or about to be, waits for the next one."""
        self._unanswered = None
        if self.active:
            self._leave(reason, description, ClientSocketState.AWAY)

    def give_up(self, error: Exception) -> None:
        """No further attempt is made."""
        self._patience.stop()
        self.state = ClientSocketState.IDLE
        self._settle(error)

    # Below this line: helpers

    def _tell_event(self, packet: Packet, size: int) -> None:
        recovering = self._recovering
        if recovering.pid is not None:
            if packet.id is not None and recovering.is_known(packet):
                answer = recovering.answer_of(packet.id)
                if answer is not None:
                    self._sender.acknowledge(packet.id, answer)
                return
            recovering.note(packet)
        # Not by ``tell``: what comes in is pulled anyway, so nobody need be woken.
        self.client.news.append(EventArrived(self, packet.data, packet.id, size, self.connection))

    def _receive_late(self, *, accepted: bool) -> None:
        """The answer to a CONNECT that was left before. Whoever is in by now has to leave before coming back."""
        client = self.client
        if self._unanswered is not client.engine:
            return
        self._unanswered = None
        if accepted:
            client.write(client.parser.encode_disconnect(self.name))
        self.ask_auth()

    def _leave(self, reason: ClientReason, description: str | None, state: ClientSocketState) -> None:
        connected = self.connected
        self._patience.stop()
        self.state = state
        self.ticket = None
        self._early.take()
        if connected:
            self.id = None
            self.client.tell(ClientDisconnected(self, reason, description))
            self._sender.set_disconnected()

    def _settle(self, error: Exception | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            if error is None:
                waiting.resolve(None)
            else:
                waiting.reject(error)

    def __repr__(self) -> str:
        return f"<ClientSocket {self.name}, {self.state.name.lower()}>"
