"""The HTTP half of a connection: its requests, one after the other, and the answers that the core gives them.

A request is handed to the core as soon as its head is there, and the next one is read when it is answered. What the
peer sends meanwhile is kept up to a mark; then reading stops. All of this is dropped when a WebSocket begins.

Rule 1: the core hears of the end of a request that it has in hand, once: by an answer of its own or ``receive_abort``.

Rule 2: a phase in which the peer owes something has a deadline. A held request has none: it is the core that owes.

Rule 3: whenever the core is told something, user code may run and output be taken before the call returns. By then an
answer may have been sent, or the connection be lost, and the request is in hand no more.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sioproto.engineio.request import Request
from sioproto.errors import LocalProtocolError
from sioproto_wire.http import CONTINUE, HttpError, HttpReader, error_response, write_response

if TYPE_CHECKING:
    from sioproto.engineio.request import Exchange, Response
    from sioproto.timers import Timer
    from sioproto_wire.connection import Connection
    from sioproto_wire.http import Head
    from sioproto_wire.server import ServerWire


class Phase(Enum):
    """What the HTTP half of a connection is doing."""

    IDLE = "waiting for a request"
    HEAD = "reading a head"
    BODY = "reading a body"
    """Of the request in hand, or of one that is answered already."""
    HELD = "waiting for the core's answer"


class Exchanges:
    """The requests of one connection, of which at most one is in hand."""

    __slots__ = ("_body_since", "_connection", "_delivered", "_exchange", "_pace", "_wire", "phase", "reader")

    def __init__(self, connection: Connection, wire: ServerWire) -> None:
        self._connection = connection
        self._wire = wire
        self._exchange: Exchange | None = None
        """The request in hand."""
        self._delivered = False
        """Whether the core has it with its body, and so answers it by itself rather than when there is news."""
        self._body_since = 0.0
        self._pace: Timer | None = None
        self.phase = Phase.IDLE
        self.reader = HttpReader(wire.config)

    @property
    def reading(self) -> bool:
        """Whether more bytes may be kept: between requests, and behind the one in hand, only so many."""
        busy = self.phase in (Phase.HEAD, Phase.BODY)
        return busy or len(self.reader.buffer) <= self._wire.config.max_pipelined

    def receive_eof(self) -> None:
        """Takes the end of what the peer sends. It still gets the answers to its whole requests."""
        if self.phase is Phase.HELD and not self._delivered:
            # A long-polling client that goes away looks just like this.
            self._connection.close()
        else:
            self.advance()

    def receive_answer(self, exchange: Exchange) -> None:
        """Takes the core's word that ``exchange`` has its response; one that is not in hand is ignored."""
        if exchange is self._exchange and exchange.response is not None:
            self._answer(exchange, exchange.response)
            self.advance()

    def advance(self) -> None:
        """Reads as far as what came allows: heads, bodies, and the requests behind them."""
        connection = self._connection
        while connection.exchanges is self:
            try:
                if self.phase is Phase.BODY:
                    progress = self._read_body()
                else:
                    progress = self.phase is not Phase.HELD and self._read_head()
            except HttpError as error:
                self.refuse(error)
                break
            if not progress:
                break

    def refuse(self, error: HttpError) -> None:
        """Answers for the core what that does not see, or not to its end, and closes."""
        wire, connection = self._wire, self._connection
        # The body of an answered request has no answer of its own.
        if self.phase is not Phase.BODY or self._exchange is not None:
            head = self.reader.head
            connection.send(write_response(error_response(error), head, close=True, server=wire.server_name))
        connection.finish(linger=True)

    def abandon(self) -> None:
        """Tells the core, when the connection ends, that nobody waits for the answer to the request in hand."""
        self._stop_pace()
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        if exchange.response is None:
            self._wire.core.receive_abort(exchange)
        elif exchange.link is not None:
            self._wire.core.receive_link_closed(exchange.link, 1006, None)

    # Deadlines

    def request_due(self) -> None:
        """A head or a body did not come in time."""
        self.refuse(HttpError(408))

    def pace_due(self) -> None:
        """Judges how fast a body comes, once a second."""
        wire = self._wire
        size = 0 if self.reader.body is None else self.reader.body.size
        judged = wire.core.timers.clock() - self._body_since - wire.config.body_grace
        if size < judged * wire.config.min_body_rate and not self._connection.blocked:
            self.request_due()
        else:
            self._pace = wire.pace_lane.arm(self._connection)

    # One request

    def _read_head(self) -> bool:
        """Begins the next request if its head is there. Returns whether there may be more to do."""
        connection, wire, reader = self._connection, self._wire, self.reader
        if reader.buffer:
            if connection.blocked:
                return False
            if connection.unsent > wire.config.max_unsent:
                if connection.timer is None:
                    connection.arm(wire.turn_lane)
                return False
        head = reader.read_head()
        if head is not None:
            self._begin(head)
            return True
        if connection.ended or (wire.stopping and not reader.buffer):
            connection.close()
        elif reader.buffer and self.phase is Phase.IDLE:
            self.phase = Phase.HEAD
            connection.arm(wire.head_lane)
        elif connection.timer is None:
            connection.arm(wire.keep_alive_lane)
        return False

    def _begin(self, head: Head) -> None:
        """Hands a request to the core."""
        connection, core, body = self._connection, self._wire.core, self.reader.body
        connection.arm(None)
        self.phase = Phase.HELD
        self._delivered = False
        request = Request(
            head.method,
            head.target,
            head.headers,
            address=connection.address,
            secure=connection.secure,
            upgrade=head.handshake is not None,
        )
        exchange = self._exchange = core.receive_request(request, connection)
        if connection.exchanges is not self:
            self.abandon()
            return
        wanted = exchange.response is None and (exchange.wants_body or exchange.foreign)
        if body is None:
            if wanted:
                self._delivered = True
                core.receive_body(exchange, b"")
        elif body.left > core.engine_config.max_payload:
            # The declared length is enough: the body stays unread, and the connection is closed after the answer.
            if exchange.response is None:
                core.receive_oversize(exchange)
        else:
            self.phase = Phase.BODY
            body.keep = wanted
            if wanted and head.expects:
                connection.send([CONTINUE])
                head.expects = False
        self._look_at(exchange)

    def _read_body(self) -> bool:
        """Reads on in a body. Returns whether there may be more to do."""
        connection, wire, reader, exchange = self._connection, self._wire, self.reader, self._exchange
        core, body = wire.core, reader.body
        assert body is not None
        try:
            body.receive(reader.buffer, core.engine_config.max_payload)
        except HttpError as error:
            if error.status != 413 or exchange is None:
                raise
            connection.arm(None)
            self.phase = Phase.HELD
            core.receive_oversize(exchange)
            self._look_at(exchange)
            return True
        if not body.done:
            if connection.ended:
                connection.close()
            elif self._pace is None:
                # Most bodies come in one piece with their heads and need no deadline.
                self._body_since = core.timers.clock()
                self._pace = wire.pace_lane.arm(connection)
                connection.arm(wire.body_lane)
            return False
        reader.body = None
        self._stop_pace()
        if exchange is None:
            self._rest()
            return True
        self.phase = Phase.HELD
        connection.arm(wire.send_lane if connection.blocked else None)
        if body.keep:
            self._delivered = True
            core.receive_body(exchange, bytes(body.data))
        self._look_at(exchange)
        return True

    def _look_at(self, exchange: Exchange) -> None:
        """Sends an answer that the core gave at once; when the core lists it as dirty, it is in hand no more."""
        if exchange is not self._exchange:
            return
        if exchange.response is not None:
            self._answer(exchange, exchange.response)
        elif self._connection.ended and self.phase is Phase.HELD and not self._delivered:
            self._connection.close()

    def _answer(self, exchange: Exchange, response: Response) -> None:
        """Sends the core's answer to the request in hand."""
        connection, wire, reader = self._connection, self._wire, self.reader
        head, body = reader.head, reader.body
        assert head is not None
        self._exchange = None
        link = exchange.link
        if link is not None:
            handshake = head.handshake if response.status == 101 else None
            if handshake is not None and connection.accept(handshake, link, response, reader.buffer):
                return
            wire.core.receive_link_closed(link, 1006, "the WebSocket could not be accepted")
            response = error_response(HttpError(500))
        # A body that is not wanted is skipped where its end is certain and near.
        skip = (
            body is not None and self.phase is Phase.BODY and not (body.keep or head.chunks is not None or head.expects)
        )
        close = not head.keep_alive or wire.stopping or head.handshake is not None or (body is not None and not skip)
        try:
            pieces = write_response(response, head, close=close, server=wire.server_name)
        except LocalProtocolError as error:
            wire.report(error)
            close = True
            pieces = write_response(error_response(HttpError(500)), head, close=True, server=wire.server_name)
        connection.send(pieces)
        if close:
            connection.finish(linger=body is not None or bool(reader.buffer))
        elif body is None:
            self._rest()

    def _rest(self) -> None:
        """Waits for the next request."""
        self.reader.head = None
        self.phase = Phase.IDLE
        self._connection.arm(self._wire.send_lane if self._connection.blocked else None)

    def _stop_pace(self) -> None:
        if self._pace is not None:
            self._pace.cancel()
            self._pace = None
