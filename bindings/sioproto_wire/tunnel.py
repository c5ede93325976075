"""The way to a server through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6), without I/O."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11

from sioproto.errors import OptionError


class ProxyError(OSError):
    """The proxy does not let the connection through."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, and who we are to it."""

    host: str
    port: int
    authorization: str | None

    def tunnel(self, authority: str) -> Tunnel:
        """Returns what is to be said on a connection to the proxy, so that it leads to ``authority``."""
        return Tunnel(authority, self.authorization)


def parse_proxy(url: str) -> Proxy:
    """Returns the proxy of a URL such as ``http://user:password@host:port``. Raises ``OptionError`` for another one.

    The error does not repeat the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        raise OptionError("proxy is no URL") from None
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise OptionError("proxy is a URL of the form http://user:password@host:port, user and password optional")
    authorization = None
    if parts.username is not None:
        user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {b64encode(user.encode()).decode()}"
    return Proxy(parts.hostname, port, authorization)


class Tunnel:
    """One CONNECT: send ``request``, then hand what comes to ``receive`` until it says True."""

    def __init__(self, authority: str, authorization: str | None) -> None:
        # Unlike Host, the target of a CONNECT names its port always.
        headers = [("Host", authority)]
        if authorization is not None:
            headers.append(("Proxy-Authorization", authorization))
        self._http = h11.Connection(h11.CLIENT)
        request = self._http.send(h11.Request(method="CONNECT", target=authority, headers=headers))
        assert request is not None
        self.request = request

    def receive(self, data: bytes) -> bool:
        """Takes what the proxy says; empty for its end. Returns True once the connection leads to the server.

        Raises ``ProxyError`` when the proxy refuses, ends, or says something else.
        """
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise ProxyError(f"the proxy does not speak HTTP: {error}") from None
        if event is h11.NEED_DATA:
            return False
        if not isinstance(event, h11.Response):
            raise ProxyError("the proxy closed the connection")
        if not 200 <= event.status_code < 300:
            raise ProxyError(f"the proxy answered {event.status_code}")
        if self._http.trailing_data[0]:
            raise ProxyError("the proxy spoke before the server could")
        return True
