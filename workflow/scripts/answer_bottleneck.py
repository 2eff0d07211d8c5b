"""What does a layer of one neuron do? Test accuracy by neurons of an inserted layer."""

from __future__ import annotations

import math
from collections.abc import Sequence

from assay.answer import question, sweep
from assay.answer import old_figure as figure
from assay.answer.question import Column, Findings, Picture, Snippet
from assay.record import Record
from assay.answer.sweep import Cell, Level, Sweep
from matplotlib.axes import Axes
from matplotlib.figure import Figure


def neurons(hidden: Sequence[int], rate: float) -> float:
    """Where a network stands on the axis: neurons of the inserted layer, endless without one."""
    return hidden[-1] if len(hidden) > 1 else math.inf


def without_it(cells: Sequence[Cell]) -> Cell:
    """The reference: the network without the inserted layer, or the widest one inserted."""
    return max(cells, key=lambda cell: cell.x)


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and inserted layer."""
    found = sweep.judged(sweep.sweeps(records, neurons, without_it))
    return Findings(
        sentence=" ".join(map(_sentence, found)) or sweep.NOTHING,
        findings=[text for each in found for text in _findings(each)],
        numbers=sweep.numbers(found),
        method=[
            *sweep.method(
                records,
                "the network without the inserted layer (else the widest)",
                sum(len(each.comparisons) for each in found),
            ),
            "Classes named: how many classes are the answer to at least one validation image, "
            "mean over the seeds.",
        ],
        caveats=[
            *sweep.CAVEATS,
            "A ReLU neuron that is negative for every image passes nothing on. With one neuron "
            "that is the whole network, which then names one class: the seed decides.",
        ],
        picture=Picture(
            title="Test accuracy by neurons of the inserted layer, and the classes it lets through",
            alternative=sweep.alternative(found, "neurons of the inserted layer"),
        ),
        table=sweep.table(
            found,
            "neurons inserted",
            (Column(name="classes named", digits=3), lambda level: classes(level.cell)),
        ),
        frame=sweep.frame(records, found),
        figure=_figure(found) if found else figure.nothing(),
    )


def classes(cell: Cell) -> float:
    """Classes that a network names at all, mean over the seeds."""
    return float(cell.runs["classes_named"].mean())


def _sentence(found: Sweep) -> str:
    base = found.reference
    said = [
        f"{_inserted(level)}: {level.share} of test images, naming {classes(level.cell):.3g} of "
        f"{level.cell.widths[-1]} classes ({level.seen.said})"
        for level in found.others
    ]
    against = f"{_inserted(base)}: {base.share}, the reference"
    return f"{found.device} – {'; '.join([*said, against])}{sweep.diverged(found)}."


def _inserted(level: Level) -> str:
    if math.isinf(level.x):
        return "without the inserted layer"
    return f"{level.label} neuron" + ("" if level.x == 1 else "s")


def _findings(found: Sweep) -> list[str]:
    return [
        *(
            f"{found.device}, {level.cell.network}: {sweep.gain(level.seen)} points against "
            f"{found.reference.cell.network} ({level.seen.said})."
            for level in found.others
        ),
        "Why one is too few: behind one neuron all ten scores are straight lines in one number. "
        "The classes can only follow one another along that number, each in one interval, and "
        "images of all ten have to be lined up on it.",
        *sweep.detectable(found),
    ]


def _figure(found: Sequence[Sweep]) -> Figure:
    """Accuracy on the left, the classes that come through on the right."""
    drawn, grid = figure.panels(1, 2, height_in=3.2)
    left, right = grid[0]
    sweep.ticks(left, found, base=2)
    sweep.draw_accuracies(left, found)
    base = found[0].reference
    if math.isinf(base.x):
        figure.mark_y(left, 100 * base.seen.accuracy.value, f"without it: {base.share}")
    left.set_xlabel("neurons inserted (bar: 95 %, dashes: seeds)")
    sweep.ticks(right, found, base=2)
    _draw_classes(right, found)
    return drawn


def _draw_classes(axes: Axes, found: Sequence[Sweep]) -> None:
    axes.set_title("classes named at all")
    for each, colour in zip(found, sweep.colours(found), strict=True):
        shown = [level for level in each.levels if math.isfinite(level.x)]
        for level in shown:
            seeds = level.cell.runs["classes_named"]
            axes.plot([level.x] * len(seeds), seeds, "_", color=colour, markersize=9)
        axes.plot(
            [level.x for level in shown],
            [classes(level.cell) for level in shown],
            "o-",
            color=colour,
            markersize=5,
            linewidth=1.2,
        )
    axes.set_ylim(0, found[0].reference.cell.widths[-1] + 0.5)
    axes.set_xlabel("neurons inserted (dashes: seeds)")
    axes.set_ylabel("classes")


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("bottleneck", answer, argv)


if __name__ == "__main__":
    main()
