"""Rooms: who is in which, and who gets a broadcast.

``Adapter`` is the interface that a namespace needs; an adapter of a cluster implements it over other servers as well.
``MemoryAdapter`` keeps one process. It holds the sockets themselves in two maps of dicts, so that a room is iterated
in the order of joining and several rooms are united at the speed of ``dict.update``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.socket import Socket


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


class Adapter(ABC):
    """What a namespace asks about rooms. All of it is plain calls; an adapter that must wait answers later."""

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
    def close(self) -> None:
        """Lets go of what the adapter holds outside this process."""


class MemoryAdapter(Adapter):
    """Rooms of one process."""

    __slots__ = ("_limit", "_namespace", "rooms", "sids")

    def __init__(self, namespace: Namespace, max_rooms: int) -> None:
        self._namespace = namespace
        self._limit = max_rooms
        self.rooms: dict[str, dict[Socket, None]] = {}
        self.sids: dict[Socket, dict[str, None]] = {}

    def add_all(self, socket: Socket, rooms: Iterable[str]) -> None:
        own = self.sids.setdefault(socket, {})
        for room in rooms:
            if room not in own:
                if len(own) >= self._limit:
                    raise LocalProtocolError(f"a socket may be in {self._limit} rooms (option max_rooms)")
                own[room] = None
                self.rooms.setdefault(room, {})[socket] = None

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
        namespace = self._namespace
        frames = namespace.server.parser.encode_event(namespace.name, args, None, flags.compress)
        volatile = flags.volatile
        for socket in self.select(selection):
            socket.send_frames(frames, volatile, args)

    def close(self) -> None:
        """Nothing is held outside this process."""

    def _leave(self, socket: Socket, room: str) -> None:
        members = self.rooms[room]
        del members[socket]
        if not members:
            del self.rooms[room]
