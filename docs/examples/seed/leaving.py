"""The end of a socket: ``disconnecting`` while it is in its rooms, ``disconnect`` when it is in none."""

import sys

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


@io.on("connection")
def connection(socket: Socket) -> None:
    socket.join("room1")


@io.on("disconnecting")
def disconnecting(socket: Socket, reason: str) -> None:
    for room in socket.rooms:
        if room != socket.id:
            socket.to(room).emit("user has left", socket.id)
    print("disconnecting", reason, len(socket.rooms))


@io.on("disconnect")
def disconnect(socket: Socket, reason: str) -> None:
    print("disconnect", reason, len(socket.rooms))


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
