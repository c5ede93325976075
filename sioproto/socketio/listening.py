"""Registering handlers, the same way on a namespace and on one socket.

Names on the wire and names of ours never meet: lifecycle handlers stand in a table of their own, so a client that
sends an event called ``connection`` or ``error`` reaches only a handler that asked for wire events.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from sioproto.errors import LocalProtocolError, ReservedEventError
from sioproto.handlers import Handlers, Listener, without
from sioproto.socketio.packet import RESERVED_EVENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

H = TypeVar("H", bound="Callable[..., Any]")


class Listening:
    """``on``, ``once`` and ``off`` over two tables: what happens to a socket, and what clients emit."""

    __slots__ = ("_any", "_lifecycle", "_wire")

    LIFECYCLE: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The names of ours, each with what its handlers get."""

    def __init__(self) -> None:
        # Most sockets never get a handler of their own, so the tables are made when the first one comes.
        self._lifecycle: Handlers | None = None
        self._wire: Handlers | None = None
        self._any: tuple[Listener, ...] = ()

    @overload
    def on(self, event: str, handler: H, *, wire: bool = False, concurrent: bool = False) -> H: ...
    @overload
    def on(
        self, event: str, handler: None = None, *, wire: bool = False, concurrent: bool = False
    ) -> Callable[[H], H]: ...
    def on(
        self, event: str, handler: H | None = None, *, wire: bool = False, concurrent: bool = False
    ) -> H | Callable[[H], H]:
        """Registers a handler, as a decorator or with the handler as second argument; ``def`` or ``async def``.

        A lifecycle name (``connection``, ``disconnecting``, ``disconnect``, ``error``, and on a server
        ``new_namespace``) registers for that, every other name for the client's event of that name; ``wire=True``
        asks for a client's event whatever its name. Handlers of one socket run one after another in the order of
        arrival; with ``concurrent=True`` the next one does not wait for this one, which runs beside it. Arguments
        that the handler does not take are dropped; if it needs more than came, the event is reported to ``on_error``
        and not acknowledged.

        What the handler returns is the acknowledgement, if the client asked for one: nothing gives none, a tuple gives
        several arguments, anything else one. A keyword-only parameter ``ack`` takes the matter over: it is a callable
        that sends its arguments, the first time it is called, or None if the client did not ask. Raises
        ``LocalProtocolError`` for something that cannot be a handler.
        """
        result: H | Callable[[H], H] = self._register(event, handler, wire=wire, concurrent=concurrent, once=False)
        return result

    @overload
    def once(self, event: str, handler: H, *, wire: bool = False) -> H: ...
    @overload
    def once(self, event: str, handler: None = None, *, wire: bool = False) -> Callable[[H], H]: ...
    def once(self, event: str, handler: H | None = None, *, wire: bool = False) -> H | Callable[[H], H]:
        """Like ``on``, for the next time only."""
        result: H | Callable[[H], H] = self._register(event, handler, wire=wire, concurrent=False, once=True)
        return result

    def off(self, event: str, handler: Callable[..., Any] | None = None, *, wire: bool = False) -> None:
        """Removes one handler of an event, or all of them. What is not there is ignored."""
        table = self._wire if wire or event not in self.LIFECYCLE else self._lifecycle
        if table is not None:
            table.remove(self._canonical(event), handler)

    def on_any(self, handler: H) -> H:
        """Registers a catch-all, as a decorator or called: it gets the name and the arguments of every event of a
        client.

        It runs before socket middlewares and handlers, also for events that nobody handles, and never acknowledges.
        """
        self._any = (*self._any, Listener(handler))
        return handler

    def prepend_any(self, handler: H) -> H:
        """Like ``on_any``, before all others."""
        self._any = (Listener(handler), *self._any)
        return handler

    def off_any(self, handler: Callable[..., Any] | None = None) -> None:
        """Removes one catch-all, or all of them. What is not there is ignored."""
        self._any = () if handler is None else without(self._any, handler)

    def any_listeners(self) -> tuple[Callable[..., Any], ...]:
        """Returns the catch-alls, in the order in which they are called."""
        return tuple(each.call for each in self.catch_alls())

    def catch_alls(self) -> tuple[Listener, ...]:
        """Returns who is to be told of every event of a client."""
        return self._any

    def lifecycle_listeners(self, event: str) -> tuple[Listener, ...]:
        """Returns who is to be told of a lifecycle event; those registered with ``once`` are gone afterwards."""
        return () if self._lifecycle is None else self._lifecycle.find(event)

    def wire_listeners(self, event: str) -> tuple[Listener, ...]:
        """Returns who handles a client's event; those registered with ``once`` are gone afterwards."""
        return () if self._wire is None else self._wire.find(event)

    def hears(self, event: str) -> bool:
        """Returns whether a client's event reaches a handler or a catch-all here; asking changes nothing."""
        return bool(self._any) or (self._wire is not None and event in self._wire)

    @property
    def unheeded(self) -> bool:
        """Whether no handler of events and no catch-all is registered here."""
        return self._wire is None and not self._any

    def lone_listener(self, event: str) -> Listener | None:
        """Returns who handles a client's event if that is just one, in order, and there is no catch-all."""
        return None if self._wire is None or self._any else self._wire.lone(event)

    def _register(self, event: str, handler: Any, *, wire: bool, concurrent: bool, once: bool) -> Any:
        if not isinstance(event, str):
            raise LocalProtocolError(f"an event is named by a str, not {type(event).__name__}")
        if event in RESERVED_EVENTS and (wire or event not in self.LIFECYCLE):
            raise ReservedEventError(event)
        if handler is None:
            return lambda call: self._register(event, call, wire=wire, concurrent=concurrent, once=once)
        listener = Listener(handler, once=once, concurrent=concurrent)
        if not wire and event in self.LIFECYCLE:
            listener.check(f"a handler of {event!r}", self.LIFECYCLE[event])
        if wire or event not in self.LIFECYCLE:
            if self._wire is None:
                self._wire = Handlers()
            self._wire.add(event, listener)
        else:
            if self._lifecycle is None:
                self._lifecycle = Handlers()
            self._lifecycle.add(self._canonical(event), listener)
        return handler

    def _canonical(self, event: str) -> str:
        return "connection" if event == "connect" and "connection" in self.LIFECYCLE else event
