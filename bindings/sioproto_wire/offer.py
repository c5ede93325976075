"""A client's half of the opening handshake of WebSocket: what it asks for, and whether the answer grants that, and no
more (RFC 6455, 4.1).

The rule not to be broken: whatever the server claims to have agreed on was offered. Anything else fails the handshake,
because from there on the two sides would read the same bytes differently.
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING

from wsproto.utilities import generate_accept_token

from sioproto.errors import LocalProtocolError
from sioproto_wire.answers import AnswerError
from sioproto_wire.deflate import OFFER, agree
from sioproto_wire.http import TOKEN, elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sioproto_wire.answers import AnswerHead
    from sioproto_wire.config import PerMessageDeflate
    from sioproto_wire.deflate import Deflater


class Offer:
    """One opening handshake; ``chance`` are the 16 bytes that its key is made of.

    Raises ``LocalProtocolError`` for subprotocols that cannot be offered.
    """

    __slots__ = ("_deflate", "_key", "_subprotocols")

    def __init__(self, chance: bytes, subprotocols: Sequence[str], deflate: PerMessageDeflate | None) -> None:
        for name in subprotocols:
            if TOKEN.fullmatch(name) is None:
                raise LocalProtocolError(f"{name!r} is no name for a subprotocol")
        self._key = b64encode(chance)
        self._subprotocols = tuple(subprotocols)
        self._deflate = deflate

    @property
    def lines(self) -> list[str]:
        """The lines of the request's head that make the offer."""
        lines = ["connection: Upgrade", "upgrade: websocket", "sec-websocket-version: 13"]
        lines.append(f"sec-websocket-key: {self._key.decode('ascii')}")
        if self._subprotocols:
            lines.append(f"sec-websocket-protocol: {', '.join(self._subprotocols)}")
        if self._deflate is not None:
            lines.append(f"sec-websocket-extensions: {OFFER}")
        return lines

    def judge(self, head: AnswerHead) -> Deflater | None:
        """Judges a 101; returns how messages to the server may be compressed. Raises ``AnswerError``."""
        watched = head.watched
        if head.old:
            raise AnswerError("the WebSocket handshake is malformed")
        # The list of protocols may have no other, or it would not be clear which one follows (RFC 9110, 7.8).
        if elements(watched.get("upgrade", ())) != ["websocket"]:
            raise AnswerError("the server changes to another protocol than WebSocket")
        if "upgrade" not in elements(watched.get("connection", ())):
            raise AnswerError("the WebSocket handshake is malformed")
        if watched.get("sec-websocket-accept") != [generate_accept_token(self._key).decode("ascii")]:
            raise AnswerError("the WebSocket handshake is not answered by whoever read it")
        chosen = watched.get("sec-websocket-protocol", [])
        if len(chosen) > 1 or not set(chosen) <= set(self._subprotocols):
            raise AnswerError("the server chose a subprotocol that was not offered")
        extensions = ",".join(watched.get("sec-websocket-extensions", ()))
        if not extensions.strip(" \t,"):
            return None
        deflater = None if self._deflate is None else agree(extensions, self._deflate)
        if deflater is None:
            raise AnswerError("the server chose an extension that was not offered")
        return deflater
