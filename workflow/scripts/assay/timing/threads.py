"""How many threads a piece of work has, where arms of one trial differ in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from assay.timing.clock import EnteringClock
from assay.timing.trial import Work

GRAIN = 32768  # elements that torch gives to one thread at least (at::internal::GRAIN_SIZE)


def threaded(work: Work[Any], threads: int, clock: EnteringClock) -> Work[Any]:
    """The work, on that many threads whenever it is timed by the clock.

    The number belongs to the process, so each block must begin by setting its own. That, and waking
    the threads, takes up to a tenth of a millisecond and is not the work.
    """
    # Small, so that it pushes little out of the caches; large enough for every thread to get some.
    wake = torch.zeros(threads * GRAIN, dtype=torch.uint8)

    def run(operands: Any) -> Any:
        if not clock.entering:
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
