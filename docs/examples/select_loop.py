"""An event loop of one's own: plain sockets and `select`, for a server or a client, with handlers that may wait."""

from __future__ import annotations

import select
import socket as sockets
import sys
import traceback
from collections import deque
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from sioproto_wire import real_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from sioproto import Pending


class Loop:
    """One thread. It is the runtime port of a `Server` or a `Client` as well, by which that runs handlers."""

    inline = True
    guard = nullcontext()  # there is one thread, so every caller is in the right place

    def __init__(self) -> None:
        self.environment = real_environment()
        self.ready: deque[Coroutine[Any, Any, None]] = deque()
        self.connections: dict[sockets.socket, Any] = {}
        self.unsent: dict[sockets.socket, bytes] = {}

    # The runtime port

    def wake(self, urgent: bool) -> None:
        """Nothing to do: each turn looks for output."""

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        self.ready.append(run)

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        yield pending  # to `turn`, which goes on with the coroutine when it is done

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        raise RuntimeError("await it: blocking would stop the loop that settles it")

    def report(self, error: BaseException, where: str) -> None:
        print(f"error in {where}", file=sys.stderr)
        traceback.print_exception(error)

    # Bytes and time

    def run(
        self, core: Any, wire: Any, listener: sockets.socket | None = None, until: Callable[[], bool] = lambda: False
    ) -> None:
        """Drives a server behind its `listener`, or a client, until `until()`; then closes what is left."""
        while (busy := self.turn(wire)) or not until():
            deadline = core.next_deadline()
            wait = 0.0 if busy else None if deadline is None else max(0.0, deadline - self.environment.clock())
            reading = [transport for transport, connection in self.connections.items() if connection.reading]
            readable, writable, _ = select.select(
                [*reading, *([listener] if listener else [])], [*self.unsent], [], wait
            )
            for transport in readable:
                if transport is listener:
                    accepted, peer = listener.accept()
                    self.add(wire.connect(address=peer[0]), accepted)
                elif (connection := self.connections.get(transport)) is not None:
                    self.receive(connection)
            for transport in writable:
                if (connection := self.connections.get(transport)) is not None:
                    self.follow(connection)
            core.handle_timeout()
        wire.shutdown()
        self.turn(wire)
        for connection in [*self.connections.values()]:
            self.drop(connection)

    def turn(self, wire: Any) -> bool:
        """Goes on with what is ready and does what connections want; returns whether there was anything to do."""
        ready, self.ready = self.ready, deque()
        for run in ready:
            try:
                pending = run.send(None)
            except StopIteration:
                continue
            pending.on_done(lambda _, run=run: self.ready.append(run))
        connections = wire.take_dirty()
        for connection in connections:
            if getattr(connection, "opening", False):
                self.dial(connection, wire.core.origin)
            self.follow(connection)
        return bool(ready or connections or self.ready)

    def dial(self, connection: Any, origin: Any) -> None:
        """Connects to the server, without TLS. Everything waits for it, which a loop with more to do would avoid."""
        try:
            transport = sockets.create_connection((origin.host, origin.port), timeout=5)
        except OSError as error:
            connection.receive_failure(str(error))
        else:
            self.add(connection, transport)
            connection.receive_open()

    def add(self, connection: Any, transport: sockets.socket) -> None:
        transport.setblocking(False)
        connection.owner = transport
        self.connections[transport] = connection

    def receive(self, connection: Any) -> None:
        try:
            data = connection.owner.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self.drop(connection)
            return
        if data:
            connection.receive_data(data)
        else:
            connection.receive_eof()

    def follow(self, connection: Any) -> None:
        """Sends what the transport takes, keeps the rest, and closes the transport if that is wanted."""
        transport = connection.owner
        if transport is None:
            return
        data = self.unsent.pop(transport, b"") + connection.take()
        try:
            data = data[transport.send(data) :] if data else data
        except BlockingIOError:
            pass
        except OSError:
            self.drop(connection)
            return
        if data:
            self.unsent[transport] = data
            connection.receive_blocked()
        else:
            connection.receive_unblocked()
        if connection.aborted or (connection.closing and not data):
            self.drop(connection)

    def drop(self, connection: Any) -> None:
        """Closes the transport, and says so."""
        transport, connection.owner = connection.owner, None
        self.unsent.pop(transport, None)
        self.connections.pop(transport, None)
        transport.close()
        connection.receive_lost()
