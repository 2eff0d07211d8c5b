"""Which activation works best? Test accuracy by arm, paired by seed.

The reference is the arm with the best accuracy on the validation images, so that the test images
choose nothing; every other arm is compared with it, seed by seed, on the test images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from assay import occasion
from assay.answer import accuracy, question, verdict
from assay.answer import old_figure as figure
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Phase, Record, Status, Trial
from assay.answer.verdict import Comparison, Word
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
    runs: pd.DataFrame  # one row per seed: status, validation_accuracy, test_accuracy, …
    curves: list[list[float]]  # validation accuracy after each epoch, per seed that ended well
    tuning: dict[float, float | None]  # validation accuracy by rate, None where it diverged
    rate: float | None  # the best of them

    @property
    def name(self) -> str:
        """How the report calls the arm."""
        return NAMES[self.activation]

    @property
    def lost(self) -> str | None:
        """In how many runs it diverged; None if in none."""
        return accuracy.lost(self.runs)


def read(each: Record) -> Arm:
    """The arm of one record."""
    done = [trial for trial in each.trials if trial.status == Status.OK]
    runs = [trial for trial in done if trial.what["phase"] == Phase.TRAINING]
    tuning = [trial for trial in each.trials if trial.what["phase"] == Phase.TUNING]
    return Arm(
        device=str(each.axes["device"]),
        activation=str(each.axes["activation"]),
        runs=accuracy.runs(each),
        curves=[[*map(float, _numbers_of(trial, "validation_accuracy"))] for trial in runs],
        tuning={float(str(t.what["rate"])): _number(t, "validation_accuracy") for t in tuning},
        rate=float(str(runs[0].what["rate"])) if runs else None,
    )


Steps = dict[str, dict[str, Comparison]]  # by device, then by activation


def read_steps(records: Sequence[Record]) -> Steps:
    """The time of a step with each activation relative to ReLU's, where it was measured.

    The placebo does ReLU's very work: like the twin, it tells how far apart two equal things come.
    """
    found: Steps = {}
    for each in records:
        for trial in each.trials:
            ratios: Any = trial.result.get("ratios") or {}
            if trial.status == Status.OK:
                seen = {
                    name: verdict.paired(trial.result, name) for name in ratios if name in NAMES
                }
                control = seen.get(PLACEBO)
                reach = max(abs(control.low - 1), abs(control.high - 1)) if control else 0.0
                found.setdefault(str(each.axes["device"]), {}).update(
                    {name: replace(one, noise=max(one.noise, reach)) for name, one in seen.items()}
                )
    return found


def _numbers_of(trial: Trial, name: str) -> list[Any]:
    return list(trial.samples[name])


def _number(trial: Trial, name: str) -> float | None:
    value: Any = trial.result.get(name)
    return value


# ---- comparing ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Placed:
    """An arm beside the reference of its device."""

    arm: Arm
    seen: accuracy.Standing


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    name: str
    placed: list[Placed]  # the arms that could be compared, best test accuracy first
    lost: list[Arm]  # of which a run diverged
    steps: dict[str, Comparison]  # time of a step relative to ReLU's
    words: Mapping[Comparison, Word]  # of the question

    @property
    def comparisons(self) -> list[Comparison]:
        """All that is given a word."""
        differences = [each.seen.difference for each in self.placed if each.seen.difference]
        return [*differences, *(seen for name, seen in self.steps.items() if name != PLACEBO)]

    @property
    def reference(self) -> Arm:
        """The arm that the others were compared with."""
        return next(each.arm for each in self.placed if each.seen.is_reference)

    def judged(self, words: Mapping[Comparison, Word]) -> Device:
        """The same with the words of the question's family."""
        placed = [replace(each, seen=each.seen.judged(words)) for each in self.placed]
        return replace(self, placed=placed, words=words)


def compared(arms: Sequence[Arm], steps: Steps) -> list[Device]:
    """Every device on which an arm was trained with every seed; all is judged as one family."""
    found = []
    for device in dict.fromkeys(arm.device for arm in arms):
        here = [arm for arm in arms if arm.device == device and len(arm.runs)]
        placed = standings(here)
        if placed:
            lost = [arm for arm in here if arm.lost]
            found.append(Device(device, placed, lost, steps.get(device, {}), {}))
    words = verdict.words(seen for each in found for seen in each.comparisons)
    return [each.judged(words) for each in found]


def standings(arms: Sequence[Arm]) -> list[Placed]:
    """Every arm of one device against the reference, best test accuracy first."""
    by_name = {arm.activation: arm for arm in arms}
    runs = {name: arm.runs for name, arm in by_name.items()}
    # A placebo cannot be the reference, but for want of any other.
    real = accuracy.best({name: own for name, own in runs.items() if name != PLACEBO})
    found = accuracy.standings(runs, real or accuracy.best(runs))
    return [Placed(by_name[name], seen) for name, seen in found.items()]


def placebo_difference(arms: Sequence[Arm]) -> float | None:
    """Difference between the placebo and ReLU; None when one of the two was not measured."""
    runs = accuracy.whole({arm.activation: arm.runs for arm in arms})
    if not {PLACEBO, IGNORED_AS} <= set(runs):
        return None
    return accuracy.placebo_difference(runs[PLACEBO], runs[IGNORED_AS])


def smallest_detectable(found: Device) -> float:
    """Smallest difference that the seeds would have shown, median over the real arms."""
    runs = {e.arm.activation: e.arm.runs for e in found.placed if e.arm.activation != PLACEBO}
    reference = found.reference
    return accuracy.smallest_detectable(
        runs | {reference.activation: reference.runs}, reference.activation
    )


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and activation, and one per device of the steps."""
    trained = [each for each in records if each.study == "activation"]
    arms = [read(each) for each in trained]
    found = compared(arms, read_steps([each for each in records if each.study == "steps"]))
    return Findings(
        sentence=" ".join(map(_sentence, found))
        or "Nothing could be trained; the reasons are below.",
        findings=[text for each in found for text in _findings(each)],
        numbers={each.name: _numbers(each) for each in found},
        method=_method(records, found),
        caveats=_caveats(arms),
        picture=Picture(
            title="Test accuracy, learning curves, and accuracy by learning rate",
            alternative=_alternative(found),
        ),
        table=_table(found),
        frame=_frame(records, found),
        figure=_figure(found[0], arms) if found else figure.nothing(),
    )


def _sentence(found: Device) -> str:
    best = next(each for each in found.placed if each.seen.is_reference)
    groups: dict[str, list[str]] = {}
    for word in (Word.WORSE, Word.SAME, Word.UNKNOWN, Word.BETTER):
        for each in found.placed:
            if each.seen.word == word and each.arm.activation != PLACEBO:
                said = "cannot be told from it" if word == Word.UNKNOWN else str(each.seen.said)
                groups.setdefault(said, []).append(each.arm.name)
    parts = [f"{found.name} – {best.arm.name} was best in validation ({_percent(best)} of test "
             "images)"]  # fmt: skip
    parts += [f"{said}: {', '.join(names)}" for said, names in groups.items()]
    if found.lost:
        named = ", ".join(f"{arm.name} {arm.lost}" for arm in found.lost)
        parts.append(f"not compared: {named}")
    return "; ".join(parts) + "."


def _percent(each: Placed) -> str:
    return f"{accuracy.points(each.seen.accuracy.value)} %"


def _findings(found: Device) -> list[str]:
    best = found.reference
    texts = [
        f"{found.name}, {each.arm.name}: {each.seen.against} points against {best.name} "
        f"({each.seen.said})."
        for each in found.placed
        if each.seen.difference and each.arm.activation != PLACEBO
    ]
    error, images = accuracy.sampling_error(best.runs), accuracy.tested_images(best.runs)
    smallest = smallest_detectable(found)
    if math.isfinite(smallest):
        texts.append(
            f"{found.name}: the smallest difference that these seeds would have shown is "
            f"{accuracy.points(smallest)} points (80 % power, median over the arms); the "
            f"{images:,} test images alone leave a standard error of {accuracy.points(error)} "
            "points."
        )
    same = placebo_difference([each.arm for each in found.placed])
    if same is not None:
        texts.append(
            f"{found.name}: the placebo, whose argument is ignored, differs from ReLU by {same:.1f}"
            + (": bit for bit the same." if same == 0 else " – and it must not: mistrust this run.")
        )
    if found.steps:
        each = "; ".join(f"{NAMES[name]} {_step(found, name)}" for name in found.steps)
        texts.append(f"{found.name}, time of a step relative to ReLU's: {each}.")
    return texts


def _step(found: Device, name: str) -> str | None:
    """The time of a step relative to ReLU's, with its verdict; None where it was not timed."""
    if name == IGNORED_AS and found.steps:
        return "reference"
    if name not in found.steps:
        return None
    seen = found.steps[name]
    told = "control" if name == PLACEBO else verdict.told(seen, found.words[seen])
    return f"{seen.value:.2f} [{seen.low:.2f}, {seen.high:.2f}] × ({told})"


def _step_word(found: Device, name: str) -> str:
    return "control" if name == PLACEBO else found.words[found.steps[name]].value


def _numbers(found: Device) -> dict[str, Any]:
    return {
        "reference": found.reference.activation,
        "smallest_detectable_difference": accuracy.finite(smallest_detectable(found)),
        "placebo_difference": placebo_difference([each.arm for each in found.placed]),
        "arms": {
            each.arm.activation: {"rate": each.arm.rate, **each.seen.numbers}
            for each in found.placed
        },
        "lost": {arm.activation: arm.lost for arm in found.lost},
        "steps": {
            name: verdict.row(seen) | {"word": _step_word(found, name)}
            for name, seen in found.steps.items()
        },
    }


def _method(records: Sequence[Record], found: Sequence[Device]) -> list[str]:
    trained = [each for each in records if each.study == "activation"]
    return [
        *(_training_method(trained[0]) if trained else []),
        "The reference is the best arm in validation. "
        + accuracy.method(sum(len(each.comparisons) for each in found)),
        *_step_method([each for each in records if each.study == "steps"]),
    ]


def _training_method(trained: Record) -> list[str]:
    settings: Any = trained.settings
    widths = "-".join(map(str, [784, *settings["hidden"], 10]))
    data = trained.provenance.dataset
    return [
        f"A {widths} perceptron, plain SGD with batches of {settings['batch']}, pixels between 0 "
        f"and 1, torch's default initialisation; data: {data.name if data else 'unknown'}.",
        f"Each arm's rate is the best of {_listed(settings['rates'])} after "
        f"{settings['tuning_epochs']} epochs, judged on images set aside from the training images, "
        "with a seed that is not used again. Every arm has the same budget.",
        f"Then {settings['seeds']} runs of {settings['epochs']} epochs. Runs of one seed begin "
        "with the same weights and see the same batches in every arm. A run ends with the weights "
        "of its best epoch in validation; with those the test images are read, once.",
    ]


def _step_method(timed: Sequence[Record]) -> list[str]:
    """How steps were timed: apart from the trainings, which share the machine."""
    if not timed:
        return []
    settings: Any = timed[0].settings
    threads = sorted({each.conditions.threads_used for each in timed})
    return [
        "The time of a step is relative to ReLU's, from jobs that had the machine to themselves: "
        f"one paired trial with every activation, the placebo and a twin in the same rounds, "
        f"batches of {settings['batch']}, on {' or '.join(map(str, threads))} "
        f"thread{'s' if threads != [1] else ''}. The placebo's step is ReLU's; no difference is "
        "told that it, or the twin, reached as well. The trainings take one thread each and are "
        f"not timed. {occasion.told(timed)}",
    ]


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _caveats(arms: Sequence[Arm]) -> list[str]:
    edge = [
        arm.name
        for arm in arms
        if arm.tuning
        and arm.rate in (min(arm.tuning), max(arm.tuning))
        and arm.activation != PLACEBO
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


def _table(found: Sequence[Device]) -> Table:
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
    rows = [
        row
        for device in found
        for row in (
            *(_row(device, each) for each in device.placed),
            *(_lost_row(device, arm) for arm in device.lost),
        )
    ]
    return Table(columns=columns, rows=rows)


def _row(device: Device, each: Placed) -> list[str | float | int | None]:
    return [
        each.arm.name,
        device.name,
        each.arm.rate,
        accuracy.interval(each.seen.accuracy),
        each.seen.against,
        each.seen.said,
        _step(device, each.arm.activation),
        100 * float(each.arm.runs["dead_share"].mean()),
        float(each.arm.runs["gradient_norm_start"].mean()),
    ]


def _lost_row(device: Device, arm: Arm) -> list[str | float | int | None]:
    step = _step(device, arm.activation)
    return [arm.name, device.name, arm.rate, None, None, arm.lost, step, None, None]


def _frame(records: Sequence[Record], found: Sequence[Device]) -> pd.DataFrame:
    """Tidy: one row per trial, then one per verdict."""
    rows: list[dict[str, Any]] = []
    for each in records:
        for trial in each.trials:
            plain = {k: v for k, v in trial.result.items() if not isinstance(v, dict | list)}
            row = {"study": each.study, **each.axes, **trial.what, "status": trial.status.value}
            rows.append(row | plain | {"reason": trial.reason})
    for device in found:
        for placed in device.placed:
            where = {"study": "activation", "activation": placed.arm.activation}
            rows.append({**where, "device": device.name, **placed.seen.row})
        for arm in device.lost:
            where = {"study": "activation", "activation": arm.activation, "device": device.name}
            rows.append({**where, "phase": "verdict", "word": arm.lost})
        for name, seen in device.steps.items():
            where = {"study": "steps", "activation": name, "device": device.name}
            row = {**where, "phase": "verdict", **verdict.row(seen)}
            rows.append(row | {"word": _step_word(device, name)})
    return pd.DataFrame(rows)


def _alternative(found: Sequence[Device]) -> str:
    parts = [
        f"{device.name}: "
        + ", ".join(f"{each.arm.name} {_percent(each)}" for each in device.placed)
        for device in found
    ]
    if not parts:
        return "Nothing could be trained."
    return "Mean test accuracy of each activation, best first. " + "; ".join(parts) + "."


# ---- drawing ------------------------------------------------------------------------------------


def _figure(device: Device, arms: Sequence[Arm]) -> Figure:
    """Accuracy and curves side by side, the heat map of rates below."""
    standing = device.placed
    order = [each.arm.activation for each in standing]
    order += [arm.activation for arm in device.lost]
    here = [arm for arm in arms if arm.device == device.name and arm.activation in order]
    drawn, axes = figure.mosaic("ac\nhh", height_in=6.2, height_ratios=[3, 2])
    colours = {
        each.arm.activation: figure.CYCLE[i % len(figure.CYCLE)] for i, each in enumerate(standing)
    }
    _accuracies(axes["a"], standing, colours)
    _curves(axes["c"], standing, colours)
    _rates(axes["h"], here, order)
    return drawn


def _accuracies(axes: Axes, standing: Sequence[Placed], colours: dict[str, str]) -> None:
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


def _curves(axes: Axes, standing: Sequence[Placed], colours: dict[str, str]) -> None:
    axes.set_title("learning curves")
    shown = [each for each in standing if each.arm.activation != PLACEBO] or standing
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


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("activation", answer, argv)


if __name__ == "__main__":
    main()
