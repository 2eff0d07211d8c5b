"""Does a second hidden layer help? Test accuracy by number of hidden layers, against one."""

from __future__ import annotations

from collections.abc import Sequence

from assay.answer import question, sweep
from assay.answer import old_figure as figure
from assay.answer.question import Findings, Picture, Snippet
from assay.record import Record
from assay.answer.sweep import Cell, Level, Published, Sweep
from matplotlib.figure import Figure

PUBLISHED = [Published(1, 0.85, "D2L 1.0, 10 epochs")]
ORDINALS = {0: "no hidden layer", 1: "one hidden layer", 2: "a second hidden layer"}


def layers(hidden: Sequence[int], rate: float) -> float:
    """Where a network stands on the axis: the number of its hidden layers."""
    return len(hidden)


def one_layer(cells: Sequence[Cell]) -> Cell:
    """The reference: one hidden layer, or what comes closest."""
    return min(cells, key=lambda cell: abs(cell.x - 1))


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and depth."""
    found = sweep.judged(sweep.sweeps(records, layers, one_layer))
    return Findings(
        sentence=" ".join(map(_sentence, found)) or sweep.NOTHING,
        findings=[text for each in found for text in _findings(each)],
        numbers=sweep.numbers(found),
        method=sweep.method(
            records,
            "the network with one hidden layer",
            sum(len(each.comparisons) for each in found),
        ),
        caveats=[
            *sweep.CAVEATS,
            "The rate is the same for every depth: a deeper network may want another, and more "
            "epochs.",
        ],
        picture=Picture(
            title="Test accuracy by number of hidden layers, and learning curves",
            alternative=sweep.alternative(found, "number of hidden layers"),
        ),
        table=sweep.table(found, "hidden layers"),
        frame=sweep.frame(records, found),
        figure=_figure(found) if found else figure.nothing(),
    )


def named(level: Level) -> str:
    """The depth of a level in words."""
    return ORDINALS.get(int(level.x), f"{level.x:g} hidden layers")


def _sentence(found: Sweep) -> str:
    base = found.reference
    said = [
        f"{named(level)}: {level.seen.said} ({sweep.gain(level.seen)} points)"
        for level in sorted(found.others, key=lambda level: abs(level.x - 2))  # the second first
    ]
    parts = [
        f"{found.device} – {named(base)}: {base.share} of test images, at rate {base.cell.rate:g}",
        *(["against it, " + "; ".join(said)] if said else []),
    ]
    return "; ".join(parts) + sweep.diverged(found) + "."


def _findings(found: Sweep) -> list[str]:
    base = found.reference
    return [
        *(
            f"{found.device}, {level.cell.network}: {sweep.gain(level.seen)} points against "
            f"{base.cell.network} ({level.seen.said}), with "
            f"{level.cell.parameters / base.cell.parameters:.2f} times its parameters."
            for level in found.others
        ),
        *sweep.detectable(found),
    ]


def _figure(found: Sequence[Sweep]) -> Figure:
    """Accuracy on the left; on the right the learning curves of the first device."""
    drawn, grid = figure.panels(1, 2, height_in=3.2)
    sweep.ticks(grid[0, 0], found)
    sweep.draw_accuracies(grid[0, 0], found, PUBLISHED)
    grid[0, 0].set_xlabel("hidden layers (bar: 95 %, dashes: seeds)")
    sweep.draw_curves(grid[0, 1], found[0], "hidden layers")
    return drawn


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("depth", answer, argv)


if __name__ == "__main__":
    main()
