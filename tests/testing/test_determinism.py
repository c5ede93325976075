"""The same seed gives the same world, byte for byte of its transcript, on every Python there is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sioproto_wire
from sioproto.testing import Proxy, World

if TYPE_CHECKING:
    from sioproto import Socket

PROGRAM = """
import sys
{imports}
from tests.testing.test_determinism import history
sys.stdout.buffer.write(history({seed}, {wire}).encode())
"""


def history(seed: int, wire: Any = None) -> str:
    """Returns the transcript of a world in which much goes wrong."""
    world = World(seed=seed, wire=wire, shuffle=True)
    io = world.server(ping_interval=2.0, ping_timeout=1.0)

    @io.on("echo")
    async def echo(socket: Socket, value: int) -> int:
        await io.sleep(world.chance.fraction())
        socket.broadcast.emit("echoed", value)
        return value

    options: list[dict[str, Any]] = [
        {"transports": ("polling", "websocket")},
        {"transports": ("websocket",)},
        {"transports": ("polling",), "cookie_jar": True},
    ]
    clients = [world.client(**each) for each in options]
    clients[1].network.chunking = "random"
    clients[2].network.proxy = Proxy(timeout=1.5)
    for number in range(40):
        client = world.chance.choice(clients)
        client.emit("echo", number)
        client.network.latency = world.chance.between(0, 0.2)
        if world.chance.happens(0.2):
            client.network.cut()
        if world.chance.happens(0.1):
            client.network.cut_after(bytes=world.chance.below(500))
        if world.chance.happens(0.1):
            client.network.stall()
        if world.chance.happens(0.3):
            client.network.flow()
        world.advance(world.chance.fraction() * 2)
    world.close()
    return str(world.transcript)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_transcript(wire: Any, seed: int) -> None:
    assert history(seed, wire) == history(seed, wire)


def test_other_seeds_give_others() -> None:
    assert len({history(seed) for seed in range(5)}) == 5


def test_another_client_does_not_change_what_happens_to_the_others() -> None:
    def lines(*others: str) -> list[str]:
        world = World(seed=3)
        world.server()
        alice = world.client(name="alice")
        for other in others:
            world.client(name=other).network.cut_after(seconds=1)
        alice.network.cut_after(seconds=2)
        world.advance(20)
        return [line[:9] for line in str(world.transcript).splitlines() if "alice" in line]

    assert lines() == lines("bob", "carol")


def interpreters() -> list[str]:
    """Returns the other versions of Python on this machine that sioproto is for, wherever they are."""
    found = []
    for name in ("python3.11", "python3.12", "python3.13"):
        places: list[str | Path | None] = [
            shutil.which(name),
            *sorted(Path.home().glob(f".pyenv/versions/*/bin/{name}")),
        ]
        for place in places:
            if place is None:
                continue
            try:
                shown = subprocess.run([str(place), "-VV"], capture_output=True, timeout=60, check=False)
            except OSError:
                continue
            if shown.returncode == 0:
                found.append(str(place))
                break
    return found


def test_hashes_of_strings_do_not_matter(pytestconfig: pytest.Config) -> None:
    expected = history(11)
    for hash_seed in ("1", "2"):
        assert run_elsewhere(sys.executable, pytestconfig.rootpath, hash_seed, 11, wired=False) == expected


@pytest.mark.parametrize("python", interpreters() or [None])
def test_every_python_tells_the_same(python: str | None, pytestconfig: pytest.Config) -> None:
    if python is None:
        pytest.skip("no other Python is there")
    assert run_elsewhere(python, pytestconfig.rootpath, "0", 12, wired=False) == history(12)


def test_bytes_are_the_same_in_another_process(pytestconfig: pytest.Config) -> None:
    expected = history(13, sioproto_wire)
    assert run_elsewhere(sys.executable, pytestconfig.rootpath, "3", 13, wired=True) == expected


def run_elsewhere(python: str, root: Path, hash_seed: str, seed: int, *, wired: bool) -> str:
    """Returns the transcript that another process comes to."""
    imports = "" if wired else STUBS
    program = PROGRAM.format(imports=imports, seed=seed, wire="__import__('sioproto_wire')" if wired else None)
    done = subprocess.run(
        [python, "-c", program],
        cwd=root,
        env={"PYTHONPATH": f"{root}:{root / 'bindings'}", "PYTHONHASHSEED": hash_seed, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Another Python need not have pytest and what the wire stands on; this file wants their names only.
STUBS = """
import types
class Anything(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name)
    def __call__(self, *args, **options):
        return args[0] if args and callable(args[0]) and not isinstance(args[0], Anything) else self
for name in ("pytest", "sioproto_wire"):
    sys.modules[name] = Anything(name)
sys.modules["tests.testing"] = types.ModuleType("tests.testing")
sys.modules["tests.testing"].__path__ = ["tests/testing"]
"""
