"""How fast is memory, really? Bandwidth by working set, transfers, and a roofline per device.

What is called *from memory* is the largest working set. The roofline puts two ceilings over the
products of other studies: what memory can feed at a product's arithmetic intensity, and the best
product that was measured in its number format. A nominal peak is passed in practice, and most
machines do not know theirs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from assay.answer import arms, figure, model, question, say, scan, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Line
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Comparison, Word
from assay.probe import items, working_sets
from assay.probe.items import Item
from assay.probe.working_sets import Knee, Point
from assay.record import Record, Status, Trial
from assay.statistic import Interval

ITEM_BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}
PRODUCTS = ("alignment", "crossover")  # the studies whose products stand in the roofline
MEASURED = ("target", "all_threads", "anchor")  # arms of whole products, by their old names
CLEARLY = 2  # a working set so many times the largest cache is memory's
BANDWIDTH = "bandwidth"  # in which GPUs and CPUs are compared, beside the number formats
TITLE = "Bandwidth by working set"


# ---- what the records say --------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """The scan of one operation on one number of threads."""

    operation: str
    threads: int | None  # None on an accelerator
    overhead_s: float
    points: list[Point]  # those that could be measured, smallest first
    contended: int  # how many could not
    largest: int  # bytes of the largest working set that was asked for

    @property
    def name(self) -> str:
        """Operation and threads in words."""
        return _on(self.operation, self.threads)

    @property
    def memory(self) -> Point | None:
        """The largest working set; None if nothing from half of what was asked on was measured."""
        last = self.points[-1]
        return last if 2 * last.size >= self.largest else None

    @property
    def fastest(self) -> Point | None:
        """The fastest working set beyond the overhead."""
        return max(scan.clear(self.points), key=lambda point: point.rate, default=None)

    @property
    def knees(self) -> list[Knee]:
        """Where the bandwidth falls."""
        return working_sets.knees(self.points)


def _on(what: str, threads: int | None) -> str:
    return what if threads is None else f"{what}, with {say.plural(threads, 'thread')}"


@dataclass(frozen=True)
class Product(Interval):
    """The product of two n × n matrices, in FLOP/s."""

    study: str
    dtype: str
    n: int
    noise: float  # what the trial's control made up

    @property
    def intensity(self) -> float:
        """FLOP per byte: 2n³ on three matrices, each moved once."""
        return 2 * self.n / (3 * ITEM_BYTES[self.dtype])


@dataclass(frozen=True)
class Device:
    """Everything that the records say about one device."""

    label: str
    where: str  # stands before what is said of it, where there are several
    probed: Record | None  # of the hardware study
    curves: list[Curve]
    transfers: dict[str, Interval]  # bytes/s between host and device
    products: list[Product]
    lost: list[Main]  # what has no rate from memory

    @property
    def is_cpu(self) -> bool:
        """Whether it is a CPU."""
        probed = self.probed is not None and items.row(self.probed, Item.CPU) is not None
        return probed or any(curve.threads for curve in self.curves)

    @property
    def threads(self) -> list[int | None]:
        """The numbers of threads that were measured, fewest first; one None on an accelerator."""
        return list(dict.fromkeys(curve.threads for curve in self.curves))

    def on(self, threads: int | None) -> list[Curve]:
        """The curves of one number of threads."""
        return [curve for curve in self.curves if curve.threads == threads]

    @property
    def roof(self) -> Curve | None:
        """What gets most from memory, on all threads, or on fewer if those were not measured."""
        for threads in reversed(self.threads):
            if known := [each for each in self.on(threads) if each.memory]:
                return max(known, key=lambda each: each.points[-1].rate)
        return None

    @property
    def rate(self) -> Interval | None:
        """What memory gives at most, in bytes/s."""
        return scan.interval(self.roof.points[-1]) if self.roof else None

    @property
    def best(self) -> dict[str, Product]:
        """The fastest product of each number format, wide formats first."""
        fastest = {each.dtype: each for each in sorted(self.products, key=lambda each: each.value)}
        return {dtype: fastest[dtype] for dtype in ITEM_BYTES if dtype in fastest}

    @property
    def theory(self) -> float | None:
        """Theoretical bandwidth of its memory in bytes/s."""
        return working_sets.theoretical(self.probed) if self.probed else None

    @property
    def link(self) -> float | None:
        """Theoretical bandwidth of its PCIe link in bytes/s, in each direction."""
        link = items.values(self.probed, Item.PCIE) if self.probed else {}
        return link.get("bandwidth_bytes_per_s")

    def caches(self, threads: int | None) -> list[working_sets.Cache]:
        """Its reported caches, as far as so many threads can fill them."""
        return working_sets.reported_caches(self.probed, threads or 1) if self.probed else []

    def roof_at(self, product: Product) -> float | None:
        """The roof over a product in FLOP/s."""
        best = self.best[product.dtype].value
        return min(best, product.intensity * self.rate.value) if self.rate else None

    @property
    def cells(self) -> list[Main]:
        """What the headline rests on: the rate of memory, and every operation on all threads."""
        rate = [Main("memory", lost="" if self.roof else "not measured")]
        found = self.lost if self.lost and not self.roof else [*rate, *self.lost]
        return [Main(self.where.replace(": ", " ") + each.name, lost=each.lost) for each in found]


def devices(records: Sequence[Record]) -> list[Device]:
    """What each device of which bandwidth or products were asked has, in the order of records."""
    by_device: dict[str, list[Record]] = {}
    for each in records:
        by_device.setdefault(str(each.axes["device"]), []).append(each)
    asked = {k: v for k, v in by_device.items() if any(each.study != "hardware" for each in v)}
    return [_device(label, say.on(label, asked), own) for label, own in asked.items()]


def _device(label: str, where: str, records: Sequence[Record]) -> Device:
    probed = [each for each in records if each.study == "hardware" and each.trials]
    scans = [each for each in records if each.study == "bandwidth"]
    trials = [t for each in scans for t in each.trials if t.status == Status.OK]
    moved = [trial for trial in trials if "transfer" in trial.what]
    return Device(
        label,
        where,
        probed[0] if probed else None,
        [_curve(trial) for trial in trials if "operation" in trial.what],
        {_transfer(trial.what): scan.of(trial.result) for trial in moved},
        products(records),
        [cell for each in scans for cell in _lost(each)],
    )


def _lost(record: Record) -> list[Main]:
    """Operations on all threads that have no rate from memory."""
    if not record.trials:
        return [Main("memory", lost=model.lost(record.status))]
    asked: Any = [trial for trial in record.trials if "operation" in trial.what]
    most = max((trial.what.get("threads", 0) for trial in asked), default=0)
    found = []
    for trial in asked:
        ok = trial.status == Status.OK
        if trial.what.get("threads", 0) == most and not (ok and _curve(trial).memory):
            status = Status.CONTENDED if ok else trial.status
            found.append(Main(trial.what["operation"], lost=model.lost(status)))
    return found


def _curve(trial: Trial) -> Curve:
    what: Any = trial.what
    result: Any = trial.result
    kept = [each for each in result["points"] if each["status"] == Status.OK]
    return Curve(
        what["operation"],
        what.get("threads"),
        result["overhead_s"],
        [scan.point(each) for each in kept],
        result["points_contended"],
        max(each["working_set_bytes"] for each in result["points"]),
    )


def _transfer(what: Any) -> str:
    return f"{what['transfer'].replace('_', ' ')}, {what['host_memory']}"


def products(records: Iterable[Record]) -> list[Product]:
    """The products of two square matrices in the records of other studies.

    Other shapes and tasks are known by their work, which is not 2n³, other layouts by name.
    """
    return [
        _product(record.study, trial)
        for record in records
        if record.study in PRODUCTS
        for trial in record.trials
        if trial.status == Status.OK and _is_product(trial)
    ]


def _is_product(trial: Trial) -> bool:
    if trial.what.get("dtype") not in ITEM_BYTES or trial.what.get("layout"):
        return False
    n: Any = trial.what.get("n", 0)
    arm = _measured_arm(trial)
    # Pooled occasions are geometric means, which round.
    return bool(arm) and math.isclose(arm["units_per_call"], 2 * n**3)


def _measured_arm(trial: Trial) -> dict[str, Any]:
    """The arm that the trial's throughput was calculated from.

    Records from before its name was kept have it under one of the names it had.
    """
    result: Any = trial.result
    found = result.get("arms") or {}
    named = result.get("arm") or next((name for name in MEASURED if name in found), None)
    return dict(found.get(named, {})) if "throughput_flops" in result else {}


def _product(study: str, trial: Trial) -> Product:
    n: Any = trial.what["n"]
    arm = _measured_arm(trial)
    rate, low, high = (2 * n**3 / arm[f"time_{time}_s"] for time in ("median", "high", "low"))
    dtype = str(trial.what["dtype"])
    return Product(rate, low, high, study, dtype, n, noise=verdict.noise(trial.result))


# ---- do GPUs outperform CPUs? ----------------------------------------------------------------


def claims(found: Sequence[Device]) -> list[Arm]:
    """Every CPU against every GPU: bandwidth, and the best product of each common format.

    What is compared is the CPU's time per byte or FLOP with the GPU's.
    """
    made = []
    for gpu in (each for each in found if not each.is_cpu):
        for cpu in (each for each in found if each.is_cpu):
            if (one := _from_memory(gpu.roof)) and (other := _from_memory(cpu.roof)):
                made.append(_claim(gpu, cpu, BANDWIDTH, compare(one, other)))
            for dtype in ITEM_BYTES:
                if dtype in gpu.best and dtype in cpu.best:
                    best = [(each.best[dtype], each.best[dtype].noise) for each in (gpu, cpu)]
                    made.append(_claim(gpu, cpu, dtype, compare(*best)))
    return arms.judged(sorted(made, key=lambda arm: (arm.group, arm.device)))


def _claim(gpu: Device, cpu: Device, of: str, seen: Comparison) -> Arm:
    extras = {"operation": "against a GPU", "against": gpu.label}
    dtype = {} if of == BANDWIDTH else {"dtype": of}
    return Arm(cpu.label, gpu.label, of, of, seen=seen, extras=extras | dtype)


Rate = tuple[Interval, float]  # with what its control made up


def _from_memory(roof: Curve | None) -> Rate | None:
    """The rate of memory; its control is the next smaller working set, which should be as fast."""
    if roof is None or len(roof.points) < 2:
        return None
    before, last = map(scan.interval, roof.points[-2:])
    control = verdict.unpaired(before, last)
    return last, max(control.high - 1, 1 - control.low)


def compare(gpu: Rate, cpu: Rate) -> Comparison:
    """How many times the CPU's rate the GPU has: the CPU's time per unit relative to the GPU's."""
    return verdict.unpaired(gpu[0], cpu[0], noise=max(gpu[1], cpu[1]))


AGAINST = {
    Word.SLOWER: "ahead",  # said of GPUs: it is the CPU that is slower
    Word.FASTER: "behind",
    Word.SAME: "level",
    Word.UNKNOWN: "cannot tell",
}


def against(found: Sequence[Device], made: Sequence[Arm]) -> str:
    """Whether GPUs outperform CPUs; empty where only one kind of device was measured."""
    if len(_kinds(found)) < 2:
        return ""
    said: dict[str, list[str]] = {}
    for arm in made:
        if arm.word and arm.label not in said.setdefault(AGAINST[arm.word], []):
            said[AGAINST[arm.word]].append(arm.label)
    told = [f"{word} in {say.listed(names)}" for word, names in said.items()]
    return f"GPUs against CPUs: {', '.join(told) or 'cannot tell'}."


def _kinds(found: Sequence[Device]) -> set[bool]:
    """Whether CPUs (True) and others (False) were measured."""
    return {each.is_cpu for each in found if each.roof or each.products}


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and study."""
    found = devices(records)
    made = claims(found)
    cells = [cell for each in found for cell in each.cells] + [arm.main for arm in made]
    if against(found, made) and not made:
        cells.append(Main("GPUs against CPUs", Word.UNKNOWN))
    return Findings(
        short=_short(found),
        cells=cells,
        sentence=_sentence(found, made, cells),
        so=_so(found),
        numbers=_numbers(found, made),
        why=_why(found),
        method=METHOD,
        caveats=[*CAVEATS, *(text for each in found for text in _own_caveats(each))],
        switch="Device",
        views=[shown for each in found for shown in _scans(each, each.threads[-1:])]
        or question.nothing(TITLE),
        folded=[
            *(shown for each in found for shown in _scans(each, each.threads[:-1])),
            *(shown for each in found for shown in _roofline(each)),
            *_compared(made),
        ],
        table=_table(found),
        frame=_frame(found, made),
    )


METHOD = [
    "Read sums an array, copy reads one and writes one, triad (a = b + s·c) reads two and writes "
    "one, in float32. Every array's bytes count once; GB are 10⁹ bytes. A working set is all "
    "arrays together; from memory means in the largest.",
    f"A fall is {say.share(1 - 2**-working_sets.STEEP)} or more per doubling and a factor of "
    f"{working_sets.FALL:g} or more in all, between intervals that do not overlap; it stands where "
    "the geometric mean of its ends is passed.",
    "The roof over a product is the smaller of the best product of its format and its FLOP per "
    "byte (2n³ on 3n² elements) × bandwidth from memory; matrices in caches can pass it. Errors "
    "of GPU and CPU add.",
]

CAVEATS = [
    "A CPU may read what it is about to write: the memory then moves 3 arrays where a copy counts "
    "2, and 4 where triad counts 3.",
    "Dividing by 2³⁰ in the place of 10⁹ gives 7 % less.",
]


def _own_caveats(device: Device) -> list[str]:
    said = []
    if contended := sum(curve.contended for curve in device.curves):
        total = contended + sum(len(curve.points) for curve in device.curves)
        said.append(f"{device.where}{contended} of {total} points were disturbed and are missing.")
    caches = device.caches(device.threads[-1]) if device.curves else []
    if device.roof and caches and device.roof.points[-1].size < CLEARLY * caches[-1].size:
        size, cache = items.size(device.roof.points[-1].size), caches[-1].name
        said.append(f"{device.where}{size} is not clearly beyond the reported {cache}.")
    nodes = items.values(device.probed, Item.NUMA).get("nodes", []) if device.probed else []
    if len(nodes) > 1:
        said.append(f"{device.where}{len(nodes)} NUMA nodes: binding threads can be faster.")
    return said


def _sentence(found: Sequence[Device], made: Sequence[Arm], cells: Sequence[Main]) -> str:
    """What memory gives on each device, whether GPUs outperform CPUs, and what was lost."""
    said = []
    for device in found:
        if device.roof and device.rate:
            how = device.roof.name.replace(",", "")
            if device.theory:
                how += f", {say.share(device.rate.value, device.theory)} of theory"
            said.append(f"{device.where}Memory gives {scan.told(device.rate)} ({how}).")
    if not said and not made:
        return question.NOTHING
    said = said or ["The bandwidth of memory was not measured."]
    return " ".join(filter(None, [*said, against(found, made), model.lost_told(cells)]))


def _short(found: Sequence[Device]) -> str:
    parts = []
    for device in found:
        if device.roof and device.rate:
            top = device.roof.fastest
            faster = top and top.low > working_sets.FALL * device.rate.high
            cached = f", {items.rate(top.rate)} from caches" if top and faster else ""
            rate = say.value(device.rate, "GB/s", scan.GIGA)
            parts.append(f"{device.where}{rate} from memory{cached}")
    return "; ".join(parts) or "Not measured"


def _so(found: Sequence[Device]) -> str:
    """What to do: only where the bandwidth was seen to fall to that of memory."""
    parts = []
    for device in found:
        if device.roof and (knees := device.roof.knees):
            gain = say.number(knees[0].above / device.roof.points[-1].rate, 2)
            within = items.size(knees[0].start)
            parts.append(f"{device.where}Reuse data within {within}: {gain} × as fast as memory.")
    return " ".join(parts)


def _why(found: Sequence[Device]) -> list[str]:
    """What a call costs, from where on arithmetic limits a product, and what was not compared."""
    said = []
    for device in found:
        if device.curves:
            calls = sorted(1e6 * curve.overhead_s for curve in device.curves)
            cost = " to ".join(dict.fromkeys(say.number(each, 2) for each in (calls[0], calls[-1])))
            said.append(
                f"{device.where}A call on one element takes {cost} µs; working sets in which that "
                "decides are not drawn."
            )
        if limits := [_limit(each, device.rate) for each in device.best.values()]:
            said.append(
                f"{device.where}Best products, and from which size on arithmetic limits them, not "
                f"memory: {', '.join(limits)}."
            )
    if len(_kinds(found)) == 1:
        lacking = "GPU" if True in _kinds(found) else "CPU"
        said.append(f"Whether GPUs outperform CPUs cannot be told: no {lacking} was measured.")
    return said


def _limit(best: Product, rate: Interval | None) -> str:
    text = f"{best.dtype} {say.quantity(best.value, 'FLOP/s')}"
    if rate is None:
        return text
    return f"{text} (n ≥ {math.ceil(best.value / rate.value * 3 * ITEM_BYTES[best.dtype] / 2)})"


def _numbers(found: Sequence[Device], made: Sequence[Arm]) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        device.label: {
            "memory_bytes_per_s": {
                curve.name: [point.rate, point.low, point.high]
                for curve in device.curves
                if (point := curve.memory)
            },
            "theory_bytes_per_s": device.theory,
            "knees": {curve.name: [*map(_knee, curve.knees)] for curve in device.curves},
            "transfers_bytes_per_s": {
                name: [rate.value, rate.low, rate.high] for name, rate in device.transfers.items()
            },
            "best_products_flops": {dtype: each.value for dtype, each in device.best.items()},
        }
        for device in found
    }
    numbers["claims"] = [
        {"of": claim.name, "gpu": claim.group, "cpu": claim.device, "word": claim.word}
        | {f"time_{key}": value for key, value in verdict.row(claim.seen).items() if "ratio" in key}
        for claim in made
        if claim.seen
    ]
    return numbers


def _knee(knee: Knee) -> dict[str, float]:
    sizes = {f"{name}_bytes": getattr(knee, name) for name in ("middle", "start", "end")}
    return sizes | {f"{name}_bytes_per_s": getattr(knee, name) for name in ("above", "below")}


def _frame(found: Sequence[Device], made: Sequence[Arm]) -> pd.DataFrame:
    """Tidy: one row per point of a scan, per copy to or from the host, per product, per claim."""
    rows: list[dict[str, Any]] = []
    for device in found:
        head = {"device": device.label}
        rows += [
            {**head, "operation": curve.operation, "threads": curve.threads}
            | {"working_set_bytes": point.size, "overhead_bound": point.overhead_bound}
            | _ends("bandwidth", "bytes_per_s", scan.interval(point))
            for curve in device.curves
            for point in curve.points
        ]
        rows += [
            {**head, "operation": name} | _ends("bandwidth", "bytes_per_s", rate)
            for name, rate in device.transfers.items()
        ]
        rows += [
            {**head, "operation": "product", "study": each.study, "dtype": each.dtype, "n": each.n}
            | {"intensity_flop_per_byte": each.intensity, "roof_flops": device.roof_at(each)}
            | _ends("throughput", "flops", each)
            for each in device.products
        ]
    return pd.DataFrame([*rows, *map(arms.flat, made)])


def _ends(name: str, unit: str, seen: Interval) -> dict[str, float]:
    ends = {"": seen.value, "_low": seen.low, "_high": seen.high}
    return {f"{name}{end}_{unit}": value for end, value in ends.items()}


# ---- showing ---------------------------------------------------------------------------------


def _scans(device: Device, threads: Sequence[int | None]) -> list[Shown]:
    """Bandwidth by working set, a drawing per number of threads; none where it has no line."""
    shown = []
    for count in threads:
        points = {curve.operation: curve.points for curve in device.on(count)}
        rates = [scan.interval(curve.memory) for curve in device.on(count) if curve.memory]
        most = max(rates, key=lambda rate: rate.value, default=None)
        title = _on(device.where + TITLE, count)
        if drawn := scan.drawn(points, device.caches(count), most):
            text = f"{title}: {scan.described(points)}"
            shown.append(Shown(title, text, drawn, name=device.label))
    return shown


def _roofline(device: Device) -> list[Shown]:
    """The fastest product of each doubling of n, under what memory can feed."""
    fastest: dict[tuple[str, int], Product] = {}
    for each in sorted(device.products, key=lambda each: each.value):
        if each.intensity >= 1:  # below, a call's start decides
            fastest[each.dtype, round(math.log2(each.n))] = each
    if device.rate is None or not fastest:
        return []
    kept = sorted(fastest.values(), key=lambda each: each.n)
    lines = [_line(dtype, kept) for dtype in device.best if dtype in {each.dtype for each in kept}]
    drawn = figure.lines(
        [*lines, _roof(device.rate, kept)],
        Axis("FLOP per byte of the matrices", log=True),
        Axis("GFLOP/s", log=True),
    )
    title = f"{device.where}Roofline: products under what memory can feed"
    best = ", ".join(f"{k} {say.measured(each, 'FLOP/s')}" for k, each in device.best.items())
    return [Shown(title, f"{title}. The best: {best}.", drawn, name=device.label)]


def _line(dtype: str, kept: Sequence[Product]) -> Line:
    own = [each for each in kept if each.dtype == dtype]
    seen = [arms.scaled(each, scan.GIGA) for each in own]
    return Line(dtype, [each.intensity for each in own], seen)


def _roof(rate: Interval, kept: Sequence[Product]) -> Line:
    """It rises with the intensity up to the best product of any format."""
    top = max(kept, key=lambda each: each.value)
    bend, across = top.value / rate.value, [each.intensity for each in kept]
    start, best = min(bend / 4, *across), arms.scaled(top, scan.GIGA)
    fed = arms.scaled(rate, scan.GIGA * start)
    return Line("roof", [start, bend, max(bend, *across)], [fed, best, best])


def _compared(made: Sequence[Arm]) -> list[Shown]:
    """CPUs against GPUs, as a table."""
    title = "CPUs against GPUs: time per byte and per FLOP"
    table = arms.table(made, "of", against="against the GPU", group="GPU")
    return [Shown(title, arms.alternative(title, made), table=table)] if made else []


def _table(found: Sequence[Device]) -> Table:
    """One row per device, operation and number of threads; then the copies to and from the host."""
    rows: list[dict[str, Any]] = []
    for device in found:
        for curve in device.curves:
            last, top = curve.memory, curve.fastest
            falls = ", ".join(items.size(knee.middle) for knee in curve.knees)
            rows.append(
                {
                    "device": device.label,
                    "operation": curve.name,
                    "from memory": _cell(scan.interval(last)) if last else "disturbed",
                    "of theory": _of(last.rate, device.theory) if last else None,
                    "fastest": top and f"{items.rate(top.rate)} in {items.size(top.size)}",
                    "falls at": falls or None,
                }
            )
        rows += [
            {"device": device.label, "operation": name, "from memory": _cell(rate)}
            | {"of theory": _of(rate.value, device.link)}
            for name, rate in device.transfers.items()
        ]
    return model.tabled(rows, {"from memory": "GB/s"})


def _cell(seen: Interval) -> Cell:
    return Cell(text=say.interval(seen, scale=scan.GIGA), value=seen.value)


def _of(value: float, theory: float | None) -> Cell | None:
    return Cell(text=say.share(value, theory), value=value / theory) if theory else None


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("bandwidth", answer, argv)


if __name__ == "__main__":
    main()
