"""The hardware question: this machine measured and answered, and made-up machines in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import answer_hardware
import measure_hardware
import pandas as pd
import pytest
from assay import record
from assay.answer import model
from assay.answer.model import State
from assay.probe import items
from assay.probe.items import Item
from assay.record import Record, Status, Trial
from builders import QUICK, make_record
from conftest import check_budgets
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = {
    "seed": 1,
    "protocol": {**QUICK},
    "cpu_memory_bus": None,
    "smallest_bytes": 2**18,
    "largest_bytes": 2**24,
    "cap_s": 20,
    "fastest_memory_mts": 12800,
}


@dataclass(frozen=True)
class Answered:
    """What one run of the answering script left."""

    answer: model.Answer
    table: pd.DataFrame
    figure: Path


def answered(folder: Path, records: Mapping[str, Record]) -> Answered:
    """Write the records and answer from them."""
    folder.mkdir(exist_ok=True)
    for name, each in records.items():
        record.write(folder / name, each)
    table, figure, answer = (folder / f"hardware.{kind}" for kind in ("csv", "svg", "json"))
    answer_hardware.main(
        [
            *("--about", '{"title": "What is in this machine?", "exercise": "Determine …"}'),
            *("--table", str(table), "--figure", str(figure), "--answer", str(answer)),
            *(str(folder / name) for name in records),
        ]
    )
    return Answered(model.read(answer), pd.read_csv(table), figure)


def probed(folder: Path, device: str, **changes: Any) -> Record:
    """The record of a run of the measuring script."""
    path = folder / f"{device.replace(':', '_')}.json"
    settings = json.dumps(SETTINGS | changes)
    measure_hardware.main(["--device", device, "--settings", settings, "--output", str(path)])
    return record.read(path)


# ---- this machine --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """This machine's CPU."""
    return probed(tmp_path_factory.mktemp("here"), "cpu")


def test_every_row_has_a_source_or_a_reason(here: Record) -> None:
    assert here.status == Status.OK
    named = [trial.what["item"] for trial in here.trials]
    assert len(named) == len(set(named)) == 12
    for trial in here.trials[:-1]:
        assert trial.result.get("source") or trial.reason, trial.what
    assert items.values(here, Item.CPU)["usable_cores"] >= 1
    assert items.values(here, Item.MEMORY)["total_bytes"] > 2**28


def test_bandwidth_is_that_of_the_largest_working_set(here: Record) -> None:
    measured = items.values(here, Item.BANDWIDTH)
    rate, low, high = (measured[f"bandwidth{end}_bytes_per_s"] for end in ("", "_low", "_high"))
    copies = items.row(here, Item.WORKING_SETS)
    assert copies
    assert measured["working_set_bytes"] == copies.what["working_set_bytes"]
    assert 1e8 < low <= rate <= high < 1e13
    assert measured["fastest_bytes_per_s"] >= high >= rate


def test_this_machine_is_answered(here: Record, tmp_path: Path) -> None:
    found = answered(tmp_path, {"cpu.json": here})
    bus = items.row(here, Item.CPU_BUS)
    assert bus is not None
    assert ("is not exposed" if bus.reason else f"{bus.result['bus_width_bits']} bits") in (
        found.answer.sentence
    )
    assert found.answer.state == (State.PART if bus.reason else State.ANSWERED)
    assert set(found.table["item"]) == {trial.what["item"] for trial in here.trials}
    assert found.table["bandwidth_low_bytes_per_s"].notna().sum() == 1
    assert "<svg" in found.figure.read_text()
    assert found.figure.with_suffix(".png").stat().st_size > 10_000
    assert len(found.answer.table.rows) == len(here.trials) - 1  # the largest copy speaks for all
    assert found.answer.views[0].table is not None


def test_a_table_that_the_copies_prove_wrong_is_not_believed(here: Record, tmp_path: Path) -> None:
    told = Trial(
        what={"item": Item.CPU_BUS.value},
        status=Status.REFUSED,
        reason="wrong: that would be 12.8 GB/s at most",
        result={"bus_width_bits": 64, "source": "a table"},
    )
    others = [trial for trial in here.trials if trial.what["item"] != Item.CPU_BUS]
    found = answered(tmp_path, {"cpu.json": here.model_copy(update={"trials": [told, *others]})})
    assert "bus of the CPU is told wrongly, say copies (at least" in found.answer.sentence
    assert found.answer.numbers["cpu"]["bus_width_bits"] is None
    assert "wrong: that would be 12.8 GB/s at most" in str(found.answer.table.rows[0])
    check_budgets(found.answer)


def test_gpus_that_are_left_out_are_named(here: Record, tmp_path: Path) -> None:
    refused = ["GPU 1 (Insufficient Permissions)"]
    values: dict[str, Any] = {"count": 1, "hidden": 2, "refused": refused}
    there = Trial(what={"item": Item.GPUS.value}, result={**values, "source": "NVML"})
    others = [trial for trial in here.trials if trial.what["item"] != Item.GPUS]
    found = answered(tmp_path, {"cpu.json": here.model_copy(update={"trials": [there, *others]})})
    assert found.answer.views[0].table is not None
    assert (
        "GPU 1 (Insufficient Permissions), which the driver refuses; 2 that CUDA_VISIBLE_DEVICES"
        in found.answer.views[0].table.spoken
    )


def test_a_stated_bus_is_marked_as_stated(tmp_path: Path) -> None:
    stated = {"bits": 128, "source": "the board's manual"}
    found = probed(tmp_path, "cpu", cpu_memory_bus=stated)
    text = items.four_lines([found])[2]
    assert text == "CPU memory bus: 128 bits (stated in the configuration: the board's manual)"


def test_four_lines_of_this_machine(here: Record) -> None:
    lines = items.four_lines([here])
    assert [line.split(":")[0] for line in lines[:3]] == [
        "CPU",
        "Caches and memory",
        "CPU memory bus",
    ]
    assert len(lines) == 4
    assert all("\n" not in line and "None" not in line for line in lines)


@pytest.mark.skipif(measure_hardware.torch.cuda.is_available(), reason="needs a machine without")
def test_a_missing_gpu_is_a_reason(here: Record, tmp_path: Path) -> None:
    missing = probed(tmp_path, "cuda:0")
    assert missing.status == Status.UNAVAILABLE
    assert items.four_lines([here, missing])[3].startswith("No GPU: ")
    found = answered(tmp_path, {"cpu.json": here, "gpu.json": missing})
    assert found.answer.sentence.endswith(" Not available: GPU.")
    assert found.answer.state == State.PART


# ---- a made-up GPU machine -----------------------------------------------------------------------

GB = 1e9
RATES = {2**16: 8, 2**18: 60, 2**20: 300, 2**22: 900, 2**24: 4000, 2**26: 5000, 2**28: 2900}


def working_sets(rates: Mapping[int, float]) -> Trial:
    """Copies at these rates in GB/s by bytes; the overhead of one is 8 µs."""

    def arm(size: int, seconds: float) -> dict[str, Any]:
        return {
            "units_per_call": size,
            "time_median_s": seconds,
            "time_low_s": 0.98 * seconds,
            "time_high_s": 1.03 * seconds,
        }

    arms = {str(size): arm(size, size / rate / GB) for size, rate in rates.items()}
    largest = max(rates)
    arms["anchor"] = arms.pop(str(largest))
    arms |= {"twin": arms["anchor"], "8": arm(8, 1e-6)}
    what = {"item": Item.WORKING_SETS, "working_set_bytes": largest}
    return Trial(what=what, result={"rounds": 20, "rounds_void": 0, "arms": arms})


def trials(rows: Mapping[Item, dict[str, Any]]) -> list[Trial]:
    return [
        Trial(what={"item": item}, result={**values, "source": "made up"})
        for item, values in rows.items()
    ]


def h100(**changes: Any) -> Record:
    """A GPU as its record would be."""
    copies = working_sets(RATES)
    rows = {
        Item.GPU: {
            "name": "NVIDIA H100 80GB HBM3",
            "multiprocessors": 132,
            "memory_bytes": 85017755648,
            "l2_bytes": 52428800,
        },
        Item.GPU_BUS: {"bus_width_bits": 5120},
        Item.GPU_BANDWIDTH: {"memory_clock_max_hz": 2619e6, "bandwidth_bytes_per_s": 3352.3e9},
        Item.PCIE: {
            "generation": 4,
            "lanes": 16,
            "generation_max": 5,
            "lanes_max": 16,
            "bandwidth_bytes_per_s": 31.5e9,
        },
        Item.GPU_STATE: {"temperature_c": 41, "power_w": 123.456, "clocks_event_reasons": []},
    }
    made = [*trials(rows), measure_hardware.bandwidth(copies, None), copies]
    return make_record("hardware", {"device": "gpu"}, made, **changes)


def board(**bus: Any) -> Record:
    """A CPU on bare metal."""
    cache = {"level": 3, "type": "unified", "size_bytes": 2**25, "instances": 1}
    rates = {2**20: 400.0, 2**22: 300.0, 2**24: 200.0, 2**26: 60.0, 2**28: 30.0}
    copies = working_sets(rates)
    rows = {
        Item.CPU: {"brand": "AMD Ryzen 9", "physical_cores": 16, "usable_cores": 8},
        Item.CACHES: {"caches": [cache]},
        Item.MEMORY: {"total_bytes": 2**36},
        Item.CPU_BUS: bus,
        Item.VIRTUALISATION: {"hypervisor": None, "container": None},
    }
    made = [*trials(rows), measure_hardware.bandwidth(copies, 12.8e9), copies]
    return make_record("hardware", {"device": "cpu"}, made)


def board_with_bus() -> Record:
    return board(
        bus_width_bits=128, channels=2, transfer_rate_mts=5600, bandwidth_bytes_per_s=89.6e9
    )


def test_four_lines_of_a_made_up_machine() -> None:
    assert items.four_lines([board_with_bus(), h100()]) == [
        "CPU: AMD Ryzen 9, 16 cores (8 usable here)",
        "Caches and memory: 32 MiB L3; 64 GiB of memory",
        "CPU memory bus: 128 bits (2 channels) at 5600 MT/s: 89.6 GB/s in theory",
        "GPU: NVIDIA H100 80GB HBM3, 132 SMs, 79.2 GiB, memory bus 5120 bits at 2619 MHz: "
        "3352 GB/s in theory",
    ]


def test_two_gpus_stand_in_one_line() -> None:
    line = items.four_lines([h100(), h100()])[3]
    assert line.startswith("GPUs: NVIDIA H100")
    assert line.count("5120 bits") == 2


def simulated() -> Record:
    """The same of a card that does not exist."""
    seen = h100()
    seen.trials[0].result["name"] = "Simulated H100"
    return seen


def test_a_simulated_card_is_not_called_a_gpu(tmp_path: Path) -> None:
    assert items.four_lines([simulated()])[3] == "No GPU: Simulated H100 does not exist"
    found = answered(tmp_path, {"cpu.json": board_with_bus(), "gpu.json": simulated()}).answer
    assert "that of the simulated card has 5120 bits" in found.sentence
    assert "GPU" not in found.sentence + found.short


def test_four_lines_without_any_record() -> None:
    lines = items.four_lines([])
    assert len(lines) == 4
    assert lines[3] == "No GPU: none was asked for"


def test_both_buses_are_in_the_answer(tmp_path: Path) -> None:
    found = answered(tmp_path, {"cpu.json": board_with_bus(), "gpu.json": h100()}).answer
    assert (
        found.sentence == "The memory bus of the CPU has 128 bits, that of the GPU has 5120 bits."
    )
    assert len(found.short.split()) <= 12
    assert found.state == State.ANSWERED
    assert found.so == ""
    shown = {row[0]: row[1] for row in found.views[0].table.rows}
    assert shown["CPU memory bus"] == "128 bits (2 channels) at 5600 MT/s: 89.6 GB/s in theory"
    assert str(shown["GPU memory bus"]).startswith("5120 bits at 2619 MHz")
    assert "generation 4 × 16 lanes (at most 5 × 16), 31.5 GB/s" in str(shown["GPU link"])
    copies = [row for row in found.table.rows if row[1] == "copy from memory"]
    assert str(copies[1][2]).startswith("2900 [")
    assert found.numbers["gpu"]["bus_width_bits"] == 5120
    assert found.missing == []


def test_a_lost_row_is_named_and_lowers_the_state(tmp_path: Path) -> None:
    hidden = board_with_bus()
    row = items.row(hidden, Item.CACHES)
    assert row is not None
    row.status, row.reason = Status.UNAVAILABLE, "nothing lists caches here"
    found = answered(tmp_path, {"cpu.json": hidden}).answer
    assert "Not exposed: caches." in found.sentence
    assert found.state == State.PART


def test_nothing_at_all_is_still_an_answer(tmp_path: Path) -> None:
    gone = make_record(
        "hardware", {"device": "cpu"}, [], status=Status.UNAVAILABLE, reason="no such device"
    )
    found = answered(tmp_path, {"cpu.json": gone}).answer
    assert found.state == State.NONE
    assert "Not available: caches, memory, CPU memory bus." in found.sentence


def test_the_bound_is_not_called_the_width(tmp_path: Path) -> None:
    hidden = board()
    bus = items.row(hidden, Item.CPU_BUS)
    assert bus is not None
    bus.status, bus.reason = Status.UNAVAILABLE, "not exposed by this virtual machine (KVM)"
    found = answered(tmp_path, {"cpu.json": hidden}).answer
    assert "CPU is not exposed" in found.sentence
    assert len(found.sentence.split()) <= 25
    assert found.state == State.PART
    assert found.numbers["cpu"]["bus_width_bits"] is None


def test_contended_copies_leave_a_reason_and_a_bound(tmp_path: Path) -> None:
    copies = Trial(
        what={"item": Item.WORKING_SETS, "working_set_bytes": 2**28},
        status=Status.CONTENDED,
        reason="3 of 20 rounds could be kept",
        samples={"anchor": [0.01, 0.005, 0.02]},
        result={"rounds": 20, "rounds_void": 17},
    )
    made = measure_hardware.bandwidth(copies, 12.8e9)
    assert made.status == Status.CONTENDED
    cpu = trials({Item.CPU: {"brand": "X"}})
    busy = make_record("hardware", {"device": "cpu"}, [*cpu, made, copies])
    found = answered(tmp_path, {"cpu.json": busy}).answer
    assert "is not exposed (at least 34 bits)" in found.sentence  # 53.7 GB/s × 8 / 12.8 GT/s
    assert found.numbers["cpu"]["bus_width_at_least_bits"] == 34
    lost = [row for row in found.table.rows if row[0] == "copy from memory"]
    assert lost == [["copy from memory", "disturbed", "3 of 20 rounds could be kept"]]


@pytest.mark.parametrize(("cache", "bits"), [(0, 34), (2**26, 26), (2**28, None), (2**29, None)])
def test_what_a_cache_can_have_held_does_not_widen_the_bus(cache: int, bits: int | None) -> None:
    """In little memory a working set may be no larger than the cache: its speed tells no bus."""
    copies = Trial(
        what={"item": Item.WORKING_SETS, "working_set_bytes": 2**28},
        samples={"anchor": [0.005]},
        result={"rounds": 1},
    )
    caches = [{"level": 3, "type": "unified", "size_bytes": cache // 2, "instances": 2}]
    rows = trials({Item.CPU: {"brand": "X"}, Item.CACHES: {"caches": caches}})
    made = [*rows, measure_hardware.bandwidth(copies, 12.8e9), copies]
    assert items.least_bits(make_record("hardware", {"device": "cpu"}, made)) == bits


# ---- parts ---------------------------------------------------------------------------------------


@given(
    st.integers(4, 20).map(lambda power: 2**power),
    st.integers(2**20, 2**32),
    st.integers(0, 2**30),
    st.none() | st.integers(0, 2**40),
)
def test_working_sets(smallest: int, largest: int, cache: int, free: int | None) -> None:
    sizes = measure_hardware.copied_sizes(smallest, largest, cache, free)
    assert sizes[0] == smallest
    assert all(b == 2 * a for a, b in pairwise(sizes))
    wanted = max(largest, 4 * cache)
    if free is None or free >= 4 * wanted:
        assert wanted / 2 < sizes[-1] <= wanted
    elif free >= 4 * smallest:
        assert sizes[-1] <= free / 4


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("bandwidth_bytes_per_s", 3352.3e9, ("bandwidth", "3352 GB/s")),
        ("total_bytes", 25276514304, ("total", "23.5 GiB")),
        ("memory_limit_bytes", None, ("memory_limit", "none")),
        ("sm_clock_hz", 1755e6, ("sm_clock", "1755 MHz")),
        ("power_w", 123.456, ("power", "123 W")),
        ("temperature_c", 41, ("temperature", "41 °C")),
        ("bfloat16_flops", 989.4e12, ("bfloat16", "989 TFLOP/s")),
        ("transfer_rate_mts", 5600, ("transfer_rate", "5600 MT/s")),
        ("matmul_flags", ["avx2", "fma"], ("matmul_flags", "avx2, fma")),
        ("clocks_event_reasons", [], ("clocks_event_reasons", "none")),
        ("nodes", [{"cpus": "0-1", "memory_bytes": 2**30}], ("nodes", "1 GiB at CPUs 0-1")),
        ("count", 2, ("count", "2")),
    ],
)
def test_quantities_in_words(key: str, value: Any, expected: tuple[str, str]) -> None:
    assert answer_hardware.quantity(key, value) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (49152, "48 KiB"), (2**20, "1 MiB"), (1.5 * 2**40, "1.5 TiB")],
)
def test_sizes_are_binary(count: float, expected: str) -> None:
    assert items.size(count) == expected


def test_machines_are_named_as_in_other_answers() -> None:
    here, there = board_with_bus(), board_with_bus()
    there.axes["device"] = "cpu (lab)"
    found = answer_hardware.answer([here, there])
    assert found.sentence.startswith("cpu: The memory bus of the CPU has 128 bits")
    assert "; cpu (lab): Memory bus: CPU 128 bits" in found.short
