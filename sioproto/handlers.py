"""Tables of listeners: who is to be called for an event, and with how many arguments.

A handler's shape is read once, when it is registered: how many positional arguments it takes, whether it wants the
acknowledgement callable. Nothing is ever guessed by calling it and catching
``TypeError``. Running handlers is the app floor's business; observers, which may neither wait nor re-enter, are called
right here.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto.guard import ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sioproto.event import AnyEvent
    from sioproto.guard import Guard

MANY = 1 << 30
"""More positional arguments than anybody sends."""


class Listener:
    """One registered callable and what its signature says."""

    __slots__ = ("call", "concurrent", "event", "least", "most", "once", "wants_ack")

    def __init__(
        self,
        call: Callable[..., Any],
        *,
        once: bool = False,
        concurrent: bool = False,
        event: AnyEvent | None = None,
    ) -> None:
        self.call = call
        self.event = event
        """Whose ``validate`` the arguments pass first; None if they are taken as they come."""
        self.once = once
        self.concurrent = concurrent
        self.least, self.most, self.wants_ack = read_shape(call)

    def check(self, what: str, given: tuple[str, ...]) -> None:
        """Raises ``LocalProtocolError`` if the handler needs more than it is going to be given."""
        if self.least > len(given):
            name = getattr(self.call, "__name__", repr(self.call))
            raise LocalProtocolError(
                f"{what} gets ({', '.join(given)}), and {name} needs {self.least} positional arguments"
            )

    @property
    def plain(self) -> bool:
        """Whether it stays, waits its turn and takes arguments as they come."""
        return not (self.once or self.concurrent) and self.event is None

    def fit(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Drops the arguments that the handler does not take, as a JavaScript function ignores them."""
        return args if len(args) <= self.most else args[: self.most]


def read_shape(call: Callable[..., Any]) -> tuple[int, int, bool]:
    """Returns the least and the most positional arguments, and whether there is a keyword-only parameter ``ack``.

    Raises ``LocalProtocolError`` for something that cannot be called, or that needs other keyword-only arguments.
    """
    if not callable(call):
        raise LocalProtocolError(f"a handler must be callable, not {type(call).__name__}")
    try:
        parameters = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):
        return 0, MANY, False
    least = most = 0
    wants_ack = False
    for parameter in parameters:
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            most += 1
            least += parameter.default is parameter.empty
        elif parameter.kind is parameter.VAR_POSITIONAL:
            most = MANY
        elif parameter.kind is parameter.KEYWORD_ONLY:
            if parameter.name == "ack":
                wants_ack = True
            elif parameter.default is parameter.empty:
                raise LocalProtocolError(f"a handler cannot need the keyword argument {parameter.name!r}")
    return least, most, wants_ack


def without(listeners: tuple[Listener, ...], call: Callable[..., Any]) -> tuple[Listener, ...]:
    """Returns the listeners without the first one that is ``call``."""
    for index, listener in enumerate(listeners):
        if listener.call == call:
            return listeners[:index] + listeners[index + 1 :]
    return listeners


class Handlers:
    """Listeners by event name, in the order of their registration."""

    __slots__ = ("_table", "lone")

    def __init__(self) -> None:
        self._table: dict[str, tuple[Listener, ...]] = {}
        self.lone: dict[str, Listener] = {}
        """The listeners that are the only one of their event, stay, wait their turn and take arguments as they come."""

    def add(self, event: str, listener: Listener) -> None:
        self._put(event, (*self._table.get(event, ()), listener))

    def remove(self, event: str, call: Callable[..., Any] | None = None) -> None:
        """Removes every listener of an event, or the first one that is ``call``; unknown ones are ignored."""
        self._put(event, () if call is None else without(self._table.get(event, ()), call))

    def find(self, event: str) -> tuple[Listener, ...]:
        """Returns the listeners of an event; those that asked for one call are removed by this."""
        listeners = self._table.get(event)
        if listeners is None:
            return ()
        for listener in listeners:
            if listener.once:
                self._put(event, tuple(each for each in listeners if not each.once))
                break
        return listeners

    def __contains__(self, event: str) -> bool:
        return event in self._table

    def __bool__(self) -> bool:
        return bool(self._table)

    def names(self) -> list[str]:
        """Returns the events that have a listener."""
        return list(self._table)

    def _put(self, event: str, listeners: tuple[Listener, ...]) -> None:
        if listeners:
            self._table[event] = listeners
        else:
            self._table.pop(event, None)
        if len(listeners) == 1 and listeners[0].plain:
            self.lone[event] = listeners[0]
        else:
            self.lone.pop(event, None)


def observer_of(event: str, call: Callable[..., Any], *, once: bool = False) -> Listener:
    """Returns the listener for something that must be seen in place. Raises ``LocalProtocolError`` if it could wait."""
    if inspect.iscoroutinefunction(call):
        raise LocalProtocolError(f"an observer of {event!r} may not wait: use a plain function")
    return Listener(call, once=once)


class Observers:
    """Synchronous observers of what must be seen in place. They may neither wait nor call back into the core.

    ``names`` are the events there are; an unknown one is refused. Arguments that an observer does not take are dropped.
    What it raises does not reach the caller: it is handed to ``report(error, event)``.
    """

    __slots__ = ("_guard", "_names", "_report", "_table")

    def __init__(self, names: Iterable[str], report: Callable[[Exception, str], None], guard: Guard = ANYWHERE) -> None:
        self._names = names
        self._report = report
        self._guard = guard
        self._table = Handlers()

    def add(self, event: str, call: Callable[..., Any] | None = None, once: bool = False) -> Any:
        """Adds an observer and returns it; without one, returns the decorator that does."""
        if event not in self._names:
            raise LocalProtocolError(f"there is no event {event!r} to observe here, only {', '.join(self._names)}")
        if call is None:
            return lambda observer: self.add(event, observer, once)
        observer = observer_of(event, call, once=once)
        with self._guard:
            self._table.add(event, observer)
        return call

    def remove(self, event: str, call: Callable[..., Any] | None = None) -> None:
        """Removes all observers of an event, or one; unknown ones are ignored."""
        with self._guard:
            self._table.remove(event, call)

    def notify(self, event: str, *args: Any) -> None:
        for listener in self._table.find(event):
            try:
                listener.call(*listener.fit(args))
            except Exception as error:  # a user's code: its failure is reported and stops nobody
                self._report(error, event)
