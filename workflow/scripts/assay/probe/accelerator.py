"""The GPU's side of the probe: one function per row, one list of rows per vendor."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import psutil
import pynvml
import torch
from pydantic import JsonValue

from assay import machine
from assay.machine import ask, clock_hz
from assay.probe import system
from assay.probe.items import Item, Reading, known

# PCI Express: transfers per second and lane, and the share of them that is data (PCI-SIG; 8b/10b
# coding, then 128b/130b, then 242 of every 256 bytes).
PCIE = {
    1: (2.5e9, 8 / 10),
    2: (5e9, 8 / 10),
    3: (8e9, 128 / 130),
    4: (16e9, 128 / 130),
    5: (32e9, 128 / 130),
    6: (64e9, 242 / 256),
}
LOAD_S = 0.3  # how long a card needs to bring its link and clocks up


def rows(device: torch.device) -> list[Reading]:
    """Every row about a GPU; whatever else torch computes on has none."""
    match device.type:
        case "cuda" if torch.version.hip:
            return amd(torch.cuda.get_device_properties(device), _amdsmi())
        case "cuda":
            return nvidia(device)
        case "xpu":
            return intel(torch.xpu.get_device_properties(device))
        case "mps":
            text = system.output("sysctl", "hw.physicalcpu", "machdep.cpu.brand_string")
            return apple(system.sysctl_fields(text))
        case _:
            return []


# ---- NVIDIA ----------------------------------------------------------------------------------


def nvidia(device: torch.device) -> list[Reading]:
    """The rows of an NVIDIA GPU; what changes with load is read under load."""
    properties = torch.cuda.get_device_properties(device)
    handle = machine.nvml_handle(device)
    still = [
        gpu(properties),
        bus(properties, handle),
        bandwidth(properties, handle),
        peak(device),
        driver(),
    ]
    _load(device)
    moving = [pcie(handle, _link_folder(properties)), clocks(handle), state(device, handle)]
    torch.cuda.synchronize(device)
    return [*still, *moving]


def gpu(properties: Any) -> Reading:
    """Name, multiprocessors, memory, compute capability and L2 cache."""
    return Reading(
        Item.GPU,
        known(
            name=properties.name,
            compute_capability=f"{properties.major}.{properties.minor}",
            multiprocessors=properties.multi_processor_count,
            memory_bytes=properties.total_memory,
            l2_bytes=getattr(properties, "L2_cache_size", None),
        ),
        source="torch",
    )


def bus_bits(properties: Any, handle: Any | None) -> tuple[int, str] | None:
    """Width of an NVIDIA GPU's memory bus in bits, and who told it.

    Not ``pci_bus_id``, which is where the card sits on the PCI bus.
    """
    if bits := getattr(properties, "memory_bus_width", None):
        return int(bits), "torch (memory_bus_width)"
    bits = None if handle is None else ask(pynvml.nvmlDeviceGetMemoryBusWidth, handle)
    return (int(bits), "NVML") if bits else None


def bus(properties: Any, handle: Any | None) -> Reading:
    """Width of the GPU's memory bus."""
    told = bus_bits(properties, handle)
    if told is None:
        return Reading(Item.GPU_BUS, reason="neither torch nor NVML tells the memory bus width")
    return Reading(Item.GPU_BUS, {"bus_width_bits": told[0]}, told[1])


def bandwidth(properties: Any, handle: Any | None) -> Reading:
    """Theoretical bandwidth: 2 transfers a cycle × highest memory clock × width."""
    told = bus_bits(properties, handle)
    clock = clock_hz(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_MEM)
    if told is None or not clock:
        missing = "memory bus width" if told is None else "memory clock"
        return Reading(Item.GPU_BANDWIDTH, reason=f"the {missing} is not known")
    return Reading(
        Item.GPU_BANDWIDTH,
        {"memory_clock_max_hz": clock, "bandwidth_bytes_per_s": 2 * clock * told[0] / 8},
        source=f"2 × memory clock (NVML) × width ({told[1]}) / 8",
    )


def peak(device: torch.device) -> Reading:
    """Theoretical dense peak by number format."""
    flops = {
        f"{dtype}_flops": machine.peak_flops(device, dtype)
        for dtype in ("float64", "float32", "tf32", "float16", "bfloat16")
    }
    if not any(flops.values()):
        return Reading(
            Item.GPU_PEAK, reason="the table has no such GPU, or NVML hides its highest clock"
        )
    most = pynvml.nvmlDeviceGetMaxClockInfo
    clock = clock_hz(most, machine.nvml_handle(device), pynvml.NVML_CLOCK_SM) or 0.0
    source = (
        f"table of operations per cycle and SM × SMs × {clock / 1e6:.0f} MHz, the highest clock "
        "(NVML); data sheets may assume a lower one"
    )
    return Reading(Item.GPU_PEAK, known(**flops), source)


def driver() -> Reading:
    """Versions of the driver, of the CUDA it brings, and of the CUDA that torch was built for."""
    version = ask(pynvml.nvmlSystemGetDriverVersion)
    cuda = ask(pynvml.nvmlSystemGetCudaDriverVersion)
    return Reading(
        Item.GPU_DRIVER,
        known(
            driver=version,
            driver_cuda=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            torch_cuda=torch.version.cuda,
            cudnn=torch.backends.cudnn.version(),
        ),
        source="NVML, torch",
    )


def _load(device: torch.device) -> None:
    """Bring the card to work, and leave it some work that lasts while NVML is asked."""
    operand = torch.randn(2048, 2048, device=device)
    product = torch.empty_like(operand)
    deadline = time.perf_counter() + LOAD_S
    while time.perf_counter() < deadline:
        torch.mm(operand, operand, out=product)
        torch.cuda.synchronize(device)
    for _ in range(100):
        torch.mm(operand, operand, out=product)


def pcie(handle: Any | None, link: Path | None) -> Reading:
    """Generation and lanes of the link now and at most, by NVML or by Linux.

    Args:
        handle: NVML's handle, None where it is missing.
        link: Folder of the card in ``/sys/bus/pci/devices``.
    """
    found, source = _pcie_of_nvml(handle), "NVML, under load"
    if not found and link is not None:
        found, source = pcie_of_sysfs(link), "sysfs, under load"
    if not found:
        return Reading(Item.PCIE, reason="neither NVML nor sysfs tells the PCIe link")
    rate, share = PCIE.get(found["generation"], (None, None))
    theory = rate * share * found["lanes"] / 8 if rate and share else None
    return Reading(Item.PCIE, known(**found, bandwidth_bytes_per_s=theory), source)


def _pcie_of_nvml(handle: Any | None) -> dict[str, int]:
    if handle is None:
        return {}
    calls = {
        "generation": pynvml.nvmlDeviceGetCurrPcieLinkGeneration,
        "lanes": pynvml.nvmlDeviceGetCurrPcieLinkWidth,
        "generation_max": pynvml.nvmlDeviceGetMaxPcieLinkGeneration,
        "lanes_max": pynvml.nvmlDeviceGetMaxPcieLinkWidth,
    }
    answers = {name: ask(call, handle) for name, call in calls.items()}
    found = {name: answer for name, answer in answers.items() if answer}
    return found if "generation" in found and "lanes" in found else {}


def pcie_of_sysfs(folder: Path) -> dict[str, int]:
    """The link of a card from ``current_link_speed`` (``16.0 GT/s PCIe``) and its like."""
    generations = {rate / 1e9: generation for generation, (rate, _) in PCIE.items()}
    found = {}
    try:
        for prefix, suffix in (("current", ""), ("max", "_max")):
            speed = float((folder / f"{prefix}_link_speed").read_text().split()[0])
            found[f"generation{suffix}"] = generations[speed]
            found[f"lanes{suffix}"] = int((folder / f"{prefix}_link_width").read_text())
    except (OSError, ValueError, IndexError, KeyError):  # "Unknown" in many virtual machines
        return {}
    return found


def _link_folder(properties: Any) -> Path | None:
    address = machine.pci_address(properties)
    return Path("/sys/bus/pci/devices") / address if address else None


def clocks(handle: Any | None) -> Reading:
    """Clocks under load and at most."""
    now, most = pynvml.nvmlDeviceGetClockInfo, pynvml.nvmlDeviceGetMaxClockInfo
    found = known(
        sm_clock_hz=clock_hz(now, handle, pynvml.NVML_CLOCK_SM),
        sm_clock_max_hz=clock_hz(most, handle, pynvml.NVML_CLOCK_SM),
        memory_clock_hz=clock_hz(now, handle, pynvml.NVML_CLOCK_MEM),
        memory_clock_max_hz=clock_hz(most, handle, pynvml.NVML_CLOCK_MEM),
    )
    if not found:
        return Reading(Item.GPU_CLOCKS, reason="NVML hides the clocks")
    return Reading(Item.GPU_CLOCKS, found, "NVML, under load")


def state(device: torch.device, handle: Any | None) -> Reading:
    """Temperature, power and its limit, and what holds the clocks down, under load."""
    found = machine.gpu_conditions(device)
    if found is None:
        return Reading(Item.GPU_STATE, reason="NVML does not answer")
    kept = ("temperature_c", "power_w", "clocks_event_reasons", "other_compute_processes")
    milliwatts = ask(pynvml.nvmlDeviceGetEnforcedPowerLimit, handle)
    values: dict[str, JsonValue] = {name: found[name] for name in kept}
    limit = None if milliwatts is None else milliwatts / 1e3
    return Reading(Item.GPU_STATE, known(**values, power_limit_w=limit), "NVML, under load")


# ---- other vendors ---------------------------------------------------------------------------


def _amdsmi() -> Any | None:
    """AMD's management library, started; None where it or its driver is missing."""
    try:
        library = importlib.import_module("amdsmi")
        library.amdsmi_init()
    except Exception:  # a missing library raises KeyError, OSError or its own errors
        return None
    return library


def amd(properties: Any, library: Any | None) -> list[Reading]:
    """The rows of an AMD GPU.

    Args:
        properties: Torch's properties of the GPU.
        library: The module ``amdsmi``, started.
    """
    return [gpu(properties), amd_bus(machine.pci_address(properties), library)]


def amd_bus(address: str | None, library: Any | None) -> Reading:
    """Memory bus width of the AMD GPU at a PCI address."""
    if library is None:
        return Reading(Item.GPU_BUS, reason="amdsmi, which knows the bus width, is not installed")
    try:
        for handle in library.amdsmi_get_processor_handles():
            if library.amdsmi_get_gpu_device_bdf(handle) == address:
                bits = library.amdsmi_get_gpu_vram_info(handle).get("vram_bit_width")
                if isinstance(bits, int):
                    return Reading(Item.GPU_BUS, {"bus_width_bits": bits}, "amdsmi")
    except library.AmdSmiException as error:
        return Reading(Item.GPU_BUS, reason=f"amdsmi does not tell the bus width: {error}")
    return Reading(Item.GPU_BUS, reason="amdsmi does not tell the bus width of this GPU")


def intel(properties: Any) -> list[Reading]:
    """The rows of an Intel GPU. Its driver tells the width of one channel, not of the bus."""
    found = known(
        name=properties.name,
        multiprocessors=getattr(properties, "gpu_subslice_count", None),
        memory_bytes=properties.total_memory,
        l2_bytes=getattr(properties, "last_level_cache_size", None),
    )
    bits = getattr(properties, "memory_bus_width", None)
    told = f"one channel of {bits} bits, not how many there are" if bits else "nothing about it"
    return [
        Reading(Item.GPU, found, "torch"),
        Reading(Item.GPU_BUS, reason=f"Intel's driver tells torch {told}"),
    ]


def apple(sysctl: dict[str, str]) -> list[Reading]:
    """The rows of an Apple GPU, which shares the memory and its bus with the CPU."""
    chip = sysctl.get("machdep.cpu.brand_string", "an unnamed chip")
    return [
        Reading(
            Item.GPU,
            {"name": f"GPU of {chip}", "memory_bytes": psutil.virtual_memory().total},
            "sysctl",
        ),
        system.apple_bus(chip, int(sysctl.get("hw.physicalcpu", 0)), Item.GPU_BUS),
    ]
