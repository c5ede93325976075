"""Events that are declared once: a name with the types of its arguments and of its answer, for a type checker to read.

At run time an ``Event`` is its name; the types are there for whoever checks what the other side sends. Where ``on``,
``emit`` and the like take a plain ``str``, nothing is known of the arguments and nothing is checked.

The rule not to be broken: an ``Event`` is always about what is on the wire, whatever it is called.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, TypeVarTuple, overload

from sioproto.errors import InvalidPayload, LocalProtocolError

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Args = TypeVarTuple("Args")
P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Event(Generic[Answer, *Args]):
    """An event with the types of its arguments and of its answer; see ``docs/types.md``.

    ``Event("message", str, int)`` is emitted with a ``str`` and an ``int``, and nobody waits for more than a receipt.
    ``Event("ask", str, ack=int)`` is answered with an ``int``; ``ack=tuple[str, int]`` with two arguments. What is no
    class, such as ``str | None``, is declared in full, for up to as many arguments as you like:
    ``Event[None, str | None]("note", types=(str | None,))``.

    ``validate(event, args)`` gets what the other side sent, in place, and returns the arguments that handlers get. What
    it raises rejects the event; see ``InvalidPayload``. Without it nothing is checked at run time.

    It is frozen, and equal to itself alone. Raises ``LocalProtocolError`` for a name that is no ``str``, and for a
    ``validate`` that would have to be awaited.
    """

    name: str
    """What it is called on the wire."""
    types: tuple[Any, ...]
    """The types of its arguments."""
    ack: type[Answer] | None
    """The type of its answer, None if that has no argument."""
    validate: Validate | None
    """Who checks what the other side sends."""

    @overload
    def __init__(self: Event[None], name: str, /, *, ack: None = None, validate: Validate | None = None) -> None: ...
    @overload
    def __init__(
        self: Event[None, A], name: str, a: type[A], /, *, ack: None = None, validate: Validate | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: Event[None, A, B],
        name: str,
        a: type[A],
        b: type[B],
        /,
        *,
        ack: None = None,
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[None, A, B, C],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        /,
        *,
        ack: None = None,
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[None, A, B, C, D],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        /,
        *,
        ack: None = None,
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[None, A, B, C, D, E],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        e: type[E],
        /,
        *,
        ack: None = None,
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[None, A, B, C, D, E, F],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        e: type[E],
        f: type[F],
        /,
        *,
        ack: None = None,
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(self: Event[R], name: str, /, *, ack: type[R], validate: Validate | None = None) -> None: ...
    @overload
    def __init__(
        self: Event[R, A], name: str, a: type[A], /, *, ack: type[R], validate: Validate | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: Event[R, A, B], name: str, a: type[A], b: type[B], /, *, ack: type[R], validate: Validate | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: Event[R, A, B, C],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        /,
        *,
        ack: type[R],
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[R, A, B, C, D],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        /,
        *,
        ack: type[R],
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[R, A, B, C, D, E],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        e: type[E],
        /,
        *,
        ack: type[R],
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: Event[R, A, B, C, D, E, F],
        name: str,
        a: type[A],
        b: type[B],
        c: type[C],
        d: type[D],
        e: type[E],
        f: type[F],
        /,
        *,
        ack: type[R],
        validate: Validate | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self, name: str, /, *, types: tuple[Any, ...], ack: Any = None, validate: Validate | None = None
    ) -> None: ...
    def __init__(
        self,
        name: str,
        /,
        *classes: Any,
        types: tuple[Any, ...] = (),
        ack: Any = None,
        validate: Validate | None = None,
    ) -> None:
        if not isinstance(name, str):
            raise LocalProtocolError(f"an event is named by a str, not {type(name).__name__}")
        if inspect.iscoroutinefunction(validate):
            raise LocalProtocolError(f"the validation of {name!r} may not wait: use a plain function")
        set_field = object.__setattr__  # it is frozen
        set_field(self, "name", name)
        set_field(self, "types", classes or types)
        set_field(self, "ack", ack)
        set_field(self, "validate", validate)

    @property
    def payload(self) -> Any:
        """The type of its arguments together, such as ``tuple[str, int]``, as validators take it."""
        return GenericAlias(tuple, self.types)

    def packed(self, *args: *Args) -> list[Any]:
        """Returns the event with its arguments as they stand on the wire, the name first."""
        return [self.name, *args]

    def validated(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Returns what handlers get for the arguments that came.

        Raises ``InvalidPayload`` if ``validate`` rejects them, ``LocalProtocolError`` if it returns no arguments.
        """
        if self.validate is None:
            return args
        try:
            checked = self.validate(self, args)
        except InvalidPayload:
            raise
        except Exception as error:  # a user's code: whatever it raises says no
            raise InvalidPayload(f"{self.name!r} came with an invalid payload: {error}") from error
        if not isinstance(checked, tuple | list):
            raise LocalProtocolError(f"the validation of {self.name!r} returns a tuple, not {type(checked).__name__}")
        return tuple(checked)

    def __repr__(self) -> str:
        return f"<Event {', '.join([repr(self.name), *map(inspect.formatannotation, self.types)])}>"


AnyEvent = Event[Any, *tuple[Any, ...]]
"""An event of which the types do not matter."""

Validate = Callable[[AnyEvent, tuple[Any, ...]], tuple[Any, ...] | list[Any]]
"""Gets an event and what the other side sent with it, returns what handlers get or raises."""


class Sendable(Protocol[P]):
    """An ``Event``, as ``emit`` sees it: what it is sent with."""

    @property
    def validate(self) -> Validate | None: ...
    @property
    def packed(self) -> Callable[P, list[Any]]: ...


class Askable(Protocol[Answer_co, P]):
    """An ``Event``, as ``emit_with_ack`` sees it: what it is sent with, and what is answered."""

    @property
    def ack(self) -> type[Answer_co] | None: ...
    @property
    def packed(self) -> Callable[P, list[Any]]: ...
