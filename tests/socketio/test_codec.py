"""The packet codec as a whole: streams of packets of every type, both ways and over either transport's encoding.

``test_parser`` has the examples and the refusals one by one. Here are the laws: what is encoded decodes to the same,
what is decoded is sent on in one spelling, and whatever is near a valid packet is a packet or a ``ParseError``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto.engineio.payload import decode_payload, encode_payload
from sioproto.errors import LocalProtocolError
from sioproto.socketio.packet import RESERVED_EVENTS, Packet, PacketType
from sioproto.socketio.parser import ParseError, Parser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sioproto.frame import Frame

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = list(PacketType)[:5]
PARSER = Parser()
WIDE = Parser(max_attachments=99)
FOREIGN = Parser(loads=json.loads, dumps=json.dumps, max_attachments=99)
BOTH = pytest.mark.parametrize("parser", [WIDE, FOREIGN], ids=["own", "foreign"])


# What travels: a value is generated as it looks on arrival, so that "the same" needs no qualification.


def whole(text: str) -> str:
    """Returns the text with pairs of surrogates joined, as every JSON reader joins them. Lone ones stay."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


ODD = st.sampled_from(["\ud800", "\udfff", "\x00", "\x1e", "\x7f", "\u2028", '"', "\\", "\\ud800", "\U0001f600", "é"])
TEXTS = st.lists(st.text(st.characters(), max_size=6) | ODD, max_size=3).map("".join).map(whole)
KEYS = TEXTS.filter(lambda key: key != "_placeholder")
INTEGERS = st.integers() | st.integers(-(10**309) + 1, 10**309 - 1)
SCALARS = st.none() | st.booleans() | INTEGERS | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
BINARY = st.binary(max_size=8)


def values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
        max_leaves=8,
    )


ARGS = st.lists(values(SCALARS | BINARY), max_size=4)
OBJECTS = st.dictionaries(KEYS, values(SCALARS), max_size=3)
NAMES = TEXTS.filter(lambda name: name not in RESERVED_EVENTS) | st.integers()
NAMESPACES = st.just("/") | st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=","), max_size=10
).map(lambda name: "/" + name)
IDS = st.integers(0, 10**15 - 1)

PACKETS = st.one_of(
    st.builds(Packet, st.just(CONNECT), NAMESPACES, OBJECTS),
    st.builds(Packet, st.just(DISCONNECT), NAMESPACES),
    st.builds(Packet, st.just(CONNECT_ERROR), NAMESPACES, OBJECTS | TEXTS),
    st.builds(Packet, st.just(EVENT), NAMESPACES, st.builds(lambda name, args: [name, *args], NAMES, ARGS), IDS),
    st.builds(Packet, st.just(EVENT), NAMESPACES, st.builds(lambda name, args: [name, *args], NAMES, ARGS)),
    st.builds(Packet, st.just(ACK), NAMESPACES, ARGS, IDS),
)


def encode(parser: Parser, packet: Packet) -> tuple[Frame, ...]:
    """Encodes a packet of any type that a decoder hands over."""
    kind, namespace, data = packet.type, packet.namespace, packet.data
    if kind is EVENT:
        return parser.encode_event(namespace, data, packet.id)
    if kind is ACK:
        assert packet.id is not None
        return parser.encode_ack(namespace, data, packet.id)
    if kind is CONNECT:
        return parser.encode_connect(namespace, data)
    if kind is DISCONNECT:
        return parser.encode_disconnect(namespace)
    return parser.encode_connect_error(namespace, data)


def decode(parser: Parser, messages: Iterable[str | bytes]) -> list[Packet]:
    """Decodes the messages of one session, all of which have to be needed."""
    decoder = parser.decoder()
    found = [packet for packet in map(decoder.feed, messages) if packet is not None]
    assert not decoder.waiting
    return found


def over_websocket(frames: list[Frame]) -> list[str | bytes]:
    """Returns the messages that frames are, each read from its bytes."""
    messages: list[str | bytes] = []
    for each in frames:
        size = each.websocket[1]
        body = each.websocket[2 if size < 126 else 4 if size == 126 else 10 :]
        messages.append(body.decode()[1:] if each.websocket[0] == 0x81 else body)
    return messages


def over_polling(frames: list[Frame]) -> list[str | bytes]:
    """Returns the messages of one payload with the frames."""
    packets = decode_payload(encode_payload(frames))
    return [packet[1:] if isinstance(packet, str) else packet for packet in packets]


@BOTH
@settings(deadline=None)
@given(packets=st.lists(PACKETS, min_size=1, max_size=4))
def test_streams_of_packets_make_the_round_trip(parser: Parser, packets: list[Packet]) -> None:
    frames = [frame for packet in packets for frame in encode(parser, packet)]
    messages = over_websocket(frames)
    assert over_polling(frames) == messages
    for reader in (WIDE, FOREIGN):
        assert decode(reader, messages) == packets


def test_an_integer_that_could_not_be_read_is_not_sent() -> None:
    for packet in (
        Packet(EVENT, "/", ["e", {"a": [10**309]}]),
        Packet(EVENT, "/", ["e", b"x", -(10**309)]),
        Packet(ACK, "/", [10**4000], 1),
        Packet(CONNECT, "/", {"a": 10**5000}),
        Packet(CONNECT_ERROR, "/", {"a": 10**309}),
    ):
        with pytest.raises(LocalProtocolError, match="digits"):
            encode(PARSER, packet)


def test_the_longest_integers_are_sent_and_digits_in_strings_are_none() -> None:
    data = ["e", 10**309 - 1, 1 - 10**309, "1" * 400, {"2" * 400: '\\"' + "3" * 400}]
    for args in (data, [*data, b"x"]):
        packet = Packet(EVENT, "/", args)
        assert decode(PARSER, over_websocket(list(encode(PARSER, packet)))) == [packet]


# One spelling


@st.composite
def spellings(draw: st.DrawFn) -> tuple[list[str | bytes], Packet]:
    """Returns a packet, and messages that are a legal way of writing it, though not ours."""
    packet = draw(PACKETS)
    found: list[bytes] = []
    data = draw(st.just(packet.data).map(lambda value: taken_apart(value, found)))
    # The attachments in any order, and more of them than there are references.
    spare = draw(st.lists(BINARY, max_size=2 if found else 0))
    order = draw(st.permutations(range(len(found) + len(spare))))
    attachments = [b""] * len(order)
    for number, each in zip(order, [*found, *spare], strict=True):
        attachments[number] = each
    renumber(data, order)
    space = draw(st.sampled_from(["", " ", "\t", "\r\n", "  "]))
    written = json.dumps(
        data,
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.none() | st.integers(0, 2)),
        separators=draw(st.sampled_from([(",", ":"), (" , ", " : "), (",\t", "\n:")])),
    )
    # Where surrogates are not escaped, UTF-8 has no room for them.
    text = space + written.encode("utf-8", "backslashreplace").decode() + space
    digit = int(packet.type)
    head = str(digit)
    if found:
        head = f"{digit + 3}{draw(st.sampled_from(['', '0'])) if len(order) < 10 else ''}{len(order)}-"
    comma = ","
    if packet.type is DISCONNECT or (packet.type is CONNECT and not packet.data and draw(st.booleans())):
        text = ""
        comma = draw(st.sampled_from(["", ","]))
    head += packet.namespace + comma if packet.namespace != "/" or draw(st.booleans()) else ""
    if packet.id is not None:
        head += "0" * draw(st.integers(0, 15 - len(str(packet.id)))) + str(packet.id)
    return [head + text, *attachments], packet


def taken_apart(value: Any, found: list[bytes]) -> Any:
    """Returns a copy with placeholders, of the shape that a peer with other habits may write."""
    if isinstance(value, bytes):
        found.append(value)
        return {"num": len(found) - 1, "more": [None], "_placeholder": True}
    if isinstance(value, list):
        return [taken_apart(each, found) for each in value]
    if isinstance(value, dict):
        return {key: taken_apart(each, found) for key, each in value.items()}
    return value


def renumber(value: Any, order: list[int]) -> None:
    if isinstance(value, dict) and value.get("_placeholder") is True:
        value["num"] = order[value["num"]]
    elif isinstance(value, list | dict):
        for each in value if isinstance(value, list) else value.values():
            renumber(each, order)


@BOTH
@settings(deadline=None)
@given(spelled=spellings())
def test_what_is_decoded_has_one_spelling(parser: Parser, spelled: tuple[list[str | bytes], Packet]) -> None:
    messages, packet = spelled
    (decoded,) = decode(parser, messages)
    assert decoded == packet
    again = over_websocket(list(encode(WIDE, decoded)))
    assert again == over_websocket(list(encode(WIDE, packet)))
    assert decode(parser, again) == [packet]


# Near valid packets


PLACEHOLDER = '{"_placeholder":true,"num":0}'
VALID: list[list[str | bytes]] = [
    ["0"],
    ['0/admin,{"token":"123"}'],
    ["1"],
    ["1/admin,"],
    ['2/admin,456["hello",{"a":[1.5,"é\\n\\ud83d\\ude00",null]}]'],
    ["2[5,true]"],
    ["3/a,12[]"],
    ['4/a,{"message":"no","data":[-0.0,1e5]}'],
    ['4"no"'],
    [f'51-["e",{PLACEHOLDER}]', b"\x01"],
    [f'52-/a,7["e",{{"k":[{PLACEHOLDER}]}},{PLACEHOLDER.replace("0", "1")}]', b"", b"\xff\x00"],
    [f"61-12[{PLACEHOLDER}]", b"\x01\x02"],
]
CHARACTERS = ["", *'0123456789-+.,/"[]{}: _enE\\', "\n", "\x1e", "\u0661", "\u00a0", "\ufeff", "\U0001f600"]


def check_stream(messages: list[str | bytes]) -> int:
    """Feeds messages until one is refused; what comes out can be sent on and is read the same. Returns how many did.

    Whatever our own JSON reader takes, another one takes too and means the same by it.
    """
    decoder, foreign = PARSER.decoder(), Parser(loads=json.loads).decoder()
    found = 0
    for message in messages:
        try:
            packet = decoder.feed(message)
        except ParseError:
            assert not decoder.waiting
            break
        assert foreign.feed(message) == packet
        assert decoder.waiting == foreign.waiting == (packet is None)
        if packet is not None:
            found += 1
            assert decode(PARSER, over_polling(list(encode(PARSER, packet)))) == [packet]
    return found


@pytest.mark.parametrize("messages", VALID, ids=lambda messages: str(messages[0])[:12])
def test_every_change_of_one_character_is_a_packet_or_a_parse_error(messages: list[str | bytes]) -> None:
    header, *attachments = messages
    assert isinstance(header, str)
    assert check_stream(messages) == 1
    for at in range(len(header) + 1):
        check_stream([header[:at], *attachments])
        check_stream([header[:at] + header[at + 1 :], *attachments])
        check_stream([header[:at] + header[at : at + 1] * 2 + header[at + 1 :], *attachments])
        for character in CHARACTERS:
            check_stream([header[:at] + character + header[at:], *attachments])
            check_stream([header[:at] + character + header[at + 1 :], *attachments])


SOME_CHARACTERS = st.lists(st.sampled_from(CHARACTERS), max_size=2).map("".join)


@st.composite
def mutations(draw: st.DrawFn) -> list[str | bytes]:
    """Returns a stream of valid packets in which messages and characters were changed, lost, doubled or swapped."""
    packets = draw(st.lists(PACKETS, min_size=1, max_size=3))
    messages = over_polling([frame for packet in packets for frame in encode(WIDE, packet)])
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(messages) - 1))
        message = messages[at]
        kind = draw(st.integers(0, 5))
        if kind == 0:
            messages.insert(at, draw(st.sampled_from(messages)))
        elif kind == 1:
            del messages[at]
        elif isinstance(message, str):
            start = draw(st.integers(0, len(message)))
            end = start + draw(st.integers(0, 4))
            put = message[start:end] * 2 if kind == 2 else draw(SOME_CHARACTERS)
            messages[at] = message[:start] + put + message[end:]
        if not messages:
            break
    return messages


@settings(max_examples=120, deadline=None)
@given(mutations())
def test_anything_near_a_stream_of_packets_is_packets_or_a_parse_error(messages: list[str | bytes]) -> None:
    check_stream(messages)
