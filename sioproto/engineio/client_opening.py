"""From ``begin()`` to the server's handshake, over the first transport that gets there.

(Engine.IO protocol, "Handshake".) The first packet of a connection is the server's OPEN packet, whichever transport it
comes over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from sioproto.engineio.client_states import ClientInput, ClientState
from sioproto.engineio.packet import PacketType
from sioproto.errors import RemoteProtocolError

if TYPE_CHECKING:
    from sioproto.config import TransportName
    from sioproto.engineio.client import EngineClient

MAX_HANDSHAKE = 16 * 1024
"""Characters of a handshake; the reference server's has about 120."""
MAX_SID = 256
"""Characters of a session id, which is a part of every further request."""
MAX_REFUSAL = 4096
"""Bytes of a refusal's body that are looked at."""


class ClientOpening:
    """The transports that a client has, and which of them is being tried."""

    __slots__ = ("_client", "transports")

    def __init__(self, client: EngineClient, transports: tuple[TransportName, ...]) -> None:
        self._client = client
        self.transports = transports

    @property
    def state(self) -> ClientState:
        """The state of a client that opens the first transport."""
        return ClientState.OPENING_POLLING if self.transports[0] == "polling" else ClientState.OPENING_WEBSOCKET

    def ask(self) -> None:
        """Asks for a session over the first transport."""
        client = self._client
        client.life.state = self.state
        if client.state is ClientState.OPENING_POLLING:
            client.polling.poll()
        else:
            client.dial()

    def give_way(self) -> bool:
        """Goes on to the next transport, if there is one and it is wanted."""
        if not self._client.config.try_all_transports or len(self.transports) < 2:
            return False
        self.transports = self.transports[1:]
        return True

    def receive(self, kind: str, data: str) -> None:
        """Takes the first packet of the connection."""
        client = self._client
        try:
            if kind != PacketType.OPEN:
                raise RemoteProtocolError("no handshake")
            client.life.step(ClientInput.OPEN, read_open(data))
        except RemoteProtocolError as error:
            client.life.step(ClientInput.GARBAGE, str(error))


@dataclass(slots=True)
class OpenPacket:
    """What the server says in its handshake; times in seconds."""

    sid: str = field(repr=False)
    upgrades: tuple[str, ...]
    ping_interval: float
    ping_timeout: float
    max_payload: int | None
    """The largest POST body that the server takes, in bytes; None where it does not say."""


def read_open(data: str) -> OpenPacket:
    """Reads what follows the type digit of an OPEN packet. Raises ``RemoteProtocolError`` unless it is all there."""
    try:
        if len(data) > MAX_HANDSHAKE:
            raise ValueError
        handshake: Any = json.loads(data, parse_constant=_refuse)
        sid, upgrades = handshake["sid"], handshake["upgrades"]
        interval, timeout = handshake["pingInterval"], handshake["pingTimeout"]
        max_payload = handshake.get("maxPayload")
        sid.encode()  # JSON has room for a lone surrogate, and a request that names the session has not
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise RemoteProtocolError("invalid handshake") from None
    counts = [timeout] if max_payload is None else [timeout, max_payload]
    if type(interval) is not int or interval:  # python-engineio says 0 for anything below a second
        counts.append(interval)
    if not (
        isinstance(sid, str) and 0 < len(sid) <= MAX_SID and isinstance(upgrades, list) and all(map(is_count, counts))
    ):
        raise RemoteProtocolError("invalid handshake")
    names = tuple(each for each in upgrades if isinstance(each, str))
    return OpenPacket(sid, names, interval / 1000, timeout / 1000, max_payload)


def is_count(value: object) -> bool:
    """Returns whether it is a number above 0 that JavaScript would count with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**53


def _refuse(_: str) -> NoReturn:
    raise ValueError


def read_refusal(body: bytes) -> dict[str, Any] | None:
    """Returns the ``code`` and ``message`` of a refusal; None where the body is something else."""
    try:
        refusal: Any = json.loads(body) if len(body) <= MAX_REFUSAL else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(refusal, dict) or not isinstance(refusal.get("message"), str) or "code" not in refusal:
        return None
    return {"code": refusal["code"], "message": refusal["message"]}
