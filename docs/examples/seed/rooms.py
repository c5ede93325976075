"""The rooms of a socket: its own id from the beginning, and what it joins."""

import sys

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


@io.on("connection")
def connection(socket: Socket) -> None:
    print(socket.rooms == {socket.id})
    socket.join("room1")
    print(socket.rooms == {socket.id, "room1"})
    socket.leave("room1")
    print("room1" in socket.rooms)


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
