"""Recovery where the connection breaks at any byte: a client that is cut off again and again gets each event once.

Each course is drawn from a seed. The server sends to rooms, to all and to one, with and without binary, and asks; the
client sends and asks as well; and meanwhile the network breaks at some byte of either direction, often before the
client is back from the break before, so that the handshake, the upgrade, CONNECT and what was missed are cut, too.

More of the same by hand: ``SIOPROTO_SEEDS=50 pytest tests/interop/test_recovery_cuts.py``.
"""

from __future__ import annotations

import asyncio
import os
import random
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import Disconnected, Recovery
from sioproto.socketio.acks import BroadcastAnswers
from tests.bindings.live import serving, settled
from tests.interop.relay import relaying
from tests.interop.test_recovery_stock import TRANSPORTS

if TYPE_CHECKING:
    from sioproto import Pending, Socket
    from tests.bindings.live import Live
    from tests.interop.relay import How, Relay, Way
    from tests.interop.stock import Stock

CUTS = 10
"""Of each course."""
SEEDS = int(os.environ.get("SIOPROTO_SEEDS", "2"))
"""Courses over each of the transports."""
MOST_ASKED = 900
"""Answers that are awaited at once; beyond 1,000 the oldest would be given up, and not be asked again."""
PATIENCE = 60.0
"""Seconds for a client to come back, on whatever machine."""

WAYS: tuple[Way, ...] = ("up", "down")
HOWS: tuple[How, ...] = ("reset", "end", "unnoticed")

# A WebSocket that ends between its 101 and the handshake of Engine.IO is no error to the manager of the stock client,
# which listens to `error` and `open` alone until then: it goes on only after its `timeout`, 20 s by default.
CLIENT = """
    const quick = { reconnectionDelay: 1, reconnectionDelayMax: 20, randomizationFactor: 0, timeout: 2000 };
    const socket = io(url, { transports, ...quick });
    const told = [], answers = [], times = new Map();
    let said = 0, unanswered = 0;
    socket.on("connect", () => told.push(["connect", socket.recovered]));
    socket.on("number", (number, data) => told.push(["number", number, Buffer.isBuffer(data) ? data : null]));
    socket.on("ask", (number, answer) => {
      times.set(number, (times.get(number) ?? 0) + 1);
      told.push(["ask", number]);
      answer(times.get(number));
    });
    socket.on("disconnect", (reason) => told.push(["disconnect", reason]));
    const last = next(socket, "last");
    await opened(socket);
    const talk = setInterval(() => {
      const number = said++;
      if (number % 3 === 0) {
        unanswered++;
        const answered = (value) => answers.push([number, value]);
        socket.emitWithAck("echo", number).then(answered, () => {}).finally(() => unanswered--);
      } else {
        socket.emit("said", number, ...(number % 3 === 1 ? [Buffer.from([number % 256, 1, 2])] : []));
      }
    }, 2);
    await last;
    clearInterval(talk);
    while (unanswered) await sleep(2);
    return [told, answers];
"""


class Course:
    """A server behind a relay, one client, and what is sent while the network breaks."""

    def __init__(self, live: Live, relay: Relay, chance: random.Random) -> None:
        self.live = live
        self.relay = relay
        self.chance = chance
        self.number = 0
        self.binary: dict[int, bytes] = {}
        self.asked: dict[int, Pending[Any]] = {}
        self.heard: list[int] = []
        self.connections: list[bool] = []
        """Of each connection, whether the socket was recovered."""
        self.sid = ""
        self.socket: Socket
        live.io.on("connection", self.connected)
        live.io.on("said", self.hear)
        live.io.on("echo", self.echo)

    def connected(self, socket: Socket) -> None:
        self.connections.append(socket.recovered)
        self.socket = socket
        if not socket.recovered:
            socket.join("room", "other room")
            self.sid = socket.id

    def hear(self, socket: Socket, number: int, data: bytes | None = None) -> None:
        assert data in (None, bytes([number % 256, 1, 2]))
        self.heard.append(number)

    def heard_more(self, than: int) -> bool:
        """Whether its client was heard since."""
        return len(self.heard) > than

    def echo(self, socket: Socket, number: int) -> int:
        self.heard.append(number)
        return number

    def talk(self) -> None:
        """Sends something, each in one of many ways."""
        io, chance, number = self.live.io, self.chance, self.number
        self.number += 1
        kind = chance.randrange(10)
        asking = sum(not pending.done for pending in self.asked.values()) < MOST_ASKED
        if kind == 0 and asking and self.socket.connected:
            self.asked[number] = self.socket.emit_with_ack("ask", number)
        elif kind == 1:
            # Whoever is away is not asked by a broadcast.
            if asking and self.sid in io.sockets.sockets:
                self.asked[number] = io.to("room").emit_with_ack("ask", number)
            else:
                io.emit("number", number)
        else:
            data = chance.randbytes(chance.choice((0, 5, 200))) if chance.randrange(3) == 0 else None
            if data is not None:
                self.binary[number] = data
            emitters = (io, io.to("room"), io.to("room", "other room"), io.to(self.sid), io.except_("elsewhere"))
            chance.choice((*emitters, self.socket)).emit("number", number, *([] if data is None else [data]))
        if chance.randrange(5) == 0:
            io.to("elsewhere").emit("number", -1)
            io.except_("room").emit("number", -2)
            io.volatile.emit("volatile", "ends in a text")

    async def run(self, cuts: int, hows: tuple[How, ...] = HOWS) -> None:
        """Sends until the network was cut that often, and the client is back once more."""
        chance = self.chance
        # Until it has its private id there is nothing to recover.
        assert await settled(lambda: self.heard, PATIENCE)
        for _ in range(cuts):
            size = chance.randrange(chance.choice((300, 1500, 6000)))
            cut = self.relay.cut_after(size, chance.choice(WAYS), chance.choice(hows))
            while not cut.done():
                for _ in range(chance.randrange(4)):
                    self.talk()
                await asyncio.sleep(0.002)
            if chance.randrange(2):
                # Else the next cut may come before it is back. It need not have been away: a probe alone may be cut.
                assert await settled(partial(self.heard_more, len(self.heard)), PATIENCE)
        self.live.io.emit("last")

    def check(self, told: list[list[Any]], answers: list[list[int]]) -> None:
        """Compares what both sides saw with what was sent."""
        assert [row[1] for row in told if row[0] == "connect"] == [False] + [True] * (count(told, "connect") - 1)
        assert self.connections == [False] + [True] * (len(self.connections) - 1)
        events = [row for row in told if row[0] in ("number", "ask")]
        repeated = self.check_repeated(told)
        once = [row for index, row in enumerate(events) if index not in repeated]
        assert [row[1] for row in once] == list(range(self.number))
        assert {row[1]: row[2] for row in events if row[0] == "number" and row[2] is not None} == self.binary
        assert {row[1] for row in events if row[0] == "ask"} == set(self.asked)
        answered = self.answered()
        assert answered
        for number, answer in answered.items():
            # The first answer that arrives ends it: it is asked no more.
            assert answer == count(events, "ask", number)
        # Without `retries` a client's event is lost with the connection that it went out on, and never repeated.
        assert all(earlier < later for earlier, later in pairwise(self.heard))
        assert answers
        assert all(number == answer for number, answer in answers)
        assert {number for number, _ in answers} <= set(self.heard)

    def answered(self) -> dict[int, int]:
        """Returns the answers. Some are lost: with a connection, and an event behind says that it was asked."""
        answered: dict[int, int] = {}
        for number, pending in self.asked.items():
            try:
                answer = pending.result() if pending.done else None
            except Disconnected:
                continue
            if isinstance(answer, BroadcastAnswers):
                answer = answer.answers.get(self.sid)
            if answer is not None:
                answered[number] = answer
        return answered

    def check_repeated(self, told: list[list[Any]]) -> set[int]:
        """Returns which of the events were told before, after finding that nobody could have known so.

        The JavaScript client notes no offset of an event that asks. So one whose answer was lost is asked again over
        the next connection, unless an event behind it arrived over the one before.
        """
        repeated: set[int] = set()
        asked: dict[int, tuple[int, int]] = {}
        index = connection = latest = 0
        for row in told:
            if row[0] == "disconnect":  # what was missed may come before the next "connect"
                connection += 1
            elif row[0] == "number":
                latest = row[1]
                index += 1
            elif row[0] == "ask":
                if row[1] in asked:
                    assert asked[row[1]][0] < connection
                    assert latest < row[1]
                    repeated.add(index)
                asked[row[1]] = (connection, index)
                index += 1
        return repeated


def count(told: list[list[Any]], *row: Any) -> int:
    """Returns how many rows begin so."""
    return sum(each[: len(row)] == list(row) for each in told)


@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS.keys())
async def test_a_stock_client_that_is_cut_off_at_any_byte_gets_every_event_once(
    stock: Stock, transports: list[str], seed: int
) -> None:
    async with serving(recovery=Recovery()) as live, relaying(live.port) as relay:
        course = Course(live, relay, random.Random(f"{seed} {transports}"))
        task = stock.start(CLIENT, url=relay.url, transports=transports)
        await course.run(CUTS)
        course.check(*await asyncio.wait_for(task, PATIENCE))
