"""Does a second hidden layer help? Test accuracy by number of hidden layers, against one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assay.answer import question, sweep
from assay.answer.question import Findings
from assay.answer.sweep import Cell, Sweep, Told
from assay.answer.verdict import Word
from assay.record import Record

SECOND = "a second hidden layer"
ADVICE = {
    Word.BETTER: "Add a second hidden layer.",
    Word.WORSE: "Stay with one hidden layer.",
    Word.SAME: "Stay with one hidden layer.",
}


def one_layer(cells: Sequence[Cell]) -> Cell:
    """The reference: one hidden layer, or what comes closest."""
    return min(cells, key=lambda cell: abs(cell.x - 1))


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and depth."""
    return sweep.findings(
        records,
        sweep.judged(sweep.sweeps(records, lambda hidden, _: len(hidden), one_layer)),
        "hidden layers",
        tell,
        reference="the network with one hidden layer (else what comes closest)",
        why=[
            "Published, for comparison: about 85 % of the test images with one hidden layer after "
            "10 epochs (D2L 1.0).",
        ],
        caveats=[
            sweep.CAVEAT,
            "The rate is the same for every depth: a deeper network may want another.",
        ],
    )


def tell(found: Sweep) -> Told:
    """What is said of one device: the second layer against one alone."""
    one = found.at(1)
    lost = one.lost if one else "not measured"
    return sweep.effect(SECOND, found.at(2), ADVICE, lost and f"one hidden layer: {lost}")


main = partial(question.run, "depth", answer)

if __name__ == "__main__":
    main()
