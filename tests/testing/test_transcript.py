"""The transcript: lines for people, a bounded number of them."""

from __future__ import annotations

from sioproto.testing import Clock, Transcript
from sioproto.testing.reading import describe
from sioproto_wire.websocket import WebSocketWire


def make(limit: int = 100) -> tuple[Transcript, Clock]:
    clock = Clock()
    return Transcript(clock, limit), clock


def test_lines_say_when_who_and_what() -> None:
    transcript, clock = make()
    transcript.add("alice", " >", ["40"])
    clock.now = 12.5
    transcript.add("alice", " <", ['40{"sid":"x"}', b"\x00\xff"])
    transcript.note("alice", "the connection is cut")
    assert str(transcript) == "\n".join(
        [
            "   0.000  alice > 40",
            '  12.500  alice < 40{"sid":"x"}',
            "  12.500  alice < b'\\x00\\xff'",
            "  12.500  alice: the connection is cut",
        ]
    )
    assert transcript.tail(1) == "  12.500  alice: the connection is cut"


def test_a_line_is_a_line_whatever_it_says() -> None:
    transcript, _ = make()
    transcript.add("a", " >", ["one\ntwo\x1e\x7f\ud800 Grüße"])
    assert str(transcript) == "   0.000  a > one\\x0atwo\\x1e\\x7f\\xd800 Grüße"


def test_of_long_messages_the_beginning_is_shown_and_kept() -> None:
    transcript, _ = make()
    for text in ("x" * 101, "x" * 1_000_000):
        transcript.add("a", " >", [text])
    transcript.add("a", " >", [bytes(200)])
    transcript.add("a", " >", ["y", b"\x01" * 1000])
    lines = str(transcript).splitlines()
    assert lines[0].endswith("x... (101 characters)")
    assert lines[1].endswith("x... (1000000 characters)")
    assert lines[2].endswith("... (200 bytes)")
    assert lines[3].endswith("a > y")
    assert lines[4].endswith("... (1000 bytes)")
    assert max(map(len, lines)) < 450


def test_only_so_many_entries_are_kept() -> None:
    transcript, _ = make(limit=3)
    for number in range(10):
        transcript.note("a", str(number))
    assert len(transcript) == 3
    assert transcript.count == 10
    assert str(transcript).splitlines() == ["(7 earlier entries are gone)", *(f"   0.000  a: {n}" for n in (7, 8, 9))]


def test_bytes_are_shown_as_what_they_say() -> None:
    assert describe(b"GET /socket.io/?x HTTP/1.1\r\nhost: a\r\n\r\n") == ["GET /socket.io/?x"]
    assert describe(b"POST / HTTP/1.1\r\n\r\n40\x1e42[]") == ["POST /", "40", "42[]"]
    assert describe(b"HTTP/1.1 200 OK\r\n\r\n") == ["200 OK"]
    assert describe(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x012") == ["101 Switching Protocols", "2"]
    assert describe(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81") == ["101 Switching Protocols", b"\x81"]
    assert describe(b"\x81\x012\x82\x02ab\x89\x00\x8a\x01x\x88\x00") == ["2", b"ab", "(ping)", "(pong x)", "(close)"]
    assert describe(b"\x88\x02\x03\xe8") == ["(close 1000)"]
    masked = b"\x81\x82\x01\x02\x03\x04" + bytes((ord("h") ^ 1, ord("i") ^ 2))
    assert describe(masked) == ["hi"]
    long = b"\x81\x7e\x01\x00" + b"x" * 256
    assert describe(long) == ["x" * 256]


def test_bytes_that_are_none_of_it_are_shown_as_they_are() -> None:
    for data in (b"\x81", b"\xc1\x01x", b"\x01\x01x", b"\x83\x00", b"\x81\x05ab"):
        assert describe(data) == [data]


def test_the_wire_writes_what_the_transcript_reads() -> None:
    wire = WebSocketWire(1000, 10)
    wire.close(1000)
    assert describe(wire.take()) == ["(close 1000)"]
