"""A chat in the browser: `python examples/chat/server.py`, then open the address it prints.

`--runtime` says what it runs on: asyncio, curio or plain threads. This file only puts the parts together: the handlers
are in app.py, the page is in page/, and client_bundle.py finds the JavaScript client for it.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

import client_bundle
from app import register
from pages import Pages

PAGE = Path(__file__).resolve().parent / "page"
MAX_PAYLOAD = 2_000_000
"""Enough for the largest picture in an HTTP body too, where it is written in base64 and grows by a third."""


def main() -> None:
    """Reads the options, prepares the page, and serves until interrupted."""
    parser = argparse.ArgumentParser(description="A chat server with its web page.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 lets your network in")
    parser.add_argument("--port", type=int, default=5000, help="port to listen on")
    parser.add_argument(
        "--runtime", choices=("asyncio", "curio", "blocking"), default="asyncio", help="what it runs on"
    )
    parser.add_argument("--client", type=Path, metavar="PATH", help="a socket.io.min.js to use")
    options = parser.parse_args()

    try:
        binding = import_module(f"sioproto_{options.runtime}")
    except ModuleNotFoundError as error:
        sys.exit(str(error))
    client = client_bundle.find(options.client, say)
    io = binding.Server(fallback=Pages(PAGE, client), max_payload=MAX_PAYLOAD)
    register(io)
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(options.host, options.host)
    print(f"The chat is at http://{f'[{shown}]' if ':' in shown else shown}:{options.port}/", flush=True)
    try:
        io.run(options.host, options.port)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        sys.exit(f"Cannot listen on {options.host}:{options.port} ({reason}). Try another --host or --port.")


def say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
