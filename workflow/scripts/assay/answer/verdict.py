"""Comparisons and verdicts: one object, one judge.

A comparison is a ratio or a difference with its interval, its p-value and the bounds of its
verdict. It is made from things measured together (:func:`paired`, :func:`paired_difference`,
:func:`paired_ratio`), from things measured apart (:func:`unpaired`), or as a :func:`contrast` of
several. All comparisons that a question gives a word to are one family, and :func:`judge` judges
them once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from numpy.typing import ArrayLike

from assay.answer import inference
from assay.statistic import Interval, exponential, normal_quantile

MARGIN = 0.02  # two times that differ by less are the same to any reader
SIGNIFICANCE = 0.05  # of a Holm-corrected p-value


class Word(StrEnum):
    """The only words a comparison ends in."""

    FASTER = "faster"
    SLOWER = "slower"
    BETTER = "better"
    WORSE = "worse"
    SAME = "the same"
    UNKNOWN = "cannot tell"


DIFFERENT = (Word.FASTER, Word.SLOWER, Word.BETTER, Word.WORSE)
AS_GOOD = (Word.SAME, Word.BETTER)  # of accuracies


@dataclass(frozen=True)
class Comparison(Interval):
    """A target beside its anchor.

    Nothing differs at ``neutral``: 1 of a ratio (of times: above it is slower), 0 of a difference
    (of accuracies: above it is better). Within ``margin`` of it two things are called the same;
    noise does not widen that, or it would make sameness easier. ``noise`` is how far from
    ``neutral`` the interval of the control reached (the anchor's twin: the same work, measured as
    if it were another): no smaller difference is called one.
    """

    p: float  # two-sided, of no difference, not corrected
    neutral: float = 1.0
    margin: float = MARGIN
    noise: float = 0.0

    @property
    def bound(self) -> float:
        """The smallest distance from ``neutral`` that is called a difference."""
        return max(self.margin, self.noise)


def paired(result: Mapping[str, Any], target: str, margin: float = MARGIN) -> Comparison:
    """A target of a paired trial against its anchor, as a ratio of times per unit of work.

    The trial's occasions are pooled (:mod:`assay.answer.occasion`).
    """
    ratio = result["ratios"][target]
    ends = (ratio["ratio"], ratio["ratio_low"], ratio["ratio_high"])
    return Comparison(*ends, p=ratio["p"], margin=margin, noise=noise(result))


def noise(result: Mapping[str, Any]) -> float:
    """How far from 1 the interval of a paired trial's twin reaches."""
    twin = result["ratios"]["twin"]
    return float(max(abs(twin["ratio_low"] - 1), abs(twin["ratio_high"] - 1)))


def paired_difference(target: ArrayLike, reference: ArrayLike, margin: float) -> Comparison:
    """The mean difference of samples that belong together, such as accuracies of one seed."""
    seen = inference.paired_difference(target, reference)
    return Comparison(seen.value, seen.low, seen.high, p=seen.p, neutral=0.0, margin=margin)


def paired_ratio(
    target_logs: ArrayLike, reference_logs: ArrayLike, margin: float = MARGIN
) -> Comparison:
    """The geometric mean of ratios of positive quantities that belong together, from their logs."""
    logs = inference.paired_difference(target_logs, reference_logs)
    seen = exponential(logs)
    return Comparison(seen.value, seen.low, seen.high, p=logs.p, margin=margin)


def unpaired(
    target: Interval, anchor: Interval, margin: float = MARGIN, noise: float = 0.0
) -> Comparison:
    """The ratio of two positive quantities that were measured apart.

    Standard errors on the log scale add in quadrature; each is read off a 95 % interval. The noise
    is that of the worse of their controls.
    """
    return contrast([(1.0, target), (-1.0, anchor)], margin, noise)


def contrast(
    terms: Sequence[tuple[float, Interval]], margin: float = MARGIN, noise: float = 0.0
) -> Comparison:
    """The product of positive quantities, each measured apart, to the powers of their weights.

    Each has its 95 % interval, and may itself be a ratio; weights that sum to 0 make a ratio. The
    noise is that of the worst of their controls.
    """
    estimate = sum(weight * math.log(seen.value) for weight, seen in terms)
    error = math.hypot(*(weight * log_error(seen) for weight, seen in terms))
    reach = normal_quantile(0.95) * error
    return Comparison(
        math.exp(estimate),
        math.exp(estimate - reach),
        math.exp(min(700.0, estimate + reach)),
        p=inference.two_sided_p(estimate, error),
        margin=margin,
        noise=noise,
    )


def log_error(seen: Interval) -> float:
    """Standard error of a positive quantity's logarithm, read off its 95 % interval."""
    if seen.low <= 0 or math.isinf(seen.high):
        return math.inf
    return math.log(seen.high / seen.low) / (2 * normal_quantile(0.95))


def words(family: Iterable[Comparison]) -> dict[Comparison, Word]:
    """The word on each comparison of a family, looked up by the comparison; see :func:`judge`."""
    listed = [*family]
    return dict(zip(listed, judge(listed), strict=True))


def judge(family: Sequence[Comparison]) -> list[Word]:
    """The word on each comparison of a family, p-values corrected over all of it (Holm 1979).

    *A difference* when the interval excludes ``neutral``, the value is further from it than
    ``bound``, and the corrected p is under 0.05. *The same* when the interval lies within
    ``margin`` of it, and so does the control's. Else *cannot tell*.
    """
    corrected = inference.holm([each.p for each in family])
    return [_word(each, p) for each, p in zip(family, corrected, strict=True)]


def ends(name: str, seen: Interval | None, unit: str = "") -> dict[str, float | None]:
    """An interval as three columns of a table for programs: ``time_s``, ``time_low_s``, and so on.

    None stands where there is none, or where it is endless: JSON holds no such number.
    """
    three = (seen.value, seen.low, seen.high) if seen else (math.nan,) * 3
    return {
        f"{name}{end}{unit}": value if math.isfinite(value) else None
        for end, value in zip(("", "_low", "_high"), three, strict=True)
    }


def row(seen: Comparison) -> dict[str, float | None]:
    """What a table for programs holds of a comparison."""
    told = {"p": seen.p, "bound": seen.bound, "margin": seen.margin}
    return ends("ratio" if seen.neutral else "difference", seen) | told


def told(seen: Comparison, word: Word) -> str:
    """The word as a reader gets it: sameness always says within what."""
    if word != Word.SAME:
        return word.value
    unit = "%" if seen.neutral else "points"
    return f"{word.value} within {100 * seen.margin:.2g} {unit}"


def _word(seen: Comparison, corrected_p: float) -> Word:
    apart = abs(seen.value - seen.neutral)
    excludes = not seen.low <= seen.neutral <= seen.high
    if excludes and apart > seen.bound and corrected_p < SIGNIFICANCE:
        high, low = (Word.BETTER, Word.WORSE) if seen.neutral == 0 else (Word.SLOWER, Word.FASTER)
        return high if seen.value > seen.neutral else low
    within = seen.neutral - seen.margin <= seen.low and seen.high <= seen.neutral + seen.margin
    return Word.SAME if within and seen.noise <= seen.margin else Word.UNKNOWN
