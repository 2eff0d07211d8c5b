"""What is in this machine? Every row of the probe, and the memory bus widths in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd
from assay import hardware, memory
from assay.answer import question
from assay.answer import old_figure as figure
from assay.hardware import Item
from assay.memory import Point
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OVERHEADS = 10  # an operation shorter than this many times the overhead is not about memory

Cell = str | float | int | None
_NOT_VALUES = ("source", "arms", "ratios")  # in a result, but no quantity of the machine


# ---- the copies ------------------------------------------------------------------------------


def points(record: Record) -> list[Point]:
    """The scan over working sets, smallest first; empty where it was not measured."""
    trial = hardware.row(record, Item.WORKING_SETS)
    arms: Any = trial.result.get("arms", {}) if trial else {}
    found = sorted(
        (arm for name, arm in arms.items() if name != "twin"), key=lambda arm: arm["units_per_call"]
    )
    if not found:
        return []
    overhead, *measured = found  # the first copies one element
    return [
        Point(
            size=int(arm["units_per_call"]),
            rate=arm["units_per_call"] / arm["time_median_s"],
            low=arm["units_per_call"] / arm["time_high_s"],
            high=arm["units_per_call"] / arm["time_low_s"],
            overhead_bound=arm["time_median_s"] < OVERHEADS * overhead["time_median_s"],
        )
        for arm in measured
    ]


def knee(scan: Sequence[Point]) -> tuple[int, int] | None:
    """Between which two working sets copies fall to the speed of memory; None where none shows."""
    found = memory.knees(scan)
    return (found[-1].start, found[-1].end) if found else None


# ---- words -----------------------------------------------------------------------------------

WORDS: dict[str, Callable[[Any], str]] = {  # by the ending of a key; the longer endings first
    "_bytes_per_s": hardware.rate,
    "_bytes": hardware.size,
    "_flops": lambda value: f"{_short(value / 1e12)} TFLOP/s",
    "_bits": lambda value: f"{value} bits",
    "_mts": lambda value: f"{value:.0f} MT/s",
    "_hz": lambda value: f"{value / 1e6:.0f} MHz",
    "_c": lambda value: f"{value} °C",
    "_w": lambda value: f"{_short(value)} W",
}


def quantity(key: str, value: Any) -> tuple[str, str]:
    """Name and value of one result in words, by the unit that ends its key."""
    ending = next((ending for ending in WORDS if key.endswith(ending)), "")
    name = key.removesuffix(ending)
    if value is None or value == []:
        return name, "none"
    if isinstance(value, list):
        return name, ", ".join(map(_entry, value))
    return name, WORDS.get(ending, str)(value)


def _entry(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value)
    if "level" in value:
        return hardware.cache(value)
    if "cpus" in value:
        return f"{hardware.size(value['memory_bytes'])} at CPUs {value['cpus']}"
    return " ".join(quantity(key, each)[1] for key, each in value.items())


def _short(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def described(trial: Trial) -> str:
    """The values of one row in words."""
    if "arms" in trial.result:
        rounds, void = trial.result["rounds"], trial.result["rounds_void"]
        return f"see the figure; {rounds} rounds, {void} of them void"
    named = (quantity(key, value) for key, value in trial.result.items() if key not in _NOT_VALUES)
    return "; ".join(
        text if name == trial.what["item"] else f"{name.replace('_', ' ')} {text}"
        for name, text in named
    )


def label(record: Record) -> str:
    """What the workflow calls the record's device."""
    return str(record.axes["device"])


def bus_findings(records: Sequence[Record]) -> list[str]:
    """A sentence about each memory bus, CPU and GPU."""
    cpus = [f"CPU memory bus: {hardware.cpu_bus(each)}." for each in hardware.of_cpu(records)[:1]]
    there = [each for each in hardware.of_gpus(records) if hardware.values(each, Item.GPU)]
    gpus = [
        f"GPU memory bus ({label(each)}, {hardware.gpu_name(each)}): {hardware.gpu_bus(each)}."
        for each in there
    ]
    nothing = f"GPU memory bus: {_lowered(hardware.no_gpu(records))}."
    return [*cpus, *(gpus or [nothing])]


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


def bandwidth_finding(record: Record) -> str:
    """The measured bandwidth of one device, its share of theory, and its knee."""
    measured = hardware.values(record, Item.BANDWIDTH)
    if not measured:
        trial = hardware.row(record, Item.BANDWIDTH)
        return f"{label(record)}: bandwidth not measured ({trial.reason if trial else 'no row'})."
    low, high = (
        hardware.rate(measured[f"bandwidth_{end}_bytes_per_s"]).removesuffix(" GB/s")
        for end in ("low", "high")
    )
    text = (
        f"{label(record)}: copying within {hardware.size(measured['working_set_bytes'])} moves "
        f"{hardware.rate(measured['bandwidth_bytes_per_s'])} [{low}, {high}]"
    )
    if theory := memory.theoretical(record):
        text += f", {measured['bandwidth_bytes_per_s'] / theory:.0%} of theory"
    return f"{text}. {knee_words(record)}"


def knee_words(record: Record) -> str:
    """The measured knee beside the largest cache that was reported."""
    reported = memory.reported_caches(record, record.conditions.threads_used)
    beside = f"; the largest reported cache is {reported[-1].name}" if reported else ""
    if found := knee(points(record)):
        ends = " and ".join(hardware.size(end) for end in found)
        return f"Copies fall to the speed of memory between {ends}{beside}."
    return f"No cache shows clearly above the overhead of a copy{beside}."


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    buses = bus_findings(records)
    measured = [each for each in records if each.trials]
    return Findings(
        sentence=". ".join(text.rstrip(".") for text in buses) + ".",
        findings=[
            *buses,
            *(bandwidth_finding(each) for each in measured),
            *(text for each in measured for text in _link_findings(each)),
        ],
        numbers=_numbers(measured),
        method=_method(measured),
        caveats=_caveats(measured),
        picture=Picture(
            title="Bandwidth of a copy against the working set", alternative=_alternative(measured)
        ),
        table=_page_table(records),
        frame=_frame(records),
        figure=_figure(measured),
    )


def _link_findings(record: Record) -> list[str]:
    link = hardware.values(record, Item.PCIE)
    if not link:
        return []
    text = f"{label(record)}: PCIe generation {link['generation']} × {link['lanes']} lanes"
    most = [link.get("generation_max"), link.get("lanes_max")]
    if all(most) and most != [link["generation"], link["lanes"]]:
        text += f" (at most {most[0]} × {most[1]})"
    if theory := link.get("bandwidth_bytes_per_s"):
        text += f", {hardware.rate(theory)} in each direction in theory"
    return [text + "."]


def _numbers(records: Iterable[Record]) -> dict[str, Any]:
    numbers: dict[str, Any] = {}
    for record in records:
        bus = hardware.values(record, Item.CPU_BUS) or hardware.values(record, Item.GPU_BUS)
        measured = hardware.values(record, Item.BANDWIDTH)
        found = knee(points(record))
        numbers[label(record)] = {
            "bus_width_bits": bus.get("bus_width_bits"),
            "theory_bytes_per_s": memory.theoretical(record),
            "bandwidth_bytes_per_s": measured.get("bandwidth_bytes_per_s"),
            "bandwidth_low_bytes_per_s": measured.get("bandwidth_low_bytes_per_s"),
            "bandwidth_high_bytes_per_s": measured.get("bandwidth_high_bytes_per_s"),
            "knee_between_bytes": list(found) if found else None,
        }
    return numbers


def _method(records: Sequence[Record]) -> list[str]:
    threads = sorted({each.conditions.threads_used for each in records})
    rounds: list[Any] = [
        trial.result["rounds"]
        for each in records
        if (trial := hardware.row(each, Item.WORKING_SETS)) and "rounds" in trial.result
    ]
    method = [
        "Each row asks its sources in a fixed order; the first that answers is named beside the "
        "value, and what none tells has a reason instead.",
        "CPU memory bus: distinct populated channels × data width of a module (not its total "
        "width, which counts the bits of error correction).",
    ]
    if hardware.of_gpus(records):
        method.append(
            "GPU: what torch and the driver's library tell, matched by the card's identity; link, "
            "clocks and heat are read while the card computes."
        )
    if rounds:
        method.append(
            f"Bandwidth: copies of float32 with torch on {' or '.join(map(str, threads))} CPU "
            f"threads or the GPU; all working sets in every one of {min(rounds)} rounds, in an "
            "order drawn anew; medians with their exact 95 % intervals; bytes read and bytes "
            "written both counted once, 1 GB = 10⁹ bytes."
        )
    return method


def _caveats(records: Sequence[Record]) -> list[str]:
    caveats = [
        "A public answer prints pci_bus_id as the bus width: that is where the card sits on the "
        "PCI bus, not how wide its memory is.",
        "A CPU may read the target of a copy before it writes it; the memory then moves half as "
        "much again as is counted, so that a copy shows less than theory.",
    ]
    for record in records:
        if place := hardware.virtual_machine(record):
            caveats.append(
                f"{label(record)}: this is a {place}; it shows the host's caches, of which others "
                "may use a part, so the measured knee stands beside them. Others also share the "
                "memory bus, unseen from here: another run can differ by more than the interval."
            )
        copies = hardware.row(record, Item.BANDWIDTH)
        if copies and (bound := copies.result.get("bus_width_at_least_bits")):
            caveats.append(
                f"{label(record)}: {bound} bits is a bound, not the width: what the fastest copy "
                f"moved, over {copies.result['at_transfer_rate_mts']:.0f} million transfers a "
                "second, the fastest memory there is. It holds if no cache held the working set."
            )
    return caveats


def _page_table(records: Iterable[Record]) -> Table:
    rows: list[list[Cell]] = []
    for record in records:
        if not record.trials:
            rows.append([label(record), "device", record.status.value, record.reason])
        for trial in record.trials:
            ok = trial.status == Status.OK
            value = described(trial) or trial.status.value.replace("_", " ")
            source = trial.result.get("source") if ok else trial.reason
            rows.append(
                [label(record), str(trial.what["item"]), value, str(source) if source else None]
            )
    names = ("device", "item", "value", "source or reason")
    return Table(columns=[Column(name=name) for name in names], rows=rows)


def _frame(records: Iterable[Record]) -> pd.DataFrame:
    """Tidy: one row per value of a row, and one per working set."""
    rows: list[dict[str, Any]] = []
    for record in records:
        device = {"device": label(record)}
        for trial in record.trials:
            head = {**device, "item": trial.what["item"], "status": trial.status.value}
            values: dict[str | None, Any] = {
                key: value for key, value in trial.result.items() if key not in _NOT_VALUES
            }
            source = trial.result.get("source")
            rows += [
                {**head, "quantity": key, "value": value, "source": source, "reason": trial.reason}
                for key, value in (values or {None: None}).items()
            ]
        rows += [
            {
                **device,
                "item": Item.WORKING_SETS.value,
                "status": Status.OK.value,
                "quantity": "bandwidth_bytes_per_s",
                "working_set_bytes": point.size,
                "value": point.rate,
                "low": point.low,
                "high": point.high,
                "overhead_bound": point.overhead_bound,
            }
            for point in points(record)
        ]
        if not record.trials:
            rows.append({**device, "status": record.status.value, "reason": record.reason})
    columns = ["device", "item", "quantity", "working_set_bytes", "value", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "overhead", "source", "status", "reason"])


# ---- the figure ------------------------------------------------------------------------------


def _alternative(records: Iterable[Record]) -> str:
    parts = []
    for record in records:
        if scan := points(record):
            first, last = scan[0], scan[-1]
            parts.append(
                f"{label(record)}: {hardware.rate(first.rate)} in {hardware.size(first.size)}, "
                f"at most {hardware.rate(max(point.rate for point in scan))}, "
                f"{hardware.rate(last.rate)} in {hardware.size(last.size)}. {knee_words(record)}"
            )
    return "Bandwidth of a copy by working set. " + (" ".join(parts) or "Nothing was measured.")


def _figure(records: Sequence[Record]) -> Figure:
    """One panel per device."""
    scans = [(record, scan) for record in records if (scan := points(record))]
    drawn, grid = figure.panels(max(1, len(scans)), height_in=2.9)
    if not scans:
        grid[0, 0].text(0.5, 0.5, "The copies could not be measured", ha="center", va="center")
        grid[0, 0].set_axis_off()
    for axes, (record, scan), colour in zip(grid[:, 0], scans, _colours(), strict=False):
        _panel(axes, record, scan, colour)
    return drawn


def _colours() -> list[str]:
    return figure.CYCLE * 3


def _panel(axes: Axes, record: Record, scan: Sequence[Point], colour: str) -> None:
    sizes, rates = [point.size for point in scan], [point.rate / 1e9 for point in scan]
    lows, highs = [point.low / 1e9 for point in scan], [point.high / 1e9 for point in scan]
    axes.set_xscale("log", base=2)
    axes.set_ylim(0, 1.28 * max(highs))  # room for the names of the caches
    axes.set_xlim(sizes[0] / 1.5, sizes[-1] * 1.5)
    axes.set_title(f"{label(record)}: {_device_name(record)}")
    axes.plot(sizes, rates, color=colour, lw=1.4)
    figure.interval(axes, sizes, rates, lows, highs, color=colour)
    _name_last(axes, scan[-1], colour)
    _shade_overhead(axes, scan)
    for cache in memory.reported_caches(record, record.conditions.threads_used):
        figure.mark_x(axes, cache.size, cache.name)
    if theory := memory.theoretical(record):
        axes.set_ylim(0, max(axes.get_ylim()[1], 1.25 * theory / 1e9))
        figure.mark_y(axes, theory / 1e9, f"memory in theory: {hardware.rate(theory)}")
    axes.set_xticks(sizes[::2], [hardware.size(size) for size in sizes[::2]])
    axes.minorticks_off()
    axes.set_xlabel("working set (both arrays)")
    axes.set_ylabel("copied, GB/s")


def _name_last(axes: Axes, last: Point, colour: str) -> None:
    """Write the bandwidth of memory where the curve leaves room: above if it is low."""
    low = last.rate / 1e9 < axes.get_ylim()[1] / 2
    axes.annotate(
        hardware.rate(last.rate),
        (last.size, last.rate / 1e9),
        (-4, 10 if low else -18),
        textcoords="offset points",
        ha="right",
        color=colour,
    )


def _device_name(record: Record) -> str:
    if name := hardware.values(record, Item.GPU).get("name"):
        return str(name)
    threads = hardware.plural(record.conditions.threads_used, "thread")
    return f"{hardware.values(record, Item.CPU).get('brand', 'CPU')}, {threads}"


def _shade_overhead(axes: Axes, scan: Sequence[Point]) -> None:
    short = [point.size for point in scan if point.overhead_bound]
    if short:
        left = axes.get_xlim()[0]
        right = max(short) * math.sqrt(2)
        axes.axvspan(left, right, color=figure.BAND, lw=0, zorder=0)
        axes.text(
            left * 1.1,
            0.03,
            f"under {OVERHEADS} × the overhead",
            transform=axes.get_xaxis_transform(),
            fontsize=8,
            color=figure.INK,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("hardware", answer, argv)


if __name__ == "__main__":
    main()
