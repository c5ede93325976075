"""Compressed WebSocket messages: what is agreed on, what goes out, what comes in, and that a bomb stays small."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate as ClientExtension
from wsproto.frame_protocol import FrameProtocol, Opcode

from sioproto.errors import OptionError
from sioproto.frame import Frame
from sioproto_wire import WireConfig
from sioproto_wire.config import PerMessageDeflate
from sioproto_wire.deflate import Deflater, InflatedMessage, OversizeError, deflater, negotiate, offers, wire_limit
from sioproto_wire.websocket import WebSocketState, WebSocketWire
from tests.wire.conftest import Bench, Peer
from tests.wire.test_connection import CUTS, upgrade
from tests.wire.test_websocket import BINARY, CLOSE, CONTINUATION, FINAL, PING, PONG, TEXT, answers, buffered, frame

if TYPE_CHECKING:
    from collections.abc import Callable

OPEN, CLOSING, CLOSED = WebSocketState
COMPRESSED: Final = 0x40
ON: Final = PerMessageDeflate()
LONG: Final = '4["say","' + "all work and no play makes Jack a dull boy, " * 60 + '"]'
AGREED: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"


def deflate(data: str | bytes, level: int = 6, window: int = 15) -> bytes:
    """Compresses as a client does, written apart from the code under test."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -window)
    plain = data.encode() if isinstance(data, str) else data
    body = compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert body.endswith(b"\x00\x00\xff\xff")
    return body[:-4]


def packed(data: str | bytes, **options: int) -> bytes:
    """A whole compressed message of a client."""
    opcode = TEXT if isinstance(data, str) else BINARY
    return frame(COMPRESSED | opcode, deflate(data, **options))


def bomb(size: int, level: int = 9) -> bytes:
    """The compressed form of very many zeros, made without holding them."""
    compressor = zlib.compressobj(level, zlib.DEFLATED, -15)
    block = bytes(1_000_000)
    parts = [compressor.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, compressor.compress(bytes(size % len(block))), compressor.flush(zlib.Z_SYNC_FLUSH)])[:-4]


def make(max_payload: int = 1_000_000, max_fragments: int = 1024) -> WebSocketWire:
    return WebSocketWire(max_payload, max_fragments, deflater(ON, 15))


def read_all(wire: WebSocketWire, data: bytes) -> list[str | bytes]:
    """Takes bytes and everything that they leave pending."""
    messages = wire.receive(data)
    while wire.pending:
        messages += wire.receive(b"")
    return messages


def read_as_client(data: bytes, agreed: str = AGREED) -> list[tuple[str | bytes, bool]]:
    """Reads frames of a server with wsproto's extension: the messages, and whether the frame is marked."""
    extension = ClientExtension()
    extension.finalize(agreed)
    protocol = FrameProtocol(client=True, extensions=[extension])
    protocol.receive_bytes(data)
    found: list[tuple[str | bytes, bool]] = []
    marks = iter(marks_of(data))
    text, binary = "", b""
    for part in protocol.received_frames():
        if part.opcode is Opcode.TEXT:
            text += str(part.payload)
        elif part.opcode is Opcode.BINARY:
            assert isinstance(part.payload, bytes | bytearray)
            binary += part.payload
        if part.message_finished:
            found.append((text if part.opcode is Opcode.TEXT else binary, next(marks)))
            text, binary = "", b""
    return found


def marks_of(data: bytes) -> list[bool]:
    """Whether each of a server's frames is marked as compressed."""
    marks = []
    while data:
        size = data[1]
        assert size < 128
        header = 2 if size < 126 else 4 if size == 126 else 10
        size = size if size < 126 else int.from_bytes(data[2:header])
        marks.append(bool(data[0] & COMPRESSED))
        data = data[header + size :]
    return marks


# The handshake


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ("permessage-deflate", ""),
        (" permessage-deflate\t", ""),
        ("permessage-deflate; client_max_window_bits", ""),
        ("permessage-deflate;client_max_window_bits=8", ""),
        ("permessage-deflate; client_max_window_bits=15", ""),
        ("permessage-deflate ; client_no_context_takeover ; server_no_context_takeover", ""),
        ("permessage-deflate; server_max_window_bits=15", "; server_max_window_bits=15"),
        ("permessage-deflate; server_max_window_bits=9", "; server_max_window_bits=9"),
        ('permessage-deflate; server_max_window_bits = "10"', "; server_max_window_bits=10"),
        ('permessage-deflate; server_max_window_bits="1\\1"', "; server_max_window_bits=11"),
        ("permessage-deflate; server_max_window_bits=12; client_max_window_bits", "; server_max_window_bits=12"),
        # the first one that can be kept
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", ""),
        (
            "permessage-deflate; server_max_window_bits=12, permessage-deflate",
            "; server_max_window_bits=12",
        ),
        ("x-webkit-deflate-frame, permessage-deflate", ""),
        ('foo; x="a, permessage-deflate; server_max_window_bits=9, \\"b", permessage-deflate', ""),
        ("foo; x=1; y, , ,permessage-deflate", ""),
        ("permessage-deflate; later_parameter, permessage-deflate", ""),
        ("permessage-deflate, ;", ""),
        ("permessage-deflate, bad bad", ""),
    ],
)
def test_an_offer_that_is_accepted(offered: str, answer: str) -> None:
    agreed = negotiate([offered], ON)
    assert agreed is not None
    assert agreed[1] == AGREED + answer


@pytest.mark.parametrize(
    "offered",
    [
        "",
        ",",
        ";",
        "x-webkit-deflate-frame",
        "Permessage-Deflate",
        "permessage-deflate=1",
        'permessage-deflate="permessage-deflate"',
        "permessage-deflate2",
        # unknown, twice, with a value that they may not have or without one that they must have
        "permessage-deflate; unknown",
        "permessage-deflate; Server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        'permessage-deflate; client_no_context_takeover=""',
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; server_max_window_bits=+10",
        "permessage-deflate; server_max_window_bits=10.0",
        'permessage-deflate; server_max_window_bits=" 10"',
        "permessage-deflate; server_max_window_bits=\xb9\xb0",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        'permessage-deflate; client_max_window_bits=""',
        # zlib cannot
        "permessage-deflate; server_max_window_bits=8",
        # malformed
        "permessage-deflate;",
        "permessage-deflate; ",
        "permessage-deflate;; client_max_window_bits",
        "permessage-deflate; server_max_window_bits=",
        'permessage-deflate; server_max_window_bits="10',
        'permessage-deflate; server_max_window_bits="10"0',
        "permessage-deflate; =10",
        "permessage-deflate client_max_window_bits",
        "permessage deflate",
        "(permessage-deflate)",
        "\xfcpermessage-deflate",
        # nobody knows where the next offer begins
        'foo; x="permessage-deflate, permessage-deflate',
        "foo bar, permessage-deflate",
    ],
)
def test_an_offer_that_is_declined(offered: str) -> None:
    assert negotiate([offered], ON) is None


def test_header_fields_are_one_list() -> None:
    first = negotiate(["foo", "permessage-deflate; server_max_window_bits=10", "permessage-deflate"], ON)
    assert first is not None
    assert first[1].endswith("; server_max_window_bits=10")
    assert negotiate([], ON) is None
    assert negotiate(["", "permessage-deflate"], ON) is not None


@pytest.mark.parametrize(("own", "asked", "agreed"), [(15, 12, 12), (12, 15, 12), (10, 9, 9), (9, 10, 9), (9, 9, 9)])
def test_the_smaller_window_is_used(own: int, asked: int, agreed: int) -> None:
    config = PerMessageDeflate(window_bits=own)
    found = negotiate([f"permessage-deflate; server_max_window_bits={asked}"], config)
    assert found == (deflater(config, agreed), f"{AGREED}; server_max_window_bits={agreed}")


def test_a_window_that_the_client_did_not_ask_for_is_not_answered() -> None:
    config = PerMessageDeflate(window_bits=10)
    assert negotiate(["permessage-deflate"], config) == (deflater(config, 10), AGREED)


def test_connections_that_agreed_on_the_same_share_it() -> None:
    first, second = negotiate(["permessage-deflate"], ON), negotiate(["permessage-deflate"], PerMessageDeflate())
    assert first is not None
    assert second is not None
    assert first[0] is second[0]


@settings(max_examples=500)
@given(
    st.one_of(
        st.text(st.characters(max_codepoint=255), max_size=60),
        st.lists(
            st.sampled_from(
                (
                    *("permessage-deflate", "server_max_window_bits", "client_max_window_bits"),
                    *("client_no_context_takeover", "server_no_context_takeover", "10", *'=";,\\ '),
                )
            ),
            max_size=12,
        ).map("".join),
    )
)
def test_no_offer_raises(offered: str) -> None:
    agreed = negotiate([offered], ON)
    if agreed is not None:
        # What is answered can be read back, is known and stands once.
        ((name, *parameters),) = offers(agreed[1])
        assert name == ("permessage-deflate", None)
        assert len(dict(parameters)) == len(parameters) in (2, 3)


@pytest.mark.parametrize("unit", [",", ";", "a;", 'a="', 'a="\\', " ", "a=b;", " \t", "a", "=", 'a="b",'])
def test_a_head_full_of_anything_takes_no_time(unit: str) -> None:
    # Some of these would take hours in a pattern that tracks back.
    assert negotiate([unit * 100_000 + "\x01"], ON) is None


def bench(config: PerMessageDeflate | None = ON, **options: Any) -> Bench:
    return Bench(WireConfig(per_message_deflate=config), **options)


def connect(bench: Bench, offered: str = "permessage-deflate; client_max_window_bits") -> Peer:
    """Opens a WebSocket, and forgets what was sent for that."""
    peer = bench.peer().send(upgrade("/ws", f"Sec-WebSocket-Extensions: {offered}"))
    assert peer.statuses == [101]
    assert read_as_client(peer.frames) == [("0{}", False)]
    peer.sent = b""
    return peer


def test_the_answer_stands_in_the_response() -> None:
    peer = bench().peer()
    fields = ("Sec-WebSocket-Extensions: foo", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    (answer,) = peer.send(upgrade("/ws", *fields)).answers
    assert answer.status == 101
    assert answer.headers["sec-websocket-extensions"] == AGREED


@pytest.mark.parametrize("field", ["Sec-WebSocket-Extensions: permessage-deflate; huh", "X: y"])
def test_nothing_is_answered_where_nothing_is_agreed(field: str) -> None:
    peer = bench().peer()
    (answer,) = peer.send(upgrade("/ws", field)).answers
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers
    peer.send(packed(LONG))
    assert peer.core.log[-1] == ("closed", 1002, "a reserved bit is set without an extension")


def test_it_is_off_by_default() -> None:
    peer = Bench().peer()
    (answer,) = peer.send(upgrade("/ws", "Sec-WebSocket-Extensions: permessage-deflate")).answers
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


def test_a_handshake_that_cannot_be_answered_stays_http() -> None:
    peer = bench().peer()
    assert peer.send(upgrade("/ws-bad", "Sec-WebSocket-Extensions: permessage-deflate")).statuses == [500]


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": -1},
        {"threshold": 1.5},
        {"threshold": True},
        {"level": -1},
        {"level": 10},
        {"window_bits": 8},
        {"window_bits": 16},
        {"memory_level": 0},
        {"memory_level": 10},
    ],
)
def test_options_that_zlib_does_not_have(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        PerMessageDeflate(**options)


def test_the_option_is_a_class_or_none() -> None:
    with pytest.raises(OptionError, match="per_message_deflate"):
        WireConfig(per_message_deflate=True)  # type: ignore[arg-type]


# Going out


def sent(peer: Peer, *messages: Frame) -> list[tuple[str | bytes, bool]]:
    """Sends frames over the peer's link, and returns what its client reads."""
    peer.sent = b""
    (link,) = peer.core.links
    link.frames += messages
    peer.core.mark(link)
    peer.flush()
    return read_as_client(peer.sent)


def test_long_messages_are_compressed() -> None:
    peer = connect(bench())
    data = LONG.encode()
    assert sent(peer, Frame(LONG)) == [(LONG, True)]
    assert len(peer.sent) < len(LONG) / 10
    assert sent(peer, Frame(data)) == [(data, True)]
    assert sent(peer, Frame("2"), Frame(LONG), Frame(b"\x01"), Frame(data)) == [
        ("2", False),
        (LONG, True),
        (b"\x01", False),
        (data, True),
    ]


@pytest.mark.parametrize(("size", "marked"), [(0, False), (1, False), (99, False), (100, True), (1000, True)])
def test_the_threshold_counts_bytes(size: int, marked: bool) -> None:
    peer = connect(bench(PerMessageDeflate(threshold=100)))
    assert sent(peer, Frame("x" * size)) == [("x" * size, marked)]
    assert sent(peer, Frame(b"x" * size)) == [(b"x" * size, marked)]
    if size % 2 == 0:
        assert sent(peer, Frame("é" * (size // 2))) == [("é" * (size // 2), marked)]


def test_without_a_threshold_what_gets_shorter_is_compressed() -> None:
    peer = connect(bench(PerMessageDeflate(threshold=0)))
    assert sent(peer, Frame(""), Frame("2"), Frame("x" * 40)) == [("", False), ("2", False), ("x" * 40, True)]


def test_a_packet_that_must_not_be_compressed_is_not() -> None:
    peer = connect(bench())
    assert sent(peer, Frame(LONG, compress=False)) == [(LONG, False)]
    assert sent(peer, Frame(LONG, compress=False), Frame(LONG)) == [(LONG, False), (LONG, True)]


def test_a_packet_that_gets_no_shorter_is_not_compressed() -> None:
    peer = connect(bench())
    noise = Frame(random.Random(1).randbytes(5000))
    assert sent(peer, noise) == [(noise.data, False)]
    assert noise.deflated is not None
    assert set(map(id, noise.deflated.values())) == {id(noise.websocket)}


def test_the_last_words_are_compressed_too() -> None:
    peer = connect(bench())
    (link,) = peer.core.links
    link.frames += [Frame(LONG)]
    peer.send(frame(CLOSE))
    assert read_as_client(peer.sent[:-2]) == [(LONG, True)]
    peer = connect(bench())
    (link,) = peer.core.links
    link.frames += [Frame(LONG)]
    link.close()
    peer.core.mark(link)
    peer.flush()
    assert read_as_client(peer.sent[:-2]) == [(LONG, True)]


def test_a_pong_is_never_compressed() -> None:
    peer = connect(bench(PerMessageDeflate(threshold=0)))
    (link,) = peer.core.links
    link.frames += [Frame(LONG)]
    peer.connection.receive_data(frame(PING, b"x" * 100))
    peer.flush()
    assert peer.sent.startswith(b"\x8a\x64" + b"x" * 100)
    assert read_as_client(peer.sent[102:]) == [(LONG, True)]


def test_a_broadcast_is_compressed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    real = zlib.compressobj

    def compressobj(level: int, method: int, window: int, memory: int) -> Any:
        made.append((window, memory))
        return real(level, method, window, memory)

    monkeypatch.setattr(zlib, "compressobj", compressobj)
    shared = bench()
    frame = Frame(LONG)
    peers = [connect(shared, f"permessage-deflate{window}") for window in ["; server_max_window_bits=14", *[""] * 5]]
    for link in shared.core.links:
        link.frames.append(frame)
        shared.core.mark(link)
    found = {id(connection.take()) for connection in shared.wire.take_dirty()}
    # The very same bytes for all, and for a larger window than the message needs as well.
    assert len(found) == 1
    assert len(made) == 1
    assert len(peers) == 6
    # A smaller one has a form of its own.
    other = bench()
    small = connect(other, "permessage-deflate; server_max_window_bits=9")
    assert sent(small, frame) == [(LONG, True)]
    assert sent(small, frame) == [(LONG, True)]
    # Neither window nor tables are larger than it needs.
    assert made == [(-12, 6), (-9, 3)]


def test_servers_with_other_options_do_not_share() -> None:
    frame = Frame(LONG)
    forms = [
        Deflater(PerMessageDeflate(level=level, memory_level=memory), 15).encode(frame)
        for level in (1, 9)
        for memory in (1, 9)
    ]
    assert len({id(form) for form in forms}) == 4
    for form in forms:
        assert read_as_client(form) == [(LONG, True)]


@settings(max_examples=100, deadline=None)
@given(
    unit=st.text(min_size=1, max_size=20),
    count=st.integers(1, 5000),
    binary=st.booleans(),
    bits=st.integers(9, 15),
    level=st.integers(0, 9),
    memory=st.integers(1, 9),
)
def test_a_client_with_the_agreed_window_reads_it(
    unit: str, count: int, binary: bool, bits: int, level: int, memory: int
) -> None:
    data = unit * count
    config = PerMessageDeflate(threshold=0, level=level, memory_level=memory)
    agreed = negotiate([f"permessage-deflate; server_max_window_bits={bits}"], config)
    assert agreed is not None
    message: str | bytes = data.encode() if binary else data
    form = agreed[0].encode(Frame(message))
    # wsproto's client inflates with just this window.
    ((text, marked),) = read_as_client(form, agreed[1])
    assert text == message
    if marked:
        body = form[2 if form[1] < 126 else 4 if form[1] == 126 else 10 :]
        # wsproto does not mind a mark that was not left out (RFC 7692, 7.2.1).
        assert InflatedMessage(len(data) * 4, text=not binary).add(body, final=True) == message


# Coming in


@pytest.mark.parametrize("cut", CUTS)
def test_a_compressed_message(cut: Callable[[bytes], list[bytes]]) -> None:
    peer = connect(bench())
    peer.send(packed(LONG) + packed("2") + frame(TEXT, b"plain") + packed(LONG.encode()), cut)
    assert peer.core.log[1:] == [
        ("message", LONG),
        ("message", "2"),
        ("message", "plain"),
        ("message", LONG.encode()),
    ]


@pytest.mark.parametrize(
    "body",
    [
        b"\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        # without the padding, as plain compressors leave it
        b"\xf3\x48\xcd\xc9\xc9\x07\x00",
        # a stream, then another one
        b"\xf3\x48\x05\x00" + deflate("llo"),
    ],
)
def test_what_the_rfc_gives_as_examples(body: bytes) -> None:
    assert make().receive(frame(COMPRESSED | TEXT, body)) == ["Hello"]
    for at in range(len(body) + 1):
        wire = make()
        data = frame(COMPRESSED | TEXT, body[:at], final=False) + frame(PING, b"?") + frame(CONTINUATION, body[at:])
        assert wire.receive(data) == ["Hello"]
        assert answers(wire.take()) == [(PONG, b"?")]
        assert (wire._message, wire._held) == (None, None)


@pytest.mark.parametrize("body", [b"\x00", b"", b"\x02\x00", b"\x03\x00", b"\x01\x00\x00\xff\xff"])
def test_an_empty_message(body: bytes) -> None:
    assert make().receive(frame(COMPRESSED | TEXT, body) + frame(COMPRESSED | BINARY, body)) == ["", b""]


def test_fragments_are_counted() -> None:
    body = deflate(LONG)
    cut = [body[:10], body[10:11], b"", body[11:]]
    data = b"".join(
        frame(CONTINUATION if at else COMPRESSED | TEXT, part, final=at == 3) for at, part in enumerate(cut)
    )
    assert make(max_fragments=4).receive(data) == [LONG]
    wire = make(max_fragments=3)
    assert wire.receive(data) == []
    assert wire.close_code == 1008


def test_text_may_be_cut_within_a_character() -> None:
    body = deflate("é" * 10, level=0)
    for at in range(len(body)):
        data = frame(COMPRESSED | TEXT, body[:at], final=False) + frame(CONTINUATION, body[at:])
        assert make().receive(data) == ["é" * 10]


@pytest.mark.parametrize(
    "bad",
    [
        frame(COMPRESSED | PING),
        frame(COMPRESSED | PONG),
        frame(COMPRESSED | CLOSE),
        frame(COMPRESSED | CONTINUATION),
        frame(COMPRESSED | TEXT, b"", final=False) + frame(COMPRESSED | CONTINUATION),
        frame(TEXT, b"", final=False) + frame(COMPRESSED | CONTINUATION),
        frame(COMPRESSED | TEXT, b"", final=False) + frame(COMPRESSED | TEXT),
        frame(COMPRESSED | TEXT, b"", final=False) + frame(TEXT),
        frame(COMPRESSED | 0x3),
        frame(COMPRESSED | 0xB),
        frame(0x20 | TEXT),
        frame(0x10 | TEXT),
        frame(COMPRESSED | 0x20 | TEXT),
        frame(COMPRESSED | 0x10 | TEXT),
        bytes((FINAL | COMPRESSED | TEXT, 0)),
    ],
)
def test_a_mark_where_none_belongs(bad: bytes) -> None:
    wire = make()
    assert wire.receive(packed("a") + bad + packed("b")) == ["a"]
    assert (wire.state, wire.close_code) == (CLOSED, 1002)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff",
        b"\x07",
        b"\xf2\x48\xcd",
        deflate(LONG)[:-3],
        deflate(LONG)[3:],
        deflate(LONG) + b"\xff",
        # a stored block that is cut off
        b"\x00\x64\x00\x9b\xff" + b"x" * 50,
        # something behind the end of a stream
        b"\xf3\x48\xcd\xc9\xc9\x07\x00\x07",
        # the mark was not left out
        b"\xf2\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff",
        # streams without end
        b"\x03\x00" * 33,
        b"\x03\x00" * 500_000,
        # the first five bytes of "Hello" point before their beginning
        b"\xf2\x00\x11\x00\x00",
    ],
)
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_data_that_is_no_compressed_data(body: bytes, opcode: int) -> None:
    wire = make()
    assert wire.receive(packed("a") + frame(COMPRESSED | opcode, body) + packed("b")) == ["a"]
    assert (wire.state, wire.close_code, wire.error) == (CLOSED, 1007, "compressed data is not valid")
    assert answers(wire.take()) == [(CLOSE, (1007, "compressed data is not valid"))]
    assert wire._message is None


def test_compressed_text_must_be_utf_8() -> None:
    wire = make()
    assert wire.receive(frame(COMPRESSED | BINARY, deflate(b"\xff")) + frame(COMPRESSED | TEXT, deflate(b"\xff"))) == [
        b"\xff"
    ]
    assert (wire.close_code, wire.error) == (1007, "text is not valid UTF-8")


def test_after_our_close_frame_nothing_is_inflated() -> None:
    wire = make()
    assert wire.receive(frame(COMPRESSED | TEXT, deflate(LONG)[:20], final=False)) == []
    wire.close(1000)
    wire.take()
    # Neither what is no compressed data nor too much of it is looked at, but the frames still are.
    data = frame(CONTINUATION, b"\xff" * 20) + frame(COMPRESSED | BINARY, b"\xff" * 20) + packed(bytes(2_000_000))
    assert wire.receive(data + frame(COMPRESSED | TEXT, b"a", final=False)) == []
    assert wire.state is CLOSING
    assert wire.receive(frame(CLOSE)) == []
    assert (wire.state, wire.close_code, wire.error) == (CLOSED, 1005, None)


def test_after_our_close_frame_nothing_is_left_pending() -> None:
    wire = make()
    wire.close(1000)
    assert wire.receive(frame(BINARY, bytes(600_000)) * 3 + frame(CLOSE)) == []
    assert wire.state is CLOSED


def test_an_idle_connection_keeps_nothing_of_zlib() -> None:
    wire = make()
    body = deflate(LONG)
    wire.receive(packed(LONG) + frame(COMPRESSED | TEXT, body[:9], final=False) + frame(CONTINUATION, body[9:]))
    assert (wire._message, wire._held, wire.pending) == (None, None, False)
    kept = [getattr(wire, name) for name in wire.__slots__]
    assert wire.deflate is deflater(ON, 15)
    assert not [value for value in kept if type(value).__module__ == "zlib"]
    assert not [name for name in Deflater.__slots__ if not isinstance(getattr(wire.deflate, name), int)]


# Sizes


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 1000, 1001])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_the_limit_counts_what_a_message_inflates_to(size: int, level: int) -> None:
    noise = random.Random(size).randbytes(size)
    for data in (noise, bytes(size)):
        for parts in (1, 2, 5):
            wire = make(max_payload=1000)
            body = deflate(data, level=level)
            step = len(body) // parts + 1
            cut = [body[at : at + step] for at in range(0, len(body), step)]
            last = len(cut) - 1
            frames = [
                frame(CONTINUATION if at else COMPRESSED | BINARY, part, final=at == last)
                for at, part in enumerate(cut)
            ]
            messages = wire.receive(b"".join(frames))
            if size <= 1000:
                assert messages == [data]
                assert wire.state is OPEN
            else:
                assert messages == []
                assert (wire.close_code, wire.error) == (1009, "a message is too big")


def test_a_limit_of_nothing() -> None:
    assert make(max_payload=0).receive(packed(b"")) == [b""]
    wire = make(max_payload=0)
    assert wire.receive(packed(b"a")) == []
    assert wire.close_code == 1009


@pytest.mark.parametrize("limit", [1, 1000, 100_000])
@pytest.mark.parametrize("window", [9, 15])
@pytest.mark.parametrize("memory", [1, 9])
@pytest.mark.parametrize("strategy", [zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED, zlib.Z_HUFFMAN_ONLY])
def test_the_limit_leaves_room_for_what_cannot_be_compressed(
    limit: int, window: int, memory: int, strategy: int
) -> None:
    noise = random.Random(limit).randbytes(limit)
    worst = bytes(byte | 0x90 for byte in noise)
    for level in (0, 1, 9):
        for data in (noise, worst):
            compressor = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
            body = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
            assert len(body) <= wire_limit(limit)
            assert make(max_payload=limit).receive(frame(COMPRESSED | BINARY, body[:-4])) == [data]


def test_a_header_that_announces_too_much_is_refused_at_once() -> None:
    limit = wire_limit(1000)
    for size, refused in ((limit, False), (limit + 1, True)):
        wire = make(max_payload=1000)
        assert wire.receive(bytes((FINAL | COMPRESSED | TEXT, 0xFE)) + size.to_bytes(2)) == []
        assert (wire.close_code == 1009) is refused
    # Nothing but the limit itself for a frame that is not compressed.
    wire = make(max_payload=1000)
    wire.receive(bytes((FINAL | TEXT, 0xFE)) + (1001).to_bytes(2))
    assert wire.close_code == 1009


def test_fragments_that_inflate_to_nothing_are_too_big_in_the_end() -> None:
    wire = make(max_payload=1000)
    empty = b"\x00\x00\x00\xff\xff" * 100
    for at in range(2):
        wire.receive(frame(CONTINUATION if at else COMPRESSED | TEXT, empty, final=False))
        assert wire.state is OPEN
    wire.receive(frame(CONTINUATION, empty, final=False))
    assert wire.close_code == 1009


def peak(run: Callable[[], object]) -> int:
    """Returns how many bytes a call needs at most."""
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_small() -> None:
    body = bomb(64_000_000)
    assert len(body) < 65536
    data = frame(COMPRESSED | BINARY, body)
    wire = make(max_payload=1_000_000)
    assert peak(lambda: wire.receive(data)) < 3_500_000
    assert (wire.state, wire.close_code) == (CLOSED, 1009)
    assert buffered(wire) == 0


def test_a_bomb_in_fragments_is_small() -> None:
    body = bomb(64_000_000)
    parts = [body[at : at + 100] for at in range(0, len(body), 100)]
    data = [
        frame(CONTINUATION if at else COMPRESSED | BINARY, part, final=False) for at, part in enumerate(parts[:1000])
    ]
    wire = make(max_payload=1_000_000)
    assert peak(lambda: [wire.receive(each) for each in data]) < 3_500_000
    assert (wire.state, wire.close_code) == (CLOSED, 1009)


def test_a_message_stops_at_its_limit_and_one_byte() -> None:
    message = InflatedMessage(1000, text=False)
    with pytest.raises(OversizeError):
        message.add(bomb(1_000_000), final=False)
    assert message._room == -1


def test_many_small_bombs_have_their_turns() -> None:
    data = frame(COMPRESSED | BINARY, bomb(1_000_000)) * 64
    assert len(data) < 70_000
    wire = make(max_payload=1_000_000)
    assert peak(lambda: wire.receive(data)) < 4_500_000
    assert wire.pending
    rounds = 1
    while wire.pending:
        (message,) = wire.receive(b"")
        assert message == bytes(1_000_000)
        rounds += 1
    assert rounds == 64
    assert (wire.state, wire._held) == (OPEN, None)


def test_plain_messages_are_not_left_pending() -> None:
    wire = WebSocketWire(1_000_000)
    assert len(wire.receive(frame(BINARY, bytes(300_000)) * 10)) == 10
    assert not wire.pending


# Turns


def bombs(count: int) -> bytes:
    """Messages that are too much for one turn each, a close frame behind them."""
    return frame(COMPRESSED | BINARY, bomb(1_000_000)) * count + frame(CLOSE)


def big_bench() -> Bench:
    return bench(max_payload=1_000_000)


def told(peer: Peer) -> list[Any]:
    """What the core was told since the request, messages by their size."""
    return [len(each[1]) if each[0] == "message" else each for each in peer.core.log[1:]]


def test_each_turn_takes_one_bomb() -> None:
    peer = connect(big_bench())
    peer.send(bombs(3))
    assert told(peer) == [1_000_000]
    assert not peer.connection.reading
    # What comes meanwhile waits.
    peer.send(frame(PING, b"late"))
    assert told(peer) == [1_000_000]
    peer.advance(0.0015)
    assert told(peer) == [1_000_000] * 2
    assert not peer.connection.reading
    peer.advance(0.001)
    assert told(peer) == [1_000_000] * 3
    peer.advance(0.001)
    assert told(peer) == [1_000_000] * 3 + [("closed", 1005, None)]
    assert peer.closed


def test_reading_goes_on_after_the_last_turn() -> None:
    peer = connect(big_bench())
    peer.send(frame(COMPRESSED | BINARY, bomb(1_000_000)) * 2 + frame(TEXT, b"x"))
    peer.send(packed("later"))
    peer.advance(0.01)
    assert told(peer) == [1_000_000] * 2 + [1, 5]
    assert peer.connection.reading
    assert peer.connection.timer is None


def test_a_read_on_its_way_does_no_harm() -> None:
    peer = connect(big_bench())
    peer.send(frame(COMPRESSED | BINARY, bomb(1_000_000)) * 3)
    peer.connection.receive_data(packed("later"))
    peer.pump()
    assert told(peer) == [1_000_000] * 2
    assert not peer.connection.reading
    peer.advance(0.01)
    assert told(peer) == [1_000_000] * 3 + [5]
    assert peer.connection.reading


def test_a_core_that_wants_nothing_gets_nothing() -> None:
    peer = connect(big_bench())
    (link,) = peer.core.links

    def pause() -> None:
        link.reading = False
        peer.core.mark(link)

    peer.core.meanwhile = pause
    peer.send(bombs(3))
    peer.core.meanwhile = None
    peer.advance(1)
    assert told(peer) == [1_000_000]
    assert peer.connection.timer is None
    link.reading = True
    peer.core.mark(link)
    peer.pump()
    assert told(peer) == [1_000_000]
    assert not peer.connection.reading
    peer.advance(1)
    assert told(peer) == [1_000_000] * 3 + [("closed", 1005, None)]


def test_frames_go_out_between_turns() -> None:
    peer = connect(big_bench())
    peer.send(bombs(2))
    assert sent(peer, Frame(LONG)) == [(LONG, True)]
    assert not peer.connection.reading
    peer.advance(0.0015)
    assert told(peer) == [1_000_000] * 2


@pytest.mark.parametrize("reading", [True, False])
def test_a_server_that_closes_finds_the_close_frame_behind_bombs(reading: bool) -> None:
    peer = connect(big_bench())
    (link,) = peer.core.links
    peer.send(bombs(5))
    link.reading = reading
    link.close()
    peer.core.mark(link)
    peer.flush()
    assert peer.sent == b"\x88\x00"
    peer.advance(0.0015)
    assert told(peer) == [1_000_000, ("closed", 1005, None)]
    assert peer.closed
    assert not peer.aborted


def test_a_server_that_closes_does_not_wait_for_ever_behind_bombs() -> None:
    peer = connect(big_bench())
    (link,) = peer.core.links
    peer.send(frame(COMPRESSED | BINARY, bomb(1_000_000)) * 5)
    link.close()
    peer.core.mark(link)
    peer.flush()
    peer.connection.receive_blocked()
    peer.connection.receive_unblocked()
    peer.advance(1)
    assert told(peer) == [1_000_000]
    assert peer.connection.reading
    peer.advance(5)
    assert told(peer) == [1_000_000, ("closed", 1006, None)]
    assert peer.closed


def test_a_blocked_transport_changes_nothing() -> None:
    peer = connect(big_bench())
    peer.send(bombs(3))
    peer.connection.receive_blocked()
    peer.connection.receive_unblocked()
    peer.pump()
    assert told(peer) == [1_000_000]
    peer.advance(1)
    assert told(peer) == [1_000_000] * 3 + [("closed", 1005, None)]


def test_a_lost_connection_has_no_more_turns() -> None:
    peer = connect(big_bench())
    peer.send(bombs(3)).lose()
    peer.advance(1)
    assert told(peer) == [1_000_000, ("closed", 1006, None)]


def test_bombs_right_behind_the_handshake() -> None:
    peer = big_bench().peer()
    peer.send(upgrade("/ws", "Sec-WebSocket-Extensions: permessage-deflate") + bombs(3))
    assert told(peer) == [1_000_000]
    peer.advance(1)
    assert told(peer) == [1_000_000] * 3 + [("closed", 1005, None)]


# Both ways, against wsproto, and anything at all


def client_frames(messages: list[tuple[str | bytes, int, bool]]) -> bytes:
    """Writes messages as wsproto's client does: data, fragments, whether it is compressed."""
    extension = ClientExtension()
    extension.finalize(AGREED)
    packing = FrameProtocol(client=True, extensions=[extension])
    plain = FrameProtocol(client=True, extensions=[])
    data = b""
    for message, fragments, compressed in messages:
        protocol = packing if compressed else plain
        step = len(message) // fragments + 1
        cut = [message[at : at + step] for at in range(0, len(message), step)] or [message]
        for at, part in enumerate(cut):
            data += bytes(protocol.send_data(part, fin=at == len(cut) - 1))
            if at % 2:
                data += bytes(plain.ping(b"now and then"))
    return data


contents: Final = st.one_of(
    st.builds(lambda text, count: text * count, st.text(max_size=30), st.integers(1, 300)),
    st.builds(lambda data, count: data * count, st.binary(max_size=30), st.integers(1, 300)),
)


@settings(max_examples=150, deadline=None)
@given(
    messages=st.lists(st.tuples(contents, st.integers(1, 5), st.booleans()), max_size=5),
    splits=st.lists(st.floats(0, 1), max_size=10),
)
def test_what_wsproto_writes_is_read_in_any_chunking(
    messages: list[tuple[str | bytes, int, bool]], splits: list[float]
) -> None:
    data = client_frames(messages)
    expected = [message for message, _, _ in messages]
    cuts = sorted({0, len(data), *(int(split * len(data)) for split in splits)})
    singly = list(range(len(data) + 1)) if len(data) < 3000 else cuts
    for chunking in ([0, len(data)], cuts, singly):
        wire = make()
        found: list[str | bytes] = []
        for start, stop in pairwise(chunking):
            found += wire.receive(data[start:stop])
        assert found == expected
        assert (wire.state, wire.error, wire._held, wire._message) == (OPEN, None, None, None)


headers: Final = st.builds(
    lambda first, body, final: frame(first, body, final=final),
    st.sampled_from([mark | opcode for opcode in range(11) for mark in (0, COMPRESSED, 0x20)]),
    st.one_of(st.binary(max_size=40), st.builds(deflate, st.binary(max_size=200)), contents.map(deflate)),
    st.booleans(),
)
hostile: Final = st.lists(
    st.one_of(headers, contents.map(packed), st.binary(max_size=4), headers.map(lambda data: data[:9])), max_size=8
).map(lambda pieces: b"".join(pieces))


@settings(max_examples=500, deadline=None)
@given(data=hostile, step=st.integers(1, 40), limit=st.integers(0, 3000))
def test_anything_never_raises_and_means_the_same_in_any_chunking(data: bytes, step: int, limit: int) -> None:
    wire, other = make(limit, 4), make(limit, 4)
    messages: list[str | bytes] = []
    for at in range(0, len(data), step):
        messages += read_all(wire, data[at : at + step])
        assert buffered(wire) <= 2 * wire_limit(limit) + 131
    assert messages == read_all(other, data)
    assert all(len(message) <= limit for message in messages)
    assert (wire.state, wire.close_code, wire.error) == (other.state, other.close_code, other.error)
    if wire.error is not None:
        assert wire.close_code in (1002, 1007, 1008, 1009)


@settings(max_examples=300, deadline=None)
@given(data=contents, at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_a_changed_byte_never_raises(data: str | bytes, at: int, byte: int) -> None:
    body = bytearray(deflate(data))
    body[at % len(body)] = byte
    wire = make(10_000)
    read_all(wire, frame(COMPRESSED | (TEXT if isinstance(data, str) else BINARY), bytes(body)))
    assert wire.close_code in (None, 1007, 1009)
