"""Does half precision train as well, and is it faster here? Every precision beside float32.

Accuracies are paired by seed, steps by round; the headline tells of the best known half precision
that was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, model, question, say, sweep, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis
from assay.answer.model import Cell, Content, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Status

ANCHOR, PLACEBO, STEPS = "float32", "placebo", "precision_steps"
NAMES = {
    "float32": "float32",
    "tf32": "TF32",
    "bfloat16": "bfloat16",
    "float16": "float16",
    "float16_scaled": "scaled float16",
    "bfloat16_weights": "bfloat16 weights",
    "placebo": "placebo (float32)",
}
HALF = ("bfloat16", "float16_scaled", "float16", "bfloat16_weights")  # best known first
GOOD = (Word.SAME, Word.BETTER)
HOW: dict[Word | None, tuple[str, str]] = {
    Word.SAME: ("as well as", "as accurate"),
    Word.BETTER: ("better than", "more accurate"),
    Word.WORSE: ("worse than", "less accurate"),
}
ROUNDED = {  # what is rounded to nothing, as the records call it and as a reader does
    "signals": "gradients of outputs",
    "gradients": "gradients of weights",
    "updates": "updates without effect",
}
CLAIMS = [  # of whom, about which precision, and the words that bear it out
    (
        *("bfloat16 trains as well, with the settings of float32", "Kalamkar et al. 2019"),
        *("bfloat16", GOOD),
    ),
    (
        *("So does float16 with a scaled loss and float32 weights", "Micikevicius et al. 2018"),
        *("float16_scaled", GOOD),
    ),
    (
        *("bfloat16 weights, rounded to nearest, cost accuracy", "Zamirai et al. 2021"),
        *("bfloat16_weights", (Word.WORSE,)),
    ),
]
ACCURACY, TIME = "Test accuracy against float32", "Time of a step against float32's"
LOST, PUBLISHED = "What rounding makes nothing of", "What was published, and whether it holds here"
RATIO = Axis(
    "time of a step against float32's (bar: 95 %)", lambda x: f"{say.short(x)} ×", log=True
)


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    name: str
    runs: Mapping[str, pd.DataFrame]  # by precision
    arms: Mapping[str, Arm]  # of accuracies, best first
    steps: Mapping[str, Mapping[str, Arm]]  # by network, then by precision
    untimed: str  # why there are no steps

    @property
    def step(self) -> Mapping[str, Arm]:
        """Those of the first network."""
        return next(iter(self.steps.values()), {})

    @property
    def placebo_difference(self) -> float | None:
        """Difference between the placebo and float32."""
        return accuracy.placebo_difference(accuracy.whole(self.runs), PLACEBO, ANCHOR)

    @property
    def cells(self) -> list[Main]:
        """What the headline rests on: accuracy and step of every half precision."""
        found = [
            arm.main if arm.lost or arm.seen else Main(arm.label, Word.UNKNOWN)
            for name in HALF
            if (arm := self.arms.get(name))
        ] or [Main("half precision", Word.UNKNOWN)]
        found += [self.step[name].main for name in HALF if name in self.step]
        return found if self.step else [*found, Main("time of a step", lost=self.untimed)]


def compared(records: Sequence[Record]) -> list[Device]:
    """Every device; accuracies and times are judged as one family."""
    found = [arm for each in records if each.study == STEPS for arm in steps(each)]
    trained: dict[str, dict[str, Record]] = {name: {} for name in trials.devices(records)}
    for each in records:
        if each.study != STEPS:
            trained[str(each.axes["device"])][str(each.axes["precision"])] = each
    found += [arm for device, own in trained.items() for arm in learned(device, own)]
    judged = arms.grouped(arms.judged(found), lambda arm: arm.device)
    return [
        Device(
            device,
            {name: accuracy.runs(each) for name, each in own.items()},
            {arm.name: arm for arm in judged.get(device, []) if not arm.group},
            {
                group: {arm.name: arm for arm in timed}
                for group, timed in arms.grouped(judged.get(device, []), lambda a: a.group).items()
                if group
            },
            trials.why_lost(e for e in records if e.study == STEPS and e.axes["device"] == device),
        )
        for device, own in trained.items()
    ]


def learned(device: str, records: Mapping[str, Record]) -> list[Arm]:
    """The accuracies of one device; the placebo does float32's very work."""
    found = arms.learned(
        device,
        {name: accuracy.runs(each) for name, each in records.items()},
        NAMES,
        ANCHOR,
        extras={name: _extras(each) for name, each in records.items()},
        missing={name: model.lost(each.status) for name, each in records.items()},
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
        group = f"{trial.what['width']} units"
        if name := trial.what.get("precision"):
            lost = Arm(str(each.axes["device"]), group, str(name), NAMES[str(name)],
                       lost=model.lost(trial.status))  # fmt: skip
            if not getattr(found.get((group, lost.name)), "seen", None):
                found[group, lost.name] = lost
        else:
            timed = arms.timed(each, trial, labels, group=group, anchor=ANCHOR)
            found |= {(group, arm.name): arm for arm in timed}
    return [*found.values()]


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and precision, and one per device of the steps."""
    devices = compared(records)
    where = {here.name: say.on(here.name, [each.name for each in devices]) for here in devices}
    every = [
        arm for here in devices for own in (here.arms, *here.steps.values()) for arm in own.values()
    ]
    return Findings(
        **vars(question.joined({here.name: tell(here) for here in devices})),
        numbers={here.name: _numbers(here) for here in devices},
        why=[where[here.name] + text for here in devices for text in _why(here)],
        method=_method(records),
        caveats=[
            "One small network, one data set: gradients of deeper ones can need what these do not.",
            "A processor without instructions for a 16-bit format converts it, and is slower "
            "(PyTorch's issue 118499).",
        ],
        views=[view for here in devices for view in _views(here, where[here.name])]
        or question.nothing(ACCURACY),
        switch="What",
        folded=[
            *(view for here in devices for view in _rounded(here, where[here.name])),
            question.tabled(
                PUBLISHED,
                ("claim", "of", "here", "accuracy against float32"),
                [row for here in devices for row in _claims(here, where[here.name])],
            ),
        ],
        table=_table(devices),
        frame=trials.frame(records, map(arms.flat, every)),
    )


# ---- telling ------------------------------------------------------------------------------------


def tell(here: Device) -> Told:
    """What is said of one device."""
    half = [here.arms[name] for name in HALF if name in here.arms]
    chosen = next((arm for arm in half if arm.word), None)
    if chosen is None:
        ended = [f"{arm.label} {arm.lost}" for arm in here.arms.values() if arm.lost]
        named = say.few(ended, 1) or "nothing to compare"
        sentence = f"Cannot tell whether half precision trains as well: {named}."
        return Told(f"Cannot tell: {named}", sentence, "", here.cells)
    label, step = chosen.label, here.step.get(chosen.name)
    trains = f"{label} train{'' if label.endswith('s') else 's'}"
    how, accurate = HOW.get(chosen.word, ("as well as", "accuracy cannot be told"))
    first = f"{'' if chosen.word in HOW else 'Cannot tell whether '}{trains} {how}"
    lost = dict.fromkeys(cell.name for cell in here.cells if cell.lost)
    headings = {
        "Worse": [arm.label for arm in half if arm is not chosen and arm.word == Word.WORSE],
        "Not compared": [name for name in lost if name != label],
    }
    rest = "".join(f" {heading}: {say.few(own, 1)}." for heading, own in headings.items() if own)
    sentence = f"{first} float32{_step(step)}.{rest}"
    return Told(f"{label}: {accurate}{_speed(step)}", sentence, _so(here), here.cells)


def _step(step: Arm | None) -> str:
    """What a step takes, as the second half of a sentence."""
    if step is None or step.seen is None:
        return f" (a step: {step.lost})" if step and step.lost else ""
    if step.word == Word.UNKNOWN:
        return ", and whether a step is faster cannot be told"
    took = "as long" if step.word == Word.SAME else say.longer(step.seen)
    return f", and a step takes {took}"


def _speed(step: Arm | None) -> str:
    """The same in a word or two."""
    if step is None or step.seen is None or step.word is None:
        return ""
    if step.word == Word.UNKNOWN:
        return ", speed cannot be told"
    return ", as fast" if step.word == Word.SAME else f", {step.told}"


def _so(here: Device) -> str:
    """In what to train: as accurate and faster; float32 where no half precision is faster."""
    good = [name for name in HALF if name in here.arms and here.arms[name].word in GOOD]
    for group, own in here.steps.items():  # the first network is the one that was trained
        faster = [own[name] for name in good if name in own and own[name].word == Word.FASTER]
        if faster:
            best = faster[0]  # the best known, not the fastest: weights of 16 bits lose updates
            of = "" if own is here.step else f"networks of {group} "
            times = say.number(1 / best.seen.value, 2) if best.seen else ""
            return f"Train {of}in {best.label}: as accurate, and {times} × as fast here."
    timed = [own[name].word for own in here.steps.values() for name in HALF if name in own]
    if timed and {*timed} <= {Word.SLOWER, Word.SAME}:
        return "Stay with float32: no half precision is faster here."
    return ""


def _why(here: Device) -> list[str]:
    """What the seeds could have shown, and whether the placebo is what it must be."""
    runs = {name: own for name, own in here.runs.items() if name != PLACEBO}
    texts = accuracy.resolution(runs, ANCHOR if ANCHOR in accuracy.whole(runs) else None)
    return texts + accuracy.placebo_told(here.placebo_difference, ANCHOR)


def _numbers(here: Device) -> dict[str, Any]:
    return {
        "placebo_difference": here.placebo_difference,
        "arms": {
            name: {**arm.extras, **accuracy.verdict_numbers(arm.seen, arm.word)}
            for name, arm in here.arms.items()
            if not arm.lost
        },
        "lost": {name: arm.lost for name, arm in here.arms.items() if arm.lost},
        "steps": {
            group: {
                name: verdict.row(arm.seen) | {"word": (arm.word or arm.role).value}
                for name, arm in own.items()
                if arm.seen
            }
            for group, own in here.steps.items()
        },
    }


def _method(records: Sequence[Record]) -> list[str]:
    trained: Any = next((each for each in records if each.study != STEPS), None)
    texts = [
        "bfloat16 and float16: torch's autocast around the forward pass; weights, updates and loss "
        "are float32. Scaled: with torch's gradient scaler. bfloat16 weights: gradients, updates "
        "and tests, too. The placebo is float32 with the scaler.",
        "Rounding is looked at after training, on one batch, mean over seeds: what is zero and is "
        "not in float32, and weights that have a gradient and do not move.",
    ]
    if trained:
        own, data = trained.settings, trained.provenance.dataset
        widths = "-".join(map(str, [784, *own["hidden"], 10]))
        texts.append(
            f"{widths} perceptrons with ReLU{f', {data.name}' if data else ''}, SGD at rate "
            f"{own['rate']:g} for all, batches of {own['batch']}, {own['seeds']} runs of "
            f"{say.plural(own['epochs'], 'epoch')}: those of one seed begin alike and see the same "
            "batches. The weights of the best epoch in validation are tested, once."
        )
    if threads := sorted({e.conditions.threads_used for e in records if e.study == STEPS}):
        texts.append(f"Steps were timed apart, with {say.listed(threads, 'or')} threads.")
    return texts


def _claims(here: Device, where: str) -> Iterator[list[Any]]:
    """What was published, and whether it holds here."""
    for claim, source, name, words in CLAIMS:
        arm = here.arms.get(name)
        told, sign = (
            ("cannot tell", "!")
            if arm and not arm.lost
            else (arm.lost if arm else "not measured", "")
        )
        if arm and arm.word and arm.word != Word.UNKNOWN:
            told, sign = ("yes", "✓") if arm.word in words else ("no", "✗")
        yield [where + claim, source, Cell(text=told, sign=sign), arm.told if arm else None]


# ---- drawing ------------------------------------------------------------------------------------


def _table(devices: Sequence[Device]) -> Table:
    """The accuracies, and beside them the steps and their memory."""
    steps = {
        (here.name, arm.group, arm.name): arm
        for here in devices
        for own in here.steps.values()
        for arm in own.values()
    }

    def show(group: str, of: Callable[[Arm | None], Content]) -> arms.Show:
        return lambda arm: of(steps.get((arm.device, group, arm.name)))

    counted = [group for (_, group, _), arm in steps.items() if arms.energy(arm)]

    return arms.table(
        [arm for here in devices for arm in here.arms.values()],
        "precision",
        value="test accuracy",
        told=say.accuracy,
        against="against float32",
        extra={
            **{f"step, {group}": show(group, arms.beside) for _, group, _ in steps},
            **{f"energy, {group}, mJ": show(group, arms.energy) for group in counted},
            "memory of a step": arms.extra("memory_bytes", lambda b: say.quantity(b, "B")),
        },
    )


def _views(here: Device, where: str) -> list[Shown]:
    """The accuracies, and the steps of every network."""
    own = [arm for arm in here.arms.values() if arm.name in HALF or not arm.lost]
    found = [*sweep.differences(ACCURACY, own, NAMES[ANCHOR], f"{where}accuracy")]
    rows = {
        group: [arm for arm in own.values() if arm.name in HALF or arm.seen]
        for group, own in here.steps.items()
    }
    if any(arm.seen for own in rows.values() for arm in own):
        dots = {group: [arm.row() for arm in own] for group, own in rows.items()}
        found.append(question.dotted(TIME, dots, RATIO, name=f"{where}time", line=1.0))
    return found


def _rounded(here: Device, where: str) -> list[Shown]:
    """What rounding loses, by layer."""
    known = [arm for arm in here.arms.values() if any("_lost_" in key for key in arm.extras)]
    keys = [key for key in (known[0].extras if known else ()) if "_lost_" in key]
    rows: list[list[Any]] = [
        [arm.label, *(Cell(text=say.share(arm.extras[key]), value=arm.extras[key]) for key in keys)]
        for arm in known
    ]
    heads = [f"{ROUNDED[kind]}, layer {i}" for kind, i in (key.split("_lost_") for key in keys)]
    return [question.tabled(f"{where}{LOST}", ["precision", *heads], rows)] if rows else []


main = partial(question.run, "precision", answer)

if __name__ == "__main__":
    main()
