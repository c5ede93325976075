"""The swarm: programs that a seed determines, faults that it finds, and how it shows them."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from sioproto.engineio.heartbeat import Heartbeat
from sioproto.engineio.probe import Probe
from sioproto.engineio.session import Session
from sioproto.socketio.acks import SocketAck
from sioproto.socketio.adapter import MemoryAdapter
from sioproto.socketio.recovering import Recovering
from sioproto.socketio.recovery import EventLog
from sioproto.testing.swarm import draw, minimise, play
from sioproto.testing.swarm.__main__ import failure_of, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sioproto import Socket

MANY = 10_000
"""Programs of a whole run, over all processes."""


def test_a_seed_gives_one_program() -> None:
    assert draw(7) == draw(7)
    assert str(draw(7)) == str(draw(7))
    assert len({str(draw(seed)) for seed in range(50)}) == 50


@pytest.mark.parametrize("recovery", [False, True])
def test_a_program_is_played_the_same_way_again(recovery: bool) -> None:
    first, second = (str(play(draw(11, recovery=recovery)).world.transcript) for _ in range(2))
    assert first == second


def test_programs_about_recovery_are_others() -> None:
    assert draw(7, recovery=True) == draw(7, recovery=True)
    assert draw(7, recovery=True) != draw(7)
    assert all("recovery" in draw(seed, recovery=True).server for seed in range(20))


def test_steps_are_kept_by_their_numbers() -> None:
    program = draw(3)
    assert program.keep((0, 2)).steps == (program.steps[0], program.steps[2])
    assert program.keep((0, 2)).keep((2,)).steps == (program.steps[2],)


def test_minimising_leaves_out_what_is_not_needed() -> None:
    program = next(program for program in map(draw, range(100)) if len(program.steps) > 20)
    needed = {program.kept[3], program.kept[17]}
    short = minimise(program, lambda shorter: needed <= set(shorter.kept))
    assert set(short.kept) == needed


# -- faults, planted one at a time


def lose_a_packet_at_upgrade(patch: Callable[[Any, str, Any], None]) -> None:
    switch = Session.switch_transport

    def lossy(self: Session) -> None:
        lost, self.outbox = self.outbox[:1], self.outbox[1:]
        self._queued -= sum(frame.size for frame in lost)
        switch(self)

    patch(Session, "switch_transport", lossy)


def leave_somebody_in_a_room(patch: Callable[[Any, str, Any], None]) -> None:
    def forgetful(self: MemoryAdapter, socket: Socket) -> None:
        for room in list(self.sids.pop(socket, ()))[1:]:
            self._leave(socket, room)

    patch(MemoryAdapter, "delete_all", forgetful)


def ignore_a_leave(patch: Callable[[Any, str, Any], None]) -> None:
    patch(MemoryAdapter, "delete", lambda self, socket, room: None)


def keep_a_ping_timer(patch: Callable[[Any, str, Any], None]) -> None:
    patch(Heartbeat, "stop", lambda self: setattr(self, "_timer", None))


def keep_an_upgrade_timer(patch: Callable[[Any, str, Any], None]) -> None:
    patch(Probe, "stop", lambda self: self.link)


def keep_an_answers_timer(patch: Callable[[Any, str, Any], None]) -> None:
    patch(SocketAck, "_stop", lambda self: None)


def lose_the_first_event_that_was_missed(patch: Callable[[Any, str, Any], None]) -> None:
    look = EventLog.missed

    def lossy(self: EventLog, *args: Any) -> Any:
        missed = look(self, *args)
        if not isinstance(missed, str):
            del missed.entries[:1]
        return missed

    patch(EventLog, "missed", lossy)


def name_no_offset(patch: Callable[[Any, str, Any], None]) -> None:
    patch(Recovering, "note", lambda self, args: None)


def tell_again_what_asks_again(patch: Callable[[Any, str, Any], None]) -> None:
    patch(Recovering, "is_known", lambda self, packet: False)


ABOUT_RECOVERY = (lose_the_first_event_that_was_missed, name_no_offset, tell_again_what_asks_again)
FAULTS = (
    lose_a_packet_at_upgrade,
    leave_somebody_in_a_room,
    ignore_a_leave,
    keep_a_ping_timer,
    keep_an_upgrade_timer,
    keep_an_answers_timer,
    *ABOUT_RECOVERY,
)


def find(recovery: bool, limit: int = 600) -> int:
    """Returns the first seed whose program fails."""
    for seed in range(limit):
        if failure_of(draw(seed, recovery=recovery), None) is not None:
            return seed
    pytest.fail(f"{limit} programs found nothing")


def test_programs_about_recovery_are_shown_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lose_the_first_event_that_was_missed(monkeypatch.setattr)
    assert main(["--seeds", "50", "--bytes", "0", "--recovery"]) == 1
    shown = capsys.readouterr().out
    again = shown.strip().splitlines()[-1].partition("swarm ")[2].split()
    assert again[-1] == "--recovery"
    assert main(again) == 1
    monkeypatch.undo()
    assert main(again) == 0
    capsys.readouterr()


def test_programs_about_recovery_find_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A sample; many more are played by hand."""
    assert main(["--seeds", "100", "--bytes", "0.3", "--recovery"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("plant", FAULTS, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch.setattr)
    recovery = plant in ABOUT_RECOVERY
    seed = find(recovery)
    program = draw(seed, recovery=recovery)
    first, again = failure_of(program, None), failure_of(program, None)
    assert type(first) is type(again)
    assert str(first) == str(again)
    short = minimise(program, lambda shorter: failure_of(shorter, None) is not None)
    assert len(short.steps) <= min(10, len(program.steps))
    monkeypatch.undo()
    assert failure_of(program, None) is None


# -- the command


def test_what_fails_is_shown_and_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    leave_somebody_in_a_room(monkeypatch.setattr)
    assert main(["--seeds", "50", "--bytes", "0"]) == 1
    shown = capsys.readouterr().out
    assert "fails" in shown
    assert "InvariantBroken: invariant 8" in shown
    again = shown.strip().splitlines()[-1].partition("swarm ")[2].split()
    assert main(again) == 1
    assert "InvariantBroken: invariant 8" in capsys.readouterr().out
    monkeypatch.undo()
    assert main(again) == 0
    assert "it went well" in capsys.readouterr().out


def test_progress_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sioproto.testing.swarm.__main__.PROGRESS", 5)
    assert main(["--seeds", "12", "--start", "100"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "5 of 12 programs played",
        "10 of 12 programs played",
        "12 programs played, 100 to 111: nothing found",
    ]


def test_without_a_wire_messages_are_played(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "4", "--wire", "no_such_wire"]) == 0
    assert capsys.readouterr().out.startswith("no_such_wire is not there")


def test_ten_thousand_programs_find_nothing(pytestconfig: pytest.Config) -> None:
    root: Path = pytestconfig.rootpath
    halves = [
        subprocess.Popen(
            [sys.executable, "-m", "sioproto.testing.swarm", "--seeds", str(MANY // 2), "--start", str(start)],
            cwd=root,
            env={"PYTHONPATH": f"{root}:{root / 'bindings'}", "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        for start in (0, MANY // 2)
    ]
    # On two cores of their own they take about a minute. A timing is no assertion, so a busy machine gets its time.
    try:
        for half in halves:
            shown, _ = half.communicate(timeout=1200)
            assert half.returncode == 0, shown
    finally:
        for half in halves:
            half.kill()
            half.communicate()
