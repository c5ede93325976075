"""Our client core, over plain sockets, against npm's `socket.io` server."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any
from unittest.mock import ANY

import pytest

from select_loop import Loop
from sioproto import AckTimeout, ConnectError, Disconnected
from sioproto.config import ClientConfig, EngineClientConfig
from sioproto.engineio import EngineClient, EngineClosed, EngineOpened, MessageArrived, parse_url
from sioproto.socketio import AuthAsked, ClientDisconnected, EventArrived, SocketClient
from sioproto_wire import ClientWire, PerMessageDeflate
from tests.interop.clients import JUMPING, OVER, QUICK, SETTLING, Clients, Peer, on_loop, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.app import Client
    from sioproto.config import TransportName
    from tests.peers import Node

over_each = pytest.mark.parametrize("transports", OVER.values(), ids=OVER.keys())
over_both = pytest.mark.parametrize("transports", [OVER["polling"], OVER["websocket"]], ids=["polling", "websocket"])
needs_stopping = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")

ECHO = """
io.on("connection", (socket) => {
  socket.on("echo", (...args) => {
    const ack = args.pop();
    socket.emit("echoed", ...args);
    ack(...args);
  });
});
"""
COLLECT = """
io.on("connection", (socket) => {
  socket.onAny((...args) => log.push(args));
  socket.on("disconnect", (reason) => log.push(["disconnect", reason]));
});
"""

POLLED = "return [...io.sockets.sockets.values()].every((socket) => socket.conn.transport.writable);"


# Events, both ways


@over_each
@on_loop
async def test_events_acknowledgements_and_binary(
    clients: Clients, peer: Peer, transports: tuple[TransportName, ...]
) -> None:
    server = peer.serve(ECHO)
    client = clients.client(server.url, transports=transports)
    echoed: list[tuple[Any, ...]] = []
    client.on("echoed", lambda *args: echoed.append(args))
    await client.connect()
    values = ("text ä€😀", 1, None, {"list": [b"\x00\xff", {"deep": b""}]})
    assert await client.emit_with_ack("echo", *values) == values
    assert await client.emit_with_ack("echo", b"alone") == b"alone"
    assert await client.emit_with_ack("echo") is None
    await clients.upgraded(client)
    assert await client.emit_with_ack("echo", [b"a"] * 10) == [b"a"] * 10
    assert echoed == [values, (b"alone",), (), ([b"a"] * 10,)]
    assert server("return [...io.sockets.sockets.keys()];") == [client.id]


@over_each
@on_loop
async def test_the_server_asks_and_is_answered(
    clients: Clients, peer: Peer, transports: tuple[TransportName, ...]
) -> None:
    server = peer.serve(
        """
        io.on("connection", async (socket) => {
          log.push(await socket.emitWithAck("question", 1, Buffer.from("two")));
          log.push(await socket.emitWithAck("late question"));
          log.push(await io.timeout(60000).emitWithAck("question", "all"));
          socket.timeout(50).emit("never answered", (error) => log.push(error.message));
        });
        """
    )
    client = clients.client(server.url, transports=transports)

    @client.on("question")
    def answer(*args: Any) -> list[Any]:
        return [*args]

    @client.on("late question")
    async def answer_late() -> bytes:
        await client.sleep(0.1)
        return b"late"

    @client.on("never answered")
    def never(*, ack: object) -> None:
        pass

    await client.connect()
    await clients.until(lambda: len(server.log()) == 4)
    assert server.log() == [[1, b"two"], b"late", [["all"]], "operation has timed out"]


@over_each
@on_loop
async def test_many_events_keep_their_order_and_arrive_once(
    clients: Clients, peer: Peer, transports: tuple[TransportName, ...]
) -> None:
    server = peer.serve(
        COLLECT
        + """
        io.on("connection", async (socket) => {
          for (let number = 0; number < 500; number++) {
            socket.emit("down", number, number % 7 ? null : Buffer.from([number % 256]));
            if (number % 5 === 0) await new Promise(setImmediate);
          }
        });
        """
    )
    client = clients.client(server.url, transports=transports)
    down: list[tuple[int, Any]] = []
    client.on("down", lambda number, data: down.append((number, data)))
    await client.connect()
    for number in range(500):
        client.emit("up", number, None if number % 7 else bytes([number % 256]))
        if number % 5 == 0:
            await clients.sleep(0)
    await clients.until(lambda: len(server.log()) == len(down) == 500)
    expected = [(number, None if number % 7 else bytes([number % 256])) for number in range(500)]
    assert down == expected
    assert server.log() == [["up", *row] for row in expected]
    await clients.upgraded(client)


@on_loop
async def test_broadcasts(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          socket.on("join", (room, ack) => { socket.join(room); ack(); });
          socket.on("tell", (room, ...args) => socket.to(room).emit("told", ...args));
          socket.on("tell everybody", (...args) => io.emit("told", ...args));
        });
        """
    )
    told: dict[str, list[Any]] = {}
    everybody: dict[str, Client] = {}
    for name, transports in OVER.items():
        client = everybody[name] = clients.client(server.url, transports=transports)
        log = told[name] = []
        client.on("told", lambda *args, log=log: log.append(args))
        await client.connect()
    for name in ("polling", "websocket"):
        await everybody[name].emit_with_ack("join", "room")
    everybody["upgrade"].emit("tell", "room", 1, b"one")
    everybody["websocket"].emit("tell", "room", 2)
    everybody["websocket"].emit("tell everybody", 3)
    await clients.until(lambda: [len(told[name]) for name in OVER] == [3, 2, 1])
    await clients.sleep(0.1)
    assert told["upgrade"] == [(3,)]
    assert sorted(told["polling"]) == [(1, b"one"), (2,), (3,)]
    assert sorted(told["websocket"]) == [(1, b"one"), (3,)]


@over_both
@on_loop
async def test_several_namespaces_share_a_connection(
    clients: Clients, peer: Peer, transports: tuple[TransportName, ...]
) -> None:
    server = peer.serve(
        """
        for (const name of ["/", "/a", "/b"]) {
          io.of(name).on("connection", (socket) => {
            socket.on("early", (name) => log.push([name, socket.nsp.name]));
            socket.on("where", (ack) => ack(socket.nsp.name));
            socket.on("disconnect", (reason) => log.push([name, reason]));
          });
        }
        """
    )
    main = clients.client(server.url + "/a", transports=transports)
    client, other, root = main.socket, main.of("b"), main.of("/")
    lost: list[tuple[Any, ...]] = []
    record(lost, other, ["disconnect"])
    for socket in (client, other, root):
        socket.emit("early", socket.name)  # waits for its namespace
        await socket.connect()
    assert server("return io.engine.clientsCount;") == 1
    assert len({client.id, other.id, root.id}) == 3
    assert [await each.emit_with_ack("where") for each in (client, other, root)] == ["/a", "/b", "/"]
    assert server.take() == [[name, name] for name in ("/a", "/b", "/")]
    other.disconnect()
    assert await client.emit_with_ack("where") == "/a"
    assert lost == [("disconnect", "io client disconnect", None)]
    assert server.take() == [["/b", "client namespace disconnect"]]
    await other.connect()
    assert await other.emit_with_ack("where") == "/b"
    assert server("return io.engine.clientsCount;") == 1
    for each in (client, other, root):
        each.disconnect()
    await clients.until(lambda: server("return io.engine.clientsCount;") == 0)
    # It says goodbye to each of them before the connection ends.
    assert server.take() == [[name, "client namespace disconnect"] for name in ("/a", "/b", "/")]


# Getting in


@on_loop
async def test_auth_is_a_value_or_a_callable_that_is_asked_each_time(clients: Clients, peer: Peer) -> None:
    server = peer.serve('io.on("connection", (socket) => log.push(socket.handshake.auth));')
    asked: list[int] = []

    def plain() -> dict[str, Any]:
        asked.append(1)
        return {"asked": len(asked), "data": [True]}

    async def late() -> dict[str, Any]:
        await clients.sleep(0.02)
        return plain()

    await clients.client(server.url).connect()
    await clients.client(server.url, auth={"token": "ä"}).connect()
    assert server.take() == [{}, {"token": "ä"}]
    for auth in (plain, late):
        asked.clear()
        client = clients.client(server.url, auth=auth, **QUICK)
        await client.connect()
        await clients.upgraded(client)
        server("cut();")
        await clients.until(lambda: len(asked) == 2)
        await client.connect()
        rows = server.take()
        assert rows == [{"asked": 1, "data": [True]}, {"asked": 2, "data": [True]}]
        client.disconnect()


@over_both
@on_loop
async def test_a_refusal_has_its_data(clients: Clients, peer: Peer, transports: tuple[TransportName, ...]) -> None:
    server = peer.serve(
        """
        io.of("/guarded").use((socket, next) => {
          if (socket.handshake.auth.token === "right") return next();
          const error = new Error("not you");
          error.data = { code: 7 };
          next(error);
        });
        """
    )
    client = clients.client(server.url + "/guarded", auth={"token": "wrong"}, transports=transports)
    log: list[Any] = []
    record(log, client, ["connect", "connect_error", "disconnect", "reconnect_attempt"])
    with pytest.raises(ConnectError, match="not you") as refused:
        await client.connect()
    assert refused.value.data == {"code": 7}
    assert not client.active
    await clients.until(lambda: server("return io.engine.clientsCount;") == 0)
    client.socket.auth = {"token": "right"}
    await client.connect()
    assert [row[0] for row in log] == ["connect_error", "connect"]
    with pytest.raises(ConnectError, match="Invalid namespace"):
        await client.of("/nowhere").connect()
    assert client.connected


@on_loop
async def test_headers_query_path_and_cookies(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        """
        io.engine.on("headers", (headers, request) => {
          const { url, method } = request;
          const query = new URL(url, "http://x").searchParams;
          log.push([method, query.get("transport"), query.get("colour"), request.headers.cookie ?? null]);
        });
        io.on("connection", (socket) => {
          const { headers, query, url } = socket.handshake;
          log.push([headers["x-all"], headers["x-polling"], query.colour, query.size, url.split("?")[0]]);
        });
        """,
        cookie=True,
        path="/chat",
    )
    client = clients.client(
        server.url + "/?colour=r%C3%B6t&size=1",
        path="/chat",
        query={"size": "2 & 3"},
        extra_headers={"X-All": "yes", "Cookie": "mine=1"},
        transport_headers={"polling": {"X-Polling": "only"}},
        cookie_jar=True,
    )
    await client.connect()
    await clients.upgraded(client)
    assert client.engine is not None
    cookies = f"mine=1; io={client.engine.id}"
    rows = server.take()
    assert rows[0] == ["GET", "polling", "röt", "mine=1"]
    assert ["yes", "only", "röt", "2 & 3", "/chat/"] in rows
    assert ["POST", "polling", "röt", cookies] in rows
    assert ["GET", "websocket", "röt", cookies] in rows


@on_loop
async def test_other_paths_and_transports_that_the_server_does_not_have(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        'io.on("connection", (socket) => log.push(socket.conn.transport.name));',
        path="/a/b",
        addTrailingSlash=False,
        transports=["websocket"],
    )
    errors: list[str] = []
    options: dict[str, Any] = {"path": "/a/b", "add_trailing_slash": False, "reconnection": False}
    polling = clients.client(server.url, **options)
    polling.on_connection("error", lambda error: errors.append(str(error)))
    with pytest.raises(ConnectError, match="xhr poll error 400"):
        await polling.connect()
    assert errors == ["xhr poll error 400"]
    await clients.client(server.url, try_all_transports=True, **options).connect()
    assert server.take() == ["websocket"]
    with pytest.raises(ConnectError, match="xhr poll error 404"):
        await clients.client(server.url, reconnection=False).connect()


@on_loop
async def test_an_upgrade_is_remembered(clients: Clients, peer: Peer) -> None:
    server = peer.serve('io.on("connection", (socket) => log.push(socket.conn.transport.name));')
    client = clients.client(server.url, remember_upgrade=True, **QUICK)
    await client.connect()
    await clients.upgraded(client)
    client.disconnect()
    await client.connect()
    assert server.take() == ["polling", "websocket"]


# Losing and finding each other


@over_both
@on_loop
async def test_the_server_disconnects(clients: Clients, peer: Peer, transports: tuple[TransportName, ...]) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          socket.on("leave", (close) => { socket.emit("last", "words"); socket.disconnect(close); });
          socket.on("disconnect", (reason) => log.push(reason));
        });
        """
    )
    client = clients.client(server.url, transports=transports, **QUICK)
    log: list[Any] = []
    record(log, client, ["connect", "disconnect", "reconnect_attempt"])
    client.on("last", lambda *args: log.append(args))
    for close in (False, True):
        await client.connect()
        client.emit("leave", close)
        await clients.until(lambda: not client.connected)
        assert not client.active
        assert log[1:] == [("words",), ("disconnect", "io server disconnect", None)]
        await clients.until(lambda: server("return io.engine.clientsCount;") == 0)
        await clients.sleep(0.3)  # nothing comes back by itself
        assert len(log) == 3
        log.clear()
    assert server.take() == ["server namespace disconnect"] * 2


@over_each
@on_loop
async def test_the_server_goes_and_comes_back(
    clients: Clients, peer: Peer, transports: tuple[TransportName, ...]
) -> None:
    server = peer.serve(COLLECT)
    client = clients.client(server.url, transports=transports, **QUICK)
    log: list[Any] = []
    record(log, client, ["connect", "disconnect", "connect_error", "reconnect_attempt", "reconnect_error", "reconnect"])
    await client.connect()
    await clients.upgraded(client)
    first = client.id
    client.emit("before")
    await clients.until(lambda: len(server.log()) == 1)
    server("leave();")
    await clients.until(lambda: not client.connected)
    for number in range(50):
        client.emit("away", number, b"x")
    client.volatile.emit("volatile")
    asked = client.emit_with_ack("asked")
    await clients.until(lambda: "reconnect_error" in [row[0] for row in log])
    server("await comeBack();")
    await clients.until(lambda: client.connected)
    client.emit("after")
    await clients.until(lambda: len(server.log()) == 54)
    assert server.take() == [
        ["before"],
        ["disconnect", "server shutting down"],
        *(["away", number, b"x"] for number in range(50)),
        ["asked", None],
        ["after"],
    ]
    assert client.id != first
    assert log[0] == ("connect", first)
    assert log[1][:2] == ("disconnect", "transport close")
    stages = [row[0] for row in log[2:]]
    assert stages[:3] == ["reconnect_attempt", "connect_error", "reconnect_error"]
    assert stages[-3:] == ["reconnect_attempt", "reconnect", "connect"]
    assert not asked.done


@over_each
@on_loop
async def test_a_connection_that_is_cut_is_recovered(
    clients: Clients, peer: Peer, transports: tuple[TransportName, ...]
) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          log.push([socket.recovered, [...socket.rooms].length]);
          if (socket.recovered) return;
          socket.join("room");
          socket.emit("news", 0);
        });
        """,
        connectionStateRecovery={},
    )
    client = clients.client(server.url, transports=transports, **QUICK)
    log: list[Any] = []
    record(log, client, ["connect", "disconnect"])
    # What the server adds for itself, an offset, comes behind the arguments.
    client.on("news", lambda number, data=None: log.append(("news", number, data)))
    await client.connect()
    await clients.upgraded(client)
    first = client.id
    await clients.until(lambda: len(log) == 2)
    for turn in range(3):
        log.clear()
        missed = """
            await new Promise((resolve) => setTimeout(resolve, 20));
            for (let number = 1; number <= 20; number++) io.to("room").emit("news", number, Buffer.from([number]));
            io.to("another room").emit("news", "not for you");
        """
        await clients.until(lambda: server(POLLED))  # otherwise it would not notice
        server("cut();" + missed)
        await clients.until(lambda: len(log) == 22)
        assert [row[0] for row in log[:2]] == ["disconnect", "connect"]
        assert log[1] == ("connect", first)
        assert client.recovered
        assert log[2:] == [("news", number, bytes([number])) for number in range(1, 21)], turn
    server('io.to("room").emit("news", "live", null);')
    await clients.until(lambda: len(log) == 23)
    assert log[-1] == ("news", "live", None)
    assert server.take() == [[False, 1], *[[True, 2]] * 3]


@on_loop
async def test_what_cannot_be_recovered_begins_anew(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        'io.on("connection", (socket) => { log.push(socket.recovered); socket.emit("hello", log.length); });',
        connectionStateRecovery={"maxDisconnectionDuration": 1},
    )
    client = clients.client(server.url, transports=("websocket",), **QUICK)
    heard: list[int] = []
    client.on("hello", heard.append)
    await client.connect()
    first = client.id
    server("cut();")
    await clients.until(lambda: heard == [1, 2])
    assert not client.recovered
    assert client.id != first
    assert server.take() == [False, False]


@on_loop
async def test_an_answer_that_is_lost_is_not_passed_over(clients: Clients, peer: Peer) -> None:
    server = peer.serve('io.on("connection", (socket) => socket.emit("news", 0));')
    client = clients.client(server.url, transports=("polling",), **QUICK)
    log: list[Any] = []
    record(log, client, ["disconnect"])
    client.on("news", log.append)
    await client.connect()
    await clients.until(lambda: log == [0] and server(POLLED))
    server(
        """
        http.prependOnceListener("request", (request, response) => {
          response.end = () => request.socket.destroy();
        });
        io.emit("news", 1);
        """
    )
    await clients.until(lambda: log == [0, 1] and server(POLLED))
    server('io.emit("news", 2);')  # the answer breaks with its connection, and the server does not notice
    await clients.until(lambda: len(log) == 4)
    assert log == [0, 1, ("disconnect", "transport error", ANY), 0]


@on_loop
async def test_polls_share_few_connections(clients: Clients, peer: Peer) -> None:
    server = peer.serve(ECHO + 'http.on("connection", () => log.push(0));')
    client = clients.client(server.url, transports=("polling",))
    await client.connect()
    for number in range(30):
        assert await client.emit_with_ack("echo", number) == number
    assert len(server.take()) == 2


@on_loop
async def test_a_connection_that_rested_may_be_gone(clients: Clients, peer: Peer) -> None:
    server = peer.serve(ECHO + 'http.keepAliveTimeout = 1000; http.on("connection", () => log.push(0));')
    client = clients.client(server.url, transports=("polling",))
    lost: list[Any] = []
    record(lost, client, ["disconnect"])
    await client.connect()
    for pause in (0.0, 0.95, 1.1):
        await clients.sleep(pause)
        assert await client.emit_with_ack("echo", pause) == pause
    assert lost == []


@on_loop
async def test_base64_for_links_that_spoil_binary_frames(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        ECHO
        + """
        io.on("connection", (socket) => {
          const { transport } = socket.conn;
          transport.socket.on("message", (data, binary) => log.push(binary));
          log.push(transport.supportsBinary);
        });
        """
    )
    client = clients.client(server.url, transports=("websocket",), force_base64=True)
    await client.connect()
    assert await client.emit_with_ack("echo", b"\x00\xff", b"") == (b"\x00\xff", b"")
    assert set(server.take()) == {False}


@on_loop
async def test_a_server_that_talks_nonsense(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          socket.on("speak", (data, ack) => { socket.conn.write(data); socket.emit("behind"); });
          socket.on("well", (ack) => ack(true));
        });
        """
    )
    client = clients.client(server.url, **QUICK)
    log: list[Any] = []
    record(log, client, ["disconnect"])
    client.on("behind", lambda: log.append("behind"))
    for nonsense in ("9", "2[", "51-[]", "2[]", b"stray"):
        await client.connect()
        client.emit("speak", nonsense)
        await clients.until(lambda: log)
        (row,) = log
        assert row[:2] == ("disconnect", "parse error"), nonsense
        log.clear()
        await clients.until(lambda: client.connected)
        assert await client.emit_with_ack("well") is True


@on_loop
async def test_nobody_there(clients: Clients, peer: Peer) -> None:
    server = peer.serve(COLLECT)
    port = server.port
    gone: list[Any] = []
    client = clients.client(server.url, reconnection_attempts=2, **QUICK)
    record(gone, client, ["connect_error", "reconnect_attempt", "reconnect_error", "reconnect_failed", "disconnect"])
    server("io.close();")
    with pytest.raises(ConnectError, match="xhr poll error"):
        await client.connect()
    assert not client.active
    assert [row[0] for row in gone] == [
        "connect_error",
        *["reconnect_attempt", "connect_error", "reconnect_error"] * 2,
        "reconnect_failed",
    ]
    lonely = clients.client(f"http://127.0.0.1:{port}", reconnection=False, transports=("websocket",))
    lonely.emit("kept")
    with pytest.raises(ConnectError, match="websocket error"):
        await lonely.connect()
    await clients.client(peer.serve(COLLECT).url).connect()


@on_loop
async def test_heartbeats(clients: Clients, peer: Peer) -> None:
    server = peer.serve(COLLECT, pingInterval=200, pingTimeout=2000)
    pings: list[str] = []
    for name, transports in OVER.items():
        client = clients.client(server.url, transports=transports)
        client.on_connection("ping", lambda name=name: pings.append(name))
        await client.connect()
    # Each ping after the first says that the one before was answered, and all of them that the silence was never long.
    await clients.until(lambda: all(pings.count(name) >= 12 for name in OVER))
    assert all(client.connected for client in clients.clients)
    assert server.take() == []


@needs_stopping
@on_loop
async def test_a_server_that_falls_silent(clients: Clients, node: Node) -> None:
    peer = Peer(node)
    with peer.process:
        server = peer.serve(COLLECT, pingInterval=200, pingTimeout=1000)
        logs: list[list[Any]] = []
        for transports in OVER.values():
            client = clients.client(server.url, transports=transports, open_timeout=1.0, **QUICK)
            await client.connect()
            await clients.upgraded(client)
            log: list[Any] = []
            record(log, client, ["connect", "disconnect", "connect_error"])
            logs.append(log)
        start = clients.clock()
        peer.process.send_signal(signal.SIGSTOP)
        try:
            for waiting in [client.emit_with_ack("anybody there?") for client in clients.clients]:
                with pytest.raises(Disconnected):
                    await waiting
            assert all(log == [("disconnect", "ping timeout", None)] for log in logs)
            assert 0.25 < clients.clock() - start < SETTLING
            await clients.until(lambda: all(len(log) >= 2 for log in logs))
            assert [str(log[1][1]) for log in logs] == ["timeout"] * 3
        finally:
            peer.process.send_signal(signal.SIGCONT)
        for client in clients.clients:
            client.emit("back")
        await clients.until(lambda: server.log().count(["back"]) == 3)
        for client in clients.clients:
            client.disconnect()
        gone = ["disconnect", "client namespace disconnect"]
        await clients.until(lambda: server.log().count(gone) >= 3)


# Modifiers


@over_both
@on_loop
async def test_volatile(clients: Clients, peer: Peer, transports: tuple[TransportName, ...]) -> None:
    server = peer.serve(COLLECT)
    client = clients.client(server.url, transports=transports)
    client.volatile.emit("too early")
    await client.connect()
    client.volatile.emit("now")
    await clients.until(lambda: server.log() == [["now"]])


@on_loop
async def test_time_outs_and_ends_of_those_who_wait(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          const late = [];
          socket.on("late", (ack) => late.push(ack) === 2 && late.forEach((each) => each("too late")));
          socket.on("two", (ack) => ack(1, 2));
          socket.on("never", (ack) => socket.conn.close());
        });
        """
    )
    client = clients.client(server.url, **QUICK)
    with pytest.raises(AckTimeout):  # it never connected, and the event is not sent later
        await client.timeout(0.05).emit_with_ack("two")
    await client.connect()
    with pytest.raises(AckTimeout):
        await client.timeout(0.05).emit_with_ack("late")
    assert await client.emit_with_ack("late") == "too late"
    assert await client.emit_with_ack("two") == (1, 2)
    with pytest.raises(Disconnected):
        await client.emit_with_ack("never")
    await client.connect()
    assert await client.emit_with_ack("two") == (1, 2)


@over_both
@on_loop
async def test_retries(clients: Clients, peer: Peer, transports: tuple[TransportName, ...]) -> None:
    server = peer.serve(
        """
        let calls = 0;
        io.on("connection", (socket) => {
          socket.on("try", (number, ack) => {
            log.push(number);
            calls++;
            if (calls === 4) cut();
            else if (calls % 3 !== 0) ack(`got ${number}`);
          });
          socket.on("in vain", (ack) => log.push("in vain"));
        });
        """,
        pingTimeout=1_000_000,
    )
    client = clients.client(server.url, transports=transports, retries=3, ack_timeout=100.0, **QUICK, **JUMPING)
    waiting = [client.emit_with_ack("try", number) for number in range(5)]
    await client.connect()
    await clients.in_vain(server, 3, 6, seconds=100.0)
    assert [await each for each in waiting] == [f"got {number}" for number in range(5)]
    seen = server.take()
    assert sorted(seen) == seen
    assert sorted(set(seen)) == list(range(5))
    assert len(seen) == 8  # one was not answered twice, one was cut, one was not answered once more
    vain = client.emit_with_ack("in vain")
    behind = client.emit_with_ack("try", 5)
    await clients.in_vain(server, 1, 2, 3, 4, 5, seconds=100.0)
    with pytest.raises(AckTimeout):
        await vain
    await behind
    assert [row for row in server.take() if row == "in vain"] == ["in vain"] * 4


@on_loop
async def test_catch_alls(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          socket.emit("hello", 1);
          socket.on("ask", (ack) => { socket.emit("asked", Buffer.from("x")); ack("answer"); });
          socket.on("connect", () => log.push("an event of that name"));
        });
        """
    )
    client = clients.client(server.url)
    heard: list[Any] = []
    sent: list[Any] = []
    client.on_any(lambda *args: heard.append(args))
    client.socket.on_any_outgoing(lambda *args: sent.append(args))
    client.emit("waits")
    assert sent == []
    await client.connect()
    assert sent == [("waits",)]
    assert await client.emit_with_ack("ask") == "answer"
    assert heard == [("hello", 1), ("asked", b"x")]
    assert sent == [("waits",), ("ask",)]


# Sizes


@on_loop
async def test_posts_keep_to_the_servers_limit(clients: Clients, peer: Peer) -> None:
    server = peer.serve(
        COLLECT
        + """
        io.engine.on("headers", (headers, request) => {
          if (request.method === "POST") log.push(Number(request.headers["content-length"]));
        });
        """,
        maxHttpBufferSize=1000,
    )
    client = clients.client(server.url, transports=("polling",))
    lost: list[Any] = []
    record(lost, client, ["disconnect"])
    await client.connect()
    server.take()
    for number in range(60):
        client.emit("up", "ä" * number, bytes(number))
    await clients.until(lambda: ["up", "ä" * 59, bytes(59)] in server.log())
    rows = server.log()
    assert [row for row in rows if isinstance(row, list)] == [["up", "ä" * size, bytes(size)] for size in range(60)]
    sizes = [row for row in rows if isinstance(row, int)]
    assert max(sizes) <= 1000
    assert len(sizes) <= 2 * sum(sizes) / 1000 + 1  # and make use of it
    # One that is too large by itself is refused, which the session survives on the server, but not here.
    client.emit("too large", "x" * 1000)
    await clients.until(lambda: not client.connected)
    assert lost == [("disconnect", "transport error", "xhr post error 413")]


@over_both
@on_loop
async def test_megabytes(clients: Clients, peer: Peer, transports: tuple[TransportName, ...]) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          socket.on("size", (data, ack) => ack(data.length));
          socket.on("give", (size, ack) => ack("ä".repeat(size), Buffer.alloc(size, "x")));
        });
        """,
        maxHttpBufferSize=10_000_000,
    )
    client = clients.client(server.url, transports=transports)
    await client.connect()
    size = 3_000_000
    assert await client.emit_with_ack("give", size) == ("ä" * size, b"x" * size)
    assert await client.emit_with_ack("size", "x" * size) == size
    assert await client.emit_with_ack("size", b"x" * size) == size
    assert client.connected


@pytest.mark.parametrize("offered", [True, False])
@pytest.mark.parametrize("compress", [True, False])
@on_loop
async def test_compression(clients: Clients, peer: Peer, offered: bool, compress: bool) -> None:
    server = peer.serve(
        """
        io.on("connection", (socket) => {
          const { _socket, extensions } = socket.conn.transport.socket;
          socket.on("echo", (text, ack) => ack(text, extensions, _socket.bytesRead));
        });
        """,
        perMessageDeflate=True,
    )
    deflate = PerMessageDeflate() if offered else None
    client = clients.client(server.url, transports=("websocket",), per_message_deflate=deflate)
    await client.connect()
    text = "all work and no play makes Jack a dull boy, ä€😀" * 2000
    for each in ("short", text, text):
        got, extensions, received = await client.compress(compress).emit_with_ack("echo", each)
        assert got == each
    assert extensions == ("permessage-deflate" if offered else "")
    assert (received < len(text)) is (offered and compress)


# The floors below


class Taking(Loop):
    """The loop for floors that leave their events to whoever drives them."""

    def __init__(self, handle: Callable[[Any], None]) -> None:
        super().__init__()
        self.handle = handle

    def turn(self, wire: Any) -> bool:
        events = wire.core.events()
        for event in events:
            self.handle(event)
        return super().turn(wire) or bool(events)


def test_the_engine_alone(peer: Peer) -> None:
    server = peer.serve(ECHO)
    log: list[Any] = []

    def handle(event: Any) -> None:
        match event:
            case EngineOpened(engine):
                engine.send("0")
            case MessageArrived(engine, data):
                log.append(data)
                if len(log) == 1:
                    engine.send('21["echo",1]')
                elif len(log) == 3:
                    engine.close()
            case EngineClosed(_, reason):
                log.append(reason)

    loop = Taking(handle)
    core = EngineClient(parse_url(server.url)[0], EngineClientConfig(), loop.environment)
    core.begin()
    loop.run(core, ClientWire(core), until=lambda: core.ready_state == "closed")
    assert log[0].startswith('0{"sid":')
    assert log[1:] == ['2["echoed",1]', "31[1]", "forced close"]


def test_sockets_without_handlers(peer: Peer) -> None:
    server = peer.serve(
        """
        io.on("connection", async (socket) => {
          log.push(socket.handshake.auth, await socket.emitWithAck("question", 1));
          socket.disconnect();
        });
        """
    )
    log: list[Any] = []

    def handle(event: Any) -> None:
        match event:
            case AuthAsked(ticket):
                ticket.socket.client.answer_auth(ticket, {"token": 1})
            case EventArrived(socket, args, int(ack_id), _, connection):
                log.append(args)
                socket.acknowledge(ack_id, ["answer"], connection)
            case ClientDisconnected(_, reason):
                log.append(reason)

    loop = Taking(handle)
    core = SocketClient(parse_url(server.url)[0], EngineClientConfig(), ClientConfig(), loop.environment)
    connected = core.of("/", lambda: None).connect()
    loop.run(core, ClientWire(core), until=lambda: core.closed)
    assert connected.result() is None
    assert log == [["question", 1], "io server disconnect"]
    assert server.take() == [{"token": 1}, "answer"]
