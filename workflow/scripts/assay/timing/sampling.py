"""Samples of single timings: unpaired, but taken in turn.

Every round takes one sample of everything that is timed, in an order drawn anew, so that a
neighbour who comes and goes makes the intervals wider and not a step that looks like a finding.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from pydantic import JsonValue

from assay import contention, machine, statistic
from assay.job import Job
from assay.record import Status
from assay.timing.clock import Block, Call, Clock, disturbed
from assay.timing.trial import TRIES, Protocol


@dataclass
class Probe:
    """One thing that is timed again and again.

    Attributes:
        traffic: Bytes that one call reads and writes.
        place: A call on operands that lie somewhere new.
    """

    traffic: int
    place: Callable[[], Call]
    block: Block = field(default_factory=lambda: Block(1))
    wanted: int = 0  # samples that count
    times: list[float] = field(default_factory=list)  # seconds per call
    delays: list[float | None] = field(default_factory=list)
    void: list[bool] = field(default_factory=list)

    @property
    def kept(self) -> list[float]:
        """Seconds per call of the samples that count."""
        return [t for t, void in zip(self.times, self.void, strict=True) if not void]


class _Sample(NamedTuple):
    """One timing."""

    call_s: float
    delay: float | None  # share of it that a thread of ours waited for a core
    spoilt: bool  # by that wait


class Sampler:
    """Takes samples of probes until each has enough, or has been tried often enough."""

    def __init__(self, job: Job, clock: Clock) -> None:
        settings, self.clock = job.settings, clock
        self.protocol = Protocol.from_settings(settings["protocol"], clock.device)
        self.draw = np.random.default_rng(settings["seed"])
        self.point_s: float = settings["point_s"]
        self.attempts: int = settings["attempts"]
        self.least = statistic.fewest(self.protocol.confidence)
        # As many samples as a trial has rounds, or fewer where a block would get too short.
        self.block_s = max(self.protocol.block_s, self.point_s / self.protocol.rounds_least)

    def run(self, probes: Sequence[Probe]) -> None:
        """One sample of every probe a round; a probe that has enough leaves."""
        pending = list(probes)
        with contention.waits() as waits:
            for probe in probes:
                self._prepare(probe, waits)
            while pending:
                for i in self.draw.permutation(len(pending)):
                    self._sample(pending[i], waits)
                pending = [probe for probe in pending if self._unfinished(probe)]

    def _prepare(self, probe: Probe, waits: contention.Waits) -> None:
        """Warm up, and decide how many calls make a sample and how many samples are wanted."""
        call = probe.place()
        call()
        for _ in range(TRIES):  # a call that waited for a core seems as long as a block
            once = self._time(call, Block(1), waits)
            if not once.spoilt:
                break
        if once.call_s < self.block_s:
            probe.block = self.clock.calibrate(call, self.block_s)
        affordable = round(self.point_s / max(once.call_s, self.block_s))
        probe.wanted = max(self.least, min(self.protocol.rounds_least, affordable))

    def _sample(self, probe: Probe, waits: contention.Waits) -> None:
        call = probe.place()
        if probe.block.calls == 1:  # before a block of several, the clock does so
            call()  # the caches hold the new place now, or as much of it as they can
        seen = self._time(call, probe.block, waits)
        probe.times.append(seen.call_s)
        probe.delays.append(seen.delay)
        probe.void.append(seen.spoilt or machine.throttled(self.clock.device) is not None)

    def _time(self, call: Call, block: Block, waits: contention.Waits) -> _Sample:
        """Time one block."""
        before, start = waits.read(), time.perf_counter()
        seconds = self.clock.time(call, block)
        wall_s = time.perf_counter() - start
        waited_s = contention.longest_wait(before, waits.read())
        spoilt = disturbed(self.clock, waited_s, self.protocol.void_delay_share * wall_s)
        return _Sample(seconds, None if waited_s is None else waited_s / wall_s, spoilt)

    def _unfinished(self, probe: Probe) -> bool:
        most = self.attempts * probe.wanted
        return len(probe.kept) < probe.wanted and len(probe.times) < most

    def summary(self, probe: Probe) -> dict[str, JsonValue]:
        """Status of a probe and, where enough samples count, its median with the interval."""
        counts: dict[str, JsonValue] = {
            "calls_per_block": probe.block.calls,
            "samples": len(probe.times),
            "samples_kept": len(probe.kept),
        }
        if len(probe.kept) < self.least:
            return {"status": Status.CONTENDED.value, **counts}
        time = statistic.median(probe.kept, self.protocol.confidence)
        return {
            "status": Status.OK.value,
            "bandwidth_bytes_per_s": probe.traffic / time.value,
            "bandwidth_low_bytes_per_s": probe.traffic / time.high,
            "bandwidth_high_bytes_per_s": probe.traffic / time.low,
            "time_median_s": time.value,
            "time_low_s": time.low,
            "time_high_s": time.high,
            **counts,
        }

    def rounds(self, probes: Sequence[Probe]) -> dict[str, JsonValue]:
        """How many samples there are and how many of them void, under the names of a trial."""
        void = [void for probe in probes for void in probe.void]
        on = {} if self.clock.device.type == "cpu" else {"clock": self.clock.name}
        return {"rounds": len(void), "rounds_void": sum(void), **on}
