"""The hot pieces of the library one by one, without a socket: ``python -m tests.bench.micro [WORD ...]``.

With words, only the rows that contain one of them. The figure is microseconds for one unit, the best of several runs:
for comparing two states of the code on one machine, one right after the other, and for nothing else.
"""

from __future__ import annotations

import os
import sys
import time
import timeit
from itertools import count
from typing import TYPE_CHECKING

from sioproto import (
    ClientConfig,
    EngineClientConfig,
    EngineConfig,
    Environment,
    Request,
    Response,
    SocketConfig,
)
from sioproto.engineio import Fetch, parse_url
from sioproto.frame import Frame
from sioproto.socketio import ConnectAsked, Decoder, EventReceived, Parser, SocketClient, SocketServer
from sioproto.timers import Lane, Timers
from sioproto_wire import ServerWire
from sioproto_wire.masking import key_source
from sioproto_wire.websocket import WebSocketWire
from tests.bench.loads import message, question
from tests.bench.wire import PATH, UPGRADE, get, masked, post

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sioproto.engineio import Exchange, Link
    from sioproto_wire import Connection

Row = tuple[str, "Callable[[], object]", int]
"""What is timed, the call, and how many units one call does."""

REPEAT = 7
SECONDS = 0.1
"""How long each of the runs takes, about."""
MEMBERS = 1000
LANES = 16


def main(words: Sequence[str], seconds: float = SECONDS) -> list[tuple[str, float]]:
    """Prints the table and returns its rows, in microseconds."""
    found = []
    print("| what | µs |\n| --- | ---: |")
    for name, call, units in rows():
        if words and not any(word in name for word in words):
            continue
        timer = timeit.Timer(call)
        once = min(timer.repeat(3, 1))
        number = max(1, int(seconds / max(once, 1e-7)))
        best = min(timer.repeat(REPEAT, number)) / number / units * 1e6
        found.append((name, best))
        print(f"| {name} | {best:.2f} |", flush=True)
    return found


def rows() -> Iterator[Row]:
    yield from packets()
    yield from frames()
    yield from timers()
    yield from broadcasts()
    yield from clients()
    yield from bytes_to_bytes()


def packets() -> Iterator[Row]:
    parser = Parser()
    decoder = Decoder(parser)
    text = question(0, 0)[1:].decode()
    args = ["echo", message(0, 0)]
    answer = [message(0, 0)]
    small = '21["a",1]'
    yield "packet: decode an event with id", lambda: decoder.feed(text), 1
    yield "packet: decode a tiny event", lambda: decoder.feed(small), 1
    yield "packet: encode an event", lambda: parser.encode_event("/", args), 1
    yield "packet: encode an acknowledgement", lambda: parser.encode_ack("/", answer, 100), 1
    binary = ["echo", os.urandom(1024)]
    yield "packet: encode an event with 1 KiB of binary", lambda: parser.encode_event("/", binary), 1


def frames() -> Iterator[Row]:
    wire = WebSocketWire(1_000_000)
    one = masked(question(0, 0))
    eight = one * 8
    kib = masked(os.urandom(1024), 2)
    large = masked(os.urandom(65000), 2)
    text = question(0, 0).decode()
    made = Frame(text)
    yield "frame: receive a small text", lambda: wire.receive(one), 1
    yield "frame: receive 8 small texts at once, for each", lambda: wire.receive(eight), 8
    yield "frame: receive 1 KiB of binary", lambda: wire.receive(kib), 1
    yield "frame: receive 65,000 bytes of binary", lambda: wire.receive(large), 1
    client = WebSocketWire(1_000_000, keys=key_source(os.urandom))
    plain, eight_plain = made.websocket, made.websocket * 8
    yield "frame: a client receives a small text", lambda: client.receive(plain), 1
    yield "frame: a client receives 8 small texts at once, for each", lambda: client.receive(eight_plain), 8
    yield "frame: a client writes a small text", lambda: client.write([made]), 1
    yield "frame: make one and its WebSocket form", lambda: Frame(text).websocket, 1
    yield "frame: its WebSocket form again", lambda: made.websocket, 1


def timers() -> Iterator[Row]:
    held = Timers(time.monotonic)
    lanes: list[Lane[object]] = [
        held.lane(20.0 + each, f"lane {each}", lambda owner, deadline: None) for each in range(LANES)
    ]
    for lane in lanes:
        for _ in range(100):
            lane.arm(object())
    owner = object()
    yield "timer: arm and cancel in a lane", lambda: lanes[0].arm(owner).cancel(), 1
    yield "timer: arm and cancel an odd duration", lambda: held.after(30.0, never_due).cancel(), 1
    yield f"timer: next deadline of {LANES} lanes", held.next_deadline, 1
    yield "timer: fire, nothing due", lambda: held.fire(0.0), 1


def never_due() -> None:
    raise AssertionError("a timer that was cancelled fired")


class Application:
    """The Socket.IO floor with an application that echoes: what handlers cost is not measured here."""

    def __init__(self) -> None:
        numbers = count(1)
        environment = Environment(
            clock=time.monotonic,
            wall=time.time,
            ids=lambda: f"id-{next(numbers):017}",
            entropy=os.urandom,
            jitter=lambda: 0.5,
        )
        self.core = SocketServer(EngineConfig(http_compression=None), SocketConfig(), environment)

    def advance(self) -> None:
        while events := self.core.events():
            for event in events:
                if isinstance(event, EventReceived):
                    if event.ack_id is not None:
                        event.socket.acknowledge(event.ack_id, event.args[1:])
                elif isinstance(event, ConnectAsked):
                    self.core.accept(event.ticket)


def broadcasts() -> Iterator[Row]:
    """A broadcast from the call until there are bytes for each member."""
    application = Application()
    core = application.core
    for _ in range(MEMBERS):
        exchange = core.receive_request(Request("GET", f"{PATH}websocket", [("host", "here")], upgrade=True))
        assert exchange.link is not None, exchange.response
        core.receive_messages(exchange.link, ["40"])
    application.advance()
    drain(core.take_dirty())
    room = core.sockets
    for socket in list(room.sockets.values()):
        socket.join("room")
    data = message(0, 0)

    def to_all() -> int:
        room.emit("news", data)
        return drain(core.take_dirty())

    def to_room() -> int:
        room.to("room").emit("news", data)
        return drain(core.take_dirty())

    assert to_all() == to_room() == MEMBERS
    yield f"broadcast: to all {MEMBERS:,}, for each", to_all, MEMBERS
    yield f"broadcast: to a room of {MEMBERS:,}, for each", to_room, MEMBERS


def clients() -> Iterator[Row]:
    """The Socket.IO floor of a client: an event in, an event out, messages and no bytes."""
    environment = Application().core.environment
    origin = parse_url("http://here")[0]
    core = SocketClient(origin, EngineClientConfig(transports=("websocket",)), ClientConfig(), environment)
    socket = core.of("/")
    socket.connect()
    (fetch,) = core.take_dirty()
    assert isinstance(fetch, Fetch)
    core.receive_response(fetch, Response(101))
    link = fetch.link
    assert link is not None
    core.receive_messages(link, ['0{"sid":"1","upgrades":[],"pingInterval":25000,"pingTimeout":20000}'])
    core.receive_messages(link, ['40{"sid":"1"}'])
    assert socket.connected
    core.events()
    drain_client(core)
    text = '42["news","number 1"]'
    one, eight = [text], [text] * 8

    def receive(messages: Sequence[str]) -> int:
        core.receive_messages(link, messages)
        return len(core.events())

    def send() -> int:
        socket.emit("news", "number 1")
        return drain_client(core)

    assert receive(one) == send() == 1
    yield "client: an event comes in", lambda: receive(one), 1
    yield "client: 8 events come in at once, for each", lambda: receive(eight), 8
    yield "client: an event goes out", send, 1


def drain_client(core: SocketClient) -> int:
    """Takes what a client has to send; returns how many packets that were."""
    return sum(len(carrier.take()) for carrier in core.take_dirty() if not isinstance(carrier, Fetch))


def drain(carriers: Sequence[Exchange | Link]) -> int:
    """Takes what is to be sent, as bytes; returns how many WebSockets had something."""
    found = 0
    for carrier in carriers:
        take = getattr(carrier, "take", None)
        if take is not None:
            found += 1
            b"".join([frame.websocket for frame in take()])
    return found


def bytes_to_bytes() -> Iterator[Row]:
    """What came from a socket until there is what goes to it, over the wire and the Socket.IO floor."""
    application = Application()
    wire = ServerWire(application.core)

    def talk(connection: Connection, data: bytes) -> bytes:
        connection.receive_data(data)
        application.advance()
        return b"".join([each.take() for each in wire.take_dirty()])

    client = wire.connect(address="192.0.2.1")
    assert b" 101 " in talk(client, UPGRADE)
    assert b'40{"sid"' in talk(client, masked(b"40"))
    one = masked(question(0, 0))
    eight = b"".join(masked(question(0, number)) for number in range(8))
    assert talk(client, eight).count(b"message") == 8
    yield "bytes: an event and its acknowledgement", lambda: talk(client, one), 1
    yield "bytes: 8 events at once, for each", lambda: talk(client, eight), 8

    gets, posts = wire.connect(address="192.0.2.1"), wire.connect(address="192.0.2.1")
    said = talk(gets, get("&t=0"))
    session = said.partition(b'"sid":"')[2].partition(b'"')[0].decode()
    query = f"&sid={session}"
    talk(posts, post(query, b"40"))
    assert b'40{"sid"' in talk(gets, get(query))
    body = question(0, 0)
    numbers = count()

    def cycle() -> bytes:
        number = next(numbers)
        talk(gets, get(f"{query}&t={number:x}"))
        return talk(posts, post(f"{query}&t={number:x}p", body))

    assert cycle().count(b" 200 ") == 2
    yield "bytes: long-polling, GET and POST for an event", cycle, 1

    def connect() -> None:
        connection = wire.connect(address="192.0.2.1")
        talk(connection, UPGRADE)
        talk(connection, masked(b"40"))
        talk(connection, b"\x88\x80\x00\x00\x00\x00")
        connection.receive_lost()
        application.advance()
        wire.take_dirty()

    yield "bytes: a WebSocket, from its request to its end", connect, 1


if __name__ == "__main__":
    main(sys.argv[1:])
