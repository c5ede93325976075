"""A namespace: its sockets, its rooms, its middlewares and handlers."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from sioproto.errors import LocalProtocolError
from sioproto.handlers import Handlers, Listener
from sioproto.socketio.listening import Listening
from sioproto.socketio.operator import BroadcastOperator
from sioproto.socketio.registering import RegisteringWithSocket
from sioproto.socketio.sending import Sending, check_server_event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sioproto.guard import Guard
    from sioproto.socketio.adapter import Adapter
    from sioproto.socketio.dynamic import DynamicNamespace
    from sioproto.socketio.recovery import EventLog
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket

M = TypeVar("M", bound="Callable[..., Any]")


class Namespace(RegisteringWithSocket, Listening, Sending):
    """The sockets that are connected under one name, such as ``/`` or ``/admin``.

    Get one from ``of``. A subclass may have methods ``on_<event>``, which become handlers: ``on_connection(self,
    socket)``, ``on_disconnect(self, socket, reason)``, ``on_message(self, socket, text)``; pass it to ``of("/name",
    Subclass)``. Only methods of the subclass count, so nothing that this class has is ever taken for an event.
    """

    LIFECYCLE: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "connection": ("socket",),
        "connect": ("socket",),
        "disconnecting": ("socket", "reason", "description"),
        "disconnect": ("socket", "reason", "description"),
        "error": ("socket", "error"),
        "new_namespace": ("namespace",),
    }
    FIRST: ClassVar[tuple[str, ...]] = ("socket",)

    def __init__(self, server: SocketServer, name: str, parent: DynamicNamespace | None = None) -> None:
        super().__init__()
        self.server = server
        self.name = name
        self.parent = parent
        self.sockets: dict[str, Socket] = {}
        """The connected sockets of this server, by id."""
        self.connecting = 0
        """How many are still in their middlewares."""
        self.away = 0
        """How many were lost and may come back."""
        self.log: EventLog | None = server.make_log(self)
        """What was sent lately, if lost sockets are recovered."""
        self.adapter: Adapter = server.make_adapter(self)
        self.server_events = Handlers()
        """Handlers of what other servers send."""
        self._middlewares: list[Listener] = []
        self._next_ack_id = 0
        for event, method in collect_handlers(self, Namespace):
            self.on(event, method)

    def use(self, middleware: M) -> M:
        """Registers a middleware, as a decorator or called: ``middleware(socket)``, ``def`` or ``async def``.

        Middlewares run one after another, in order, before a socket connects. Raising ``ConnectError(message, data)``
        refuses the client, whose ``connect_error`` gets both; any other exception refuses with a fixed text and is
        reported to ``on_error``. Namespaces that exist already are not affected by those of others: ``io.use`` is for
        ``/`` only.
        """
        listener = Listener(middleware)
        listener.check("a middleware of a namespace", ("socket",))
        with self.guard:
            self._middlewares.append(listener)
        return middleware

    def middlewares(self) -> list[Listener]:
        """Returns the middlewares that a new socket has to pass, those of the dynamic parent first."""
        inherited = [] if self.parent is None else self.parent.middlewares()
        return inherited + self._middlewares

    def lifecycle_listeners(self, event: str) -> tuple[Listener, ...]:
        inherited = () if self.parent is None else self.parent.lifecycle_listeners(event)
        return inherited + super().lifecycle_listeners(event)

    def wire_listeners(self, event: str) -> tuple[Listener, ...]:
        listeners = super().wire_listeners(event)
        return listeners if self.parent is None else self.parent.wire_listeners(event) + listeners

    def hears(self, event: str) -> bool:
        return super().hears(event) or (self.parent is not None and self.parent.hears(event))

    def lone_listener(self, event: str) -> Listener | None:
        return super().lone_listener(event) if self.parent is None else None

    def catch_alls(self) -> tuple[Listener, ...]:
        listeners = super().catch_alls()
        return listeners if self.parent is None else self.parent.catch_alls() + listeners

    @property
    def everybody(self) -> BroadcastOperator:
        """All sockets of the namespace."""
        return BroadcastOperator(self)

    @property
    def guard(self) -> Guard:
        return self.server.guard

    @property
    def _namespace(self) -> Namespace:
        return self

    @overload
    def on_server_event(self, event: str, handler: M) -> M: ...
    @overload
    def on_server_event(self, event: str, handler: None = None) -> Callable[[M], M]: ...
    def on_server_event(self, event: str, handler: Any = None) -> Any:
        """Registers a handler for what other servers of a cluster sent with ``server_side_emit``; a decorator, too."""
        if handler is None:
            return lambda call: self.on_server_event(event, call)
        check_server_event(event)
        listener = Listener(handler)
        with self.guard:
            self.server_events.add(event, listener)
        return handler

    # For the floors around

    def next_ack_id(self) -> int:
        """Returns the next acknowledgement id: one counter for all sockets, so that one packet can serve them all."""
        ack_id = self._next_ack_id
        self._next_ack_id = ack_id + 1
        return ack_id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {len(self.sockets)} sockets>"


def collect_handlers(instance: object, base: type) -> list[tuple[str, Callable[..., Any]]]:
    """Returns ``(event, bound method)`` for the ``on_<event>`` methods that subclasses of ``base`` added."""
    found: dict[str, Callable[..., Any]] = {}
    for each in reversed(type(instance).__mro__):
        if issubclass(each, base) and each is not base:
            for name, value in vars(each).items():
                if name.startswith("on_") and name != "on_" and inspect.isfunction(value):
                    if hasattr(base, name):
                        raise LocalProtocolError(f"{name} is a method of every namespace and cannot handle an event")
                    found[name[3:]] = getattr(instance, name)
    return list(found.items())
