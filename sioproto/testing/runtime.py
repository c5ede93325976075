"""The runtime port without an event loop: what is ready is stepped, in order, until nothing is left at this instant.

A coroutine of user code may wait for whatever is ours: every ``Pending`` that a server, a client or the world gives
out. It yields the ``Pending`` and goes on once that is done. Anything else would need somebody's event loop, and is
told so in place, in the coroutine that tried.

The rule not to be broken: nothing runs but in ``Loop.run``, and nothing waits but for a ``Pending`` or a deadline.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from sioproto.environment import Environment
from sioproto.errors import LocalProtocolError, MissingArguments, is_remote
from sioproto.guard import ANYWHERE
from sioproto.pending import Pending
from sioproto.testing.clock import Clock, Share
from sioproto.testing.failures import NeverQuiet
from sioproto.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from sioproto.testing.chance import Chance
    from sioproto.testing.cores import Timed

WALL = 1_767_225_600.0
"""What the wall clock says when a world begins: 2026-01-01, midnight UTC."""

WHAT_WORKS = (
    "in a World a coroutine can wait for what is sioproto's: io.sleep(seconds), world.sleep(seconds), emit_with_ack(), "
    "drained(), any Pending. Event loops, their sleeps, locks, queues and timeouts are not there"
)

NO_LOOP = (
    "no running event loop",
    "no current event loop",
    "should be used inside a task",
    "object has no attribute 'create_future'",
    "async context",
)
"""What asyncio, anyio and trio say to a coroutine that they do not run."""

NO_WORLD = "this belongs to a World, which has no event loop: use world.result(pending)"


class Step(Protocol):
    """Something that has its turn."""

    def step(self) -> None:
        """Does what there is to do."""


class Loop:
    """What is ready, and the clock. With ``chance`` the order of what is ready at the same time is drawn."""

    def __init__(self, budget: int, chance: Chance | None = None) -> None:
        self.clock = Clock()
        self.timers = Timers(self.clock)
        self.ready: deque[Step] = deque()
        self.tasks: dict[Task, None] = {}
        """Coroutines that are not at their end."""
        self.running = False
        self.direct = False
        """Whether what is sent may be handed over in place: nobody up the stack is in the middle of something."""
        self.budget = budget
        self.failed: list[tuple[Party, BaseException, str]] = []
        """What user code raised and nobody took."""
        self.fault: Exception | None = None
        """What was found wrong during a step, by somebody who could not raise it."""
        self._chance = chance

    def run(self) -> None:
        """Runs until nothing is left to do at this instant. Raises ``NeverQuiet`` after ``budget`` steps."""
        __tracebackhide__ = True
        if self.running:
            raise LocalProtocolError("the world is being stepped: a handler cannot let time pass, but may await")
        ready, timers, clock = self.ready, self.timers, self.clock
        left = self.budget
        self.running = self.direct = True
        try:
            while True:
                while ready:
                    step = ready.popleft() if self._chance is None else self._draw(self._chance)
                    step.step()
                    left -= 1
                    if self.fault is not None:
                        fault, self.fault = self.fault, None
                        raise fault
                    if left < 0:
                        raise NeverQuiet(f"not quiet after {self.budget} steps at {clock.now:.3f} seconds")
                deadline = timers.next_deadline()
                if deadline is None or deadline > clock.now:
                    return
                timers.fire(clock.now)
                left -= 1
        finally:
            self.running = self.direct = False

    def call(self, function: Callable[[], object]) -> None:
        """Calls a function as soon as it is its turn."""
        self.ready.append(Call(function))

    def _draw(self, chance: Chance) -> Step:
        ready = self.ready
        index = chance.below(len(ready))
        step = ready[index]
        del ready[index]
        return step


class Call:
    """A plain call that has its turn."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function

    def step(self) -> None:
        """Makes the call."""
        self._function()


class Task:
    """A coroutine that is stepped."""

    __slots__ = ("_error", "_loop", "_run", "_waits_for")

    def __init__(self, loop: Loop, run: Coroutine[Any, Any, object]) -> None:
        self._loop = loop
        self._run = run
        self._waits_for: Pending[Any] | None = None
        self._error: BaseException | None = None
        loop.tasks[self] = None
        loop.ready.append(self)

    def step(self) -> None:
        """Runs it until it waits, or to its end."""
        self._waits_for = None
        error, self._error = self._error, None
        try:
            waits_for = self._run.send(None) if error is None else self._run.throw(error)
        except StopIteration:
            self._loop.tasks.pop(self, None)
        except BaseException:
            self._loop.tasks.pop(self, None)
            raise
        else:
            if isinstance(waits_for, Pending):
                self._waits_for = waits_for
                waits_for.on_done(self._go_on)
            else:
                kind = type(waits_for)
                name = f"{kind.__module__}.{kind.__qualname__}"
                article = "an" if name[0] in "aeiouAEIOU" else "a"
                what = "nothing in particular" if waits_for is None else f"{article} {name}"
                self._error = LocalProtocolError(f"this coroutine waits for {what}: {WHAT_WORKS}")
                self._loop.ready.append(self)

    def close(self) -> None:
        """Ends it where it waits."""
        if self._waits_for is not None:
            self._waits_for.forget(self._go_on)
        self._loop.tasks.pop(self, None)
        self._run.close()

    def _go_on(self, _: Pending[Any]) -> None:
        self._loop.ready.append(self)

    def __repr__(self) -> str:
        return f"<Task {getattr(self._run, '__qualname__', self._run)}>"


class Party:
    """One server or client of a world: the runtime that its core needs, its share of the deadlines, its turns.

    ``pump`` is what a turn does; it is woken by the core, by a deadline of its own, and by what reaches it.
    """

    inline = True
    guard = ANYWHERE
    advice = "world.result(pending) lets time pass"
    """What a ``Pending`` says to whoever asks too early."""

    def __init__(
        self,
        loop: Loop,
        name: str,
        ids: Chance,
        chance: Chance,
        block: Callable[[Pending[Any], float | None], object],
        *,
        passing: bool = False,
    ) -> None:
        self.loop = loop
        self.name = name
        self.timers = Share(loop.timers, self.touch, passing=passing)
        self.environment = Environment(
            clock=loop.clock,
            wall=lambda: WALL + loop.clock.now,
            ids=ids.id,
            entropy=chance.bytes,
            jitter=chance.fraction,
        )
        self.failures: list[tuple[BaseException, str]] = []
        """What user code raised and no ``on_error`` hook took, and where."""
        self.core: Timed | None = None
        self.pump: Callable[[], object] = _nothing
        self._block = block
        self._listed = False
        self._pumping = False

    def drive(self, core: Timed, pump: Callable[[], object]) -> None:
        """Gives it what it drives, and how."""
        self.core = core
        self.pump = pump

    def touch(self) -> None:
        """Something happened to it, so it has its turn."""
        if not self._listed:
            self._listed = True
            self.loop.ready.append(self)

    def step(self) -> None:
        """Has its turn."""
        self._listed = False
        self._pumping = True
        try:
            self.pump()
        finally:
            self._pumping = False
        core = self.core
        if core is not None:
            deadline = core.next_deadline()
            if deadline is not None and deadline <= self.loop.clock.now:
                core.handle_timeout()
                self.touch()

    # The runtime port

    def wake(self, urgent: bool) -> None:
        """Output is ready. With ``urgent`` it is taken at once, as a transport would; it arrives later."""
        if not self._listed:
            self._listed = True
            self.loop.ready.append(self)
        if urgent and not self._pumping:
            direct, self.loop.direct = self.loop.direct, False
            self._pumping = True
            try:
                self.pump()
            finally:
                self._pumping = False
                self.loop.direct = direct

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine beside everything else."""
        Task(self.loop, run)

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        """Suspends the coroutine that is being stepped. Raises ``LocalProtocolError`` in one that others run."""
        if not self.loop.running:
            raise LocalProtocolError(NO_WORLD)
        yield pending

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        """Lets virtual time pass until ``pending`` is done. Only a test can wait like that, not a handler."""
        self._block(pending, timeout)

    def report(self, error: BaseException, where: str) -> None:
        """Keeps what user code raised."""
        if wants_loop(error):
            error.add_note(WHAT_WORKS)
        self.failures.append((error, where))
        # Both sides are the developer's here, so that what one of them leaves out is a fault of the program.
        if not is_remote(error) or isinstance(error, MissingArguments):
            self.loop.failed.append((self, error, where))


def wants_loop(error: BaseException) -> bool:
    """Returns whether a coroutine failed because it asked for an event loop."""
    return isinstance(error, RuntimeError | AttributeError) and any(words in str(error) for words in NO_LOOP)


def describe_failure(party: Party, error: BaseException, where: str) -> str:
    """Returns a line that says who failed with what, and what works instead where that is known."""
    hint = f"; {WHAT_WORKS}" if wants_loop(error) else ""
    return f"{party.name}, {where}: {type(error).__name__}: {error}{hint}"


class Spawned(Pending[Any]):
    """What a spawned function returns or raises; ``unseen`` forgets it once somebody has looked."""

    __slots__ = ("_unseen",)

    def __init__(self, party: Party, unseen: dict[Spawned, str]) -> None:
        super().__init__(party)
        self._unseen = unseen

    def result(self) -> Any:
        """Returns the value or raises the error; see ``Pending.result``."""
        self._unseen.pop(self, None)
        return super().result()

    @property
    def error(self) -> BaseException | None:
        """What it raised, which nobody has seen by that."""
        return self._error


def _nothing() -> None:
    """Nobody has to do anything yet."""
