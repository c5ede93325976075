"""The runtime port on threads: one of them waits for all sockets, reads, and keeps the time.

Rule 1: bytes and time are moved here. What they mean is decided in ``sioproto`` and ``sioproto_wire``.

Rule 2: sockets are opened, watched and closed by the one thread that waits for them. What another one wants of that is
an *errand*, which is done next; it may send itself.

Rule 3: nothing is left for later without a ring, unless the thread that waits for sockets is at work: before it rests
it looks for errands and output until there are none.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections import deque
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, Any

from sioproto_host import sockets
from sioproto_host.opening import READ, OpeningCarrier
from sioproto_host.threads import ThreadedDriver
from sioproto_wire import ServerWire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from sioproto.environment import Environment
    from sioproto_wire import ClientConnection


HERE = "the thread that waits for sockets"

LONG = 3600.0
"""Seconds after which it is looked for a deadline once more: systems know no waiting of any length."""


class BlockingDriver(ThreadedDriver):
    """Drives one server or client from ``begin`` to the end."""

    logger = logging.getLogger("sioproto_blocking")

    def __init__(self, environment: Environment | None = None, threads: int = 32) -> None:
        super().__init__(environment, threads)
        self.buffer = memoryview(bytearray(sockets.READ_SIZE))
        self.selector: selectors.BaseSelector
        self._bell: socket.socket
        self._ear: socket.socket
        self._rung = False
        self._woken = False
        """Whether there is output that nobody has pumped."""
        self._deadline: float | None = None
        self._errands: deque[Callable[[], object]] = deque()
        self._listeners: dict[socket.socket, Callable[[int], None]] = {}

    # The thread that waits for sockets

    def begin(self) -> None:
        with self.guard:
            if self.running:
                return
            self._ear, self._bell = socket.socketpair()
            self._ear.setblocking(False)
            self._bell.setblocking(False)
            self.selector = selectors.DefaultSelector()
            self.selector.register(self._ear, READ, self._hear)
            self.running = True
            thread = Thread(target=self._live, name="sioproto", daemon=True)
            self._threads.append(thread)
            thread.start()
            self._thread = thread.ident

    def finish(self) -> None:
        super().finish()
        self.arm(None)
        self._ring()

    def _live(self) -> None:
        try:
            ready: list[tuple[selectors.SelectorKey, int]] = []
            while True:
                with self.guard:
                    self._turn(ready)
                    if not self.running:
                        return
                    deadline = self._deadline
                wait = LONG if deadline is None else min(LONG, deadline - self.environment.clock())
                ready = self.selector.select(wait)
        except BaseException as error:  # everybody would wait for ever
            self.report(error, HERE)
            with self.guard:
                self.hosted._finish()
        finally:
            with self.guard:
                for key in list(self.selector.get_map().values()):
                    key.fileobj.close()  # type: ignore[union-attr]  # all of them are sockets
                self.selector.close()
                self._bell.close()

    def _turn(self, ready: list[tuple[selectors.SelectorKey, int]]) -> None:
        for key, events in ready:
            self._do(key.data, events)
        if self._deadline is not None and self._deadline <= self.environment.clock():
            self._do(self.due)
        self._do(self.pump)
        while self._errands or self._woken:
            while self._errands:
                self._do(self._errands.popleft())
            self._do(self.pump)

    def _do(self, call: Callable[..., object], *args: Any) -> None:
        """What goes wrong with one connection is told, and no end to the others."""
        try:
            call(*args)
        except Exception as error:
            self.report(error, HERE)

    def errand(self, do: Callable[[], object]) -> None:
        self._errands.append(do)
        if not self.at_home:
            self._ring()

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            with suppress(OSError):  # all is over
                self._bell.send(b"\0")

    def _hear(self, _: int) -> None:
        # In this order: what somebody left who finds it rung before the second line is looked for after that.
        self._ear.recv(4096)
        self._rung = False

    # Output and time

    def wake(self, urgent: bool) -> None:
        if urgent:
            self.pump()
        elif self.running and not self._woken:
            self._woken = True
            if not self.at_home:
                self._ring()

    def after_step(self) -> None:
        if self._woken:
            self.pump()

    def pump(self) -> None:
        self._woken = False
        super().pump()

    def interrupt(self) -> None:
        self._ring()

    def arm(self, deadline: float | None) -> None:
        before, self._deadline = self._deadline, deadline
        if deadline is not None and (before is None or deadline < before) and not self.at_home:
            self._ring()

    # Connections

    @property
    def addresses(self) -> list[Any]:
        return [listener.getsockname() for listener in self._listeners]

    def listen(self, listeners: list[socket.socket], tls: ssl.SSLContext | None) -> None:
        with self.guard:
            for listener in listeners:
                self._listeners[listener] = partial(self._accept, listener, tls)
                self.errand(partial(self._watch, listener))

    def stop_listening(self) -> None:
        listeners, self._listeners = self._listeners, {}
        for listener in listeners:
            self.errand(partial(self._stop, listener))

    def _watch(self, listener: socket.socket) -> None:
        if listener in self._listeners:
            self.selector.register(listener, READ, self._listeners[listener])

    def _stop(self, listener: socket.socket) -> None:
        with suppress(KeyError):  # it pauses
            self.selector.unregister(listener)
        listener.close()

    def _accept(self, listener: socket.socket, tls: ssl.SSLContext | None, _: int) -> None:
        wire = self.hosted.wire
        assert isinstance(wire, ServerWire)
        try:
            for sock, address in sockets.accept(listener):
                carrier = Carrier(self)
                carrier.connection = wire.connect(address=address, secure=tls is not None, owner=carrier)
                if wire.stopping:
                    carrier.connection.close()
                carrier.step(carrier.welcome(sock, tls))
        except OSError as error:
            self.report(error, "accepting connections")
            self.selector.unregister(listener)
            self.hosted.timers.after(sockets.ACCEPT_PAUSE, partial(self._watch, listener))

    def dial(self, connection: ClientConnection) -> None:
        carrier = connection.owner = Carrier(self, connection)
        self.errand(lambda: carrier.step(carrier.dial()))


class Carrier(OpeningCarrier):
    """One connection, whose socket is watched by the selector."""

    __slots__ = ("_watched",)
    driver: BlockingDriver

    def __init__(self, driver: BlockingDriver, connection: ClientConnection | None = None) -> None:
        super().__init__(driver, connection)
        self._watched = 0

    def resume(self) -> None:
        if not self._watched & READ:
            super().resume()

    def wait_for(self, events: int) -> None:
        selector, sock = self.driver.selector, self.sock
        watched, self._watched = self._watched, events
        if events == watched or sock is None:
            return
        if not watched:
            selector.register(sock, events, self.ready)
        elif events:
            selector.modify(sock, events, self.ready)
        else:
            selector.unregister(sock)
