"""The runtime port on asyncio: how user code runs and waits, how connections begin, and their bytes.

The rule not to be broken: this file moves bytes and time. What they mean is decided in ``sioproto`` and
``sioproto_wire``.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sioproto.errors import LocalProtocolError
from sioproto_host.asynchronous import AsyncDriver
from sioproto_host.sockets import READ_SIZE
from sioproto_wire import ServerWire
from sioproto_wire.tunnel import ProxyError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Generator

    from sioproto.environment import Environment
    from sioproto.pending import Pending
    from sioproto_host.options import Listening
    from sioproto_wire import ClientConnection, Connection
    from sioproto_wire.tunnel import Tunnel


class AsyncioDriver(AsyncDriver):
    """Drives one server or client on the loop that ``begin`` finds running."""

    logger = logging.getLogger("sioproto_asyncio")

    def __init__(self, environment: Environment | None) -> None:
        super().__init__(environment)
        self._listeners: list[asyncio.Server] = []
        # A view of one buffer: a bytearray itself would be resized under TLS, and one for each connection costs memory.
        self.buffer = memoryview(bytearray(READ_SIZE))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that all of it runs on."""
        if self._loop is None:
            raise LocalProtocolError("nothing can be run before the server serves, or the client is entered")
        return self._loop

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise LocalProtocolError("this belongs to another event loop")
        self._loop = loop
        super().begin()

    def finish(self) -> None:
        super().finish()
        self.arm(None)
        self._listeners.clear()
        self._loop = None

    # Listening

    @property
    def addresses(self) -> list[Any]:
        return [sock.getsockname() for listener in self._listeners for sock in listener.sockets]

    async def listen(self, host: str, port: int, how: Listening) -> None:
        # TLS is ours to begin: a loop would keep a connection to itself until the client is done with that. And it
        # accepts as many in one turn as it is told may wait, without descriptors, too; the system is told otherwise.
        make, sock, path = partial(Carrier, self, None, how.get("ssl")), how.get("sock"), how.get("path")
        where: Any = {"host": host, "port": port} if sock is None else {"sock": sock}
        if path is not None:
            listener = await self.loop.create_unix_server(make, path, backlog=1)
        else:
            listener = await self.loop.create_server(make, backlog=1, **where)
        for listening in listener.sockets:
            with listening.dup() as twin:
                twin.listen(how.get("backlog", 4096))
        self._listeners.append(listener)

    def stop_listening(self) -> None:
        # A listener that is closed at once makes asyncio drop, and never close, what it accepted in this very turn.
        for listener in self._listeners:
            for sock in listener.sockets:
                with suppress(NotImplementedError):  # Windows accepts in another way, without that fault
                    self.loop.remove_reader(sock.fileno())
            self.loop.call_soon(listener.close)

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(main())

    def signals(self, stop: Callable[[], None]) -> ExitStack:
        after = ExitStack()
        with suppress(NotImplementedError):  # on Windows: there asyncio.run cancels the main task on Ctrl-C
            for number in (signal.SIGINT, signal.SIGTERM):
                self.loop.add_signal_handler(number, stop)
                after.callback(self.loop.remove_signal_handler, number)
        return after

    # User code

    @property
    def tasks(self) -> int:
        return len(self._tasks)

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        if self._loop is None:
            run.close()  # else Python would warn that it was never awaited
        task = self.loop.create_task(run)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        self.check_waiting()
        if pending is self.hosted.ending:
            self._tasks.discard(cast("asyncio.Task[Any]", asyncio.current_task()))
        future = asyncio.get_running_loop().create_future()

        def done(_: Pending[Any]) -> None:
            if not future.done():
                future.set_result(None)

        pending.on_done(done)
        try:
            yield from future.__await__()
        finally:
            pending.forget(done)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.report(error, "task")
        self.hosted.settle()

    # Turns and time

    def wake(self, urgent: bool) -> None:
        if self._loop is None:
            return  # not running: there is nobody to send to
        if urgent:
            self.pump()
        elif not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def interrupt(self) -> None:
        self.loop.call_soon_threadsafe(self.run_posted)

    def arm(self, deadline: float | None) -> None:
        if self._timer is not None:
            if deadline is not None and self._timer_at <= deadline:
                return  # most deadlines only ever move away
            self._timer.cancel()
            self._timer = None
        if deadline is not None:
            self._timer_at = deadline
            self._timer = self.loop.call_later(max(0.0, deadline - self.environment.clock()), self._due)

    def _due(self) -> None:
        self._timer = None
        self.due()

    def _turn(self) -> None:
        self._scheduled = False
        self.pump()

    # Connections of a client

    def dial(self, connection: ClientConnection) -> None:
        carrier = connection.owner = Carrier(self, connection, None)
        carrier.dialing = self.loop.create_task(self._dial(carrier, connection))

    async def _dial(self, carrier: Carrier, connection: ClientConnection) -> None:
        loop, route, name = self.loop, self.route, self.route.server_hostname
        try:
            if (tunnel := route.tunnel()) is None:
                await loop.create_connection(lambda: carrier, *route.address, ssl=route.tls, server_hostname=name)
            else:
                passage = Passage(tunnel, loop.create_future())
                transport, _ = await loop.create_connection(lambda: passage, *route.address)
                carrier.transport = transport
                transport.write(tunnel.request)
                await passage.through
                if route.tls is None:
                    transport.set_protocol(carrier)
                else:
                    transport = cast("Any", await loop.start_tls(transport, carrier, route.tls, server_hostname=name))
                carrier.connection_made(transport)
        except (OSError, ValueError, asyncio.CancelledError) as error:  # a ValueError: a host that cannot be a name
            connection.receive_failure(str(error) or type(error).__name__)
            carrier.lose()


class Passage(asyncio.Protocol):
    """What is said to a proxy before a connection leads to the server."""

    def __init__(self, tunnel: Tunnel, through: asyncio.Future[None]) -> None:
        self._tunnel = tunnel
        self.through = through

    def data_received(self, data: bytes) -> None:
        try:
            if not self.through.done() and self._tunnel.receive(data):
                self.through.set_result(None)
        except ProxyError as error:
            self.through.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.data_received(b"")


class Carrier(asyncio.BufferedProtocol):
    """One connection: bytes between an asyncio transport and its ``Connection`` or ``ClientConnection``."""

    __slots__ = ("_connection", "_driver", "_early", "_reading", "_tls", "dialing", "transport")

    def __init__(self, driver: AsyncioDriver, connection: ClientConnection | None, tls: ssl.SSLContext | None) -> None:
        self._driver = driver
        self._reading = True
        self._connection: Connection | ClientConnection | None = connection
        self._tls = tls  # what an accepted connection begins with
        self._early = bytearray()
        self.transport: asyncio.Transport | None = None
        self.dialing: asyncio.Task[None] | None = None  # what leads to the server, or to TLS

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are not subclasses of asyncio's, so this cannot be asked with isinstance.
        self.transport = cast("asyncio.Transport", transport)
        self.dialing = None
        if self._tls is not None:
            self.dialing = self._driver.loop.create_task(self._secure(self.transport, self._tls))
        elif self._connection is not None:
            cast("ClientConnection", self._connection).receive_open()
            self._driver.wake(False)
        else:
            self._enter(self.transport)

    def _enter(self, transport: asyncio.Transport) -> None:
        wire = self._driver.hosted.wire
        assert isinstance(wire, ServerWire)
        if wire.stopping or not self._driver.running:
            # Accepted in the very turn in which the listener was closed: nobody would ever close it.
            self.abort()
            return
        address = peer[0] if isinstance(peer := transport.get_extra_info("peername"), tuple) else ""
        self._connection = wire.connect(address=address, secure=self._tls is not None, owner=self)
        self._driver.wake(False)
        for start in range(0, len(self._early), READ_SIZE):  # uvloop reads before anybody could begin TLS
            data, protocol = self._early[start : start + READ_SIZE], cast("Any", transport.get_protocol())
            protocol.get_buffer(len(data))[: len(data)] = data
            protocol.buffer_updated(len(data))

    async def _secure(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        loop = self._driver.loop
        securing = loop.create_task(loop.start_tls(transport, self, tls, server_side=True))
        loop.call_soon(self._enter, transport)
        with suppress(OSError, asyncio.CancelledError):
            secured = await securing
            self.dialing = None
            if self._connection is not None:  # else it is gone again
                self.transport = secured
                self.serve(self._connection)
            return
        self.lose()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._driver.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._connection is not None:
            self._connection.receive_data(self._driver.buffer[:nbytes])
            self._driver.wake(False)
        else:
            self._early += self._driver.buffer[:nbytes]

    def eof_received(self) -> bool:
        if self._connection is not None:
            self._connection.receive_eof()
            self._driver.wake(False)
        # Keeping the other half open is refused, with a warning, under TLS.
        return self._connection is not None and not self._connection.secure

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.dialing is not None:
            self.dialing.cancel()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.receive_lost()
            self._driver.wake(False)
            self._driver.hosted.settle()

    def pause_writing(self) -> None:
        if self._connection is not None:
            self._connection.receive_blocked()

    def resume_writing(self) -> None:
        if self._connection is not None:
            self._connection.receive_unblocked()
            self._driver.wake(False)

    @property
    def holding(self) -> bool:
        """Whether there is something that the peer did not take yet."""
        return self.transport is not None and self.transport.get_write_buffer_size() > 0

    def serve(self, connection: Connection | ClientConnection) -> None:
        """Does what the connection has to do now."""
        transport = self.transport
        if self.dialing is not None and connection.closing:
            self.dialing.cancel()
        if transport is None or self.dialing is not None:
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

    def abort(self) -> None:
        """Drops the connection at once."""
        if self.dialing is not None:
            self.dialing.cancel()
        elif self.transport is not None:
            self.transport.abort()

    def lose(self) -> None:
        """Nothing came of dialing."""
        self.dialing = None
        self.abort()
        self.connection_lost(None)
