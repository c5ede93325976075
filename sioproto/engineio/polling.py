"""The polling half of a session: at most one GET and one POST in hand, each answered once.

(Engine.IO protocol, "HTTP long-polling".) A GET is held until there is something to say. A POST is decoded in slices,
so that half a million tiny packets do not keep everybody else waiting, and answered when all of it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.http import compress_body
from sioproto.engineio.payload import decode_payload, encode_payload
from sioproto.engineio.request import Exchange, Response
from sioproto.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto.engineio.server import EngineServer
    from sioproto.engineio.session import Session
    from sioproto.frame import Frame

NO_STORE = ("Cache-Control", "no-store")


class Polling:
    """The requests of one session that wait for an answer, and the POST that is being decoded."""

    __slots__ = ("_packets", "_server", "_session", "poll", "post")

    def __init__(self, server: EngineServer, session: Session) -> None:
        self._server = server
        self._session = session
        self.poll: Exchange | None = None
        """The GET that is held."""
        self.post: Exchange | None = None
        """The POST whose body is awaited or being decoded."""
        self._packets: Iterator[str | bytes] | None = None

    def hold_poll(self, exchange: Exchange) -> bool:
        """Holds a GET. Returns False if another one is held: that ends the session."""
        if self.poll is not None:
            self._server.answer(exchange, Response(400))
            self._session.end("transport error", "overlap from client")
            return False
        self.poll = exchange
        return True

    def hold_post(self, exchange: Exchange, binary: bool) -> None:
        """Waits for the body of a POST. Another one in hand, or raw binary, ends the session."""
        if binary:
            self._server.answer(exchange, Response(400))
            self._session.end("transport error", "invalid content")
        elif self.post is not None:
            self._server.answer(exchange, Response(400))
            self._session.end("transport error", "data request overlap from client")
        else:
            self.post = exchange
            exchange.wants_body = True

    def decode(self, body: bytes) -> None:
        """Begins to decode the body of the POST in hand."""
        # A peer that was not heard for a while may bring the pongs to all of its pings at once.
        room = self._server.config.max_control_packets + self._session.heartbeat.awaited
        try:
            self._packets = decode_payload(body, room)
        except RemoteProtocolError as error:
            self._reject(error)
        else:
            self.decode_some()

    def decode_some(self) -> None:
        """Decodes a slice, then lets others have their turn."""
        packets = self._packets
        session = self._session
        if packets is None or session.paused:
            return
        try:
            for _ in range(self._server.config.decode_slice):
                packet = next(packets, None)
                if packet is None:
                    self.accept_post()
                    return
                session.receive_packet(packet)
                if self._packets is None:  # that packet ended the session
                    return
        except RemoteProtocolError as error:
            self._reject(error)
        else:
            self._server.decode_later(self)

    def resume(self) -> None:
        """Goes on with what was left when the session was paused."""
        if self._packets is not None:
            self._server.decode_later(self)

    def accept_post(self) -> None:
        """Answers the POST in hand with ``ok``, whether or not its packets still mattered."""
        self._packets = None
        if self.post is not None:
            exchange, self.post = self.post, None
            self._server.answer(exchange, Response(200, [("Content-Type", "text/html"), NO_STORE], b"ok"))

    def refuse_post(self, status: int) -> None:
        """Answers the POST in hand with an error."""
        self._packets = None
        if self.post is not None:
            exchange, self.post = self.post, None
            self._server.answer(exchange, Response(status))

    def answer_poll(self, frames: list[Frame]) -> None:
        """Answers the GET in hand with packets, compressed if that is wanted and worth it."""
        if self.poll is None:
            return
        exchange, self.poll = self.poll, None
        server = self._server
        headers = [("Content-Type", "text/plain; charset=UTF-8"), NO_STORE]
        body = encode_payload(frames)
        compression = server.config.http_compression
        if (
            compression is not None
            and len(body) >= compression.threshold
            and any(frame.compress for frame in frames)
            and exchange.request.header("accept-encoding")
        ):
            body, more = compress_body(body, exchange.request, server.config)
            headers += more
        server.answer(exchange, Response(200, headers, body))

    @property
    def begun(self) -> bool:
        """Whether the body of the POST in hand is here."""
        return self.post is not None and not self.post.wants_body

    def _reject(self, error: RemoteProtocolError) -> None:
        self.refuse_post(400)
        self._session.end("parse error", str(error))
