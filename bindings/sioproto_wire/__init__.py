"""The connections of a server and of a client, without I/O: bytes in, bytes out, deadlines.

h11 and wsproto read what the peer says, the core decides what it means; a binding moves the bytes and the time. Nothing
here opens a socket or starts a task, so every binding drives the same ``ServerWire`` and ``ClientWire``.
"""

from __future__ import annotations

try:
    import h11 as _h11
    import wsproto as _wsproto
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'sioproto_wire needs {error.name}, which comes with: pip install "sioproto[wire]"', name=error.name
    ) from None

from sioproto_wire.client import ClientCore, ClientWire
from sioproto_wire.config import ClientWireConfig, PerMessageDeflate, WireConfig
from sioproto_wire.connection import Connection
from sioproto_wire.environment import real_environment
from sioproto_wire.outgoing import ClientConnection
from sioproto_wire.server import Core, ServerWire

__all__ = [
    "ClientConnection",
    "ClientCore",
    "ClientWire",
    "ClientWireConfig",
    "Connection",
    "Core",
    "PerMessageDeflate",
    "ServerWire",
    "WireConfig",
    "real_environment",
]

del _h11, _wsproto
