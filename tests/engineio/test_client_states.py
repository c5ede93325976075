"""The table of a client's life: every pair of a state and an input, then long walks with a server that does anything.

The grid below is what the protocol asks for, written down independently of the code's table.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sioproto import Response
from sioproto.engineio import (
    CLIENT_TABLE,
    ClientInput,
    ClientState,
    EngineClosed,
    EngineOpened,
    Fetch,
    Link,
    MessageArrived,
)
from sioproto.engineio.client_life import ClientLife
from sioproto.engineio.client_opening import read_open
from tests.engineio.pair import HANDSHAKE, Lone
from tests.virtual import living, payload

# The next state for each input, with nothing else in hand; "." where the state stays.
OP, OW, P, D, R, A, W, CP, PT, CA, CW, X = ClientState
COLUMNS = (OP, OW, P, D, R, A, W, CP, PT, CA, CW, X)
S = "."
GRID: dict[ClientInput, tuple[ClientState | str, ...]] = {
    # OPENING_   OPENING_   POLLING DIALING PROBING PAUSING WEBSOCKET CLOSING_ PARTING CLOSING_ CLOSING_ CLOSED
    #  POLLING    WEBSOCKET                                            POLLING          PAUSING  WEBSOCKET
    ClientInput.OPEN: (P, W, S, S, S, S, S, S, S, S, S, S),
    ClientInput.ANSWER: (P, S, S, S, S, W, S, S, S, X, S, S),
    ClientInput.DECODED: (S, S, S, S, S, W, S, S, S, X, S, S),
    ClientInput.POSTED: (S, S, S, S, S, W, S, PT, X, X, S, S),
    ClientInput.GET_FAILED: (X, S, X, X, X, X, S, S, S, X, S, S),
    ClientInput.POST_FAILED: (S, S, X, X, X, X, S, X, X, X, S, S),
    ClientInput.UPGRADE: (S, S, D, S, S, S, S, S, S, S, S, S),
    ClientInput.DIALED: (S, S, S, R, S, S, S, S, S, S, S, S),
    ClientInput.DIAL_FAILED: (S, X, S, P, S, S, S, S, S, S, S, S),
    ClientInput.PROBED: (S, S, S, S, A, S, S, S, S, S, S, S),
    ClientInput.STRAY: (S, S, S, S, P, P, S, S, S, PT, S, S),
    ClientInput.CANDIDATE_LOST: (S, S, S, S, P, P, S, S, S, PT, S, S),
    ClientInput.UPGRADE_OVERDUE: (S, S, S, P, P, P, S, S, S, PT, S, S),
    # Where the WebSocket takes what waits, closing ends at once.
    ClientInput.QUIET: (S, S, S, S, S, W, S, S, S, X, S, S),
    ClientInput.LINK_CLOSED: (S, X, S, S, S, S, X, S, S, S, X, S),
    ClientInput.LINK_FAILED: (S, X, S, S, S, S, X, S, S, S, X, S),
    ClientInput.GOODBYE: (X, X, X, X, X, X, X, X, X, X, X, S),
    ClientInput.GARBAGE: (X, X, X, X, X, X, X, S, S, S, S, S),
    ClientInput.PING_OVERDUE: (S, S, X, X, X, X, X, S, S, S, S, S),
    ClientInput.NETWORK_LOST: (X, X, X, X, X, X, X, X, X, X, X, S),
    # Polling with no POST in hand says goodbye at once; the WebSocket is blocked here.
    ClientInput.CLOSE: (X, X, PT, PT, PT, CA, CW, S, S, S, S, S),
    ClientInput.DISCARD: (X, X, X, X, X, X, X, X, X, X, X, S),
    ClientInput.DRAINED: (S, S, S, S, S, S, S, PT, S, S, X, S),
    ClientInput.CLOSE_OVERDUE: (S, S, S, S, S, S, S, X, X, X, X, S),
}


def bring(state: ClientState) -> Lone:
    """Returns a client in a state; a WebSocket that it runs over is blocked."""
    websocket = state in (OW, W, CW)
    lone = Lone(transports=("websocket",) if websocket else ("polling", "websocket"))
    if state is OP:
        return lone.begin()
    if websocket:
        lone.begin()
        link = lone.accept()
        if state is OW:
            return lone
        lone.open()
        lone.client.receive_blocked(link)
    else:
        lone.open(upgrades=[] if state in (P, CP, PT) else ["websocket"])
    if state in (R, A, CA):
        lone.accept()
    if state in (A, CA):
        lone.say("3probe")
    if state is CP:
        lone.client.send("in hand")
        lone.settle()
    if state in (CP, PT, CA, CW):
        lone.client.close()
    elif state is X:
        lone.client.close(discard=True)
    lone.settle()
    assert lone.client.state is state
    return lone


def feed(lone: Lone, given: ClientInput) -> None:
    """Gives a client one input with whatever belongs to it."""
    client = lone.client
    if given in (ClientInput.ANSWER, ClientInput.GET_FAILED, ClientInput.DECODED) and client.polling.get is not None:
        client.polling.finish(client.polling.get)
    if given in (ClientInput.POSTED, ClientInput.POST_FAILED) and client.polling.post is not None:
        client.polling.finish(client.polling.post)
    if given in (ClientInput.DIALED, ClientInput.DIAL_FAILED):
        client.dialed = None
    if client.state in (A, CA) and given in (ClientInput.POSTED, ClientInput.QUIET):
        client.polling.drop()
    if client.state is CP and given is ClientInput.DRAINED:
        client.polling.drop()
    if given is ClientInput.PING_OVERDUE:
        client.watch.stop()  # its timer has just fired
    arguments: dict[ClientInput, tuple[Any, ...]] = {
        ClientInput.OPEN: (read_open(json.dumps(HANDSHAKE)),),
        ClientInput.ANSWER: (
            b"6" if client.open or client.state in (CP, PT, CA) else b"0" + json.dumps(HANDSHAKE).encode(),
        ),
        ClientInput.DIALED: (Link(client),),
    }
    texts = {
        ClientInput.GET_FAILED, ClientInput.POST_FAILED, ClientInput.DIAL_FAILED, ClientInput.PROBED, ClientInput.STRAY,
        ClientInput.CANDIDATE_LOST, ClientInput.UPGRADE_OVERDUE, ClientInput.LINK_CLOSED, ClientInput.LINK_FAILED,
        ClientInput.GOODBYE, ClientInput.GARBAGE,
    }  # fmt: skip
    client.life.step(given, *arguments.get(given, ("why",) if given in texts else ()))
    lone.settle()


def test_the_grid_is_whole() -> None:
    assert set(GRID) == set(ClientInput)
    assert set(CLIENT_TABLE) == {(state, given) for state in ClientState for given in ClientInput}
    for following, action in CLIENT_TABLE.values():
        assert following in ClientState
        assert callable(getattr(ClientLife, action))


@pytest.mark.parametrize("given", list(ClientInput), ids=lambda given: given.name)
@pytest.mark.parametrize("state", list(ClientState), ids=lambda state: state.name)
def test_every_pair(state: ClientState, given: ClientInput) -> None:
    lone = bring(state)
    expected = GRID[given][COLUMNS.index(state)]
    feed(lone, given)
    assert lone.client.state is (state if expected == S else expected)
    assert len(lone.told(EngineClosed)) == (lone.client.state is X)
    # Whatever it was, a later end is clean.
    lone.client.close(discard=True)
    lone.settle()
    assert len(lone.told(EngineClosed)) == 1
    assert living(lone.client.timers) == {}
    assert lone.client.next_deadline() is None


# -- long walks

OPEN = "0" + json.dumps(HANDSHAKE)
UPGRADABLE = "0" + json.dumps(HANDSHAKE | {"upgrades": ["websocket"]})
PACKETS: list[str | bytes] = [
    "4",
    "4text",
    b"\x00\xff",
    "2",
    "2",
    "3",
    "5",
    "6",
    "6",
    "0",
    OPEN,
    UPGRADABLE,
    "1",
    "3probe",
    "3probe",
    "bAAA=",
    "bnot base64!",
    "",
    "9",
]
REASONS = {"transport close", "transport error", "parse error", "ping timeout", "forced close"}
SECONDS = [0.05, 1.0, 3.0, 5.0, 10.0, 46.0]


class Walk(RuleBasedStateMachine):
    """A server that does anything at any time, and a client that does as well.

    ``Lone.settle`` runs after each step and checks what holds whenever the client is quiet.
    """

    @initialize(
        transports=st.sampled_from([("polling",), ("polling", "websocket"), ("websocket", "polling"), ("websocket",)]),
        tries_all=st.booleans(),
        request_timeout=st.sampled_from([None, 3.0]),
    )
    def begin(self, transports: tuple[Any, ...], tries_all: bool, request_timeout: float | None) -> None:
        self.options: dict[str, Any] = {
            "transports": transports,
            "try_all_transports": tries_all,
            "request_timeout": request_timeout,
        }
        self.connect()

    def connect(self) -> None:
        self.lone = Lone(max_send_buffer=300, drain_mark=50, decode_slice=2, max_control_packets=4, **self.options)
        self.answered: list[Fetch] = []
        self.gone: list[Link] = []
        self.lone.begin()

    def in_hand(self, method: str, upgrade: bool = False) -> list[Fetch]:
        lone = self.lone
        return [
            each
            for each in lone.sent
            if (each.request.method, each.request.upgrade) == (method, upgrade)
            and each not in self.answered
            and each not in lone.dropped
        ]

    def links(self) -> list[Link]:
        return [link for link in self.lone.links if link not in self.gone]

    @property
    def dead(self) -> bool:
        return self.lone.client.state is X

    def respond(self, fetch: Fetch, response: Response) -> None:
        self.answered.append(fetch)
        self.lone.client.receive_response(fetch, response)
        if fetch.link is not None:
            self.lone.links.append(fetch.link)
        self.lone.settle()

    def fail(self, fetch: Fetch) -> None:
        self.answered.append(fetch)
        self.lone.client.receive_failure(fetch, "reset")
        self.lone.settle()

    @precondition(lambda self: self.dead)
    @rule()
    def open_again(self) -> None:
        self.connect()

    @precondition(lambda self: self.lone.client.state in (OP, OW))
    @rule(first=st.sampled_from([OPEN, UPGRADABLE, UPGRADABLE]))
    def shake_hands(self, first: str) -> None:
        if self.in_hand("GET"):
            self.respond(self.in_hand("GET")[0], Response(200, [], payload(first)))
            return
        if self.in_hand("GET", upgrade=True):
            self.respond(self.in_hand("GET", upgrade=True)[0], Response(101))
        self.lone.say(first)

    @precondition(lambda self: self.in_hand("GET"))
    @rule(packets=st.lists(st.sampled_from(PACKETS), min_size=1, max_size=6), status=st.sampled_from([200] * 9 + [400]))
    def answer(self, packets: list[str | bytes], status: int) -> None:
        self.respond(self.in_hand("GET")[0], Response(status, [], payload(*packets)))

    @precondition(lambda self: self.in_hand("GET"))
    @rule(number=st.integers(1, 9))
    def answer_messages(self, number: int) -> None:
        self.respond(self.in_hand("GET")[0], Response(200, [], payload(*["4m"] * number)))

    @precondition(lambda self: self.in_hand("GET"))
    @rule()
    def answer_noop(self) -> None:
        self.respond(self.in_hand("GET")[0], Response(200, [], b"6"))

    @precondition(lambda self: self.in_hand("POST"))
    @rule(status=st.sampled_from([200] * 9 + [400]))
    def take_post(self, status: int) -> None:
        self.respond(self.in_hand("POST")[0], Response(status, [], b"ok"))

    @precondition(lambda self: self.in_hand("GET", upgrade=True))
    @rule(status=st.sampled_from([101] * 9 + [400]))
    def answer_dial(self, status: int) -> None:
        self.respond(self.in_hand("GET", upgrade=True)[0], Response(status))

    @precondition(lambda self: self.in_hand("GET") + self.in_hand("POST") + self.in_hand("GET", upgrade=True))
    @rule(data=st.data())
    def lose_request(self, data: st.DataObject) -> None:
        requests = self.in_hand("GET") + self.in_hand("POST") + self.in_hand("GET", upgrade=True)
        self.fail(data.draw(st.sampled_from(requests)))

    @precondition(lambda self: self.lone.dropped)
    @rule(data=st.data(), status=st.sampled_from([101, 200, 400]))
    def answer_late(self, data: st.DataObject, status: int) -> None:
        fetch = data.draw(st.sampled_from(self.lone.dropped))
        self.lone.client.receive_response(fetch, Response(status, [], b"4late"))
        assert fetch.link is None
        self.lone.settle()

    @precondition(lambda self: self.links())
    @rule(data=st.data(), messages=st.lists(st.sampled_from(PACKETS), max_size=3))
    def say(self, data: st.DataObject, messages: list[str | bytes]) -> None:
        self.lone.say(*messages, link=data.draw(st.sampled_from(self.links())))

    @precondition(lambda self: self.lone.client.state is R)
    @rule()
    def answer_probe(self) -> None:
        self.lone.say("3probe")

    @precondition(lambda self: self.links())
    @rule(data=st.data(), error=st.sampled_from([None, "broken"]))
    def lose(self, data: st.DataObject, error: str | None) -> None:
        link = data.draw(st.sampled_from(self.links()))
        self.gone.append(link)
        self.lone.lose(error, link)

    @precondition(lambda self: self.links())
    @rule(data=st.data(), blocked=st.booleans())
    def press(self, data: st.DataObject, blocked: bool) -> None:
        link = data.draw(st.sampled_from(self.links()))
        (self.lone.client.receive_blocked if blocked else self.lone.client.receive_unblocked)(link)
        self.lone.settle()

    @rule(sizes=st.lists(st.sampled_from([1, 60, 299]), min_size=1, max_size=3))
    def send(self, sizes: list[int]) -> None:
        client = self.lone.client
        for size in sizes:
            sendable = client.open and not client.expired
            assert client.send("x" * size) == sendable
        self.lone.settle()

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        (self.lone.client.pause if paused else self.lone.client.resume)()
        self.lone.settle()

    @precondition(lambda self: not self.dead)
    @rule(discard=st.sampled_from([False, False, True]))
    def close(self, discard: bool) -> None:
        self.lone.client.close(discard)
        self.lone.settle()
        assert self.lone.client.ready_state in (("closed",) if discard else ("closing", "closed"))

    @rule(chance=st.integers(0, 9))
    def lose_network(self, chance: int) -> None:
        if not chance:
            self.lone.client.lose_network()
            self.lone.settle()
            assert self.dead

    @rule(seconds=st.sampled_from(SECONDS), awake=st.booleans())
    def pass_time(self, seconds: float, awake: bool) -> None:
        (self.lone.advance if awake else self.lone.oversleep)(seconds)

    @invariant()
    def one_of_each_in_hand(self) -> None:
        client = self.lone.client
        assert self.in_hand("GET") == [each for each in (client.polling.get,) if each is not None]
        assert self.in_hand("POST") == [each for each in (client.polling.post,) if each is not None]
        assert self.in_hand("GET", upgrade=True) == [each for each in (client.dialed,) if each is not None]

    @invariant()
    def other_links_are_closed(self) -> None:
        client = self.lone.client
        kept = [client.link, client.probe and client.probe.link]
        assert all(link in kept or link in self.lone.closed for link in self.links())

    @invariant()
    def nothing_stays_behind(self) -> None:
        if self.dead:
            assert living(self.lone.client.timers) == {}
            assert self.lone.client.next_deadline() is None

    @invariant()
    def told_in_order(self) -> None:
        events = [type(event) for event in self.lone.log]
        opened = self.lone.client.opened
        assert events.count(EngineOpened) == opened
        assert events.count(EngineClosed) == self.dead
        assert not opened or events[0] is EngineOpened
        assert not self.dead or events[-1] is EngineClosed
        assert set(events[opened : len(events) - self.dead]) <= ({MessageArrived} if opened else set())
        for event in self.lone.told(EngineClosed):
            assert event.reason in REASONS
            assert event.opened == opened
            assert opened or event.reason in ("transport error", "forced close")

    def teardown(self) -> None:
        self.lone.client.close(discard=True)
        self.lone.settle()
        self.one_of_each_in_hand()
        self.nothing_stays_behind()
        self.told_in_order()
        assert all(link in self.lone.closed for link in self.links())


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
