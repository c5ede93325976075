"""Where a client connects to: scheme, host and port, and what a URL says besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from sioproto.engineio.request import parse_query
from sioproto.errors import LocalProtocolError

Scheme = Literal["http", "https"]

SCHEMES: dict[str, Scheme] = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """One server, as URLs name it (RFC 6454). An IPv6 address stands in ``host`` without its brackets."""

    scheme: Scheme
    host: str
    port: int

    @property
    def secure(self) -> bool:
        """Whether connections to it are TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """What the ``Host`` field says: an IPv6 address in brackets, and no port where the scheme implies it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def parse_url(text: str) -> tuple[Origin, str, dict[str, str]]:
    """Returns the server that a URL names, its path, which is a namespace, and its query.

    ``http`` and ``ws`` mean the same, and so do ``https`` and ``wss``; a URL without a scheme is taken for ``https``,
    as the reference client takes it outside of pages. The path is ``"/"`` where there is none. Raises
    ``LocalProtocolError`` for what is no URL, another scheme, and one with a password in it, which belongs into a
    header. The texts repeat neither a password nor the query, which may hold secrets as well.
    """
    shown = without_secrets(text)
    # Python's parser drops line breaks and tabs without a word.
    if not text.isprintable() or " " in text or "\\" in text:
        raise LocalProtocolError(f"a URL has no spaces, backslashes and control characters in it: {shown!r}")
    whole = text if "://" in text else f"https://{text.removeprefix('//')}"
    try:
        parts = urlsplit(whole)
        host = parts.hostname or ""
        port = parts.port
        if not host.isascii():
            host = host.encode("idna").decode()
    except ValueError:  # UnicodeError is one; its own text repeats what it does not understand
        raise LocalProtocolError(f"{shown!r} is no URL: its host or its port cannot be read") from None
    scheme = SCHEMES.get(parts.scheme)
    if scheme is None:
        raise LocalProtocolError(f"a URL begins with {', '.join(f'{each}://' for each in SCHEMES)}, not as {shown!r}")
    if not host or port == 0 or not all(each.isalnum() or each in "-._:" for each in host):
        raise LocalProtocolError(f"{shown!r} names no host and port to connect to")
    if "@" in parts.netloc:
        raise LocalProtocolError("a URL carries no user and password here: use extra_headers")
    return Origin(scheme, host, port or PORTS[scheme]), parts.path or "/", parse_query(parts.query)


def without_secrets(text: str) -> str:
    """Returns what an error may show of a URL: what stands before its query, and behind a user and password."""
    return text.partition("?")[0].partition("#")[0].rpartition("@")[2]
