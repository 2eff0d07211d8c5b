"""Memory by size of the working set: which sizes a scan takes, where it falls, what was reported.

A *working set* is all the bytes that an operation touches, those of every array together. Nothing
here measures, and nothing imports torch, so that answers use it as well as measuring scripts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from assay.probe import items
from assay.probe.items import Item
from assay.record import Record

BEYOND_CACHE = 4  # times the largest cache: from there on the speed is that of memory
# A fall by this power of two in a doubling of the working set (16 %) belongs to a knee.
STEEP = 1 / 4
FALL = 1.2  # and the whole knee must fall by this factor


def sizes(smallest: int, largest: int, per_doubling: int = 1) -> list[int]:
    """Sizes in bytes from the smallest up to the largest, so many in each doubling.

    There is always one, even if the largest is smaller than the smallest.
    """
    doublings = math.log2(max(1.0, largest / smallest))
    steps = math.floor(per_doubling * doublings + 1e-9)  # the last step may miss by rounding
    sizes = [round(smallest * 2 ** (step / per_doubling)) for step in range(steps + 1)]
    return [size for size in sizes if size <= max(smallest, largest)]


@dataclass(frozen=True)
class Point:
    """Bandwidth within one working set, in bytes/s, with its interval."""

    size: int  # bytes of all arrays
    rate: float
    low: float
    high: float
    overhead_bound: bool  # so short an operation that its start decides


# ---- knees -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Knee:
    """A stretch of working sets, in bytes, over which bandwidth falls, in bytes/s."""

    start: int  # the last working set before the fall
    end: int  # the first after it
    middle: float  # where the geometric mean of the two rates is passed
    above: float
    below: float


def knees(points: Sequence[Point]) -> list[Knee]:
    """Where bandwidth falls from one level of memory to the next, smallest working set first.

    Only what lies beyond the overhead and from the fastest working set on can be a knee: before
    that, more work per call makes the bandwidth rise. There, lone outliers are removed by a
    running median of three, and a falling curve is fitted by isotonic regression of the log
    bandwidth. A knee is an unbroken run of steep steps of that curve (``STEEP``) that falls far
    enough in all (``FALL``), with measured intervals at its ends that do not overlap. Two falls
    with no level between them are one knee.

    Args:
        points: The scan, smallest working set first.
    """
    clear = [point for point in points if not point.overhead_bound]
    if not clear:
        return []
    fastest = max(range(len(clear)), key=lambda i: clear[i].rate)
    falling = clear[fastest:]
    sizes = np.log2([point.size for point in falling])
    rates = _falling(np.log2([point.rate for point in falling]))
    steep = np.diff(rates) < -STEEP * np.diff(sizes)
    found = []
    for first, last in _runs(steep):
        apart = falling[first].low > falling[last].high
        if apart and rates[first] - rates[last] >= math.log2(FALL):
            halfway = (rates[first] + rates[last]) / 2
            # np.interp wants rising abscissae: over the run the rates fall.
            middle = np.interp(-halfway, -rates[first : last + 1], sizes[first : last + 1])
            found.append(
                Knee(
                    falling[first].size,
                    falling[last].size,
                    float(2**middle),
                    float(2 ** rates[first]),
                    float(2 ** rates[last]),
                )
            )
    return found


def _falling(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The falling curve nearest to the values, after a running median of three."""
    # Imported here: it costs half a CPU second, and measuring scripts only list working sets.
    from scipy.optimize import isotonic_regression

    inner = np.median([values[:-2], values[1:-1], values[2:]], axis=0)
    smooth = np.concatenate([values[:1], inner, values[1:][-1:]])
    return np.asarray(isotonic_regression(smooth, increasing=False).x)


def _runs(steps: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last point of every unbroken run of true steps; step i leads from i to i + 1."""
    padded = np.concatenate([[False], steps, [False]])
    edges = np.flatnonzero([a != b for a, b in pairwise(padded)])
    return [(int(first), int(last)) for first, last in edges.reshape(-1, 2)]


# ---- what the hardware study reported --------------------------------------------------------


@dataclass(frozen=True)
class Cache:
    """A reported cache, as far as some threads can fill it."""

    name: str  # with number and size: 2 × 48 KiB L1d
    level: str  # L1d
    size: int  # bytes of all its instances


def reported_caches(record: Record, threads: int) -> list[Cache]:
    """The data caches that so many threads can fill, smallest first.

    Args:
        record: Of the hardware study.
        threads: CPU threads; of a GPU the one L2 is given.
    """
    found = []
    for entry in items.values(record, Item.CACHES).get("caches", []):
        if entry["type"] != "instruction":
            used = min(entry["instances"] or 1, threads)
            name = items.cache({**entry, "instances": used})
            found.append(Cache(name, name.rsplit(" ", 1)[1], used * entry["size_bytes"]))
    if l2 := items.values(record, Item.GPU).get("l2_bytes"):
        found.append(Cache(f"{items.size(l2)} L2", "L2", l2))
    return sorted(found, key=lambda each: each.size)


def theoretical(record: Record) -> float | None:
    """Theoretical bandwidth of a device's memory in bytes/s; None where it is not known.

    Args:
        record: Of the hardware study.
    """
    for item in (Item.GPU_BANDWIDTH, Item.CPU_BUS):
        if theory := items.values(record, item).get("bandwidth_bytes_per_s"):
            return float(theory)
    return None
