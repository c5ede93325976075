"""A world without bytes: requests, responses and messages are handed over as the objects that they are.

A ``Call`` is one request of a client, from the ``Fetch`` on one side to the ``Exchange`` on the other, and the
WebSocket that may become of it. It does what a wire does on both ends: it is told of output, it tells of input, and
each side hears of the end once.

The rule not to be broken: what a side is told here it could be told by a real connection, in that order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.engineio.link import Link
from sioproto.engineio.request import Exchange, Request, Response
from sioproto.testing.pipe import Pipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.engineio.fetch import Fetch
    from sioproto.testing.cores import ClientCore, ServerCore
    from sioproto.testing.network import Network, Proxy
    from sioproto.testing.runtime import Party
    from sioproto.testing.watch import Watch
    from sioproto.timers import Timer

ABNORMAL = 1006
"""The close code of a WebSocket whose connection is gone without a close frame (RFC 6455, 7.1.5)."""
WITHOUT_CODE = 1005
"""The close code of a close frame without one."""

CLOSE_TIMEOUT = 5.0
"""Seconds after which a side that closes a WebSocket waits no longer for the other one."""

MAX_WARM = 6
"""Connections that a client keeps for its next requests."""

CLOSED = ("(close)",)
"""What the transcript says of a close frame."""

REFUSED = "connection refused"
LOST = "connection lost"


class MessageServer:
    """One server, driven without a wire."""

    def __init__(self, party: Party, core: ServerCore, watch: Watch) -> None:
        self.party = party
        self.core = core
        self.watch = watch
        self.listening = True
        party.drive(core, self.pump)

    def shutdown(self) -> None:
        """There are no connections that wait for a request."""

    def pump(self) -> None:
        """Hands over what the server has to send."""
        watch, limit = self.watch, self.core.engine_config.max_send_buffer
        while carriers := self.core.take_dirty():
            for carrier in carriers:
                call: Any = carrier.owner
                if type(carrier) is Link:
                    call.serve_far(carrier)
                else:
                    call.answer(carrier)
            watch.look_at_server(carriers, limit)


class MessageClient:
    """One client, driven without a wire."""

    def __init__(self, party: Party, core: ClientCore, network: Network) -> None:
        self.party = party
        self.core = core
        self.network = network
        party.drive(core, self.pump)

    def pump(self) -> None:
        """Hands over what the client has to send."""
        while carriers := self.core.take_dirty():
            for carrier in carriers:
                owner: Any = carrier.owner
                if isinstance(carrier, Link):
                    owner.serve_near(carrier)
                elif carrier.dropped:
                    owner.drop()
                else:
                    self.fetch(carrier)

    def fetch(self, fetch: Fetch) -> None:
        """Sends a request."""
        network = self.network
        network.watch.see_engine(fetch.engine, network.name)
        call = Call(self, fetch)
        call.start()
        if network.takes_duplicate(fetch.request.method):
            network.watch.excuse(fetch.request.query.get("sid", ""))
            Call(self, fetch, ghost=True).start()


class Call:
    """One request of a client, and the WebSocket that may become of it. A ``ghost`` is one that the client never sent.

    ``near`` is the client's link and ``far`` the server's.
    """

    __slots__ = (
        "client", "down", "exchange", "far", "far_closing", "far_over", "fetch", "ghost", "last", "near",
        "near_closing", "near_over", "network", "overdue", "proxy", "server", "timers", "up",
    )  # fmt: skip

    def __init__(self, client: MessageClient, fetch: Fetch, *, ghost: bool = False) -> None:
        network = client.network
        self.network = network
        self.client = client.core
        self.server: ServerCore = network.destination.core
        self.fetch = fetch
        self.ghost = ghost
        self.exchange: Exchange | None = None
        self.near: Link | None = None
        self.far: Link | None = None
        self.near_over = ghost
        """Whether the client has heard, or wants to hear, no more of it."""
        self.far_over = False
        """Whether the server has heard no more of it."""
        self.near_closing = self.far_closing = False
        self.proxy: Proxy | None = network.proxy
        self.overdue: Timer | None = None
        self.timers: tuple[Timer, ...] = ()
        """What sees to it that a close comes to its end."""
        self.last = 0.0
        self.up = Pipe(network, True, self.press_near)
        self.down = Pipe(network, False, self.press_far)
        if not ghost:
            fetch.owner = self

    # The request

    def start(self) -> None:
        """Sends the request, over a connection that is there or a new one."""
        network, fetch = self.network, self.fetch
        request = fetch.request
        network.connections[self] = None
        if network.warm and not request.upgrade:
            network.warm -= 1
        elif network.refusing or not network.destination.listening:
            self.far_over = True
            if network.latency:
                self.down.delay(2 * network.latency)
            self.down.put(0, self.arrive_failure, REFUSED)
            return
        elif network.latency:
            self.up.delay(3 * network.latency)
        late = network.takes_delay(request.method)
        if late:
            self.up.delay(network.latency + late)
        if not self.ghost:
            packets = [] if not fetch.body else fetch.body.decode(errors="replace").split("\x1e")
            network.transcript.add(network.name, " >", [f"{request.method} {request.target}", *packets])
        self.up.put(len(request.target) + len(fetch.body), self.arrive_request, None)

    def arrive_request(self, _: None) -> None:
        """The request reaches the server, or a proxy before it."""
        fetch, server, proxy = self.fetch, self.server, self.proxy
        sent = fetch.request
        request = Request(
            sent.method,
            sent.target,
            list(sent.headers),
            address=self.network.address,
            secure=sent.secure,
            upgrade=sent.upgrade,
        )
        if proxy is not None:
            if sent.upgrade and not proxy.websockets:
                self.far_over = True
                self.down.put(0, self.arrive_response, Response(400))
                return
            self.watch_proxy(proxy)
        self.exchange = exchange = server.receive_request(request, self)
        if exchange.wants_body or exchange.foreign:
            if len(fetch.body) > server.engine_config.max_payload:
                server.receive_oversize(exchange)
            else:
                server.receive_body(exchange, fetch.body)

    def answer(self, exchange: Exchange) -> None:
        """The server answers."""
        response = exchange.response
        if self.far_over or response is None:
            return
        if exchange.link is None:
            self.far_over = True
            self.stop_proxy()
        else:
            self.far = exchange.link
        self.down.put(len(response.body), self.arrive_response, response)

    def arrive_response(self, response: Response) -> None:
        """The answer reaches the client."""
        network = self.network
        if not self.near_over:
            lines = [str(response.status)]
            if response.body and response.status == 200:
                lines += response.body.decode(errors="replace").split("\x1e")
            network.transcript.add(network.name, " <", lines)
            headers = [(name.lower(), value) for name, value in response.headers]
            self.client.receive_response(self.fetch, Response(response.status, headers, response.body))
            self.near = self.fetch.link
        if self.far is None:
            self.near_over = True
            if network.warm < MAX_WARM and not self.ghost:
                network.warm += 1
            self.end_if_over()
        elif self.near is None:  # nobody wants the WebSocket any more
            self.near_over = True
            self.up.put(0, self.arrive_abort, None)

    def arrive_failure(self, error: str) -> None:
        """The client hears that there will be no answer, or that the WebSocket is gone."""
        if not self.near_over:
            self.near_over = True
            self.network.transcript.note(self.network.name, error)
            if self.near is not None:
                self.client.receive_link_closed(self.near, ABNORMAL)
            else:
                self.client.receive_failure(self.fetch, error)
        self.end_if_over()

    def drop(self) -> None:
        """The client waits no longer."""
        self.near_over = True
        self.up.put(0, self.arrive_abort, None)

    def arrive_abort(self, _: None) -> None:
        """The server hears that the client is gone."""
        self.abort(self.exchange is not None and self.exchange.request.method == "GET")
        self.end_if_over()

    def abort(self, lost: bool) -> None:
        """Tells the server, if there is anything to tell. A POST that is there in whole is taken all the same."""
        if self.far_over:
            return
        self.far_over = True
        self.stop_proxy()
        if self.far is not None:
            self.server.receive_link_closed(self.far, ABNORMAL)
        elif self.exchange is not None and self.exchange.response is None and lost:
            self.server.receive_abort(self.exchange)

    # The WebSocket

    def serve_far(self, link: Link) -> None:
        """The server has something for the WebSocket."""
        frames = link.take()
        if frames:
            messages = [frame.data for frame in frames]
            down = self.down
            if down.straight and down.loop.direct:
                self.arrive_near(messages)
            else:
                down.put(sum(frame.size for frame in frames), self.arrive_near, messages)
        if link.reading is self.up.held:
            self.up.hold(not link.reading)
        if link.closing and not self.far_closing:
            self.far_closing = True
            self.down.put(0, self.arrive_near_close, link.close_code)
            self.wait_for_close(self.give_up_far)

    def serve_near(self, link: Link) -> None:
        """The client has something for the WebSocket."""
        frames = link.take()
        if frames:
            messages = [frame.data for frame in frames]
            self.network.transcript.add(self.network.name, " >", messages)
            up = self.up
            if up.straight and up.loop.direct:
                self.arrive_far(messages)
            else:
                up.put(sum(frame.size for frame in frames), self.arrive_far, messages)
        if link.reading is self.down.held:
            self.down.hold(not link.reading)
        if link.closing and not self.near_closing:
            self.near_closing = True
            self.network.transcript.add(self.network.name, " >", CLOSED)
            self.up.put(0, self.arrive_far_close, link.close_code)
            self.wait_for_close(self.give_up_near)

    def arrive_near(self, messages: list[str | bytes]) -> None:
        """Messages reach the client."""
        near = self.near
        if near is not None and not self.near_over:
            network = self.network
            network.transcript.add(network.name, " <", messages)
            if self.proxy is not None:
                self.last = network.loop.clock.now
            self.client.receive_messages(near, messages)

    def arrive_far(self, messages: list[str | bytes]) -> None:
        """Messages reach the server."""
        if self.far is not None and not self.far_over:
            if self.proxy is not None:
                self.last = self.network.loop.clock.now
            self.server.receive_messages(self.far, messages)

    def arrive_near_close(self, code: int | None) -> None:
        """The server's close reaches the client, whose answer goes back if it has not closed itself."""
        if self.near is not None and not self.near_over:
            self.near_over = True
            self.network.transcript.add(self.network.name, " <", CLOSED)
            self.client.receive_link_closed(self.near, WITHOUT_CODE if code is None else code)
        self.up.put(0, self.arrive_far_close, code)

    def arrive_far_close(self, code: int | None) -> None:
        """The client's close, or its answer, reaches the server."""
        if self.far is not None and not self.far_over:
            self.far_over = True
            self.stop_proxy()
            self.server.receive_link_closed(self.far, WITHOUT_CODE if code is None else code)
        if not self.near_over:
            self.down.put(0, self.arrive_near_close, code)
        self.end_if_over()

    def wait_for_close(self, give_up: Callable[[], None]) -> None:
        """Sees to it that the side that closes is not left waiting."""
        if not (self.near_over and self.far_over):
            self.timers = (*self.timers, self.network.loop.timers.after(CLOSE_TIMEOUT, give_up))

    def give_up_near(self) -> None:
        """The server's part of the close did not come in time."""
        if self.near is not None and not self.near_over:
            self.near_over = True
            self.client.receive_link_closed(self.near, ABNORMAL)
            self.up.put(0, self.arrive_abort, None)

    def give_up_far(self) -> None:
        """The client's part of the close did not come in time."""
        if self.far is not None and not self.far_over:
            self.abort(True)
            self.down.put(0, self.arrive_failure, LOST)

    def press_near(self, blocked: bool) -> None:
        """The client's transport takes no more, or takes data again."""
        if self.near is not None and not self.near_over:
            (self.client.receive_blocked if blocked else self.client.receive_unblocked)(self.near)

    def press_far(self, blocked: bool) -> None:
        """The server's transport takes no more, or takes data again."""
        if self.far is not None and not self.far_over:
            (self.server.receive_blocked if blocked else self.server.receive_unblocked)(self.far)

    # Faults

    def cut(self) -> None:
        """Both sides notice that the connection is gone."""
        self.up.close()
        self.down.close()
        self.abort(True)
        self.arrive_failure(LOST)

    def half_close(self) -> None:
        """The server is told that the client sends no more, and closes as soon as it owes nothing."""
        self.up.put(0, self.arrive_eof, None)

    def arrive_eof(self, _: None) -> None:
        """The client's half is closed."""
        self.up.close()
        if self.far is not None or self.fetch.request.method == "GET":
            self.abort(True)
            self.down.put(0, self.arrive_failure, LOST)

    def watch_proxy(self, proxy: Proxy) -> None:
        """Begins to wait for as long as a proxy does."""
        if proxy.timeout is not None:
            self.last = self.network.loop.clock.now
            self.overdue = self.network.loop.timers.after(proxy.timeout, self.proxy_due)

    def stop_proxy(self) -> None:
        """The proxy waits no more."""
        if self.overdue is not None:
            self.overdue.cancel()
            self.overdue = None

    def proxy_due(self) -> None:
        """The proxy has waited long enough, unless there was traffic meanwhile."""
        loop, proxy = self.network.loop, self.proxy
        self.overdue = None
        if proxy is None or proxy.timeout is None or self.far_over:
            return
        rest = self.last + proxy.timeout - loop.clock.now
        if self.far is not None and rest > 0:
            self.overdue = loop.timers.after(rest, self.proxy_due)
        elif self.far is not None:
            self.network.transcript.note(self.network.name, "the proxy cuts an idle WebSocket")
            self.cut()
        else:
            self.abort(True)
            self.down.put(0, self.arrive_response, Response(504))

    def end_if_over(self) -> None:
        """Forgets the call when both sides are done with it."""
        if self.near_over and self.far_over:
            for timer in self.timers:
                timer.cancel()
            self.up.close()
            self.down.close()
            self.network.connections.pop(self, None)

    def __repr__(self) -> str:
        return f"<Call {self.fetch.request.method} of {self.network.name}>"
