"""Packets and polling payloads: round trips, laziness, and that nonsense is a protocol error and nothing else."""

from __future__ import annotations

import itertools
import json
import tracemalloc
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto.config import EngineConfig
from sioproto.engineio.packet import PacketType, open_packet
from sioproto.engineio.payload import decode_packet, decode_payload, encode_payload
from sioproto.errors import RemoteProtocolError
from sioproto.frame import Frame

ENCODABLE = st.characters(exclude_categories=["Cs"])
TEXTS = st.text(ENCODABLE.filter(lambda char: char != "\x1e"), max_size=30)
TEXT_PACKETS = st.builds(lambda digit, data: digit + data, st.sampled_from("0123456"), TEXTS)
PACKETS = TEXT_PACKETS | st.binary(max_size=40)
BASE64_LIKE = st.text(st.sampled_from("AQZaz09+/=-_ \n\u0661"), max_size=13)


def test_type_digits() -> None:
    names = ["OPEN", "CLOSE", "PING", "PONG", "MESSAGE", "UPGRADE", "NOOP"]
    assert "".join(getattr(PacketType, name) for name in names) == "0123456"


def test_open_packet_is_what_the_reference_server_writes() -> None:
    assert open_packet("lv_VI97HAXpY6yYWAAAB", ["websocket"], EngineConfig()) == (
        '0{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":["websocket"],'
        '"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}'
    )


def test_open_packet_has_whole_milliseconds() -> None:
    config = EngineConfig(ping_interval=0.3, ping_timeout=1.0015, max_payload=77)
    packet = json.loads(open_packet("s", (), config)[1:])
    assert packet == {"sid": "s", "upgrades": [], "pingInterval": 300, "pingTimeout": 1002, "maxPayload": 77}
    assert all(type(packet[key]) is int for key in ("pingInterval", "pingTimeout", "maxPayload"))


# The examples of the Engine.IO protocol document.
@pytest.mark.parametrize(
    ("body", "packets"),
    [
        (b"4hello\x1e2\x1e4world", ["4hello", "2", "4world"]),
        (b"4hello\x1ebAQIDBA==", ["4hello", b"\x01\x02\x03\x04"]),
        (b"4", ["4"]),
        (b"b", [b""]),
        ("4\u20ac\U0001f600".encode(), ["4\u20ac\U0001f600"]),
        (b"0\x1e1\x1e2\x1e3\x1e4\x1e5\x1e6", list("0123456")),
    ],
)
def test_payload_examples(body: bytes, packets: list[str | bytes]) -> None:
    assert list(decode_payload(body)) == packets
    assert encode_payload([Frame(packet) for packet in packets]) == body


@given(st.lists(PACKETS, min_size=1, max_size=20))
def test_payload_round_trip(packets: list[str | bytes]) -> None:
    assert list(decode_payload(encode_payload([Frame(packet) for packet in packets]))) == packets


def websocket_body(frame: Frame) -> str | bytes:
    """Returns the message that a frame's bytes are."""
    first, size = frame.websocket[:2]
    body = frame.websocket[2 if size < 126 else 4 if size == 126 else 10 :]
    assert len(body) == frame.size
    return body if first == 0x82 else body.decode()


@given(PACKETS | st.sampled_from(["4" + "ü" * 62, "4" + "ü" * 63, "4" + "x" * 65535, bytes(125), bytes(65536)]))
def test_all_forms_of_a_frame_say_the_same(packet: str | bytes) -> None:
    frame = Frame(packet)
    assert websocket_body(frame) == packet
    assert decode_packet(frame.payload) == packet
    text = websocket_body(frame.as_text)
    assert isinstance(text, str)
    assert decode_packet(text) == packet


@given(st.lists(PACKETS, min_size=1, max_size=6), st.binary(max_size=5) | TEXTS.map(str.encode), st.data())
def test_what_stands_before_a_change_is_delivered(packets: list[str | bytes], put: bytes, data: st.DataObject) -> None:
    """A body that was changed somewhere is packets or a protocol error, and what is whole before it is not lost."""
    frames = [Frame(packet) for packet in packets]
    body = encode_payload(frames)
    start = data.draw(st.integers(0, len(body)))
    changed = body[:start] + put + body[start + data.draw(st.integers(0, 4)) :]
    untouched = body[:start].count(b"\x1e")
    try:
        found = decode_payload(changed)
    except RemoteProtocolError:
        with pytest.raises(UnicodeDecodeError):
            changed.decode()
        return
    delivered: list[str | bytes] = []
    try:
        delivered.extend(found)  # keeps what came before an error
    except RemoteProtocolError:
        pass
    else:
        assert encode_payload([Frame(packet) for packet in delivered]) == changed
    assert delivered[:untouched] == packets[:untouched]
    assert changed.startswith(encode_payload([Frame(packet) for packet in delivered]))


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        ("", "empty packet"),
        ("7", "unknown packet type"),
        ("/", "unknown packet type"),
        ("abc", "unknown packet type"),
        ("\u06641", "unknown packet type"),  # an Arabic digit
        ("\u00b2", "unknown packet type"),  # a superscript
        ("bA", "invalid base64"),
        ("bAQ", "invalid base64"),
        ("bAQ=", "invalid base64"),
        ("bAQ===", "invalid base64"),
        ("bAQID=", "invalid base64"),
        ("bAQIDBA==AQ==", "invalid base64"),
        ("bAR==", "invalid base64"),  # unused bits that are not zero
        ("bAQJ=", "invalid base64"),
        ("b====", "invalid base64"),
        ("b=", "invalid base64"),
        ("bAQ\nI=", "invalid base64"),
        ("bAQ I", "invalid base64"),
        ("b-_-_", "invalid base64"),
        ("b\u00e9\u00e9\u00e9\u00e9", "invalid base64"),
    ],
)
def test_invalid_packets(packet: str, message: str) -> None:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_packet(packet)
    assert str(caught.value) == message


@pytest.mark.parametrize("body", [b"", b"\x1e", b"4a\x1e", b"\x1e4a", b"4a\x1e\x1e4b"])
def test_an_empty_packet_is_invalid_wherever_it_stands(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="empty packet"):
        list(decode_payload(body))


@given(BASE64_LIKE | st.binary(max_size=12).map(lambda data: b64encode(data).decode()))
def test_base64_has_one_spelling(text: str) -> None:
    try:
        data = decode_packet("b" + text)
    except RemoteProtocolError:
        return
    assert isinstance(data, bytes)
    assert b64encode(data).decode() == text


def test_packets_before_an_invalid_one_are_delivered() -> None:
    packets = decode_payload(b"4a\x1e4b\x1ex\x1e4c")
    assert list(itertools.islice(packets, 2)) == ["4a", "4b"]
    with pytest.raises(RemoteProtocolError):
        next(packets)
    assert list(packets) == []


@pytest.mark.parametrize("body", [b"\xff", b"4a\x1e4\xc3(", b"4\xed\xa0\x80"])
def test_invalid_utf8_is_refused_before_anything_is_delivered(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="UTF-8"):
        decode_payload(body)


def test_control_packets_are_counted_and_messages_are_not() -> None:
    body = b"\x1e".join([b"4", b"3", b"bAA=="] * 100)
    assert len(list(decode_payload(body, 100))) == 300
    packets = decode_payload(body + b"\x1e4last\x1e6", 100)
    assert len(list(itertools.islice(packets, 301))) == 301
    with pytest.raises(RemoteProtocolError, match="too many packets"):
        next(packets)


def test_decoding_is_lazy_and_linear() -> None:
    body = b"\x1e".join([b"4"] * 500_000)
    tracemalloc.start()
    try:
        packets = decode_payload(body)
        assert list(itertools.islice(packets, 512)) == ["4"] * 512
        # The text of the body, and not half a million packets, of which each pointer has eight bytes.
        assert tracemalloc.get_traced_memory()[1] < 2 * len(body)
    finally:
        tracemalloc.stop()
    # Quadratic work would take minutes for the rest.
    assert sum(1 for _ in packets) == 500_000 - 512


@given(st.binary(max_size=60) | st.text(ENCODABLE, max_size=40).map(str.encode))
def test_any_body_is_packets_or_a_protocol_error(body: bytes) -> None:
    try:
        packets = list(decode_payload(body, 3))
    except RemoteProtocolError:
        return
    assert encode_payload([Frame(packet) for packet in packets]) == body
