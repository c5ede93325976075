"""Sockets as ``fetch_sockets`` gives them: real ones of this server, and those of others in a cluster."""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Protocol, overload

from sioproto.socketio.operator import BroadcastOperator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sioproto.event import Answer, Askable, P, Sendable
    from sioproto.pending import Pending
    from sioproto.socketio.namespace import Namespace


class HandshakeLike(Protocol):
    """The nine fields of a handshake, wherever it took place."""

    @property
    def headers(self) -> dict[str, str]: ...
    @property
    def query(self) -> dict[str, str]: ...
    @property
    def url(self) -> str: ...
    @property
    def xdomain(self) -> bool: ...
    @property
    def time(self) -> str: ...

    auth: dict[str, Any]
    issued: int
    address: str
    secure: bool


class Asking(Protocol):
    """One socket, with a time-out for its answer."""

    @overload
    def emit_with_ack(self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs) -> Pending[Answer]:
        """Sends it an event and returns its answer."""
        ...

    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[Any]: ...


class SocketLike(Protocol):
    """What a local ``Socket`` and a ``RemoteSocket`` have in common."""

    @property
    def id(self) -> str:
        """The id of the socket, on whichever server."""
        ...

    @property
    def handshake(self) -> HandshakeLike:
        """How it came."""
        ...

    @property
    def rooms(self) -> frozenset[str]:
        """Its rooms: now, or at the time of asking if it is remote."""
        ...

    @property
    def data(self) -> dict[str, Any]:
        """Its data: the very dict, or a copy of the time of asking if it is remote."""
        ...

    @overload
    def emit(self, event: Sendable[P], *args: P.args, **kwargs: P.kwargs) -> None:
        """Sends it an event."""

    @overload
    def emit(self, event: str, *args: Any) -> None: ...

    def send(self, *args: Any) -> None:
        """Emits the event ``message``."""

    @overload
    def emit_with_ack(self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs) -> Pending[Answer]:
        """Sends it an event and returns its answer."""
        ...

    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[Any]: ...

    def timeout(self, seconds: float) -> Asking:
        """Sets how long ``emit_with_ack`` waits, in seconds."""
        ...

    def join(self, *rooms: str) -> None:
        """Makes it enter rooms."""

    def leave(self, room: str) -> None:
        """Makes it leave a room."""

    def disconnect(self, close: bool = False) -> None:
        """Disconnects it."""


class RemoteSocket:
    """A socket of another server, as it was when it was asked for. Commands reach it through the adapter."""

    __slots__ = ("_operator", "data", "handshake", "id", "rooms")

    def __init__(
        self,
        namespace: Namespace,
        sid: str,
        handshake: HandshakeLike,
        rooms: frozenset[str],
        data: Mapping[str, Any],
    ) -> None:
        self.id = sid
        self.handshake = handshake
        self.rooms = rooms
        self.data = dict(data)
        # A socket's id is the name of a room with just that socket.
        self._operator = BroadcastOperator(namespace).to(sid)

    @overload
    def emit(self, event: Sendable[P], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def emit(self, event: str, *args: Any) -> None: ...
    def emit(self, event: Any, *args: Any) -> None:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends it an event."""
        self._operator.emit(event, *args)

    def send(self, *args: Any) -> None:
        """Emits the event ``message``."""
        self._operator.emit("message", *args)

    @overload
    def emit_with_ack(self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs) -> Pending[Answer]: ...
    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[Any]: ...
    def emit_with_ack(self, event: Any, *args: Any) -> Pending[Any]:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends it an event and returns its answer; fails with ``AckTimeout`` or ``Disconnected`` if there is none."""
        return self._operator.emit_with_one_ack(event, *args)

    def timeout(self, seconds: float) -> RemoteSocket:
        """The same socket, with another time that ``emit_with_ack`` waits, in seconds."""
        socket = copy(self)
        socket._operator = self._operator.timeout(seconds)
        return socket

    def join(self, *rooms: str) -> None:
        """Makes it enter rooms."""
        self._operator.sockets_join(*rooms)

    def leave(self, room: str) -> None:
        """Makes it leave a room."""
        self._operator.sockets_leave(room)

    def disconnect(self, close: bool = False) -> None:
        """Disconnects it; see ``Socket.disconnect``."""
        self._operator.disconnect_sockets(close)
