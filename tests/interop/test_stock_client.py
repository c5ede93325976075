"""The stock JavaScript client against the asyncio server: transports, values, acknowledgements, the upgrade.

The client's side stands in each test as JavaScript; see ``tests/peers/stock_client.mjs`` for what it may use.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import AckTimeout, Disconnected
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
    values: list[Any] = [
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
        polled: list[str] = []
        early_up = asyncio.Event()

        @live.io.on("up")
        def up(socket: Socket, number: int) -> None:
            received.append(number)
            if number == FLOOD // 4:
                early_up.set()

        @live.io.on("connection")
        def connected(socket: Socket) -> None:
            session = socket.conn
            session.on("packet", lambda kind, data: None if session.upgraded else polled.append(data))
            live.io.spawn(flood, socket)

        async def flood(socket: Socket) -> None:
            # Before, while and after the transport changes: the change may begin once each side has a quarter of the
            # other's, and the last quarters wait for its end.
            for number in range(FLOOD):
                socket.emit("down", number)
                if number == FLOOD // 4:
                    await early_up.wait()
                while number % 20 == attempt:
                    await asyncio.sleep(0.0005 * attempt)
                    if number < FLOOD * 3 // 4 or socket.conn.upgraded:
                        break

        got, early = await stock(
            """
            const agent = new HeldAgent();
            const transportOptions = { websocket: { agent } };
            const socket = io(url, { forceNew: true, transportOptions });
            const down = gather(socket, "down", count);
            const quarter = gather(socket, "down", count / 4);
            const polling = () => socket.io.engine.transport.name === "polling";
            let early = 0;
            socket.on("down", () => (early += polling()));
            await opened(socket);
            for (let number = 0; number < count; number++) {
              if (number === count / 4) {
                await Promise.all([quarter, socket.emitWithAck("up", number)]);
                agent.release();
              } else socket.emit("up", number);
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
        assert FLOOD // 4 <= early < FLOOD
        assert FLOOD // 4 <= len(polled) < FLOOD


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


async def test_the_plain_engine_client(stock: Stock) -> None:
    async with serving_stock() as live:
        sessions, seen = live.io.engine.sessions, set[str]()
        live.io.engine.on("headers", lambda headers, request: seen.update(sessions))
        result = await stock(
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
        (sid,) = seen
        assert result == [sid, "forced close"]
        assert await settled(lambda: not sessions)
