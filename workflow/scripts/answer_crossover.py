"""From which size is the GPU worth it? Without a GPU: from which size are all threads?

The crossover n* is the size from which on one way is faster than the other by more than the margin
of sameness. It lies between two measured sizes: the last at which "faster" is not the verdict, and
the next. Nothing narrower is told, for what happens between two sizes was not measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from assay.answer import arms, figure, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Band, Line, Mark
from assay.answer.inference import bracket, ends
from assay.answer.model import Main, Table
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Comparison, Word
from assay.record import Record, Status, Trial
from pandas import DataFrame

FASTER = 1 - verdict.MARGIN  # a ratio of times below this is no longer the same
NEAR = 4  # times: between sizes further apart a straight line is no estimate
WAYS = {
    "one_thread": "one thread",
    "resident": "operands there",
    "transfer": "with transfer",
    "waited": "each waited for",
    "printed": "printed to the null device",
}
ON_CPU = ("one_thread", "all_threads")
TASKS = {"product": "products", "elementwise": "elementwise products"}
TITLE = "Ratio of times against matrix size"
SUMMARY = "From which size on each way is faster"


# ---- what was measured --------------------------------------------------------------------------


def compared(records: Sequence[Record]) -> list[Arm]:
    """Every way of every trial, judged as one family: all threads beside one, GPUs beside a CPU."""
    found = [
        _arm(each, trial, name)
        for each in records
        for trial in each.trials
        if trial.status == Status.OK
        for name in dict(trial.result["arms"])
        if name != arms.CONTROL
    ]
    return arms.judged([_beside_cpu(arm, found) for arm in found])


def _arm(each: Record, trial: Trial, name: str) -> Arm:
    """The time of one call in one way, with all that the tidy table holds of it."""
    what, result, threads = trial.what, trial.result, each.conditions.threads_used
    arm: Any = result["arms"][name]
    way = str(what["anchor"]) if name == arms.ANCHOR else name
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
    group = f"{what['dtype']} {TASKS[str(what['operation'])]}"
    found = Arm(str(each.axes["device"]), group, way, str(what["n"]), time, extras=extras)
    if name == "all_threads":
        one = replace(found, name="one_thread", extras={"how": WAYS["one_thread"]})
        return _against(found, one, verdict.paired(result, name))
    return found


def _beside_cpu(arm: Arm, found: Sequence[Arm]) -> Arm:
    """What a GPU does beside the first CPU, on as many threads as are faster, at the same task."""
    same = [a for a in found if on_cpu(a) and (a.group, a.label) == (arm.group, arm.label)]
    timed = [a for a in same if a.name in ON_CPU and a.device == same[0].device]
    if arm.name not in ("resident", "transfer") or not timed or not arm.value:
        return arm
    other = min(timed, key=lambda each: float(each.extras["time_s"]))  # one thread, where small
    assert other.value
    noise = max(arm.extras["noise"], other.extras["noise"])
    return _against(arm, other, verdict.unpaired(arm.value, other.value, noise=noise))


def _against(arm: Arm, other: Arm, seen: Comparison) -> Arm:
    against = {"against_device": other.device, "against_way": other.name}
    against |= {"against": f"{other.extras['how']} of {other.device}"}
    return replace(arm, seen=seen, extras={**arm.extras, **against})


def on_cpu(arm: Arm) -> bool:
    """Whether it was measured on a CPU."""
    return arm.extras["anchor"] in ON_CPU


# ---- the crossover ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crossover:
    """From which size on a way is faster than its reference."""

    arms: list[Arm]  # of one device, task and way, by size

    @property
    def first(self) -> Arm:
        """That of the smallest size, which stands for what all have in common."""
        return self.arms[0]

    @property
    def sizes(self) -> list[int]:
        """The sizes that could be measured."""
        return [arm.extras["n"] for arm in self.arms]

    @property
    def seen(self) -> list[Comparison]:
        """The ratios at these sizes."""
        return [arm.seen for arm in self.arms if arm.seen]

    @property
    def between(self) -> tuple[float, float]:
        """The sizes on both sides of n*, by the ratios; see :func:`bracket`."""
        return bracket(self.sizes, [seen.value < FASTER for seen in self.seen])

    @property
    def ends(self) -> tuple[float, float]:
        """Between which sizes n* lies at all: beyond, every or no verdict is that it is faster.

        0 where it may be faster from the smallest size on, infinity where it may never be.
        """
        certain = [arm.word == Word.FASTER for arm in self.arms]
        return ends(self.sizes, [seen.low < FASTER for seen in self.seen], certain)

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
        return math.isinf(high) if self.case == "crosses" else low != high

    @property
    def told(self) -> str:
        """From where on it is faster, or that this cannot be told."""
        low, high = self.ends
        if self.doubtful:
            return Word.UNKNOWN.value
        if self.case == "crosses":
            between = f"between {say.count(low)} and" if low else "="
            return f"from n {between} {say.count(high)}{'' if low else ' or less'}"
        if self.case == "always":
            return f"at every size from {self.sizes[0]}"
        only = [arm.label for arm in self.arms if arm.word == Word.FASTER]
        return f"only at {say.few(only)}" if only else f"at no size up to {self.sizes[-1]}"

    @property
    def task(self) -> tuple[str, str]:
        """Where and what is calculated, whatever the number format."""
        return self.first.device, self.first.extras["operation"]

    @property
    def name(self) -> str:
        """What is calculated, and whether operands are moved."""
        return f"{self.first.group}{' with transfer' if self.first.name == 'transfer' else ''}"


def crossovers(found: Sequence[Arm]) -> list[Crossover]:
    """One per device, task and way; products first."""
    seen = sorted((arm for arm in found if arm.seen), key=lambda arm: arm.extras["n"])
    series = arms.grouped(seen, lambda arm: f"{arm.device}, {arm.group}, {arm.name}").values()
    order = [*TASKS]
    return sorted(map(Crossover, series), key=lambda c: order.index(c.first.extras["operation"]))


def chosen(crossed: Sequence[Crossover], first: Mapping[str, str]) -> list[Crossover]:
    """What the headline is about: GPUs, or else all threads, in each task's first number format."""
    asked = [each for each in crossed if each.first.extras["dtype"] == first[each.task[1]]]
    return [each for each in asked if not on_cpu(each.first)] or asked


def formats(records: Sequence[Record]) -> dict[str, str]:
    """The number format that was asked for first, by operation."""
    asked = [trial.what for each in records for trial in each.trials]
    return {str(what["operation"]): str(what["dtype"]) for what in reversed(asked)}


# ---- the answer ---------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of all sizes and devices."""
    found = compared(records)
    crossed = crossovers(found)
    main = chosen(crossed, formats(records))
    lost = _lost(records, found, main)
    told = [Main(each.name, Word.UNKNOWN if each.doubtful else None) for each in main]
    no_gpu = [Main("GPU", lost="not available")] if found and all(map(on_cpu, found)) else []
    devices = dict.fromkeys(each.first.device for each in [*main, *crossed])
    views = [view for device in devices if (view := _view(device, crossed, main))]
    return Findings(
        short=_short(found, main),
        cells=[*told, *lost, *no_gpu],
        sentence=_sentence(found, main, lost),
        so=_so(main),
        numbers=_numbers(found, crossed),
        method=_method(found),
        caveats=CAVEATS,
        views=views or question.nothing(TITLE),
        folded=[_summary(crossed)] if crossed else [],
        table=_table(found),
        frame=_frame(records, found),
    )


def _lost(records: Sequence[Record], found: Sequence[Arm], main: Sequence[Crossover]) -> list[Main]:
    """Tasks and devices that were asked for and have no crossover, each with why."""
    measured, there = {arm.device for arm in found}, {each.task for each in main}
    asked = {arm.device for arm in found if not on_cpu(arm)} or measured
    first = formats(records)
    lost: dict[str, str] = {}
    for each in records:
        device = str(each.axes["device"])
        if device not in measured:
            lost.setdefault(device, trials.why_lost([each]))
        for trial in each.trials if device in asked else ():
            task = str(trial.what["operation"])
            name = TASKS[task] + (f" on {device}" if len(asked) > 1 else "")
            missing = trial.what["dtype"] == first[task] and (device, task) not in there
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
            and arm.name in ("one_thread", "resident", "waited", "transfer")
        ],
    }


def _crossover_numbers(each: Crossover) -> dict[str, Any]:
    last = arms.flat(each.arms[-1])
    same = ("device", "way", "operation", "dtype", "against_device", "against_way")
    at_end = ("ratio", "ratio_low", "ratio_high", "verdict")
    low, high = (n if n and math.isfinite(n) else None for n in each.ends)
    return {
        **{key: last[key] for key in same},
        "case": each.case,
        **{"n": each.estimate, "n_low": low, "n_high": high},
        "between": [*each.between] if each.case == "crosses" else None,
        "largest_n": each.sizes[-1],
        **{f"{key}_at_largest_n": last[key] for key in at_end},
    }


def _frame(records: Sequence[Record], found: Sequence[Arm]) -> DataFrame:
    """One row per way of a trial, and one per trial that was lost."""
    table = trials.frame(records, map(arms.flat, found))
    return table[table["status"] != Status.OK.value].dropna(axis=1, how="all")


# ---- telling ------------------------------------------------------------------------------------


def _sentence(found: Sequence[Arm], main: Sequence[Crossover], lost: Sequence[Main]) -> str:
    """From which size on the GPU, or else all threads, are worth it: products, then little work."""
    if not found:
        return question.NOTHING
    gpus = say.listed(dict.fromkeys(arm.device for arm in found if not on_cpu(arm)))
    if not main and gpus:
        return f"No CPU was measured beside {gpus}, so there is nothing to compare."
    if not main:
        return "No GPU here, and the CPU in one way only, so there is nothing to compare."
    parts = ["No GPU could be compared." if gpus else "No GPU here."] * on_cpu(main[0].first)
    by_device = arms.grouped(main, lambda each: each.first.device)
    parts += [say.on(device, by_device) + _clauses(here) for device, here in by_device.items()]
    return " ".join([*parts, *(f"{say.capital(each.name)}: {each.lost}." for each in lost)])


def _clauses(here: Sequence[Crossover]) -> str:
    """Of one device: what is told of the first task, then a word on each other."""
    lead = next((each for each in here if not each.doubtful), None)
    others = [each for each in here if each is not lead]
    rest = arms.grouped(others, lambda each: each.told)
    told, same_format = [], f"{here[0].first.extras['dtype']} "
    for text, same in rest.items():
        names = say.listed(each.name.removeprefix(same_format) for each in same)
        told.append(f"{say.capital(names)}: {text}.")
    if lead:
        subject = say.capital(_threads(lead)) if on_cpu(lead.first) else "The GPU is worth it"
        told.insert(0, f"{subject} for {lead.name} {lead.told}.")
    return " ".join(told)


def _threads(each: Crossover) -> str:
    return f"{say.worded(each.first.extras['threads'])} threads beat one"


def _short(found: Sequence[Arm], main: Sequence[Crossover]) -> str:
    """From which size on, of the first task that can be told."""
    if not main:
        return "Nothing to compare" if found else "Not measured"
    parts = ["No GPU"] * on_cpu(main[0].first)
    by_device = arms.grouped(main, lambda each: each.first.device)
    for device, here in by_device.items():
        lead = next((each for each in here if not each.doubtful), here[0])
        what = f"the GPU is worth it for {lead.name}"
        if on_cpu(lead.first):
            what = _threads(lead) + ("" if lead is here[0] else f" ({TASKS[lead.task[1]]})")
        since = lead.told.replace("n between ", "n = ").replace(" and ", "–").partition(" up to")[0]
        told = f"cannot tell whether {what}" if lead.doubtful else f"{what} {since}"
        parts.append(say.on(device, by_device) + told)
    return say.capital("; ".join(parts))


def _so(main: Sequence[Crossover]) -> str:
    """Where to calculate: only from sizes at which the verdicts say so."""
    advice: dict[str, dict[str, None]] = {}
    for each in main:
        way, task = each.first.name, f"for {each.first.group}"
        if way == "resident" and each.case != "never" and not each.doubtful:
            since = say.count(each.ends[1] or each.sizes[0])
            advice.setdefault(each.first.device, {})[f"{task} from n = {since}"] = None
        by_word = arms.grouped(each.arms, lambda arm: str(arm.word))
        slower, faster = (
            [arm.extras["n"] for arm in by_word.get(word, [])]
            for word in (Word.SLOWER, Word.FASTER)
        )
        if way == "all_threads" and slower and max(slower) < min(faster, default=math.inf):
            advice.setdefault("one thread", {})[f"{task} up to n = {max(slower)}"] = None
    return " ".join(f"Use {what} {', '.join(tasks)}." for what, tasks in advice.items())


def _method(found: Sequence[Arm]) -> list[str]:
    method = [
        "The time of a call is what the host waits for, over a block of calls with a "
        "synchronisation at both ends. One thread and all threads of a CPU are measured in the "
        "same rounds, the threads being set and woken before the time starts. Results were "
        "checked against float64. An elementwise product of n = 1 is one element: its time is the "
        "launch.",
        f"Faster means a ratio of times under 1 less {verdict.MARGIN:.0%}. From where on that is "
        "so lies between the last measured size at which it is not the verdict, and the next.",
    ]
    if not all(map(on_cpu, found)):
        method.append(
            "CPU and GPU were measured in separate processes: their ratios are those of medians, "
            "whose errors add in quadrature. A GPU is compared with one thread or all, whichever "
            "is faster. Transfer is from and to pageable memory."
        )
    return method


CAVEATS = [
    "More sizes in between would narrow down where the ratio crosses. Operands are used again, so "
    "small ones stay in the caches.",
    "Published times of such products imply 125 to 1334 TFLOP/s: they were taken without "
    "synchronisation.",
]


# ---- showing ------------------------------------------------------------------------------------


def _view(device: str, crossed: Sequence[Crossover], main: Sequence[Crossover]) -> Shown | None:
    """The ratios of a device against size; None of fewer than two points."""
    mine = [each for each in crossed if each.first.device == device]
    mine = [each for each in mine if each in main or on_cpu(each.first)]
    sizes = sorted({n for each in mine for n in each.sizes})
    if len(sizes) < 2:
        return None
    first = mine[0].first
    own, other = device, first.extras["against_device"]
    if on_cpu(first):
        own, other = f"{say.worded(first.extras['threads'])} threads", "one thread"
    drawn = figure.lines(
        [_line(each, mine) for each in mine],
        Axis("rows and columns of the matrices, n", say.count, log=True, ticks=sizes),
        Axis(
            f"time of {own} over that of {other} (under 1: {own} faster)",
            lambda y: f"{say.short(y)} ×",
            log=True,
        ),
        marks=[
            Mark(each.estimate, each.told.removeprefix("from n "))
            for each in mine
            if each.estimate and not each.doubtful
        ][:1],
        band=Band(FASTER, 2 - FASTER, ""),
    )
    said = "; ".join(f"{each.name}: {each.told}" for each in mine)
    return Shown(TITLE, f"{TITLE}, {own} over {other}. Faster: {said}.", drawn, name=device)


def _line(each: Crossover, mine: Sequence[Crossover]) -> Line:
    formats = {other.first.group for other in mine if other.task == each.task}
    name = f"{each.first.extras['dtype']} " if len(formats) > 1 else ""
    name += each.task[1] + (" + transfer" if each.first.name == "transfer" else "")
    return Line(name, each.sizes, each.seen)


def _summary(crossed: Sequence[Crossover]) -> Shown:
    """Where each way crosses its reference."""
    heads = ("device", "task", "way", "against", "faster", "at the largest size")
    rows = []
    for each in crossed:
        first, last = each.first, each.arms[-1]
        row = [first.device, first.group, first.extras["how"], first.extras["against"]]
        rows.append([*row, each.told, f"n = {last.label}: {last.told}"])
    return question.tabled(SUMMARY, heads, rows)


def _table(found: Sequence[Arm]) -> Table:
    """Every time that was measured, by device, task and size."""
    return arms.table(
        sorted(found, key=lambda arm: (arm.device, arm.group, arm.extras["n"])),
        "n",
        unit="µs",
        scale=1e6,
        value="time of a call",
        against="ratio of times",
        group="task",
        extra={
            "way": lambda arm: arm.extras["how"],
            "against": lambda arm: arm.extras.get("against"),
        },
    )


main = partial(question.run, "crossover", answer)

if __name__ == "__main__":
    main()
