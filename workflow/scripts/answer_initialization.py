"""Does the initialisation matter? Test accuracy by initialisation and depth, paired by seed.

At each depth the reference is the best on the validation images. How the spread of the signals
changes from layer to layer before any step is set beside the law of He et al. (2015).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import geometric_mean
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, inference, model, question, say, sweep, trials, verdict
from assay.answer.accuracy import REST, Effect
from assay.answer.arms import Arm, Role
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Status

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
ALIKE = ("constant", "zeros")  # all units of a layer: gradients in it are 0 but for rounding
UNCENTRED = ("uniform_0_1", *ALIKE)  # the mean of their weights is not 0, or their spread is
FAR = 0.15  # what lies further behind the best is told, lest it take the room of the others
LEARNED = 0.2  # under twice the accuracy of guessing one of ten classes, nothing was learned
TITLE = "Test accuracy by initialisation"
COLUMNS = {
    "rate": arms.extra("rate", say.setting),
    "loss at the start": arms.extra("loss", say.number),
    "activations, × per layer": arms.extra("activation_factor", say.number),
    "gradients backwards, × per layer": arms.extra("gradient_factor", say.number),
    "law, × per layer": arms.extra("law", say.number),
    "dead units": arms.extra("dead_share", say.share),
    "copied units": arms.extra("copied_share", say.share),
}
# The effects whose shares of the variance are told, and their names; what is left is REST.
EFFECTS: dict[Effect, str] = {
    ("initialization",): "initialisation",
    ("depth",): "depth",
    ("initialization", "depth"): "initialisation × depth",
    ("seed",): "seed",
}
Shares = dict[str, Any]  # over which set, its arms, and the share of each effect


# ---- what was trained ---------------------------------------------------------------------------


def finished(runs: pd.DataFrame) -> bool:
    """Whether every run came to some network, if only to one that guesses; none was refused."""
    known = "test_accuracy" in runs and runs["test_accuracy"].notna().all()
    return bool(known and runs["status"].isin([Status.OK, Status.DIVERGED]).all())


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
    return geometric_mean(positive) if positive and len(positive) == len(values) else None


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
        **{key: float(runs[key].mean()) for key in ("dead_share", "copied_share")},
    }


@dataclass(frozen=True)
class Level:
    """What was found on one device at one depth."""

    device: str
    depth: int
    runs: Mapping[str, pd.DataFrame]  # of those whose runs all came to a network
    arms: Sequence[Arm]  # best test accuracy first, then what was not measured
    best: Arm | None  # in validation, the reference; None where runs of every one diverged
    learned: Sequence[Arm]  # with every seed; the placebo only where there is nothing else
    failed: Sequence[Arm]  # did not learn, or diverged with some seed; the same of the placebo
    different: Sequence[Arm]  # of those that learned: found better or worse than the reference
    main: Main  # the headline rests on whether one fails or differs here, or all are the same

    @property
    def judged(self) -> tuple[dict[str, pd.DataFrame], str | None]:
        """The runs of the reference and of all others that learned, and which the reference is."""
        best = self.best.name if self.best else None
        names = {arm.name for arm in self.learned} | {best}
        return {name: own for name, own in self.runs.items() if name in names}, best


def compared(records: Sequence[Record]) -> list[Level]:
    """Every device and depth, the shallowest first; all is judged as one family."""
    ordered = sorted(records, key=lambda each: int(str(each.axes["depth"])))
    places = arms.grouped(ordered, lambda each: f"{each.axes['device']} {each.axes['depth']}")
    runs = {place: _runs(own) for place, own in places.items()}
    found = [arm for place, own in places.items() for arm in _arms(own, runs[place])]
    judged = arms.grouped(arms.judged(found), lambda arm: f"{arm.device} {arm.group}")
    return [_level(judged[place], runs[place]) for place in places]


def _runs(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    every = {str(each.axes["initialization"]): accuracy.runs(each) for each in records}
    return {name: own for name, own in every.items() if finished(own)}


def _arms(records: Sequence[Record], runs: Mapping[str, pd.DataFrame]) -> list[Arm]:
    """Those of one place, not yet judged."""
    device, depth = (str(records[0].axes[axis]) for axis in ("device", "depth"))
    by_name = {str(each.axes["initialization"]): each for each in records}
    best = accuracy.best_but(PLACEBO, runs)
    told = {name: extras(by_name[name], own) for name, own in runs.items()}
    found = arms.learned(device, runs, NAMES, best, group=depth, extras=told)
    # What diverged has the accuracy of the networks that its runs left, and is not compared.
    found = [replace(arm, value=accuracy.mean(runs[arm.name])) for arm in found]
    found.sort(key=lambda arm: -arm.extras["test_accuracy"])
    lost = {n: model.lost(each.status) for n, each in by_name.items() if n not in runs}
    return found + [Arm(device, depth, name, NAMES[name], lost=why) for name, why in lost.items()]


def _level(found: Sequence[Arm], runs: Mapping[str, pd.DataFrame]) -> Level:
    measured, depth = [arm for arm in found if arm.value], int(found[0].group)
    real = [arm for arm in measured if arm.name != PLACEBO] or measured
    best = next((arm for arm in found if arm.role == Role.ANCHOR), None)
    learned = [arm for arm in real if arm.extras["learned"] and not arm.lost]
    failed = [arm for arm in real if arm not in learned]
    different = [arm for arm in learned if arm.different]
    same = {arm.word for arm in real if arm.word} == {Word.SAME} and not failed
    told = (learned and failed) or different or same
    main = Main(say.plural(depth, "hidden layer"), None if told else Word.UNKNOWN)
    return Level(found[0].device, depth, runs, found, best, learned, failed, different, main)


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
    seen = [accuracy.variance_shares(part, "test_accuracy", [*EFFECTS]) for part in subsets]
    found = {name: [e[effect] for e in seen] for effect, name in (EFFECTS | {REST: REST}).items()}
    return {name: {"value": e[0], "low": min(e), "high": max(e)} for name, e in found.items()}


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device, initialisation and depth."""
    levels, names = compared(records), trials.devices(records)
    devices = {name: [level for level in levels if level.device == name] for name in names}
    trained = {name: [level for level in own if level.runs] for name, own in devices.items()}
    shares = {name: accuracy_shares(own) for name, own in trained.items()}
    told = question.joined({name: _tell(own) for name, own in devices.items()})
    found = [arm for level in levels for arm in level.arms]
    views = [
        view
        for level in sorted(levels, key=lambda level: -level.depth)
        for view in _view(level, say.on(level.device, names))
    ]
    return Findings(
        **vars(replace(told, so=_so([level for own in trained.values() for level in own]))),
        numbers={name: _numbers(own, shares[name]) for name, own in trained.items() if own},
        why=question.on_each({name: _why(own, shares[name]) for name, own in trained.items()}),
        method=_method(records),
        caveats=_caveats(records[0].settings, levels),
        views=views or question.nothing(TITLE, "Nothing to compare"),
        switch="Depth",
        table=arms.table(
            found,
            "initialisation",
            value="test accuracy",
            unit="%",
            scale=100,
            against="against the best in validation",
            group="hidden layers",
            extra=COLUMNS,
        ),
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
    failing = [level for level in levels if level.learned and level.failed]
    differing = [level for level in levels if level.different]
    here = (failing or differing or levels)[-1]
    if failing:
        tried = len(here.failed) + len(here.learned)
        failed = f"with {here.main.name} {len(here.failed)} of {tried} failed to learn"
        deeper = ", the more so the deeper" if _deeper(levels[0], levels[-1]) else ""
        best = here.best and here.best.value
        reached = f", the best reaches {say.accuracy(best)}" if best else ""
        return f"Matters; {failed}", f"Initialisation matters{deeper}: {failed}{reached}."
    known = all(level.main.told for level in levels)
    does = "matters a little" if differing else "does not matter here" if known else ""
    start = f"Initialisation {does}" if does else "Cannot tell whether initialisation matters"
    return say.capital(does or "cannot tell"), f"{start}: with {here.main.name} {_most(here)}."


def _deeper(first: Level, last: Level) -> bool:
    """Whether what learns at the smallest depth fails at the greatest, and nothing the reverse."""
    (failed, learned), (failed_deep, learned_deep) = (
        ({arm.name for arm in level.failed}, {arm.name for arm in level.learned})
        for level in (first, last)
    )
    return bool(learned & failed_deep) and not failed & learned_deep


def _most(level: Level) -> str:
    """The largest difference between those that learn; or what the only one of them reaches."""
    if seen := level.different or [arm for arm in level.learned if arm.seen]:
        most = max(seen, key=lambda arm: abs(arm.relative))
        return f"{most.label} differs most, by {say.points(most.seen)} points"
    alone = "with nothing to compare it with"
    reached = [f"{arm.label} reaches {say.accuracy(arm.value)}, {alone}" for arm in level.learned]
    return " and ".join(reached) or "nothing learns"


def _so(levels: Sequence[Level]) -> str:
    """What to prefer: only where others fail or are worse, and these nowhere."""
    poor = {arm.name for level in levels for arm in level.failed}
    poor |= {arm.name for level in levels for arm in level.learned if arm.word == Word.WORSE}
    tried = [name for name in SCALED if all(name in level.runs for level in levels)]
    good = [SCALED[name] for name in tried if name not in poor]
    if not good or poor <= set(SCALED):
        return ""
    does = "do" if len(good) > 1 else "does"
    return f"Scale the weights to the layer's width, as {say.few(good, 2)} {does}."


def _why(levels: Sequence[Level], shares: Sequence[Shares]) -> list[str]:
    """What the seeds could have shown, shares of the variance, and the placebo."""
    texts = [f"With {e.main.name}: {t}" for e in levels for t in accuracy.resolution(*e.judged)]
    if shares:
        told = say.listed(f"{_share(own['shares'])} over {own['over']}" for own in shares)
        texts.append(f"The initialisation's share of the variance of test accuracy (ω²) is {told}.")
    return texts + accuracy.placebo_told(_placebo_difference(levels), NAMES[IGNORED_AS])


def _share(shares: Mapping[str, Mapping[str, float]]) -> str:
    seen = shares["initialisation"]
    value, low, high = (f"{100 * seen[end]:.0f}" for end in ("value", "low", "high"))
    return f"{value} %" if low == high else f"{value} % [{low}, {high} without any one seed]"


def _placebo_difference(levels: Sequence[Level]) -> float | None:
    """Largest difference between the placebo and the default at any depth of a device."""
    pairs = (accuracy.placebo_difference(each.runs, PLACEBO, IGNORED_AS) for each in levels)
    return max((each for each in pairs if each is not None), default=None)


def _numbers(levels: Sequence[Level], shares: Sequence[Shares]) -> dict[str, Any]:
    return {
        "placebo_difference": _placebo_difference(levels),
        "depths": {
            str(level.depth): accuracy.detectable(*level.judged)
            | {"arms": {arm.name: _arm_numbers(arm) for arm in level.arms if arm.value}}
            for level in levels
        },
        "variance_shares": shares,
    }


def _arm_numbers(arm: Arm) -> dict[str, Any]:
    return {**sweep.numbers_of(arm), "lost": arm.lost or None}


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    rates = say.listed(map(say.setting, settings["rates"]), "or")
    epochs = say.plural(settings["epochs"], "epoch")
    return [
        f"ReLU perceptrons with hidden layers of {settings['width']} units, SGD with batches of "
        f"{settings['batch']} at the rate {rates}, pixels between 0 and 1"
        f"{f', {data.name}' if data else ''}: {settings['seeds']} runs of {epochs}. The weights of "
        "the best epoch in validation are tested, once; a run that diverges counts as the network "
        f"that it left. Under {100 * LEARNED:.0f} %, twice guessing, is not learning.",
        "torch.nn.init draws with its default gains, biases are zero. The placebo asks for "
        "LazyLinear, finds none, and must be the default.",
        "“Per layer”: by what the spread of activations or gradients is multiplied before "
        "training. The law: σ·√(n/2) (He et al., 2015).",
    ]


def _caveats(settings: Any, levels: Sequence[Level]) -> list[str]:
    rates, width = settings["rates"], settings["width"]
    learned = [arm for level in levels for arm in level.learned]
    best = [(f"{arm.label} ({arm.group})", rates, arm.extras["rate"]) for arm in learned]
    untuned = "One rate for all: some could do better at another."
    tuned = "Each has the best rate of one tuning run with another seed."
    return [
        "Plain perceptrons, without the normalisation or residual connections that make the "
        "initialisation matter less.",
        f"N(0, σ) fits some width by luck: at {width} units He's σ is {math.sqrt(2 / width):.2g}.",
        *([tuned, *accuracy.at_the_edge(best)] if len(rates) > 1 else [untuned]),
    ]


def _view(level: Level, on: str) -> list[Shown]:
    """The differences to the best at one depth; none without a comparison."""
    best = f"{level.best.label}, the best in validation" if level.best else ""
    shown, title = [*map(_near, level.arms)], f"{TITLE}, {level.main.name}"
    return sweep.differences(title, shown, best, f"{on}{level.depth}")


def _near(arm: Arm) -> Arm:
    """The arm as it is drawn: what failed or lies far behind is told, without a dot."""
    if arm.value and (arm.lost or not arm.extras["learned"]):
        return replace(arm, seen=None, lost="diverged" if arm.lost else "does not learn")
    return replace(arm, seen=None, lost=arm.told) if arm.seen and arm.seen.value < -FAR else arm


main = partial(question.run, "initialization", answer)

if __name__ == "__main__":
    main()
