"""The host where there are threads: how an application enters, waits and leaves by blocking calls."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sioproto_host import sockets
from sioproto_host.hosted import HostedClient, HostedServer
from sioproto_host.options import ClientOptions, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self, Unpack

    from sioproto_host.options import Listening
    from sioproto_host.threads import ThreadedDriver

LAST_GRACE = 2.0
"""Seconds that the end is waited for after a second signal; whatever holds it up then is left behind."""


class BlockingOptions(Options, total=False):
    """What ``Server(...)`` takes on threads: ``Options``, and how many threads there are for user code at most."""

    threads: int


class BlockingClientOptions(ClientOptions, total=False):
    """What ``Client(url, ...)`` takes on threads: ``ClientOptions``, and how many there are for user code at most."""

    threads: int


class Hurry(Exception):
    """A second signal came."""


class BlockingServer(HostedServer):
    """A Socket.IO server on threads."""

    _driver: ThreadedDriver

    def __init__(self, make_driver: Callable[..., ThreadedDriver], options: BlockingOptions) -> None:
        super().__init__(make_driver(**own_options(options)), options)
        self._patience: float | None = None

    @property
    def addresses(self) -> list[Any]:
        """Where the server listens: ``(host, port, ...)`` tuples, or paths of Unix sockets."""
        return self._driver.addresses

    def run(self, host: str = "127.0.0.1", port: int = 5000, **how: Unpack[Listening]) -> None:
        """Serves until SIGINT or SIGTERM, then stops gracefully; a second signal stops at once. See ``serve``.

        To be called in the main thread. User code that is stuck keeps nobody from leaving: its threads are daemons.
        """
        self.serve(host, port, signals=True, **how)

    def serve(
        self, host: str = "127.0.0.1", port: int = 5000, *, signals: bool = False, **how: Unpack[Listening]
    ) -> None:
        """Listens and serves until ``close`` is called; an exception, such as that of Ctrl-C, closes gracefully, too.

        ``path`` listens on a Unix socket and ``sock`` on one that is bound already, instead of on ``host`` and
        ``port``; ``ssl`` is the server's context for TLS, and ``backlog`` how many connections may wait to be
        accepted. ``signals``, in the main thread only, makes SIGINT and SIGTERM close the server. Raises ``OSError``
        when it cannot listen.
        """
        with self.listening(host, port, **how):
            if signals:
                self._wait_for_signals()
            else:
                self.ending.wait()

    @contextmanager
    def listening(self, host: str = "127.0.0.1", port: int = 5000, **how: Unpack[Listening]) -> Iterator[Self]:
        """Serves in the background while the ``with`` block runs, then closes gracefully. See ``serve``."""
        self._check_new()
        listeners = sockets.listen(host, port, how)
        try:
            self._driver.begin()
        except BaseException:
            for listener in listeners:
                listener.close()
            raise
        self._driver.listen(listeners, how.get("ssl"))
        try:
            yield self
        finally:
            self.close()

    def close(self, grace: float | None = None) -> None:
        """Stops: no new connections or sessions, handlers finish, queues are drained, clients are told, all is closed.

        Takes at most ``grace`` seconds (the option of that name by default), and little more for the last connections.
        Clients are told by the end of their connection, so stock clients come back as soon as there is a server again.
        Calling it again waits for the same end.
        """
        with suppress(TimeoutError):
            self._close(grace).wait(self._patience)
            self._driver.leave()

    def _wait_for_signals(self) -> None:
        told = 0

        def stop() -> None:
            # It comes in the middle of anything, so it may not wait for a lock.
            nonlocal told
            told += 1
            grace = None if told == 1 else 0
            self._driver.errand(lambda: self._close(grace))
            if told == 2:
                raise Hurry

        try:
            with sockets.signals_caught(stop):
                self.ending.wait()
        except Hurry:
            self._patience = LAST_GRACE


class BlockingClient(HostedClient):
    """A Socket.IO client on threads."""

    _driver: ThreadedDriver

    def __init__(self, make_driver: Callable[..., ThreadedDriver], url: str, options: BlockingClientOptions) -> None:
        super().__init__(make_driver(**own_options(options)), url, options)

    def __enter__(self) -> Self:
        self._check_new()
        self._driver.begin()
        try:
            self.connect(retry=self._patient).wait()
        except BaseException:
            self.close(0)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, timeout: float | None = None) -> None:
        """Blocks until the client is disconnected and does not come back by itself.

        Raises ``TimeoutError`` when that is not so after ``timeout`` seconds.
        """
        self.ended().wait(timeout)

    def close(self, grace: float | None = None) -> None:
        """Disconnects every namespace for good; what was emitted before is delivered first.

        Takes at most ``grace`` seconds (the option of that name by default), and little more for the last connection.
        Calling it again waits for the same end.
        """
        self._close(grace).wait()
        self._driver.leave()


def own_options(options: BlockingOptions | BlockingClientOptions) -> dict[str, Any]:
    """Takes the options out that are the driver's."""
    named: dict[str, Any] = options  # type: ignore[assignment]  # a dict at run time
    return {name: named.pop(name) for name in ("environment", "threads") if name in named}
