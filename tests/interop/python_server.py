"""python-socketio's asyncio server under uvicorn, in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import uvicorn

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from types import ModuleType

H = TypeVar("H", bound="Callable[..., Any]")

LIMIT = 60.0
"""Seconds that anything may take."""


class PythonServer:
    """A server; handlers are registered on ``io``, and write to ``log``."""

    def __init__(self, module: ModuleType, **options: Any) -> None:
        self.io = module.AsyncServer(async_mode="asgi", **options)
        self.log: list[Any] = []
        self.port = 0
        self._application = module.ASGIApp(self.io)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self.port}"

    def event(self, handler: H, namespace: str = "/") -> H:
        """Registers a handler for the event that has its name."""
        self.io.on(handler.__name__, handler, namespace)
        return handler

    def start(self) -> None:
        """Starts it, on the port that it had before, and returns when it listens."""
        config = uvicorn.Config(
            self._application,
            "127.0.0.1",
            self.port,
            loop="asyncio",
            http="h11",
            ws="wsproto",
            lifespan="off",
            log_level="critical",
            timeout_graceful_shutdown=1,
        )
        self._uvicorn = Uvicorn(config)
        self._thread = threading.Thread(target=asyncio.run, args=[self._uvicorn.serve()])
        self._thread.start()
        assert self._uvicorn.listening.wait(LIMIT), "uvicorn does not start"
        self.port = self._uvicorn.servers[0].sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Ends it, with all its connections."""
        self._uvicorn.should_exit = True
        self._thread.join(LIMIT)


class Uvicorn(uvicorn.Server):
    """Says when it listens, and where."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextmanager
def serving_python(module: ModuleType, **options: Any) -> Iterator[PythonServer]:
    """Runs a server for the length of a block."""
    server = PythonServer(module, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
