"""How sockets end, row by row: every reason, in which order, never twice (SO-27 to SO-32, DR-01 to DR-10)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sioproto import Disconnected, Socket
from tests.parity.scene import Client, Scene, ids_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Log:
    """What is told of the end of sockets: ``(event, namespace, reason)``."""

    def __init__(self, scene: Scene) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self.descriptions: list[str | None] = []
        for namespace in (scene.io.sockets, scene.admin):
            for event in ("disconnecting", "disconnect"):
                namespace.on(event, self._handler(event))

    @property
    def reasons(self) -> list[str]:
        """The reasons of ``disconnect``, each after a ``disconnecting`` of the same."""
        assert [row[1:] for row in self.rows if row[0] == "disconnecting"] == [
            row[1:] for row in self.rows if row[0] == "disconnect"
        ]
        return [row[2] for row in self.rows if row[0] == "disconnect"]

    def _handler(self, event: str) -> Callable[[Socket, str, str | None], None]:
        def handler(socket: Socket, reason: str, description: str | None) -> None:
            self.rows.append((event, socket.namespace.name, reason))
            if event == "disconnect":
                self.descriptions.append(description)

        return handler


def both(scene: Scene, transport: str = "websocket") -> Client:
    """Returns a client in two namespaces."""
    alice = scene.client(transport=transport)
    alice.connect("/admin")
    return alice


TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "polling"])


@TRANSPORTS
def test_dr_01_server_namespace_disconnect(transport: str) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene, transport)
    alice.at("/admin").disconnect()
    assert alice.take() == ["1/admin,"]
    assert log.rows == [
        ("disconnecting", "/admin", "server namespace disconnect"),
        ("disconnect", "/admin", "server namespace disconnect"),
    ]
    assert alice.socket.connected
    assert not alice.closed


@TRANSPORTS
def test_so_27_disconnect_close_ends_all_namespaces_and_the_session(transport: str) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene, transport)
    conn = alice.socket.conn
    bodies: list[bytes] = []
    scene.io.engine.on("headers", lambda headers: bodies.append(b""))
    alice.socket.emit("last")
    alice.socket.disconnect(close=True)
    assert alice.take() == ['2["last"]', "1", "1/admin,"]
    # On polling the close comes alone: stock clients would take it before the messages that came with it.
    assert len(bodies) == (2 if transport == "polling" else 0)
    assert log.reasons == ["server namespace disconnect"] * 2
    assert alice.closed
    assert conn.ready_state == "closed"


def test_so_27_disconnecting_twice_does_nothing() -> None:
    scene = Scene()
    log = Log(scene)
    alice = scene.client()
    socket = alice.socket
    socket.disconnect()
    socket.disconnect()
    scene.settle()
    socket.disconnect()
    assert alice.take() == ["1"]
    assert log.reasons == ["server namespace disconnect"]


@TRANSPORTS
def test_dr_02_client_namespace_disconnect(transport: str) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene, transport)
    alice.send("1/admin,")
    alice.send("1")
    assert log.rows[1::2] == [
        ("disconnect", "/admin", "client namespace disconnect"),
        ("disconnect", "/", "client namespace disconnect"),
    ]
    # The session stays, even without a namespace, and may come back.
    scene.advance(100)
    assert not alice.closed
    alice.connect("/admin")
    assert alice.take() == []


@TRANSPORTS
def test_dr_03_server_shutting_down(transport: str) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene, transport)
    stopped = scene.io.stop(5.0)
    scene.settle()
    assert log.reasons == ["server shutting down"] * 2
    # No DISCONNECT packet: stock clients would not come back after one.
    assert alice.take() == []
    assert alice.closed
    assert stopped.done
    assert scene.open().refusal == 503


@TRANSPORTS
def test_dr_04_ping_timeout(transport: str) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene, transport)
    scene.advance(50)
    assert log.reasons == []
    alice.pongs = False
    scene.advance(25 + 19)
    assert log.reasons == []
    scene.advance(2)
    assert log.reasons == ["ping timeout"] * 2


def test_dr_05_forced_close_after_an_invalid_packet() -> None:
    scene = Scene()
    log = Log(scene)
    errors: list[str] = []
    scene.io.on("error", lambda socket, error: errors.append(str(error)))
    alice = both(scene)
    alice.send("9")
    assert errors == ["unknown packet type"]
    assert log.reasons == ["forced close"] * 2
    assert alice.closed


@pytest.mark.parametrize("how", ["conn", "engine"])
def test_dr_05_forced_close_by_the_server(how: str) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene)
    if how == "conn":
        alice.socket.conn.close()
    else:
        scene.io.engine.close()
    scene.settle()
    assert log.reasons == ["forced close"] * 2
    assert alice.closed


@pytest.mark.parametrize("held", [True, False])
def test_dr_06_a_violation_is_a_forced_close_whatever_the_transport_does(held: bool) -> None:
    scene = Scene()
    log = Log(scene)
    alice = scene.client(transport="polling")
    alice.polls = held
    if not held:
        alice.socket.emit("uses the poll up")
        scene.settle()
        alice.socket.emit("waits")
    alice.send('4{"message":"no client may send this"}')
    scene.advance(30)
    assert log.reasons == ["forced close"]


@TRANSPORTS
def test_dr_07_transport_close(transport: str) -> None:
    scene = Scene()
    log = Log(scene)
    both(scene, transport).close()
    assert log.reasons == ["transport close"] * 2


def overlap(alice: Client) -> None:
    alice.hold_poll()


def aborted(alice: Client) -> None:
    alice.close("gone")


def wrong_heartbeat(alice: Client) -> None:
    alice.send_packets("2")


ERRORS = [
    ("polling", overlap, "overlap from client"),
    ("polling", aborted, "poll connection closed prematurely"),
    ("websocket", aborted, "gone"),
    ("websocket", wrong_heartbeat, "invalid heartbeat direction"),
]


@pytest.mark.parametrize(("transport", "provoke", "description"), ERRORS)
def test_dr_08_transport_error(transport: str, provoke: Callable[[Client], None], description: str) -> None:
    scene = Scene()
    log = Log(scene)
    provoke(both(scene, transport))
    assert log.reasons == ["transport error"] * 2
    assert log.descriptions == [description] * 2


@TRANSPORTS
def test_dr_09_parse_error_is_about_engine_io_packets(transport: str) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene, transport)
    alice.send_packets("7")
    assert log.reasons == ["parse error"] * 2


def test_so_28_in_disconnecting_the_rooms_are_there() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.on("disconnecting")
    async def disconnecting(socket: Socket, reason: str) -> None:
        seen.append((reason, socket.rooms - {socket.id}))
        await scene.io.sleep(1)
        for room in socket.rooms:
            socket.to(room).emit("user has left", socket.id)

    alice, bob = scene.client(), scene.client()
    for each in (alice, bob):
        each.socket.join("room")
    alice.close()
    assert seen == [("transport close", {"room"})]
    assert ids_of(scene.io) == {bob.socket.id}
    scene.advance(1)
    assert bob.take() == [f'2["user has left","{alice.ids["/"]}"]']


def test_so_28_rooms_are_not_kept_for_ever() -> None:
    scene = Scene(disconnecting_timeout=3.0)
    alice = scene.client()
    socket = alice.socket
    scene.io.on("disconnecting", lambda socket: scene.io.sleep(100))
    alice.close()
    assert socket.rooms
    scene.advance(3)
    assert socket.rooms == frozenset()


def test_so_29_in_disconnect_it_is_nowhere() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.on("disconnect")
    def disconnect(socket: Socket, reason: str) -> None:
        socket.join("room")
        seen.append((reason, socket.rooms, socket.connected, dict(scene.io.sockets.sockets), socket.client.sockets))

    scene.client().close()
    assert seen == [("transport close", frozenset(), False, {}, {})]


def test_so_30_the_order_of_the_end() -> None:
    scene = Scene()
    seen: list[Any] = []
    alice = scene.client()
    alice.socket.join("room")
    scene.io.on("disconnecting", lambda socket: seen.append("disconnecting"))
    scene.io.sockets.adapter.on("leave_room", lambda room: seen.append("leave" if room == "room" else "leave own"))
    scene.io.sockets.adapter.on("delete_room", lambda room: seen.append("deleted" if room == "room" else "own deleted"))
    scene.io.on("disconnect", lambda socket: seen.append("disconnect"))
    answer = alice.socket.emit_with_ack("question")
    answer.on_done(lambda _: seen.append("answer failed"))
    alice.close()
    assert seen == ["answer failed", "disconnecting", "leave own", "own deleted", "leave", "deleted", "disconnect"]
    with pytest.raises(Disconnected):
        answer.result()


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("event", ["disconnecting", "disconnect"])
def test_so_31_disconnecting_inside_the_end_does_nothing(event: str, close: bool) -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene)
    scene.io.on(event, lambda socket: socket.disconnect())
    alice.socket.disconnect(close)
    got = alice.take()
    assert got == (["1", "1/admin,"] if close else ["1"])
    assert log.reasons == ["server namespace disconnect"] * len(got)


def test_so_31_closing_the_session_inside_the_end_ends_no_socket_twice() -> None:
    scene = Scene()
    log = Log(scene)
    alice = both(scene)
    scene.io.on("disconnecting", lambda socket: socket.conn.close())
    alice.send("1")
    assert log.rows == [
        ("disconnecting", "/", "client namespace disconnect"),
        ("disconnect", "/", "client namespace disconnect"),
        ("disconnecting", "/admin", "forced close"),
        ("disconnect", "/admin", "forced close"),
    ]


def test_so_32_the_description_says_more_of_transport_errors_only() -> None:
    scene = Scene()
    log = Log(scene)
    both(scene).close()
    scene.client().close("connection reset")
    scene.client().socket.disconnect()
    scene.settle()
    assert log.descriptions == [None, None, "connection reset", None]


def test_dr_10_the_client_learns_its_own_reason_from_how_it_is_told() -> None:
    scene = Scene()
    kicked, closed = scene.client(), scene.client()
    kicked.socket.disconnect()
    closed.socket.conn.close()
    # "io server disconnect" comes of the packet, "transport close" of the end of the transport.
    assert (kicked.take(), kicked.closed) == (["1"], False)
    assert (closed.take(), closed.closed) == ([], True)
