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
from assay.answer import accuracy, arms, inference, model, question, say, trials, verdict
from assay.answer.accuracy import REST, Effect
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis, Band, Row, Tone
from assay.answer.model import Cell, Main, Table
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
AS_MEANT = ("normal_1", "uniform_0_1")  # what the published solutions of the exercise meant
# All units of a layer alike. Scores are then alike, too, and the gradients in the hidden layers
# cancel: they are 0 but for rounding.
ALIKE = ("constant", "zeros")
UNCENTRED = ("uniform_0_1", *ALIKE)  # the mean of their weights is not 0, or their spread is
FAR = 0.15  # what lies further behind the best is told, lest it take the room of the others
LEARNED = 0.2  # under twice the accuracy of guessing one of ten classes, nothing was learned
TITLE = "Test accuracy by initialisation"

# The effects whose shares of the variance are told; what is left is REST.
EFFECTS: list[Effect] = [
    ("initialization",), ("depth",), ("initialization", "depth"), ("seed",),
]  # fmt: skip
TUNING_EFFECTS: list[Effect] = [
    ("initialization",), ("depth",), ("rate",),
    ("initialization", "depth"), ("initialization", "rate"), ("depth", "rate"),
]  # fmt: skip


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
    def failed(self) -> list[Arm]:
        """Those that did not learn, or diverged with some seed."""
        return [arm for arm in self.real if arm.lost or not arm.extras["learned"]]

    @property
    def telling(self) -> list[Arm]:
        """Those that failed where others did not: only beside these is a failure a difference."""
        return self.failed if len(self.failed) < len(self.real) else []

    @property
    def different(self) -> list[Arm]:
        """Those that learned, and were found better or worse than the reference."""
        return [arm for arm in self.real if arm.different and arm.extras["learned"]]

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
        names = [arm.name for arm in self.real if arm.extras["learned"]]
        names += [self.reference.name] if self.reference else []
        return {name: self.runs[name] for name in names}

    @property
    def drawn(self) -> list[Arm]:
        """Those whose dot is drawn; failures are told in words."""
        return [arm for arm in self.arms if arm.value and not arm.lost and arm.extras["learned"]]


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

Shares = dict[str, Any]  # over which set, its arms, and the share of each effect


def arm_sets(names: Sequence[str]) -> dict[str, list[str]]:
    """The sets of arms over which shares are given, by what they are called; repeats left out."""
    every = [name for name in names if name != PLACEBO]
    sets = {
        "all initialisations": every,
        "all but U(0, 1) and N(0, 1)": [name for name in every if name not in AS_MEANT],
        "those scaled to the layer's width": [name for name in every if name in SCALED],
    }
    chosen: dict[str, list[str]] = {}
    for over, members in sets.items():
        if len(members) > 1 and members not in chosen.values():
            chosen[over] = members
    return chosen


def shares_over(rows: pd.DataFrame, value: str, effects: Sequence[Effect]) -> list[Shares]:
    """Shares of the variance of a value, over each set of the arms that were measured throughout.

    Rows are of one device: a column per factor, and the value.
    """
    if rows.empty:
        return []
    runs = rows.groupby("initialization").size()
    others = [factor for factor in rows.columns if factor not in ("initialization", value)]
    whole = runs[runs == math.prod(rows[factor].nunique() for factor in others)].index
    return [
        {
            "over": over,
            "arms": [NAMES[name] for name in names],
            "shares": _shares(rows[rows["initialization"].isin(names)], value, effects),
        }
        for over, names in arm_sets([name for name in NAMES if name in whole]).items()
    ]


def _shares(
    runs: pd.DataFrame, value: str, effects: Sequence[Effect]
) -> dict[str, dict[str, float]]:
    """Each share over all seeds, with the range of those that leave one seed out."""
    seeds = list(runs["seed"].unique())
    subsets = [runs] + [runs[runs["seed"] != seed] for seed in seeds if len(seeds) > 2]
    seen = [accuracy.variance_shares(part, value, effects) for part in subsets]
    found = {effect: [each[effect] for each in seen] for effect in (*effects, REST)}
    return {
        (effect if effect == REST else " × ".join(effect)).replace("ization", "isation"): {
            "value": shares[0], "low": min(shares), "high": max(shares)
        }
        for effect, shares in found.items()
    }  # fmt: skip


def accuracy_shares(levels: Sequence[Level]) -> list[Shares]:
    """Shares of the variance of test accuracy on one device."""
    runs = [
        own[["seed", "test_accuracy"]].assign(initialization=name, depth=level.depth)
        for level in levels
        for name, own in level.runs.items()
    ]
    return shares_over(pd.concat(runs), "test_accuracy", EFFECTS) if runs else []


def tuning_shares(levels: Sequence[Level]) -> list[Shares]:
    """Shares of the variance of validation accuracy while tuning, with the rate as a factor.

    There is one seed, so that the interaction of all three factors is the rest.
    """
    rows = [
        {"initialization": name, "depth": level.depth, "rate": rate, "seed": 0, "accuracy": seen}
        for level in levels
        for name, each in level.records.items()
        for rate, seen in accuracy.tuned(each).items()
        if seen is not None
    ]
    return shares_over(pd.DataFrame(rows), "accuracy", TUNING_EFFECTS)


# ---- telling ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    on: str  # what stands before all that is said of it
    levels: Sequence[Level]  # those at which something was trained, the shallowest first
    missing: Sequence[Arm]  # what was asked for and has no accuracy
    shares: Sequence[Shares]
    tuning: Sequence[Shares]

    @property
    def placebo_difference(self) -> float | None:
        """Largest difference between the placebo and the default at any depth."""
        pairs = (accuracy.placebo_difference(e.runs, PLACEBO, IGNORED_AS) for e in self.levels)
        return max((each for each in pairs if each is not None), default=None)


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device, initialisation and depth."""
    levels, names = compared(records), trials.devices(records)
    devices = {name: _device(name, names, levels) for name in names}
    told = question.joined({name: _tell(here) for name, here in devices.items()})
    found = [arm for level in levels for arm in level.arms]
    deepest_first = sorted(levels, key=lambda level: -level.depth)
    views = [_view(level, len(names) > 1) for level in deepest_first if len(level.drawn) > 1]
    return Findings(
        **vars(replace(told, so=_so([level for level in levels if level.runs]))),
        numbers={name: _numbers(here) for name, here in devices.items() if here.levels},
        why=[here.on + text for here in devices.values() for text in _why(here)],
        method=_method(records),
        caveats=_caveats(records, levels),
        views=views or question.nothing(TITLE, "Nothing to compare" if found else "Not measured"),
        switch="Depth",
        folded=[view for here in devices.values() for view in _folded(here)],
        table=_table(found),
        frame=trials.frame(records, [*_layer_rows(records), *map(arms.flat, found)]),
    )


def _device(name: str, names: Sequence[str], levels: Sequence[Level]) -> Device:
    own = [level for level in levels if level.device == name]
    return Device(
        say.on(name, names),
        [level for level in own if level.runs],
        [arm for level in own for arm in level.arms if not arm.value and arm.name != PLACEBO],
        accuracy_shares(own),
        tuning_shares(own),
    )


def _tell(here: Device) -> Told:
    """Whether it matters; that rests on every depth, and on what could not be measured there."""
    lost = [Main(f"{arm.label} ({arm.group})", lost=arm.lost) for arm in here.missing]
    cells = [*(level.main for level in here.levels), *lost]
    if not here.levels:
        return Told("Not measured", question.NOTHING, "", cells)
    short, sentence = _verdict(here)
    missing = say.few([each.name for each in lost], 1)
    return Told(short, sentence + (f" Not measured: {missing}." if missing else ""), "", cells)


def _verdict(here: Device) -> tuple[str, str]:
    """What happens at the greatest depth at which anything does."""
    levels = here.levels
    if failing := [level for level in levels if level.telling]:
        last, number = failing[-1], len(failing[-1].failed)
        fail = "fails" if number == 1 else "fail"
        failure = f"with {last.name} {number} of {len(last.real)} {fail} to learn"
        deeper = ", the more so the deeper" if _deeper(levels) and not here.missing else ""
        return f"Matters: {failure}", f"Initialisation matters{deeper}: {failure}{_rest(last)}."
    if differing := [level for level in levels if level.different]:
        worst = _largest(differing[-1].different)
        verb = "loses" if worst.word == Word.WORSE else "gains"
        learn = "" if any(level.failed for level in levels) else "all learn, "
        return (
            f"Matters a little: up to {_points(worst).partition(' ')[0]} points",
            f"Initialisation matters a little: {learn}with {differing[-1].name} "
            f"{worst.label} {verb} {_points(worst)} points.",
        )
    short, start = "Cannot tell", "Cannot tell whether initialisation matters"
    if all(level.same for level in levels):
        short, start = "Does not matter here", "Initialisation does not matter here"
    return short, f"{start}: with {levels[-1].name} {_most(levels[-1])}."


def _most(level: Level) -> str:
    """What the arms of a level come to that does not tell them apart."""
    if level.failed:
        alone = len(level.real) == 1
        return f"{level.real[0].label} fails to learn" if alone else (
            f"none of {len(level.real)} learns"
        )  # fmt: skip
    if seen := [arm for arm in level.real if arm.seen]:
        return f"the largest difference is {_points(_largest(seen))} points"
    reached = [f"{arm.label} reaches {say.accuracy(arm.value)}" for arm in level.real if arm.value]
    return f"{reached[0]}, and there is nothing to compare it with"


def _deeper(levels: Sequence[Level]) -> bool:
    """Whether more do not learn at the greatest depth than at the smallest, or else differ."""

    def bad(level: Level) -> tuple[int, int]:
        failed = sum(not arm.extras["learned"] for arm in level.real)
        return failed, sum(arm.different for arm in level.real)

    return bad(levels[-1]) > bad(levels[0])


def _rest(level: Level) -> str:
    """What the others lose at most, or how far the best comes."""
    worse = [arm for arm in level.different if arm.word == Word.WORSE]
    if worse:
        return f", others lose up to {_points(_largest(worse))} points"
    best = level.reference
    return f", the best reaches {say.accuracy(best.value)}" if best and best.value else ""


def _largest(found: Sequence[Arm]) -> Arm:
    return max(found, key=lambda arm: abs(arm.seen.value) if arm.seen else 0.0)


def _points(arm: Arm) -> str:
    """How large a difference is, in percentage points, whatever its sign."""
    assert arm.seen
    turned = arm.seen.value < 0
    return say.points(arms.negative(arm.seen) if turned else arm.seen).removeprefix("+")


def _so(levels: Sequence[Level]) -> str:
    """What to prefer: only where others fail or are worse, and these nowhere."""
    poor = {arm.name for level in levels for arm in level.failed}
    poor |= {arm.name for level in levels for arm in level.real if arm.word == Word.WORSE}
    good = [
        label
        for name, label in SCALED.items()
        if name not in poor and all(name in level.runs for level in levels)
    ]
    if not good or poor <= set(SCALED):
        return ""
    does = "do" if len(good) > 1 else "does"
    return f"Scale the weights to the layer's width, as {say.few(good, 2)} {does}."


def _why(here: Device) -> list[str]:
    """What the seeds could have shown, shares of the variance, and the placebo."""
    texts = [
        f"With {level.name}: {text}"
        for level in here.levels
        for text in accuracy.resolution(level.judged, level.reference and level.reference.name)
    ]
    if here.shares:
        told = say.listed(
            f"{say.share(each['shares']['initialisation']['value'])} over {each['over']}"
            for each in here.shares
        )
        texts.append(f"The initialisation's share of the variance of test accuracy is {told}.")
    return texts + accuracy.placebo_told(here.placebo_difference, NAMES[IGNORED_AS])


def _numbers(here: Device) -> dict[str, Any]:
    return {
        "placebo_difference": here.placebo_difference,
        "depths": {str(level.depth): _level_numbers(level) for level in here.levels},
        "variance_shares": here.shares,
        "variance_shares_tuning": here.tuning,
    }


def _level_numbers(level: Level) -> dict[str, Any]:
    steps = {
        name: own["diverged_at_step"].dropna() if "diverged_at_step" in own else ()
        for name, own in level.runs.items()
    }
    return accuracy.detectable(level.judged, level.reference and level.reference.name) | {
        "arms": {
            arm.name: {
                **arm.extras,
                **accuracy.verdict_numbers(arm.seen, arm.word),
                "lost": arm.lost or None,
                "diverged_at_step": [*map(int, steps[arm.name])],
            }
            for arm in level.arms
            if arm.value
        }
    }


def _layer_rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """The spreads before training, a row per layer, for the tidy table."""
    return [
        {**each.axes, **trial.what, "layer": layer, **dict(zip(trial.samples, own, strict=True))}
        for each in records
        for trial in each.trials
        if trial.what["phase"] == "start"
        for layer, own in enumerate(zip(*trial.samples.values(), strict=True), start=1)
    ]


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    rates = say.listed(map(say.setting, settings["rates"]), "or")
    chosen = f"at the rate {rates}"
    if len(settings["rates"]) > 1:
        epochs = say.plural(settings["tuning_epochs"], "epoch")
        chosen = f"each at the best rate of {rates} after {epochs} with another seed"
    return [
        f"ReLU perceptrons with hidden layers of {settings['width']} units, SGD with batches of "
        f"{settings['batch']}, pixels between 0 and 1{f', {data.name}' if data else ''}, "
        f"{chosen}: {settings['seeds']} runs of {say.plural(settings['epochs'], 'epoch')}. The "
        "weights of the best epoch in validation are tested, once; a run that diverges counts as "
        f"the network that it left. Under {100 * LEARNED:.0f} %, twice guessing, is not learning.",
        "torch.nn.init draws with its default gains, biases are zero. The placebo asks for "
        "LazyLinear, finds none, and must be the default.",
        "“Per layer”: by what the spread of activations or gradients is multiplied before "
        "training. The law: σ·√(n/2) (He et al., 2015). Shares of the variance: ω², in brackets "
        "without any one seed.",
    ]


def _caveats(records: Sequence[Record], levels: Sequence[Level]) -> list[str]:
    settings: Any = records[0].settings
    tried = (
        (f"{arm.label} ({arm.group})", _learning(level.records[arm.name]), arm.extras["rate"])
        for level in levels
        for arm in level.arms
        if arm.extras.get("learned")
    )
    texts = [
        "Plain perceptrons, without the normalisation or residual connections that make the "
        "initialisation matter less.",
        f"N(0, σ) fits some width by luck: at {settings['width']} units He's σ is "
        f"{math.sqrt(2 / settings['width']):.2g}.",
    ]
    if len(settings["rates"]) == 1:
        texts.append("One rate for all: some could do better at another.")
    return texts + accuracy.at_the_edge(tried)


def _learning(each: Record) -> list[float]:
    """The rates that were tried and came to a network."""
    return [rate for rate, seen in accuracy.tuned(each).items() if seen is not None]


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


# ---- drawing ------------------------------------------------------------------------------------


def _view(level: Level, several: bool) -> Shown:
    """Test accuracy at one depth, with the sampling error of the best."""
    best = next(arm.value.value for arm in level.arms if arm.value and arm.role == Role.ANCHOR)
    margin = next(arm.seen.margin for arm in level.arms if arm.seen)
    grey = f"grey: sampling error, {100 * margin:.2f} points"
    return question.dotted(
        f"{TITLE}, {level.name}",
        {"": [_row(arm, best if arm in level.drawn else None) for arm in level.arms]},
        Axis("% of the test images (bar: 95 %; without a dot: far below)", within=(0, 100)),
        name=f"{level.depth} ({level.device})" if several else str(level.depth),
        band=Band(100 * (best - margin), 100 * (best + margin), grey),
        line=100 * best,
    )


def _row(arm: Arm, best: float | None) -> Row:
    """An arm beside the best accuracy; failures, which have no dot, in words."""
    label, note = _label(arm)
    if best is None or not arm.value:
        failure = "diverged" if arm.lost else "does not learn"
        return Row(label, None, failure if arm.value else arm.lost, note, tone=Tone.BAD)
    return Row(
        label,
        arms.scaled(arm.value, 100) if best - arm.value.value < FAR else None,
        f"{100 * arm.value.value:.1f}, {(arm.word or arm.role).value}",
        note,
        tone=arm.tone,
    )


def _label(arm: Arm) -> tuple[str, str]:
    """A short name and its muted half, so that there is room for the dots."""
    if arm.name in (PLACEBO, IGNORED_AS):
        return arm.name, ""
    label, _, note = arm.label.partition(" ")
    return (arm.label, "") if "(" in label else (label, note)


def _folded(here: Device) -> list[Shown]:
    """How the variance divides, over each set of initialisations."""
    found = {"test accuracy": here.shares, "validation accuracy while tuning": here.tuning}
    return [
        question.tabled(
            f"{here.on}Shares of the variance of {of}",
            ("over", *shares[0]["shares"]),
            [[each["over"], *map(_share, each["shares"].values())] for each in shares],
        )
        for of, shares in found.items()
        if shares
    ]


def _share(seen: Mapping[str, float]) -> Cell:
    value, low, high = (f"{100 * seen[end]:.0f}" for end in ("value", "low", "high"))
    text = f"{value} %" + ("" if low == high else f" [{low}, {high}]")
    return Cell(text=text, value=seen["value"])


main = partial(question.run, "initialization", answer)

if __name__ == "__main__":
    main()
