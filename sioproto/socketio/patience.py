"""How long a client's socket waits: for the answer to its CONNECT, and before it asks again after its ``auth`` failed.

The rule not to be broken: a socket that is on its way in never stands still for ever, and never turns on the spot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.errors import ConnectError
from sioproto.socketio.client_events import ConnectFailed

if TYPE_CHECKING:
    from sioproto.socketio.client_socket import ClientSocket
    from sioproto.timers import Timer

NO_ANSWER = "CONNECT was not answered"


class Patience:
    """The deadlines of one socket until it is connected; there is one at a time."""

    __slots__ = ("_held_until", "_socket", "_timer")

    def __init__(self, socket: ClientSocket) -> None:
        self._socket = socket
        self._timer: Timer | None = None
        self._held_until = 0.0

    def await_answer(self) -> None:
        """CONNECT is sent, or an earlier one has no answer yet, and ``connect_timeout`` begins."""
        self.stop()
        client = self._socket.client
        if client.config.connect_timeout is not None:
            self._timer = client.timers.after(client.config.connect_timeout, self._overdue)

    def hold(self) -> None:
        """Its ``auth`` could not be had, or not be sent: the next attempt begins after ``reconnection_delay``.

        Whoever connects again whenever that fails would do nothing else any more: no server slows it down.
        """
        client = self._socket.client
        self._held_until = client.environment.clock() + client.config.reconnection_delay

    @property
    def held(self) -> bool:
        """Whether an attempt may not begin yet; then it is going to, when it may."""
        client = self._socket.client
        wait = self._held_until - client.environment.clock()
        if wait <= 0:
            return False
        self.stop()
        self._timer = client.timers.after(wait, self._ask_again)
        client.rouse()
        return True

    def stop(self) -> None:
        """Nothing is waited for any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ask_again(self) -> None:
        self._timer = None
        engine = self._socket.client.engine
        if engine is not None and engine.open:
            self._socket.ask_auth()

    def _overdue(self) -> None:
        """The server is alive, for it pings, but does not let the socket in.

        A connection that nobody uses is given up and tried again, as if it had not opened. One that others use stays,
        and the socket alone is refused.
        """
        self._timer = None
        socket, error = self._socket, ConnectError(NO_ANSWER)
        client = socket.client
        if client.paused:
            self.await_answer()  # it may be among what is not read
        elif any(each.connected for each in client.sockets.values()):
            socket.refuse(error, answered=False)
        else:
            for each in list(client.sockets.values()):
                if each.active:
                    client.tell(ConnectFailed(each, error))
            client.drop("transport error", NO_ANSWER)
