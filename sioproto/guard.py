"""Who may enter the core, and how many at a time.

Every command enters the guard of its core around all that it does: on an event loop that says no to a foreign thread,
with threads it is a lock. The inputs, outputs and time (``receive_*``, ``events``, ``take_dirty``, ``next_deadline``,
``handle_timeout``) are for the one who drives the core, and who holds the guard around them where it is a lock.

The rule not to be broken: whoever is in may enter again, and nobody waits for anything in there.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

Guard = AbstractContextManager[object]


class EasyExit:
    """Leaving costs nearly nothing, as it is paid for each event that is sent.

    A Python function would cost as much as entering. This is a method of ``str``, which takes whatever it is given and
    returns an empty string, and that lets errors through as None does.
    """

    __slots__ = ()
    __exit__: ClassVar[Callable[..., None]] = "".format  # type: ignore[assignment]  # an empty string is as good as None


class Anywhere(EasyExit):
    """Lets everybody in: for a core that one thread has to itself."""

    __slots__ = ()

    def __enter__(self) -> None:
        """Does nothing."""


ANYWHERE = Anywhere()
