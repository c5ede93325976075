"""The stock JavaScript client against the asyncio server: namespaces, refusals, rooms, broadcasts, what is in between.

The client's side stands in each test as JavaScript; see ``tests/peers/stock_client.mjs`` for what it may use.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from sioproto import ConnectError, CorsPolicy
from tests.bindings.live import settled
from tests.interop.stock import serving_stock

if TYPE_CHECKING:
    from sioproto import Socket
    from tests.interop.stock import Stock


async def test_namespaces_share_one_connection(stock: Stock) -> None:
    async with serving_stock() as live:
        live.io.of("/admin").on("who", lambda socket: socket.namespace.name)
        live.io.of("/chat").on("who", lambda socket: socket.namespace.name)
        answers, same, different = await stock(
            """
            const [admin, chat] = [io(url + "/admin"), io(url + "/chat")];
            await Promise.all([opened(admin), opened(chat)]);
            const answers = await Promise.all([admin.emitWithAck("who"), chat.emitWithAck("who")]);
            return [answers, admin.io === chat.io, admin.id !== chat.id];
            """,
            url=live.url,
        )
        assert answers == ["/admin", "/chat"]
        assert same
        assert different


async def test_one_namespace_is_left_and_the_other_stays(stock: Stock) -> None:
    async with serving_stock() as live:
        reasons: list[str] = []
        live.io.of("/a").on("disconnect", lambda socket, reason: reasons.append(reason))
        live.io.of("/b").on("ping me", lambda socket: "pong")
        answer = await stock(
            """
            const [a, b] = [io(url + "/a"), io(url + "/b")];
            await Promise.all([opened(a), opened(b)]);
            a.disconnect();
            return b.emitWithAck("ping me");
            """,
            url=live.url,
        )
        assert answer == "pong"
        assert reasons == ["client namespace disconnect"]


async def test_dynamic_namespaces(stock: Stock) -> None:
    async with serving_stock() as live:
        joined: list[str] = []
        parent = live.io.of(re.compile(r"^/room-\d+$"))
        parent.on("connection", lambda socket: joined.append(socket.namespace.name))

        async def allow(name: str, auth: dict[str, Any]) -> bool:
            await asyncio.sleep(0)
            return name.startswith("/secret/") and auth.get("token") == "right"

        live.io.of(allow).on("connection", lambda socket: joined.append(socket.namespace.name))
        results = await stock(
            """
            const outcome = (socket) => opened(socket).then(() => "connected", (error) => error.message);
            return Promise.all([
              outcome(io(url + "/room-1")),
              outcome(io(url + "/room-22")),
              outcome(io(url + "/room-x")),
              outcome(io(url + "/secret/a", { auth: { token: "right" } })),
              outcome(io(url + "/secret/b", { auth: { token: "wrong" } })),
            ]);
            """,
            url=live.url,
        )
        assert results == ["connected", "connected", "Invalid namespace", "connected", "Invalid namespace"]
        assert sorted(joined) == ["/room-1", "/room-22", "/secret/a"]
        assert await settled(lambda: set(live.io._core.namespaces) == {"/"})


async def test_auth_and_handshake(stock: Stock) -> None:
    async with serving_stock(cors=CorsPolicy(origins="*")) as live:
        seen: list[Any] = []

        @live.io.on("connection")
        def connected(socket: Socket) -> None:
            handshake = socket.handshake
            seen.append((handshake.auth, handshake.query["room"], handshake.headers["x-test"], handshake.address))

        await stock(
            """
            const extraHeaders = { "X-Test": "yes" };
            const object = { token: "abc", nested: { list: [1] } };
            await opened(io(url, { auth: object, query: { room: "a b&c" }, extraHeaders }));
            const auth = (done) => done({ made: 1 });
            await opened(io(url, { auth, query: { room: "ä" }, extraHeaders, forceNew: true }));
            """,
            url=live.url,
        )
        assert seen == [
            ({"token": "abc", "nested": {"list": [1]}}, "a b&c", "yes", "127.0.0.1"),
            ({"made": 1}, "ä", "yes", "127.0.0.1"),
        ]


async def test_a_refusal_with_data_and_a_retry_on_the_same_session(stock: Stock) -> None:
    async with serving_stock() as live:
        sessions: list[str] = []

        @live.io.of("/guarded").use
        async def check(socket: Socket) -> None:
            sessions.append(socket.conn.id)
            if socket.handshake.auth.get("token") != "right":
                raise ConnectError("not you", {"code": 7, "list": [1, None]})

        live.io.on("ready", lambda socket: "ready")
        result = await stock(
            """
            const main = await opened(io(url));  // keeps the connection
            const socket = io(url + "/guarded", { auth: { token: "wrong" } });
            const [error] = await next(socket, "connect_error");
            const active = socket.active;
            socket.auth = { token: "right" };
            socket.connect();
            await opened(socket);
            return [error.message, error.data, active, socket.connected, await main.emitWithAck("ready")];
            """,
            url=live.url,
        )
        assert result == ["not you", {"code": 7, "list": [1, None]}, False, True, "ready"]
        assert len(sessions) == 2
        assert len(set(sessions)) == 1


async def test_a_namespace_that_does_not_exist(stock: Stock) -> None:
    async with serving_stock() as live:
        message, data = await stock(
            """
            const [error] = await next(io(url + "/nowhere"), "connect_error");
            return [error.message, error.data ?? null];
            """,
            url=live.url,
        )
        assert (message, data) == ("Invalid namespace", None)


async def test_a_session_that_is_refused(stock: Stock) -> None:
    def refuse(request: Any) -> bool:
        return False

    async with serving_stock(allow_request=refuse) as live:
        for transport, wanted in (("polling", 403), ("websocket", "Unexpected server response: 403")):
            description = await stock(
                """
                const socket = io(url, { transports: [transport], reconnection: false });
                const [error] = await next(socket, "connect_error");
                return transport === "polling" ? error.description : error.description.message;
                """,
                url=live.url,
                transport=transport,
            )
            assert description == wanted


async def test_rooms_and_broadcasts(stock: Stock) -> None:
    async with serving_stock() as live:
        live.io.on("join", lambda socket, *rooms: socket.join(*rooms))
        live.io.on("leave", lambda socket, room: socket.leave(room))

        @live.io.on("go")
        def go(socket: Socket, other: str) -> None:
            live.io.emit("m", "everybody")
            live.io.to("red").emit("m", "red")
            live.io.to("red", "blue").emit("m", "red or blue")
            live.io.except_("red").emit("m", "not red")
            live.io.to("blue").except_("red").emit("m", "blue but not red")
            socket.broadcast.emit("m", "all but me")
            socket.to("red").emit("m", "red but me")
            socket.to(other).emit("m", "you")
            live.io.to("empty").emit("m", "nobody")
            live.io.to("red").emit("m", {"binary": b"\x01"})
            live.io.emit("end")

        a, b, c = await stock(
            """
            const sockets = [1, 2, 3].map(() => io(url, { forceNew: true }));
            await Promise.all(sockets.map(opened));
            const seen = sockets.map((socket) => {
              const list = [];
              socket.on("m", (value) => list.push(value));
              return list;
            });
            const ends = sockets.map((socket) => next(socket, "end"));
            const [a, b, c] = sockets;
            await a.emitWithAck("join", "red");
            await b.emitWithAck("join", "red", "blue");
            await c.emitWithAck("join", "blue", "green");
            await c.emitWithAck("leave", "green");
            a.emit("go", c.id);
            await Promise.all(ends);
            return seen;
            """,
            url=live.url,
        )
        binary = {"binary": b"\x01"}
        assert a == ["everybody", "red", "red or blue", binary]
        assert b == ["everybody", "red", "red or blue", "all but me", "red but me", binary]
        assert c == ["everybody", "red or blue", "not red", "blue but not red", "all but me", "you"]


async def test_volatile_events_are_dropped_between_polls_only(stock: Stock) -> None:
    async with serving_stock() as live:

        @live.io.on("go")
        async def go(socket: Socket) -> None:
            # Whether a poll is held is up to the client, which sends the next one as soon as it has an answer.
            assert await settled(lambda: socket.conn.writable and not socket.conn.queued)
            socket.volatile.emit("n", 1)
            socket.emit("n", 2)
            socket.volatile.emit("n", 3)

        for transport in ("polling", "websocket"):
            got = await stock(
                """
                const socket = await opened(io(url, { transports: [transport] }));
                const numbers = gather(socket, "n", 3);
                socket.emit("go");
                return numbers;
                """,
                url=live.url,
                transport=transport,
            )
            assert got == [1, 2, 3]


async def test_acknowledged_broadcast(stock: Stock) -> None:
    async with serving_stock() as live:
        told: list[Any] = []
        answers: list[str | bytes] = []

        @live.io.on("connection")
        def connected(socket: Socket) -> None:
            # The end of each: a text, or the attachment.
            socket.conn.on("packet", lambda kind, data: answers.append(data) if data[:1] in ("3", b"2") else None)

        task = stock.start(
            """
            const sockets = [1, 2, 3].map(() => io(url, { forceNew: true }));
            sockets[0].on("question", (text, ack) => ack(text + 1));
            sockets[1].on("question", (text, ack) => ack(Buffer.from("2")));
            sockets[2].on("question", () => {});
            await Promise.all(sockets.map(opened));
            const end = next(sockets[0], "end");
            tell("ready");
            await end;
            return sockets.map((socket) => socket.id);
            """,
            told,
            url=live.url,
        )
        assert await settled(lambda: told)
        asking = live.io.timeout(100.0).emit_with_ack("question", "q")
        assert await settled(lambda: len(answers) == 2)
        live.jump(100.0)
        result = await asking
        live.io.emit("end")
        first, second, third = await task
        assert result.answers == {first: "q1", second: b"2"}
        assert result.missing == {third: "timed out"}


async def test_catch_alls_and_socket_middlewares(stock: Stock) -> None:
    async with serving_stock() as live:
        log: list[Any] = []

        @live.io.on("connection")
        def connected(socket: Socket) -> None:
            socket.on_any(lambda event, *args: log.append(("any", event, *args)))
            socket.on_any_outgoing(lambda event, *args: log.append(("out", event, *args)))

            @socket.use
            def check(event: str, args: list[Any]) -> None:
                log.append(("use", event, *args))
                if event == "bad":
                    raise ValueError("no")
                args.append("added")

            socket.on("error", lambda error: log.append(("error", str(error))))
            socket.on("good", lambda *args: log.append(("good", *args)))

        live.io.on("done", lambda socket: socket.emit("bye"))
        await stock(
            """
            const socket = await opened(io(url));
            socket.emit("good", 1);
            socket.emit("bad", 2);
            socket.emit("done");
            await next(socket, "bye");
            """,
            url=live.url,
        )
        assert log == [
            ("any", "good", 1),
            ("use", "good", 1),
            ("good", 1, "added"),
            ("any", "bad", 2),
            ("use", "bad", 2),
            ("error", "no"),
            ("any", "done"),
            ("use", "done"),
            ("out", "bye"),
        ]


async def test_names_that_are_ours_do_not_reach_lifecycle_handlers(stock: Stock) -> None:
    async with serving_stock() as live:
        log: list[str] = []
        live.io.on("connection", lambda socket: log.append("connection"))
        live.io.on("error", lambda socket: log.append("error"))
        live.io.on("connection", lambda socket: log.append("wire connection"), wire=True)
        live.io.on("end", lambda socket: "end")
        await stock(
            """
            const socket = await opened(io(url));
            socket.emit("connection");
            socket.emit("error");
            socket.emit("any");
            await socket.emitWithAck("end");
            """,
            url=live.url,
        )
        assert log == ["connection", "wire connection"]


async def test_events_that_are_emitted_before_the_client_is_accepted(stock: Stock) -> None:
    async with serving_stock() as live:

        @live.io.use
        async def greet(socket: Socket) -> None:
            socket.emit("early", 1)
            await asyncio.sleep(0.01)
            socket.emit("early", 2)

        live.io.on("connection", lambda socket: socket.emit("early", 3))
        got = await stock(
            """
            return gather(io(url), "early", 3);
            """,
            url=live.url,
        )
        assert got == [1, 2, 3]
