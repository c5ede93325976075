"""By which way: one transport alone, TLS, Unix sockets, headers and cookies, and through a proxy."""

from __future__ import annotations

import asyncio
import socket as sockets
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError, OptionError, SessionCookie
from tests.bindings.live import LATE
from tests.bindings.proxy import Proxy
from tests.bindings.raw import WebSockets
from tests.bindings.scene import OVER, gathered

if TYPE_CHECKING:
    from pathlib import Path

    from sioproto import Request, Socket, app
    from tests.bindings.flavours import Flavour
    from tests.bindings.scene import Client, Scene

over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
feature = pytest.mark.feature


def echo(io: app.Server) -> None:
    """Answers, and sends back."""

    @io.on("echo")
    def back(socket: Socket, *args: Any) -> Any:
        socket.emit("echoed", *args)
        return args


@pytest.fixture(scope="module")
def authority() -> Any:
    """Who certifies that a server is localhost."""
    return pytest.importorskip("trustme", reason="trustme is not installed").CA()


@pytest.fixture(scope="module")
def server_tls(authority: Any) -> ssl.SSLContext:
    """A server's side."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def client_tls(authority: Any) -> ssl.SSLContext:
    """A client's side, which trusts that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def on_tls(tls: ssl.SSLContext) -> dict[str, Any]:
    """Returns how a server listens with TLS."""
    return {"host": "127.0.0.1", "port": 0, "ssl": tls}


# TLS


@feature("TLS")
@over_each
def test_tls(
    scene: Scene,
    server_runtime: Flavour,
    client_runtime: Flavour,
    transports: tuple[str, ...],
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    server = scene.server(server_runtime, echo, where=on_tls(server_tls))
    client = scene.client(client_runtime, server.url, transports=transports, ssl=client_tls)
    (socket,) = server.sockets
    assert socket.handshake.secure
    # More than a record and more than a read buffer, both ways.
    text = "x" * 600_000
    assert client.ask("echo", text, b"\x00" * 100_000) == (text, b"\x00" * 100_000)
    client.upgraded()
    assert client.ask("echo", 1) == 1


@feature("TLS")
@over_each
def test_a_certificate_that_is_not_trusted(
    scene: Scene, runtime: Flavour, transports: tuple[str, ...], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = scene.server(runtime, where=on_tls(server_tls))
    with pytest.raises(ConnectError):
        scene.client(runtime, server.url, transports=transports)
    # A name that the certificate does not have.
    with pytest.raises(ConnectError):
        scene.client(runtime, f"https://127.0.0.1:{server.port}", transports=transports, ssl=client_tls)
    scene.client(runtime, server.url, transports=transports, ssl=client_tls)


@feature("TLS")
@over_each
def test_tls_where_the_other_side_has_none(
    scene: Scene, runtime: Flavour, transports: tuple[str, ...], server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    secure, plain = scene.server(runtime, where=on_tls(server_tls)), scene.server(runtime)
    with pytest.raises(ConnectError):
        scene.client(runtime, f"http://localhost:{secure.port}", transports=transports)
    with pytest.raises(ConnectError):
        scene.client(runtime, f"https://localhost:{plain.port}", transports=transports, ssl=client_tls)
    assert secure.sessions == plain.sessions == 0


@feature("TLS")
def test_a_handshake_that_is_never_finished_holds_up_nobody(
    scene: Scene, runtime: Flavour, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext
) -> None:
    server = scene.server(runtime, where=on_tls(server_tls))
    with sockets.create_connection(server.address) as silent, sockets.create_connection(server.address) as rude:
        rude.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(ConnectionError):
            while rude.recv(1024):
                pass
        scene.client(runtime, server.url, ssl=client_tls)
        server.stop()
        with suppress(ConnectionError):
            assert silent.recv(1) == b""


# Where it listens


@feature("Unix sockets and given sockets")
@pytest.mark.skipif(not hasattr(sockets, "AF_UNIX"), reason="this system has no Unix sockets")
def test_unix_socket(scene: Scene, runtime: Flavour, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = scene.server(runtime, echo, where={"path": path})
    assert server.address == path

    async def main() -> None:
        client = WebSockets(path)
        await client.open()
        await client.join()
        await client.send('421["echo",1]')
        assert [await client.receive() for _ in range(2)] == ['42["echoed",1]', "431[1]"]
        await client.hang_up()

    asyncio.run(main())


@feature("Unix sockets and given sockets")
def test_a_socket_that_is_listening_already(scene: Scene, runtime: Flavour) -> None:
    listener = sockets.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = scene.server(runtime, where={"sock": listener})
    assert server.address == ("127.0.0.1", port)
    scene.client(runtime, server.url)


@feature("Unix sockets and given sockets")
def test_a_port_that_is_taken(scene: Scene, runtime: Flavour) -> None:
    port = scene.server(runtime).port
    other = scene.make_server(runtime, where={"host": "127.0.0.1", "port": port})
    with pytest.raises(OSError, match="ddress"):
        other.start()
    # It can try again elsewhere.
    other.enter = partial(other.io.listening, "127.0.0.1", 0)
    other.start()
    scene.client(runtime, other.url)


# What requests carry


@feature("headers and cookies")
@over_each
def test_headers_and_cookies(scene: Scene, runtime: Flavour, transports: tuple[str, ...]) -> None:
    seen = scene.log("seen")

    def handlers(io: app.Server) -> None:
        @io.engine.on("initial_headers")
        def first(headers: list[tuple[str, str]], request: Request) -> None:
            headers.append(("Set-Cookie", "taste=sweet; Path=/"))

        @io.engine.on("headers")
        def each(headers: list[tuple[str, str]], request: Request) -> None:
            found = dict(request.headers)
            seen.append((found.get("x-who"), found.get("cookie")))

        io.on("who", lambda socket: dict(socket.handshake.headers).get("x-who"))

    server = scene.server(runtime, handlers, cookie=SessionCookie())
    client = scene.client(runtime, server.url, transports=transports, extra_headers={"X-Who": "me"}, cookie_jar=True)
    assert client.ask("who") == "me"
    client.upgraded()
    assert {who for who, _ in seen} == {"me"}
    if len(transports) == 2 or transports == ("polling",):
        assert any(cookie is not None and "taste=sweet" in cookie and "io=" in cookie for _, cookie in seen)


# Proxies


@pytest.mark.parametrize("scheme", ["http", "https"])
@feature("HTTP proxy")
@over_each
def test_through_a_proxy(
    scene: Scene,
    runtime: Flavour,
    transports: tuple[str, ...],
    scheme: str,
    server_tls: ssl.SSLContext,
    client_tls: ssl.SSLContext,
) -> None:
    server = scene.server(runtime, echo, where=on_tls(server_tls) if scheme == "https" else None)
    host = f"localhost:{server.port}"
    with Proxy(user="me:it's me") as proxy:

        def come(user: str) -> Client:
            through = proxy.url.replace("http://", f"http://{user}")
            return scene.client(runtime, f"{scheme}://{host}", transports=transports, proxy=through, ssl=client_tls)

        client = come("me:it%27s%20me@")
        text = "x" * 300_000
        assert client.ask("echo", text, b"binary") == (text, b"binary")
        client.upgraded()
        assert client.ask("echo", 1) == 1
        assert {lines[0] for lines in proxy.requests} == {f"CONNECT {host} HTTP/1.1"}
        for user in ("", "me:wrong@"):
            with pytest.raises(ConnectError):
                come(user)
        client.stop()


@feature("HTTP proxy")
def test_a_proxy_that_cuts(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime, echo)
    with Proxy() as proxy:
        client = scene.make_client(runtime, server.url, proxy=proxy.url, transports=("websocket",))
        rows = scene.record("rows", client.hosted, "connect", "disconnect")
        client.start()
        for turn in range(1, 4):
            proxy.cut()
            gathered(rows, 2 * turn + 1)
            assert client.ask("echo", turn) == turn
        assert [row[0] for row in rows] == ["connect", *["disconnect", "connect"] * 3]
        client.stop()


@feature("HTTP proxy")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", id="refuses"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n", id="is none"),
        pytest.param(b"", id="hangs up"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-Half", id="stops halfway"),
    ],
)
def test_a_proxy_that_lets_nobody_through(scene: Scene, runtime: Flavour, answer: bytes) -> None:
    with Proxy(refusal=answer) as proxy:
        for url in ("http://127.0.0.1:9", "https://localhost:9"):
            with pytest.raises(ConnectError):
                scene.client(runtime, url, proxy=proxy.url)


@feature("HTTP proxy")
def test_a_proxy_that_hangs(scene: Scene, runtime: Flavour) -> None:
    with Proxy(silent=True) as proxy:
        begun = time.monotonic()
        for url in ("http://127.0.0.1:9", "https://localhost:9"):
            with pytest.raises(ConnectError):
                scene.client(runtime, url, proxy=proxy.url, dial_timeout=0.2)
        assert time.monotonic() - begun < LATE


@feature("HTTP proxy")
def test_a_proxy_that_is_not_there_and_one_that_cannot_be(scene: Scene, runtime: Flavour) -> None:
    with Proxy() as proxy:
        gone = proxy.url
    with pytest.raises(ConnectError):
        scene.client(runtime, "http://127.0.0.1:9", proxy=gone)
    with pytest.raises(OptionError, match="proxy"):
        scene.make_client(runtime, "http://127.0.0.1:9", proxy="socks5://secret:word@127.0.0.1:9")
