"""The Socket.IO packet codec, protocol revision 5, both directions; servers and clients share it.

A ``Parser`` turns a packet into ready frames and hands each session a ``Decoder``, which turns Engine.IO messages
into packets. Both know JSON through ``StrictJson`` only, and nothing of sessions, sockets or which packet may come
when.

Rules: a ``Packet`` that leaves here is valid in shape and within the limits; a message costs linear time; an error's
text is fixed and never repeats what the peer sent.

Where this is stricter than Node.js: an EVENT, ACK or CONNECT_ERROR needs its payload and an ACK its id, only EVENT and
ACK may have an id, ids have at most 15 digits (Node rounds longer ones), an event's name is a string or an integer, a
placeholder's number is written as an integer and the number of attachments in one or two digits, no number overflows,
spaces count as nothing but spaces (Node reads them as a type, count or id of 0), a namespace has no controls, and
names, arguments, depth and containers are bounded. Nothing is taken that Node.js refuses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError, RemoteProtocolError
from sioproto.frame import Frame
from sioproto.socketio.json import BinaryFound, JsonError, StrictJson
from sioproto.socketio.packet import RESERVED_EVENTS, Packet, PacketType

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class ParseError(RemoteProtocolError):
    """The peer sent something that is no Socket.IO packet. Its session is over."""


class Parser:
    """The codec of one server or client: immutable, shared by all its sessions.

    ``loads`` and ``dumps`` replace the JSON codec; see ``StrictJson`` for what is still checked then. The limits are
    for what is decoded. Nothing limits what is encoded: mind that a stock peer refuses a packet with more than 10
    attachments.

    The ``encode_*`` methods return the frames of one packet, to be written back to back: no other packet of the session
    may come between a header and its attachments (Socket.IO protocol, packets with binary). They raise
    ``LocalProtocolError`` for data that cannot be sent, and trust the caller with names: a namespace begins with a
    slash and has neither commas nor controls, an event's name is a string and not reserved.
    """

    __slots__ = (
        "json",
        "max_arguments",
        "max_attachments",
        "max_event_name",
        "max_namespace_name",
        "max_payload",
    )

    def __init__(
        self,
        *,
        loads: Callable[[str], Any] | None = None,
        dumps: Callable[[Any], str] | None = None,
        max_attachments: int = 10,
        max_payload: int = 1_000_000,
        max_arguments: int = 1000,
        max_depth: int = 100,
        max_containers: int = 50_000,
        max_event_name: int = 1024,
        max_namespace_name: int = 256,
    ) -> None:
        self.json = StrictJson(loads=loads, dumps=dumps, max_depth=max_depth, max_containers=max_containers)
        self.max_attachments = max_attachments
        self.max_payload = max_payload
        self.max_arguments = max_arguments
        self.max_event_name = max_event_name
        self.max_namespace_name = max_namespace_name

    def encode_event(
        self, namespace: str, args: Sequence[Any], ack_id: int | None = None, compress: bool = True
    ) -> tuple[Frame, ...]:
        """Returns an EVENT, or a BINARY_EVENT where ``args`` (the event's name, then its arguments) hold binary."""
        return self._encode("42", "45", namespace, args, "" if ack_id is None else ack_id, compress)

    def encode_ack(self, namespace: str, args: Sequence[Any], ack_id: int, compress: bool = True) -> tuple[Frame, ...]:
        """Returns the ACK, or BINARY_ACK, that answers the event with this id."""
        return self._encode("43", "46", namespace, args, ack_id, compress)

    def encode_connect(self, namespace: str, data: dict[str, Any] | None) -> tuple[Frame, ...]:
        """Returns a CONNECT: a client's with its authentication, a server's with the socket's id."""
        return (self._frame("40" + address(namespace), "" if data is None else self.json.dumps(data)),)

    def encode_disconnect(self, namespace: str) -> tuple[Frame, ...]:
        """Returns a DISCONNECT."""
        return (self._frame("41" + address(namespace), ""),)

    def encode_connect_error(self, namespace: str, data: dict[str, Any] | str) -> tuple[Frame, ...]:
        """Returns a CONNECT_ERROR: stock clients expect a dict with ``message`` and, where given, ``data``."""
        return (self._frame("44" + address(namespace), self.json.dumps(data)),)

    def decoder(self) -> Decoder:
        """Returns a decoder for one session."""
        return Decoder(self)

    def _encode(
        self, plain: str, binary: str, namespace: str, args: Sequence[Any], ack_id: int | str, compress: bool
    ) -> tuple[Frame, ...]:
        if not isinstance(args, list | tuple):
            args = list(args)
        try:
            text = self.json.dumps(args)
        except BinaryFound:
            pass
        else:
            head = f"{plain}{ack_id}" if namespace == "/" else f"{plain}{namespace},{ack_id}"
            return (self._frame(head, text, compress),)
        text, attachments = self.json.dumps_binary(args)
        head = f"{binary}{len(attachments)}-{address(namespace)}{ack_id}"
        return (self._frame(head, text, compress), *(Frame(each, compress) for each in attachments))

    def _frame(self, head: str, payload: str, compress: bool = True) -> Frame:
        try:
            return Frame(head + payload, compress)
        except UnicodeEncodeError:
            pass
        # JSON has room for a lone surrogate, UTF-8 has not. It can only stand within a string, where the escape that
        # Python writes for it is JSON's as well.
        payload = payload.encode("utf-8", "backslashreplace").decode("utf-8")
        try:
            return Frame(head + payload, compress)
        except UnicodeEncodeError as error:
            raise LocalProtocolError("a namespace cannot contain a lone surrogate") from error


class Decoder:
    """Turns the Engine.IO messages of one session into packets, binary put back in place.

    After a ``ParseError`` the session is to be closed: nothing that follows can be trusted.
    """

    __slots__ = ("_parser", "_partial")

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._partial: Partial | None = None

    @property
    def waiting(self) -> bool:
        """Whether attachments of a packet are still to come."""
        return self._partial is not None

    def feed(self, message: str | bytes) -> Packet | None:
        """Takes one message, without Engine.IO's type digit, and returns the packet that it completes.

        Returns None while attachments are missing. Raises ``ParseError``.
        """
        if not isinstance(message, str):
            return self._attach(message)
        if self._partial is not None:
            self._partial = None
            raise ParseError("got plaintext data when reconstructing a packet")
        parser = self._parser
        digit = message[:1]
        attachments = 0
        position = 1
        if digit == "2":
            kind = EVENT
        elif digit == "3":
            kind = ACK
        elif digit == "5" or digit == "6":
            kind = EVENT if digit == "5" else ACK
            attachments, position = parse_attachments(message, parser.max_attachments)
        else:
            return decode_control(parser, digit, message)

        namespace = "/"
        if message[position : position + 1] == "/":
            namespace, position = parse_namespace(message, position, parser.max_namespace_name)
        # Both types have an array, so its bracket is the next thing after the id.
        start = message.find("[", position)
        ack_id = None
        if start != position:
            if start < 0:
                raise ParseError("invalid payload")
            digits = message[position:start].rstrip(WHITESPACE)
            if digits:
                # ``isdigit`` alone takes the digits of every script, superscripts included.
                if len(digits) > MAX_ID_DIGITS or not (digits.isascii() and digits.isdigit()):
                    raise ParseError("invalid acknowledgement id")
                ack_id = int(digits)

        data = load(parser, message, start)
        if not isinstance(data, list):
            raise ParseError("invalid payload")
        if kind is EVENT:
            if not data:
                raise ParseError("invalid payload")
            name = data[0]
            if isinstance(name, str):
                if len(name) > parser.max_event_name:
                    raise ParseError("event name too long")
                if name in RESERVED_EVENTS:
                    raise ParseError("reserved event name")
            elif not isinstance(name, int) or isinstance(name, bool):
                raise ParseError("invalid payload")
            if len(data) > parser.max_arguments + 1:
                raise ParseError("too many arguments")
        elif ack_id is None:
            raise ParseError("acknowledgement without id")
        elif len(data) > parser.max_arguments:
            raise ParseError("too many arguments")

        packet = Packet(kind, namespace, data, ack_id)
        if attachments:
            self._partial = Partial(packet, attachments)
            return None
        return packet

    def _attach(self, message: bytes) -> Packet | None:
        partial = self._partial
        if partial is None:
            raise ParseError("got binary data when not reconstructing a packet")
        partial.attachments.append(message)
        partial.size += len(message)
        if partial.size > self._parser.max_payload:
            self._partial = None
            raise ParseError("attachments too large")
        if len(partial.attachments) < partial.expected:
            return None
        self._partial = None
        parser = self._parser
        reconstruct(partial.packet.data, partial.attachments, parser.max_attachments, parser.max_payload)
        # The shape needs no second look: only objects are replaced, and an event's name was no object before.
        return partial.packet


class Partial:
    """A packet whose attachments are still coming in."""

    __slots__ = ("packet", "expected", "attachments", "size")

    def __init__(self, packet: Packet, expected: int) -> None:
        self.packet = packet
        self.expected = expected
        self.attachments: list[bytes] = []
        self.size = 0


# As globals, because reaching a member through its enum costs several times as much.
CONNECT = PacketType.CONNECT
DISCONNECT = PacketType.DISCONNECT
EVENT = PacketType.EVENT
ACK = PacketType.ACK
CONNECT_ERROR = PacketType.CONNECT_ERROR

WHITESPACE = " \t\n\r"
MAX_ID_DIGITS = 15
"""The most that a JavaScript number holds exactly whatever the digits are."""
MAX_COUNT_DIGITS = 2
# Controls would reach logs and error texts of the application, and a lone surrogate could not be sent back.
UNFIT_FOR_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


def address(namespace: str) -> str:
    """Returns the namespace as packets carry it: the main one is left out (Socket.IO protocol, packet encoding)."""
    return "" if namespace == "/" else f"{namespace},"


def decode_control(parser: Parser, digit: str, message: str) -> Packet:
    """Decodes what is neither event nor acknowledgement. These have no id: digits are a payload of the wrong shape."""
    if digit == "0":
        kind = CONNECT
    elif digit == "1":
        kind = DISCONNECT
    elif digit == "4":
        kind = CONNECT_ERROR
    else:
        raise ParseError("unknown packet type")
    namespace, position = "/", 1
    if message[1:2] == "/":
        namespace, position = parse_namespace(message, 1, parser.max_namespace_name)
    present = position < len(message)
    if kind is DISCONNECT:
        if present:
            raise ParseError("invalid payload")
        return Packet(DISCONNECT, namespace)
    if kind is CONNECT and not present:
        return Packet(CONNECT, namespace, {})
    data = load(parser, message, position)
    if not isinstance(data, dict) and (kind is CONNECT or not isinstance(data, str)):
        raise ParseError("invalid payload")
    return Packet(kind, namespace, data)


def parse_attachments(message: str, limit: int) -> tuple[int, int]:
    """Returns the number of attachments that a binary packet announces, and where its header goes on."""
    end = message.find("-", 1, 2 + max(MAX_COUNT_DIGITS, len(str(limit))))
    digits = message[1:end] if end > 0 else ""
    if not (digits.isascii() and digits.isdigit()) or (count := int(digits)) == 0:
        raise ParseError("illegal attachments")
    if count > limit:
        raise ParseError("too many attachments")
    return count, end + 1


def parse_namespace(message: str, start: int, limit: int) -> tuple[str, int]:
    """Returns the namespace, its query included, and where the packet goes on: after a comma, or at the end."""
    end = message.find(",", start, start + limit + 1)
    if end < 0:
        end = len(message)
    if end - start > limit:
        raise ParseError("namespace name too long")
    namespace = message[start:end]
    if UNFIT_FOR_NAMES.search(namespace) is not None:
        raise ParseError("invalid namespace name")
    return namespace, end + 1


def load(parser: Parser, message: str, start: int) -> Any:
    # Raised outside of the handler, so that the error carries no context.
    try:
        return parser.json.loads(message, start)
    except JsonError as error:
        problem = str(error)
    raise ParseError(f"invalid payload: {problem}")


def reconstruct(data: list[Any], attachments: list[bytes], places: int, room: int) -> None:
    """Puts the attachments in place of their placeholders.

    One may be referred to several times, or not at all, as in Node.js; but each reference counts against the limits of
    number and bytes, because whoever sends the event on sends each of them as an attachment of its own. There is no
    recursion, so that a raised limit on depth needs no deeper stack.
    """
    pending: list[list[Any] | dict[Any, Any]] = [data]
    while pending:
        container = pending.pop()
        for key, value in enumerate(container) if isinstance(container, list) else container.items():
            if isinstance(value, dict):
                if value.get("_placeholder") is True:
                    number = value.get("num")
                    if type(number) is not int or not 0 <= number < len(attachments):
                        raise ParseError("illegal attachments")
                    container[key] = attachments[number]
                    places -= 1
                    room -= len(attachments[number])
                    if places < 0 or room < 0:
                        raise ParseError("too many references to attachments")
                else:
                    pending.append(value)
            elif isinstance(value, list):
                pending.append(value)
