"""Probe one device: what it is, and how fast it copies memory, by size of the working set.

    python workflow/scripts/measure_hardware.py --device cpu --output cpu.json

For a CPU the record holds the rows about the system, for anything else those about that GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from assay import job, machine
from assay.job import Job
from assay.probe import accelerator, system, working_sets
from assay.probe.items import Item, Reading, rate
from assay.record import Status, Trial
from assay.timing import trial
from assay.timing.clock import clock_for
from assay.timing.trial import Protocol, Work
from pydantic import JsonValue

ARRAYS = 2  # a copy reads one and writes one
MEMORY_SHARE = 1 / 4  # of the free memory, at most
ALLOWS = (Item.CPU_BUS, Item.GPU_BANDWIDTH)  # rows that say how fast memory can be at most
ONE_ELEMENT = ARRAYS * 4  # bytes: a copy that is nothing but overhead

Pair = tuple[torch.Tensor, torch.Tensor]


def measure(job: Job) -> list[Trial]:
    """The rows of the probe, then the copies."""
    on_cpu = job.device.type == "cpu"
    readings = (
        system.rows(job.settings["cpu_memory_bus"]) if on_cpu else accelerator.rows(job.device)
    )
    cache = largest_cache_bytes(readings)
    copies = copy_by_working_set(job, cache)
    least_rate = job.settings["fastest_memory_mts"] * 1e6 if on_cpu else None
    measured = bandwidth(copies, least_rate)
    return [*(checked(each, measured, cache, least_rate) for each in readings), measured, copies]


def largest_cache_bytes(readings: Sequence[Reading]) -> int:
    """Size of the largest cache that was reported, all its instances together; 0 if none."""
    sizes = [0]
    for reading in readings:
        caches: Any = reading.values.get("caches", [])
        sizes += [entry["size_bytes"] * (entry["instances"] or 1) for entry in caches]
        if l2 := reading.values.get("l2_bytes"):
            sizes.append(int(str(l2)))
    return max(sizes)


def copied_sizes(smallest: int, largest: int, cache: int, free: int | None) -> list[int]:
    """Bytes of both arrays of a copy, doubling from the smallest to the largest.

    Args:
        smallest: Bytes of the first working set.
        largest: Bytes that the last one should have; it gets more to leave a large cache behind.
        cache: Bytes of the largest cache.
        free: Bytes of free memory, None if unknown; a quarter of it is the limit.
    """
    most = max(largest, working_sets.BEYOND_CACHE * cache)
    if free is not None:
        most = min(most, int(free * MEMORY_SHARE))
    return working_sets.sizes(smallest, int(most))


def copying(size: int, device: torch.device) -> Work[Pair]:
    """Copying half of a working set of that many bytes to the other half.

    The bytes counted are those read and those written, which is the working set. On a CPU the
    hardware may read the target, too, before it writes.
    """

    def prepare(generator: torch.Generator) -> Pair:
        # Not random: filling gigabytes would take longer than copying them.
        source = torch.arange(size // ARRAYS // 4, dtype=torch.float32, device=device)
        return source, torch.zeros_like(source)

    return Work(prepare, lambda pair: pair[1].copy_(pair[0]), float(size))


def copy_by_working_set(job: Job, cache: int) -> Trial:
    """Copies of every size against the largest, and of one element: the overhead."""
    settings, device = job.settings, job.device
    protocol = Protocol.from_settings(settings["protocol"], device)
    # A scan, not a verdict: a fixed number of rounds, on one pair of arrays per size.
    scan = replace(
        protocol, rounds_most=protocol.rounds_least, cap_s=settings["cap_s"], operand_sets=1
    )
    *sizes, largest = copied_sizes(
        settings["smallest_bytes"], settings["largest_bytes"], cache, machine.free_memory(device)
    )
    anchor, clock = copying(largest, device), clock_for(device)
    targets = {str(size): copying(size, device) for size in (ONE_ELEMENT, *sizes)}
    trial.settle(anchor, scan, clock, settings["seed"])
    what: dict[str, JsonValue] = {
        "item": Item.WORKING_SETS.value,
        "operation": "copy",
        "working_set_bytes": largest,
    }
    return trial.compare(what, anchor, targets, scan, clock, settings["seed"])


def bandwidth(copies: Trial, least_rate: float | None) -> Trial:
    """The bandwidth of memory: that of the largest working set.

    The bound on the bus holds even where the rounds were void: whatever was copied had to pass.

    Args:
        copies: The trial of all working sets.
        least_rate: Transfers per second of the fastest memory there is, to bound the bus width
            from below: slower memory would need more bits. None where the width is known.
    """
    what = {"item": Item.BANDWIDTH.value}
    source = "copy with torch; bytes read and bytes written, both counted once"
    values = {**_median_rate(copies), **(_bus_bound(copies, least_rate) if least_rate else {})}
    return Trial(
        what=what,
        status=copies.status,
        reason=copies.reason,
        result={**values, "source": source} if values else {},
    )


def checked(reading: Reading, measured: Trial, cache: int, fastest_rate: float | None) -> Trial:
    """A row of the probe; refused where more went through the memory than it allows.

    Args:
        reading: The row.
        measured: The bandwidth of memory.
        cache: Bytes of the largest cache, which may have held so much of the working set: only the
            rest is sure to have been memory. Nothing is sure where no cache was reported.
        fastest_rate: Transfers per second of the fastest memory there is, for a width of which no
            rate is known.
    """
    row, values = reading.trial(), reading.values
    seen: Any = measured.result
    theory = _theory(values, fastest_rate) if reading.item in ALLOWS else None
    low = seen.get("bandwidth_low_bytes_per_s")
    if theory and low and cache:
        passed = low * (1 - cache / seen["working_set_bytes"])
        if passed > theory:
            row.status = Status.REFUSED
            row.reason = (
                f"wrong: that would be {rate(theory)} at most, and copies moved {rate(passed)} "
                f"through the memory ({reading.source})"
            )
    return row


def _theory(values: dict[str, Any], fastest_rate: float | None) -> float | None:
    """Bytes per second that a row about memory allows."""
    if theory := values.get("bandwidth_bytes_per_s"):
        return float(theory)
    bits = values.get("bus_width_bits")
    return bits / 8 * fastest_rate if bits and fastest_rate else None


def _median_rate(copies: Trial) -> dict[str, float]:
    arms: Any = copies.result.get("arms")
    if not arms:
        return {}
    seen = arms[trial.ANCHOR]
    size = seen["units_per_call"]
    return {
        "working_set_bytes": size,
        "bandwidth_bytes_per_s": size / seen["time_median_s"],
        "bandwidth_low_bytes_per_s": size / seen["time_high_s"],
        "bandwidth_high_bytes_per_s": size / seen["time_low_s"],
    }


def _bus_bound(copies: Trial, least_rate: float) -> dict[str, float]:
    blocks: Any = copies.samples.get(trial.ANCHOR)
    size: Any = copies.what["working_set_bytes"]
    if not blocks:
        return {}
    return {
        "fastest_bytes_per_s": size / min(blocks),
        "at_transfer_rate_mts": least_rate / 1e6,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Probe the device that the command line names."""
    job.run("hardware", {}, measure, argv)


if __name__ == "__main__":
    main()
