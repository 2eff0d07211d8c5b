"""Verdicts on accuracy: every arm against the best one in validation, seed by seed.

An arm is given as the table of its runs: one row per seed, with the columns ``seed``,
``validation_accuracy``, ``test_accuracy`` and ``test_images`` (:mod:`assay.experiment`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from assay import inference
from assay.inference import PairedDifference
from assay.record import Phase, Record, Status
from assay.statistic import Interval
from assay.verdict import Word

SIGNIFICANCE = 0.05  # of a Holm-corrected p-value


@dataclass(frozen=True)
class Standing:
    """An arm beside the reference."""

    accuracy: Interval  # on the test images, over seeds
    difference: PairedDifference | None  # to the reference; None for the reference itself
    word: Word | None


def runs(record: Record) -> pd.DataFrame:
    """The runs of a record that ended well: what they were and what they came to."""
    done = [
        trial
        for trial in record.trials
        if trial.status == Status.OK and trial.what.get("phase") == Phase.TRAINING
    ]
    return pd.DataFrame([{**trial.what, **trial.result} for trial in done])


def best(arms: Mapping[str, pd.DataFrame]) -> str:
    """The arm with the best mean accuracy on the validation images."""
    return max(arms, key=lambda name: arms[name]["validation_accuracy"].mean())


def standings(arms: Mapping[str, pd.DataFrame], reference: str) -> dict[str, Standing]:
    """Every arm against the reference, best test accuracy first; Holm-corrected together."""
    others = [name for name in arms if name != reference]
    found = {reference: Standing(inference.mean(arms[reference]["test_accuracy"]), None, None)}
    found |= zip(others, against([(arms[name], arms[reference]) for name in others]), strict=True)
    return dict(sorted(found.items(), key=lambda item: -item[1].accuracy.value))


def against(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> list[Standing]:
    """The first arm of each pair against the second; all pairs are Holm-corrected together."""
    differences = [difference(arm, reference) for arm, reference in pairs]
    corrected = inference.holm([each.p for each in differences])
    return [
        Standing(
            inference.mean(arm["test_accuracy"]), seen, word(seen, p, sampling_error(reference))
        )
        for (arm, reference), seen, p in zip(pairs, differences, corrected, strict=True)
    ]


def difference(arm: pd.DataFrame, reference: pd.DataFrame) -> PairedDifference:
    """Test accuracy of an arm minus the reference's, over the seeds that both finished."""
    pairs = _pairs(arm, reference)
    return inference.paired_difference(pairs["test_accuracy"], pairs["test_accuracy_reference"])


def _pairs(arm: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    return arm.merge(reference, on="seed", suffixes=("", "_reference"))


def word(seen: PairedDifference, corrected_p: float, bound: float) -> Word:
    """The verdict on a difference: the same rule as for ratios, with a bound of its own.

    Worse or better when the interval excludes 0, the difference exceeds the bound, and p holds;
    the same when the interval lies within ± bound.
    """
    excludes_zero = not seen.low <= 0 <= seen.high
    if excludes_zero and abs(seen.value) > bound and corrected_p < SIGNIFICANCE:
        return Word.BETTER if seen.value > 0 else Word.WORSE
    return Word.SAME if -bound <= seen.low and seen.high <= bound else Word.UNKNOWN


def sampling_error(arm: pd.DataFrame) -> float:
    """Standard error of an arm's accuracy because the test images are a sample: √(p(1−p)/n)."""
    share = float(arm["test_accuracy"].mean())
    return math.sqrt(share * (1 - share) / tested_images(arm))


def tested_images(arm: pd.DataFrame) -> int:
    """Number of images that the test accuracies were read from."""
    return int(arm["test_images"].iloc[0])


def smallest_detectable(arms: Mapping[str, pd.DataFrame], reference: str) -> float:
    """Smallest difference that the seeds would have shown, median over the arms."""
    sizes = []
    for name, arm in arms.items():
        if name != reference:
            pairs = _pairs(arm, arms[reference])
            spread = (pairs["test_accuracy"] - pairs["test_accuracy_reference"]).std()
            sizes.append(inference.detectable_difference(spread, len(pairs)))
    return float(np.median(sizes)) if sizes else math.inf


def placebo_difference(placebo: pd.DataFrame, real: pd.DataFrame) -> float:
    """Largest difference between a placebo and the arm that it must equal, in any accuracy.

    Zero only if the weights of every seed are the same bit for bit (column ``weights_sha256``).
    """
    one, other = (runs.set_index("seed") for runs in (placebo, real))
    accuracies = ["validation_accuracy", "test_accuracy"]
    seen = float((one[accuracies] - other[accuracies]).abs().max().max())
    return seen if one["weights_sha256"].equals(other["weights_sha256"]) else max(1e-9, seen)


REST = "rest"  # the share of the variance that no effect explains
Effect = tuple[str, ...]  # a factor, or the interaction of several


def variance_shares(
    runs: pd.DataFrame, value: str, effects: Sequence[Effect]
) -> dict[Effect | str, float]:
    """Which share of the variance each effect makes up, in a balanced factorial experiment.

    Sums of squares of the means over cells, as in an analysis of variance; each is reduced by what
    chance alone would give it and floored at 0 (ω², Hays, "Statistics for psychologists", 1963;
    η² would favour factors of many levels). What is left is the share :data:`REST`.

    Args:
        runs: One row per run: a column per factor, and the value.
        value: Column whose variance is shared out.
        effects: Factors, and interactions of them, each after the effects that it contains.

    Raises:
        ValueError: The experiment is not balanced: some combination of levels is missing, or is
            there more often than another.
    """
    factors = sorted({factor for effect in effects for factor in effect})
    counts = runs.groupby(factors).size()
    if counts.nunique() != 1 or len(counts) != math.prod(runs[f].nunique() for f in factors):
        raise ValueError(f"not balanced over {', '.join(factors)}")
    total = float(((runs[value] - runs[value].mean()) ** 2).sum())
    squares: dict[Effect, float] = {}
    freedom: dict[Effect, int] = {}
    for effect in effects:
        means = runs.groupby(list(effect))[value].transform("mean")
        contained = [part for size in range(1, len(effect)) for part in combinations(effect, size)]
        squares[effect] = float(((means - runs[value].mean()) ** 2).sum())
        squares[effect] -= sum(squares[part] for part in contained)
        freedom[effect] = math.prod(runs[factor].nunique() - 1 for factor in effect)
    left = len(runs) - 1 - sum(freedom.values())
    error = max(0.0, total - sum(squares.values())) / left if left else 0.0
    if np.ptp(runs[value]) < 1e-12:
        return dict.fromkeys(effects, 0.0) | {REST: 0.0}
    shares: dict[Effect | str, float] = {
        effect: max(0.0, squares[effect] - freedom[effect] * error) / (total + error)
        for effect in effects
    }
    return shares | {REST: 1 - sum(shares.values())}


def points(share: float) -> str:
    """An accuracy or its difference in percentage points, two decimals."""
    return f"{100 * share:.2f}".replace("-", "−")


def interval(seen: Interval) -> str:
    """A value with its interval, in percentage points."""
    return f"{points(seen.value)} [{points(seen.low)}, {points(seen.high)}]"
