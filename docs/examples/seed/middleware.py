"""A middleware for the events of one socket. What it refuses goes to the ``error`` handlers; the client is not told.

A client's own event called ``error`` does not come there.
"""

import sys
from typing import Any

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


class Unauthorized(Exception):
    pass


@io.on("connection")
def connection(socket: Socket) -> None:
    @socket.use
    def authorize(event: str, args: list[Any]) -> None:
        if event == "delete everything":
            raise Unauthorized(event)

    @socket.on("error")
    def error(error: Exception) -> None:
        print("refused:", error)
        if isinstance(error, Unauthorized):
            socket.disconnect()

    @socket.on("ask")
    def ask() -> str:
        return "answered"


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
