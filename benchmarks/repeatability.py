"""Whether a machine gives the same answer twice.

Finished runs beside each other:

    python benchmarks/repeatability.py run1/results run2/results run3/results

- *Headlines*: the sentences of every question, and whether they differ in more than figures.
- *Overlap*: share of the pairs of intervals of the same thing that have a value in common.
- *Words*: share of the pairs of verdicts on the same thing that agree.
- *Contradictions*: the same thing found slower and faster, or different and the same.
- *Between occasions*: the standard deviation of logarithms from one occasion to the next, beyond
  what their rounds explain, per study: what ``between_occasions`` in config.yaml holds.

Without folders it measures: sizes of alignment again and again at different minutes, each time in a
fresh process, judged as a run would judge them. Every interval should hold the median of all.
*Planted*: so many per cent more work must be found each time.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import yaml
from assay import job, record
from assay.answer import occasion, verdict
from assay.answer.verdict import DIFFERENT, Word
from assay.job import Job
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from assay.timing import trial
from assay.timing.clock import clock_for
from assay.timing.dtypes import DTYPES
from assay.timing.product import product
from assay.timing.trial import Protocol
from instrument import repeated

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow/scripts"
GOAL = 0.95  # of pairs of intervals that overlap, and of pairs of words that agree
FRESH_GOAL = 0.9  # of fresh runs

WORDS = ("verdict", "word")
# What two runs may say differently about the same thing; all other text and whole numbers name it.
SEEN = {*WORDS, "reason", "status", "stopped", "kernel", "case", "scaling", "outcome", "names"}
COUNTED = re.compile(r"^(rounds|occasions|operand_sets|between|outliers|repeats)")


@dataclass(frozen=True)
class Thing:
    """Something that several runs have a figure or a word for."""

    question: str
    name: str

    def __str__(self) -> str:
        return f"{self.question}: {self.name}"


@dataclass
class Run:
    """What a finished run says."""

    sentences: dict[str, str]
    intervals: dict[Thing, tuple[float, float]]
    words: dict[Thing, str]


def read_run(results: Path) -> Run:
    """Read the answers and tables of a run.

    Args:
        results: The folder with its ``answers`` and ``tables``.

    Raises:
        SystemExit: There are none.
    """
    answers = {path.stem: json.loads(path.read_text()) for path in results.glob("answers/*.json")}
    if not answers:
        raise SystemExit(f"{results} holds no answers; give the results folders of finished runs.")
    run = Run({name: each["sentence"] for name, each in answers.items()}, {}, {})
    for question, each in answers.items():
        for name, figures in figures_of(each["numbers"]):
            run.intervals |= intervals(question, name, figures)
        table = pd.read_csv(results / f"tables/{question}.csv", low_memory=False)
        for name, figures in rows_of(table):
            run.intervals |= intervals(question, f"table {name}", figures)
            words = {str(figures[key]) for key in WORDS if isinstance(figures.get(key), str)}
            run.words |= {Thing(question, name): word for word in words}
    return run


def figures_of(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every dictionary inside an answer's numbers, with a name that other runs give it, too."""
    if isinstance(value, dict):
        yield path, value
        for key, inner in value.items():
            yield from figures_of(inner, f"{path} {key}".strip())
    if isinstance(value, list):
        for inner in value:
            if isinstance(inner, dict):
                yield from figures_of(inner, f"{path} {identity(inner)}".strip())


def rows_of(table: pd.DataFrame) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every row of a table by its name; rows of one name are numbered."""
    count: dict[str, int] = defaultdict(int)
    for row in table.to_dict("records"):
        known = {str(key): value for key, value in row.items() if not pd.isna(value)}
        name = identity(known)
        count[name] += 1
        yield (name if count[name] == 1 else f"{name} ({count[name]})"), known


def identity(figures: Mapping[str, Any]) -> str:
    """What tells things apart: their text, and whole numbers that are not counted."""
    return ", ".join(
        f"{key} {value:.12g}" if isinstance(value, int | float) else str(value)
        for key, value in figures.items()
        if key not in SEEN
        and not COUNTED.match(key)
        and (isinstance(value, str | int) or (isinstance(value, float) and value.is_integer()))
        and not _bounds(key, figures)
    )


def _bounds(key: str, figures: Mapping[str, Any]) -> bool:
    """Whether a key is a figure with an interval, or an end of one."""
    names = {name for triple in _triples(figures) for name in triple}
    return key in names


def _triples(figures: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Keys of value, lower and upper end: ``time_s``, ``time_low_s``, ``time_high_s``."""
    for low in figures:
        parts = low.split("_")
        if "low" in parts:
            at = parts.index("low")
            high = "_".join([*parts[:at], "high", *parts[at + 1 :]])
            if high in figures:
                yield "_".join([*parts[:at], *parts[at + 1 :]]) or "value", low, high


def intervals(
    question: str, name: str, figures: Mapping[str, Any]
) -> dict[Thing, tuple[float, float]]:
    """The intervals that a dictionary of figures holds, of things that are not exact."""
    return {
        Thing(question, f"{name}, {value}"): (figures[low], figures[high])
        for value, low, high in _triples(figures)
        if all(isinstance(figures[end], int | float) for end in (low, high))
        and figures[low] < figures[high]
    }


@dataclass(frozen=True)
class Goal:
    """One line of the table."""

    what: str
    seen: str
    goal: str
    met: bool


def share_goal(what: str, hits: Sequence[bool], goal: float) -> Goal:
    """A share of hits that should reach the goal; met by nothing at all, too."""
    share = sum(hits) / len(hits) if hits else 1.0
    seen = f"{share:.1%} of {len(hits)}" if hits else "none"
    return Goal(what, seen, f"≥ {goal:.0%}", share >= goal)


def in_pairs(each: Sequence[dict[Thing, Any]]) -> list[tuple[Thing, Any, Any]]:
    """Every pair of runs' figures of each thing that all runs have."""
    everywhere = [thing for thing in each[0] if all(thing in run for run in each[1:])]
    return [
        (thing, one[thing], other[thing])
        for thing in everywhere
        for one, other in combinations(each, 2)
    ]


def contradict(one: str, other: str) -> bool:
    """Whether two words cannot both be right: none of them is "cannot tell", and they differ."""
    definite = {*DIFFERENT, Word.SAME}
    return one != other and one in definite and other in definite


def compare(runs: Sequence[Run]) -> list[Goal]:
    """Put finished runs beside each other; prints what is apart."""
    spans, words = in_pairs([r.intervals for r in runs]), in_pairs([r.words for r in runs])
    overlap = [max(a[0], b[0]) <= min(a[1], b[1]) for _, a, b in spans]
    agree = [a == b for _, a, b in words]
    opposed = list(dict.fromkeys((each, a, b) for each, a, b in words if contradict(a, b)))
    _print_headlines(runs)
    print("\nPairs of intervals that exclude each other:")
    for (each, a, b), common in zip(spans, overlap, strict=True):
        if not common:
            print(f"  {each}: [{a[0]:.4g}, {a[1]:.4g}] and [{b[0]:.4g}, {b[1]:.4g}]")
    print("\nContradictions:", *[f"  {each}: {a}, {b}" for each, a, b in opposed], sep="\n")
    return [
        share_goal("pairs of intervals overlap", overlap, GOAL),
        share_goal("pairs of verdict words agree", agree, GOAL),
        Goal("contradictions", str(len(opposed)), "0", not opposed),
    ]


def _print_headlines(runs: Sequence[Run]) -> None:
    for question in runs[0].sentences:
        said = [run.sentences.get(question, "not answered") for run in runs]
        alike = len({re.sub(r"[−+]?[0-9][0-9.,]*", "#", each) for each in said}) == 1
        print(f"\n{question}{'' if alike else ' (differs in more than figures)'}")
        print(*[f"  {each}" for each in said], sep="\n")


def between_occasions(records: Iterable[Record]) -> Iterator[str]:
    """Per study, and per number format or exercise, by how much occasions differ beyond rounds."""
    cells: dict[str, dict[str, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for each in records:
        axes = {name: value for name, value in each.axes.items() if name != occasion.AXIS}
        for one in each.trials:
            same = repr((sorted(axes.items()), sorted(one.what.items())))
            kind = one.what.get("dtype", each.axes.get("exercise", ""))
            for group in {each.study, f"{each.study} {kind}".strip()}:
                cells[group][same].append(one)
    for group, trials in sorted(cells.items()):
        seen = {kind: own_spread(kind, [*trials.values()]) for kind in ("ratio", "time")}
        if any(freedom for _, freedom in seen.values()):
            said = ", ".join(f"{kind}: {spread:.4f}" for kind, (spread, _) in seen.items())
            yield f"  {group:<24}{{{said}}}  ({seen['time'][1]} degrees of freedom)"


def own_spread(kind: str, repeated: Sequence[Sequence[Trial]]) -> tuple[float, int]:
    """The standard deviation between occasions that these trials show, and its degrees of freedom.

    Nothing is assumed to be known from elsewhere.
    """
    seen = occasion.component(kind, repeated, {})
    freedom = seen.freedom - occasion.KNOWN_FREEDOM
    return (math.sqrt(seen.variance * seen.freedom / freedom) if freedom else 0.0), freedom


@dataclass(frozen=True)
class Cell:
    """Something to be measured again and again."""

    n: int
    dtype: str
    calls: tuple[int, int] | None = None  # of anchor and target, where work is planted

    def __str__(self) -> str:
        return f"{self.n}, {self.dtype}" + (f", {self.planted:.1%} more work" if self.calls else "")

    @property
    def planted(self) -> float:
        """By how much the target does more than the anchor."""
        return self.calls[1] / self.calls[0] - 1 if self.calls else 0.0

    def command(self, settings: Mapping[str, Any], output: Path) -> list[str]:
        """How to measure it in a process of its own."""
        script = [str(SCRIPTS / "measure_alignment.py")]
        if self.calls:
            calls, more = map(str, self.calls)
            script = [__file__, PLANTED, "--calls", calls, "--more", more]
        changed = dict(settings) | {"dtypes": [self.dtype]}
        given = ["--settings", json.dumps(changed), "--output", str(output)]
        return [sys.executable, *script, "--n", str(self.n), *given]


PLANTED = "planted"  # the first argument of a process that measures planted work
PLANTED_CALLS = [(20, 21), (33, 34)]  # 5 % and 3 % more
# So many products a block need more than a default trial's budget; see benchmarks/instrument.py.
PLANTED_CAP_S, PLANTED_HALF_WIDTH = 30, 0.02


def measure_planted(job: Job) -> list[Trial]:
    """One trial: calls of a product as the anchor, more calls of it as the target."""
    (name,), n = job.settings["dtypes"], job.axes["n"]
    protocol = Protocol.from_settings(job.settings["protocol"], job.device)
    protocol = replace(protocol, cap_s=PLANTED_CAP_S, half_width=PLANTED_HALF_WIDTH)
    once = product(n, DTYPES[name], job.device)
    anchor, target = (repeated(once, job.axes[calls]) for calls in ("calls", "more"))
    what = {"dtype": name, "n": n}
    clock = clock_for(job.device)
    return [trial.compare(what, anchor, {"target": target}, protocol, clock, job.settings["seed"])]


def fresh(
    cells: Sequence[Cell],
    times: int,
    occasions: int,
    pause_s: float,
    settings: Mapping[str, Any],
) -> dict[Cell, list[list[Record]]]:
    """Measure cells as so many runs would, each time in a process of its own.

    The occasions of a run lie as far apart as the runs themselves allow.

    Args:
        cells: What to measure.
        times: Runs.
        occasions: Of each run.
        pause_s: Seconds before every round of all cells but the first.
        settings: Of the study alignment.

    Returns:
        Of every cell, run by run, the records of its occasions.
    """
    found: dict[Cell, list[list[Record]]] = {cell: [[] for _ in range(times)] for cell in cells}
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS)}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(times * occasions):
            time.sleep(pause_s if turn else 0)
            for cell in cells:
                print(f"\r{turn + 1} of {times * occasions}: {cell} ", end="", file=sys.stderr)
                output = Path(folder) / "record.json"
                own = dict(settings) | {"seed": turn + 1}
                subprocess.run(cell.command(own, output), env=environment, check=True)
                measured = record.read(output)
                measured.axes[occasion.AXIS] = turn
                found[cell][turn % times].append(measured)
    print(file=sys.stderr)
    return found


def judged(
    cell: Cell, runs: Sequence[Sequence[Record]], between: Mapping[str, occasion.Spread]
) -> list[Goal]:
    """Whether the runs of a cell agree, and find what was planted."""
    pooled = [occasion.pooled(records, between)[0].trials[0] for records in runs]
    good = [each for each in pooled if each.status == Status.OK]
    seen = [verdict.paired(each.result, "target") for each in good]
    words = [verdict.judge([each])[0] for each in seen]
    print(f"{cell}:", *[f"  {said(each)} {word}" for each, word in zip(seen, words, strict=True)],
          sep="\n")  # fmt: skip
    measured = Goal(
        f"{cell}: measured", f"{len(good)} of {len(runs)}", "all", len(good) == len(runs)
    )
    if not good:
        return [measured]
    middle = 1 + cell.planted if cell.calls else median(each.value for each in seen)
    holds = [each.low <= middle <= each.high for each in seen]
    usual = Word.SLOWER if cell.calls else max(set(words), key=words.count)
    return [
        measured,
        share_goal(f"{cell}: interval holds {middle:.3f}", holds, FRESH_GOAL),
        share_goal(f"{cell}: {usual}", [word == usual for word in words], FRESH_GOAL),
    ]


def said(seen: Interval) -> str:
    """A ratio with its interval."""
    return f"{seen.value:.3f} [{seen.low:.3f}, {seen.high:.3f}]"


def report(goals: Sequence[Goal]) -> None:
    """Print the table of goals."""
    width = max(len(each.what) for each in goals)
    print(f"\n{'what':<{width}}  {'seen':<18}{'goal':<8}met")
    for each in goals:
        print(f"{each.what:<{width}}  {each.seen:<18}{each.goal:<8}{'yes' if each.met else 'NO'}")


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the runs that are named; without any, make some."""
    given = sys.argv[1:] if argv is None else list(argv)
    if given[:1] == [PLANTED]:
        axes: dict[str, Callable[[str], Any]] = {"n": int, "calls": int, "more": int}
        job.run("alignment", axes, measure_planted, given[1:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="*", help="results folders of finished runs")
    parser.add_argument("--n", type=int, nargs="+", default=[1025, 1040], help="(1025 1040)")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--times", type=int, default=10, help="fresh runs (10)")
    parser.add_argument("--occasions", type=int, default=1, help="of each fresh run (1)")
    parser.add_argument("--pause", type=float, default=60, help="seconds between them (60)")
    arguments = parser.parse_args(given)
    if arguments.runs:
        report(compare([read_run(each) for each in arguments.runs]))
        paths = [path for each in arguments.runs for path in each.glob("records/**/*.json")]
        print("\nbetween_occasions: of the logarithm of ratios and times", flush=True)
        print(*between_occasions(map(record.read, paths)), sep="\n")
        return
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    settings = config["studies"]["alignment"]["settings"] | {"layouts": []}
    settings["shapes"] = settings["shapes"] | {"sizes": []}
    settings["protocol"] = config["protocol"]
    kinds = [None, *PLANTED_CALLS]
    cells = [Cell(n, d, calls) for calls in kinds for n in arguments.n for d in arguments.dtypes]
    found = fresh(cells, arguments.times, arguments.occasions, arguments.pause, settings)
    between = occasion.known()
    report([goal for cell, runs in found.items() for goal in judged(cell, runs, between)])


if __name__ == "__main__":
    main()
