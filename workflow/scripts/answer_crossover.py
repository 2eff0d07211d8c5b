"""From which size is the GPU worth it? Without a GPU: from which size are all threads?

The crossover n* is the size from which on one way is faster than the other by more than the margin
of sameness. Between the last measured size where it is not and the next, where it is, the logarithm
of the ratio is taken for a straight line in log n. The ends of n*'s interval come from the ends of
the ratios' intervals in the same way, and a size at which "faster" is not the verdict lies inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import pandas as pd
from assay import occasion
from assay.answer import question, verdict
from assay.answer import old_figure as figure
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

FASTER = 1 - verdict.MARGIN  # a ratio of times below this is no longer the same
WAYS = {
    "one_thread": "one thread",
    "all_threads": "all threads",
    "resident": "operands there",
    "transfer": "with transfer",
    "waited": "waited for",
    "printed": "with printing",
}
ON_CPU = ("one_thread", "all_threads")
WHOLE = ("all_threads", "one_thread", "resident")  # what a device does as a whole, best first
DRAWN = ("one_thread", "all_threads", "resident", "transfer")
ROOM = 0.15  # share of a panel's height above and below the data, for names
NAMED = 8  # sizes that are named on an axis, at most
TASKS = {"product": "product", "elementwise": "elementwise product"}


# ---- what was measured -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Timing:
    """The time of one call in one way, and how well its trial could tell things apart."""

    device: str
    threads: int  # of the CPU
    operation: str
    dtype: str
    n: int
    way: str
    seconds: Interval
    flop: float
    noise: float  # what the trial's twin made up
    trial: Trial

    @property
    def flops(self) -> float:
        """FLOP/s."""
        return self.flop / self.seconds.value

    @property
    def task(self) -> tuple[str, str, int]:
        """What is compared only with its own kind."""
        return self.operation, self.dtype, self.n

    @property
    def on_cpu(self) -> bool:
        """Whether it was measured on a CPU."""
        return self.trial.what["anchor"] in ON_CPU


@dataclass(frozen=True)
class Contest:
    """A timing against another one of the same task."""

    timing: Timing
    reference: Timing
    seen: Comparison
    word: Word

    @property
    def margins(self) -> Interval:
        """The ratio over the largest that counts as faster; below 1 it is faster.

        The interval reaches 1 wherever the verdict is not that it is faster.
        """
        value, low, high = (
            end / FASTER for end in (self.seen.value, self.seen.low, self.seen.high)
        )
        return Interval(value, low, high if self.word == Word.FASTER else max(high, 1.0))

    @property
    def series(self) -> tuple[str, str, str, str]:
        """What differs from other contests only by size."""
        timing = self.timing
        return timing.device, timing.way, timing.operation, timing.dtype


def timings(records: Sequence[Record]) -> list[Timing]:
    """Every way of every trial that could be measured."""
    return [
        _timing(each, trial, str(trial.what["anchor"]) if arm == "anchor" else arm, values)
        for each in records
        for trial in each.trials
        if trial.status == Status.OK
        for arm, values in _arms(trial).items()
        if arm != "twin"
    ]


def _arms(trial: Trial) -> dict[str, dict[str, Any]]:
    found: Any = trial.result["arms"]
    return dict(found)


def _timing(record: Record, trial: Trial, way: str, arm: dict[str, Any]) -> Timing:
    what: Any = trial.what
    return Timing(
        device=str(record.axes["device"]),
        threads=record.conditions.threads_used,
        operation=what["operation"],
        dtype=what["dtype"],
        n=what["n"],
        way=way,
        seconds=Interval(arm["time_median_s"], arm["time_low_s"], arm["time_high_s"]),
        flop=arm["units_per_call"],
        noise=verdict.noise(trial.result),
        trial=trial,
    )


def contests(found: Sequence[Timing]) -> list[Contest]:
    """All comparisons, judged together: all threads against one, and every GPU against the CPU."""
    pairs = [(timing, other) for timing in found if (other := reference(timing, found))]
    seen = [compare(timing, other) for timing, other in pairs]
    return [
        Contest(timing, other, comparison, word)
        for (timing, other), comparison, word in zip(pairs, seen, verdict.judge(seen), strict=True)
    ]


def reference(timing: Timing, found: Sequence[Timing]) -> Timing | None:
    """What a timing is compared with: one thread of its own trial, or the CPU as a whole.

    Where several CPUs were measured, it is the first.
    """
    same = [each for each in found if each.task == timing.task]
    if timing.way == "all_threads":
        arms = [each for each in same if each.trial is timing.trial]
        return next((each for each in arms if each.way == "one_thread"), None)
    if timing.way not in ("resident", "transfer"):
        return None
    return whole([each for each in same if each.on_cpu])


def whole(found: Sequence[Timing]) -> Timing | None:
    """What the first of these devices does as a whole; None where none was measured."""
    mine = [each for each in found if each.device == found[0].device]
    return next((each for way in WHOLE for each in mine if each.way == way), None)


def compare(timing: Timing, other: Timing) -> Comparison:
    """The comparison of two timings: paired where they are arms of one trial."""
    if timing.trial is other.trial:
        return verdict.paired(timing.trial.result, timing.way)
    return separate(timing, other)


def separate(timing: Timing, other: Timing) -> Comparison:
    """The ratio of two medians that separate processes measured.

    Two intervals of 95 % add in quadrature, and its bound is the wider of the two trials'.
    """
    noise = max(timing.noise, other.noise)
    return verdict.unpaired(timing.seconds, other.seconds, noise=noise)


# ---- the crossover ---------------------------------------------------------------------------


def crossing(sizes: Sequence[int], margins: Sequence[float]) -> float:
    """The size from which on a curve stays below 1, on straight lines in log-log.

    Args:
        sizes: In ascending order.
        margins: The curve at these sizes, positive.

    Returns:
        0 where the whole curve is below 1 (always); infinity where its last point is not (never).
    """
    last = max((i for i, margin in enumerate(margins) if margin >= 1), default=None)
    if last is None:
        return 0.0
    if last == len(sizes) - 1:
        return math.inf
    above, below = math.log(margins[last]), math.log(margins[last + 1])
    share = above / (above - below)
    return math.exp((1 - share) * math.log(sizes[last]) + share * math.log(sizes[last + 1]))


@dataclass(frozen=True)
class Crossover:
    """From which size on a way is faster than its reference."""

    contests: list[Contest]  # of one series, by size

    @property
    def first(self) -> Contest:
        """That of the smallest size."""
        return self.contests[0]

    @property
    def last(self) -> Contest:
        """That of the largest size."""
        return self.contests[-1]

    @property
    def sizes(self) -> list[int]:
        """The sizes that could be measured."""
        return [each.timing.n for each in self.contests]

    @property
    def n(self) -> Interval:
        """n* with its interval; 0 stands for always and infinity for never."""
        margins = [each.margins for each in self.contests]
        ends = zip(*map(astuple, margins), strict=True)
        return Interval(*(crossing(self.sizes, end) for end in ends))

    @property
    def case(self) -> str:
        """``always``, ``never`` or ``crosses``."""
        value = self.n.value
        return "always" if value == 0 else "never" if math.isinf(value) else "crosses"

    @property
    def between(self) -> tuple[int, int] | None:
        """The measured sizes on both sides of n*; None where it does not cross."""
        if self.case != "crosses":
            return None
        after = next(i for i, n in enumerate(self.sizes) if n > self.n.value)
        return self.sizes[after - 1], self.sizes[after]

    @property
    def words(self) -> str:
        """From where on it is worth it."""
        value, first, last = self.n, self.sizes[0], self.sizes[-1]
        if self.case == "always":
            return f"at every size measured, from n = {first}{self._doubt(value)}"
        if self.case == "crosses":
            return f"from n = {value.value:.0f} {self.interval}"
        only = [each.timing.n for each in self.contests if each.margins.value < 1]
        if only:
            return (
                f"at no size up to n = {last} for good (only at {', '.join(map(str, only))})"
                f"{self._doubt(value)}"
            )
        return f"at no size up to n = {last}{self._doubt(value)}"

    @property
    def interval(self) -> str:
        """The interval of n* in brackets."""
        low, high = self.n.low, self.n.high
        left = f"≤ {self.sizes[0]}" if low == 0 else f"{low:.0f}"
        right = f"> {self.sizes[-1]}" if math.isinf(high) else f"{high:.0f}"
        return f"[{left}, {right}]"

    def _doubt(self, n: Interval) -> str:
        """Said where the interval of n* reaches into the measured sizes though n* does not."""
        return "" if n.low == n.high else f" (cannot tell: n* may be in {self.interval})"


def crossovers(found: Sequence[Contest]) -> list[Crossover]:
    """One per device, way, operation and number format, in the order of first appearance."""
    order = list(dict.fromkeys(each.series for each in found))
    return [
        Crossover(sorted((c for c in found if c.series == series), key=lambda c: c.timing.n))
        for series in order
    ]


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of all sizes and devices."""
    found = timings(records)
    judged = contests(found)
    crossed = crossovers(judged)
    return Findings(
        sentence=_sentence(found, crossed),
        findings=[
            *(_crossover_finding(each) for each in crossed),
            *(_best_finding(best, found) for best in bests(found)),
            *_latency_findings(found),
            *_printing_findings(found),
            *_unsynchronised_findings(found),
        ],
        numbers=_numbers(found, crossed),
        method=_method(records, found, judged),
        caveats=_caveats(records, found),
        picture=Picture(
            title="Time of one call, and throughput, against matrix size",
            alternative=_alternative(found, crossed),
        ),
        table=_page_table(crossed),
        frame=_frame(records, found, judged),
        figure=_figure(found, crossed),
    )


def _sentence(found: Sequence[Timing], crossed: Sequence[Crossover]) -> str:
    """From which size on the GPU, or else all threads, are worth it: products, then little work."""
    if not found:
        return "Nothing could be measured; the reasons are below."
    gpus = list(dict.fromkeys(each.device for each in found if not each.on_cpu))
    against_cpu = [each for each in crossed if not each.first.timing.on_cpu]
    if against_cpu:
        texts = [_gpu_sentence(gpu, against_cpu) for gpu in gpus]
        return " ".join(text for text in texts if text)
    if crossed:
        said = "No GPU could be compared" if gpus else "No GPU was measured"
        return f"{said}; so one thread against all instead: {_threads_sentence(crossed)}."
    device = found[0].device
    if gpus:
        return f"No CPU was measured beside {gpus[0]}, so there is nothing to compare."
    return f"No GPU was measured, and {device} in one way only, so there is nothing to compare."


def _gpu_sentence(gpu: str, crossed: Sequence[Crossover]) -> str:
    mine = [each for each in crossed if each.first.timing.device == gpu]
    parts = []
    for operation in TASKS:
        here = _first_dtype([c for c in mine if c.first.timing.operation == operation])
        said = [f"{_condition(each)} {each.words}" for each in here]
        if said:
            parts.append(f"for the {_task(here[0])}, {', '.join(said)}")
    if not parts:
        return ""
    other = mine[0].first.reference
    against = f"{other.device} on {_count(other)}"
    return f"{gpu} is worth it against {against}: {'; '.join(parts)}."


def _threads_sentence(crossed: Sequence[Crossover]) -> str:
    devices = dict.fromkeys(each.first.timing.device for each in crossed)
    return "; ".join(
        _threads_clause([each for each in crossed if each.first.timing.device == device])
        for device in devices
    )


def _threads_clause(crossed: Sequence[Crossover]) -> str:
    """From which size on all threads of one device are worth it."""
    parts = []
    for operation in TASKS:
        here = _first_dtype([c for c in crossed if c.first.timing.operation == operation])
        parts += [f"for the {_task(each)} {each.words}" for each in here]
    timing = crossed[0].first.timing
    return f"all {timing.threads} threads of {timing.device} are worth it {', '.join(parts)}"


def _first_dtype(crossed: Sequence[Crossover]) -> list[Crossover]:
    """Those of the number format that was measured first."""
    return [each for each in crossed if each.first.timing.dtype == crossed[0].first.timing.dtype]


def _condition(crossover: Crossover) -> str:
    resident = crossover.first.timing.way == "resident"
    return "with the operands already there" if resident else "with transfer there and back"


def _task(crossover: Crossover) -> str:
    timing = crossover.first.timing
    return f"{timing.dtype} {TASKS[timing.operation]}"


def _count(timing: Timing) -> str:
    if timing.way == "one_thread":
        return "one thread"
    return f"all {timing.threads} threads"


def _crossover_finding(crossover: Crossover) -> str:
    last, other = crossover.last, crossover.first.reference
    text = (
        f"{_whose(crossover)}, {_task(crossover)}: faster than {other.device} on {_count(other)} "
        f"{crossover.words}"
    )
    if crossover.between:
        text += f" (between the measured {crossover.between[0]} and {crossover.between[1]})"
    seen = last.seen
    return (
        f"{text}; at n = {last.timing.n} it takes {_three(seen.value)} "
        f"[{_three(seen.low)}, {_three(seen.high)}] × the time ({verdict.told(seen, last.word)})."
    )


def _whose(crossover: Crossover) -> str:
    timing = crossover.first.timing
    return f"{timing.device}, {WAYS[timing.way]}"


def _three(value: float) -> str:
    return f"{value:.3g}"


# ---- products against the best measured one --------------------------------------------------


def bests(found: Sequence[Timing]) -> list[Timing]:
    """The fastest product of every device and number format."""
    products = [each for each in found if each.operation == "product" and each.way in WHOLE]
    order = list(dict.fromkeys((each.device, each.dtype) for each in products))
    return [
        max((p for p in products if (p.device, p.dtype) == kind), key=lambda p: p.flops)
        for kind in order
    ]


def by_size(best: Timing, found: Sequence[Timing]) -> list[Timing]:
    """The fastest product of every size, on the device and in the number format of a best one."""
    kind = best.device, best.dtype
    mine = [
        each
        for each in found
        if (each.device, each.dtype) == kind and each.operation == "product" and each.way in WHOLE
    ]
    sizes = sorted({each.n for each in mine})
    return [max((e for e in mine if e.n == n), key=lambda e: e.flops) for n in sizes]


def shares(best: Timing, found: Sequence[Timing]) -> dict[int, float]:
    """By size, what share of the best measured product is reached."""
    return {each.n: each.flops / best.flops for each in by_size(best, found)}


def _best_finding(best: Timing, found: Sequence[Timing]) -> str:
    low, high = best.flop / best.seconds.high, best.flop / best.seconds.low
    text = (
        f"{best.device}, {best.dtype}: 100 % is the best measured product, {_rate(best.flops)} "
        f"[{_rate(low)}, {_rate(high)}] at n = {best.n}, {WAYS[best.way]}"
    )
    reached = shares(best, found)
    for least in (0.1, 0.5, 0.9):
        first = min(n for n, share in reached.items() if share >= least)
        text += f"; {least:.0%} of it is reached at n = {first}"
    peak: Any = best.trial.result.get("peak_flops")
    return f"{text} ({best.flops / peak:.0%} of the theoretical peak)." if peak else f"{text}."


def _rate(flops: float) -> str:
    for factor, unit in ((1e12, "TFLOP/s"), (1e9, "GFLOP/s"), (1e6, "MFLOP/s")):
        if flops >= factor:
            return f"{flops / factor:.3g} {unit}"
    return f"{flops:.3g} FLOP/s"


def _duration(seconds: float) -> str:
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            return f"{seconds / factor:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _with_interval(seconds: Interval) -> str:
    return f"{_duration(seconds.value)} [{_duration(seconds.low)}, {_duration(seconds.high)}]"


# ---- launch, printing, synchronisation -------------------------------------------------------


def latencies(found: Sequence[Timing]) -> list[Timing]:
    """An operation on one element, in the ways that a device was asked for."""
    return [
        each
        for each in found
        if each.operation == "elementwise"
        and each.n == 1
        and each.way in ("one_thread", "resident", "waited", "transfer")
    ]


def _latency_findings(found: Sequence[Timing]) -> list[str]:
    names = {"one_thread": "", "resident": ", one after the other", "waited": ", each waited for"}
    return [
        f"{each.device}: launch latency, an operation on one {each.dtype} element"
        f"{names.get(each.way, ', with transfer there and back')}: {_with_interval(each.seconds)}."
        for each in latencies(found)
    ]


def _printing_findings(found: Sequence[Timing]) -> list[str]:
    """What printing would have added to the elementwise product, at the ends of the sizes."""
    texts = []
    for device in dict.fromkeys(each.device for each in found):
        mine = [each for each in found if each.device == device]
        printed = sorted((e for e in mine if e.way == "printed"), key=lambda e: e.n)
        for each in dict.fromkeys((*printed[:1], *printed[-1:])):
            bare = whole([e for e in mine if e.task == each.task])
            assert bare  # an arm of the same trial
            share = max(0.0, 1 - bare.seconds.value / each.seconds.value)
            texts.append(
                f"{device}: with printing to the null device, the elementwise product of "
                f"n = {each.n} takes {_with_interval(each.seconds)} instead of "
                f"{_with_interval(bare.seconds)}: {share:.0%} would be printing."
            )
    return texts


def _unsynchronised_findings(found: Sequence[Timing]) -> list[str]:
    """What a clock that does not wait for the device would have said about the largest product."""
    texts = []
    for best in bests(found):
        launched: Any = best.trial.result.get("unsynchronised_s")
        if launched:
            texts.append(
                f"{best.device}, {best.dtype}: a product of n = {best.n} returns after "
                f"{_duration(launched)}, before it is done; a clock that does not wait would say "
                f"{_rate(best.flop / launched)} instead of {_rate(best.flops)}."
            )
    return texts


# ---- numbers, words and tables ---------------------------------------------------------------


def _numbers(found: Sequence[Timing], crossed: Sequence[Crossover]) -> dict[str, Any]:
    return {
        "crossovers": [_crossover_numbers(each) for each in crossed],
        "best_products": [
            {
                "device": best.device,
                "dtype": best.dtype,
                "n": best.n,
                "way": best.way,
                "throughput_flops": best.flops,
                "share_by_n": {str(n): share for n, share in shares(best, found).items()},
            }
            for best in bests(found)
        ],
        "latencies": [
            {
                "device": each.device,
                "way": each.way,
                "time_s": each.seconds.value,
                "time_low_s": each.seconds.low,
                "time_high_s": each.seconds.high,
            }
            for each in latencies(found)
        ],
    }


def _crossover_numbers(each: Crossover) -> dict[str, Any]:
    device, way, operation, dtype = each.first.series
    return {
        "device": device,
        "way": way,
        "operation": operation,
        "dtype": dtype,
        "against_device": each.first.reference.device,
        "against_way": each.first.reference.way,
        "case": each.case,
        "n": _finite(each.n.value),
        "n_low": _finite(each.n.low),
        "n_high": _finite(each.n.high),
        "between": list(each.between) if each.between else None,
        "largest_n": each.last.timing.n,
        "ratio_at_largest_n": each.last.seen.value,
        "ratio_at_largest_n_low": each.last.seen.low,
        "ratio_at_largest_n_high": each.last.seen.high,
        "verdict_at_largest_n": each.last.word.value,
    }


def _finite(n: float) -> float | None:
    """A size; None outside the measured ones."""
    return n if n and math.isfinite(n) else None


def _method(
    records: Sequence[Record], found: Sequence[Timing], judged: Sequence[Contest]
) -> list[str]:
    settings: Any = records[0].settings
    protocol = settings["protocol"]
    threads = sorted({each.conditions.threads_used for each in records})
    method = [
        f"{occasion.told(records)} One trial per size, operation and number format: at least "
        f"{protocol['rounds_least']} rounds, every way in every round in an order drawn anew, with "
        f"a twin of the first on other memory; at most {settings['cell_s']:g} s a trial, else "
        "skipped with its estimate.",
        "The time of a call is what the host waits for, measured over a block of calls with a "
        "synchronisation at both ends: short work on a GPU takes as long as its launch.",
        "One thread and all threads of a CPU are arms of the same trial. The number of threads is "
        "set, and the threads are woken, before a block's time starts.",
        f"n* is where the ratio of the times passes what counts as faster (1 less "
        f"{verdict.MARGIN:.0%}), on a straight line in log n and log ratio between the last size "
        "where it is not faster and the next; its interval is that of the ratios' intervals, and "
        "holds every size beyond at which the verdict is not that it is faster.",
        f"Operands are normal random numbers, up to {protocol['operand_sets']} sets at different "
        "addresses per way, fewer of large ones, reused from call to call. Rows and columns of "
        "every result were checked against float64.",
        "The throughput of a size is that of its fastest way (one thread or all; operands there), "
        "100 % the best of them: it was measured, it is no theoretical peak.",
        f"CPU threads: {', '.join(map(str, threads))}. Verdicts are Holm-corrected over the "
        f"{len(judged)} comparisons of this question.",
    ]
    if any(not each.on_cpu for each in found):
        method.append(
            "CPU and GPU were measured in separate processes: their ratios are those of medians, "
            "whose standard errors add in quadrature on the log scale. Transfer is from and to "
            "ordinary (pageable) memory."
        )
    return method


def _caveats(records: Sequence[Record], found: Sequence[Timing]) -> list[str]:
    caveats = [
        "The interval of n* holds what the measured sizes leave open, not how the ratio bends "
        "between them.",
        "Operands and results are used again and again, so small ones stay in the caches.",
        "Published times of such products imply 125 to 1334 TFLOP/s: they were taken without "
        "synchronisation and are the time to ask for the work, not to do it.",
        "A published comparison of CPU and GPU timed the elementwise z * x with its printing: that "
        "is a task with little calculation, and mostly printing.",
    ]
    if found and all(each.on_cpu for each in found):
        caveats.append(
            "A CPU has no transfer: its operands are where it computes. So nothing is said about "
            "a GPU here."
        )
    if any(each.conditions.contention["delay_share"] is None for each in records):
        caveats.append("Contention unknown: this system does not show the run-queue delay.")
    return caveats


def _page_table(crossed: Sequence[Crossover]) -> Table:
    """One row per crossover."""
    columns = [
        Column(name="what"),
        Column(name="task"),
        Column(name="against"),
        Column(name="worth it"),
        Column(name="largest size", digits=6),
        Column(name="time relative to the other there"),
        Column(name="verdict there"),
    ]
    rows: list[list[str | float | int | None]] = [
        [
            _whose(each),
            _task(each),
            f"{each.first.reference.device}, {_count(each.first.reference)}",
            each.words,
            each.last.timing.n,
            f"{_three(each.last.seen.value)} "
            f"[{_three(each.last.seen.low)}, {_three(each.last.seen.high)}]",
            verdict.told(each.last.seen, each.last.word),
        ]
        for each in crossed
    ]
    return Table(columns=columns, rows=rows)


def _frame(
    records: Sequence[Record], found: Sequence[Timing], judged: Sequence[Contest]
) -> pd.DataFrame:
    """Tidy: one row per way of a trial, and one per trial or record that is not ok."""
    contest = {id(each.timing): each for each in judged}
    best = {(each.device, each.dtype): each.flops for each in bests(found)}
    rows = [_flat(each, contest.get(id(each)), best) for each in found]
    for each in records:
        device = each.axes["device"]
        if not each.trials:
            head = {"device": device, "n": each.axes["n"]}
            rows.append({**head, "status": each.status.value, "reason": each.reason})
        rows += [
            {"device": device, **trial.what, "status": trial.status.value, "reason": trial.reason}
            for trial in each.trials
            if trial.status != Status.OK
        ]
    columns = ["device", "operation", "dtype", "n", "way", "status", "reason", "time_s"]
    table = pd.DataFrame(rows)
    columns += [str(name) for name in table if name not in (*columns, "anchor")]
    return table.reindex(columns=columns).sort_values(
        ["device", "operation", "dtype", "n"], kind="stable"
    )


def _flat(
    timing: Timing, contest: Contest | None, best: dict[tuple[str, str], float]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "device": timing.device,
        "operation": timing.operation,
        "dtype": timing.dtype,
        "n": timing.n,
        "way": timing.way,
        "status": Status.OK.value,
        "time_s": timing.seconds.value,
        "time_low_s": timing.seconds.low,
        "time_high_s": timing.seconds.high,
        "throughput_flops": timing.flops,
        "throughput_bytes_per_s": _bytes_per_s(timing),
    }
    if timing.operation == "product":
        row["share_of_best"] = timing.flops / best[timing.device, timing.dtype]
    if timing.way == "resident":
        for key in ("device_s", "unsynchronised_s"):
            row[key] = timing.trial.result.get(key)
    if contest:
        row |= {
            "against_device": contest.reference.device,
            "against_way": contest.reference.way,
            **verdict.row(contest.seen),
            "verdict": contest.word.value,
        }
    return row


def _bytes_per_s(timing: Timing) -> float | None:
    size: Any = timing.trial.result.get("bytes_per_call")
    return size / timing.seconds.value if size else None


# ---- the figure ------------------------------------------------------------------------------


def _alternative(found: Sequence[Timing], crossed: Sequence[Crossover]) -> str:
    said = [f"{_whose(each)}, {_task(each)}: faster {each.words}" for each in crossed]
    said += [
        f"best product of {best.device} in {best.dtype}: {_rate(best.flops)} at n = {best.n}"
        for best in bests(found)
    ]
    listed = "; ".join(said) or "nothing was measured"
    return f"Time of one call against matrix size, and the throughput of products. {listed}."


def _figure(found: Sequence[Timing], crossed: Sequence[Crossover]) -> Figure:
    """The time of both tasks, one above the other, and the throughput of the products."""
    if not found:
        return figure.nothing()
    drawn, panels = figure.mosaic("t;e;f", height_in=8.0)
    colours = _colours(found)
    sizes = sorted({each.n for each in found})
    right = sizes[-1] * max(2, sizes[-1] / sizes[0]) ** 0.3  # room for the names
    for axes in panels.values():
        axes.set_xscale("log", base=2)
        axes.set_xlim(sizes[0] / 1.3, right)
        named = sizes[:: math.ceil(len(sizes) / NAMED)]
        axes.set_xticks(named, [str(n) for n in named])
    for letter, operation in (("t", "product"), ("e", "elementwise")):
        shown = [each for each in found if each.operation == operation and each.way in DRAWN]
        shown = [each for each in shown if each.dtype == shown[0].dtype]
        crossing_here = [
            each
            for each in crossed
            if each.first.timing.operation == operation
            and each.first.timing.dtype == shown[0].dtype
        ]
        _times(panels[letter], operation, shown, crossing_here, colours)
    _throughput(panels["f"], found, colours)
    for axes in panels.values():
        axes.minorticks_off()
    panels["f"].set_xlabel("rows and columns of the matrices, n")
    return drawn


def _colours(found: Sequence[Timing]) -> dict[tuple[str, str], str]:
    """A colour for every device and way that is drawn."""
    ways = dict.fromkeys((each.device, each.way) for each in found if each.way in DRAWN)
    return {way: figure.CYCLE[i % len(figure.CYCLE)] for i, way in enumerate(ways)}


def _times(
    axes: Axes,
    operation: str,
    shown: Sequence[Timing],
    crossed: Sequence[Crossover],
    colours: dict[tuple[str, str], str],
) -> None:
    """Time against size, a line per device and way, and every n* as a vertical line."""
    if not shown:
        axes.set_title(TASKS[operation])
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        return
    axes.set_yscale("log")
    axes.margins(y=ROOM)
    axes.set_title(f"{TASKS[operation]}, {shown[0].dtype}")
    axes.set_ylabel("time of a call, ms")
    ends = []
    for way, colour in colours.items():
        line = sorted((e for e in shown if (e.device, e.way) == way), key=lambda e: e.n)
        if not line:
            continue
        _line(
            axes,
            [each.n for each in line],
            [
                Interval(*(1e3 * v for v in (e.seconds.value, e.seconds.low, e.seconds.high)))
                for e in line
            ],
            colour,
        )
        ends.append((line[-1], 1e3 * line[-1].seconds.value, f"{way[0]}, {WAYS[way[1]]}", colour))
    _name_ends(axes, ends)
    for i, each in enumerate(c for c in crossed if c.case == "crosses"):
        timing = each.first.timing
        _mark(axes, each, i, colours[timing.device, timing.way])


def _line(
    axes: Axes, sizes: Sequence[int], values: Sequence[Interval], colour: str, **options: Any
) -> None:
    axes.plot(sizes, [each.value for each in values], color=colour, lw=1.2, **options)
    figure.interval(
        axes,
        sizes,
        [each.value for each in values],
        [each.low for each in values],
        [each.high for each in values],
        color=colour,
        markersize=3,
    )


End = tuple[Timing, float, str, str]  # last timing of a line, its height, its name, its colour


def _name_ends(axes: Axes, ends: Sequence[End]) -> None:
    """The name of each line behind its last point, moved apart where lines end together."""
    bottom, top = (math.log10(limit) for limit in axes.get_ylim())
    heights = figure.spread([math.log10(y) for _, y, *_ in ends], (top - bottom) * 0.085, top)
    for (last, y, name, colour), height in zip(ends, heights, strict=True):
        axes.annotate(
            name,
            (last.n, y),
            (last.n * 1.25, 10**height),
            textcoords="data",
            va="center",
            fontsize=8,
            color=colour,
        )


def _mark(axes: Axes, crossover: Crossover, row: int, colour: str) -> None:
    """n* as a line, its interval as a band; its value at the left, where the times are short."""
    n = crossover.n
    low = n.low or crossover.sizes[0]
    high = crossover.sizes[-1] if math.isinf(n.high) else n.high
    axes.axvspan(low, high, color=colour, alpha=0.12, lw=0)
    axes.axvline(n.value, color=colour, lw=1, ls=(0, (4, 3)))
    axes.annotate(
        f"n* = {n.value:.0f} {crossover.interval}",
        (0, 1),
        (6, -6 - 12 * row),
        xycoords="axes fraction",
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=colour,
    )


def _throughput(axes: Axes, found: Sequence[Timing], colours: dict[tuple[str, str], str]) -> None:
    """FLOP/s of products against size, a line per device and number format; dashes tell formats."""
    axes.set_title("throughput of products (best measured: 100 %)")
    best = bests(found)
    if not best:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        return
    axes.set_yscale("log")
    axes.margins(y=ROOM)
    axes.set_ylabel("throughput, GFLOP/s")
    dtypes = list(dict.fromkeys(each.dtype for each in best))
    ends = []
    for each in best:
        line = by_size(each, found)
        colour = colours[each.device, each.way]
        rates = [
            Interval(*(e.flop / t / 1e9 for t in (e.seconds.value, e.seconds.high, e.seconds.low)))
            for e in line
        ]
        style = ("-", "--", ":", "-.")[dtypes.index(each.dtype) % 4]
        _line(axes, [e.n for e in line], rates, colour, ls=style)
        name = f"{each.device}, {each.dtype}: {_rate(each.flops)}"
        ends.append((line[-1], rates[-1].value, name, colour))
    _name_ends(axes, ends)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("crossover", answer, argv)


if __name__ == "__main__":
    main()
