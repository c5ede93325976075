"""What type checkers say of declared events: nothing of a chat that is right, and each of the mistakes in another one.

pyright comes with the JavaScript peers; see ``tests/peers``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.test_docs import MODULES

if TYPE_CHECKING:
    from tests.peers import Node

ROOT = Path(__file__).resolve().parents[2]
CHAT = Path("tests/typing/chat.py")
MISTAKES = Path("tests/typing/mistakes.py")

Command = tuple[str, ...]
MYPY: Command = (sys.executable, "-m", "mypy", "--no-error-summary")


@pytest.fixture(params=["mypy", pytest.param("pyright", marks=pytest.mark.peer("node"))])
def checker(request: pytest.FixtureRequest) -> Command:
    """How a checker is called."""
    if request.param == "mypy":
        return MYPY
    node: Node = request.getfixturevalue("node")
    program = node.folder / "node_modules" / "pyright" / "index.js"
    return (str(node.executable), str(program), "--pythonpath", sys.executable)


def run(checker: Command, *files: Path) -> subprocess.CompletedProcess[str]:
    """Asks a checker about files."""
    return subprocess.run(
        [*checker, *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


@cache
def check(checker: Command) -> dict[Path, dict[int, str]]:
    """Returns what a checker finds in both files: for each, the text of the first error by line."""
    done = run(checker, CHAT, MISTAKES)
    # 1: errors were found.
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[Path, dict[int, str]] = {CHAT: {}, MISTAKES: {}}
    for line in done.stdout.splitlines():
        match = re.match(r"\s*(?P<file>.+?\.py):(?P<line>\d+):(\d+ -)? error: (?P<text>.*)", line)
        if match is not None:
            file = (ROOT / match["file"]).relative_to(ROOT)
            found.setdefault(file, {}).setdefault(int(match["line"]), match["text"])
    return found


def mistakes() -> dict[int, str]:
    """Returns what is marked as wrong, by line."""
    lines = enumerate((ROOT / MISTAKES).read_text(encoding="utf-8").splitlines(), 1)
    return {number: line.partition("# error: ")[2] for number, line in lines if "# error: " in line}


def test_what_is_right_is_left_alone(checker: Command) -> None:
    assert {file for file, errors in check(checker).items() if errors} == {MISTAKES}


def test_every_mistake_is_found_in_its_line(checker: Command) -> None:
    found, planted = check(checker)[MISTAKES], mistakes()
    assert len(planted) > 40
    assert {line: text for line, text in planted.items() if line not in found} == {}, "missed"
    assert {line: text for line, text in found.items() if line not in planted} == {}, "false alarms"


def test_a_mistake_names_what_is_wrong() -> None:
    """An editor shows these texts, so they have to say which types do not fit."""
    found = check(MYPY)[MISTAKES]
    by_text = {text: found[line] for line, text in mistakes().items()}
    assert "Event[None, str, int]" in by_text["an argument is missing"]
    assert '"Callable[[Socket, str, str], Coroutine[Any, Any, None]]"' in by_text["the number is no str, async"]


def test_what_the_documentation_shows_is_right(checker: Command, tmp_path: Path) -> None:
    shown = tmp_path / "documented.py"
    shown.write_text(
        "# pyright: strict\n" + "".join(block.text for block in MODULES if block.page.name == "types.md"),
        encoding="utf-8",
    )
    done = run(checker, shown)
    assert done.returncode == 0, done.stdout + done.stderr
