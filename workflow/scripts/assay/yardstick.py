"""The same two pieces of work in every job that is timed: how steady the machine is over a run.

A ratio is made of calls that take turns, and hardly depends on how fast the machine is at that
minute. A time does: hot CPUs, other tenants of a host and of its memory move it by per cents or by
a third from one minute to the next, and no job can see from within what the next one will find.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

N = 512  # rows and columns of the product, in float32
COPY_BYTES = 1 << 25  # more than the caches of most cores hold
WORK_S = 0.03  # of each


def read() -> dict[str, float]:
    """Seconds of one product and of one copy on torch's threads: the median of a few."""
    a = torch.ones(N, N)
    source = torch.ones(COPY_BYTES // torch.float32.itemsize)
    product, target = torch.empty_like(a), torch.empty_like(source)
    return {
        "product_s": _median_s(lambda: torch.mm(a, a, out=product)),
        "copy_s": _median_s(lambda: target.copy_(source)),
    }


def _median_s(call: Callable[[], Any]) -> float:
    call()  # the first touches new memory
    seconds: list[float] = []
    while sum(seconds) < WORK_S:
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds)
