"""The ``Server`` of asyncio: everything of ``sioproto.app.Server``, and how it listens, runs and ends."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto.errors import LocalProtocolError
from sioproto_asyncio.runtime import AsyncioRuntime, Carrier
from sioproto_wire.host import Call, HostedServer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import AsyncIterator, Callable
    from concurrent.futures import Future
    from typing import Unpack

    from sioproto_wire.options import Options

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

LINGER = 0.5
"""Seconds that connections get to finish their closing after the last session is gone."""


class Server(HostedServer):
    """A Socket.IO server on asyncio; ``Options`` lists what it takes. See ``sioproto.app.Server`` for the handlers."""

    def __init__(self, **options: Unpack[Options]) -> None:
        self._asyncio = AsyncioRuntime(options.pop("environment", None))
        super().__init__(self._asyncio, options.pop("grace", 5.0), options)
        self._asyncio.server = self
        self._asyncio.wire = self._wire
        self._listeners: list[asyncio.Server] = []
        self._closed: asyncio.Event | None = None

    @property
    def addresses(self) -> list[Any]:
        """Where the server listens: ``(host, port, ...)`` tuples, or paths of Unix sockets."""
        return [sock.getsockname() for listener in self._listeners for sock in listener.sockets]

    def run(self, host: str = "127.0.0.1", port: int = 5000, **where: Any) -> None:
        """Serves until SIGINT or SIGTERM, then stops gracefully; a second signal stops at once. See ``serve``."""

        async def main() -> None:
            await self.serve(host, port, signals=True, **where)

        asyncio.run(main())

    async def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 5000,
        *,
        ssl: ssl.SSLContext | None = None,
        path: str | None = None,
        sock: socket.socket | None = None,
        backlog: int = 4096,
        signals: bool = False,
    ) -> None:
        """Listens and serves until ``close`` is called; cancelling it closes gracefully, too.

        ``path`` listens on a Unix socket and ``sock`` on one that is bound already, instead of on ``host`` and
        ``port``. ``signals`` makes SIGINT and SIGTERM close the server. Raises ``OSError`` when it cannot listen.
        """
        async with self.listening(host, port, ssl=ssl, path=path, sock=sock, backlog=backlog):
            assert self._closed is not None
            if signals:
                self._watch_signals()
            try:
                await self._closed.wait()
            finally:
                if signals:
                    self._forget_signals()

    @asynccontextmanager
    async def listening(
        self,
        host: str = "127.0.0.1",
        port: int = 5000,
        *,
        ssl: ssl.SSLContext | None = None,
        path: str | None = None,
        sock: socket.socket | None = None,
        backlog: int = 4096,
    ) -> AsyncIterator[Server]:
        """Serves in the background while the ``async with`` block runs, then closes gracefully. See ``serve``."""
        if self._stopping is not None:
            raise LocalProtocolError("this server was closed; make a new one")
        self._asyncio.attach()
        loop = asyncio.get_running_loop()

        def carrier() -> Carrier:
            return Carrier(self._asyncio)

        try:
            if path is not None:
                listener = await loop.create_unix_server(carrier, path, ssl=ssl, backlog=backlog)
            elif sock is not None:
                listener = await loop.create_server(carrier, sock=sock, ssl=ssl, backlog=backlog)
            else:
                listener = await loop.create_server(carrier, host, port, ssl=ssl, backlog=backlog)
        except BaseException:
            if not self._listeners:
                self._asyncio.detach()
            raise
        self._listeners.append(listener)
        if self._closed is None:
            self._closed = asyncio.Event()
        try:
            yield self
        finally:
            await self.close()

    async def close(self, grace: float | None = None) -> int:
        """Stops: no new connections or sessions, handlers finish, queues are drained, clients are told, all is closed.

        Takes at most ``grace`` seconds (the option of that name by default), and little more for the last connections.
        Clients are told by the end of their connection, so stock clients come back as soon as there is a server again.
        Returns how many messages were not sent in that time, see ``stop``: 0 if nothing was lost here. Calling it again
        waits for the same end.
        """
        loop = self._asyncio.loop
        if loop is None:
            return self._stopping.result() if self._stopping is not None and self._stopping.done else 0
        grace = self._grace if grace is None else grace
        end = loop.time() + grace
        stopped = self.stop(grace)
        # A listener that is closed at once makes asyncio drop, and never close, what it accepted in this very turn.
        for listener in self._listeners:
            for sock in listener.sockets:
                with suppress(NotImplementedError):  # Windows accepts in another way, without that fault
                    loop.remove_reader(sock.fileno())
        try:
            await asyncio.sleep(0)
        finally:
            for listener in self._listeners:
                listener.close()
        unsent = await stopped
        self._wire.shutdown()
        self._asyncio.pump()
        patient = True
        while patient:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._asyncio.all_gone()
            # Whoever reads slowly has the rest of the time for what is handed over already.
            patient = loop.time() < end and any(
                each.owner.transport is not None and each.owner.transport.get_write_buffer_size()
                for each in self._wire.connections
            )
        for connection in list(self._wire.connections):
            if connection.owner.transport is not None:
                connection.owner.transport.abort()
        await self._asyncio.cancel_tasks()
        self._asyncio.detach()
        self._listeners.clear()
        if self._closed is not None:
            self._closed.set()
        return unsent

    def from_thread(self, function: Callable[..., T], *args: Any) -> Future[T]:
        """Runs ``function(*args)`` on the server's loop, from any other thread, and returns its future.

        ``io.from_thread(io.emit, "news", 1)``. Everything else of the server belongs to the thread of its loop. Raises
        ``LocalProtocolError`` unless the server is running.
        """
        loop = self._asyncio.loop
        if loop is None:
            raise LocalProtocolError("the server is not running")
        call = Call(function, args)
        loop.call_soon_threadsafe(call.run)
        return call

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        closing: list[asyncio.Task[int]] = []

        def stop() -> None:
            closing.append(loop.create_task(self.close(0 if closing else None)))

        for number in SIGNALS:
            with suppress(NotImplementedError):  # Windows: there asyncio.run cancels the main task on Ctrl-C
                loop.add_signal_handler(number, stop)

    def _forget_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            with suppress(NotImplementedError):
                loop.remove_signal_handler(number)
