"""The polling half of a client: at most one GET and one POST in hand, and the answer that is being decoded.

(Engine.IO protocol, "HTTP long-polling".) An answer is decoded in slices, like a POST on a server, so that half a
million tiny packets do not keep everything else waiting. It counts as being in hand until it was taken to its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.client_states import ClientInput
from sioproto.engineio.packet import count_messages
from sioproto.engineio.payload import decode_payload, encode_payload
from sioproto.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sioproto.engineio.client import EngineClient
    from sioproto.engineio.fetch import Fetch
    from sioproto.frame import Frame
    from sioproto.timers import Timer

GET_ERROR = "xhr poll error"
POST_ERROR = "xhr post error"


class ClientPolling:
    """The requests of one client that wait for an answer."""

    __slots__ = ("_client", "_get_timer", "_packets", "_post_timer", "get", "post", "posted", "unfinished")

    def __init__(self, client: EngineClient) -> None:
        self._client = client
        self.get: Fetch | None = None
        """The poll that is held by the server."""
        self.post: Fetch | None = None
        """The POST that the server is taking."""
        self.posted = 0
        """Messages in it, until the server has taken them; at the end, in the POST that it did not take."""
        self.unfinished = False
        """Whether the next slice of an answer waits for its turn."""
        self._packets: Iterator[str | bytes] | None = None
        self._get_timer: Timer | None = None
        self._post_timer: Timer | None = None

    @property
    def quiet(self) -> bool:
        """Whether nothing is in hand."""
        return self.get is None and self.post is None and self._packets is None

    def poll(self) -> None:
        """Sends a GET, unless the last one is still in hand."""
        client = self._client
        if self.get is None and self._packets is None:
            self.get = client.requests.poll(client)
            self._get_timer = self._watch(self._get_overdue)
            client.carriers.put(self.get)

    def send(self, frames: Sequence[Frame]) -> None:
        """Sends packets in a POST. None may be in hand."""
        client = self._client
        self.posted = count_messages(frames)
        self.post = client.requests.post(client, encode_payload(frames))
        self._post_timer = self._watch(self._post_overdue)
        client.carriers.put(self.post)

    def finish(self, fetch: Fetch) -> bool:
        """Takes a request out of hand, because it has an answer or will have none. Returns whether it was the GET."""
        if fetch is self.get:
            self.get = None
            cancel(self._get_timer)
            return True
        self.post = None
        cancel(self._post_timer)
        return False

    def decode(self, body: bytes) -> None:
        """Begins to decode the answer to a poll."""
        client = self._client
        try:
            self._packets = decode_payload(body, client.config.max_control_packets)
        except RemoteProtocolError as error:
            client.life.step(ClientInput.GARBAGE, str(error))
        else:
            self.decode_some()

    def decode_some(self) -> None:
        """Decodes a slice, then lets others have their turn."""
        self.unfinished = False
        client, packets = self._client, self._packets
        if packets is None or client.paused:
            return
        try:
            for _ in range(client.config.decode_slice):
                packet = next(packets, None)
                if packet is None:
                    self._packets = None
                    client.life.step(ClientInput.DECODED)
                    return
                client.receive_packet(packet)
                if self._packets is not packets:  # that packet ended the session, or this transport
                    return
        except RemoteProtocolError as error:
            self._packets = None
            client.life.step(ClientInput.GARBAGE, str(error))
        else:
            self._decode_later()

    def resume(self) -> None:
        """Goes on with what was left when the client was paused."""
        if self._packets is not None:
            self._decode_later()

    def skip(self) -> None:
        """Leaves the rest of an answer undecoded."""
        self._packets = None
        self.unfinished = False

    def drop(self) -> None:
        """Lets go of everything in hand."""
        self.skip()
        for fetch in (self.get, self.post):
            if fetch is not None:
                self.finish(fetch)
                self._client.carriers.drop(fetch)

    def _decode_later(self) -> None:
        self.unfinished = True
        self._client.carriers.rouse()

    def _watch(self, overdue: Callable[[], None]) -> Timer | None:
        client = self._client
        seconds = client.config.request_timeout
        return None if seconds is None else client.timers.after(seconds, overdue)

    def _get_overdue(self) -> None:
        if self.get is not None:
            self._client.carriers.drop(self.get)
            self.finish(self.get)
            self._client.life.step(ClientInput.GET_FAILED, f"{GET_ERROR}: timeout")

    def _post_overdue(self) -> None:
        if self.post is not None:
            self._client.carriers.drop(self.post)
            self.finish(self.post)
            self._client.life.step(ClientInput.POST_FAILED, f"{POST_ERROR}: timeout")


def cancel(timer: Timer | None) -> None:
    """Cancels a timer, if there is one."""
    if timer is not None:
        timer.cancel()


def fitting(frames: Sequence[Frame], limit: int | None, most: int) -> int:
    """Returns how many packets from the first on, at most ``most``, fit into a payload of ``limit`` bytes; the first
    always does.
    """
    count = min(len(frames), most)
    if limit is not None:
        size = -1
        for index in range(count):
            # Binary messages travel as "b" and base64; between two packets stands a separator.
            frame = frames[index]
            data = frame.data
            size += 1 + (frame.size if isinstance(data, str) else 1 + (len(data) + 2) // 3 * 4)
            if size > limit and index:
                return index
    return count
