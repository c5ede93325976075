"""The server that applications write for: hooks, middlewares, namespaces of classes, work beside, and the end."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import (
    BroadcastOperator,
    ConnectError,
    EngineConfig,
    Forbidden,
    LocalProtocolError,
    Namespace,
    OptionError,
    Pending,
    Request,
    Response,
    Socket,
    SocketConfig,
)
from sioproto.app import Server
from tests.virtual import AppDriver, Clock, Stepper, drive_app, living, make_environment

if TYPE_CHECKING:
    from tests.virtual import Call, Client

BOTH = pytest.mark.parametrize("transport", ["polling", "websocket"])


# -- connecting


@BOTH
def test_middlewares_in_order(transport: str) -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[Any] = []

    @driver.core.use
    async def first(socket: Socket) -> None:
        heard.append(("first", socket.connected, socket.handshake.auth))
        await gate
        socket.emit("welcome")

    @driver.core.use
    def second(socket: Socket) -> None:
        heard.append("second")
        socket.join("room")

    driver.core.on("connection", lambda socket: heard.append(("connected", sorted(socket.rooms - {socket.id}))))
    client = driver.client(transport)
    client.send('40{"token":1}')
    assert heard == [("first", False, {"token": 1})]
    assert client.take() == []
    driver.open(gate)
    assert heard[1:] == ["second", ("connected", ["room"])]
    packets = client.take()
    assert str(packets[0]).startswith('40{"sid":')
    assert packets[1:] == ['42["welcome"]']


@pytest.mark.parametrize(
    ("error", "answer", "failures"),
    [
        (ConnectError("no entry"), {"message": "no entry"}, []),
        (ConnectError("no entry", {"code": 7}), {"message": "no entry", "data": {"code": 7}}, []),
        (ValueError("secret"), {"message": "Internal server error"}, ["ValueError: middleware of /"]),
        (
            ConnectError("no entry", object()),
            {"message": "Internal server error"},
            ["LocalProtocolError: middleware of /"],
        ),
        (ConnectError("no entry", b"\x00"), {"message": "Internal server error"}, ["BinaryFound: middleware of /"]),
    ],
)
@pytest.mark.parametrize("late", [True, False])
def test_a_middleware_refuses(error: Exception, answer: dict[str, Any], failures: list[str], late: bool) -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[str] = []

    async def refuses_late(socket: Socket) -> None:
        await gate
        raise error

    def refuses(socket: Socket) -> None:
        raise error

    driver.core.use(refuses_late if late else refuses)
    driver.core.use(lambda socket: heard.append("not asked"))
    driver.core.on("connection", lambda socket: heard.append("connected"))
    client = driver.client("websocket")
    client.send("40")
    gate.resolve(None)
    driver.settle()
    [refusal] = client.take()
    assert str(refusal).startswith("44{")
    assert json.loads(str(refusal)[2:]) == answer
    assert heard == []
    assert driver.failures == failures
    assert client.session.open


def test_a_middleware_whose_client_went() -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[str] = []

    @driver.core.use
    async def wait(socket: Socket) -> None:
        await gate

    driver.core.use(lambda socket: heard.append("asked"))
    driver.core.on("disconnect", lambda socket: heard.append("disconnect"))
    client = driver.client("websocket")
    client.send("40")
    client.lose()
    driver.open(gate)
    assert heard == []
    assert driver.failures == []
    assert driver.core.sockets.sockets == {}


def test_io_use_is_for_the_main_namespace() -> None:
    driver = drive_app()

    @driver.core.use
    def refuse(socket: Socket) -> None:
        raise ConnectError("no")

    other = driver.core.of("/other")
    client = driver.client("websocket")
    client.send("40")
    assert client.take() == ['44{"message":"no"}']
    assert client.connect("/other") in other.sockets


def test_dynamic_namespaces_inherit() -> None:
    driver = drive_app()
    heard: list[Any] = []
    parent = driver.core.of(re.compile(r"/room-\d"))

    @parent.use
    async def check(socket: Socket) -> None:
        heard.append("check")

    parent.on("connection", lambda socket: heard.append(("connection", socket.namespace.name)))
    client, socket = driver.join(namespace="/room-1")
    parent.on("x", lambda socket, *args: heard.append(("parent", *args)))
    socket.namespace.on("x", lambda socket, *args: heard.append(("child", *args)))
    parent.on("disconnect", lambda socket: heard.append("disconnect"))
    client.emit("x", 1, namespace="/room-1")
    client.send("41/room-1,")
    assert heard == ["check", ("connection", "/room-1"), ("parent", 1), ("child", 1), "disconnect"]


@pytest.mark.parametrize("asks", ["plain", "waits"])
def test_predicates_are_asked_in_order(asks: str) -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[Any] = []

    def plain(name: str, auth: dict[str, Any]) -> bool:
        heard.append((name, auth))
        return auth.get("token") == 1

    async def waits(name: str, auth: dict[str, Any]) -> bool:
        await gate
        return plain(name, auth)

    def fails(name: str, auth: dict[str, Any]) -> bool:
        raise ValueError

    driver.core.of(fails)
    parent = driver.core.of(plain if asks == "plain" else waits)
    client = driver.client("websocket")
    client.send('40/x,{"token":1}', '40/y,{"token":2}')
    gate.resolve(None)
    driver.settle()
    packets = [str(packet) for packet in client.take()]
    assert [packet[:6] for packet in packets] == ["40/x,{", "44/y,{"]
    assert list(parent.children) == ["/x"]
    assert heard == [("/x", {"token": 1}), ("/y", {"token": 2})]
    assert driver.failures == ["ValueError: predicate of a dynamic namespace"] * 2


@pytest.mark.parametrize("waits", [True, False])
def test_new_namespaces_are_told(waits: bool) -> None:
    driver = drive_app()
    heard: list[str] = []

    async def told(namespace: Namespace) -> None:
        heard.append(namespace.name)

    def fails() -> None:
        raise ValueError

    driver.core.on("new_namespace", told if waits else lambda namespace: heard.append(namespace.name))
    driver.core.on("new_namespace", fails)
    driver.core.of("/a")
    driver.core.of("/a")
    driver.core.of("/")
    driver.core.of(re.compile("/b.*"))
    driver.join(namespace="/b1")
    assert heard == ["/a", "/b1"]
    assert len(driver.failures) == 2


# -- hooks that are cancelled


class Hooks:
    """A server on which one hook waits and is then cancelled: that must be a no, for nobody else would give one."""

    def __init__(self, name: str) -> None:
        self.driver = drive_app(hooks={name: self.wait} if name in ("allow_request", "fallback") else None)
        self.gate = self.driver.gate()
        if name == "middleware":
            self.driver.core.use(self.wait)
        elif name == "predicate":
            self.driver.core.of(self.wait)

    async def wait(self, *args: Any) -> Any:
        await self.gate

    def cancel(self) -> None:
        [task] = self.driver.runtime.unfinished
        self.driver.runtime.cancel(task)
        assert task.error is not None, "the cancellation was swallowed"
        self.driver.settle()
        assert self.driver.failures == []
        assert self.driver.runtime.unfinished == []


@BOTH
def test_a_middleware_that_is_cancelled_refuses(transport: str) -> None:
    hooks = Hooks("middleware")
    client = hooks.driver.client(transport)
    client.send("40")
    assert client.take() == []
    hooks.cancel()
    assert client.take() == ['44{"message":"Internal server error"}']


def test_a_predicate_that_is_cancelled_says_no() -> None:
    hooks = Hooks("predicate")
    hooks.driver.core.of(lambda name, auth: name == "/x")
    client = hooks.driver.client("websocket")
    client.send("40/x,", "40/y,")
    [one, other] = hooks.driver.runtime.unfinished
    hooks.driver.runtime.cancel(one)
    hooks.driver.settle()
    # The next dynamic namespace is asked, as after any other no.
    assert [packet[:5] for packet in client.take() if isinstance(packet, str)] == ["40/x,"]
    hooks.driver.runtime.cancel(other)
    hooks.driver.settle()
    assert client.take() == ['44/y,{"message":"Invalid namespace"}']
    assert None not in (one.error, other.error)
    assert hooks.driver.failures == []


@BOTH
def test_allow_request_that_is_cancelled_refuses(transport: str) -> None:
    hooks = Hooks("allow_request")
    client = hooks.driver.client(transport)
    assert client.opening.response is None
    hooks.cancel()
    assert client.opening.status == 403
    assert client.opening.code == 4


def test_a_fallback_that_is_cancelled_is_an_error() -> None:
    hooks = Hooks("fallback")
    call = fetch(hooks.driver)
    assert call.response is None
    hooks.cancel()
    assert (call.status, call.body) == (500, "Internal Server Error")


@pytest.mark.parametrize("name", ["middleware", "predicate", "allow_request", "fallback"])
def test_a_hook_that_is_dropped_says_nothing(name: str) -> None:
    """Whoever throws the coroutine away runs nothing any more, so there is nobody who could send an answer."""
    hooks = Hooks(name)
    if name == "fallback":
        call = fetch(hooks.driver)
    else:
        client = hooks.driver.client("websocket")
        call = client.opening
        if name != "allow_request":
            client.send("40" if name == "middleware" else "40/x,")
            assert client.take() == []
    [task] = hooks.driver.runtime.unfinished
    hooks.driver.runtime.wakes.clear()
    before = call.response, list(call.frames)
    task.leave()
    task.run.close()
    task.done = True
    hooks.driver.settle()
    assert (call.response, call.frames) == before


# -- allow_request


@BOTH
@pytest.mark.parametrize("waits", [True, False])
def test_allow_request(transport: str, waits: bool) -> None:
    asked: list[Request] = []
    gate: Pending[None] = Pending()

    def allow(request: Request) -> bool | None:
        asked.append(request)
        if request.query.get("who") == "evil":
            raise Forbidden("go away")
        if request.query.get("who") == "broken":
            raise ValueError("secret")
        return False if request.query.get("who") == "false" else None

    async def allow_late(request: Request) -> bool | None:
        await gate
        return allow(request)

    driver = drive_app(hooks={"allow_request": allow_late if waits else allow})
    gate._waiting = driver.runtime

    def attempt(who: str) -> Call:
        call = driver.client(transport, query=f"&who={who}").opening
        if not gate.done:
            assert (call.response is None) == waits
            gate.resolve(None)
            driver.settle()
        return call

    assert attempt("good").status == (101 if transport == "websocket" else 200)
    for who, message in (("evil", "go away"), ("false", "Forbidden"), ("broken", "Forbidden")):
        call = attempt(who)
        assert call.status == 403
        assert json.loads(call.body) == {"code": 4, "message": message}
    assert driver.failures == ["ValueError: allow_request"]
    assert len(asked) == 4
    assert driver.engine.clients_count == 1


def test_allow_request_that_takes_too_long() -> None:
    gates: list[Pending[None]] = []

    async def allow(request: Request) -> None:
        gates.append(driver.gate())
        await gates[-1]

    driver = drive_app(hooks={"allow_request": allow})
    client = driver.client()
    driver.advance(30.1)
    assert client.opening.status == 503
    driver.open(gates[0])
    assert driver.engine.clients_count == 0
    assert driver.failures == []


# -- fallback


def fetch(driver: AppDriver, body: bytes = b"") -> Call:
    call = driver.request(Request("POST", "/page?x=1", [("host", "here")]))
    driver.core.receive_body(call.exchange, body)
    driver.settle()
    return call


def test_no_fallback_is_404() -> None:
    driver = drive_app()
    call = fetch(driver)
    assert (call.status, call.body) == (404, "Not Found")


@pytest.mark.parametrize("waits", [True, False])
def test_a_fallback_answers(waits: bool) -> None:
    gate: Pending[None] = Pending()

    def page(request: Request, body: bytes) -> Response | None:
        if body == b"none":
            return None
        return Response(201, [("X-A", "1")], request.target.encode() + b" " + body)

    async def late(request: Request, body: bytes) -> Response | None:
        await gate
        return page(request, body)

    driver = drive_app(hooks={"fallback": late if waits else page})
    gate._waiting = driver.runtime
    call = fetch(driver, b"body")
    assert (call.response is None) == waits
    gate.resolve(None)
    driver.settle()
    assert (call.status, call.body, call.header("X-A")) == (201, "/page?x=1 body", "1")
    assert fetch(driver, b"none").status == 404


def test_a_fallback_may_take_the_request_alone() -> None:
    driver = drive_app(hooks={"fallback": lambda request: Response(200, [], request.method.encode())})
    assert fetch(driver).body == "POST"


@pytest.mark.parametrize(
    ("value", "kind"), [("text", "TypeError"), (200, "TypeError"), (ValueError("secret"), "ValueError")]
)
def test_a_fallback_that_fails(value: Any, kind: str) -> None:
    def page(request: Request) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    driver = drive_app(hooks={"fallback": page})
    call = fetch(driver)
    assert (call.status, call.body) == (500, "Internal Server Error")
    assert driver.failures == [f"{kind}: fallback"]


def test_a_fallback_whose_client_went() -> None:
    gates: list[Pending[None]] = []

    async def page(request: Request) -> Response:
        gates.append(driver.gate())
        await gates[-1]
        return Response(200)

    driver = drive_app(hooks={"fallback": page})
    call = fetch(driver)
    driver.core.receive_abort(call.exchange)
    driver.open(gates[0])
    assert call.response is None
    assert driver.failures == []


# -- the vocabulary of the main namespace


def test_the_server_speaks_for_its_main_namespace() -> None:
    driver = drive_app()
    io = driver.core
    client, socket = driver.join()
    other, _ = driver.join(namespace="/") if io.sockets is io.of("/") else driver.join()
    socket.join("room")
    io.emit("a", 1)
    io.send("b")
    io.to("room").emit("c")
    io.in_("room").emit("d")
    io.except_("room").emit("e")
    io.volatile.emit("f")
    io.local.compress(False).emit("g")
    driver.settle()
    assert [json.loads(str(packet)[2:])[0] for packet in client.take()] == ["a", "message", "c", "d", "f", "g"]
    assert [json.loads(str(packet)[2:])[0] for packet in other.take()] == ["a", "message", "e", "f", "g"]
    assert isinstance(io.timeout(1.0), BroadcastOperator)
    assert len(io.fetch_sockets().result()) == 2
    assert io.count_sockets().result() == 2
    io.sockets_join("all")
    io.sockets_leave("room")
    assert socket.rooms == {socket.id, "all"}
    pending = io.emit_with_ack("ask")
    driver.settle()
    client.send("430[1]")
    other.send("430[2]")
    assert list(pending.result().answers.values()) == [1, 2]
    io.server_side_emit("x")
    assert io.server_side_emit_with_ack("x").result() == []
    io.disconnect_sockets()
    driver.settle()
    assert io.sockets.sockets == {}


# -- namespaces of a class


class Chat(Namespace):
    """Handlers as methods."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.heard: list[Any] = []

    def on_connection(self, socket: Socket) -> None:
        self.heard.append("connection")

    async def on_disconnect(self, socket: Socket, reason: str) -> None:
        self.heard.append(reason)

    def on_say(self, socket: Socket, text: str) -> str:
        self.heard.append(text)
        self.emit("said", text)
        return text.upper()

    def on_error(self, socket: Socket, error: Exception) -> None:
        self.heard.append(type(error).__name__)

    def only_helps(self) -> None:
        raise AssertionError


def test_a_namespace_of_a_class() -> None:
    driver = drive_app()
    chat = driver.core.of("/chat", Chat)
    client, _ = driver.join(namespace="/chat")
    client.emit("say", "hi", namespace="/chat", ack=1)
    # Nothing that the class itself has is an event.
    for name in ("any", "only_helps", "server_event", "any_outgoing", "", "_say"):
        client.emit(name, "x", namespace="/chat")
    assert client.take() == ['42/chat,["said","hi"]', '43/chat,1["HI"]']
    client.send("4nonsense")
    assert chat.heard == ["connection", "hi", "ParseError", "forced close"]
    assert driver.failures == []


def test_classes_inherit_and_override() -> None:
    class Quiet(Chat):
        def on_say(self, socket: Socket, text: str) -> str:
            return "quiet"

        def on_leave(self, socket: Socket) -> str:
            return "left"

    driver = drive_app()
    quiet = driver.core.of("/quiet", Quiet)
    client, _ = driver.join(namespace="/quiet")
    client.emit("say", "x", namespace="/quiet", ack=1)
    client.emit("leave", namespace="/quiet", ack=2)
    assert client.take() == ['43/quiet,1["quiet"]', '43/quiet,2["left"]']
    assert quiet.heard == ["connection"]


def test_a_method_that_hides_one_of_every_namespace() -> None:
    class Hiding(Namespace):
        def on_any(self, *args: Any) -> Any:
            raise AssertionError

    with pytest.raises(LocalProtocolError, match="on_any"):
        drive_app().core.of("/hiding", Hiding)


# -- work beside


def test_sleeping() -> None:
    driver = drive_app()
    heard: list[str] = []
    rest = driver.core.sleep

    @driver.core.on("x")
    async def nap(socket: Socket, seconds: float) -> None:
        await rest(seconds)
        heard.append(f"slept {seconds}")

    client, _ = driver.join()
    driver.runtime.wakes.clear()
    pending = rest(1.0)
    assert driver.runtime.wakes == [False]  # a deadline moved
    driver.advance(1.1)
    assert pending.done
    client.emit("x", 2.0)
    driver.advance(1.9)
    assert heard == []
    driver.advance(0.2)
    assert heard == ["slept 2.0"]
    client.emit("x", -1)
    driver.advance(0.0)
    assert heard[-1] == "slept -1"


def test_spawning() -> None:
    driver = drive_app()
    heard: list[Any] = []
    rest = driver.core.sleep

    async def tick(name: str) -> None:
        for number in range(3):
            heard.append((name, number))
            driver.core.emit("tick", number)
            await rest(1.0)

    def fails(*args: int) -> None:
        heard.append(args)
        raise ValueError

    client, _ = driver.join()
    driver.core.spawn(tick, "a")
    driver.core.spawn(fails, 1, 2)
    driver.settle()
    assert heard == [("a", 0), (1, 2)]
    driver.advance(5.0)
    assert heard == [("a", 0), (1, 2), ("a", 1), ("a", 2)]
    assert client.take() == ['42["tick",0]', '42["tick",1]', '42["tick",2]']
    [failure] = driver.failures
    assert failure.startswith("ValueError: spawned ")
    assert "fails" in failure


# -- observers that fail are told


def test_failures_of_observers_reach_the_hook() -> None:
    driver = drive_app()

    def fail(*_: object) -> None:
        raise ValueError

    driver.core.engine.on("headers", fail)
    _, socket = driver.join()
    socket.conn.on("flush", fail)
    socket.on_any_outgoing(fail)
    socket.namespace.adapter.on("join_room", fail)
    socket.join("room")
    socket.emit("x")
    driver.settle()
    assert sorted(driver.failures) == [
        "ValueError: observer of flush",
        "ValueError: observer of headers",
        "ValueError: observer of join_room",
        "ValueError: observer of outgoing events",
    ]


def test_every_input_reaches_the_floor_below() -> None:
    driver = drive_app()
    client, socket = driver.join()
    client.block()
    socket.emit("x")
    driver.settle()
    client.unblock()
    assert client.take() == ['42["x"]']
    reasons: list[str] = []
    driver.core.on("disconnect", lambda socket, reason: reasons.append(reason))
    polling, _ = driver.join("polling")
    post = polling.begin_post()
    driver.core.receive_oversize(post.exchange)
    driver.settle()
    assert post.status == 413
    polling.abort(polling.begin_post())
    assert reasons == ["transport error"]
    assert driver.core.engine_config is driver.engine.config
    assert driver.core.timers is driver.engine.timers


def test_other_servers_of_a_cluster() -> None:
    io = drive_app().core
    assert io.on_server_event("x", print) is print

    @io.on_server_event("y")
    def handler() -> None: ...

    assert io.sockets.server_events.names() == ["x", "y"]
    assert io.any_listeners() == ()


# -- the end


class Stopping:
    """A server with a client, whose handlers can be made to wait."""

    def __init__(self, transport: str = "websocket", **hooks: Any) -> None:
        self.driver = drive_app(hooks=hooks)
        self.io = self.driver.core
        self.heard: list[Any] = []
        self.gates: dict[str, Pending[Any]] = {name: self.driver.gate() for name in ("x", "disconnect")}
        self.slow_end = False
        self.io.on("x", self.event)
        self.io.on("y", lambda socket: self.heard.append("y"))
        self.io.on("disconnecting", self.disconnecting)
        self.io.on("disconnect", self.disconnect)
        self.client: Client
        self.client, self.socket = self.driver.join(transport)
        self.socket.join("room")

    async def event(self, socket: Socket) -> str:
        self.heard.append("begin")
        await self.gates["x"]
        socket.emit("last words")
        self.heard.append("end")
        return "answer"

    def disconnecting(self, socket: Socket, reason: str) -> None:
        self.heard.append(("disconnecting", reason, "room" in socket.rooms))

    async def disconnect(self, socket: Socket, reason: str) -> None:
        self.heard.append(("disconnect", reason))
        if self.slow_end:
            await self.gates["disconnect"]
            self.heard.append("disconnected")

    def stop(self, grace: float = 10.0) -> Pending[int]:
        done = self.io.stop(grace)
        self.driver.settle()
        return done

    def assert_over(self) -> None:
        """Invariant: a closed server holds nothing."""
        assert self.driver.engine.sessions == {}
        assert living(self.driver.core.timers) == {}
        assert self.driver.core.next_deadline() is None
        assert self.driver.client().opening.status == 503


SHUTTING = [("disconnecting", "server shutting down", True), ("disconnect", "server shutting down")]


@BOTH
def test_stopping_when_nothing_is_under_way(transport: str) -> None:
    each = Stopping(transport)
    done = each.stop()
    assert done.done
    assert done.result() == 0
    assert each.heard == SHUTTING
    assert each.client.over
    assert not any(str(packet).startswith("41") for packet in each.client.log)
    each.assert_over()
    assert each.stop() is done


@BOTH
def test_stopping_waits_for_handlers(transport: str) -> None:
    each = Stopping(transport)
    each.client.emit("x", ack=1)
    done = each.stop()
    assert not done.done
    assert each.driver.client().opening.status == 503
    assert each.socket.connected
    each.driver.advance(4.0)
    each.driver.open(each.gates["x"])
    assert done.done
    assert each.heard == ["begin", "end", *SHUTTING]
    packets = [packet for packet in each.client.take() if packet != "1"]
    assert packets == ['42["last words"]', '431["answer"]']
    each.assert_over()


def test_stopping_waits_for_concurrent_handlers() -> None:
    each = Stopping()

    @each.io.on("z", concurrent=True)
    async def wait(socket: Socket) -> str:
        await each.gates["x"]
        return "answer"

    each.client.emit("z", ack=1)
    done = each.stop()
    assert not done.done
    each.driver.open(each.gates["x"])
    assert done.done
    assert each.client.take() == ['431["answer"]']
    assert each.heard == SHUTTING


def test_new_events_are_dropped_while_stopping() -> None:
    each = Stopping()
    each.client.emit("x")
    each.client.emit("y")
    each.stop()
    each.client.emit("y")
    each.driver.open(each.gates["x"])
    # What had come before is handled.
    assert each.heard == ["begin", "end", "y", *SHUTTING]


def test_answers_are_taken_while_stopping() -> None:
    each = Stopping()

    @each.io.on("z")
    async def ask(socket: Socket) -> None:
        each.heard.append(await socket.emit_with_ack("ask"))

    each.client.emit("z")
    done = each.stop()
    each.client.send('430["yes"]')
    assert each.heard == ["yes", *SHUTTING]
    assert done.done


def test_handlers_get_half_of_the_time() -> None:
    each = Stopping()
    each.client.emit("x")
    done = each.io.stop(10.0)
    assert each.driver.runtime.wakes == [False]  # a deadline moved
    each.driver.settle()
    each.driver.advance(4.9)
    assert each.socket.connected
    assert not each.client.over
    each.driver.advance(0.2)
    assert each.client.over
    assert not done.done
    # The handlers of the end still wait behind the one that lags.
    each.driver.open(each.gates["x"])
    assert each.heard == ["begin", "end", *SHUTTING]
    assert done.done
    each.assert_over()


def test_what_is_left_is_cut_off() -> None:
    each = Stopping()
    each.client.emit("x")
    done = each.stop(10.0)
    each.driver.advance(10.1)
    assert done.done
    assert each.heard == ["begin"]
    each.assert_over()
    # A handler that ends later harms nobody.
    each.driver.open(each.gates["x"])
    assert each.driver.engine.sessions == {}
    assert each.driver.failures == []


def test_handlers_of_the_end_are_waited_for() -> None:
    each = Stopping()
    each.slow_end = True
    done = each.stop(10.0)
    assert each.heard == SHUTTING
    assert not done.done
    assert each.client.over
    each.driver.open(each.gates["disconnect"])
    assert done.done
    assert each.heard[-1] == "disconnected"
    each.assert_over()


def test_a_client_that_takes_nothing_is_cut_off() -> None:
    each = Stopping()
    each.client.block()
    each.socket.emit("never taken")
    done = each.stop(10.0)
    each.driver.advance(9.9)
    assert not done.done
    each.driver.advance(0.2)
    assert done.done
    assert each.client.take() == []
    each.assert_over()


def test_what_was_queued_is_delivered() -> None:
    each = Stopping("polling")
    each.client.polls = False
    each.socket.emit("release")
    each.driver.settle()
    each.socket.emit("queued")
    done = each.stop(10.0)
    assert not done.done
    each.driver.advance(1.0)
    assert each.client.poll().packets == ['42["queued"]']
    assert not done.done
    assert each.client.poll().packets == ["1"]
    assert done.done
    each.assert_over()


def test_stopping_does_not_wait_for_spawned_loops() -> None:
    each = Stopping()
    rest = each.io.sleep

    async def forever() -> None:
        while True:
            await rest(1.0)

    each.io.spawn(forever)
    each.driver.advance(3.0)
    assert each.stop().done


def test_stopping_sooner() -> None:
    each = Stopping()
    each.client.emit("x")
    done = each.stop(100.0)
    assert each.stop(2.0) is done
    each.driver.advance(2.1)
    assert done.done
    each.assert_over()


def test_stopping_at_once() -> None:
    each = Stopping()
    each.client.emit("x")
    done = each.stop(0.0)
    each.driver.advance(0.01)
    assert done.done
    each.assert_over()


def test_stopping_while_somebody_connects() -> None:
    driver = drive_app()
    gate = driver.gate()
    heard: list[str] = []

    @driver.core.use
    async def wait(socket: Socket) -> None:
        await gate

    driver.core.on("connection", lambda socket: heard.append("connection"))
    driver.core.on("disconnect", lambda socket, reason: heard.append(reason))
    client = driver.client("websocket")
    client.send("40")
    done = driver.core.stop(10.0)
    driver.settle()
    assert not done.done
    driver.open(gate)
    assert done.done
    assert heard == ["connection", "server shutting down"]
    assert client.over
    assert driver.engine.sessions == {}


@pytest.mark.parametrize("answered", [True, False])
def test_stopping_while_a_session_is_asked_about(answered: bool) -> None:
    gates: list[Pending[None]] = []

    async def allow(request: Request) -> None:
        gates.append(driver.gate())
        await gates[-1]

    driver = drive_app(hooks={"allow_request": allow})
    client = driver.client()
    done = driver.core.stop(10.0)
    driver.settle()
    assert not done.done
    if answered:
        driver.open(gates[0])
    else:
        driver.advance(10.1)
    assert done.done
    assert client.opening.status == 503
    assert driver.engine.sessions == {}
    assert living(driver.core.timers) == {}
    if not answered:
        driver.open(gates[0])
        assert driver.engine.sessions == {}


def test_stopping_paused_clients() -> None:
    each = Stopping(max_parked=1000)
    for _ in range(10):
        each.client.emit("x")
    assert each.socket.conn.paused
    done = each.stop(10.0)
    each.driver.open(each.gates["x"])
    assert done.done
    assert each.heard == ["begin", "end"] * 10 + SHUTTING
    each.assert_over()


# -- options


def test_options_are_checked() -> None:
    runtime = Stepper(make_environment(Clock()))
    with pytest.raises(OptionError, match="max_parked"):
        Server(runtime, max_parked=0)
    with pytest.raises(OptionError, match="ping_interval"):
        Server(runtime, engine_config=EngineConfig(ping_interval=0))
    with pytest.raises(OptionError, match="max_acks"):
        Server(runtime, config=SocketConfig(max_acks=-1))
    with pytest.raises(LocalProtocolError, match="callable"):
        Server(runtime, fallback=7)  # type: ignore[arg-type]


def test_another_json_codec() -> None:
    def dumps(value: Any) -> str:
        return json.dumps(value, separators=(",", ":")).upper() if value != {"sid": "x"} else "{}"

    heard: list[Any] = []
    driver = drive_app(hooks={"loads": lambda text: json.loads(text.lower())})
    driver.core.on("hello", lambda socket, text: heard.append(text))
    client, _ = driver.join()
    client.send('42["HELLO","WORLD"]')
    assert heard == ["world"]
    loud = drive_app(hooks={"dumps": dumps})
    client = loud.client("websocket")
    client.send("40")
    client.take()
    loud.core.emit("hello")
    loud.settle()
    assert client.take() == ['42["HELLO"]']
