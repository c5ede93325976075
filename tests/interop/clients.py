"""Our client core on the event loop of the documentation, and npm's server as JavaScript that tests bring along.

A test is a coroutine on that loop, beside the clients that it makes. At its end the clients are stopped, and nothing of
them may be left: no connection, no deadline, no failure that the test did not take.
"""

from __future__ import annotations

import functools
import json
import select
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, ParamSpec

from select_loop import Loop
from sioproto import Pending
from sioproto.app import Client
from sioproto.config import ClientConfig, EngineClientConfig, configure
from sioproto.timers import Timers
from sioproto_wire import ClientWire, ClientWireConfig
from tests.bindings.live import Clock
from tests.interop.stock import ScriptFailed, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from sioproto.config import TransportName
    from sioproto.socketio.client_socket import Auth
    from sioproto_wire import ClientConnection
    from tests.peers import Node

P = ParamSpec("P")

LIMIT = 180.0
"""Seconds for one test, which takes a few of them where it is slow; a hang fails it instead of the whole run."""
SETTLING = 30.0
"""Seconds for something that is to happen soon, and for clients to be gone."""
OVER: dict[str, tuple[TransportName, ...]] = {
    "polling": ("polling",),
    "websocket": ("websocket",),
    "upgrade": ("polling", "websocket"),
}
"""Transports of a client, by what becomes of it."""
JUMPING: dict[str, Any] = dict.fromkeys(("head_timeout", "body_timeout", "send_timeout"), 1e6)
"""For clients whose time jumps: nothing comes due by that but what a test is about."""
QUICK: dict[str, Any] = {"reconnection_delay": 0.05, "reconnection_delay_max": 0.2}
"""For clients that come back soon."""


class Clients(Loop):
    """The loop of the documentation, for all clients of one test."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.environment = replace(self.environment, clock=self.clock)
        self.timers = Timers(self.clock)
        self.wires: list[ClientWire] = []
        self.clients: list[Client] = []
        self.reports: list[tuple[BaseException, str]] = []
        """What user code raised; a test that causes it takes it out."""

    def client(self, url: str, *, auth: Auth = None, **options: Any) -> Client:
        """Makes a client, which is to be connected by the test; options by name are those of all three configs."""
        engine_config, config, wire_config = configure(options, EngineClientConfig, ClientConfig, ClientWireConfig)
        client = Client(self, url, auth=auth, engine_config=engine_config, config=config, timers=self.timers)
        self.clients.append(client)
        self.wires.append(ClientWire(client, wire_config))
        return client

    async def sleep(self, seconds: float) -> None:
        """Waits."""
        pending: Pending[None] = Pending(self)

        def wake() -> None:
            pending.resolve(None)

        self.timers.after(seconds, wake)
        await pending

    async def until(self, condition: Callable[[], Any], seconds: float = SETTLING) -> None:
        """Waits until something is true. Fails if it is not in time."""
        end = monotonic() + seconds
        while not condition():
            assert monotonic() < end, "it did not happen"
            await self.sleep(0.01)

    async def in_vain(self, server: Server, *tries: int, seconds: float) -> None:
        """As often as that many events stand in the server's log, the last of them unanswered: lets their time pass."""
        for number in tries:
            await self.until(functools.partial(lambda number: len(server.log()) == number, number))
            self.clock.jump(seconds)

    async def upgraded(self, client: Client) -> None:
        """Waits until a client has the last of its transports."""
        last = client.engine_config.transports[-1]
        await self.until(lambda: client.engine is not None and client.engine.transport_name == last)

    def play(self, test: Coroutine[Any, Any, None]) -> None:
        """Runs a test, ends its clients, and looks at what is left of them."""
        outcome: Pending[None] = Pending()

        async def whole() -> None:
            try:
                await test
                await self._end()
            except BaseException as error:
                outcome.reject(error)
            else:
                outcome.resolve(None)

        self.start(whole())
        end = monotonic() + LIMIT
        timer = self.timers.after(LIMIT, lambda: None)
        self.run(self, self, until=lambda: outcome.done or monotonic() >= end)
        timer.cancel()
        assert outcome.done, "too slow"
        outcome.result()
        assert self.reports == []
        assert [label for label, running, _ in self.timers.explain() if running] == []

    async def _end(self) -> None:
        for end in [client.stop(1.0) for client in self.clients]:
            await end
        # What is kept for further requests does not go by itself; everything else does.
        self.shutdown()
        await self.until(lambda: not self.connections)
        assert [wire.connections for wire in self.wires if wire.connections] == []

    # What the loop asks its core and its wire, all of them at once

    def report(self, error: BaseException, where: str) -> None:
        self.reports.append((error, where))

    def next_deadline(self) -> float | None:
        deadlines = [self.timers.next_deadline(), *(client.next_deadline() for client in self.clients)]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self) -> None:
        self.timers.fire(self.environment.clock())
        for client in self.clients:
            client.handle_timeout()

    def take_dirty(self) -> list[ClientConnection]:
        return [connection for wire in self.wires for connection in wire.take_dirty()]

    def shutdown(self) -> None:
        for wire in self.wires:
            wire.shutdown()

    @property
    def core(self) -> Client:
        return self.clients[0]

    def dial(self, connection: Any, origin: Any) -> None:
        super().dial(connection, connection.core.origin)


def on_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Runs a coroutine test on the loop of its clients, which is the fixture ``clients``."""

    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        clients = kwargs["clients"]
        assert isinstance(clients, Clients)
        clients.play(test(*args, **kwargs))

    functools.update_wrapper(run, test)
    return run


class Server:
    """One of npm's servers. Calling it runs JavaScript there, and waits for that."""

    def __init__(self, peer: Peer, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._peer = peer

    def __call__(self, code: str, **args: Any) -> Any:
        return self._peer(code, port=self.port, **args)

    def log(self) -> list[Any]:
        """Returns what the server wrote to its log."""
        rows: list[Any] = self("return log;")
        return rows

    def take(self) -> list[Any]:
        """Returns what the server wrote to its log since the last call, and empties it."""
        rows: list[Any] = self("return log.splice(0);")
        return rows


class Peer:
    """A running ``client_server.mjs``."""

    def __init__(self, node: Node) -> None:
        self.process = node.popen("client_server.mjs")

    def serve(self, setup: str = "", **options: Any) -> Server:
        """Starts a server with Node.js's own options; ``setup`` is JavaScript that sees it as ``io``."""
        return Server(self, self("return await serve(options, setup);", options=options, setup=setup))

    def __call__(self, code: str, **args: Any) -> Any:
        """Runs JavaScript and returns what it returns. Raises ``ScriptFailed`` if it throws."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps({"code": code, "args": args}, default=to_json) + "\n")
        stdin.flush()
        assert select.select([stdout], [], [], LIMIT)[0], "Node.js does not answer"
        answer = json.loads(stdout.readline(), object_hook=from_json)
        if "error" in answer:
            raise ScriptFailed(answer["error"])
        return answer["value"]


def record(log: list[Any], target: Any, names: Sequence[str]) -> None:
    """Writes down lifecycle events as rows: the name, then the arguments."""
    for name in names:
        target.on(name, lambda *args, name=name: log.append((name, *args)))
