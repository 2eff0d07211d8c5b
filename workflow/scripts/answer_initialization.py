"""Does the initialisation matter? Test accuracy by initialisation and depth, paired by seed.

At each depth the reference is the one with the best accuracy on the validation images, so that the
test images choose nothing. How the spread of the signals changes from layer to layer before any
step is set beside the law that the initialisations were derived from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from assay.answer import accuracy, arms, inference, model, question, say, sweep, trials, verdict
from assay.answer.accuracy import REST, Effect
from assay.answer.arms import Arm, Role
from assay.answer.model import Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Phase, Record, Status

PLACEBO, IGNORED_AS = "placebo", "default"  # the arm that matches no layer, and what it then is
# Those whose spread follows the layer's width.
SCALED = {
    "kaiming_normal": "Kaiming normal",
    "kaiming_uniform": "Kaiming uniform",
    "xavier_normal": "Xavier normal",
    "xavier_uniform": "Xavier uniform",
    "orthogonal": "orthogonal",
    "default": "PyTorch's default",
}
NAMES = SCALED | {
    "placebo": "placebo (default)",
    "normal_0_1": "N(0, 0.1)",
    "normal_0_01": "N(0, 0.01)",
    "normal_0_001": "N(0, 0.001)",
    "normal_1": "N(0, 1)",
    "uniform_0_1": "U(0, 1)",
    "constant": "constant 0.01",
    "zeros": "zeros",
}
# All units of a layer alike. Scores are then alike, too, and the gradients in the hidden layers
# cancel: they are 0 but for rounding.
ALIKE = ("constant", "zeros")
UNCENTRED = ("uniform_0_1", *ALIKE)  # the mean of their weights is not 0, or their spread is
FAR = 0.15  # what lies further behind the best is told, lest it take the room of the others
LEARNED = 0.2  # under twice the accuracy of guessing one of ten classes, nothing was learned
TITLE = "Test accuracy by initialisation"
# The effects whose shares of the variance are told; what is left is REST.
EFFECTS: list[Effect] = [("initialization",), ("depth",), ("initialization", "depth"), ("seed",)]
Shares = dict[str, Any]  # over which set, its arms, and the share of each effect


# ---- what was trained ---------------------------------------------------------------------------


def finished(each: Record) -> bool:
    """Whether every run of a record came to some network, if only to one that guesses."""
    counted = [trial for trial in each.trials if trial.what.get("phase") == Phase.TRAINING]
    left = (Status.OK, Status.DIVERGED)  # what was refused is no network to speak of
    return bool(counted) and all(
        trial.status in left and "test_accuracy" in trial.result for trial in counted
    )


def factor(stds: Sequence[float | None]) -> float | None:
    """By what a spread is multiplied from one hidden layer to the next, geometric mean.

    None where there is no next hidden layer, or where the spread is zero or not finite.
    """
    hidden = stds[:-1]
    if len(hidden) < 2 or not hidden[0] or not hidden[-1]:
        return None
    return (hidden[-1] / hidden[0]) ** (1 / (len(hidden) - 1))


def middle(values: Sequence[float | None]) -> float | None:
    """Geometric mean over seeds; None where one of them has no positive value."""
    positive = [value for value in values if value]
    if not positive or len(positive) < len(values):
        return None
    return math.exp(float(np.mean(np.log(positive))))


def extras(each: Record, runs: pd.DataFrame) -> dict[str, Any]:
    """What is told of a record besides its verdict; diverged runs count as the networks they left.

    The law of He et al. (2015) holds, in both directions, for weights of mean 0 and spread σ
    between layers of n units with ReLU, without biases: σ·√(n/2) per layer. σ is measured.
    """
    name, width = str(each.axes["initialization"]), float(str(each.settings["width"]))
    starts: list[Any] = [t for t in each.trials if t.what["phase"] == "start" and t.samples]
    forwards, backwards = (
        middle([factor(start.samples[key]) for start in starts])
        for key in ("activation_std", "gradient_std")
    )
    sigma = middle([std for start in starts for std in start.samples["weight_std"][1:-1]])
    seen = inference.mean(runs["test_accuracy"])
    return {
        **verdict.ends("test_accuracy", seen),
        "learned": seen.value >= LEARNED,
        "rate": float(runs["rate"].iloc[0]),
        "loss": middle([start.result.get("loss") for start in starts]),
        "activation_factor": forwards,
        "gradient_factor": 1 / backwards if backwards and name not in ALIKE else None,
        "law": sigma * math.sqrt(width / 2) if sigma and name not in UNCENTRED else None,
        "dead_share": float(runs["dead_share"].mean()),
        "copied_share": float(runs["copied_share"].mean()),
    }


# ---- comparing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """What was found on one device at one depth."""

    device: str
    depth: int
    records: Mapping[str, Record]  # those whose runs all came to a network
    runs: Mapping[str, pd.DataFrame]
    arms: Sequence[Arm]  # best test accuracy first, then what was not measured

    @property
    def name(self) -> str:
        """How deep."""
        return say.plural(self.depth, "hidden layer")

    @property
    def reference(self) -> Arm | None:
        """What the others were compared with; None where runs of every one diverged."""
        return next((arm for arm in self.arms if arm.role == Role.ANCHOR), None)

    @property
    def real(self) -> list[Arm]:
        """All that was measured but the placebo, which counts only where there is nothing else."""
        measured = [arm for arm in self.arms if arm.value]
        return [arm for arm in measured if arm.name != PLACEBO] or measured

    @property
    def learned(self) -> list[Arm]:
        """Those that learned with every seed."""
        return [arm for arm in self.real if arm.extras["learned"] and not arm.lost]

    @property
    def failed(self) -> list[Arm]:
        """Those that did not learn, or diverged with some seed."""
        return [arm for arm in self.real if arm not in self.learned]

    @property
    def telling(self) -> list[Arm]:
        """Those that failed where others did not: only beside these is a failure a difference."""
        return self.failed if self.learned else []

    @property
    def different(self) -> list[Arm]:
        """Those that learned, and were found better or worse than the reference."""
        return [arm for arm in self.learned if arm.different]

    @property
    def same(self) -> bool:
        """Whether all that was compared is the same."""
        return {arm.word for arm in self.real if arm.word} == {Word.SAME} and not self.failed

    @property
    def main(self) -> Main:
        """The headline rests on whether one fails or differs here."""
        told = self.telling or self.different or self.same
        return Main(self.name, None if told else Word.UNKNOWN)

    @property
    def judged(self) -> dict[str, pd.DataFrame]:
        """The runs of the reference and of all others that learned, the placebo apart."""
        names = [arm.name for arm in [*self.learned, self.reference] if arm]
        return {name: self.runs[name] for name in names}


def compared(records: Sequence[Record]) -> list[Level]:
    """Every device and depth, the shallowest first; all is judged as one family."""
    cells: dict[tuple[str, int], dict[str, Record]] = {}
    for each in sorted(records, key=lambda each: int(str(each.axes["depth"]))):
        where = (str(each.axes["device"]), int(str(each.axes["depth"])))
        cells.setdefault(where, {})[str(each.axes["initialization"])] = each
    levels = [_level(device, depth, own) for (device, depth), own in cells.items()]
    judged = iter(arms.judged([arm for level in levels for arm in level.arms]))
    return [replace(level, arms=[next(judged) for _ in level.arms]) for level in levels]


def _level(device: str, depth: int, records: Mapping[str, Record]) -> Level:
    trained = {name: each for name, each in records.items() if finished(each)}
    runs = {name: accuracy.runs(each) for name, each in trained.items()}
    best = accuracy.best_but(PLACEBO, runs)
    told = {name: extras(each, runs[name]) for name, each in trained.items()}
    found = arms.learned(device, runs, NAMES, best, group=str(depth), extras=told)
    # What diverged has the accuracy of the networks that its runs left, and is not compared.
    found = [replace(arm, value=accuracy.mean(runs[arm.name])) for arm in found]
    found.sort(key=lambda arm: -arm.extras["test_accuracy"])
    lost = {name: model.lost(each.status) for name, each in records.items() if name not in trained}
    found += [Arm(device, str(depth), name, NAMES[name], lost=why) for name, why in lost.items()]
    return Level(device, depth, trained, runs, found)


# ---- shares of the variance ---------------------------------------------------------------------


def accuracy_shares(levels: Sequence[Level]) -> list[Shares]:
    """Shares of the variance of test accuracy on one device, over the arms measured throughout."""
    runs = [
        own[["seed", "test_accuracy"]].assign(initialization=name, depth=level.depth)
        for level in levels
        for name, own in level.runs.items()
        if name != PLACEBO
    ]
    if not runs:
        return []
    rows = pd.concat(runs)
    counts = rows["initialization"].value_counts()
    throughout = rows["depth"].nunique() * rows["seed"].nunique()
    whole = tuple(name for name in NAMES if counts.get(name) == throughout)
    scaled = tuple(name for name in whole if name in SCALED)
    sets = {whole: "all initialisations", scaled: "those scaled to the layer's width"}
    return [
        {
            "over": over,
            "arms": [NAMES[name] for name in names],
            "shares": _shares(rows[rows["initialization"].isin(names)]),
        }
        for names, over in sets.items()
        if len(names) > 1
    ]


def _shares(runs: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Each share over all seeds, with the range of those that leave one seed out."""
    seeds = list(runs["seed"].unique())
    subsets = [runs] + [runs[runs["seed"] != seed] for seed in seeds if len(seeds) > 2]
    seen = [accuracy.variance_shares(part, "test_accuracy", EFFECTS) for part in subsets]
    found = {effect: [each[effect] for each in seen] for effect in (*EFFECTS, REST)}
    return {
        (effect if effect == REST else " × ".join(effect)).replace("ization", "isation"): {
            "value": shares[0], "low": min(shares), "high": max(shares)
        }
        for effect, shares in found.items()
    }  # fmt: skip


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device, initialisation and depth."""
    levels, names = compared(records), trials.devices(records)
    devices = {name: [level for level in levels if level.device == name] for name in names}
    shares = {name: accuracy_shares(own) for name, own in devices.items()}
    told = question.joined({name: _tell(own) for name, own in devices.items()})
    found = [arm for level in levels for arm in level.arms]
    return Findings(
        **vars(replace(told, so=_so([level for level in levels if level.runs]))),
        numbers={
            name: _numbers(own, shares[name])
            for name, own in devices.items()
            if any(level.runs for level in own)
        },
        why=question.on_each({name: _why(own, shares[name]) for name, own in devices.items()}),
        method=_method(records),
        caveats=_caveats(records, levels),
        views=[
            view
            for level in sorted(levels, key=lambda level: -level.depth)
            for view in _view(level, say.on(level.device, names))
        ]
        or question.nothing(TITLE, "Nothing to compare" if found else "Not measured"),
        switch="Depth",
        table=_table(found),
        frame=trials.frame(records, map(arms.flat, found)),
    )


def _tell(levels: Sequence[Level]) -> Told:
    """Whether it matters; that rests on every depth, and on what could not be measured there."""
    trained = [level for level in levels if level.runs]
    missing = [
        Main(f"{arm.label} ({arm.group})", lost=arm.lost)
        for level in levels
        for arm in level.arms
        if not arm.value and arm.name != PLACEBO
    ]
    cells = [*(level.main for level in trained), *missing]
    if not trained:
        return Told("Not measured", question.NOTHING, "", cells)
    short, sentence = _verdict(trained)
    lost = say.few([each.name for each in missing], 1)
    return Told(short, sentence + (f" Not measured: {lost}." if lost else ""), "", cells)


def _verdict(levels: Sequence[Level]) -> tuple[str, str]:
    """What happens at the greatest depth at which anything does: short, and as a sentence."""
    failing = [level for level in levels if level.telling]
    differing = [level for level in levels if level.different]
    here = (failing or differing or levels)[-1]
    if failing:
        failed = f"with {here.name} {len(here.failed)} of {len(here.real)} failed to learn"
        deeper = ", the more so the deeper" if _deeper(levels) else ""
        best = here.reference
        reached = f", the best reaches {say.accuracy(best.value)}" if best and best.value else ""
        return f"Matters: {failed}", f"Initialisation matters{deeper}: {failed}{reached}."
    if differing:
        short, start = "Matters a little", "Initialisation matters a little"
    elif all(level.same for level in levels):
        short, start = "Does not matter here", "Initialisation does not matter here"
    else:
        short, start = "Cannot tell", "Cannot tell whether initialisation matters"
    return short, f"{start}: with {here.name} {_most(here)}."


def _deeper(levels: Sequence[Level]) -> bool:
    """Whether what learns at the smallest depth fails at the greatest, and nothing the reverse."""
    (failed, learned), (failed_deep, learned_deep) = (
        ({arm.name for arm in level.failed}, {arm.name for arm in level.learned})
        for level in (levels[0], levels[-1])
    )
    return bool(learned & failed_deep) and not failed & learned_deep


def _most(level: Level) -> str:
    """The largest difference between those that learn; or what the only one of them reaches."""
    seen = level.different or [arm for arm in level.learned if arm.seen]
    if seen:
        most = max(seen, key=lambda arm: abs(arm.relative))
        return f"{most.label} differs most, by {say.points(most.seen)} points"
    return " and ".join(
        f"{arm.label} reaches {say.accuracy(arm.value)}, with nothing to compare it with"
        for arm in level.learned
    ) or "nothing learns"  # fmt: skip


def _so(levels: Sequence[Level]) -> str:
    """What to prefer: only where others fail or are worse, and these nowhere."""
    poor = {arm.name for level in levels for arm in level.failed}
    poor |= {arm.name for level in levels for arm in level.real if arm.word == Word.WORSE}
    tried = [name for name in SCALED if all(name in level.runs for level in levels)]
    good = [SCALED[name] for name in tried if name not in poor]
    if not good or poor <= set(SCALED):
        return ""
    does = "do" if len(good) > 1 else "does"
    return f"Scale the weights to the layer's width, as {say.few(good, 2)} {does}."


def _why(levels: Sequence[Level], shares: Sequence[Shares]) -> list[str]:
    """What the seeds could have shown, shares of the variance, and the placebo."""
    texts = [
        f"With {level.name}: {text}"
        for level in levels
        for text in accuracy.resolution(level.judged, level.reference and level.reference.name)
    ]
    if shares:
        told = say.listed(
            f"{_share(each['shares']['initialisation'])} over {each['over']}" for each in shares
        )
        texts.append(f"The initialisation's share of the variance of test accuracy (ω²) is {told}.")
    return texts + accuracy.placebo_told(_placebo_difference(levels), NAMES[IGNORED_AS])


def _share(seen: Mapping[str, float]) -> str:
    value, low, high = (f"{100 * seen[end]:.0f}" for end in ("value", "low", "high"))
    return f"{value} %" if low == high else f"{value} % [{low}, {high} without any one seed]"


def _placebo_difference(levels: Sequence[Level]) -> float | None:
    """Largest difference between the placebo and the default at any depth of a device."""
    pairs = (accuracy.placebo_difference(each.runs, PLACEBO, IGNORED_AS) for each in levels)
    return max((each for each in pairs if each is not None), default=None)


def _numbers(levels: Sequence[Level], shares: Sequence[Shares]) -> dict[str, Any]:
    return {
        "placebo_difference": _placebo_difference(levels),
        "depths": {str(level.depth): _level_numbers(level) for level in levels if level.runs},
        "variance_shares": shares,
    }


def _level_numbers(level: Level) -> dict[str, Any]:
    return accuracy.detectable(level.judged, level.reference and level.reference.name) | {
        "arms": {
            arm.name: {**sweep.numbers_of(arm), "lost": arm.lost or None}
            for arm in level.arms
            if arm.value
        }
    }


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    rates = say.listed(map(say.setting, settings["rates"]), "or")
    return [
        f"ReLU perceptrons with hidden layers of {settings['width']} units, SGD with batches of "
        f"{settings['batch']} at the rate {rates}, pixels between 0 and 1"
        f"{f', {data.name}' if data else ''}: {settings['seeds']} runs of "
        f"{say.plural(settings['epochs'], 'epoch')}. The "
        "weights of the best epoch in validation are tested, once; a run that diverges counts as "
        f"the network that it left. Under {100 * LEARNED:.0f} %, twice guessing, is not learning.",
        "torch.nn.init draws with its default gains, biases are zero. The placebo asks for "
        "LazyLinear, finds none, and must be the default.",
        "“Per layer”: by what the spread of activations or gradients is multiplied before "
        "training. The law: σ·√(n/2) (He et al., 2015).",
    ]


def _caveats(records: Sequence[Record], levels: Sequence[Level]) -> list[str]:
    settings: Any = records[0].settings
    tried = (
        (f"{arm.label} ({arm.group})", rates, arm.extras["rate"])
        for level in levels
        for arm in level.learned
        if (rates := [*accuracy.tuned(level.records[arm.name])])
    )
    return [
        "Plain perceptrons, without the normalisation or residual connections that make the "
        "initialisation matter less.",
        f"N(0, σ) fits some width by luck: at {settings['width']} units He's σ is "
        f"{math.sqrt(2 / settings['width']):.2g}.",
        "One rate for all: some could do better at another."
        if len(settings["rates"]) == 1
        else "Each has the best rate of one tuning run with another seed.",
        *accuracy.at_the_edge(tried),
    ]


# ---- showing ------------------------------------------------------------------------------------


def _table(found: Sequence[Arm]) -> Table:
    return arms.table(
        found,
        "initialisation",
        value="test accuracy",
        unit="%",
        scale=100,
        against="against the best in validation",
        group="hidden layers",
        extra={
            "rate": arms.extra("rate", say.setting),
            "loss at the start": arms.extra("loss", say.number),
            "activations, × per layer": arms.extra("activation_factor", say.number),
            "gradients backwards, × per layer": arms.extra("gradient_factor", say.number),
            "law, × per layer": arms.extra("law", say.number),
            "dead units": arms.extra("dead_share", say.share),
            "copied units": arms.extra("copied_share", say.share),
        },
    )


def _view(level: Level, on: str) -> list[Shown]:
    """The differences to the best at one depth; none without a comparison."""
    best = f"{level.reference.label}, the best in validation" if level.reference else ""
    shown = [_near(arm) for arm in level.arms]
    return sweep.differences(f"{TITLE}, {level.name}", shown, best, f"{on}{level.depth}")


def _near(arm: Arm) -> Arm:
    """The arm as it is drawn: what failed or lies far behind is told, without a dot."""
    if arm.value and (arm.lost or not arm.extras["learned"]):
        return replace(arm, seen=None, lost="diverged" if arm.lost else "does not learn")
    return replace(arm, seen=None, lost=arm.told) if arm.seen and arm.seen.value < -FAR else arm


main = partial(question.run, "initialization", answer)

if __name__ == "__main__":
    main()
