"""Several occasions of one cell, and the interval that covers them.

The rounds of a trial are draws from one minute of one process. What a reader asks about is the
machine, and from one such occasion to the next a ratio moves by more than its rounds show: other
tenants of the cache, where operands came to lie, what ran before. So a cell can be measured on
several occasions (the axis ``occasion``: processes of their own, far apart in the run), and what
they differ by is a component of variance of its own, estimated over all cells of a study, device
and number format together, since two occasions of one cell say little by themselves. (Formats run
on units of their own: products in one can be nine times as steady as in another.)

A run's own estimate is joined with what is known of the study from other runs
(``between_occasions`` in the configuration), which counts as :data:`KNOWN_FREEDOM` degrees of
freedom. What the same work took in all jobs of the run (``assay.yardstick``) bounds the spread of
times from below, on a CPU. So an interval is honest with a single occasion, too, and a run that
measures many cells twice mostly speaks for itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import fmean, quantiles, variance
from typing import Any, NamedTuple

from scipy import stats

from assay.answer import verdict
from assay.record import Record, Status, Trial
from assay.statistic import Interval, exponential, normal_quantile

CONFIG = Path(__file__).resolve().parents[4] / "config.yaml"
AXIS = "occasion"
LEAST_READINGS = 3  # of a yardstick; fewer say nothing of a spread, which is taken to be WANDER:
# the standard deviation of the logarithm that virtual machines of two cores showed in a run.
WANDER = 0.12
NORMAL_MIDDLE_HALF = 1.349  # standard deviations that the middle half of normal values covers
KNOWN_FREEDOM = 20  # what other machines showed is a hint, not this machine's measurement

# Standard deviation of a logarithm between occasions, of ``ratio`` and ``time``; the same by the
# name of a number format, or of an exercise with a published answer, that has its own.
Spread = Mapping[str, Any]


def known() -> dict[str, Spread]:
    """The spread of each study as the workflow's own configuration has it."""
    import yaml  # for a run by hand; the workflow gives it

    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    return {study: block.get("between_occasions", {}) for study, block in config["studies"].items()}


def spread(between: Mapping[str, Spread], study: str, kind: Any) -> Spread:
    """The spread of a number format, or exercise, within a study: its own, or else the study's."""
    of_study = between.get(study, {})
    own: Spread = of_study.get(kind, of_study)
    return own


@dataclass(frozen=True)
class Component:
    """The variance of a logarithm between occasions, and how well it is known."""

    variance: float
    freedom: int


def pooled(records: Sequence[Record], between: Mapping[str, Spread]) -> list[Record]:
    """One record per cell, its occasions pooled, with intervals that contain what they differ by.

    Every number of a result becomes its geometric mean over the occasions that went well. The
    intervals of times, ratios and bandwidths are widened, and each ratio gets its p-value.

    Records are of any studies; those that differ in the axis ``occasion`` alone belong together. Of
    each study the spread between occasions is known from the configuration.
    """
    cells: dict[Any, list[Record]] = defaultdict(list)
    for each in map(_at_95, records):
        cells[cell(each)].append(each)
    trials = {key: _by_what(occasions) for key, occasions in cells.items()}
    groups: dict[_Group, list[list[Trial]]] = defaultdict(list)
    for key, occasions in cells.items():
        for repeated in trials[key]:
            groups[_Group.of(occasions[0], repeated[0])].append(repeated)
    steady = wander(records)
    components = {
        group: _components(repeated, spread(between, group.study, group.kind), group, steady)
        for group, repeated in groups.items()
    }
    return [_record(occasions, trials[key], components) for key, occasions in cells.items()]


def _at_95(each: Record) -> Record:
    """A record with 95 % intervals, as answers read them, whatever its trials were stopped by."""
    protocol: Any = each.settings.get("protocol", {})
    factor = normal_quantile(0.95) / normal_quantile(protocol.get("confidence", 0.95))
    if factor == 1:
        return each
    each = each.model_copy(deep=True)
    for result in (trial.result for trial in each.trials):
        for place in _places(result):
            seen, (value, *ends) = place.look_up(result), place.names
            seen |= {n: seen[value] * (seen[n] / seen[value]) ** factor for n in ends if seen[n]}
    return each


def _components(
    repeated: Sequence[Sequence[Trial]],
    known: Spread,
    group: _Group,
    steady: Mapping[tuple[Any, str], Component],
) -> dict[str, Component]:
    """The variance of ratios, and of times and energies: these move as the machine's own speed."""
    found = {kind: component(kind, repeated, known) for kind in ("ratio", "time", "energy")}
    if moved := steady.get((group.device, _yardstick(repeated))):
        for kind in ("time", "energy"):  # at least so
            found[kind] = max(found[kind], moved, key=lambda each: each.variance)
    return found


def cell(each: Record) -> tuple[str, str]:
    """What tells a record from all others, its occasion apart."""
    axes = {name: value for name, value in each.axes.items() if name != AXIS}
    return each.study, repr(sorted(axes.items()))


def wander(records: Sequence[Record]) -> dict[tuple[Any, str], Component]:
    """By how much a CPU's speed moved from job to job, by device and yardstick.

    A GPU's is left out: its clock stands beside every round.

    The standard deviation is that of the middle half of the jobs: a reading takes 60 ms and may
    fall into a burst of somebody else, which a trial would wait for and leave out.
    """
    seen: dict[tuple[Any, str], list[float]] = defaultdict(list)
    for each in records:
        for name, seconds in each.conditions.yardstick.items():
            if each.conditions.gpu is None:
                seen[each.axes.get("device"), name].append(math.log(seconds))
    return {
        key: Component((_middle_half(logs) / NORMAL_MIDDLE_HALF) ** 2, len(logs) - 1)
        if len(logs) >= LEAST_READINGS
        else Component(WANDER**2, KNOWN_FREEDOM)
        for key, logs in seen.items()
    }


def _middle_half(values: Sequence[float]) -> float:
    lower, _, upper = quantiles(values, method="inclusive")
    return upper - lower


def _yardstick(repeated: Sequence[Sequence[Trial]]) -> str:
    """Which yardstick moves as these trials do: memory's where they tell a bandwidth."""
    results = [trial.result for trials in repeated for trial in trials]
    memory = any(place.names == _BANDWIDTH for result in results for place in _places(result))
    return "copy_s" if memory else "product_s"


class _Group(NamedTuple):
    """Cells that move alike from one occasion to the next."""

    study: str
    device: Any
    kind: Any  # the number format, or the exercise of a published answer

    @classmethod
    def of(cls, each: Record, trial: Trial) -> _Group:
        kind = trial.what.get("dtype", each.axes.get("exercise"))
        return cls(each.study, each.axes.get("device"), kind)


def _by_what(occasions: Sequence[Record]) -> list[list[Trial]]:
    """The trials of a cell's occasions, those of the same thing together."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for each in occasions:
        for trial in each.trials:
            found[repr(sorted(trial.what.items()))].append(trial)
    return [*found.values()]


def component(kind: str, repeated: Sequence[Sequence[Trial]], known: Spread) -> Component:
    """The variance between occasions, over things that move alike and their trials on each.

    The variance of the occasions of an estimate contains that of their rounds, which is taken off;
    the estimates of a trial share its occasion and count as one. An energy, of which nothing is
    known from elsewhere, moves like a time. Where rounds explain more than all that was seen, as
    those of one noisy trial may, this run says nothing against what is known but its share.
    """
    before = known.get("time" if kind == "energy" else kind, 0.0)
    total, freedom = 0.0, KNOWN_FREEDOM
    for trials in map(_good, repeated):
        own = [*_excesses(kind, trials)] if len(trials) > 1 else []
        if own:
            total += (len(trials) - 1) * fmean(own)
            freedom += len(trials) - 1
    return Component((KNOWN_FREEDOM * before**2 + max(0.0, total)) / freedom, freedom)


def _good(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.status == Status.OK]


def _excesses(kind: str, trials: Sequence[Trial]) -> Iterator[float]:
    """By how much the occasions of each estimate vary more than their rounds explain."""
    for place in _places(trials[0].result):
        seen = place.everywhere([trial.result for trial in trials])
        errors = [place.error(each) for each in seen]
        if place.kind == kind and len(seen) == len(trials) and max(errors) < math.inf:
            logs = [math.log(each[place.names[0]]) for each in seen]
            yield variance(logs) - fmean(error * error for error in errors)


# How a result writes an estimate (value, low, high), and which spread between occasions it has.
_RATIO = ("ratio", "ratio_low", "ratio_high")
_FIGURE = ("value", "low", "high")
_TIME = ("time_median_s", "time_low_s", "time_high_s")
_BANDWIDTH = ("bandwidth_bytes_per_s", "bandwidth_low_bytes_per_s", "bandwidth_high_bytes_per_s")
_KINDS = {
    _RATIO: "ratio",
    _TIME: "time",
    ("energy_j", "energy_low_j", "energy_high_j"): "energy",
    _BANDWIDTH: "time",
    _FIGURE: "ratio",  # of a paired trial, whose figures are compared only with each other
}
CONTROL = "twin"  # shares both memory and minute with its anchor: nothing is added to it


@dataclass(frozen=True)
class _Place:
    """Where in a result an estimate stands, and what its numbers are called."""

    path: tuple[Any, ...]
    names: tuple[str, str, str]

    @property
    def kind(self) -> str | None:
        return None if CONTROL in self.path else _KINDS[self.names]

    def look_up(self, result: Any) -> Any:
        """The estimate in another occasion's result; None where it has none."""
        for step in self.path:
            try:
                result = result[step]
            except (KeyError, IndexError, TypeError):
                return None
        positive = isinstance(result, dict) and (result.get(self.names[0]) or 0) > 0
        return result if positive and set(self.names) <= set(result) else None

    def everywhere(self, results: Sequence[Any]) -> list[Any]:
        """The estimate on all occasions that have it."""
        return [seen for result in results if (seen := self.look_up(result))]

    def error(self, seen: Mapping[str, Any]) -> float:
        """Standard error of the logarithm within an occasion; infinite for too few rounds."""
        value, low, high = (seen[name] for name in self.names)  # infinity may be null in JSON
        return verdict.log_error(Interval(value, low or 0.0, high or math.inf))


def _places(result: Mapping[str, Any]) -> list[_Place]:
    """Every positive estimate with an interval in a result; accuracies are none of ours."""
    found = [_Place(path, names) for path in _dictionaries(result) for names in _KINDS]
    return [
        place
        for place in found
        if (place.names is not _FIGURE or "arms" in result) and place.look_up(result)
    ]


def times(trial: Trial) -> Iterator[tuple[tuple[Any, ...], Mapping[str, Any]]]:
    """Every time of a trial but a control's: where it stands in its result, and what holds it."""
    for place in _places(trial.result):
        if place.names is _TIME and place.kind:
            yield place.path, place.look_up(trial.result)


def _dictionaries(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all dictionaries within a value."""
    if isinstance(value, dict):
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from _dictionaries(inner, (*path, key))


def _record(
    occasions: Sequence[Record],
    trials: Sequence[Sequence[Trial]],
    components: Mapping[_Group, Mapping[str, Component]],
) -> Record:
    """The cell as one record; where no occasion went well, the first tells why."""
    good = [each for each in occasions if each.status == Status.OK]
    chosen = (good or occasions)[0]
    axes = {name: value for name, value in chosen.axes.items() if name != AXIS}
    merged = [pool(each, components[_Group.of(occasions[0], each[0])]) for each in trials]
    return chosen.model_copy(update={"axes": axes, "trials": merged})


def pool(occasions: Sequence[Trial], components: Mapping[str, Component]) -> Trial:
    """One trial of all occasions that went well; where none did, the first tells why."""
    good = _good(occasions)
    if not good:
        return occasions[0]
    results: list[Any] = [trial.result for trial in good]
    result = _mean(results)
    for place in _places(result):
        between = components.get(place.kind or "", Component(0.0, KNOWN_FREEDOM))
        _widen(place.look_up(result), place, results, between)
    if "rounds" in result:
        counts = ("rounds", "rounds_void")
        result["occasions"] = len(good)
        result |= {name: sum(each.get(name, 0) for each in results) for name in counts}
    columns = {name for trial in good for name in trial.samples}
    samples = {name: [s for t in good for s in t.samples.get(name, [])] for name in columns}
    return good[0].model_copy(update={"result": result, "samples": samples})


def _mean(values: Sequence[Any]) -> Any:
    """Of numbers the geometric mean (the mean, where one is not positive); else the first."""
    first = values[0]
    if isinstance(first, dict):
        well = [each for each in values if isinstance(each, dict)]
        well = [each for each in well if each.get("status", Status.OK) == Status.OK] or well
        return {key: _mean([each[key] for each in well if key in each]) for key in well[0]}
    if isinstance(first, list):
        alike = all(isinstance(each, list) and len(each) == len(first) for each in values)
        return [_mean(each) for each in zip(*values, strict=True)] if alike else first
    if isinstance(first, float) and all(isinstance(each, float | int) for each in values):
        if all(each > 0 for each in values):
            return math.exp(fmean(math.log(each) for each in values))
        return fmean(values)
    return first


def _widen(into: dict[str, Any], place: _Place, results: Sequence[Any], between: Component) -> None:
    """Set value, interval and, of a ratio, the p-value of the mean over occasions."""
    seen = place.everywhere(results)
    middle = fmean(math.log(each[place.names[0]]) for each in seen)
    within = math.fsum(place.error(each) ** 2 for each in seen) / len(seen) ** 2
    added = between.variance / len(seen)
    error = math.sqrt(within + added)
    # Satterthwaite (1946): rounds are many, so only what is added has few degrees of freedom.
    share = added / (within + added) if added else 0.0
    freedom = between.freedom / share**2 if share > 1e-6 else math.inf
    reach = float(stats.t.ppf(0.975, freedom)) * error
    bounds = Interval(middle, middle - reach, middle + reach)
    into |= dict(zip(place.names, astuple(exponential(bounds)), strict=True))
    if place.names is _RATIO:
        t = abs(middle) / error if error else math.inf * abs(middle)
        into["p"] = float(2 * stats.t.sf(t, freedom)) if middle else 1.0
