"""What is in this machine? Caches, memory and the memory buses, each with who told it, or why not.

The copies belong to another question; here they bound the width of a bus that nobody tells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from assay.answer import arms, model, other_runs, question, say, scan, trials
from assay.answer.model import Main, Table
from assay.answer.question import Findings, Told
from assay.probe import items
from assay.probe.items import Item
from assay.record import Record, Status, Trial

HERE, CPU_BUS = "This machine", "CPU memory bus"
TITLE, REASON = "Caches, memory and memory buses", "source or reason"


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
    if "bandwidth_low_bytes_per_s" in result:
        size = items.size(result["working_set_bytes"])
        return f"{scan.told(scan.of(result))} within {size}, read and written"
    named = (quantity(key, value) for key, value in result.items() if key != "source")
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
    found, there = {}, gpus(records)
    for cpu in items.of_cpu(records)[:1]:
        found |= {"CPU": items.cpu_name(cpu), CPU_BUS: items.cpu_bus(cpu)}
        found["caches and memory"] = items.caches_and_memory(cpu)
    for name, gpu in there.items():
        l2, link = items.values(gpu, Item.GPU).get("l2_bytes"), items.values(gpu, Item.PCIE)
        found |= {name: items.gpu_name(gpu), f"{name} cache": f"{items.size(l2)} L2" if l2 else ""}
        found |= {f"{name} memory bus": items.gpu_bus(gpu), f"{name} link": _link(link)}
    left_out = filter(None, map(items.left_out, items.of_cpu(records)))
    found["GPUs left out"] = "; ".join(left_out)
    if not there:
        found["GPU"] = items.no_gpu(records).removeprefix("No GPU: ")
    return {name: text for name, text in found.items() if text}


def gpus(records: Sequence[Record], there: bool = True) -> dict[str, Record]:
    """The GPUs that were asked for, by what a reader calls them; of those, what is there."""
    asked = items.of_gpus(records)
    named = {}
    for each in asked:
        kind = "simulated card" if items.is_simulated(each) else "GPU"
        named[kind + (f" {label(each)}" if asked[1:] else "")] = each
    return {k: v for k, v in named.items() if items.values(v, Item.GPU) or not there}


def _link(link: dict[str, Any]) -> str:
    if not link:
        return ""
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


def _width(record: Record, item: Item) -> tuple[str, str]:
    """What is told of a bus's width, and how wide it is at least."""
    if bits := items.values(record, item).get("bus_width_bits"):
        return f"has {bits} bits", ""
    bound = items.least_bits(record)
    row = items.row(record, item)
    wrong = row is not None and row.status == Status.REFUSED
    why = "is told wrongly, say copies" if wrong else "is not exposed"
    return why, f"at least {bound} bits" if bound else ""


def _tell(records: Sequence[Record]) -> Told:
    """How wide the memory buses of a machine are, and what else is not known."""
    cpus = [("CPU", each, Item.CPU_BUS) for each in items.of_cpu(records)[:1]]
    others = [(name, each, Item.GPU_BUS) for name, each in gpus(records).items()]
    known = {name: _width(each, item) for name, each, item in [*cpus, *others]}
    short = ", ".join(f"{name} {width.partition(' ')[2]}" for name, (width, _) in known.items())
    least = [f"{name} {b}" if len(known) > 1 else b for name, (_, b) in known.items() if b]
    asked = cells(records)
    told = {*known, *([CPU_BUS] if cpus else [])}
    lost = model.lost_told([cell for cell in asked if cell.name not in told])
    said = [f"of the {name} {w}" + (f" ({b})" if b else "") for name, (w, b) in known.items()]
    that = ". That " if len(said) > 2 else ", that "
    none = "" if gpus(records, there=False) else ", and no GPU was measured"
    sentence = f"The memory bus {that.join(said)}{none}. {lost}".strip() if known else lost
    short = "; ".join([short or "not measured", *least])
    return Told(f"Memory bus: {short}", sentence, "", asked)


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    machines = arms.grouped(records, lambda each: other_runs.of(each) or HERE)
    measured = [each for each in records if each.trials]
    told = question.joined({str(own[0].axes["device"]): _tell(own) for own in machines.values()})
    return Findings(
        **vars(told),
        numbers={label(each): _numbers(each) for each in measured},
        method=METHOD,
        caveats=[
            "A public answer prints pci_bus_id as the bus width: that is where the card sits on "
            "the PCI bus, not how wide its memory is.",
            "A bound on a bus's width holds if no cache held more than is reported.",
        ],
        switch="Machine",
        views=[
            question.tabled(TITLE, ["part", name], [*map(list, facts(own).items())], name)
            for name, own in machines.items()
        ],
        table=_table(records),
        frame=trials.frame(records, add=_listed),
    )


def _numbers(record: Record) -> dict[str, Any]:
    bus = items.values(record, Item.CPU_BUS) or items.values(record, Item.GPU_BUS)
    gpu, peak = items.values(record, Item.GPU), items.values(record, Item.GPU_PEAK)
    memory = gpu.get("memory_bytes") or items.values(record, Item.MEMORY).get("total_bytes")
    return {
        "kind": "CPU" if items.is_cpu(record) else "GPU",
        "name": gpu.get("name") if gpu else items.short_name(record),
        "virtual_machine": items.virtual_machine(record),
        "memory_bytes": memory,
        "peak_flops": {k.removesuffix("_flops"): v for k, v in peak.items() if k != "source"},
        "bus_width_bits": bus.get("bus_width_bits"),
        "bus_width_at_least_bits": items.least_bits(record),
    }


METHOD = [
    "Each row asks its sources in a fixed order; the first that answers is named beside the value.",
    "CPU memory bus: distinct populated channels × data width of a module (not its total width, "
    "which counts the bits of error correction). Where nobody tells, it is at least as wide as the "
    "fastest single copy, less what a cache can hold, takes on the fastest memory there is.",
    "GPU: what torch and the driver's library tell, matched by the card's identity; link, clocks "
    "and heat are read while the card computes.",
]


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
            name = "copy from memory" if item == Item.BANDWIDTH else item
            row = head | {"item": name, "value": described(trial) or say.DASH, REASON: told}
            rows += [row] if item != Item.WORKING_SETS else []  # the largest is BANDWIDTH
    return model.tabled(rows)


def _listed(each: Record, trial: Trial) -> dict[str, str]:
    """Lists in words, so that they fit into a cell."""
    return {k: quantity(k, v)[1] for k, v in trial.result.items() if isinstance(v, list)}


main = partial(question.run, "hardware", answer)

if __name__ == "__main__":
    main()
