"""Our client where the connection breaks at any byte, against npm's server and ours: what it is told was recovered is.

npm's server cannot recover a client whose loss it has not noticed, nor one that has received nothing, and gives it a
new socket then. So its client lives several lives; within each it gets every event once, in order. From ours there is
one life only.

More of the same by hand: ``SIOPROTO_SEEDS=50 pytest tests/interop/test_client_cuts.py``.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import Recovery
from sioproto_asyncio import Server
from tests.interop.clients import OVER, QUICK, Clients, Peer, on_loop
from tests.interop.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from sioproto import Socket
    from sioproto.config import TransportName
    from tests.interop.relay import How, Way

CUTS = 8
"""Of each course."""
SEEDS = int(os.environ.get("SIOPROTO_SEEDS", "1"))
"""Courses over each of the transports."""
PATIENCE = 25.0

WAYS: tuple[Way, ...] = ("up", "down")
HOWS: tuple[How, ...] = ("reset", "end", "unnoticed")

# Npm's server keeps what it saved of a socket after it has used it. So a client that is lost twice, the second time
# unnoticed, gets a second socket with the same id, which falls out of all rooms when the first one times out. That is
# mended here: it is about the client.
NODE = """
const adapter = io.of("/").adapter;
const restore = adapter.restoreSession;
adapter.restoreSession = async (pid, offset) => {
  const session = await restore.call(adapter, pid, offset);
  adapter.sessions.delete(pid);
  return session;
};
let number = 0;
io.on("connection", (socket) => {
  if (!socket.recovered) socket.join("room");
  socket.emit("life", socket.recovered);
  socket.on("said", (said) => log.push(said));
});
const talk = setInterval(() => {
  io.to("elsewhere").emit("number", -1);
  if (number % 3 === 0) io.emit("number", number++, Buffer.from([1, 2, 3]));
  else if (number % 3 === 1) io.to("room").emit("number", number++);
  else io.except("elsewhere").emit("number", number++, "a text");
}, 3);
io.hush = () => {
  clearInterval(talk);
  // A client that is away at the end, and gets a new socket, has missed it.
  const last = setInterval(() => io.emit("last", number), 20);
  io.rest = () => clearInterval(last);
};
"""


class Elsewhere:
    """An asyncio loop in a thread, for what a client's loop has its connections with."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine there and waits for it."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(PATIENCE)

    def close(self) -> None:
        """Ends the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class Ours:
    """A server of ours that says the same as ``NODE``."""

    def __init__(self) -> None:
        self.io = Server(recovery=Recovery(), ping_interval=1.0, ping_timeout=1.0)
        self.heard: list[int] = []
        self.number = 0
        self.io.on("connection", self.connected)
        self.io.on("said", lambda socket, said: self.heard.append(said))
        self._listening = self.io.listening("127.0.0.1", 0)
        self._talking: asyncio.Task[None] | None = None

    def connected(self, socket: Socket) -> None:
        if not socket.recovered:
            socket.join("room")
        socket.emit("life", socket.recovered)

    async def start(self) -> int:
        await self._listening.__aenter__()
        self._talking = asyncio.create_task(self.talk())
        return int(self.io.addresses[0][1])

    async def talk(self) -> None:
        io = self.io
        while True:
            io.to("elsewhere").emit("number", -1)
            if self.number % 3 == 0:
                io.emit("number", self.number, b"\x01\x02\x03")
            elif self.number % 3 == 1:
                io.to("room").emit("number", self.number)
            else:
                io.except_("elsewhere").emit("number", self.number, "a text")
            self.number += 1
            await asyncio.sleep(0.003)

    async def hush(self) -> None:
        assert self._talking is not None
        self._talking.cancel()
        self.io.emit("last", self.number)

    async def close(self) -> None:
        await self.io.close(0.1)
        await self._listening.__aexit__(None, None, None)


@contextmanager
def relaying_from(elsewhere: Elsewhere, target: int) -> Iterator[Relay]:
    """Relays to a port for the length of a block, on another loop."""
    relay = Relay(target)
    elsewhere.run(relay.start())
    try:
        yield relay
    finally:
        elsewhere.run(relay.close())


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    """Another loop."""
    running = Elsewhere()
    yield running
    running.close()


class Course:
    """One client whose connection breaks, and what it was told."""

    def __init__(self, clients: Clients, url: str, transports: tuple[TransportName, ...], seed: int) -> None:
        self.chance = random.Random(f"{seed} {transports}")
        self.clients = clients
        self.client = clients.client(url, transports=transports, **QUICK)
        self.lives: list[list[int]] = []
        self.recovered = 0
        self.last: list[int] = []
        self.came = 0
        self.said = 0
        self.client.on("connect", self.connected)
        self.client.on("number", self.number)
        self.client.on("last", self.last.append)

    def connected(self, sid: str) -> None:
        if self.client.recovered:
            self.recovered += 1
        else:
            self.lives.append([])

    def number(self, number: int, data: object = None) -> None:
        assert data == b"\x01\x02\x03" if number % 3 == 0 else not isinstance(data, bytes)
        self.lives[-1].append(number)
        self.came += 1
        self.client.emit("said", self.said)
        self.said += 1

    def more_came(self, than: int) -> bool:
        """Whether anything came since."""
        return self.came > than

    async def run(self, elsewhere: Elsewhere, relay: Relay) -> None:
        """Goes on until the connection was cut as often as it is to be, and something came over the next one."""
        clients, chance = self.clients, self.chance
        await self.client.connect()
        for _ in range(CUTS):
            size = chance.randrange(chance.choice((300, 1500, 4000)))
            way, how = chance.choice(WAYS), chance.choice(HOWS)

            async def cut(size: int = size, way: Way = way, how: How = how) -> None:
                await relay.cut_after(size, way, how)

            done = asyncio.run_coroutine_threadsafe(cut(), elsewhere.loop)
            await clients.until(done.done, PATIENCE)
            if chance.randrange(2):
                # Else the next cut may come before it is back.
                await clients.until(partial(self.more_came, self.came), PATIENCE)

    def check(self, heard: list[int], number: int) -> None:
        """Compares what both sides got."""
        for life in filter(None, self.lives):
            assert life == list(range(life[0], life[0] + len(life)))
        assert not self.lives[-1] or self.lives[-1][-1] == number - 1
        assert all(earlier < later for earlier, later in pairwise(heard))
        assert heard


over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
seeds = pytest.mark.parametrize("seed", range(SEEDS))


@seeds
@over_each
@on_loop
async def test_cut_off_at_any_byte_from_npms_server(
    clients: Clients, peer: Peer, elsewhere: Elsewhere, transports: tuple[TransportName, ...], seed: int
) -> None:
    server = peer.serve(NODE, connectionStateRecovery={}, pingInterval=1000, pingTimeout=1000)
    with relaying_from(elsewhere, server.port) as relay:
        course = Course(clients, relay.url, transports, seed)
        await course.run(elsewhere, relay)
        server("io.hush();")
        await clients.until(lambda: course.last, PATIENCE)
        server("io.rest();")
        course.check(server.log(), course.last[0])
        await course.client.stop(1.0)


@seeds
@over_each
@on_loop
async def test_cut_off_at_any_byte_from_our_server(
    clients: Clients, elsewhere: Elsewhere, transports: tuple[TransportName, ...], seed: int
) -> None:
    server = Ours()
    with relaying_from(elsewhere, elsewhere.run(server.start())) as relay:
        course = Course(clients, relay.url, transports, seed)
        await course.run(elsewhere, relay)
        elsewhere.run(server.hush())
        await clients.until(lambda: course.last, PATIENCE)
        course.check(server.heard, course.last[0])
        assert len(course.lives) == 1
        assert course.recovered
        await course.client.stop(1.0)
    elsewhere.run(server.close())
