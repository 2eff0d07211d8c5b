"""Placement: what torch does is found out, and the answer says what was found."""

import json

import answer_placement as answer
import measure_placement as measure
import pytest
import torch
from assay import record
from assay.record import Status, Trial
from conftest import PROTOCOL, make_record

SETTINGS = {"features": 8, "seed": 1, "protocol": dict(PROTOCOL)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """One real job on the CPU."""
    before = torch.get_num_threads()
    output = tmp_path_factory.mktemp("placement") / "cpu.json"
    measure.main(["--threads", "1", "--settings", json.dumps(SETTINGS), "--output", str(output)])
    torch.set_num_threads(before)
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
    assert found.sentence.startswith("cpu – module.to works in place")
    assert "could not be measured" in found.sentence
    assert found.numbers["cpu"]["moves"]["its plain tensor"]["number format"] == "✗ left behind"


def test_bandwidth_is_read_from_its_own_study(seen):
    rates = {
        "bandwidth_bytes_per_s": 25e9,
        "bandwidth_low_bytes_per_s": 24e9,
        "bandwidth_high_bytes_per_s": 26e9,
    }
    what = {"transfer": "host_to_device", "host_memory": "pinned"}
    copies = make_record("bandwidth", {"device": "cpu"}, [Trial(what=what, result=rates)])
    found = answer.answer([seen, copies])
    assert "host → device pinned 25 [24, 26] GB/s" in found.sentence
    other = make_record("bandwidth", {"device": "gpu"}, [Trial(what=what, result=rates)])
    assert "could not be measured" in answer.answer([seen, other]).sentence


def test_an_optimiser_that_loses_its_parameters_is_told(seen):
    changed = seen.model_copy(deep=True)
    for trial in changed.trials:
        if trial.what["check"] == "module moved":
            trial.result["optimizer_follows"] = False
    assert "an optimiser made before loses the parameters" in answer.answer([changed]).sentence


def test_without_a_device_nothing_is_claimed():
    gone = make_record("placement", {"device": "gpu"}, [], status=Status.UNAVAILABLE, reason="none")
    assert answer.answer([gone]).sentence.startswith("Nothing could be moved")


def test_the_snippet_runs(capsys):
    exec(compile(answer.SNIPPET.code, "snippet", "exec"), {"__name__": "snippet"})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("cpu")
    assert lines[2].endswith("True")
