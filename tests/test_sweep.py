"""Width, depth, bottleneck, rate: the words follow what is put into made-up records; real jobs."""

import json
from pathlib import Path

import answer_bottleneck
import answer_depth
import answer_rate
import answer_width
import fetch_dataset as fetch
import measure_perceptron as measure
import numpy as np
import pytest
import torch
from assay import grid, record, training
from assay.answer import sweep
from assay.record import DatasetInfo, Status, Trial
from conftest import PROTOCOL, make_record

SETTINGS = {
    "batch": 256,
    "epochs": 3,
    "seeds": 5,
    "validation_share": 0.16666667,
    "protocol": dict(PROTOCOL),
}
DATA = DatasetInfo(name="fashion-mnist", asked="fashion-mnist", source="x", reason=None, digest="d")
QUESTIONS = [answer_width, answer_depth, answer_bottleneck, answer_rate]


def noise(spread, seed):
    """Five draws about exactly zero."""
    draws = np.random.default_rng(seed).normal(0, spread, 5)
    return draws - draws.mean()


def cell(hidden, mean, rate=0.1, validation=None, lost=(), device="cpu", **result):
    """A record whose five runs scatter about a mean; those of the lost seeds diverged."""
    widths = [784, *measure.hidden_layers(hidden), 10]
    described = {"widths": widths, "parameters": measure.parameters(widths)}
    scores = mean + noise(0.001, seed=0) + noise(0.0003, seed=sum(widths) + round(1000 * rate))
    best, trials = validation or mean, []
    for seed in range(5):
        what = {"phase": "training", "rate": rate, "seed": seed}
        if seed in lost:
            reason = f"diverged in step 3 at rate {rate:g}"
            trials.append(Trial(what=what, status=Status.DIVERGED, reason=reason, result=described))
            continue
        seen = {
            "validation_accuracy": best,
            "test_accuracy": float(scores[seed]),
            "test_images": 10_000,
            "classes_named": 10,
        }
        samples = {"validation_accuracy": [0.5, best, best - result.get("falls", 0)]}
        trials.append(Trial(what=what, samples=samples, result=seen | described | result))
    made = make_record("perceptron", {"device": device, "hidden": hidden, "rate": rate}, trials)
    made.settings = SETTINGS
    made.provenance.dataset = DATA
    return made


def words(found, device="cpu"):
    return {name: each["word"] for name, each in found.numbers[device]["levels"].items()}


# ---- what the four share ------------------------------------------------------------------------


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_cell_alone_is_an_answer(question):
    found = question.answer([cell("256", 0.87)])
    assert "87.0" in found.sentence
    assert found.sentence.endswith(".")
    assert len(found.table.rows) == 1
    assert not any("inf" in text for text in found.findings)


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_device_that_is_not_there_is_left_out(question):
    absent = make_record("perceptron", {"device": "gpu", "hidden": "256", "rate": 0.1}, [])
    absent.settings = SETTINGS
    assert question.answer([absent]).sentence == sweep.NOTHING
    found = question.answer([absent, cell("256", 0.87)])
    assert found.sentence.startswith("cpu – ")
    assert "gpu" not in found.sentence


def test_every_device_has_its_own_reference():
    found = answer_rate.answer(
        [
            *(cell("256", mean, rate) for mean, rate in ((0.85, 0.1), (0.87, 0.3))),
            *(cell("256", mean, rate, device="gpu") for mean, rate in ((0.87, 0.1), (0.85, 0.3))),
        ]
    )
    assert [found.numbers[device]["reference"] for device in ("cpu", "gpu")] == ["0.3", "0.1"]
    assert "cpu – 0.3 was best" in found.sentence
    assert "gpu – 0.1 was best" in found.sentence


def test_survivors_of_a_divergence_are_not_compared():
    """Four good runs and a lost one: the mean of the four would be too kind."""
    found = answer_rate.answer([cell("256", 0.85), cell("256", 0.9, rate=1.0, lost=[2])])
    assert found.numbers["cpu"]["reference"] == "0.1"
    assert words(found) == {"0.1": None}
    assert found.numbers["cpu"]["lost"] == {"1": "diverged in 1 of 5 runs"}
    assert "not compared: 1 diverged in 1 of 5 runs" in found.sentence
    assert [row[0] for row in found.table.rows] == ["0.1", "1"]
    assert [row[7] for row in found.table.rows] == [None, "diverged in 1 of 5 runs"]


def test_nothing_is_answered_when_everything_diverged():
    assert answer_rate.answer([cell("256", 0.9, lost=range(5))]).sentence == sweep.NOTHING


def test_the_tidy_table_holds_every_trial_and_every_verdict():
    found = answer_width.answer([cell("16", 0.8), cell("64", 0.87), cell("256", 0.87, lost=[0])])
    trials = found.frame[found.frame["phase"] == "training"]
    assert len(trials) == 15
    assert set(trials["status"]) == {"ok", "diverged"}
    told = found.frame[found.frame["phase"] == "verdict"].set_index(["network", "against"])
    assert len(told) == 4  # two levels, the step between them, and what was lost
    step = told.loc[("784-64-10", "16")]
    assert step["word"] == "better"
    assert step["margin"] == step["bound"] == pytest.approx(0.004, rel=0.01)  # of 80 %
    assert step["p"] < 0.001


def test_steps_and_levels_are_one_family():
    alone = answer_depth.answer([cell("256", 0.87), cell("256-256", 0.86)])
    assert any("all its comparisons (1)" in text for text in alone.method)
    many = answer_width.answer([cell(w, 0.87) for w in ("16", "32", "64")])
    assert any("all its comparisons (4)" in text for text in many.method)


def test_the_same_says_within_what():
    found = answer_depth.answer([cell("256", 0.87), cell("256-256", 0.8701)])
    assert "a second hidden layer: the same within 0.34 points (" in found.sentence


# ---- width --------------------------------------------------------------------------------------


def widths(**means):
    return [cell(name.removeprefix("w"), mean) for name, mean in means.items()]


def test_the_best_width_in_validation_is_the_reference_not_the_best_on_the_test_images():
    found = answer_width.answer(
        [cell("64", 0.87, validation=0.88), cell("128", 0.88, validation=0.87)]
    )
    assert found.sentence.startswith("cpu – 64 hidden units were best in validation")


def test_what_each_step_brings_and_from_where_on_it_is_enough():
    found = answer_width.answer(widths(w16=0.82, w32=0.85, w64=0.8695, w128=0.87, w256=0.8701))
    steps = {name: each["word"] for name, each in found.numbers["cpu"]["steps"].items()}
    assert steps == {
        "16 → 32": "better", "32 → 64": "better", "64 → 128": "the same", "128 → 256": "the same"
    }  # fmt: skip
    assert "from 64 on, none can be told from that" in found.sentence
    assert "better: 16 → 32 (+3.0" in found.sentence
    assert found.numbers["cpu"]["steps"]["16 → 32"]["difference"] == pytest.approx(0.03, abs=1e-3)


def test_widths_come_in_their_order_whatever_the_order_of_the_records():
    found = answer_width.answer(widths(w256=0.87, w16=0.82, w64=0.85))
    assert [row[0] for row in found.table.rows] == ["16", "64", "256"]
    assert [row[-1] is None for row in found.table.rows] == [True, False, False]


def test_a_gap_in_the_middle_is_not_enough():
    """32 cannot be told from the best, but 64 is worse than it: enough begins behind 64."""
    found = answer_width.answer(widths(w32=0.8699, w64=0.85, w128=0.87, w256=0.8701))
    assert "from 128 on" in found.sentence


# ---- depth --------------------------------------------------------------------------------------


def test_depth_is_judged_against_one_hidden_layer():
    found = answer_depth.answer(
        [cell("none", 0.83), cell("256", 0.87), cell("256-256", 0.8701), cell("256-256-256", 0.86)]
    )
    assert words(found) == {"0": "worse", "1": None, "2": "the same", "3": "worse"}
    assert "; against it, a second hidden layer: the same within" in found.sentence
    assert "no hidden layer: worse (−4.0" in found.sentence
    assert found.sentence.startswith("cpu – one hidden layer: 87.00 % of test images, at rate 0.1")


def test_without_one_layer_the_nearest_depth_is_the_reference():
    found = answer_depth.answer([cell("256-256", 0.87), cell("256-256-256", 0.86)])
    assert found.numbers["cpu"]["reference"] == "2"


# ---- bottleneck ---------------------------------------------------------------------------------


def test_a_bottleneck_is_judged_against_the_network_without_it():
    found = answer_bottleneck.answer(
        [
            cell("256-1", 0.4, classes_named=5),
            cell("256-8", 0.8699),
            cell("256-256", 0.875),
            cell("256", 0.87),
        ]
    )
    assert found.numbers["cpu"]["reference"] == "none"
    assert words(found) == {"1": "worse", "8": "the same", "256": "better", "none": None}
    assert "1 neuron: 4" in found.sentence
    assert "naming 5 of 10 classes (worse)" in found.sentence
    assert "8 neurons: 8" in found.sentence


def test_without_the_plain_network_the_widest_layer_is_the_reference():
    found = answer_bottleneck.answer([cell("256-1", 0.4), cell("256-8", 0.86)])
    assert found.sentence.endswith("8 neurons: 86.00 %, the reference.")


def test_the_first_layer_is_no_bottleneck():
    assert answer_bottleneck.neurons([16], 0.1) > answer_bottleneck.neurons([256, 256], 0.1)


# ---- rate ---------------------------------------------------------------------------------------


def test_rates_are_grouped_by_their_word():
    found = answer_rate.answer(
        [cell("256", mean, rate) for rate, mean in ((0.01, 0.8), (0.1, 0.8699), (0.3, 0.87))]
        + [cell("256", 0.1, rate=3.0, lost=range(5))]
    )
    assert found.sentence.startswith("cpu – 0.3 was best in validation (8")
    assert (
        "against it, the same within 0.34 points: 0.1; worse: 0.01; not compared: 3 diverged in"
        in found.sentence
    )


@pytest.mark.parametrize(("rates", "told"), [((0.1, 0.3), True), ((0.1, 0.3, 1.0), False)])
def test_a_best_rate_at_the_edge_is_told(rates, told):
    means = {0.1: 0.85, 0.3: 0.87, 1.0: 0.84}
    found = answer_rate.answer([cell("256", means[rate], rate) for rate in rates])
    assert any("edge" in text for text in found.caveats) == told


@pytest.mark.parametrize(("falls", "told"), [(0.3, True), (0.001, False)])
def test_a_rate_that_is_unsteady_is_told(falls, told):
    found = answer_rate.answer([cell("256", 0.87), cell("256", 0.86, rate=1.0, falls=falls)])
    assert any("at rate 1 the last epoch lies 30.00 points" in t for t in found.findings) == told


# ---- measuring ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "dataset.safetensors"
    settings = json.dumps({"size": "sample", "folder": None})
    fetch.main(["--settings", settings, "--output", str(path)])
    return path


def run(tmp_path, data, hidden, rate="0.1"):
    output = tmp_path / f"{hidden}-at-{rate}.json"
    settings = SETTINGS | {"seed": 1, "epochs": 1, "seeds": 2}
    before = torch.get_num_threads()
    measure.main(["--hidden", hidden, "--rate", rate, "--threads", "1", "--dataset", str(data),
                  "--settings", json.dumps(settings), "--output", str(output)])  # fmt: skip
    torch.set_num_threads(before)
    return record.read(output)


def test_real_cells_are_what_their_names_say(tmp_path, data):
    seen = {hidden: run(tmp_path, data, hidden) for hidden in ("none", "16", "16-1")}
    assert [each.trials[0].result["widths"] for each in seen.values()] == [
        [784, 10], [784, 16, 10], [784, 16, 1, 10]
    ]  # fmt: skip
    runs = sweep.read(seen["16-1"], answer_bottleneck.neurons).runs
    assert (runs["classes_named"] <= 10).all()
    assert [*runs["seed"]] == [1, 2]
    found = answer_bottleneck.answer([seen["16"], seen["16-1"]])
    levels = found.numbers["cpu"]["levels"]
    assert levels["1"]["test_accuracy"] < levels["none"]["test_accuracy"]


def test_a_rate_that_diverges_is_a_record_and_an_answer(tmp_path, data):
    lost = run(tmp_path, data, "16", "1000")
    assert lost.status == Status.DIVERGED
    found = answer_rate.answer([lost, run(tmp_path, data, "16")])
    assert "not compared: 1000 diverged in 2 of 2 runs" in found.sentence


def test_the_textbooks_network_has_203530_parameters():
    assert measure.parameters([784, 256, 10]) == 203_530


@pytest.mark.parametrize("text", ["wide", "256-", "1.5", ""])
def test_what_is_no_network_is_one_sentence(text, capsys):
    with pytest.raises(SystemExit):
        measure.main(["--hidden", text, "--rate", "0.1", "--dataset", "d", "--output", "o"])
    assert f"argument --hidden: invalid shape value: '{text}'" in capsys.readouterr().err


def test_classes_that_a_network_names():
    net = torch.nn.Linear(1, 3)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[1.0], [-1.0], [0.0]]))
        net.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))  # |x| > −1: the third never wins
    assert training.classes_named(net, torch.linspace(-1, 1, 9)[:, None]) == 2
    assert training.classes_named(net, torch.ones(3, 1)) == 1


# ---- wiring -------------------------------------------------------------------------------------


def test_of_other_runs_a_question_with_own_axes_reads_the_same_cells_only(tmp_path):
    """The rates of another run are no widths of this one."""
    for name in ("hidden-16/rate-0.1.json", "hidden-16/rate-3.json"):
        path = tmp_path / "other/perceptron/device-box" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    pattern = "own/perceptron/device-{device}/hidden-{hidden}/rate-{rate}.json"
    own = [{"pattern": pattern, "axes": {"device": ["cpu"], "hidden": [16], "rate": [0.1]}}]
    asked = {"own": own, "others": [str(tmp_path / "other")], "studies": ["perceptron"]}
    assert len(grid.paths(asked | {"only_own_cells": False})) == 3
    assert grid.paths(asked | {"only_own_cells": True}) == [
        Path("own/perceptron/device-cpu/hidden-16/rate-0.1.json"),
        tmp_path / "other/perceptron/device-box/hidden-16/rate-0.1.json",
    ]


@pytest.mark.workflow
def test_a_cell_that_several_questions_ask_for_is_measured_once(fresh):
    targets = [f"results/answers/{name}.json" for name in ("width", "depth", "bottleneck", "rate")]
    planned = fresh.planned(*targets)
    assert planned == {"fetch_dataset": 1, "measure_perceptron": 2, "answer": 4, "total": 7}


@pytest.mark.workflow
def test_a_question_reads_its_own_axes_only(fresh):
    fresh.edit("tests/config.yaml", lambda text: text.replace("rate: [0.1]", "rate: [0.1, 0.5, 1]"))
    assert fresh.planned("results/answers/rate.json")["measure_perceptron"] == 3
