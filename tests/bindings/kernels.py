"""Tests on curio: each runs on a kernel of its own, within a limit of time, and leaves nothing.

``run`` looks at what is left when the test is over, before the kernel shuts down and after: tasks, file descriptors,
warnings in any log. ``Tripwire`` acts at the very moment in which a task suspends for the k-th time.
"""

from __future__ import annotations

import asyncio
import logging
import selectors
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import curio

from sioproto_curio import Server
from tests.bindings.live import Records, count_descriptors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

T = TypeVar("T")

LIMIT = 60.0
"""Seconds for one test; a hang fails it instead of the whole run."""

LATE = 30.0
"""Seconds after which what should come at once will not come: a machine may be busy for most of that."""

SHORT = 0.02
"""Seconds between two looks at a condition."""


def run(
    main: Callable[[], Coroutine[Any, Any, T]], *activations: Any, selector: Any = None, may_stay: Any = ()
) -> T | None:
    """Runs a test on a new kernel, and checks that it leaves nothing."""
    records, descriptors = Records(), count_descriptors() - (selector is not None)
    logging.getLogger().addHandler(records)
    result = None
    try:
        with curio.Kernel(activations=list(activations), selector=selector) as kernel:
            try:
                result = kernel.run(curio.timeout_after, LIMIT, main)
            except KeyboardInterrupt:
                assert selector.sprung
            else:
                if selector is not None:
                    selector.rest()
                left = [task for task in kernel._tasks.values() if "_kernel_task" not in task.name]
                assert all(task.name in may_stay for task in left), left
    finally:
        logging.getLogger().removeHandler(records)
    assert records.texts == []
    end = time.monotonic() + LATE
    while count_descriptors() > descriptors and time.monotonic() < end:
        time.sleep(SHORT)  # the other side may be in another thread
    assert count_descriptors() <= descriptors
    return result


class Tripwire(curio.kernel.Activation):  # type: ignore[misc]  # curio has no types
    """Counts the suspensions of the tasks that are watched; at number ``at`` it calls ``act(kernel, task)``, once."""

    def __init__(self, at: int, watched: Callable[[Any], bool], act: Callable[[Any, Any], object]) -> None:
        self._at = at
        self._watched = watched
        self._act = act
        self._kernel: Any = None
        self.count = 0

    @property
    def sprung(self) -> bool:
        """Whether so many suspensions came."""
        return self.count >= self._at

    def activate(self, kernel: Any) -> None:
        self._kernel = kernel

    def suspended(self, task: Any, trap: Any) -> None:
        if not task.terminated and self._watched(task):
            self.count += 1
            if self.count == self._at:
                self._act(self._kernel, task)


def cancel(kernel: Any, task: Any) -> None:
    """Cancels a task right where it suspended."""
    kernel._traps["trap_cancel_task"](task)


class Interrupted(selectors.DefaultSelector):
    """Does what Ctrl-C does while the kernel waits for the k-th time, counted from the moment when ``when`` says so.

    Elsewhere curio itself does not survive it.
    """

    def __init__(self, at: int = 1, when: Callable[[], bool] = lambda: True) -> None:
        super().__init__()
        self._left = at
        self._when = when

    @property
    def sprung(self) -> bool:
        """Whether it came to that."""
        return self._left <= 0

    def rest(self) -> None:
        """Counts no more."""
        self._when = lambda: False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._when():
            self._left -= 1
            if self._left == 0:
                raise KeyboardInterrupt
        return super().select(timeout)


def named(name: str) -> Callable[[Any], bool]:
    """Returns a test for tasks that run a coroutine function of that name."""
    return lambda task: str(task.name).endswith(name)


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Server]:
    """Serves on loopback for the length of a block, and checks what the server holds when it is closed."""
    errors: list[tuple[BaseException, str]] = []
    where = options.pop("where", {"port": 0})
    options.setdefault("on_error", lambda error, place: errors.append((error, place)))
    io = Server(**{"grace": 0.1, "ping_interval": 300.0, **options})
    async with io.listening(**where):
        yield io
    check_closed(io)
    assert errors == []


def check_closed(io: Any) -> None:
    """A server or client that is closed holds nothing."""
    assert io.wire.connections == {}
    assert io.next_deadline() is None
    assert io._driver.tasks == 0
    assert not io._driver._errands


def driver_of(io: Any) -> Any:
    """Returns the runtime of a server or client, to look at."""
    return io._driver


def url_of(io: Server) -> str:
    """Returns where clients find a server."""
    return f"http://127.0.0.1:{io.addresses[0][1]}"


async def settled(condition: Callable[[], object], limit: float = LATE) -> bool:
    """Waits until a condition holds, and returns whether it does. For what no event tells of."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        await curio.sleep(SHORT)
    return True


async def on_asyncio(story: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a story of asyncio clients in another thread, and returns what comes of it."""
    result: T = await curio.run_in_thread(asyncio.run, asyncio.wait_for(story(), LIMIT))
    return result
