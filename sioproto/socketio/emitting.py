"""What goes out, the same on a server's socket and on a client's: events, their modifiers, and who observes them."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from sioproto.handlers import observer_of, without
from sioproto.socketio.adapter import NO_FLAGS, Flags
from sioproto.socketio.listening import Listening
from sioproto.socketio.operator import EmitOperator, check_timeout
from sioproto.socketio.registering import RegisteringAlone

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.event import Answer, AnyEvent, Askable, P, Sendable
    from sioproto.handlers import Listener
    from sioproto.pending import Pending

M = TypeVar("M", bound="Callable[..., Any]")
Op = TypeVar("Op", bound=EmitOperator)


class Emitting(RegisteringAlone, Listening, Generic[Op]):
    """A socket of either side: it has handlers, and ``emit`` and its kin; its side says how flags are obeyed."""

    __slots__ = ("_outgoing",)

    def __init__(self) -> None:
        super().__init__()
        self._outgoing: tuple[Listener, ...] = ()

    @abstractmethod
    def emit_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> None:
        """Sends an event the way the flags say."""

    @abstractmethod
    def emit_with_ack_flagged(self, flags: Flags, event: str | AnyEvent, args: tuple[Any, ...]) -> Pending[Any]:
        """Sends an event that is to be acknowledged, the way the flags say."""

    @abstractmethod
    def operator(self, flags: Flags) -> Op:
        """Returns the operator for what is sent next."""

    @abstractmethod
    def report_observer(self, error: Exception, where: str) -> None:
        """Takes what an observer raised."""

    @overload
    def emit(self, event: Sendable[P], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def emit(self, event: str, *args: Any) -> None: ...
    def emit(self, event: Any, *args: Any) -> None:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event to the other side. One that cannot be delivered yet waits: a server's until its socket is
        accepted, a client's until it is connected.

        Raises ``ReservedEventError`` for a name that Socket.IO keeps and ``LocalProtocolError`` for arguments that
        cannot be encoded: JSON types, and ``bytes``, ``bytearray``, ``memoryview`` anywhere in them.
        """
        self.emit_flagged(NO_FLAGS, event, args)

    def send(self, *args: Any) -> None:
        """Emits the event ``message``."""
        self.emit_flagged(NO_FLAGS, "message", args)

    @overload
    def emit_with_ack(self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs) -> Pending[Answer]: ...
    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[Any]: ...
    def emit_with_ack(self, event: Any, *args: Any) -> Pending[Any]:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event and returns what the other side is going to answer.

        The result is None for no argument, the argument itself for one, a tuple for several. Waiting for it raises
        ``AckTimeout`` after ``ack_timeout`` seconds (or those of ``timeout``), and ``Disconnected`` when the socket
        goes first.
        """
        return self.emit_with_ack_flagged(NO_FLAGS, event, args)

    @property
    def volatile(self) -> Op:
        """For events that are dropped if they cannot be sent at once."""
        return self.operator(Flags(volatile=True))

    def compress(self, compress: bool) -> Op:
        """Says whether a transport may compress what is sent next; by default it may."""
        return self.operator(Flags(compress=compress))

    def timeout(self, seconds: float) -> Op:
        """Sets how long ``emit_with_ack`` waits, in seconds. Raises ``LocalProtocolError`` unless it is above 0."""
        check_timeout(seconds)
        return self.operator(Flags(timeout=seconds))

    # Observers of what is sent

    def on_any_outgoing(self, observer: M) -> M:
        """Observes what is sent to the other side: ``observer(event, *args)``, emits and broadcasts but no answers.

        It is called in place, when the event is handed to the connection, and may neither wait nor call back into the
        core. On a server it sees volatile events that are dropped, too.
        """
        with self.guard:
            self._outgoing = (*self._outgoing, observer_of("outgoing events", observer))
            return observer

    def prepend_any_outgoing(self, observer: M) -> M:
        """Like ``on_any_outgoing``, before all others."""
        with self.guard:
            self._outgoing = (observer_of("outgoing events", observer), *self._outgoing)
            return observer

    def off_any_outgoing(self, observer: Callable[..., Any] | None = None) -> None:
        """Removes one observer of what is sent, or all of them."""
        with self.guard:
            self._outgoing = () if observer is None else without(self._outgoing, observer)

    def any_outgoing_listeners(self) -> tuple[Callable[..., Any], ...]:
        """Returns the observers of what is sent."""
        return tuple(each.call for each in self._outgoing)

    def _observe_outgoing(self, args: tuple[Any, ...]) -> None:
        for observer in self._outgoing:
            try:
                observer.call(*observer.fit(args))
            except Exception as error:  # a user's code: its failure is reported and stops nobody
                self.report_observer(error, "outgoing events")
