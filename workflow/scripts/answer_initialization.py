"""Does the initialisation matter? Test accuracy by arm and depth, paired by seed.

At each depth the reference is the arm with the best accuracy on the validation images, so that the
test images choose nothing. How the spread of the signals changes from layer to layer before any
step is set beside the law that the initialisations were derived from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from assay import inference
from assay.answer import accuracy, question, verdict
from assay.answer import old_figure as figure
from assay.answer.accuracy import REST, Effect
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Phase, Record, Trial
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PLACEBO, IGNORED_AS = "placebo", "default"  # the arm that matches no layer, and what it then is
NAMES = {
    "kaiming_normal": "Kaiming normal",
    "kaiming_uniform": "Kaiming uniform",
    "xavier_normal": "Xavier normal",
    "xavier_uniform": "Xavier uniform",
    "orthogonal": "orthogonal",
    "default": "PyTorch's default",
    "placebo": "placebo (default)",
    "normal_0_1": "N(0, 0.1)",
    "normal_0_01": "N(0, 0.01)",
    "normal_0_001": "N(0, 0.001)",
    "normal_1": "N(0, 1)",
    "uniform_0_1": "U(0, 1)",
    "constant": "constant 0.01",
    "zeros": "zeros",
}
SCALED = (
    "kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "orthogonal", "default",
)  # fmt: skip
AS_MEANT = ("normal_1", "uniform_0_1")  # what the published solutions of the exercise meant
CENTRED = (
    *SCALED,
    PLACEBO,
    "normal_0_1",
    "normal_0_01",
    "normal_0_001",
    "normal_1",
)  # mean weight 0
# All units of a layer alike. Scores are then alike, too, and the gradients in the hidden layers
# cancel: they are 0 but for rounding.
ALIKE = ("constant", "zeros")
LEARNED = 0.2  # an arm under twice the accuracy of guessing one of ten classes did not learn
DIFFERENT = (Word.WORSE, Word.BETTER)

# The effects whose shares of the variance are told, and how; what is left is REST.
EFFECTS: dict[Effect, str] = {
    ("initialization",): "initialisation",
    ("depth",): "depth",
    ("initialization", "depth"): "initialisation × depth",
    ("seed",): "seed",
}
TUNING_EFFECTS: dict[Effect, str] = {
    ("initialization",): "initialisation",
    ("depth",): "depth",
    ("rate",): "rate",
    ("initialization", "depth"): "initialisation × depth",
    ("initialization", "rate"): "initialisation × rate",
    ("depth", "rate"): "depth × rate",
}


@dataclass(frozen=True)
class Start:
    """How signals spread before any step: one value per layer, from the input to the scores."""

    activation_std: list[float | None]
    gradient_std: list[float | None]
    weight_std: list[float | None]
    loss: float | None


@dataclass(frozen=True)
class Arm:
    """What one device, initialisation and depth came to."""

    device: str
    initialization: str
    depth: int
    width: int
    runs: pd.DataFrame  # one row per seed: test_accuracy, …, diverged_at_step
    starts: list[Start]  # one per seed
    tuning: dict[float, float]  # validation accuracy by rate

    @property
    def name(self) -> str:
        """How the report calls the arm."""
        return NAMES[self.initialization]

    @property
    def rate(self) -> float:
        """The learning rate of the runs that count."""
        return float(self.runs["rate"].iloc[0])

    @property
    def accuracy(self) -> float:
        """Mean test accuracy over the seeds."""
        return float(self.runs["test_accuracy"].mean())

    @property
    def learned(self) -> bool:
        """Whether it does clearly better than guessing."""
        return self.accuracy >= LEARNED

    @property
    def diverged(self) -> list[int]:
        """The step of each run that diverged."""
        return [int(step) for step in self.runs["diverged_at_step"].dropna()]

    @property
    def lost(self) -> str | None:
        """In how many runs it diverged; None if in none."""
        return accuracy.lost(self.runs)


def read(each: Record) -> Arm:
    """The arm of one record; a run that diverged counts as the network that it left."""
    by_phase: dict[Any, list[Trial]] = {}
    for trial in each.trials:
        by_phase.setdefault(trial.what["phase"], []).append(trial)
    depth: Any = each.axes["depth"]
    width: Any = each.settings["width"]
    runs = accuracy.runs(each)
    return Arm(
        device=str(each.axes["device"]),
        initialization=str(each.axes["initialization"]),
        depth=depth,
        width=width,
        runs=runs.reindex(columns=[*runs.columns.union(["diverged_at_step"])]),
        starts=[_start(trial) for trial in by_phase.get("start", []) if trial.samples],
        tuning={
            float(str(trial.what["rate"])): _result(trial, "validation_accuracy")
            for trial in by_phase.get(Phase.TUNING, [])
            if "validation_accuracy" in trial.result
        },
    )


def finished(each: Record) -> bool:
    """Whether every run of a record came to some network, if only to one that guesses."""
    counted = [trial for trial in each.trials if trial.what.get("phase") == Phase.TRAINING]
    return bool(counted) and all("test_accuracy" in trial.result for trial in counted)


def _result(trial: Trial, name: str) -> Any:
    return trial.result.get(name)


def _start(trial: Trial) -> Start:
    samples: Any = trial.samples
    return Start(**samples, loss=_result(trial, "loss"))


# ---- signals ------------------------------------------------------------------------------------


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


def activation_factor(arm: Arm) -> float | None:
    """Measured factor of the activations per hidden layer, forwards."""
    return middle([factor(start.activation_std) for start in arm.starts])


def gradient_factor(arm: Arm) -> float | None:
    """Measured factor of the gradients per hidden layer, backwards."""
    if arm.initialization in ALIKE:
        return None
    forwards = middle([factor(start.gradient_std) for start in arm.starts])
    return 1 / forwards if forwards else None


def law(arm: Arm) -> float | None:
    """The factor by the law of He et al. (2015), for both directions: σ·√(n/2).

    It holds for weights of mean 0 and spread σ between layers of n units with ReLU, without
    biases. σ is the measured spread of the weights between hidden layers.
    """
    if arm.initialization not in CENTRED or arm.depth < 2:
        return None
    sigma = middle([std for start in arm.starts for std in start.weight_std[1:-1]])
    return sigma * math.sqrt(arm.width / 2) if sigma else None


# ---- comparing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """An arm beside the reference of its device and depth.

    An arm of which a run diverged has the accuracy of the networks that its runs left, and is
    compared with nothing.
    """

    arm: Arm
    seen: accuracy.Standing


def standings(arms: Sequence[Arm]) -> list[Placed]:
    """Every arm of one device and depth against the reference, best test accuracy first."""
    by_name = {arm.initialization: arm for arm in arms}
    runs = {name: arm.runs for name, arm in by_name.items()}
    # A placebo cannot be the reference, but for want of any other.
    best = accuracy.best({name: own for name, own in runs.items() if name != PLACEBO})
    found = accuracy.standings(runs, best or accuracy.best(runs))
    left = {
        name: accuracy.Standing(inference.mean(own["test_accuracy"]))
        for name, own in runs.items()
        if name not in found
    }
    placed = [Placed(by_name[name], seen) for name, seen in (found | left).items()]
    return sorted(placed, key=lambda each: -each.arm.accuracy)


Found = dict[str, dict[int, list[Placed]]]  # by device, then by depth


def compared(arms: Sequence[Arm]) -> tuple[Found, int]:
    """The standings of every device and depth, judged as one family, and its size."""
    cells: dict[str, dict[int, list[Arm]]] = {}
    for arm in sorted(arms, key=lambda arm: arm.depth):
        cells.setdefault(arm.device, {}).setdefault(arm.depth, []).append(arm)
    found = {
        device: {depth: standings(here) for depth, here in by_depth.items()}
        for device, by_depth in cells.items()
    }
    family = [*_differences(found)]
    words = verdict.words(family)
    judged = {
        device: {
            depth: [replace(each, seen=each.seen.judged(words)) for each in placed]
            for depth, placed in by_depth.items()
        }
        for device, by_depth in found.items()
    }
    return judged, len(family)


def _differences(found: Found) -> Iterator[Comparison]:
    for by_depth in found.values():
        for placed in by_depth.values():
            yield from (each.seen.difference for each in placed if each.seen.difference)


def reference_of(found: Sequence[Placed]) -> Arm | None:
    """The arm that the others were compared with; None where runs of every arm diverged."""
    return next((each.arm for each in found if each.seen.is_reference), None)


def real(found: Sequence[Placed]) -> list[Placed]:
    """All but the placebo."""
    return [each for each in found if each.arm.initialization != PLACEBO]


def ordered(found: Sequence[Placed]) -> list[Placed]:
    """The arms in the order of :data:`NAMES`."""
    return sorted(found, key=lambda each: list(NAMES).index(each.arm.initialization))


def scaled(found: Sequence[Placed]) -> list[Placed]:
    """The arms whose spread follows the layer's width, and which learned."""
    return [e for e in found if e.arm.initialization in SCALED and e.arm.learned]


def span(found: Sequence[Placed]) -> float:
    """Difference between the best and the worst mean test accuracy."""
    means = [each.arm.accuracy for each in found]
    return max(means) - min(means)


def placebo_difference(by_depth: Mapping[int, Sequence[Placed]]) -> float | None:
    """Largest difference between the placebo and the default at any depth; None without them."""
    seen = []
    for found in by_depth.values():
        runs = {each.arm.initialization: each.arm.runs for each in found}
        if {PLACEBO, IGNORED_AS} <= set(runs):
            seen.append(accuracy.placebo_difference(runs[PLACEBO], runs[IGNORED_AS]))
    return max(seen, default=None)


def smallest_detectable(found: Sequence[Placed]) -> float:
    """Smallest difference that the seeds would have shown, median over the arms that learned."""
    reference = reference_of(found)
    if reference is None:
        return math.inf
    runs = {each.arm.initialization: each.arm.runs for each in real(found) if each.arm.learned}
    return accuracy.smallest_detectable(
        runs | {reference.initialization: reference.runs}, reference.initialization
    )


# ---- shares of the variance ---------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """A share of the variance, and its range when any one seed is left out."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Shares:
    """How the variance of the accuracy divides over some of the arms."""

    over: str
    arms: list[str]
    shares: dict[str, Share]


def arm_sets(names: Sequence[str]) -> dict[str, list[str]]:
    """The sets of arms over which shares are given, by what they are called; repeats left out."""
    every = [name for name in names if name != PLACEBO]
    sets = {
        "all arms": every,
        "all but U(0, 1) and N(0, 1)": [name for name in every if name not in AS_MEANT],
        "those scaled to the layer's width": [name for name in every if name in SCALED],
    }
    chosen: dict[str, list[str]] = {}
    for over, members in sets.items():
        if len(members) > 1 and members not in chosen.values():
            chosen[over] = members
    return chosen


def shares_over(rows: pd.DataFrame, value: str, effects: Mapping[Effect, str]) -> list[Shares]:
    """Shares of the variance of a value, over each set of the arms that were measured throughout.

    Args:
        rows: A row per run of one device, a column per factor, and the value.
        value: The column whose variance is shared out.
        effects: How each effect is called.
    """
    runs = rows.groupby("initialization").size()
    others = [factor for factor in rows.columns if factor not in ("initialization", value)]
    whole = runs[runs == math.prod(rows[factor].nunique() for factor in others)].index
    return [
        Shares(
            over,
            [NAMES[name] for name in names],
            _shares(rows[rows["initialization"].isin(names)], value, effects),
        )
        for over, names in arm_sets([name for name in NAMES if name in whole]).items()
    ]


def _shares(runs: pd.DataFrame, value: str, effects: Mapping[Effect, str]) -> dict[str, Share]:
    """Each share over all seeds, with the range of those that leave one seed out."""
    seeds = list(runs["seed"].unique())
    subsets = [runs] + [runs[runs["seed"] != seed] for seed in seeds if len(seeds) > 2]
    seen = [accuracy.variance_shares(part, value, list(effects)) for part in subsets]
    names = {**effects, REST: REST}
    return {
        names[effect]: Share(
            value, min(each[effect] for each in seen), max(each[effect] for each in seen)
        )
        for effect, value in seen[0].items()
    }


def accuracy_shares(arms: Sequence[Arm]) -> list[Shares]:
    """Shares of the variance of test accuracy."""
    runs = [
        arm.runs[["seed", "test_accuracy"]].assign(
            initialization=arm.initialization, depth=arm.depth
        )
        for arm in arms
    ]
    return shares_over(pd.concat(runs), "test_accuracy", EFFECTS)


def tuning_shares(arms: Sequence[Arm]) -> list[Shares]:
    """Shares of the variance of validation accuracy while tuning, with the rate as a factor.

    There is one seed, so that the interaction of all three factors is the rest.
    """
    rows = pd.DataFrame(
        [
            {
                "initialization": arm.initialization,
                "depth": arm.depth,
                "rate": rate,
                "seed": 0,
                "accuracy": value,
            }
            for arm in arms
            for rate, value in arm.tuning.items()
        ]
    )
    return [] if rows.empty else shares_over(rows, "accuracy", TUNING_EFFECTS)


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device, initialisation and depth."""
    arms = [read(each) for each in records if finished(each)]
    found, comparisons = compared(arms)
    shares, tuning = (
        {device: share([arm for arm in arms if arm.device == device]) for device in found}
        for share in (accuracy_shares, tuning_shares)
    )
    return Findings(
        sentence=" ".join(_sentence(device, by_depth) for device, by_depth in found.items())
        or "Nothing could be trained; the reasons are below.",
        findings=[
            text
            for device, by_depth in found.items()
            for text in _findings(device, by_depth, shares[device], tuning[device])
        ],
        numbers={
            device: _numbers(by_depth, shares[device], tuning[device])
            for device, by_depth in found.items()
        },
        method=_method(records, comparisons),
        caveats=_caveats(records, arms),
        picture=Picture(
            title="Test accuracy by initialisation and depth (line: 95 %, ticks: seeds), and how "
            "the signals spread before training",
            alternative=_alternative(found),
        ),
        table=_table(found),
        frame=_frame(records, found),
        figure=_figure(found) if found else figure.nothing(),
    )


def _sentence(device: str, by_depth: Mapping[int, Sequence[Placed]]) -> str:
    parts = "; ".join(_at_depth(depth, real(found)) for depth, found in by_depth.items())
    return f"{device} – {_verdict(by_depth)}: {parts}."


def _verdict(by_depth: Mapping[int, Sequence[Placed]]) -> str:
    """Whether it matters, and when."""
    names = {
        depth: (
            {e.arm.initialization for e in real(found) if not e.arm.learned},
            {e.arm.initialization for e in real(found) if e.seen.word in DIFFERENT},
        )
        for depth, found in by_depth.items()
    }
    lost = set().union(*(gone for gone, _ in names.values()))
    if not lost and not any(different for _, different in names.values()):
        return "no difference between the initialisations could be told"
    if not lost:
        return "it matters a little, all of them learn"
    shallow, deep = ([len(each) for each in names[end(names)]] for end in (min, max))
    deeper = ", the more so the deeper" if deep > shallow else ""
    if lost & set(SCALED):
        return f"it matters{deeper}"
    return f"it matters where the scale or the symmetry of the weights is wrong{deeper}"


def _at_depth(depth: int, found: Sequence[Placed]) -> str:
    lost = [each.arm.name for each in ordered(found) if not each.arm.learned]
    diverged = [
        f"{each.arm.name} {each.arm.lost}"
        for each in ordered(found)
        if each.arm.learned and each.arm.lost
    ]
    said = {
        word: [e.arm.name for e in found if e.arm.learned and e.seen.word == word]
        for word in DIFFERENT
    }
    reference, close = reference_of(found), scaled(found)
    parts = [f"{_listed(lost)} {'do' if len(lost) > 1 else 'does'} not learn"] if lost else []
    parts += [
        f"{_listed(names)} {'are' if len(names) > 1 else 'is'} {word} than {reference.name} "
        f"({_percent(reference)})"
        for word, names in said.items()
        if names and reference
    ]
    if diverged:
        parts.append(f"not compared: {', '.join(diverged)}")
    if len(close) > 1:
        parts.append(
            f"the {len(close)} scaled to the layer's width lie within "
            f"{accuracy.points(span(close))} points"
        )
    return f"with {_layers(depth)} {_listed(parts or ['none is worse'])}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _layers(depth: int) -> str:
    return f"{depth} hidden layer" + ("s" if depth > 1 else "")


def _percent(arm: Arm) -> str:
    return f"{accuracy.points(arm.accuracy)} %"


def _findings(
    device: str,
    by_depth: Mapping[int, Sequence[Placed]],
    shares: Sequence[Shares],
    tuning: Sequence[Shares],
) -> list[str]:
    texts = [_told(device, depth, real(found)) for depth, found in by_depth.items()]
    texts += [f"{device}: {_told_shares(each, 'test accuracy')}" for each in shares]
    texts += [
        f"{device}: {_told_shares(each, 'validation accuracy while tuning')}" for each in tuning
    ]
    texts += [_signals(device, max(by_depth), by_depth[max(by_depth)])]
    texts += [_copies(device, depth, real(found)) for depth, found in by_depth.items()]
    texts += [_resolution(device, depth, found) for depth, found in by_depth.items()]
    same = placebo_difference(by_depth)
    if same is not None:
        texts.append(
            f"{device}: the placebo, which matches no layer, differs from the default by {same}"
            + (": bit for bit the same." if same == 0 else " – and it must not: mistrust this run.")
        )
    return [text for text in texts if text]


def _told(device: str, depth: int, found: Sequence[Placed]) -> str | None:
    reference = reference_of(found)
    each = [f"{e.arm.name} {e.seen.against} ({e.seen.said})" for e in found if e.seen.difference]
    if not each or not reference:
        return None
    return (
        f"{device}, {_layers(depth)}: points of test accuracy against {reference.name} "
        f"({_percent(reference)}), the best in validation: {'; '.join(each)}."
    )


def _told_shares(seen: Shares, of: str) -> str:
    parts = [f"{name} {_share(share)}" for name, share in seen.shares.items()]
    return (
        f"shares of the variance of {of} over {seen.over} ({len(seen.arms)}): {', '.join(parts)}."
    )


def _share(share: Share) -> str:
    value = f"{100 * share.value:.0f} %"
    if share.low == share.high:
        return value
    return f"{value} [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def _signals(device: str, depth: int, found: Sequence[Placed]) -> str | None:
    """What theory says, and what was seen, at the greatest depth."""
    parts = []
    for each in ordered(real(found)):
        forwards, backwards = activation_factor(each.arm), gradient_factor(each.arm)
        if forwards and backwards:
            expected = law(each.arm)
            said = f", law {expected:.2g}" if expected else ""
            parts.append(f"{each.arm.name} {forwards:.2g} and {backwards:.2g}{said}")
    if not parts:
        return None
    return (
        f"{device}, {_layers(depth)}: before training, the spread of the activations (forwards) "
        "and of the gradients (backwards) is multiplied from one hidden layer to the next by: "
        f"{'; '.join(parts)}. Signals keep their size where that is 1."
    )


def _copies(device: str, depth: int, found: Sequence[Placed]) -> str | None:
    copied = [
        f"{each.arm.name} {100 * share:.0f} %"
        for each in found
        if (share := float(each.arm.runs["copied_share"].mean())) >= 0.005
    ]
    if not copied:
        return None
    return (
        f"{device}, {_layers(depth)}: units of the first hidden layer that end as copies of "
        f"another one: {', '.join(copied)}."
    )


def _resolution(device: str, depth: int, found: Sequence[Placed]) -> str | None:
    reference, smallest = reference_of(found), smallest_detectable(found)
    if reference is None or not math.isfinite(smallest):
        return None
    runs = reference.runs
    return (
        f"{device}, {_layers(depth)}: the smallest difference that these seeds would have shown is "
        f"{accuracy.points(smallest)} points (80 % power, median over the arms that learned); the "
        f"{accuracy.tested_images(runs):,} test images alone leave a standard error of "
        f"{accuracy.points(accuracy.sampling_error(runs))} points."
    )


def _numbers(
    by_depth: Mapping[int, Sequence[Placed]],
    shares: Sequence[Shares],
    tuning: Sequence[Shares],
) -> dict[str, Any]:
    return {
        "placebo_difference": placebo_difference(by_depth),
        "depths": {
            str(depth): {
                "reference": reference.initialization
                if (reference := reference_of(found))
                else None,
                "smallest_detectable_difference": accuracy.finite(smallest_detectable(found)),
                "arms": {each.arm.initialization: _arm_numbers(each) for each in found},
            }
            for depth, found in by_depth.items()
        },
        "variance_shares": _share_numbers(shares),
        "variance_shares_tuning": _share_numbers(tuning),
    }


def _share_numbers(found: Sequence[Shares]) -> list[dict[str, Any]]:
    return [
        {
            "over": each.over,
            "arms": each.arms,
            "shares": {
                name: {"value": share.value, "low": share.low, "high": share.high}
                for name, share in each.shares.items()
            },
        }
        for each in found
    ]


def _arm_numbers(each: Placed) -> dict[str, Any]:
    return {
        "rate": each.arm.rate,
        **each.seen.numbers,
        "learned": each.arm.learned,
        "lost": each.arm.lost,
        "diverged_at_step": each.arm.diverged,
        "activation_factor": activation_factor(each.arm),
        "gradient_factor": gradient_factor(each.arm),
        "law": law(each.arm),
    }


def _method(records: Sequence[Record], comparisons: int) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    rates = settings["rates"]
    chosen = (
        f"Every arm is trained at the rate {rates[0]:g}."
        if len(rates) == 1
        else f"Each arm's rate is the best of {', '.join(f'{rate:g}' for rate in rates)} after "
        f"{settings['tuning_epochs']} epochs, judged on images set aside from the training images, "
        "with a seed that is not used again (the smallest, where all diverge). Every arm has the "
        "same budget."
    )
    return [
        f"Perceptrons with hidden layers of {settings['width']} units and ReLU, plain SGD with "
        f"batches of {settings['batch']}, pixels between 0 and 1; data: "
        f"{data.name if data else 'unknown'}.",
        "Weights are drawn by torch.nn.init with the gains it has by default (2 for the variance "
        "of Kaiming, which is meant for ReLU; 1 for the others), and biases are zero. The default "
        "is what torch.nn.Linear does by itself, biases included; the placebo asks for LazyLinear, "
        "finds none, and so must be the default bit for bit.",
        f"{chosen} Then {settings['seeds']} runs of {settings['epochs']} epochs; runs of one seed "
        "see the same batches in every arm. A run ends with the weights of its best epoch in "
        "validation; with those the test images are read, once. A run that diverges stops with "
        "that epoch; the accuracy shown, and the shares of the variance, take the network that it "
        "left.",
        "At each depth the reference is the best arm in validation. "
        f"{accuracy.method(comparisons)} Under {100 * LEARNED:.0f} %, twice what guessing gives, "
        "an arm did not learn.",
        "Shares of the variance come from the sums of squares of all arms, depths and seeds "
        "(balanced; the placebo, which repeats the default, left out), each reduced by what chance "
        "gives it (ω²). In brackets: the range when any one seed is left out. The rest is what a "
        "seed does in one arm only.",
        "Spreads are standard deviations over the images of one batch and the units of a layer: of "
        "the outputs of its linear part, and of the gradient of an image's loss in them. The law "
        "(He et al., 2015) multiplies them by σ·√(n/2) per layer of n units with ReLU, weights of "
        "spread σ around 0 and no bias; σ is measured.",
    ]


def _caveats(records: Sequence[Record], arms: Sequence[Arm]) -> list[str]:
    settings: Any = records[0].settings
    caveats = [
        "Plain perceptrons without normalisation layers or residual connections, which are built "
        "to make the initialisation matter less, and without an adaptive optimiser.",
        f"N(0, σ) fits some width by luck: here, at {settings['width']} units, He's σ is "
        f"{math.sqrt(2 / settings['width']):.2g}.",
        "Shares of the variance belong to the arms that were chosen: one more hopeless arm, and "
        "the initialisation's share grows. The intervals are over seeds, with one and the same "
        "set of test images.",
        "A dead unit gives the same output for every image, to 0.000001; a copied one has, to a "
        "thousandth, the weights of another unit.",
        "The published initialisers ask for LazyLinear in a network of Linear layers, so they do "
        "nothing, as the placebo here.",
    ]
    if len(settings["rates"]) == 1:
        caveats.append(
            "One rate for all arms: those whose gradients start small or large could do better at "
            "another. The preset full tunes it for each arm and depth."
        )
    edge = {
        f"{arm.name} ({arm.depth})"
        for arm in arms
        if arm.tuning and arm.learned and arm.rate in (min(arm.tuning), max(arm.tuning))
    }
    if edge:
        caveats.append(
            f"The best rate lies at the edge of the grid for {', '.join(sorted(edge))} (hidden "
            "layers in brackets): a wider grid could serve them better."
        )
    return caveats


def _table(found: Found) -> Table:
    columns = [
        Column(name="initialisation"),
        Column(name="hidden layers"),
        Column(name="device"),
        Column(name="rate"),
        Column(name="test accuracy", unit="%, mean [95 %]"),
        Column(name="difference", unit="points [95 %]"),
        Column(name="verdict"),
        Column(name="loss", unit="nats, at the start", digits=3),
        Column(name="activations", unit="× per layer", digits=2),
        Column(name="gradients", unit="× per layer, backwards", digits=2),
        Column(name="law", unit="× per layer", digits=2),
        Column(name="dead units", unit="%", digits=2),
        Column(name="copied units", unit="%", digits=2),
    ]
    rows = [
        _row(each)
        for by_depth in found.values()
        for standing in by_depth.values()
        for each in standing
    ]
    return Table(columns=columns, rows=rows)


def _row(each: Placed) -> list[str | float | int | None]:
    arm, seen = each.arm, each.seen
    return [
        arm.name,
        arm.depth,
        arm.device,
        arm.rate,
        accuracy.interval(seen.accuracy),
        each.seen.against,
        _said(each),
        middle([start.loss for start in arm.starts]),
        activation_factor(arm),
        gradient_factor(arm),
        law(arm),
        100 * float(arm.runs["dead_share"].mean()),
        100 * float(arm.runs["copied_share"].mean()),
    ]


def _said(each: Placed) -> str | None:
    """The verdict, or in how many runs it diverged."""
    lost, steps = each.arm.lost, each.arm.diverged
    return f"{lost}, first in step {min(steps)}" if lost and steps else lost or each.seen.said


def _frame(records: Sequence[Record], found: Found) -> pd.DataFrame:
    """Tidy: one row per trial, the spreads before training one per layer; then the verdicts."""
    rows: list[dict[str, Any]] = []
    for each in records:
        for trial in each.trials:
            row = {**each.axes, **trial.what, "status": trial.status.value, **trial.result}
            layers = _layer_rows(trial) if trial.what["phase"] == "start" else []
            layers = layers or [{}]
            rows += [row | layer | {"reason": trial.reason} for layer in layers]
    for device, by_depth in found.items():
        for depth, placed in by_depth.items():
            for one in placed:
                where = {"device": device, "initialization": one.arm.initialization, "depth": depth}
                row = {**where, **one.seen.row}
                rows.append(row | ({"word": one.arm.lost} if one.arm.lost else {}))
    return pd.DataFrame(rows)


def _layer_rows(trial: Trial) -> list[dict[str, Any]]:
    columns = list(trial.samples)
    values = zip(*trial.samples.values(), strict=True)
    return [
        {"layer": layer} | dict(zip(columns, row, strict=True))
        for layer, row in enumerate(values, start=1)
    ]


def _alternative(found: Found) -> str:
    parts = [
        f"{device}, {_layers(depth)}: "
        + ", ".join(f"{each.arm.name} {_percent(each.arm)}" for each in standing)
        for device, by_depth in found.items()
        for depth, standing in by_depth.items()
    ]
    return (
        "Mean test accuracy of each initialisation by depth, best first; below, the standard "
        "deviation of activations and gradients by layer before training. " + "; ".join(parts) + "."
    )


# ---- drawing ------------------------------------------------------------------------------------

ENLARGED = 0.08  # accuracies further behind the best than this stand at the edge, as a number
# Colours by kind of arm: scaled to the layer, one spread for all layers, as meant, all units alike.
COLOURS = {
    **dict.fromkeys(SCALED, figure.BLUE),
    PLACEBO: figure.BLUE,
    **dict.fromkeys(("normal_0_1", "normal_0_01", "normal_0_001"), figure.GREEN),
    **dict.fromkeys(AS_MEANT, figure.RED),
    **dict.fromkeys(ALIKE, figure.PINK),
}
PANELS = "abcdefghij"


def _figure(found: Found) -> Figure:
    """Accuracies by depth above, spreads by layer at the greatest depth below; the first device."""
    by_depth = dict(list(next(iter(found.values())).items())[: len(PANELS)])
    present = {each.arm.initialization for standing in by_depth.values() for each in standing}
    names = [name for name in reversed(NAMES) if name in present]
    unit = math.lcm(len(by_depth), 2)
    letters = PANELS[: len(by_depth)]
    top = "".join(letter * (unit // len(letters)) for letter in letters)
    heights = [0.6 + 0.19 * len(names), 3.3]
    drawn, axes = figure.mosaic(
        f"{top}\n{'y' * (unit // 2)}{'z' * (unit // 2)}",
        height_in=sum(heights),
        height_ratios=heights,
    )
    limits = _limits([each for standing in by_depth.values() for each in standing])
    for letter, (depth, standing) in zip(letters, by_depth.items(), strict=True):
        axes[letter].set_title(_layers(depth))
        axes[letter].set_xlim(*limits)
        _accuracies(axes[letter], standing, names)
        if letter != letters[0]:
            axes[letter].set_yticklabels([])
    axes[letters[len(letters) // 2]].set_xlabel(
        "% of the test images; line: 95 %, ticks: seeds", x=0.5 * (len(letters) % 2)
    )
    deepest = [each.arm for each in by_depth[max(by_depth)]]
    activations = {arm.initialization: _line(arm, "activation_std") for arm in deepest}
    gradients = {arm.initialization: _line(arm, "gradient_std") for arm in deepest}
    _spreads(axes["y"], activations)
    _spreads(axes["z"], gradients | {name: [] for name in ALIKE if name in gradients})
    axes["y"].set_title(f"activations, {_layers(max(by_depth))}")
    axes["z"].set_title(f"gradients, {_layers(max(by_depth))}")
    axes["y"].set_ylabel("standard deviation before training")
    axes["y"].set_xlabel("layer")
    axes["z"].set_xlabel("layer, backwards")
    axes["z"].invert_xaxis()
    for letter in "yz":
        _labels(axes[letter])
    return drawn


def _limits(standing: Sequence[Placed]) -> tuple[float, float]:
    """The range of accuracies to show, in %: the best ones, enlarged."""
    least = max(each.arm.accuracy for each in standing) - ENLARGED
    shown = [each.seen.accuracy for each in standing if each.arm.accuracy >= least]
    highest = max(level.high if math.isfinite(level.high) else level.value for level in shown)
    return 100 * least, 100 * highest + 0.3


def _accuracies(axes: Axes, standing: Sequence[Placed], names: Sequence[str]) -> None:
    """Means, intervals and seeds; what lies to the left of the panel stands there as a number."""
    axes.set_ylim(-0.7, len(names) - 0.3)
    for each in standing:
        place, colour = names.index(each.arm.initialization), COLOURS[each.arm.initialization]
        if 100 * each.arm.accuracy >= axes.get_xlim()[0]:
            _level(axes, place, each, colour)
        else:
            axes.annotate(
                f"← {100 * each.arm.accuracy:.1f}" + (", diverged" if each.arm.diverged else ""),
                (0.02, place),
                xycoords=axes.get_yaxis_transform(),
                fontsize=8,
                va="center",
                color=colour,
            )
    axes.set_yticks(range(len(names)), [NAMES[name] for name in names])
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_color(COLOURS[name])


def _level(axes: Axes, place: int, each: Placed, colour: str) -> None:
    seeds = 100 * each.arm.runs["test_accuracy"]
    axes.plot(seeds, [place] * len(seeds), "|", color=colour, alpha=0.5, markersize=7)
    low, high = 100 * each.seen.accuracy.low, 100 * each.seen.accuracy.high
    if math.isfinite(low):
        axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
    hollow = each.arm.initialization == PLACEBO
    axes.plot(
        100 * each.seen.accuracy.value,
        place,
        "o",
        color=colour,
        markersize=5,
        markerfacecolor="none" if hollow else colour,
    )


def _line(arm: Arm, what: str) -> list[float | None]:
    """A spread by layer, geometric mean over seeds."""
    return [middle(values) for values in zip(*(getattr(s, what) for s in arm.starts), strict=True)]


def _spreads(axes: Axes, lines: Mapping[str, Sequence[float | None]]) -> None:
    """One line per arm over the layers; those that have none, or a zero in it, are named."""
    axes.set_yscale("log")
    zero = []
    for name, line in lines.items():
        if name != PLACEBO and line and all(line):
            layers = range(1, len(line) + 1)
            axes.plot(layers, line, _dash(name), color=COLOURS[name], linewidth=1.4, label=name)
        elif name != PLACEBO:
            zero.append(NAMES[name])
    last = max(map(len, lines.values()))
    axes.set_xticks(range(1, last + 1), [*map(str, range(1, last)), "scores"])
    if zero:
        axes.annotate(
            f"0: {', '.join(zero)}",
            (0.02, 0.98),
            xycoords="axes fraction",
            fontsize=8,
            va="top",
            color=figure.PINK,
        )


def _labels(axes: Axes) -> None:
    """Name each line where it ends, in a margin to the right that the axis does not reach."""
    lines = axes.get_lines()
    left, right = axes.get_xlim()
    axes.set_xlim(left, right + 0.68 * (right - left))
    axes.spines["bottom"].set_bounds(left, right)
    backwards = right < left
    low, high = map(math.log10, axes.get_ylim())
    ends = [float(line.get_ydata()[0 if backwards else -1]) for line in lines]
    step = 0.062 * (high - low)
    places = figure.spread(list(map(math.log10, ends)), step, high)
    axes.set_ylim(10 ** min([low, *(place - step for place in places)]), 10**high)
    for line, end, place in zip(lines, ends, places, strict=True):
        colour, style = line.get_color(), line.get_linestyle()
        axes.annotate(
            NAMES[line.get_label()],
            xy=(line.get_xdata()[0 if backwards else -1], end),
            xytext=(right + 0.08 * (right - left), 10**place),
            fontsize=7.5,
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),  # to the label's left end
                "color": colour,
                "linewidth": 0.7,
                "linestyle": style,
            },
        )


def _dash(name: str) -> str:
    """Line style of an arm among those of its colour."""
    alike = [key for key in COLOURS if COLOURS[key] == COLOURS[name] and key != PLACEBO]
    return ["-", "--", ":", "-."][alike.index(name) % 4]


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("initialization", answer, argv)


if __name__ == "__main__":
    main()
