"""The load over long-polling, checked like those over WebSocket: see ``loads``."""

from __future__ import annotations

import json

from tests.bench.loads import RING, Address, answer, number_of, question
from tests.bench.wire import Failure, Http, Loop, get, post


class PollingClient:
    """A client over long-polling, with one connection for its held GET and one for its POSTs, as a browser has.

    One cycle: a GET is sent and held, a POST brings an event and is answered with ``ok``, the GET brings the
    acknowledgement.
    """

    def __init__(self, loop: Loop, address: Address, number: int) -> None:
        self.number = number
        self.cycles = 0
        self.pending = 1
        """Answers that are awaited in this cycle."""
        self.ready = False
        self.stopped = False
        self._gets = Http(loop, address)
        self._posts = Http(loop, address)
        self._query = ""
        self._pong = False
        self._gets.ask(get("&t=0"), self._opened)

    def begin(self) -> None:
        """Starts a cycle."""
        number = self.cycles % RING
        self.pending = 2
        packet = question(self.number, number)
        if self._pong:
            self._pong = False
            packet = b"3\x1e" + packet
        # A browser's client adds a parameter that never repeats, so that no cache answers.
        self._gets.ask(get(f"{self._query}&t={self.cycles:x}"), self._got)
        self._posts.ask(post(f"{self._query}&t={self.cycles:x}p", packet), self._posted)

    def _opened(self, body: bytes) -> None:
        try:
            session = json.loads(body[1:])["sid"]
        except (ValueError, KeyError, TypeError):
            raise Failure(f"opening was answered with {body[:200]!r}") from None
        self._query = f"&sid={session}"
        self._posts.ask(post(self._query, b"40"), self._asked)

    def _asked(self, body: bytes) -> None:
        check_ok(body)
        self._gets.ask(get(f"{self._query}&t=1"), self._connected)

    def _connected(self, body: bytes) -> None:
        if not body.startswith(b'40{"sid":"'):
            raise Failure(f"connecting was answered with {body[:200]!r}")
        self.pending = 0
        self.ready = True

    def _posted(self, body: bytes) -> None:
        check_ok(body)
        self._finish()

    def _got(self, body: bytes) -> None:
        number = self.cycles % RING
        if body != answer(self.number, number):
            packets = body.split(b"\x1e")
            if b"2" in packets:
                packets.remove(b"2")
                self._pong = True
            if not packets:
                # A ping came alone, and the acknowledgement is still to come.
                self._gets.ask(get(f"{self._query}&t={self.cycles:x}g"), self._got)
                return
            if len(packets) != 1 or packets[0][:1] != b"4" or number_of(packets[0][1:], self.number) != number:
                raise Failure(f"a wrong answer: {body[:200]!r}")
        self._finish()

    def _finish(self) -> None:
        self.pending -= 1
        if self.pending == 0:
            self.cycles += 1
            if not self.stopped:
                self.begin()


def check_ok(body: bytes) -> None:
    if body.lower() != b"ok":
        raise Failure(f"a POST was answered with {body[:200]!r}")


class Polling:
    """Events with acknowledgement over long-polling."""

    def __init__(self, loop: Loop, address: Address, connections: int) -> None:
        self._clients = [PollingClient(loop, address, number) for number in range(connections)]
        loop.run_until(lambda: all(client.ready for client in self._clients), "clients could not connect in time")

    @property
    def units(self) -> int:
        return sum(client.cycles for client in self._clients)

    @property
    def pending(self) -> int:
        return sum(client.pending for client in self._clients)

    def begin(self) -> None:
        for client in self._clients:
            client.begin()

    def stop(self) -> None:
        for client in self._clients:
            client.stopped = True
