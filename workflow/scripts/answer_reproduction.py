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
from dataclasses import dataclass, replace
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


RUN = {Said.REPRODUCED: "✓", Said.NOT: "✗", Said.UNKNOWN: "!"}  # the published method was run
BRIEF = {Said.REPRODUCED: "yes", Said.NOT: "no", Said.CANNOT: "not run"}  # in the card's table


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


def bare(seen: Figure) -> Figure:
    """The same without its interval."""
    return seen and exactly(seen.value)


@dataclass(frozen=True)
class Run:
    """One exercise on one device."""

    device: str
    exercise: str
    reproduced: Figures
    corrected: Figures
    bad: Sequence[tuple[Status, str]]  # what else became of the record and its trials, and why

    def lacking(self, word: Said) -> tuple[str, str]:
        """Why a figure with such a verdict is missing: in a word or two, and in full.

        The published method is missing for what the machine has not, the right one for the rest.
        """
        if word not in (Said.CANNOT, Said.UNKNOWN):
            return "", ""
        own = [e for e in self.bad if (e[0] == Status.UNAVAILABLE) == (word == Said.CANNOT)]
        own = own or [*self.bad] or [(Status.OK, "")]
        return model.lost(own[0][0]), "; ".join(dict.fromkeys(why for _, why in own if why))


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
    ended = [(one.status, one.reason or "") for one in (each, *rest)]
    bad = [(status, reason) for status, reason in ended if status != Status.OK]
    return Run(device, exercise, _figures(each, AS_PUBLISHED), corrected, bad)


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
            found[name] = arms.time_of(seen, NORMS / seen["units_per_call"])
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

    def told(self, seen: Figure) -> Cell | None:
        """It in a cell of a table: with its interval, where it has one."""
        if seen is None:
            return None
        scale = 100.0 if self.unit in ("points", "%") else 1.0
        exact = seen.low == seen.high
        if not self.unit:
            text = f"{seen.value:g}"
        elif self.unit == "FLOP/s":
            text = say.quantity(seen.value, self.unit) if exact else say.measured(seen, self.unit)
        else:
            text = (say.value if exact else say.interval)(seen, self.unit, scale)
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
    def title(self) -> str:
        """Whose contrast it is, in words."""
        return TITLES[self.contrast.exercise]

    @property
    def label(self) -> str:
        """What is contrasted, in words."""
        name = self.contrast.name.replace(": ", ", ")
        return f"{self.title}: {name.removesuffix(f', {self.title}')}"


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
    reproduced = any(each.said == Said.REPRODUCED for each in compared)
    flat = [_flat(each) for each in compared]
    return Findings(
        short=f"{_again(compared, devices)} wrong again" if devices else "Not measured",
        cells=[
            Main(each.title, lost=each.lost) for each in compared if each.said != Said.NOT_ASKED
        ],
        sentence=_sentence(compared, devices),
        so="Trust the right figures, not the published ones." if reproduced else "",
        numbers={"contrasts": flat},
        method=_method(table, records),
        caveats=CAVEATS,
        views=[_view(compared, device) for device in devices or [""]],
        folded=[
            question.tabled(
                "Why the published figures are wrong",
                ("exercise", "cause"),
                [[TITLES[exercise], cause] for exercise, cause in CAUSES["cause"].items()],
            )
        ],
        table=_three(compared, devices, "verdict", lambda each: each.said.value),
        frame=_frame(table, found, flat),
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
    lost = {each.title: each.lost for each in compared if each.lost}
    reasons = {*lost.values()}
    word = say.capital(reasons.pop()) if len(reasons) == 1 else "Missing"
    return f"{text} {word}: {say.few([*lost], 2)}." if lost else text


def _method(table: pd.DataFrame, records: Sequence[Record]) -> list[str]:
    settings: Any = next(each.settings for each in records if each.study == STUDY)
    return [
        f"{len(table)} published figures stand in resources/published with their sources. Their "
        "methods were written anew and run in a fresh process each.",
        "Reproduced: run here, the published method errs to the same side of the right figure as "
        f"the published one. Intervals do not touch, times are {100 * SMALLEST:g} % apart. Where "
        "the published figure is only a claim, falling short of it decides.",
        f"Networks for accuracy learned {settings['epochs']} epochs from one seed (ten were "
        "published) and stand with their best epoch in validation.",
        "The right log of norms comes from its own question; the right framework is timed by its "
        "steps alone, on a batch in memory.",
    ]


CAVEATS = [
    "The methods were rebuilt from what the published answers show; a seed or a version that was "
    "not visible can differ.",
    "Machines differ, so only contrasts are compared. One cold sample is one draw: another run "
    "gives another factor.",
    "Accuracies are of one seed. Activations, initialisations and rates have questions of their "
    "own.",
]


def _view(compared: Sequence[Row], device: str) -> Shown:
    """The first contrast of every exercise that was run on a device, else the first."""
    shown = []
    for own in arms.grouped(compared, lambda each: each.contrast.exercise).values():
        here = [each for each in own if each.device == device] or own
        shown.append(next((each for each in here if each.said in RUN), here[0]))
    told = "; ".join(f"{each.title}: {each.said}" for each in shown)
    brief = [
        replace(each, reproduced=bare(each.reproduced), corrected=bare(each.corrected))
        for each in shown
    ]
    table = _three(
        brief, [device], "wrong again?", lambda each: BRIEF.get(each.said, each.said.value)
    )
    return Shown(TITLE, f"{TITLE}. {told}.", table=table, name=device)


def _three(
    shown: Sequence[Row], devices: Sequence[str], head: str, word: Callable[[Row], str]
) -> Table:
    """Contrasts with their three numbers; the device has a column where there are several."""
    return model.tabled(
        [
            {
                "figure": each.label,
                **({"device": each.device} if len(devices) > 1 else {}),
                "published": each.contrast.told(each.published),
                "method here": each.contrast.told(each.reproduced),
                "right": each.contrast.told(each.corrected),
                head: Cell(text=word(each), sign=RUN.get(each.said, ""), reason=each.why),
            }
            for each in shown
        ]
    )


def _flat(each: Row) -> dict[str, Any]:
    return {
        "exercise": each.contrast.exercise,
        "device": each.device,
        "contrast": each.contrast.name,
        "published": each.published.value if each.published else None,
        **verdict.ends("reproduced", each.reproduced),
        **verdict.ends("corrected", each.corrected),
        "margin": SMALLEST if each.contrast.relative else 0.0,
        "verdict": each.said.value,
        "reason": each.why or None,
    }


def _frame(
    table: pd.DataFrame, found: Sequence[Run], flat: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Tidy: one row per figure and device, then one per contrast."""
    lines: list[dict[str, Any]] = []
    for run in found:
        cited = table[table["exercise"] == run.exercise].set_index("quantity")
        for name in dict.fromkeys([*cited.index, *run.reproduced, *run.corrected]):
            known = cited.loc[name] if name in cited.index else {}
            lines.append(
                {
                    **{"kind": "figure", "exercise": run.exercise, "device": run.device},
                    **{"quantity": name, "published": known.get("figure")},
                    **verdict.ends("reproduced", run.reproduced.get(name)),
                    **verdict.ends("corrected", run.corrected.get(name)),
                    "source": known.get("source"),
                }
            )
    contrasts = pd.DataFrame(flat).rename(columns={"contrast": "quantity"}).assign(kind="contrast")
    return pd.concat([pd.DataFrame(lines), contrasts])


main = partial(question.run, "reproduction", answer)

if __name__ == "__main__":
    main()
