"""Keeps the outcome of every test of the run, for the test that holds the table of rows against them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

LAST = "tests/parity/test_parity.py"


class Outcomes:
    """What became of each test: ``passed``, ``failed`` or ``skipped``, by its id without parameters."""

    def __init__(self) -> None:
        self.collected: set[str] = set()
        self.found: dict[str, set[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            self.found.setdefault(without_parameters(report.nodeid), set()).add(report.outcome)


def without_parameters(nodeid: str) -> str:
    """Returns the id of a test function, for any of its parameter sets."""
    return nodeid.partition("[")[0]


KEY = pytest.StashKey[Outcomes]()


def pytest_configure(config: pytest.Config) -> None:
    """A plugin of its own hears of every test; a conftest's hooks hear of those in its folder only."""
    config.stash[KEY] = outcomes = Outcomes()
    config.pluginmanager.register(outcomes, "parity-outcomes")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Puts the test that looks at all outcomes behind all others."""
    config.stash[KEY].collected = {without_parameters(item.nodeid) for item in items}
    items.sort(key=lambda item: item.nodeid.startswith(LAST))


@pytest.fixture
def outcomes(pytestconfig: pytest.Config) -> Mapping[str, set[str]]:
    """The outcomes so far, by test."""
    return pytestconfig.stash[KEY].found


@pytest.fixture
def collected(pytestconfig: pytest.Config) -> set[str]:
    """The tests of this run."""
    return pytestconfig.stash[KEY].collected
