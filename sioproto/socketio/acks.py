"""Acknowledgements: those that sockets owe us, each answered, timed out or failed exactly once; and those that we owe.

A socket keeps, by acknowledgement id, who waits for its answer: a ``SocketAck`` for an event to that socket alone, or
the one ``BroadcastAck`` that all recipients of a broadcast share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

from sioproto.errors import AckTimeout, Disconnected

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from sioproto.guard import Guard
    from sioproto.pending import Pending
    from sioproto.socketio.socket import Socket
    from sioproto.timers import Timer, Timers

T = TypeVar("T")

Missing = Literal["left", "timed out", "dropped"]
"""Why somebody did not answer: disconnected, too late, or a volatile event could not be sent to them."""


@dataclass(slots=True)
class BroadcastAnswers(Generic[T]):
    """Who answered what, and who did not."""

    answers: dict[str, T] = field(default_factory=dict)
    """What each socket answered, by its id, in the order of arrival: None, the argument, or a tuple of several."""
    missing: dict[str, Missing] = field(default_factory=dict)
    """Why the others did not, by their id."""

    @property
    def complete(self) -> bool:
        """Whether everybody answered."""
        return not self.missing


class Owing(Protocol):
    """A socket, of either side, that owes answers."""

    def forget_ack(self, ack_id: int) -> None:
        """Nobody waits for that answer any more."""


S = TypeVar("S", bound=Owing)
S_contra = TypeVar("S_contra", bound=Owing, contravariant=True)


class Waiter(Protocol[S_contra]):
    """Somebody who waits for an answer of a socket. Each call but ``move`` is the last one about that socket."""

    def answered(self, socket: S_contra, value: Any) -> None:
        """The other side answered."""

    def left(self, socket: S_contra) -> None:
        """The socket is gone."""

    def crowded_out(self, socket: S_contra) -> None:
        """Too many answers of that socket are awaited, and this is the oldest."""

    def move(self, old: S_contra, new: S_contra) -> None:
        """The answer is going to come from another socket, which continues the old one. More calls follow."""


class Acks(Generic[S]):
    """The answers that one socket owes. Beyond ``limit`` the oldest fails, so that a silent peer keeps no memory."""

    __slots__ = ("_limit", "_socket", "_waiters")

    def __init__(self, socket: S, limit: int) -> None:
        self._socket = socket
        self._limit = limit
        self._waiters: dict[int, Waiter[S]] = {}

    def expect(self, ack_id: int, waiter: Waiter[S]) -> None:
        """Remembers who waits for ``ack_id``."""
        waiters = self._waiters
        waiters[ack_id] = waiter
        # Last, because whoever is crowded out may ask again in place.
        if len(waiters) > self._limit:
            waiters.pop(next(iter(waiters))).crowded_out(self._socket)

    def answer(self, ack_id: int, args: Sequence[Any]) -> None:
        """Takes an answer; one that nobody waits for is ignored."""
        waiter = self._waiters.pop(ack_id, None)
        if waiter is not None:
            waiter.answered(self._socket, args[0] if len(args) == 1 else tuple(args) or None)

    def forget(self, ack_id: int) -> None:
        """Nobody waits for it any more."""
        self._waiters.pop(ack_id, None)

    def leave(self, unsent: Container[int] = ()) -> None:
        """Tells everybody who waits that the socket is gone, but for those whose events are still ``unsent``."""
        waiters = self._waiters
        self._waiters = {ack_id: waiter for ack_id, waiter in waiters.items() if ack_id in unsent}
        for ack_id, waiter in waiters.items():
            if ack_id not in self._waiters:
                waiter.left(self._socket)

    def move(self, new: S) -> None:
        """From now on another socket owes these answers."""
        old, self._socket = self._socket, new
        for waiter in self._waiters.values():
            waiter.move(old, new)

    def __contains__(self, ack_id: int) -> bool:
        return ack_id in self._waiters

    def __len__(self) -> int:
        return len(self._waiters)


class SocketAck:
    """The answer of one socket to one event; ``timer`` is whatever limits the wait."""

    __slots__ = ("_ack_id", "_pending", "_socket", "timer")

    def __init__(self, socket: Owing, ack_id: int, pending: Pending[Any]) -> None:
        self._socket = socket
        self._ack_id = ack_id
        self._pending = pending
        self.timer: Timer | None = None

    def answered(self, socket: Owing, value: Any) -> None:
        self._stop()
        self._pending.resolve(value)

    def left(self, socket: Owing) -> None:
        self._stop()
        self._pending.reject(Disconnected())

    def crowded_out(self, socket: Owing) -> None:
        self._stop()
        self.time_out()

    def move(self, old: Owing, new: Owing) -> None:
        self._socket = new

    def time_out(self) -> None:
        """The time is over."""
        self._socket.forget_ack(self._ack_id)
        self._pending.reject(AckTimeout())

    def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()


class BroadcastAck:
    """The answers to one broadcast: complete as soon as nobody is left who could still answer."""

    __slots__ = ("_ack_id", "_expected", "_pending", "_result", "_sealed", "_timer")

    def __init__(self, ack_id: int, pending: Pending[BroadcastAnswers[Any]], timeout: float, timers: Timers) -> None:
        self._ack_id = ack_id
        self._pending = pending
        self._expected: dict[Socket, None] = {}
        self._result = BroadcastAnswers[Any]()
        self._sealed = False
        self._timer = timers.after(timeout, self._time_out)

    def expect(self, socket: Socket) -> None:
        """Counts a socket among those who are going to answer."""
        self._expected[socket] = None

    def miss(self, socket: Socket, why: Missing) -> None:
        """Counts a socket among those who are not."""
        self._result.missing[socket.id] = why

    def seal(self) -> None:
        """Everybody was asked."""
        self._sealed = True
        self._check()

    def answered(self, socket: Socket, value: Any) -> None:
        del self._expected[socket]
        self._result.answers[socket.id] = value
        self._check()

    def left(self, socket: Socket) -> None:
        del self._expected[socket]
        self.miss(socket, "left")
        self._check()

    def crowded_out(self, socket: Socket) -> None:
        del self._expected[socket]
        self.miss(socket, "timed out")
        self._check()

    def move(self, old: Socket, new: Socket) -> None:
        del self._expected[old]
        self._expected[new] = None

    def _time_out(self) -> None:
        expected, self._expected = self._expected, {}
        for socket in expected:
            socket.forget_ack(self._ack_id)
            self.miss(socket, "timed out")
        self._check()

    def _check(self) -> None:
        if self._sealed and not self._expected:
            self._timer.cancel()
            self._pending.resolve(self._result)


def ack_overdue(ack: SocketAck, _: float) -> None:
    """What the lane of the default time-out calls."""
    ack.time_out()


class Answering(Protocol):
    """Whoever can send an acknowledgement."""

    @property
    def guard(self) -> Guard:
        """What commands enter."""
        ...

    def acknowledge(self, ack_id: int, args: Sequence[Any]) -> bool:
        """Answers an event. Returns False when the socket is gone."""
        ...


class Ack:
    """The acknowledgement of one event: call it with the answer's arguments. Only the first call answers.

    A handler gets it through a keyword-only parameter ``ack``. ``called`` tells whether the event is answered.
    """

    __slots__ = ("_ack_id", "_socket", "called")

    def __init__(self, socket: Answering, ack_id: int) -> None:
        self._socket = socket
        self._ack_id = ack_id
        self.called = False

    def __call__(self, *args: Any) -> bool:
        """Sends the answer. Returns False, and sends nothing, if it was answered before or the socket is gone."""
        with self._socket.guard:
            return self.answer(args)

    def answer(self, args: tuple[Any, ...]) -> bool:
        """Does so for whoever is inside the guard."""
        if self.called:
            return False
        sent = self._socket.acknowledge(self._ack_id, args)
        self.called = True
        return sent
