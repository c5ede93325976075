"""The runtime port: all that the app floor needs from a binding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from sioproto.pending import Waiting

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sioproto.environment import Environment
    from sioproto.guard import Guard


class Runtime(Waiting, Protocol):
    """How user code is run, and how the binding learns that output is ready.

    ``park`` and ``block`` (see ``Waiting``) are how a caller waits for a ``Pending``.
    """

    environment: Environment

    inline: bool
    """Whether a plain ``def`` handler may be called right where its event is taken from the core. Without it, all user
    code runs in coroutines that are started, and never with the guard held, but for what has to be seen in place:
    observers, ``new_namespace``, ``on_error`` and callbacks of a ``Pending``, which have to be short.
    """

    def wake(self, urgent: bool) -> None:
        """Output is ready, or a deadline may have moved. Callable from any synchronous code, also from within a
        handler.

        ``urgent`` asks to take and send it now instead of at the end of the turn.
        """
        ...

    @property
    def guard(self) -> Guard:
        """What every command enters. On an event loop entering it raises ``LocalProtocolError`` unless the caller is
        in the thread of that loop; with threads it is a lock that its holder may enter again.

        Where it is a lock, whoever drives the core holds it around all inputs, outputs and time.
        """
        ...

    def start(self, run: Coroutine[Any, Any, None]) -> None:
        """Runs a coroutine of user code beside everything else, in this runtime's way.

        Without ``inline`` the guard is held around each of its steps, and around ``close`` and ``throw``; it is let go
        in there where user code has its turn.
        """
        ...

    def report(self, error: BaseException, where: str) -> None:
        """Says that user code failed and no ``on_error`` hook took it; ``where`` names the handler's event."""
        ...
