"""A bot on plain threads: it answers questions in which its name occurs. `python examples/chat/bot_blocking.py`"""

from __future__ import annotations

import contextlib
from typing import Any

import bots
from sioproto import ConnectError
from sioproto_blocking import Client


def main() -> None:
    """Answers until it is interrupted, over all losses of the connection."""
    options = bots.options("Oracle")
    client = Client(options.url, auth=bots.auth(options.name))

    @client.on("message")
    def heard(entry: dict[str, Any]) -> None:
        answer = bots.answer(entry["text"], options.name)
        if answer is not None:
            # Handlers run on threads, so this one may wait for the acknowledgement.
            result = client.timeout(5).emit_with_ack("message", entry["where"], answer, bots.new_id()).wait()
            if not result["ok"]:
                print(f"That was not said: {result['error']}")

    @client.on("disconnect")
    def lost(reason: str) -> None:
        print(f"The connection is lost: {reason}")

    with contextlib.suppress(KeyboardInterrupt), client:
        print(f"{options.name} is in the chat at {options.url}. Ask something that ends with a question mark.")
        client.wait()


if __name__ == "__main__":
    try:
        main()
    except ConnectError as error:
        raise SystemExit(f"The chat does not let the bot in: {error}") from None
