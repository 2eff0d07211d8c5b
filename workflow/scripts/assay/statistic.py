"""The statistics of measured samples that a measuring script needs; NumPy alone.

SciPy takes half a CPU second to import, at the start of every job and before anything is measured;
what needs it (tests, corrections, fits) is asked where verdicts are given:
:mod:`assay.answer.inference`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike

OUTLIER_MADS = 14.8  # |x − median| / MAD: ten standard deviations of a normal distribution


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval, relative to the estimate."""
        return (self.high - self.low) / 2 / abs(self.value) if self.value else math.inf


@dataclass(frozen=True)
class Summary:
    """Robust summary of one arm's samples, in the unit of the samples."""

    median: float
    low: float  # interval of the median
    high: float
    iqr: float
    mad: float
    best: float
    count: int
    outliers: int  # flagged, never removed


@cache
def median_rank(count: int, confidence: float) -> int:
    """The order statistic (from 1) at which the exact interval of a median begins; 0 if none does.

    It is the largest r for which P(X < r) ≤ (1 − confidence) / 2 for X binomial with p = ½: the
    interval from the r-th smallest to the r-th largest then holds the median often enough
    (Conover, "Practical nonparametric statistics", 1999, section 3.2).
    """
    ways, below = 1, 0  # ways to choose i of count; those of fewer than i
    for i in range(count):
        below += ways
        if below / 2**count > (1 - confidence) / 2:
            return i
        ways = ways * (count - i) // (i + 1)
    return 0


def fewest(confidence: float) -> int:
    """Samples that the interval of a median needs at least: six for 95 %."""
    return math.ceil(math.log2(2 / (1 - confidence)))


def median(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """Median with its exact interval by order statistics.

    The interval is infinite where there are too few samples: under six for 95 %.
    """
    values = np.sort(np.asarray(samples, dtype=float))
    rank = median_rank(len(values), confidence)
    low, high = (values[rank - 1], values[-rank]) if rank else (-math.inf, math.inf)
    return Interval(float(np.median(values)), float(low), float(high))


def summary(samples: ArrayLike, confidence: float = 0.95) -> Summary:
    """Median, interquartile range, median absolute deviation and best of an arm's samples."""
    values = np.asarray(samples, dtype=float)
    middle = median(values, confidence)
    distance = np.abs(values - middle.value)
    mad = float(np.median(distance))
    return Summary(
        median=middle.value,
        low=middle.low,
        high=middle.high,
        iqr=float(np.subtract(*np.percentile(values, [75, 25]))),
        mad=mad,
        best=float(values.min()),
        count=len(values),
        outliers=int(np.sum(distance > OUTLIER_MADS * mad)) if mad else 0,
    )


def paired_ratio(target: ArrayLike, anchor: ArrayLike, confidence: float = 0.95) -> Interval:
    """Median of the ratios target / anchor of samples taken in the same rounds.

    The interval is that of the median of the log ratios, so that exchanging the two arms gives
    exactly the reciprocal.
    """
    logs = np.log(np.asarray(target, dtype=float)) - np.log(np.asarray(anchor, dtype=float))
    return exponential(median(logs, confidence))


def exponential(logs: Interval) -> Interval:
    """An estimate on the log scale brought back; infinite ends become 0 and infinity."""
    return Interval(*(math.exp(min(end, 700.0)) if end < math.inf else math.inf
                      for end in (logs.value, logs.low, logs.high)))  # fmt: skip


def mean_of_many(samples: ArrayLike, confidence: float = 0.95) -> Interval:
    """Mean of hundreds of samples or more, with the normal distribution's interval.

    Of few samples take :func:`assay.answer.inference.mean`, which knows Student's.
    """
    values = np.asarray(samples, dtype=float)
    if len(values) < 2:
        return Interval(float(values.mean()), -math.inf, math.inf)
    reach = normal_quantile(confidence) * float(values.std(ddof=1)) / math.sqrt(len(values))
    middle = float(values.mean())
    return Interval(middle, middle - reach, middle + reach)


def wilson_share(hits: int, tries: int, confidence: float = 0.95) -> Interval:
    """Share of hits with Wilson's interval (Wilson 1927), which stays within 0 and 1."""
    z = normal_quantile(confidence)
    share, shrink = hits / tries, 1 + z * z / tries
    middle = (share + z * z / (2 * tries)) / shrink
    reach = z / shrink * math.sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries))
    return Interval(share, middle - reach, middle + reach)


def normal_quantile(confidence: float) -> float:
    """Half the width of a normal distribution's central interval, in standard errors: 1.96."""
    return NormalDist().inv_cdf((1 + confidence) / 2)
