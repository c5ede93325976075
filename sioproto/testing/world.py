"""A world: servers and clients that meet on a virtual clock, with no socket, no event loop and no waiting.

    world = World(seed=7)
    io = world.server(register)
    alice = world.client("/chat", auth={"token": "s3"}, name="alice")
    world.settle()

Nothing happens by itself. ``settle`` lets everything happen that takes no time, ``advance`` lets time pass, from
deadline to deadline. The same seed gives the same world, byte for byte of its transcript.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sioproto.errors import LocalProtocolError
from sioproto.pending import Pending
from sioproto.socketio.server import SocketServer
from sioproto.testing.chance import Chance
from sioproto.testing.failures import HandlerFailed, InvariantBroken, NeverDone, NeverQuiet
from sioproto.testing.messages import MessageClient, MessageServer
from sioproto.testing.network import Network
from sioproto.testing.pipe import SAME
from sioproto.testing.runtime import Loop, Party, Task
from sioproto.testing.server import Server
from sioproto.testing.transcript import Transcript
from sioproto.testing.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sioproto.engineio.server import EngineServer
    from sioproto.testing.clock import Clock
    from sioproto.testing.cores import ClientCore, ServerCore
    from sioproto.timers import Timer

T = TypeVar("T")
S = TypeVar("S")

HOUR = 3600.0


class World:
    """Servers, clients and what lies between them.

    ``strict`` says that a handler that raises fails the test. ``shuffle`` draws the order of what happens at the same
    moment, which is first come, first served otherwise. ``invariants`` says whether they are watched over. ``budget`` is
    how many steps may be made without any time passing, and ``transcript`` how many entries of it are kept.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        strict: bool = True,
        shuffle: bool = False,
        invariants: bool = True,
        budget: int = 100_000,
        transcript: int = 10_000,
    ) -> None:
        self.seed = seed
        self.strict = strict
        self.chance = Chance(seed)
        """For a test that wants something drawn as well."""
        self._loop = Loop(budget, self.chance.fork("order") if shuffle else None)
        self.transcript = Transcript(self._loop.clock, transcript)
        self.watch = Watch(self._loop, invariants)
        self._ids = self.chance.fork("ids")
        self._party = self.party("world")
        self._sleeps: dict[Timer, None] = {}
        self._servers: list[Destination] = []
        self._networks: list[Network] = []
