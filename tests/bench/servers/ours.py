"""The application under load, as a user of this library writes it.

Run as ``ours.py HOST PORT``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from sioproto_asyncio import Server

if TYPE_CHECKING:
    from sioproto import Socket

io = Server(http_compression=None)


@io.on("echo")
async def echo(socket: Socket, data: Any) -> Any:
    return data


@io.on("join")
async def join(socket: Socket) -> None:
    socket.join("room")


@io.on("broadcast")
async def broadcast(socket: Socket, data: Any) -> None:
    io.to("room").emit("news", data)


if __name__ == "__main__":
    io.run(sys.argv[1], int(sys.argv[2]), backlog=4096)
