"""The actions behind the table in ``client_states``: what follows from what happens to a client's connection.

The upgrade needs no more than an order of things. What is sent waits in one list, which leaves by whichever carrier is
there: POSTs, or the WebSocket. While polling is being paused there is none, so the list waits; then it leaves by the
WebSocket, or by POSTs again if the upgrade failed. So nothing is lost, repeated or reordered.

The rule not to be broken: a connection ends in ``end`` and nowhere else, and ends once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.engineio.client_events import EngineClosed, EngineOpened
from sioproto.engineio.client_probe import ClientProbe
from sioproto.engineio.client_states import CLIENT_TABLE, ClientInput, ClientState
from sioproto.engineio.packet import PacketType
from sioproto.engineio.transport import Transport
from sioproto.errors import RemoteProtocolError
from sioproto.frame import Frame

if TYPE_CHECKING:
    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.client_opening import OpenPacket
    from sioproto.engineio.events import CloseReason
    from sioproto.engineio.link import Link
    from sioproto.timers import Timer

CLOSE = Frame(PacketType.CLOSE, compress=False)
PROBE = Frame(PacketType.PING + "probe", compress=False)
UPGRADE = Frame(PacketType.UPGRADE, compress=False)

LINK_ERROR = "websocket error"


class ClientLife:
    """Where one client stands, and what it does when something happens."""

    __slots__ = ("_client", "_close_timer", "ended", "state")

    def __init__(self, client: EngineClient, state: ClientState) -> None:
        self._client = client
        self.state = state
        self.ended = False
        """Whether ``EngineClosed`` was told."""
        self._close_timer: Timer | None = None

    def step(self, given: ClientInput, *args: Any) -> None:
        """Looks the input up in the table, moves to the next state and does what the row says."""
        self.state, action = CLIENT_TABLE[self.state, given]
        getattr(self, action)(*args)

    # Actions of the table, in its order

    def ignore(self, *_: Any) -> None:
        """Too late to matter."""

    def open_session(self, packet: OpenPacket) -> None:
        client = self._client
        client.id = packet.sid
        client.ping_interval, client.ping_timeout = packet.ping_interval, packet.ping_timeout
        client.server_max_payload = packet.max_payload
        client.open = client.opened = True
        client.watch.start()
        client.tell(EngineOpened(client))
        if client.config.upgrade and "websocket" in packet.upgrades and "websocket" in client.opening.transports:
            self.step(ClientInput.UPGRADE)

    def take_link(self, link: Link) -> None:
        self._client.link = link

    def fail_opening(self, text: str) -> None:
        """The next transport has its turn, if there is one. Nothing of this one is left."""
        client = self._client
        if client.opening.give_way():
            self._let_go()
            client.opening.ask()
        else:
            self.end("transport error", text)

    def decode_answer(self, body: bytes) -> None:
        self._client.polling.decode(body)

    def skip_answer(self, body: bytes) -> None:
        """A closing client looks for one thing: whether the server closes, too, which it says in the last packet."""
        if body == b"1" or body.endswith(b"\x1e1"):
            self.step(ClientInput.GOODBYE)
        else:
            self.step(ClientInput.DECODED)

    def poll_again(self) -> None:
        self._client.polling.poll()

    def post_more(self) -> None:
        if self._client.outbox.frames:
            self._client.outbox.mark()

    def fail(self, text: str) -> None:
        self.end("transport error", text)

    def dial_candidate(self) -> None:
        self._client.probe = ClientProbe(self._client)
        self._client.dial()

    def send_probe(self, link: Link) -> None:
        client = self._client
        if client.probe is not None:
            client.probe.link = link
            link.frames.append(PROBE)
            client.carriers.carry(link)

    def pause_polling(self, *_: Any) -> None:
        """The server agreed: nothing new is sent, and when the poll in hand comes back the WebSocket takes over."""
        client = self._client
        if client.probe is not None:
            client.notify("upgrading", Transport(client, client.probe.link))

    def look_for_quiet(self) -> None:
        if self._client.polling.quiet:
            self.step(ClientInput.QUIET)

    def switch_transport(self) -> None:
        """Polling rests: ``5`` is said, and from here on everything leaves by the WebSocket."""
        client = self._client
        if client.probe is None or client.probe.link is None:
            return
        client.probe.stop()
        client.link, client.probe = client.probe.link, None
        client.link.frames.append(UPGRADE)
        client.link.reading = not client.paused
        client.carriers.carry(client.link)
        client.upgraded = True
        client.notify("upgrade", client.transport)
        if client.outbox.frames or not client.open:
            client.outbox.mark()

    def fail_upgrade(self, text: str) -> None:
        """That WebSocket is given up, and polling goes on as it was."""
        client = self._client
        self._drop_candidate(text)
        if client.open:
            client.polling.poll()
        if client.outbox.frames or not client.open:
            client.outbox.mark()

    def lose(self, text: str) -> None:
        self.end("transport close", text)

    def reject(self, text: str) -> None:
        self.end("parse error", text)

    def time_out(self) -> None:
        self.end("ping timeout", None)

    def lose_network(self) -> None:
        self.end("transport close" if self._client.opened else "transport error", "network connection lost")

    def start_closing(self) -> None:
        """Hands the last packets over at once if that is possible, and waits a bounded time if it is not."""
        client = self._client
        client.open = False
        client.watch.stop()
        self._limit_closing()
        if self.state is not ClientState.CLOSING_PAUSING:
            self._drop_candidate("socket closed")  # an observer of that may be in more of a hurry
        client.polling.skip()
        if client.paused:
            client.paused = False
            client.read(True)
        client.outbox.flush()
        if self.state is ClientState.CLOSING_PAUSING:  # it may be the answer that was skipped that was waited for
            self.look_for_quiet()

    def post_rest(self) -> None:
        """Sends the next POST. The server takes what it is sent, so it gets its time once more: they may be many."""
        self._limit_closing()
        self._client.outbox.flush()

    def say_goodbye(self) -> None:
        """In a POST of its own: servers take a close at once, before messages that came with it."""
        self._client.polling.send((CLOSE,))

    def force_close(self, *_: Any) -> None:
        self.end("forced close", None)

    # The end

    def end(self, reason: CloseReason, description: str | None) -> None:
        """Ends the connection, once: everything in hand is dropped or closed, and ``EngineClosed`` is told."""
        if self.ended:
            return
        client = self._client
        self.ended = True
        self.state = ClientState.CLOSED
        client.open = False
        client.watch.stop()
        if self._close_timer is not None:
            self._close_timer.cancel()
            self._close_timer = None
        self._drop_candidate("socket closed")
        link, outbox = client.link, client.outbox
        if link is not None and link.session is None:  # it is gone, and nobody takes what it was handed last
            outbox.frames, link.frames = link.frames + outbox.frames, []
        self._let_go()
        # Its observers may still look at what was never sent, as in Node.js.
        client.notify("close", reason, description)
        outbox.clear()
        client.tell(EngineClosed(client, reason, description, client.opened, client.unsent))
        client.carriers.rouse()

    # Below this line: helpers

    def _let_go(self) -> None:
        """Drops the requests in hand and closes the WebSocket."""
        client = self._client
        client.polling.drop()
        client.hang_up()
        if client.link is not None:
            client.link.session = None
            client.link.reading = True
            client.link.close()
            client.carriers.carry(client.link)
            client.link = None

    def _drop_candidate(self, text: str) -> None:
        client = self._client
        if client.probe is not None:
            client.hang_up()
            client.probe.drop()
            client.probe = None
            client.notify("upgrade_error", RemoteProtocolError(f"probe error: {text}"))

    def _limit_closing(self) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._close_timer = self._client.timers.after(self._client.config.close_timeout, self._close_overdue)

    def _close_overdue(self) -> None:
        self._close_timer = None
        self.step(ClientInput.CLOSE_OVERDUE)
