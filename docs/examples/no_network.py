"""A Socket.IO server without bytes, network or real time: one client connects, talks, and falls silent.

Everything is a call: the program is the client, the clock and the application at once. It prints the same at every run.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from sioproto import EngineConfig, Environment, Request, SocketConfig
from sioproto.socketio import (
    ConnectAsked,
    DisconnectingAsked,
    EventReceived,
    SocketConnected,
    SocketDisconnected,
    SocketServer,
)

if TYPE_CHECKING:
    from sioproto.engineio import Link

now = 0.0
numbers = count(1)
environment = Environment(
    clock=lambda: now,
    wall=lambda: 1_700_000_000.0 + now,
    ids=lambda: f"id-{next(numbers)}",
    entropy=bytes,
    jitter=lambda: 0.5,
)
core = SocketServer(EngineConfig(), SocketConfig(), environment)


def main() -> None:
    """Plays the client's part."""
    target = "/socket.io/?EIO=4&transport=websocket"
    exchange = core.receive_request(Request("GET", target, [("host", "chat.example")], upgrade=True))
    link = exchange.link
    assert link is not None, exchange.response
    settle(link)
    for message in ["40", '420["join","lobby"]', '42["say","hello"]']:
        print(f"{now:4.0f} s  client: {message}")
        core.receive_messages(link, [message])
        settle(link)
    while not link.closing:
        wait(link)


def settle(link: Link) -> None:
    """Handles the events that there are, then shows what the client gets."""
    while events := core.events():
        for event in events:
            if isinstance(event, ConnectAsked):
                core.accept(event.ticket)
            elif isinstance(event, SocketConnected):
                print(f"{now:4.0f} s  connected: {event.socket.id}")
            elif isinstance(event, EventReceived):
                name, *args = event.args
                if name == "join":
                    event.socket.join(*args)
                if event.ack_id is not None:
                    event.socket.acknowledge(event.ack_id, sorted(event.socket.rooms))
                if name == "say":
                    core.sockets.to("lobby").emit("said", *args)
            elif isinstance(event, DisconnectingAsked):
                core.finish_disconnect(event.socket)
            elif isinstance(event, SocketDisconnected):
                print(f"{now:4.0f} s  disconnected: {event.reason}")
    for carrier in core.take_dirty():
        if carrier is link:
            for frame in link.take():
                print(f"{now:4.0f} s  server: {frame.data!s}")
            if link.closing:
                print(f"{now:4.0f} s  server closes the WebSocket")


def wait(link: Link) -> None:
    """Lets the time pass until something is due."""
    global now
    deadline = core.next_deadline()
    assert deadline is not None
    now = deadline
    core.handle_timeout()
    settle(link)


if __name__ == "__main__":
    main()
