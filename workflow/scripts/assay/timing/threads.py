"""How many threads a piece of work has, where arms of one trial differ in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from assay.timing.clock import Block, Call, HostClock
from assay.timing.trial import Work

GRAIN = 32768  # elements that torch gives to one thread at least (at::internal::GRAIN_SIZE)


class ThreadClock(HostClock):
    """A CPU's clock for arms that differ in their number of threads.

    The number belongs to the process, so each block must begin by setting its own. That, and waking
    the threads, takes up to a tenth of a millisecond and is not the work: the clock therefore calls
    once with ``setting`` on, when an arm of :func:`threaded` sets its threads and does nothing
    else, and starts to time after that.
    """

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"))
        self.setting = False

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call, with the threads of the call."""
        self.setting = True
        try:
            call()
        finally:
            self.setting = False
        return super().time(call, block)


def threaded(work: Work[Any], threads: int, clock: ThreadClock) -> Work[Any]:
    """The work, on that many threads whenever it is timed by the clock."""
    # Small, so that it pushes little out of the caches; large enough for every thread to get some.
    wake = torch.zeros(threads * GRAIN, dtype=torch.uint8)

    def run(operands: Any) -> Any:
        if not clock.setting:
            return work.run(operands)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return wake.add_(1)

    return Work(work.prepare, run, work.units)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads; afterwards it uses as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
