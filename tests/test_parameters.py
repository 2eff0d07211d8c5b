"""Parameters: the words follow made-up records; the law of this torch; what is shared and saved."""

import json
import math

import answer_parameters as answer
import measure_parameters as measure
import numpy as np
import pytest
import torch
from assay import record
from assay.answer import model, trials
from assay.answer.model import Main, State
from assay.modules import weights
from assay.record import Trial
from builders import PROTOCOL, answered, make_record, with_status
from scipy import stats

SETTINGS = {
    "seed": 1,
    "protocol": dict(PROTOCOL),
    "features": [32, 64, 256],
    "channels": [8, 32],
    "kernels": [1, 3],
    "tested_values": 5000,
    "bins": 40,
    "width": 8,
    "times": 3,
    "steps": 5,
}


def measured(folder, topic):
    path = folder / f"{topic}.json"
    measure.main(["--topic", topic, "--threads", "1", "--settings", json.dumps(SETTINGS),
                  "--output", str(path)])  # fmt: skip
    return record.read(path)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("here")
    return {topic: measured(folder, topic) for topic in measure.TOPICS}


# ---- the law -------------------------------------------------------------------------------------


def test_the_law_of_linear_is_one_over_the_root_of_fan_in(here):
    by_layer = {law.layer: law for law in answer.laws([here["initialisation"]])}
    linear = by_layer["linear"]
    assert linear.distribution == "uniform"
    assert linear.fit.scale.value == pytest.approx(1, abs=0.01)
    assert linear.fit.exponents["fan_in"].value == pytest.approx(-0.5, abs=0.01)
    assert linear.fit.exponents["fan_out"].value == pytest.approx(0, abs=0.01)
    assert not linear.as_claimed


def test_the_laws_of_the_other_layers_whatever_was_measured_before_them(here):
    by_layer = {law.layer: law for law in answer.laws([here["storage"], here["initialisation"]])}
    assert {n: law.distribution for n, law in by_layer.items()} == {
        "linear": "uniform", "conv": "uniform", "bilinear": "uniform",
        "embedding": "normal", "xavier": "uniform",
    }  # fmt: skip
    assert {n: law.depends for n, law in by_layer.items()} == {
        "linear": ["fan_in"], "conv": ["fan_in"], "bilinear": ["first"],
        "embedding": [], "xavier": ["fan_in", "fan_out"],
    }  # fmt: skip


def made_up(bound, seed=0, **changes):
    """A record of layers whose weights are uniform within a bound that a function gives."""
    draw = np.random.default_rng(seed)
    trials = []
    for fan_in in (32, 128, 512):
        for fan_out in (32, 128, 512):
            values = torch.from_numpy(draw.uniform(-1, 1, 5000)) * bound(fan_in, fan_out)
            described = weights.describe(values, 5000) | changes
            trials.append(
                Trial(
                    what={"layer": "linear", "inputs": fan_in, "outputs": fan_out},
                    result={"factors": {"fan_in": fan_in, "fan_out": fan_out}, **described},
                )
            )
    trials[-1].samples.update(weights.histogram(values, 20))
    axes = {"device": "cpu", "topic": "initialisation"}
    return make_record("parameters", axes, trials, settings=SETTINGS)


def test_an_initialisation_as_claimed_is_found_to_be_so():
    found = answer.answer([made_up(lambda i, o: math.sqrt(6 / (i + o)))])
    assert found.numbers["laws"][0]["as_claimed"]
    assert "the claim is true" in found.sentence
    assert found.short == "Set by fan-in and fan-out; the claim is true"


def test_a_range_that_ignores_the_outputs_is_not_as_claimed():
    found = answer.answer([made_up(lambda i, o: i**-0.5)])
    assert not found.numbers["laws"][0]["as_claimed"]
    assert "set by fan-in only (exponent −0.5" in found.sentence
    assert "the claim is false" in found.sentence
    assert found.short == "Set by fan-in only; the claim is false"


def test_a_lost_half_is_named():
    found = answer.answer([made_up(lambda i, o: i**-0.5)])
    assert "What a state_dict holds: not measured." in found.sentence
    assert Main("state_dict", lost="not measured") in found.cells
    assert model.state(found.cells) == State.PART
    assert found.so == ""


def test_a_control_that_fails_is_named():
    made = made_up(lambda i, o: i**-0.5)
    control = [trial.model_copy(deep=True) for trial in made.trials]
    for trial in control:
        trial.what["layer"] = "xavier"
    found = answer.answer([made.model_copy(update={"trials": [*made.trials, *control]})])
    assert "The control failed." in found.sentence
    assert Main("control", lost="failed") in found.cells


def test_a_distribution_that_no_test_accepts_is_neither():
    made = made_up(lambda i, o: i**-0.5, uniform_distance=0.1, normal_distance=0.1)
    assert answer.laws([made])[0].distribution == "neither"


def test_one_size_in_many_that_a_test_would_reject_alone_is_chance():
    made = made_up(lambda i, o: i**-0.5)
    # Of 5,000 values, a distance that chance exceeds twice in a hundred tests.
    made.trials[0].result["uniform_distance"] = 1.52 / math.sqrt(5000)
    assert answer.laws([made])[0].distribution == "uniform"


def test_widths_that_scatter_leave_it_open_whether_the_outputs_matter():
    made = made_up(lambda i, o: i**-0.5 * (1 + 0.3 * math.sin(7 * i + 3 * o)))
    (law,) = answer.laws([made])
    assert law.depends_on("fan_out") is None
    assert law.as_claimed is None
    found = answer.answer([made])
    assert "fan-out" in found.sentence
    assert "cannot tell" in found.sentence
    assert not found.cells[0].told


def test_sizes_that_were_lost_leave_no_law_but_an_answer():
    made = made_up(lambda i, o: i**-0.5)
    for trial in made.trials:
        if trial.what["outputs"] != 32:
            trial.status, trial.reason = record.Status.OUT_OF_MEMORY, "too large"
    found = answer.answer([made])
    assert found.sentence.startswith("How Linear weights begin: out of memory.")
    assert (found.frame["status"] == "out_of_memory").sum() == 6


def test_the_table_holds_what_the_words_rest_on():
    frame = answer.answer([made_up(lambda i, o: i**-0.5)]).frame
    assert (frame["uniform_p_corrected"].dropna() >= frame["uniform_p"].dropna()).all()
    laws = frame[frame["factor"].notna()].set_index("factor")
    assert laws["verdict"].to_dict() == {"fan_in": "depends", "fan_out": "does not depend"}


@pytest.mark.parametrize(("draw", "uniform"), [("uniform", True), ("normal", False)])
def test_the_tests_tell_uniform_from_normal(draw, uniform):
    values = torch.from_numpy(getattr(np.random.default_rng(3), draw)(size=5000))
    seen = weights.describe(values - values.mean(), 5000)
    assert (answer._p(seen, "uniform") > 0.01) == uniform
    assert (answer._p(seen, "normal") > 0.01) != uniform


def test_the_p_value_of_a_distance_is_that_of_the_test():
    values = np.random.default_rng(5).normal(size=4000)
    spread = float(values.std())
    seen = weights.describe(torch.from_numpy(values), 4000)
    tested = stats.kstest(values, "norm", args=(0, spread), method="asymp")
    assert seen["normal_distance"] == pytest.approx(tested.statistic)
    assert answer._p(seen, "normal") == pytest.approx(tested.pvalue)


# ---- shared --------------------------------------------------------------------------------------


def only(seen, check):
    (trial,) = trials.checks([seen], check)
    return trial.result


def test_a_tied_gradient_is_the_sum_of_the_untied_ones(here):
    seen = only(here["storage"], "gradient")
    assert seen["positions"] == 3
    assert seen["error_of_sum"] < 1e-12
    assert seen["error_of_largest_part"] > 0.1


def test_tied_weights_stay_equal_and_untied_ones_do_not(here):
    seen = only(here["storage"], "training")
    assert seen["difference_tied"] == 0
    assert seen["difference_untied"] > 0


def test_a_tie_is_kept_in_memory_and_on_disk_but_not_in_the_keys(here):
    seen = only(here["storage"], "size")
    assert seen["keys_tied"] == seen["keys_untied"]
    assert seen["parameters_tied"] < seen["parameters_untied"]
    assert seen["bytes_untied"] - seen["bytes_tied"] == 2 * 8 * (8 * 8 + 8)
    assert seen["file_bytes_tied"] < seen["file_bytes_untied"]


def test_what_operations_do_to_a_tie(here):
    seen = answer._ties([here["storage"]])
    assert set(seen) == {"one module twice", "one parameter twice"}
    for ties in seen.values():
        assert ties["copy.deepcopy"] == ties["torch.save, load_state_dict"] == "still tied"
        assert ties["safetensors"] == "refused"
    assign = "torch.save, load_state_dict(assign=True)"
    assert seen["one module twice"][assign] == "still tied"
    assert seen["one parameter twice"][assign] == "tie lost"


def test_the_last_of_two_entries_wins_without_a_complaint(here):
    seen = only(here["storage"], "conflict")
    assert seen == {"complaints": 0, "value": 2.0}


# ---- saved ---------------------------------------------------------------------------------------


def test_what_a_state_dict_brings_back(here):
    seen = answer.matrix([here["storage"]])
    assert {name for name, row in seen.items() if row["restored"]} == {
        "parameter",
        "frozen parameter",
        "buffer",
    }
    assert all(row["restored"] == row["in_state_dict"] for row in seen.values())
    assert not seen["buffer"]["in_parameters"]
    assert len(seen) == 11


def test_no_registered_parameter_is_missing_and_buffers_come_on_top(here):
    seen = {str(t.what["layer"]): t.result for t in trials.checks([here["storage"]], "layer")}
    assert not any(each["missing"] for each in seen.values())
    assert seen["BatchNorm1d"]["besides"] == ["num_batches_tracked", "running_mean", "running_var"]
    assert seen["Linear"]["besides"] == []


def test_ways_to_a_nested_parameter(here):
    seen = {str(t.what["way"]): t.result for t in trials.checks([here["storage"]], "access")}
    values_only = {way for way, each in seen.items() if not each["is_parameter"]}
    assert values_only == {'net.state_dict()["0.0.2.weight"]', "net[0][0][2].weight.data"}
    assert all(each["writes_through"] for each in seen.values())
    assert not any(seen[way]["has_gradient"] for way in values_only)


def test_a_kept_state_dict_moves_along(here):
    assert only(here["storage"], "snapshot") == {
        "state_dict_changes": True,
        "deepcopy_changes": False,
    }


def test_the_optimiser_needs_its_own_state(here):
    (seen,) = [
        t.result for t in trials.checks([here["storage"]], "item") if "error_with" in t.result
    ]
    assert seen["error_with"] == 0
    assert seen["error_without"] > 0


# ---- the whole answer ----------------------------------------------------------------------------


def test_the_files_of_an_answer(here, tmp_path):
    seen = answered(answer, tmp_path, here.values())
    assert seen.state == State.ANSWERED
    assert "the claim is false" in seen.sentence
    assert "A state_dict holds every registered parameter." in seen.sentence
    assert len(seen.sentence.split()) <= 25
    assert ";" not in seen.sentence
    assert len(seen.table.rows) == 11
    assert not seen.missing


def test_the_claim_is_checked_part_by_part(here):
    (view,) = answer.answer(list(here.values())).views
    signs = {row[0]: [cell.sign for cell in row[1:]] for row in view.table.rows}
    assert signs["Linear"] == ["✓", "✓", "✗", "✗"]
    assert signs["Embedding"] == ["✗", "✗", "✗", "✗"]
    assert signs["Bilinear"] == ["✓", "", "✗", "✗"]  # one of its two inputs counts
    assert signs["xavier_uniform_ (control)"] == ["✓", "✓", "✓", "✓"]


def test_what_is_saved_and_tied_can_be_unfolded(here):
    found = answer.answer(list(here.values()))
    saved, ties, ways = (shown.table for shown in found.folded)
    assert [len(table.rows) for table in (saved, ties, ways)] == [11, 5, 6]
    assert "optimiser's state_dict" in found.so


def test_modules_that_could_not_be_searched_are_counted(here):
    storage = here["storage"]
    first = next(i for i, t in enumerate(storage.trials) if t.what.get("check") == "layer")
    damaged = with_status(storage, record.Status.OUT_OF_MEMORY, first)
    found = answer.answer([here["initialisation"], damaged])
    assert found.sentence.endswith("A state_dict holds every registered parameter (1 lost).")
    assert Main("Linear", lost="out of memory") in found.cells
    assert model.state(found.cells) == State.PART


@pytest.mark.parametrize("status", ["contended", "out_of_memory", "unavailable"])
def test_when_everything_is_lost_the_sentence_says_so(here, status):
    lost = [with_status(each, record.Status(status)) for each in here.values()]
    found = answer.answer(lost)
    assert found.sentence.startswith("How Linear weights begin: ")
    assert model.state(found.cells) == State.NONE


def test_an_unavailable_device_is_told():
    made = make_record(
        "parameters",
        {"device": "gpu", "topic": "storage"},
        [],
        status=record.Status.UNAVAILABLE,
        reason="no GPU",
        settings=SETTINGS,
    )
    found = answer.answer([made])
    assert found.sentence.startswith("How Linear weights begin: ")
    assert Main("state_dict", lost="not available") in found.cells


def test_an_unknown_topic_is_one_sentence(capsys):
    with pytest.raises(SystemExit):
        measure.main(["--topic", "poetry", "--output", "x.json"])
    assert "is none of initialisation, storage" in capsys.readouterr().err
