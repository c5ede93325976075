"""What a socket knows of how it came: the nine fields of ``socket.handshake``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sioproto.engineio.request import Request


class Handshake:
    """The handshake of one socket (Socket.IO documentation, "The Socket instance", handshake).

    Headers, query and url are those of the session's first request; ``auth`` and the time belong to this namespace's
    CONNECT. Nothing in it changes afterwards.
    """

    __slots__ = ("_request", "address", "auth", "issued", "secure")

    def __init__(self, request: Request, auth: dict[str, Any], wall: float, address: str, secure: bool) -> None:
        self._request = request
        self.auth = auth
        """What the client sent as ``auth``; an empty dict if nothing."""
        self.issued = int(wall * 1000)
        """When the socket was created, in milliseconds since the Unix epoch."""
        self.address = address
        """The address of the client."""
        self.secure = secure
        """Whether the connection is TLS."""

    @property
    def headers(self) -> dict[str, str]:
        """Header fields by lower-case name; repeated ones are joined as Node.js joins them."""
        headers: dict[str, str] = {}
        for name, value in self._request.headers:
            if name in headers:
                value = headers[name] + ("; " if name == "cookie" else ", ") + value
            headers[name] = value
        return headers

    @property
    def query(self) -> dict[str, str]:
        """The decoded query, with ``EIO``, ``transport`` and whatever the client added."""
        return dict(self._request.query)

    @property
    def url(self) -> str:
        """The request target: path and query as sent."""
        return self._request.target

    @property
    def xdomain(self) -> bool:
        """Whether the request had an ``Origin`` header, which is all that this means in Node.js, too."""
        return self._request.header("origin") is not None

    @property
    def time(self) -> str:
        """``issued`` in the words of JavaScript: ``Mon Nov 23 2026 11:32:59 GMT+0000 (Coordinated Universal Time)``."""
        moment = datetime.fromtimestamp(self.issued / 1000, UTC)
        day, month = DAYS[moment.weekday()], MONTHS[moment.month - 1]
        return f"{day} {month} {moment:%d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)"

    def __repr__(self) -> str:
        # The private id of a socket is a secret of its client, and texts like this one end up in logs.
        auth = {key: "..." if key in ("pid", "offset") else value for key, value in self.auth.items()}
        return f"Handshake(url={self.url!r}, address={self.address!r}, auth={auth!r})"


# Not strftime's: those follow the locale.
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
