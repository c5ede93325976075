"""A server in a process of its own, for tests that send signals: `python application.py RUNTIME GRACE`.

It says on standard output where it listens, then what its handlers do, a line each.
"""

from __future__ import annotations

import socket as sockets
import sys
from typing import TYPE_CHECKING

from tests.bindings.flavours import FLAVOURS

if TYPE_CHECKING:
    from sioproto import Socket, app


def main(runtime: str, grace: float) -> None:
    """Serves until a signal comes."""
    server = FLAVOURS[runtime].server(grace=grace, ping_interval=300.0)
    gone: dict[str, int] = {}
    handlers(server, gone)
    listener = sockets.create_server(("127.0.0.1", 0), backlog=4096)
    say(str(listener.getsockname()[1]))
    if runtime == "uvloop":
        import uvloop

        uvloop.run(server.serve(sock=listener, signals=True))
    else:
        server.run(sock=listener)
    say(f"end {gone}")


def handlers(io: app.Server, gone: dict[str, int]) -> None:
    """Counts who goes, and can be slow."""

    @io.on("disconnect")
    def disconnected(socket: Socket, reason: str) -> None:
        gone[reason] = gone.get(reason, 0) + 1

    @io.on("slow")
    async def slow(socket: Socket, seconds: float) -> str:
        say("slow begins")
        await io.sleep(seconds)
        say("slow ends")
        return "done"


def say(line: str) -> None:
    """Writes a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
