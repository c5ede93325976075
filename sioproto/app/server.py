"""The server that applications write handlers for, on any runtime.

It takes the events of the Socket.IO floor and runs user code for them; what it needs from a runtime is the small port
in ``runtime``. Bindings add what moves bytes and time (``serve``, ``run``, ``close``) and nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from sioproto.app import flows
from sioproto.app.dispatch import Dispatcher
from sioproto.app.main_namespace import MainNamespace
from sioproto.app.running import Running, cancel, resolve
from sioproto.app.steps import ServerJob, lone_server_step, server_steps
from sioproto.config import EngineConfig, SocketConfig
from sioproto.engineio.events import ForeignRequest, ObserverFailed, RequestAsked, RequestRefused
from sioproto.errors import OptionError
from sioproto.handlers import Listener
from sioproto.pending import Pending
from sioproto.socketio.events import (
    ConnectAsked,
    DisconnectingAsked,
    EventReceived,
    NamespaceAsked,
    NamespaceCreated,
    RestoreRefused,
    SocketDisconnected,
    SocketEvent,
)
from sioproto.socketio.parser import Parser
from sioproto.socketio.registering import RegisteringWithSocket
from sioproto.socketio.sending import Sending
from sioproto.socketio.server import SocketServer

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from sioproto.app.runtime import Runtime
    from sioproto.engineio.bundle import Bundle
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Exchange, Request
    from sioproto.engineio.server import EngineServer
    from sioproto.socketio.adapter import Adapter
    from sioproto.socketio.dynamic import DynamicNamespace
    from sioproto.socketio.listening import Listening
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.operator import BroadcastOperator
    from sioproto.socketio.recovery import RecoveryStore
    from sioproto.timers import Timers

N = TypeVar("N", bound="Namespace")
M = TypeVar("M", bound="Callable[..., Any]")
H = TypeVar("H", bound="Callable[..., Any]")


class Server(RegisteringWithSocket, MainNamespace, Sending, Running):
    """A Socket.IO server. What is said of a namespace without naming one is about the main namespace, ``/``.

    ``on_error(error, where)`` gets whatever a handler, middleware or hook raises; without it the runtime logs it.
    ``fallback(request, body)`` answers requests that are not Socket.IO's with a ``Response``, or None for 404.
    ``allow_request(request)`` raises ``Forbidden`` to refuse a session before it opens.
    ``generate_id(request)`` makes the ids of sessions, ``bundle`` is the JavaScript client to serve. Hooks may be
    ``def`` or ``async def``, but ``generate_id`` may not wait. ``loads`` and ``dumps`` replace the JSON codec.
    ``adapter`` makes the adapter of each namespace, ``recovery_store`` keeps lost sockets until they are recovered.
    ``max_parked`` is how many bytes of a client's events may wait for handlers before reading from it stops. ``timers``
    are shared with others that live on the same clock.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        engine_config: EngineConfig | None = None,
        config: SocketConfig | None = None,
        on_error: Callable[[BaseException, str], object] | None = None,
        fallback: Callable[..., Any] | None = None,
        allow_request: Callable[[Request], Any] | None = None,
        generate_id: Callable[[Request], str] | None = None,
        bundle: Bundle | None = None,
        adapter: Callable[[Namespace], Adapter] | None = None,
        recovery_store: Callable[[SocketServer], RecoveryStore] | None = None,
        loads: Callable[[str], Any] | None = None,
        dumps: Callable[[Any], str] | None = None,
        max_parked: int = 1024 * 1024,
        timers: Timers | None = None,
    ) -> None:
        if max_parked <= 0:
            raise OptionError(f"max_parked must be above 0, not {max_parked!r}")
        engine_config = engine_config or EngineConfig()
        config = config or SocketConfig()
        Running.__init__(self, runtime, on_error)
        self._fallback = None if fallback is None else Listener(fallback)
        self._allow_request = allow_request
        self._core = SocketServer(
            engine_config,
            config,
            runtime.environment,
            parser=Parser(
                loads=loads,
                dumps=dumps,
                max_attachments=config.max_attachments,
                max_payload=engine_config.max_payload,
                max_arguments=config.max_arguments,
                max_depth=config.max_depth,
                max_containers=config.max_containers,
                max_event_name=config.max_event_name,
                max_namespace_name=config.max_namespace_name,
            ),
            waiting=self._waiting,
            wake=runtime.wake,
            guard=runtime.guard,
            asks_requests=allow_request is not None,
            generate_id=generate_id,
            bundle=bundle,
            adapter=adapter,
            store=recovery_store,
            timers=timers,
        )
        self._dispatcher = Dispatcher(
            server_steps, lone_server_step, self._handled, runtime, self._calling, self._report, max_parked
        )
        self._advancing = False
        self._stopping: Pending[int] | None = None
        self._unsent_before = 0
        self._closing = False

    # What there is

    @property
    def sockets(self) -> Namespace:
        """The main namespace, ``/``."""
        return self._core.sockets

    @property
    def engine(self) -> EngineServer:
        """The Engine.IO server below."""
        return self._core.engine

    @overload
    def of(self, name: str) -> Namespace: ...
    @overload
    def of(self, name: str, namespace_class: type[N]) -> N: ...
    @overload
    def of(self, name: re.Pattern[str] | Callable[..., Any]) -> DynamicNamespace: ...
    def of(self, name: Any, namespace_class: Any = None) -> Any:
        """Returns a namespace, made at the first call; see ``SocketServer.of`` for patterns, predicates and classes."""
        with self._runtime.guard:
            namespace = self._core.of(name, namespace_class) if namespace_class else self._core.of(name)
            self._advance()
            return namespace

    # Handlers of the main namespace

    def use(self, middleware: M) -> M:
        """Registers a middleware of the main namespace; see ``Namespace.use``."""
        return self.sockets.use(middleware)

    @overload
    def on_server_event(self, event: str, handler: H) -> H: ...
    @overload
    def on_server_event(self, event: str, handler: None = None) -> Callable[[H], H]: ...
    def on_server_event(self, event: str, handler: Any = None) -> Any:
        """Registers a handler for what other servers sent in the main namespace; see ``Namespace.on_server_event``."""
        return self.sockets.on_server_event(event, handler)

    # Sending in the main namespace: see Sending

    @property
    def _main(self) -> Listening:
        return self.sockets

    @property
    def everybody(self) -> BroadcastOperator:
        """All sockets of the main namespace."""
        return self.sockets.everybody

    @property
    def _namespace(self) -> Namespace:
        return self.sockets

    # Inputs, outputs and time: the verbs of the floors below

    @property
    def engine_config(self) -> EngineConfig:
        """The options of the Engine.IO floor."""
        return self._core.engine_config

    @property
    def timers(self) -> Timers:
        """All deadlines of this server."""
        return self._core.timers

    def receive_request(self, request: Request, owner: object = None) -> Exchange:
        """Takes the head of a request; see ``EngineServer.receive_request``."""
        exchange = self._core.receive_request(request, owner)
        self._advance()
        return exchange

    def receive_body(self, exchange: Exchange, body: bytes) -> None:
        """Takes the body of a request; see ``EngineServer.receive_body``."""
        self._core.receive_body(exchange, body)
        self._advance()

    def receive_oversize(self, exchange: Exchange) -> None:
        """See ``EngineServer.receive_oversize``."""
        self._core.receive_oversize(exchange)
        self._advance()

    def receive_abort(self, exchange: Exchange) -> None:
        """See ``EngineServer.receive_abort``."""
        self._core.receive_abort(exchange)
        self._advance()

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket; see ``EngineServer.receive_messages``."""
        self._core.receive_messages(link, messages)
        self._advance()

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        """See ``EngineServer.receive_link_closed``."""
        self._core.receive_link_closed(link, code, error)
        self._advance()

    def receive_blocked(self, link: Link) -> None:
        """See ``EngineServer.receive_blocked``."""
        self._core.receive_blocked(link)

    def receive_unblocked(self, link: Link) -> None:
        """See ``EngineServer.receive_unblocked``."""
        self._core.receive_unblocked(link)

    def take_dirty(self) -> list[Exchange | Link]:
        """Returns the carriers with output; see ``EngineServer.take_dirty``."""
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
        """Ends everything within ``grace`` seconds; the result is done when no session and no handler is left.

        New sessions get 503 and new events are dropped. Handlers that run get half of the time to finish.
        Then each socket gets ``disconnecting`` and ``disconnect`` with ``"server shutting down"``, what was queued is
        delivered and the transports are closed, which tells stock clients to come back elsewhere. What is left when
        the time is over is cut off. The result is how many messages of all clients were not sent since this was called,
        as ``Session.unsent`` counts them: 0 if nothing was lost here. A second call may shorten the time, and returns
        the same result.
        """
        with self._runtime.guard:
            if self._stopping is None:
                self._stopping = Pending(self._waiting)
                self._unsent_before = self.engine.unsent
                self._core.stop_accepting()
            if not self._stopping.done:
                after = self._core.timers.after
                timers = after(max(grace / 2, 0.001), self._close_all), after(max(grace, 0.002), self._cut_off)
                self._stopping.on_done(lambda _: cancel(*timers))
                self._check_stopped()
                self._runtime.wake(False)
            return self._stopping

    def _close_all(self) -> None:
        if not self._closing:
            self._closing = True
            self._core.shut_down()
            self._advance()

    def _cut_off(self) -> None:
        self._close_all()
        self._core.cut_off()
        self._advance()
        self._dispatcher.cut_off = True
        if self._stopping is not None:
            self._stopping.resolve(self.engine.unsent - self._unsent_before)

    def _check_stopped(self) -> None:
        if self._stopping is not None and not self._stopping.done and not self._dispatcher.running:
            self._close_all()
            if not self.engine.sessions and not self._dispatcher.running:
                self._stopping.resolve(self.engine.unsent - self._unsent_before)

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
        if self._stopping is not None:
            self._check_stopped()

    def _handle(self, event: SocketEvent) -> None:
        if isinstance(event, EventReceived):  # nearly all of them are
            if self._stopping is None:
                self._dispatcher.take(event)
        elif isinstance(event, ConnectAsked):
            self._connect(event)
        elif isinstance(event, NamespaceAsked):
            self._start(flows.allow_namespace(self._core, self._calling, self._report, event.ticket, event.parent))
        elif isinstance(event, ForeignRequest):
            self._start(
                flows.answer_foreign(
                    self._core, self._calling, self._report, self._fallback, event.exchange, event.body
                )
            )
        elif isinstance(event, RequestAsked):
            if self._allow_request is not None:
                self._start(
                    flows.allow_request(self._core, self._calling, self._report, self._allow_request, event.exchange)
                )
        elif isinstance(event, NamespaceCreated):
            for listener in self.sockets.lifecycle_listeners("new_namespace"):
                self._tell_created(listener, event.namespace)
        elif isinstance(event, ObserverFailed):
            self._report(event.error, f"observer of {event.where}")
        elif isinstance(event, RequestRefused | RestoreRefused):
            pass  # told to engine observers by the engine itself; said by the new socket
        else:
            if isinstance(event, DisconnectingAsked) and event.socket.lane is not None:
                # The handler in hand may wait for an answer of this client, and its end waits for that handler.
                event.socket.fail_acks()
            self._dispatcher.take(event)

    def _connect(self, event: ConnectAsked) -> None:
        ticket, socket, previous = event.ticket, event.socket, event.previous
        middlewares = [] if event.skip_middlewares else socket.namespace.middlewares()
        if previous is not None and previous.lane is not None:
            # What happened to the socket that this one continues is handled first, unless that takes too long.
            idle = self._dispatcher.when_idle(previous.lane)
            timer = self.timers.after(self._core.config.disconnecting_timeout, lambda: resolve(idle))
            idle.on_done(lambda _: timer.cancel())
            self._start(flows.connect(self._core, self._calling, self._report, ticket, socket, middlewares, idle))
        elif middlewares:
            self._start(flows.connect(self._core, self._calling, self._report, ticket, socket, middlewares))
        else:
            self._core.accept(ticket)

    def _handled(self, job: ServerJob) -> None:
        if isinstance(job, DisconnectingAsked):
            self._core.finish_disconnect(job.socket)
        elif isinstance(job, SocketDisconnected):
            self._core.forget(job.socket)

    def _tell_created(self, listener: Listener, namespace: Namespace) -> None:
        # A plain handler is called in place: namespaces are mostly made before there is a loop that could run anything.
        try:
            result = listener.call(*listener.fit((namespace,)))
        except Exception as error:  # a user's code: its failure is reported and stops nobody
            self._report(error, "new_namespace")
        else:
            if hasattr(type(result), "__await__"):
                self._start(self._spawned(lambda: result, ()))
