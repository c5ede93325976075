"""Socket.IO on plain threads and blocking calls: ``Server``, ``Client`` and ``connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from sioproto_blocking.runtime import BlockingDriver
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'sioproto_blocking needs {error.name}, which comes with: pip install "sioproto[blocking]"', name=error.name
    ) from None

from sioproto_host.blocking import BlockingClient, BlockingServer
from sioproto_wire import PerMessageDeflate

if TYPE_CHECKING:
    from typing import Unpack

    from sioproto_host.blocking import BlockingClientOptions, BlockingOptions

__all__ = ["Client", "PerMessageDeflate", "Server", "connect"]


class Server(BlockingServer):
    """A Socket.IO server on threads; ``BlockingOptions`` lists what it takes. See ``sioproto.app.Server`` for handlers.

    Everything may be called from any thread. Handlers run in at most ``threads`` threads (32), those of one socket one
    after another, and may block: ``socket.emit_with_ack("ask").wait(5)``. One that does occupies its thread meanwhile;
    an ``async def`` handler that awaits what is ours occupies none. Observers, ``on_error``, ``new_namespace`` and
    callbacks of a ``Pending`` hold everybody up, so they have to be short and may not wait.

    Threads do not survive a fork: begin to serve in the process that is to go on.
    """

    def __init__(self, **options: Unpack[BlockingOptions]) -> None:
        super().__init__(BlockingDriver, options)


class Client(BlockingClient):
    """A Socket.IO client on threads; ``BlockingClientOptions`` lists what it takes. See ``sioproto.app.Client`` for
    handlers, and ``Server`` for how they run.

    ``with Client(url) as client:`` connects, or raises ``ConnectError``; the end of the block closes. While the block
    runs, a lost connection comes back by itself.
    """

    def __init__(self, url: str, **options: Unpack[BlockingClientOptions]) -> None:
        super().__init__(BlockingDriver, url, options)


connect = Client
"""``with connect(url) as client:`` reads well."""
