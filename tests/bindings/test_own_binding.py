"""The binding that the documentation shows: it serves, is a client, and ends; and the chat's bots meet people."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sioproto_asyncio
from own_binding import Client, Server

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent.parent
CHAT = ROOT / "examples" / "chat"
LIMIT = 60.0
"""Seconds, on whatever machine."""


@pytest.fixture
def served() -> Iterator[tuple[Server, str]]:
    """A server in a thread of its own, and its URL."""
    io = Server(grace=1)
    there = threading.Event()

    @io.on("double")
    async def double(peer: Any, number: int) -> int:
        await io.sleep(0.001)
        peer.emit("large", "x" * 500_000)
        return 2 * number

    async def main() -> None:
        async with io.listening(port=0):
            there.set()
            await io.ending

    thread = threading.Thread(target=io._driver.run, args=(main,))
    thread.start()
    assert there.wait(LIMIT)
    yield io, f"http://127.0.0.1:{io.addresses[0][1]}"
    io.from_thread(io._close, 1)
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert (io.engine.sessions, io.wire.connections, io.next_deadline()) == ({}, {}, None)


@pytest.mark.parametrize("transports", [("polling",), ("websocket",), ("polling", "websocket")], ids=str)
def test_the_binding_serves_its_own_client(served: tuple[Server, str], transports: Any) -> None:
    io, url = served
    client = Client(url, transports=transports)
    heard: list[int] = []
    client.on("large", lambda text: heard.append(len(text)))

    async def main() -> None:
        async with client:
            for number in range(20):
                assert await client.emit_with_ack("double", number) == 2 * number
            assert io.from_thread(len, io.sockets.sockets).result(LIMIT) == 1

    client.run(main)
    assert heard == [500_000] * 20


async def ask_the_bot(url: str) -> str:
    client = sioproto_asyncio.Client(url, auth={"name": "Ada", "token": "token-of-ada"})
    answer = client.sleep(LIMIT)  # what is done first: the answer, or the time
    said: list[str] = []

    @client.on("message")
    def message(entry: dict[str, Any]) -> None:
        said.append(entry["text"])
        answer.resolve(None)

    async with client:
        # The bot may be a while in coming; asking again with another id is another question.
        for number in range(int(LIMIT)):
            await client.emit_with_ack("message", "#lobby", "Oracle, will it work?", f"question-{number:04}")
            pause = client.sleep(1.0)
            answer.on_done(lambda _, pause=pause: pause.resolve(None))  # type: ignore[misc]  # bound at once
            await pause
            if said:
                break
    return said[0]


@pytest.mark.parametrize("runtime", ["asyncio", "curio", "blocking"])
def test_a_bot_answers_in_the_chat_on_each_runtime(runtime: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'bindings'}", "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    programs: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> None:
        command = [sys.executable, *arguments]
        programs.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=CHAT))

    try:
        begin("server.py", "--port", str(port), "--runtime", runtime, "--client", str(Path(__file__)))
        asyncio.run(wait_for(port))
        begin("bot_blocking.py", "--url", f"http://127.0.0.1:{port}")
        assert asyncio.run(ask_the_bot(f"http://127.0.0.1:{port}"))
    finally:
        for program in reversed(programs):
            program.terminate()
            program.communicate(timeout=LIMIT)


async def wait_for(port: int) -> None:
    """Waits until somebody listens."""
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
