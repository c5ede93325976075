"""How clients come in and how they leave: auth, refusals, waiting for a server, the end of a block."""

from __future__ import annotations

import socket as sockets
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import ConnectError, Disconnected, Forbidden, LocalProtocolError
from tests.bindings.live import LATE
from tests.bindings.scene import OVER, eventually

if TYPE_CHECKING:
    from sioproto import Request, Socket, app
    from tests.bindings.flavours import Flavour
    from tests.bindings.scene import Scene

over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
feature = pytest.mark.feature


def guarded(io: app.Server) -> None:
    """Lets in whoever knows the token."""

    @io.use
    async def check(socket: Socket) -> None:
        await io.sleep(0)
        if socket.handshake.auth.get("token") != "right":
            raise ConnectError("not you", {"code": 7})

    io.on("auth", lambda socket: socket.handshake.auth)


def unused_port() -> int:
    """Returns a port where nobody listens."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@feature("auth and middlewares")
@over_each
def test_who_is_refused_and_who_is_not(
    scene: Scene, server_runtime: Flavour, client_runtime: Flavour, transports: tuple[str, ...]
) -> None:
    server = scene.server(server_runtime, guarded)
    for auth in (None, {"token": "wrong"}):
        with pytest.raises(ConnectError, match="not you") as refused:
            scene.client(client_runtime, server.url, auth=auth, transports=transports)
        assert refused.value.data == {"code": 7}
    client = scene.client(client_runtime, server.url, auth={"token": "right"}, transports=transports)
    assert client.ask("auth") == {"token": "right"}
    assert len(server.sockets) == 1


@feature("auth and middlewares")
def test_auth_that_is_asked_for_and_changes(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime, guarded)
    asked = scene.log("asked")

    async def auth() -> dict[str, Any]:
        await client.hosted.sleep(0)
        asked.append(len(asked))
        return {"token": "right", "turn": len(asked)}

    client = scene.make_client(runtime, server.url, auth=auth)
    connects = scene.record("connects", client.hosted, "connect", "disconnect")
    client.start()
    assert client.ask("auth") == {"token": "right", "turn": 1}
    server.call(lambda: [socket.conn.close() for socket in server.io.sockets.sockets.values()])
    eventually(lambda: len(connects) == 3)
    assert [row[0] for row in connects] == ["connect", "disconnect", "connect"]
    assert client.ask("auth") == {"token": "right", "turn": 2}
    client.call(client.hosted.disconnect)
    client.call(setattr, client.hosted.socket, "auth", {"token": "wrong"})
    with pytest.raises(ConnectError, match="not you"):
        client.call(client.hosted.connect)
    client.call(setattr, client.hosted.socket, "auth", lambda: {"token": "right", "turn": 3})
    client.call(client.hosted.connect)
    assert client.ask("auth")["turn"] == 3


@feature("auth and middlewares")
def test_a_middleware_that_fails_refuses(scene: Scene, runtime: Flavour) -> None:
    def handlers(io: app.Server) -> None:
        @io.use
        def broken(socket: Socket) -> None:
            raise ZeroDivisionError

    server = scene.server(runtime, handlers)
    with pytest.raises(ConnectError, match="Internal server error"):
        scene.client(runtime, server.url)
    error, where = scene.take_error()
    assert isinstance(error, ZeroDivisionError)
    assert where == "middleware of /"


@feature("auth and middlewares")
@over_each
def test_allow_request(scene: Scene, runtime: Flavour, transports: tuple[str, ...]) -> None:
    async def allow(request: Request) -> None:
        await server.io.sleep(0)
        if "no=1" in request.target:
            raise Forbidden("go away")

    server = scene.make_server(runtime, allow_request=allow)
    server.start()
    with pytest.raises(ConnectError):
        scene.client(runtime, server.url + "/?no=1", transports=transports)
    scene.client(runtime, server.url, transports=transports)


@feature("connecting and leaving")
@over_each
def test_nobody_listens(scene: Scene, runtime: Flavour, transports: tuple[str, ...]) -> None:
    begun = time.monotonic()
    with pytest.raises(ConnectError):
        # Whatever it would do later, the first attempt tells.
        scene.client(runtime, f"http://127.0.0.1:{unused_port()}", transports=transports, reconnection_delay=5 * LATE)
    assert time.monotonic() - begun < LATE


@feature("connecting and leaving")
def test_a_host_that_does_not_exist(scene: Scene, runtime: Flavour) -> None:
    for host in ("nowhere.invalid", "x" * 70 + ".invalid"):
        with pytest.raises(ConnectError):
            scene.client(runtime, f"http://{host}:80")


@feature("connecting and leaving")
def test_waiting_for_a_server(scene: Scene, runtime: Flavour) -> None:
    port = unused_port()
    client = scene.make_client(runtime, f"http://127.0.0.1:{port}", wait_for_server=True)
    attempts = scene.record("attempts", client.hosted, "connect_error", "reconnect_attempt")
    entering = threading.Thread(target=client.start)
    entering.start()
    eventually(lambda: len(attempts) > 4)
    assert entering.is_alive()
    server = scene.server(runtime, where={"host": "127.0.0.1", "port": port})
    entering.join(LATE)
    assert not entering.is_alive()
    assert [socket.id for socket in server.sockets] == [client.hosted.id]


@feature("connecting and leaving")
@over_each
def test_leaving_the_block_delivers_what_was_emitted_and_says_goodbye(
    scene: Scene, server_runtime: Flavour, client_runtime: Flavour, transports: tuple[str, ...]
) -> None:
    numbers, gone = scene.log("numbers"), scene.log("gone")

    def handlers(io: app.Server) -> None:
        io.on("number", lambda socket, number: numbers.append(number))
        io.on("disconnect", lambda socket, reason: gone.append(reason))

    server = scene.server(server_runtime, handlers)
    client = scene.make_client(client_runtime, server.url, transports=transports)
    lost = scene.record("lost", client.hosted, "disconnect")
    client.start()
    client.call(lambda: [client.hosted.emit("number", number) for number in range(200)] and None)
    client.stop(LATE)
    eventually(lambda: gone)
    assert numbers == list(range(200))
    assert gone == ["client namespace disconnect"]
    assert lost == [("disconnect", "io client disconnect", None)]
    eventually(lambda: server.sessions == 0)
    with pytest.raises(LocalProtocolError, match=r"not running|does not serve"):
        client.hosted.from_thread(client.hosted.emit, "number", 1)


@feature("connecting and leaving")
def test_wait_ends_when_the_client_does_not_come_back(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime)
    for end in ("server", "client", "close"):
        client = scene.client(runtime, server.url)
        waiting = runtime.begin(client.hosted, client.hosted.wait)
        assert not waiting.done()
        if end == "server":
            server.call(server.io.disconnect_sockets)
        elif end == "client":
            client.call(client.hosted.disconnect)
        else:
            client.stop()
        waiting.result(LATE)


@feature("connecting and leaving")
def test_whoever_waits_is_told_of_the_end(scene: Scene, runtime: Flavour) -> None:
    def handlers(io: app.Server) -> None:
        @io.on("never answered")
        def never(*_: Any, ack: object) -> None:
            pass

    server = scene.server(runtime, handlers)
    client = scene.client(runtime, server.url, handlers)
    (socket,) = server.sockets
    asked = client.hosted.from_thread(client.hosted.emit_with_ack, "never answered")
    asking = server.io.from_thread(socket.emit_with_ack, "never answered")
    server.emit("something that comes after")
    client.stop()
    for future in (asked, asking):
        with pytest.raises(Disconnected):
            future.result(LATE)


@feature("connecting and leaving")
def test_what_was_closed_cannot_be_entered_again(scene: Scene, runtime: Flavour) -> None:
    server = scene.server(runtime)
    client = scene.client(runtime, server.url)
    for guest in (client, server):
        guest.stop()
        with pytest.raises(LocalProtocolError, match="was closed"):
            guest.start()
