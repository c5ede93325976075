"""Socket.IO servers on asyncio: ``Server`` with ``run``, ``serve``, ``listening`` and ``close``; uvloop works
unchanged.
"""

from __future__ import annotations

try:
    import sioproto_wire as _wire
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'sioproto_asyncio needs {error.name}, which comes with: pip install "sioproto[asyncio]"', name=error.name
    ) from None

from sioproto_asyncio.server import Server
from sioproto_wire import PerMessageDeflate

__all__ = ["PerMessageDeflate", "Server"]

del _wire
