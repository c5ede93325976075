"""The same application with python-socketio, on uvicorn with the pure Python parsers that our server builds on, too.

Run as ``python_socketio.py HOST PORT``.
"""

from __future__ import annotations

import sys
from typing import Any

import socketio
import uvicorn

io = socketio.AsyncServer(async_mode="asgi", http_compression=False, logger=False, engineio_logger=False)


async def echo(sid: str, data: Any) -> Any:
    return data


async def join(sid: str) -> None:
    await io.enter_room(sid, "room")


async def broadcast(sid: str, data: Any) -> None:
    await io.emit("news", data, room="room")


for handler in (echo, join, broadcast):
    io.on(handler.__name__, handler)

if __name__ == "__main__":
    uvicorn.run(
        socketio.ASGIApp(io),
        host=sys.argv[1],
        port=int(sys.argv[2]),
        backlog=4096,
        loop="asyncio",
        http="h11",
        ws="wsproto",
        ws_per_message_deflate=False,
        log_level="critical",
        access_log=False,
    )
