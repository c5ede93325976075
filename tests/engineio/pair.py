"""A client of Engine.IO without bytes: alone, with a test for its server, or next to a real one.

``Lone`` shows what the client sends and lets the test answer. ``Pair`` has a network between the two sides: what is
under way is delivered one thing at a time, and a test, or Hypothesis, chooses what arrives next. Requests overtake each
other as they like; what goes over one WebSocket in one direction never does.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from sioproto import EngineConfig, Response
from sioproto.config import EngineClientConfig
from sioproto.engineio import (
    ClientState,
    EngineClient,
    EngineClosed,
    EngineServer,
    Exchange,
    Fetch,
    Link,
    MessageArrived,
    MessageReceived,
    Origin,
    parse_url,
)
from tests.virtual import BUDGET, Clock, check_engine, living, make_environment, payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto import Session
    from sioproto.timers import Timers

E = TypeVar("E")

URL: Origin = parse_url("http://server.example")[0]

HANDSHAKE = {"sid": "abc", "upgrades": [], "pingInterval": 25000, "pingTimeout": 20000, "maxPayload": 1000000}

OPENING = (ClientState.OPENING_POLLING, ClientState.OPENING_WEBSOCKET)
POLLS = (ClientState.POLLING, ClientState.DIALING, ClientState.PROBING)
UPGRADING = (ClientState.DIALING, ClientState.PROBING, ClientState.PAUSING, ClientState.CLOSING_PAUSING)
LINKED = (ClientState.WEBSOCKET, ClientState.CLOSING_WEBSOCKET)
CLOSING = (
    ClientState.CLOSING_POLLING,
    ClientState.PARTING,
    ClientState.CLOSING_PAUSING,
    ClientState.CLOSING_WEBSOCKET,
)


def check_client(client: EngineClient) -> None:
    """What holds whenever a client is quiet."""
    state, polling = client.state, client.polling
    assert client.open == (state in (*POLLS, ClientState.PAUSING, ClientState.WEBSOCKET))
    assert (client.probe is not None) == (state in UPGRADING) == client.upgrading
    assert (client.link is not None) == (state in LINKED) or state is ClientState.OPENING_WEBSOCKET
    assert client.queued == sum(frame.size for frame in client.outbox.frames)
    assert not client.outbox.dirty
    assert not (client.outbox.frames and not client.busy), "a packet was left behind"
    if state in POLLS and not client.paused and not polling.unfinished:
        assert polling.get is not None, "nobody polls"
    if state in (ClientState.PAUSING, ClientState.CLOSING_PAUSING):
        assert not polling.quiet, "the upgrade could go on"
    if state in (*LINKED, ClientState.CLOSED):
        assert polling.quiet
    if state is ClientState.CLOSED:
        assert client.queued == 0
        assert client.dialed is None


def armed(client: EngineClient) -> int:
    """Returns how many deadlines a client should have."""
    timed = client.config.request_timeout is not None
    requests = (client.polling.get is not None) + (client.polling.post is not None)
    return (client.open and not client.paused) + client.upgrading + (client.state in CLOSING) + timed * requests


class Lone:
    """A client whose server is the test. ``sent`` are its requests, ``frames`` what it said over its WebSockets."""

    def __init__(
        self, *, url: Origin = URL, transports: tuple[Any, ...] | None = None, jar: Any = None, **options: Any
    ) -> None:
        self.clock = Clock()
        self.wakes: list[bool] = []
        self.client = EngineClient(
            url,
            EngineClientConfig(**options),
            make_environment(self.clock),
            wake=self.wakes.append,
            jar=jar,
            transports=transports,
        )
        self.log: list[Any] = []
        """What the client told."""
        self.sent: list[Fetch] = []
        self.dropped: list[Fetch] = []
        self.frames: list[str | bytes] = []
        self.links: list[Link] = []
        """The WebSockets that were accepted."""
        self.closed: list[Link] = []
        """Those of them that the client closed."""

    def settle(self) -> Lone:
        """Takes what comes out until nothing does."""
        for _ in range(BUDGET):
            self.wakes.clear()
            carriers = self.client.take_dirty()
            for carrier in carriers:
                if isinstance(carrier, Link):
                    fresh = [frame.data for frame in carrier.take()]
                    assert not (fresh and carrier in self.closed), "frames behind a close"
                    self.frames += fresh
                    if carrier.closing and carrier not in self.closed:
                        self.closed.append(carrier)
                elif carrier.dropped:
                    assert carrier in self.sent, "dropped before it was sent"
                    assert carrier not in self.dropped, "dropped twice"
                    self.dropped.append(carrier)
                else:
                    assert carrier not in self.sent, "sent twice"
                    assert carrier.engine is self.client
                    self.sent.append(carrier)
            events = self.client.events()
            self.log += events
            if not carriers and not events and not self.wakes:
                check_client(self.client)
                assert sum(living(self.client.timers).values()) == armed(self.client)
                return self
        raise AssertionError("the client is never quiet")

    def told(self, kind: type[E]) -> list[E]:
        """Returns the events of one kind, so far."""
        return [event for event in self.log if isinstance(event, kind)]

    @property
    def heard(self) -> list[str | bytes]:
        """The messages that came."""
        return [event.data for event in self.told(MessageArrived)]

    @property
    def end(self) -> tuple[str, str | None] | None:
        """Why it ended; None while it has not."""
        ends = [(event.reason, event.description) for event in self.told(EngineClosed)]
        assert len(ends) <= 1
        return ends[0] if ends else None

    # The requests in hand

    @property
    def get(self) -> Fetch:
        """The poll that is held."""
        assert self.client.polling.get is not None, "no poll is in hand"
        return self.client.polling.get

    @property
    def post(self) -> Fetch:
        """The POST that waits for its answer."""
        assert self.client.polling.post is not None, "no POST is in hand"
        return self.client.polling.post

    @property
    def dialed(self) -> Fetch:
        """The request for a WebSocket."""
        assert self.client.dialed is not None, "no WebSocket is asked for"
        return self.client.dialed

    @property
    def link(self) -> Link:
        """The WebSocket that was accepted last."""
        return self.links[-1]

    # What a server does

    def begin(self) -> Lone:
        """The client asks for a session."""
        self.client.begin()
        return self.settle()

    def open(self, *packets: str | bytes, **handshake: Any) -> Lone:
        """It gets one, with ``packets`` right behind the handshake."""
        if self.client.state in OPENING and not self.sent:
            self.begin()
        first = "0" + json.dumps(HANDSHAKE | handshake)
        if self.client.dialed is not None:
            self.accept()
        if self.client.link is not None:
            return self.say(first, *packets)
        return self.answer(first, *packets)

    def answer(self, *packets: str | bytes, status: int = 200) -> Lone:
        """The poll is answered."""
        return self.respond(self.get, Response(status, [], payload(*packets)))

    def take_post(self, status: int = 200) -> list[str | bytes]:
        """The POST is answered; returns what was in it."""
        fetch = self.post
        self.respond(fetch, Response(status, [], b"ok"))
        return fetch.body.decode().split("\x1e")  # type: ignore[return-value]  # a list of str is one of both

    def respond(self, fetch: Fetch, response: Response) -> Lone:
        """Any request is answered in any way."""
        self.client.receive_response(fetch, response)
        return self.settle()

    def accept(self) -> Link:
        """The WebSocket is there."""
        fetch = self.dialed
        self.client.receive_response(fetch, Response(101))
        assert fetch.link is not None
        self.links.append(fetch.link)
        self.settle()
        return fetch.link

    def say(self, *messages: str | bytes, link: Link | None = None) -> Lone:
        """Messages come over the WebSocket."""
        self.client.receive_messages(link or self.link, messages)
        return self.settle()

    def lose(self, error: str | None = None, link: Link | None = None) -> Lone:
        """The WebSocket is closed, or with ``error`` broken."""
        self.client.receive_link_closed(link or self.link, None, error)
        return self.settle()

    def upgrade(self) -> Lone:
        """The connection moves to a WebSocket, from the moment at which that is asked for."""
        self.accept()
        self.say("3probe")
        return self.answer("6")

    def advance(self, seconds: float) -> Lone:
        """Time passes, from deadline to deadline."""
        end = self.clock.now + seconds
        for _ in range(BUDGET):
            deadline = self.client.next_deadline()
            if deadline is None or deadline > end:
                self.clock.now = end
                return self
            self.clock.now = max(self.clock.now, deadline)
            self.client.handle_timeout()
            self.settle()
        raise AssertionError("deadlines without end")

    def oversleep(self, seconds: float) -> Lone:
        """Time passes and is noticed only at its end."""
        self.clock.now += seconds
        self.client.handle_timeout()
        return self.settle()


class Pair:
    """A client, the server that it connects to, and the network between them."""

    def __init__(self, server: dict[str, Any] | None = None, /, **options: Any) -> None:
        self.clock = Clock()
        environment = make_environment(self.clock)
        self.server = EngineServer(EngineConfig(**(server or {})), environment)
        self.client = EngineClient(URL, EngineClientConfig(**options), environment)
        self.log: list[Any] = []
        """What the client told."""
        self.server_log: list[Any] = []
        self.channels: dict[object, deque[Callable[[], object]]] = {}
        """What is under way, in order, by what it travels on."""
        self._exchanges: dict[Fetch, Exchange] = {}
        self._peers: dict[Link, Link] = {}
        """The two ends of each WebSocket."""
        self._sides: dict[Link, EngineClient | EngineServer] = {}

    def begin(self) -> Pair:
        """Opens the connection."""
        self.client.begin()
        return self.settle()

    @property
    def session(self) -> Session:
        """The server's side."""
        (session,) = self.server.sessions.values()
        return session

    @property
    def heard(self) -> list[str | bytes]:
        """The messages that the client got."""
        return [event.data for event in self.log if isinstance(event, MessageArrived)]

    @property
    def server_heard(self) -> list[str | bytes]:
        """The messages that the server got."""
        return [event.data for event in self.server_log if isinstance(event, MessageReceived)]

    def told(self, kind: type[E]) -> list[E]:
        """Returns the events of one kind, on either side."""
        return [event for event in self.log + self.server_log if isinstance(event, kind)]

    # Moving things

    def settle(self) -> Pair:
        """Delivers in the order in which things were sent, until nothing is under way."""
        for _ in range(BUDGET):
            if not self.deliver():
                check_client(self.client)
                check_engine(self.server)
                return self
        raise AssertionError("the two are never quiet")

    def deliver(self, choice: int = 0) -> bool:
        """Delivers one of the things that could arrive next. Returns False if there are none."""
        self.collect()
        ready = [channel for channel, under_way in self.channels.items() if under_way]
        if not ready:
            return False
        self.channels[ready[choice % len(ready)]].popleft()()
        self.collect()
        return True

    def collect(self) -> None:
        """Takes what comes out of both sides."""
        for carrier in self.client.take_dirty():
            if isinstance(carrier, Link):
                self._take_link(carrier, self.server)
            elif carrier.dropped:
                self.channels.pop(carrier, None)
                if carrier in self._exchanges:
                    self._put(carrier, self.server.receive_abort, self._exchanges[carrier])
            else:
                self._put(carrier, self._request, carrier)
        for each in self.server.take_dirty():
            if isinstance(each, Link):
                self._take_link(each, self.client)
            elif each.response is not None:
                assert isinstance(each.owner, Fetch)
                self._put(each.owner, self._respond, each.owner, each, each.response)
        self.log += self.client.events()
        self.server_log += self.server.events()

    def cut(self) -> bool:
        """The WebSocket that is being probed goes away, with what is under way on it. False if there is none."""
        probe = self.client.probe
        if probe is None or probe.link is None:
            return False
        self._lose(probe.link)
        return True

    def advance(self, seconds: float) -> Pair:
        """Time passes on both sides, from deadline to deadline, with nothing under way for long."""
        end = self.clock.now + seconds
        for _ in range(BUDGET):
            deadline = self.next_deadline()
            if deadline is None or deadline > end:
                self.clock.now = end
                return self
            self.tick(deadline)
            self.settle()
        raise AssertionError("deadlines without end")

    def next_deadline(self) -> float | None:
        """Returns the next deadline of either side."""
        both = (self.client.next_deadline(), self.server.next_deadline())
        return min((each for each in both if each is not None), default=None)

    def tick(self, now: float) -> None:
        """Turns the clock and does what is due."""
        self.clock.now = max(self.clock.now, now)
        self.client.handle_timeout()
        self.server.handle_timeout()

    # Below this line: helpers

    def _put(self, channel: object, call: Callable[..., object], *args: Any) -> None:
        self.channels.setdefault(channel, deque()).append(lambda: call(*args))

    def _request(self, fetch: Fetch) -> None:
        exchange = self.server.receive_request(fetch.request, fetch)
        self._exchanges[fetch] = exchange
        if exchange.wants_body:
            self.server.receive_body(exchange, fetch.body)

    def _respond(self, fetch: Fetch, exchange: Exchange, response: Response) -> None:
        if exchange.link is not None:
            # The client's end is known only once it has the answer; what the server says before that waits.
            self.client.receive_response(fetch, response)
            if fetch.link is None:
                self.server.receive_link_closed(exchange.link)
            else:
                self._peers[fetch.link], self._peers[exchange.link] = exchange.link, fetch.link
                self._sides[fetch.link], self._sides[exchange.link] = self.client, self.server
                self._take_link(exchange.link, self.client)
        else:
            self.client.receive_response(fetch, response)

    def _take_link(self, link: Link, to: EngineClient | EngineServer) -> None:
        peer = self._peers.get(link)
        if peer is None:
            return
        messages = [frame.data for frame in link.take()]
        if messages:
            self._put(link, to.receive_messages, peer, messages)
        if link.closing:
            self._put(link, self._lose, link)

    def _lose(self, link: Link) -> None:
        peer = self._peers.pop(link, None)
        if peer is not None:
            self._peers.pop(peer, None)
            self.channels.pop(link, None)
            self.channels.pop(peer, None)
            for end in (link, peer):
                self._sides.pop(end).receive_link_closed(end)


def timers_of(timers: Timers) -> int:
    """Returns how many living timers there are."""
    return sum(living(timers).values())
