"""The jar of a client: which cookies it keeps, how long, and what it sends back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sioproto.engineio import CookieJar
from tests.virtual import Clock

NOVEMBER_1994 = 784111777.0
"""Sun, 06 Nov 1994 08:49:37 GMT, the date of HTTP's own examples."""


def jar_of(*cookies: str, now: float = NOVEMBER_1994, limit: int = 50, room: int = 8192) -> tuple[CookieJar, Clock]:
    """Returns a jar that got these, and its clock."""
    clock = Clock(now)
    jar = CookieJar(clock, limit, room)
    jar.receive([("Set-Cookie", cookie) for cookie in cookies])
    return jar, clock


def test_an_empty_jar_sends_nothing() -> None:
    jar, _ = jar_of()
    assert jar.header() is None
    jar.receive([("Content-Type", "text/plain"), ("Cookie", "a=b")])
    assert jar.header() is None


def test_cookies_come_back_in_the_order_in_which_they_were_set() -> None:
    jar, _ = jar_of("a=1", "b=2; Path=/elsewhere; Domain=other.example; Secure; HttpOnly; SameSite=Lax")
    assert jar.header() == "a=1; b=2"
    jar.receive([("set-cookie", "a=3"), ("SET-COOKIE", "c=4")])
    assert jar.header() == "b=2; a=3; c=4"
    assert len(jar) == 3


@pytest.mark.parametrize(
    ("cookie", "header"),
    [
        ("a=", "a="),
        ('a="quoted"', 'a="quoted"'),
        ("  a  =  b  ", "a=b"),
        ("a=b=c", "a=b=c"),
        ("a=b;", "a=b"),
        ("a=\xfc", "a=\xfc"),
        ("a", None),
        ("=b", None),
        ("", None),
        ("; Max-Age=5", None),
        ("a=b\r\nx: y", None),
        ("a=b\0", None),
        ("a=" + "x" * 4095, "a=" + "x" * 4095),
        ("a=" + "x" * 4096, None),
    ],
)
def test_what_a_cookie_is(cookie: str, header: str | None) -> None:
    assert jar_of(cookie)[0].header() == header


@pytest.mark.parametrize(
    "attributes",
    [
        "Max-Age=60",
        "max-age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "Expires=Sun, 06 Nov 1994 08:50:37 GMT",
        "expires=Sunday, 06-Nov-94 08:50:37 GMT",
        "Expires=Sun Nov  6 08:50:37 1994",
        "Expires=nonsense; Max-Age=60; Max-Age=nonsense",
    ],
)
def test_a_cookie_ends_when_it_says(attributes: str) -> None:
    jar, clock = jar_of(f"a=b; {attributes}", "c=d")
    clock.now += 59.9
    assert jar.header() == "a=b; c=d"
    clock.now += 0.1
    assert jar.header() == "c=d"
    assert len(jar) == 1


@pytest.mark.parametrize(
    "attributes",
    ["Max-Age=0", "Max-Age=-1", "Max-Age=-99999999999999999999", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
)
def test_one_that_is_over_takes_the_old_one_along(attributes: str) -> None:
    jar, _ = jar_of("a=b", f"a=; {attributes}")
    assert jar.header() is None


@pytest.mark.parametrize(
    "attributes",
    [
        "Expires",
        "Expires=",
        "Expires=soon",
        "Expires=Sun, 06 Nov 1994",
        "Expires=Sun, 31 Feb 1994 08:49:37 GMT",
        "Expires=Sun, 06 Nov 1994 25:49:37 GMT",
        "Expires=Sun, 06 Nov 1994 08:49 GMT",
        "Expires=Sun, 06 Nov 1994 ::1 GMT",
        "Expires=Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
        "Max-Age",
        "Max-Age=1.5",
        "Max-Age=\u0661",
        "Max-Age=--1",
        "Max-Age=" + "9" * 5000,
        "Expires=Fri, 31 Dec 2099 23:59:59 GMT",
    ],
)
def test_one_that_does_not_say_stays(attributes: str) -> None:
    jar, clock = jar_of(f"a=b; {attributes}")
    clock.now += 86400 * 365 * 20
    assert jar.header() == "a=b"


def test_years_of_two_digits() -> None:
    # RFC 6265, section 5.1.1: from 70 on they are of the last century.
    jar, clock = jar_of("a=b; Expires=Friday, 01-Jan-69 00:00:00 GMT", now=0.0)
    clock.now = 3124223999.0
    assert jar.header() == "a=b"
    clock.now += 1
    assert jar.header() is None
    jar, _ = jar_of("a=b; Expires=Friday, 02-Jan-70 00:00:00 GMT")
    assert jar.header() is None


def test_the_oldest_goes_where_there_are_too_many() -> None:
    jar, _ = jar_of(*(f"c{number}={number}" for number in range(5)), limit=3)
    assert jar.header() == "c2=2; c3=3; c4=4"
    jar.receive([("Set-Cookie", "c2=again"), ("Set-Cookie", "c5=5")])
    assert jar.header() == "c4=4; c2=again; c5=5"


def test_the_oldest_goes_where_they_are_too_long_together() -> None:
    jar, clock = jar_of("a=" + "x" * 20, "b=" + "x" * 20, "c=" + "x" * 20, room=60)
    assert jar.header() == "b=" + "x" * 20 + "; c=" + "x" * 20
    # What is set anew, and what has ended, takes no room.
    jar.receive([("Set-Cookie", "c=y; Max-Age=1"), ("Set-Cookie", "d=" + "x" * 20), ("Set-Cookie", "e=")])
    assert jar.header() == "b=" + "x" * 20 + "; c=y; d=" + "x" * 20 + "; e="
    clock.now += 1
    assert jar.header() == "b=" + "x" * 20 + "; d=" + "x" * 20 + "; e="
    jar.receive([("Set-Cookie", "f=1234")])
    assert jar.header() == "b=" + "x" * 20 + "; d=" + "x" * 20 + "; e=; f=1234"
    jar.receive([("Set-Cookie", "g=" + "x" * 100)])
    assert jar.header() is None


def test_a_server_cannot_make_heads_that_nobody_takes() -> None:
    jar, _ = jar_of(*(f"c{number}=" + "x" * 4000 for number in range(50)))
    assert len(jar) == 2
    assert len(jar.header() or "") < 8192


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=8))
def test_whatever_is_set_the_header_can_be_sent(cookies: list[str]) -> None:
    jar, _ = jar_of(*cookies, limit=3, room=100)
    header = jar.header()
    assert len(jar) <= 3
    assert header is None or len(header) <= 100
    assert header is None or not any(each < " " or each == "\x7f" for each in header.replace("\t", ""))


@given(st.text(max_size=40), st.sampled_from(["Expires=", "Max-Age=", ""]))
def test_no_attribute_raises(text: str, name: str) -> None:
    jar, _ = jar_of(f"a=b; {name}{text}")
    assert jar.header() in ("a=b", None)
