"""What the bindings share: all of a server or client on a runtime that is not bytes and time.

``HostedServer`` and ``HostedClient`` take options by name, put a wire below the application and end both in order;
a ``Driver`` is what each runtime is derived from. ``AsyncServer`` and ``AsyncClient`` are those of event loops.
"""

from __future__ import annotations

try:
    import sioproto_wire as _wire
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'sioproto_host needs {error.name}, which comes with: pip install "sioproto[wire]"', name=error.name
    ) from None

from sioproto_host.asynchronous import AsyncClient, AsyncDriver, AsyncServer
from sioproto_host.driver import Call, Driver
from sioproto_host.hosted import Hosted, HostedClient, HostedServer, Route
from sioproto_host.options import ClientOptions, Listening, Options

__all__ = [
    "AsyncClient",
    "AsyncDriver",
    "AsyncServer",
    "Call",
    "ClientOptions",
    "Driver",
    "Hosted",
    "HostedClient",
    "HostedServer",
    "Listening",
    "Options",
    "Route",
]

del _wire
