"""The ``Server`` of a world: everything of ``sioproto.app.Server``, listening nowhere and reachable by its clients."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sioproto import app
from sioproto.config import EngineConfig, SocketConfig, configure
from sioproto.errors import OptionError
from sioproto.socketio.events import EventReceived, SocketConnected, SocketDisconnected
from sioproto.testing.checking import check_options, is_number, names_of

if TYPE_CHECKING:
    from sioproto.pending import Pending
    from sioproto.socketio.events import SocketEvent
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket
    from sioproto.testing.runtime import Party
    from sioproto.testing.world import World

HOOKS = tuple(
    name
    for name, parameter in inspect.signature(app.Server.__init__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("engine_config", "config", "timers")
)
"""The options that are not fields of a config class but belong to the application."""

OPTIONS = names_of(EngineConfig, SocketConfig) | {*HOOKS, "grace"}
"""All options of a server but those of its wire."""

GRACE = 5.0


class Server(app.Server):
    """A server in a world, made by ``World.server`` or ``World.Server``.

    Options by name are those of ``EngineConfig``, ``SocketConfig`` and the hooks of ``sioproto.app.Server``, and those
    of the wire where the world has one; an unknown one raises ``OptionError`` with the nearest known name. What a
    handler raises and no ``on_error`` takes stands in ``failures``, and fails the test at the end of the step.
    """

    def __init__(self, world: World, party: Party, options: dict[str, Any]) -> None:
        check_options(options, "servers", world.server_options, world.client_options, world.wire)
        options = dict(options)
        grace = options.pop("grace", GRACE)
        if not is_number(grace) or not grace >= 0:
            raise OptionError(f"grace must be at least 0 seconds, not {grace!r}")
        hooks = {name: options.pop(name) for name in HOOKS if name in options}
        engine_config, config, self.wire_config = configure(
            options, EngineConfig, SocketConfig, world.wire_config, others=(*HOOKS, "grace")
        )
        super().__init__(party, engine_config=engine_config, config=config, timers=party.timers, **hooks)
        self._world = world
        self._party = party
        self._grace = grace
        self._present: dict[Socket, bool] = {}

    @property
    def name(self) -> str:
        """What the transcript calls it."""
        return self._party.name

    @property
    def failures(self) -> list[tuple[BaseException, str]]:
        """What handlers, middlewares and hooks raised and no ``on_error`` took: the error, and where."""
        return self._party.failures

    @property
    def socket_server(self) -> SocketServer:
        """The Socket.IO server below."""
        return self._core

    def sleep(self, seconds: float) -> Pending[None]:
        """Returns what is done after that many virtual seconds."""
        return self._world.sleep(seconds)

    def close(self, grace: float | None = None) -> Pending[int]:
        """Stops: no new sessions, handlers finish, queues are drained, clients are told, within ``grace`` seconds.

        The result is how many messages were not sent; see ``sioproto.app.Server.stop``. New connections are refused
        from now on. Clients that lose theirs find nobody until they are led elsewhere with
        ``client.network.lead``.
        """
        destination = self._world.find(self)
        destination.listening = False
        stopped = self.stop(self._grace if grace is None else grace)
        stopped.on_done(lambda _: destination.shutdown())
        return stopped

    def _handle(self, event: SocketEvent) -> None:
        if isinstance(event, EventReceived):
            if event.socket not in self._present:
                self._world.watch.breach(2, f"an event for {event.socket!r}, which is not connected")
            self._look_for_handler(event)
        elif isinstance(event, SocketConnected):
            if event.socket in self._present:
                self._world.watch.breach(3, f"{event.socket!r} connected a second time")
            self._present[event.socket] = True
        elif isinstance(event, SocketDisconnected) and not self._present.pop(event.socket, False):
            self._world.watch.breach(3, f"{event.socket!r} disconnected and was not connected")
        app.Server._handle(self, event)

    def _look_for_handler(self, event: EventReceived) -> None:
        """Notes an event that nobody handles: most of the time its name is misspelt on one of both sides."""
        socket, name = event.socket, str(event.args[0])
        if hears(socket, name):
            return

        def look_again(_: object) -> None:
            if not hears(socket, name):
                self._world.transcript.note(self.name, f"nobody handles {name!r} in {socket.namespace.name}")

        # What is registered by a handler that is under way counts as well.
        if socket.lane is None:
            look_again(None)
        else:
            self._dispatcher.when_idle(socket.lane).on_done(look_again)

    def __repr__(self) -> str:
        return f"<Server {self.name}, {self.engine.clients_count} sessions>"


def hears(socket: Socket, name: str) -> bool:
    """Returns whether an event of a client reaches a handler or a catch-all."""
    return socket.namespace.hears(name) or socket.hears(name)
