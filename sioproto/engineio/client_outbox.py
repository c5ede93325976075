"""What a client has still to send: one list, in order, whichever carrier takes it.

A POST takes as much as the server accepts in one body, and no more than ``max_post_packets``; the rest is left. A
WebSocket takes all. While there is no carrier the list waits, up to ``max_send_buffer`` bytes: a server that reads
nothing and pings, each with two bytes, must not fill memory with what answers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.client_polling import fitting
from sioproto.engineio.client_states import ClientInput
from sioproto.engineio.packet import count_messages
from sioproto.frame import FRAME_COST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sioproto.engineio.client import EngineClient
    from sioproto.frame import Frame


class ClientOutbox:
    """The packets of one client that wait for its transport, and who waits for that."""

    __slots__ = ("_client", "_drained", "_granted", "_left", "dirty", "frames", "queued")

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self.frames: list[Frame] = []
        self.queued = 0
        """Bytes in ``frames``."""
        self.dirty = False
        """Whether ``take_dirty()`` is to flush it."""
        self._granted = 0
        self._left = 0
        """Messages in ``frames`` at the end."""
        self._drained: list[Callable[[], object]] | None = None

    def add(self, frames: Sequence[Frame]) -> None:
        """Queues packets."""
        self.frames += frames
        queued = self.queued
        for frame in frames:
            queued += frame.size
        self.queued = queued
        self.mark()
        client = self._client
        if queued > client.config.drain_mark:
            if not client.busy:
                # A POST would take no more now than at the end of the turn, and keep the rest waiting for its answer.
                if client.link is not None:
                    client.carriers.rouse(urgent=True)
            elif self.dirty and self._is_full:
                self.flush()

    def mark(self) -> None:
        """Has it flushed by the next ``take_dirty()``."""
        if not self.dirty:
            self.dirty = True
            self._client.carriers.rouse()

    def flush(self) -> None:
        """Hands over what the carrier that is there now takes."""
        self.dirty = False
        client = self._client
        if client.busy:
            if self._is_full:
                client.life.end("transport error", "send buffer is full")
            return
        if self.frames:
            link = client.link
            if link is None:
                frames = self._take(fitting(self.frames, client.server_max_payload, client.config.max_post_packets))
                client.polling.send(frames)
            else:
                frames = self._take(len(self.frames))
                carried = [frame.as_text for frame in frames] if client.config.force_base64 else frames
                link.frames += carried
                client.carriers.carry(link)
            client.notify("flush", tuple(frames))
            if not self.frames:
                client.notify("drain")
        if self.frames:
            return
        if self._drained is not None:
            self._call_drained()
        if not client.open and not client.busy:
            client.life.step(ClientInput.DRAINED)

    def when_drained(self, call: Callable[[], object]) -> None:
        """Calls ``call()`` when nothing waits any more."""
        self._drained = [*(self._drained or ()), call]

    def clear(self) -> None:
        """Forgets what was never sent, when the client has ended."""
        self._left = count_messages(self.frames)
        self.frames = []
        self.queued = self._granted = 0
        self._call_drained()

    @property
    def unsent(self) -> int:
        """See ``EngineClient.unsent``."""
        return self._left + count_messages(self.frames) + self._client.polling.posted

    @property
    def weight(self) -> int:
        """What ``frames`` cost in memory: ``queued`` and ``FRAME_COST`` for each packet."""
        return self.queued + FRAME_COST * len(self.frames)

    @property
    def _is_full(self) -> bool:
        return self.weight - self._granted > self._client.config.max_send_buffer

    def _take(self, count: int) -> list[Frame]:
        frames = self.frames
        if count == len(frames):
            taken, self.frames, size = frames, [], self.queued
        else:
            taken, self.frames = frames[:count], frames[count:]
            size = sum(frame.size for frame in taken)
        self.queued -= size
        size += FRAME_COST * count
        # A burst that was there while the transport took some is healthy, however long it is: until it is through, only
        # what comes on top of it says that the server is slow.
        self._granted = max(self._granted - size, 0) or self.weight
        return taken

    def _call_drained(self) -> None:
        if self._drained is not None:
            calls, self._drained = self._drained, None
            self._client.call_all(calls)
