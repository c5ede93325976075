"""Recovery with the stock JavaScript client: it is cut off and comes back, and its handlers get each event once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import Recovery
from tests.bindings.live import settled
from tests.interop.relay import relaying
from tests.interop.stock import serving_stock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sioproto import Socket
    from tests.bindings.live import Live
    from tests.interop.relay import Relay
    from tests.interop.stock import Stock

TRANSPORTS = {"polling": ["polling"], "websocket": ["websocket"], "both": ["polling", "websocket"]}
over_all = pytest.mark.parametrize("transports", TRANSPORTS.values(), ids=TRANSPORTS.keys())
noticed_or_not = pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])

CLIENT = """
    const socket = io(url, { transports, reconnectionDelay: 20, reconnectionDelayMax: 50, randomizationFactor: 0 });
    const got = [];
    socket.on("number", (number) => got.push(number));
    const last = next(socket, "last");
    await opened(socket);
    const first = socket.id;
    if (transports.length > 1) await upgraded(socket);
"""
CONNECTS_AGAIN = """
    const again = next(socket, "connect");
    tell("ready");
    await again;
    return [socket.recovered, socket.id === first, got];
"""


@asynccontextmanager
async def recovering(**options: Any) -> AsyncIterator[tuple[Live, Relay]]:
    """Serves with recovery, behind a relay; clients have said goodbye before that ends."""
    async with serving_stock(recovery=Recovery(**options)) as live, relaying(live.port) as relay:
        yield live, relay
        await settled(lambda: live.sessions == 0)


def record(live: Live) -> list[tuple[Any, ...]]:
    """Writes down who connects and how they go."""
    log: list[tuple[Any, ...]] = []

    @live.io.on("connection")
    def connected(socket: Socket) -> None:
        log.append(("connection", socket.id, socket.recovered, socket.recovery_refused))

    live.io.on("disconnect", lambda socket, reason: log.append(("disconnect", socket.id)))
    return log


async def at_rest(live: Live) -> None:
    """Waits until all that was sent to the client has left, and it would take more."""

    def resting() -> bool:
        sockets = live.io.sockets.sockets.values()
        return any(socket.conn.writable and not socket.conn.queued for socket in sockets)

    assert await settled(resting)


@over_all
@noticed_or_not
async def test_a_client_that_is_cut_off_gets_every_event_once(
    stock: Stock, transports: list[str], noticed: bool
) -> None:
    async with recovering() as (live, relay):
        log = record(live)
        back = asyncio.Queue[bool]()

        @live.io.on("ready")
        def ready(socket: Socket, recovered: bool) -> None:
            if not recovered:
                socket.join("room")
            back.put_nowait(recovered)

        live.io.on("rooms", lambda socket: sorted(socket.rooms))
        task = stock.start(
            CLIENT
            + """
            socket.emit("ready", false);
            socket.on("connect", () => socket.emit("ready", socket.recovered && socket.id === first));
            await last;
            return [got, socket.id, await socket.emitWithAck("rooms")];
            """,
            url=relay.url,
            transports=transports,
        )
        assert not await back.get()
        number = 0
        for _ in range(3):
            (socket,) = live.io.sockets.sockets.values()
            for emit in (live.io.emit, live.io.to("room").emit, socket.emit):
                emit("number", number)
                number += 1
            live.io.to("elsewhere").emit("number", -1)
            # Some of it is on its way, some of it comes later.
            relay.cut(noticed=noticed)
            live.io.to("room").emit("number", number, b"binary")
            number += 1
            assert await back.get()
        live.io.emit("last")
        got, sid, rooms = await task
        assert got == list(range(number))
        assert rooms == sorted(["room", sid])
        assert [row[0] for row in log[:7]] == ["connection", *["disconnect", "connection"] * 3]
        assert all(row[1] == sid for row in log)


@over_all
async def test_a_client_that_has_got_nothing_yet(stock: Stock, transports: list[str]) -> None:
    async with recovering() as (live, relay):
        told: list[Any] = []
        task = stock.start(
            CLIENT + CONNECTS_AGAIN,
            told,
            url=relay.url,
            transports=transports,
        )
        assert await settled(lambda: told)
        await at_rest(live)
        relay.cut(noticed=False)
        live.io.emit("number", 1)
        assert await task == [True, True, [1]]


@over_all
async def test_volatile_events_do_not_keep_a_client_from_being_recovered(stock: Stock, transports: list[str]) -> None:
    async with recovering() as (live, relay):
        log = record(live)
        told: list[Any] = []
        task = stock.start(
            CLIENT
            + """
            const args = [];
            socket.on("volatile", (...all) => args.push(all[0]));
            const come = next(socket, "volatile");
            tell("ready");
            await come;
            socket.emit("go");
            await next(socket, "connect");
            return [socket.recovered, got, args];
            """,
            told,
            url=relay.url,
            transports=transports,
        )
        assert await settled(lambda: told)
        live.io.on("go", lambda socket: relay.cut(noticed=True))
        live.io.emit("number", 1)
        await at_rest(live)
        live.io.volatile.emit("volatile", "ends in a text")
        assert await settled(lambda: len(log) > 1)
        live.io.emit("number", 2)
        assert await task == [True, [1, 2], ["ends in a text"]]


async def test_an_answer_to_connect_that_is_lost(stock: Stock) -> None:
    async with recovering() as (live, relay):
        log = record(live)
        told: list[Any] = []
        task = stock.start(CLIENT + CONNECTS_AGAIN, told, url=relay.url, transports=["websocket"])
        assert await settled(lambda: told)
        (socket,) = live.io.sockets.sockets.values()
        live.io.on("connection", lambda socket: setattr(relay, "deaf", True))
        relay.cut(noticed=True)
        live.io.emit("number", 1)
        # It is recovered as far as the server knows, and never hears of it.
        assert await settled(lambda: log[-1] == ("connection", socket.id, True, None))
        live.io.off("connection")
        record(live)
        relay.cut(noticed=False)
        relay.deaf = False
        live.io.emit("number", 2)
        assert await task == [True, True, [1, 2]]


async def test_events_that_ask_for_an_answer(stock: Stock) -> None:
    async with recovering() as (live, relay):
        told: list[Any] = []
        task = stock.start(
            CLIENT
            + """
            const asked = [];
            socket.on("ask", (number, answer) => { asked.push(number); answer(number * 2); });
            tell("ready");
            await last;
            return [socket.recovered, asked];
            """,
            told,
            url=relay.url,
            transports=["websocket"],
        )
        assert await settled(lambda: told)
        (socket,) = live.io.sockets.sockets.values()
        relay.deaf = True
        one, two = socket.emit_with_ack("ask", 1), live.io.emit_with_ack("ask", 2)
        assert await settled(lambda: b'"ask",1' in relay.swallowed and b'"ask",2' in relay.swallowed)
        relay.cut(noticed=False)
        relay.deaf = False
        assert await one == 2
        assert (await two).answers == {socket.id: 4}
        live.io.emit("last")
        assert await task == [True, [1, 2]]


async def test_a_client_that_is_away_for_too_long_gets_a_new_socket(stock: Stock) -> None:
    async with recovering(max_disconnection=60.0) as (live, relay):
        log = record(live)
        told: list[Any] = []
        task = stock.start(
            CLIENT + 'socket.on("number", tell);' + CONNECTS_AGAIN, told, url=relay.url, transports=["websocket"]
        )
        assert await settled(lambda: told)
        live.io.emit("number", 1)
        assert await settled(lambda: 1 in told)
        # It finds nobody until the time is over.
        relay.silent = True
        relay.cut(noticed=True)
        assert await settled(lambda: len(log) == 2)
        live.io.emit("number", 2)
        live.jump(61.0)
        relay.silent = False
        assert await task == [False, False, [1]]
        assert log[-1][2:] == (False, "unknown") or log[-1][0] == "disconnect"


async def test_several_namespaces_come_back_together(stock: Stock) -> None:
    async with recovering() as (live, relay):
        live.io.of("/a")
        live.io.of("/b")
        told: list[Any] = []
        task = stock.start(
            """
            const options = { transports: ["websocket"], reconnectionDelay: 20, randomizationFactor: 0 };
            const sockets = ["/", "/a", "/b"].map((name) => io(url + name, options));
            const got = sockets.map(() => []);
            sockets.forEach((socket, index) => socket.on("number", (number) => got[index].push(number)));
            await Promise.all(sockets.map(opened));
            const ids = sockets.map((socket) => socket.id);
            tell("ready");
            await Promise.all(sockets.map((socket) => next(socket, "connect")));
            return [sockets.every((socket, index) => socket.recovered && socket.id === ids[index]), got];
            """,
            told,
            url=relay.url,
        )
        spaces = [live.io.of(name) for name in ("/", "/a", "/b")]
        assert await settled(lambda: told)
        relay.cut(noticed=False)
        for number, space in enumerate(spaces):
            space.emit("number", number)
        assert await task == [True, [[0], [1], [2]]]
