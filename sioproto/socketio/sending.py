"""Sending to everybody, as a namespace and a server do it: each call begins a fresh operator, so no flag ever leaks."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, overload

from sioproto.errors import ReservedEventError
from sioproto.pending import Pending

if TYPE_CHECKING:
    from sioproto.event import Answer, Askable, P, Sendable
    from sioproto.socketio.acks import BroadcastAnswers
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.operator import BroadcastOperator
    from sioproto.socketio.remote import SocketLike

SERVER_EVENTS = frozenset({"connect", "connection", "new_namespace"})
"""Names that servers cannot send each other, because they mean something else there."""


class Sending:
    """The vocabulary of a broadcast, over all sockets of one namespace."""

    __slots__ = ()

    @property
    @abstractmethod
    def everybody(self) -> BroadcastOperator:
        """All sockets of the namespace."""

    @property
    @abstractmethod
    def _namespace(self) -> Namespace: ...

    @overload
    def emit(self, event: Sendable[P], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def emit(self, event: str, *args: Any) -> None: ...
    def emit(self, event: Any, *args: Any) -> None:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event to every socket of the namespace; see ``BroadcastOperator.emit``."""
        self.everybody.emit(event, *args)

    def send(self, *args: Any) -> None:
        """Emits the event ``message``."""
        self.everybody.emit("message", *args)

    @overload
    def emit_with_ack(
        self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs
    ) -> Pending[BroadcastAnswers[Answer]]: ...
    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[BroadcastAnswers[Any]]: ...
    def emit_with_ack(self, event: Any, *args: Any) -> Pending[Any]:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event to everybody and returns the answers; see ``BroadcastOperator.emit_with_ack``."""
        return self.everybody.emit_with_ack(event, *args)

    def to(self, *rooms: str) -> BroadcastOperator:
        """Whoever is in one of these rooms. A socket's id is a room, too."""
        return self.everybody.to(*rooms)

    def in_(self, *rooms: str) -> BroadcastOperator:
        """The same as ``to``."""
        return self.everybody.to(*rooms)

    def except_(self, *rooms: str) -> BroadcastOperator:
        """Everybody who is in none of these rooms."""
        return self.everybody.except_(*rooms)

    @property
    def volatile(self) -> BroadcastOperator:
        """Everybody whom an event can be sent to at once; the others miss it."""
        return self.everybody.volatile

    @property
    def local(self) -> BroadcastOperator:
        """Only the sockets of this server, not of others in a cluster."""
        return self.everybody.local

    def compress(self, compress: bool) -> BroadcastOperator:
        """Everybody, and whether a transport may compress the event."""
        return self.everybody.compress(compress)

    def timeout(self, seconds: float) -> BroadcastOperator:
        """Everybody, and how long ``emit_with_ack`` waits, in seconds."""
        return self.everybody.timeout(seconds)

    def fetch_sockets(self) -> Pending[list[SocketLike]]:
        """Returns all sockets, those of other servers included; see ``BroadcastOperator.fetch_sockets``."""
        return self.everybody.fetch_sockets()

    def count_sockets(self) -> Pending[int]:
        """Returns how many sockets there are, on all servers."""
        return self.everybody.count_sockets()

    def sockets_join(self, *rooms: str) -> None:
        """Makes every socket enter rooms."""
        self.everybody.sockets_join(*rooms)

    def sockets_leave(self, *rooms: str) -> None:
        """Makes every socket leave rooms."""
        self.everybody.sockets_leave(*rooms)

    def disconnect_sockets(self, close: bool = False) -> None:
        """Disconnects every socket; see ``Socket.disconnect``."""
        self.everybody.disconnect_sockets(close)

    def server_side_emit(self, event: str, *args: Any) -> None:
        """Sends an event to the other servers of a cluster, for their ``on_server_event`` handlers.

        Raises ``ReservedEventError`` for ``connect``, ``connection`` and ``new_namespace``.
        """
        check_server_event(event)
        with self._namespace.server.guard:
            self._namespace.adapter.server_side_emit((event, *args), None)

    def server_side_emit_with_ack(self, event: str, *args: Any) -> Pending[list[Any]]:
        """Like ``server_side_emit``, and returns one answer of each other server; an empty list where there is none."""
        check_server_event(event)
        with self._namespace.server.guard:
            pending: Pending[list[Any]] = Pending(self._namespace.server.waiting)
            self._namespace.adapter.server_side_emit((event, *args), pending)
            return pending


def check_server_event(event: str) -> None:
    """Raises ``TypeError`` unless a name is a ``str``, ``ReservedEventError`` for those that mean something else."""
    if not isinstance(event, str):
        raise TypeError(f"an event is named by a str, not {type(event).__name__}")
    if event in SERVER_EVENTS:
        raise ReservedEventError(event)
