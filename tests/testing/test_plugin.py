"""The plugin of pytest: worlds as fixtures, their seed, what a failing test shows, and what it costs otherwise."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HELLO = """
def test_hello(sio_world):
    io = sio_world.server()
    ada = sio_world.client(name="ada")
    sio_world.settle()
    io.emit("hello", 1)
    sio_world.settle()
    assert ada.received == {expected}
"""


@pytest.fixture
def run(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder with tests of its own, whose runs see this checkout."""
    pytester.syspathinsert()
    return pytester


def test_a_world_is_a_fixture(run: pytest.Pytester) -> None:
    run.makepyfile(HELLO.format(expected="[('hello', 1)]"))
    run.runpytest_inprocess().assert_outcomes(passed=1)


def test_a_failing_test_shows_the_end_of_the_transcript(run: pytest.Pytester) -> None:
    run.makepyfile(HELLO.format(expected="[]"))
    result = run.runpytest_inprocess()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*sioproto transcript, seed 0*", "*ada > 40", '*ada < 42?"hello",1?'])


def test_the_seed_is_an_option(run: pytest.Pytester) -> None:
    run.makepyfile("def test_seed(sio_world):\n    assert sio_world.seed == 7\n")
    run.runpytest_inprocess("--sio-seed=7").assert_outcomes(passed=1)
    run.runpytest_inprocess().assert_outcomes(failed=1)


def test_what_happens_at_the_end_of_the_world_may_fail_the_test(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        def test_last_words(sio_world):
            io = sio_world.server()

            @io.on("disconnect")
            def gone(socket, reason):
                raise RuntimeError(f"gone because of {reason}")

            sio_world.client()
            sio_world.settle()
        """
    )
    result = run.runpytest_inprocess()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*HandlerFailed: io, *RuntimeError: gone because of *"])


def test_a_world_over_bytes_is_a_fixture(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import pytest
        import sioproto_wire

        @pytest.fixture
        def sio_wire():
            return sioproto_wire

        def test_bytes(sio_world):
            io = sio_world.server(max_head=500)
            ada = sio_world.client()
            ada.network.chunking = 1
            sio_world.settle()
            io.emit("hello", bytes(3))
            sio_world.settle()
            assert ada.received == [("hello", bytes(3))]
        """
    )
    run.runpytest_inprocess().assert_outcomes(passed=1)


def test_fixtures_are_shown_with_what_they_are(run: pytest.Pytester) -> None:
    result = run.runpytest_inprocess("--fixtures")
    result.stdout.fnmatch_lines(["sio_wire*", "sio_world*"])


def test_nothing_is_imported_unless_it_is_used(pytestconfig: pytest.Config) -> None:
    root: Path = pytestconfig.rootpath
    program = (
        "import sys, sioproto_pytest\n"
        "print(sorted(name for name in sys.modules if name.startswith('sioproto') and name != 'sioproto_pytest'))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": f"{root}:{root / 'bindings'}"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert shown.stdout == "[]\n"
