"""``run`` on threads, in a process of its own: what SIGINT and SIGTERM do, also while a handler is stuck."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sioproto_blocking import Client, Server
from tests.bindings.live import LATE
from tests.bindings.threads import nothing_left, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto_host import ClientOptions

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these signals are POSIX's")

ROOT = Path(__file__).resolve().parent.parent.parent
SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)


class Application:
    """The process of ``blocking_application.py``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.port = int(self.line())

    def line(self) -> str:
        """Returns the next line that it says."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str, str]:
        """Waits for its end; returns the exit code, the rest of what it said, and what it said on standard error."""
        out, errors = self.process.communicate(timeout=4 * LATE)
        return self.process.returncode, out.strip(), errors


@contextmanager
def application(grace: float) -> Iterator[Application]:
    """Runs the application for the length of a block."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(Path(__file__).with_name("blocking_application.py")), str(grace)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "bindings")])},
        text=True,
    )
    try:
        yield Application(process)
    finally:
        process.kill()
        process.communicate()


@SIGNALS
def test_a_signal_ends_gracefully(number: signal.Signals) -> None:
    with application(4 * LATE) as app, Client(f"http://127.0.0.1:{app.port}", reconnection=False) as client:
        answer = client.emit_with_ack("stuck", 0.3)
        assert app.line() == "stuck"
        app.process.send_signal(number)
        assert answer.wait(LATE) == "done"
        client.wait(LATE)
        assert app.end() == (0, "free\nserver shutting down\nend", "")


@SIGNALS
def test_a_second_signal_ends_at_once(number: signal.Signals) -> None:
    # Not over polling: whoever polls may need a new connection for what is left.
    options: ClientOptions = {"reconnection": False, "transports": ("websocket",)}
    with application(1000) as app, Client(f"http://127.0.0.1:{app.port}", **options) as client:
        for _ in range(2):
            client.emit("stuck", 1000)
        assert app.line() == "stuck"
        app.process.send_signal(number)
        # It refuses others by now, so the first one has come through.
        assert settled(lambda: not listens(app.port))
        app.process.send_signal(number)
        assert app.end() == (0, "end", "")
        client.wait(LATE)


def listens(port: int) -> bool:
    """Returns whether somebody accepts connections."""
    try:
        socket.create_connection(("127.0.0.1", port), LATE).close()
    except OSError:
        return False
    return True


def test_a_program_that_goes_on_has_its_signals_back() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    with nothing_left():
        io = Server(grace=0.1)

        def tell() -> None:
            assert settled(lambda: signal.getsignal(signal.SIGTERM) is not before[1])
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        io.run(port=0)
        thread.join(LATE)
        assert io.addresses == []
    assert [signal.getsignal(number) for number in numbers] == before
