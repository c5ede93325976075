"""The Socket.IO server: clients, namespaces and sockets on top of Engine.IO sessions (Socket.IO protocol, revision 5).

It has the verbs of the floor below (``receive_*``, ``take_dirty``, ``next_deadline``, ``handle_timeout``) and events
of its own. Each ``receive_*`` passes what happened down, takes the events that come up, and turns them into its own.

The rule not to be broken: nothing is delivered to a socket before its CONNECT is accepted nor after its end was told,
and every socket ends exactly once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from sioproto.engineio.events import MessageReceived, SessionClosed, SessionOpened
from sioproto.engineio.http import client_address
from sioproto.engineio.server import EngineServer
from sioproto.errors import LocalProtocolError, RemoteProtocolError
from sioproto.pending import NO_WAITING
from sioproto.socketio.acks import ack_overdue
from sioproto.socketio.adapter import Adapter, MemoryAdapter
from sioproto.socketio.client import Client
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
    SocketConnected,
    SocketDisconnected,
    SocketEvent,
)
from sioproto.socketio.handshake import Handshake
from sioproto.socketio.namespace import Namespace
from sioproto.socketio.packet import Packet, PacketType
from sioproto.socketio.parser import Parser
from sioproto.socketio.socket import Socket, SocketState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.config import EngineConfig, SocketConfig
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Exchange, Request
    from sioproto.engineio.session import Session
    from sioproto.environment import Environment
    from sioproto.pending import Waiting
    from sioproto.timers import Timer, Timers

N = TypeVar("N", bound=Namespace)

MINUTE = 60.0


class SocketServer:
    """All namespaces of a server, without I/O.

    ``wake`` and ``asks_requests`` are those of ``EngineServer``; ``waiting`` is how a runtime waits for the
    ``Pending`` that ``emit_with_ack`` returns; ``adapter`` makes the adapter of each namespace.
    """

    def __init__(
        self,
        engine_config: EngineConfig,
        config: SocketConfig,
        environment: Environment,
        *,
        parser: Parser | None = None,
        waiting: Waiting = NO_WAITING,
        wake: Callable[[bool], None] | None = None,
        asks_requests: bool = False,
        adapter: Callable[[Namespace], Adapter] | None = None,
    ) -> None:
        self.config = config
        self.environment = environment
        self.waiting = waiting
        self.engine = EngineServer(engine_config, environment, wake=wake, asks_requests=asks_requests)
        self.parser = parser or Parser(
            max_attachments=config.max_attachments,
            max_payload=engine_config.max_payload,
            max_arguments=config.max_arguments,
            max_depth=config.max_depth,
            max_event_name=config.max_event_name,
            max_namespace_name=config.max_namespace_name,
        )
        self.ack_lane = self.timers.lane(config.ack_timeout, "acknowledgement", ack_overdue)
        self._connect_lane = self.timers.lane(config.connect_timeout, "connect", _connect_overdue)
        self._leave_lane = self.timers.lane(config.disconnecting_timeout, "disconnecting", self._leave_overdue)
        self._events: list[SocketEvent] = []
        self._adapter = adapter
        self._leaving: dict[Socket, tuple[DisconnectReason, str | None, Timer]] = {}
        self._unconnected = 0
        self._shutting = False
        self.dynamic: list[DynamicNamespace] = []
        self.namespaces: dict[str, Namespace] = {}
        self.sockets = self.of("/")
        """The main namespace, ``/``."""

    @property
    def timers(self) -> Timers:
        """All deadlines of this server."""
        return self.engine.timers

    @property
    def engine_config(self) -> EngineConfig:
        """The options of the floor below."""
        return self.engine.config

    # Namespaces

    @overload
    def of(self, name: str) -> Namespace: ...
    @overload
    def of(self, name: str, namespace_class: type[N]) -> N: ...
    @overload
    def of(self, name: re.Pattern[str] | Callable[..., Any]) -> DynamicNamespace: ...
    def of(
        self, name: str | re.Pattern[str] | Callable[..., Any], namespace_class: type[Namespace] | None = None
    ) -> Namespace:
        """Returns the namespace of a name, made at the first call; a slash at the beginning is added if missing.

        With a compiled pattern or a predicate ``(name, auth) -> bool`` it makes a dynamic namespace, the parent of
        every name that fits and is no namespace yet; those made first are asked first. ``namespace_class`` is a
        subclass of ``Namespace`` with ``on_<event>`` methods; it raises ``LocalProtocolError`` if the namespace
        exists as another class.
        """
        if not isinstance(name, str):
            if not isinstance(name, re.Pattern) and not callable(name):
                raise TypeError(f"a namespace is a str, a compiled pattern or a predicate, not {type(name).__name__}")
            dynamic = DynamicNamespace(self, name, len(self.dynamic))
            self.dynamic.append(dynamic)
            return dynamic
        if not name.startswith("/"):
            name = "/" + name
        namespace = self.namespaces.get(name)
        if namespace is None:
            return self._create(name, None, namespace_class or Namespace)
        if namespace_class is not None and not isinstance(namespace, namespace_class):
            raise LocalProtocolError(f"the namespace {name} exists already and is no {namespace_class.__name__}")
        return namespace

    def make_adapter(self, namespace: Namespace) -> Adapter:
        """Makes the adapter of a namespace."""
        if self._adapter is not None:
            return self._adapter(namespace)
        return MemoryAdapter(namespace, self.config.max_rooms)

    # Inputs: see EngineServer for what each means

    def receive_request(self, request: Request, owner: object = None) -> Exchange:
        """Takes the head of a request; see ``EngineServer.receive_request``."""
        exchange = self.engine.receive_request(request, owner)
        self._advance()
        return exchange

    def receive_body(self, exchange: Exchange, body: bytes) -> None:
        """Takes the body of a request; see ``EngineServer.receive_body``."""
        self.engine.receive_body(exchange, body)
        self._advance()

    def receive_oversize(self, exchange: Exchange) -> None:
        """See ``EngineServer.receive_oversize``."""
        self.engine.receive_oversize(exchange)
        self._advance()

    def receive_abort(self, exchange: Exchange) -> None:
        """See ``EngineServer.receive_abort``."""
        self.engine.receive_abort(exchange)
        self._advance()

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket; see ``EngineServer.receive_messages``."""
        self.engine.receive_messages(link, messages)
        self._advance()

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        """See ``EngineServer.receive_link_closed``."""
        self.engine.receive_link_closed(link, code, error)
        self._advance()

    def receive_blocked(self, link: Link) -> None:
        """See ``EngineServer.receive_blocked``."""
        self.engine.receive_blocked(link)

    def receive_unblocked(self, link: Link) -> None:
        """See ``EngineServer.receive_unblocked``."""
        self.engine.receive_unblocked(link)

    # Answers

    def answer_request(self, exchange: Exchange, refusal: str | None = None) -> bool:
        """Answers ``RequestAsked``; see ``EngineServer.answer_request``."""
        answered = self.engine.answer_request(exchange, refusal)
        self._advance()
        return answered

    def answer_namespace(self, ticket: ConnectTicket, allowed: bool) -> bool:
        """Answers ``NamespaceAsked``. After a no the next dynamic namespace is asked. Returns False for a dead
        ticket.
        """
        if not ticket.alive or ticket.socket is not None:
            return False
        parent = next(ticket.parents)
        if allowed:
            self._ask_socket(ticket, self.namespaces.get(ticket.name) or self._create(ticket.name, parent, Namespace))
        else:
            self._ask_parents(ticket)
        return True

    def accept(self, ticket: ConnectTicket) -> bool:
        """Answers ``ConnectAsked`` with yes: the socket is connected. Returns False if its client is gone meanwhile."""
        socket = ticket.socket
        if socket is None or not ticket.alive:
            return False
        client, namespace = ticket.client, socket.namespace
        del client.waiting[ticket.name]
        namespace.connecting -= 1
        if client.timer is not None:
            client.timer.cancel()
            client.timer = None
            self._count_unconnected(-1)
        client.sockets[namespace.name] = socket
        namespace.sockets[socket.id] = socket
        namespace.adapter.add_all(socket, (socket.id,))
        client.session.write(self.parser.encode_connect(namespace.name, {"sid": socket.id}))
        socket.set_accepted()
        self._events.append(SocketConnected(socket))
        return True

    def refuse(self, ticket: ConnectTicket, message: str, data: Any = None) -> bool:
        """Answers ``ConnectAsked`` with no; the client gets ``message`` and ``data``. Its session stays and may
        retry.
        """
        if not ticket.alive:
            return False
        error = {"message": message} if data is None else {"message": message, "data": data}
        frames = self.parser.encode_connect_error(ticket.name, error)
        del ticket.client.waiting[ticket.name]
        self._drop(ticket)
        ticket.client.session.write(frames)
        return True

    def finish_disconnect(self, socket: Socket) -> bool:
        """Answers ``DisconnectingAsked``: the socket leaves its rooms and is gone. Returns False if it was too late."""
        row = self._leaving.pop(socket, None)
        if row is None:
            return False
        reason, description, timer = row
        timer.cancel()
        namespace = socket.namespace
        namespace.adapter.delete_all(socket)
        namespace.sockets.pop(socket.id, None)
        socket.state = SocketState.DISCONNECTED
        self._events.append(SocketDisconnected(socket, reason, description))
        self._clean_up(namespace)
        return True

    # Outputs

    def events(self) -> list[SocketEvent]:
        """Returns what happened since the last call, in order, and forgets it."""
        self._advance()
        events = self._events
        if events:
            self._events = []
        return events

    def take_dirty(self) -> list[Exchange | Link]:
        """Returns the carriers with output; see ``EngineServer.take_dirty``."""
        carriers = self.engine.take_dirty()
        self._advance()
        return carriers

    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called; None for never."""
        return self.engine.next_deadline()

    def handle_timeout(self) -> None:
        """Does what is due now. Calling it too early does nothing."""
        self.engine.handle_timeout()
        self._advance()

    # Commands

    def disconnect(self, socket: Socket, close: bool = False) -> None:
        """Disconnects a socket, or with ``close`` all of its connection and then the connection itself."""
        client = socket.client
        for each in list(client.sockets.values()) if close else [socket]:
            if each.state is SocketState.CONNECTED:
                client.session.write(self.parser.encode_disconnect(each.namespace.name))
                self._end(each, "server namespace disconnect", None)
        if close:
            client.session.close()

    def stop_accepting(self) -> None:
        """From now on requests for new sessions get HTTP 503."""
        self._shutting = True
        self.engine.accepting = False

    def shut_down(self) -> None:
        """Ends every socket with ``"server shutting down"`` and closes every session gracefully; new ones get 503.

        Clients are told by the closing of their transport and not by a DISCONNECT packet, after which stock clients
        would not come back.
        """
        self.stop_accepting()
        for session in list(self.engine.sessions.values()):
            client: Client = session.client
            if client is not None:
                for socket in list(client.sockets.values()):
                    self._end(socket, "server shutting down", None)
            session.close()
        self._advance()

    # What the floor below tells

    def _advance(self) -> None:
        while events := self.engine.events():
            for event in events:
                if isinstance(event, MessageReceived):
                    self._message(event.session.client, event.data)
                elif isinstance(event, SessionOpened):
                    self._opened(event.session)
                elif isinstance(event, SessionClosed):
                    self._closed(event.session.client, event.reason, event.description)
                else:
                    self._events.append(event)

    def _opened(self, session: Session) -> None:
        client = session.client = Client(session, self.parser.decoder())
        client.timer = self._connect_lane.arm(client)
        self._count_unconnected(+1)

    def _closed(self, client: Client, reason: DisconnectReason, description: str | None) -> None:
        if client.timer is not None:
            client.timer.cancel()
            self._count_unconnected(-1)
        for ticket in list(client.waiting.values()):
            del client.waiting[ticket.name]
            self._drop(ticket)
        for socket in list(client.sockets.values()):
            self._end(socket, reason, description)

    def _message(self, client: Client, message: str | bytes) -> None:
        # What came behind a packet that ended the session is not delivered.
        if not client.session.open and client.decoder is CLOSED_DECODER:
            return
        try:
            if client.timer is not None and isinstance(message, bytes):
                raise RemoteProtocolError("binary before CONNECT")
            packet = client.decoder.feed(message)
            if packet is None:
                return
            self._packet(client, packet, len(message))
        except RemoteProtocolError as error:
            client.decoder = CLOSED_DECODER
            for socket in list(client.sockets.values()):
                self._events.append(DecodeFailed(socket, error))
            client.session.close()

    def _packet(self, client: Client, packet: Packet, size: int) -> None:
        kind = packet.type
        socket = client.sockets.get(packet.namespace)
        if kind is PacketType.EVENT:
            if socket is not None:
                self._events.append(EventReceived(socket, packet.data, packet.id, size))
                return
        elif kind is PacketType.ACK:
            if socket is not None and packet.id is not None:
                socket.receive_ack(packet.id, packet.data)
                return
        elif kind is PacketType.CONNECT:
            self._connect(client, packet)
            return
        elif kind is PacketType.DISCONNECT:
            if socket is not None:
                self._end(socket, "client namespace disconnect", None)
                return
        else:
            raise RemoteProtocolError("a client may not send this packet")
        # A packet that was under way when its namespace ended is late, which is normal; one before any CONNECT is not.
        if client.timer is not None and not client.waiting:
            raise RemoteProtocolError("a packet before CONNECT")

    # Connecting

    def _connect(self, client: Client, packet: Packet) -> None:
        name = packet.namespace
        if name in client.sockets or name in client.waiting:
            return  # a second CONNECT is ignored: refusing it would make a stock client destroy its live socket
        now = self.environment.clock()
        if now - client.minute > MINUTE:
            client.minute, client.connects = now, 0
        client.connects += 1
        config = self.config
        if (
            client.connects > config.connect_rate
            or len(client.waiting) >= config.max_pending_connects
            or len(client.waiting) + len(client.sockets) >= config.max_namespaces
        ):
            client.session.write(self.parser.encode_connect_error(name, {"message": "Too many connection attempts"}))
            client.session.close()
            return
        ticket = ConnectTicket(client, name, packet.data, iter(tuple(self.dynamic)))
        client.waiting[name] = ticket
        namespace = self.namespaces.get(name)
        if namespace is not None:
            self._ask_socket(ticket, namespace)
        else:
            self._ask_parents(ticket)

    def _ask_parents(self, ticket: ConnectTicket) -> None:
        for parent in ticket.parents:
            if parent.asks:
                # The answer needs to know whom it is about: the iterator goes one step back.
                ticket.parents = iter((parent, *ticket.parents))
                self._events.append(NamespaceAsked(ticket, parent))
                return
            if parent.fits(ticket.name):
                self._ask_socket(ticket, self._create(ticket.name, parent, Namespace))
                return
        self.refuse(ticket, "Invalid namespace")

    def _ask_socket(self, ticket: ConnectTicket, namespace: Namespace) -> None:
        environment, session = self.environment, ticket.client.session
        address, secure = client_address(session.request, self.engine.config)
        handshake = Handshake(session.request, ticket.auth, environment.wall(), address, secure)
        namespace.connecting += 1
        ticket.socket = Socket(ticket.client, namespace, environment.ids(), handshake)
        self._events.append(ConnectAsked(ticket, ticket.socket))

    def _drop(self, ticket: ConnectTicket) -> None:
        socket = ticket.socket
        if socket is not None:
            socket.set_gone()
            socket.state = SocketState.DISCONNECTED
            socket.namespace.adapter.delete_all(socket)
            socket.namespace.connecting -= 1
            self._clean_up(socket.namespace)

    def _create(self, name: str, parent: DynamicNamespace | None, namespace_class: type[Namespace]) -> Namespace:
        namespace = self.namespaces[name] = namespace_class(self, name, parent)
        if parent is not None:
            parent.children[name] = namespace
        if name != "/":
            self._events.append(NamespaceCreated(namespace))
        return namespace

    def _clean_up(self, namespace: Namespace) -> None:
        # A child that nobody is in, and nobody is about to enter, goes: clients choose the names of children.
        parent = namespace.parent
        if parent is not None and not namespace.sockets and not namespace.connecting:
            namespace.adapter.close()
            parent.children.pop(namespace.name, None)
            self.namespaces.pop(namespace.name, None)

    # Ending

    def _end(self, socket: Socket, reason: DisconnectReason, description: str | None) -> None:
        if socket.state is SocketState.CONNECTED:
            socket.set_gone()
            socket.client.sockets.pop(socket.namespace.name, None)
            self._leaving[socket] = (reason, description, self._leave_lane.arm(socket))
            self._events.append(DisconnectingAsked(socket, reason, description))

    def _leave_overdue(self, socket: Socket, _: float) -> None:
        self.finish_disconnect(socket)

    def _count_unconnected(self, change: int) -> None:
        self._unconnected += change
        self.engine.accepting = not self._shutting and self._unconnected < self.config.max_unconnected


class _ClosedDecoder:
    """Marks a client whose session is ending because of what it sent."""

    def feed(self, message: str | bytes) -> Packet | None:
        return None

    waiting = False


CLOSED_DECODER = cast("Any", _ClosedDecoder())


def _connect_overdue(client: Client, _: float) -> None:
    client.session.close()
