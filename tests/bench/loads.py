"""What the load generator does to a server: one class for each scenario.

Every answer is checked, and the price of that is kept low: what a client will be sent is known beforehand byte by
byte, so one comparison covers whatever number of answers came at once. Only what differs (another order, spaces in the
JSON, a ping in between) is read frame by frame, and then it must still say the right thing. Each message names its
client and its number, so an answer that went to the wrong client, came twice or belongs to another question is wrong.

A load is driven by its ``begin``, the loop, ``stop``, and the loop again until nothing is ``pending``. ``units`` counts
what was done so far. Each raises ``Failure`` from the loop as soon as something is wrong.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from tests.bench.wire import (
    CLOSE,
    Failure,
    Loop,
    Opening,
    Talker,
    masked,
    open_all,
    receive,
    send,
    split,
    unmasked,
)

if TYPE_CHECKING:
    import socket

    from tests.bench.meter import Meter

Address = tuple[str, int]

RING = 64
"""How many different messages each client has; they repeat, and more are never unanswered at once."""
FIRST = 100
"""The first acknowledgement id: all have three digits, so that all answers have one length."""


class Load(Protocol):
    """What drives a measurement of a rate."""

    @property
    def units(self) -> int: ...
    @property
    def pending(self) -> int: ...
    def begin(self) -> None: ...
    def stop(self) -> None: ...


def message(client: int, number: int) -> dict[str, str]:
    """Returns what one of a client's messages says."""
    return {"from": f"client-{client:05}", "text": f"message {number:03}, and a few more words to read"}


def compact(value: Any) -> bytes:
    """Returns JSON as JavaScript writes it."""
    return json.dumps(value, separators=(",", ":")).encode()


def question(client: int, number: int) -> bytes:
    """Returns the packet with which a client asks for an echo of one of its messages."""
    return b'42%d["echo",%s]' % (FIRST + number, compact(message(client, number)))


def answer(client: int, number: int) -> bytes:
    """Returns the packet that answers it."""
    return b"43%d[%s]" % (FIRST + number, compact(message(client, number)))


def number_of(packet: bytes, client: int) -> int:
    """Returns which of a client's messages a Socket.IO packet, read as it is, acknowledges rightly."""
    head, bracket, rest = packet.partition(b"[")
    if bracket and head[:1] == b"3" and head[1:].isdigit():
        number = int(head[1:]) - FIRST
        try:
            if 0 <= number < RING and json.loads(bracket + rest) == [message(client, number)]:
                return number
        except ValueError:
            pass
    raise Failure(f"a wrong answer: {packet[:120]!r}")


class Echoer(Talker):
    """A client that keeps up to ``window`` questions unanswered."""

    __slots__ = (
        "_answers",
        "_at",
        "_early",
        "_exact",
        "_questions",
        "_sizes",
        "done",
        "number",
        "sent",
        "stopped",
        "window",
    )

    def __init__(self, sock: socket.socket, number: int, window: int) -> None:
        super().__init__(sock)
        self.number = number
        self.window = window
        self.sent = 0
        self.done = 0
        """How many questions are answered, and all before them."""
        self.stopped = False
        questions = [masked(question(number, each)) for each in range(RING)]
        answers = [unmasked(answer(number, each)) for each in range(RING)]
        self._sizes = len(questions[0]), len(answers[0])
        # Twice, so that what goes on at the beginning is found in one piece.
        self._questions = b"".join(questions) * 2
        self._answers = b"".join(answers) * 2
        self._at = 0
        """Where in the answers the next byte should stand, as long as they come exactly as expected."""
        self._exact = True
        self._early: set[int] = set()
        """Questions whose answer came before that of an earlier one."""

    def ask(self) -> None:
        """Asks as many questions as may be asked now."""
        count = self.window - (self.sent - self.done)
        if count > 0 and not self.stopped:
            size = self._sizes[0]
            start = self.sent % RING * size
            self.sent += count
            send(self.sock, self._questions[start : start + count * size])

    def receive(self) -> None:
        data = receive(self.sock)
        if self._exact:
            start = self._at
            end = start + len(data)
            size = self._sizes[1]
            if data and data == self._answers[start:end]:
                self.done += end // size - start // size
                self._at = end % (RING * size)
                if self.done > self.sent:
                    raise Failure("an answer to a question that was not asked")
                self.ask()
                return
            self._exact = False
            self.rest = self._answers[start - start % size : start]
        for packet in self.read(data):
            self._take(number_of(packet, self.number))
        if not self.rest and not self._early:
            self._exact = True
            self._at = self.done % RING * self._sizes[1]
        self.ask()

    def _take(self, number: int) -> None:
        question = self.done + (number - self.done) % RING
        if question >= self.sent or question in self._early:
            raise Failure("an answer that came twice, or to a question that was not asked")
        self._early.add(question)
        while self.done in self._early:
            self._early.remove(self.done)
            self.done += 1


class Echo:
    """Events with acknowledgement."""

    def __init__(self, loop: Loop, address: Address, connections: int, window: int) -> None:
        self._clients = [
            Echoer(sock, number, window) for number, sock in enumerate(open_all(loop, address, connections))
        ]
        for client in self._clients:
            loop.add(client.sock, client.receive)

    @property
    def units(self) -> int:
        return sum(client.done for client in self._clients)

    @property
    def pending(self) -> int:
        return sum(client.sent - client.done for client in self._clients)

    def begin(self) -> None:
        for client in self._clients:
            client.ask()

    def stop(self) -> None:
        for client in self._clients:
            client.stopped = True


class Member(Talker):
    """A client in the room. It is sent each broadcast once, the next one only after all have this one."""

    __slots__ = ("_broadcast", "joined", "seen")

    def __init__(self, sock: socket.socket, broadcast: Broadcast) -> None:
        super().__init__(sock)
        self.joined = False
        self.seen = 0
        self._broadcast = broadcast

    def join(self) -> None:
        send(self.sock, masked(b'420["join"]'))

    def receive(self) -> None:
        data = receive(self.sock)
        broadcast = self._broadcast
        if data == broadcast.frame and not self.rest:
            self._count()
            return
        for packet in self.read(data):
            if not self.joined:
                if not packet.startswith(b"30["):
                    raise Failure(f"joining was answered with {packet[:80]!r}")
                self.joined = True
                continue
            try:
                right = packet[:1] == b"2" and json.loads(packet[1:]) == ["news", message(0, broadcast.sent)]
            except ValueError:
                right = False
            if not right:
                raise Failure(f"a wrong broadcast, or one that came before: {packet[:120]!r}")
            self._count()

    def _count(self) -> None:
        if self.seen == self._broadcast.sent:
            raise Failure("a broadcast came twice")
        self.seen += 1
        self._broadcast.delivered()


class Broadcast:
    """Events to a room, one after another, sent by its members in turn. The unit is a delivery."""

    def __init__(self, loop: Loop, address: Address, connections: int) -> None:
        self.sent = 0
        self.frame = b""
        """What every member gets next."""
        self.units = 0
        self.pending = 0
        self._stopped = False
        self._members = [Member(sock, self) for sock in open_all(loop, address, connections)]
        for member in self._members:
            loop.add(member.sock, member.receive)
            member.join()
        loop.run_until(lambda: all(member.joined for member in self._members), "clients could not join in time")

    def begin(self) -> None:
        self._send()

    def stop(self) -> None:
        self._stopped = True

    def delivered(self) -> None:
        self.units += 1
        self.pending -= 1
        if self.pending == 0 and not self._stopped:
            self._send()

    def _send(self) -> None:
        members = self._members
        sender = members[self.sent % len(members)]
        self.sent += 1
        self.pending = len(members)
        data = compact(message(0, self.sent))
        self.frame = unmasked(b'42["news",%s]' % data)
        send(sender.sock, masked(b'42["broadcast",%s]' % data))


class Connecting:
    """Clients that come over WebSocket, enter the main namespace, and close: ``connections`` at the same time."""

    def __init__(self, loop: Loop, address: Address, connections: int) -> None:
        self._loop = loop
        self._address = address
        self._connections = connections
        self._stopped = False
        self.units = 0
        self.pending = 0

    def begin(self) -> None:
        for _ in range(self._connections):
            self._start()

    def stop(self) -> None:
        self._stopped = True

    def _start(self) -> None:
        self.pending += 1
        Opening(self._loop, self._address, self._opened)

    def _opened(self, sock: socket.socket) -> None:
        got = b""

        def closing() -> None:
            nonlocal got
            data = receive(sock)
            if data:
                got += data
                return
            frames, rest = split(got)
            if rest or [opcode for opcode, _ in frames] != [CLOSE]:
                raise Failure(f"a connection was closed with {got[:80]!r} instead of a close frame")
            self._loop.remove(sock)
            sock.close()
            self.units += 1
            self.pending -= 1
            if not self._stopped:
                self._start()

        self._loop.add(sock, closing)
        send(sock, GOODBYE)


GOODBYE = masked((1000).to_bytes(2, "big"), CLOSE)


def grow(loop: Loop, address: Address, connections: int, meter: Meter, settle: float) -> tuple[int, int]:
    """Connects clients that then do nothing; returns the server's resident bytes before and after.

    A few come first and stay, so that what a server loads with its first client is not counted.
    """
    early = open_all(loop, address, 20)
    loop.run(settle)
    before = meter.memory()
    late = open_all(loop, address, connections)
    for sock in (*early, *late):
        loop.add(sock, Talker(sock).receive)
    loop.run(settle)
    return before, meter.memory()
