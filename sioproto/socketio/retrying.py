"""Events that are sent again until they are acknowledged: at least once, in order, one at a time.

An event whose acknowledgement does not come in time, or whose connection is lost before, is sent again up to
``retries`` times; those behind it wait. So the server may see one twice, but never two of them in another order.

What is sent again is what was emitted: it is encoded once, and has one id, so that a late answer to an earlier try
counts.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from sioproto.errors import AckTimeout, Disconnected

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.frame import Frame
    from sioproto.pending import Pending
    from sioproto.socketio.client_sender import Sender


class Retried:
    """One event, and how often it was sent."""

    __slots__ = ("ack_id", "args", "frames", "pending", "sent", "timeout", "tries")

    def __init__(
        self,
        frames: tuple[Frame, ...],
        args: tuple[Any, ...],
        ack_id: int,
        timeout: float | None,
        pending: Pending[Any] | None,
    ) -> None:
        self.frames = frames
        self.args = args
        self.ack_id = ack_id
        self.timeout = timeout
        """Seconds that each try has; None for ``ack_timeout``."""
        self.pending = pending
        """Who waits for the answer, if anybody does."""
        self.tries = 0
        self.sent = False
        """Whether an answer is awaited now."""


class Retrying:
    """The queue of one socket."""

    __slots__ = ("_queue", "_retries", "_sender")

    def __init__(self, sender: Sender, retries: int) -> None:
        self._sender = sender
        self._retries = retries
        self._queue: deque[Retried] = deque()

    def add(self, event: Retried) -> None:
        """Lines an event up, and sends it if it is the first."""
        self._queue.append(event)
        self.send_next()

    def send_next(self) -> None:
        """Sends the first event unless its answer is awaited, or there is no connection."""
        if not self._queue or self._queue[0].sent:
            return
        first = self._queue[0]
        first.sent = True  # whoever observes what is sent may line up more in place
        answer = self._sender.try_once(first)
        if answer is None:
            first.sent = False
        else:
            first.tries += 1
            answer.on_done(lambda settled: self._settled(first, settled))

    def clear(self, write: Callable[[Sequence[Frame], tuple[Any, ...]], bool]) -> int:
        """Gives all of them up; whoever waits is told. What was never sent is tried once, by ``write(frames, args)``.

        Returns how many messages had to stay.
        """
        queue, self._queue = self._queue, deque()
        left = 0
        for event in queue:
            if not (event.sent or event.tries or write(event.frames, event.args)):
                left += len(event.frames)
            if event.pending is not None:
                event.pending.reject(Disconnected())
        return left

    def _settled(self, first: Retried, answer: Pending[Any]) -> None:
        if not self._queue or self._queue[0] is not first:
            return  # it was given up before
        first.sent = False
        try:
            value = answer.result()
        except (AckTimeout, Disconnected) as error:
            if first.tries > self._retries:
                self._queue.popleft()
                if first.pending is None:
                    self._sender.lose(first)
                else:
                    first.pending.reject(error)
        else:
            self._queue.popleft()
            if first.pending is not None:
                first.pending.resolve(value)
        self.send_next()

    def __len__(self) -> int:
        return len(self._queue)
