"""One Engine.IO session as Socket.IO sees it: a decoder, the sockets in their namespaces, and what asks to connect."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sioproto.engineio.request import Request
    from sioproto.engineio.session import Session
    from sioproto.socketio.connecting import ConnectTicket
    from sioproto.socketio.parser import Decoder
    from sioproto.socketio.socket import Socket
    from sioproto.timers import Timer


class Client:
    """What the namespaces of one session share."""

    __slots__ = ("connects", "decoder", "minute", "parked", "received", "session", "sockets", "timer", "waiting")

    def __init__(self, session: Session, decoder: Decoder) -> None:
        self.session = session
        self.decoder: Decoder | None = decoder
        """None once the client sent something invalid, which ends its session."""
        self.sockets: dict[str, Socket] = {}
        """The connected sockets, by the name of their namespace."""
        self.waiting: dict[str, ConnectTicket] = {}
        """CONNECTs that wait for an answer, by the name of their namespace."""
        self.timer: Timer | None = None
        """Runs until the first namespace is joined."""
        self.minute = 0.0
        self.connects = 0
        """CONNECTs since ``minute``."""
        self.received = 0
        """What the packet that is being decoded took so far, in characters and bytes."""
        self.parked = 0
        """Bytes of events that wait for handlers; the floor above counts."""

    @property
    def conn(self) -> Session:
        """The Engine.IO session, under the name that ``socket.conn`` has."""
        return self.session

    @property
    def request(self) -> Request:
        """The first request of the session."""
        return self.session.request

    @property
    def id(self) -> str:
        """The id of the session: a secret between the two sides."""
        return self.session.id

    @property
    def paused(self) -> bool:
        """Whether reading from the client is stopped, because handlers lag."""
        return self.session.paused

    def pause(self) -> None:
        """Stops reading from the client."""
        self.session.pause()

    def resume(self) -> None:
        """Reads again."""
        self.session.resume()

    @property
    def ever_connected(self) -> bool:
        """Whether a namespace was joined at any time."""
        return self.timer is None
