"""What a measurement must know of its machine: clocks, throttling, free memory, peak, identity.

Every measuring script imports this module, so it is kept short and quick to import; the long list
of what is in the machine is made by :mod:`assay.probe.system` and :mod:`assay.probe.accelerator`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pynvml
import torch
from pydantic import JsonValue

from assay.device import control_groups

T = TypeVar("T")

PROJECT = "torch-assay"  # salts the machine id
UNIVERSAL_MAC = 0b11 << 40  # bits that are clear in an address given out by a manufacturer

# NVML's clocks-event reasons (nvml.h), in words. Only those of SLOWDOWN spoil a measurement: a
# power cap is how a GPU normally runs large products.
SLOWDOWN = {
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "software thermal slowdown",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "hardware thermal slowdown",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "hardware power brake",
}
REASONS = {
    pynvml.nvmlClocksThrottleReasonGpuIdle: "idle",
    pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting: "application clocks setting",
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksThrottleReasonSyncBoost: "sync boost",
    pynvml.nvmlClocksThrottleReasonDisplayClockSetting: "display clock setting",
    **SLOWDOWN,
}


def _per_cycle(fp64: int, fp32: int, tf32: int, fp16: int) -> dict[str, int]:
    return {"float64": fp64, "float32": fp32, "tf32": tf32, "float16": fp16, "bfloat16": fp16}


# Dense floating-point operations per clock cycle and SM, by compute capability; a fused
# multiply-add counts as two. From NVIDIA's architecture whitepapers (Tesla V100, Turing, A100,
# GA102, Ada, H100, Blackwell and RTX Blackwell), where peak = this × SMs × boost clock. Where
# product lines of one capability differ (a GeForce accumulates at half rate) it is the upper value,
# because the peak is used to refuse what is impossible.
_ADA = _per_cycle(4, 256, 512, 1024)
_BLACKWELL = _per_cycle(4, 256, 4096, 8192)
FLOP_PER_CYCLE = {
    (7, 0): {"float64": 64, "float32": 128, "float16": 1024},  # V100
    (7, 5): {"float64": 4, "float32": 128, "float16": 1024},  # T4, RTX 20
    (8, 0): _per_cycle(128, 128, 1024, 2048),  # A100
    (8, 6): _ADA,  # A40, RTX 30: the same rates as Ada
    (8, 7): _per_cycle(4, 256, 1024, 2048),  # Jetson Orin: tensor cores as those of the A100
    (8, 9): _ADA,  # L40, RTX 40
    (9, 0): _per_cycle(256, 256, 2048, 4096),  # H100, H200
    (10, 0): {**_BLACKWELL, "float64": 128},  # B200
    (10, 3): _BLACKWELL,  # B300
    (11, 0): _BLACKWELL,  # Jetson Thor
    (12, 0): _ADA,  # RTX 50, RTX PRO Blackwell
    (12, 1): _ADA,  # GB10
}


# Per cent of the time in which a process had work on the SMs. What draws a desktop takes 1 to 4;
# under 5, few blocks of timings meet it, which no median over rounds feels.
NOTICED_SM = 5


def sm_clock_hz(device: torch.device) -> float | None:
    """Clock of a GPU's SMs now, in Hz; None on a CPU or where NVML hides it."""
    return clock_hz(pynvml.nvmlDeviceGetClockInfo, nvml_handle(device), pynvml.NVML_CLOCK_SM)


def power_w(device: torch.device) -> float | None:
    """What a GPU draws now, in watts; None on a CPU or where NVML hides it."""
    handle = nvml_handle(device)
    milliwatts = None if handle is None else ask(pynvml.nvmlDeviceGetPowerUsage, handle)
    return None if milliwatts is None else milliwatts / 1e3


def throttled(device: torch.device) -> str | None:
    """Why the GPU is slowed down now, by heat or by its hardware; None when it is not.

    A power cap is no such reason: it is reported by :func:`gpu_conditions`.
    """
    bits = _event_bits(nvml_handle(device))
    return ", ".join(_words(bits, SLOWDOWN)) or None if bits else None


def power_capped(device: torch.device) -> bool:
    """Whether a GPU's clock is held down now by its power, as is normal in large products."""
    bits = _event_bits(nvml_handle(device)) or 0
    return bool(bits & pynvml.nvmlClocksThrottleReasonSwPowerCap)


def others_on_gpu(device: torch.device) -> str | None:
    """Who else used the GPU in the last second, for more than a desktop takes; None for nobody.

    One busy process with a number that is not ours may still be ours: a container sees other
    numbers than the driver. So only a second one is taken for somebody else's.
    """
    handle = nvml_handle(device)
    if handle is None:
        return None
    since_us = int((time.time() - 1) * 1e6)
    samples = ask(pynvml.nvmlDeviceGetProcessUtilization, handle, since_us) or []
    used: dict[int, int] = {}
    for sample in samples:
        used[sample.pid] = max(used.get(sample.pid, 0), sample.smUtil)
    others = [pid for pid in sorted(used, key=lambda pid: used[pid]) if used[pid] >= NOTICED_SM]
    ours = os.getpid() if os.getpid() in used else next(reversed(others), None)
    busiest = next((pid for pid in reversed(others) if pid != ours), None)
    return None if busiest is None else _who_on_gpu(busiest, handle)


def _who_on_gpu(pid: int, handle: Any) -> str:
    drawing = ask(pynvml.nvmlDeviceGetGraphicsRunningProcesses, handle) or []
    computing = ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle) or []
    graphics = {each.pid for each in drawing} - {each.pid for each in computing}
    try:
        # Linux cuts a name after 15 bytes, within a letter too, and no record could hold the rest.
        name = f" ({psutil.Process(pid).name().encode(errors='replace').decode()})"
    except psutil.Error:  # it ended, or lives outside this container
        name = ""
    return f"{'graphics' if pid in graphics else 'another process'} on the GPU{name}"


def gpu_conditions(device: torch.device) -> dict[str, JsonValue] | None:
    """Clocks, heat, power, throttling, company and link of an NVIDIA GPU now.

    Returns:
        None for what is no NVIDIA GPU or where NVML does not answer; else a dictionary in which
        what NVML hides is None.
    """
    handle = nvml_handle(device)
    if handle is None:
        return None
    bits = _event_bits(handle)
    processes = ask(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    return {
        "gpu_id": gpu_id(device),
        "name": _part(device) or ask(pynvml.nvmlDeviceGetName, handle),
        "sm_clock_hz": sm_clock_hz(device),
        "memory_clock_hz": clock_hz(pynvml.nvmlDeviceGetClockInfo, handle, pynvml.NVML_CLOCK_MEM),
        "temperature_c": ask(pynvml.nvmlDeviceGetTemperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        "power_w": power_w(device),
        "clocks_event_reasons": None if bits is None else [*_words(bits, REASONS)],
        # One of them is ours. An empty list means that a container hides them.
        "other_compute_processes": len(processes) - 1 if processes else None,
        "pcie_generation": ask(pynvml.nvmlDeviceGetCurrPcieLinkGeneration, handle),
        "pcie_lanes": ask(pynvml.nvmlDeviceGetCurrPcieLinkWidth, handle),
    }


def is_exclusive(device: torch.device) -> bool:
    """Whether a GPU computes for one process at a time; False where nobody tells."""
    handle = nvml_handle(device)
    mode = None if handle is None else ask(pynvml.nvmlDeviceGetComputeMode, handle)
    return bool(mode == pynvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS)


def gpu_id(device: torch.device) -> str | None:
    """A hash that tells GPUs, the sizes of their parts, and their drivers apart, salted.

    None for what is no NVIDIA GPU or where NVML hides it.
    """
    handle = nvml_handle(device)
    if handle is None:
        return None
    told = ask(pynvml.nvmlDeviceGetUUID, handle), ask(pynvml.nvmlSystemGetDriverVersion)
    return _hashed(*map(str, told), *filter(None, [_part(device)])) if all(told) else None


def is_part(device: torch.device) -> bool:
    """Whether it is a part of a GPU (MIG); False where nobody tells."""
    handle = nvml_handle(device)
    mode = None if handle is None else ask(pynvml.nvmlDeviceGetMigMode, handle)
    return bool(mode and mode[0])  # now; the other is from the next start on


def _part(device: torch.device) -> str | None:
    """Torch's name of a part of a GPU, which says its size; None of a whole one."""
    return str(torch.cuda.get_device_properties(device).name) if is_part(device) else None


def peak_flops(device: torch.device, dtype: str) -> float | None:
    """Theoretical peak of an NVIDIA GPU in FLOP/s, dense, at its highest SM clock.

    Args:
        device: The device; a CPU has no answer, its nominal clock is passed in practice.
        dtype: ``float64``, ``float32``, ``tf32``, ``float16`` or ``bfloat16``.
    """
    handle = nvml_handle(device)
    clock = clock_hz(pynvml.nvmlDeviceGetMaxClockInfo, handle, pynvml.NVML_CLOCK_SM)
    if clock is None:
        return None
    properties = torch.cuda.get_device_properties(device)
    capability = (properties.major, properties.minor)
    return peak_of(capability, properties.multi_processor_count, clock, dtype)


def peak_of(capability: tuple[int, int], sms: int, clock: float, dtype: str) -> float | None:
    """Peak in FLOP/s of that many SMs at a clock in Hz; None where the table has no entry."""
    per_cycle = FLOP_PER_CYCLE.get(capability, {}).get(dtype)
    return None if per_cycle is None else per_cycle * sms * clock


# ---- NVML ------------------------------------------------------------------------------------


def ask(call: Callable[..., T], *arguments: Any) -> T | None:
    """What NVML answers, or None where it does not."""
    try:
        return call(*arguments)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):  # the latter of an old driver
        return None


def clock_hz(call: Callable[..., int], handle: Any | None, domain: int) -> float | None:
    """A clock in Hz, from the NVML call that gives it in MHz; None without a handle."""
    megahertz = None if handle is None else ask(call, handle, domain)
    return None if megahertz is None else megahertz * 1e6


def nvml_handle(device: torch.device) -> Any | None:
    """NVML's handle of a torch device; None for what is no NVIDIA GPU or where NVML is missing.

    The two number the GPUs differently (CUDA_VISIBLE_DEVICES, CUDA_DEVICE_ORDER), so they are
    matched by UUID or, where torch has none, by PCI address. A part of a GPU (MIG) gets the
    handle of the whole, which alone knows clocks and heat.
    """
    if device.type != "cuda" or not _nvml_started() or not torch.cuda.is_available():
        return None
    index = device.index or 0
    return _handle(index) if index < torch.cuda.device_count() else None


@cache
def _nvml_started() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    return True


@cache  # a trial asks in every round
def _handle(index: int) -> Any | None:
    return match_handle(torch.cuda.get_device_properties(index))


def match_handle(properties: Any) -> Any | None:
    """NVML's handle of the GPU that has these torch properties."""
    name = getattr(properties, "uuid", None)
    if handle := ask(pynvml.nvmlDeviceGetHandleByUUID, f"GPU-{name}"):
        return handle
    if part := ask(pynvml.nvmlDeviceGetHandleByUUID, f"MIG-{name}"):
        return ask(pynvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle, part)
    address = pci_address(properties)
    return ask(pynvml.nvmlDeviceGetHandleByPciBusId, address) if address else None


def pci_address(properties: Any) -> str | None:
    """The address of a GPU in ``/sys/bus/pci/devices``; None where torch does not tell."""
    try:
        domain, bus, slot = (
            getattr(properties, f"pci_{part}_id") for part in ("domain", "bus", "device")
        )
    except AttributeError:
        return None
    return f"{domain:04x}:{bus:02x}:{slot:02x}.0"


def _event_bits(handle: Any | None) -> int | None:
    if handle is None:
        return None
    bits = ask(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
    if bits is None:  # the name before driver 535
        bits = ask(pynvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
    return bits


def _words(bits: int, table: dict[int, str]) -> list[str]:
    return [words for bit, words in table.items() if bits & bit]


# ---- memory ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class MemoryLimit:
    """What one control group allows and uses, in bytes."""

    limit: int
    used: int  # without file cache that the kernel would give up first


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be allocated; None for a device that does not tell."""
    if device.type == "cuda":
        # What torch was given back it keeps: the driver calls it used, and the next one gets it.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if device.type not in ("cpu", "mps"):  # mps works in the machine's own memory
        return None
    limits = own_memory_limits()
    return max(
        0, min([psutil.virtual_memory().available, *(each.limit - each.used for each in limits)])
    )


def lack_of_memory(size: float, device: torch.device) -> str | None:
    """Why operands of so many bytes do not fit into free memory; None if they do, or none tells."""
    free = free_memory(device)
    if free is None or size <= free:
        return None
    return f"the operands take {size / 1e9:.3g} GB, {free / 1e9:.3g} GB of {device} are free"


def own_memory_limits() -> list[MemoryLimit]:
    """The memory limits on this process; empty outside Linux."""
    return memory_limits(control_groups("memory"))


def memory_limits(groups: Iterable[Path]) -> list[MemoryLimit]:
    """The limits of control groups, version 2 or 1."""
    names = (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    )
    found = [_limit(group, *each) for group in groups for each in names]
    return [limit for limit in found if limit]


def _limit(group: Path, limit: str, used: str, cached: str) -> MemoryLimit | None:
    try:
        allowed = int((group / limit).read_text())
        taken = int((group / used).read_text())
        statistics = (group / "memory.stat").read_text()
    except (OSError, ValueError):  # no such group, or "max"
        return None
    match = re.search(rf"^{cached} (\d+)$", statistics, re.MULTILINE)
    return MemoryLimit(allowed, taken - int(match[1]) if match else taken)


# ---- identity --------------------------------------------------------------------------------


def machine_id() -> str:
    """A hash that tells machines apart: of the system's own id and the CPU's brand, salted."""
    return _hashed(_system_id(Path("/")), cpu_brand(Path("/")))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join((PROJECT, *parts)).encode()).hexdigest()[:16]


def _system_id(root: Path) -> str:
    """Something that differs between machines, best first. Only its hash is ever kept."""
    for name in ("etc/machine-id", "var/lib/dbus/machine-id"):
        if re.fullmatch(r"[0-9a-f]{32}", found := text(root / name)):
            return found
    address = uuid.getnode()
    if not address & UNIVERSAL_MAC:
        return str(address)
    # Containers on two machines often have the same made-up address; the boot differs.
    return text(root / "proc/sys/kernel/random/boot_id") or str(address)


def cpu_brand(root: Path) -> str:
    """The CPU's name as Linux gives it, else as Python does; may be empty. Quick."""
    match = re.search(r"^model name\s*:\s*(.+)$", text(root / "proc/cpuinfo"), re.MULTILINE)
    return match[1] if match else platform.processor()


def text(path: Path) -> str:
    """What stands in a small file of the system; empty where it cannot be read.

    Some kernels end it with zeros.
    """
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""
