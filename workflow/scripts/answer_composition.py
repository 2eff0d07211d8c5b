"""Can networks be composed of blocks: side by side, and of several instances of one?

Every claim about the parallel block is a check that was run. Of several instances, the factory's
(each made anew) are compared with copies of one and with one that is used again and again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from assay import inference
from assay.answer import accuracy, question, verdict
from assay.answer import old_figure as figure
from assay.answer.accuracy import Standing
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from assay.answer.verdict import Comparison, Word
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
NOTHING = 1e-30  # a relative distance that no float64 can show; stands for 0 in a logarithm
COLOURS = {"independent": figure.BLUE, "copied": figure.GREEN, "shared": figure.RED}


@dataclass(frozen=True)
class Stack:
    """Several instances of a block, got in one way, on one device."""

    structure: str
    instances: pd.DataFrame  # a row per number of instances; none where they were not counted
    # (draws, depth + 1) distances, relative to that of the inputs; no draws where not followed
    apart: NDArray[np.float64]
    runs: pd.DataFrame
    parameters: int | None  # of the network that is trained
    rate: float | None

    @property
    def name(self) -> str:
        """How the report calls it."""
        return NAMES[self.structure]

    @property
    def lost(self) -> str | None:
        """In how many runs training diverged; None if in none."""
        return accuracy.lost(self.runs)

    @property
    def logs(self) -> NDArray[np.float64]:
        """Logarithms of the distances; finite even where nothing is left of them."""
        return np.log(np.maximum(self.apart, NOTHING))

    @property
    def logs_per_block(self) -> NDArray[np.float64]:
        """Logarithm of the factor by which a block changes the distance, draw by draw."""
        return self.logs[:, -1] / (self.apart.shape[1] - 1)


@dataclass(frozen=True)
class Decay:
    """By what factor a block changes the distance, and how that compares with the reference."""

    factor: Interval
    against: Comparison | None  # of factors, to the reference's; None for the reference itself
    word: Word | None = None  # once all comparisons of the question are judged

    def judged(self, words: Mapping[Comparison, Word]) -> Decay:
        """The same with the word that its comparison was given."""
        return replace(self, word=words[self.against]) if self.against else self


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
        return replace(
            self,
            decays={name: each.judged(words) for name, each in self.decays.items()},
            standings={name: each.judged(words) for name, each in self.standings.items()},
        )


# ---- reading ------------------------------------------------------------------------------------


def devices(records: Sequence[Record]) -> list[Device]:
    """What was found, device by device, judged as one family; devices without are left out."""
    done = [each for each in records if any(t.status == Status.OK for t in each.trials)]
    found = [_device(label, done) for label in dict.fromkeys(str(e.axes["device"]) for e in done)]
    words = verdict.words(seen for each in found for seen in each.comparisons)
    return [each.judged(words) for each in found]


def _device(label: str, records: Sequence[Record]) -> Device:
    own = [each for each in records if each.axes["device"] == label]
    trials = [trial for each in own for trial in each.trials if trial.status == Status.OK]
    runs = pd.concat([accuracy.runs(each) for each in own])
    present = {str(trial.what["structure"]) for trial in trials}
    stacks = {name: _stack(name, trials, runs) for name in NAMES if name in present}
    return Device(
        label,
        checks={
            str(trial.what["check"]): trial
            for trial in trials
            if trial.what["structure"] == PARALLEL
        },
        stacks=stacks,
        decays=_decays(stacks),
        standings=_standings(stacks),
    )


def _stack(structure: str, trials: Sequence[Trial], runs: pd.DataFrame) -> Stack:
    own = [trial for trial in trials if trial.what["structure"] == structure]
    counted = [t for t in own if t.what.get("check") == "instances"]
    followed = [t for t in own if t.what.get("check") == "distance"]
    distances = [*followed[0].samples.values()] if followed else []
    mine = runs[runs["structure"] == structure] if len(runs) else runs
    learned: list[dict[str, Any]] = [t.result for t in own if "parameters" in t.result]
    return Stack(
        structure,
        instances=pd.DataFrame([{**t.what, **t.result} for t in counted]),
        apart=np.array(distances, dtype=float),
        runs=mine,
        parameters=learned[-1]["parameters"] if learned else None,
        rate=float(mine["rate"].iloc[0]) if len(mine) else None,
    )


def _decays(stacks: Mapping[str, Stack]) -> dict[str, Decay]:
    """Factor per block of every stack that was followed; against the reference, draw by draw."""
    logs = {name: stack.logs_per_block for name, stack in stacks.items() if len(stack.apart)}
    reference = logs.get(REFERENCE)
    return {
        name: Decay(
            _factor(inference.mean(own)),
            None
            if reference is None or name == REFERENCE
            else verdict.paired_ratio(own, reference),
        )
        for name, own in logs.items()
    }


def _factor(logs: Interval) -> Interval:
    return Interval(math.exp(logs.value), math.exp(logs.low), math.exp(logs.high))


def _standings(stacks: Mapping[str, Stack]) -> dict[str, Standing]:
    runs = {name: stack.runs for name, stack in stacks.items() if len(stack.runs)}
    reference = REFERENCE if REFERENCE in runs else next(iter(accuracy.whole(runs)), None)
    return accuracy.standings(runs, reference)


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
    )


def _sentence(device: Device) -> str:
    parts = [*_parallel_part(device), *_count_part(device), *_trained_part(device)]
    parts += _decay_part(device)
    return f"{device.name} – {'; '.join(parts or ['nothing could be compared'])}."


def _parallel_part(device: Device) -> list[str]:
    if not device.checks:
        return []
    held = claims(device)
    failed = [name for name, holds in held.items() if not holds]
    if failed:
        return [f"the parallel block fails its checks: {', '.join(failed)}"]
    diagonal = ", among them a Jacobian that is exactly block diagonal" if DIAGONAL in held else ""
    made = "" if len(held) == len(CLAIMS) else " that could be made"
    return [f"the parallel block passes all {len(held)} checks{made}{diagonal}"]


def _count_part(device: Device) -> list[str]:
    count = _largest_count(device)
    return [
        f"{count} instances, {NAMES[name]}, have {row['parameters']:,} parameters"
        for name in (REFERENCE, SLIP)
        if name in device.stacks and (row := _counted(device.stacks[name], count))
    ]


def _trained_part(device: Device) -> list[str]:
    lost = [f"{stack.name} {stack.lost}" for stack in device.stacks.values() if stack.lost]
    aside = [f"trained, not compared: {', '.join(lost)}"] if lost else []
    seen = device.standings.get(SLIP)
    if seen is None or seen.difference is None or REFERENCE not in device.standings:
        return aside
    other = device.standings[REFERENCE].accuracy.value
    return [
        f"trained at equal depth, one used again reaches {accuracy.points(seen.accuracy.value)} % "
        f"of the test images and instances made anew {accuracy.points(other)} % ({seen.said})",
        *aside,
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
    return "cannot tell" if seen.word == Word.UNKNOWN else f"one used again: {_said(seen)}"


def _said(seen: Decay) -> str | None:
    return verdict.told(seen.against, seen.word) if seen.against and seen.word else None


DIAGONAL = "the Jacobian by the parameters is block diagonal"
# What must hold for a parallel block: the check that shows it, and whether its result does.
CLAIMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "outputs equal those of the branches, concatenated by hand": (
        "equality",
        lambda seen: seen["outputs_equal"],
    ),
    "gradients equal theirs": ("equality", lambda seen: seen["gradients_equal"]),
    "its parameters are those of the branches": (
        "equality",
        lambda seen: seen["parameters"] == seen["parameters_of_branches"],
    ),
    DIAGONAL: ("jacobian by parameters", lambda seen: seen["largest_outside"] == 0),
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


def claims(device: Device) -> dict[str, bool]:
    """Whether each claim on a parallel block holds, where its check was made."""
    return {
        claim: holds(device.checks[check].result)
        for claim, (check, holds) in CLAIMS.items()
        if check in device.checks
    }


def _largest_count(device: Device) -> int:
    counted = [stack.instances for stack in device.stacks.values() if len(stack.instances)]
    return max((int(each["count"].max()) for each in counted), default=0)


def _counted(stack: Stack, count: int) -> dict[str, int] | None:
    """What so many instances have in common; None where they were not counted."""
    if stack.instances.empty or count not in set(stack.instances["count"]):
        return None
    row = stack.instances.set_index("count").loc[count]
    return {str(name): int(row[name]) for name in COUNTS}


COUNTS = ("parameters", "parameters_of_one", "memory_places", "pairs", "pairs_of_equal_values")


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
    results: dict[str, Any] = {name: trial.result for name, trial in device.checks.items()}
    held = [f"{'yes' if holds else 'NO'}: {claim}" for claim, holds in claims(device).items()]
    texts = [f"{device.name}, parallel block – {'; '.join(held)}."]
    if jacobian := results.get("jacobian by parameters"):
        texts.append(
            f"{device.name}: outside the blocks of its Jacobian the largest entry is "
            f"{jacobian['largest_outside']:g}, inside {jacobian['largest_inside']:.3g}; widths "
            f"{' and '.join(map(str, jacobian['outputs']))} side by side give "
            f"{sum(jacobian['outputs'])} features."
        )
    if cat := results.get("cat without dim"):
        one, other = (tuple(shape) for shape in cat["shapes"])
        texts.append(
            f"{device.name}: torch.cat without dim turns {one} and {other} into "
            f"{tuple(cat['shape_without_dim'])}, a batch of twice the samples; the block gives "
            f"{tuple(cat['shape_of_block'])}. Where the widths differ it raises "
            f"“{cat['error_of_unequal']}”."
        )
    if contract := results.get("contract"):
        texts.append(f"{device.name}: outputs that do not fit raise “{contract['error']}”.")
    return texts


def _instance_findings(device: Device) -> list[str]:
    count = _largest_count(device)
    texts = []
    for stack in device.stacks.values():
        row = _counted(stack, count)
        if row is None:
            continue
        texts.append(
            f"{device.name}, {count} instances, {stack.name}: {row['parameters']:,} parameters "
            f"(one block: {row['parameters_of_one']:,}), weights in {row['memory_places']} "
            f"{'place' if row['memory_places'] == 1 else 'places'} of memory, "
            f"{row['pairs_of_equal_values']} of {row['pairs']} pairs begin with equal values."
        )
    return texts


def _decay_findings(device: Device) -> list[str]:
    texts = []
    for name, decay in device.decays.items():
        logs = device.stacks[name].logs
        depth = logs.shape[1] - 1
        middle = math.exp(logs[:, -1].mean())
        text = (
            f"{device.name}, {NAMES[name]}: a block multiplies the distance between two outputs by "
            f"{_interval(decay.factor)}, so that {middle:.2g} of it is left after {depth}"
        )
        if decay.against:
            text += f"; per block {_interval(decay.against)} × that of instances made anew "
            text += f"({_said(decay)})"
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
            text += f", {seen.against} points against the reference ({seen.said})"
        texts.append(f"{text}.")
    if len(device.standings) > 1:
        runs = {name: device.stacks[name].runs for name in device.standings}
        reference = next((n for n, seen in device.standings.items() if seen.is_reference), None)
        smallest = accuracy.smallest_detectable(runs, reference)
        if math.isfinite(smallest):
            texts.append(
                f"{device.name}: the smallest difference that these seeds would have shown is "
                f"{accuracy.points(smallest)} points (80 % power, median over the structures)."
            )
    return texts


def _numbers(device: Device) -> dict[str, Any]:
    count = _largest_count(device)
    return {
        "parallel": claims(device) if device.checks else {},
        "instances": {
            name: {"count": count, **row}
            for name, stack in device.stacks.items()
            if (row := _counted(stack, count))
        },
        "factor_per_block": {
            name: {
                "factor": decay.factor.value,
                "factor_low": accuracy.finite(decay.factor.low),
                "factor_high": accuracy.finite(decay.factor.high),
                "word": decay.word.value if decay.word else None,
            }
            for name, decay in device.decays.items()
        },
        "accuracy": {
            name: {
                **seen.numbers,
                "parameters": device.stacks[name].parameters,
                "rate": device.stacks[name].rate,
            }
            for name, seen in device.standings.items()
        },
        "lost": {name: stack.lost for name, stack in device.stacks.items() if stack.lost},
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
        "structures are compared draw by draw; no difference under "
        f"{verdict.MARGIN:.0%} is called one, and “the same” is within it.",
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
        Column(name="test accuracy", unit="%"),
        Column(name="difference", unit="points"),
        Column(name="verdict"),
    ]
    rows = [_row(device, name, stack) for device in found for name, stack in device.stacks.items()]
    return Table(columns=columns, rows=rows)


def _row(device: Device, name: str, stack: Stack) -> list[str | float | int | None]:
    seen, decay = device.standings.get(name), device.decays.get(name)
    return [
        device.name,
        stack.name,
        None if stack.parameters is None else f"{stack.parameters:,}",
        _interval(decay.factor) if decay else None,
        accuracy.interval(seen.accuracy) if seen else None,
        seen.against if seen else None,
        seen.said if seen else stack.lost,
    ]


def _frame(records: Sequence[Record], found: Sequence[Device]) -> pd.DataFrame:
    """Tidy: a row per check, per distance of a draw and per training run, and per verdict."""
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
    for device in found:
        rows += [row for name in device.stacks for row in _verdict_rows(device, name)]
    return pd.DataFrame(rows)


def _verdict_rows(device: Device, name: str) -> Iterator[dict[str, Any]]:
    where = {"device": device.name, "structure": name, "phase": "verdict"}
    decay, seen = device.decays.get(name), device.standings.get(name)
    if decay and decay.against and decay.word:
        yield {**where, "check": "distance", **verdict.row(decay.against), "word": decay.word.value}
    if seen:
        yield {**where, **seen.row}
    elif lost := device.stacks[name].lost:
        yield {**where, "word": lost}


# ---- the figure ---------------------------------------------------------------------------------


def _alternative(found: Sequence[Device]) -> str:
    texts = []
    for device in found:
        texts.append(f"{device.name}:")
        if "jacobian by parameters" in device.checks:
            size = device.checks["jacobian by parameters"].result
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
    return " ".join(texts) or "Nothing was tried."


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
    followed = {name: stack for name, stack in device.stacks.items() if name in device.decays}
    for names, stack in _alike(followed):
        levels = [inference.mean(column) for column in stack.logs.T]
        blocks, colour = range(len(levels)), COLOURS[stack.structure]
        middle = np.exp([level.value for level in levels])
        low, high = np.exp([[level.low, level.high] for level in levels]).T
        # Dashed, so that a line beneath shows through.
        dash = "--" if stack.structure == REFERENCE else "-"
        axes.plot(blocks, middle, dash, color=colour, linewidth=1.8)
        axes.fill_between(blocks, low, high, color=colour, alpha=0.2, linewidth=0)
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


def _alike(stacks: Mapping[str, Stack]) -> list[tuple[list[str], Stack]]:
    """The stacks with their names; those with the very same distances are one line."""
    lines: list[tuple[list[str], Stack]] = []
    for stack in [*stacks.values()][::-1]:
        same = next((names for names, one in lines if np.array_equal(one.apart, stack.apart)), None)
        if same:
            same.append(stack.name)
        else:
            lines.append(([stack.name], stack))
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


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("composition", answer, argv)


if __name__ == "__main__":
    main()
