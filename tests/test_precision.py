"""Precision: what a step keeps and loses in each format; words for made-up records; real jobs."""

import json
from contextlib import nullcontext

import answer_precision as answer
import measure_precision as measure
import measure_precision_steps as measure_steps
import pytest
import torch
from assay import record
from assay.answer import model, occasion
from assay.answer.model import State
from assay.device import Unavailable
from assay.ladder import precision
from assay.ladder.precision import PRECISIONS
from assay.learning import network, training
from assay.learning.training import Examples
from assay.record import Status, Trial
from builders import PROTOCOL, QUICK, make_record, with_status

SEEDS = range(1, 6)
NOISE = [0.001, -0.0005, 0.0, 0.0007, -0.001]


def batch(count=64):
    generator = torch.Generator().manual_seed(0)
    return Examples(torch.rand(count, 20, generator=generator), torch.arange(count) % 3)


def small():
    return network.perceptron([20, 16, 3], "relu", seed=1)


def after(name, steps=3):
    own = PRECISIONS[name]
    made, data = small().to(own.weights), own.examples(batch())
    step = own.steps(made, 0.5)
    losses = [float(step(data)) for _ in range(steps)]
    return made, losses


# ---- steps ---------------------------------------------------------------------------------------


def test_the_placebo_and_float32_are_plain_sgd_bit_for_bit():
    plain = small()
    step = training.sgd(plain, 0.5)
    losses = [float(step(batch())) for _ in range(3)]
    for name in ("float32", "placebo"):
        made, seen = after(name)
        assert seen == losses
        assert training.digest(made) == training.digest(plain)


@pytest.mark.parametrize("name", ["bfloat16", "float16", "float16_scaled", "bfloat16_weights"])
def test_a_step_in_16_bits_is_float32s_but_for_rounding(name):
    precision.require(name, small(), batch())
    assert precision.wrong(name, small(), batch()) is None
    made, losses = after(name)
    assert losses == pytest.approx(after("float32")[1], rel=0.02)
    assert losses != after("float32")[1]
    kept = torch.bfloat16 if name == "bfloat16_weights" else torch.float32
    assert {weight.dtype for weight in made.parameters()} == {kept}


def test_a_scaler_keeps_small_gradients_and_skips_infinite_ones():
    made = small()
    step = PRECISIONS["float16_scaled"].steps(made, 0.5)
    before = training.digest(made)
    step(Examples(1e4 * batch().inputs, batch().labels))  # times 65536, beyond float16
    assert training.digest(made) == before
    step(batch())
    assert training.digest(made) != before


def test_a_format_that_is_not_here_is_unavailable_with_its_reason(monkeypatch):
    with pytest.raises(Unavailable, match="NVIDIA"):
        precision.require("tf32", small(), batch())
    monkeypatch.setattr(torch, "autocast", lambda *_: nullcontext())
    with pytest.raises(Unavailable, match="no autocast to bfloat16 on cpu"):
        precision.require("bfloat16", small(), batch())


# ---- rounding ------------------------------------------------------------------------------------


def lost(name, made, data, rate=0.1):
    own = PRECISIONS[name]
    return precision.rounded_away(own, made.to(own.weights), own.examples(data), rate)


def test_a_format_that_computes_something_else_is_not_called_slow_instead(monkeypatch):
    monkeypatch.setattr(measure_steps, "wrong", lambda *_: "wrong loss")
    seen = measure_steps.try_out({}, "bfloat16", small(), batch(), most_s=0.0)
    assert (seen.status, seen.reason) == (Status.REFUSED, "wrong loss")


def test_float32_loses_no_gradient_and_hardly_an_update():
    seen = lost("float32", small(), batch())
    assert seen["signals"] == seen["gradients"] == [0.0, 0.0]
    assert max(seen["updates"]) < 0.05


def test_small_updates_of_bfloat16_weights_change_nothing():
    few, many = (lost("bfloat16_weights", small(), batch(), rate)["updates"] for rate in (1e-5, 10))
    assert min(few) > 0.9
    assert max(many) < 0.5


def test_small_signals_underflow_in_float16_and_a_scale_or_bfloat16s_range_keeps_them():
    made = small()
    with torch.no_grad():  # nearly sure of every class: what is left to learn is tiny
        made[-1].weight.zero_()
        made[-1].bias.copy_(torch.tensor([14.0, 0.0, 0.0]))
    data = Examples(batch().inputs, torch.zeros(64, dtype=torch.int64))
    share = {
        name: lost(name, made, data)["signals"][-1]
        for name in ("float16", "float16_scaled", "bfloat16")
    }
    assert share == {"float16": pytest.approx(1.0), "float16_scaled": 0.0, "bfloat16": 0.0}


# ---- answers -------------------------------------------------------------------------------------

SETTINGS = {
    "hidden": [256],
    "batch": 256,
    "rate": 0.1,
    "epochs": 3,
    "seeds": 5,
    "validation_share": 0.16666667,
    "cell_s": 100,
    "seed": 1,
    "precisions": ["tf32", "bfloat16", "bfloat16_weights"],
    "protocol": dict(PROTOCOL),
}


def arm(name, mean, spread=0.0001):
    """A record of a precision whose runs scatter around a mean as float32's do."""
    runs = [
        Trial(
            what={"phase": "training", "rate": 0.1, "seed": seed},
            result={
                "validation_accuracy": mean,
                "test_accuracy": mean + noise + (seed % 2) * spread,
                "test_images": 10_000,
                "weights_sha256": f"{name}{seed}",
                "rounded_away": {"signals": [0.1, 0], "gradients": [0.2, 0], "updates": [0.5, 0.4]},
            },
        )
        for seed, noise in zip(SEEDS, NOISE, strict=True)
    ]
    memory = Trial(what={"phase": "memory"}, result={"memory_bytes": 4_000_000})
    axes = {"device": "cpu", "precision": name}
    return make_record("precision", axes, [*runs, memory], settings=SETTINGS)


def timed(ratios, width=256):
    """A record of the steps, as made-up ratios."""
    seen = {"twin": (1.0, 0.995, 1.005)} | {n: (r, 0.99 * r, 1.01 * r) for n, r in ratios.items()}
    keys = ("ratio", "ratio_low", "ratio_high")
    time = {"time_median_s": 1e-3, "time_low_s": 9.9e-4, "time_high_s": 1.01e-3}
    result = {
        "arms": dict.fromkeys(["anchor", *seen], time),
        "ratios": {name: dict(zip(keys, each, strict=True)) for name, each in seen.items()},
    }
    what = {"phase": "step time", "width": width, "anchor": "float32"}
    lacks = {"status": Status.UNAVAILABLE, "reason": "TF32 is a format of GPUs"}
    trials = [Trial(what=what, result=result), Trial(what={**what, "precision": "tf32"}, **lacks)]
    axes = {"device": "cpu", "occasion": 1}
    return make_record("precision_steps", axes, trials, settings=SETTINGS)


def answered(*records):
    return answer.answer(occasion.pooled(records, {}))


def column(found, name):
    place = [each.name for each in found.table.columns].index(name)
    return {row[0]: getattr(row[place], "text", row[place]) for row in found.table.rows}


def test_as_accurate_and_faster_is_told_and_advised():
    found = answered(
        arm("float32", 0.85, 0), arm("bfloat16", 0.85), arm("bfloat16_weights", 0.82),
        timed({"bfloat16": 0.5, "bfloat16_weights": 0.8}),
    )  # fmt: skip
    assert found.sentence.startswith("bfloat16 trains as well as float32, and a step takes 0.500 [")
    assert found.sentence.endswith("Worse: bfloat16 weights.")
    assert len(found.sentence.split()) <= 25
    assert len(found.short.split()) <= 12
    assert found.so == "Train with bfloat16: as accurate, and faster."
    assert model.state(found.cells) == State.ANSWERED


def test_the_best_known_is_advised_not_the_fastest():
    found = answered(
        *(arm(name, 0.85, 0) for name in ("float32", "bfloat16", "bfloat16_weights")),
        timed({"bfloat16": 0.7, "bfloat16_weights": 0.5}),
    )
    assert found.so.startswith("Train with bfloat16: ")


def test_what_is_advised_stands_in_the_headline_whatever_that_is_of():
    found = answered(
        *(arm(name, 0.85, 0) for name in ("float32", "bfloat16", "bfloat16_weights")),
        timed({"bfloat16": 1.4, "bfloat16_weights": 0.5}),
    )
    assert found.sentence.endswith("longer. As accurate and faster: bfloat16 weights.")
    assert found.so == "Train with bfloat16 weights: as accurate, and faster."


def test_where_no_half_precision_is_faster_float32_stays():
    found = answered(arm("float32", 0.85, 0), arm("bfloat16", 0.85), timed({"bfloat16": 1.4}))
    assert "a step takes 40.0 % [38.6, 41.4] longer" in found.sentence
    assert found.so == "Stay with float32: no half precision is faster here."


def test_what_is_faster_for_a_larger_network_alone_is_advised_for_that():
    records = [arm("float32", 0.85, 0), arm("bfloat16", 0.85), timed({"bfloat16": 1.4})]
    records[-1].trials += timed({"bfloat16": 0.5}, width=2048).trials
    assert answered(*records).so == (  # accuracy with 2048 is not known
        "With 2048 units, train with bfloat16: faster there, and as accurate with 256 units."
    )


def test_as_long_is_so_within_a_margin():
    found = answered(arm("float32", 0.85, 0), arm("bfloat16", 0.85), timed({"bfloat16": 1.002}))
    assert "and a step takes the same time within 2 %." in found.sentence
    assert found.short == "bfloat16: as accurate; as fast"


def test_a_worse_one_is_not_advised_however_fast():
    found = answered(arm("float32", 0.85, 0), arm("bfloat16", 0.83), timed({"bfloat16": 0.5}))
    assert found.sentence.startswith("bfloat16 trains worse than float32, and a step takes ")
    assert found.so == ""


def test_what_cannot_be_told_apart_is_said_so():
    found = answered(arm("float32", 0.85, 0), arm("bfloat16", 0.85, 0.02), timed({"bfloat16": 0.5}))
    assert found.sentence.startswith("Cannot tell whether bfloat16 trains as well as float32, and")
    assert model.state(found.cells) == State.PART


def test_what_cannot_be_told_of_another_format_is_said_too():
    """The answer is one in part because of it."""
    made = [arm("float32", 0.85, 0), arm("bfloat16", 0.85), timed({"bfloat16": 0.5})]
    found = answered(*made, arm("bfloat16_weights", 0.85, 0.02))
    assert found.sentence.endswith(" Cannot tell: bfloat16 weights.")
    unsure = timed({"bfloat16": 0.5, "bfloat16_weights": 1.0})
    unsure.trials[0].result["ratios"]["bfloat16_weights"] |= {"ratio_low": 0.9, "ratio_high": 1.1}
    found = answered(*made[:2], unsure, arm("bfloat16_weights", 0.82))
    assert found.sentence.endswith(
        "Worse: bfloat16 weights. Speed cannot be told: bfloat16 weights."
    )
    assert model.state(found.cells) == State.PART


def test_a_format_that_is_not_here_stands_in_the_table_with_its_word():
    absent = arm("float16", 0.5)
    absent.trials, absent.status, absent.reason = [], Status.UNAVAILABLE, "no kernel"
    found = answered(
        arm("float32", 0.85, 0), arm("bfloat16", 0.85), absent, timed({"bfloat16": 0.5})
    )
    assert column(found, "verdict")["float16"] == "not available"
    assert "Not compared: float16." in found.sentence
    assert model.state(found.cells) == State.PART


def test_rounding_and_claims_are_shown_beside():
    found = answered(arm("float32", 0.85, 0), arm("bfloat16", 0.85), arm("bfloat16_weights", 0.82))
    rounded, published = found.folded
    assert rounded.table.columns[-1].name == "updates without effect, layer 2"
    assert [row[2].text for row in published.table.rows] == ["yes", "not measured", "yes"]
    assert "(time of a step" not in found.sentence
    assert "Not compared: time of a step." in found.sentence


@pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.SKIPPED, Status.CONTENDED])
def test_without_a_single_run_there_is_an_answer(status):
    made = [arm("float32", 0.85), arm("bfloat16", 0.85), timed({"bfloat16": 0.5})]
    found = answered(*(with_status(each, status) for each in made))
    assert (found.so, model.state(found.cells)) == ("", State.NONE)


# ---- real jobs -----------------------------------------------------------------------------------

TINY = {"hidden": [16], "epochs": 1, "seeds": 2, "protocol": {**QUICK}}


def run(tmp_path, data, name, **changes):
    output = tmp_path / f"{name}.json"
    measure.main(["--precision", name, "--threads", "1", "--dataset", str(data), "--settings",
                  json.dumps(SETTINGS | TINY | changes), "--output", str(output)])  # fmt: skip
    return record.read(output)


def test_a_real_placebo_is_float32_and_bfloat16_needs_less_memory(tmp_path, data):
    names = ("float32", "placebo", "bfloat16_weights")
    found = answer.answer([run(tmp_path, data, name) for name in names])
    assert found.numbers["cpu"]["placebo_difference"] == 0.0
    own = found.numbers["cpu"]["arms"]
    assert own["bfloat16_weights"]["memory_bytes"] < own["float32"]["memory_bytes"]
    assert own["bfloat16_weights"]["updates_lost_1"] > own["float32"]["updates_lost_1"]


def test_memory_is_that_of_weights_and_steps_not_of_a_network_before_it_is_converted():
    """Few rows and wide layers: weights and their gradients are nearly all there is."""
    own = PRECISIONS["bfloat16_weights"]
    data = Examples(torch.rand(4, 784), torch.arange(4))
    made = network.perceptron([784, 512, 10], "relu", 0).to(own.weights)
    seen = measure.memory(made, lambda: own.steps(made, 0.1), own.examples(data))
    weights = 2 * sum(each.numel() for each in made.parameters())
    # Without instructions for bfloat16, torch computes a gradient through a copy in float32.
    copied = 0 if torch.cpu._is_avx512_bf16_supported() else 4 * 784 * 512
    assert 2 * weights <= seen.result["memory_bytes"] - copied < 2.1 * weights


def test_runs_that_would_take_too_long_are_skipped_with_the_key_to_change(tmp_path, data):
    seen = run(tmp_path, data, "float32", cell_s=1e-9)
    assert seen.status == Status.SKIPPED
    assert "studies.precision.settings.cell_s" in str(seen.reason)


def test_real_steps_are_one_trial_per_network_and_one_of_what_is_not_here(tmp_path, data):
    output = tmp_path / "steps.json"
    own = {"widths": [8, 16], "batch": 32, "operand_sets": 2, "cap_s": 20, "half_width": 0.5}
    measure_steps.main(["--occasion", "1", "--threads", "1", "--dataset", str(data), "--settings",
                        json.dumps(SETTINGS | TINY | own), "--output", str(output)])  # fmt: skip
    trials = record.read(output).trials
    assert [trial.status for trial in trials] == 2 * [Status.OK, Status.UNAVAILABLE]
    assert set(trials[0].result["ratios"]) == {"twin", "bfloat16", "bfloat16_weights"}
