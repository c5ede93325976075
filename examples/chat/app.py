"""The chat's handlers. `register(io)` puts them on a server, whichever runtime it is for.

They are plain functions and wait for nothing, so every binding can run them. Where handlers run on threads, those of
different people run side by side; what they share is the chat, so each takes its lock. They trust nothing a client
sends: any argument may be missing, of the wrong type or too many. What is refused is refused in the acknowledgement,
which is `{"ok": false, "code": str, "error": str}`; otherwise it is `{"ok": true, ...}` with what the table says.

A place to talk is written `where`: "#lobby" is a room, "@Ada" a person. Whoever gets a private message finds its sender
there, so that `where` always names the conversation as the receiver sees it.

From the page                                   Acknowledgement
    (connect)  auth = {name, token}                 connect_error: message, data = {code}
    join       room                                 room, people: [name], history: [entry]
    leave      room                                 room
    message    where, text, id                      at
    picture    where, bytes, id                     at, type
    typing     where, bool                          none is needed; sent volatile

To the page
    welcome    {name, limits, rooms, lobby: {room, people, history}}    once for each connection
    rooms      [{room, people: number}]                                 whenever one of them changes
    joined     {room, name, at}                                         to the others in the room
    left       {room, name, at}
    message    {where, from, id, at, text}
    picture    {where, from, id, at, type, data: bytes}
    typing     {where, name, on}
    replaced   {message}                                                the name went to a newer connection
    refused    {message, code}                                          the name was lost between check and entry

An `entry` of a room's history is a `message`, or a `picture` without its `data`. `id` is made up by the page: sent
again with the same id, a message is acknowledged again and shown once. `token` is a secret of the browser tab. `at` is
in milliseconds since 1970.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from sioproto import ConnectError
from state import (
    LOBBY,
    NAME_LENGTH,
    PICTURE_BYTES,
    TEXT_LENGTH,
    Chat,
    Entry,
    Person,
    Refused,
    Room,
    clean_id,
    clean_name,
    clean_room,
    clean_text,
    picture_type,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sioproto import Socket
    from sioproto.app import Server

P = ParamSpec("P")
R = TypeVar("R")
Answer = dict[str, object]


def register(io: Server) -> None:
    """Puts the chat on the main namespace of a server. The state lives as long as the server."""
    chat = Chat()
    alone = holding(chat.lock)

    @io.use
    @alone
    def check(socket: Socket) -> None:
        """Refuses a name before its owner gets in; the page shows the reason beside the field."""
        auth = socket.handshake.auth
        try:
            socket.data["name"], socket.data["token"] = chat.check(auth.get("name"), auth.get("token"))
        except Refused as no:
            raise ConnectError(str(no), {"code": no.code}) from None

    @io.on("connection")
    @alone
    def connected(socket: Socket) -> None:
        name, token = socket.data["name"], socket.data["token"]
        try:
            # Once more: somebody else may have come in by that name since the middleware looked.
            chat.check(name, token)
        except Refused as no:
            socket.emit("refused", {"message": str(no), "code": no.code})
            socket.disconnect(True)
            return
        before = chat.find(name)
        if before is not None:
            replace(before)
        person = socket.data["person"] = chat.enter(name, token, socket.id)
        lobby = enter(socket, person, LOBBY)
        limits = {"name": NAME_LENGTH, "text": TEXT_LENGTH, "picture": PICTURE_BYTES}
        socket.emit("welcome", {"name": name, "limits": limits, "rooms": chat.directory(), "lobby": lobby})

    @io.on("join")
    @alone
    @answered
    def join(socket: Socket, room: object = None, *_: object) -> Answer:
        return enter(socket, who(socket), clean_room(room))

    @io.on("leave")
    @alone
    @answered
    def leave(socket: Socket, room: object = None, *_: object) -> Answer:
        person, name = who(socket), clean_room(room)
        if name == LOBBY:
            raise Refused("lobby", "Everybody stays in the lobby.")
        if name in person.rooms:
            chat.leave(person, name)
            socket.leave(channel(name))
            gone(person, [name])
        return {"room": name}

    @io.on("message")
    @alone
    @answered
    def message(
        socket: Socket, where: object = None, text: object = None, message_id: object = None, *_: object
    ) -> Answer:
        return say(socket, where, message_id, "message", {"text": clean_text(text)})

    @io.on("picture")
    @alone
    @answered
    def picture(
        socket: Socket, where: object = None, data: object = None, message_id: object = None, *_: object
    ) -> Answer:
        return say(socket, where, message_id, "picture", {"type": picture_type(data)}, {"data": data})

    @io.on("typing")
    @alone
    @answered
    def typing(socket: Socket, where: object = None, on: object = None, *_: object) -> Answer:
        person = who(socket)
        place = target(person, where)
        told = {"where": seen_as(person, place), "name": person.name, "on": on is True}
        # Volatile: to a client that cannot take it now it would come too late to mean anything.
        socket.to(address(place)).volatile.emit("typing", told)
        return {}

    @io.on("disconnecting")
    @alone
    def leaving(socket: Socket, reason: str) -> None:
        person = socket.data.get("person")
        if person is not None:
            gone(person, chat.go(person))

    def enter(socket: Socket, person: Person, name: str) -> Answer:
        """Puts somebody into a room, tells those who are there, and returns what the newcomer needs to know."""
        new = name not in person.rooms
        room = chat.join(person, name)
        if new:
            socket.join(channel(name))
            socket.to(channel(name)).emit("joined", {"room": name, "name": person.name, "at": now()})
            io.emit("rooms", chat.directory())
        return {"room": name, "people": sorted(room.people, key=str.casefold), "history": list(room.history)}

    def gone(person: Person, rooms: list[str]) -> None:
        for name in rooms:
            io.to(channel(name)).emit("left", {"room": name, "name": person.name, "at": now()})
        if rooms:
            io.emit("rooms", chat.directory())

    def replace(before: Person) -> None:
        """Ends a tab's former connection: the tab came back, and the server had not yet seen it go."""
        gone(before, chat.go(before))
        old = io.sockets.sockets.get(before.socket_id)
        if old is not None:
            old.emit("replaced", {"message": "You are now using the chat in another tab."})
            old.disconnect(True)

    def say(
        socket: Socket, where: object, message_id: object, event: str, said: Entry, unkept: Entry | None = None
    ) -> Answer:
        """Passes a message or a picture on. `said` goes into the room's history, `unkept` does not."""
        person, mark = who(socket), clean_id(message_id)
        place = target(person, where)
        at = now()
        answer: Answer = {"at": at, **({"type": said["type"]} if "type" in said else {})}
        entry: Entry = {"where": seen_as(person, place), "from": person.name, "id": mark, "at": at, **said}
        if isinstance(place, Room):
            if place.remembers(person.name, mark):
                return answer
            place.history.append(entry)
        socket.to(address(place)).emit(event, entry | (unkept or {}))
        return answer

    def target(person: Person, where: object) -> Room | Person:
        """Returns the room or person that `where` names, if this person may talk there."""
        if isinstance(where, str) and where.startswith("#"):
            room = chat.rooms.get(where[1:])
            if room is None or room.name not in person.rooms:
                raise Refused("room", "You are not in this room any more.")
            return room
        if isinstance(where, str) and where.startswith("@"):
            name = clean_name(where[1:])
            other = chat.find(name)
            if other is None:
                raise Refused("gone", f"{name} is not here at the moment.")
            if other is person:
                raise Refused("self", "That is you.")
            return other
        raise Refused("where", "There is no such room or person.")


def holding(lock: AbstractContextManager[object]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Makes a handler hold a lock while it runs."""

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(handler)
        def held(*args: P.args, **kwargs: P.kwargs) -> R:
            with lock:
                return handler(*args, **kwargs)

        return held

    return decorate


def answered(handler: Callable[P, Answer]) -> Callable[P, Answer]:
    """Turns what a handler returns, or refuses, into the acknowledgement that the page expects."""

    @functools.wraps(handler)
    def answer(*args: P.args, **kwargs: P.kwargs) -> Answer:
        try:
            return {"ok": True, **handler(*args, **kwargs)}
        except Refused as no:
            return {"ok": False, "code": no.code, "error": str(no)}

    return answer


def who(socket: Socket) -> Person:
    person: Person | None = socket.data.get("person")
    if person is None:
        raise Refused("unknown", "You are not in the chat. Please reload the page.")
    return person


def channel(room: str) -> str:
    """Names the Socket.IO room of a chat room.

    The prefix matters: every socket is alone in a Socket.IO room named by its id, and without the prefix somebody could
    open a chat room by that name and read another person's private messages.
    """
    return f"room:{room}"


def address(place: Room | Person) -> str:
    return channel(place.name) if isinstance(place, Room) else place.socket_id


def seen_as(sender: Person, place: Room | Person) -> str:
    """Returns `where` as the receivers see it: a private message belongs to the conversation with its sender."""
    return f"#{place.name}" if isinstance(place, Room) else f"@{sender.name}"


def now() -> int:
    return int(time.time() * 1000)
