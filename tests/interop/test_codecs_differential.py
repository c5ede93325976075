"""What our codecs and those of Node.js make of the same packets, right and wrong ones, reading and writing.

The answers are the same but for the rows of one table in ``docs/differences.md``. Each row has a predicate in
``codec_rows``; a difference that falls in none is a fault, of the codec or of the table, and so is a row in which
nothing falls. One process of Node.js answers everything; what is generated comes from a fixed seed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from sioproto.engineio.packet import PacketType as EnginePacketType
from sioproto.engineio.payload import decode_packet, decode_payload, encode_payload
from sioproto.errors import RemoteProtocolError
from sioproto.frame import Frame
from sioproto.socketio.packet import Packet, PacketType
from sioproto.socketio.parser import ParseError, Parser
from tests.interop import codec_cases as cases
from tests.interop.codec_cases import ACK, CONNECT, DISCONNECT, EVENT, placeholder
from tests.interop.codec_rows import ROWS, Difference, Step, agree, rounded, same
from tests.interop.stock import to_json
from tests.socketio.test_parser import EXAMPLES, REFUSED, TAKEN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.peers import Node

PAGE = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
SECTION = "## Packets that Node.js reads otherwise"
SEED = "codecs"
SPELLED, MUTATED, WRITTEN, PAYLOADS, MESSAGES = 2500, 1500, 800, 800, 400

PARSER = Parser()
CONTROL_PACKETS = 100
"""As ``EngineConfig.max_control_packets`` has it."""


# Answers


def from_node(value: dict[str, Any]) -> Any:
    """Makes bytes, and numbers that JSON does not have, of what codecs.mjs writes for them."""
    if "$number" in value:
        return float(value["$number"])
    return bytes_of(value["$bytes"]) if "$bytes" in value else value


def bytes_of(text: str) -> bytes:
    decoded = decode_packet("b" + text)
    assert isinstance(decoded, bytes)
    return decoded


# What is asked


@dataclass(slots=True)
class Case:
    """A question to codecs.mjs: its key there, and what stands there. ``wanted`` is what was encoded to get it."""

    kind: str
    what: Any
    wanted: Packet | None = None


def all_cases() -> list[Case]:
    chance = Random(SEED)
    streams = [*CORPUS, *(cases.spelled(chance) for _ in range(SPELLED))]
    found = [Case("stream", each) for each in streams]
    for _ in range(MUTATED):
        messages = sent(cases.packet(chance, large=True)) if chance.random() < 0.5 else chance.choice(CORPUS[:40])
        found.append(Case("stream", cases.mutated(chance, messages)))
    for _ in range(WRITTEN):
        packet = cases.packet(chance, large=True)
        found.append(Case("stream", sent(packet), packet))
        packet = cases.packet(chance)
        what = {"type": packet.type, "nsp": packet.namespace, "data": packet.data, "id": packet.id}
        found.append(Case("packet", {key: each for key, each in what.items() if each is not None}, packet))
    found += [Case("payload", each) for each in (*BODIES, *(cases.body(chance) for _ in range(PAYLOADS)))]
    found += [Case("message", cases.engine_packet(chance)) for _ in range(MESSAGES)]
    found += [Case("frames", cases.engine_packets(chance)) for _ in range(MESSAGES)]
    return found


def alone(messages: Iterable[str]) -> list[list[str | bytes]]:
    return [[message] for message in messages]


def attached(values: Iterable[str]) -> list[list[str | bytes]]:
    return [[f'51-["e",{each}]', b"x"] for each in values]


CORPUS: list[list[str | bytes]] = [
    *(messages for messages, _ in EXAMPLES),
    *alone(message for message, _ in [*TAKEN, *REFUSED.values()]),
    [f'51-["e",{placeholder()}]', '2["e"]'],
    [b"x"],
    [f'51-["e",{placeholder()}]', b"x", b"y"],
    [f'52-["e",{placeholder(1)},[{placeholder()}],{placeholder(1)}]', b"a", b""],
    *attached(placeholder(number) for number in (1, -1, "0.0", "0.5", "1e0", '"0"', "true", "null")),
    *attached(",".join([placeholder()] * each) for each in (10, 11)),
    [f'51-["e",{placeholder()},{placeholder()},{placeholder()}]', bytes(400_000)],
    ['53-["e"]', bytes(400_000), bytes(400_000), bytes(400_000)],
    ['2["e",' + ",".join(map(str, cases.LARGE)) + "]"],
    ["0", '2["a"]', f"61-1[{placeholder()}]", b"x", "3/a,2[]", "1", '4"no"'],
]

BODIES: list[bytes] = [
    "4\u20ac\U0001f600\x1ebAQIDBA==\x1e2".encode(),
    b"\x1e".join([b"3"] * CONTROL_PACKETS),
    b"\x1e".join([b"3", b"4", b"bAA=="] * (CONTROL_PACKETS + 1)),
    b"4\xff",
    b"bAB==",
]


def sent(packet: Packet) -> list[str | bytes]:
    """Returns the messages of a packet as we send it."""
    kind, namespace, data = packet.type, packet.namespace, packet.data
    if kind is EVENT:
        frames = PARSER.encode_event(namespace, data, packet.id)
    elif kind is ACK:
        assert packet.id is not None
        frames = PARSER.encode_ack(namespace, data, packet.id)
    elif kind is CONNECT:
        frames = PARSER.encode_connect(namespace, data)
    elif kind is DISCONNECT:
        frames = PARSER.encode_disconnect(namespace)
    else:
        frames = PARSER.encode_connect_error(namespace, data)
    return [frame.data[1:] if isinstance(frame.data, str) else frame.data for frame in frames]


# What we answer


def our_stream(messages: Iterable[str | bytes]) -> list[Step]:
    decoder = PARSER.decoder()
    found = []
    for message in messages:
        try:
            found.append(Step(decoder.feed(message)))
        except ParseError as error:
            found.append(Step(error=str(error)))
            break
    return found


def our_payload(body: bytes) -> list[Step]:
    found: list[Step] = []
    try:
        found.extend(Step(typed(packet)) for packet in decode_payload(body, CONTROL_PACKETS))
    except RemoteProtocolError as error:
        found.append(Step(error=str(error)))
    return found


def our_message(message: str) -> Step:
    try:
        return Step(typed(decode_packet(message)))
    except RemoteProtocolError as error:
        return Step(error=str(error))


def typed(packet: str | bytes) -> list[str | bytes]:
    """Returns a packet as engine.io-parser has it."""
    return ["message", packet] if isinstance(packet, bytes) else [NAMES[packet[0]], packet[1:]]


NAMES = {getattr(EnginePacketType, name): name.lower() for name in vars(EnginePacketType) if name.isupper()}
DIGITS = {name: digit for digit, name in NAMES.items()}


# What they answer


def their_step(answer: Any) -> Step:
    """Reads an answer of theirs; where there is no difference in what it means, it becomes as ours is."""
    if isinstance(answer, list):
        return Step(answer)
    if "error" in answer:
        return Step(error=str(answer["error"]))
    if "packet" not in answer:
        return Step()
    packet = answer["packet"]
    kind = PacketType(int(packet["type"]))
    # A CONNECT without authentication is an empty object to handlers of both servers.
    data = packet.get("data", {} if kind is CONNECT else None)
    return Step(Packet(kind, packet["nsp"], data, packet.get("id")))


# The comparison


@pytest.fixture(scope="module")
def answered(node: Node) -> list[tuple[Case, Any]]:
    """Every case, with the answer of Node.js."""
    asked = all_cases()
    lines = [json.dumps({case.kind: case.what}, default=to_json) for case in asked]
    said = node.run("codecs.mjs", stdin="".join(line + "\n" for line in lines), timeout=120).stdout
    read = json.JSONDecoder(object_hook=from_node, parse_int=float).decode
    return [(case, read(answer)) for case, answer in zip(asked, said.split("\n")[:-1], strict=True)]


@pytest.fixture(scope="module")
def differences(answered: list[tuple[Case, Any]]) -> list[Difference]:
    """The first thing in each case that is read in two ways, or that is not what was written."""
    return [found for case, answer in answered for found in differences_of(case, answer)]


def differences_of(case: Case, answer: Any) -> list[Difference]:
    what = case.what
    if case.kind == "frames":
        return []
    messages = [what]
    if case.kind == "stream":
        ours, theirs, messages = our_stream(what), [their_step(each) for each in answer], what
    elif case.kind == "payload":
        ours, theirs = our_payload(what), [their_step(each) for each in answer]
        messages = [what] * len(theirs)
    elif case.kind == "message":
        ours, theirs = [our_message(what)], [their_step(answer)]
    else:
        # What they wrote, read by us, against what they were given.
        ours, theirs, messages = [Step(case.wanted)], [our_stream(answer)[-1]], [answer]
    header = ""
    for message, one, other in zip(messages, ours, theirs, strict=False):
        header = message if isinstance(message, str) else header
        if not agree(one, other):
            return [Difference(case.kind, message, header, one, other)]
    # Both stopped at the same place, or they would have disagreed there.
    assert len(ours) == len(theirs), what
    return []


def rows_of(found: Difference) -> list[str]:
    return [name for name, falls in ROWS.items() if falls(found)]


def test_every_difference_is_in_the_table(differences: list[Difference]) -> None:
    assert [found for found in differences if not rows_of(found)] == []


def test_we_take_nothing_that_they_refuse(differences: list[Difference]) -> None:
    assert [found for found in differences if found.theirs.error is not None] == []


def test_every_row_of_the_table_is_needed(differences: list[Difference]) -> None:
    rows = [rows_of(found) for found in differences]
    needed = Counter(names[0] for names in rows if len(names) == 1)
    assert [name for name in ROWS if not needed[name]] == []


def test_the_table_has_these_rows() -> None:
    _, _, section = PAGE.read_text(encoding="utf-8").partition(f"{SECTION}\n")
    section = section.partition("\n## ")[0]
    rows = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    assert rows[2:] == list(ROWS)


def test_most_of_what_is_compared_is_the_same(answered: list[tuple[Case, Any]], differences: list[Difference]) -> None:
    """The comparison is of something: packets that both take, and packets that both refuse, each in great number."""
    taken = refused = 0
    for case, _ in answered:
        if case.kind == "stream":
            last = our_stream(case.what)[-1]
            taken += last.error is None
            refused += last.error is not None
    assert min(taken, refused) > 1000
    assert len(differences) < len(answered) / 4


def test_what_we_write_they_read(answered: list[tuple[Case, Any]]) -> None:
    for case, answer in answered:
        if case.kind == "stream" and case.wanted is not None:
            *before, last = map(their_step, answer)
            if len(case.what) > 11:  # ten attachments are their limit, and ours
                assert before == []
                assert last.error == "too many attachments"
                continue
            assert before == [Step()] * (len(case.what) - 1)
            assert same(replace(case.wanted, data=rounded(case.wanted.data)), last.result), case.what


def test_what_they_write_we_read_and_write_alike(answered: list[tuple[Case, Any]]) -> None:
    alike = 0
    for case, answer in answered:
        if case.kind == "packet" and case.wanted is not None and not differences_of(case, answer):
            assert [step.error for step in our_stream(answer)] == [None] * len(answer)
            if has_one_spelling(case.wanted.data):
                assert sent(case.wanted) == answer
                alike += 1
    assert alike > 100


def has_one_spelling(value: Any) -> bool:
    """Whether a value has no floats, which each language prints in its own way, and no keys that order themselves."""
    if isinstance(value, dict):
        return not any(key.isdigit() for key in value) and all(map(has_one_spelling, value.values()))
    if isinstance(value, list):
        return all(map(has_one_spelling, value))
    return not isinstance(value, float)


def test_both_write_the_same_payloads(answered: list[tuple[Case, Any]]) -> None:
    for case, answer in answered:
        if case.kind == "frames":
            frames = [Frame(data if isinstance(data, bytes) else DIGITS[name] + data) for name, data in case.what]
            assert encode_payload(frames).decode() == answer
