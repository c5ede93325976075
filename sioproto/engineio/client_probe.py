"""An upgrade that is under way, on the client's side: the WebSocket that is to take over, and when it is given up.

(Engine.IO protocol, "Upgrade".) A client has one of these from asking for that WebSocket to sending ``5`` over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.client_states import ClientInput, ClientState
from sioproto.engineio.packet import PacketType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.link import Link


class ClientProbe:
    """The candidate, once it is there, and the time that is left for it."""

    __slots__ = ("_client", "_overdue", "link")

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self.link: Link | None = None
        self._overdue = client.timers.after(client.config.upgrade_timeout, self._time_out)

    def receive(self, link: Link, messages: Sequence[str | bytes]) -> None:
        """Takes messages of the candidate. Those of a link that is none are ignored."""
        client = self._client
        for index, message in enumerate(messages):
            if client.link is link:  # one of them completed the upgrade
                client.receive_messages(link, messages[index:])
                return
            if self.link is not link:
                return
            expected = client.state is ClientState.PROBING and message == PacketType.PONG + "probe"
            client.life.step(ClientInput.PROBED if expected else ClientInput.STRAY, "unexpected packet")

    def stop(self) -> None:
        """Cancels the timer."""
        self._overdue.cancel()

    def drop(self) -> None:
        """Gives the candidate up and closes it."""
        self.stop()
        link, client = self.link, self._client
        if link is not None:
            link.session = None
            link.close()
            client.carriers.carry(link)

    def _time_out(self) -> None:
        self._client.life.step(ClientInput.UPGRADE_OVERDUE, "timeout")
