"""Width, depth, bottleneck, rate: the words follow what is put into made-up records; real jobs."""

import json
from itertools import pairwise
from pathlib import Path

import answer_bottleneck
import answer_depth
import answer_rate
import answer_width
import measure_perceptron as measure
import numpy as np
import pytest
import torch
from assay import grid, record
from assay.answer import model, sweep, verdict
from assay.answer.model import State
from assay.learning import training
from assay.learning.network import parameter_count, perceptron
from assay.record import DatasetInfo, Status, Trial
from builders import PROTOCOL, make_record, with_status

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


def cell(hidden, mean, rate=0.1, validation=None, lost=(), device="cpu", spread=0.0003, **result):
    """A record whose five runs scatter about a mean; those of the lost seeds diverged."""
    widths = [784, *measure.hidden_layers(hidden), 10]
    count = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(widths))
    described = {"widths": widths, "parameters": count}
    scores = mean + noise(0.001, seed=0) + noise(spread, seed=sum(widths) + round(1000 * rate))
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


def absent(hidden="256", rate=0.1, device="cpu", status=Status.UNAVAILABLE):
    """The record of a job that measured nothing."""
    axes = {"device": device, "hidden": hidden, "rate": rate}
    made = make_record("perceptron", axes, [], status=status, reason="gone")
    made.settings = SETTINGS
    return made


def words(found, device="cpu"):
    return {name: each["word"] for name, each in found.numbers[device]["levels"].items()}


def state(found):
    return model.state(found.cells)


# ---- what the four share ------------------------------------------------------------------------

CELLS = {
    answer_width: [cell("16", 0.82), cell("64", 0.8699), cell("128", 0.87)],
    answer_depth: [cell("none", 0.83), cell("256", 0.87), cell("256-256", 0.88)],
    answer_bottleneck: [
        cell("256-1", 0.4, classes_named=5),
        cell("256-8", 0.87),
        cell("256", 0.87),
    ],
    answer_rate: [cell("256", m, rate) for rate, m in ((0.01, 0.8), (0.1, 0.8699), (0.3, 0.87))],
}
MAIN = {answer_width: 0, answer_depth: 2, answer_bottleneck: 0, answer_rate: 1}  # in CELLS


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_card_keeps_its_budgets_and_its_headline_one_interval(question):
    found = question.answer(CELLS[question])
    assert state(found) == State.ANSWERED
    assert len(found.sentence.split()) <= 25
    assert found.sentence.endswith(".")
    assert ";" not in found.sentence
    assert found.sentence.count("[") == 1
    assert len(found.short.split()) <= 12
    assert 0 < len(found.so.split()) <= 20
    assert sum(len(text.split()) for text in found.method) <= 120
    assert sum(len(text.split()) for text in found.caveats) <= 60
    assert sum(len(text.split()) for text in found.why) <= 120


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("status", [Status.CONTENDED, Status.OUT_OF_MEMORY])
def test_a_main_cell_that_was_lost_is_named_and_lowers_the_state(question, status):
    records = [*CELLS[question]]
    records[MAIN[question]] = gone = absent(status=status)
    gone.axes = dict(CELLS[question][MAIN[question]].axes)
    found = question.answer(records)
    assert state(found) != State.ANSWERED
    assert model.lost(status) in found.sentence
    assert len(found.sentence.split()) <= 30
    assert model.lost(status) in str(found.table)


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_seeds_cannot_decide_is_said_plainly_and_advises_nothing(question):
    """Everything within the noise of the seeds."""
    noisy = {
        answer_width: [cell("16", 0.86, spread=0.02), cell("64", 0.87, spread=0.02)],
        answer_depth: [cell("256", 0.86, spread=0.02), cell("256-256", 0.87, spread=0.02)],
        answer_bottleneck: [cell("256-1", 0.86, spread=0.02), cell("256", 0.87, spread=0.02)],
        answer_rate: [cell("256", 0.86, 0.1, spread=0.02), cell("256", 0.87, 1, spread=0.02)],
    }
    found = question.answer(noisy[question])
    assert found.sentence.startswith("Cannot tell ")
    assert found.short.startswith("Cannot tell")
    assert found.so == ""
    assert state(found) == State.UNKNOWN
    assert found.sentence.count("[") == 1


@pytest.mark.parametrize("question", QUESTIONS)
def test_one_cell_alone_cannot_tell(question):
    found = question.answer([cell("256", 0.87)])
    assert found.sentence.startswith("Cannot tell ")
    assert state(found) in (State.UNKNOWN, State.NONE)
    assert len(found.table.rows) == 1
    assert "inf" not in " ".join([*found.why, str(found.table)])


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_device_that_is_not_there_is_named(question):
    assert question.answer([absent()]).sentence == sweep.NOTHING
    assert state(question.answer([absent()])) == State.NONE
    found = question.answer([absent(device="gpu"), *CELLS[question]])
    assert found.sentence.startswith("cpu: ")
    assert found.sentence.endswith(" gpu: not available.")
    assert state(found) == State.PART
    assert len(found.views) == 1


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("status", [Status.CONTENDED, Status.DIVERGED])
def test_lost_trials_are_an_answer(question, status):
    for which in ((), (0,), (1, 3)):
        damaged = [with_status(each, status, *which) for each in CELLS[question]]
        found = question.answer(damaged)
        assert found.sentence == sweep.NOTHING
        mixed = question.answer([damaged[0], *CELLS[question][1:]])
        assert len(mixed.table.rows) == 3


def test_every_device_has_its_own_reference_and_view():
    found = answer_rate.answer(
        [
            *(cell("256", mean, rate) for mean, rate in ((0.85, 0.1), (0.87, 0.3))),
            *(cell("256", mean, rate, device="gpu") for mean, rate in ((0.87, 0.1), (0.85, 0.3))),
        ]
    )
    assert [found.numbers[device]["reference"] for device in ("cpu", "gpu")] == ["0.3", "0.1"]
    assert found.sentence.startswith("cpu: Learning rate 0.3 is best: 87.0 [")
    assert "gpu: Learning rate 0.1 is best: 87.0 [" in found.sentence
    assert [view.name for view in found.views] == ["cpu", "gpu"]
    assert found.switch == "Device"


def test_survivors_of_a_divergence_are_not_compared():
    """Four good runs and a lost one: the mean of the four would be too kind."""
    found = answer_rate.answer([cell("256", 0.85), cell("256", 0.9, rate=1.0, lost=[2])])
    assert found.numbers["cpu"]["reference"] == "0.1"
    assert words(found) == {"0.1": None}
    assert found.numbers["cpu"]["lost"] == {"1": "diverged in 1 of 5 runs"}
    assert "At 1: diverged." in found.sentence
    assert [row[0] for row in found.table.rows] == ["0.1", "1"]
    assert [row[3] for row in found.table.rows] == ["reference", "diverged in 1 of 5 runs"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_nothing_is_answered_when_everything_diverged(question):
    found = question.answer([cell("256", 0.9, lost=range(5))])
    assert found.sentence == sweep.NOTHING
    assert state(found) == State.NONE


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


def test_steps_and_levels_are_one_family(monkeypatch):
    sizes = []
    judge = verdict.judge
    monkeypatch.setattr(verdict, "judge", lambda each: sizes.append(len(each)) or judge(each))
    answer_depth.answer([cell("256", 0.87), cell("256-256", 0.86)])
    answer_width.answer([cell(w, 0.87) for w in ("16", "32", "64")])
    assert sizes == [1, 4]


def test_the_same_says_within_what():
    found = answer_depth.answer([cell("256", 0.87), cell("256-256", 0.8701)])
    assert "the same within 0.34." in found.sentence
    assert found.so == "Stay with one hidden layer."


def test_depth_does_not_claim_a_reference_that_it_may_lack():
    found = answer_depth.answer([cell("256", 0.87, lost=[0]), cell("none", 0.84)])
    assert found.numbers["cpu"]["reference"] == "0"
    assert "The reference is the network with one hidden layer (else what comes closest)." in (
        found.method
    )


def test_intervals_of_few_seeds_stay_within_a_hundred_per_cent():
    found = answer_bottleneck.answer([cell("256-1", 0.5, spread=3), cell("256", 0.87)])
    shown = next(row for row in found.table.rows if row[0] == "1")[1]
    assert shown.text.endswith("[0.0, 100.0] %")
    assert "−100]" not in found.sentence


# ---- width --------------------------------------------------------------------------------------


def widths(**means):
    return [cell(name.removeprefix("w"), mean) for name, mean in means.items()]


def test_the_best_width_in_validation_is_the_reference_not_the_best_on_the_test_images():
    found = answer_width.answer(
        [cell("64", 0.87, validation=0.88), cell("128", 0.88, validation=0.87)]
    )
    assert found.numbers["cpu"]["reference"] == "64"
    assert words(found) == {"64": None, "128": "better"}
    assert "against 64, best in validation" in found.sentence


def test_what_each_step_brings_and_from_where_on_it_is_enough():
    found = answer_width.answer(widths(w16=0.82, w32=0.85, w64=0.8695, w128=0.87, w256=0.8701))
    steps = {name: each["word"] for name, each in found.numbers["cpu"]["steps"].items()}
    assert steps == {
        "16 → 32": "better", "32 → 64": "better", "64 → 128": "the same", "128 → 256": "the same"
    }  # fmt: skip
    assert found.sentence.startswith("64 hidden units are enough: −0.0")
    assert found.numbers["cpu"]["steps"]["16 → 32"]["difference"] == pytest.approx(0.03, abs=1e-3)
    assert [str(row[4].text).endswith("better") for row in found.table.rows[1:3]] == [True, True]


def test_widths_come_in_their_order_whatever_the_order_of_the_records():
    found = answer_width.answer(widths(w256=0.87, w16=0.82, w64=0.85))
    assert [row[0] for row in found.table.rows] == ["16", "64", "256"]
    assert [row[4] is None for row in found.table.rows] == [True, False, False]
    assert found.sentence.startswith("64 hidden units are too few: −2.0")
    assert found.so == "Take more than 64 hidden units."


def test_a_gap_in_the_middle_is_not_enough():
    """32 cannot be told from the best, but 64 is worse than it: enough begins behind 64."""
    found = answer_width.answer(widths(w32=0.8699, w64=0.85, w128=0.87, w256=0.8701))
    assert found.short == "128 are enough"


def test_where_the_narrowest_is_best_it_is_enough():
    found = answer_width.answer(widths(w16=0.87, w64=0.85))
    assert found.sentence.startswith("16 hidden units are enough: 64 bring −2.0")


def test_an_undecided_width_is_named_beside_the_one_that_is_enough():
    noisy = cell("16", 0.865, spread=0.02)
    found = answer_width.answer([noisy, *widths(w64=0.8699, w128=0.87)])
    assert found.sentence.endswith("At 16: cannot tell.")
    assert state(found) == State.PART


# ---- depth --------------------------------------------------------------------------------------


def test_depth_is_judged_against_one_hidden_layer():
    found = answer_depth.answer(
        [cell("none", 0.83), cell("256", 0.87), cell("256-256", 0.8701), cell("256-256-256", 0.86)]
    )
    assert words(found) == {"0": "worse", "1": None, "2": "the same", "3": "worse"}
    assert found.sentence.startswith("A second hidden layer changes nothing: +0.0")


@pytest.mark.parametrize(("mean", "told"), [(0.89, "helps: +2.0"), (0.85, "hurts: −2.0")])
def test_a_second_layer_helps_or_hurts(mean, told):
    found = answer_depth.answer([cell("256", 0.87), cell("256-256", mean)])
    assert told in found.sentence
    assert told.partition(": ")[2][:3] in found.short


def test_without_one_layer_the_nearest_depth_is_the_reference():
    found = answer_depth.answer([cell("256-256", 0.87), cell("256-256-256", 0.86)])
    assert found.numbers["cpu"]["reference"] == "2"
    assert "one hidden layer: not measured" in found.sentence
    assert state(found) == State.NONE


def test_a_second_layer_that_diverges_cannot_be_told():
    found = answer_depth.answer([cell("256", 0.87), cell("256-256", 0.87, lost=[0])])
    assert "diverged in 1 of 5 runs" in found.sentence
    assert state(found) == State.UNKNOWN


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
    assert found.sentence.startswith("A layer of one neuron hurts: −47.0")
    assert "never named" in found.sentence
    assert found.short.endswith("names 5 of 10 classes")
    assert found.so == "Give an inserted layer 8 neurons or more."
    assert [row[4].value for row in found.table.rows] == [5, 10, 10, 10]


def test_without_the_plain_network_the_widest_layer_is_the_reference():
    found = answer_bottleneck.answer([cell("256-1", 0.4), cell("256-8", 0.86)])
    assert found.numbers["cpu"]["reference"] == "8"
    assert found.so == "Insert no layer of one neuron."


def test_the_first_layer_is_no_bottleneck():
    assert answer_bottleneck.neurons([16], 0.1) > answer_bottleneck.neurons([256, 256], 0.1)


# ---- rate ---------------------------------------------------------------------------------------


def test_rates_are_told_by_their_word():
    found = answer_rate.answer(
        [cell("256", mean, rate) for rate, mean in ((0.01, 0.8), (0.1, 0.8699), (0.3, 0.87))]
        + [cell("256", 0.1, rate=3.0, lost=range(5))]
    )
    assert found.sentence.startswith("Learning rate 0.3 was best in validation: 87.0 [")
    assert found.sentence.endswith("The same within 0.34 points: 0.1. At 3: diverged.")
    assert found.so == "Use a learning rate of 0.1 or 0.3."
    assert state(found) == State.ANSWERED  # that a rate diverges is an outcome


def test_where_some_rates_are_undecided_the_worse_are_to_be_avoided():
    noisy = cell("256", 0.865, rate=0.1, spread=0.02)
    found = answer_rate.answer([cell("256", 0.8, 0.01), noisy, cell("256", 0.87, 0.3)])
    assert found.sentence.endswith("At 0.1: cannot tell.")
    assert found.so == "Avoid 0.01."
    assert state(found) == State.PART


@pytest.mark.parametrize(("rates", "told"), [((0.1, 0.3), True), ((0.1, 0.3, 1.0), False)])
def test_a_best_rate_at_the_edge_is_told(rates, told):
    means = {0.1: 0.85, 0.3: 0.87, 1.0: 0.84}
    found = answer_rate.answer([cell("256", means[rate], rate) for rate in rates])
    assert any("edge" in text for text in found.caveats) == told


@pytest.mark.parametrize(("falls", "told"), [(0.3, True), (0.001, False)])
def test_a_rate_that_is_unsteady_is_told(falls, told):
    found = answer_rate.answer([cell("256", 0.87), cell("256", 0.86, rate=1.0, falls=falls)])
    assert any("rate 1 the last epoch lies 30.0 points" in text for text in found.why) == told


# ---- measuring ----------------------------------------------------------------------------------


def run(tmp_path, data, hidden, rate="0.1"):
    output = tmp_path / f"{hidden}-at-{rate}.json"
    settings = SETTINGS | {"seed": 1, "epochs": 1, "seeds": 2}
    measure.main(["--hidden", hidden, "--rate", rate, "--threads", "1", "--dataset", str(data),
                  "--settings", json.dumps(settings), "--output", str(output)])  # fmt: skip
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
    assert found.numbers["cpu"]["lost"] == {"1000": "diverged in 2 of 2 runs"}
    assert "At 1000: diverged." in found.sentence


def test_the_textbooks_network_has_203530_parameters():
    assert parameter_count(perceptron([784, 256, 10], "relu", 0)) == 203_530


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
