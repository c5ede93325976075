"""The server itself and what connects clients to it, row by row (SV-01 to SV-16, CL-01 to CL-12)."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

import sioproto_asyncio
from sioproto import Namespace, OptionError, ReservedEventError, Socket
from sioproto.engineio import EngineServer
from sioproto.socketio import MemoryAdapter
from tests.parity.scene import Scene, ids_of


def test_sv_01_options_go_by_name_to_the_constructor() -> None:
    io = sioproto_asyncio.Server(ping_interval=10.0, connect_timeout=5.0, path="/ws")
    assert io.engine_config.ping_interval == 10.0
    assert io.engine_config.path == "/ws"
    with pytest.raises(OptionError, match=r"'ping_intervall'.*'ping_interval'"):
        sioproto_asyncio.Server(ping_intervall=10.0)  # type: ignore[call-arg]  # what is refused
    with pytest.raises(OptionError, match="above 0"):
        sioproto_asyncio.Server(connect_timeout=0)


def test_sv_02_the_engine_is_there_from_the_beginning() -> None:
    scene = Scene()
    assert isinstance(scene.io.engine, EngineServer)
    assert scene.io.engine.clients_count == 0
    alice = scene.client()
    alice.connect("/admin")
    assert scene.io.engine.clients_count == 1
    assert scene.io.engine.sessions[alice.sid] is alice.socket.conn


def test_sv_03_sockets_is_the_main_namespace() -> None:
    scene = Scene()
    seen: list[str] = []
    assert scene.io.sockets is scene.io.of("/")
    scene.io.on("a", lambda socket: seen.append("io"))
    scene.io.sockets.on("a", lambda socket: seen.append("sockets"))
    scene.client().send('2["a"]')
    assert seen == ["io", "sockets"]


def test_sv_04_of_returns_the_same_namespace_and_adds_the_slash() -> None:
    scene = Scene()
    assert scene.io.of("chat") is scene.io.of("/chat")
    assert scene.io.of("/chat").name == "/chat"
    with pytest.raises(TypeError):
        scene.io.of(1)  # type: ignore[call-overload]  # what is refused


def test_sv_04_a_name_that_fits_a_pattern_is_made_as_its_child() -> None:
    scene = Scene()
    seen: list[str] = []
    parent = scene.io.of(re.compile(r"/dynamic-\d+"))
    parent.use(lambda socket: seen.append("middleware"))
    scene.io.of("/dynamic-1").emit("nobody is there yet")
    alice = scene.client("/dynamic-1")
    assert seen == ["middleware"]
    scene.io.of("/dynamic-1").emit("hello")
    assert alice.take() == ['2/dynamic-1,["hello"]']


def test_sv_05_use_is_for_the_main_namespace_only() -> None:
    scene = Scene()
    seen: list[str] = []
    scene.io.use(lambda socket: seen.append(socket.namespace.name))
    alice = scene.client("/admin")
    assert seen == []
    alice.connect()
    assert seen == ["/"]


def test_sv_06_connect_and_connection_are_one_event() -> None:
    scene = Scene(tolerant=True)
    seen: list[str] = []
    scene.io.on("connection", lambda socket: seen.append("connection"))

    @scene.io.on("connect")
    async def connect(socket: Socket) -> None:
        seen.append("connect")
        raise ValueError("my fault")

    alice = scene.client()
    assert seen == ["connection", "connect"]
    assert alice.socket.connected
    assert scene.failures == ["SocketConnected in /: my fault"]


def test_sv_06_a_late_handler_misses_no_event() -> None:
    scene = Scene()
    seen: list[str] = []

    @scene.io.on("connection")
    async def connection(socket: Socket) -> None:
        await scene.io.sleep(1)
        socket.on("a", lambda: seen.append("a"))

    alice = scene.client()
    alice.send('2["a"]')
    scene.advance(1)
    assert seen == ["a"]


def test_sv_07_new_namespace_tells_of_all_but_the_main_one() -> None:
    scene = Scene()
    seen: list[str] = []
    scene.io.on("new_namespace", lambda namespace: seen.append(namespace.name))
    scene.io.of("/a")
    scene.io.of("/a")
    scene.io.of(re.compile("/d.+"))
    scene.client("/d1")
    assert seen == ["/a", "/d1"]


def test_sv_08_close_ends_everything_within_its_time() -> None:
    scene = Scene()
    seen: list[str] = []

    @scene.io.on("slow")
    async def slow(socket: Socket) -> None:
        await scene.io.sleep(100)

    scene.io.on("disconnect", lambda socket, reason: seen.append(reason))
    alice, bob = scene.client(), scene.client(transport="polling")
    alice.send('2["slow"]')
    bob.polls = False
    bob.socket.emit("uses the poll up")
    stopped = scene.io.stop(4.0)
    again = scene.io.stop(1.0)
    scene.advance(4.0)
    assert stopped.done
    assert again is stopped
    assert scene.io.engine.clients_count == 0
    assert seen[-1] == "server shutting down"


def test_sv_09_options_are_read_where_they_are_kept() -> None:
    made: list[str] = []

    def adapter(namespace: Namespace) -> MemoryAdapter:
        made.append(namespace.name)
        return MemoryAdapter(namespace, 10)

    scene = Scene(path="/ws", connect_timeout=7.0, adapter=adapter)
    assert scene.io.engine_config.path == "/ws"
    assert scene.io.sockets.server.config.connect_timeout == 7.0
    assert made == ["/", "/admin"]


def test_sv_10_the_server_sends_to_the_main_namespace() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client("/admin")
    alice.socket.join("room")
    scene.io.emit("a")
    scene.io.to("room").emit("b")
    scene.io.in_("room").emit("c")
    scene.io.except_("room").emit("d")
    scene.io.volatile.emit("e")
    scene.io.compress(False).emit("f")
    scene.io.local.emit("g")
    assert alice.take() == [f'2["{name}"]' for name in "abcefg"]
    assert bob.take() == []


def test_sv_11_send_emits_message() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client("/admin")
    scene.io.send("hi", 1)
    scene.admin.send("admin")
    assert alice.take() == ['2["message","hi",1]']
    assert bob.take() == ['2/admin,["message","admin"]']


def test_sv_12_the_server_and_namespaces_ask_everybody() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client("/admin")
    answers, admin = scene.io.emit_with_ack("ask"), scene.admin.emit_with_ack("ask")
    alice.send('30["a"]')
    bob.send('3/admin,0["b"]')
    assert answers.result().answers == {alice.ids["/"]: "a"}
    assert admin.result().answers == {bob.ids["/admin"]: "b"}


def test_sv_13_any_owner_of_connections_feeds_requests() -> None:
    # That is what every test of this folder does: there is no HTTP server anywhere.
    scene = Scene()
    assert scene.client().link is not None
    assert scene.client(transport="polling").poll is not None


def test_sv_14_a_binding_listens_itself_and_says_where() -> None:
    async def main() -> None:
        io = sioproto_asyncio.Server()
        assert io.addresses == []
        async with io.listening("127.0.0.1", 0):
            ((host, port),) = io.addresses
            assert host == "127.0.0.1"
            assert port > 0

    asyncio.run(main())


def test_sv_15_ids_come_from_fetch_sockets() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    alice.socket.join("room")
    assert ids_of(scene.io) == {alice.ids["/"], bob.ids["/"]}
    assert ids_of(scene.io, "room") == {alice.ids["/"]}


def test_sv_16_names_that_servers_cannot_send_each_other() -> None:
    scene = Scene()
    alice = scene.client()
    for event in ("connect", "connection", "new_namespace"):
        for call in (scene.io.server_side_emit, scene.admin.server_side_emit_with_ack):
            with pytest.raises(ReservedEventError, match=f'^"{event}" is a reserved event name$'):
                call(event)
    scene.io.emit("connection")
    assert alice.take() == ['2["connection"]']


def test_cl_01_a_session_that_joins_nothing_is_closed() -> None:
    scene = Scene(connect_timeout=45.0)
    silent, refused, joined = scene.open(), scene.open(), scene.client()
    refused.send("0/nowhere,")
    joined.send("1")
    scene.advance(44)
    assert not silent.closed
    scene.advance(2)
    assert (silent.closed, refused.closed, joined.closed) == (True, True, False)


def test_cl_02_connect_is_answered_with_the_id() -> None:
    scene = Scene()
    alice = scene.open()
    alice.send("0")
    (reply,) = alice.take()
    assert reply == f'0{{"sid":"{next(iter(ids_of(scene.io)))}"}}'
    alice.send('0/admin,{"token":1}')
    (reply,) = alice.take()
    assert re.fullmatch(r'0/admin,\{"sid":"[\w-]{20}"\}', str(reply))


@pytest.mark.parametrize("payload", ["null", "[]", '"text"', "1", "{"])
def test_cl_02_auth_is_an_object(payload: str) -> None:
    scene = Scene()
    alice = scene.open()
    alice.send(f"0{payload}")
    assert alice.take() == []
    assert alice.closed


def test_cl_03_an_unknown_namespace_is_refused_and_the_session_stays() -> None:
    scene = Scene()
    alice = scene.open()
    alice.send("0/nowhere,")
    assert alice.take() == ['4/nowhere,{"message":"Invalid namespace"}']
    assert not alice.closed
    alice.connect()


def test_cl_05_what_comes_late_for_a_namespace_ends_nobody() -> None:
    scene = Scene()
    alice = scene.client()
    alice.connect("/admin")
    alice.at("/admin").disconnect()
    alice.send('2/admin,["late"]', "3/admin,1[]", "1/admin,", '2/unknown,["x"]')
    assert alice.take() == ["1/admin,"]
    assert alice.socket.connected


@pytest.mark.parametrize("packet", ['2["early"]', '2/admin,["early"]', "1", '4{"message":"no"}'])
def test_cl_05_a_packet_before_any_connect_ends_the_session(packet: str) -> None:
    scene = Scene()
    alice = scene.open()
    alice.send(packet)
    assert alice.closed


def test_cl_06_a_second_connect_changes_nothing() -> None:
    scene = Scene()
    seen: list[str] = []
    scene.io.on("connection", lambda socket: seen.append(socket.id))
    scene.io.use(lambda socket: scene.io.sleep(1))
    alice = scene.open()
    alice.send("0", "0")
    scene.advance(1)
    assert len(alice.take()) == 1
    alice.send("0")
    scene.advance(1)
    assert alice.take() == []
    assert len(seen) == len(scene.io.sockets.sockets) == 1


def test_cl_07_packets_of_all_namespaces_are_handled_in_order() -> None:
    scene = Scene()
    seen: list[str] = []
    for namespace in (scene.io.sockets, scene.admin):
        namespace.on("n", lambda socket, number: seen.append(f"{socket.namespace.name} {number}"))
    alice = scene.client()
    alice.connect("/admin")
    alice.send('2["n",1]', '2/admin,["n",2]', '2["n",3]')
    assert seen == ["/ 1", "/admin 2", "/ 3"]


def test_cl_08_a_decoding_error_is_told_to_each_socket() -> None:
    scene = Scene()
    seen: list[Any] = []
    for namespace in (scene.io.sockets, scene.admin):
        namespace.on("error", lambda socket, error: seen.append((socket.namespace.name, str(error))))
        namespace.on("a", lambda socket: seen.append("handled"))
    alice = scene.client()
    alice.connect("/admin")
    alice.send("2[", '2["a"]')
    assert [each[0] for each in seen] == ["/", "/admin"]
    assert alice.closed


def test_cl_09_the_sockets_of_one_session_share_a_client() -> None:
    scene = Scene()
    alice, bob = scene.client(), scene.client()
    alice.connect("/admin")
    client = alice.socket.client
    assert alice.at("/admin").client is client is not bob.socket.client
    assert client.session.id == alice.sid
    assert set(client.sockets) == {"/", "/admin"}


def test_cl_11_nothing_is_written_to_a_session_that_closes() -> None:
    scene = Scene()
    alice = scene.client(transport="polling")
    alice.polls = False
    socket = alice.socket
    socket.emit("uses the poll up")
    scene.settle()
    socket.emit("queued")
    socket.conn.close()
    socket.emit("late")
    alice.hold_poll()
    alice.hold_poll()
    assert alice.take() == ['2["uses the poll up"]', '2["queued"]']
    assert alice.packets[-1] == "1"
