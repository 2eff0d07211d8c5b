"""How many hidden units? Test accuracy by width, and what each step to a wider layer brings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.answer import accuracy, question, sweep
from assay.answer import old_figure as figure
from assay.answer.question import Column, Findings, Picture, Snippet
from assay.record import Record
from assay.answer.sweep import Level, Published, Sweep
from assay.answer.verdict import Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PUBLISHED = [
    Published(256, 0.85, "D2L 1.0, 10 epochs"),
    Published(100, 0.871, "Fashion-MNIST paper"),
]


def units(hidden: Sequence[int], rate: float) -> float:
    """Where a network stands on the axis: the units of its hidden layer."""
    return hidden[0] if hidden else 0


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and width."""
    swept = sweep.sweeps(records, units, sweep.best_in_validation)
    found = sweep.judged([sweep.with_steps(each) for each in swept])
    comparisons = sum(len(each.comparisons) for each in found)
    return Findings(
        sentence=" ".join(map(_sentence, found)) or sweep.NOTHING,
        findings=[text for each in found for text in _findings(each)],
        numbers={
            each.device: sweep.numbers([each])[each.device] | {"steps": _steps(each)}
            for each in found
        },
        method=[
            *sweep.method(records, "the width that was best in validation", comparisons),
            "Each width is also compared with the one before it.",
        ],
        caveats=sweep.CAVEATS,
        picture=Picture(
            title="Test accuracy by number of hidden units, and what each step brings",
            alternative=sweep.alternative(found, "number of hidden units"),
        ),
        table=sweep.table(found, "hidden units", _step_column(found)),
        frame=sweep.frame(records, found),
        figure=_figure(found) if found else figure.nothing(),
    )


def _sentence(found: Sweep) -> str:
    best, enough = found.reference, enough_units(found)
    said = sweep.grouped(
        [(step.seen, f"{step.label} ({sweep.short_gain(step.seen)})") for step in found.steps]
    )
    parts = [f"{found.device} – {best.label} hidden units were best in validation ({best.share})"]
    if enough is not best:
        parts.append(f"from {enough.label} on, none can be told from that")
    if said:
        parts.append(f"step by step, in points: {said}")
    return "; ".join(parts) + sweep.diverged(found) + "."


def enough_units(found: Sweep) -> Level:
    """The narrowest layer from which on no verdict is *worse* than the best in validation."""
    enough = found.levels[-1]
    for level in reversed(found.levels):
        if level.seen.word == Word.WORSE:
            break
        enough = level
    return enough


def _findings(found: Sweep) -> list[str]:
    return [
        *(
            f"{found.device}, {step.label} hidden units: {sweep.gain(step.seen)} points "
            f"({step.seen.said})."
            for step in found.steps
        ),
        *sweep.detectable(found),
    ]


def _steps(found: Sweep) -> dict[str, Any]:
    return {
        step.label: accuracy.verdict_numbers(step.seen.difference, step.seen.word)
        for step in found.steps
    }


def _step_column(found: Sequence[Sweep]) -> sweep.Extra:
    by_key = {
        (each.device, step.upper.cell.key): f"{sweep.gain(step.seen)}: {step.seen.said}"
        for each in found
        for step in each.steps
    }
    return (
        Column(name="against the width before", unit="points [95 %]"),
        lambda level: by_key.get((level.cell.device, level.cell.key)),
    )


# ---- drawing ------------------------------------------------------------------------------------


def _figure(found: Sequence[Sweep]) -> Figure:
    """Accuracy on the left; on the right the steps of the first device."""
    drawn, grid = figure.panels(1, 2, height_in=3.2)
    sweep.ticks(grid[0, 0], found, base=2)
    sweep.draw_accuracies(grid[0, 0], found, PUBLISHED)
    grid[0, 0].set_xlabel("hidden units (bar: 95 %, dashes: seeds)")
    _draw_steps(grid[0, 1], found[0])
    return drawn


def _draw_steps(axes: Axes, found: Sweep) -> None:
    axes.set_title(f"what each step brings ({found.device})")
    climb = found.steps
    if not climb:
        axes.set_axis_off()
        return
    bound = 100 * accuracy.sampling_error(found.reference.cell.runs)
    axes.axhspan(-bound, bound, color=figure.BAND, zorder=0)
    axes.axhline(0, color=figure.MUTED, lw=1, zorder=0)
    for place, step in enumerate(climb):
        seen = step.seen.difference
        if seen:
            values = ([100 * each] for each in (seen.value, seen.low, seen.high))
            colour = sweep.COLOURS[step.seen.word]
            figure.interval(axes, [place], *values, color=colour, capsize=0)
    axes.set_xticks(range(len(climb)), [step.label.replace(" → ", "\n→ ") for step in climb])
    axes.set_xlabel("hidden units\n(band: ± one standard error)")
    axes.set_ylabel("percentage points [95 %]")


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("width", answer, argv)


if __name__ == "__main__":
    main()
