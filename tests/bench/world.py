"""How many events a second a world delivers: ``python -m tests.bench.world [--clients N] [--seconds S] [ROW ...]``.

Everything happens in one process on one core, as in a test: servers, clients and what lies between them, messages and
no bytes, the invariants watched over. What counts is an event that reached the other side and a handler there, or, in
the row that says so, the client's ``received``. Time is what the processor spent on it. The figure is the best of
several rounds, for comparing two states of the code on one machine, one right after the other.
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import TYPE_CHECKING, Any

from sioproto.testing import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sioproto.testing import Client, Server

CLIENTS = 1000
ROUNDS = 5
SECONDS = 1.0
"""How long each round takes, about."""
BURST = 10
"""Events that are sent in one go."""
ROOM = 10
"""Clients in a room."""


class Scene:
    """One server and its clients, connected; ``delivered`` counts what reached a handler."""

    def __init__(self, clients: int, *, handlers: bool) -> None:
        self.delivered = 0
        self.world = World(seed=1)
        self.io: Server = self.world.server(self._register)
        self.clients: list[Client] = [self.world.client(record=not handlers) for _ in range(clients)]
        if handlers:
            for client in self.clients:
                client.on("news", self._count)
        self.world.settle()
        assert all(client.connected for client in self.clients)
        self.turn = 0

    def _register(self, io: Server) -> None:
        joined = 0

        @io.on("connection")
        def _(socket: Any) -> None:
            nonlocal joined
            socket.join(f"room {joined // ROOM}")
            socket.data["room"] = f"room {joined // ROOM}"
            joined += 1

        @io.on("said")
        def _(socket: Any, text: str) -> None:
            self.delivered += 1

        @io.on("talk")
        def _(socket: Any, text: str) -> None:
            self.delivered += 1
            io.to(socket.data["room"]).emit("news", text)

        @io.on("echo")
        def _(socket: Any, text: str) -> str:
            self.delivered += 1
            return text

    def _count(self, text: str) -> None:
        self.delivered += 1

    # What one turn does; each returns nothing, and ``delivered`` says how much it was.

    def broadcast(self) -> None:
        """Everybody gets the same."""
        self.io.emit("news", f"number {self.turn}")
        self.world.settle()

    def burst(self) -> None:
        """Everybody gets several events, which were sent before anything was delivered."""
        for number in range(BURST):
            self.io.emit("news", f"number {self.turn}, {number}")
        self.world.settle()

    def recorded(self) -> None:
        """Everybody gets the same, which no handler takes; the test looks at ``received``."""
        self.io.emit("news", f"number {self.turn}")
        self.world.settle()
        for client in self.clients:
            self.delivered += len(client.take())

    def each(self) -> None:
        """Everybody gets something else."""
        for number, socket in enumerate(self.io.sockets.sockets.values()):
            socket.emit("news", f"number {self.turn} for {number}")
        self.world.settle()

    def up(self) -> None:
        """Every client says something."""
        for number, client in enumerate(self.clients):
            client.emit("said", f"number {self.turn} of {number}")
        self.world.settle()

    def ask(self) -> None:
        """Every client asks and gets an answer; only the question counts."""
        for number, client in enumerate(self.clients):
            client.emit_with_ack("echo", f"number {self.turn} of {number}")
        self.world.settle()

    def rooms(self) -> None:
        """In each room one client talks, and all that are in it hear that."""
        for client in self.clients[::ROOM]:
            client.emit("talk", f"number {self.turn}")
        self.world.settle()


ROWS: dict[str, tuple[Callable[[Scene], None], bool]] = {
    "broadcast": (Scene.broadcast, True),
    "burst": (Scene.burst, True),
    "recorded": (Scene.recorded, False),
    "each": (Scene.each, True),
    "up": (Scene.up, True),
    "ask": (Scene.ask, True),
    "rooms": (Scene.rooms, True),
}


def measure(row: str, clients: int, seconds: float, rounds: int) -> float:
    """Returns the delivered events a second of the best round."""
    play, handlers = ROWS[row]
    scene = Scene(clients, handlers=handlers)
    play(scene)
    assert scene.delivered >= clients // ROOM
    return max(play_round(scene, play, seconds) for _ in range(rounds))


def play_round(scene: Scene, play: Callable[[Scene], None], seconds: float) -> float:
    gc.collect()
    scene.delivered = 0
    began = time.process_time()
    while True:
        scene.turn += 1
        play(scene)
        took = time.process_time() - began
        if took > seconds:
            return scene.delivered / took


def rows(names: Sequence[str], clients: int, seconds: float, rounds: int) -> Iterator[tuple[str, float]]:
    for name in names or ROWS:
        yield name, measure(name, clients, seconds, rounds)


def main(argv: Sequence[str] | None = None) -> list[tuple[str, float]]:
    """Prints the table and returns its rows, in events a second."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.world", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of {', '.join(ROWS)} (all)")
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which the best counts")
    options = parser.parse_args(argv)
    if unknown := [name for name in options.rows if name not in ROWS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(ROWS)}")
    found = []
    print("| what | events/s |\n| --- | ---: |")
    for name, figure in rows(options.rows, options.clients, options.seconds, options.rounds):
        found.append((name, figure))
        print(f"| {name} | {figure:,.0f} |", flush=True)
    return found


if __name__ == "__main__":
    main()
