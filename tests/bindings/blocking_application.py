"""A server on threads in a process of its own, for tests that send signals: `python blocking_application.py GRACE`.

It says on standard output where it listens, then what its handlers do, a line each.
"""

from __future__ import annotations

import socket
import sys
import time
from typing import TYPE_CHECKING

from sioproto_blocking import Server

if TYPE_CHECKING:
    from sioproto import Socket


def main(grace: float) -> None:
    """Serves until a signal comes."""
    io = Server(grace=grace, ping_interval=300.0)

    @io.on("stuck")
    def stuck(socket: Socket, seconds: float) -> str:
        say("stuck")
        time.sleep(seconds)
        say("free")
        return "done"

    @io.on("disconnect")
    def disconnected(socket: Socket, reason: str) -> None:
        say(reason)

    listener = socket.create_server(("127.0.0.1", 0))
    say(str(listener.getsockname()[1]))
    io.run(sock=listener)
    say("end")


def say(line: str) -> None:
    """Writes a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]))
