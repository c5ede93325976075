"""Rooms: who is in which, and who gets a broadcast.

``Adapter`` is the interface that a namespace needs; an adapter of a cluster implements it over other servers as well.
``MemoryAdapter`` keeps one process. It holds the sockets themselves in two maps of dicts, so that a room is iterated
in the order of joining and several rooms are united at the speed of ``dict.update``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sioproto.errors import LocalProtocolError
from sioproto.handlers import Observers
from sioproto.socketio.acks import BroadcastAck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sioproto.frame import Frame
    from sioproto.pending import Pending
    from sioproto.socketio.acks import BroadcastAnswers
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.remote import SocketLike
    from sioproto.socketio.socket import Socket


C = TypeVar("C", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Flags:
    """How to send: the modifiers of an operator."""

    volatile: bool = False
    compress: bool = True
    local: bool = False
    timeout: float | None = None
    """Seconds to wait for an acknowledgement; None for the server's ``ack_timeout``."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which sockets: members of any of ``rooms`` (or all, if there are none) that are in none of ``excluded``."""

    rooms: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()


NO_FLAGS = Flags()

ROOM_EVENTS = ("create_room", "join_room", "leave_room", "delete_room")


class Adapter(ABC):
    """What a namespace asks about rooms. All of it is plain calls; an adapter that must wait answers later."""

    recovers = False
    """Whether it keeps what is sent, so that clients that lost their connection can get it."""

    @abstractmethod
    def add_all(self, socket: Socket, rooms: Iterable[str]) -> None:
        """Puts a socket into rooms; being in one already changes nothing."""

    @abstractmethod
    def delete(self, socket: Socket, room: str) -> None:
        """Takes a socket out of a room, if it is in it."""

    @abstractmethod
    def delete_all(self, socket: Socket) -> None:
        """Takes a socket out of all its rooms."""

    @abstractmethod
    def socket_rooms(self, socket: Socket) -> frozenset[str]:
        """Returns the rooms of a socket."""

    @abstractmethod
    def select(self, selection: Selection) -> Sequence[Socket]:
        """Returns this server's connected sockets of a selection, each once, in the order of joining."""

    @abstractmethod
    def broadcast(self, args: tuple[Any, ...], selection: Selection, flags: Flags) -> None:
        """Sends an event to every socket of a selection; who joins later gets nothing."""

    @abstractmethod
    def broadcast_with_ack(
        self, args: tuple[Any, ...], selection: Selection, flags: Flags, pending: Pending[BroadcastAnswers[Any]]
    ) -> None:
        """Sends an event to a selection and settles ``pending`` when nobody is left who could still answer."""

    @abstractmethod
    def fetch_sockets(self, selection: Selection, flags: Flags, pending: Pending[list[SocketLike]]) -> None:
        """Settles ``pending`` with the sockets of a selection, those of other servers included."""

    @abstractmethod
    def count_sockets(self, selection: Selection, flags: Flags, pending: Pending[int]) -> None:
        """Settles ``pending`` with how many they are."""

    @abstractmethod
    def add_sockets(self, selection: Selection, flags: Flags, rooms: tuple[str, ...]) -> None:
        """Makes a selection enter rooms."""

    @abstractmethod
    def delete_sockets(self, selection: Selection, flags: Flags, rooms: tuple[str, ...]) -> None:
        """Makes a selection leave rooms."""

    @abstractmethod
    def disconnect_sockets(self, selection: Selection, flags: Flags, close: bool) -> None:
        """Disconnects a selection."""

    @abstractmethod
    def server_side_emit(self, args: tuple[Any, ...], pending: Pending[list[Any]] | None) -> None:
        """Sends an event to the other servers, and settles ``pending`` with one answer of each."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of what the adapter holds outside this process."""

    @overload
    def on(self, event: str, call: C) -> C: ...
    @overload
    def on(self, event: str, call: None = None) -> Callable[[C], C]: ...
    def on(self, event: str, call: Any = None) -> Any:
        """Observes ``create_room(room)``, ``join_room(room, id)``, ``leave_room(room, id)`` or ``delete_room(room)``.

        An observer is called in place and may neither wait nor change rooms.
        """
        raise LocalProtocolError(f"{type(self).__name__} tells nothing of rooms")


class MemoryAdapter(Adapter):
    """Rooms of one process."""

    __slots__ = ("_limit", "_namespace", "_observers", "rooms", "sids")

    def __init__(self, namespace: Namespace, max_rooms: int) -> None:
        self._namespace = namespace
        self._limit = max_rooms
        self._observers: Observers | None = None
        self.rooms: dict[str, dict[Socket, None]] = {}
        self.sids: dict[Socket, dict[str, None]] = {}

    def add_all(self, socket: Socket, rooms: Iterable[str]) -> None:
        own = self.sids.setdefault(socket, {})
        for room in rooms:
            if room not in own:
                # Its own room is entered when it is accepted, where nobody could handle an error.
                if len(own) >= self._limit and room != socket.id:
                    raise LocalProtocolError(f"a socket may be in {self._limit} rooms (option max_rooms)")
                own[room] = None
                members = self.rooms.get(room)
                if members is None:
                    members = self.rooms[room] = {}
                    if self._observers is not None:
                        self._observers.notify("create_room", room)
                members[socket] = None
                if self._observers is not None:
                    self._observers.notify("join_room", room, socket.id)

    def delete(self, socket: Socket, room: str) -> None:
        own = self.sids.get(socket)
        if own is not None and room in own:
            del own[room]
            self._leave(socket, room)

    def delete_all(self, socket: Socket) -> None:
        for room in self.sids.pop(socket, ()):
            self._leave(socket, room)

    def socket_rooms(self, socket: Socket) -> frozenset[str]:
        return frozenset(self.sids.get(socket, ()))

    def select(self, selection: Selection) -> Sequence[Socket]:
        found: Iterable[Socket]
        if not selection.rooms:
            found = self._namespace.sockets.values()
        elif len(selection.rooms) == 1:
            found = self.rooms.get(selection.rooms[0], ())
        else:
            united: dict[Socket, None] = {}
            for room in selection.rooms:
                united.update(self.rooms.get(room, {}))
            found = united
        if selection.excluded:
            gone: dict[Socket, None] = {}
            for room in selection.excluded:
                gone.update(self.rooms.get(room, {}))
            return [socket for socket in found if socket.accepted and socket not in gone]
        return [socket for socket in found if socket.accepted]

    def broadcast(self, args: tuple[Any, ...], selection: Selection, flags: Flags) -> None:
        frames = self.encode(args, selection, flags)
        volatile = flags.volatile
        for socket in self.select(selection):
            socket.send_frames(frames, volatile, args)

    def broadcast_with_ack(
        self, args: tuple[Any, ...], selection: Selection, flags: Flags, pending: Pending[BroadcastAnswers[Any]]
    ) -> None:
        namespace = self._namespace
        server = namespace.server
        ack_id = namespace.next_ack_id()
        frames = self.encode(args, selection, flags, ack_id)
        timeout = server.config.ack_timeout if flags.timeout is None else flags.timeout
        ack = BroadcastAck(ack_id, pending, timeout, server.timers)
        for socket in self.select(selection):
            if flags.volatile and not socket.conn.writable:
                ack.miss(socket, "dropped")
            else:
                ack.expect(socket)
                socket.expect_ack(ack_id, ack)
                socket.send_frames(frames, False, args)
        ack.seal()

    def fetch_sockets(self, selection: Selection, flags: Flags, pending: Pending[list[SocketLike]]) -> None:
        pending.resolve(list(self.select(selection)))

    def count_sockets(self, selection: Selection, flags: Flags, pending: Pending[int]) -> None:
        pending.resolve(len(self.select(selection)))

    def add_sockets(self, selection: Selection, flags: Flags, rooms: tuple[str, ...]) -> None:
        for socket in self.select(selection):
            self.add_all(socket, rooms)

    def delete_sockets(self, selection: Selection, flags: Flags, rooms: tuple[str, ...]) -> None:
        for socket in self.select(selection):
            for room in rooms:
                self.delete(socket, room)

    def disconnect_sockets(self, selection: Selection, flags: Flags, close: bool) -> None:
        for socket in self.select(selection):
            socket.disconnect(close)

    def server_side_emit(self, args: tuple[Any, ...], pending: Pending[list[Any]] | None) -> None:
        # There is no other server, so nobody is told and nobody answers.
        if pending is not None:
            pending.resolve([])

    def close(self) -> None:
        """Nothing is held outside this process."""

    def encode(
        self, args: tuple[Any, ...], selection: Selection, flags: Flags, ack_id: int | None = None
    ) -> tuple[Frame, ...]:
        """Returns the frames of a broadcast, once for all of its selection."""
        namespace = self._namespace
        return namespace.server.parser.encode_event(namespace.name, args, ack_id, flags.compress)

    def on(self, event: str, call: Any = None) -> Any:
        if self._observers is None:
            self._observers = Observers(ROOM_EVENTS, self._namespace.server.engine.report, self._namespace.guard)
        return self._observers.add(event, call)

    def _leave(self, socket: Socket, room: str) -> None:
        members = self.rooms[room]
        del members[socket]
        if self._observers is not None:
            self._observers.notify("leave_room", room, socket.id)
        if not members:
            del self.rooms[room]
            if self._observers is not None:
                self._observers.notify("delete_room", room)
