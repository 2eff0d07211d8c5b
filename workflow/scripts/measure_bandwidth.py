"""Measure how fast one device moves memory, by size of the working set, and to and from the host.

    python workflow/scripts/measure_bandwidth.py --device cpu --output cpu.json

Unpaired: bandwidths are wanted, not ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from assay import job, machine
from assay.device import first_line
from assay.job import Job
from assay.probe import accelerator, working_sets
from assay.record import Status, Trial
from assay.timing import proof, trial
from assay.timing.clock import Call, HostClock, clock_for
from assay.timing.sampling import Probe, Sampler
from assay.timing.threads import on_threads
from assay.timing.trial import Work
from pydantic import JsonValue

BYTES = 4  # of a float32
LINE = 64 // BYTES  # elements of a cache line: arrays are whole lines
STEP = 256 // BYTES  # elements between the places of an array; an allocation is aligned so, or less
ROOM = 2**20 // BYTES  # elements more than the largest working set, to move it about
SCALAR = 0.5

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
    halves = arena[: len(arena) // 2], arena[-(len(arena) // 2) :]
    copying: Work[Any] = Work(lambda _: halves, lambda pair: pair[1].copy_(pair[0]))
    trial.settle(copying, sampler.protocol, sampler.clock)
    probes = {}
    for name in settings["operations"]:
        operation = OPERATIONS[name]
        lengths = [max(1, size // BYTES // operation.arrays // LINE) * LINE for size in sizes]
        # The first has one element: it is nothing but overhead.
        probes[name] = [streaming(operation, n, arena, sampler) for n in (1, *lengths)]
    sampler.run([probe for each in probes.values() for probe in each])
    overheads = settings["overheads"]["cpu" if device.type == "cpu" else "gpu"]
    on: dict[str, JsonValue] = {} if threads is None else {"threads": threads}
    return [
        _curve({"operation": name, **on}, each, sampler, overheads) for name, each in probes.items()
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
            **sampler.rounds(probes),
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
        reason=first_line(error),
    )


def _transfer(what: dict[str, JsonValue], probe: Probe, sampler: Sampler) -> Trial:
    seen = sampler.summary(probe)
    status = Status(str(seen.pop("status")))
    return Trial(
        what=what,
        status=status,
        reason=None if status == Status.OK else _contended([probe], sampler),
        samples=_samples([probe]),
        result={**sampler.rounds([probe]), "transfer_bytes": probe.traffic, **seen},
    )


# ---- the job ---------------------------------------------------------------------------------


def measure(job: Job) -> list[Trial]:
    """On a CPU with one thread and with all; anything else once, and to and from it."""
    sampler = Sampler(job, clock_for(job.device))
    if job.device.type != "cpu":
        curves = scan(job, sampler, None)
        if known := memory_peak(job.device):
            curves = [refused_if_impossible(each, *known) for each in curves]
        return curves + transfers(job, Sampler(job, HostClock(job.device)))
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
        if point["status"] == Status.OK
        and point["working_set_bytes"] >= working_sets.BEYOND_CACHE * cache
    ]
    proof.refuse(curve, proof.beyond_peak(max(rates, default=None), peak, "GB/s from memory"))
    return curve


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the device that the command line names."""
    job.run("bandwidth", {"occasion": int}, measure, argv)


if __name__ == "__main__":
    main()
