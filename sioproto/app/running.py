"""User code beside the handlers, for servers and clients alike: ``sleep``, ``spawn``, and the one ``on_error`` hook."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from sioproto.app.calling import calling
from sioproto.pending import Pending, Reporting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sioproto.app.dispatch import Dispatcher
    from sioproto.app.runtime import Runtime
    from sioproto.timers import Timer, Timers


class Running:
    """What runs user code in its runtime's way, and takes what that raises."""

    _dispatcher: Dispatcher

    def __init__(self, runtime: Runtime, on_error: Callable[[BaseException, str], object] | None) -> None:
        self._runtime = runtime
        self._on_error = on_error
        self._waiting = Reporting(runtime, self._report)
        """How a ``Pending`` is waited for."""
        self._calling = calling(runtime)
        """How user code is called."""

    @property
    @abstractmethod
    def timers(self) -> Timers:
        """All deadlines."""

    @abstractmethod
    def _advance(self) -> None:
        """Handles what the floor below tells."""

    def sleep(self, seconds: float) -> Pending[None]:
        """Returns what is done after that many seconds: ``await io.sleep(1)`` in a handler or a spawned function."""
        pending: Pending[None] = Pending(self._waiting)
        with self._runtime.guard:
            self.timers.after(max(0.0, seconds), lambda: resolve(pending))
            self._runtime.wake(False)
        return pending

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        """Runs ``function(*args)``, ``def`` or ``async def``, beside everything else.

        What it raises goes to ``on_error``. The end does not wait for it: it may be a loop for ever.
        """
        with self._runtime.guard:
            self._runtime.start(self._spawned(function, args))

    def _start(self, run: Coroutine[Any, Any, None]) -> None:
        self._dispatcher.running += 1
        self._runtime.start(self._counted(run))

    async def _counted(self, run: Coroutine[Any, Any, None]) -> None:
        try:
            await run
        finally:
            self._dispatcher.running -= 1
            self._advance()
            self._runtime.wake(False)

    async def _spawned(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        try:
            await self._calling.value_of(function, *args)
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            self._report(error, f"spawned {getattr(function, '__qualname__', 'function')}")

    def _report(self, error: BaseException, where: str) -> None:
        if self._on_error is None:
            self._runtime.report(error, where)
            return
        try:
            self._on_error(error, where)
        except Exception as second:  # the hook itself failed: both are told
            self._runtime.report(error, where)
            self._runtime.report(second, "on_error")


def resolve(pending: Pending[None]) -> None:
    """Settles what nobody asks more of than that it is done."""
    pending.resolve(None)


def cancel(*timers: Timer) -> None:
    """Cancels several timers."""
    for timer in timers:
        timer.cancel()
