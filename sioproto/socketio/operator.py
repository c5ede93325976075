"""Choosing whom to send to, and how: immutable operators.

Each modifier returns a new operator, so one may be kept and used again; nothing leaks from one ``emit`` into the next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, overload

from sioproto.errors import AckTimeout, Disconnected, LocalProtocolError, ReservedEventError
from sioproto.event import Answer, Event, P
from sioproto.pending import Pending
from sioproto.socketio.adapter import NO_FLAGS, Flags, Selection
from sioproto.socketio.packet import RESERVED_EVENTS

if TYPE_CHECKING:
    from typing import Self

    from sioproto.event import AnyEvent, Askable, Sendable
    from sioproto.socketio.acks import BroadcastAnswers
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.remote import SocketLike
    from sioproto.socketio.socket import Socket

EVERYBODY = Selection()


def name_of(event: str | AnyEvent) -> str:
    """Returns the name of an event.

    Raises ``TypeError`` for what is neither a ``str`` nor an ``Event``, ``ReservedEventError`` if Socket.IO keeps it.
    """
    if not isinstance(event, str):
        if not isinstance(event, Event):
            raise TypeError(f"an event is named by a str, not {type(event).__name__}")
        event = event.name
    if event in RESERVED_EVENTS:
        raise ReservedEventError(event)
    return event


def check_rooms(rooms: tuple[str, ...]) -> None:
    """Raises ``TypeError`` unless every room is a ``str``."""
    for room in rooms:
        if not isinstance(room, str):
            raise TypeError(f"a room is a str, not {type(room).__name__}")


def check_timeout(seconds: float) -> None:
    """Raises ``LocalProtocolError`` unless a time-out is above 0 seconds."""
    if not seconds > 0:
        raise LocalProtocolError(f"a time-out is above 0 seconds, not {seconds!r}")


class Emitter(Protocol):
    """Whoever can send an event with flags: a socket of either side."""

    def emit_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> None:
        """Sends an event the way the flags say."""

    def emit_with_ack_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> Pending[Any]:
        """Sends an event that is to be acknowledged, the way the flags say."""
        ...


class BroadcastOperator:
    """Sockets of one namespace to send to; made by ``to``, ``in_``, ``except_``, ``broadcast`` and the like."""

    __slots__ = ("_flags", "_namespace", "_selection")

    def __init__(self, namespace: Namespace, selection: Selection = EVERYBODY, flags: Flags = NO_FLAGS) -> None:
        self._namespace = namespace
        self._selection = selection
        self._flags = flags

    def to(self, *rooms: str) -> BroadcastOperator:
        """Adds rooms: whoever is in at least one of them gets the event, once. A socket's id is a room, too."""
        check_rooms(rooms)
        return self._with(replace(self._selection, rooms=self._selection.rooms + rooms))

    def in_(self, *rooms: str) -> BroadcastOperator:
        """The same as ``to``."""
        return self.to(*rooms)

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Leaves out whoever is in one of these rooms."""
        check_rooms(rooms)
        return self._with(replace(self._selection, excluded=self._selection.excluded + rooms))

    @property
    def volatile(self) -> BroadcastOperator:
        """Skips whom the event could not be sent to at once: no poll is held, or the WebSocket is blocked."""
        return BroadcastOperator(self._namespace, self._selection, replace(self._flags, volatile=True))

    @property
    def local(self) -> BroadcastOperator:
        """Only the sockets of this server, not of others in a cluster."""
        return BroadcastOperator(self._namespace, self._selection, replace(self._flags, local=True))

    def compress(self, compress: bool) -> BroadcastOperator:
        """Says whether a transport may compress the event; by default it may."""
        return BroadcastOperator(self._namespace, self._selection, replace(self._flags, compress=compress))

    @overload
    def emit(self, event: Sendable[P], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def emit(self, event: str, *args: Any) -> None: ...
    def emit(self, event: Any, *args: Any) -> None:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event to all of them, encoded once. Who joins later gets nothing.

        Raises ``ReservedEventError`` for a name that Socket.IO keeps, ``LocalProtocolError`` for arguments that
        cannot be encoded; then nobody gets anything.
        """
        name = name_of(event)
        namespace = self._namespace
        with namespace.server.guard:
            namespace.adapter.broadcast((name, *args), self._selection, self._flags)

    def send(self, *args: Any) -> None:
        """Emits the event ``message``."""
        self.emit("message", *args)

    def timeout(self, seconds: float) -> BroadcastOperator:
        """Sets how long ``emit_with_ack`` waits, in seconds. Raises ``LocalProtocolError`` unless it is above 0."""
        check_timeout(seconds)
        return BroadcastOperator(self._namespace, self._selection, replace(self._flags, timeout=seconds))

    @overload
    def emit_with_ack(
        self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs
    ) -> Pending[BroadcastAnswers[Answer]]: ...
    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[BroadcastAnswers[Any]]: ...
    def emit_with_ack(self, event: Any, *args: Any) -> Pending[Any]:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event to all of them and returns who answered what, and who is missing and why.

        It is done as soon as nobody is left who could still answer, at the latest after ``ack_timeout`` seconds (or
        those of ``timeout``); that somebody is missing raises nothing. With nobody to ask it is done at once.
        """
        name = name_of(event)
        namespace = self._namespace
        pending: Pending[BroadcastAnswers[Any]] = Pending(namespace.server.waiting)
        with namespace.server.guard:
            namespace.adapter.broadcast_with_ack((name, *args), self._selection, self._flags, pending)
        return pending

    def emit_with_one_ack(self, event: str | AnyEvent, *args: Any) -> Pending[Any]:
        """Like ``emit_with_ack`` for a selection of one socket: its answer, or ``AckTimeout`` or ``Disconnected``."""
        one: Pending[Any] = Pending(self._namespace.server.waiting)

        def settle(answers: Pending[BroadcastAnswers[Any]]) -> None:
            result = answers.result()
            for value in result.answers.values():
                one.resolve(value)
            one.reject(AckTimeout() if "timed out" in result.missing.values() else Disconnected())

        asked: Any = event  # which overload it is does not matter here
        self.emit_with_ack(asked, *args).on_done(settle)
        return one

    # What concerns the sockets themselves

    def fetch_sockets(self) -> Pending[list[SocketLike]]:
        """Returns the sockets: real ones of this server, ``RemoteSocket`` snapshots of others in a cluster."""
        namespace = self._namespace
        pending: Pending[list[SocketLike]] = Pending(namespace.server.waiting)
        with namespace.server.guard:
            namespace.adapter.fetch_sockets(self._selection, self._flags, pending)
        return pending

    def count_sockets(self) -> Pending[int]:
        """Returns how many they are."""
        namespace = self._namespace
        pending: Pending[int] = Pending(namespace.server.waiting)
        with namespace.server.guard:
            namespace.adapter.count_sockets(self._selection, self._flags, pending)
        return pending

    def sockets_join(self, *rooms: str) -> None:
        """Makes all of them enter rooms."""
        check_rooms(rooms)
        with self._namespace.server.guard:
            self._namespace.adapter.add_sockets(self._selection, self._flags, rooms)

    def sockets_leave(self, *rooms: str) -> None:
        """Makes all of them leave rooms."""
        check_rooms(rooms)
        with self._namespace.server.guard:
            self._namespace.adapter.delete_sockets(self._selection, self._flags, rooms)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Disconnects all of them; see ``Socket.disconnect``."""
        with self._namespace.server.guard:
            self._namespace.adapter.disconnect_sockets(self._selection, self._flags, close)

    def _with(self, selection: Selection) -> BroadcastOperator:
        return BroadcastOperator(self._namespace, selection, self._flags)


class EmitOperator:
    """One socket of either side, with modifiers for what is sent next: ``volatile``, ``compress`` and ``timeout``."""

    __slots__ = ("_flags", "_socket")

    def __init__(self, socket: Emitter, flags: Flags) -> None:
        self._socket = socket
        self._flags = flags

    @property
    def volatile(self) -> Self:
        """Drops the event if it cannot be sent at once."""
        return type(self)(self._socket, replace(self._flags, volatile=True))

    def compress(self, compress: bool) -> Self:
        """Says whether a transport may compress the event."""
        return type(self)(self._socket, replace(self._flags, compress=compress))

    def timeout(self, seconds: float) -> Self:
        """Sets how long ``emit_with_ack`` waits, in seconds. Raises ``LocalProtocolError`` unless it is above 0."""
        check_timeout(seconds)
        return type(self)(self._socket, replace(self._flags, timeout=seconds))

    @overload
    def emit(self, event: Sendable[P], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def emit(self, event: str, *args: Any) -> None: ...
    def emit(self, event: Any, *args: Any) -> None:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """See ``Socket.emit``."""
        self._socket.emit_flagged(self._flags, event, args)

    @overload
    def emit_with_ack(self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs) -> Pending[Answer]: ...
    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[Any]: ...
    def emit_with_ack(self, event: Any, *args: Any) -> Pending[Any]:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """See ``Socket.emit_with_ack``."""
        return self._socket.emit_with_ack_flagged(self._flags, event, args)

    def send(self, *args: Any) -> None:
        """Emits the event ``message``."""
        self.emit("message", *args)


class SocketOperator(EmitOperator):
    """A server's socket with modifiers, which may also send to others than its client."""

    __slots__ = ()

    _socket: Socket

    @property
    def broadcast(self) -> BroadcastOperator:
        """Everybody in the namespace but this socket."""
        return BroadcastOperator(self._socket.namespace, Selection((), (self._socket.id,)), self._flags)

    @property
    def local(self) -> BroadcastOperator:
        """Everybody in the namespace but this socket, on this server only."""
        return self.broadcast.local

    def to(self, *rooms: str) -> BroadcastOperator:
        """Whoever is in one of these rooms, but not this socket."""
        return self.broadcast.to(*rooms)

    def in_(self, *rooms: str) -> BroadcastOperator:
        """The same as ``to``."""
        return self.broadcast.to(*rooms)

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Everybody in the namespace but this socket and whoever is in one of these rooms."""
        return self.broadcast.except_(*rooms)
