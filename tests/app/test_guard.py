"""The guard: what a command does is done inside of it, and user code has its turn outside where it is a lock."""

from __future__ import annotations

import re
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import LocalProtocolError, Pending, Request, Response, Socket
from sioproto.app.calling import Unguarded
from sioproto.guard import ANYWHERE
from sioproto_host.guard import OneThread
from tests.byhand import hand_app
from tests.virtual import AppDriver, Held, drive_app

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROUNDS = 2000
"""How often threads meet where one might miss the other."""


def ignore(*_: object) -> None:
    """A handler, an observer, a callback that does nothing."""


SERVER_COMMANDS: dict[str, Callable[[AppDriver, Socket], object]] = {
    "emit": lambda driver, socket: socket.emit("x"),
    "send": lambda driver, socket: socket.send("x"),
    "emit_with_ack": lambda driver, socket: socket.emit_with_ack("x"),
    "volatile": lambda driver, socket: socket.volatile.emit("x"),
    "timeout": lambda driver, socket: socket.timeout(1).emit_with_ack("x"),
    "join": lambda driver, socket: socket.join("room"),
    "leave": lambda driver, socket: socket.leave("room"),
    "rooms": lambda driver, socket: socket.rooms,
    "drained": lambda driver, socket: socket.drained(),
    "disconnect": lambda driver, socket: socket.disconnect(),
    "socket.use": lambda driver, socket: socket.use(ignore),
    "socket.on": lambda driver, socket: socket.on("x", ignore),
    "socket.on disconnect": lambda driver, socket: socket.on("disconnect", ignore),
    "socket.off": lambda driver, socket: socket.off("x"),
    "socket.on_any": lambda driver, socket: socket.on_any(ignore),
    "socket.prepend_any": lambda driver, socket: socket.prepend_any(ignore),
    "socket.off_any": lambda driver, socket: socket.off_any(),
    "socket.on_any_outgoing": lambda driver, socket: socket.on_any_outgoing(ignore),
    "socket.prepend_any_outgoing": lambda driver, socket: socket.prepend_any_outgoing(ignore),
    "socket.off_any_outgoing": lambda driver, socket: socket.off_any_outgoing(),
    "session.send": lambda driver, socket: socket.conn.send("x"),
    "session.close": lambda driver, socket: socket.conn.close(),
    "session.pause": lambda driver, socket: socket.conn.pause(),
    "session.resume": lambda driver, socket: socket.conn.resume(),
    "session.when_drained": lambda driver, socket: socket.conn.when_drained(ignore),
    "session.on": lambda driver, socket: socket.conn.on("close", ignore),
    "session.off": lambda driver, socket: socket.conn.off("close"),
    "broadcast": lambda driver, socket: driver.core.emit("x"),
    "to": lambda driver, socket: driver.core.to("room").emit("x"),
    "broadcast with ack": lambda driver, socket: driver.core.emit_with_ack("x"),
    "fetch_sockets": lambda driver, socket: driver.core.fetch_sockets(),
    "count_sockets": lambda driver, socket: driver.core.count_sockets(),
    "sockets_join": lambda driver, socket: driver.core.sockets_join("room"),
    "sockets_leave": lambda driver, socket: driver.core.sockets_leave("room"),
    "disconnect_sockets": lambda driver, socket: driver.core.disconnect_sockets(),
    "server_side_emit": lambda driver, socket: driver.core.server_side_emit("x"),
    "server_side_emit_with_ack": lambda driver, socket: driver.core.server_side_emit_with_ack("x"),
    "of": lambda driver, socket: driver.core.of("/other"),
    "of a pattern": lambda driver, socket: driver.core.of(re.compile("/room-.*")),
    "use": lambda driver, socket: driver.core.use(ignore),
    "on": lambda driver, socket: driver.core.on("x", ignore),
    "on connection": lambda driver, socket: driver.core.on("connection", ignore),
    "on_server_event": lambda driver, socket: driver.core.on_server_event("x", ignore),
    "sleep": lambda driver, socket: driver.core.sleep(1),
    "spawn": lambda driver, socket: driver.core.spawn(ignore),
    "stop": lambda driver, socket: driver.core.stop(1),
    "adapter.on": lambda driver, socket: socket.namespace.adapter.on("join_room", ignore),
    "engine.on": lambda driver, socket: driver.core.engine.on("headers", ignore),
    "engine.use": lambda driver, socket: driver.core.engine.use(lambda request, headers: None),
    "engine.close": lambda driver, socket: driver.core.engine.close(),
}


@pytest.mark.parametrize("name", SERVER_COMMANDS)
def test_a_command_of_a_server_enters_the_guard(name: str) -> None:
    driver = drive_app()
    _, socket = driver.join()
    entered = driver.runtime.guard.entered
    SERVER_COMMANDS[name](driver, socket)
    assert driver.runtime.guard.entered > entered
    assert driver.runtime.guard.depth == 0
    driver.settle()


CLIENT_COMMANDS: dict[str, Callable[[Any], object]] = {
    "connect": lambda client: client.connect(),
    "connect once": lambda client: client.connect(retry=False),
    "disconnect": lambda client: client.disconnect(),
    "emit": lambda client: client.emit("x"),
    "emit_with_ack": lambda client: client.emit_with_ack("x"),
    "drained": lambda client: client.drained(),
    "ended": lambda client: client.ended(),
    "of": lambda client: client.of("/other"),
    "on": lambda client: client.on("x", ignore),
    "on_connection": lambda client: client.on_connection("open", ignore),
    "on_any_outgoing": lambda client: client.socket.on_any_outgoing(ignore),
    "sleep": lambda client: client.sleep(1),
    "spawn": lambda client: client.spawn(ignore),
    "stop": lambda client: client.stop(1),
}


@pytest.mark.parametrize("name", CLIENT_COMMANDS)
def test_a_command_of_a_client_enters_the_guard(name: str) -> None:
    hand = hand_app()
    entered = hand.runtime.guard.entered
    CLIENT_COMMANDS[name](hand.core)
    assert hand.runtime.guard.entered > entered
    assert hand.runtime.guard.depth == 0
    hand.runtime.step()


def test_what_is_raised_inside_comes_out() -> None:
    for guard in (ANYWHERE, OneThread("").guard):
        with pytest.raises(KeyError), guard:
            raise KeyError


def test_a_loop_lets_in_its_own_thread_only() -> None:
    home = OneThread("use from_thread")
    refused: list[str] = []

    def enter() -> None:
        for _ in range(2):
            try:
                with home.guard:
                    pass
            except LocalProtocolError as error:
                refused.append(str(error))

    def live() -> None:
        home.settle()
        enter()
        lives.set()
        assert over.wait(60)  # else the next thread might have its number
        enter()

    lives, over = threading.Event(), threading.Event()
    enter()
    in_threads(enter)
    assert refused == []  # it lives nowhere yet
    thread = threading.Thread(target=live, daemon=True)
    thread.start()
    assert lives.wait(60)
    assert refused == []
    enter()
    in_threads(enter)
    assert refused == ["use from_thread"] * 4
    over.set()
    thread.join(60)
    home.settle()
    enter()
    assert len(refused) == 4
    home.leave()
    in_threads(enter)
    assert len(refused) == 4


class Watched:
    """User code that notes how often the guard was held when it had its turn."""

    def __init__(self) -> None:
        self.depths: list[tuple[str, int]] = []
        self.guard = Held()

    def look(self, name: str) -> None:
        self.depths.append((name, self.guard.depth))

    def plain(self, name: str, result: Any = None) -> Callable[..., Any]:
        def handler(*_: Any) -> Any:
            self.look(name)
            return result

        return handler

    def waiting(self, name: str, gate: Pending[Any], result: Any = None) -> Callable[..., Any]:
        async def handler(*_: Any) -> Any:
            self.look(f"{name}, before")
            try:
                await gate
            finally:
                self.look(f"{name}, after")
            return result

        return handler


def test_user_code_has_its_turn_outside() -> None:
    seen = Watched()
    driver = drive_app(
        inline=False,
        hooks={"allow_request": seen.plain("allow_request")},
    )
    core = driver.core
    seen.guard = driver.runtime.guard
    gates = [driver.gate() for _ in range(4)]
    core.use(seen.plain("middleware"))
    core.on("connection", seen.plain("connection"))
    core.on("plain", seen.plain("plain"))
    core.on("beside", seen.plain("beside"), concurrent=True)
    core.on("waits", seen.waiting("waits", gates[0], "answer"))
    core.on("waits beside", seen.waiting("waits beside", gates[1]), concurrent=True)
    core.on("disconnect", seen.plain("disconnect"))
    core.of(seen.plain("predicate", True))
    core.of("/awaited").use(seen.waiting("middleware that waits", gates[2]))
    driver.core.spawn(seen.plain("spawned"))
    driver.core.spawn(seen.waiting("spawned and waits", gates[3]))
    client, socket = driver.join()
    client.connect("/other")
    client.send("40/awaited,")
    socket.use(seen.plain("event middleware"))
    for event in ("plain", "beside", "waits beside", "waits"):
        client.emit(event)
    for gate in gates:
        driver.open(gate)
    client.emit("waits", ack=7)
    assert client.take()[-1] == '437["answer"]'
    socket.disconnect()
    driver.settle()
    assert driver.failures == []
    assert {depth for _, depth in seen.depths} == {0}
    assert {name.partition(",")[0] for name, _ in seen.depths} >= {
        "allow_request", "middleware", "connection", "plain", "beside", "waits", "waits beside", "disconnect",
        "predicate", "middleware that waits", "spawned", "spawned and waits", "event middleware",
    }  # fmt: skip
    assert driver.runtime.unfinished == []


def test_a_foreign_request_is_answered_outside() -> None:
    seen = Watched()
    driver = drive_app(inline=False, hooks={"fallback": seen.plain("fallback", Response(200, [], b"yes"))})
    seen.guard = driver.runtime.guard
    call = driver.request(Request("GET", "/elsewhere", []))
    driver.core.receive_body(call.exchange, b"")
    driver.settle()
    assert call.body == "yes"
    assert seen.depths == [("fallback", 0)]


def test_the_auth_of_a_client_is_asked_for_outside() -> None:
    seen = Watched()
    hand = hand_app(inline=False, hooks={"auth": seen.plain("auth", {"token": 1})})
    seen.guard = hand.runtime.guard
    hand.core.connect()
    hand.settle()
    hand.open()
    assert seen.depths == [("auth", 0)]


def test_commands_of_user_code_are_done_inside() -> None:
    driver = drive_app(inline=False)
    guard = driver.runtime.guard
    depths: list[int] = []
    driver.core.on("connection", lambda socket: socket.on_any_outgoing(lambda *_: depths.append(guard.depth)))
    driver.core.on("x", lambda socket: socket.emit("y"))
    client, _ = driver.join()
    client.emit("x")
    assert client.take() == ['42["y"]']
    assert depths == [1]


def test_user_code_that_is_cancelled_cleans_up_outside() -> None:
    seen = Watched()
    driver = drive_app(inline=False)
    seen.guard = driver.runtime.guard
    gate = driver.gate()
    driver.core.on("x", seen.waiting("x", gate))
    client, _ = driver.join()
    client.emit("x")
    (task,) = driver.runtime.unfinished
    driver.runtime.cancel(task)
    assert seen.depths == [("x, before", 0), ("x, after", 0)]
    client.emit("x")
    (task,) = driver.runtime.unfinished
    with driver.runtime.guard:
        task.run.close()
    assert seen.depths[2:] == [("x, before", 0), ("x, after", 0)]
    assert driver.runtime.guard.depth == 0


class Plainly:
    """An awaitable whose steps are no generator: it knows neither ``throw`` nor ``close``."""

    def __init__(self, *yields: Any) -> None:
        self.yields = yields

    def __await__(self) -> Any:
        return iter(self.yields)


def test_steps_mean_what_they_mean_without_a_guard() -> None:
    guard = Held()
    calls = Unguarded(guard)

    class Echo:
        def __await__(self) -> Generator[int, Any, Any]:
            got = yield 1
            try:
                yield got
            except KeyError:
                got = yield 3
            return got

    def begin(awaitable: Any) -> Any:
        return calls.wait(awaitable).__await__()

    with guard:
        steps = begin(Echo())
        assert next(steps) == 1
        assert steps.send("sent") == "sent"
        assert steps.throw(KeyError()) == 3
        with pytest.raises(StopIteration) as end:
            steps.send("last")
        assert end.value.value == "last"
        assert list(begin(Plainly(1, 2))) == [1, 2]
        steps = begin(Plainly(1, 2))
        next(steps)
        with pytest.raises(KeyError):
            steps.throw(KeyError())
        steps = begin(Plainly(1, 2))
        next(steps)
        steps.close()


# -- threads


@pytest.fixture
def restless() -> Generator[None, None, None]:
    """Threads take turns as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_threads(*calls: Callable[[], object]) -> None:
    """Makes calls at the same time."""
    begin = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        begin.wait(30)
        call()

    threads = [threading.Thread(target=run, args=(call,), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


@pytest.mark.usefixtures("restless")
def test_a_callback_that_meets_the_settling_is_called_once() -> None:
    pendings: list[Pending[int]] = [Pending() for _ in range(ROUNDS)]
    heard: list[list[int]] = [[] for _ in pendings]
    late: list[list[int]] = [[] for _ in pendings]

    def note(into: list[int], settled: Pending[int]) -> None:
        into.append(settled.result())

    def register(calls: list[list[int]]) -> None:
        for pending, each in zip(pendings, calls, strict=True):
            pending.on_done(partial(note, each))

    def settle() -> None:
        for number, pending in enumerate(pendings):
            pending.resolve(number)

    in_threads(settle, lambda: register(heard), lambda: register(late))
    assert heard == late == [[number] for number in range(ROUNDS)]


@pytest.mark.usefixtures("restless")
def test_threads_emit_in_their_own_order() -> None:
    driver = drive_app(inline=False, guard=threading.RLock())
    client, socket = driver.join()

    def emit(number: int) -> Callable[[], None]:
        def run() -> None:
            for count in range(300):
                socket.emit("x", number, count)

        return run

    in_threads(*(emit(number) for number in range(8)))
    driver.settle()
    texts = [text for text in client.take() if isinstance(text, str)]
    assert len(texts) == 8 * 300
    for number in range(8):
        mine = [text for text in texts if text.startswith(f'42["x",{number},')]
        assert mine == [f'42["x",{number},{count}]' for count in range(300)]
