"""Heads and bodies as bytes: what is read, what is refused and how, and what an answer looks like."""

from __future__ import annotations

import random
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto.engineio.request import Response
from sioproto.errors import LocalProtocolError
from sioproto_wire import WireConfig
from sioproto_wire.http import (
    Body,
    Head,
    HttpError,
    HttpReader,
    error_response,
    header_lines,
    parse_head,
    write_accept,
    write_response,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

CONFIG = WireConfig()
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


def head(line: str = "GET /path?a=b HTTP/1.1", *fields: str, host: str | None = "example.org") -> bytes:
    lines = [line, *([] if host is None else [f"Host: {host}"]), *fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def upgrade(*fields: str, line: str = "GET /ws HTTP/1.1", version: str = "13", key: str = KEY) -> bytes:
    asked = ("Connection: keep-alive, Upgrade", "Upgrade: WebSocket")
    return head(line, *asked, f"Sec-WebSocket-Version: {version}", f"Sec-WebSocket-Key: {key}", *fields)


def parse(data: bytes, config: WireConfig = CONFIG) -> Head:
    return parse_head(data, config)


def refusal(data: bytes, config: WireConfig = CONFIG) -> int:
    """Returns the status with which a head is refused, whether fed whole or byte by byte."""
    statuses = set()
    for pieces in ([data], [bytes((byte,)) for byte in data]):
        reader = HttpReader(config)
        try:
            for piece in pieces:
                reader.receive(piece)
                assert reader.read_head() is None, "the head was taken"
        except HttpError as error:
            statuses.add(error.status)
    (status,) = statuses
    return status


# -- heads that are taken


def test_a_head() -> None:
    found = parse(head("GET /path?a=b HTTP/1.1", "X-One:  two\t", "X-ONE: three"))
    assert (found.method, found.target) == ("GET", "/path?a=b")
    assert found.headers == [("host", "example.org"), ("x-one", "two"), ("x-one", "three")]
    assert found.keep_alive
    assert not found.old
    assert (found.length, found.chunks, found.expects, found.handshake) == (0, None, False, None)


def test_names_are_shared_between_heads() -> None:
    one, two = parse(head("GET / HTTP/1.1", "X-Some-Name: 1")), parse(head("GET / HTTP/1.1", "x-SOME-name: 2"))
    assert one.headers[1][0] is two.headers[1][0]


def test_values_are_latin_1() -> None:
    assert parse(head("GET / HTTP/1.1", "X-One: gr\xfc\xdf")).headers[1] == ("x-one", "gr\xfc\xdf")


@pytest.mark.parametrize(
    ("line", "field", "kept"),
    [
        ("GET / HTTP/1.1", None, True),
        ("GET / HTTP/1.1", "Connection: close", False),
        ("GET / HTTP/1.1", "Connection: x, CLOSE ,y", False),
        ("GET / HTTP/1.0", None, False),
        ("GET / HTTP/1.0", "Connection: Keep-Alive", True),
        ("GET / HTTP/1.0", "Connection: keep-alive, close", False),
    ],
)
def test_keep_alive(line: str, field: str | None, kept: bool) -> None:
    assert parse(head(line, *([] if field is None else [field]))).keep_alive is kept


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        ("http://a.example/x?y", "a.example", "/x?y"),
        ("HTTPS://a.example:8443/x", "a.example:8443", "/x"),
        ("http://a.example", "a.example", "/"),
        ("http://[::1]:80?y", "[::1]:80", "/?y"),
    ],
)
def test_an_absolute_target_becomes_path_and_host(target: str, host: str, path: str) -> None:
    found = parse(head(f"GET {target} HTTP/1.1"))
    assert (found.target, found.headers) == (path, [("host", host)])


def test_options_may_ask_about_the_whole_server() -> None:
    assert parse(head("OPTIONS * HTTP/1.1")).target == "*"


def test_an_old_peer_needs_no_host() -> None:
    assert parse(head("GET / HTTP/1.0", host=None)).headers == []


def test_empty_lines_before_a_request_are_skipped() -> None:
    for pieces in ([b"\r\n\r\n" + head()], [bytes((byte,)) for byte in b"\r\n\r\n" + head()]):
        reader = HttpReader(CONFIG)
        found = None
        for piece in pieces:
            reader.receive(piece)
            found = reader.read_head()
        assert found is not None
        assert found.method == "GET"


def test_the_next_request_stays_in_the_buffer() -> None:
    reader = HttpReader(CONFIG)
    reader.receive(head("GET /1 HTTP/1.1") + head("GET /2 HTTP/1.1"))
    assert [found.target for found in (reader.read_head(), reader.read_head()) if found] == ["/1", "/2"]
    assert reader.read_head() is None


def test_another_upgrade_is_ignored() -> None:
    found = parse(head("GET / HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
    assert found.handshake is None


# -- heads that are refused


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(head("GET / HTTP/1.1", host=None), id="no host"),
        pytest.param(head("GET / HTTP/1.1", "Host: b"), id="two hosts"),
        pytest.param(head("GET / HTTP/1.0", "Host: b"), id="two hosts of an old peer"),
        pytest.param(head(host="a/b"), id="a host that is none"),
        pytest.param(head(host="a b"), id="a host with a space"),
        pytest.param(head("GET / HTTP/2.0"), id="version 2.0"),
        pytest.param(head("GET / HTTP/9.9"), id="version 9.9"),
        pytest.param(head("GET / HTTP/0.9"), id="version 0.9"),
        pytest.param(head("GET / http/1.1"), id="version in lower case"),
        pytest.param(head("GET /"), id="no version"),
        pytest.param(head("G\xcbT / HTTP/1.1"), id="method not ASCII"),
        pytest.param(head("GE-T / HTTP/1.1"), id="method with a dash"),
        pytest.param(head("GET2 / HTTP/1.1"), id="method with a digit"),
        pytest.param(head("X" * 21 + " / HTTP/1.1"), id="long method"),
        pytest.param(head("CONNECT example.org:443 HTTP/1.1"), id="a tunnel"),
        pytest.param(head("GET * HTTP/1.1"), id="asterisk"),
        pytest.param(head("GET path HTTP/1.1"), id="relative target"),
        pytest.param(head("GET ftp://example.org/ HTTP/1.1"), id="foreign scheme"),
        pytest.param(head("GET http://a@b/ HTTP/1.1"), id="user in a target"),
        pytest.param(head("GET /gr\xfcn HTTP/1.1"), id="target not ASCII"),
        pytest.param(head("GET /a\x01 HTTP/1.1"), id="control in a target"),
        pytest.param(head("GET /a\x7f HTTP/1.1"), id="delete in a target"),
        pytest.param(head("GET /a b HTTP/1.1"), id="space in a target"),
        pytest.param(head("GET  / HTTP/1.1"), id="two spaces"),
        pytest.param(head("GET / HTTP/1.1 "), id="space at the end"),
        pytest.param(head("GET / HTTP/1.1", "X-A: b", " folded"), id="folded by a space"),
        pytest.param(head("GET / HTTP/1.1", "X-A: b", "\tfolded"), id="folded by a tab"),
        pytest.param(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", id="folded request line"),
        pytest.param(head("GET / HTTP/1.1", "X-A : b"), id="space before the colon"),
        pytest.param(head("GET / HTTP/1.1", "X-A"), id="no colon"),
        pytest.param(head("GET / HTTP/1.1", ": b"), id="no name"),
        pytest.param(head("GET / HTTP/1.1", "X(A): b"), id="odd name"),
        pytest.param(head("GET / HTTP/1.1", "X-\xc4: b"), id="name not ASCII"),
        pytest.param(head("GET / HTTP/1.1", "X-A: a\x00b"), id="nul in a value"),
        pytest.param(head("GET / HTTP/1.1", "X-A: a\x1bb"), id="control in a value"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\n\n", id="bare line feeds"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", id="one bare line feed"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n\n", id="bare line feed at the end"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", id="bare carriage return"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"\n" + head(), id="bare line feed before"),
        pytest.param(b"\r" + head(), id="bare carriage return before"),
        pytest.param(b" " + head(), id="space before"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: 10, 10"), id="length twice in a field"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: 1", "content-length: 1"), id="two lengths"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: 1", "Content-Length: 2"), id="two different lengths"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: +5"), id="length with a sign"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: -5"), id="negative length"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: 5_0"), id="length with an underscore"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: 0x5"), id="hexadecimal length"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: 5 0"), id="length with a space"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: \xb2"), id="length with a superscript"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length:"), id="empty length"),
        pytest.param(head("POST / HTTP/1.1", "Content-Length: " + "9" * 19), id="long length"),
        pytest.param(
            head("POST / HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"), id="length and chunks"
        ),
        pytest.param(head("POST / HTTP/1.0", "Transfer-Encoding: chunked"), id="chunks of an old peer"),
    ],
)
def test_bad_requests_get_400(data: bytes) -> None:
    assert refusal(data) == 400


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked", "chunked, chunked", "identity", "x"])
def test_other_transfer_encodings_get_501(coding: str) -> None:
    assert refusal(head("POST / HTTP/1.1", f"Transfer-Encoding: {coding}")) == 501


def test_two_transfer_encodings_get_501() -> None:
    assert refusal(head("POST / HTTP/1.1", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked")) == 501


@pytest.mark.parametrize("field", ["Expect: 200-ok", "Expect: 100-continue, x"])
def test_unknown_expectations_get_417(field: str) -> None:
    assert refusal(head("POST / HTTP/1.1", field, "Content-Length: 3")) == 417
    assert parse(head("POST / HTTP/1.0", field, "Content-Length: 3")).expects is False


def test_continue_is_expected_only_with_a_body() -> None:
    assert parse(head("POST / HTTP/1.1", "Expect: 100-Continue", "Content-Length: 3")).expects
    assert parse(head("POST / HTTP/1.1", "Expect: 100-continue", "Transfer-Encoding: chunked")).expects
    assert not parse(head("POST / HTTP/1.1", "Expect: 100-continue")).expects


@pytest.mark.parametrize("framing", ["Content-Length: 3", "Transfer-Encoding: chunked"])
def test_compressed_bodies_get_415(framing: str) -> None:
    assert refusal(head("POST / HTTP/1.1", framing, "Content-Encoding: gzip")) == 415
    assert refusal(head("POST / HTTP/1.1", framing, "Content-Encoding: identity, br")) == 415


def test_a_content_encoding_without_a_body_is_ignored() -> None:
    parse(head("GET / HTTP/1.1", "Content-Encoding: gzip"))
    parse(head("POST / HTTP/1.1", "Content-Encoding: identity", "Content-Length: 3"))


def sized(size: int) -> bytes:
    data = head("GET / HTTP/1.1", "X-A: ")
    return data.replace(b"X-A: ", b"X-A: " + b"a" * (size - len(data)))


def test_a_head_may_be_16_kib() -> None:
    assert len(sized(16 * 1024)) == 16 * 1024
    assert parse(sized(16 * 1024)).method == "GET"
    assert refusal(sized(16 * 1024 + 1)) == 431


def test_a_head_without_end_gets_431() -> None:
    assert refusal(b"GET / HTTP/1.1\r\nX: " + b"a" * (16 * 1024)) == 431


def test_a_head_may_have_100_fields() -> None:
    assert len(parse(head("GET / HTTP/1.1", *["X: y"] * 99)).headers) == 100
    assert refusal(head("GET / HTTP/1.1", *["X: y"] * 100)) == 431


# -- the opening handshake of WebSocket


def test_a_handshake() -> None:
    found = parse(upgrade())
    assert found.handshake is not None
    assert (found.handshake.key, found.handshake.protocol) == (KEY, None)


@pytest.mark.parametrize("version", ["8", "14", "13, 8", "thirteen", "\xb2"])
def test_other_websocket_versions_get_426(version: str) -> None:
    assert refusal(upgrade(version=version)) == 426
    assert refusal(upgrade().replace(b"Sec-WebSocket-Version: 13\r\n", b"")) == 426
    assert refusal(upgrade("Sec-WebSocket-Version: 13")) == 426


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(upgrade(line="POST /ws HTTP/1.1"), id="POST"),
        pytest.param(upgrade("Content-Length: 3"), id="body"),
        pytest.param(upgrade("Transfer-Encoding: chunked"), id="chunked body"),
        pytest.param(upgrade(key=b64encode(bytes(15)).decode()), id="15 bytes"),
        pytest.param(upgrade(key=b64encode(bytes(17)).decode()), id="17 bytes"),
        pytest.param(upgrade(key=b64encode(bytes(18)).decode()), id="18 bytes"),
        pytest.param(upgrade(key="*" + KEY[1:]), id="not base64"),
        pytest.param(upgrade(key="\xe4" + KEY[1:]), id="not ASCII"),
        pytest.param(upgrade(key=KEY[:-2] + "AA"), id="unpadded"),
        pytest.param(upgrade(key=""), id="empty key"),
        pytest.param(upgrade(f"Sec-WebSocket-Key: {KEY}"), id="two keys"),
        pytest.param(upgrade().replace(b"Sec-WebSocket-Key", b"X-Key"), id="no key"),
    ],
)
def test_bad_handshakes_get_400(data: bytes) -> None:
    assert refusal(data) == 400


def test_an_upgrade_needs_the_connection_option_and_a_new_peer() -> None:
    assert parse(upgrade().replace(b"keep-alive, Upgrade", b"keep-alive")).handshake is None
    assert parse(upgrade(line="GET /ws HTTP/1.0")).handshake is None


@pytest.mark.parametrize(
    ("fields", "protocol"),
    [
        (["Sec-WebSocket-Protocol: one, two"], "one"),
        (["Sec-WebSocket-Protocol: one", "Sec-WebSocket-Protocol: two"], "one"),
        (["Sec-WebSocket-Protocol: a b, two"], None),
        (["Sec-WebSocket-Protocol: \xe4"], None),
        (["Sec-WebSocket-Protocol:"], None),
    ],
)
def test_the_first_subprotocol_is_taken_if_it_is_one(fields: list[str], protocol: str | None) -> None:
    found = parse(upgrade(*fields))
    assert found.handshake is not None
    assert found.handshake.protocol == protocol


def test_the_answer_to_a_handshake() -> None:
    found = parse(upgrade("Sec-WebSocket-Protocol: one", "Sec-WebSocket-Extensions: permessage-deflate"))
    assert found.handshake is not None
    response = Response(101, [("X-A", "b"), ("Sec-WebSocket-Extensions", "x"), ("Content-Length", "3")])
    # The key and its answer are those of RFC 6455, 1.3.
    assert write_accept(response, found.handshake, server="me").decode().split("\r\n") == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol: one",
        "X-A: b",
        "Server: me",
        "",
        "",
    ]


# -- bodies


def read_body(
    fields: Iterable[str], pieces: Iterable[bytes], limit: int = 1000, keep: bool = True
) -> tuple[Body, bytes]:
    reader = HttpReader(CONFIG)
    reader.receive(head("POST / HTTP/1.1", *fields))
    assert reader.read_head() is not None
    body = reader.body
    assert body is not None
    body.keep = keep
    for piece in pieces:
        reader.receive(piece)
        if not body.done:
            body.receive(reader.buffer, limit)
    return body, bytes(reader.buffer)


def cuts(data: bytes) -> list[list[bytes]]:
    chance = random.Random(len(data))
    points = sorted(chance.randrange(len(data)) for _ in range(5))
    pieces = [data[start:end] for start, end in zip([0, *points], [*points, len(data)], strict=True)]
    return [[data], [bytes((byte,)) for byte in data], pieces]


def test_a_body_with_a_length() -> None:
    for pieces in cuts(b"helloGET"):
        body, rest = read_body(["Content-Length: 5"], pieces)
        assert (bytes(body.data), rest, body.done, body.size) == (b"hello", b"GET", True, 5)


def test_a_chunked_body() -> None:
    data = b"5;ext=1\r\nhello\r\n06\r\n world\r\n0\r\nX-Trailer: y\r\n\r\nGET"
    for pieces in cuts(data):
        body, rest = read_body(["Transfer-Encoding: Chunked"], pieces)
        assert (bytes(body.data), rest, body.done, body.size) == (b"hello world", b"GET", True, 11)


@pytest.mark.parametrize("framing", ["Content-Length: 5", "Transfer-Encoding: chunked"])
def test_a_body_that_is_not_kept_is_counted_only(framing: str) -> None:
    data = b"hello" if "Length" in framing else b"5\r\nhello\r\n0\r\n\r\n"
    body, _ = read_body([framing], [data], keep=False)
    assert (bytes(body.data), body.size, body.done) == (b"", 5, True)


@pytest.mark.parametrize(
    "data", [b"x\r\n", b"-5\r\n", b"5\r\nhelloX", b"\r\n", b"fffffffffffffffffffff\r\n", b"5" * 17_000]
)
def test_bad_chunks_get_400(data: bytes) -> None:
    for pieces in cuts(data):
        with pytest.raises(HttpError) as raised:
            read_body(["Transfer-Encoding: chunked"], pieces)
        assert raised.value.status == 400


def test_chunks_above_the_limit_get_413() -> None:
    data = b"3e8\r\n" + b"a" * 1000 + b"\r\n"
    for pieces in cuts(data + b"0\r\n\r\n"):
        assert read_body(["Transfer-Encoding: chunked"], pieces)[0].done
    for pieces in cuts(data + b"1\r\na\r\n"):
        with pytest.raises(HttpError) as raised:
            read_body(["Transfer-Encoding: chunked"], pieces)
        assert raised.value.status == 413


def small_chunks(size: int, total: int) -> bytes:
    return (b"%x\r\n" % size + b"a" * size + b"\r\n") * (total // size) + b"0\r\n\r\n"


def test_chunks_must_have_16_bytes_on_average_once_64_kib_are_in() -> None:
    fields = ["Transfer-Encoding: chunked"]
    assert read_body(fields, [small_chunks(1, 9_000)], limit=10**6)[0].done
    assert read_body(fields, [small_chunks(16, 100_000)], limit=10**6)[0].done
    for size in (1, 15):
        data = small_chunks(size, 100_000)
        for pieces in ([data], [data[index : index + 777] for index in range(0, len(data), 777)]):
            with pytest.raises(HttpError) as raised:
                read_body(fields, pieces, limit=10**6)
            assert raised.value.status == 413


def test_long_chunk_extensions_are_framing_too() -> None:
    data = (b"10;" + b"x" * 8000 + b"\r\n" + b"a" * 16 + b"\r\n") * 20
    with pytest.raises(HttpError) as raised:
        read_body(["Transfer-Encoding: chunked"], [data], limit=10**6)
    assert raised.value.status == 413


# -- answers


def written(response: Response, data: bytes = head("GET / HTTP/1.1"), *, close: bool = False) -> list[str]:
    return b"".join(write_response(response, parse(data), close=close, server=None)).decode("latin-1").split("\r\n")


def test_an_answer() -> None:
    response = Response(200, [("Content-Type", "text/plain"), ("X-A", "\xfc")], b"ok")
    assert written(response) == [
        "HTTP/1.1 200 OK",
        "Content-Type: text/plain",
        "X-A: \xfc",
        "Content-Length: 2",
        "",
        "ok",
    ]


def test_management_of_the_connection_is_ours() -> None:
    response = Response(200, [("connection", "keep-alive"), ("Content-length", "9"), ("TRANSFER-ENCODING", "chunked")])
    assert written(response, close=True) == ["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close", "", ""]


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_have_no_length(status: int) -> None:
    lines = written(Response(status, [], b"nothing"))
    assert [line for line in lines if "ength" in line or "nothing" in line] == []


def test_head_gets_the_length_but_not_the_body() -> None:
    assert written(Response(200, [], b"ok"), head("HEAD / HTTP/1.1")) == [
        "HTTP/1.1 200 OK",
        "Content-Length: 2",
        "",
        "",
    ]


def test_an_old_peer_is_told_that_the_connection_stays() -> None:
    data = head("GET / HTTP/1.0", "Connection: keep-alive")
    assert "Connection: keep-alive" in written(Response(200), data)
    assert "Connection: close" in written(Response(200), data, close=True)


def test_an_unknown_status_has_no_phrase() -> None:
    assert written(Response(299))[0] == "HTTP/1.1 299 "


@pytest.mark.parametrize(
    "field",
    [
        ("X-A", "a\r\nX-B: c"),
        ("X-A", "a\nb"),
        ("X-A", "a\rb"),
        ("X-A", "a\x00b"),
        ("X-A", "\u20ac"),
        ("X-A\r\nX-B", "c"),
        ("X A", "b"),
        ("", "b"),
        ("X-\xc4", "b"),
    ],
)
def test_fields_that_cannot_be_sent_raise(field: tuple[str, str]) -> None:
    with pytest.raises(LocalProtocolError):
        written(Response(200, [field]))
    found = parse(upgrade()).handshake
    assert found is not None
    with pytest.raises(LocalProtocolError):
        write_accept(Response(101, [field]), found, server=None)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 600, "200"])
def test_a_status_that_cannot_be_sent_raises(status: int) -> None:
    with pytest.raises(LocalProtocolError):
        written(Response(status))


@pytest.mark.parametrize("status", [400, 408, 413, 415, 417, 426, 431, 500, 501])
def test_errors_have_fixed_texts(status: int) -> None:
    response = error_response(HttpError(status, [("X-A", "b")]))
    assert response.status == status
    if status == 400:
        assert response.body == b'{"code":3,"message":"Bad request"}'
    assert b"".join(write_response(response, None, close=True, server=None))


@given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=8)), max_size=3))
def test_no_header_splits_a_response(headers: list[tuple[str, str]]) -> None:
    try:
        lines = header_lines(headers)
    except LocalProtocolError:
        return
    block = "\r\n".join(lines).encode("latin-1")
    assert block.count(b"\n") == block.count(b"\r") == max(0, len(lines) - 1)


# -- anything at all


@given(st.binary(max_size=80), st.sampled_from([b"", b"GET / HTTP/1.1\r\n", head()[:-2]]))
def test_any_bytes_give_a_head_or_a_status(noise: bytes, before: bytes) -> None:
    reader = HttpReader(CONFIG)
    reader.receive(before + noise + b"\r\n\r\n")
    status = 200
    try:
        found = reader.read_head()
    except HttpError as error:
        found, status = None, error.status
    assert found is None or found.method.isalpha()
    assert status in (200, 400, 415, 417, 426, 431, 501)
