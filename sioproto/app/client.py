"""The client that applications write handlers for, on any runtime.

It is to ``SocketClient`` what ``Server`` is to ``SocketServer``. Bindings add what moves bytes and time and nothing
else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, overload

from sioproto.app import flows
from sioproto.app.dispatch import Dispatcher
from sioproto.app.main_namespace import MainNamespace
from sioproto.app.running import Running, cancel
from sioproto.app.steps import ClientJob, client_steps, lone_client_step
from sioproto.config import ClientConfig, EngineClientConfig
from sioproto.engineio.events import ObserverFailed
from sioproto.engineio.origin import parse_url
from sioproto.errors import AckTimeout, OptionError
from sioproto.pending import Pending
from sioproto.socketio.client_events import AuthAsked, ClientEvent, ConnectFailed, EventArrived, EventLost
from sioproto.socketio.client_socket import ClientSocket
from sioproto.socketio.registering import RegisteringAlone
from sioproto.socketio.socket_client import SocketClient, make_parser

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.app.runtime import Runtime
    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.link import Link
    from sioproto.engineio.origin import Origin
    from sioproto.engineio.request import Response
    from sioproto.environment import Environment
    from sioproto.event import Answer, Askable, P, Sendable
    from sioproto.socketio.client_socket import Auth
    from sioproto.socketio.listening import Listening
    from sioproto.socketio.operator import EmitOperator
    from sioproto.timers import Timers


class Client(RegisteringAlone, MainNamespace, Running):
    """A Socket.IO client. What is said without naming a namespace is about the one in the URL's path, ``/`` if it has
    none.

    ``url`` names the server: ``http://host:port/namespace?query``, or ``https``, ``ws``, ``wss``. ``auth`` is sent with
    each CONNECT of that namespace: a dict, or a callable, ``def`` or ``async def``, that returns one and is asked again
    for each attempt. ``on_error(error, where)`` gets whatever a handler raises; without it the runtime reports it.
    ``loads`` and ``dumps`` replace the JSON codec. ``max_parked`` is how many bytes of events may wait for handlers
    before reading from the server stops. ``timers`` may be shared with others of the same clock.

    Handlers get what the server sent: ``@client.on("news")``, ``def`` or ``async def``; what they return is the
    acknowledgement. Lifecycle handlers are ``connect(id)``, ``disconnect(reason, description)``,
    ``connect_error(error)``, ``reconnect_attempt(attempt)``, ``reconnect(attempt)``, ``reconnect_error(error)`` and
    ``reconnect_failed()``.
    """

    socket_class: ClassVar[type[ClientSocket]] = ClientSocket

    def __init__(
        self,
        runtime: Runtime,
        url: str,
        *,
        auth: Auth = None,
        engine_config: EngineClientConfig | None = None,
        config: ClientConfig | None = None,
        on_error: Callable[[BaseException, str], object] | None = None,
        loads: Callable[[str], Any] | None = None,
        dumps: Callable[[Any], str] | None = None,
        max_parked: int = 1024 * 1024,
        timers: Timers | None = None,
    ) -> None:
        if max_parked <= 0:
            raise OptionError(f"max_parked must be above 0, not {max_parked!r}")
        Running.__init__(self, runtime, on_error)
        origin, path, query = parse_url(url)
        engine_config = engine_config or EngineClientConfig()
        if query:
            # What is named as an option counts, as in the JavaScript client.
            engine_config = replace(engine_config, query={**query, **engine_config.query})
        config = config or ClientConfig()
        self._core = SocketClient(
            origin,
            engine_config,
            config,
            runtime.environment,
            parser=make_parser(config, engine_config, loads, dumps),
            waiting=self._waiting,
            wake=runtime.wake,
            guard=runtime.guard,
            timers=timers,
            socket_class=self.socket_class,
        )
        self._core.max_parked = max_parked
        self._dispatcher = Dispatcher(
            client_steps, lone_client_step, _handled, runtime, self._calling, self._report, max_parked
        )
        self._advancing = False
        self._stopping: Pending[int] | None = None
        self._unsent_before = 0
        self._first: Pending[None] | None = None
        self._ended: Pending[None] | None = None
        self.socket = self._core.of(path, auth)
        """The socket of the main namespace."""

    # What there is

    @property
    def id(self) -> str | None:
        """The id of the main socket, the same as on the server; None while it is not connected."""
        return self.socket.id

    @property
    def connected(self) -> bool:
        """Whether the main socket is connected."""
        return self.socket.connected

    @property
    def active(self) -> bool:
        """Whether the main socket is connected, or going to be by itself."""
        return self.socket.active

    @property
    def recovered(self) -> bool:
        """Whether the latest connection of the main socket continues the one before."""
        return self.socket.recovered

    @property
    def engine(self) -> EngineClient | None:
        """The current Engine.IO connection."""
        return self._core.engine

    @property
    def unsent(self) -> int:
        """Messages that were not sent, over all connections so far; see ``SocketClient.unsent``."""
        return self._core.unsent

    @property
    def origin(self) -> Origin:
        """Where the server is."""
        return self._core.origin

    @property
    def environment(self) -> Environment:
        """Time and chance."""
        return self._core.environment

    @property
    def engine_config(self) -> EngineClientConfig:
        """The options of the Engine.IO floor."""
        return self._core.engine_config

    @property
    def timers(self) -> Timers:
        """All deadlines of this client."""
        return self._core.timers

    def of(self, name: str, auth: Auth = None) -> ClientSocket:
        """Returns the socket of another namespace on the same connection; call its ``connect``. See
        ``SocketClient.of``.
        """
        return self._core.of(name, auth)

    @property
    def _main(self) -> Listening:
        return self.socket

    def on_connection(self, event: str, call: Callable[..., Any] | None = None) -> Any:
        """Observes the connection below, whichever is current; see ``SocketClient.on``."""
        return self._core.on(event, call)

    # Connecting and sending in the main namespace: see ClientSocket

    def connect(self, *, retry: bool = True) -> Pending[None]:
        """Connects the main socket, and keeps it connected; see ``ClientSocket.connect``.

        Without ``retry`` the first attempt that fails is the last one, whatever ``reconnection`` says: waiting raises
        its ``ConnectError``. Once connected it comes back after losses just the same.
        """
        with self._runtime.guard:
            connected = self.socket.connect()
            if retry or connected.done:
                return connected
            if self._first is not None:
                return self._first
            first = self._first = Pending(self._waiting)
            connected.on_done(lambda _: self._settle_first(connected))
            return first

    def ended(self) -> Pending[None]:
        """Returns what is done as soon as no socket is connected, or going to be by itself; at once if none is."""
        with self._runtime.guard:
            if self._ended is None or self._ended.done:
                self._ended = Pending(self._waiting)
                self._check_ended()
            return self._ended

    def disconnect(self) -> None:
        """Leaves the main namespace; see ``ClientSocket.disconnect``."""
        self.socket.disconnect()

    @overload
    def emit(self, event: Sendable[P], *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def emit(self, event: str, *args: Any) -> None: ...
    def emit(self, event: Any, *args: Any) -> None:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event; see ``Socket.emit``."""
        self.socket.emit(event, *args)

    def send(self, *args: Any) -> None:
        """Emits the event ``message``."""
        self.socket.send(*args)

    @overload
    def emit_with_ack(self, event: Askable[Answer, P], *args: P.args, **kwargs: P.kwargs) -> Pending[Answer]: ...
    @overload
    def emit_with_ack(self, event: str, *args: Any) -> Pending[Any]: ...
    def emit_with_ack(self, event: Any, *args: Any) -> Pending[Any]:  # type: ignore[misc]  # see ``Sendable``: no keyword ever comes
        """Sends an event and returns what the server is going to answer; see ``Socket.emit_with_ack``."""
        return self.socket.emit_with_ack(event, *args)

    @property
    def volatile(self) -> EmitOperator:
        """For events that are dropped if they cannot be sent at once."""
        return self.socket.volatile

    def compress(self, compress: bool) -> EmitOperator:
        """Says whether a transport may compress what is sent next; by default it may."""
        return self.socket.compress(compress)

    def timeout(self, seconds: float) -> EmitOperator:
        """Sets how long ``emit_with_ack`` waits, in seconds."""
        return self.socket.timeout(seconds)

    def drained(self) -> Pending[None]:
        """Returns what is done once the transport took everything that waited for it, or the connection ended."""
        with self._runtime.guard:
            pending: Pending[None] = Pending(self._waiting)
            self._core.when_drained(lambda: pending.resolve(None))
            return pending

    # Inputs, outputs and time: the verbs of the floors below

    def receive_response(self, fetch: Fetch, response: Response) -> None:
        """Takes the answer to a request; see ``EngineClient.receive_response``."""
        self._core.receive_response(fetch, response)
        self._advance()

    def receive_failure(self, fetch: Fetch, error: str) -> None:
        """Says that a request gets no answer; see ``EngineClient.receive_failure``."""
        self._core.receive_failure(fetch, error)
        self._advance()

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket; see ``EngineClient.receive_messages``."""
        self._core.receive_messages(link, messages)
        self._advance()

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        """Says that a WebSocket is over; see ``EngineClient.receive_link_closed``."""
        self._core.receive_link_closed(link, code, error)
        self._advance()

    def receive_blocked(self, link: Link) -> None:
        """See ``EngineClient.receive_blocked``."""
        self._core.receive_blocked(link)

    def receive_unblocked(self, link: Link) -> None:
        """See ``EngineClient.receive_unblocked``."""
        self._core.receive_unblocked(link)

    def take_dirty(self) -> list[Fetch | Link]:
        """Returns what is to be sent; see ``EngineClient.take_dirty``."""
        self._advance()
        carriers = self._core.take_dirty()
        self._advance()
        return carriers

    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called; None for never."""
        return self._core.next_deadline()

    def handle_timeout(self) -> None:
        """Does what is due now. Calling it too early does nothing."""
        self._core.handle_timeout()
        self._advance()

    # The end

    def stop(self, grace: float) -> Pending[int]:
        """Disconnects and ends within ``grace`` seconds; the result is done when no connection and no handler is left.

        What was queued is delivered first; what is left when the time is over is cut off. The result is how many
        messages were not sent since this was called, those of events that waited for a connection among them: 0 if all
        were. A second call may shorten the time, and returns the same result.
        """
        with self._runtime.guard:
            if self._stopping is None:
                self._stopping = Pending(self._waiting)
                self._unsent_before = self._core.unsent
                self._core.close()
                self._advance()
            if not self._stopping.done:
                timer = self.timers.after(max(grace, 0.001), self._cut_off)
                self._stopping.on_done(lambda _: cancel(timer))
                self._check_stopped()
                self._runtime.wake(False)
            return self._stopping

    def _cut_off(self) -> None:
        self._core.cut_off()
        self._advance()
        self._dispatcher.cut_off = True
        if self._stopping is not None:
            self._stopping.resolve(self._core.unsent - self._unsent_before)

    def _check_stopped(self) -> None:
        if self._stopping is not None and self._core.closed and not self._dispatcher.running:
            self._stopping.resolve(self._core.unsent - self._unsent_before)

    # What the floor below tells

    def _advance(self) -> None:
        # A handler that is called in place may lead back here; what it caused is taken by the loop that is running.
        if self._advancing:
            return
        self._advancing = True
        try:
            while events := self._core.events():
                for event in events:
                    self._handle(event)
        finally:
            self._advancing = False
        if self._ended is not None:
            self._check_ended()
        if self._stopping is not None:
            self._check_stopped()

    def _check_ended(self) -> None:
        if self._ended is not None and not any(socket.active for socket in self._core.sockets.values()):
            self._ended.resolve(None)

    def _settle_first(self, connected: Pending[None]) -> None:
        first, self._first = self._first, None
        if first is not None:
            try:
                first.resolve(connected.result())
            except Exception as error:  # belongs to whoever waits
                first.reject(error)

    def _handle(self, event: ClientEvent) -> None:
        if isinstance(event, EventArrived):  # nearly all of them are
            self._dispatcher.take(event)
        elif isinstance(event, AuthAsked):
            self._start(flows.ask_auth(self._core, self._calling, self._report, event.ticket))
        elif isinstance(event, ObserverFailed):
            self._report(event.error, f"observer of {event.where}")
        elif isinstance(event, EventLost):
            self._report(AckTimeout(), f"event {event.event!r} in {event.socket.name}, sent as often as allowed")
        else:
            if self._first is not None and isinstance(event, ConnectFailed) and event.socket is self.socket:
                first, self._first = self._first, None
                self.socket.disconnect()
                first.reject(event.error)
            self._dispatcher.take(event)


def _handled(_: ClientJob) -> None:
    """Nobody waits for the end of a client's handlers."""
