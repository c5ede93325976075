"""One client in one namespace: the ``Socket`` that handlers get."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sioproto.errors import Disconnected
from sioproto.handlers import Listener
from sioproto.pending import Pending
from sioproto.socketio.acks import Acks, SocketAck
from sioproto.socketio.adapter import NO_FLAGS, Flags
from sioproto.socketio.emitting import Emitting
from sioproto.socketio.operator import BroadcastOperator, SocketOperator, check_rooms, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sioproto.engineio.request import Request
    from sioproto.engineio.session import Session
    from sioproto.event import AnyEvent
    from sioproto.frame import Frame
    from sioproto.guard import Guard
    from sioproto.socketio.acks import Waiter
    from sioproto.socketio.client import Client
    from sioproto.socketio.handshake import Handshake
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.trail import RefusalReason, Trail


M = TypeVar("M", bound="Callable[..., Any]")


class SocketState(Enum):
    """Where a socket stands. It only ever moves downwards, one or more steps at a time."""

    CONNECTING = "asked to connect; its middlewares decide"
    CONNECTED = "connected"
    DISCONNECTING = "gone, still in its rooms"
    DISCONNECTED = "gone"


# As a global, because reaching a member through its enum costs several times as much.
CONNECTED = SocketState.CONNECTED


class Socket(Emitting[SocketOperator]):
    """A client in a namespace (Socket.IO documentation, "The Socket instance").

    Any attribute of your own may be set on it. After it disconnected every command is a harmless no-op, because being
    late is normal.
    """

    __slots__ = (
        "__dict__",
        "_acks",
        "_early",
        "client",
        "data",
        "expelled",
        "handshake",
        "id",
        "lane",
        "middlewares",
        "namespace",
        "recovered",
        "state",
        "trail",
    )

    LIFECYCLE: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "disconnecting": ("reason", "description"),
        "disconnect": ("reason", "description"),
        "error": ("error",),
    }

    def __init__(self, client: Client, namespace: Namespace, sid: str, handshake: Handshake) -> None:
        super().__init__()
        self.id = sid
        """20 characters, the same as ``socket.id`` on the client; also the name of a room with just this socket."""
        self.handshake = handshake
        self.data: dict[str, Any] = {}
        """Yours: whatever belongs to this client."""
        self.namespace = namespace
        self.client = client
        """What the sockets of one connection share: ``client.session`` and ``client.sockets``."""
        self.state = SocketState.CONNECTING
        self.recovered = False
        """Whether it continues a socket that was lost: with its id, rooms and data, and its client missed nothing."""
        self.trail: Trail | None = None
        """What is remembered so that it can be continued; None if lost sockets are not recovered."""
        self.expelled = False
        """Whether what its client sent before is not handled any more: the application disconnected it, or it is gone
        and its handlers took more than ``disconnecting_timeout``.
        """
        self.middlewares: tuple[Listener, ...] = ()
        """What each event of this client passes before its handlers."""
        self.lane: Any = None
        """A slot for the floor above."""
        self._acks: Acks[Socket] | None = None
        self._early: list[tuple[Frame, ...]] | None = None

    @property
    def conn(self) -> Session:
        """The Engine.IO session below, shared by the sockets of one connection in all namespaces."""
        return self.client.session

    @property
    def request(self) -> Request:
        """The first request of the session."""
        return self.client.session.request

    @property
    def connected(self) -> bool:
        """False in middlewares, true from acceptance until ``disconnecting`` is over, false in ``disconnect``."""
        return self.state in (SocketState.CONNECTED, SocketState.DISCONNECTING)

    @property
    def accepted(self) -> bool:
        """Whether it is connected and not on its way out; only then does it get broadcasts."""
        return self.state is CONNECTED

    @property
    def guard(self) -> Guard:
        return self.namespace.server.guard

    @property
    def private_id(self) -> str | None:
        """The secret by which its client can get it back, ``pid`` on the wire; None if sockets are not recovered."""
        return None if self.trail is None else self.trail.private_id

    @property
    def recovery_refused(self) -> RefusalReason | None:
        """Why its client, which asked for the socket that it had, got this new one; None if it did not ask."""
        return None if self.trail is None else self.trail.refusal

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms it is in now, its own id among them; empty in ``disconnect``."""
        with self.guard:
            return self.namespace.adapter.socket_rooms(self)

    # What comes in and goes out

    def use(self, middleware: M) -> M:
        """Registers a middleware for the events of this client: ``middleware(event, args)``, ``def`` or ``async def``.

        Middlewares run in order, after catch-alls and before handlers. ``args`` is the list that the handlers are
        going to get and may be changed. Raising refuses the event: no handler is called, no acknowledgement is sent,
        and the exception goes to the socket's ``error`` handlers; the client is not told.
        """
        listener = Listener(middleware)
        listener.check("a middleware of a socket", ("event", "args"))
        with self.guard:
            self.middlewares = (*self.middlewares, listener)
        return middleware

    # Rooms

    def join(self, *rooms: str) -> None:
        """Enters rooms. Being in one already changes nothing, and so does joining after the socket disconnected.

        Raises ``TypeError`` for anything but ``str`` and ``LocalProtocolError`` above ``max_rooms``.
        """
        with self.guard:
            check_rooms(rooms)
            if self.state is not SocketState.DISCONNECTED:
                self.namespace.adapter.add_all(self, rooms)

    def leave(self, room: str) -> None:
        """Leaves a room. Leaving the room of its own id is allowed, and makes ``to(socket.id)`` reach nobody."""
        with self.guard:
            check_rooms((room,))
            self.namespace.adapter.delete(self, room)

    # Sending to others; to this client: see Emitting

    @property
    def broadcast(self) -> BroadcastOperator:
        """Everybody in the namespace but this socket."""
        return SocketOperator(self, NO_FLAGS).broadcast

    @property
    def local(self) -> BroadcastOperator:
        """Everybody in the namespace but this socket, on this server only."""
        return SocketOperator(self, NO_FLAGS).broadcast.local

    def to(self, *rooms: str) -> BroadcastOperator:
        """Whoever is in one of these rooms, but not this socket."""
        return SocketOperator(self, NO_FLAGS).to(*rooms)

    def in_(self, *rooms: str) -> BroadcastOperator:
        """The same as ``to``."""
        return SocketOperator(self, NO_FLAGS).to(*rooms)

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Everybody in the namespace but this socket and whoever is in one of these rooms."""
        return SocketOperator(self, NO_FLAGS).except_(*rooms)

    def drained(self) -> Pending[None]:
        """Returns what is done once the client's transport took everything that waited for it, or the session ended.

        A loop that sends much waits for it now and then, so that a slow client slows it down instead of being cut off.
        """
        with self.guard:
            pending: Pending[None] = Pending(self.namespace.server.waiting)
            self.conn.when_drained(lambda: pending.resolve(None))
            return pending

    def disconnect(self, close: bool = False) -> None:
        """Tells the client that it is disconnected from this namespace; stock clients do not come back by themselves.

        The reason is ``"server namespace disconnect"``. ``close=True`` disconnects all namespaces of the connection and
        closes it; what was queued is delivered first. Does nothing unless the socket is connected.
        """
        with self.guard:
            if self.state is SocketState.CONNECTED:
                self.namespace.server.disconnect(self, close)

    # For the floors around

    def operator(self, flags: Flags) -> SocketOperator:
        """Returns the operator for what is sent next; it can send to others as well."""
        return SocketOperator(self, flags)

    def report_observer(self, error: Exception, where: str) -> None:
        """Takes what an observer raised."""
        self.namespace.server.engine.report(error, where)

    def emit_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> None:
        """Sends an event the way the flags say."""
        name = name_of(event)
        namespace = self.namespace
        with namespace.server.guard:
            args = (name, *args)
            trail = self.trail
            if trail is None or trail.over:
                frames = namespace.server.parser.encode_event(namespace.name, args, None, flags.compress)
            elif flags.volatile:
                frames = trail.log.encode(args, flags.compress)
            else:
                frames = trail.log.append(args, flags.compress, only=self.id)
                if self.state in (SocketState.DISCONNECTING, SocketState.DISCONNECTED):
                    # It was lost. The one that continues it gets the event, now or when it comes.
                    if trail.socket is not None and trail.socket is not self:
                        trail.socket.send_frames(frames, False, args)
                    return
            self.send_frames(frames, flags.volatile, args)

    def emit_with_ack_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> Pending[Any]:
        """Sends an event that is to be acknowledged, the way the flags say."""
        name = name_of(event)
        namespace = self.namespace
        server = namespace.server
        with server.guard:
            ack_id = namespace.next_ack_id()
            args = (name, *args)
            pending: Pending[Any] = Pending(server.waiting)
            trail, gone = self.trail, self.state in (SocketState.DISCONNECTING, SocketState.DISCONNECTED)
            if trail is None or gone or flags.volatile:
                frames = server.parser.encode_event(namespace.name, args, ack_id, flags.compress)
            else:
                frames = trail.log.append(args, flags.compress, only=self.id, ack_id=ack_id)
            if gone:
                pending.reject(Disconnected())
                return pending
            ack = SocketAck(self, ack_id, pending)
            timeout = flags.timeout
            ack.timer = server.ack_lane.arm(ack) if timeout is None else server.timers.after(timeout, ack.time_out)
            self.expect_ack(ack_id, ack)
            self.send_frames(frames, flags.volatile, args)
            return pending

    def send_frames(self, frames: tuple[Frame, ...], volatile: bool, args: tuple[Any, ...]) -> None:
        """Sends what is encoded already; ``args`` is what it says."""
        if self._outgoing:
            self._observe_outgoing(args)
        if self.state is CONNECTED:
            session = self.client.session
            if not volatile or session.writable:
                session.write(frames)
        elif self.state is SocketState.CONNECTING and not volatile and not self.recovered:
            if self._early is None:
                self._early = []
            self._early.append(frames)

    def acknowledge(self, ack_id: int, args: Sequence[Any]) -> bool:
        """Answers an event of the client. Returns False when the socket is gone; the caller answers each id once."""
        if self.state is not CONNECTED:
            return False
        namespace = self.namespace
        return self.client.session.write(namespace.server.parser.encode_ack(namespace.name, args, ack_id))

    def expect_ack(self, ack_id: int, waiter: Waiter[Socket]) -> None:
        """Remembers who waits for an acknowledgement of this client."""
        if self._acks is None:
            self._acks = Acks(self, self.namespace.server.config.max_acks)
        self._acks.expect(ack_id, waiter)

    def forget_ack(self, ack_id: int) -> None:
        """Nobody waits for it any more."""
        if self._acks is not None:
            self._acks.forget(ack_id)

    def receive_ack(self, ack_id: int, args: Sequence[Any]) -> None:
        """Takes an acknowledgement of the client; one that nobody waits for is ignored."""
        if self._acks is not None:
            self._acks.answer(ack_id, args)

    def set_accepted(self) -> None:
        """The client has been told that it is connected; what was emitted before follows."""
        self.state = SocketState.CONNECTED
        early, self._early = self._early, None
        for frames in early or ():
            self.client.session.write(frames)

    def set_gone(self, keep_acks: bool = False) -> None:
        """Nothing is sent any more; whoever waits for an acknowledgement is told, unless it may still come."""
        self.state = SocketState.DISCONNECTING
        self._early = None
        if not keep_acks:
            self.fail_acks()

    def fail_acks(self) -> None:
        """Tells whoever waits for an acknowledgement that it does not come."""
        if self._acks is not None:
            self._acks.leave()
            self._acks = None

    def owes(self, ack_id: int) -> bool:
        """Whether somebody waits for this acknowledgement."""
        return self._acks is not None and ack_id in self._acks

    @property
    def owes_any(self) -> bool:
        """Whether somebody waits for an acknowledgement."""
        return self._acks is not None and len(self._acks) > 0

    def resume(self, trail: Trail) -> None:
        """Continues a socket that was lost: with its data, and with the acknowledgements that it owes."""
        lost, self.trail, trail.socket = trail.socket, trail, self
        self.recovered = True
        self.data = trail.data
        if lost is not None and lost._acks is not None:
            self._acks, lost._acks = lost._acks, None
            self._acks.move(self)

    def __repr__(self) -> str:
        return f"<Socket {self.id} in {self.namespace.name}, {self.state.name.lower()}>"
