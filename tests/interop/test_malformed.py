"""Malformed input on every level, from tables and generated: it is refused, and costs nobody else anything.

After each piece a client that has nothing to do with it is served over both transports, and ``serving`` sees to it that
nothing was logged, no error was reported and nothing is left. What is generated comes from fixed seeds.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from tests.bindings.live import serving, settled
from tests.bindings.raw import HANDSHAKE, SEPARATOR, TRANSPORTS, Ended, Polling, frame, head

if TYPE_CHECKING:
    from tests.bindings.live import Live

both = pytest.mark.parametrize("transport", TRANSPORTS)
CHUNKS = range(8)
"""Generated pieces are spread over this many tests, so that a failure is not far from its seed."""

POLL = "/socket.io/?EIO=4&transport=polling"
TIMES: dict[str, Any] = {
    "head_timeout": 0.5,
    "body_timeout": 0.5,
    "first_timeout": 2.0,
    "keep_alive_timeout": 2.0,
    "close_timeout": 0.5,
}
"""Short ones, for input that says too little, yet long enough for a well-behaved client on a busy machine."""


async def end_all_sessions(live: Live) -> None:
    """Ends, in the protocol's own way, the sessions that bad input rightly left alone."""
    for sid in list(live.io.engine.sessions):
        client = Polling(live.address)
        client.sid = sid
        await client.post("1")
        await client.hang_up()
    assert await settled(lambda: live.sessions == 0)


# HTTP


def get(*fields: str, line: str = f"GET {POLL} HTTP/1.1", host: str = "Host: a") -> bytes:
    """Returns a request's head, as wrong as it is asked for."""
    lines = [line, *([host] if host else []), *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def post(*fields: str, body: bytes = b"") -> bytes:
    """Returns a POST that belongs to no session."""
    return get(*fields, line=f"POST {POLL} HTTP/1.1") + body


REQUESTS: dict[str, tuple[bytes, set[int]]] = {
    "a line of nonsense": (b"nonsense\r\n\r\n", {400}),
    "binary": (bytes(range(256)), {400}),
    "zeros": (b"\x00" * 100, {400}),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, {400}),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400}),
    "HTTP/9.9": (get(line=f"GET {POLL} HTTP/9.9"), {400}),
    "HTTP/1.2": (get(line=f"GET {POLL} HTTP/1.2"), {400}),
    "no version": (get(line=f"GET {POLL}"), {400}),
    "a lower-case version": (get(line=f"GET {POLL} http/1.1"), {400}),
    "two spaces": (get(line=f"GET  {POLL} HTTP/1.1"), {400}),
    "a space in the target": (get(line=f"GET {POLL}& x HTTP/1.1"), {400}),
    "a control in the target": (get(line=f"GET {POLL}\x01 HTTP/1.1"), {400}),
    "a byte above ASCII in the target": (get(line=f"GET {POLL}ä HTTP/1.1"), {400}),
    "no target": (get(line="GET  HTTP/1.1"), {400}),
    "a target without a slash": (get(line="GET socket.io HTTP/1.1"), {400}),
    "a star": (get(line="GET * HTTP/1.1"), {400}),
    "a method of symbols": (get(line=f"G@T {POLL} HTTP/1.1"), {400}),
    "a long method": (get(line=f"{'G' * 50} {POLL} HTTP/1.1"), {400}),
    "CONNECT": (get(line="CONNECT a:1 HTTP/1.1"), {400, 404}),
    "an ftp target": (get(line="GET ftp://a/ HTTP/1.1"), {400}),
    "a bare line feed": (f"GET {POLL} HTTP/1.1\nHost: a\n\n".encode(), {400}),
    "a bare carriage return": (get("X: a\rb"), {400}),
    "a zero in a field": (get("X: a\x00b"), {400}),
    "a control in a field": (get("X: a\x07b"), {400}),
    "a folded field": (get("X: a", " b"), {400}),
    "a field folded with a tab": (get("X: a", "\tb"), {400}),
    "a field without a colon": (get("X"), {400}),
    "a field without a name": (get(": x"), {400}),
    "a space before the colon": (get("X : x"), {400}),
    "a name with a bracket": (get("X(y): x"), {400}),
    "no host": (get(host=""), {400}),
    "two hosts": (get("Host: b"), {400}),
    "a host of nonsense": (get(host="Host: a b\\<"), {400}),
    "too many fields": (get(*(f"X{number}: x" for number in range(101))), {431}),
    "a head too large": (get("X: " + "x" * 17_000), {431}),
    "a head too large that does not end": (get("X: " + "x" * 17_000)[:-2], {431}),
    "a target too long": (get(line=f"GET {POLL}&x={'x' * 17_000} HTTP/1.1"), {431}),
    "two lengths": (post("Content-Length: 2", "Content-Length: 2", body=b"40"), {400}),
    "two different lengths": (post("Content-Length: 2", "Content-Length: 3", body=b"40"), {400}),
    "a list of lengths": (post("Content-Length: 2, 2", body=b"40"), {400}),
    "a negative length": (post("Content-Length: -2", body=b"40"), {400}),
    "a length with a sign": (post("Content-Length: +2", body=b"40"), {400}),
    "a hexadecimal length": (post("Content-Length: 0x2", body=b"40"), {400}),
    "an empty length": (post("Content-Length:", body=b"40"), {400}),
    "a length with Arabic digits": (post("Content-Length: \xd9\xa2", body=b"40"), {400}),
    "a length of many digits": (post("Content-Length: " + "1" * 30, body=b"40"), {400}),
    "a huge length": (post("Content-Length: 999999999999", body=b"40"), {400}),
    "length and chunks": (post("Content-Length: 2", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"), {400}),
    "gzip as transfer coding": (post("Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), {400, 501}),
    "chunked twice": (post("Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), {400, 501}),
    "chunked misspelled": (post("Transfer-Encoding: chunke", body=b"0\r\n\r\n"), {400, 501}),
    "chunks in HTTP/1.0": (
        get("Transfer-Encoding: chunked", line=f"POST {POLL} HTTP/1.0") + b"0\r\n\r\n",
        {400},
    ),
    "chunks that are none": (post("Transfer-Encoding: chunked", body=b"xyz\r\n40\r\n0\r\n\r\n"), {400}),
    "a chunk with a negative size": (post("Transfer-Encoding: chunked", body=b"-2\r\n40\r\n0\r\n\r\n"), {400}),
    "a chunk of a huge size": (post("Transfer-Encoding: chunked", body=b"f" * 30 + b"\r\n40\r\n"), {400}),
    "an expectation of nonsense": (post("Expect: miracles", "Content-Length: 2", body=b"40"), {417}),
    "a compressed body": (post("Content-Encoding: gzip", "Content-Length: 2", body=b"40"), {415}),
    "a method for nobody": (get(line=f"BREW {POLL} HTTP/1.1"), {400}),
    "an origin of nonsense": (get("Origin: \xff\xfe"), {400, 403}),
    "a foreign origin": (get("Origin: https://evil.example"), {403}),
    "a null origin": (get("Origin: null"), {403}),
    "a sid of nonsense": (get(line=f"GET {POLL}&sid=%00%ff%2e%2e HTTP/1.1"), {400}),
    "broken percent signs": (get(line="GET /socket.io/?%&%%=%zz&EIO=%4&transport=%ZZ HTTP/1.1"), {400}),
    "a query of separators": (get(line=f"GET /socket.io/?{'&' * 3000}{'=' * 3000} HTTP/1.1"), {400}),
    "silence": (b"", {0}),
    "half a head": (get()[:-2], {408}),
    "half a body": (get("Content-Length: 10", line="POST / HTTP/1.1") + b"12", {408}),
    "half a chunk": (get("Transfer-Encoding: chunked", line="POST / HTTP/1.1") + b"5\r\n12", {408}),
}

OPENINGS: dict[str, tuple[bytes, set[int]]] = {
    "no key": (get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"), {400}),
    **{
        name: (get(*(f"{key}: {value}" for key, value in fields)), statuses)
        for name, fields, statuses in (
            ("a short key", [*HANDSHAKE[:3], ("Sec-WebSocket-Key", "abc")], {400}),
            ("a key that is not base64", [*HANDSHAKE[:3], ("Sec-WebSocket-Key", "!" * 24)], {400}),
            ("a key above ASCII", [*HANDSHAKE[:3], ("Sec-WebSocket-Key", "ä" * 24)], {400}),
            ("two keys", [*HANDSHAKE, HANDSHAKE[3]], {400}),
            ("version 8", [*HANDSHAKE[:2], ("Sec-WebSocket-Version", "8"), HANDSHAKE[3]], {426}),
            ("no version", [*HANDSHAKE[:2], HANDSHAKE[3]], {426}),
            ("two versions", [*HANDSHAKE, HANDSHAKE[2]], {426}),
            ("transport polling", HANDSHAKE, {400}),
            ("a body", [*HANDSHAKE, ("Content-Length", "2")], {400}),
            ("a foreign origin", [*HANDSHAKE, ("Origin", "https://evil.example")], {403}),
        )
    },
    "a POST": (get(*(f"{k}: {v}" for k, v in HANDSHAKE), line="POST /socket.io/ HTTP/1.1"), {400}),
}


async def check_request(live: Live, data: bytes, statuses: set[int]) -> None:
    """Sends bytes; they are answered with one of the statuses (0: not at all) and the connection is closed."""
    connection = await live.connect()
    try:
        await connection.send(data)
        answer = await connection.answer()
    except Ended:
        assert 0 in statuses
    else:
        assert answer.status in statuses
        # Nothing of what was sent comes back.
        assert b"evil" not in answer.body
        assert b"nonsense" not in answer.body
        await connection.rest()
    await connection.close()


@pytest.mark.parametrize(("data", "statuses"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_requests(data: bytes, statuses: set[int]) -> None:
    async with serving(**TIMES) as live:
        await check_request(live, data, statuses)
        assert live.sessions == 0
        await live.check_fresh_client()


@pytest.mark.parametrize(("data", "statuses"), OPENINGS.values(), ids=OPENINGS.keys())
async def test_opening_handshakes(data: bytes, statuses: set[int]) -> None:
    async with serving(**TIMES) as live:
        await check_request(live, data, statuses)
        assert live.sessions == 0
        await live.check_fresh_client()


@pytest.mark.parametrize("chunk", CHUNKS)
async def test_generated_requests(chunk: int) -> None:
    rng = random.Random(f"requests {chunk}")
    valid = [
        head("GET", POLL),
        head("GET", POLL.replace("polling", "websocket"), HANDSHAKE),
        head("POST", POLL, [("Content-Type", "text/plain")], 5) + b"40/a,",
        head("POST", POLL, [("Transfer-Encoding", "chunked")]) + b"2\r\n40\r\n0\r\n\r\n",
    ]
    async with serving(**TIMES) as live:
        for _ in range(20):
            connection = await live.connect()
            try:
                await connection.send(mutated(rng, rng.choice(valid)))
                connection.half_close()
            except Ended:
                pass
            await connection.rest()
            await connection.close()
            assert await settled(lambda: not live.io.wire.connections)
            await end_all_sessions(live)
            await live.check_fresh_client()
            await end_all_sessions(live)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Returns data with a few bytes changed, lost, doubled or put in."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(len(changed) + 1)
        end = min(len(changed), position + rng.randint(1, 8))
        kind = rng.randrange(5)
        if kind == 0:
            changed[position:end] = rng.randbytes(end - position)
        elif kind == 1:
            del changed[position:end]
        elif kind == 2:
            changed[position:position] = changed[position:end] * rng.randint(1, 3)
        elif kind == 3:
            changed.insert(position, rng.choice(b'\x00 \r\n:;,\x1e[]{}"-+b4019\xff/%'))
        else:
            del changed[position:]
    return bytes(changed)


# Engine.IO


PAYLOADS: dict[str, bytes] = {
    "nothing": b"",
    "a separator": b"\x1e",
    "only separators": b"\x1e" * 1000,
    "an empty packet at the end": b"40\x1e",
    "an empty packet in front": b"\x1e40",
    "an unknown type": b"7",
    "a letter": b"abc",
    "a digit of another script": "٤0".encode(),
    "a space": b" 40",
    "a line feed": b"\n40",
    "a byte order mark": b"\xef\xbb\xbf40",
    "no UTF-8": b"4\xff\xfe",
    "a surrogate": b"4\xed\xa0\x80",
    "UTF-8 that is too long": b"4\xc0\x80",
    "half a character": "4€".encode()[:-1],
    "base64 of nonsense": b"b!!!!",
    "base64 without padding": b"bAA",
    "base64 with a line feed": b"bAAAA\nAAAA",
    "base64 of the other alphabet": b"b-_-_",
    "base64 with bits left over": b"bAB==",
    "base64 with padding in the middle": b"bAA==AAAA",
    "the framing of revision 3": b"7:40/foo1",
    "the binary framing of revision 3": b"\x00\x06\xff40/foo",
    "a form": b"d=40",
    "too many pongs": SEPARATOR.join(["3"] * 200).encode(),
    "too many noops": SEPARATOR.join(["6"] * 101).encode(),
    "a ping": b"2",
}


@pytest.mark.parametrize("body", PAYLOADS.values(), ids=PAYLOADS.keys())
async def test_payloads(body: bytes) -> None:
    async with serving() as live:
        client = await live.polling()
        assert (await client.post(body)).status == 400
        assert live.sessions == 0
        assert (await client.get()).status == 400
        await live.check_fresh_client()


@pytest.mark.parametrize(
    "message",
    ["", "7", "abc", "٤", " 4", "b!", "bAA", "2", b"", b"\x00" * 10, "4\x00", "b" + "A" * 1000, "9" * 100],
    ids=repr,
)
async def test_messages_over_websocket(message: str | bytes) -> None:
    async with serving(close_timeout=0.2) as live:
        client = await live.websocket()
        await client.send(message)
        assert await client.ended() == 1005
        assert live.sessions == 0
        await live.check_fresh_client()


# Engine.IO's and Socket.IO's packets, generated


PACKETS = [
    "40",
    '40/admin,{"token":"abc"}',
    '42["event",1,{"a":[true,null]}]',
    '4212["event","ä€😀"]',
    '431[{"a":1}]',
    "41",
    "41/admin,",
    '452-["file",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]',
    '461-7[{"_placeholder":true,"num":0}]',
    '44{"message":"no"}',
    "2",
    "3",
    "5",
    "6",
]


def mutated_text(rng: random.Random, text: str) -> str:
    """Returns a packet with a few characters changed, lost, doubled or put in."""
    changed = list(text)
    for _ in range(rng.randint(1, 4)):
        position = rng.randrange(len(changed) + 1)
        end = position + rng.randint(1, 4)
        kind = rng.randrange(5)
        if kind == 0:
            del changed[position:end]
        elif kind == 1:
            changed[position:position] = changed[position:end]
        elif kind == 2:
            changed[position:end] = [rng.choice('0123456789-,/[]{}":\\ubtnAé\u0661\ud83d\x00\x1e ')]
        elif kind == 3:
            changed[position:position] = rng.choice(["[" * 150, "9" * 50, "null", "NaN", '"', "/" * 30, "-", "1e999"])
        else:
            del changed[position:]
    return "".join(changed).encode("utf-8", "replace").decode()


@both
@pytest.mark.parametrize("chunk", CHUNKS)
async def test_generated_packets(transport: str, chunk: int) -> None:
    rng = random.Random(f"packets {transport} {chunk}")
    async with serving(close_timeout=0.2) as live:
        live.io.of("/admin")
        for _ in range(20):
            client = await live.client(transport)
            await client.join()
            packets: list[str | bytes] = []
            for _ in range(rng.randint(1, 5)):
                packet = rng.choice(PACKETS)
                packets.append(mutated_text(rng, packet) if rng.random() < 0.6 else packet)
                if rng.random() < 0.3:
                    packets.append(rng.randbytes(rng.randint(0, 20)))
            try:
                await client.send(*packets)
                await client.send("1")
            except Ended:
                pass
            if transport == "polling":
                # A session that is closing waits for a poll to tell it so.
                await client.ended()
            await client.hang_up()
            assert await settled(lambda: live.sessions == 0), packets
            await live.check_fresh_client()


# WebSocket


FRAMES: dict[str, tuple[bytes, int]] = {
    "not masked": (frame(1, b"40", masked=False), 1002),
    "reserved bit 1": (frame(1, b"40", reserved=4), 1002),
    "reserved bit 2": (frame(1, b"40", reserved=2), 1002),
    "reserved bit 3": (frame(2, b"40", reserved=1), 1002),
    **{f"opcode {opcode}": (frame(opcode, b"40"), 1002) for opcode in (3, 7, 11, 15)},
    "a ping in fragments": (frame(9, b"a", final=False), 1002),
    "a close in fragments": (frame(8, b"", final=False), 1002),
    "a long ping": (frame(9, b"a" * 126), 1002),
    "a long close": (frame(8, b"\x03\xe8" + b"a" * 124), 1002),
    "half a close code": (frame(8, b"\x03"), 1002),
    **{
        f"close code {code}": (frame(8, code.to_bytes(2, "big")), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "a close reason that is not UTF-8": (frame(8, b"\x03\xe8\xff"), 1007),
    "text that is not UTF-8": (frame(1, b"4\xff"), 1007),
    "text with a surrogate": (frame(1, b"4\xed\xa0\x80"), 1007),
    "text that is cut off": (frame(1, "4€".encode()[:-1]), 1007),
    "fragments that are not UTF-8": (frame(1, b"4", final=False) + frame(0, b"\xff"), 1007),
    "a fragment of nothing": (frame(0, b"a"), 1002),
    "text within fragments": (frame(1, b"4", final=False) + frame(1, b"4"), 1002),
    "binary within fragments": (frame(2, b"4", final=False) + frame(2, b"4"), 1002),
    "a length of 16 bits for 5": (b"\x81\xfe\x00\x05\x00\x00\x00\x00" + b"40abc", 1002),
    "a length of 64 bits for 5": (b"\x81\xff" + (5).to_bytes(8, "big") + b"\x00\x00\x00\x00" + b"40abc", 1002),
    "a length with its top bit set": (b"\x81\xff\x80" + b"\x00" * 7 + b"\x00\x00\x00\x00", 1002),
    "a length of an exabyte": (b"\x82\xff" + (2**60).to_bytes(8, "big") + b"\x00\x00\x00\x00", 1009),
    "a length just above the limit": (b"\x82\xff" + (1_000_001).to_bytes(8, "big") + b"\x00\x00\x00\x00", 1009),
    "fragments above the limit": (frame(2, b"a" * 600_000, final=False) + frame(0, b"a" * 600_000), 1009),
    "too many fragments": (frame(1, b"4", final=False) + frame(0, b"", final=False) * 1100, 1008),
}


@pytest.mark.parametrize(("data", "code"), FRAMES.values(), ids=FRAMES.keys())
async def test_frames(data: bytes, code: int) -> None:
    async with serving(close_timeout=0.2) as live:
        reasons: list[str] = []
        live.io.on("disconnect", lambda socket, reason: reasons.append(reason))
        client = await live.websocket()
        await client.join()
        await client.socket.connection.send(data)
        assert await client.ended() == code
        assert await settled(lambda: live.sessions == 0)
        assert reasons == ["transport error"]
        await live.check_fresh_client()


@pytest.mark.parametrize("chunk", CHUNKS)
async def test_generated_frames(chunk: int) -> None:
    rng = random.Random(f"frames {chunk}")
    valid = [frame(1, b"40"), frame(1, b'42["a"]'), frame(2, b"abc"), frame(9, b"x"), frame(1, b"4" * 300)]
    async with serving(close_timeout=0.1) as live:
        for _ in range(20):
            client = await live.websocket()
            pieces = [rng.choice(valid) for _ in range(rng.randint(1, 3))]
            data = rng.randbytes(rng.randint(1, 200)) if rng.random() < 0.3 else mutated(rng, b"".join(pieces))
            try:
                await client.socket.connection.send(data)
                client.socket.connection.half_close()
                await client.socket.connection.rest()
            except Ended:
                pass
            await client.hang_up()
            assert await settled(lambda: live.sessions == 0)
            await live.check_fresh_client()
