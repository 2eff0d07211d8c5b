"""The probe on real machines, reduced: what firmware and kernels really say, and what is right.

Every case names where the machine's dump is public: ``linuxhw/DMI`` (firmware tables), the test
suites of hwloc, util-linux, systemd and glpi-agent, and reports to other projects. Where a table
contradicts itself, refusing is right, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import measure_hardware
import pynvml
import pytest
from assay import contention, device
from assay.probe import cache, dimm, system
from assay.probe.dimm import Module, UnknownBus
from assay.probe.items import Item, Reading
from assay.record import Status, Trial
from hypothesis import given
from hypothesis import strategies as st

REFUSED = "refused"
GIB = 2**30


def plant(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def slot(
    locator: str, bank: str, kind: str, total: int, data: int, size: str = "8 GB",
    speed: str = "Unknown", configured: str | None = None,
) -> str:  # fmt: skip
    """An entry of ``dmidecode --type 17``."""
    lines = [
        "Handle 0x0001, DMI type 17, 40 bytes",
        "Memory Device",
        f"\tTotal Width: {total} bits",
        f"\tData Width: {data} bits",
        f"\tSize: {size}",
        f"\tLocator: {locator}",
        f"\tBank Locator: {bank}",
        f"\tType: {kind}",
        f"\tSpeed: {speed}",
    ]
    return "\n".join([*lines, *([f"\tConfigured Memory Speed: {configured}"] * bool(configured))])


def modules(slots: Sequence[str]) -> list[Module]:
    return dimm.of_dmidecode("\n".join(slots) + "\n")


def bus(found: Sequence[Module], key: str = "bus_width_bits") -> Any:
    try:
        return dimm.bus(found).get(key)
    except UnknownBus:
        return REFUSED


# ---- the width -----------------------------------------------------------------------------------

WIDTHS = {
    "error correction counted among the data (linuxhw: X99 TITANIUM D4)": (
        [
            slot(f"DIMM_{c}1", f"NODE {n}", "DDR4", 72, 72)
            for c, n in (("A", 1), ("B", 1), ("C", 2), ("D", 2))
        ],
        (256, REFUSED),
    ),
    "a chip's width for the module's (linuxhw: IdeaPad 330-15IGM)": (
        [slot("ChannelA-DIMM0", "BANK 0", "DDR4", 8, 8)],
        (64, REFUSED),
    ),
    "eight channels of LPDDR4 with 64 bits each (linuxhw: HUAWEI HKF-WXX)": (
        [
            slot(f"Controller{m}-Channel{c}", f"BANK {i}", "LPDDR4", 64, 64)
            for m in (0, 1)
            for i, c in enumerate("ABCD")
        ],
        (128, REFUSED),
    ),
    "LPDDR4 of 8 bits (linuxhw: Spin SP111-33)": (
        [
            slot(f"Channel{c}-DIMM{i}", f"BANK {2 * b + i}", "LPDDR4", 8, 8)
            for b, c in enumerate("AB")
            for i in (0, 1)
        ],
        (64, 128, REFUSED),
    ),
    "the letter is the processor (glpi-agent: dell-r620)": (
        [
            slot(f"DIMM_{c}{i} ", "Not Specified", "DDR3", 72, 64)
            for c in "AB"
            for i in range(1, 9)
        ],
        (512, REFUSED),
    ),
    "the letter is a group of channels (linuxhw: Loongson 3C6000)": (
        [slot(f"DIMM_A{i}", "Bank", "DDR4", 64, 64) for i in (0, 2, 4, 6)],
        (256, REFUSED),
    ),
    "the socket tells channels apart (linuxhw: TaiShan 2280 V2)": (
        [
            slot(f"DIMM{s}{c}0", f"SOCKET {s} CHANNEL {c} DIMM 0", "DDR4", 72, 64)
            for s in (0, 1)
            for c in range(8)
        ],
        (1024,),
    ),
    "one slot named twice (linuxhw: System76 Adder; Dasharo issue 1206)": (
        [slot("Channel-0-DIMM-0", "BANK 0", "DDR5", 64, 64)] * 2,
        (128, REFUSED),
    ),
    "four modules under two names (linuxhw: MS-7D25)": (
        [slot(f"Channel-0-DIMM-{i}", "BANK 0", "DDR4", 64, 64) for _ in (0, 1) for i in (0, 1)],
        (128, REFUSED),
    ),
    "a flash chip in the table (linuxhw: X9DRW)": (
        [
            *(
                slot(f"P{p + 1}-DIMM{'ABCDEFGH'[4 * p + c]}1", f"P{p}_Node{p}_Channel{c}_Dimm0",
                     "DDR3", 72, 64)
                for p in (0, 1)
                for c in range(4)
            ),
            slot(" ", " ", "Flash", 8, 8, "16384 kB"),
        ],
        (512,),
    ),
    "ChannelA0 (linuxhw: Elite Dragonfly)": (
        [
            slot(f"Bottom-OnBoard {i}", f"Channel{c}0", "LPDDR3", 64, 64)
            for i, c in ((1, "A"), (2, "B"))
        ],
        (128,),
    ),
    "CHAN A DIMM 0 (glpi-agent: S3000AHLX)": (
        [
            slot(name, f"CHAN {c} DIMM {i}", "DDR2", 72, 64)
            for name, c, i in (("J8J1", "A", 1), ("J8J2", "A", 2), ("J9J1", "B", 1))
        ],
        (128,),
    ),
    "DIMM CHA1 (linuxhw: CELSIUS W570)": (
        [
            slot(f"DIMM CH{c}{i}", f"BANK {b}", "DDR4", 72, 64)
            for c, i, b in (("A", 1, 1), ("B", 2, 3))
        ],
        (128,),
    ),
    "three modules in two channels (systemd: m720s)": (
        [
            slot(f"Channel{c}-DIMM{i}", f"BANK {b}", "DDR4", 64, 64)
            for c, i, b in (("A", 0, 0), ("A", 1, 1), ("B", 1, 3))
        ],
        (128,),
    ),
    "one channel for two slots (linuxhw: HP 245 G5)": (
        [
            slot(f"Bottom-Slot {i}({side})", "CHANNEL A", "DDR3", 64, 64)
            for i, side in ((1, "Left"), (2, "Right"))
        ],
        (64,),
    ),
    "names without a slot, twice (linuxhw: MS-7D06)": (
        [
            slot(f"Controller0-Channel{c}", f"BANK {b}", "DDR4", 64, 64)
            for c, b in (("A0", 0), ("A0", 0), ("B1", 1), ("B1", 1))
        ],
        (128,),
    ),
    "LPDDR5 of 32 in eight channels (CoreFreq issue 561)": (
        [slot("DIMM 0", f"P0 CHANNEL {c}", "LPDDR5", 32, 32) for c in "ABCDEFGH"],
        (256,),
    ),
    "LPDDR4 of 16 in eight channels (linuxhw: i7-1165G7)": (
        [
            slot(f"Controller{m}-Channel{c}", f"BANK {i}", "LPDDR4", 16, 16)
            for m in (0, 1)
            for i, c in enumerate("ABCD")
        ],
        (128,),
    ),
    "half channels of DDR5 (linuxhw: MS-7D30)": (
        [
            slot(f"Controller{m}-Channel{c}", f"BANK {b}", "DDR5", 32, 32)
            for m in (0, 1)
            for c, b in (("A-DIMM1", 0), ("B", 1))
        ],
        (128,),
    ),
    "two sockets (linuxhw: Supermicro PIO-628)": (
        [
            slot(f"P{p + 1}-DIMM{'ABCDEFGH'[4 * p + c]}1", f"P{p}_Node{p}_Channel{c}_Dimm0",
                 "DDR4", 72, 64)
            for p in (0, 1)
            for c in range(4)
        ],
        (512,),
    ),
}  # fmt: skip


@pytest.mark.parametrize("machine", WIDTHS)
def test_the_width_of_a_real_machine(machine: str) -> None:
    slots, right = WIDTHS[machine]
    assert bus(modules(slots)) in right


def test_empty_slots_tell_a_processor_from_a_channel() -> None:
    """Two modules of Dell's processor A are in two channels, as its other slots show."""
    filled = [slot(f"DIMM_A{i}", "Not Specified", "DDR3", 72, 64) for i in (1, 2)]
    empty = [slot(f"DIMM_A{i}", "Not Specified", "Unknown", 0, 0, "No Module Installed")
             for i in range(3, 9)]  # fmt: skip
    assert bus(modules(filled)) == 64
    assert bus(modules([*filled, *empty])) == REFUSED


def test_udevs_table_of_a_laptop() -> None:
    """systemd: ThinkPad X280."""
    text = "".join(
        f"MEMORY_DEVICE_{i}_{key}={value}\n"
        for i, c in enumerate("AB")
        for key, value in {
            "DATA_WIDTH": 64, "SIZE": 4 * GIB, "LOCATOR": f"Channel{c}-DIMM0",
            "BANK_LOCATOR": f"BANK {2 * i}", "TYPE": "DDR4", "SPEED_MTS": 2400,
            "CONFIGURED_SPEED_MTS": 2400,
        }.items()
    )  # fmt: skip
    assert dimm.bus(dimm.of_udev(text))["transfer_rate_mts"] == 2400
    assert bus(dimm.of_udev(text)) == 128


def test_a_flash_chip_is_no_module() -> None:
    """systemd: HP Z600."""
    text = (
        f"MEMORY_DEVICE_0_DATA_WIDTH=64\nMEMORY_DEVICE_0_SIZE={8 * GIB}\n"
        "MEMORY_DEVICE_0_LOCATOR=CPU0 DIMM1\nMEMORY_DEVICE_0_TYPE=DDR3\n"
        f"MEMORY_DEVICE_1_DATA_WIDTH=2\nMEMORY_DEVICE_1_SIZE={2**21}\n"
        "MEMORY_DEVICE_1_LOCATOR=SYSTEM ROM\nMEMORY_DEVICE_1_TYPE=Flash\n"
    )
    assert len(dimm.of_udev(text)) == 1


def edac(root: Path, dimms: Sequence[tuple[str, str, str, str]]) -> list[Module]:
    names = ("dimm_location", "dimm_mem_type", "size")
    for folder, *values in dimms:
        base = f"sys/devices/system/edac/mc/{folder}/"
        plant(root, {base + name: f"{value}\n" for name, value in zip(names, values, strict=True)})
    return dimm.of_edac(root)


def test_edac_lists_ranks(tmp_path: Path) -> None:
    """rasdaemon pull 232: ROMED8-2T."""
    places = [(row, c) for row in (0, 1) for c in (0, 1, 4, 5)]
    ranks = [
        (f"mc0/rank{i}", f"csrow {row} channel {c} ", "Registered-DDR4", "32768")
        for i, (row, c) in enumerate(places)
    ]
    assert bus(edac(tmp_path, ranks)) == 256


def test_edac_of_low_power_memory_is_not_read_as_ddr4(tmp_path: Path) -> None:
    """Linux: igen6_edac.c."""
    found = edac(
        tmp_path,
        [
            (f"mc{m}/dimm{c}", f"channel {c} slot 0", "Low-Power-DDR4-RAM", "4096")
            for m in (0, 1)
            for c in (0, 1)
        ],
    )
    assert bus(found) in (128, REFUSED)


# ---- the rate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "configured", "most", "right"),
    [
        ("DDR4", 1333, 2667, (2666, 2667, None)),  # the clock: early boards for AM4
        ("DDR3", 10475, 667, (667, 1333, 1334, None)),  # impossible: F2A55
        ("DDR3", 800, 1600, (1600, None)),  # a slow module, or the clock of a fast one
        ("DDR4", 2933, 3200, (2933,)),
        ("DDR5", 4800, 5600, (4800,)),
        ("DDR3", None, 1600, (1600,)),
        (None, None, None, (None,)),
    ],
)
def test_a_rate_is_one_that_the_type_can_have(kind, configured, most, right) -> None:
    assert dimm.rate(kind, configured, most) in right


def test_lshw_keeps_the_clock_in_32_bits() -> None:
    """lshw pull 80: 4800 MHz are kept as 505,032,704 Hz."""
    bank = {"id": "bank:0", "slot": "Controller0-ChannelA-DIMM0", "size": 16 * GIB, "width": 64}
    text = json.dumps([bank | {"clock": 505032704}])
    assert bus(dimm.of_lshw(text), "transfer_rate_mts") in (4800, None)


def test_tools_agree() -> None:
    """An unknown configured rate is left out by udev; dmidecode 3.7 writes GiB."""
    known = modules(
        [slot("ChannelA-DIMM0", "BANK 0", "DDR3", 64, 64, "32 GiB", "1600 MT/s", "Unknown")]
    )
    assert (known[0].rate_mts, known[0].size_bytes) == (1600, 32 * GIB)


# ---- gaps ----------------------------------------------------------------------------------------


def cached(
    cpu: int, level: int, kind: str, size: str | None, shared: str, index: int = 0
) -> dict[str, str]:
    base = f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}/"
    files = {f"{base}level": f"{level}\n", f"{base}type": f"{kind}\n",
             f"{base}shared_cpu_list": f"{shared}\n"}  # fmt: skip
    return files if size is None else files | {f"{base}size": f"{size}\n"}


@pytest.fixture
def lscpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let ``lscpu`` print this list of caches, and every other command nothing."""

    def listing(caches: list[dict[str, Any]]) -> None:
        text = json.dumps({"caches": caches})
        monkeypatch.setattr(system, "output", lambda *c: text if c[0] == "lscpu" else "")

    return listing


def test_caches_without_sizes_are_a_reason(lscpu: Any, tmp_path: Path) -> None:
    """util-linux: ppc-qemu; uv issue 8121."""
    lscpu([{"name": "L1d", "one-size": None, "all-size": None, "type": "Data", "level": 1}])
    assert system.caches(plant(tmp_path, cached(0, 1, "Data", None, "0")), {}).reason


def test_the_fuller_list_of_caches_adds_its_levels(lscpu: Any, tmp_path: Path) -> None:
    """util-linux: s390-lpar-drawer, whose kernel lists private caches only."""
    lscpu(
        [
            {"name": "L1d", "one-size": "131072", "all-size": "131072", "type": "Data", "level": 1},
            {"name": "L3", "one-size": "67108864", "all-size": None, "type": "Unified", "level": 3},
        ]
    )
    found: Any = system.caches(plant(tmp_path, cached(0, 1, "Data", "128K", "0")), {}).values
    assert [each["level"] for each in found["caches"]] == [1, 3]


def test_a_cache_that_names_no_cpu_is_its_own(tmp_path: Path) -> None:
    """hwloc: 8ia64-2n2s2c."""
    for cpu in range(4):
        plant(tmp_path, cached(cpu, 3, "Unified", "9216K", ""))
    assert cache.of_sysfs(tmp_path)[0]["instances"] == 4


def test_the_caches_of_a_hybrid(tmp_path: Path) -> None:
    """hwloc: 20em64t-hybrid-1p6c2t+2ca4co1t."""
    for cpu in (0, 1):
        plant(tmp_path, cached(cpu, 1, "Data", "48K", "0-1"))
        plant(tmp_path, cached(cpu, 2, "Unified", "1280K", "0-1", 1))
    for cpu in range(2, 6):
        plant(tmp_path, cached(cpu, 1, "Data", "32K", str(cpu)))
        plant(tmp_path, cached(cpu, 2, "Unified", "2048K", "2-5", 1))
    found: Any = cache.of_sysfs(tmp_path)
    assert sorted((e["level"], e["size_bytes"] // 1024, e["instances"]) for e in found) == [
        (1, 32, 4),
        (1, 48, 1),
        (2, 1280, 1),
        (2, 2048, 1),
    ]


def numa(root: Path, nodes: Mapping[int, tuple[str | None, int | None]]) -> Any:
    """CPU list and total memory in kB of each node; None for a file that is missing."""
    for number, (cpus, total) in nodes.items():
        base = f"sys/devices/system/node/node{number}/"
        plant(root, {f"{base}distance": "10\n"})
        if cpus is not None:
            plant(root, {f"{base}cpulist": f"{cpus}\n"})
        if total is not None:
            plant(root, {f"{base}meminfo": f"Node {number} MemTotal:       {total} kB\n"})
    return system.numa(root)


def test_nodes_in_their_order_without_the_memory_of_gpus(tmp_path: Path) -> None:
    """hwloc: nvidiagpunumanodes, a POWER9 with nodes 0, 8 and 250 to 255."""
    gpus = dict.fromkeys(range(250, 256), ("", 15728640))
    found = numa(tmp_path, {0: ("0-87", 129839104), 8: ("88-175", 133951024), **gpus}).values
    assert [each["cpus"] for each in found["nodes"]] == ["0-87", "88-175"]
    assert (found["count"], found["without_cpus"]) == (2, 6)


def test_a_node_without_meminfo(tmp_path: Path) -> None:
    """gVisor: pkg/sentry/fsimpl/sys/numa.go."""
    assert numa(tmp_path, {0: ("0-23,48-71", None)}).values["count"] == 1


def test_a_list_that_ends_with_nul(tmp_path: Path) -> None:
    """hwloc: 128arm-2pa2n8cluster4co."""
    assert numa(tmp_path, {0: ("0-31\n\0", 1)}).values["nodes"][0]["cpus"] == "0-31"


def test_a_quota_with_a_period_of_nothing(tmp_path: Path) -> None:
    """automaxprocs: testdata/cgroups/zero-period."""
    files = {"cpu.cfs_quota_us": "600000\n", "cpu.cfs_period_us": "0\n"}
    assert device.cpu_quota(plant(tmp_path, files)) is None
    assert device.cpu_quota(plant(tmp_path / "2", {"cpu.max": "600000 0\n"})) is None


def test_a_group_below_the_mounts_root(tmp_path: Path) -> None:
    """automaxprocs: internal/cgroups/testdata; Go issue 76390."""
    root = plant(tmp_path, {"memory/large/memory.limit_in_bytes": "1\n"})
    text = "3:memory:/docker/large\n2:cpu,cpuacct:/docker\n"
    assert root / "memory/large" in device.control_groups("memory", text, root)


def test_kubernetes_hides_the_group(tmp_path: Path) -> None:
    """kaniko issue 1592: the mounted token is a mark."""
    token = "var/run/secrets/kubernetes.io/serviceaccount/token"
    assert (
        system.container(plant(tmp_path, {"proc/1/cgroup": "0::/\n", token: "x"})) == "Kubernetes"
    )


def test_xens_own_domain_sees_the_firmware(tmp_path: Path) -> None:
    """util-linux: lscpu-virt.c."""
    fields = {"Hypervisor vendor": "Xen", "Virtualization type": "none"}
    assert system.virtualisation(fields, {}, "none\n", tmp_path).values["hypervisor"] is None


def test_a_refused_gpu_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """NVML: NO_PERMISSION; koordinator pull 2706."""

    def handle(index: int) -> str:
        if index == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return f"GPU-{index}"

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 3)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", handle)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda uuid: uuid)
    assert device.visible_gpus() == 2
    assert device.gpus() == (["GPU-0", "GPU-2"], ["GPU 1 (Insufficient Permissions)"])
    assert system.gpus().values == {"count": 2, "refused": ["GPU 1 (Insufficient Permissions)"]}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert system.gpus().values["hidden"] == 1
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "refuses GPU 1 (Insufficient Permissions)" in str(system.gpus().reason)


# ---- a table against what was measured -----------------------------------------------------------


def copied(low: float) -> Trial:
    """Copies of 4 GB at so many bytes per second, at least."""
    values = {"working_set_bytes": 4e9, "bandwidth_low_bytes_per_s": low}
    return Trial(what={"item": Item.BANDWIDTH.value}, result=values)


@pytest.mark.parametrize(
    ("values", "low", "cache", "believed"),
    [
        ({"bus_width_bits": 64, "bandwidth_bytes_per_s": 12.8e9}, 12e9, 1e9, True),
        ({"bus_width_bits": 64, "bandwidth_bytes_per_s": 12.8e9}, 20e9, 1e9, False),
        # A quarter of the working set fits into the cache, so that much may never have moved.
        ({"bus_width_bits": 64, "bandwidth_bytes_per_s": 12.8e9}, 16e9, 1e9, True),
        ({"bus_width_bits": 64, "bandwidth_bytes_per_s": 12.8e9}, 20e9, 0, True),
        ({"bus_width_bits": 64}, 200e9, 1e9, False),  # no memory of 64 bits is so fast
        ({"bus_width_bits": 64}, 50e9, 1e9, True),
    ],
)
def test_a_bus_slower_than_what_was_copied_is_refused(values, low, cache, believed) -> None:
    row = measure_hardware.checked(
        Reading(Item.CPU_BUS, values, "a table"), copied(low), int(cache), 12.8e9
    )
    assert row.status == (Status.OK if believed else Status.REFUSED)
    assert believed or "GB/s through the memory (a table)" in str(row.reason)


def test_rows_that_say_nothing_of_memory_are_left_alone() -> None:
    link = Reading(Item.PCIE, {"bandwidth_bytes_per_s": 1e9}, "NVML")
    assert measure_hardware.checked(link, copied(20e9), 10**9, None).status == Status.OK


# ---- contention ----------------------------------------------------------------------------------


def test_a_thread_that_ends_while_it_is_read(tmp_path: Path) -> None:
    plant(tmp_path, {"self/task/1/schedstat": "100 2000000000 3\n"})
    (tmp_path / "self/task/2").mkdir()
    assert contention.read(tmp_path).delay_s == 2.0


def test_counters_that_are_switched_off_are_unknown(tmp_path: Path) -> None:
    """Linux before 5.14 without SCHEDSTATS: fs/proc/base.c."""
    plant(tmp_path, {"self/task/1/schedstat": "0 0 0\n"})
    assert contention.read(tmp_path).delay_s is None
    with contention.waits(tmp_path) as reader:
        assert reader.read() is None


def test_a_sum_that_fell_is_unknown() -> None:
    before = contention.Reading(0, 0, 10.0, None, None)
    after = contention.Reading(10, 5, 5.1, None, None)
    assert contention.between(before, after, 1).delay_share is None


# ---- whatever a system shows ---------------------------------------------------------------------

NOISE = st.one_of(
    st.none(),  # the file is missing
    st.just(""),
    st.text(alphabet="0123456789,-KMG \n\0x", max_size=20),
    st.binary(max_size=20).map(lambda data: data.decode("latin-1")),
)
TREE = {
    **cached(0, 1, "Data", "32K", "0"),
    **cached(0, 2, "Unified", "1M", "0-1", 1),
    "sys/devices/system/node/node0/cpulist": "0-1\n",
    "sys/devices/system/node/node0/meminfo": "Node 0 MemTotal: 1024 kB\n",
    "sys/devices/system/edac/mc/mc0/dimm0/dimm_location": "channel 0 slot 0\n",
    "sys/devices/system/edac/mc/mc0/dimm0/dimm_mem_type": "Registered-DDR4\n",
    "sys/devices/system/edac/mc/mc0/dimm0/size": "8192\n",
    "cpu.max": "200000 100000\n",
    "proc/1/cgroup": "0::/\n",
    "self/task/1/schedstat": "100 2000 3\n",
}


@given(name=st.sampled_from(sorted(TREE)), noise=NOISE)
def test_any_file_may_be_missing_empty_cut_or_noise(
    tmp_path_factory: pytest.TempPathFactory, name: str, noise: str | None
) -> None:
    """A gap costs its row a value; it is never a crash, and never a number that is not there."""
    root = plant(tmp_path_factory.mktemp("tree"), {k: v for k, v in TREE.items() if k != name})
    if noise is not None:
        plant(root, {name: noise})
    for entry in cache.of_sysfs(root):
        assert int(str(entry["size_bytes"])) > 0
    system.numa(root)
    system.container(root)
    assert bus(dimm.of_edac(root)) in (64, REFUSED)
    quota, waited_s = device.cpu_quota(root), contention.read(root).delay_s
    assert quota == 2 or name == "cpu.max"
    assert waited_s == pytest.approx(2e-6) or name == "self/task/1/schedstat"
