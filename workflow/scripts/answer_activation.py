"""Which activation works best? Test accuracy by arm, paired by seed.

The reference is the arm with the best accuracy on the validation images, so that the test images
choose nothing; every other arm is compared with it, seed by seed, on the test images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from assay import accuracy, figure, question, verdict
from assay.question import Column, Findings, Picture, Snippet, Table
from assay.record import Phase, Record, Status, Trial
from assay.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


@dataclass(frozen=True)
class Arm:
    """What one device and activation came to."""

    device: str
    activation: str
    runs: pd.DataFrame  # one row per seed: validation_accuracy, test_accuracy, …
    curves: list[list[float]]  # validation accuracy after each epoch, per seed
    tuning: dict[float, float | None]  # validation accuracy by rate, None where it diverged
    rate: float | None  # the best of them
    step: Comparison | None  # time of a step relative to ReLU's

    @property
    def name(self) -> str:
        """How the report calls the arm."""
        return NAMES[self.activation]


def read(each: Record) -> Arm:
    """The arm of one record."""
    done = [trial for trial in each.trials if trial.status == Status.OK]
    runs = [trial for trial in done if trial.what["phase"] == Phase.TRAINING]
    tuning = [trial for trial in each.trials if trial.what["phase"] == Phase.TUNING]
    steps = [trial for trial in done if trial.what["phase"] == "step time"]
    return Arm(
        device=str(each.axes["device"]),
        activation=str(each.axes["activation"]),
        runs=accuracy.runs(each),
        curves=[[*map(float, _numbers_of(trial, "validation_accuracy"))] for trial in runs],
        tuning={float(str(t.what["rate"])): _number(t, "validation_accuracy") for t in tuning},
        rate=float(str(runs[0].what["rate"])) if runs else None,
        step=verdict.paired(steps[0].result, "target") if steps else None,
    )


def _numbers_of(trial: Trial, name: str) -> list[Any]:
    return list(trial.samples[name])


def _number(trial: Trial, name: str) -> float | None:
    value: Any = trial.result.get(name)
    return value


# ---- comparing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """An arm beside the reference of its device."""

    arm: Arm
    seen: accuracy.Standing

    @property
    def is_reference(self) -> bool:
        """Whether the others are compared with this one."""
        return self.seen.difference is None


def standings(arms: Sequence[Arm]) -> list[Standing]:
    """Every arm of one device against the reference, best test accuracy first."""
    by_name = {arm.activation: arm for arm in arms}
    runs = {name: arm.runs for name, arm in by_name.items()}
    # A placebo cannot be the reference, but for want of any other.
    reference = accuracy.best({n: r for n, r in runs.items() if n != PLACEBO} or runs)
    found = accuracy.standings(runs, reference)
    return [Standing(by_name[name], seen) for name, seen in found.items()]


def the_reference(found: Sequence[Standing]) -> Arm:
    """The arm that the others were compared with."""
    return next(each.arm for each in found if each.is_reference)


def placebo_difference(arms: Sequence[Arm]) -> float | None:
    """Difference between the placebo and ReLU; None when one of the two was not measured."""
    runs = {arm.activation: arm.runs for arm in arms if len(arm.runs)}
    if not {PLACEBO, IGNORED_AS} <= set(runs):
        return None
    return accuracy.placebo_difference(runs[PLACEBO], runs[IGNORED_AS])


def smallest_detectable(found: Sequence[Standing]) -> float:
    """Smallest difference that the seeds would have shown, median over the real arms."""
    runs = {e.arm.activation: e.arm.runs for e in found if e.arm.activation != PLACEBO}
    reference = the_reference(found)
    return accuracy.smallest_detectable(
        runs | {reference.activation: reference.runs}, reference.activation
    )


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and activation."""
    arms = [read(each) for each in records]
    finished = [arm for arm in arms if len(arm.runs)]
    devices = list(dict.fromkeys(arm.device for arm in finished))
    found = {
        device: standings([arm for arm in finished if arm.device == device]) for device in devices
    }
    return Findings(
        sentence=" ".join(_sentence(device, found[device]) for device in devices)
        or "Nothing could be trained; the reasons are below.",
        findings=[text for device in devices for text in _findings(device, found[device])],
        numbers=_numbers(found),
        method=_method(records),
        caveats=_caveats(finished),
        picture=Picture(
            title="Test accuracy, learning curves, and accuracy by learning rate",
            alternative=_alternative(found),
        ),
        table=_table(found),
        frame=_frame(records),
        figure=_figure(found, finished) if found else figure.nothing(),
        snippet=SNIPPET,
    )


def _sentence(device: str, found: Sequence[Standing]) -> str:
    best = next(each for each in found if each.is_reference)
    groups = {
        "worse": [each for each in found if each.seen.word == Word.WORSE],
        "the same": [each for each in found if each.seen.word == Word.SAME],
        "cannot be told from it": [each for each in found if each.seen.word == Word.UNKNOWN],
        "better": [each for each in found if each.seen.word == Word.BETTER],
    }
    parts = [f"{device} – {best.arm.name} was best in validation ({_percent(best)} of test images)"]
    for said, members in groups.items():
        names = [each.arm.name for each in members if each.arm.activation != PLACEBO]
        if names:
            parts.append(f"{said}: {', '.join(names)}")
    return "; ".join(parts) + "."


def _percent(each: Standing) -> str:
    return f"{accuracy.points(each.seen.accuracy.value)} %"


def _findings(device: str, found: Sequence[Standing]) -> list[str]:
    best = the_reference(found)
    texts = [
        f"{device}, {each.arm.name}: {accuracy.interval(each.seen.difference)} points against "
        f"{best.name} ({each.seen.word})."
        for each in found
        if each.seen.difference and each.arm.activation != PLACEBO
    ]
    error, images = accuracy.sampling_error(best.runs), accuracy.tested_images(best.runs)
    texts.append(
        f"{device}: the smallest difference that these seeds would have shown is "
        f"{accuracy.points(smallest_detectable(found))} points (80 % power, median over the arms); "
        f"the {images:,} test images alone leave a standard error of {accuracy.points(error)} "
        "points."
    )
    same = placebo_difference([each.arm for each in found])
    if same is not None:
        texts.append(
            f"{device}: the placebo, whose argument is ignored, differs from ReLU by {same:.1f}"
            + (": bit for bit the same." if same == 0 else " – and it must not: mistrust this run.")
        )
    return texts


def _numbers(found: dict[str, list[Standing]]) -> dict[str, Any]:
    return {
        device: {
            "reference": the_reference(standing).activation,
            "smallest_detectable_difference": _finite(smallest_detectable(standing)),
            "placebo_difference": placebo_difference([each.arm for each in standing]),
            "arms": {each.arm.activation: _arm_numbers(each) for each in standing},
        }
        for device, standing in found.items()
    }


def _arm_numbers(each: Standing) -> dict[str, Any]:
    level, seen, word = each.seen.accuracy, each.seen.difference, each.seen.word
    return {
        "rate": each.arm.rate,
        "test_accuracy": level.value,
        "test_accuracy_low": _finite(level.low),
        "test_accuracy_high": _finite(level.high),
        "difference": seen.value if seen else None,
        "difference_low": _finite(seen.low) if seen else None,
        "difference_high": _finite(seen.high) if seen else None,
        "word": word.value if word else None,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    widths = "-".join(map(str, [784, *settings["hidden"], 10]))
    data = records[0].provenance.dataset
    return [
        f"A {widths} perceptron, plain SGD with batches of {settings['batch']}, pixels between 0 "
        f"and 1, torch's default initialisation; data: {data.name if data else 'unknown'}.",
        f"Each arm's rate is the best of {_listed(settings['rates'])} after "
        f"{settings['tuning_epochs']} epochs, judged on images set aside from the training images, "
        "with a seed that is not used again. Every arm has the same budget.",
        f"Then {settings['seeds']} runs of {settings['epochs']} epochs. Runs of one seed begin "
        "with the same weights and see the same batches in every arm. A run ends with the weights "
        "of its best epoch in validation; with those the test images are read, once.",
        "The reference is the best arm in validation. Differences to it are paired by seed, with "
        "Student's interval, Holm-corrected. No difference under one standard error of the test "
        "images is called one; 'the same' means that the whole interval lies within it.",
        "The time of a step is relative to ReLU's, from one paired trial per arm with a twin.",
    ]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _caveats(arms: Sequence[Arm]) -> list[str]:
    edge = [
        arm.name
        for arm in arms
        if arm.rate in (min(arm.tuning), max(arm.tuning)) and arm.activation != PLACEBO
    ]
    caveats = [
        "One architecture, one data set: another depth can order the activations otherwise.",
        "The intervals are over seeds, with one and the same set of test images.",
        "A published answer compared ReLU with itself five times: its network ignored the "
        "argument. The placebo does the same here. Another published slip, training on pixels "
        "between 0 and 1 and testing on 0 to 255, costs each arm differently.",
    ]
    if edge:
        caveats.append(
            f"The best rate lies at the edge of the grid for {', '.join(dict.fromkeys(edge))}: "
            "a wider grid (studies.activation.settings.rates) could serve them better."
        )
    return caveats


def _table(found: dict[str, list[Standing]]) -> Table:
    columns = [
        Column(name="activation"),
        Column(name="device"),
        Column(name="rate"),
        Column(name="test accuracy", unit="%, mean [95 %]"),
        Column(name="difference", unit="points [95 %]"),
        Column(name="verdict"),
        Column(name="time of a step", unit="relative to ReLU"),
        Column(name="dead units", unit="%", digits=2),
        Column(name="gradient norm", unit="at the start", digits=3),
    ]
    rows = [_row(each) for standing in found.values() for each in standing]
    return Table(columns=columns, rows=rows)


def _row(each: Standing) -> list[str | float | int | None]:
    step = each.arm.step
    return [
        each.arm.name,
        each.arm.device,
        each.arm.rate,
        accuracy.interval(each.seen.accuracy),
        accuracy.interval(each.seen.difference) if each.seen.difference else "reference",
        each.seen.word.value if each.seen.word else None,
        f"{step.ratio:.2f} [{step.low:.2f}, {step.high:.2f}]" if step else None,
        100 * float(each.arm.runs["dead_share"].mean()),
        float(each.arm.runs["gradient_norm_start"].mean()),
    ]


def _frame(records: Sequence[Record]) -> pd.DataFrame:
    """Tidy: one row per trial."""
    rows = []
    for each in records:
        for trial in each.trials:
            plain = {k: v for k, v in trial.result.items() if not isinstance(v, dict | list)}
            row = {**each.axes, **trial.what, "status": trial.status.value, **plain}
            rows.append(row | {"reason": trial.reason})
    return pd.DataFrame(rows)


def _alternative(found: dict[str, list[Standing]]) -> str:
    parts = [
        f"{device}: " + ", ".join(f"{each.arm.name} {_percent(each)}" for each in standing)
        for device, standing in found.items()
    ]
    return "Mean test accuracy of each activation, best first. " + "; ".join(parts) + "."


# ---- drawing ------------------------------------------------------------------------------------


def _figure(found: dict[str, list[Standing]], arms: Sequence[Arm]) -> Figure:
    """Accuracy and curves side by side, the heat map of rates below; the first device in full."""
    device = next(iter(found))
    standing, here = found[device], [arm for arm in arms if arm.device == device]
    drawn, axes = figure.mosaic("ac\nhh", height_in=6.2, height_ratios=[3, 2])
    colours = {
        each.arm.activation: figure.CYCLE[i % len(figure.CYCLE)] for i, each in enumerate(standing)
    }
    _accuracies(axes["a"], standing, colours)
    _curves(axes["c"], standing, colours)
    _rates(axes["h"], here, [each.arm.activation for each in standing])
    return drawn


def _accuracies(axes: Axes, standing: Sequence[Standing], colours: dict[str, str]) -> None:
    axes.set_title("test accuracy")
    for place, each in enumerate(reversed(standing)):
        colour = colours[each.arm.activation]
        seeds = 100 * each.arm.runs["test_accuracy"]
        axes.plot(seeds, [place] * len(seeds), "|", color=colour, alpha=0.5, markersize=7)
        level = each.seen.accuracy
        low, high = 100 * level.low, 100 * level.high
        if math.isfinite(low):
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
        hollow = each.arm.activation == PLACEBO
        axes.plot(
            100 * level.value,
            place,
            "o",
            color=colour,
            markerfacecolor="none" if hollow else colour,
        )
    axes.set_yticks(range(len(standing)), [each.arm.name for each in reversed(standing)])
    axes.set_xlabel("% of the test images; line: 95 %, ticks: seeds")


def _curves(axes: Axes, standing: Sequence[Standing], colours: dict[str, str]) -> None:
    axes.set_title("learning curves")
    shown = [each for each in standing if each.arm.activation != PLACEBO]
    means = [100 * np.mean(each.arm.curves, axis=0) for each in shown]
    epochs = np.arange(1, len(means[0]) + 1)
    bottom = min(float(mean[len(mean) // 2]) for mean in means)
    for i, (each, mean) in enumerate(zip(shown, means, strict=True)):
        axes.plot(epochs, mean, _dash(i), color=colours[each.arm.activation], linewidth=1.5)
    top = max(float(mean.max()) for mean in means)
    axes.set_ylim(bottom - 0.4 * (top - bottom) - 0.5, top + 0.5)
    low, high = axes.get_ylim()
    ends = figure.spread([float(mean[-1]) for mean in means], 0.06 * (high - low), high)
    for i, (each, mean, end) in enumerate(zip(shown, means, ends, strict=True)):
        colour = colours[each.arm.activation]
        axes.annotate(
            each.arm.name,
            xy=(epochs[-1], mean[-1]),
            xytext=(epochs[-1] + 0.12 * len(epochs), end),
            fontsize=8,
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),  # to the label's left end
                "color": colour,
                "linewidth": 0.7,
                "linestyle": _dash(i),
            },
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("% of the validation images")
    axes.xaxis.get_major_locator().set_params(integer=True)


def _dash(i: int) -> str:
    """Line style of the i-th arm: dashed where the colours begin anew."""
    return "-" if i < len(figure.CYCLE) else "--"


def _rates(axes: Axes, arms: Sequence[Arm], order: Sequence[str]) -> None:
    axes.set_title("validation accuracy while tuning, by learning rate (boxed: chosen)")
    shown = sorted(arms, key=lambda arm: order.index(arm.activation))
    rates = sorted({rate for arm in shown for rate in arm.tuning})
    grid = [[arm.tuning.get(rate) for arm in shown] for rate in rates]
    values = 100 * np.array(grid, dtype=float)
    texts = [["diverged" if v is None else f"{100 * v:.1f}" for v in row] for row in grid]
    sns.heatmap(
        values,
        ax=axes,
        cmap="cividis",
        annot=np.array(texts),
        fmt="",
        annot_kws={"fontsize": 8},
        cbar=False,
        linewidths=1,
        xticklabels=[arm.name.replace(" (", "\n(").replace("ReLU(", "\nReLU\n(") for arm in shown],
        yticklabels=[f"{rate:g}" for rate in rates],
    )
    for column, arm in enumerate(shown):
        for row, rate in enumerate(rates):
            if texts[row][column] == "diverged":
                axes.text(column + 0.5, row + 0.5, "diverged", ha="center", va="center", fontsize=7)
            if rate == arm.rate:
                corner = (column + 0.04, row + 0.06)
                axes.add_patch(_box(corner, 0.92, 0.88))
    axes.tick_params(axis="x", labelsize=8, rotation=0)
    axes.tick_params(axis="y", rotation=0)
    axes.set_ylabel("learning rate")


def _box(corner: tuple[float, float], width: float, height: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(corner, width, height, fill=False, edgecolor=figure.RED, linewidth=2)


SNIPPET = Snippet(
    text="The published function ignores its argument; count what really is in the network.",
    code="""\
from torch import nn

def net_ignoring(activation):  # wrong: whatever is asked for, it is ReLU
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))

def net(activation):  # right
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), activation, nn.Linear(256, 10))

for make in (net_ignoring, net):
    for activation in (nn.ReLU(), nn.Sigmoid(), nn.Tanh()):
        print(make.__name__, "asked for", activation, "and got", make(activation)[2])
""",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("activation", answer, argv)


if __name__ == "__main__":
    main()
