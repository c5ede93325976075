"""What a URL says: the server, the namespace, the query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto import LocalProtocolError
from sioproto.engineio import Origin, parse_url


@pytest.mark.parametrize(
    ("text", "origin", "authority"),
    [
        ("http://example.org", Origin("http", "example.org", 80), "example.org"),
        ("http://example.org:80", Origin("http", "example.org", 80), "example.org"),
        ("https://example.org", Origin("https", "example.org", 443), "example.org"),
        ("https://example.org:80/", Origin("https", "example.org", 80), "example.org:80"),
        ("ws://localhost:3000", Origin("http", "localhost", 3000), "localhost:3000"),
        ("wss://localhost:443", Origin("https", "localhost", 443), "localhost"),
        ("HTTP://Example.ORG:8080", Origin("http", "example.org", 8080), "example.org:8080"),
        ("http://[::1]:3000/chat", Origin("http", "::1", 3000), "[::1]:3000"),
        ("http://[2001:db8::1]", Origin("http", "2001:db8::1", 80), "[2001:db8::1]"),
        ("http://127.0.0.1:5000", Origin("http", "127.0.0.1", 5000), "127.0.0.1:5000"),
        ("http://bücher.example", Origin("http", "xn--bcher-kva.example", 80), "xn--bcher-kva.example"),
    ],
)
def test_where_a_url_leads(text: str, origin: Origin, authority: str) -> None:
    found, _, _ = parse_url(text)
    assert found == origin
    assert found.authority == authority
    assert found.secure == (origin.scheme == "https")
    assert str(found) == f"{origin.scheme}://{authority}"


@pytest.mark.parametrize("text", ["localhost:3000", "//localhost:3000", "https://localhost:3000"])
def test_without_a_scheme_it_is_https(text: str) -> None:
    assert parse_url(text)[0] == Origin("https", "localhost", 3000)


@pytest.mark.parametrize(
    ("text", "path", "query"),
    [
        ("http://a", "/", {}),
        ("http://a/", "/", {}),
        ("http://a/chat", "/chat", {}),
        ("http://a/chat/room?x=1&y=a%20b+c", "/chat/room", {"x": "1", "y": "a b c"}),
        ("http://a?token=abc", "/", {"token": "abc"}),
        ("http://a/chat#part", "/chat", {}),
        ("a/chat?x=1", "/chat", {"x": "1"}),
    ],
)
def test_the_path_is_a_namespace_and_the_query_an_option(text: str, path: str, query: dict[str, str]) -> None:
    assert parse_url(text)[1:] == (path, query)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "names no host"),
        ("http://", "names no host"),
        ("http://:80", "names no host"),
        ("/chat", "names no host"),
        ("http://a:0", "names no host and port"),
        ("http://a:65536", "is no URL"),
        ("http://a:x", "is no URL"),
        ("http://[::1", "is no URL"),
        ("http://[nonsense]", "is no URL"),
        ("ftp://a", "begins with http://"),
        ("file:///etc/passwd", "begins with http://"),
        ("http://user:secret@a", "extra_headers"),
        ("http://a b", "spaces"),
        ("http://a\r\nx: y", "control"),
        ("http://a\t", "control"),
        ("http://a\\b", "backslashes"),
        ("http://a%0d", "names no host"),
        ("http://a<b", "names no host"),
        ("http://" + "ü" * 64, "is no URL"),
    ],
)
def test_nonsense_is_refused(text: str, cause: str) -> None:
    with pytest.raises(LocalProtocolError, match=cause):
        parse_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://user:secret@a",
        "http://user:secret@a:x/",
        "http://user:secret@:80",
        "ftp://user:secret@a",
        "http://user:sec ret@a",
        "http://user:secret/x@a",
        "http://user:secret\u2100@a",
        "http://a:x?token=secret",
        "http://a:0/chat?token=secret#secret",
        "http://?token=secret",
        "http://a/#secret key",
        "http://a?token=secret key",
        "ftp://a?token=secret",
        "http://[::1?token=secret",
    ],
)
def test_a_refusal_does_not_repeat_secrets(text: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        parse_url(text)
    assert "sec" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(st.text(max_size=30), st.sampled_from(["", "http://", "https://", "ws://", "http://[", "http://a:", "//"]))
def test_any_text_is_read_or_refused(text: str, head: str) -> None:
    try:
        origin, path, _ = parse_url(head + text)
    except LocalProtocolError:
        return
    assert origin.host.isascii()
    assert 0 < origin.port < 65536
    assert path.startswith("/")
    # It may stand in a header field.
    assert origin.authority.isprintable()
    assert not set(origin.authority) & set(' /?#@\\"<>')
    # Its own form leads to the same place.
    assert parse_url(str(origin))[0] == origin
