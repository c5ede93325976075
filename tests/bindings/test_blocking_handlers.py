"""Handlers on threads: their order, what they may wait for, and that none is in another's way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, LocalProtocolError, OptionError, Pending
from sioproto_blocking import Server
from tests.bindings.live import LATE
from tests.bindings.raw import TRANSPORTS
from tests.bindings.threads import in_threads, seen, serving, settled

if TYPE_CHECKING:
    from collections.abc import Generator

    from sioproto import Socket

both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
def test_events_and_acknowledgements(transport: str) -> None:
    with serving() as live:
        live.io.on("echo", lambda socket, *args: args)
        with live.client(transports=(transport,)) as client:
            assert client.emit_with_ack("echo", 1, b"two", {"three": None}).wait(LATE) == (1, b"two", {"three": None})


def test_an_upgrade() -> None:
    upgraded = threading.Event()
    with serving() as live:
        live.io.on("echo", lambda socket, value: value)
        client = live.client(transports=("polling", "websocket"))
        client.on_connection("upgrade", lambda *_: upgraded.set())
        with client:
            for number in range(100):
                assert client.emit_with_ack("echo", number).wait(LATE) == number
            seen(upgraded)
            assert client.emit_with_ack("echo", "after").wait(LATE) == "after"


def test_handlers_of_a_socket_run_in_the_order_of_arrival() -> None:
    heard: list[int] = []
    with serving() as live:

        @live.io.on("plain")
        def plain(socket: Socket, number: int) -> None:
            heard.append(number)

        @live.io.on("waits")
        async def waits(socket: Socket, number: int) -> None:
            await live.io.sleep(0.001)
            heard.append(number)

        with live.client() as client:
            for number in range(300):
                client.emit("waits" if number % 50 == 7 else "plain", number)
            assert client.emit_with_ack("plain", 300).wait(LATE) is None
    assert heard == list(range(301))


def test_sockets_are_served_at_the_same_time() -> None:
    together = threading.Barrier(4)
    with serving() as live:
        live.io.on("meet", lambda socket: together.wait(LATE) >= 0)
        clients = [live.client().__enter__() for _ in range(4)]
        answers = [client.emit_with_ack("meet") for client in clients]
        assert [answer.wait(LATE) for answer in answers] == [True] * 4
        for client in clients:
            client.close()


def test_a_handler_that_blocks_disturbs_nobody_else() -> None:
    begun, go_on = threading.Event(), threading.Event()
    with serving() as live:

        @live.io.on("block")
        def block(socket: Socket) -> str:
            begun.set()
            seen(go_on)
            return "done"

        live.io.on("echo", lambda socket, value: value)
        with live.client() as one, live.client() as other:
            blocked = one.emit_with_ack("block")
            seen(begun)
            for number in range(50):
                assert other.emit_with_ack("echo", number).wait(LATE) == number
            # Its own later events wait, but a connection is more than its handlers.
            later = one.emit_with_ack("echo", "later")
            assert not blocked.done
            assert not later.done
            go_on.set()
            assert blocked.wait(LATE) == "done"
            assert later.wait(LATE) == "later"


def test_what_a_handler_emits_leaves_while_it_runs() -> None:
    got = threading.Event()
    with serving() as live:

        @live.io.on("work")
        def work(socket: Socket) -> bool:
            socket.emit("progress", 50)
            return got.wait(LATE)

        client = live.client()
        client.on("progress", lambda percent: got.set())
        with client:
            assert client.emit_with_ack("work").wait(2 * LATE) is True


def test_a_handler_may_wait_for_its_own_client() -> None:
    with serving(threads=1) as live:
        live.io.on("ask", lambda socket, value: "you said " + socket.emit_with_ack("asked", value).wait(LATE))
        client = live.client()
        client.on("asked", lambda value: value.upper())
        with client:
            assert client.emit_with_ack("ask", "yes").wait(LATE) == "you said YES"


def test_coroutines_that_wait_occupy_no_thread() -> None:
    with serving(threads=1) as live:
        waiting: list[Socket] = []

        @live.io.on("gather")
        async def gather(socket: Socket) -> str:
            waiting.append(socket)
            while len(waiting) < 5:
                await live.io.sleep(0.005)
            answer: str = await socket.emit_with_ack("asked")
            return answer

        clients = [live.client(threads=1) for _ in range(5)]
        for number, client in enumerate(clients):
            client.on("asked", lambda number=number: f"from {number}")
            client.__enter__()
        answers = [client.emit_with_ack("gather") for client in clients]
        assert [answer.wait(LATE) for answer in answers] == [f"from {number}" for number in range(5)]
        for client in clients:
            client.close()


def test_there_are_no_more_threads_than_allowed() -> None:
    running = most = 0
    lock = threading.Lock()
    full = threading.Semaphore(0)
    go_on = threading.Event()
    with serving(threads=2) as live:

        @live.io.on("block")
        def block(socket: Socket) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            full.release()
            seen(go_on)
            with lock:
                running -= 1

        clients = [live.client().__enter__() for _ in range(5)]
        answers = [client.emit_with_ack("block") for client in clients]
        assert full.acquire(timeout=LATE)
        assert full.acquire(timeout=LATE)
        go_on.set()
        for answer in answers:
            answer.wait(LATE)
        assert most == 2
        for client in clients:
            client.close()


@pytest.mark.parametrize("threads", [0, -1])
def test_there_has_to_be_a_thread(threads: int) -> None:
    with pytest.raises(OptionError, match="threads"):
        Server(threads=threads)


def test_a_concurrent_handler_runs_beside() -> None:
    go_on = threading.Event()
    with serving() as live:
        live.io.on("beside", lambda socket: go_on.wait(LATE), concurrent=True)
        live.io.on("next", lambda socket: go_on.set())
        with live.client() as client:
            beside = client.emit_with_ack("beside")
            client.emit("next")
            assert beside.wait(LATE) is True


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
def test_what_a_handler_raises_is_reported_and_stops_nobody(kind: str) -> None:
    with serving() as live:

        @live.io.on("plain")
        def plain(socket: Socket) -> None:
            raise KeyError("plain")

        @live.io.on("coroutine")
        async def coroutine(socket: Socket) -> None:
            await live.io.sleep(0)
            raise KeyError("coroutine")

        live.io.on("echo", lambda socket: "still here")
        with live.client() as client:
            client.emit(kind)
            assert client.emit_with_ack("echo").wait(LATE) == "still here"
        error, where = live.take_error()
        assert repr(error) == f"KeyError({kind!r})"
        assert where == f"event {kind!r} in /"


def test_a_coroutine_awaits_only_what_is_ours() -> None:
    class Foreign:
        def __await__(self) -> Generator[str, None, None]:
            yield "of another library"

    with serving() as live:

        @live.io.on("x")
        async def handler(socket: Socket) -> str:
            try:
                await Foreign()
            except LocalProtocolError as error:
                return str(error)
            raise AssertionError("it was waited for")

        with live.client() as client:
            assert "awaits what is ours" in client.emit_with_ack("x").wait(LATE)


def test_what_is_called_in_place_may_not_wait() -> None:
    refused: list[str] = []
    with serving() as live:
        live.io.on("echo", lambda socket, value: value)

        def try_to_wait(*_: object) -> None:
            for wait in (lambda: client.emit_with_ack("echo", 2).wait(1), lambda: client.sleep(1).wait(1)):
                try:
                    wait()
                except LocalProtocolError as error:
                    refused.append(str(error))

        with live.client() as client:
            answer = client.emit_with_ack("echo", 1)
            told = threading.Event()
            answer.on_done(try_to_wait)
            answer.on_done(lambda _: told.set())
            seen(told)
    assert len(refused) == 2
    assert all("may not wait" in text for text in refused)


def test_waiting_has_a_limit() -> None:
    go_on = threading.Event()
    with serving() as live:
        live.io.on("late", lambda socket: go_on.wait(LATE))
        with live.client() as client:
            answer = client.emit_with_ack("late")
            with pytest.raises(TimeoutError):
                answer.wait(0.01)
            assert not answer.done
            with pytest.raises(AckTimeout):
                client.timeout(0.01).emit_with_ack("late").wait(LATE)
            go_on.set()
            assert answer.wait(LATE) is True


def test_any_thread_may_call_everything() -> None:
    with serving() as live:
        io = live.io
        io.on("echo", lambda socket, value: value)

        async def later(value: int) -> int:
            await io.sleep(0.001)
            return value

        with live.client() as client:

            def call() -> None:
                assert io.from_thread(io.emit, "news").result(LATE) is None
                assert io.call_from_thread(later, 7, timeout=LATE) == 7
                assert client.call_from_thread(client.emit_with_ack, "echo", 1, timeout=LATE) == 1
                sockets: Pending[Any] = io.fetch_sockets()
                (socket,) = sockets.wait(LATE)
                socket.join("room")
                assert "room" in socket.rooms
                io.to("room").emit("news")
                with pytest.raises(ZeroDivisionError):
                    io.call_from_thread(lambda: 1 // 0)

            in_threads(*[call] * 4)
    with pytest.raises(LocalProtocolError, match="does not serve"):
        live.io.from_thread(live.io.emit, "x")


def test_middlewares_and_hooks_may_block() -> None:
    def allow(request: Any) -> bool:
        return live.io.sleep(0.001).wait(LATE) is None

    with serving(allow_request=allow) as live:

        @live.io.use
        def middleware(socket: Socket) -> None:
            live.io.sleep(0.001).wait(LATE)
            socket.data["token"] = socket.handshake.auth["token"]

        live.io.on("token", lambda socket: socket.data["token"])

        def auth() -> dict[str, Any]:
            client.sleep(0.001).wait(LATE)
            return {"token": 7}

        client = live.client(auth=auth)
        with client:
            assert client.emit_with_ack("token").wait(LATE) == 7


def test_work_of_ones_own_runs_beside() -> None:
    ticks: list[int] = []
    done = threading.Event()
    with serving() as live:

        def work() -> None:
            for number in range(3):
                live.io.sleep(0.001).wait(LATE)
                ticks.append(number)

        async def last() -> None:
            await live.io.sleep(0.001)
            done.set()

        live.io.spawn(work)
        assert settled(lambda: ticks == [0, 1, 2])
        live.io.spawn(last)
        seen(done)
