"""The log of norms: every way logs the same, reads as often as it says, and is judged as it is."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import answer_norm_log as answer
import measure_norm_log as measure
import pytest
import torch
from assay import record
from assay.answer import model, question
from assay.answer.model import Main, State
from assay.record import Record, Status, Trial
from assay.timing.reads import reads
from assay.timing.trial import Work
from builders import QUICK, answered, make_record

CPU = torch.device("cpu")
SETTINGS: dict[str, Any] = {
    "seed": 1,
    "protocol": {**QUICK},
    "products": 1000,
    "printed": 100,
    "n": 100,
    "cap_s": 60,
    "operand_sets": 1,
}


def measured(folder: Path, **changes: Any) -> Record:
    """The record of a run of the measuring script, on one thread: a busy core stops two."""
    path = folder / "record.json"
    settings = json.dumps(SETTINGS | changes)
    measure.main(["--threads", "1", "--settings", settings, "--output", str(path)])
    return record.read(path)


# ---- this machine ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Record:
    return measured(tmp_path_factory.mktemp("here"))


def test_a_real_job_measures_every_way(here: Record) -> None:
    assert here.status == Status.OK
    ways, graph, _ = here.trials
    assert ways.status == Status.OK
    result: Any = ways.result
    assert set(result["ratios"]) == {"twin", "list", "buffer", "print", "batched"}
    assert graph.what == {"way": "graph"}
    assert graph.status == Status.UNAVAILABLE
    assert graph.reason == "a CUDA graph needs a CUDA device, this is cpu"


def test_the_norms_are_those_of_normal_matrices(here: Record) -> None:
    result: Any = here.trials[0].result
    assert result["norm_expected"] == pytest.approx(1000)
    assert 990 < result["norm_mean_low"] < result["norm_mean"] < result["norm_mean_high"] < 1010


def test_the_host_reads_as_often_as_the_way_says(here: Record) -> None:
    reads = here.trials[0].result["reads"]
    assert reads == {"item": 1000, "list": 1, "buffer": 1, "batched": 1, "print": 1000}


def test_the_published_loop_overflows(here: Record) -> None:
    result: Any = here.trials[2].result
    assert 50 < result["first_infinite"] < 80
    assert result["first_infinite_norm"] < result["first_infinite"]


def test_this_machine_is_answered(here: Record, tmp_path: Path) -> None:
    found = answered(answer, tmp_path, [here])
    assert found.state != State.NONE
    assert [row[0] for row in found.table.rows] == [
        ".item() each",
        "list, then stack",
        "preallocated buffer",
        "print each",
        "batched product",
    ]
    assert found.missing[0].reason.startswith("a CUDA graph needs")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


# ---- the ways --------------------------------------------------------------------------------


def test_every_way_logs_the_same_norms() -> None:
    prepare = measure.one_at_a_time(20, 30, CPU)
    chain = prepare(torch.Generator().manual_seed(1))[0].double()
    expected = [torch.linalg.norm(chain[i] @ chain[i + 1]).item() for i in range(20)]
    text = io.StringIO()
    with torch.random.fork_rng():
        works = measure._works(20, 7, 30, CPU, text)
    for name, work in works.items():
        log = work.run(work.prepare(torch.Generator().manual_seed(1)))
        if name == "print":  # fewer of them
            log = [float(line.removeprefix("tensor(")[:-1]) for line in text.getvalue().split()]
        count = 7 if name == "print" else 20
        assert list(log) == pytest.approx(expected[:count], rel=1e-5), name
        assert work.units == count


@pytest.mark.parametrize("products", [1, 7])
def test_reads_are_counted(products: int) -> None:
    operands = measure.one_at_a_time(products, 8, CPU)(torch.Generator().manual_seed(1))
    assert reads(partial(measure.item_each, operands)) == products
    assert reads(partial(measure.list_and_stack, operands)) == 1
    assert reads(partial(measure.buffer, operands)) == 1
    assert reads(lambda: None) == 0


def test_printing_writes_a_line_for_every_value() -> None:
    text = io.StringIO()
    operands = measure.one_at_a_time(5, 8, CPU)(torch.Generator().manual_seed(1))
    partial(measure.print_each, sink=text)(operands)
    assert len(text.getvalue().splitlines()) == 5


def test_matrices_are_all_different_and_memory_stays_small() -> None:
    chain, product, log = measure.one_at_a_time(9, 4, CPU)(torch.Generator().manual_seed(1))
    assert len({tuple(matrix.flatten().tolist()) for matrix in chain}) == 10
    assert (product.numel(), log.numel()) == (16, 9)


def test_ways_that_log_different_values_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = measure._works

    def with_a_wrong_one(*arguments: Any) -> dict[str, Work[Any]]:
        works = real(*arguments)
        right = works["list"]
        wrong = Work(right.prepare, lambda operands: 2 * right.run(operands), right.units)
        return {**works, "list": wrong}

    monkeypatch.setattr(measure, "_works", with_a_wrong_one)
    settings = {**SETTINGS, "products": 5, "n": 8}
    seen = measure.measure(measure.Job({}, settings, CPU))[0]
    assert seen.status == Status.REFUSED
    assert seen.reason == "the ways list and item log different values"


def test_what_does_not_fit_is_out_of_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measure.machine, "free_memory", lambda _: 1000)
    seen = measured(tmp_path)
    assert seen.trials[0].status == Status.OUT_OF_MEMORY
    assert "GB of cpu are free" in str(seen.trials[0].reason)
    assert "Nothing could be measured" in answered(answer, tmp_path, [seen]).sentence


# ---- made-up records -------------------------------------------------------------------------


def made_up(device: str, ways: dict[str, float], width: float = 0.005, **extra: Any) -> Record:
    """A record whose ways take so many milliseconds per 1000 products."""

    def arm(ms: float) -> dict[str, float]:
        low, high = ms * (1 - width) / 1e3, ms * (1 + width) / 1e3
        return {
            "time_median_s": ms / 1e3,
            "time_low_s": low,
            "time_high_s": high,
            "units_per_call": 1000,
        }

    def ratio(value: float) -> dict[str, float]:
        low, high = value * (1 - width), value * (1 + width)
        p = 0.5 if low <= 1 <= high else 1e-6
        return {"ratio": value, "ratio_low": low, "ratio_high": high, "p": p}

    ratios = {name: ratio(ms / ways["item"]) for name, ms in ways.items() if name != "item"}
    arms = {"anchor" if name == "item" else name: arm(ms) for name, ms in ways.items()}
    result = {
        "arms": {**arms, "twin": arm(ways["item"])},
        "ratios": {**ratios, "twin": {"ratio": 1, "ratio_low": 0.99, "ratio_high": 1.01, "p": 0.5}},
        "rounds": 20,
        "rounds_void": 0,
        "operand_sets": 2,
        "reads": {name: 1000 if name in ("item", "print") else 1 for name in ways},
        "norm_mean": 1000.2,
        "norm_mean_low": 999.5,
        "norm_mean_high": 1000.9,
        "norm_expected": 1000.0,
        **extra,
    }
    trials = [
        Trial(what={"products": 1000, "n": 100, "anchor": "item"}, result=result),
        Trial(
            what={"way": "published", "operation": "z = z * x"},
            result={"first_infinite": 64, "first_infinite_norm": 32, "iterations": 1000},
        ),
    ]
    return make_record("norm_log", {"device": device}, trials, settings=SETTINGS)


CPU_MS = {"item": 25.0, "list": 40.0, "buffer": 25.1, "print": 90.0, "batched": 20.0}
GPU_MS = {"item": 30.0, "list": 16.0, "buffer": 15.0, "print": 200.0, "batched": 0.6, "graph": 8.0}


def test_every_way_gets_its_verdict() -> None:
    found = answer.answer([made_up("cpu", CPU_MS)])
    words = {row["arm"]: row["verdict"] for row in found.numbers["ways"]}
    assert words == {
        "item": "reference",
        "list": "slower",
        "buffer": "the same",
        "print": "slower",
        "batched": "faster",
    }
    assert model.state(found.cells) == State.ANSWERED
    assert "costs nothing here" in found.sentence
    assert "the same time within 10 %" in found.sentence
    assert found.short == "Costs nothing; batched product −20.0 %"
    assert found.so == "Use one batched product."


def test_noise_cannot_tell() -> None:
    found = answer.answer([made_up("cpu", CPU_MS, width=0.7)])
    words = {row["verdict"] for row in found.numbers["ways"] if row["arm"] in ("list", "buffer")}
    assert words == {"cannot tell"}
    assert model.state(found.cells) == State.UNKNOWN
    assert found.sentence.startswith("Cannot tell")
    assert found.so == ""


def test_the_short_answer_rests_on_the_same_way_as_the_headline() -> None:
    """Of two ways the better one decides, whatever is known of the other."""
    mixed = made_up("cpu", CPU_MS | {"list": 25.05}, width=0.01)
    result = mixed.trials[0].result["ratios"]["buffer"]
    result |= {"ratio": 1.2, "ratio_low": 0.9, "ratio_high": 1.6, "p": 0.2}
    found = answer.answer([mixed])
    assert "costs nothing here" in found.sentence
    assert found.short.startswith("Costs nothing")
    assert model.state(found.cells) == State.PART


def test_one_way_that_is_faster_shows_that_reading_back_costs_time() -> None:
    """Also where the other looks faster still, of which nothing can be told."""
    mixed = made_up("cpu", CPU_MS | {"buffer": 21.0, "batched": 25.0})
    result = mixed.trials[0].result["ratios"]["list"]  # type: ignore[index, call-overload]
    result |= {"ratio": 0.8, "ratio_low": 0.6, "ratio_high": 1.07, "p": 0.1}  # type: ignore[operator]
    found = answer.answer([mixed])
    assert found.short == "Costs time; preallocated buffer −16.0 %"
    assert found.sentence.startswith("Reading back each of 1000 norms costs time: a preallocated")
    assert found.so == "Use a preallocated buffer."


def test_a_gpu_has_a_graph_and_counted_synchronisations() -> None:
    counts = {"item": 1000, "list": 1, "buffer": 1, "print": 9000, "batched": 1, "graph": 1}
    found = answer.answer([made_up("cpu", CPU_MS), made_up("gpu", GPU_MS, synchronisations=counts)])
    graph = next(row for row in found.numbers["ways"] if row["arm"] == "graph")
    assert graph["verdict"] == "faster"
    assert graph["synchronisations"] == 1
    assert [view.name for view in found.views] == ["cpu", "gpu"]
    assert "cpu: " in found.sentence
    assert "gpu: Reading back each of 1000 norms costs time" in found.sentence


def test_the_norms_and_the_counter_example_are_said() -> None:
    text = " ".join(answer.answer([made_up("cpu", CPU_MS)]).why)
    assert "The mean norm is 1000.2 [999.5, 1000.9], expected 1000" in text
    assert "an infinite norm from iteration 32 and infinite elements from iteration 64" in text


def test_a_contended_trial_is_not_judged() -> None:
    busy = made_up("cpu", CPU_MS)
    busy.trials[0].status, busy.trials[0].reason = Status.CONTENDED, "3 of 20 rounds"
    busy.trials[0].result |= {"arms": {}, "ratios": {}}
    found = answer.answer([busy])
    assert found.sentence == question.NOTHING
    assert found.cells == [Main("cpu", lost="disturbed")]
    assert "contended" in set(found.frame["status"])


def test_the_files_of_an_answer(tmp_path: Path) -> None:
    seen = answered(answer, tmp_path, [made_up("cpu", CPU_MS), made_up("gpu", GPU_MS)])
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + 2 * 2 + 5 + 6
    assert len(seen.table.rows) == 11
