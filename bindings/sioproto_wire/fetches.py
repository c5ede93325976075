"""The HTTP half of a client's connection: its requests, one after the other, and the answers of the server.

The counterpart of ``exchanges``. A request is written as a whole, and the next one only when its answer is there:
nothing is pipelined. All of this is dropped when a WebSocket begins.

Rule 1: the core hears of the end of a request that it does not drop itself, once: by ``receive_response`` or
``receive_failure``.

Rule 2: an answer that began has a deadline. One that did not has none: a server holds a poll as long as it likes, and
the core knows when that is too long.

Rule 3: whenever the core is told something, it may ask again, and output be taken before the call returns. So
everything here is settled before.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from sioproto.engineio.request import Response
from sioproto_wire.answers import AnswerError, AnswerReader

if TYPE_CHECKING:
    from sioproto.engineio.fetch import Fetch
    from sioproto_wire.answers import AnswerHead
    from sioproto_wire.client import ClientWire
    from sioproto_wire.offer import Offer
    from sioproto_wire.outgoing import ClientConnection

MARGIN = 1.0
"""Seconds by which we are done with a connection before the server is, as far as it says."""

STALE = 1.0
"""Seconds without a request after which the server may have closed a connection when the next one is on its way."""


class Phase(Enum):
    """What the HTTP half of a client's connection is doing."""

    IDLE = "waiting for a request"
    SENT = "waiting for an answer"
    HEAD = "reading a head"
    BODY = "reading a body"


class Fetches:
    """The requests of one connection, of which at most one is in hand."""

    __slots__ = ("_connection", "_offer", "_reader", "_rested", "_stale", "_wire", "fetch", "phase")

    def __init__(self, connection: ClientConnection, wire: ClientWire) -> None:
        self._connection = connection
        self._wire = wire
        self._offer: Offer | None = None
        self._reader: AnswerReader | None = None
        self._rested = float("inf")
        """When the last request was answered, on the clock."""
        self._stale = False
        """Whether the server may have closed the connection before the request in hand came there."""
        self.fetch: Fetch | None = None
        """The request in hand."""
        self.phase = Phase.IDLE

    def begin(self, fetch: Fetch, pieces: list[bytes], offer: Offer | None) -> None:
        """Sends a request, which is written already, as soon as the transport is there."""
        wire = self._wire
        self.fetch = fetch
        self._stale = wire.core.timers.clock() - self._rested >= STALE
        self._offer = offer
        self._reader = AnswerReader(fetch.request, wire.config, wire.core.engine_config.max_payload)
        self.phase = Phase.SENT
        self._connection.send(pieces)

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Takes what the server sent."""
        if not data:
            return
        if self._reader is None:
            # Nobody asked. It may be the server's word that it closes, which is no answer to the next request.
            self._connection.close()
        else:
            self._reader.receive(data)
            self.advance()

    def advance(self) -> None:
        """Reads as far as what came allows."""
        connection, reader = self._connection, self._reader
        if reader is None:
            if connection.ended:
                connection.close()
            return
        try:
            whole = reader.read(ended=connection.ended)
            if whole and reader.head is not None:
                self._finish(reader.head, reader)
                return
        except AnswerError as error:
            self.fail(str(error))
            return
        phase = Phase.BODY if reader.head is not None else Phase.HEAD if reader.buffer else Phase.SENT
        if phase is not self.phase:
            self.phase = phase
            config = self._wire.config
            if phase is Phase.SENT:
                self.limit_sending()
            elif phase is Phase.HEAD:
                connection.arm(config.head_timeout, connection.answer_due)
            else:
                connection.arm(config.body_timeout, connection.answer_due)

    def limit_sending(self) -> None:
        """Limits how long a request may wait for a server that takes no more. Its answer is awaited without limit."""
        connection = self._connection
        if self.phase is Phase.SENT:
            if connection.blocked:
                connection.arm(self._wire.config.send_timeout, connection.send_due)
            else:
                connection.arm(None)

    def fail(self, error: str, *, abort: bool = False) -> None:
        """Gives up the request in hand, and the connection with it.

        Where the server seems to have closed the connection for want of requests, a GET is repeated. Not otherwise: the
        packets in an answer to a poll that is lost are gone, and asking again would hide that.
        """
        fetch, reader, wire = self.fetch, self._reader, self._wire
        self.fetch = self._reader = None
        if abort:
            self._connection.abort()
        else:
            self._connection.close()
        if fetch is None or reader is None:
            return
        if self._stale and not reader.begun and fetch.request.method == "GET":
            wire.repeat(fetch)
        else:
            wire.core.receive_failure(fetch, error)

    def _finish(self, head: AnswerHead, reader: AnswerReader) -> None:
        """Hands a whole answer to the core. Raises ``AnswerError`` for a WebSocket that was not asked for like that."""
        connection, wire, fetch = self._connection, self._wire, self.fetch
        assert fetch is not None
        response = Response(head.status, head.headers, b"" if reader.body is None else bytes(reader.body.data))
        if self._offer is not None and head.status == 101:
            deflate = self._offer.judge(head)
            self.fetch = self._reader = None
            connection.accept(fetch, response, deflate, reader.buffer)
            return
        self.fetch = self._reader = None
        self._rested = wire.core.timers.clock()
        seconds = wire.config.keep_alive_timeout
        if head.kept_for is not None:
            seconds = min(seconds, head.kept_for - MARGIN)
        # A WebSocket was refused: that connection was for nothing else. And one on which anything is left over, in
        # either direction, is of no use.
        busy = self._offer is not None or connection.ended or connection.blocked or connection.out or reader.buffer
        if busy or not head.keep_alive or seconds <= 0 or wire.stopping:
            connection.close()
        else:
            self.phase = Phase.IDLE
            connection.arm(seconds, connection.close)
            wire.free.append(connection)
        wire.core.receive_response(fetch, response)
