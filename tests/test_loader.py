"""The loader: all load the same, our workers are no neighbours, the fewest of the fast win."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import Mock

import answer_loader as answer
import invented
import measure_loader as measure
import pytest
import torch
import yaml
from assay import contention, device, record
from assay.answer import model, occasion, question
from assay.answer.model import State
from assay.answer.question import Findings
from assay.contention import QUOTA, Neighbour
from assay.job import Job
from assay.record import Record, Status, Trial
from assay.timing.clock import HostClock, SharedCores, disturbed
from assay.timing.trial import Work
from builders import QUICK, make_record, with_status
from conftest import ROOT
from invented import World

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    **{"seed": 1, "protocol": {**QUICK}, "images": 32, "batch": 8, "hidden": [8], "workers": [1]},
    **{"alone": ["to_tensor"], "rounds_least": 6, "rounds_most": 6, "cap_s": 60},
}


# ---- this machine --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Record:
    path = tmp_path_factory.mktemp("loader") / "record.json"
    job = ["--dataset", str(data), "--settings", json.dumps(SETTINGS), "--output", str(path)]
    measure.main(["--occasion", "1", "--threads", "1", *job])
    return record.read(path)


def test_a_real_job_times_every_loader_alone_and_beside_a_step(here: Record) -> None:
    assert [(each.what["conversion"], each.what["beside"]) for each in here.trials] == [
        ("indexed", "step"),
        ("to_tensor", "nothing"),
        ("to_tensor", "step"),
        ("augmented", "step"),
    ]
    for each in here.trials:
        assert each.status == Status.OK, each.reason
        result: Any = each.result
        assert {"twin", "1", "resident"} <= set(result["ratios"])
        assert result["rounds_void"] == 0
        assert result["start_method"]


def test_starting_a_worker_is_told_once(here: Record) -> None:
    starts: list[Any] = [each.result["start"] for each in here.trials]
    assert [set(each) for each in starts] == [set(), {"1"}, set(), set()]
    assert 1e-4 < starts[1]["1"]["time_median_s"] < 5


def test_this_machine_is_answered(here: Record) -> None:
    assert question.circumstances([Path("record.json")], [here]).delay_share is None
    found = answer.answer(occasion.pooled([here], {}))
    assert model.state(found.cells) != State.NONE
    assert [row[0] for row in found.table.rows[:3]] == [
        "in memory",
        "no workers",
        "1 worker",
    ]
    assert "1" in found.numbers["start"]["cpu"]


# ---- the work ------------------------------------------------------------------------------------


class Data:
    """Grey values that tell the images apart."""

    images = torch.arange(24 * 784).remainder(251).to(torch.uint8).reshape(24, 28, 28)
    labels = torch.arange(24).remainder(10).to(torch.uint8)


def asked(conversion: str, **changes: Any) -> dict[str, Work[Any]]:
    return measure.works(Job({}, {**SETTINGS, **changes}, CPU, Data), conversion, measure.ALONE)


@pytest.mark.parametrize("conversion", ["indexed", "to_tensor", "augmented"])
def test_a_picture_becomes_grey_values_between_0_and_1(conversion: str) -> None:
    image, label = measure.pictures(conversion, Data.images, Data.labels)[7]
    assert label == 7
    assert image.numel() == 784
    assert 0 <= image.min() < image.max() <= 1
    if conversion != "augmented":
        assert torch.equal(image.flatten(), Data.images[7].flatten() / 255)


def test_all_loaders_give_the_same_images() -> None:
    works = asked("to_tensor")
    assert measure.disagreement(works, augmented=False) is None
    fewer = asked("to_tensor", images=16)
    wrong = measure.disagreement(works | {"1": fewer["1"]}, augmented=False)
    assert wrong == "1 and 0 workers load different images"


def test_workers_beyond_the_cores_are_tried_up_to_the_textbooks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = Job({}, {**SETTINGS, "workers": [1, 2, 4, 8, 16]}, CPU)
    for cores, counts in ((2, ["0", "1", "2"]), (8, ["0", "1", "2", "4", "8"])):
        monkeypatch.setattr(device, "usable_cores", lambda cores=cores: cores)
        assert measure.names(many, "indexed", "step") == counts
        assert measure.names(many, "to_tensor", "nothing") == [*counts, "1 new"]
        headline = measure.names(many, "to_tensor", "step")
        assert headline == [*counts, "4"][: max(4, len(counts))]


def test_the_workers_of_a_trial_are_started_once() -> None:
    """They are asked for by the estimate, for the rounds, and for the proof."""
    work = asked("to_tensor")["1"]
    first, again = (work.prepare(torch.Generator())[0] for _ in range(2))
    assert first is again


def test_only_rounds_that_count_tell_what_starting_costs() -> None:
    new, lasting = [3.0] * 6 + [90.0], [1.0] * 7
    samples: Any = {"1 new": new, "1": lasting, "void": [False] * 6 + [True]}
    seen: Any = measure.started(Trial(what={}, samples=samples))
    assert seen["1"]["time_high_s"] == 2


def test_workers_that_take_long_to_start_do_not_cost_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where they are not forked: the others are timed without them."""
    timed: list[list[str]] = []

    def compare(what: Any, anchor: Any, targets: Any, *_: Any) -> Trial:
        timed.append([*targets])
        return Trial(what=what, status=Status.SKIPPED if "1 new" in targets else Status.OK)

    monkeypatch.setattr(measure.trial, "compare", compare)
    monkeypatch.setattr(measure.contention, "others_share", lambda *_: 0.0)
    own = Job({}, SETTINGS, CPU, Data)
    seen = measure.compare(own, "to_tensor", "nothing", Mock(void_delay_share=0.02))
    assert timed == [["1", "1 new", "resident"], ["1", "resident"]]
    assert seen.status == Status.OK


def test_what_shared_memory_cannot_hold_loses_one_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    killed = RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly")
    monkeypatch.setattr(measure.trial, "compare", Mock(side_effect=killed))
    own = Job({}, SETTINGS, CPU, Data)
    seen = measure.compare(own, "to_tensor", "step", Mock(void_delay_share=0.02))
    assert seen.status == Status.OUT_OF_MEMORY


# ---- whose work it is ----------------------------------------------------------------------------


def test_our_own_processes_disturb_nothing() -> None:
    assert disturbed(HostClock(CPU), waited_s=1.0, limit_s=0.1)
    assert not disturbed(SharedCores(CPU), waited_s=1.0, limit_s=0.1)


@pytest.mark.parametrize(
    ("share", "status", "told"),
    [(None, Status.OK, False), (0.01, Status.OK, False), (0.1, Status.OK, True),
     (0.3, Status.CONTENDED, True)],
)  # fmt: skip
def test_others_are_counted_over_the_whole_trial(
    monkeypatch: pytest.MonkeyPatch, share: float | None, status: Status, told: bool
) -> None:
    seen = [Neighbour("firefox", 0.6), Neighbour(QUOTA, 1.5)]
    monkeypatch.setattr(contention, "others_share", lambda *_: share)
    monkeypatch.setattr(contention, "neighbours", lambda *_: seen)
    trial = Trial(what={}, result={"arms": {"anchor": {}}, "ratios": {}})
    measure.beside_others(trial, contention.look(), told_from=0.02)
    assert (trial.status, trial.result["beside_neighbour"]) == (status, told)
    assert trial.result["neighbours"] == [{"name": "firefox", "cores": 0.6}]


# ---- made-up records -----------------------------------------------------------------------------


def found(
    width: float = 0.01,
    noisy: Mapping[str, tuple[float, float, float]] = MappingProxyType({}),
    **changes: dict[str, float],
) -> Findings:
    """The answer where loaders take so many seconds, with other times for some conversions.

    Those that are noisy have these ratios instead, in the conversion of the headline.
    """
    usual = {"0": 0.06, "1": 0.04, "2": 0.0405, "4": 0.05, "resident": 0.01}
    trials = []
    for conversion in answer.CONVERSIONS:
        for beside in answer.BESIDE:
            result = World(width=width).paired(beside, usual | changes.get(conversion, {}), 2048)
            what = {"conversion": conversion, "beside": beside, "anchor": "0"}
            result |= {"start_method": "fork", "cores": 2, "start": {}}
            for name, ends in noisy.items() if conversion == answer.HEAD else ():
                keys = ("ratio", "ratio_low", "ratio_high")
                result["ratios"][name] = dict(zip(keys, ends, strict=True))
            trials.append(Trial(what=what, result=result))
    made = make_record("loader", {"device": "cpu"}, trials, settings=SETTINGS)
    return answer.answer(occasion.pooled([made], {}))


def test_the_fewest_workers_that_are_not_slower_than_the_fastest_are_taken() -> None:
    seen = found(to_tensor={"1": 0.041})
    assert seen.sentence.startswith("Take 1 worker: an epoch (ToTensor) takes")
    assert seen.sentence.endswith("less than with none, 76 % of it loading.")
    assert seen.so.startswith("Set num_workers=1, persistent_workers=True.")
    assert model.state(seen.cells) == State.ANSWERED
    assert found(to_tensor={"1": 0.05}).so.startswith("Set num_workers=2")


def test_workers_that_only_cost_are_left_out() -> None:
    slow = {"0": 0.02, "1": 0.03, "2": 0.03, "4": 0.04}
    seen = found(to_tensor=slow, indexed=slow)
    assert seen.sentence.startswith("Take no workers: an epoch (ToTensor) with 1 worker takes")
    assert seen.so.startswith("Leave num_workers at 0.")
    assert any(text.startswith("A worker pays from between 4.9 µs and 24 µs") for text in seen.why)


def test_a_number_that_is_faster_is_taken_though_of_the_fastest_it_cannot_be_told() -> None:
    seen = found(noisy={"2": (0.5, 0.2, 1.3)}, to_tensor={"1": 0.05})
    assert seen.sentence.startswith("Take 1 worker: ")


def test_a_number_of_which_it_cannot_be_told_keeps_from_advising_none() -> None:
    slow = {"0": 0.02, "1": 0.03, "2": 0.03, "4": 0.04}
    seen = found(noisy={"4": (1.6, 0.8, 3.2)}, to_tensor=slow)
    assert seen.sentence.startswith("Cannot tell whether workers pay: an epoch (ToTensor) with 4")
    assert "num_workers" not in seen.so


def test_where_it_cannot_be_told_no_cost_is_said_to_be_too_small() -> None:
    told = found(width=0.9).why[1]
    assert told.startswith("Cannot tell whether a worker pays where loading an image takes ")


def test_tensors_in_memory_are_advised_where_they_are_faster_than_the_workers_too() -> None:
    assert found().so.endswith("Slice what fits into memory: that is faster.")
    assert "Slice" not in found(to_tensor={"resident": 0.0398}).so


def test_what_was_lost_is_told_of_the_device_that_lost_it() -> None:
    config = {**yaml.safe_load((ROOT / "config.yaml").read_text()), "devices": ["cpu", "gpu0"]}
    cpu, gpu = invented.of_question(config, "loader", World())
    lost = with_status(gpu, Status.CONTENDED, 3)
    seen = answer.answer(occasion.pooled([lost, cpu], {}))
    first, second = seen.sentence.split("cpu: ")
    assert first.endswith("Disturbed: ToTensor + crop. ")
    assert "Disturbed" not in second


def test_noise_cannot_tell() -> None:
    seen = found(width=0.9)
    assert seen.sentence.startswith("Cannot tell whether workers pay")
    assert model.state(seen.cells) == State.UNKNOWN


def test_noise_beside_the_headlines_race_leaves_it_answered() -> None:
    alike = {"0": 0.02, "1": 0.02, "2": 0.0203, "4": 0.0204}
    seen = found(width=0.03, augmented=alike, indexed=alike)
    assert seen.sentence.startswith("Take 1 worker: an epoch (ToTensor)")
    assert "cannot tell" in {row["verdict"] for row in seen.numbers["arms"]}
    assert model.state(seen.cells) == State.ANSWERED


def test_what_is_claimed_stands_beside_what_was_measured() -> None:
    table = found().folded[0].table
    assert table is not None
    assert [row[1] for row in table.rows] == ["no workers", "4 workers", "2 workers"]
