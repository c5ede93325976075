"""Makes a failing program shorter, as long as it goes on to fail in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from sioproto.testing.swarm.program import Program


def minimise(program: Program, fails: Callable[[Program], bool], budget: int = 400) -> Program:
    """Returns the program with as few steps as ``fails`` still says yes to, after at most ``budget`` questions.

    Larger and larger parts are left out where that succeeds, smaller ones where it does not; in the end no single step
    can be left out, if the budget lasts.
    """
    size = max(1, len(program.steps) // 2)
    while budget > 0:
        start, shorter = 0, False
        while start < len(program.steps) and budget > 0:
            candidate = program.keep(program.kept[:start] + program.kept[start + size :])
            budget -= 1
            if fails(candidate):
                program, shorter = candidate, True
            else:
                start += size
        if size == 1 and not shorter:
            break
        if not shorter or size > len(program.steps):
            size = max(1, size // 2)
    return program
