"""What the runtimes of all bindings share: one pump for what connections have to do, and calls from other threads.

A binding derives its runtime from ``Driver`` and adds bytes and time: sockets, one timer, and how user code runs.

The rule not to be broken: ``pump`` is never entered twice, whatever a handler that it leads to does.
"""

from __future__ import annotations

import inspect
import threading
from abc import ABC, abstractmethod
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto.errors import LocalProtocolError, is_remote
from sioproto.pending import Pending
from sioproto_host.guard import OneThread
from sioproto_wire.environment import real_environment
from sioproto_wire.outgoing import ClientConnection

if TYPE_CHECKING:
    import logging
    from collections.abc import Awaitable, Callable, Coroutine, Generator

    from sioproto.environment import Environment
    from sioproto.guard import Guard
    from sioproto_host.hosted import Hosted, Route

T = TypeVar("T")

NOT_RUNNING = "this is not running"

TOO_LATE = "the end came before the result of this call"

FOREIGN = "this is not the thread where the event loop runs: use from_thread(function, ...)"

BATCH = 256
"""Calls from other threads that are made in one turn; then everything else gets its turn."""


class Driver(ABC):
    """Drives one server or client and its wire. ``hosted`` is set by that, once it is made."""

    inline = True
    logger: logging.Logger
    hosted: Hosted
    route: Route
    """Where a client's connections lead."""

    def __init__(self, environment: Environment | None) -> None:
        self.environment = environment or real_environment()
        self.running = False
        """Whether bytes and time move: between ``begin`` and ``finish``."""
        self._thread: int | None = None
        self._home = OneThread(FOREIGN)
        self.guard: Guard = self._home.guard
        """See ``Runtime.guard``; a runtime with threads has a lock instead."""
        self._pumping = False
        self._posted: deque[Call[Any]] = deque()
        self._posting = threading.Lock()
        self.owing: set[Call[Any]] = set()
        """Calls that were made, and whose result is a ``Pending`` that is not done, or a coroutine yet to begin."""

    def begin(self) -> None:
        """Binds the runtime to the calling thread, where the core lives from now on."""
        self._thread = threading.get_ident()
        self._home.settle()
        self.running = True
        self.wake(False)

    def finish(self) -> None:
        """Nothing moves any more; calls from other threads fail that nobody made, or whose result did not come."""
        with self._posting:
            self.running = False
            self._thread = None
            self._home.leave()
            calls, self._posted = self._posted, deque()
        for call in calls:
            call.fail()
        while self.owing:
            self.owing.pop().give_up()

    # The part of the port that needs no bytes and no time

    @property
    def at_home(self) -> bool:
        """Whether the caller is in the thread where the core lives."""
        return self._thread == threading.get_ident()

    def check(self) -> None:
        """Refuses a foreign thread, and names the way in."""
        with self._home.guard:
            pass

    def report(self, error: BaseException, where: str) -> None:
        """Logs what user code raised. A log that takes no record is nobody's end."""
        with suppress(Exception):
            if is_remote(error):
                # One line, whatever the client put into it.
                self.logger.debug("in %s: %r", where, error)
            else:
                self.logger.error("unhandled error in %s", where, exc_info=error)

    # Output

    def pump(self) -> None:
        """Lets each connection with something to do be served, dials new ones, and arms the timer."""
        if self._pumping or not self.running:
            return
        self._pumping = True
        try:
            take_dirty = self.hosted.wire.take_dirty
            while connections := take_dirty():
                for connection in connections:
                    if connection.owner is not None:
                        connection.owner.serve(connection)
                    elif isinstance(connection, ClientConnection) and connection.opening:
                        self.dial(connection)
                    else:
                        connection.receive_lost()  # it was given up before anybody dialed it
        finally:
            self._pumping = False
        if self.running:
            if self.hosted.stopping:
                self.hosted.listen_no_more()
            self.arm(self.hosted.next_deadline())

    def due(self) -> None:
        """Does what the timer was armed for."""
        self.hosted.handle_timeout()
        self.pump()

    # Calls from other threads

    def post(self, call: Call[Any]) -> None:
        """Has a call made where the core lives. Callable from any thread, and in order for each of them."""
        with self._posting:
            if not self.running:
                raise LocalProtocolError(NOT_RUNNING)
            self._posted.append(call)
            if len(self._posted) == 1:
                self.interrupt()

    def run_posted(self) -> None:
        """Makes the calls that other threads posted; ``interrupt`` leads here."""
        for _ in range(BATCH):
            with self._posting:
                if not self._posted:
                    return
                call = self._posted.popleft()
            call.run(self)
        with self._posting:
            if self._posted:
                self.interrupt()

    # What a binding adds

    @property
    @abstractmethod
    def tasks(self) -> int:
        """How many pieces of user code are running, but for those that wait for the end."""

    @abstractmethod
    def arm(self, deadline: float | None) -> None:
        """Has ``due`` called at that time; too early does no harm."""

    @abstractmethod
    def dial(self, connection: ClientConnection) -> None:
        """Begins to connect to ``route``, and sets the connection's ``owner`` to what does.

        That serves the connection from now on; one that is closing before it is open is dialed no further.
        """

    @abstractmethod
    def interrupt(self) -> None:
        """Has ``run_posted`` called where the core lives. Callable from any thread; it must not wait for any other."""

    @abstractmethod
    def stop_listening(self) -> None:
        """Accepts nothing any more; a client has nothing to do here."""

    @abstractmethod
    def cancel_tasks(self) -> None:
        """Cancels the user code that is still running, but for those that wait for the end."""

    @abstractmethod
    def wake(self, urgent: bool) -> None:
        """See ``Runtime.wake``."""

    @abstractmethod
    def start(self, run: Coroutine[Any, Any, None]) -> None:
        """See ``Runtime.start``."""

    @abstractmethod
    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        """See ``Waiting.park``. Whoever waits for ``hosted.ending`` is user code no more."""

    @abstractmethod
    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        """See ``Waiting.block``."""


class Call(Future[T]):
    """A call from another thread, and the future of its result.

    Where the function returns something that is awaited, such as a ``Pending``, what comes of that is the result.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__()
        self._function = function
        self._args = args
        self._waits_for: Awaitable[Any] | None = None
        """A coroutine that has not begun."""

    def run(self, driver: Driver) -> None:
        """Makes the call, where the core lives."""
        if not self.set_running_or_notify_cancel():
            return
        try:
            result = self._function(*self._args)
            if isinstance(result, Pending):
                self._follow(driver, result)
            elif hasattr(type(result), "__await__"):
                with driver.guard:
                    driver.owing.add(self)
                    self._waits_for = result
                    try:
                        driver.start(self._wait(driver, result))
                    except BaseException:
                        driver.owing.discard(self)
                        drop(result)
                        raise
            else:
                self.set_result(result)
        except BaseException as error:  # belongs to whoever waits for the result
            self.set_exception(error)

    def fail(self) -> None:
        """The end came first."""
        if self.set_running_or_notify_cancel():
            self.set_exception(LocalProtocolError(NOT_RUNNING))

    def give_up(self) -> None:
        """The end came before the result."""
        if self._waits_for is not None:
            drop(self._waits_for)
        self.set_exception(LocalProtocolError(TOO_LATE))

    def _follow(self, driver: Driver, pending: Pending[T]) -> None:
        with driver.guard:  # where it is a lock, it keeps off the end meanwhile
            if pending.done or pending is driver.hosted.ending:
                pending.on_done(self._take)
                return
            if not driver.running:
                raise LocalProtocolError(NOT_RUNNING)
            driver.owing.add(self)

            def done(_: Pending[T]) -> None:
                if self in driver.owing:  # else the end came first
                    driver.owing.discard(self)
                    self._take(pending)

            pending.on_done(done)

    def _take(self, pending: Pending[T]) -> None:
        try:
            self.set_result(pending.result())
        except Exception as error:  # belongs to whoever waits for the result
            self.set_exception(error)

    async def _wait(self, driver: Driver, result: Awaitable[T]) -> None:
        if self not in driver.owing:  # the end came first
            drop(result)
            return
        driver.owing.discard(self)
        try:
            self.set_result(await driver.hosted._calling.wait(result))
        except Exception as error:  # belongs to whoever waits for the result
            self.set_exception(error)
        except BaseException:
            self.set_exception(LocalProtocolError(TOO_LATE))
            raise


def drop(result: Awaitable[Any]) -> None:
    """Lets go of what nobody awaits; Python would warn of a coroutine."""
    if inspect.iscoroutine(result):
        result.close()
