"""What the bindings of event loops share beside the host: how an application enters, waits and leaves by ``await``."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto_host.driver import Driver
from sioproto_host.hosted import HostedClient, HostedServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine
    from contextlib import AbstractContextManager
    from typing import Self, Unpack

    from sioproto.pending import Pending
    from sioproto_host.options import ClientOptions, Listening, Options


class AsyncDriver(Driver):
    """Drives one server or client on an event loop."""

    async def enter(self) -> None:
        """Begins where the caller's loop runs; a loop whose tasks are made by ``await`` makes its own here."""
        self.begin()

    async def leave(self) -> None:
        """Waits for whatever ``enter`` began, once everything is over."""

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        """Refuses: blocking would stop the very loop that is to settle it."""
        raise LocalProtocolError("on an event loop a Pending is awaited: await pending")

    # For servers

    @property
    @abstractmethod
    def addresses(self) -> list[Any]:
        """Where it listens."""

    @abstractmethod
    async def listen(self, host: str, port: int, how: Listening) -> None:
        """Accepts connections from now on. Raises ``OSError`` when that is impossible."""

    @abstractmethod
    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a coroutine function on a new loop."""

    @abstractmethod
    def signals(self, stop: Callable[[], None]) -> AbstractContextManager[object]:
        """Calls ``stop`` at each SIGINT and SIGTERM while the ``with`` block runs."""


class AsyncServer(HostedServer):
    """A Socket.IO server on an event loop."""

    _driver: AsyncDriver

    def __init__(self, make_driver: Callable[..., AsyncDriver], options: Options) -> None:
        super().__init__(make_driver(options.pop("environment", None)), options)

    @property
    def addresses(self) -> list[Any]:
        """Where the server listens: ``(host, port, ...)`` tuples, or paths of Unix sockets."""
        return self._driver.addresses

    def run(self, host: str = "127.0.0.1", port: int = 5000, **how: Unpack[Listening]) -> None:
        """Serves until SIGINT or SIGTERM, then stops gracefully; a second signal stops at once. See ``serve``."""

        async def main() -> None:
            await self.serve(host, port, signals=True, **how)

        self._driver.run(main)

    async def serve(
        self, host: str = "127.0.0.1", port: int = 5000, *, signals: bool = False, **how: Unpack[Listening]
    ) -> None:
        """Listens and serves until ``close`` is called; cancelling it closes gracefully, too.

        ``path`` listens on a Unix socket and ``sock`` on one that is bound already, instead of on ``host`` and
        ``port``; ``ssl`` is the server's context for TLS, and ``backlog`` how many connections may wait to be
        accepted. ``signals`` makes SIGINT and SIGTERM close the server. Raises ``OSError`` when it cannot listen.
        """
        async with self.listening(host, port, **how):
            if not signals:
                await self.ending
                return
            told: list[None] = []

            def stop() -> None:
                self._close(0 if told else None)
                told.append(None)

            with self._driver.signals(stop):
                await self.ending

    @asynccontextmanager
    async def listening(
        self, host: str = "127.0.0.1", port: int = 5000, **how: Unpack[Listening]
    ) -> AsyncIterator[Self]:
        """Serves in the background while the ``async with`` block runs, then closes gracefully. See ``serve``."""
        self._check_new()
        driver = self._driver
        await driver.enter()
        try:
            await driver.listen(host, port, how)
        except BaseException:
            if not driver.addresses:  # it may be tried again elsewhere
                driver.finish()
                await driver.leave()
            raise
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
        await self._close(grace)
        await self._driver.leave()
        return self._unsent_at_end


class AsyncClient(HostedClient):
    """A Socket.IO client on an event loop."""

    _driver: AsyncDriver

    def __init__(self, make_driver: Callable[..., AsyncDriver], url: str, options: ClientOptions) -> None:
        super().__init__(make_driver(options.pop("environment", None)), url, options)

    async def __aenter__(self) -> Self:
        self._check_new()
        await self._driver.enter()
        try:
            await self.connect(retry=self._patient)
        except BaseException:
            await self.close(0)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def wait(self) -> None:
        """Waits until the client is disconnected and does not come back by itself."""
        await self.ended()

    async def close(self, grace: float | None = None) -> int:
        """Disconnects every namespace for good; what was emitted before is delivered first.

        Takes at most ``grace`` seconds (the option of that name by default), and little more for the last connection.
        Returns how many messages were not sent in that time, see ``stop``: 0 if nothing was lost here. Calling it again
        waits for the same end.
        """
        await self._close(grace)
        await self._driver.leave()
        return self._unsent_at_end
