"""Tables of listeners, the shape of a handler, and observers."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from sioproto import LocalProtocolError
from sioproto.handlers import MANY, Handlers, Listener, Observers, read_shape


class Room:
    def enter(self, name: str, age: int = 0) -> None: ...
    def __call__(self, name: str) -> None: ...
    @staticmethod
    def count(*names: str) -> None: ...


def none() -> None: ...
def two(one: int, other: int, /) -> None: ...
def optional(one: int, other: int = 2, *, flag: bool = False) -> None: ...
def variadic(one: int, *others: int, **options: int) -> None: ...
def wants_ack(one: int, *, ack: Any) -> None: ...
def may_want_ack(*, ack: Any = None) -> None: ...
def positional_ack(ack: Any) -> None: ...
async def waits(one: int) -> None: ...


@pytest.mark.parametrize(
    ("call", "shape"),
    [
        (none, (0, 0, False)),
        (two, (2, 2, False)),
        (optional, (1, 2, False)),
        (variadic, (1, MANY, False)),
        (wants_ack, (1, 1, True)),
        (may_want_ack, (0, 0, True)),
        (positional_ack, (1, 1, False)),
        (waits, (1, 1, False)),
        (Room().enter, (1, 2, False)),
        (Room(), (1, 1, False)),
        (Room.count, (0, MANY, False)),
        (functools.partial(two, 1), (1, 1, False)),
        (lambda: None, (0, 0, False)),
        (print, (0, MANY, False)),
        (dict, (0, MANY, False)),  # a builtin that does not tell
    ],
)
def test_the_shape_of_a_handler(call: Any, shape: tuple[int, int, bool]) -> None:
    assert read_shape(call) == shape


def test_what_cannot_be_a_handler() -> None:
    def needs(*, room: str) -> None: ...

    with pytest.raises(LocalProtocolError, match="callable, not int"):
        Listener(7)  # type: ignore[arg-type]
    with pytest.raises(LocalProtocolError, match="'room'"):
        Listener(needs)


def test_what_a_handler_does_not_take_is_dropped() -> None:
    assert Listener(none).fit((1, 2)) == ()
    assert Listener(two).fit((1, 2, 3)) == (1, 2)
    assert Listener(variadic).fit((1, 2, 3)) == (1, 2, 3)
    assert Listener(two).fit((1,)) == (1,)


def test_listeners_come_in_the_order_of_their_registration() -> None:
    handlers = Handlers()
    assert not handlers
    assert handlers.find("a") == ()
    listeners = [Listener(call) for call in (none, two, none)]
    for listener in listeners:
        handlers.add("a", listener)
    handlers.add("b", listeners[1])
    assert handlers.find("a") == tuple(listeners)
    assert handlers
    assert "a" in handlers
    assert "c" not in handlers
    assert handlers.names() == ["a", "b"]


def test_removing_takes_the_first_that_is_the_call() -> None:
    handlers = Handlers()
    listeners = [Listener(call) for call in (none, two, none)]
    for listener in listeners:
        handlers.add("a", listener)
    handlers.remove("a", none)
    assert handlers.find("a") == tuple(listeners[1:])
    handlers.remove("a", waits)
    handlers.remove("b", waits)
    handlers.remove("b")
    assert handlers.find("a") == tuple(listeners[1:])
    handlers.remove("a", none)
    handlers.remove("a", two)
    assert "a" not in handlers
    assert not handlers


def test_a_bound_method_can_be_removed() -> None:
    room, handlers = Room(), Handlers()
    handlers.add("a", Listener(room.enter))
    handlers.remove("a", Room().enter)
    assert "a" in handlers
    handlers.remove("a", room.enter)
    assert "a" not in handlers


def test_who_asked_for_one_call_is_found_once() -> None:
    handlers = Handlers()
    always, once, once_more = Listener(none), Listener(two, once=True), Listener(waits, once=True)
    for listener in (once, always, once_more):
        handlers.add("a", listener)
    assert handlers.find("a") == (once, always, once_more)
    assert handlers.find("a") == (always,)
    handlers.add("b", once)
    assert handlers.find("b") == (once,)
    assert "b" not in handlers


# -- observers


def make_observers() -> tuple[Observers, list[tuple[Exception, str]]]:
    reports: list[tuple[Exception, str]] = []
    return Observers(("a", "b"), lambda error, event: reports.append((error, event))), reports


def test_observers_are_called_in_order() -> None:
    observers, reports = make_observers()
    heard: list[Any] = []
    observers.notify("a", 0)
    observers.add("a", lambda value: heard.append(("first", value)))
    observers.add("a", lambda value: heard.append(("once", value)), once=True)
    observers.add("a", lambda value: heard.append(("last", value)))
    observers.notify("a", 1)
    observers.notify("a", 2)
    observers.notify("b", 3)
    assert heard == [("first", 1), ("once", 1), ("last", 1), ("first", 2), ("last", 2)]
    assert reports == []


def test_an_observer_that_fails_stops_nobody() -> None:
    observers, reports = make_observers()
    heard: list[str] = []
    error = ValueError()

    def fail() -> None:
        raise error

    observers.add("a", fail)
    observers.add("a", lambda: heard.append("second"))
    observers.notify("a")
    assert heard == ["second"]
    assert reports == [(error, "a")]


def test_observers_are_taken_back() -> None:
    observers, _ = make_observers()
    heard: list[str] = []

    def hear() -> None:
        heard.append("a")

    observers.remove("a")
    observers.add("a", hear)
    observers.add("a", lambda: heard.append("other"))
    observers.remove("a", hear)
    observers.notify("a")
    observers.remove("a")
    observers.notify("a")
    assert heard == ["other"]


def test_an_observer_may_take_itself_back() -> None:
    observers, reports = make_observers()
    heard: list[str] = []

    def hear() -> None:
        heard.append("a")
        observers.remove("a", hear)

    observers.add("a", hear, once=True)
    observers.add("a", hear)
    observers.notify("a")
    observers.notify("a")
    assert "a" in heard
    assert len(heard) <= 2
    assert reports == []


def test_observers_by_decorator_get_what_they_take() -> None:
    observers, reports = make_observers()
    heard: list[tuple[Any, ...]] = []

    @observers.add("a")  # type: ignore[untyped-decorator]
    def one(value: int) -> None:
        heard.append((value,))

    observers.add("b", lambda *values: heard.append(values))
    observers.notify("a", 1, 2)
    observers.notify("b", 1, 2)
    assert heard == [(1,), (1, 2)]
    assert reports == []


def test_observers_are_checked() -> None:
    observers, _ = make_observers()
    with pytest.raises(LocalProtocolError, match=r"'c'.*a, b"):
        observers.add("c", none)
    with pytest.raises(LocalProtocolError, match="plain function"):
        observers.add("a", waits)
