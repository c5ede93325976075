"""A client on an event loop of one's own: `python docs/examples/own_client.py http://127.0.0.1:5000`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from select_loop import Loop
from sioproto.app import Client
from sioproto_wire import ClientWire

if TYPE_CHECKING:
    from sioproto import Pending


def main(url: str) -> None:
    """Says something, prints the answer, and leaves."""
    loop = Loop()
    client = Client(loop, url)

    @client.on("said")
    def said(text: str) -> None:
        print(f"heard: {text}")

    async def talk() -> None:
        await client.connect()
        print("connected")
        print(f"answer: {await client.timeout(5).emit_with_ack('say', 'hello')}")
        ends.append(client.stop(5))

    ends: list[Pending[int]] = []
    client.spawn(talk)
    loop.run(client, ClientWire(client), until=lambda: any(end.done for end in ends))


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:5000")
