"""A binding in one file: servers and clients on one thread with `selectors`."""

from __future__ import annotations

import logging
import selectors
import socket
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from sioproto_host import AsyncClient, AsyncDriver, AsyncServer, sockets

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextlib import AbstractContextManager

    from sioproto import Pending
    from sioproto_host import Listening

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


class LoopDriver(AsyncDriver):
    """Each turn goes on with user code, moves bytes, and waits for sockets or for the next deadline."""

    logger = logging.getLogger("own_binding")

    def __init__(self, environment: Any = None) -> None:
        super().__init__(environment)
        self.selector = selectors.DefaultSelector()
        self.ear, self.bell = socket.socketpair()
        self.selector.register(self.ear, READ, self.hear)
        self.buffer = memoryview(bytearray(sockets.READ_SIZE))
        self.listeners: list[socket.socket] = []
        self.deadline: float | None = None
        self.code: set[Any] = set()
        self.ready: deque[Any] = deque()
        self.todo: deque[Callable[[], object]] = deque()
        self.now: Any = None  # the coroutine whose turn it is

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        over: list[bool] = []

        async def life() -> None:
            try:
                await main()
            finally:
                over.append(True)

        self.start(life())
        while not over:
            self.turn()
        for each in (self.ear, self.bell, self.selector):
            each.close()

    def turn(self) -> None:
        self.pump()
        while self.todo:
            self.todo.popleft()()
        wait = None if self.deadline is None else max(0.0, self.deadline - self.environment.clock())
        for key, events in self.selector.select(0 if self.ready or self.todo else wait):
            key.data(events)
        self.due()
        while self.ready:
            self.step(self.ready.popleft())

    # User code

    @property
    def tasks(self) -> int:
        return len(self.code)

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        self.code.add(run)
        self.ready.append(run)

    def step(self, run: Any) -> None:
        self.now = run
        try:
            run.send(None).on_done(lambda _: self.ready.append(run))
        except StopIteration:
            self.code.discard(run)
            self.hosted.settle()

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        if pending is self.hosted.ending:
            self.code.discard(self.now)  # it waits for the end, which does not wait for it
        yield pending  # to `step`

    def cancel_tasks(self) -> None:
        for run in self.code:
            run.close()
        self.code.clear()

    # Turns and time

    def wake(self, urgent: bool) -> None:
        """Nothing to do: each turn looks for output."""

    def arm(self, deadline: float | None) -> None:
        self.deadline = deadline

    def interrupt(self) -> None:
        self.bell.send(b"!")

    def hear(self, _: int) -> None:
        self.ear.recv(4096)
        self.run_posted()

    def signals(self, stop: Callable[[], None]) -> AbstractContextManager[object]:
        def told() -> None:
            self.todo.append(stop)
            self.interrupt()

        return sockets.signals_caught(told)

    # Connections

    @property
    def addresses(self) -> list[Any]:
        return [listener.getsockname() for listener in self.listeners]

    async def listen(self, host: str, port: int, how: Listening) -> None:
        for listener in sockets.listen(host, port, how):
            self.listeners.append(listener)
            self.selector.register(listener, READ, partial(self.accept, listener))

    def accept(self, listener: socket.socket, _: int) -> None:
        wire: Any = self.hosted.wire
        for sock, address in sockets.accept(listener):
            Carrier(self, wire.connect(address=address), sock)

    def stop_listening(self) -> None:
        while self.listeners:
            self.selector.unregister(self.listeners[-1])
            self.listeners.pop().close()

    def dial(self, connection: Any) -> None:
        try:  # everything waits for this, and it knows neither TLS nor proxies: a real binding does better
            sock = socket.create_connection(self.route.address, timeout=5)
        except OSError as error:
            connection.receive_failure(str(error))
            connection.receive_lost()
        else:
            Carrier(self, connection, sock)
            connection.receive_open()


class Carrier(sockets.SocketCarrier):
    """One connection: bytes between a socket and its `Connection` or `ClientConnection`."""

    driver: LoopDriver

    def __init__(self, driver: LoopDriver, connection: Any, sock: socket.socket) -> None:
        super().__init__(driver, connection)
        connection.owner, self.sock, self.watched = self, sock, 0
        sockets.prepare(sock)
        self.resume()

    def resume(self) -> None:
        wanted = READ * self.connection.reading | WRITE * bool(self.unsent)
        if self.sock is not None and wanted != self.watched:
            if self.watched:
                self.driver.selector.unregister(self.sock)
            if wanted:
                self.driver.selector.register(self.sock, wanted, self.move)
            self.watched = wanted

    await_writable = resume

    def move(self, events: int) -> None:
        if self.sock is None:
            return
        try:
            if events & WRITE:
                self.flush(self.sock)
            if events & READ and not self.receive(self.sock, self.driver.buffer):
                self.connection.reading = False
        except OSError:
            self.close()
        self.resume()

    def abort(self) -> None:
        self.driver.todo.append(self.close)

    def close(self) -> None:
        sock, self.sock = self.sock, None
        if sock is not None:
            if self.watched:
                self.driver.selector.unregister(sock)
            sock.close()
            self.connection.receive_lost()
            self.driver.hosted.settle()


class Server(AsyncServer):
    def __init__(self, **options: Any) -> None:
        super().__init__(LoopDriver, options)  # type: ignore[arg-type]  # any of the options


class Client(AsyncClient):
    def __init__(self, url: str, **options: Any) -> None:
        super().__init__(LoopDriver, url, options)  # type: ignore[arg-type]  # any of the options

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a coroutine function on the loop of this client."""
        self._driver.run(main)
