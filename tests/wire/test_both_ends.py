"""A server and a client without I/O, joined by byte pipes: whatever the chunks, the same happens; whatever is cut, both
end, nothing raises, and nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import EngineConfig
from sioproto.config import EngineClientConfig
from sioproto.engineio import (
    EngineClient,
    EngineClosed,
    EngineOpened,
    EngineServer,
    MessageArrived,
    MessageReceived,
    Origin,
    RequestRefused,
    SessionClosed,
    SessionOpened,
)
from sioproto.environment import Environment
from sioproto_wire import ClientWire, ClientWireConfig, PerMessageDeflate, ServerWire, WireConfig
from tests.wire.conftest import Clock
from tests.wire.dialing import Chance

if TYPE_CHECKING:
    from sioproto import Session
    from sioproto_wire import ClientConnection, Connection

Cut = Callable[[int], int]
"""How many of so many bytes that wait are read at once."""

BUDGET = 200_000
"""Rounds after which two ends that are never quiet count as stuck."""
SECONDS = 300.0
"""Within which every story is over, of its own accord or by time-outs."""

CHUNKS: dict[str, Cut] = {"whole": lambda size: size, "single bytes": lambda _: 1, "sevens": lambda _: 7}
ON = PerMessageDeflate(threshold=10)


class End:
    """One end of a pipe, and the connection that reads from it."""

    def __init__(self, connection: Connection | ClientConnection) -> None:
        self.connection = connection
        self.inbox = bytearray()
        self.finished = False
        """Whether nothing more is put into the inbox."""
        self.told = False
        self.gone = False
        self.blocked = False
        self.other: End

    def lose(self) -> None:
        if not self.gone:
            self.gone = True
            self.inbox.clear()
            self.connection.receive_lost()


class Pair:
    """A server that sends back what it gets, and a client that a story is told to.

    ``room`` is what a pipe holds before its writer is blocked. After ``cut_at`` bytes altogether, the pipe that the
    last one went through breaks, or with ``softly`` ends in both directions.
    """

    def __init__(
        self,
        story: Story,
        chunk: Cut = CHUNKS["whole"],
        *,
        room: int = 1_000_000,
        cut_at: int | None = None,
        softly: bool = False,
    ) -> None:
        self.clock = Clock()
        numbers = count(1)
        environment = Environment(
            clock=self.clock,
            wall=lambda: 1_700_000_000.0 + self.clock.now,
            ids=lambda: f"id-{next(numbers):017}",
            entropy=Chance(),
            jitter=lambda: 0.5,
        )
        self.server = EngineServer(EngineConfig(**story.server), environment)
        self.server_wire = ServerWire(self.server, WireConfig(per_message_deflate=story.deflate))
        self.client = EngineClient(Origin("http", "a.example", 80), EngineClientConfig(**story.client), environment)
        self.client_wire = ClientWire(
            self.client, ClientWireConfig(per_message_deflate=story.deflate), on_error=self._never
        )
        self.pipes: list[End] = []
        """The clients' ends, in the order in which they were dialed."""
        self.heard: dict[str, list[Any]] = {"server": [], "client": []}
        """What each side was told: messages as they are, and how it began and ended."""
        self.moved = 0
        self.sessions: list[Session] = []
        self._story = story
        self._chunk = chunk
        self._room = room
        self._cut_at = cut_at
        self._softly = softly

    def run(self) -> Pair:
        """Tells the story to its end, and looks whether anything is left."""
        self.client.begin()
        self._story.watch(self)
        self._settle()
        end = self.clock.now + SECONDS
        while not self.over:
            deadlines = (self.client.next_deadline(), self.server.next_deadline())
            deadline = min((each for each in deadlines if each is not None), default=None)
            assert deadline is not None, "nothing happens any more"
            assert deadline < end, "it takes too long"
            self.clock.now = max(self.clock.now, deadline)
            self.client.handle_timeout()
            self.server.handle_timeout()
            self._settle()
        assert self.client.ready_state == "closed"
        assert self.server.sessions == {}
        assert (self.client.next_deadline(), self.server.next_deadline()) == (None, None)
        assert [event for event in self.heard["client"] if event[0] == "closed"] == self.heard["client"][-1:]
        return self

    @property
    def over(self) -> bool:
        """Whether both sides are done with everything."""
        return not (
            self.server.sessions
            or self.server_wire.connections
            or self.client_wire.connections
            or self.client.ready_state != "closed"
        )

    def messages(self, side: str) -> list[str | bytes]:
        return [event[1] for event in self.heard[side] if event[0] == "message"]

    # Bytes

    def _settle(self) -> None:
        """Moves bytes until nothing moves any more."""
        self._follow()
        for _ in range(BUDGET):
            moved = False
            for pipe in list(self.pipes):
                for end in (pipe, pipe.other):
                    moved = self._deliver(end) or moved
            if not moved:
                return
        raise AssertionError("it is never quiet")

    def _deliver(self, end: End) -> bool:
        """Has one chunk read, or the end."""
        connection = end.connection
        if end.gone or not connection.reading:
            return False
        if end.inbox:
            size = max(1, min(self._chunk(len(end.inbox)), len(end.inbox)))
            if self._cut_at is not None:
                size = min(size, self._cut_at - self.moved)
            chunk = bytes(end.inbox[:size])
            del end.inbox[:size]
            self.moved += size
            connection.receive_data(chunk)
            if end.other.blocked and not end.other.gone and len(end.inbox) <= self._room // 2:
                end.other.blocked = False
                end.other.connection.receive_unblocked()
            self._follow()
            if self.moved == self._cut_at:
                self._cut_at = None
                self._break(end)
        elif end.finished and not end.told:
            end.told = True
            connection.receive_eof()
            self._follow()
        else:
            return False
        return True

    def _break(self, end: End) -> None:
        for each in (end, end.other):
            if self._softly:
                each.inbox.clear()
                each.finished = True
            else:
                each.lose()
        self._follow()

    def _follow(self) -> None:
        """Does what either side has to do now."""
        while True:
            told = self._tell()
            dirty: list[ClientConnection | Connection] = [
                *self.client_wire.take_dirty(),
                *self.server_wire.take_dirty(),
            ]
            if not dirty and not told:
                return
            for connection in dirty:
                if connection.owner is None:
                    self._dial(connection)
                else:
                    self._serve(connection.owner)

    def _dial(self, connection: Any) -> None:
        if not connection.opening:
            return
        near = End(connection)
        near.other = End(self.server_wire.connect(address="192.0.2.1"))
        near.other.other = near
        connection.owner, near.other.connection.owner = near, near.other
        self.pipes.append(near)
        connection.receive_open()

    def _serve(self, end: End) -> None:
        connection, other = end.connection, end.other
        data = connection.take()
        if end.gone:
            assert not data
            return
        if not (other.gone or other.finished):
            other.inbox += data
            if len(other.inbox) > self._room and not end.blocked:
                end.blocked = True
                connection.receive_blocked()
        if connection.aborted:
            end.lose()
            other.lose()
        elif connection.closing:
            other.finished = True
            end.gone = True
            connection.receive_lost()
        elif connection.half_closing:
            other.finished = True

    def _never(self, error: Exception) -> None:
        raise AssertionError("no request of ours is forbidden") from error

    # What either side does

    def _tell(self) -> bool:
        server, client = self.server.events(), self.client.events()
        for event in server:
            self._serve_event(event)
        for told in client:
            self._hear_event(told)
        return bool(server or client)

    def _serve_event(self, event: Any) -> None:
        heard = self.heard["server"]
        if isinstance(event, SessionOpened):
            self.sessions.append(event.session)
            heard.append(("opened",))
        elif isinstance(event, MessageReceived):
            heard.append(("message", event.data))
            event.session.send(event.data)
            self._story.served(self, event.session)
        elif isinstance(event, RequestRefused):
            # A poll that crossed the end of its session, on another connection than what ended it.
            assert heard[-1][0] == "closed", event
        else:
            assert isinstance(event, SessionClosed), event
            heard.append(("closed", event.reason))

    def _hear_event(self, event: Any) -> None:
        heard = self.heard["client"]
        if isinstance(event, EngineOpened):
            heard.append(("opened",))
            self._story.opened(self)
        elif isinstance(event, MessageArrived):
            heard.append(("message", event.data))
            self._story.heard(self)
        else:
            assert isinstance(event, EngineClosed), event
            heard.append(("closed", event.reason))


class Story:
    """What a client does: it sends ``first`` at once, the rest one by one as it hears back, and closes at the end."""

    first: tuple[str | bytes, ...] = ("one", b"\x00\x01two", "drei€")
    rest: tuple[str | bytes, ...] = ("four", b"five")
    deflate: PerMessageDeflate | None = None

    def __init__(self, *transports: str, **server: Any) -> None:
        self.client: dict[str, Any] = {"transports": transports}
        self.server: dict[str, Any] = server

    @property
    def all(self) -> list[str | bytes]:
        """The messages, in order."""
        return [*self.first, *self.rest]

    def watch(self, pair: Pair) -> None:
        """Looks at the client before anything happens."""

    def opened(self, pair: Pair) -> None:
        for message in self.first:
            pair.client.send(message)

    def heard(self, pair: Pair) -> None:
        number = len(pair.messages("client")) - len(self.first)
        if 0 <= number < len(self.rest):
            pair.client.send(self.rest[number])
        elif number == len(self.rest):
            self.finish(pair)

    def served(self, pair: Pair, session: Session) -> None:
        """The server got a message, and sent it back."""

    def finish(self, pair: Pair) -> None:
        pair.client.close()


class Compressed(Story):
    rest = ("all work and no play makes Jack a dull boy, " * 3, b"\x07" * 300)
    deflate = ON


class Upgraded(Story):
    """Goes on when the upgrade is over, one way or the other, and only then closes."""

    first = ("one", b"\x00\x01two")
    rest = ("three",)

    def watch(self, pair: Pair) -> None:
        self.over = False
        pair.client.on("upgrade", lambda *_: self._go_on(pair))
        pair.client.on("upgrade_error", lambda *_: self._go_on(pair))
        pair.client.on("upgrading", lambda *_: pair.client.send("meanwhile"))

    @property
    def all(self) -> list[str | bytes]:
        return [*super().all, "meanwhile", "late"]

    def _go_on(self, pair: Pair) -> None:
        self.over = True
        pair.client.send("late")

    def finish(self, pair: Pair) -> None:
        """Not yet."""

    def heard(self, pair: Pair) -> None:
        super().heard(pair)
        if {"late", "three"} <= set(pair.messages("client")):
            pair.client.close()


class ClosedByServer(Story):
    def finish(self, pair: Pair) -> None:
        pair.sessions[0].close()


class Large(Story):
    first = ("x" * 30_000, b"\x01" * 20_000, "y" * 70_000)
    rest = ()


STORIES: dict[str, Callable[[], Story]] = {
    "polling": lambda: Story("polling"),
    "websocket": lambda: Story("websocket"),
    "compressed": lambda: Compressed("websocket"),
    "upgrade": lambda: Upgraded("polling", "websocket"),
    "polling, closed by the server": lambda: ClosedByServer("polling"),
    "websocket, closed by the server": lambda: ClosedByServer("websocket"),
}


@pytest.mark.parametrize("chunk", CHUNKS)
@pytest.mark.parametrize("name", STORIES)
def test_the_same_happens_in_every_chunking(name: str, chunk: str) -> None:
    story = STORIES[name]()
    pair = Pair(story, CHUNKS[chunk]).run()
    assert sorted(map(repr, pair.messages("server"))) == sorted(map(repr, story.all))
    assert pair.messages("client") == pair.messages("server")
    assert pair.heard == Pair(STORIES[name]()).run().heard


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(STORIES)),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=12),
    room=st.sampled_from([0, 20, 1000, 1_000_000]),
)
def test_the_same_happens_in_random_chunks_and_through_narrow_pipes(name: str, sizes: list[int], room: int) -> None:
    pieces = cycle(sizes)
    pair = Pair(STORIES[name](), lambda _: next(pieces), room=room).run()
    check_same(name, pair.heard, Pair(STORIES[name]()).run().heard)


def check_same(name: str, heard: dict[str, list[Any]], expected: dict[str, list[Any]]) -> None:
    """It is the same that happened; of an upgrade, at whichever moment that came."""
    if name == "upgrade":
        assert heard["server"][1:-1] == heard["client"][1:-1]
        for side, told in expected.items():
            assert (heard[side][0], heard[side][-1]) == (told[0], told[-1])
            assert sorted(map(repr, heard[side])) == sorted(map(repr, told))
    else:
        assert heard == expected


@pytest.mark.parametrize("chunk", [100, 3000, 100_000])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_large_messages_through_a_narrow_pipe(transport: str, chunk: int) -> None:
    story = Large(transport)
    pair = Pair(story, lambda _: chunk, room=5000).run()
    assert pair.messages("client") == pair.messages("server") == story.all


class Quiet(Story):
    """Says nothing for a while before it goes on."""

    def heard(self, pair: Pair) -> None:
        number = len(pair.messages("client")) - len(self.first)
        if number == 0:
            pair.client.timers.after(100, lambda: super(Quiet, self).heard(pair))
        else:
            super().heard(pair)


@pytest.mark.parametrize("transport", ["polling", "websocket"])
def test_a_quiet_connection_lives_on(transport: str) -> None:
    pair = Pair(Quiet(transport)).run()
    assert pair.messages("client") == pair.messages("server") == Quiet(transport).all
    # The server pings every 25 seconds: by then the connection of the last POST is closed, by us.
    assert len(pair.pipes) == (6 if transport == "polling" else 1)
    assert not any(pipe.told for pipe in pair.pipes)


def test_requests_share_two_connections() -> None:
    assert len(Pair(Story("polling")).run().pipes) == 2


def test_an_upgrade_takes_one_connection_more() -> None:
    pair = Pair(Upgraded("polling", "websocket")).run()
    assert len(pair.pipes) == 3
    assert pair.client.upgraded


@pytest.mark.parametrize("softly", [False, True], ids=["broken", "ended"])
@pytest.mark.parametrize("name", STORIES)
def test_whatever_is_cut_both_sides_end_and_nothing_is_left(name: str, softly: bool) -> None:
    whole = Pair(STORIES[name]()).run()
    finished = 0
    # Long stories are cut at each byte in one of the two ways, short ones in both.
    cuts = range(1, whole.moved) if whole.moved < 1000 else range(1 + softly, whole.moved, 2)
    for cut_at in cuts:
        pair = Pair(STORIES[name](), cut_at=cut_at, softly=softly).run()
        for side, heard in whole.heard.items():
            messages = pair.messages(side)
            if name == "upgrade":
                # Which of its last messages goes first depends on whether and when the upgrade fails.
                assert len(set(messages)) == len(messages)
                assert set(messages) <= set(whole.messages(side))
            else:
                assert messages == whole.messages(side)[: len(messages)]
            kinds = [event[0] for event in pair.heard[side]]
            assert kinds.count("opened") <= 1
            assert kinds.count("closed") == (1 if side == "client" else kinds.count("opened"))
            finished += pair.heard[side] == heard
    # A cut that a request repeated, an upgrade that failed, and the last bytes hurt nobody.
    assert finished
