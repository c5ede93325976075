"""The stock JavaScript client under Node.js, as a test's other side: JavaScript in, its value out.

One process serves all tests of a run, since starting Node.js takes longer than most of what is tested.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from concurrent.futures import Future
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.bindings.live import serving, settled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.bindings.live import Live
    from tests.peers import Node


class ScriptFailed(AssertionError):
    """The JavaScript threw."""


class Stock:
    """A running ``stock_client.mjs``; calling it runs the body of an async function there."""

    def __init__(self, node: Node) -> None:
        self.process = node.popen("stock_client.mjs")
        self._ids = count()
        self._waiting: dict[int, Future[Any]] = {}
        self._told: dict[int, list[Any]] = {}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    async def __call__(self, code: str, told: list[Any] | None = None, **args: Any) -> Any:
        """Runs JavaScript and returns what it returns; ``told`` gets what it tells meanwhile.

        Raises ``ScriptFailed`` if it throws.
        """
        future: Future[Any] = Future()
        number = next(self._ids)
        self._waiting[number] = future
        self._told[number] = [] if told is None else told
        assert self.process.stdin is not None
        line = json.dumps({"id": number, "code": code, "args": args}, default=to_json)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return await asyncio.wrap_future(future)

    def start(self, code: str, told: list[Any] | None = None, **args: Any) -> asyncio.Task[Any]:
        """Runs JavaScript beside the test."""
        return asyncio.create_task(self(code, told, **args))

    def close(self) -> None:
        """Ends the process."""
        self.process.kill()
        self._reader.join()
        with self.process:
            pass

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            answer = json.loads(line, object_hook=from_json)
            if "told" in answer:
                self._told[answer["id"]].append(answer["told"])
                continue
            future = self._waiting.pop(answer["id"])
            del self._told[answer["id"]]
            if future.set_running_or_notify_cancel():
                if "error" in answer:
                    future.set_exception(ScriptFailed(answer["error"]))
                else:
                    future.set_result(answer["value"])
        for future in self._waiting.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(ScriptFailed("Node.js is gone"))


def to_json(value: object) -> object:
    """Makes bytes JSON."""
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(type(value).__name__)


def from_json(value: dict[str, Any]) -> object:
    """Makes bytes of what ``to_json``, or its JavaScript twin, made."""
    return base64.b64decode(value["$bytes"]) if "$bytes" in value else value


@asynccontextmanager
async def serving_stock(**options: Any) -> AsyncIterator[Live]:
    """Like ``serving``, for clients that say goodbye: when the block is over all of them have to be gone.

    Only then is the server closed: asyncio leaks a connection that it accepts in the very turn in which it stops.
    """
    async with serving(**options) as live:
        yield live
        assert await settled(lambda: live.sessions == 0)
