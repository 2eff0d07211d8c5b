"""Bandwidth by working set, in words and drawn: a line per operation, the caches across."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from assay.answer import figure, say
from assay.answer.figure import Axis, Line, Mark
from assay.probe import items
from assay.probe.working_sets import Cache, Point
from assay.statistic import Interval

GIGA = 1e-9
LEAST = 2  # points of a line


def of(result: Mapping[str, Any]) -> Interval:
    """A bandwidth in bytes/s, as results write it."""
    return Interval(*(result[f"bandwidth{end}_bytes_per_s"] for end in ("", "_low", "_high")))


def point(result: Mapping[str, Any]) -> Point:
    """A working set, as results write it."""
    seen, bound = of(result), bool(result.get("overhead_bound"))
    return Point(result["working_set_bytes"], seen.value, seen.low, seen.high, bound)


def interval(seen: Point, scale: float = 1.0) -> Interval:
    """The bandwidth within a working set, in bytes/s or another unit."""
    return Interval(scale * seen.rate, scale * seen.low, scale * seen.high)


def told(seen: Interval) -> str:
    """A bandwidth in words: ``44.1 [43.5, 44.9] GB/s``."""
    return say.interval(seen, "GB/s", GIGA)


def clear(points: Sequence[Point]) -> list[Point]:
    """The working sets in which memory decides, not the start of a call."""
    return [point for point in points if not point.overhead_bound]


def drawn(
    scans: Mapping[str, Sequence[Point]], caches: Sequence[Cache], memory: Interval | None = None
) -> Figure | None:
    """The working sets beyond the overhead, by what was done to them; None where there is no line.

    Marks are the reported caches, where lines may fall, and the bandwidth of memory in bytes/s.
    """
    lines = [
        Line(name, [each.size for each in kept], [interval(each, GIGA) for each in kept])
        for name, points in scans.items()
        if len(kept := clear(points)) >= LEAST
    ]
    if not lines:
        return None
    sizes = [size for line in lines for size in line.x]
    marks = [
        Mark(cache.size, f"{cache.level} {items.size(cache.size)}")
        for cache in caches
        if min(sizes) < cache.size < max(sizes)
    ]
    powers = range(math.ceil(math.log2(min(sizes))), math.ceil(math.log2(max(sizes))))
    x = Axis(
        "working set: all arrays together", items.size, log=True, ticks=[2.0**k for k in powers]
    )
    name = f"{say.value(memory, 'GB/s', GIGA)} memory" if memory else ""
    levels = [Mark(GIGA * memory.value, name)] if memory else []
    return figure.lines(lines, x, Axis("GB/s", log=True), marks=marks, levels=levels)


def described(scans: Mapping[str, Sequence[Point]]) -> str:
    """What a drawing shows, for those who cannot see it."""
    parts = []
    for name, points in scans.items():
        if kept := clear(points):
            top, last = max(kept, key=lambda point: point.rate), kept[-1]
            parts.append(
                f"{name} has at most {items.rate(top.rate)} in {items.size(top.size)} and "
                f"{items.rate(last.rate)} in {items.size(last.size)}"
            )
    return f"{'; '.join(parts)}."
