"""The table in docs/parity.md against the list of rows and the tests that it names. It runs behind all other tests."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.parity.conftest import without_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "parity.md"

# How many rows each section has.
ROWS = {
    "EO": 23,  # Engine.IO: options
    "HS": 17,  # handshake
    "PO": 21,  # long-polling
    "WS": 15,  # WebSocket
    "WT": 5,  # WebTransport
    "UP": 11,  # upgrade
    "HB": 7,  # heartbeat
    "HC": 11,  # headers, cookies, compression
    "SE": 14,  # session
    "EC": 8,  # packets
    "SC": 17,  # Socket.IO: packets
    "CL": 12,  # clients
    "SV": 16,  # server
    "NS": 9,  # namespaces
    "DN": 7,  # dynamic namespaces
    "SO": 35,  # sockets
    "DR": 10,  # disconnect reasons
    "EM": 15,  # modifiers
    "AK": 14,  # acknowledgements
    "CA": 5,  # catch-alls
    "UT": 9,  # utilities
    "CS": 15,  # recovery
    "FC": 1,  # the client's files
    "CE": 23,  # client: the connection
    "CM": 12,  # client: coming back
    "CK": 19,  # client: sockets
}
VERDICTS = ("same", "different", "not yet")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    id: str
    verdict: str
    name: str
    text: str
    tests: tuple[str, ...]


def rows_of(page: str) -> list[Row]:
    """Returns the lines of a page's tables that begin with the id of a row."""
    rows = []
    for line in page.splitlines():
        # A bar within a cell is escaped.
        before, *cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)][:-1] or [line]
        if cells and not before and re.fullmatch(r"[A-Z]{2}-\d+", cells[0]):
            assert len(cells) == 5, f"{cells[0]} has {len(cells)} cells"
            names = [name.strip().strip("`") for name in cells[4].split("<br>")]
            rows.append(Row(cells[0], cells[1], cells[2], cells[3], tuple(filter(None, names))))
    return rows


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return rows_of(PAGE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def named(rows: list[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row.tests))


def test_every_row_stands_in_the_table_once(rows: list[Row]) -> None:
    expected = [f"{prefix}-{number:02d}" for prefix, last in ROWS.items() for number in range(1, last + 1)]
    found = [row.id for row in rows]
    assert sorted(found) == sorted(expected)


def test_every_row_has_a_verdict_and_says_why(rows: list[Row]) -> None:
    assert [row.id for row in rows if row.verdict not in VERDICTS] == []
    assert [row.id for row in rows if row.verdict != "same" and not row.text] == []


def test_every_row_that_is_decided_names_a_test(rows: list[Row]) -> None:
    assert [row.id for row in rows if row.verdict != "not yet" and not row.tests] == []


def test_every_named_test_exists(named: list[str]) -> None:
    files = sorted({name.partition("::")[0] for name in named})
    assert [file for file in files if not (ROOT / file).is_file()] == []
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *files],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert listed.returncode == 0, listed.stdout[-3000:] + listed.stderr
    there = {without_parameters(line) for line in listed.stdout.splitlines() if "::" in line}
    assert [name for name in named if name not in there] == []


def test_every_named_test_of_this_run_passed(
    named: list[str], collected: set[str], outcomes: Mapping[str, set[str]]
) -> None:
    """A test that was skipped for want of a peer is no witness, but no breach either: peers may be required."""
    ran = {name: outcomes.get(name, {"not run"}) for name in named if name in collected}
    assert {name: found for name, found in ran.items() if found - {"passed", "skipped"}} == {}
    # Without peers there must still be a witness for each row.
    if set(named) <= collected:
        lone = [name for name, found in ran.items() if found == {"skipped"} and "/interop/" not in name]
        assert lone == []


TABLE = r"""
| Row | Verdict | Python | What we do | Tests |
| --- | --- | --- | --- | --- |
| SO-12 | same | `a \| b` | Text. | tests/a.py::test_a<br>tests/b.py::test_b |
| SO-13 | not yet | | Later. | |
no row | SO-14 | same |
"""


def test_how_the_table_is_read() -> None:
    assert rows_of(TABLE) == [
        Row("SO-12", "same", r"`a \| b`", "Text.", ("tests/a.py::test_a", "tests/b.py::test_b")),
        Row("SO-13", "not yet", "", "Later.", ()),
    ]
