"""``python -m tests.bench``: see the package's docstring, which ``--help`` prints."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import tests.bench
from tests.bench.contestants import CONTESTANTS, Missing, choose_cores, measure
from tests.bench.report import machine, ratios, table
from tests.bench.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.contestants import Contestant
    from tests.bench.scenarios import Measurement


def main(argv: Sequence[str] | None = None) -> int:
    """Measures and prints; returns 1 where a row failed. Never judges a figure."""
    options = parser().parse_args(argv)
    if sys.platform == "win32":
        print("This benchmark runs on Linux and macOS.", file=sys.stderr)
        return 2
    servers = find(options.servers or list(CONTESTANTS), required=options.servers is not None)
    if not servers:
        return 2
    baseline = next(iter(servers))
    cores = choose_cores()
    print(f"{machine()}; rounds: {options.rounds}, {options.seconds:g} s each")
    print("pinned to one core each" if cores.server is not None else "server and generator are not pinned")
    for name, server in servers.items():
        print(f"- {name}: {server.versions}")
    rows: list[Measurement] = []
    for scenario in options.scenarios or SCENARIOS:
        connections = options.connections or SCENARIOS[scenario].connections
        for turn in range(options.rounds):
            order = list(servers) if turn % 2 == 0 else list(reversed(servers))
            for name in order:
                row = measure(
                    name,
                    servers[name],
                    scenario,
                    turn=turn,
                    connections=connections,
                    seconds=options.seconds,
                    cores=cores,
                )
                rows.append(row)
                print(f"{scenario}, round {turn + 1}, {name}: {row.error or 'done'}", file=sys.stderr, flush=True)
        print(f"\n{table(scenario, rows, baseline)}", flush=True)
    if options.json is not None:
        save(options.json, servers, rows, baseline)
    return 1 if any(row.error for row in rows) else 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=tests.bench.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=positive, default=3, help="how often each server is measured (3)")
    parser.add_argument(
        "--seconds", type=duration, default=2.0, help="length of a measurement; half of it is waited before (2)"
    )
    parser.add_argument("--scenarios", type=names_of(SCENARIOS), help=f"some of {','.join(SCENARIOS)} (all)")
    parser.add_argument(
        "--servers",
        type=names_of(CONTESTANTS),
        help=f"some of {','.join(CONTESTANTS)} (all that are there); the first is what ratios refer to",
    )
    parser.add_argument("--connections", type=positive, help="instead of each scenario's own number")
    parser.add_argument("--json", type=Path, metavar="FILE", help="writes all measurements and ratios there")
    return parser


def positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def duration(text: str) -> float:
    if not 0 < (value := float(text)) < 3600:
        raise argparse.ArgumentTypeError("more than 0 and less than an hour")
    return value


def names_of(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Returns the type of an option that takes some of these names, with commas between."""

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return list(dict.fromkeys(chosen))

    return names


def find(names: Sequence[str], *, required: bool) -> dict[str, Contestant]:
    """Returns the servers that are there; none of them where one that was asked for is missing."""
    found = {}
    for name in names:
        try:
            found[name] = CONTESTANTS[name]()
        except Missing as missing:
            print(f"{name} is left out: {missing}", file=sys.stderr)
            if required:
                return {}
    return found


def save(path: Path, servers: dict[str, Contestant], rows: list[Measurement], baseline: str) -> None:
    """Writes everything as one JSON document."""
    document = {
        "machine": machine(),
        "servers": {name: server.versions for name, server in servers.items()},
        "baseline": baseline,
        "ratios": {
            scenario: {
                name: ratios([row for row in rows if row.scenario == scenario], name, baseline) for name in servers
            }
            for scenario in SCENARIOS
            if any(row.scenario == scenario for row in rows)
        },
        "measurements": [asdict(row) for row in rows],
    }
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
