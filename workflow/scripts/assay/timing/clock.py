"""Time on a device: blocks of calls, events, synchronisation.

On a CPU a block is timed by the monotonic clock. What a CUDA device needs is timed by events on its
stream, while the host is ahead of it, so that short operations are not timed by the speed at which
they are launched; what a person waits for is timed by the host's clock between two
synchronisations, and so is everything on other accelerators.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from assay.device import Unavailable
from assay.timing.cuda import Queue

Call = Callable[[], Any]

LEAD = 1.5  # how long the device is kept waiting, in times that the host needs to launch a block
LEAST_LEAD_S = 1e-4
MOST_LEAD_S = 0.2  # launches that take longer are blocked: the queue is full, or the call waits
HICCUP_S = 0.02  # that a busy host may be late
CYCLES_PER_S = 1e9  # of a GPU, until it was seen


class NotAhead(Unavailable):
    """A call cannot be launched whole before the device begins with it."""


@dataclass(frozen=True)
class Block:
    """How one arm is timed: that many calls, launched that far ahead of the device."""

    calls: int
    lead_s: float = 0.0

    def scaled(self, share: float) -> Block:
        """A block of that share of the calls, and of the head start; at least one call."""
        return Block(max(1, math.ceil(self.calls * share)), self.lead_s * share)


def _fill_caches(call: Call, block: Block) -> None:
    """Bring the operands of a short call into the caches, untimed.

    The first call of a block finds them cold: timed, it makes a block of few calls seem slower than
    one of many. A call that is a block leads itself in.
    """
    if block.calls > 1:
        call()


class Clock(Protocol):
    """What a trial needs of a device's time."""

    device: torch.device
    name: str  # for the record
    late: bool | None  # whether the last block was launched too late; None: the host itself counts

    def synchronize(self) -> None:
        """Wait until the device did everything it was given."""

    def calibrate(self, call: Call, block_s: float) -> Block:
        """How many calls make a block of at least that many seconds.

        Raises:
            NotAhead: This clock cannot time the call.
        """

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call, measured over one block."""


class HostClock:
    """Wall-clock time on the host, synchronised at both ends where the device is not the CPU."""

    name = "host, with synchronisation"
    late: bool | None = None

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def synchronize(self) -> None:
        """Wait until the device did everything it was given; a CPU always has."""
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)

    def calibrate(self, call: Call, block_s: float) -> Block:
        """Double the calls until they fill half a block, then scale up.

        The best of three timings counts, or one hiccup would end the doubling at a single call.
        """
        calls = 1
        while (call_s := self._best_of_three(call, calls)) * calls < block_s / 2:
            calls *= 2
        return Block(max(1, math.ceil(block_s / call_s)))

    def _best_of_three(self, call: Call, calls: int) -> float:
        return min(self.time(call, Block(calls)) for _ in range(3))

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call."""
        _fill_caches(call, block)
        self.synchronize()
        start = time.perf_counter_ns()
        for _ in range(block.calls):
            call()
        self.synchronize()
        return (time.perf_counter_ns() - start) * 1e-9 / block.calls


class SharedCores(HostClock):
    """The host's clock of work in several processes of ours, which wait for each other's cores.

    Such a wait is part of the work: none disturbs a block. A call lasts long, and is one.
    """

    late: bool | None = False

    def calibrate(self, call: Call, block_s: float) -> Block:
        """A single call."""
        return Block(1)


class EnteringClock(HostClock):
    """A host's clock for arms that first have to make the process theirs.

    Before each block it calls once with ``entering`` on, when such an arm does that (sets its
    number of threads, lets another library's sleep) and nothing else, and times what comes after.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.entering = False

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call, after the call was let in."""
        self.entering = True
        try:
            call()
        finally:
            self.entering = False
        return super().time(call, block)


@dataclass(frozen=True)
class _Reading:
    """One block on a CUDA device."""

    call_s: float
    launch_s: float  # of the whole block, on the host
    ahead: bool  # whether it was launched before the device began with it


class CudaClock:
    """Time on a CUDA device, between two events on its stream.

    The device sleeps while the host launches the block. Whether that was long enough is looked at:
    when the end of the block is in the queue, its start must not have been reached; else the device
    sleeps longer, and the block is timed again.
    """

    name = "device, by events"

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._queue = Queue(device)
        self._cycles_per_s = CYCLES_PER_S
        self.late: bool | None = False

    def synchronize(self) -> None:
        """Wait until the device did everything it was given."""
        self._queue.wait()

    def calibrate(self, call: Call, block_s: float) -> Block:
        """How many calls fill the block, or as many as can be launched ahead.

        Raises:
            NotAhead: Not even one can.
        """
        block, calls, launch_s, most_s = Block(0), 1, math.inf, MOST_LEAD_S
        while (seen := self._ahead(call, calls, 2 * block.lead_s, most_s)).ahead:
            launch_s = min(launch_s, seen.launch_s / calls)  # of a call; a hiccup only adds to it
            block = Block(calls, LEAD * launch_s * calls)
            # For twice the calls; if that does not do, and was no hiccup, the queue is full.
            most_s = max(4 * block.lead_s, HICCUP_S)
            calls = min(2 * calls, math.ceil(block_s / max(seen.call_s, 1e-9)))
            if calls < 1.1 * block.calls:
                break
        if not block.calls:
            raise NotAhead(
                "a call cannot be launched before the GPU begins with it: it waits for the GPU, or "
                "has more launches than the queue (is CUDA_LAUNCH_BLOCKING set?)"
            )
        return block

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call on the device."""
        _fill_caches(call, block)
        seen = self._ahead(call, block.calls, block.lead_s, MOST_LEAD_S)
        self.late = not seen.ahead
        return seen.call_s

    def _ahead(self, call: Call, calls: int, lead_s: float, most_s: float) -> _Reading:
        """A block that was launched ahead of the device; if that cannot be, one that was not."""
        lead_s = max(lead_s, LEAST_LEAD_S)
        while not (seen := self._read(call, calls, lead_s)).ahead and lead_s < most_s:
            # No longer: a GPU that also draws a screen ends what lasts for seconds.
            lead_s = min(max(2 * lead_s, LEAD * seen.launch_s), 2 * MOST_LEAD_S)
        return seen

    def _read(self, call: Call, calls: int, lead_s: float) -> _Reading:
        self.synchronize()
        cycles = int(lead_s * self._cycles_per_s)
        before = self._queue.mark()
        self._queue.sleep(cycles)
        start, began = self._queue.mark(), time.perf_counter()
        for _ in range(calls):
            call()
        launch_s = time.perf_counter() - began
        end = self._queue.mark()
        ahead = not start.query()
        self.synchronize()
        # A GPU out of idle counts its cycles slowly: the fastest that was seen counts.
        slept_s = before.elapsed_time(start) * 1e-3
        self._cycles_per_s = max(self._cycles_per_s, cycles / slept_s)
        return _Reading(start.elapsed_time(end) * 1e-3 / calls, launch_s, ahead)


def disturbed(clock: Clock, waited_s: float | None, limit_s: float) -> bool:
    """Whether something else is in the time of the last block.

    Args:
        clock: What timed it. Ahead of a GPU, the host may wait: only a late launch is in the time.
        waited_s: Longest wait of a thread of ours for a core meanwhile; None where none tells.
        limit_s: What it may have waited.
    """
    if clock.late is not None:
        return clock.late
    return waited_s is not None and waited_s > limit_s


def clock_for(device: torch.device) -> Clock:
    """The clock of what a device needs, however long the host takes to launch it.

    What a person waits for, such as a step of training, is the matter of :class:`HostClock`.
    """
    return CudaClock(device) if device.type == "cuda" else HostClock(device)


def cuda_graph_s(call: Call, block: Block, clock: CudaClock) -> float | None:
    """Seconds per call when the block is replayed as one CUDA graph; None if it won't capture."""

    def calls() -> None:
        for _ in range(block.calls):
            call()

    try:
        graph = Queue(clock.device).capture(calls)
    except RuntimeError:
        clock.synchronize()
        return None
    clock.time(graph.replay, Block(1))
    return clock.time(graph.replay, Block(1)) / block.calls
