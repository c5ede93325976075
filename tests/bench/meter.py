"""What a process and its children cost: CPU seconds and memory, read from outside.

On Linux CPU time comes from the kernel's nanosecond clock of each process (user and system together), or in ticks
where that clock cannot be read, and memory from ``/proc``. Elsewhere ``ps`` tells both, in hundredths of a second at
best, so measure for longer there.

The rule not to be broken: nothing here asks the measured process anything, so reading costs it nothing.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import time
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = (PROC / "self" / "stat").is_file()


class Meter:
    """Reads a process and its descendants. Children that came and went between two readings are not seen."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def cpu(self) -> float:
        """Returns the CPU seconds, user and system, that the living processes have spent so far."""
        if HAS_PROC:
            return sum(clock(pid) for pid in family(self.pid))
        return sum(seconds for seconds, _ in ask_ps(self.pid))

    def waited(self) -> float:
        """Returns the seconds that the main thread was ready to run and had no core, 0 where nobody tells."""
        return waited(self.pid)

    def memory(self) -> int:
        """Returns the resident bytes."""
        if HAS_PROC:
            return sum(resident(pid) for pid in family(self.pid))
        return sum(size for _, size in ask_ps(self.pid))


def resolution() -> str:
    """Says how CPU time is read on this machine."""
    if not HAS_PROC:
        return "ps"
    return "ticks of /proc" if clock_id(os.getpid()) is None else "the kernel's nanosecond clock"


def family(pid: int) -> list[int]:
    """Returns a process and its descendants. Finding children takes a walk through all processes of the machine."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := stat_of(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found += children.get(each, ())
    return found


def stat_of(pid: int) -> list[str]:
    """Returns the fields of ``/proc/<pid>/stat`` from the state on, none where the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def clock(pid: int) -> float:
    """Returns the CPU seconds of one process, 0 where it is gone."""
    identity = clock_id(pid)
    if identity is not None:
        try:
            return time.clock_gettime_ns(identity) / 1e9
        except OSError:
            return 0.0
    fields = stat_of(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def clock_id(pid: int) -> int | None:
    """Returns the number of a process's CPU clock (POSIX), None where this machine offers none."""
    number = ctypes.c_int()
    try:
        failed = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(number))
    except (OSError, AttributeError, TypeError):
        return None
    return None if failed else number.value


def waited(pid: int) -> float:
    """Returns how many seconds the main thread of a process was kept from running by others."""
    try:
        return int((PROC / str(pid) / "schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def resident(pid: int) -> int:
    """Returns the resident bytes of one process, 0 where it is gone."""
    try:
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def ask_ps(root: int) -> list[tuple[float, int]]:
    """Returns the CPU seconds and resident bytes of a process and its descendants, where there is no ``/proc``."""
    said = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,time=,rss="], capture_output=True, encoding="utf-8", timeout=30, check=True
    ).stdout
    rows = {int(pid): (int(parent), used, size) for pid, parent, used, size in map(str.split, said.splitlines())}
    found = [root]
    for each in found:
        found += [pid for pid, (parent, _, _) in rows.items() if parent == each]
    return [(seconds_of(rows[pid][1]), int(rows[pid][2]) * 1024) for pid in found if pid in rows]


def seconds_of(text: str) -> float:
    """Reads the time format of ``ps``: ``[[days-]hours:]minutes:seconds[.hundredths]``."""
    days, _, rest = text.rpartition("-")
    seconds = 0.0
    for part in rest.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + int(days or 0) * 86400
