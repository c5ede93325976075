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
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto.errors import LocalProtocolError
from sioproto.pending import Pending
from sioproto.testing.chance import Chance
from sioproto.testing.client import Client
from sioproto.testing.failures import HandlerFailed, InvariantBroken, NeverDone, NeverQuiet, WorldFailure
from sioproto.testing.messages import MessageClient, MessageServer
from sioproto.testing.network import Network
from sioproto.testing.pipe import SAME
from sioproto.testing.runtime import Loop, Party, Task
from sioproto.testing.server import Server
from sioproto.testing.sharing import Memo, SharingParser, limits
from sioproto.testing.transcript import Transcript
from sioproto.testing.watch import Watch
from sioproto.testing.wired import WireClient, WireServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from sioproto.socketio.client_socket import Auth
    from sioproto.socketio.parser import Parser
    from sioproto.testing.clock import Clock
    from sioproto.testing.cores import ClientCore, ServerCore
    from sioproto.testing.network import Destination
    from sioproto.testing.wired import Wire
    from sioproto.timers import Timer

T = TypeVar("T")

HOUR = 3600.0
ORIGIN = "http://world.test"
"""Where clients believe their server to be."""


class World:
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
        self.seed = seed
        self.strict = strict
        self.chance = Chance(seed)
        """For a test that wants something drawn as well."""
        self._loop = Loop(budget, self.chance.fork("order") if shuffle else None)
        self.transcript = Transcript(self._loop.clock, transcript)
        """What happened, to be read: ``str()`` is all that is kept, ``tail(20)`` the last lines."""
        self.watch = Watch(self._loop, invariants)
        self.servers: list[Server] = []
        self.clients: list[Client] = []
        self.wire = wire
        self.wire_config: type[Any] = NoWire if wire is None else wire.WireConfig
        self.client_wire_config: type[Any] = NoWire if wire is None else wire.ClientWireConfig
        self._ids = self.chance.fork("ids")
        self._parties: dict[str, Party] = {}
        self._destinations: dict[Any, Destination] = {}
        self._networks: list[Network] = []
        self._sleeps: dict[Timer, None] = {}
        self._party = self.party("world")
        self._memos: dict[tuple[int, ...], Memo] = {}
        self._closed = False

    # Time

    @property
    def clock(self) -> Clock:
        """The clock, which begins at 0. ``clock.now`` is the time."""
        return self._loop.clock

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self._loop.clock.now

    def settle(self) -> None:
        """Lets everything happen that happens without time going by.

        Raises ``HandlerFailed`` for what a handler raised, ``InvariantBroken``, and ``NeverQuiet`` for a livelock.
        """
        self._run()

    def advance(self, seconds: float) -> None:
        """Lets virtual seconds pass, from deadline to deadline. Raises what ``settle`` raises."""
        if not seconds >= 0:
            raise LocalProtocolError(f"time passes forwards, not {seconds!r} seconds")
        self._run()
        self._pass_until(self._loop.clock.now + seconds)

    def jump(self, seconds: float) -> None:
        """Lets the clocks jump without anybody having been woken in between, as when a laptop sleeps.

        Whatever became due meanwhile is noticed now, that late.
        """
        self._run()
        self.transcript.note("world", f"the clocks jump {seconds:g} seconds")
        self._loop.clock.now += seconds
        self._run()

    def result(self, pending: Pending[T], within: float = HOUR) -> T:
        """Lets time pass until ``pending`` is done, and returns its result, or raises its error.

        Raises ``NeverDone`` when that takes more than ``within`` virtual seconds, or when nothing is left to happen.
        """
        self._wait(pending, within)
        if not pending.done:
            raise self._explained(NeverDone(f"not done within {within:g} seconds"))
        return pending.result()

    def sleep(self, seconds: float) -> Pending[None]:
        """Returns what is done after that many virtual seconds; for handlers and tests alike."""
        pending: Pending[None] = Pending(self._party)

        def wake() -> None:
            self._sleeps.pop(timer, None)
            pending.resolve(None)

        timer = self._loop.timers.after(max(0.0, seconds), wake)
        self._sleeps[timer] = None
        return pending

    def spawn(self, function: Callable[..., Any], *args: Any) -> Pending[Any]:
        """Runs ``function(*args)``, ``def`` or ``async def``, beside everything else; the result is what it returns.

        What it raises belongs to whoever waits for the result, and fails the test where nobody does.
        """
        pending: Pending[Any] = Pending(self._party)

        async def run() -> None:
            try:
                result = function(*args)
                pending.resolve(await result if hasattr(type(result), "__await__") else result)
            except Exception as error:  # a user's code: it stops nobody else
                if not pending._callbacks:  # nobody waits
                    self._party.report(error, f"spawned {getattr(function, '__qualname__', 'function')}")
                pending.reject(error)

        Task(self._loop, run())
        return pending

    # Servers and clients

    def server(
        self, register: Callable[[Any], object] | None = None, *, name: str | None = None, **options: Any
    ) -> Server:
        """Makes a server with these options by name, and calls ``register(io)`` to put the application on it."""
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

    def party(self, name: str, *, passing: bool = False) -> Party:
        """Returns the runtime for a core of one's own: its ``environment``, ``timers`` and ``wake``.

        Give it a turn with ``serve`` or ``connect``. Clients are ``passing``, so that nothing is left of them.
        """
        if name in self._parties:
            raise LocalProtocolError(f"there is a party {name!r} already")
        chance = self.chance.fork(f"party {name}")
        party = Party(self._loop, name, self._ids, chance, self._block, passing=passing)
        self._parties[name] = party
        return party

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
        """Ends everything: clients leave, servers stop, coroutines are closed. Raises ``InvariantBroken`` if something
        is left then.
        """
        if self._closed:
            return
        self._run()
        self._closed = True
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # Behind a failure the end would only hide it.
        if kind is None:
            self.close()

    # Below this line: helpers

    def _run(self) -> None:
        loop = self._loop
        if loop.running:
            raise LocalProtocolError("a handler cannot let time pass: it may await, or be called later")
        try:
            loop.run()
            self.watch.look_when_due()
        except WorldFailure as failure:
            raise self._explained(failure) from failure.__cause__
        if loop.failed:
            failed, loop.failed = loop.failed, []
            if self.strict:
                lines = [f"{party.name}, {where}: {type(error).__name__}: {error}" for party, error, where in failed]
                raise self._explained(HandlerFailed("\n".join(lines))) from failed[0][1]

    def _pass_until(self, end: float) -> None:
        loop = self._loop
        instants = loop.budget
        while (deadline := loop.timers.next_deadline()) is not None and deadline <= end + SAME:
            loop.clock.now = max(loop.clock.now, deadline)
            self._run()
            instants -= 1
            if instants < 0:
                raise self._explained(NeverQuiet(f"{loop.budget} deadlines in {end - loop.clock.now:g} seconds"))
        loop.clock.now = max(loop.clock.now, end)

    def _wait(self, pending: Pending[Any], within: float) -> None:
        loop = self._loop
        pending.on_done(_noted)
        self._run()
        end = loop.clock.now + within
        instants = loop.budget
        while not pending.done:
            deadline = loop.timers.next_deadline()
            if deadline is None:
                raise self._explained(NeverDone("nothing is left that could still happen"))
            if deadline > end + SAME:
                loop.clock.now = end
                return
            loop.clock.now = max(loop.clock.now, deadline)
            self._run()
            instants -= 1
            if instants < 0:
                raise self._explained(NeverQuiet(f"not done after {loop.budget} deadlines"))

    def _block(self, pending: Pending[Any], timeout: float | None) -> None:
        if self._loop.running:
            raise LocalProtocolError("a handler waits with await: in a world there is one thread")
        self._wait(pending, HOUR if timeout is None else timeout)
        if not pending.done:
            if timeout is None:
                raise self._explained(NeverDone(f"not done within {HOUR:g} seconds"))
            raise TimeoutError(f"not done within {timeout:g} seconds")

    def _explained(self, failure: WorldFailure) -> WorldFailure:
        if self.transcript.count:
            failure.add_note(f"seed {self.seed}; the end of the transcript:\n{self.transcript.tail()}")
        return failure

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
        if server is not None:
            if server not in self._destinations:
                raise LocalProtocolError(f"{server!r} is no server of this world")
            return self._destinations[server]
        if len(self._destinations) != 1:
            many = "no server" if not self._destinations else "several servers: say which one, server=..."
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


def _noted(_: Pending[Any]) -> None:
    """Somebody waits for it."""


@dataclass(frozen=True)
class NoWire:
    """The options of a wire where there is none."""
