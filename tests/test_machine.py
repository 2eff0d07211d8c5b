"""The probe: parsers on other machines' texts and trees, fakes only where the hardware is not."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest
import torch
from assay import device, machine
from assay.probe import accelerator, cache, dimm, items, system
from assay.probe.dimm import Module, UnknownBus
from assay.probe.items import Item, Reading
from hypothesis import given
from hypothesis import strategies as st

CPU = torch.device("cpu")
BARE = Reading(Item.VIRTUALISATION, {"hypervisor": None, "container": None})
KVM = Reading(Item.VIRTUALISATION, {"hypervisor": "KVM", "container": None})


def plant(root: Path, files: dict[str, str]) -> Path:
    """A tree of small files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


# ---- memory modules and the bus ------------------------------------------------------------------

UDEV = """\
DEVPATH=/devices/virtual/dmi/id
MEMORY_ARRAY_NUM_DEVICES=4
MEMORY_DEVICE_0_TOTAL_WIDTH={total}
MEMORY_DEVICE_0_DATA_WIDTH=64
MEMORY_DEVICE_0_SIZE=17179869184
MEMORY_DEVICE_0_LOCATOR=DIMM 0
MEMORY_DEVICE_0_BANK_LOCATOR=P0 CHANNEL A
MEMORY_DEVICE_0_TYPE=DDR4
MEMORY_DEVICE_0_SERIAL_NUMBER=SECRET01
MEMORY_DEVICE_0_SPEED_MTS=3600
MEMORY_DEVICE_0_CONFIGURED_SPEED_MTS=3200
MEMORY_DEVICE_1_PRESENT=0
MEMORY_DEVICE_1_LOCATOR=DIMM 1
MEMORY_DEVICE_1_BANK_LOCATOR=P0 CHANNEL A
MEMORY_DEVICE_2_TOTAL_WIDTH={total}
MEMORY_DEVICE_2_DATA_WIDTH=64
MEMORY_DEVICE_2_SIZE=17179869184
MEMORY_DEVICE_2_LOCATOR=DIMM 0
MEMORY_DEVICE_2_BANK_LOCATOR=P0 CHANNEL B
MEMORY_DEVICE_2_TYPE=DDR4
MEMORY_DEVICE_2_CONFIGURED_SPEED_MTS=3200
"""


@pytest.mark.parametrize("total", [64, 72])
def test_two_channels_of_64_bits_are_128_whatever_error_correction_adds(total: int) -> None:
    modules = dimm.of_udev(UDEV.format(total=total))
    assert len(modules) == 2
    assert dimm.bus(modules) == {
        "bus_width_bits": 128,
        "channels": 2,
        "transfer_rate_mts": 3200,
        "bandwidth_bytes_per_s": 51.2e9,
    }


def test_serial_numbers_are_not_kept() -> None:
    [first, _] = dimm.of_udev(UDEV.format(total=64))
    assert "SECRET01" not in json.dumps(first.values())


def test_two_modules_in_a_channel_share_its_wires() -> None:
    text = UDEV.format(total=64).replace("CHANNEL B", "CHANNEL A")
    text = text.replace("MEMORY_DEVICE_2_LOCATOR=DIMM 0", "MEMORY_DEVICE_2_LOCATOR=DIMM 1")
    assert dimm.bus(dimm.of_udev(text))["bus_width_bits"] == 64


def test_dmidecode() -> None:
    text = """\
# dmidecode 3.5
Handle 0x0022, DMI type 17, 92 bytes
Memory Device
\tTotal Width: 80 bits
\tData Width: 64 bits
\tSize: 16 GB
\tLocator: P1-DIMMA1
\tBank Locator: P0_Node0_Channel0_Dimm0
\tType: DDR5
\tSpeed: 5600 MT/s
\tSerial Number: SECRET02
\tConfigured Memory Speed: 4800 MT/s

Handle 0x0023, DMI type 17, 92 bytes
Memory Device
\tTotal Width: Unknown
\tData Width: Unknown
\tSize: No Module Installed
\tLocator: P1-DIMMB1
\tBank Locator: P0_Node0_Channel1_Dimm0
"""
    [module] = dimm.of_dmidecode(text)
    slots = (("P1-DIMMA1", "P0_Node0_Channel0_Dimm0"), ("P1-DIMMB1", "P0_Node0_Channel1_Dimm0"))
    assert module == Module(*slots[0], "DDR5", 2**34, 64, 4800, slots)


def test_lshw() -> None:
    bank = {"id": "bank:0", "slot": "DIMM_A2", "size": 2**33, "width": 64, "clock": 3200000000}
    empty = {"id": "bank:1", "slot": "DIMM_B1"}
    text = json.dumps([{"id": "memory", "size": 2**33, "children": [bank, empty]}])
    slots = (("DIMM_A2", ""), ("DIMM_B1", ""))
    assert dimm.of_lshw(text) == [Module("DIMM_A2", "", None, 2**33, 64, 3200, slots)]
    assert dimm.of_lshw("") == dimm.of_lshw("not JSON") == []


def test_edac_knows_channels_and_the_standard_their_width(tmp_path: Path) -> None:
    for i, place in enumerate(("channel 0 slot 0", "channel 1 slot 0", "channel 1 slot 1")):
        folder = f"sys/devices/system/edac/mc/mc0/dimm{i}/"
        size = "8192" if i < 2 else "0"
        tree = {"dimm_location": place, "dimm_mem_type": "Registered-DDR4", "size": size}
        plant(tmp_path, {folder + name: text for name, text in tree.items()})
    assert dimm.bus(dimm.of_edac(tmp_path)) == {"bus_width_bits": 128, "channels": 2}


@pytest.mark.parametrize(
    ("bank", "locator", "expected"),
    [
        ("P0 CHANNEL A", "DIMM 0", ("P0", "A")),
        ("BANK 2", "ChannelB-DIMM0", ("B",)),
        ("BANK 0", "Controller1-ChannelA-DIMM0", ("CONTROLLER1", "A")),
        ("P0_Node1_Channel3_Dimm0", "CPU1", ("CPU1", "NODE1", "P0", "3")),
        ("", "DIMM_B2", ("B",)),
        ("", "CPU0_DIMM_A1", ("CPU0", "A")),
        ("Not Specified", "A1", None),  # Dell: the letter is the processor
        ("Not Specified", "PROC 1 DIMM 3", None),
        ("BANK 0", "DIMM0", None),
    ],
)
def test_channel_is_read_only_where_it_is_named(
    bank: str, locator: str, expected: tuple[str, ...] | None
) -> None:
    assert dimm.channel(Module(locator, bank)) == expected


def test_nothing_is_guessed() -> None:
    with pytest.raises(UnknownBus, match="does not name its channel"):
        dimm.bus([Module("DIMM0", data_bits=64)])
    with pytest.raises(UnknownBus, match="no data width"):
        dimm.bus([Module("DIMM_A1")])


@given(st.lists(st.sampled_from("ABCDEFGH"), min_size=1, max_size=16))
def test_bus_is_the_sum_over_distinct_channels(letters: list[str]) -> None:
    # Two in each channel at most; the slots have numbers of their own.
    modules = [
        Module(f"DIMM_{letter}{i}", data_bits=64)
        for letter in letters
        for i in range(letters.count(letter) % 2 + 1)
    ]
    modules = [*dict.fromkeys(modules)]
    assert dimm.bus(modules)["bus_width_bits"] == 64 * len(set(letters))


def test_bus_of_the_cpu() -> None:
    found = dimm.of_udev(UDEV.format(total=72)), "udev"
    bare = system.memory_bus(None, found, BARE, {})
    assert (bare.values["bus_width_bits"], bare.reason) == (128, None)
    hidden = system.memory_bus(None, found, KVM, {})
    assert hidden.reason == "not exposed by this virtual machine (KVM)"
    assert not hidden.values
    stated = system.memory_bus({"bits": 256, "source": "the board's manual"}, found, KVM, {})
    assert stated.values == {"bus_width_bits": 256}
    assert stated.source == "stated in the configuration: the board's manual"
    unnamed = system.memory_bus(None, ([Module("A1", data_bits=64)], "udev"), BARE, {})
    assert unnamed.reason == "not exposed: the module at 'A1' does not name its channel"
    assert "dmidecode needs root" in (system.memory_bus(None, ([], ""), BARE, {}).reason or "")


def test_a_hypervisors_table_of_modules_is_not_asked(tmp_path: Path) -> None:
    plant(tmp_path, {"sys/devices/virtual/dmi/id/sys_vendor": "QEMU"})
    assert system.memory_modules(tmp_path, KVM) == ([], "")


def test_apple_chips_come_from_a_table_that_says_so() -> None:
    fields = {"machdep.cpu.brand_string": "Apple M3 Max", "hw.physicalcpu": "14"}
    reading = system.memory_bus(None, ([], ""), BARE, fields)
    assert reading.values == {"bus_width_bits": 384}
    assert "table" in (reading.source or "")
    unknown = system.apple_bus("Apple M99", 8, Item.CPU_BUS)
    assert unknown.reason == "no system call tells, and the table has no Apple M99"


# ---- caches --------------------------------------------------------------------------------------


def test_caches_of_sysfs_count_a_shared_cache_once(tmp_path: Path) -> None:
    for core in range(4):
        pair = f"{core // 2 * 2}-{core // 2 * 2 + 1}"
        entries = [
            ("1", "Data", "48K", str(core)),
            ("2", "Unified", "2M", pair),
            ("3", "Unified", "32768K", "0-3"),
        ]
        for index, entry in enumerate(entries):
            names = ("level", "type", "size", "shared_cpu_list")
            folder = f"sys/devices/system/cpu/cpu{core}/cache/index{index}/"
            plant(tmp_path, dict(zip([folder + name for name in names], entry, strict=True)))
    found = cache.of_sysfs(tmp_path)
    assert [items.cache(each) for each in found] == [
        "4 × 48 KiB L1d",
        "2 × 2 MiB L2",
        "32 MiB L3",
    ]
    assert [each["shared_by_cpus"] for each in found] == [1, 2, 4]


def test_caches_of_lscpu() -> None:
    entry = {
        "name": "L2",
        "one-size": "1048576",
        "all-size": "2097152",
        "type": "Unified",
        "level": 2,
    }
    [found] = cache.of_lscpu(json.dumps({"caches": [entry]}))
    assert items.cache(found) == "2 × 1 MiB L2"
    assert cache.of_lscpu("") == []


def test_caches_of_macos() -> None:
    text = """\
hw.perflevel0.physicalcpu: 4
hw.perflevel0.l1icachesize: 196608
hw.perflevel0.l1dcachesize: 131072
hw.perflevel0.l2cachesize: 16777216
hw.perflevel0.cpusperl2: 4
hw.perflevel1.physicalcpu: 4
hw.perflevel1.l1dcachesize: 65536
"""
    found = cache.of_sysctl(system.sysctl_fields(text))
    names = [items.cache(each) for each in found]
    assert names == ["4 × 128 KiB L1d", "4 × 192 KiB L1i", "16 MiB L2", "4 × 64 KiB L1d"]


def test_cache_sizes_never_come_from_cpuinfo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = {"brand_raw": "X", "flags": ["avx2"], "l2_cache_size": 1, "l3_cache_size": 2}
    monkeypatch.setattr("cpuinfo.get_cpu_info", lambda: told)
    assert system.cpuinfo() == {"brand": "X", "flags": ["avx2"]}
    monkeypatch.setattr(system, "output", lambda *command: "")
    assert system.caches(tmp_path, {}).reason


def test_this_machine_and_its_tools_agree_on_caches() -> None:
    listed = cache.of_lscpu(system.output("lscpu", "--bytes", "--caches", "--json"))
    found = cache.of_sysfs(Path("/"))
    if not (listed and found):
        pytest.skip("needs lscpu and the kernel's list of caches")
    names = sorted(items.cache(each) for each in found)
    assert names == sorted(items.cache(each) for each in listed)


# ---- CPU and surroundings ------------------------------------------------------------------------


def test_lscpu_nested_and_flat() -> None:
    child = {"field": "Socket(s):", "data": "2"}
    nested = {"lscpu": [{"field": "Vendor ID:", "data": "X", "children": [child]}]}
    assert system.lscpu_fields(json.dumps(nested)) == {"Vendor ID": "X", "Socket(s)": "2"}
    assert system.lscpu_fields("") == {}
    info = {"brand": "X 1", "flags": ["amx_tile", "sse2", "avx2"]}
    values = system.cpu(info, system.lscpu_fields(json.dumps(nested))).values
    assert values["matmul_flags"] == ["avx2", "amx_tile"]
    assert (values["brand"], values["sockets"]) == ("X 1", 2)


@pytest.mark.parametrize(
    ("lscpu", "sysctl", "detected", "expected"),
    [
        ({"Hypervisor vendor": "KVM"}, {}, "amazon\n", "KVM"),
        ({}, {}, "microsoft\n", "Hyper-V"),
        ({}, {}, "none\n", None),
        ({}, {}, "", None),
        ({"Flags": "fpu hypervisor sse"}, {}, "", "unnamed hypervisor"),
        ({}, {"kern.hv_vmm_present": "1"}, "", "Apple's hypervisor"),
    ],
)
def test_hypervisor(
    lscpu: dict[str, str],
    sysctl: dict[str, str],
    detected: str,
    expected: str | None,
    tmp_path: Path,
) -> None:
    reading = system.virtualisation(lscpu, sysctl, detected, tmp_path)
    assert reading.values == {"hypervisor": expected, "container": None}


@pytest.mark.parametrize(
    ("mark", "text", "expected"),
    [
        (".dockerenv", "", "Docker"),
        ("run/.containerenv", "", "Podman"),
        ("proc/1/cgroup", "0::/kubepods.slice/pod1", "Kubernetes"),
        ("proc/1/cgroup", "0::/init.scope", None),
    ],
)
def test_container(mark: str, text: str, expected: str | None, tmp_path: Path) -> None:
    assert system.container(plant(tmp_path, {mark: text})) == expected


def test_numa(tmp_path: Path) -> None:
    assert system.numa(tmp_path).reason
    for node, cpus in enumerate(("0-7", "8-15")):
        folder = f"sys/devices/system/node/node{node}/"
        meminfo = f"Node {node} MemTotal:  1024 kB\nNode {node} MemFree: 1 kB"
        plant(tmp_path, {folder + "cpulist": cpus, folder + "meminfo": meminfo})
    nodes = system.numa(tmp_path).values["nodes"]
    cpus = ("0-7", "8-15")
    assert nodes == [{"number": i, "cpus": c, "memory_bytes": 2**20} for i, c in enumerate(cpus)]


def test_torch_libraries() -> None:
    text = """\
  - Intel(R) oneAPI Math Kernel Library Version 2024.2-Product Build 2024
  - Intel(R) MKL-DNN v3.13.3 (Git Hash b38f)
  - OpenMP 201511 (a.k.a. OpenMP 4.5)
  - CPU capability usage: AVX512
  - Build settings: BLAS_INFO=mkl, BUILD_TYPE=Release
"""
    assert system.torch_libraries(text) == {
        "blas": "mkl",
        "mkl": "2024.2-Product",
        "onednn": "v3.13.3",
        "openmp": "201511",
        "cpu_capability": "AVX512",
    }
    assert system.torch_libraries("") == {}


def test_commands_that_are_missing_or_refuse_say_nothing() -> None:
    assert system.output("no-such-command-here") == ""
    assert system.output("false") == ""


# ---- limits and free memory ----------------------------------------------------------------------


def test_memory_limit_of_version_2_counts_the_groups_above(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "slurm/job/memory.max": "8000",
            "slurm/job/memory.current": "3000",
            "slurm/job/memory.stat": "anon 1\ninactive_file 1000\nactive_file 5",
            "slurm/job/task/memory.max": "max",
            "slurm/memory.max": "5000",
            "slurm/memory.current": "4500",
            "slurm/memory.stat": "inactive_file 0",
        },
    )
    groups = device.control_groups("memory", "0::/slurm/job/task\n", tmp_path)
    limits = machine.memory_limits(groups)
    assert [(each.limit, each.used) for each in limits] == [(8000, 2000), (5000, 4500)]


def test_memory_limit_of_version_1(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": "9000",
            "memory/memory.usage_in_bytes": "5000",
            "memory/memory.stat": "cache 1\ntotal_inactive_file 2000",
        },
    )
    # The path is the host's, which a container does not see.
    membership = "5:cpu,cpuacct:/\n4:memory:/docker/0123\n0::/\n"
    [limit] = machine.memory_limits(device.control_groups("memory", membership, tmp_path))
    assert (limit.limit, limit.used) == (9000, 3000)


def test_no_memory_limit(tmp_path: Path) -> None:
    assert machine.memory_limits(device.control_groups("memory", "0::/\n", tmp_path)) == []


def test_free_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    free = machine.free_memory(CPU)
    assert free is not None
    assert 0 < free <= psutil.virtual_memory().total
    monkeypatch.setattr(machine, "own_memory_limits", lambda: [machine.MemoryLimit(1000, 400)])
    assert machine.free_memory(CPU) == 600
    monkeypatch.setattr(machine, "own_memory_limits", lambda: [machine.MemoryLimit(1000, 1400)])
    assert machine.free_memory(CPU) == 0


def test_memory_of_a_gpu_that_torch_keeps_for_the_next_trial_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = {"mem_get_info": (1000, 8000), "memory_reserved": 6000, "memory_allocated": 2000}
    for name, answer in told.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, answer=answer: answer)
    assert machine.free_memory(torch.device("cuda:0")) == 5000


# ---- identity ------------------------------------------------------------------------------------


def test_machine_id_is_stable_and_holds_no_name() -> None:
    name = machine.machine_id()
    assert name == machine.machine_id()
    assert re.fullmatch(r"[0-9a-f]{16}", name)
    assert socket.gethostname().lower() not in name
    assert platform.node().lower() not in name


def test_machine_id_differs_between_machines(tmp_path: Path) -> None:
    a = plant(tmp_path / "a", {"etc/machine-id": "0" * 32})
    b = plant(tmp_path / "b", {"etc/machine-id": "1" * 32})
    assert machine._hashed(machine._system_id(a), "X") != machine._hashed(
        machine._system_id(b), "X"
    )
    assert machine._hashed(machine._system_id(a), "X") != machine._hashed(
        machine._system_id(a), "Y"
    )


@pytest.mark.parametrize("text", ["", "uninitialized"])
def test_machine_id_without_a_system_id(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant(tmp_path, {"etc/machine-id": text, "proc/sys/kernel/random/boot_id": "boot"})
    monkeypatch.setattr("uuid.getnode", lambda: 0x001122334455)  # given out by a manufacturer
    assert machine._system_id(root) == str(0x001122334455)
    monkeypatch.setattr("uuid.getnode", lambda: 0x0242AC110002)  # every first Docker container
    assert machine._system_id(root) == "boot"


def test_cpu_brand(tmp_path: Path) -> None:
    text = "processor\t: 0\nmodel name\t: AMD EPYC 9655\nstepping\t: 1"
    assert machine.cpu_brand(plant(tmp_path, {"proc/cpuinfo": text})) == "AMD EPYC 9655"


# ---- GPU: the table of peaks ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capability", "sms", "boost_mhz", "dtype", "teraflops"),
    [  # peaks as NVIDIA's data sheets give them, at the boost clock that they use
        ((7, 0), 80, 1530, "float16", 125),
        ((7, 0), 80, 1530, "float64", 7.8),
        ((7, 5), 40, 1590, "float16", 65),
        ((8, 0), 108, 1410, "bfloat16", 312),
        ((8, 0), 108, 1410, "tf32", 156),
        ((8, 0), 108, 1410, "float32", 19.5),
        ((8, 0), 108, 1410, "float64", 19.5),
        ((8, 6), 84, 1800, "float16", 154.8),
        ((8, 9), 142, 2490, "bfloat16", 362),
        ((8, 9), 128, 2520, "float32", 82.6),
        ((9, 0), 132, 1830, "bfloat16", 989.4),
        ((9, 0), 132, 1830, "tf32", 494.7),
        ((9, 0), 132, 1980, "float32", 66.9),
        ((9, 0), 132, 1980, "float64", 66.9),
        ((8, 7), 16, 1300, "float16", 42.5),
        ((10, 0), 148, 1856, "bfloat16", 2250),
        ((10, 3), 160, 1920, "bfloat16", 2500),
        ((11, 0), 20, 1575, "float16", 258),
        ((12, 1), 48, 2525, "float32", 31),
        ((12, 0), 170, 2407, "float16", 419),
    ],
)
def test_peaks_are_those_of_the_data_sheets(
    capability: tuple[int, int], sms: int, boost_mhz: int, dtype: str, teraflops: float
) -> None:
    peak = machine.peak_of(capability, sms, boost_mhz * 1e6, dtype)
    assert peak is not None
    assert peak / 1e12 == pytest.approx(teraflops, rel=0.01)


def test_unknown_peaks_are_none() -> None:
    assert machine.peak_of((99, 0), 1, 1e9, "float32") is None
    assert machine.peak_of((7, 0), 80, 1e9, "bfloat16") is None  # has no such unit
    assert machine.peak_flops(CPU, "float32") is None


# ---- GPU: NVML -----------------------------------------------------------------------------------


def test_a_cpu_has_no_gpu_conditions() -> None:
    assert machine.sm_clock_hz(CPU) is None
    assert machine.throttled(CPU) is None
    assert machine.gpu_conditions(CPU) is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_missing_gpu_has_no_conditions_either() -> None:
    missing = torch.device("cuda:7")
    assert machine.sm_clock_hz(missing) is None
    assert machine.throttled(missing) is None
    assert machine.gpu_conditions(missing) is None
    assert machine.peak_flops(missing, "float32") is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_a_real_gpu() -> None:
    device = torch.device("cuda")
    conditions = machine.gpu_conditions(device)
    assert conditions is not None
    assert machine.sm_clock_hz(device)
    readings = {reading.item: reading for reading in accelerator.rows(device)}
    assert readings[Item.GPU_BUS].values["bus_width_bits"]
    assert readings[Item.PCIE].reason is None


PROPERTIES = SimpleNamespace(
    name="NVIDIA H100 80GB HBM3",
    major=9,
    minor=0,
    multi_processor_count=132,
    total_memory=85017755648,
    L2_cache_size=52428800,
    memory_bus_width=5120,
    uuid="1234",
    pci_domain_id=0,
    pci_bus_id=25,
    pci_device_id=0,
)


class FakeNvml:
    """The calls of NVML for one H100; those that are not set fail as the library does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reasons = 0
        for name in dir(pynvml):
            if name.startswith(("nvmlDeviceGet", "nvmlSystemGet")):
                monkeypatch.setattr(pynvml, name, getattr(self, name, self.refuse))

    @staticmethod
    def refuse(*arguments: Any) -> Any:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlDeviceGetHandleByUUID(self, name: str) -> str:
        return "handle" if name == "GPU-1234" else self.refuse()

    def nvmlDeviceGetHandleByPciBusId(self, address: str) -> str:
        return "by address" if address == "0000:19:00.0" else self.refuse()

    def nvmlDeviceGetClockInfo(self, handle: str, domain: int) -> int:
        return {pynvml.NVML_CLOCK_SM: 1755, pynvml.NVML_CLOCK_MEM: 2619}[domain]

    def nvmlDeviceGetMaxClockInfo(self, handle: str, domain: int) -> int:
        return {pynvml.NVML_CLOCK_SM: 1980, pynvml.NVML_CLOCK_MEM: 2619}[domain]

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return self.reasons

    def nvmlDeviceGetMemoryBusWidth(self, handle: str) -> int:
        return 5120

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:
        return 41

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 123456

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[str]:
        return ["ours", "another"]

    def nvmlDeviceGetCurrPcieLinkGeneration(self, handle: str) -> int:
        return 5

    def nvmlDeviceGetCurrPcieLinkWidth(self, handle: str) -> int:
        return 16


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    """An H100 as NVML shows it, and as torch would."""
    monkeypatch.setattr(machine, "nvml_handle", lambda device: None if device == CPU else "handle")
    return FakeNvml(monkeypatch)


GPU = torch.device("cuda:0")


def test_conditions(nvml: FakeNvml) -> None:
    nvml.reasons = pynvml.nvmlClocksEventReasonSwPowerCap
    assert machine.gpu_conditions(GPU) == {
        "gpu_id": None,
        "name": None,
        "sm_clock_hz": 1755e6,
        "memory_clock_hz": 2619e6,
        "temperature_c": 41,
        "power_w": 123.456,
        "clocks_event_reasons": ["power cap"],
        "other_compute_processes": 1,
        "pcie_generation": 5,
        "pcie_lanes": 16,
    }


def test_a_gpu_and_its_driver_have_an_id_that_tells_no_name(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for uuid, driver in (("GPU-1", "580"), ("GPU-2", "580"), ("GPU-1", "590"), ("GPU-1", "580")):
        monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda handle, uuid=uuid: uuid)
        monkeypatch.setattr(pynvml, "nvmlSystemGetDriverVersion", lambda driver=driver: driver)
        ids.append(str((machine.gpu_conditions(GPU) or {})["gpu_id"]))
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]
    assert not any("GPU" in each for each in ids)


def test_conditions_never_raise(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in dir(pynvml):
        if name.startswith("nvmlDeviceGet"):
            monkeypatch.setattr(pynvml, name, nvml.refuse)
    conditions = machine.gpu_conditions(GPU)
    assert conditions is not None
    assert set(conditions.values()) == {None}
    assert machine.sm_clock_hz(GPU) is None
    assert machine.throttled(GPU) is None


def test_what_an_old_driver_lacks_is_no_answer() -> None:
    def missing() -> int:
        raise pynvml.NVMLLibraryMismatchError("Unversioned function called …")

    assert machine.ask(missing) is None


def test_heat_throttles_but_a_power_cap_does_not(nvml: FakeNvml) -> None:
    assert machine.throttled(GPU) is None
    nvml.reasons = pynvml.nvmlClocksEventReasonSwPowerCap | pynvml.nvmlClocksEventReasonGpuIdle
    assert machine.throttled(GPU) is None
    nvml.reasons |= pynvml.nvmlClocksEventReasonHwThermalSlowdown
    assert machine.throttled(GPU) == "hardware thermal slowdown"
    assert machine.throttled(CPU) is None


def test_old_drivers_know_the_reasons_by_their_old_name(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksEventReasons", nvml.refuse)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCurrentClocksThrottleReasons", lambda handle: 0x20)
    assert machine.throttled(GPU) == "software thermal slowdown"


def test_handles_match_by_identity_then_by_address(nvml: FakeNvml) -> None:
    assert machine.match_handle(PROPERTIES) == "handle"
    nameless = SimpleNamespace(**{**vars(PROPERTIES), "uuid": None})
    assert machine.match_handle(nameless) == "by address"
    assert machine.match_handle(SimpleNamespace()) is None


def test_peak_of_a_gpu(nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: PROPERTIES)
    peak = machine.peak_flops(GPU, "bfloat16")
    assert peak == pytest.approx(4096 * 132 * 1.98e9)
    told = accelerator.peak(GPU)
    assert "bfloat16_flops" in told.values
    assert "1980 MHz" in str(told.source)


def test_bus_of_a_gpu_is_not_its_place_on_the_pci_bus(nvml: FakeNvml) -> None:
    assert accelerator.bus(PROPERTIES, "handle").values == {"bus_width_bits": 5120}
    older = SimpleNamespace(
        **{k: v for k, v in vars(PROPERTIES).items() if k != "memory_bus_width"}
    )
    assert accelerator.bus(older, "handle").source == "NVML"
    assert accelerator.bus(older, None).reason
    reading = accelerator.bandwidth(PROPERTIES, "handle")
    assert reading.values["bandwidth_bytes_per_s"] == pytest.approx(3352e9, rel=1e-3)
    assert accelerator.bandwidth(PROPERTIES, None).reason == "the memory clock is not known"


def test_rows_of_a_gpu(nvml: FakeNvml) -> None:
    assert accelerator.gpu(PROPERTIES).values["compute_capability"] == "9.0"
    assert accelerator.clocks("handle").values["sm_clock_max_hz"] == 1980e6
    assert accelerator.clocks(None).reason == "NVML hides the clocks"
    assert accelerator.state(GPU, "handle").values["power_w"] == 123.456
    assert accelerator.state(CPU, None).reason == "NVML does not answer"
    link = accelerator.pcie("handle", None)
    assert link.values["bandwidth_bytes_per_s"] == pytest.approx(63e9, rel=0.01)


def test_pcie_of_sysfs(tmp_path: Path) -> None:
    tree = {"current_link_speed": "2.5 GT/s PCIe", "current_link_width": "8"}
    tree |= {"max_link_speed": "16.0 GT/s PCIe", "max_link_width": "16"}
    found = accelerator.pcie_of_sysfs(plant(tmp_path, tree))
    assert found == {"generation": 1, "lanes": 8, "generation_max": 4, "lanes_max": 16}
    assert accelerator.pcie(None, tmp_path).source == "sysfs, under load"
    plant(tmp_path, {"current_link_speed": "Unknown"})
    assert accelerator.pcie_of_sysfs(tmp_path) == {}
    assert accelerator.pcie(None, None).reason == "neither NVML nor sysfs tells the PCIe link"


# ---- GPU: other vendors --------------------------------------------------------------------------


class AmdError(Exception):
    """What the fake of amdsmi raises."""


def amdsmi(width: Any) -> SimpleNamespace:
    """AMD's library with one GPU."""
    return SimpleNamespace(
        AmdSmiException=AmdError,
        amdsmi_get_processor_handles=lambda: ["first"],
        amdsmi_get_gpu_device_bdf=lambda handle: "0000:19:00.0",
        amdsmi_get_gpu_vram_info=lambda handle: {"vram_bit_width": width},
    )


def test_amd() -> None:
    card, bus = accelerator.amd(PROPERTIES, amdsmi(8192))
    assert card.item == Item.GPU
    assert bus.values == {"bus_width_bits": 8192}
    assert accelerator.amd_bus("0000:19:00.0", amdsmi("N/A")).reason
    assert accelerator.amd_bus("0000:99:00.0", amdsmi(8192)).reason
    assert accelerator.amd_bus("0000:19:00.0", None).reason

    def fail(handle: str) -> Any:
        raise AmdError("no permission")

    library = amdsmi(8192)
    library.amdsmi_get_gpu_vram_info = fail
    assert "no permission" in (accelerator.amd_bus("0000:19:00.0", library).reason or "")


def test_intel_tells_the_width_of_a_channel_only() -> None:
    properties = SimpleNamespace(name="Intel Max 1550", total_memory=2**36, memory_bus_width=64)
    card, bus = accelerator.intel(properties)
    assert card.values == {"name": "Intel Max 1550", "memory_bytes": 2**36}
    assert bus.reason == "Intel's driver tells torch one channel of 64 bits, not how many there are"


def test_apple() -> None:
    card, bus = accelerator.apple({"machdep.cpu.brand_string": "Apple M2 Pro"})
    assert card.values["name"] == "GPU of Apple M2 Pro"
    assert (bus.item, bus.values) == (Item.GPU_BUS, {"bus_width_bits": 256})


def test_what_computes_nowhere_known_has_no_rows() -> None:
    assert accelerator.rows(torch.device("meta")) == []


@pytest.mark.parametrize(
    ("used", "seen"),
    [
        ({}, None),
        ({"own": 50}, None),
        ({99: 50}, None),  # ours, as the driver numbers it outside a container
        ({"own": 90, 99: 50}, "another process on the GPU (name 99)"),
        ({98: 60, 99: 50}, "another process on the GPU (name 99)"),
        ({98: 60, 95: 50}, "another process on the GPU (обучени?)"),
        ({"own": 90, 99: 4}, None),  # as much as a desktop takes
        ({"own": 90, 97: 5}, "graphics on the GPU (name 97)"),
        ({"own": 90, 97: 20, 99: 10}, "graphics on the GPU (name 97)"),
        ({"own": 0, 404: 50}, "another process on the GPU"),  # outside this container
    ],
)
def test_somebody_else_on_the_gpu(
    monkeypatch: pytest.MonkeyPatch, used: dict[Any, int], seen: str | None
) -> None:
    def process(pid: int) -> Any:
        if pid == 404:
            raise machine.psutil.NoSuchProcess(pid)
        cut = os.fsdecode("обучение".encode()[:15])
        return SimpleNamespace(name=lambda: cut if pid == 95 else f"name {pid}")

    samples = [
        SimpleNamespace(pid=os.getpid() if pid == "own" else pid, smUtil=now)
        for pid, share in used.items()
        for now in (min(share, 1), share)  # a second has several samples
    ]
    fakes = {
        "nvmlDeviceGetProcessUtilization": samples,
        "nvmlDeviceGetGraphicsRunningProcesses": [SimpleNamespace(pid=97)],
        "nvmlDeviceGetComputeRunningProcesses": [SimpleNamespace(pid=99)],
    }
    for name, answer in fakes.items():
        monkeypatch.setattr(pynvml, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(machine, "nvml_handle", lambda device: "handle")
    monkeypatch.setattr(machine.psutil, "Process", process)
    assert machine.others_on_gpu(torch.device("cuda:0")) == seen


def test_nobody_else_is_seen_on_a_cpu() -> None:
    assert machine.others_on_gpu(torch.device("cpu")) is None
