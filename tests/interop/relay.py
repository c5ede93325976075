"""A stretch of network between a client and a server, which a test can cut, with or without the server's notice."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Way = Literal["up", "down"]
"""From the client to the server, or back."""

How = Literal["reset", "end", "unnoticed", "silent"]
"""Both sides are told with an RST, both with a FIN, only the client is told, or nobody."""


class End(asyncio.Protocol):
    """One end of a relayed connection: what comes in goes out at the other end, as long as anything does."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.transport: asyncio.Transport | None = None
        self.early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.line.cut is not None:
            self.break_off(self.line.cut)
        elif self.line.over:
            transport.abort()
        else:
            transport.write(self.early)

    def data_received(self, data: bytes) -> None:
        other = self.line.client if self is self.line.server else self.line.server
        relay = self.line.relay
        if relay.deaf and self is self.line.server:
            relay.swallowed += data
        elif self.line.cut is None:
            fuse = relay.fuse
            burns = fuse is not None and fuse.burn("up" if self is self.line.client else "down", len(data))
            if burns and fuse is not None:
                data = data[: fuse.left + len(data)]
            if other.transport is None:
                other.early += data
            else:
                other.transport.write(data)
            if burns:
                relay.blow()

    def connection_lost(self, error: Exception | None) -> None:
        other = self.line.client if self is self.line.server else self.line.server
        self.line.over = True
        if self.line.cut is None and other.transport is not None:
            other.transport.close()

    def break_off(self, how: How) -> None:
        """Ends the connection, as far as this side is told."""
        transport = self.transport
        if transport is None or how == "silent" or (how == "unnoticed" and self is self.line.server):
            return
        if how == "end":
            transport.close()
            return
        if not transport.is_closing():
            end: socket.socket = transport.get_extra_info("socket")
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Line:
    """A relayed connection."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.client = End(self)
        self.server = End(self)
        self.cut: How | None = None
        """How it was cut, and nothing passes any more."""
        self.over = False
        """Whether one of its ends has ended."""


class Fuse:
    """What is going to cut a relay's connections when so many more bytes have passed one way."""

    def __init__(self, size: int, way: Way, how: How) -> None:
        self.left = size
        """Bytes that still pass; below 0 those behind the cut."""
        self.way = way
        self.how = how
        self.burnt: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def burn(self, way: Way, size: int) -> bool:
        """Takes that something passes, and returns whether that is where the cut is."""
        if way != self.way:
            return False
        self.left -= size
        return self.left < 0


class Relay:
    """Relays to one port."""

    def __init__(self, target: int) -> None:
        self.fuse: Fuse | None = None
        """What is going to cut them."""
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
        self.break_off("reset" if noticed else "unnoticed")

    def cut_after(self, size: int, way: Way, how: How) -> asyncio.Future[None]:
        """Breaks all connections at the byte that follows so many more of one way; returns what is done then."""
        self.fuse = Fuse(size, way, how)
        return self.fuse.burnt

    def blow(self) -> None:
        """The byte of ``cut_after`` is reached."""
        fuse, self.fuse = self.fuse, None
        if fuse is not None:
            self.break_off(fuse.how)
            fuse.burnt.set_result(None)

    def break_off(self, how: How) -> None:
        """Breaks all connections."""
        for line in self.lines:
            if line.cut is None:
                line.cut = how
                line.client.break_off(how)
                line.server.break_off(how)

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
            line.cut = "reset"
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
