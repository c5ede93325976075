"""How a socket that was lost comes back: from the private id in a CONNECT to a socket that goes on, or to a new one.

A client may come back before anybody noticed that it was gone. Then its old connection is ended first, the old socket
leaves as any other does, and only then the trail is taken up again. It may also come back a second time, because the
answer was lost, or because its network goes up and down: the latest CONNECT counts, and the trail that an earlier one
holds goes back to the store.

The rule not to be broken: for each private id there is one socket at most, and the trail is in one place: with that
socket, with the ticket that asks for it, or in the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.socketio.events import RestoreRefused
from sioproto.socketio.recovery import MemoryStore
from sioproto.socketio.socket import SocketState
from sioproto.socketio.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.config import Recovery
    from sioproto.socketio.connecting import ConnectTicket
    from sioproto.socketio.events import DisconnectReason
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.recovery import EventLog, Missed, RecoveryStore
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket
    from sioproto.socketio.trail import RefusalReason
    from sioproto.timers import Timer

RECOVERABLE: frozenset[DisconnectReason] = frozenset(
    ("transport error", "transport close", "forced close", "ping timeout", "server shutting down")
)
"""The ends after which a client may come back; the others say that somebody wanted it to end, or broke the protocol."""

MAX_CLAIM = 64
"""Characters of a private id or an offset."""


class RestoreTicket:
    """One client that says that it was here before."""

    __slots__ = ("connect", "missed", "namespace", "offset", "private_id", "timer", "trail")

    def __init__(self, connect: ConnectTicket, namespace: Namespace, private_id: str, offset: str | None) -> None:
        self.connect = connect
        self.namespace = namespace
        self.private_id = private_id
        self.offset = offset
        """The offset that the client saw last; None if it saw none yet."""
        self.timer: Timer | None = None
        self.trail: Trail | None = None
        """What the store answered."""
        self.missed: Missed | None = None

    @property
    def key(self) -> tuple[str, str]:
        """What there is one trail for."""
        return self.namespace.name, self.private_id


class Restoring:
    """Who may come back, and who is coming back."""

    def __init__(
        self, server: SocketServer, config: Recovery, store: Callable[[SocketServer], RecoveryStore] | None
    ) -> None:
        self._server = server
        self.config = config
        self.store = MemoryStore(server) if store is None else store(server)
        self._lane = server.timers.lane(config.store_timeout, "restore", self._overdue)
        self._present: dict[tuple[str, str], Socket] = {}
        """The sockets that are connected, or on their way out."""
        self._tickets: dict[tuple[str, str], RestoreTicket] = {}

    # Coming

    def begin(self, socket: Socket, log: EventLog, refusal: RefusalReason | None) -> None:
        """Gives a new socket a trail. ``refusal`` says why its client could not be given back its old one."""
        socket.trail = Trail(socket, log, self._server.environment.ids())
        socket.trail.refusal = refusal
        if refusal is not None:
            self._server.tell(RestoreRefused(socket, refusal))

    def receive_claim(self, connect: ConnectTicket, namespace: Namespace) -> None:
        """Takes a CONNECT with a private id."""
        private_id, offset = connect.auth["pid"], connect.auth.get("offset")
        if not is_claim(private_id) or not (offset is None or is_claim(offset)):
            self._server.connecting.ask(connect, namespace, refusal="invalid")
            return
        ticket = connect.claim = RestoreTicket(connect, namespace, private_id, offset)
        earlier = self._tickets.get(ticket.key)
        self._tickets[ticket.key] = ticket
        if earlier is not None:
            # Its client gave that connection up.
            self._server.connecting.drop(earlier.connect)
            earlier.connect.client.session.end("transport close", CAME_BACK)
        present = self._present.get(ticket.key)
        if present is None:
            self._ask_store(ticket)
        elif present.trail is not None and present.trail.over:
            self._refuse(ticket, "unknown")
        elif present.state is SocketState.CONNECTED:
            # How that ends the socket is the usual way; ``gone`` goes on from there.
            present.client.session.end("transport close", CAME_BACK)

    def answer(self, ticket: RestoreTicket, trail: Trail | None) -> bool:
        """Takes the store's answer. A trail that this ticket does not need any more goes to the latest one, or back."""
        if ticket.timer is None:
            if trail is not None:
                latest = self._tickets.get(ticket.key)
                if latest is not None and latest.timer is not None:
                    self.answer(latest, trail)
                else:
                    self._store(trail)
            return False
        ticket.timer.cancel()
        ticket.timer = None
        if trail is None:
            self._refuse(ticket, "unknown")
            return True
        ticket.trail = trail
        ticket.namespace.away -= 1
        missed = self._look(ticket, trail)
        if isinstance(missed, str):
            self._refuse(ticket, missed)
        else:
            ticket.missed = missed
            self._server.connecting.ask(ticket.connect, ticket.namespace, trail)
        return True

    def collect(self, ticket: RestoreTicket) -> Missed | RefusalReason:
        """Returns what a restored socket is to be given now that it is accepted, or why that cannot be any more."""
        trail, missed = ticket.trail, ticket.missed
        if trail is None or missed is None:
            return "unknown"
        if missed.number == trail.log.number:
            return missed
        return self._look(ticket, trail)

    def give_up(self, ticket: RestoreTicket, refusal: RefusalReason) -> None:
        """A socket that was being restored cannot be any more; its client is to get a new one."""
        socket = ticket.connect.socket
        if socket is not None:
            socket.set_gone()
            socket.state = SocketState.DISCONNECTED
            socket.namespace.adapter.delete_all(socket)
        self._refuse(ticket, refusal)

    def refused(self, ticket: RestoreTicket) -> None:
        """The application refused a socket that was being restored."""
        if self._tickets.get(ticket.key) is ticket:
            del self._tickets[ticket.key]
        if ticket.trail is not None:
            self._end(ticket.trail)
            ticket.trail = None

    def drop(self, ticket: RestoreTicket) -> None:
        """The client of a ticket is gone, or came back once more: the trail waits again."""
        if self._tickets.get(ticket.key) is ticket:
            del self._tickets[ticket.key]
        if ticket.timer is not None:
            ticket.timer.cancel()
            ticket.timer = None
        if ticket.trail is not None:
            trail, ticket.trail = ticket.trail, None
            self._save(trail)

    def accepted(self, socket: Socket, trail: Trail, ticket: RestoreTicket | None) -> None:
        """A socket is connected, restored or new."""
        if ticket is not None:
            del self._tickets[ticket.key]
            ticket.trail = None
        else:
            trail.entered = trail.log.number
        trail.entered_at = self._server.environment.clock()
        self._present[trail.namespace, trail.private_id] = socket

    # Going

    def lost(self, socket: Socket, trail: Trail, reason: DisconnectReason) -> None:
        """A socket is on its way out. What it got before the last ping that it answered, it has."""
        trail.over = reason not in RECOVERABLE
        confirmed = socket.client.session.heartbeat.confirmed
        if confirmed > trail.entered_at:
            trail.confirmed = confirmed

    def save(self, socket: Socket, trail: Trail) -> None:
        """A socket is about to leave its rooms: its trail waits for its client, if that may come back."""
        if trail.over:
            return
        trail.data = socket.data
        self._save(trail)

    def gone(self, socket: Socket, trail: Trail) -> None:
        """A socket has left; whoever waits for that goes on."""
        key = trail.namespace, trail.private_id
        del self._present[key]
        trail.previous = socket
        ticket = self._tickets.get(key)
        if ticket is not None:
            self._ask_store(ticket)

    def forget(self, socket: Socket) -> None:
        """The end of a socket is handled, so nobody needs to wait for that."""
        if socket.trail is not None and socket.trail.previous is socket:
            socket.trail.previous = None

    def release(self, trail: Trail) -> None:
        """The store let a trail go: that socket does not come back."""
        namespace = self._server.namespaces.get(trail.namespace)
        self._end(trail)
        if namespace is not None:
            namespace.away -= 1
            self._server.clean_up(namespace)

    def close(self) -> None:
        """The server ends."""
        try:
            self.store.close()
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            self._server.engine.report(error, "recovery_store.close")
        for namespace in self._server.namespaces.values():
            if namespace.log is not None:
                namespace.log.close()

    # Below this line: helpers

    def _save(self, trail: Trail) -> None:
        # Of the socket that is gone only the answers are of use that are awaited from it.
        if trail.socket is not None and not trail.socket.owes_any:
            trail.socket = None
        self._server.namespaces[trail.namespace].away += 1
        self._store(trail)

    def _store(self, trail: Trail) -> None:
        try:
            self.store.save(trail)
        except Exception as error:  # a user's code: its failure is reported, and the socket does not come back
            self._server.engine.report(error, "recovery_store.save")
            self.release(trail)

    def _end(self, trail: Trail) -> None:
        trail.over = True
        trail.previous = None
        if trail.socket is not None:
            trail.socket.fail_acks()
            trail.socket = None

    def _ask_store(self, ticket: RestoreTicket) -> None:
        ticket.timer = self._lane.arm(ticket)
        try:
            self.store.restore(ticket)
        except Exception as error:  # a user's code: its failure is reported, and the client gets a new socket
            self._server.engine.report(error, "recovery_store.restore")
            if ticket.timer is not None:
                ticket.timer.cancel()
                self._overdue(ticket, 0.0)

    def _overdue(self, ticket: RestoreTicket, _: float) -> None:
        ticket.timer = None
        self._refuse(ticket, "store")

    def _look(self, ticket: RestoreTicket, trail: Trail) -> Missed | RefusalReason:
        """Finds what was missed, or says why that cannot be given back."""
        offset = 0 if ticket.offset is None else trail.log.read_offset(ticket.offset)
        if offset is None:
            return "invalid"
        room = self._server.engine_config.max_send_buffer - ticket.connect.client.session.weight
        return trail.log.missed(trail, offset, room)

    def _refuse(self, ticket: RestoreTicket, refusal: RefusalReason) -> None:
        self.refused(ticket)
        connect = ticket.connect
        connect.claim = connect.socket = None
        self._server.connecting.ask(connect, ticket.namespace, refusal=refusal)


CAME_BACK = "its client came back"


def is_claim(value: object) -> bool:
    """Whether something that a client sent may be a private id or an offset."""
    return isinstance(value, str) and 0 < len(value) <= MAX_CLAIM
