"""The runtime port: all that the app floor needs from a binding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sioproto.pending import Waiting

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sioproto.environment import Environment


class Runtime(Waiting, Protocol):
    """How user code is run, and how the binding learns that output is ready.

    ``park`` and ``block`` (see ``Waiting``) are how a caller waits for a ``Pending``.
    """

    environment: Environment

    inline: bool
    """Whether a plain ``def`` handler may be called right where its event is taken from the core."""

    def wake(self, urgent: bool) -> None:
        """Output is ready, or a deadline may have moved. Callable from any synchronous code, also from within a
        handler.

        ``urgent`` asks to take and send it now instead of at the end of the turn.
        """
        ...

    def check(self) -> None:
        """Raises ``LocalProtocolError`` unless the caller is where the core lives: in the thread of its event loop."""
        ...

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine of user code beside everything else, in this runtime's way."""
        ...

    def report(self, error: BaseException, where: str) -> None:
        """Says that user code failed and no ``on_error`` hook took it; ``where`` names the handler's event."""
        ...
