"""Our client core, over plain sockets, against npm's `socket.io` server."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, ConnectError, Disconnected
from sioproto_wire import PerMessageDeflate
from tests.interop.clients import OVER, QUICK, Clients, Peer, on_loop, record

if TYPE_CHECKING:
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


async def upgraded(clients: Clients, client: Client, transports: tuple[TransportName, ...]) -> None:
    """Waits until a client has the last of its transports."""
    await clients.until(lambda: client.engine is not None and client.engine.transport_name == transports[-1])


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
    await upgraded(clients, client, transports)
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
          log.push(await io.timeout(1000).emitWithAck("question", "all"));
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
    rows: list[Any] = []
    await clients.until(lambda: len(rows.extend(server.take()) or rows) == 4)  # type: ignore[func-returns-value]
    assert rows == [[1, b"two"], b"late", [["all"]], "operation has timed out"]


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
    rows: list[Any] = []
    await clients.until(lambda: rows.extend(server.take()) or len(rows) == len(down) == 500)
    expected = [(number, None if number % 7 else bytes([number % 256])) for number in range(500)]
    assert down == expected
    assert rows == [["up", *row] for row in expected]
    await upgraded(clients, client, transports)


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
        server("cut();")
        await clients.until(lambda: len(asked) == 2)
        await client.connect()
        rows = server.take()
        assert [{"asked": 1, "data": [True]}, {"asked": 2, "data": [True]}] == [row for row in rows if "asked" in row]
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
    await upgraded(clients, client, OVER["websocket"])
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
    options = {"path": "/a/b", "add_trailing_slash": False, "reconnection": False}
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
    await upgraded(clients, client, OVER["websocket"])
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
    await upgraded(clients, client, transports)
    first = client.id
    client.emit("before")
    await clients.until(lambda: server("return log.length;") == 1)
    server("restart(400);")
    await clients.until(lambda: not client.connected)
    for number in range(50):
        client.emit("away", number, b"x")
    client.volatile.emit("volatile")
    asked = client.emit_with_ack("asked")
    await clients.until(lambda: client.connected)
    client.emit("after")
    await clients.until(lambda: server("return log.length;") == 54)
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
