"""The rows of Engine.IO that can be seen on the wire: the same bytes to our server and to Node.js's, in one run.

What comes back has to be equal, or where we differ on purpose, to be what both are known to say.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.bindings.raw import PING, PONG, TEXT, Ended, frame, head, upgrade
from tests.interop.engine_pair import APP, HANDSHAKE, OPTIONS, Target, heard, serving, shape

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.peers import Node

    Case = Callable[[Target], Awaitable[Any]]

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
SAME: dict[str, tuple[str, Case]] = {}
DIFFERENT: dict[str, tuple[str, Case, Any, Any]] = {}


@pytest.fixture(scope="module")
def reference(node: Node) -> Iterator[dict[str, int]]:
    """The ports of the reference server, one for each set of options."""
    sets = json.dumps({name: theirs for name, (theirs, _) in OPTIONS.items()})
    with node.popen("parity_engine.mjs", sets) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())


async def ask_both(port: int, options: str, case: Case) -> tuple[Any, Any]:
    """Returns what a case finds at our server and at the reference server."""
    theirs = Target(("127.0.0.1", port))
    async with serving(options) as ours:
        try:
            found = [await case(target) for target in (ours, theirs)]
        finally:
            await ours.hang_up()
            await theirs.hang_up()
    return found[0], found[1]


def same(*rows: str, options: str = "plain") -> Callable[[Case], Case]:
    """Says that a case shows these rows."""

    def register(case: Case) -> Case:
        SAME[f"{' '.join(rows)} {getattr(case, '__name__', '')}"] = (options, case)
        return case

    return register


def different(row: str, ours: Any, theirs: Any, options: str = "plain") -> Callable[[Case], Case]:
    """Says that a case shows in what this row differs."""

    def register(case: Case) -> Case:
        DIFFERENT[f"{row} {getattr(case, '__name__', '')}"] = (options, case, ours, theirs)
        return case

    return register


# -- the same: one request


REQUESTS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    # row: options, method, target, headers
    "EO-01 prefix": ("plain", "GET", f"/socket.io/any/thing?{POLLING}", {}),
    "EO-01 another path": ("plain", "GET", f"/socket.iox?{POLLING}", {}),
    "EO-01 option": ("chat", "GET", f"/chat/?{POLLING}", {}),
    "EO-02 no slash": ("no_slash", "GET", f"/socket.io?{POLLING}", {}),
    "EO-05 no handler": ("plain", "GET", "/", {}),
    "EO-10 not enabled": ("polling", "GET", f"/socket.io/?{WEBSOCKET}", {}),
    "EO-11 not advertised": ("no_upgrades", "GET", f"/socket.io/?{POLLING}", {}),
    "EO-12 initial packet": ("initial", "GET", f"/socket.io/?{POLLING}", {}),
    "EO-14 refused": ("refusing", "GET", f"/socket.io/?{POLLING}", {}),
    "HS-02 error": ("plain", "GET", "/socket.io/?EIO=4", {}),
    "HS-03 no transport": ("plain", "GET", "/socket.io/", {}),
    "HS-03 webtransport": ("plain", "GET", "/socket.io/?EIO=4&transport=webtransport", {}),
    "HS-04 unknown sid": ("plain", "GET", f"/socket.io/?{POLLING}&sid=nobody", {}),
    "HS-04 prototype": ("plain", "GET", f"/socket.io/?{POLLING}&sid=__proto__", {}),
    "HS-05 POST": ("plain", "POST", f"/socket.io/?{POLLING}", {}),
    "HS-05 PUT": ("plain", "PUT", f"/socket.io/?{POLLING}", {}),
    "HS-05 OPTIONS": ("plain", "OPTIONS", f"/socket.io/?{POLLING}", {}),
    "HS-06 no upgrade": ("plain", "GET", f"/socket.io/?{WEBSOCKET}", {}),
    "HS-08 absent": ("plain", "GET", "/socket.io/?transport=polling", {}),
    "HS-08 three": ("plain", "GET", "/socket.io/?EIO=3&transport=polling", {}),
    "HS-08 word": ("plain", "GET", "/socket.io/?EIO=abc&transport=polling", {}),
    "HS-12 open packet": ("plain", "GET", f"/socket.io/?{POLLING}", {}),
    "HS-13 upgrades": ("polling", "GET", f"/socket.io/?{POLLING}", {}),
    "HS-14 last wins": ("plain", "GET", "/socket.io/?EIO=3&transport=x&EIO=4&transport=polling", {}),
    "HS-14 escapes": ("plain", "GET", "/socket.io/?EIO=%34&transport=pol%6Cing", {}),
    "HS-15 cache-buster": ("plain", "GET", f"/socket.io/?{POLLING}&t=Pabc", {}),
    "HC-01 cookie": ("cookie", "GET", f"/socket.io/?{POLLING}", {}),
    "HC-03 listed": ("cors", "GET", f"/socket.io/?{POLLING}", {"Origin": APP}),
    "HC-03 preflight": ("cors", "OPTIONS", f"/socket.io/?{POLLING}", {"Origin": APP}),
    "HC-03 preflight of headers": (
        "cors", "OPTIONS", f"/socket.io/?{POLLING}", {"Origin": APP, "Access-Control-Request-Headers": "x-a"},
    ),
    "HC-03 refusal": ("cors", "GET", "/socket.io/?EIO=4", {"Origin": APP}),
    "HC-04 preflight": ("plain", "OPTIONS", f"/socket.io/?{POLLING}", {"Origin": "http://localhost"}),
    "HC-07 middleware": ("middleware", "GET", f"/socket.io/?{POLLING}", {}),
    "HC-08 failing middleware": ("failing", "GET", f"/socket.io/?{POLLING}", {}),
    "PO-19 old browser": ("plain", "GET", f"/socket.io/?{POLLING}", {"User-Agent": "Firefox"}),
}  # fmt: skip


@pytest.mark.parametrize("row", REQUESTS)
async def test_same_answer(reference: dict[str, int], row: str) -> None:
    options, method, target, headers = REQUESTS[row]

    async def case(server: Target) -> Any:
        await server.log()
        answer = await server.http(method, target, b"4a" if method == "POST" else None, headers.items())
        return shape(answer), await server.log()

    ours, theirs = await ask_both(reference[options], options, case)
    assert ours == theirs


# -- the same: more than one


@same("EO-09", "PO-10", options="small")
async def too_large(server: Target) -> Any:
    session = await server.open("polling")
    target = session.target("polling")
    answers = [await server.http("POST", target, body) for body in (b"4" + b"x" * 100, b"40")]
    return [shape(answer) for answer in answers], (await session.receive())[:2]


@same("HS-06", "PO-17", "UP-11")
async def polling_after_websocket(server: Target) -> Any:
    session = await server.open("websocket")
    return shape(await server.get(f"{POLLING}&sid={session.sid}"))


@same("HS-07", options="forbidding")
async def forbidden_without_a_text(server: Target) -> Any:
    return shape(await server.get(POLLING))


@same("HS-01", "HS-11", "PO-21")
async def another_revision(server: Target) -> Any:
    session = await server.open("polling")
    await server.log()
    answer = await server.get(f"EIO=3&transport=polling&sid={session.sid}")
    await session.send("40")
    return shape(answer), await server.log(), (await session.receive())[:2]


@same("PO-02", "PO-08", "EC-06")
async def payloads(server: Target) -> Any:
    session = await server.joined("polling")
    posted = await session.post('42["say","é","b"]\x1e451-["say",{"_placeholder":true,"num":0}]\x1ebAAEC')
    got = [await session.receive() for _ in range(4)]
    return shape(posted), got


@same("PO-03", "HB-02", options="fast")
async def a_poll_is_held_until_the_ping(server: Target) -> Any:
    session = await server.open("polling")
    return shape(await session.get())


@same("PO-04")
async def two_polls(server: Target) -> Any:
    session = await server.joined("polling")
    first = await server.held(session)
    second = await server.get(f"{POLLING}&sid={session.sid}")
    return shape(second), shape(await first.answer()), await server.log()


@same("PO-06")
async def a_poll_that_goes_away(server: Target) -> Any:
    session = await server.joined("polling")
    await (await server.held(session)).close()
    return await server.log_until_closed()


@same("PO-07")
async def a_post_that_goes_away(server: Target) -> Any:
    session = await server.joined("polling")
    connection = await server.connect()
    await connection.send(head("POST", session.target("polling"), length=10) + b"4")
    await server.log()
    await connection.close()
    return await server.log_until_closed()


@same("PO-09")
async def octets(server: Target) -> Any:
    session = await server.joined("polling")
    answer = await session.post("4a", [("Content-Type", "application/octet-stream")])
    return shape(answer), await server.log()


@same("PO-12")
async def a_close_packet(server: Target) -> Any:
    session = await server.joined("polling")
    poll = await server.held(session)
    answer = await session.post('1\x1e42["say","late"]')
    found = shape(answer), shape(await poll.answer())
    return found, [entry for entry in await server.log() if entry[0] == "close"]


@same("PO-13")
async def a_close_of_the_servers(server: Target) -> Any:
    session = await server.joined("polling")
    poll = await server.held(session)
    answer = await session.post('42["close"]')
    return shape(answer), shape(await poll.answer()), (await server.log())[-1]


@same("PO-15")
async def a_discarding_close(server: Target) -> Any:
    session = await server.joined("polling")
    await session.send('42["discard"]')
    return shape(await session.get()), await server.log()


@same("PO-20")
async def base64_over_websocket(server: Target) -> Any:
    answer, socket = await server.websocket(f"{WEBSOCKET}&b64=1")
    await socket.receive()
    await socket.send("40")
    await socket.receive()
    await socket.send('451-["say",{"_placeholder":true,"num":0}]', "bAAEC")
    return answer.status, [await socket.receive() for _ in range(2)]


@same("WS-01", "HS-12")
async def a_websocket_from_the_start(server: Target) -> Any:
    await server.log()
    answer, socket = await server.websocket(WEBSOCKET)
    first = await socket.receive()
    log = [entry for entry in await server.log() if entry[0].endswith("headers")]
    return answer.status, re.sub(r'"sid":"[\w-]{20}"', "", str(first)), log


@same("EO-12", options="initial")
async def initial_packet_over_websocket(server: Target) -> Any:
    _, socket = await server.websocket(WEBSOCKET)
    await socket.receive()
    return await socket.receive()


@same("WS-02", "EC-04")
async def binary_over_websocket(server: Target) -> Any:
    session = await server.joined("websocket")
    await session.send('451-["say",{"_placeholder":true,"num":0}]', b"\x00\x01", '42["say","é"]')
    return [await session.receive() for _ in range(3)]


def closing(*packets: str | bytes) -> Case:
    """Returns a case that sends packets over WebSocket and looks how it ends."""

    async def case(server: Target) -> Any:
        session = await server.joined("websocket")
        await session.send(*packets)
        return await heard(session.socket), await server.log()

    return case


for NAME, PACKETS in {
    "WS-03 unknown": ("x",),
    "WS-03 empty": ("",),
    "HB-01 ping": ("2",),
    "WS-10 close": ('42["close"]',),
    "WS-10 last": ('42["last"]',),
    "SE-12 discard": ('42["discard"]',),
    "SE-14 leave": ('42["leave"]',),
}.items():
    SAME[NAME] = ("plain", closing(*PACKETS))


@same("WS-05", options="small")
async def too_large_over_websocket(server: Target) -> Any:
    session = await server.joined("websocket")
    await session.send("4" + "x" * 100)
    return await heard(session.socket), await server.log_until_closed()


@same("WS-06")
async def ends_of_a_websocket(server: Target) -> Any:
    found = []
    for data in (frame(8, b""), frame(8, b"\x03\xe8"), frame(8, b"\x0f\xa0"), frame(TEXT, b"\xff"), frame(3, b"")):
        session = await server.joined("websocket")
        await session.socket.connection.send(data)
        code = await heard(session.socket)
        await session.socket.connection.close()
        found.append((code, await server.log_until_closed()))
    session = await server.joined("websocket")
    session.socket.connection.reset()
    return found, await server.log_until_closed()


@same("WS-04", "SE-02")
async def packets_that_mean_nothing(server: Target) -> Any:
    session = await server.joined("websocket")
    await session.send("0", "5", "6", "3", '42["say","a"]')
    return await session.receive(), await server.log()


@same("WS-08", "WS-14")
async def extensions_and_subprotocols(server: Target) -> Any:
    answer, _ = await server.websocket(
        WEBSOCKET, ("Sec-WebSocket-Protocol", "one, two"), ("Sec-WebSocket-Extensions", "permessage-deflate")
    )
    return {name: value for name, value in answer.headers.items() if name.startswith("sec-")}


@same("WS-11")
async def a_second_websocket(server: Target) -> Any:
    session = await server.open("polling")
    query = f"{WEBSOCKET}&sid={session.sid}"
    _, first = await server.websocket(query)
    await first.send("2probe")
    await first.receive()
    _, second = await server.websocket(query)
    found = [await heard(second)]
    await first.send("5")
    _, third = await server.websocket(query)
    found.append(await heard(third))
    await first.send("40")
    return found, str(await first.receive())[:2]


@same("WS-13")
async def pings_of_the_websocket(server: Target) -> Any:
    session = await server.open("websocket")
    await session.socket.send_frame(PING, b"hi")
    found = await session.socket.read_frame()
    assert found[0] == PONG
    return found


@same("WS-15")
async def garbage_behind_the_handshake(server: Target) -> Any:
    connection = await server.connect()
    await connection.send(head("GET", f"/socket.io/?{WEBSOCKET}", HANDSHAKE) + b"\xff\xff\xff\xff")
    status = (await connection.answer()).status
    return status, (await server.get(POLLING)).status


@same("UP-01", "UP-04", "UP-10")
async def an_upgrade(server: Target) -> Any:
    session = await server.joined("polling")
    poll = await server.held(session)
    _, socket = await server.websocket(f"{WEBSOCKET}&sid={session.sid}")
    # In one piece: the poll is still held then.
    await socket.send("2probe", "5", '42["say","a"]')
    found = [await socket.receive() for _ in range(2)]
    return found, shape(await poll.answer()), await server.log()


@same("UP-02")
async def the_poll_is_released(server: Target) -> Any:
    session = await server.joined("polling")
    poll = await server.held(session)
    _, socket = await server.websocket(f"{WEBSOCKET}&sid={session.sid}")
    start = asyncio.get_running_loop().time()
    await socket.send("2probe")
    answer = await poll.answer()
    waited = asyncio.get_running_loop().time() - start
    # Long before a ping would release it.
    assert 0.08 < waited < 20, waited
    return shape(answer)


@same("UP-03")
async def polling_goes_on(server: Target) -> Any:
    session = await server.joined("polling")
    _, socket = await server.websocket(f"{WEBSOCKET}&sid={session.sid}")
    await socket.send("2probe")
    found = [await socket.receive()]
    await session.send('42["say","a"]')
    found.append(await session.receive())
    await session.send('42["say","b"]')
    await socket.send("5")
    found.append(await socket.receive())
    return found


@same("UP-05", "EO-08", options="hurried")
async def an_upgrade_that_comes_too_late(server: Target) -> Any:
    session = await server.joined("polling")
    _, socket = await server.websocket(f"{WEBSOCKET}&sid={session.sid}")
    await socket.send("2probe")
    found = await heard(socket)
    moved = await upgrade(session)
    await moved.send('42["say","a"]')
    return found, await moved.receive()


def stray(packet: str) -> Case:
    """Returns a case with a wrong packet on the probing WebSocket."""

    async def case(server: Target) -> Any:
        session = await server.joined("polling")
        _, socket = await server.websocket(f"{WEBSOCKET}&sid={session.sid}")
        await socket.send(packet)
        found = await heard(socket)
        await session.send('42["say","a"]')
        return found, await session.receive(), await server.log()

    return case


for PACKET in ("4a", "2", "3probe"):
    SAME[f"UP-06 {PACKET}"] = ("plain", stray(PACKET))


@same("UP-07")
async def polling_fails_while_probing(server: Target) -> Any:
    session = await server.joined("polling")
    poll = await server.held(session)
    _, socket = await server.websocket(f"{WEBSOCKET}&sid={session.sid}")
    await socket.send("2probe")
    first = await socket.receive()
    await poll.close()
    return first, await heard(socket), await server.log_until_closed()


@same("HB-03", "EO-06", "EO-07", options="fast")
async def no_pong(server: Target) -> Any:
    websocket = await server.joined("websocket")
    found = [await heard(websocket.socket), await server.log_until_closed()]
    polling = await server.joined("polling")
    assert shape(await polling.get())["body"] == "2"
    return found, shape(await polling.get()), await server.log_until_closed()


@same("HB-04", options="fast")
async def other_packets_count_once(server: Target) -> Any:
    session = await server.joined("websocket")
    found = [await session.receive()]
    start = asyncio.get_running_loop().time()
    for seconds in (0.4, 0.2):
        await asyncio.sleep(seconds)
        await session.send("6")
    found += await heard(session.socket)
    waited = asyncio.get_running_loop().time() - start
    assert 1.3 < waited < 10, waited
    return found, await server.log_until_closed()


@same("HB-05", "HB-06", "HB-07", options="fast")
async def pongs(server: Target) -> Any:
    session = await server.joined("websocket")
    await session.send("3")
    found = []
    for _ in range(2):
        found.append(await session.receive())
        await session.send("3")
    await session.send('42["say","a"]')
    return found, await session.receive(), await server.log()


@same("HC-05", "HC-06")
async def header_events(server: Target) -> Any:
    session = await server.open("polling")
    await session.send("40")
    await session.receive()
    await server.get(f"{POLLING}&sid=nobody")
    return [each for each in await server.log() if each[0] != "refused"]


@same("HC-07", options="middleware")
async def a_header_on_the_101(server: Target) -> Any:
    answer, _ = await server.websocket(WEBSOCKET)
    return answer.headers["x-mine"]


@same("HC-09")
async def compression(server: Target) -> Any:
    session = await server.joined("polling")
    found: list[Any] = []
    for size, accept in (
        (2000, "gzip"),
        (2000, "br;q=0, deflate;q=0.5, gzip;q=0.4"),
        (900, "gzip"),
        (2000, "identity"),
    ):
        await session.send(f'42["say","{"x" * size}"]')
        answer = await server.get(f"{POLLING}&sid={session.sid}", ("Accept-Encoding", accept))
        encoding = answer.headers.get("content-encoding")
        found.append((encoding, gzip.decompress(answer.body) if encoding == "gzip" else encoding or answer.body))
    return found


@pytest.mark.parametrize("row", SAME)
async def test_same_course(reference: dict[str, int], row: str) -> None:
    options, case = SAME[row]
    ours, theirs = await ask_both(reference[options], options, case)
    assert ours == theirs


# -- different on purpose


@different("EO-11", 400, 101, options="no_upgrades")
async def an_upgrade_that_is_not_allowed(server: Target) -> Any:
    session = await server.open("polling")
    return (await server.websocket(f"{WEBSOCKET}&sid={session.sid}"))[0].status


@different("HS-07", (403, '{"code":4,"message":"members only"}'), (400, "members only"), options="refusing")
async def a_forbidden_websocket(server: Target) -> Any:
    answer, _ = await server.websocket(WEBSOCKET)
    return answer.status, answer.body.decode()


@different(
    "HS-09",
    ("application/json", '{"code":0,"message":"Transport unknown"}'),
    ("text/html", "Transport unknown"),
)
async def a_refused_websocket(server: Target) -> Any:
    answer, _ = await server.websocket("EIO=4&transport=x")
    assert answer.status == 400
    found = {name: value for name, value in answer.headers.items() if name == "content-type"}
    return found["content-type"], answer.body.decode()


@different("HS-10", 400, 101)
async def a_wrong_revision_over_websocket(server: Target) -> Any:
    return (await server.websocket("EIO=3&transport=websocket"))[0].status


@different("HS-17", 400, 101)
async def a_websocket_that_says_polling(server: Target) -> Any:
    return (await server.websocket(POLLING))[0].status


@different("PO-01", 405, 500)
async def another_method(server: Target) -> Any:
    session = await server.open("polling")
    answer = await server.http("PUT", session.target("polling"))
    await session.send("40")
    assert (await session.receive()).startswith("40")
    return answer.status


@different("PO-05", (400, 400), (400, 1006))
async def two_posts(server: Target) -> Any:
    session = await server.joined("polling")
    first = await server.connect()
    await first.send(head("POST", session.target("polling"), length=2) + b"4")
    await server.log()
    second = await session.post("4a")
    try:
        return second.status, (await first.answer()).status
    except Ended as end:
        return second.status, end.code


@different(
    "PO-11", (400, [["close", "parse error"]]), (200, [["packet", "error", "parser error"], ["close", "parse error"]])
)
async def a_bad_payload(server: Target) -> Any:
    session = await server.joined("polling")
    return (await session.post("")).status, [each for each in await server.log() if each[0] in ("packet", "close")]


@different("PO-14", ['42["said","last"]', "1"], ['42["said","last"]', "6\x1e1"])
async def the_last_packets(server: Target) -> Any:
    session = await server.joined("polling")
    await session.send('42["last"]')
    found: list[str] = []
    while not found or not found[-1].endswith("1"):
        found.append((await session.get()).body.decode())
    return found


@different("WS-08", [0xC1, 0x81], [0xC1, 0xC1], options="deflate")
async def the_wish_not_to_be_compressed(server: Target) -> Any:
    # With context takeover the reference server compresses small messages, too.
    offer = "permessage-deflate; server_no_context_takeover"
    answer, socket = await server.websocket(WEBSOCKET, ("Sec-WebSocket-Extensions", offer))
    assert answer.headers["sec-websocket-extensions"].startswith("permessage-deflate")
    await socket.receive()
    await socket.send("40")
    await socket.receive()
    found = []
    for event in ("say", "quiet"):
        await socket.send("42" + json.dumps([event, "x" * 5000]))
        first, size = await socket.connection.exactly(2)
        assert size < 127
        if size == 126:
            size = int.from_bytes(await socket.connection.exactly(2), "big")
        await socket.connection.exactly(size)
        found.append(first)
    return found


@different("PO-18", False, True)
async def jsonp(server: Target) -> Any:
    return (await server.get(f"{POLLING}&j=0")).body.startswith(b"___eio[0](")


@different("WS-04", ["close", "transport close"], ["packet", "message", '2["say","still here"]'])
async def a_close_packet_over_websocket(server: Target) -> Any:
    session = await server.joined("websocket")
    await session.send("1", '42["say","still here"]')
    try:
        await session.receive()
    except Ended:
        pass
    return (await server.log())[-1]


@different("HC-03", (403, 403), (200, 101), options="cors")
async def an_origin_that_is_not_listed(server: Target) -> Any:
    origin = ("Origin", "https://elsewhere.example")
    return (await server.get(POLLING, origin)).status, (await server.websocket(WEBSOCKET, origin))[0].status


@different("EC-03", [400, 400], [200, 200])
async def careless_base64(server: Target) -> Any:
    found = []
    for body in ("bAA", "bA-_A"):
        session = await server.open("polling")
        found.append((await session.post(body)).status)
    return found


@different("EC-07", 400, 200)
async def a_body_that_is_not_utf_8(server: Target) -> Any:
    session = await server.joined("polling")
    return (await session.post(b'42["say","\xff"]')).status


@pytest.mark.parametrize("row", DIFFERENT)
async def test_different_on_purpose(reference: dict[str, int], row: str) -> None:
    options, case, ours, theirs = DIFFERENT[row]
    assert await ask_both(reference[options], options, case) == (ours, theirs)
