"""One namespace as a client has it: the socket that handlers are registered on and events are sent with.

It outlives its connections: what is sent while it is away waits, and what it listens to stays. Only ``id`` and what the
server knows of it belong to one connection.

The rule not to be broken: connect and disconnect alternate, and nothing is told of a connection before the one or after
the other.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Any

from sioproto.errors import ConnectError, Disconnected, LocalProtocolError
from sioproto.pending import Pending
from sioproto.socketio.acks import Acks, SocketAck
from sioproto.socketio.client_events import (
    AuthAsked,
    ClientConnected,
    ClientDisconnected,
    ConnectFailed,
    EventArrived,
    EventLost,
)
from sioproto.socketio.emitting import Emitting
from sioproto.socketio.operator import EmitOperator, check_event
from sioproto.socketio.recovering import Recovering
from sioproto.socketio.retrying import Retrying

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.frame import Frame
    from sioproto.socketio.adapter import Flags
    from sioproto.socketio.client_events import ClientReason
    from sioproto.socketio.packet import Packet
    from sioproto.socketio.socket_client import SocketClient

    Auth = dict[str, Any] | Callable[[], Any] | None

OLD_SERVER = "the server sent no socket id: it speaks an older protocol than Socket.IO 3"


class ClientSocketState(Enum):
    """Where a client's socket stands."""

    IDLE = "not connected, and not going to be by itself"
    AWAY = "waiting for a connection to the server"
    ASKING = "the application is asked for its auth"
    CONNECTING = "CONNECT is sent, the answer awaited"
    CONNECTED = "connected"


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
        "_acks",
        "_buffer",
        "_early",
        "_next_ack_id",
        "_recovering",
        "_retrying",
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

    LIFECYCLE = frozenset(
        {
            "connect",
            "connect_error",
            "disconnect",
            "reconnect",
            "reconnect_attempt",
            "reconnect_error",
            "reconnect_failed",
        }
    )

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
        self.left = 0
        """Events of connections up to this one are not handled any more, because the application left."""
        self.lane: Any = None
        """A slot for the floor above."""
        self._acks: Acks[ClientSocket] = Acks(self, client.config.max_acks)
        self._buffer: deque[tuple[tuple[Frame, ...], tuple[Any, ...], int | None]] = deque()
        self._early: list[tuple[list[Any], int | None, int]] = []
        self._next_ack_id = 0
        self._recovering = Recovering()
        self._retrying = Retrying(self, client.config.retries) if client.config.retries else None
        self._waiting: Pending[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the server accepted it and the connection is not known to be lost."""
        return self.state is ClientSocketState.CONNECTED

    @property
    def active(self) -> bool:
        """Whether it is connected, or going to be by itself."""
        return self.state is not ClientSocketState.IDLE

    @property
    def recovered(self) -> bool:
        """Whether the latest connection continues the one before: same id, same rooms, nothing missed."""
        return self._recovering.recovered

    @property
    def buffered(self) -> int:
        """Events that wait for a connection, or for their turn."""
        return len(self._buffer) + (0 if self._retrying is None else len(self._retrying))

    # Connecting

    def connect(self) -> Pending[None]:
        """Connects, and comes back after losses if ``reconnection`` is on; returns what is done once it is connected.

        Waiting for it raises ``ConnectError`` when the server refuses, or when there is no connection and no further
        attempt is made, and ``Disconnected`` when ``disconnect`` is called first.
        """
        client = self.client
        client.guard()
        pending: Pending[None] = Pending(client.waiting)
        if self.connected:
            pending.resolve(None)
            return pending
        if self._waiting is None:
            self._waiting = pending
        if not self.active:
            self.state = ClientSocketState.AWAY
            client.open_for(self)
        return self._waiting

    def disconnect(self) -> None:
        """Leaves the namespace, and does not come back by itself; the last one to leave closes the connection.

        The reason is ``"io client disconnect"``. Events that came before and are not handled yet are not handled any
        more; what waits to be sent stays for the next ``connect``.
        """
        client = self.client
        client.guard()
        if not self.active:
            return
        if self.state in (ClientSocketState.CONNECTING, ClientSocketState.CONNECTED):
            client.write(client.parser.encode_disconnect(self.name))
        self.left = self.connection
        self._leave("io client disconnect", None, ClientSocketState.IDLE)
        self._settle(Disconnected())
        client.close_if_unused()

    # For the floors around

    def operator(self, flags: Flags) -> EmitOperator:
        """Returns the operator for what is sent next."""
        return EmitOperator(self, flags)

    def report_observer(self, error: Exception, where: str) -> None:
        """Takes what an observer raised."""
        self.client.report(error, where)

    def emit_flagged(self, flags: Flags, event: str, args: tuple[Any, ...]) -> None:
        """Sends an event the way the flags say, or lets it wait for a connection."""
        check_event(event)
        self.client.guard()
        if self._retrying is not None and not flags.volatile:
            self._retry(self._retrying, flags, event, args, None)
        else:
            self._send(flags, (event, *args), None)

    def emit_with_ack_flagged(self, flags: Flags, event: str, args: tuple[Any, ...]) -> Pending[Any]:
        """Sends an event that is to be acknowledged, the way the flags say."""
        check_event(event)
        self.client.guard()
        if self._retrying is not None and not flags.volatile:
            pending: Pending[Any] = Pending(self.client.waiting)
            self._retry(self._retrying, flags, event, args, pending)
            return pending
        return self.ask(flags, event, args)

    def ask(self, flags: Flags, event: str, args: tuple[Any, ...]) -> Pending[Any]:
        """Sends an event once and returns what the server is going to answer."""
        client = self.client
        pending: Pending[Any] = Pending(client.waiting)
        ack_id = self._next_ack_id
        # Sent first: an event that cannot be sent raises, and nobody waits for its answer then.
        self._send(flags, (event, *args), ack_id)
        self._next_ack_id = ack_id + 1
        ack = SocketAck(self, ack_id, pending)
        timeout = client.config.ack_timeout if flags.timeout is None else flags.timeout
        if timeout is not None:
            ack.timer = client.timers.after(timeout, ack.time_out)
        self._acks.expect(ack_id, ack)
        return pending

    def lose(self, event: str) -> None:
        """An event that nobody waits for was given up."""
        self.client.tell(EventLost(self, event))

    def acknowledge(self, ack_id: int, args: Sequence[Any], connection: int) -> bool:
        """Answers an event of the server. Returns False when the connection that it came by is gone."""
        client = self.client
        if not self.connected or connection != self.connection:
            return False
        return client.write(client.parser.encode_ack(self.name, args, ack_id))

    def forget_ack(self, ack_id: int) -> None:
        """Nobody waits for it any more; if its event was not sent yet, it is not sent at all."""
        self._acks.forget(ack_id)
        if self._buffer:
            self._buffer = deque(waiting for waiting in self._buffer if waiting[2] != ack_id)

    # What the connection tells

    def ask_auth(self) -> None:
        """There is a connection: sends CONNECT, as soon as its ``auth`` is known."""
        if callable(self.auth):
            self.state = ClientSocketState.ASKING
            self.ticket = AuthTicket(self)
            self.client.tell(AuthAsked(self.ticket))
            return
        try:
            self.send_connect(self.auth)
        except LocalProtocolError as error:
            self.refuse(ConnectError(str(error)))

    def send_connect(self, auth: Any) -> None:
        """Sends CONNECT (Socket.IO protocol, "Connection to a namespace").

        Raises ``LocalProtocolError`` for an ``auth`` that is no dict, or cannot be encoded.
        """
        self.ticket = None
        if auth is not None and not isinstance(auth, dict):
            raise LocalProtocolError(f"auth is a dict or None, not {type(auth).__name__}")
        client = self.client
        frames = client.parser.encode_connect(self.name, self._recovering.claim(auth))
        self.state = ClientSocketState.CONNECTING
        client.write(frames)

    def receive_connect(self, packet: Packet) -> None:
        """The server accepted: what came early is told, what waited is sent, and then the application hears of it."""
        if self.state is not ClientSocketState.CONNECTING:
            return
        sid, pid = packet.data.get("sid"), packet.data.get("pid")
        if not isinstance(sid, str) or not sid:
            self.refuse(ConnectError(OLD_SERVER))
            return
        client = self.client
        self._recovering.connected(pid)
        self.state = ClientSocketState.CONNECTED
        self.id = sid
        self.connection += 1
        client.tell(ClientConnected(self, sid))
        early, self._early = self._early, []
        for args, ack_id, size in early:
            self._tell_event(args, ack_id, size)
        buffer, self._buffer = self._buffer, deque()
        while buffer:
            frames, args_sent, ack_id = buffer.popleft()
            if not self._write(frames, args_sent):
                # The connection is going again: the rest waits for the next one.
                buffer.appendleft((frames, args_sent, ack_id))
                self._buffer.extendleft(reversed(buffer))
                break
        if self._retrying is not None:
            self._retrying.send_next()
        self._settle(None)

    def receive_event(self, packet: Packet, size: int) -> None:
        """Takes an event; one that comes before the answer to CONNECT waits for that."""
        if self.state is ClientSocketState.CONNECTED:
            self._tell_event(packet.data, packet.id, size)
        elif self.state is ClientSocketState.CONNECTING:
            self._early.append((packet.data, packet.id, size))
            if len(self._early) > self.client.config.max_early:
                self.client.drop("transport error", "too many events before CONNECT was answered")

    def receive_ack(self, packet: Packet) -> None:
        """Takes an acknowledgement; one that nobody waits for is ignored."""
        if self.state is ClientSocketState.CONNECTED and packet.id is not None:
            self._acks.answer(packet.id, packet.data)

    def receive_disconnect(self) -> None:
        """The server disconnected the socket, which stays away until ``connect`` is called."""
        if self.state is ClientSocketState.CONNECTED:
            self._leave("io server disconnect", None, ClientSocketState.IDLE)
            self.client.close_if_unused()
        elif self.state is ClientSocketState.CONNECTING:
            self.refuse(ConnectError("the server disconnected the socket before it was connected"))

    def receive_refusal(self, packet: Packet) -> None:
        """The server refused the socket, which stays away until ``connect`` is called."""
        if self.state is ClientSocketState.CONNECTING:
            data = packet.data
            if isinstance(data, dict):
                self.refuse(ConnectError(str(data.get("message", "")), data.get("data")))
            else:
                self.refuse(ConnectError(data))

    def refuse(self, error: ConnectError) -> None:
        """The attempt failed for good."""
        self._early = []
        self.ticket = None
        self.state = ClientSocketState.IDLE
        self.client.tell(ConnectFailed(self, error))
        self._settle(error)
        self.client.close_if_unused()

    def receive_lost(self, reason: ClientReason, description: str | None) -> None:
        """The connection is gone; a socket that was there, or about to be, waits for the next one."""
        if self.active:
            self._leave(reason, description, ClientSocketState.AWAY)

    def give_up(self, error: Exception) -> None:
        """No further attempt is made."""
        if self.active:
            self.state = ClientSocketState.IDLE
            self._settle(error)

    # Below this line: helpers

    def _retry(
        self, retrying: Retrying, flags: Flags, event: str, args: tuple[Any, ...], pending: Pending[Any] | None
    ) -> None:
        self._check_room()
        # For its errors, which belong to whoever emits.
        self.client.parser.encode_event(self.name, (event, *args), 0, flags.compress)
        retrying.add(flags, event, args, pending)

    def _send(self, flags: Flags, args: tuple[Any, ...], ack_id: int | None) -> None:
        frames = self.client.parser.encode_event(self.name, args, ack_id, flags.compress)
        if self.state is ClientSocketState.CONNECTED:
            if flags.volatile and not self.client.writable:
                return
            if self._write(frames, args):
                return
        if not flags.volatile:
            self._check_room()
            self._buffer.append((frames, args, ack_id))

    def _check_room(self) -> None:
        limit = self.client.config.max_buffered
        if self.buffered >= limit:
            raise LocalProtocolError(f"{limit} events wait for a connection already (option max_buffered)")

    def _write(self, frames: tuple[Frame, ...], args: tuple[Any, ...]) -> bool:
        if not self.client.write(frames):
            return False
        if self._outgoing:
            self._observe_outgoing(args)
        return True

    def _tell_event(self, args: list[Any], ack_id: int | None, size: int) -> None:
        if ack_id is None:
            self._recovering.note(args)
        self.client.tell(EventArrived(self, args, ack_id, size, self.connection))

    def _leave(self, reason: ClientReason, description: str | None, state: ClientSocketState) -> None:
        connected = self.connected
        self.state = state
        self.ticket = None
        self._early = []
        if connected:
            self.id = None
            self.client.tell(ClientDisconnected(self, reason, description))
            # What was not sent yet is going to be, and may still be answered.
            self._acks.leave({ack_id for _, _, ack_id in self._buffer if ack_id is not None})

    def _settle(self, error: Exception | None) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            if error is None:
                waiting.resolve(None)
            else:
                waiting.reject(error)

    def __repr__(self) -> str:
        return f"<ClientSocket {self.name}, {self.state.name.lower()}>"
