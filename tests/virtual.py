"""The core without bytes, network, threads or real time: a clock that is turned by hand, clients that talk to the core
in requests and messages, and a runtime that steps coroutines one by one.

A ``Driver`` is what a binding is: it calls the core, takes what comes out, hands it to whom it belongs, and turns the
clock. ``settle()`` does so until nothing is left to do and then looks whether the core keeps its own rules; it is
called after everything that a ``Client`` does.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from sioproto import EngineConfig, Environment, LocalProtocolError, Pending, Request, Response, SocketConfig
from sioproto.app import Server
from sioproto.engineio import EngineServer, Exchange, Link, State
from sioproto.socketio import (
    ConnectAsked,
    DisconnectingAsked,
    NamespaceCreated,
    SocketConnected,
    SocketDisconnected,
    SocketServer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence

    from sioproto import Session, Socket
    from sioproto.timers import Timers

E = TypeVar("E")

BUDGET = 10_000
"""Rounds after which a core that is never quiet counts as stuck."""

PROBING = (State.PROBING, State.PROBED, State.PROBED_CLOSING)
CLOSING = (State.POLLING_CLOSING, State.PROBED_CLOSING, State.WEBSOCKET_CLOSING)


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def make_environment(clock: Clock) -> Environment:
    """Returns an environment in which the same calls give the same results."""
    numbers = count(1)
    return Environment(
        clock=clock,
        wall=lambda: 1_700_000_000.0 + clock.now,
        ids=lambda: f"id-{next(numbers)}",
        entropy=bytes,
        jitter=lambda: 0.5,
    )


class Core(Protocol):
    """The verbs that every floor has."""

    @property
    def timers(self) -> Timers: ...
    def receive_request(self, request: Request, owner: object = None) -> Exchange: ...
    def receive_body(self, exchange: Exchange, body: bytes) -> None: ...
    def receive_oversize(self, exchange: Exchange) -> None: ...
    def receive_abort(self, exchange: Exchange) -> None: ...
    def receive_messages(self, link: Link, messages: Sequence[str | bytes]) -> None: ...
    def receive_link_closed(self, link: Link, code: int | None = None, error: str | None = None) -> None: ...
    def receive_blocked(self, link: Link) -> None: ...
    def receive_unblocked(self, link: Link) -> None: ...
    def take_dirty(self) -> list[Exchange | Link]: ...
    def next_deadline(self) -> float | None: ...
    def handle_timeout(self) -> None: ...


C = TypeVar("C", bound=Core)


class Call:
    """One request of a client: its answer, and what the WebSocket got if it became one."""

    def __init__(self, heard: Callable[[Call], object] | None = None) -> None:
        self.exchange: Exchange
        self.response: Response | None = None
        self.frames: list[str | bytes] = []
        """What came over the WebSocket."""
        self.fresh: list[str | bytes] = []
        """What of it came just now."""
        self.closed = False
        self.reading = True
        """Whether the WebSocket is read from, as far as its owner was told."""
        self.heard = heard

    @property
    def status(self) -> int | None:
        """The status of the answer; None while there is none."""
        return None if self.response is None else self.response.status

    @property
    def body(self) -> str:
        """The body of the answer, as text, decompressed."""
        assert self.response is not None, "not answered"
        body = self.response.body
        if self.header("Content-Encoding") is not None:
            body = zlib.decompress(body, 47)  # whichever of gzip and deflate it is
        return body.decode()

    @property
    def code(self) -> int:
        """The code in the body of a refusal."""
        code: int = json.loads(self.body)["code"]
        return code

    @property
    def packets(self) -> list[str | bytes]:
        """The packets in the body of a poll's answer."""
        return [b64decode(each[1:]) if each.startswith("b") else each for each in self.body.split("\x1e")]

    @property
    def link(self) -> Link:
        """The WebSocket."""
        assert self.exchange.link is not None, self.response
        return self.exchange.link

    def header(self, name: str) -> str | None:
        """Returns a header field of the answer."""
        assert self.response is not None, "not answered"
        return dict(self.response.headers).get(name)

    def take_response(self, exchange: Exchange) -> None:
        """The answer is here: exactly once."""
        assert self.response is None, "answered twice"
        assert exchange.response is not None, "among the dirty without an answer"
        self.response = exchange.response
        if self.heard is not None and exchange.link is None:
            self.heard(self)

    def take_frames(self, link: Link) -> None:
        """Something came over the WebSocket."""
        assert self.response is not None, "frames before the 101"
        self.fresh = [frame.data for frame in link.take()]
        assert not (self.fresh and self.closed), "frames behind a close"
        self.closed = link.closing
        self.reading = link.reading
        self.frames += self.fresh
        if self.heard is not None:
            self.heard(self)


class Driver(Generic[C]):
    """Moves what goes in and comes out of a core, and turns its clock.

    It takes after what it did itself, and otherwise only when it was woken: ``wakes`` is what the core appends to.
    """

    def __init__(self, core: C, engine: EngineServer, clock: Clock, wakes: list[bool] | None = None) -> None:
        self.core = core
        self.engine = engine
        self.clock = clock
        self.wakes = wakes
        self.todo: deque[Callable[[], object]] = deque()
        """What clients do as soon as it is their turn."""

    def request(self, request: Request, heard: Callable[[Call], object] | None = None) -> Call:
        """Sends the head of a request."""
        call = Call(heard)
        call.exchange = self.core.receive_request(request, call)
        self.settle()
        return call

    def get(self, query: str, *headers: tuple[str, str], upgrade: bool = False) -> Call:
        """Sends a GET to Engine.IO's path."""
        return self.request(Request("GET", "/socket.io/?" + query, list(headers), upgrade=upgrade))

    def settle(self) -> None:
        """Goes on until nothing is left to do."""
        due = True
        for _ in range(BUDGET):
            while self.todo:
                self.todo.popleft()()
                due = True
            carriers = self.core.take_dirty() if self._woken() or due else []
            due = False
            assert len(set(map(id, carriers))) == len(carriers), "a carrier is listed twice"
            for carrier in carriers:
                assert isinstance(carrier.owner, Call)
                if isinstance(carrier, Exchange):
                    carrier.owner.take_response(carrier)
                else:
                    carrier.owner.take_frames(carrier)
            if not self.turn() and not carriers and not self.todo and not self.wakes:
                check_engine(self.engine)
                return
        raise AssertionError("the core is never quiet")

    def turn(self) -> bool:
        """Does what stands above the core; returns whether there was anything to do."""
        return False

    def _woken(self) -> bool:
        if self.wakes is None:
            return True
        woken = bool(self.wakes)
        self.wakes.clear()
        return woken

    def advance(self, seconds: float) -> None:
        """Lets time pass, from deadline to deadline."""
        end = self.clock.now + seconds
        for _ in range(BUDGET):
            deadline = self.core.next_deadline()
            if deadline is None or deadline > end:
                self.clock.now = end
                return
            self.clock.now = max(self.clock.now, deadline)
            self.core.handle_timeout()
            self.settle()
        raise AssertionError("deadlines without end")

    def oversleep(self, seconds: float) -> None:
        """Lets time pass and notices only at its end."""
        self.clock.now += seconds
        self.core.handle_timeout()
        self.settle()

    def client(self, transport: str = "polling", **options: Any) -> Client:
        """Opens a session; see ``Client``."""
        return Client(self, transport, **options)


class Client:
    """A client of Engine.IO that does what stock clients do: it keeps a poll held and answers pings.

    Without ``polls`` or ``pongs`` it leaves that to the test. ``take()`` returns what came since the last time, but for
    pings and noops; ``log`` is all of it.
    """

    def __init__(
        self,
        driver: Driver[Any],
        transport: str = "polling",
        *,
        polls: bool = True,
        pongs: bool = True,
        query: str = "",
        headers: Sequence[tuple[str, str]] = (),
        address: str = "",
    ) -> None:
        self.driver = driver
        self.polls = polls
        self.pongs = pongs
        self.log: list[str | bytes] = []
        self.whole = {1}
        """How many packets there were at the end of each answer to a poll, the handshake's first: these come whole."""
        self.sid = ""
        self.handshake: dict[str, Any] = {}
        self.call: Call | None = None
        """The WebSocket that carries the session, or the poll that is held."""
        self.over = False
        """Whether the server closed the transport."""
        self._seen = 0
        self._transport = transport
        self._headers = list(headers)
        self._ids = count()
        upgrade = transport == "websocket"
        target = f"/socket.io/?EIO=4&transport={transport}{query}"
        request = Request("GET", target, self._headers, upgrade=upgrade, address=address)
        call = self.driver.request(request, self._heard)
        self.opening = call
        if upgrade:
            self.call = call

    @property
    def session(self) -> Session:
        """The server's side of it."""
        session = self.opening.exchange.session
        assert session is not None, self.opening.response
        return session

    @property
    def link(self) -> Link:
        """The WebSocket that carries the session."""
        assert self.call is not None
        return self.call.link

    # HTTP

    def poll(self) -> Call:
        """Sends a GET."""
        call = self._request("GET", self._heard)
        if call.response is None:
            self.call = call
        return call

    def begin_post(self, *headers: tuple[str, str]) -> Call:
        """Sends the head of a POST."""
        return self._request("POST", None, *headers)

    def finish_post(self, call: Call, body: bytes) -> Call:
        """Sends the body of a POST, if it is wanted."""
        if call.exchange.wants_body:
            self.driver.core.receive_body(call.exchange, body)
            self.driver.settle()
        return call

    def post(self, *packets: str | bytes) -> Call:
        """Sends packets in a POST."""
        return self.finish_post(self.begin_post(), payload(*packets))

    def abort(self, call: Call) -> None:
        """The connection of a request goes away."""
        self.driver.core.receive_abort(call.exchange)
        self.driver.settle()

    # WebSocket

    def attach(self) -> Call:
        """Opens a WebSocket for the session."""
        target = f"/socket.io/?EIO=4&transport=websocket&sid={self.sid}"
        return self.driver.request(Request("GET", target, self._headers, upgrade=True))

    def say(self, call: Call, *messages: str | bytes) -> None:
        """Sends messages over a WebSocket."""
        self.driver.core.receive_messages(call.link, messages)
        self.driver.settle()

    def upgrade(self) -> Call:
        """Moves the session to a WebSocket, as stock clients do it."""
        candidate = self.attach()
        self.say(candidate, "2probe")
        assert candidate.frames == ["3probe"]
        polls, self.polls = self.polls, False
        self.driver.advance(0.1)
        assert self.session.polling.poll is None, "the poll was not released"
        self.polls = polls
        self._adopt(candidate)
        self.say(candidate, "5")
        return candidate

    def block(self) -> None:
        """The WebSocket takes no more."""
        self.driver.core.receive_blocked(self.link)

    def unblock(self) -> None:
        """The WebSocket takes data again."""
        self.driver.core.receive_unblocked(self.link)
        self.driver.settle()

    # Either

    def send(self, *packets: str | bytes) -> None:
        """Sends packets over whichever transport there is."""
        if self._transport == "websocket":
            self.say(self._carrier(), *packets)
        else:
            assert self.post(*packets).status == 200

    def lose(self, error: str | None = None) -> None:
        """The WebSocket is closed, or with ``error`` broken; or the connection of the held poll goes away."""
        call = self._carrier()
        if self._transport == "websocket":
            self.driver.core.receive_link_closed(call.link, None, error)
        else:
            self.driver.core.receive_abort(call.exchange)
        self.over = True
        self.driver.settle()

    def take(self) -> list[str | bytes]:
        """Returns the packets that came since the last call, but for pings and noops."""
        fresh, self._seen = self.log[self._seen :], len(self.log)
        return [packet for packet in fresh if packet not in ("2", "6")]

    # Socket.IO

    def connect(self, namespace: str = "/", auth: dict[str, Any] | None = None) -> str:
        """Connects to a namespace and returns the socket's id."""
        self.send("40" + address_of(namespace) + ("" if auth is None else json.dumps(auth)))
        answer = self.take()[-1]
        head = "40" + address_of(namespace) + "{"
        assert isinstance(answer, str)
        assert answer.startswith(head), answer
        sid: str = json.loads(answer[len(head) - 1 :])["sid"]
        return sid

    def emit(self, event: str, *args: Any, namespace: str = "/", ack: int | str = "") -> None:
        """Emits an event."""
        self.send(f"42{address_of(namespace)}{ack}{json.dumps([event, *args])}")

    # Below this line: helpers

    def _carrier(self) -> Call:
        assert self.call is not None
        return self.call

    def _request(self, method: str, heard: Callable[[Call], object] | None, *headers: tuple[str, str]) -> Call:
        target = f"/socket.io/?EIO=4&transport=polling&sid={self.sid}"
        return self.driver.request(Request(method, target, [*self._headers, *headers]), heard)

    def _adopt(self, candidate: Call) -> None:
        self._transport = "websocket"
        self.call = candidate
        candidate.heard = self._heard

    def _heard(self, call: Call) -> None:
        if call.exchange.link is not None:
            self._packets(call.fresh)
            self.over = self.over or call.closed
        elif call.status == 200:
            self.call = None
            self._packets(call.packets)
            self.whole.add(len(self.log))
            self.over = self.over or "1" in call.packets
            if self.polls and not self.over and self._transport == "polling":
                self.driver.todo.append(self._poll_again)
        elif call.status != 499:
            self.over = True

    def _poll_again(self) -> None:
        # From within settle: like poll(), but what follows is taken by the settling that is under way.
        call = Call(self._heard)
        self.call = call
        request = Request("GET", f"/socket.io/?EIO=4&transport=polling&sid={self.sid}", self._headers)
        call.exchange = self.driver.core.receive_request(request, call)

    def _packets(self, packets: list[str | bytes]) -> None:
        self.log += packets
        for packet in packets:
            if isinstance(packet, str) and packet.startswith("0"):
                self.handshake = json.loads(packet[1:])
                self.sid = self.handshake["sid"]
                self._seen = len(self.log) - len(packets) + packets.index(packet) + 1
            elif packet == "2" and self.pongs:
                self.driver.todo.append(self._pong)

    def _pong(self) -> None:
        core = self.driver.core
        if self._transport == "websocket":
            core.receive_messages(self._carrier().link, ["3"])
            return
        call = Call()
        target = f"/socket.io/?EIO=4&transport=polling&sid={self.sid}"
        call.exchange = core.receive_request(Request("POST", target, self._headers), call)
        if call.exchange.wants_body:
            core.receive_body(call.exchange, b"3")


def payload(*packets: str | bytes) -> bytes:
    """Returns the body of a POST."""
    texts = [each if isinstance(each, str) else "b" + b64encode(each).decode() for each in packets]
    return "\x1e".join(texts).encode()


def address_of(namespace: str) -> str:
    """Returns a namespace as packets carry it."""
    return "" if namespace == "/" else namespace + ","


def living(timers: Timers) -> dict[str, int]:
    """Returns how many living timers there are, by label, without those that have none."""
    return {label: number for label, number, _ in timers.explain() if number}


def check_engine(engine: EngineServer) -> None:
    """What holds whenever the core is quiet."""
    sessions = list(engine.sessions.values())
    config = engine.config
    beating = probing = probed = closing = 0
    for session in sessions:
        state = session.state
        assert state is not State.CLOSED, "a closed session is still known"
        assert engine.sessions[session.id] is session
        assert session.open == (state not in CLOSING)
        assert (session.link is not None) == (state in (State.WEBSOCKET, State.WEBSOCKET_CLOSING))
        assert (session.probe is not None) == (state in PROBING)
        probing += state in PROBING
        probed += state in (State.PROBED, State.PROBED_CLOSING)
        closing += state in CLOSING
        beating += session.open
        polling = session.polling
        for exchange in (polling.poll, polling.post):
            assert exchange is None or exchange.response is None, "answered and still in hand"
        if session.open:
            assert session.queued == sum(frame.size for frame in session.outbox)
            assert not (session.outbox and session.writable), "a packet was left behind"
        assert session.weight <= config.max_send_buffer
        assert not session.dirty
    armed = {label: number for label, number, _ in engine.timers.explain()}
    # Middle states have a deadline, and nothing else has one.
    assert armed["ping"] + armed["pong"] == beating
    assert armed["upgrade"] == probing
    assert armed["upgrade noop"] == probed
    assert armed["close"] == closing


# -- one driver for each floor


class EngineDriver(Driver[EngineServer]):
    """Drives an ``EngineServer``; ``log`` is what it told."""

    def __init__(self, core: EngineServer, clock: Clock, wakes: list[bool] | None = None) -> None:
        super().__init__(core, core, clock, wakes)
        self.log: list[Any] = []

    def turn(self) -> bool:
        events = self.core.events()
        self.log += events
        return bool(events)

    def told(self, kind: type[E]) -> list[E]:
        """Returns the events of one kind, so far."""
        return [event for event in self.log if isinstance(event, kind)]


def drive_engine(
    *, asks: bool = False, generate_id: Callable[[Request], str] | None = None, **options: Any
) -> EngineDriver:
    """Returns a driver of an ``EngineServer`` with these options."""
    clock = Clock()
    wakes: list[bool] = []
    core = EngineServer(
        EngineConfig(**options),
        make_environment(clock),
        wake=wakes.append,
        asks_requests=asks,
        generate_id=generate_id,
    )
    return EngineDriver(core, clock, wakes)


class SocketDriver(Driver[SocketServer]):
    """Drives a ``SocketServer``: accepts whoever asks and lets go whoever leaves, unless told otherwise.

    ``log`` is what the core told.
    """

    def __init__(self, core: SocketServer, clock: Clock, wakes: list[bool] | None = None) -> None:
        super().__init__(core, core.engine, clock, wakes)
        self.accepts = True
        self.finishes = True
        self.log: list[Any] = []

    def turn(self) -> bool:
        events = self.core.events()
        for event in events:
            self.log.append(event)
            if isinstance(event, ConnectAsked) and self.accepts:
                self.core.accept(event.ticket)
            elif isinstance(event, DisconnectingAsked) and self.finishes:
                self.core.finish_disconnect(event.socket)
        return bool(events)

    def told(self, kind: type[E]) -> list[E]:
        """Returns the events of one kind, so far."""
        return [event for event in self.log if isinstance(event, kind)]

    def socket(self, sid: str) -> Socket:
        """Returns the socket with an id."""
        for event in self.told(SocketConnected):
            if event.socket.id == sid:
                return event.socket
        raise AssertionError(f"no socket {sid}")

    def join(self, transport: str = "websocket", namespace: str = "/", **options: Any) -> tuple[Client, Socket]:
        """Connects a client to a namespace; returns both sides."""
        client = self.client(transport, **options)
        return client, self.socket(client.connect(namespace))

    def reasons(self) -> list[str]:
        """Returns why sockets disconnected, in order."""
        return [event.reason for event in self.told(SocketDisconnected)]

    def created(self) -> list[str]:
        """Returns the names of the namespaces that came to be, in order."""
        return [event.namespace.name for event in self.told(NamespaceCreated)]


def drive_sockets(**options: Any) -> SocketDriver:
    """Returns a driver of a ``SocketServer``; the options of both floors by name."""
    clock = Clock()
    wakes: list[bool] = []
    engine_config, config = make_configs(options)
    core = SocketServer(engine_config, config, make_environment(clock), wake=wakes.append)
    return SocketDriver(core, clock, wakes)


def make_configs(options: dict[str, Any]) -> tuple[EngineConfig, SocketConfig]:
    """Distributes options over the configs of both floors."""
    ours = {name: value for name, value in options.items() if name in SocketConfig.__dataclass_fields__}
    rest = {name: value for name, value in options.items() if name not in ours}
    return EngineConfig(**rest), SocketConfig(**ours)


# -- a runtime without an event loop


class Cancelled(BaseException):
    """What a cancelled task is thrown."""


class Held:
    """A guard that knows how often it is held, and was entered."""

    def __init__(self) -> None:
        self.depth = self.entered = 0

    def __enter__(self) -> None:
        self.depth += 1
        self.entered += 1

    def __exit__(self, *_: object) -> None:
        assert self.depth > 0, "let go and not held"
        self.depth -= 1


class Task:
    """A coroutine that is stepped by hand."""

    def __init__(self, runtime: Stepper, run: Coroutine[Any, Any, None]) -> None:
        self.run = run
        self.done = False
        self.error: BaseException | None = None
        """The cancellation that ended it."""
        self._runtime = runtime
        self._parked: Pending[Any] | None = None

    def step(self, error: BaseException | None = None) -> None:
        """Runs it until it waits again. What it raises, cancellation apart, is a fault and comes out here."""
        self.leave()
        try:
            with self._runtime.guard:
                parked = self.run.send(None) if error is None else self.run.throw(error)
        except StopIteration:
            self.done = True
        except Cancelled as error:
            self.done = True
            self.error = error
        else:
            self._parked = parked
            parked.on_done(self._wake)

    def leave(self) -> None:
        """Waits no longer for what it waited for."""
        parked, self._parked = self._parked, None
        if parked is not None:
            parked.forget(self._wake)

    def _wake(self, _: Pending[Any]) -> None:
        self._runtime.ready.append(self)


class Stepper:
    """A ``Runtime`` that runs what is ready when it is told to. Waiting yields the ``Pending`` that is waited for."""

    def __init__(self, environment: Environment, *, inline: bool = True, guard: Any = None) -> None:
        self.environment = environment
        self.inline = inline
        self.guard = guard or Held()
        self.ready: deque[Task] = deque()
        self.tasks: list[Task] = []
        self.wakes: list[bool] = []
        self.reports: list[tuple[BaseException, str]] = []

    def wake(self, urgent: bool) -> None:
        """Notes it: whoever drives takes after every call anyway."""
        self.wakes.append(urgent)

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        """Lines a coroutine up."""
        task = Task(self, run)
        self.tasks.append(task)
        self.ready.append(task)

    def park(self, pending: Pending[Any]) -> Generator[Any, Any, None]:
        """Suspends the coroutine that is being stepped."""
        yield pending

    def block(self, pending: Pending[Any], timeout: float | None) -> None:
        """Refuses: there is one thread."""
        raise LocalProtocolError("there is nobody else who could settle it")

    def report(self, error: BaseException, where: str) -> None:
        """Keeps what nobody took."""
        self.reports.append((error, where))

    def step(self) -> bool:
        """Steps what is ready; returns whether anything was."""
        busy = bool(self.ready)
        for _ in range(BUDGET):
            if not self.ready:
                return busy
            self.ready.popleft().step()
        raise AssertionError("a coroutine that never waits")

    def cancel(self, task: Task) -> None:
        """Cancels a task where it waits."""
        assert not task.done
        assert task not in self.ready
        task.step(Cancelled())

    @property
    def unfinished(self) -> list[Task]:
        """The tasks that wait."""
        return [task for task in self.tasks if not task.done]


class AppDriver(Driver[Server]):
    """Drives a ``Server`` and its handlers."""

    def __init__(self, core: Server, runtime: Stepper, clock: Clock) -> None:
        super().__init__(core, core.engine, clock, runtime.wakes)
        self.runtime = runtime

    def turn(self) -> bool:
        return self.runtime.step()

    def gate(self) -> Pending[Any]:
        """Returns something that a handler can wait for until the test opens it."""
        return Pending(self.runtime)

    def open(self, gate: Pending[Any], value: Any = None) -> None:
        """Opens a gate and lets whoever waited go on."""
        assert gate.resolve(value)
        self.settle()

    def join(self, transport: str = "websocket", namespace: str = "/", **options: Any) -> tuple[Client, Socket]:
        """Connects a client to a namespace; returns both sides."""
        client = self.client(transport, **options)
        return client, self.core.of(namespace).sockets[client.connect(namespace)]

    @property
    def failures(self) -> list[str]:
        """What was reported and not taken by an ``on_error`` hook: the kind of error, and where."""
        return [f"{type(error).__name__}: {where}" for error, where in self.runtime.reports]


def drive_app(
    *,
    inline: bool = True,
    guard: Any = None,
    server: type[Server] = Server,
    hooks: dict[str, Any] | None = None,
    **options: Any,
) -> AppDriver:
    """Returns a driver of a ``Server``: ``hooks`` for its own arguments, the options of the floors below by name."""
    clock = Clock()
    runtime = Stepper(make_environment(clock), inline=inline, guard=guard)
    engine_config, config = make_configs(options)
    return AppDriver(server(runtime, engine_config=engine_config, config=config, **(hooks or {})), runtime, clock)
