"""A Socket.IO server on an event loop of one's own: plain sockets, `selectors`, and handlers that may wait.

Run it, then connect a stock client to the address that it prints: `python docs/examples/own_loop.py [port]`.
"""

from __future__ import annotations

import selectors
import socket as sockets
import sys
import traceback
from collections import deque
from typing import TYPE_CHECKING, Any

from sioproto.app import Server
from sioproto_wire import Connection, ServerWire, real_environment

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from sioproto import Pending, Socket


class Loop:
    """One thread and one selector. It is the runtime port as well, by which the server runs handlers."""

    inline = True

    def __init__(self) -> None:
        self.environment = real_environment()
        self.server = Server(self)
        self.wire = ServerWire(self.server)
        self.selector = selectors.DefaultSelector()
        self.ready: deque[Coroutine[Any, Any, None]] = deque()
        self.unsent: dict[Connection, bytes] = {}

    # The runtime port

    def wake(self, urgent: bool) -> None:
        """Nothing to do: each turn looks for output. With `urgent` one may call `turn` at once."""

    def check(self) -> None:
        """There is one thread, so every caller is in the right place."""

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

    def run(self, listener: sockets.socket) -> None:
        """Serves forever."""
        self.selector.register(listener, selectors.EVENT_READ)
        while True:
            self.turn()
            deadline = self.server.next_deadline()
            wait = None if deadline is None else max(0.0, deadline - self.environment.clock())
            for key, mask in self.selector.select(wait):
                if key.data is None:
                    transport, peer = listener.accept()
                    transport.setblocking(False)
                    self.follow(self.wire.connect(address=peer[0], owner=transport))
                elif mask & selectors.EVENT_READ:
                    self.receive(key.data)
                else:
                    self.follow(key.data)
            self.server.handle_timeout()

    def turn(self) -> None:
        """Goes on with what is ready and sends what there is to send, until there is neither."""
        while True:
            while self.ready:
                run = self.ready.popleft()
                try:
                    pending = run.send(None)
                except StopIteration:
                    continue
                pending.on_done(lambda _, run=run: self.ready.append(run))
            connections = self.wire.take_dirty()
            for connection in connections:
                self.follow(connection, connection.take())
            if not connections and not self.ready:
                return

    def receive(self, connection: Connection) -> None:
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

    def follow(self, connection: Connection, data: bytes = b"") -> None:
        """Sends what the transport takes, keeps the rest, and does what the connection says."""
        if connection.owner is None:
            return
        data = self.unsent.pop(connection, b"") + data
        try:
            data = data[connection.owner.send(data) :] if data else data
        except BlockingIOError:
            pass
        except OSError:
            self.drop(connection)
            return
        if data:
            self.unsent[connection] = data
            connection.receive_blocked()
        else:
            connection.receive_unblocked()
        if connection.aborted or (connection.closing and not data):
            self.drop(connection)
            return
        if connection.owner in self.selector.get_map():
            self.selector.unregister(connection.owner)
        mask = selectors.EVENT_READ * connection.reading | selectors.EVENT_WRITE * bool(data)
        if mask:
            self.selector.register(connection.owner, mask, connection)

    def drop(self, connection: Connection) -> None:
        """Closes the transport, and says so."""
        transport, connection.owner = connection.owner, None
        if transport in self.selector.get_map():
            self.selector.unregister(transport)
        transport.close()
        self.unsent.pop(connection, None)
        connection.receive_lost()


def main(port: int) -> None:
    """Serves an echo."""
    loop = Loop()
    io = loop.server

    @io.on("say")
    async def say(socket: Socket, text: str) -> str:
        await io.sleep(0.1)
        socket.emit("said", text)
        return text.upper()

    with sockets.create_server(("127.0.0.1", port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        loop.run(listener)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
