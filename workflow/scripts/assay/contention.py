"""Whether something else used the machine while we measured, and what it was.

The sharpest sign that needs no privilege is the *run-queue delay*: the time our own threads were
ready to run and waited for a core (Linux, ``/proc/self/task/*/schedstat``, second field). Load
average hides a busy neighbour; pressure (PSI) and steal are recorded beside it, never decisive.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from assay.device import control_groups

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
QUOTA = "this container's own CPU quota"  # a neighbour, too: it holds our threads up
NAMED = 3  # neighbours, at most
NOTICED = 0.02  # of a core, at least
KERNEL = 2  # the process whose children are threads of the Linux kernel


@dataclass(frozen=True)
class Reading:
    """Counters since boot or since the start of the process; None where the system hides one."""

    wall_s: float
    cpu_s: float  # CPU time of all threads of this process
    delay_s: float | None  # run-queue delay of all threads of this process
    pressure_s: float | None  # time in which some task of the machine waited for a CPU
    steal_s: float | None  # time the hypervisor gave this machine's CPUs to others, all CPUs
    throttled_s: float | None = None  # time our control groups were over their quota, all CPUs


@dataclass(frozen=True)
class Contention:
    """What the counters say about an interval, as shares between 0 and 1."""

    delay_share: float | None  # run-queue delay / (delay + CPU time of our threads)
    cpu_per_thread: float | None  # CPU time / (wall time × threads): threads really used
    pressure_share: float | None  # share of wall time
    steal_share: float | None  # share of wall time × CPUs
    throttled_share: float | None = None  # share of wall time × threads


def read(proc: Path = PROC) -> Reading:
    """Read the counters now."""
    return Reading(
        wall_s=time.perf_counter(),
        cpu_s=time.process_time(),
        delay_s=_run_queue_delay(proc),
        pressure_s=_pressure(proc),
        steal_s=_steal(proc),
        throttled_s=_throttled(proc),
    )


def between(before: Reading, after: Reading, threads: int) -> Contention:
    """What happened between two readings of a process that computes on that many threads."""
    wall = after.wall_s - before.wall_s
    cpu = after.cpu_s - before.cpu_s
    delay = _delay(before.delay_s, after.delay_s)
    return Contention(
        delay_share=_share(delay, None if delay is None else delay + cpu),
        cpu_per_thread=_share(cpu, wall * threads),
        pressure_share=_share(_difference(before.pressure_s, after.pressure_s), wall),
        steal_share=_share(
            _difference(before.steal_s, after.steal_s), wall * (os.cpu_count() or 1)
        ),
        throttled_share=_share(_difference(before.throttled_s, after.throttled_s), wall * threads),
    )


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else max(0.0, after - before)


def _delay(before: float | None, after: float | None) -> float | None:
    """What was waited; unknown where a thread ended and took what it had waited along."""
    fell = before is not None and after is not None and after < before
    return None if fell else _difference(before, after)


def _share(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _run_queue_delay(proc: Path) -> float | None:
    ran = total = 0
    try:
        for task in (proc / "self/task").iterdir():
            try:
                spent, waited, *_ = (task / "schedstat").read_text().split()
            except (ProcessLookupError, FileNotFoundError):  # it ended since it was listed
                continue
            ran, total = ran + int(spent), total + int(waited)
    except (OSError, ValueError):
        return None
    return total * 1e-9 if ran else None  # we ran, so zeros are counters that are switched off


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


def _throttled(proc: Path, root: Path = CGROUPS) -> float | None:
    """Seconds that our control groups were held up by their own quota; None where none counts."""
    try:
        groups = control_groups("cpu", (proc / "self/cgroup").read_text(), root)
    except (OSError, ValueError):
        return None
    counted = [seconds for seconds in map(_throttled_in, groups) if seconds is not None]
    return max(counted, default=None)


def _throttled_in(group: Path) -> float | None:
    """Of one group: version 2 counts microseconds, version 1 nanoseconds."""
    try:
        counters = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
        if "throttled_usec" in counters:
            return int(counters["throttled_usec"]) * 1e-6
        return int(counters["throttled_time"]) * 1e-9
    except (OSError, ValueError, KeyError):
        return None


# ---- thread by thread ----------------------------------------------------------------------------


class Waits:
    """The run-queue delay of each thread of this process, quick to read again and again.

    With three threads a reading takes 5 µs. A thread that ended keeps what it had waited.
    """

    def __init__(self, proc: Path) -> None:
        self._tasks = proc / "self/task"
        self._files: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._ran = False  # else the counters are switched off

    def read(self) -> dict[str, int] | None:
        """Nanoseconds by thread; None where the system does not tell."""
        try:
            for thread in os.listdir(self._tasks):
                if thread not in self._files:
                    self._open(thread)
            for thread, file in self._files.items():
                self._read(thread, file)
        except (OSError, ValueError, IndexError):
            return None
        return dict(self._seen) if self._ran and self._seen else None

    def _open(self, thread: str) -> None:
        try:
            self._files[thread] = os.open(self._tasks / thread / "schedstat", os.O_RDONLY)
        except (ProcessLookupError, FileNotFoundError):  # it ended since it was listed
            return

    def _read(self, thread: str, file: int) -> None:
        try:
            spent, waited, *_ = os.pread(file, 64, 0).split()
        except ProcessLookupError:
            return
        self._ran = self._ran or spent != b"0"
        self._seen[thread] = int(waited)

    def close(self) -> None:
        """Close the files."""
        while self._files:
            os.close(self._files.popitem()[1])


@contextmanager
def waits(proc: Path = PROC) -> Iterator[Waits]:
    """A reader of the waits, closed at the end."""
    reader = Waits(proc)
    try:
        yield reader
    finally:
        reader.close()


def longest_wait(before: Mapping[str, int] | None, after: Mapping[str, int] | None) -> float | None:
    """Seconds that the thread which waited longest between two readings did so.

    The longest, not the sum or the mean: the threads of a product wait for each other, so that one
    of many without a core holds all of them up.
    """
    if before is None or after is None:
        return None
    return max((after[thread] - before.get(thread, 0) for thread in after), default=0) * 1e-9


# ---- neighbours ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process of the machine, as far as the system shows it."""

    name: str  # of the program, without arguments
    parent: int
    started: int  # clock ticks since boot; with its number it tells a process from all others
    cpu_s: float
    ended_s: float = 0.0  # CPU time of its children that ended, and of theirs


@dataclass(frozen=True)
class Neighbour:
    """Who else computed, and how much."""

    name: str
    cores: float  # CPU time / wall time


def processes(proc: Path = PROC) -> dict[int, Process]:
    """The processes that this one may see, by number; none where the system shows none.

    What a quota of our own withheld is listed among them, as number 0.
    """
    found = {}
    if throttled_s := _throttled(proc):
        found[0] = Process(QUOTA, parent=0, started=0, cpu_s=throttled_s)
    for folder in proc.glob("[0-9]*"):
        try:
            # The name stands in brackets and may hold any character, brackets included.
            front, _, back = (folder / "stat").read_text(errors="replace").rpartition(")")
            fields = back.split()
            parent, started = int(fields[1]), int(fields[19])
            own_s, ended_s = (_seconds(fields[i : i + 2]) for i in (11, 13))
        except (OSError, ValueError, IndexError):  # it ended, or is hidden
            continue
        # Workers of the kernel change their names with their work.
        name = "the kernel" if parent == KERNEL else front.partition("(")[2]
        found[int(folder.name)] = Process(name, parent, started, own_s, ended_s)
    return found


@dataclass(frozen=True)
class Look:
    """What had computed until a moment."""

    wall_s: float
    processes: Mapping[int, Process]
    others_s: float | None  # that others had of each of our CPUs, on average, since boot


def look(proc: Path = PROC) -> Look:
    """Look at the processes and at the CPUs now."""
    seen = processes(proc)
    return Look(time.perf_counter(), seen, _others_s(seen, proc))


def others_share(before: Look, after: Look) -> float | None:
    """Share of the CPUs that others than this process and its children had between two looks.

    Programs that began and ended in between count, too. None where the system does not tell.
    """
    others_s = _difference(before.others_s, after.others_s)
    return _share(others_s, after.wall_s - before.wall_s)


def _others_s(seen: Mapping[int, Process], proc: Path) -> float | None:
    """What our CPUs were busy without us, of whom some may have ended."""
    own = os.getpid()
    try:
        ours = {f"cpu{number}" for number in os.sched_getaffinity(own)}
        rows = [line.split() for line in (proc / "stat").read_text().splitlines()]
        # User, nice, system, interrupts; neither idle, waiting for a disk, nor stolen.
        busy_s = sum(_seconds(row[1:4] + row[6:8]) for row in rows if row[0] in ours)
    except (OSError, ValueError, IndexError, AttributeError):  # the last outside Linux
        return None
    family = [each for pid, each in seen.items() if own in (pid, *_ancestors(pid, seen))]
    own_s = sum(each.cpu_s + each.ended_s for each in family)
    return (busy_s - own_s) / len(ours) if busy_s and family else None


def _seconds(ticks: Iterable[str]) -> float:
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def neighbours(
    before: Mapping[int, Process], after: Mapping[int, Process], wall_s: float, proc: Path = PROC
) -> list[Neighbour]:
    """Who took the cores between two looks at the processes: the few busiest, ours told by name.

    Snakemake, of which this process descends, is called that, and what else descends of it another
    job of this run. Only names of programs are told: no arguments, no users.
    """
    own = os.getpid()
    line = [own, *_ancestors(own, after)]
    ours = next((pid for pid in line[1:] if _is_snakemake(pid, proc)), None)
    used: dict[str, float] = {}
    for pid, now in after.items():
        if (pid in line and pid != ours) or own in _ancestors(pid, after):
            continue
        then = before.get(pid)
        spent = now.cpu_s - (then.cpu_s if then and then.started == now.started else 0.0)
        name = _name(pid, now, ours, after)
        used[name] = used.get(name, 0.0) + spent / wall_s
    busiest = sorted(used.items(), key=lambda item: -item[1])[:NAMED]
    return [Neighbour(name, cores) for name, cores in busiest if cores >= NOTICED]


def _ancestors(pid: int, seen: Mapping[int, Process]) -> list[int]:
    line: list[int] = []
    while pid in seen and (parent := seen[pid].parent) not in (0, *line):
        line.append(parent)
        pid = parent
    return line


def _name(pid: int, process: Process, ours: int | None, seen: Mapping[int, Process]) -> str:
    if ours is None:
        return process.name
    if pid == ours:
        return "snakemake"
    return "another job of this run" if ours in _ancestors(pid, seen) else process.name


def _is_snakemake(pid: int, proc: Path) -> bool:
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(word.endswith(b"snakemake") for word in words)
