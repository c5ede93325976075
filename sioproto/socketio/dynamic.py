"""Dynamic namespaces: one set of middlewares and handlers for every name that fits a pattern or a predicate.

A child is an ordinary namespace that comes to be when the first client asks for it and goes when the last one left.
It has no copy of what its parent has: it looks there, so that what is added to the parent later holds for it, too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sioproto.socketio.adapter import NO_FLAGS, Flags
from sioproto.socketio.namespace import Namespace
from sioproto.socketio.operator import EVERYBODY

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.socketio.adapter import Selection
    from sioproto.socketio.server import SocketServer


class DynamicNamespace(Namespace):
    """The parent of the namespaces that fit ``rule``: a compiled pattern, or ``predicate(name, auth) -> bool``.

    A pattern has to fit the whole name. A predicate may be ``async def``, where the runtime has that. ``emit`` and
    ``to`` reach all children, each under its own name; the parent itself has no sockets.
    """

    def __init__(self, server: SocketServer, rule: re.Pattern[str] | Callable[..., Any], number: int) -> None:
        super().__init__(server, f"/_{number}")
        self.rule = rule
        self.children: dict[str, Namespace] = {}

    def fits(self, name: str) -> bool:
        """Whether a pattern fits. A predicate is a question for the floor above, and never fits here."""
        return isinstance(self.rule, re.Pattern) and self.rule.fullmatch(name) is not None

    @property
    def asks(self) -> bool:
        """Whether the rule is a predicate."""
        return not isinstance(self.rule, re.Pattern)

    def broadcast(self, args: tuple[Any, ...], selection: Selection = EVERYBODY, flags: Flags = NO_FLAGS) -> None:
        for child in list(self.children.values()):
            child.broadcast(args, selection, flags)
