"""The system's side of the probe: CPU, caches, memory and its bus, limits, software.

One function per row. Each asks its sources in order, the first that answers wins, and what no
source tells is a reason, never a guess. Parsers work on text and on a root folder, so that tests
feed them other machines.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
from pydantic import JsonValue

from assay import device, machine
from assay.probe import cache, dimm
from assay.probe.dimm import Module
from assay.probe.items import Item, Reading, known

ROOT = Path("/")
TIMEOUT_S = 5.0  # for a command; lshw, the slowest, takes one or two

# Instruction sets that decide how fast a matrix product is, as Linux names them.
MATMUL_FLAGS = (
    *("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "avx512_vnni"),
    *("amx_tile", "amx_bf16", "amx_fp16", "amx_int8"),
    *("asimdhp", "bf16", "i8mm", "sve", "sve2", "sme", "sme2"),
)

# Memory bus in bits by chip name and, where a chip comes in two, number of CPU cores. Apple
# publishes the bandwidth ("Tech Specs" pages); the width is that over the transfer rate of the
# memory: 68 GB/s of LPDDR4X-4266 are 128 bits.
APPLE_BUS: dict[tuple[str, int | None], int] = {
    **{(f"Apple M{n}", None): 128 for n in (1, 2, 3, 4, 5)},
    **{(f"Apple M{n} Pro", None): bits for n, bits in ((1, 256), (2, 256), (3, 192), (4, 256))},
    **{(f"Apple M{n} Max", None): 512 for n in (1, 2)},
    **{(f"Apple M{n} Max", 16): 512 for n in (3, 4)},
    **{(f"Apple M{n} Max", 14): 384 for n in (3, 4)},
    **{(f"Apple M{n} Ultra", None): 1024 for n in (1, 2, 3)},
}


def rows(stated_bus: Mapping[str, Any] | None) -> list[Reading]:
    """Every row about the system.

    Args:
        stated_bus: What the user says about the CPU's memory bus, ``{bits: …, source: …}``.
    """
    lscpu = lscpu_fields(output("lscpu", "--json"))
    sysctl = sysctl_fields(output("sysctl", "hw", "machdep.cpu", "kern.hv_vmm_present"))
    place = virtualisation(lscpu, sysctl, output("systemd-detect-virt", "--vm"), ROOT)
    found = memory_modules(ROOT, place)
    return [
        cpu(cpuinfo(), lscpu),
        caches(ROOT, sysctl),
        memory(),
        module_row(found, place),
        memory_bus(stated_bus, found, place, sysctl),
        numa(ROOT),
        limits(),
        place,
        software(),
        gpus(),
    ]


def output(*command: str) -> str:
    """What a command prints, in English; empty where it is missing, refuses or hangs."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


# ---- CPU -------------------------------------------------------------------------------------


def cpuinfo() -> dict[str, Any]:
    """Brand and flags by py-cpuinfo. Its cache sizes are wrong: they add up all instances."""
    import cpuinfo as package  # takes a second: it asks the CPU by running machine code

    found = package.get_cpu_info()
    return {"brand": found.get("brand_raw"), "flags": found.get("flags", [])}


def lscpu_fields(text: str) -> dict[str, str]:
    """The fields of ``lscpu --json``, nested or not, by name without the colon."""
    fields: dict[str, str] = {}

    def collect(entries: Iterable[dict[str, Any]]) -> None:
        for entry in entries:
            fields[entry["field"].rstrip(":")] = entry.get("data") or ""
            collect(entry.get("children", []))

    collect(json.loads(text)["lscpu"] if text else [])
    return fields


def sysctl_fields(text: str) -> dict[str, str]:
    """The fields of macOS's ``sysctl``: lines of ``name: value``."""
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)


def cpu(info: Mapping[str, Any], lscpu: Mapping[str, str]) -> Reading:
    """Brand, architecture, cores and the instruction sets that matter for a product."""
    sockets = lscpu.get("Socket(s)", "")
    flags = [flag for flag in MATMUL_FLAGS if flag in info["flags"]]
    return Reading(
        Item.CPU,
        known(
            brand=info["brand"] or machine.cpu_brand(ROOT) or None,
            architecture=platform.machine(),
            sockets=int(sockets) if sockets.isdigit() else None,
            physical_cores=psutil.cpu_count(logical=False),
            logical_cores=psutil.cpu_count(),
            usable_cores=device.usable_cores(),
            matmul_flags=[*flags],
        ),
        source="py-cpuinfo, psutil" + (", lscpu" if lscpu else ""),
    )


def caches(root: Path, sysctl: Mapping[str, str]) -> Reading:
    """Size and number of every cache."""
    kernel = cache.of_sysfs(root)
    listed = cache.of_lscpu(output("lscpu", "--bytes", "--caches", "--json"))
    if found := cache.joined(kernel, listed):  # some kernels list private caches only
        sources = ["the kernel's list of caches (sysfs)"] * bool(kernel)
        sources += ["lscpu"] * (len(found) > len(kernel))
        return Reading(Item.CACHES, {"caches": [*found]}, " and ".join(sources))
    if found := cache.of_sysctl(sysctl):
        return Reading(Item.CACHES, {"caches": [*found]}, "sysctl")
    return Reading(
        Item.CACHES, reason="neither sysfs nor lscpu nor sysctl lists caches with their sizes here"
    )


# ---- memory ----------------------------------------------------------------------------------


def memory() -> Reading:
    """How much memory there is."""
    found = psutil.virtual_memory()
    return Reading(
        Item.MEMORY,
        {"total_bytes": found.total, "available_bytes": found.available},
        source="psutil",
    )


def memory_modules(root: Path, place: Reading) -> tuple[list[Module], str]:
    """The memory modules and who told; none and an empty string where nobody tells.

    udev reads the firmware's table for everybody; dmidecode and lshw need root. A hypervisor makes
    its table up, so that one is not asked.
    """
    folder = "sys/devices/virtual/dmi/id"
    if place.values.get("hypervisor") or not (root / folder).exists():
        return [], ""
    udev = dimm.of_udev(output("udevadm", "info", "-q", "property", "-p", f"/{folder}"))
    if udev:
        return udev, "the firmware's table of modules (udev)"
    if found := dimm.of_dmidecode(output("dmidecode", "--type", "17")):
        return found, "the firmware's table of modules (dmidecode)"
    if found := dimm.of_lshw(output("lshw", "-quiet", "-class", "memory", "-json")):
        return found, "the firmware's table of modules (lshw)"
    if found := dimm.of_edac(root):
        return found, "the kernel's error detection (EDAC)"
    return [], ""


def module_row(found: tuple[list[Module], str], place: Reading) -> Reading:
    """Width, speed and place of the memory modules."""
    listed, source = found
    if not listed:
        return Reading(Item.MODULES, reason=_why_no_modules(place))
    return Reading(Item.MODULES, {"modules": [each.values() for each in listed]}, source)


def _why_no_modules(place: Reading) -> str:
    if hidden := _hidden(place):
        return hidden
    if container := place.values.get("container"):
        return f"a container ({container}) hides the firmware's table of modules: run on the host"
    return "not exposed: the firmware's table of modules cannot be read (dmidecode needs root)"


def _hidden(place: Reading) -> str | None:
    name = place.values.get("hypervisor")
    return f"not exposed by this virtual machine ({name})" if name else None


def memory_bus(
    stated: Mapping[str, Any] | None,
    found: tuple[list[Module], str],
    place: Reading,
    sysctl: Mapping[str, str],
) -> Reading:
    """Width of the CPU's memory bus: populated channels × data width of a channel.

    What the user states comes first, a module table that a hypervisor made up never counts.
    """
    if stated:
        source = f"stated in the configuration: {stated['source']}"
        return Reading(Item.CPU_BUS, {"bus_width_bits": stated["bits"]}, source)
    if hidden := _hidden(place):
        return Reading(Item.CPU_BUS, reason=hidden)
    if chip := sysctl.get("machdep.cpu.brand_string"):
        return apple_bus(chip, int(sysctl.get("hw.physicalcpu", 0)), Item.CPU_BUS)
    listed, source = found
    if not listed:
        return Reading(Item.CPU_BUS, reason=_why_no_modules(place))
    try:
        bus = dimm.bus(listed)
    except dimm.UnknownBus as unknown:
        return Reading(Item.CPU_BUS, source=source, reason=str(unknown))
    return Reading(Item.CPU_BUS, bus, f"channels × data width, from {source}")


def apple_bus(chip: str, cores: int, item: Item) -> Reading:
    """Memory bus of an Apple chip, from a table: CPU and GPU share it, and no system call tells."""
    bits = APPLE_BUS.get((chip, None)) or APPLE_BUS.get((chip, cores))
    if bits is None:
        return Reading(item, reason=f"no system call tells, and the table has no {chip}")
    return Reading(item, {"bus_width_bits": bits}, "a table by chip name, not this machine")


# ---- surroundings ----------------------------------------------------------------------------


def numa(root: Path) -> Reading:
    """The NUMA nodes that have CPUs, with their memory; others, such as a GPU's, are counted."""
    folders = (root / "sys/devices/system/node").glob("node[0-9]*")
    numbers = sorted(int(f.name[4:]) for f in folders if f.name[4:].isdigit())
    listed = [_node(root / f"sys/devices/system/node/node{number}", number) for number in numbers]
    nodes: list[JsonValue] = [each for each in listed if each.get("cpus") != ""]
    if not nodes:
        return Reading(Item.NUMA, reason="the system lists no NUMA nodes")
    others = len(listed) - len(nodes)
    values = known(count=len(nodes), nodes=nodes, without_cpus=others or None)
    return Reading(Item.NUMA, values, "sysfs")


def _node(folder: Path, number: int) -> dict[str, JsonValue]:
    """A node, as far as it is described; without CPUs its list is empty."""
    total = re.search(r"MemTotal:\s+(\d+) kB", _text(folder / "meminfo") or "")
    return {
        "number": number,
        "cpus": _text(folder / "cpulist"),
        "memory_bytes": int(total[1]) * 1024 if total else None,
    }


def _text(path: Path) -> str | None:
    """A file of the system without what some kernels leave at its end; None if it is missing."""
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return None


def limits() -> Reading:
    """What this process may use: cores by affinity and quota, memory by control group."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    total = psutil.virtual_memory().total
    bounds = [each.limit for each in machine.own_memory_limits() if each.limit < total]
    return Reading(
        Item.LIMITS,
        {
            "affinity_cores": affinity,
            "quota_cores": device.own_cpu_quota(),
            "memory_limit_bytes": min(bounds, default=None),
        },
        source="affinity and control groups (null: no limit)",
    )


HYPERVISORS = {"kvm": "KVM", "qemu": "QEMU", "microsoft": "Hyper-V", "vmware": "VMware"}
CONTAINERS = {"docker": "Docker", "kubepods": "Kubernetes", "libpod": "Podman", "lxc": "LXC"}


def virtualisation(
    lscpu: Mapping[str, str], sysctl: Mapping[str, str], detected: str, root: Path
) -> Reading:
    """Hypervisor and container, null for none.

    Args:
        lscpu: Fields of ``lscpu``.
        sysctl: Fields of macOS's ``sysctl``.
        detected: What ``systemd-detect-virt --vm`` printed; it also knows ARM machines.
        root: Root of the file system.
    """
    own_domain = lscpu.get("Virtualization type") == "none"  # Xen's first domain sees the firmware
    name = "" if own_domain else lscpu.get("Hypervisor vendor", "")
    name = name or detected.strip().removeprefix("none")
    if not name and sysctl.get("kern.hv_vmm_present") == "1":
        name = "Apple's hypervisor"
    if not name and not own_domain and "hypervisor" in lscpu.get("Flags", "").split():
        name = "unnamed hypervisor"
    return Reading(
        Item.VIRTUALISATION,
        {"hypervisor": HYPERVISORS.get(name.lower(), name) or None, "container": container(root)},
        source="lscpu, systemd-detect-virt, marks of containers",
    )


def container(root: Path) -> str | None:
    """The kind of container that this file system belongs to; None where no mark says so."""
    for mark, name in (
        (".dockerenv", "Docker"),
        ("run/.containerenv", "Podman"),
        (".singularity.d", "Apptainer"),
        ("var/run/secrets/kubernetes.io", "Kubernetes"),
    ):
        if (root / mark).exists():
            return name
    try:
        groups = (root / "proc/1/cgroup").read_text()
    except OSError:
        return None
    return next((name for word, name in CONTAINERS.items() if word in groups), None)


def software() -> Reading:
    """Python, torch and the libraries that torch computes with."""
    import torch

    return Reading(
        Item.SOFTWARE,
        {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "system": f"{platform.system()} {platform.release()}",
            **torch_libraries(torch.__config__.show()),
        },
        source="torch.__config__",
    )


def torch_libraries(text: str) -> dict[str, JsonValue]:
    """BLAS, MKL, oneDNN, OpenMP and instruction set, from ``torch.__config__.show()``."""
    patterns = {
        "blas": r"BLAS_INFO=(\w+)",
        "mkl": r"Math Kernel Library Version (\S+)",
        "onednn": r"MKL-DNN (v[\d.]+)",
        "openmp": r"OpenMP (\d+)",
        "cpu_capability": r"CPU capability usage: (\S+)",
    }
    found = {name: re.search(pattern, text) for name, pattern in patterns.items()}
    return {name: match[1] for name, match in found.items() if match}


def gpus() -> Reading:
    """How many GPUs there are, or why there is none; said in the CPU's record, too.

    Those that are left out are named: what the driver refuses, what CUDA_VISIBLE_DEVICES hides.
    """
    import torch

    if count := device.visible_gpus():
        shown, refused = device.gpus()
        left_out = known(hidden=len(shown) - count or None, refused=[*refused] or None)
        return Reading(Item.GPUS, {"count": count, **left_out}, "NVML")
    if (other := torch.accelerator.current_accelerator(check_available=True)) is not None:
        count = torch.accelerator.device_count()
        return Reading(Item.GPUS, {"count": count, "type": other.type}, "torch")
    try:
        device.reach("cuda")
    except device.Unavailable as missing:
        return Reading(Item.GPUS, reason=str(missing))
    return Reading(Item.GPUS, {"count": torch.cuda.device_count()}, "torch")
