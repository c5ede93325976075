"""The WebSocket wire: every rule of RFC 6455 that it keeps, by name, and its agreement with wsproto on valid input."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wsproto.connection import SERVER, Connection
from wsproto.events import BytesMessage, TextMessage
from wsproto.frame_protocol import FrameProtocol, Opcode

from sioproto.errors import LocalProtocolError
from sioproto_wire.masking import unmask
from sioproto_wire.websocket import WebSocketState, WebSocketWire

OPEN, CLOSING, CLOSED = WebSocketState
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL: Final = 0x80
KEY: Final = b"\x11\xa2\x33\xf4"
HEADER: Final = 14
"""Bytes of the longest frame header."""
EDGES: Final = (0, 1, 2, 3, 4, 5, 124, 125, 126, 127, 128, 1023, 1024, 1025, 65535, 65536, 65537)


def frame(opcode: int, body: bytes = b"", final: bool = True, key: bytes = KEY) -> bytes:
    """Returns a client's frame, written apart from the code under test."""
    size = len(body)
    if size < 126:
        header = bytes((opcode | FINAL * final, 0x80 | size))
    elif size < 65536:
        header = bytes((opcode | FINAL * final, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        header = bytes((opcode | FINAL * final, 0x80 | 127)) + size.to_bytes(8, "big")
    return header + key + mask(body, key)


def mask(body: bytes, key: bytes = KEY) -> bytes:
    return bytes(byte ^ key[index & 3] for index, byte in enumerate(body))


def close_body(code: int, reason: bytes = b"") -> bytes:
    return code.to_bytes(2, "big") + reason


def answers(data: bytes) -> list[tuple[int, object]]:
    """Reads control frames as a client, with wsproto: (opcode, body); a close frame's body is (code, reason)."""
    protocol = FrameProtocol(client=True, extensions=[])
    protocol.receive_bytes(data)
    return [(int(part.opcode), part.payload) for part in protocol.received_frames()]


def buffered(wire: WebSocketWire) -> int:
    """How many bytes of the peer the wire keeps."""
    held, message = wire._held, wire._message
    return (0 if held is None else len(held)) + (0 if message is None else message.size)


def make(max_payload: int = 1_000_000, max_fragments: int = 1024) -> WebSocketWire:
    return WebSocketWire(max_payload, max_fragments)


def assert_failed(wire: WebSocketWire, code: int) -> None:
    """The connection failed with `code`, says so once to the peer, and takes nothing any more."""
    assert (wire.state, wire.close_code, wire.peer_closed) == (CLOSED, code, False)
    assert wire.error is not None
    assert answers(wire.take()) == [(CLOSE, (code, wire.error))]
    assert wire.take() == b""
    assert wire.receive(frame(TEXT, b"later")) == []
    assert wire.receive(b"\x81" * 100) == []
    assert (buffered(wire), wire.take()) == (0, b"")


# Messages


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("view", [bytes, bytearray, lambda data: memoryview(bytearray(data))])
def test_a_whole_message_of_each_length_form(size: int, view: type[bytes]) -> None:
    wire = make()
    body = bytes(index % 251 for index in range(size))
    text = "aé€😀"[: size % 5] + "x" * size
    assert wire.receive(view(frame(BINARY, body))) == [body]
    assert wire.receive(view(frame(TEXT, text.encode()))) == [text]
    assert (wire.state, wire.take(), wire.close_code, wire.error) == (OPEN, b"", None, None)


def test_messages_are_of_the_two_exact_types() -> None:
    wire = make()
    for size in (0, 1, 126, 2000):
        text, binary = wire.receive(bytearray(frame(TEXT, b"x" * size) + frame(BINARY, b"x" * size)))
        assert (type(text), type(binary)) == (str, bytes)
    wire.receive(frame(BINARY, b"x" * 2000)[:100])
    (binary,) = wire.receive(frame(BINARY, b"x" * 2000)[100:])
    assert type(binary) is bytes


def test_several_frames_in_one_read_keep_their_order() -> None:
    wire = make()
    data = frame(TEXT, b"one") + frame(BINARY, b"two") + frame(TEXT, b"x" * 300) + frame(TEXT, b"")
    assert wire.receive(data) == ["one", b"two", "x" * 300, ""]


def test_a_zero_length_message_is_empty_text_or_bytes() -> None:
    assert make().receive(frame(TEXT)) == [""]
    assert make().receive(frame(BINARY)) == [b""]


def test_an_empty_read_is_nothing() -> None:
    wire = make()
    assert wire.receive(b"") == []
    wire.receive(b"\x81")
    assert wire.receive(memoryview(b"")) == []
    assert wire.receive(frame(TEXT, b"x")[1:]) == ["x"]


def test_only_the_remaining_bytes_are_kept() -> None:
    wire = make()
    data = frame(TEXT, b"one") + frame(TEXT, b"two") + frame(TEXT, b"three")
    assert wire.receive(data[:-2]) == ["one", "two"]
    assert buffered(wire) == len(frame(TEXT, b"three")) - 2
    assert wire.receive(data[-2:]) == ["three"]
    assert wire._held is None


def test_the_read_buffer_may_be_reused_after_the_call() -> None:
    wire = make()
    data = frame(BINARY, b"kept") + frame(BINARY, b"a" * 3000) + frame(BINARY, b"held" * 10)
    shared = bytearray(data)
    with memoryview(shared) as view:
        messages = wire.receive(view[:-5])
    shared[:] = bytes(len(shared))
    shared.append(0)  # raises if anything still refers to the buffer
    messages += wire.receive(data[-5:])
    assert messages == [b"kept", b"a" * 3000, b"held" * 10]


def test_fragments_become_one_message() -> None:
    wire = make()
    assert wire.receive(frame(TEXT, b"a", final=False)) == []
    assert wire.receive(frame(CONTINUATION, b"", final=False)) == []
    assert wire.receive(frame(CONTINUATION, b"b") + frame(TEXT, b"c")) == ["ab", "c"]
    assert wire.receive(frame(BINARY, b"a", final=False) + frame(CONTINUATION)) == [b"a"]
    assert wire.receive(frame(TEXT, final=False) + frame(CONTINUATION)) == [""]
    assert wire.receive(frame(BINARY, final=False) + frame(CONTINUATION)) == [b""]


def test_a_character_may_be_split_over_fragments() -> None:
    wire = make()
    data = "€".encode()
    wire.receive(frame(TEXT, data[:1], final=False) + frame(CONTINUATION, data[1:2], final=False))
    assert wire.receive(frame(CONTINUATION, data[2:])) == ["€"]


def test_a_short_frame_inside_a_fragmented_message_does_not_overtake_it() -> None:
    wire = make()
    data = frame(TEXT, b"a", final=False) + frame(PING, b"p") + frame(CONTINUATION, b"b") + frame(TEXT, b"c")
    assert wire.receive(data) == ["ab", "c"]
    assert answers(wire.take()) == [(PONG, b"p")]


@pytest.mark.parametrize("key", [bytes(4), b"\x00\x00\x00\x01", b"\xff\xff\xff\xff", KEY])
@pytest.mark.parametrize("size", EDGES)
def test_unmasking_is_its_own_inverse_for_any_size(size: int, key: bytes) -> None:
    body = bytes(index % 253 for index in range(size))
    data = b"xx" + key + mask(body, key) + b"yy"
    assert unmask(data, 6, 6 + size) == unmask(bytearray(data), 6, 6 + size) == body


# Frame headers (RFC 6455, 5.2)


def test_an_unmasked_frame_is_1002() -> None:
    wire = make()
    assert wire.receive(b"\x81\x01x") == []
    assert_failed(wire, 1002)


@pytest.mark.parametrize("bit", [0x40, 0x20, 0x10])
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, CLOSE])
def test_a_reserved_bit_is_1002(opcode: int, bit: int) -> None:
    wire = make()
    wire.receive(frame(opcode | bit, close_body(1000)))
    assert_failed(wire, 1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 0xB, 0xC, 0xD, 0xE, 0xF])
def test_a_reserved_opcode_is_1002(opcode: int) -> None:
    wire = make()
    wire.receive(frame(opcode, b"ab"))
    assert_failed(wire, 1002)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
def test_a_fragmented_control_frame_is_1002(opcode: int) -> None:
    wire = make()
    wire.receive(frame(opcode, b"", final=False))
    assert_failed(wire, 1002)


@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("size", [126, 127])
def test_a_control_frame_over_125_bytes_is_1002_before_its_length_comes(opcode: int, size: int) -> None:
    wire = make()
    wire.receive(bytes((FINAL | opcode, 0x80 | size)))
    assert_failed(wire, 1002)


@pytest.mark.parametrize("length", [b"\xfe\x00\x7d", b"\xff" + bytes(6) + b"\xff\xff", b"\xff" + bytes(8)])
def test_a_length_that_is_not_in_shortest_form_is_1002(length: bytes) -> None:
    wire = make()
    wire.receive(b"\x82" + length)
    assert_failed(wire, 1002)


def test_a_length_with_the_top_bit_set_is_1002() -> None:
    wire = make()
    wire.receive(b"\x82\xff\x80" + bytes(7))
    assert_failed(wire, 1002)


def test_a_continuation_without_a_start_is_1002() -> None:
    wire = make()
    assert wire.receive(frame(TEXT, b"whole") + frame(CONTINUATION, b"x")) == ["whole"]
    assert_failed(wire, 1002)


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("final", [True, False])
def test_a_new_message_inside_a_fragmented_one_is_1002(opcode: int, final: bool) -> None:
    wire = make()
    wire.receive(frame(opcode, b"a", final=False))
    assert wire.receive(frame(opcode, b"b", final=final)) == []
    assert_failed(wire, 1002)


def test_two_bytes_are_enough_to_refuse() -> None:
    for data in (b"\x80\x80", b"\x81\x01", b"\xc1\x80", b"\x83\x80", b"\x09\x80"):
        wire = make()
        wire.receive(data[:1])
        assert wire.state is OPEN
        wire.receive(data[1:])
        assert_failed(wire, 1002)


# Limits


@pytest.mark.parametrize("limit", [0, 1, 124, 125, 126, 1000, 65535, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_over_the_payload_limit_is_1009(limit: int, opcode: int) -> None:
    wire = make(limit)
    assert len(wire.receive(frame(opcode, b"x" * limit))) == 1
    assert wire.receive(frame(opcode, b"x" * (limit + 1))) == []
    assert_failed(wire, 1009)


def test_a_huge_length_is_1009_as_soon_as_it_is_declared() -> None:
    wire = make()
    wire.receive(b"\x82\xff" + (1 << 62).to_bytes(8, "big"))
    assert_failed(wire, 1009)


def test_the_parts_of_a_message_over_the_limit_together_are_1009_by_the_header() -> None:
    wire = make(10)
    wire.receive(frame(BINARY, b"x" * 6, final=False))
    assert wire.receive(frame(CONTINUATION, b"x" * 4)) == [b"x" * 10]
    wire.receive(frame(BINARY, b"x" * 6, final=False))
    wire.receive(b"\x80\x85")
    assert_failed(wire, 1009)


def test_control_frames_do_not_count_against_the_payload_limit() -> None:
    wire = make(4)
    wire.receive(frame(TEXT, b"ab", final=False) + frame(PING, b"p" * 125))
    assert wire.receive(frame(CONTINUATION, b"cd")) == ["abcd"]
    assert answers(wire.take()) == [(PONG, b"p" * 125)]


def test_too_many_fragments_are_1008() -> None:
    wire = make(max_fragments=3)
    middle = frame(CONTINUATION, b"", final=False)
    assert wire.receive(frame(TEXT, b"a", final=False) + middle + frame(CONTINUATION)) == ["a"]
    assert wire.receive(frame(TEXT, b"a", final=False) + middle + middle) == []
    assert wire.state is OPEN
    wire.receive(frame(CONTINUATION))
    assert_failed(wire, 1008)


def test_a_flood_of_fragments_is_read_in_turns() -> None:
    """Each costs much more than its six bytes, and a whole message has a limit of its own."""
    wire = make(max_fragments=10_000)
    flood = frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"", final=False) * 1000 + frame(CONTINUATION, b"b")
    messages = wire.receive(flood + frame(TEXT, b"whole"))
    turns = 1
    while wire.pending:
        assert messages == []
        messages = wire.receive(b"")
        turns += 1
    assert messages == ["ab", "whole"]
    assert turns == 1001 // 125 + 1
    assert (wire.state, wire._held, wire._message) == (OPEN, None, None)


def test_what_comes_while_fragments_are_pending_is_read_behind_them() -> None:
    wire = make()
    wire.receive(frame(BINARY, b"a", final=False) + frame(CONTINUATION, b"", final=False) * 125)
    assert wire.pending
    assert wire.receive(frame(CONTINUATION, b"b") + frame(PING, b"late")) == [b"ab"]
    assert not wire.pending
    assert answers(wire.take()) == [(PONG, b"late")]


def test_whole_messages_and_control_frames_take_no_turns() -> None:
    wire = make()
    start = frame(BINARY, b"a", final=False)
    assert wire.receive((frame(TEXT, b"x") + frame(PING)) * 1000) == ["x"] * 1000
    assert wire.receive((start + frame(PONG) + frame(CONTINUATION)) * 124) == [b"a"] * 124
    assert not wire.pending
    assert wire.receive((start + frame(PONG) + frame(CONTINUATION)) * 126) == [b"a"] * 124
    assert wire.pending
    assert wire.receive(b"") == [b"a"] * 2


def test_nothing_is_pending_where_a_turn_ends_with_the_bytes() -> None:
    wire = make()
    wire.receive(frame(BINARY, b"a", final=False) + frame(CONTINUATION, final=False) * 124)
    assert not wire.pending
    assert wire.receive(frame(CONTINUATION, b"b") + frame(BINARY, b"c", final=False) * 2) == [b"ab"]
    assert (wire.state, wire.pending) == (CLOSED, False)


def test_after_our_close_frame_no_fragment_is_looked_at() -> None:
    wire = make()
    wire.receive(frame(TEXT, b"a", final=False))
    wire.close(1000)
    wire.take()
    assert wire.receive(frame(CONTINUATION, b"\xff", final=False) * 500 + frame(CONTINUATION)) == []
    assert wire.receive(frame(TEXT, b"b", final=False) + frame(PING, b"p")) == []
    assert (wire.state, wire.pending) == (CLOSING, False)
    assert answers(wire.take()) == [(PONG, b"p")]


@given(
    limit=st.integers(0, 2000),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=12),
    step=st.integers(1, 300),
)
def test_buffered_bytes_stay_within_one_message_and_one_header(limit: int, sizes: list[int], step: int) -> None:
    wire = make(limit)
    data = b"".join(frame(BINARY if not at else CONTINUATION, b"x" * size, False) for at, size in enumerate(sizes))
    for at in range(0, len(data), step):
        wire.receive(data[at : at + step])
        assert buffered(wire) <= limit + HEADER
    assert (wire.close_code == 1009) == (sum(sizes) > limit)


def test_a_declared_length_allocates_nothing() -> None:
    wire = make()
    wire.receive(frame(BINARY, b"x" * 900_000)[:HEADER])
    assert wire._held is not None
    assert sys.getsizeof(wire._held) < 200


def test_a_large_frame_in_single_bytes_is_only_collected() -> None:
    """No byte of the body makes the header be judged again: that, and a growing bytearray, is what keeps it linear."""

    class Counting(WebSocketWire):
        __slots__ = ("judged",)
        judged: int

        def _judge(self, data: bytes | bytearray, start: int, available: int) -> int:
            self.judged += 1
            return super()._judge(data, start, available)

    wire = Counting(1_000_000)
    wire.judged = 0
    data = frame(BINARY, b"x" * 100_000)
    with memoryview(data) as view:
        for at in range(len(data) - 1):
            assert wire.receive(view[at : at + 1]) == []
        held = wire._held
        assert held is not None
        assert sys.getsizeof(held) < len(data) * 1.25
        assert wire.receive(view[-1:]) == [b"x" * 100_000]
    assert wire.judged <= 4  # two bytes, the length, the whole frame


def test_an_idle_connection_is_lean() -> None:
    wire = make()
    wire.receive(frame(PING, b"x") + frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"b"))
    wire.receive(frame(TEXT, b"partial")[:5])
    wire.receive(frame(TEXT, b"partial")[5:])
    wire.take()
    kept = {name for name in WebSocketWire.__slots__ if getattr(wire, name)}
    assert kept == {"max_payload", "max_fragments", "state", "_mask", "_body", "_unmask", "_short", "_plain", "_need"}
    assert sys.getsizeof(wire) < 300
    assert not hasattr(wire, "__dict__")


# UTF-8 (RFC 6455, 8.1)

BAD_TEXTS: Final = [
    b"\xff",
    b"\xc0\xaf",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"x" * 200 + b"\x80",
    b"x" * 2000 + b"\xe2",
]


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_invalid_utf8_in_a_text_is_1007(bad: bytes) -> None:
    wire = make()
    assert wire.receive(frame(BINARY, bad) + frame(TEXT, bad) + frame(TEXT, b"later")) == [bad]
    assert_failed(wire, 1007)


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_invalid_utf8_over_fragments_is_1007(bad: bytes) -> None:
    wire = make()
    assert wire.receive(frame(TEXT, bad[:1], final=False) + frame(CONTINUATION, bad[1:])) == []
    assert_failed(wire, 1007)


def test_invalid_utf8_in_a_fragment_is_1007_before_the_message_ends() -> None:
    wire = make()
    wire.receive(frame(TEXT, b"\xe2\x82", final=False) + frame(CONTINUATION, b"x", final=False))
    assert_failed(wire, 1007)


def test_invalid_utf8_in_a_close_reason_is_1007() -> None:
    wire = make()
    wire.receive(frame(CLOSE, close_body(1000, b"\xff")))
    assert_failed(wire, 1007)


# Ping and pong (RFC 6455, 5.5.2 and 5.5.3)


@pytest.mark.parametrize("body", [b"", b"p", b"p" * 125, bytes(range(125))])
def test_a_ping_is_answered_with_its_payload(body: bytes) -> None:
    wire = make()
    assert wire.receive(frame(PING, body)) == []
    assert answers(wire.take()) == [(PONG, body)]
    assert wire.take() == b""


def test_a_flood_of_pings_queues_one_pong_to_the_latest() -> None:
    wire = make()
    wire.receive(b"".join(frame(PING, b"%d" % number) for number in range(1000)))
    wire.receive(frame(PING, b"last"))
    assert answers(wire.take()) == [(PONG, b"last")]


def test_a_pong_is_ignored() -> None:
    wire = make()
    assert wire.receive(frame(PONG) + frame(PONG, b"unasked") + frame(TEXT, b"a")) == ["a"]
    assert (wire.take(), wire.state) == (b"", OPEN)


# The peer closes (RFC 6455, 5.5.1 and 7.4)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4999])
def test_a_valid_close_is_echoed(code: int) -> None:
    wire = make()
    assert wire.receive(frame(TEXT, b"a") + frame(CLOSE, close_body(code, b"bye")) + frame(TEXT, b"b")) == ["a"]
    assert (wire.state, wire.close_code, wire.error, wire.peer_closed) == (CLOSED, code, None, True)
    assert wire.take() == b"\x88\x05" + close_body(code, b"bye")
    assert wire.receive(frame(PING) + frame(TEXT, b"b")) == []
    assert wire.take() == b""
    wire.receive_eof()
    assert (wire.close_code, wire.error) == (code, None)


def test_a_close_without_a_code_is_1005() -> None:
    wire = make()
    wire.receive(frame(CLOSE))
    assert (wire.state, wire.close_code, wire.error, wire.peer_closed) == (CLOSED, 1005, None, True)
    assert answers(wire.take()) == [(CLOSE, (1005, ""))]


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_an_invalid_close_code_is_1002(code: int) -> None:
    wire = make()
    wire.receive(frame(CLOSE, close_body(code)))
    assert_failed(wire, 1002)


def test_a_close_with_half_a_code_is_1002() -> None:
    wire = make()
    wire.receive(frame(CLOSE, b"\x03"))
    assert_failed(wire, 1002)


def test_a_ping_before_the_close_is_answered_before_the_echo() -> None:
    wire = make()
    wire.receive(frame(PING, b"p") + frame(CLOSE, close_body(1000)) + frame(PING, b"late"))
    assert wire.take() == b"\x8a\x01p" + b"\x88\x02" + close_body(1000)


def test_a_close_inside_a_fragmented_message_drops_it() -> None:
    wire = make()
    assert wire.receive(frame(TEXT, b"a", final=False) + frame(CLOSE) + frame(CONTINUATION, b"b")) == []
    assert (wire.close_code, buffered(wire)) == (1005, 0)


# We close


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (None, "", b"\x88\x00"),
        (1000, "", b"\x88\x02\x03\xe8"),
        (1001, "déjà", b"\x88\x08\x03\xe9" + "déjà".encode()),
        (4999, "x" * 123, b"\x88\x7d\x13\x87" + b"x" * 123),
    ],
)
def test_close_queues_one_close_frame(code: int | None, reason: str, expected: bytes) -> None:
    wire = make()
    wire.close(code, reason)
    wire.close(1001, "again")
    assert (wire.state, wire.close_code, wire.peer_closed) == (CLOSING, None, False)
    assert wire.take() == expected
    wire.close()
    assert wire.take() == b""


def test_after_close_messages_are_dropped_and_control_frames_handled() -> None:
    wire = make()
    wire.receive(frame(TEXT, b"a", final=False))
    wire.close(1001)
    wire.take()
    assert wire.receive(frame(CONTINUATION, b"b") + frame(BINARY, b"c" * 500) + frame(PING, b"p")) == []
    assert (answers(wire.take()), wire.state) == ([(PONG, b"p")], CLOSING)
    assert wire.receive(frame(TEXT, b"d") + frame(CLOSE, close_body(1001))) == []
    assert (wire.state, wire.close_code, wire.error, wire.peer_closed) == (CLOSED, 1001, None, True)
    assert wire.take() == b""


def test_a_failure_after_close_sends_no_second_close_frame() -> None:
    wire = make(10)
    wire.close(1000)
    wire.take()
    wire.receive(frame(TEXT, b"x" * 11))
    assert (wire.state, wire.close_code, wire.take()) == (CLOSED, 1009, b"")
    assert wire.error is not None


def test_a_close_frame_not_yet_taken_survives_the_peers_answer() -> None:
    wire = make()
    wire.close(1000)
    wire.receive(frame(CLOSE, close_body(3000)))
    assert (wire.close_code, wire.take()) == (3000, b"\x88\x02\x03\xe8")


def test_close_after_the_end_does_nothing() -> None:
    wire = make()
    wire.receive(frame(CLOSE, close_body(1000)))
    wire.take()
    wire.close(1001)
    assert (wire.state, wire.close_code, wire.take()) == (CLOSED, 1000, b"")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(None, "why"), (1005, ""), (1006, ""), (1004, ""), (999, ""), (5000, ""), (1000, "é" * 62), (1000, "\ud800")],
)
def test_a_close_frame_that_may_not_be_sent_raises(code: int | None, reason: str) -> None:
    wire = make()
    with pytest.raises(LocalProtocolError):
        wire.close(code, reason)
    assert (wire.state, wire.take()) == (OPEN, b"")


# The bytes end


def test_an_end_without_a_close_frame_is_1006() -> None:
    wire = make()
    wire.receive(frame(TEXT, b"a", final=False) + frame(PING) + frame(CONTINUATION, b"b")[:3])
    wire.receive_eof()
    wire.receive_eof()
    assert (wire.state, wire.close_code, wire.peer_closed) == (CLOSED, 1006, False)
    assert wire.error is not None
    assert (wire.take(), buffered(wire), wire.receive(frame(TEXT, b"b"))) == (b"", 0, [])


def test_an_end_while_we_wait_for_the_peers_close_is_1006() -> None:
    wire = make()
    wire.close(1000)
    wire.receive_eof()
    assert (wire.state, wire.close_code, wire.take()) == (CLOSED, 1006, b"")


def test_an_end_after_a_failure_changes_nothing() -> None:
    wire = make()
    wire.receive(b"\x81\x00")
    wire.receive_eof()
    assert_failed(wire, 1002)


# Errors


def test_messages_before_the_bad_frame_are_returned_and_none_after_it() -> None:
    for bad in (b"\xc1\x80" + KEY, frame(TEXT, b"\xff"), frame(CONTINUATION), frame(CLOSE, b"x")):
        wire = make()
        assert wire.receive(frame(TEXT, b"a") + frame(BINARY, b"b" * 200) + bad + frame(TEXT, b"c")) == [
            "a",
            b"b" * 200,
        ]
        assert wire.state is CLOSED


def test_no_error_holds_the_peers_words() -> None:
    for bad in (frame(TEXT, b"secret\xff"), frame(CLOSE, close_body(1004, b"secret")), frame(3, b"secret")):
        wire = make()
        wire.receive(bad)
        assert b"secret" not in wire.take()
        assert "secret" not in (wire.error or "secret")


# Against wsproto


@st.composite
def sessions(draw: st.DrawFn) -> list[bytes]:
    """A sequence of valid client frames: messages, whole or fragmented, with control frames between the fragments."""
    frames: list[bytes] = []
    keys = st.binary(min_size=4, max_size=4)
    sizes = st.one_of(st.integers(0, 40), st.sampled_from(EDGES))
    for _ in range(draw(st.integers(1, 5))):
        fragments = draw(st.one_of(st.just(1), st.integers(1, 4)))
        text = draw(st.booleans())
        for at in range(fragments):
            opcode = CONTINUATION if at else TEXT if text else BINARY
            if text:
                body = (draw(st.text(max_size=4)) + "x" * draw(sizes)).encode()
            else:
                body = (draw(st.binary(max_size=4)) * 20_000)[: draw(sizes)]
            frames.append(frame(opcode, body, at == fragments - 1, draw(keys)))
            if draw(st.integers(0, 3)) == 0:
                frames.append(
                    frame(draw(st.sampled_from((PING, PONG))), draw(st.binary(max_size=125)), True, draw(keys))
                )
    return frames


def read_with_wsproto(data: bytes) -> list[str | bytes]:
    connection = Connection(SERVER)
    connection.receive_data(data)
    messages: list[str | bytes] = []
    text, binary = "", b""
    for event in connection.events():
        if isinstance(event, TextMessage):
            text += event.data
            if event.message_finished:
                messages.append(text)
                text = ""
        elif isinstance(event, BytesMessage):
            binary += event.data
            if event.message_finished:
                messages.append(binary)
                binary = b""
    return messages


@settings(deadline=None)
@given(frames=sessions(), splits=st.lists(st.floats(0, 1), max_size=30))
def test_valid_frames_read_as_wsproto_reads_them_in_any_chunking(frames: list[bytes], splits: list[float]) -> None:
    data = b"".join(frames)
    expected = read_with_wsproto(data)
    pings = [unmask(ping, 6, len(ping)) for ping in frames if ping[0] == FINAL | PING]
    whole = [0, len(data)]
    random = sorted({*whole, *(int(split * len(data)) for split in splits)})
    # Every byte by itself where that is quick; else around the frames' borders, where headers are split.
    near = {at + offset for at in borders(frames) for offset in range(-3, HEADER + 3)}
    single = sorted({*whole, *(at for at in (range(len(data)) if len(data) < 4096 else near) if 0 < at < len(data))})
    for cuts in (whole, random, single):
        wire = make()
        messages: list[str | bytes] = []
        for start, stop in pairwise(cuts):
            messages += wire.receive(data[start:stop])
        assert messages == expected
        assert (wire.state, wire.error) == (OPEN, None)
        assert answers(wire.take()) == [(PONG, ping) for ping in pings[-1:]]
        assert (wire._held, wire._message) == (None, None)


def borders(frames: list[bytes]) -> list[int]:
    ends = [0]
    for data in frames:
        ends.append(ends[-1] + len(data))
    return ends


def test_a_megabyte_in_single_bytes_is_one_message() -> None:
    wire = make()
    body = bytes(range(250)) * 4000
    data = frame(BINARY, body, key=bytes(4))
    messages: list[str | bytes] = []
    with memoryview(data) as view:
        for at in range(len(data)):
            messages += wire.receive(view[at : at + 1])
    assert messages == [body]


# Fuzz


def read(data: bytes, step: int, limit: int) -> tuple[list[str | bytes], WebSocketWire, bytes]:
    wire = WebSocketWire(limit, 4)
    messages: list[str | bytes] = []
    for at in range(0, len(data), step):
        messages += wire.receive(data[at : at + step])
        assert buffered(wire) <= limit + 131
    return messages, wire, wire.take()


headers: Final = st.builds(
    lambda first, size, rest: bytes((first, 0x80 | size)) + rest,
    st.sampled_from([opcode | final for opcode in range(11) for final in (0, FINAL)]),
    st.one_of(st.integers(0, 12), st.integers(124, 127)),
    st.binary(max_size=24),
)
valid: Final = st.builds(
    frame, st.sampled_from((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)), st.binary(max_size=140), st.booleans()
)
hostile: Final = st.one_of(
    st.binary(max_size=200), st.lists(st.one_of(headers, valid, st.binary(max_size=8)), max_size=8).map(b"".join)
)


@settings(max_examples=500, deadline=None)
@given(data=hostile, step=st.integers(1, 40), limit=st.integers(0, 300))
def test_random_bytes_never_raise_and_mean_the_same_in_any_chunking(data: bytes, step: int, limit: int) -> None:
    messages, wire, answer = read(data, step, limit)
    again, other, _ = read(data, max(1, len(data)), limit)
    assert messages == again
    assert (wire.state, wire.close_code, wire.error) == (other.state, other.close_code, other.error)
    if wire.error is not None:
        assert wire.close_code in (1002, 1007, 1008, 1009)
        assert answers(answer)[-1] == (CLOSE, (wire.close_code, wire.error))
    else:
        assert (wire.state is CLOSED) == wire.peer_closed
    assert all(int(opcode) in (Opcode.PONG, Opcode.CLOSE) for opcode, _ in answers(answer))
    wire.receive_eof()
    assert wire.state is CLOSED


@settings(max_examples=300, deadline=None)
@given(data=hostile)
def test_what_wsproto_refuses_we_refuse(data: bytes) -> None:
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(data)
    refused = None
    try:
        for _ in protocol.received_frames():
            pass
    except Exception as error:
        refused = error
    assume(refused is not None and "unknown reserved code" not in str(refused))
    wire = make(70_000)
    wire.receive(data)
    # wsproto looks into a text frame before it is whole; we do once it is.
    while wire._held is not None:
        wire.receive(bytes(wire._need - len(wire._held)))
    assert wire.error is not None
