"""One thing about the textbook's network varied, all else held: what such questions share.

A *cell* is one network at one learning rate, with one run per seed (``measure_perceptron.py``).
Cells of a device are compared seed by seed on the test images; a cell in which a seed diverged is
set apart (:mod:`assay.answer.accuracy`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from assay.answer import accuracy, verdict
from assay.answer import old_figure as figure
from assay.answer.accuracy import Standing
from assay.answer.question import Column, Table
from assay.record import Record, Status
from assay.answer.verdict import Comparison, Word

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Runs = Mapping[str, pd.DataFrame]

# Where a network (the widths of its hidden layers) at a learning rate stands on a question's axis.
Place = Callable[[Sequence[int], float], float]

NOTHING = "Nothing could be trained; the reasons are below."
CAVEATS = [
    "The intervals are over a few seeds, with one and the same set of test images.",
    "One data set, plain SGD and a few epochs: after a longer training, or with a rate tuned for "
    "each network, the order can be another.",
]

# What each verdict looks like.
COLOURS = {
    Word.BETTER: figure.GREEN,
    Word.WORSE: figure.RED,
    Word.SAME: figure.BLUE,
    Word.UNKNOWN: figure.MUTED,
    None: figure.INK,
}


@dataclass(frozen=True, eq=False)
class Cell:
    """One network at one rate on one device, and what its runs came to."""

    device: str
    x: float  # where it stands on the axis of the question
    rate: float
    widths: tuple[int, ...]  # features, units of each hidden layer, classes
    parameters: int
    runs: pd.DataFrame  # one row per seed: status, test_accuracy, classes_named, …
    curves: list[list[float]]  # validation accuracy after each epoch, per seed that ended well

    @property
    def label(self) -> str:
        """The place on the axis in words; what stands beyond every number is ``none``."""
        return f"{self.x:g}" if math.isfinite(self.x) else "none"

    @property
    def network(self) -> str:
        """The network as it is usually written: 784-256-10."""
        return "-".join(map(str, self.widths))

    @property
    def key(self) -> str:
        """What no other cell of the device is called."""
        return f"{self.network} at {self.rate:g}"

    @property
    def lost(self) -> str | None:
        """In how many runs it diverged; None if in none."""
        return accuracy.lost(self.runs)

    @property
    def last_epoch(self) -> float:
        """Validation accuracy after the last epoch, mean over seeds."""
        return float(np.mean([curve[-1] for curve in self.curves]))


@dataclass(frozen=True)
class Level:
    """A cell beside the reference of its device."""

    cell: Cell
    seen: Standing

    @property
    def x(self) -> float:
        """Where it stands on the axis of the question."""
        return self.cell.x

    @property
    def label(self) -> str:
        """The place on the axis in words."""
        return self.cell.label

    @property
    def share(self) -> str:
        """Mean test accuracy in words."""
        return f"{accuracy.points(self.seen.accuracy.value)} %"


@dataclass(frozen=True)
class Sweep:
    """The cells of one device, in the order of the axis."""

    device: str
    levels: list[Level]
    lost: list[Cell]  # in which a seed diverged
    steps: tuple[Step, ...] = ()  # where the question asks for them

    @property
    def comparisons(self) -> list[Comparison]:
        """All that is given a word."""
        seen = [each.seen for each in self.levels] + [each.seen for each in self.steps]
        return [each.difference for each in seen if each.difference]

    def judged(self, words: Mapping[Comparison, Word]) -> Sweep:
        """The same with the words of the question's family."""
        return replace(
            self,
            levels=[replace(each, seen=each.seen.judged(words)) for each in self.levels],
            steps=tuple(replace(each, seen=each.seen.judged(words)) for each in self.steps),
        )

    @property
    def reference(self) -> Level:
        """The level that the others were compared with."""
        return next(level for level in self.levels if level.seen.is_reference)

    @property
    def others(self) -> list[Level]:
        """All other levels."""
        return [level for level in self.levels if level.seen.difference]

    @property
    def smallest_detectable(self) -> float:
        """Smallest difference to the reference that the seeds would have shown."""
        runs = {level.cell.key: level.cell.runs for level in self.levels}
        return accuracy.smallest_detectable(runs, self.reference.cell.key)


@dataclass(frozen=True)
class Step:
    """A level beside the one before it."""

    lower: Level
    upper: Level
    seen: Standing

    @property
    def label(self) -> str:
        """From where to where."""
        return f"{self.lower.label} → {self.upper.label}"


# ---- comparing ----------------------------------------------------------------------------------


def read(each: Record, place: Place) -> Cell:
    """The cell of a record in which a network was built."""
    done = [trial for trial in each.trials if trial.status == Status.OK]
    described: Any = next(t.result for t in each.trials if "widths" in t.result)
    widths, rate = tuple(described["widths"]), float(str(each.axes["rate"]))
    return Cell(
        device=str(each.axes["device"]),
        x=place(widths[1:-1], rate),
        rate=rate,
        widths=widths,
        parameters=described["parameters"],
        runs=accuracy.runs(each),
        curves=[[float(str(a)) for a in trial.samples["validation_accuracy"]] for trial in done],
    )


def sweeps(
    records: Sequence[Record], place: Place, choose: Callable[[Sequence[Cell]], Cell]
) -> list[Sweep]:
    """The cells of every device on which one was trained with every seed, compared.

    Args:
        records: Of ``measure_perceptron.py``.
        place: Where a cell stands on the axis of the question.
        choose: Picks the reference among the cells in which no seed diverged.

    Returns:
        Their sweeps, not yet judged (:func:`judged`).
    """
    described = [each for each in records if any("widths" in t.result for t in each.trials)]
    cells = sorted((read(each, place) for each in described), key=lambda cell: cell.x)
    found = []
    for device in dict.fromkeys(str(each.axes["device"]) for each in records):
        here = [cell for cell in cells if cell.device == device]
        lost = [cell for cell in here if cell.lost]
        whole = [cell for cell in here if not cell.lost and len(cell.runs)]
        if whole:
            found.append(Sweep(device, _levels(whole, choose(whole)), lost))
    return found


def _levels(cells: Sequence[Cell], reference: Cell) -> list[Level]:
    found = accuracy.standings({cell.key: cell.runs for cell in cells}, reference.key)
    return [Level(cell, found[cell.key]) for cell in cells]


def best_in_validation(cells: Sequence[Cell]) -> Cell:
    """The cell with the best mean accuracy on the validation images."""
    best = accuracy.best({cell.key: cell.runs for cell in cells})
    return next(cell for cell in cells if cell.key == best)


def with_steps(found: Sweep) -> Sweep:
    """The same with every level against the one before it."""
    steps = [
        Step(
            lower,
            upper,
            replace(
                upper.seen,
                difference=accuracy.difference(upper.cell.runs, lower.cell.runs),
                is_reference=False,
            ),
        )
        for lower, upper in pairwise(found.levels)
    ]
    return replace(found, steps=tuple(steps))


def judged(found: Sequence[Sweep]) -> list[Sweep]:
    """Sweeps that make up a whole question, with their words."""
    words = verdict.words(seen for each in found for seen in each.comparisons)
    return [each.judged(words) for each in found]


# ---- telling ------------------------------------------------------------------------------------


def gain(seen: Standing) -> str:
    """A difference in percentage points with its sign and interval."""
    return accuracy.gain(_difference(seen))


def short_gain(seen: Standing) -> str:
    """The same without the interval."""
    return accuracy.gain(_difference(seen)).partition(" ")[0]


def _difference(seen: Standing) -> Comparison:
    if seen.difference is None:
        raise ValueError("the reference differs from nothing")
    return seen.difference


def grouped(entries: Sequence[tuple[Standing, str]]) -> str:
    """Verdicts, each with what it was given for: ``better: 16 → 32; cannot tell: 32 → 64``."""
    order = [Word.BETTER, Word.SAME, Word.UNKNOWN, Word.WORSE]
    groups: dict[str, list[str]] = {}
    for seen, name in sorted((e for e in entries if e[0].word), key=lambda e: _place(order, e[0])):
        groups.setdefault(str(seen.said), []).append(name)
    return "; ".join(f"{said}: {', '.join(names)}" for said, names in groups.items())


def _place(order: Sequence[Word], seen: Standing) -> int:
    return next(i for i, word in enumerate(order) if word == seen.word)


def diverged(found: Sweep) -> str:
    """Which cells diverged, in words to be added to a sentence; nothing if none did."""
    names = [f"{cell.label} {cell.lost}" for cell in found.lost]
    return f"; not compared: {', '.join(names)}" if names else ""


def detectable(found: Sweep) -> list[str]:
    """The finding on what these seeds and test images could have shown, if they compared."""
    if not found.others:
        return []
    runs = found.reference.cell.runs
    return [
        f"{found.device}: the smallest difference that these seeds would have shown is "
        f"{accuracy.points(found.smallest_detectable)} points (80 % power, median over the "
        f"comparisons); the {accuracy.tested_images(runs):,} test images alone leave a standard "
        f"error of {accuracy.points(accuracy.sampling_error(runs))} points."
    ]


def method(records: Sequence[Record], reference: str, comparisons: int) -> list[str]:
    """How the cells were measured and compared.

    Args:
        records: Of ``measure_perceptron.py``.
        reference: What the cells are compared with, in words.
        comparisons: How many the question makes.
    """
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    return [
        f"Perceptrons with ReLU, plain SGD with batches of {settings['batch']}, pixels between 0 "
        f"and 1, torch's default initialisation; data: {data.name if data else 'unknown'}.",
        f"{settings['seeds']} runs of {settings['epochs']} epochs of each network. Runs of one "
        "seed see the same batches, and begin with the same weights where the shapes allow it. A "
        "run ends with the weights of its best epoch in validation; with those the test images "
        "are read, once.",
        f"The reference is {reference}. {accuracy.method(comparisons)}",
    ]


def numbers(found: Sequence[Sweep]) -> dict[str, Any]:
    """The levels and their verdicts by device, for programs."""
    return {
        each.device: {
            "reference": each.reference.label,
            "smallest_detectable_difference": accuracy.finite(each.smallest_detectable),
            "levels": {level.label: _numbers(level) for level in each.levels},
            "lost": {cell.label: cell.lost for cell in each.lost},
        }
        for each in found
    }


def _numbers(level: Level) -> dict[str, Any]:
    return {
        "network": level.cell.network,
        "rate": level.cell.rate,
        **level.seen.numbers,
    }


Extra = tuple[Column, Callable[[Level], str | float | int | None]]


def table(found: Sequence[Sweep], name: str, *extra: Extra) -> Table:
    """One row per level, and one per cell that diverged.

    Args:
        found: The sweeps.
        name: What is varied: the first column.
        extra: Columns of the question's own, each with what a level shows there.
    """
    columns = [
        Column(name=name),
        Column(name="device"),
        Column(name="network"),
        Column(name="rate", digits=3),
        Column(name="parameters"),
        Column(name="test accuracy", unit="%, mean [95 %]"),
        Column(name="difference", unit="points [95 %]"),
        Column(name="verdict"),
        *(column for column, _ in extra),
    ]
    rows = [
        row
        for each in found
        for row in (
            *([*_row(level), *(show(level) for _, show in extra)] for level in each.levels),
            *([*_lost_row(cell), *(None for _ in extra)] for cell in each.lost),
        )
    ]
    return Table(columns=columns, rows=rows)


def _what(cell: Cell) -> list[str | float | int | None]:
    return [cell.label, cell.device, cell.network, cell.rate, f"{cell.parameters:,}"]


def _row(level: Level) -> list[str | float | int | None]:
    seen = level.seen
    return [
        *_what(level.cell),
        accuracy.interval(seen.accuracy),
        seen.against,
        seen.said,
    ]


def _lost_row(cell: Cell) -> list[str | float | int | None]:
    return [*_what(cell), None, None, cell.lost]


def frame(records: Sequence[Record], found: Sequence[Sweep]) -> pd.DataFrame:
    """Tidy: one row per trial, then one per comparison."""
    rows: list[dict[str, Any]] = []
    for each in records:
        for trial in each.trials:
            plain = {k: v for k, v in trial.result.items() if not isinstance(v, dict | list)}
            row = {"study": each.study, **each.axes, **trial.what, "status": trial.status.value}
            rows.append(row | plain | {"reason": trial.reason})
    for swept in found:
        rows += [_frame_row(level.cell, level.seen.row) for level in swept.levels]
        rows += [
            _frame_row(step.upper.cell, step.seen.row | {"against": step.lower.label})
            for step in swept.steps
        ]
        rows += [_frame_row(cell, {"phase": "verdict", "word": cell.lost}) for cell in swept.lost]
    return pd.DataFrame(rows)


def _frame_row(cell: Cell, verdict_row: dict[str, Any]) -> dict[str, Any]:
    where = {"device": cell.device, "network": cell.network, "rate": cell.rate}
    return {"study": "perceptron", **where, **verdict_row}


def alternative(found: Sequence[Sweep], what: str) -> str:
    """The text for those who cannot see the figure: mean test accuracy of every level."""
    parts = [
        f"{each.device}: " + ", ".join(f"{level.label}: {level.share}" for level in each.levels)
        for each in found
    ]
    return f"Mean test accuracy against {what}. " + "; ".join(parts) + "."


# ---- drawing ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Published:
    """A figure that somebody published, to be shown beside ours."""

    x: float
    accuracy: float  # between 0 and 1
    source: str


def colours(found: Sequence[Sweep]) -> list[str]:
    """One colour per device."""
    return [figure.CYCLE[i % len(figure.CYCLE)] for i in range(len(found))]


def draw_accuracies(
    axes: Axes, found: Sequence[Sweep], published: Sequence[Published] = ()
) -> None:
    """Test accuracy along the axis: mean, interval and seeds; levels beyond it are left out."""
    axes.set_title("test accuracy" + (" (◇ published)" if published else ""))
    drawn: list[float] = [100 * each.accuracy for each in published]
    for each, colour in zip(found, colours(found), strict=True):
        shown = [level for level in each.levels if math.isfinite(level.x)]
        places = [level.x for level in shown]
        means, lows, highs = (
            [100 * getattr(level.seen.accuracy, bound) for level in shown]
            for bound in ("value", "low", "high")
        )
        axes.plot(places, means, color=colour, linewidth=1.2, alpha=0.6)
        figure.interval(axes, places, means, lows, highs, color=colour, capsize=0)
        for level in shown:
            seeds = 100 * level.cell.runs["test_accuracy"]
            axes.plot([level.x] * len(seeds), seeds, "_", color=colour, markersize=9)
            drawn += [*seeds]
        if len(found) > 1 and shown:
            axes.annotate(
                each.device, (places[-1], means[-1]), (6, 0), textcoords="offset points",
                va="center", fontsize=8, color=colour,
            )  # fmt: skip
    _limit(axes, drawn, room_for_names=0.15 if published else 0.0)
    _draw_published(axes, published)
    axes.set_ylabel("% of the test images")


def _limit(axes: Axes, drawn: Sequence[float], room_for_names: float) -> None:
    """Room for what was seen, and a share of it below; intervals of few seeds may reach further."""
    if drawn:
        low, high = min(drawn), max(drawn)
        room = 0.1 * (high - low) + 0.5
        low, high = max(0, low - room), min(100, high + room)
        axes.set_ylim(low - room_for_names * (high - low), high)


def _draw_published(axes: Axes, published: Sequence[Published]) -> None:
    """Diamonds, each named at the foot of the panel, where nothing else is drawn."""
    for place, point in enumerate(published):
        height = 100 * point.accuracy
        across = axes.transAxes.inverted().transform(axes.transData.transform((point.x, height)))[0]
        side = "left" if across < 0.3 else "right" if across > 0.6 else "center"
        axes.plot(point.x, height, "D", color=figure.INK, markerfacecolor="none", markersize=6)
        axes.annotate(
            point.source,
            xy=(point.x, height),
            xytext=(point.x, 0.02 + 0.07 * place),
            textcoords=("data", "axes fraction"),
            ha=side,
            fontsize=7.5,
            color=figure.INK,
            arrowprops={
                "arrowstyle": "-",
                "relpos": ({"left": 0, "center": 0.5, "right": 1}[side], 1),
                "color": figure.MUTED,
                "linewidth": 0.7,
                "linestyle": ":",
                "shrinkB": 4,
            },
        )


def ticks(axes: Axes, found: Sequence[Sweep], base: int | None = None) -> None:
    """Name every level under the axis, which is logarithmic where a base is given."""
    named = {
        level.x: level.label for each in found for level in each.levels if math.isfinite(level.x)
    }
    if base:
        axes.set_xscale("log", base=base)
    axes.set_xticks([*named], [*named.values()], fontsize=8)
    axes.minorticks_off()


def draw_curves(axes: Axes, found: Sweep, what: str) -> None:
    """Validation accuracy by epoch, mean over seeds, one line per level, labelled by its place."""
    axes.set_title(f"learning curves by {what} ({found.device})")
    means = [100 * np.mean(level.cell.curves, axis=0) for level in found.levels]
    epochs = np.arange(1, len(means[0]) + 1)
    shades = figure.ordered(len(means))
    for mean, colour in zip(means, shades, strict=True):
        axes.plot(epochs, mean, "o-", markersize=2.5, color=colour, linewidth=1.5)
    figure.label_ends(
        axes,
        float(epochs[-1]),
        [float(mean[-1]) for mean in means],
        [level.label for level in found.levels],
        shades,
    )
    axes.set_xlabel("epoch")
    axes.set_ylabel("% of the validation images")
    axes.set_xticks(epochs if len(epochs) <= 12 else epochs[4::5])
