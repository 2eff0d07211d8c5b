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
from dataclasses import astuple, dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
from assay.answer import arms, model, question, say, trials, verdict
from assay.answer.inference import difference
from assay.answer.model import Cell, Main, Table, outcome
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import unpaired
from assay.record import Record, Status, Trial
from assay.statistic import Interval

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
PUBLISHED = RESOURCES / "published/published.csv"
CAUSES = pd.read_csv(RESOURCES / "published/causes.csv", index_col="exercise")
TITLES: dict[str, str] = CAUSES["title"].to_dict()
RULES = pd.read_csv(RESOURCES / "published/rules.csv")  # without a figure to compare
COLUMNS = ["exercise", "quantity", "value", "unit", "source"]
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "share": 1.0, "networks": 1.0}

STUDY, NORM_LOG = "reproduction", "norm_log"  # the studies that are read
METHODS = ("as published", "corrected")
NORMS = 1000  # in the published log
SIZES = (1024, 1025, 1026, 1028, 1032)  # in the order in which they were timed
RATES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
TITLE = "What was published, what its method gives here, and what is right"
JUDGED = "Published rules, each judged in a question of its own"


class Said(StrEnum):
    """What becomes of a published figure here."""

    REPRODUCED = "reproduced"
    NOT = "not reproduced here"
    CANNOT = "cannot be run here"
    UNKNOWN = "cannot tell"
    NOT_ASKED = "not asked for"


RUN = (Said.REPRODUCED, Said.NOT, Said.UNKNOWN)  # the published method was run
# Whether it came out wrong again, in a table's words.
AGAIN = {Said.REPRODUCED: "✗ yes", Said.UNKNOWN: "! cannot tell", Said.CANNOT: "not run",
         Said.NOT_ASKED: "not asked for"}  # fmt: skip

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
    figures: Sequence[Figures]  # published, reproduced, corrected
    bad: list[tuple[Status, str]]  # what else became of the record and its trials, and why

    def lacking(self, word: Said) -> tuple[str, str]:
        """Why a figure with such a verdict is missing: in a word or two, and in full.

        The published method is missing for what the machine has not, the right one for the rest.
        """
        if word not in (Said.CANNOT, Said.UNKNOWN):
            return "", ""
        own = [e for e in self.bad if (e[0] == Status.UNAVAILABLE) == (word == Said.CANNOT)]
        own = own or self.bad or [(Status.OK, "")]
        return model.lost(own[0][0]), "; ".join(dict.fromkeys(why for _, why in own if why))


def runs(table: pd.DataFrame, records: Sequence[Record]) -> list[Run]:
    """Every exercise that was asked for, on every device."""
    logs = {str(each.axes["device"]): each for each in records if each.study == NORM_LOG}
    found = []
    for each in records:
        if each.study == STUDY:
            device, exercise = (str(each.axes[axis]) for axis in ("device", "exercise"))
            reproduced, corrected = (_figures(each, method) for method in METHODS)
            parts = [each, *each.trials]
            if exercise == NORM_LOG and device in logs:
                corrected |= of_norm_log(logs[device])
                parts += _products(logs[device])
            bad = [(part.status, part.reason or "") for part in parts if part.status != Status.OK]
            figures = (of_table(table, exercise), reproduced, corrected)
            found.append(Run(device, exercise, figures, bad))
    return found


def _figures(each: Record, method: str) -> dict[str, Interval]:
    return {
        name: Interval(*(seen.get(end, seen["value"]) for end in ("value", "low", "high")))
        for trial in each.trials
        if trial.status == Status.OK and trial.what.get("method") == method
        for name, seen in trial.result.get("figures", {}).items()
    }


def of_norm_log(each: Record) -> dict[str, Interval]:
    """The corrected figures of the log of norms, from the study of its own question.

    With a log: every norm is read at once. Without: kept on the device, and transferred once.
    """
    ways, found = {"item": "with log", "buffer": "without log"}, {}
    for trial in _products(each):
        for arm in arms.timed(each, trial, ways, anchor="item", per=NORMS):
            if arm.value:
                found[arm.label] = arm.value
            if arm.seen:
                found[LOGGING] = divided(1.0, arm.seen)
        if trial.result.get("norm_mean") is not None:  # a mean is finite only if all norms are
            found[FINITE] = exactly(1.0)
    return found


def _products(each: Record) -> list[Trial]:
    return [trial for trial in each.trials if "products" in trial.what]


# ---- contrasts -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contrast:
    """What an answer claims, as one number."""

    exercise: str  # whose answer it is
    name: str  # what is contrasted; a figure of this name comes before what ``of`` computes
    of: Callable[..., Interval] | None = None  # where there may be no such figure
    names: Sequence[str] = ()  # of the figures that ``of`` takes
    unit: str = "×"  # of a ratio; or points of a difference, FLOP/s, % of a share; no setting's
    claimed: bool = False  # whether what was published is a claim, not what its method gave

    @property
    def margin(self) -> float:
        """The difference under which times are never called different; none of accuracies."""
        return 0.0 if self.unit == "points" else verdict.MARGIN

    @property
    def title(self) -> str:
        """Whose it is, in words."""
        return TITLES[self.exercise]

    @property
    def label(self) -> str:
        """Whose it is and what is contrasted, in words."""
        return f"{self.title}: {self.name.replace(': ', ', ').removesuffix(f', {self.title}')}"

    def seen(self, figures: Figures) -> Figure:
        """Its value; None where a figure is missing."""
        if self.of is None or self.name in figures:
            return figures.get(self.name)
        known = [figures[name] for name in self.names if name in figures]
        return self.of(*known) if len(known) == len(self.names) else None

    def told(self, seen: Figure) -> Cell | None:
        """It in a cell of a table: with its interval, where it has one."""
        if seen is None:
            return None
        factor, prefix = 0.01 if self.unit in ("points", "%") else 1.0, ""
        if self.unit == "FLOP/s":
            factor, prefix = say.scaled([seen.value])
        write = say.value if seen.low == seen.high else say.interval
        text = write(seen, prefix + self.unit, 1 / factor) if self.unit else f"{seen.value:g}"
        return Cell(text=text, value=seen.value)


def first_size(first: Interval, *others: Interval) -> Interval:
    """How many times as long one size took as the others, by their median."""
    middle = Interval(*map(statistics.median, zip(*map(astuple, others), strict=True)))
    return unpaired(first, middle)


def best_rate(*bars: Interval) -> Interval:
    """The learning rate of the highest bar, from the least to the largest that could be it."""
    best = max(bars, key=lambda bar: bar.value)
    rivals = [rate for rate, bar in zip(RATES, bars, strict=True) if bar.high >= best.low]
    return Interval(RATES[bars.index(best)], min(rivals), max(rivals))


def divided(number: float, seen: Interval) -> Interval:
    """A number divided by a positive figure."""
    return Interval(number / seen.value, number / seen.high, number / seen.low)


OWN = "Xavier, own curve"  # where the learning curve of the same published network ended
NETWORKS = "networks compared"
LOGGING, FINITE = "log at every step / at the end", "finite norms"
CONTRASTS = [
    *(
        Contrast(
            "framework", f"scratch / framework{at}", unpaired, (f"scratch{at}", f"framework{at}")
        )
        for at in (", depth 1", ", depth 5")  # of the five that were published
    ),
    Contrast("sizes", "1024 / the other sizes", first_size, [f"n {n}" for n in SIZES]),
    Contrast("activations", NETWORKS, unit="", claimed=True),
    Contrast("initialisers", "uniform − Xavier", difference, ("uniform", "Xavier"), "points"),
    Contrast("initialisers", "normal − Xavier", difference, ("normal", "Xavier"), "points"),
    Contrast("initialisers", "Xavier: bar − own curve", difference, ("Xavier", OWN), "points"),
    Contrast("rates", "best rate", best_rate, [f"rate {rate:g}" for rate in RATES], ""),
    Contrast("devices", "CPU: 1000² / 1×1", unpaired, ("CPU, 1000²", "CPU, 1×1")),
    Contrast("devices", "CPU / GPU, 1000²", unpaired, ("CPU, 1000²", "GPU, 1000²")),
    Contrast("devices", "CPU / GPU, 1×1", unpaired, ("CPU, 1×1", "GPU, 1×1")),
    Contrast("norm_log", LOGGING, unpaired, ("with log", "without log")),
    Contrast("norm_log", FINITE, unit="%", claimed=True),
    *(  # a product of n × n matrices is 2n³ FLOP
        Contrast("two_gpus", f"speed, {time}", partial(divided, flop), [time], "FLOP/s")
        for time, flop in (
            ("10000², two GPUs", 4e12),
            ("5000², one GPU", 2.5e11),
            ("10000², one GPU", 2e12),
            ("10000², elsewhere", 2e12),
        )
    ),
]
EXERCISES = list(dict.fromkeys(each.exercise for each in CONTRASTS))


# ---- the verdict ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A contrast on one device; ``lost`` and ``why`` where a figure is missing."""

    contrast: Contrast
    device: str
    figures: Sequence[Figure]  # published, reproduced, corrected
    said: Said = Said.NOT_ASKED
    lost: str = ""
    why: str = ""
    again: str = AGAIN[Said.NOT_ASKED]  # whether the method came out wrong again, for a table


def said(contrast: Contrast, claim: Figure, reproduced: Figure, corrected: Figure) -> Said:
    """Whether the published method errs here to the side that the published figure did.

    Where that is the claim itself, and not what the method gave, falling short decides.
    """
    if reproduced is None:
        return Said.CANNOT
    if corrected is None:
        return Said.UNKNOWN
    side = _side(contrast, reproduced, corrected)
    wrong = -1 if contrast.claimed or claim is None else _side(contrast, claim, corrected)
    return Said.REPRODUCED if side and side == wrong else Said.NOT


def _side(contrast: Contrast, seen: Interval, corrected: Interval) -> int:
    """-1 below the corrected figure, 1 above it, 0 where it cannot be told from it."""
    if seen.low <= corrected.high and corrected.low <= seen.high:
        return 0
    margin = math.log1p(contrast.margin)
    if margin and abs(math.log(seen.value / corrected.value)) < margin:
        return 0
    return 1 if seen.value > corrected.value else -1


def rows(table: pd.DataFrame, found: Sequence[Run]) -> list[Row]:
    """Every contrast on every device where it can be run, or once with the reason why not."""
    listed = []
    for contrast in CONTRASTS:
        made = [_row(contrast, run) for run in found if run.exercise == contrast.exercise]
        able = [each for each in made if each.said in RUN]
        claim = contrast.seen(of_table(table, contrast.exercise))
        listed += able or made[:1] or [Row(contrast, "–", (claim, None, None))]
    return listed


def _row(contrast: Contrast, run: Run) -> Row:
    figures = [*map(contrast.seen, run.figures)]
    word = said(contrast, *figures)
    again = _again(contrast, *figures[1:]) if word == Said.NOT else AGAIN[word]
    return Row(contrast, run.device, figures, word, *run.lacking(word), again)


def _again(contrast: Contrast, reproduced: Interval, corrected: Interval) -> str:
    """Whether a method that does not err as published errs otherwise, or is known to be right."""
    if _side(contrast, reproduced, corrected):
        return "! otherwise"
    apart = max(reproduced.high - corrected.low, corrected.high - reproduced.low)
    return "✓ no" if apart <= contrast.margin * corrected.value else "! cannot tell"


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the cited table and the records of this study and of the log of norms."""
    table = published()
    found = runs(table, records)
    compared = rows(table, found)
    devices = list(dict.fromkeys(each.device for each in compared if each.said in RUN))
    flat = [_flat(each) for each in compared]
    causes = [[TITLES[exercise], cause] for exercise, cause in CAUSES["cause"].items()]
    return Findings(
        **vars(_tell(compared, devices)),
        numbers={"contrasts": flat},
        method=_method(table, records),
        caveats=CAVEATS,
        views=[_view(compared, device) for device in devices or [""]],
        folded=[
            question.tabled("Why the published figures are wrong", ("exercise", "cause"), causes),
            question.tabled(JUDGED, [*RULES], RULES.to_numpy().tolist()),
        ],
        table=_three(compared, devices),
        frame=_frame(table, found, flat),
    )


def _tell(compared: Sequence[Row], devices: Sequence[str]) -> Told:
    """How many published claims come out wrong here, too, and which cannot be told."""
    asked = [each for each in compared if each.said != Said.NOT_ASKED]
    cells = [Main(each.contrast.title, lost=each.lost) for each in asked]
    words = {d: [e.said for e in compared if e.device == d and e.said in RUN] for d in devices}
    counts = {d: f"{own.count(Said.REPRODUCED)} of {len(own)}" for d, own in words.items()}
    same = arms.grouped(devices, counts.__getitem__)
    again = say.listed(f"{say.listed(d)}: {n}" if len(same) > 1 else n for n, d in same.items())
    told = "No published method was run here."
    if devices:
        told = f"By their own methods, {again} published claims come out wrong again."
    wrong = any(Said.REPRODUCED in own for own in words.values())
    return Told(
        f"{again} wrong again" if devices else "Not measured",
        f"{told} {model.lost_told([*dict.fromkeys(cells)])}".rstrip(),
        "Trust the right figures, not the published ones." if wrong else "",
        cells,
    )


def _method(table: pd.DataFrame, records: Sequence[Record]) -> list[str]:
    settings: Any = next(each.settings for each in records if each.study == STUDY)
    return [
        f"{len(table)} published figures stand in resources/published with their sources. Their "
        "methods were written anew from what the answers show and run in a fresh process each.",
        "Reproduced: run here, the published method errs to the same side of the right figure as "
        "the published one. Intervals do not touch, times are at least "
        f"{100 * verdict.MARGIN:g} % apart. Where the published figure is only a claim, falling "
        "short of it decides.",
        f"Networks for accuracy learned {settings['epochs']} epochs from one seed (ten were "
        "published) and stand with their best epoch in validation. The right log of norms comes "
        "from its own question; the right framework is timed by its steps alone.",
    ]


CAVEATS = [
    "A seed or a version that was not visible can differ. Machines do, so only contrasts are "
    "compared. One cold sample is one draw: another run gives another factor.",
    "Activations, initialisations and rates have questions of their own, with more seeds.",
]


def _view(compared: Sequence[Row], device: str) -> Shown:
    """The first contrast of every exercise that was run on a device, else the first."""
    shown = [
        min(own, key=lambda each: (each.device != device, each.said not in RUN))
        for own in arms.grouped(compared, lambda each: each.contrast.exercise).values()
    ]
    told = "; ".join(f"{each.contrast.title}: {each.said}" for each in shown)
    brief = [replace(row, figures=[e and exactly(e.value) for e in row.figures]) for row in shown]
    return Shown(TITLE, f"{TITLE}. {told}.", table=_three(brief, [device]), name=device)


def _three(shown: Sequence[Row], devices: Sequence[str]) -> Table:
    """Contrasts with their three numbers; the device has a column where there are several."""
    heads = ("published", "method here", "right")
    rows = [
        {"figure": each.contrast.label, "device": each.device if len(devices) > 1 else None}
        | dict(zip(heads, map(each.contrast.told, each.figures), strict=True))
        | {"wrong again?": outcome(each.again, each.why)}
        for each in shown
    ]
    return model.tabled(rows)


def _columns(figures: Sequence[Figure]) -> dict[str, float | None]:
    """The three figures, for programs."""
    claim, reproduced, corrected = figures
    return {
        "published": claim and claim.value,
        **verdict.ends("reproduced", reproduced),
        **verdict.ends("corrected", corrected),
    }


def _flat(each: Row) -> dict[str, Any]:
    return {
        "exercise": each.contrast.exercise,
        "device": each.device,
        "contrast": each.contrast.name,
        **_columns(each.figures),
        "margin": each.contrast.margin,
        "verdict": each.said.value,
        "reason": each.why or None,
    }


def _frame(
    table: pd.DataFrame, found: Sequence[Run], flat: Sequence[Mapping[str, Any]]
) -> pd.DataFrame:
    """Tidy: one row per figure and device, then one per contrast."""
    lines = [
        {"kind": "figure", "exercise": run.exercise, "device": run.device, "quantity": name}
        | _columns([own.get(name) for own in run.figures])
        for run in found
        for name in dict.fromkeys(chain(*run.figures))
    ]
    figures = pd.DataFrame(lines).merge(table[["exercise", "quantity", "source"]], how="left")
    contrasts = pd.DataFrame(flat).rename(columns={"contrast": "quantity"}).assign(kind="contrast")
    return pd.concat([figures, contrasts])


main = partial(question.run, "reproduction", answer)

if __name__ == "__main__":
    main()
