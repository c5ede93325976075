"""A server of the asyncio binding on loopback, and what has to be true of it when a test is over.

``serving`` is how tests get one. At its end it closes the clients and the server and looks at what is left: sessions,
connections, deadlines, tasks, file descriptors, and whether anything was logged or reported that the test did not ask
for. So every test that uses it is a test for leaks and stray tracebacks, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto_asyncio import Server
from sioproto_wire import real_environment
from tests.bindings.raw import TRANSPORTS, Connection, Polling, WebSockets

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

    from tests.bindings.raw import Address, Engine

E = TypeVar("E", bound="Engine")

LOGGERS = ("asyncio", "sioproto_asyncio")
LATE = 30.0
"""Seconds after which what should come at once will not come: a machine may be busy for most of that."""
PATIENT: dict[str, Any] = dict.fromkeys(
    (
        *("ping_interval", "connect_timeout", "upgrade_timeout"),
        *("first_timeout", "keep_alive_timeout", "head_timeout", "body_timeout"),
    ),
    1e6,
)
"""Options for tests that are not about them: nothing of that comes due, however long a test takes or lets time jump."""


class Clock:
    """A server's clock: real time, which a test may hold, and let jump forward.

    As long as it is held no deadline comes, so that a test which needs a short one is not too slow for it before it has
    made its preparations.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._held: float | None = None

    def __call__(self) -> float:
        return time.monotonic() + self._ahead if self._held is None else self._held

    def hold(self) -> None:
        """Stands still from now on."""
        self._held = self()

    def go_on(self) -> None:
        """Goes on from where it was held."""
        if self._held is not None:
            self._ahead, self._held = self._held - time.monotonic(), None

    def jump(self, seconds: float) -> None:
        """Goes forward at once. A server is to be told: see ``Live.jump``."""
        if self._held is None:
            self._ahead += seconds
        else:
            self._held += seconds


class Records(logging.Handler):
    """Everything that is logged as a warning or worse."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))


class Live:
    """A running server, its clients, and what went wrong."""

    def __init__(self, io: Server, address: Address, tls: ssl.SSLContext | None, clock: Clock) -> None:
        self.io = io
        self.clock = clock
        self.address = address
        self.tls = tls
        self.errors: list[tuple[BaseException, str]] = []
        """What was reported to ``on_error``; a test that causes it takes it out."""
        self.logged = Records()
        self._clients: list[Engine] = []
        self._connections: list[Connection] = []

    @property
    def port(self) -> int:
        """Its port."""
        assert not isinstance(self.address, str)
        return self.address[1]

    @property
    def url(self) -> str:
        """Where stock clients find it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self.io.engine.sessions)

    @property
    def connections(self) -> list[Connection]:
        """All that were opened, with those of its clients."""
        return [*self._connections, *(connection for client in self._clients for connection in client.connections)]

    def jump(self, seconds: float) -> None:
        """Lets the server's time jump forward; what is due then is done at once."""
        self.clock.jump(seconds)
        self.io._driver.arm(None)  # what it was armed for was set before the jump
        self.io._driver.due()

    async def connect(self) -> Connection:
        """Opens a connection that says nothing yet."""
        connection = await Connection.open(self.address, self.tls)
        self._connections.append(connection)
        return connection

    async def polling(self) -> Polling:
        """Opens a session over long-polling."""
        session = Polling(self.address, self.io.engine_config.prefix, self.tls)
        return await self._open(session)

    async def websocket(self) -> WebSockets:
        """Opens a session over WebSocket."""
        session = WebSockets(self.address, self.io.engine_config.prefix, self.tls)
        return await self._open(session)

    async def client(self, transport: str) -> Polling | WebSockets:
        """Opens a session over the transport of that name."""
        return await (self.polling() if transport == "polling" else self.websocket())

    async def check_fresh_client(self) -> None:
        """A client that has nothing to do with what happened before is served, over both transports."""
        for transport in TRANSPORTS:
            client = await self.client(transport)
            await client.join()
            await client.send("40/fresh,")
            packet = await client.receive()
            assert packet == '44/fresh,{"message":"Invalid namespace"}'
            await client.send("1")
            await client.hang_up()

    async def hang_up(self) -> None:
        """Closes all clients without a word."""
        for client in self._clients:
            await client.hang_up()
        for connection in self._connections:
            await connection.close()

    def take_error(self) -> tuple[BaseException, str]:
        """Returns the one error that was reported, and forgets it."""
        ((error, where),) = self.errors
        self.errors.clear()
        return error, where

    def take_logged(self) -> list[str]:
        """Returns what was logged, and forgets it."""
        texts, self.logged.texts = self.logged.texts, []
        return texts

    async def _open(self, session: E) -> E:
        self._clients.append(session)
        await session.open()
        return session


@asynccontextmanager
async def serving(
    where: dict[str, Any] | None = None, client_tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[Live]:
    """Serves on loopback for the length of a block, with the options of ``Server``, and checks what is left then.

    ``where`` are arguments of ``Server.listening``. Unless there is an environment among the options, the server has
    ``Live.clock``.
    """
    await warm_up()
    tasks, descriptors = asyncio.all_tasks(), count_descriptors()
    hook: Callable[[BaseException, str], object] | None = options.pop("on_error", None)
    clock = Clock()
    options = {**PATIENT, "environment": replace(real_environment(), clock=clock), **options}
    io = Server(on_error=lambda error, place: live.errors.append((error, place)), **options)
    live = Live(io, "", client_tls, clock)
    if hook is not None:
        io._on_error = hook
    for name in LOGGERS:
        logging.getLogger(name).addHandler(live.logged)
    try:
        async with io.listening(**({"host": "127.0.0.1", "port": 0} if where is None else where)):
            found = io.addresses[0]
            live.address = found if isinstance(found, str) else (found[0], found[1])
            try:
                yield live
            finally:
                clock.go_on()
                await live.hang_up()
            await io.close(0.1)
        await check_nothing_is_left(live, tasks, descriptors)
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeHandler(live.logged)


async def check_nothing_is_left(live: Live, tasks: set[asyncio.Task[Any]], descriptors: int) -> None:
    """A server that is closed holds nothing, and said nothing that nobody expected."""
    await settled(lambda: asyncio.all_tasks() == tasks and count_descriptors() <= descriptors)
    assert asyncio.all_tasks() == tasks
    assert count_descriptors() <= descriptors
    assert live.io.engine.sessions == {}
    assert live.io.wire.connections == {}
    assert live.io._driver._timer is None  # type: ignore[attr-defined]  # it is that of asyncio
    assert live.io.next_deadline() is None
    assert live.io.addresses == []
    for namespace in live.io._core.namespaces.values():
        assert namespace.sockets == {}
    assert live.errors == []
    assert live.logged.texts == []


async def warm_up() -> None:
    """Makes the loop open what it opens once and keeps: uvloop has a descriptor of its own after its first server."""
    listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    connection = await Connection.open(listener.sockets[0].getsockname())
    await connection.rest()
    await connection.close()
    listener.close()
    await listener.wait_closed()


async def settled(condition: Callable[[], object], limit: float = LATE) -> bool:
    """Waits until a condition holds, and returns whether it does. For what no event tells of."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.002)
    return True


def count_descriptors() -> int:
    """Returns how many file descriptors this process has open."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return 0
