"""Who asks for which namespace: from the CONNECT packet to a connected socket, or a refusal.

A CONNECT becomes a ticket, a question that is open until somebody accepts or refuses, or its client goes away.
Finding the namespace may be a question itself, when a dynamic one has a predicate.

Clients that have joined nothing yet have a limited time, and there may be only so many of them. Where one comes too
many, the one that has asked for nothing for the longest goes: refusing the new one would let anybody lock everybody
out.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from sioproto.engineio.http import client_address
from sioproto.errors import RemoteProtocolError
from sioproto.socketio.buffering import EarlyEvents
from sioproto.socketio.events import ConnectAsked, EventReceived, NamespaceAsked, SocketConnected
from sioproto.socketio.handshake import Handshake
from sioproto.socketio.socket import Socket, SocketState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto.engineio.session import Session
    from sioproto.socketio.client import Client
    from sioproto.socketio.dynamic import DynamicNamespace
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.packet import Packet
    from sioproto.socketio.recovery import Entry
    from sioproto.socketio.restoring import RestoreTicket
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.trail import RefusalReason, Trail

MINUTE = 60.0


class ConnectTicket:
    """One client that asks for one namespace."""

    __slots__ = ("asked", "auth", "claim", "client", "early", "name", "namespace", "parents", "socket")

    def __init__(self, client: Client, name: str, auth: dict[str, Any], parents: Iterator[DynamicNamespace]) -> None:
        self.client = client
        self.name = name
        self.auth = auth
        self.parents = parents
        """The dynamic namespaces that are still to be asked whether the name is theirs."""
        self.asked: DynamicNamespace | None = None
        """The one whose predicate is being asked."""
        self.namespace: Namespace | None = None
        """Where it leads, as soon as that is found."""
        self.claim: RestoreTicket | None = None
        """Set as long as the client may get the socket back that it had."""
        self.socket: Socket | None = None
        """Made as soon as the namespace is found and it is clear whether there is something to restore."""
        self.early: EarlyEvents | None = None
        """What the client sent without waiting for the answer."""

    @property
    def alive(self) -> bool:
        """Whether an answer still matters."""
        return self.client.waiting.get(self.name) is self


class Connecting:
    """The clients of a server that have joined nothing yet, the open tickets, and what becomes of them."""

    def __init__(self, server: SocketServer) -> None:
        self._server = server
        self._lane = server.timers.lane(server.config.connect_timeout, "connect", _connect_overdue)
        self._unconnected = 0
        self._idle: OrderedDict[Client, None] = OrderedDict()
        """Those of them without an open ticket, in the order in which they became so."""
        self._stopped = False

    def stop(self) -> None:
        """From now on there are no new sessions."""
        self._stopped = True
        self._admit()

    def receive_opened(self, client: Client) -> None:
        """Takes a new client. It has ``connect_timeout`` seconds to join a namespace."""
        client.timer = self._lane.arm(client)
        self._idle[client] = None
        self._unconnected += 1
        if self._unconnected > self._server.config.max_unconnected:
            oldest, _ = self._idle.popitem(last=False)
            oldest.session.close(discard=True)
        self._admit()

    def receive_closed(self, client: Client) -> None:
        """Takes the end of a client: nobody waits for its answers any more."""
        for ticket in list(client.waiting.values()):
            self.drop(ticket)
        if client.timer is not None:
            client.timer.cancel()
            self._idle.pop(client, None)
            self._unconnected -= 1
            self._admit()

    def receive_connect(self, client: Client, packet: Packet) -> None:
        """Takes a CONNECT packet (Socket.IO protocol, "Connection to a namespace")."""
        server, config, name = self._server, self._server.config, packet.namespace
        if name in client.sockets or name in client.waiting:
            return  # refusing a second CONNECT would make a stock client destroy its live socket
        now = server.environment.clock()
        if now - client.minute > MINUTE:
            client.minute, client.connects = now, 0
        client.connects += 1
        if (
            client.connects > config.connect_rate
            or len(client.waiting) >= config.max_pending_connects
            or len(client.waiting) + len(client.sockets) >= config.max_namespaces
        ):
            error = {"message": "Too many connection attempts"}
            client.session.write(server.parser.encode_connect_error(name, error))
            client.decoder = None  # what follows in the same read is not handled any more
            client.session.close()
            return
        ticket = ConnectTicket(client, name, packet.data, iter(tuple(server.dynamic)))
        client.waiting[name] = ticket
        if client.timer is not None:
            self._idle.pop(client, None)
            self._admit()
        namespace = server.namespaces.get(name)
        if namespace is not None:
            self._ask_socket(ticket, namespace)
        else:
            self._find_parent(ticket)

    def admits_binary(self, client: Client) -> bool:
        """Whether binary may come from a client that has joined nothing yet: behind a CONNECT, and not too much."""
        return client.connects > 0 and client.received <= self._server.config.max_early_bytes

    def receive_early(self, ticket: ConnectTicket, packet: Packet, size: int) -> None:
        """Takes an event of a client that does not wait for the answer to its CONNECT: it follows that, if it is a yes.

        Otherwise it would depend on how the network cuts the stream, and on how quick middlewares are, whether the
        event arrives. Raises ``RemoteProtocolError`` beyond the limits.
        """
        if ticket.early is None:
            config = self._server.config
            ticket.early = EarlyEvents(config.max_early, config.max_early_bytes)
        if not ticket.early.add(packet, size):
            raise RemoteProtocolError("too many events before CONNECT was answered")

    def answer_namespace(self, ticket: ConnectTicket, allowed: bool) -> bool:
        """A predicate said whether a name is its namespace's; after a no the next dynamic namespace is asked."""
        parent, ticket.asked = ticket.asked, None
        if parent is None or not ticket.alive:
            return False
        if allowed:
            # Another client may have brought the child into being meanwhile.
            namespace = self._server.namespaces.get(ticket.name)
            self._ask_socket(ticket, namespace or self._server.create(ticket.name, parent))
        else:
            self._find_parent(ticket)
        return True

    def accept(self, ticket: ConnectTicket) -> bool:
        """The socket is connected: into its own room, then the CONNECT packet, then whatever was emitted before.

        A restored one gets what it missed before that packet, as from Node.js, where one poll carries all of it. Where
        the client may be cut off in between it comes right behind: what comes before, the JavaScript client keeps over
        the next loss without noting how far it got, and then tells it twice.
        False as well if that is not kept any more: its client is asked about once more, as a new one.
        """
        socket, claim = ticket.socket, ticket.claim
        if socket is None or not ticket.alive:
            return False
        server, client, namespace = self._server, ticket.client, socket.namespace
        restoring, trail = server.restoring, socket.trail
        missed: list[Entry] | None = None
        if restoring is not None and claim is not None:
            found = restoring.collect(claim)
            if isinstance(found, str):
                restoring.give_up(claim, found)
                return False
            missed = found.entries
        del client.waiting[ticket.name]
        namespace.connecting -= 1
        if client.timer is not None:
            client.timer.cancel()
            client.timer = None
            self._unconnected -= 1
            self._admit()
        client.sockets[namespace.name] = socket
        namespace.sockets[socket.id] = socket
        if restoring is None or trail is None:
            namespace.adapter.add_all(socket, (socket.id,))
            client.session.write(server.parser.encode_connect(namespace.name, {"sid": socket.id}))
        else:
            restoring.accepted(socket, trail, claim)
            if missed is None:
                namespace.adapter.add_all(socket, (socket.id,))
            ids = {"sid": socket.id, "pid": trail.private_id}
            answer = server.parser.encode_connect(namespace.name, ids)
            owed = (entry for entry in missed or () if entry.ack_id is None or socket.owes(entry.ack_id))
            replay = [frame for entry in owed for frame in entry.frames]
            client.session.write([*replay, *answer] if writes_whole(client.session) else [*answer, *replay])
        socket.set_accepted()
        server.tell(SocketConnected(socket))
        if ticket.early is not None:
            for packet, size in ticket.early.take():
                server.tell(EventReceived(socket, packet.data, packet.id, size))
        return True

    def refuse(self, ticket: ConnectTicket, message: str, data: Any) -> bool:
        """The client gets a CONNECT_ERROR; its session stays, and it may ask again."""
        if not ticket.alive:
            return False
        error = {"message": message} if data is None else {"message": message, "data": data}
        frames = self._server.parser.encode_connect_error(ticket.name, error)
        if self._server.restoring is not None and ticket.claim is not None:
            self._server.restoring.refused(ticket.claim)
            ticket.claim = None
        self.drop(ticket)
        ticket.client.session.write(frames)
        return True

    def drop(self, ticket: ConnectTicket) -> None:
        """Forgets a ticket and the socket that it would have become."""
        client, socket, claim, namespace = ticket.client, ticket.socket, ticket.claim, ticket.namespace
        del client.waiting[ticket.name]
        if client.timer is not None and not client.waiting:
            self._idle[client] = None
            self._admit()
        if socket is not None:
            socket.set_gone(keep_acks=claim is not None)
            socket.state = SocketState.DISCONNECTED
            socket.namespace.adapter.delete_all(socket)
        if self._server.restoring is not None and claim is not None:
            self._server.restoring.drop(claim)
        if namespace is not None:
            namespace.connecting -= 1
            self._server.clean_up(namespace)

    def ask(
        self,
        ticket: ConnectTicket,
        namespace: Namespace,
        trail: Trail | None = None,
        refusal: RefusalReason | None = None,
    ) -> None:
        """Asks whether a socket may connect: one that goes on with a trail, or a new one."""
        server, request = self._server, ticket.client.session.request
        address, secure = client_address(request, server.engine_config)
        handshake = Handshake(request, ticket.auth, server.environment.wall(), address, secure)
        if trail is not None:
            socket = ticket.socket = Socket(ticket.client, namespace, trail.sid, handshake)
            socket.resume(trail)
            namespace.adapter.add_all(socket, tuple(trail.since))
            skip = server.restoring is not None and server.restoring.config.skip_middlewares
            server.tell(ConnectAsked(ticket, socket, trail.previous, skip))
            return
        socket = ticket.socket = Socket(ticket.client, namespace, server.environment.ids(), handshake)
        if server.restoring is not None and namespace.log is not None:
            server.restoring.begin(socket, namespace.log, refusal)
        server.tell(ConnectAsked(ticket, socket))

    def _find_parent(self, ticket: ConnectTicket) -> None:
        for parent in ticket.parents:
            if parent.asks:
                ticket.asked = parent
                self._server.tell(NamespaceAsked(ticket, parent))
                return
            if parent.fits(ticket.name):
                self._ask_socket(ticket, self._server.create(ticket.name, parent))
                return
        self.refuse(ticket, "Invalid namespace", None)

    def _ask_socket(self, ticket: ConnectTicket, namespace: Namespace) -> None:
        ticket.namespace = namespace
        namespace.connecting += 1
        if self._server.restoring is not None and ticket.auth.get("pid") is not None:
            self._server.restoring.receive_claim(ticket, namespace)
        else:
            self.ask(ticket, namespace)

    def _admit(self) -> None:
        """Takes new sessions as long as there is room for them, or one that can make room."""
        room = self._unconnected < self._server.config.max_unconnected
        self._server.engine.accepting = not self._stopped and (room or bool(self._idle))


def _connect_overdue(client: Client, _: float) -> None:
    # Not gracefully: a client that never came for its last packets would be kept for as long once more.
    client.session.close(discard=True)


def writes_whole(session: Session) -> bool:
    """Whether one ``write`` now arrives whole or not at all: in the answer to a poll, held or the next one."""
    return session.transport_name == "polling" and (session.writable or not session.upgrading)
