"""The table of runtimes.md names what the suite of all runtimes tests, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

from docs import matrix
from tests.bindings.flavours import ALL

SUITE = Path(__file__).resolve().parent.parent / "bindings" / "conformance"


def rows() -> list[list[str]]:
    """Returns the cells of the table as it stands in the page."""
    page = matrix.PAGE.read_text(encoding="utf-8")
    text = page.partition(matrix.BEGIN)[2].partition(matrix.END)[0].strip()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]


def test_each_marked_feature_has_a_row_and_each_runtime_a_column() -> None:
    marked = {name for path in SUITE.glob("test_*.py") for name in re.findall(r'feature\("(.+?)"\)', path.read_text())}
    heads, _, *body = rows()
    assert heads == ["", *ALL] == ["", *matrix.RUNTIMES]
    assert [row[0] for row in body] == sorted(marked, key=str.lower)


def test_nothing_in_the_page_fails() -> None:
    _, _, *body = rows()
    assert len(body) > 20
    assert {cell for row in body for cell in row[1:]} <= {"yes", "does not apply"}
    # What runs on every event loop, and not where there is none, is the exception.
    assert all(cell == "yes" for row in body for cell in row[1:-1])


def test_the_worst_outcome_counts(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    outcomes = ["passed", "skipped", "failed", "passed"]
    tests = {str(n): {"features": ["f"], "runtimes": ["curio"], "outcome": each} for n, each in enumerate(outcomes)}
    record.write_text(json.dumps(tests))
    assert matrix.outcomes_of(record) == {("f", "curio"): "failed"}
    del tests["2"]
    record.write_text(json.dumps(tests))
    assert matrix.table(matrix.outcomes_of(record)).endswith(
        "| f | does not apply | does not apply | yes | does not apply |"
    )
