"""Socket.IO on asyncio: ``Server``, ``Client`` and ``connect``; uvloop works unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    import sioproto_wire as _wire
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'sioproto_asyncio needs {error.name}, which comes with: pip install "sioproto[asyncio]"', name=error.name
    ) from None

from sioproto_asyncio.runtime import AsyncioDriver
from sioproto_host.asynchronous import AsyncClient, AsyncServer
from sioproto_wire import PerMessageDeflate

if TYPE_CHECKING:
    from typing import Unpack

    from sioproto_host.options import ClientOptions, Options

__all__ = ["Client", "PerMessageDeflate", "Server", "connect"]


class Server(AsyncServer):
    """A Socket.IO server on asyncio; ``Options`` lists what it takes. See ``sioproto.app.Server`` for handlers."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(AsyncioDriver, options)


class Client(AsyncClient):
    """A Socket.IO client on asyncio; ``ClientOptions`` lists what it takes. See ``sioproto.app.Client`` for handlers.

    ``async with Client(url) as client:`` connects, or raises ``ConnectError``; the end of the block closes. While the
    block runs, a lost connection comes back by itself.
    """

    def __init__(self, url: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__(AsyncioDriver, url, options)


connect = Client
"""``async with connect(url) as client:`` reads well."""

del _wire
