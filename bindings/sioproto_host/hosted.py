"""What the servers and clients of all bindings share: options by name, the wire below, calls from other threads, and
the end.

A binding derives its ``Server`` and its ``Client`` from these and adds how to begin and to wait on its runtime.
"""

from __future__ import annotations

import inspect
import math
import ssl
from abc import abstractmethod
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from sioproto import app
from sioproto.app.running import Running
from sioproto.config import ClientConfig, EngineClientConfig, EngineConfig, SocketConfig, configure
from sioproto.engineio.bundle import BUNDLE_FILES, Bundle
from sioproto.errors import LocalProtocolError, OptionError
from sioproto.pending import Pending
from sioproto_host.driver import Call
from sioproto_wire.client import ClientWire
from sioproto_wire.config import ClientWireConfig, WireConfig
from sioproto_wire.server import ServerWire
from sioproto_wire.tunnel import Proxy, Tunnel, parse_proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future
    from os import PathLike

    from sioproto.engineio.origin import Origin
    from sioproto.engineio.session import Session
    from sioproto.timers import Timer
    from sioproto_host.driver import Driver
    from sioproto_host.options import ClientOptions, Options
    from sioproto_wire.connection import Connection
    from sioproto_wire.outgoing import ClientConnection

T = TypeVar("T")

LINGER = 0.5
"""Seconds that connections get to finish their closing after the last session is gone; more if they are slow."""

CLEAN_UP = 0.25
"""Seconds that cancelled user code gets at the end."""


def hooks_of(role: type[app.Server | app.Client]) -> tuple[str, ...]:
    """Returns the options that are not fields of a config class but belong to the application."""
    parameters = inspect.signature(role.__init__).parameters.values()
    others = ("engine_config", "config", "bundle", "timers")
    return tuple(each.name for each in parameters if each.kind is each.KEYWORD_ONLY and each.name not in others)


class Ending(Enum):
    """How far the end has come; each stage but the first and the last has a deadline."""

    NOT_YET = "not yet"
    STOPPING = "stopping"
    LINGERING = "lingering"
    CANCELLING = "cancelling"
    OVER = "over"


class Hosted(Running):
    """A server or a client on the runtime of a binding."""

    wire: ServerWire | ClientWire
    """The connections."""

    def _host(self, driver: Driver, grace: float) -> None:
        if not grace >= 0:
            raise OptionError(f"grace must be at least 0 seconds, not {grace!r}")
        self._driver = driver
        self._grace = grace
        self._stage = Ending.NOT_YET
        self._stage_timer: Timer | None = None
        self._cut_at = math.inf
        self._listening = True
        self._unsent_at_end = 0
        """Messages that were not sent when everything was stopped."""
        self.ending: Pending[None] = Pending(self._waiting)
        """Done when everything is over."""
        driver.hosted = self

    @abstractmethod
    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called; None for never."""

    @abstractmethod
    def handle_timeout(self) -> None:
        """Does what is due now."""

    @abstractmethod
    def stop(self, grace: float) -> Pending[int]:
        """Ends sessions and handlers within ``grace`` seconds; the result is how many messages were not sent."""

    # Threads

    @overload
    def from_thread(self, function: Callable[..., Awaitable[T]], *args: Any) -> Future[T]: ...
    @overload
    def from_thread(self, function: Callable[..., T], *args: Any) -> Future[T]: ...
    def from_thread(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Runs ``function(*args)`` where the server or client lives, from any other thread, and returns its future.

        ``io.from_thread(io.emit, "news", 1)``. Where the function returns a ``Pending`` or is ``async def``, the result
        of that is the future's. Calls of one thread are made in their order. Raises ``LocalProtocolError`` unless it is
        running; what is not done when it ends fails with that.
        """
        call: Call[Any] = Call(function, args)
        self._driver.post(call)
        return call

    @overload
    def call_from_thread(
        self, function: Callable[..., Awaitable[T]], *args: Any, timeout: float | None = None
    ) -> T: ...
    @overload
    def call_from_thread(self, function: Callable[..., T], *args: Any, timeout: float | None = None) -> T: ...
    def call_from_thread(self, function: Callable[..., Any], *args: Any, timeout: float | None = None) -> Any:
        """Does what ``from_thread`` does, blocks until it is done, and returns the result or raises the error.

        Raises ``TimeoutError`` after ``timeout`` seconds; the call may be made nevertheless. In the thread of the event
        loop, where it would wait for itself, it raises ``LocalProtocolError``.
        """
        if self._driver.at_home:
            raise LocalProtocolError("this is the thread where the event loop runs: call it without call_from_thread")
        return self.from_thread(function, *args).result(timeout)

    # The end

    def _check_new(self) -> None:
        """Refuses to begin a second time."""
        if self._stage is not Ending.NOT_YET:
            raise LocalProtocolError("this was closed; make a new one")

    def settle(self) -> None:
        """Goes on with the end as soon as that which it waits for is gone: a connection, a piece of user code."""
        if self._stage is Ending.LINGERING and not self.wire.connections:
            self._cancel()
        elif self._stage is Ending.CANCELLING and not self._driver.tasks:
            self._finish()

    def _close(self, grace: float | None) -> Pending[None]:
        """Ends everything; the result is done when nothing is left. A second call may shorten the time."""
        with self._driver.guard:
            if not self._driver.running:
                over: Pending[None] = Pending(self._waiting)
                over.resolve(None)
                return over
            grace = self._grace if grace is None else grace
            self._cut_at = min(self._cut_at, self._driver.environment.clock() + grace)
            if self._stage is Ending.NOT_YET:
                self._stage = Ending.STOPPING
                self.stop(grace).on_done(self._stopped)
                self.listen_no_more()
            elif self._stage is Ending.STOPPING:
                self.stop(grace)
            return self.ending

    @property
    def stopping(self) -> bool:
        """Whether sessions and handlers are ending."""
        return self._stage is Ending.STOPPING

    def listen_no_more(self) -> None:
        """Stops listening, as soon as nobody may need a new connection to fetch what is left."""
        if self._listening and not self._awaits_connections():
            self._listening = False
            self._driver.stop_listening()

    def _awaits_connections(self) -> bool:
        return False

    def _stopped(self, stopped: Pending[int]) -> None:
        self._unsent_at_end = stopped.result()
        # A turn later: whoever called ``close`` waits for the end by then, and is not cancelled.
        self._enter_stage(Ending.STOPPING, 0.0, self._linger)
        self._driver.wake(False)

    def _linger(self) -> None:
        self._enter_stage(Ending.LINGERING, LINGER, self._lingered)
        if self._listening:
            self._listening = False
            self._driver.stop_listening()
        self.wire.shutdown()
        self._driver.wake(False)
        self.settle()

    def _lingered(self) -> None:
        """Gives those who read slowly what is left of the grace, and nobody else."""
        left = self._cut_at - self._driver.environment.clock()
        slow = {each for each in self._all_connections() if each.owner is not None and each.owner.holding}
        if not slow or left <= 0:
            self._cancel()
            return
        self._enter_stage(Ending.LINGERING, left, self._cancel)
        for connection in self._all_connections():
            if connection not in slow:
                self._abort(connection)

    def _cancel(self) -> None:
        self._enter_stage(Ending.CANCELLING, CLEAN_UP, self._finish)
        for connection in self._all_connections():
            self._abort(connection)
        self._driver.cancel_tasks()
        self._driver.wake(False)
        self.settle()

    def _all_connections(self) -> list[Connection | ClientConnection]:
        return list(self.wire.connections)

    def _abort(self, connection: Connection | ClientConnection) -> None:
        if connection.owner is None:
            connection.receive_lost()  # it was never dialed
        else:
            connection.owner.abort()

    def _finish(self) -> None:
        if self._stage is Ending.OVER:
            return
        self._enter_stage(Ending.OVER, None, self._finish)
        self._driver.cancel_tasks()  # some may have begun since
        self._driver.finish()
        self.ending.resolve(None)

    def _enter_stage(self, stage: Ending, seconds: float | None, due: Callable[[], None]) -> None:
        self._stage = stage
        if self._stage_timer is not None:
            self._stage_timer.cancel()
        self._stage_timer = None if seconds is None else self.timers.after(seconds, due)


class HostedServer(app.Server, Hosted):
    """A server on a runtime of a binding.

    Options by name are those of ``EngineConfig``, ``SocketConfig``, ``WireConfig`` and the hooks of
    ``sioproto.app.Server``; an unknown one raises ``OptionError`` with the nearest known name. ``grace`` is how many
    seconds ``close`` takes at most before it cuts off what is left.
    """

    wire: ServerWire

    def __init__(self, driver: Driver, options: Options) -> None:
        named: dict[str, Any] = dict(options)
        grace = named.pop("grace", 5.0)
        hooks = {name: named.pop(name) for name in SERVER_HOOKS if name in named}
        bundle = load_bundle(named.pop("serve_client", None))
        others = (*SERVER_HOOKS, "grace", "environment", "serve_client")
        engine_config, config, wire_config = configure(named, EngineConfig, SocketConfig, WireConfig, others=others)
        super().__init__(driver, engine_config=engine_config, config=config, bundle=bundle, **hooks)
        self.wire = ServerWire(self, wire_config, on_error=lambda error: self._report(error, "response"))
        self._pollers: list[Session] | None = None
        self._host(driver, grace)

    def _awaits_connections(self) -> bool:
        # The stock client makes one for each poll on Node.js. Whoever asks for a new session over one gets 503, so no
        # further poller comes, and each is looked at until it is gone and then never again.
        if self._pollers is None:
            self._pollers = [each for each in self.engine.sessions.values() if each.transport_name == "polling"]
        pollers, sessions = self._pollers, self.engine.sessions
        while pollers and (pollers[-1].transport_name != "polling" or pollers[-1].id not in sessions):
            pollers.pop()
        return bool(pollers)


class HostedClient(app.Client, Hosted):
    """A client on a runtime of a binding.

    Options by name are those of ``EngineClientConfig``, ``ClientConfig``, ``ClientWireConfig`` and the hooks of
    ``sioproto.app.Client``; an unknown one raises ``OptionError`` with the nearest known name. ``proxy`` is the URL of
    an HTTP proxy, ``ssl`` an ``ssl.SSLContext`` for ``https`` and ``wss``, by default one that trusts what the system
    trusts. ``wait_for_server`` makes the context manager go on trying where nobody answers; without it the first
    attempt that fails raises. ``grace`` is how many seconds ``close`` takes at most before it cuts off what is left.
    """

    wire: ClientWire

    def __init__(self, driver: Driver, url: str, options: ClientOptions) -> None:
        named: dict[str, Any] = dict(options)
        grace = named.pop("grace", 5.0)
        proxy, context = named.pop("proxy", None), named.pop("ssl", None)
        self._patient = bool(named.pop("wait_for_server", False))
        hooks = {name: named.pop(name) for name in CLIENT_HOOKS if name in named}
        others = (*CLIENT_HOOKS, "grace", "environment", "proxy", "ssl", "wait_for_server")
        engine_config, config, wire_config = configure(
            named, EngineClientConfig, ClientConfig, ClientWireConfig, others=others
        )
        super().__init__(driver, url, engine_config=engine_config, config=config, **hooks)
        if context is not None and not isinstance(context, ssl.SSLContext):
            raise OptionError(f"ssl must be an ssl.SSLContext or None, not {context!r}")
        if context is None and self.origin.secure:
            context = ssl.create_default_context()
        driver.route = Route(
            self.origin,
            context if self.origin.secure else None,
            None if proxy is None else parse_proxy(proxy),
        )
        self.wire = ClientWire(self, wire_config, on_error=lambda error: self._report(error, "request"))
        self._host(driver, grace)

    def _check_enter(self) -> None:
        """Refuses to be entered by two: the one who leaves first would close it for the other."""
        self._check_new()
        if self._driver.running:
            raise LocalProtocolError("this client is entered already; make one more for another block")

    def _check_entered(self, how: str) -> None:
        """Refuses to wait for the end of what never began."""
        if self._stage is Ending.NOT_YET and not self._driver.running:
            raise LocalProtocolError(f"the client is not entered: {how} client: ...")


SERVER_HOOKS = hooks_of(app.Server)
CLIENT_HOOKS = hooks_of(app.Client)


@dataclass(frozen=True, slots=True)
class Route:
    """How a connection comes to a server."""

    origin: Origin
    tls: ssl.SSLContext | None
    """For what leads to the server; None for plain connections."""
    proxy: Proxy | None

    @property
    def address(self) -> tuple[str, int]:
        """The host and port to connect to: the proxy's or the server's."""
        step = self.origin if self.proxy is None else self.proxy
        return step.host, step.port

    @property
    def server_hostname(self) -> str | None:
        """Whose certificate is expected; None without TLS."""
        return None if self.tls is None else self.origin.host

    def tunnel(self) -> Tunnel | None:
        """Returns what is to be said to the proxy first, before TLS; None without one."""
        host = f"[{self.origin.host}]" if ":" in self.origin.host else self.origin.host
        return None if self.proxy is None else self.proxy.tunnel(f"{host}:{self.origin.port}")


def load_bundle(folder: str | PathLike[str] | None) -> Bundle | None:
    """Reads the JavaScript client from a folder, once. Raises ``OptionError`` when none of its files is there."""
    if folder is None:
        return None
    bundle = Bundle({name: path.read_bytes() for name in BUNDLE_FILES if (path := Path(folder, name)).is_file()})
    if not bundle:
        raise OptionError(f"serve_client: there is no {BUNDLE_FILES[2]} in {folder}")
    return bundle
