"""What a device can do at most, as this run measured it: bandwidth from memory, best products.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore
architectures" (2009), with measured ceilings in the place of nominal ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.answer import say, scan, verdict
from assay.probe.working_sets import Point
from assay.record import Record, Status, Trial
from assay.statistic import Interval

ITEM_BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}
PRODUCTS = ("alignment", "crossover")  # the studies whose products stand in the roofline
MEASURED = ("target", "all_threads", "anchor")  # arms of whole products, by their old names


# ---- memory ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """The scan of one operation on one number of threads."""

    operation: str
    threads: int | None  # None on an accelerator
    overhead_s: float  # of a call on one element
    points: list[Point]  # those that could be measured, smallest first
    largest: int  # bytes of the largest working set that was asked for

    @property
    def name(self) -> str:
        """Operation and threads in words."""
        return with_threads(self.operation, self.threads)

    @property
    def memory(self) -> Point | None:
        """The largest working set; None if nothing from half of what was asked on was measured."""
        last = self.points[-1]
        return last if 2 * last.size >= self.largest else None

    @property
    def fastest(self) -> Point | None:
        """The fastest working set beyond the overhead."""
        return max(scan.clear(self.points), key=lambda point: point.rate, default=None)


def with_threads(what: str, threads: int | None) -> str:
    """Something with the number of threads that it has, where it has any."""
    return what if threads is None else f"{what}, with {say.plural(threads, 'thread')}"


def curve(trial: Trial) -> Curve:
    """The scan of a trial of the bandwidth study that went well."""
    what: Any = trial.what
    result: Any = trial.result
    return Curve(
        what["operation"],
        what.get("threads"),
        result["overhead_s"],
        [scan.point(each) for each in result["points"] if each["status"] == Status.OK],
        max(each["working_set_bytes"] for each in result["points"]),
    )


def curves(records: Iterable[Record]) -> list[Curve]:
    """Every scan that went well."""
    trials = [t for each in records if each.study == "bandwidth" for t in each.trials]
    return [curve(t) for t in trials if t.status == Status.OK and "operation" in t.what]


def roof(found: Sequence[Curve]) -> Curve | None:
    """What gets most from memory, on all threads, or on fewer if those were not measured."""
    for threads in reversed(dict.fromkeys(each.threads for each in found)):
        if known := [each for each in found if each.threads == threads and each.memory]:
            return max(known, key=lambda each: each.points[-1].rate)
    return None


# ---- products ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate(Interval):
    """A bandwidth in bytes/s or a throughput in FLOP/s."""

    noise: float  # what its control made up


@dataclass(frozen=True)
class Product(Rate):
    """The product of two n × n matrices."""

    study: str
    dtype: str
    n: int

    @property
    def intensity(self) -> float:
        """FLOP per byte."""
        return intensity(self.dtype, self.n, self.n, self.n)


def intensity(dtype: str, m: int, n: int, k: int) -> float:
    """FLOP per byte of a product of (m, k) and (k, n) matrices: each of three is moved once."""
    return 2 * m * n * k / (ITEM_BYTES[dtype] * (m * k + k * n + m * n))


def products(records: Iterable[Record]) -> list[Product]:
    """The products of two square matrices in the records of other studies.

    Other shapes and tasks are known by their work, which is not 2n³, other layouts by name.
    """
    found = []
    for study, trial in ((each.study, trial) for each in records for trial in each.trials):
        what: Any = trial.what
        dtype, n = what.get("dtype"), what.get("n", 0)
        plain = dtype in ITEM_BYTES and not what.get("layout")
        if study in PRODUCTS and trial.status == Status.OK and plain:
            arm = _measured_arm(trial.result)
            # Pooled occasions are geometric means, which round.
            if arm and math.isclose(arm["units_per_call"], 2 * n**3):
                times = (arm[f"time_{end}_s"] for end in ("median", "high", "low"))
                value, low, high = (2 * n**3 / time for time in times)
                noise = verdict.noise(trial.result)
                found.append(Product(value, low, high, noise, study, dtype, n))
    return found


def fastest(found: Iterable[Product]) -> dict[str, Product]:
    """The fastest product of each number format, wide formats first."""
    best = {each.dtype: each for each in sorted(found, key=lambda each: each.value)}
    return {dtype: best[dtype] for dtype in ITEM_BYTES if dtype in best}


def _measured_arm(result: Mapping[str, Any]) -> dict[str, Any]:
    """The arm that the trial's throughput was calculated from.

    Records from before its name was kept have it under one of the names it had.
    """
    found = result.get("arms") or {}
    named = result.get("arm") or next((name for name in MEASURED if name in found), None)
    return dict(found.get(named, {})) if "throughput_flops" in result else {}


# ---- the roofline ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Roofline:
    """What limits a device: how fast memory feeds it, and how fast it computes."""

    memory: Interval | None  # bytes/s; None where it was not measured
    best: Mapping[str, Product]  # the fastest product of each number format

    def share(self, dtype: str, intensity: float) -> float | None:
        """Share of the best product's speed at so many FLOP per byte; None where not known."""
        if self.memory is None or dtype not in self.best:
            return None
        return min(1.0, intensity * self.memory.value / self.best[dtype].value)


def of(records: Sequence[Record]) -> Roofline:
    """The roofline of a device, from its records of bandwidth and products."""
    top = roof(curves(records))
    memory = scan.interval(top.points[-1]) if top else None
    return Roofline(memory, fastest(products(records)))
