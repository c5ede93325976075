"""The chat with mistakes in it: a type checker has to find each in its line, and nothing else.

The comment behind a mistake says what is wrong.
"""

# pyright: strict

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sioproto import Ack, Event, Socket, data_of
from tests.typing.chat import Data, ask, many, message, note, picture, ready, typing, who

if TYPE_CHECKING:
    from sioproto import Namespace, SocketLike
    from sioproto.app import Client
    from sioproto_asyncio import Server


def declared() -> None:
    Event(5)  # error: a name is a str
    Event("note", 5)  # error: a type is no value
    Event("note", str, ack=5)  # error: nor is that of the answer
    Event("note", validate=lambda args: args)  # error: it gets the event, too
    message.name = "other"  # error: it does not change


def sent(io: Server, rooms: Namespace, socket: Socket, other: SocketLike, client: Client) -> None:
    io.emit(massage, "hi", 1)  # error: no event is called that
    io.emit(message, "hi")  # error: an argument is missing
    io.emit(message, "hi", 1, 2)  # error: one too many
    io.to("room").emit(message, 1, "hi")  # error: the wrong way round
    rooms.emit(typing, "me")  # error: it takes none
    socket.emit(message, "hi", "1")  # error: a str for an int
    socket.volatile.emit(note, 5)  # error: neither str nor None
    socket.broadcast.emit(picture, {"title": "cat"}, [])  # error: the data is missing
    other.emit(message)  # error: both are missing
    client.emit(message, None, 1)  # error: None for a str
    client.timeout(1).emit(ready, True)  # error: that is its answer
    socket.emit(picture, {"title": "cat", "data": "cat"}, [])  # error: a str for the data
    socket.emit(picture, {"title": "cat", "data": b""}, [1])  # error: an int for a tag
    socket.emit(who, "ada", "here")  # error: a str for a user
    io.local.emit(many, "", 1, 1.0, True, b"", [1], {}, 1)  # error: the eighth is a str
    io.in_("room").volatile.emit(many, "", 1, 1.0, True, b"", [1], {})  # error: the eighth is missing
    io.to(typing).emit(typing)  # error: no room
    socket.emit(message, "hi", number=1)  # error: arguments have no names
    socket.emit(5)  # error: no event


async def answered(io: Server, socket: Socket, client: Client) -> None:
    text: str = await socket.emit_with_ack(ask, "?")  # error: the answer is an int
    (await client.emit_with_ack(ask, "?")).upper()  # error: the same
    title, number, more = await socket.emit_with_ack(picture, {"title": "", "data": b""}, [])  # error: they are two
    answers: dict[str, str] = (await io.emit_with_ack(ask, "?")).answers  # error: each is an int
    len(await client.emit_with_ack(message, "hi", 1))  # error: only a receipt
    await socket.emit_with_ack(ask)  # error: the question is missing
    await socket.timeout(1).emit_with_ack(ask, 1)  # error: an int for a str
    await io.to("room").emit_with_ack(ready, 1)  # error: it takes none


def handled(io: Server, rooms: Namespace, socket: Socket, client: Client) -> None:
    @io.on(message)  # error: the number is missing
    def fewer(socket: Socket, text: str) -> None: ...

    @io.on(message)  # error: one too many
    def more(socket: Socket, text: str, number: int, other: int) -> None: ...

    @io.on(message)  # error: the number is no str, async
    async def mistyped(socket: Socket, text: str, number: str) -> None: ...

    @io.on(message)  # error: the socket is missing
    def alone(text: str, number: int) -> None: ...

    @socket.on(message)  # error: here there is no socket
    def not_alone(socket: Socket, text: str, number: int) -> None: ...

    @client.on(message)  # error: nor here
    async def not_alone_later(socket: Socket, text: str, number: int) -> None: ...

    @io.on(ask)  # error: the answer is no str
    def misanswered(socket: Socket, text: str) -> str:
        return text

    @rooms.on(ask)  # error: the answer is no str
    async def misanswered_later(socket: Socket, text: str) -> str:
        return text

    @io.once(ask)  # error: it is not answered
    def unanswered(socket: Socket, text: str) -> None: ...

    @io.on(message)  # error: the number is no str
    def mistyped_by_hand(socket: Socket, text: str, number: str, *, ack: Ack | None) -> None: ...

    @io.on(message)  # error: the number is missing
    async def fewer_by_hand(socket: Socket, text: str, *, ack: Ack | None) -> None: ...

    @io.on(message)  # error: nobody asks for that
    def more_keywords(socket: Socket, text: str, number: int, *, other: int) -> None: ...

    @client.on(ask)  # error: there may be no ack
    def careless(text: str, *, ack: Ack) -> None: ...

    def plain(socket: Socket, text: str) -> int:
        return len(text)

    def by_hand(socket: Socket, text: str, number: int, *, ack: Ack | None) -> None: ...

    async def by_hand_alone(text: int, *, ack: Ack | None) -> None: ...

    @io.on(many)  # error: an int for the eighth, by hand
    def mistyped_eighth(
        socket: Socket,
        a: str,
        b: int,
        c: float,
        d: bool,
        e: bytes,
        f: list[int],
        g: dict[str, str],
        h: int,
        *,
        ack: Ack | None,
    ) -> None: ...

    @io.on(who)  # error: the answer may be no int
    async def misfound(socket: Socket, user: str, state: str) -> int | None: ...

    io.on(ask, by_hand)  # error: it takes no number
    rooms.once(ask, by_hand)  # error: nor once
    socket.on(ask, by_hand_alone)  # error: an int for a str, by hand
    client.once(ask, by_hand_alone)  # error: nor on a client
    io.on(message, plain)  # error: no handler of that event
    socket.once(ask, plain)  # error: here there is no socket
    io.on(ask, lambda socket: 1)  # error: the text is missing
    io.on(message, wire=True)  # error: it is about the wire anyway
    io.off(5)  # error: no event
    rooms.on(message, 5)  # error: no handler
    io.on("plain", 5)  # error: no handler
    kept: Any = io.on("plain", plain)
    kept(1, 2, 3)


def remembered(socket: Socket) -> None:
    data = data_of(socket, Data)
    data["users"] = "Ada"  # error: no such key
    data["visits"] = "1"  # error: a str for an int, again
    data_of(socket, int)  # error: no dict
