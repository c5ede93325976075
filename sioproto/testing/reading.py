"""Bytes of a connection in a form that a person can read, for the transcript; nothing depends on them."""

from __future__ import annotations

HEADS = (b"GET ", b"POST", b"HTTP")
CLOSE, PING, PONG = 8, 9, 10
NAMES = {CLOSE: "close", PING: "ping", PONG: "pong"}


def describe(data: bytes) -> list[str | bytes]:
    """Returns the first line and the body of an HTTP message, the messages in WebSocket frames, or the bytes."""
    if data[:4] in HEADS:
        return describe_http(data)
    return describe_frames(data) or [data]


def describe_http(data: bytes) -> list[str | bytes]:
    """Returns the first line and the packets in the body. What follows an answer with status 101 are frames."""
    head, _, body = data.partition(b"\r\n\r\n")
    line = head.partition(b"\r\n")[0].decode("latin-1")
    shown: list[str | bytes] = [line.removeprefix("HTTP/1.1 ").removesuffix(" HTTP/1.1")]
    if body and line.startswith("HTTP/1.1 101"):
        return shown + (describe_frames(body) or [body])
    if body:
        shown += body.decode("utf-8", "replace").split("\x1e")
    return shown


def describe_frames(data: bytes) -> list[str | bytes]:
    """Returns the messages in whole, uncompressed frames; none at all where there is anything else."""
    found: list[str | bytes] = []
    position = 0
    while position < len(data):
        if len(data) < position + 2:
            return []
        first, second = data[position], data[position + 1]
        opcode, size = first & 15, second & 127
        position += 2
        if size > 125:
            width = 2 if size == 126 else 8
            size = int.from_bytes(data[position : position + width], "big")
            position += width
        mask = b""
        if second & 128:
            mask = data[position : position + 4]
            position += 4
        payload = data[position : position + size]
        position += size
        if first & 0xF0 != 0x80 or position > len(data) or opcode not in (1, 2, *NAMES):
            return []
        if mask:
            payload = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
        found.append(describe_frame(opcode, payload))
    return found


def describe_frame(opcode: int, payload: bytes) -> str | bytes:
    """Returns what one frame says."""
    if opcode == 2:
        return payload
    text = payload.decode("utf-8", "replace")
    if opcode == 1:
        return text
    if opcode == CLOSE:
        return f"(close {int.from_bytes(payload[:2], 'big')})" if payload else "(close)"
    return f"({NAMES[opcode]} {text})".replace(" )", ")")
