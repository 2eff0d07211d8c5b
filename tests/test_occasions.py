"""Cells that are measured more than once: on the configured occasions, or because one was lost."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import yaml
from assay import device, grid, job, record
from assay.record import Status, Trial
from builders import make_record
from conftest import ROOT, load

sys.path.append(str(ROOT / "workflow/scripts"))
accept, again = (load(ROOT / f"workflow/{name}.py") for name in ("accept", "again"))
find_lost = load(ROOT / "workflow/scripts/find_lost.py")

PATTERN = "{folder}/records/alignment/device-{{device}}/n-{{n}}/occasion-{{occasion}}.json"


def trial(status: Status, **result: object) -> Trial:
    return Trial(what={"dtype": "float32"}, status=status, reason="a reason", result=result)


CONTENDED = trial(Status.CONTENDED)
DISTURBED = trial(Status.SKIPPED, disturbed=True)
TOO_LONG = trial(Status.SKIPPED, disturbed=False)
OK = trial(Status.OK)


def write(path: Path, *trials: Trial) -> Path:
    record.write(path, make_record("alignment", {"device": "cpu"}, [*trials]))
    return path


@pytest.mark.parametrize(
    ("trials", "lost"),
    [
        ([OK, OK], False),
        ([OK, CONTENDED], True),
        ([DISTURBED], True),
        ([TOO_LONG], False),
        ([trial(Status.SKIPPED)], False),
        ([trial(Status.OUT_OF_MEMORY)], False),
        ([], False),
    ],
)
def test_lost_is_what_a_neighbour_spoilt(tmp_path, trials, lost):
    assert grid.is_lost(write(tmp_path / "a.json", *trials)) is lost


def test_what_a_gpu_did_not_measure_because_it_failed_is_lost_too(tmp_path):
    for reason, lost in (f"{device.FAILED}: CUDA error: unknown error", True), ("no GPU", False):
        made = make_record("a", {"device": "gpu"}, [], status=Status.UNAVAILABLE, reason=reason)
        record.write(tmp_path / "a.json", made)
        assert grid.is_lost(tmp_path / "a.json") is lost


def test_what_is_no_record_is_not_called_lost(tmp_path):
    """Whoever reads it says what is wrong with it."""
    (tmp_path / "half.json").write_text('{"trials": [{"status": "cont')
    (tmp_path / "other.json").write_text("[]")
    assert not any(grid.is_lost(tmp_path / name) for name in ("half.json", "other.json", "none"))


def test_a_lost_cell_gets_one_occasion_after_the_last(tmp_path):
    pattern = PATTERN.format(folder=tmp_path)
    where = {"pattern": pattern, "axes": {"device": ["cpu"], "n": [64, 65, 66], "occasion": [1, 2]}}
    for n, second in ((64, OK), (65, CONTENDED), (66, OK)):
        for occasion, seen in ((1, OK), (2, second)):
            write(Path(pattern.format(device="cpu", n=n, occasion=occasion)), seen)
    listing = tmp_path / "lost.json"
    asked = json.dumps({"own": [where], "others": [], "studies": ["alignment"]})
    find_lost.main(["--grid", asked, "--output", str(listing)])
    assert grid.listed(listing) == [pattern.format(device="cpu", n=65, occasion=3)]


def test_all_that_is_timed_but_the_probe_of_the_hardware_can_have_one_more():
    studies = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["studies"]
    timed = {name: each["axes"] for name, each in studies.items() if "between_occasions" in each}
    assert {name for name, axes in timed.items() if "occasion" not in axes} == {"hardware"}


def test_a_study_without_occasions_is_not_measured_again_by_itself(tmp_path):
    path = write(tmp_path / "device-cpu.json", CONTENDED)
    assert not [*find_lost.one_more(str(path), {"device": ["cpu"]})]


@pytest.mark.parametrize(("occasion", "same"), [("1", True), ("2", False), ("3", False)])
def test_an_occasion_has_operands_and_an_order_of_its_own(tmp_path, occasion, same):
    seen = []

    def measure(given: job.Job) -> list[Trial]:
        seen.append(given.settings["seed"])
        return [OK]

    output = tmp_path / "a.json"
    arguments = ["--settings", '{"seed": 7}', "--occasion", occasion, "--output", str(output)]
    job.run("alignment", {"occasion": int}, measure, arguments)
    assert (seen == [7]) is same
    left = record.read(output)
    assert left.settings == {"seed": 7}
    assert left.axes["occasion"] == int(occasion)


def test_by_hand_it_is_the_first_occasion(tmp_path):
    output = tmp_path / "a.json"
    arguments = ["--settings", '{"seed": 7}', "--output", str(output)]
    job.run("alignment", {"occasion": int}, lambda given: [OK], arguments)
    assert record.read(output).axes["occasion"] == 1


def test_the_cell_of_a_record_does_not_depend_on_its_occasion():
    old, new = "records/a/device-cpu/n-64.json", "records/a/device-gpu/n-64/occasion-2.json"
    assert grid.cell(old) == grid.cell(new) == "n-64"
    assert grid.cell("records/a/device-cpu.json") == ""
    assert grid.cell("records/a/device-cpu/occasion-1.json") == ""


# ---- measuring again -----------------------------------------------------------------------------

SUMMARY = """output_file\tdate\trule\tlog-file(s)\tstatus\tplan
results/report.html\tnow\tpage\tlog\tok\tno update
results/records/a/device-cpu.json\tnow\tmeasure_a\tlog\tok\tno update
results/records/b/device-cpu/occasion-1.json\tnow\tmeasure_b\tlog\tok\tno update
"""


def test_again_finds_the_lost_records_of_a_run(tmp_path):
    plans = dict(again.planned(SUMMARY))
    assert set(plans.values()) == {"no update"}
    first, second = plans
    write(tmp_path / first, OK)
    write(tmp_path / second, CONTENDED)
    assert again.lost(plans, tmp_path) == [second]


def test_again_measures_nothing_that_was_never_lost():
    """Under the configuration of another run, everything would be measured."""
    summary = SUMMARY.replace("ok\tno update", "missing\tupdate pending", 2)
    plans = dict(again.planned(summary))
    with pytest.raises(SystemExit, match=r"1 of 2 records are not there .* --configfile"):
        again.lost(plans, Path())


def test_again_says_when_nothing_was_lost(monkeypatch, capsys):
    monkeypatch.setattr(again, "records", lambda arguments: {})
    monkeypatch.setattr(sys, "argv", ["again.py"])
    again.main()
    assert "nothing to measure again" in capsys.readouterr().out


def test_again_names_the_labels_that_there_are():
    plans = dict(again.planned(SUMMARY))
    assert again.of_device(plans, "cpu") == [*plans]
    with pytest.raises(SystemExit, match=r"^gpu7: no record .* it has cpu\.$"):
        again.of_device(plans, "gpu7")


@pytest.fixture
def asked_again(monkeypatch, tmp_path):
    """What Snakemake is given after a run of a cluster, by what is typed."""
    run = {
        "where": ["--workflow-profile", "profiles/slurm"],
        "configfile": ["site.yaml"],
        "config": ["seed=2"],
        "cores": 4,
    }
    (tmp_path / "results").mkdir()
    (tmp_path / again.LAST).write_text(json.dumps(run))

    def arguments(*typed: str) -> list[str]:
        monkeypatch.setattr(sys, "argv", ["again.py", "--directory", str(tmp_path), *typed])
        return again.parsed(again.argparse.ArgumentParser(allow_abbrev=False))[1]

    return arguments


def test_again_measures_where_the_last_run_did(asked_again, tmp_path):
    """What measured on a cluster's nodes is not measured again on its login node."""
    given = asked_again()
    assert given[:2] == ["--workflow-profile", "profiles/slurm"]
    assert given[given.index("--configfile") + 1] == str(tmp_path / "site.yaml")


def test_what_is_typed_counts_more_than_the_last_run(asked_again):
    given = asked_again("--cores", "1", "--config", "seed=3")
    assert given.index("4") < given.index("1")
    assert given.index("seed=2") < given.index("seed=3")
    assert "seed=2" not in asked_again("--configfile", "other.yaml")


def test_a_note_of_the_last_run_that_was_cut_short_is_none(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / again.LAST).write_text("")
    assert again.last(tmp_path) == []


def test_parameters_are_compared_in_a_folder_with_spaces_too():
    """With --directory scripts are named by the path of the clone."""
    script = "'../my clone/workflow/scripts/measure_a.py'"
    text = f"  python {script} --device cpu --settings '{{\"seed\": 1}}' --output a.json >a.log"
    assert accept.commands(text)["a.json"]["seed"] == 1
