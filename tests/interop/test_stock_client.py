"""The stock JavaScript client against the asyncio server: transports, events, acknowledgements, rooms, namespaces.

The client's side stands in each test as JavaScript; see ``tests/peers/stock_client.mjs`` for what it may use.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, ConnectError, CorsPolicy, Disconnected
from tests.bindings.live import settled
from tests.interop.stock import serving_stock

if TYPE_CHECKING:
    from sioproto import Socket
    from tests.bindings.live import Live
    from tests.interop.stock import Stock

TRANSPORTS = {
    "polling": ["polling"],
    "websocket": ["websocket"],
    "upgrade": ["polling", "websocket"],
}
over_each = pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS.keys())
FLOOD = 2000


def echo(live: Live) -> None:
    """Answers and sends back."""

    @live.io.on("echo")
    def back(socket: Socket, *args: Any) -> tuple[Any, ...]:
        socket.emit("echo", *args)
        return args


def only_socket(live: Live, namespace: str = "/") -> Socket:
    """Returns the one socket that is connected."""
    (socket,) = live.io.of(namespace).sockets.values()
    return socket


@over_each
async def test_connects_and_both_sides_agree_on_the_id(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:
        seen: list[tuple[str, str]] = []
        live.io.on("connection", lambda socket: seen.append((socket.id, socket.conn.id)))
        sid, name = await stock(
            """
            const socket = await opened(io(url, { transports }));
            if (transports.length === 2) await upgraded(socket);
            return [socket.id, socket.io.engine.transport.name];
            """,
            url=live.url,
            transports=transports,
        )
        assert name == transports[-1]
        ((seen_sid, session_id),) = seen
        assert sid == seen_sid
        assert re.fullmatch(r"[A-Za-z0-9_-]{20}", sid)
        # The session's id is a secret; the socket's id everybody may know.
        assert sid != session_id


@over_each
async def test_values_of_every_kind_go_both_ways(stock: Stock, transports: list[str]) -> None:
    values = [
        None,
        True,
        0,
        -1,
        1.5,
        2**53 - 1,
        "",
        "äöü € 😀 \u2028 \x00 \x1e b4",
        [],
        {},
        [[[]]],
        {"a": {"b": [1, {"c": None}]}},
        b"",
        b"\x00\xff\x1e4",
        {"deep": [b"one", {"er": b"two"}], "text": "three"},
        [b"x" * 70_000],
    ]
    async with serving_stock() as live:
        received: list[Any] = []
        live.io.on("values", lambda socket, *args: received.extend(args))
        echo(live)
        answered, emitted = await stock(
            """
            const socket = await opened(io(url, { transports }));
            socket.emit("values", ...values);
            const back = next(socket, "echo");
            const answered = await new Promise((resolve) => socket.emit("echo", ...values, (...all) => resolve(all)));
            return [answered, await back];
            """,
            url=live.url,
            transports=transports,
            values=values,
        )
        assert received == answered == emitted == values


@over_each
async def test_acknowledgements_that_the_client_asks_for(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:

        @live.io.on("nothing")
        def nothing(socket: Socket) -> None:
            """Acknowledges without a value."""

        @live.io.on("one")
        async def one(socket: Socket) -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"binary": b"\x01\x02", "list": [1, "zwei"]}

        @live.io.on("several")
        def several(socket: Socket) -> tuple[int, bytes, str]:
            return 1, b"2", "drei"

        @live.io.on("later")
        def later(socket: Socket, *, ack: Any) -> None:
            live.io.spawn(answer_later, ack)

        async def answer_later(ack: Any) -> None:
            await live.io.sleep(0.02)
            ack("late")
            ack("too late")

        @live.io.on("never")
        def never(socket: Socket, *, ack: Any) -> None:
            """Does not acknowledge."""

        answers = await stock(
            """
            const socket = await opened(io(url, { transports }));
            const ask = (name) => new Promise((resolve) => socket.emit(name, (...all) => resolve(all)));
            const answers = await Promise.all(["nothing", "one", "several", "later"].map(ask));
            const failed = await socket.timeout(100).emitWithAck("never").catch((error) => error.message);
            return [...answers, failed];
            """,
            url=live.url,
            transports=transports,
        )
        assert answers == [
            [],
            [{"binary": b"\x01\x02", "list": [1, "zwei"]}],
            [1, b"2", "drei"],
            ["late"],
            "operation has timed out",
        ]


@over_each
async def test_acknowledgements_that_the_server_asks_for(stock: Stock, transports: list[str]) -> None:
    async with serving_stock() as live:
        results: list[Any] = []

        @live.io.on("ready")
        async def ready(socket: Socket) -> str:
            results.append(await socket.emit_with_ack("none"))
            results.append(await socket.emit_with_ack("one", b"binary"))
            results.append(await socket.emit_with_ack("several", 1))
            try:
                await socket.timeout(0.1).emit_with_ack("silent")
            except AckTimeout as error:
                results.append(str(error))
            return "done"

        done = await stock(
            """
            const socket = io(url, { transports });
            socket.on("none", (ack) => ack());
            socket.on("one", (data, ack) => ack({ back: data }));
            socket.on("several", (number, ack) => ack(number, "b", Buffer.from("c")));
            socket.on("silent", () => {});
            await opened(socket);
            return socket.emitWithAck("ready");
            """,
            url=live.url,
            transports=transports,
        )
        assert done == "done"
        assert results == [None, {"back": b"binary"}, (1, "b", b"c"), "operation has timed out"]


async def test_who_waits_for_an_acknowledgement_learns_of_the_end(stock: Stock) -> None:
    async with serving_stock() as live:
        results: list[object] = []

        @live.io.on("connection")
        async def connected(socket: Socket) -> None:
            try:
                await socket.emit_with_ack("question")
            except Disconnected as error:
                results.append(str(error))

        await stock(
            """
            const socket = io(url);
            await next(socket, "question");
            """,
            url=live.url,
        )
        assert await settled(lambda: results)
        assert results == ["socket has been disconnected"]


@pytest.mark.parametrize("attempt", range(5))
async def test_an_upgrade_loses_repeats_and_reorders_nothing(stock: Stock, attempt: int) -> None:
    async with serving_stock() as live:
        received: list[int] = []
        polled: list[int] = []

        @live.io.on("up")
        def up(socket: Socket, number: int) -> None:
            received.append(number)
            if not socket.conn.upgraded:
                polled.append(number)

        @live.io.on("connection")
        async def flood(socket: Socket) -> None:
            # Before, while and after the transport changes: the last quarter waits for the upgrade.
            for number in range(FLOOD):
                socket.emit("down", number)
                while number % 20 == attempt:
                    await asyncio.sleep(0.0005 * attempt)
                    if number < FLOOD * 3 // 4 or socket.conn.upgraded:
                        break

        got, early = await stock(
            """
            const transportOptions = { websocket: { agent: new LateAgent(10 + 10 * attempt) } };
            const socket = io(url, { forceNew: true, transportOptions });
            const down = gather(socket, "down", count);
            const polling = () => socket.io.engine.transport.name === "polling";
            let early = 0;
            socket.on("down", () => (early += polling()));
            await opened(socket);
            for (let number = 0; number < count; number++) {
              socket.emit("up", number);
              while (number % 20 === attempt) {
                await sleep(attempt / 2);
                if (number < (count * 3) / 4 || !polling()) break;
              }
            }
            return [await down, early];
            """,
            url=live.url,
            count=FLOOD,
            attempt=attempt,
        )
        assert got == list(range(FLOOD))
        assert await settled(lambda: len(received) >= FLOOD)
        assert received == list(range(FLOOD))
        # Both directions changed over in the middle.
        assert 0 < early < FLOOD
        assert 0 < len(polled) < FLOOD


async def test_five_thousand_events_in_one_turn(stock: Stock) -> None:
    async with serving_stock() as live:
        numbers: list[int] = []
        live.io.on("number", lambda socket, number: numbers.append(number))
        echo(live)
        got = await stock(
            """
            const socket = await opened(io(url, { transports: ["polling"] }));
            for (let number = 0; number < 5000; number++) socket.emit("number", number);
            return socket.emitWithAck("echo", "end");
            """,
            url=live.url,
        )
        assert got == "end"
        assert numbers == list(range(5000))


async def test_five_thousand_events_from_the_server_in_one_turn(stock: Stock) -> None:
    async with serving_stock() as live:

        @live.io.on("flood")
        def flood(socket: Socket) -> None:
            for number in range(5000):
                socket.emit("number", number)

        for transport in ("polling", "websocket"):
            got = await stock(
                """
                const socket = await opened(io(url, { transports: [transport] }));
                const numbers = gather(socket, "number", 5000);
                socket.emit("flood");
                return numbers;
                """,
                url=live.url,
                transport=transport,
            )
            assert got == list(range(5000))


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
            await opened(io(url, { auth: (done) => done({ made: 1 }), query: { room: "ä" }, extraHeaders, forceNew: true }));
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
        def go(socket: Socket) -> None:
            # A POST is being answered; whether a poll is held meanwhile is up to the client, which holds one here.
            socket.volatile.emit("n", 1)
            socket.emit("n", 2)
            socket.volatile.emit("n", 3)

        for transport in ("polling", "websocket"):
            got = await stock(
                """
                const socket = await opened(io(url, { transports: [transport] }));
                const numbers = gather(socket, "n", 3);
                await sleep(50);  // until its poll is held
                socket.emit("go");
                return numbers;
                """,
                url=live.url,
                transport=transport,
            )
            assert got == [1, 2, 3]


async def test_acknowledged_broadcast(stock: Stock) -> None:
    async with serving_stock() as live:
        sids: list[str] = []
        live.io.on("connection", lambda socket: sids.append(socket.id))
        task = stock.start(
            """
            const sockets = [1, 2, 3].map(() => io(url, { forceNew: true }));
            sockets[0].on("question", (text, ack) => ack(text + 1));
            sockets[1].on("question", (text, ack) => ack(Buffer.from("2")));
            sockets[2].on("question", () => {});
            await Promise.all(sockets.map(opened));
            await next(sockets[0], "end");
            return sockets.map((socket) => socket.id);
            """,
            url=live.url,
        )
        assert await settled(lambda: len(sids) == 3, 5)
        result = await live.io.timeout(0.3).emit_with_ack("question", "q")
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


async def test_the_plain_engine_client(stock: Stock) -> None:
    async with serving_stock() as live:
        sessions = live.io.engine.sessions
        task = stock.start(
            """
            const socket = new eio(url, { path: "/socket.io/" });
            await next(socket, "open");
            const handshake = await next(socket, "upgrade").then(() => socket.id);
            const closing = next(socket, "close");
            socket.close();
            return [handshake, (await closing)[0]];
            """,
            url=live.url,
        )
        assert await settled(lambda: sessions)
        (sid,) = sessions
        assert await task == [sid, "forced close"]
        assert await settled(lambda: not sessions)
