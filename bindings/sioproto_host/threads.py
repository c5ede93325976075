"""What the host is where there are threads: a lock around the core, a pool for user code, and how a thread waits.

The rule not to be broken: whatever concerns the core or this runtime is done with the lock held, and nobody who holds
it waits: for user code, for a ``Pending``, for a socket.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Condition, Event, RLock, Thread, current_thread
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError, OptionError
from sioproto.pending import Pending
from sioproto_host.driver import Driver

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine, Generator

    from sioproto.environment import Environment
    from sioproto.guard import Guard
    from sioproto_host.driver import Call

NOT_RUNNING = "the server does not serve, or the client is not entered"
OVER = "the end came before the result"
IN_PLACE = "what is called in place may not wait: it would hold up whoever could settle this"
FOREIGN = "on threads a coroutine awaits what is ours: io.sleep(seconds), emit_with_ack(), drained(), any Pending"

LAST_WORDS = 1.0
"""Seconds that a thread gets to end that has nothing to do any more."""


class ThreadedDriver(Driver):
    """Drives one server or client in threads of its own, at most ``threads`` of them for user code."""

    inline = False
    buffer: memoryview
    """What all connections are read into."""

    def __init__(self, environment: Environment | None = None, threads: int = 32) -> None:
        if not threads >= 1:
            raise OptionError(f"threads must be at least 1, not {threads!r}")
        super().__init__(environment)
        lock = RLock()
        self.guard = lock
        self._holding = Condition(lock)
        self._pool = Pool(lock, threads)
        self._threads: list[Thread] = []
        """Those that are waited for at the end."""
        self._runs: set[Coroutine[Any, Any, None]] = set()
        """User code that is not at its end."""
        self._parked: dict[Coroutine[Any, Any, None], Callable[[], None]] = {}
        """User code that awaits, and how it forgets what it awaits."""
        self._blocked: set[Event] = set()
        """Threads that wait for a ``Pending``."""
        self._cancelling = False
        """Whether user code may wait for nothing any more but the end."""

    def finish(self) -> None:
        super().finish()
        # Whoever waits for the end goes on first.
        self.hosted.ending.on_done(lambda _: self._threads.extend(self._pool.stop()))

    def leave(self) -> None:
        """Waits for the threads, once everything is over; those in which user code is stuck are left behind."""
        with self.guard:
            threads = [thread for thread in self._threads if thread is not current_thread()]
        for thread in threads:
            thread.join(LAST_WORDS)

    def post(self, call: Call[Any]) -> None:
        """Makes a call at once: any thread may."""
        if not self.running:
            raise LocalProtocolError(NOT_RUNNING)
        call.run(self)

    def report(self, error: BaseException, where: str) -> None:
        """Logs what user code raised, in a thread of the pool and without the lock.

        What takes a record may itself send, from any thread and with a lock of its own held, and so wait for ours.
        """
        if self.running:
            with self.guard, suppress(OSError):
                self._pool.submit(partial(self.hosted._calling.call, super().report, error, where))
                return
        super().report(error, where)

    # User code

    @property
    def tasks(self) -> int:
        return len(self._runs)

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        if not self.running:
            run.close()  # else Python would warn that it was never awaited
            raise LocalProtocolError(NOT_RUNNING)
        self._runs.add(run)
        self._pool.submit(partial(self._step, run))

    def _step(self, run: Coroutine[Any, Any, None]) -> None:
        """Goes on with user code until it awaits something, or to its end, and sends what came of that."""
        try:
            waits_for: Any = run.send(None)
            while not isinstance(waits_for, Pending):
                waits_for = run.throw(LocalProtocolError(FOREIGN))
        except StopIteration:
            self._ended(run)
        except BaseException as error:
            self.report(error, "task")
            self._ended(run)
        else:
            self._park(run, waits_for)
        self.after_step()

    def _park(self, run: Coroutine[Any, Any, None], pending: Pending[Any]) -> None:
        if pending is self.hosted.ending:
            self._ended(run)
        elif self._cancelling:  # it was not there yet when the others were told
            self._cancel(run)
            return

        def go_on(_: Pending[Any]) -> None:
            del self._parked[run]
            self._pool.submit(partial(self._step, run))

        self._parked[run] = partial(pending.forget, go_on)
        pending.on_done(go_on)

    def _ended(self, run: Coroutine[Any, Any, None]) -> None:
        self._runs.discard(run)
        self.hosted.settle()

    def cancel_tasks(self) -> None:
        # A thread cannot be cancelled: one that waits for a result is told that there is none, others are left alone.
        self._cancelling = True
        for run in [run for run in self._parked if run in self._runs]:
            self._parked.pop(run)()
            self._pool.submit(partial(self._cancel, run))
        for event in list(self._blocked):
            event.set()

    def _cancel(self, run: Coroutine[Any, Any, None]) -> None:
        try:
            run.close()
        except BaseException as error:
            self.report(error, "task")
        self._ended(run)

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        yield pending

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        """Waits in the calling thread. Raises ``LocalProtocolError`` in what is called in place, and when the end comes
        first.
        """
        try:
            self._holding.notify(0)
        except RuntimeError:
            pass  # which is what it says to whoever does not hold the lock
        else:
            raise LocalProtocolError(IN_PLACE)
        event = Event()

        def done(_: Pending[Any]) -> None:
            event.set()

        with self.guard:
            if not self.running and not pending.done:
                raise LocalProtocolError(NOT_RUNNING)
            if pending is not self.hosted.ending:
                if self._cancelling and not pending.done:
                    raise LocalProtocolError(OVER)
                self._blocked.add(event)
            pending.on_done(done)
        try:
            if not event.wait(timeout):
                raise TimeoutError
        finally:
            pending.forget(done)
            self._blocked.discard(event)
        if not pending.done:
            raise LocalProtocolError(OVER)

    # What a binding adds

    @abstractmethod
    def after_step(self) -> None:
        """User code had its turn in the calling thread; there may be output."""

    @abstractmethod
    def errand(self, do: Callable[[], object]) -> None:
        """Has ``do()`` done soon, with the lock held. Callable from anywhere, even in the handler of a signal."""

    @property
    @abstractmethod
    def addresses(self) -> list[Any]:
        """Where it listens."""

    @abstractmethod
    def listen(self, listeners: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        """Accepts connections from now on, on sockets that listen."""


class Pool:
    """Makes calls in at most ``limit`` threads, with a guard held around each. Whoever calls a method holds it, too.

    Its threads are daemons. Those of ``concurrent.futures`` are waited for when the interpreter ends, however long they
    take.
    """

    def __init__(self, guard: Guard, limit: int) -> None:
        self._guard = guard
        self._limit = limit
        self._calls: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._begun = 0
        self._idle: set[Thread] = set()
        self._waiting = 0
        """Calls that nobody makes yet."""

    def submit(self, call: Callable[[], object]) -> None:
        """Lines up a call. There is a new thread for it if nobody is free, up to the limit.

        Raises ``OSError`` when there is none yet, and the system has no resources for one.
        """
        self._waiting += 1
        if self._waiting > len(self._idle) and self._begun < self._limit:
            self._begun += 1
            thread = Thread(target=self._work, name=f"sioproto-{self._begun}", daemon=True)
            self._idle.add(thread)
            try:
                begin(thread)
            except OSError:
                self._begun -= 1
                self._idle.discard(thread)
                if not self._begun:
                    self._waiting -= 1
                    raise
        self._calls.put(call)

    def stop(self) -> set[Thread]:
        """Ends each thread as soon as it has nothing to do. Returns those that have nothing to do now."""
        for _ in range(self._begun):
            self._calls.put(None)
        return set(self._idle)

    def _work(self) -> None:
        thread = current_thread()
        while (call := self._calls.get()) is not None:
            with self._guard:
                self._waiting -= 1
                self._idle.discard(thread)
                try:
                    call()
                finally:
                    self._idle.add(thread)


def begin(thread: Thread) -> None:
    """Starts a thread. Raises ``OSError`` where the system has no resources for it."""
    try:
        thread.start()
    except RuntimeError as error:  # what Python says then
        raise OSError(str(error)) from None
