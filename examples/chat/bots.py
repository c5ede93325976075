"""What the chat's bots say. How they run is in bot_blocking.py and bot_curio.py.

They know the chat by the table at the head of app.py, and nothing else of the server.
"""

from __future__ import annotations

import argparse
import random
import uuid

ANSWERS = ("Yes.", "No.", "Maybe.", "Ask Ada.", "I would not bet on it.", "Certainly not before lunch.")


def options(name: str) -> argparse.Namespace:
    """Reads where the chat is, and by which name the bot goes there."""
    parser = argparse.ArgumentParser(description="A bot for the chat.")
    parser.add_argument("--url", default="http://127.0.0.1:5000", help="where the chat is")
    parser.add_argument("--name", default=name, help="how the bot is called there")
    return parser.parse_args()


def auth(name: str) -> dict[str, str]:
    """Returns what the chat wants to know of a newcomer; the token keeps the name while the bot reconnects."""
    return {"name": name, "token": uuid.uuid4().hex}


def new_id() -> str:
    """Returns an id for a message: sent again with the same one, it is shown once."""
    return uuid.uuid4().hex


def answer(text: str, name: str) -> str | None:
    """Returns what the bot says to a message; None if it is not meant."""
    if name.casefold() not in text.casefold() or not text.rstrip().endswith("?"):
        return None
    return random.choice(ANSWERS)
