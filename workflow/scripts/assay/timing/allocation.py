"""How much memory a call has allocated at one time at most, as torch's allocators count it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

MEMORY = "[memory]"  # how torch's profiler calls an allocation or a release


def peak_bytes(call: Callable[[], Any], place: torch.device) -> int | None:
    """Most bytes that a call allocates at once; None where torch does not count them.

    What a library allocates past torch (oneDNN's scratch memory) does not count. What a library
    allocates at its first call does, unless the caller called before.
    """
    if place.type == "cuda":
        torch.cuda.synchronize(place)
        before = torch.cuda.memory_allocated(place)
        torch.cuda.reset_peak_memory_stats(place)
        call()
        torch.cuda.synchronize(place)
        return torch.cuda.max_memory_allocated(place) - before
    return _profiled(call) if place.type == "cpu" else None


def _profiled(call: Callable[[], Any]) -> int:
    """The same from the events of the CPU's allocator, added up in their order."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        call()
    assert seen.profiler is not None
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == MEMORY]
    held = itertools.accumulate(e.nbytes() for e in sorted(events, key=lambda e: e.start_ns()))
    return max(held, default=0)
