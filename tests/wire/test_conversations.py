"""Recorded conversations mean the same however their bytes are cut, and what they meant when they were recorded."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.wire.conversation import Conversation, Outcome, replay

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CONVERSATIONS = {
    path.stem: Conversation.load(path) for path in sorted((Path(__file__).parent / "conversations").glob("*.json"))
}
each = pytest.mark.parametrize("name", CONVERSATIONS)


@cache
def whole(name: str) -> Outcome:
    """What comes of a conversation whose steps come each in one piece."""
    return replay(CONVERSATIONS[name])


def in_steps(size: int) -> Callable[[bytes], Iterable[bytes]]:
    """Returns a way of cutting into pieces of one size."""
    return lambda data: [data[at : at + size] for at in range(0, len(data), size)]


def at_points(name: str, points: list[float]) -> Callable[[bytes], Iterable[bytes]]:
    """Returns a way of cutting a conversation at these points of it, each from 0 to 1; it may be used once."""
    total = sum(len(step.data) for step in CONVERSATIONS[name].steps if step.data is not None)
    cuts = sorted({int(point * total) for point in points})
    begin = 0

    def cut(data: bytes) -> Iterable[bytes]:
        nonlocal begin
        inside = [point - begin for point in cuts if begin < point < begin + len(data)]
        begin += len(data)
        return [data[start:end] for start, end in zip([0, *inside], [*inside, len(data)], strict=True)]

    return cut


def test_there_are_conversations_of_every_kind() -> None:
    said = {name: b"".join(step.data or b"" for step in found.steps) for name, found in CONVERSATIONS.items()}
    for author in ("own", "stock"):
        texts = [text for name, text in said.items() if name.startswith(author)]
        assert any(b"POST" in text and b"Upgrade:" not in text for text in texts)
        assert any(b"POST" not in text and b"Upgrade:" in text for text in texts)
        assert any(b"POST" in text and b"Upgrade:" in text for text in texts)


@each
def test_a_conversation_is_understood_as_it_was(name: str) -> None:
    assert whole(name).events == CONVERSATIONS[name].events
    assert whole(name).events["/"][0][0] == "connection"
    assert whole(name).events["/"][-1][0] == "disconnect"


@each
def test_a_conversation_byte_by_byte_is_the_same(name: str) -> None:
    assert replay(CONVERSATIONS[name], in_steps(1)) == whole(name)


@each
@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_a_conversation_cut_anywhere_is_the_same(name: str, points: list[float]) -> None:
    assert replay(CONVERSATIONS[name], at_points(name, points)) == whole(name)


@each
@settings(max_examples=30, deadline=None)
@given(st.integers(2, 200))
def test_a_conversation_in_pieces_of_one_size_is_the_same(name: str, size: int) -> None:
    assert replay(CONVERSATIONS[name], in_steps(size)) == whole(name)
