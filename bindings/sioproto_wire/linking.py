"""A WebSocket on a connection, on either side: the core's link and the bytes of the peer, brought together.

These functions are what a server's ``Connection`` and a client's ``ClientConnection`` do alike once a WebSocket runs on
them. The roads that every message takes lie in the connections themselves.

Rule 1: the core hears of the end of a WebSocket once, by ``receive_link_closed``, however it ends.

Rule 2: no data frame follows our close frame (RFC 6455, 5.5.1).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from sioproto_wire.websocket import WebSocketState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.engineio.link import Link
    from sioproto.timers import Timer
    from sioproto_wire.websocket import WebSocketWire

CLOSED = WebSocketState.CLOSED
"""Looked up once, because it is compared after each read."""


class Stage(Enum):
    """What a connection is for."""

    DIALING = "being dialed"
    HTTP = "HTTP"
    WEBSOCKET = "WebSocket"
    CLOSING = "WebSocket, waiting for the peer's close frame"
    LINGERING = "discarding input after the last answer"
    CLOSED = "closed"


class LinkCore(Protocol):
    """What the core of either side takes of a WebSocket."""

    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes whole messages of a WebSocket, in order."""
        ...

    def receive_link_closed(self, link: Link, code: int | None, error: str | None) -> None:
        """Says that a WebSocket is over, once for each: by a close frame, without one (1006), or for an error."""
        ...

    def receive_blocked(self, link: Link) -> None:
        """Says that the transport of a WebSocket takes no more for now."""
        ...

    def receive_unblocked(self, link: Link) -> None:
        """Says that it takes data again."""
        ...


class Linked(Protocol):
    """A connection on which a WebSocket runs, or may run."""

    link: Link | None
    websocket: WebSocketWire | None
    stage: Stage
    out: list[bytes] | None
    reading: bool
    blocked: bool
    timer: Timer | None

    @property
    def core(self) -> LinkCore:
        """Who the link belongs to."""
        ...

    def send(self, pieces: list[bytes]) -> None:
        """Queues bytes."""
        ...

    def touch(self) -> None:
        """Puts the connection on the list of those with something to do."""
        ...

    def finish(self, *, linger: bool) -> None:
        """Ends the connection after what is queued: at once, or when the peer has ended its part."""
        ...

    def await_turn(self) -> None:
        """Has ``turn_due`` called when others had their turn."""
        ...

    def await_close(self) -> None:
        """Limits how long the peer's part of the close may take."""
        ...

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what the peer sent."""
        ...


def follow_websocket(connection: Linked, websocket: WebSocketWire) -> None:
    """Sends what the peer's control frames call for, and ends the link with the WebSocket."""
    if websocket is not connection.websocket:
        return  # lost while the core was told something
    closed = websocket.state is CLOSED
    if closed and connection.link is not None:
        # What the core handed over before stands before our close frame.
        connection.send(websocket.write(connection.link.take()))
    # A blocked peer that floods us with pings finds the latest one answered, later.
    if closed or not connection.blocked:
        control = websocket.take()
        if control:
            connection.send([control])
    if closed:
        end_link(connection, websocket.close_code, websocket.error)
        connection.finish(linger=websocket.error is not None)
    elif websocket.pending and connection.stage is Stage.WEBSOCKET:
        # Little that came may be much work: the rest waits until others, too, had their turn.
        connection.reading = False
        connection.await_turn()
        connection.touch()


def follow_reading(connection: Linked, link: Link) -> None:
    """Reads or not as the core wants it, but first what was left pending."""
    if link.reading and connection.websocket is not None and connection.websocket.pending:
        if connection.timer is None:
            connection.await_turn()
    else:
        connection.reading = link.reading


def take_closing(connection: Linked, link: Link) -> bytes:
    """Follows a link that was closed, and returns what is to be sent."""
    out, connection.out = connection.out or [], None
    frames = link.take()
    websocket = connection.websocket
    if connection.stage is Stage.WEBSOCKET and websocket is not None:
        out += websocket.write(frames)
        websocket.close(link.close_code)
        out.append(websocket.take())
        connection.stage = Stage.CLOSING
        connection.reading = True
        # The peer's close frame may be among what was left pending.
        if websocket.pending:
            connection.await_turn()
        else:
            connection.await_close()
    return b"".join(out)


def take_turn(connection: Linked, link: Link) -> None:
    """Reads on in what was left pending."""
    if connection.stage is Stage.CLOSING:
        connection.await_close()
    if connection.stage is Stage.CLOSING or link.reading:
        connection.receive_data(b"")
        connection.touch()


def end_link(connection: Linked, code: int | None, error: str | None) -> None:
    """Tells the core that its WebSocket is over."""
    link, connection.link = connection.link, None
    if link is not None:
        connection.core.receive_link_closed(link, code, error)
