"""What waits returns a ``Pending``: one object that every runtime knows how to wait for.

``await pending`` on a runtime with coroutines, ``pending.wait(timeout)`` where there are threads. How waiting is done
is the business of the ``Waiting`` port that the runtime hands in; a ``Pending`` itself never blocks and never needs
one to be settled or read.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sioproto.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

T = TypeVar("T")


class Waiting(Protocol):
    """How a runtime waits for a ``Pending``."""

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        """Suspends the running coroutine until ``pending`` is done. Cancelling the coroutine leaves it alone."""
        ...

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        """Blocks the calling thread until ``pending`` is done; raises ``TimeoutError`` after ``timeout`` seconds."""
        ...

    def report(self, error: Exception, where: str) -> None:
        """Takes what a callback of a ``Pending`` raised: whoever settles that is not to blame."""
        ...


class NoWaiting:
    """The port of what is driven by hand: it can be asked whether a ``Pending`` is done, but not to wait."""

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        raise LocalProtocolError("this core runs without a runtime: look at pending.done instead of waiting")
        yield

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        raise LocalProtocolError("this core runs without a runtime: look at pending.done instead of waiting")

    def report(self, error: Exception, where: str) -> None:
        raise error


class Reporting:
    """Another port, but for what callbacks raise, which goes to ``report(error, where)``."""

    __slots__ = ("advice", "block", "park", "report")

    def __init__(self, waiting: Waiting, report: Callable[[Exception, str], None]) -> None:
        self.advice: str = getattr(waiting, "advice", "")
        """What to do instead of asking for a result that is not there yet."""
        self.park = waiting.park
        self.block = waiting.block
        self.report = report


NO_WAITING = NoWaiting()


class Pending(Generic[T]):
    """A result that comes later. Any number may wait for it; that one of them gives up does not cancel it."""

    __slots__ = ("_callbacks", "_error", "_value", "_waiting", "done")

    def __init__(self, waiting: Waiting = NO_WAITING) -> None:
        self._waiting = waiting
        self._callbacks: list[Callable[[Pending[T]], object]] = []
        self._value: T | None = None
        self._error: BaseException | None = None
        self.done = False

    def resolve(self, value: T) -> bool:
        """Settles it with a value. Returns False when it was settled before; then nothing changes."""
        if self.done:
            return False
        self._value = value
        self._settle()
        return True

    def reject(self, error: BaseException) -> bool:
        """Settles it with an error, which waiting then raises. Returns False when it was settled before."""
        if self.done:
            return False
        self._error = error
        self._settle()
        return True

    def result(self) -> T:
        """Returns the value or raises the error. Raises ``LocalProtocolError`` while it is not done."""
        if not self.done:
            advice = getattr(self._waiting, "advice", "")
            raise LocalProtocolError(f"this is still pending{advice and f': {advice}'}")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # settled with a value, which may itself be None

    def on_done(self, callback: Callable[[Pending[T]], object]) -> None:
        """Calls ``callback(pending)`` as soon as it is done; at once if it is.

        It is called where it is settled, with the guard held where that is a lock, so it has to be short: it may give
        commands, and may not wait. What it raises is reported like the failure of a handler, and keeps no other from
        being called. ``result()`` raises the error of what failed.
        """
        if not self.done:
            self._callbacks.append(callback)
            if not self.done:
                return
            # Settled by another thread in this moment, which calls this one as well unless it still stands there.
            try:
                self._callbacks.remove(callback)
            except ValueError:
                return
        callback(self)

    def forget(self, callback: Callable[[Pending[T]], object]) -> None:
        """Takes a callback back, for a waiter that gave up. Unknown ones are ignored."""
        if callback in self._callbacks:
            with suppress(ValueError):  # by another thread, in this very moment, it is being called
                self._callbacks.remove(callback)

    def wait(self, timeout: float | None = None) -> T:
        """Blocks the calling thread until it is done, at most ``timeout`` seconds, and returns ``result()``.

        Raises ``TimeoutError`` when it is not done by then (it stays pending), and ``LocalProtocolError`` on a runtime
        whose callers await instead.
        """
        if not self.done:
            self._waiting.block(self, timeout)
        return self.result()

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done:
            yield from self._waiting.park(self)
        return self.result()

    def __repr__(self) -> str:
        if not self.done:
            return "<Pending, not done>"
        return f"<Pending, done: {self._value!r}>" if self._error is None else f"<Pending, failed: {self._error!r}>"

    def _settle(self) -> None:
        self.done = True
        callbacks = self._callbacks
        failures: list[Exception] = []
        callbacks.reverse()
        # One by one, and out of the list itself: another thread may be about to add to it, or to take back.
        while callbacks:
            try:
                callback = callbacks.pop()
            except IndexError:
                break
            try:
                callback(self)
            except Exception as error:  # a user's code: its failure is reported and stops nobody
                failures.append(error)
        for failure in failures:
            self._waiting.report(failure, "callback of a Pending")
