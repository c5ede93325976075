"""The handshake: nine fields about how a client came. They never change afterwards."""

import json
import sys

from sioproto import Socket
from sioproto_asyncio import Server

io = Server()


@io.on("connection")
def connection(socket: Socket) -> None:
    handshake = socket.handshake
    print(
        json.dumps(
            {
                "headers": handshake.headers,  # of the session's first request
                "query": handshake.query,  # its decoded query
                "auth": handshake.auth,  # what the client passed as auth
                "time": handshake.time,  # Mon Nov 23 2026 11:32:59 GMT+0000 (Coordinated Universal Time)
                "issued": handshake.issued,  # the same in milliseconds since 1970
                "url": handshake.url,  # /socket.io/?EIO=4&transport=polling&t=...
                "address": handshake.address,  # of the client
                "xdomain": handshake.xdomain,  # whether the request had an Origin header
                "secure": handshake.secure,  # whether the connection is TLS
            }
        )
    )


if __name__ == "__main__":
    io.run(port=int(sys.argv[1]) if sys.argv[1:] else 3000)
