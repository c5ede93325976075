"""Plays programs from the command line: ``python -m sioproto.testing.swarm --seeds 10000``."""

from __future__ import annotations

import argparse
import pkgutil
import sys
import traceback
from typing import Any

from sioproto.testing.swarm import Program, draw, minimise, play

PROGRESS = 500
"""After so many programs a line is shown."""


def main(arguments: list[str] | None = None) -> int:
    """Plays programs and returns the exit status: 0 if all went well, 1 if one failed, which is shown."""
    parser = argparse.ArgumentParser(
        prog="python -m sioproto.testing.swarm",
        description="Plays random programs of users and faults, and compares what comes out with a model.",
    )
    parser.add_argument("--seeds", type=count_of, default=1000, metavar="N", help="how many programs to play")
    parser.add_argument("--start", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument("--keep", default=None, metavar="1,2,3", help="only these steps of the program of --start")
    parser.add_argument(
        "--bytes", type=part_of, default=0.25, metavar="PART", help="the part played over bytes, 0 to 1"
    )
    parser.add_argument(
        "--recovery", action="store_true", help="every server recovers, and networks break all the time"
    )
    parser.add_argument("--wire", default="sioproto_wire", metavar="PACKAGE", help="what makes bytes of messages")
    options = parser.parse_args(arguments)
    wire = find_wire(options.wire)
    if wire is None:
        say(f"{options.wire} is not there, so all programs are played with messages")
    if options.keep is not None:
        kept = [int(each) for each in options.keep.split(",") if each]
        return play_one(options.start, wire, options.bytes, kept, recovery=options.recovery)
    for seed in range(options.start, options.start + options.seeds):
        done = seed - options.start
        if done and done % PROGRESS == 0:
            say(f"{done} of {options.seeds} programs played")
        if failure_of(draw(seed, recovery=options.recovery), wire_for(seed, wire, options.bytes)) is not None:
            return show(seed, wire, options.bytes, recovery=options.recovery)
    say(f"{options.seeds} programs played, {options.start} to {options.start + options.seeds - 1}: nothing found")
    return 0


def count_of(text: str) -> int:
    """Returns a number of programs. Raises ``ArgumentTypeError`` unless there is one to play."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1, not {text!r}")
    return int(text)


def part_of(text: str) -> float:
    """Returns a part of the whole. Raises ``ArgumentTypeError`` unless it is from 0 to 1."""
    try:
        part = float(text)
    except ValueError:
        part = -1.0
    if not 0 <= part <= 1:
        raise argparse.ArgumentTypeError(f"a number from 0 to 1, not {text!r}")
    return part


def find_wire(name: str) -> Any:
    """Returns the package that makes bytes of messages, or None where it is not installed."""
    try:
        return pkgutil.resolve_name(name)
    except ImportError:
        return None


def wire_for(seed: int, wire: Any, part: float) -> Any:
    """Returns the wire for those programs that are played over bytes, evenly spread over the seeds."""
    return wire if int((seed + 1) * part) > int(seed * part) else None


def failure_of(program: Program, wire: Any) -> BaseException | None:
    """Plays a program and returns what it failed with."""
    try:
        play(program, wire)
    except Exception as error:  # whatever a program brings to light is what was looked for
        return error
    return None


def show(seed: int, wire: Any, part: float, *, recovery: bool) -> int:
    """Shows a program that failed, with as few steps as possible."""
    used = wire_for(seed, wire, part)
    program = draw(seed, recovery=recovery)
    first = failure_of(program, used)
    say(f"seed {seed} fails ({'bytes' if used else 'messages'}); looking for a shorter program")
    short = minimise(program, lambda shorter: type(failure_of(shorter, used)) is type(first))
    error = failure_of(short, used)
    say(f"\n{short}\n")
    if error is not None:
        say("".join(traceback.format_exception(error)))
    kept = ",".join(map(str, short.kept))
    focus = " --recovery" if recovery else ""
    say(f"again: python -m sioproto.testing.swarm --start {seed} --keep {kept or ','} --bytes {part:g}{focus}")
    return 1


def play_one(seed: int, wire: Any, part: float, kept: list[int], *, recovery: bool) -> int:
    """Plays one program with some of its steps, and shows how it went."""
    program = draw(seed, recovery=recovery).keep(kept)
    error = failure_of(program, wire_for(seed, wire, part))
    say(f"{program}\n")
    if error is None:
        say("it went well")
        return 0
    say("".join(traceback.format_exception(error)))
    return 1


def say(text: str) -> None:
    """Writes to the terminal."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
