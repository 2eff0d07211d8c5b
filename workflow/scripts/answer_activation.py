"""Which activation works best? Test accuracy by activation, paired by seed.

The reference is the one with the best accuracy on the validation images, so that the test images
choose nothing; every other is compared with it, seed by seed, on the test images.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, model, question, say, sweep, trials
from assay.answer.arms import Arm, Role
from assay.answer.model import Main
from assay.answer.question import Findings, Told
from assay.answer.verdict import Word
from assay.record import Record

PLACEBO, IGNORED_AS = "placebo", "relu"  # the arm whose argument is ignored, and what it then is
NAMES = {
    "relu": "ReLU",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "leaky_relu": "LeakyReLU (0.01)",
    "prelu": "PReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "identity": "identity",
    "placebo": "placebo (ReLU)",
}
STEP = "step"  # the group of the arms that are times
BEST = "the best in validation"
TITLE = "Test accuracy against the best activation in validation"


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    name: str
    records: Mapping[str, Record]  # by activation
    arms: Sequence[Arm]  # of accuracies: the best first, then those of which a run was lost
    steps: Mapping[str, Arm]  # the time of a step beside ReLU's

    @property
    def runs(self) -> dict[str, pd.DataFrame]:
        """The runs of every activation."""
        return {name: accuracy.runs(each) for name, each in self.records.items()}

    @property
    def reference(self) -> Arm | None:
        """What the others were compared with; None where each lost a run."""
        return next((arm for arm in self.arms if arm.role == Role.ANCHOR), None)

    @property
    def best(self) -> str | None:
        """The reference as records call it."""
        return self.reference and self.reference.name

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
        return {n: own for n, own in self.runs.items() if n != PLACEBO or n == self.best}

    @property
    def placebo_difference(self) -> float | None:
        """Difference between the placebo and ReLU; None when one of the two was not measured."""
        return accuracy.placebo_difference(accuracy.whole(self.runs), PLACEBO, IGNORED_AS)


def compared(records: Sequence[Record]) -> list[Device]:
    """Every device; accuracies and times are judged as one family."""
    mine = [each for each in records if each.study == "activation"]
    trained = {
        device: {str(each.axes["activation"]): each for each in own}
        for device, own in trials.by_device(mine).items()
    }
    found = [arm for device, own in trained.items() for arm in learned(device, own)]
    found += [arm for each in records if each.study == "steps" for arm in steps(each)]
    judged = arms.nested(arms.judged(found))
    return [
        Device(device, own, [*judged[device][""].values()], judged[device].get(STEP, {}))
        for device, own in trained.items()
    ]


def learned(device: str, records: Mapping[str, Record]) -> list[Arm]:
    """The accuracies of one device."""
    runs = {name: accuracy.runs(each) for name, each in records.items()}
    best = accuracy.best_but(PLACEBO, runs)
    extras = {name: _extras(own) for name, own in runs.items()}
    lost = {name: model.lost(each.status) for name, each in records.items()}
    return arms.learned(device, runs, NAMES, best, extras=extras, missing=lost)


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
    control = [arm.seen for arm in found if arm.name == PLACEBO and arm.seen]
    reach = max((max(1 - seen.low, seen.high - 1) for seen in control), default=0.0)
    return [
        replace(arm, seen=replace(arm.seen, noise=max(arm.seen.noise, reach))) if arm.seen else arm
        for arm in found
    ]


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and activation, and one per device of the steps."""
    devices = {here.name: here for here in compared(records)}
    every = [arm for here in devices.values() for arm in (*here.arms, *here.steps.values())]
    times = arms.beside(
        (arm for arm in every if arm.group == STEP), "time of a step against ReLU's"
    )
    return Findings(
        **vars(question.joined({name: _tell(here) for name, here in devices.items()})),
        numbers={name: _numbers(here) for name, here in devices.items() if here.reference},
        why=question.on_each({name: _why(here) for name, here in devices.items()}),
        method=_method(records),
        caveats=_caveats(devices.values()),
        views=[
            view
            for here in devices.values()
            for view in sweep.differences(
                TITLE, here.arms, f"{NAMES.get(here.best)}, {BEST}", here.name
            )
        ]
        or question.nothing(TITLE),
        table=arms.table(
            [arm for arm in every if arm.group != STEP],
            "activation",
            value="test accuracy",
            unit="%",
            scale=100,
            against=f"against {BEST}",
            extra={
                **times,
                "rate": arms.extra("rate", say.setting),
                "dead units": arms.extra("dead_share", say.share),
                "gradient norm at the start": arms.extra("gradient_norm_start", say.number),
            },
        ),
        frame=trials.frame(records, map(arms.flat, every)),
    )


# ---- telling ------------------------------------------------------------------------------------


def _tell(here: Device) -> Told:
    """The best in validation with its test accuracy, and how the others came out beside it."""
    best, lost = here.reference, [arm.label for arm in here.others if arm.lost]
    by_word = {word: [arm.label for arm in here.others if arm.word == word] for word in Word}
    cannot = "Cannot tell which activation works best"
    if best is None or best.value is None:
        named = say.few([f"{arm.label} {arm.lost}" for arm in here.arms], 1)
        return Told("Nothing to compare", f"{cannot}: {named}.", "", here.cells)
    better, worse, unknown = by_word[Word.BETTER], by_word[Word.WORSE], by_word[Word.UNKNOWN]
    reached = f"test accuracy {say.accuracy(best.value)}"
    told = {"Better": better, "Not compared": lost}
    if len(lost) == len(here.others):
        first = f"{cannot}: nothing to compare {best.label} with, {reached}"
    elif len(unknown) + len(lost) == len(here.others):
        first = f"{cannot}: {best.label} in validation, with {reached}"
    elif unknown:
        but = f"but cannot be told from {say.few(unknown, 1)}"
        first = f"{best.label} works best in validation, {but}: {reached}"
    else:
        ahead = worse and not better  # where all are the same, none works best
        first = f"{best.label} {'works best' if ahead else 'was best in validation'}: {reached}"
        told["The same"] = by_word[Word.SAME]
    more = [f" {heading}: {say.few(names, 1)}." for heading, names in told.items() if names]
    counts = {word.value: len(names) for word, names in by_word.items()} | {"lost": len(lost)}
    counted = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
    short = f"{best.label}; {counted or 'nothing to compare it with'}"
    # Something is to be preferred only where others were found worse, and none better.
    so = f"Use {best.label} rather than {say.few(worse, 4)}." if worse and not better else ""
    return Told(short, f"{first}.{''.join(more)}", so, here.cells)


def _why(here: Device) -> list[str]:
    """What the seeds could have shown, and whether the placebo is what it must be."""
    resolution = accuracy.resolution(here.real, here.best)
    return resolution + accuracy.placebo_told(here.placebo_difference, NAMES[IGNORED_AS])


def _numbers(here: Device) -> dict[str, Any]:
    return accuracy.detectable(here.real, here.best) | {
        "placebo_difference": here.placebo_difference,
        **sweep.numbers_by_name(here.arms),
        "steps": arms.worded(here.steps),
    }


def _method(records: Sequence[Record]) -> list[str]:
    trained: Any = next((each for each in records if each.study == "activation"), None)
    if not trained:
        return []
    settings, data = trained.settings, trained.provenance.dataset
    rates = say.listed(map(say.setting, settings["rates"]), "or")
    return [
        f"A {'-'.join(map(str, [784, *settings['hidden'], 10]))} perceptron, SGD with batches of "
        f"{settings['batch']}, pixels between 0 and 1, torch's initialisation"
        f"{f', {data.name}' if data else ''}. Each activation's rate is the best of {rates} after "
        f"{say.plural(settings['tuning_epochs'], 'epoch')}, judged on validation images with a "
        "seed that is not used again.",
        f"Then {accuracy.runs_told(settings)}",
        "Steps were timed apart from the trainings. The placebo's step is ReLU's, and no "
        "difference is told that it reached as well.",
    ]


def _caveats(devices: Iterable[Device]) -> list[str]:
    tried = (
        (arm.label, [*accuracy.tuned(here.records[arm.name])], arm.extras.get("rate"))
        for here in devices
        for arm in here.arms
        if arm.name != PLACEBO
    )
    return [
        "One architecture, one data set: another depth can order the activations otherwise.",
        "A published answer compared ReLU with itself five times: its network ignored the "
        "argument, as the placebo does.",
        *accuracy.at_the_edge(tried),
    ]


main = partial(question.run, "activation", answer)

if __name__ == "__main__":
    main()
