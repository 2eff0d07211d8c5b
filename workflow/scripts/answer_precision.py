"""Does half precision train as well, and is it faster here? Every precision beside float32.

Accuracies are paired by seed, steps by round; the headline tells of the best known half precision
that was trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, model, question, say, sweep, trials
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis
from assay.answer.model import Cell, Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import AS_GOOD, Word
from assay.record import Record, Status

ANCHOR, PLACEBO, STEPS = "float32", "placebo", "precision_steps"
NAMES = {
    **{"float32": "float32", "tf32": "TF32", "bfloat16": "bfloat16", "float16": "float16"},
    **{"float16_scaled": "scaled float16", "bfloat16_weights": "bfloat16 weights"},
    "placebo": "placebo (float32)",
}
HALF = ("bfloat16", "float16_scaled", "float16", "bfloat16_weights")  # best known first
HOW = {
    Word.SAME: ("as well as", "as accurate"),
    Word.BETTER: ("better than", "more accurate"),
    Word.WORSE: ("worse than", "less accurate"),
    Word.UNKNOWN: ("as well as", "accuracy cannot be told"),
}
ROUNDED = {  # what is rounded to nothing, as the records call it and as a reader does
    "signals": "gradients of outputs",
    "gradients": "gradients of weights",
    "updates": "updates without effect",
}
CLAIMS = {  # about which precision, of whom, and the words that bear it out
    "bfloat16 trains as well, with the settings of float32":
        ("bfloat16", "Kalamkar et al. 2019", AS_GOOD),
    "So does float16 with a scaled loss and float32 weights":
        ("float16_scaled", "Micikevicius et al. 2018", AS_GOOD),
    "bfloat16 weights, rounded to nearest, cost accuracy":
        ("bfloat16_weights", "Zamirai et al. 2021", (Word.WORSE,)),
}  # fmt: skip
ACCURACY, TIME = "Test accuracy against float32", "Time of a step against float32's"
LOST = "What rounding makes nothing of"
RATIO = Axis(
    "time of a step against float32's (bar: 95 %)", lambda x: f"{say.short(x)} ×", log=True
)


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    where: str  # its name, only where there are several
    runs: Mapping[str, pd.DataFrame]  # by precision
    arms: Mapping[str, Arm]  # of accuracies, best first
    steps: Mapping[str, Mapping[str, Arm]]  # by network, then by precision
    untimed: str  # why there are no steps

    @property
    def step(self) -> Mapping[str, Arm]:
        """Those of the first network, which is the one that was trained."""
        return next(iter(self.steps.values()), {})

    @property
    def half(self) -> list[Arm]:
        """The accuracies of half precision, best known first."""
        return [self.arms[name] for name in HALF if name in self.arms]

    def gains(self, steps: Mapping[str, Arm]) -> list[str]:
        """Half precision as accurate as float32, and faster in these steps; best known first."""
        good = [arm.name for arm in self.half if arm.word in AS_GOOD]
        return [name for name in good if name in steps and steps[name].word == Word.FASTER]

    @property
    def cells(self) -> list[Main]:
        """What the headline rests on: accuracy and step of every half precision."""
        found = [arm.main for arm in self.half] or [Main("half precision", Word.UNKNOWN)]
        found += [self.step[name].main for name in HALF if name in self.step]
        return found if self.step else [*found, Main("time of a step", lost=self.untimed)]


def compared(records: Sequence[Record]) -> dict[str, Device]:
    """Every device; accuracies and times are judged as one family."""
    here = trials.by_device(records)
    trained = {device: [e for e in own if e.study != STEPS] for device, own in here.items()}
    found = [arm for each in records if each.study == STEPS for arm in steps(each)]
    found += [arm for device, own in trained.items() for arm in learned(device, own)]
    judged = arms.nested(arms.judged(found))
    return {
        device: Device(
            say.on(device, here),
            {str(each.axes["precision"]): accuracy.runs(each) for each in trained[device]},
            judged.get(device, {}).get("", {}),
            {group: timed for group, timed in judged.get(device, {}).items() if group},
            trials.why_lost(each for each in own if each.study == STEPS),
        )
        for device, own in here.items()
    }


def learned(device: str, records: Sequence[Record]) -> list[Arm]:
    """The accuracies of one device; the placebo does float32's very work."""
    own = {str(each.axes["precision"]): each for each in records}
    found = arms.learned(
        device,
        {name: accuracy.runs(each) for name, each in own.items()},
        NAMES,
        ANCHOR,
        extras={name: _extras(each) for name, each in own.items()},
        missing={name: model.lost(each.status) for name, each in own.items()},
    )
    return [replace(arm, role=Role.CONTROL) if arm.name == PLACEBO else arm for arm in found]


def _extras(each: Record) -> dict[str, float]:
    """Bytes of a step, and the shares that rounding loses by layer, mean over seeds."""
    results: list[Any] = [trial.result for trial in each.trials if trial.status == Status.OK]
    peak = next((each["memory_bytes"] for each in results if each.get("memory_bytes")), None)
    found = {"memory_bytes": peak} if peak else {}
    lost = [result["rounded_away"] for result in results if "rounded_away" in result]
    for kind in ROUNDED if lost else ():
        layers = zip(*(shares[kind] for shares in lost), strict=True)
        found |= {f"{kind}_lost_{i}": fmean(own) for i, own in enumerate(layers, 1)}
    return found


def steps(each: Record) -> list[Arm]:
    """The time of a step in every precision beside float32's, and those that have none."""
    found: dict[tuple[str, str], Arm] = {}
    asked: Any = each.settings["precisions"]
    labels = {name: NAMES[name] for name in dict.fromkeys([ANCHOR, *asked])}
    for trial in each.trials:
        group, alone = f"{trial.what['width']} units", str(trial.what.get("precision", ""))
        own = {alone: NAMES[alone]} if alone else labels
        for arm in arms.timed(each, trial, own, group=group, anchor=ANCHOR):
            if not getattr(found.get((group, arm.name)), "seen", None):
                found[group, arm.name] = arm
    return [*found.values()]


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and precision, and one per device of the steps."""
    devices = compared(records)
    found = [arm for here in devices.values() for arm in here.arms.values()]
    timed = [a for here in devices.values() for own in here.steps.values() for a in own.values()]
    return Findings(
        **vars(question.joined({name: tell(here) for name, here in devices.items()})),
        numbers={name: _numbers(here) for name, here in devices.items()},
        why=question.on_each(
            {n: accuracy.notes(here.runs, ANCHOR, PLACEBO, ANCHOR) for n, here in devices.items()}
        ),
        method=_method(records),
        caveats=[
            "One small network, one data set: gradients of deeper ones can need what these do not.",
            "A processor without instructions for a 16-bit format converts it, and is slower "
            "(PyTorch's issue 118499).",
        ],
        views=[view for here in devices.values() for view in _views(here)]
        or question.nothing(ACCURACY),
        switch="What",
        folded=[
            *(view for here in devices.values() for view in _rounded(here)),
            *question.published(
                (f"{here.where}{claim}", of, [here.arms[name]] if name in here.arms else [], words)
                for here in devices.values()
                for claim, (name, of, words) in CLAIMS.items()
            ),
        ],
        table=arms.table(
            found,
            "precision",
            value="test accuracy",
            told=say.accuracy,
            against="against float32",
            extra={
                **arms.beside(timed, "step, {}"),
                "memory of a step": arms.extra("memory_bytes", lambda b: say.quantity(b, "B")),
            },
        ),
        frame=trials.frame(records, map(arms.flat, [*found, *timed])),
    )


# ---- telling ------------------------------------------------------------------------------------


def tell(here: Device) -> Told:
    """What is said of one device: of the best known half precision that was trained."""
    chosen = next((arm for arm in here.half if arm.word), None)
    if chosen is None:
        ended = [f"{arm.label} {arm.lost}" for arm in here.arms.values() if arm.lost]
        named = say.few(ended, 1) or "nothing to compare"
        sentence = f"Cannot tell whether half precision trains as well: {named}."
        return Told(f"Cannot tell: {named}", sentence, "", here.cells)
    label, step = chosen.label, here.step.get(chosen.name)
    how, accurate = HOW[chosen.word]
    doubt = "Cannot tell whether " if chosen.word == Word.UNKNOWN else ""
    trains = f"{doubt}{label} train{'' if label.endswith('s') else 's'} {how} float32"
    lost = dict.fromkeys(cell.name for cell in here.cells if cell.lost)
    others, gains = [arm for arm in here.half if arm is not chosen], here.gains(here.step)
    headings = {
        "As accurate and faster": [arm.label for arm in others if arm.name in gains],
        "Worse": [arm.label for arm in others if arm.word == Word.WORSE],
        "Cannot tell": [arm.label for arm in others if arm.word == Word.UNKNOWN],
        "Speed cannot be told": [
            arm.label
            for arm in others
            if arm.word not in (None, Word.UNKNOWN) and _unknown(here.step.get(arm.name))
        ],
        "Not compared": [name for name in lost if name != label],
    }
    rest = "".join(f" {heading}: {say.few(own, 1)}." for heading, own in headings.items() if own)
    took, speed = "", ""
    if step and step.lost:
        took = f" (a step: {step.lost})"
    elif step and step.word == Word.UNKNOWN:
        took, speed = ", and whether a step is faster cannot be told", "; speed cannot be told"
    elif step and step.word:
        took = f", and a step takes {say.takes(step.seen, step.word)}"
        speed = "; as fast" if step.word == Word.SAME else f"; {step.told}"
    return Told(f"{label}: {accurate}{speed}", f"{trains}{took}.{rest}", _so(here), here.cells)


def _unknown(step: Arm | None) -> bool:
    return step is not None and not step.lost and step.word == Word.UNKNOWN


def _so(here: Device) -> str:
    """In what to train: as accurate and faster; float32 where no half precision is faster."""
    for group, own in here.steps.items():
        # The best known, not the fastest: weights of 16 bits lose updates.
        best = next((NAMES[name] for name in here.gains(own)), None)
        if best and own is here.step:
            return f"Train with {best}: as accurate, and faster."
        if best:
            alike = f"faster there, and as accurate with {next(iter(here.steps))}"
            return f"With {group}, train with {best}: {alike}."
    words = {own[name].word for own in here.steps.values() for name in HALF if name in own}
    stay = words and words <= {Word.SLOWER, Word.SAME}
    return "Stay with float32: no half precision is faster here." if stay else ""


def _numbers(here: Device) -> dict[str, Any]:
    return {
        "placebo_difference": accuracy.placebo_difference(
            accuracy.whole(here.runs), PLACEBO, ANCHOR
        ),
        **sweep.numbers_by_name([*here.arms.values()]),
        "steps": {group: arms.worded(own) for group, own in here.steps.items()},
    }


def _method(records: Sequence[Record]) -> list[str]:
    trained = next(([e.settings, e.provenance.dataset] for e in records if e.study != STEPS), None)
    texts = [
        "bfloat16 and float16: torch's autocast around the forward pass; weights, updates and loss "
        "are float32. Scaled: with torch's gradient scaler, as the placebo. bfloat16 weights: "
        "gradients, updates and tests, too.",
        "Rounding is looked at after training, on one batch, mean over seeds: what is zero and is "
        "not in float32, and weights that have a gradient and do not move.",
    ]
    if trained:
        own, data = trained
        widths = "-".join(map(str, [784, *own["hidden"], 10]))
        texts.append(
            f"{widths} perceptrons with ReLU{f', {data.name}' if data else ''}, SGD at rate "
            f"{own['rate']:g} for all, batches of {own['batch']}, {accuracy.runs_told(own)}"
        )
    if threads := sorted({e.conditions.threads_used for e in records if e.study == STEPS}):
        plural = "" if threads == [1] else "s"
        texts.append(f"Steps were timed apart, with {say.listed(threads, 'or')} thread{plural}.")
    return texts


# ---- drawing ------------------------------------------------------------------------------------


def _views(here: Device) -> Iterator[Shown]:
    """The accuracies, and the steps of every network."""
    own = [arm for arm in here.arms.values() if arm.name in HALF or not arm.lost]
    yield from sweep.differences(ACCURACY, own, NAMES[ANCHOR], f"{here.where}accuracy")
    rows = {
        group: [arm.row() for arm in own.values() if arm.name in HALF or arm.seen]
        for group, own in here.steps.items()
    }
    if sum(row.seen is not None for own in rows.values() for row in own) > 1:
        yield question.dotted(TIME, rows, RATIO, name=f"{here.where}time", line=1.0)


def _rounded(here: Device) -> list[Shown]:
    """What rounding loses, by layer."""
    known = [arm for arm in here.arms.values() if any("_lost_" in key for key in arm.extras)]
    keys = [key for key in (known[0].extras if known else ()) if "_lost_" in key]
    rows: list[list[Any]] = [
        [arm.label, *(Cell(text=say.share(arm.extras[key]), value=arm.extras[key]) for key in keys)]
        for arm in known
    ]
    heads = [f"{ROUNDED[kind]}, layer {i}" for kind, i in (key.split("_lost_") for key in keys)]
    return [question.tabled(f"{here.where}{LOST}", ["precision", *heads], rows)] if rows else []


main = partial(question.run, "precision", answer)

if __name__ == "__main__":
    main()
