"""The rows of the table in ``docs/differences.md``: packets that Node.js reads otherwise, each with what falls in it.

A predicate looks at the message, at both answers and at our error's text, and is as narrow as it can be: whatever falls
in no row is a fault of the codec, or of the table.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sioproto.socketio.packet import Packet

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(slots=True)
class Step:
    """What became of one message, or one packet of a payload: a result, an error, or neither where more has to come."""

    result: Any = None
    error: str | None = None


@dataclass(slots=True)
class Difference:
    """A message that was read in two ways. ``header`` is the text message that it, an attachment, belongs to."""

    kind: str
    message: Any
    header: str
    ours: Step
    theirs: Step


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values are the same: numbers by their exact value, be they ``int`` or ``float``."""
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return ours is theirs
    if isinstance(ours, int | float):
        return isinstance(theirs, int | float) and ours == theirs
    if isinstance(ours, list | tuple):
        return (
            isinstance(theirs, list | tuple)
            and len(ours) == len(theirs)
            and all(same(one, other) for one, other in zip(ours, theirs, strict=True))
        )
    if isinstance(ours, dict):
        return (
            isinstance(theirs, dict)
            and ours.keys() == theirs.keys()
            and all(same(each, theirs[key]) for key, each in ours.items())
        )
    if isinstance(ours, Packet):
        return isinstance(theirs, Packet) and same(fields(ours), fields(theirs))
    return type(ours) is type(theirs) and ours == theirs


def fields(packet: Packet) -> list[Any]:
    return [int(packet.type), packet.namespace, packet.data, packet.id]


def agree(ours: Step, theirs: Step) -> bool:
    if ours.error is not None or theirs.error is not None:
        return ours.error is not None and theirs.error is not None
    return same(ours.result, theirs.result)


SPACES = "\t\n\x0b\x0c\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
"""What JavaScript takes off a text before it reads a number, of which none is left in an empty one: that is 0."""


@dataclass(slots=True)
class Header:
    """The parts of a packet's text as socket.io-parser cuts it."""

    type: str
    count: str
    id: str
    payload: str

    @classmethod
    def of(cls, text: str) -> Header:
        count, at = "", 1
        if text[:1] in ("5", "6"):
            count = text[1:].partition("-")[0]
            at = 2 + len(count)
        if text[at : at + 1] == "/":
            end = text.find(",", at)
            at = len(text) if end < 0 else end + 1
        rest = text[at:].lstrip("0123456789" + SPACES)
        return cls(text[:1], count, text[at : len(text) - len(rest)], rest)


def accepted(found: Difference, *errors: str) -> bool:
    """Whether they take what we refuse, with one of these errors."""
    return found.theirs.error is None and found.ours.error in errors


def spaces(found: Difference) -> bool:
    header = Header.of(found.header)
    ours, theirs = found.ours.result, found.theirs.result
    if isinstance(ours, Packet) and isinstance(theirs, Packet):
        # Nothing but an id that is there for them, and not for us.
        blank = ours.id is None and header.id != "" and header.id.strip(SPACES) == ""
        return blank and same(replace(ours, id=0, data=rounded(ours.data)), theirs)
    where = {
        "unknown packet type": header.type,
        "illegal attachments": header.count if isinstance(found.message, str) else "",
        "invalid acknowledgement id": header.id,
        "acknowledgement without id": header.id,
        "invalid payload": header.id if header.type in tuple("014") else "",
        "invalid payload: invalid JSON": header.id if header.type in tuple("014") else "",
    }
    return accepted(found, *where) and any(each in SPACES for each in where[found.ours.error or ""])


def other_notation(found: Difference) -> bool:
    header = Header.of(found.header)
    return (
        isinstance(found.message, str)
        and accepted(found, "illegal attachments")
        and re.fullmatch("[0-9]{1,2}", header.count) is None
    )


def no_payload(found: Difference) -> bool:
    header = Header.of(found.header)
    return (
        accepted(found, "invalid payload", "invalid payload: invalid JSON")
        and header.type in tuple("23456")
        and header.payload == ""
    )


def id_elsewhere(found: Difference) -> bool:
    header = Header.of(found.header)
    return (
        accepted(found, "invalid payload", "invalid payload: invalid JSON")
        and header.type in tuple("014")
        and header.id.strip(SPACES).isdigit()
    )


def long_id(found: Difference) -> bool:
    digits = Header.of(found.header).id.strip(SPACES)
    return accepted(found, "invalid acknowledgement id") and digits.isdigit() and len(digits) > 15


def fractional_name(found: Difference) -> bool:
    header = Header.of(found.header)
    return (
        accepted(found, "invalid payload")
        and header.type in tuple("25")
        and bool(header.payload)
        and isinstance(json.loads(header.payload)[0], float)
    )


def rounded_integers(found: Difference) -> bool:
    ours = found.ours.result
    return (
        isinstance(ours, Packet)
        and not same(ours, replace(ours, data=rounded(ours.data)))
        and same(replace(ours, data=rounded(ours.data)), found.theirs.result)
    )


def rounded(value: Any) -> Any:
    """Returns a value with the numbers that JavaScript has for its integers."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return float("inf") if value > 0 else float("-inf")
    if isinstance(value, list):
        return [rounded(each) for each in value]
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return value


def overflow(found: Difference) -> bool:
    payload = Header.of(found.header).payload
    if not payload or not accepted(found, "invalid payload: invalid JSON"):
        return False
    numbers: list[float] = []

    def note(digits: str) -> float:
        numbers.append(float(digits))
        return numbers[-1]

    json.loads(payload, parse_int=note, parse_float=note, parse_constant=str)
    return any(number - number != 0 for number in numbers)


def fractional_number(found: Difference) -> bool:
    return (
        isinstance(found.message, bytes)
        and accepted(found, "illegal attachments")
        and re.search(r'"num":[0-9]+[.e]', found.header) is not None
    )


def lost_key(found: Difference) -> bool:
    """What they write lacks a key that they were given."""
    return (
        found.kind == "packet"
        and len(found.message) > 1
        and isinstance(found.ours.result, Packet)
        and same(without_proto(found.ours.result.data), without_proto(found.theirs.result.data))
        and not same(found.ours.result.data, without_proto(found.ours.result.data))
    )


def without_proto(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_proto(each) for key, each in value.items() if key != "__proto__"}
    return [without_proto(each) for each in value] if isinstance(value, list) else value


def refusal(kinds: str, *errors: str) -> Callable[[Difference], bool]:
    """Returns the predicate of a row whose errors are for nothing else."""
    return lambda found: found.kind in kinds.split() and accepted(found, *errors)


ROWS: dict[str, Callable[[Difference], bool]] = {
    "spaces in place of a type, or in a number of attachments or an id": spaces,
    "a number of attachments in another notation": other_notation,
    "an event, acknowledgement or connect error without a payload": no_payload,
    "an acknowledgement without an id": refusal("stream", "acknowledgement without id"),
    "an id where none belongs": id_elsewhere,
    "acknowledgement ids above 15 digits": long_id,
    "event names with a fraction or an exponent": fractional_name,
    "integers that a double cannot hold": rounded_integers,
    "numbers that overflow": overflow,
    "deep nesting": refusal("stream", "invalid payload: JSON nests too deep"),
    "many arrays and objects": refusal("stream", "invalid payload: JSON holds too many arrays and objects"),
    "controls in the name of a namespace": refusal("stream", "invalid namespace name"),
    "long names, many arguments": refusal(
        "stream", "namespace name too long", "event name too long", "too many arguments"
    ),
    "a placeholder's number with a fraction or an exponent": fractional_number,
    "large attachments, many references to one": refusal(
        "stream", "attachments too large", "too many references to attachments"
    ),
    "a body that is not UTF-8": refusal("payload", "payload is not valid UTF-8"),
    "base64 that is not canonical": refusal("payload message", "invalid base64"),
    "many packets other than messages in a payload": refusal(
        "payload", "too many packets other than messages in one payload"
    ),
    "a key `__proto__` beside binary, when writing": lost_key,
}
