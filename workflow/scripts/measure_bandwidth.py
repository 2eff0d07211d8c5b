"""Measure how fast one device moves memory, by size of the working set, and to and from the host.

    python workflow/scripts/measure_bandwidth.py --device cpu --output cpu.json

Unpaired: bandwidths are wanted, not ratios. But every round takes one sample of every working set
and operation in an order drawn anew, so that a neighbour who comes and goes makes the intervals
wider and not a step that looks like a cache.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from assay import contention, job, machine, statistic
from assay.job import Job
from assay.probe import accelerator, working_sets
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import Block, Call, clock_for
from assay.timing.trial import Protocol
from pydantic import JsonValue

BYTES = 4  # of a float32
LINE = 64 // BYTES  # elements of a cache line: arrays are whole lines
STEP = 256 // BYTES  # elements between the places of an array; an allocation is aligned so, or less
ROOM = 2**20 // BYTES  # elements more than the largest working set, to move it about
SCALAR = 0.5
BEYOND_CACHE = 4  # times the largest cache: here the speed is that of memory
PEAK_TOLERANCE = 1.05

Arrays = list[torch.Tensor]


@dataclass(frozen=True)
class Operation:
    """Something that streams through arrays, each of which is read or written once.

    Attributes:
        arrays: How many; if one is written it is the last.
        run: Does it once, without allocating more than a scalar.
    """

    arrays: int
    run: Callable[[Arrays], Any]


OPERATIONS = {
    "read": Operation(1, lambda x: x[0].sum()),
    "copy": Operation(2, lambda x: x[1].copy_(x[0])),
    "triad": Operation(3, lambda x: torch.add(x[0], x[1], alpha=SCALAR, out=x[2])),
}


# ---- samples ---------------------------------------------------------------------------------


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


def fewest(confidence: float) -> int:
    """Samples that an interval of the median needs at least: six for 95 %."""
    return math.ceil(math.log2(2 / (1 - confidence)))


class Sampler:
    """Takes samples of probes until each has enough, or has been tried often enough."""

    def __init__(self, job: Job) -> None:
        settings, device = job.settings, job.device
        self.protocol = Protocol.from_settings(settings["protocol"], device)
        self.clock = clock_for(device)
        self.draw = np.random.default_rng(settings["seed"])
        self.point_s: float = settings["point_s"]
        self.attempts: int = settings["attempts"]
        self.least = fewest(self.protocol.confidence)
        # As many samples as a trial has rounds, or fewer where a block would get too short.
        self.block_s = max(self.protocol.block_s, self.point_s / self.protocol.rounds_least)

    def run(self, probes: Sequence[Probe]) -> None:
        """One sample of every probe a round; a probe that has enough leaves."""
        for probe in probes:
            self._prepare(probe)
        pending = list(probes)
        with contention.waits() as waits:
            while pending:
                for i in self.draw.permutation(len(pending)):
                    self._sample(pending[i], waits)
                pending = [probe for probe in pending if self._unfinished(probe)]

    def _prepare(self, probe: Probe) -> None:
        """Warm up, and decide how many calls make a sample and how many samples are wanted."""
        call = probe.place()
        call()
        once_s = self.clock.time(call, Block(1))
        if once_s < self.block_s:
            probe.block = self.clock.calibrate(call, self.block_s)
        affordable = round(self.point_s / max(once_s, self.block_s))
        probe.wanted = max(self.least, min(self.protocol.rounds_least, affordable))

    def _sample(self, probe: Probe, waits: contention.Waits) -> None:
        call = probe.place()
        call()  # the caches hold the new place now, or as much of it as they can
        before, start = waits.read(), time.perf_counter()
        probe.times.append(self.clock.time(call, probe.block))
        wall_s = time.perf_counter() - start
        waited_s = contention.longest_wait(before, waits.read())
        delay = None if waited_s is None else waited_s / wall_s
        probe.delays.append(delay)
        delayed = delay is not None and delay > self.protocol.void_delay_share
        probe.void.append(delayed or machine.throttled(self.clock.device) is not None)

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


def rounds(probes: Iterable[Probe]) -> dict[str, JsonValue]:
    """How many samples there are and how many of them are void, under the names of a trial."""
    void = [void for probe in probes for void in probe.void]
    return {"rounds": len(void), "rounds_void": sum(void)}


# ---- the device's own memory -----------------------------------------------------------------


def place(arena: torch.Tensor, arrays: int, count: int, draw: np.random.Generator) -> Arrays:
    """Arrays of so many elements, each somewhere in its own part of the arena.

    The last array is the one that is written; the first half of the arena never is, so that the
    numbers cannot grow from call to call.
    """
    part = len(arena) // arrays // STEP * STEP
    places = (part - count) // STEP + 1
    starts = (i * part + STEP * int(draw.integers(places)) for i in range(arrays))
    return [arena[start : start + count] for start in starts]


def streaming(operation: Operation, count: int, arena: torch.Tensor, sampler: Sampler) -> Probe:
    """An operation on arrays of so many elements."""

    def somewhere() -> Call:
        arrays = place(arena, operation.arrays, count, sampler.draw)
        return lambda: operation.run(arrays)

    return Probe(operation.arrays * count * BYTES, somewhere)


def scan(job: Job, sampler: Sampler, threads: int | None) -> list[Trial]:
    """One trial per operation: its bandwidth in every working set, and its overhead.

    Args:
        job: The job.
        sampler: Takes the samples.
        threads: CPU threads in use, for the record; None on an accelerator.
    """
    settings, device = job.settings, job.device
    sizes = working_sets.sizes(
        settings["smallest_bytes"],
        affordable(settings["largest_bytes"], settings["memory_share"], device),
        settings["points_per_doubling"],
    )
    arena = normal(sizes[-1] // BYTES + ROOM, device, settings["seed"])
    _settle(arena, sampler)
    probes = {}
    for name in settings["operations"]:
        operation = OPERATIONS[name]
        lengths = [max(1, size // BYTES // operation.arrays // LINE) * LINE for size in sizes]
        # The first has one element: it is nothing but overhead.
        probes[name] = [streaming(operation, n, arena, sampler) for n in (1, *lengths)]
    sampler.run([probe for each in probes.values() for probe in each])
    on: dict[str, JsonValue] = {} if threads is None else {"threads": threads}
    return [
        _curve({"operation": name, **on}, each, sampler, settings["overheads"])
        for name, each in probes.items()
    ]


def affordable(wanted: int, share: float, device: torch.device) -> int:
    """Bytes that were wanted, cut to a share of the device's free memory where that is known."""
    free = machine.free_memory(device)
    return wanted if free is None else min(wanted, int(free * share))


def normal(count: int, device: torch.device, seed: int) -> torch.Tensor:
    """So many normal random numbers.

    A CPU's generator runs on one thread; the pages are touched by all threads first, so that
    where there are several NUMA nodes they lie on all of them.
    """
    generator = torch.Generator(device).manual_seed(seed)
    return torch.empty(count, device=device).fill_(0).normal_(generator=generator)


def _settle(arena: torch.Tensor, sampler: Sampler) -> None:
    half = len(arena) // 2
    trial.settle(
        lambda: arena[half : 2 * half].copy_(arena[:half]), sampler.protocol, sampler.clock
    )


def _curve(
    what: dict[str, JsonValue], probes: Sequence[Probe], sampler: Sampler, overheads: float
) -> Trial:
    """The trial of one operation; its first probe is the overhead."""
    overhead, *sets = probes
    # Contention only ever adds: if too few samples count, the fastest is nearest to the truth.
    enough = len(overhead.kept) >= sampler.least
    overhead_s = float(np.median(overhead.kept) if enough else min(overhead.times))
    points: list[dict[str, JsonValue]] = []
    for probe in sets:
        point = {"working_set_bytes": probe.traffic, **sampler.summary(probe)}
        if probe.kept:
            short = float(np.median(probe.kept)) < overheads * overhead_s
            point["overhead_bound"] = short
        points.append(point)
    measured = [point for point in points if point["status"] == Status.OK]
    return Trial(
        what=what,
        status=Status.OK if measured else Status.CONTENDED,
        reason=None if measured else _contended(sets, sampler),
        samples=_samples(probes),
        result={
            **rounds(probes),
            "contention_known": overhead.delays[0] is not None,
            "overhead_s": overhead_s,
            "points_contended": len(points) - len(measured),
            "points": list(points),
        },
    )


def _contended(probes: Sequence[Probe], sampler: Sampler) -> str:
    kept = max(len(probe.kept) for probe in probes)
    return (
        f"at most {kept} samples of a point could be kept, {sampler.least} are needed; something "
        "else used the machine"
    )


def _samples(probes: Sequence[Probe]) -> dict[str, list[Any]]:
    """Every sample, one row each; the overhead's have the bytes of one element per array."""
    return {
        "traffic_bytes": [float(probe.traffic) for probe in probes for _ in probe.times],
        "time_s": [time for probe in probes for time in probe.times],
        "void": [void for probe in probes for void in probe.void],
        "delay_share": [delay for probe in probes for delay in probe.delays],
    }


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# ---- between host and device -----------------------------------------------------------------


def transfers(job: Job, sampler: Sampler) -> list[Trial]:
    """Copies in both directions, from and to pageable and pinned memory of the host."""
    settings, share = job.settings, job.settings["memory_share"]
    size = affordable(settings["transfer_bytes"], share, job.device)
    count = affordable(size, share, torch.device("cpu")) // BYTES
    there = torch.ones(count, device=job.device)
    trials, probes = [], {}
    for kind, pinned in (("pageable", False), ("pinned", True)):
        try:
            here = torch.ones(count, pin_memory=pinned)
        except (MemoryError, RuntimeError) as error:  # pinning has limits of its own
            trials += [_not_transferred(direction, kind, error) for direction in DIRECTIONS]
            continue
        probes["host_to_device", kind] = moving(here, there)
        probes["device_to_host", kind] = moving(there, here)
    sampler.run(list(probes.values()))
    trials += [
        _transfer({"transfer": direction, "host_memory": kind}, probe, sampler)
        for (direction, kind), probe in probes.items()
    ]
    return trials


DIRECTIONS = ("host_to_device", "device_to_host")


def moving(source: torch.Tensor, target: torch.Tensor) -> Probe:
    """A copy between host and device; every byte crosses the bus once."""
    return Probe(source.nbytes, lambda: lambda: target.copy_(source, non_blocking=True))


def _not_transferred(direction: str, kind: str, error: Exception) -> Trial:
    full = job.is_out_of_memory(error)
    return Trial(
        what={"transfer": direction, "host_memory": kind},
        status=Status.OUT_OF_MEMORY if full else Status.UNAVAILABLE,
        reason=str(error).strip().splitlines()[0],
    )


def _transfer(what: dict[str, JsonValue], probe: Probe, sampler: Sampler) -> Trial:
    seen = sampler.summary(probe)
    status = Status(str(seen.pop("status")))
    return Trial(
        what=what,
        status=status,
        reason=None if status == Status.OK else _contended([probe], sampler),
        samples=_samples([probe]),
        result={**rounds([probe]), "transfer_bytes": probe.traffic, **seen},
    )


# ---- the job ---------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """On a CPU with one thread and with all; anything else once, and to and from it."""
    sampler = Sampler(job)
    if job.device.type != "cpu":
        curves = scan(job, sampler, None)
        if known := memory_peak(job.device):
            curves = [refused_if_impossible(each, *known) for each in curves]
        return curves + transfers(job, sampler)
    trials = []
    for threads in sorted({1, torch.get_num_threads()}):
        with on_threads(threads):
            trials += scan(job, sampler, threads)
    return trials


def memory_peak(device: torch.device) -> tuple[float, int] | None:
    """Theoretical bandwidth in bytes/s and bytes of L2 of an NVIDIA GPU; None if unknown."""
    if device.type != "cuda":
        return None
    properties = torch.cuda.get_device_properties(device)
    told = accelerator.bandwidth(properties, machine.nvml_handle(device)).values
    theory, cache = told.get("bandwidth_bytes_per_s"), getattr(properties, "L2_cache_size", None)
    return (float(str(theory)), int(cache)) if theory and cache else None


def refused_if_impossible(curve: Trial, peak: float, cache: int) -> Trial:
    """The curve, refused if its memory is faster than theory: the clock missed part of the work.

    Args:
        curve: The trial of one operation.
        peak: Theoretical bandwidth in bytes/s.
        cache: Bytes of the largest cache, which may well be faster.
    """
    points: Any = curve.result["points"]
    rates = [
        point["bandwidth_bytes_per_s"]
        for point in points
        if point["status"] == Status.OK and point["working_set_bytes"] >= BEYOND_CACHE * cache
    ]
    if rates and max(rates) > PEAK_TOLERANCE * peak:
        curve.status = Status.REFUSED
        curve.reason = (
            f"{max(rates) / 1e9:.0f} GB/s from memory is above the theoretical {peak / 1e9:.0f}: "
            "the clock missed part of the work"
        )
    return curve


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the device that the command line names."""
    job.run("bandwidth", {}, measure, argv)


if __name__ == "__main__":
    main()
