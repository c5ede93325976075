"""Calling user code that may take its time: handlers, middlewares, hooks, spawned functions.

Where such code runs beside the core, in threads, the core is locked by a guard, and whoever steps a coroutine of
``Runtime.start`` holds it. It is let go here while user code has its turn: a plain function for the whole call, a
coroutine for each of its steps. So a handler may take as long as it likes, and what surrounds it is one thread's alone.

The rule not to be broken: no other place lets the guard go, and whoever comes here holds it just once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from sioproto.app.runtime import Runtime
    from sioproto.guard import Guard


def calling(runtime: Runtime) -> Calling:
    """Returns how user code is called on a runtime."""
    return Calling() if runtime.inline else Unguarded(runtime.guard)


class Calling:
    """On an event loop: everything has its turn in one thread, and there is nothing to let go."""

    __slots__ = ()

    def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        """Calls user code and returns what it returns, which may have to be awaited."""
        return function(*args, **named)

    def wait(self, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        """Returns what to await for the result of user code that has to be awaited."""
        return awaitable

    async def value_of(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls user code, ``def`` or ``async def``, and returns its result."""
        result = self.call(function, *args)
        return await self.wait(result) if hasattr(type(result), "__await__") else result


class Unguarded(Calling):
    """With threads: the guard is let go while user code runs."""

    __slots__ = ("_guard",)

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def call(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        self._guard.__exit__(None, None, None)
        try:
            return function(*args, **named)
        finally:
            self._guard.__enter__()

    def wait(self, awaitable: Awaitable[Any]) -> Awaitable[Any]:
        return Steps(self, awaitable)


class Steps:
    """An awaitable of user code, each step of which is called without the guard (PEP 380 says what the rest means)."""

    __slots__ = ("_awaitable", "_calls")

    def __init__(self, calls: Calling, awaitable: Awaitable[Any]) -> None:
        self._calls = calls
        self._awaitable = awaitable

    def __await__(self) -> Generator[Any, Any, Any]:
        call = self._calls.call
        steps: Any = call(self._awaitable.__await__)
        try:
            waits_for = call(next, steps)
            while True:
                try:
                    sent = yield waits_for
                except GeneratorExit:
                    if hasattr(steps, "close"):
                        call(steps.close)
                    raise
                except BaseException as error:
                    if not hasattr(steps, "throw"):
                        raise
                    waits_for = call(steps.throw, error)
                else:
                    waits_for = call(next, steps) if sent is None else call(steps.send, sent)
        except StopIteration as end:
            return end.value
