"""What every test may ask for: the peers, and a folder for what a person may want to look at afterwards.

A test says which peer it needs by taking the fixture of that name, or with ``@pytest.mark.peer("node")`` where it
needs no handle. Either way it carries the mark, so ``pytest -m "not peer"`` runs what needs this library alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.peers import Node, find_chromium, find_node, find_python_socketio, obtain

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

PEERS = ("node", "chromium", "python_socketio")

# How long an example takes, to run or to be found, says more of the machine than of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Makes the mark and the fixture imply each other."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        marked = {str(mark.args[0]) for mark in item.iter_markers("peer")}
        if unknown := marked.difference(PEERS):
            raise pytest.UsageError(f"{item.nodeid}: no such peer: {', '.join(sorted(unknown))}")
        for name in PEERS:
            if name in item.fixturenames and name not in marked:
                item.add_marker(pytest.mark.peer(name))
            elif name in marked and name not in item.fixturenames:
                item.fixturenames.insert(0, name)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """Node.js with the pinned JavaScript packages: `node.run(script, *args)`, `node.popen(script, *args)`."""
    found = obtain(find_node)
    yield found
    found.close()


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The executable of a Chromium or Chrome, for playwright's `launch(executable_path=...)`."""
    return obtain(find_chromium)


@pytest.fixture(scope="session")
def python_socketio() -> ModuleType:
    """python-socketio's module `socketio`."""
    return obtain(find_python_socketio)


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """A folder, ignored by git, for screenshots and the like."""
    folder = Path(__file__).parent / "artefacts"
    folder.mkdir(exist_ok=True)
    return folder
