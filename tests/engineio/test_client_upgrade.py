"""A client that moves from polling to WebSocket: what it waits for, what it does when that fails, and that nothing is
lost, repeated or reordered on the way.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import RemoteProtocolError, Response
from sioproto.engineio import ClientState, EngineClosed, EngineOpened, SessionClosed, State
from sioproto.frame import FRAME_COST
from tests.engineio.pair import UPGRADING, Lone, Pair
from tests.virtual import living, payload

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.engineio.transport import Transport

STAGES = ("dialing", "probing", "pausing")
EACH_STAGE = pytest.mark.parametrize("stage", STAGES)


def bring(stage: str, **options: Any) -> Lone:
    """Returns a client in the middle of an upgrade."""
    alone = Lone(**options).open(upgrades=["websocket"])
    if stage != "dialing":
        alone.accept()
    if stage == "pausing":
        alone.say("3probe")
    assert alone.client.state is ClientState[stage.upper()]
    return alone


def errors_of(alone: Lone) -> list[str]:
    """Returns the list in which failed upgrades are noted."""
    seen: list[str] = []

    def note(error: RemoteProtocolError) -> None:
        assert isinstance(error, RemoteProtocolError)
        seen.append(str(error))

    alone.client.on("upgradeError", note)
    return seen


def methods(alone: Lone) -> list[str]:
    """Returns which requests were sent."""
    return ["WS" if fetch.request.upgrade else fetch.request.method for fetch in alone.sent]


# -- as it should be


def test_an_upgrade_step_by_step() -> None:
    alone = Lone()
    client = alone.client
    seen: list[tuple[str, str]] = []

    def note(event: str) -> Callable[[Transport], None]:
        return lambda transport: seen.append((event, transport.name))

    client.on("upgrading", note("upgrading"))
    client.on("upgrade", note("upgrade"))
    alone.open(upgrades=["websocket"])
    assert alone.told(EngineOpened)
    assert methods(alone) == ["GET", "WS", "GET"]
    assert dict(alone.dialed.request.query) == {"EIO": "4", "transport": "websocket", "sid": "abc"}
    assert (client.upgrading, client.upgraded) == (True, False)
    alone.accept()
    assert alone.frames == ["2probe"]
    # Until the server agrees polling goes on in both directions.
    alone.answer("4one")
    client.send("two")
    alone.settle()
    assert alone.take_post() == ["4two"]
    assert methods(alone)[3:] == ["GET", "POST"]
    assert (client.transport_name, client.writable, seen) == ("polling", True, [])
    # Then nothing new is polled or posted, and what is sent waits.
    alone.say("3probe")
    assert seen == [("upgrading", "websocket")]
    client.send("three")
    alone.settle()
    assert (client.transport_name, client.writable, client.queued) == ("polling", False, 6)
    assert methods(alone)[5:] == []
    alone.answer("4in between", "6")
    assert alone.frames == ["2probe", "5", "4three"]
    assert seen == [("upgrading", "websocket"), ("upgrade", "websocket")]
    assert (client.transport_name, client.upgraded, client.upgrading, client.writable) == (
        "websocket",
        True,
        False,
        True,
    )
    assert methods(alone)[5:] == []
    alone.say("4last")
    assert alone.heard == ["one", "in between", "last"]


@pytest.mark.parametrize("order", [("GET", "POST"), ("POST", "GET")])
def test_a_poll_and_a_post_in_hand_are_awaited(order: tuple[str, str]) -> None:
    alone = bring("probing")
    alone.client.send("in hand")
    alone.settle()
    alone.say("3probe")
    for method in order:
        assert alone.client.state is ClientState.PAUSING
        assert "5" not in alone.frames
        if method == "GET":
            alone.answer("6")
        else:
            alone.take_post()
    assert alone.frames == ["2probe", "5"]


def test_an_answer_that_is_being_decoded_is_awaited() -> None:
    alone = bring("probing", decode_slice=2)
    alone.client.receive_response(alone.get, Response(200, [], payload("41", "42", "43", "44", "45")))
    alone.say("3probe")
    assert (alone.client.state, alone.heard) == (ClientState.PAUSING, ["1", "2"])
    alone.advance(0)
    assert (alone.client.state, alone.heard) == (ClientState.WEBSOCKET, ["1", "2", "3", "4", "5"])


def test_a_ping_in_the_last_answer_is_answered_over_the_websocket() -> None:
    alone = bring("pausing")
    alone.answer("2", "6")
    assert alone.frames == ["2probe", "5", "3"]


def test_the_heartbeat_goes_on_across_an_upgrade() -> None:
    alone = bring("probing", upgrade_timeout=1000)
    alone.advance(30)
    alone.say("3probe")
    alone.answer("6").advance(14.9)
    assert alone.client.open
    alone.advance(0.1)
    assert alone.end == ("ping timeout", None)
    late = bring("pausing", upgrade_timeout=1000).advance(45)
    assert late.end == ("ping timeout", None)


def test_a_paused_client_does_not_read_from_the_new_websocket() -> None:
    alone = bring("probing")
    alone.client.send("x")
    alone.settle().say("3probe")
    alone.answer("6")
    alone.client.pause()
    alone.take_post()
    assert alone.client.transport_name == "websocket"
    assert not alone.link.reading
    alone.client.resume()
    assert alone.settle().link.reading


def test_an_answer_that_a_paused_client_holds_is_awaited() -> None:
    alone = bring("probing")
    alone.client.pause()
    alone.answer("4x", "6")
    alone.say("3probe")
    alone.advance(1)
    assert alone.client.state is ClientState.PAUSING
    alone.client.resume()
    alone.settle().advance(0)
    assert alone.client.transport_name == "websocket"
    assert alone.heard == ["x"]


def test_a_candidate_that_is_blocked_holds_what_is_sent() -> None:
    alone = bring("pausing")
    alone.client.send("held")
    alone.client.receive_blocked(alone.link)
    alone.answer("6")
    assert (alone.frames, alone.client.queued) == (["2probe", "5"], 5)
    alone.client.receive_unblocked(alone.link)
    assert alone.settle().frames == ["2probe", "5", "4held"]


def test_messages_right_behind_the_answer_to_a_probe() -> None:
    # No honest server sends them before "5"; they are nothing that polling would have brought.
    alone = bring("probing")
    errors = errors_of(alone)
    alone.say("3probe", "4too early")
    assert alone.heard == []
    assert errors == ["probe error: unexpected packet"]
    assert alone.client.state is ClientState.POLLING


@pytest.mark.parametrize(
    ("handshake", "options"),
    [
        ({"upgrades": []}, {}),
        ({"upgrades": ["webtransport", 5]}, {}),
        ({"upgrades": ["websocket"]}, {"upgrade": False}),
        ({"upgrades": ["websocket"]}, {"transports": ("polling",)}),
        ({"upgrades": ["websocket"]}, {"transports": ("websocket", "polling")}),
    ],
)
def test_where_there_is_no_upgrade(handshake: dict[str, Any], options: dict[str, Any]) -> None:
    alone = Lone(**options).open(**handshake)
    alone.advance(20)
    assert not alone.client.upgrading
    assert methods(alone).count("WS") == (alone.client.transport_name == "websocket")


# -- with a real server


def test_an_upgrade_with_a_real_server() -> None:
    pair = Pair().begin()
    assert (pair.client.state, pair.session.state) == (ClientState.PAUSING, State.PROBED)
    for side in (pair.client, pair.session):
        side.send("on the way")
    pair.settle()
    pair.advance(0.1)  # when the server lets go of the poll
    assert pair.client.state is ClientState.WEBSOCKET
    assert pair.session.transport_name == "websocket"
    for side in (pair.client, pair.session):
        side.send(b"there")
    pair.advance(300)
    assert pair.heard == pair.server_heard == ["on the way", b"there"]
    assert pair.client.open
    pair.client.close()
    pair.settle()
    assert living(pair.client.timers) == living(pair.server.timers) == {}


def test_a_real_server_that_has_no_websocket() -> None:
    pair = Pair({"allow_upgrades": False}).begin().advance(200)
    assert pair.client.state is ClientState.POLLING
    assert pair.told(EngineClosed) == []


# -- as it should not be


def fail(alone: Lone, how: str) -> None:
    """Lets an upgrade fail."""
    if how == "overdue":
        alone.advance(alone.client.config.upgrade_timeout)
    elif how == "refused":
        alone.respond(alone.dialed, Response(400, [], b'{"code":3,"message":"Bad request"}'))
    elif how == "unreachable":
        alone.client.receive_failure(alone.dialed, "unreachable")
        alone.settle()
    elif how in ("closed", "broken"):
        alone.lose(None if how == "closed" else "broken")
    else:
        alone.say(how)


FAILURES = [
    ("dialing", "refused", "websocket error 400"),
    ("dialing", "unreachable", "websocket error: unreachable"),
    *((stage, "overdue", "timeout") for stage in STAGES),
    *((stage, "closed", "websocket connection closed") for stage in STAGES[1:]),
    *((stage, "broken", "websocket error: broken") for stage in STAGES[1:]),
    *((stage, how, "unexpected packet") for stage in STAGES[1:] for how in ("4x", "3", "5", "1", "", "0{}")),
    ("pausing", "3probe", "unexpected packet"),
]


@pytest.mark.parametrize(("stage", "how", "error"), FAILURES)
def test_an_upgrade_that_fails_leaves_polling_as_it_was(stage: str, how: str, error: str) -> None:
    alone = bring(stage, upgrade_timeout=5.0)
    errors = errors_of(alone)
    poll = alone.get
    alone.client.send("one")
    alone.settle()
    alone.client.send("two")
    alone.settle()
    fail(alone, how)
    assert errors == [f"probe error: {error}"]
    client = alone.client
    assert (client.state, client.upgrading, client.upgraded) == (ClientState.POLLING, False, False)
    assert alone.closed == alone.links
    if stage == "dialing" and how == "overdue":
        assert alone.dropped == [fetch for fetch in alone.sent if fetch.request.upgrade]
    # The poll is still the same, nothing was lost, and all of it goes on.
    assert alone.get is poll
    sent: list[str | bytes] = []
    while client.polling.post is not None:
        sent += alone.take_post()
    assert sent == ["4one", "4two"]
    alone.answer("4in")
    assert alone.heard == ["in"]
    # There is no second try.
    alone.advance(39)
    assert methods(alone).count("WS") == 1
    assert client.open
    assert errors == [f"probe error: {error}"]


@pytest.mark.parametrize("how", ["overdue", "closed", "4x"])
def test_polling_that_rested_goes_on_after_a_failure(how: str) -> None:
    alone = bring("probing")
    alone.client.send("in hand")
    alone.settle().say("3probe")
    # The poll came back and was not sent again, because only the POST was still awaited.
    alone.answer("6")
    assert alone.client.polling.get is None
    alone.client.send("held")
    alone.settle()
    fail(alone, how)
    assert alone.get is alone.sent[-1]
    assert alone.take_post() == ["4in hand"]
    assert alone.take_post() == ["4held"]


def test_what_was_held_leaves_by_posts_after_a_failure() -> None:
    alone = bring("pausing")
    alone.client.send("held")
    alone.settle()
    assert alone.client.polling.post is None
    alone.lose()
    assert alone.take_post() == ["4held"]


def test_a_websocket_that_comes_too_late_is_not_wanted() -> None:
    alone = bring("dialing").advance(10)
    (fetch,) = alone.dropped
    alone.client.receive_response(fetch, Response(101))
    assert fetch.link is None
    assert alone.settle().client.state is ClientState.POLLING


def test_a_websocket_that_was_given_up_is_not_listened_to() -> None:
    alone = bring("probing")
    alone.say("4stray")
    alone.say("3probe", "5", "4x").lose()
    assert alone.client.state is ClientState.POLLING
    assert alone.heard == []


@EACH_STAGE
@pytest.mark.parametrize("how", ["poll refused", "poll lost", "post refused", "garbage", "goodbye", "network"])
def test_polling_that_fails_during_an_upgrade_ends_everything(stage: str, how: str) -> None:
    alone = bring(stage)
    if stage == "pausing":
        alone = bring("probing")
    errors = errors_of(alone)
    alone.client.send("x")
    alone.settle()
    if stage == "pausing":
        alone.say("3probe")
    if how == "poll refused":
        alone.answer(status=400)
    elif how == "poll lost":
        alone.client.receive_failure(alone.get, "reset")
        alone.settle()
    elif how == "post refused":
        alone.take_post(400)
    elif how == "network":
        alone.client.lose_network()
        alone.settle()
    else:
        alone.answer("9" if how == "garbage" else "1")
    assert alone.end is not None
    assert errors == ["probe error: socket closed"]
    assert alone.closed == alone.links
    assert len(alone.dropped) == (how == "network") + 1 + (stage == "dialing")


def test_too_much_is_held_during_an_upgrade() -> None:
    alone = bring("pausing", max_send_buffer=100 + FRAME_COST)
    alone.client.send("x" * 99)
    assert alone.settle().client.open
    alone.client.send("")
    assert alone.settle().end == ("transport error", "send buffer is full")


# -- closing


@pytest.mark.parametrize("stage", ["dialing", "probing"])
def test_closing_before_the_server_agreed_gives_the_upgrade_up(stage: str) -> None:
    alone = bring(stage)
    errors = errors_of(alone)
    alone.client.send("last")
    alone.client.close()
    alone.settle()
    assert errors == ["probe error: socket closed"]
    assert alone.closed == alone.links
    assert alone.take_post() == ["4last"]
    assert alone.take_post() == ["1"]
    assert alone.end == ("forced close", None)


def test_an_observer_of_the_upgrade_that_is_given_up_may_end_it_at_once() -> None:
    alone = bring("probing")
    alone.client.on("upgrade_error", lambda: alone.client.close(discard=True))
    alone.client.close()
    assert alone.settle().end == ("forced close", None)
    assert alone.client.next_deadline() is None


@pytest.mark.parametrize("in_hand", ["GET", "POST"])
def test_closing_waits_for_an_upgrade_that_is_agreed_on(in_hand: str) -> None:
    alone = bring("probing")
    alone.client.send("first")
    alone.settle().say("3probe")
    if in_hand == "GET":
        alone.take_post()
    else:
        alone.answer("6")
    alone.client.send("last")
    alone.client.close()
    alone.settle()
    assert alone.client.ready_state == "closing"
    assert alone.client.upgrading
    assert alone.closed == []
    if in_hand == "GET":
        alone.answer("4not heard", "6")
    else:
        alone.take_post()
    assert alone.frames == ["2probe", "5", "4last"]
    assert alone.closed == alone.links
    assert alone.end == ("forced close", None)
    assert alone.heard == []


def test_closing_does_not_wait_for_an_answer_that_nobody_will_decode() -> None:
    alone = bring("probing", decode_slice=2)
    alone.client.receive_response(alone.get, Response(200, [], payload("41", "42", "43")))
    alone.say("3probe")
    alone.client.close()
    alone.settle()
    assert alone.frames == ["2probe", "5"]
    assert alone.end == ("forced close", None)
    assert alone.heard == ["1", "2"]


@pytest.mark.parametrize("how", ["overdue", "closed", "broken", "4x"])
def test_closing_goes_on_by_polling_where_the_upgrade_fails(how: str) -> None:
    alone = bring("pausing", upgrade_timeout=3.0)
    errors = errors_of(alone)
    alone.client.send("last")
    alone.client.close()
    alone.settle()
    fail(alone, how)
    assert len(errors) == 1
    assert alone.take_post() == ["4last"]
    assert alone.take_post() == ["1"]
    assert alone.end == ("forced close", None)
    assert alone.closed == alone.links


@pytest.mark.parametrize("how", ["poll refused", "goodbye", "overdue", "discard"])
def test_closing_ends_where_the_upgrade_cannot_be_awaited(how: str) -> None:
    alone = bring("pausing", close_timeout=3.0)
    alone.client.send("last")
    alone.client.close()
    alone.settle()
    if how == "poll refused":
        alone.answer(status=400)
    elif how == "goodbye":
        alone.answer("4x", "1")
    elif how == "overdue":
        alone.advance(3)
    else:
        alone.client.close(discard=True)
        alone.settle()
    assert alone.end == ("forced close", None)
    assert alone.closed == alone.links


def test_closing_during_an_upgrade_with_a_real_server() -> None:
    pair = Pair().begin()
    pair.client.send("last")
    pair.client.close()
    pair.settle()
    assert pair.client.ready_state == "closing"
    pair.advance(0.1)
    assert pair.server_heard == ["last"]
    assert [event.reason for event in pair.told(EngineClosed)] == ["forced close"]
    assert [event.reason for event in pair.told(SessionClosed)] == ["transport close"]


# -- at any cut point


@pytest.mark.parametrize("how", ["cut", "overdue"])
@pytest.mark.parametrize("after", range(10))
def test_a_failure_after_any_delivery_loses_repeats_and_reorders_nothing(after: int, how: str) -> None:
    pair = Pair(upgrade_timeout=3.0)
    pair.client.begin()
    while pair.client.ready_state == "opening":
        assert pair.deliver()
    sent = 0

    def exchange() -> None:
        nonlocal sent
        pair.client.send(f"c{sent}")
        pair.session.send(f"s{sent}")
        sent += 1

    for _ in range(after):
        exchange()
        # The newest thing arrives first, as far as order allows.
        pair.deliver(-1)
        pair.tick(pair.clock.now + 0.05)
    before = pair.client.state
    failed = pair.cut() if how == "cut" else before in UPGRADING
    if how == "overdue":
        pair.tick(pair.clock.now + 3.0)
    exchange()
    pair.settle()
    pair.advance(5)
    assert pair.client.upgraded == (not failed)
    assert pair.session.upgraded == pair.client.upgraded
    assert pair.heard == [f"s{number}" for number in range(sent)]
    assert pair.server_heard == [f"c{number}" for number in range(sent)]
    assert pair.told(EngineClosed) == []


STEPS = st.one_of(
    st.tuples(st.just("deliver"), st.integers(0, 9)),
    st.tuples(st.just("deliver"), st.integers(0, 9)),
    st.tuples(st.just("client sends"), st.integers(1, 3)),
    st.tuples(st.just("server sends"), st.integers(1, 3)),
    st.tuples(st.just("noop"), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 6)),
    st.tuples(st.just("pause"), st.booleans().map(int)),
)


@settings(max_examples=400, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=60),
    cut=st.none() | st.integers(0, 60),
    decode_slice=st.integers(1, 4),
    max_payload=st.sampled_from([12, 40, 1000]),
)
def test_an_upgrade_loses_repeats_and_reorders_nothing(
    steps: list[tuple[str, int]], cut: int | None, decode_slice: int, max_payload: int
) -> None:
    pair = Pair({"max_payload": max_payload}, upgrade_timeout=3.0, decode_slice=decode_slice)
    pair.client.begin()
    while pair.client.ready_state == "opening":
        assert pair.deliver()
    numbers, answers = count(), count()
    upgraded = False
    for index, (step, value) in enumerate(steps):
        if index == cut:
            pair.cut()
        if step == "deliver":
            pair.deliver(value)
        elif step == "client sends":
            for _ in range(value):
                pair.client.send(f"c{next(numbers)}")
        elif step == "server sends":
            for _ in range(value):
                pair.session.send(f"s{next(answers)}")
        elif step == "pause":
            (pair.client.pause if value else pair.client.resume)()
        else:
            pair.tick(pair.clock.now + (0.1 if step == "noop" else value / 10))
        pair.collect()
        # There is no way back.
        upgraded = upgraded or pair.client.upgraded
        assert pair.client.upgraded == upgraded
    pair.client.resume()
    pair.settle().advance(5)
    assert pair.told(EngineClosed) == []
    assert pair.client.state is (ClientState.WEBSOCKET if pair.client.upgraded else ClientState.POLLING)
    assert pair.session.upgraded == pair.client.upgraded
    assert pair.server_heard == [f"c{number}" for number in range(next(numbers))]
    assert pair.heard == [f"s{number}" for number in range(next(answers))]
    # And it goes on both ways.
    pair.client.send("after")
    pair.session.send("after")
    pair.settle()
    assert (pair.heard[-1], pair.server_heard[-1]) == ("after", "after")
