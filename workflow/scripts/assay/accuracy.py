"""Verdicts on accuracy: every arm against the best one in validation, seed by seed.

An arm is given as the table of its runs: one row per seed, with the columns ``seed``,
``validation_accuracy``, ``test_accuracy`` and ``test_images`` (:mod:`assay.experiment`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from assay import statistic
from assay.question import Word
from assay.record import Phase, Record, Status
from assay.statistic import Interval, PairedDifference

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
    differences = [difference(arms[name], arms[reference]) for name in others]
    corrected = statistic.holm([each.p for each in differences])
    bound = sampling_error(arms[reference])
    found = {reference: Standing(statistic.mean(arms[reference]["test_accuracy"]), None, None)}
    for name, seen, p in zip(others, differences, corrected, strict=True):
        level = statistic.mean(arms[name]["test_accuracy"])
        found[name] = Standing(level, seen, word(seen, p, bound))
    return dict(sorted(found.items(), key=lambda item: -item[1].accuracy.value))


def difference(arm: pd.DataFrame, reference: pd.DataFrame) -> PairedDifference:
    """Test accuracy of an arm minus the reference's, over the seeds that both finished."""
    pairs = _pairs(arm, reference)
    return statistic.paired_difference(pairs["test_accuracy"], pairs["test_accuracy_reference"])


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
            sizes.append(statistic.detectable_difference(spread, len(pairs)))
    return float(np.median(sizes)) if sizes else math.inf


def points(share: float) -> str:
    """An accuracy or its difference in percentage points, two decimals."""
    return f"{100 * share:.2f}".replace("-", "−")


def interval(seen: Interval) -> str:
    """A value with its interval, in percentage points."""
    return f"{points(seen.value)} [{points(seen.low)}, {points(seen.high)}]"
