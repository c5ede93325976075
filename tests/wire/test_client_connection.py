"""A client's connections in HTTP: what is sent, what is read, which connection is used, and how each of them ends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sioproto import Request
from sioproto.engineio import Fetch, Origin
from sioproto.errors import OptionError
from sioproto_wire import ClientWireConfig
from tests.wire.dialing import CUTS, ClientBench, Line, answer, chunked, fields_of, line_of

HEAD_END = b"\r\n\r\n"


def outcome(line: Line, data: bytes, cut: str = "whole", *, end: bool = False) -> tuple[Any, ...]:
    """Sends an answer, and returns what the core was told of it."""
    line.send(data, cut)
    if end:
        line.end()
    (told,) = line.bench.log
    return told


@pytest.fixture
def bench() -> ClientBench:
    return ClientBench()


# -- requests


def test_a_get(bench: ClientBench) -> None:
    line = bench.ask("GET", "/socket.io/?EIO=4&t=1", ("x-one", "gr\xfc\xdf"))
    assert line.sent == (
        b"GET /socket.io/?EIO=4&t=1 HTTP/1.1\r\n"
        b"host: example.org:8080\r\n"
        b"x-one: gr\xfc\xdf\r\n"
        b"accept-encoding: identity\r\n"
        b"\r\n"
    )


def test_a_post(bench: ClientBench) -> None:
    line = bench.ask("POST", "/x", ("content-type", "text/plain;charset=UTF-8"), body="4€".encode())
    head, _, body = line.sent.partition(HEAD_END)
    assert head.startswith(b"POST /x HTTP/1.1\r\n")
    assert (fields_of(line.sent)["content-length"], body) == ("4", "4€".encode())


def test_an_empty_post_says_so(bench: ClientBench) -> None:
    assert fields_of(bench.ask("POST").sent)["content-length"] == "0"


def test_a_request_without_a_host_gets_the_origins() -> None:
    bench = ClientBench(origin=Origin("https", "::1", 443))
    fetch = bench.core.put(Fetch(Request("GET", "/x", [])))
    bench.flush()
    line = line_of(fetch)
    assert line.sent.startswith(b"GET /x HTTP/1.1\r\nhost: [::1]\r\n")
    assert line.connection.secure


def test_fields_that_the_connection_sets_itself_are_dropped(bench: ClientBench) -> None:
    own = [("Connection", "close"), ("content-length", "5"), ("transfer-encoding", "chunked"), ("upgrade", "h2c")]
    more = [("sec-websocket-key", "x"), ("Accept-Encoding", "gzip"), ("expect", "100-continue")]
    sent = bench.ask("GET", "/x", *own, *more, ("x-kept", "1")).sent
    assert fields_of(sent) == {"host": "example.org:8080", "x-kept": "1", "accept-encoding": "identity"}


@pytest.mark.parametrize(
    ("method", "target", "fields"),
    [
        ("GET", "/x", [("x-a", "a\r\nx-b: c")]),
        ("GET", "/x", [("x-a", "a\nb")]),
        ("GET", "/x", [("x-a", "a\x00b")]),
        ("GET", "/x", [("x-a", "\u20ac")]),
        ("GET", "/x", [("x-a\r\nx-b", "c")]),
        ("GET", "/x", [("x a", "b")]),
        ("GET", "/x", [("", "b")]),
        ("GET", "/x", [("host", "other.example")]),
        ("GET", "/a b", []),
        ("GET", "/a\r\nx: y", []),
        ("GET", "x", []),
        ("GET", "", []),
        ("GET", "/\xe9", []),
        ("G T", "/x", []),
        ("", "/x", []),
    ],
)
def test_a_request_that_http_forbids_fails_and_is_reported(
    bench: ClientBench, method: str, target: str, fields: list[tuple[str, str]]
) -> None:
    fetch = bench.core.ask(method, target, *fields)
    bench.flush()
    assert bench.log == [("failure", 0, "the request cannot be sent")]
    assert len(bench.errors) == 1
    assert fetch.owner is None
    assert bench.lines == []
    bench.check_over()


def test_one_bad_request_does_not_hinder_the_next(bench: ClientBench) -> None:
    bench.core.ask("GET", "/x", ("x-a", "\n"))
    line = bench.ask("GET", "/y")
    assert line.sent.startswith(b"GET /y ")
    line.send(answer(body=b"ok"))
    assert bench.log[-1] == ("response", 1, 200, b"ok")


@given(
    st.text(max_size=4), st.text(max_size=6), st.lists(st.tuples(st.text(max_size=4), st.text(max_size=6)), max_size=2)
)
def test_no_request_is_split(method: str, target: str, headers: list[tuple[str, str]]) -> None:
    bench = ClientBench()
    fetch = bench.core.ask(method, "/" + target, *headers)
    bench.flush()
    if fetch.owner is None:
        assert len(bench.errors) == len(bench.log) == 1
        return
    sent = line_of(fetch).sent
    assert sent.endswith(HEAD_END)
    lines = sent.count(b"\r\n")
    assert sent.count(b"\n") == sent.count(b"\r") == lines
    assert lines <= 6 + len(headers)


# -- dialing


def test_a_connection_is_dialed_once_and_gets_its_request_when_it_is_there() -> None:
    bench = ClientBench(opens=False)
    line = bench.ask()
    assert line.connection.opening
    bench.flush()
    assert (len(bench.lines), line.sent) == (1, b"")
    line.open()
    assert not line.connection.opening
    assert line.sent.startswith(b"GET /x ")
    line.connection.receive_open()
    bench.flush()
    assert line.sent.count(b"GET") == 1


def test_a_connection_that_cannot_be_dialed_fails_its_request() -> None:
    bench = ClientBench(opens=False)
    line = bench.ask()
    line.refuse("name not known")
    assert bench.log == [("failure", 0, "name not known")]
    bench.check_over()


def test_a_request_on_a_connection_that_cannot_be_dialed_is_not_repeated() -> None:
    bench = ClientBench()
    bench.ask().send(answer())
    bench.advance(10)
    bench.opens = False
    bench.ask().refuse()
    assert bench.log[1:] == [("failure", 1, "connection refused")]
    assert len(bench.lines) == 2


def test_dialing_takes_a_limited_time() -> None:
    bench = ClientBench(ClientWireConfig(dial_timeout=3), opens=False)
    line = bench.ask()
    bench.advance(2.9)
    assert bench.log == []
    bench.advance(0.2)
    assert bench.log == [("failure", 0, "the connection could not be opened in time")]
    assert (line.closed, line.aborted, line.connection.opening) == (True, True, False)
    line.connection.receive_open()
    line.connection.receive_failure("late")
    line.connection.receive_lost()
    bench.flush()
    assert (len(bench.log), line.sent) == (1, b"")
    bench.check_over()


def test_a_request_that_is_dropped_is_not_dialed_any_further() -> None:
    bench = ClientBench(opens=False)
    line = bench.ask()
    bench.core.drop(bench.core.fetches[0])
    bench.flush()
    assert (line.closed, line.aborted, bench.log) == (True, True, [])
    bench.check_over()


def test_a_request_that_was_dropped_before_it_was_taken_is_never_sent(bench: ClientBench) -> None:
    bench.core.ask().dropped = True
    bench.flush()
    assert bench.lines == []
    bench.check_over()


# -- answers


ANSWERS: list[tuple[str, bytes, bool, tuple[Any, ...]]] = [
    ("a length", answer(body=b"hello"), False, (200, b"hello")),
    ("a length of nothing", answer(), False, (200, b"")),
    ("another status", answer(400, body=b'{"code":1}'), False, (400, b'{"code":1}')),
    ("an unknown status", answer(599, body=b"x"), False, (599, b"x")),
    ("chunks", answer(200, "Transfer-Encoding: chunked", body=None) + chunked(b"he", b"llo"), False, (200, b"hello")),
    (
        "chunks with a trailer",
        answer(200, "transfer-encoding: Chunked", body=None) + chunked(b"a" * 20, trailer=b"X-A: b\r\n"),
        False,
        (200, b"a" * 20),
    ),
    ("no chunk at all", answer(200, "Transfer-Encoding: chunked", body=None) + chunked(), False, (200, b"")),
    ("the end", answer(body=None) + b"all there is", True, (200, b"all there is")),
    ("the end at once", answer(body=None), True, (200, b"")),
    ("an old server's end", answer(body=None, version="1.0") + b"old", True, (200, b"old")),
    ("an old server's length", answer(body=b"old", version="1.0"), False, (200, b"old")),
    ("no content", answer(204, body=None), False, (204, b"")),
    ("not modified", answer(304, "Content-Length: 5", body=None), False, (304, b"")),
    ("identity", answer(200, "Content-Encoding: Identity", body=b"x"), False, (200, b"x")),
    ("no phrase", b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", False, (200, b"x")),
    ("no phrase and no space", b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", False, (200, b"x")),
    ("a phrase in latin-1", b"HTTP/1.1 200 gr\xfc\xdfe\r\nContent-Length: 1\r\n\r\nx", False, (200, b"x")),
    (
        "interim answers",
        answer(100, body=None) + answer(103, "Link: x", body=None) + answer(102, body=None) + answer(body=b"at last"),
        False,
        (200, b"at last"),
    ),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("data", "end", "expected"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_an_answer_that_ends_by(
    bench: ClientBench, data: bytes, end: bool, expected: tuple[Any, ...], cut: str
) -> None:
    assert outcome(bench.ask(), data, cut, end=end) == ("response", 0, *expected)
    assert bench.errors == []


@pytest.mark.parametrize(("data", "end", "expected"), [row[1:] for row in ANSWERS], ids=[row[0] for row in ANSWERS])
def test_an_answer_to_a_post_is_read_alike(
    bench: ClientBench, data: bytes, end: bool, expected: tuple[Any, ...]
) -> None:
    assert outcome(bench.ask("POST", body=b"x"), data, end=end) == ("response", 0, *expected)


def test_an_answer_to_head_has_no_body(bench: ClientBench) -> None:
    assert outcome(bench.ask("HEAD"), answer(200, "Content-Length: 1000", body=None)) == ("response", 0, 200, b"")
    assert bench.ask("GET") is bench.lines[0]


def test_names_of_fields_are_lower_case_and_values_latin_1(bench: ClientBench) -> None:
    bench.ask().send(answer(200, "Set-Cookie: a=gr\xfcn", "SET-COOKIE:  b=c\t", "X-Empty:"))
    assert bench.core.responses[0].headers == [
        ("content-length", "0"),
        ("set-cookie", "a=gr\xfcn"),
        ("set-cookie", "b=c"),
        ("x-empty", ""),
    ]


@pytest.mark.parametrize("cut", CUTS)
def test_a_long_answer(bench: ClientBench, cut: str) -> None:
    body = bytes(range(256)) * 100
    assert outcome(bench.ask(), answer(body=body), cut) == ("response", 0, 200, body)


def test_a_poll_may_be_held_for_ever(bench: ClientBench) -> None:
    line = bench.ask()
    assert bench.core.timers.next_deadline() is None
    bench.advance(1_000_000)
    assert outcome(line, answer(body=b"6")) == ("response", 0, 200, b"6")


def test_an_interim_answer_does_not_make_the_rest_urgent(bench: ClientBench) -> None:
    line = bench.ask().send(answer(102, body=None))
    bench.advance(1_000_000)
    assert outcome(line, answer(body=b"x")) == ("response", 0, 200, b"x")


# -- answers that fail their request


MALFORMED = "the head of the answer is malformed"
UNCLEAR = "the end of the answer cannot be told"
NO_HTTP = "the answer is no HTTP/1.1"

BAD: list[tuple[str, bytes, str]] = [
    ("two lengths", answer(200, "Content-Length: 1", body=b"x"), MALFORMED),
    ("two lengths that differ", answer(200, "Content-Length: 2", body=b"x"), MALFORMED),
    ("a list of lengths", answer(200, "Content-Length: 1, 1", body=None) + b"x", MALFORMED),
    ("a length with a sign", answer(200, "Content-Length: +1", body=None) + b"x", MALFORMED),
    ("a length that is none", answer(200, "Content-Length: x", body=None), MALFORMED),
    ("an empty length", answer(200, "Content-Length:", body=None), MALFORMED),
    ("a huge length", answer(200, "Content-Length: 1" + "0" * 18, body=None), MALFORMED),
    ("a length and chunks", answer(200, "Transfer-Encoding: chunked", body=b"x"), UNCLEAR),
    ("an old server's chunks", answer(200, "Transfer-Encoding: chunked", body=None, version="1.0"), UNCLEAR),
    ("chunks without content", answer(204, "Transfer-Encoding: chunked", body=None), UNCLEAR),
    ("a length without content", answer(204, "Content-Length: 5", body=None), UNCLEAR),
    ("an interim answer with a length", answer(100, "Content-Length: 5", body=None), UNCLEAR),
    ("an interim answer in chunks", answer(100, "Transfer-Encoding: chunked", body=None), UNCLEAR),
    ("another coding", answer(200, "Transfer-Encoding: gzip", body=None), MALFORMED),
    ("two codings", answer(200, "Transfer-Encoding: gzip, chunked", body=None), MALFORMED),
    ("a folded line", answer(200, "X-A: b\r\n c", body=None), MALFORMED),
    ("a folded line by a tab", answer(200, "X-A: b\r\n\tc", body=None), MALFORMED),
    ("a bare line feed", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", MALFORMED),
    ("one bare line feed", b"HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 0\r\n\r\n", MALFORMED),
    ("a carriage return alone", b"HTTP/1.1 200 OK\r\nX-A: b\rc\r\n\r\n", MALFORMED),
    ("a zero byte", answer(200, "X-A: \x00"), MALFORMED),
    ("a space before the colon", answer(200, "X-A : b"), MALFORMED),
    ("no name", answer(200, ": b"), MALFORMED),
    ("no colon", answer(200, "nonsense"), MALFORMED),
    ("no status", b"HTTP/1.1 OK\r\n\r\n", MALFORMED),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\n\r\n", MALFORMED),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", MALFORMED),
    ("a status below all", b"HTTP/1.1 099 OK\r\n\r\n", MALFORMED),
    ("a status above all", b"HTTP/1.1 600 OK\r\n\r\n", MALFORMED),
    ("two spaces", b"HTTP/1.1  200 OK\r\n\r\n", MALFORMED),
    ("a version to come", b"HTTP/1.2 200 OK\r\n\r\n", MALFORMED),
    ("an upgrade that was not asked for", answer(101, "Upgrade: x", "Connection: upgrade", body=None), MALFORMED),
    ("another version", b"HTTP/2 200 OK\r\n\r\n", NO_HTTP),
    ("another protocol", b"SSH-2.0-OpenSSH_9.6\r\n", NO_HTTP),
    ("a TLS alert", b"\x15\x03\x01\x00\x02\x02\x46", NO_HTTP),
    ("small letters", b"http/1.1 200 OK\r\n\r\n", NO_HTTP),
    ("an empty line before", b"\r\n" + answer(), NO_HTTP),
    ("nonsense behind an interim answer", answer(100, body=None) + b"nonsense", NO_HTTP),
    (
        "an answer that is compressed",
        answer(200, "Content-Encoding: gzip", body=b"x"),
        "the answer is compressed, though that was not asked for",
    ),
    (
        "malformed chunks",
        answer(200, "Transfer-Encoding: chunked", body=None) + b"x\r\n",
        "the answer has malformed chunks",
    ),
    (
        "a chunk with a sign",
        answer(200, "Transfer-Encoding: chunked", body=None) + b"+1\r\nx\r\n0\r\n\r\n",
        "the answer has malformed chunks",
    ),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("data", "error"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_an_answer_fails_its_request_for(bench: ClientBench, data: bytes, error: str, cut: str) -> None:
    line = bench.ask()
    assert outcome(line, data, cut) == ("failure", 0, error)
    assert line.closed
    assert not line.aborted
    bench.check_over()


def test_a_failed_request_leaves_the_others_alone(bench: ClientBench) -> None:
    one, two = bench.ask(), bench.ask("POST", "/y", body=b"1")
    one.send(b"nonsense")
    two.send(answer(body=b"ok"))
    assert bench.log == [("failure", 0, NO_HTTP), ("response", 1, 200, b"ok")]
    assert bench.ask() is two


# -- limits


@pytest.mark.parametrize("cut", CUTS)
def test_a_head_over_the_limit_fails(cut: str) -> None:
    for excess, kind in ((0, "response"), (1, "failure")):
        bench = ClientBench(ClientWireConfig(max_head=1000))
        size = len(answer(200, "X: "))
        told = outcome(bench.ask(), answer(200, "X: " + "y" * (1000 - size + excess)), cut)
        assert told[0] == kind
    assert told[2] == "the head of the answer is too long"


def test_interim_heads_count_for_the_head(bench: ClientBench) -> None:
    told = outcome(bench.ask(), answer(102, "X: " + "y" * 1000, body=None) * 20)
    assert told == ("failure", 0, "the head of the answer is too long")


def test_a_head_without_an_end_fails_at_the_limit(bench: ClientBench) -> None:
    line = bench.ask().send(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(15):
        line.send(b"y" * 1024)
    assert bench.log == []
    assert outcome(line, b"y" * 1024) == ("failure", 0, "the head of the answer is too long")


def test_too_many_fields_fail() -> None:
    for number, kind in ((9, "response"), (10, "failure")):
        bench = ClientBench(ClientWireConfig(max_fields=10))
        told = outcome(bench.ask(), answer(200, *[f"X-{each}: y" for each in range(number)]))
        assert told[0] == kind
    assert told[2] == "the answer has too many header fields"


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("framing", ["length", "chunks", "end"])
@pytest.mark.parametrize("excess", [0, 1, 500])
def test_a_body_over_the_limit_fails(framing: str, excess: int, cut: str) -> None:
    bench = ClientBench(max_payload=1000)
    body = b"x" * (1000 + excess)
    if framing == "length":
        data = answer(body=body)
    elif framing == "chunks":
        data = answer(200, "Transfer-Encoding: chunked", body=None) + chunked(body[:400], body[400:])
    else:
        data = answer(body=None) + body
    line = bench.ask().send(data, cut)
    if framing == "end" and not excess:
        assert bench.log == []
        line.end()
    if excess:
        assert bench.log == [("failure", 0, "the answer is too long")]
        bench.check_over()
    else:
        assert bench.log == [("response", 0, 200, body)]


def test_a_declared_length_over_the_limit_is_enough(bench: ClientBench) -> None:
    told = outcome(bench.ask(), answer(200, "Content-Length: 100001", body=None))
    assert told == ("failure", 0, "the answer is too long")


def test_a_body_in_tiny_chunks_fails() -> None:
    bench = ClientBench(ClientWireConfig(chunk_allowance=1000))
    data = answer(200, "Transfer-Encoding: chunked", body=None) + chunked(*[b"x"] * 5000)
    assert outcome(bench.ask(), data, "sevens") == ("failure", 0, "the answer is too long")


def test_a_slow_head_fails() -> None:
    bench = ClientBench(ClientWireConfig(head_timeout=3))
    line = bench.ask().send(b"H")
    bench.advance(2)
    line.send(b"TTP")
    bench.advance(0.9)
    assert bench.log == []
    bench.advance(0.2)
    assert bench.log == [("failure", 0, "the answer did not come in time")]
    bench.check_over()


def test_a_slow_body_fails() -> None:
    bench = ClientBench(ClientWireConfig(head_timeout=3, body_timeout=20))
    line = bench.ask().send(answer(200, "Content-Length: 100", body=None)[:-1])
    bench.advance(2)
    line.send(b"\n")
    for _ in range(19):
        line.send(b"x")
        bench.advance(1)
    assert bench.log == []
    bench.advance(1.1)
    assert bench.log == [("failure", 0, "the answer did not come in time")]
    bench.check_over()


@pytest.mark.parametrize("name", [field for field in ClientWireConfig.__slots__ if field != "per_message_deflate"])
def test_options_are_above_zero(name: str) -> None:
    options: dict[str, Any] = {name: 0}
    with pytest.raises(OptionError, match=name):
        ClientWireConfig(**options)


def test_compression_is_given_as_an_object() -> None:
    with pytest.raises(OptionError, match="per_message_deflate"):
        ClientWireConfig(per_message_deflate=True)  # type: ignore[arg-type]  # what somebody may write


# -- which connection


def test_a_connection_is_used_again(bench: ClientBench) -> None:
    line = bench.ask()
    for number in range(5):
        line.send(answer(body=b"%d" % number))
        assert bench.ask(target=f"/{number}") is line
    assert len(bench.lines) == 1
    assert bench.core.timers.next_deadline() is None


def test_two_requests_at_once_have_two_connections(bench: ClientBench) -> None:
    get, post = bench.ask(), bench.ask("POST", body=b"1")
    assert get is not post
    post.send(answer(body=b"ok"))
    assert bench.ask("POST", body=b"2") is post
    get.send(answer())
    post.send(answer())
    # The one that was used last: the other is nearer to its end.
    assert bench.ask() is post
    assert bench.ask() is get
    assert len(bench.lines) == 2


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (answer(200), True),
        (answer(200, "Connection: keep-alive"), True),
        (answer(200, "Connection: close"), False),
        (answer(200, "Connection: x, CLOSE"), False),
        (answer(200, version="1.0"), False),
        (answer(200, "Connection: Keep-Alive", version="1.0"), True),
        (answer(200, "Connection: keep-alive, close", version="1.0"), False),
        (answer(200, "Transfer-Encoding: chunked", body=None) + chunked(b"x"), True),
        (answer(204, body=None), True),
        (answer(503, body=b"x"), True),
        (answer(200, "Keep-Alive: timeout=5, max=100"), True),
        (answer(200, "Keep-Alive: timeout=1"), False),
        (answer(200) + b"x", False),
        (answer(200) + answer(200), False),
    ],
)
def test_a_connection_is_kept_or_not(bench: ClientBench, data: bytes, kept: bool) -> None:
    line = bench.ask().send(data)
    assert [each[0] for each in bench.log] == ["response"]
    assert line.closed is not kept
    assert (bench.ask() is line) is kept


def test_one_that_ended_with_its_answer_is_not_used_again(bench: ClientBench) -> None:
    line = bench.ask()
    line.connection.receive_data(answer(body=None) + b"x")
    line.end()
    assert line.closed
    assert bench.ask() is not line


def test_one_that_ends_between_requests_is_closed(bench: ClientBench) -> None:
    line = bench.ask().send(answer()).end()
    assert line.closed
    assert len(bench.log) == 1
    bench.check_over()


def test_one_on_which_something_comes_unasked_is_closed(bench: ClientBench) -> None:
    line = bench.ask().send(answer())
    line.send(answer(408))
    assert line.closed
    assert len(bench.log) == 1
    bench.check_over()


def test_an_empty_read_is_nothing(bench: ClientBench) -> None:
    line = bench.ask().send(b"").send(answer()).send(b"")
    assert not line.closed
    assert bench.ask() is line


def test_one_that_is_lost_between_requests_is_forgotten(bench: ClientBench) -> None:
    bench.ask().send(answer()).lose()
    assert len(bench.log) == 1
    bench.check_over()


def test_one_that_nobody_uses_is_closed() -> None:
    bench = ClientBench(ClientWireConfig(keep_alive_timeout=7))
    line = bench.ask().send(answer())
    bench.advance(6.9)
    assert not line.closed
    bench.advance(0.2)
    assert line.closed
    assert not line.aborted
    bench.check_over()


def test_the_servers_word_on_how_long_it_keeps_one_is_believed(bench: ClientBench) -> None:
    line = bench.ask().send(answer(200, "Keep-Alive: max=5, Timeout=3"))
    bench.advance(1.9)
    assert not line.closed
    bench.advance(0.2)
    assert line.closed


def test_an_answer_before_the_request_was_taken_ends_the_connection(bench: ClientBench) -> None:
    line = bench.ask("POST", body=b"x" * 1000).block()
    line.send(answer(413))
    assert bench.log == [("response", 0, 413, b"")]
    assert line.closed


def test_after_shutdown_nothing_is_kept(bench: ClientBench) -> None:
    idle, busy = bench.ask(), bench.ask()
    idle.send(answer())
    bench.wire.shutdown()
    bench.flush()
    assert (idle.closed, busy.closed) == (True, False)
    busy.send(answer())
    assert busy.closed
    late = bench.ask().send(answer())
    assert late.closed
    assert len(bench.log) == 3
    bench.check_over()


def test_what_the_core_asks_for_while_it_is_told_an_answer_may_use_its_connection(bench: ClientBench) -> None:
    line = bench.ask()

    def meanwhile() -> None:
        bench.core.meanwhile = None
        bench.core.ask(target="/again")
        bench.flush()

    bench.core.meanwhile = meanwhile
    line.send(answer(body=b"1"))
    assert line.sent.count(b"GET /again ") == 1
    line.send(answer(body=b"2"))
    assert bench.log == [("response", 0, 200, b"1"), ("response", 1, 200, b"2")]
    assert len(bench.lines) == 1


# -- repeating


def reused(bench: ClientBench, method: str = "GET", idle: float = 1) -> Line:
    """Returns a line on which a request was answered already, and the next one is on its way."""
    line = bench.ask().send(answer())
    bench.advance(idle)
    bench.log.clear()
    assert bench.ask(method, "/second", body=b"1" if method == "POST" else b"") is line
    return line


@pytest.mark.parametrize("how", ["end", "lose"])
def test_a_get_that_crossed_the_end_of_its_connection_is_repeated_once(bench: ClientBench, how: str) -> None:
    line = reused(bench)
    getattr(line, how)()
    assert (line.closed, bench.log) == (True, [])
    again = bench.lines[1]
    assert again.sent.startswith(b"GET /second ")
    getattr(again, how)()
    assert [each[0] for each in bench.log] == ["failure"]
    assert len(bench.lines) == 2
    bench.check_over()


def test_it_is_repeated_on_a_new_connection_even_if_another_is_free(bench: ClientBench) -> None:
    one, two = bench.ask(), bench.ask()
    one.send(answer())
    two.send(answer())
    bench.advance(1)
    assert bench.ask(target="/third") is two
    two.end()
    assert bench.lines[2].sent.startswith(b"GET /third ")
    assert not one.closed


def test_a_repeated_request_gets_its_answer(bench: ClientBench) -> None:
    reused(bench).end()
    bench.lines[1].send(answer(body=b"late"))
    assert bench.log == [("response", 1, 200, b"late")]


@pytest.mark.parametrize("how", ["end", "lose"])
def test_a_post_is_not_repeated(bench: ClientBench, how: str) -> None:
    getattr(reused(bench, "POST"), how)()
    assert [each[:2] for each in bench.log] == [("failure", 1)]
    assert len(bench.lines) == 1
    bench.check_over()


@pytest.mark.parametrize("data", [b"H", answer(100, body=None), answer(body=b"hello")[:-1]])
def test_one_is_not_repeated_once_its_answer_began(bench: ClientBench, data: bytes) -> None:
    reused(bench).send(data).end()
    assert [each[:2] for each in bench.log] == [("failure", 1)]
    assert len(bench.lines) == 1


@pytest.mark.parametrize("how", ["end", "lose"])
def test_one_that_followed_another_at_once_is_not_repeated(bench: ClientBench, how: str) -> None:
    # What ends a poll that is held then may have swallowed its answer, with packets in it.
    getattr(reused(bench, idle=0.9), how)()
    assert [each[:2] for each in bench.log] == [("failure", 1)]
    assert len(bench.lines) == 1


def test_one_on_a_new_connection_is_not_repeated(bench: ClientBench) -> None:
    bench.ask().end()
    assert bench.log == [("failure", 0, "the connection ended before the answer was there")]
    assert len(bench.lines) == 1
    bench.check_over()


def test_one_that_was_dropped_is_not_repeated(bench: ClientBench) -> None:
    line = reused(bench)
    bench.core.fetches[1].dropped = True
    line.end()
    bench.flush()
    assert (bench.log, len(bench.lines)) == ([], 1)
    bench.check_over()


# -- the ends


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", "the connection ended before the answer was there"),
        (b"HTTP/1.1 2", "the connection ended before the answer was there"),
        (answer(100, body=None), "the connection ended before the answer was there"),
        (answer(body=b"hello")[:-1], "the answer is cut off"),
        (answer(200, "Transfer-Encoding: chunked", body=None), "the answer is cut off"),
        (answer(200, "Transfer-Encoding: chunked", body=None) + chunked(b"x")[:-2], "the answer is cut off"),
    ],
)
def test_an_answer_that_is_cut_off_fails(bench: ClientBench, data: bytes, error: str) -> None:
    line = bench.ask()
    assert outcome(line, data, end=True) == ("failure", 0, error)
    assert line.closed
    bench.check_over()


@pytest.mark.parametrize("data", [b"", b"HT", answer(body=b"hello")[:-1], answer(body=None) + b"some"])
def test_a_connection_that_is_lost_fails_its_request(bench: ClientBench, data: bytes) -> None:
    line = bench.ask().send(data)
    line.lose()
    line.connection.receive_lost()
    line.connection.receive_data(b"late")
    line.connection.receive_eof()
    bench.flush()
    assert bench.log == [("failure", 0, "the connection was lost")]
    bench.check_over()


@pytest.mark.parametrize("data", [b"", b"HT", answer(body=b"hello")[:-1]])
def test_a_request_that_is_dropped_takes_its_connection_along(bench: ClientBench, data: bytes) -> None:
    line = bench.ask().send(data)
    bench.core.drop(bench.core.fetches[0])
    bench.flush()
    assert (line.closed, line.aborted, bench.log) == (True, True, [])
    bench.check_over()


def test_to_drop_a_request_that_was_answered_does_nothing(bench: ClientBench) -> None:
    line = bench.ask().send(answer())
    bench.core.drop(bench.core.fetches[0])
    bench.flush()
    assert bench.ask() is line
    bench.core.drop(bench.core.fetches[0])
    bench.flush()
    assert not line.closed


def test_a_request_that_the_server_does_not_take_fails() -> None:
    bench = ClientBench(ClientWireConfig(send_timeout=5))
    line = bench.ask("POST", body=b"x" * 1000).block()
    bench.advance(4.9)
    assert bench.log == []
    bench.advance(0.2)
    assert bench.log == [("failure", 0, "the request could not be sent in time")]
    assert (line.closed, line.aborted) == (True, True)
    bench.check_over()


def test_a_request_that_the_server_takes_late_is_fine() -> None:
    bench = ClientBench(ClientWireConfig(send_timeout=5))
    line = bench.ask("POST", body=b"x" * 1000).block().block()
    bench.advance(4)
    line.unblock().unblock()
    bench.advance(1000)
    assert outcome(line, answer()) == ("response", 0, 200, b"")


def test_a_connection_that_closes_is_dropped_when_its_last_bytes_do_not_leave() -> None:
    bench = ClientBench(ClientWireConfig(send_timeout=5))
    line = bench.ask()
    line.connection.receive_data(b"nonsense")
    (connection,) = bench.wire.take_dirty()
    connection.take()
    assert (connection.closing, connection.aborted, connection.reading) == (True, False, False)
    bench.clock.now += 5
    bench.core.timers.fire(bench.clock.now)
    assert bench.wire.take_dirty() == [connection]
    assert connection.aborted
    bench.check_over()


def test_connections_say_what_they_do(bench: ClientBench) -> None:
    bench.opens = False
    line = bench.ask()
    seen = [repr(line.connection)]
    line.open()
    seen.append(repr(line.connection))
    line.send(answer())
    seen.append(repr(line.connection))
    line.end()
    seen.append(repr(line.connection))
    assert [each.partition(": ")[2] for each in seen] == [
        "being dialed>",
        "waiting for an answer>",
        "waiting for a request>",
        "closed>",
    ]


# -- anything at all


pieces = st.one_of(
    st.sampled_from([data for _, data, _, _ in ANSWERS] + [data for _, data, _ in BAD]),
    st.binary(max_size=40),
    st.sampled_from([b"HTTP/1.1 200 OK\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"\r\n"]),
    st.sampled_from([b"HTTP/1.1 101 x\r\n", b"Connection: close\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello"]),
)


@st.composite
def scribbled(draw: st.DrawFn) -> bytes:
    """Returns answers, parts of some, and noise; with bytes of it changed."""
    data = bytearray(b"".join(draw(st.lists(pieces, max_size=5))))
    for at, byte in draw(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=2)):
        if at < len(data):
            data[at] = byte
    return bytes(data)


@settings(max_examples=400, deadline=None)
@given(
    data=scribbled(), step=st.integers(1, 60), method=st.sampled_from(["GET", "POST", "HEAD"]), upgrade=st.booleans()
)
def test_any_bytes_answer_the_request_or_fail_it(data: bytes, step: int, method: str, upgrade: bool) -> None:
    told = []
    for size in (step, max(1, len(data))):
        bench = ClientBench(max_payload=60)
        line = bench.ask(method, upgrade=upgrade and method == "GET")
        for at in range(0, len(data), size):
            line.send(data[at : at + size])
        early = list(bench.log)
        line.end()
        assert bench.log[: len(early)] == early
        (one,) = bench.log
        assert one[0] in ("response", "failure")
        if one[0] == "failure":
            assert one[2].isascii()
        told.append(one)
        assert line.closed
        assert bench.errors == []
        bench.check_over()
    assert told[0] == told[1]
