"""Can networks be composed of blocks: side by side, and of several instances of one?

Every claim about the parallel block is a check that was run. Of several instances, the factory's
(each made anew) are compared with copies of one and with one that is used again and again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from assay import accuracy, figure, inference, question, verdict
from assay.accuracy import Standing
from assay.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval, exponential
from assay.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

PARALLEL = "parallel"
REFERENCE, SLIP = "independent", "shared"
NAMES = {
    "independent": "each made anew",
    "copied": "copies of the first",
    "shared": "one, used again",
}
COUNTS = (
    "count",
    "parameters",
    "parameters_of_one",
    "memory_places",
    "pairs",
    "pairs_of_equal_values",
)
NOTHING = 1e-30  # a relative distance that no float64 can show; stands for 0 in a logarithm
COLOURS = {"independent": figure.BLUE, "copied": figure.GREEN, "shared": figure.RED}


@dataclass(frozen=True)
class Stack:
    """Several instances of a block, got in one way, on one device."""

    structure: str
    counted: dict[str, int] | None  # of the largest number of instances
    apart: NDArray[np.float64] | None  # (draws, depth + 1) distances, relative to the inputs'
    runs: pd.DataFrame
    parameters: int | None  # of the network that is trained
    rate: float | None

    @property
    def name(self) -> str:
        """How the report calls it."""
        return NAMES[self.structure]

    @property
    def lost(self) -> str | None:
        """In how many runs it diverged; None if in none."""
        return accuracy.lost(self.runs)


@dataclass(frozen=True)
class Decay:
    """By what factor a block changes the distance, and how that compares with the reference."""

    logs: NDArray[np.float64]  # of the distances: (draws, depth + 1)
    against: Comparison | None = None  # of factors, to the reference's; None for itself
    word: Word | None = None

    @property
    def logs_per_block(self) -> NDArray[np.float64]:
        """Logarithm of the factor, draw by draw."""
        return self.logs[:, -1] / (self.logs.shape[1] - 1)

    @property
    def factor(self) -> Interval:
        """The geometric mean over the draws."""
        return exponential(inference.mean(self.logs_per_block))

    @property
    def said(self) -> str | None:
        """The word as a reader gets it; None where nothing was compared."""
        return verdict.told(self.against, self.word) if self.against and self.word else None

    @property
    def numbers(self) -> dict[str, Any]:
        """For programs and tables."""
        seen = self.factor
        level = {"factor": seen.value, "factor_low": accuracy.finite(seen.low),
                 "factor_high": accuracy.finite(seen.high)}  # fmt: skip
        ratio = verdict.row(self.against) if self.against else {}
        finite = {name: accuracy.finite(value) for name, value in ratio.items()}
        return level | finite | {"word": self.word.value if self.word else None}


@dataclass(frozen=True)
class Device:
    """Everything that was found on one device."""

    name: str
    checks: dict[str, Trial]  # of the parallel block
    stacks: dict[str, Stack]
    decays: dict[str, Decay]
    standings: dict[str, Standing]

    @property
    def comparisons(self) -> list[Comparison]:
        """All that is given a word."""
        seen = [each.against for each in self.decays.values()]
        seen += [each.difference for each in self.standings.values()]
        return [each for each in seen if each]

    def judged(self, words: Mapping[Comparison, Word]) -> Device:
        """The same with the words of the question's family."""
        decays = {
            name: replace(each, word=words[each.against]) if each.against else each
            for name, each in self.decays.items()
        }
        standings = {name: each.judged(words) for name, each in self.standings.items()}
        return replace(self, decays=decays, standings=standings)

    @property
    def lost(self) -> dict[str, str]:
        """The stacks that are not compared because runs diverged: in how many."""
        return {name: stack.lost for name, stack in self.stacks.items() if stack.lost}


# ---- reading ------------------------------------------------------------------------------------


def devices(records: Sequence[Record]) -> list[Device]:
    """What was found, device by device, judged; devices on which nothing was are left out."""
    tried = [each for each in records if any(map(_ended, each.trials))]
    labels = dict.fromkeys(str(each.axes["device"]) for each in tried)
    found = [_device(label, tried) for label in labels]
    words = verdict.words(seen for each in found for seen in each.comparisons)
    return [each.judged(words) for each in found]


def _ended(trial: Trial) -> bool:
    """Whether a trial came to something, be it that training diverged."""
    return trial.status in (Status.OK, Status.DIVERGED)


def _device(label: str, records: Sequence[Record]) -> Device:
    own = [each for each in records if each.axes["device"] == label]
    trials = [trial for each in own for trial in each.trials if _ended(trial)]
    runs = pd.concat([accuracy.runs(each) for each in own])
    present = {str(trial.what["structure"]) for trial in trials}
    stacks = {name: _stack(name, trials, runs) for name in NAMES if name in present}
    return Device(
        label,
        checks={
            str(trial.what["check"]): trial
            for trial in trials
            if trial.what["structure"] == PARALLEL and trial.status == Status.OK
        },
        stacks=stacks,
        decays=_decays(stacks),
        standings=_standings(stacks),
    )


def _stack(structure: str, trials: Sequence[Trial], runs: pd.DataFrame) -> Stack:
    own = [trial for trial in trials if trial.what["structure"] == structure]
    done = [trial for trial in own if trial.status == Status.OK]
    counted: list[dict[str, Any]] = [
        {**t.what, **t.result} for t in done if t.what.get("check") == "instances"
    ]
    most = max(counted, key=lambda row: int(row["count"]), default=None)
    distance = next((t for t in done if t.what.get("check") == "distance"), None)
    learned: list[dict[str, Any]] = [t.result for t in own if "phase" in t.what]
    mine = runs[runs["structure"] == structure] if len(runs) else runs
    return Stack(
        structure,
        counted={name: int(most[name]) for name in COUNTS} if most else None,
        apart=np.array([*distance.samples.values()], dtype=float) if distance else None,
        runs=mine,
        parameters=next((each["parameters"] for each in learned if "parameters" in each), None),
        rate=float(mine["rate"].iloc[0]) if len(mine) else None,
    )


def _decays(stacks: Mapping[str, Stack]) -> dict[str, Decay]:
    """Factor per block of every stack, compared draw by draw; not yet judged."""
    found = {
        # A distance may be 0: every unit may be dead.
        name: Decay(np.log(np.maximum(stack.apart, NOTHING)))
        for name, stack in stacks.items()
        if stack.apart is not None
    }
    if REFERENCE not in found:
        return found
    reference = found[REFERENCE].logs_per_block
    return {
        name: each
        if name == REFERENCE
        else replace(each, against=verdict.paired_ratio(each.logs_per_block, reference))
        for name, each in found.items()
    }


def _standings(stacks: Mapping[str, Stack]) -> dict[str, Standing]:
    """Test accuracy of every stack that is whole, against the reference; not yet judged."""
    return accuracy.standings({name: stack.runs for name, stack in stacks.items()}, REFERENCE)


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and structures."""
    found = devices(records)
    return Findings(
        sentence=" ".join(_sentence(each) for each in found)
        or "Nothing could be tried; the reasons are below.",
        findings=[text for each in found for text in _findings(each)],
        numbers={each.name: _numbers(each) for each in found},
        method=_method(records, sum(len(each.comparisons) for each in found)),
        caveats=CAVEATS,
        picture=Picture(
            title=(
                "Jacobian of the parallel block, distance between two outputs along a stack, and "
                "test accuracy"
            ),
            alternative=_alternative(found),
        ),
        table=_table(found),
        frame=_frame(records, found),
        figure=_figure(found) if found else figure.nothing(),
        snippet=SNIPPET,
    )


def _sentence(device: Device) -> str:
    parts = [
        *_parallel_part(device),
        *_count_part(device),
        *_trained_part(device),
        *_decay_part(device),
    ]
    said = "; ".join(parts) or "what could be tried is below"
    return f"{device.name} – {said}{_not_compared(device)}."


def _parallel_part(device: Device) -> list[str]:
    held = claims(device)
    if not held:
        return []
    failed = [name for name, holds in held.items() if not holds]
    if failed:
        return [f"the parallel block fails its checks: {', '.join(failed)}"]
    if len(held) < len(CLAIMS):
        return [
            f"the parallel block passes {len(held)} of {len(CLAIMS)} checks; the others could not "
            "be made"
        ]
    return [
        f"the parallel block passes all {len(held)} checks, among them a Jacobian that is exactly "
        "block diagonal"
    ]


def _count_part(device: Device) -> list[str]:
    stacks = [device.stacks[name] for name in (REFERENCE, SLIP) if name in device.stacks]
    return [
        f"{stack.counted['count']} instances, {stack.name}, have "
        f"{stack.counted['parameters']:,} parameters"
        for stack in stacks
        if stack.counted
    ]


def _trained_part(device: Device) -> list[str]:
    seen = device.standings.get(SLIP)
    if seen is None or seen.said is None:
        return []
    other = device.standings[REFERENCE].accuracy.value
    return [
        f"trained at equal depth, one used again reaches {accuracy.points(seen.accuracy.value)} % "
        f"of the test images and instances made anew {accuracy.points(other)} % ({seen.said})"
    ]


def _decay_part(device: Device) -> list[str]:
    """Whether it is the sharing that lets outputs draw near."""
    seen, reference = device.decays.get(SLIP), device.decays.get(REFERENCE)
    if seen is None:
        return []
    text = (
        "before training each block brings two outputs together by a factor of "
        f"{_interval(seen.factor)}"
    )
    if reference is None or seen.word is None:
        return [text]
    tail = {
        Word.SAME: ": the initialisation does that, not the sharing",
        Word.FASTER: ": sharing adds to it",
        Word.SLOWER: ": sharing slows it",
    }
    return [
        f"{text}, with instances made anew {_interval(reference.factor)} "
        f"({_pace(seen)}){tail.get(seen.word, '')}"
    ]


def _pace(seen: Decay) -> str:
    """A verdict on a factor under 1: what is smaller collapses faster."""
    return "cannot tell" if seen.word == Word.UNKNOWN else f"one used again: {seen.said}"


def _not_compared(device: Device) -> str:
    """Which stacks diverged, in words to be added to a sentence; nothing if none did."""
    names = [f"{NAMES[name]} ({lost})" for name, lost in device.lost.items()]
    return f"; trained, but not compared: {', '.join(names)}" if names else ""


def claims(device: Device) -> dict[str, bool]:
    """What must hold for a parallel block, and whether it does; without what was not checked."""
    return {
        claim: holds(device.checks[check].result)
        for claim, (check, holds) in CLAIMS.items()
        if check in device.checks
    }


# What must hold for a parallel block, the check that tells, and how its result tells it.
CLAIMS: dict[str, tuple[str, Callable[[dict[str, Any]], bool]]] = {
    "outputs equal those of the branches, concatenated by hand": (
        "equality",
        lambda seen: seen["outputs_equal"],
    ),
    "gradients equal theirs": ("equality", lambda seen: seen["gradients_equal"]),
    "its parameters are those of the branches": (
        "equality",
        lambda seen: seen["parameters"] == seen["parameters_of_branches"],
    ),
    "the Jacobian by the parameters is block diagonal": (
        "jacobian by parameters",
        lambda seen: seen["largest_outside"] == 0,
    ),
    "the Jacobian by the inputs is the branches' own, stacked": (
        "jacobian by inputs",
        lambda seen: seen["equals_stack"],
    ),
    "samples do not mix": (
        "jacobian by inputs",
        lambda seen: seen["largest_between_samples"] == 0,
    ),
    "features are joined, not samples": (
        "cat without dim",
        lambda seen: seen["shape_of_block"] == [2, 32],
    ),
    "outputs that do not fit are refused, with both shapes": (
        "contract",
        lambda seen: seen["names_both_shapes"],
    ),
}


def _interval(seen: Interval) -> str:
    return f"{seen.value:.3f} [{seen.low:.3f}, {seen.high:.3f}]"


def _findings(device: Device) -> list[str]:
    return [
        *_parallel_findings(device),
        *_instance_findings(device),
        *_decay_findings(device),
        *_accuracy_findings(device),
    ]


def _parallel_findings(device: Device) -> list[str]:
    if not device.checks:
        return []
    held = [f"{'yes' if holds else 'NO'}: {claim}" for claim, holds in claims(device).items()]
    told = {
        "jacobian by parameters": _jacobian_finding,
        "cat without dim": _cat_finding,
        "contract": lambda seen: f"outputs that do not fit raise “{seen['error']}”.",
    }
    return [
        f"{device.name}, parallel block – {'; '.join(held)}.",
        *(
            f"{device.name}: {tell(device.checks[check].result)}"
            for check, tell in told.items()
            if check in device.checks
        ),
    ]


def _jacobian_finding(seen: Mapping[str, Any]) -> str:
    return (
        f"outside the blocks of its Jacobian the largest entry is {seen['largest_outside']:g}, "
        f"inside {seen['largest_inside']:.3g}; widths {' and '.join(map(str, seen['outputs']))} "
        f"side by side give {sum(seen['outputs'])} features."
    )


def _cat_finding(seen: Mapping[str, Any]) -> str:
    one, other = (tuple(shape) for shape in seen["shapes"])
    return (
        f"torch.cat without dim turns {one} and {other} into {tuple(seen['shape_without_dim'])}, "
        f"a batch of twice the samples; the block gives {tuple(seen['shape_of_block'])}. Where the "
        f"widths differ it raises “{seen['error_of_unequal']}”."
    )


def _instance_findings(device: Device) -> list[str]:
    texts = []
    for stack in device.stacks.values():
        row = stack.counted
        if row is None:
            continue
        texts.append(
            f"{device.name}, {row['count']} instances, {stack.name}: {row['parameters']:,} "
            f"parameters (one block: {row['parameters_of_one']:,}), weights in "
            f"{row['memory_places']} {'place' if row['memory_places'] == 1 else 'places'} of "
            f"memory, {row['pairs_of_equal_values']} of {row['pairs']} pairs begin with equal "
            "values."
        )
    return texts


def _decay_findings(device: Device) -> list[str]:
    texts = []
    for name, decay in device.decays.items():
        depth = decay.logs.shape[1] - 1
        middle = math.exp(decay.logs[:, -1].mean())
        text = (
            f"{device.name}, {NAMES[name]}: a block multiplies the distance between two outputs by "
            f"{_interval(decay.factor)}, so that {middle:.2g} of it is left after {depth}"
        )
        if decay.against:
            text += f"; per block {_interval(decay.against)} × that of instances made anew"
            text += f" ({decay.said})"
        texts.append(f"{text}.")
    return texts


def _accuracy_findings(device: Device) -> list[str]:
    texts = []
    for name, seen in device.standings.items():
        stack = device.stacks[name]
        text = (
            f"{device.name}, {stack.name}: {accuracy.interval(seen.accuracy)} % of the test images "
            f"with {stack.parameters:,} parameters at rate {stack.rate:g}"
        )
        if seen.difference:
            text += f", {seen.against} points against instances made anew ({seen.said})"
        texts.append(f"{text}.")
    texts += [
        f"{device.name}, {NAMES[name]}: {lost}, so that its accuracy is compared with nothing."
        for name, lost in device.lost.items()
    ]
    if any(seen.difference for seen in device.standings.values()):
        runs = {name: device.stacks[name].runs for name in device.standings}
        smallest = accuracy.smallest_detectable(runs, REFERENCE)
        texts.append(
            f"{device.name}: the smallest difference that these seeds would have shown is "
            f"{accuracy.points(smallest)} points (80 % power, median over the structures)."
        )
    return texts


def _numbers(device: Device) -> dict[str, Any]:
    return {
        "parallel": claims(device),
        "instances": {
            name: stack.counted for name, stack in device.stacks.items() if stack.counted
        },
        "factor_per_block": {name: decay.numbers for name, decay in device.decays.items()},
        "accuracy": {
            name: {
                **seen.numbers,
                "parameters": device.stacks[name].parameters,
                "rate": device.stacks[name].rate,
            }
            for name, seen in device.standings.items()
        },
        "lost": device.lost,
    }


def _method(records: Sequence[Record], comparisons: int) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    width, depth = settings["width"], settings["depth"]
    rates = ", ".join(f"{rate:g}" for rate in settings["rates"])
    return [
        "The parallel block was compared with its branches, called and concatenated by hand, on "
        "the same inputs and weights: outputs, gradients and Jacobians, entry by entry, with no "
        "tolerance. A Jacobian's row is one backward pass from one output.",
        f"The block that is instantiated is a linear layer of {width} units and ReLU, with torch's "
        "default initialisation.",
        f"Distance: {settings['draws']} draws of two normal random inputs and of the weights, the "
        f"same inputs and first block in every structure, through {settings['stacked']} blocks "
        "that are not trained. The factor per block is a geometric mean with Student's interval; "
        "structures are compared draw by draw, as ratios to instances made anew; no difference "
        f"under {100 * verdict.MARGIN:g} % is called one, and “the same” means that the whole "
        "interval lies within it.",
        f"Accuracy: 784-{width}, {depth} blocks, {width}-10; plain SGD, batches of "
        f"{settings['batch']}; the rate is the best of {rates} after {settings['tuning_epochs']} "
        f"epochs on images set aside; then {settings['seeds']} runs of {settings['epochs']} "
        f"epochs; data: {data.name if data else 'unknown'}. Runs of one seed begin with the same "
        "weights, but for the second and further instances, and see the same batches; the weights "
        "are those of the best epoch in validation, and the test images are read once.",
        accuracy.method(comparisons),
    ]


CAVEATS = [
    "At equal depth the network with one instance has fewer parameters: its accuracy tells what "
    "the slip costs, not what sharing weights on purpose is worth.",
    "The distance is that of networks before training, with torch's default initialisation: "
    "another one, or training, changes the factor.",
]


def _table(found: Sequence[Device]) -> Table:
    columns = [
        Column(name="device"),
        Column(name="instances"),
        Column(name="parameters"),
        Column(name="distance, factor per block"),
        Column(name="verdict on it"),
        Column(name="test accuracy", unit="%"),
        Column(name="difference", unit="points"),
        Column(name="verdict"),
    ]
    rows = [_row(device, name, stack) for device in found for name, stack in device.stacks.items()]
    return Table(columns=columns, rows=rows)


def _row(device: Device, name: str, stack: Stack) -> list[str | float | int | None]:
    decay, seen = device.decays.get(name), device.standings.get(name)
    return [
        device.name,
        stack.name,
        None if stack.parameters is None else f"{stack.parameters:,}",
        _interval(decay.factor) if decay else None,
        decay.said if decay else None,
        accuracy.interval(seen.accuracy) if seen else None,
        seen.against if seen else None,
        seen.said if seen else stack.lost,
    ]


def _frame(records: Sequence[Record], found: Sequence[Device]) -> pd.DataFrame:
    """Tidy: a row per check, distance of a draw and training run; then one per verdict."""
    rows: list[dict[str, Any]] = []
    for each in records:
        device = each.axes["device"]
        for trial in each.trials:
            shared = {"device": device, **trial.what, "status": trial.status.value}
            if trial.what.get("check") == "distance":
                rows += [
                    {**shared, "draw": draw, "blocks": blocks, "relative_distance": distance}
                    for draw, along in trial.samples.items()
                    for blocks, distance in enumerate(along)
                ]
            else:
                rows.append({**shared, **trial.result, "reason": trial.reason})
    return pd.DataFrame([*rows, *(row for each in found for row in _verdicts(each))])


def _verdicts(device: Device) -> list[dict[str, Any]]:
    """What the page says of each structure, with all that it rests on."""
    told: list[tuple[str, dict[str, Any]]] = [
        (name, {"phase": "verdict", "check": "distance", **decay.numbers})
        for name, decay in device.decays.items()
    ]
    told += [(name, seen.row) for name, seen in device.standings.items()]
    told += [(name, {"phase": "verdict", "word": lost}) for name, lost in device.lost.items()]
    return [{"device": device.name, "structure": name, **row} for name, row in told]


# ---- the figure ---------------------------------------------------------------------------------


def _alternative(found: Sequence[Device]) -> str:
    texts = []
    for device in found:
        texts.append(f"{device.name}:")
        jacobian = device.checks.get("jacobian by parameters")
        if jacobian:
            size = jacobian.result
            texts.append(
                f"Jacobian of {size['outputs']} outputs by {size['parameters']} parameters: filled "
                "in two blocks on the diagonal, 0 elsewhere."
            )
        texts += [
            f"{NAMES[name]}: distance × {_interval(decay.factor)} per block."
            for name, decay in device.decays.items()
        ]
        texts += [
            f"{NAMES[name]}: test accuracy {accuracy.interval(seen.accuracy)} %."
            for name, seen in device.standings.items()
        ]
    return " ".join(texts)


def _figure(found: Sequence[Device]) -> Figure:
    """Per device the Jacobian, and under it distance and accuracy."""
    letters = [(f"{3 * i + 1}", f"{3 * i + 2}", f"{3 * i + 3}") for i in range(len(found))]
    layout = "\n".join(f"{a}{a}\n{b}{c}" for a, b, c in letters)
    drawn, axes = figure.mosaic(
        layout,
        height_in=4.9 * len(found),
        gridspec_kw={"height_ratios": [1.6, 2.6] * len(found)},
    )
    for device, (a, b, c) in zip(found, letters, strict=True):
        _jacobian(axes[a], device)
        _distances(axes[b], device)
        _accuracies(axes[c], device)
    return drawn


def _jacobian(axes: Axes, device: Device) -> None:
    """Filled where an output depends on a parameter; one colour per branch."""
    axes.set_title(f"{device.name}: which output depends on which parameter (filled: it does)")
    trial = device.checks.get("jacobian by parameters")
    if trial is None:
        axes.set_axis_off()
        return
    matrix = np.array([*trial.samples.values()], dtype=float) != 0
    outputs: Any = trial.result["outputs"]
    columns: Any = trial.result["parameters"]
    tops, lefts = np.cumsum([0, *outputs]), np.cumsum([0, *columns])
    for i, (top, height) in enumerate(zip(tops, outputs, strict=False)):
        rows = slice(top, top + height)
        shown = np.ma.masked_equal(matrix[rows].astype(float), 0)
        edges = np.arange(matrix.shape[1] + 1), np.arange(top, top + height + 1)
        colour = figure.CYCLE[i % len(figure.CYCLE)]
        axes.pcolormesh(
            *edges, shown, cmap=ListedColormap([colour]), edgecolor="face", linewidth=0.3
        )
        for j, (left, width) in enumerate(zip(lefts, columns, strict=False)):
            if i != j and not matrix[rows, left : left + width].any():
                middle = (left + width / 2, top + height / 2)
                axes.text(*middle, "exactly 0", ha="center", va="center", fontsize=9)
    for edge in tops[1:-1]:
        axes.axhline(edge, color=figure.MUTED, linewidth=0.8)
    for edge in lefts[1:-1]:
        axes.axvline(edge, color=figure.MUTED, linewidth=0.8)
    axes.set_ylim(matrix.shape[0], 0)
    axes.set_xlim(0, matrix.shape[1])
    axes.set_yticks(
        [(a + b) / 2 for a, b in pairwise(tops)],
        [f"{height} outputs of\nbranch {i + 1}" for i, height in enumerate(outputs)],
    )
    axes.set_xticks(
        [(a + b) / 2 for a, b in pairwise(lefts)],
        [f"{width} parameters of branch {i + 1}" for i, width in enumerate(columns)],
    )
    axes.tick_params(length=0)


def _distances(axes: Axes, device: Device) -> None:
    """Geometric mean over the draws, with its interval as a band."""
    axes.set_title("before training: two outputs draw near")
    axes.set_yscale("log")
    axes.set_xlabel("blocks passed")
    axes.set_ylabel("distance, relative to the inputs'")
    ends = []
    for structures, decay in _alike(device.decays):
        levels = [inference.mean(column) for column in decay.logs.T]
        blocks, colour = range(len(levels)), COLOURS[structures[0]]
        middle = np.exp([level.value for level in levels])
        low, high = np.exp([[level.low, level.high] for level in levels]).T
        # Dashed, so that a line beneath shows through.
        dash = "--" if structures[0] == REFERENCE else "-"
        axes.plot(blocks, middle, dash, color=colour, linewidth=1.8)
        axes.fill_between(blocks, low, high, color=colour, alpha=0.2, linewidth=0)
        names = [NAMES[name] for name in structures]
        ends.append((names, colour, len(levels) - 1, float(np.log(middle[-1]))))
    if not ends:
        axes.set_axis_off()
        return
    axes.xaxis.get_major_locator().set_params(integer=True)
    bottom, top = np.log(axes.get_ylim())
    bottom -= 0.1 * (top - bottom)  # room for the labels
    axes.set_ylim(math.exp(bottom), math.exp(top))
    places = figure.spread([end for *_, end in ends], 0.12 * (top - bottom), top)
    for (names, colour, blocks, _), place in zip(ends, places, strict=True):
        axes.annotate(
            "\n= ".join(names),
            (blocks, math.exp(place)),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
            annotation_clip=False,
        )
    axes.set_xlim(right=1.02 * max(blocks for *_, blocks, _ in ends))


def _alike(decays: Mapping[str, Decay]) -> list[tuple[list[str], Decay]]:
    """The structures with their decays; those with the very same distances are one line."""
    lines: list[tuple[list[str], Decay]] = []
    for name, decay in [*decays.items()][::-1]:
        same = next((names for names, one in lines if np.array_equal(one.logs, decay.logs)), None)
        if same:
            same.append(name)
        else:
            lines.append(([name], decay))
    return lines


def _accuracies(axes: Axes, device: Device) -> None:
    """A row per structure: interval, mean and the seeds."""
    axes.set_title("trained: test accuracy")
    names = [name for name in NAMES if name in device.standings]
    if not names:
        axes.set_axis_off()
        return
    for row, name in enumerate(names):
        level, colour = device.standings[name].accuracy, COLOURS[name]
        seeds = 100 * device.stacks[name].runs["test_accuracy"]
        axes.plot(seeds, [row] * len(seeds), "|", color=colour, alpha=0.6)
        axes.plot([100 * level.low, 100 * level.high], [row, row], color=colour, linewidth=1.6)
        axes.plot(100 * level.value, row, "o", color=colour)
        axes.annotate(
            f"{NAMES[name]}: {device.stacks[name].parameters:,} parameters",
            (100 * level.value, row),
            (0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
        )
    axes.set_ylim(len(names) - 0.5, -0.7)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.25)
    axes.set_xlabel("% of the test images (line: 95 %)")


SNIPPET = Snippet(
    text="Three slips that raise no error, each beside what was meant.",
    code="""\
import torch
from torch import nn

one, other = torch.zeros(2, 16), torch.ones(2, 16)
print("without dim:", tuple(torch.cat([one, other]).shape),
      "along the features:", tuple(torch.cat([one, other], dim=-1).shape))

def count(net):
    return sum(p.numel() for p in net.parameters())

block = nn.Linear(16, 16)
print("one block used four times:", count(nn.Sequential(*[block] * 4)), "parameters;",
      "four blocks:", count(nn.Sequential(*[nn.Linear(16, 16) for _ in range(4)])))

class Looping(nn.Sequential):  # as textbooks write it
    def forward(self, x):
        for layer in self.children():
            x = layer(x)
        return x

x = torch.randn(3, 16)
print("children() applies a repeated block once:",
      torch.equal(Looping(*[block] * 4)(x), block(x)))
""",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("composition", answer, argv)


if __name__ == "__main__":
    main()
