"""Composition: the words follow what is put into made-up records; one real, small job."""

import json

import answer_composition as answer
import measure_composition as measure
import numpy as np
import pytest
import torch
from assay import record
from assay.answer import model
from assay.answer.model import Main, State
from assay.answer.verdict import Word
from assay.record import DatasetInfo, Status, Trial
from builders import make_record, with_status

SETTINGS = {
    "seed": 1,
    "branches": [3, 5],
    "width": 16,
    "stacked": 6,
    "draws": 8,
    "depth": 3,
    "batch": 64,
    "rates": [0.1],
    "tuning_epochs": 1,
    "epochs": 1,
    "seeds": 3,
    "validation_share": 0.16666667,
}
DATA = DatasetInfo(name="fashion-mnist", asked="fashion-mnist", source="x", reason=None, digest="d")
CPU = torch.device("cpu")


def stack(structure, accuracy, factor, spread=0.02):
    """A record of a structure whose blocks shrink distances by a factor."""
    draw = np.random.default_rng(len(structure))
    distance = Trial(
        what={"structure": structure, "check": "distance"},
        samples={
            f"draw_{i}": [float((factor * np.exp(noise)) ** depth) for depth in range(7)]
            for i, noise in enumerate(draw.normal(0, spread, 20))
        },
    )
    counted = Trial(
        what={"structure": structure, "check": "instances", "count": 8},
        result={
            "parameters": 272 * (1 if structure == "shared" else 8),
            "parameters_of_one": 272,
            "memory_places": 1 if structure == "shared" else 8,
            "pairs": 28,
            "pairs_of_equal_values": 0 if structure == "independent" else 28,
        },
    )
    runs = [
        Trial(
            what={"phase": "training", "structure": structure, "rate": 0.1, "seed": seed},
            result={
                "validation_accuracy": accuracy,
                "test_accuracy": accuracy + noise * (1 + accuracy),
                "test_images": 10_000,
                "parameters": 13_000,
            },
        )
        for seed, noise in enumerate((0.0, 0.001, -0.001))
    ]
    axes = {"device": "cpu", "structure": structure}
    made = make_record("composition", axes, [counted, distance, *runs])
    made.settings = SETTINGS
    made.provenance.dataset = DATA
    return made


def words(*records):
    numbers = answer.answer([*records]).numbers["cpu"]
    return {
        name: (numbers["factor_per_block"][name]["verdict"], numbers["accuracy"][name]["verdict"])
        for name in numbers["accuracy"]
    }


def test_the_reference_is_instances_made_anew():
    seen = words(stack("independent", 0.8, 0.5), stack("shared", 0.75, 0.4))
    assert seen == {
        "independent": ("reference", "reference"),
        "shared": (Word.FASTER, Word.WORSE),
    }


def test_what_does_not_differ_is_the_same_or_cannot_be_told():
    seen = words(
        stack("independent", 0.8, 0.5, 0.002),
        stack("copied", 0.8, 0.5, 0.002),
        stack("shared", 0.8, 0.5, 1.0),
    )
    assert seen["copied"] == (Word.SAME, Word.SAME)
    assert seen["shared"][0] == Word.UNKNOWN


def test_the_factor_per_block_is_what_was_put_in():
    found = answer.answer([stack("independent", 0.8, 0.4, 0.001)]).numbers["cpu"]
    assert found["factor_per_block"]["independent"]["factor"] == pytest.approx(0.4, rel=1e-3)


def test_the_headline_says_what_the_slip_costs():
    records = [parallel(), stack("independent", 0.8, 0.5), stack("shared", 0.75, 0.4)]
    found = answer.answer(records)
    assert "passes all 8 checks" in found.sentence
    assert "One instance used again costs accuracy: −5" in found.sentence
    assert len(found.sentence.split()) <= 25
    assert ";" not in found.sentence
    assert found.short == "Yes; sharing: worse"
    assert found.so
    assert model.state(found.cells) == State.ANSWERED
    assert found.numbers["cpu"]["instances"]["shared"]["parameters"] == 272
    assert found.numbers["cpu"]["instances"]["independent"]["parameters"] == 2176
    assert any("Sharing adds to" in text for text in found.why)


def test_what_cannot_be_told_is_said_and_advises_nothing():
    unsure = with_accuracies(stack("shared", 0.79, 0.5, 1.0), (0.02, 0.0, -0.02))
    found = answer.answer([parallel(), stack("independent", 0.8, 0.5), unsure])
    assert "Cannot tell whether one instance used again costs accuracy: −1.0 [" in found.sentence
    assert len(found.sentence.split()) <= 25
    assert found.short == "Yes; sharing: cannot tell"
    assert found.so == ""
    assert model.state(found.cells) == State.PART


def test_factors_and_accuracies_are_one_family():
    found = answer.answer([stack("independent", 0.8, 0.5), stack("shared", 0.75, 0.4)])
    told = found.frame[found.frame["arm"].notna()]
    assert told["verdict"].tolist() == ["reference", "worse", "reference", "faster"]
    assert told["margin"].dropna().tolist() == pytest.approx([0.004, 0.02])


def test_a_structure_of_which_a_run_diverged_is_shown_and_not_compared():
    lost = stack("shared", 0.9, 0.4)
    lost.trials[-1] = lost.trials[-1].model_copy(
        update={"status": Status.DIVERGED, "reason": "diverged in step 9"}
    )
    found = answer.answer([stack("independent", 0.8, 0.5), lost])
    assert "One instance used again: diverged in 1 of 3 runs." in found.sentence
    assert set(found.numbers["cpu"]["accuracy"]) == {"independent"}
    assert found.numbers["cpu"]["lost"] == {"shared": "diverged in 1 of 3 runs"}
    assert Main(answer.NAMES["shared"], None, "diverged in 1 of 3 runs") in found.cells
    assert any("diverged in 1 of 3 runs" in row for row in found.table.rows)


def test_without_a_reference_the_slip_is_not_compared():
    lost = stack("independent", 0.8, 0.5)
    lost.trials[-1] = lost.trials[-1].model_copy(update={"status": Status.DIVERGED})
    found = answer.answer([parallel(), lost, stack("shared", 0.75, 0.4)])
    assert "each made anew diverged in 1 of 3 runs" in found.sentence
    assert model.state(found.cells) == State.PART
    assert found.so == ""


def test_what_was_not_checked_is_not_claimed():
    made = parallel()
    made.trials[1] = made.trials[1].model_copy(
        update={"status": Status.OUT_OF_MEMORY, "reason": "out of memory", "result": {}}
    )
    found = answer.answer([made])
    assert "passes 7 checks, not made: jacobian by parameters." in found.sentence
    assert Main("jacobian by parameters", lost="out of memory") in found.cells
    assert [row[1] for row in found.folded[0].table.rows].count(None) == 1


def test_outputs_that_became_equal_are_no_crash():
    """Every unit may be dead: then nothing is left of the distance."""
    lost = stack("shared", 0.7, 0.4)
    lost.trials[1].samples = {f"draw_{i}": [1.0, 0.5, 0.0] for i in range(20)}
    factor = answer.answer([lost]).numbers["cpu"]["factor_per_block"]["shared"]["factor"]
    assert factor == pytest.approx(0, abs=1e-9)


def test_records_without_a_trial_are_no_crash():
    empty = make_record("composition", {"device": "gpu", "structure": "shared"}, [])
    empty.settings = SETTINGS
    assert "One instance used again: not measured." in answer.answer([empty]).sentence


def test_a_structure_whose_training_diverged_keeps_its_distances():
    lost = stack("shared", 0.7, 0.4)
    lost.trials = lost.trials[:2]
    found = answer.answer([stack("independent", 0.8, 0.5), lost]).numbers["cpu"]
    assert list(found["accuracy"]) == ["independent"]
    assert list(found["factor_per_block"]) == ["independent", "shared"]


def test_factors_and_accuracies_of_all_devices_are_one_family():
    cpu = [stack("independent", 0.8, 0.5), stack("copied", 0.8, 0.5), stack("shared", 0.75, 0.4)]
    gpu = [each.model_copy(update={"axes": each.axes | {"device": "gpu"}}) for each in cpu]
    found = answer.devices([*cpu, *gpu])
    assert sum(arm.seen is not None for each in found for arm in each.arms) == 8
    told = answer.answer([*cpu, *gpu])
    assert told.sentence.count("One instance used again costs accuracy: −") == 2
    assert [view.name for view in told.views] == ["cpu", "gpu"]


def test_more_comparisons_raise_the_bar():
    """With factors to compare as well, a loss of p = 0.03 is no longer told."""
    reference = with_accuracies(stack("independent", 0.8, 0.5), (0.0, 0.0, 0.0))
    slight = with_accuracies(stack("shared", 0.75, 0.5, 1.0), (0.015, 0.0, -0.015))

    def word():
        found = answer.answer([reference, slight]).numbers["cpu"]
        return found["accuracy"]["shared"]["verdict"]

    assert word() == Word.UNKNOWN
    del slight.trials[1]  # the distances
    assert word() == Word.WORSE


def with_accuracies(made, noise):
    runs = [trial for trial in made.trials if "phase" in trial.what]
    for trial, off in zip(runs, noise, strict=True):
        trial.result["test_accuracy"] = trial.result["validation_accuracy"] + off
    return made


def test_sameness_says_within_what():
    found = answer.answer([stack("independent", 0.8, 0.5, 0.002), stack("shared", 0.8, 0.5, 0.002)])
    cells = [row for table in (found.table, found.folded[-1].table) for row in table.rows]
    assert any("the same within 0.4 points" in row for row in cells)
    assert any("the same within 2 %" in row for row in cells)


@pytest.mark.parametrize("lost", range(5))
def test_whatever_trial_is_lost_the_question_is_answered(lost):
    records = [parallel(), stack("independent", 0.8, 0.5), stack("shared", 0.75, 0.4)]
    damaged = [with_status(each, Status.OUT_OF_MEMORY, lost) for each in records]
    assert answer.answer(damaged).sentence
    for place, each in enumerate(damaged):
        assert answer.answer([*records[:place], each, *records[place + 1 :]]).sentence


@pytest.mark.parametrize("status", [Status.CONTENDED, Status.OUT_OF_MEMORY, Status.UNAVAILABLE])
def test_when_everything_is_lost_the_sentence_says_so(status):
    records = [parallel(), stack("independent", 0.8, 0.5)]
    found = answer.answer([with_status(each, status) for each in records])
    assert found.sentence.startswith("The parallel block was not checked (")
    assert model.state(found.cells) == State.NONE


# ---- the parallel block --------------------------------------------------------------------------


def parallel(**changes):
    made = make_record(
        "composition",
        {"device": "cpu", "structure": "parallel"},
        measure.parallel(SETTINGS | changes, CPU),
    )
    made.settings = SETTINGS
    return made


@pytest.mark.parametrize("widths", [[3, 5], [1, 1], [2, 3, 4]])
def test_a_parallel_block_keeps_every_claim(widths):
    made = parallel(branches=widths)
    (device,) = answer.devices([made])
    assert all(device.claims.values())
    jacobian = device.checks["jacobian by parameters"]
    assert jacobian["largest_outside"] == 0.0
    assert jacobian["filled_inside"] > 0.3
    assert len(made.trials[1].samples) == sum(widths)


def test_a_broken_claim_is_told():
    broken = parallel()
    broken.trials[1].result["largest_outside"] = 0.1
    found = answer.answer([broken])
    assert "The parallel block fails 1 of 8 checks." in found.sentence
    assert found.short.startswith("No, 1 of 8 checks fail")
    told = {row[0]: row[1].sign for row in found.folded[0].table.rows}
    assert told["the Jacobian by the parameters is block diagonal"] == "✗"
    assert list(told.values()).count("✓") == 7


def test_a_wrong_jacobian_would_be_seen(monkeypatch):
    """The check can fail: branches that share a parameter are not block diagonal."""
    monkeypatch.setattr(measure, "Parallel", Coupled)
    (device,) = answer.devices([parallel()])
    failed = {claim for claim, holds in device.claims.items() if not holds}
    assert "the Jacobian by the parameters is block diagonal" in failed
    assert "outputs equal those of the branches, concatenated by hand" in failed


class Coupled(torch.nn.Module):
    """A parallel block whose branches leak into each other."""

    def __init__(self, *branches):
        super().__init__()
        self.branches = torch.nn.ModuleList(branches)

    def forward(self, inputs):
        outputs = torch.cat([branch(inputs) for branch in self.branches], dim=-1)
        return outputs + outputs.mean()


def test_cat_without_dim_is_a_measured_counter_example():
    (device,) = answer.devices([parallel()])
    seen = device.checks["cat without dim"]
    assert seen["shape_without_dim"] == [4, 16]
    assert seen["shape_of_block"] == [2, 32]
    assert "Sizes of tensors must match" in str(seen["error_of_unequal"])


# ---- several instances ---------------------------------------------------------------------------


def test_a_shared_instance_does_not_grow():
    counted = [measure.instances("shared", count, SETTINGS).result for count in (1, 8)]
    assert counted[0]["parameters"] == counted[1]["parameters"] == 16 * 16 + 16
    grown = measure.instances("independent", 8, SETTINGS).result
    assert grown["parameters"] == 8 * (16 * 16 + 16)
    assert grown["memory_places"] == 8
    assert grown["pairs_of_equal_values"] == 0


def test_two_inputs_draw_near_along_a_stack():
    along = measure.followed("shared", 1, SETTINGS)
    assert along[0] == 1.0
    assert len(along) == 7
    assert along[-1] < 0.1 * along[1]


def test_structures_begin_alike():
    first = [measure.followed(name, 1, SETTINGS)[:2] for name in ("independent", "shared")]
    assert first[0] == first[1]
    nets = [measure.network(name, SETTINGS, 20, CPU, seed=3) for name in ("copied", "shared")]
    inputs = torch.randn(4, 20)
    assert torch.equal(nets[0](inputs), nets[1](inputs))


# ---- a real job ----------------------------------------------------------------------------------


def measured(tmp_path, data, structure, **changes):
    output = tmp_path / "record.json"
    arguments = ["--structure", structure, "--threads", "1", "--dataset", str(data)]
    arguments += ["--settings", json.dumps(SETTINGS | changes), "--output", str(output)]
    measure.main(arguments)
    return record.read(output)


def test_every_structure_in_one_job(tmp_path, data):
    seen = measured(tmp_path, data, "parallel+independent+copied+shared")
    found = answer.answer([seen])
    assert {trial.status for trial in seen.trials} == {Status.OK}
    assert found.numbers["cpu"]["accuracy"].keys() == {"independent", "copied", "shared"}
    assert len(found.table.rows) == 3
    assert set(found.frame["structure"].dropna()) == {"parallel", "independent", "copied", "shared"}


def test_when_every_rate_diverges_the_checks_remain(tmp_path, data):
    seen = measured(tmp_path, data, "shared", rates=[1e6])
    found = answer.answer([seen])
    assert found.numbers["cpu"]["accuracy"] == {}
    assert found.numbers["cpu"]["instances"]["shared"]["parameters"] == 272
    assert "diverged" in {trial.status for trial in seen.trials}


def test_an_unknown_structure_is_one_sentence(tmp_path, data, capsys):
    with pytest.raises(SystemExit):
        measured(tmp_path, data, "tree")
    assert "unknown: tree; known, to be joined by +: parallel" in capsys.readouterr().err
