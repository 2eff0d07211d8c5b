"""The rows of the hardware study: what they are called, and what they say in words.

Nothing here looks at a machine; :mod:`assay.probe.system` and :mod:`assay.probe.accelerator` do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import JsonValue

from assay.record import SIMULATED, Record, Status, Trial

TRADE = re.compile(r"\((?:R|TM|C)\)|\b(?:CPU|Processor)\b|\b\d+-Core\b|@.*", re.IGNORECASE)


class Item(StrEnum):
    """What a row is about, as people read it."""

    CPU = "CPU"
    CACHES = "caches"
    MEMORY = "memory"
    MODULES = "memory modules"
    CPU_BUS = "CPU memory bus"
    NUMA = "NUMA nodes"
    LIMITS = "limits on this process"
    VIRTUALISATION = "virtualisation"
    SOFTWARE = "software"
    GPUS = "GPUs"
    GPU = "GPU"
    GPU_BUS = "GPU memory bus"
    GPU_BANDWIDTH = "GPU theoretical bandwidth"
    GPU_PEAK = "GPU theoretical peak"
    GPU_CLOCKS = "GPU clocks"
    GPU_STATE = "GPU heat, power and throttling"
    GPU_DRIVER = "GPU driver"
    PCIE = "PCIe link"
    BANDWIDTH = "measured bandwidth"
    WORKING_SETS = "bandwidth by working set"


@dataclass(frozen=True)
class Reading:
    """One row of the probe.

    Attributes:
        item: What was asked.
        values: What is known, with the unit in each key (``size_bytes``, ``bus_width_bits``).
        source: What told it.
        reason: None, or one sentence why the item is not known.
    """

    item: Item
    values: dict[str, JsonValue] = field(default_factory=dict)
    source: str | None = None
    reason: str | None = None

    def trial(self) -> Trial:
        """The row as the trial of a record."""
        return Trial(
            what={"item": self.item.value},
            status=Status.OK if self.reason is None else Status.UNAVAILABLE,
            reason=self.reason,
            result={**self.values, "source": self.source},
        )


def known(**values: JsonValue) -> dict[str, JsonValue]:
    """The values that are not None."""
    return {key: value for key, value in values.items() if value is not None}


def row(record: Record, item: Item) -> Trial | None:
    """The row about an item; None where the record has none."""
    return next((trial for trial in record.trials if trial.what.get("item") == item), None)


def values(record: Record, item: Item) -> dict[str, Any]:
    """What a record knows about an item; empty where it knows nothing."""
    trial = row(record, item)
    return dict(trial.result) if trial and trial.status == Status.OK else {}


def of_cpu(records: Sequence[Record]) -> list[Record]:
    """The records of CPUs."""
    return [record for record in records if row(record, Item.CPU)]


def of_gpus(records: Sequence[Record]) -> list[Record]:
    """The records of everything else, GPUs that are not there included."""
    return [record for record in records if not is_cpu(record)]


def is_cpu(record: Record) -> bool:
    """Whether a record is of a CPU, even if nothing was measured there."""
    return row(record, Item.CPU) is not None or str(record.axes["device"]).startswith("cpu")


def is_simulated(record: Record) -> bool:
    """Whether a record is of a card that does not exist."""
    return str(values(record, Item.GPU).get("name")).startswith(SIMULATED)


# ---- quantities in words ---------------------------------------------------------------------

BINARY = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """Bytes as people write the size of a memory: ``48 KiB``, ``23.5 GiB``."""
    power = 0
    while count >= 1024 and power < len(BINARY) - 1:
        count, power = count / 1024, power + 1
    return f"{count:.3g} {BINARY[power]}" if count < 1000 else f"{count:.0f} {BINARY[power]}"


def rate(bytes_per_s: float) -> str:
    """A bandwidth in decimal gigabytes per second."""
    giga = bytes_per_s / 1e9
    return f"{giga:.3g} GB/s" if giga < 1000 else f"{giga:.0f} GB/s"


def cache(entry: Mapping[str, Any]) -> str:
    """One kind of cache: ``2 × 48 KiB L1d``."""
    count = f"{entry['instances']} × " if (entry["instances"] or 1) > 1 else ""
    letter = {"data": "d", "instruction": "i"}.get(entry["type"], "")
    return f"{count}{size(entry['size_bytes'])} L{entry['level']}{letter}"


# ---- this machine in four lines --------------------------------------------------------------


def four_lines(records: Sequence[Record]) -> list[str]:
    """This machine in four lines: CPU; caches and memory; CPU memory bus; GPUs.

    Args:
        records: The records of the hardware study, one per device.
    """
    cpus = of_cpu(records)
    if not cpus:
        nothing = [f"{what}: not probed" for what in ("CPU", "Caches and memory", "CPU memory bus")]
        return [*nothing, _gpus(records)]
    first = cpus[0]
    return [
        f"CPU: {cpu_name(first)}",
        f"Caches and memory: {caches_and_memory(first)}",
        f"CPU memory bus: {cpu_bus(first)}",
        _gpus(records),
    ]


def short_name(record: Record) -> str:
    """A CPU's name without trade marks, and its usable cores: ``AMD EPYC 7763, 2 cores``."""
    found = values(record, Item.CPU)
    cores = found.get("usable_cores") or found.get("physical_cores") or found.get("logical_cores")
    brand = " ".join(TRADE.sub(" ", found.get("brand") or "").split())
    return f"{brand or 'unnamed processor'}, {plural(cores, 'core')}"


def cpu_name(record: Record) -> str:
    """Name and cores of a CPU, and whether they are those of a virtual machine."""
    found = values(record, Item.CPU)
    cores = found.get("physical_cores") or found.get("logical_cores")
    text = f"{found.get('brand') or 'unnamed'}, {plural(cores, 'core')}"
    if (usable := found.get("usable_cores")) and usable != cores:
        text += f" ({usable} usable here)"
    place = virtual_machine(record)
    return f"{text}, in a {place}" if place else text


def caches_and_memory(record: Record) -> str:
    """The caches of a CPU that hold data, and how much memory it has."""
    entries = values(record, Item.CACHES).get("caches", [])
    sizes = ", ".join(cache(entry) for entry in entries if entry["type"] != "instruction")
    total = values(record, Item.MEMORY).get("total_bytes")
    memory = f"{size(total)} of memory" if total else "memory unknown"
    return f"{sizes or 'caches not exposed'}; {memory}"


def _gpus(records: Sequence[Record]) -> str:
    there = [record for record in of_gpus(records) if values(record, Item.GPU)]
    if there and not any(map(is_simulated, there)):
        texts = [f"{gpu_name(record)}, memory bus {gpu_bus(record)}" for record in there]
        return f"{'GPU' if len(texts) == 1 else 'GPUs'}: {'; '.join(texts)}"
    return no_gpu(records)


def no_gpu(records: Sequence[Record]) -> str:
    """Why there is no GPU, from the record of one that is missing or from that of the CPU."""
    reasons = [record.reason for record in of_gpus(records) if record.reason]
    simulated = filter(is_simulated, of_gpus(records))
    reasons += [f"{values(each, Item.GPU)['name']} does not exist" for each in simulated]
    for record in of_cpu(records):
        trial = row(record, Item.GPUS)
        if trial and trial.reason:
            reasons.append(trial.reason)
    if not reasons:
        return "No GPU: none was asked for"
    reason = reasons[0]
    return f"No GPU: {reason.removeprefix('no GPU: ')}"


def left_out(record: Record) -> str:
    """Which GPUs ``devices: auto`` left out, and why; empty where none is known."""
    found = values(record, Item.GPUS)
    parts = [f"{each}, which the driver refuses" for each in found.get("refused", [])]
    if hidden := found.get("hidden"):
        parts.append(f"{hidden} that CUDA_VISIBLE_DEVICES hides")
    return "; ".join(parts)


def gpu_name(record: Record) -> str:
    """Name, number of multiprocessors and memory of a GPU."""
    found = values(record, Item.GPU)
    parts = [found.get("name") or "unnamed"]
    if count := found.get("multiprocessors"):
        parts.append(plural(count, "SM"))
    if memory := found.get("memory_bytes"):
        parts.append(size(memory))
    return ", ".join(parts)


def gpu_bus(record: Record) -> str:
    """The bus of a GPU: bits, memory clock and the bandwidth that follows; or why not."""
    found = values(record, Item.GPU_BUS)
    if not found:
        trial = row(record, Item.GPU_BUS)
        return f"not known ({trial.reason if trial else 'not probed'})"
    text = f"{found['bus_width_bits']} bits"
    theory = values(record, Item.GPU_BANDWIDTH)
    if theory:
        clock = theory["memory_clock_max_hz"] / 1e6
        text += f" at {clock:.0f} MHz: {rate(theory['bandwidth_bytes_per_s'])} in theory"
    return text


def cpu_bus(record: Record) -> str:
    """The bus of a CPU in bits; or that it is not exposed, why, and the bound that remains."""
    found = values(record, Item.CPU_BUS)
    if found:
        text = f"{found['bus_width_bits']} bits"
        if channels := found.get("channels"):
            text += f" ({plural(channels, 'channel')})"
        if theory := found.get("bandwidth_bytes_per_s"):
            text += f" at {found['transfer_rate_mts']} MT/s: {rate(theory)} in theory"
        return text if channels else f"{text} ({found.get('source')})"
    trial = row(record, Item.CPU_BUS)
    text = trial.reason if trial and trial.reason else "not probed"
    bound = least_bits(record)
    return f"{text}; at least {bound} bits, by its fastest copy" if bound else text


def least_bits(record: Record) -> int | None:
    """How wide a CPU's memory bus is at least, by its fastest copy; None where nothing tells.

    The bound holds even where the copies were disturbed: whatever was copied had to pass, but for
    what the largest of the reported caches may have held.
    """
    copies, scan = row(record, Item.BANDWIDTH), row(record, Item.WORKING_SETS)
    seen: Any = copies.result if copies else {}
    if scan is None or "fastest_bytes_per_s" not in seen:
        return None
    caches = values(record, Item.CACHES).get("caches", [])
    cache = max((each["size_bytes"] * (each["instances"] or 1) for each in caches), default=0)
    copied: Any = scan.what["working_set_bytes"]
    passed = seen["fastest_bytes_per_s"] * (1 - cache / copied)
    bits = math.ceil(8 * passed / (1e6 * seen["at_transfer_rate_mts"]))
    return bits if bits > 0 else None


def virtual_machine(record: Record) -> str | None:
    """``virtual machine (KVM)`` in one; None on bare metal or where it is not known."""
    found = values(record, Item.VIRTUALISATION)
    return f"virtual machine ({found['hypervisor']})" if found.get("hypervisor") else None


def plural(count: int | None, word: str) -> str:
    """``1 core``, ``2 cores``, ``an unknown number of cores``."""
    if count is None:
        return f"an unknown number of {word}s"
    return f"{count} {word}{'' if count == 1 else 's'}"
