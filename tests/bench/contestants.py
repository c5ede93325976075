"""The servers that are compared: how each is started, where it is missing, and one process of it for a measurement."""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.scenarios import SCENARIOS, Measurement, Order

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = HERE.parent / "peers"
HOST = "127.0.0.1"
START = 60.0
"""Seconds that a server may take to listen."""
SPARE_FILES = 200
"""File descriptors that a process needs besides those of its clients."""


class Missing(Exception):
    """A server that cannot be started here; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server: the command that starts it, without host and port, and the versions of what it consists of."""

    command: tuple[str, ...]
    versions: str
    after: tuple[str, ...] = ()
    """What follows host and port."""


def ours() -> Contestant:
    from sioproto import __version__

    return Contestant(python("ours.py"), f"sioproto {__version__}, {versions('h11', 'wsproto')}")


def python_socketio() -> Contestant:
    for module in ("socketio", "uvicorn"):
        if importlib.util.find_spec(module) is None:
            raise Missing('python-socketio or uvicorn is missing: pip install -e ".[bench]"')
    return Contestant(
        python("python_socketio.py"), versions("python-socketio", "python-engineio", "uvicorn", "h11", "wsproto")
    )


def node() -> Contestant:
    try:
        from tests.peers import PeerMissing, find_node
    except ModuleNotFoundError as error:
        raise Missing(f'finding Node.js takes {error.name}: pip install -e ".[test]"') from None
    try:
        found = find_node()
    except PeerMissing as error:
        raise Missing(str(error)) from None
    packages = ", ".join(
        f"{name} {json.loads((PEERS / 'node_modules' / name / 'package.json').read_text())['version']}"
        for name in ("socket.io", "ws")
    )
    return Contestant(
        (str(found.executable), str(HERE / "servers" / "node.mjs")),
        f"Node.js {found.version}, {packages}",
        (str(PEERS / "package.json"),),
    )


CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    "sioproto": ours,
    "python-socketio": python_socketio,
    "socket.io": node,
}


def python(script: str) -> tuple[str, ...]:
    """Returns the command for a Python server. With ``-P`` nothing is imported from the folder of the scripts."""
    return sys.executable, "-P", str(HERE / "servers" / script)


def versions(*packages: str) -> str:
    return ", ".join(f"{package} {version(package)}" for package in packages)


@dataclass(frozen=True, slots=True)
class Cores:
    """Which core the server gets, and which the load generator; nothing is pinned where there are no two to choose."""

    server: int | None = None
    generator: int | None = None


def choose_cores() -> Cores:
    """Returns two cores that this process may use, where the system can pin processes."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores()
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(allowed[0], allowed[-1]) if len(allowed) > 1 else Cores()


class Process(subprocess.Popen[bytes]):
    """A process on one core, ended with its ``with`` block: asked first, then killed."""

    def __init__(self, command: list[str], core: int | None, output: int) -> None:
        allowed = None if core is None else os.sched_getaffinity(0)
        # What is measured is this checkout, wherever an installed copy may lie.
        path = os.pathsep.join([str(ROOT), str(ROOT / "bindings"), *filter(None, [os.environ.get("PYTHONPATH")])])
        try:
            # A child starts on the cores of its parent, and so do all threads that it starts.
            if core is not None:
                os.sched_setaffinity(0, {core})
            super().__init__(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": path},
            )
        finally:
            if allowed is not None:
                os.sched_setaffinity(0, allowed)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.poll() is None:
            self.terminate()
            try:
                self.wait(3)
            except subprocess.TimeoutExpired:
                self.kill()
        super().__exit__(kind, value, trace)


def measure(
    name: str, contestant: Contestant, scenario: str, *, turn: int, connections: int, seconds: float, cores: Cores
) -> Measurement:
    """Starts a server, lets the load generator loose on it, and ends it."""
    found = Measurement(scenario=scenario, server=name, round=turn, connections=connections)
    if raise_file_limit() < connections * 2 + SPARE_FILES:
        found.error = f"{connections} connections take more open files than the system allows"
        return found
    port = free_port()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as answer:
        command = [*contestant.command, HOST, str(port), *contestant.after]
        with Process(command, cores.server, output.fileno()) as server:
            found.error = wait_for(server, port)
            if found.error is None:
                order = Order(
                    scenario=scenario,
                    host=HOST,
                    port=port,
                    pid=server.pid,
                    connections=connections,
                    seconds=seconds,
                )
                generate(found, order, cores, answer.fileno())
            said = tail(output.fileno())
            if server.poll() is not None:
                found.error = f"the server ended with {server.returncode}: {said}"
            elif found.error is None and said:
                found.error = f"the server complained: {said}"
    return found


def generate(found: Measurement, order: Order, cores: Cores, output: int) -> None:
    """Runs the load generator, and fills in what it found."""
    command = [sys.executable, "-m", "tests.bench.generator", json.dumps(asdict(order))]
    with Process(command, cores.generator, output) as generator:
        try:
            generator.wait(order.seconds * 3 + order.connections / 50 + 300)
        except subprocess.TimeoutExpired:
            found.error = "the load generator did not end"
            return
    try:
        said = json.loads(tail(output, 1 << 20).splitlines()[-1])
    except (ValueError, IndexError):
        found.error = f"the load generator failed: {tail(output)}"
        return
    for field, value in said.items():
        setattr(found, field, value)
    if found.error is None and SCENARIOS[order.scenario].make is not None and found.server_cpu <= 0:
        found.error = "the server's CPU time did not move: measure for longer"


def wait_for(server: Process, port: int) -> str | None:
    """Returns once the server listens, or why it does not."""
    end = time.monotonic() + START
    while time.monotonic() < end and server.poll() is None:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return None
    return f"the server did not listen within {START:g} s"


def tail(descriptor: int, size: int = 2000) -> str:
    """Returns the end of what was written to a file."""
    start = max(0, os.fstat(descriptor).st_size - size)
    return os.pread(descriptor, size, start).decode(errors="replace").strip()


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        port: int = sock.getsockname()[1]
        return port


def raise_file_limit() -> int:
    """Raises this process's limit of open files, which its children inherit, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return 1 << 30 if soft == resource.RLIM_INFINITY else soft
