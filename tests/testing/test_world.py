"""The world as a test meets it: time, servers and clients, what fails, and the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import sioproto_wire
from sioproto import (
    AckTimeout,
    ConnectError,
    Disconnected,
    LocalProtocolError,
    MissingArguments,
    OptionError,
    Pending,
)
from sioproto.config import Recovery
from sioproto.testing import HandlerFailed, InvariantBroken, NeverDone, NeverQuiet, World, WorldFailure
from tests.testing.application import AUTH, register

if TYPE_CHECKING:
    from sioproto import Socket
    from sioproto.testing import Server

# -- a test in a dozen lines


def test_connect_talk_lose_the_link_and_come_back(world: World) -> None:
    io = world.server(register)
    alice = world.client(auth=AUTH, name="alice")
    bob = world.client(auth=AUTH, name="bob")
    world.advance(1)
    assert world.result(alice.emit_with_ack("say", "hi")) == "ok"
    assert (alice.take(), bob.take()) == ([], [("said", "hi")])
    alice.network.stall()
    world.advance(45)
    assert alice.disconnect_reason == "ping timeout"
    alice.network.flow()
    world.advance(5)
    assert alice.connected
    assert set(io.sockets.sockets) == {alice.id, bob.id}


def test_a_lost_link_is_recovered(world: World) -> None:
    io = world.server(register, recovery=Recovery())
    alice = world.client(auth=AUTH, name="alice")
    world.advance(1)
    before = alice.id
    io.to("lobby").emit("said", 1)
    world.settle()
    alice.network.stall()
    world.advance(45)
    io.to("lobby").emit("said", 2)
    alice.network.flow()
    world.advance(10)
    assert alice.recovered
    assert alice.id == before
    assert [args[1] for args in alice.received] == [1, 2]


def test_auth_is_refused(world: World) -> None:
    world.server(register)
    eve = world.client(auth={"token": "?"})
    world.advance(1)
    assert not eve.connected
    assert isinstance(eve.connect_error, ConnectError)
    assert (eve.connect_error.message, eve.connect_error.data) == ("unknown token", {"code": "token"})


def test_an_acknowledgement_times_out(world: World) -> None:
    world.server(register)
    alice = world.client(auth=AUTH)
    world.advance(1)

    @alice.on("question")
    async def question(text: str) -> None:
        await alice.sleep(100)

    # The handler of the server gives up after 5 seconds and answers nothing; that is the client's doing.
    with pytest.raises(AckTimeout):
        world.result(alice.timeout(10).emit_with_ack("ask", "why?"))
    assert world.now == pytest.approx(11)


def test_a_slow_reader_is_cut_off(world: World) -> None:
    io = world.server(register)
    alice = world.client(auth=AUTH, transports=("websocket",))
    bob = world.client(auth=AUTH, transports=("websocket",))
    world.advance(1)
    reasons: list[tuple[str, str | None]] = []
    io.sockets.sockets[str(alice.id)].on("disconnect", lambda *why: reasons.append(why))
    alice.network.stall("down")
    for _ in range(80):
        io.emit("news", "x" * 64 * 1024)
        world.settle()
    assert reasons == [("transport error", "slow consumer")]
    assert len(bob.take()) == 80


# -- time


def test_settle_lets_no_time_pass(world: World) -> None:
    world.server()
    world.client()
    world.settle()
    assert world.now == world.clock.now == 0.0


def test_time_passes_from_deadline_to_deadline() -> None:
    world = World()
    seen: list[float] = []
    for seconds in (3.0, 1.0, 2.0):
        world.sleep(seconds).on_done(lambda _: seen.append(world.now))
    world.advance(2.5)
    assert seen == [1.0, 2.0]
    assert world.now == 2.5
    world.advance(0.5)
    assert seen == [1.0, 2.0, 3.0]


def test_sums_of_floats_do_not_miss_a_deadline() -> None:
    world = World()
    done = world.sleep(0.1 + 0.2)
    world.advance(0.3)
    assert done.done


def test_time_passes_forwards_only() -> None:
    with pytest.raises(LocalProtocolError, match="forwards"):
        World().advance(-1)


def test_a_jump_is_noticed_only_afterwards(world: World) -> None:
    io = world.server()
    alice = world.client()
    world.settle()
    seen: list[float] = []
    io.sleep(1).on_done(lambda _: seen.append(world.now))
    world.jump(50)
    assert seen == [50.0]
    assert alice.disconnect_reason == "ping timeout"
    assert "the clocks jump 50 seconds" in str(world.transcript)
    world.advance(5)
    assert alice.connected


def test_a_result_takes_the_time_that_it_needs(world: World) -> None:
    world.server(register)
    alice = world.client(auth=AUTH)
    assert world.result(alice.emit_with_ack("think", 100)) == 100
    assert world.now == pytest.approx(100.01)


def test_a_result_may_take_only_so_long() -> None:
    world = World()
    with pytest.raises(NeverDone, match="within 3 seconds"):
        world.result(world.sleep(5), within=3)
    assert world.now == 3.0
    world.result(world.sleep(5), within=5)


def test_a_result_that_cannot_come_is_not_waited_for() -> None:
    with pytest.raises(NeverDone, match="nothing is left"):
        World().result(Pending())


def test_a_test_may_block_on_what_is_pending(world: World) -> None:
    world.server(register)
    alice = world.client(auth=AUTH)
    assert alice.emit_with_ack("think", 2).wait() == 2
    with pytest.raises(TimeoutError, match="within 1 second"):
        alice.emit_with_ack("think", 2).wait(timeout=1)
    world.advance(5)
    with pytest.raises(NeverDone):
        world.sleep(7200).wait()


def test_spawned_functions_give_results() -> None:
    world = World()

    async def later(value: int) -> int:
        await world.sleep(5)
        return value

    assert world.result(world.spawn(later, 3)) == 3
    assert world.result(world.spawn(lambda: 4)) == 4
    assert world.now == 5.0


def test_what_a_spawned_function_raises_belongs_to_whoever_waits() -> None:
    world = World()

    async def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        world.result(world.spawn(fail))
    world.spawn(fail)
    with pytest.raises(HandlerFailed, match="KeyError"):
        world.settle()


# -- servers and clients


def test_the_application_is_put_on_the_server(wire: Any) -> None:
    world = World(wire=wire)

    async def slowly(io: Server) -> None:
        await io.sleep(1)
        io.of("/later")

    assert "/later" in world.server(slowly).socket_server.namespaces


def test_an_application_that_makes_its_server_itself(world: World) -> None:
    class Application:
        def __init__(self, server_class: Any) -> None:
            self.io = server_class(ping_interval=5.0)

    application = Application(world.Server)
    client = world.client(server=application.io)
    world.settle()
    assert client.connected
    assert client.engine is not None
    assert client.engine.ping_interval == 5.0


def test_options_go_by_name(world: World) -> None:
    io = world.server(max_payload=5000, connect_timeout=3.0, max_parked=7)
    assert io.engine_config.max_payload == 5000
    assert io.socket_server.config.connect_timeout == 3.0
    alice = world.client(transports=("websocket",), reconnection_delay=0.5)
    assert alice.engine_config.transports == ("websocket",)
    assert alice.socket_client.config.reconnection_delay == 0.5
    with pytest.raises(OptionError, match="max_payload"):
        world.server(max_paylod=1)
    with pytest.raises(OptionError, match="reconnection_delay"):
        world.client(reconnection_dely=1)
    with pytest.raises(OptionError, match="grace"):
        world.server(grace=-1)


def test_options_of_the_wire_need_a_wire() -> None:
    World(wire=sioproto_wire).server(max_head=4096)
    with pytest.raises(OptionError, match="max_head"):
        World().server(max_head=4096)
    with_wire = World(wire=sioproto_wire)
    with_wire.server()
    assert with_wire.client(dial_timeout=2.0).wire_config.dial_timeout == 2.0


def test_hooks_are_options_too(world: World) -> None:
    errors: list[str] = []
    io = world.server(register, on_error=lambda error, where: errors.append(f"{where}: {error}"))
    alice = world.client(auth=AUTH)
    alice.emit("fail")
    world.advance(1)
    assert errors == ["event 'fail' in /: on purpose"]
    assert io.failures == []


def test_several_servers(world: World) -> None:
    with pytest.raises(LocalProtocolError, match="no server"):
        world.client()
    one, two = world.server(), world.server()
    assert (one.name, two.name) == ("io", "io-2")
    with pytest.raises(LocalProtocolError, match="several servers"):
        world.client()
    with pytest.raises(LocalProtocolError, match="no server of this world"):
        world.client(server=World().server())
    world.client(server=two)
    world.settle()
    assert (one.engine.clients_count, two.engine.clients_count) == (0, 1)


def test_a_client_finds_another_server_when_its_own_is_gone(world: World) -> None:
    old, new = world.server(), world.server()
    alice = world.client(server=old)
    world.settle()
    world.result(old.close())
    world.advance(20)
    assert not alice.connected
    assert "connection refused" in str(world.transcript)
    alice.network.lead(new)
    world.advance(10)
    assert alice.connected
    assert new.engine.clients_count == 1


def test_names(world: World) -> None:
    world.server(name="chat")
    assert [world.client().name, world.client(name="bob").name, world.client().name] == ["client-1", "bob", "client-2"]
    with pytest.raises(LocalProtocolError, match="'bob'"):
        world.client(name="bob")
    assert repr(world).startswith("<World seed 7")
    assert repr(world.servers[0]) == "<Server chat, 0 sessions>"
    assert repr(world.clients[1]) == "<Client bob, not connected>"
    assert repr(world.clients[1].network) == "<Network of bob, 0 connections>"


def test_a_client_connects_when_it_is_told_to(world: World) -> None:
    world.server()
    alice = world.client(connect=False)
    world.advance(5)
    assert not alice.active
    world.result(alice.connect())
    assert alice.connected


def test_namespaces_of_a_client(world: World) -> None:
    io = world.server()
    io.of("/chat")
    admin = io.of("/admin")
    alice = world.client("/chat?colour=red", name="alice")
    socket = alice.of("/admin")
    socket.connect()
    world.settle()
    admin.emit("to admins", 1)
    io.of("/chat").emit("to all", 2)
    world.settle()
    assert socket.received == [("to admins", 1)]
    assert socket.take() == [("to admins", 1)]
    assert socket.take() == []
    assert alice.take() == [("to all", 2)]
    assert next(iter(io.engine.sessions.values())).request.query["colour"] == "red"


def test_what_came_is_kept_unless_that_is_not_wanted(world: World) -> None:
    io = world.server()
    alice, bob = world.client(), world.client(record=False)
    got: list[int] = []
    bob.on("n", got.append)
    world.settle()
    for number in range(3):
        io.emit("n", number)
    world.settle()
    assert alice.received == [("n", 0), ("n", 1), ("n", 2)]
    assert bob.received == []
    assert got == [0, 1, 2]


def test_many_clients_do_not_share_what_can_be_changed(world: World) -> None:
    io = world.server()
    clients = [world.client() for _ in range(3)]
    world.settle()
    for args in ([1, "two", None, 3.5, True], [{"a": [1]}], [[1, 2]], [b"\x00\x01"]):
        io.emit("data", *args)
        world.settle()
        taken = [client.take()[0] for client in clients]
        assert taken == [("data", *args)] * 3
        mutable = [value for value in taken[0] if isinstance(value, dict | list)]
        assert all(value is not other for value in mutable for each in taken[1:] for other in each)


# -- what fails a test


def test_a_handler_that_raises_fails_the_test(world: World) -> None:
    io = world.server(register)
    alice = world.client(auth=AUTH, name="alice")
    alice.emit("fail")
    with pytest.raises(HandlerFailed, match="io, event 'fail' in /: ValueError: on purpose") as caught:
        world.advance(1)
    assert isinstance(caught.value, WorldFailure)
    assert isinstance(caught.value, AssertionError)
    assert isinstance(caught.value.__cause__, ValueError)
    assert "seed 7" in caught.value.__notes__[0]
    assert "alice > " in caught.value.__notes__[0]
    assert [str(error) for error, _ in io.failures] == ["on purpose"]
    world.advance(1)  # said once


def test_so_does_a_handler_of_a_client(world: World) -> None:
    io = world.server()
    alice = world.client(name="alice")

    @alice.on("news")
    async def news() -> None:
        raise LookupError("nothing")

    world.settle()
    io.emit("news")
    with pytest.raises(HandlerFailed, match="alice, event 'news' in /: LookupError: nothing"):
        world.settle()
    assert [where for _, where in alice.failures] == ["event 'news' in /"]


def test_failures_of_handlers_may_be_looked_at_instead(wire: Any) -> None:
    world = World(wire=wire, strict=False)
    io = world.server(register)
    alice = world.client(auth=AUTH)
    alice.emit("fail")
    world.advance(1)
    assert [where for _, where in io.failures] == ["event 'fail' in /"]
    world.close()


def test_an_event_with_too_few_arguments_is_a_failure(world: World) -> None:
    io = world.server()

    @io.on("message")
    def message(socket: Socket, one: int, two: int) -> None:
        raise AssertionError("never called")

    alice = world.client(name="alice")
    alice.emit("message", 1)
    with pytest.raises(HandlerFailed, match="io, event 'message' in /: MissingArguments: message takes 3 arguments"):
        world.settle()

    @alice.on("news")
    def news(socket: Socket, text: str) -> None:
        raise AssertionError("never called")

    io.emit("news", "today")
    with pytest.raises(HandlerFailed, match=r"alice, .*news takes 2 arguments, and 1 came; a client's handlers get no"):
        world.settle()


def test_too_few_arguments_may_be_taken_by_on_error() -> None:
    errors: list[BaseException] = []
    world = World()
    io = world.server(on_error=lambda error, where: errors.append(error))
    io.on("message", lambda socket, one: one)
    world.client().emit("message")
    world.settle()
    assert [type(error) for error in errors] == [MissingArguments]


def test_what_the_client_did_is_no_failure(world: World) -> None:
    io = world.server()

    @io.on("late")
    async def late(socket: Socket) -> None:
        await socket.timeout(1).emit_with_ack("question")

    @io.on("gone")
    async def gone(socket: Socket) -> None:
        await socket.timeout(60).emit_with_ack("question")

    alice = world.client()
    alice.emit("late")
    world.advance(2)
    alice.emit("gone")
    world.settle()
    alice.disconnect()
    world.advance(10)
    assert [type(error) for error, _ in io.failures] == [AckTimeout, Disconnected]


def test_a_livelock_is_found(wire: Any) -> None:
    world = World(wire=wire, budget=5000)
    io = world.server()
    io.on("ping-pong", lambda socket: socket.emit("ping-pong"))
    alice = world.client()
    alice.on("ping-pong", lambda: alice.emit("ping-pong"))
    alice.emit("ping-pong")
    with pytest.raises(NeverQuiet, match="5000 steps"):
        world.settle()


def test_deadlines_without_end_are_found() -> None:
    world = World(budget=1000)

    async def hurry() -> None:
        while True:
            await world.sleep(1e-6)

    world.spawn(hurry)
    with pytest.raises(NeverQuiet, match="1000 deadlines"):
        world.advance(1)
    with pytest.raises(NeverQuiet, match="1000 deadlines"):
        world.result(Pending())


def test_a_handler_cannot_let_time_pass(world: World) -> None:
    io = world.server()
    refused: list[str] = []

    @io.on("message")
    def message(socket: Socket) -> None:
        for attempt in (world.settle, lambda: world.advance(1), lambda: world.sleep(1).wait(), world.close):
            with pytest.raises(LocalProtocolError) as caught:
                attempt()
            refused.append(str(caught.value))

    alice = world.client()
    alice.emit("message")
    world.settle()
    assert len(refused) == 4
    assert all("handler" in text for text in refused)


# -- the end


def test_closing_ends_everything(wire: Any) -> None:
    world = World(wire=wire)
    io = world.server(register)
    reasons: list[str] = []
    io.on("disconnect", lambda socket, reason: reasons.append(reason))
    clients = [world.client(auth=AUTH, transports=(name,)) for name in ("polling", "websocket")]
    lost = world.client(auth=AUTH)
    world.advance(1)
    lost.network.stall()

    async def loop_for_ever() -> None:
        while True:
            await io.sleep(1)

    io.spawn(loop_for_ever)
    busy = world.client(auth=AUTH)
    busy.emit_with_ack("think", 1000)
    world.close()
    assert len(reasons) == 3  # the handler that was in the way of the fourth was cut off
    assert not io.engine.sessions
    assert not any(client.connected for client in [*clients, lost])
    world.close()


def test_a_world_closes_behind_a_test_that_went_well() -> None:
    with World() as world:
        world.server()
        world.client()
    assert not world.servers[0].engine.accepting
    failed = World()
    io = failed.server()
    with pytest.raises(KeyError), failed:
        raise KeyError
    assert io.engine.accepting


def test_what_is_left_behind_is_found() -> None:
    world = World()
    io = world.server()
    io.timers.after(5, lambda: None)
    with pytest.raises(InvariantBroken, match="1 timers 'odd durations'") as caught:
        world.close()
    assert caught.value.number == 12


def test_closing_a_client_delivers_first(world: World) -> None:
    io = world.server()
    got: list[int] = []
    io.on("n", lambda socket, number: got.append(number))
    alice = world.client()
    world.settle()
    for number in range(5):
        alice.emit("n", number)
    world.result(alice.close())
    assert got == list(range(5))
    assert io.engine.clients_count == 0
