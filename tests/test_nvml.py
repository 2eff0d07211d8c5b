"""What the probe and the list of devices make of NVML: of its C interface, behind pynvml itself.

The library is a stand-in of our own (``tests/gpu_sim/nvml.c``) that does what a test tells it by
variables; nothing of Python's side is replaced.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest
import torch
from assay import device, energy, machine
from assay.probe import accelerator
from conftest import ROOT

GPU = torch.device("cuda:0")
ASKED = [
    "nvmlDeviceGetUUID",
    "nvmlDeviceGetName",
    "nvmlDeviceGetClockInfo",
    "nvmlDeviceGetMaxClockInfo",
    "nvmlDeviceGetTemperature",
    "nvmlDeviceGetPowerUsage",
    "nvmlDeviceGetEnforcedPowerLimit",
    "nvmlDeviceGetMemoryBusWidth",
    "nvmlDeviceGetCurrPcieLinkGeneration",
    "nvmlDeviceGetCurrentClocksEventReasons",
    "nvmlDeviceGetComputeRunningProcesses_v3",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetProcessUtilization",
    "nvmlSystemGetDriverVersion",
    "nvmlSystemGetCudaDriverVersion",
]


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in, compiled."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("NVML's stand-in needs a C compiler (cc) on Linux")
    built = tmp_path_factory.mktemp("nvml") / "libnvidia-ml.so.1"
    source = ROOT / "tests/gpu_sim/nvml.c"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", source, "-o", built], check=True)
    return built


@pytest.fixture
def nvml(library: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Pynvml with the stand-in loaded; variables that are set here tell it what to be."""
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(library)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    index = pynvml.nvmlDeviceGetHandleByIndex
    monkeypatch.setattr(machine, "nvml_handle", lambda place: index(place.index))
    return monkeypatch


def name_of(handle: Any) -> str:
    return str(pynvml.nvmlDeviceGetName(handle))


# ---- the list of devices -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cards", "asked", "labels"),
    [
        ("T4", "auto", ["cpu", "gpu"]),
        ("H100,H100,H100", "auto", ["cpu", "gpu"]),
        ("H100,H100,H100", "all", ["cpu", "gpu0", "gpu1", "gpu2"]),
        ("H100,T4", "auto", ["cpu", "gpu0", "gpu1"]),
    ],
)
def test_labels(nvml: pytest.MonkeyPatch, cards: str, asked: str, labels: list[str]) -> None:
    """Of cards of one model ``auto`` takes the first, ``all`` takes every one."""
    nvml.setenv("SIM_CARDS", cards)
    assert [*device.resolve(asked)] == labels


def test_a_refused_card_is_told_and_hides_no_other(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("SIM_CARDS", "H100,T4,H100")
    nvml.setenv("SIM_REFUSED", "1")
    shown, refused = device.gpus()
    assert len(set(shown)) == 2
    assert refused == ["GPU 1 (Insufficient Permissions)"]
    assert [*device.resolve("all")] == ["cpu", "gpu0", "gpu1"]


def test_visible_by_uuid(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("CUDA_VISIBLE_DEVICES", device.gpus()[0][1])
    assert device.visible_gpus() == 1


def test_a_part_of_a_card_is_one_device(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("SIM_MIG", "1")
    nvml.setenv("CUDA_VISIBLE_DEVICES", "MIG-51300000-0000-0000-0000-000000000001")
    assert [*device.resolve("auto")] == ["cpu", "gpu"]


def test_what_is_in_sight_changes_with_the_cards_and_what_is_visible(
    nvml: pytest.MonkeyPatch,
) -> None:
    seen = []
    for cards, visible in (("T4", "0"), ("T4,T4", "0"), ("T4,T4", "1")):
        nvml.setenv("SIM_CARDS", cards)
        nvml.setenv("CUDA_VISIBLE_DEVICES", visible)
        seen.append(device.gpus_in_sight())
    assert len({*seen}) == 3
    nvml.setenv("SIM_DRIVER", "none")
    assert device.gpus_in_sight() is None


def test_no_driver_is_no_gpu(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("SIM_DRIVER", "none")
    assert [*device.resolve("auto")] == ["cpu"]


def test_the_library_is_found_by_its_name(library: Path) -> None:
    """As a process of its own finds the driver's."""
    told = subprocess.run(
        [sys.executable, "-c", "from assay import device; print(*device.resolve('all'))"],
        env=os.environ | {"LD_LIBRARY_PATH": str(library.parent), "SIM_CARDS": "A,B"},
        cwd=ROOT / "workflow/scripts",
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["cpu", "gpu0", "gpu1"]


# ---- which card ----------------------------------------------------------------------------------


def card(uuid: str | None, bus: int = 0x40) -> Any:
    """A card as torch describes it."""
    places = {"pci_domain_id": 0, "pci_bus_id": bus, "pci_device_id": 0}
    return SimpleNamespace(uuid=uuid, **places)


def test_handles(nvml: pytest.MonkeyPatch) -> None:
    """By UUID, by that of a part, else by the place on the PCI bus."""
    nvml.setenv("SIM_CARDS", "H100,T4")
    second = "51300000-0000-0000-0000-000000000001"
    assert name_of(machine.match_handle(card(second))) == "Simulated T4"
    assert name_of(machine.match_handle(card(None, bus=0x41))) == "Simulated T4"
    assert machine.match_handle(card(None, bus=0x99)) is None
    nvml.setenv("SIM_MIG", "1")
    assert name_of(machine.match_handle(card(second))) == "Simulated T4"


def test_cards_and_drivers_are_told_apart(nvml: pytest.MonkeyPatch) -> None:
    ids = {machine.gpu_id(torch.device("cuda", index)) for index in (0, 1, 1)}
    nvml.setenv("SIM_DRIVER", "old")
    assert len(ids | {machine.gpu_id(GPU)}) == 3


def test_a_part_of_a_card_is_not_taken_for_the_whole(nvml: pytest.MonkeyPatch) -> None:
    """Its records are others, and are called by its own name."""
    whole = machine.gpu_id(GPU)
    nvml.setenv("SIM_MIG", "1")
    ids = set()
    for name in ("H100 MIG 1g.10gb", "H100 MIG 3g.40gb"):
        told = SimpleNamespace(name=name)
        nvml.setattr(torch.cuda, "get_device_properties", lambda _, told=told: told)
        assert (machine.gpu_conditions(GPU) or {})["name"] == name
        ids.add(machine.gpu_id(GPU))
    assert len(ids | {whole}) == 3


# ---- its energy ----------------------------------------------------------------------------------


def test_a_card_counts_joules_since_volta(nvml: pytest.MonkeyPatch) -> None:
    counter = energy.counter_of(GPU)
    first = counter.read_j()
    time.sleep(0.1)
    last = counter.read_j()
    assert first
    assert last
    assert last > first
    nvml.setenv("SIM_MISSING", "nvmlDeviceGetTotalEnergyConsumption")
    assert energy.told(GPU) == {"reason": "NVML counts none of this GPU, only since Volta"}
    nvml.setenv("SIM_MISSING", "nvmlDeviceGetMigMode")
    assert energy.told(GPU) == {"source": "nvml"}


def test_joules_of_a_whole_card_are_not_those_of_a_part(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("SIM_MIG", "1")
    whole = pynvml.nvmlDeviceGetHandleByIndex(0)
    nvml.setattr(machine, "nvml_handle", lambda _: whole)
    assert "of which this is a part" in energy.told(GPU)["reason"]


def test_a_card_that_nvml_does_not_show_is_not_called_old(nvml: pytest.MonkeyPatch) -> None:
    nvml.setattr(machine, "nvml_handle", lambda _: None)
    assert "does not show this GPU" in energy.told(GPU)["reason"]


# ---- what it is doing ----------------------------------------------------------------------------


def test_conditions(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("SIM_EVENTS", "0x4")
    seen = machine.gpu_conditions(GPU)
    assert seen
    assert seen["name"] == "Simulated H100"
    assert seen["sm_clock_hz"] == 1980e6
    assert seen["power_w"] == 300
    assert seen["clocks_event_reasons"] == ["power cap"]
    assert seen["other_compute_processes"] == 0


@pytest.mark.parametrize("function", ASKED)
def test_a_missing_function_loses_its_own_value_only(
    nvml: pytest.MonkeyPatch, function: str
) -> None:
    everything = machine.gpu_conditions(GPU)
    nvml.setenv("SIM_MISSING", function)
    seen = machine.gpu_conditions(GPU)
    assert everything
    assert seen
    lost = {name for name, value in seen.items() if value is None}
    assert len(lost) <= 2
    assert {k: v for k, v in everything.items() if k not in lost} == {
        k: v for k, v in seen.items() if k not in lost
    }
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    properties = card("51300000-0000-0000-0000-000000000000")
    rows = [
        accelerator.bus(properties, handle),
        accelerator.bandwidth(properties, handle),
        accelerator.pcie(handle, None),
        accelerator.clocks(handle),
        accelerator.state(GPU, handle),
    ]
    assert sum(bool(row.reason) for row in rows) <= 2
    machine.others_on_gpu(GPU)
    machine.throttled(GPU)


def test_rows(nvml: pytest.MonkeyPatch) -> None:
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    nvml.setenv("SIM_BUS_BITS", "256")
    nvml.setenv("SIM_MEMORY_MHZ", "5000")
    told = accelerator.bandwidth(card(None), handle)
    assert told.values["bandwidth_bytes_per_s"] == 2 * 5e9 * 256 / 8
    assert accelerator.bus(card(None), handle).source == "NVML"
    assert accelerator.pcie(handle, None).values["generation"] == 5
    assert accelerator.driver().values["driver_cuda"] == "13.2"


def test_a_clock_that_power_holds_down(nvml: pytest.MonkeyPatch) -> None:
    for events, capped in (("0", False), ("0x20", False), ("0x4", True), ("0x25", True)):
        nvml.setenv("SIM_EVENTS", events)
        assert machine.power_capped(GPU) == capped


@pytest.mark.parametrize(
    ("events", "told"),
    [("0", None), ("0x4", None), ("0x20", "software thermal slowdown")],
)
@pytest.mark.parametrize("missing", ["", "nvmlDeviceGetCurrentClocksEventReasons"])
def test_throttling(nvml: pytest.MonkeyPatch, events: str, told: str | None, missing: str) -> None:
    """A power cap is none; drivers before 535 call it by another name."""
    nvml.setenv("SIM_EVENTS", events)
    nvml.setenv("SIM_MISSING", missing)
    assert machine.throttled(GPU) == told


def test_a_clock_that_falls(nvml: pytest.MonkeyPatch) -> None:
    nvml.setenv("SIM_SM_MHZ", "1980,1980,1200")
    seen = [machine.sm_clock_hz(GPU) for _ in range(40)]
    assert seen[-1] == 1200e6


@pytest.mark.parametrize(
    ("processes", "told"),
    [
        ("self:90:c", None),
        ("self:90:c,4000001:30:c", "another process on the GPU"),
        ("self:90:c,4000001:30:g", "graphics on the GPU"),
        ("self:90:c,4000001:3:g", None),  # draws a desktop
        ("4000001:90:c", None),  # ours, as numbered outside a container
        ("none", None),
    ],
)
def test_neighbours(nvml: pytest.MonkeyPatch, processes: str, told: str | None) -> None:
    nvml.setenv("SIM_PROCESSES", processes)
    assert machine.others_on_gpu(GPU) == told
