"""One connection as its binding sees it: bytes in, bytes out, whether to read, whether to close.

It begins with HTTP, whose requests are ``Exchanges``' affair; when the core accepts a WebSocket, that is dropped and a
``WebSocketWire`` takes its place, driven from here.

Rule 1: the core hears of the end of an accepted WebSocket once, by ``receive_link_closed``, however it ends.

Rule 2: nothing is handed out while the transport is blocked, but for the last words of a connection that ends.

Rule 3: after an answer to something that was not read to its end, what the peer goes on sending is read and discarded
for a while. Closing at once would reset the connection, and the peer might never see the answer (RFC 9112, 9.6).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto_wire.deflate import negotiate
from sioproto_wire.exchanges import Exchanges, Phase
from sioproto_wire.http import write_accept
from sioproto_wire.linking import Stage, end_link, follow_reading, follow_websocket, take_closing, take_turn
from sioproto_wire.websocket import WebSocketWire

if TYPE_CHECKING:
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Exchange, Response
    from sioproto.frame import Frame
    from sioproto.timers import Lane, Timer
    from sioproto_wire.http import Handshake
    from sioproto_wire.server import Core, ServerWire


class Connection:
    """One TCP, TLS or Unix connection as its owner drives it; made by ``ServerWire.connect``.

    The owner calls ``receive_*`` for what happens. After each such call, after deadlines and after wake-ups it goes
    through ``ServerWire.take_dirty()``: for each connection it sends ``take()``, closes the transport if ``closing``
    (after all that was taken is sent), drops it at once if ``aborted``, and reads or not as ``reading`` says. When the
    transport is gone it calls ``receive_lost()``, also when it closed the transport itself.
    """

    __slots__ = (
        "_lingered",
        "_wire",
        "aborted",
        "address",
        "blocked",
        "closing",
        "dirty",
        "ended",
        "exchanges",
        "half_closing",
        "link",
        "out",
        "owner",
        "reading",
        "secure",
        "stage",
        "timer",
        "websocket",
    )

    def __init__(self, wire: ServerWire, address: str, secure: bool, owner: Any) -> None:
        self.owner: Any = owner
        """A slot for whoever drives the connection."""
        self.address = address
        """The peer, as ``Request.address``."""
        self.secure = secure
        """Whether the connection is TLS."""
        self.reading = True
        """Whether bytes are wanted now."""
        self.closing = False
        """Whether the transport is to be closed once everything taken is sent."""
        self.half_closing = False
        """Whether nothing follows what is taken now, so that the sending half may be closed: optional, a courtesy."""
        self.aborted = False
        """Whether the transport is to be dropped at once, because its peer takes nothing."""
        self.dirty = False
        """Whether the connection is on the server's list."""
        self.blocked = False
        """Whether the transport takes no more for now."""
        self.ended = False
        """Whether the peer sends no more."""
        self.timer: Timer | None = wire.first_lane.arm(self)
        """The deadline of whatever the connection is doing."""
        self.exchanges: Exchanges | None = Exchanges(self, wire)
        """The HTTP half, as long as it lasts."""
        self.stage = Stage.HTTP
        self.link: Link | None = None
        """The core's side of a WebSocket, until that is over."""
        self.websocket: WebSocketWire | None = None
        self.out: list[bytes] | None = None
        """What is to be sent, but for the frames of a link."""
        self._wire = wire
        self._lingered = 0

    def __repr__(self) -> str:
        doing = self.stage.value if self.exchanges is None else self.exchanges.phase.value
        return f"<Connection {self.address}: {doing}>"

    @property
    def buffered(self) -> int:
        """Bytes of the peer's that are kept; parts of a WebSocket message are not counted."""
        if self.exchanges is None:
            return 0
        reader = self.exchanges.reader
        return len(reader.buffer) + (0 if reader.body is None else len(reader.body.data))

    @property
    def unsent(self) -> int:
        """Bytes that wait to be taken; frames of a WebSocket are not counted."""
        return 0 if self.out is None else sum(map(len, self.out))

    # Inputs

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what the peer sent, in any chunking; what is kept of ``data`` is copied. Never raises for the peer."""
        websocket = self.websocket
        if websocket is not None:
            messages = websocket.receive(data)
            if messages and self.link is not None:
                self._wire.core.receive_messages(self.link, messages)
            follow_websocket(self, websocket)
        elif self.exchanges is not None:
            self.exchanges.reader.receive(data)
            self.exchanges.advance()
            self._settle()
        elif self.stage is Stage.LINGERING:
            self._lingered += len(data)
            if self._lingered > self._wire.config.max_linger:
                self.close()

    def receive_eof(self) -> None:
        """Says that the peer sends no more. It still gets the answers to its whole requests; a held GET is over."""
        if self.ended:
            return
        self.ended = True
        if self.link is not None:
            end_link(self, 1006, None)
            self.close()
        elif self.stage is Stage.LINGERING:
            self.close()
        elif self.exchanges is not None:
            self.exchanges.receive_eof()
            self._settle()

    def receive_lost(self) -> None:
        """Says that the transport is gone; nothing is to be taken any more. Calling it again is harmless."""
        end_link(self, 1006, None)
        if self.stage is not Stage.CLOSED:
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
        elif self.exchanges is not None:
            if self.exchanges.phase in (Phase.IDLE, Phase.HELD):
                self.arm(self._wire.send_lane)
            self._settle()

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
        elif self.exchanges is not None:
            if self.exchanges.phase in (Phase.IDLE, Phase.HELD):
                self.arm(None)
            if self.out is not None:
                self.touch()
            self.exchanges.advance()
            self._settle()

    def receive_answer(self, exchange: Exchange) -> None:
        """Takes the core's word that ``exchange`` has its response."""
        if self.exchanges is not None:
            self.exchanges.receive_answer(exchange)
            self._settle()

    # Outputs

    def take(self) -> bytes:
        """Returns everything to be sent now, and forgets it."""
        self.dirty = False
        link = self.link
        if link is None:
            out = self.out
            if out is None or (self.blocked and self.exchanges is not None):
                return b""
            self.out = None
            return b"".join(out)
        if link.closing:
            return take_closing(self, link)
        if link.reading is not self.reading:
            follow_reading(self, link)
        if self.blocked:
            link.dirty = False  # its frames stay, but whatever else happens to it is to be heard of
            return b""
        frames = link.take()
        if self.out is None:
            if len(frames) == 1:
                websocket = self.websocket
                if websocket is None or websocket.deflate is None:
                    return frames[0].websocket
                return websocket.deflate.encode(frames[0])
            return b"".join(self._encode(frames))
        out, self.out = self.out, None
        out += self._encode(frames)
        return b"".join(out)

    def _encode(self, frames: list[Frame]) -> list[bytes]:
        return [] if self.websocket is None else self.websocket.write(frames)

    # WebSocket

    def accept(self, handshake: Handshake, link: Link, response: Response, rest: bytearray) -> bool:
        """Switches to WebSocket, of which ``rest`` came already. Returns False where the response cannot be sent."""
        wire, core = self._wire, self._wire.core
        options = wire.config.per_message_deflate
        agreed = None if options is None else negotiate(handshake.extensions, options)
        deflate, extensions = (None, None) if agreed is None else agreed
        try:
            head = write_accept(response, handshake, server=wire.server_name, extensions=extensions)
        except LocalProtocolError as error:
            wire.report(error)
            return False
        self.send([head])
        self.arm(None)
        self.exchanges = None
        self.stage = Stage.WEBSOCKET
        self.link = link
        self.websocket = WebSocketWire(core.engine_config.max_payload, wire.config.max_fragments, deflate)
        self.reading = link.reading
        if self.blocked:
            core.receive_blocked(link)
        if rest:
            self.receive_data(rest)
        return True

    # The end

    def finish(self, *, linger: bool) -> None:
        """Ends the connection after what is queued: at once, or when the peer has ended its part."""
        if not linger or self.ended:
            self.close()
            return
        self._drop_protocols()
        self.stage = Stage.LINGERING
        self.reading = self.half_closing = True
        self.await_close()
        self.touch()

    def close(self) -> None:
        """Asks for the transport to be closed after what is queued, for which the peer gets a limited time."""
        self._drop_protocols()
        self.stage = Stage.CLOSED
        self.reading = False
        self.closing = True
        self.arm(self._wire.send_lane)
        self.touch()

    def close_if_idle(self) -> None:
        """Closes the connection unless a request is on its way; called when the server shuts down."""
        exchanges = self.exchanges
        if exchanges is not None and exchanges.phase is Phase.IDLE and not exchanges.reader.buffer:
            self.close()

    def close_due(self) -> None:
        """The peer's close frame, or the end of what it sends, did not come in time."""
        end_link(self, 1006, None)
        self.close()

    def send_due(self) -> None:
        """The peer takes nothing: the transport is dropped with what it holds."""
        self.close()
        self.arm(None)
        self.aborted = True
        self._wire.forget(self)

    def turn_due(self) -> None:
        """A pipelined request, or what a WebSocket left pending, has its turn."""
        self.timer = None
        link = self.link
        if link is not None:
            take_turn(self, link)
        elif self.exchanges is not None:
            self.exchanges.advance()
            self._settle()

    def _drop_protocols(self) -> None:
        if self.exchanges is not None:
            self.exchanges.abandon()
        self.exchanges = self.websocket = None

    # What all stages share

    @property
    def core(self) -> Core:
        """Who is told what comes."""
        return self._wire.core

    def await_turn(self) -> None:
        """Waits until other connections, too, had their turn."""
        self.arm(self._wire.turn_lane)

    def await_close(self) -> None:
        """Waits for the peer's part of a close, but not for ever."""
        self.arm(self._wire.close_lane)

    def touch(self) -> None:
        """Puts the connection on the server's list of those with something to do."""
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

    def arm(self, lane: Lane[Connection] | None) -> None:
        """Replaces the deadline of what the connection is doing."""
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None if lane is None else lane.arm(self)

    def _settle(self) -> None:
        """Decides whether to go on reading HTTP."""
        exchanges = self.exchanges
        if exchanges is not None:
            reading = exchanges.reading and not (self.blocked or self.ended)
            if reading is not self.reading:
                self.reading = reading
                self.touch()
