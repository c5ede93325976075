"""Worlds as fixtures of pytest: ``sio_world`` and ``sio_bytes_world``, and ``--sio-seed`` for their seed.

A package of its own, because pytest loads every plugin at its start: nothing of the library is imported before a test
asks for a fixture. Nothing is automatic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sioproto.testing import World

__all__ = ["pytest_addoption", "pytest_runtest_makereport", "sio_bytes_world", "sio_world"]

WORLDS = pytest.StashKey[list["World"]]()
FAILED = pytest.StashKey[bool]()

SHOWN = 60
"""Lines of the transcript that are shown of a test that fails."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--sio-seed``."""
    group = parser.getgroup("sioproto")
    group.addoption("--sio-seed", type=int, default=0, metavar="N", help="seed of the fixtures sio_world (default: 0)")


@pytest.fixture
def sio_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A ``World``, in which messages are handed over as they are. It is closed behind the test.

    What goes wrong then fails the test: a handler of ``disconnect`` that raises, for instance. The end of the transcript
    of a test that fails is shown.
    """
    from sioproto.testing import World

    yield from _lend(request, World(request.config.getoption("--sio-seed")))


@pytest.fixture
def sio_bytes_world(request: pytest.FixtureRequest) -> Iterator[World]:
    """A ``World`` like ``sio_world`` whose servers and clients speak through ``sioproto_wire``: HTTP and WebSocket."""
    import sioproto_wire
    from sioproto.testing import World

    yield from _lend(request, World(request.config.getoption("--sio-seed"), wire=sioproto_wire))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Shows the end of the transcript of a test that failed."""
    report = yield
    worlds = item.stash.get(WORLDS, None)
    if worlds is not None and report.failed:
        item.stash[FAILED] = True
        for world in worlds:
            report.sections.append((f"sioproto transcript, seed {world.seed}", world.transcript.tail(SHOWN)))
    return report


def _lend(request: pytest.FixtureRequest, world: World) -> Iterator[World]:
    node: pytest.Item = request.node
    node.stash.setdefault(WORLDS, []).append(world)
    yield world
    if not node.stash.get(FAILED, False):  # one failure is enough to look at
        world.close()
