"""Energy: what counts it, joules of a call, and how answers and the page tell of both.

Counters are folders and objects that a test makes up; no test here asserts what a machine draws.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import answer_alignment
import answer_implementation
import answer_precision
import invented
import measure_alignment
import measure_implementation
import measure_precision_steps
import page
import pytest
import torch
import yaml
from answer_implementation import question
from assay import contention, energy, record
from assay.answer import arms, occasion
from assay.device import Unavailable
from assay.job import Job
from assay.record import Record, Status, Trial
from assay.timing import consumption, trial
from assay.timing.clock import Block, HostClock
from assay.timing.consumption import Meter
from assay.timing.trial import Protocol, Work
from builders import PACE, QUICK, answered, make_record
from conftest import ROOT
from invented import World

CPU = torch.device("cpu")
CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8")) | {"devices": ["cpu"]}
ANSWERS = {
    "alignment": answer_alignment,
    "implementation": answer_implementation,
    "precision": answer_precision,
}


# ---- RAPL ----------------------------------------------------------------------------------------


@pytest.fixture
def zone(tmp_path: Path) -> Callable[..., Path]:
    """Makes a zone below ``/sys/class/powercap``, or gives it another reading."""

    def made(number: str, microjoules: object, name: str = "package-0") -> Path:
        folder = tmp_path / number
        folder.mkdir(exist_ok=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "max_energy_range_uj").write_text("1000000\n")
        (folder / "energy_uj").write_text(f"{microjoules}\n")
        return folder

    return made


def test_packages_count_together_and_nothing_twice(
    tmp_path: Path, zone: Callable[..., Path]
) -> None:
    zones = {
        "intel-rapl:0": "package-0",
        "intel-rapl:1": "package-1-die-0",
        "intel-rapl:2": "psys",  # the whole machine
        "intel-rapl:0:0": "core",
        "intel-rapl:0:1": "dram",
        "intel-rapl-mmio:0": "package-0",  # the first once more
    }
    for number, name in zones.items():
        zone(number, 5, name)
    counter = energy.counter_of(CPU, tmp_path)
    assert counter.source == "rapl"
    assert counter.read_j() == 0
    for number, name in zones.items():
        zone(number, 300_005, name)
    assert counter.read_j() == pytest.approx(0.6)


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path, zone: Callable[..., Path]) -> None:
    zone("intel-rapl:0", 900_000)
    counter = energy.counter_of(CPU, tmp_path)
    seen = []
    for microjoules in (950_000, 50_000, 40_000):
        zone("intel-rapl:0", microjoules)
        seen.append(counter.read_j())
    assert seen == pytest.approx([0.05, 0.15, 1.14])


def test_without_zones_there_is_no_counter(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(Unavailable, match="as on most virtual machines"):
            energy.counter_of(CPU, folder)


@pytest.mark.parametrize("hidden", ["name", "energy_uj", "max_energy_range_uj"])
def test_a_zone_that_a_container_hides_is_none(
    tmp_path: Path, zone: Callable[..., Path], hidden: str
) -> None:
    (zone("intel-rapl:0", 5) / hidden).unlink()
    with pytest.raises(Unavailable, match="shows no counter"):
        energy.counter_of(CPU, tmp_path)


def test_a_counter_without_a_range_is_none(tmp_path: Path, zone: Callable[..., Path]) -> None:
    (zone("intel-rapl:0", 5) / "max_energy_range_uj").write_text("0\n")
    with pytest.raises(Unavailable, match="shows no counter"):
        energy.counter_of(CPU, tmp_path)


def test_what_only_root_may_read_is_told(
    tmp_path: Path, zone: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    zone("intel-rapl:0", 5)
    read = Path.read_text

    def refused(path: Path, *options: Any, **named: Any) -> str:
        if path.name == "energy_uj":
            raise PermissionError
        return read(path, *options, **named)

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(Unavailable, match=r"only root may read .* docs/method\.md says how"):
        energy.counter_of(CPU, tmp_path)


def test_a_counter_that_vanishes_shows_nothing(tmp_path: Path, zone: Callable[..., Path]) -> None:
    folder = zone("intel-rapl:0", 5)
    counter = energy.counter_of(CPU, tmp_path)
    (folder / "energy_uj").unlink()
    assert counter.read_j() is None


def test_other_devices_have_none() -> None:
    with pytest.raises(Unavailable, match="nothing that counts it is known for mps"):
        energy.counter_of(torch.device("mps"))


# ---- joules of a call ----------------------------------------------------------------------------


class Scripted:
    """A counter that shows what a function says."""

    source = "rapl"

    def __init__(self, read_j: Callable[[], float | None]) -> None:
        self.read_j = read_j


class Stepping:
    """Calls that take two joules each, and a counter of them that moves every seven calls."""

    source = "rapl"

    def __init__(self) -> None:
        self.calls = 0

    def run(self, *_: Any) -> None:
        self.calls += 1

    def read_j(self) -> float:
        return 14.0 * (self.calls // 7)


def test_joules_are_shared_out_to_the_calls_between_steps() -> None:
    stepping = Stepping()
    seen = consumption.stretch_j(stepping.run, Block(1), HostClock(CPU), stepping, seconds=0.02)
    assert seen == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("shown", [7.0, None])
def test_a_counter_that_stands_still_ends_the_stretch(shown: float | None) -> None:
    counter = Scripted(lambda: shown)
    call: Callable[[], None] = lambda: None  # noqa: E731
    assert consumption.stretch_j(call, Block(1), HostClock(CPU), counter, 1e-3) is None


def test_power_is_what_a_counter_shows_over_time() -> None:
    counter = Scripted(lambda: 5 * round(time.perf_counter(), 2))
    assert consumption.power_w(counter, 0.2) == pytest.approx(5, rel=0.3)


def test_no_counter_is_no_meter_and_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumption.energy, "counter_of", no_counter)
    monkeypatch.setattr(consumption.time, "sleep", None)
    assert consumption.meter(CPU, ["target"]) is None


def no_counter(_: torch.device) -> Any:
    raise Unavailable("no counter in a test")


def test_a_counter_that_stands_still_is_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumption.energy, "counter_of", lambda _: Scripted(lambda: 7.0))
    monkeypatch.setattr(consumption, "STILL_S", 0.01)
    monkeypatch.setattr(consumption, "IDLE_S", 0.0)
    assert consumption.meter(CPU, ["target"]) is None


# ---- trials --------------------------------------------------------------------------------------


def compared(counted: Collection[str], **changes: Any) -> Trial:
    stepping = Stepping()
    work = Work(lambda _: torch.zeros(4), stepping.run)
    meter = Meter(stepping, counted, idle_w=3.0)
    protocol = Protocol.from_settings(QUICK | changes, CPU)
    return trial.compare({}, work, {"target": work}, protocol, HostClock(CPU), 1, meter)


def test_the_arms_that_were_asked_for_get_joules_with_an_interval() -> None:
    seen: Any = compared(["target"]).result
    target = seen["arms"]["target"]
    assert target["energy_j"] == pytest.approx(2, rel=0.1)
    assert target["energy_low_j"] <= target["energy_j"] <= target["energy_high_j"]
    assert "energy_j" not in seen["arms"]["anchor"]
    assert (seen["idle_w"], seen["energy_source"]) == (3.0, "rapl")


def test_stretches_of_no_seconds_count_nothing() -> None:
    assert "energy" not in compared(["target"], cpu={**PACE, "energy_s": 0}).model_dump_json()


def test_disturbed_stretches_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour who comes when the rounds are over."""
    over = SimpleNamespace(waited_s=0.0)
    monkeypatch.setattr(contention, "longest_wait", lambda *_: over.waited_s)

    def busy(*arguments: Any) -> float:
        over.waited_s = math.inf
        return 1.0

    monkeypatch.setattr(trial, "stretch_j", busy)
    seen = compared(["target"])
    assert seen.status == Status.OK
    assert "energy" not in seen.model_dump_json()


def test_joules_of_somebody_else_count_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    over = SimpleNamespace(other=None)
    monkeypatch.setattr(trial.machine, "others_on_gpu", lambda _: over.other)

    def shared(*_: Any) -> float:
        over.other = "another process on the GPU"
        return 1.0

    monkeypatch.setattr(trial, "stretch_j", shared)
    seen = compared(["target"])
    assert seen.status == Status.OK
    assert "energy" not in seen.model_dump_json()


@pytest.mark.parametrize("script", [measure_implementation, measure_precision_steps])
def test_idle_power_is_read_before_the_device_works(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU keeps its clocks up for seconds after its last work."""

    class Read(Exception):
        pass

    monkeypatch.setattr(script, "meter", Mock(side_effect=Read))
    axes = {"shape": "depth-1", "occasion": 1}
    of = "implementation" if script is measure_implementation else "precision_steps"
    settings = CONFIG["studies"][of]["settings"] | {"seed": 1, "protocol": QUICK}
    with pytest.raises(Read):  # the data were not touched: there are none
        script.measure(Job(axes, settings, CPU, data=None))


def measured(folder: Path) -> Record:
    """A job of alignment: a size, and the same at another address."""
    shapes = {"kinds": ["vector"], "sizes": [64], "dtypes": ["float32"], "batch": 2}
    settings = {
        "seed": 1,
        "anchor": 64,
        "dtypes": ["float32"],
        "layouts": [{"n": 64, "layout": "offset"}],
        "shapes": shapes | {"rounds_most": 6},
        "cap_s": 20,
        "protocol": dict(QUICK),
    }
    output = folder / "record.json"
    measure_alignment.main(["--n", "64", "--settings", json.dumps(settings), f"--output={output}"])
    return record.read(output)


def test_a_job_counts_the_product_of_its_question(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = Scripted(lambda: 5 * round(time.perf_counter(), 3))
    monkeypatch.setattr(energy, "counter_of", lambda _: counter)
    monkeypatch.setattr(consumption, "IDLE_S", 0.0)
    seen = measured(tmp_path)
    assert seen.conditions.energy == {"source": "rapl"}
    results: list[Any] = [each.result for each in seen.trials]
    assert ["energy_j" in each["arms"]["target"] for each in results] == [True, False, False]
    assert results[0]["idle_w"] > 0


def test_a_job_without_a_counter_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "counter_of", no_counter)
    seen = measured(tmp_path)
    assert seen.conditions.energy == {"reason": "no counter in a test"}
    assert "energy_j" not in (tmp_path / "record.json").read_text()


# ---- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ANSWERS)
def test_joules_have_a_column_where_they_were_counted_and_none_where_not(
    tmp_path: Path, name: str
) -> None:
    config = CONFIG | {"ask": [name]}
    for counted in (True, False):
        records = invented.of_question(config, name, World(counted=counted))
        seen = answered(ANSWERS[name], tmp_path, records)
        heads = [column.name.split(",")[0] for column in seen.table.columns]
        assert ("energy" in heads) is counted
        assert any("at idle (10 W)" in text for text in seen.method) is counted
        assert ("energy_low_j" in (tmp_path / "table.csv").read_text()) is counted
        if counted:
            place = heads.index("energy")
            assert heads[place - 1] in ("time", "step")  # beside it
            shown: list[Any] = [row[place] for row in seen.table.rows if row[place]]
            assert shown
            assert all("[" in cell.text for cell in shown)


def test_idle_power_is_told_by_device_where_there_are_several() -> None:
    records = [
        make_record("alignment", {"device": device}, [Trial(what={}, result={"idle_w": watts})])
        for device, watts in (("cpu", 12.0), ("gpu", 70.0), ("gpu", 72.0))
    ]
    table = arms.table([arms.Arm("cpu", "", "a", "a", extras=dict.fromkeys(arms.JOULES, 1.0))], "a")
    (told,) = question.idle(table, records)
    assert "cpu: 12 W and gpu: 71 W" in told


def test_energies_of_occasions_are_pooled() -> None:
    def on(when: int, joules: float) -> Record:
        ends = dict(zip(arms.JOULES, (joules, 0.99 * joules, 1.01 * joules), strict=True))
        result: Any = {"rounds": 20, "arms": {"target": ends}, "ratios": {}}
        axes = {"device": "cpu", "occasion": when}
        return make_record("alignment", axes, [Trial(what={}, result=result)])

    (seen,) = occasion.pooled([on(1, 1.0), on(2, 1.21)], {})
    arms_of: Any = seen.trials[0].result["arms"]
    target = arms_of["target"]
    assert target["energy_j"] == pytest.approx(1.1)
    assert target["energy_low_j"] < 1.07 < 1.13 < target["energy_high_j"]  # each within 1 %


# ---- the page ------------------------------------------------------------------------------------


def told(**known: dict[str, str] | None) -> str:
    records = [make_record("hardware", {"device": device}, []) for device in known]
    for each, seen in zip(records, known.values(), strict=True):
        each.conditions.energy = seen
    return page.energy(records)


def test_the_page_says_once_why_nothing_was_counted() -> None:
    reason = {"reason": "the system shows no counter"}
    assert told(cpu=reason) == "Not counted on this machine: the system shows no counter."
    assert told(cpu=reason, gpu=reason) == told(cpu=reason)


def test_the_page_says_what_was_counted_and_on_which_device_not() -> None:
    seen = told(cpu={"reason": "only root may"}, gpu={"source": "nvml"})
    assert seen.startswith("Joules in a table are what a counter")
    assert seen.endswith("Not of cpu: only root may.")


def test_the_page_is_silent_on_records_from_before() -> None:
    assert told(cpu=None) == ""
