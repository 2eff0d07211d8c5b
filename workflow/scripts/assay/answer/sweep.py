"""One thing about the textbook's network varied, all else held: what such questions share.

A *cell* is one network at one learning rate, with one run per seed (``measure_perceptron.py``).
Cells of a device are compared seed by seed on the test images. One that lost a run is named, but
compared with nothing (:mod:`assay.answer.accuracy`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise, takewhile
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
EFFECTS = {Word.BETTER: "helps", Word.WORSE: "hurts", Word.SAME: "changes nothing"}
CAVEAT = (
    "Plain SGD on one data set for a few epochs: after a longer training, or with a rate tuned for "
    "each network, the order can be another."
)


@dataclass(frozen=True, eq=False)
class Cell:
    """One network at one rate on one device, and what its runs came to."""

    device: str
    x: float  # where it stands on the axis of the question
    widths: tuple[int, ...]  # features, units of each hidden layer, classes
    extras: Mapping[str, Any]  # its network as it is usually written, its rate, its parameters
    runs: pd.DataFrame  # one row per seed: status, test_accuracy, classes_named, …
    curves: list[list[float]]  # validation accuracy after each epoch, per seed that ended well
    lost: str  # in how many runs it diverged, or why there are none; empty where all ended well

    @property
    def label(self) -> str:
        """The place on the axis in words; what stands beyond every number is ``none``."""
        return f"{self.x:g}" if math.isfinite(self.x) else "none"

    @property
    def key(self) -> str:
        """What no other cell of the device is called: ``784-256-10 at 0.1``."""
        return f"{self.extras['network']} at {self.extras['rate']:g}"


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

        def why(level: Level) -> str:
            return str(level.word) if level.word in words else level.lost.partition(" in ")[0]

        groups = arms.grouped((level for level in self.levels if why(level)), why)
        return "".join(
            f" At {say.few([e.label for e in own], 2)}: {w}." for w, own in groups.items()
        )


# ---- comparing ----------------------------------------------------------------------------------


def read(each: Record, place: Place) -> Cell:
    """The cell of a record, whatever became of it."""
    described: Any = next((t.result for t in each.trials if "widths" in t.result), {})
    layers, rate = str(each.axes["hidden"]), float(str(each.axes["rate"]))
    hidden = [] if layers == NO_LAYER else [int(width) for width in layers.split("-")]
    widths, runs = tuple(described.get("widths", hidden)), accuracy.runs(each)
    curves: list[Any] = [
        t.samples["validation_accuracy"] for t in each.trials if t.status == Status.OK
    ]
    network = "-".join(map(str, widths)) or NO_LAYER
    return Cell(
        str(each.axes["device"]),
        place(hidden, rate),
        widths,
        {"network": network, "rate": rate, "parameters": described.get("parameters")},
        runs,
        curves,
        (accuracy.lost(runs) or "") if len(runs) else trials.why_lost([each]),
    )


def sweeps(
    records: Sequence[Record], place: Place, choose: Callable[[Sequence[Cell]], Cell]
) -> list[Sweep]:
    """The cells of every device on which one was trained with every seed; not yet judged.

    The reference is chosen among those that lost no run.
    """
    found = []
    for device, own in trials.by_device(records).items():
        cells = sorted((read(each, place) for each in own), key=lambda cell: cell.x)
        if whole := [cell for cell in cells if not cell.lost]:
            learned = arms.learned(
                device,
                {cell.key: cell.runs for cell in cells},
                {cell.key: cell.label for cell in cells},
                choose(whole).key,
                extras={cell.key: cell.extras for cell in cells},
                missing={cell.key: cell.lost for cell in cells},
            )
            made = {arm.name: vars(replace(arm, name=arm.label)) for arm in learned}
            found.append(Sweep(device, [Level(**made[cell.key], cell=cell) for cell in cells]))
    return found


def best_in_validation(cells: Sequence[Cell]) -> Cell:
    """The cell with the best mean accuracy on the validation images."""
    best = accuracy.best({cell.key: cell.runs for cell in cells})
    return next(cell for cell in cells if cell.key == best)


def with_steps(found: Sweep) -> Sweep:
    """The same with every level against the one before it."""
    steps = []
    for lower, upper in pairwise(found.whole):
        name, extras = f"{lower.label} → {upper.label}", {**upper.extras, "against": lower.name}
        step = replace(upper, name=name, label=name, extras=extras, role=Role.TARGET)
        seen = accuracy.difference(upper.cell.runs, lower.cell.runs)
        steps.append(replace(step, seen=seen))
    return replace(found, steps=steps)


def judged(found: Sequence[Sweep], others: Iterable[Comparison] = ()) -> list[Sweep]:
    """The sweeps of a question with their words, all of its comparisons being one family.

    Others are its comparisons that are of no sweep.
    """
    every = [level for each in found for level in (*each.levels, *each.steps)]
    left = iter(arms.judged(every, others))
    return [
        replace(
            each, levels=[*islice(left, len(each.levels))], steps=[*islice(left, len(each.steps))]
        )
        for each in found
    ]


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
    """All that the sweeps of a question come to, judged, of which each device is told.

    The reference is said in words. The table has these columns beside those that all sweeps have,
    and rows of the other arms.
    """
    here, title = trials.by_device(records), f"Test accuracy by {name}"
    told = {each.device: tell(each) for each in found}
    lost = {device: trials.why_lost(own) for device, own in here.items() if device not in told}
    absent = {
        d: Told("", f"{why_not}.", "", [Main(d, lost=why_not)]) for d, why_not in lost.items()
    }
    together = question.joined(told | absent)
    return Findings(
        **vars(together if told else replace(together, sentence=NOTHING)),
        numbers={each.device: numbers(each) for each in found},
        why=[*why, *(say.on(each.device, here) + t for each in found for t in each.resolution)],
        method=[*_method(records, found, reference), *method],
        caveats=[*caveats],
        views=[
            accuracies(title, [(level, seeds(level)) for level in each.levels], name, each.device)
            for each in found
            if len(each.whole) > 1
        ]
        or question.nothing(title, "Nothing to compare"),
        folded=[
            shown for each in found for shown in _curves(each, name, say.on(each.device, here))
        ],
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
    """What adding something to the network does to the accuracy, with advice by the verdict.

    It cannot be told where no level has it, or where it is missing for another reason.
    """
    missing = missing or ("not measured" if level is None else level.lost)
    if missing or level is None or level.seen is None or level.word is None:
        missing = missing or "nothing to compare it with"
        lost = "" if "diverged" in missing else missing
        sentence = f"Cannot tell whether {what} helps ({missing})."
        return Told(f"Cannot tell: {missing}", sentence, "", [Main(what, Word.UNKNOWN, lost)])
    does = EFFECTS.get(level.word)
    told = f"{say.capital(what)} {does}" if does else f"Cannot tell whether {what} helps"
    within = verdict.told(level.seen, level.word).removesuffix(" points")
    same = f", {within}" if level.word == Word.SAME else ""
    points = say.points(level.seen)
    short = f"{say.capital(does or 'cannot tell')}: {points.partition(' ')[0]} points"
    sentence = f"{told}: {points} points of test accuracy{same}."
    return Told(short, sentence, advice.get(level.word, ""), [Main(what, level.word)])


def _method(records: Sequence[Record], found: Sequence[Sweep], reference: str) -> list[str]:
    """How the cells were measured and compared."""
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    rates = {level.extras["rate"] for each in found for level in each.levels}
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
    told = numbers_by_name(found.levels)
    return {
        **accuracy.detectable(found.runs, found.reference.cell.key),
        "reference": found.reference.name,
        "levels": told["arms"],
        "lost": told["lost"],
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

    There is no view where nothing was compared.
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
    arm = replace(arm, label=arm.label.partition(" (")[0], lost=arm.lost.removesuffix(" runs"))
    if arm.role == Role.ANCHOR and arm.value:
        return arm.row(seen=Interval(0.0, 0.0, 0.0), text=_reached(arm.value), strong=True)
    text = arm.told.replace(" points", "")
    return arm.row(seen=arm.seen and arms.scaled(arm.seen, 100), text=text)


def _reached(seen: Interval) -> str:
    return f"{100 * seen.value:.1f} %, {Role.ANCHOR}"


def _tick(share: float) -> str:
    return say.short(share, 4)


def _row(arm: Arm, seeds: Iterable[float]) -> Row:
    if arm.value is None:
        return Row(arm.label, None, arm.lost)
    mean, is_reference = 100 * arm.value.value, arm.role == Role.ANCHOR
    # The seeds take the place of the interval, which of a few of them can leave 0 … 100.
    return arm.row(
        seen=Interval(mean, mean, mean),
        dots=[100 * seed for seed in seeds],
        text=_reached(arm.value) if is_reference else arm.told,
        strong=is_reference,
    )


def seeds(level: Level) -> list[float]:
    """The test accuracy of each seed."""
    return [] if level.lost else [float(share) for share in level.cell.runs["test_accuracy"]]


def _curves(found: Sweep, name: str, on: str) -> list[Shown]:
    """Validation accuracy by epoch, mean over seeds, one line per level; none of one or one."""
    lines = []
    for level in found.whole:
        means = [100 * float(mean) for mean in np.mean(level.cell.curves, axis=0)]
        epochs = [*map(float, range(1, len(means) + 1))]
        lines.append(Line(level.label, epochs, [Interval(mean, mean, mean) for mean in means]))
    if min(len(lines), len(lines[0].x)) < 2:
        return []
    title = f"{on}Learning curves by {name}"
    axis = Axis("validation accuracy in %, mean over seeds", _tick)
    drawn = figure.lines(lines, Axis("epoch", ticks=lines[0].x), axis)
    ends = "; ".join(f"{line.name}: {line.seen[-1].value:.1f} %" for line in lines)
    return [Shown(title, f"{title}. After the last epoch: {ends}.", drawn)]
