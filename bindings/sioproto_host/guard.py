"""The guard of event loops: it lets in the thread of the loop, and tells all others what to do instead.

It is entered for each event that is sent, where a call of a Python function would be felt. So entering is a look at
something that only the thread of the loop has, and that is done in C: any other thread that looks has one made for
itself, which is refused.
"""

from __future__ import annotations

from functools import partial
from threading import get_ident, local
from typing import TYPE_CHECKING, Any

from sioproto.errors import LocalProtocolError
from sioproto.guard import EasyExit

if TYPE_CHECKING:
    from sioproto.guard import Guard


class Home(local):
    """What one thread has, and nobody else gets. ``threading.local`` calls ``__init__`` in each thread that looks."""

    here = None

    def __init__(self, thread: int, advice: str) -> None:
        if get_ident() != thread:
            raise LocalProtocolError(advice)


class OneThread:
    """Where the core lives: nowhere at first, and then everybody may enter ``guard``."""

    def __init__(self, advice: str) -> None:
        self._advice = advice
        # A class of its own: what entering does is looked up there and not in the object.
        self._kind: Any = type("Inside", (EasyExit,), {"__slots__": (), "__enter__": staticmethod(bool)})
        self.guard: Guard = self._kind()

    def settle(self) -> None:
        """From now on it lives in the calling thread; entering raises ``LocalProtocolError`` in any other."""
        home = Home(get_ident(), self._advice)
        self._kind.__enter__ = staticmethod(partial(getattr, home, "here"))

    def leave(self) -> None:
        """It lives nowhere again."""
        self._kind.__enter__ = staticmethod(bool)
