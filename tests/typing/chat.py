"""A chat whose events are declared once, used as it should be: no type checker may find anything in it."""

# pyright: strict

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NewType, NotRequired, TypedDict, assert_type

from sioproto import Ack, AnyEvent, BroadcastAnswers, Event, InvalidPayload, Namespace, Pending, Socket, data_of

if TYPE_CHECKING:
    from sioproto import SocketLike
    from sioproto.app import Client
    from sioproto.socketio import ClientSocket
    from sioproto_asyncio import Server


class Picture(TypedDict):
    """A payload of one object."""

    title: str
    data: bytes
    by: NotRequired[str]


UserId = NewType("UserId", str)


def checked(event: AnyEvent, args: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(args) != len(event.types):
        raise InvalidPayload(f"{event.name} takes {len(event.types)} arguments", {"error": "wrong number"})
    return args


message = Event("message", str, int)
ask = Event("ask", str, ack=int)
typing = Event("typing")
ready = Event("ready", ack=bool)
picture = Event("picture", Picture, list[str], ack=tuple[str, int])
note = Event[None, str | None]("note", types=(str | None,))
rated = Event("rated", float, validate=checked)
long = Event("long", str, str, str, str, str, str, ack=int, validate=lambda event, args: args)
many = Event[int, str, int, float, bool, bytes, list[int], dict[str, str], str]("many", types=(str,) * 8, ack=int)
who = Event[str | None, UserId, Literal["here", "away"]]("who", types=(UserId, str), ack=str | None)

assert_type(message, Event[None, str, int])
assert_type(ask, Event[int, str])
assert_type(picture, Event[tuple[str, int], Picture, list[str]])
assert_type(rated, Event[None, float])


class Data(TypedDict, total=False):
    """What is kept of a client."""

    user: str
    visits: int


def remember(socket: Socket, other: SocketLike) -> None:
    data = data_of(socket, Data)
    assert_type(data, Data)
    data["visits"] = data.get("visits", 0) + 1
    assert_type(data_of(other, Data).get("user"), str | None)


def traced(
    handler: Callable[[Socket, str], Coroutine[Any, Any, int]],
) -> Callable[[Socket, str], Awaitable[int]]:
    return handler


class Bot:
    def said(self, socket: Socket, text: str, number: int = 0, *more: object) -> None: ...

    async def asked(self, socket: Socket, text: str, *, ack: Ack | None) -> None: ...

    def pictured(self, socket: Socket, picture: Picture, tags: list[str], name: str) -> tuple[str, int]:
        return picture.get("by", name), len(tags)


# A server's handlers get the socket first


def serve(io: Server, rooms: Namespace, socket: Socket) -> None:
    @io.on(message)
    def said(socket: Socket, text: str, number: int) -> None:
        io.to("room").emit(message, text, number)

    @io.on(message)
    async def said_later(socket: Socket, text: str, number: int) -> None:
        socket.broadcast.emit(message, text, number)

    @io.on(ask)
    def asked(socket: Socket, text: str) -> int:
        return len(text)

    @rooms.on(ask, concurrent=True)
    async def asked_later(socket: Socket, text: str) -> int:
        return await socket.timeout(1).emit_with_ack(ask, text)

    @io.on(ask)
    def by_hand(socket: Socket, text: str, *, ack: Ack | None) -> None:
        if ack is not None:
            ack(len(text))

    @rooms.once(message)
    async def by_hand_later(socket: Socket, text: str, number: int, *, ack: Ack | None) -> None:
        said(socket, text, number)
        await said_later(socket, text, number)

    @io.on(long)
    def long_one(socket: Socket, a: str, b: str, c: str, d: str, e: str, f: str, *, ack: Ack | None) -> None: ...

    @io.on(typing)
    def typed(socket: Socket) -> None: ...

    @io.on(note)
    def noted(socket: Socket, text: str | None = None) -> None: ...

    @io.on(picture)
    def any_number(socket: Socket, *args: object) -> tuple[str, int]:
        return "", len(args)

    @io.on(many)
    def many_of_them(
        socket: Socket, a: str, b: int, c: float, d: bool, e: bytes, f: list[int], g: dict[str, str], h: str
    ) -> int:
        return b

    @io.on(many)
    async def many_by_hand(
        socket: Socket, a: str, b: int, c: float, d: bool, e: bytes, *rest: object, ack: Ack | None
    ) -> None: ...

    @io.on(who)
    def found(socket: Socket, user: UserId, state: str) -> str | None:
        return user if state == "here" else None

    @io.on(ask)
    @traced
    async def traced_one(socket: Socket, text: str) -> int:
        return len(text)

    def answers(socket: Socket, text: str, *, ack: Ack | None = None) -> None: ...

    async def answers_alone(text: str, *, ack: Ack | None) -> str:
        return text

    def plain(socket: Socket, text: str) -> None: ...

    @socket.on(message)
    def alone(text: str, number: int) -> None: ...

    @socket.once(ask)
    async def alone_by_hand(text: str, *, ack: Ack | None) -> None: ...

    assert_type(said, Callable[[Socket, str, int], None])
    assert_type(asked_later, Callable[[Socket, str], Coroutine[Any, Any, int]])
    io.on(message, said)
    rooms.once(message, said_later)
    io.on(ask, answers)
    rooms.once(ask, answers)
    socket.on(ask, answers_alone)
    io.on(message, Bot().said)
    io.on(ask, Bot().asked)
    io.on(picture, partial(Bot().pictured, name="Ada"))
    io.on(ask, lambda socket, text: len(text))
    socket.on(ask, lambda text: len(text))
    io.off(message, said)
    rooms.off(ask)
    socket.off(typing)
    io.on("plain", plain)(socket, "hi")
    io.on("message", plain, wire=True)


# Sending


def send(io: Server, rooms: Namespace, socket: Socket, other: SocketLike) -> None:
    io.emit(message, "hi", 1)
    io.emit("message", "hi", 1, None)
    rooms.emit(typing)
    io.to("room").except_("hall").emit(picture, {"title": "cat", "data": b""}, [])
    socket.emit(note, None)
    socket.emit(rated, 5)
    socket.volatile.emit(message, "hi", True)
    socket.to("room").volatile.emit(ask, "?")
    other.emit(message, "hi", 1)
    socket.emit(picture, {"title": "cat", "data": b"", "by": "Ada"}, ["cat"])
    socket.emit(who, UserId("ada"), "here")
    io.local.emit(many, "", 1, 1.0, True, b"", [1], {}, "")
    for event in (message, ask, many):
        io.emit(event.name, 1)
    assert_type(socket.emit_with_ack(ask, "?"), Pending[int])
    assert_type(socket.emit_with_ack(message, "hi", 1), Pending[None])
    assert_type(socket.timeout(1).emit_with_ack(ready), Pending[bool])
    assert_type(other.emit_with_ack(picture, {"title": "", "data": b""}, ["a"]), Pending[tuple[str, int]])
    assert_type(io.emit_with_ack(ask, "?"), Pending[BroadcastAnswers[int]])
    assert_type(io.to("room").timeout(1).emit_with_ack(ask, "?"), Pending[BroadcastAnswers[int]])
    assert_type(socket.emit_with_ack("ask", "?"), Pending[Any])
    assert_type(io.emit_with_ack("ask", "?"), Pending[BroadcastAnswers[Any]])


# The client's handlers get the arguments alone


async def connect(client: Client, socket: ClientSocket) -> None:
    @client.on(message)
    def said(text: str, number: int) -> None: ...

    @client.once(ask)
    async def asked(text: str) -> int:
        return len(text)

    @socket.on(message)
    def by_hand(text: str, number: int, *, ack: Ack | None) -> None: ...

    @client.once(message)
    async def by_hand_later(text: str, number: int, *, ack: Ack | None) -> None:
        by_hand(text, number, ack=ack)

    async def answers(text: str, *, ack: Ack | None) -> None: ...

    client.on(message, said)
    client.once(ask, answers)
    socket.on(ask, answers)
    await by_hand_later("hi", 1, ack=None)
    client.off(message)
    client.emit(message, "hi", 1)
    client.emit("message", 1)
    client.volatile.emit(typing)
    answer = await client.emit_with_ack(ask, "?")
    assert_type(answer, int)
    assert_type(socket.timeout(1).emit_with_ack(picture, {"title": "", "data": b""}, []), Pending[tuple[str, int]])
