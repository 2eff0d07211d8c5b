"""Activation: the words follow what is put into made-up records; one real, small job."""

import json

import answer_activation as answer
import fetch_dataset as fetch
import measure_activation as measure
import measure_steps
import numpy as np
import pytest
import torch
from assay import occasion, record
from assay.answer import accuracy
from assay.record import DatasetInfo, Status, Trial
from conftest import PROTOCOL, make_record

SETTINGS = {
    "hidden": [256],
    "batch": 256,
    "rates": [0.1, 0.3],
    "tuning_epochs": 1,
    "epochs": 3,
    "seeds": 5,
    "validation_share": 0.16666667,
    "protocol": dict(PROTOCOL),
}
DATA = DatasetInfo(name="fashion-mnist", asked="fashion-mnist", source="x", reason=None, digest="d")
NOISE = np.random.default_rng(0).normal(0, 0.001, 5)


def arm(name, mean, spread=0.0003, validation=None, digest="weights", rate=0.3):
    """A record of an arm whose five runs scatter around a mean."""
    draw = np.random.default_rng(len(name))
    runs = []
    for seed in range(5):
        own = 0.0 if name == "placebo" else draw.normal(0, spread)
        value = float(mean + NOISE[seed] + own)
        runs.append(
            Trial(
                what={"phase": "training", "rate": rate, "seed": seed},
                samples={"loss": [1.0], "validation_accuracy": [0.5, 0.7, validation or mean]},
                result={
                    "validation_accuracy": validation or mean,
                    "test_accuracy": value,
                    "test_images": 10_000,
                    "dead_share": 0.01,
                    "gradient_norm_start": 1.2,
                    "weights_sha256": f"{digest}{seed}",
                },
            )
        )
    tuning = [
        Trial(
            what={"phase": "tuning", "rate": 0.3, "seed": 9}, result={"validation_accuracy": 0.8}
        ),
        Trial(
            what={"phase": "tuning", "rate": 0.1, "seed": 9},
            status=Status.DIVERGED,
            reason="diverged in step 3 at rate 0.1",
        ),
    ]
    made = make_record("activation", {"device": "cpu", "activation": name}, tuning + runs)
    made.settings = SETTINGS
    made.provenance.dataset = DATA
    return made


def test_the_best_in_validation_is_the_reference_not_the_best_on_the_test_images():
    found = answer.answer(
        [arm("relu", 0.880, validation=0.89), arm("gelu", 0.882, validation=0.88)]
    )
    assert found.sentence.startswith("cpu – ReLU was best in validation")
    assert found.numbers["cpu"]["reference"] == "relu"


def test_a_clear_difference_is_worse_and_a_small_one_is_not():
    found = answer.answer([arm("relu", 0.880), arm("sigmoid", 0.850), arm("gelu", 0.8797, 0.0001)])
    words = {name: each["word"] for name, each in found.numbers["cpu"]["arms"].items()}
    assert words == {"relu": None, "sigmoid": "worse", "gelu": "the same"}
    assert "worse: Sigmoid" in found.sentence


def paired(ratios, twin=(0.995, 1.005)):
    """The record of a trial of steps, as made-up ratios with their intervals."""
    seen = {name: dict(zip(("ratio", "ratio_low", "ratio_high"), values, strict=True))
            for name, values in ({"twin": (1.0, *twin)} | ratios).items()}  # fmt: skip
    arms = {
        name: {"time_median_s": 1e-3, "time_low_s": 9.9e-4, "time_high_s": 1.01e-3}
        for name in ("anchor", *seen)
    }
    trial = Trial(what={"phase": "step time"}, result={"arms": arms, "ratios": seen})
    made = make_record("steps", {"device": "cpu", "occasion": 1}, [trial])
    made.settings = SETTINGS
    return occasion.pooled([made], {})[0]


def test_steps_are_judged_with_the_accuracies_as_one_family():
    steps = paired({"gelu": (1.2, 1.19, 1.21), "tanh": (1.001, 0.996, 1.006)})
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.85), steps])
    words = {name: each["word"] for name, each in found.numbers["cpu"]["steps"].items()}
    assert words == {"gelu": "slower", "tanh": "the same"}
    assert any("all its comparisons (3)" in text for text in found.method)
    told = {row[0]: row[6] for row in found.table.rows}
    assert told == {"ReLU": "reference", "GELU": "1.20 [1.19, 1.21] × (slower)"}
    assert any("Tanh 1.00 [1.00, 1.01] × (the same within 2 %)" in t for t in found.findings)


def test_no_step_is_told_apart_by_what_the_placebo_shows_as_well():
    """The placebo does ReLU's own work: where it seems 5 % faster, ELU's 4 % are nothing."""
    seen = {"placebo": (0.95, 0.94, 0.96), "elu": (1.04, 1.03, 1.05), "gelu": (1.2, 1.19, 1.21)}
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.85), paired(seen)])
    words = {name: each["word"] for name, each in found.numbers["cpu"]["steps"].items()}
    assert words == {"placebo": "control", "elu": "cannot tell", "gelu": "slower"}


def test_a_step_that_could_not_be_timed_is_left_blank():
    lost = make_record("steps", {"device": "cpu"}, [Trial(
        what={"phase": "step time"}, status=Status.CONTENDED, reason="3 of 40 rounds kept",
        result={"arms": {}, "ratios": {}})])  # fmt: skip
    lost.settings = SETTINGS
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.85), lost])
    assert [row[6] for row in found.table.rows] == [None, None]


def diverged(made, *seeds):
    """The same record, in which the runs of some seeds diverged."""
    for trial in made.trials:
        if trial.what["phase"] == "training" and trial.what["seed"] in seeds:
            trial.status, trial.reason, trial.result = Status.DIVERGED, "diverged in step 9", {}
    return made


def test_an_arm_of_which_a_run_diverged_is_shown_and_not_compared():
    """Best in validation by the runs that are left, and yet neither reference nor compared."""
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.87), diverged(arm("silu", 0.9), 2)])
    assert found.numbers["cpu"]["reference"] == "relu"
    assert set(found.numbers["cpu"]["arms"]) == {"relu", "gelu"}
    assert "not compared: SiLU diverged in 1 of 5 runs." in found.sentence
    assert found.table.rows[-1][:6] == [
        "SiLU", "cpu", 0.3, None, None, "diverged in 1 of 5 runs"
    ]  # fmt: skip


def test_when_every_arm_lost_a_run_nothing_is_compared():
    found = answer.answer([diverged(arm("relu", 0.88), 1), diverged(arm("gelu", 0.87), 2)])
    assert found.sentence.startswith("Nothing could be trained")


def test_the_tidy_table_holds_the_verdicts():
    found = answer.answer(
        [arm("relu", 0.88), arm("gelu", 0.85), paired({"gelu": (1.2, 1.19, 1.21)})]
    )
    told = found.frame[found.frame["phase"] == "verdict"].set_index(["study", "activation"])
    assert told["word"].to_dict() == {
        ("activation", "relu"): "reference",
        ("activation", "gelu"): "worse",
        ("steps", "gelu"): "slower",
    }
    assert told.loc[("activation", "gelu"), "margin"] == pytest.approx(0.00325, rel=0.01)
    assert told.loc[("steps", "gelu"), "margin"] == 0.02
    assert told.loc[("steps", "gelu"), "p"] < 0.001


def test_the_placebo_is_relu_and_says_so():
    found = answer.answer([arm("relu", 0.88, spread=0), arm("placebo", 0.88)])
    assert found.numbers["cpu"]["placebo_difference"] == 0.0
    assert any("bit for bit the same" in text for text in found.findings)


def test_a_placebo_that_differs_is_told():
    found = answer.answer([arm("relu", 0.88, spread=0), arm("placebo", 0.88, digest="other")])
    assert found.numbers["cpu"]["placebo_difference"] > 0
    assert any("mistrust this run" in text for text in found.findings)


def test_the_sampling_error_of_the_method():
    """88 % of 10,000 images: 0.32 points."""
    seen = accuracy.sampling_error(accuracy.runs(arm("relu", 0.88)))
    assert seen == pytest.approx(0.0032, abs=5e-5)


def test_an_arm_at_the_edge_of_the_grid_is_named():
    found = answer.answer([arm("relu", 0.88, rate=0.3), arm("gelu", 0.87, rate=0.3)])
    assert any("edge of the grid for ReLU, GELU" in text for text in found.caveats)


def test_an_arm_that_never_learned_is_left_out():
    lost = arm("identity", 0.8)
    lost.trials = lost.trials[1:2]
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.87), lost])
    assert "identity" not in found.sentence
    lost_only = answer.answer([lost])
    assert lost_only.sentence.startswith("Nothing could be trained")


def test_data_sets_are_not_mixed(tmp_path):
    paths = []
    for name, digest in (("relu", "a" * 64), ("gelu", "b" * 64)):
        made = arm(name, 0.88)
        made.provenance.dataset = DATA.model_copy(update={"digest": digest})
        paths.append(tmp_path / f"{name}.json")
        record.write(paths[-1], made)
    with pytest.raises(SystemExit) as error:
        answer.main(["--about", "{}", "--table", "t", "--figure", "f", "--answer", "a",
                     *map(str, paths)])  # fmt: skip
    assert "relu.json" in str(error.value)
    assert "gelu.json" in str(error.value)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "dataset.safetensors"
    fetch.main(
        ["--settings", json.dumps({"size": "sample", "folder": None}), "--output", str(path)]
    )
    return path


def small(**changes):
    values = {"seed": 1, "hidden": [16], "epochs": 2, "seeds": 2}
    return json.dumps(SETTINGS | values | changes)


def run(tmp_path, data, name, **changes):
    output = tmp_path / f"{name}.json"
    measure.main(["--activation", name, "--threads", "1", "--dataset", str(data),
                  "--settings", small(**changes), "--output", str(output)])  # fmt: skip
    return record.read(output)


def test_a_real_placebo_is_relu_bit_for_bit(tmp_path, data):
    before = torch.get_num_threads()
    seen = [answer.read(run(tmp_path, data, name)) for name in ("relu", "placebo", "tanh")]
    torch.set_num_threads(before)
    assert answer.placebo_difference(seen) == 0.0
    assert seen[0].runs["weights_sha256"][0] != seen[2].runs["weights_sha256"][0]
    assert seen[0].runs["test_accuracy"].min() > 0.5


def test_a_rate_that_diverges_is_recorded_and_the_rest_goes_on(tmp_path, data):
    seen = run(tmp_path, data, "identity", rates=[1e6, 0.1])
    tuning = [trial for trial in seen.trials if trial.what["phase"] == "tuning"]
    assert [trial.status for trial in tuning] == [Status.DIVERGED, Status.OK]
    assert "diverged in step" in str(tuning[0].reason)
    assert seen.status == Status.OK
    assert seen.provenance.dataset is not None


def test_when_every_rate_diverges_that_is_the_record(tmp_path, data):
    seen = run(tmp_path, data, "identity", rates=[1e6])
    assert seen.status == Status.DIVERGED


def test_without_the_data_set_it_is_one_sentence(tmp_path):
    with pytest.raises(SystemExit, match="Make it with: snakemake"):
        run(tmp_path, tmp_path / "none.safetensors", "relu")


def test_real_steps_are_one_trial_of_every_activation(tmp_path, data):
    output = tmp_path / "steps.json"
    pace = {
        "half_width": 0.5,
        "block_s": 1e-3,
        "block_least_s": 1e-5,
        "lead_in_s": 0,
        "warmup_calls": 1,
        "warmup_s": 0.0,
        "settle_s": 0.0,
    }
    few = {"rounds_least": 6, "rounds_most": 6, "void_delay_share": 1.0}
    settings = {
        "seed": 1,
        "activations": ["relu", "tanh", "placebo"],
        "hidden": [16],
        "batch": 32,
        "validation_share": 0.2,
        "operand_sets": 2,
        "cap_s": 20,
        "half_width": 0.5,
        "protocol": {**PROTOCOL, **few, "cpu": pace, "gpu": pace},
    }
    before = torch.get_num_threads()
    measure_steps.main(["--occasion", "1", "--threads", "1", "--dataset", str(data),
                        "--settings", json.dumps(settings), "--output", str(output)])  # fmt: skip
    torch.set_num_threads(before)
    seen = record.read(output)
    assert seen.axes == {"device": "cpu", "occasion": 1}
    (trial,) = seen.trials
    assert trial.status == Status.OK, trial.reason
    assert set(trial.result["ratios"]) == {"twin", "tanh", "placebo"}
    (pooled,) = occasion.pooled([seen], {})
    assert set(answer.read_steps([pooled])["cpu"]) == {"tanh", "placebo"}
