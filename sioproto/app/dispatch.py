"""Running handlers: what happens to a socket, and what the other side emits. The same for servers and clients.

Each socket has a *lane* while something of it is being handled: its handlers run one after another, in the order in
which things happened. Where a plain function can be called in place no lane is made and no task is started; as soon
as a handler has to wait, the rest of its socket's work lines up behind it.

The rule not to be broken: what a handler raises goes to ``on_error``, and the lane goes on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from sioproto.app.steps import event_of, missing
from sioproto.pending import Pending
from sioproto.socketio.client_events import (
    ClientConnected,
    ClientDisconnected,
    ConnectFailed,
    EventArrived,
    Reconnection,
)
from sioproto.socketio.events import DisconnectingAsked, EventReceived, SocketDisconnected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from sioproto.app.calling import Calling
    from sioproto.app.runtime import Runtime
    from sioproto.app.steps import Job, Step
    from sioproto.socketio.client_socket import ClientSocket
    from sioproto.socketio.socket import Socket

PARKING = 256
"""What a parked event costs besides its size on the wire, in bytes; without it tiny events would weigh nothing."""


News = ClientConnected | ClientDisconnected | ConnectFailed | Reconnection
"""What happens to a client's socket, but for the events of its server."""


class Lane:
    """What waits to be handled for one socket, in order."""

    __slots__ = ("idle", "jobs", "news", "socket", "waiting", "work")

    def __init__(self, socket: Socket | ClientSocket) -> None:
        self.socket = socket
        self.jobs: deque[Job] = deque()
        self.news = 0
        """How many of the jobs tell how a client's connections come and go."""
        self.work: tuple[Job, Generator[Step, None, None]] | None = None
        """The job in hand and its handlers that are still to be called."""
        self.waiting: tuple[Awaitable[Any], Step] | None = None
        """What the handler in hand is waiting for."""
        self.idle: list[Pending[None]] = []
        """Who waits until there is nothing left."""


class Dispatcher:
    """Runs the handlers of all sockets.

    ``steps(job)`` yields them, and ``done(job)`` is called behind the last one; ``lone_step(job)`` is the short road of
    ordinary events, which have one handler and need no ``done``.
    """

    def __init__(
        self,
        steps: Callable[[Any], Generator[Step, None, None]],
        lone_step: Callable[[Any], Step | None],
        done: Callable[[Any], None],
        runtime: Runtime,
        calls: Calling,
        report: Callable[[BaseException, str], None],
        max_parked: int,
    ) -> None:
        self._steps = steps
        self._lone_step = lone_step
        self._done = done
        self._runtime = runtime
        self._inline = runtime.inline
        self._calls = calls
        self._report = report
        self._max_parked = max_parked
        self.running = 0
        """How many lanes and other pieces of user code are under way."""
        self.cut_off = False
        """Whether the server's time is over: a handler that is cancelled then takes the rest of its lane with it."""

    def take(self, job: Job) -> None:
        """Handles something that happened: in place if nothing has to wait, else in the lane of its socket."""
        socket = job.socket
        lane: Lane | None = socket.lane
        if lane is not None:
            if isinstance(job, EventReceived | EventArrived):
                self._park(job)
            elif isinstance(job, DisconnectingAsked | SocketDisconnected):
                if job.socket.expelled:
                    self._forget_parked(lane)
            elif not self._admit(lane, job):
                return
            lane.jobs.append(job)
            return
        step = self._lone_step(job) if self._inline else None
        if step is not None:
            waiting = self._call_lone(job, step)
            if waiting is None:
                return
            steps = no_steps()
        elif self._inline:
            steps = self._steps(job)
            waiting = self._call_all(job, steps)
            if waiting is None:
                self._done(job)
                return
        else:
            steps = self._steps(job)
            waiting = None
        lane = socket.lane = Lane(socket)
        lane.work = (job, steps)
        lane.waiting = waiting
        self._park(job)
        self.running += 1
        self._runtime.start(self._run(lane))

    def when_idle(self, lane: Lane) -> Pending[None]:
        """Returns what is done when all that happened to a socket is handled."""
        pending: Pending[None] = Pending(self._runtime)
        lane.idle.append(pending)
        return pending

    async def _run(self, lane: Lane) -> None:
        try:
            while lane.work is not None:
                job, steps = lane.work
                refusal: Exception | None = None
                while True:
                    if lane.waiting is not None:
                        (awaitable, step), lane.waiting = lane.waiting, None
                        refusal = await self._settle(awaitable, step, job)
                    lane.waiting = self._call_all(job, steps, refusal)
                    if lane.waiting is None:
                        break
                self._unpark(job)
                self._done(job)
                self._next(lane)
        except GeneratorExit:
            raise
        except BaseException:
            # One handler was cancelled: that is its own affair, and the lane of its socket goes on without it.
            if lane.work is not None and not self.cut_off:
                self.running += 1
                self._runtime.start(self._run(lane))
            raise
        finally:
            self.running -= 1
            self._runtime.wake(False)

    def _next(self, lane: Lane) -> None:
        if lane.jobs:
            job = lane.jobs.popleft()
            if isinstance(job, News):
                lane.news -= 1
            lane.work = (job, self._steps(job))
        else:
            lane.work = None
            lane.socket.lane = None
            for pending in lane.idle:
                pending.resolve(None)

    def _call_lone(self, job: Job, step: Step) -> tuple[Awaitable[Any], Step] | None:
        """Calls the one handler of an ordinary event; returns what it waits for."""
        try:
            result = self._call(job, step)
            if result is not None and hasattr(type(result), "__await__"):
                return result, step
            if step.reply is not None:
                self._answer(step, result)
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            self._failed(job, step, error)
        return None

    def _call_all(
        self, job: Job, steps: Generator[Step, None, None], refusal: Exception | None = None
    ) -> tuple[Awaitable[Any], Step] | None:
        """Calls handlers until one has to wait, and returns what it waits for; None when all were called."""
        while True:
            try:
                step = next(steps) if refusal is None else steps.throw(refusal)
            except StopIteration:
                return None
            refusal = None
            if step.listener.concurrent:
                self.running += 1
                self._park(job)
                self._runtime.start(self._beside(job, step))
                continue
            try:
                result = self._call(job, step)
                if hasattr(type(result), "__await__"):
                    return result, step
                self._answer(step, result)
            except Exception as error:  # a user's code: its failure is reported and stops nobody
                refusal = self._failed(job, step, error)

    def _call(self, job: Job, step: Step) -> Any:
        listener, args = step.listener, step.args
        if len(args) < listener.least:
            # What is missing is missing in what the client sent.
            raise missing(job, listener, len(args))
        if len(args) > listener.most:
            args = args[: listener.most]
        if self._inline:
            return listener.call(*args, ack=step.reply) if listener.wants_ack else listener.call(*args)
        call = self._calls.call
        return call(listener.call, *args, ack=step.reply) if listener.wants_ack else call(listener.call, *args)

    async def _settle(self, awaitable: Awaitable[Any], step: Step, job: Job) -> Exception | None:
        try:
            self._answer(step, await self._calls.wait(awaitable))
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            return self._failed(job, step, error)
        return None

    async def _beside(self, job: Job, step: Step) -> None:
        try:
            result = self._call(job, step)
            self._answer(step, await self._calls.wait(result) if hasattr(type(result), "__await__") else result)
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            self._failed(job, step, error)
        finally:
            self._unpark(job)
            self.running -= 1
            self._runtime.wake(False)

    def _failed(self, job: Job, step: Step, error: Exception) -> Exception | None:
        """Returns what a middleware refused with; what anybody else raised is reported."""
        if step.gate:
            return error
        self._report(error, event_of(job))
        return None

    @staticmethod
    def _answer(step: Step, result: Any) -> None:
        reply = step.reply
        if reply is not None and not step.listener.wants_ack:
            if result is None:
                reply.answer(())
            elif isinstance(result, tuple):
                reply.answer(result)
            else:
                reply.answer((result,))

    # While handlers lag, events are parked up to a mark in bytes; then reading from that client stops until half is
    # done. Connections come and go without being read from: of that no more waits than would fit below the mark.

    def _admit(self, lane: Lane, job: Job) -> bool:
        """Returns whether a job may wait in the lane of a client's socket."""
        if not isinstance(job, News):
            return True
        if lane.news * PARKING >= self._max_parked:
            if isinstance(job, ConnectFailed | Reconnection):
                return False
            if isinstance(job, ClientDisconnected) and isinstance(lane.jobs[-1], ClientConnected):
                # A connection that came and went, and brought nothing: nobody has heard of it yet, and nobody is going
                # to.
                lane.jobs.pop()
                lane.news -= 1
                return False
        lane.news += 1
        return True

    def _park(self, job: Job) -> None:
        if isinstance(job, EventReceived | EventArrived):
            client = job.socket.client
            client.parked += job.size + PARKING
            if client.parked > self._max_parked:
                client.pause()

    def _unpark(self, job: Job) -> None:
        if isinstance(job, EventReceived | EventArrived):
            client = job.socket.client
            client.parked -= job.size + PARKING
            if client.parked * 2 <= self._max_parked and client.paused:
                client.resume()

    def _forget_parked(self, lane: Lane) -> None:
        """Lets go of events that will not be handled any more, so that they cost nothing while a handler still runs."""
        for job in lane.jobs:
            self._unpark(job)
        lane.jobs = deque(job for job in lane.jobs if not isinstance(job, EventReceived))


def no_steps() -> Generator[Step, None, None]:
    """Yields what is left of a job whose only handler was called: nothing."""
    yield from ()
