"""The table of a session's life: every pair of a state and an input, then long walks over a real server.

The grid below is what the protocol asks for, written down independently of the code's table.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sioproto import Request
from sioproto.engineio import (
    TABLE,
    Exchange,
    Input,
    MessageReceived,
    RequestRefused,
    Session,
    SessionClosed,
    SessionOpened,
    State,
)
from tests.virtual import CLOSING, Call, Client, EngineDriver, drive_engine, living, payload

# The next state for each input, with nothing else in hand; "." where the state stays.
P, R, D, W, PC, DC, WC, X = State
COLUMNS = (P, R, D, W, PC, DC, WC, X)
STAY = "."
GRID: dict[Input, tuple[State | str, ...]] = {
    #                      POLLING PROBING PROBED WEBSOCKET POLLING_CLOSING PROBED_CLOSING WEBSOCKET_CLOSING CLOSED
    Input.GET: (STAY, STAY, STAY, STAY, X, X, STAY, STAY),
    Input.POST: (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    Input.BODY: (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    Input.OVERSIZE: (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    Input.GET_LOST: (X, X, X, STAY, X, X, STAY, STAY),
    Input.POST_LOST: (X, X, X, STAY, STAY, STAY, STAY, STAY),
    Input.ATTACH: (R, STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    Input.PROBE: (STAY, D, D, STAY, STAY, STAY, STAY, STAY),
    Input.UPGRADE: (STAY, W, W, STAY, STAY, X, STAY, STAY),
    Input.STRAY: (STAY, P, P, STAY, STAY, PC, STAY, STAY),
    Input.CANDIDATE_LOST: (STAY, P, P, STAY, STAY, PC, STAY, STAY),
    Input.UPGRADE_OVERDUE: (STAY, P, P, STAY, STAY, PC, STAY, STAY),
    Input.NOOP_DUE: (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    Input.LINK_CLOSED: (STAY, STAY, STAY, X, STAY, STAY, X, STAY),
    Input.LINK_FAILED: (STAY, STAY, STAY, X, STAY, STAY, X, STAY),
    Input.PING_DUE: (STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    Input.PONG_OVERDUE: (X, X, X, X, STAY, STAY, STAY, STAY),
    # A WebSocket that takes what is queued is closed at once; PING_DUE and CLOSE find it blocked here.
    Input.CLOSE: (PC, PC, DC, WC, STAY, STAY, STAY, STAY),
    Input.DISCARD: (X, X, X, X, X, X, X, STAY),
    Input.DRAINED: (STAY, STAY, STAY, STAY, X, X, X, STAY),
    Input.CLOSE_OVERDUE: (STAY, STAY, STAY, STAY, X, X, X, STAY),
}


def bring(state: State) -> tuple[EngineDriver, Client, Session]:
    """Returns a session in a state, with no request in hand and, where it has one, a WebSocket that is blocked."""
    driver = drive_engine()
    client = driver.client("websocket" if state.name.startswith("WEBSOCKET") else "polling", polls=False)
    session = client.session
    if state in (State.PROBING, State.PROBED, State.PROBED_CLOSING):
        candidate = client.attach()
        if state is not State.PROBING:
            client.say(candidate, "2probe")
    elif state in (State.WEBSOCKET, State.WEBSOCKET_CLOSING):
        client.block()
    if state in CLOSING:
        session.close()
    elif state is State.CLOSED:
        session.close(discard=True)
    driver.settle()
    assert session.state is state
    return driver, client, session


def feed(driver: EngineDriver, client: Client, session: Session, given: Input) -> None:
    """Gives a session one input with whatever belongs to it."""
    if given is Input.ATTACH:
        client.attach()
        return
    if given is Input.PING_DUE:
        session.heartbeat.stop()  # its timer has just fired
    call = Call()
    call.exchange = Exchange(Request("GET", f"/socket.io/?EIO=4&transport=polling&sid={session.id}", []), call)
    arguments: dict[Input, tuple[Any, ...]] = {
        Input.GET: (call.exchange,),
        Input.POST: (call.exchange,),
        Input.BODY: (payload("4a"),),
        Input.LINK_FAILED: ("broken",),
    }
    session.step(given, *arguments.get(given, ()))
    driver.settle()


def test_the_grid_is_whole() -> None:
    assert set(GRID) == set(Input)
    assert set(TABLE) == {(state, given) for state in State for given in Input}
    for following, action in TABLE.values():
        assert following in State
        assert callable(getattr(Session, action))


@pytest.mark.parametrize("given", list(Input), ids=lambda given: given.name)
@pytest.mark.parametrize("state", list(State), ids=lambda state: state.name)
def test_every_pair(state: State, given: Input) -> None:
    driver, client, session = bring(state)
    expected = GRID[given][COLUMNS.index(state)]
    feed(driver, client, session, given)
    assert session.state is (state if expected == STAY else expected)
    closed = driver.told(SessionClosed)
    assert len(closed) == (session.state is State.CLOSED)
    assert (session.id in driver.core.sessions) == (session.state is not State.CLOSED)
    if session.state is State.CLOSED:
        assert living(driver.core.timers) == {}
    # Whatever it was, a later end is clean.
    driver.core.close()
    driver.settle()
    assert len(driver.told(SessionClosed)) == 1
    assert living(driver.core.timers) == {}
    assert driver.core.next_deadline() is None


# -- long walks

PACKETS: list[str | bytes] = [
    "4",
    "4text",
    b"\x00\xff",
    "2",
    "3",
    "5",
    "6",
    "0",
    "1",
    "2probe",
    "bAAA=",
    "bnot base64!",
    "",
    "9",
]
REASONS = {"transport close", "transport error", "parse error", "ping timeout", "forced close"}
SECONDS = [0.05, 0.1, 1.0, 5.0, 10.0, 20.0, 25.0, 46.0]


class Walk(RuleBasedStateMachine):
    """A client that does anything at any time, and a server that does as well.

    ``Driver.settle`` runs after each step and checks what holds whenever the core is quiet; a ``Call`` checks that it
    is answered once.
    """

    @initialize(transport=st.sampled_from(["polling", "websocket"]))
    def open(self, transport: str) -> None:
        self.driver = drive_engine(max_send_buffer=700, drain_mark=50, decode_slice=2, max_control_packets=4)
        self.connect(transport)

    def connect(self, transport: str) -> None:
        self.client = self.driver.client(transport, polls=False, pongs=False)
        self.calls: list[Call] = []
        self.sockets = [self.client.opening] if transport == "websocket" else []

    def in_hand(self, method: str) -> list[Call]:
        return [each for each in self.calls if each.exchange.request.method == method and not each.exchange.response]

    @property
    def dead(self) -> bool:
        return self.client.session.state is State.CLOSED

    @precondition(lambda self: self.dead)
    @rule(transport=st.sampled_from(["polling", "websocket"]))
    def open_again(self, transport: str) -> None:
        self.connect(transport)

    @rule()
    def get(self) -> None:
        self.calls.append(self.client.poll())

    @rule(kind=st.sampled_from(["text/plain"] * 5 + ["application/octet-stream"]))
    def post(self, kind: str) -> None:
        self.calls.append(self.client.begin_post(("content-type", kind)))

    @precondition(lambda self: self.in_hand("POST"))
    @rule(packets=st.lists(st.sampled_from(PACKETS), min_size=1, max_size=6))
    def body(self, packets: list[str | bytes]) -> None:
        self.client.finish_post(self.in_hand("POST")[0], payload(*packets))

    @precondition(lambda self: self.in_hand("POST"))
    @rule()
    def messages_only(self) -> None:
        self.client.finish_post(self.in_hand("POST")[0], payload(*["4m"] * 9))

    @precondition(lambda self: any(call.exchange.wants_body for call in self.in_hand("POST")))
    @rule()
    def oversize(self) -> None:
        call = self.in_hand("POST")[0]
        self.driver.core.receive_oversize(call.exchange)
        self.driver.settle()
        assert call.status == 413

    @precondition(lambda self: self.in_hand("GET") or self.in_hand("POST"))
    @rule(data=st.data())
    def abort(self, data: st.DataObject) -> None:
        self.client.abort(data.draw(st.sampled_from(self.in_hand("GET") + self.in_hand("POST"))))

    @rule()
    def attach(self) -> None:
        call = self.client.attach()
        if call.status == 101:
            self.sockets.append(call)

    @precondition(lambda self: self.sockets)
    @rule(data=st.data(), messages=st.lists(st.sampled_from([*PACKETS, "2probe", "2probe", "5", "5"]), max_size=3))
    def say(self, data: st.DataObject, messages: list[str | bytes]) -> None:
        self.client.say(data.draw(st.sampled_from(self.sockets)), *messages)

    @precondition(lambda self: self.sockets)
    @rule(data=st.data(), error=st.sampled_from([None, "broken"]))
    def lose(self, data: st.DataObject, error: str | None) -> None:
        call = data.draw(st.sampled_from(self.sockets))
        self.sockets.remove(call)
        self.driver.core.receive_link_closed(call.link, None, error)
        self.driver.settle()
        call.closed = True

    @precondition(lambda self: self.sockets)
    @rule(data=st.data(), blocked=st.booleans())
    def press(self, data: st.DataObject, blocked: bool) -> None:
        link = data.draw(st.sampled_from(self.sockets)).link
        if blocked:
            self.driver.core.receive_blocked(link)
        else:
            self.driver.core.receive_unblocked(link)
            self.driver.settle()

    @rule(sizes=st.lists(st.sampled_from([1, 60, 299]), min_size=1, max_size=3))
    def send(self, sizes: list[int]) -> None:
        session = self.client.session
        for size in sizes:
            was_open = session.open
            assert session.send("x" * size) == was_open
        self.driver.settle()

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        (self.client.session.pause if paused else self.client.session.resume)()
        self.driver.settle()

    @rule(discard=st.booleans())
    def close(self, discard: bool) -> None:
        self.client.session.close(discard)
        self.driver.settle()
        assert self.client.session.ready_state in (("closed",) if discard else ("closing", "closed"))

    @rule(seconds=st.sampled_from(SECONDS), awake=st.booleans())
    def pass_time(self, seconds: float, awake: bool) -> None:
        (self.driver.advance if awake else self.driver.oversleep)(seconds)

    @invariant()
    def one_of_each_in_hand(self) -> None:
        for method in ("GET", "POST"):
            assert len(self.in_hand(method)) <= 1

    @invariant()
    def nothing_stays_behind(self) -> None:
        if self.dead:
            assert not self.in_hand("GET")
            assert not self.in_hand("POST")
            assert all(call.closed for call in self.sockets)
            assert self.client.session.queued == 0
            assert living(self.driver.core.timers) == {}

    @invariant()
    def told_in_order(self) -> None:
        life: dict[Session, list[str]] = {}
        for event in self.driver.log:
            if isinstance(event, RequestRefused):
                continue
            life.setdefault(event.session, []).append(type(event).__name__)
            if isinstance(event, SessionClosed):
                assert event.reason in REASONS
        for session, events in life.items():
            over = session.state is State.CLOSED
            assert events[0] == SessionOpened.__name__
            assert events.count(SessionClosed.__name__) == over
            assert not over or events[-1] == SessionClosed.__name__
            assert set(events[1 : len(events) - over]) <= {MessageReceived.__name__}

    def teardown(self) -> None:
        self.driver.core.close()
        self.driver.settle()
        self.nothing_stays_behind()
        self.told_in_order()
        self.driver.advance(0.0)  # what was left of a POST is forgotten at the next turn
        assert self.driver.core.sessions == {}
        assert self.driver.core.next_deadline() is None
        assert self.driver.client().opening.status == 503


TestWalk = Walk.TestCase
TestWalk.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
