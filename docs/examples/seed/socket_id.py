"""The id of a socket, the same on both sides: 20 characters, new for every connection, and a room of its own."""

import sys

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


@io.on("connection")
def connection(socket: Socket) -> None:
    print(socket.id)  # id000000000000000003, and the client's socket.id says so, too
    io.to(socket.id).emit("only you")


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
