"""How a server on threads listens, ends, and bears with whoever it serves."""

from __future__ import annotations

import errno
import logging
import os
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, Disconnected, LocalProtocolError, Pending
from sioproto_blocking import Client, Server, connect
from sioproto_host import sockets
from tests.bindings.live import LATE, PATIENT
from tests.bindings.raw import CLOSE, HANDSHAKE, TEXT, TRANSPORTS, frame, head
from tests.bindings.threads import LOGGER, Raw, in_threads, nothing_left, seen, serving, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sioproto import Socket
    from tests.bindings.threads import Live

TRUSTME = 'trustme is missing: install it with `pip install -e ".[test]"`'


def echo(live: Live) -> None:
    """Makes the server send back what it gets."""
    live.io.on("echo", lambda socket, value: value)


def check_served(live: Live, **options: Any) -> None:
    """A client that has nothing to do with what happened before is served."""
    with live.client(**options) as client:
        assert client.emit_with_ack("echo", 1).wait(LATE) == 1


# -- listening


def test_serve_blocks_until_somebody_closes() -> None:
    with nothing_left():
        io = Server(grace=LATE)
        io.on("echo", lambda socket, value: value)
        thread = threading.Thread(target=io.serve, kwargs={"port": 0}, daemon=True)
        thread.start()
        assert settled(lambda: io.addresses)
        with connect(f"http://127.0.0.1:{io.addresses[0][1]}") as client:
            assert client.emit_with_ack("echo", 1).wait(LATE) == 1
        assert thread.is_alive()
        io.close()
        thread.join(LATE)
        assert not thread.is_alive()
        io.close()
        with pytest.raises(LocalProtocolError, match="make a new one"):
            io.serve(port=0)


def test_it_listens_at_several_places(tmp_path: Path) -> None:
    given = socket.create_server(("127.0.0.1", 0))
    with serving(grace=0.1) as live:
        echo(live)
        with live.io.listening(sock=given), live.io.listening(path=str(tmp_path / "socket")):
            assert len(live.io.addresses) == 3
            check_served(live)
            with connect(f"http://127.0.0.1:{given.getsockname()[1]}") as client:
                assert client.emit_with_ack("echo", 1).wait(LATE) == 1
            plain = socket.socket(socket.AF_UNIX)
            with plain:
                plain.connect(str(tmp_path / "socket"))
                plain.sendall(head("GET", "/socket.io/?EIO=4&transport=polling"))
                assert plain.recv(100).startswith(b"HTTP/1.1 200")


def test_where_it_cannot_listen_it_may_listen_elsewhere() -> None:
    with nothing_left(), socket.create_server(("127.0.0.1", 0)) as taken:
        io = Server()
        with pytest.raises(OSError, match="in use"), io.listening(port=taken.getsockname()[1]):
            raise AssertionError("it listens")
        with io.listening(port=0):
            assert len(io.addresses) == 1


def test_what_does_not_serve_says_so() -> None:
    io = Server()
    with pytest.raises(LocalProtocolError, match="does not serve"):
        io.sleep(1).wait(1)
    with pytest.raises(LocalProtocolError, match="does not serve"):
        io.spawn(print)
    io.emit("nobody hears it")
    io.close()


def test_a_lack_of_resources_is_waited_out(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = threading.Event()
    accept = sockets.accept

    def lacking(listener: socket.socket) -> Iterator[tuple[socket.socket, str]]:
        if not refused.is_set():
            refused.set()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        yield from accept(listener)

    monkeypatch.setattr(sockets, "accept", lacking)
    monkeypatch.setattr(sockets, "ACCEPT_PAUSE", 0.01)
    with serving() as live:
        echo(live)
        check_served(live)
        assert refused.is_set()
        assert settled(lambda: live.logged.texts)
        (text,) = live.logged.texts
        assert "accepting connections" in text
        live.logged.texts.clear()


def test_what_is_logged_may_be_sent() -> None:
    """A handler of logging that emits while it holds its own lock, as all of them do, and others emit meanwhile."""

    class Sending(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            live.io.emit("log", record.getMessage())

    logger = logging.getLogger(LOGGER)
    handler = Sending()
    heard = threading.Semaphore(0)
    with serving() as live:

        @live.io.on("fail")
        def fail(socket: Socket) -> None:
            raise KeyError("x")

        live.io._on_error = None
        client = live.client()
        client.on("log", lambda text: heard.release())
        with client:
            logger.addHandler(handler)
            try:

                def log() -> None:
                    for _ in range(100):
                        logger.warning("of another thread")

                def cause() -> None:
                    for _ in range(100):
                        client.emit("fail")

                in_threads(log, log, cause)
                for _ in range(300):
                    assert heard.acquire(timeout=LATE)
            finally:
                logger.removeHandler(handler)
        live.logged.texts.clear()


# -- the end


def test_a_stuck_handler_keeps_nobody_from_leaving() -> None:
    begun, go_on = threading.Event(), threading.Event()
    with serving() as live:

        @live.io.on("stuck")
        def stuck(socket: Socket) -> None:
            begun.set()
            seen(go_on)

        client = live.client()
        with client:
            client.emit("stuck")
            seen(begun)
            live.io.close(0.05)
            assert not go_on.is_set()
            go_on.set()


def test_who_waits_at_the_end_is_told() -> None:
    told: list[BaseException] = []
    waiting = threading.Semaphore(0)
    with serving() as live:

        @live.io.on("ask")
        def ask(socket: Socket) -> None:
            waiting.release()
            try:
                socket.emit_with_ack("never answered").wait()
            except Disconnected as error:
                told.append(error)

        gate: Pending[None] = Pending(live.io._waiting)

        def sleep() -> None:
            waiting.release()
            try:
                gate.wait()
            except LocalProtocolError as error:
                told.append(error)

        async def sleep_well() -> None:
            waiting.release()
            try:
                await gate
            finally:
                told.append(GeneratorExit())

        with live.client() as client:
            client.emit("ask")
            live.io.spawn(sleep)
            live.io.spawn(sleep_well)
            for _ in range(3):
                assert waiting.acquire(timeout=LATE)
            live.io.close(0.05)
            assert settled(lambda: len(told) == 3)


def test_a_handler_may_close_the_server() -> None:
    with serving(grace=0.05) as live:

        @live.io.on("plain")
        def plain(socket: Socket) -> None:
            live.io.close()

        with live.client(reconnection=False) as client:
            client.emit("plain")
            client.wait(LATE)


def test_queued_events_are_delivered_before_the_end() -> None:
    heard: list[int] = []
    with serving() as live:
        client = live.client(reconnection=False)
        client.on("x", heard.append)
        with client:
            for number in range(500):
                live.io.emit("x", number)
            live.io.close()
            client.wait(LATE)
            assert client.call_from_thread(lambda: settled(lambda: len(heard) == 500))
    assert heard == list(range(500))


def test_it_ends_under_load() -> None:
    with serving(grace=1.0) as live:
        echo(live)
        answered = threading.Semaphore(0)

        def load() -> None:
            with live.client(reconnection=False) as client:
                while client.connected:
                    # What is emitted a moment after the end waits for a connection that does not come.
                    with suppress(Disconnected, AckTimeout):
                        client.timeout(0.5).emit_with_ack("echo", "x" * 1000).wait(LATE)
                        answered.release()

        def end() -> None:
            for _ in range(100):
                assert answered.acquire(timeout=LATE)
            live.io.close()

        in_threads(*[load] * 6, end)


def test_an_exception_in_the_block_closes() -> None:
    with nothing_left():
        io = Server(**PATIENT)
        client: Client | None = None

        def interrupted() -> None:
            nonlocal client
            with io.listening(port=0), Client(f"http://127.0.0.1:{io.addresses[0][1]}") as client:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert io.engine.sessions == {}
        assert client is not None
        assert not client.connected


# -- whoever it serves


def test_a_client_that_does_not_read_stalls_nobody() -> None:
    with serving(max_send_buffer=2_000_000) as live:
        echo(live)
        gone = threading.Event()
        reasons: list[tuple[str, str | None]] = []

        @live.io.on("disconnect")
        def disconnect(socket: Socket, reason: str, description: str | None) -> None:
            reasons.append((reason, description))
            gone.set()

        slow = Raw(live.address).websocket()
        with live.client() as client:
            (stuck,) = [each for each in live.io.sockets.sockets.values() if each.id != client.id]
            for _ in range(200):
                stuck.emit("much", "x" * 100_000)
                assert client.emit_with_ack("echo", 1).wait(LATE) == 1
                if gone.is_set():
                    break
            seen(gone)
            assert reasons == [("transport error", "slow consumer")]
            assert client.emit_with_ack("echo", 2).wait(LATE) == 2
        slow.close()


def test_a_slow_client_gets_all_of_it() -> None:
    with serving() as live:
        slow = Raw(live.address).websocket()
        (stuck,) = live.io.sockets.sockets.values()
        sent = threading.Event()

        def send() -> None:
            for number in range(60):
                stuck.emit("much", number, "x" * 100_000)
                stuck.drained().wait(LATE)
            sent.set()

        live.io.spawn(send)
        for number in range(60):
            slow.until(f'42["much",{number},'.encode())
        seen(sent)
        slow.close()


HOSTILE = {
    "garbage": b"\x00\xff" * 100 + b"\r\n\r\n",
    "a head without end": b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 20_000,
    "a lying length": head("POST", "/socket.io/?EIO=4&transport=polling&sid=x", length=10**9),
    "no session": head("GET", "/socket.io/?EIO=4&transport=polling&sid=unknown"),
    "an unmasked frame": head("GET", "/socket.io/?EIO=4&transport=websocket", HANDSHAKE)
    + frame(TEXT, b"40", masked=False),
    "a frame too large": head("GET", "/socket.io/?EIO=4&transport=websocket", HANDSHAKE)
    + frame(TEXT, b"x" * 70_000)[:2]
    + b"\x7f" * 8,
    "a bad packet": head("GET", "/socket.io/?EIO=4&transport=websocket", HANDSHAKE) + frame(TEXT, b"4\xc3\xa9[["),
    "a close": head("GET", "/socket.io/?EIO=4&transport=websocket", HANDSHAKE) + frame(CLOSE, b"\x03\xe8"),
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_disturbs_nobody(name: str) -> None:
    with serving() as live:
        echo(live)
        raws = [Raw(live.address) for _ in range(3)]
        for raw in raws:
            raw.sock.sendall(HOSTILE[name])
        check_served(live)
        check_served(live, transports=("polling",))
        for raw in raws[:2]:
            raw.sock.shutdown(socket.SHUT_WR)
            assert raw.ended()
        for raw in raws:
            raw.close()
        assert settled(lambda: not live.io.wire.connections)
        assert settled(lambda: not live.io.engine.sessions)


# -- TLS


@pytest.fixture
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server and its clients need."""
    trustme = pytest.importorskip("trustme", reason=TRUSTME)
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("transports", [*((each,) for each in TRANSPORTS), tuple(TRANSPORTS)], ids=str)
def test_tls(contexts: tuple[ssl.SSLContext, ssl.SSLContext], transports: Any) -> None:
    server, trusting = contexts
    with serving({"port": 0, "ssl": server}) as live:
        echo(live)
        url = f"https://localhost:{live.address[1]}"
        with Client(url, ssl=trusting, transports=transports) as client:
            (there,) = live.io.sockets.sockets.values()
            assert there.handshake.secure
            # More than a TLS record and more than the read buffer, both ways.
            text = "x" * 600_000
            assert client.emit_with_ack("echo", text).wait(LATE) == text
            for number in range(50):
                assert client.emit_with_ack("echo", number).wait(LATE) == number


def test_a_handshake_that_nobody_goes_on_with_stalls_nobody(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    server, trusting = contexts
    with serving({"port": 0, "ssl": server}) as live:
        echo(live)
        silent = [Raw(live.address) for _ in range(5)]
        silent[0].sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        silent[1].sock.sendall(head("GET", "/socket.io/?EIO=4&transport=polling"))
        assert silent[1].ended()
        with Client(f"https://localhost:{live.address[1]}", ssl=trusting) as client:
            assert client.emit_with_ack("echo", 1).wait(LATE) == 1
        live.io.close(0.05)
        for raw in silent:
            assert raw.ended()
            raw.close()
