"""The pytest plugin: a world for tests that ask for one, and its transcript where such a test fails.

It is a package of its own because pytest loads it in every run on a machine that has sioproto. So it imports nothing of
sioproto until a test takes ``sio_world``, which also lets the coverage of sioproto be measured from its first line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from sioproto.testing import World

__all__ = ["pytest_addoption", "pytest_runtest_makereport", "sio_wire", "sio_world"]

LINES = 40
"""How much of a transcript is shown."""

WORLD = pytest.StashKey["World"]()
FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--sio-seed``."""
    group = parser.getgroup("sioproto")
    group.addoption("--sio-seed", type=int, default=0, metavar="SEED", help="the seed of each sio_world (default: 0)")


@pytest.fixture
def sio_wire() -> Any:
    """What ``sio_world`` makes bytes with; None, so messages. Override it with a fixture that returns
    ``sioproto_wire``.
    """
    return None


@pytest.fixture
def sio_world(request: pytest.FixtureRequest, sio_wire: Any) -> Iterator[World]:
    """A ``sioproto.testing.World`` for this test, with the seed of ``--sio-seed``. It is closed at the end."""
    __tracebackhide__ = True
    from sioproto.testing import World

    world = World(seed=request.config.getoption("--sio-seed"), wire=sio_wire)
    node: pytest.Item = request.node
    node.stash[WORLD] = world
    yield world
    if not node.stash.get(FAILED, False):
        world.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Shows the end of the transcript of a test that failed."""
    report = yield
    world = item.stash.get(WORLD, None)
    if world is not None and report.failed:
        item.stash[FAILED] = True
        # What a world raises itself brings the transcript along.
        notes = [] if call.excinfo is None else getattr(call.excinfo.value, "__notes__", [])
        if world.transcript.count and not any("transcript" in note for note in notes):
            title = f"sioproto transcript, seed {world.seed}, at {world.now:.3f} seconds"
            report.sections.append((title, world.transcript.tail(LINES)))
    return report
