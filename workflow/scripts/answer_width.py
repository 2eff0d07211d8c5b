"""How many hidden units? Test accuracy by width, and what each step to a wider layer brings."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from assay.answer import question, say, sweep
from assay.answer.arms import Arm
from assay.answer.model import Cell, Main
from assay.answer.question import Findings
from assay.answer.sweep import Level, Show, Sweep, Told
from assay.answer.verdict import Word, told
from assay.record import Record

CANNOT_TELL = "Cannot tell how many hidden units it takes"


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and width."""
    swept = sweep.sweeps(records, lambda hidden, _: sum(hidden[:1]), sweep.best_in_validation)
    found = sweep.judged([sweep.with_steps(each) for each in swept])
    return sweep.findings(
        records,
        found,
        "hidden units",
        tell,
        reference="the width that was best in validation",
        why=[
            "Published, for comparison: about 85 % of the test images with 256 units after 10 "
            "epochs (D2L 1.0), 87.1 % with 100 units (the paper on Fashion-MNIST).",
        ],
        method=["Each width is also compared with the one before it."],
        caveats=[sweep.CAVEAT],
        columns={"against the width before": _against_the_one_before(found)},
    )


def tell(found: Sweep) -> Told:
    """What is said of one device: the width that is enough, or at least one that is not."""
    best, least, others = found.reference, found.enough, found.of(*Word)
    too_few = [level for level in found.of(Word.WORSE) if level.cell.x < best.cell.x]
    all_told = not found.of(Word.UNKNOWN)
    if not others:
        sentence = f"{CANNOT_TELL}: nothing to compare {best.label} with.{found.rest()}"
        return Told("Cannot tell", sentence, "", [Main(best.label, Word.UNKNOWN), *found.cells])
    if least is not best or (least is found.whole[0] and all_told):
        shown = others[0] if least is best else least
        lead = f"{least.label} hidden units are enough"
        short, so = f"{least.label} are enough", f"Take {least.label} hidden units."
    elif too_few:
        shown = too_few[-1]
        lead = f"{shown.label} hidden units are too few"
        short, so = f"More than {shown.label}", f"Take more than {shown.label} hidden units."
    else:
        shown, lead, so = others[0], CANNOT_TELL, ""
        short = f"Cannot tell: {shown.label} or {best.label}"
    assert shown.seen
    named = "" if lead.startswith(f"{shown.label} ") else f"{shown.label} bring "
    gain = f"{named}{say.points(shown.seen)} points of test accuracy"
    rest = found.rest(Word.UNKNOWN) if so else found.rest()
    sentence = f"{lead}: {gain} against {best.label}, best in validation.{rest}"
    return Told(short, sentence, so, found.cells)


def _against_the_one_before(found: Sequence[Sweep]) -> Show:
    steps = {id(step.cell): step for each in found for step in each.steps}

    def show(level: Arm) -> Cell | None:
        step = steps.get(id(level.cell)) if isinstance(level, Level) else None
        if not step or not step.seen or not step.word:
            return None
        text = f"{say.points(step.seen)} points: {told(step.seen, step.word)}"
        return Cell(text=text, value=step.seen.value)

    return show


main = partial(question.run, "width", answer)

if __name__ == "__main__":
    main()
