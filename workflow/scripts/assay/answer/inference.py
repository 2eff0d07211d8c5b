"""The statistics of an answer: intervals of few runs, tests, fits, corrections.

Thin names over SciPy. Answers import it; measuring scripts do not (see :mod:`assay.statistic`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from assay.statistic import Interval, exponential, fewest

SPREAD = 1e-12  # of differences, up to which they are equal


def mean(samples: ArrayLike) -> Interval:
    """Mean with Student's interval; endless for a single sample."""
    values = np.asarray(samples, dtype=float)
    if len(values) < 2:
        return Interval(float(values.mean()), -math.inf, math.inf)
    bounds: Any = stats.ttest_1samp(values, 0.0).confidence_interval()
    return Interval(float(values.mean()), float(bounds.low), float(bounds.high))


def share(hits: int, tries: int) -> Interval:
    """Share of hits with its exact interval (Clopper and Pearson 1934)."""
    bounds: Any = stats.binomtest(hits, tries).proportion_ci(method="exact")
    return Interval(hits / tries, float(bounds.low), float(bounds.high))


@dataclass(frozen=True)
class PairedDifference(Interval):
    """Mean of paired differences, its interval, and the p-value of Student's paired test."""

    p: float


def paired_difference(target: ArrayLike, reference: ArrayLike) -> PairedDifference:
    """Difference target − reference of samples that belong together, such as runs of one seed.

    Where all differences are equal, Student's test is certain, since it divides by their spread.
    But accuracies are counts, of which few differences can be equal by chance: there the sign test
    (Arbuthnot 1710) decides, and fewer than six have no interval.
    """
    differences = np.asarray(target, dtype=float) - np.asarray(reference, dtype=float)
    middle = mean(differences)
    if len(differences) < 2 or np.ptp(differences) > SPREAD:
        p = float(stats.ttest_1samp(differences, 0.0).pvalue) if len(differences) > 1 else 1.0
        return PairedDifference(middle.value, middle.low, middle.high, p=p)
    if abs(middle.value) <= SPREAD:
        return PairedDifference(0.0, 0.0, 0.0, p=1.0)
    reach = 0.0 if len(differences) >= fewest(0.95) else math.inf
    ends = (middle.value - reach, middle.value + reach)
    return PairedDifference(middle.value, *ends, p=0.5 ** (len(differences) - 1))


def difference(one: Interval, other: Interval) -> Interval:
    """The difference of two quantities that were measured apart, from their intervals.

    What each lies from its end adds in quadrature (Newcombe 1998), so that shares near 0 or 1 keep
    intervals of unequal sides.
    """
    value = one.value - other.value
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    return Interval(value, value - below, value + above)


def detectable_difference(differences_std: float, count: int) -> float:
    """Smallest true difference that a paired t-test finds in 80 % of cases, in the data's unit.

    The usual approximation by quantiles of Student's distribution: (t₁₋α/₂ + t_power) · s / √n.
    """
    if count < 2:
        return math.inf
    quantiles = np.asarray(stats.t.ppf([0.975, 0.8], count - 1))
    return float(quantiles.sum() * differences_std / math.sqrt(count))


@dataclass(frozen=True)
class PowerLaw:
    """y = scale · Π x^exponent, fitted to positive numbers."""

    scale: Interval
    exponents: dict[str, Interval]


def power_law(values: ArrayLike, factors: Mapping[str, ArrayLike]) -> PowerLaw:
    """Fit a power law of positive numbers, y to each x by name, with Student's intervals.

    By least squares of the logarithms. The intervals are endless where there are no more values
    than numbers to fit.

    Raises:
        ValueError: The factors do not vary, or not independently of each other.
    """
    logs = np.log(np.asarray(values, dtype=float))
    columns = [np.log(np.asarray(each, dtype=float)) for each in factors.values()]
    design = np.column_stack([np.ones(len(logs)), *columns])
    fitted, _, rank, _ = np.linalg.lstsq(design, logs)
    if rank < design.shape[1]:
        raise ValueError(f"{', '.join(factors)} do not vary independently in {len(logs)} values")
    freedom = len(logs) - design.shape[1]
    half = np.full(design.shape[1], math.inf)
    if freedom > 0:
        variance = np.sum((logs - design @ fitted) ** 2) / freedom
        errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
        half = stats.t.ppf(0.975, freedom) * errors
    first, *rest = map(
        Interval, *(each.tolist() for each in (fitted, fitted - half, fitted + half))
    )
    return PowerLaw(exponential(first), dict(zip(factors, rest, strict=True)))


@dataclass(frozen=True)
class Slope(Interval):
    """Slope of a straight line by least squares, with its interval and its p-value."""

    p: float
    count: int  # points


def slope(x: ArrayLike, y: ArrayLike, errors: ArrayLike) -> Slope | None:
    """Slope of a straight line through points; None for fewer than three, or all at one x.

    A few points may lie on a line by chance: its interval is never narrower than the standard
    errors of ``y`` make it.
    """
    across, up = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(across) < 3 or not np.ptp(across):
        return None
    centred = across - across.mean()
    weights = centred / np.sum(centred**2)
    value, freedom = float(weights @ up), len(up) - 2
    scatter = up - up.mean() - value * centred
    error = math.sqrt(float(np.sum(scatter**2) / freedom * np.sum(weights**2)))
    known = float(np.linalg.norm(weights * np.asarray(errors, dtype=float)))
    reach = float(max(stats.t.ppf(0.975, freedom) * error, stats.norm.ppf(0.975) * known))
    by_scatter = 2 * stats.t.sf(abs(value) / error, freedom) if error else float(not value)
    p = max(float(by_scatter), two_sided_p(value, known))
    return Slope(value, value - reach, value + reach, p=p, count=len(up))


def two_sided_p(estimate: float, standard_error: float) -> float:
    """p-value of a normally distributed estimate against zero."""
    if standard_error == 0:
        return 1.0 if estimate == 0 else 0.0
    return float(2 * stats.norm.sf(abs(estimate) / standard_error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm-corrected p-values of one family of comparisons, in the order given.

    The numbers are those of statsmodels, which collects the garbage of the whole process for each
    family: a tenth of a second that is not worth an import of another second.
    """
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    raised = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty_like(values)
    corrected[order] = np.minimum(raised, 1.0)
    return [float(each) for each in corrected]


def bracket(sizes: Sequence[float], below: Sequence[bool]) -> tuple[float, float]:
    """The neighbours among rising sizes between which a curve falls below a level, and then stays.

    Twice 0 where it is below everywhere (always); twice infinity where it is not at last.
    """
    last = max((i for i, each in enumerate(below) if not each), default=None)
    if last is None:
        return 0.0, 0.0
    return (sizes[last], sizes[last + 1]) if last + 1 < len(sizes) else (math.inf, math.inf)


def ends(
    sizes: Sequence[float], possible: Sequence[bool], certain: Sequence[bool]
) -> tuple[float, float]:
    """Between which rising sizes something begins to be so, and then stays so, beyond doubt.

    Returns:
        The last size at which it is not possible (0: none, infinity: that is the largest), and the
        first from which on it is certain (0: the smallest already, infinity: none).
    """
    return bracket(sizes, possible)[0], bracket(sizes, certain)[1]
