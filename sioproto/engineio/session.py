"""One client's Engine.IO session: the actions behind the table in ``states``.

A session knows its transports only as an exchange in hand (polling) or a link (WebSocket). What is sent goes into one
outbox, in order; ``flush`` moves the outbox to whichever carrier is there at that moment. That is all there is to an
upgrade: until the peer says ``5`` the outbox leaves by polls, afterwards by the link, so nothing is lost, repeated or
reordered.

The rule not to be broken: a session ends in ``end`` and nowhere else, and ends once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from sioproto.engineio.events import CloseReason, MessageReceived, SessionClosed
from sioproto.engineio.heartbeat import Heartbeat
from sioproto.engineio.http import client_address, wants_base64
from sioproto.engineio.observing import PACKET_NAMES, Observed
from sioproto.engineio.packet import PacketType, count_messages, message_frame
from sioproto.engineio.payload import decode_packet
from sioproto.engineio.polling import Polling
from sioproto.engineio.probe import Probe
from sioproto.engineio.request import Exchange, Request, Response
from sioproto.engineio.states import TABLE, Input, State
from sioproto.engineio.transport import Transport
from sioproto.errors import RemoteProtocolError
from sioproto.frame import FRAME_COST, Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.config import TransportName
    from sioproto.engineio.link import Link
    from sioproto.engineio.server import EngineServer
    from sioproto.timers import Timer

NOOP = Frame(PacketType.NOOP, compress=False)
CLOSE = Frame(PacketType.CLOSE, compress=False)

ReadyState = Literal["open", "closing", "closed"]


class Session(Observed):
    """One client, across its transports; a Socket.IO user meets it as ``socket.conn``.

    Created by ``EngineServer`` when a handshake succeeds and told to the floor above by ``SessionOpened``. After
    ``SessionClosed`` every command is a harmless no-op.
    """

    __slots__ = (
        "_close_timer", "_drained", "_queued", "_server", "_unsent", "base64", "client", "dirty", "guard", "heartbeat",
        "id", "link", "open", "outbox", "paused", "polling", "probe", "remote_address", "request", "state", "upgraded",
    )  # fmt: skip
    protocol = 4
    """The revision of Engine.IO that the client speaks."""

    def __init__(self, server: EngineServer, sid: str, request: Request) -> None:
        super().__init__()
        self._server = server
        self.guard = server.guard
        self.id = sid
        """The session id: a secret between the two sides, never a socket's id."""
        self.request = request
        """The first request of the session."""
        self.remote_address = client_address(request, server.config)[0]
        """Where that came from; what proxies say of it counts only if they are trusted."""
        self.state = State.WEBSOCKET if request.upgrade else State.POLLING
        self.open = True
        self.upgraded = self.paused = self.dirty = False
        self.base64 = wants_base64(request)
        self.link: Link | None = None
        self.probe: Probe | None = None
        """The upgrade that is under way, if there is one."""
        self.polling = Polling(server, self)
        self.heartbeat = Heartbeat(self)
        self.outbox: list[Frame] = []
        self.client: Any = None
        """A slot for the floor above."""
        self._queued = 0
        self._unsent = 0
        self._close_timer: Timer | None = None
        self._drained: list[Callable[[], object]] | None = None

    # What a user may look at

    @property
    def transport_name(self) -> TransportName:
        """The transport that carries the session now. ``"polling"`` until an upgrade is complete."""
        return "websocket" if self.upgraded or self.request.upgrade else "polling"

    @property
    def transport(self) -> Transport:
        """The transport that carries the session now: ``conn.transport.name``."""
        return Transport(self)

    @property
    def ready_state(self) -> ReadyState:
        """``"open"``, ``"closing"`` while the last packets wait to be taken, or ``"closed"``."""
        if self.open:
            return "open"
        return "closed" if self.state is State.CLOSED else "closing"

    @property
    def upgrading(self) -> bool:
        """Whether a WebSocket is being probed."""
        return self.probe is not None

    @property
    def writable(self) -> bool:
        """Whether the transport would take a packet at once: a poll is held, or the WebSocket is not blocked."""
        link = self.link
        return self.polling.poll is not None if link is None else not link.blocked

    @property
    def queued(self) -> int:
        """Bytes on the wire that wait for the transport."""
        return self._queued

    @property
    def weight(self) -> int:
        """What they cost in memory: ``queued`` and ``FRAME_COST`` for each packet. ``max_send_buffer`` bounds this."""
        return self._queued + FRAME_COST * len(self.outbox)

    @property
    def unsent(self) -> int:
        """Messages that wait for the transport; after the end, those that it never was handed. An event is one, each
        binary attachment one more, a ping none. What was handed over counts as sent, though it may be lost with a
        connection.
        """
        return self._unsent + count_messages(self.outbox)

    # Commands

    def send(self, data: str | bytes, compress: bool = True) -> bool:
        """Sends one message. Returns False, and sends nothing, unless the session is open.

        Raises ``LocalProtocolError`` for what is no message: neither text nor bytes, or text with a lone surrogate.
        """
        frame = message_frame(data, compress)
        with self.guard:
            return self.write((frame,))

    def write(self, frames: Sequence[Frame]) -> bool:
        """Queues encoded packets, next to each other and in order. Returns False unless the session is open."""
        if not self.open:
            return False
        if self._observers is not None:
            self._notify_created(frames)
        self.outbox += frames
        queued = self._queued
        for frame in frames:
            queued += frame.size
        self._queued = queued
        if not self.dirty:
            self.dirty = True
            self._server.mark(self)
        if queued > self._server.config.drain_mark:
            self._server.press(self)
        return True

    def close(self, discard: bool = False) -> None:
        """Ends the session with ``"forced close"``.

        What was queued is delivered first: at once where the transport takes it, else as soon as it does, at most
        ``polling_close_timeout`` seconds. Meanwhile nothing more is sent or received. ``discard`` ends it at once.
        ``unsent`` tells what was not delivered.
        """
        with self.guard:
            self.step(Input.DISCARD if discard else Input.CLOSE)

    def when_drained(self, call: Callable[[], object]) -> None:
        """Calls ``call()`` once the transport took what was queued, or the session ended; at once if nothing waits."""
        with self.guard:
            if self.open and self._queued:
                self._drained = [*(self._drained or ()), call]
            else:
                call()

    def pause(self) -> None:
        """Stops reading from the peer. Pings go on, but no pong is overdue, because it is we who do not listen."""
        with self.guard:
            if not self.paused and self.open:
                self.paused = True
                self._read(False)

    def resume(self) -> None:
        """Reads again."""
        with self.guard:
            if self.paused:
                self.paused = False
                if self.open:
                    self._read(True)
                    self.heartbeat.resume(self._server.pong_lane)
                    self.polling.resume()

    # Inputs

    def step(self, given: Input, *args: Any) -> None:
        """Looks the input up in the table, moves to the next state and does what the row says."""
        self.state, action = TABLE[self.state, given]
        getattr(self, action)(*args)

    def receive_messages(self, messages: Sequence[str | bytes]) -> None:
        """Takes whole WebSocket messages that came over this session's link."""
        for message in messages:
            # The one hot road: a message packet on an open session.
            if self.open and isinstance(message, str) and message.startswith("4"):
                if self.heartbeat.grace or self._observers is not None:
                    self._note_traffic("4", message[1:])
                self._server.tell(MessageReceived(self, message[1:]))
            else:
                self.receive_packet(message)

    def receive_packet(self, packet: str | bytes) -> None:
        """Takes one packet from the transport that carries the session. A closing session ignores it."""
        if not self.open:
            return
        if isinstance(packet, bytes):
            self._note_traffic("4", packet)
            self._server.tell(MessageReceived(self, packet))
            return
        kind, data = packet[:1], packet[1:]
        if kind == "b":
            try:
                self.receive_packet(decode_packet(packet))
            except RemoteProtocolError as error:
                self.end("parse error", str(error))
            return
        if kind == PacketType.PONG:
            self.notify("packet", PACKET_NAMES.get(kind, "error"), data)
            self.heartbeat.start(self._server.ping_lane)
            self.notify("heartbeat")
            return
        self._note_traffic(kind, data)
        if kind == PacketType.MESSAGE:
            self._server.tell(MessageReceived(self, data))
        elif kind == PacketType.PING:
            self.end("transport error", "invalid heartbeat direction")
        elif kind == PacketType.CLOSE:
            self.polling.answer_poll([NOOP])
            self.polling.accept_post()
            self.end("transport close", None)
        elif kind not in (PacketType.OPEN, PacketType.UPGRADE, PacketType.NOOP):
            self.end("parse error", "unknown packet type")

    # Actions of the table, in its order

    def ignore(self, *_: Any) -> None:
        """Too late to matter."""

    def hold_poll(self, exchange: Exchange) -> None:
        """Holds a GET until there is something to say; a second one at the same time is an error."""
        if self.polling.hold_poll(exchange) and self.outbox and not self.dirty:
            self.dirty = True
            self._server.mark(self)

    def hold_post(self, exchange: Exchange, binary: bool = False) -> None:
        """Waits for the body of a POST; a second one at the same time is an error, and so is raw binary."""
        self.polling.hold_post(exchange, binary)

    def refuse_request(self, exchange: Exchange, binary: bool = False) -> None:
        """Answers a request that the judgement let through although no poll can be served any more."""
        self._server.answer(exchange, Response(400))

    def decode_body(self, body: bytes) -> None:
        self.polling.decode(body)

    def skip_body(self, body: bytes) -> None:
        """Answers a POST of a session that no longer listens, except to a peer that leaves and will not poll again."""
        self.polling.accept_post()
        if b"1" in body.split(b"\x1e"):
            self.end("forced close", None)

    def refuse_body(self) -> None:
        """Answers 413; the session stays as it is."""
        self.polling.refuse_post(413)

    def lose_poll(self) -> None:
        self.polling.poll = None
        self.end("transport error", "poll connection closed prematurely")

    def lose_post(self) -> None:
        self.polling.post = None
        self.end("transport error", "data request connection closed prematurely")

    def forget_post(self) -> None:
        """A POST that does not matter any more went away."""
        self.polling.post = None

    def start_probe(self, link: Link) -> None:
        self.probe = Probe(self._server, self, link)

    def close_stranger(self, link: Link) -> None:
        """Closes a WebSocket that came for a session which has one, or is upgrading to one; the session stays."""
        link.session = None
        link.close()
        self._server.carry(link)

    def answer_probe(self) -> None:
        if self.probe is not None:
            self.probe.answer()

    def switch_transport(self) -> None:
        """The peer said ``5``: from here on the outbox leaves by the WebSocket."""
        if self.probe is not None:
            self.link, self.probe = self.probe.stop(), None
        self.upgraded = True
        # The peer has paused its polling by now, so a held poll is a straggler; Node.js ends it with a close packet.
        self.polling.answer_poll([CLOSE])
        if self.paused:
            self._read(False)
        self.notify("upgrade", self.transport)
        if self.outbox and self.outbox[-1] is CLOSE:  # its own close says that to a WebSocket
            self.outbox.pop()
        if (self.outbox or not self.open) and not self.dirty:
            self.dirty = True
            self._server.mark(self)

    def drop_candidate(self) -> None:
        """An upgrade failed: that WebSocket is closed and polling goes on as it was."""
        if self.probe is not None:
            self.probe.drop()
            self.probe = None

    def release_poll(self) -> None:
        """Ends a held poll with a noop, so that the peer can pause its polling."""
        if self.probe is not None:
            self.probe.wait_for_noop()
        if not self.outbox:
            self.polling.answer_poll([NOOP])

    def lose_link(self) -> None:
        self.end("transport close", None)

    def fail_link(self, error: str | None) -> None:
        self.end("transport error", error)

    def ping(self) -> None:
        self.heartbeat.ping(self._server.pong_lane, self._server.timers.clock())

    def time_out(self) -> None:
        self.end("ping timeout", None)

    def start_closing(self) -> None:
        """Hands the last packets over at once if that is possible, and waits a bounded time if it is not."""
        self.open = False
        if self.state is not State.PROBED_CLOSING:
            self.drop_candidate()
        self.heartbeat.stop()
        self._close_timer = self._server.close_lane.arm(self)
        if self.polling.begun:
            self.polling.accept_post()
        if self.paused:
            self.paused = False
            self._read(True)
        if self.link is None and not self.outbox:
            self.outbox.append(CLOSE)
        self.flush()

    def force_close(self, *_: Any) -> None:
        self.end("forced close", None)

    # Output

    def flush(self) -> None:
        """Moves the outbox to the carrier that is there now; called by ``EngineServer.take_dirty()``."""
        self.dirty = False
        link = self.link
        frames = self.outbox
        if self.polling.poll is None if link is None else link.blocked:
            if self.weight > self._server.config.max_send_buffer:
                self.end("transport error", "slow consumer")
            return
        if frames:
            self.outbox = []
            self._queued = 0
            if link is None:
                self.polling.answer_poll(frames)
            else:
                if self.base64:
                    frames = [frame.as_text for frame in frames]
                if link.frames:
                    link.frames += frames
                else:
                    link.frames = frames
                self._server.carry(link)
        elif link is None:
            return
        if self._observers is not None and frames:
            self.notify("flush", tuple(frames))
            self.notify("drain")
        if self._drained is not None:
            self._call_drained()
        if not self.open and self.state is not State.CLOSED:
            if link is None and frames[-1] is not CLOSE:
                # By a poll of its own: stock clients take a close at once, before messages that came with it.
                self.outbox.append(CLOSE)
            else:
                self.step(Input.DRAINED)

    # Below this line: helpers

    def end(self, reason: CloseReason, description: str | None) -> None:
        """Ends the session, once: everything in hand is answered or closed, and ``SessionClosed`` is told."""
        server = self._server
        if not server.forget(self):
            return
        self.open = False
        self.state = State.CLOSED
        self.heartbeat.stop()
        self.drop_candidate()
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self.polling.answer_poll([CLOSE])
        self.polling.refuse_post(400)
        link = self.link
        if link is not None:
            if link.session is None:  # it is gone, and nobody takes what it was handed last
                self.outbox, link.frames = link.frames + self.outbox, []
            link.reading = True
            link.close(1008 if description == "slow consumer" else None)
            server.carry(link)
            self.link = None
        self._call_drained()
        # Its observers may still look at what was never sent, as in Node.js.
        self.notify("close", reason, description)
        self._unsent = self.unsent
        self.outbox = []
        self._queued = 0
        server.unsent += self._unsent
        server.tell(SessionClosed(self, reason, description, self._unsent))

    def _note_traffic(self, kind: str, data: str | bytes) -> None:
        self.heartbeat.extend(self._server.pong_lane)
        self.notify("packet", PACKET_NAMES.get(kind, "error"), data)

    def report(self, error: Exception, where: str) -> None:
        """Takes what an observer raised."""
        self._server.report(error, where)

    def _read(self, reading: bool) -> None:
        if self.link is not None:
            self.link.reading = reading
            self._server.carry(self.link)

    def _call_drained(self) -> None:
        calls, self._drained = self._drained, None
        self.call_all(calls or ())
