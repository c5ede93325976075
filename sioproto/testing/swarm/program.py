"""A program: who meets under which options, and the steps of users, of the application and of the network.

A program is drawn from its seed and is nothing but data, so that it can be shown, shortened and played again. The same
seed gives the same program on every Python.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sioproto.config import Recovery
from sioproto.socketio import MemoryStore
from sioproto.testing.chance import Chance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sioproto.socketio import RestoreTicket

ROOMS = ("red", "green", "blue")
NAMESPACES = ("/", "/more")


LATE = 0.15
"""Seconds that a store takes which has to wait for what it is asked for."""


class LateStore(MemoryStore):
    """A store that has to wait, perhaps for longer than ``store_timeout``."""

    def restore(self, ticket: RestoreTicket) -> None:
        """Answers later."""
        self._server.timers.after(LATE, lambda: super(LateStore, self).restore(ticket))


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that somebody does: the name of a method of ``Play``, and its arguments."""

    verb: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.verb}({', '.join(map(repr, self.args))})"


@dataclass(frozen=True, slots=True)
class Program:
    """What is played for one seed."""

    seed: int
    server: dict[str, Any]
    """Options of the server."""
    clients: tuple[dict[str, Any], ...]
    """Options of each client."""
    shuffle: bool
    """Whether the order of what happens at the same moment is drawn."""
    steps: tuple[Step, ...]
    kept: tuple[int, ...]
    """Which of the steps that were drawn these are."""

    def keep(self, kept: Iterable[int]) -> Program:
        """Returns the program with some of its steps only, named by their number among those that were drawn."""
        steps = dict(zip(self.kept, self.steps, strict=True))
        chosen = tuple(number for number in kept if number in steps)
        return replace(self, steps=tuple(steps[number] for number in chosen), kept=chosen)

    def __str__(self) -> str:
        lines = [f"server: {self.server}", *(f"c{number}: {options}" for number, options in enumerate(self.clients))]
        if self.shuffle:
            lines.append("what happens at the same moment happens in any order")
        return "\n".join([*lines, *(f"{number:4} {step}" for number, step in zip(self.kept, self.steps, strict=True))])


def draw(seed: int, *, recovery: bool = False) -> Program:
    """Draws the program of a seed. With ``recovery`` every server recovers, and networks break more than anything."""
    if recovery:
        return draw_recovering(seed)
    chance = Chance(seed).fork("program")
    server: dict[str, Any] = {"ack_timeout": 25.0}
    if chance.happens(0.3):
        server |= {"ping_interval": 5.0, "ping_timeout": 2.0}
    if chance.happens(0.2):
        server["max_send_buffer"] = 4096
    if chance.happens(0.2):
        server["upgrade_timeout"] = 0.4
    if chance.happens(0.5):
        server["recovery"] = Recovery(max_disconnection=chance.choice((2.0, 30.0, 120.0)))
    clients = tuple(draw_client(chance) for _ in range(1 + chance.below(4)))
    length = 4 + chance.below(12 if chance.happens(0.5) else 40)
    steps = tuple(draw_step(chance, len(clients)) for _ in range(length))
    return Program(seed, server, clients, chance.happens(0.3), steps, tuple(range(length)))


def draw_recovering(seed: int) -> Program:
    """Draws a program that is about recovery."""
    chance = Chance(seed).fork("recovery")
    recovery = Recovery(
        max_disconnection=chance.choice((2.0, 30.0, 120.0, 120.0)),
        skip_middlewares=chance.happens(0.5),
        max_packets=chance.choice((8, 100_000, 100_000, 100_000)),
        max_bytes=chance.choice((5_000, 64_000_000, 64_000_000, 64_000_000)),
        max_sessions=chance.choice((1, 10_000, 10_000, 10_000)),
        store_timeout=chance.choice((0.1, 5.0, 5.0, 5.0)),
    )
    server: dict[str, Any] = {"ack_timeout": 60.0, "recovery": recovery}
    if chance.happens(0.3):
        server |= {"ping_interval": 5.0, "ping_timeout": 2.0}
    if chance.happens(0.1):
        server["max_send_buffer"] = 4096
    if chance.happens(0.4):
        server["recovery_store"] = LateStore
    clients = tuple(draw_client(chance) for _ in range(1 + chance.below(3)))
    length = 10 + chance.below(40)
    steps = tuple(draw_breaking_step(chance, len(clients)) for _ in range(length))
    return Program(seed, server, clients, chance.happens(0.3), steps, tuple(range(length)))


def draw_breaking_step(chance: Chance, clients: int) -> Step:
    """Draws one step, where networks break."""
    who = chance.below(clients)
    roll = chance.below(100)
    if roll < 28:
        return Step("advance", (chance.choice((0.0, 0.001, 0.01, 0.05, 0.3, 1.0, 1.0, 1.6, 3.0, 3.0, 10.0)),))
    if roll < 36:
        return Step("cut", (who,))
    if roll < 52:
        return Step("cut_after", (who, chance.below(chance.choice((50, 400, 400, 2000)))))
    if roll < 56:
        return Step("lose", (who,))
    if roll < 58:
        return Step("latency", (who, chance.choice((0.0, 0.001, 0.02, 0.09))))
    if roll < 60:
        return draw_step(chance, clients)
    if roll < 70:
        return draw_user(chance, who)
    return draw_server(chance, who)


def draw_client(chance: Chance) -> dict[str, Any]:
    """Draws the options of a client."""
    options: dict[str, Any] = {"ack_timeout": chance.choice((0.5, 5.0, 20.0))}
    kind = chance.below(6)
    if kind == 0:
        options["transports"] = ("polling",)
    elif kind == 1:
        options["transports"] = ("websocket",)
    elif kind == 2:
        options |= {"transports": ("websocket", "polling"), "try_all_transports": True}
    else:
        options["transports"] = ("polling", "websocket")
    if chance.happens(0.2):
        options["retries"] = 2
    if chance.happens(0.3):
        options["remember_upgrade"] = True
    return options


def draw_step(chance: Chance, clients: int) -> Step:
    """Draws one step."""
    who = chance.below(clients)
    roll = chance.below(100)
    if roll < 26:
        return draw_time(chance)
    if roll < 44:
        return draw_network(chance, who)
    if roll < 70:
        return draw_user(chance, who)
    return draw_server(chance, who)


def draw_time(chance: Chance) -> Step:
    """Draws how time passes."""
    if chance.happens(0.5):
        return Step("settle")
    if chance.happens(0.1):
        return Step("jump", (chance.choice((0.5, 5.0, 30.0, 100.0)),))
    return Step("advance", (chance.choice((0.01, 0.05, 0.1, 0.1, 0.3, 1.0, 3.0, 10.0, 26.0, 50.0)),))


def draw_network(chance: Chance, who: int) -> Step:
    """Draws what befalls the network of a client."""
    kind = chance.below(12)
    if kind < 3:
        return Step("cut", (who,))
    if kind == 3:
        return Step("cut_after", (who, chance.below(600)))
    if kind == 4:
        return Step("stall", (who, chance.choice(("up", "down", None))))
    if kind < 7:
        return Step("flow", (who,))
    if kind == 7:
        return Step("latency", (who, chance.choice((0.0, 0.001, 0.02, 0.09, 0.4))))
    if kind == 8:
        return Step("chunking", (who, chance.choice((None, 1, 7, "random"))))
    if kind == 9:
        return Step("half_close", (who,))
    if kind == 10:
        return Step("refuse", (who,)) if chance.happens(0.5) else Step("restore", (who,))
    if chance.happens(0.3):
        return Step("duplicate", (who, chance.choice(("GET", "POST"))))
    if chance.happens(0.5):
        return Step("delay", (who, chance.choice(("GET", "POST")), chance.choice((0.05, 0.5, 12.0))))
    return Step("proxy", (who, chance.choice((None, 1.0, 30.0)), chance.happens(0.7)))


def draw_user(chance: Chance, who: int) -> Step:
    """Draws what a client does."""
    namespace = chance.choice(("/", "/", "/more"))
    kind = chance.below(12)
    if kind < 4:
        return Step("say", (who, namespace, 1 + chance.below(3), chance.happens(0.2)))
    if kind < 7:
        return Step("ask", (who, namespace, chance.choice(("echo", "echo", "slow", "lazy"))))
    if kind < 9:
        return Step("enter", (who, namespace, chance.choice(ROOMS)))
    if kind == 9:
        return Step("exit", (who, namespace, chance.choice(ROOMS)))
    if kind == 10:
        return Step("disconnect", (who, namespace))
    return Step("connect", (who, namespace, chance.happens(0.15)))


def draw_server(chance: Chance, who: int) -> Step:
    """Draws what the application does."""
    namespace = chance.choice(("/", "/", "/more"))
    kind = chance.below(12)
    if kind < 5:
        to = tuple(room for room in ROOMS if chance.happens(0.4))
        without = tuple(room for room in ROOMS if chance.happens(0.15))
        return Step("cast", (namespace, to, without, chance.choice((None, None, who)), chance.happens(0.2)))
    if kind < 7:
        return Step("tell", (who, namespace, chance.choice((10, 10, 300)), chance.happens(0.15)))
    if kind < 10:
        return Step("poll", (namespace, chance.choice((None, *ROOMS)), chance.choice((0.2, 2.0, 30.0))))
    if kind == 10:
        return Step("query", (who, namespace, chance.choice((None, 0.3, 10.0))))
    return Step("kick", (who, namespace, chance.happens(0.5)))
