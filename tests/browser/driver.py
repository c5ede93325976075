"""The chat example as a subprocess, and a person in front of its page, for the tests beside this file.

Import this only where playwright is installed: the fixture `chromium` skips what needs it otherwise.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, ConsoleMessage, Locator, WebSocket, WebSocketRoute

ROOT = Path(__file__).resolve().parents[2]
SERVER = ROOT / "examples" / "chat" / "server.py"

ARGUMENTS = (
    "--no-sandbox",  # Chromium's sandbox does not work for root, and continuous integration is root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60.0
"""Seconds that anything may take. Nothing takes that long, unless the machine has other things to do."""

# What a browser says, as an error, of a server that is not there.
UNREACHABLE = re.compile(r"net::ERR_(CONNECTION_(REFUSED|RESET|CLOSED)|EMPTY_RESPONSE|SOCKET_NOT_CONNECTED)\b")

# Of a session that the server has forgotten. A client that is refused says goodbye on one connection and asks for more
# on another: where the goodbye arrives first, the question comes too late, and every server answers it like this.
TOO_LATE = re.compile(r"status of 400 \(Bad Request\)")

# The page keeps its client to itself. What tells from outside that it has left long-polling behind is the packet that
# it sends last before: "5", an upgrade.
WATCH_UPGRADES = """(() => {
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    send.call(this, data);
    if (data === "5") {
      document.documentElement.dataset.transport = "websocket";
    }
  };
})()"""


class ChatServer:
    """The example, on one port that it keeps over restarts."""

    def __init__(self, client: Path, log: Path) -> None:
        self._client = client
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.was_down = False
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def said(self) -> str:
        """Everything the server has written."""
        return self._log.read_text("utf-8")

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), "--port", str(self.port), "--client", str(self._client)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "bindings")))},
            )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
                return
            except OSError:
                assert time.monotonic() < deadline, f"the server does not listen: {self.said}"
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                continue
            raise AssertionError(f"the server ended: {self.said}")

    def kill(self) -> None:
        """Ends the server without a word to anybody."""
        assert self._process is not None
        self.was_down = True
        self._process.kill()
        self._process.wait(PATIENCE)
        self._process = None

    def terminate(self) -> int:
        """Asks the server to stop and returns its exit code."""
        assert self._process is not None
        self.was_down = True
        self._process.terminate()
        code = self._process.wait(PATIENCE)
        self._process = None
        return code

    def close(self) -> None:
        """Ends what runs."""
        if self._process is not None:
            self.kill()


class Guest:
    """Somebody with the page before them, in a browser profile of their own."""

    def __init__(self, browser: Browser, server: ChatServer, *, websocket: bool = True, phone: bool = False) -> None:
        self._server = server
        self._websocket = websocket
        kind: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
        if phone:
            size = {"width": 390, "height": 844}
            kind = {"viewport": size, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
        self.context = browser.new_context(**kind, color_scheme="light", reduced_motion="reduce", locale="en-GB")
        self.context.set_default_timeout(PATIENCE * 1000)
        self.context.add_init_script(WATCH_UPGRADES)
        if not websocket:
            self.context.route_web_socket(re.compile("transport=websocket"), refuse)
        self.page = self.context.new_page()
        self._errors: list[str] = []
        self._was_refused = False
        self.websockets: list[WebSocket] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self._errors.append(f"uncaught: {error}"))
        self.page.on("websocket", lambda wire: self.websockets.append(wire))
        self.page.goto(server.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._errors.append(message.text)

    @property
    def errors(self) -> list[str]:
        """What the browser has reported as an error and had no reason to."""
        allowed = [UNREACHABLE] * self._server.was_down + [TOO_LATE] * self._was_refused
        return [error for error in self._errors if not any(known.search(error) for known in allowed)]

    def get(self, testid: str) -> Locator:
        return self.page.get_by_test_id(testid)

    def ask_in(self, name: str) -> None:
        """Fills in a name and sends it off."""
        self.get("name-input").fill(name)
        self.get("join-button").click()

    def join(self, name: str) -> Guest:
        """Goes into the chat, and on until the connection is a WebSocket where there are any."""
        self.ask_in(name)
        self.is_("connected")
        expect(self.get("my-name")).to_have_text(name)
        if self._websocket:
            self.has_upgraded()
        return self

    def is_refused(self, reason: str) -> None:
        """Waits for the reason why a name cannot be had."""
        self._was_refused = True
        expect(self.get("name-error")).to_contain_text(reason)
        expect(self.get("name-input")).to_be_focused()
        expect(self.get("name-input")).to_have_attribute("aria-invalid", "true")

    def is_(self, state: str) -> None:
        """Waits for a state of the connection."""
        expect(self.get("connection-status")).to_have_attribute("data-state", state)

    def has_upgraded(self) -> None:
        """Waits until the connection has become a WebSocket."""
        expect(self.page.locator("html")).to_have_attribute("data-transport", "websocket")

    def write(self, words: str) -> Locator:
        """Sends a message and returns its row, whatever becomes of it."""
        self.get("message-input").fill(words)
        self.get("send-button").click()
        return self.row(words)

    def say(self, words: str) -> Locator:
        """Sends a message and waits until the server has it."""
        row = self.write(words)
        expect(row).to_have_attribute("data-state", "delivered")
        return row

    def row(self, words: str) -> Locator:
        return self.get("message").filter(has=self.page.get_by_text(words, exact=True))

    def hears(self, who: str, words: str) -> Locator:
        """Waits for somebody's message in the open conversation, which shows it once."""
        row = self.row(words)
        expect(row).to_have_count(1)
        expect(row).to_have_attribute("data-from", who)
        return row

    def sees_people(self, *names: str) -> None:
        """Waits until the list shows exactly these people, oneself first."""
        expect(self.get("person").locator(".name")).to_have_text(list(names))

    def place(self, kind: str, name: str) -> Locator:
        """Returns what opens a `room`, a `private` conversation or one with a `person`, in the lists at the sides."""
        return self.page.locator(f'[data-testid="{kind}"][data-name="{name}"]')

    def open(self, kind: str, name: str) -> None:
        """Opens a conversation from one of the lists."""
        self.place(kind, name).get_by_role("button").click()
        title = f"#{name}" if kind == "room" else name
        expect(self.get("conversation-title")).to_have_text(title)

    def make_room(self, name: str) -> None:
        self.get("new-room-input").fill(name)
        self.get("new-room-button").click()
        expect(self.get("conversation-title")).to_have_text(f"#{name}")

    def attach(self, picture: bytes) -> None:
        """Chooses a picture to be sent."""
        self.get("picture-input").set_input_files({"name": "picture.png", "mimeType": "image/png", "buffer": picture})
        expect(self.get("attachment")).to_be_visible()

    def close(self) -> None:
        """Closes the window."""
        self.context.close()


def refuse(route: WebSocketRoute) -> None:
    """Does what a proxy does that knows no WebSockets: the connection ends before it has begun."""
    route.close()


def png(width: int, height: int) -> bytes:
    """Returns a picture: orange above, blue below."""
    orange, blue = b"\xe8\x8a\x2e" * width, b"\x2e\x6f\xe8" * width
    rows = b"".join(b"\0" + (orange if y < height // 2 else blue) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks(parts))


def chunks(parts: tuple[tuple[bytes, bytes], ...]) -> Iterator[bytes]:
    for kind, content in parts:
        yield struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
