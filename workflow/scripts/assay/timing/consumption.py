"""Joules of a call: an arm runs for a while, and the device's own counter is looked at.

Counters move in steps (RAPL's every millisecond, NVML's every 20 to 100), for which the blocks of a
round are too short. After the rounds each arm therefore runs for longer, in turns with the others,
and the counter is looked at again and again: what it counted from the first step that was seen to
the last is shared out to the calls in between.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

import torch

from assay import energy
from assay.device import Unavailable
from assay.energy import Counter
from assay.timing.clock import Block, Call, Clock

LOOKS = 30  # at the counter in a stretch, about: a GPU waits a little after each
PATIENCE = 10  # times as long as it should be may a stretch be, for two steps of the counter
IDLE_S = 1.0
STILL_S = 1.0  # after which a counter that did not move stands still
POLL_S = 1e-3


@dataclass(frozen=True)
class Meter:
    """What a trial needs to count energy."""

    counter: Counter
    arms: Collection[str]  # whose energy is counted
    idle_w: float  # what the device draws while nothing of ours runs, in watts


def meter(device: torch.device, arms: Collection[str]) -> Meter | None:
    """A meter for these arms of trials; None, and at once, where nothing counts the energy.

    Looks at the idle device for a second, so it comes before any work.
    """
    try:
        counter = energy.counter_of(device)
    except Unavailable:
        return None
    idle_w = power_w(counter, IDLE_S)
    return None if idle_w is None else Meter(counter, arms, idle_w)


def power_w(counter: Counter, seconds: float) -> float | None:
    """Watts while this process sleeps; None where the counter stands still."""
    first = _step(counter)
    time.sleep(seconds)
    last = _step(counter)
    if first is None or last is None:
        return None
    return (last[1] - first[1]) / (last[0] - first[0])


def _step(counter: Counter) -> tuple[float, float] | None:
    """When the counter moves next, in seconds, and what it shows then; None if it does not."""
    start, before = time.perf_counter(), counter.read_j()
    while (now := time.perf_counter()) < start + STILL_S:
        seen = counter.read_j()
        if before is None or seen is None:
            return None
        if seen != before:
            return now, seen
        time.sleep(POLL_S)
    return None


def stretch_j(
    call: Call, block: Block, clock: Clock, counter: Counter, seconds: float
) -> float | None:
    """Joules per call over one stretch.

    Args:
        call: What is run over and over.
        block: How the clock times it, by which it is led in.
        clock: Of the device.
        counter: Of the same device.
        seconds: How long it runs at least, which should be several steps of the counter.

    Returns:
        None where the counter did not move twice, or cannot be read.
    """
    call_s = clock.time(call, block)  # sets threads, and what else is the arm's own
    calls = max(1, round(seconds / LOOKS / max(call_s, 1e-9)))
    steps: list[tuple[int, float]] = []  # calls done, joules
    done, shown, start = 0, counter.read_j(), time.perf_counter()
    while (ran := time.perf_counter() - start) < seconds or (
        len(steps) < 2 and ran < PATIENCE * seconds
    ):
        for _ in range(calls):
            call()
        seen = counter.read_j()  # before the wait, so that a GPU has work meanwhile
        clock.synchronize()
        done += calls
        if seen is None:
            return None
        if seen != shown:
            steps.append((done, seen))
            shown = seen
    if len(steps) < 2:
        return None
    (first, before), (last, after) = steps[0], steps[-1]
    return (after - before) / (last - first)
