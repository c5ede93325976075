"""Records the conversations in ``tests/wire/conversations``: ``python -m tests.interop.recorder [name ...]``.

A relay stands between clients and a server of the asyncio binding and writes down what each connection says. The
clients are the stock one under Node.js and the handwritten one of the bindings' tests. A pause is written down longer
than it was, so that whatever the server did by the clock comes first when the conversation is said again.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sioproto_asyncio import Server
from sioproto_wire import real_environment
from tests.bindings.live import settled
from tests.bindings.raw import BINARY, CLOSE, PING, PONG, TEXT, Polling, WebSocket, WebSockets, frame
from tests.interop.stock import Stock
from tests.peers import find_node
from tests.wire.conversation import Conversation, Events, Step, furnish, ids, replay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

FOLDER = Path(__file__).resolve().parent.parent / "wire" / "conversations"
SHORT = 0.03
"""Seconds that a client thinks, or a busy machine; more is a pause."""
MARGIN = 0.1
"""Seconds by which pauses are written down longer."""


class Relay:
    """Hands on what clients and a server say to each other, and notes the former."""

    def __init__(self, conversation: Conversation, port: int) -> None:
        self.conversation = conversation
        self.port = port
        self._last = 0.0
        self._heard = False
        self._running: list[asyncio.Task[None] | None] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connects a client to the server until both are done."""
        number = len(self._running)
        self._running.append(asyncio.current_task())
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        answers = asyncio.create_task(self._hand_on(server_reader, writer))
        await self._hand_on(reader, server_writer, number)
        await answers
        for each in (writer, server_writer):
            each.close()
            with suppress(OSError):
                await each.wait_closed()

    @property
    def busy(self) -> bool:
        """Whether there are connections."""
        return any(task is not None and not task.done() for task in self._running)

    async def _hand_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int | None = None
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if number is None:
                    self._heard = True
                else:
                    self._note(number, data)
                writer.write(data)
            writer.write_eof()
        if number is not None:
            self._note(number, None)

    def _note(self, number: int, data: bytes | None) -> None:
        now = time.monotonic()
        pause = now - self._last if self.conversation.steps else 0.0
        self._last = now
        heard, self._heard = self._heard, False
        longer = 0.0 if pause < SHORT else math.ceil(pause * 20) / 20 + MARGIN
        last = self.conversation.steps[-1] if self.conversation.steps else None
        if last is not None and last.connection == number and not heard and not longer and data and last.data:
            last.data += data
        else:
            self.conversation.steps.append(Step(round(longer, 2), number, data))


async def record(name: str, stock: Stock | None) -> Conversation:
    """Returns a new recording of a scene."""
    options, play = SCENES[name]
    conversation = Conversation(options)
    events: Events = {}
    io = Server(environment=replace(real_environment(), ids=ids()), **options)
    furnish(io, events)
    async with io.listening("127.0.0.1", 0):
        relay = Relay(conversation, io.addresses[0][1])
        listener = await asyncio.start_server(relay.accept, "127.0.0.1", 0)
        async with listener:
            await play(("127.0.0.1", listener.sockets[0].getsockname()[1]), stock)
            # The stock client says its last words after the scene is over.
            assert await settled(lambda: not (io.engine.sessions or io.wire.connections or relay.busy))
    conversation.events = replay(conversation).events
    # What is said again has to be what was said.
    assert conversation.events == events, (conversation.events, events)
    return conversation


# Scenes


def stock_scene(code: str, *transports: str) -> Callable[[tuple[str, int], Stock | None], Awaitable[None]]:
    """Returns a scene of the stock client; ``socket`` and ``admin`` are connected, ``ask`` waits for an answer."""
    frame = """
        const ask = (socket, ...args) => new Promise((resolve) => socket.emit(...args, (...answer) => resolve(answer)));
        const socket = await opened(io(url, { transports, auth: { token: "é" }, upgrade: transports.length > 1 }));
        socket.on("question", (...args) => args.pop()("answer to", ...args));
        const admin = socket.io.socket("/admin");
        CODE
        const gone = next(socket, "disconnect");
        socket.disconnect();
        await gone;
    """

    async def play(address: tuple[str, int], stock: Stock | None) -> None:
        assert stock is not None
        await stock(frame.replace("CODE", code), url=f"http://127.0.0.1:{address[1]}", transports=transports)

    return play


TALK = """
    await opened(admin);
    await ask(socket, "tell", "äöü 😀", 1.5, { deep: [Buffer.from([1, 2, 3]), "x".repeat(200)] });
    const back = next(admin, "echo");
    admin.emit("echo", Buffer.alloc(300, 7), Buffer.alloc(0));
    admin.emit("plain", null, [], {});
    await back;
    const [answer] = await Promise.all([next(socket, "echo"), socket.emit("ask", 1), socket.emit("echo", "last")]);
    await ask(socket, "tell");
    admin.disconnect();
"""
UPGRADE = """
    await ask(socket, "tell", "over polling");
    await upgraded(socket);
    await ask(socket, "tell", "over WebSocket", Buffer.from("binary"));
    await opened(admin);
"""


async def fragments(address: tuple[str, int], stock: Stock | None) -> None:
    """A WebSocket with fragments, control frames between them, and binary of every length form."""
    client = WebSockets(address)
    await client.open()
    await client.join()
    socket = client.socket
    data = ('427["tell","äöü 😀",{"a":"' + "b" * 130 + '"}]').encode()
    # A character is split over two fragments.
    middle = data.index("ö".encode()) + 1
    await socket.connection.send(
        frame(TEXT, data[:middle], final=False)
        + frame(PING, b"between")
        + frame(0, b"", final=False)
        + frame(PONG, b"unasked")
        + frame(0, data[middle:])
    )
    assert str(await after_pong(socket)).startswith("437[")
    large = bytes(range(256)) * 2
    await client.send('452-["echo",{"_placeholder":true,"num":0},[{"_placeholder":true,"num":1}]]')
    await socket.connection.send(
        frame(BINARY, large[:100], final=False) + frame(0, large[100:]) + frame(PING, b"x" * 125) + frame(BINARY, b"")
    )
    assert str(await after_pong(socket)).startswith("452-[")
    assert [await client.receive(), await client.receive()] == [large, b""]
    await client.send('451-["plain",{"_placeholder":true,"num":0}]', "bAAEC")
    await socket.send_frame(CLOSE, b"\x0f\xa0bye")
    await socket.connection.rest()
    await client.hang_up()


async def after_pong(socket: WebSocket) -> str | bytes:
    """Returns the next message, pongs aside."""
    while True:
        opcode, payload = await socket.read_frame()
        if opcode != PONG:
            return payload.decode() if opcode == TEXT else payload


async def polling(address: tuple[str, int], stock: Stock | None) -> None:
    """Long-polling on kept connections: several packets in a payload, binary, chunks, a body that is too large."""
    client = Polling(address)
    await client.open()
    await client.send("40", '40/admin,{"token":1}')
    assert str(await client.receive()).startswith("40{")
    assert str(await client.receive()).startswith("40/admin,{")
    await client.send('451-["echo",{"_placeholder":true,"num":0}]', b"\x00\xff", '420["tell","é"]', '42["ask",[1]]')
    assert [await client.receive() for _ in range(4)][1] == b"\x00\xff"
    connection = await client.connect()
    body = b'430["answered"]\x1e42/admin,["tell"]'
    chunks = b"".join(b"%x;x=y\r\n%b\r\n" % (len(each), each) for each in (body[:7], body[7:], b""))
    target = client.target("polling")
    await connection.send(
        f"POST {target} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + chunks
        + f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n".encode()
    )
    assert [(await connection.answer()).status for _ in range(2)] == [200, 413]
    assert (await client.post('42["echo","x"]', [("Origin", "https://example.com")])).status == 403
    other = await client.connect()
    assert (await other.request("GET", "/elsewhere")).status == 404
    poll = await client.begin_get()
    await client.send("1")
    await poll.answer()
    await client.hang_up()


async def upgrade(address: tuple[str, int], stock: Stock | None) -> None:
    """An upgrade that fails once, with messages on both transports, and a session that a bad packet ends."""
    client = Polling(address)
    await client.open()
    await client.send("40")
    await client.receive()
    failed = WebSockets(address)
    failed.sid = client.sid
    for probe in ("2wrong", "2probe"):
        connection = await failed.connect()
        assert (await connection.upgrade(failed.target("websocket"))).status == 101
        failed.socket = WebSocket(connection)
        await failed.send(probe)
        if probe == "2wrong":
            await failed.ended()
    assert await failed.receive() == "3probe"
    poll = await client.begin_get()
    await client.send('42["echo","while probing"]')
    # A slow machine has its poll released first.
    while (packets := (await poll.answer()).packets) == ["6"]:
        poll = await client.begin_get()
    assert packets == ['42["echo","while probing"]']
    poll = await client.begin_get()
    assert (await poll.answer()).packets == ["6"]
    await failed.send("5", '451-["echo",{"_placeholder":true,"num":0}]', b"upgraded")
    assert str(await failed.receive()).startswith("451-")
    assert await failed.receive() == b"upgraded"
    await failed.send('42["echo"', '42["never"]')
    await failed.ended()
    await failed.hang_up()
    await client.hang_up()


SCENES: dict[str, tuple[dict[str, Any], Callable[[tuple[str, int], Stock | None], Awaitable[None]]]] = {
    "stock-polling": ({}, stock_scene(TALK, "polling")),
    "stock-websocket": ({}, stock_scene(TALK, "websocket")),
    "stock-upgrade": ({}, stock_scene(UPGRADE, "polling", "websocket")),
    "stock-pings": ({"ping_interval": 0.5}, stock_scene("await sleep(1200); await opened(admin);", "websocket")),
    "own-fragments": ({}, fragments),
    "own-polling": ({}, polling),
    "own-upgrade": ({}, upgrade),
}


async def main(names: list[str]) -> None:
    """Records anew, all or those that are named."""
    stock = Stock(find_node())
    try:
        for name in names or SCENES:
            (await record(name, stock)).save(FOLDER / f"{name}.json")
    finally:
        stock.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
