"""Fixtures of the suite that every runtime passes, and the record of what passed, which the documentation shows.

A test takes ``runtime`` (for a server and a client of the same runtime, mostly), or ``server_runtime`` and
``client_runtime`` for every combination, and ``scene``. Its mark ``feature`` names the row of the table in
``docs/runtimes.md`` that it stands for.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.bindings.flavours import FLAVOURS, LOOPS, Asyncio, Flavour
from tests.bindings.live import warm_up
from tests.bindings.scene import Scene
from tests.interop.clients import Peer
from tests.interop.stock import Stock

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.peers import Node

ROWS = pytest.StashKey[dict[str, dict[str, Any]]]()
"""By test: its features, its runtimes, its outcome."""
RUNTIMES = ("runtime", "loop_runtime", "server_runtime", "client_runtime")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name in RUNTIMES:
        if name in metafunc.fixturenames:
            flavours = LOOPS if name == "loop_runtime" else FLAVOURS
            metafunc.parametrize(name, flavours.values(), ids=flavours.keys())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if runtimes_of(item) and not list(item.iter_markers("feature")):
            raise pytest.UsageError(f"{item.nodeid} names no feature: @pytest.mark.feature(...)")


def runtimes_of(item: pytest.Item) -> list[Flavour]:
    """Returns the runtimes that a test is about."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return [each for name, each in params.items() if name in RUNTIMES and isinstance(each, Flavour)]


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """Skips what runs on something that is not installed."""
    for flavour in runtimes_of(request.node):
        if flavour.missing:
            pytest.skip(f"{flavour.missing} is not installed")


@pytest.fixture(scope="session")
def warm() -> None:
    """Lets loops open what they open once and keep: uvloop has a descriptor of its own after its first server."""
    for flavour in FLAVOURS.values():
        if isinstance(flavour, Asyncio) and not flavour.missing:
            flavour.run(warm_up)


@pytest.fixture
def scene(warm: None, many_descriptors: None) -> Iterator[Scene]:
    """Servers and clients of the test, and the look at what is left of them."""
    scene = Scene()
    try:
        yield scene
    finally:
        scene.close()
    scene.check()


@pytest.fixture(scope="session")
def stock(node: Node) -> Iterator[Stock]:
    """Runs JavaScript with the stock client."""
    running = Stock(node)
    yield running
    running.close()


@pytest.fixture(scope="session")
def peer(node: Node) -> Iterator[Peer]:
    """Runs npm's servers."""
    running = Peer(node)
    with running.process:
        yield running


# The record


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if (flavours := runtimes_of(item)) and (report.when == "call" or report.outcome != "passed"):
        row = item.config.stash.setdefault(ROWS, {}).setdefault(item.nodeid, {"outcome": report.outcome})
        row["features"] = [str(mark.args[0]) for mark in item.iter_markers("feature")]
        row["runtimes"] = sorted({flavour.name for flavour in flavours})
        if report.outcome == "failed":
            row["outcome"] = "failed"
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if rows := session.config.stash.get(ROWS, None):
        path = session.config.rootpath / "tests" / "artefacts" / "runtimes.json"
        write(path, {**(json.loads(path.read_text()) if path.is_file() else {}), **rows})


def write(path: Path, rows: dict[str, Any]) -> None:
    """Writes the record, a line for each test."""
    path.parent.mkdir(exist_ok=True)
    lines = (f"{json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(rows.items()))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
