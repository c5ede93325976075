"""Socket.IO on curio: ``Server``, ``Client`` and ``connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from sioproto_curio.runtime import CurioDriver
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'sioproto_curio needs {error.name}, which comes with: pip install "sioproto[curio]"', name=error.name
    ) from None

from sioproto_host import AsyncClient, AsyncServer
from sioproto_wire import PerMessageDeflate

if TYPE_CHECKING:
    from typing import Unpack

    from sioproto_host import ClientOptions, Options

__all__ = ["Client", "PerMessageDeflate", "Server", "connect"]


class Server(AsyncServer):
    """A Socket.IO server on curio; ``Options`` lists what it takes. See ``sioproto.app.Server`` for handlers."""

    def __init__(self, **options: Unpack[Options]) -> None:
        super().__init__(CurioDriver, options)


class Client(AsyncClient):
    """A Socket.IO client on curio; ``ClientOptions`` lists what it takes. See ``sioproto.app.Client`` for handlers.

    ``async with Client(url) as client:`` connects, or raises ``ConnectError``; the end of the block closes. While the
    block runs, a lost connection comes back by itself.
    """

    def __init__(self, url: str, **options: Unpack[ClientOptions]) -> None:
        super().__init__(CurioDriver, url, options)


connect = Client
"""``async with connect(url) as client:`` reads well."""
