"""A server of the blocking binding on loopback, and what has to be true of it when a test is over.

Nothing here is a coroutine. ``serving`` looks at what is left at its end, as its namesake for asyncio does: threads
and file descriptors as well as what the core holds.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sioproto_blocking import Client, Server
from tests.bindings.live import LATE, PATIENT, Records, count_descriptors
from tests.bindings.raw import HANDSHAKE, TEXT, frame, head

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOGGER = "sioproto_blocking"


class Live:
    """A running server, and what went wrong."""

    def __init__(self, io: Server) -> None:
        self.io = io
        self.errors: list[tuple[BaseException, str]] = []
        """What was reported to ``on_error``; a test that causes it takes it out."""
        self.logged = Records()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens first."""
        host, port = self.io.addresses[0][:2]
        return host, port

    @property
    def url(self) -> str:
        """Where clients find it."""
        return "http://{}:{}".format(*self.address)

    def client(self, **options: Any) -> Client:
        """Returns a client that is yet to be entered. It comes over WebSocket unless told otherwise."""
        return Client(self.url, **{"transports": ("websocket",), **options})

    def take_error(self) -> tuple[BaseException, str]:
        """Returns the one error that was reported, and forgets it."""
        ((error, where),) = self.errors
        self.errors.clear()
        return error, where


@contextmanager
def nothing_left() -> Iterator[None]:
    """What is begun in this block is over behind it: threads and file descriptors."""
    threads, descriptors = set(threading.enumerate()), count_descriptors()
    yield
    assert settled(lambda: set(threading.enumerate()) <= threads), threading.enumerate()
    assert settled(lambda: count_descriptors() <= descriptors)


@contextmanager
def serving(where: dict[str, Any] | None = None, **options: Any) -> Iterator[Live]:
    """Serves on loopback for the length of a block, with the options of ``Server``, and checks what is left then."""
    with nothing_left():
        io = Server(on_error=lambda error, place: live.errors.append((error, place)), **{**PATIENT, **options})
        live = Live(io)
        logging.getLogger(LOGGER).addHandler(live.logged)
        try:
            with io.listening(**({"host": "127.0.0.1", "port": 0} if where is None else where)):
                yield live
                io.close(0.1)
        finally:
            logging.getLogger(LOGGER).removeHandler(live.logged)
    assert io.engine.sessions == {}
    assert io.wire.connections == {}
    assert io.next_deadline() is None
    assert io.addresses == []
    assert live.errors == []
    assert live.logged.texts == []


def settled(condition: Callable[[], object], limit: float = LATE) -> bool:
    """Waits until a condition holds, and returns whether it does. For what no event tells of."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def seen(event: threading.Event) -> None:
    """Waits for what has to come."""
    assert event.wait(LATE), "it does not come"


class Raw:
    """A client that says what a test tells it to, over a socket of its own."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=LATE)
        self._got = b""

    def websocket(self) -> Raw:
        """Opens a session over WebSocket and joins the main namespace."""
        self.sock.sendall(head("GET", "/socket.io/?EIO=4&transport=websocket", HANDSHAKE))
        self.until(b"\r\n\r\n")
        self.say("40")
        self.until(b'40{"sid":')
        self.until(b"}")
        return self

    def say(self, text: str) -> None:
        """Sends a packet in a frame."""
        self.sock.sendall(frame(TEXT, text.encode()))

    def until(self, end: bytes) -> bytes:
        """Reads up to some bytes, which have to come, and returns what was before them."""
        while end not in self._got:
            data = self.sock.recv(65536)
            assert data, self._got
            self._got += data
        found, _, self._got = self._got.partition(end)
        return found

    def ended(self) -> bool:
        """Reads to the end; returns whether that comes."""
        with suppress(ConnectionError):
            while self.sock.recv(65536):
                pass
        return True

    def close(self) -> None:
        """Closes without a word."""
        self.sock.close()


def in_threads(*calls: Callable[[], object]) -> None:
    """Makes calls at the same time, and raises what one of them raises."""
    failures: list[BaseException] = []

    def run(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(4 * LATE)
        assert not thread.is_alive()
    if failures:
        raise failures[0]
