"""The generator of a world: the same numbers for a seed, everywhere and for ever."""

from __future__ import annotations

import pytest

from sioproto.testing import Chance


def test_the_numbers_are_those_of_splitmix64() -> None:
    # The first ones for the seed 1234567, as published with the algorithm's reference implementation.
    chance = Chance(1234567)
    assert [chance.number() for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_what_is_drawn_lies_within() -> None:
    chance = Chance(1)
    assert {chance.below(5) for _ in range(200)} == set(range(5))
    assert all(0 <= chance.fraction() < 1 for _ in range(200))
    assert all(2 <= chance.between(2, 3) < 3 for _ in range(200))
    assert {chance.choice("abc") for _ in range(100)} == set("abc")
    assert 20 < sum(chance.happens(0.25) for _ in range(200)) < 80
    assert not any(chance.happens(0) for _ in range(100))
    assert all(chance.happens(1) for _ in range(100))


@pytest.mark.parametrize("count", [0, 1, 8, 13])
def test_bytes_are_as_many_as_asked(count: int) -> None:
    assert len(Chance(5).bytes(count)) == count
    assert Chance(5).bytes(count) == Chance(5).bytes(20)[:count]


def test_ids_look_like_real_ones_and_differ() -> None:
    chance = Chance(3)
    ids = [chance.id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {len(each) for each in ids} == {20}
    assert all(each.replace("-", "a").replace("_", "a").isalnum() for each in ids)


def test_forks_depend_on_seed_and_name_alone() -> None:
    chance = Chance(7)
    first = chance.fork("alice").number()
    chance.number()
    assert chance.fork("alice").number() == first
    assert Chance(7).fork("bob").number() != first
    assert Chance(8).fork("alice").number() != first
    assert Chance(7).fork("").number() != Chance(7).number()
