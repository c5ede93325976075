"""A server on an event loop of one's own. Connect a stock client to the address that it prints."""

from __future__ import annotations

import socket as sockets
import sys
from typing import TYPE_CHECKING

from select_loop import Loop
from sioproto.app import Server
from sioproto_wire import ServerWire

if TYPE_CHECKING:
    from sioproto import Socket


def main(port: int) -> None:
    """Serves an echo."""
    loop = Loop()
    io = Server(loop)

    @io.on("say")
    async def say(socket: Socket, text: str) -> str:
        await io.sleep(0.1)
        socket.emit("said", text)
        return text.upper()

    with sockets.create_server(("127.0.0.1", port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        loop.run(io, ServerWire(io), listener)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5000)
