"""How fast is memory, really? Bandwidth by working set, transfers, and a roofline per device.

What is called *from memory* is the largest working set. The roofline puts two ceilings over the
products of other studies: what memory can feed at a product's arithmetic intensity, and the best
product that was measured in its number format. A nominal peak is passed in practice, and most
machines do not know theirs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import arms, figure, model, question, roofline, say, scan, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Line
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.roofline import ITEM_BYTES, Curve, Product, Rate, products, with_threads
from assay.answer.verdict import Word
from assay.probe import items, working_sets
from assay.probe.items import Item
from assay.probe.working_sets import Point
from assay.record import Record, Status
from assay.statistic import Interval

CLEARLY = 2  # a working set so many times the largest cache is memory's
BANDWIDTH = "bandwidth"  # in which GPUs and CPUs are compared, beside the number formats
TITLE = "Bandwidth by working set"


# ---- what the records say --------------------------------------------------------------------


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

    @property
    def roof(self) -> Curve | None:
        """What gets most from memory, on all threads, or on fewer if those were not measured."""
        return roofline.roof(self.curves)

    @property
    def rate(self) -> Interval | None:
        """What memory gives at most, in bytes/s."""
        return scan.interval(self.roof.points[-1]) if self.roof else None

    @property
    def best(self) -> dict[str, Product]:
        """The fastest product of each number format, wide formats first."""
        return roofline.fastest(self.products)

    @property
    def theory(self) -> float | None:
        """Theoretical bandwidth of its memory in bytes/s."""
        return working_sets.theoretical(self.probed) if self.probed else None

    def caches(self, threads: int | None) -> list[working_sets.Cache]:
        """Its reported caches, as far as so many threads can fill them."""
        return working_sets.reported_caches(self.probed, threads or 1) if self.probed else []

    @property
    def levels(self) -> dict[str, Point | None]:
        """What each cache gives at most, and memory; None where no timing tells.

        Of a cache counts what it holds, and what lies clearly beyond the one before.
        """
        if not self.roof:
            return {}
        caches, points = self.caches(self.roof.threads), scan.clear(self.roof.points)
        found: dict[str, Point | None] = {}
        for before, cache in zip([0, *(each.size for each in caches)], caches, strict=False):
            own = [p for p in points if CLEARLY * before <= p.size <= cache.size]
            found[cache.level] = max(own, key=lambda point: point.rate, default=None)
        return found | {"memory": self.roof.memory}

    @property
    def rates(self) -> dict[str, Rate]:
        """In what GPUs and CPUs are compared: memory, and the best product of each format."""
        found: dict[str, Rate] = {}
        if self.roof and len(self.roof.points) > 1:
            before, last = map(scan.interval, self.roof.points[-2:])
            control = verdict.unpaired(before, last)  # the next smaller one should be as fast
            noise = max(control.high - 1, 1 - control.low)
            found[BANDWIDTH] = Rate(last.value, last.low, last.high, noise)
        return found | self.best

    @property
    def cells(self) -> list[Main]:
        """What the headline rests on: the rate of memory, and every operation on all threads."""
        rate = [Main("memory", lost="" if self.roof else "not measured")]
        found = self.lost if self.lost and not self.roof else [*rate, *self.lost]
        return [Main(self.where.replace(": ", " ") + each.name, lost=each.lost) for each in found]


def devices(records: Sequence[Record]) -> list[Device]:
    """What each device of which bandwidth or products were asked has, in the order of records."""
    by_device = arms.grouped(records, lambda each: str(each.axes["device"]))
    asked = {k: v for k, v in by_device.items() if any(each.study != "hardware" for each in v)}
    return [_device(label, say.on(label, asked), own) for label, own in asked.items()]


def _device(label: str, where: str, records: Sequence[Record]) -> Device:
    probed = [each for each in records if each.study == "hardware" and each.trials]
    scans = [each for each in records if each.study == "bandwidth"]
    trials = [t for each in scans for t in each.trials if t.status == Status.OK]
    moved = [(trial.what, scan.of(trial.result)) for trial in trials if "transfer" in trial.what]
    return Device(
        label,
        where,
        probed[0] if probed else None,
        roofline.curves(records),
        {f"{w['transfer'].replace('_', ' ')}, {w['host_memory']}": rate for w, rate in moved},
        products(records),
        [cell for each in scans for cell in _lost(each)],
    )


def _lost(record: Record) -> list[Main]:
    """Operations on all threads that have no rate from memory."""
    if not record.trials:
        return [Main("memory", lost=model.lost(record.status))]
    asked = [trial for trial in record.trials if "operation" in trial.what]
    most = max((trial.what.get("threads", 0) for trial in asked), default=0)
    found = []
    for trial in asked:
        ok = trial.status == Status.OK
        if trial.what.get("threads", 0) == most and not (ok and roofline.curve(trial).memory):
            status = Status.CONTENDED if ok else trial.status
            found.append(Main(trial.what["operation"], lost=model.lost(status)))
    return found


# ---- do GPUs outperform CPUs? ----------------------------------------------------------------


def claims(found: Sequence[Device]) -> list[Arm]:
    """Every CPU against every GPU: bandwidth, and the best product of each common format.

    What is compared is the CPU's time per byte or FLOP with the GPU's.
    """
    made = []
    gpus, cpus = ([each for each in found if each.is_cpu == cpu] for cpu in (False, True))
    for gpu, cpu in itertools.product(gpus, cpus):
        for of in (BANDWIDTH, *ITEM_BYTES):
            if of in gpu.rates and of in cpu.rates:
                one, other = gpu.rates[of], cpu.rates[of]
                seen = verdict.unpaired(one, other, noise=max(one.noise, other.noise))
                extras = {"operation": "against a GPU", "against": gpu.label}
                extras |= {} if of == BANDWIDTH else {"dtype": of}
                made.append(Arm(cpu.label, gpu.label, of, of, seen=seen, extras=extras))
    return arms.judged(sorted(made, key=lambda arm: (arm.group, arm.device)))


# Said of GPUs: they are ahead where the CPU is slower.
AGAINST = {Word.SLOWER: "ahead", Word.FASTER: "behind", Word.SAME: "level",
           Word.UNKNOWN: "cannot tell"}  # fmt: skip


LACKING = {
    is_cpu: f"Whether GPUs outperform CPUs cannot be told: no {other} was measured."
    for is_cpu, other in ((True, "GPU"), (False, "CPU"))
}


def against(made: Sequence[Arm]) -> str:
    """Whether GPUs outperform CPUs, in what was compared."""
    names: dict[str, list[str]] = {}
    for name, own in arms.grouped(made, lambda arm: arm.label).items():
        words = {AGAINST[arm.word] for arm in own}
        names.setdefault(words.pop() if len(words) == 1 else "not alike", []).append(name)
    told = [f"{word} in {say.listed(own)}" for word, own in names.items()]
    return f"GPUs against CPUs: {', '.join(told) or Word.UNKNOWN}."


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and study."""
    found = devices(records)
    made = claims(found)
    kinds = {each.is_cpu for each in found if each.roof or each.products}
    alone = kinds if len(kinds) == 1 else set()
    told = question.joined({each.label: _tell(each) for each in found})
    cells = [*told.cells, *(arm.main for arm in made)]
    if len(kinds) > 1 and not made:
        cells.append(Main("GPUs against CPUs", Word.UNKNOWN))
    sentence = told.sentence
    if sentence != question.NOTHING or made:
        rate = sentence.replace(question.NOTHING, "The bandwidth of memory was not measured.")
        more = [against(made) if len(kinds) > 1 else "", model.lost_told(cells)]
        sentence = " ".join(filter(None, [rate, *more]))
    return Findings(
        **vars(replace(told, sentence=sentence, cells=cells)),
        numbers=_numbers(found, made),
        why=[*filter(None, [*map(_limits, found), *(LACKING[kind] for kind in alone)])],
        method=METHOD,
        caveats=[*CAVEATS, *filter(None, map(_beyond, found))],
        views=[view for each in found if (view := _scan(each))] or question.nothing(TITLE),
        folded=[*(view for each in found if (view := _roofline(each))), *_compared(made)],
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


def _beyond(device: Device) -> str:
    """That the largest working set is not clearly beyond the caches, where it is not."""
    caches = device.caches(device.threads[-1]) if device.curves else []
    if not device.roof or not caches or device.roof.points[-1].size >= CLEARLY * caches[-1].size:
        return ""
    size, cache = items.size(device.roof.points[-1].size), caches[-1].name
    return f"{device.where}{size} is not clearly beyond the reported {cache}."


def _tell(device: Device) -> Told:
    """What memory gives, and what to do: only where the bandwidth was seen to fall to that."""
    roof, rate = device.roof, device.rate
    if not roof or not rate:
        return Told("", "", "", device.cells)
    top, so = roof.fastest, ""
    faster = top and top.low > working_sets.FALL * rate.high
    cached = f", {items.rate(top.rate)} from caches" if faster else ""
    how = roof.name.replace(",", "")
    if device.theory:
        how += f", {say.share(rate.value, device.theory)} of theory"
    if knees := working_sets.knees(roof.points):
        gain = say.number(knees[0].above / rate.value, 2)
        so = f"Reuse data within {items.size(knees[0].start)}: {gain} × as fast as memory."
    short = f"{say.value(rate, 'GB/s', scan.GIGA)} from memory{cached}"
    return Told(short, f"Memory gives {scan.told(rate)} ({how}).", so, device.cells)


def _limits(device: Device) -> str:
    """From which size on arithmetic limits a product."""
    limits = []
    for best in device.best.values():
        text = f"{best.dtype} {say.quantity(best.value, 'FLOP/s')}"
        if device.rate:
            least = best.value / device.rate.value * 3 * ITEM_BYTES[best.dtype] / 2
            text += f" (n ≥ {math.ceil(least)})"
        limits.append(text)
    start = "Best products, and from which size on arithmetic limits them, not memory: "
    return f"{device.where}{start}{', '.join(limits)}." if limits else ""


def _numbers(found: Sequence[Device], made: Sequence[Arm]) -> dict[str, Any]:
    claims = [
        {"of": claim.name, "gpu": claim.group, "cpu": claim.device, "word": claim.word}
        | verdict.ends("time_ratio", claim.seen)
        for claim in made
    ]
    return {device.label: _numbers_of(device) for device in found} | {"claims": claims}


def _numbers_of(device: Device) -> dict[str, Any]:
    known = {curve.name: curve.memory for curve in device.curves if curve.memory}
    return {
        "memory_bytes_per_s": {name: [p.rate, p.low, p.high] for name, p in known.items()},
        "theory_bytes_per_s": device.theory,
        "products_flops": {k: [p.value, p.low, p.high] for k, p in device.best.items()},
        "levels_bytes_per_s": {
            name: p and [p.rate, p.low, p.high] for name, p in device.levels.items()
        },
    }


def _frame(found: Sequence[Device], made: Sequence[Arm]) -> pd.DataFrame:
    """Tidy: one row per point of a scan, per copy to or from the host, per product, per claim."""
    rows: list[dict[str, Any]] = []
    for device in found:
        head, best = {"device": device.label}, device.best
        rows += [
            {**head, "operation": curve.operation, "threads": curve.threads}
            | {"working_set_bytes": point.size, "overhead_bound": point.overhead_bound}
            | verdict.ends("bandwidth", scan.interval(point), "_bytes_per_s")
            for curve in device.curves
            for point in curve.points
        ]
        rows += [
            {**head, "operation": name} | verdict.ends("bandwidth", rate, "_bytes_per_s")
            for name, rate in device.transfers.items()
        ]
        for each in device.products:
            fed = each.intensity * device.rate.value if device.rate else None
            roof = min(best[each.dtype].value, fed) if fed else None
            what = {"study": each.study, "dtype": each.dtype, "n": each.n}
            known = {"intensity_flop_per_byte": each.intensity, "roof_flops": roof}
            ends = verdict.ends("throughput", each, "_flops")
            rows.append({**head, "operation": "product", **what, **known, **ends})
    return pd.DataFrame([*rows, *map(arms.flat, made)])


# ---- showing ---------------------------------------------------------------------------------


def _scan(device: Device) -> Shown | None:
    """Bandwidth by working set on all threads; None where it has no line."""
    count = device.threads[-1] if device.threads else None
    curves = [curve for curve in device.curves if curve.threads == count]
    points = {curve.operation: curve.points for curve in curves}
    rates = [scan.interval(curve.memory) for curve in curves if curve.memory]
    most = max(rates, key=lambda rate: rate.value, default=None)
    title = with_threads(device.where + TITLE, count)
    drawn = scan.drawn(points, device.caches(count), most)
    return drawn and Shown(title, f"{title}: {scan.described(points)}", drawn, name=device.label)


def _roofline(device: Device) -> Shown | None:
    """The fastest product of each doubling of n, under what memory can feed."""
    fastest: dict[tuple[str, int], Product] = {}
    for each in sorted(device.products, key=lambda each: each.value):
        if each.intensity >= 1:  # below, a call's start decides
            fastest[each.dtype, round(math.log2(each.n))] = each
    if device.rate is None or not fastest:
        return None
    kept = sorted(fastest.values(), key=lambda each: each.n)
    across = [each.intensity for each in kept]
    lines = [
        Line(name, [e.intensity for e in own], [arms.scaled(e, scan.GIGA) for e in own])
        for name, own in arms.grouped(kept, lambda each: each.dtype).items()
    ]
    # The roof rises with the intensity up to the best product of any format.
    top = max(kept, key=lambda each: each.value)
    bend = top.value / device.rate.value
    start, best = min(bend / 4, *across), arms.scaled(top, scan.GIGA)
    fed = arms.scaled(device.rate, scan.GIGA * start)
    lines.append(Line("roof", [start, bend, max(bend, *across)], [fed, best, best]))
    x, y = Axis("FLOP per byte of the matrices", log=True), Axis("GFLOP/s", log=True)
    title = f"{device.where}Roofline: products under what memory can feed"
    told = ", ".join(f"{k} {say.measured(each, 'FLOP/s')}" for k, each in device.best.items())
    return Shown(title, f"{title}. The best: {told}.", figure.lines(lines, x, y), name=device.label)


def _compared(made: Sequence[Arm]) -> list[Shown]:
    """CPUs against GPUs, as a table."""
    title = "CPUs against GPUs: time per byte and per FLOP"
    table = arms.table(made, "of", against="against the GPU", group="GPU")
    return [question.of_table(title, table)] if made else []


def _table(found: Sequence[Device]) -> Table:
    """One row per device, operation and number of threads; then the copies to and from the host."""
    rows: list[dict[str, Any]] = []
    for device in found:
        head = {"device": device.label}
        for curve in device.curves:
            last, top = curve.memory, curve.fastest
            falls = (items.size(knee.middle) for knee in working_sets.knees(curve.points))
            rows.append(
                {
                    **head,
                    "operation": curve.name,
                    "from memory": _cell(scan.interval(last)) if last else "disturbed",
                    "of theory": _of(last.rate, device.theory) if last else None,
                    "fastest": top and f"{items.rate(top.rate)} in {items.size(top.size)}",
                    "falls at": ", ".join(falls) or None,
                }
            )
        link = items.values(device.probed, Item.PCIE) if device.probed else {}
        rows += [
            {**head, "operation": name, "from memory": _cell(rate)}
            | {"of theory": _of(rate.value, link.get("bandwidth_bytes_per_s"))}
            for name, rate in device.transfers.items()
        ]
    return model.tabled(rows, {"from memory": "GB/s"})


def _cell(seen: Interval) -> Cell:
    return Cell(text=say.interval(seen, scale=scan.GIGA), value=seen.value)


def _of(value: float, theory: float | None) -> Cell | None:
    return Cell(text=say.share(value, theory), value=value / theory) if theory else None


main = partial(question.run, "bandwidth", answer)

if __name__ == "__main__":
    main()
