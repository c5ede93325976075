"""Many threads at once: nothing is lost, nothing is out of order, nobody is forgotten."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from sioproto import LocalProtocolError, Pending
from tests.bindings.live import LATE
from tests.bindings.threads import LOGGER, Raw, in_threads, seen, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    import pytest

THREADS = 8
EMITS = 10_000
"""Events of each thread."""


def test_each_thread_emits_in_its_own_order() -> None:
    with serving() as live:
        raw = Raw(live.address).websocket()
        (there,) = live.io.sockets.sockets.values()

        def emit(number: int) -> Callable[[], None]:
            def run() -> None:
                for count in range(EMITS):
                    there.emit("x", number, count)
                    if count % 500 == 0:
                        there.drained().wait(LATE)

            return run

        def read() -> None:
            expected = [0] * THREADS
            for _ in range(THREADS * EMITS):
                raw.until(b'42["x",')
                number, count = map(int, raw.until(b"]").split(b","))
                assert count == expected[number]
                expected[number] += 1

        in_threads(*map(emit, range(THREADS)), read)
        raw.close()


def test_each_thread_of_a_client_is_answered_in_its_own_order() -> None:
    heard: dict[int, list[int]] = {number: [] for number in range(4)}
    with serving() as live:

        @live.io.on("x")
        def x(socket: Any, number: int, count: int) -> int:
            heard[number].append(count)
            return count

        with live.client(max_acks=2000) as client:

            def emit(number: int) -> Callable[[], None]:
                def run() -> None:
                    answers = [client.emit_with_ack("x", number, count) for count in range(300)]
                    assert [answer.wait(LATE) for answer in answers] == list(range(300))

                return run

            in_threads(*map(emit, range(4)))
    assert heard == {number: list(range(300)) for number in range(4)}


def test_nobody_is_forgotten() -> None:
    """Whoever leaves something for the thread that waits for sockets, at whatever moment, is served."""
    with serving() as live:
        io = live.io
        io.on("echo", lambda socket, value: value)

        def errands() -> None:
            for _ in range(300):
                done = threading.Event()
                io._driver.errand(done.set)
                seen(done)

        def deadlines() -> None:
            for _ in range(100):
                io.sleep(0.0001).wait(LATE)

        def answers() -> None:
            with live.client() as client:
                for number in range(200):
                    assert client.emit_with_ack("echo", number).wait(LATE) == number

        in_threads(errands, errands, deadlines, deadlines, answers, answers)


def test_a_ring_that_meets_the_hearing_of_another_is_heard() -> None:
    with serving() as live:
        driver: Any = live.io._driver
        real = driver._ear
        done = [threading.Event() for _ in range(3)]

        class Ear:
            """Somebody rings right before the rings are taken, and somebody else right behind."""

            def recv(self, size: int) -> bytes:
                driver._ear = real
                in_threads(lambda: driver.errand(done[0].set))
                data: bytes = real.recv(size)
                in_threads(lambda: driver.errand(done[1].set))
                return data

        driver._ear = Ear()
        driver.errand(lambda: None)
        seen(done[0])
        seen(done[1])
        driver.errand(done[2].set)
        seen(done[2])


def test_rooms_and_broadcasts_of_many_threads() -> None:
    with serving() as live:
        io = live.io
        got = threading.Semaphore(0)
        clients = [live.client() for _ in range(4)]
        for client in clients:
            client.on("news", lambda *_: got.release())
            client.__enter__()
        members = list(io.sockets.sockets.values())

        def move(socket: Any) -> Callable[[], None]:
            def run() -> None:
                for number in range(200):
                    socket.join(f"room {number % 7}", "all")
                    io.to(f"room {number % 7}").emit("gossip", number)
                    socket.leave(f"room {number % 7}")
                    assert socket.rooms == {socket.id, "all"}

            return run

        in_threads(*map(move, members))
        io.to("all").emit("news")
        for _ in clients:
            assert got.acquire(timeout=LATE)
        for client in clients:
            client.close()


def test_results_that_do_not_come_before_the_end_fail() -> None:
    with serving(grace=0.1) as live:
        io = live.io

        later: Pending[None] = Pending(io._waiting)

        async def never() -> None:
            await later

        def ask() -> list[Future[None]]:
            return [io.from_thread(lambda: later), *(io.from_thread(never) for _ in range(50))]

        calls = ask()
        io.close()
    for call in calls:
        assert isinstance(call.exception(LATE), LocalProtocolError)


def test_coroutines_of_foreign_threads_all_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are lined up with the lock held, or the pool would lose count of them."""
    with serving(threads=2) as live:
        pool = live.io._driver._pool
        submit = pool.submit

        def guarded(call: Callable[[], object]) -> None:
            assert live.io._driver.guard._is_owned()  # type: ignore[attr-defined]  # it is an RLock
            submit(call)

        monkeypatch.setattr(pool, "submit", guarded)

        async def one() -> int:
            return 1

        assert live.io.call_from_thread(one, timeout=LATE) == 1


def test_a_log_that_breaks_costs_no_thread() -> None:
    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            broken.append(record.getMessage())
            raise RuntimeError("no space left")

    broken: list[str] = []
    handler = Broken()
    with serving(threads=1) as live:
        live.io._on_error = None
        live.io.on("bad", lambda socket: 1 / 0)
        live.io.on("ask", lambda socket: "answer")
        logger = logging.getLogger(LOGGER)
        logger.handlers.insert(0, handler)
        try:
            with live.client() as client:
                for _ in range(3):
                    client.emit("bad")
                    assert client.emit_with_ack("ask").wait(LATE) == "answer"
        finally:
            logger.removeHandler(handler)
    assert len(broken) == 3
