"""Several occasions of one cell, and the interval that covers them.

The rounds of a trial are draws from one minute of one process. What a reader asks about is the
machine, and from one such occasion to the next a ratio moves by more than its rounds show: other
tenants of the cache, where operands came to lie, what ran before. So a cell can be measured on
several occasions (the axis ``occasion``: processes of their own, far apart in the run), and what
they differ by is a component of variance of its own, estimated over all cells of a study and
device together, since two occasions of one cell say little by themselves.

A run's own estimate is joined with what is known of the study from other runs
(``between_occasions`` in the configuration), which counts as :data:`KNOWN_FREEDOM` degrees of
freedom. So an interval is honest with a single occasion, too, and a run that measures many cells
twice mostly speaks for itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, variance
from typing import Any

import yaml
from scipy import stats

from assay.record import Record, Status, Trial
from assay.statistic import normal_quantile

CONFIG = Path(__file__).resolve().parents[3] / "config.yaml"
AXIS = "occasion"
KNOWN_FREEDOM = 20  # what other machines showed is a hint, not this machine's measurement

Spread = Mapping[
    str, float
]  # standard deviation of a logarithm between occasions, of ratio and time


def known() -> dict[str, Spread]:
    """The spread of each study as the workflow's own configuration has it."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return {study: block.get("between_occasions", {}) for study, block in config["studies"].items()}


@dataclass(frozen=True)
class Component:
    """The variance of a logarithm between occasions, and how well it is known."""

    variance: float
    freedom: int


def pooled(records: Sequence[Record], between: Mapping[str, Spread]) -> list[Record]:
    """One record per cell, its occasions pooled, with intervals that contain what they differ by.

    Every number of a result becomes its geometric mean over the occasions that went well. Of paired
    trials, the intervals of times and ratios are widened, and each ratio gets its p-value.

    Args:
        records: Of any studies; those that differ in the axis ``occasion`` alone belong together.
        between: The spread between occasions of each study, as the configuration knows it.
    """
    cells: dict[Any, list[Record]] = defaultdict(list)
    for each in records:
        cells[_cell(each)].append(each)
    trials = {key: _by_what(occasions) for key, occasions in cells.items()}
    groups: dict[Any, list[list[Trial]]] = defaultdict(list)
    for key, occasions in cells.items():
        groups[_group(occasions[0])] += trials[key]
    components = {
        group: {
            kind: component(kind, repeated, between.get(group[0], {})) for kind in ("ratio", "time")
        }
        for group, repeated in groups.items()
    }
    return [
        _record(occasions, trials[key], components[_group(occasions[0])])
        for key, occasions in cells.items()
    ]


def _cell(each: Record) -> tuple[str, str]:
    axes = {name: value for name, value in each.axes.items() if name != AXIS}
    return each.study, repr(sorted(axes.items()))


def _group(each: Record) -> tuple[str, Any]:
    return each.study, each.axes.get("device")


def _by_what(occasions: Sequence[Record]) -> list[list[Trial]]:
    """The trials of a cell's occasions, those of the same thing together."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for each in occasions:
        for trial in each.trials:
            found[repr(sorted(trial.what.items()))].append(trial)
    return [*found.values()]


def component(kind: str, repeated: Sequence[Sequence[Trial]], known: Spread) -> Component:
    """The variance between occasions, of a kind, over the cells of one study and device.

    The variance of the occasions of an arm contains that of their rounds, which is taken off; the
    arms of a trial share its occasion and count as one.

    Args:
        kind: ``ratio`` or ``time``.
        repeated: The trials of each thing on its occasions.
        known: What is known from elsewhere.
    """
    total, freedom = KNOWN_FREEDOM * known.get(kind, 0.0) ** 2, KNOWN_FREEDOM
    for trials in map(_good, repeated):
        arms = [*_estimates(kind, trials)] if len(trials) > 1 else []
        arms = [(values, errors) for values, errors in arms if max(errors) < math.inf]
        if arms:
            own = fmean(variance(values) - fmean(e * e for e in errors) for values, errors in arms)
            total += (len(trials) - 1) * own
            freedom += len(trials) - 1
    return Component(max(0.0, total / freedom), freedom)


def _good(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.status == Status.OK]


def _estimates(kind: str, trials: Sequence[Trial]) -> Iterator[tuple[list[float], list[float]]]:
    """Logarithm and standard error on each occasion, arm by arm."""
    results: list[Any] = [trial.result for trial in trials]
    part, value = _PLACES[kind]
    for arm in results[0].get(part, {}):
        if arm != "twin" and all(arm in result.get(part, {}) for result in results):
            seen = [result[part][arm] for result in results]
            yield (
                [math.log(each[value(0)]) for each in seen],
                [_error(each, value) for each in seen],
            )


# Where a trial's result holds the figures of each kind, and what value, low and high are called.
_PLACES: dict[str, tuple[str, Callable[[int], str]]] = {
    "ratio": ("ratios", ("ratio", "ratio_low", "ratio_high").__getitem__),
    "time": ("arms", ("time_median_s", "time_low_s", "time_high_s").__getitem__),
}


def _error(seen: Mapping[str, float], name: Callable[[int], str]) -> float:
    """Standard error of the logarithm within an occasion; infinite for too few rounds."""
    if not seen[name(1)] or math.isinf(seen[name(2)]):
        return math.inf
    return math.log(seen[name(2)] / seen[name(1)]) / (2 * normal_quantile(0.95))


def _record(
    occasions: Sequence[Record],
    trials: Sequence[Sequence[Trial]],
    components: Mapping[str, Component],
) -> Record:
    """The cell as one record; where no occasion went well, the first tells why."""
    good = [each for each in occasions if each.status == Status.OK]
    chosen = (good or occasions)[0]
    axes = {name: value for name, value in chosen.axes.items() if name != AXIS}
    merged = [pool(each, components) for each in trials]
    return chosen.model_copy(update={"axes": axes, "trials": merged})


def pool(occasions: Sequence[Trial], components: Mapping[str, Component]) -> Trial:
    """One trial of all occasions that went well; where none did, the first tells why."""
    good = _good(occasions)
    if not good:
        return occasions[0]
    results: list[Any] = [trial.result for trial in good]
    result = _mean(results)
    for kind, (part, name) in _PLACES.items():
        for arm, into in result.get(part, {}).items():
            seen = [each[part][arm] for each in results if arm in each.get(part, {})]
            if into.get(name(0)):
                own = components[kind] if arm != "twin" else Component(0.0, KNOWN_FREEDOM)
                _widen(into, seen, name, own)
    if "ratios" in result:
        result |= {
            "occasions": len(good),
            "rounds": sum(each.get("rounds", 0) for each in results),
            "rounds_void": sum(each.get("rounds_void", 0) for each in results),
        }
    columns = {name for trial in good for name in trial.samples}
    samples = {name: [s for t in good for s in t.samples.get(name, [])] for name in columns}
    return good[0].model_copy(update={"result": result, "samples": samples})


def _mean(values: Sequence[Any]) -> Any:
    """Of numbers the geometric mean (the mean, where one is not positive); else the first."""
    first = values[0]
    if isinstance(first, dict):
        return {
            key: _mean([each[key] for each in values if isinstance(each, dict) and key in each])
            for key in first
        }
    if isinstance(first, float) and all(isinstance(each, float | int) for each in values):
        if all(each > 0 for each in values):
            return math.exp(fmean(math.log(each) for each in values))
        return fmean(values)
    return first


def _widen(
    into: dict[str, Any],
    seen: Sequence[Mapping[str, float]],
    name: Callable[[int], str],
    between: Component,
) -> None:
    """Set value, interval and, of a ratio, the p-value of the mean over occasions."""
    middle = fmean(math.log(each[name(0)]) for each in seen)
    within = math.fsum(_error(each, name) ** 2 for each in seen) / len(seen) ** 2
    error = math.sqrt(within + between.variance / len(seen))
    reach = float(stats.t.ppf(0.975, between.freedom)) * error
    into[name(0)] = math.exp(middle)
    into[name(1)] = math.exp(middle - reach)
    into[name(2)] = math.exp(min(700.0, middle + reach))
    if name is _PLACES["ratio"][1]:
        into["p"] = (
            float(2 * stats.t.sf(abs(middle) / error, between.freedom))
            if error
            else float(not middle)
        )
