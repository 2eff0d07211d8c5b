"""What did published answers report, what does their method give here, and what is right?

Published figures come from a cited table and are never results of ours. Each stands beside the same
figure from the same method, run here, and from the right method. What an answer claims is mostly
not a figure but a *contrast* of two (how much longer, how much better); contrasts are computed from
the three columns alike, so that they can be compared between machines.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import pandas as pd
from assay import inference
from assay.answer import question, verdict
from assay.answer import old_figure as figure
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

RESOURCES = Path(__file__).resolve().parents[2] / "resources"
PUBLISHED = RESOURCES / "published/published.csv"
PEAKS = RESOURCES / "peak-flops/peak_flops.csv"
COLUMNS = ["exercise", "quantity", "value", "unit", "source"]
UNITS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "share": 1.0, "networks": 1.0}

STUDY, NORM_LOG = "reproduction", "norm_log"  # the studies that are read
AS_PUBLISHED, CORRECTED = "as published", "corrected"
NORMS = 1000  # in the published log
FIRST = "n 1024"  # the size that was timed first
OWN = ", own curve"  # where the learning curve of the same published network ended
SMALLEST = verdict.MARGIN  # differences of times under this are never called differences
NO_BREAK = "\u00a0"


class Said(StrEnum):
    """What becomes of a published figure here."""

    REPRODUCED = "reproduced"
    NOT = "not reproduced here"
    CANNOT = "cannot be run here"
    UNKNOWN = "cannot tell"
    NOT_ASKED = "not asked for"


RUN = (Said.REPRODUCED, Said.NOT, Said.UNKNOWN)  # the published method was run


# ---- figures -------------------------------------------------------------------------------------

ENDS = ("value", "low", "high")  # of an interval

Figures = Mapping[str, Interval]  # by quantity, in seconds, as shares or as numbers


def published(path: Path = PUBLISHED) -> pd.DataFrame:
    """The cited table, with the value in base units as ``figure``.

    Raises:
        SystemExit: It is missing or is not that table; the message names it.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}).") from error
    if list(table.columns) != COLUMNS:
        raise SystemExit(f"{path}: its columns must be {', '.join(COLUMNS)}.")
    unknown = sorted(set(table["unit"].dropna()) - set(UNITS))
    if unknown or table.isna().any(axis=None) or not (table["value"] > 0).all():
        what = f"unknown unit {unknown[0]!r}" if unknown else "a cell is empty or not positive"
        raise SystemExit(f"{path}: {what}.")
    return table.assign(figure=table["value"] * table["unit"].map(UNITS))


def of_table(table: pd.DataFrame, exercise: str) -> Figures:
    """The published figures of an exercise."""
    rows = table[table["exercise"] == exercise]
    return {
        str(name): exactly(float(value))
        for name, value in zip(rows["quantity"], rows["figure"], strict=True)
    }


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
    lacking: str = ""  # why the published method, or a part of it, could not be run
    lost: str = ""  # why the corrected figures, or some of them, are missing


def runs(records: Sequence[Record]) -> list[Run]:
    """Every exercise that was asked for, on every device."""
    logs = {str(each.axes["device"]): each for each in records if each.study == NORM_LOG}
    return [_run(each, logs) for each in records if each.study == STUDY]


def _run(each: Record, logs: Mapping[str, Record]) -> Run:
    device, exercise = str(each.axes["device"]), str(each.axes["exercise"])
    corrected, trials = _figures(each, CORRECTED), list(each.trials)
    if exercise == NORM_LOG and device in logs:
        corrected |= of_norm_log(logs[device])
        trials += [trial for trial in logs[device].trials if "products" in trial.what]
    return Run(
        device,
        exercise,
        reproduced=_figures(each, AS_PUBLISHED),
        corrected=corrected,
        more={
            key: value
            for trial in each.trials
            if trial.what.get("method") == AS_PUBLISHED
            for key, value in trial.result.items()
            if key != "figures"
        },
        lacking=each.reason or _reasons(trials, {Status.UNAVAILABLE}),
        lost=_reasons(trials, {*Status} - {Status.OK, Status.UNAVAILABLE}),
    )


def _reasons(trials: Iterable[Trial], of: Container[Status]) -> str:
    """Why trials have such a status, each reason once."""
    found = [trial.reason for trial in trials if trial.reason and trial.status in of]
    return "; ".join(dict.fromkeys(found))


def _figures(each: Record, method: str) -> dict[str, Interval]:
    found = {}
    for trial in each.trials:
        figures: Any = trial.result.get("figures", {})
        if trial.status == Status.OK and trial.what.get("method") == method:
            for name, seen in figures.items():
                value = float(seen["value"])
                found[name] = Interval(value, seen.get("low", value), seen.get("high", value))
    return found


def of_norm_log(each: Record) -> dict[str, Interval]:
    """The corrected figures of the log of norms, from the study of its own question.

    With a log: every norm is read at once. Without: kept on the device, and transferred once.
    """
    result: Any = next(
        (
            trial.result
            for trial in each.trials
            if trial.status == Status.OK and "products" in trial.what
        ),
        {},
    )
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
    """What an answer claims, as one number.

    Attributes:
        exercise: Whose answer it is.
        name: What is contrasted; figures of this name come before what ``of`` computes.
        of: Computes it from figures; a KeyError says that one of them is missing.
        told: Writes it, given the figures that it was computed from.
        relative: Whether it is compared by its logarithm, as times are, or by differences.
        claimed: Whether the published figure is what the answer claims to show, instead of what
            its method gave.
    """

    exercise: str
    name: str
    of: Callable[[Figures], Interval]
    told: Callable[[Interval, Figures], str]
    relative: bool = True
    claimed: bool = False

    def seen(self, figures: Figures) -> Interval | None:
        """Its value; None where a figure is missing."""
        if self.name in figures:
            return figures[self.name]
        try:
            return self.of(figures)
        except KeyError:
            return None


def ratio(exercise: str, name: str, over: str, under: str) -> Contrast:
    """How many times as long something takes."""

    def of(figures: Figures) -> Interval:
        return verdict.unpaired(figures[over], figures[under])

    def told(value: Interval, figures: Figures) -> str:
        return f"{times(value)} ({seconds(figures[over].value)} / {seconds(figures[under].value)})"

    return Contrast(exercise, name, of, told)


def first_size(figures: Figures) -> Interval:
    """How many times as long 1024 took as the other sizes, by their median."""
    others = [seen for name, seen in figures.items() if name.startswith("n ") and name != FIRST]
    if not others:
        raise KeyError(FIRST)
    middle = Interval(*(statistics.median(getattr(each, end) for each in others) for end in ENDS))
    return verdict.unpaired(figures[FIRST], middle)


def told_first(value: Interval, figures: Figures) -> str:
    """That, and the time of 1024 itself."""
    return f"{times(value)} ({seconds(figures[FIRST].value)})"


def difference(exercise: str, name: str, of_this: str, minus: str) -> Contrast:
    """A difference of accuracies."""

    def of(figures: Figures) -> Interval:
        return inference.difference(figures[of_this], figures[minus])

    def told(value: Interval, figures: Figures) -> str:
        parts = (f"{100 * figures[each].value:.1f}" for each in (of_this, minus))
        points = within(value, 0.01, "+.1f")
        return f"{points} points ({' − '.join(parts)} %)"

    return Contrast(exercise, name, of, told, relative=False)


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


def told_rate(value: Interval, figures: Figures) -> str:
    """The best rate and its accuracy."""
    accuracy = f"{100 * figures[f'rate {value.value:g}'].value:.1f} %"
    rivals = f", not told from {value.low:g} to {value.high:g}" if value.low < value.high else ""
    return f"{value.value:g} ({accuracy}{rivals})"


def speed(of_this: str, n: int, products: int) -> Contrast:
    """FLOP/s that a time implies for products of n × n matrices, which are 2n³ FLOP each."""

    def of(figures: Figures) -> Interval:
        flop, time = 2.0 * n**3 * products, figures[of_this]
        return Interval(flop / time.value, flop / time.high, flop / time.low)

    def told(value: Interval, figures: Figures) -> str:
        return f"{tera(value)} ({seconds(figures[of_this].value)})"

    return Contrast("two_gpus", f"{SPEED}{of_this}", of, told)


def alone(exercise: str, name: str, told: Callable[[Interval, Figures], str]) -> Contrast:
    """A figure by itself, which the method gets wrong whatever was published."""
    return Contrast(exercise, name, lambda figures: figures[name], told, claimed=True)


DEPTHS = (1, 5)  # of the five that were published
SPEED = "speed, "
NETWORKS = "networks compared"
LOGGING, FINITE = "log at every step / at the end", "finite norms"
CONTRASTS = [
    *(
        ratio(
            "framework",
            f"scratch / framework, depth {depth}",
            f"scratch, depth {depth}",
            f"framework, depth {depth}",
        )
        for depth in DEPTHS
    ),
    Contrast("sizes", "1024 / the other sizes", first_size, told_first),
    alone("activations", NETWORKS, lambda value, _: f"{value.value:g}"),
    difference("initialisers", "uniform − Xavier", "uniform", "Xavier"),
    difference("initialisers", "normal − Xavier", "normal", "Xavier"),
    difference("initialisers", "Xavier: bar − own curve", "Xavier", f"Xavier{OWN}"),
    Contrast("rates", "best rate", best_rate, told_rate),
    ratio("devices", "CPU: 1000² / 1×1", "CPU, 1000²", "CPU, 1×1"),
    ratio("devices", "CPU / GPU, 1000²", "CPU, 1000²", "GPU, 1000²"),
    ratio("devices", "CPU / GPU, 1×1", "CPU, 1×1", "GPU, 1×1"),
    ratio("norm_log", LOGGING, "with log", "without log"),
    alone("norm_log", FINITE, lambda value, _: f"{100 * value.value:.1f} %"),
    speed("10000², two GPUs", 10_000, 2),
    speed("5000², one GPU", 5000, 1),
    speed("10000², one GPU", 10_000, 1),
    speed("10000², elsewhere", 10_000, 1),
]
EXERCISES = list(dict.fromkeys(each.exercise for each in CONTRASTS))

TITLES = {
    "framework": "framework against scratch",
    "sizes": "sizes near 1024",
    "activations": "activations",
    "initialisers": "initialisers",
    "rates": "learning rates",
    "devices": "CPU and GPU",
    "norm_log": "log of norms",
    "two_gpus": "two GPUs",
}

CAUSES = {
    "framework": "The image loader is timed with both and hides the difference of the steps; the "
    "two start from different weights and were run once each, in a fixed order.",
    "sizes": "Each size was timed once and 1024 came first, so it also started the library; a "
    "matrix times a vector is what was timed, not a product of matrices.",
    "activations": "The function that builds the network ignores its argument: every bar is ReLU. "
    "And it was trained on pixels from 0 to 1, but tested on 0 to 255.",
    "initialisers": "The function looks for lazy layers, which this network does not have, so "
    "'uniform' and 'normal' change nothing; and it was tested on pixels from 0 to 255.",
    "rates": "Every bar shows the network of the next rate, tested on pixels from 0 to 255 after "
    "training on 0 to 1.",
    "devices": "The operation is elementwise, and around it random numbers are drawn, copied and "
    "printed: that takes the time, not the computation.",
    "norm_log": "z = z * x multiplies elements and soon overflows; one loop prints 1000 lines, the "
    "other logs nothing, and their difference was called the cost of logging.",
    "two_gpus": "The clock was read when the products had been asked for, not when they were done.",
}


# ---- the verdict ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A contrast on one device."""

    contrast: Contrast
    device: str
    published: Interval | None
    reproduced: Interval | None
    corrected: Interval | None
    said: Said
    why: str
    told: tuple[str | None, str | None, str | None]  # published, reproduced, corrected

    @property
    def exercise(self) -> str:
        """Whose contrast it is."""
        return self.contrast.exercise


def said(
    contrast: Contrast,
    claim: Interval | None,
    reproduced: Interval | None,
    corrected: Interval | None,
) -> Said:
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
        here = [each for each in found if each.exercise == contrast.exercise]
        made = [_row(contrast, cited, each) for each in here]
        able = [each for each in made if each.said in RUN]
        listed += able or made[:1] or [_not_asked(contrast, cited)]
    return listed


def _not_asked(contrast: Contrast, cited: Figures) -> Row:
    claim = contrast.seen(cited)
    told = (_told(contrast, claim, cited), None, None)
    return Row(contrast, "–", claim, None, None, Said.NOT_ASKED, "", told)


def _row(contrast: Contrast, cited: Figures, run: Run) -> Row:
    columns = (cited, run.reproduced, run.corrected)
    claim, reproduced, corrected = (contrast.seen(figures) for figures in columns)
    word = said(contrast, claim, reproduced, corrected)
    reasons = {Said.CANNOT: run.lacking, Said.UNKNOWN: run.lost}
    return Row(
        contrast,
        run.device,
        claim,
        reproduced,
        corrected,
        word,
        why=reasons.get(word, ""),
        told=(
            _told(contrast, claim, cited),
            _told(contrast, reproduced, run.reproduced),
            _told(contrast, corrected, run.corrected),
        ),
    )


def _told(contrast: Contrast, value: Interval | None, figures: Figures) -> str | None:
    return None if value is None else contrast.told(value, figures)


# ---- words ---------------------------------------------------------------------------------------


def within(value: Interval, unit: float = 1.0, digits: str = ".3g") -> str:
    """A number in a unit, with its interval where it has one: ``1.01 [0.98, 1.03]``."""
    middle, low, high = (f"{each / unit:{digits}}" for each in (value.value, value.low, value.high))
    text = f"{middle} [{low}, {high}]" if value.low < value.high else middle
    return text.replace("-", "−")


def times(value: Interval) -> str:
    """A ratio: ``20.1 ×``."""
    return f"{within(value, digits=',.0f' if value.value >= 1000 else '.3g')}{NO_BREAK}×"


def seconds(value: float) -> str:
    """A time in the unit that suits it: ``4.77 ms``."""
    unit, size = next(
        (each for each in (("s", 1.0), ("ms", 1e-3)) if value >= 0.9995 * each[1]), ("µs", 1e-6)
    )
    scaled = value / size
    digits = ",.0f" if scaled >= 100 else ".3g"
    return f"{scaled:{digits}}{NO_BREAK}{unit}"


def tera(flops: Interval) -> str:
    """FLOP/s in tera: ``1,333 TFLOP/s``."""
    digits = ",.0f" if flops.value >= 1e14 else ".3g"
    return f"{within(flops, 1e12, digits)}{NO_BREAK}TFLOP/s"


def listed(exercises: Iterable[str]) -> str:
    """The names of exercises, each once."""
    return ", ".join(TITLES[each] for each in dict.fromkeys(exercises))


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the cited table and the records of this study and of the log of norms."""
    table, found = published(), runs(records)
    compared = rows(table, found)
    return Findings(
        sentence=sentence(compared),
        findings=[*_findings(compared, found)],
        numbers=_numbers(compared),
        method=_method(table, records),
        caveats=CAVEATS,
        picture=Picture(
            title="Published figures, the same method run here, and the corrected figures",
            alternative=_alternative(compared),
        ),
        table=_page_table(compared),
        frame=_frame(table, found, compared),
        figure=_figure(table, found, compared),
    )


def sentence(compared: Sequence[Row]) -> str:
    """How many published figures come out wrong here, too, and which do not or cannot."""
    devices = list(dict.fromkeys(each.device for each in compared if each.said in RUN))
    texts = [_of_device(device, compared) for device in devices]
    for word in (Said.CANNOT, Said.NOT_ASKED):
        if found := [each.exercise for each in compared if each.said == word]:
            texts.append(f"{word.capitalize()}, wholly or in part: {listed(found)}.")
    return " ".join(texts)


def _of_device(device: str, compared: Sequence[Row]) -> str:
    here = [each for each in compared if each.device == device and each.said in RUN]
    by_word = {word: [each.exercise for each in here if each.said == word] for word in Said}
    again = by_word[Said.REPRODUCED]
    text = f"{device} – run as published, {len(again)} of {len(here)} figures err here to the same "
    text += "side as the published ones"
    text += f" ({listed(again)})" if again else ""
    for word in (Said.NOT, Said.UNKNOWN):
        text += f"; {word}: {listed(by_word[word])}" if by_word[word] else ""
    return f"{text}."


def _findings(compared: Sequence[Row], found: Sequence[Run]) -> Iterable[str]:
    for exercise in EXERCISES:
        for device in dict.fromkeys(e.device for e in compared if e.exercise == exercise):
            here = [e for e in compared if (e.exercise, e.device) == (exercise, device)]
            run = next((e for e in found if (e.exercise, e.device) == (exercise, device)), None)
            parts = [_finding(each) for each in here if each.said in RUN]
            for word in (Said.CANNOT, Said.NOT_ASKED):
                parts += _not_run(word, [each for each in here if each.said == word])
            extra = " ".join(_beside(run)) if run else ""
            told = f"{device}, {TITLES[exercise]}: {'; '.join(parts)}."
            yield f"{told} {CAUSES[exercise]} {extra}".strip()
    yield _impossible(compared)


def _finding(each: Row) -> str:
    claim, reproduced, corrected = each.told
    text = f"{each.contrast.name}: published {claim or 'without a number'}, here {reproduced}"
    corrected = corrected or (f"unknown ({each.why})" if each.why else "unknown")
    return f"{text}, corrected {corrected} – {each.said}"


def _not_run(word: Said, here: Sequence[Row]) -> list[str]:
    """What was published and not run, with the one reason that all of it has."""
    if not here:
        return []
    claims = ", ".join(f"{each.contrast.name} (published: {each.told[0]})" for each in here)
    return [f"{word}: {claims}" + (f", because it {here[0].why}" if here[0].why else "")]


def _beside(run: Run) -> Iterable[str]:
    """What else shows the cause, in numbers."""
    if run.exercise == "framework":
        for name in run.reproduced:
            if name in run.corrected and name.startswith("framework"):
                share = run.corrected[name].value / run.reproduced[name].value
                yield f"The steps alone are {100 * share:.0f} % of the time of {name}."
    if run.exercise == "initialisers" and (same := run.more.get("untouched")):
        yield f"Left every weight as it was: {', '.join(map(str, same))}."
    if run.exercise == "norm_log" and (start := run.more.get("infinite_from")):
        yield f"z holds infinite elements from iteration {start} on."


def _impossible(compared: Sequence[Row]) -> str:
    """What the times of the GPUs imply, beside the highest peak that a data sheet claims."""
    peaks = pd.read_csv(PEAKS)
    peaks = peaks[peaks["format"] == "float32"]
    best = peaks.loc[peaks["peak_flops"].idxmax()]
    implied = [e.published.value for e in compared if e.exercise == "two_gpus" and e.published]
    above = sum(value > best["peak_flops"] for value in implied)
    return (
        f"No GPU is needed to doubt the times of products on GPUs: {above} of the {len(implied)} "
        "imply more than the highest float32 peak in this project's table of data sheets, "
        f"{tera(exactly(best['peak_flops']))} ({best['chip']}, {best['year']})."
    )


def _numbers(compared: Sequence[Row]) -> dict[str, Any]:
    return {"contrasts": [_flat(each) for each in compared]}


def _flat(each: Row) -> dict[str, Any]:
    corrected = each.corrected
    return {
        "exercise": each.exercise,
        "device": each.device,
        "contrast": each.contrast.name,
        "published": each.published.value if each.published else None,
        **_ends("reproduced", each.reproduced),
        **_ends("corrected", corrected),
        "margin": SMALLEST if each.contrast.relative else 0.0,
        "verdict": each.said.value,
        "reason": each.why or None,
    }


def _ends(name: str, seen: Interval | None) -> dict[str, float | None]:
    """A figure and its interval as columns."""
    ends = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    return {column: getattr(seen, end, None) for column, end in ends.items()}


def _method(table: pd.DataFrame, records: Sequence[Record]) -> list[str]:
    asked = {str(each.axes["exercise"]): each for each in records if each.study == STUDY}
    own: Any = next(iter(asked.values())).settings
    loading = [
        f"Framework against scratch, as published: one epoch of {own['loader_images']:,} images "
        "with torchvision's data set, Resize, ToTensor and four workers, from which ten epochs of "
        "60,000 are extrapolated. Corrected: the steps alone, on a batch in memory, after the "
        "losses of both from the same weights were found equal."
    ]
    loading = loading if "framework" in asked else []
    return [
        f"{len(table)} published figures stand in resources/published, each with where it comes "
        "from in words; they are other people's, on other machines. Their methods were written "
        "anew from their description and run in a fresh process each.",
        "A figure is reproduced when the published method, run here, errs to the same side of the "
        "corrected figure as the published one: intervals, where there are any, do not touch, and "
        f"times are at least {SMALLEST:.0%} apart. Where the published figure is only a claim "
        "(five activations, 1000 norms), falling short of it decides.",
        *loading,
        f"Networks for accuracy learned {own['epochs']} epochs from one seed (ten epochs "
        "were published) and stand with the weights of their best epoch in validation. Their "
        "intervals are those of a share of the test images (Wilson).",
        "Corrected times are medians of paired rounds with a twin, as everywhere in this report; "
        "those of the log of norms are the records of its own question (.item() each, and a buffer "
        "on the device). What was measured apart adds its errors in quadrature. A contrast has one "
        "of the words above and no p-value: it is told from intervals alone.",
    ]


CAVEATS = [
    "The methods were rebuilt from what could be read off the published answers; a detail that was "
    "not visible (a seed, a library's version) can be different.",
    "Absolute times are those of different machines: only the contrasts are compared.",
    "One cold sample is one draw: run it again, and the factor is another.",
    "Accuracies are of one seed and few epochs. The questions about activations, initialisations "
    "and learning rates have their own answers, with tuned rates and several seeds.",
]


def _page_table(compared: Sequence[Row]) -> Table:
    columns = [
        Column(name="exercise"),
        Column(name="device"),
        Column(name="contrast"),
        Column(name="published"),
        Column(name="its method, here"),
        Column(name="corrected"),
        Column(name="verdict"),
        Column(name="cause"),
    ]
    body: list[list[str | float | int | None]] = []
    explained: set[str] = set()
    for each in compared:
        cause = None if each.exercise in explained else CAUSES[each.exercise]
        explained.add(each.exercise)
        body.append(
            [TITLES[each.exercise], each.device, each.contrast.name, *each.told, each.said, cause]
        )
    return Table(columns=columns, rows=body)


def _frame(table: pd.DataFrame, found: Sequence[Run], compared: Sequence[Row]) -> pd.DataFrame:
    """Tidy: one row per figure and device, then one per contrast."""
    cited = {(row.exercise, row.quantity): row for row in table.itertuples()}
    lines = []
    for run in found:
        names = [name for exercise, name in cited if exercise == run.exercise]
        for name in dict.fromkeys([*names, *run.reproduced, *run.corrected]):
            row: Any = cited.get((run.exercise, name))
            reproduced, corrected = run.reproduced.get(name), run.corrected.get(name)
            lines.append(
                {
                    "kind": "figure",
                    "exercise": run.exercise,
                    "device": run.device,
                    "quantity": name,
                    "published": row.figure if row else None,
                    **_ends("reproduced", reproduced),
                    **_ends("corrected", corrected),
                    "source": row.source if row else None,
                }
            )
    contrasts = [
        {"kind": "contrast", "quantity": flat.pop("contrast"), **flat}
        for flat in map(_flat, compared)
    ]
    return pd.DataFrame([*lines, *contrasts])


def _alternative(compared: Sequence[Row]) -> str:
    parts = [
        f"{TITLES[each.exercise]}, {each.contrast.name}, {each.device}: published "
        f"{each.told[0] or 'none'}, its method here {each.told[1] or 'not run'}, corrected "
        f"{each.told[2] or 'none'}"
        for each in compared
    ]
    return "One panel per exercise with the three figures of every quantity. " + "; ".join(parts)


# ---- the figure ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Panel:
    """How the figures of an exercise are drawn."""

    title: str
    axis: str
    unit: float  # what one of the axis' units is in base units
    log: bool = True


PANELS = {
    "framework": Panel("ten epochs", "s", 1.0),
    "sizes": Panel("one product", "ms", 1e-3),
    "activations": Panel("activation", "accuracy, %", 0.01, log=False),
    "rates": Panel("learning rate", "accuracy, %", 0.01, log=False),
    "initialisers": Panel("initialiser", "accuracy, %", 0.01, log=False),
    "norm_log": Panel("1000 norms", "ms", 1e-3),
    "devices": Panel("CPU and GPU", "ms", 1e-3),
    "two_gpus": Panel("on GPUs", "implied TFLOP/s", 1e12),
}
FEW_DECADES = 50.0  # largest over smallest, under which a number a decade is too few
HEIGHTS = [5, 6, 3, 4]  # of the rows of panels, as many as they have quantities
DRAWN: dict[str, dict[str, Any]] = {
    "published": {"marker": "D", "ms": 5.5, "mfc": "none", "mew": 1.4, "color": figure.INK},
    "published, its own curve": {"marker": "+", "ms": 7, "mew": 1.4, "color": figure.INK},
    "its method, run here": {"marker": "o", "ms": 6, "color": figure.RED},
    "corrected, with interval": {"marker": "s", "ms": 5, "color": figure.BLUE},
}
CLAIM, CURVE, HERE, RIGHT = DRAWN
LANES = {CLAIM: -0.24, CURVE: -0.24, HERE: 0.0, RIGHT: 0.24}  # places within a quantity's row


def quantities(exercise: str, cited: Figures, run: Run | None) -> list[str]:
    """What a panel shows, from top to bottom: what was published, or what was run of it."""
    if exercise == "two_gpus":
        return [each.name for each in CONTRASTS if each.exercise == exercise]
    names = [name for name in cited if not name.endswith(OWN)]
    if exercise == "activations":  # the published bars have no numbers
        names = [*run.reproduced] if run else []
    if exercise == "framework":  # the depths that are run
        names = [name for name in names if name.endswith(tuple(f"depth {d}" for d in DEPTHS))]
    return [name for name in names if name != NETWORKS]


def shown(exercise: str, figures: Figures) -> Figures:
    """The figures as a panel shows them: times of GPUs as the speed that they imply."""
    if exercise != "two_gpus":
        return figures
    speeds = {c.name: c.seen(figures) for c in CONTRASTS if c.exercise == exercise}
    return {name: seen for name, seen in speeds.items() if seen}


def _figure(table: pd.DataFrame, found: Sequence[Run], compared: Sequence[Row]) -> Figure:
    """One panel per exercise: published, run here, corrected; on the device that can run most."""
    drawn, grid = figure.panels(4, 2, height_in=2.2, height_ratios=HEIGHTS)
    for axes, exercise in zip(grid.flat, PANELS, strict=True):
        runs_of_it = [run for run in found if run.exercise == exercise]
        best = max(runs_of_it, key=lambda run: len(run.reproduced), default=None)
        _panel(axes, exercise, of_table(table, exercise), best)
        axes.set_title(_outcome(exercise, compared), loc="right", fontsize=8, fontweight="normal")
    handles = [axes.plot([], [], ls="", label=name, **style)[0] for name, style in DRAWN.items()]
    drawn.legend(
        handles=handles,
        loc="outside upper center",
        ncols=4,
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        columnspacing=1.2,
    )
    return drawn


def _outcome(exercise: str, compared: Sequence[Row]) -> str:
    """How many of an exercise's contrasts are reproduced."""
    words = [each.said for each in compared if each.exercise == exercise]
    if not any(word in RUN for word in words):
        return str(words[0])
    return f"{words.count(Said.REPRODUCED)} of {len(words)} reproduced"


def _panel(axes: Axes, exercise: str, cited: Figures, run: Run | None) -> None:
    panel, names = PANELS[exercise], quantities(exercise, cited, run)
    axes.set_title(panel.title)
    if not names:
        axes.set_axis_off()
        return
    claims = shown(exercise, cited)
    columns = {
        CLAIM: claims,
        CURVE: {name.removesuffix(OWN): v for name, v in claims.items() if name.endswith(OWN)},
        HERE: shown(exercise, run.reproduced if run else {}),
        RIGHT: shown(exercise, run.corrected if run else {}),
    }
    for y, name in enumerate(names):
        if y % 2:
            axes.axhspan(y - 0.5, y + 0.5, color=figure.BAND, alpha=0.35, lw=0, zorder=0)
        for style, figures in columns.items():
            if name in figures:
                _mark(axes, figures[name], y + LANES[style], panel.unit, DRAWN[style])
    if panel.log:
        _log_axis(axes)
    axes.set_yticks(range(len(names)), [name.removeprefix(SPEED) for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(panel.axis, labelpad=2)
    axes.grid(axis="x", lw=0.5)


def _log_axis(axes: Axes) -> None:
    """A logarithmic axis with plain numbers: one a decade, or three where there are few decades."""
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    few = high / low < FEW_DECADES
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _mark(axes: Axes, seen: Interval, y: float, unit: float, style: Mapping[str, Any]) -> None:
    if seen.low < seen.high:
        axes.plot([seen.low / unit, seen.high / unit], [y, y], "-", color=style["color"], lw=1.4)
    axes.plot(seen.value / unit, y, ls="", **style)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("reproduction", answer, argv)


if __name__ == "__main__":
    main()
