"""Engine.IO, protocol revision 4, as its official test suite probes it: raw requests and packets, over both transports.

Where this server differs from the Node.js server on purpose the test says so. Socket.IO's part stands in
``test_conformance_socketio``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from sioproto import CorsPolicy, Forbidden
from tests.bindings.live import LATE, serving, settled
from tests.bindings.raw import TRANSPORTS, Polling, WebSocket, WebSockets, upgrade

if TYPE_CHECKING:
    from sioproto import Request
    from tests.bindings.live import Live

both = pytest.mark.parametrize("transport", TRANSPORTS)

MESSAGES = [
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
]


def refusal(code: int) -> tuple[int, dict[str, Any]]:
    """Returns the status and the body of a refusal."""
    return 403 if code == 4 else 400, {"code": code, "message": MESSAGES[code]}


# Engine.IO: the handshake


HANDSHAKES = [
    # method, query, code; a query that asks for transport=websocket is sent as a plain request, too
    ("GET", "EIO=4", 0),
    ("GET", "EIO=4&transport=", 0),
    ("GET", "EIO=4&transport=abc", 0),
    ("GET", "EIO=4&transport=webtransport", 0),
    ("GET", "EIO=4&transport=constructor", 0),
    ("GET", "EIO=4&transport=polling&transport=abc", 0),
    ("GET", "EIO=4&transport=polling&sid=abc", 1),
    ("POST", "EIO=4&transport=polling&sid=abc", 1),
    ("GET", "EIO=4&transport=polling&sid=__proto__", 1),
    ("POST", "EIO=4&transport=polling", 2),
    ("PUT", "EIO=4&transport=polling", 2),
    ("DELETE", "EIO=4&transport=polling", 2),
    ("OPTIONS", "EIO=4&transport=polling", 2),
    ("POST", "transport=polling", 2),
    ("GET", "EIO=4&transport=websocket", 3),
    ("GET", "transport=polling", 5),
    ("GET", "EIO=3&transport=polling", 5),
    ("GET", "EIO=5&transport=polling", 5),
    ("GET", "EIO=abc&transport=polling", 5),
    ("GET", "EIO=04&transport=polling", 5),
    ("GET", "EIO=4&EIO=3&transport=polling", 5),
]


@pytest.mark.parametrize(("method", "query", "code"), HANDSHAKES)
async def test_refused_over_http(method: str, query: str, code: int) -> None:
    async with serving() as live:
        connection = await live.connect()
        answer = await connection.request(method, f"/socket.io/?{query}", b"" if method == "POST" else None)
        assert answer.error == refusal(code)
        assert answer.headers["content-type"] == "application/json"
        assert live.sessions == 0
        # The connection is fit for more.
        assert (await connection.request("GET", "/socket.io/?EIO=4&transport=polling")).status == 200


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("EIO=4", 0),
        ("EIO=4&transport=abc", 0),
        ("EIO=4&transport=websocket&sid=abc", 1),
        ("EIO=4&transport=polling", 3),
        ("transport=websocket", 5),
        ("EIO=3&transport=websocket", 5),
    ],
)
async def test_refused_over_websocket(query: str, code: int) -> None:
    async with serving() as live:
        connection = await live.connect()
        # Before the 101, and as JSON: Node.js sends bare text, some of it behind the 101.
        assert (await connection.upgrade(f"/socket.io/?{query}")).error == refusal(code)
        assert await connection.rest() == b""
        assert live.sessions == 0


async def test_refused_by_the_application() -> None:
    async def refuse(request: Request) -> bool:
        if "named" in request.target:
            raise Forbidden("not today")
        return False

    async with serving(allow_request=refuse) as live:
        for query, message in (("", "Forbidden"), ("&named", "not today")):
            wanted = 403, {"code": 4, "message": message}
            connection = await live.connect()
            answer = await connection.request("GET", f"/socket.io/?EIO=4&transport=polling{query}")
            assert answer.error == wanted
            assert (await connection.upgrade(f"/socket.io/?EIO=4&transport=websocket{query}")).error == wanted
        assert live.sessions == 0


@pytest.mark.parametrize("transports", [("polling",), ("websocket",)])
async def test_transports_that_are_off(transports: tuple[str, ...]) -> None:
    async with serving(transports=transports) as live:
        for transport in TRANSPORTS:
            connection = await live.connect()
            target = f"/socket.io/?EIO=4&transport={transport}"
            if transport in transports:
                client = await live.client(transport)
                assert client.handshake["upgrades"] == []
            elif transport == "polling":
                assert (await connection.request("GET", target)).error == refusal(0)
            else:
                assert (await connection.upgrade(target)).error == refusal(0)


async def test_paths() -> None:
    async with serving(path="/my/io") as live:
        connection = await live.connect()
        query = "?EIO=4&transport=polling"
        for path, status in (
            ("/my/io/", 200),
            ("/my/io/more/of/it", 200),
            ("/my/io", 404),
            ("/my/iox/", 404),
            ("/socket.io/", 404),
            ("/MY/IO/", 404),
        ):
            assert (await connection.request("GET", path + query)).status == status, path


async def test_a_preflight_without_a_policy() -> None:
    async with serving() as live:
        connection = await live.connect()
        headers = [("Origin", "http://localhost"), ("Access-Control-Request-Method", "POST")]
        answer = await connection.request("OPTIONS", "/socket.io/?EIO=4&transport=polling", headers=headers)
        assert answer.error == refusal(2)
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_cors_headers_on_every_answer() -> None:
    async with serving(cors=CorsPolicy(origins="*")) as live:
        connection = await live.connect()
        origin = [("Origin", "https://page.example")]
        for query, status in (("EIO=4&transport=polling", 200), ("EIO=4&transport=abc", 400)):
            answer = await connection.request("GET", f"/socket.io/?{query}", headers=origin)
            assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, "*")


# Engine.IO: long-polling


async def test_methods_of_a_polling_session() -> None:
    async with serving() as live:
        client = await live.polling()
        connection = await live.connect()
        for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await connection.request(method, client.target("polling"))
            # Node.js answers 500 with an empty body; the session stays either way.
            assert (answer.status, answer.body) == (405, b""), method
        await client.join()


async def test_two_polls_at_once() -> None:
    async with serving() as live:
        client = await live.polling()
        first = await client.begin_get()
        assert await settled(lambda: live.io.engine.sessions[client.sid].writable)
        second = await live.connect()
        answer = await second.request("GET", client.target("polling"))
        assert (answer.status, answer.body) == (400, b"")
        assert (await first.answer()).packets == ["1"]
        assert (await client.get()).error == refusal(1)


async def test_two_posts_at_once() -> None:
    async with serving() as live:
        client = await live.polling()
        first, second = await live.connect(), await live.connect()
        await first.send(f"POST {client.target('polling')} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n40".encode())
        assert await settled(lambda: live.io.engine.sessions[client.sid].polling.post)
        assert (await second.request("POST", client.target("polling"), b"40")).status == 400
        assert live.sessions == 0


async def test_binary_post() -> None:
    async with serving() as live:
        client = await live.polling()
        answer = await client.post(b"\x01\x02", [("Content-Type", "application/octet-stream")])
        assert (answer.status, answer.body) == (400, b"")
        assert live.sessions == 0


async def test_an_invalid_payload_delivers_what_stands_before_it() -> None:
    async with serving() as live:
        seen: list[int] = []
        live.io.on("number", lambda socket, number: seen.append(number))
        client = await live.polling()
        await client.join()
        # Node.js answers 200; its own protocol tests accept 400.
        assert (await client.post('42["number",1]\x1eabc\x1e42["number",2]')).status == 400
        assert seen == [1]
        assert live.sessions == 0


async def test_a_session_over_websocket_cannot_be_polled() -> None:
    async with serving() as live:
        client = await live.websocket()
        connection = await live.connect()
        target = client.target("polling")
        assert (await connection.request("GET", target)).error == refusal(3)
        assert (await connection.request("POST", target, b"40")).error == refusal(3)
        await client.join()


async def test_the_protocol_version_is_checked_on_each_request() -> None:
    async with serving() as live:
        client = await live.polling()
        connection = await live.connect()
        for version in ("", "EIO=3", "EIO=5"):
            answer = await connection.request("GET", f"/socket.io/?{version}&transport=polling&sid={client.sid}")
            assert answer.error == refusal(3)
        await client.join()


# Engine.IO: the heartbeat


@both
async def test_heartbeat(transport: str) -> None:
    async with serving(ping_interval=0.1) as live:
        live.clock.hold()
        client = await live.client(transport)
        begun = time.monotonic()
        live.clock.go_on()
        for _ in range(3):
            assert await client.receive() == "2"
            await client.send("3")
        # The next ping comes an interval after the pong.
        assert 0.3 <= time.monotonic() - begun < LATE
        assert live.sessions == 1


async def heard(client: Polling | WebSockets) -> None:
    """Waits until the server has read what was sent; over polling its answer said so."""
    if isinstance(client, WebSockets):
        await client.socket.send_frame(9)
        assert await client.socket.read_frame() == (10, b"")


@both
async def test_no_pong(transport: str) -> None:
    async with serving(ping_interval=25.0, ping_timeout=20.0, close_timeout=0.1) as live:
        live.clock.hold()
        client = await live.client(transport)
        live.jump(25.0)
        assert await client.receive() == "2"
        # Something else is said, which puts the end off, once.
        for _ in range(2):
            live.jump(15.0)
            assert live.sessions == 1
            await client.send("6")
            await heard(client)
        live.jump(4.5)
        assert live.sessions == 1
        live.jump(0.75)
        assert live.sessions == 0
        live.clock.go_on()
        await client.ended()
        if isinstance(client, Polling):
            assert (await client.get()).error == refusal(1)


@both
async def test_a_poller_that_does_not_poll_is_pinged_in_vain(transport: str) -> None:
    async with serving(ping_interval=0.1, ping_timeout=0.1, close_timeout=0.1) as live:
        await live.client(transport)
        assert await settled(lambda: live.sessions == 0)


@both
async def test_a_ping_from_the_client(transport: str) -> None:
    async with serving() as live:
        reasons: list[str] = []
        live.io.on("disconnect", lambda socket, reason: reasons.append(reason))
        client = await live.client(transport)
        await client.join()
        if isinstance(client, Polling):
            assert (await client.post("2")).status == 400
        else:
            await client.send("2")
        await client.ended()
        assert reasons == ["transport error"]


@both
async def test_a_pong_that_nobody_asked_for(transport: str) -> None:
    async with serving() as live:
        client = await live.client(transport)
        await client.send("3", "3probe")
        await client.join()


# Engine.IO: closing


async def test_close_over_polling() -> None:
    async with serving() as live:
        client = await live.polling()
        held = await client.begin_get()
        assert await settled(lambda: live.io.engine.sessions[client.sid].writable)
        await client.send("1", "40")
        assert (await held.answer()).packets == ["6"]
        assert live.sessions == 0
        assert (await client.get()).error == refusal(1)
        assert (await client.post("40")).error == refusal(1)


async def test_close_over_websocket() -> None:
    async with serving() as live:
        # Node.js ignores it.
        client = await live.websocket()
        await client.send("1")
        assert await client.ended() == 1005
        assert live.sessions == 0


@pytest.mark.parametrize("code", [None, 1000, 1001, 3000, 4999])
async def test_a_close_frame_is_answered(code: int | None) -> None:
    async with serving() as live:
        reasons: list[str] = []
        live.io.on("disconnect", lambda socket, reason: reasons.append(reason))
        client = await live.websocket()
        await client.join()
        await client.socket.send_frame(8, b"" if code is None else code.to_bytes(2, "big") + b"bye")
        assert await client.socket.closed(answer=False) == (code or 1005)
        assert await client.socket.connection.rest() == b""
        assert reasons == ["transport close"]


async def test_a_ping_frame_is_answered() -> None:
    async with serving() as live:
        client = await live.websocket()
        await client.socket.send_frame(9, b"payload")
        assert await client.socket.read_frame() == (10, b"payload")
        await client.socket.send_frame(10, b"nobody asked")
        await client.join()


async def test_fragments_and_control_frames_between_them() -> None:
    async with serving() as live:
        live.io.on("echo", lambda socket, text: text)
        client = await live.websocket()
        await client.join()
        socket = client.socket
        text = '421["echo","ä€😀"]'.encode()
        await socket.send_frame(1, text[:13], final=False)
        await socket.send_frame(9, b"!")
        for byte in text[13:]:
            await socket.send_frame(0, bytes([byte]), final=False)
        await socket.send_frame(0, b"")
        assert await socket.read_frame() == (10, b"!")
        assert await client.receive() == '431["ä€😀"]'


# Engine.IO: the upgrade


async def probe(live: Live, session: Polling) -> WebSocket:
    """Opens a WebSocket for a session and says nothing yet."""
    connection = await live.connect()
    answer = await connection.upgrade(session.target("websocket"))
    assert answer.status == 101
    return WebSocket(connection)


async def test_upgrade() -> None:
    async with serving() as live:
        client = await live.polling()
        websocket = await upgrade(client)
        await websocket.join()
        assert (await client.get()).error == refusal(3)
        assert (await client.post("40")).error == refusal(3)


async def test_messages_keep_to_polling_until_the_upgrade_is_complete() -> None:
    async with serving() as live:
        client = await live.polling()
        await client.join()
        websocket = await probe(live, client)
        live.io.emit("before the probe")
        assert (await client.get()).packets == ['42["before the probe"]']
        await websocket.send("2probe")
        assert await websocket.receive() == "3probe"
        live.io.emit("after the probe")
        assert (await client.get()).packets == ['42["after the probe"]']
        live.io.emit("not polled any more")
        await websocket.send("5")
        assert await websocket.receive() == '42["not polled any more"]'


async def test_a_poll_that_is_still_held_when_the_upgrade_completes() -> None:
    async with serving() as live:
        client = await live.polling()
        websocket = await probe(live, client)
        await websocket.send("2probe")
        assert await websocket.receive() == "3probe"
        held = await client.begin_get()
        assert await settled(lambda: live.io.engine.sessions[client.sid].writable)
        await websocket.send("5")
        # The stock client pauses first, so only a strange one sees this.
        assert (await held.answer()).packets == ["1"]
        await websocket.send("40")
        assert str(await websocket.receive()).startswith("40{")


async def test_an_upgrade_without_a_probe() -> None:
    async with serving() as live:
        client = await live.polling()
        websocket = await probe(live, client)
        await websocket.send("5", "40")
        assert str(await websocket.receive()).startswith("40{")


@pytest.mark.parametrize("wrong", ["2", "2abc", "3probe", "40", "1", "6", "", "x", b"2probe"])
async def test_a_wrong_probe(wrong: str | bytes) -> None:
    async with serving(close_timeout=0.2) as live:
        client = await live.polling()
        websocket = await probe(live, client)
        await websocket.send(wrong)
        assert await websocket.closed() == 1005
        # Polling goes on as it was, and another attempt may succeed.
        await client.join()
        await upgrade(client)
        assert await settled(lambda: live.io.engine.sessions[client.sid].upgraded)


async def test_an_upgrade_that_takes_too_long() -> None:
    async with serving(upgrade_timeout=0.1) as live:
        live.clock.hold()
        client = await live.polling()
        websocket = await probe(live, client)
        await websocket.send("2probe")
        assert await websocket.receive() == "3probe"
        live.clock.go_on()
        assert await websocket.closed() == 1005
        await client.join()


async def test_a_probe_that_goes_away() -> None:
    async with serving() as live:
        client = await live.polling()
        websocket = await probe(live, client)
        websocket.connection.reset()
        assert await settled(lambda: not live.io.engine.sessions[client.sid].upgrading)
        await client.join()
        await upgrade(client)


async def test_polling_that_fails_while_probing() -> None:
    async with serving() as live:
        client = await live.polling()
        held = await client.begin_get()
        websocket = await probe(live, client)
        held.reset()
        assert await websocket.closed() == 1005
        assert live.sessions == 0


async def test_a_second_websocket_while_upgrading() -> None:
    async with serving() as live:
        client = await live.polling()
        first, second = await probe(live, client), await probe(live, client)
        assert await second.closed() == 1005
        await first.send("2probe")
        assert await first.receive() == "3probe"
        await first.send("5", "40")
        assert str(await first.receive()).startswith("40{")


@both
async def test_a_second_websocket_after_the_upgrade(transport: str) -> None:
    async with serving() as live:
        client: Any = await live.client(transport)
        if isinstance(client, Polling):
            client = await upgrade(client)
            assert await settled(lambda: live.io.engine.sessions[client.sid].upgraded)
        stranger = await live.connect()
        assert (await stranger.upgrade(client.target("websocket"))).status == 101
        assert await WebSocket(stranger).closed() == 1005
        await client.join()


async def test_upgrades_that_are_not_allowed() -> None:
    async with serving(allow_upgrades=False) as live:
        client = await live.polling()
        assert client.handshake["upgrades"] == []
        connection = await live.connect()
        # Node.js only stops advertising them.
        assert (await connection.upgrade(client.target("websocket"))).error == refusal(3)
        await client.join()
