"""How fast is memory, really? Bandwidth by working set, transfers, and a roofline per device.

The ceilings of the roofline are measured: a nominal peak is passed in practice, and most machines
do not know theirs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import arms, figure, model, question, roofline, say, scan, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Line
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.roofline import ITEM_BYTES, Curve, Product, Rate, products, with_threads
from assay.answer.verdict import Word
from assay.probe import items, working_sets
from assay.probe.items import Item
from assay.probe.working_sets import Cache, Point
from assay.record import Record, Status
from assay.statistic import Interval

VAGUE = 4  # a rate between ends so many times apart is not known within a factor of two
CLEARLY = 2  # a working set so many times the largest cache is memory's
BANDWIDTH = "bandwidth"  # in which GPUs and CPUs are compared, beside the number formats
TITLE = "Bandwidth by working set"
COMPARED = "CPUs against GPUs: time per byte and per FLOP"


# ---- what the records say --------------------------------------------------------------------


@dataclass(frozen=True)
class Device:
    """Everything that the records say about one device."""

    label: str
    where: str  # stands before what is said of it, where there are several
    is_cpu: bool
    theory: float | None  # bandwidth of its memory in bytes/s
    link: float | None  # the same of its link to the host
    curves: Sequence[Curve]  # those of all threads last
    caches: Sequence[Cache]  # as far as all threads can fill them
    roof: Curve | None  # what gets most from memory, on fewer threads if all were not measured
    rate: Interval | None  # what memory gives at most, in bytes/s
    levels: Mapping[str, Point | None]  # what each cache gives at most, and memory
    transfers: Mapping[str, Interval]  # bytes/s between host and device
    products: Sequence[Product]
    best: Mapping[str, Product]  # the fastest of each number format, wide formats first
    lost: Sequence[Main]  # what has no rate from memory

    @property
    def rates(self) -> dict[str, Rate]:
        """In what GPUs and CPUs are compared: memory, and the best product of each format."""
        if not self.roof or len(self.roof.points) < 2:
            return dict(self.best)
        before, last = map(scan.interval, self.roof.points[-2:])
        control = verdict.unpaired(before, last)  # the next smaller one should be as fast
        noise = max(control.high - 1, 1 - control.low)
        return {BANDWIDTH: Rate(last.value, last.low, last.high, noise), **self.best}


def devices(records: Sequence[Record]) -> list[Device]:
    """What each device of which bandwidth or products were asked has, in the order of records."""
    by_device = trials.by_device(records).items()
    asked = {k: own for k, own in by_device if any(each.study != "hardware" for each in own)}
    return [_device(label, say.on(label, asked), own) for label, own in asked.items()]


def _device(label: str, where: str, records: Sequence[Record]) -> Device:
    hardware = (each for each in records if each.study == "hardware" and each.trials)
    probed = next(hardware, records[0])  # others tell nothing of the machine
    scans = [each for each in records if each.study == "bandwidth"]
    copies = [t for each in question.measured(scans) for t in each.trials if "transfer" in t.what]
    curves, limits = roofline.curves(records), roofline.of(records)
    roof = roofline.roof(curves)
    return Device(
        label,
        where,
        is_cpu=bool(items.row(probed, Item.CPU)) or any(curve.threads for curve in curves),
        theory=working_sets.theoretical(probed),
        link=items.values(probed, Item.PCIE).get("bandwidth_bytes_per_s"),
        curves=curves,
        caches=_caches(probed, curves[-1]) if curves else [],
        roof=roof,
        rate=limits.memory,
        levels=_levels(roof, _caches(probed, roof)) if roof else {},
        transfers={
            f"{t.what['transfer'].replace('_', ' ')}, {t.what['host_memory']}": scan.of(t.result)
            for t in copies
        },
        products=products(records),
        best=limits.best,
        lost=[cell for each in scans for cell in _lost(each)],
    )


def _caches(probed: Record, curve: Curve) -> list[Cache]:
    return working_sets.reported_caches(probed, curve.threads or 1)


def _levels(roof: Curve, caches: Sequence[Cache]) -> dict[str, Point | None]:
    """What each cache gives at most, and memory; None where no timing tells.

    Of a cache counts what it holds, and what lies clearly beyond the one before.
    """
    points, found, before = scan.clear(roof.points), {}, 0
    for cache in caches:
        own = [p for p in points if CLEARLY * before <= p.size <= cache.size]
        found[cache.level] = max(own, key=lambda point: point.rate, default=None)
        before = cache.size
    return found | {"memory": roof.memory}


def _lost(record: Record) -> list[Main]:
    """Operations on all threads that have no rate from memory."""
    if not record.trials:
        return [Main("memory", lost=model.lost(record.status))]
    asked = [(t.what.get("threads", 0), t) for t in record.trials if "operation" in t.what]
    most = max((threads for threads, _ in asked), default=0)
    ended = {
        trial.what["operation"]: Status.CONTENDED if trial.status == Status.OK else trial.status
        for threads, trial in asked
        if threads == most and not (trial.status == Status.OK and roofline.curve(trial).memory)
    }
    return [Main(operation, lost=model.lost(status)) for operation, status in ended.items()]


# ---- do GPUs outperform CPUs? ----------------------------------------------------------------


def claims(found: Sequence[Device]) -> list[Arm]:
    """Every CPU against every GPU: bandwidth, and the best product of each common format.

    What is compared is the CPU's time per byte or FLOP with the GPU's.
    """
    made = []
    gpus, cpus = ([each for each in found if each.is_cpu == cpu] for cpu in (False, True))
    for gpu, cpu in itertools.product(gpus, cpus):
        for of, other in cpu.rates.items():
            if one := gpu.rates.get(of):
                seen = verdict.unpaired(one, other, noise=max(one.noise, other.noise))
                extras = {"operation": "against a GPU", "against": gpu.label}
                extras |= {} if of == BANDWIDTH else {"dtype": of}
                made.append(Arm(cpu.label, gpu.label, of, of, seen=seen, extras=extras))
    return arms.judged(sorted(made, key=lambda arm: (arm.group, arm.device)))


# Said of GPUs: they are ahead where the CPU is slower.
AGAINST = {Word.SLOWER: "ahead", Word.FASTER: "behind", Word.SAME: "level",
           Word.UNKNOWN: "cannot tell"}  # fmt: skip


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
    kinds = {"CPU" if each.is_cpu else "GPU" for each in found if each.roof or each.products}
    told = question.joined({each.label: _tell(each) for each in found})
    cells, sentence = [*told.cells, *(arm.main for arm in made)], told.sentence
    if len(kinds) > 1 and not made:
        cells.append(Main("GPUs against CPUs", Word.UNKNOWN))
    if sentence != question.NOTHING or made:
        rate = sentence.replace(question.NOTHING, "The bandwidth of memory was not measured.")
        more = [against(made) if len(kinds) > 1 else "", model.lost_told(cells)]
        sentence = " ".join(filter(None, [rate, *more]))
    lacks = {"CPU", "GPU"} - kinds if kinds else ()
    alone = [f"Whether GPUs outperform CPUs cannot be told: no {k} was measured." for k in lacks]
    table = arms.table(made, "of", against="against the GPU", group="GPU")
    compared = [question.of_table(COMPARED, table)] if made else []
    return Findings(
        **vars(replace(told, sentence=sentence, cells=cells)),
        numbers={
            **{device.label: _numbers(device) for device in found},
            "claims": [arms.flat(arm) for arm in made],
        },
        why=[*filter(None, map(_limits, found)), *alone],
        method=METHOD,
        caveats=[*CAVEATS, *filter(None, map(_beyond, found))],
        views=[*filter(None, map(_scan, found))] or question.nothing(TITLE),
        folded=[*filter(None, map(_roofline, found)), *compared],
        table=_table(found),
        frame=_frame(found, made),
    )


METHOD = [
    "Read sums an array, copy reads one and writes one, triad (a = b + s·c) reads two and writes "
    "one, in float32. Every array's bytes count once. A working set is all arrays together; from "
    "memory means in the largest.",
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
    if not device.roof or not device.caches:
        return ""
    size, cache = device.roof.points[-1].size, device.caches[-1]
    told = f"{device.where}{items.size(size)} is not clearly beyond the reported {cache.name}."
    return told if size < CLEARLY * cache.size else ""


def _is_vague(rate: Interval) -> bool:
    return rate.high > VAGUE * rate.low


def _tell(device: Device) -> Told:
    """What memory gives, and what to do: only where the bandwidth was seen to fall to that."""
    roof, rate = device.roof, device.rate
    vague = Word.UNKNOWN if rate and _is_vague(rate) else None
    memory = [Main("memory", vague, lost="" if roof else "not measured")]
    cells = [*(memory if roof or not device.lost else []), *device.lost]
    cells = [replace(cell, name=device.where.replace(": ", " ") + cell.name) for cell in cells]
    if not roof or not rate:
        return Told("", "", "", cells)
    if vague:
        between = f"{say.quantity(rate.low, 'B/s')} and {say.quantity(rate.high, 'B/s')}"
        told = f"Cannot tell what memory gives: between {between}, as the machine's speed moved."
        return Told(f"Cannot tell; between {between}", told, "", cells)
    top, so, how = roof.fastest, "", roof.name.replace(",", "")
    faster = top and top.low > working_sets.FALL * rate.high
    cached = f"; {items.rate(top.rate)} from caches" if faster else ""
    if device.theory:
        how += f", {say.share(rate.value, device.theory)} of theory"
    if knees := working_sets.knees(roof.points):
        gain = say.number(knees[0].above / rate.value, 2)
        so = f"Reuse data within {items.size(knees[0].start)}: {gain} × as fast as memory."
    short = f"{say.value(rate, 'GB/s', scan.GIGA)} from memory{cached}"
    return Told(short, f"Memory gives {scan.told(rate)} ({how}).", so, cells)


def _limits(device: Device) -> str:
    """From which size on arithmetic limits a product, if it can be told what memory gives."""
    limits = []
    for dtype, best in device.best.items():
        limits.append(f"{dtype} {say.quantity(best.value, 'FLOP/s')}")
        if device.rate and not _is_vague(device.rate):
            least = best.value / device.rate.value * 3 * ITEM_BYTES[dtype] / 2
            limits[-1] += f" (n ≥ {math.ceil(least)})"
    start = "Best products, and from which size on arithmetic limits them, not memory: "
    return f"{device.where}{start}{', '.join(limits)}." if limits else ""


def _numbers(device: Device) -> dict[str, Any]:
    return {
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
        head = {"device": device.label}
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
            roof = min(device.best[each.dtype].value, fed) if fed else None
            what = {"study": each.study, "dtype": each.dtype, "n": each.n}
            known = {"intensity_flop_per_byte": each.intensity, "roof_flops": roof}
            ends = verdict.ends("throughput", each, "_flops")
            rows.append({**head, "operation": "product", **what, **known, **ends})
    return pd.DataFrame([*rows, *map(arms.flat, made)])


# ---- showing ---------------------------------------------------------------------------------


def _scan(device: Device) -> Shown | None:
    """Bandwidth by working set on all threads; None where it has no line."""
    curves = [each for each in device.curves if each.threads == device.curves[-1].threads]
    points = {each.operation: each.points for each in curves}
    rates = [scan.interval(each.memory) for each in curves if each.memory]
    most = max(rates, key=lambda rate: rate.value, default=None)
    drawn = scan.drawn(points, device.caches, None if most and _is_vague(most) else most)
    title = with_threads(device.where + TITLE, curves[-1].threads if curves else None)
    return drawn and Shown(title, f"{title}: {scan.described(points)}", drawn, name=device.label)


def _roofline(device: Device) -> Shown | None:
    """The fastest product of each doubling of n, under what memory can feed."""
    known = sorted(device.products, key=lambda each: each.value)
    known = [each for each in known if each.intensity >= 1]  # below, a call's start decides
    fastest = {(each.dtype, round(math.log2(each.n))): each for each in known}
    if device.rate is None or not known:
        return None
    top, kept = known[-1], sorted(fastest.values(), key=lambda each: each.n)
    across = [each.intensity for each in kept]
    lines = [
        Line(name, [e.intensity for e in own], [arms.scaled(e, scan.GIGA) for e in own])
        for name, own in arms.grouped(kept, lambda each: each.dtype).items()
    ]
    # The roof rises with the intensity up to the best product of any format.
    bend = top.value / device.rate.value
    start, best = min(bend / 4, *across), arms.scaled(top, scan.GIGA)
    fed = arms.scaled(device.rate, scan.GIGA * start)
    lines.append(Line("roof", [start, bend, max(bend, *across)], [fed, best, best]))
    x, y = Axis("FLOP per byte of the matrices", log=True), Axis("GFLOP/s", log=True)
    title = f"{device.where}Roofline: products under what memory can feed"
    told = ", ".join(f"{k} {say.measured(each, 'FLOP/s')}" for k, each in device.best.items())
    return Shown(title, f"{title}. The best: {told}.", figure.lines(lines, x, y), name=device.label)


def _table(found: Sequence[Device]) -> Table:
    """One row per device, operation and number of threads; then the copies to and from the host."""
    rows: list[dict[str, Any]] = []
    for device in found:
        head = {"device": device.label}
        for curve in device.curves:
            last, top = curve.memory, curve.fastest
            falls = (items.size(knee.middle) for knee in working_sets.knees(curve.points))
            row = {"operation": curve.name, **_rate(last and scan.interval(last), device.theory)}
            row["fastest"] = top and f"{items.rate(top.rate)} in {items.size(top.size)}"
            rows.append({**head, **row, "falls at": ", ".join(falls) or None})
        rows += [
            {**head, "operation": name, **_rate(rate, device.link)}
            for name, rate in device.transfers.items()
        ]
    return model.tabled(rows, {"from memory": "GB/s"})


def _rate(seen: Interval | None, theory: float | None) -> dict[str, Any]:
    if seen is None:
        return {"from memory": "disturbed", "of theory": None}
    rate = Cell(text=say.interval(seen, scale=scan.GIGA), value=seen.value)
    share = theory and Cell(text=say.share(seen.value, theory), value=seen.value / theory)
    return {"from memory": rate, "of theory": share}


main = partial(question.run, "bandwidth", answer)

if __name__ == "__main__":
    main()
