"""From measurements to tables: medians, and ratios that are taken inside each round."""

from __future__ import annotations

import os
import platform
import statistics
from typing import TYPE_CHECKING

from tests.bench.meter import resolution
from tests.bench.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.bench.scenarios import Measurement

BUSY = 0.9
"""From which part of its core on the load generator may have been what limited the rate."""
IDLE = 0.5
"""Below which part of a core a server waited most of the time."""
DISTURBED = 0.1
"""From which part of the window on others used so much of the cores that even CPU time suffers, by cold caches."""


def ratios(rows: Iterable[Measurement], server: str, baseline: str) -> list[float]:
    """Returns what a server costs in times of the baseline, for each round in which both were measured."""
    good = [row for row in rows if row.error is None]
    base = {row.round: row.cost for row in good if row.server == baseline}
    return [row.cost / base[row.round] for row in good if row.server == server and base.get(row.round, 0.0) > 0]


def table(scenario: str, rows: Sequence[Measurement], baseline: str) -> str:
    """Returns the table of one scenario in Markdown: a line for each server, and notes on what to make of it."""
    about = SCENARIOS[scenario]
    rows = [row for row in rows if row.scenario == scenario]
    if not rows:
        return ""
    servers = sorted({row.server for row in rows}, key=lambda server: (server != baseline, server))
    lines = [f"### {scenario}: {about.title} ({rows[0].connections} connections)", ""]
    if about.make is None:
        lines.append(f"| server | KiB/{about.unit} | times {baseline} (each round) | empty, MiB |")
        lines.append("| --- | ---: | ---: | ---: |")
    else:
        lines.append(
            f"| server | CPU µs/{about.unit} | times {baseline} (each round) | {about.units}/s | server busy "
            "| generator busy |"
        )
        lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    notes: list[str] = []
    for server in servers:
        own = [row for row in rows if row.server == server]
        good = [row for row in own if row.error is None]
        # One failure is enough: whoever answers wrongly, however rarely, is not compared.
        if len(good) < len(own):
            lines.append(f"| {server} | FAILED |" + " |" * (2 if about.make is None else 4))
            notes += sorted({f"- {server} failed: {' '.join((row.error or '').split())}" for row in own if row.error})
            continue
        cost = statistics.median(row.cost for row in good)
        cells = [server]
        if about.make is None:
            cells += [number(cost / 1024), times(ratios(rows, server, baseline))]
            cells.append(number(statistics.median(row.memory_before for row in good) / 2**20))
        else:
            busy = statistics.median(row.generator_use for row in good)
            disturbed = statistics.median(row.disturbance for row in good)
            used = statistics.median(row.server_use for row in good)
            cells += [number(cost * 1e6), times(ratios(rows, server, baseline))]
            cells.append(f"{statistics.median(row.rate for row in good):,.0f}")
            cells += [f"{used:.0%}", f"{busy:.0%}"]
            if busy >= BUSY:
                notes.append(
                    f"- {server}: the load generator was the bottleneck, so the rate is the generator's; the CPU time "
                    "of the server holds for that rate."
                )
            elif disturbed >= DISTURBED:
                notes.append(
                    f"- {server}: other processes held the cores for {disturbed:.0%} of the time; the rate suffers "
                    "from that, and CPU time by cold caches."
                )
            elif used < IDLE:
                notes.append(f"- {server}: neither server nor generator was busy; something else set the pace.")
        lines.append(f"| {' | '.join(cells)} |")
    if notes:
        lines += ["", *notes]
    return "\n".join(lines)


def times(found: list[float]) -> str:
    """Returns a median, and what it is the median of."""
    if not found:
        return "-"
    return f"**{number(statistics.median(found))}** ({', '.join(map(number, found))})"


def number(value: float) -> str:
    """Returns a number with as many digits as it deserves."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def machine() -> str:
    """Returns one line on where this ran."""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {platform.python_implementation()} "
        f"{platform.python_version()}; CPU time from {resolution()}"
    )
