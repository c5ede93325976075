"""How a world is stepped: time that passes when a test says so, what a test waits for, and what fails a step.

The rule not to be broken: only a test lets time pass, never a handler, and never behind the end of the world.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sioproto.errors import AckTimeout, LocalProtocolError
from sioproto.pending import Pending
from sioproto.testing.chance import Chance
from sioproto.testing.checking import check_function, check_pending, check_seconds, is_number
from sioproto.testing.failures import TRANSCRIPT, HandlerFailed, NeverDone, NeverQuiet, WorldFailure, has_transcript
from sioproto.testing.pipe import SAME
from sioproto.testing.runtime import Loop, Party, Spawned, Task, describe_failure
from sioproto.testing.transcript import Transcript
from sioproto.testing.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.testing.clock import Clock
    from sioproto.timers import Timer

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

HOUR = 3600.0


class Stepping:
    """The time of a world, those who live in it, and the steps that a test makes."""

    def __init__(self, seed: int, strict: bool, shuffle: bool, invariants: bool, budget: int, transcript: int) -> None:
        self.seed = seed
        self.strict = strict
        self.chance = Chance(seed)
        """For a test that wants something drawn as well."""
        self._loop = Loop(budget, self.chance.fork("order") if shuffle else None)
        self.transcript = Transcript(self._loop.clock, transcript)
        """What happened, to be read: ``str()`` is all that is kept, ``tail(20)`` the last lines."""
        self.watch = Watch(self._loop, invariants)
        self._closing = self._closed = False
        self._ids = self.chance.fork("ids")
        self._parties: dict[str, Party] = {}
        self._sleeps: dict[Timer, None] = {}
        self._spawned: dict[Spawned, str] = {}
        """What was spawned and raised, and nobody has looked at yet."""
        self._party = self.party("world")

    @property
    def clock(self) -> Clock:
        """The clock, which begins at 0. ``clock.now`` is the time."""
        return self._loop.clock

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self._loop.clock.now

    def settle(self) -> None:
        """Lets everything happen that happens without time going by.

        Raises ``HandlerFailed`` for what a handler raised, ``InvariantBroken``, and ``NeverQuiet`` for a livelock.
        """
        __tracebackhide__ = True
        self._check_open()
        self._run()

    def advance(self, seconds: float) -> None:
        """Lets virtual seconds pass, from deadline to deadline. Raises what ``settle`` raises."""
        __tracebackhide__ = True
        self._check_open()
        if not is_number(seconds) or not seconds >= 0:
            raise LocalProtocolError(f"time passes forwards, not {seconds!r} seconds")
        self._run()
        self._pass_until(self._loop.clock.now + seconds)

    def jump(self, seconds: float) -> None:
        """Lets the clocks jump without anybody having been woken in between, as when a laptop sleeps.

        Whatever became due meanwhile is noticed now, that late.
        """
        __tracebackhide__ = True
        self._check_open()
        if not is_number(seconds) or not seconds >= 0:
            raise LocalProtocolError(f"clocks jump forwards, not {seconds!r} seconds")
        self._run()
        self.transcript.note("world", f"the clocks jump {seconds:g} seconds")
        self._loop.clock.now += seconds
        self._run()

    def result(self, pending: Pending[T], within: float = HOUR) -> T:
        """Lets time pass until ``pending`` is done, and returns its result, or raises its error.

        Raises ``NeverDone`` when that takes more than ``within`` virtual seconds, or when nothing is left to happen.
        """
        __tracebackhide__ = True
        self._check_open()
        check_pending(pending)
        check_seconds("what a result is waited for", within)
        self._wait(pending, within)
        if not pending.done:
            raise self._explained(NeverDone(f"not done within {within:g} seconds"))
        try:
            return pending.result()
        except AckTimeout as error:
            self._explained(error)
            raise

    def sleep(self, seconds: float) -> Pending[None]:
        """Returns what is done after that many virtual seconds; for handlers and tests alike."""
        self._check_open()
        if not is_number(seconds):
            raise LocalProtocolError(f"a sleep is a number of seconds, not {seconds!r}")
        pending: Pending[None] = Pending(self._party)

        def wake() -> None:
            self._sleeps.pop(timer, None)
            pending.resolve(None)

        timer = self._loop.timers.after(max(0.0, seconds), wake)
        self._sleeps[timer] = None
        return pending

    def spawn(self, function: Callable[..., Any], *args: Any) -> Pending[Any]:
        """Runs ``function(*args)``, ``def`` or ``async def``, beside everything else; the result is what it returns.

        What it raises belongs to whoever waits for the result, and fails the test where nobody does: at once, or at
        the ``close`` when somebody waited and never looked.
        """
        self._check_open()
        check_function(function)
        where = f"spawned {getattr(function, '__qualname__', 'function')}"
        pending = Spawned(self._party, self._spawned)

        async def run() -> None:
            try:
                result = function(*args)
                pending.resolve(await result if hasattr(type(result), "__await__") else result)
            except Exception as error:  # a user's code: it stops nobody else
                if pending._callbacks:
                    self._spawned[pending] = where
                else:  # nobody waits
                    self._party.report(error, where)
                pending.reject(error)

        Task(self._loop, run())
        return pending

    def party(self, name: str, *, passing: bool = False) -> Party:
        """Returns the runtime for a core of one's own: its ``environment``, ``timers`` and ``wake``.

        Give it a turn with ``serve`` or ``connect``. Clients are ``passing``, so that nothing is left of them.
        """
        self._check_open()
        if name in self._parties:
            raise LocalProtocolError(f"there is a party {name!r} already")
        chance = self.chance.fork(f"party {name}")
        party = Party(self._loop, name, self._ids, chance, self._block, passing=passing)
        self._parties[name] = party
        return party

    # Below this line: helpers

    def _check_open(self) -> None:
        __tracebackhide__ = True
        if self._closed:
            raise LocalProtocolError("this world is closed")

    def _run(self) -> None:
        __tracebackhide__ = True
        loop = self._loop
        if loop.running:
            raise LocalProtocolError("a handler cannot let time pass: it may await, or be called later")
        try:
            loop.run()
            self.watch.look_when_due()
        except WorldFailure as failure:
            raise self._explained(failure) from failure.__cause__
        if loop.failed:
            failed, loop.failed = loop.failed, []
            if self.strict:
                lines = "\n".join(describe_failure(*each) for each in failed)
                raise self._explained(HandlerFailed(lines)) from failed[0][1]

    def _pass_until(self, end: float) -> None:
        __tracebackhide__ = True
        loop = self._loop
        instants = loop.budget
        while (deadline := loop.timers.next_deadline()) is not None and deadline <= end + SAME:
            loop.clock.now = max(loop.clock.now, deadline)
            self._run()
            instants -= 1
            if instants < 0:
                raise self._explained(NeverQuiet(f"{loop.budget} deadlines in {end - loop.clock.now:g} seconds"))
        loop.clock.now = max(loop.clock.now, end)

    def _wait(self, pending: Pending[Any], within: float) -> None:
        __tracebackhide__ = True
        pending.on_done(_noted)
        try:
            self._pass_for(pending, within)
        finally:
            pending.forget(_noted)

    def _pass_for(self, pending: Pending[Any], within: float) -> None:
        __tracebackhide__ = True
        loop = self._loop
        self._run()
        end = loop.clock.now + within
        instants = loop.budget
        while not pending.done:
            deadline = loop.timers.next_deadline()
            if deadline is None:
                raise self._explained(NeverDone("nothing is left that could still happen"))
            if deadline > end + SAME:
                loop.clock.now = end
                return
            loop.clock.now = max(loop.clock.now, deadline)
            self._run()
            instants -= 1
            if instants < 0:
                raise self._explained(NeverQuiet(f"not done after {loop.budget} deadlines"))

    def _block(self, pending: Pending[Any], timeout: float | None) -> None:
        __tracebackhide__ = True
        self._check_open()
        if self._loop.running:
            raise LocalProtocolError("a handler waits with await: in a world there is one thread")
        self._wait(pending, HOUR if timeout is None else timeout)
        if not pending.done:
            if timeout is None:
                raise self._explained(NeverDone(f"not done within {HOUR:g} seconds"))
            raise TimeoutError(f"not done within {timeout:g} seconds")

    def _explained(self, failure: E) -> E:
        if self.transcript.count and not has_transcript(failure):
            failure.add_note(f"seed {self.seed}{TRANSCRIPT}\n{self.transcript.tail()}")
        return failure


def _noted(_: Pending[Any]) -> None:
    """Somebody waits for it."""
