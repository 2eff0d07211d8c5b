"""One thing about the textbook's network varied, all else held: what such questions share.

A *cell* is one network at one learning rate, with one run per seed (``measure_perceptron.py``).
Cells of a device are compared seed by seed on the test images. One that lost a run is named, but
compared with nothing (:mod:`assay.answer.accuracy`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
import pandas as pd

from assay.answer import accuracy, arms, figure, question, say, trials, verdict
from assay.answer.arms import Arm, Role, Show
from assay.answer.figure import Axis, Band, Line, Row
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Comparison, Word
from assay.record import Record, Status
from assay.statistic import Interval

# Where a network (the widths of its hidden layers) at a learning rate stands on a question's axis.
Place = Callable[[Sequence[int], float], float]

NO_LAYER = "none"  # as records call a network without a hidden layer
NOTHING = "Nothing could be trained: the reasons are below."
CAVEAT = (
    "Plain SGD on one data set for a few epochs: after a longer training, or with a rate tuned for "
    "each network, the order can be another."
)


@dataclass(frozen=True, eq=False)
class Cell:
    """One network at one rate on one device, and what its runs came to."""

    device: str
    x: float  # where it stands on the axis of the question
    rate: float
    widths: tuple[int, ...]  # features, units of each hidden layer, classes
    parameters: int | None
    runs: pd.DataFrame  # one row per seed: status, test_accuracy, classes_named, …
    curves: list[list[float]]  # validation accuracy after each epoch, per seed that ended well
    lost: str  # in how many runs it diverged, or why there are none; empty where all ended well

    @property
    def label(self) -> str:
        """The place on the axis in words; what stands beyond every number is ``none``."""
        return f"{self.x:g}" if math.isfinite(self.x) else "none"

    @property
    def network(self) -> str:
        """The network as it is usually written: 784-256-10."""
        return "-".join(map(str, self.widths)) or NO_LAYER

    @property
    def key(self) -> str:
        """What no other cell of the device is called."""
        return f"{self.network} at {self.rate:g}"

    @property
    def extras(self) -> dict[str, Any]:
        """What is told of it besides what its runs came to."""
        return {"network": self.network, "rate": self.rate, "parameters": self.parameters}


@dataclass(frozen=True, kw_only=True)
class Level(Arm):
    """A cell beside the reference of its device, or beside the cell before it."""

    cell: Cell

    @property
    def main(self) -> Main:
        """As something that a headline rests on: that it diverges is an outcome, no loss."""
        return Main(self.label, self.word, "" if self.lost.startswith("diverged") else self.lost)


@dataclass(frozen=True)
class Sweep:
    """The cells of one device, in the order of the axis."""

    device: str
    levels: list[Level]
    steps: list[Level] = field(default_factory=list)  # where the question asks for them

    @property
    def reference(self) -> Level:
        """The level that the others were compared with."""
        return next(level for level in self.levels if level.role == Role.ANCHOR)

    @property
    def whole(self) -> list[Level]:
        """The levels of which no run was lost."""
        return [level for level in self.levels if not level.lost]

    @property
    def cells(self) -> list[Main]:
        """All levels, for a headline that speaks of all; one alone tells nothing."""
        others = [level.main for level in self.levels if level.role != Role.ANCHOR]
        return others or [Main(self.reference.label, Word.UNKNOWN)]

    @property
    def comparisons(self) -> list[Comparison]:
        """All that is given a word."""
        return [level.seen for level in (*self.levels, *self.steps) if level.seen]

    @property
    def runs(self) -> dict[str, pd.DataFrame]:
        """The runs of every cell."""
        return {level.cell.key: level.cell.runs for level in self.levels}

    @property
    def resolution(self) -> list[str]:
        """What these seeds and test images could have shown, in words."""
        return accuracy.resolution(self.runs, self.reference.cell.key)

    @property
    def enough(self) -> Level:
        """The first level from which on, up to the reference, all are as good as that."""
        below = self.whole[: self.whole.index(self.reference)]
        alike = takewhile(lambda level: level.word in verdict.AS_GOOD, reversed(below))
        return [self.reference, *alike][-1]

    def at(self, x: float) -> Level | None:
        """The level at a place on the axis."""
        return next((level for level in self.levels if level.cell.x == x), None)

    def of(self, *words: Word) -> list[Level]:
        """The levels that were given one of these words."""
        return [level for level in self.levels if level.word in words]

    def rest(self, *words: Word) -> str:
        """The levels of these words and those that were lost, to be added to a sentence."""
        groups: dict[str, list[str]] = {}
        for level in self.levels:
            why = level.lost.partition(" in ")[0]
            if level.word in words and level.word:
                why = level.word.value
            if why:
                groups.setdefault(why, []).append(level.label)
        return "".join(f" At {say.few(labels, 2)}: {why}." for why, labels in groups.items())


# ---- comparing ----------------------------------------------------------------------------------


def read(each: Record, place: Place) -> Cell:
    """The cell of a record, whatever became of it."""
    described: Any = next((t.result for t in each.trials if "widths" in t.result), {})
    layers = str(each.axes["hidden"])
    hidden = [] if layers == NO_LAYER else [int(width) for width in layers.split("-")]
    rate = float(str(each.axes["rate"]))
    runs = accuracy.runs(each)
    ended_well = [trial for trial in each.trials if trial.status == Status.OK]
    return Cell(
        device=str(each.axes["device"]),
        x=place(hidden, rate),
        rate=rate,
        widths=tuple(described.get("widths", hidden)),
        parameters=described.get("parameters"),
        runs=runs,
        curves=[
            [float(str(a)) for a in trial.samples["validation_accuracy"]] for trial in ended_well
        ],
        lost=(accuracy.lost(runs) or "") if len(runs) else trials.why_lost([each]),
    )


def sweeps(
    records: Sequence[Record], place: Place, choose: Callable[[Sequence[Cell]], Cell]
) -> list[Sweep]:
    """The cells of every device on which one was trained with every seed; not yet judged.

    Args:
        records: Of ``measure_perceptron.py``.
        place: Where a cell stands on the axis of the question.
        choose: Picks the reference among the cells that lost no run.
    """
    cells = sorted((read(each, place) for each in records), key=lambda cell: cell.x)
    found = []
    for device in trials.devices(records):
        here = [cell for cell in cells if cell.device == device]
        whole = [cell for cell in here if not cell.lost]
        if whole:
            learned = arms.learned(
                device,
                {cell.key: cell.runs for cell in here},
                {cell.key: cell.label for cell in here},
                choose(whole).key,
                extras={cell.key: cell.extras for cell in here},
                missing={cell.key: cell.lost for cell in here},
            )
            by_key = {arm.name: vars(replace(arm, name=arm.label)) for arm in learned}
            found.append(Sweep(device, [Level(**by_key[cell.key], cell=cell) for cell in here]))
    return found


def best_in_validation(cells: Sequence[Cell]) -> Cell:
    """The cell with the best mean accuracy on the validation images."""
    best = accuracy.best({cell.key: cell.runs for cell in cells})
    return next(cell for cell in cells if cell.key == best)


def with_steps(found: Sweep) -> Sweep:
    """The same with every level against the one before it."""
    steps = []
    for lower, upper in pairwise(found.whole):
        name = f"{lower.label} → {upper.label}"
        seen = accuracy.difference(upper.cell.runs, lower.cell.runs)
        extras = {**upper.extras, "against": lower.name}
        named = replace(upper, name=name, label=name, extras=extras)
        steps.append(replace(named, seen=seen, role=Role.TARGET))
    return replace(found, steps=steps)


def judged(found: Sequence[Sweep], others: Iterable[Comparison] = ()) -> list[Sweep]:
    """The sweeps of a question with their words, all of its comparisons being one family.

    Others are its comparisons that are of no sweep.
    """
    words = verdict.words([*(seen for each in found for seen in each.comparisons), *others])

    def worded(levels: Sequence[Level]) -> list[Level]:
        return [replace(each, word=words[each.seen]) if each.seen else each for each in levels]

    return [replace(e, levels=worded(e.levels), steps=worded(e.steps)) for e in found]


# ---- telling ------------------------------------------------------------------------------------


def findings(
    records: Sequence[Record],
    found: Sequence[Sweep],
    name: str,
    tell: Callable[[Sweep], Told],
    *,
    reference: str,
    why: Sequence[str] = (),
    method: Sequence[str] = (),
    caveats: Sequence[str] = (),
    columns: Mapping[str, Show] | None = None,
    others: Sequence[Arm] = (),
) -> Findings:
    """All that a sweep comes to.

    Args:
        records: Of the question.
        found: Its sweeps, judged.
        name: What is varied.
        tell: What the question says of one device.
        reference: What the levels are compared with, in words.
        why: What supports it and stands in no row of the table.
        method: How it was measured, beyond what all sweeps share.
        caveats: What limits it.
        columns: Of the table, beyond those that all sweeps have.
        others: More rows of the table.
    """
    devices = trials.devices(records)
    told = {each.device: tell(each) for each in found}
    absent = {}
    for device in devices:
        if device not in told:
            why_not = trials.why_lost([e for e in records if e.axes["device"] == device])
            absent[device] = Told("", f"{why_not}.", "", [Main(device, lost=why_not)])
    together, title = question.joined(told | absent), f"Test accuracy by {name}"
    return Findings(
        **vars(together if told else replace(together, sentence=NOTHING)),
        numbers={each.device: numbers(each) for each in found},
        why=[*why, *(say.on(each.device, devices) + t for each in found for t in each.resolution)],
        method=[*_method(records, found, reference), *method],
        caveats=[*caveats],
        views=[
            accuracies(title, [(level, seeds(level)) for level in each.levels], name, each.device)
            for each in found
            if len(each.whole) > 1
        ]
        or question.nothing(title, "Nothing to compare"),
        folded=[shown for each in found for shown in _curves(each, name, devices)],
        table=arms.table(
            [*(level for each in found for level in each.levels), *others],
            name,
            value="test accuracy",
            told=say.accuracy,
            extra={
                **(columns or {}),
                "network": lambda arm: arm.extras.get("network"),
                "parameters": arms.extra("parameters", say.count),
            },
        ),
        frame=trials.frame(records, [row for each in found for row in rows(each)]),
    )


def effect(what: str, level: Level | None, advice: Mapping[Word, str], missing: str = "") -> Told:
    """What adding something to the network does to the accuracy.

    Args:
        what: That something, in words.
        level: The network that has it; None where there is none.
        advice: What to do, by the verdict.
        missing: Why it cannot be compared all the same.
    """
    missing = missing or ("not measured" if level is None else level.lost)
    if missing or level is None or level.seen is None or level.word is None:
        missing = missing or "nothing to compare it with"
        lost = "" if "diverged" in missing else missing
        sentence = f"Cannot tell whether {what} helps ({missing})."
        return Told(f"Cannot tell: {missing}", sentence, "", [Main(what, Word.UNKNOWN, lost)])
    points = say.points(level.seen)
    gain = f"{points} points of test accuracy"
    sentence = {
        Word.BETTER: f"{say.capital(what)} helps: {gain}.",
        Word.WORSE: f"{say.capital(what)} hurts: {gain}.",
        Word.SAME: f"{say.capital(what)} changes nothing: {gain}, "
        f"{verdict.told(level.seen, Word.SAME).removesuffix(' points')}.",
    }.get(level.word, f"Cannot tell whether {what} helps: {gain}.")
    start = {Word.BETTER: "Helps", Word.WORSE: "Hurts", Word.SAME: "Changes nothing"}
    short = f"{start.get(level.word, 'Cannot tell')}: {points.partition(' ')[0]} points"
    return Told(short, sentence, advice.get(level.word, ""), [Main(what, level.word)])


def _method(records: Sequence[Record], found: Sequence[Sweep], reference: str) -> list[str]:
    """How the cells were measured and compared."""
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    rates = {level.cell.rate for each in found for level in each.levels}
    at = f" at a rate of {rates.pop():g}" if len(rates) == 1 else ""
    return [
        f"Perceptrons with ReLU and torch's default initialisation learn "
        f"{data.name if data else 'the data set'} by plain SGD{at}, in batches of "
        f"{settings['batch']}, from pixels between 0 and 1.",
        f"{say.plural(settings['seeds'], 'run')} of {say.plural(settings['epochs'], 'epoch')} of "
        "each network. Runs of one seed see the same batches, and begin with the same weights "
        "where the shapes allow it. A run ends with the weights of its best epoch in validation; "
        "with those the test images are read, once.",
        f"The reference is {reference}.",
    ]


def numbers(found: Sweep) -> dict[str, Any]:
    """The levels of a device and their verdicts, for programs."""
    steps = {each.name: accuracy.verdict_numbers(each.seen, each.word) for each in found.steps}
    return {
        **accuracy.detectable(found.runs, found.reference.cell.key),
        "reference": found.reference.name,
        "levels": {level.name: numbers_of(level) for level in found.whole},
        "lost": {level.name: level.lost for level in found.levels if level.lost},
        **({"steps": steps} if steps else {}),
    }


def numbers_of(arm: Arm) -> dict[str, Any]:
    """What is known of an arm, its accuracy and the verdict on it, for programs."""
    return {**arm.extras, **accuracy.verdict_numbers(arm.seen, arm.word)}


def numbers_by_name(found: Sequence[Arm]) -> dict[str, Any]:
    """The arms of accuracies for programs, and why there is nothing of those that were lost."""
    return {
        "arms": {arm.name: numbers_of(arm) for arm in found if not arm.lost},
        "lost": {arm.name: arm.lost for arm in found if arm.lost},
    }


def rows(found: Sweep) -> list[dict[str, Any]]:
    """The comparisons as rows of the tidy table."""
    return [row("perceptron", level) for level in (*found.levels, *found.steps)]


def row(study: str, arm: Arm) -> dict[str, Any]:
    """A comparison as a row of the tidy table."""
    found = {"study": study, "device": arm.device, "phase": "verdict", **numbers_of(arm)}
    return found if arm.seen else found | {"word": arm.lost or arm.role.value}


# ---- drawing ------------------------------------------------------------------------------------


def accuracies(
    title: str, shown: Sequence[tuple[Arm, Iterable[float]]], differ: str, device: str = ""
) -> Shown:
    """Rows of dots under what they differ by: mean test accuracy and, smaller, that of seeds."""
    reference = next(arm for arm, _ in shown if arm.role == Role.ANCHOR)
    assert reference.value
    return question.dotted(
        title,
        {differ: [_row(arm, seeds) for arm, seeds in shown]},
        Axis("test accuracy in % (small dots: seeds)", _tick, within=(0, 100)),
        name=device,
        line=100 * reference.value.value,
    )


def differences(title: str, shown: Sequence[Arm], against: str, name: str) -> list[Shown]:
    """Rows of dots: each arm's difference to the reference, and the test images' sampling error.

    Args:
        title: Of the view; there is none where nothing was compared.
        shown: Arms of accuracies.
        against: What the reference is, in words.
        name: Of the view, on the switch.
    """
    margin = next((100 * arm.seen.margin for arm in shown if arm.seen), None)
    if margin is None:
        return []
    rows = {"": [_difference(arm) for arm in shown]}
    axis = Axis(f"points of test accuracy against {against} (bar: 95 %)")
    band = Band(-margin, margin, f"grey: sampling error, {margin:.2f} points")
    return [question.dotted(title, rows, axis, name=name, band=band, line=0.0)]


def _difference(arm: Arm) -> Row:
    """An arm by its difference; the reference by its accuracy."""
    label = arm.label.partition(" (")[0]
    if arm.role == Role.ANCHOR and arm.value:
        text = f"{100 * arm.value.value:.1f} %, reference"
        return Row(label, Interval(0.0, 0.0, 0.0), text, tone=arm.tone, strong=True)
    text = arm.lost.removesuffix(" runs") if arm.lost else arm.told.replace(" points", "")
    return Row(label, arms.scaled(arm.seen, 100) if arm.seen else None, text, tone=arm.tone)


def _tick(share: float) -> str:
    return say.short(share, 4)


def _row(arm: Arm, seeds: Iterable[float]) -> Row:
    if arm.value is None:
        return Row(arm.label, None, arm.lost)
    mean = 100 * arm.value.value
    is_reference = arm.role == Role.ANCHOR
    return arm.row(
        # The seeds take the place of the interval, which of a few of them can leave 0 … 100.
        seen=Interval(mean, mean, mean),
        dots=[100 * seed for seed in seeds],
        text=f"{mean:.1f} %, reference" if is_reference else arm.told,
        strong=is_reference,
    )


def seeds(level: Level) -> list[float]:
    """The test accuracy of each seed."""
    return [] if level.lost else [float(share) for share in level.cell.runs["test_accuracy"]]


def _curves(found: Sweep, name: str, devices: Sequence[str]) -> list[Shown]:
    """Validation accuracy by epoch, mean over seeds, one line per level; none of one or one."""
    lines = [_line(level) for level in found.whole]
    if min(len(lines), len(lines[0].x)) < 2:
        return []
    title = f"{say.on(found.device, devices)}Learning curves by {name}"
    axis = Axis("validation accuracy in %, mean over seeds", _tick)
    drawn = figure.lines(lines, Axis("epoch", ticks=lines[0].x), axis)
    ends = "; ".join(f"{line.name}: {line.seen[-1].value:.1f} %" for line in lines)
    return [Shown(title, f"{title}. After the last epoch: {ends}.", drawn)]


def _line(level: Level) -> Line:
    means = [100 * float(mean) for mean in np.mean(level.cell.curves, axis=0)]
    epochs = [float(epoch) for epoch in range(1, len(means) + 1)]
    return Line(level.label, epochs, [Interval(mean, mean, mean) for mean in means])
