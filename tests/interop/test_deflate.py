"""Compressed WebSocket messages against `ws`, by itself and under the stock client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from sioproto_wire.config import PerMessageDeflate
from tests.interop.stock import serving_stock

if TYPE_CHECKING:
    from sioproto import Socket
    from tests.bindings.live import Live
    from tests.interop.stock import Stock
    from tests.peers import Node

NO_TAKEOVER = {"server_no_context_takeover": True, "client_no_context_takeover": True}
TEXT = "all work and no play makes Jack a dull boy, " * 1000

TALK = """
    const socket = await opened(io(url, { transports: ["websocket"], ...options }));
    const { ws } = socket.io.engine.transport;
    const before = ws._socket.bytesRead, sent = ws._socket.bytesWritten;
    const [answer] = await Promise.all([next(socket, "echo"), socket.emit("echo", text)]);
    return [ws.extensions, answer[0] === text, ws._socket.bytesRead - before, ws._socket.bytesWritten - sent];
"""


def echo(live: Live, *, compress: bool = True) -> None:
    @live.io.on("echo")
    def back(socket: Socket, text: str) -> None:
        socket.compress(compress).emit("echo", text)


async def test_every_offer_of_ws(node: Node) -> None:
    async with serving_stock(per_message_deflate=PerMessageDeflate()) as live:
        echo(live)
        done = await asyncio.to_thread(node.run, "deflate.mjs", str(live.port))
        found: dict[str, Any] = json.loads(done.stdout)
    plain = found.pop("none")
    assert plain["extensions"] == ""
    assert plain["right"]
    windows = {"small windows": 9, "a window of ten": 10}
    for name, result in found.items():
        assert result["extensions"] == "permessage-deflate", name
        asked = {"server_max_window_bits": windows[name]} if name in windows else {}
        result["parameters"].pop("client_max_window_bits", None)  # put in by `ws` where it is not answered
        assert result["parameters"] == NO_TAKEOVER | asked, name
        assert result["right"], name
        assert result["bytes"] < plain["bytes"] / 5, name


@pytest.mark.parametrize(
    ("enabled", "compress", "options"),
    [
        (True, True, {}),
        (True, False, {}),
        (False, True, {}),
        (True, True, {"perMessageDeflate": False}),
    ],
)
async def test_the_stock_client(stock: Stock, enabled: bool, compress: bool, options: dict[str, Any]) -> None:
    async with serving_stock(per_message_deflate=PerMessageDeflate() if enabled else None) as live:
        echo(live, compress=compress)
        extensions, right, received, sent = await stock(TALK, url=live.url, text=TEXT, options=options)
    agreed = enabled and not options
    assert right
    assert extensions == ("permessage-deflate" if agreed else "")
    assert (received < len(TEXT) / 10) is (agreed and compress)
    assert (sent < len(TEXT) / 10) is agreed


async def test_a_broadcast_with_attachments_reaches_everybody(stock: Stock) -> None:
    async with serving_stock(per_message_deflate=PerMessageDeflate()) as live:

        @live.io.on("all")
        def tell(socket: Socket, text: str) -> None:
            live.io.emit("news", text, text.encode())

        answers = await stock(
            """
            const sockets = [];
            for (const perMessageDeflate of [true, { serverMaxWindowBits: 9 }, false]) {
                sockets.push(io(url, { transports: ["websocket"], forceNew: true, perMessageDeflate }));
            }
            await Promise.all(sockets.map(opened));
            const heard = Promise.all(sockets.map((socket) => next(socket, "news")));
            sockets[0].emit("all", text);
            return (await heard).map(([one, two]) => one === text && two.toString() === text);
            """,
            url=live.url,
            text=TEXT,
        )
    assert answers == [True, True, True]
