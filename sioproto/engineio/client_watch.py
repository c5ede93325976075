"""The heartbeat from a client's side: a server that does not ping is gone (Engine.IO protocol, "Heartbeat").

The time is that between two pings and what the server itself gives a pong: when it is over, the server has ended the
session as well. So there is no second chance for a time-out that we notice late; there is nobody left to give it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.client_states import ClientInput

if TYPE_CHECKING:
    from sioproto.engineio.client import EngineClient
    from sioproto.timers import Timer

NEVER = float("inf")


class Watch:
    """Runs one timer: until the server's next ping is overdue."""

    __slots__ = ("_client", "_timer", "deadline")

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self._timer: Timer | None = None
        self.deadline = NEVER
        """When the time is over, on the environment's clock."""

    @property
    def expired(self) -> bool:
        """Whether the time is over, even if nobody has called ``handle_timeout`` since."""
        return self._client.environment.clock() > self.deadline

    def start(self) -> None:
        """Waits for the next ping, unless it is we who do not listen."""
        self.stop()
        client = self._client
        if not client.paused:
            self._timer = client.timers.after(client.ping_interval + client.ping_timeout, self._time_out)
            self.deadline = self._timer.deadline

    def stop(self) -> None:
        """Waits no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self.deadline = NEVER

    def _time_out(self) -> None:
        self._timer = None
        self.deadline = NEVER
        self._client.life.step(ClientInput.PING_OVERDUE)
