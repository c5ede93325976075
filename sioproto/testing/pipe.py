"""One direction of one connection: what is put in at one end comes out at the other, in order, sooner or later.

Where nothing is in its way it comes out at once, without being kept anywhere; that is the hot road. Latency, a stall, a
reader that does not read and a cut make it wait or vanish. Like the buffers of a real transport a pipe takes whatever
it is given, and says above a mark that it would rather not.

The rule not to be broken: nothing overtakes anything.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.testing.network import Network
    from sioproto.timers import Timer

CAPACITY = 64 * 1024
"""Bytes that wait in a pipe, above which its writer is told to stop; it may go on below a quarter."""

SAME = 1e-9
"""Moments that are no further apart are the same one: sums of floats differ in their last digits."""

Item = tuple[float, int, "Callable[[Any], object]", Any]


class Pipe:
    """What one side of a connection sends to the other.

    ``up`` says whether that is from the client to the server. ``pressure(blocked)`` is told to the writer.
    """

    __slots__ = (
        "_items", "_listed", "_network", "_pressed", "_pressure", "_timer", "closed", "held", "latest", "loop",
        "straight", "up", "waiting",
    )  # fmt: skip

    def __init__(self, network: Network, up: bool, pressure: Callable[[bool], object]) -> None:
        self._network = network
        self.loop = network.loop
        self._pressure = pressure
        self._items: deque[Item] = deque()
        self._listed = False
        self.held = False
        """Whether its reader does not read."""
        self._pressed = False
        self._timer: Timer | None = None
        self.up = up
        self.latest = 0.0
        """When the last item arrives; nothing that is put in later arrives before."""
        self.waiting = 0
        """Bytes on their way."""
        self.closed = False
        self.straight = False
        """Whether an item may come out in the moment in which it is put in."""
        self.refresh()

    def put(self, size: int, deliver: Callable[[Any], object], what: Any) -> None:
        """Sends something of that many bytes; ``deliver(what)`` is called when it arrives."""
        if self.straight and self.loop.direct:
            deliver(what)
        elif not self.closed:
            self._keep(size, deliver, what)

    def hold(self, held: bool) -> None:
        """The reader stops reading, or goes on."""
        if held is not self.held:
            self.held = held
            self.refresh()

    def refresh(self) -> None:
        """Something changed that decides whether items may come out."""
        idle = not (self._items or self.held or self.closed) and self.latest <= self.loop.clock.now + SAME
        self.straight = idle and self._network.is_clear(self.up)
        if self._items:
            self._schedule()

    def delay(self, seconds: float) -> None:
        """What is put in next arrives no earlier than that."""
        self.latest = max(self.latest, self.loop.clock.now + seconds)
        self.straight = False

    def close(self) -> None:
        """Loses what is on its way, and takes nothing more."""
        self.closed = True
        self.straight = False
        self._items.clear()
        self.waiting = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def step(self) -> None:
        """Delivers what has arrived."""
        self._listed = False
        items, network = self._items, self._network
        while items and not self.held and not network.is_stalled(self.up):
            arrives, size, deliver, what = items[0]
            if arrives > self.loop.clock.now + SAME:
                break
            items.popleft()
            self.waiting -= size
            deliver(what)
        if self._pressed and self.waiting * 4 <= CAPACITY:
            self._pressed = False
            if not self.closed:
                self._pressure(False)
        self.refresh()

    def _keep(self, size: int, deliver: Callable[[Any], object], what: Any) -> None:
        network = self._network
        self.latest = max(self.latest, self.loop.clock.now + network.latency)
        allowed = network.burn(size)
        if allowed < size:
            if allowed and isinstance(what, bytes):
                self._append(allowed, deliver, what[:allowed])
            self._append(0, _cut, network)
        else:
            self._append(size, deliver, what)
        self.straight = False
        if self.waiting > CAPACITY and not self._pressed:
            self._pressed = True
            self._pressure(True)
        self._schedule()

    def _append(self, size: int, deliver: Callable[[Any], object], what: Any) -> None:
        self._items.append((self.latest, size, deliver, what))
        self.waiting += size

    def _schedule(self) -> None:
        if self._listed or self.held or self._network.is_stalled(self.up):
            return
        wait = self._items[0][0] - self.loop.clock.now
        if wait <= SAME:
            self._listed = True
            self.loop.ready.append(self)
        elif self._timer is None:
            self._timer = self.loop.timers.after(wait, self._arrived)

    def _arrived(self) -> None:
        self._timer = None
        if self._items:
            self._schedule()


def _cut(network: Network) -> None:
    network.cut()
