"""An event that is declared once: what it keeps, and what its validation says."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from sioproto import AnyEvent, Event, InvalidPayload, LocalProtocolError, RemoteProtocolError


def test_it_keeps_what_was_declared() -> None:
    def checked(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args

    event = Event("ask", str, int, ack=bool, validate=checked)
    assert event.name == "ask"
    assert event.types == (str, int)
    assert event.payload == tuple[str, int]
    assert event.ack is bool
    assert event.validate is checked
    assert repr(event) == "<Event 'ask', str, int>"
    assert event.packed("hi", 1) == ["ask", "hi", 1]


def test_what_is_no_class_is_declared_in_full() -> None:
    event = Event[None, str | None, list[int]]("note", types=(str | None, list[int]))
    assert event.types == (str | None, list[int])
    assert repr(event) == "<Event 'note', str | None, list[int]>"


def test_it_does_not_change() -> None:
    event = Event("typing")
    assert event.types == ()
    assert event.payload == tuple[()]
    assert event.ack is None
    with pytest.raises(FrozenInstanceError):
        event.name = "other"  # type: ignore[misc]  # refused at run time as well
    with pytest.raises(FrozenInstanceError):
        del event.name


def test_it_equals_itself_alone() -> None:
    one, other = Event("typing"), Event("typing")
    assert one == one
    assert one != other
    assert len({one, other}) == 2


def test_what_cannot_be_declared() -> None:
    async def late(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return args

    with pytest.raises(LocalProtocolError, match="named by a str, not int"):
        Event(5)  # type: ignore[call-overload]  # refused at run time as well
    with pytest.raises(LocalProtocolError, match="may not wait"):
        Event("late", validate=late)  # type: ignore[arg-type]  # refused at run time as well


def test_without_validation_everything_passes() -> None:
    assert Event("message", str).validated((5, 6)) == (5, 6)


def test_validation_may_convert() -> None:
    event = Event("message", int, validate=lambda event, args: [event.types[0](args[0])])
    assert event.validated(("5",)) == (5,)


def test_what_validation_raises_is_a_rejection() -> None:
    event = Event("message", int, validate=lambda event, args: [int(args[0])])
    with pytest.raises(InvalidPayload, match=r"^'message' came with an invalid payload: invalid literal") as caught:
        event.validated(("x",))
    assert isinstance(caught.value, RemoteProtocolError)
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.answer == {"error": "invalid payload"}


def test_validation_may_choose_the_answer() -> None:
    def reject(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
        raise InvalidPayload("no", ("no", 5))

    with pytest.raises(InvalidPayload, match=r"^no$") as caught:
        Event("message", validate=reject).validated(())
    assert caught.value.answer == ("no", 5)
    assert InvalidPayload("no", None).answer is None


@pytest.mark.parametrize("result", [None, "text", 5, {"a": 1}])
def test_validation_has_to_return_arguments(result: Any) -> None:
    event = Event("message", validate=lambda event, args: result)
    with pytest.raises(LocalProtocolError, match=f"returns a tuple, not {type(result).__name__}"):
        event.validated(())
