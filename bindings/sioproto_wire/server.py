"""All connections of a server, and the one list of those with something to do.

A ``ServerWire`` stands between one core and any number of connections. It turns what the core has to send into bytes on
their connections, and owns the lanes of their deadlines, which are on the core's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sioproto.engineio.request import Exchange
from sioproto_wire.config import WireConfig
from sioproto_wire.connection import Connection
from sioproto_wire.http import header_lines
from sioproto_wire.linking import LinkCore

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.config import EngineConfig
    from sioproto.engineio.link import Link
    from sioproto.engineio.request import Request
    from sioproto.errors import LocalProtocolError
    from sioproto.timers import Timers

PACE = 1.0
"""Seconds between two looks at how fast a body comes."""

TURN = 0.001
"""Seconds after which a flood of pipelined requests gets its next turn, so that others have theirs."""


class Core(LinkCore, Protocol):
    """What a connection drives: an Engine.IO server, or one of the floors above it, which have the same verbs."""

    @property
    def engine_config(self) -> EngineConfig:
        """The options; a body and a WebSocket message may have ``max_payload`` bytes."""
        ...

    @property
    def timers(self) -> Timers:
        """All deadlines; connections open lanes of their own there."""
        ...

    def receive_request(self, request: Request, owner: object) -> Exchange:
        """Takes the head of a request, as soon as it is read. ``owner`` comes back with the exchange and its link."""
        ...

    def receive_body(self, exchange: Exchange, body: bytes) -> None:
        """Takes the whole body of a request that wants it, or that is foreign; once, empty if there is none."""
        ...

    def receive_oversize(self, exchange: Exchange) -> None:
        """Says that the body has more than ``max_payload`` bytes; the core answers 413."""
        ...

    def receive_abort(self, exchange: Exchange) -> None:
        """Says that nobody waits for the answer any more; at most once, and never after an answer."""
        ...

    def take_dirty(self) -> list[Exchange | Link]:
        """Returns what has output, each once: answered exchanges, links with frames or a changed state."""
        ...

    def next_deadline(self) -> float | None:
        """Returns when ``handle_timeout`` wants to be called, on the core's clock; None for never."""
        ...

    def handle_timeout(self) -> None:
        """Does what is due now, deadlines of connections included; too early, it does nothing."""
        ...


class ServerWire:
    """The connections of one server, without I/O.

    ``connect`` for each accepted transport; then, after each ``receive_*`` of a connection, after
    ``core.handle_timeout()`` and after each wake-up by the core, go through ``take_dirty()``. The deadlines are in
    ``core.next_deadline()`` with all others. ``server_name`` is sent as ``Server`` in each response. ``on_error`` gets
    what the program did wrong in a response, such as a header field that cannot be sent; the peer gets 500 instead.
    """

    def __init__(
        self,
        core: Core,
        config: WireConfig | None = None,
        server_name: str | None = None,
        *,
        on_error: Callable[[LocalProtocolError], None] | None = None,
    ) -> None:
        config = WireConfig() if config is None else config
        if server_name is not None:
            header_lines([("Server", server_name)])
        self.core = core
        self.config = config
        self.server_name = server_name
        self.connections: dict[Connection, None] = {}
        """Those whose transport is not gone yet, in the order in which they came."""
        self.touched: list[Connection] = []
        """Those with something to do, each once; ``take_dirty`` empties it."""
        self.stopping = False
        """Whether ``shutdown`` was called."""
        self._on_error = on_error
        lane = core.timers.lane
        self.first_lane = lane(config.first_timeout, "wire: first request", _silence_due)
        self.keep_alive_lane = lane(config.keep_alive_timeout, "wire: next request", _silence_due)
        self.head_lane = lane(config.head_timeout, "wire: request head", _request_due)
        self.body_lane = lane(config.body_timeout, "wire: request body", _request_due)
        self.pace_lane = lane(PACE, "wire: request body, rate", _pace_due)
        self.turn_lane = lane(TURN, "wire: pipelined request", _turn_due)
        self.close_lane = lane(config.close_timeout, "wire: close", _close_due)
        self.send_lane = lane(config.send_timeout, "wire: unsent", _send_due)

    def connect(self, *, address: str = "", secure: bool = False, owner: Any = None) -> Connection:
        """Returns a new connection, whose first deadline runs. ``address`` is the peer's, ``secure`` says TLS."""
        connection = Connection(self, address, secure, owner)
        self.connections[connection] = None
        return connection

    def take_dirty(self) -> list[Connection]:
        """Returns the connections with something to do, each once: bytes to take, or reading or closing to follow."""
        take = self.core.take_dirty
        # An answer may let a pipelined request through, which may be answered at once.
        while carriers := take():
            for carrier in carriers:
                connection: Any = carrier.owner
                if type(carrier) is Exchange:
                    connection.receive_answer(carrier)
                elif not connection.dirty:
                    connection.dirty = True
                    # Not a local name for the list: user code that the core runs may cause it to be taken meanwhile.
                    self.touched.append(connection)
        touched, self.touched = self.touched, []
        return touched

    def shutdown(self) -> None:
        """Closes idle connections; the others close after their answers. WebSockets are the core's to close."""
        self.stopping = True
        for connection in list(self.connections):
            connection.close_if_idle()

    # For connections

    def report(self, error: LocalProtocolError) -> None:
        """Hands on what the program did wrong."""
        if self._on_error is not None:
            self._on_error(error)

    def forget(self, connection: Connection) -> None:
        """Removes a connection whose transport is gone."""
        self.connections.pop(connection, None)


def _silence_due(connection: Connection, _: float) -> None:
    # Without a word, as nobody is waiting for one.
    connection.close()


def _request_due(connection: Connection, _: float) -> None:
    if connection.exchanges is not None:
        connection.exchanges.request_due()


def _pace_due(connection: Connection, _: float) -> None:
    if connection.exchanges is not None:
        connection.exchanges.pace_due()


def _turn_due(connection: Connection, _: float) -> None:
    connection.turn_due()


def _close_due(connection: Connection, _: float) -> None:
    connection.close_due()


def _send_due(connection: Connection, _: float) -> None:
    connection.send_due()
