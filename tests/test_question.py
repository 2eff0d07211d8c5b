"""What an answer says of its records: what is missing, what was disturbed, when and where."""

from pathlib import Path

import pytest
from assay.answer import question
from assay.record import RecordError, Status, Trial
from builders import make_record


def test_what_could_not_be_measured_is_named_with_its_reason():
    trials = [
        Trial(what={"dtype": "float16"}, status=Status.SKIPPED, reason="too slow"),
        Trial(what={"dtype": "float32"}),
    ]
    gone = make_record(
        "alignment",
        {"device": "gpu", "n": 8},
        [],
        status=Status.UNAVAILABLE,
        reason="no GPU",
    )
    seen = question.missing([make_record("alignment", {"device": "cpu", "n": 8}, trials), gone])
    assert [(each.what, each.status, each.reason) for each in seen] == [
        ("cpu, n 8, float16", Status.SKIPPED, "too slow"),
        ("gpu, n 8", Status.UNAVAILABLE, "no GPU"),
    ]


def test_circumstances_sum_up_every_record():
    def one(started, commit, dirty, rounds):
        trial = Trial(what={}, result={"rounds": rounds, "rounds_void": 1})
        made = make_record("alignment", {"device": "cpu"}, [trial])
        made.provenance.started, made.provenance.commit = started, commit
        made.provenance.dirty = dirty
        return made

    seen = question.circumstances(
        [Path("a.json"), Path("b.json")],
        [
            one("2026-01-02T00:00:00+00:00", "0123456789", True, 20),
            one("2026-01-01T00:00:00+00:00", None, None, 30),
        ],
    )
    assert (seen.first, seen.last) == ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00")
    assert seen.commits == ["01234567, with local changes", "no git checkout"]
    assert (seen.rounds, seen.rounds_void, seen.delay_share) == (50, 2, 0.0)
    assert seen.measurements == {"a.json": 1, "b.json": 1}
    assert seen.disturbed == []


def test_neighbours_are_told_by_name():
    """Those of lost measurements, and of those that were judged beside one all the same."""
    firefox = [{"name": "firefox", "cores": 0.6}]
    trials = [
        Trial(what={"n": 1}, status=Status.CONTENDED, result={"neighbours": firefox}),
        Trial(what={"n": 2}, status=Status.CONTENDED),  # the system hides who it was
        Trial(what={"n": 3}, result={"neighbours": firefox, "beside_neighbour": True}),
        Trial(what={"n": 4}, result={"neighbours": firefox}),  # a few void rounds, nothing lost
        Trial(what={"n": 5}, status=Status.SKIPPED, reason="slow"),
    ]
    whole = make_record("s", {"device": "cpu"}, [], status=Status.CONTENDED, reason="busy")
    paths = [Path("a.json"), Path("b.json")]
    seen = question.circumstances(paths, [make_record("s", {"device": "cpu"}, trials), whole])
    assert seen.measurements == {"a.json": 5, "b.json": 1}
    assert [(e.record, e.what, e.lost, e.neighbours) for e in seen.disturbed] == [
        ("a.json", "n 1", True, {"firefox": 0.6}),
        ("a.json", "n 2", True, {}),
        ("a.json", "n 3", False, {"firefox": 0.6}),
        ("b.json", "cpu", True, {}),
    ]


def test_gpus_are_not_mixed_under_one_label():
    def one(label, gpu, machine="m", **result):
        timed = Trial(what={}, result=result or {"clock": "device, by events"})
        made = make_record("alignment", {"device": label}, [timed])
        made.conditions.gpu = gpu and {"gpu_id": gpu}
        made.provenance.machine_id = machine
        return made

    paths = [Path(f"{name}.json") for name in "abcd"]
    fine = [one("gpu0", "1"), one("gpu0", "1"), one("gpu1", "2"), one("cpu", None)]
    question.refuse_mixed(paths, fine)
    question.refuse_mixed(paths[:2], [one("gpu0", "1"), one("gpu0", None)])  # NVML hid it
    with pytest.raises(RecordError, match=r"gpu0 come from different GPUs.*a\.json and c\.json"):
        question.refuse_mixed(paths, [*fine[:2], one("gpu0", "2"), fine[3]])
    # A label of a cluster: each node has cards of its own, and a training runs on any of them.
    question.refuse_mixed(paths[:2], [one("gpu0", "1"), one("gpu0", "2", machine="other")])
    question.refuse_mixed(paths[:2], [one("gpu0", gpu, accuracy=0.9) for gpu in "12"])


def test_yardsticks_are_of_one_machine():
    made = [make_record("alignment", {"device": "cpu"}, []) for _ in range(3)]
    for each, seconds in zip(made, (0.3, 0.1, 0.2), strict=True):
        each.conditions.yardstick = {"product_s": seconds}
    assert question.yardsticks(made) == {"product_s": (0.1, 0.3)}
    made[0].provenance.machine_id = "another"
    assert question.yardsticks(made) == {}
