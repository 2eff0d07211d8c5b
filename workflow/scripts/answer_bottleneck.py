"""What does a layer of one neuron do? Test accuracy by neurons of an inserted layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from assay.answer import model, question, say, sweep
from assay.answer.arms import Arm
from assay.answer.question import Findings
from assay.answer.sweep import Cell, Level, Sweep, Told
from assay.answer.verdict import Word
from assay.record import Record

ONE = "a layer of one neuron"


def neurons(hidden: Sequence[int], rate: float) -> float:
    """Where a network stands on the axis: neurons of the inserted layer, endless without one."""
    return hidden[-1] if len(hidden) > 1 else math.inf


def without_it(cells: Sequence[Cell]) -> Cell:
    """The reference: the network without the inserted layer, or the widest one inserted."""
    return max(cells, key=lambda cell: cell.x)


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and inserted layer."""
    return sweep.findings(
        records,
        sweep.judged(sweep.sweeps(records, neurons, without_it)),
        "neurons inserted",
        tell,
        reference="the network without the inserted layer (else the widest)",
        why=[
            "Behind one neuron all ten scores are straight lines in one number. The classes can "
            "only follow one another along that number, each in one interval, and images of all "
            "ten have to be lined up on it.",
        ],
        method=[
            "Classes named: how many classes are the answer to at least one validation image, "
            "mean over the seeds.",
        ],
        caveats=[
            sweep.CAVEAT,
            "A ReLU neuron that is negative for every image passes nothing on. With one neuron "
            "that is the whole network, which then names one class: the seed decides.",
        ],
        columns={"classes named": _classes},
    )


def classes(cell: Cell) -> float:
    """Classes that a network names at all, mean over the seeds."""
    return float(cell.runs["classes_named"].mean())


def tell(found: Sweep) -> Told:
    """What is said of one device: one neuron against no layer inserted."""
    one = found.at(1)
    told = sweep.effect(ONE, one, {Word.WORSE: _advice(found)})
    if one is None or one.word != Word.WORSE or classes(one.cell) == one.cell.widths[-1]:
        return told
    named = f"{say.short(classes(one.cell), 2)} of {one.cell.widths[-1]} classes"
    return replace(
        told,
        short=f"{told.short}; names {named}",
        sentence=f"{told.sentence[:-1]}, and some classes are never named.",
    )


def _advice(found: Sweep) -> str:
    """How many neurons an inserted layer needs, where the verdicts tell."""
    if found.enough is found.reference:
        return "Insert no layer of one neuron."
    return f"Give an inserted layer {found.enough.label} neurons or more."


def _classes(level: Arm) -> model.Cell | None:
    if not isinstance(level, Level) or level.lost:
        return None
    named = classes(level.cell)
    return model.Cell(text=say.short(named), value=named)


main = partial(question.run, "bottleneck", answer)

if __name__ == "__main__":
    main()
