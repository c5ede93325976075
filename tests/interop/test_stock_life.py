"""How connections of the stock JavaScript client end and come back, and the reasons that both sides are told."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sioproto_asyncio import Server
from tests.bindings.live import LATE, settled
from tests.interop.stock import ScriptFailed, Stock, serving_stock

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto import Socket
    from tests.bindings.live import Live
    from tests.peers import Node

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"]}
over_both = pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS.keys())

needs_stopping = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGSTOP")


def record(live: Live, log: list[Any], *namespaces: str) -> None:
    """Writes down how sockets end, and what they look like then."""

    def ending(name: str) -> Callable[..., None]:
        def end(socket: Socket, reason: str) -> None:
            log.append((name, reason, socket.connected, len(socket.rooms)))

        return end

    for name in namespaces or ("/",):
        for event in ("disconnecting", "disconnect"):
            live.io.of(name).on(event, ending(event))


def at_rest(socket: Socket) -> bool:
    """Whether all that was sent to a client has left, and it would take more, over polling by a poll that is held."""
    return socket.conn.writable and not socket.conn.queued


def ended(reason: str, rooms: int = 1) -> list[tuple[str, str, bool, int]]:
    """Returns what ``record`` writes for one socket."""
    return [("disconnecting", reason, True, rooms), ("disconnect", reason, False, 0)]


@over_both
async def test_the_client_disconnects(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:
        log: list[Any] = []
        record(live, log)
        live.io.on("connection", lambda socket: socket.join("room"))
        reason, active = await stock(
            """
            const socket = await opened(io(url, { transports }));
            const end = next(socket, "disconnect");
            socket.disconnect();
            return [(await end)[0], socket.active];
            """,
            url=live.url,
            transports=transports,
        )
        assert (reason, active) == ("io client disconnect", False)
        assert await settled(lambda: len(log) == 2)
        assert log == ended("client namespace disconnect", 2)


@over_both
async def test_the_server_disconnects_one_namespace(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:
        log: list[Any] = []
        record(live, log, "/a", "/b")
        live.io.of("/a").on("leave", lambda socket: socket.disconnect())
        live.io.of("/b").on("still there", lambda socket: "yes")
        reason, active, answer = await stock(
            """
            const [a, b] = [io(url + "/a", { transports }), io(url + "/b", { transports })];
            await Promise.all([opened(a), opened(b)]);
            const end = next(a, "disconnect");
            a.emit("leave");
            a.emit("too late");  // on its way while the namespace ends: this may not harm the other one
            const [reason] = await end;
            a.emit("leave");
            return [reason, a.active, await b.emitWithAck("still there")];
            """,
            url=live.url,
            transports=transports,
        )
        assert (reason, active, answer) == ("io server disconnect", False, "yes")
        assert log[:2] == ended("server namespace disconnect")


@over_both
async def test_the_server_disconnects_and_closes(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:
        log: list[Any] = []
        record(live, log, "/a", "/b")

        @live.io.of("/a").on("leave")
        def leave(socket: Socket) -> None:
            socket.emit("last", "words")
            socket.disconnect(close=True)

        result = await stock(
            """
            const [a, b] = [io(url + "/a", { transports }), io(url + "/b", { transports })];
            await Promise.all([opened(a), opened(b)]);
            const ends = [next(a, "last"), next(a, "disconnect"), next(b, "disconnect"), next(a.io.engine, "close")];
            a.emit("leave");
            const all = await Promise.all(ends);
            return [...all.map((args) => args[0]), a.active, b.active];
            """,
            url=live.url,
            transports=transports,
        )
        # Both sockets are told by a packet; the client closes the connection itself when no socket is left.
        assert result[:3] == ["words", "io server disconnect", "io server disconnect"]
        assert result[3] in ("forced close", "transport close")
        assert result[4:] == [False, False]
        assert await settled(lambda: live.sessions == 0)
        assert sorted(log) == sorted(ended("server namespace disconnect") * 2)


@over_both
async def test_the_server_closes_the_connection(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:
        log: list[Any] = []
        record(live, log)
        live.io.on("close", lambda socket: socket.conn.close())
        reason, sid, again = await stock(
            """
            const socket = await opened(io(url, { transports, reconnectionDelay: 10 }));
            const sid = socket.id;
            const end = next(socket, "disconnect");
            socket.emit("close");
            const [reason] = await end;
            await opened(socket);
            return [reason, sid, socket.id];
            """,
            url=live.url,
            transports=transports,
        )
        assert reason == "transport close"
        assert sid != again
        assert log[:2] == ended("forced close")


@over_both
async def test_the_client_closes_the_connection(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:
        log: list[Any] = []
        record(live, log)
        reason = await stock(
            """
            const socket = await opened(io(url, { transports, reconnectionDelay: 10 }));
            const end = next(socket, "disconnect");
            socket.io.engine.close();
            const [reason] = await end;
            await opened(socket);
            return reason;
            """,
            url=live.url,
            transports=transports,
        )
        assert reason == "forced close"
        assert log[:2] == ended("transport close")


@over_both
@pytest.mark.parametrize(
    ("packet", "reason"), [("nonsense", "forced close"), ('2["disconnect"]', "forced close"), ("0[]", "forced close")]
)
async def test_a_packet_of_nonsense(stock: Stock, transports: list[str], packet: str, reason: str) -> None:
    async with serving_stock() as live:
        log: list[Any] = []
        record(live, log)
        live.io.on("error", lambda socket, error: log.append(type(error).__name__))
        client_reason = await stock(
            """
            const socket = await opened(io(url, { transports, reconnectionDelay: 10 }));
            const end = next(socket, "disconnect");
            socket.io.engine.write(packet);
            const [reason] = await end;
            await opened(socket);
            return reason;
            """,
            url=live.url,
            transports=transports,
            packet=packet,
        )
        assert client_reason == "transport close"
        assert log[:3] == ["ParseError", *ended(reason)]


async def test_a_broken_engine_packet(stock: Stock) -> None:
    async with serving_stock() as live:
        log: list[Any] = []
        record(live, log)
        reason = await stock(
            """
            const socket = await opened(io(url, { transports: ["websocket"] }));
            const end = next(socket, "disconnect");
            socket.io.engine.transport.ws.send("x");
            return (await end)[0];
            """,
            url=live.url,
        )
        assert reason == "transport close"
        assert log[:2] == ended("parse error")


@over_both
async def test_shutdown_and_a_new_server_on_the_same_port(stock: Stock, transports: list[str]) -> None:
    log: list[Any] = []
    kept: list[int] = []
    attempts: list[int] = []
    first, second = Server(grace=2 * LATE), Server(grace=0.1)
    first.on("before", lambda socket: "first server")
    first.on("ready", lambda socket: log.append("ready"))
    first.on("disconnect", lambda socket, reason: log.append(reason))
    second.on("kept", lambda socket, number: kept.append(number))
    second.on("after", lambda socket: "second server")
    async with first.listening(port=0):
        port = first.addresses[0][1]
        coming_back = stock.start(
            """
            const socket = await opened(io(url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 50 }));
            const sid = socket.id;
            socket.io.on("reconnect_attempt", tell);
            const end = next(socket, "disconnect");
            const answers = [await socket.emitWithAck("before")];
            socket.emit("ready");
            const [reason] = await end;
            const active = socket.active;
            socket.emit("kept", 1);  // waits in the client until it is back
            if (!socket.connected) await next(socket, "connect");
            answers.push(await socket.emitWithAck("after"));
            return [answers, reason, active, sid !== socket.id];
            """,
            attempts,
            url=f"http://127.0.0.1:{port}",
            transports=transports,
        )
        assert await settled(lambda: log)
        (socket,) = first.sockets.sockets.values()
        # Between two polls it could not be told: it would find nobody listening.
        assert await settled(lambda: at_rest(socket))
    assert log == ["ready", "server shutting down"]
    # The client has to fail a few times before there is somebody again.
    assert await settled(lambda: len(attempts) > 2)
    async with second.listening(port=port):
        answers, reason, active, new = await coming_back
        assert await settled(lambda: not second.engine.sessions)
    assert answers == ["first server", "second server"]
    assert (reason, active, new) == ("transport close", True, True)
    assert attempts[:3] == [1, 2, 3]
    assert kept == [1]


@needs_stopping
@over_both
async def test_a_client_process_that_is_stopped(node: Node, transports: list[str]) -> None:
    own = Stock(node)
    try:
        # Long enough for whatever happens meanwhile: it is the server's clock that jumps.
        async with serving_stock(ping_interval=300.0, ping_timeout=200.0) as live:
            log: list[Any] = []
            heartbeats: list[Socket] = []
            record(live, log)

            @live.io.on("connection")
            def connected(socket: Socket) -> None:
                socket.conn.on("heartbeat", lambda: heartbeats.append(socket))

            task = own.start(
                """
                const socket = await opened(io(url, { transports, reconnectionDelay: 10 }));
                const [reason] = await next(socket, "disconnect");
                await opened(socket);
                return reason;
                """,
                url=live.url,
                transports=transports,
            )
            assert await settled(lambda: live.io.sockets.sockets)
            # Several heartbeats pass first, so a live client stays.
            for _ in range(3):
                live.jump(300.0)
                assert await settled(lambda: heartbeats)
                heartbeats.clear()
            assert log == []
            own.process.send_signal(signal.SIGSTOP)
            await asyncio.to_thread(os.waitpid, own.process.pid, os.WUNTRACED)
            live.jump(300.0)
            assert log == []
            live.jump(200.5)
            assert await settled(lambda: len(log) == 2)
            assert log == ended("ping timeout")
            assert live.sessions == 0
            own.process.send_signal(signal.SIGCONT)
            assert await task in ("transport close", "ping timeout", "transport error")
    finally:
        own.process.send_signal(signal.SIGCONT)
        own.close()


@over_both
async def test_a_client_process_that_is_killed(node: Node, transports: list[str]) -> None:
    own = Stock(node)
    try:
        async with serving_stock() as live:
            log: list[Any] = []
            record(live, log)
            task = own.start(
                "await opened(io(url, { transports })); await sleep(60000);", url=live.url, transports=transports
            )
            assert await settled(lambda: live.io.sockets.sockets)
            (socket,) = live.io.sockets.sockets.values()
            assert await settled(lambda: at_rest(socket))
            own.process.kill()
            assert await settled(lambda: len(log) == 2)
            # A held poll that breaks off is an error, the end of a WebSocket is its end.
            assert log == ended("transport error" if transports == ["polling"] else "transport close")
            with pytest.raises(ScriptFailed):
                await task
    finally:
        own.close()


async def test_a_server_process_that_stops_is_noticed_by_the_client(stock: Stock) -> None:
    # It has to connect within the sum of these.
    async with serving_stock(ping_interval=0.5, ping_timeout=1.0) as live:
        # The server's heartbeat is switched off by hand; to the client that is a server that died.
        live.io.on("connection", lambda socket: socket.conn.heartbeat.stop())
        reason = await stock(
            """
            const socket = await opened(io(url, { transports: ["websocket"], reconnection: false }));
            return (await next(socket, "disconnect"))[0];
            """,
            url=live.url,
        )
        assert reason == "ping timeout"


async def test_disconnect_handlers_come_after_the_events_before(stock: Stock) -> None:
    async with serving_stock() as live:
        log: list[Any] = []

        @live.io.on("step")
        async def step(socket: Socket, number: int) -> None:
            await asyncio.sleep(0.01)
            log.append(number)

        @live.io.on("disconnecting")
        async def disconnecting(socket: Socket) -> None:
            await asyncio.sleep(0.01)
            log.append(("disconnecting", sorted(socket.rooms - {socket.id})))

        live.io.on("connection", lambda socket: socket.join("a", "b"))
        live.io.on("disconnect", lambda socket: log.append(("disconnect", sorted(socket.rooms))))
        await stock(
            """
            const socket = await opened(io(url));
            for (const number of [1, 2, 3]) socket.emit("step", number);
            socket.disconnect();
            """,
            url=live.url,
        )
        assert await settled(lambda: len(log) == 5)
        assert log == [1, 2, 3, ("disconnecting", ["a", "b"]), ("disconnect", [])]


async def test_what_is_sent_while_the_client_is_away_is_not_kept(stock: Stock) -> None:
    async with serving_stock() as live:
        live.io.on("which", lambda socket: socket.id)
        same = await stock(
            """
            const socket = await opened(io(url, { reconnectionDelay: 10 }));
            socket.io.engine.close();
            await next(socket, "connect");
            return (await socket.emitWithAck("which")) === socket.id;
            """,
            url=live.url,
        )
        assert same
