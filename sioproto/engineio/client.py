"""A client's connection to an Engine.IO server: what a user may do with it, what it takes in, what it gives out.

What follows from an input is the business of ``client_life``. The three roads on which most packets travel end here:
messages of a WebSocket, packets of polling answers, and what is sent.

Every ``receive_*`` takes what happened and never raises for what the server did. After it, and after any command, three
things are to be pulled: ``events()``, ``take_dirty()`` and ``next_deadline()``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sioproto.engineio.client_carriers import Carriers
from sioproto.engineio.client_events import EngineClientEvent, MessageArrived
from sioproto.engineio.client_life import LINK_ERROR, ClientLife
from sioproto.engineio.client_opening import ClientOpening, read_refusal
from sioproto.engineio.client_outbox import ClientOutbox
from sioproto.engineio.client_polling import GET_ERROR, POST_ERROR, ClientPolling
from sioproto.engineio.client_requests import Requests
from sioproto.engineio.client_states import ClientInput, ClientState
from sioproto.engineio.client_watch import Watch
from sioproto.engineio.cookies import make_jar
from sioproto.engineio.events import ObserverFailed
from sioproto.engineio.link import Link
from sioproto.engineio.observing import CLIENT_EVENTS, PACKET_NAMES, Observed
from sioproto.engineio.packet import PacketType, message_frame
from sioproto.engineio.payload import decode_packet
from sioproto.engineio.transport import Transport
from sioproto.errors import LocalProtocolError, RemoteProtocolError
from sioproto.frame import Frame
from sioproto.guard import ANYWHERE
from sioproto.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.config import EngineClientConfig, TransportName
    from sioproto.engineio.client_probe import ClientProbe
    from sioproto.engineio.cookies import CookieJar
    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.origin import Origin
    from sioproto.engineio.request import Response
    from sioproto.environment import Environment
    from sioproto.guard import Guard

PONG = (Frame(PacketType.PONG),)

OPENING = (ClientState.OPENING_POLLING, ClientState.OPENING_WEBSOCKET)
POSTS = (ClientState.POLLING, ClientState.DIALING, ClientState.PROBING, ClientState.CLOSING_POLLING)
"""Where a POST may be sent."""

ClientReadyState = Literal["opening", "open", "closing", "closed"]


class EngineClient(Observed):
    """One connection to a server, across its transports, from ``begin()`` to its ``EngineClosed``; never used again.

    The server is at ``url``. ``wake(urgent)`` is called, from within whatever call caused it, when output is there to
    be taken; a driver that takes after each call anyway needs none. Commands enter ``guard``. ``jar`` keeps cookies
    over several connections, if ``config`` wants them kept; ``transports`` are tried instead of those of ``config``.
    Raises ``LocalProtocolError`` for a path, a query, header fields or subprotocols that could not be sent.
    """

    __slots__ = (
        "_begun", "_jar", "carriers", "client", "config", "dialed",
        "environment", "guard", "id", "life", "link", "news", "open", "opened", "opening", "origin", "outbox", "paused",
        "ping_interval", "ping_timeout", "polling", "probe", "refusal", "requests", "server_max_payload", "timers",
        "upgraded", "watch",
    )  # fmt: skip
    protocol = 4
    """The revision of Engine.IO that is spoken."""
    observable = CLIENT_EVENTS

    def __init__(
        self,
        url: Origin,
        config: EngineClientConfig,
        environment: Environment,
        *,
        timers: Timers | None = None,
        wake: Callable[[bool], None] | None = None,
        guard: Guard = ANYWHERE,
        jar: CookieJar | None = None,
        transports: tuple[TransportName, ...] | None = None,
    ) -> None:
        super().__init__()
        self.origin = url
        """The server."""
        self.config = config
        self.environment = environment
        self.timers = Timers(environment.clock) if timers is None else timers
        self.id = ""
        """The session id: a secret between the two sides; empty until the server has opened the session."""
        self.ping_interval = self.ping_timeout = 0.0
        self.server_max_payload: int | None = None
        """The largest POST body that the server takes, in bytes; None where it does not say."""
        self.refusal: dict[str, Any] | None = None
        """What the server said when it refused a request: ``{"code": ..., "message": ...}``."""
        self.open = False
        self.opened = False
        """Whether it ever got open."""
        self.upgraded = False
        self.paused = False
        if jar is None or not config.cookie_jar:
            jar = make_jar(config, environment)
        self._jar = jar
        self.requests = Requests(url, config, environment, jar)
        self.polling = ClientPolling(self)
        self.dialed: Fetch | None = None
        """The request for a WebSocket, until it has an answer."""
        self.link: Link | None = None
        self.probe: ClientProbe | None = None
        """The upgrade that is under way, if there is one."""
        self.opening = ClientOpening(self, config.transports if transports is None else transports)
        self.outbox = ClientOutbox(self)
        self.carriers = Carriers(wake)
        self.watch = Watch(self)
        self.life = ClientLife(self, self.opening.state)
        self.client: Any = None
        """A slot for the floor above."""
        self._begun = False
        self.guard = guard
        self.news: list[EngineClientEvent] = []
        """What ``events()`` is going to return: for the floor above, which looks whether it is worth a call."""

    # What a user may look at

    @property
    def state(self) -> ClientState:
        """Where it stands in the table."""
        return self.life.state

    @property
    def engine_config(self) -> EngineClientConfig:
        """The same as ``config``; every floor has it under this name."""
        return self.config

    @property
    def transport_name(self) -> TransportName:
        """The transport that carries the connection, or is to open it. ``"polling"`` until an upgrade is complete."""
        return "polling" if self.link is None and self.state is not ClientState.OPENING_WEBSOCKET else "websocket"

    @property
    def transport(self) -> Transport:
        """The transport that carries the connection now: ``transport.name``."""
        return Transport(self)

    @property
    def ready_state(self) -> ClientReadyState:
        """``"opening"``, ``"open"``, ``"closing"`` while the last packets are handed over, or ``"closed"``."""
        if self.state in OPENING:
            return "opening"
        if self.open:
            return "open"
        return "closed" if self.state is ClientState.CLOSED else "closing"

    @property
    def upgrading(self) -> bool:
        """Whether a WebSocket is asked for or being probed."""
        return self.probe is not None

    @property
    def writable(self) -> bool:
        """Whether the transport would take a packet at once: no POST is in hand, or the WebSocket is not blocked."""
        return self.open and not self.busy

    @property
    def busy(self) -> bool:
        """Whether nothing may be handed to the transport now."""
        link = self.link
        return (self.polling.post is not None or self.state not in POSTS) if link is None else link.blocked

    @property
    def queued(self) -> int:
        """Bytes that wait for the transport."""
        return self.outbox.queued

    @property
    def unsent(self) -> int:
        """Messages that wait for the transport; after the end, those that were not sent. An event is one, each binary
        attachment one more, a pong none. What a WebSocket was handed counts as sent, though it may be lost with a
        connection; what is posted does as soon as the server has answered that it took it.
        """
        return self.outbox.unsent

    @property
    def expired(self) -> bool:
        """Whether the server's ping is overdue by the clock, even if no time-out was handled since: we slept."""
        return self.watch.expired

    # Commands

    def begin(self) -> None:
        """Asks for a session. Raises ``LocalProtocolError`` when it did before."""
        with self.guard:
            if self._begun or self.life.ended:
                raise LocalProtocolError("this connection was begun already: make a new EngineClient for each one")
            self._begun = True
            self.opening.ask()

    def send(self, data: str | bytes, compress: bool = True) -> bool:
        """Sends one message. Returns False, and sends nothing, unless the connection is open.

        Raises ``LocalProtocolError`` for what is no message: neither text nor bytes, or text with a lone surrogate.
        """
        frame = message_frame(data, compress)
        with self.guard:
            return self.write((frame,))

    def write(self, frames: Sequence[Frame]) -> bool:
        """Queues encoded packets, next to each other and in order. Returns False unless the connection is open.

        One whose server is overdue with its ping, because this machine slept, is ended instead, with ``"ping
        timeout"``: what is sent into it would be lost.
        """
        if not self.open:
            return False
        if self.environment.clock() > self.watch.deadline:
            self.life.step(ClientInput.PING_OVERDUE)
            return False
        if self._observers is not None:
            self._notify_created(frames)
        self.outbox.add(frames)
        return True

    def close(self, discard: bool = False) -> None:
        """Ends the connection with ``"forced close"``.

        What was queued is handed over first, after a running upgrade if its server has agreed already, and a polling
        server is told. Whenever it takes nothing for ``close_timeout`` seconds that is all. Meanwhile nothing more is
        sent or received. ``discard`` ends it at once, as does closing one that is not open yet. ``unsent`` tells what
        was not delivered.
        """
        with self.guard:
            self.life.step(ClientInput.DISCARD if discard else ClientInput.CLOSE)

    def lose_network(self) -> None:
        """Ends the connection at once, for a program that knows of the loss before a time-out tells it."""
        with self.guard:
            self.life.step(ClientInput.NETWORK_LOST)

    def when_drained(self, call: Callable[[], object]) -> None:
        """Calls ``call()`` once the transport took what was queued, or at the end; at once if nothing waits."""
        with self.guard:
            if self.open and self.outbox.queued:
                self.outbox.when_drained(call)
            else:
                call()

    def pause(self) -> None:
        """Stops reading from the server; no ping can be overdue meanwhile, because it is we who do not listen."""
        with self.guard:
            if not self.paused and self.open:
                self.paused = True
                self.read(False)
                self.watch.stop()

    def resume(self) -> None:
        """Reads again."""
        with self.guard:
            if not self.paused:
                return
            self.paused = False
            if self.open:
                self.read(True)
                self.watch.start()
                self.polling.resume()

    # Inputs

    def receive_response(self, fetch: Fetch, response: Response) -> None:
        """Takes the answer to a request, body included. After status 101 the fetch has its ``link`` if it is wanted."""
        if self._jar is not None:
            self._jar.receive(response.headers)
        if response.status != (101 if fetch.request.upgrade else 200):
            if not fetch.dropped:
                self.refusal = read_refusal(response.body)
            self._fail(fetch, f" {response.status}")
        elif fetch is self.dialed:
            self.dialed = None
            fetch.link = Link(self, fetch.owner)
            self.life.step(ClientInput.DIALED, fetch.link)
        elif fetch is self.polling.get:
            self.polling.finish(fetch)
            self.life.step(ClientInput.ANSWER, response.body)
        elif fetch is self.polling.post:
            self.polling.finish(fetch)
            self.polling.posted = 0
            self.life.step(ClientInput.POSTED)

    def receive_failure(self, fetch: Fetch, error: str) -> None:
        """Says that a request gets no answer, and in ``error`` why."""
        self._fail(fetch, f": {error}")

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket, in order. Those of a link that is already closed are ignored."""
        if link is not self.link:
            if self.probe is not None:
                self.probe.receive(link, messages)
            return
        for message in messages:
            # The one hot road: a message packet on an open connection.
            if self.open and isinstance(message, str) and message[:1] == "4":
                if self._observers is not None:
                    self.notify("packet", "message", message[1:])
                    if not self.open:  # an observer ended it in place
                        return
                self.news.append(MessageArrived(self, message[1:]))
            else:
                self.receive_packet(message)
                if link is not self.link:  # that packet ended the connection, or this transport
                    return

    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None:
        """Says that a WebSocket is over: closed by the server, or failed with ``error``. Expected once for a link."""
        link.session = None
        text = "websocket connection closed" if error is None else f"{LINK_ERROR}: {error}"
        if link is self.link:
            self.life.step(ClientInput.LINK_CLOSED if error is None else ClientInput.LINK_FAILED, text)
        elif self.probe is not None and link is self.probe.link:
            self.life.step(ClientInput.CANDIDATE_LOST, text)

    def receive_blocked(self, link: Link) -> None:
        """Says that the WebSocket's transport takes no more for now."""
        link.blocked = True

    def receive_unblocked(self, link: Link) -> None:
        """Says that it takes data again."""
        link.blocked = False
        if link is self.link and (self.outbox.frames or not self.open):
            self.outbox.mark()

    def receive_packet(self, packet: str | bytes) -> None:
        """Takes one packet from the transport that carries the connection. A closing one ignores it."""
        if isinstance(packet, bytes):
            if self.open:
                self.notify("packet", "message", packet)
                if self.open:  # no observer ended it in place
                    self.news.append(MessageArrived(self, packet))
            elif not self.opened:
                self.life.step(ClientInput.GARBAGE, "no handshake")
            return
        kind, data = packet[:1], packet[1:]
        if kind not in PACKET_NAMES:
            try:
                self.receive_packet(decode_packet(packet))
            except RemoteProtocolError as error:
                self.life.step(ClientInput.GARBAGE, str(error))
            return
        if self._observers is not None and (self.open or not self.opened):
            self.notify("packet", PACKET_NAMES[kind], data)
        if kind == PacketType.CLOSE:
            self.life.step(ClientInput.GOODBYE, "closed by the server")
        elif not self.opened:
            self.opening.receive(kind, data)
        elif self.open:
            if kind == PacketType.MESSAGE:
                self.news.append(MessageArrived(self, data))
            elif kind == PacketType.PING:
                self.watch.start()
                self.write(PONG)
                self.notify("heartbeat")

    # Outputs

    def events(self) -> list[EngineClientEvent]:
        """Returns what happened since the last call, in order, and forgets it."""
        events = self.news
        if events:
            self.news = []
        return events

    def take_dirty(self) -> list[Fetch | Link]:
        """Returns the carriers with output, each once: requests to send or to drop, and links as on a server."""
        if self.outbox.dirty:
            self.carriers.hush()
            self.outbox.flush()
        carriers = self.carriers.take()
        if self.outbox.dirty:  # somebody who waited for a drain sent more
            self.carriers.rouse()
        return carriers

    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called, on the environment's clock; None for never."""
        return self.environment.clock() if self.polling.unfinished else self.timers.next_deadline()

    def handle_timeout(self) -> None:
        """Does what is due now. Calling it too early does nothing."""
        if self.polling.unfinished:
            self.polling.decode_some()
        self.timers.fire(self.environment.clock())

    # For its parts

    def dial(self) -> None:
        """Asks for a WebSocket."""
        self.dialed = self.requests.dial(self)
        self.carriers.put(self.dialed)

    def hang_up(self) -> None:
        """Asks no more."""
        if self.dialed is not None:
            self.carriers.drop(self.dialed)
            self.dialed = None

    def read(self, reading: bool) -> None:
        """Reads from the WebSocket, or stops."""
        if self.link is not None:
            self.link.reading = reading
            self.carriers.carry(self.link)

    def tell(self, event: EngineClientEvent) -> None:
        """Leaves an event for the floor above."""
        self.news.append(event)

    def report(self, error: Exception, where: str) -> None:
        """Takes what an observer raised."""
        self.news.append(ObserverFailed(error, where))

    # Below this line: helpers

    def _fail(self, fetch: Fetch, text: str) -> None:
        """A request came to nothing; one that was dropped is nobody's any more."""
        if fetch is self.dialed:
            self.dialed = None
            self.life.step(ClientInput.DIAL_FAILED, LINK_ERROR + text)
        elif fetch is self.polling.get:
            self.polling.finish(fetch)
            self.life.step(ClientInput.GET_FAILED, GET_ERROR + text)
        elif fetch is self.polling.post:
            self.polling.finish(fetch)
            self.life.step(ClientInput.POST_FAILED, POST_ERROR + text)
