"""Recovery on asyncio: a store that waits, clients that lie about who they were, and two who say the same.

``serving`` looks at the logs at the end of each test: what a client says fills none.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import Recovery
from sioproto.socketio import MemoryStore
from tests.bindings.live import serving, settled
from tests.bindings.raw import TRANSPORTS, Ended

if TYPE_CHECKING:
    from sioproto import Socket
    from sioproto.socketio import RestoreTicket, SocketServer
    from tests.bindings.live import Live
    from tests.bindings.raw import Polling, WebSockets

PATIENCE = 30.0


async def claim(client: Polling | WebSockets, auth: object = None) -> dict[str, Any]:
    """Sends CONNECT and returns what the server answers."""
    await client.send("40" + ("" if auth is None else json.dumps(auth)))
    answer = await asyncio.wait_for(client.receive(), PATIENCE)
    assert isinstance(answer, str)
    assert answer.startswith("40")
    ids: dict[str, Any] = json.loads(answer[2:])
    return ids


async def answer_and_missed(client: Polling | WebSockets) -> list[Any]:
    """Returns the answer to CONNECT and what was missed: all that comes before it in the answer to a poll, else the
    first that comes behind.
    """
    packets: list[Any] = [await asyncio.wait_for(client.receive(), PATIENCE)]
    while not packets[-1].startswith("40"):
        packets.append(await asyncio.wait_for(client.receive(), PATIENCE))
    return [packets.pop(), *(packets or [await asyncio.wait_for(client.receive(), PATIENCE)])]


async def secretive(live: Live, transport: str) -> tuple[dict[str, Any], str]:
    """Returns the ids of a client with rooms and data that was lost, and the offset of what it received."""
    client = await live.client(transport)
    ids = await claim(client, {"token": "of Ada"})
    socket = live.io.sockets.sockets[ids["sid"]]
    socket.join("secret room")
    socket.data["secret"] = "of Ada"
    live.io.to("secret room").emit("secret", "one")
    event = await client.receive()
    assert isinstance(event, str)
    if transport == "polling":
        await client.send("1")  # else nobody would notice before it is due to answer a ping
    await client.hang_up()
    assert await settled(lambda: not live.io.sockets.sockets, PATIENCE)
    live.io.to("secret room").emit("secret", "two")
    return ids, json.loads(event[2:])[-1]


def lies(ids: dict[str, Any], offset: str, stranger: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Returns what somebody may claim who does not know a private id with its offset, and why it is refused."""
    epoch, pid = offset.partition(".")[0], ids["pid"]
    return [
        ({"pid": "AAAAAAAAAAAAAAAAAAAA", "offset": offset}, "unknown"),
        ({"pid": ids["sid"], "offset": offset}, "unknown"),
        ({"pid": stranger["sid"], "offset": offset}, "unknown"),
        ({"pid": pid.swapcase(), "offset": offset}, "unknown"),
        ({"pid": pid + "\u0000", "offset": offset}, "unknown"),
        ({"pid": ids["sid"], "offset": None}, "unknown"),
        ({"pid": 10**300}, "invalid"),
        ({"pid": 1e300, "offset": 1.5}, "invalid"),
        ({"pid": {"toString": "x"}, "offset": {}}, "invalid"),
        ({"pid": [pid], "offset": [offset]}, "invalid"),
        ({"pid": {"_placeholder": True, "num": 0}, "offset": offset}, "invalid"),
        ({"pid": False}, "invalid"),
        ({"pid": "x" * 900_000, "offset": offset}, "invalid"),
        ({"pid": "AAAAAAAAAAAAAAAAAAAA", "offset": "x" * 900_000}, "invalid"),
        ({"pid": "AAAAAAAAAAAAAAAAAAAA", "offset": f"{epoch}.{'9' * 300}"}, "invalid"),
        ({"pid": "\ud800", "offset": "\udfff"}, "unknown"),
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_that_lies_is_a_new_one_and_nothing_else(transport: str) -> None:
    async with serving(recovery=Recovery()) as live:
        ids, offset = await secretive(live, transport)
        friend = await live.client(transport)
        stranger = await claim(friend)
        seen = {*ids.values(), *stranger.values()}
        for lie, refusal in lies(ids, offset, stranger):
            client = await live.client(transport)
            got = await claim(client, {**lie, "token": "of Eve"})
            assert set(got) == {"sid", "pid"}
            assert not seen & set(got.values())
            seen.update(got.values())
            socket = live.io.sockets.sockets[got["sid"]]
            assert (socket.recovered, socket.recovery_refused) == (False, refusal)
            assert socket.rooms == {socket.id}
            assert socket.data == {}
            assert socket.handshake.auth["token"] == "of Eve"
            # The first that it gets is what everybody gets from now on.
            live.io.to("secret room").emit("secret", "three")
            live.io.emit("public")
            event = await client.receive()
            assert isinstance(event, str)
            assert event.startswith('42["public"')
            await client.send("41")
            await client.hang_up()
        assert live.io.sockets.sockets[stranger["sid"]].connected
        # Nothing of that was the end of the one who was lost.
        again = await live.client(transport)
        await again.send("40" + json.dumps({"pid": ids["pid"], "offset": offset}))
        packets = await answer_and_missed(again)
        assert json.loads(packets[0][2:]) == ids
        assert json.loads(packets[1][2:])[:2] == ["secret", "two"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_claim_that_is_larger_than_any_message_may_be_is_not_even_read(transport: str) -> None:
    async with serving(recovery=Recovery()) as live:
        client = await live.client(transport)
        with suppress(Ended, OSError):
            await client.send("40" + json.dumps({"pid": "x" * 10_000_000}))
        await client.hang_up()
        assert not live.io.sockets.sockets
        await live.check_fresh_client()


async def test_the_private_id_is_what_counts_unless_middlewares_run() -> None:
    """Somebody else's token with it: the application finds out in a middleware, if it wants to."""
    for skip in (True, False):
        async with serving(recovery=Recovery(skip_middlewares=skip)) as live:

            @live.io.use
            def check(socket: Socket) -> None:
                token = socket.data.setdefault("token", socket.handshake.auth["token"])
                if token != socket.handshake.auth["token"]:
                    raise PermissionError

            client = await live.websocket()
            ids = await claim(client, {"token": "of Ada"})
            await client.hang_up()
            other = await live.websocket()
            await other.send("40" + json.dumps({"pid": ids["pid"], "token": "of Eve"}))
            answer = await other.receive()
            if skip:
                assert answer == "40" + json.dumps(ids, separators=(",", ":"))
            else:
                assert isinstance(answer, str)
                assert answer.startswith("44")
                assert ids["sid"] not in answer
                # That was the end of it, for its owner as well.
                owner = await live.websocket()
                assert (await claim(owner, {"pid": ids["pid"], "token": "of Ada"}))["sid"] != ids["sid"]
                live.errors.clear()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_of_many_that_name_the_same_private_id_at_once_one_has_the_socket(transport: str) -> None:
    async with serving(recovery=Recovery()) as live:
        ids, offset = await secretive(live, transport)
        clients = [await live.client(transport) for _ in range(8)]
        auth = json.dumps({"pid": ids["pid"], "offset": offset})
        await asyncio.gather(*(client.send("40" + auth) for client in clients), return_exceptions=True)
        assert await settled(lambda: live.sessions == 1 and len(live.io.sockets.sockets) == 1, PATIENCE)
        (socket,) = live.io.sockets.sockets.values()
        assert (socket.id, socket.private_id, socket.recovered) == (ids["sid"], ids["pid"], True)
        assert socket.rooms == {socket.id, "secret room"}
        live.io.to("secret room").emit("secret", "three")
        (client,) = [each for each in clients if each.sid == socket.conn.id]
        packets = await answer_and_missed(client)
        packets.append(await asyncio.wait_for(client.receive(), PATIENCE))
        assert json.loads(packets[0][2:]) == ids
        assert [json.loads(packet[2:])[1] for packet in packets[1:]] == ["two", "three"]


class LateStore(MemoryStore):
    """Answers when the test says so, from wherever it does."""

    def __init__(self, server: SocketServer) -> None:
        super().__init__(server)
        self.asked: list[RestoreTicket] = []

    def restore(self, ticket: RestoreTicket) -> None:
        self.asked.append(ticket)

    def answer(self) -> None:
        super().restore(self.asked.pop())


async def test_a_store_that_waited_is_not_waited_for_any_longer() -> None:
    stores: list[LateStore] = []

    def make(server: SocketServer) -> LateStore:
        stores.append(LateStore(server))
        return stores[0]

    # Nothing else happens that could bring the answer on its way.
    async with serving(recovery=Recovery(store_timeout=3600.0), recovery_store=make, ping_interval=3600.0) as live:
        client = await live.websocket()
        ids = await claim(client)
        await client.hang_up()
        again = await live.websocket()
        await again.send("40" + json.dumps({"pid": ids["pid"]}))
        assert await settled(lambda: stores[0].asked, PATIENCE)
        asyncio.get_running_loop().call_later(0.01, stores[0].answer)
        assert await asyncio.wait_for(again.receive(), PATIENCE) == "40" + json.dumps(ids, separators=(",", ":"))
