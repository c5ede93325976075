"""A client's WebSockets: the opening handshake, masks, what comes and goes, and how each of them ends."""

from __future__ import annotations

from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wsproto.connection import CLIENT, SERVER, Connection, ConnectionType
from wsproto.events import BytesMessage, Event, Message, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate as ServerExtension
from wsproto.frame_protocol import FrameProtocol, Opcode

from sioproto.frame import Frame
from sioproto_wire import ClientWireConfig, PerMessageDeflate
from sioproto_wire.deflate import OFFER, agree, deflater
from sioproto_wire.masking import key_source, masked
from sioproto_wire.websocket import WebSocketState, WebSocketWire
from tests.wire.dialing import CUTS, Chance, ClientBench, Line, accept, answer, fields_of, token
from tests.wire.test_deflate import bomb, deflate
from tests.wire.test_websocket import BINARY, CLOSE, CONTINUATION, EDGES, FINAL, PING, PONG, TEXT, buffered, close_body
from tests.wire.test_websocket import frame as masked_frame

if TYPE_CHECKING:
    from sioproto.engineio import Link

OPEN, CLOSING, CLOSED = WebSocketState
COMPRESSED: Final = 0x40
ON: Final = PerMessageDeflate()
AGREED: Final = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
LONG: Final = "4" + "all work and no play makes Jack a dull boy, " * 60
HANDSHAKE: Final = "the WebSocket handshake is malformed"


def frame(opcode: int, body: bytes = b"", final: bool = True) -> bytes:
    """Returns a server's frame, written apart from the code under test."""
    data = masked_frame(opcode, body, final, bytes(4))
    size = data[1] & 0x7F
    header = 2 if size < 126 else 4 if size == 126 else 10
    return data[:1] + bytes((size,)) + data[2:header] + body


def said(data: bytes) -> list[tuple[int, Any]]:
    """Reads a client's frames with wsproto: (opcode, body), messages in one piece; a close has (code, reason)."""
    protocol = FrameProtocol(client=False, extensions=[])
    protocol.receive_bytes(data)
    found: list[tuple[int, Any]] = []
    parts: list[Any] = []
    for part in protocol.received_frames():
        if part.opcode in (Opcode.TEXT, Opcode.BINARY):
            payload: Any = part.payload
            parts.append(payload if isinstance(payload, str) else bytes(payload))
            if part.message_finished:
                found.append((int(part.opcode), parts[0][:0].join(parts)))
                parts = []
        else:
            found.append((int(part.opcode), part.payload))
    return found


def make(max_payload: int = 1_000_000, max_fragments: int = 1024) -> WebSocketWire:
    return WebSocketWire(max_payload, max_fragments, keys=key_source(Chance()))


@pytest.fixture
def bench() -> ClientBench:
    return ClientBench()


# -- the handshake


def test_the_request(bench: ClientBench) -> None:
    line = bench.ask(target="/socket.io/?EIO=4&transport=websocket", upgrade=True)
    assert line.sent.startswith(b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n")
    assert line.sent.endswith(b"\r\n\r\n")
    assert fields_of(line.sent) == {
        "host": "example.org:8080",
        "accept-encoding": "identity",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "ECAwQBAgMEEQIDBCECAwQw==",
    }


def test_each_handshake_has_a_key_of_its_own(bench: ClientBench) -> None:
    keys = {fields_of(bench.ask(upgrade=True).sent)["sec-websocket-key"] for _ in range(5)}
    assert len(keys) == 5


def test_wsproto_takes_the_request_and_we_take_its_answer(bench: ClientBench) -> None:
    from wsproto import WSConnection
    from wsproto.events import AcceptConnection, Request

    bench = ClientBench(ClientWireConfig(per_message_deflate=ON))
    line = bench.ask(upgrade=True, subprotocols=("one", "two"))
    server = WSConnection(ConnectionType.SERVER)
    server.receive_data(line.taken())
    (request,) = server.events()
    assert isinstance(request, Request)
    assert request.subprotocols == ["one", "two"]
    line.send(server.send(AcceptConnection(subprotocol="two", extensions=[ServerExtension()])))
    assert bench.core.responses[0].status == 101
    bench.core.send(bench.core.links[0], LONG)
    bench.flush()
    server.receive_data(line.sent)
    assert "".join(each.data for each in server.events() if isinstance(each, TextMessage)) == LONG
    assert len(line.sent) < len(LONG) / 2
    line.send(server.send(Message(LONG)))
    assert bench.log[1:] == [("message", LONG)]


@pytest.mark.parametrize("cut", CUTS)
def test_frames_right_behind_the_101_are_read(bench: ClientBench, cut: str) -> None:
    bench.dial(cut=cut, more=frame(TEXT, b'0{"sid":"x"}') + frame(TEXT, b"40") + frame(PING, b"p"))
    assert bench.log == [("response", 0, 101, b""), ("message", '0{"sid":"x"}'), ("message", "40")]
    assert said(bench.lines[0].sent) == [(PONG, b"p")]


@pytest.mark.parametrize("cut", CUTS)
def test_an_interim_answer_before_the_101_is_skipped(bench: ClientBench, cut: str) -> None:
    line = bench.ask(upgrade=True)
    line.send(answer(103, "Link: x", body=None) + accept(line.sent), cut)
    assert bench.log == [("response", 0, 101, b"")]


def test_the_fields_of_the_101_reach_the_core(bench: ClientBench) -> None:
    line = bench.ask(upgrade=True)
    line.send(accept(line.sent, "Set-Cookie: a=b"))
    assert ("set-cookie", "a=b") in bench.core.responses[0].headers


@pytest.mark.parametrize(
    ("instead", "fields"),
    [
        ({"upgrade": "WebSocket"}, ()),
        ({"connection": "keep-alive, upgrade"}, ()),
        ({}, ("connection: keep-alive",)),
        ({}, ("sec-websocket-extensions:",)),
        ({}, ("content-length: 0",)),
        ({}, ("keep-alive: timeout=1",)),
    ],
)
def test_a_101_is_taken_with(bench: ClientBench, instead: dict[str, str], fields: tuple[str, ...]) -> None:
    line = bench.ask(upgrade=True)
    line.send(accept(line.sent, *fields, instead=instead))
    assert bench.log == [("response", 0, 101, b"")]


OTHER_KEY: Final = token("AAAAAAAAAAAAAAAAAAAAAA==")


@pytest.mark.parametrize(
    ("leave", "instead", "fields", "error"),
    [
        ("upgrade", {}, (), "the server changes to another protocol than WebSocket"),
        ("", {"upgrade": "h2c"}, (), "the server changes to another protocol than WebSocket"),
        ("", {}, ("upgrade: h2c",), "the server changes to another protocol than WebSocket"),
        ("", {"upgrade": "websocket, h2c"}, (), "the server changes to another protocol than WebSocket"),
        ("connection", {}, (), HANDSHAKE),
        ("", {"connection": "keep-alive"}, (), HANDSHAKE),
        ("sec-websocket-accept", {}, (), "the WebSocket handshake is not answered by whoever read it"),
        ("", {"sec-websocket-accept": "x"}, (), "the WebSocket handshake is not answered by whoever read it"),
        ("", {"sec-websocket-accept": OTHER_KEY}, (), "the WebSocket handshake is not answered by whoever read it"),
        ("", {}, ("sec-websocket-accept: x",), "the WebSocket handshake is not answered by whoever read it"),
        ("", {}, ("sec-websocket-protocol: one",), "the server chose a subprotocol that was not offered"),
        ("", {}, ("sec-websocket-protocol:",), "the server chose a subprotocol that was not offered"),
        ("", {}, (f"sec-websocket-extensions: {AGREED}",), "the server chose an extension that was not offered"),
        ("", {}, ("sec-websocket-extensions: x",), "the server chose an extension that was not offered"),
        ("", {}, ("sec-websocket-extensions: ;",), "the server chose an extension that was not offered"),
        ("", {}, ("content-length: 5",), "the end of the answer cannot be told"),
        ("", {}, ("transfer-encoding: chunked",), "the end of the answer cannot be told"),
    ],
)
def test_a_101_fails_the_request_for(
    bench: ClientBench, leave: str, instead: dict[str, str], fields: tuple[str, ...], error: str
) -> None:
    line = bench.ask(upgrade=True)
    line.send(accept(line.sent, *fields, leave=leave, instead=instead))
    assert bench.log == [("failure", 0, error)]
    assert line.closed
    bench.check_over()


def test_a_101_of_an_old_server_fails(bench: ClientBench) -> None:
    line = bench.ask(upgrade=True)
    line.send(accept(line.sent).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert bench.log == [("failure", 0, HANDSHAKE)]


@pytest.mark.parametrize(("chosen", "fine"), [("one", True), ("two", True), ("three", False), ("ONE", False)])
def test_a_subprotocol_is_one_that_was_offered(bench: ClientBench, chosen: str, fine: bool) -> None:
    line = bench.ask(upgrade=True, subprotocols=("one", "two"))
    assert fields_of(line.sent)["sec-websocket-protocol"] == "one, two"
    line.send(accept(line.sent, f"sec-websocket-protocol: {chosen}"))
    assert bench.log[0][0] == ("response" if fine else "failure")


def test_two_subprotocols_are_one_too_many(bench: ClientBench) -> None:
    line = bench.ask(upgrade=True, subprotocols=("one", "two"))
    line.send(accept(line.sent, "sec-websocket-protocol: one", "sec-websocket-protocol: two"))
    assert bench.log == [("failure", 0, "the server chose a subprotocol that was not offered")]


@pytest.mark.parametrize("name", ["", "a b", "a,b", "a\r\nb", "\xe9"])
def test_a_subprotocol_that_cannot_be_offered_fails_the_request(bench: ClientBench, name: str) -> None:
    bench.core.ask(upgrade=True, subprotocols=("fine", name))
    bench.flush()
    assert bench.log == [("failure", 0, "the request cannot be sent")]
    assert (len(bench.errors), bench.lines) == (1, [])


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("status", [200, 400, 403, 426, 503])
def test_another_answer_is_the_cores_with_its_body(bench: ClientBench, status: int, cut: str) -> None:
    line = bench.ask(upgrade=True).send(answer(status, body=b'{"code":4}'), cut)
    assert bench.log == [("response", 0, status, b'{"code":4}')]
    assert line.closed
    bench.check_over()


def test_the_body_of_a_refusal_is_bounded() -> None:
    bench = ClientBench(max_payload=10)
    bench.ask(upgrade=True).send(answer(403, body=b"x" * 11))
    assert bench.log == [("failure", 0, "the answer is too long")]
    bench.check_over()


def test_a_websocket_has_a_connection_of_its_own(bench: ClientBench) -> None:
    free = bench.ask().send(answer())
    line, _ = bench.dial()
    assert line is not free
    assert bench.ask() is free


def test_a_handshake_that_crossed_the_end_of_its_connection_is_not_repeated(bench: ClientBench) -> None:
    bench.ask().send(answer())
    bench.advance(2)
    bench.ask(upgrade=True).end()
    assert [each[0] for each in bench.log] == ["response", "failure"]
    assert len(bench.lines) == 2


def test_a_websocket_that_is_not_wanted_any_more_is_closed(bench: ClientBench) -> None:
    bench.core.wants_links = False
    line = bench.ask(upgrade=True)
    line.send(accept(line.sent) + frame(TEXT, b"0{}"))
    assert line.closed
    bench.check_over()


def test_one_that_is_lost_while_the_core_is_told_of_it(bench: ClientBench) -> None:
    line = bench.ask(upgrade=True)

    def meanwhile() -> None:
        bench.core.meanwhile = None
        line.closed = True
        line.connection.receive_lost()

    bench.core.meanwhile = meanwhile
    line.send(accept(line.sent))
    assert bench.log == [("response", 0, 101, b""), ("closed", 1006, None)]
    bench.check_over()


def test_what_the_core_sends_while_it_is_told_of_it_leaves(bench: ClientBench) -> None:
    line = bench.ask(upgrade=True)

    def meanwhile() -> None:
        bench.core.meanwhile = None
        bench.core.send(bench.core.links[0], "2probe")
        bench.flush()

    bench.core.meanwhile = meanwhile
    line.send(accept(line.taken()))
    assert said(line.sent) == [(TEXT, "2probe")]


# -- compression


@pytest.mark.parametrize(
    "answered",
    [
        "permessage-deflate; server_no_context_takeover",
        AGREED,
        f" ,{AGREED}; server_max_window_bits=9, ",
        'permessage-deflate;server_no_context_takeover;server_max_window_bits="15"',
    ],
)
def test_an_answer_to_the_offer_of_compression(answered: str) -> None:
    assert agree(answered, ON) is deflater(ON, 15)


@pytest.mark.parametrize(
    "answered",
    [
        "",
        "x",
        "permessage-deflate",
        "permessage-deflate; client_no_context_takeover",
        f"{AGREED}; client_max_window_bits=10",
        f"{AGREED}; client_max_window_bits",
        f"{AGREED}; server_max_window_bits",
        f"{AGREED}; server_max_window_bits=7",
        f"{AGREED}; server_no_context_takeover",
        f"{AGREED}; something",
        f"{AGREED}, {AGREED}",
        f"{AGREED}, x",
        f"x, {AGREED}",
        f"{AGREED} x",
        f"{AGREED};",
        f'{AGREED}; x="',
    ],
)
def test_an_answer_that_was_not_offered(answered: str) -> None:
    assert agree(answered, ON) is None


def compressing(**options: Any) -> tuple[ClientBench, Line, Link]:
    bench = ClientBench(ClientWireConfig(per_message_deflate=ON), **options)
    line = bench.ask(upgrade=True)
    assert fields_of(line.sent)["sec-websocket-extensions"] == OFFER == AGREED
    line.send(accept(line.taken(), f"sec-websocket-extensions: {AGREED}"))
    return bench, line, bench.core.links[0]


def test_a_server_need_not_compress() -> None:
    bench = ClientBench(ClientWireConfig(per_message_deflate=ON))
    line, link = bench.dial()
    bench.core.send(link, LONG)
    bench.flush()
    assert said(line.sent) == [(TEXT, LONG)]
    line.send(frame(TEXT | COMPRESSED, deflate("x")))
    assert bench.log[-1] == ("closed", 1002, "a reserved bit is set without an extension")


def test_long_messages_are_compressed_both_ways() -> None:
    bench, line, link = compressing()
    bench.core.send(link, LONG, "4short", LONG.encode())
    bench.flush()
    extension = ServerExtension()
    extension.accept(OFFER)
    server = Connection(SERVER, [extension])
    server.receive_data(line.sent)
    assert messages_of(server.events()) == [LONG, "4short", LONG.encode()]
    assert len(line.sent) < len(LONG)
    line.send(frame(TEXT | COMPRESSED, deflate(LONG)) + frame(TEXT, b"4plain"))
    assert bench.log[1:] == [("message", LONG), ("message", "4plain")]


def test_a_message_that_inflates_to_too_much_is_1009() -> None:
    bench, line, _ = compressing(max_payload=1_000_000)
    line.send(frame(BINARY | COMPRESSED, bomb(3_000_000)))
    assert bench.log[-1] == ("closed", 1009, "a message is too big")
    assert said(line.sent)[-1][0] == CLOSE


def test_a_flood_of_compressed_messages_is_read_in_turns() -> None:
    bench, line, link = compressing(max_payload=1_000_000)
    one = frame(BINARY | COMPRESSED, bomb(1_000_000))
    line.send(one * 3)
    assert sum(each[0] == "message" for each in bench.log) == 1
    assert not line.connection.reading
    bench.advance(0.0015)
    assert sum(each[0] == "message" for each in bench.log) == 2
    link.reading = False
    bench.core.mark(link)
    bench.flush()
    bench.advance(1)
    assert sum(each[0] == "message" for each in bench.log) == 2
    link.reading = True
    bench.core.mark(link)
    bench.flush()
    bench.advance(1)
    assert sum(each[0] == "message" for each in bench.log) == 3
    assert line.connection.reading
    assert bench.core.timers.next_deadline() is None


# -- masks


def test_what_is_sent_is_masked_and_the_frame_itself_is_not(bench: ClientBench) -> None:
    line, link = bench.dial()
    before = len(line.sent)
    frames = bench.core.send(link, "4hello", b"\x00" * 200, "4€" * 1000, b"x" * 70_000, "")
    bench.flush()
    assert said(line.sent[before:]) == [
        (TEXT, "4hello"),
        (BINARY, b"\x00" * 200),
        (TEXT, "4€" * 1000),
        (BINARY, b"x" * 70_000),
        (TEXT, ""),
    ]
    assert [each.websocket for each in frames] == [
        frame(TEXT if isinstance(each.data, str) else BINARY, raw(each)) for each in frames
    ]


def raw(each: Frame) -> bytes:
    return each.data.encode() if isinstance(each.data, str) else each.data


def test_each_frame_has_a_mask_of_its_own_that_comes_from_the_environment(bench: ClientBench) -> None:
    line, link = bench.dial()
    for _ in range(200):
        bench.core.send(link, "4hello")
    bench.flush()
    size = len(line.sent) // 200
    keys = [line.sent[at + 2 : at + 6] for at in range(0, len(line.sent), size)]
    assert len(set(keys)) == 200
    assert all(key[:2] == b"\x10\x20" for key in keys)


def test_two_clients_get_one_frame_under_masks_of_their_own() -> None:
    frames = [Frame("4hello")]
    one = WebSocketWire(100, keys=key_source(lambda size: b"\x01" * size))
    two = WebSocketWire(100, keys=key_source(lambda size: b"\x02" * size))
    assert one.write(frames) != two.write(frames)
    assert said(b"".join(one.write(frames) + two.write(frames))) == [(TEXT, "4hello")] * 2


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("key", [bytes(4), b"\x00\x00\x00\x01", b"\xff\xff\xff\xff", b"\x11\xa2\x33\xf4"])
def test_masking_a_frame_of_each_length_form(size: int, key: bytes) -> None:
    body = bytes(index % 253 for index in range(size))
    assert masked(Frame(body).websocket, key) == masked_frame(BINARY, body, True, key)


def test_control_frames_are_masked(bench: ClientBench) -> None:
    line, link = bench.dial()
    line.send(frame(PING, b"p" * 125))
    link.close(1000)
    bench.core.mark(link)
    bench.flush()
    assert said(line.sent) == [(PONG, b"p" * 125), (CLOSE, (1000, ""))]
    assert line.sent[1] == 0x80 | 125


# -- frames that come


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
        for step in (1, 10_000):
            data = frame(TEXT, b"x" * size) + frame(BINARY, b"x" * size)
            found = [each for at in range(0, len(data), step) for each in wire.receive(data[at : at + step])]
            assert [type(each) for each in found] == [str, bytes]


@pytest.mark.parametrize("opcode", [TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE])
@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_masked_frame_is_1002(opcode: int, size: int) -> None:
    wire = make()
    assert wire.receive(frame(TEXT, b"before") + masked_frame(opcode, b"x" * size)) == ["before"]
    assert (wire.state, wire.close_code, wire.error) == (CLOSED, 1002, "a frame from the server is masked")
    assert said(wire.take()) == [(CLOSE, (1002, wire.error))]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc1\x00", 1002),
        (b"\xa1\x00", 1002),
        (b"\x91\x00", 1002),
        (b"\x83\x00", 1002),
        (b"\x8b\x00", 1002),
        (b"\x09\x00", 1002),
        (b"\x89\x7e", 1002),
        (b"\x88\x01", 1002),
        (frame(CLOSE, close_body(1005)), 1002),
        (b"\x80\x00", 1002),
        (b"\x01\x00\x81\x00", 1002),
        (b"\x81\x7e\x00\x7d", 1002),
        (b"\x81\x7f" + bytes(6) + b"\xff\xff", 1002),
        (b"\x81\x7f\x80" + bytes(7), 1002),
        (frame(TEXT, b"\xff"), 1007),
        (frame(TEXT, b"\xff" * 200), 1007),
        (frame(TEXT, b"\xe2", final=False) + frame(CONTINUATION, b"x"), 1007),
        (frame(CLOSE, close_body(1000, b"\xff")), 1007),
        (b"\x82\x7e\x03\xe9", 1009),
        (b"\x82\x7f\x3f" + bytes(7), 1009),
        (frame(BINARY, b"x" * 600, final=False) + b"\x80\x7e\x02\x00", 1009),
        (frame(TEXT, b"", final=False) + frame(CONTINUATION, b"", final=False) * 3 + b"\x80\x00", 1008),
    ],
)
def test_a_frame_that_breaks_the_protocol(data: bytes, code: int) -> None:
    for step in (1, len(data)):
        wire = make(1000, 4)
        for at in range(0, len(data), step):
            assert wire.receive(data[at : at + step]) == []
        assert (wire.state, wire.close_code) == (CLOSED, code)
        assert said(wire.take()) == [(CLOSE, (code, wire.error))]


def test_a_short_limit_holds_on_the_short_road() -> None:
    wire = make(5)
    assert wire.receive(frame(TEXT, b"x" * 5) + frame(TEXT, b"y" * 6)) == ["xxxxx"]
    assert (wire.close_code, wire.error) == (1009, "a message is too big")


def test_a_short_frame_inside_a_fragmented_message_does_not_overtake_it() -> None:
    wire = make()
    data = frame(TEXT, b"a", final=False) + frame(PING, b"p") + frame(CONTINUATION, b"b") + frame(TEXT, b"c")
    assert wire.receive(data) == ["ab", "c"]
    assert said(wire.take()) == [(PONG, b"p")]


def test_an_idle_connection_is_lean() -> None:
    wire = make()
    wire.receive(frame(PING, b"x") + frame(TEXT, b"a", final=False) + frame(CONTINUATION, b"b"))
    wire.receive(frame(TEXT, b"partial")[:5])
    wire.receive(frame(TEXT, b"partial")[5:])
    wire.take()
    assert (wire._held, wire._message, wire._ping, wire._close) == (None, None, None, b"")


# -- against wsproto


@st.composite
def sessions(draw: st.DrawFn) -> list[bytes]:
    """A sequence of valid server frames, by wsproto: messages, whole or in fragments, with control frames between."""
    server = Connection(SERVER)
    frames: list[bytes] = []
    sizes = st.one_of(st.integers(0, 40), st.sampled_from(EDGES))
    for _ in range(draw(st.integers(1, 5))):
        text = draw(st.booleans())
        fragments = draw(st.one_of(st.just(1), st.integers(1, 4)))
        for at in range(fragments):
            last = at == fragments - 1
            if text:
                frames.append(server.send(TextMessage(draw(st.text(max_size=4)) + "x" * draw(sizes), True, last)))
            else:
                body = (draw(st.binary(max_size=4)) * 20_000)[: draw(sizes)]
                frames.append(server.send(BytesMessage(body, True, last)))
            if draw(st.integers(0, 3)) == 0:
                kind = draw(st.sampled_from((Ping, Pong)))
                frames.append(server.send(kind(draw(st.binary(max_size=125)))))
    return frames


def messages_of(events: Any) -> list[str | bytes]:
    """Returns whole messages of wsproto's events."""
    messages: list[str | bytes] = []
    parts: list[Any] = []
    event: Event
    for event in events:
        if isinstance(event, TextMessage | BytesMessage):
            parts.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
            if event.message_finished:
                messages.append(parts[0][:0].join(parts))
                parts = []
    return messages


@settings(deadline=None)
@given(frames=sessions(), splits=st.lists(st.floats(0, 1), max_size=30))
def test_frames_of_a_server_read_as_wsproto_reads_them_in_any_chunking(
    frames: list[bytes], splits: list[float]
) -> None:
    data = b"".join(frames)
    reader = Connection(CLIENT)
    reader.receive_data(data)
    expected = messages_of(reader.events())
    pings = [ping[2:] for ping in frames if ping[0] == FINAL | PING]
    whole = [0, len(data)]
    random = sorted({*whole, *(int(split * len(data)) for split in splits)})
    ends = [sum(map(len, frames[:number])) for number in range(len(frames) + 1)]
    near = {at + offset for at in ends for offset in range(-3, 17)}
    single = sorted({*whole, *(at for at in (range(len(data)) if len(data) < 4096 else near) if 0 < at < len(data))})
    for cuts in (whole, random, single):
        wire = make()
        messages: list[str | bytes] = []
        for start, stop in pairwise(cuts):
            messages += wire.receive(data[start:stop])
        assert messages == expected
        assert (wire.state, wire.error) == (OPEN, None)
        assert said(wire.take()) == [(PONG, ping) for ping in pings[-1:]]
        assert (wire._held, wire._message) == (None, None)


packets = st.one_of(
    st.text(max_size=200), st.binary(max_size=200), st.sampled_from(EDGES).map(lambda size: b"\x5a" * size)
)


@settings(deadline=None)
@given(sent=st.lists(packets, max_size=12), splits=st.lists(st.floats(0, 1), max_size=20))
def test_what_we_write_reads_as_wsproto_reads_it_in_any_chunking(sent: list[str | bytes], splits: list[float]) -> None:
    wire = make()
    data = b"".join(wire.write([Frame(each) for each in sent]))
    whole = [0, len(data)]
    random = sorted({*whole, *(int(split * len(data)) for split in splits)})
    single = list(range(len(data) + 1)) if len(data) < 4096 else whole
    for cuts in (whole, random, single):
        server = Connection(SERVER)
        events: list[Event] = []
        own = WebSocketWire(1_000_000)
        read: list[str | bytes] = []
        for start, stop in pairwise(cuts):
            if start < stop:
                server.receive_data(data[start:stop])
                events += server.events()
            read += own.receive(data[start:stop])
        assert messages_of(events) == read == sent


headers: Final = st.builds(
    lambda first, size, rest: bytes((first, size)) + rest,
    st.sampled_from([opcode | final for opcode in range(11) for final in (0, FINAL)]),
    st.one_of(st.integers(0, 12), st.integers(124, 129)),
    st.binary(max_size=24),
)
valid: Final = st.builds(
    frame, st.sampled_from((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)), st.binary(max_size=140), st.booleans()
)
hostile: Final = st.one_of(
    st.binary(max_size=200), st.lists(st.one_of(headers, valid, st.binary(max_size=8)), max_size=8).map(b"".join)
)


def read(data: bytes, step: int, limit: int) -> tuple[list[str | bytes], WebSocketWire, bytes]:
    wire = make(limit, 4)
    messages: list[str | bytes] = []
    for at in range(0, len(data), step):
        messages += wire.receive(data[at : at + step])
        assert buffered(wire) <= limit + 131
    return messages, wire, wire.take()


@settings(max_examples=500, deadline=None)
@given(data=hostile, step=st.integers(1, 40), limit=st.integers(0, 300))
def test_random_bytes_never_raise_and_mean_the_same_in_any_chunking(data: bytes, step: int, limit: int) -> None:
    messages, wire, answered = read(data, step, limit)
    again, other, _ = read(data, max(1, len(data)), limit)
    assert messages == again
    assert (wire.state, wire.close_code, wire.error) == (other.state, other.close_code, other.error)
    if wire.error is not None:
        assert wire.close_code in (1002, 1007, 1008, 1009)
        assert said(answered)[-1] == (CLOSE, (wire.close_code, wire.error))
    else:
        assert (wire.state is CLOSED) == wire.peer_closed
    assert all(opcode in (PONG, CLOSE) for opcode, _ in said(answered))
    wire.receive_eof()
    assert wire.state is CLOSED


@settings(max_examples=300, deadline=None)
@given(data=hostile)
def test_what_wsproto_refuses_we_refuse(data: bytes) -> None:
    protocol = FrameProtocol(client=True, extensions=[])
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


@settings(max_examples=200, deadline=None)
@given(data=hostile, step=st.integers(1, 60), with_deflate=st.booleans())
def test_any_bytes_behind_the_101_end_the_link_once_or_not_at_all(data: bytes, step: int, with_deflate: bool) -> None:
    bench = ClientBench(ClientWireConfig(per_message_deflate=ON if with_deflate else None), max_payload=100)
    line = bench.ask(upgrade=True)
    extension = [f"sec-websocket-extensions: {AGREED}"] if with_deflate else []
    line.send(accept(line.taken(), *extension))
    for at in range(0, len(data), step):
        line.send(data[at : at + step])
    line.end()
    assert [each[0] for each in bench.log].count("closed") == 1
    assert bench.log[-1][0] == "closed"
    assert line.closed
    bench.check_over()


# -- the ends


def test_the_server_closes(bench: ClientBench) -> None:
    line, _ = bench.dial()
    line.send(frame(TEXT, b"last") + frame(CLOSE, close_body(1001, b"bye")) + frame(TEXT, b"late"))
    assert bench.log[1:] == [("message", "last"), ("closed", 1001, None)]
    assert said(line.sent) == [(CLOSE, (1001, "bye"))]
    assert (line.closed, line.aborted) == (True, False)
    bench.check_over()


def test_the_server_closes_without_a_code(bench: ClientBench) -> None:
    line, _ = bench.dial()
    line.send(frame(CLOSE))
    assert bench.log[1:] == [("closed", 1005, None)]
    bench.check_over()


def close(bench: ClientBench, link: Link, code: int | None = None) -> None:
    link.close(code)
    bench.core.mark(link)
    bench.flush()


@pytest.mark.parametrize("code", [None, 1000, 4000])
def test_we_close_behind_what_was_sent(bench: ClientBench, code: int | None) -> None:
    line, link = bench.dial()
    bench.core.send(link, "4last")
    close(bench, link, code)
    assert said(line.sent) == [(TEXT, "4last"), (CLOSE, (1005 if code is None else code, ""))]
    assert not line.closed
    line.send(frame(TEXT, b"4dropped") + frame(CLOSE, b"" if code is None else close_body(code)))
    assert bench.log[1:] == [("closed", 1005 if code is None else code, None)]
    assert line.closed
    bench.check_over()


def test_nothing_follows_our_close_frame(bench: ClientBench) -> None:
    line, link = bench.dial()
    close(bench, link)
    line.taken()
    bench.core.send(link, "4late")
    bench.flush()
    assert line.sent == b""
    line.send(frame(PING, b"p"))
    assert said(line.sent) == [(PONG, b"p")]


def test_a_server_that_does_not_close_its_part_is_left() -> None:
    bench = ClientBench(ClientWireConfig(close_timeout=3))
    line, link = bench.dial()
    close(bench, link)
    bench.advance(2.9)
    assert bench.log[1:] == []
    bench.advance(0.2)
    assert bench.log[1:] == [("closed", 1006, None)]
    assert (line.closed, line.aborted) == (True, False)
    bench.check_over()


def test_we_close_while_the_transport_is_blocked_and_not_read(bench: ClientBench) -> None:
    line, link = bench.dial()
    line.block()
    link.reading = False
    bench.core.mark(link)
    bench.flush()
    close(bench, link)
    assert said(line.sent) == [(CLOSE, (1005, ""))]


def test_we_close_while_the_transport_is_blocked(bench: ClientBench) -> None:
    line, link = bench.dial()
    line.block()
    bench.core.send(link, "4last")
    bench.flush()
    assert line.sent == b""
    close(bench, link)
    assert said(line.sent) == [(TEXT, "4last"), (CLOSE, (1005, ""))]


@pytest.mark.parametrize("how", ["end", "lose"])
@pytest.mark.parametrize("closing", [False, True])
def test_the_transport_ends(bench: ClientBench, how: str, closing: bool) -> None:
    line, link = bench.dial(more=frame(TEXT, b"4part")[:3])
    if closing:
        close(bench, link)
    getattr(line, how)()
    assert bench.log[1:] == [("closed", 1006, None)]
    assert line.closed
    bench.check_over()


def test_a_failure_is_said_and_the_rest_discarded_until_the_server_ends(bench: ClientBench) -> None:
    line, _ = bench.dial()
    line.send(frame(TEXT, b"4one") + b"\x83\x00" + frame(TEXT, b"4two"))
    assert bench.log[1:] == [("message", "4one"), ("closed", 1002, "reserved opcode")]
    assert said(line.sent) == [(CLOSE, (1002, "reserved opcode"))]
    assert (line.closed, line.half_closed, line.connection.reading) == (False, True, True)
    line.send(b"x" * 100_000)
    assert not line.closed
    line.end()
    assert line.closed
    bench.check_over()


def test_what_is_discarded_is_limited() -> None:
    bench = ClientBench(ClientWireConfig(max_linger=1000, close_timeout=3))
    line, _ = bench.dial()
    line.send(b"\x83\x00").send(b"x" * 1000)
    assert not line.closed
    line.send(b"x")
    assert line.closed
    line, _ = bench.dial()
    line.send(b"\x83\x00")
    bench.advance(3.1)
    assert line.closed
    bench.check_over()


def test_a_failure_behind_the_end_is_not_waited_for(bench: ClientBench) -> None:
    line, _ = bench.dial()
    line.connection.ended = True
    line.send(b"\x83\x00")
    assert line.closed
    bench.check_over()


# -- back-pressure


def test_frames_wait_while_the_transport_is_blocked(bench: ClientBench) -> None:
    line, link = bench.dial()
    line.block()
    assert link.blocked
    bench.core.send(link, "4one", "4two")
    bench.flush()
    line.send(frame(PING, b"1") + frame(PING, b"2"))
    assert line.sent == b""
    line.unblock()
    assert not link.blocked
    assert sorted(said(line.sent)) == [(TEXT, "4one"), (TEXT, "4two"), (PONG, b"2")]


def test_a_transport_that_is_blocked_when_the_websocket_begins(bench: ClientBench) -> None:
    line = bench.ask(upgrade=True)
    line.block()
    line.send(accept(line.taken()))
    assert bench.core.links[0].blocked


def test_the_core_stops_reading(bench: ClientBench) -> None:
    line, link = bench.dial()
    link.reading = False
    bench.core.mark(link)
    bench.flush()
    line.send(frame(TEXT, b"4one"))
    assert bench.log[1:] == []
    link.reading = True
    bench.core.mark(link)
    bench.flush()
    line.send(b"")
    assert bench.log[1:] == [("message", "4one")]


def test_several_messages_of_one_turn_leave_as_one_piece(bench: ClientBench) -> None:
    _, link = bench.dial()
    numbers = count()
    bench.core.send(link, *[f"4{next(numbers)}" for _ in range(10)])
    (connection,) = bench.wire.take_dirty()
    assert [body for _, body in said(connection.take())] == [f"4{number}" for number in range(10)]
    assert connection.take() == b""
