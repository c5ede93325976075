"""A client that comes back: what the JavaScript client's ``Socket`` does about recovery, step by step.

It reads when it is told to, so that a connection can be cut with anything under way: what it has not read it never
gets, and until it has read a ping it does not answer it.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from sioproto.socketio import PacketType, Parser
from tests.virtual import address_of

if TYPE_CHECKING:
    from sioproto.socketio import Packet
    from tests.virtual import Client, Driver


class Returning:
    """One socket of a client, over as many connections as it takes (socket.io-client 4.8, ``lib/socket.ts``)."""

    def __init__(self, driver: Driver[Any], namespace: str = "/", transport: str = "websocket") -> None:
        self.driver = driver
        self.namespace = namespace
        self.transport = transport
        self.client: Client
        self.id: str | None = None
        self.pid: str | None = None
        self.offset: str | None = None
        self.connected = False
        self.recovered = False
        self.refusal: Any = None
        self.answers = True
        """Whether it answers events that ask for it."""
        self.told: list[list[Any]] = []
        """Name and arguments of each event as its handlers get them, ``["connect", recovered]`` among them."""
        self._early: list[tuple[list[Any], int | None]] = []
        self._seen = 0

    def open(self, **auth: Any) -> Returning:
        """Connects and sends CONNECT."""
        self.client = self.driver.client(self.transport, pongs=False)
        self._seen = 1  # behind the handshake
        self._decoder = Parser().decoder()
        claim = {} if self.pid is None else {"pid": self.pid}
        if self.pid is not None and self.offset is not None:
            claim["offset"] = self.offset
        data = {**claim, **auth}
        self.client.send("40" + address_of(self.namespace) + (json.dumps(data) if data else ""))
        return self

    def enter(self, **auth: Any) -> Returning:
        """Connects and reads the answer."""
        self.open(**auth).read()
        return self

    def read(self, packets: int | None = None) -> Returning:
        """Reads what has come, or the next few packets of it, and whatever comes in one piece with them."""
        # What it answers makes the server send more.
        while self._seen < len(self.client.log) and (packets is None or packets > 0 or self._amid):
            packet = self.client.log[self._seen]
            self._seen += 1
            if packets is not None:
                packets -= 1
            if packet == "2":
                self._send("3")
            elif isinstance(packet, bytes) or packet.startswith("4"):
                found = self._decoder.feed(packet[1:] if isinstance(packet, str) else packet)
                if found is not None and found.namespace == self.namespace:
                    self._take(found)
        return self

    @property
    def _amid(self) -> bool:
        return self.transport == "polling" and self._seen not in self.client.whole

    @property
    def unread(self) -> int:
        """How many packets are under way."""
        return len(self.client.log) - self._seen

    def cut(self, error: str | None = "reset", *, noticed: bool = True) -> None:
        """Loses the connection, and what was under way; the server may notice it, or not yet."""
        if noticed and self.client.session.open and self.client.call is not None:
            self.client.lose(error)
        self._seen = sys.maxsize
        self.client.polls = False
        self.connected = False
        self.id = None

    def take(self) -> list[list[Any]]:
        """Returns what its handlers got since the last time, the offsets included."""
        told, self.told = self.told, []
        return told

    def _take(self, packet: Packet) -> None:
        if packet.type is PacketType.EVENT:
            if self.connected:
                self._tell(packet.data, packet.id)
            else:
                self._early.append((packet.data, packet.id))
        elif packet.type is PacketType.CONNECT:
            self.id = packet.data["sid"]
            pid = packet.data.get("pid")
            self.recovered = pid is not None and self.pid == pid
            self.pid = pid
            self.connected = True
            early, self._early = self._early, []
            for data, ack_id in early:
                self._tell(data, ack_id)
            self.told.append(["connect", self.recovered])
        elif packet.type is PacketType.CONNECT_ERROR:
            self.refusal = packet.data
        elif packet.type is PacketType.DISCONNECT:
            self.connected = False
            self.id = None

    def _tell(self, data: list[Any], ack_id: int | None) -> None:
        self.told.append(data)
        if ack_id is not None:
            if self.answers:
                self.answer(ack_id)
        elif self.pid is not None and isinstance(data[-1], str):
            self.offset = data[-1]

    def answer(self, ack_id: int, value: Any = "yes") -> None:
        """Acknowledges an event."""
        self._send(f"43{address_of(self.namespace)}{ack_id}{json.dumps([value])}")

    def _send(self, packet: str) -> None:
        # What it sends after the server gave it up is lost.
        if self.client.session.open:
            self.client.send(packet)
