"""A stretch of network between a client and a server, which a test can cut, with or without the server's notice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class End(asyncio.Protocol):
    """One end of a relayed connection: what comes in goes out at the other end, as long as anything does."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.transport: asyncio.Transport | None = None
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self.early)
        if self.line.dead:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        other = self.line.client if self is self.line.server else self.line.server
        if self.line.relay.deaf and self is self.line.server:
            self.line.relay.swallowed += data
        elif not self.line.dead:
            if other.transport is None:
                other.early += data
            else:
                other.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        other = self.line.client if self is self.line.server else self.line.server
        if not self.line.dead and other.transport is not None:
            other.transport.close()


class Line:
    """A relayed connection."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.client = End(self)
        self.server = End(self)
        self.dead = False
        """Whether it is cut, and nothing passes any more."""


class Relay:
    """Relays to one port."""

    def __init__(self, target: int) -> None:
        self.deaf = False
        """Whether clients get nothing of what the server sends, which is ``swallowed``."""
        self.silent = False
        """Whether clients that come now find nobody."""
        self.swallowed = bytearray()
        self.lines: list[Line] = []
        self.connecting: set[asyncio.Task[object]] = set()
        self._target = target
        self._listener: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        assert self._listener is not None
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def start(self) -> None:
        """Listens."""
        self._listener = await asyncio.get_running_loop().create_server(self._accept, "127.0.0.1", 0)

    def cut(self, *, noticed: bool) -> None:
        """Breaks all connections. Without ``noticed`` the server goes on believing in them."""
        for line in self.lines:
            if not line.dead:
                line.dead = True
                if line.client.transport is not None:
                    line.client.transport.abort()
                if noticed and line.server.transport is not None:
                    line.server.transport.abort()

    async def close(self) -> None:
        """Ends everything."""
        assert self._listener is not None
        self._listener.close()
        await asyncio.gather(*self.connecting)
        for line in self.lines:
            for end in (line.client, line.server):
                if end.transport is not None:
                    end.transport.abort()
        await self._listener.wait_closed()

    def _accept(self) -> End:
        line = Line(self)
        if self.silent:
            line.dead = True
            return line.client
        self.lines.append(line)
        task = asyncio.create_task(self._connect(line))
        self.connecting.add(task)
        task.add_done_callback(self.connecting.discard)
        return line.client

    async def _connect(self, line: Line) -> object:
        return await asyncio.get_running_loop().create_connection(lambda: line.server, "127.0.0.1", self._target)


@asynccontextmanager
async def relaying(target: int) -> AsyncIterator[Relay]:
    """Relays to a port for the length of a block."""
    relay = Relay(target)
    await relay.start()
    try:
        yield relay
    finally:
        await relay.close()
