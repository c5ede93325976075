"""What type checkers say of declared events: nothing of a chat that is right, and each of the mistakes in another one.

mypy is always asked; pyright if it is installed, as a program or as the package ``pyright[nodejs]``.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.docs.test_docs import MODULES

ROOT = Path(__file__).resolve().parents[2]
CHAT = Path("tests/typing/chat.py")
MISTAKES = Path("tests/typing/mistakes.py")

CHECKERS = pytest.mark.parametrize("checker", ["mypy", "pyright"])


def command(checker: str) -> list[str]:
    """Returns how a checker is called, or skips the test."""
    if checker == "mypy":
        return [sys.executable, "-m", "mypy", "--no-error-summary"]
    if importlib.util.find_spec("pyright") is not None:
        start = [sys.executable, "-m", "pyright"]
    elif (program := shutil.which("pyright")) is not None:
        start = [program]
    else:
        pytest.skip('needs pyright: python -m pip install "pyright[nodejs]"')
    return [*start, "--pythonpath", sys.executable]


def run(checker: str, *files: Path) -> subprocess.CompletedProcess[str]:
    """Asks a checker about files."""
    return subprocess.run(
        [*command(checker), *map(str, files)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


@cache
def check(checker: str) -> dict[Path, dict[int, str]]:
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


@CHECKERS
def test_what_is_right_is_left_alone(checker: str) -> None:
    assert {file for file, errors in check(checker).items() if errors} == {MISTAKES}


@CHECKERS
def test_every_mistake_is_found_in_its_line(checker: str) -> None:
    found, planted = check(checker)[MISTAKES], mistakes()
    assert len(planted) > 40
    assert {line: text for line, text in planted.items() if line not in found} == {}, "missed"
    assert {line: text for line, text in found.items() if line not in planted} == {}, "false alarms"


def test_a_mistake_names_what_is_wrong() -> None:
    """An editor shows these texts, so they have to say which types do not fit."""
    found = check("mypy")[MISTAKES]
    by_text = {text: found[line] for line, text in mistakes().items()}
    assert "Event[None, str, int]" in by_text["an argument is missing"]
    assert '"Callable[[Socket, str, str], Coroutine[Any, Any, None]]"' in by_text["the number is no str, async"]


@CHECKERS
def test_what_the_documentation_shows_is_right(checker: str, tmp_path: Path) -> None:
    shown = tmp_path / "documented.py"
    shown.write_text(
        "# pyright: strict\n" + "".join(block.text for block in MODULES if block.page.name == "types.md"),
        encoding="utf-8",
    )
    done = run(checker, shown)
    assert done.returncode == 0, done.stdout + done.stderr
