"""The runtime port on asyncio: how user code runs and waits, and the one pump that moves what the core has to say.

The rule not to be broken: this file moves bytes and time. What they mean is decided in ``sioproto`` and
``sioproto_wire``.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Any, cast

from sioproto.errors import LocalProtocolError, is_remote
from sioproto.guard import OnePlace
from sioproto_wire import real_environment

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from sioproto.app import Server
    from sioproto.environment import Environment
    from sioproto.pending import Pending
    from sioproto_wire import Connection, ServerWire

logger = logging.getLogger("sioproto_asyncio")

CLEAN_UP = 0.25
"""Seconds that cancelled user code gets at the end."""

FOREIGN = "this is not the thread of the event loop: use io.from_thread(function, ...)"

READ_SIZE = 64 * 1024
"""Bytes of the read buffer that all connections of a loop share."""


class AsyncioRuntime:
    """Drives one server and its wire on the loop that ``attach`` finds running."""

    inline = True

    def __init__(self, environment: Environment | None = None) -> None:
        self.environment = environment or real_environment()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.server: Server | None = None
        self.wire: ServerWire | None = None
        # A view of one buffer: a bytearray itself would be resized under TLS, and one for each connection costs memory.
        self.buffer = memoryview(bytearray(READ_SIZE))
        self._gone: asyncio.Event | None = None
        self.guard = OnePlace(threading.get_ident, FOREIGN)
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def attach(self) -> None:
        """Binds the runtime to the running loop and its thread. Raises ``LocalProtocolError`` on a second loop."""
        loop = asyncio.get_running_loop()
        if self.loop is not None and self.loop is not loop:
            raise LocalProtocolError("this server belongs to another event loop")
        self.loop = loop
        self.guard.home = threading.get_ident()

    async def all_gone(self) -> None:
        """Waits until no connection is left."""
        self._gone = asyncio.Event()
        while self.wire is not None and self.wire.connections:
            self._gone.clear()
            await self._gone.wait()

    async def cancel_tasks(self) -> None:
        """Cancels the user code that is still running, except whoever calls this, and lets it clean up."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.sleep(0)
        if tasks:
            await asyncio.wait(tasks, timeout=CLEAN_UP)

    def detach(self) -> None:
        """Forgets the loop: from now on nothing is sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.loop = None
        self.guard.home = None

    # The port

    def wake(self, urgent: bool) -> None:
        """Pumps at the end of this turn of the loop, or at once."""
        if self.loop is None:
            return  # not serving: there is nobody to send to
        if urgent:
            self.pump()
        elif not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._turn)

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        """Runs user code in a task."""
        if self.loop is None:
            run.close()  # else Python would warn that it was never awaited
            raise LocalProtocolError("nothing can be run before the server serves")
        task = self.loop.create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        """Suspends the task until ``pending`` is done."""
        future = asyncio.get_running_loop().create_future()

        def done(_: Pending[Any]) -> None:
            if not future.done():
                future.set_result(None)

        pending.on_done(done)
        try:
            yield from future.__await__()
        finally:
            pending.forget(done)

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        """Refuses: blocking would stop the very loop that is to settle it."""
        raise LocalProtocolError("on asyncio a Pending is awaited: await pending")

    def report(self, error: BaseException, where: str) -> None:
        """Logs what user code raised."""
        if is_remote(error):
            logger.debug("in %s: %s", where, error)
        else:
            logger.error("unhandled error in %s", where, exc_info=error)

    # Bytes and time

    def pump(self) -> None:
        """Sends what the wire has to send, stops and resumes reading as it says, and moves the one timer."""
        if self._pumping or self.wire is None:
            return
        self._pumping = True
        try:
            while connections := self.wire.take_dirty():
                for connection in connections:
                    connection.owner.serve(connection)
        finally:
            self._pumping = False
        self._arm()

    def lost(self) -> None:
        """A connection is gone."""
        if self._gone is not None:
            self._gone.set()
        self.wake(False)

    def _turn(self) -> None:
        self._scheduled = False
        self.pump()

    def _arm(self) -> None:
        if self.server is None or self.loop is None:
            return
        deadline = self.server.next_deadline()
        if self._timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return  # a timer that comes too early does no harm, and most deadlines only ever move away
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_at = deadline
            self._timer = self.loop.call_later(max(0.0, deadline - self.environment.clock()), self._due)

    def _due(self) -> None:
        self._timer = None
        if self.server is not None:
            self.server.handle_timeout()
            self.pump()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.report(error, "task")


class Carrier(asyncio.BufferedProtocol):
    """One connection: bytes between an asyncio transport and its ``Connection``."""

    __slots__ = ("_connection", "_reading", "_runtime", "transport")

    def __init__(self, runtime: AsyncioRuntime) -> None:
        self._runtime = runtime
        self._reading = True
        self._connection: Connection | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's, so this cannot be asked with isinstance.
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        runtime = self._runtime
        if runtime.wire is None or runtime.wire.stopping:
            # Accepted in the very turn in which the listener was closed: nobody would ever close it.
            self.transport.abort()
            return
        self._connection = runtime.wire.connect(
            address=peer[0] if isinstance(peer, tuple) else "",
            secure=transport.get_extra_info("ssl_object") is not None,
            owner=self,
        )
        runtime.wake(False)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._runtime.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._connection is not None:
            self._connection.receive_data(self._runtime.buffer[:nbytes])
            self._runtime.wake(False)

    def eof_received(self) -> bool:
        if self._connection is not None:
            self._connection.receive_eof()
            self._runtime.wake(False)
        # Keeping the other half open is refused, with a warning, under TLS.
        return self._connection is not None and not self._connection.secure

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.receive_lost()
            self._runtime.lost()

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.receive_blocked()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.receive_unblocked()
            self._runtime.wake(False)

    def serve(self, connection: Connection) -> None:
        """Does what the connection has to do now."""
        transport = self.transport
        if transport is None:
            return
        data = connection.take()
        if data:
            transport.write(data)
        if connection.half_closing and transport.can_write_eof():
            transport.write_eof()
        if connection.aborted:
            transport.abort()
        elif connection.closing:
            transport.close()
        elif connection.reading is not self._reading:
            self._reading = connection.reading
            if self._reading:
                transport.resume_reading()
            else:
                transport.pause_reading()
