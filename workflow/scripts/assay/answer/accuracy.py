"""Accuracies over seeds: every arm against a reference, seed by seed.

An arm is given as the table of its runs: one row per seed, with the columns ``seed``, ``status``,
``validation_accuracy``, ``test_accuracy`` and ``test_images`` (:mod:`assay.learning.experiment`).

An arm one of whose runs diverged is compared with nothing, and nothing with it: the mean of those
that are left would be too kind, as a seed that fails is what tells such an arm apart. It is shown
by :func:`lost` instead. This module decides that (:func:`whole`), for every question.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from assay.answer import inference, say, verdict
from assay.answer.verdict import Comparison, Word
from assay.record import Phase, Record, Status
from assay.statistic import Interval

Key = TypeVar("Key")


def verdict_numbers(seen: Comparison | None, word: Word | None) -> dict[str, Any]:
    """A difference with all that its verdict rests on, for programs and tables."""
    row: dict[str, Any] = verdict.row(seen) if seen else {}
    return row | {"word": word.value if word else None}


def finite(value: float | None) -> float | None:
    """A number that JSON can hold, or None."""
    return value if value is not None and math.isfinite(value) else None


def detectable(arms: Mapping[str, pd.DataFrame], reference: str | None) -> dict[str, Any]:
    """The reference and the smallest difference to it that the seeds would have shown."""
    smallest = finite(smallest_detectable(arms, reference))
    return {"reference": reference, "smallest_detectable_difference": smallest}


def tuned(record: Record) -> dict[float, float | None]:
    """Validation accuracy by the rate that was tried; None where it diverged."""
    tried: list[Any] = [t for t in record.trials if t.what.get("phase") == Phase.TUNING]
    return {float(t.what["rate"]): t.result.get("validation_accuracy") for t in tried}


def at_the_edge(found: Iterable[tuple[str, Sequence[float], float | None]]) -> list[str]:
    """A caveat that names what had its best rate at the edge: of names, rates tried, the best."""
    edge = [name for name, rates, best in found if rates and best in (min(rates), max(rates))]
    named = say.few([*dict.fromkeys(edge)])
    return [f"The best rate lies at the edge of the grid for {named}."] if edge else []


def runs(record: Record) -> pd.DataFrame:
    """The runs of a record that count, however they ended: what they were and what they came to."""
    counted = [trial for trial in record.trials if trial.what.get("phase") == Phase.TRAINING]
    return pd.DataFrame(
        [{**trial.what, "status": trial.status.value, **trial.result} for trial in counted]
    )


def lost(arm: pd.DataFrame) -> str | None:
    """In how many of its runs an arm diverged, or failed otherwise; None if all ended well."""
    ended = arm["status"] if len(arm) else pd.Series(dtype=str)
    failed = ended[ended != Status.OK]
    if failed.empty:
        return None
    word = "diverged" if (failed == Status.DIVERGED).all() else "failed"
    return f"{word} in {len(failed)} of {len(ended)} runs"


def whole(arms: Mapping[Key, pd.DataFrame]) -> dict[Key, pd.DataFrame]:
    """The arms that may be compared: trained, and with every run that counts ended well."""
    return {name: arm for name, arm in arms.items() if len(arm) and lost(arm) is None}


def best(arms: Mapping[Key, pd.DataFrame]) -> Key | None:
    """The arm with the best mean accuracy on the validation images, of those that are whole."""
    kept = whole(arms)
    return max(kept, key=lambda name: kept[name]["validation_accuracy"].mean(), default=None)


def best_but(placebo: Key, arms: Mapping[Key, pd.DataFrame]) -> Key | None:
    """The best arm, which cannot be the placebo but for want of any other."""
    return best({name: own for name, own in arms.items() if name != placebo}) or best(arms)


def standings(
    arms: Mapping[Key, pd.DataFrame], reference: Key | None
) -> dict[Key, Comparison | None]:
    """Every arm that is whole against the reference, best test accuracy first; not yet judged.

    None stands for the reference itself, and where there is none.
    """
    kept = whole(arms)
    base = None if reference is None else kept.get(reference)
    order = sorted(kept, key=lambda name: -inference.mean(kept[name]["test_accuracy"]).value)
    return {
        name: None if base is None or name == reference else difference(kept[name], base)
        for name in order
    }


def difference(arm: pd.DataFrame, reference: pd.DataFrame) -> Comparison:
    """Test accuracy of an arm minus the reference's, seed by seed; both have to be whole.

    The margin is the standard error that the test images leave: they are a sample, too.
    """
    pairs = _pairs(arm, reference)
    return verdict.paired_difference(
        pairs["test_accuracy"], pairs["test_accuracy_reference"], sampling_error(reference)
    )


def _pairs(arm: pd.DataFrame, reference: pd.DataFrame) -> pd.DataFrame:
    return arm.merge(reference, on="seed", suffixes=("", "_reference"))


def mean(arm: pd.DataFrame) -> Interval:
    """Test accuracy over an arm's seeds, its interval within 0 and 1, to be shown."""
    seen = inference.mean(arm["test_accuracy"])
    return Interval(seen.value, max(0.0, seen.low), min(1.0, seen.high))


def sampling_error(arm: pd.DataFrame) -> float:
    """Standard error of an arm's accuracy because the test images are a sample: √(p(1−p)/n)."""
    share = float(arm["test_accuracy"].mean())
    return math.sqrt(share * (1 - share) / tested_images(arm))


def tested_images(arm: pd.DataFrame) -> int:
    """Number of images that the test accuracies were read from."""
    return int(arm["test_images"].iloc[0])


def smallest_detectable(arms: Mapping[Key, pd.DataFrame], reference: Key | None) -> float:
    """Smallest difference that the seeds would have shown, median over the arms."""
    sizes, arms = [], whole(arms)
    for name, arm in arms.items():
        if name != reference and reference in arms:
            pairs = _pairs(arm, arms[reference])
            spread = (pairs["test_accuracy"] - pairs["test_accuracy_reference"]).std()
            sizes.append(inference.detectable_difference(spread, len(pairs)))
    return float(np.median(sizes)) if sizes else math.inf


def resolution(arms: Mapping[Key, pd.DataFrame], reference: Key | None) -> list[str]:
    """What the seeds and the test images could have shown, in words; none without a comparison."""
    smallest = smallest_detectable(arms, reference)
    if reference is None or not math.isfinite(smallest):
        return []
    runs = arms[reference]
    return [
        f"These seeds would have shown {say.number(100 * smallest, 2)} points (80 % power, "
        f"uncorrected, median). The {say.count(tested_images(runs))} test images alone leave a "
        f"standard error of {say.number(100 * sampling_error(runs), 2)}."
    ]


def runs_told(settings: Mapping[str, Any]) -> str:
    """How many runs of how many epochs an arm had, and how they are paired and tested."""
    runs, epochs = say.plural(settings["seeds"], "run"), say.plural(settings["epochs"], "epoch")
    return (
        f"{runs} of {epochs}: those of one seed begin alike and see the same batches. The weights "
        "of the best epoch in validation are tested, once."
    )


def placebo_difference(arms: Mapping[Key, pd.DataFrame], placebo: Key, real: Key) -> float | None:
    """Largest difference between a placebo and the arm that it must equal, in any accuracy.

    Zero only if the weights of every seed are the same bit for bit (column ``weights_sha256``);
    None where one of the two was not measured.
    """
    if not {placebo, real} <= set(arms):
        return None
    one, other = (arms[name].set_index("seed") for name in (placebo, real))
    accuracies = ["validation_accuracy", "test_accuracy"]
    seen = float((one[accuracies] - other[accuracies]).abs().max().max())
    return seen if one["weights_sha256"].equals(other["weights_sha256"]) else max(1e-9, seen)


def placebo_told(difference: float | None, of: str) -> list[str]:
    """Whether a placebo is what it must be, such as ``ReLU``, by :func:`placebo_difference`."""
    if difference is None:
        return []
    if difference == 0:
        return [f"The placebo is {of} bit for bit."]
    return [
        f"The placebo differs from {of} by {100 * difference:.2g} points, and it must not: "
        "mistrust this run."
    ]


def notes(runs: Mapping[str, pd.DataFrame], reference: str, placebo: str, called: str) -> list[str]:
    """What the seeds could have shown, and whether the placebo is what it must be."""
    others = {name: own for name, own in runs.items() if name != placebo}
    difference = placebo_difference(whole(runs), placebo, reference)
    return resolution(others, reference) + placebo_told(difference, called)


REST = "rest"  # the share of the variance that no effect explains
Effect = tuple[str, ...]  # a factor, or the interaction of several


def variance_shares(
    runs: pd.DataFrame, value: str, effects: Sequence[Effect]
) -> dict[Effect | str, float]:
    """Which share of the variance each effect makes up, in a balanced factorial experiment.

    Sums of squares of the means over cells, as in an analysis of variance; each is reduced by what
    chance alone would give it and floored at 0 (ω², Hays, "Statistics for psychologists", 1963;
    η² would favour factors of many levels). What is left is the share :data:`REST`. An effect, a
    factor or an interaction of some, comes after those that it contains.

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
