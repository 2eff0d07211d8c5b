"""Activation: the words follow what is put into made-up records; one real, small job."""

import json

import answer_activation as answer
import measure_activation as measure
import measure_steps
import numpy as np
import pytest
from assay import record
from assay.answer import accuracy, model, occasion
from assay.answer.model import State
from assay.record import DatasetInfo, Status, Trial
from builders import PROTOCOL, QUICK, make_record, with_status

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
    draw = np.random.default_rng([*name.encode()])
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


def diverged(made, *seeds):
    """The same record, in which the runs of some seeds diverged."""
    for trial in made.trials:
        if trial.what["phase"] == "training" and trial.what["seed"] in seeds:
            trial.status, trial.reason, trial.result = Status.DIVERGED, "diverged in step 9", {}
    return made


def on_gpu(made):
    made.axes["device"] = "cuda:0"
    return made


def words(found, what="arms"):
    return {name: each["word"] for name, each in found.numbers["cpu"][what].items()}


def column(found, name):
    """What each activation shows in a column of the table."""
    place = [each.name for each in found.table.columns].index(name)
    return {row[0]: getattr(row[place], "text", row[place]) for row in found.table.rows}


# ---- accuracies ----------------------------------------------------------------------------------


def test_the_best_in_validation_is_the_reference_not_the_best_on_the_test_images():
    found = answer.answer(
        [arm("relu", 0.880, validation=0.89), arm("gelu", 0.882, validation=0.88)]
    )
    assert found.numbers["cpu"]["reference"] == "relu"
    # Both are the same: neither works best.
    assert found.sentence.startswith("ReLU was best in validation: test accuracy 88.")


def test_what_is_better_on_the_test_images_is_told_and_nothing_is_advised():
    found = answer.answer([arm("relu", 0.86, validation=0.89), arm("gelu", 0.882, validation=0.88)])
    assert words(found)["gelu"] == "better"
    assert found.sentence.startswith("ReLU was best in validation: ")
    assert "Better: GELU." in found.sentence
    assert found.so == ""


def test_a_clear_difference_is_worse_and_a_small_one_is_not():
    found = answer.answer([arm("relu", 0.880), arm("sigmoid", 0.850), arm("gelu", 0.8797, 0.0001)])
    assert words(found) == {"relu": None, "sigmoid": "worse", "gelu": "the same"}
    assert "The same: GELU." in found.sentence
    assert found.short == "ReLU; 1 worse, 1 the same"
    assert found.so == "Use ReLU rather than Sigmoid."
    assert model.state(found.cells) == State.ANSWERED


def test_where_no_other_can_be_told_from_it_the_question_is_open():
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.879, spread=0.004)])
    assert words(found)["gelu"] == "cannot tell"
    assert found.sentence.startswith("Cannot tell which activation works best: ReLU")
    assert found.so == ""
    assert model.state(found.cells) == State.UNKNOWN


@pytest.mark.parametrize("names", [["relu"], ["placebo"], ["relu", "placebo"]])
def test_one_arm_is_not_best_and_says_what_it_came_to(names):
    found = answer.answer([arm(name, 0.88) for name in names])
    start = "Cannot tell which activation works best: nothing to compare "
    assert found.sentence.startswith(start)
    assert "with, test accuracy 88." in found.sentence
    assert (found.so, model.state(found.cells)) == ("", State.UNKNOWN)
    assert found.short.endswith("; nothing to compare it with")


def test_the_headline_keeps_its_budget_with_every_kind_of_word():
    records = [
        arm("relu", 0.88), arm("sigmoid", 0.85), arm("tanh", 0.86), arm("gelu", 0.8797, 0.0001),
        *(arm(name, 0.879, spread=0.004) for name in ("elu", "silu", "prelu")),
        diverged(arm("identity", 0.9), 2), arm("placebo", 0.88),
    ]  # fmt: skip
    found = answer.answer(records)
    assert len(found.sentence.split()) <= 25
    assert len(found.short.split()) <= 12
    assert len(found.so.split()) <= 20
    assert ";" not in found.sentence
    assert "cannot be told from ELU and 2 more" in found.sentence
    assert "Not compared: identity." in found.sentence
    assert model.state(found.cells) == State.PART


def test_two_devices_are_both_told():
    made = [arm("relu", 0.88), arm("gelu", 0.85)]
    found = answer.answer(
        [*made, *(on_gpu(arm(n, m)) for n, m in (("relu", 0.85), ("gelu", 0.88)))]
    )
    assert "cpu: ReLU works best" in found.sentence
    assert "cuda:0: GELU works best" in found.sentence
    assert len(found.sentence.split()) <= 40
    assert [view.name for view in found.views] == ["cpu", "cuda:0"]


def test_an_arm_of_which_a_run_diverged_is_shown_and_not_compared():
    """Best in validation by the runs that are left, and yet neither reference nor compared."""
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.87), diverged(arm("silu", 0.9), 2)])
    assert found.numbers["cpu"]["reference"] == "relu"
    assert set(found.numbers["cpu"]["arms"]) == {"relu", "gelu"}
    assert found.numbers["cpu"]["lost"] == {"silu": "diverged in 1 of 5 runs"}
    assert "Not compared: SiLU." in found.sentence
    assert model.state(found.cells) == State.PART
    assert column(found, "test accuracy")["SiLU"] is None
    assert column(found, "rate")["SiLU"] == "0.3"
    assert column(found, "verdict")["SiLU"] == "diverged in 1 of 5 runs"


def test_an_arm_that_never_learned_is_named():
    lost = arm("identity", 0.8)
    lost.trials, lost.status = lost.trials[1:2], Status.DIVERGED
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.87), lost])
    assert "Not compared: identity." in found.sentence
    assert column(found, "verdict")["identity"] == "diverged"


def test_when_every_arm_lost_a_run_nothing_is_compared():
    found = answer.answer([diverged(arm("relu", 0.88), 1), diverged(arm("gelu", 0.87), 2)])
    assert found.numbers == {}
    assert found.sentence.startswith("Cannot tell which activation works best: ReLU diverged")
    assert (found.so, model.state(found.cells)) == ("", State.NONE)


@pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.CONTENDED, Status.OUT_OF_MEMORY])
@pytest.mark.parametrize("trials", [True, False])
def test_without_a_single_run_there_is_an_answer(status, trials):
    made = [arm("relu", 0.88), arm("gelu", 0.87), paired({"gelu": (1.2, 1.19, 1.21)})]
    for each in made:
        each.status, each.reason = status, "so it is"
        each.trials = with_status(each, status).trials if trials else []
    found = answer.answer(made)
    assert (found.so, model.state(found.cells)) == ("", State.NONE)
    assert len(found.views) == 1
    assert len(found.frame) >= 3


# ---- times ---------------------------------------------------------------------------------------


def test_steps_are_judged_with_the_accuracies_as_one_family(families):
    steps = paired({"gelu": (1.2, 1.19, 1.21), "tanh": (1.001, 0.996, 1.006)})
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.85), steps])
    assert words(found, "steps") == {"gelu": "slower", "tanh": "the same"}
    assert families == [3]
    told = column(found, "time of a step against ReLU's")
    assert told == {"ReLU": "reference", "GELU": "+20.0 % [+19.0, +21.0], slower"}


def test_no_step_is_told_apart_by_what_the_placebo_shows_as_well():
    """The placebo does ReLU's own work: where it seems 5 % faster, ELU's 4 % are nothing."""
    seen = {"placebo": (0.95, 0.94, 0.96), "elu": (1.04, 1.03, 1.05), "gelu": (1.2, 1.19, 1.21)}
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.85), paired(seen)])
    assert words(found, "steps") == {"placebo": "control", "elu": "cannot tell", "gelu": "slower"}


def test_a_step_that_could_not_be_timed_says_why():
    lost = make_record("steps", {"device": "cpu"}, [Trial(
        what={"phase": "step time"}, status=Status.CONTENDED, reason="3 of 40 rounds kept",
        result={"arms": {}, "ratios": {}})])  # fmt: skip
    lost.settings = SETTINGS
    found = answer.answer([arm("relu", 0.88), arm("gelu", 0.85), lost])
    assert {*column(found, "time of a step against ReLU's").values()} == {"disturbed"}
    assert found.numbers["cpu"]["steps"] == {}


def test_the_tidy_table_holds_the_verdicts():
    found = answer.answer(
        [arm("relu", 0.88), arm("gelu", 0.85), paired({"gelu": (1.2, 1.19, 1.21)})]
    )
    told = found.frame[found.frame["verdict"].notna()].fillna({"group": ""})
    told = told.set_index(["group", "arm"])
    assert told["verdict"].to_dict() == {
        ("", "relu"): "reference",
        ("", "gelu"): "worse",
        ("step", "relu"): "reference",
        ("step", "gelu"): "slower",
    }
    assert told.loc[("", "gelu"), "margin"] == pytest.approx(0.00325, rel=0.01)
    assert told.loc[("", "gelu"), "test_accuracy"] == pytest.approx(0.85, abs=0.002)
    assert told.loc[("step", "gelu"), "margin"] == 0.02
    assert told.loc[("step", "gelu"), "p"] < 0.001


# ---- the placebo, and what the seeds can show ---------------------------------------------------


def test_the_placebo_is_relu_and_says_so():
    found = answer.answer([arm("relu", 0.88, spread=0), arm("placebo", 0.88)])
    assert found.numbers["cpu"]["placebo_difference"] == 0.0
    assert "The placebo is ReLU bit for bit." in found.why


def test_a_placebo_that_differs_is_told():
    found = answer.answer([arm("relu", 0.88, spread=0), arm("placebo", 0.88, digest="other")])
    assert found.numbers["cpu"]["placebo_difference"] > 0
    assert any("mistrust this run" in text for text in found.why)


def test_the_sampling_error_of_the_method():
    """88 % of 10,000 images: 0.32 points."""
    seen = accuracy.sampling_error(accuracy.runs(arm("relu", 0.88)))
    assert seen == pytest.approx(0.0032, abs=5e-5)


def test_an_arm_at_the_edge_of_the_grid_is_named():
    found = answer.answer([arm("relu", 0.88, rate=0.3), arm("gelu", 0.87, rate=0.3)])
    assert any("edge of the grid for ReLU and GELU" in text for text in found.caveats)


# ---- real jobs -----------------------------------------------------------------------------------


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


def small(**changes):
    values = {"seed": 1, "hidden": [16], "epochs": 2, "seeds": 2}
    return json.dumps(SETTINGS | values | changes)


def run(tmp_path, data, name, **changes):
    output = tmp_path / f"{name}.json"
    measure.main(["--activation", name, "--threads", "1", "--dataset", str(data),
                  "--settings", small(**changes), "--output", str(output)])  # fmt: skip
    return record.read(output)


def test_a_real_placebo_is_relu_bit_for_bit(tmp_path, data):
    records = [run(tmp_path, data, name) for name in ("relu", "placebo", "tanh")]
    assert answer.answer(records).numbers["cpu"]["placebo_difference"] == 0.0
    relu, _, tanh = map(accuracy.runs, records)
    assert relu["weights_sha256"][0] != tanh["weights_sha256"][0]
    assert relu["test_accuracy"].min() > 0.5


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
    settings = {
        "seed": 1,
        "activations": ["relu", "tanh", "placebo"],
        "hidden": [16],
        "batch": 32,
        "validation_share": 0.2,
        "operand_sets": 2,
        "cap_s": 20,
        "half_width": 0.5,
        "protocol": {**QUICK},
    }
    measure_steps.main(["--occasion", "1", "--threads", "1", "--dataset", str(data),
                        "--settings", json.dumps(settings), "--output", str(output)])  # fmt: skip
    seen = record.read(output)
    assert seen.axes == {"device": "cpu", "occasion": 1}
    (trial,) = seen.trials
    assert trial.status == Status.OK, trial.reason
    assert set(trial.result["ratios"]) == {"twin", "tanh", "placebo"}
    (pooled,) = occasion.pooled([seen], {})
    assert {step.name for step in answer.steps(pooled) if step.seen} == {"tanh", "placebo"}
