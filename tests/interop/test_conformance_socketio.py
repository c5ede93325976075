"""Socket.IO, protocol revision 5, as its official test suite probes it: raw packets, over both transports.

Where this server differs from the Node.js server on purpose the test says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.bindings.live import serving, settled
from tests.bindings.raw import TRANSPORTS, Ended

if TYPE_CHECKING:
    from sioproto import Socket

both = pytest.mark.parametrize("transport", TRANSPORTS)


@both
async def test_connect(transport: str) -> None:
    async with serving() as live:
        live.io.of("/custom").on("auth", lambda socket: socket.handshake.auth)
        client = await live.client(transport)
        main = await client.join()
        custom = await client.join("/custom", {"token": "123", "list": [None]})
        assert main != custom
        await client.send('42/custom,0["auth"]')
        assert await client.receive() == '43/custom,0[{"token":"123","list":[null]}]'
        await client.send("41/custom,")
        assert await settled(lambda: not live.io.of("/custom").sockets)
        # Without a payload: an empty one.
        await client.send("40/custom")
        assert str(await client.receive()).startswith('40/custom,{"sid":"')
        await client.send('42/custom,1["auth"]')
        assert await client.receive() == "43/custom,1[{}]"


@both
@pytest.mark.parametrize("name", ["/random", "/custom?x=1", "/a/b/c", "/ä", "/__proto__", "/" + "x" * 255])
async def test_an_unknown_namespace(transport: str, name: str) -> None:
    async with serving() as live:
        live.io.of("/custom")
        client = await live.client(transport)
        await client.send(f"40{name},")
        assert await client.receive() == f'44{name},{{"message":"Invalid namespace"}}'
        await client.join()


@both
async def test_disconnect_and_connect_again(transport: str) -> None:
    async with serving() as live:
        reasons: list[str] = []
        live.io.on("disconnect", lambda socket, reason: reasons.append(reason))
        client = await live.client(transport)
        first = await client.join()
        await client.send("41")
        second = await client.join()
        assert first != second
        assert reasons == ["client namespace disconnect"]


@both
async def test_a_second_connect_is_ignored(transport: str) -> None:
    async with serving() as live:
        live.io.on("ready", lambda socket: "yes")
        client = await live.client(transport)
        await client.send("40", "40", "40")
        assert str(await client.receive()).startswith("40{")
        await client.send("40", '421["ready"]')
        # Node.js ends the session, or makes two sockets.
        assert await client.receive() == '431["yes"]'
        assert len(live.io.sockets.sockets) == 1


@both
async def test_a_late_packet_for_a_namespace_that_was_left(transport: str) -> None:
    async with serving() as live:
        live.io.of("/other")
        live.io.on("ready", lambda socket: "yes")
        client = await live.client(transport)
        await client.join()
        await client.join("/other")
        # Node.js ends the session.
        await client.send("41/other,", '42/other,["late"]', "43/other,5[]", "41/other,", '421["ready"]')
        assert await client.receive() == '431["yes"]'


@both
async def test_a_numeric_event_name_and_odd_but_legal_packets(transport: str) -> None:
    async with serving() as live:
        seen: list[Any] = []
        live.io.on_any(lambda socket, name, *args: seen.append((name, *args)))
        live.io.on("ready", lambda socket: "yes")
        client = await live.client(transport)
        await client.join()
        await client.send(
            "42[1,2]", '42["error"]', '42["message"]', '42["_placeholder",{"_placeholder":true}]', "439[]"
        )
        await client.send('42123456789012345["ready"]')
        assert await client.receive() == '43123456789012345["yes"]'
        assert seen[:4] == [("1", 2), ("error",), ("message",), ("_placeholder", {"_placeholder": True})]


INVALID = {
    "unknown type": ["4abc"],
    "no type": ["4"],
    "type 7": ["47"],
    "CONNECT with an array": ["40[]"],
    "CONNECT with null": ["40null"],
    "CONNECT with nonsense": ["40{"],
    "DISCONNECT with a payload": ["41{}"],
    "EVENT without payload": ["42"],
    "EVENT with an object": ["42{}"],
    "EVENT without a name": ["42[]"],
    "EVENT with null as name": ["42[null]"],
    "EVENT with an object as name": ["42[{}]"],
    "EVENT with true as name": ["42[true]"],
    "EVENT with 1.5 as name": ["42[1.5]"],
    "EVENT cut off": ['42["a"'],
    "EVENT with more behind it": ['42["a"]x'],
    "EVENT with NaN": ['42["a",NaN]'],
    "EVENT with Infinity": ['42["a",-Infinity]'],
    "EVENT with 1e400": ['42["a",1e400]'],
    "EVENT with a control": ['42["a\n"]'],
    "EVENT that is too deep": ["42" + "[" * 200 + "]" * 200],
    "EVENT with too long a number": ['42["a",' + "1" * 400 + "]"],
    "EVENT with too many arguments": ["42[" + ",".join(["1"] * 1002) + "]"],
    "EVENT with too long a name": ['42["' + "x" * 1025 + '"]'],
    **{f"reserved name {name}": [f'42["{name}"]'] for name in ("connect", "disconnect", "disconnecting")},
    "reserved name connect_error": ['42["connect_error"]'],
    "reserved name newListener": ['42["newListener"]'],
    "ACK without id": ["43[]"],
    "ACK without payload": ["431"],
    "ACK with an object": ["431{}"],
    "ack id with Arabic digits": ['42\u0661["a"]'],
    "ack id that is too long": ['421234567890123456["a"]'],
    "ack id that is negative": ['42-1["a"]'],
    "CONNECT_ERROR from a client": ['44{"message":"x"}'],
    "BINARY_EVENT without count": ['45["a"]'],
    "BINARY_EVENT with 0 attachments": ['450-["a"]'],
    "BINARY_EVENT with -1 attachments": ['45-1-["a"]'],
    "BINARY_EVENT with 1.5 attachments": ['451.5-["a"]'],
    "BINARY_EVENT with too many": ['4511-["a"]'],
    "BINARY_EVENT with a huge count": ['45999999999999999999-["a"]'],
    "binary out of the blue": [b"\x01"],
    "text instead of an attachment": ['451-["a",{"_placeholder":true,"num":0}]', '42["b"]'],
    "placeholder out of range": ['451-["a",{"_placeholder":true,"num":1}]', b"\x01"],
    "placeholder below zero": ['451-["a",{"_placeholder":true,"num":-1}]', b"\x01"],
    "placeholder of a wrong type": ['451-["a",{"_placeholder":true,"num":"0"}]', b"\x01"],
    "namespace that is too long": ["40/" + "x" * 256 + ","],
    "namespace with a control": ["40/\x01,"],
}


@both
@pytest.mark.parametrize("packets", INVALID.values(), ids=INVALID.keys())
async def test_an_invalid_packet_ends_the_session(transport: str, packets: list[str | bytes]) -> None:
    async with serving(close_timeout=0.2) as live:
        log: list[str] = []
        live.io.on("error", lambda socket, error: log.append("error"))
        live.io.on("disconnect", lambda socket, reason: log.append(reason))
        live.io.on("after", lambda socket: log.append("after"))
        client = await live.client(transport)
        await client.join()
        await client.send(*packets, '42["after"]')
        await client.ended()
        assert await settled(lambda: live.sessions == 0)
        assert log == ["error", "forced close"]
        await live.check_fresh_client()


@both
@pytest.mark.parametrize("packet", ['42["a"]', "431[]", "41", b"\x01", '42/admin,["a"]'])
async def test_a_packet_before_connect_ends_the_session(transport: str, packet: str | bytes) -> None:
    async with serving() as live:
        client = await live.client(transport)
        await client.send(packet)
        await client.ended()
        assert await settled(lambda: live.sessions == 0)


@both
async def test_limits_on_namespaces_of_a_connection(transport: str) -> None:
    async with serving(max_namespaces=3, close_timeout=0.2) as live:
        for name in "abcd":
            live.io.of(f"/{name}")
        client = await live.client(transport)
        for name in "abc":
            await client.join(f"/{name}")
        await client.send("40/d,")
        assert await client.receive() == '44/d,{"message":"Too many connection attempts"}'
        await client.ended()
        assert await settled(lambda: live.sessions == 0)


@both
async def test_limits_on_the_rate_of_connects(transport: str) -> None:
    async with serving(connect_rate=5, close_timeout=0.2) as live:
        live.clock.hold()
        client = await live.client(transport)
        await client.send(*(f"40/nowhere{number}," for number in range(6)))
        received = [await client.receive() for _ in range(6)]
        live.clock.go_on()
        with pytest.raises(Ended):
            await client.receive()
        assert received[-1] == '44/nowhere5,{"message":"Too many connection attempts"}'
        assert await settled(lambda: live.sessions == 0)


@both
async def test_pending_connects_are_bounded(transport: str) -> None:
    async with serving(max_pending_connects=2, close_timeout=0.2, grace=0.2) as live:

        @live.io.of(lambda name, auth: True).use
        async def wait(socket: Socket) -> None:
            await asyncio.sleep(60)

        client = await live.client(transport)
        await client.send("40/a,", "40/b,", "40/c,")
        assert await client.receive() == '44/c,{"message":"Too many connection attempts"}'
        await client.ended()
        assert await settled(lambda: live.sessions == 0)
