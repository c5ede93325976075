"""Who is here and what was said: the chat's bookkeeping, which knows nothing of Socket.IO.

Everything a client can make larger has its limit here, at the top. Whatever a client sends is `object` until one of
the functions below has looked at it; what they refuse they refuse with a sentence meant for the person who typed it.

The rule: a name belongs to one person at a time, and a person is known by the secret token of their browser tab. That
is what lets a tab take its own name back when it returns before the server noticed that it had gone.
"""

from __future__ import annotations

import hmac
import re
import threading
import unicodedata
from collections import deque
from dataclasses import dataclass, field

LOBBY = "lobby"
PEOPLE_LIMIT = 500
ROOM_LIMIT = 50
ROOMS_PER_PERSON = 10
NAME_LENGTH = 24
TEXT_LENGTH = 2_000
PICTURE_BYTES = 1_000_000
HISTORY_LENGTH = 50

Entry = dict[str, object]
"""One message as it goes over the wire."""


class Refused(Exception):
    """Says no to something a person asked for. The text is shown to them; `code` is for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(slots=True, eq=False)
class Person:
    """Somebody who is here, with one connection."""

    name: str
    token: str
    socket_id: str
    rooms: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Room:
    """A room and the last things said in it. Pictures are remembered as having been sent, not kept."""

    name: str
    people: dict[str, Person] = field(default_factory=dict)
    history: deque[Entry] = field(default_factory=lambda: deque(maxlen=HISTORY_LENGTH))

    def remembers(self, name: str, message_id: str) -> bool:
        """Whether this message was said already: a page that saw no acknowledgement sends it again, same id."""
        return any(entry["from"] == name and entry["id"] == message_id for entry in self.history)


class Chat:
    """The people and rooms of one server."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        """Held by whoever reads or changes the rest, where there are several threads."""
        self.people: dict[str, Person] = {}
        self.rooms: dict[str, Room] = {LOBBY: Room(LOBBY)}

    def check(self, name: object, token: object) -> tuple[str, str]:
        """Returns the name and token to use, or refuses. Changes nothing."""
        clean, secret = clean_name(name), clean_id(token)
        owner = self.people.get(clean.casefold())
        if owner is not None and not hmac.compare_digest(owner.token, secret):
            raise Refused("taken", f"Somebody here is already called {owner.name}. Please choose another name.")
        if owner is None and len(self.people) >= PEOPLE_LIMIT:
            raise Refused("full", "The chat is full at the moment. Please try again later.")
        return clean, secret

    def enter(self, name: str, token: str, socket_id: str) -> Person:
        """Lets somebody in whose name is free; look first for the person who would have to `go`."""
        person = Person(name, token, socket_id)
        self.people[name.casefold()] = person
        return person

    def find(self, name: str) -> Person | None:
        return self.people.get(name.casefold())

    def go(self, person: Person) -> list[str]:
        """Forgets somebody and returns the rooms they were in; a second time there is nothing left to do."""
        if self.people.get(person.name.casefold()) is not person:
            return []
        del self.people[person.name.casefold()]
        rooms = sorted(person.rooms)
        for name in rooms:
            self.leave(person, name)
        return rooms

    def join(self, person: Person, name: str) -> Room:
        """Puts somebody into a room, which is made when it does not exist yet."""
        room = self.rooms.get(name)
        if name not in person.rooms and len(person.rooms) >= ROOMS_PER_PERSON:
            raise Refused("too-many", f"You are in {ROOMS_PER_PERSON} rooms already. Leave one of them first.")
        if room is None:
            if len(self.rooms) >= ROOM_LIMIT:
                raise Refused("too-many", "There are too many rooms already. Join one of them instead.")
            room = self.rooms[name] = Room(name)
        room.people[person.name] = person
        person.rooms.add(name)
        return room

    def leave(self, person: Person, name: str) -> None:
        """Takes somebody out of a room. The last to leave takes the room along, the lobby excepted."""
        person.rooms.discard(name)
        room = self.rooms.get(name)
        if room is not None:
            room.people.pop(person.name, None)
            if not room.people and name != LOBBY:
                del self.rooms[name]

    def directory(self) -> list[dict[str, object]]:
        """Every room with its number of people, the lobby first."""
        names = sorted(self.rooms, key=lambda name: (name != LOBBY, name))
        return [{"room": name, "people": len(self.rooms[name].people)} for name in names]


def clean_name(value: object) -> str:
    """Returns a person's name in the one form it is shown and compared in."""
    # Compatibility forms are folded so that two names which look alike are alike; what has no shape of its own
    # (control characters, direction marks, lone surrogates) is not in the list of what a name may consist of.
    name = " ".join(normal(value).split())
    if not name:
        raise Refused("empty", "Please enter a name.")
    if len(name) > NAME_LENGTH:
        raise Refused("long", f"A name has at most {NAME_LENGTH} characters.")
    fits = all(unicodedata.category(letter)[0] in "LMN" or letter in " -_.'" for letter in name)
    if not fits or not any(letter.isalnum() for letter in name):
        raise Refused("letters", "A name consists of letters, digits, spaces and - _ . '")
    return name


def clean_room(value: object) -> str:
    """Returns a room's name in its one form: lower case, words joined by hyphens, no leading #."""
    name = "-".join(normal(value).lstrip("# ").casefold().split())
    if not name:
        raise Refused("empty", "Please enter a name for the room.")
    if len(name) > NAME_LENGTH:
        raise Refused("long", f"A room's name has at most {NAME_LENGTH} characters.")
    fits = all(unicodedata.category(letter)[0] in "LMN" or letter in "-_" for letter in name)
    if not fits or not any(letter.isalnum() for letter in name):
        raise Refused("letters", "A room's name consists of letters, digits, - and _")
    return name


def normal(value: object) -> str:
    """Returns text in its normal form. Some characters grow in it, so what is far too long is cut off before."""
    return unicodedata.normalize("NFKC", value[: 4 * NAME_LENGTH]) if isinstance(value, str) else ""


def clean_text(value: object) -> str:
    """Returns a message's text without the white space around it."""
    if not isinstance(value, str) or not value.strip():
        raise Refused("empty", "There is nothing to send.")
    if len(value) > TEXT_LENGTH:
        raise Refused("long", f"A message has at most {TEXT_LENGTH} characters.")
    # JSON can spell half a surrogate pair, UTF-8 cannot: without this, one client's text could not be sent on.
    return value.strip().encode("utf-8", "replace").decode("utf-8")


def clean_id(value: object) -> str:
    """Returns an identifier a page has made up: a message's id or a tab's token."""
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9-]{8,64}", value):
        raise Refused("id", "The page sent something this server does not understand. Please reload it.")
    return value


def picture_type(data: object) -> str:
    """Returns the media type of a picture, judged by its first bytes: what a client claims is not looked at."""
    if not isinstance(data, bytes | bytearray) or not data:
        raise Refused("type", "That is not a picture.")
    if len(data) > PICTURE_BYTES:
        raise Refused("large", f"A picture may have up to {PICTURE_BYTES / 1e6:g} MB; this one is larger.")
    for start, media_type in SIGNATURES:
        if data.startswith(start) and (media_type != "image/webp" or data[8:12] == b"WEBP"):
            return media_type
    raise Refused("type", "Only PNG, JPEG, GIF and WebP pictures can be sent.")


SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF", "image/webp"),
)
