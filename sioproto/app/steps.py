"""Which handlers are called for what happened, in which order, and who of them answers.

A job is something that happened to a socket; a step is one handler to call for it. This module knows what a job means;
``dispatch`` runs the steps.

The rule not to be broken: names on the wire and names of ours never meet. What a peer sends reaches wire handlers only.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sioproto.errors import InvalidPayload, LocalProtocolError, MissingArguments
from sioproto.handlers import Listener
from sioproto.socketio.acks import Ack
from sioproto.socketio.client_events import (
    ClientConnected,
    ClientDisconnected,
    ConnectFailed,
    EventArrived,
    Reconnection,
)
from sioproto.socketio.client_socket import ClientSocket
from sioproto.socketio.events import (
    DecodeFailed,
    DisconnectingAsked,
    EventReceived,
    SocketConnected,
    SocketDisconnected,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from sioproto.event import AnyEvent
    from sioproto.guard import Guard
    from sioproto.socketio.socket import Socket

ServerJob = SocketConnected | EventReceived | DecodeFailed | DisconnectingAsked | SocketDisconnected
"""What happens to a server's socket."""

ClientJob = ClientConnected | ConnectFailed | EventArrived | ClientDisconnected | Reconnection
"""What happens to a client's socket."""

Job = ServerJob | ClientJob
"""Something that is handled in the lane of its socket."""

Verdicts = dict["AnyEvent", tuple[Any, ...] | Exception]
"""What declared events say of the arguments that came: what handlers get, or why there are none."""


class Step:
    """One handler to call, and what to do with what comes of it."""

    __slots__ = ("args", "gate", "listener", "reply")

    def __init__(self, listener: Listener, args: tuple[Any, ...], reply: Ack | None = None, gate: bool = False) -> None:
        self.listener = listener
        self.args = args
        self.reply = reply
        self.gate = gate
        """Whether it is a middleware: what it raises keeps the rest from being called, and is not a failure."""


class ConnectionAnswers:
    """Acknowledges over the connection that an event of the server came by, and no other."""

    __slots__ = ("_connection", "_socket")

    def __init__(self, socket: ClientSocket, connection: int) -> None:
        self._socket = socket
        self._connection = connection

    @property
    def guard(self) -> Guard:
        """What commands enter."""
        return self._socket.client.guard

    def acknowledge(self, ack_id: int, args: Sequence[Any]) -> bool:
        """Answers an event. Returns False when that connection is gone."""
        return self._socket.acknowledge(ack_id, args, self._connection)


def server_steps(job: ServerJob) -> Generator[Step, None, None]:
    """Yields the handlers of a server with their arguments; what a middleware raised is thrown in here."""
    socket = job.socket
    if isinstance(job, EventReceived):
        yield from _event_steps(socket, job)
    elif isinstance(job, SocketConnected):
        yield from _lifecycle_steps(socket, "connection")
    elif isinstance(job, DecodeFailed):
        yield from _lifecycle_steps(socket, "error", job.error)
    else:
        name = "disconnecting" if isinstance(job, DisconnectingAsked) else "disconnect"
        yield from _lifecycle_steps(socket, name, job.reason, job.description)


def lone_server_step(job: ServerJob) -> Step | None:
    """Returns the step of an ordinary event, which one handler of the namespace takes; None for all else.

    It says the same as ``server_steps`` and is there because nearly all jobs are such: a generator costs more than the
    rest of the way.
    """
    if not isinstance(job, EventReceived):
        return None
    socket, name = job.socket, job.args[0]
    if socket.middlewares or not socket.unheeded or socket.expelled or not isinstance(name, str):
        return None
    listener = socket.namespace.lone_listener(name)
    if listener is None:
        return None
    reply = None if job.ack_id is None else Ack(socket, job.ack_id)
    return Step(listener, (socket, *job.args[1:]), reply)


def _event_steps(socket: Socket, job: EventReceived) -> Generator[Step, None, None]:
    if socket.expelled:
        return
    # On the wire a name may be a number, too; handlers are registered by its text.
    name, args = str(job.args[0]), job.args[1:]
    namespace = socket.namespace
    reply = None if job.ack_id is None else Ack(socket, job.ack_id)
    for listener in namespace.catch_alls():
        yield Step(listener, (socket, name, *args))
    for listener in socket.catch_alls():
        yield Step(listener, (name, *args))
    try:
        for middleware in socket.middlewares:
            yield Step(middleware, (name, args), gate=True)
    except Exception as refusal:  # what the middleware raised: it goes to the socket's own error handlers
        yield from _lifecycle_steps(socket, "error", refusal)
        return
    if socket.expelled:
        return
    given = tuple(args)
    verdicts: Verdicts = {}
    reply = yield from _wire_steps(namespace.wire_listeners(name), (socket,), given, reply, verdicts, socket)
    if listeners := socket.wire_listeners(name):
        yield from _wire_steps(listeners, (), given, reply, verdicts, socket)


def _lifecycle_steps(socket: Socket, name: str, *args: Any) -> Generator[Step, None, None]:
    for listener in socket.namespace.lifecycle_listeners(name):
        yield Step(listener, (socket, *args))
    for listener in socket.lifecycle_listeners(name):
        yield Step(listener, args)


def _wire_steps(
    listeners: tuple[Listener, ...],
    first: tuple[Any, ...],
    args: tuple[Any, ...],
    reply: Ack | None,
    verdicts: Verdicts,
    socket: Socket | None = None,
) -> Generator[Step, None, Ack | None]:
    """Yields handlers with what they get, ``first`` and the arguments; returns the acknowledgement if it is still owed.

    An ``Event`` judges the arguments before the first of its handlers. If it rejects them, ``REJECTION`` is called in
    place of that handler and none of the others, and then whoever handles errors of ``socket``.
    """
    for listener in listeners:
        given = args
        if listener.event is not None:
            verdict = verdicts.get(listener.event)
            if verdict is None:
                verdict = verdicts[listener.event] = _judge(listener.event, args)
                if isinstance(verdict, Exception):
                    yield Step(REJECTION, (verdict,), reply)
                    reply = None
                    if socket is not None and isinstance(verdict, InvalidPayload):
                        yield from _lifecycle_steps(socket, "error", verdict)
            if isinstance(verdict, Exception):
                continue
            given = verdict
        yield Step(listener, (*first, *given), reply)
        # Of several handlers the first one answers; one that declares ``ack`` may always.
        if not listener.wants_ack:
            reply = None
    return reply


def _judge(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...] | Exception:
    """Returns the arguments that handlers get, or why there are none."""
    try:
        return event.validated(args)
    except (InvalidPayload, LocalProtocolError) as error:
        return error


def _reject(error: Exception, *, ack: Ack | None) -> None:
    """Answers for the handlers that are not called, and fails as one of them would."""
    if ack is not None and isinstance(error, InvalidPayload):
        answer = error.answer
        ack(*(answer if isinstance(answer, tuple) else () if answer is None else (answer,)))
    raise error


REJECTION = Listener(_reject)


def client_steps(job: ClientJob) -> Generator[Step, None, None]:
    """Yields the handlers of a client with their arguments."""
    socket = job.socket
    if isinstance(job, EventArrived):
        if job.connection > socket.left:
            name, args = str(job.args[0]), job.args[1:]
            for listener in socket.catch_alls():
                yield Step(listener, (name, *args))
            reply = None if job.ack_id is None else Ack(ConnectionAnswers(socket, job.connection), job.ack_id)
            yield from _wire_steps(socket.wire_listeners(name), (), tuple(args), reply, {})
        return
    if isinstance(job, ClientConnected):
        # By the time that its handlers run the socket may have lost its id again.
        name, args = "connect", [job.sid]
    elif isinstance(job, ClientDisconnected):
        name, args = "disconnect", [job.reason, job.description]
    elif isinstance(job, ConnectFailed):
        name, args = "connect_error", [job.error]
    else:
        name, args = job.stage, [*job.args]
    for listener in socket.lifecycle_listeners(name):
        yield Step(listener, tuple(args))


def lone_client_step(job: ClientJob) -> Step | None:
    """Returns the step of an ordinary event, which one handler takes; None for all else. See ``lone_server_step``."""
    if not isinstance(job, EventArrived):
        return None
    socket, name = job.socket, job.args[0]
    if job.connection <= socket.left or not isinstance(name, str):
        return None
    listener = socket.lone_listener(name)
    if listener is None:
        return None
    reply = None if job.ack_id is None else Ack(ConnectionAnswers(socket, job.connection), job.ack_id)
    return Step(listener, tuple(job.args[1:]), reply)


def missing(job: Job, listener: Listener, came: int) -> MissingArguments:
    """Returns what is told of an event with too few arguments for its handler."""
    name = getattr(listener.call, "__name__", "the handler")
    text = f"{name} takes {listener.least} arguments, and {came} came"
    if isinstance(job.socket, ClientSocket) and next(iter(inspect.signature(listener.call).parameters)) == "socket":
        text += "; a client's handlers get no socket"
    return MissingArguments(text)


def event_of(job: Job) -> str:
    """Returns what a job is about, for a report: the name of its event, not its content."""
    socket = job.socket
    name = socket.name if isinstance(socket, ClientSocket) else socket.namespace.name
    if isinstance(job, EventReceived | EventArrived):
        return f"event {str(job.args[0])!r} in {name}"
    return f"{type(job).__name__} in {name}"
