"""What ``transport`` of a session, on either side, shows of the transport that carries a session now."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sioproto.config import TransportName
    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.link import Link
    from sioproto.engineio.session import Session


class Transport:
    """A view of a session's transport. It is about the present: after an upgrade the same view says so.

    With a ``candidate`` it is about the WebSocket that is being probed.
    """

    __slots__ = ("_candidate", "_session")

    def __init__(self, session: Session | EngineClient, candidate: Link | None = None) -> None:
        self._session = session
        self._candidate = candidate

    @property
    def name(self) -> TransportName:
        """``"polling"`` until an upgrade is complete, else ``"websocket"``."""
        return self._session.transport_name if self._candidate is None else "websocket"

    @property
    def writable(self) -> bool:
        """Whether it would take a packet at once."""
        return self._session.writable if self._candidate is None else not self._candidate.blocked

    def __repr__(self) -> str:
        return f"<Transport {self.name}>"
