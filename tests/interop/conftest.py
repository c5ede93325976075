"""The stock client, npm's server, and coroutine tests.

Those run on asyncio's own loop, since the bindings' tests compare the loops, or under `@on_loop` on none of asyncio's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.bindings.loops import parametrise, run_coroutine_test
from tests.interop.clients import Clients, Peer
from tests.interop.stock import Stock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.peers import Node


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrise(metafunc, {"asyncio": asyncio.new_event_loop})


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    return run_coroutine_test(pyfuncitem)


@pytest.fixture(scope="session")
def stock(node: Node) -> Iterator[Stock]:
    """Runs JavaScript with the stock client: `await stock("return ...", url=live.url)`."""
    running = Stock(node)
    yield running
    running.close()


@pytest.fixture(scope="session")
def peer(node: Node) -> Iterator[Peer]:
    """Runs npm's servers: `server = peer.serve("io.on(...)", pingInterval=200)`."""
    running = Peer(node)
    with running.process:
        yield running


@pytest.fixture
def clients() -> Clients:
    """Clients of ours on a loop of their own; for tests under `@on_loop`."""
    return Clients()
