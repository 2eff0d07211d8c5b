"""How fast is memory, really? Bandwidth by working set, transfers, and a roofline per device.

What is called *from memory* is the largest working set. The roofline puts two ceilings over the
products of other studies: what memory can feed at a product's arithmetic intensity, and the best
product that was measured in its number format. A nominal peak is passed in practice, and most
machines do not know theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import pandas as pd
from assay import hardware, memory, occasion
from assay.answer import question, verdict
from assay.answer import old_figure as figure
from assay.hardware import Item
from assay.memory import Knee, Point
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

ITEM_BYTES = {"float64": 8, "float32": 4, "tf32": 4, "bfloat16": 2, "float16": 2}
# The studies whose products stand in the roofline; a marker for each, and its sign in text.
PRODUCTS = {"alignment": ("o", "○"), "crossover": ("s", "□")}
MEASURED = ("target", "all_threads", "anchor")  # arms of whole products, by their old names
CLEARLY = 2  # a working set so many times the largest cache is memory's

OPERATION_COLOURS = {"read": figure.BLUE, "copy": figure.RED, "triad": figure.GREEN}
DTYPE_COLOURS = dict(
    zip(ITEM_BYTES, (figure.PINK, figure.BLUE, figure.SKY, figure.RED, figure.ORANGE), strict=True)
)

Cell = str | float | int | None


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
    def memory(self) -> Point | None:
        """The largest working set; None if nothing from half of what was asked on was measured."""
        last = self.points[-1]
        return last if 2 * last.size >= self.largest else None

    @property
    def fastest(self) -> Point | None:
        """The fastest working set beyond the overhead."""
        clear = [point for point in self.points if not point.overhead_bound]
        return max(clear, key=lambda point: point.rate, default=None)

    @property
    def knees(self) -> list[Knee]:
        """Where the bandwidth falls."""
        return memory.knees(self.points)


@dataclass(frozen=True)
class Roof:
    """What memory gives at most, and to which operation."""

    curve: Curve
    point: Point


@dataclass(frozen=True)
class Transfer:
    """Copies between host and device, in bytes/s."""

    direction: str
    host_memory: str
    rate: float
    low: float
    high: float

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.direction.replace('_', ' ')}, {self.host_memory}"


@dataclass(frozen=True)
class Product(Interval):
    """The product of two n × n matrices, in FLOP/s."""

    study: str
    dtype: str
    n: int
    noise: float  # what the trial's twin made up

    @property
    def rate(self) -> float:
        """FLOP/s."""
        return self.value

    @property
    def intensity(self) -> float:
        """FLOP per byte: 2n³ on three matrices, each moved once."""
        return 2 * self.n / (3 * ITEM_BYTES[self.dtype])


@dataclass(frozen=True)
class Device:
    """Everything that the records say about one device."""

    label: str
    probed: Record | None  # of the hardware study
    curves: list[Curve]
    transfers: list[Transfer]
    products: list[Product]

    @property
    def is_cpu(self) -> bool:
        """Whether it is a CPU."""
        probed = self.probed is not None and hardware.row(self.probed, Item.CPU) is not None
        return probed or any(curve.threads for curve in self.curves)

    @property
    def threads(self) -> list[int | None]:
        """The numbers of threads that were measured, fewest first; one None on an accelerator."""
        return list(dict.fromkeys(curve.threads for curve in self.curves))

    def on(self, threads: int | None) -> list[Curve]:
        """The curves of one number of threads."""
        return [curve for curve in self.curves if curve.threads == threads]

    @property
    def roof(self) -> Roof | None:
        """What gets most from memory, on all threads, or on fewer if those were not measured."""
        for threads in reversed(self.threads):
            known = [Roof(each, each.memory) for each in self.on(threads) if each.memory]
            if known:
                return max(known, key=lambda roof: roof.point.rate)
        return None

    @property
    def best(self) -> dict[str, Product]:
        """The fastest product of each number format, wide formats first."""
        found = {}
        for dtype in ITEM_BYTES:
            if here := [each for each in self.products if each.dtype == dtype]:
                found[dtype] = max(here, key=lambda each: each.rate)
        return found

    @property
    def theory(self) -> float | None:
        """Theoretical bandwidth of its memory in bytes/s."""
        return memory.theoretical(self.probed) if self.probed else None

    @property
    def link(self) -> float | None:
        """Theoretical bandwidth of its PCIe link in bytes/s, in each direction."""
        link = hardware.values(self.probed, Item.PCIE) if self.probed else {}
        return link.get("bandwidth_bytes_per_s")

    def caches(self, threads: int | None) -> list[memory.Cache]:
        """Its reported caches, as far as so many threads can fill them."""
        return memory.reported_caches(self.probed, threads or 1) if self.probed else []

    def roof_at(self, product: Product) -> float | None:
        """The roof over a product in FLOP/s."""
        if self.roof is None:
            return None
        return min(self.best[product.dtype].rate, product.intensity * self.roof.point.rate)


def devices(records: Sequence[Record]) -> list[Device]:
    """What each device that was measured has, in the order of the records."""
    labels = dict.fromkeys(str(each.axes["device"]) for each in records)
    found = [_device(label, [r for r in records if r.axes["device"] == label]) for label in labels]
    return [each for each in found if each.curves or each.transfers or each.products]


def _device(label: str, records: Sequence[Record]) -> Device:
    probed = [each for each in records if each.study == "hardware" and each.trials]
    trials = [
        trial
        for each in records
        if each.study == "bandwidth"
        for trial in each.trials
        if trial.status == Status.OK
    ]
    return Device(
        label,
        probed[0] if probed else None,
        [_curve(trial) for trial in trials if "operation" in trial.what],
        [_transfer(trial) for trial in trials if "transfer" in trial.what],
        products(records),
    )


def _curve(trial: Trial) -> Curve:
    what, result = trial.what, trial.result
    points: Any = result["points"]
    threads: Any = what.get("threads")
    overhead: Any = result["overhead_s"]
    contended: Any = result["points_contended"]
    return Curve(
        str(what["operation"]),
        threads,
        overhead,
        [
            Point(point["working_set_bytes"], *_rates(point), bool(point["overhead_bound"]))
            for point in points
            if point["status"] == Status.OK
        ],
        contended,
        max(point["working_set_bytes"] for point in points),
    )


def _transfer(trial: Trial) -> Transfer:
    return Transfer(
        str(trial.what["transfer"]), str(trial.what["host_memory"]), *_rates(trial.result)
    )


def _rates(result: Any) -> tuple[float, float, float]:
    return (
        result["bandwidth_bytes_per_s"],
        result["bandwidth_low_bytes_per_s"],
        result["bandwidth_high_bytes_per_s"],
    )


def products(records: Iterable[Record]) -> list[Product]:
    """The products of two square matrices in the records of other studies.

    Other shapes and tasks are known by their work, which is not 2n³, other layouts by name.
    """
    found = []
    for record in records:
        for trial in record.trials if record.study in PRODUCTS else ():
            if trial.status == Status.OK and _is_product(trial):
                found.append(_product(record.study, trial))
    return found


def _is_product(trial: Trial) -> bool:
    what = trial.what
    if what.get("dtype") not in ITEM_BYTES or what.get("layout"):
        return False
    n: Any = what.get("n", 0)
    arm = _measured_arm(trial)
    return bool(arm) and arm["units_per_call"] == 2 * n**3


def _measured_arm(trial: Trial) -> dict[str, Any]:
    """The arm that the trial's throughput was calculated from.

    Records from before its name was kept have it under one of the names it had.
    """
    result: Any = trial.result
    arms = result.get("arms") or {}
    named = result.get("arm") or next((name for name in MEASURED if name in arms), None)
    return dict(arms.get(named, {})) if "throughput_flops" in result else {}


def _product(study: str, trial: Trial) -> Product:
    n: Any = trial.what["n"]
    arm = _measured_arm(trial)
    rate, low, high = (2 * n**3 / arm[f"time_{time}_s"] for time in ("median", "high", "low"))
    dtype = str(trial.what["dtype"])
    return Product(rate, low, high, study, dtype, n, noise=verdict.noise(trial.result))


# ---- the two claims --------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A CPU against a GPU, in time per byte or per FLOP."""

    of: str  # bandwidth, or the number format of a computation
    gpu: str
    cpu: str
    seen: Comparison


def claims(found: Sequence[Device]) -> list[Claim]:
    """Every GPU against every CPU: bandwidth, and the best product of each common format."""
    made = []
    for gpu in (each for each in found if not each.is_cpu):
        for cpu in (each for each in found if each.is_cpu):
            if _has_control(gpu.roof) and _has_control(cpu.roof):
                seen = compare(_from_memory(gpu.roof), _from_memory(cpu.roof))
                made.append(Claim("bandwidth", gpu.label, cpu.label, seen))
            for dtype in gpu.best.keys() & cpu.best.keys():
                best = [(each.best[dtype], each.best[dtype].noise) for each in (gpu, cpu)]
                made.append(Claim(dtype, gpu.label, cpu.label, compare(*best)))
    order = ["bandwidth", *ITEM_BYTES]
    return sorted(made, key=lambda claim: (claim.gpu, claim.cpu, order.index(claim.of)))


Rate = tuple[Interval, float]  # with what its control made up


def _has_control(roof: Roof | None) -> TypeGuard[Roof]:
    return roof is not None and len(roof.curve.points) > 1


def _from_memory(roof: Roof) -> Rate:
    """The rate of memory; its control is the next smaller working set, which should be as fast."""
    before, last = (Interval(p.rate, p.low, p.high) for p in roof.curve.points[-2:])
    control = verdict.unpaired(before, last)
    return last, max(control.high - 1, 1 - control.low)


def compare(gpu: Rate, cpu: Rate) -> Comparison:
    """How many times the CPU's rate the GPU has: the CPU's time per unit relative to the GPU's."""
    return verdict.unpaired(gpu[0], cpu[0], noise=max(gpu[1], cpu[1]))


def claim_findings(
    found: Sequence[Device], made: Sequence[Claim], words: Sequence[Word]
) -> list[str]:
    """What becomes of the two claims; why not, where only one kind of device was measured."""
    said = []
    for name in ("computation", "bandwidth"):
        parts = [
            _claim(claim, word)
            for claim, word in zip(made, words, strict=True)
            if (claim.of == "bandwidth") == (name == "bandwidth")
        ]
        outcome = "; ".join(parts) or f"{Word.UNKNOWN.value}, {_why_no_claim(found)}"
        said.append(f"“GPUs outperform CPUs in {name}”: {outcome}.")
    return said


def _why_no_claim(found: Sequence[Device]) -> str:
    kinds = {each.is_cpu for each in found}
    if len(kinds) < 2:
        return f"because no {'GPU' if True in kinds else 'CPU'} was measured"
    return "because no figure of the two can be compared"


def _claim(claim: Claim, word: Word) -> str:
    """A comparison in words, and how many times the CPU's rate the GPU has."""
    seen, cpu, gpu = claim.seen, claim.cpu, claim.gpu
    said = {
        Word.UNKNOWN: f"{word.value} for {cpu} and {gpu}",
        Word.SAME: f"{cpu} and {gpu} are {verdict.told(seen, word)}",
    }.get(word, f"{cpu} is {word.value} than {gpu}")
    times = f"{_digits(seen.value)} [{_digits(seen.low)}, {_digits(seen.high)}] times"
    if claim.of == "bandwidth":
        return f"{said} ({gpu} has {times} the bandwidth)"
    return f"{said} in {claim.of} ({gpu} has {times} the FLOP/s)"


# ---- words -----------------------------------------------------------------------------------


def _digits(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def rate(seen: Point | Transfer) -> str:
    """A bandwidth with its interval: ``24.1 [23.8, 24.5] GB/s``."""
    return f"{interval(seen)} GB/s"


def interval(seen: Point | Transfer) -> str:
    """The same without the unit."""
    value, low, high = (_digits(each / 1e9) for each in (seen.rate, seen.low, seen.high))
    return f"{value} [{low}, {high}]"


def flops(value: float) -> str:
    """A throughput: ``147 GFLOP/s``, ``62.1 TFLOP/s``."""
    tera = value / 1e12
    return f"{_digits(tera)} TFLOP/s" if tera >= 1 else f"{_digits(value / 1e9)} GFLOP/s"


def on(threads: int | None) -> str:
    """``with 2 threads``; nothing on an accelerator."""
    return "" if threads is None else f"with {hardware.plural(threads, 'thread')}"


def share(value: float, theory: float | None, of: str) -> str:
    """``, 87 % of theory``; nothing where theory is not known."""
    return f", {100 * value / theory:.0f} % of {of}" if theory else ""


def sentence(found: Sequence[Device]) -> str:
    """The answer: per device, what memory gives, and what the fastest cache does."""
    parts = []
    for device in found:
        if (roof := device.roof) is None:
            continue
        text = f"{device.label} – {rate(roof.point)} from memory ({_name(roof.curve)})"
        text += share(roof.point.rate, device.theory, "theory")
        fastest = [c.fastest for c in device.on(roof.curve.threads) if c.fastest]
        top = max(fastest, key=lambda point: point.rate, default=None)
        if top and top.low > memory.FALL * roof.point.high:
            cached = f"{hardware.rate(top.rate)} within {hardware.size(top.size)}"
            text += f", and up to {cached}"
        parts.append(text)
    return ". ".join(parts) + "." if parts else "Nothing could be measured; the reasons are below."


def memory_findings(device: Device) -> list[str]:
    """A sentence per number of threads: every operation in the largest working set."""
    said = []
    for threads in device.threads:
        curves = device.on(threads)
        rates = "; ".join(_from_memory_words(curve, device.theory) for curve in curves)
        where = " ".join(filter(None, (device.label, on(threads))))
        largest = hardware.size(max(curve.largest for curve in curves))
        said.append(f"{where}, from memory (working sets to {largest}): {rates}.")
    return said


def _from_memory_words(curve: Curve, theory: float | None) -> str:
    point = curve.memory
    if point is None:
        return f"{curve.operation} not measured, something else used the machine"
    return f"{curve.operation} {rate(point)}{share(point.rate, theory, 'theory')}"


def knee_finding(device: Device, threads: int | None) -> str:
    """Where the bandwidth falls, beside the reported caches."""
    falls = [
        f"{curve.operation} {', '.join(map(knee_words, curve.knees)) or 'nowhere clearly'}"
        for curve in device.on(threads)
    ]
    caches = ", ".join(cache.name for cache in device.caches(threads)) or "none"
    where = " ".join(filter(None, (device.label, on(threads))))
    return f"{where}, bandwidth falls: {'; '.join(falls)}. Reported caches: {caches}."


def knee_words(knee: Knee) -> str:
    """Where it passes the middle, and between which sizes it lies."""
    start, middle, end = map(hardware.size, (knee.start, knee.middle, knee.end))
    return f"at {middle} ({start} to {end})"


def overhead_finding(device: Device) -> str:
    """What a call costs that does nothing, and from where on that does not decide."""
    calls = [curve.overhead_s for curve in device.curves]
    shortest, longest = (f"{1e6 * each:.2g}" for each in (min(calls), max(calls)))
    cost = shortest if shortest == longest else f"{shortest} to {longest}"
    bound = [p.size for curve in device.curves for p in curve.points if p.overhead_bound]
    text = f"{device.label}: a call on one element takes {cost} µs"
    if not bound:
        return f"{text}; no working set is so small that this decides."
    return f"{text}; what is marked as overhead ends at {hardware.size(max(bound))} or before."


def transfer_findings(device: Device) -> list[str]:
    """A sentence about the copies to and from the host."""
    if not device.transfers:
        return []
    copies = "; ".join(
        f"{each.name} {rate(each)}{share(each.rate, device.link, 'the PCIe link')}"
        for each in device.transfers
    )
    return [f"{device.label}, between host and device: {copies}."]


def roofline_findings(device: Device) -> list[str]:
    """A sentence per number format: the best product, the balance, and where the others lie."""
    said = []
    for dtype, best in device.best.items():
        text = f"{device.label}, {dtype}: the best product has {flops(best.rate)} (n = {best.n})"
        if device.roof:
            balance = best.rate / device.roof.point.rate
            n = math.ceil(balance * 3 * ITEM_BYTES[dtype] / 2)
            text += (
                f"; arithmetic, not memory, limits what does {_digits(balance)} FLOP or more per "
                f"byte from memory: products from n = {n} on"
            )
            text += _spread([each for each in device.products if each.dtype == dtype], device)
        said.append(text + ".")
    return said


def _spread(here: Sequence[Product], device: Device) -> str:
    """Between which shares of their roofs the products lie."""
    shares = {each.n: each.rate / roof for each in here if (roof := device.roof_at(each))}
    if len(shares) < 2:
        return ""
    low, high = min(shares, key=lambda n: shares[n]), max(shares, key=lambda n: shares[n])
    return (
        f"; the {len(shares)} sizes reach {100 * shares[low]:.2g} % (n = {low}) to "
        f"{100 * shares[high]:.3g} % (n = {high}) of the roof"
    )


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and study."""
    found = devices(records)
    scanned = [each for each in found if each.curves]
    made = claims(found)
    words = verdict.judge([claim.seen for claim in made])
    return Findings(
        sentence=sentence(found),
        findings=[
            *(text for each in scanned for text in memory_findings(each)),
            *(knee_finding(each, threads) for each in scanned for threads in each.threads),
            *(overhead_finding(each) for each in scanned),
            *(text for each in found for text in transfer_findings(each)),
            *(text for each in found for text in roofline_findings(each)),
            *(claim_findings(found, made, words) if found else []),
        ],
        numbers=_numbers(found, made, words),
        method=_method(records),
        caveats=_caveats(found),
        picture=Picture(
            title="Bandwidth against the working set, and a roofline",
            alternative=alternative(found),
        ),
        table=_page_table(found),
        frame=_frame(found, made, words),
        figure=_figure(found),
    )


def _numbers(
    found: Sequence[Device], made: Sequence[Claim], words: Sequence[Word]
) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        device.label: {
            "memory_bytes_per_s": {
                _name(curve): [point.rate, point.low, point.high]
                for curve in device.curves
                if (point := curve.memory)
            },
            "theory_bytes_per_s": device.theory,
            "knees": {
                _name(curve): [
                    {
                        "middle_bytes": knee.middle,
                        "start_bytes": knee.start,
                        "end_bytes": knee.end,
                        "above_bytes_per_s": knee.above,
                        "below_bytes_per_s": knee.below,
                    }
                    for knee in curve.knees
                ]
                for curve in device.curves
            },
            "transfers_bytes_per_s": {
                each.name: [each.rate, each.low, each.high] for each in device.transfers
            },
            "best_products_flops": {dtype: each.rate for dtype, each in device.best.items()},
        }
        for device in found
    }
    numbers["claims"] = [
        {
            "of": claim.of,
            "gpu": claim.gpu,
            "cpu": claim.cpu,
            "time_ratio": claim.seen.value,
            "time_ratio_low": claim.seen.low,
            "time_ratio_high": claim.seen.high,
            "word": word.value,
        }
        for claim, word in zip(made, words, strict=True)
    ]
    return numbers


def _name(curve: Curve) -> str:
    return ", ".join(filter(None, (curve.operation, on(curve.threads))))


def _method(records: Sequence[Record]) -> list[str]:
    scans = [each for each in records if each.study == "bandwidth" and each.trials]
    method = []
    if scans:
        settings: Any = scans[0].settings
        method = [
            "Read sums an array, copy reads one and writes one, triad reads two and writes a "
            "third; each array's bytes count once, and 1 GB is 10⁹ bytes. Working sets are all "
            f"arrays together, {settings['points_per_doubling']} to a doubling, float32.",
            "Every round takes one sample of every working set and operation, in an order and at "
            "places in memory drawn anew, after one call that fills the caches; about "
            f"{settings['point_s']:g} s a point. The figure is the median with its exact "
            "interval; a sample is void, and taken again, when our threads waited for a core over "
            f"{100 * settings['protocol']['void_delay_share']:g} % of their time.",
            f"A working set is overhead-bound where its call takes less than "
            f"{settings['overheads']:g} times a call on one element.",
            "A knee is looked for beyond the overhead and from the fastest working set on: a "
            "running median of three, the falling curve nearest to it (isotonic regression of the "
            "log bandwidth), and in it each unbroken run of steps that fall by "
            f"{100 * (1 - 2**-memory.STEEP):.0f} % or more per doubling, and by a factor of "
            f"{memory.FALL:g} or more together, with intervals at its ends that do not overlap. "
            "It is placed where the geometric mean of the two levels is passed.",
        ]
    return [
        *method,
        occasion.told(records),
        "Roofline: the roof is the smaller of the best measured product in the number format and "
        "arithmetic intensity × bandwidth from memory; the intensity of a product is 2n³ FLOP over "
        "3n² elements, as if each matrix moved once. Small products whose matrices stay in caches "
        "can pass the roof of memory.",
        "GPU and CPU are compared without pairing: standard errors add in quadrature on the log "
        "scale. The comparisons of GPU and CPU are one family (Holm); no difference is called one "
        f"that is under {verdict.MARGIN:.0%}, or under what a control showed (products: the "
        "trial's twin; memory: the next smaller working set).",
    ]


def _caveats(found: Sequence[Device]) -> list[str]:
    caveats = [
        "GB/s are decimal, sizes of memory binary: who divides by 2³⁰ reads 7 % less.",
        "A CPU may read the target of a copy before it writes it (write-allocate): the memory then "
        "moves 3 arrays where a copy counts 2, and 4 where triad counts 3. Reading has no such "
        "hidden traffic.",
        "Caches that are not emptied between calls serve the next call; that is meant, and why "
        "small working sets are faster.",
    ]
    for device in found:
        caveats += _own_caveats(device)
    return caveats


def _own_caveats(device: Device) -> list[str]:
    said = []
    if device.probed and (place := hardware.virtual_machine(device.probed)):
        said.append(
            f"{device.label}: this is a {place}. The caches it reports are the host's, of which "
            "others may use a part, so the measured knees stand beside them; and the bandwidth "
            "changes with neighbours unseen from here, by more than the interval says."
        )
    if contended := sum(curve.contended for curve in device.curves):
        total = contended + sum(len(curve.points) for curve in device.curves)
        said.append(
            f"{device.label}: {contended} of {total} points could not be measured, because "
            "something else used the machine; they are missing from the curves."
        )
    caches = device.caches(device.threads[-1]) if device.curves else []
    if device.roof and caches and device.roof.point.size < CLEARLY * caches[-1].size:
        said.append(
            f"{device.label}: the largest working set, {hardware.size(device.roof.point.size)}, "
            f"is not clearly beyond the reported {caches[-1].name}; what is called from memory "
            "may come from there."
        )
    nodes = hardware.values(device.probed, Item.NUMA).get("nodes", []) if device.probed else []
    if len(nodes) > 1:
        said.append(
            f"{device.label}: {len(nodes)} NUMA nodes; pages and threads are placed by the system, "
            "not bound to nodes, and binding them can be faster."
        )
    return said


def _page_table(found: Iterable[Device]) -> Table:
    """One row per device, operation and number of threads; then the copies to and from the host."""
    rows: list[list[Cell]] = []
    for device in found:
        for curve in device.curves:
            top, last = curve.fastest, curve.memory
            rows.append(
                [
                    device.label,
                    _name(curve),
                    interval(last) if last else Status.CONTENDED.value,
                    _percent(last.rate, device.theory) if last else "",
                    f"{_digits(top.rate / 1e9)} in {hardware.size(top.size)}" if top else "",
                    ", ".join(hardware.size(knee.middle) for knee in curve.knees),
                ]
            )
        rows += [
            [device.label, each.name, interval(each), _percent(each.rate, device.link), "", ""]
            for each in device.transfers
        ]
    columns = [
        Column(name="device"),
        Column(name="operation"),
        Column(name="from memory", unit="GB/s"),
        Column(name="of theory", unit="%"),
        Column(name="fastest", unit="GB/s"),
        Column(name="falls at"),
    ]
    return Table(columns=columns, rows=rows)


def _percent(value: float, theory: float | None) -> str:
    return f"{100 * value / theory:.0f}" if theory else "not known"


COLUMNS = {
    "scan": ["threads", "working_set_bytes", "overhead_bound"],
    "rate": ["bandwidth_bytes_per_s", "bandwidth_low_bytes_per_s", "bandwidth_high_bytes_per_s"],
    "product": ["study", "dtype", "n", "intensity_flop_per_byte"],
    "throughput": ["throughput_flops", "throughput_low_flops", "throughput_high_flops"],
    "claim": ["against", "ratio", "ratio_low", "ratio_high", "p", "bound", "margin", "verdict"],
}


def _frame(found: Iterable[Device], made: Sequence[Claim], words: Sequence[Word]) -> pd.DataFrame:
    """Tidy: one row per point of a scan, per copy to or from the host, per product, per claim."""
    rows: list[dict[str, Any]] = []
    for device in found:
        head = {"device": device.label}
        for curve in device.curves:
            for point in curve.points:
                scan = (curve.threads, point.size, point.overhead_bound)
                rows.append(
                    {**head, "operation": curve.operation}
                    | dict(zip(COLUMNS["scan"], scan, strict=True))
                    | _row("rate", point)
                )
        rows += [{**head, "operation": each.name} | _row("rate", each) for each in device.transfers]
        for each in device.products:
            product = (each.study, each.dtype, each.n, each.intensity)
            rows.append(
                {**head, "operation": "product"}
                | dict(zip(COLUMNS["product"], product, strict=True))
                | _row("throughput", each)
                | {"roof_flops": device.roof_at(each)}
            )
    rows += [_claim_row(claim, word) for claim, word in zip(made, words, strict=True)]
    columns = ["device", "operation", *(name for names in COLUMNS.values() for name in names)]
    return pd.DataFrame(rows, columns=[*columns, "roof_flops"])


def _claim_row(claim: Claim, word: Word) -> dict[str, Any]:
    """A comparison: the CPU's time per byte or FLOP relative to the GPU's."""
    return {
        "device": claim.cpu,
        "operation": "against a GPU",
        "dtype": None if claim.of == "bandwidth" else claim.of,
        "against": claim.gpu,
        "verdict": word.value,
        **verdict.row(claim.seen),
    }


def _row(kind: str, seen: Point | Transfer | Product) -> dict[str, float]:
    return dict(zip(COLUMNS[kind], (seen.rate, seen.low, seen.high), strict=True))


# ---- the figure ------------------------------------------------------------------------------

Draw = Callable[[Axes], None]


def alternative(found: Sequence[Device]) -> str:
    """What the picture shows, in words."""
    parts = []
    for device in found:
        for curve in device.curves:
            last, top = curve.points[-1], curve.fastest
            where = " ".join(filter(None, (device.label, on(curve.threads))))
            most = f"at most {hardware.rate(top.rate)}, " if top else ""
            end = f"{hardware.rate(last.rate)} in {hardware.size(last.size)}"
            parts.append(f"{where}, {curve.operation}: {most}{end}.")
        parts += [
            f"{device.label}, {dtype}: best product {flops(best.rate)}."
            for dtype, best in device.best.items()
        ]
    said = " ".join(parts) or "Nothing was measured."
    return f"Bandwidth by working set, and the roofline of each device. {said}"


def _figure(found: Sequence[Device]) -> Figure:
    """Rows of two panels: scans and transfers by device, then the rooflines."""
    rows = [pair for each in found for pair in _pairs(_own_panels(each))]
    rows += _pairs([_roofline(each) for each in found if each.roof])
    if not rows:
        return figure.nothing()
    names = iter(map(chr, range(ord("A"), ord("A") + 2 * len(rows))))
    named = [[(next(names), draw) for draw in row] for row in rows]
    layout = "\n".join(f"{row[0][0]}{row[-1][0]}" for row in named)  # a lone panel is twice as wide
    drawn, axes = figure.mosaic(layout, height_in=2.7 * len(rows))
    for name, draw in (each for row in named for each in row):
        draw(axes[name])
    return drawn


def _pairs(panels: Sequence[Draw]) -> list[Sequence[Draw]]:
    return [panels[i : i + 2] for i in range(0, len(panels), 2)]


def _own_panels(device: Device) -> list[Draw]:
    scans: list[Draw] = [_scan(device, threads) for threads in device.threads]
    return [*scans, *([_host(device)] if device.transfers else [])]


def _scan(device: Device, threads: int | None) -> Draw:
    def draw(axes: Axes) -> None:
        curves = device.on(threads)
        title = ", ".join(filter(None, (device.label, on(threads).removeprefix("with "))))
        axes.set_title(title)
        _scan_axes(axes, device)
        _shade_overhead(axes, curves)
        for cache in device.caches(threads):
            figure.mark_x(axes, cache.size, cache.level)
        if device.theory:
            figure.mark_y(axes, device.theory / 1e9, f"theory {_digits(device.theory / 1e9)}")
        for curve in curves:
            _draw_curve(axes, curve)
        _name_curves(axes, curves)

    return draw


def _scan_axes(axes: Axes, device: Device) -> None:
    """Logarithmic axes, the same for every number of threads of a device."""
    points = [point for curve in device.curves for point in curve.points]
    sizes, rates = [p.size for p in points], [p.rate / 1e9 for p in points]
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlim(min(sizes) / 1.5, max(sizes) * 1.5)
    axes.set_ylim(min(rates) / 1.3, max([*rates, (device.theory or 0) / 1e9]) * 2)
    first, last = math.ceil(math.log2(min(sizes))), math.floor(math.log2(max(sizes)) + 0.01)
    ticks = [2**power for power in range(first, last + 1, math.ceil((last - first) / 4) or 1)]
    axes.set_xticks(ticks, [hardware.size(tick) for tick in ticks], fontsize=8)
    axes.minorticks_off()
    falls = any(curve.knees for curve in device.curves)
    axes.set_xlabel("working set (all arrays)" + ("; ▲: falls" if falls else ""))
    _plain_ticks(axes, "y")
    axes.set_ylabel("GB/s")


def _plain_ticks(axes: Axes, which: str) -> None:
    """1, 2, 5, 10 … on a logarithmic axis, or only 1, 10 … where that is many."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = axes.get_ylim() if which == "y" else axes.get_xlim()
    steps = (1, 2, 5) if high / low < 1e3 else (1,)
    axis.set_major_locator(LogLocator(subs=steps, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(LogLocator(subs=(), numticks=1))


def _draw_curve(axes: Axes, curve: Curve) -> None:
    """Medians with their intervals, hollow where overhead-bound; knees on the axis."""
    colour = OPERATION_COLOURS[curve.operation]
    axes.plot(
        [p.size for p in curve.points], [p.rate / 1e9 for p in curve.points], color=colour, lw=1.2
    )
    for bound in (True, False):
        here = [point for point in curve.points if point.overhead_bound == bound]
        figure.interval(
            axes,
            [p.size for p in here],
            [p.rate / 1e9 for p in here],
            [p.low / 1e9 for p in here],
            [p.high / 1e9 for p in here],
            color=colour,
            markerfacecolor="none" if bound else colour,
            markersize=3,
            capsize=1.5,
            elinewidth=1,
        )
    middles = [knee.middle for knee in curve.knees]
    axes.plot(
        middles,
        [0.03] * len(middles),
        transform=axes.get_xaxis_transform(),
        color=colour,
        marker="^",
        markersize=6,
        alpha=0.8,
        lw=0,
    )


def _name_curves(axes: Axes, curves: Sequence[Curve]) -> None:
    """Names with the rate of memory at the ends of the curves, moved apart."""
    bottom, top = (math.log10(end) for end in axes.get_ylim())
    ends = [math.log10(curve.points[-1].rate / 1e9) for curve in curves]
    places = figure.spread(ends, (top - bottom) * 0.075, top)
    for curve, place in zip(curves, places, strict=True):
        value = f" {_digits(curve.memory.rate / 1e9)}" if curve.memory else ""
        axes.annotate(
            f"{curve.operation}{value}",
            (1.01, 10**place),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=OPERATION_COLOURS[curve.operation],
        )


def _shade_overhead(axes: Axes, curves: Sequence[Curve]) -> None:
    """Shade the working sets at which every operation is overhead-bound."""
    bound = [[p.size for p in curve.points if p.overhead_bound] for curve in curves]
    if end := min((max(sizes, default=0) for sizes in bound), default=0):
        left = axes.get_xlim()[0]
        axes.axvspan(left, end * 2**0.25, color=figure.BAND, lw=0, zorder=0)
        axes.text(
            left * 1.15,
            0.07,
            "overhead",
            transform=axes.get_xaxis_transform(),
            fontsize=8,
            color=figure.INK,
        )


def _host(device: Device) -> Draw:
    def draw(axes: Axes) -> None:
        copies = device.transfers
        rates = [each.rate / 1e9 for each in copies]
        axes.set_title(f"{device.label}: to and from the host")
        figure.interval(
            axes,
            range(len(copies)),
            rates,
            [each.low / 1e9 for each in copies],
            [each.high / 1e9 for each in copies],
            color=figure.BLUE,
        )
        for place, value in enumerate(rates):
            axes.annotate(
                _digits(value), (place, value), (7, 0), textcoords="offset points", va="center"
            )
        short = {"host_to_device": "to device", "device_to_host": "to host"}
        names = [f"{short.get(each.direction)}\n{each.host_memory}" for each in copies]
        axes.set_xticks(range(len(copies)), names, fontsize=7)
        axes.set_xlim(-0.5, len(copies) - 0.3)
        axes.set_ylim(0, 1.25 * max([*rates, (device.link or 0) / 1e9]))
        axes.set_ylabel("GB/s")
        if device.link:
            figure.mark_y(axes, device.link / 1e9, f"PCIe in theory {_digits(device.link / 1e9)}")

    return draw


def _roofline(device: Device) -> Draw:
    def draw(axes: Axes) -> None:
        assert device.roof is not None
        slope, best = device.roof.point.rate, device.best
        top = max((each.rate for each in best.values()), default=100 * slope)
        bend = top / slope
        intensities = [each.intensity for each in device.products]
        left, right = min([bend / 50, *intensities]) / 2, max([10 * bend, *intensities]) * 2
        lowest = min([left * slope, *(each.rate for each in device.products)])
        unit, scale = ("TFLOP/s", 1e12) if top >= 1e12 else ("GFLOP/s", 1e9)
        axes.set_title(f"{device.label}: roofline")
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlim(left, right)
        axes.set_ylim(lowest / 2 / scale, top * 2.5 / scale)
        axes.set_xlabel("arithmetic intensity, FLOP per byte")
        axes.set_ylabel(unit)
        _plain_ticks(axes, "x")
        _plain_ticks(axes, "y")
        axes.plot([left, bend], [left * slope / scale, top / scale], color=figure.INK, lw=1.4)
        middle = math.sqrt(left * bend)
        axes.text(
            middle,
            1.1 * middle * slope / scale,
            f"memory {hardware.rate(slope)}",
            rotation=math.degrees(math.atan(slope / scale)),
            rotation_mode="anchor",
            transform_rotates_text=True,
            ha="center",
            va="bottom",
            fontsize=8,
        )
        _ceilings(axes, best, slope, scale)
        for each in device.products:
            marker, _ = PRODUCTS[each.study]
            colour = DTYPE_COLOURS[each.dtype]
            axes.plot(each.intensity, each.rate / scale, marker, ms=4, mfc="none", color=colour)
        studies = dict.fromkeys(each.study for each in device.products)
        axes.annotate(
            ", ".join(f"{PRODUCTS[study][1]} {study}" for study in studies),
            (0.99, 0.03),
            xycoords="axes fraction",
            ha="right",
            fontsize=8,
            color=figure.INK,
        )

    return draw


def _ceilings(axes: Axes, best: dict[str, Product], slope: float, scale: float) -> None:
    """The best product of each number format, from where memory feeds it; names at the right."""
    right = axes.get_xlim()[1]
    bottom, top = (math.log10(end) for end in axes.get_ylim())
    heights = [math.log10(each.rate / scale) for each in best.values()]
    places = figure.spread(heights, (top - bottom) * 0.075, top)
    for (dtype, each), place in zip(best.items(), places, strict=True):
        colour = DTYPE_COLOURS[dtype]
        height = each.rate / scale
        axes.plot([each.rate / slope, right], [height, height], color=colour, lw=1.2)
        axes.annotate(
            f"{dtype} {_digits(height)}",
            (1.01, 10**place),
            xycoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=colour,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("bandwidth", answer, argv)


if __name__ == "__main__":
    main()
