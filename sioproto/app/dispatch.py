"""Running handlers: what happens to a socket, and what its client emits.

Each socket has a *lane* while something of it is being handled: its handlers run one after another, in the order in
which things happened. Where a plain function can be called in place no lane is made and no task is started; as soon
as a handler has to wait, the rest of its socket's work lines up behind it.

The rule not to be broken: what a handler raises goes to ``on_error``, and the lane goes on.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto.socketio.events import (
    DecodeFailed,
    DisconnectingAsked,
    EventReceived,
    SocketConnected,
    SocketDisconnected,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from sioproto.app.runtime import Runtime
    from sioproto.handlers import Listener
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket

Job = SocketConnected | EventReceived | DecodeFailed | DisconnectingAsked | SocketDisconnected
"""Something that is handled in the lane of its socket."""


PARKING = 256
"""What a parked event costs besides its size on the wire, in bytes; without it tiny events would weigh nothing."""


class Ack:
    """The acknowledgement of one event: call it with the answer's arguments. Only the first call answers.

    A handler gets it through a keyword-only parameter ``ack``. ``called`` tells whether the event is answered.
    """

    __slots__ = ("_ack_id", "_socket", "called")

    def __init__(self, socket: Socket, ack_id: int) -> None:
        self._socket = socket
        self._ack_id = ack_id
        self.called = False

    def __call__(self, *args: Any) -> bool:
        """Sends the answer. Returns False, and sends nothing, if it was answered before or the socket is gone."""
        if self.called:
            return False
        sent = self._socket.acknowledge(self._ack_id, args)
        self.called = True
        return sent


Step = tuple["Listener", tuple[Any, ...], Ack | None]
Waiting = tuple["Awaitable[Any]", "Listener", Ack | None, str]


class Lane:
    """What waits to be handled for one socket, in order."""

    __slots__ = ("jobs", "socket", "waiting", "work")

    def __init__(self, socket: Socket) -> None:
        self.socket = socket
        self.jobs: deque[Job] = deque()
        self.work: tuple[Job, Iterator[Step]] | None = None
        """The job in hand and its handlers that are still to be called."""
        self.waiting: Waiting | None = None
        """What the handler in hand is waiting for."""


class Dispatcher:
    """Runs the handlers of all sockets."""

    def __init__(
        self, core: SocketServer, runtime: Runtime, report: Callable[[BaseException, str], None], max_parked: int
    ) -> None:
        self._core = core
        self._runtime = runtime
        self._report = report
        self._max_parked = max_parked
        self.running = 0
        """How many lanes and other pieces of user code are under way."""

    def take(self, job: Job) -> None:
        """Handles something that happened: in place if nothing has to wait, else in the lane of its socket."""
        socket = job.socket
        lane: Lane | None = socket.lane
        if lane is not None:
            self._park(job)
            lane.jobs.append(job)
            return
        steps = self._steps(job)
        if self._runtime.inline:
            waiting = self._call_all(job, steps)
            if waiting is None:
                self._done(job)
                return
        else:
            waiting = None
        lane = socket.lane = Lane(socket)
        lane.work = (job, steps)
        lane.waiting = waiting
        self._park(job)
        self.running += 1
        self._runtime.start(self._run(lane))

    async def _run(self, lane: Lane) -> None:
        try:
            while lane.work is not None:
                job, steps = lane.work
                while True:
                    if lane.waiting is not None:
                        waiting, lane.waiting = lane.waiting, None
                        await self._settle(*waiting)
                    lane.waiting = self._call_all(job, steps)
                    if lane.waiting is None:
                        break
                self._unpark(job)
                self._done(job)
                self._next(lane)
        except GeneratorExit:
            raise
        except BaseException:
            # One handler was cancelled: that is its own affair, and the lane of its socket goes on without it.
            if lane.work is not None:
                self.running += 1
                self._runtime.start(self._run(lane))
            raise
        finally:
            self.running -= 1
            self._runtime.wake(False)

    def _next(self, lane: Lane) -> None:
        if lane.jobs:
            job = lane.jobs.popleft()
            lane.work = (job, self._steps(job))
        else:
            lane.work = None
            lane.socket.lane = None

    def _steps(self, job: Job) -> Iterator[Step]:
        """Yields the handlers of a job with their arguments; who is asked is decided when it is their turn."""
        socket = job.socket
        namespace = socket.namespace
        reply: Ack | None = None
        if isinstance(job, EventReceived):
            # On the wire a name may be a number, too; handlers are registered by its text.
            name = str(job.args[0])
            args = tuple(job.args[1:])
            if job.ack_id is not None:
                reply = Ack(socket, job.ack_id)
            shared, own = namespace.wire_listeners(name), socket.wire_listeners(name)
        else:
            if isinstance(job, SocketConnected):
                name, args = "connection", ()
            elif isinstance(job, DecodeFailed):
                name, args = "error", (job.error,)
            else:
                name = "disconnecting" if isinstance(job, DisconnectingAsked) else "disconnect"
                args = (job.reason, job.description)
            shared, own = namespace.lifecycle_listeners(name), socket.lifecycle_listeners(name)
        # Of several handlers the first one answers; one that declares ``ack`` may always.
        for listener in shared:
            yield listener, (socket, *args), reply
            if not listener.wants_ack:
                reply = None
        for listener in own:
            yield listener, args, reply
            if not listener.wants_ack:
                reply = None

    def _call_all(self, job: Job, steps: Iterator[Step]) -> Waiting | None:
        """Calls handlers until one has to wait, and returns that; None when all were called."""
        for listener, args, reply in steps:
            where = event_of(job)
            if listener.concurrent:
                self.running += 1
                self._park(job)
                self._runtime.start(self._beside(job, listener, args, reply))
                continue
            awaitable = self._call(listener, args, reply, where)
            if awaitable is not None:
                return awaitable, listener, reply, where
        return None

    def _call(self, listener: Listener, args: tuple[Any, ...], reply: Ack | None, where: str) -> Awaitable[Any] | None:
        """Calls one handler; if it did not have to wait, answers with what it returned."""
        try:
            if len(args) < listener.least:
                raise LocalProtocolError(f"{where}: the handler takes {listener.least} arguments, {len(args)} came")
            if len(args) > listener.most:
                args = args[: listener.most]
            result = listener.call(*args, ack=reply) if listener.wants_ack else listener.call(*args)
            if hasattr(type(result), "__await__"):
                return result  # type: ignore[no-any-return]  # it has __await__, which is all an Awaitable is
            self._answer(listener, reply, result)
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            self._report(error, where)
        return None

    async def _settle(self, awaitable: Awaitable[Any], listener: Listener, reply: Ack | None, where: str) -> None:
        try:
            self._answer(listener, reply, await awaitable)
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            self._report(error, where)

    async def _beside(self, job: Job, listener: Listener, args: tuple[Any, ...], reply: Ack | None) -> None:
        where = event_of(job)
        try:
            awaitable = self._call(listener, args, reply, where)
            if awaitable is not None:
                await self._settle(awaitable, listener, reply, where)
        finally:
            self._unpark(job)
            self.running -= 1
            self._runtime.wake(False)

    @staticmethod
    def _answer(listener: Listener, reply: Ack | None, result: Any) -> None:
        if reply is not None and not listener.wants_ack:
            if result is None:
                reply()
            elif isinstance(result, tuple):
                reply(*result)
            else:
                reply(result)

    def _done(self, job: Job) -> None:
        if isinstance(job, DisconnectingAsked):
            self._core.finish_disconnect(job.socket)

    # While handlers lag, events are parked up to a mark in bytes; then reading from that client stops until half is
    # done.

    def _park(self, job: Job) -> None:
        if isinstance(job, EventReceived):
            client = job.socket.client
            client.parked += job.size + PARKING
            if client.parked > self._max_parked:
                client.session.pause()

    def _unpark(self, job: Job) -> None:
        if isinstance(job, EventReceived):
            client = job.socket.client
            client.parked -= job.size + PARKING
            if client.parked * 2 <= self._max_parked and client.session.paused:
                client.session.resume()


def event_of(job: Job) -> str:
    """Returns what a job is about, for a report: the name of its event, not its content."""
    if isinstance(job, EventReceived):
        return f"event {str(job.args[0])!r} in {job.socket.namespace.name}"
    return f"{type(job).__name__} in {job.socket.namespace.name}"
