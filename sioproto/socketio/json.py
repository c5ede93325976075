"""JSON as Socket.IO payloads need it: strict, bounded and fast, on the standard library's codec.

``StrictJson.loads`` takes what RFC 8259 allows and no more: the standard library alone would let through ``NaN``,
numbers that overflow, integers of thousands of digits, and nesting down to a ``RecursionError``. ``StrictJson.dumps``
writes no spaces and leaves non-ASCII as it is. This module knows no packets: to it, binary is one more thing that
JSON does not have.

Rules: peer input costs linear time; the text of an error is fixed, or names a type, and never repeats the input;
loading raises ``JsonError`` only, dumping ``LocalProtocolError`` only.
"""

from __future__ import annotations

from itertools import accumulate
from json import JSONDecoder, JSONEncoder
from json import encoder as stdlib_encoder
from json import scanner as stdlib_scanner
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DIGITS = 309
"""Digits that an integer may have: the largest double has 309, and a JavaScript peer has nothing larger."""


class JsonError(ValueError):
    """The text is no JSON, or not within the limits."""


class BinaryFound(LocalProtocolError):
    """There is binary in a value that was to become JSON, and nothing that takes it out."""


class StrictJson:
    """A JSON codec with limits. Immutable, and safe to share.

    ``loads`` and ``dumps`` replace the standard library's functions. The limits on depth, containers (arrays and
    objects) and digits are checked on the text before ``loads`` sees it; what else it accepts (``NaN``, huge exponents,
    repeated keys) is its own affair.
    """

    __slots__ = ("_dumps", "_harmless", "_loads", "_max_containers", "_max_depth", "_narrow")

    def __init__(
        self,
        *,
        loads: Callable[[str], Any] | None = None,
        dumps: Callable[[Any], str] | None = None,
        max_depth: int = 100,
        max_containers: int = 50_000,
    ) -> None:
        self._loads = loads
        self._dumps = dumps
        self._max_depth = max_depth
        self._max_containers = max_containers
        self._narrow = min(max_depth, max_containers)
        # A text of this length has no room to break any limit. Most payloads of real applications are shorter.
        self._harmless = min(self._narrow, MAX_DIGITS)

    def loads(self, text: str, start: int = 0) -> Any:
        """Returns the value that ``text`` holds from ``start`` on. Raises ``JsonError``."""
        scan = scan_plain
        length = len(text)
        if length > self._harmless:
            opened = text.count("[") + text.count("{")
            if opened > self._narrow:
                self._judge_brackets(text[start:], opened)
            if length > MAX_DIGITS and has_long_number(text):
                if self._loads is not None and has_long_number(outside_strings(text[start:])):
                    raise JsonError("JSON integer too long")
                scan = scan_counting_digits
        if self._loads is not None:
            return call_loads(self._loads, text[start:])
        # The error is raised outside of the handler, or it would keep the peer's text alive as its context.
        try:
            value, end = scan(text, start)
            if end == length:
                return value
        except StopIteration:
            # The scanner's way of saying that no value begins here.
            if text[start : start + 1] in WHITESPACE and start < length:
                return self.loads(text[start:].lstrip(WHITESPACE))
        except (ValueError, RecursionError):
            pass
        else:
            if not text[end:].strip(WHITESPACE):
                return value
        raise JsonError("invalid JSON")

    def _judge_brackets(self, text: str, opened: int) -> None:
        """Raises ``JsonError`` if too many are within each other or there at all, not counting those in strings."""
        if opened > self._max_depth and nests_deeper(text, self._max_depth):
            raise JsonError("JSON nests too deep")
        if opened > self._max_containers and bare_brackets(text).count(b"[") > self._max_containers:
            raise JsonError("JSON holds too many arrays and objects")

    def dumps(self, value: Any) -> str:
        """Returns ``value`` as JSON, lone surrogates as they are.

        Raises ``LocalProtocolError``, which is ``BinaryFound`` where the first thing that JSON lacks is binary.
        """
        if self._dumps is not None:
            if deconstruct(value, []) is not value:
                raise BinaryFound(BINARY_FOUND)
            return call_dumps(self._dumps, value)
        try:
            return readable(encode_plain(value))
        except LocalProtocolError:
            raise
        except Exception as error:
            raise explain(error, value) from error

    def dumps_binary(self, value: list[Any] | tuple[Any, ...]) -> tuple[str, list[bytes]]:
        """Returns ``value`` as JSON with a placeholder for each binary, and the binary in the order of the text."""
        attachments: list[bytes] = []
        if self._dumps is not None:
            return call_dumps(self._dumps, deconstruct(value, attachments)), attachments

        # The encoder asks about what it does not know in the order in which it writes, which is the depth-first order
        # that the protocol numbers attachments in. So one pass does, and nothing of the caller's is copied or changed.
        def attach(found: Any) -> Any:
            if isinstance(found, BINARY):
                attachments.append(bytes(found))
                return {"_placeholder": True, "num": len(attachments) - 1}
            raise unsupported(found)

        try:
            return readable(make_encode(attach)(value)), attachments
        except LocalProtocolError:
            raise
        except Exception as error:
            raise explain(error, value) from error


WHITESPACE = " \t\n\r"
BINARY = (bytes, bytearray, memoryview)
BINARY_FOUND = "only events and acknowledgements can carry binary"


# Loading


def refuse_constant(name: str) -> Any:
    """Refuses ``NaN``, ``Infinity`` and ``-Infinity``, which JSON does not have."""
    raise ValueError


def parse_finite(digits: str) -> float:
    """Returns the float, unless it overflows: a peer could not have meant infinity, and we could not send it on."""
    value = float(digits)
    if value - value:  # NaN, hence true, for an infinity alone
        raise ValueError
    return value


def parse_bounded(digits: str) -> int:
    if len(digits) > MAX_DIGITS + digits.startswith("-"):
        raise ValueError
    return int(digits)


def make_scan(parse_int: Callable[[str], int] = int) -> Callable[[str, int], tuple[Any, int]]:
    """Returns a function that parses one value at an offset, so that nobody slices the payload out of its message."""
    decoder = JSONDecoder(parse_int=parse_int, parse_float=parse_finite, parse_constant=refuse_constant)
    scan: Callable[[str, int], tuple[Any, int]] = vars(decoder)["scan_once"]
    if getattr(stdlib_scanner, "c_make_scanner", None) is not None:
        return scan

    def scan_ascii(text: str, start: int) -> tuple[Any, int]:
        # The scanner in Python takes the digits of every script for digits.
        if not text.isascii() and not outside_strings(text[start:]).isascii():
            raise ValueError
        return scan(text, start)

    return scan_ascii


scan_plain = make_scan()
# A function call for each integer costs more than the integer: only texts with a long run of digits somewhere pay it.
scan_counting_digits = make_scan(parse_bounded)


def call_loads(loads: Callable[[str], Any], text: str) -> Any:
    try:
        return loads(text)
    except Exception:  # whatever a foreign decoder raises: the text came from the peer, so the peer is to blame
        pass
    raise JsonError("invalid JSON")


def has_long_number(text: str) -> bool:
    """Whether there is a run of more digits than an integer may have, be it within a string. Linear in ``text``."""
    # Of that many digits in a row, one stands at a multiple of their number: a glance at every 310th character does.
    step = MAX_DIGITS + 1
    for index, glance in enumerate(text[::step]):
        if glance in DIGITS:
            position = index * step
            before, after = text[max(0, position - step) : position], text[position : position + step]
            rest = len(before.rstrip(DIGITS)) + len(after.lstrip(DIGITS))
            if len(before) + len(after) - rest >= step:
                return True
    return False


DIGITS = "0123456789"


def nests_deeper(text: str, limit: int) -> bool:
    """Whether arrays and objects nest deeper than ``limit``, brackets within strings aside. Linear in ``text``."""
    brackets = bare_brackets(text)
    # Taking out the innermost pairs lowers the depth by one. Wide texts are gone after a few rounds; one that stops
    # shrinking is counted bracket by bracket, so that the rounds cannot add up.
    while limit > 0:
        outer = brackets.replace(b"[]", b"")
        if not outer:
            return False
        limit -= 1
        narrow = len(outer) * 4 > len(brackets) * 3
        brackets = outer
        if narrow:
            break
    return max(accumulate(map(STEP_OF.__getitem__, brackets)), default=0) > limit


def bare_brackets(text: str) -> bytes:
    """Returns the brackets of ``text``, all as square ones and without those within strings. Linear in ``text``."""
    raw = text.encode("utf-8", "surrogatepass")
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = raw.translate(AS_SQUARE, NEITHER_BRACKET_NOR_QUOTE).replace(b'""', b"")
    return b"".join(brackets.split(b'"')[::2]) if b'"' in brackets else brackets


AS_SQUARE = bytes.maketrans(b"{}", b"[]")
NEITHER_BRACKET_NOR_QUOTE = bytes(set(range(256)) - set(b'[]{}"'))
STEP_OF = [{ord("["): 1, ord("]"): -1}.get(code, 0) for code in range(256)]


def outside_strings(text: str) -> str:
    """Returns ``text`` with every string literal emptied."""
    if "\\" in text:
        # In this order: what is left of a run of backslashes then belongs to the character after it.
        text = text.replace("\\\\", "").replace('\\"', "")
    return '""'.join(text.split('"')[::2])


# Dumping


def make_encode(default: Callable[[Any], Any]) -> Callable[[Any], str]:
    """Returns a function that writes JSON without spaces and asks ``default`` about what JSON does not have.

    Neither variant looks for circles: that would cost a table entry for each container, and the recursion limit finds
    them as well.
    """
    make_in_c: Callable[..., Any] | None = getattr(stdlib_encoder, "c_make_encoder", None)
    if make_in_c is None:
        return JSONEncoder(
            separators=(",", ":"), ensure_ascii=False, allow_nan=False, check_circular=False, default=default
        ).encode
    # What ``JSONEncoder.encode`` makes anew for each call. It keeps nothing between calls.
    write = make_in_c(None, default, stdlib_encoder.encode_basestring, None, ":", ",", False, False, False)
    join = "".join

    def encode(value: Any) -> str:
        return join(write(value, 0))

    return encode


def refuse(found: Any) -> Any:
    if isinstance(found, BINARY):
        raise BinaryFound(BINARY_FOUND)
    raise unsupported(found)


encode_plain = make_encode(refuse)


def readable(text: str) -> str:
    """Returns JSON of ours, unless an integer in it is one that ``loads`` refuses and JavaScript takes for infinity."""
    if len(text) > MAX_DIGITS and has_long_number(text) and has_long_number(outside_strings(text)):
        raise LocalProtocolError(f"an integer cannot be sent with more than {MAX_DIGITS} digits: no peer reads it")
    return text


def unsupported(found: Any) -> LocalProtocolError:
    advice = "; await it, and send its result" if isinstance(found, Pending) else ""
    return LocalProtocolError(f"{type(found).__name__} cannot be sent: JSON has no such type{advice}")


def call_dumps(dumps: Callable[[Any], str], value: Any) -> str:
    try:
        text = dumps(value)
    except Exception as error:
        raise LocalProtocolError(f"the given dumps failed: {error}") from error
    if not isinstance(text, str):
        raise LocalProtocolError(f"the given dumps returned {type(text).__name__}, not str")
    return text


def explain(error: Exception, value: Any) -> LocalProtocolError:
    """Says in the caller's terms why the standard library's encoder gave up on ``value``."""
    if isinstance(error, RecursionError):
        return LocalProtocolError("the data nests too deep, or contains itself")
    if isinstance(error, ValueError) and (kind := find_nonfinite(value)) is not None:
        return LocalProtocolError(f"{kind} cannot be sent: JSON has finite numbers only")
    return LocalProtocolError(f"the data cannot be sent as JSON: {error}")


def find_nonfinite(value: Any) -> str | None:
    """Returns the name of the first number in ``value`` that is not finite."""
    pending, seen = [value], set()
    while pending:
        each = pending.pop()
        if isinstance(each, float):
            if each - each:
                return "NaN" if each != each else "Infinity" if each > 0 else "-Infinity"
        elif isinstance(each, dict | list | tuple) and id(each) not in seen:
            seen.add(id(each))
            inner = [*each, *each.values()] if isinstance(each, dict) else each
            pending.extend(reversed(inner))
    return None


def deconstruct(value: Any, attachments: list[bytes]) -> Any:
    """Moves the binary in ``value`` to ``attachments``, depth first (Socket.IO protocol, packets with binary).

    Returns ``value`` itself where there is none, else a copy as far as it differs. This is for a foreign ``dumps``,
    which may have no hook for such types or another order; the recursion ends in a ``LocalProtocolError`` where the
    stack does.
    """
    try:
        return deconstruct_part(value, attachments)
    except RecursionError as error:
        raise explain(error, value) from error


def deconstruct_part(value: Any, attachments: list[bytes]) -> Any:
    if isinstance(value, BINARY):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, dict):
        changed = {
            key: part for key, item in value.items() if (part := deconstruct_part(item, attachments)) is not item
        }
        return {**value, **changed} if changed else value
    if isinstance(value, list | tuple):
        parts = [deconstruct_part(item, attachments) for item in value]
        return parts if any(part is not item for part, item in zip(parts, value, strict=True)) else value
    return value
