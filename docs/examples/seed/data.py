"""Data of a socket: a dict that belongs to the application, and that ``fetch_sockets`` shows."""

import sys

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


@io.on("connection")
def connection(socket: Socket) -> None:
    socket.data["username"] = socket.handshake.auth["username"]


@io.on("who is there")
async def who_is_there(socket: Socket) -> list[str]:
    sockets = await io.fetch_sockets()
    return sorted(each.data["username"] for each in sockets)


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
