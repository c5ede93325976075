"""One connection that a client dials, as its binding sees it: bytes in, bytes out, whether to dial, to read, to close.

The counterpart of ``connection``. It begins with HTTP, whose requests are ``Fetches``' affair; when the server accepts
a WebSocket, that is dropped and a ``WebSocketWire`` takes its place, driven from here.

Rule 1: nothing is handed out before the transport is there, nor while it is blocked, but for the last words of a
connection that ends.

Rule 2: a connection that ends says so to whom it still belongs, the request in hand or the link, and once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto_wire.fetches import Fetches
from sioproto_wire.linking import Stage, end_link, follow_reading, follow_websocket, take_closing, take_turn
from sioproto_wire.websocket import WebSocketWire

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.engineio.fetch import Fetch
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Response
    from sioproto.timers import Timer
    from sioproto_wire.client import ClientCore, ClientWire
    from sioproto_wire.deflate import Deflater

TURN = 0.001
"""Seconds after which a flood of compressed messages is read on, so that others have their turn."""


class ClientConnection:
    """One TCP or TLS connection to the server, as its owner drives it; ``ClientWire.take_dirty()`` brings it up.

    While ``opening``, which it is listed for once, its owner connects a transport to the origin of the wire's core, and
    calls ``receive_open()`` or ``receive_failure(error)``. From then on it calls ``receive_*`` for what happens. After
    each such call, after deadlines and after wake-ups it goes through ``ClientWire.take_dirty()``: for each connection
    it sends ``take()``, closes the transport if ``closing`` (after all that was taken is sent), drops it at once if
    ``aborted``, and reads or not as ``reading`` says. One that is closing before its transport is there is not dialed
    any further. When the transport is gone it calls ``receive_lost()``, also when it closed the transport itself.
    """

    __slots__ = (
        "_lingered",
        "_wire",
        "aborted",
        "blocked",
        "closing",
        "dirty",
        "ended",
        "fetches",
        "half_closing",
        "link",
        "opening",
        "out",
        "owner",
        "reading",
        "stage",
        "timer",
        "websocket",
    )

    def __init__(self, wire: ClientWire) -> None:
        self.owner: Any = None
        """A slot for whoever drives the connection."""
        self.opening = True
        """Whether a transport is to be connected."""
        self.reading = True
        """Whether bytes are wanted now."""
        self.closing = False
        """Whether the transport is to be closed once everything taken is sent."""
        self.half_closing = False
        """Whether nothing follows what is taken now, so that the sending half may be closed: optional, a courtesy."""
        self.aborted = False
        """Whether the transport is to be dropped at once."""
        self.dirty = False
        """Whether the connection is on the wire's list."""
        self.blocked = False
        """Whether the transport takes no more for now."""
        self.ended = False
        """Whether the server sends no more."""
        self.timer: Timer | None = None
        """The deadline of whatever the connection is doing."""
        self.fetches: Fetches | None = Fetches(self, wire)
        """The HTTP half, as long as it lasts."""
        self.stage = Stage.DIALING
        self.link: Link | None = None
        """The core's side of a WebSocket, until that is over."""
        self.websocket: WebSocketWire | None = None
        self.out: list[bytes] | None = None
        """What is to be sent, but for the frames of a link."""
        self._wire = wire
        self._lingered = 0
        self.arm(wire.config.dial_timeout, self.dial_due)

    def __repr__(self) -> str:
        doing = self.stage.value
        if self.fetches is not None and self.stage is Stage.HTTP:
            doing = self.fetches.phase.value
        return f"<ClientConnection to {self._wire.core.origin.authority}: {doing}>"

    @property
    def core(self) -> ClientCore:
        """Who is told what comes."""
        return self._wire.core

    @property
    def secure(self) -> bool:
        """Whether the connection is to be TLS."""
        return self._wire.core.origin.secure

    # Inputs

    def receive_open(self) -> None:
        """Says that the transport is there."""
        if self.opening:
            self.opening = False
            self.stage = Stage.HTTP
            self.arm(None)
            self.touch()

    def receive_failure(self, error: str) -> None:
        """Says that there is going to be no transport, and in ``error`` why."""
        if self.opening and self.fetches is not None:
            self.fetches.fail(error, abort=True)

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what the server sent, in any chunking; what is kept of ``data`` is copied. Never raises for it."""
        websocket = self.websocket
        if websocket is not None:
            messages = websocket.receive(data)
            if messages and self.link is not None:
                self._wire.core.receive_messages(self.link, messages)
            follow_websocket(self, websocket)
        elif self.fetches is not None:
            self.fetches.receive(data)
        elif self.stage is Stage.LINGERING:
            self._lingered += len(data)
            if self._lingered > self._wire.config.max_linger:
                self.close()

    def receive_eof(self) -> None:
        """Says that the server sends no more. That ends some answers, and fails others."""
        if self.ended:
            return
        self.ended = True
        if self.link is not None:
            end_link(self, 1006, None)
            self.close()
        elif self.stage is Stage.LINGERING:
            self.close()
        elif self.fetches is not None:
            self.fetches.advance()

    def receive_lost(self) -> None:
        """Says that the transport is gone; nothing is to be taken any more. Calling it again is harmless."""
        end_link(self, 1006, None)
        if self.fetches is not None:
            self.fetches.fail("the connection was lost")
        elif self.stage is not Stage.CLOSED:
            self.close()
        self.arm(None)
        self.out = None
        self._wire.forget(self)

    def receive_blocked(self) -> None:
        """Says that the transport takes no more for now."""
        if self.blocked:
            return
        self.blocked = True
        if self.link is not None:
            self._wire.core.receive_blocked(self.link)
        elif self.fetches is not None:
            self.fetches.limit_sending()

    def receive_unblocked(self) -> None:
        """Says that the transport takes data again."""
        if not self.blocked:
            return
        self.blocked = False
        if self.link is not None and self.websocket is not None:
            # Frames may have stayed with the link, and the latest pong with the WebSocket.
            self._wire.core.receive_unblocked(self.link)
            follow_websocket(self, self.websocket)
            self.touch()
        elif self.fetches is not None:
            self.fetches.limit_sending()
            self.touch()

    # Outputs

    def take(self) -> bytes:
        """Returns everything to be sent now, and forgets it."""
        self.dirty = False
        link = self.link
        if link is None:
            out = self.out
            if out is None or self.opening or (self.blocked and self.fetches is not None):
                return b""
            self.out = None
            return b"".join(out)
        if link.closing:
            return take_closing(self, link)
        if link.reading is not self.reading:
            follow_reading(self, link)
        if self.blocked or self.websocket is None:
            link.dirty = False  # its frames stay, but whatever else happens to it is to be heard of
            return b""
        pieces = self.websocket.write(link.take())
        out, self.out = self.out, None
        return b"".join(pieces if out is None else out + pieces)

    # WebSocket

    def accept(self, fetch: Fetch, response: Response, deflate: Deflater | None, rest: bytearray) -> None:
        """Switches to WebSocket, of which ``rest`` came already."""
        wire, core = self._wire, self._wire.core
        self.fetches = None
        self.stage = Stage.WEBSOCKET
        self.arm(None)
        websocket = WebSocketWire(core.engine_config.max_payload, wire.config.max_fragments, deflate, wire.keys)
        self.websocket = websocket
        core.receive_response(fetch, response)
        link = fetch.link
        if self.websocket is not websocket:
            if link is not None:  # lost while the core was told
                core.receive_link_closed(link, 1006, None)
            return
        if link is None:  # nobody wants it any more
            self.close()
            return
        self.link = link
        self.reading = link.reading
        if self.blocked:
            core.receive_blocked(link)
        if rest:
            self.receive_data(rest)
        self.touch()

    # The end

    def drop(self, fetch: Fetch) -> None:
        """Lets a request go that the core does not wait for any more, and the connection with it."""
        if self.fetches is not None and self.fetches.fetch is fetch:
            self.fetches.fetch = None
            self.abort()

    def finish(self, *, linger: bool) -> None:
        """Ends the connection after what is queued: at once, or when the server has ended its part."""
        if not linger or self.ended:
            self.close()
            return
        self._drop_protocols()
        self.stage = Stage.LINGERING
        self.reading = self.half_closing = True
        self.await_close()
        self.touch()

    def close(self) -> None:
        """Asks for the transport to be closed after what is queued, for which the server gets a limited time."""
        self._drop_protocols()
        self.stage = Stage.CLOSED
        self.reading = self.opening = False
        self.closing = True
        self.arm(self._wire.config.send_timeout, self.send_due)
        self.touch()

    def abort(self) -> None:
        """Asks for the transport to be dropped with what it holds, or not to be connected any further."""
        self.close()
        self.arm(None)
        self.out = None
        self.aborted = True
        self._wire.forget(self)

    def _drop_protocols(self) -> None:
        if self.fetches is not None:
            self._wire.withdraw(self)
        self.fetches = self.websocket = None

    # Deadlines

    def dial_due(self) -> None:
        """There is no transport yet."""
        if self.fetches is not None:
            self.fetches.fail("the connection could not be opened in time", abort=True)

    def answer_due(self) -> None:
        """A head or a body did not come in time."""
        if self.fetches is not None:
            self.fetches.fail("the answer did not come in time")

    def send_due(self) -> None:
        """The server takes nothing: the transport is dropped with what it holds."""
        if self.fetches is not None:
            self.fetches.fail("the request could not be sent in time", abort=True)
        else:
            self.abort()

    def close_due(self) -> None:
        """The server's close frame, or the end of what it sends, did not come in time."""
        end_link(self, 1006, None)
        self.close()

    def turn_due(self) -> None:
        """What the WebSocket left pending has its turn."""
        self.timer = None
        if self.link is not None:
            take_turn(self, self.link)

    def await_turn(self) -> None:
        """Waits until other connections, too, had their turn."""
        self.arm(TURN, self.turn_due)

    def await_close(self) -> None:
        """Waits for the server's part of a close, but not for ever."""
        self.arm(self._wire.config.close_timeout, self.close_due)

    def arm(self, seconds: float | None, due: Callable[[], None] | None = None) -> None:
        """Replaces the deadline of what the connection is doing."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None if seconds is None or due is None else self._wire.core.timers.after(seconds, due)

    # What all stages share

    def touch(self) -> None:
        """Puts the connection on the wire's list of those with something to do."""
        if not self.dirty:
            self.dirty = True
            self._wire.touched.append(self)

    def send(self, pieces: list[bytes]) -> None:
        """Queues bytes."""
        if self.out is None:
            self.out = pieces
        else:
            self.out += pieces
        self.touch()
