"""What a world says to somebody who is new to it: about misspelt events, wrong arguments and forgotten errors."""

from __future__ import annotations

import asyncio
import json
import traceback
from typing import TYPE_CHECKING, Any

import pytest

import sioproto_wire
from sioproto import AckTimeout, LocalProtocolError, OptionError
from sioproto.config import EngineClientConfig
from sioproto.testing import HandlerFailed, NeverDone, Proxy, World, WorldFailure
from sioproto.testing.swarm.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto import Socket
    from sioproto.testing import Client, Server


def pair(world: World, **options: Any) -> tuple[Server, Client]:
    """Returns a server and a client called ada that is connected to it."""
    io = world.server()
    ada = world.client(name="ada", **options)
    world.settle()
    return io, ada


# -- the transcript


def test_an_event_that_nobody_handles_is_noted(world: World) -> None:
    io, ada = pair(world)
    io.on("say", lambda socket: "said")
    ada.emit("say")
    ada.emit("sya")
    world.settle()
    assert str(world.transcript).count("nobody handles") == 1
    assert "io: nobody handles 'sya' in /" in str(world.transcript)
    with pytest.raises(NeverDone) as caught:
        world.result(ada.emit_with_ack("yas"), within=5)
    assert "nobody handles 'yas'" in caught.value.__notes__[0]


def test_whoever_handles_an_event_in_whatever_way_handles_it(world: World) -> None:
    io, ada = pair(world)
    socket = io.sockets.sockets[str(ada.id)]
    socket.on("one", lambda: None)
    ada.emit("one")
    world.settle()

    @io.on("begin")
    async def begin(socket: Socket) -> None:
        await io.sleep(1)
        socket.on("two", lambda: None)

    ada.emit("begin")
    ada.emit("two")
    ada.emit("three")
    world.advance(2)
    io.on_any(lambda socket, event: None)
    ada.emit("four")
    world.settle()
    notes = [line for line in str(world.transcript).splitlines() if "nobody handles" in line]
    assert [line.split("handles ")[1] for line in notes] == ["'three' in /"]


def test_a_dynamic_namespace_handles_for_its_children(world: World) -> None:
    io = world.server()
    io.of(lambda name, auth: True).on("say", lambda socket: None)
    ada = world.client("/room-1")
    ada.emit("say")
    ada.emit("sya")
    world.settle()
    assert str(world.transcript).count("nobody handles") == 1


def test_a_question_that_a_client_does_not_answer_is_noted(world: World) -> None:
    io, ada = pair(world)
    io.emit("news")
    world.settle()
    assert "nobody handles" not in str(world.transcript)
    io.timeout(1).emit_with_ack("qestion")
    ada.on("question", lambda: "yes")
    io.timeout(1).emit_with_ack("qestion")
    io.timeout(1).emit_with_ack("question")
    world.settle()
    assert str(world.transcript).count("ada: nobody handles 'qestion' in /") == 2
    world.advance(2)


def test_heartbeats_are_left_out_of_a_tail(world: World) -> None:
    io, _ = pair(world)
    world.advance(250)
    io.emit("news", 1)
    world.settle()
    tail = world.transcript.tail(2).splitlines()
    assert tail[0] == "(20 pings, pongs and noops are left out)"
    assert "connected to /" in tail[1]
    assert tail[2].endswith('ada < 42["news",1]')
    assert str(world.transcript).count("ada < 2\n") == 10


def test_an_answer_that_came_too_late_shows_the_transcript(world: World) -> None:
    _, ada = pair(world)
    answer = ada.timeout(1).emit_with_ack("sya")
    for _ in range(2):
        with pytest.raises(AckTimeout) as caught:
            world.result(answer)
    assert len(caught.value.__notes__) == 1
    assert "nobody handles 'sya'" in caught.value.__notes__[0]


def test_what_is_done_to_a_network_is_noted(world: World) -> None:
    io, ada = pair(world, transports=("polling",))
    io.on("n", lambda socket: None)
    ada.network.latency = 0.1
    ada.network.delay_next("POST", 3)
    ada.emit("n")
    world.advance(10)
    ada.network.proxy = Proxy(timeout=30)
    ada.network.proxy = None
    ada.network.latency = 0
    ada.network.duplicate_next("POST")
    ada.emit("n")
    world.advance(10)
    text = str(world.transcript)
    for line in ("ada: latency 0.1\n", "ada: the POST is late by 3 s\n", "ada: the POST arrives twice\n"):
        assert line in text
    assert "ada: on the way: Proxy(timeout=30, " in text
    assert "ada: on the way: no proxy" in text


def test_what_passes_through_a_world_shows_the_transcript() -> None:
    def fail(world: World) -> None:
        with world:
            pair(world)
            raise KeyError

    def fail_in_a_handler(world: World) -> None:
        with world:
            io, ada = pair(world)
            io.on("fail", lambda socket: 1 / 0)
            ada.emit("fail")
            world.settle()

    with pytest.raises(KeyError) as caught:
        fail(World())
    assert "ada > 40" in caught.value.__notes__[0]
    with pytest.raises(HandlerFailed) as failed:
        fail_in_a_handler(World())
    assert len(failed.value.__notes__) == 1


# -- what spawned functions raise


async def fail_later(io: Server) -> None:
    await io.sleep(5)
    raise KeyError("lost")


def test_an_error_that_nobody_looked_at_fails_the_end() -> None:
    world = World()
    io = world.server()
    pending = world.spawn(fail_later, io)
    pending.on_done(lambda _: None)
    world.advance(10)
    with pytest.raises(HandlerFailed, match="world, spawned fail_later: KeyError: 'lost'"):
        world.close()
    world.close()


def test_an_error_that_somebody_looked_at_does_not() -> None:
    with World() as world:
        io = world.server()
        pending = world.spawn(fail_later, io)
        with pytest.raises(KeyError):
            world.result(pending)


def test_giving_up_is_not_looking() -> None:
    world = World()
    pending = world.spawn(fail_later, world.server())
    with pytest.raises(NeverDone):
        world.result(pending, within=1)
    with pytest.raises(HandlerFailed, match="KeyError"):
        world.advance(10)
    world.close()


# -- what is handed in


def set_on(name: str, value: Any) -> Callable[[Client], object]:
    return lambda client: setattr(client.network, name, value)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (set_on("latency", "50ms"), "a latency is a number of seconds of at least 0, not '50ms'"),
        (set_on("latency", True), "a latency"),
        (set_on("latency", float("nan")), "a latency"),
        (set_on("latency", float("inf")), "a latency"),
        (set_on("chunking", 1.5), "chunking is a number of bytes above 0"),
        (set_on("chunking", "some"), "chunking"),
        (set_on("proxy", True), r"a proxy is a Proxy\(\.\.\.\) or None, not True"),
        (lambda client: client.network.stall("donw"), "a direction is 'up' or 'down', not 'donw'"),
        (lambda client: client.network.flow("donw"), "a direction"),
        (lambda client: client.network.cut_after(seconds=-1), "the time until a cut is a number of seconds"),
        (lambda client: client.network.cut_after(seconds="1"), "the time until a cut"),
        (lambda client: client.network.cut_after(bytes=-1), "a whole number of bytes of at least 0, not -1"),
        (lambda client: client.network.cut_after(bytes=1.5), "a whole number of bytes"),
        (
            lambda client: client.network.duplicate_next("post"),
            "the method of a request is 'GET' or 'POST', not 'post'",
        ),
        (lambda client: client.network.delay_next("PUT", 1), "the method of a request"),
        (lambda client: client.network.delay_next("GET", -1), "a delay is a number of seconds"),
        (lambda _: Proxy(timeout=0), "a proxy's timeout is a number of seconds above 0 or None, not 0"),
        (lambda _: Proxy(timeout="1"), "a proxy's timeout"),  # type: ignore[arg-type]  # that is what is tried
        (lambda _: Proxy(buffers=1), "buffers of a proxy is True or False, not 1"),  # type: ignore[arg-type]  # likewise
        (lambda client: client._world.jump(-5), "clocks jump forwards, not -5 seconds"),
        (lambda client: client._world.advance("1"), "time passes forwards, not '1' seconds"),
        (lambda client: client._world.sleep("1"), "a sleep is a number of seconds, not '1'"),
        (lambda client: client._world.result(None), "a result is that of a Pending, such as .*, not of None"),
        (lambda client: client._world.result(client.emit_with_ack("x"), within=-1), "what a result is waited for"),
        (lambda client: client._world.server(5), r"register is a function that gets the server, .*, not 5"),
        (lambda client: client._world.server(lambda io, x: 0), "register gets the server .* needs 2 arguments"),
        (lambda client: client._world.server(lambda: 0), "register gets the server .* takes none"),
        (lambda client: client._world.client({"token": 1}), r"a str, .*world.client\(auth={'token': 1}\)"),
        (lambda client: client._world.client(5), "a client's namespace is a str, not 5$"),
        (lambda client: client._world.client(server="io"), r"what world.server\(\) returned, not a name such as 'io'"),
        (lambda client: client._world.client(server=[]), "no server of this world"),
        (lambda client: client._world.spawn(5), "what is spawned is a function, not 5"),
        (lambda _: World(wire=True), r"a wire is the package sioproto_wire, or one like it, not True"),  # type: ignore[arg-type]  # likewise
        (lambda _: World(wire=json), "a wire is"),  # type: ignore[arg-type]  # likewise
        (lambda _: World(seed="a"), "a seed is a whole number, not 'a'"),  # type: ignore[arg-type]  # likewise
        (lambda _: World(strict=1), "strict is True or False"),  # type: ignore[arg-type]  # likewise
        (lambda _: World(budget=0), "the budget is a whole number of steps of at least 1"),
        (lambda _: World(transcript=-1), "the transcript is a whole number of entries of at least 0"),
    ],
)
def test_what_cannot_be_is_refused_at_the_call(wrong: Callable[[Any], object], text: str) -> None:
    world = World()
    _, ada = pair(world)
    with pytest.raises(LocalProtocolError, match=text):
        wrong(ada)
    world.settle()


def test_a_misspelt_attribute_of_a_network_is_refused(world: World) -> None:
    _, ada = pair(world)
    with pytest.raises(AttributeError, match="latencey"):
        ada.network.latencey = 1  # type: ignore[attr-defined]  # that is what is tried


@pytest.mark.filterwarnings("error")
def test_coroutines_are_not_what_is_handed_in() -> None:
    world = World()

    async def wait() -> None:
        await world.sleep(1)

    with pytest.raises(LocalProtocolError, match=r"world.result\(world.spawn\(function\)\)"):
        world.result(wait())  # type: ignore[arg-type]  # that is what is tried
    with pytest.raises(LocalProtocolError, match=r"world.spawn\(wait\), without the call"):
        world.spawn(wait())  # type: ignore[arg-type]  # that is what is tried


def test_an_order_that_was_never_met_fails_the_end(wire: Any) -> None:
    world = World(wire=wire)
    _, ada = pair(world)
    ada.network.duplicate_next("POST")
    ada.network.delay_next("GET", 3)
    with pytest.raises(WorldFailure, match="a POST of ada to arrive twice, a GET of ada to be late by 3 s"):
        world.close()


@pytest.mark.parametrize("options", [{"query": "a=b"}, {"extra_headers": [("a", "b")]}, {"transport_headers": "x"}])
def test_tables_of_a_client_are_tables(options: Any) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(options))} must be a dict, not "):
        EngineClientConfig(**options)


def test_an_option_of_somebody_else_is_named_as_that() -> None:
    world = World()
    world.server()
    with pytest.raises(OptionError, match="'ping_interval' is an option of servers"):
        world.client(ping_interval=5)
    with pytest.raises(OptionError, match="'reconnection' is an option of clients"):
        world.server(reconnection=False)
    with pytest.raises(OptionError, match="'auth' is an option of clients"):
        world.server(auth={})
    with pytest.raises(OptionError, match=r"'max_head' is an option of the wire: World\(wire=sioproto_wire\)"):
        world.server(max_head=5)
    with pytest.raises(OptionError, match="'dial_timeout' is an option of the wire"):
        world.client(dial_timeout=5)
    with pytest.raises(OptionError, match="'dial_timeout' is an option of clients"):
        World(wire=sioproto_wire).server(dial_timeout=5)
    with pytest.raises(OptionError, match="there is no option 'reconection'; the nearest known one is 'reconnection'"):
        world.client(reconection=False)


# -- waiting, and the end


def test_what_belongs_to_a_world_is_not_for_an_event_loop(world: World) -> None:
    _, ada = pair(world)

    async def wait(what: str) -> None:
        await (world.sleep(1) if what == "sleep" else ada.emit_with_ack("x"))

    for what in ("sleep", "answer"):
        with pytest.raises(LocalProtocolError, match=r"has no event loop: use world.result\(pending\)"):
            asyncio.run(wait(what))


def test_what_is_pending_says_how_to_wait(world: World) -> None:
    _, ada = pair(world)
    with pytest.raises(LocalProtocolError, match=r"still pending: world.result\(pending\) lets time pass"):
        ada.emit_with_ack("x").result()
    with pytest.raises(LocalProtocolError, match="Pending cannot be sent: JSON has no such type; await it"):
        ada.emit("x", ada.emit_with_ack("y"))


def test_a_world_without_a_server_says_what_to_do() -> None:
    with pytest.raises(LocalProtocolError, match=r"this world has no server: call world.server\(register\) first"):
        World().client()


def test_what_needs_an_event_loop_is_said_by_the_failure_itself(world: World) -> None:
    io, ada = pair(world)

    @io.on("wait")
    async def wait(socket: Socket) -> None:
        await asyncio.Event().wait()

    ada.emit("wait")
    with pytest.raises(HandlerFailed, match="; in a World a coroutine can wait for"):
        world.settle()


class Future:
    """What some event loop waits with."""

    def __await__(self) -> Any:
        yield self


def test_articles_fit(world: World) -> None:
    async def wait() -> None:
        Future.__module__ = "asyncio.futures"
        await Future()

    with pytest.raises(LocalProtocolError, match=r"waits for an asyncio\.futures\.Future"):
        world.result(world.spawn(wait))


@pytest.mark.parametrize("name", ["settle", "advance", "jump", "result", "sleep", "spawn", "server", "client", "party"])
def test_a_closed_world_does_nothing_more(name: str) -> None:
    world = World()
    _, ada = pair(world)
    pending = ada.emit_with_ack("x")
    world.close()
    arguments: dict[str, list[Any]] = {
        "advance": [1], "jump": [1], "sleep": [1], "result": [pending], "spawn": [print], "party": ["mine"]
    }  # fmt: skip
    with pytest.raises(LocalProtocolError, match="this world is closed"):
        getattr(world, name)(*arguments.get(name, []))
    with pytest.raises(LocalProtocolError, match="this world is closed"):
        world.Server()
    world.close()


def test_what_pytest_shows_ends_in_the_test(world: World) -> None:
    io, ada = pair(world)
    io.on("fail", lambda socket: 1 / 0)
    ada.emit("fail")
    with pytest.raises(HandlerFailed) as caught:
        world.advance(1)
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert len(frames) > 1
    assert all(frame.f_locals.get("__tracebackhide__") for frame in frames[1:])


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--seeds", "-1"], ["--seeds", "x"], ["--bytes", "2"],
                                       ["--bytes", "-0.1"], ["--bytes", "x"]])  # fmt: skip
def test_the_swarm_checks_its_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert f"argument {arguments[0]}: a " in capsys.readouterr().err
