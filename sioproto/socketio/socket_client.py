"""The Socket.IO client: one connection for all its namespaces, kept up (Socket.IO protocol, revision 5, client role).

It has the verbs of the floor below and events of its own, as ``SocketServer`` has on the other side. It is what the
JavaScript client calls a manager: it hands packets to the sockets that they are for, and lets ``Reconnecting`` keep the
connection up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.engineio.client_events import MessageArrived
from sioproto.engineio.events import ObserverFailed
from sioproto.errors import ConnectError, LocalProtocolError, RemoteProtocolError
from sioproto.guard import ANYWHERE
from sioproto.pending import NO_WAITING, Reporting
from sioproto.socketio.client_socket import ClientSocket
from sioproto.socketio.packet import PacketType
from sioproto.socketio.parser import UNFIT_FOR_NAMES, Parser
from sioproto.socketio.reconnecting import Reconnecting
from sioproto.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.config import ClientConfig, EngineClientConfig
    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.events import CloseReason
    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.link import Link
    from sioproto.engineio.origin import Origin
    from sioproto.engineio.request import Response
    from sioproto.environment import Environment
    from sioproto.frame import Frame
    from sioproto.guard import Guard
    from sioproto.pending import Waiting
    from sioproto.socketio.client_events import ClientEvent
    from sioproto.socketio.client_socket import Auth, AuthTicket
    from sioproto.socketio.packet import Packet
    from sioproto.socketio.parser import Decoder

EVENT = PacketType.EVENT
ACK = PacketType.ACK


class SocketClient:
    """All namespaces of a client, without I/O.

    ``origin`` is where the server is. ``wake(urgent)`` is called when there is output or news; ``waiting`` is how a
    runtime waits for a ``Pending``; commands enter ``guard``; ``timers`` may be shared with others of the same clock;
    ``socket_class`` makes the sockets. Raises ``LocalProtocolError`` for a path, a query, header fields or subprotocols
    that could not be sent.
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
        guard: Guard = ANYWHERE,
        timers: Timers | None = None,
        socket_class: type[ClientSocket] = ClientSocket,
    ) -> None:
        self.origin = origin
        self.engine_config = engine_config
        self.config = config
        self.environment = environment
        self.waiting = Reporting(waiting, self.report) if waiting is NO_WAITING else waiting
        self.guard = guard
        """What commands enter."""
        self.timers = Timers(environment.clock) if timers is None else timers
        self.parser = parser or make_parser(config, engine_config)
        self.sockets: dict[str, ClientSocket] = {}
        """All sockets that were asked for, by the name of their namespace."""
        self._socket_class = socket_class
        self.parked = 0
        """Bytes of events that wait for handlers; the floor above counts."""
        self.max_parked = float("inf")
        """How many of them may wait before it stops reading."""
        self.closing = False
        """Whether ``close`` was called."""
        self.unsent = 0
        """Messages that connections which have ended left unsent, see ``EngineClient.unsent``, and those of events that
        waited for a connection when ``close`` was called.
        """
        self._wake = wake
        self._decoder: Decoder = self.parser.decoder()
        self._received = 0
        self.news: list[ClientEvent] = []
        """What ``events()`` is going to return: for the floor above, which looks whether it is worth a call."""
        self._pulled = False
        """Whether whoever called is going to pull events anyway, so that no wake-up is needed for them."""
        self._connection = Reconnecting(self, wake)

    # What a user may look at, and the namespaces

    @property
    def engine(self) -> EngineClient | None:
        """The current connection; None while there is none."""
        return self._connection.engine

    @property
    def reconnecting(self) -> bool:
        """Whether the next attempt to come back is waited for, or under way."""
        return self._connection.attempts > 0

    @property
    def writable(self) -> bool:
        """Whether a packet would leave at once."""
        return self.engine is not None and self.engine.open and self.engine.writable

    @property
    def paused(self) -> bool:
        """Whether reading from the server is stopped, because handlers lag."""
        return self.engine is not None and self.engine.paused

    @property
    def crowded(self) -> bool:
        """Whether too much waits for handlers already that came over an earlier connection, not this one."""
        return self.parked > self.max_parked and not self.paused

    def of(self, name: str = "/", auth: Auth = None) -> ClientSocket:
        """Returns the socket of a namespace, made at the first call; a slash at the beginning is added if missing.

        ``auth`` is what it sends with CONNECT: a dict, or a callable that returns one. A later call with another one
        replaces it, for the next connection. Call ``connect`` of the socket. Raises ``LocalProtocolError`` for a name
        with commas or controls in it, or a longer one than ``max_namespace_name``, and for an ``auth`` of another kind.
        """
        with self.guard:
            if not name.startswith("/"):
                name = "/" + name
            if not (auth is None or isinstance(auth, dict) or callable(auth)):
                raise LocalProtocolError(f"auth is a dict, a callable that returns one, or None, not {auth!r}")
            socket = self.sockets.get(name)
            if socket is None:
                if (
                    "," in name
                    or len(name) > self.config.max_namespace_name
                    or UNFIT_FOR_NAMES.search(name) is not None
                ):
                    raise LocalProtocolError(f"{name[:80]!r} cannot be the name of a namespace")
                socket = self.sockets[name] = self._socket_class(self, name, auth)
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
        with self.guard:
            return self._connection.observe(event, call)

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
        with self.guard:
            if not ticket.alive:
                return False
            ticket.socket.send_connect(auth)
            return True

    def refuse_auth(self, ticket: AuthTicket, error: ConnectError) -> bool:
        """Answers ``AuthAsked`` with a failure: the socket is not connected, and not tried again. If it is told to
        connect nevertheless, it begins after ``reconnection_delay``.
        """
        with self.guard:
            if not ticket.alive:
                return False
            ticket.socket.refuse_auth(error)
            return True

    # Outputs

    def events(self) -> list[ClientEvent]:
        """Returns what happened since the last call, in order, and forgets it."""
        if not self.news:
            self._advance()
        events = self.news
        if events:
            self.news = []
        return events

    def take_dirty(self) -> list[Fetch | Link]:
        """Returns what is to be sent: requests, and links with frames or a changed state; each once."""
        told = bool(self.news)
        self._advance()
        carriers = self._connection.take_dirty()
        self._advance()
        if self.news and not told:
            self.rouse()
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
        """Disconnects every socket for good and closes the connection; what was queued for it is delivered first.

        What waits for a connection is forgotten, and counted in ``unsent``. From here on nobody connects, nothing is
        sent, and whoever waits for an answer gets ``Disconnected``.
        """
        with self.guard:
            self.closing = True
            for socket in list(self.sockets.values()):
                socket.close()

    def cut_off(self) -> None:
        """Ends everything at once, whatever is still to be delivered."""
        with self.guard:
            self.close()
            self._connection.cut_off()
            self._advance()

    @property
    def closed(self) -> bool:
        """Whether there is no connection, and none is being opened, closed or waited for."""
        return self._connection.closed

    def pause(self) -> None:
        """Stops reading from the server, which ends the connection if it lasts."""
        with self.guard:
            self._connection.pause()

    def resume(self) -> None:
        """Reads again."""
        with self.guard:
            self._connection.resume()

    def when_drained(self, call: Callable[[], object]) -> None:
        """Calls ``call()`` once the transport took what was queued, or the connection ended."""
        with self.guard:
            if self.engine is None:
                call()
            else:
                self.engine.when_drained(call)

    # For the sockets

    def open_for(self, socket: ClientSocket) -> None:
        """Brings a socket to the server: over the connection that there is, or a new one."""
        if self.engine is None:
            self._connection.open()
        elif self.engine.open:
            socket.ask_auth()

    def write(self, frames: Sequence[Frame]) -> bool:
        """Hands packets to the connection. Returns False when it is gone, even if nobody has noticed before."""
        engine = self._connection.engine
        return engine is not None and engine.write(frames)

    def close_if_unused(self) -> None:
        """Closes the connection when no socket wants it any more."""
        if not any(socket.active for socket in self.sockets.values()):
            self._connection.leave()

    def drop(self, reason: CloseReason, description: str) -> None:
        """Ends the connection at once, because of what the server did; it is tried again."""
        self._connection.drop(reason, description)

    def begin_decoding(self) -> None:
        """A new connection is opened, whose packets have nothing to do with those of the one before."""
        self._decoder = self.parser.decoder()
        self._received = 0

    def tell(self, event: ClientEvent) -> None:
        """Leaves an event for the floor above."""
        if not self.news and not self._pulled:
            self.rouse()
        self.news.append(event)

    def rouse(self) -> None:
        """Says that there is news, or a new deadline."""
        if self._wake is not None:
            self._wake(False)

    def report(self, error: Exception, where: str) -> None:
        """Leaves the failure of an observer for the floor above."""
        self.tell(ObserverFailed(error, where))

    # What the connection below tells

    def _advance(self) -> None:
        connection = self._connection
        engine = connection.engine
        if not (connection.old or (engine is not None and engine.news)):
            return
        self._pulled = True
        try:
            while engine is not None and engine.news:
                for event in engine.events():
                    if type(event) is MessageArrived:
                        if engine is connection.engine:
                            self._message(event.data)
                    else:
                        connection.receive(engine, event)
            if connection.old:
                connection.receive_old()
        finally:
            self._pulled = False

    # Packets

    def _message(self, message: str | bytes) -> None:
        if self._connection.condemned is not None:
            return  # what came behind a packet that ended the connection is not delivered
        try:
            packet = self._decoder.feed(message)
        except RemoteProtocolError as error:
            self.drop("parse error", str(error))
            return
        if packet is None:
            self._received += len(message)
            return
        size = len(message)
        if self._received:  # by what came in front of its last attachment
            size += self._received
            self._received = 0
        socket = self.sockets.get(packet.namespace)
        if socket is None:
            return  # of a namespace that nobody asked for
        # The one hot road: an event.
        if packet.type is EVENT:
            socket.receive_event(packet, size)
        else:
            self._packet(socket, packet)

    def _packet(self, socket: ClientSocket, packet: Packet) -> None:
        kind = packet.type
        if kind is ACK:
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
