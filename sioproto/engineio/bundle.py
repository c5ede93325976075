"""Serving the JavaScript client next to the server: the files of a bundle, from memory.

A request for ``<path>/socket.io.min.js`` and its seven siblings is answered here if the bundle has the file;
everything else falls to the judgement of Engine.IO requests.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sioproto.engineio.cors import cors_headers
from sioproto.engineio.request import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sioproto.config import EngineConfig
    from sioproto.engineio.request import Request

BUNDLE_FILES = tuple(
    f"socket.io{variant}.js{suffix}" for variant in ("", ".min", ".esm.min", ".msgpack.min") for suffix in ("", ".map")
)
"""The only names that are served, whatever else a folder holds."""


class Bundle:
    """The files of a client bundle, by name."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = {name: body for name, body in files.items() if name in BUNDLE_FILES}
        self._tags = {name: f'"{sha256(body).hexdigest()[:32]}"' for name, body in self._files.items()}

    def __len__(self) -> int:
        return len(self._files)

    def answer(self, request: Request, config: EngineConfig) -> Response | None:
        """Returns the answer to a request for one of the files, or None if it is for something else."""
        folder, _, name = request.target.partition("?")[0].rpartition("/")
        body = self._files.get(name)
        if body is None or folder != config.path.removesuffix("/") or request.method not in ("GET", "HEAD"):
            return None
        kind = "application/json" if name.endswith(".map") else "application/javascript"
        headers = [
            ("Cache-Control", "public, max-age=0"),
            ("ETag", self._tags[name]),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if config.cors is not None:
            headers += cors_headers(request, config)
        known = request.header("if-none-match") or ""
        if any(tag.strip().removeprefix("W/") == self._tags[name] for tag in known.split(",")):
            return Response(304, headers)
        return Response(200, [("Content-Type", f"{kind}; charset=utf-8"), *headers], body)
