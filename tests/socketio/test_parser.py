"""The packet codec: the protocol's own examples, round trips, and one error for everything that is no packet."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sioproto.errors import LocalProtocolError, RemoteProtocolError
from sioproto.socketio.packet import RESERVED_EVENTS, Packet, PacketType
from sioproto.socketio.parser import Decoder, ParseError, Parser

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sioproto.frame import Frame

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = list(PacketType)[:5]
PARSER = Parser()
FOREIGN = Parser(loads=json.loads, dumps=json.dumps)
PLACEHOLDER = '{"_placeholder":true,"num":0}'

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
KEYS = st.text(max_size=5).filter(lambda key: key != "_placeholder")
VALUES = st.recursive(
    SCALARS | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)
ARGS = st.lists(VALUES, max_size=4)
NAMES = st.text(max_size=10).filter(lambda name: name not in RESERVED_EVENTS)
NAMESPACES = st.just("/") | st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters=","), max_size=10
).map(lambda name: "/" + name)
IDS = st.integers(0, 10**15 - 1)


def wire(frames: Iterable[Frame]) -> list[str | bytes]:
    return [frame.data for frame in frames]


def messages(frames: Iterable[Frame]) -> list[str | bytes]:
    """Returns what the other side's decoder is fed with, having been through UTF-8."""
    found: list[str | bytes] = []
    for data in wire(frames):
        if isinstance(data, str):
            assert data[0] == "4"
            data = data[1:].encode().decode()
        found.append(data)
    return found


def feed_all(decoder: Decoder, found: list[str | bytes]) -> Packet | None:
    packet = None
    for index, message in enumerate(found):
        assert packet is None
        packet = decoder.feed(message)
        assert decoder.waiting == (index < len(found) - 1)
    return packet


def plain(value: Any) -> Any:
    """Returns the value as it looks after the journey: tuples are lists, surrogate pairs one character."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


# The protocol's examples


EXAMPLES: list[tuple[list[str | bytes], Packet]] = [
    (["0"], Packet(CONNECT, "/", {})),
    (["0/admin,"], Packet(CONNECT, "/admin", {})),
    (["0/admin"], Packet(CONNECT, "/admin", {})),
    (['0{"token":"123"}'], Packet(CONNECT, "/", {"token": "123"})),
    (['0/admin,{"sid":"oSO0OpakMV_3jnilAAAA"}'], Packet(CONNECT, "/admin", {"sid": "oSO0OpakMV_3jnilAAAA"})),
    (["1"], Packet(DISCONNECT, "/")),
    (["1/admin,"], Packet(DISCONNECT, "/admin")),
    (["1/admin"], Packet(DISCONNECT, "/admin")),
    (['2["hello"]'], Packet(EVENT, "/", ["hello"])),
    (['2["hello",1]'], Packet(EVENT, "/", ["hello", 1])),
    (['2["foo","bar"]'], Packet(EVENT, "/", ["foo", "bar"])),
    (['2/admin,456["project:delete",123]'], Packet(EVENT, "/admin", ["project:delete", 123], 456)),
    (['212["hello"]'], Packet(EVENT, "/", ["hello"], 12)),
    (["3/admin,456[]"], Packet(ACK, "/admin", [], 456)),
    (["312[]"], Packet(ACK, "/", [], 12)),
    (['4{"message":"Not authorized"}'], Packet(CONNECT_ERROR, "/", {"message": "Not authorized"})),
    (['4/admin,{"message":"Not authorized"}'], Packet(CONNECT_ERROR, "/admin", {"message": "Not authorized"})),
    (['4"Not authorized"'], Packet(CONNECT_ERROR, "/", "Not authorized")),
    ([f'51-["hello",{PLACEHOLDER}]', b"\1\2\3"], Packet(EVENT, "/", ["hello", b"\1\2\3"])),
    (
        [f'51-/admin,456["project:delete",{PLACEHOLDER}]', b"\1\2\3"],
        Packet(EVENT, "/admin", ["project:delete", b"\1\2\3"], 456),
    ),
    ([f"61-/admin,456[{PLACEHOLDER}]", b"\3\2\1"], Packet(ACK, "/admin", [b"\3\2\1"], 456)),
]


@pytest.mark.parametrize("parser", [PARSER, FOREIGN], ids=["own", "foreign"])
@pytest.mark.parametrize(("found", "packet"), EXAMPLES, ids=[str(found[0]) for found, _ in EXAMPLES])
def test_decodes_the_examples(parser: Parser, found: list[str | bytes], packet: Packet) -> None:
    decoder = parser.decoder()
    for _ in range(2):
        assert feed_all(decoder, found) == packet


def test_encodes_the_examples() -> None:
    binary = bytearray(b"\1\2\3")
    assert wire(PARSER.encode_connect("/", None)) == ["40"]
    assert wire(PARSER.encode_connect("/admin", None)) == ["40/admin,"]
    assert wire(PARSER.encode_connect("/", {})) == ["40{}"]
    assert wire(PARSER.encode_connect("/admin", {"sid": "x"})) == ['40/admin,{"sid":"x"}']
    assert wire(PARSER.encode_disconnect("/")) == ["41"]
    assert wire(PARSER.encode_disconnect("/admin")) == ["41/admin,"]
    assert wire(PARSER.encode_connect_error("/", {"message": "Not authorized"})) == ['44{"message":"Not authorized"}']
    assert wire(PARSER.encode_connect_error("/a", "no")) == ['44/a,"no"']
    assert wire(PARSER.encode_event("/", ["hello", 1])) == ['42["hello",1]']
    assert wire(PARSER.encode_event("/", ("hello",), 0)) == ['420["hello"]']
    assert wire(PARSER.encode_event("/admin", ["hello"])) == ['42/admin,["hello"]']
    assert wire(PARSER.encode_event("/admin", ["project:delete", 123], 456)) == ['42/admin,456["project:delete",123]']
    assert wire(PARSER.encode_event("/", ["hello", binary])) == [f'451-["hello",{PLACEHOLDER}]', b"\1\2\3"]
    assert wire(PARSER.encode_event("/admin", ["e", binary], 13)) == [
        f'451-/admin,13["e",{PLACEHOLDER}]',
        b"\1\2\3",
    ]
    assert wire(PARSER.encode_ack("/", [], 0)) == ["430[]"]
    assert wire(PARSER.encode_ack("/admin", (1, "é"), 456)) == ['43/admin,456[1,"é"]']
    assert wire(PARSER.encode_ack("/admin", [memoryview(b"x")], 456)) == [f"461-/admin,456[{PLACEHOLDER}]", b"x"]
    assert wire(PARSER.encode_event("/", deque(["e", 1]))) == ['42["e",1]']


# Round trips


@pytest.mark.parametrize("parser", [PARSER, FOREIGN], ids=["own", "foreign"])
@given(NAMESPACES, NAMES, ARGS, st.none() | IDS)
def test_events_make_the_round_trip(parser: Parser, namespace: str, name: str, args: list[Any], id: int | None) -> None:
    frames = parser.encode_event(namespace, [name, *args], id)
    decoder = Parser(max_attachments=99).decoder()
    assert feed_all(decoder, messages(frames)) == Packet(EVENT, namespace, plain([name, *args]), id)


@given(NAMESPACES, ARGS, IDS)
def test_acknowledgements_make_the_round_trip(namespace: str, args: list[Any], id: int) -> None:
    frames = PARSER.encode_ack(namespace, tuple(args), id)
    decoder = Parser(max_attachments=99).decoder()
    assert feed_all(decoder, messages(frames)) == Packet(ACK, namespace, plain(args), id)


@given(NAMESPACES, st.dictionaries(st.text(max_size=5), SCALARS, max_size=4))
def test_connections_make_the_round_trip(namespace: str, data: dict[str, Any]) -> None:
    decoder = PARSER.decoder()
    for frames, packet in [
        (PARSER.encode_connect(namespace, data), Packet(CONNECT, namespace, plain(data))),
        (PARSER.encode_connect(namespace, None), Packet(CONNECT, namespace, {})),
        (PARSER.encode_disconnect(namespace), Packet(DISCONNECT, namespace)),
        (PARSER.encode_connect_error(namespace, data), Packet(CONNECT_ERROR, namespace, plain(data))),
        (PARSER.encode_connect_error(namespace, "no"), Packet(CONNECT_ERROR, namespace, "no")),
    ]:
        assert feed_all(decoder, messages(frames)) == packet


def test_lone_surrogates_are_escaped() -> None:
    args = ["\udc00", {"\ud800": 'a\\\ud800"é'}]
    for parser in (PARSER, Parser(dumps=lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")))):
        (frame,) = parser.encode_event("/é", args)
        assert frame.data == '42/é,["\\udc00",{"\\ud800":"a\\\\\\ud800\\"é"}]'
        assert frame.websocket.endswith(b'\\ud800\\"\xc3\xa9"}]')
    (frame,) = PARSER.encode_connect_error("/", {"message": "\ud800"})
    assert frame.data == '44{"message":"\\ud800"}'


def test_compression_is_asked_for_on_every_frame() -> None:
    for compress in (True, False):
        frames = (*PARSER.encode_event("/", ["e", b""], None, compress), *PARSER.encode_ack("/", [b""], 1, compress))
        assert [frame.compress for frame in frames] == [compress] * 4


def test_attachments_are_not_limited_on_the_way_out() -> None:
    frames = PARSER.encode_event("/", ["e", *[b"x"] * 12])
    assert len(frames) == 13
    assert str(frames[0].data).startswith("4512-[")


def test_what_is_sent_is_a_copy() -> None:
    binary = bytearray(b"abc")
    _, attachment = PARSER.encode_event("/", ["e", binary])
    binary[0] = 0
    assert attachment.data == b"abc"


def test_foreign_dumps_gets_the_deconstructed_list() -> None:
    seen: list[Any] = []

    def dumps(value: Any) -> str:
        seen.append(value)
        return "[0]"

    parser = Parser(dumps=dumps)
    assert wire(parser.encode_event("/", ["e", {"a": b"x"}], 1)) == ["451-1[0]", b"x"]
    assert wire(parser.encode_ack("/", [1], 1)) == ["431[0]"]
    assert seen == [["e", {"a": {"_placeholder": True, "num": 0}}], [1]]


# What cannot be encoded


@pytest.mark.parametrize("parser", [PARSER, FOREIGN], ids=["own", "foreign"])
def test_only_events_and_acknowledgements_carry_binary(parser: Parser) -> None:
    for frames in (parser.encode_connect, parser.encode_connect_error):
        with pytest.raises(LocalProtocolError, match="only events and acknowledgements"):
            frames("/", {"a": [b"x"]})


@pytest.mark.parametrize("value", [{1}, float("nan"), {(1,): 1}, [b"x", object()], [b"x", float("inf")]])
def test_what_json_lacks_is_a_local_error(value: Any) -> None:
    with pytest.raises(LocalProtocolError):
        PARSER.encode_event("/", ["e", value])
    with pytest.raises(LocalProtocolError):
        PARSER.encode_ack("/", [value], 1)


def test_a_namespace_that_cannot_be_sent_is_a_local_error() -> None:
    with pytest.raises(LocalProtocolError, match="namespace"):
        PARSER.encode_event("/\ud800", ["e", "\ud800"])


# What cannot be decoded


REFUSED: dict[str, tuple[str, str]] = {
    "an empty message": ("", "unknown packet type"),
    "an unknown type": ("7", "unknown packet type"),
    "a type that is no digit": ('x["e"]', "unknown packet type"),
    "a type in Arabic digits": ('\u0662["e"]', "unknown packet type"),
    "a superscript type": ('\u00b2["e"]', "unknown packet type"),
    "a space before the type": (' 2["e"]', "unknown packet type"),
    "a binary event without a count": ('5["e"]', "illegal attachments"),
    "a binary event without a dash": ('51["e"]', "illegal attachments"),
    "a binary event with nothing else": ("5", "illegal attachments"),
    "a binary event with a dash alone": ('5-["e"]', "illegal attachments"),
    "no attachments": ('50-["e"]', "illegal attachments"),
    "no attachments in two digits": ('500-["e"]', "illegal attachments"),
    "a negative count": ('5-1-["e"]', "illegal attachments"),
    "a fractional count": ('51.5-["e"]', "illegal attachments"),
    "a count in Arabic digits": ('5\u0661-["e"]', "illegal attachments"),
    "a superscript count": ('5\u00b9-["e"]', "illegal attachments"),
    "a count of spaces": ('5 1-["e"]', "illegal attachments"),
    "too many attachments": ('511-["e"]', "too many attachments"),
    "too many digits in the count": ('5001-["e"]', "illegal attachments"),
    "far too many digits in the count": ("5" + "1" * 10_000 + '-["e"]', "illegal attachments"),
    "a count without a payload": ("51-", "invalid payload"),
    "a namespace too long": ("0/" + "a" * 256 + ",", "namespace name too long"),
    "a namespace too long without a comma": ("0/" + "a" * 256, "namespace name too long"),
    "a control in a namespace": ("0/a\nb,", "invalid namespace name"),
    "a record separator in a namespace": ("0/a\x1eb,", "invalid namespace name"),
    "a lone surrogate in a namespace": ("0/\ud800,", "invalid namespace name"),
    "a control in an event's namespace": ('2/\x7f,["e"]', "invalid namespace name"),
    "a second namespace": ('2/a,/b,["e"]', "invalid acknowledgement id"),
    "an id too long": ('21234567890123456["e"]', "invalid acknowledgement id"),
    "an id far too long": ("2" + "1" * 100_000 + '["e"]', "invalid acknowledgement id"),
    "an id in Arabic digits": ('2\u0661["e"]', "invalid acknowledgement id"),
    "a superscript id": ('2\u00b2["e"]', "invalid acknowledgement id"),
    "a negative id": ('2-1["e"]', "invalid acknowledgement id"),
    "an id with an underscore": ('21_0["e"]', "invalid acknowledgement id"),
    "a space before an id": ('2 1["e"]', "invalid acknowledgement id"),
    "a foreign space before the payload": ('2\u00a0["e"]', "invalid acknowledgement id"),
    "an event without a payload": ("2", "invalid payload"),
    "an event with an id alone": ("21", "invalid payload"),
    "an event with a namespace alone": ("2/admin", "invalid payload"),
    "an event with a namespace and a comma alone": ("2/admin,", "invalid payload"),
    "an event that is an object": ("2{}", "invalid payload"),
    "an event that is a string": ('2"e"', "invalid payload"),
    "an event that is an object with an array": ('2{"a":["e"]}', "invalid acknowledgement id"),
    "an event without a name": ("2[]", "invalid payload"),
    "an event named by a list": ("2[[]]", "invalid payload"),
    "an event named by an object": ("2[{}]", "invalid payload"),
    "an event named by null": ("2[null]", "invalid payload"),
    "an event named by true": ("2[true]", "invalid payload"),
    "an event named by a float": ("2[1.5]", "invalid payload"),
    "an event named by binary": (f"51-[{PLACEHOLDER}]", "invalid payload"),
    "an event name too long": ('2["' + "e" * 1025 + '"]', "event name too long"),
    "too many arguments": ('2["e"' + ",1" * 1001 + "]", "too many arguments"),
    "too many acknowledgement arguments": ("31[0" + ",1" * 1000 + "]", "too many arguments"),
    "an acknowledgement without an id": ("3[]", "acknowledgement without id"),
    "a binary acknowledgement without an id": (f"61-[{PLACEHOLDER}]", "acknowledgement without id"),
    "an acknowledgement without a payload": ("3", "invalid payload"),
    "an acknowledgement with an id alone": ("31", "invalid payload"),
    "an acknowledgement that is an object": ("31{}", "invalid payload"),
    "a payload that is no JSON": ('2["e"', "invalid payload: invalid JSON"),
    "trailing garbage": ('2["e"]x', "invalid payload: invalid JSON"),
    "two payloads": ('2["e"]["e"]', "invalid payload: invalid JSON"),
    "NaN": ('2["e",NaN]', "invalid payload: invalid JSON"),
    "a float that overflows": ('2["e",1e400]', "invalid payload: invalid JSON"),
    "an integer too long": ('2["e",' + "1" * 310 + "]", "invalid payload: invalid JSON"),
    "a payload too deep": ('2["e",' + "[" * 100 + "]" * 101, "invalid payload: JSON nests too deep"),
    "a payload too deep by far": ("2" + "[" * 100_000, "invalid payload: JSON nests too deep"),
    "a payload of too many arrays": (
        '2["e",[' + "[]," * 50_000 + "0]]",
        "invalid payload: JSON holds too many arrays and objects",
    ),
    "a CONNECT with null": ("0null", "invalid payload"),
    "a CONNECT with an array": ("0[]", "invalid payload"),
    "a CONNECT with a string": ('0"token"', "invalid payload"),
    "a CONNECT with a number, or an id": ("01", "invalid payload"),
    "a CONNECT with an id": ("01{}", "invalid payload: invalid JSON"),
    "a CONNECT with space alone": ("0 ", "invalid payload: invalid JSON"),
    "a CONNECT with garbage": ("0/admin,{", "invalid payload: invalid JSON"),
    "a CONNECT too deep": ("0" + '{"a":' * 101 + "1" + "}" * 101, "invalid payload: JSON nests too deep"),
    "a DISCONNECT with a payload": ("1{}", "invalid payload"),
    "a DISCONNECT with an id": ("11", "invalid payload"),
    "a DISCONNECT with space": ("1/admin, ", "invalid payload"),
    "a CONNECT_ERROR without a payload": ("4", "invalid payload: invalid JSON"),
    "a CONNECT_ERROR with an array": ("4[]", "invalid payload"),
    "a CONNECT_ERROR with a number": ("41", "invalid payload"),
    "a CONNECT_ERROR with null": ("4null", "invalid payload"),
    **{f"the name {name}": (f'2["{name}"]', "reserved event name") for name in sorted(RESERVED_EVENTS)},
    "a reserved name, escaped": ('2["\\u0063onnect"]', "reserved event name"),
    "a reserved name in a binary event": (f'51-["disconnect",{PLACEHOLDER}]', "reserved event name"),
}


@pytest.mark.parametrize(("message", "text"), REFUSED.values(), ids=REFUSED)
def test_refuses(message: str, text: str) -> None:
    decoder = PARSER.decoder()
    with pytest.raises(ParseError) as caught:
        decoder.feed(message)
    assert str(caught.value) == text
    # Nothing that the peer sent stays alive with the error.
    assert caught.value.__context__ is None
    assert not decoder.waiting


@pytest.mark.parametrize(("message", "_"), REFUSED.values(), ids=REFUSED)
def test_foreign_loads_does_not_widen_the_shapes(message: str, _: str) -> None:
    if "NaN" in message or "1e400" in message:
        return  # these are up to it
    with pytest.raises(ParseError):
        FOREIGN.decoder().feed(message)


@pytest.mark.parametrize("value", [None, {}, ("e",), "e", 1])
def test_foreign_loads_must_return_a_list_for_an_array(value: Any) -> None:
    decoder = Parser(loads=lambda text: value).decoder()
    for message in ('2["e"]', "31[]"):
        with pytest.raises(ParseError, match=r"^invalid payload$"):
            decoder.feed(message)


def test_a_parse_error_is_remote() -> None:
    assert issubclass(ParseError, RemoteProtocolError)


TAKEN: list[tuple[str, Packet]] = [
    ('2["error"]', Packet(EVENT, "/", ["error"])),
    ('2["connection"]', Packet(EVENT, "/", ["connection"])),
    ('2[""]', Packet(EVENT, "/", [""])),
    ("2[0,1]", Packet(EVENT, "/", [0, 1])),
    ("2[-3]", Packet(EVENT, "/", [-3])),
    ('2007["e"]', Packet(EVENT, "/", ["e"], 7)),
    ('2999999999999999["e"]', Packet(EVENT, "/", ["e"], 999999999999999)),
    ('2 \t\r\n["e"] \n', Packet(EVENT, "/", ["e"])),
    ('212 ["e"]', Packet(EVENT, "/", ["e"], 12)),
    ("0 {} ", Packet(CONNECT, "/", {})),
    ("0/,", Packet(CONNECT, "/", {})),
    ('2/,["e"]', Packet(EVENT, "/", ["e"])),
    ("0/admin?token=1&x=[],", Packet(CONNECT, "/admin?token=1&x=[]", {})),
    ('2/a[0]"b,1["e"]', Packet(EVENT, '/a[0]"b', ["e"], 1)),
    ("0/" + "é" * 255 + ",", Packet(CONNECT, "/" + "é" * 255, {})),
    ('2["' + "e" * 1024 + '"]', Packet(EVENT, "/", ["e" * 1024])),
    ('2["e"' + ",1" * 1000 + "]", Packet(EVENT, "/", ["e"] + [1] * 1000)),
    ("31[" + "1," * 999 + "1]", Packet(ACK, "/", [1] * 1000, 1)),
    (f'2["e",{PLACEHOLDER}]', Packet(EVENT, "/", ["e", {"_placeholder": True, "num": 0}])),
    ('4""', Packet(CONNECT_ERROR, "/", "")),
    ('2["e","\\ud800"]', Packet(EVENT, "/", ["e", "\ud800"])),
    ('31["disconnect"]', Packet(ACK, "/", ["disconnect"], 1)),
]


@pytest.mark.parametrize(("message", "packet"), TAKEN, ids=[message[:30] for message, _ in TAKEN])
def test_takes(message: str, packet: Packet) -> None:
    assert PARSER.decoder().feed(message) == packet


# Attachments


def test_text_while_attachments_are_missing() -> None:
    decoder = PARSER.decoder()
    assert decoder.feed(f'51-["e",{PLACEHOLDER}]') is None
    with pytest.raises(ParseError, match=r"^got plaintext data when reconstructing a packet$"):
        decoder.feed('2["e"]')
    assert not decoder.waiting


def test_binary_without_a_header() -> None:
    decoder = PARSER.decoder()
    with pytest.raises(ParseError, match=r"^got binary data when not reconstructing a packet$"):
        decoder.feed(b"x")
    feed_all(decoder, [f'51-["e",{PLACEHOLDER}]', b"x"])
    with pytest.raises(ParseError, match=r"^got binary data when not reconstructing a packet$"):
        decoder.feed(b"x")


ILLEGAL = {
    "out of range": "1",
    "far out of range": "1" + "0" * 300,
    "negative": "-1",
    "true": "true",
    "false": "false",
    "a float": "0.0",
    "a string": '"0"',
    "null": "null",
    "a list": "[0]",
}


@pytest.mark.parametrize("number", ILLEGAL.values(), ids=ILLEGAL)
@pytest.mark.parametrize("around", ["%s", "[[%s]]", '{"a":{"b":%s}}'])
def test_illegal_placeholders(number: str, around: str) -> None:
    decoder = PARSER.decoder()
    decoder.feed('51-["e",' + around % f'{{"_placeholder":true,"num":{number}}}' + "]")
    with pytest.raises(ParseError, match=r"^illegal attachments$"):
        decoder.feed(b"x")
    assert not decoder.waiting


def test_a_placeholder_without_a_number() -> None:
    decoder = PARSER.decoder()
    decoder.feed('51-["e",{"_placeholder":true}]')
    with pytest.raises(ParseError, match=r"^illegal attachments$"):
        decoder.feed(b"x")


def test_what_is_not_quite_a_placeholder_is_data() -> None:
    data = [{"_placeholder": 1, "num": 0}, {"_placeholder": "true", "num": 0}, {"_placeholder": False}, {"num": 0}]
    found: list[str | bytes] = ["51-" + json.dumps(["e", *data]), b"x"]
    assert feed_all(PARSER.decoder(), found) == Packet(EVENT, "/", ["e", *data])


def test_placeholders_may_repeat_and_attachments_may_go_unused() -> None:
    found: list[str | bytes] = [
        '53-7["e",{"_placeholder":true,"num":2,"more":1},[{"k":{"_placeholder":true,"num":0}},{"_placeholder":true,"num":2}]]',
        b"a",
        b"",
        b"c",
    ]
    assert feed_all(PARSER.decoder(), found) == Packet(EVENT, "/", ["e", b"c", [{"k": b"a"}, b"c"]], 7)


def test_the_number_of_attachments_is_limited() -> None:
    assert Parser(max_attachments=11).decoder().feed('511-["e"]') is None
    assert Parser(max_attachments=200).decoder().feed('5200-["e"]') is None
    for parser, message in [
        (Parser(max_attachments=2), '53-["e"]'),
        (Parser(max_attachments=200), '5201-["e"]'),
    ]:
        with pytest.raises(ParseError, match=r"^too many attachments$"):
            parser.decoder().feed(message)


def test_attachments_count_against_the_payload_limit_together() -> None:
    parser = Parser(max_payload=10)
    header = '53-["e"]'
    assert feed_all(parser.decoder(), [header, b"12345", b"", b"12345"]) is not None
    decoder = parser.decoder()
    decoder.feed(header)
    decoder.feed(b"123456")
    with pytest.raises(ParseError, match=r"^attachments too large$"):
        decoder.feed(b"12345")
    assert not decoder.waiting
    # The next packet begins anew.
    assert feed_all(parser.decoder(), [header, b"1234567890", b"", b""]) is not None


def test_limits_are_those_of_the_parser() -> None:
    parser = Parser(max_arguments=1, max_depth=3, max_containers=3, max_event_name=3, max_namespace_name=4)
    decoder = parser.decoder()
    for message in ('2["abc",[]]', '2/abc,["e"]', "31[1]", '2["e",[[]]]'):
        assert decoder.feed(message) is not None
    for message in ('2["e",1,2]', '2["e",[[[]]]]', '2["e",[{},{}]]', '2["abcd"]', '2/abcd,["e"]', "31[1,2]"):
        with pytest.raises(ParseError):
            decoder.feed(message)


def test_a_deep_payload_is_reconstructed_without_recursion() -> None:
    depth = 400
    parser = Parser(max_depth=depth + 10)
    found: list[str | bytes] = ['51-["e",' + "[" * depth + PLACEHOLDER + "]" * depth + "]", b"x"]
    packet = feed_all(parser.decoder(), found)
    assert packet is not None
    value = packet.data[1]
    for _ in range(depth):
        (value,) = value
    assert value == b"x"


# Anything at all


HEADERS = st.from_regex(r"[0-7]([0-9]{0,2}-)?(/[a-z?]{0,4},?)?[0-9]{0,3}", fullmatch=True)
PAYLOADS = st.sampled_from(
    ["", "[", "[]", '["e"]', '["e",', f'["e",{PLACEHOLDER}]', "{}", "null", '"s"', " ", "[1e999]"]
)
MESSAGES = st.text() | st.binary() | st.builds(lambda head, payload: head + payload, HEADERS, PAYLOADS)


@given(st.lists(MESSAGES, max_size=6))
@example(["2" + "[" * 100_000])
@example(["2" + '["e",' + '{"a":' * 100_000])
@example(['51-["' + '\\"' * 5000])
@example(["0" + "9" * 5000])
def test_anything_is_a_packet_or_a_parse_error(found: list[str | bytes]) -> None:
    for parser in (PARSER, FOREIGN):
        decoder = parser.decoder()
        for message in found:
            try:
                packet = decoder.feed(message)
            except ParseError:
                break
            assert (packet is None) == decoder.waiting
            if packet is not None:
                check_shape(packet)


def check_shape(packet: Packet) -> None:
    assert packet.namespace.startswith("/")
    if packet.type is EVENT:
        assert isinstance(packet.data, list)
        assert type(packet.data[0]) in (str, int)
    elif packet.type is ACK:
        assert isinstance(packet.data, list)
        assert type(packet.id) is int
    else:
        assert packet.id is None
        assert packet.type in (CONNECT, DISCONNECT, CONNECT_ERROR)
        if packet.type is CONNECT:
            assert isinstance(packet.data, dict)


@pytest.mark.parametrize(("references", "size"), [(11, 1), (3, 400_000)])
def test_references_to_one_attachment_count_like_attachments(references: int, size: int) -> None:
    decoder = Parser().decoder()
    placeholder = '{"_placeholder":true,"num":0}'
    assert decoder.feed(f'51-["e",{",".join([placeholder] * references)}]') is None
    with pytest.raises(ParseError, match="too many references"):
        decoder.feed(bytes(size))
