"""Placement: what torch does is found out, and the answer says what was found."""

import json

import answer_placement as answer
import measure_placement as measure
import pytest
from assay import record
from assay.answer import model, question
from assay.answer.model import State
from assay.record import Status, Trial
from builders import PROTOCOL, make_record, with_status

SETTINGS = {"features": 8, "seed": 1, "protocol": dict(PROTOCOL)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """One real job on the CPU."""
    output = tmp_path_factory.mktemp("placement") / "cpu.json"
    measure.main(["--threads", "1", "--settings", json.dumps(SETTINGS), "--output", str(output)])
    return record.read(output)


@pytest.fixture(scope="module")
def device(seen):
    return answer.devices([seen])[0]


def test_a_tensor_is_copied_unless_nothing_changes(device):
    for move in ("number format", "meta"):
        assert not device.results["tensor moved", move]["same_object"]
        assert device.results["tensor moved", move]["source_stays"]
        assert device.results["tensor kept", move]["same_object"]
        assert not device.results["tensor kept", move]["same_object_with_copy"]


def test_a_module_moves_in_place_and_leaves_its_plain_tensor(device):
    moved = device.results["module moved", "number format"]
    assert moved["same_object"]
    assert moved["same_parameters"]
    assert moved["optimizer_follows"]
    assert moved["buffer_arrived"]
    assert not moved["integer_buffer_arrived"]
    assert not moved["plain_tensor_arrived"]


def test_a_file_from_an_absent_device_needs_map_location(device):
    elsewhere = device.results["from elsewhere", "file"]
    assert elsewhere["plainly"]["error"] == "RuntimeError"
    assert "map_location" in elsewhere["plainly"]["message"]
    assert elsewhere["map_location"]["error"] is None
    assert elsewhere["equal"]


def test_a_float64_file_is_rounded_into_a_float32_module(device):
    copying = device.results["file into module", "number format"]["copying"]
    assert copying["stays_at_source"]
    assert 0 < copying["largest_difference"] < 1e-6
    assigning = device.results["file into module", "number format"]["assigning"]
    assert not assigning["stays_at_source"]
    assert assigning["largest_difference"] == 0


def test_a_skeleton_is_filled_by_assigning_only(device):
    skeleton = device.results["skeleton", "file"]
    assert skeleton["copying"]["error"] is None
    assert not skeleton["copying"]["has_data"]
    assert skeleton["assigning"]["has_data"]
    assert skeleton["moving"]["error"] == "NotImplementedError"


def test_a_cpu_says_what_it_cannot_show(seen):
    missing = [trial for trial in seen.trials if trial.status == Status.UNAVAILABLE]
    assert len(missing) == 1
    assert "the CPU itself" in str(missing[0].reason)


def test_the_answer_for_a_cpu(seen):
    found = answer.answer([seen])
    assert found.sentence.startswith(
        "Here module.to works in place, tensor.to returns a new tensor"
    )
    assert found.sentence.endswith("Not available: moves to a GPU.")
    assert len(found.sentence.split()) <= 25
    assert model.state(found.cells) == State.PART
    assert found.numbers["cpu"]["moves"]["its plain tensor"]["number format"] == "✗ left behind"
    assert found.so.startswith("Assign what tensor.to returns, register a module's tensors")
    assert found.numbers["cpu"]["files"]["file from an absent device"] == "✗ RuntimeError"


def test_the_card_is_small(seen):
    found = answer.answer([seen])
    shown = found.views[0].table
    words = [str(c.text if isinstance(c, model.Cell) else c) for row in shown.rows for c in row]
    assert len(" ".join(words).split()) <= 80
    assert len(shown.columns) == 3  # no move between devices: what is missing says why
    assert len(found.table.rows) > 2 * len(shown.rows)


def test_bandwidth_is_read_from_its_own_study(seen):
    rates = {
        "bandwidth_bytes_per_s": 25e9,
        "bandwidth_low_bytes_per_s": 24e9,
        "bandwidth_high_bytes_per_s": 26e9,
    }
    what = {"transfer": "host_to_device", "host_memory": "pinned"}
    copies = make_record("bandwidth", {"device": "cpu"}, [Trial(what=what, result=rates)])
    found = answer.answer([seen, copies])
    assert "Pinned copies host → cpu reach 25.0 [24.0, 26.0] GB/s" in found.sentence
    assert found.numbers["cpu"]["bandwidth_bytes_per_s"]["host_to_device_pinned"][0] == 25e9
    assert 25e9 in set(found.frame["bandwidth_bytes_per_s"])
    assert found.table.rows[-1][3].value == 25e9
    other = make_record("bandwidth", {"device": "gpu"}, [Trial(what=what, result=rates)])
    assert "GB/s" not in answer.answer([seen, other]).sentence


def on_a_gpu(seen):
    """The record as a GPU would give it: the move to another device goes as the one to float64."""
    changed = seen.model_copy(deep=True)
    changed.axes["device"] = "gpu"
    changed.trials = [trial for trial in changed.trials if trial.status == Status.OK]
    for trial in list(changed.trials):
        if trial.what["move"] == "number format":
            what = trial.what | {"move": "device"}
            changed.trials.append(trial.model_copy(update={"what": what}, deep=True))
    return changed


def test_a_gpu_of_which_only_the_speed_is_lost(seen):
    lost = make_record("bandwidth", {"device": "gpu"}, [], status=Status.CONTENDED)
    found = answer.answer([seen, on_a_gpu(seen), lost])
    assert "Disturbed: speed of copies to gpu." in found.sentence
    assert "moves to a GPU" not in found.sentence
    assert [view.name for view in found.views] == ["cpu", "gpu"]
    assert model.state(found.cells) == State.PART


def test_devices_that_came_to_the_same_share_rows_and_a_view(seen):
    gpus = [on_a_gpu(seen), on_a_gpu(seen)]
    for i, each in enumerate(gpus):
        each.axes["device"] = f"gpu{i}"
    found = answer.answer([seen, *gpus])
    assert [view.name for view in question.shared(found.views)] == ["cpu", "gpu0, gpu1"]
    assert {row[1] for row in found.table.rows} <= {"cpu", "gpu0, gpu1", "cpu, gpu0, gpu1"}


def test_an_optimiser_that_loses_its_parameters_is_told(seen):
    changed = seen.model_copy(deep=True)
    for trial in changed.trials:
        if trial.what["check"] == "module moved":
            trial.result["optimizer_follows"] = False
    assert "an optimiser made before loses the parameters" in answer.answer([changed]).sentence


@pytest.mark.parametrize("status", [s for s in Status if s != Status.OK])
def test_without_a_device_nothing_is_claimed(seen, status):
    gone = make_record("placement", {"device": "gpu"}, [], status=status, reason="none")
    found = answer.answer([gone])
    assert found.sentence == question.NOTHING
    assert model.state(found.cells) == State.NONE
    assert found.so == ""
    assert answer.answer([with_status(seen, status)]).sentence == question.NOTHING


def test_a_lost_check_is_named(seen):
    changed = seen.model_copy(deep=True)
    for trial in changed.trials:
        if trial.what["check"] == "module moved":
            trial.status, trial.result = Status.CONTENDED, {}
    found = answer.answer([changed])
    assert "Disturbed: module.to." in found.sentence
    assert "module.to works" not in found.sentence
