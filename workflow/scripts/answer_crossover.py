"""From which size is the GPU worth it? Without a GPU: from which size are all threads?

Told are the measured sizes between which that size, n*, lies: nothing between them was measured.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from assay.answer import arms, figure, model, other_runs, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Band, Line, Mark
from assay.answer.inference import bracket, ends
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Comparison, Word
from assay.record import Record, Status, Trial

FASTER = 1 - verdict.MARGIN  # a ratio of times below this is no longer the same
NEAR = 4  # times: between sizes further apart a straight line is no estimate
WAYS = {
    "one_thread": "one thread",
    "resident": "operands there",
    "transfer": "with transfer",
    "waited": "each waited for",
    "printed": "printed to the null device",
}
ON_CPU, ON_GPU = ("one_thread", "all_threads"), ("resident", "transfer")  # ways to compare
TASKS = {"product": "products", "elementwise": "elementwise products"}
TITLE = "Ratio of times against matrix size"
NO_GPU = "No GPU here"


# ---- what was measured --------------------------------------------------------------------------


def compared(records: Sequence[Record]) -> list[Arm]:
    """Every way of every trial, judged as one family: all threads beside one, GPUs beside a CPU."""
    found = [
        _arm(each, trial, name)
        for each in question.measured(records)
        for trial in each.trials
        for name in dict(trial.result["arms"])
        if name != arms.CONTROL
    ]
    return arms.judged([_beside_cpu(arm, found) for arm in found])


def _arm(each: Record, trial: Trial, name: str) -> Arm:
    """The time of one call in one way, with all that the tidy table holds of it."""
    what, result, threads = trial.what, trial.result, each.conditions.threads_used
    arm = result["arms"][name]
    device, way = str(each.axes["device"]), str(what["anchor"]) if name == arms.ANCHOR else name
    time, size = arms.time_of(arm), result.get("bytes_per_call")
    extras = {
        **what,
        "way": way,
        "how": f"all {threads} threads" if way == "all_threads" else WAYS[way],
        "threads": threads,
        **verdict.ends("time", time, "_s"),
        "flop_per_call": arm["units_per_call"],
        "throughput_flops": arm["units_per_call"] / time.value,
        "throughput_bytes_per_s": size / time.value if size else None,
        "noise": verdict.noise(result),
        **{key: result.get(key) for key in ("device_s", "unsynchronised_s")},
    }
    found = Arm(device, task(what), way, str(what["n"]), time, extras=extras)
    if name != "all_threads":
        return found
    return _against(found, verdict.paired(result, name), device, "one_thread", WAYS["one_thread"])


def _beside_cpu(arm: Arm, found: Sequence[Arm]) -> Arm:
    """What a GPU does beside the first CPU, on as many threads as are faster, at the same task.

    That is one of the GPU's own run, if it measured any.
    """
    cpus = [each for each in found if each.name in ON_CPU]
    run = other_runs.run_of(arm.device)
    cpus = [each for each in cpus if other_runs.run_of(each.device) == run] or cpus
    cell = (cpus[0].device if cpus else "", arm.group, arm.label)
    same = [each for each in cpus if (each.device, each.group, each.label) == cell]
    if arm.name not in ON_GPU or not same:
        return arm
    other = min(same, key=lambda each: float(each.extras["time_s"]))  # one thread, where small
    noise = max(arm.extras["noise"], other.extras["noise"])
    seen = verdict.unpaired(arm.value, other.value, noise=noise)
    return _against(arm, seen, other.device, other.name, other.extras["how"])


def _against(arm: Arm, seen: Comparison, device: str, way: str, how: str) -> Arm:
    told = {"against_device": device, "against_way": way, "against": f"{how} of {device}"}
    return arms.with_extras(replace(arm, seen=seen), told)


def on_cpu(arm: Arm) -> bool:
    """Whether it was measured on a CPU."""
    return arm.extras["anchor"] in ON_CPU


# ---- the crossover ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crossover:
    """From which size on a way is faster than its reference."""

    arms: list[Arm]  # of one device, task and way, by size
    first: Arm  # that of the smallest size, which stands for what all have in common
    sizes: list[int]
    seen: list[Comparison]  # the ratios at these sizes
    between: tuple[float, float]  # the sizes on both sides of n*, by the ratios (`bracket`)
    ends: tuple[float, float]  # between which n* lies at all, by the intervals (`inference.ends`)

    @property
    def estimate(self) -> float | None:
        """n* on a straight line in log n and log ratio between two sizes that are not far apart."""
        low, high = self.between
        if self.case != "crosses" or high > NEAR * low:
            return None
        at = self.sizes.index(int(low))
        above, below = (math.log(seen.value / FASTER) for seen in self.seen[at : at + 2])
        return float(low * (high / low) ** (above / (above - below)))

    @property
    def case(self) -> str:
        """``always``, ``never`` or ``crosses``."""
        return {0.0: "always", math.inf: "never"}.get(self.between[0], "crosses")

    @property
    def doubtful(self) -> bool:
        """Whether it cannot be told if there is a size from which on it is faster."""
        low, high = self.ends
        return low < high == math.inf

    @property
    def told(self) -> str:
        """From where on it is faster, or that this cannot be told."""
        low, high = self.ends
        if self.doubtful:
            return Word.UNKNOWN.value
        if math.isinf(low):
            return self._never
        if not high:
            return f"at every size from {self.sizes[0]}"
        between = f"between {say.count(low)} and" if low else "="
        return f"from n {between} {say.count(high)}{'' if low else ' or less'}"

    @property
    def _never(self) -> str:
        """At which sizes it is faster where it is not at the last: others may be, too."""
        only = [arm.label for arm in self.arms if arm.word == Word.FASTER]
        possible = sum(seen.low < FASTER for seen in self.seen)
        sure = " for certain" if possible > len(only) else ""
        if only:
            return f"only at {say.few(only)}{sure}"
        return f"at no size{sure} up to {self.sizes[-1]}"

    @property
    def name(self) -> str:
        """What is calculated, and whether operands are moved."""
        return f"{self.first.group}{' with transfer' if self.first.name == 'transfer' else ''}"


def crossovers(found: Sequence[Arm]) -> list[Crossover]:
    """One per device, task and way; products first."""
    seen = sorted((arm for arm in found if arm.seen), key=lambda arm: arm.extras["n"])
    series = arms.grouped(seen, lambda arm: f"{arm.device}, {arm.group}, {arm.name}").values()
    order = [*TASKS]
    return sorted(map(_crossover, series), key=lambda c: order.index(c.first.extras["operation"]))


def _crossover(own: list[Arm]) -> Crossover:
    sizes, seen = [arm.extras["n"] for arm in own], [arm.seen for arm in own if arm.seen]
    between = bracket(sizes, [each.value < FASTER for each in seen])
    possible = [each.low < FASTER for each in seen]
    certain = [arm.word == Word.FASTER for arm in own]
    return Crossover(own, own[0], sizes, seen, between, ends(sizes, possible, certain))


def task(what: Mapping[str, Any]) -> str:
    """What is calculated, in which number format."""
    return f"{what['dtype']} {TASKS[what['operation']]}"


def main_tasks(records: Sequence[Record]) -> set[str]:
    """Those that the headline is about: each in the number format that was asked for first."""
    asked = [trial.what for each in records for trial in each.trials]
    return {*{what["operation"]: task(what) for what in reversed(asked)}.values()}


# ---- the answer ---------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of all sizes and devices."""
    found = compared(records)
    crossed = crossovers(found)
    tasks = main_tasks(records)
    asked = [each for each in crossed if each.first.group in tasks]
    main = [each for each in asked if not on_cpu(each.first)] or asked
    shown = [each for each in crossed if each in main or on_cpu(each.first)]
    shown.sort(key=lambda each: on_cpu(each.first))
    by_device = arms.grouped(shown, lambda each: each.first.device)
    views = [_view(k, own) for k, own in by_device.items() if any(e.sizes[1:] for e in own)]
    table = trials.frame(records, map(arms.flat, found))
    return Findings(
        **vars(_tell(found, main, _lost(records, found, main), _gpu_told(records))),
        numbers=_numbers(found, crossed),
        why=[
            f"{say.on(each.first.device, by_device)}{say.capital(each.name)}: {each.told}."
            for each in crossed
            if each not in shown
        ],
        method=METHOD if all(map(on_cpu, found)) else [*METHOD, APART],
        caveats=CAVEATS,
        views=views or question.nothing(TITLE),
        table=arms.table(
            [
                replace(arm, group=f"{arm.group}, {arm.extras['how']}")
                for arm in sorted(found, key=lambda arm: (arm.device, arm.group, arm.extras["n"]))
            ],
            "n",
            unit="µs",
            scale=1e6,
            value="time of a call",
            against="ratio of times",
            group="task",
            extra={"against": lambda arm: arm.extras.get("against")},
        ),
        # A row per way of a trial, and one per trial that was lost.
        frame=table[table["status"] != Status.OK.value].dropna(axis=1, how="all"),
    )


METHOD = [
    "The time of a call is what the host waits for, over a block of calls with a synchronisation "
    "at both ends. One thread and all threads of a CPU are measured in the same rounds, the "
    "threads being set and woken before the time starts. Results were checked against float64. An "
    "elementwise product of n = 1 is one element: its time is the launch.",
    f"Faster means a ratio of times under {1 - verdict.MARGIN:g}. From where on that is so "
    "lies between the last measured size at which it is not the verdict, and the next.",
]
APART = (
    "CPU and GPU were measured in separate processes: their ratios are those of medians, whose "
    "errors add in quadrature. A GPU is compared with one thread or all, whichever is faster. "
    "Transfer is from and to pageable memory."
)
CAVEATS = [
    "Operands are used again, so small ones stay in the caches.",
    "Published times of such products imply 125 to 1334 TFLOP/s: they were taken without "
    "synchronisation.",
]


def _lost(records: Sequence[Record], found: Sequence[Arm], main: Sequence[Crossover]) -> list[Main]:
    """Tasks and devices that were asked for and have no crossover, each with why."""
    measured, tasks = {arm.device for arm in found}, main_tasks(records)
    there = {(each.first.device, each.first.group) for each in main}
    asked = {arm.device for arm in found if not on_cpu(arm)} or measured
    lost: dict[str, str] = {}
    for each in records:
        device = str(each.axes["device"])
        if device not in measured:
            lost.setdefault(device, trials.why_lost([each]))
        for trial in each.trials if device in asked else ():
            own = task(trial.what)
            name = TASKS[trial.what["operation"]] + (f" on {device}" if len(asked) > 1 else "")
            missing = own in tasks and (device, own) not in there
            if missing and (name not in lost or trial.status != Status.OK):
                lost[name] = model.lost(trial.status)
    return [Main(name, lost=why) for name, why in lost.items()]


def _numbers(found: Sequence[Arm], crossed: Sequence[Crossover]) -> dict[str, Any]:
    return {
        "crossovers": [_crossover_numbers(each) for each in crossed],
        "latencies": [
            {"device": arm.device, "way": arm.name, **verdict.ends("time", arm.value, "_s")}
            for arm in found
            if (arm.extras["operation"], arm.label) == ("elementwise", "1")
            and arm.name not in ("all_threads", "printed")
        ],
    }


def _crossover_numbers(each: Crossover) -> dict[str, Any]:
    last = arms.flat(each.arms[-1])
    same = ("device", "way", "operation", "dtype", "against_device", "against_way")
    low, high = (n if n and math.isfinite(n) else None for n in each.ends)
    return {
        **{key: last[key] for key in same},
        "case": each.case,
        **{"n": each.estimate, "n_low": low, "n_high": high},
        "between": [*each.between] if each.case == "crosses" else None,
        **{"largest_n": each.sizes[-1], "verdict_at_largest_n": last["verdict"]},
    }


# ---- telling ------------------------------------------------------------------------------------


def _gpu_told(records: Sequence[Record]) -> str:
    """What is said where no GPU is compared: that none is here, or only that."""
    tried = {trial.what.get("anchor") for each in records for trial in each.trials}
    here = tried - {None, *ON_CPU} or any(each.conditions.gpu for each in records)
    return "No GPU could be compared" if here else NO_GPU


def _tell(
    found: Sequence[Arm], main: Sequence[Crossover], lost: Sequence[Main], no_gpu: str
) -> Told:
    """From which size on the GPU, or else all threads, are worth it: products, then little work."""
    gpus = dict.fromkeys(arm.device for arm in found if not on_cpu(arm))
    absent = [Main("GPU", lost="not available")] if found and no_gpu == NO_GPU else []
    if found and not main:
        why = f"No CPU was measured beside {say.listed(gpus)}"
        why = why if gpus else f"{no_gpu}, and the CPU in one way only"
        text = f"{why}, so there is nothing to compare."
        return Told("Nothing to compare", text, "", [*lost, *absent])
    by_device = arms.grouped(main, lambda each: each.first.device)
    told = question.joined({device: _tell_of(here) for device, here in by_device.items()})
    short, sentences = [told.short], [told.sentence]
    if main and on_cpu(main[0].first):
        short.insert(0, no_gpu.removesuffix(" here"))
        sentences.insert(0, f"{no_gpu}.")
    sentences += [model.lost_told(lost)] if lost and main else []
    cells = [*told.cells, *lost, *absent]
    return Told(say.capital("; ".join(short)), " ".join(sentences), _so(main), cells)


def _tell_of(here: Sequence[Crossover]) -> Told:
    """Of one device: what is told of the first task that can be, then a word on each other."""
    lead = next((each for each in here if not each.doubtful), here[0])
    first, what = lead.first.extras, "the GPU is worth it"
    short = f"{what} for {lead.name}"
    if on_cpu(lead.first):
        short = what = f"{say.worded(first['threads'])} threads beat one"
        short += "" if lead is here[0] else f" ({TASKS[first['operation']]})"
    since = lead.told.replace("n between ", "n = ").replace(" and ", "–").partition(" up to")[0]
    short = f"cannot tell whether {short}" if lead.doubtful else f"{short} {since}"
    sentences = [] if lead.doubtful else [f"{say.capital(what)} for {lead.name} {lead.told}."]
    others = [each for each in here if lead.doubtful or each is not lead]
    known = f"{here[0].first.extras['dtype']} "
    for text, same in arms.grouped(others, lambda each: each.told).items():
        names = say.listed(each.name.removeprefix(known) for each in same)
        sentences.append(f"{say.capital(names)}: {text}.")
    cells = [Main(each.name, Word.UNKNOWN if each.doubtful else None) for each in here]
    return Told(short, " ".join(sentences), "", cells)


def _so(main: Sequence[Crossover]) -> str:
    """Where to calculate: only from sizes at which the verdicts say so."""
    advice: dict[str, dict[str, None]] = {}
    for each in main:
        way, what = each.first.name, f"for {each.first.group}"
        if way == "resident" and each.case != "never" and not each.doubtful:
            since = say.count(each.ends[1] or each.sizes[0])
            advice.setdefault(each.first.device, {})[f"{what} from n = {since}"] = None
        slower = [arm.extras["n"] for arm in each.arms if arm.word == Word.SLOWER]
        faster = [arm.extras["n"] for arm in each.arms if arm.word == Word.FASTER]
        if way == "all_threads" and slower and max(slower) < min(faster, default=math.inf):
            advice.setdefault("one thread", {})[f"{what} up to n = {max(slower)}"] = None
    return " ".join(f"Use {where} {', '.join(own)}." for where, own in advice.items())


# ---- showing ------------------------------------------------------------------------------------


def _view(device: str, mine: Sequence[Crossover]) -> Shown:
    """The ratios of a device against size."""
    sizes, first = sorted({n for each in mine for n in each.sizes}), mine[0].first
    own, other = device, first.extras["against_device"]
    if on_cpu(first):
        own, other = f"{say.worded(first.extras['threads'])} threads", "one thread"
    up = f"time of {own} over that of {other} (under 1: {own} faster)"
    known = [each for each in mine if each.estimate and not each.doubtful]
    drawn = figure.lines(
        [_line(each, mine) for each in mine],
        Axis("rows and columns of the matrices, n", say.count, log=True, ticks=sizes),
        Axis(up, lambda y: f"{say.short(y)} ×", log=True),
        marks=[Mark(each.estimate, re.sub("^from n (= )?", "", each.told)) for each in known[:1]],
        band=Band(FASTER, 2 - FASTER, ""),
    )
    said = "; ".join(f"{each.name}: {each.told}" for each in mine)
    return Shown(TITLE, f"{TITLE}, {own} over {other}. Faster: {said}.", drawn, name=device)


def _line(each: Crossover, mine: Sequence[Crossover]) -> Line:
    operation = each.first.extras["operation"]
    tasks = {e.first.group for e in mine if e.first.extras["operation"] == operation}
    name = f"{each.first.extras['dtype']} " if len(tasks) > 1 else ""
    name += operation + (" + transfer" if each.first.name == "transfer" else "")
    return Line(name, each.sizes, each.seen)


main = partial(question.run, "crossover", answer)

if __name__ == "__main__":
    main()
