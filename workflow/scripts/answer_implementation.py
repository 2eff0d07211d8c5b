"""Is a framework faster than code from scratch, and what does that depend on?

Every implementation is compared with `nn.Module` and `torch.optim.SGD`, in one paired trial per
network and batch; then each claim of the textbook's prose gets a verdict of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from assay import inference, occasion
from assay.answer import question, verdict
from assay.answer import old_figure as figure
from assay.inference import Slope
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

ANCHOR, SCRATCH = "module", "scratch"
SIMPLE = "depth-1"  # also the middle of the axes of width and batch
COMPLEX = {"convolution": "convolutional", "recurrent": "recurrent"}
RUNGS = {
    "numpy": "NumPy by hand",
    "torch": "torch by hand",
    "scratch": "from scratch",
    "module": "nn.Module",
    "fused": "fused optimiser",
    "compiled": "torch.compile",
    "graph": "CUDA graph",
}
COLOURS = {
    "numpy": figure.ORANGE,
    "torch": figure.GREEN,
    "scratch": figure.RED,
    "module": figure.INK,
    "fused": figure.BLUE,
    "compiled": figure.PINK,
    "graph": figure.SKY,
}
PARTS = {
    "data": figure.MUTED,
    "forward": figure.SKY,
    "backward": figure.BLUE,
    "update": figure.PINK,
}


class Truth(StrEnum):
    """What a claim ends in."""

    HOLDS = "holds"
    FAILS = "does not hold"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Entry:
    """One implementation of one network on one device. Times are those of a step."""

    device: str
    shape: str
    rung: str
    result: Mapping[str, Any]  # of the trial
    time_s: float
    low_s: float
    high_s: float
    seen: Comparison | None  # None for the anchor
    word: Word | None = None  # until it is judged

    @property
    def family(self) -> str:
        """What the shape varies, or which complex network it is."""
        return str(self.result["family"])

    @property
    def is_perceptron(self) -> bool:
        """Whether it is one; else it is one of the complex networks."""
        return self.family not in COMPLEX

    @property
    def network(self) -> str:
        """The network and its batch in words."""
        result = self.result
        if self.is_perceptron:
            name = "-".join(map(str, [784, *result["hidden"], 10]))
        else:
            layers = "layer" if result["number"] == 1 else "layers"
            name = f"{COMPLEX[self.family]}, {result['number']} {layers}"
        return f"{name}, batch {result['batch']}"

    @property
    def verdict(self) -> str:
        """The word on it, with the margin of sameness; nothing for the anchor."""
        return verdict.told(self.seen, self.word) if self.seen and self.word else ""

    @property
    def ratio(self) -> str:
        """Time relative to the anchor, with its interval."""
        if self.seen is None:
            return "1"
        return f"{_two(self.seen.value)} [{_two(self.seen.low)}, {_two(self.seen.high)}]"

    def part_s(self, part: str) -> float | None:
        """Seconds of a part of the step, None where it has none of its own."""
        if part == "data":
            return float(self.result["arms"]["data"]["time_median_s"])
        return self.result["parts"].get(self.rung, {}).get(f"{part}_s")


def _two(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.3g}"


def steps(record: Record) -> Trial | None:
    """The trial of all implementations; None where a record has none."""
    found = (trial for trial in record.trials if trial.what.get("anchor") == ANCHOR)
    return next(found, None)


def entries(records: Sequence[Record]) -> list[Entry]:
    """Everything that was timed, in the order of the records and of :data:`RUNGS`; not judged."""
    return [
        _entry(each, rung, trial.result)
        for each in records
        if (trial := steps(each)) and trial.status == Status.OK
        for rung in RUNGS
        if _arm(trial.result, rung)
    ]


def _arm(result: Mapping[str, Any], rung: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = result["arms"].get("anchor" if rung == ANCHOR else rung)
    return found


def _entry(record: Record, rung: str, result: Mapping[str, Any]) -> Entry:
    arm = _arm(result, rung)
    assert arm
    return Entry(
        str(record.axes["device"]),
        str(record.axes["shape"]),
        rung,
        result,
        time_s=arm["time_median_s"],
        low_s=arm["time_low_s"],
        high_s=arm["time_high_s"],
        seen=None if rung == ANCHOR else verdict.paired(result, rung),
    )


# ---- what the ratio depends on -----------------------------------------------------------------

AXES: dict[str, Callable[[Entry], float]] = {
    "depth": lambda entry: len(entry.result["hidden"]),
    "width": lambda entry: entry.result["hidden"][0],
    "batch": lambda entry: entry.result["batch"],
    "flops": lambda entry: entry.result["flops"],
}


def along(found: Sequence[Entry], axis: str, rung: str) -> list[Entry]:
    """The perceptrons in which an axis varies and nothing else does, in its order.

    For ``flops`` these are all perceptrons.
    """
    mine = [each for each in found if each.rung == rung and each.is_perceptron]
    if axis != "flops":
        mine = [each for each in mine if each.family == axis or each.shape == SIMPLE]
    return sorted(mine, key=AXES[axis])


def trend(found: Sequence[Entry], axis: str, rung: str) -> Slope | None:
    """How much the log of a ratio grows when the axis doubles; None for fewer than three points."""
    mine = [(each, each.seen) for each in along(found, axis, rung) if each.seen]
    across = [math.log2(AXES[axis](each)) for each, _ in mine]
    logs = [math.log(seen.value) for _, seen in mine]
    return inference.slope(across, logs, [verdict.log_error(seen) for _, seen in mine])


def advantage(found: Sequence[Entry]) -> Comparison | None:
    """What a slope over all batches comes to: the ratio's growth from the smallest to the largest.

    None where there is no slope.
    """
    mine, line = along(found, "batch", SCRATCH), trend(found, "batch", SCRATCH)
    if line is None:
        return None
    doublings = math.log2(AXES["batch"](mine[-1]) / AXES["batch"](mine[0]))
    value, low, high = (
        math.exp(min(700.0, x * doublings)) for x in (line.value, line.low, line.high)
    )
    return Comparison(value, low, high, p=line.p)


def growth(line: Slope) -> str:
    """A slope in words: the factor a doubling, with its interval."""
    low, high = (f"{math.exp(end):.3f}" for end in (line.low, line.high))
    return f"{math.exp(line.value):.3f} [{low}, {high}] × a doubling, over {line.count} networks"


# ---- the claims --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A claim of the prose, its verdict, and why."""

    text: str
    truth: Truth
    because: str


def claims(
    found: Sequence[Entry], records: Sequence[Record], grew: tuple[Comparison, Word] | None
) -> list[Claim]:
    """The verdicts on one device.

    Args:
        found: What was timed there, judged.
        records: Of that device.
        grew: The framework's advantage over the batches, judged.
    """
    settings: Any = records[0].settings
    limit = 1 + settings["substantial"]
    return [
        simple(found, limit),
        *(complexity(found, family, limit) for family in COMPLEX),
        batches(found, grew, limit),
        convergence(found, records),
    ]


def simple(found: Sequence[Entry], limit: float) -> Claim:
    """Whether a simple network shows no significant difference."""
    text = "not significant for simple networks"
    own = next((each for each in found if (each.shape, each.rung) == (SIMPLE, SCRATCH)), None)
    if own is None or own.seen is None:
        return Claim(text, Truth.UNKNOWN, f"{SIMPLE} was not measured from scratch")
    because = f"{own.network}: {own.ratio} × the time, {own.verdict}"
    if own.word in (Word.SLOWER, Word.FASTER):
        small = 1 / limit < own.seen.low and own.seen.high < limit
        because += "; the difference is real" + (", though not substantial" if small else "")
        return Claim(text, Truth.FAILS, because)
    if own.word == Word.SAME:
        return Claim(text, Truth.HOLDS, because)
    because += f"; this machine made up differences of {own.seen.noise:.0%} between equal things"
    return Claim(text, Truth.UNKNOWN, because)


def complexity(found: Sequence[Entry], family: str, limit: float) -> Claim:
    """Whether one of the complex networks gains substantially from the framework."""
    text = f"substantial for {COMPLEX[family]} networks"
    mine = [each for each in found if each.family == family and each.rung == SCRATCH and each.seen]
    if not mine:
        return Claim(text, Truth.UNKNOWN, f"no {COMPLEX[family]} network was measured")
    own = max(mine, key=lambda each: int(each.result["number"]))
    assert own.seen
    because = f"{own.ratio} × the time from scratch; substantial is more than {limit:g} ×"
    if own.word == Word.SLOWER and own.seen.low > limit:
        return Claim(text, Truth.HOLDS, because)
    return Claim(text, Truth.FAILS if own.seen.high < limit else Truth.UNKNOWN, because)


def batches(found: Sequence[Entry], grew: tuple[Comparison, Word] | None, limit: float) -> Claim:
    """Whether the framework's advantage grows with the batch: not, if by no substantial factor."""
    text = "mini-batches add to the advantage"
    mine, line = along(found, "batch", SCRATCH), trend(found, "batch", SCRATCH)
    ends = "; ".join(f"batch {each.result['batch']}: {each.ratio}" for each in mine)
    if grew is None or line is None:
        because = f"a slope needs three sizes of batch, measured: {len(mine)}"
        return Claim(text, Truth.UNKNOWN, f"{because} ({ends})" if ends else because)
    seen, word = grew
    because = f"the ratio grows by {growth(line)} ({ends})"
    if word == Word.SLOWER:
        return Claim(text, Truth.HOLDS, because)
    because += f"; over all of them that is at most {_two(seen.high)} ×"
    return Claim(text, Truth.FAILS if seen.high < limit else Truth.UNKNOWN, because)


def convergence(found: Sequence[Entry], records: Sequence[Record]) -> Claim:
    """Whether a framework needs fewer steps: not if every step has the same loss."""
    text = "a framework converges faster"
    checked = [
        trial
        for each in records
        for trial in each.trials
        if trial.what.get("measured") == "losses" and "rung" not in trial.what
    ]
    differences: list[Any] = [
        (trial.what["dtype"], trial.result["largest_difference"]) for trial in checked
    ]
    largest: dict[str, float] = {}
    for dtype, own in differences:
        if SCRATCH in own:
            largest[dtype] = max(largest.get(dtype, 0.0), own[SCRATCH])
    refused = [each for each in records if _refused(each, SCRATCH)]
    if refused or not largest:
        return Claim(text, Truth.UNKNOWN, "the losses from scratch are not those of the framework")
    said = ", ".join(f"{value:.0e} in {dtype}" for dtype, value in largest.items())
    number = len(next(iter(checked[0].samples.values())))
    because = (
        f"not per step: in {number} steps from the same weights the losses differ by at most "
        f"{said} (relative); only the seconds of a step differ"
    )
    return Claim(text, Truth.FAILS, because)


def _refused(record: Record, rung: str) -> bool:
    return any(t.status == Status.REFUSED and t.what.get("rung") == rung for t in record.trials)


# ---- telling -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """What one device came to."""

    device: str
    found: list[Entry]
    records: list[Record]
    claims: list[Claim]

    def scratch(self) -> list[Entry]:
        """From scratch, over all networks."""
        return [each for each in self.found if each.rung == SCRATCH]

    def at(self, shape: str) -> list[Entry]:
        """All implementations of one network."""
        return [each for each in self.found if each.shape == shape]

    @property
    def middle(self) -> str:
        """The network whose implementations are shown in full: the simple one, if it is there."""
        shapes = [each.shape for each in self.found]
        return SIMPLE if SIMPLE in shapes else shapes[0]


def sides(records: Sequence[Record]) -> list[Side]:
    """Every device on which something was timed; all that is compared is judged as one family."""
    found = entries(records)
    by_device = {
        device: [each for each in found if each.device == device]
        for device in dict.fromkeys(each.device for each in found)
    }
    growths = {device: advantage(mine) for device, mine in by_device.items()}
    family = [each.seen for mine in by_device.values() for each in mine if each.seen]
    words = iter(verdict.judge([*family, *filter(None, growths.values())]))
    judged = {
        device: [replace(each, word=next(words)) if each.seen else each for each in mine]
        for device, mine in by_device.items()
    }
    grown = {device: (seen, next(words)) if seen else None for device, seen in growths.items()}
    made = []
    for device, mine in judged.items():
        own = [each for each in records if each.axes["device"] == device]
        made.append(Side(device, mine, own, claims(mine, own, grown[device])))
    return made


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and network."""
    found = sides(records)
    return Findings(
        sentence=" ".join(map(_sentence, found))
        or "Nothing could be timed; the reasons are below.",
        findings=[text for side in found for text in _findings(side)],
        numbers={side.device: _numbers(side) for side in found},
        method=_method(records),
        caveats=_caveats(found),
        picture=Picture(
            title="Time of a step relative to nn.Module, and what a step is spent on",
            alternative=_alternative(found),
        ),
        table=_table(found),
        frame=_frame(records, found),
        figure=_figure(found) if found else figure.nothing(),
    )


def _sentence(side: Side) -> str:
    shown = [each for each in side.scratch() if each.shape == side.middle or not each.is_perceptron]
    ratios = [f"{each.ratio} × for {_short(each)} ({each.verdict})" for each in shown]
    here = [each for each in side.at(side.middle) if each.word == Word.FASTER]
    text = f"{side.device} – against nn.Module, a step from scratch takes {', '.join(ratios)}."
    if here:
        best = min(here, key=lambda each: each.time_s)
        text += f" Fastest for {_short(best)}: {RUNGS[best.rung]}, {best.ratio} ×."
    said = "; ".join(f"“{each.text}” {each.truth}" for each in side.claims)
    return f"{text} The claims: {said}."


def _short(entry: Entry) -> str:
    if not entry.is_perceptron:
        return f"the {COMPLEX[entry.family]} network"
    return f"the perceptron {'-'.join(map(str, [784, *entry.result['hidden'], 10]))}"


def _findings(side: Side) -> list[str]:
    texts = [f"{side.device}, “{own.text}”: {own.truth} – {own.because}." for own in side.claims]
    for axis in ("depth", "width", "batch"):
        mine = along(side.found, axis, SCRATCH)
        if len(mine) > 1:
            listed = ", ".join(f"{AXES[axis](each):g}: {each.ratio}" for each in mine)
            texts.append(f"{side.device}, from scratch against nn.Module by {axis} – {listed}.")
    for axis, name in (("flops", "FLOP of a step"), ("width", "width"), ("batch", "batch")):
        if line := trend(side.found, axis, SCRATCH):
            texts.append(f"{side.device}, log ratio on log {name}: {growth(line)}.")
    texts += [_rung_finding(side, each) for each in side.at(side.middle)]
    compiled = [each for each in side.found if each.rung == "compiled"]
    texts += [
        f"{side.device}, torch.compile, {each.network}: the first step took "
        f"{each.result['first_step_s']['compiled']:.3g} s, most of it compiling, which is in no "
        "other number."
        for each in compiled
    ]
    return texts


def _rung_finding(side: Side, entry: Entry) -> str:
    text = f"{side.device}, {RUNGS[entry.rung]}, {entry.network}: {_ms(entry)} a step"
    text += f", {entry.ratio} × ({entry.verdict})" if entry.seen else " (the reference)"
    split = [
        f"{part} {1e3 * seconds:.3g}"
        for part in PARTS
        if (seconds := entry.part_s(part)) is not None and entry.rung != "graph"
    ]
    own = entry.result["parts"].get(entry.rung)
    if own:
        text += f"; in ms: {', '.join(split)}; the last three sum to {own['sum_share']:.0%} of it"
    return f"{text}."


def _ms(entry: Entry) -> str:
    return f"{1e3 * entry.time_s:.3g} [{1e3 * entry.low_s:.3g}, {1e3 * entry.high_s:.3g}] ms"


def _numbers(side: Side) -> dict[str, Any]:
    return {
        "claims": {each.text: each.truth.value for each in side.claims},
        "steps": [_flat(each) for each in side.found],
        "growth_per_doubling": {
            rung: {
                axis: _slope_numbers(line)
                for axis in AXES
                if (line := trend(side.found, axis, rung))
            }
            for rung in dict.fromkeys(each.rung for each in side.found)
            if rung != ANCHOR
        },
    }


def _slope_numbers(line: Slope) -> dict[str, Any]:
    return {
        "factor": math.exp(line.value),
        "factor_low": math.exp(line.low),
        "factor_high": math.exp(line.high),
        "p": line.p,
        "networks": line.count,
    }


def _flat(entry: Entry) -> dict[str, Any]:
    result, seen = entry.result, entry.seen
    own = result["parts"].get(entry.rung, {})
    return {
        "device": entry.device,
        "shape": entry.shape,
        "network": entry.network,
        "rung": entry.rung,
        "batch": result["batch"],
        "flops": result["flops"],
        "parameters": result["parameters"],
        "time_s": entry.time_s,
        "time_low_s": entry.low_s,
        "time_high_s": entry.high_s,
        **(verdict.row(seen) if seen else {}),
        "verdict": entry.word.value if entry.word else None,
        "data_s": entry.part_s("data"),
        **own,
        "operations": result["operations"].get(entry.rung),
        "memory_bytes": result["memory_bytes"].get(entry.rung),
        "lines": result["lines"].get(entry.rung),
        "first_step_s": result["first_step_s"].get(entry.rung),
    }


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    within = ", ".join(f"{value:g} in {name}" for name, value in settings["tolerance"].items())
    timed = [trial for each in records if (trial := steps(each)) and trial.result.get("arms")]
    rounds: list[Any] = [trial.result["rounds"] for trial in timed]
    return [
        f"Data: {data.name if data else 'unknown'}, on the device beforehand; plain SGD, softmax "
        "and cross-entropy. A job is one network and batch, and in it one paired trial of all "
        "implementations in float32, with a twin of the reference, nn.Module with torch.optim.SGD.",
        f"Before that, all of them trained {settings['steps']} steps at rate {settings['rate']:g} "
        "from the same weights on the same batches, and an implementation takes part only if "
        f"every loss was that of the reference within {within} (relative).",
        "“From scratch” is tensors, autograd and a hand-written network, loss and SGD; “by hand” "
        "also writes the chain rule out, in torch with every result in its place beforehand. The "
        "convolution from scratch is unfold and a product, the recurrent cell a loop over rows.",
        "Times are what the host waits for over a block of steps. The parts are differences inside "
        "a round: a forward pass; how much longer it takes with the backward pass; how much longer "
        "with the update. “data” is the taking of a random batch, in no implementation's time.",
        "NumPy and torch have threads of their own, which look for work for up to 30 ms after the "
        "last product and take the cores from the other's. So whenever the library changes, the "
        "trial rests until they sleep. NumPy's step is split in a trial of its own, and its parts "
        "are scaled to the step in the joint one.",
        "FLOP are those of the products from scratch, and operations what torch is given in a "
        "step, views left out, as torch's own dispatch modes count them. Peak memory is everything "
        "allocated from the first weight to the end of a second step (torch's allocator, for NumPy "
        "tracemalloc); lines are counted from the source, without comments and docstrings.",
        "Slopes are least squares through the logarithms, with Student's interval, or the one that "
        "the ratios' own errors give where that is wider. A difference of "
        f"more than {settings['substantial']:.0%} is called substantial.",
        occasion.told(records),
        f"{min(rounds, default=0)} to {max(rounds, default=0)} rounds a trial; verdicts are "
        "Holm-corrected over all implementations, networks and devices of this question, and the "
        "growth with the batch.",
    ]


def _caveats(found: Sequence[Side]) -> list[str]:
    caveats = [
        "“From scratch” is not one program: another loss or update by hand has another ratio. The "
        "source is workflow/scripts/assay/rungs.py and by_hand.py.",
        "NumPy and torch call different libraries for products, so their ratio is also one between "
        "those; oneDNN's own scratch memory is not in the peak.",
    ]
    if not any(each.rung == "graph" for side in found for each in side.found):
        caveats.append(
            "No CUDA graph was measured. On a GPU, where launching an operation costs more than on "
            "a CPU, the ratios are other ones."
        )
    return caveats


def _table(found: Sequence[Side]) -> Table:
    columns = [
        Column(name="implementation"),
        Column(name="device"),
        Column(name="network"),
        Column(name="step", unit="ms [95 %]"),
        Column(name="relative to nn.Module"),
        Column(name="verdict"),
        Column(name="forward", unit="ms", digits=3),
        Column(name="backward", unit="ms", digits=3),
        Column(name="update", unit="ms", digits=3),
        Column(name="operations", digits=4),
        Column(name="peak memory", unit="MB", digits=3),
        Column(name="lines of code", digits=3),
    ]
    rows = [
        _row(each)
        for side in found
        for each in side.found
        if each.shape == side.middle or not each.is_perceptron or each.rung == SCRATCH
    ]
    return Table(columns=columns, rows=rows)


def _row(entry: Entry) -> list[str | float | int | None]:
    result = entry.result
    memory = result["memory_bytes"].get(entry.rung)
    split = [entry.part_s(part) for part in ("forward", "backward", "update")]
    return [
        RUNGS[entry.rung],
        entry.device,
        entry.network,
        _ms(entry).removesuffix(" ms"),
        entry.ratio,
        entry.verdict or "reference",
        *(None if seconds is None else 1e3 * seconds for seconds in split),
        result["operations"].get(entry.rung),
        None if memory is None else memory / 1e6,
        result["lines"].get(entry.rung),
    ]


def _frame(records: Sequence[Record], found: Sequence[Side]) -> pd.DataFrame:
    """Tidy: a row per implementation, network and device; what is missing keeps its reason."""
    rows = [_flat(each) | {"status": "ok"} for side in found for each in side.found]
    for each in records:
        place = {key: each.axes[key] for key in ("device", "shape")}
        if not each.trials:
            rows.append({**place, "status": each.status.value, "reason": each.reason})
        for trial in each.trials:
            if trial.status != Status.OK:
                status = {"status": trial.status.value, "reason": trial.reason}
                rows.append({**place, "rung": trial.what.get("rung"), **status})
    order = ["device", "shape", "rung", "status", "reason"]
    table = pd.DataFrame(rows)
    return table.reindex(columns=[*order, *(name for name in table if name not in order)])


def _alternative(found: Sequence[Side]) -> str:
    parts = [
        f"{each.device}, {each.network}: {each.ratio} × ({each.verdict})"
        for side in found
        for each in side.scratch()
    ]
    listed = "; ".join(parts) or "nothing was timed"
    return f"Time of a step from scratch relative to nn.Module, with intervals. {listed}."


# ---- drawing -----------------------------------------------------------------------------------


def _figure(found: Sequence[Side]) -> Figure:
    """Per device: the ratios by depth, width and batch; below, complex networks and the parts."""
    rows = [
        "".join(chr(ord("A") + 6 * number + i) for i in range(6)) for number in range(len(found))
    ]
    layout = "\n".join(f"{a}{a}{b}{b}{c}{c}{n}\n{d}{d}{d}{e}{e}{e}{e}" for a, b, c, n, d, e in rows)
    drawn, axes = figure.mosaic(layout, height_in=5.8 * len(found))
    for letters, side in zip(rows, found, strict=True):
        *panels, names, complex_ones, spent = (axes[letter] for letter in letters)
        for panel, axis in zip(panels, ("depth", "width", "batch"), strict=True):
            _by_axis(panel, side, axis)
        limits = _common_limits(panels)
        for panel in (*panels, names):
            panel.set_ylim(*limits)
        for panel in panels[1:]:
            panel.tick_params(axis="y", which="both", labelleft=False)
        panels[0].set_ylabel(f"{side.device}: time of a step\nrelative to nn.Module")
        _name_lines(names, side)
        _complex(complex_ones, side)
        _split(spent, side)
    return drawn


def _letters(number: int) -> str:
    """Six names of panels."""
    return "".join(chr(ord("A") + 6 * number + i) for i in range(6))


def _common_limits(panels: Sequence[Axes]) -> tuple[float, float]:
    limits = [panel.get_ylim() for panel in panels if panel.has_data()]
    return min(low for low, _ in limits), max(high for _, high in limits)


def _rungs(side: Side) -> list[str]:
    """The implementations that are compared on a device, in their order."""
    return [r for r in RUNGS if r != ANCHOR and any(e.rung == r for e in side.found)]


def _by_axis(axes: Axes, side: Side, axis: str) -> None:
    """One line per implementation, with intervals, along one axis."""
    axes.set_title(f"by {axis}")
    axes.set_yscale("log")
    if axis != "depth" and len(along(side.found, axis, ANCHOR)) < 2:
        axes.text(0.5, 0.5, "one size measured", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.axhline(1, color=figure.MUTED, lw=1, zorder=0)
    ticks: set[float] = set()
    for rung in _rungs(side):
        mine = [(e, e.seen) for e in along(side.found, axis, rung) if e.seen]
        if not mine:
            continue
        x = [AXES[axis](each) for each, _ in mine]
        ticks.update(x)
        seen = [each for _, each in mine]
        figure.interval(
            axes,
            x,
            [each.value for each in seen],
            [each.low for each in seen],
            [each.high for each in seen],
            color=COLOURS[rung],
            fmt="o-" if len(x) > 1 else "o",
            markersize=3.5,
            linewidth=1.2,
        )
    if axis != "depth":
        axes.set_xscale("log", base=2)
    names = {"depth": "hidden layers", "width": "units of the hidden layer", "batch": "images"}
    axes.set_xlabel(names[axis])
    shown = sorted(ticks) if axis == "depth" else _apart(sorted(ticks))
    axes.set_xticks(shown, [f"{each:g}" for each in shown])
    axes.xaxis.set_minor_locator(NullLocator())
    _ratio_ticks(axes.yaxis)
    axes.tick_params(labelsize=8)


def _apart(values: Sequence[float]) -> list[float]:
    """Those that have room for a label on a logarithmic axis; the ends always have."""
    least = math.log(values[-1] / values[0]) / 5 if values else 0.0
    kept: list[float] = []
    for value in reversed(values):
        room = not kept or math.log(kept[-1] / value) >= least
        if room and (value == values[0] or math.log(value / values[0]) >= least or not kept):
            kept.append(value)
    return kept[::-1]


RATIOS = [lead * 10.0**power for power in range(-3, 4) for lead in (1, 1.5, 2, 3, 5, 7)]


def _ratio_ticks(axis: Axis) -> None:
    """Plain numbers on a logarithmic axis of ratios."""
    axis.set_major_locator(FixedLocator(RATIOS))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _name_lines(axes: Axes, side: Side) -> None:
    """The implementations by name, beside where their lines end."""
    axes.set_axis_off()
    axes.set_yscale("log")
    ends = {}
    for rung in _rungs(side):
        mine = [(e, e.seen) for e in along(side.found, "batch", rung) if e.seen]
        if mine:
            ends[rung] = math.log10(mine[-1][1].value)
    low, high = (math.log10(limit) for limit in axes.get_ylim())
    ends[ANCHOR] = 0.0
    places = figure.spread([*ends.values()], 0.085 * (high - low), high)
    for rung, place in zip(ends, places, strict=True):
        axes.annotate(
            RUNGS[rung],
            (-0.3, 10**place),  # the panel before has room
            xycoords=axes.get_yaxis_transform(),
            fontsize=8,
            va="center",
            color=COLOURS[rung],
            annotation_clip=False,
        ).set_in_layout(False)


def _complex(axes: Axes, side: Side) -> None:
    """The complex networks: one row per implementation, under the name of the network."""
    axes.set_title("complex networks")
    shapes = dict.fromkeys(each.shape for each in side.found if not each.is_perceptron)
    if not shapes:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    axes.set_xscale("log")
    ends = [1.0]
    row = 0
    for shape in shapes:
        mine = [(each, each.seen) for each in side.at(shape) if each.seen]
        across = axes.get_yaxis_transform()
        axes.text(0.01, row, mine[0][0].network, transform=across, fontsize=8, va="center")
        axes.vlines(1, row + 0.5, row + len(mine) + 0.5, color=figure.MUTED, lw=1, zorder=0)
        for number, (each, seen) in enumerate(mine, start=1):
            _ratio_in_row(axes, row + number, each, seen)
            ends += [seen.low, seen.high]
        row += len(mine) + 1
    axes.set_yticks([])
    axes.set_ylim(row - 0.3, -0.7)
    axes.set_xlim(min(ends) / 1.3, 4 * max(ends))
    axes.set_xlabel("time relative to nn.Module")
    _ratio_ticks(axes.xaxis)
    axes.tick_params(labelsize=8)


def _ratio_in_row(axes: Axes, y: int, each: Entry, seen: Comparison) -> None:
    colour = COLOURS[each.rung]
    below, above = seen.value - seen.low, seen.high - seen.value
    axes.errorbar(
        [seen.value], [y], xerr=[[below], [above]], fmt="o", markersize=5, capsize=2.5, color=colour
    )
    axes.annotate(
        f"{RUNGS[each.rung]} {_two(seen.value)}",
        (max(1.0, seen.high), y),  # not across the line of the reference
        (7, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
    )


def _split(axes: Axes, side: Side) -> None:
    """What a step of the simple network is spent on: one bar per implementation."""
    axes.set_title("what a step is spent on")
    shown = [each for each in side.at(side.middle) if each.rung in each.result["parts"]]
    if not shown:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    for y, each in enumerate(shown):
        left = 0.0
        for part, colour in PARTS.items():
            width = 1e3 * max(0.0, each.part_s(part) or 0.0)
            axes.barh(y, width, left=left, color=colour, height=0.62)
            left += width
        axes.annotate(
            RUNGS[each.rung],
            (left, y),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
    for part, (middle, place) in _part_labels(shown[0]).items():
        axes.annotate(
            part,
            xy=(middle, -0.34),
            xytext=(place, -0.95),
            fontsize=8,
            ha="center",
            va="center",
            color=PARTS[part],
            arrowprops={"arrowstyle": "-", "color": PARTS[part], "linewidth": 0.7},
        ).set_in_layout(False)
    axes.set_yticks([])
    axes.tick_params(labelsize=8)
    axes.set_xlim(0, 1.3 * axes.get_xlim()[1])  # room for the names
    axes.set_ylim(len(shown) - 0.5, -1.3)
    axes.set_xlabel(f"ms a step, {shown[0].network}")


def _part_labels(entry: Entry) -> dict[str, tuple[float, float]]:
    """Where the middle of each part of a bar is, and where its name stands, in ms."""
    ends = np.cumsum([0.0, *(1e3 * max(0.0, entry.part_s(part) or 0.0) for part in PARTS)])
    middles = [float(middle) for middle in (ends[:-1] + ends[1:]) / 2]
    places = [share * float(ends[-1]) for share in (0.07, 0.3, 0.6, 0.9)]  # never across another
    return {p: (m, x) for p, m, x in zip(PARTS, middles, places, strict=True)}


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("implementation", answer, argv)


if __name__ == "__main__":
    main()
