"""Whether something else used the machine while we measured.

The sharpest sign that needs no privilege is the *run-queue delay*: the time our own threads were
ready to run and waited for a core (Linux, ``/proc/self/task/*/schedstat``, second field). Load
average hides a busy neighbour; pressure (PSI) and steal are recorded beside it, never decisive.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Reading:
    """Counters since boot or since the start of the process; None where the system hides one."""

    wall_s: float
    cpu_s: float  # CPU time of all threads of this process
    delay_s: float | None  # run-queue delay of all threads of this process
    pressure_s: float | None  # time in which some task of the machine waited for a CPU
    steal_s: float | None  # time the hypervisor gave this machine's CPUs to others, all CPUs


@dataclass(frozen=True)
class Contention:
    """What the counters say about an interval, as shares between 0 and 1."""

    delay_share: float | None  # run-queue delay / (delay + CPU time of our threads)
    cpu_per_thread: float | None  # CPU time / (wall time × threads): threads really used
    pressure_share: float | None  # share of wall time
    steal_share: float | None  # share of wall time × CPUs


def read(proc: Path = PROC) -> Reading:
    """Read the counters now."""
    return Reading(
        wall_s=time.perf_counter(),
        cpu_s=time.process_time(),
        delay_s=_run_queue_delay(proc),
        pressure_s=_pressure(proc),
        steal_s=_steal(proc),
    )


def between(before: Reading, after: Reading, threads: int) -> Contention:
    """What happened between two readings of a process that computes on that many threads."""
    wall = after.wall_s - before.wall_s
    cpu = after.cpu_s - before.cpu_s
    delay = _difference(before.delay_s, after.delay_s)
    return Contention(
        delay_share=_share(delay, None if delay is None else delay + cpu),
        cpu_per_thread=_share(cpu, wall * threads),
        pressure_share=_share(_difference(before.pressure_s, after.pressure_s), wall),
        steal_share=_share(
            _difference(before.steal_s, after.steal_s), wall * (os.cpu_count() or 1)
        ),
    )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _run_queue_delay(proc: Path) -> float | None:
    total = 0
    try:
        for task in (proc / "self/task").iterdir():
            try:
                total += int((task / "schedstat").read_text().split()[1])
            except ProcessLookupError:  # the thread ended between listing and reading
                continue
    except (OSError, ValueError, IndexError):
        return None
    return total * 1e-9


def _pressure(proc: Path) -> float | None:
    try:
        some = (proc / "pressure/cpu").read_text().splitlines()[0]
        return int(some.rsplit("total=", 1)[1]) * 1e-6
    except (OSError, ValueError, IndexError):
        return None


def _steal(proc: Path) -> float | None:
    try:
        ticks = int((proc / "stat").read_text().split("\n", 1)[0].split()[8])
        return ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
