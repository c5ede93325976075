"""What was queued and not sent when a session ends, on either side: how many messages, and that there are no others."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import Response
from sioproto.engineio import EngineClosed, SessionClosed
from sioproto.engineio.packet import PacketType
from tests.engineio.pair import Lone, Pair
from tests.virtual import EngineDriver, drive_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.engineio import Link
    from tests.virtual import Client


def blocked(**options: Any) -> tuple[EngineDriver, Client]:
    """Returns a session on a WebSocket that takes nothing, with three messages and a ping in front of it."""
    driver = drive_engine(ping_interval=5.0, ping_timeout=50.0, **options)
    client = driver.client("websocket", pongs=False)
    client.block()
    client.session.send("a")
    client.session.send(b"b")
    driver.advance(5)
    client.session.send("c")
    return driver, client


# -- a server's session


def test_what_waits_is_known_at_any_time() -> None:
    driver, client = blocked()
    assert (client.session.unsent, len(client.session.outbox)) == (3, 4)
    client.unblock()
    assert client.session.unsent == 0
    client.session.close()
    driver.settle()
    assert [event.unsent for event in driver.told(SessionClosed)] == [0]
    assert driver.core.unsent == 0


def close_slowly(driver: EngineDriver, client: Client) -> None:
    """Closes a session, and waits until it is over."""
    client.session.close()
    driver.advance(30)


def go(driver: EngineDriver, client: Client) -> None:
    """The peer goes away."""
    driver.core.receive_link_closed(client.opening.link, 1001)


def close_and_go(driver: EngineDriver, client: Client) -> None:
    """The peer goes away while the session is closing."""
    client.session.close()
    go(driver, client)


def leave_slowly(lone: Lone) -> None:
    """A client closes, and its server does not answer."""
    lone.client.close()
    lone.advance(5)


ENDS: dict[str, Callable[[EngineDriver, Client], object]] = {
    "discarded": lambda driver, client: client.session.close(discard=True),
    "not in time": close_slowly,
    "the peer went": go,
    "the peer went while it was closing": close_and_go,
    "no pong": lambda driver, client: driver.advance(60),
    "the server": lambda driver, client: driver.core.close(),
}


@pytest.mark.parametrize("how", ENDS)
def test_an_end_says_how_much_was_not_sent(how: str) -> None:
    driver, client = blocked()
    seen: list[int] = []
    client.session.on("close", lambda *_: seen.append(client.session.unsent))
    ENDS[how](driver, client)
    driver.settle()
    assert [event.unsent for event in driver.told(SessionClosed)] == seen == [client.session.unsent] == [3]
    assert client.session.outbox == []
    client.session.send("late")
    assert (client.session.unsent, driver.core.unsent) == (3, 3)


def test_so_does_one_of_a_slow_client() -> None:
    driver, client = blocked(max_send_buffer=2000)
    for _ in range(20):
        client.session.send("x" * 100)
    driver.settle()
    assert not client.session.send("too late, and never queued")
    assert [(event.description, event.unsent) for event in driver.told(SessionClosed)] == [("slow consumer", 23)]


def test_a_closing_session_that_nobody_polls_for() -> None:
    driver = drive_engine()
    client = driver.client(polls=False)
    for message in ("a", b"b"):
        client.session.send(message)
    client.session.close()
    driver.advance(29)
    assert (client.session.ready_state, client.session.unsent) == ("closing", 2)
    driver.advance(2)
    assert [event.unsent for event in driver.told(SessionClosed)] == [2]


def test_messages_for_a_client_without_binary_are_counted_alike() -> None:
    driver = drive_engine()
    client = driver.client("websocket", query="&b64=1")
    # Handed to the link, which is gone before its owner takes anything.
    client.session.send(b"a")
    client.session.send("b")
    client.session.flush()
    driver.core.receive_link_closed(client.opening.link, 1006)
    driver.settle()
    assert [event.unsent for event in driver.told(SessionClosed)] == [2]
    assert client.take() == []


def test_all_sessions_add_up() -> None:
    driver = drive_engine()
    for number in range(3):
        session = driver.client(polls=False).session
        for _ in range(number):
            session.send("a")
    driver.core.close()
    driver.settle()
    assert sorted(event.unsent for event in driver.told(SessionClosed)) == [0, 1, 2]
    assert driver.core.unsent == 3


# -- a client


def unsent(lone: Lone) -> list[int]:
    """Returns what the end said."""
    return [event.unsent for event in lone.log if isinstance(event, EngineClosed)]


def test_what_a_client_posts_is_sent_when_it_is_answered() -> None:
    lone = Lone(transports=("polling",), max_post_packets=2).open()
    for message in ("a", b"b", "c"):
        lone.client.send(message)
    lone.settle()
    assert (lone.client.queued, lone.client.unsent) == (2, 3)
    lone.take_post()
    assert lone.client.unsent == 1
    lone.client.close()
    lone.settle()
    lone.take_post()
    lone.take_post()
    assert unsent(lone) == [0]


CLIENT_ENDS: dict[str, Callable[[Lone], object]] = {
    "discarded": lambda lone: lone.client.close(discard=True),
    "not in time": leave_slowly,
    "refused": lambda lone: lone.take_post(413),
    "lost": lambda lone: lone.client.receive_failure(lone.post, "lost"),
    "the network": lambda lone: lone.client.lose_network(),
    "no ping": lambda lone: lone.advance(60),
    "the server left": lambda lone: lone.answer("1"),
}


@pytest.mark.parametrize("how", CLIENT_ENDS)
def test_the_end_of_a_client_says_how_much_was_not_sent(how: str) -> None:
    lone = Lone(transports=("polling",), max_post_packets=2).open()
    for message in ("a", b"b", "c"):
        lone.client.send(message)
    lone.settle()
    CLIENT_ENDS[how](lone)
    lone.settle()
    assert unsent(lone) == [lone.client.unsent] == [3]


def test_a_blocked_websocket_of_a_client() -> None:
    lone = Lone(transports=("websocket",)).open()
    lone.client.receive_blocked(lone.link)
    lone.client.send("a")
    lone.client.send(b"b")
    lone.say("2")  # its pong is no message
    assert len(lone.client.outbox.frames) == 3
    lone.client.close()
    lone.advance(5)
    assert unsent(lone) == [2]


def test_a_server_that_takes_one_post_after_the_other_is_not_given_up() -> None:
    lone = Lone(transports=("polling",), max_post_packets=1).open()
    for number in range(10):
        lone.client.send(str(number))
    lone.client.close()
    taken: list[str | bytes] = []
    for _ in range(10):
        lone.advance(4)
        taken += lone.take_post()
    assert taken == [f"4{number}" for number in range(10)]
    assert lone.take_post() == ["1"]
    assert unsent(lone) == [0]


# -- both sides, and whatever happens between them


class Counted(Pair):
    """A pair that counts what each side hands out."""

    def __init__(self, **options: Any) -> None:
        super().__init__({"max_payload": 60}, upgrade_timeout=3.0, **options)
        self.up = self.down = 0
        self.client.begin()
        while self.client.ready_state == "opening":
            assert self.deliver()
        self.side = self.session
        """The server's side, which stays when the session is over."""

    def _put(self, channel: object, call: Callable[..., object], *args: Any) -> None:
        if call == self.client.receive_messages:
            self.down += count_of(args[1])
        elif call == self.server.receive_messages:
            self.up += count_of(args[1])
        elif call == self._respond and isinstance(args[2], Response) and args[1].link is None:
            self.down += count_of(args[2].body.decode().split("\x1e")) if args[1].request.method == "GET" else 0
        elif call == self._request:
            self.up += count_of(args[0].body.decode().split("\x1e"))
        super()._put(channel, call, *args)

    def lose(self, value: int) -> None:
        """A connection is lost, with what is on its way on it."""
        links: list[Link] = list(self._peers)
        if links:
            self._lose(links[value % len(links)])
        elif (get := self.client.polling.get) is not None and get in self._exchanges:
            self.channels.pop(get, None)
            self.server.receive_abort(self._exchanges[get])
            self.client.receive_failure(get, "lost")

    def press(self, value: int) -> None:
        """A WebSocket takes no more on one of its sides, or again."""
        core: Any
        for core, link in ((self.client, self.client.link), (self.server, self.side.link)):
            if link is not None and value & 1:
                (core.receive_blocked if value & 2 else core.receive_unblocked)(link)
            value >>= 2

    def step(self, step: str, value: int, sent: tuple[list[str | bytes], list[str | bytes]]) -> None:
        """Does one thing of a program, and notes what is sent."""
        number = len(sent[0]) + len(sent[1])
        if step == "deliver":
            self.deliver(value)
        elif step == "wait":
            self.tick(self.clock.now + value / 10)
        elif step == "press":
            self.press(value)
        elif step == "lose":
            self.lose(value)
        elif step == "client close":
            self.client.close(discard=value == 0)
        elif step == "server close":
            self.side.close(discard=value == 0)
        else:
            side: Any = self.client if step == "client sends" else self.side
            for index in range(value):
                message = f"m{number + index}"
                data: str | bytes = message.encode() if index % 2 else message
                if side.send(data):
                    sent[step != "client sends"].append(data)
        self.collect()


def count_of(packets: Sequence[str | bytes]) -> int:
    """Returns how many packets are messages."""
    return sum(isinstance(packet, bytes) or packet[:1] in (PacketType.MESSAGE, "b") for packet in packets)


QUIET = [
    st.tuples(st.just("deliver"), st.integers(0, 9)),
    st.tuples(st.just("deliver"), st.integers(0, 9)),
    st.tuples(st.just("client sends"), st.integers(1, 3)),
    st.tuples(st.just("server sends"), st.integers(1, 3)),
    st.tuples(st.just("press"), st.integers(0, 15)),
    st.tuples(st.just("wait"), st.integers(0, 6)),
]
ANYTHING = [
    *QUIET,
    st.tuples(st.just("lose"), st.integers(0, 9)),
    st.tuples(st.just("client close"), st.integers(0, 3)),
    st.tuples(st.just("server close"), st.integers(0, 3)),
]
TRANSPORTS = st.sampled_from([("polling",), ("websocket",), ("polling", "websocket")])


@settings(max_examples=100, deadline=None)
@given(steps=st.lists(st.one_of(ANYTHING), max_size=60), transports=TRANSPORTS)
def test_what_was_queued_was_either_sent_or_not(steps: list[tuple[str, int]], transports: Any) -> None:
    pair = Counted(transports=transports)
    sent: tuple[list[str | bytes], list[str | bytes]] = ([], [])
    for step, value in steps:
        pair.step(step, value, sent)
        assert pair.down + pair.side.unsent + waiting(pair.side.link) == len(sent[1])
    pair.side.close(discard=True)
    pair.client.close(discard=True)
    pair.settle()
    assert pair.down + pair.side.unsent == len(sent[1])
    assert [event.unsent for event in pair.told(SessionClosed)] == [pair.side.unsent] == [pair.server.unsent]
    # A POST that was sent and not answered may have been taken or not.
    known = len(sent[0]) - pair.client.unsent
    assert known <= pair.up <= known + pair.client.polling.posted
    assert [event.unsent for event in pair.told(EngineClosed)] == [pair.client.unsent]
    assert pair.heard == sent[1][: len(pair.heard)]
    assert pair.server_heard == sent[0][: len(pair.server_heard)]
    assert len(pair.heard) <= pair.down
    assert known <= len(sent[0])


@settings(max_examples=100, deadline=None)
@given(
    before=st.lists(st.one_of(QUIET), max_size=40),
    by_server=st.booleans(),
    after=st.lists(st.one_of(QUIET), max_size=20),
    transports=TRANSPORTS,
)
def test_nothing_is_lost_where_both_sides_stay(
    before: list[tuple[str, int]], by_server: bool, after: list[tuple[str, int]], transports: Any
) -> None:
    pair = Counted(transports=transports)
    sent: tuple[list[str | bytes], list[str | bytes]] = ([], [])
    for step, value in before:
        pair.step(step, value, sent)
    pair.step("server close" if by_server else "client close", 1, sent)
    for step, value in after:
        if not step.endswith("sends"):
            pair.step(step, value, sent)
    pair.press(0b0101)
    pair.settle().advance(60)
    ender: Any = pair.side if by_server else pair.client
    assert ender.unsent == 0
    assert (pair.heard if by_server else pair.server_heard) == sent[by_server]
    assert len(pair.told(SessionClosed)) == len(pair.told(EngineClosed)) == 1


def waiting(link: Link | None) -> int:
    """Returns how many messages a WebSocket was handed and nobody has taken yet."""
    return 0 if link is None else count_of([frame.data for frame in link.frames])


def test_the_counting_itself() -> None:
    pair = Counted(transports=("polling", "websocket"))
    numbers = count()
    sent: tuple[list[str | bytes], list[str | bytes]] = ([], [])
    for _ in range(5):
        pair.step("client sends", 1 + next(numbers), sent)
        pair.step("server sends", next(numbers), sent)
        pair.settle()
    assert (pair.up, pair.down) == (len(pair.server_heard), len(pair.heard)) == (25, 25)
