"""``socket.data`` with types: what an application keeps there, said once in a ``TypedDict``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, is_typeddict

from sioproto.errors import LocalProtocolError

if TYPE_CHECKING:
    from sioproto.socketio.remote import SocketLike

D = TypeVar("D", bound=Mapping[str, object])


def data_of(socket: SocketLike, kind: type[D]) -> D:
    """Returns ``socket.data``, the very dict, as a type checker is to see it.

    Nothing is checked at run time: that the dict holds what ``kind`` says is up to whoever fills it. Raises
    ``LocalProtocolError`` for a ``kind`` that is no ``TypedDict``.
    """
    if not is_typeddict(kind):
        raise LocalProtocolError(f"the data of a socket is described by a TypedDict, not by {kind!r}")
    data: Any = socket.data
    known: D = data
    return known
