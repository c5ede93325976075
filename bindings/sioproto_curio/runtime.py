"""The runtime port on curio: how user code runs and waits, how connections begin, and their bytes.

Plain code can neither spawn nor cancel on curio, nor wake a task but by a ``Bell``. So it leaves *errands*, which the
next of our tasks that runs does, and rings for the *pump*, which rests until then or until the next deadline.

The rule not to be broken: a socket is closed by the task that reads from it, when the one that writes is gone. curio
does not wake who waits for a socket that somebody else closes, and mistakes the next one of that number for it.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import curio
from curio import traps

from sioproto.errors import LocalProtocolError
from sioproto_host import AsyncDriver, sockets

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine, Generator
    from contextlib import AbstractContextManager

    from sioproto.environment import Environment
    from sioproto.pending import Pending
    from sioproto_host import Listening
    from sioproto_wire import ClientConnection


class CurioDriver(AsyncDriver):
    """Drives one server or client on the kernel that ``enter`` finds running."""

    logger = logging.getLogger("sioproto_curio")

    def __init__(self, environment: Environment | None) -> None:
        super().__init__(environment)
        self.buffer = memoryview(bytearray(sockets.READ_SIZE))
        self.deaf = False
        """Whether the kernel ends. It cancels our tasks first, then those who wait, who are not to wonder meanwhile."""
        self._bell = Bell()
        self._deadline: float | None = None
        self._errands: deque[Callable[[], Awaitable[object] | None]] = deque()
        self._listeners: dict[socket.socket, Any] = {}
        self._pump: Any = None
        self._starting = 0
        self._tasks: set[Any] = set()
        self._timed: float | None = None

    async def enter(self) -> None:
        self.check()  # a thread has one kernel
        if not self.running:
            self.crew = curio.TaskGroup(wait=None)  # whatever accepts, dials, reads and writes
            self._pump = await curio.spawn(self._live, daemon=True)
        self.begin()

    async def leave(self) -> None:
        self._bell.ring()
        if self._pump is not None:
            await self._pump.wait()

    async def _live(self) -> None:
        try:
            while self.running:
                # Whatever happens from here on rings a bell that is yet to be waited for.
                self._bell = Bell()
                self.run_posted()
                if self._deadline is not None and self._deadline <= self.environment.clock():
                    self.hosted.handle_timeout()
                self.pump()
                await self.run_errands()
                try:
                    await self._rest()
                except curio.CancelledError:
                    self.deaf, self._timed = True, None
                    self.hosted._close(0)
        finally:
            async with curio.disable_cancellation():
                if self.running:
                    self.hosted._finish()
                await self.run_errands()
                await self.crew.join()
                for task in list(self._tasks) if self.deaf else ():  # the kernel allows no new one to be left
                    await task.cancel()

    async def _rest(self) -> None:
        # curio.timeout_after complains in the log whenever something else happens a moment after the deadline.
        if self._timed != self._deadline:
            self._timed = self._deadline
            await traps._unset_timeout(None)
            if self._deadline is not None:
                await traps._set_timeout(await traps._clock() + self._deadline - self.environment.clock())
        try:
            await traps._future_wait(self._bell)
        except curio.TaskTimeout:
            self._timed = None

    def wake(self, urgent: bool) -> None:
        if self.running:
            self._bell.ring()
            if urgent:
                self.pump()

    def interrupt(self) -> None:
        self._bell.ring()

    def arm(self, deadline: float | None) -> None:
        self._deadline = deadline

    def errand(self, do: Callable[[], Awaitable[object] | None]) -> None:
        """Has ``do()`` done, and awaited, by the next task of ours that runs; it must not wait for anything."""
        self._errands.append(do)
        self._bell.ring()

    async def run_errands(self) -> None:
        """Does what plain code left to be done."""
        while self._errands:
            if (doing := self._errands.popleft()()) is not None:
                await doing

    @property
    def tasks(self) -> int:
        return len(self._tasks) + self._starting

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        if not self.running:
            run.close()  # else Python would warn that it was never awaited
            raise LocalProtocolError("nothing can be run before the server serves, or the client is entered")
        self._starting += 1
        self.errand(partial(self._start, run))

    async def _start(self, run: Coroutine[Any, Any, None]) -> None:
        self._starting -= 1
        self._tasks.add(await curio.spawn(self._user(run), daemon=True))

    async def _user(self, run: Coroutine[Any, Any, None]) -> None:
        task = await curio.current_task()
        try:
            await run
        except (curio.CancelledError, Exception) as error:  # a user's code: its failure stops nobody
            if not task.cancelled:  # else it is the cancellation; a time-out of its own is one on curio, too
                self.hosted._report(error, "task")
        finally:
            self._tasks.discard(task)
            self._bell.ring()
            self.hosted.settle()

    def cancel_tasks(self) -> None:
        async def cancel() -> None:
            for task in self._tasks:
                await task.cancel(blocking=False)

        self.errand(cancel)

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        if pending is self.hosted.ending:
            self._tasks.discard((yield from curio.current_task().__await__()))
        bell = Bell()

        def done(_: Pending[Any]) -> None:
            if not self.deaf:
                bell.ring()

        pending.on_done(done)
        try:
            yield from traps._future_wait(bell).__await__()
        finally:
            pending.forget(done)

    @property
    def addresses(self) -> list[Any]:
        return [listener.getsockname() for listener in self._listeners]

    async def listen(self, host: str, port: int, how: Listening) -> None:
        for listener in sockets.listen(host, port, how):
            self._listeners[listener] = await self.crew.spawn(self._accept, listener, how.get("ssl"), daemon=True)

    def stop_listening(self) -> None:
        for task in self._listeners.values():
            self.errand(partial(task.cancel, blocking=False))
        self._listeners.clear()

    async def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        wire: Any = self.hosted.wire
        with listener:
            while True:
                await traps._read_wait(listener)
                try:
                    for sock, address in sockets.accept(listener):
                        carrier = Carrier(self)
                        carrier.connection = wire.connect(address=address, secure=tls is not None, owner=carrier)
                        if wire.stopping:
                            carrier.connection.close()
                        await carrier.start(sock, tls)
                except OSError as error:
                    self.report(error, "accepting connections")
                    await curio.sleep(sockets.ACCEPT_PAUSE)

    def dial(self, connection: ClientConnection) -> None:
        carrier = connection.owner = Carrier(self, connection)
        self.errand(carrier.start)

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        curio.run(main)

    def signals(self, stop: Callable[[], None]) -> AbstractContextManager[object]:
        return sockets.signals_caught(partial(self.errand, stop))


class Carrier(sockets.SocketCarrier):
    """One connection on curio."""

    __slots__ = ("_resumed", "_task", "_writer")
    driver: CurioDriver

    def __init__(self, driver: CurioDriver, connection: ClientConnection | None = None) -> None:
        super().__init__(driver, connection)
        self._resumed = Bell()
        self._task: Any = None
        self._writer: Any = None

    async def start(self, sock: socket.socket | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Spawns the task that takes the socket, or dials one, and then reads and closes."""
        self._task = await self.driver.crew.spawn(self._live, sock, tls, daemon=True)

    def abort(self) -> None:
        self.driver.errand(lambda: self._task.cancel(exc=EOFError, blocking=False))

    def resume(self) -> None:
        self._resumed.ring()

    def await_writable(self) -> None:
        self.driver.errand(self._start_writing)

    async def _live(self, sock: socket.socket | None, tls: ssl.SSLContext | None) -> None:
        try:
            await (self._dial() if sock is None else self._take(sock, tls, server_side=True))
            self.driver.wake(False)
            await self._read()
        except (OSError, EOFError):
            pass  # the peer is gone, or this was aborted
        except curio.CancelledError:
            self.driver.deaf = self.driver.running
        finally:
            async with curio.disable_cancellation():
                await self._close()
            self.connection.receive_lost()
            self.driver.wake(False)
            self.driver.hosted.settle()

    async def _dial(self) -> None:
        route = self.driver.route
        try:
            await self._connect(*route.address)
            stream = curio.io.Socket(self.sock)
            if (tunnel := route.tunnel()) is not None:
                await stream.sendall(tunnel.request)
                while not tunnel.receive(await stream.recv(sockets.READ_SIZE)):
                    pass
            await self._take(self.sock, route.tls, server_hostname=route.server_hostname)
            self.connection.receive_open()
        except (OSError, ValueError) as error:  # a host that cannot be a name is a ValueError
            self.connection.receive_failure(str(error) or type(error).__name__)
            raise ConnectionError from error

    async def _connect(self, host: str, port: int) -> None:
        found = sockets.look_up(host, port) or await curio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for left, (*kind, _, address) in enumerate(found, 1 - len(found)):
            self.sock = socket.socket(*kind)
            stream = curio.io.Socket(self.sock)
            try:
                await stream.connect(address)
                return
            except OSError:
                await stream.close()
                if not left:
                    raise

    async def _take(self, sock: Any, tls: ssl.SSLContext | None, **how: Any) -> None:
        self.sock = sock
        sockets.prepare(sock)
        if tls is not None:
            self.sock = tls.wrap_socket(sock, do_handshake_on_connect=False, **how)
            await curio.io.Socket(self.sock).do_handshake()

    async def _read(self) -> None:
        sock = self.sock
        while True:
            if sock is None or not self.connection.reading:
                self._resumed = Bell()
                await traps._future_wait(self._resumed)
                continue
            await traps._read_wait(sock)  # also where there is more to read, so that others have their turn
            if self.connection.reading and not self.receive(sock, self.driver.buffer):
                sock = None
            await self.driver.run_errands()

    async def _close(self) -> None:
        sock, self.sock = self.sock, None
        if self._writer is not None:
            await self._writer.cancel()
        if sock is not None:
            if not self.connection.aborted:
                sockets.say_goodbye(sock)
            await traps._io_release(sock)
            sock.close()

    async def _start_writing(self) -> None:
        if self.sock is not None:
            self._writer = await self.driver.crew.spawn(self._write, self.sock, daemon=True)

    async def _write(self, sock: socket.socket) -> None:
        try:
            while not self.flush(sock):
                await traps._write_wait(sock)
        except OSError:
            self.abort()


class Bell:
    """Lets plain code, of any thread or a signal handler, wake the task that says ``await traps._future_wait(bell)``.

    It is as much of a ``Future`` as curio's kernel asks for. A real one cannot be set any more once its waiter gave up,
    which cancels it, and logs an error where some hundreds are set at once: the kernel's notifications fill a socket.
    """

    __slots__ = ("_rung", "_tell")

    def __init__(self) -> None:
        self._rung = False
        self._tell: Callable[[Bell], object] | None = None

    def ring(self) -> None:
        """Wakes the one who waits, or who is going to."""
        self._rung = True
        tell, self._tell = self._tell, None
        if tell is not None:
            with suppress(OSError):  # it has so many notifications that it is awake, or it is gone
                tell(self)

    def add_done_callback(self, tell: Callable[[Bell], object]) -> None:
        """Takes how the kernel is told."""
        self._tell = tell
        if self._rung:
            self.ring()

    def cancel(self) -> None:
        """Takes the waiter's word that it gave up."""
        self._tell = None
