"""The strict JSON codec: what it refuses that the standard library takes, and that its limits are exact."""

from __future__ import annotations

import contextlib
import enum
import json
import math
from collections import OrderedDict
from json import encoder as stdlib_encoder
from json import scanner as stdlib_scanner
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sioproto.errors import LocalProtocolError
from sioproto.socketio.json import (
    BinaryFound,
    JsonError,
    StrictJson,
    deconstruct,
    has_long_number,
    make_encode,
    make_scan,
    nests_deeper,
    outside_strings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STRICT = StrictJson()
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)
BRACKETED = st.text(st.sampled_from('[]{}"\\a1'), max_size=40)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


# Loading


@given(JSON, st.booleans(), st.text(st.sampled_from(" \t\r\n"), max_size=3))
def test_what_the_standard_library_writes_is_read(value: Any, ascii_only: bool, space: str) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert STRICT.loads(space + text + space) == value
    assert STRICT.loads("21" + text, 2) == value


@given(st.text())
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example("[" * 100_000 + "]" * 100_000)
@example("1" * 5000)
@example('"' + "\\" * 9999)
@example('\\"' * 5000 + "[" * 200)
def test_loading_any_text_raises_nothing_else(text: str) -> None:
    with contextlib.suppress(JsonError):
        STRICT.loads(text)


REFUSED = {
    "nothing": "",
    "space alone": " ",
    "trailing garbage": "[] x",
    "a second value": "[][]",
    "a trailing comma": "[1,]",
    "single quotes": "['a']",
    "a comment": "[1/**/]",
    "a byte order mark": "\ufeff[]",
    "a foreign space": "\u00a0[]",
    "NaN": "[NaN]",
    "Infinity": "[Infinity]",
    "-Infinity": "[-Infinity]",
    "a float that overflows": "[1e400]",
    "a negative float that overflows": "[-1e400]",
    "a float that overflows by its digits": "[" + "9" * 400 + ".0]",
    "an integer too long": "[" + "1" * 310 + "]",
    "a negative integer too long": "[-" + "1" * 310 + "]",
    "an integer too long for Python": "[" + "1" * 5000 + "]",
    "an integer too long after many short ones": "[" + "123," * 1000 + "1" * 310 + "]",
    "a leading zero": "[01]",
    "a leading plus": "[+1]",
    "a bare point": "[.5]",
    "Arabic digits": "[\u0661]",
    "Arabic digits after a digit": "[1\u0661]",
    "superscript digits": "[\u00b2]",
    "a control in a string": '["\x01"]',
    "a line break in a string": '["\n"]',
    "an unknown escape": '["\\x41"]',
    "a short escape": '["\\u12"]',
    "an escape of foreign digits": '["\\u\u0661\u0661\u0661\u0661"]',
    "an open string": '["a',
    "a key that is no string": "{1:2}",
    "too deep arrays": nested(101),
    "too deep objects": '{"a":' * 101 + "1" + "}" * 101,
    "too deep by far": "[" * 100_000,
    "too deep behind a string with closing brackets": '[["' + "]" * 200 + '",' + nested(99) + "]]",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_refuses(text: str) -> None:
    with pytest.raises(JsonError) as caught:
        STRICT.loads(text)
    assert str(caught.value) in ("invalid JSON", "JSON nests too deep")


TAKEN = {
    "the longest integer": "[" + "9" * 309 + "]",
    "the longest negative integer": "[-" + "9" * 309 + "]",
    "a long run of digits in a string": '["' + "1" * 400 + '",1,-2]',
    "floats": "[1.5,-0.0,1e308,1E-400,2.5e+3]",
    "the deepest array": nested(100),
    "brackets in strings": '["' + "[{" * 200 + '","\\"' + "[" * 200 + '","\\\\"]',
    "many shallow ones": "[" + ",".join(['{"a":[{}]}'] * 500) + "]",
    "deep and wide": "[" + ",".join([nested(99)] * 20) + "]",
    "a lone surrogate": '["\\ud800"]',
}


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_takes(text: str) -> None:
    assert STRICT.loads(text) == json.loads(text)


def test_a_raised_depth_limit_reaches_as_far_as_the_stack() -> None:
    deep = StrictJson(max_depth=1_000_000, max_containers=1_000_000)
    assert deep.loads(nested(200)) == json.loads(nested(200))
    with pytest.raises(JsonError, match="invalid JSON"):
        deep.loads(nested(500_000))
    with pytest.raises(JsonError):
        deep.loads("1" * 310)  # this limit does not depend on the other


def test_what_stands_before_the_payload_does_not_count() -> None:
    assert STRICT.loads('2/"[[' + "[" * 200 + "]]," + nested(100), 208) == json.loads(nested(100))


def exact_depth(text: str) -> int:
    """Returns the greatest depth by the book: one character after the other."""
    depth = deepest = 0
    quoted = escaped = False
    for char in text:
        if escaped:
            escaped = False
        elif char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char in "[{") - (char in "]}")
            deepest = max(deepest, depth)
    return deepest


@given(JSON, st.integers(1, 5))
def test_depth_is_exact(value: Any, limit: int) -> None:
    text = json.dumps(value)
    assert nests_deeper(text, limit) == (exact_depth(text) > limit)


@given(BRACKETED, st.integers(1, 4))
def test_depth_of_garbage_is_never_underrated(text: str, limit: int) -> None:
    # A backslash outside of a string is no JSON: only what might be read counts.
    try:
        json.loads(text)
    except ValueError:
        return
    assert nests_deeper(text, limit) == (exact_depth(text) > limit)


@given(st.integers(300, 320), st.integers(0, 700), st.integers(0, 700))
def test_long_numbers_are_found_wherever_they_stand(length: int, before: int, after: int) -> None:
    text = "x" * before + "7" * length + "x" * after
    assert has_long_number(text) == (length > 309)


@given(st.lists(st.integers(0, 330), max_size=12))
def test_long_numbers_are_found_among_others(lengths: list[int]) -> None:
    text = "[" + ",".join("7" * length for length in lengths) + "]"
    assert has_long_number(text) == any(length > 309 for length in lengths)


def test_strings_are_emptied() -> None:
    assert outside_strings('["a\\"]",1,"\\\\",{"k":2}]') == '["",1,"",{"":2}]'


def test_foreign_loads_is_called_with_the_payload_alone() -> None:
    seen: list[str] = []

    def loads(text: str) -> Any:
        seen.append(text)
        return json.loads(text)

    assert StrictJson(loads=loads).loads("213[NaN]", 3)[0] != 0
    assert seen == ["[NaN]"]


@pytest.mark.parametrize("error", [ValueError("secret"), KeyError(1), RecursionError(), AttributeError("x")])
def test_whatever_foreign_loads_raises_is_invalid_json(error: Exception) -> None:
    def loads(text: str) -> Any:
        raise error

    with pytest.raises(JsonError, match=r"^invalid JSON$") as caught:
        StrictJson(loads=loads).loads("[]")
    assert caught.value.__context__ is None


def test_limits_are_checked_before_foreign_loads() -> None:
    foreign = StrictJson(loads=lambda text: pytest.fail("called"), max_depth=5, max_containers=8)
    for text in (nested(6), "1" * 310, '["",' + "1" * 310 + "]", "[[],[],[],[],[],[],[],[]]"):
        with pytest.raises(JsonError):
            foreign.loads(text)
    assert StrictJson(loads=json.loads).loads('["' + "1" * 400 + '"]') == ["1" * 400]


def test_loads_without_the_scanner_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib_scanner, "c_make_scanner", None)
    monkeypatch.setattr("json.decoder.scanner.make_scanner", vars(stdlib_scanner)["py_make_scanner"])
    scan = make_scan()
    assert scan('["\u0661",1.5,{"a":[]}]', 0) == (["\u0661", 1.5, {"a": []}], 18)
    for text in ("[1\u0661]", "[1.\u0661]", "[1e400]", "[NaN]"):
        with pytest.raises(ValueError, match=r"^$"):
            scan(text, 0)


@pytest.mark.parametrize("limit", [1, 7, 500])
@pytest.mark.parametrize("unit", ["[]", "{}", '{"a":0}'])
def test_the_limit_on_containers_is_exact(limit: int, unit: str) -> None:
    codec = StrictJson(max_containers=limit)
    value = json.loads(unit)
    assert codec.loads("[" + ",".join([unit] * (limit - 1)) + "]") == [value] * (limit - 1)
    assert codec.loads("21[" + ",".join([unit] * (limit - 1)) + "]", 2) == [value] * (limit - 1)
    with pytest.raises(JsonError, match=r"^JSON holds too many arrays and objects$"):
        codec.loads("[" + ",".join([unit] * limit) + "]")


def test_brackets_in_strings_are_no_containers() -> None:
    codec = StrictJson(max_containers=2)
    for string in ("[{" * 500, '\\"[[' * 50, "\\\\" * 20 + "[[["):
        assert codec.loads(f'[["{string}"]]') == json.loads(f'[["{string}"]]')
        with pytest.raises(JsonError, match="too many arrays and objects"):
            codec.loads(f'[["{string}"],[]]')


def test_a_crowd_of_containers_by_default() -> None:
    assert len(STRICT.loads("[" + "[]," * 49_998 + "[]]")) == 49_999
    with pytest.raises(JsonError, match="too many arrays and objects"):
        STRICT.loads("[" + "[]," * 49_999 + "[]]")


@given(JSON)
def test_containers_are_counted_as_they_are(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    number = len(list(containers_of(value)))
    assert StrictJson(max_containers=max(number, 1)).loads(text) == value
    if number > 1:
        with pytest.raises(JsonError):
            StrictJson(max_containers=number - 1).loads(text)


def containers_of(value: Any) -> Iterator[Any]:
    if isinstance(value, list | dict):
        yield value
        for inner in value if isinstance(value, list) else value.values():
            yield from containers_of(inner)


# Dumping


class Point(NamedTuple):
    x: int
    y: int


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


WRITTEN: list[tuple[Any, str]] = [
    (["e", 1, 2.5, None, True, False], '["e",1,2.5,null,true,false]'),
    ({"a": {"b": [1, (2, 3)]}}, '{"a":{"b":[1,[2,3]]}}'),
    ({1: 1, 2.5: 2, None: 3, False: 4}, '{"1":1,"2.5":2,"null":3,"false":4}'),
    (["é\u2028\U0001f600"], '["é\u2028\U0001f600"]'),
    (['"\\/\n\x1e\x7f'], '["\\"\\\\/\\n\\u001e\x7f"]'),
    ([Point(1, 2), Colour.RED, Text("t"), OrderedDict(b=1, a=2)], '[[1,2],1,"t",{"b":1,"a":2}]'),
    ((), "[]"),
    (["\ud800"], '["\ud800"]'),
]


@pytest.mark.parametrize(("value", "text"), WRITTEN)
def test_writes(value: Any, text: str) -> None:
    assert STRICT.dumps(value) == text


@given(JSON)
def test_what_is_written_reads_the_same(value: Any) -> None:
    assert json.loads(STRICT.dumps(value)) == value


def test_writes_the_same_without_the_encoder_in_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdlib_encoder, "c_make_encoder", None)

    def default(found: Any) -> Any:
        raise LocalProtocolError(type(found).__name__)

    encode = make_encode(default)
    for value, text in WRITTEN:
        assert encode(value) == text
    with pytest.raises(LocalProtocolError, match="bytes"):
        encode([b""])
    with pytest.raises(ValueError, match="JSON compliant"):
        encode([math.nan])


def circle() -> list[Any]:
    found: list[Any] = [1]
    found.append({"again": found})
    return found


def tower() -> list[Any]:
    top: list[Any] = []
    for _ in range(100_000):
        top = [top]
    return top


class Broken(dict[str, Any]):
    def items(self) -> Any:
        raise KeyError("items")


UNWRITABLE: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: [1.0, {"a": math.nan}], "^NaN cannot be sent"),
    "Infinity": (lambda: [math.inf], "^Infinity cannot be sent"),
    "-Infinity": (lambda: (-math.inf, math.nan), "^-Infinity cannot be sent"),
    "a key that is NaN": (lambda: {math.nan: 1}, "^NaN cannot be sent"),
    "NaN next to a circle": (lambda: [math.nan, circle()], "^NaN cannot be sent"),
    "a set": (lambda: [{1}], "^set cannot be sent"),
    "an object": (lambda: {"a": object()}, "^object cannot be sent"),
    "a complex number": (lambda: 1j, "^complex cannot be sent"),
    "a tuple as a key": (lambda: {(1, 2): 3}, "keys must be .* not tuple"),
    "bytes as a key": (lambda: {b"k": 3}, "keys must be .* not bytes"),
    "a circle": (circle, "^the data nests too deep, or contains itself"),
    "a tower": (tower, "^the data nests too deep, or contains itself"),
    "an integer too long for Python": (lambda: [10**5000], "^the data cannot be sent as JSON: .*digits"),
    "an integer too long for any reader": (lambda: [{"a": -(10**309)}], "^an integer cannot be sent .* 309 digits"),
    "a broken mapping": (lambda: [Broken(a=1)], "^the data cannot be sent as JSON"),
}


@pytest.mark.parametrize(("make", "text"), UNWRITABLE.values(), ids=UNWRITABLE)
def test_refuses_to_write(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(LocalProtocolError, match=text):
        STRICT.dumps(make())
    with pytest.raises(LocalProtocolError, match=text):
        STRICT.dumps_binary([b"first", make()])


@pytest.mark.parametrize("binary", [b"", bytearray(b"x"), memoryview(b"xy")])
@pytest.mark.parametrize("strict", [STRICT, StrictJson(dumps=json.dumps)], ids=["own", "foreign"])
def test_binary_is_found(binary: Any, strict: StrictJson) -> None:
    for value in (binary, [1, binary], {"a": [({"b": binary},)]}):
        with pytest.raises(BinaryFound):
            strict.dumps(value)


def test_binary_is_numbered_depth_first() -> None:
    value = [{"b": b"0", "a": [bytearray(b"1"), {"z": memoryview(b"2")}]}, (b"3",), "s", b"4"]
    placed = [{"_placeholder": True, "num": number} for number in range(5)]
    expected = [{"b": placed[0], "a": [placed[1], {"z": placed[2]}]}, [placed[3]], "s", placed[4]]
    for strict in (STRICT, StrictJson(dumps=json.dumps)):
        text, attachments = strict.dumps_binary(value)
        assert json.loads(text) == expected
        assert attachments == [b"0", b"1", b"2", b"3", b"4"]
        assert [type(each) for each in attachments] == [bytes] * 5
    assert value[0]["b"] == b"0"  # type: ignore[index]


def test_strided_views_are_copied_in_order() -> None:
    assert STRICT.dumps_binary([memoryview(b"abcdef")[::-2]])[1] == [b"fdb"]


def test_deconstructing_copies_only_where_there_is_binary() -> None:
    clean = {"a": [1, (2,)]}
    value = [clean, [b"x"]]
    copy = deconstruct(value, [])
    assert copy[0] is clean
    assert value == [clean, [b"x"]]
    assert deconstruct(clean, []) is clean


@pytest.mark.parametrize("make", [circle, tower])
def test_deconstructing_ends_where_the_stack_does(make: Callable[[], Any]) -> None:
    with pytest.raises(LocalProtocolError, match="contains itself"):
        StrictJson(dumps=json.dumps).dumps(make())


def test_what_foreign_dumps_raises_is_local() -> None:
    def dumps(value: Any) -> str:
        raise KeyError("no")

    for write in (StrictJson(dumps=dumps).dumps, StrictJson(dumps=dumps).dumps_binary):
        with pytest.raises(LocalProtocolError, match="given dumps failed"):
            write([])


def test_foreign_dumps_must_return_text() -> None:
    with pytest.raises(LocalProtocolError, match="returned bytes, not str"):
        StrictJson(dumps=lambda value: b"[]").dumps([])  # type: ignore[arg-type,return-value]
