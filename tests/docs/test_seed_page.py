"""The programs in docs/examples/seed do with a stock client what their comments say."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sioproto_asyncio import Server

if TYPE_CHECKING:
    from tests.peers import Node

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "examples" / "seed"


class Play:
    """Runs a program of the folder as a server and its client beside it."""

    def __init__(self, node: Node, capsys: pytest.CaptureFixture[str]) -> None:
        self._node = node
        self._capsys = capsys

    def __call__(self, program: str) -> tuple[list[str], dict[str, Any]]:
        """Returns what the server printed, by line, and what the client saw."""
        io = load(program)

        async def main() -> dict[str, Any]:
            async with io.listening("127.0.0.1", 0):
                _, port = io.addresses[0]
                url = f"http://127.0.0.1:{port}"
                done = await asyncio.to_thread(self._node.run, "seed.mjs", program, url)
                seen: dict[str, Any] = json.loads(done.stdout)
                return seen

        seen = asyncio.run(main())
        return self._capsys.readouterr().out.splitlines(), seen


def load(program: str) -> Server:
    """Returns the server of a program, new for each call."""
    spec = importlib.util.spec_from_file_location(f"seed_{program}", FOLDER / f"{program}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    io = module.io
    assert isinstance(io, Server)
    return io


@pytest.fixture
def play(node: Node, capsys: pytest.CaptureFixture[str]) -> Play:
    return Play(node, capsys)


def test_every_program_is_played() -> None:
    played = {
        "attributes",
        "conn",
        "data",
        "handshake",
        "leaving",
        "middleware",
        "rooms",
        "socket_id",
    }
    assert {path.stem for path in FOLDER.glob("*.py")} == played


def test_the_id_is_the_same_on_both_sides(play: Play) -> None:
    printed, seen = play("socket_id")
    assert printed == [seen["id"]]
    assert re.fullmatch(r"[\w-]{20}", seen["id"])


def test_the_handshake_has_nine_fields(play: Play) -> None:
    printed, _ = play("handshake")
    (handshake,) = map(json.loads, printed)
    headers, query = handshake["headers"], handshake["query"]
    fields = ["headers", "query", "auth", "time", "issued", "url", "address", "xdomain", "secure"]
    assert list(handshake) == fields
    assert headers["x-page"] == "seed"
    assert headers["host"].startswith("127.0.0.1:")
    assert (query["EIO"], query["transport"], query["page"]) == ("4", "polling", "seed")
    assert handshake["auth"] == {"token": "s3cr3t"}
    date = r"[A-Z]\w\w [A-Z]\w\w \d\d \d{4} \d\d:\d\d:\d\d GMT\+0000 \(Coordinated Universal Time\)"
    assert re.fullmatch(date, handshake["time"])
    assert handshake["issued"] > 1_700_000_000_000
    assert handshake["url"].startswith("/socket.io/?")
    assert "page=seed" in handshake["url"]
    assert handshake["address"] == "127.0.0.1"
    assert handshake["xdomain"] is True
    assert handshake["secure"] is False


def test_rooms(play: Play) -> None:
    printed, _ = play("rooms")
    assert printed == ["True", "True", "False"]


def test_data_is_seen_by_fetch_sockets(play: Play) -> None:
    _, seen = play("data")
    assert seen == {"users": ["alice", "bob"]}


def test_events_of_the_connection(play: Play) -> None:
    printed, seen = play("conn")
    assert seen == {"answer": "hi"}
    assert printed[0] == "initial transport polling"
    assert printed.count("upgraded transport websocket") == 1
    start = printed.index("upgraded transport websocket")
    assert printed[start + 1 :] == [
        'packet message 20["hello"]',
        'packet_create message 30["hi"]',
        "drain",
        "close transport close",
    ]


def test_attributes_set_in_a_middleware(play: Play) -> None:
    printed, seen = play("attributes")
    assert seen == {"refused": "unknown user"}
    assert printed == ["alice", "alice wonder"]


def test_a_socket_middleware_and_the_error_event(play: Play) -> None:
    printed, seen = play("middleware")
    assert seen == {"answer": "answered", "reason": "io server disconnect"}
    assert printed == ["refused: delete everything"]


def test_who_leaves_tells_the_room(play: Play) -> None:
    printed, seen = play("leaving")
    assert seen == {"left": True}
    assert printed[:2] == ["disconnecting client namespace disconnect 2", "disconnect client namespace disconnect 0"]
    assert printed[2:] == ["disconnecting transport close 2", "disconnect transport close 0"]
