"""The connection of a client: opened when a socket wants it, opened again when it is lost, closed when nobody is left.

The rule not to be broken: one connection is current at any one time. One that was left behind only hands over its last
packets, and what it still hears is for nobody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.engineio.client import EngineClient
from sioproto.engineio.client_events import EngineClosed, EngineOpened
from sioproto.engineio.client_requests import Requests
from sioproto.engineio.cookies import make_jar
from sioproto.engineio.events import ObserverFailed
from sioproto.errors import ConnectError
from sioproto.handlers import Observers
from sioproto.socketio.backoff import Backoff
from sioproto.socketio.client_events import ConnectFailed, Reconnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.config import TransportName
    from sioproto.engineio.client_events import EngineClientEvent
    from sioproto.engineio.events import CloseReason
    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.link import Link
    from sioproto.socketio.client_events import ReconnectionStage
    from sioproto.socketio.socket_client import SocketClient
    from sioproto.timers import Timer

OWN_EVENTS = ("open", "close", "error")
ENGINE_EVENTS = {
    "ping": "heartbeat",
    "packet": "packet",
    "packet_create": "packet_create",
    "upgrade": "upgrade",
    "upgrade_error": "upgrade_error",
    "drain": "drain",
}
"""What the connection below lets observe, and how it calls that."""


class Reconnecting:
    """The connection of one ``SocketClient``."""

    def __init__(self, client: SocketClient, wake: Callable[[bool], None] | None) -> None:
        environment, engine_config = client.environment, client.engine_config
        self._client = client
        self._wake = wake
        # What could not be sent is refused now: at the time of an attempt there may be nobody who would hear of it.
        Requests(client.origin, engine_config, environment, None)
        self._jar = make_jar(engine_config, environment)
        self._backoff = Backoff(client.config, environment.jitter)
        self._observers = Observers((*OWN_EVENTS, *ENGINE_EVENTS), client.report, client.guard)
        self._observed: dict[str, None] = {}
        self._timer: Timer | None = None
        """Until the next attempt, or until one took too long."""
        self._pause_timer: Timer | None = None
        self._remembered = False
        self._opened_at = 0.0
        self.condemned: tuple[CloseReason, str] | None = None
        """Why the current connection was dropped, if that was because of what the server did."""
        self.engine: EngineClient | None = None
        """The current connection."""
        self.old: list[EngineClient] = []
        """Those that were left and still hand over their last packets."""
        self._last: list[Fetch | Link] = []
        """What those that have ended still had to say: a last packet, requests to drop, a WebSocket to close."""

    @property
    def attempts(self) -> int:
        """How many attempts to come back were made, or are waited for, since the connection was lost."""
        return self._backoff.attempts

    @property
    def closed(self) -> bool:
        """Whether there is no connection, and none is being opened, closed or waited for."""
        return self.engine is None and not self.old and not self._last and self._timer is None

    def observe(self, event: str, call: Callable[..., Any] | None) -> Any:
        """Observes the connection, whichever is current; see ``SocketClient.on``."""
        if event in ENGINE_EVENTS and event not in self._observed:
            self._observed[event] = None
            if self.engine is not None:
                self._follow(self.engine, event)
        return self._observers.add(event, call)

    # Commands

    def open(self) -> None:
        """Opens a connection, unless an attempt is waited for."""
        if self._timer is not None:
            return
        client = self._client
        self.condemned = None
        client.begin_decoding()
        transports: tuple[TransportName, ...] | None = None
        if client.engine_config.remember_upgrade and self._remembered:
            others = tuple(name for name in client.engine_config.transports if name != "websocket")
            transports = ("websocket", *others)
        engine = self.engine = EngineClient(
            client.origin,
            client.engine_config,
            client.environment,
            timers=client.timers,
            wake=self._wake,
            guard=client.guard,
            jar=self._jar,
            transports=transports,
        )
        for event in self._observed:
            self._follow(engine, event)
        if client.config.open_timeout is not None:
            self._timer = client.timers.after(client.config.open_timeout, self._open_overdue)
        engine.begin()

    def leave(self) -> None:
        """Closes the connection, whose last packets are still delivered, and does not come back."""
        self._stop_timers()
        self._backoff.reset()
        engine, self.engine = self.engine, None
        if engine is not None:
            self._remembered = self._remembered or engine.upgraded
            self._observers.notify("close", "forced close", None)
            self.old.append(engine)
            engine.close(discard=not engine.open)

    def drop(self, reason: CloseReason, description: str) -> None:
        """Ends the connection at once, because of what the server did; it is tried again."""
        if self.engine is not None:
            self.condemned = (reason, description)
            self.engine.close(discard=True)

    def pause(self) -> None:
        """Stops reading, for as long as the server waits for a sign of life; then the connection is given up.

        Otherwise a handler that waits for an answer behind what is not read would wait for ever.
        """
        engine = self.engine
        if engine is not None and engine.open and not engine.paused:
            engine.pause()
            patience = engine.ping_interval + engine.ping_timeout
            self._pause_timer = self._client.timers.after(patience, self._pause_overdue)

    def resume(self) -> None:
        """Reads again."""
        if self.engine is not None:
            if self._pause_timer is not None:
                self._pause_timer.cancel()
                self._pause_timer = None
            self.engine.resume()

    def cut_off(self) -> None:
        """Ends those at once that were left."""
        for engine in list(self.old):
            engine.close(discard=True)

    # What connections tell

    def take_dirty(self) -> list[Fetch | Link]:
        """Returns what is to be sent, or to be let go, of all connections."""
        carriers, self._last = self._last, []
        if self.engine is not None:
            carriers += self.engine.take_dirty()
        for engine in self.old:
            carriers += engine.take_dirty()
        return carriers

    def receive(self, engine: EngineClient, event: EngineClientEvent) -> None:
        """Takes what a connection tells, messages excepted."""
        if isinstance(event, ObserverFailed):
            self._client.tell(event)
            return
        if isinstance(event, EngineClosed):
            self._client.unsent += event.unsent
            self._last += engine.take_dirty()
        if engine is not self.engine:
            if isinstance(event, EngineClosed):
                self.old.remove(engine)
        elif isinstance(event, EngineOpened):
            self._opened(engine)
        elif isinstance(event, EngineClosed):
            self._closed(engine, event)

    def receive_old(self) -> None:
        """Takes what those tell that were left."""
        for engine in list(self.old):
            for event in engine.events():
                self.receive(engine, event)

    def _opened(self, engine: EngineClient) -> None:
        self._stop_timers()
        attempts = self._backoff.attempts
        self._opened_at = self._client.environment.clock()
        if not self._client.crowded:  # else it is going to be given up at the first event
            self._backoff.count_anew()
        self._remembered = engine.transport_name == "websocket"
        self._observers.notify("open")
        if engine is not self.engine:
            return  # whoever was told has left in place, and may be coming back over another one
        if attempts:
            self._tell_all("reconnect", attempts)
        for socket in list(self._client.sockets.values()):
            socket.ask_auth()

    def _closed(self, engine: EngineClient, event: EngineClosed) -> None:
        client = self._client
        self._stop_timers()
        reason, description = event.reason, event.description
        if self.condemned is not None:
            (reason, description), self.condemned = self.condemned, None
        # An upgrade that held is remembered; any failure is a reason to begin with polling again.
        self._remembered = event.opened and reason != "transport error" and (engine.upgraded or self._remembered)
        self.engine = None
        if event.opened:
            lasted = client.environment.clock() - self._opened_at
            if not self._backoff.attempts and lasted >= client.config.reconnection_reset_after:
                self._backoff.reset()
            self._observers.notify("close", reason, description)
            for socket in list(client.sockets.values()):
                socket.receive_lost(reason, description)
            self._reconnect(ConnectError(reason))
            return
        error = ConnectError(description or reason)
        self._observers.notify("error", error)
        for socket in list(client.sockets.values()):
            if socket.active:
                client.tell(ConnectFailed(socket, error))
        if self._backoff.attempts:
            self._tell_all("reconnect_error", error)
        self._reconnect(error)

    # Coming back

    def _reconnect(self, error: ConnectError) -> None:
        """Waits for the next attempt, unless there is to be none."""
        client = self._client
        config = client.config
        if self.engine is not None or not any(socket.active for socket in client.sockets.values()):
            return  # whoever was told of the end has opened a new connection in place, or wants none
        limit = config.reconnection_attempts
        if config.reconnection and (limit is None or self._backoff.attempts < limit):
            self._timer = client.timers.after(self._backoff.next_delay(), self._attempt)
            return
        if config.reconnection:
            self._tell_all("reconnect_failed")
        self._backoff.reset()
        # Listed first, because whoever is told may connect others in place.
        for socket in [each for each in client.sockets.values() if each.active]:
            socket.give_up(error)

    def _attempt(self) -> None:
        self._timer = None
        self._tell_all("reconnect_attempt", self._backoff.attempts)
        self.open()

    def _pause_overdue(self) -> None:
        self._pause_timer = None
        self.drop("ping timeout", "handlers lag")

    def _open_overdue(self) -> None:
        self._timer = None
        self.drop("transport error", "timeout")

    def _tell_all(self, stage: ReconnectionStage, *args: Any) -> None:
        for socket in self._client.sockets.values():
            if socket.active:
                self._client.tell(Reconnection(socket, stage, args))

    # Below this line: helpers

    def _follow(self, engine: EngineClient, event: str) -> None:
        notify = self._observers.notify
        engine.on(ENGINE_EVENTS[event], lambda *args: notify(event, *args))

    def _stop_timers(self) -> None:
        for timer in (self._timer, self._pause_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._pause_timer = None
