"""Which activation works best? Test accuracy by activation, paired by seed.

The reference is the one with the best accuracy on the validation images, so that the test images
choose nothing; every other is compared with it, seed by seed, on the test images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from assay.answer import accuracy, arms, model, question, say, sweep, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.model import Cell, Column, Main, Table
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Word
from assay.record import Phase, Record

PLACEBO, IGNORED_AS = "placebo", "relu"  # the arm whose argument is ignored, and what it then is
NAMES = {
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "leaky_relu": "LeakyReLU(0.01)",
    "prelu": "PReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "identity": "identity",
    "placebo": "placebo (ReLU)",
}
STEP = "step"  # the group of the arms that are times
TITLE = "Test accuracy against the best activation in validation"


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    name: str
    records: Mapping[str, Record]  # by activation, like the runs and the steps
    runs: Mapping[str, pd.DataFrame]
    arms: Sequence[Arm]  # of accuracies: the best first, then those of which a run was lost
    steps: Mapping[str, Arm]  # the time of a step beside ReLU's

    @property
    def reference(self) -> Arm | None:
        """What the others were compared with; None where each lost a run."""
        return next((arm for arm in self.arms if arm.role == Role.ANCHOR), None)

    @property
    def others(self) -> list[Arm]:
        """All but the reference and the placebo."""
        return [arm for arm in self.arms if arm.role == Role.TARGET and arm.name != PLACEBO]

    @property
    def cells(self) -> list[Main]:
        """What the headline rests on; one arm alone tells nothing."""
        others = [arm.main for arm in self.others]
        if self.reference and all(cell.lost for cell in others):
            return [Main(self.reference.label, Word.UNKNOWN), *others]
        return others or [arm.main for arm in self.arms]

    @property
    def real(self) -> dict[str, pd.DataFrame]:
        """The runs of the reference and of all others but the placebo."""
        best = self.reference.name if self.reference else None
        return {name: own for name, own in self.runs.items() if name != PLACEBO or name == best}

    @property
    def placebo_difference(self) -> float | None:
        """Difference between the placebo and ReLU; None when one of the two was not measured."""
        runs = accuracy.whole(self.runs)
        if not {PLACEBO, IGNORED_AS} <= set(runs):
            return None
        return accuracy.placebo_difference(runs[PLACEBO], runs[IGNORED_AS])


def compared(records: Sequence[Record]) -> list[Device]:
    """Every device; accuracies and times are judged as one family."""
    trained: dict[str, dict[str, Record]] = {}
    for each in records:
        if each.study == "activation":
            device = trained.setdefault(str(each.axes["device"]), {})
            device[str(each.axes["activation"])] = each
    found = [arm for device, own in trained.items() for arm in learned(device, own)]
    found += [arm for each in records if each.study == "steps" for arm in steps(each)]
    judged = arms.judged(found)
    return [
        Device(
            device,
            own,
            {name: accuracy.runs(each) for name, each in own.items()},
            [arm for arm in judged if arm.device == device and arm.group != STEP],
            {arm.name: arm for arm in judged if arm.device == device and arm.group == STEP},
        )
        for device, own in trained.items()
    ]


def learned(device: str, records: Mapping[str, Record]) -> list[Arm]:
    """The accuracies of one device."""
    runs = {name: accuracy.runs(each) for name, each in records.items()}
    # A placebo cannot be the reference, but for want of any other.
    best = accuracy.best({name: own for name, own in runs.items() if name != PLACEBO})
    return arms.learned(
        device,
        runs,
        NAMES,
        best or accuracy.best(runs),
        extras={name: _extras(own) for name, own in runs.items()},
        missing={name: model.lost(each.status) for name, each in records.items()},
    )


def _extras(own: pd.DataFrame) -> dict[str, float]:
    """The rate, and what else the runs showed if all ended well."""
    if own.empty:
        return {}
    seen = [] if accuracy.lost(own) else ["dead_share", "gradient_norm_start"]
    return {"rate": float(own["rate"].iloc[0])} | {key: float(own[key].mean()) for key in seen}


def steps(each: Record) -> list[Arm]:
    """The time of a step with each activation beside ReLU's.

    The placebo does ReLU's very work: like the control copy, it tells how far apart two equal
    things come.
    """
    options: dict[str, Any] = {"group": STEP, "anchor": IGNORED_AS, "controls": [PLACEBO]}
    found = [arm for one in each.trials for arm in arms.timed(each, one, NAMES, **options)]
    control = next((arm.seen for arm in found if arm.name == PLACEBO and arm.seen), None)
    reach = max(abs(control.low - 1), abs(control.high - 1)) if control else 0.0
    return [
        replace(arm, seen=replace(arm.seen, noise=max(arm.seen.noise, reach))) if arm.seen else arm
        for arm in found
    ]


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and activation, and one per device of the steps."""
    devices = compared(records)
    on = {here.name: say.on(here.name, [each.name for each in devices]) for here in devices}
    every = [arm for here in devices for arm in (*here.arms, *here.steps.values())]
    return Findings(
        short="; ".join(on[here.name] + _short(here) for here in devices) or "Not measured",
        cells=[cell for here in devices for cell in here.cells],
        sentence=" ".join(on[here.name] + _sentence(here) for here in devices) or question.NOTHING,
        so=" ".join(on[here.name] + text for here in devices if (text := _so(here))),
        numbers={here.name: _numbers(here) for here in devices if here.reference},
        why=[on[here.name] + text for here in devices for text in _why(here)],
        method=_method(records),
        caveats=_caveats(devices),
        views=[view for here in devices for view in _differences(here)] or question.nothing(TITLE),
        switch="Device",
        folded=[view for here in devices for view in _curves(here)],
        table=_table(devices),
        frame=trials.frame(records, map(arms.flat, every)),
    )


# ---- telling ------------------------------------------------------------------------------------


def _sentence(here: Device) -> str:
    """The best in validation with its test accuracy, and what cannot be told from it."""
    best, lost = here.reference, [arm.label for arm in here.others if arm.lost]
    by_word = {word: [arm.label for arm in here.others if arm.word == word] for word in Word}
    if best is None or best.value is None:
        named = say.few([f"{arm.label} {arm.lost}" for arm in here.arms], 1)
        return f"Cannot tell which activation works best: {named}."
    unknown, reached = by_word[Word.UNKNOWN], f"test accuracy {say.accuracy(best.value)}"
    told = {"Better": by_word[Word.BETTER], "Not compared": lost}
    if len(lost) == len(here.others):
        first = f"Cannot tell which activation works best: nothing to compare {best.label} with, {reached}"  # noqa: E501
    elif len(unknown) + len(lost) == len(here.others):
        first = (
            f"Cannot tell which activation works best: {best.label} in validation, with {reached}"
        )
    elif unknown:
        first = f"{best.label} works best in validation, but cannot be told from {say.few(unknown, 1)}: {reached}"  # noqa: E501
    else:
        verb = "was best in validation" if by_word[Word.BETTER] else "works best"
        first, told = f"{best.label} {verb}: {reached}", {**told, "The same": by_word[Word.SAME]}
    more = [f" {heading}: {say.few(names, 1)}." for heading, names in told.items() if names]
    return f"{first}.{''.join(more)}"


def _short(here: Device) -> str:
    """The best, and how many came out how."""
    if not here.reference:
        return "Nothing to compare"
    words = (Word.BETTER, Word.WORSE, Word.SAME, Word.UNKNOWN)
    counts = {word.value: sum(arm.word == word for arm in here.others) for word in words}
    counts["lost"] = sum(bool(arm.lost) for arm in here.others)
    told = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    return f"{here.reference.label}; {told or 'nothing to compare it with'}"


def _so(here: Device) -> str:
    """What to prefer to what: only where something was found worse, and nothing better."""
    worse = [arm.label for arm in here.others if arm.word == Word.WORSE]
    if not here.reference or not worse or any(arm.word == Word.BETTER for arm in here.others):
        return ""
    return f"Use {here.reference.label} rather than {say.few(worse, 4)}."


def _why(here: Device) -> list[str]:
    """What the seeds could have shown, and whether the placebo is what it must be."""
    resolution = accuracy.resolution(here.real, here.reference and here.reference.name)
    return resolution + accuracy.placebo_told(here.placebo_difference, NAMES[IGNORED_AS])


def _numbers(here: Device) -> dict[str, Any]:
    best = here.reference.name if here.reference else None
    return {
        "reference": best,
        "smallest_detectable_difference": accuracy.finite(
            accuracy.smallest_detectable(here.real, best)
        ),
        "placebo_difference": here.placebo_difference,
        "arms": {
            arm.name: {**arm.extras, **accuracy.verdict_numbers(arm.seen, arm.word)}
            for arm in here.arms
            if not arm.lost
        },
        "lost": {arm.name: arm.lost for arm in here.arms if arm.lost},
        "steps": {
            name: verdict.row(step.seen) | {"word": (step.word or step.role).value}
            for name, step in here.steps.items()
            if step.seen
        },
    }


def _method(records: Sequence[Record]) -> list[str]:
    trained: Any = next((each for each in records if each.study == "activation"), None)
    threads = sorted({e.conditions.threads_used for e in records if e.study == "steps"})
    texts = []
    if trained:
        settings, data = trained.settings, trained.provenance.dataset
        rates = say.listed(map(say.setting, settings["rates"]), "or")
        texts = [
            f"A {'-'.join(map(str, [784, *settings['hidden'], 10]))} perceptron, SGD with batches "
            f"of {settings['batch']}, pixels between 0 and 1, torch's initialisation"
            f"{f', {data.name}' if data else ''}. Each activation's rate is the best of {rates} "
            f"after {say.plural(settings['tuning_epochs'], 'epoch')}, judged on validation images "
            "with a seed that is not used again.",
            f"Then {settings['seeds']} runs of {say.plural(settings['epochs'], 'epoch')}: those of "
            "one seed begin with the same weights and see the same batches. The weights of the "
            "best epoch in validation are tested, once.",
        ]
    if threads:
        texts.append(
            f"Steps were timed apart from the trainings, on {say.listed(threads, 'or')} "
            f"thread{'s' if threads != [1] else ''}. The placebo's step is ReLU's, and no "
            "difference is told that it reached as well."
        )
    return texts


def _caveats(devices: Sequence[Device]) -> list[str]:
    edge = dict.fromkeys(
        arm.label
        for here in devices
        for arm in here.arms
        if arm.name != PLACEBO
        and (rates := _tried(here.records[arm.name]))
        and arm.extras.get("rate") in (min(rates), max(rates))
    )
    texts = [
        "One architecture, one data set: another depth can order the activations otherwise.",
        "A published answer compared ReLU with itself five times: its network ignored the "
        "argument, as the placebo does.",
    ]
    return texts + (
        [f"The best rate lies at the edge of the grid for {say.few([*edge])}."] if edge else []
    )


def _tried(each: Record) -> list[float]:
    tuning = (trial for trial in each.trials if trial.what["phase"] == Phase.TUNING)
    return [float(str(trial.what["rate"])) for trial in tuning]


def _table(devices: Sequence[Device]) -> Table:
    timed = {(here.name, name): step for here in devices for name, step in here.steps.items()}
    return arms.table(
        [arm for here in devices for arm in here.arms],
        "activation",
        value="test accuracy",
        unit="%",
        scale=100,
        against="against the best in validation",
        extra={
            "time of a step against ReLU's": lambda arm: arms.beside(
                timed.get((arm.device, arm.name))
            ),
            "rate": arms.extra("rate", say.setting),
            "dead units": arms.extra("dead_share", say.share),
            "gradient norm at the start": arms.extra("gradient_norm_start", say.number),
        },
    )


# ---- drawing ------------------------------------------------------------------------------------


def _differences(here: Device) -> list[Shown]:
    """The difference of every activation to the best, with the test images' sampling error."""
    if here.reference is None:
        return []
    best = f"{here.reference.label}, the best in validation"
    drawn = sweep.differences(here.arms, best)
    shown = [Shown(TITLE, arms.alternative(TITLE, here.arms), drawn, name=here.name)]
    return shown if drawn else []


def _curves(here: Device) -> list[Shown]:
    """Validation accuracy by epoch, of all that ended well."""
    title = f"Learning curves: % of the validation images by epoch, mean over seeds ({here.name})"
    means = {arm.label: _course(here.records[arm.name]) for arm in here.arms if not arm.lost}
    if not means:
        return []
    columns = [Column(name="activation")]
    columns += [Column(name=str(epoch + 1)) for epoch in range(max(map(len, means.values())))]
    rows = [
        [name, *(Cell(text=say.fixed(100 * each, 1), value=each) for each in course)]
        for name, course in means.items()
    ]
    return [Shown(title, f"{title}.", table=Table(columns=columns, rows=rows))]


def _course(each: Record) -> list[float]:
    runs: list[Any] = [
        trial.samples["validation_accuracy"]
        for trial in each.trials
        if trial.what["phase"] == Phase.TRAINING
    ]
    return [float(mean) for mean in np.mean(runs, axis=0)]


main = partial(question.run, "activation", answer)

if __name__ == "__main__":
    main()
