"""A socket and its handshake, row by row: the nine fields, rooms, data, attributes, middlewares (SO-01 to SO-19)."""

from __future__ import annotations

from typing import Any

import pytest

from sioproto import LocalProtocolError, Namespace, ReservedEventError, Socket
from tests.parity.scene import Scene


def test_so_01_the_id_is_the_clients_and_a_room_and_not_the_session() -> None:
    scene = Scene()
    alice = scene.client()
    alice.connect("/admin")
    assert alice.socket.id == alice.ids["/"]
    assert alice.at("/admin").id == alice.ids["/admin"]
    assert len({alice.sid, alice.ids["/"], alice.ids["/admin"]}) == 3
    assert len(alice.socket.id) == 20
    scene.io.to(alice.ids["/"]).emit("only", "you")
    assert alice.take() == ['2["only","you"]']


def test_so_01_a_new_connection_gets_a_new_id() -> None:
    scene = Scene()
    alice = scene.client()
    first = alice.ids["/"]
    alice.send("1")
    assert alice.connect() != first


HEADERS = {"user-agent": "stock", "cookie": "a=1", "origin": "https://elsewhere.example"}


def test_so_02_the_handshake_has_nine_fields_and_does_not_change() -> None:
    scene = Scene(cors=None)
    alice = scene.client(auth={"token": "s3"}, headers={"user-agent": "stock"})
    handshake = alice.socket.handshake
    names = ("headers", "query", "auth", "time", "issued", "url", "address", "xdomain", "secure")
    before = [getattr(handshake, name) for name in names]
    scene.advance(100)
    assert [getattr(alice.socket.handshake, name) for name in names] == before
    alice.connect("/admin")
    assert alice.at("/admin").handshake is not handshake


def test_so_03_headers_are_those_of_the_first_request() -> None:
    scene = Scene()
    alice = scene.client(transport="polling", headers={"user-agent": "stock", "x-token": "1"})
    alice._headers.append(("x-later", "2"))
    alice.upgrade()
    alice.connect("/admin")
    for name in ("/", "/admin"):
        headers = alice.at(name).handshake.headers
        assert headers["user-agent"] == "stock"
        assert headers["x-token"] == "1"
        assert "x-later" not in headers


def test_so_04_the_query_is_that_of_the_first_request() -> None:
    scene = Scene()
    alice = scene.open("polling", "&t=abc&room=a%20b&room=c+d")
    alice.connect("/admin")
    assert alice.at("/admin").handshake.query == {"EIO": "4", "transport": "polling", "t": "abc", "room": "c d"}


def test_so_05_auth_belongs_to_the_namespace() -> None:
    scene = Scene()
    scene.io.of("/admin")
    alice = scene.client(auth={"token": "s3"})
    alice.connect("/admin", {"admin": True})
    bob = scene.client()
    assert alice.socket.handshake.auth == {"token": "s3"}
    assert alice.at("/admin").handshake.auth == {"admin": True}
    assert bob.socket.handshake.auth == {}


def test_so_06_time_is_written_as_javascript_writes_it() -> None:
    scene = Scene()
    assert scene.client().socket.handshake.time == "Mon Nov 23 2026 11:32:59 GMT+0000 (Coordinated Universal Time)"


def test_so_07_issued_is_in_milliseconds_and_of_the_namespace() -> None:
    scene = Scene()
    scene.io.of("/admin")
    alice = scene.client()
    assert alice.socket.handshake.issued == 1_795_433_579_000
    scene.advance(1.5)
    alice.connect("/admin")
    assert alice.at("/admin").handshake.issued == 1_795_433_580_500


def test_so_08_the_url_is_the_target_as_sent() -> None:
    scene = Scene()
    alice = scene.open("websocket", "&room=a%20b")
    alice.connect()
    assert alice.socket.handshake.url == "/socket.io/?EIO=4&transport=websocket&room=a%20b"


def test_so_09_the_address_is_the_peers() -> None:
    scene = Scene()
    assert scene.client(address="::ffff:1.2.3.4").socket.handshake.address == "::ffff:1.2.3.4"
    # Nobody is believed about who they are unless an option says so.
    forwarded = {"x-forwarded-for": "9.9.9.9"}
    assert scene.client(headers=forwarded).socket.handshake.address == "10.0.0.7"
    scene = Scene(trusted_proxies=("10.0.0.7",))
    assert scene.client(headers=forwarded).socket.handshake.address == "9.9.9.9"


def test_so_10_xdomain_is_whether_there_was_an_origin() -> None:
    scene = Scene()
    same = {"origin": "https://example.org", "host": "example.org"}
    assert scene.client(headers=same).socket.handshake.xdomain is True
    assert scene.client().socket.handshake.xdomain is False


def test_so_11_secure_is_whether_the_connection_was_tls() -> None:
    scene = Scene()
    forwarded = {"x-forwarded-proto": "https"}
    assert scene.client(secure=True).socket.handshake.secure is True
    assert scene.client(headers=forwarded).socket.handshake.secure is False
    scene = Scene(trusted_proxies=("10.0.0.7",))
    assert scene.client(headers=forwarded).socket.handshake.secure is True


def test_so_12_rooms_are_live() -> None:
    scene = Scene()
    seen: list[frozenset[str]] = []
    scene.io.on("connection", lambda socket: seen.append(socket.rooms))
    scene.io.on("disconnecting", lambda socket: seen.append(socket.rooms))
    scene.io.on("disconnect", lambda socket: seen.append(socket.rooms))
    alice = scene.client()
    socket = alice.socket
    socket.join("room1")
    assert socket.rooms == {socket.id, "room1"}
    socket.leave("room1")
    socket.join("room2")
    assert socket.rooms == {socket.id, "room2"}
    alice.close()
    assert seen == [{socket.id}, {socket.id, "room2"}, frozenset()]


def test_so_12_a_loop_over_rooms_may_leave_them() -> None:
    scene = Scene()
    socket = scene.client().socket
    socket.join("a", "b")
    for room in socket.rooms:
        socket.leave(room)
    assert socket.rooms == frozenset()


def test_so_13_data_is_the_applications_and_fetch_sockets_shows_it() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    assert alice.socket.data == {}
    alice.socket.data["username"] = "alice"
    found = {each.id: each.data for each in scene.wait(scene.io.fetch_sockets())}
    assert found == {alice.socket.id: {"username": "alice"}, bob.socket.id: {}}


def test_so_14_conn_is_the_session_of_all_namespaces() -> None:
    scene = Scene()
    alice = scene.client(transport="polling")
    alice.connect("/admin")
    conn = alice.socket.conn
    assert conn is alice.at("/admin").conn
    assert conn.id == alice.sid
    names: list[str] = [conn.transport.name]
    alice.upgrade()
    assert [*names, conn.transport.name] == ["polling", "websocket"]


def test_so_14_conn_tells_of_packets_drain_and_close() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.on("connection")
    def connection(socket: Socket) -> None:
        # Observers take as many arguments as they like, as handlers do.
        @socket.conn.once("upgrade")
        def upgrade() -> None:
            seen.append(("upgrade", socket.conn.transport.name))

        socket.conn.on("packet", lambda kind, data: seen.append(("packet", kind, data)))
        socket.conn.on("packetCreate", lambda kind: seen.append(("packet_create", kind)))
        socket.conn.on("drain", lambda: seen.append("drain"))
        socket.conn.on("close", lambda reason: seen.append(("close", reason)))

    alice = scene.client(transport="polling")
    seen.clear()
    alice.upgrade()
    assert seen == [("upgrade", "websocket")]
    seen.clear()
    alice.send('2["hello"]')
    alice.socket.emit("hi")
    scene.settle()
    alice.close()
    assert [each[0] if isinstance(each, tuple) else each for each in seen] == [
        "packet",
        "packet_create",
        "drain",
        "close",
    ]
    assert seen[0][2] == '2["hello"]'
    assert seen[-1] == ("close", "transport close")


def test_so_15_custom_attributes_set_in_a_middleware_live_as_long_as_the_socket() -> None:
    scene = Scene()
    seen: list[str] = []

    @scene.io.use
    async def authenticate(socket: Socket) -> None:
        socket.username = socket.handshake.auth["name"]  # type: ignore[attr-defined]  # that is the point

    @scene.io.on("whoami")
    def whoami(socket: Any) -> str:
        return f"{socket.username}"

    scene.io.on("disconnect", lambda socket: seen.append(socket.username))
    alice = scene.client(auth={"name": "alice"})
    alice.send('21["whoami"]')
    assert alice.take() == ['31["alice"]']
    alice.close()
    assert seen == ["alice"]


RESERVED = ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener")


@pytest.mark.parametrize("event", RESERVED)
def test_so_16_reserved_events_are_refused_at_once(event: str) -> None:
    scene = Scene()
    alice = scene.client()
    socket = alice.socket
    for emit in (socket.emit, socket.volatile.emit, socket.emit_with_ack, socket.broadcast.emit, scene.io.emit):
        with pytest.raises(ReservedEventError, match=f'^"{event}" is a reserved event name$'):
            emit(event)
    assert alice.take() == []


def test_so_16_an_event_is_named_by_a_str() -> None:
    with pytest.raises(TypeError, match="not int"):
        Scene().client().socket.emit(1)  # type: ignore[call-overload]  # what is refused


def test_so_17_middlewares_see_the_argument_list_and_may_change_it() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.on("connection")
    def connection(socket: Socket) -> None:
        @socket.use
        async def shout(event: str, args: list[Any]) -> None:
            seen.append((event, list(args)))
            args[0] = args[0].upper()

        @socket.use
        def count(event: str, args: list[Any]) -> None:
            args.append(len(args))

        socket.on("say", lambda *args: seen.append(args))

    alice = scene.client()
    alice.send('27["say","hi"]')
    # The acknowledgement is no argument, so it cannot be mistaken for one.
    assert seen == [("say", ["hi"]), ("HI", 1)]
    alice.send('37["an answer"]')
    assert len(seen) == 2


def test_so_17_middlewares_run_after_catch_alls_and_not_at_the_end() -> None:
    scene = Scene()
    seen: list[str] = []
    alice = scene.client()
    alice.socket.use(lambda event, args: seen.append(f"use {event}"))
    alice.socket.on_any(lambda event: seen.append(f"any {event}"))
    alice.socket.on("a", lambda: seen.append("handler"))
    alice.send('2["a"]')
    assert seen == ["any a", "use a", "handler"]
    alice.close()
    assert seen == ["any a", "use a", "handler"]


def test_so_18_a_refused_event_goes_to_the_error_handlers_and_not_to_the_client() -> None:
    scene = Scene()
    seen: list[Any] = []

    @scene.io.on("connection")
    def connection(socket: Socket) -> None:
        @socket.use
        def gate(event: str, args: list[Any]) -> None:
            if event == "forbidden":
                raise PermissionError("unauthorized event")

        socket.on("error", lambda error: seen.append((type(error), str(error))))
        socket.on("forbidden", lambda: seen.append("handled"))
        socket.on("allowed", lambda: seen.append("allowed"))

    alice = scene.client()
    alice.send('21["forbidden"]')
    assert seen == [(PermissionError, "unauthorized event")]
    assert alice.take() == []
    alice.send('22["allowed"]')
    assert seen[1:] == ["allowed"]
    assert not scene.failures


def test_so_18_a_clients_event_called_error_reaches_no_error_handler() -> None:
    scene = Scene()
    seen: list[str] = []
    alice = scene.client()
    alice.socket.on("error", lambda error: seen.append("lifecycle"))
    alice.socket.on("error", lambda text: seen.append(text), wire=True)
    alice.send('2["error","mine"]')
    assert seen == ["mine"]


def test_so_18_a_refusal_without_error_handlers_is_no_failure() -> None:
    scene = Scene()
    alice = scene.client()

    @alice.socket.use
    def refuse(event: str, args: list[Any]) -> None:
        raise ValueError(event)

    alice.send('2["a"]')
    assert not scene.failures
    assert alice.socket.connected


def test_so_19_events_that_came_before_the_clients_own_end_are_handled() -> None:
    scene = Scene()
    seen: list[str] = []
    scene.io.on("bye", lambda socket: seen.append("bye"))
    scene.io.on("disconnect", lambda socket, reason: seen.append(reason))
    alice = scene.client(transport="polling")
    alice.send('2["bye"]', "1")
    assert seen == ["bye", "client namespace disconnect"]


def test_so_19_nothing_is_handled_after_the_server_disconnected_it() -> None:
    scene = Scene()
    seen: list[str] = []

    @scene.io.on("message")
    async def message(socket: Socket, text: str) -> str:
        seen.append(text)
        if text == "banned":
            socket.disconnect()
        await scene.io.sleep(0)
        return text

    alice = scene.client(transport="polling")
    alice.send('2["message","hi"]', '2["message","banned"]', '21["message","more"]')
    assert seen == ["hi", "banned"]
    assert alice.take() == ["1"]


def test_so_19_handlers_of_one_socket_run_one_after_another() -> None:
    scene = Scene()
    seen: list[str] = []

    @scene.io.on("slow")
    async def slow(socket: Socket) -> None:
        await scene.io.sleep(1)
        seen.append("slow")

    scene.io.on("fast", lambda socket: seen.append("fast"))
    alice, bob = scene.client(), scene.client()
    alice.send('2["slow"]', '2["fast"]')
    bob.send('2["fast"]')
    assert seen == ["fast"]
    scene.advance(1)
    assert seen == ["fast", "slow", "fast"]


class Typed(Namespace):
    """Types of arguments stand with the handlers, where type checkers and people look for them."""

    def on_add(self, socket: Socket, first: int, second: int) -> int:
        return first + second


def test_so_35_handlers_carry_the_types() -> None:
    scene = Scene(tolerant=True)
    scene.io.of("/typed", Typed)
    alice = scene.client("/typed")
    alice.send('2/typed,1["add",1,2]')
    assert alice.take() == ["3/typed,1[3]"]
    alice.send('2/typed,2["add",1]')
    assert alice.take() == []
    assert scene.failures == ["event 'add' in /typed: on_add takes 3 arguments, and 2 came"]


def test_so_33_a_handler_must_be_callable() -> None:
    with pytest.raises(LocalProtocolError, match="must be callable"):
        Scene().io.on("a", 1)  # type: ignore[call-overload]  # what is refused
