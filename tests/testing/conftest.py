"""Both speeds of a world: messages, and bytes through the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import sioproto_wire
from sioproto.testing import World

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(params=[None, sioproto_wire], ids=["messages", "bytes"])
def wire(request: pytest.FixtureRequest) -> Any:
    """What a world is to make bytes with."""
    return request.param


@pytest.fixture
def world(wire: Any, request: pytest.FixtureRequest) -> Iterator[World]:
    """A world of either speed, which has to end well."""
    world = World(seed=7, wire=wire)
    yield world
    world.close()
