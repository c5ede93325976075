"""All connections of a client to its server, and the one list of those with something to do.

A ``ClientWire`` stands between one core in the client's role and the connections that its requests need. It decides
which connection a request travels on, and when a new one is dialed.

Rule 1: at most one request at a time is on a connection, and one that asks for a WebSocket has a connection of its own.

Rule 2: only a GET is ever sent twice, and that only where the server may have closed a connection that nobody used for
a while before the request came there: then no byte of an answer came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sioproto.engineio.fetch import Fetch
from sioproto.errors import LocalProtocolError
from sioproto_wire.answers import write_request
from sioproto_wire.config import ClientWireConfig
from sioproto_wire.linking import LinkCore
from sioproto_wire.masking import key_source
from sioproto_wire.offer import Offer
from sioproto_wire.outgoing import ClientConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.config import EngineClientConfig
    from sioproto.engineio.link import Link
    from sioproto.engineio.origin import Origin
    from sioproto.engineio.request import Response
    from sioproto.environment import Environment
    from sioproto.timers import Timers


class ClientCore(LinkCore, Protocol):
    """What a client's connections drive: an Engine.IO client, or one of the floors above it, with the same verbs."""

    @property
    def origin(self) -> Origin:
        """The server that is dialed."""
        ...

    @property
    def engine_config(self) -> EngineClientConfig:
        """The options; an answer and a WebSocket message may have ``max_payload`` bytes."""
        ...

    @property
    def timers(self) -> Timers:
        """All deadlines; those of connections are among them."""
        ...

    @property
    def environment(self) -> Environment:
        """Where the keys of handshakes and masks come from."""
        ...

    def receive_response(self, fetch: Fetch, response: Response) -> None:
        """Takes the answer to a request, body included. After a 101 the fetch has its ``link`` if it is wanted."""
        ...

    def receive_failure(self, fetch: Fetch, error: str) -> None:
        """Says that a request gets no answer, and in ``error`` why."""
        ...

    def take_dirty(self) -> list[Fetch | Link]:
        """Returns what has output, each once: new or dropped requests, links with frames or a changed state."""
        ...


class ClientWire:
    """The connections of one client, without I/O.

    After each ``receive_*`` of a connection, after a ``handle_timeout()`` of the core and after each wake-up by it, go
    through ``take_dirty()``. The deadlines are in the core's timers with all others. ``on_error`` gets what the program
    did wrong in a request, such as a header field that cannot be sent; to the core that request has failed.
    """

    def __init__(
        self,
        core: ClientCore,
        config: ClientWireConfig | None = None,
        *,
        on_error: Callable[[LocalProtocolError], None] | None = None,
    ) -> None:
        self.core = core
        self.config = ClientWireConfig() if config is None else config
        self.connections: dict[ClientConnection, None] = {}
        """Those whose transport is not gone yet, in the order in which they were dialed."""
        self.free: list[ClientConnection] = []
        """Those that wait for a request; the one that was used last is the last one."""
        self.touched: list[ClientConnection] = []
        """Those with something to do, each once; ``take_dirty`` empties it."""
        self.keys = key_source(core.environment.entropy)
        """Gives a new masking key each time."""
        self.stopping = False
        """Whether ``shutdown`` was called."""
        self._on_error = on_error

    def take_dirty(self) -> list[ClientConnection]:
        """Returns the connections with something to do, each once: to dial, bytes to take, reading, closing."""
        take = self.core.take_dirty
        # A request that cannot be sent makes the core do something else, maybe at once.
        while carriers := take():
            for carrier in carriers:
                owner: Any = carrier.owner
                if not isinstance(carrier, Fetch):
                    owner.touch()
                elif not carrier.dropped:
                    self._send(carrier)
                elif owner is not None:
                    owner.drop(carrier)
        touched, self.touched = self.touched, []
        for connection in touched:
            if connection.opening:
                connection.dirty = False  # there is nothing to take yet
        return touched

    def shutdown(self) -> None:
        """Closes the connections that wait for a request; from now on none is kept after its answer."""
        self.stopping = True
        for connection in list(self.free):
            connection.close()

    # For connections

    def repeat(self, fetch: Fetch) -> None:
        """Sends a request again, on a new connection."""
        if not fetch.dropped:
            self._send(fetch, fresh=True)

    def withdraw(self, connection: ClientConnection) -> None:
        """Makes sure that no further request is sent on a connection."""
        if connection in self.free:
            self.free.remove(connection)

    def forget(self, connection: ClientConnection) -> None:
        """Removes a connection whose transport is gone."""
        self.connections.pop(connection, None)

    def _send(self, fetch: Fetch, *, fresh: bool = False) -> None:
        core, config, request = self.core, self.config, fetch.request
        offer = None
        try:
            if request.upgrade:
                offer = Offer(core.environment.entropy(16), fetch.subprotocols, config.per_message_deflate)
                pieces = write_request(request, b"", core.origin.authority, offer.lines)
            else:
                pieces = write_request(request, fetch.body, core.origin.authority)
        except LocalProtocolError as error:
            if self._on_error is not None:
                self._on_error(error)
            core.receive_failure(fetch, "the request cannot be sent")
            return
        if self.free and offer is None and not fresh:
            connection = self.free.pop()
            connection.arm(None)
        else:
            connection = ClientConnection(self)
            self.connections[connection] = None
        fetch.owner = connection
        assert connection.fetches is not None
        connection.fetches.begin(fetch, pieces, offer)
