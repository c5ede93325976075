"""``on`` and ``once``, with what a type checker is to know of handlers: those that get a socket, and those that do not.

A handler of a declared ``Event`` has to take its arguments and to return its answer. One that takes ``ack`` may return
anything.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from sioproto.event import Answer, Args, R

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from sioproto.event import AnyEvent, Event
    from sioproto.socketio.acks import Ack
    from sioproto.socketio.socket import Socket

R_co = TypeVar("R_co", covariant=True)
H = TypeVar("H", bound="Callable[..., Any]")


class Registering:
    """``off``, and where ``on`` and ``once`` lead to."""

    __slots__ = ()

    @abstractmethod
    def _register(self, event: str | AnyEvent, handler: Any, *, wire: bool, concurrent: bool, once: bool) -> Any:
        """Registers a handler and returns it; without one, returns the decorator that does."""

    @abstractmethod
    def off(self, event: str | AnyEvent, handler: Callable[..., Any] | None = None, *, wire: bool = False) -> None:
        """Removes one handler of an event, or all of them. What is not there is ignored."""


class RegisteringWithSocket(Registering):
    """``on`` and ``once`` where there are many sockets: handlers get the socket first, then the arguments."""

    __slots__ = ()

    @overload
    def on(
        self, event: Event[Answer, *Args], handler: None = None, *, concurrent: bool = False
    ) -> Registration[Answer, Socket, *Args]: ...
    @overload
    def on(
        self,
        event: Event[Answer, *Args],
        handler: Callable[[Socket, *Args], Answer | Awaitable[Answer]],
        *,
        concurrent: bool = False,
    ) -> Callable[[Socket, *Args], Answer | Awaitable[Answer]]: ...
    @overload
    def on(
        self, event: Event[Any, *Args], handler: Acks[object, Socket, *Args], *, concurrent: bool = False
    ) -> Acks[object, Socket, *Args]: ...
    @overload
    def on(self, event: str, handler: H, *, wire: bool = False, concurrent: bool = False) -> H: ...
    @overload
    def on(
        self, event: str, handler: None = None, *, wire: bool = False, concurrent: bool = False
    ) -> Callable[[H], H]: ...
    def on(self, event: Any, handler: Any = None, *, wire: bool = False, concurrent: bool = False) -> Any:
        """Registers a handler, as a decorator or with the handler as second argument; ``def`` or ``async def``.

        A lifecycle name (``connection``, ``disconnecting``, ``disconnect``, ``error``, and on a server
        ``new_namespace``) registers for that, every other name for the client's event of that name; ``wire=True``
        asks for a client's event whatever its name, and so does a declared ``Event``. Handlers of one socket run one
        after another in the order of arrival; with ``concurrent=True`` the next one does not wait for this one, which
        runs beside it. Arguments that the handler does not take are dropped; if it needs more than came, the event is
        reported to ``on_error`` and not acknowledged.

        What the handler returns is the acknowledgement, if the client asked for one: nothing gives none, a tuple gives
        several arguments, anything else one. A keyword-only parameter ``ack`` takes the matter over: it is a callable
        that sends its arguments, the first time it is called, or None if the client did not ask. Raises
        ``LocalProtocolError`` for something that cannot be a handler.
        """
        return self._register(event, handler, wire=wire, concurrent=concurrent, once=False)

    @overload
    def once(self, event: Event[Answer, *Args], handler: None = None) -> Registration[Answer, Socket, *Args]: ...
    @overload
    def once(
        self, event: Event[Answer, *Args], handler: Callable[[Socket, *Args], Answer | Awaitable[Answer]]
    ) -> Callable[[Socket, *Args], Answer | Awaitable[Answer]]: ...
    @overload
    def once(self, event: Event[Any, *Args], handler: Acks[object, Socket, *Args]) -> Acks[object, Socket, *Args]: ...
    @overload
    def once(self, event: str, handler: H, *, wire: bool = False) -> H: ...
    @overload
    def once(self, event: str, handler: None = None, *, wire: bool = False) -> Callable[[H], H]: ...
    def once(self, event: Any, handler: Any = None, *, wire: bool = False) -> Any:
        """Like ``on``, for the next time only."""
        return self._register(event, handler, wire=wire, concurrent=False, once=True)


class RegisteringAlone(Registering):
    """``on`` and ``once`` where there is one socket: handlers get the arguments alone."""

    __slots__ = ()

    @overload
    def on(
        self, event: Event[Answer, *Args], handler: None = None, *, concurrent: bool = False
    ) -> Registration[Answer, *Args]: ...
    @overload
    def on(
        self,
        event: Event[Answer, *Args],
        handler: Callable[[*Args], Answer | Awaitable[Answer]],
        *,
        concurrent: bool = False,
    ) -> Callable[[*Args], Answer | Awaitable[Answer]]: ...
    @overload
    def on(
        self, event: Event[Any, *Args], handler: Acks[object, *Args], *, concurrent: bool = False
    ) -> Acks[object, *Args]: ...
    @overload
    def on(self, event: str, handler: H, *, wire: bool = False, concurrent: bool = False) -> H: ...
    @overload
    def on(
        self, event: str, handler: None = None, *, wire: bool = False, concurrent: bool = False
    ) -> Callable[[H], H]: ...
    def on(self, event: Any, handler: Any = None, *, wire: bool = False, concurrent: bool = False) -> Any:
        """Registers a handler, as a decorator or with the handler as second argument; ``def`` or ``async def``.

        See ``Namespace.on``, which says the same of handlers that get the socket first.
        """
        return self._register(event, handler, wire=wire, concurrent=concurrent, once=False)

    @overload
    def once(self, event: Event[Answer, *Args], handler: None = None) -> Registration[Answer, *Args]: ...
    @overload
    def once(
        self, event: Event[Answer, *Args], handler: Callable[[*Args], Answer | Awaitable[Answer]]
    ) -> Callable[[*Args], Answer | Awaitable[Answer]]: ...
    @overload
    def once(self, event: Event[Any, *Args], handler: Acks[object, *Args]) -> Acks[object, *Args]: ...
    @overload
    def once(self, event: str, handler: H, *, wire: bool = False) -> H: ...
    @overload
    def once(self, event: str, handler: None = None, *, wire: bool = False) -> Callable[[H], H]: ...
    def once(self, event: Any, handler: Any = None, *, wire: bool = False) -> Any:
        """Like ``on``, for the next time only."""
        return self._register(event, handler, wire=wire, concurrent=False, once=True)


class Registration(Generic[Answer, *Args]):
    """The decorator for handlers of an ``Event``: they take ``Args`` and return ``Answer``, or take ``ack``."""

    __slots__ = ("_register",)

    def __init__(self, register: Callable[[Any], Any]) -> None:
        self._register = register

    @overload
    def __call__(
        self, handler: Callable[[*Args], Coroutine[Any, Any, Answer]], /
    ) -> Callable[[*Args], Coroutine[Any, Any, Answer]]: ...
    @overload
    def __call__(self, handler: Callable[[*Args], Answer], /) -> Callable[[*Args], Answer]: ...
    @overload
    def __call__(
        self, handler: Callable[[*Args], Answer | Awaitable[Answer]], /
    ) -> Callable[[*Args], Answer | Awaitable[Answer]]: ...
    @overload
    def __call__(self, handler: Acks[R, *Args], /) -> Acks[R, *Args]: ...
    def __call__(self, handler: Any, /) -> Any:
        return self._register(handler)


class Acks(Protocol[R_co, *Args]):
    """A handler that takes ``Args`` and answers by hand."""

    def __call__(self, *args: *Args, ack: Ack | None) -> R_co: ...
