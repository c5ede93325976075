"""Serves the page: a handful of files, read once and answered from memory.

It knows only the files that were in the folder at the start, by their exact path; nothing a client writes into a path
reaches the file system. Every answer carries a content security policy under which no inline script can run.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from client_bundle import CDN_INTEGRITY, CDN_URL
from sioproto import Request, Response

if TYPE_CHECKING:
    from pathlib import Path

CLIENT_MARK = "<!-- socket.io-client -->"
"""Where index.html wants the script tag of the client."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class Pages:
    """The fallback of the server: answers what is not Socket.IO's."""

    def __init__(self, folder: Path, client: bytes | None) -> None:
        """Reads the folder. Without a `client` script the page loads the client from its CDN."""
        self.policy = policy(None if client is not None else CDN_URL)
        self.files: dict[str, tuple[str, bytes, str]] = {}
        if client is not None:
            self.add("/socket.io.min.js", ".js", client)
            tag = '<script src="socket.io.min.js" defer></script>'
        else:
            tag = f'<script src="{CDN_URL}" integrity="{CDN_INTEGRITY}" crossorigin="anonymous" defer></script>'
        for file in sorted(folder.iterdir()):
            if file.name == "index.html":
                self.add("/", ".html", file.read_text("utf-8").replace(CLIENT_MARK, tag).encode())
            elif file.suffix in TYPES:
                self.add(f"/{file.name}", file.suffix, file.read_bytes())

    def add(self, path: str, suffix: str, body: bytes) -> None:
        self.files[path] = (TYPES[suffix], body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')

    def __call__(self, request: Request) -> Response | None:
        file = self.files.get(request.path)
        if file is None:
            return None
        if request.method not in ("GET", "HEAD"):
            return Response(405, [("allow", "GET, HEAD")], b"")
        media_type, body, tag = file
        headers = [
            ("content-type", media_type),
            ("etag", tag),
            # Kept, but asked about each time: whoever restarts the server with another page sees it at once.
            ("cache-control", "no-cache"),
            ("content-security-policy", self.policy),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
        ]
        if request.header("if-none-match") == tag:
            return Response(304, headers[1:], b"")
        return Response(200, headers, body)


def policy(script: str | None) -> str:
    """Returns the content security policy: everything from here, pictures also from memory."""
    scripts = "'self'" if script is None else f"'self' {script}"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
