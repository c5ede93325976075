"""The Socket.IO client: one connection for all its namespaces, kept up (Socket.IO protocol, revision 5, client role).

It has the verbs of the floor below and events of its own, as ``SocketServer`` has on the other side. It is what the
JavaScript client calls a manager: it opens an ``EngineClient``, opens another one when that is lost, and hands packets
to the sockets that they are for.

The rule not to be broken: one connection is current at any one time. One that was left behind only hands over its last
packets, and what it still hears is for nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.engineio.client import EngineClient
from sioproto.engineio.client_events import EngineClosed, EngineOpened, MessageArrived
from sioproto.engineio.cookies import CookieJar
from sioproto.engineio.events import ObserverFailed
from sioproto.errors import ConnectError, LocalProtocolError, RemoteProtocolError
from sioproto.handlers import Observers
from sioproto.pending import NO_WAITING
from sioproto.socketio.backoff import Backoff
from sioproto.socketio.client_events import ConnectFailed, Reconnection
from sioproto.socketio.client_socket import ClientSocket
from sioproto.socketio.packet import PacketType
from sioproto.socketio.parser import Parser
from sioproto.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.config import ClientConfig, EngineClientConfig, TransportName
    from sioproto.engineio.client_events import EngineClientEvent
    from sioproto.engineio.events import CloseReason
    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.link import Link
    from sioproto.engineio.origin import Origin
    from sioproto.engineio.request import Response
    from sioproto.environment import Environment
    from sioproto.frame import Frame
    from sioproto.pending import Waiting
    from sioproto.socketio.client_events import ClientEvent, ReconnectionStage
    from sioproto.socketio.client_socket import Auth, AuthTicket
    from sioproto.socketio.packet import Packet
    from sioproto.socketio.parser import Decoder
    from sioproto.timers import Timer

CONNECTION_EVENTS = ("open", "close", "error", "ping", "packet", "packet_create", "upgrade", "upgrade_error", "drain")

EVENT = PacketType.EVENT
ACK = PacketType.ACK


class SocketClient:
    """All namespaces of a client, without I/O.

    ``origin`` is where the server is. ``wake(urgent)`` is called when there is output or news; ``waiting`` is how a
    runtime waits for a ``Pending``; ``timers`` may be shared with others of the same clock.
    """

    def __init__(
        self,
        origin: Origin,
        engine_config: EngineClientConfig,
        config: ClientConfig,
        environment: Environment,
        *,
        parser: Parser | None = None,
        waiting: Waiting = NO_WAITING,
        wake: Callable[[bool], None] | None = None,
        guard: Callable[[], None] | None = None,
        timers: Timers | None = None,
    ) -> None:
        self.origin = origin
        self.engine_config = engine_config
        self.config = config
        self.environment = environment
        self.waiting = waiting
        self.guard: Callable[[], None] = guard or _anywhere
        self.timers = Timers(environment.clock) if timers is None else timers
        self.parser = parser or make_parser(config, engine_config)
        self.sockets: dict[str, ClientSocket] = {}
        """All sockets that were asked for, by the name of their namespace."""
        self.engine: EngineClient | None = None
        """The current connection."""
        self.parked = 0
        """Bytes of events that wait for handlers; the floor above counts."""
        self._observers = Observers(CONNECTION_EVENTS, self.report)
        self._observed: dict[str, None] = {}
        self._wake = wake
        self._decoder: Decoder = self.parser.decoder()
        self._received = 0
        self._events: list[ClientEvent] = []
        self._old: list[EngineClient] = []
        self._jar = CookieJar(environment.wall, engine_config.max_cookies) if engine_config.cookie_jar else None
        self._backoff = Backoff(config, environment.jitter)
        self._timer: Timer | None = None
        self._remembered = False
        self._cause: tuple[CloseReason, str] | None = None

    # What a user may look at, and the namespaces

    @property
    def reconnecting(self) -> bool:
        """Whether the next attempt to come back is waited for, or under way."""
        return self._backoff.attempts > 0

    @property
    def writable(self) -> bool:
        """Whether a packet would leave at once."""
        return self.engine is not None and self.engine.open and self.engine.writable

    @property
    def paused(self) -> bool:
        """Whether reading from the server is stopped, because handlers lag."""
        return self.engine is not None and self.engine.paused

    def of(self, name: str = "/", auth: Auth = None) -> ClientSocket:
        """Returns the socket of a namespace, made at the first call; a slash at the beginning is added if missing.

        ``auth`` is what it sends with CONNECT: a dict, or a callable that returns one. A later call with another one
        replaces it, for the next connection. Call ``connect`` of the socket.
        """
        if not name.startswith("/"):
            name = "/" + name
        socket = self.sockets.get(name)
        if socket is None:
            if "," in name or len(name) > self.config.max_namespace_name:
                raise LocalProtocolError(f"{name[:80]!r} cannot be the name of a namespace")
            socket = self.sockets[name] = ClientSocket(self, name, auth)
        elif auth is not None:
            socket.auth = auth
        return socket

    def on(self, event: str, call: Callable[..., Any] | None = None) -> Any:
        """Observes the connection below, whichever is current: a decorator, or with the observer as second argument.

        ``open()``, ``close(reason, description)``, ``error(error)``: a connection could not be opened; ``ping()``, when
        the server asked for a sign of life, ``packet(type, data)``, ``packet_create(type, data)``,
        ``upgrade(transport)``, ``upgrade_error(error)``, ``drain()``. Observers are called in place and may neither
        wait nor call back into the core. Raises ``LocalProtocolError`` for any other name.
        """
        if event in CONNECTION_EVENTS and event not in self._observed:
            self._observed[event] = None
            if self.engine is not None:
                self._follow(self.engine, event)
        return self._observers.add(event, call)

    # Inputs: see EngineClient for what each means

    def receive_response(self, fetch: Fetch, response: Response) -> None:
        """Takes the answer to a request; see ``EngineClient.receive_response``."""
        fetch.engine.receive_response(fetch, response)
        self._advance()

    def receive_failure(self, fetch: Fetch, error: str) -> None:
        """Says that a request gets no answer; see ``EngineClient.receive_failure``."""
        fetch.engine.receive_failure(fetch, error)
        self._advance()

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket; see ``EngineClient.receive_messages``."""
        engine = link.session
        if engine is not None:
            engine.receive_messages(link, messages)
            self._advance()

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        """Says that a WebSocket is over; see ``EngineClient.receive_link_closed``."""
        engine = link.session
        if engine is not None:
            engine.receive_link_closed(link, code, error)
            self._advance()

    def receive_blocked(self, link: Link) -> None:
        """Says that a WebSocket's transport takes no more for now."""
        if link.session is not None:
            link.session.receive_blocked(link)

    def receive_unblocked(self, link: Link) -> None:
        """Says that it takes data again."""
        if link.session is not None:
            link.session.receive_unblocked(link)

    # Answers

    def answer_auth(self, ticket: AuthTicket, auth: Any) -> bool:
        """Answers ``AuthAsked``. Returns False when the question is dead because the connection was lost meanwhile.

        Raises ``LocalProtocolError`` for what cannot be sent as ``auth``; the question stays open then.
        """
        if not ticket.alive:
            return False
        ticket.socket.send_connect(auth)
        return True

    def refuse_auth(self, ticket: AuthTicket, error: ConnectError) -> bool:
        """Answers ``AuthAsked`` with a failure: the socket is not connected, and not tried again."""
        if not ticket.alive:
            return False
        ticket.socket.refuse(error)
        return True

    # Outputs

    def events(self) -> list[ClientEvent]:
        """Returns what happened since the last call, in order, and forgets it."""
        events = self._events
        if not events:
            self._advance()
            events = self._events
        if events:
            self._events = []
        return events

    def take_dirty(self) -> list[Fetch | Link]:
        """Returns what is to be sent: requests, and links with frames or a changed state; each once."""
        self._advance()
        carriers: list[Fetch | Link] = [] if self.engine is None else self.engine.take_dirty()
        for engine in self._old:
            carriers += engine.take_dirty()
        self._advance()
        return carriers

    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called, on the environment's clock; None for never."""
        if self.engine is not None:
            return self.engine.next_deadline()
        return self.timers.next_deadline()

    def handle_timeout(self) -> None:
        """Does what is due now. Calling it too early does nothing."""
        if self.engine is not None:
            self.engine.handle_timeout()
        else:
            self.timers.fire(self.environment.clock())
        self._advance()

    # Commands

    def close(self) -> None:
        """Disconnects every socket and closes the connection; what was queued is delivered first."""
        self.guard()
        for socket in list(self.sockets.values()):
            socket.disconnect()

    def cut_off(self) -> None:
        """Ends everything at once, whatever is still to be delivered."""
        self.close()
        for engine in list(self._old):
            engine.close(discard=True)
        self._advance()

    @property
    def closed(self) -> bool:
        """Whether there is no connection, and none is being opened, closed or waited for."""
        return self.engine is None and not self._old and self._timer is None

    def pause(self) -> None:
        """Stops reading from the server."""
        if self.engine is not None:
            self.engine.pause()

    def resume(self) -> None:
        """Reads again."""
        if self.engine is not None:
            self.engine.resume()

    def when_drained(self, call: Callable[[], object]) -> None:
        """Calls ``call()`` once the transport took what was queued, or the connection ended."""
        if self.engine is None:
            call()
        else:
            self.engine.when_drained(call)

    # For the sockets

    def open_for(self, socket: ClientSocket) -> None:
        """Brings a socket to the server: over the connection that there is, or a new one."""
        if self.engine is not None:
            if self.engine.open:
                socket.ask_auth()
        elif self._timer is None:
            self._open()

    def write(self, frames: Sequence[Frame]) -> bool:
        """Hands packets to the connection. Returns False when it is gone, even if nobody has noticed before."""
        return self.engine is not None and self.engine.write(frames)

    def close_if_unused(self) -> None:
        """Closes the connection when no socket wants it any more."""
        if any(socket.active for socket in self.sockets.values()):
            return
        self._stop_timer()
        self._backoff.reset()
        engine, self.engine = self.engine, None
        if engine is not None:
            # Its last packets are still delivered. What comes of that concerns nobody.
            self._observers.notify("close", "forced close", None)
            self._old.append(engine)
            engine.close(discard=not engine.open)

    def drop(self, reason: CloseReason, description: str) -> None:
        """Ends the connection at once, because of what the server did; it is tried again."""
        if self.engine is not None:
            self._cause = (reason, description)
            self.engine.close(discard=True)

    def tell(self, event: ClientEvent) -> None:
        """Leaves an event for the floor above."""
        if not self._events and self._wake is not None:
            self._wake(False)
        self._events.append(event)

    def report(self, error: Exception, where: str) -> None:
        """Leaves the failure of an observer for the floor above."""
        self.tell(ObserverFailed(error, where))

    # The connection

    def _open(self) -> None:
        self._cause = None
        self._decoder = self.parser.decoder()
        self._received = 0
        transports: tuple[TransportName, ...] | None = None
        if self._remembered and "websocket" in self.engine_config.transports:
            others = tuple(name for name in self.engine_config.transports if name != "websocket")
            transports = ("websocket", *others)
        engine = self.engine = EngineClient(
            self.origin,
            self.engine_config,
            self.environment,
            timers=self.timers,
            wake=self._wake,
            jar=self._jar,
            transports=transports,
        )
        for event in self._observed:
            self._follow(engine, event)
        if self.config.open_timeout is not None:
            self._timer = self.timers.after(self.config.open_timeout, self._open_overdue)
        engine.begin()

    def _follow(self, engine: EngineClient, event: str) -> None:
        if event in ("open", "close", "error"):
            return  # told by this floor
        notify = self._observers.notify
        engine.on("heartbeat" if event == "ping" else event, lambda *args: notify(event, *args))

    def _open_overdue(self) -> None:
        self._timer = None
        if self.engine is not None:
            self._cause = ("transport error", "timeout")
            self.engine.close(discard=True)

    def _advance(self) -> None:
        engine = self.engine
        while engine is not None and (events := engine.events()):
            for event in events:
                if isinstance(event, MessageArrived):
                    if engine is self.engine:
                        self._message(event.data)
                else:
                    self._follow_engine(engine, event)
        # What was left behind is asked afterwards: handling the above may have left it.
        for old in list(self._old) if self._old else ():
            for event in old.events():
                self._follow_engine(old, event)

    def _follow_engine(self, engine: EngineClient, event: EngineClientEvent) -> None:
        if isinstance(event, ObserverFailed):
            self.tell(event)
        elif engine is not self.engine:
            if isinstance(event, EngineClosed):
                self._old.remove(engine)
        elif isinstance(event, EngineOpened):
            self._opened()
        elif isinstance(event, EngineClosed):
            self._closed(event)

    def _opened(self) -> None:
        self._stop_timer()
        attempts = self._backoff.attempts
        self._backoff.reset()
        self._remembered = self._ends_on_websocket()
        self._observers.notify("open")
        if attempts:
            self._tell_all("reconnect", attempts)
        for socket in list(self.sockets.values()):
            if socket.active:
                socket.ask_auth()

    def _closed(self, event: EngineClosed) -> None:
        self._stop_timer()
        reason, description = event.reason, event.description
        if self._cause is not None:
            (reason, description), self._cause = self._cause, None
        self._remembered = self._ends_on_websocket() and event.opened and reason != "transport error"
        self.engine = None
        if event.opened:
            self._observers.notify("close", reason, description)
            for socket in list(self.sockets.values()):
                socket.receive_lost(reason, description)
            self._reconnect(ConnectError(reason))
            return
        error = ConnectError(description or reason)
        self._observers.notify("error", error)
        for socket in list(self.sockets.values()):
            if socket.active:
                self.tell(ConnectFailed(socket, error))
        if self._backoff.attempts:
            self._tell_all("reconnect_error", error)
        self._reconnect(error)

    def _reconnect(self, error: ConnectError) -> None:
        """Waits for the next attempt, unless there is to be none."""
        if not any(socket.active for socket in self.sockets.values()):
            return
        limit = self.config.reconnection_attempts
        if self.config.reconnection and (limit is None or self._backoff.attempts < limit):
            self._timer = self.timers.after(self._backoff.next_delay(), self._attempt)
            return
        if self.config.reconnection:
            self._tell_all("reconnect_failed")
        self._backoff.reset()
        for socket in list(self.sockets.values()):
            socket.give_up(error)

    def _attempt(self) -> None:
        self._timer = None
        self._tell_all("reconnect_attempt", self._backoff.attempts)
        self._open()

    def _tell_all(self, stage: ReconnectionStage, *args: Any) -> None:
        for socket in self.sockets.values():
            if socket.active:
                self.tell(Reconnection(socket, stage, args))

    def _ends_on_websocket(self) -> bool:
        return (
            self.engine_config.remember_upgrade
            and self.engine is not None
            and self.engine.transport_name == "websocket"
        )

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Packets

    def _message(self, message: str | bytes) -> None:
        if self._cause is not None:
            return  # what came behind a packet that ended the connection is not delivered
        self._received += len(message)
        try:
            packet = self._decoder.feed(message)
        except RemoteProtocolError as error:
            self.drop("parse error", str(error))
            return
        if packet is not None:
            size, self._received = self._received, 0
            self._packet(packet, size)

    def _packet(self, packet: Packet, size: int) -> None:
        socket = self.sockets.get(packet.namespace)
        if socket is None:
            return  # of a namespace that nobody asked for
        kind = packet.type
        if kind is EVENT:
            socket.receive_event(packet, size)
        elif kind is ACK:
            socket.receive_ack(packet)
        elif kind is PacketType.CONNECT:
            socket.receive_connect(packet)
        elif kind is PacketType.DISCONNECT:
            socket.receive_disconnect()
        else:
            socket.receive_refusal(packet)


def make_parser(
    config: ClientConfig,
    engine_config: EngineClientConfig,
    loads: Callable[[str], Any] | None = None,
    dumps: Callable[[Any], str] | None = None,
) -> Parser:
    """Returns the codec of a client, with its limits."""
    return Parser(
        loads=loads,
        dumps=dumps,
        max_attachments=config.max_attachments,
        max_payload=engine_config.max_payload,
        max_arguments=config.max_arguments,
        max_depth=config.max_depth,
        max_containers=config.max_containers,
        max_event_name=config.max_event_name,
        max_namespace_name=config.max_namespace_name,
    )


def _anywhere() -> None:
    """Nobody minds where a command comes from."""
