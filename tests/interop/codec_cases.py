"""Packets for comparing codecs: what a peer may send, in its right and in its wrong spellings, and data to be encoded.

Everything is drawn from the generator that is handed in, so one seed always gives the same cases.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from sioproto.socketio.packet import Packet, PacketType

if TYPE_CHECKING:
    from random import Random

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = list(PacketType)[:5]

SAFE = 2**53
"""Up to here every integer is a number of JavaScript."""


def placeholder(number: object = 0) -> str:
    return f'{{"_placeholder":true,"num":{number}}}'


# Spelled by hand, part by part: each part has right and wrong choices, and all go with all.

TYPES = [*"2222233445566600117", " ", "x", "\u00a0", "\u0662"]
COUNTS = [*["1-"] * 6, "2-", "10-", "11-", "0-", "-", "", "01-", "001-", " 1-", "1 -", "1\ufeff-", "1e0-", "0x1-"]
COUNTS += ["+1-", "1.0-", "1.5-", "-1-", "\u0661-", "1", "1_0-", "Infinity-", "1n-"]
NAMESPACES = ["", "", "", "", "/", "/,", "/a,", "/a", "/a?b=c,", "/é\U0001f600,", "/a b,", "/\x00,", "/a\x9f,", "/[1],"]
NAMESPACES += ["/" + "n" * 255 + ",", "/" + "n" * 256 + ","]
IDS = ["", "", "", "0", "7", "12", "007", "9" * 15, "9" * 16, "0" * 16, " ", " 1", "1 ", "1 2", "\t", "\u00a0"]
IDS += ["1\u2003", "-1", "+1", "1.5", "1e3", "0x1", "\u0663", "\u00b2", "1_0", "9" * 400]
NAMES = [*['"e"'] * 8, '""', "5", "-3", "1.5", "1.0", "1e2", "1e400", "null", "true", "[]", "{}", '"connect"']
NAMES += ['"\\u0063onnect"', '"disconnecting"', '"error"', '"' + "e" * 1025 + '"', "12345678901234567890"]
NAMES += [placeholder()]
VALUES = ["1", "-0", "0.5", "1E+2", "9007199254740993", "9" * 309, "1" + "0" * 309, "1e400", "-1e400", "1e-400", "null"]
VALUES += ["true", "NaN", "Infinity", "01", "-", ".5", "5.", "+1", "0x10", "tru", "'a'", "1 2", "\u0661", "{}", "[]"]
VALUES += ['"é\\n\\u00e9"', '"\\ud83d\\ude00"', '"\\ud800"', '"\n"', '"\x7f\u2028"', '"\\x41"', '"', '"\\u00"', "[,]"]
VALUES += ['{"a":1,}', '{"a":1,"a":[2]}', '{"__proto__":[1]}', '{"":{"toJSON":1}}', "{1:2}", '{"a" : [ {} , "b" ] }']
VALUES += [placeholder(each) for each in (0, 0, 1, -1, "0.0", "0.5", "1e0", '"0"', "true", "null", "[]", "-0", "1e400")]
VALUES += ['{"_placeholder":true}', '{"_placeholder":1,"num":0}', '{"num":0,"_placeholder":true,"more":1}']
VALUES += ['{"_placeholder":false,"_placeholder":true,"num":0}', f'{{"a":[{placeholder()}]}}', "[" * 150 + "]" * 150]
VALUES += [",".join([placeholder()] * 11)]
PAYLOADS = ["", "", " ", "[]", "{}", "null", '"no"', "1", '{"a":1}', '{"a":[1.5,"b"]}', '{"a":1e400}', "[", "{", "]"]
PAYLOADS += ["\ufeff[]", '["e"', '["e"]x', '["e"]["e"]', '["e"] ', ' \t["e"]\n', "['e']", '["e",]', "false", '"']
PAYLOADS += ['["e"' + ",1" * 1001 + "]"]
BINARIES = [b"", b"\x00", b"\xff\xfe", b"binary"]


def spelled(chance: Random) -> list[str | bytes]:
    """Returns a session of one packet, put together from parts that may each be wrong."""
    kind = chance.choice(TYPES)
    count = chance.choice(COUNTS) if kind in "56" else ""
    if kind in "01" or chance.random() < 0.2:
        payload = chance.choice(PAYLOADS)
    else:
        names = [chance.choice(NAMES)] if kind in "25" or chance.random() < 0.1 else []
        payload = f"[{','.join([*names, *(chance.choice(VALUES) for _ in range(chance.randrange(3)))])}]"
    message = kind + count + chance.choice(NAMESPACES) + chance.choice(IDS) + payload
    return [
        message,
        *(chance.choice(BINARIES) for _ in range(chance.randrange(3) if kind in "56" else chance.random() < 0.05)),
    ]


# Changed here and there

PIECES = [*'0123456789-+.,/"[]{}: _eE\\tn', "\u00a0", "\u0661", "é", "\U0001f600", "\x1e", "\\ud800", "1e400", "2["]
PIECES += [placeholder()]


def mutated(chance: Random, messages: list[str | bytes]) -> list[str | bytes]:
    """Returns a session in which a few characters or messages were changed, lost, doubled or put in."""
    found = list(messages)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(found))
        message = found[at]
        kind = chance.randrange(8)
        if kind == 0:
            found.insert(at, chance.choice(found))
        elif kind == 1 and len(found) > 1:
            del found[at]
        elif isinstance(message, str):
            found[at] = mutated_text(chance, message, PIECES)
    return found


def mutated_text(chance: Random, text: str, pieces: list[str]) -> str:
    """Returns a text with a change, mostly near its beginning, where the header is."""
    start = chance.randrange(min(len(text), 12) + 1) if chance.random() < 0.5 else chance.randrange(len(text) + 1)
    end = start + chance.randrange(3)
    put = chance.choice([*pieces, "", text[start:end] * 2])
    return text[:start] + put + text[end:]


# Valid packets

TEXTS = ["", "a", "é", "\U0001f600", "\ud800", "\udfff\ud800", '"', "\\", "\\ud800", "\x00\x1f", "\x7f\u2028", "\x1e"]
TEXTS += ["0", "12", "__proto__", "constructor", "toJSON", "length", "num", "hello world", "\ufeff"]
NUMBERS: list[int | float] = [0, 1, -1, 7, SAFE, -SAFE, 0.5, -0.0, 1.0, 1e16, 1e21, 1e-7, 5e-324, 1.797e308]
LARGE = [SAFE + 1, 2**60, 10**21 + 1, 10**300, 10**309 - 1]


def value(chance: Random, depth: int = 3, *, large: bool = False) -> Any:
    """Returns something to send; ``large`` lets it have integers that are no numbers of JavaScript."""
    kind = chance.randrange(10 if depth else 7)
    if kind < 2:
        return chance.choice(TEXTS)
    if kind == 2:
        return chance.choice([*NUMBERS, *(LARGE if large else ())])
    if kind == 3:
        return chance.choice([chance.randint(-SAFE, SAFE), chance.uniform(-1e9, 1e9), chance.randint(-99, 99)])
    if kind == 4:
        return chance.choice([None, True, False])
    if kind < 7:
        return chance.randbytes(chance.randrange(5))
    if kind == 7:
        return [value(chance, depth - 1, large=large) for _ in range(chance.randrange(4))]
    return {key: value(chance, depth - 1, large=large) for key in chance.sample(TEXTS, chance.randrange(4))}


def without_binary(found: Any) -> Any:
    """Returns a copy with text in place of binary."""
    if isinstance(found, dict):
        return {key: without_binary(each) for key, each in found.items()}
    if isinstance(found, list):
        return [without_binary(each) for each in found]
    return found.hex() if isinstance(found, bytes) else found


def packet(chance: Random, *, large: bool = False) -> Packet:
    """Returns a valid packet of any type."""
    kind = chance.choice([CONNECT, DISCONNECT, CONNECT_ERROR, *[EVENT, ACK] * 4])
    namespace = chance.choice(["/", "/", "/a", "/é?x=1", '/a/b[0]"'])
    if kind is DISCONNECT:
        return Packet(kind, namespace)
    if kind is CONNECT or kind is CONNECT_ERROR:
        data = {key: without_binary(value(chance, large=large)) for key in chance.sample(TEXTS, chance.randrange(3))}
        return Packet(
            kind, namespace, chance.choice(TEXTS) if kind is CONNECT_ERROR and chance.random() < 0.3 else data
        )
    args = [value(chance, large=large) for _ in range(chance.randrange(4))]
    if kind is ACK:
        return Packet(kind, namespace, args, chance.choice([0, 1, 12, 10**15 - 1]))
    name: str | int = chance.choice(TEXTS) if chance.random() < 0.9 else chance.choice([0, 5, -3])
    return Packet(kind, namespace, [name, *args], chance.choice([None, None, 0, 12, 10**15 - 1]))


# Engine.IO

BASE64 = ["", "AA==", "AAA=", "AAAA", "/+8=", "_-8=", "AA", "AAA", "A", "AB==", "AA=", "AA== ", "AA\n==", "A=A="]
BASE64 += ["====", "é", "AA==AA=="]


def engine_packet(chance: Random) -> str:
    """Returns a packet of a payload, as a peer may spell it."""
    kind = chance.randrange(8)
    if kind == 0:
        return "b" + chance.choice(BASE64)
    if kind == 1:
        return "b" + b64encode(chance.randbytes(chance.randrange(6))).decode()
    if kind == 2:
        return chance.choice(["", "7", "x", " 4", "\u0664", "B", "\ufeff4", "\U0001f600", "4", "-1", "\x004"])
    return chance.choice("0123456444") + chance.choice(
        ["", "probe", "é\U0001f600", "\u2028", "{}", '2["e"]', " ", "b", "\x00"]
    )


def body(chance: Random) -> bytes:
    """Returns the body of a POST, sometimes with bytes that are no UTF-8."""
    data = "\x1e".join(engine_packet(chance) for _ in range(chance.choice([1, 1, 2, 3, 5]))).encode()
    if chance.random() < 0.1:
        at = chance.randrange(len(data) + 1)
        data = data[:at] + chance.choice([b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf0\x9f"]) + data[at:]
    return data


def engine_packets(chance: Random) -> list[tuple[str, str | bytes]]:
    """Returns what an Engine.IO server may send, as pairs of a type and data."""
    names = ["open", "close", "ping", "pong", "message", "message", "message", "noop"]
    found: list[tuple[str, str | bytes]] = []
    for _ in range(chance.randint(1, 5)):
        if chance.random() < 0.3:
            found.append(("message", chance.randbytes(chance.randrange(7))))
        else:
            found.append((chance.choice(names), chance.choice(["", "probe", "é\U0001f600", "\u2028\x00", '2["e"]'])))
    return found
