"""The connection below: its transport, and events about packets, the queue and the end.

Observers are plain functions. They see things in place and may not wait.
"""

import sys

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


@io.on("connection")
def connection(socket: Socket) -> None:
    conn = socket.conn
    print("initial transport", conn.transport.name)  # polling

    @conn.once("upgrade")
    def upgrade() -> None:
        """The transport is upgraded, from HTTP long-polling to WebSocket."""
        print("upgraded transport", conn.transport.name)  # websocket

    @conn.on("packet")
    def packet(type: str, data: str | bytes) -> None:
        """A packet was received."""
        print("packet", type, data)

    @conn.on("packet_create")  # the JavaScript name "packetCreate" is the same event
    def packet_create(type: str, data: str | bytes) -> None:
        """A packet is about to be sent."""
        print("packet_create", type, data)

    @conn.on("drain")
    def drain() -> None:
        """The queue was handed to the transport."""
        print("drain")

    @conn.on("close")
    def close(reason: str) -> None:
        """The connection is over."""
        print("close", reason)


@io.on("hello")
def hello(socket: Socket) -> str:
    return "hi"


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
