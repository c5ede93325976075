"""The Socket.IO server: clients, namespaces and sockets on top of Engine.IO sessions (Socket.IO protocol, revision 5).

It has the verbs of the floor below (``receive_*``, ``take_dirty``, ``next_deadline``, ``handle_timeout``) and events
of its own. Each ``receive_*`` passes what happened down, takes the events that come up, and turns them into its own.

The rule not to be broken: nothing is delivered to a socket before its CONNECT is accepted nor after its end was told,
and every socket ends exactly once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sioproto.engineio.events import MessageReceived, SessionClosed, SessionOpened
from sioproto.engineio.server import EngineServer
from sioproto.errors import LocalProtocolError, OptionError, RemoteProtocolError
from sioproto.guard import ANYWHERE
from sioproto.pending import NO_WAITING, Reporting
from sioproto.socketio.acks import ack_overdue
from sioproto.socketio.adapter import Adapter, MemoryAdapter
from sioproto.socketio.client import Client
from sioproto.socketio.connecting import Connecting
from sioproto.socketio.dynamic import DynamicNamespace
from sioproto.socketio.events import DecodeFailed, DisconnectReason, EventReceived, NamespaceCreated, SocketEvent
from sioproto.socketio.leaving import Leaving
from sioproto.socketio.namespace import Namespace
from sioproto.socketio.packet import Packet, PacketType
from sioproto.socketio.parser import Parser
from sioproto.socketio.recovery import EventLog, RecoveringAdapter
from sioproto.socketio.restoring import Restoring
from sioproto.socketio.socket import SocketState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.config import EngineConfig, SocketConfig
    from sioproto.engineio.bundle import Bundle
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Exchange, Request
    from sioproto.engineio.session import Session
    from sioproto.environment import Environment
    from sioproto.guard import Guard
    from sioproto.pending import Waiting
    from sioproto.socketio.connecting import ConnectTicket
    from sioproto.socketio.recovery import RecoveryStore
    from sioproto.socketio.restoring import RestoreTicket
    from sioproto.socketio.socket import Socket
    from sioproto.socketio.trail import Trail
    from sioproto.timers import Timers

N = TypeVar("N", bound=Namespace)

# As globals, because reaching a member through its enum costs several times as much.
EVENT = PacketType.EVENT
ACK = PacketType.ACK


class SocketServer:
    """All namespaces of a server, without I/O.

    ``timers``, ``wake``, ``guard`` and ``asks_requests`` are those of ``EngineServer``; ``waiting`` is how a runtime
    waits for the ``Pending`` that ``emit_with_ack`` returns; ``adapter`` makes the adapter of each namespace, ``store``
    keeps what is needed to recover sockets.
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
        guard: Guard = ANYWHERE,
        asks_requests: bool = False,
        generate_id: Callable[[Request], str] | None = None,
        bundle: Bundle | None = None,
        adapter: Callable[[Namespace], Adapter] | None = None,
        store: Callable[[SocketServer], RecoveryStore] | None = None,
        timers: Timers | None = None,
    ) -> None:
        self.config = config
        self.environment = environment
        self.engine = EngineServer(
            engine_config,
            environment,
            timers=timers,
            wake=wake,
            guard=guard,
            asks_requests=asks_requests,
            generate_id=generate_id,
            bundle=bundle,
        )
        self.waiting = Reporting(waiting, self.engine.report) if waiting is NO_WAITING else waiting
        self.guard = guard
        """What commands enter."""
        self.parser = parser or Parser(
            max_attachments=config.max_attachments,
            max_payload=engine_config.max_payload,
            max_arguments=config.max_arguments,
            max_depth=config.max_depth,
            max_containers=config.max_containers,
            max_event_name=config.max_event_name,
            max_namespace_name=config.max_namespace_name,
        )
        self.ack_lane = self.timers.lane(config.ack_timeout, "acknowledgement", ack_overdue)
        self.connecting = Connecting(self)
        self._leaving = Leaving(self)
        self.restoring = None if config.recovery is None else Restoring(self, config.recovery, store)
        self._events: list[SocketEvent] = []
        self._adapter = adapter
        self._kept: set[str] = set()
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
        every name that fits and is no namespace yet; those made first are asked first. A name that fits a pattern
        is made as its child; predicates are asked for clients only. ``namespace_class`` is a
        subclass of ``Namespace`` with ``on_<event>`` methods; it raises ``LocalProtocolError`` if the namespace
        exists as another class.
        """
        with self.guard:
            if not isinstance(name, str):
                if not isinstance(name, re.Pattern) and not callable(name):
                    raise TypeError(
                        f"a namespace is a str, a compiled pattern or a predicate, not {type(name).__name__}"
                    )
                dynamic = DynamicNamespace(self, name, len(self.dynamic))
                self.dynamic.append(dynamic)
                return dynamic
            if not name.startswith("/"):
                name = "/" + name
            namespace = self.namespaces.get(name)
            if namespace is None:
                # A name that fits a pattern is a child whoever asks first; else its clients would pass no middleware.
                parent = next((dynamic for dynamic in self.dynamic if dynamic.fits(name)), None)
                self._kept.add(name)
                return self.create(name, parent, namespace_class or Namespace)
            if namespace_class is not None and not isinstance(namespace, namespace_class):
                raise LocalProtocolError(f"the namespace {name} exists already and is no {namespace_class.__name__}")
            return namespace

    def make_adapter(self, namespace: Namespace) -> Adapter:
        """Makes the adapter of a namespace. Raises ``OptionError`` for one that cannot do what the options say."""
        if self._adapter is not None:
            adapter = self._adapter(namespace)
            if self.config.recovery is not None and not adapter.recovers:
                raise OptionError(f"{type(adapter).__name__} cannot recover sockets: leave out the option recovery")
            return adapter
        if namespace.log is not None:
            return RecoveringAdapter(namespace, self.config.max_rooms, namespace.log)
        return MemoryAdapter(namespace, self.config.max_rooms)

    def make_log(self, namespace: Namespace) -> EventLog | None:
        """Makes the log of a namespace, if lost sockets are recovered."""
        return None if self.config.recovery is None else EventLog(namespace, self.config.recovery)

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
        with self.guard:
            answered = self.engine.answer_request(exchange, refusal)
            self._advance()
            return answered

    def answer_namespace(self, ticket: ConnectTicket, allowed: bool) -> bool:
        """Answers ``NamespaceAsked``. After a no the next dynamic namespace is asked. False: the ticket is dead."""
        with self.guard:
            return self.connecting.answer_namespace(ticket, allowed)

    def accept(self, ticket: ConnectTicket) -> bool:
        """Answers ``ConnectAsked`` with yes: the socket is connected. Returns False if its client is gone meanwhile."""
        with self.guard:
            return self.connecting.accept(ticket)

    def refuse(self, ticket: ConnectTicket, message: str, data: Any = None) -> bool:
        """Answers ``ConnectAsked`` with no; the client gets ``message`` and ``data``. Its session stays and may
        retry.
        """
        with self.guard:
            return self.connecting.refuse(ticket, message, data)

    def finish_disconnect(self, socket: Socket) -> bool:
        """Answers ``DisconnectingAsked``: the socket leaves its rooms and is gone. Returns False if it was too late."""
        with self.guard:
            return self._leaving.finish(socket)

    def forget(self, socket: Socket) -> None:
        """Says that ``SocketDisconnected`` is handled: a client that comes back need not wait for that any more."""
        with self.guard:
            if self.restoring is not None:
                self.restoring.forget(socket)

    def answer_restore(self, ticket: RestoreTicket, trail: Trail | None) -> bool:
        """Takes the answer of a ``RecoveryStore`` that was asked for a trail; None if it has none. False: the ticket is
        dead. It may come at any time, from wherever commands may come, and the driver is woken.
        """
        with self.guard:
            answered = self.restoring is not None and self.restoring.answer(ticket, trail)
            self.engine.rouse()
            return answered

    def release(self, trail: Trail) -> None:
        """Takes from a ``RecoveryStore`` that it let a trail go: that socket does not come back."""
        with self.guard:
            if self.restoring is not None:
                self.restoring.release(trail)

    # Outputs

    def events(self) -> list[SocketEvent]:
        """Returns what happened since the last call, in order, and forgets it."""
        if self.engine.news:
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
                each.expelled = True
                self._leaving.end(each, "server namespace disconnect", None)
        if close:
            client.session.close()

    def stop_accepting(self) -> None:
        """From now on requests for new sessions get HTTP 503."""
        with self.guard:
            self.connecting.stop()

    def shut_down(self) -> None:
        """Ends every socket with ``"server shutting down"`` and closes every session gracefully; new ones get 503.

        Clients are told by the closing of their transport and not by a DISCONNECT packet, after which stock clients
        would not come back.
        """
        with self.guard:
            self.stop_accepting()
            for session in list(self.engine.sessions.values()):
                client: Client = session.client
                if client is not None:
                    for socket in list(client.sockets.values()):
                        self._leaving.end(socket, "server shutting down", None)
                session.close()
            if self.restoring is not None:
                self.restoring.close()
            self._advance()

    def cut_off(self) -> None:
        """Ends every session at once, and every socket that is on its way out, whoever is still being told."""
        with self.guard:
            self.engine.close(discard=True)
            self._advance()
            self._leaving.finish_all()

    # What the floor below tells

    def _advance(self) -> None:
        engine = self.engine
        while engine.news:
            for event in engine.events():
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
        self.connecting.receive_opened(client)

    def _closed(self, client: Client, reason: DisconnectReason, description: str | None) -> None:
        self.connecting.receive_closed(client)
        for socket in list(client.sockets.values()):
            self._leaving.end(socket, reason, description)

    def _message(self, client: Client, message: str | bytes) -> None:
        if client.decoder is None:
            return  # what came behind a packet that ended the session is not delivered
        client.received += len(message)
        try:
            if client.timer is not None and isinstance(message, bytes) and not self.connecting.admits_binary(client):
                raise RemoteProtocolError("binary before CONNECT")
            packet = client.decoder.feed(message)
            if packet is not None:
                size, client.received = client.received, 0
                self._packet(client, packet, size)
        except RemoteProtocolError as error:
            client.decoder = None
            for socket in list(client.sockets.values()):
                self._events.append(DecodeFailed(socket, error))
            client.session.close()

    def _packet(self, client: Client, packet: Packet, size: int) -> None:
        kind = packet.type
        socket = client.sockets.get(packet.namespace)
        if kind is EVENT:
            if socket is not None:
                self._events.append(EventReceived(socket, packet.data, packet.id, size))
                return
            if packet.namespace in client.waiting:
                self.connecting.receive_early(client.waiting[packet.namespace], packet, size)
                return
        elif kind is ACK:
            if socket is not None and packet.id is not None:
                socket.receive_ack(packet.id, packet.data)
                return
        elif kind is PacketType.CONNECT:
            self.connecting.receive_connect(client, packet)
            return
        elif kind is PacketType.DISCONNECT:
            if socket is not None:
                self._leaving.end(socket, "client namespace disconnect", None)
                return
            ticket = client.waiting.get(packet.namespace)
            if ticket is not None:  # it changed its mind before it was answered
                self.connecting.drop(ticket)
                return
        else:
            raise RemoteProtocolError("a client may not send this packet")
        # A packet that was under way when its namespace ended, or was refused, is late, which is normal; one before any
        # CONNECT is not.
        if not client.connects:
            raise RemoteProtocolError("a packet before CONNECT")

    # For the parts of this floor

    def tell(self, event: SocketEvent) -> None:
        """Leaves an event for the floor above."""
        self._events.append(event)

    def create(
        self, name: str, parent: DynamicNamespace | None, namespace_class: type[Namespace] = Namespace
    ) -> Namespace:
        """Makes a namespace and tells of it."""
        namespace = self.namespaces[name] = namespace_class(self, name, parent)
        if parent is not None:
            parent.children[name] = namespace
        if name != "/":
            self._events.append(NamespaceCreated(namespace))
        return namespace

    def clean_up(self, namespace: Namespace) -> None:
        """Lets a child of a dynamic namespace go when nobody is left."""
        # A child that nobody is in, and nobody is about to enter, goes: clients choose the names of children. One that
        # the application made stays, and with it the handlers that it may have.
        parent = namespace.parent
        if parent is None or namespace.name in self._kept:
            return
        if not namespace.sockets and not namespace.connecting and not namespace.away:
            namespace.adapter.close()
            if namespace.log is not None:
                namespace.log.close()
            parent.children.pop(namespace.name, None)
            self.namespaces.pop(namespace.name, None)
