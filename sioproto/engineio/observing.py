"""The events of ``socket.conn``: synchronous observers of one session, on either side, who see things in place.

Nearly no session has any, so the table is made when the first observer comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from sioproto.engineio.packet import PacketType
from sioproto.handlers import Observers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.frame import Frame
    from sioproto.guard import Guard

C = TypeVar("C", bound="Callable[..., Any]")

PACKET_NAMES = {
    PacketType.OPEN: "open",
    PacketType.CLOSE: "close",
    PacketType.PING: "ping",
    PacketType.PONG: "pong",
    PacketType.MESSAGE: "message",
    PacketType.UPGRADE: "upgrade",
    PacketType.NOOP: "noop",
}
"""The types of packets in the words of the protocol; what observers get."""

SESSION_EVENTS = ("upgrading", "upgrade", "packet", "packet_create", "flush", "drain", "heartbeat", "close")
CLIENT_EVENTS = (*SESSION_EVENTS, "upgrade_error")

CAMEL_CASE = {"packetCreate": "packet_create", "upgradeError": "upgrade_error"}
"""Events that have another name in JavaScript."""


class Observed:
    """``on``, ``once`` and ``off`` for observers that may neither wait nor call back into the core."""

    __slots__ = ("_observers",)
    observable: ClassVar[tuple[str, ...]] = SESSION_EVENTS
    """The events that there are."""
    guard: Guard
    """What commands enter."""

    def __init__(self) -> None:
        self._observers: Observers | None = None

    @overload
    def on(self, event: str, call: C) -> C: ...
    @overload
    def on(self, event: str, call: None = None) -> Callable[[C], C]: ...
    def on(self, event: str, call: Any = None) -> Any:
        """Calls an observer in place whenever ``event`` happens; a decorator, or with the observer as second argument.

        ``upgrading(transport)`` and ``upgrade(transport)``, with the new one; ``packet(type, data)``, where a type is
        ``"message"``, ``"ping"`` and so on; ``packet_create(type, data)``, which may be written ``packetCreate``;
        ``flush(frames)``; ``drain()``: the outbox was handed to the transport; ``heartbeat()``;
        ``close(reason, description)``. A client has ``upgrade_error(error)`` as well, which may be written
        ``upgradeError``: the WebSocket was given up. Raises ``LocalProtocolError`` for any other name.
        """
        return self._observe(event, call, once=False)

    @overload
    def once(self, event: str, call: C) -> C: ...
    @overload
    def once(self, event: str, call: None = None) -> Callable[[C], C]: ...
    def once(self, event: str, call: Any = None) -> Any:
        """Like ``on``, for the next time only."""
        return self._observe(event, call, once=True)

    def off(self, event: str, call: Callable[..., Any] | None = None) -> None:
        """Takes back one observer, or all of an event."""
        with self.guard:
            if self._observers is not None:
                self._observers.remove(canonical(event), call)

    def report(self, error: Exception, where: str) -> None:
        """Takes what an observer raised."""
        raise NotImplementedError

    def _observe(self, event: str, call: Any, *, once: bool) -> Any:
        with self.guard:
            if self._observers is None:
                self._observers = Observers(self.observable, self.report, self.guard)
            return self._observers.add(canonical(event), call, once)

    def call_all(self, calls: Sequence[Callable[[], object]]) -> None:
        """Calls those who waited for a drain."""
        for call in calls:
            try:
                call()
            except Exception as error:  # a user's code: its failure is reported and stops nobody
                self.report(error, "drain")

    def notify(self, event: str, *args: Any) -> None:
        if self._observers is not None:
            self._observers.notify(event, *args)

    def _notify_created(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            data = frame.data
            if isinstance(data, str):
                self.notify("packet_create", PACKET_NAMES.get(data[:1], "message"), data[1:])
            else:
                self.notify("packet_create", "message", data)


def canonical(event: str) -> str:
    """Returns the Python name of an event that has a JavaScript name as well."""
    return CAMEL_CASE.get(event, event)
