"""Other threads: what they may ask for, what they get back, and that nothing else of them is let in."""

from __future__ import annotations

import threading
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import LocalProtocolError
from tests.bindings.live import LATE
from tests.bindings.scene import eventually, gathered

if TYPE_CHECKING:
    from sioproto import app
    from tests.bindings.flavours import Flavour
    from tests.bindings.scene import Scene

feature = pytest.mark.feature

THREADS = 8
EMITS = 10_000


@feature("calls from other threads")
def test_many_threads_emit_each_in_its_order(scene: Scene, runtime: Flavour) -> None:
    received: list[list[int]] = [[] for _ in range(THREADS)]
    last = threading.Semaphore(0)

    def handlers(io: app.Client) -> None:
        @io.on("number")
        def number(thread: int, index: int) -> None:
            received[thread].append(index)
            if index == EMITS - 1:
                last.release()

    server = scene.server(runtime)
    scene.client(runtime, server.url, handlers, transports=("websocket",))

    def emit(thread: int) -> None:
        for index in range(EMITS):
            future = server.io.from_thread(server.io.emit, "number", thread, index)
        assert future.result(2 * LATE) is None

    threads = [threading.Thread(target=emit, args=[thread]) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
        assert last.acquire(timeout=2 * LATE)
    assert received == [list(range(EMITS))] * THREADS


@feature("calls from other threads")
def test_results_and_errors_come_back(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime, lambda io: io.on("echo", lambda socket, value: value))
    client = scene.client(runtime, server.url)

    async def twice() -> Any:
        return [await client.hosted.emit_with_ack("echo", number) for number in (1, 2)]

    async def fail() -> None:
        await client.hosted.sleep(0)
        raise ZeroDivisionError("async def")

    assert client.call(len, "abc") == 3
    assert client.call(twice) == [1, 2]
    assert client.hosted.from_thread(client.hosted.emit_with_ack, "echo", 3).result(LATE) == 3
    with pytest.raises(ZeroDivisionError, match="async def"):
        client.call(fail)
    with pytest.raises(LocalProtocolError, match='"disconnect" is a reserved event name'):
        client.call(client.hosted.emit, "disconnect")
    with pytest.raises(ValueError, match="invalid literal"):
        server.call(int, "x")


@feature("calls from other threads")
def test_an_answer_that_takes_too_long(scene: Scene, runtime: Flavour) -> None:
    def handlers(io: app.Server) -> None:
        @io.on("never answered")
        def never(*_: Any, ack: object) -> None:
            pass

    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url)
    with pytest.raises(TimeoutError):
        client.hosted.call_from_thread(client.hosted.emit_with_ack, "never answered", timeout=0.05)
    future = client.hosted.from_thread(client.hosted.emit_with_ack, "never answered")
    client.emit("something that comes after")
    assert not future.done()


@feature("calls from other threads")
def test_calls_that_nobody_made_when_the_end_came(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime)
    outcomes: list[str] = []
    made: list[int] = []

    def call() -> None:
        while True:
            try:
                made.append(server.hosted.from_thread(len, "abc").result(LATE))
            except (LocalProtocolError, CancelledError) as error:
                outcomes.append(str(error))
                return

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    gathered(made, 100)
    server.stop()
    for thread in threads:
        thread.join(LATE)
    assert len(outcomes) == 4
    assert all("not running" in outcome or "does not serve" in outcome for outcome in outcomes)


@feature("foreign threads are refused")
@pytest.mark.parametrize("role", ["server", "client"])
def test_touching_it_from_another_thread(scene: Scene, runtime: Flavour, role: str) -> None:
    server = scene.server(runtime, lambda io: io.on("up", scene.log("up").append))
    client = scene.client(runtime, server.url, lambda io: io.on("down", lambda *args: scene.log("down").append(args)))
    (socket,) = server.sockets
    if runtime.any_thread:
        server.io.emit("down", 1)
        gathered(scene.log("down"), 1)
        pytest.skip("any thread may call")
    touched = [server.io.emit, socket.emit, socket.emit_with_ack, socket.to(socket.id).emit]
    if role == "client":
        touched = [client.hosted.emit, client.hosted.emit_with_ack, client.hosted.socket.emit]
    for touch in touched:
        with pytest.raises(LocalProtocolError, match="from_thread"):
            touch("down")
    # Whatever it was refused, nothing of it was sent.
    server.emit("down", "meant")
    assert gathered(scene.log("down"), 1) == [("meant",)]


@feature("foreign threads are refused")
def test_waiting_where_it_would_wait_for_itself(scene: Scene, loop_runtime: Flavour) -> None:
    server = scene.server(loop_runtime)

    def wait() -> None:
        server.io.call_from_thread(len, "abc")

    with pytest.raises(LocalProtocolError, match="call_from_thread"):
        server.call(wait)
    pending = server.call(lambda: [server.io.sleep(0.01)])[0]
    with pytest.raises(LocalProtocolError, match="await"):
        pending.wait(0)
    eventually(lambda: pending.done)
