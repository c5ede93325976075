"""Tests that are coroutines: each is run once on every event loop that is asked for, within a limit of time."""

from __future__ import annotations

import asyncio
import inspect
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

LIMIT = 180.0
"""Seconds for one test, which takes a few of them where it is slow; a hang fails it instead of the whole run."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
if find_spec("uvloop") is not None:
    import uvloop

    LOOPS["uvloop"] = uvloop.new_event_loop


def parametrise(metafunc: pytest.Metafunc, loops: dict[str, Callable[[], asyncio.AbstractEventLoop]]) -> None:
    """Gives each coroutine test its loops; called by ``pytest_generate_tests`` of a folder."""
    if inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("new_loop")
        metafunc.parametrize("new_loop", loops.values(), ids=loops.keys())


def run_coroutine_test(item: pytest.Function) -> object:
    """Runs a coroutine test; called by ``pytest_pyfunc_call`` of a folder."""
    if not inspect.iscoroutinefunction(item.obj):
        return None
    arguments = {name: item.funcargs[name] for name in inspect.signature(item.obj).parameters}

    async def limited() -> None:
        async with asyncio.timeout(LIMIT):
            await item.obj(**arguments)

    new_loop: Any = item.callspec.params["new_loop"]
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(limited())
    return True
