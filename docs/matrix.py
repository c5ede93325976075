"""Writes the table of runtimes.md, what passes on which runtime: `python docs/matrix.py`, after a whole test run.

The tests in tests/bindings/conformance leave their outcomes in tests/artefacts/runtimes.json, test by test.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "runtimes.md"
RECORD = DOCS.parent / "tests" / "artefacts" / "runtimes.json"
BEGIN = "<!-- Written by docs/matrix.py from the outcomes of tests/bindings/conformance: change those, then run it. -->"
END = "<!-- The end of what docs/matrix.py wrote. -->"
RUNTIMES = ("asyncio", "uvloop", "curio", "blocking")
CELLS = {"failed": "no", "passed": "yes", "skipped": "does not apply", "": "does not apply"}
"""What is said of a feature on a runtime, the worst first."""


def table(outcomes: dict[tuple[str, str], str]) -> str:
    """Returns the table, from outcomes by feature and runtime."""
    features = sorted({feature for feature, _ in outcomes}, key=str.lower)
    rows = [[feature, *(CELLS[outcomes.get((feature, runtime), "")] for runtime in RUNTIMES)] for feature in features]
    lines = [["", *RUNTIMES], ["---"] * (len(RUNTIMES) + 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)


def outcomes_of(record: Path) -> dict[tuple[str, str], str]:
    """Returns the worst outcome of all tests of a feature on a runtime; what was skipped counts least."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in json.loads(record.read_text(encoding="utf-8")).values():
        for feature in row["features"]:
            for runtime in row["runtimes"]:
                found[feature, runtime].append(row["outcome"])
    return {key: min(each, key=list(CELLS).index) for key, each in found.items()}


def main() -> None:
    """Writes the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table(outcomes_of(RECORD))}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
