"""A world: servers and clients that meet on a virtual clock, with no socket, no event loop and no waiting.

    world = World(seed=7)
    io = world.server(register)
    alice = world.client("/chat", auth={"token": "s3"}, name="alice")
    world.settle()

Nothing happens by itself. ``settle`` lets everything happen that takes no time, ``advance`` lets time pass, from
deadline to deadline. The same seed gives the same world, byte for byte of its transcript.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto.testing.checking import check_namespace, check_register, check_world, names_of
from sioproto.testing.client import OPTIONS as CLIENT_OPTIONS
from sioproto.testing.client import Client
from sioproto.testing.failures import InvariantBroken, WorldFailure
from sioproto.testing.messages import MessageClient, MessageServer
from sioproto.testing.network import Network
from sioproto.testing.server import OPTIONS as SERVER_OPTIONS
from sioproto.testing.server import Server
from sioproto.testing.sharing import Memo, SharingParser, limits
from sioproto.testing.stepping import HOUR, Stepping
from sioproto.testing.wired import WireClient, WireServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from sioproto.socketio.client_socket import Auth
    from sioproto.socketio.parser import Parser
    from sioproto.testing.cores import ClientCore, ServerCore
    from sioproto.testing.network import Destination
    from sioproto.testing.runtime import Party
    from sioproto.testing.wired import Wire

ORIGIN = "http://world.test"
"""Where clients believe their server to be."""


class World(Stepping):
    """Servers, clients and what lies between them.

    Messages are handed over as they are, or as bytes through a ``wire`` on both ends: hand in ``sioproto_wire``.
    ``strict`` says that a handler that raises fails the test. ``shuffle`` draws the order of what happens at the same
    moment, which is first come, first served otherwise. ``invariants`` says whether they are watched over. ``budget``
    is how many steps may be made without any time passing, and ``transcript`` how many entries of it are kept.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        wire: Wire | None = None,
        strict: bool = True,
        shuffle: bool = False,
        invariants: bool = True,
        budget: int = 100_000,
        transcript: int = 10_000,
    ) -> None:
        flags: dict[str, object] = {"strict": strict, "shuffle": shuffle, "invariants": invariants}
        check_world(seed, wire, flags, budget, transcript)
        super().__init__(seed, strict, shuffle, invariants, budget, transcript)
        self.servers: list[Server] = []
        self.clients: list[Client] = []
        self.wire = wire
        self.wire_config: type[Any] = NoWire if wire is None else wire.WireConfig
        self.client_wire_config: type[Any] = NoWire if wire is None else wire.ClientWireConfig
        self.server_options = SERVER_OPTIONS | names_of(self.wire_config)
        self.client_options = CLIENT_OPTIONS | names_of(self.client_wire_config)
        self._destinations: dict[Any, Destination] = {}
        self._networks: list[Network] = []
        self._memos: dict[tuple[int, ...], Memo] = {}

    # Servers and clients

    def server(
        self, register: Callable[[Any], object] | None = None, *, name: str | None = None, **options: Any
    ) -> Server:
        """Makes a server with these options by name, and calls ``register(io)`` to put the application on it."""
        self._check_open()
        if register is not None:
            check_register(register)
        server = self.Server(name=name, **options)
        if register is not None:
            result = register(server)
            if hasattr(type(result), "__await__"):
                self.result(self.spawn(lambda: result))
        return server

    def Server(self, *, name: str | None = None, **options: Any) -> Server:
        """Makes a server, for applications that construct theirs themselves: hand them ``world.Server`` as class."""
        party = self.party(name or self._free_name("io"))
        server = Server(self, party, options)
        self.serve(server, party)
        self.servers.append(server)
        return server

    def client(
        self,
        namespace: str = "/",
        *,
        auth: Auth = None,
        name: str | None = None,
        server: object = None,
        connect: bool = True,
        record: bool = True,
        **options: Any,
    ) -> Client:
        """Makes a client of a namespace, which begins to connect unless ``connect`` is false.

        ``server`` is needed where there are several. A query behind the namespace belongs to the URL. With
        ``record=False`` it does not keep what it receives.
        """
        self._check_open()
        check_namespace(namespace)
        party = self.party(name or self._free_name("client"), passing=True)
        network = self._make_network(party, server)
        url = ORIGIN + (namespace if namespace.startswith("/") else f"/{namespace}")
        client = Client(self, party, network, url, auth, record, options)
        self._drive_client(party, client, network)
        self.watch.add_client(client.socket_client)
        self.clients.append(client)
        if connect:
            client.connect()
        return client

    # Any other core

    def serve(self, core: ServerCore, party: Party) -> None:
        """Drives a server of one's own: an ``EngineServer``, a ``SocketServer`` or a ``sioproto.app.Server``."""
        if self.wire is None:
            self._destinations[core] = MessageServer(party, core, self.watch)
        else:
            config = core.wire_config if isinstance(core, Server) else None
            wire = self.wire.ServerWire(core, config)
            self._destinations[core] = WireServer(party, core, self.watch, wire)
        self.watch.add_server(party, core)

    def connect(self, core: ClientCore, party: Party, server: object = None) -> Network:
        """Drives a client of one's own: an ``EngineClient``, a ``SocketClient`` or a ``sioproto.app.Client``."""
        network = self._make_network(party, server)
        self._drive_client(party, core, network)
        return network

    def share_decoding(self, parser: Parser, max_depth: int) -> Parser:
        """Returns a codec that takes the same and shares what it decodes with the other clients of this world."""
        memo = self._memos.setdefault((*limits(parser), max_depth), Memo())
        return SharingParser(parser, memo)

    # The end

    def close(self) -> None:
        """Ends everything: clients leave, servers stop, coroutines are closed. Nothing can be done with it afterwards.

        Raises ``InvariantBroken`` if something is left then, ``HandlerFailed`` for what a spawned function raised and
        nobody looked at, and ``WorldFailure`` for a request that was to be repeated or late and never came.
        """
        __tracebackhide__ = True
        if self._closing:
            return
        for pending, where in list(self._spawned.items()):
            if (error := pending.error) is not None:
                self._party.report(error, where)
        self._spawned.clear()
        self._run()
        self._closing = True
        try:
            self._end()
        finally:
            self._closed = True

    def _end(self) -> None:
        __tracebackhide__ = True
        unmet = [order for network in self._networks for order in network.unmet]
        for network in self._networks:
            network.restore()
        ends = [client.close() for client in self.clients] + [server.close() for server in self.servers]
        for pending in ends:
            self._wait(pending, HOUR)
        for network in self._networks:
            network.cut()
        self._run()
        for task in list(self._loop.tasks):
            task.close()
        for timer in self._sleeps:
            timer.cancel()
        self._sleeps.clear()
        self._look_for_leftovers()
        if unmet:
            raise self._explained(WorldFailure(f"what was ordered never happened: {', '.join(unmet)}"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        __tracebackhide__ = True
        # Behind a failure the end would only hide it.
        if error is None:
            self.close()
        else:
            self._explained(error)

    # Below this line: helpers

    def _free_name(self, kind: str) -> str:
        if kind == "io" and kind not in self._parties:
            return kind
        number = 1 + (kind == "io")
        while f"{kind}-{number}" in self._parties:
            number += 1
        return f"{kind}-{number}"

    def _make_network(self, party: Party, server: object) -> Network:
        number = len(self._networks) + 1
        address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        chance = self.chance.fork(f"network {party.name}")
        network = Network(party, address, self.find(server), self.find, self.transcript, self.watch, chance)
        self._networks.append(network)
        return network

    def find(self, server: object = None) -> Destination:
        """Returns what networks see of a server; of the only one, if none is named."""
        if isinstance(server, str):
            raise LocalProtocolError(f"a server is what world.server() returned, not a name such as {server!r}")
        if server is not None:
            found = next((each for core, each in self._destinations.items() if core is server), None)
            if found is None:
                raise LocalProtocolError(f"{server!r} is no server of this world")
            return found
        if len(self._destinations) != 1:
            many = "several servers: say which one, server=..."
            if not self._destinations:
                many = "no server: call world.server(register) first"
            raise LocalProtocolError(f"this world has {many}")
        return next(iter(self._destinations.values()))

    def _drive_client(self, party: Party, core: ClientCore, network: Network) -> None:
        if self.wire is None:
            MessageClient(party, core, network)
        else:
            config = core.wire_config if isinstance(core, Client) else None
            WireClient(party, core, network, self.wire.ClientWire(core, config))

    def _look_for_leftovers(self) -> None:
        left = [
            f"{len(server.engine.sessions)} sessions of {server.name}"
            for server in self.servers
            if server.engine.sessions
        ]
        left += [
            f"{len(network.connections)} connections of {network.name}"
            for network in self._networks
            if network.connections
        ]
        left += [repr(task) for task in self._loop.tasks]
        left += [f"{count} timers {label!r}" for label, count, _ in self._loop.timers.explain() if count]
        if left:
            raise self._explained(InvariantBroken(12, f"the world is closed and there are {', '.join(left)}"))

    def __repr__(self) -> str:
        return f"<World seed {self.seed} at {self.now:.3f}, {len(self.servers)} servers, {len(self._networks)} clients>"


@dataclass(frozen=True)
class NoWire:
    """The options of a wire where there is none."""
