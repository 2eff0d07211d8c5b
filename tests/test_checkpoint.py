"""Checkpoint: resuming bit for bit, reusing layers, formats under hazards, and their verdicts."""

import json
import pickle
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import answer_checkpoint as answer
import measure_formats as measure
import measure_resume as resume
import measure_transfer as transfer
import numpy as np
import pytest
import torch
from assay import record
from assay.answer import model, say
from assay.answer.model import State
from assay.learning import training
from assay.modules import checkpoint, formats, process
from assay.record import Status, Trial
from builders import QUICK, make_record, with_status
from conftest import ROOT
from torch import nn

CPU = torch.device("cpu")
SHARED = {
    "seed": 1,
    "protocol": {**QUICK},
}
RESUME = {
    "examples": 100,
    "features": 8,
    "hidden": 16,
    "batch": 32,
    "dropout": 0.5,
    "rate": 0.1,
    "momentum": 0.9,
    "steps": 20,
    "every": 3,
    "kill_at": 7,
    "kills": 2,
    "kill_after_s": [0.002, 0.01],
    "file_bytes": 1_048_576,
    **SHARED,
}
FORMATS = {
    "features": 16,
    "hidden": 32,
    "view_bytes": 400_000,
    "cap_s": 1,
    "half_width": 0.5,
    **SHARED,
}


@pytest.fixture(autouse=True)
def threads_and_seeds():
    """Measuring changes torch's threads and seed."""
    with torch.random.fork_rng():
        yield


def run(module, tmp_path, settings, *arguments):
    """One real job, read back."""
    output = tmp_path / "record.json"
    module.main([*arguments, "--threads", "1", "--settings", json.dumps(settings),
                 "--output", str(output)])  # fmt: skip
    return record.read(output)


# ---- resuming ------------------------------------------------------------------------------------


def trained(run, to_step):
    resume.advance(run, resume.examples(RESUME, CPU), to_step)
    return training.digest(run.network)


def continued(state, parts):
    """The digest of a run that goes on from a state, with these parts of it."""
    other = resume.begin(RESUME, CPU)
    checkpoint.restore(other, state, parts)
    return trained(other, 12)


def test_a_run_continues_bit_for_bit_and_only_with_every_part(tmp_path):
    whole = trained(resume.begin(RESUME, CPU), 12)
    stopped = resume.begin(RESUME, CPU)
    trained(stopped, 6)  # an epoch has four steps: in the middle of the second
    checkpoint.save(tmp_path / "run.pt", checkpoint.capture(stopped))
    state = checkpoint.load(tmp_path / "run.pt")
    assert continued(state, checkpoint.PARTS) == whole
    for left_out in checkpoint.PARTS:
        parts = [part for part in checkpoint.PARTS if part != left_out]
        assert continued(state, parts) != whole, left_out


def test_an_order_continues_in_mid_epoch():
    order = checkpoint.Order(10, 4, seed=3)
    seen = [order.next() for _ in range(4)]
    assert [len(rows) for rows in seen] == [4, 4, 2, 4]
    assert sorted(torch.cat(seen[:3]).tolist()) == list(range(10))
    other = checkpoint.Order(10, 4, seed=8)
    other.load_state_dict(order.state_dict())
    for _ in range(5):
        assert torch.equal(order.next(), other.next())


def test_killed_trainings_and_writers(tmp_path):
    seen = run(resume, tmp_path, RESUME)
    found = answer.resume([seen])
    assert found[answer.AGAIN]["nothing"]["same"]
    whole = found[answer.RESUMED]["nothing"]
    assert whole["same"]
    assert whole["from_step"] < RESUME["steps"]
    assert answer.needed(found) == ["optimizer", "random", "order"]
    assert answer.wrecks(found)["atomic"] == [0, RESUME["kills"]]


def test_weights_that_are_no_numbers_diverged():
    ends = {"sha256": "x", "weights": np.array([1.0, np.nan])}
    assert resume.outcome({"phase": "resumed"}, ends, ends).status == Status.DIVERGED


def test_a_file_cut_short_is_not_whole(tmp_path):
    path = tmp_path / "run.pt"
    resume.in_place(path, {"number": 3, "weights": torch.full((1000,), 3.0)})
    assert resume.whole(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert not resume.whole(path)
    resume.in_place(path, {"number": 4, "weights": torch.full((1000,), 3.0)})
    assert not resume.whole(path)  # two writings mixed


# ---- reusing layers ------------------------------------------------------------------------------


def layers(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))


def trains(network):
    """One step of SGD."""
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    network(torch.ones(2, 6)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("arm", "weights", "biases", "donor_moves", "layer_learns"),
    [
        ("scratch", False, False, False, True),
        ("copied", True, True, False, True),
        ("frozen", True, True, False, False),
        ("aliased", True, False, True, True),  # the published line
    ],
)
def test_what_an_arm_takes_and_what_it_does(arm, weights, biases, donor_moves, layer_learns):
    donor, fresh = layers(0), layers(1)
    before = training.digest(donor)
    transfer.ARMS[arm](fresh, donor)
    assert torch.equal(fresh[0].weight, donor[0].weight) == weights
    assert torch.equal(fresh[2].bias, donor[2].bias) == biases
    own = fresh[2].weight.detach().clone()
    trains(fresh)
    assert torch.equal(fresh[2].weight, own) != layer_learns
    assert (training.digest(donor) != before) == donor_moves


TRANSFER = {
    "hidden": [16, 16],
    "batch": 50,
    "rates": [0.1],
    "tuning_epochs": 1,
    "epochs": 1,
    "epoch_images": 500,
    "seeds": 2,
    "validation_share": 0.16666667,
    "validation_images": 200,
    "donor": {"rate": 0.3, "epochs": 2},
    **SHARED,
}


def test_a_real_transfer_and_a_data_set_that_is_too_small(tmp_path, data):
    few = run(transfer, tmp_path, TRANSFER, "--images", "60", "--dataset", str(data))
    found = {arm.name: arm.extras for arm in answer.reuses([few])}
    assert set(found) == set(transfer.ARMS)
    assert found["aliased"]["donor_changed"]
    assert found["aliased"]["donor_accuracy_after"] != found["aliased"]["donor_accuracy_before"]
    assert not found["copied"]["donor_changed"]
    after = found["copied"]["donor_accuracy_after"]
    assert after == found["copied"]["donor_accuracy_before"] > 0.4
    many = run(transfer, tmp_path, TRANSFER, "--images", "5000", "--dataset", str(data))
    assert many.status == Status.SKIPPED
    assert "3,335 training images" in str(many.reason)
    assert answer.reuses([many]) == []


def test_images_must_be_a_number_or_all():
    with pytest.raises(SystemExit):
        transfer.main(["--images", "0", "--dataset", "none", "--output", "none.json"])


# ---- formats -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Real jobs of three formats."""
    found = {}
    temporary = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(temporary))
        for name in ("state_dict", "module", "safetensors"):
            path = tmp_path_factory.mktemp(name)
            found[name] = run(measure, path, FORMATS, "--format", name)
    assert list(temporary.iterdir()) == []  # nothing is left behind
    return found


def results(seen):
    """What was found out about a format, by hazard."""
    return {trial.what.get("hazard"): trial.result for trial in seen.trials}


def test_a_state_dict_needs_its_code_and_says_so(stored):
    cells = answer.judged(stored["state_dict"])
    assert cells["unchanged"].text == "unchanged"
    assert cells["by_default"].text == "unchanged"
    assert cells["class_missing"].text.split() == ["tensors", "only"]
    assert cells["class_moved"].text == "unchanged"
    assert cells["layer_renamed"].text == "says so"


def test_a_whole_module_has_every_trap(stored):
    seen = results(stored["module"])
    assert seen["by_default"]["error"] == "UnpicklingError"
    assert seen["class_moved"]["error"] == "ModuleNotFoundError"
    assert answer.judged(stored["module"])["forward_edited"].text.startswith("silently")
    assert seen["layer_renamed"]["failed_at"] == "run"


def test_code_in_a_file_runs_only_where_it_is_trusted(stored):
    for name in ("state_dict", "module"):
        hostile = results(stored[name])["hostile"]
        assert hostile["pickles"] >= 1
        assert not hostile["ran_by_default"]
        assert not hostile["ran_weights_only"]
        assert hostile["ran_trusting"]
    ran = {name: results(seen)["hostile"]["ran_as_needed"] for name, seen in stored.items()}
    assert ran == {"state_dict": False, "module": True, "safetensors": False}


def test_views_and_shared_weights(stored):
    pickled, plain = (answer.judged(stored[name]) for name in ("state_dict", "safetensors"))
    assert pickled["rows"].text.startswith("all of it")
    assert plain["rows"].text == "part only"
    assert pickled["tied"].text == "still shared"
    assert plain["tied"].text == "save fails"
    assert pickled["dtypes"].text == f"{len(formats.DTYPES)} of {len(formats.DTYPES)}"


@pytest.mark.parametrize("name", ["torchscript", "export"])
def test_formats_with_code_of_their_own(tmp_path, name):
    case = formats.Case(name, tmp_path, FORMATS)
    formats.write_code(tmp_path)
    call = process.context("cpu")
    process.call(call, measure.beside_code, measure.write, case)
    for version in (formats.MISSING, formats.EDITED):
        other = replace(case, version=version)
        seen = process.call(call, measure.beside_code, measure.reload, other)
        assert seen["failed_at"] is None
        assert seen["largest_difference"] <= answer.SAME


def test_a_rewritten_archive_is_one_that_torch_reads(tmp_path):
    torch.save({"a": torch.arange(5)}, tmp_path / "one.pt")
    checkpoint.rewrite(tmp_path / "one.pt", tmp_path / "two.pt", lambda content: content)
    assert torch.equal(torch.load(tmp_path / "two.pt", weights_only=True)["a"], torch.arange(5))
    inner = (tmp_path / "one.pt").read_bytes()
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.writestr("inner.pt", inner)
    payload = pickle.dumps("changed", protocol=2)
    checkpoint.rewrite(
        tmp_path / "outer.zip", tmp_path / "new.zip", lambda c: measure.poisoned(c, payload)
    )
    assert payload in (tmp_path / "new.zip").read_bytes()


# ---- verdicts on made-up records -----------------------------------------------------------------


def resumed(left_out, same, distance, step=40):
    return Trial(
        what={"phase": "resumed", "left_out": left_out},
        result={
            "same": same,
            "relative_distance": distance,
            "killed_at_step": 50,
            "from_step": step,
            "steps_per_epoch": 32,
        },
    )


def made_resume(*trials, repeatable=True):
    again = Trial(what={"phase": "unbroken again", "left_out": ""}, result={"same": repeatable})
    writers = [
        Trial(
            what={"phase": "killed while writing", "way": way},
            result={"unreadable": n, "kills": 10},
        )
        for way, n in (("in place", 9), ("atomic", 0))
    ]
    made = make_record("resume", {"device": "cpu"}, [again, *trials, *writers])
    made.settings = RESUME
    return made


def test_what_is_needed_to_resume_is_what_makes_a_difference():
    made = made_resume(
        resumed("", True, 0.0), resumed("optimizer", False, 0.1), resumed("random", True, 0.0)
    )
    found = answer.answer([made])
    assert "has to hold weights and optimiser state" in found.sentence
    assert "up to 10 % off" in found.sentence
    assert "generator" not in found.sentence
    assert len(found.sentence.split()) <= 25
    assert model.state(found.cells) == State.ANSWERED
    assert found.numbers["resume"]["cpu"]["unreadable"] == {"in place": [9, 10], "atomic": [0, 10]}
    assert "✗ 9 of 10" in found.folded[-1].alternative
    assert found.so.startswith("Save optimiser state with the weights, write to a temporary file")
    rows = found.views[0].table.rows
    assert [(row[0], row[1].sign) for row in rows] == [
        ("(unbroken, run twice)", "✓"),
        ("nothing", "✓"),
        ("optimiser state", "✗"),
        ("generator state", "✓"),
    ]


def test_an_unrepeatable_training_cannot_be_judged():
    found = answer.answer([made_resume(resumed("", True, 0.0), repeatable=False)])
    assert found.sentence.startswith("Cannot tell what a checkpoint has to hold")
    assert model.state(found.cells) == State.UNKNOWN
    assert "with the weights" not in found.so


def test_a_resumed_run_that_differs_is_told():
    found = answer.answer([made_resume(resumed("", False, 0.2))])
    assert "more than was saved" in found.sentence
    assert "20 % off" in found.sentence


def test_a_lost_resumed_training_is_named():
    lost = made_resume()
    lost.trials = lost.trials[1:]
    found = answer.answer([lost, made_transfer({"scratch": 0.80, "copied": 0.85})])
    assert "Not measured: resumed training." in found.sentence
    assert model.state(found.cells) == State.NONE


def test_a_part_that_was_lost_is_named_and_lowers_the_state():
    made = made_resume(resumed("", True, 0.0), resumed("optimizer", False, 0.1))
    lost = resumed("order", False, 0.2)
    lost.status, lost.reason, lost.result = Status.CONTENDED, "busy", {}
    made.trials.append(lost)
    found = answer.answer([made])
    assert "has to hold weights and optimiser state" in found.sentence
    assert "Disturbed: resumed without order state." in found.sentence
    assert model.state(found.cells) == State.PART


def test_devices_that_agree_share_a_sentence():
    one, other = (made_resume(resumed("", True, 0.0)) for _ in range(2))
    other.axes["device"] = "gpu"
    found = answer.answer([one, other])
    assert say.once(found.sentence, ["cpu", "gpu"]) == answer.answer([one]).sentence
    changed = made_resume(resumed("", False, 0.2))
    changed.axes["device"] = "gpu"
    assert "gpu: " in answer.answer([one, changed]).sentence


def test_a_file_in_place_is_not_blamed_without_evidence():
    made = made_resume(resumed("", True, 0.0))
    for trial in made.trials[-2:]:
        trial.result["unreadable"] = 1
    assert answer.answer([made]).so == ""


def made_transfer(means, images=100, donor_after=0.6):
    """A record in which every arm's five runs scatter a little around its mean."""
    draw = np.random.default_rng(0)
    trials = []
    for arm, mean in means.items():
        aliased = arm == "aliased"
        taken = {"weights": True, "biases": not aliased, "storage": aliased}
        trials.append(
            Trial(what={"phase": "taken over", "arm": arm, "images": images}, result=taken)
        )
        for seed in range(5):
            trials.append(
                Trial(
                    what={"phase": "training", "arm": arm, "images": images, "seed": seed},
                    result={
                        "test_accuracy": float(mean + draw.normal(0, 0.001)),
                        "test_images": 5000,
                        "donor_accuracy_before": 0.9,
                        "donor_accuracy_after": donor_after + 0.01 * (seed - 2) if aliased else 0.9,
                        "donor_changed": aliased,
                    },
                )
            )
    made = make_record("transfer", {"device": "cpu", "images": str(images)}, trials)
    made.settings = TRANSFER
    return made


def test_the_verdict_on_reuse_is_against_scratch():
    means = {"scratch": 0.80, "copied": 0.85, "frozen": 0.70, "aliased": 0.8}
    found = answer.answer([made_transfer(means)])
    words = {each["arm"]: each["verdict"] for each in found.numbers["comparisons"]}
    assert words == {
        "scratch": "reference", "copied": "better", "frozen": "worse", "aliased": "the same",
    }  # fmt: skip
    assert any("falls from 90.0 % to 60.0 %" in text for text in found.why)


def test_an_arm_that_diverged_is_told_and_not_compared():
    made = made_transfer({"scratch": 0.80, "copied": 0.85, "frozen": 0.70})
    lost = next(t for t in made.trials if t.what["arm"] == "copied" and "seed" in t.what)
    lost.status, lost.reason, lost.result = Status.DIVERGED, "diverged in step 3", {}
    found = answer.answer([made])
    words = {each["arm"]: each["verdict"] for each in found.numbers["comparisons"]}
    assert words == {"scratch": "reference", "copied": None, "frozen": "worse"}
    lost = {each["arm"]: each["lost"] for each in found.numbers["comparisons"]}
    assert lost == {"scratch": None, "copied": "diverged in 1 of 5 runs", "frozen": None}


def test_nothing_is_compared_with_a_reference_that_diverged():
    made = made_transfer({"scratch": 0.80, "copied": 0.85})
    lost = next(t for t in made.trials if t.what["arm"] == "scratch" and "seed" in t.what)
    lost.status, lost.reason, lost.result = Status.DIVERGED, "diverged in step 3", {}
    found = answer.answer([made])
    assert {each["verdict"] for each in found.numbers["comparisons"]} == {None}
    assert found.numbers["comparisons"][0]["lost"] == "diverged in 1 of 5 runs"


def made_format(ratio):
    """A record of a format of which only the time to save was measured."""
    ratios = {
        "twin": {"ratio": 1.0, "ratio_low": 0.999, "ratio_high": 1.001, "p": 0.9},
        "target": {"ratio": ratio, "ratio_low": ratio - 0.01, "ratio_high": ratio + 0.01, "p": 0.0},
    }
    arm = {"time_median_s": 1e-3, "time_low_s": 9e-4, "time_high_s": 1.1e-3}
    result = {"arms": {"anchor": arm, "target": arm}, "ratios": ratios}
    trial = Trial(what={"time": "save"}, result=result)
    return make_record("formats", {"device": "cpu", "format": "module"}, [trial], settings=FORMATS)


def test_reuse_and_times_are_one_family_whose_verdicts_the_table_holds():
    means = {"scratch": 0.80, "copied": 0.85, "aliased": 0.8}
    found = answer.answer([made_transfer(means), made_format(1.5)])
    judged = found.frame[found.frame["verdict"].notna()]
    assert list(judged["verdict"]) == ["reference", "better", "the same", "slower"]
    assert judged[["p", "bound", "margin"]].iloc[1:].notna().all(axis=None)
    assert any("the same within 0.57 points" in row for row in found.table.rows)
    saved = next(row for row in found.folded[-1].table.rows if row[0] == "time to save")
    assert saved[1].text == "1.00 ms, +50.0 %, slower"


def test_a_hazard_that_was_not_tried_is_no_pass():
    found = answer.answer([made_format(1.5)])
    assert set(found.numbers["formats"]["module"].values()) == {"not measured"}
    assert found.why == []


def test_without_any_record_nothing_is_claimed():
    skipped = make_record("transfer", {"device": "cpu", "images": "100"}, [])
    skipped.settings = TRANSFER
    assert answer.answer([skipped]).sentence == "Not measured: resumed training."


def test_shares_stay_within_all_and_nothing():
    made = made_transfer({"scratch": 0.5})
    for seed, trial in enumerate(made.trials[1:]):
        trial.result["test_accuracy"] = [0.01, 0.99, 0.99, 0.01, 0.99][seed]
    text = answer.answer([made]).table.rows[0][2].text
    assert text.endswith("100.0] %")


@pytest.mark.parametrize("status", [s for s in Status if s != Status.OK])
def test_records_of_every_status_give_an_answer(status):
    made = [
        made_resume(resumed("", True, 0.0)),
        made_transfer({"scratch": 0.80, "copied": 0.85}),
        made_format(1.5),
    ]
    found = answer.answer([with_status(each, status) for each in made])
    assert model.state(found.cells) == State.NONE
    assert found.so == ""


@pytest.mark.parametrize(
    ("result", "sign"),
    [
        ({"failed_at": None, "largest_difference": 0.0}, "✓"),
        ({"failed_at": None, "largest_difference": 0.3}, "✗"),
        ({"failed_at": "build"}, "!"),
        ({"failed_at": "load"}, "✗"),
        ({"failed_at": "run"}, "✗"),
    ],
)
def test_signs_of_a_reload(result, sign):
    assert answer.reloaded(result, answer.LOUD).sign == sign


@pytest.mark.parametrize(
    ("ran", "error", "sign"), [(True, None, "✗"), (True, "E", "✗"), (False, "E", "✓")]
)
def test_code_that_ran_counts_whatever_the_loader_said(ran, error, sign):
    assert answer.refused({"ran_x": ran, "error_x": error}, "x").sign == sign


def test_no_file_is_trusted_anywhere_else():
    """torch.load without weights_only=True stands where that hazard is the experiment."""
    trusting = [
        path.name
        for path in Path(ROOT / "workflow").rglob("*.py")
        for line in path.read_text().splitlines()
        if re.search(r"(?<!safetensors\.)torch\.load\(", line) and "weights_only=True" not in line
    ]
    assert set(trusting) == {"formats.py"}


def test_formats_that_fail_nowhere_are_named(stored):
    (text,) = answer._survivors({name: answer.judged(seen) for name, seen in stored.items()})
    assert text.endswith("failure: none.")
