"""The cookies of a client: what the server sets is sent back, over every connection that shares the jar.

Meant for load balancers that stick a session to a node by a cookie. One jar is for one server, so domain and path do
not matter (as in the reference client outside of browsers); a cookie lives until ``Expires`` or ``Max-Age`` says
otherwise (RFC 6265, section 5.2). A cookie that cannot be read, or that would not fit into a header again, is skipped.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sioproto.config import EngineClientConfig
    from sioproto.environment import Environment

MAX_COOKIE = 4096
"""Characters of a name and a value together, as in browsers (RFC 6265, section 6.1)."""

MAX_AGE_DIGITS = 12
"""More seconds than these digits can say are as good as for ever."""

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class CookieJar:
    """Cookies by name. ``wall`` is the time in seconds since the Unix epoch; beyond ``limit`` of them, or ``room``
    bytes of the header field that they make, the oldest goes.
    """

    __slots__ = ("_cookies", "_limit", "_room", "_size", "_wall")

    def __init__(self, wall: Callable[[], float], limit: int = 50, room: int = 8 * 1024) -> None:
        self._wall = wall
        self._limit = limit
        self._room = room
        self._size = 0
        self._cookies: dict[str, tuple[str, float | None]] = {}

    def receive(self, headers: Iterable[tuple[str, str]]) -> None:
        """Keeps what the ``Set-Cookie`` fields among the headers of a response say."""
        for name, value in headers:
            if name.lower() == "set-cookie":
                self._set(value)

    def header(self) -> str | None:
        """Returns the value of the ``Cookie`` field for a request, None where there is no cookie to send."""
        now = self._wall()
        for name in [name for name, (_, ends) in self._cookies.items() if ends is not None and ends <= now]:
            self._drop(name)
        return "; ".join([f"{name}={value}" for name, (value, _) in self._cookies.items()]) or None

    def __len__(self) -> int:
        return len(self._cookies)

    def _set(self, text: str) -> None:
        pair, *attributes = text.split(";")
        name, mark, value = (part.strip(" \t") for part in pair.partition("="))
        if not (mark and name) or len(name) + len(value) > MAX_COOKIE or not is_clean(pair):
            return
        ends = self._end(attributes)
        if name in self._cookies:
            self._drop(name)
        if ends is None or ends > self._wall():
            self._cookies[name] = (value, ends)
            self._size += cost(name, value)
            while len(self._cookies) > self._limit or self._size > self._room:
                self._drop(next(iter(self._cookies)))

    def _drop(self, name: str) -> None:
        value, _ = self._cookies.pop(name)
        self._size -= cost(name, value)

    def _end(self, attributes: list[str]) -> float | None:
        """Returns when a cookie ends, None for never: the last attribute counts, and ``Max-Age`` before ``Expires``."""
        ends = age = None
        for attribute in attributes:
            key, _, value = (part.strip(" \t") for part in attribute.partition("="))
            if key.lower() == "expires":
                ends = read_date(value, ends)
            elif key.lower() == "max-age":
                age = read_age(value, age)
        return ends if age is None else self._wall() + age


def make_jar(config: EngineClientConfig, environment: Environment) -> CookieJar | None:
    """Returns the jar that a config asks for."""
    return CookieJar(environment.wall, config.max_cookies, config.max_cookie_bytes) if config.cookie_jar else None


def cost(name: str, value: str) -> int:
    """Returns what a cookie takes in the header field, with what stands around it; latin-1 has a byte for each."""
    return len(name) + len(value) + len("=; ")


def is_clean(text: str) -> bool:
    """Returns whether text may stand in a header field."""
    return all(" " <= each != "\x7f" or each == "\t" for each in text)


def read_age(text: str, otherwise: float | None) -> float | None:
    """Reads whole seconds, which may be negative."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return otherwise
    if digits is not text:
        return -1.0
    return float(text) if len(text) <= MAX_AGE_DIGITS else float("inf")


def read_date(text: str, otherwise: float | None) -> float | None:
    """Reads a date in any of HTTP's forms: day, month, year and a time, and the rest is skipped."""
    day = year = month = None
    clock: tuple[int, int, int] | None = None
    for token in text.replace("-", " ").replace(",", " ").split():
        number = int(token) if token.isascii() and token.isdigit() and len(token) <= 4 else None
        if clock is None and token.count(":") == 2:
            clock = read_clock(token)
        elif number is not None and day is None and len(token) <= 2:
            day = number
        elif number is not None and year is None:
            year = number if len(token) > 2 else number + (1900 if number >= 70 else 2000)
        elif month is None and token[:3].lower() in MONTHS:
            month = MONTHS.index(token[:3].lower()) + 1
    if day is None or month is None or year is None or clock is None:
        return otherwise
    try:
        return datetime(year, month, day, *clock, tzinfo=UTC).timestamp()
    except ValueError:
        return otherwise


def read_clock(token: str) -> tuple[int, int, int] | None:
    """Reads hours, minutes and seconds."""
    parts = token.split(":")
    if not all(part.isascii() and part.isdigit() and len(part) <= 2 for part in parts):
        return None
    hours, minutes, seconds = map(int, parts)
    return hours, minutes, seconds
