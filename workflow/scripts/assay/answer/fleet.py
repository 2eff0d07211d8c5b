"""Which of several like machines is ill: each node beside the middle of its fleet.

All nodes did the same jobs. A node's effect on a part of the work is one number: over its jobs, the
robust mean of the logarithm of its time over the fleet's median. In everything it is the mean of
its parts. By how much a healthy node would vary is known in part beforehand (rounds, occasions, and
:data:`HEALTHY`), and in part shown by the other nodes: the median distance of any two of them,
which a quarter of them cannot spoil. Both are joined by their degrees of freedom, as occasions are
(:mod:`assay.answer.occasion`), so that eight nodes mostly rest on what is known, and two hundred
speak for themselves. Nodes that vary by more than is known are believed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from assay.answer import inference, verdict
from assay.answer.occasion import KNOWN_FREEDOM
from assay.answer.verdict import Comparison
from assay.statistic import Interval, exponential

Floats = NDArray[np.float64]

LEAST = 3  # nodes: where two differ nobody can say which of them is ill, of three two outvote one
HEALTHY = 0.015  # standard deviation of a logarithm of time between healthy machines of one model
TOLERANCE = 0.1  # a node whose whole interval is nearer to its like than this is in line
POWER = 0.8  # with which the smallest slowdown that is told would have been found

# Of normal numbers: the variance of a median over that of a mean; the standard deviation over the
# median distance of two, and the degrees of freedom of the latter per node (by simulation).
MEDIAN, DISTANCE, FREEDOM = math.pi / 2, 1.0483, 0.8
FAR, HUBER = 1.5, 1.04  # standard errors from which on a job is held back, and what that costs


class Standing(StrEnum):
    """What a node comes to."""

    IN_LINE = "in line"
    SLOW = "slow"
    FAST = "fast"
    UNKNOWN = "cannot tell"


ILL = (Standing.SLOW, Standing.FAST)


@dataclass(frozen=True)
class Effects:
    """By how much longer each node takes than the middle of its fleet, as logarithms.

    Attributes:
        value: Of each node, along the last axis; other axes are fleets.
        error: By how much a healthy node in its place would vary: a standard deviation.
        freedom: Degrees of freedom of that.
    """

    value: Floats
    error: Floats
    freedom: Floats

    @property
    def p(self) -> Floats:
        """Two-sided p-value of each node, of being like the others; not corrected."""
        return np.asarray(2 * stats.t.sf(np.abs(self.value) / self.error, self.freedom))

    def comparisons(self) -> list[Comparison]:
        """Each node of one fleet as a ratio of times, with its interval."""
        reach = stats.t.ppf(0.975, self.freedom) * self.error
        logs = map(Interval, self.value, self.value - reach, self.value + reach)
        return [
            Comparison(seen.value, seen.low, seen.high, p=float(p), margin=TOLERANCE)
            for seen, p in zip(map(exponential, logs), self.p, strict=True)
        ]

    def detectable(self, family: int) -> float:
        """The smallest ratio of times that would have been found among so many comparisons."""
        asked = stats.t.isf(verdict.SIGNIFICANCE / 2 / family, self.freedom)
        found = stats.t.ppf(POWER, self.freedom)
        reach = float(np.median((asked + found) * self.error))
        return math.exp(min(700.0, max(reach, math.log1p(verdict.MARGIN))))


def over_jobs(logs: Floats, errors: Floats) -> tuple[Floats, Floats]:
    """By how much longer each node takes over its jobs, as a logarithm, and its expected variance.

    It is one step from the median towards the mean, far jobs held back (Bickel 1975, JASA 70:428).

    Args:
        logs: Logarithm of each job's time, nodes by jobs; NaN where it was not measured. Axes
            before these two are fleets. Every node has a job, and every job a node.
        errors: Its standard error over rounds and occasions.
    """
    off = logs - np.nanmedian(logs, axis=-2, keepdims=True)
    # No job is known better than by what healthy machines differ in it.
    weights = np.where(np.isnan(logs), 0.0, 1 / np.hypot(errors, HEALTHY))
    start = weighted_median(off, weights)
    far = np.clip(np.nan_to_num(off - start[..., None]) * weights, -FAR, FAR)
    known = np.sum(weights**2, axis=-1)
    return start + np.sum(far * weights, axis=-1) / known, HUBER / known + HEALTHY**2


def over_parts(values: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """The same over the parts of the work along the last axis, NaN where a node lacks one."""
    weights = np.where(np.isnan(values), 0.0, 1 / variances)
    known = np.sum(weights, axis=-1)
    return np.sum(np.nan_to_num(values) * weights, axis=-1) / known, 1 / known


def effects(values: Floats, variances: Floats) -> Effects:
    """The nodes of a fleet, along the last axis, beside its middle, with errors as expected.

    Times how much more or less the other nodes vary. Where they do by more than both together say,
    that is added, and has few degrees of freedom (Satterthwaite 1946).
    """
    nodes = values.shape[-1]
    values = values - np.median(values, axis=-1, keepdims=True)
    own = (DISTANCE * distances_of_others(values / np.sqrt(variances))) ** 2
    freedom = max(1.0, FREEDOM * (nodes - 2))
    known = KNOWN_FREEDOM + freedom
    joined = (KNOWN_FREEDOM + freedom * own) / known
    more = np.maximum(0.0, own - joined)
    factor = joined + more
    error = np.sqrt(variances * factor * (1 + MEDIAN / nodes))  # the middle errs, too
    return Effects(values, error, factor**2 / (joined**2 / known + more**2 / freedom))


def weighted_median(values: Floats, weights: Floats) -> Floats:
    """The median over the last axis of values that weigh differently; those without weight miss.

    Where half of the weight lies on either side, it is the middle between the two next values.
    """
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=-1)
    heavy = np.cumsum(np.take_along_axis(weights, order, axis=-1), axis=-1)
    half = heavy[..., -1:] / 2
    sides = [np.argmax(reached, axis=-1)[..., None] for reached in (heavy >= half, heavy > half)]
    places = np.concatenate([np.take_along_axis(order, side, axis=-1) for side in sides], axis=-1)
    middle: Floats = np.take_along_axis(values, places, axis=-1).mean(axis=-1)
    return middle


def distances_of_others(values: Floats) -> Floats:
    """For each value along the last axis, the median distance of any two of the others."""
    count = values.shape[-1]
    one, other = np.triu_indices(count, 1)
    distances = np.abs(values[..., one] - values[..., other])
    order = np.argsort(distances, axis=-1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(np.arange(len(one)), order.shape), axis=-1)
    mine = np.empty((count, count), dtype=int)  # which distances are a value's own
    mine[one, other] = mine[other, one] = np.arange(len(one))
    mine = mine[~np.eye(count, dtype=bool)].reshape(count, count - 1)
    # Own ranks, less how many own ones are before each: those up to k stand before the k-th other.
    before = np.sort(ranks[..., mine], axis=-1) - np.arange(count - 1)
    left = len(one) - (count - 1)
    middle = [k + np.sum(before <= k, axis=-1) for k in ((left - 1) // 2, left // 2)]
    sides = [np.take_along_axis(order, rank, axis=-1) for rank in middle]
    found = [np.take_along_axis(distances, side, axis=-1) for side in sides]
    return np.asarray(np.mean(found, axis=0))


def standings(family: Sequence[Comparison]) -> list[Standing]:
    """The word on each comparison of a node with its fleet, corrected over all (Holm 1979).

    *Slow* and *fast* when the corrected p is under 0.05 and the difference one that matters. *In
    line* when the whole interval is nearer to 1 than :data:`TOLERANCE`. Else *cannot tell*.
    """
    corrected = inference.holm([each.p for each in family])
    return [_standing(each, p) for each, p in zip(family, corrected, strict=True)]


def _standing(seen: Comparison, corrected_p: float) -> Standing:
    if corrected_p < verdict.SIGNIFICANCE and abs(seen.value - 1) > verdict.MARGIN:
        return Standing.SLOW if seen.value > 1 else Standing.FAST
    near = max(1 - seen.low, seen.high - 1) <= TOLERANCE
    return Standing.IN_LINE if near else Standing.UNKNOWN


def together(parts: Sequence[Standing]) -> Standing:
    """A node's word from those on everything, which stands first, and on its parts."""
    return next((ill for ill in ILL if ill in parts), parts[0] if parts else Standing.UNKNOWN)
