"""What holds for every server and client at every moment, whatever the application does and the network does to it.

 1. Messages of one side are seen by the other in the order sent, each at most once; never those that a side says to
    be unsent when it ends.
 2. Nothing is delivered to a socket before it is connected, nor after its end was told.
 3. Connect and disconnect alternate; a session ends once; whatever is neither open nor closed has a deadline.
 4. Every acknowledgement that is awaited has a deadline or a connection that it ends with.
 5. An upgrade loses, repeats and reorders nothing; a failed one leaves polling as it was.
 6. At most one poll and one POST of a session are in hand; an answered one is not.
 7. What is buffered is within its limit.
 8. Who is in a room is there, and nobody else; a room without members is none.
 9. Where everything is quiet, nothing is left behind that could be sent.
12. A world that was closed holds no session, coroutine, timer or connection.

(10 and 11, the same transcript for the same seed and the gap of a recovered socket, are not about one moment.) The
functions here look at what is there and yield what is wrong, as the number and the facts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sioproto.engineio.client_watch import Watch
from sioproto.engineio.states import State
from sioproto.socketio.acks import BroadcastAck, SocketAck
from sioproto.socketio.adapter import MemoryAdapter
from sioproto.socketio.socket import SocketState
from sioproto.testing.clock import owner_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sioproto.engineio.server import EngineServer
    from sioproto.engineio.session import Session
    from sioproto.socketio.namespace import Namespace
    from sioproto.socketio.server import SocketServer
    from sioproto.socketio.socket import Socket
    from sioproto.socketio.socket_client import SocketClient
    from sioproto.timers import Timer, Timers

Breach = tuple[int, str]

# As globals, because reaching a member through its enum costs several times as much.
CLOSED = State.CLOSED
CONNECTED, DISCONNECTED = SocketState.CONNECTED, SocketState.DISCONNECTED

PROBED = (State.PROBED, State.PROBED_CLOSING)
PROBES = (State.PROBING, *PROBED)
CLOSINGS = (State.POLLING_CLOSING, State.PROBED_CLOSING, State.WEBSOCKET_CLOSING)
LINKED = (State.WEBSOCKET, State.WEBSOCKET_CLOSING)

QUIET_TIMERS = ("ping", "pong", "upgrade", "upgrade noop", "close")


def session_breaches(session: Session, limit: int) -> Iterator[Breach]:
    """Yields what is wrong with a session, whatever is under way; ``limit`` is ``max_send_buffer``."""
    state = session.state
    if session.open == (state is CLOSED or state in CLOSINGS):
        yield 3, f"{name(session)} is {state.name} and {'open' if session.open else 'not open'}"
    if (session.link is not None) != (state in LINKED):
        yield 5, f"{name(session)} is {state.name} and has {'a' if session.link else 'no'} WebSocket"
    if (session.probe is not None) != (state in PROBES):
        yield 5, f"{name(session)} is {state.name} and has {'a' if session.probe else 'no'} candidate"
    for exchange in (session.polling.poll, session.polling.post):
        if exchange is not None and exchange.response is not None:
            yield 6, f"{name(session)} holds a {exchange.request.method} that is answered"
    if session.open and session.queued != sum(frame.size for frame in session.outbox):
        yield 7, f"{name(session)} counts {session.queued} bytes in its outbox, which holds others"
    if session.weight > limit and not session.writable and not session.dirty:
        yield 7, f"what waits for {name(session)} weighs {session.weight} bytes, more than {limit}"


def engine_breaches(engine: EngineServer, armed: dict[str, int]) -> Iterator[Breach]:
    """Yields what is wrong with a server's sessions when everything is quiet; ``armed`` are its living timers."""
    config = engine.config
    counts = dict.fromkeys(QUIET_TIMERS, 0)
    for sid, session in engine.sessions.items():
        yield from session_breaches(session, config.max_send_buffer)
        state = session.state
        if state is CLOSED or session.id != sid:
            yield 3, f"{name(session)} is {state.name} and still known as {sid}"
        if session.dirty:
            yield 9, f"{name(session)} was not flushed"
        if session.open and session.outbox and session.writable:
            yield 9, f"{len(session.outbox)} packets for {name(session)} were left behind"
        counts["pong" if session.heartbeat.awaits_pong else "ping"] += session.open
        counts["upgrade"] += state in PROBES
        counts["upgrade noop"] += state in PROBED
        counts["close"] += state in CLOSINGS
    for label, count in counts.items():
        if armed.get(label, 0) != count:
            yield 3, f"{armed.get(label, 0)} timers {label!r} run where {count} should"


def socket_breaches(core: SocketServer, armed: dict[str, int]) -> Iterator[Breach]:
    """Yields what is wrong with a server's sockets when everything is quiet; ``armed`` are its living timers."""
    config = core.config
    clients = [session.client for session in core.engine.sessions.values() if session.client is not None]
    strangers = sum(client.timer is not None for client in clients)
    for label, count in (("connect", strangers), ("disconnecting", len(core._leaving))):
        if armed.get(label, 0) != count:
            yield 3, f"{armed.get(label, 0)} timers {label!r} run where {count} should"
    for session in core.engine.sessions.values():
        client = session.client
        if client is None:
            continue
        if len(client.sockets) + len(client.waiting) > config.max_namespaces:
            yield 7, f"{name(session)} is in {len(client.sockets)} namespaces"
        for key, socket in client.sockets.items():
            if socket.namespace.name != key or socket.state is not CONNECTED:
                yield 3, f"{socket!r} is kept under {key} by {name(session)}"
    for namespace in core.namespaces.values():
        yield from namespace_breaches(core, namespace)


def namespace_breaches(core: SocketServer, namespace: Namespace) -> Iterator[Breach]:
    """Yields what is wrong with the sockets of a namespace and their rooms."""
    for sid, socket in namespace.sockets.items():
        if socket.id != sid or not socket.connected:
            yield 3, f"{socket!r} is kept under {sid} in {namespace.name}"
        elif socket.state is CONNECTED and socket.client.sockets.get(namespace.name) is not socket:
            yield 3, f"{socket!r} is unknown to its connection"
        yield from ack_breaches(socket, core.config.max_acks)
    adapter = namespace.adapter
    if not isinstance(adapter, MemoryAdapter):
        return
    for room, members in adapter.rooms.items():
        if not members:
            yield 8, f"the room {room!r} in {namespace.name} has no members"
        for socket in members:
            if room not in adapter.sids.get(socket, ()):
                yield 8, f"{socket!r} is in the room {room!r} and does not know of it"
    for socket, rooms in adapter.sids.items():
        if socket.state is DISCONNECTED:
            yield 8, f"{socket!r} is still in {len(rooms)} rooms"
        if len(rooms) > core.config.max_rooms + 1:
            yield 7, f"{socket!r} is in {len(rooms)} rooms"
        for room in rooms:
            if socket not in adapter.rooms.get(room, ()):
                yield 8, f"{socket!r} thinks that it is in the room {room!r}"


def ack_breaches(socket: Socket, limit: int) -> Iterator[Breach]:
    """Yields what is wrong with the answers that a socket owes."""
    acks = socket._acks
    if acks is None:
        return
    if len(acks) > limit:
        yield 7, f"{len(acks)} answers are awaited from {socket!r}"
    for ack_id, waiter in acks._waiters.items():
        timer: Timer | None = None
        if isinstance(waiter, SocketAck):
            timer = waiter.timer
        elif isinstance(waiter, BroadcastAck):
            timer = waiter._timer
        else:
            continue
        if timer is None or timer.owner is None:
            yield 4, f"answer {ack_id} of {socket!r} is awaited for ever"


def client_breaches(core: SocketClient) -> Iterator[Breach]:
    """Yields what is wrong with a client's sockets."""
    for socket in core.sockets.values():
        if socket.buffered > core.config.max_buffered:
            yield 7, f"{socket.buffered} events wait in {socket!r}"
        sender = socket._sender
        if len(sender._acks) > core.config.max_acks:
            yield 7, f"{len(sender._acks)} answers are awaited by {socket!r}"
        if socket.connected != (socket.id is not None):
            yield 3, f"{socket!r} has the id {socket.id}"
        if not socket.connected:
            unsent = sender._buffer.asking()
            if any(ack_id not in unsent for ack_id in sender._acks._waiters):
                yield 4, f"{socket!r} is not connected, and still waits for an answer to what it sent before"


def timer_breaches(timers: Timers) -> Iterator[Breach]:
    """Yields the timers that run although what they were to limit is over."""
    for queue in (*(lane._queue for lane in timers._lanes), timers._heap._heap):
        for timer in queue:
            owner = owner_of(timer) if timer.owner is not None else None
            if isinstance(owner, SocketAck | BroadcastAck) and owner._pending.done:
                yield 4, f"a timer runs for an answer that is there: {owner._ack_id}"
            elif isinstance(owner, Watch) and owner._client.ready_state == "closed":
                yield 3, "a timer runs for the ping of a connection that is closed"


def name(session: Session) -> str:
    """Returns what a session is called in a report."""
    return f"session {session.id}"
