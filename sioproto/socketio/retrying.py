"""Events that are sent again until they are acknowledged: at least once, in order, one at a time.

An event whose acknowledgement does not come in time, or whose connection is lost before, is sent again up to
``retries`` times; those behind it wait. So the server may see one twice, but never two of them in another order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from sioproto.errors import AckTimeout, Disconnected

if TYPE_CHECKING:
    from sioproto.pending import Pending
    from sioproto.socketio.adapter import Flags
    from sioproto.socketio.client_socket import ClientSocket


class Retried:
    """One event, and how often it was sent."""

    __slots__ = ("args", "event", "flags", "pending", "sent", "tries")

    def __init__(self, flags: Flags, event: str, args: tuple[Any, ...], pending: Pending[Any] | None) -> None:
        self.flags = flags
        self.event = event
        self.args = args
        self.pending = pending
        """Who waits for the answer, if anybody does."""
        self.tries = 0
        self.sent = False
        """Whether an answer is awaited now."""


class Retrying:
    """The queue of one socket."""

    __slots__ = ("_queue", "_retries", "_socket")

    def __init__(self, socket: ClientSocket, retries: int) -> None:
        self._socket = socket
        self._retries = retries
        self._queue: deque[Retried] = deque()

    def add(self, flags: Flags, event: str, args: tuple[Any, ...], pending: Pending[Any] | None) -> None:
        """Lines an event up, and sends it if it is the first."""
        self._queue.append(Retried(flags, event, args, pending))
        self.send_next()

    def send_next(self) -> None:
        """Sends the first event unless its answer is awaited, or there is no connection."""
        if not self._queue or not self._socket.connected:
            return
        first = self._queue[0]
        if not first.sent:
            first.sent = True
            first.tries += 1
            answer = self._socket.ask(first.flags, first.event, first.args)
            answer.on_done(lambda settled: self._settled(first, settled))

    def _settled(self, first: Retried, answer: Pending[Any]) -> None:
        first.sent = False
        try:
            value = answer.result()
        except (AckTimeout, Disconnected) as error:
            if first.tries > self._retries:
                self._queue.popleft()
                if first.pending is None:
                    self._socket.lose(first.event)
                else:
                    first.pending.reject(error)
        else:
            self._queue.popleft()
            if first.pending is not None:
                first.pending.resolve(value)
        self.send_next()

    def __len__(self) -> int:
        return len(self._queue)
