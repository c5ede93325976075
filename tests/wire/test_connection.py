"""Connections: requests one after the other, deadlines, the end in all its forms, and WebSockets."""

from __future__ import annotations

import importlib
import random
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto.config import EngineConfig
from sioproto.engineio.request import Response
from sioproto.engineio.server import EngineServer
from sioproto.environment import Environment
from sioproto.errors import LocalProtocolError
from sioproto_wire import ServerWire, WireConfig, real_environment
from tests.wire.conftest import Bench, Clock, Peer, read_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def get(path: str = "/now", *fields: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: example.org", *fields, "", ""]).encode("latin-1")


def post(path: str = "/post", body: bytes = b"hello", *fields: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *fields, method="POST") + body


def chunked(path: str = "/post", *parts: bytes, fields: Iterable[str] = ()) -> bytes:
    data = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))
    return get(path, "Transfer-Encoding: chunked", *fields, method="POST") + data


def upgrade(path: str = "/ws", *fields: str) -> bytes:
    handshake = ("Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
    return get(path, "Connection: Upgrade", "Upgrade: websocket", *handshake, *fields)


def frame(first: int, body: bytes, key: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A masked frame, as a client sends it."""
    size = len(body)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((first,)) + length + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(body))


def text(message: str) -> bytes:
    return frame(0x81, message.encode())


def whole(data: bytes) -> list[bytes]:
    return [data]


def bytewise(data: bytes) -> list[bytes]:
    return [bytes((byte,)) for byte in data]


def randomly(seed: int) -> Callable[[bytes], list[bytes]]:
    def cut(data: bytes) -> list[bytes]:
        chance = random.Random(seed)
        points = sorted({chance.randint(0, len(data)) for _ in range(chance.randrange(8))} - {0, len(data)})
        return [data[start:end] for start, end in zip([0, *points], [*points, len(data)], strict=True)]

    return cut


CUTS = [whole, bytewise, *map(randomly, range(5))]


def outcome(
    data: bytes, cut: Callable[[bytes], list[bytes]] = whole, *, urgent: bool = False, **options: Any
) -> tuple[Any, ...]:
    bench = Bench(**options)
    peer = bench.peer()
    if urgent:
        bench.core.meanwhile = peer.flush
    peer.send(data, cut)
    sent = peer.sent
    # What is discarded after an answer, if anything, depends on when it came.
    peer.advance(6)
    return sent, peer.closed, bench.core.log, [exchange.request.target for exchange in bench.core.held]


# -- one request


def test_a_request_and_its_answer(peer: Peer) -> None:
    peer.send(get("/now?a=b", "X-One: two"))
    (answer,) = peer.answers
    assert (answer.status, answer.body) == (200, b"now")
    (request,) = peer.core.requests
    assert (request.method, request.target, request.address) == ("GET", "/now?a=b", "192.0.2.1")
    assert request.headers == [("host", "example.org"), ("x-one", "two")]
    assert (request.secure, request.upgrade) == (False, False)
    assert not peer.closed


def test_a_body_is_handed_over_whole(peer: Peer) -> None:
    peer.send(post(body=b"hello"))
    assert peer.core.log == [("request", "POST", "/post", False), ("body", b"hello")]
    assert peer.answers[0].body == b"got hello"


def test_an_empty_body_is_one_too(peer: Peer) -> None:
    peer.send(post(body=b"")).send(get("/post", method="POST")).send(chunked("/post"))
    assert [entry for entry in peer.core.log if entry[0] == "body"] == [("body", b"")] * 3


def test_a_chunked_body(peer: Peer) -> None:
    peer.send(chunked("/post", b"hello", b" world"))
    assert peer.answers[0].body == b"got hello world"


@pytest.mark.parametrize("data", [get("/foreign"), post("/foreign", b"")])
def test_a_foreign_request_without_a_body_gets_an_empty_one(peer: Peer, data: bytes) -> None:
    peer.send(data)
    assert peer.core.log[-1] == ("body", b"")
    assert peer.statuses == [200]


def test_a_foreign_request_with_a_body(peer: Peer) -> None:
    peer.send(post("/foreign", b"hello"))
    assert peer.core.log[-1] == ("body", b"hello")
    assert peer.statuses == [200]


def test_continue_is_sent_when_the_body_is_wanted(peer: Peer) -> None:
    data = post("/post", b"hello", "Expect: 100-continue")
    peer.send(data[:-5])
    assert peer.sent == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.send(b"hello")
    assert peer.statuses == [100, 200]
    assert not peer.closed


def test_continue_is_not_sent_when_the_body_is_not_wanted(peer: Peer) -> None:
    peer.send(post("/now", b"hello", "Expect: 100-continue")[:-5])
    assert peer.statuses == [200]
    # Whether the body comes is the peer's choice now, so its end is not known.
    assert peer.answers[0].headers["connection"] == "close"


def test_head_gets_no_body(peer: Peer) -> None:
    peer.send(get(method="HEAD"))
    assert peer.sent.endswith(b"Content-Length: 3\r\n\r\n")
    assert not peer.closed


def test_a_foreign_server_name() -> None:
    bench = Bench()
    wire = ServerWire(bench.core, server_name="me/1.0")
    assert Peer(wire, bench.core, bench.clock).send(get()).answers[0].headers["server"] == "me/1.0"
    with pytest.raises(LocalProtocolError):
        ServerWire(bench.core, server_name="a\nb")


# -- keep-alive and pipelining


def test_keep_alive(peer: Peer) -> None:
    for _ in range(3):
        peer.send(get()).send(post())
    assert peer.statuses == [200] * 6
    assert all("connection" not in answer.headers for answer in peer.answers)


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (get("/now", "Connection: close"), "close"),
        (get("/now", version="1.0"), "close"),
        (get("/now", "Connection: keep-alive", version="1.0"), "keep-alive"),
    ],
)
def test_what_the_peer_wants_is_said_and_done(peer: Peer, data: bytes, word: str) -> None:
    peer.send(data)
    assert peer.answers[0].headers["connection"] == word
    assert peer.closed is (word == "close")


def test_pipelined_requests_are_answered_in_order(peer: Peer) -> None:
    peer.send(get("/now") + post("/post", b"1") + get("/now") + post("/post", b"2"))
    assert [answer.body for answer in peer.answers] == [b"now", b"got 1", b"now", b"got 2"]


def test_a_pipelined_request_waits_for_the_answer_before_it(peer: Peer) -> None:
    peer.send(get("/held") + get("/now"))
    assert len(peer.core.requests) == 1
    peer.core.answer(peer.core.held[0], Response(200, [], b"at last"))
    peer.pump()
    assert [answer.body for answer in peer.answers] == [b"at last", b"now"]


def test_reading_stops_behind_a_held_request(peer: Peer) -> None:
    config = peer.wire.config
    peer.send(get("/held"))
    for _ in range(100):
        peer.send(get("/now", "X: " + "x" * 1000))
    assert not peer.connection.reading
    assert config.max_pipelined < peer.connection.buffered < config.max_pipelined + 2000
    peer.core.answer(peer.core.held[0], Response(200))
    peer.pump()
    assert peer.connection.reading
    assert peer.connection.buffered == 0
    assert peer.statuses == [200] * 101


def test_what_one_read_brought_is_kept(peer: Peer) -> None:
    peer.send(get("/held") + get() * 1000)
    assert not peer.connection.reading
    assert peer.connection.buffered == len(get()) * 1000
    peer.core.answer(peer.core.held[0], Response(200))
    peer.pump().advance(1)
    assert peer.statuses == [200] * 1001


def test_a_flood_of_requests_has_its_turns(peer: Peer) -> None:
    """Long answers to short questions do not pile up: beyond a mark the next question waits for another turn."""
    peer.connection.receive_data(get("/big") * 100)
    assert peer.connection.unsent < peer.wire.config.max_unsent + 60_000
    assert not peer.connection.reading or peer.connection.buffered < peer.wire.config.max_pipelined
    peer.pump()
    peer.advance(1)
    assert peer.statuses == [200] * 100
    assert not peer.closed


def test_a_small_body_that_is_not_wanted_is_skipped(peer: Peer) -> None:
    for cut in CUTS:
        peer.send(post("/now", b"GET /x HTTP/1.1\r\n") + get("/now"), cut)
    assert peer.statuses == [200, 200] * len(CUTS)
    assert not peer.closed


def test_a_chunked_body_that_is_not_wanted_ends_the_connection(peer: Peer) -> None:
    peer.send(chunked("/now", b"hello"))
    assert peer.statuses == [200]
    assert peer.answers[0].headers["connection"] == "close"
    assert not peer.closed
    assert peer.end().closed


def test_a_held_get_may_have_a_body(peer: Peer) -> None:
    data = get("/held", "Content-Length: 5") + b"hello"
    for cut in CUTS:
        peer.send(data, cut)
        peer.core.answer(peer.core.held.pop(), Response(200, [], b"news"))
        peer.pump()
    assert peer.statuses == [200] * len(CUTS)
    assert not peer.closed


def test_a_held_get_may_be_answered_before_its_body_is_there(peer: Peer) -> None:
    peer.send(get("/held", "Content-Length: 5") + b"he")
    peer.core.answer(peer.core.held.pop(), Response(200, [], b"news"))
    assert peer.pump().statuses == [200]
    assert peer.send(b"llo" + get()).statuses == [200, 200]


def test_an_answer_in_the_midst_of_a_wanted_body_ends_the_connection(peer: Peer) -> None:
    peer.send(post("/later", b"hello")[:-1])
    exchange = peer.core.requests and peer.connection.exchanges._exchange  # type: ignore[union-attr]
    peer.core.answer(exchange, Response(400))
    peer.pump()
    assert peer.statuses == [400]
    assert peer.answers[0].headers["connection"] == "close"
    assert peer.connection.half_closing
    peer.send(b"o" + get())
    assert len(peer.core.requests) == 1
    assert ("abort", "/later") not in peer.core.log


# -- every way of cutting gives the same


SCENES = {
    "requests": get() + post() + chunked("/post", b"a" * 20, b"b") + get("/foreign") + get("/empty") + get(),
    "held": get() + get("/held", "X: y") + post(),
    "skipped bodies": post("/now") + post("/refused", b"1" * 50) + get(),
    "close": get("/now", "Connection: close") + get(),
    "old": get("/now", version="1.0") + get(),
    "bad head": get() + b"GET / HTTP/1.1\r\nX : y\r\n\r\n" + get(),
    "bad chunk": get() + chunked("/post", b"abc").replace(b"3\r\n", b"x\r\n") + get(),
    "too large": post("/post", b"1" * 2000) + get(),
    "chunks too large": chunked("/post", b"1" * 900, b"2" * 900) + get(),
    "unwanted and too large": post("/now", b"1" * 2000) + get(),
    "held and too large": get("/held", "Content-Length: 2000") + b"1" * 2000,
    "coding": get("/now", "Transfer-Encoding: gzip", method="POST"),
    "expectation": post("/post", b"hello", "Expect: 100-continue") + get(),
    "unknown expectation": post("/post", b"hello", "Expect: wonders") + get(),
    "compressed": post("/post", b"hello", "Content-Encoding: gzip") + get(),
    "bad answer": get("/bad") + get(),
    "websocket": get() + upgrade() + text("1") + frame(0x8A, b"pong") + text("2" * 300) + frame(0x88, b"\x03\xe8bye"),
    "fragments": upgrade() + frame(0x01, b"1") + frame(0x00, b"2") + frame(0x80, b"3") + frame(0x82, b"4"),
    "bad frame": upgrade() + text("1") + b"\x81\x01a",
    "refused websocket": upgrade("/refused") + text("1"),
    "wrong version": upgrade().replace(b"Version: 13", b"Version: 12") + text("1"),
    "bad websocket answer": upgrade("/ws-bad") + text("1"),
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01",
}


@pytest.mark.parametrize("scene", SCENES)
def test_every_way_of_cutting_gives_the_same(scene: str) -> None:
    outcomes = [outcome(SCENES[scene], cut, max_payload=1000) for cut in CUTS]
    assert all(each == outcomes[0] for each in outcomes[1:]), outcomes


@pytest.mark.parametrize("scene", SCENES)
def test_output_that_is_taken_while_the_core_is_told_something_is_the_same(scene: str) -> None:
    for cut in CUTS:
        assert outcome(SCENES[scene], cut, urgent=True, max_payload=1000) == outcome(
            SCENES[scene], cut, max_payload=1000
        )


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("when", range(4))
def test_a_connection_may_be_lost_while_the_core_is_told_something(scene: str, when: int) -> None:
    bench = Bench(max_payload=1000)
    peer = bench.peer()
    countdown = iter([None] * when)

    def meanwhile() -> None:
        if next(countdown, peer) is peer:
            peer.connection.receive_lost()

    bench.core.meanwhile = meanwhile
    peer.send(SCENES[scene])
    peer.connection.receive_lost()
    bench.core.meanwhile = None
    bench.wire.take_dirty()
    assert bench.wire.connections == {}
    assert bench.core.links == []
    assert bench.core.timers.next_deadline() is None
    assert peer.connection.take() == b""
    assert all(exchange.response is not None for exchange in bench.core.held)


# -- limits


def test_a_declared_length_above_the_limit_is_refused_unread(peer: Peer) -> None:
    peer.send(get("/post", "Content-Length: 100001", method="POST"))
    assert peer.core.log[-1] == ("oversize",)
    assert peer.statuses == [413]
    assert peer.answers[0].headers["connection"] == "close"
    assert peer.send(b"x" * 100_001).connection.buffered == 0
    assert not peer.closed
    assert peer.end().closed


def test_a_length_of_the_limit_is_taken(peer: Peer) -> None:
    assert peer.send(post("/post", b"x" * 100_000)).statuses == [200]


@pytest.mark.parametrize("path", ["/post", "/foreign", "/held"])
def test_too_many_chunks_are_refused(peer: Peer, path: str) -> None:
    peer.send(chunked(path, *[b"x" * 1000] * 101))
    assert [entry[0] for entry in peer.core.log] == ["request", "oversize"]
    assert peer.statuses == [413]
    assert peer.connection.buffered == 0


def test_small_chunks_are_refused_by_the_core(peer: Peer) -> None:
    peer.send(chunked("/post", *[b"x"] * 20_000))
    assert peer.core.log[-1] == ("oversize",)
    assert peer.statuses == [413]


def test_a_bad_chunk_is_an_abort_for_the_core(peer: Peer) -> None:
    peer.send(get("/post", "Transfer-Encoding: chunked", method="POST") + b"nonsense\r\n")
    assert peer.core.log[-1] == ("abort", "/post")
    assert peer.answers[0].body == b'{"code":3,"message":"Bad request"}'


def test_what_is_sent_after_an_error_is_discarded_for_a_while(peer: Peer) -> None:
    peer.send(b"nonsense\r\n\r\n")
    assert peer.statuses == [400]
    assert (peer.connection.half_closing, peer.connection.reading) == (True, True)
    peer.send(b"x" * 1000)
    assert peer.connection.buffered == 0
    peer.advance(4.9)
    assert not peer.closed
    peer.advance(0.2)
    assert peer.closed


def test_only_so_much_is_discarded_after_an_error() -> None:
    peer = Bench(WireConfig(max_linger=1000)).peer().send(b"nonsense\r\n\r\n").send(b"x" * 1000)
    assert not peer.closed
    assert peer.send(b"x").closed


def test_a_body_that_waits_for_us_is_not_slow(peer: Peer) -> None:
    peer.send(get("/big") + post("/post", b"hello")[:-1]).connection.receive_blocked()
    peer.advance(20)
    peer.connection.receive_unblocked()
    peer.pump().send(b"o")
    assert peer.statuses == [200, 200]


def test_the_peers_end_ends_the_discarding(peer: Peer) -> None:
    assert peer.send(b"nonsense\r\n\r\n").end().closed


def test_a_response_that_cannot_be_sent_becomes_500_and_a_report(bench: Bench) -> None:
    peer = bench.peer().send(get("/bad"))
    assert peer.statuses == [500]
    assert b"Set-Cookie" not in peer.sent
    assert ["X-Bad" in str(error) for error in bench.errors] == [True]
    assert peer.closed
    assert bench.peer().send(get()).statuses == [200]


@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from(sorted(SCENES)), st.integers(0, 9))
@settings(max_examples=300, deadline=None)
def test_mutated_requests_end_in_an_answer_or_a_close(noise: bytes, place: int, scene: str, seed: int) -> None:
    bench = Bench(max_payload=1000)
    data = SCENES[scene]
    place = min(place, len(data))
    peer = bench.peer().send(data[:place] + noise + data[place + seed :], randomly(seed))
    assert peer.connection.buffered <= len(data) + len(noise)
    for exchange in bench.core.held:
        bench.core.answer(exchange, Response(200))
    for link in bench.core.links:
        link.close()
        bench.core.mark(link)
    peer.pump().advance(120)
    assert peer.closed
    assert bench.wire.connections == {}
    assert bench.core.links == []
    assert bench.core.timers.next_deadline() is None
    aborts = [entry for entry in bench.core.log if entry[0] in ("abort", "closed")]
    assert len(aborts) <= 1
    assert bench.peer().send(get()).statuses == [200]


# -- deadlines


def test_silence_at_first_is_closed_without_a_word(peer: Peer) -> None:
    assert not peer.advance(9.9).closed
    assert peer.advance(0.2).closed
    assert peer.sent == b""


def test_empty_lines_are_silence(peer: Peer) -> None:
    peer.advance(9).send(b"\r\n" * 10).advance(1.1)
    assert (peer.closed, peer.sent) == (True, b"")


def test_silence_between_requests_is_closed_without_a_word(peer: Peer) -> None:
    peer.send(get()).advance(4.9)
    peer.send(get()).advance(4.9)
    assert not peer.closed
    assert peer.advance(0.2).closed
    assert peer.statuses == [200, 200]


@pytest.mark.parametrize("before", [b"", get()])
def test_a_slow_head_gets_408(peer: Peer, before: bytes) -> None:
    peer.advance(4).send(before + b"G")
    for _ in range(9):
        peer.advance(1).send(b"E")
    assert peer.statuses == [200] * bool(before)
    peer.advance(1.1)
    assert peer.statuses[-1] == 408
    assert peer.advance(5.1).closed


def test_a_slow_body_gets_408(peer: Peer) -> None:
    peer.send(post("/post", b"x" * 90_000)[:-80_000])
    for _ in range(29):
        peer.advance(1).send(b"x" * 2000)
        assert peer.sent == b""
    peer.advance(1.1)
    assert peer.core.log[1:] == [("abort", "/post")]
    assert peer.statuses == [408]


def test_a_trickle_gets_408_soon_after_the_grace(peer: Peer) -> None:
    peer.send(post("/post", b"x" * 900)[:-900])
    for _ in range(5):
        peer.advance(1).send(b"x")
        assert peer.sent == b""
    peer.advance(1)
    assert peer.statuses == [408]
    assert peer.core.log[1:] == [("abort", "/post")]


def test_a_slow_body_of_an_answered_request_ends_the_connection(peer: Peer) -> None:
    peer.send(post("/now", b"hello")[:-1]).advance(31)
    assert peer.statuses == [200]
    assert peer.advance(5).closed


def test_a_held_request_has_no_deadline(peer: Peer) -> None:
    peer.send(get("/held")).advance(10_000)
    assert not peer.closed
    peer.core.answer(peer.core.held[0], Response(200))
    assert peer.pump().statuses == [200]
    assert peer.advance(5.1).closed


def test_all_deadlines_are_the_cores(bench: Bench) -> None:
    bench.peer()
    assert bench.core.timers.next_deadline() == bench.clock.now + 10
    assert [label for label, count, _ in bench.core.timers.explain() if count] == ["wire: first request"]


# -- the end of the peer's bytes, and of the connection


def test_the_end_closes_an_idle_connection(peer: Peer) -> None:
    assert peer.end().closed
    assert peer.sent == b""


def test_answers_to_whole_requests_are_still_sent_after_the_end(peer: Peer) -> None:
    peer.send(get() + post() + get()).end()
    assert peer.statuses == [200] * 3
    assert peer.closed


def test_requests_that_came_before_the_end_are_read_after_it(bench: Bench) -> None:
    peer = bench.peer()
    connection = peer.connection
    connection.receive_data(post("/later", b"1") + get() + get("/held") + get())
    connection.receive_eof()
    assert not connection.closing
    bench.core.answer(bench.core.held[0], Response(200, [], b"late"))
    peer.pump()
    assert [answer.body for answer in peer.answers] == [b"late", b"now"]
    assert bench.core.log[-1] == ("abort", "/held")
    assert peer.closed


def test_the_end_while_a_get_is_held_is_an_abort(peer: Peer) -> None:
    peer.send(get("/held")).end()
    assert peer.core.log[-1] == ("abort", "/held")
    assert (peer.closed, peer.sent) == (True, b"")


def test_the_end_while_a_handshake_is_judged_is_an_abort(peer: Peer) -> None:
    peer.send(upgrade("/ws-held")).end()
    assert peer.core.log[-1] == ("abort", "/ws-held")
    assert peer.closed


def test_the_end_in_a_body_is_an_abort(peer: Peer) -> None:
    peer.send(post()[:-1]).end()
    assert peer.core.log[-1] == ("abort", "/post")
    assert peer.closed


def test_the_end_in_a_head_says_nothing(peer: Peer) -> None:
    peer.send(get()[:-1]).end()
    assert (peer.core.log, peer.sent, peer.closed) == ([], b"", True)


@pytest.mark.parametrize("data", [b"", get()[:-1], get(), post()[:-1], get("/held"), upgrade(), b"nonsense\r\n\r\n"])
def test_a_lost_connection_is_told_once(bench: Bench, data: bytes) -> None:
    peer = bench.peer().send(data)
    peer.lose().lose()
    ends = [entry for entry in bench.core.log if entry[0] in ("abort", "closed")]
    assert len(ends) == (data in (post()[:-1], get("/held"), upgrade()))
    assert bench.wire.connections == {}
    assert bench.core.timers.next_deadline() is None
    assert (peer.connection.take(), peer.connection.closing, peer.connection.reading) == (b"", True, False)


def test_an_answer_for_a_lost_connection_is_nobodys(bench: Bench) -> None:
    peer = bench.peer().send(post("/later"))
    (exchange,) = bench.core.held
    bench.core.answer(exchange, Response(200))
    peer.connection.receive_lost()
    bench.wire.take_dirty()
    assert peer.connection.take() == b""
    assert ("abort", "/later") not in bench.core.log


def test_a_websocket_that_was_accepted_for_a_lost_connection_is_over(bench: Bench) -> None:
    peer = bench.peer().send(upgrade("/ws-held"))
    bench.core.accept(bench.core.held[0])
    peer.lose()
    assert bench.core.log[1:] == [("closed", 1006, None)]
    assert bench.core.links == []


def test_events_after_the_end_are_harmless(peer: Peer) -> None:
    connection = peer.send(get("/now", "Connection: close")).connection
    log = list(peer.core.log)
    connection.receive_data(get())
    connection.receive_eof()
    connection.receive_blocked()
    connection.receive_unblocked()
    connection.receive_lost()
    peer.advance(100)
    assert peer.core.log == log


def test_saying_something_twice_is_harmless(bench: Bench) -> None:
    for peer in (bench.peer().send(get("/held")), open_websocket(bench)):
        connection = peer.connection
        connection.receive_blocked()
        connection.receive_blocked()
        connection.receive_unblocked()
        connection.receive_unblocked()
        connection.receive_eof()
        connection.receive_eof()
    assert [entry[0] for entry in bench.core.log].count("abort") == 1
    assert [entry[0] for entry in bench.core.log].count("closed") == 1


def test_a_connection_says_what_it_does(bench: Bench) -> None:
    peer = bench.peer()
    seen = [repr(peer.connection)]
    pieces = (b"G", get("/later", "Content-Length: 1", method="POST")[1:], b"x")
    seen += [repr(peer.send(data).connection) for data in pieces]
    bench.core.answer(bench.core.held[0], Response(200))
    peer.pump().send(upgrade())
    seen.append(repr(peer.connection))
    (link,) = bench.core.links
    link.close()
    bench.core.mark(link)
    seen.append(repr(peer.pump().connection))
    seen += [repr(peer.lose().connection), repr(bench.peer().send(b"\x16").connection)]
    assert [each.removeprefix("<Connection 192.0.2.1: ").removesuffix(">") for each in seen] == [
        "waiting for a request",
        "reading a head",
        "reading a body",
        "waiting for the core's answer",
        "WebSocket",
        "WebSocket, waiting for the peer's close frame",
        "closed",
        "discarding input after the last answer",
    ]


# -- shutdown


def test_shutdown_closes_what_is_idle_and_lets_others_finish(bench: Bench) -> None:
    idle, partial, held, done = (bench.peer() for _ in range(4))
    partial.send(get()[:-1])
    held.send(get("/held"))
    done.send(get())
    bench.wire.shutdown()
    idle.pump()
    assert (idle.closed, partial.closed, held.closed, done.closed) == (True, False, False, True)
    partial.send(b"\n")
    bench.core.answer(bench.core.held[0], Response(200))
    held.pump()
    assert partial.answers[-1].headers["connection"] == held.answers[-1].headers["connection"] == "close"
    assert partial.closed
    assert held.closed
    assert bench.wire.connections == {}
    assert bench.core.timers.next_deadline() is None


# -- back-pressure


def test_a_blocked_transport_stops_reading_and_taking(peer: Peer) -> None:
    connection = peer.send(get()).connection
    connection.receive_blocked()
    peer.pump()
    assert not connection.reading
    peer.send(get())
    assert peer.statuses == [200]
    connection.receive_unblocked()
    assert peer.pump().statuses == [200, 200]


def test_an_answer_waits_for_a_blocked_transport(peer: Peer) -> None:
    connection = peer.send(get("/held")).connection
    connection.receive_blocked()
    peer.core.answer(peer.core.held[0], Response(200))
    assert peer.pump().sent == b""
    connection.receive_unblocked()
    assert peer.pump().statuses == [200]


def test_no_pipelined_request_is_read_while_blocked(peer: Peer) -> None:
    connection = peer.send(get("/held") + get()).connection
    connection.receive_blocked()
    peer.core.answer(peer.core.held[0], Response(200))
    peer.pump()
    assert len(peer.core.requests) == 1
    connection.receive_unblocked()
    assert peer.pump().statuses == [200, 200]


def test_a_peer_that_takes_nothing_is_dropped(peer: Peer) -> None:
    peer.send(get()).connection.receive_blocked()
    peer.advance(59)
    assert not peer.closed
    assert peer.advance(2).aborted


def test_the_time_between_requests_begins_when_the_answer_is_sent(peer: Peer) -> None:
    connection = peer.send(get()).connection
    connection.receive_blocked()
    peer.advance(30)
    connection.receive_unblocked()
    assert not peer.pump().advance(4.9).closed
    assert peer.advance(0.2).closed


def test_the_last_bytes_of_a_closing_connection_have_a_deadline(bench: Bench) -> None:
    connection = bench.wire.connect()
    connection.receive_data(get("/now", "Connection: close"))
    assert bench.wire.take_dirty() == [connection]
    assert connection.take()
    assert connection.closing
    bench.clock.now += 61
    bench.core.timers.fire(bench.clock.now)
    assert bench.wire.take_dirty() == [connection]
    assert connection.aborted
    assert bench.wire.connections == {}


# -- WebSocket


def open_websocket(bench: Bench) -> Peer:
    peer = bench.peer().send(upgrade())
    assert peer.statuses == [101]
    assert peer.frames == b"\x81\x030{}"
    peer.sent = b""
    return peer


def test_a_websocket(peer: Peer) -> None:
    peer.send(upgrade("/ws", "Sec-WebSocket-Protocol: one, two", "Sec-WebSocket-Extensions: permessage-deflate"))
    (answer,) = peer.answers
    assert answer.status == 101
    assert answer.headers == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": ACCEPT,
        "sec-websocket-protocol": "one",
    }
    assert peer.core.requests[0].upgrade
    assert peer.connection.exchanges is None
    peer.send(text("4hello") + frame(0x82, b"\x01"))
    assert peer.core.log[1:] == [("message", "4hello"), ("message", b"\x01")]


def test_frames_go_out_in_order_and_at_once(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    bench.core.send(link, "41", b"2")
    bench.core.send(link, "43")
    assert bench.wire.take_dirty() == [peer.connection]
    assert bench.wire.take_dirty() == []
    assert peer.connection.take() == b"\x81\x0241\x82\x012\x81\x0243"
    bench.core.send(link, "44")
    assert peer.pump().sent == b"\x81\x0244"


def test_headers_of_the_core_are_in_the_101(bench: Bench) -> None:
    peer = bench.peer().send(upgrade("/ws-held"))
    bench.core.accept(bench.core.held[0], [("X-A", "b")])
    assert peer.pump().answers[0].headers["x-a"] == "b"


def test_frames_before_the_answer_are_kept(bench: Bench) -> None:
    peer = bench.peer().send(upgrade("/ws-held") + text("1")).send(text("2"))
    assert peer.connection.reading
    bench.core.accept(bench.core.held[0])
    peer.pump()
    assert bench.core.log[1:] == [("message", "1"), ("message", "2")]
    assert peer.statuses == [101]


def test_too_many_frames_before_the_answer_stop_reading(bench: Bench) -> None:
    peer = bench.peer().send(upgrade("/ws-held"))
    for _ in range(200):
        peer.send(text("x" * 100))
    assert not peer.connection.reading
    assert peer.connection.buffered < 17_000
    bench.core.accept(bench.core.held[0])
    peer.pump()
    assert bench.core.log[1:] == [("message", "x" * 100)] * 200


def test_a_refused_websocket_gets_its_status_and_a_close(peer: Peer) -> None:
    peer.send(upgrade("/refused"))
    (answer,) = peer.answers
    assert (answer.status, answer.body, answer.headers["connection"]) == (403, b'{"code":4}', "close")
    assert peer.closed


def test_an_upgrade_that_is_answered_as_a_request_closes(peer: Peer) -> None:
    assert peer.send(upgrade("/now")).statuses == [200]
    assert peer.closed


def test_a_wrong_version_is_told_the_right_one(peer: Peer) -> None:
    peer.send(upgrade().replace(b"Version: 13", b"Version: 12"))
    (answer,) = peer.answers
    assert answer.status == 426
    assert answer.headers["sec-websocket-version"] == "13"
    assert answer.headers["upgrade"] == "websocket"
    assert answer.headers["connection"] == "upgrade, close"
    assert peer.core.log == []


def test_a_websocket_answer_that_cannot_be_sent_ends_the_link(bench: Bench) -> None:
    peer = bench.peer().send(upgrade("/ws-bad"))
    assert peer.statuses == [500]
    assert bench.core.log[-1][:2] == ("closed", 1006)
    assert len(bench.errors) == 1
    assert peer.closed


def test_a_101_for_an_ordinary_request_is_500(bench: Bench) -> None:
    peer = bench.peer().send(get("/held"))
    bench.core.answer(bench.core.held[0], Response(101))
    assert peer.pump().statuses == [500]


def test_pings_are_answered(bench: Bench) -> None:
    assert open_websocket(bench).send(frame(0x89, b"hi")).sent == b"\x8a\x02hi"


def test_the_peers_close_is_echoed_and_told_once(bench: Bench) -> None:
    peer = open_websocket(bench).send(frame(0x88, b"\x03\xe9") + text("late"))
    assert peer.sent == b"\x88\x02\x03\xe9"
    assert bench.core.log[1:] == [("closed", 1001, None)]
    assert peer.closed
    assert bench.core.timers.next_deadline() is None


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x01a", 1002),
        (frame(0x81, b"\xff"), 1007),
        (b"\x82\xff" + (10**6).to_bytes(8, "big"), 1009),
        (frame(0x01, b"a") + frame(0x00, b"a") * 1024, 1008),
    ],
)
def test_a_failure_is_told_to_both_sides(bench: Bench, data: bytes, code: int) -> None:
    peer = open_websocket(bench).send(text("before") + data + text("behind")).advance(0.02)
    assert peer.sent[:1] == b"\x88"
    assert int.from_bytes(peer.sent[2:4], "big") == code
    assert bench.core.log[1] == ("message", "before")
    (name, told, error) = bench.core.log[2]
    assert (name, told) == ("closed", code)
    assert error
    assert len(bench.core.log) == 3
    # The peer may still be sending: it should see the close frame rather than a reset.
    assert not peer.closed
    assert peer.send(b"x" * 1000).advance(5.1).closed


def test_a_flood_of_fragments_lets_others_have_their_turn(bench: Bench) -> None:
    peer = open_websocket(bench)
    flood = frame(0x01, b"a") + frame(0x00, b"") * 500 + frame(0x80, b"b")
    peer.send(flood + text("behind"))
    assert bench.core.log[1:] == []
    assert not peer.connection.reading
    bench.peer().send(get())
    peer.advance(0.0045)
    assert bench.core.log[-2:] == [("message", "ab"), ("message", "behind")]
    assert peer.connection.reading
    assert peer.connection.timer is None
    peer.send(text("later"))
    assert bench.core.log[-1] == ("message", "later")


def test_the_core_closes_after_its_frames(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    bench.core.send(link, "41")
    link.close(1008)
    peer.pump()
    assert peer.sent == b"\x81\x0241\x88\x02\x03\xf0"
    assert not peer.closed
    bench.core.send(link, "42")
    peer.send(text("late") + frame(0x89, b"")).pump()
    assert peer.sent == b"\x81\x0241\x88\x02\x03\xf0\x8a\x00"
    peer.send(frame(0x88, b"\x03\xf0"))
    assert bench.core.log[1:] == [("closed", 1008, None)]
    assert peer.closed


def test_a_close_that_is_not_answered_is_over_in_5_seconds(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    link.close()
    bench.core.mark(link)
    assert peer.pump().sent == b"\x88\x00"
    assert not peer.advance(4.9).closed
    assert peer.advance(0.2).closed
    assert bench.core.log[1:] == [("closed", 1006, None)]


def test_a_link_that_is_refused_at_once_is_closed(bench: Bench) -> None:
    peer = bench.peer().send(upgrade("/ws-held"))
    bench.core.accept(bench.core.held[0]).close()
    peer.pump()
    assert peer.frames == b"\x81\x030{}\x88\x00"


@pytest.mark.parametrize("closing", [False, True])
@pytest.mark.parametrize("how", ["end", "lose"])
def test_the_end_without_a_close_frame_is_1006(bench: Bench, how: str, closing: bool) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    if closing:
        link.close()
        bench.core.mark(link)
        peer.pump()
    getattr(peer, how)()
    assert bench.core.log[1:] == [("closed", 1006, None)]
    assert peer.closed


def test_a_link_that_is_not_to_be_read_stops_reading(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    link.reading = False
    bench.core.mark(link)
    assert not peer.pump().connection.reading
    peer.send(text("1"))
    assert bench.core.log[1:] == []
    link.reading = True
    bench.core.mark(link)
    peer.pump()
    assert bench.core.log[1:] == [("message", "1")]


def test_a_paused_link_is_read_again_to_see_the_peers_close(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    link.reading = False
    link.close()
    bench.core.mark(link)
    peer.pump().send(frame(0x88, b""))
    assert bench.core.log[1:] == [("closed", 1005, None)]


def test_a_blocked_websocket_keeps_its_frames(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    peer.connection.receive_blocked()
    assert link.blocked
    bench.core.send(link, "41")
    for number in range(100):
        peer.send(frame(0x89, b"%d" % number))
    assert peer.connection.reading
    assert peer.pump().sent == b""
    peer.connection.receive_unblocked()
    assert not link.blocked
    # One pong for all pings: the latest (RFC 6455, 5.5.3).
    assert peer.pump().sent == b"\x8a\x0299\x81\x0241"


def test_a_blocked_websocket_may_be_closed(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    peer.connection.receive_blocked()
    bench.core.send(link, "41")
    link.close()
    assert peer.pump().sent == b"\x81\x0241\x88\x00"


def test_a_blocked_websocket_may_be_closed_after_something_else_was_said_of_it(bench: Bench) -> None:
    peer = open_websocket(bench)
    (link,) = bench.core.links
    peer.connection.receive_blocked()
    link.reading = False
    bench.core.mark(link)
    assert (peer.pump().sent, peer.connection.reading) == (b"", False)
    link.close()
    bench.core.mark(link)
    assert peer.pump().sent == b"\x88\x00"


def test_a_transport_that_is_blocked_already_is_told_to_the_core(bench: Bench) -> None:
    peer = bench.peer().send(upgrade("/ws-held"))
    peer.connection.receive_blocked()
    link = bench.core.accept(bench.core.held[0])
    assert peer.pump().sent == b""
    assert link.blocked
    peer.connection.receive_unblocked()
    assert peer.pump().statuses == [101]
    assert peer.frames == b"\x81\x030{}"


def test_an_open_websocket_has_no_deadline_and_no_memory_of_http(bench: Bench) -> None:
    peer = open_websocket(bench).advance(100_000)
    assert not peer.closed
    assert bench.core.timers.next_deadline() is None
    assert peer.connection.buffered == 0


# -- the real environment and the real core


@pytest.mark.parametrize("missing", ["h11", "wsproto"])
def test_a_missing_dependency_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "sioproto_wire")
    with pytest.raises(ImportError, match=r'needs \w+, which comes with: pip install "sioproto\[wire\]"') as raised:
        importlib.import_module("sioproto_wire")
    assert raised.value.name == missing


def test_the_real_environment() -> None:
    environment = real_environment()
    ids = {environment.ids() for _ in range(100)}
    assert len(ids) == 100
    assert {len(each) for each in ids} == {20}
    assert len(environment.entropy(7)) == 7
    assert 0 <= environment.jitter() < 1
    assert environment.clock() <= environment.clock()
    assert environment.wall() > 1e9


@pytest.fixture
def engine() -> tuple[EngineServer, ServerWire, Clock]:
    clock = Clock()
    ids = (f"{number:020}" for number in range(1000))
    environment = Environment(
        clock=clock, wall=clock, ids=lambda: next(ids), entropy=lambda size: bytes(size), jitter=lambda: 0.0
    )
    server = EngineServer(EngineConfig(), environment)
    return server, ServerWire(server), clock


Engine = tuple[EngineServer, ServerWire, Clock]
PATH = "/socket.io/?EIO=4&transport="


def poll(sid: int = 0) -> bytes:
    return get(f"{PATH}polling&sid={sid:020}")


def test_a_polling_session(engine: Engine) -> None:
    server, wire, clock = engine
    one, two = Peer(wire, server, clock), Peer(wire, server, clock)
    one.send(get(PATH + "polling"))
    assert one.answers[0].body.startswith(b'0{"sid":"00000000000000000000"')
    one.send(poll())
    assert len(one.answers) == 1
    two.send(post(f"{PATH}polling&sid={0:020}", b"4hi"))
    assert two.answers[0].body == b"ok"
    (session,) = server.sessions.values()
    session.send("news")
    assert one.pump().answers[1].body == b"4news"
    one.send(poll()).advance(25)
    assert one.answers[2].body == b"2"
    one.send(poll()).end()
    assert server.sessions == {}
    assert wire.connections == {}


def test_a_poll_that_goes_away_ends_the_session(engine: Engine) -> None:
    server, wire, clock = engine
    peer = Peer(wire, server, clock).send(get(PATH + "polling")).send(poll())
    peer.lose()
    assert server.sessions == {}


def test_an_upgrade_of_transports(engine: Engine) -> None:
    server, wire, clock = engine
    polling, websocket = Peer(wire, server, clock), Peer(wire, server, clock)
    polling.send(get(PATH + "polling")).send(poll())
    websocket.send(upgrade(f"{PATH}websocket&sid={0:020}") + text("2probe"))
    assert websocket.statuses == [101]
    assert websocket.frames == b"\x81\x063probe"
    polling.advance(0.1)
    assert polling.answers[1].body == b"6"
    websocket.send(text("5"))
    (session,) = server.sessions.values()
    session.send("news")
    websocket.pump()
    assert websocket.frames == b"\x81\x063probe\x81\x054news"
    session.close()
    websocket.pump()
    assert websocket.frames.endswith(b"\x88\x00")
    websocket.send(frame(0x88, b""))
    assert websocket.closed


def test_engine_refusals_over_the_wire(engine: Engine) -> None:
    server, wire, clock = engine
    peer = Peer(wire, server, clock).send(get("/socket.io/?EIO=3&transport=polling"))
    assert (peer.answers[0].status, peer.closed) == (400, False)
    peer.send(upgrade("/socket.io/?EIO=3&transport=websocket"))
    assert b'"code":5' in peer.answers[1].body
    assert peer.closed


def test_an_oversize_post_leaves_the_session(engine: Engine) -> None:
    server, wire, clock = engine
    Peer(wire, server, clock).send(get(PATH + "polling"))
    large = Peer(wire, server, clock).send(post(f"{PATH}polling&sid={0:020}", b"4" * 1_000_001))
    assert large.statuses == [413]
    assert len(server.sessions) == 1


def test_a_closed_server_holds_nothing(engine: Engine) -> None:
    server, wire, clock = engine
    peers = [Peer(wire, server, clock) for _ in range(3)]
    peers[0].send(get(PATH + "polling")).send(poll())
    peers[1].send(upgrade(PATH + "websocket"))
    server.close()
    wire.shutdown()
    peers[0].pump().advance(6)
    assert [peer.closed for peer in peers] == [True, True, True]
    assert wire.connections == {}
    assert server.timers.next_deadline() is None
    assert read_answers(peers[0].sent)[0][-1].body == b"1"
