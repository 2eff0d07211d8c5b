"""Time on a device: blocks of calls, events, synchronisation.

On a CPU a block is timed by the monotonic clock. On a CUDA device it is timed by events on the
stream, after the queue was given a head start, so that short operations are not timed by the
speed at which the host launches them. On other accelerators it is the host's clock between two
synchronisations.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch

Call = Callable[[], Any]

SHORT_S = 200e-6  # below this the launch by the host could be what is timed
QUEUE = 500  # calls that fit into a CUDA launch queue (1,024 entries) with room to spare
LEAD = 1.5  # head start of the host over the device, in estimated launch times


@dataclass(frozen=True)
class Block:
    """How one arm is timed: that many calls, launched that far ahead of the device."""

    calls: int
    lead_s: float = 0.0

    def scaled(self, share: float) -> Block:
        """A block of that share of the calls, and of the head start; at least one call."""
        return Block(max(1, math.ceil(self.calls * share)), self.lead_s * share)


class Clock(Protocol):
    """What a trial needs of a device's time."""

    device: torch.device

    def calibrate(self, call: Call, block_s: float) -> Block:
        """How many calls make a block of at least that many seconds."""

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call, measured over one block."""

    def synchronize(self) -> None:
        """Wait until the device did everything it was given."""


class HostClock:
    """Wall-clock time on the host, synchronised at both ends where the device is not the CPU."""

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
        self.synchronize()
        start = time.perf_counter_ns()
        for _ in range(block.calls):
            call()
        self.synchronize()
        return (time.perf_counter_ns() - start) * 1e-9 / block.calls


class CudaClock:
    """Time on a CUDA device, by events on the current stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        torch.cuda.set_device(device)
        self._start = torch.cuda.Event(enable_timing=True)
        self._end = torch.cuda.Event(enable_timing=True)
        self._cycles_per_s = self._sleep_cycles_per_s()

    def synchronize(self) -> None:
        """Wait until the device did everything it was given."""
        torch.cuda.synchronize(self.device)

    def calibrate(self, call: Call, block_s: float) -> Block:
        """How many calls fill the block, and how long the host needs to launch them."""
        host = HostClock(self.device).calibrate(call, block_s)
        self.synchronize()
        start = time.perf_counter()
        for _ in range(min(host.calls, QUEUE)):
            call()
        launch_s = (time.perf_counter() - start) / min(host.calls, QUEUE)
        self.synchronize()
        probe = Block(min(host.calls, QUEUE), LEAD * launch_s * min(host.calls, QUEUE))
        device_s = self.time(call, probe)
        if device_s >= SHORT_S:
            return Block(max(1, round(block_s / device_s)))
        calls = min(QUEUE, max(1, round(block_s / device_s)))
        return Block(calls, LEAD * launch_s * calls)

    def time(self, call: Call, block: Block) -> float:
        """Seconds per call on the device."""
        self.synchronize()
        if block.lead_s:
            torch.cuda._sleep(int(block.lead_s * self._cycles_per_s))
        self._start.record()
        for _ in range(block.calls):
            call()
        self._end.record()
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1e-3 / block.calls

    def _sleep_cycles_per_s(self) -> float:
        cycles = 10_000_000
        torch.cuda._sleep(cycles)
        self.synchronize()
        self._start.record()
        torch.cuda._sleep(cycles)
        self._end.record()
        self._end.synchronize()
        return cycles / (float(self._start.elapsed_time(self._end)) * 1e-3)


def clock_for(device: torch.device) -> Clock:
    """The clock of a device."""
    return CudaClock(device) if device.type == "cuda" else HostClock(device)


def host_visible_s(call: Call, block: Block, device: torch.device) -> float:
    """Seconds per call that a host sees which waits for the end of the block."""
    return HostClock(device).time(call, Block(block.calls))


def cuda_graph_s(call: Call, block: Block, clock: CudaClock) -> float | None:
    """Seconds per call when the block is replayed as one CUDA graph; None if it won't capture."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            for _ in range(block.calls):
                call()
    except RuntimeError:
        clock.synchronize()
        return None
    clock.time(graph.replay, Block(1))
    return clock.time(graph.replay, Block(1)) / block.calls
