"""What applications say to each other: events, acknowledgements, rooms, namespaces, and their order."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, Disconnected
from tests.bindings.live import LATE
from tests.bindings.scene import OVER, eventually, gathered

if TYPE_CHECKING:
    from sioproto import Socket, app
    from tests.bindings.flavours import Flavour
    from tests.bindings.scene import Scene

over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
feature = pytest.mark.feature

VALUES = ("text ä€😀", 1, None, {"list": [b"\x00\xff", {"deep": b""}]})
FLOOD = 10_000


def echo(io: app.Server) -> None:
    """Answers and sends back."""

    @io.on("echo")
    def back(socket: Socket, *args: Any) -> tuple[Any, ...]:
        socket.emit("echoed", *args)
        return args


@feature("events with text and binary")
@feature("acknowledgements")
@pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
def test_events_and_acknowledgements(
    scene: Scene, server_runtime: Flavour, client_runtime: Flavour, transports: tuple[str, ...]
) -> None:
    server = scene.server(server_runtime, echo)
    echoed = scene.log("echoed")
    client = scene.client(
        client_runtime, server.url, lambda io: io.on("echoed", lambda *args: echoed.append(args)), transports=transports
    )
    assert client.ask("echo", *VALUES) == VALUES
    assert client.ask("echo", b"alone") == b"alone"
    assert client.ask("echo") is None
    client.upgraded()
    assert client.ask("echo", [b"a"] * 10) == [b"a"] * 10
    eventually(lambda: len(echoed) == 4)
    assert echoed == [VALUES, (b"alone",), (), ([b"a"] * 10,)]
    assert [socket.id for socket in server.sockets] == [client.hosted.id]
    large = "x" * 600_000
    assert client.ask("echo", large) == large


@feature("acknowledgements")
@over_each
def test_the_server_asks_and_is_answered(scene: Scene, runtime: Flavour, transports: tuple[str, ...]) -> None:
    server = scene.server(runtime, lambda io: io.on("known by", lambda socket, who: f"yes, {who}"))

    def handlers(io: app.Client) -> None:
        @io.on("question")
        def answer(*args: Any) -> list[Any]:
            return [*args]

        @io.on("late question")
        async def answer_late() -> bytes:
            await io.sleep(0.02)
            return b"late"

        @io.on("counter-question")
        async def counter() -> Any:
            return await io.emit_with_ack("known by", "the server")

        @io.on("never answered")
        def never(*, ack: object) -> None:
            pass

    client = scene.client(runtime, server.url, handlers, transports=transports)
    (socket,) = server.sockets
    assert server.call(socket.emit_with_ack, "question", 1, b"two") == [1, b"two"]
    assert server.call(socket.emit_with_ack, "late question") == b"late"
    assert server.call(socket.emit_with_ack, "counter-question") == "yes, the server"
    assert server.call(server.io.timeout(LATE).emit_with_ack, "question", "all").answers == {socket.id: ["all"]}
    with pytest.raises(AckTimeout):
        server.call(socket.timeout(0.05).emit_with_ack, "never answered")
    pending = server.call(lambda: [socket.emit_with_ack("never answered")])[0]
    client.call(client.hosted.disconnect)
    eventually(lambda: pending.done)
    with pytest.raises(Disconnected):
        pending.result()


@feature("acknowledgements")
def test_an_answer_that_does_not_come(scene: Scene, runtime: Flavour) -> None:
    def handlers(io: app.Server) -> None:
        @io.on("never answered")
        def never(socket: Socket, *, ack: object) -> None:
            pass

    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url)
    with pytest.raises(AckTimeout):
        client.call(client.hosted.timeout(0.05).emit_with_ack, "never answered")
    pending = client.call(lambda: [client.hosted.emit_with_ack("never answered")])[0]
    server.call(lambda: server.io.disconnect_sockets())
    eventually(lambda: pending.done)
    with pytest.raises(Disconnected):
        pending.result()


@feature("rooms and broadcasts")
def test_rooms_and_broadcasts(scene: Scene, runtime: Flavour) -> None:
    def handlers(io: app.Server) -> None:
        @io.on("join")
        def join(socket: Socket, room: str) -> None:
            socket.join(room)

        @io.on("tell")
        def tell(socket: Socket, room: str, *args: Any) -> None:
            socket.to(room).emit("told", *args)

        @io.on("ask everybody")
        async def ask(socket: Socket) -> list[Any]:
            return sorted((await io.timeout(LATE).emit_with_ack("name")).answers.values())

    server = scene.server(runtime, handlers)
    clients = {}
    for name, transports in OVER.items():

        def listen(io: Any, name: str = name) -> None:
            io.on("told", lambda *args: scene.log(name).append(args))
            io.on("name", lambda: name)

        clients[name] = scene.client(runtime, server.url, listen, transports=transports)
    for name in ("polling", "websocket"):
        clients[name].ask("join", "room")
    clients["upgrade"].emit("tell", "room", 1, b"one")
    clients["websocket"].emit("tell", "room", 2)
    assert clients["websocket"].ask("ask everybody") == ["polling", "upgrade", "websocket"]
    server.call(lambda: server.io.to("room").except_(clients["polling"].hosted.id).emit("told", 3))
    server.emit("told", 4)
    told = {name: scene.log(name) for name in OVER}
    eventually(lambda: all((4,) in rows for rows in told.values()))
    assert told["upgrade"] == [(4,)]
    assert sorted(told["polling"]) == [(1, b"one"), (2,), (4,)]
    assert sorted(told["websocket"]) == [(1, b"one"), (3,), (4,)]


@feature("namespaces on one connection")
@over_each
def test_namespaces_share_a_connection(scene: Scene, runtime: Flavour, transports: tuple[str, ...]) -> None:
    gone = scene.log("gone")

    def handlers(io: app.Server) -> None:
        for name in ("/", "/a", "/b"):
            namespace = io.of(name)
            namespace.on("where", lambda socket: socket.namespace.name)
            namespace.on("disconnect", lambda socket, reason: gone.append((socket.namespace.name, reason)))

    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url + "/a", transports=transports)
    other, root = client.call(lambda: (client.hosted.of("/b"), client.hosted.of("/")))
    for socket in (other, root):
        client.call(socket.connect)
    assert server.sessions == 1
    assert len({client.hosted.id, other.id, root.id}) == 3
    where = [client.call(socket.emit_with_ack, "where") for socket in (client.hosted.socket, other, root)]
    assert where == ["/a", "/b", "/"]
    client.call(other.disconnect)
    eventually(lambda: gone)
    assert gone == [("/b", "client namespace disconnect")]
    client.call(other.connect)
    assert client.call(other.emit_with_ack, "where") == "/b"


@feature("catch-all handlers")
def test_catch_all(scene: Scene, runtime: Flavour) -> None:
    def observe(name: str, io: Any) -> None:
        io.on_any(lambda *args: scene.log(name).append(args[-2:]))

    server = scene.server(runtime, lambda io: observe("server", io))
    client = scene.client(runtime, server.url, lambda io: observe("client", io))
    sent = scene.log("sent")
    client.call(client.hosted.socket.on_any_outgoing, lambda *args: sent.append(args))
    client.emit("up", 1)
    server.emit("down", 2)
    eventually(lambda: scene.log("server") and scene.log("client"))
    assert (scene.log("server"), scene.log("client"), sent) == ([("up", 1)], [("down", 2)], [("up", 1)])


@feature("order under flood")
@over_each
def test_a_flood_in_both_directions(scene: Scene, runtime: Flavour, transports: tuple[str, ...]) -> None:
    up, down = scene.log("up"), scene.log("down")

    def send(io: Any) -> None:
        async def flood() -> None:
            for number in range(FLOOD):
                io.emit("number", number)
                if number % 500 == 0:
                    await io.sleep(0)

        io.spawn(flood)

    server = scene.server(runtime, lambda io: io.on("number", lambda socket, number: up.append(number)))
    client = scene.client(
        runtime, server.url, lambda io: io.on("number", lambda number: down.append(number)), transports=transports
    )
    for guest in (server, client):
        guest.call(send, guest.hosted)
    eventually(lambda: len(up) == len(down) == FLOOD, 3 * LATE)
    assert up == down == list(range(FLOOD))


@feature("volatile events")
def test_volatile_events_reach_those_who_listen_only(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime, lambda io: io.on("up", lambda socket, number: scene.log("up").append(number)))
    down = scene.log("down")
    client = scene.make_client(runtime, server.url, transports=("websocket",))
    client.hosted.on("down", lambda number: down.append(number))
    client.start()
    client.call(lambda: client.hosted.volatile.emit("up", 1))
    server.call(lambda: server.io.volatile.emit("down", 1))
    eventually(lambda: scene.log("up") and down)
    client.call(client.hosted.disconnect)
    # Nothing of this waits for the connection to come back, unlike what is not volatile.
    client.call(lambda: client.hosted.volatile.emit("up", 2))
    client.emit("up", 3)
    client.call(client.hosted.connect)
    eventually(lambda: len(scene.log("up")) == 2)
    assert (scene.log("up"), down) == ([1, 3], [1])


@feature("errors of handlers")
def test_a_handler_that_raises_disturbs_nobody(scene: Scene, runtime: Flavour) -> None:
    def plain(*_: Any) -> None:
        raise ZeroDivisionError("plain")

    def handlers(io: Any) -> None:
        async def waiting(*_: Any) -> None:
            await io.sleep(0)
            raise ZeroDivisionError("waiting")

        io.on("plain", plain)
        io.on("waiting", waiting)
        io.on("next", lambda *_: "fine")

    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url, handlers)
    (socket,) = server.sockets
    for guest, target in ((client, client.hosted), (server, socket)):
        for name in ("plain", "waiting"):
            guest.call(target.emit, name)
        assert guest.call(target.emit_with_ack, "next") == "fine"
        told = sorted((str(error), where) for error, where in scene.errors)
        assert told == [("plain", "event 'plain' in /"), ("waiting", "event 'waiting' in /")]
        scene.errors.clear()


@feature("def and async def handlers")
def test_handlers_of_one_client_wait_for_each_other_and_those_of_others_do_not(scene: Scene, runtime: Flavour) -> None:
    together = threading.Event()
    steps = scene.log("steps")

    def handlers(io: app.Server) -> None:
        @io.on("step")
        async def step(socket: Socket, number: int) -> None:
            steps.append((socket.id, number))
            while not together.is_set():
                await io.sleep(0.005)
            steps.append((socket.id, -number))

        @io.on("step")
        def also(socket: Socket, number: int) -> None:
            scene.log("also").append(number)

    server = scene.server(runtime, handlers)
    clients = [scene.client(runtime, server.url) for _ in range(3)]
    for client in clients:
        for number in (1, 2, 3):
            client.emit("step", number)
    # Nobody gets further before all three clients have a handler there.
    eventually(lambda: len(steps) == 3)
    together.set()
    eventually(lambda: len(steps) == 18 and len(scene.log("also")) == 9)
    for client in clients:
        assert [number for sid, number in steps if sid == client.hosted.id] == [1, -1, 2, -2, 3, -3]


@feature("spawn and sleep")
def test_spawned_loops_run_beside_everything_and_do_not_hold_up_the_end(scene: Scene, runtime: Flavour) -> None:
    def spawn(io: Any, name: str) -> None:
        async def tick() -> None:
            while True:
                scene.log(name).append(len(scene.log(name)))
                await io.sleep(0.005)

        def fail() -> None:
            raise ZeroDivisionError(name)

        io.spawn(tick)
        io.spawn(fail)

    scene.sleeping = True
    server = scene.server(runtime)
    client = scene.client(runtime, server.url)
    for name, guest in (("client", client), ("server", server)):
        guest.call(spawn, guest.hosted, name)
        gathered(scene.log(name), 4)
        error, where = scene.take_error()
        assert (str(error), "spawned" in where, "fail" in where) == (name, True, True)
        # With a grace that nobody would wait for.
        guest.stop(20 * LATE)
