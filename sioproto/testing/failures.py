"""What fails a test that uses a world. All of them are assertions, and carry the end of the transcript as a note."""

from __future__ import annotations

TRANSCRIPT = "; the end of the transcript:"
"""What stands in the note that shows it."""


class WorldFailure(AssertionError):
    """The base of what a world finds wrong."""


class HandlerFailed(WorldFailure):
    """Handlers, middlewares or hooks raised, and no ``on_error`` hook took it. The first error is the cause."""


class NeverQuiet(WorldFailure):
    """The parties go on and on without any time passing: a livelock."""


class NeverDone(WorldFailure):
    """A ``Pending`` was not settled in the time that it was given, or there is nothing left that could settle it."""


class InvariantBroken(WorldFailure):
    """Something that holds for every server and client at every moment does not hold.

    ``number`` is that of the invariant in ``sioproto.testing.invariants``.
    """

    def __init__(self, number: int, facts: str) -> None:
        super().__init__(f"invariant {number}: {facts}")
        self.number = number


def has_transcript(error: BaseException) -> bool:
    """Returns whether an error shows the end of a transcript."""
    return any(TRANSCRIPT in note for note in getattr(error, "__notes__", ()))
