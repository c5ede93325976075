"""Plays a program in a world, and holds what came out against the model.

The methods of ``Play`` that a program names are what users, the application and the network may do. After the last step
the networks heal, and everybody who wants to be connected has to become so; then accounts are settled, and the world is
closed, which must leave nothing behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto.errors import ConnectError
from sioproto.testing.failures import WorldFailure
from sioproto.testing.network import Proxy
from sioproto.testing.swarm.model import Member, Model
from sioproto.testing.swarm.program import LATE, NAMESPACES
from sioproto.testing.world import World

if TYPE_CHECKING:
    from sioproto.pending import Pending
    from sioproto.socketio import Namespace, Socket
    from sioproto.testing.client import Client, ClientSocket
    from sioproto.testing.server import Server
    from sioproto.testing.swarm.program import Program

HEAL = 60.0
"""Seconds in which everybody who wants to be connected has to become so, once nothing is in the way any more."""
SETTLE = 40.0
"""Seconds after which nobody may wait for an answer any more."""


PLENTY = 1024 * 1024
"""Bytes of a send buffer that no program fills."""


class Surprise(WorldFailure):
    """What came out is not what the model says."""


def play(program: Program, wire: Any = None) -> Play:
    """Plays a program. Raises ``WorldFailure``, and whatever else the core lets out."""
    played = Play(program, wire)
    played.run()
    return played


class Play:
    """One program that is being played."""

    def __init__(self, program: Program, wire: Any = None) -> None:
        self.program = program
        self.world = World(program.seed, wire=wire, shuffle=program.shuffle)
        self.model = Model()
        self.numbers = 0
        self.jumped = False
        """Whether the clocks did."""
        self.banished: dict[int, None] = {}
        """The clients that the middleware refuses."""
        self.tainted: dict[int, None] = {}
        """The clients whose network repeated a request."""
        self.waiting: list[tuple[Pending[Any], int, ClientSocket]] = []
        """Answers to what is sent until it is acknowledged."""
        self.io = self.world.server(self._register, **program.server)
        self.clients = [self._make_client(number, options) for number, options in enumerate(program.clients)]

    def run(self) -> None:
        """Plays all steps, lets everything heal, and compares."""
        for step in self.program.steps:
            getattr(self, step.verb)(*step.args)
        self._heal()
        surprises = list(self.model.surprises({sid: True for name in NAMESPACES for sid in self.io.of(name).sockets}))
        if surprises:
            raise self.world._explained(Surprise("\n".join(surprises)))
        self.world.close()

    # Time

    def settle(self) -> None:
        """Lets everything happen that takes no time."""
        self.world.settle()

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.world.advance(seconds)

    def jump(self, seconds: float) -> None:
        """Lets the clocks jump."""
        self.jumped = True
        self.world.jump(seconds)

    # The network

    def cut(self, who: int) -> None:
        """Cuts the connections of a client."""
        self.clients[who].network.cut()

    def cut_after(self, who: int, size: int) -> None:
        """Cuts them after so many more bytes."""
        self.clients[who].network.cut_after(bytes=size)

    def lose(self, who: int) -> None:
        """Breaks the connection for the client, and the server does not notice."""
        client = self.clients[who]
        client.network.stall()
        if client.engine is not None:
            client.engine.lose_network()
        client.network.flow()

    def stall(self, who: int, direction: Any) -> None:
        """Lets nothing through, and nobody notice."""
        self.clients[who].network.stall(direction)

    def flow(self, who: int) -> None:
        """Lets everything through again."""
        self.clients[who].network.flow()

    def latency(self, who: int, seconds: float) -> None:
        """Says how long everything takes."""
        self.clients[who].network.latency = seconds

    def chunking(self, who: int, size: Any) -> None:
        """Says how many bytes arrive at a time."""
        self.clients[who].network.chunking = size

    def half_close(self, who: int) -> None:
        """Closes one half of the connections."""
        self.clients[who].network.half_close()

    def refuse(self, who: int) -> None:
        """Refuses new connections."""
        self.clients[who].network.refuse()

    def restore(self, who: int) -> None:
        """Lets new connections through."""
        self.clients[who].network.restore()

    def duplicate(self, who: int, method: Any) -> None:
        """Lets a request arrive twice."""
        self.clients[who].network.duplicate_next(method)
        for member in self.model.members.values():
            member.tainted = member.tainted or member.client == who
        self.tainted[who] = None

    def delay(self, who: int, method: Any, seconds: float) -> None:
        """Lets a request arrive late."""
        self.clients[who].network.delay_next(method, seconds)

    def proxy(self, who: int, timeout: float | None, websockets: bool) -> None:
        """Puts a proxy in the way."""
        self.clients[who].network.proxy = Proxy(timeout=timeout, websockets=websockets)

    # The users

    def connect(self, who: int, namespace: str, banished: bool) -> None:
        """Connects a client to a namespace; one that is banished is refused."""
        if banished:
            self.banished[who] = None
        else:
            self.banished.pop(who, None)
        self._socket(who, namespace).connect()

    def disconnect(self, who: int, namespace: str) -> None:
        """Leaves a namespace."""
        self._socket(who, namespace).disconnect()

    def say(self, who: int, namespace: str, times: int, binary: bool) -> None:
        """Sends events that nobody answers."""
        for _ in range(times):
            self._socket(who, namespace).emit("say", self._next(), *([bytes(16)] if binary else []))

    def ask(self, who: int, namespace: str, event: str) -> None:
        """Sends an event that a handler answers."""
        number = self._next()
        socket = self._socket(who, namespace)
        answer = socket.emit_with_ack(event, number)
        if self.program.clients[who].get("retries"):
            self.waiting.append((answer, number, socket))
        else:
            self.model.answers.append((answer, number))

    def enter(self, who: int, namespace: str, room: str) -> None:
        """Asks the server to be put into a room."""
        self._socket(who, namespace).emit("enter", room)

    def exit(self, who: int, namespace: str, room: str) -> None:
        """Asks the server to be taken out of a room."""
        self._socket(who, namespace).emit("exit", room)

    # The application

    def cast(
        self, namespace: str, to: tuple[str, ...], without: tuple[str, ...], sender: int | None, volatile: bool
    ) -> None:
        """Broadcasts, from a client's socket or from nobody's."""
        number = self._next()
        socket = None if sender is None else self._server_socket(sender, namespace)
        operator = (self.io.of(namespace).everybody if socket is None else socket.broadcast).to(*to).except_(*without)
        if volatile:
            operator.volatile.emit("whisper", number)
            return
        operator.emit("cast", number)
        self.model.owe(number, namespace, to, without if socket is None else (*without, socket.id))

    def tell(self, who: int, namespace: str, size: int, binary: bool) -> None:
        """Sends an event to one socket."""
        socket = self._server_socket(who, namespace)
        if socket is not None:
            number = self._next()
            socket.emit("cast", number, bytes(size) if binary else "x" * size)
            self.model.owe(number, namespace, (socket.id,), ())

    def poll(self, namespace: str, room: str | None, seconds: float) -> None:
        """Asks everybody, or a room."""
        number = self._next()
        operator = self.io.of(namespace).timeout(seconds)
        if room is not None:
            operator = operator.to(room)
        self.model.polls.append((operator.emit_with_ack("poll", number), number))

    def query(self, who: int, namespace: str, seconds: float | None) -> None:
        """Asks one socket."""
        socket = self._server_socket(who, namespace)
        if socket is not None:
            number = self._next()
            asking = socket if seconds is None else socket.timeout(seconds)
            answer = asking.emit_with_ack("poll", number)
            self.model.answers.append((answer, number))
            self.model.queries.append((answer, number, socket))

    def kick(self, who: int, namespace: str, close: bool) -> None:
        """Disconnects a socket."""
        socket = self._server_socket(who, namespace)
        if socket is not None:
            socket.disconnect(close)

    # The parties

    def _register(self, io: Server) -> None:
        for name in NAMESPACES:
            self._register_namespace(io, io.of(name))

    def _register_namespace(self, io: Server, namespace: Namespace) -> None:
        members = self.model.members

        def compare_rooms(socket: Socket) -> None:
            rooms = members[socket.id].rooms
            if sorted(socket.rooms) != sorted(rooms):
                raise Surprise(f"{socket!r} is in {sorted(socket.rooms)}, the model says {sorted(rooms)}")

        @namespace.use
        async def check(socket: Socket) -> None:
            who = socket.handshake.auth["who"]
            if who % 2:
                await io.sleep(0.03)
            if who in self.banished:
                raise ConnectError("banished", {"who": who})

        @namespace.on("connection")
        def connected(socket: Socket) -> None:
            who = socket.handshake.auth["who"]
            member = members.get(socket.id)
            self._compare_refusal(socket)
            if member is None or not socket.recovered:
                repeats = bool(self.program.clients[who].get("retries"))
                member = members[socket.id] = Member(who, namespace.name, socket.id, repeats)
                member.tainted = who in self.tainted
            member.present = True
            compare_rooms(socket)

        @namespace.on("disconnect")
        def disconnected(socket: Socket) -> None:
            members[socket.id].present = False
            if socket.rooms:
                raise Surprise(f"{socket!r} is gone, and still in {sorted(socket.rooms)}")

        @namespace.on("say")
        def said(socket: Socket, number: int) -> None:
            members[socket.id].heard.append(number)

        @namespace.on("echo")
        def echo(socket: Socket, number: int) -> int:
            return number

        @namespace.on("slow")
        async def slow(socket: Socket, number: int) -> int:
            await io.sleep(0.2 + number % 5)
            return number

        @namespace.on("lazy", concurrent=True)
        async def lazy(socket: Socket, number: int) -> int:
            await io.sleep(number % 3)
            return number

        @namespace.on("enter")
        def enter(socket: Socket, room: str) -> None:
            socket.join(room)
            if socket.connected:  # or on its way out, and may come back to what it is in then
                members[socket.id].rooms[room] = None
                compare_rooms(socket)

        @namespace.on("exit")
        def leave(socket: Socket, room: str) -> None:
            socket.leave(room)
            if socket.connected:  # or on its way out, and may come back to what it is in then
                members[socket.id].rooms.pop(room, None)
                compare_rooms(socket)

    def _compare_refusal(self, socket: Socket) -> None:
        """A client that asked for its socket got it, unless what was asked of the server gives it a reason."""
        recovery = self.program.server.get("recovery")
        refusal = socket.recovery_refused
        if refusal is None or recovery is None:
            return
        log = socket.namespace.log
        possible = {
            "lost": log is not None and log.dropped > 0,
            "too much": self.io.engine_config.max_send_buffer < PLENTY,
            # Late by itself, or because the clock jumped while it was asked.
            "store": "recovery_store" in self.program.server and (recovery.store_timeout < LATE or self.jumped),
            # After whose time, or that of others who are away, or on purpose.
            "unknown": True,
        }
        if not possible.get(refusal, False):
            raise Surprise(f"{socket!r} was not recovered: {refusal}")

    def _make_client(self, number: int, options: dict[str, Any]) -> Client:
        client = self.world.client(
            "/", auth={"who": number}, name=f"c{number}", record=False, connect=False, on_error=self._failed, **options
        )
        for name in NAMESPACES:
            socket = client.of(name, {"who": number})
            self._follow(socket)
        client.connect()
        return client

    def _follow(self, socket: ClientSocket) -> None:
        """Registers what a client does with what comes."""
        sids: list[str] = []

        @socket.on("connect")
        def connected(sid: str) -> None:
            sids.append(sid)

        @socket.on("cast")
        def cast(number: int) -> None:
            self.model.members[sids[-1]].got.append(number)

        @socket.on("whisper")
        def whisper(number: int) -> None:
            """It may be lost."""

        polled: dict[tuple[str, int], None] = {}

        @socket.on("poll")
        def poll(number: int) -> int:
            if (sids[-1], number) in polled and not self.model.members[sids[-1]].tainted:
                raise Surprise(f"{socket!r} was asked {number} twice")
            polled[sids[-1], number] = None
            return number

    def _failed(self, error: BaseException, where: str) -> None:
        """Takes what a client's handlers raise: only the end of retries, which has nobody to wait for it."""
        if "sent as often as allowed" not in where:
            raise error

    # The end

    def _heal(self) -> None:
        """Lets everybody come back, and waits for all answers."""
        self.banished.clear()
        self.world.settle()
        late = [number for answer, number, socket in self.model.queries if not (answer.done or socket.connected)]
        if late and "recovery" not in self.program.server:  # else the client may come back and answer
            raise self.world._explained(Surprise(f"answers are awaited of sockets that are gone: {late}"))
        for client in self.clients:
            network = client.network
            network.proxy = None
            network.chunking = None
            network.latency = 0.0
            network.restore()
        self.world.advance(HEAL)
        lost = [
            f"c{number} in {name}"
            for number, client in enumerate(self.clients)
            for name in NAMESPACES
            if (socket := client.of(name)).active and not socket.connected
        ]
        if lost:
            raise self.world._explained(
                Surprise(f"not connected {HEAL:g} seconds after all was well: {', '.join(lost)}")
            )
        self.world.advance(SETTLE)
        # What is sent until it is acknowledged waits for a connection as long as nobody wants one.
        self.model.answers += [row[:2] for row in self.waiting if row[2].connected or row[0].done]

    # Below this line: helpers

    def _next(self) -> int:
        self.numbers += 1
        return self.numbers

    def _socket(self, who: int, namespace: str) -> ClientSocket:
        return self.clients[who].of(namespace)

    def _server_socket(self, who: int, namespace: str) -> Socket | None:
        """Returns the server's socket of a client, as far as the application knows of one."""
        for sid, member in self.model.members.items():
            if member.client == who and member.namespace == namespace and member.present:
                socket = self.io.of(namespace).sockets.get(sid)
                if socket is not None and socket.accepted:
                    return socket
        return None
