"""The connection below: its transport, and events about packets, the queue and the end.

Observers are plain functions. They see things in place and may not wait.
"""

from __future__ import annotations

import sys

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


@io.on("connection")
def connection(socket: Socket) -> None:
    conn = socket.conn
    print("initial transport", conn.transport.name)  # polling
    # The transport is upgraded, from HTTP long-polling to WebSocket.
    conn.once("upgrade", lambda: print("upgraded transport", conn.transport.name))  # websocket
    # A packet was received.
    conn.on("packet", lambda type, data: print("packet", data))
    # A packet is about to be sent; the JavaScript name "packetCreate" is the same event.
    conn.on("packet_create", lambda type, data: print("packet_create", data))
    # The queue was handed to the transport.
    conn.on("drain", lambda: print("drain"))
    # The connection is over.
    conn.on("close", lambda reason: print("close", reason))


@io.on("hello")
def hello(socket: Socket) -> str:
    return "hi"


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
