"""One test's servers and clients, on whichever runtimes, and what has to be true when it is over.

At its end a scene closes what still runs and looks at what is left: threads, file descriptors, sessions, connections,
deadlines, and whether anything was logged or reported that the test did not take. So every test that uses it is a test
for leaks and stray tracebacks, too.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.bindings.flavours import Guest
from tests.bindings.live import LATE, PATIENT, Records, count_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bindings.flavours import Flavour

QUICK: dict[str, Any] = {"reconnection_delay": 0.02, "reconnection_delay_max": 0.1}
"""For clients that come back soon."""

OVER: dict[str, tuple[str, ...]] = {
    "polling": ("polling",),
    "websocket": ("websocket",),
    "upgrade": ("polling", "websocket"),
}
"""Transports of a client, by what becomes of it."""


def eventually(condition: Callable[[], object], limit: float = LATE) -> None:
    """Waits until a condition holds. For what no event tells of; fails if it never does."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)


def gathered(rows: list[Any], count: int, limit: float = LATE) -> list[Any]:
    """Waits until that many rows are there, and returns them all."""
    eventually(lambda: len(rows) >= count, limit)
    return rows


@dataclass(slots=True)
class Server(Guest):
    """A server that listens."""

    scheme: str = "http"

    @property
    def io(self) -> Any:
        """The library's server."""
        return self.hosted

    @property
    def address(self) -> Any:
        """Where it listens: host and port, or the path of a Unix socket."""
        (found,) = self.hosted.addresses
        return found if isinstance(found, str) else tuple(found[:2])

    @property
    def port(self) -> int:
        """Its port."""
        port: int = self.address[1]
        return port

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{self.scheme}://localhost:{self.port}" if self.scheme == "https" else f"http://127.0.0.1:{self.port}"

    @property
    def sockets(self) -> list[Any]:
        """Those in the main namespace."""
        found: list[Any] = self.call(lambda: list(self.hosted.sockets.sockets.values()))
        return found

    @property
    def sessions(self) -> int:
        """How many sessions there are."""
        return len(self.hosted.engine.sessions)


@dataclass(slots=True)
class Client(Guest):
    """A client that is connected, or tries to be."""

    def ask(self, event: str, *args: Any) -> Any:
        """Sends an event and returns the answer."""
        return self.call(self.hosted.emit_with_ack, event, *args)

    @property
    def transport(self) -> str:
        """The transport that its connection has now."""
        name: str = self.call(lambda: "" if self.hosted.engine is None else self.hosted.engine.transport_name)
        return name

    def upgraded(self) -> None:
        """Waits until it has the last of its transports."""
        eventually(lambda: self.transport == self.hosted.engine_config.transports[-1])


class Scene:
    """Everything that a test started."""

    def __init__(self) -> None:
        self.errors: list[tuple[BaseException, str]] = []
        """What was reported to ``on_error``; a test that causes it takes it out."""
        self.logged = Records()
        """What was logged as a warning or worse."""
        self.sleeping = False
        """Whether the test left somebody in ``sleep``, whose deadline nobody waits for any more."""
        self.guests: list[Guest] = []
        self.rows: dict[str, list[Any]] = {}
        self._threads = set(threading.enumerate())
        self._descriptors = count_descriptors()
        logging.getLogger().addHandler(self.logged)

    # What a test starts

    def server(
        self, flavour: Flavour, handlers: Callable[[Any], object] | None = None, where: Any = None, **options: Any
    ) -> Server:
        """Starts a server on loopback; ``handlers`` gets it before, ``where`` are arguments of ``listening``."""
        server = self.make_server(flavour, where, **options)
        if handlers is not None:
            handlers(server.hosted)
        server.start()
        return server

    def make_server(self, flavour: Flavour, where: Any = None, **options: Any) -> Server:
        """Makes a server that is to be started."""
        hosted = flavour.server(**{"on_error": self._report, **PATIENT, **options})
        where = {"host": "127.0.0.1", "port": 0} if where is None else where
        server = Server(
            flavour, hosted, partial(hosted.listening, **where), scheme="https" if "ssl" in where else "http"
        )
        self.guests.append(server)
        return server

    def client(
        self, flavour: Flavour, url: str, handlers: Callable[[Any], object] | None = None, **options: Any
    ) -> Client:
        """Starts a client, which is connected then; ``handlers`` gets it before. Raises what entering raises."""
        client = self.make_client(flavour, url, **options)
        if handlers is not None:
            handlers(client.hosted)
        client.start()
        return client

    def make_client(self, flavour: Flavour, url: str, **options: Any) -> Client:
        """Makes a client that is to be started."""
        hosted = flavour.client(url, **{"on_error": self._report, **QUICK, **options})
        client = Client(flavour, hosted, lambda: hosted)
        self.guests.append(client)
        return client

    # What a test looks at

    def log(self, name: str) -> list[Any]:
        """Returns a list to write to, the same for the same name."""
        return self.rows.setdefault(name, [])

    def record(self, name: str, target: Any, *events: str) -> list[Any]:
        """Writes down lifecycle events of a client or server: rows of the event's name, then its arguments."""
        rows = self.log(name)
        for event in events:
            target.on(event, lambda *args, event=event: rows.append((event, *args)))
        return rows

    def take_error(self) -> tuple[BaseException, str]:
        """Returns the one error that was reported, and forgets it."""
        eventually(lambda: self.errors)
        ((error, where),) = self.errors
        self.errors.clear()
        return error, where

    # The end

    def close(self) -> None:
        """Stops what runs, clients first."""
        for guest in sorted(self.guests, key=lambda guest: isinstance(guest, Server)):
            if guest.thread is not None:
                guest.stop()

    def check(self) -> None:
        """Nothing is left, and nothing was said that nobody expected."""
        logging.getLogger().removeHandler(self.logged)
        assert self.errors == []
        assert self.logged.texts == []
        for guest in self.guests:
            hosted = guest.hosted
            if not self.sleeping:
                assert [label for label, running, _ in hosted.timers.explain() if running] == [], repr(guest)
                assert hosted.next_deadline() is None
            assert len(hosted.wire.connections) == 0
            if isinstance(guest, Server):
                assert hosted.engine.sessions == {}
                assert hosted.addresses == []
                assert all(namespace.sockets == {} for namespace in hosted._core.namespaces.values())
            else:
                assert hosted.engine is None
                assert not hosted.connected
        eventually(lambda: self._new_threads() == [])
        eventually(lambda: count_descriptors() <= self._descriptors)

    def _new_threads(self) -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread not in self._threads]

    def _report(self, error: BaseException, where: str) -> None:
        self.errors.append((error, where))
