"""A bot on curio: it welcomes newcomers and tells the time now and then. `python examples/chat/bot_curio.py`"""

from __future__ import annotations

import time
from typing import Any

import curio

import bots
from sioproto import ConnectError
from sioproto_curio import Client

EVERY = 600
"""Seconds between two announcements of the time."""


async def main() -> None:
    """Stays until it is interrupted, over all losses of the connection."""
    options = bots.options("Butler")
    client = Client(options.url, auth=bots.auth(options.name))

    @client.on("joined")
    async def welcome(entry: dict[str, Any]) -> None:
        await curio.sleep(1)  # a newcomer reads first
        client.emit("message", f"#{entry['room']}", f"Welcome, {entry['name']}!", bots.new_id())

    async with client:
        print(f"{options.name} is in the chat at {options.url}.")
        announcing = await curio.spawn(announce, client, daemon=True)
        await client.wait()
        await announcing.cancel()


async def announce(client: Client) -> None:
    """Tells the lobby what time it is."""
    while True:
        await curio.sleep(EVERY)
        client.volatile.emit("message", "#lobby", time.strftime("It is %H:%M."), bots.new_id())


if __name__ == "__main__":
    try:
        curio.run(main)
    except KeyboardInterrupt:
        pass
    except ConnectError as error:
        raise SystemExit(f"The chat does not let the bot in: {error}") from None
