"""What a client's socket sends: at once, as soon as it is connected, or again and again until it is acknowledged.

The rule not to be broken: events leave in the order in which they were emitted, and every answer that is waited for
comes, or fails, exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.errors import Disconnected, LocalProtocolError
from sioproto.pending import Pending
from sioproto.socketio.acks import Acks, SocketAck
from sioproto.socketio.buffering import SendBuffer
from sioproto.socketio.client_events import EventLost
from sioproto.socketio.retrying import Retried, Retrying

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto.frame import Frame
    from sioproto.socketio.adapter import Flags
    from sioproto.socketio.client_socket import ClientSocket
    from sioproto.socketio.packet import Packet


class Sender:
    """The events of one socket that were not sent yet, and the answers that it waits for."""

    __slots__ = ("_acks", "_buffer", "_losses", "_next_ack_id", "_retrying", "_socket")

    def __init__(self, socket: ClientSocket) -> None:
        config = socket.client.config
        self._socket = socket
        self._buffer = SendBuffer()
        self._acks = Acks(self, config.max_acks)
        self._next_ack_id = 0
        self._losses = 0
        """How often whoever waited for an answer was told that it does not come."""
        self._retrying = Retrying(self, config.retries) if config.retries else None

    @property
    def waiting(self) -> int:
        """Events that wait for a connection, or for their turn."""
        return len(self._buffer) + (0 if self._retrying is None else len(self._retrying))

    # What the application sends; ``args`` begin with the event's name

    def emit(self, flags: Flags, args: tuple[Any, ...]) -> None:
        """Sends an event, or lets it wait."""
        if self._retrying is not None and not flags.volatile:
            self._line_up(self._retrying, flags, args, None)
        else:
            self._send(self._encode(args, None, flags), flags, args, None)

    def ask(self, flags: Flags, args: tuple[Any, ...]) -> Pending[Any]:
        """Sends an event, or lets it wait, and returns what the server is going to answer."""
        pending: Pending[Any] = Pending(self._socket.client.waiting)
        if self._retrying is not None and not flags.volatile:
            self._line_up(self._retrying, flags, args, pending)
            return pending
        ack_id, losses = self._next_ack_id, self._losses
        frames = self._encode(args, ack_id, flags)
        # The id is taken before whoever observes what is sent can ask as well.
        self._next_ack_id = ack_id + 1
        # Sent first: what finds no room raises, and nobody waits for its answer then.
        if self._send(frames, flags, args, ack_id) and not self._is_lost(losses, ack_id):
            self._expect(ack_id, flags.timeout, pending)
        else:
            pending.reject(Disconnected())
        return pending

    def acknowledge(self, ack_id: int, args: Sequence[Any]) -> bool:
        """Answers an event of the server."""
        client = self._socket.client
        return client.write(client.parser.encode_ack(self._socket.name, args, ack_id))

    # What the connection tells

    def set_connected(self) -> None:
        """There is a connection: what waited is sent. If it turns out to be gone again, the rest waits on."""
        while self._socket.connected and self._buffer.send_first(self._write):
            pass
        if self._retrying is not None:
            self._retrying.send_next()

    def receive_ack(self, packet: Packet) -> None:
        """Takes an answer; one that nobody waits for is ignored."""
        if packet.id is not None:
            self._acks.answer(packet.id, packet.data)

    def set_disconnected(self) -> None:
        """What was sent is not going to be answered; what was not sent yet is going to be, and may still be."""
        self._losses += 1
        self._acks.leave(self._buffer.asking())

    def close(self) -> None:
        """Sends what waits for its turn, forgets what waits for a connection, and tells whoever waits for an answer."""
        client = self._socket.client
        client.unsent += self._buffer.clear()
        if self._retrying is not None:
            client.unsent += self._retrying.clear(self._write_last)
        self._losses += 1
        self._acks.leave()

    # For those who wait

    def forget_ack(self, ack_id: int) -> None:
        """Nobody waits for it any more; if its event was not sent yet, it is not sent at all."""
        self._acks.forget(ack_id)
        self._buffer.discard(ack_id)

    def try_once(self, event: Retried) -> Pending[Any] | None:
        """Sends an event that may have been sent before, and returns what the server is going to answer.

        Returns None when there is no connection; then it was not sent.
        """
        socket, losses = self._socket, self._losses
        if not socket.connected or not self._write(event.frames, event.args):
            return None
        pending: Pending[Any] = Pending(socket.client.waiting)
        if self._is_lost(losses, event.ack_id):
            pending.reject(Disconnected())
        else:
            self._expect(event.ack_id, event.timeout, pending)
        return pending

    def lose(self, event: Retried) -> None:
        """An event that nobody waits for was given up."""
        self._socket.client.tell(EventLost(self._socket, event.args[0]))

    # Below this line: helpers

    def _line_up(self, retrying: Retrying, flags: Flags, args: tuple[Any, ...], pending: Pending[Any] | None) -> None:
        ack_id = self._next_ack_id
        frames = self._encode(args, ack_id, flags)
        if self._socket.client.closing:
            if pending is not None:
                pending.reject(Disconnected())
            return
        self._check_room()
        self._next_ack_id = ack_id + 1
        retrying.add(Retried(frames, args, ack_id, flags.timeout, pending))

    def _encode(self, args: tuple[Any, ...], ack_id: int | None, flags: Flags) -> tuple[Frame, ...]:
        return self._socket.client.parser.encode_event(self._socket.name, args, ack_id, flags.compress)

    def _send(self, frames: tuple[Frame, ...], flags: Flags, args: tuple[Any, ...], ack_id: int | None) -> bool:
        """Sends an event or lets it wait. Returns False when it does neither, because there is no connection."""
        socket = self._socket
        if socket.connected:
            # While the transport takes no more, the event is dropped, which nobody is told.
            if flags.volatile and not socket.client.writable:
                return True
            if self._write(frames, args):
                return True
        if flags.volatile or socket.client.closing:
            return False
        self._check_room()
        self._buffer.add(frames, args, ack_id)
        return True

    def _write(self, frames: Sequence[Frame], args: tuple[Any, ...]) -> bool:
        if not self._socket.client.write(frames):
            return False
        self._socket.observe_outgoing(args)
        return True

    def _write_last(self, frames: Sequence[Frame], args: tuple[Any, ...]) -> bool:
        return self._socket.connected and self._write(frames, args)

    def _is_lost(self, losses: int, ack_id: int) -> bool:
        """Whether somebody who observed how an event was sent ended the connection in place."""
        return self._losses != losses and ack_id not in self._buffer.asking()

    def _expect(self, ack_id: int, timeout: float | None, pending: Pending[Any]) -> None:
        client = self._socket.client
        ack = SocketAck(self, ack_id, pending)
        if timeout is None:
            timeout = client.config.ack_timeout
        if timeout is not None:
            ack.timer = client.timers.after(timeout, ack.time_out)
            client.rouse()
        self._acks.expect(ack_id, ack)

    def _check_room(self) -> None:
        limit = self._socket.client.config.max_buffered
        if self.waiting >= limit:
            raise LocalProtocolError(f"{limit} events wait for a connection already (option max_buffered)")
