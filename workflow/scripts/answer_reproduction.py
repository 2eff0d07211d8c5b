"""What did published answers report, what does their method give here, and what is right?

Published figures come from a cited table and are never results of ours. Each stands beside the same
figure from the same method, run here, and from the right method. What an answer claims is mostly
not a figure but a *contrast* of two (how much longer, how much better); contrasts are computed from
the three columns alike, so that they can be compared between machines.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from assay.answer import arms, inference, model, question, say, trials, verdict
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown
from assay.record import Record, Status
from assay.statistic import Interval

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
PUBLISHED = RESOURCES / "published/published.csv"
CAUSES = pd.read_csv(RESOURCES / "published/causes.csv", index_col="exercise")
TITLES: dict[str, str] = CAUSES["title"].to_dict()
PEAKS = RESOURCES / "peak-flops/peak_flops.csv"
COLUMNS = ["exercise", "quantity", "value", "unit", "source"]
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "share": 1.0, "networks": 1.0}

STUDY, NORM_LOG = "reproduction", "norm_log"  # the studies that are read
AS_PUBLISHED, CORRECTED = "as published", "corrected"
NORMS = 1000  # in the published log
FIRST = "n 1024"  # the size that was timed first
OWN = ", own curve"  # where the learning curve of the same published network ended
SMALLEST = verdict.MARGIN  # differences of times under this are never called differences
TITLE = "What was published, what its method gives here, and what is right"


class Said(StrEnum):
    """What becomes of a published figure here."""

    REPRODUCED = "reproduced"
    NOT = "not reproduced here"
    CANNOT = "cannot be run here"
    UNKNOWN = "cannot tell"
    NOT_ASKED = "not asked for"


BRIEF = {Said.REPRODUCED: "yes", Said.NOT: "no", Said.CANNOT: "not run"}  # in the card's table
RUN = (Said.REPRODUCED, Said.NOT, Said.UNKNOWN)  # the published method was run
SIGNS = {Said.REPRODUCED: "✓", Said.NOT: "✗", Said.UNKNOWN: "!"}


# ---- figures -------------------------------------------------------------------------------------

Figure = Interval | None  # None where it is missing
Figures = Mapping[str, Interval]  # by quantity, in seconds, as shares or as numbers


def published(path: Path = PUBLISHED) -> pd.DataFrame:
    """The cited table, with the value in base units as ``figure``.

    Raises:
        SystemExit: It is missing or is not that table; the message names it.
    """
    table = trials.cited(path, COLUMNS, "value", "unit", UNITS)
    return table.assign(figure=table["value"] * table["unit"].map(UNITS))


def of_table(table: pd.DataFrame, exercise: str) -> Figures:
    """The published figures of an exercise."""
    figures = table[table["exercise"] == exercise].set_index("quantity")["figure"]
    return {str(name): exactly(float(value)) for name, value in figures.items()}


def exactly(value: float) -> Interval:
    """A figure without an interval."""
    return Interval(value, value, value)


@dataclass(frozen=True)
class Run:
    """One exercise on one device."""

    device: str
    exercise: str
    reproduced: Figures
    corrected: Figures
    more: Mapping[str, Any] = field(default_factory=dict)  # what else the published method told
    bad: Sequence[tuple[Status, str]] = ()  # what else became of the record and its trials, and why

    def lacking(self, word: Said) -> tuple[str, str]:
        """Why a figure with such a verdict is missing: in a word or two, and in full.

        The published method is missing for what the machine has not, the right one for the rest.
        """
        if word not in (Said.CANNOT, Said.UNKNOWN):
            return "", ""
        wanted = word == Said.CANNOT
        own = [(s, why) for s, why in self.bad if (s == Status.UNAVAILABLE) == wanted]
        own = own or [*self.bad]
        said = model.lost(own[0][0]) if own else "not measured"
        return said, "; ".join(dict.fromkeys(why for _, why in own if why))


def runs(records: Sequence[Record]) -> list[Run]:
    """Every exercise that was asked for, on every device."""
    logs = {str(each.axes["device"]): each for each in records if each.study == NORM_LOG}
    return [_run(each, logs) for each in records if each.study == STUDY]


def _run(each: Record, logs: Mapping[str, Record]) -> Run:
    device, exercise = str(each.axes["device"]), str(each.axes["exercise"])
    corrected, rest = _figures(each, CORRECTED), list(each.trials)
    if exercise == NORM_LOG and device in logs:
        corrected |= of_norm_log(logs[device])
        rest += [trial for trial in logs[device].trials if "products" in trial.what]
    wrong = [trial for trial in each.trials if trial.what.get("method") == AS_PUBLISHED]
    more = {key: value for trial in wrong for key, value in trial.result.items()}
    ended = [(one.status, one.reason or "") for one in (each, *rest)]
    bad = [(status, reason) for status, reason in ended if status != Status.OK]
    return Run(device, exercise, _figures(each, AS_PUBLISHED), corrected, more, bad)


def _figures(each: Record, method: str) -> dict[str, Interval]:
    found = {}
    for trial in each.trials:
        figures = trial.result.get("figures", {})
        if trial.status == Status.OK and trial.what.get("method") == method:
            for name, seen in figures.items():
                value = float(seen["value"])
                found[name] = Interval(value, seen.get("low", value), seen.get("high", value))
    return found


def of_norm_log(each: Record) -> dict[str, Interval]:
    """The corrected figures of the log of norms, from the study of its own question.

    With a log: every norm is read at once. Without: kept on the device, and transferred once.
    """
    good = (t for t in each.trials if t.status == Status.OK and "products" in t.what)
    result = next((trial.result for trial in good), {})
    found = {}
    for name, arm in (("with log", "anchor"), ("without log", "buffer")):
        if seen := result.get("arms", {}).get(arm):
            times = (seen[f"time_{part}_s"] for part in ("median", "low", "high"))
            found[name] = Interval(*(NORMS / seen["units_per_call"] * each for each in times))
    if ratio := result.get("ratios", {}).get("buffer"):
        values = (1 / ratio[key] for key in ("ratio", "ratio_high", "ratio_low"))
        found[LOGGING] = Interval(*values)
    if result.get("norm_mean") is not None:  # a mean is finite only if all norms are
        found[FINITE] = exactly(1.0)
    return found


# ---- contrasts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contrast:
    """What an answer claims, as one number; a KeyError of ``of`` says that a figure is missing."""

    exercise: str  # whose answer it is
    name: str  # what is contrasted; figures of this name come before what ``of`` computes
    of: Callable[[Figures], Interval]
    unit: str = "×"  # of a ratio; or points of a difference, FLOP/s, % of a share; no setting's
    claimed: bool = False  # whether what was published is a claim, not what its method gave

    @property
    def relative(self) -> bool:
        """Whether it is compared by its logarithm, as times are, or by differences."""
        return self.unit != "points"

    def seen(self, figures: Figures) -> Interval | None:
        """Its value; None where a figure is missing."""
        if self.name in figures:
            return figures[self.name]
        try:
            return self.of(figures)
        except KeyError:
            return None

    def told(self, seen: Interval | None, brief: bool = False) -> Cell | None:
        """It in a cell of a table: with its interval, where it has one, unless in brief."""
        if seen is None:
            return None
        bare = brief or seen.low == seen.high
        scale = 100.0 if self.unit in ("points", "%") else 1.0
        if not self.unit:
            text = f"{seen.value:g}" + ("" if bare else f" [{seen.low:g}, {seen.high:g}]")
        elif self.unit == "FLOP/s":
            text = say.quantity(seen.value, self.unit) if bare else say.measured(seen, self.unit)
        elif bare:
            text = f"{say.number(scale * seen.value)} {self.unit}"
        else:
            text = say.interval(seen, self.unit, scale)
        return Cell(text=text, value=seen.value)


def ratio(exercise: str, name: str, over: str, under: str) -> Contrast:
    """How many times as long something takes."""
    return Contrast(exercise, name, lambda seen: verdict.unpaired(seen[over], seen[under]))


def difference(exercise: str, name: str, of_this: str, minus: str) -> Contrast:
    """A difference of accuracies."""
    return Contrast(
        exercise, name, lambda seen: inference.difference(seen[of_this], seen[minus]), "points"
    )


def first_size(figures: Figures) -> Interval:
    """How many times as long 1024 took as the other sizes, by their median."""
    others = [seen for name, seen in figures.items() if name.startswith("n ") and name != FIRST]
    if not others:
        raise KeyError(FIRST)
    ends = zip(*((each.value, each.low, each.high) for each in others), strict=True)
    middle = Interval(*map(statistics.median, ends))
    return verdict.unpaired(figures[FIRST], middle)


def best_rate(figures: Figures) -> Interval:
    """The learning rate of the highest bar, from the least to the largest that could be it."""
    bars = {
        float(name.removeprefix("rate ")): seen
        for name, seen in figures.items()
        if name.startswith("rate ") and not name.endswith(OWN)
    }
    if not bars:
        raise KeyError("rate")
    best = max(bars, key=lambda rate: bars[rate].value)
    rivals = [rate for rate, seen in bars.items() if seen.high >= bars[best].low]
    return Interval(best, min(rivals), max(rivals))


def speed(of_this: str, n: int, products: int) -> Contrast:
    """FLOP/s that a time implies for products of n × n matrices, which are 2n³ FLOP each."""

    def of(figures: Figures) -> Interval:
        flop, time = 2.0 * n**3 * products, figures[of_this]
        return Interval(flop / time.value, flop / time.high, flop / time.low)

    return Contrast("two_gpus", f"speed, {of_this}", of, "FLOP/s")


def alone(exercise: str, name: str, unit: str = "") -> Contrast:
    """A figure by itself, which the method gets wrong whatever was published."""
    return Contrast(exercise, name, lambda figures: figures[name], unit, claimed=True)


NETWORKS = "networks compared"
LOGGING, FINITE = "log at every step / at the end", "finite norms"
CONTRASTS = [
    *(
        ratio("framework", f"scratch / framework{at}", f"scratch{at}", f"framework{at}")
        for at in (", depth 1", ", depth 5")  # of the five that were published
    ),
    Contrast("sizes", "1024 / the other sizes", first_size),
    alone("activations", NETWORKS),
    difference("initialisers", "uniform − Xavier", "uniform", "Xavier"),
    difference("initialisers", "normal − Xavier", "normal", "Xavier"),
    difference("initialisers", "Xavier: bar − own curve", "Xavier", f"Xavier{OWN}"),
    Contrast("rates", "best rate", best_rate, ""),
    ratio("devices", "CPU: 1000² / 1×1", "CPU, 1000²", "CPU, 1×1"),
    ratio("devices", "CPU / GPU, 1000²", "CPU, 1000²", "GPU, 1000²"),
    ratio("devices", "CPU / GPU, 1×1", "CPU, 1×1", "GPU, 1×1"),
    ratio("norm_log", LOGGING, "with log", "without log"),
    alone("norm_log", FINITE, "%"),
    speed("10000², two GPUs", 10_000, 2),
    speed("5000², one GPU", 5000, 1),
    speed("10000², one GPU", 10_000, 1),
    speed("10000², elsewhere", 10_000, 1),
]
EXERCISES = list(dict.fromkeys(each.exercise for each in CONTRASTS))

# ---- the verdict ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A contrast on one device; ``lost`` and ``why`` where a figure is missing."""

    contrast: Contrast
    device: str
    published: Figure
    reproduced: Figure
    corrected: Figure
    said: Said
    lost: str = ""
    why: str = ""

    @property
    def exercise(self) -> str:
        """Whose contrast it is."""
        return self.contrast.exercise


def said(contrast: Contrast, claim: Figure, reproduced: Figure, corrected: Figure) -> Said:
    """The verdict: whether the published method errs here to the side that the published one did.

    That is so when its figure lies on the same side of the corrected one as the published figure:
    their intervals, where there are any, do not touch, and times are at least 2 % apart. Where the
    published figure is the claim itself, falling short of the corrected one decides.
    """
    if reproduced is None:
        return Said.CANNOT
    if corrected is None:
        return Said.UNKNOWN
    side = _side(contrast, reproduced, corrected)
    if contrast.claimed or claim is None:
        return Said.REPRODUCED if side < 0 else Said.NOT
    return Said.REPRODUCED if side and side == _side(contrast, claim, corrected) else Said.NOT


def _side(contrast: Contrast, seen: Interval, corrected: Interval) -> int:
    """-1 below the corrected figure, 1 above it, 0 where it cannot be told from it."""
    if seen.low <= corrected.high and corrected.low <= seen.high:
        return 0
    if contrast.relative and abs(math.log(seen.value / corrected.value)) < math.log1p(SMALLEST):
        return 0
    return 1 if seen.value > corrected.value else -1


def rows(table: pd.DataFrame, found: Sequence[Run]) -> list[Row]:
    """Every contrast on every device where it can be run, or once with the reason why not."""
    listed = []
    for contrast in CONTRASTS:
        cited = of_table(table, contrast.exercise)
        made = [_row(contrast, cited, run) for run in found if run.exercise == contrast.exercise]
        able = [each for each in made if each.said in RUN]
        claim = Row(contrast, "–", contrast.seen(cited), None, None, Said.NOT_ASKED)
        listed += able or made[:1] or [claim]
    return listed


def _row(contrast: Contrast, cited: Figures, run: Run) -> Row:
    columns = (cited, run.reproduced, run.corrected)
    claim, reproduced, corrected = (contrast.seen(figures) for figures in columns)
    word = said(contrast, claim, reproduced, corrected)
    return Row(contrast, run.device, claim, reproduced, corrected, word, *run.lacking(word))


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the cited table and the records of this study and of the log of norms."""
    table, found = published(), runs(records)
    compared = rows(table, found)
    devices = list(dict.fromkeys(each.device for each in compared if each.said in RUN))
    return Findings(
        short=f"{_again(compared, devices)} wrong again" if devices else "Not measured",
        cells=[
            Main(TITLES[each.exercise], lost=each.lost)
            for each in compared
            if each.said != Said.NOT_ASKED
        ],
        sentence=_sentence(compared, devices),
        so="Trust the right figures, not the published ones."
        if any(each.said == Said.REPRODUCED for each in compared)
        else "",
        numbers={"contrasts": [_flat(each) for each in compared]},
        why=[*(text for run in found for text in _beside(run, devices)), _impossible(compared)],
        method=_method(table, records),
        caveats=[
            "The methods were rebuilt from what the published answers show; a seed or a version "
            "that was not visible can differ.",
            "Machines differ, so only contrasts are compared. One cold sample is one draw: another "
            "run gives another factor.",
            "Accuracies are of one seed. Activations, initialisations and rates have questions of "
            "their own.",
        ],
        views=[_view(compared, device) for device in devices or [""]],
        folded=[
            question.tabled(
                "Why the published figures are wrong",
                ("exercise", "cause"),
                [[TITLES[exercise], cause] for exercise, cause in CAUSES["cause"].items()],
            )
        ],
        table=_three(compared, devices),
        frame=_frame(table, found, compared),
    )


def _again(compared: Sequence[Row], devices: Sequence[str]) -> str:
    """How many figures come out wrong again, of those whose method was run; alike, said once."""
    words = {d: [e.said for e in compared if e.device == d and e.said in RUN] for d in devices}
    counts = {d: f"{own.count(Said.REPRODUCED)} of {len(own)}" for d, own in words.items()}
    same = arms.grouped(devices, counts.__getitem__)
    return say.listed(f"{say.listed(own)}: {n}" if len(same) > 1 else n for n, own in same.items())


def _sentence(compared: Sequence[Row], devices: Sequence[str]) -> str:
    """How many published figures come out wrong here, too, and which cannot be told."""
    text = "No published method was run here."
    if devices:
        again = _again(compared, devices)
        text = f"By their own methods, {again} published figures come out wrong again."
    lost = {TITLES[each.exercise]: each.lost for each in compared if each.lost}
    reasons = {each.lost for each in compared if each.lost}
    word = say.capital(reasons.pop()) if len(reasons) == 1 else "Missing"
    return f"{text} {word}: {say.few([*lost], 2)}." if lost else text


def _beside(run: Run, devices: Sequence[str]) -> list[str]:
    """What else shows the cause, in numbers."""
    where, texts = say.on(run.device, devices), []
    if run.exercise == "framework":
        for name, whole in run.reproduced.items():
            if name in run.corrected and name.startswith("framework"):
                share = say.share(run.corrected[name].value, whole.value)
                texts.append(f"{where}The steps alone are {share} of the time of “{name}”.")
    if same := run.more.get("untouched"):
        texts.append(f"{where}{say.listed(same)} left every weight as it was.")
    if start := run.more.get("infinite_from"):
        texts.append(f"{where}z holds infinite elements from iteration {start} on.")
    return texts


def _impossible(compared: Sequence[Row]) -> str:
    """What the times of the GPUs imply, beside the highest peak that a data sheet claims."""
    peaks = pd.read_csv(PEAKS)
    peaks = peaks[peaks["format"] == "float32"]
    best = peaks.loc[peaks["peak_flops"].idxmax()]
    implied = [e.published.value for e in compared if e.exercise == "two_gpus" and e.published]
    above = sum(value > best["peak_flops"] for value in implied)
    return (
        f"No GPU is needed to doubt the times of products on GPUs: {above} of {len(implied)} imply "
        "more than the highest float32 peak among this project's data sheets, "
        f"{say.quantity(best['peak_flops'], 'FLOP/s')} ({best['chip']}, {best['year']})."
    )


def _flat(each: Row) -> dict[str, Any]:
    return {
        "exercise": each.exercise,
        "device": each.device,
        "contrast": each.contrast.name,
        "published": each.published.value if each.published else None,
        **verdict.ends("reproduced", each.reproduced),
        **verdict.ends("corrected", each.corrected),
        "margin": SMALLEST if each.contrast.relative else 0.0,
        "verdict": each.said.value,
        "reason": each.why or None,
    }


def _method(table: pd.DataFrame, records: Sequence[Record]) -> list[str]:
    asked = {str(each.axes["exercise"]): each for each in records if each.study == STUDY}
    own = next(iter(asked.values())).settings
    loading = [
        f"Framework: one epoch of {say.count(own['loader_images'])} images with the textbook's "
        "loader, extrapolated to ten of 60,000. Right: the steps alone, on a batch in memory."
    ]
    return [
        f"{len(table)} published figures stand in resources/published with their sources. Their "
        "methods were written anew and run in a fresh process each.",
        "Reproduced: run here, the published method errs to the same side of the right figure as "
        f"the published one. Intervals do not touch, times are {100 * SMALLEST:g} % apart. Where "
        "the published figure is only a claim, falling short of it decides.",
        *(loading if "framework" in asked else []),
        f"Networks for accuracy learned {own['epochs']} epochs from one seed (ten were published) "
        "and stand with their best epoch in validation.",
        "The right log of norms comes from its own question.",
    ]


def _view(compared: Sequence[Row], device: str) -> Shown:
    """The first contrast of every exercise that was run on a device, else the first."""
    shown = []
    for exercise in EXERCISES:
        all_ = [each for each in compared if each.exercise == exercise]
        here = [each for each in all_ if each.device == device] or all_
        shown.append(next((each for each in here if each.said in RUN), here[0]))
    told = "; ".join(f"{TITLES[each.exercise]}: {each.said}" for each in shown)
    return Shown(TITLE, f"{TITLE}. {told}.", table=_three(shown, [device], True), name=device)


def _three(shown: Sequence[Row], devices: Sequence[str], brief: bool = False) -> Table:
    """Contrasts with their three numbers; the device has a column where there are several."""
    rows: list[dict[str, Any]] = []
    for each in shown:
        title, name = TITLES[each.exercise], each.contrast.name.replace(": ", ", ")
        word = BRIEF.get(each.said, each.said.value) if brief else each.said.value
        rows.append(
            {
                "figure": f"{title}: {name.removesuffix(f', {title}')}",
                **({"device": each.device} if len(devices) > 1 else {}),
                "published": each.contrast.told(each.published, brief),
                "method here": each.contrast.told(each.reproduced, brief),
                "right": each.contrast.told(each.corrected, brief),
                "wrong again?" if brief else "verdict": Cell(
                    text=word, sign=SIGNS.get(each.said, ""), reason=each.why
                ),
            }
        )
    return model.tabled(rows)


def _frame(table: pd.DataFrame, found: Sequence[Run], compared: Sequence[Row]) -> pd.DataFrame:
    """Tidy: one row per figure and device, then one per contrast."""
    cited = {(row.exercise, row.quantity): row for row in table.itertuples()}
    lines: list[dict[str, Any]] = []
    for run in found:
        names = [name for exercise, name in cited if exercise == run.exercise]
        for name in dict.fromkeys([*names, *run.reproduced, *run.corrected]):
            row = cited.get((run.exercise, name))
            lines.append(
                {
                    "kind": "figure",
                    "exercise": run.exercise,
                    "device": run.device,
                    "quantity": name,
                    "published": row.figure if row else None,
                    **verdict.ends("reproduced", run.reproduced.get(name)),
                    **verdict.ends("corrected", run.corrected.get(name)),
                    "source": row.source if row else None,
                }
            )
    flats = map(_flat, compared)
    contrasts = [{"kind": "contrast", "quantity": flat.pop("contrast"), **flat} for flat in flats]
    return pd.DataFrame([*lines, *contrasts])


main = partial(question.run, "reproduction", answer)

if __name__ == "__main__":
    main()
