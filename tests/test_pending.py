"""A result that comes later: settled once, read by any number, waited for in the way of a runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sioproto import LocalProtocolError, Pending
from tests.virtual import Clock, Stepper, make_environment

if TYPE_CHECKING:
    from collections.abc import Generator


class Impatient:
    """A runtime with threads, in which somebody settles what is waited for, or nobody does."""

    def __init__(self, settle: bool) -> None:
        self.settle = settle
        self.timeouts: list[float | None] = []

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        raise AssertionError("nobody awaits here")
        yield

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        self.timeouts.append(timeout)
        if not self.settle:
            raise TimeoutError
        pending.resolve("late")

    def report(self, error: Exception, where: str) -> None:
        raise AssertionError("nobody fails here")


def test_it_has_a_value() -> None:
    pending: Pending[int] = Pending()
    assert not pending.done
    assert pending.resolve(7)
    assert pending.done
    assert pending.result() == 7
    assert pending.wait() == 7


def test_it_has_an_error() -> None:
    pending: Pending[int] = Pending()
    assert pending.reject(ValueError("no"))
    assert pending.done
    with pytest.raises(ValueError, match="no"):
        pending.result()
    with pytest.raises(ValueError, match="no"):
        pending.wait(1.0)


def test_the_first_settling_counts() -> None:
    pending: Pending[int | None] = Pending()
    assert pending.resolve(None)
    assert not pending.resolve(2)
    assert not pending.reject(ValueError())
    assert pending.result() is None
    failed: Pending[int] = Pending()
    assert failed.reject(KeyError())
    assert not failed.resolve(1)
    with pytest.raises(KeyError):
        failed.result()


def test_it_cannot_be_read_before() -> None:
    with pytest.raises(LocalProtocolError, match="pending"):
        Pending[int]().result()


def test_callbacks_come_once_and_in_order() -> None:
    pending: Pending[int] = Pending()
    heard: list[tuple[str, int]] = []

    def gone(settled: Pending[int]) -> None:
        heard.append(("gone", settled.result()))

    pending.on_done(lambda settled: heard.append(("first", settled.result())))
    pending.on_done(gone)
    pending.on_done(lambda settled: heard.append(("second", settled.result())))
    pending.forget(gone)
    pending.forget(gone)
    pending.resolve(1)
    pending.resolve(2)
    assert heard == [("first", 1), ("second", 1)]
    pending.on_done(lambda settled: heard.append(("late", settled.result())))
    assert heard[-1] == ("late", 1)


def test_a_callback_that_fails_stops_nobody() -> None:
    runtime = Stepper(make_environment(Clock()))
    pending: Pending[int] = Pending(runtime)
    heard: list[str] = []
    pending.on_done(lambda _: 1 / 0)
    pending.on_done(lambda settled: settled.result())
    pending.on_done(lambda _: heard.append("last"))
    assert pending.reject(KeyError("no"))
    assert heard == ["last"]
    assert [type(error) for error, _ in runtime.reports] == [ZeroDivisionError, KeyError]
    assert {where for _, where in runtime.reports} == {"callback of a Pending"}


def test_without_a_runtime_its_failure_is_for_whoever_settles() -> None:
    pending: Pending[int] = Pending()
    heard: list[str] = []
    pending.on_done(lambda _: 1 / 0)
    pending.on_done(lambda _: heard.append("last"))
    with pytest.raises(ZeroDivisionError):
        pending.resolve(1)
    assert heard == ["last"]
    assert pending.result() == 1


def test_any_number_may_wait_and_one_may_give_up() -> None:
    runtime = Stepper(make_environment(Clock()))
    pending: Pending[str] = Pending(runtime)
    heard: list[str] = []

    async def wait(name: str) -> None:
        heard.append(f"{name} {await pending}")

    for name in ("one", "two", "three"):
        runtime.start(wait(name))
    runtime.step()
    assert heard == []
    runtime.cancel(runtime.tasks[1])
    assert not pending.done
    pending.resolve("value")
    runtime.step()
    assert heard == ["one value", "three value"]


def test_awaiting_what_is_done_does_not_wait() -> None:
    pending: Pending[str] = Pending()  # whose runtime could not wait
    pending.resolve("at once")

    async def wait() -> str:
        return await pending

    with pytest.raises(StopIteration) as stop:
        wait().send(None)
    assert stop.value.value == "at once"


def test_awaiting_raises_the_error() -> None:
    runtime = Stepper(make_environment(Clock()))
    pending: Pending[str] = Pending(runtime)
    caught: list[Exception] = []

    async def wait() -> None:
        try:
            await pending
        except ValueError as error:
            caught.append(error)

    runtime.start(wait())
    runtime.step()
    error = ValueError()
    pending.reject(error)
    runtime.step()
    assert caught == [error]


def test_blocking_goes_through_the_runtime() -> None:
    runtime = Impatient(settle=True)
    pending: Pending[str] = Pending(runtime)
    assert pending.wait(2.5) == "late"
    assert pending.wait() == "late"
    assert runtime.timeouts == [2.5]


def test_a_timeout_leaves_it_pending() -> None:
    pending: Pending[str] = Pending(Impatient(settle=False))
    with pytest.raises(TimeoutError):
        pending.wait(0.1)
    assert not pending.done
    assert pending.resolve("later")
    assert pending.wait() == "later"


def test_a_core_without_a_runtime_says_so() -> None:
    pending: Pending[str] = Pending()
    with pytest.raises(LocalProtocolError, match=r"pending\.done"):
        pending.wait()

    async def wait() -> None:
        await pending

    with pytest.raises(LocalProtocolError, match=r"pending\.done"):
        wait().send(None)
