"""Batch: the knee and the costs are those that are put into made-up records; real, small jobs."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import answer_batch as answer
import measure_scaling
import measure_throughput as measure
import pytest
import torch
from assay import record
from assay.answer import model, question
from assay.answer.model import State, Table
from assay.answer.question import Findings
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial
from assay.timing import proof
from builders import QUICK, make_record, with_status
from torch.utils.flop_counter import FlopCounterMode

CPU = torch.device("cpu")
BATCHES = [1, 4, 16, 64, 256, 1024]
TIMED: dict[str, Any] = {
    "seed": 1,
    "protocol": {**QUICK},
    "batches": [1, 8, 32],
    "anchor": 8,
    "features": 64,
    "hidden": [16],
    "dtypes": {"cpu": ["float32", "bfloat16"], "gpu": ["float32"]},
    "operand_sets_least": 1,
    "cell_s": 20,
    "half_width": 0.5,
}
LEARNT: dict[str, Any] = {
    "seed": 1,
    "batch": 256,
    "rate": 0.1,
    "rates": [0.1, 0.3],
    "hidden": [16],
    "tuning_epochs": 1,
    "epochs": 1,
    "seeds": 2,
    "validation_share": 0.16666667,
    "protocol": {**QUICK},
}


# ---- the work ----------------------------------------------------------------------------------


def test_a_step_is_as_many_flop_as_torch_counts() -> None:
    work = measure.step([16, 8], "float32", CPU, batch=4)
    operands = work.prepare(torch.Generator().manual_seed(0))
    with FlopCounterMode(display=False) as counter:
        work.run(operands)
    assert counter.get_total_flops() == 4 * measure.step_flop([16, 8])
    assert work.units == 4


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_a_layer_is_the_product_that_torch_makes_of_it(name: str) -> None:
    work = measure.layer(64, name, CPU, batch=8)
    operands = work.prepare(torch.Generator().manual_seed(0))
    work.run(operands)
    assert operands[2].shape == (8, 64)
    assert proof.product_error(operands) <= proof.tolerance(64, name)
    assert torch.equal(operands[2], torch.nn.functional.linear(operands[0], operands[1].t()))


def test_rules_start_from_the_reference_where_all_are_the_same() -> None:
    assert measure_scaling.rates(2048, 1.0, LEARNT) == pytest.approx(
        {"constant": 0.1, "linear": 0.8, "square_root": 0.1 * math.sqrt(8), "tuned": 1.0}
    )
    at_reference = measure_scaling.rates(256, None, LEARNT)
    assert at_reference == {"constant": 0.1, "linear": 0.1}  # and no best rate: all diverged
    assert measure_scaling.rates(256, 0.1, LEARNT) == at_reference  # nor one of its own


# ---- real jobs ---------------------------------------------------------------------------------


def test_a_job_times_every_batch_in_every_format(tmp_path: Path) -> None:
    output = tmp_path / "throughput.json"
    measure.main(["--threads", "1", "--settings", json.dumps(TIMED), "--output", str(output)])
    made = record.read(output)
    assert made.status == Status.OK
    assert [trial.what for trial in made.trials] == [
        {"work": work, "dtype": dtype, "anchor": 8}
        for dtype in ("float32", "bfloat16")
        for work in ("layer", "step")
    ]
    for trial in made.trials:
        assert set(dict(trial.result["arms"])) == {"anchor", "twin", "1", "32"}  # type: ignore[call-overload]


def test_a_slow_device_is_answered_by_the_batches_that_it_has_time_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def compare(what: Any, anchor: Any, targets: Any, *_: Any) -> Trial:
        seen.append([*targets])
        status = Status.SKIPPED if "32" in targets else Status.OK
        return Trial(what=what, status=status, result={"arms": {}, "disturbed": False})

    monkeypatch.setattr(measure.trial, "compare", compare)
    output, own = tmp_path / "t.json", TIMED | {"dtypes": {"cpu": ["float32"]}}
    measure.main(["--settings", json.dumps(own), "--output", str(output)])
    assert seen == [["1", "32"], ["1"]] * 2


@pytest.fixture(scope="module")
def scaled(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Real trainings at the reference and at a larger batch."""
    folder = tmp_path_factory.mktemp("scaling")
    for batch in (256, 1024):
        measure_scaling.main(
            [
                *("--batch", str(batch), "--threads", "1", "--dataset", str(data)),
                *("--settings", json.dumps(LEARNT), "--output", str(folder / f"{batch}.json")),
            ]
        )
    return [record.read(folder / f"{batch}.json") for batch in (256, 1024)]


def test_the_placebo_is_the_reference_bit_for_bit(scaled: list[Record]) -> None:
    found = answer.answer(scaled)
    assert found.numbers["cpu"]["placebo_difference"] == 0
    assert "The placebo is the reference bit for bit." in found.why
    assert not any("256, linear" in str(row[0]) for row in table(found, answer.ACCURACY).rows)


# ---- made-up records ---------------------------------------------------------------------------


def throughput(start: float, **changes: Any) -> Record:
    """A layer and a step that cost so many samples' time to start, in float32."""
    options: dict[str, Any] = {"width": 0.01, "slow": {}} | changes
    per_sample = {b: 1e-6 * (1 + start / b) * options["slow"].get(b, 1.0) for b in BATCHES}
    arms, ratios = {}, {"twin": _ratio(1.0, options["width"])}
    for batch, time in per_sample.items():
        name = "anchor" if batch == 256 else str(batch)
        seconds = {"time_median_s": time, "time_low_s": time, "time_high_s": time}
        arms[name] = {key: batch * value for key, value in seconds.items()}
        arms[name]["units_per_call"] = batch
        if name != "anchor":
            ratios[name] = _ratio(time / per_sample[256], options["width"])
    result: dict[str, Any] = {"arms": arms, "ratios": ratios, "flop_per_sample": 2 * 1024**2}
    trials = [
        Trial(what={"work": work, "dtype": "float32", "anchor": 256},
              result=result | {"peak_flops": None})
        for work in ("layer", "step")
    ]  # fmt: skip
    made = make_record("throughput", {"device": "cpu", "occasion": 1}, trials)
    made.settings = TIMED | {"features": 1024}
    return made


def _ratio(value: float, width: float) -> dict[str, float]:
    ends = {"ratio_low": value / (1 + width), "ratio_high": value * (1 + width)}
    return {"ratio": value, **ends, "p": 0.0 if abs(value - 1) > width else 1.0}


def scaling(batch: int, **accuracies: float) -> Record:
    """Five runs by every rule that come to these accuracies."""
    rates = measure_scaling.rates(batch, 0.3, LEARNT)
    trials = []
    for rule, rate in rates.items():
        for seed in range(5):
            seen = accuracies.get(rule, accuracies["constant"]) + 0.0003 * math.sin(seed)
            spread = 0.0001 * math.cos(3 * seed) * (batch != 256)
            trials.append(
                Trial(
                    what={"phase": "training", "rate": rate, "seed": seed, "rule": rule},
                    result={
                        "validation_accuracy": seen,
                        "test_accuracy": seen + spread,
                        "test_images": 10_000,
                        "weights_sha256": f"{seen}",
                    },
                )
            )
    made = make_record("scaling", {"device": "cpu", "batch": batch}, trials)
    made.settings = LEARNT | {"seeds": 5}
    return made


REFERENCE = scaling(256, constant=0.84)
LARGE = scaling(2048, constant=0.75, linear=0.84, square_root=0.80)


def found(*records: Record) -> Findings:
    return answer.answer([*records])


def table(seen: Findings, title: str) -> Table:
    """The table of that title, which is folded."""
    (own,) = [view.table for view in seen.folded if view.title == title]
    assert own is not None
    return own


def test_the_knee_is_the_one_that_was_put_in() -> None:
    """A start of 10 samples: 90 % from batch 100 on, whatever the largest reaches."""
    seen = found(throughput(10), REFERENCE, LARGE)
    assert seen.numbers["cpu"]["between"]["float32 training step"] == [64, 256]
    assert seen.sentence.startswith(
        "Training reaches 90 % of its best speed between batch 64 and 256."
    )
    assert seen.so.startswith("Take a batch of 256.")
    assert len(seen.sentence.split()) <= 25


def test_a_batch_beyond_the_best_may_be_slower_again() -> None:
    seen = found(throughput(1, slow={1024: 1.5}), REFERENCE, LARGE)
    assert seen.numbers["cpu"]["between"]["float32 training step"] == [4, 16]


def test_a_flat_curve_is_at_its_best_from_the_first_batch_on() -> None:
    seen = found(throughput(0), REFERENCE, LARGE)
    assert "of its best speed from batch 1 on." in seen.sentence


def test_beside_a_noisy_control_nothing_is_told() -> None:
    seen = found(throughput(10, width=0.3), REFERENCE, LARGE)
    assert "Cannot tell from which batch on" in seen.sentence
    assert seen.cells[0].word == Word.UNKNOWN
    assert "Take a batch" not in seen.so


def test_what_a_larger_batch_costs_and_which_rate_makes_good_for_it() -> None:
    seen = found(throughput(10), REFERENCE, LARGE)
    assert seen.numbers["cpu"]["accuracies"][2]["difference"] == pytest.approx(-0.09, abs=1e-3)
    assert "Batch 2048, same rate: −" in seen.sentence
    assert seen.sentence.endswith("points, worse.")
    assert seen.so.endswith("With 2048, take a rate of 0.8.")
    assert re.fullmatch(r"Batch 256; 2048 at the same rate costs (8\.9|9\.0)\d* points", seen.short)


def test_no_batch_is_advised_beyond_those_whose_accuracy_is_known_to_hold() -> None:
    """A start of 400 samples: 90 % of the best speed is nowhere before the largest batch."""
    slow, tried = throughput(400), scaling(512, constant=0.84)
    assert found(slow, REFERENCE, tried).so == "Take a batch of 512: larger ones may cost accuracy."
    spread = scaling(512, constant=0.84)
    for i, run in enumerate(spread.trials):
        run.result["test_accuracy"] = 0.84 + 0.02 * (-1) ** i
    assert found(slow, REFERENCE, spread).so == (
        "Take a batch of 256: it has 54 % of the best speed, and larger ones may cost accuracy."
    )
    assert found(slow, REFERENCE, scaling(512, constant=0.7, linear=0.84)).so == (
        "Take a batch of 512 at a rate of 0.2."
    )


def test_the_same_accuracy_is_so_within_a_margin_and_the_headline_has_room_for_it() -> None:
    seen = found(throughput(10), REFERENCE, scaling(2048, constant=0.84))
    assert re.search(r"points, the same within 0\.\d+\.$", seen.sentence)
    assert len(seen.sentence.split()) <= 25


def test_the_placebo_does_not_sharpen_what_the_seeds_could_have_shown() -> None:
    noisy = scaling(2048, constant=0.75)
    others = [trial for trial in REFERENCE.trials if trial.what["rule"] != answer.PLACEBO]
    without = REFERENCE.model_copy(update={"trials": others})
    (resolution,) = [t for t in found(REFERENCE, noisy).why if t.startswith("These seeds")]
    assert resolution in found(without, noisy).why


@pytest.mark.parametrize("trained", [[], [with_status(REFERENCE, Status.DIVERGED, 0)]])
def test_without_any_accuracy_no_batch_is_advised(trained: list[Record]) -> None:
    seen = found(throughput(10), *trained)
    assert seen.so == ""
    assert seen.short.startswith("Speed: between batch 64 and 256; ")


def test_a_smaller_batch_that_learns_more_is_told() -> None:
    small, start = scaling(32, constant=0.87, linear=0.85), "A smaller batch learns more"
    (told,) = [t for t in found(small, REFERENCE, LARGE).why if t.startswith(start)]
    assert told.startswith(f"{start} from as many samples: 32, same rate 0.1, +")
    assert told.endswith("] points.")
    worse = scaling(32, constant=0.8)
    assert not any(t.startswith(start) for t in found(worse, REFERENCE, LARGE).why)


def test_where_a_larger_batch_costs_at_every_rate_the_reference_is_advised() -> None:
    """A start of 100 samples: 90 % of the best speed is beyond the reference."""
    large = scaling(2048, constant=0.75, linear=0.5, square_root=0.80)
    seen = found(throughput(100), REFERENCE, large)
    assert seen.short.startswith("Batch 256; 2048 at the same rate costs ")
    assert seen.so == "Take a batch of 256: it has 79 % of the best speed, and 2048 costs accuracy."


@pytest.mark.parametrize(
    ("linear", "outcome"), [(0.84, "✓ yes"), (0.80, "✗ no"), (0.8432, "! cannot tell")]
)
def test_a_published_rule_is_judged(linear: float, outcome: str) -> None:
    large = scaling(2048, constant=0.75, linear=linear)
    if outcome == "! cannot tell":
        for i, run in enumerate(t for t in large.trials if t.what["rule"] == "linear"):
            run.result["test_accuracy"] = 0.84 + 0.02 * (-1) ** i
    row = table(found(REFERENCE, large), question.PUBLISHED).rows[0]
    assert row[:2] == ["The linear rule keeps the accuracy", answer.CLAIMED["linear"]]
    assert model.written(row[2]) == outcome


def test_bandwidth_and_products_predict_the_layer() -> None:
    """100 GFLOP/s on 10 GB/s are 10 FLOP a byte: a layer of 1024 has 90 % from batch 18.7 on."""
    from test_bandwidth import LEVELS, curve, product, scan

    memory = make_record("bandwidth", {"device": "cpu"}, [curve("read", 2, scan(LEVELS))])
    best = make_record("alignment", {"device": "cpu"}, [product("float32", 1024, 1e11)])
    seen = found(throughput(10), REFERENCE, memory, best)
    (text,) = [text for text in seen.why if "FLOP a byte" in text]
    assert text == (
        "90 % of the best speed: float32 linear layer between batch 64 and 256 (memory allows it "
        "from 64 on: 10 FLOP a byte)."
    )
    without = found(throughput(10), REFERENCE)
    assert any("(bandwidth or products not measured)" in text for text in without.why)


def test_what_was_lost_is_named_and_nothing_is_advised() -> None:
    seen = found(with_status(throughput(10), Status.CONTENDED), with_status(LARGE, Status.SKIPPED))
    assert "Training: disturbed." in seen.sentence
    assert seen.so == ""
    assert {cell.lost for cell in seen.cells} >= {"disturbed"}


def test_without_a_larger_batch_its_cost_is_not_measured() -> None:
    seen = found(throughput(10), REFERENCE)
    assert seen.sentence.endswith("A larger batch: not measured.")
    assert model.state(seen.cells) == State.PART
