"""HTTP as a client sees it: a request that is to be sent, and the answer that it gets.

What an ``Exchange`` is to a server, a ``Fetch`` is to a client. Nothing here knows a connection: whoever owns one
(``sioproto_wire``, a test) takes a ``Fetch`` from ``take_dirty()``, sends it, and says what became of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Request


class Fetch:
    """One request of a client, from being listed by ``take_dirty()`` to its answer.

    It is listed when it is to be sent, and once more if ``dropped`` is set before it had an answer: then nobody waits
    for that any more, and its owner lets the connection go. The owner calls ``receive_response(fetch, response)`` or
    ``receive_failure(fetch, error)``, once; for one that was dropped it need not, and it does no harm. Where
    ``request.upgrade`` is set a WebSocket is asked for, which offers ``subprotocols``; when that is accepted, the
    response has status 101, and after ``receive_response`` the ``link`` is there. ``owner`` belongs to whoever sends
    it.
    """

    __slots__ = ("body", "dropped", "engine", "link", "owner", "request", "subprotocols")

    def __init__(self, request: Request, body: bytes = b"", subprotocols: tuple[str, ...] = ()) -> None:
        self.request = request
        self.body = body
        self.subprotocols = subprotocols
        self.engine: Any = None
        """The ``EngineClient`` that waits for the answer."""
        self.owner: object = None
        self.link: Link | None = None
        self.dropped = False

    def __repr__(self) -> str:
        return f"<Fetch of {self.request!r}, {len(self.body)} bytes>"
