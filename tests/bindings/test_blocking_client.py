"""Clients on threads: how they come to a server, come back to it, and leave it."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError, Disconnected, LocalProtocolError
from sioproto_blocking import Client, Server, connect
from sioproto_host import opening
from tests.bindings.live import LATE, PATIENT
from tests.bindings.threads import nothing_left, seen, serving, settled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto import Socket

TRUSTME = 'trustme is missing: install it with `pip install -e ".[test]"`'


def free_port() -> int:
    """Returns a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# -- coming and going


def test_a_client_waits_until_it_is_disconnected() -> None:
    with serving() as live:
        with live.client() as client:
            with pytest.raises(TimeoutError):
                client.wait(0.01)
            live.io.sockets.sockets[client.id or ""].disconnect()
            client.wait(LATE)
            assert not client.connected
        with pytest.raises(LocalProtocolError, match="make a new one"):
            client.__enter__()


def test_nobody_is_there() -> None:
    with nothing_left():
        begun = threading.Event()
        with pytest.raises(ConnectError, match="refused"), connect(f"http://127.0.0.1:{free_port()}"):
            begun.set()
        assert not begun.is_set()


def test_a_server_that_refuses() -> None:
    with serving() as live:

        @live.io.use
        def refuse(socket: Socket) -> None:
            raise ConnectError("not you", {"code": 7})

        with pytest.raises(ConnectError, match="not you") as refused, live.client():
            raise AssertionError("it is in")
        assert refused.value.data == {"code": 7}


def test_a_server_that_comes_later() -> None:
    port = free_port()
    attempts = threading.Semaphore(0)
    with nothing_left():
        client = Client(f"http://127.0.0.1:{port}", wait_for_server=True, reconnection_delay=0.01)
        client.on("reconnect_error", lambda error: attempts.release())
        io = Server(**PATIENT)

        def serve() -> None:
            assert attempts.acquire(timeout=LATE)
            io.serve(port=port)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with client:
            assert client.connected
        io.close()
        thread.join(LATE)


def test_a_lost_connection_comes_back() -> None:
    with serving() as live:
        live.io.on("echo", lambda socket, value: value)
        client = live.client(reconnection_delay=0.01)
        ids: list[str] = []
        client.on("connect", ids.append)
        told = threading.Event()
        client.on("reconnect", lambda attempt: told.set())
        with client:
            live.io.sockets.sockets[client.id or ""].conn.close(discard=True)
            seen(told)
            assert client.emit_with_ack("echo", 1).wait(LATE) == 1
            assert settled(lambda: len(ids) == 2)
        assert ids[0] != ids[1]


def test_what_was_emitted_before_is_delivered_when_it_closes() -> None:
    heard: list[int] = []
    with serving() as live:
        live.io.on("x", lambda socket, number: heard.append(number))
        gone = threading.Event()
        live.io.on("disconnect", lambda socket, reason: gone.set())
        with live.client() as client:
            for number in range(500):
                client.emit("x", number)
        seen(gone)
    assert heard == list(range(500))


def test_an_interrupt_while_it_waits_leaves_nothing_behind() -> None:
    """Somebody accepts and never says a word; Ctrl-C comes, as an exception out of the waiting."""

    class Interrupted(Client):
        def connect(self, *, retry: bool = True) -> Any:
            super().connect(retry=retry)
            raise KeyboardInterrupt

    with nothing_left(), socket.create_server(("127.0.0.1", 0)) as silent:
        client = Interrupted(f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(KeyboardInterrupt), client:
            raise AssertionError("it is in")


def test_several_namespaces_and_clients_in_one_process() -> None:
    with serving() as live:
        live.io.of("/one").on("where", lambda socket: "one")
        live.io.of("/two").on("where", lambda socket: "two")
        with live.client() as client, connect(live.url + "/two") as other:
            one = client.of("/one")
            one.connect().wait(LATE)
            assert one.emit_with_ack("where").wait(LATE) == "one"
            assert other.emit_with_ack("where").wait(LATE) == "two"


# -- the way there


def test_a_name_is_looked_up_by_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as live:
        asked: list[str] = []
        look_up = socket.getaddrinfo

        def looking(host: str, port: int, *args: Any, **how: Any) -> Any:
            if host == "server.test":
                if how.get("flags"):
                    raise socket.gaierror
                asked.append(threading.current_thread().name)
                # The first address leads nowhere.
                return [*look_up("127.0.0.1", free_port(), **how), *look_up("127.0.0.1", port, **how)]
            return look_up(host, port, *args, **how)

        monkeypatch.setattr(socket, "getaddrinfo", looking)
        live.io.on("echo", lambda socket, value: value)
        with Client(f"http://server.test:{live.address[1]}", transports=("websocket",)) as client:
            assert client.emit_with_ack("echo", 1).wait(LATE) == 1
        assert asked == ["sioproto-resolver"]


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown name"), UnicodeError("no name at all")], ids=repr)
def test_a_name_that_there_is_not(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def failing(*_: object, **__: object) -> Any:
        raise error

    with nothing_left():
        monkeypatch.setattr(socket, "getaddrinfo", failing)
        with pytest.raises(ConnectError, match="name"), connect("http://server.test"):
            raise AssertionError("it is in")


def test_an_attempt_is_given_up_while_its_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(*_: object, **how: object) -> Any:
        if not how.get("flags"):
            seen(go_on)
        raise socket.gaierror(-2, "unknown name")

    with nothing_left():
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        with pytest.raises(ConnectError), connect("http://server.test", dial_timeout=0.05):
            raise AssertionError("it is in")
        assert not go_on.is_set()
        go_on.set()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_attempt_is_given_up_while_nobody_answers(scheme: str) -> None:
    with nothing_left(), socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectError), connect(url, dial_timeout=0.05, open_timeout=0.05):
            raise AssertionError("it is in")


def test_a_connection_that_is_not_there_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What every connection over a network is, and none on this machine may be."""
    with serving() as live:
        monkeypatch.setattr(opening, "UNDER_WAY", (*opening.UNDER_WAY, 0))
        live.io.on("echo", lambda socket, value: value)
        with live.client() as client:
            assert client.emit_with_ack("echo", 1).wait(LATE) == 1


# -- proxies


class ThreadedProxy:
    """An HTTP proxy that knows CONNECT only."""

    def __init__(self, answer: bytes) -> None:
        self.heads: list[str] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                threading.Thread(target=self._pass, args=(sock,), daemon=True).start()

    def _pass(self, sock: socket.socket) -> None:
        with suppress(OSError):
            text = b""
            while not text.endswith(b"\r\n\r\n"):
                text += sock.recv(1)
            self.heads.append(text.decode())
            target = text.split()[1].decode().rpartition(":")
            # In two pieces, as a network may.
            sock.sendall(self._answer[:10])
            sock.sendall(self._answer[10:])
            if b" 200 " not in self._answer:
                sock.close()
                return
            there = socket.create_connection((target[0], int(target[2])))
            self._open.append(there)
            back = threading.Thread(target=pump, args=(there, sock), daemon=True)
            back.start()
            pump(sock, there)
            back.join()

    def close(self) -> None:
        for sock in (self._listener, *self._open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


def pump(source: socket.socket, target: socket.socket) -> None:
    """Hands on what comes, to the end."""
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(answer: bytes = b"HTTP/1.1 200 OK\r\n\r\n") -> Iterator[ThreadedProxy]:
    """Runs a proxy for the length of a block."""
    there = ThreadedProxy(answer)
    try:
        yield there
    finally:
        there.close()


@pytest.mark.parametrize("secure", [False, True])
def test_through_a_proxy(secure: bool) -> None:
    where: dict[str, Any] = {"port": 0}
    options: dict[str, Any] = {}
    if secure:
        trustme = pytest.importorskip("trustme", reason=TRUSTME)
        authority = trustme.CA()
        where["ssl"] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(where["ssl"])
        options["ssl"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(options["ssl"])
    with serving(where) as live, proxy() as way:
        live.io.on("echo", lambda socket, value: value)
        url = f"http{'s' if secure else ''}://127.0.0.1:{live.address[1]}"
        with Client(url, proxy=f"http://me:secret@127.0.0.1:{way.port}", **options) as client:
            assert client.emit_with_ack("echo", 1).wait(LATE) == 1
        assert way.heads[0].startswith(f"CONNECT 127.0.0.1:{live.address[1]} HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic bWU6c2VjcmV0\r\n" in way.heads[0]


def test_a_proxy_that_refuses() -> None:
    with nothing_left(), proxy(b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n") as way:
        client = Client("http://127.0.0.1:1", proxy=f"http://127.0.0.1:{way.port}")
        with pytest.raises(ConnectError, match="407"), client:
            raise AssertionError("it is in")


# -- the end of a server


def test_whoever_waits_for_an_answer_is_told_that_the_server_is_gone() -> None:
    begun = threading.Event()
    with serving(grace=0.05) as live:

        @live.io.on("slow")
        def slow(socket: Socket) -> None:
            begun.set()
            with suppress(Exception):
                socket.emit_with_ack("never answered").wait()

        with live.client(reconnection=False) as client:
            answer = client.emit_with_ack("slow")
            seen(begun)
            live.io.close()
            with pytest.raises(Disconnected):
                answer.wait(LATE)
            client.wait(LATE)


def test_bytes_that_the_system_does_not_take_at_once_are_sent_later() -> None:
    got = threading.Event()
    with serving(max_payload=20_000_000) as live:
        live.io.on("size", lambda socket, data: len(data))
        with live.client(max_send_buffer=20_000_000) as client:
            client.on_connection("drain", got.set)
            assert client.emit_with_ack("size", b"x" * 8_000_000).wait(LATE) == 8_000_000
            client.drained().wait(LATE)
            seen(got)
