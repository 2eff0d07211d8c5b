"""Lanes: two devices that compute at once, or what stands in for them.

A lane does what it is given, one call after the other, while whoever gave it goes on: a GPU with a
stream of its own, or a part of the CPU's cores with a thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import JsonValue

from assay.timing.clock import Call, HostClock

TOPOLOGY = Path("/sys/devices/system/cpu")
TURN = 16  # calls handed to a GPU before the next one gets some: far fewer than a queue holds


class Lane(Protocol):
    """Does what it is given, one call after the other, while the caller goes on."""

    device: torch.device
    turn: int | None  # calls to hand over before another lane has its turn; None: all of them

    def start(self, call: Call) -> None:
        """Hand a call over, and return at once."""

    def wait(self) -> None:
        """Return when everything that was handed over is done."""

    def described(self) -> dict[str, JsonValue]:
        """What stands behind it, for the record."""


class StreamLane:
    """A GPU and a stream of its own: what a call launches is queued there.

    The queue holds about a thousand launches; the host waits while it is full, and the other GPU
    for the host. So they are given work in turns.
    """

    turn = TURN

    def __init__(self, place: torch.device) -> None:
        self.device = place
        self._stream = torch.Stream(device=place)

    def start(self, call: Call) -> None:
        """Hand a call over, and return at once."""
        with self._stream:
            call()

    def wait(self) -> None:
        """Return when everything that was handed over is done."""
        torch.accelerator.synchronize(self.device)

    def described(self) -> dict[str, JsonValue]:
        """What stands behind it, for the record."""
        module = torch.get_device_module(self.device)
        name = getattr(module, "get_device_name", lambda _: None)(self.device)
        return {"device": str(self.device), "name": name}


class CoreLane:
    """A part of the CPU's cores: a thread that works through a queue, as a stream does.

    Torch counts and keeps its OpenMP threads per calling thread, and a thread inherits the cores
    of the one that starts it. So two such lanes compute side by side in one process, each on its
    own cores, and the process's own counters still show what either of them had to wait for.
    """

    device, turn = torch.device("cpu"), None

    def __init__(self, cpus: Sequence[int] | None, threads: int) -> None:
        self._cpus = cpus
        self._pending: list[Future[Any]] = []
        self._queue = ThreadPoolExecutor(1)
        self._pinned, self._threads = self._queue.submit(occupy, cpus, threads).result()

    def start(self, call: Call) -> None:
        """Hand a call over, and return at once."""
        self._pending.append(self._queue.submit(call))

    def wait(self) -> None:
        """Return when everything that was handed over is done."""
        pending, self._pending = self._pending, []
        for each in pending:
            each.result()

    def described(self) -> dict[str, JsonValue]:
        """What stands behind it, for the record."""
        cpus: list[JsonValue] | None = list(self._cpus) if self._cpus and self._pinned else None
        return {"device": "cpu", "threads": self._threads, "pinned_to_cpus": cpus}

    def close(self) -> None:
        """End the thread, whatever it was doing; what waits in the queue is dropped."""
        self._queue.shutdown(cancel_futures=True)


def occupy(cpus: Sequence[int] | None, threads: int) -> tuple[bool, int]:
    """Bind the calling thread, and those it will start, to these CPUs; set its torch threads.

    Returns:
        Whether it is bound, and how many threads torch will use for it.
    """
    torch.set_num_threads(threads)
    try:
        if cpus:
            os.sched_setaffinity(0, cpus)  # 0 is the calling thread, not the process
    except (AttributeError, OSError):  # not on macOS; forbidden in some containers
        return False, torch.get_num_threads()
    return bool(cpus), torch.get_num_threads()


class LanesClock(HostClock):
    """The host's clock until every lane is done: no lane's own events could see the other."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        super().__init__(lanes[0].device)
        self._lanes = lanes

    def synchronize(self) -> None:
        """Wait for every lane."""
        for lane in self._lanes:
            lane.wait()


def physical_cores(root: Path = TOPOLOGY) -> list[list[int]] | None:
    """The CPUs this process may use, those of one physical core together, neighbours side by side.

    None where the system does not tell which they are.
    """
    try:
        cpus = os.sched_getaffinity(0)
    except AttributeError:  # not on macOS
        return None
    cores: dict[tuple[int, int], list[int]] = {}
    for cpu in sorted(cpus):
        cores.setdefault(_core(root / f"cpu{cpu}/topology", cpu), []).append(cpu)
    return [cores[core] for core in sorted(cores)]


def _core(folder: Path, cpu: int) -> tuple[int, int]:
    """Socket and core of a CPU; a CPU that does not tell is a core of its own."""
    try:
        socket, core = (
            int((folder / name).read_text()) for name in ("physical_package_id", "core_id")
        )
    except (OSError, ValueError):
        return -1, cpu
    return socket, core


def halve(cores: Sequence[Sequence[int]] | None) -> tuple[list[int], list[int]] | None:
    """The CPUs of the first half of the cores and those of the second, equally many cores each.

    A single core is split between its hyperthreads. None where the cores are not known.
    """
    if cores is None:
        return None
    parts = cores if len(cores) > 1 else [[cpu] for core in cores for cpu in core]
    middle = len(parts) // 2
    left, right = parts[:middle], parts[middle : 2 * middle]
    return list(chain.from_iterable(left)), list(chain.from_iterable(right))
