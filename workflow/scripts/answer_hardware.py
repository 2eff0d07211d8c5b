"""What is in this machine? Caches, memory and the memory buses, each with who told it, or why not.

The copies belong to another question; here they bound the width of a bus that nobody tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from assay.answer import arms, model, other_runs, question, say, scan, trials, verdict
from assay.answer.model import Content, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.probe import items, working_sets
from assay.probe.items import Item
from assay.probe.working_sets import Point
from assay.record import Record, Status, Trial

OVERHEADS = 10  # an operation shorter than this many times the overhead is not about memory
HERE, CPU_BUS = "This machine", "CPU memory bus"
TITLE, REASON = "Caches, memory and memory buses", "source or reason"
ITEMS: dict[str, str] = {
    Item.BANDWIDTH: "copy from memory",
    Item.WORKING_SETS: "copies by working set",
}
NOT_VALUES = ("source", "arms", "ratios")  # in a result, but no quantity of the machine


# ---- the copies ------------------------------------------------------------------------------


def points(record: Record) -> list[Point]:
    """The scan over working sets, smallest first; empty where it was not measured."""
    trial = items.row(record, Item.WORKING_SETS)
    timed = dict(trial.result.get("arms", {})) if trial else {}
    timed.pop("twin", None)
    # The first copies one element: its time is the overhead.
    overhead, *measured = sorted(timed.values(), key=lambda arm: arm["units_per_call"]) or [None]
    return [
        Point(
            int(arm["units_per_call"]),
            *(arm["units_per_call"] / arm[f"time_{end}_s"] for end in ("median", "high", "low")),
            overhead_bound=arm["time_median_s"] < OVERHEADS * overhead["time_median_s"],
        )
        for arm in measured
    ]


# ---- words -----------------------------------------------------------------------------------

WORDS: dict[str, Callable[[Any], str]] = {  # by the ending of a key; the longer endings first
    "_bytes_per_s": items.rate,
    "_bytes": items.size,
    "_flops": lambda value: f"{say.short(value / 1e12)} TFLOP/s",
    "_bits": lambda value: f"{value} bits",
    "_mts": lambda value: f"{value:.0f} MT/s",
    "_hz": lambda value: f"{value / 1e6:.0f} MHz",
    "_c": lambda value: f"{value} °C",
    "_w": lambda value: f"{say.short(value)} W",
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
        return items.cache(value)
    if "cpus" in value:
        return f"{quantity('memory_bytes', value['memory_bytes'])[1]} at CPUs {value['cpus']}"
    return " ".join(quantity(key, each)[1] for key, each in value.items())


def described(trial: Trial) -> str:
    """The values of one row in words."""
    if trial.status != Status.OK:
        return model.lost(trial.status)
    result = trial.result
    if "arms" in result:
        return say.plural(result["rounds"], "round")
    if "bandwidth_low_bytes_per_s" in result:
        size = items.size(result["working_set_bytes"])
        return f"{scan.told(scan.of(result))} within {size}, read and written"
    named = (quantity(key, value) for key, value in result.items() if key not in NOT_VALUES)
    return "; ".join(
        text if name == trial.what["item"] else f"{name.replace('_', ' ')} {text}"
        for name, text in named
    )


def label(record: Record) -> str:
    """What the workflow calls the record's device."""
    return str(record.axes["device"])


# ---- one machine -----------------------------------------------------------------------------


def facts(records: Sequence[Record]) -> dict[str, str]:
    """What the card shows of a machine, part by part."""
    found = {}
    for cpu in items.of_cpu(records)[:1]:
        found |= {"CPU": items.cpu_name(cpu), CPU_BUS: items.cpu_bus(cpu)}
        found["caches and memory"] = items.caches_and_memory(cpu)
    for name, gpu in gpus(records).items():
        found[name] = items.gpu_name(gpu)
        if l2 := items.values(gpu, Item.GPU).get("l2_bytes"):
            found[f"{name} cache"] = f"{items.size(l2)} L2"
        found[f"{name} memory bus"] = items.gpu_bus(gpu)
        if link := items.values(gpu, Item.PCIE):
            found[f"{name} link"] = _link(link)
    if left_out := "; ".join(filter(None, map(items.left_out, items.of_cpu(records)))):
        found["GPUs left out"] = left_out
    none = items.no_gpu(records).removeprefix("No GPU: ")
    return found if gpus(records) else found | {"GPU": none}


def gpus(records: Sequence[Record], there: bool = True) -> dict[str, Record]:
    """The GPUs that were asked for, by what a reader calls them; of those, what is there."""
    asked = items.of_gpus(records)
    named = {_kind(each) + (f" {label(each)}" if asked[1:] else ""): each for each in asked}
    return {k: v for k, v in named.items() if items.values(v, Item.GPU) or not there}


def _kind(record: Record) -> str:
    return "simulated card" if items.is_simulated(record) else "GPU"


def _link(link: dict[str, Any]) -> str:
    text = f"PCIe generation {link['generation']} × {link['lanes']} lanes"
    most = [link.get("generation_max"), link.get("lanes_max")]
    if all(most) and most != [link["generation"], link["lanes"]]:
        text += f" (at most {most[0]} × {most[1]})"
    theory = link.get("bandwidth_bytes_per_s")
    return f"{text}, {items.rate(theory)} each way in theory" if theory else text


def cells(records: Sequence[Record]) -> list[Main]:
    """What the exercise asks of a machine: caches, memory and buses. No GPU is an answer, too."""
    asked = {"caches": Item.CACHES, "memory": Item.MEMORY, CPU_BUS: Item.CPU_BUS}
    cpus = [each for each in records if items.is_cpu(each)][:1]
    found = [_main(cpu, name, item) for cpu in cpus for name, item in asked.items()]
    found += [_main(gpu, name, Item.GPU_BUS) for name, gpu in gpus(records, there=False).items()]
    return found or [Main("everything", lost="not measured")]


def _main(record: Record, name: str, item: Item) -> Main:
    if not record.trials and record.status != Status.OK:
        return Main(name, lost=model.lost(record.status))
    return Main(name, lost="" if items.values(record, item) else "not exposed")


def widths(records: Sequence[Record]) -> dict[str, str]:
    """How wide each memory bus of a machine is, as far as it is known."""
    cpus = [("CPU", each, Item.CPU_BUS) for each in items.of_cpu(records)[:1]]
    others = [(name, each, Item.GPU_BUS) for name, each in gpus(records).items()]
    return {name: _width(each, item) for name, each, item in [*cpus, *others]}


def _width(record: Record, item: Item) -> str:
    if bits := items.values(record, item).get("bus_width_bits"):
        return f"has {bits} bits"
    bound = items.least_bits(record)
    row = items.row(record, item)
    wrong = row is not None and row.status == Status.REFUSED
    why = "is told wrongly, say copies" if wrong else "is not exposed"
    return why + (f" (at least {bound} bits)" if bound else "")


def sentence(records: Sequence[Record]) -> str:
    """How wide the memory buses of a machine are, and what else is not known."""
    known = widths(records)
    told = {*known, CPU_BUS} if "CPU" in known else {*known}
    more = model.lost_told([cell for cell in cells(records) if cell.name not in told])
    if not known:
        return more
    (first, width), *others = known.items()
    said = f"The memory bus of the {first} {width}"
    that = ". That" if len(others) > 1 else ", that"
    said += "".join(f"{that} of the {name} {each}" for name, each in others)
    said += "" if gpus(records, there=False) else ", and no GPU was measured"
    return f"{said}. {more}".strip()


def _tell(records: Sequence[Record]) -> Told:
    found = [f"{name} {width.partition(' ')[2]}" for name, width in widths(records).items()]
    short = f"Memory bus: {', '.join(found) or 'not measured'}"
    return Told(short, sentence(records), "", cells(records))


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    machines = arms.grouped(records, lambda each: other_runs.of(each) or HERE)
    measured = [each for each in records if each.trials]
    told = question.joined({name: _tell(own) for name, own in machines.items()})
    return Findings(
        **vars(told),
        numbers={label(each): _numbers(each) for each in measured},
        method=METHOD,
        caveats=[
            "A public answer prints pci_bus_id as the bus width: that is where the card sits on "
            "the PCI bus, not how wide its memory is.",
            "A bound on a bus's width holds if no cache held the working set.",
        ],
        switch="Machine",
        views=[_view(name, own) for name, own in machines.items()],
        table=_table(records),
        frame=trials.frame(
            records, [row for each in measured for row in _scanned(each)], add=_listed
        ),
    )


def _numbers(record: Record) -> dict[str, Any]:
    bus = items.values(record, Item.CPU_BUS) or items.values(record, Item.GPU_BUS)
    measured = items.values(record, Item.BANDWIDTH)
    gpu, peak = items.values(record, Item.GPU), items.values(record, Item.GPU_PEAK)
    memory = gpu.get("memory_bytes") or items.values(record, Item.MEMORY).get("total_bytes")
    return {
        "kind": "CPU" if items.is_cpu(record) else "GPU",
        "name": gpu.get("name") if gpu else items.short_name(record),
        "virtual_machine": items.virtual_machine(record),
        "memory_bytes": memory,
        "peak_flops": {k.removesuffix("_flops"): v for k, v in peak.items() if k != "source"},
        "bus_width_bits": bus.get("bus_width_bits"),
        "theory_bytes_per_s": working_sets.theoretical(record),
        **{key: measured.get(key) for key in verdict.ends("bandwidth", None, "_bytes_per_s")},
    }


METHOD = [
    "Each row asks its sources in a fixed order; the first that answers is named beside the value, "
    "and what none tells has a reason instead.",
    "CPU memory bus: distinct populated channels × data width of a module (not its total width, "
    "which counts the bits of error correction). Where nobody tells, it is at least as wide as the "
    "fastest single copy takes on the fastest memory there is.",
    "GPU: what torch and the driver's library tell, matched by the card's identity; link, clocks "
    "and heat are read while the card computes.",
    "Copies of float32 with torch, on all threads: bytes read and bytes written count once each, "
    "and 1 GB is 10⁹ bytes.",
]


def _view(name: str, records: Sequence[Record]) -> Shown:
    rows: list[list[Content]] = [[*each] for each in facts(records).items()]
    return question.tabled(TITLE, ["part", name], rows, name)


def _table(records: Sequence[Record]) -> Table:
    """One row per item, with who told it, or why nobody does."""
    rows: list[dict[str, Any]] = []
    for each in records:
        head = {"device": label(each)}
        if not each.trials:
            lost = model.lost(each.status)
            rows.append(head | {"item": "all", "value": lost, REASON: each.reason})
        for trial in each.trials:
            item, told = trial.what["item"], trial.reason or trial.result.get("source")
            value = described(trial) or say.DASH
            rows.append(head | {"item": ITEMS.get(item, item), "value": value, REASON: told})
    return model.tabled(rows)


def _listed(each: Record, trial: Trial) -> dict[str, str]:
    """Lists in words, so that they fit into a cell."""
    return {k: quantity(k, v)[1] for k, v in trial.result.items() if isinstance(v, list)}


def _scanned(record: Record) -> list[dict[str, Any]]:
    """One row per working set."""
    return [
        {
            "device": label(record),
            "item": Item.WORKING_SETS.value,
            "working_set_bytes": point.size,
            **verdict.ends("bandwidth", scan.interval(point), "_bytes_per_s"),
            "overhead_bound": point.overhead_bound,
        }
        for point in points(record)
    ]


main = partial(question.run, "hardware", answer)

if __name__ == "__main__":
    main()
