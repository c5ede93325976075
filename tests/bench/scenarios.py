"""What is measured: the scenarios by name, and what one measurement of one server says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.loads import Address, Broadcast, Connecting, Echo, Load
from tests.bench.polling import Polling

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.wire import Loop


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of load."""

    title: str
    unit: str
    units: str
    connections: int
    make: Callable[[Loop, Address, int], Load] | None
    """Makes the load; ``None`` where it is memory that is measured."""


SCENARIOS = {
    "event": Scenario(
        "event with acknowledgement, 8 unanswered on each connection",
        "event",
        "events",
        50,
        lambda loop, address, connections: Echo(loop, address, connections, 8),
    ),
    "single": Scenario(
        "event with acknowledgement, 1 unanswered on each connection",
        "event",
        "events",
        50,
        lambda loop, address, connections: Echo(loop, address, connections, 1),
    ),
    "broadcast": Scenario("broadcast to a room, one at a time", "delivery", "deliveries", 1000, Broadcast),
    "connect": Scenario(
        "connecting: WebSocket, namespace, close; so many at the same time",
        "connection",
        "connections",
        50,
        Connecting,
    ),
    "polling": Scenario(
        "long-polling: POST and GET for each event with acknowledgement", "event", "events", 50, Polling
    ),
    "memory": Scenario("memory of idle connections over WebSocket", "connection", "connections", 2000, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a load generator is to do, to which server."""

    scenario: str
    host: str
    port: int
    pid: int
    connections: int
    seconds: float


@dataclass(slots=True, kw_only=True)
class Measurement:
    """What came out."""

    scenario: str
    server: str
    round: int
    connections: int
    error: str | None = None
    """Why this says nothing about the server's speed: the rest is to be ignored then."""
    units: int = 0
    """What was done within the window."""
    seconds: float = 0.0
    server_cpu: float = 0.0
    """CPU seconds of the server's processes within the window."""
    generator_cpu: float = 0.0
    server_waited: float = 0.0
    """Seconds in which other processes kept the server from its core, where the system tells."""
    generator_waited: float = 0.0
    memory_before: int = 0
    memory_after: int = 0

    @property
    def cost(self) -> float:
        """CPU seconds for each unit, or bytes for each connection: what ratios are taken of."""
        if SCENARIOS[self.scenario].make is None:
            return (self.memory_after - self.memory_before) / self.connections
        return self.server_cpu / self.units

    @property
    def disturbance(self) -> float:
        """The part of the window in which others used the core of the server or of the generator."""
        return max(self.server_waited, self.generator_waited) / self.seconds

    @property
    def rate(self) -> float:
        return self.units / self.seconds

    @property
    def server_use(self) -> float:
        """The part of one core that the server used; more than 1 where it has threads and cores for them."""
        return self.server_cpu / self.seconds

    @property
    def generator_use(self) -> float:
        return self.generator_cpu / self.seconds
