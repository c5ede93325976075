"""Coroutine tests run on asyncio's own loop, and again on uvloop where that is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.bindings.loops import LOOPS, parametrise, run_coroutine_test

if TYPE_CHECKING:
    from collections.abc import Iterator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    parametrise(metafunc, LOOPS)


def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    return run_coroutine_test(pyfuncitem)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Lets this process, and those that it starts, have a few thousand sockets open."""
    resource = pytest.importorskip("resource", reason="this system has no limits of that kind")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this system allows {hard} open files, and {wanted} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
