"""The runtimes under test, each in the same clothes: a server or a client of any of them lives in a thread of its own.

A test is a plain function. It talks to what it started through the public way in from other threads, so the same text
tests every runtime, and any server with any client. What a test registers as handlers is ``def``, or ``async def`` that
waits for nothing but what is the library's.
"""

from __future__ import annotations

import asyncio
import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from tests.bindings.live import LATE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator


class Flavour(ABC):
    """A runtime."""

    name: str
    module: str
    """The package of its binding."""
    any_thread = False
    """Whether every thread may call the library, without ``from_thread``."""

    def server(self, **options: Any) -> Any:
        """Makes a server."""
        return import_module(self.module).Server(**options)

    def client(self, url: str, **options: Any) -> Any:
        """Makes a client."""
        return import_module(self.module).Client(url, **options)

    @abstractmethod
    def hold(self, hosted: Any, enter: Callable[[], Any], entered: Callable[[], object]) -> list[str]:
        """Enters a server or client in the calling thread, says so, and returns once it has ended, with what it left.

        ``enter`` makes the context manager.
        """

    @abstractmethod
    def close(self, hosted: Any, grace: float | None) -> None:
        """Closes from another thread, and waits for it."""

    def begin(self, hosted: Any, waits: Callable[[], Any]) -> Future[Any]:
        """Calls something that waits, which the caller of this does not."""
        future: Future[Any] = hosted.from_thread(waits)
        return future

    @property
    def missing(self) -> str:
        """What has to be installed for it; empty if it is all there."""
        return ""

    def __repr__(self) -> str:
        return self.name


class LoopFlavour(Flavour):
    """An event loop: its users await, and enter by ``async with``."""

    @property
    @abstractmethod
    def cancelled(self) -> type[BaseException]:
        """What is raised where a task is cancelled."""

    @abstractmethod
    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a coroutine function on a new loop."""

    @abstractmethod
    async def leftovers(self) -> list[str]:
        """Returns what runs on this loop besides the caller."""

    @abstractmethod
    async def rest(self) -> None:
        """Lets everybody else have a turn."""

    @abstractmethod
    async def cancel_soon(self) -> None:
        """Has the calling task cancelled at its next suspension."""

    def hold(self, hosted: Any, enter: Callable[[], Any], entered: Callable[[], object]) -> list[str]:
        left: list[str] = []

        async def main() -> None:
            async with enter():
                entered()
                await hosted.ending
            for _ in range(20):  # what knows of the end already may take some turns to be gone
                await self.rest()
                if not await self.leftovers():
                    break
            left.extend(await self.leftovers())

        self.run(main)
        return left

    def close(self, hosted: Any, grace: float | None) -> None:
        hosted.call_from_thread(hosted.close, grace, timeout=4 * LATE)


class Asyncio(LoopFlavour):
    """asyncio, on its own loop or another one of its kind."""

    module = "sioproto_asyncio"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def missing(self) -> str:
        return "" if self.name == "asyncio" or find_spec("uvloop") is not None else "uvloop"

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        factory = asyncio.new_event_loop if self.name == "asyncio" else import_module("uvloop").new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    async def leftovers(self) -> list[str]:
        return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    @property
    def cancelled(self) -> type[BaseException]:
        return asyncio.CancelledError

    async def rest(self) -> None:
        await asyncio.sleep(0.001)

    async def cancel_soon(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


class Curio(LoopFlavour):
    """curio."""

    name = "curio"
    module = "sioproto_curio"

    @property
    def missing(self) -> str:
        return "" if find_spec("curio") is not None else "curio"

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        import_module("curio").run(main)

    async def leftovers(self) -> list[str]:
        kernel = await import_module("curio.traps")._get_kernel()
        current = await import_module("curio").current_task()
        own = (current.id, current.parentid)
        return [repr(task) for task in kernel._tasks.values() if task.id not in own and task.parentid is not None]

    @property
    def cancelled(self) -> type[BaseException]:
        error: type[BaseException] = import_module("curio").CancelledError
        return error

    async def rest(self) -> None:
        await import_module("curio").sleep(0.001)

    async def cancel_soon(self) -> None:
        curio = import_module("curio")
        task = await curio.current_task()

        async def cancel() -> None:
            await task.cancel(blocking=False)

        await curio.spawn(cancel, daemon=True)


class Interrupted:
    """Runs a coroutine, and has the task that does so cancelled at its suspensions of some numbers, from 1 on."""

    def __init__(self, flavour: LoopFlavour, run: Coroutine[Any, Any, None], *numbers: int) -> None:
        self.suspensions = 0
        self._flavour = flavour
        self._run = run
        self._numbers = numbers

    def __await__(self) -> Generator[Any, Any, None]:
        step = partial(self._run.send, None)
        while True:
            try:
                trap = step()
            except StopIteration:
                return
            self.suspensions += 1
            if self.suspensions in self._numbers:
                yield from self._flavour.cancel_soon().__await__()
            try:
                step = partial(self._run.send, (yield trap))
            except BaseException as error:  # belongs to the coroutine
                step = partial(self._run.throw, error)


class Blocking(Flavour):
    """Threads."""

    name = "blocking"
    module = "sioproto_blocking"
    any_thread = True

    def hold(self, hosted: Any, enter: Callable[[], Any], entered: Callable[[], object]) -> list[str]:
        with enter():
            entered()
            hosted.ending.wait()
        return []

    def close(self, hosted: Any, grace: float | None) -> None:
        hosted.close(grace)

    def begin(self, hosted: Any, waits: Callable[[], Any]) -> Future[Any]:
        return in_thread(waits)


def in_thread(function: Callable[[], Any]) -> Future[Any]:
    """Calls a function in a new thread."""
    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # belongs to whoever waits for the result
            future.set_exception(error)

    threading.Thread(target=call).start()
    return future


ALL: dict[str, Flavour] = {each.name: each for each in (Asyncio("asyncio"), Asyncio("uvloop"), Curio(), Blocking())}
FLAVOURS: dict[str, Flavour] = {name: each for name, each in ALL.items() if find_spec(each.module) is not None}
"""Those that there is a binding for."""
LOOPS: dict[str, LoopFlavour] = {name: each for name, each in FLAVOURS.items() if isinstance(each, LoopFlavour)}


@dataclass(slots=True)
class Guest:
    """A server or client that lives in a thread of its own."""

    flavour: Flavour
    hosted: Any
    enter: Callable[[], Any]
    thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns once it is entered; raises what entering raises."""
        entered: Future[None] = Future()
        self.thread = threading.Thread(target=self._live, args=[entered], name=f"{self.flavour} guest")
        self.thread.start()
        try:
            entered.result(4 * LATE)
        except BaseException:
            self.thread.join(LATE)
            raise

    @property
    def running(self) -> bool:
        """Whether it did not end yet."""
        return self.thread is not None and self.thread.is_alive()

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Runs a function where it lives, and returns its result."""
        return self.hosted.call_from_thread(function, *args, timeout=2 * LATE)

    def emit(self, event: str, *args: Any) -> None:
        """Sends an event."""
        self.call(self.hosted.emit, event, *args)

    def stop(self, grace: float | None = 0.5) -> None:
        """Closes it, and waits until its thread is gone."""
        if self.running:
            self.flavour.close(self.hosted, grace)
        self.join()

    def join(self) -> None:
        """Waits until its thread is gone."""
        assert self.thread is not None
        self.thread.join(2 * LATE)
        assert not self.thread.is_alive(), f"{self.flavour} goes on"

    def _live(self, entered: Future[None]) -> None:
        try:
            left = self.flavour.hold(self.hosted, self.enter, lambda: entered.set_result(None))
        except BaseException as error:
            if entered.done():
                raise  # fails the test: pytest looks after exceptions in threads
            entered.set_exception(error)
        else:
            assert left == [], f"left on {self.flavour}: {left}"
