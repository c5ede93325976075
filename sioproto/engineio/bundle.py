"""Serving the JavaScript client next to the server: the files of a bundle, from memory.

A request for ``<path>/socket.io.min.js`` and its seven siblings is answered here if the bundle has the file;
everything else falls to the judgement of Engine.IO requests.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from sioproto.engineio.cors import cors_headers
from sioproto.engineio.http import accepted_encoding, compress_body
from sioproto.engineio.request import Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sioproto.config import EngineConfig
    from sioproto.engineio.request import Headers, Request

BUNDLE_FILES = tuple(
    f"socket.io{variant}.js{suffix}" for variant in ("", ".min", ".esm.min", ".msgpack.min") for suffix in ("", ".map")
)
"""The only names that are served, whatever else a folder holds."""


class Bundle:
    """The files of a client bundle, by name."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = {name: body for name, body in files.items() if name in BUNDLE_FILES}
        self._packed: dict[tuple[str, str], bytes] = {}
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
        headers.insert(0, ("Content-Type", f"{kind}; charset=utf-8"))
        body, more = self._pack(name, body, request, config)
        return Response(200, headers + more, body)

    def _pack(self, name: str, body: bytes, request: Request, config: EngineConfig) -> tuple[bytes, Headers]:
        """Compresses a file as polling responses are, but each only once."""
        key = (name, accepted_encoding(request) or "")
        if config.http_compression is None or len(body) < config.http_compression.threshold:
            return body, []
        if key not in self._packed:
            self._packed[key] = compress_body(body, request, config)[0]
        encoding = [("Content-Encoding", key[1])] if key[1] else []
        return self._packed[key], [*encoding, ("Vary", "Accept-Encoding")]
