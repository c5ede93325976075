"""Recorded conversations: what clients said on their connections, to be said again to a server without a network.

A conversation is a list of steps: a connection says some bytes, or no more, after some time. Replaying it gives an
``Outcome``: what the application noticed in each namespace, in order, and what each connection got. Neither depends on
how the bytes are cut; that is the law that the recordings are there for. ``conversations/README.md`` tells how they
were made.
"""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from sioproto import Environment
from sioproto.app import Server
from sioproto_wire import ServerWire
from tests.virtual import Stepper, make_configs
from tests.wire.conftest import Clock, Peer, read_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sioproto import Namespace, Pending, Socket


Events = dict[str, list[Any]]
"""What the application noticed, by namespace, and answers for themselves: nothing is promised about the order between
two namespaces, and an answer overtakes events that came in the same piece, since it never waits for handlers."""


@dataclass(slots=True)
class Step:
    """After ``pause`` seconds a connection says something, or with None that it says no more.

    It is all that a client said without having heard anything in between, in however many pieces.
    """

    pause: float
    connection: int
    data: bytes | None


@dataclass(slots=True)
class Conversation:
    """What was said to a server with these options, and what the application there noticed, by namespace."""

    options: dict[str, Any]
    steps: list[Step] = field(default_factory=list)
    events: Events = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Conversation:
        """Reads a file. Bytes stand in it as Latin-1, which leaves the heads of requests legible."""
        read = json.loads(path.read_text(encoding="utf-8"))
        steps = [
            Step(pause, connection, None if said is None else said.encode("latin-1"))
            for pause, connection, said in read["steps"]
        ]
        return cls(read["options"], steps, read["events"])

    def save(self, path: Path) -> None:
        """Writes a file, a line for each step and event."""
        said = [
            [step.pause, step.connection, None if step.data is None else step.data.decode("latin-1")]
            for step in self.steps
        ]
        separator = ",\n"
        events = [f"{json.dumps(name)}: {in_lines(rows)}" for name, rows in self.events.items()]
        path.write_text(
            f'{{"options": {json.dumps(self.options)},\n'
            f'"steps": {in_lines(said)},\n"events": {{\n{separator.join(events)}\n}}}}\n',
            encoding="utf-8",
        )


def in_lines(rows: list[Any]) -> str:
    return "[\n" + ",\n".join(map(json.dumps, rows)) + "\n]"


# The application of all conversations


def ids() -> Callable[[], str]:
    """Returns a source of ids that are the same every time, since clients say them."""
    numbers = count(1)
    return lambda: f"conversation-{next(numbers):07}"


def furnish(io: Server, events: Events) -> None:
    """Gives a server two namespaces that answer, and that note what happens in a form that JSON has."""

    def furnish_one(namespace: Namespace) -> None:
        noted: list[Any] = []
        answers: list[Any] = []
        events.update({namespace.name: noted, f"answers in {namespace.name}": answers})

        def note(what: str, *rest: Any) -> None:
            noted.append([what, *map(jsonable, rest)])

        def ask(socket: Socket, *args: Any) -> None:
            def answered(pending: Pending[Any]) -> None:
                answers.append(jsonable(pending.result()))

            socket.timeout(60).emit_with_ack("question", *args).on_done(answered)

        namespace.on("connection", lambda socket: note("connection", socket.id, socket.handshake.auth))
        namespace.on_any(lambda socket, event, *args: note("event", event, *args))
        namespace.on("error", lambda socket, error: note("error", str(error)))
        namespace.on("disconnect", lambda socket, reason: note("disconnect", reason))
        namespace.on("echo", lambda socket, *args: socket.emit("echo", *args))
        namespace.on("tell", lambda socket, *args: args)
        namespace.on("ask", ask)

    furnish_one(io.sockets)
    furnish_one(io.of("/admin"))


def jsonable(value: Any) -> Any:
    """Returns a copy in which binary is what JSON has for it."""
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    if isinstance(value, dict):
        return {key: jsonable(each) for key, each in value.items()}
    return value


# Saying it again


@dataclass(slots=True)
class Outcome:
    """What came of a conversation."""

    events: Events
    answers: list[list[tuple[int, bytes]]]
    """The status and the body of each response, by connection."""
    messages: list[list[str | bytes]]
    """What came over each connection's WebSocket; a close frame is its code. Pongs are left out: several pings that
    come together need one only."""
    closed: list[bool]


class Talker(Peer):
    """A connection of a server whose handlers run meanwhile."""

    runtime: Stepper

    def flush(self) -> None:
        self.runtime.step()
        super().flush()


def replay(conversation: Conversation, cut: Callable[[bytes], Iterable[bytes]] | None = None) -> Outcome:
    """Says everything again, each step cut into pieces, and returns what came of it. Nothing may be left behind."""
    clock = Clock()
    environment = Environment(clock=clock, wall=clock, ids=ids(), entropy=bytes, jitter=lambda: 0.0)
    runtime = Stepper(environment)
    engine_config, config = make_configs(dict(conversation.options))
    io = Server(runtime, engine_config=engine_config, config=config)
    events: Events = {}
    furnish(io, events)
    wire = ServerWire(io)
    peers: dict[int, Talker] = {}
    for step in conversation.steps:
        peer = peers.get(step.connection)
        if peer is None:
            peer = peers[step.connection] = Talker(wire, io, clock)
            peer.runtime = runtime
        if step.pause:
            peer.advance(step.pause)
        if step.data is None:
            peer.end()
        else:
            peer.send(step.data, cut)
        for each in peers.values():
            each.pump()
    assert runtime.reports == []
    assert io.engine.sessions == {}
    read = [read_answers(peer.sent) for peer in peers.values()]
    return Outcome(
        events,
        [[(answer.status, answer.body) for answer in answers] for answers, _ in read],
        [messages_of(rest) for _, rest in read],
        [peer.closed for peer in peers.values()],
    )


def messages_of(data: bytes) -> list[str | bytes]:
    """Reads the frames of a server apart."""
    messages: list[str | bytes] = []
    while data:
        first, size, at = data[0], data[1], 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        body, data = data[at : at + size], data[at + size :]
        assert len(body) == size, "a frame is not whole"
        if first == 0x81:
            messages.append(body.decode())
        elif first == 0x82:
            messages.append(body)
        elif first == 0x88:
            messages.append(f"closed {int.from_bytes(body[:2], 'big')}")
        else:
            assert first == 0x8A
    return messages
