"""Dynamic namespaces: one set of middlewares and handlers for every name that fits a pattern or a predicate.

A child is an ordinary namespace that comes to be when the first client asks for it and goes when the last one left.
It has no copy of what its parent has: it looks there, so that what is added to the parent later holds for it, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto.socketio.adapter import Adapter
from sioproto.socketio.namespace import Namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sioproto.pending import Pending
    from sioproto.socketio.acks import BroadcastAnswers
    from sioproto.socketio.adapter import Flags, Selection
    from sioproto.socketio.remote import SocketLike
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket


class DynamicNamespace(Namespace):
    """The parent of the namespaces that fit ``rule``: a compiled pattern, or ``predicate(name, auth) -> bool``.

    A pattern has to fit the whole name. A predicate may be ``async def``, where the runtime has that. ``emit`` and
    ``to`` reach all children, each under its own name; the parent itself has no sockets.
    """

    def __init__(self, server: SocketServer, rule: re.Pattern[str] | Callable[..., Any], number: int) -> None:
        super().__init__(server, f"/_{number}")
        self.adapter = FamilyAdapter(self)
        self.rule = rule
        self.children: dict[str, Namespace] = {}

    def fits(self, name: str) -> bool:
        """Whether a pattern fits. A predicate is a question for the floor above, and never fits here."""
        return isinstance(self.rule, re.Pattern) and self.rule.fullmatch(name) is not None

    @property
    def asks(self) -> bool:
        """Whether the rule is a predicate."""
        return not isinstance(self.rule, re.Pattern)


class FamilyAdapter(Adapter):
    """The adapter of a dynamic namespace: what is done to its sockets is done in each child, under the child's name."""

    def __init__(self, parent: DynamicNamespace) -> None:
        self._parent = parent

    def add_all(self, socket: Socket, rooms: Iterable[str]) -> None:
        raise LocalProtocolError(NO_SOCKETS)

    def delete(self, socket: Socket, room: str) -> None:
        raise LocalProtocolError(NO_SOCKETS)

    def delete_all(self, socket: Socket) -> None:
        raise LocalProtocolError(NO_SOCKETS)

    def socket_rooms(self, socket: Socket) -> frozenset[str]:
        raise LocalProtocolError(NO_SOCKETS)

    def select(self, selection: Selection) -> Sequence[Socket]:
        return [socket for adapter in self._adapters() for socket in adapter.select(selection)]

    def broadcast(self, args: tuple[Any, ...], selection: Selection, flags: Flags) -> None:
        for adapter in self._adapters():
            adapter.broadcast(args, selection, flags)

    def broadcast_with_ack(
        self, args: tuple[Any, ...], selection: Selection, flags: Flags, pending: Pending[BroadcastAnswers[Any]]
    ) -> None:
        raise LocalProtocolError(NO_ANSWERS)

    def fetch_sockets(self, selection: Selection, flags: Flags, pending: Pending[list[SocketLike]]) -> None:
        raise LocalProtocolError(NO_ANSWERS)

    def count_sockets(self, selection: Selection, flags: Flags, pending: Pending[int]) -> None:
        raise LocalProtocolError(NO_ANSWERS)

    def add_sockets(self, selection: Selection, flags: Flags, rooms: tuple[str, ...]) -> None:
        for adapter in self._adapters():
            adapter.add_sockets(selection, flags, rooms)

    def delete_sockets(self, selection: Selection, flags: Flags, rooms: tuple[str, ...]) -> None:
        for adapter in self._adapters():
            adapter.delete_sockets(selection, flags, rooms)

    def disconnect_sockets(self, selection: Selection, flags: Flags, close: bool) -> None:
        for adapter in self._adapters():
            adapter.disconnect_sockets(selection, flags, close)

    def server_side_emit(self, args: tuple[Any, ...], pending: Pending[list[Any]] | None) -> None:
        raise LocalProtocolError(NO_ANSWERS)

    def close(self) -> None:
        """Its children are closed one by one."""

    def _adapters(self) -> list[Adapter]:
        return [child.adapter for child in self._parent.children.values()]


NO_SOCKETS = "a dynamic namespace has no sockets of its own: they are in its children"
NO_ANSWERS = "a dynamic namespace cannot be asked: ask its children"
