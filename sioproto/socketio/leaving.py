"""How sockets end: still in their rooms while ``disconnecting`` is told, and then in none.

The end of a socket is a question first, because its handlers may look at its rooms and wait meanwhile. Whoever does
not answer in time is not waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.socketio.events import DisconnectingAsked, SocketDisconnected
from sioproto.socketio.socket import SocketState

if TYPE_CHECKING:
    from sioproto.socketio.events import DisconnectReason
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket
    from sioproto.timers import Timer


class Leaving:
    """The sockets of a server that are on their way out."""

    def __init__(self, server: SocketServer) -> None:
        self._server = server
        self._lane = server.timers.lane(server.config.disconnecting_timeout, "disconnecting", self._overdue)
        self._rows: dict[Socket, tuple[DisconnectReason, str | None, Timer]] = {}

    def end(self, socket: Socket, reason: DisconnectReason, description: str | None) -> None:
        """Nothing is sent to a socket any more, nor taken from it; it is still in its rooms."""
        if socket.state is SocketState.CONNECTED:
            trail = socket.trail
            if self._server.restoring is not None and trail is not None:
                self._server.restoring.lost(socket, trail, reason)
            socket.set_gone(keep_acks=trail is not None and not trail.over)
            socket.client.sockets.pop(socket.namespace.name, None)
            self._rows[socket] = (reason, description, self._lane.arm(socket))
            self._server.tell(DisconnectingAsked(socket, reason, description))

    def finish(self, socket: Socket) -> bool:
        """Answers ``DisconnectingAsked``: the socket leaves its rooms and is gone. Returns False if it was too late."""
        row = self._rows.pop(socket, None)
        if row is None:
            return False
        reason, description, timer = row
        timer.cancel()
        server, namespace, trail = self._server, socket.namespace, socket.trail
        if server.restoring is not None and trail is not None:
            server.restoring.save(socket, trail)
        namespace.adapter.delete_all(socket)
        namespace.sockets.pop(socket.id, None)
        socket.state = SocketState.DISCONNECTED
        server.tell(SocketDisconnected(socket, reason, description))
        if server.restoring is not None and trail is not None:
            server.restoring.gone(socket, trail)
        server.clean_up(namespace)
        return True

    def finish_all(self) -> None:
        """Lets everybody go at once, whoever is still being told."""
        for socket in list(self._rows):
            self.finish(socket)

    def __len__(self) -> int:
        return len(self._rows)

    def _overdue(self, socket: Socket, _: float) -> None:
        # Its handlers are late, and what it sent before would be handled later still.
        socket.expelled = True
        self.finish(socket)
