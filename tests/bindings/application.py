"""A server in a process of its own, for tests that send signals: `python application.py GRACE LOOP`.

It says on standard output where it listens, then what its handlers do, a line each.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import TYPE_CHECKING

from sioproto_asyncio import Server

if TYPE_CHECKING:
    from sioproto import Socket


def main(grace: float, loop: str) -> None:
    """Serves until a signal comes."""
    # Nothing comes due while a slow machine connects a crowd.
    io = Server(grace=grace, ping_interval=300.0, first_timeout=300.0, keep_alive_timeout=300.0, head_timeout=300.0)
    gone: dict[str, int] = {}

    @io.on("disconnect")
    def disconnected(socket: Socket, reason: str) -> None:
        gone[reason] = gone.get(reason, 0) + 1

    @io.on("slow")
    async def slow(socket: Socket, seconds: float) -> str:
        say("slow begins")
        await asyncio.sleep(seconds)
        say("slow ends")
        return "done"

    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    say(str(listener.getsockname()[1]))
    if loop == "uvloop":
        import uvloop

        uvloop.run(io.serve(sock=listener, signals=True))
    else:
        io.run(sock=listener)
    say(f"end {gone}")


def say(line: str) -> None:
    """Writes a line at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2])
