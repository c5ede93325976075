"""A world with bytes: what is sent goes through a wire on both ends, over connections that hold nothing but bytes.

A ``Circuit`` is one connection, from being dialed to its end. To each side it is what a binding's transport is: it
takes and hands over bytes in whatever pieces, and says when the connection is there, is full, or is gone.

The rule not to be broken: it moves bytes and does not read them, unless a test asked for a fault that is about
requests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sioproto.engineio.client import EngineClient
from sioproto.engineio.request import parse_query
from sioproto.testing.pipe import Pipe
from sioproto.testing.proxying import GATEWAY_TIMEOUT, NO_WEBSOCKETS, Middle
from sioproto.testing.reading import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.testing.cores import ClientCore, ServerCore
    from sioproto.testing.network import Network, Proxy
    from sioproto.testing.runtime import Party
    from sioproto.testing.watch import Watch
    from sioproto.timers import Timer

REFUSED = "connection refused"
LOST = "connection lost"

METHODS = {b"GET ": "GET", b"POST": "POST"}


class Wire(Protocol):
    """What is handed in to a world to make bytes of its messages: the package ``sioproto_wire``, or one like it."""

    @property
    def ServerWire(self) -> Callable[..., Any]:
        """The connections of a server."""
        ...

    @property
    def ClientWire(self) -> Callable[..., Any]:
        """The connections of a client."""
        ...

    @property
    def WireConfig(self) -> type[Any]:
        """The options of a server's wire."""
        ...

    @property
    def ClientWireConfig(self) -> type[Any]:
        """The options of a client's wire."""
        ...


class WireServer:
    """One server, driven through its wire."""

    def __init__(self, party: Party, core: ServerCore, watch: Watch, wire: Any) -> None:
        self.party = party
        self.core = core
        self.wire = wire
        self.listening = True
        self._watch = watch
        party.drive(core, self.pump)

    def pump(self) -> None:
        """Hands over what the server has to send."""
        while connections := self.wire.take_dirty():
            for connection in connections:
                connection.owner.serve_far()
            self._watch.note(len(connections))

    def shutdown(self) -> None:
        """Lets the connections go that wait for a request."""
        self.wire.shutdown()
        self.party.touch()


class WireClient:
    """One client, driven through its wire."""

    def __init__(self, party: Party, core: ClientCore, network: Network, wire: Any) -> None:
        self.party = party
        self.core = core
        self.network = network
        self.wire = wire
        party.drive(core, self.pump)

    def pump(self) -> None:
        """Hands over what the client has to send."""
        self.network.watch.see_engine(self.engine, self.network.name)
        while connections := self.wire.take_dirty():
            for connection in connections:
                if connection.owner is None:
                    connection.owner = Circuit(self, connection)
                connection.owner.serve_near()

    @property
    def engine(self) -> EngineClient | None:
        """The connection of the client that is current."""
        core: Any = self.core
        engine = core if isinstance(core, EngineClient) else core.engine
        return engine if isinstance(engine, EngineClient) else None


class Circuit:
    """One connection. ``near`` is the client's end and ``far`` the server's."""

    __slots__ = (
        "client", "down", "far", "far_closed", "far_over", "last", "middle", "near", "near_closed", "near_over",
        "network", "overdue", "proxy", "server", "up",
    )  # fmt: skip

    def __init__(self, client: WireClient, near: Any) -> None:
        network = client.network
        self.client = client
        self.network = network
        self.near = near
        self.far: Any = None
        destination: Any = network.destination
        self.server: WireServer = destination
        self.near_over = self.far_over = False
        """Whether a side has lost the connection, which is the last that it hears of it."""
        self.near_closed = self.far_closed = False
        """Whether a side has said that it sends no more."""
        self.proxy: Proxy | None = network.proxy
        self.middle = None if network.proxy is None else Middle(network.proxy)
        self.overdue: Timer | None = None
        self.last = 0.0
        self.up = Pipe(network, True, self.press_near)
        self.down = Pipe(network, False, self.press_far)
        network.connections[self] = None
        if near.opening:
            self.dial()

    def dial(self) -> None:
        """The client wants to be connected."""
        if self.network.refusing or not self.server.listening:
            self.far_over = True
            if self.network.latency:
                self.down.delay(2 * self.network.latency)
            self.down.put(0, self.arrive_refusal, None)
        else:
            self.up.put(0, self.arrive_dial, None)

    def arrive_dial(self, _: None) -> None:
        """The server accepts."""
        self.far = self.server.wire.connect(address=self.network.address, secure=self.near.secure, owner=self)
        self.server.party.touch()
        self.down.put(0, self.arrive_open, None)

    def arrive_open(self, _: None) -> None:
        """The client is connected."""
        if not self.near_over:
            self.near.receive_open()
            self.client.party.touch()

    def arrive_refusal(self, _: None) -> None:
        """The client cannot be connected."""
        if not self.near_over:
            self.near_over = True
            self.network.transcript.note(self.network.name, REFUSED)
            self.near.receive_failure(REFUSED)
            self.near.receive_lost()
            self.client.party.touch()
        self.end_if_over()

    # What each side wants

    def serve_near(self) -> None:
        """Does what the client's end has to do now."""
        near = self.near
        data = near.take()
        if self.near_over:
            return
        if data:
            self.send_up(data)
        if near.closing or near.aborted:
            self.near_over = True
            self.up.put(0, self.arrive_far_lost if near.aborted else self.arrive_far_eof, None)
            near.receive_lost()
            self.client.party.touch()
            self.end_if_over()
            return
        if near.half_closing and not self.near_closed:
            self.near_closed = True
            self.up.put(0, self.arrive_far_eof, None)
        if near.reading is self.down.held:
            self.down.hold(not near.reading)

    def serve_far(self) -> None:
        """Does what the server's end has to do now."""
        far = self.far
        data = far.take()
        if self.far_over:
            return
        if data and self.middle is not None:
            self.last = self.network.loop.clock.now
            data = self.middle.passes(data)
        if data:
            self.down.put(len(data), self.arrive_near, data)
        if far.closing or far.aborted:
            self.lose_far()
            self.down.put(0, self.arrive_near_lost if far.aborted else self.arrive_near_eof, None)
            self.end_if_over()
            return
        if far.half_closing and not self.far_closed:
            self.far_closed = True
            self.down.put(0, self.arrive_near_eof, None)
        if far.reading is self.up.held:
            self.up.hold(not far.reading)

    def send_up(self, data: bytes) -> None:
        """Sends what the client took, with the faults that are about requests."""
        network = self.network
        network.transcript.add(network.name, " >", describe(data))
        method = METHODS.get(data[:4])
        if method is not None:
            late = network.takes_delay(method)
            if late:
                self.up.delay(network.latency + late)
            if network.takes_duplicate(method):
                target = data.split(b" ", 2)[1].decode("latin-1")
                network.watch.excuse(parse_query(target.partition("?")[2]).get("sid", ""))
                Ghost(self, data)
        self.up.put(len(data), self.arrive_far, data)

    # What arrives

    def arrive_far(self, data: bytes) -> None:
        """Bytes reach the server, or a proxy before it."""
        if self.far is None or self.far_over:
            return
        if self.middle is not None and self.proxy is not None:
            if self.middle.refuses(data):
                self.refuse_request(NO_WEBSOCKETS)
                return
            self.watch_proxy(self.proxy)
        for chunk in self.network.chunks(data):
            if not self.far_over:
                self.far.receive_data(chunk)
        self.server.party.touch()

    def arrive_near(self, data: bytes) -> None:
        """Bytes reach the client."""
        if self.near_over:
            return
        network = self.network
        network.transcript.add(network.name, " <", describe(data))
        for chunk in network.chunks(data):
            if not self.near_over:
                self.near.receive_data(chunk)
        self.client.party.touch()

    def arrive_far_eof(self, _: None) -> None:
        """The client sends no more."""
        if self.far is not None and not self.far_over:
            self.far.receive_eof()
            self.server.party.touch()
            if self.near_over:
                # Nobody reads what the server may still send: the next thing it hears is a reset.
                self.network.loop.call(lambda: self.arrive_far_lost(None))
        elif self.far is None:
            self.far_over = True
        self.end_if_over()

    def arrive_far_lost(self, _: None) -> None:
        """The client is gone."""
        if self.far is not None and not self.far_over:
            self.lose_far()
        self.far_over = True
        self.end_if_over()

    def arrive_near_eof(self, _: None) -> None:
        """The server sends no more."""
        if not self.near_over:
            self.near.receive_eof()
            self.client.party.touch()
            if self.far_over:
                self.network.loop.call(lambda: self.arrive_near_lost(None))
        self.end_if_over()

    def arrive_near_lost(self, _: None) -> None:
        """The server is gone."""
        if not self.near_over:
            self.near_over = True
            self.near.receive_lost()
            self.client.party.touch()
        self.end_if_over()

    def lose_far(self) -> None:
        """The server's end has no connection any more."""
        self.far_over = True
        self.stop_proxy()
        self.far.receive_lost()
        self.server.party.touch()

    def press_near(self, blocked: bool) -> None:
        """The client's transport takes no more, or takes data again."""
        if not self.near_over:
            (self.near.receive_blocked if blocked else self.near.receive_unblocked)()
            self.client.party.touch()

    def press_far(self, blocked: bool) -> None:
        """The server's transport takes no more, or takes data again."""
        if self.far is not None and not self.far_over:
            (self.far.receive_blocked if blocked else self.far.receive_unblocked)()
            self.server.party.touch()

    # Faults

    def cut(self) -> None:
        """Both sides notice that the connection is gone."""
        self.up.close()
        self.down.close()
        if self.near.opening and not self.near_over:
            self.near.receive_failure(LOST)
        self.arrive_near_lost(None)
        self.arrive_far_lost(None)

    def half_close(self) -> None:
        """The server is told that the client sends no more."""
        self.near_closed = True
        self.up.put(0, self.arrive_far_eof, None)

    def watch_proxy(self, proxy: Proxy) -> None:
        """Waits for as long as a proxy does."""
        self.last = self.network.loop.clock.now
        if proxy.timeout is not None and self.overdue is None:
            self.overdue = self.network.loop.timers.after(proxy.timeout, self.proxy_due)

    def stop_proxy(self) -> None:
        """The proxy waits no more."""
        if self.overdue is not None:
            self.overdue.cancel()
            self.overdue = None

    def proxy_due(self) -> None:
        """The proxy has waited long enough, unless there was traffic meanwhile."""
        self.overdue = None
        loop, middle = self.network.loop, self.middle
        if self.proxy is None or self.proxy.timeout is None or middle is None or self.far_over:
            return
        if not (middle.tunnel or middle.awaiting):
            return
        rest = self.last + self.proxy.timeout - loop.clock.now
        if rest > 0:
            self.overdue = loop.timers.after(rest, self.proxy_due)
        elif middle.tunnel:
            self.network.transcript.note(self.network.name, "the proxy cuts an idle WebSocket")
            self.cut()
        else:
            self.refuse_request(GATEWAY_TIMEOUT)

    def refuse_request(self, answer: bytes) -> None:
        """The proxy answers instead of the server, and lets both go."""
        self.lose_far()
        self.down.put(len(answer), self.arrive_near, answer)
        self.down.put(0, self.arrive_near_eof, None)

    def end_if_over(self) -> None:
        """Forgets the connection when both sides have lost it."""
        if self.near_over and self.far_over:
            self.stop_proxy()
            self.up.close()
            self.down.close()
            self.network.connections.pop(self, None)

    def __repr__(self) -> str:
        return f"<Circuit of {self.network.name}>"


class Ghost:
    """A connection that a client never made, over which one of its requests reaches the server once more."""

    __slots__ = ("_network", "down", "far", "over", "up")

    def __init__(self, circuit: Circuit, data: bytes) -> None:
        server = circuit.server
        self._network = circuit.network
        self.up = circuit.up
        self.down = circuit.down
        self.over = False
        self.far: Any = server.wire.connect(address=circuit.network.address, secure=circuit.near.secure, owner=self)
        self._network.connections[self] = None
        self.far.receive_data(data)
        server.party.touch()

    def serve_far(self) -> None:
        """Takes the answer, which is for nobody, and goes."""
        if self.far.take() or self.far.closing:
            self.cut()

    def cut(self) -> None:
        """The server is told that nobody is there."""
        if not self.over:
            self.over = True
            self._network.connections.pop(self, None)
            self.far.receive_lost()

    def half_close(self) -> None:
        """It has said all that it has to say."""
