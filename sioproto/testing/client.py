"""The ``Client`` of a world: everything of ``sioproto.app.Client``, and what a test wants to know of it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from sioproto import app
from sioproto.config import ClientConfig, EngineClientConfig, configure
from sioproto.socketio.client_events import ClientConnected, ClientDisconnected, ConnectFailed, EventArrived
from sioproto.socketio.client_socket import ClientSocket as CoreSocket
from sioproto.testing.checking import check_options, names_of

if TYPE_CHECKING:
    from sioproto.errors import ConnectError
    from sioproto.pending import Pending
    from sioproto.socketio.client_events import ClientEvent, ClientReason
    from sioproto.socketio.client_socket import Auth
    from sioproto.socketio.socket_client import SocketClient
    from sioproto.testing.network import Network
    from sioproto.testing.runtime import Party
    from sioproto.testing.world import World

HOOKS = tuple(
    name
    for name, parameter in inspect.signature(app.Client.__init__).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY and name not in ("auth", "engine_config", "config", "timers")
)
"""The options that are not fields of a config class but belong to the application."""

OPTIONS = names_of(EngineClientConfig, ClientConfig) | {*HOOKS, "auth", "record", "connect"}
"""All options of a client but those of its wire."""

GRACE = 5.0


class ClientSocket(CoreSocket):
    """A namespace of a client, and what came for it."""

    __slots__ = ("connect_error", "disconnect_reason", "present", "received")

    def __init__(self, client: SocketClient, name: str, auth: Auth) -> None:
        super().__init__(client, name, auth)
        self.received: list[tuple[Any, ...]] = []
        """The events that came, as ``(event, *args)``, in order."""
        self.disconnect_reason: ClientReason | None = None
        """Why it was disconnected the last time; None while it is connected, and before it ever was."""
        self.connect_error: ConnectError | None = None
        """Why it could not connect the last time; None once it is connected."""
        self.present = False
        """Whether it was told to be connected last."""

    def take(self) -> list[tuple[Any, ...]]:
        """Returns the events that came since the last call, and forgets them."""
        received, self.received = self.received, []
        return received


class Client(app.Client):
    """A client in a world, made by ``World.client``.

    It goes straight to WebSocket, unless ``transports`` says ``("polling", "websocket")`` or ``("polling",)``. Options
    by name are those of ``EngineClientConfig``, ``ClientConfig`` and the hooks of ``sioproto.app.Client``, and
    those of the wire where the world has one. With ``record=False`` nothing is written to ``received``.
    """

    socket_class: ClassVar[type[CoreSocket]] = ClientSocket
    socket: ClientSocket

    def __init__(
        self, world: World, party: Party, network: Network, url: str, auth: Auth, record: bool, options: dict[str, Any]
    ) -> None:
        check_options(options, "clients", world.client_options, world.server_options, world.wire)
        # Stock clients begin with polling. In a test that would mean that for the first tenth of a second, while the
        # upgrade is under way, nothing that they emit arrives, however often the world is settled.
        options = {"transports": ("websocket",), **options}
        hooks = {name: options.pop(name) for name in HOOKS if name in options}
        engine_config, config, self.wire_config = configure(
            options, EngineClientConfig, ClientConfig, world.client_wire_config, others=(*HOOKS, "record")
        )
        super().__init__(
            party, url, auth=auth, engine_config=engine_config, config=config, timers=party.timers, **hooks
        )
        if not (hooks.get("loads") or hooks.get("dumps")):
            self._core.parser = world.share_decoding(self._core.parser, config.max_depth)
        self.network = network
        """What lies between it and its server."""
        self._world = world
        self._party = party
        self._record = record

    @property
    def name(self) -> str:
        """What the transcript calls it."""
        return self._party.name

    @property
    def socket_client(self) -> SocketClient:
        """The Socket.IO client below."""
        return self._core

    @property
    def received(self) -> list[tuple[Any, ...]]:
        """The events that came for the main socket, as ``(event, *args)``, in order."""
        return self.socket.received

    def take(self) -> list[tuple[Any, ...]]:
        """Returns the events that came for the main socket since the last call, and forgets them."""
        return self.socket.take()

    @property
    def disconnect_reason(self) -> ClientReason | None:
        """Why the main socket was disconnected the last time; None while it is connected, and before it ever was."""
        return self.socket.disconnect_reason

    @property
    def connect_error(self) -> ConnectError | None:
        """Why the main socket could not connect the last time; None once it is connected."""
        return self.socket.connect_error

    @property
    def failures(self) -> list[tuple[BaseException, str]]:
        """What handlers raised and no ``on_error`` took: the error, and where."""
        return self._party.failures

    def of(self, name: str, auth: Auth = None) -> ClientSocket:
        """Returns the socket of another namespace; see ``sioproto.app.Client.of``."""
        socket = super().of(name, auth)
        assert isinstance(socket, ClientSocket)
        return socket

    def sleep(self, seconds: float) -> Pending[None]:
        """Returns what is done after that many virtual seconds."""
        return self._world.sleep(seconds)

    def close(self, grace: float = GRACE) -> Pending[int]:
        """Disconnects all namespaces and ends within ``grace`` seconds; what was queued is delivered first.

        The result is how many messages were not sent; see ``sioproto.app.Client.stop``.
        """
        return self.stop(grace)

    def _handle(self, event: ClientEvent) -> None:
        if isinstance(event, EventArrived):
            socket = event.socket
            assert isinstance(socket, ClientSocket)
            if not socket.present:
                self._world.watch.breach(2, f"{self.name} got {event.args[0]!r} in {socket.name} and is not connected")
            if self._record:
                socket.received.append(tuple(event.args))
            if event.ack_id is not None and not socket.hears(str(event.args[0])):
                self._world.transcript.note(self.name, f"nobody handles {str(event.args[0])!r} in {socket.name}")
            if socket._wire is None and not socket._any and socket.lane is None:
                return  # nobody handles it; the long way would be most of what a broadcast costs
        elif isinstance(event, ClientConnected | ClientDisconnected | ConnectFailed):
            self._note(event)
        app.Client._handle(self, event)

    def _note(self, event: ClientConnected | ClientDisconnected | ConnectFailed) -> None:
        socket = event.socket
        assert isinstance(socket, ClientSocket)
        note = self._world.transcript.note
        if isinstance(event, ConnectFailed):
            socket.connect_error = event.error
            note(self.name, f"could not connect to {socket.name}: {event.error}")
            return
        connected = isinstance(event, ClientConnected)
        if socket.present is connected:
            self._world.watch.breach(3, f"{self.name} was told twice that {socket.name} is {connected and 'connected'}")
        socket.present = connected
        if isinstance(event, ClientConnected):
            socket.disconnect_reason = socket.connect_error = None
            note(self.name, f"connected to {socket.name} as {event.sid}")
        else:
            socket.disconnect_reason = event.reason
            note(self.name, f"disconnected from {socket.name}: {event.reason}")

    def __repr__(self) -> str:
        return f"<Client {self.name}, {'connected' if self.connected else 'not connected'}>"
