"""Registering handlers, the same way on a namespace and on one socket.

Names on the wire and names of ours never meet: lifecycle handlers stand in a table of their own, so a client that
sends an event called ``connection`` or ``error`` reaches only a handler that asked for wire events.
"""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sioproto.errors import LocalProtocolError, ReservedEventError
from sioproto.event import Event
from sioproto.handlers import Handlers, Listener, without
from sioproto.socketio.packet import RESERVED_EVENTS
from sioproto.socketio.registering import Registering, Registration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sioproto.event import AnyEvent
    from sioproto.guard import Guard

H = TypeVar("H", bound="Callable[..., Any]")


class Listening(Registering):
    """Two tables of handlers: for what happens to a socket, and for what clients emit."""

    __slots__ = ("_any", "_lifecycle", "_wire")

    LIFECYCLE: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """The names of ours, each with what its handlers get."""
    FIRST: ClassVar[tuple[str, ...]] = ()
    """What handlers of clients' events get before the arguments."""

    def __init__(self) -> None:
        # Most sockets never get a handler of their own, so the tables are made when the first one comes.
        self._lifecycle: Handlers | None = None
        self._wire: Handlers | None = None
        self._any: tuple[Listener, ...] = ()

    @property
    @abstractmethod
    def guard(self) -> Guard:
        """What commands enter."""

    def off(self, event: str | AnyEvent, handler: Callable[..., Any] | None = None, *, wire: bool = False) -> None:
        """Removes one handler of an event, or all of them. What is not there is ignored."""
        with self.guard:
            if isinstance(event, Event):
                event, wire = event.name, True
            table = self._wire if wire or event not in self.LIFECYCLE else self._lifecycle
            if table is not None:
                table.remove(event if wire else self._canonical(event), handler)

    def on_any(self, handler: H) -> H:
        """Registers a catch-all, as a decorator or called: it gets the name and the arguments of every event of a
        client.

        It runs before socket middlewares and handlers, also for events that nobody handles, and never acknowledges.
        """
        with self.guard:
            self._any = (*self._any, Listener(handler))
            return handler

    def prepend_any(self, handler: H) -> H:
        """Like ``on_any``, before all others."""
        with self.guard:
            self._any = (Listener(handler), *self._any)
            return handler

    def off_any(self, handler: Callable[..., Any] | None = None) -> None:
        """Removes one catch-all, or all of them. What is not there is ignored."""
        with self.guard:
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
        """Returns who handles a client's event if that is just one, which is plain, and there is no catch-all."""
        return None if self._wire is None or self._any else self._wire.lone.get(event)

    def _register(self, event: str | AnyEvent, handler: Any, *, wire: bool, concurrent: bool, once: bool) -> Any:
        if isinstance(event, Event):
            return self._register_declared(event, handler, concurrent=concurrent, once=once)
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
            self._add_wire(event, listener)
        else:
            with self.guard:
                if self._lifecycle is None:
                    self._lifecycle = Handlers()
                self._lifecycle.add(self._canonical(event), listener)
        return handler

    def _register_declared(self, event: AnyEvent, handler: Any, *, concurrent: bool, once: bool) -> Any:
        if event.name in RESERVED_EVENTS:
            raise ReservedEventError(event.name)
        if handler is None:
            return Registration(lambda call: self._register_declared(event, call, concurrent=concurrent, once=once))
        checked = None if event.validate is None else event
        listener = Listener(handler, once=once, concurrent=concurrent, event=checked)
        given = (*self.FIRST, *map(inspect.formatannotation, event.types))
        listener.check(f"a handler of {event.name!r}", given)
        self._add_wire(event.name, listener)
        return handler

    def _add_wire(self, event: str, listener: Listener) -> None:
        with self.guard:
            if self._wire is None:
                self._wire = Handlers()
            self._wire.add(event, listener)

    def _canonical(self, event: str) -> str:
        return "connection" if event == "connect" and "connection" in self.LIFECYCLE else event
