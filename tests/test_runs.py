"""Records of several runs side by side: labels, machines, and what is refused."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from assay import grid, record
from assay.answer import other_runs
from builders import make_record
from conftest import ROOT, load

compare, share, submit = (
    load(ROOT / f"workflow/{name}.py") for name in ("compare", "share", "submit")
)

# What is asked of a machine, not of a training on it.
REFERENCED = {"hardware", "bandwidth", "alignment", "crossover", "norm_log", "two_devices"}


def put(folder, study="norm_log", device="cpu", machine="m1"):
    """A made-up record where a run leaves it."""
    made = make_record(study, {"device": device}, [])
    made.provenance.machine_id = machine
    path = folder / study / f"device-{device}.json"
    record.write(path, made)
    return path


def test_devices_of_other_runs_are_called_after_their_folder(tmp_path):
    own = tmp_path / "here/results/records"
    paths = [put(own), put(tmp_path / "lab/results/records"), put(tmp_path / "laptop")]
    seen = other_runs.read(paths, own)
    assert [each.axes["device"] for each in seen] == ["cpu", "cpu (lab)", "cpu (laptop)"]
    assert [other_runs.of(each) for each in seen] == [None, "lab", "laptop"]


def test_two_runs_of_one_name_are_told_apart_by_their_machines(tmp_path):
    paths = [
        put(tmp_path / "a/run/records", machine="abcdef123456"),
        put(tmp_path / "b/run/records", machine="fedcba654321"),
    ]
    labels = {each.axes["device"] for each in other_runs.read(paths, tmp_path / "own/records")}
    assert labels == {"cpu (run abcdef)", "cpu (run fedcba)"}


@pytest.mark.parametrize("name", ["lab", "lab (1)", "lab (old) (2)", ")("])
def test_a_label_tells_its_run_whatever_that_is_called(name):
    """A browser calls the second download ``torch-assay-run (1).zip``."""
    assert other_runs.run_of(f"gpu_0 ({name})") == name


def test_where_there_is_little_room_a_run_stands_for_its_only_device():
    names = other_runs.called(["cpu", "cpu (lab)", "cpu (farm)", "gpu (farm)"])
    text = "cpu: yes; cpu (lab): no; gpu (farm): no"
    assert other_runs.renamed(text, names) == "cpu: yes; lab: no; gpu (farm): no"


def test_a_record_by_hand_is_this_runs(tmp_path):
    path = tmp_path / "anywhere.json"
    record.write(path, make_record("norm_log", {"device": "cpu"}, []))
    assert other_runs.read([path], tmp_path / "records")[0].axes["device"] == "cpu"


def test_the_own_folder_named_twice_is_refused(tmp_path, monkeypatch):
    put(tmp_path / "results/records")
    monkeypatch.chdir(tmp_path)
    own = grid.Path("results/records")
    paths = [own / "norm_log/device-cpu.json", own.resolve() / "norm_log/device-cpu.json"]
    with pytest.raises(record.RecordError, match="the same measurement"):
        other_runs.read(paths, own)


def test_circumstances_are_those_of_the_run_at_hand(tmp_path):
    paths = [put(tmp_path / "here/records"), put(tmp_path / "lab/records", machine="m2")]
    records = other_runs.read(paths, tmp_path / "here/records")
    assert other_runs.at_hand(paths, records) == (paths[:1], records[:1])
    assert other_runs.at_hand(paths[1:], records[1:]) == (paths[1:], records[1:])


def test_records_of_one_label_from_two_machines_are_told():
    records = [make_record("norm_log", {"device": "cpu"}, []) for _ in range(3)]
    assert other_runs.on_several_machines(records) == []
    records[1].provenance.machine_id = "another"
    said = other_runs.on_several_machines(records)
    assert len(said) == 1
    assert "cpu come from 2 machines (another, synthetic)" in said[0]


def test_a_grid_names_every_cell_and_the_records_beside(tmp_path):
    beside = put(tmp_path / "lab")
    seen = grid.paths(
        {
            "own": [{"pattern": "r/{device}/n-{n}.json", "axes": {"device": ["cpu"], "n": [1, 2]}}],
            "others": [str(tmp_path / "lab")],
            "studies": ["norm_log"],
        }
    )
    assert [path.as_posix() for path in seen] == ["r/cpu/n-1.json", "r/cpu/n-2.json", str(beside)]


def test_a_grid_without_own_devices_still_says_which_cells_count(tmp_path):
    for n in (1, 2):
        record.write(
            tmp_path / f"lab/s/device-cpu/n-{n}.json",
            make_record("s", {"device": "cpu", "n": n}, []),
        )
    seen = grid.paths(
        {
            "own": [
                {"pattern": "r/s/device-{device}/n-{n}.json", "axes": {"device": [], "n": [2]}}
            ],
            "others": [str(tmp_path / "lab")],
            "studies": ["s"],
            "only_own_cells": True,
        }
    )
    assert [path.name for path in seen] == ["n-2.json"]


def test_a_record_that_no_device_changes_is_read_once():
    axes = {"device": ["cpu", "gpu"], "format": ["a"]}
    assert list(grid.cells("formats/device-cpu/format-{format}.json", axes)) == [
        "formats/device-cpu/format-a.json"
    ]


@pytest.mark.workflow
def test_two_runs_in_one_report(finished, tmp_path):
    """make compare: nothing is measured, each question shows both, the page names both machines."""
    for name in ("laptop", "lab"):
        shutil.copytree(finished.folder / "results/records", tmp_path / name / "results/records")
    for study in ("activation", "alignment", "bandwidth", "crossover"):
        shutil.rmtree(tmp_path / "lab/results/records" / study)
        shutil.rmtree(tmp_path / "laptop/results/records" / study)
    (tmp_path / "laptop/results/report.html").write_text("a page")
    archive = tmp_path / "laptop.zip"
    share.main([str(tmp_path / "laptop/results"), f"--output={archive}"])
    shutil.rmtree(tmp_path / "laptop")
    command = [sys.executable, "workflow/compare.py", str(archive), str(tmp_path / "lab")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "both")],
        **finished.options() | {"cwd": ROOT},
    )
    assert done.returncode == 0, done.stdout
    answer = json.loads((tmp_path / "both/results/answers/norm_log.json").read_text())
    assert {"cpu (lab)", "cpu (laptop)"} <= set(answer["numbers"])
    page = (tmp_path / "both/results/report.html").read_text(encoding="utf-8")
    assert "laptop and lab: " in page
    fleet = json.loads((tmp_path / "both/results/answers/fleet.json").read_text())
    assert fleet["state"] == "cannot tell"
    assert "takes three machines of a kind, and here are two" in fleet["sentence"]
    assert "Cannot tell: too few machines of a kind" in done.stdout
    assert not (tmp_path / "both/results/records").exists()


def test_an_archive_holds_page_and_records_and_asks_for_a_finished_run(tmp_path, capsys):
    put(tmp_path / "results/records")
    with pytest.raises(SystemExit, match="let the run finish first"):
        share.main([str(tmp_path / "results"), f"--output={tmp_path / 'run.zip'}"])
    (tmp_path / "results/report.html").write_text("a page")
    (tmp_path / "results/records/.left.json.a1.part").write_text("by a job that was killed")
    os.utime(tmp_path / "results/report.html", (0, 0))  # a ZIP knows no year before 1980
    share.main([str(tmp_path / "results"), f"--output={tmp_path / 'run.zip'}"])
    assert "the page and 1 records" in capsys.readouterr().out
    names = zipfile.ZipFile(tmp_path / "run.zip").namelist()
    assert names[0] == "results/report.html"
    assert names[1:] == ["results/records/norm_log/device-cpu.json"]
    assert all(name.startswith("results/") for name in names)


def test_a_comparison_has_nothing_to_share(tmp_path):
    (tmp_path / "report.html").write_text("a page")
    with pytest.raises(SystemExit, match=r"no records\. Share the runs it compares"):
        share.main([str(tmp_path), f"--output={tmp_path / 'run.zip'}"])
    assert not (tmp_path / "run.zip").exists()


def test_of_an_archive_only_records_are_written_and_only_where_they_belong(tmp_path):
    with zipfile.ZipFile(tmp_path / "lab.zip", "w") as packed:
        for name in (
            "results/records/norm_log/device-cpu/occasion-1.json",
            "results/records/../../outside.json",
            "/results/records/norm_log/device-cpu/absolute.json",
            "results/records/norm_log/device-cpu/script.py",
            "results/report.html",
        ):
            packed.writestr(name, "{}")
    folder = compare.unpacked(tmp_path / "lab.zip", tmp_path / "runs")
    assert folder.parts[-3:] == ("lab", "results", "records")
    written = [path for path in tmp_path.rglob("*") if path.suffix != ".zip" and path.is_file()]
    assert written == [folder / "norm_log/device-cpu/occasion-1.json"]


def archived(path, *names):
    """An archive of records that hold nothing."""
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for name in names:
            packed.writestr(name, "{}")
    return path


def test_two_archives_of_one_name_stay_apart(tmp_path):
    """`make share` calls every run the same, unless it is told."""
    study = "results/records/norm_log"
    one = archived(tmp_path / "a/run.zip", f"{study}/device-cpu.json", f"{study}/device-gpu.json")
    other = archived(tmp_path / "b/run.zip", f"{study}/device-cpu.json")
    folders = [compare.unpacked(path, tmp_path / "runs") for path in (one, other)]
    assert [len(grid.beside(folder, "norm_log")) for folder in folders] == [2, 1]
    assert compare.unpacked(one, tmp_path / "runs") == folders[0]


def encrypted(path):
    """Says that its files want a password."""
    data = bytearray(archived(path, "results/records/norm_log/device-cpu.json").read_bytes())
    for sign, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(sign) + at] |= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: path.write_text("no archive"), "not a zip file"),
        (lambda path: archived(path, "lab/results/records/norm_log/device-cpu.json"), "no records"),
        (encrypted, "password"),
    ],
)
def test_an_archive_that_is_none_of_a_run_is_named(tmp_path, make, why):
    make(tmp_path / "lab.zip")
    with pytest.raises(SystemExit, match=rf"lab.zip: no archive of a run .*{why}.*make share"):
        compare.main([str(tmp_path / "lab.zip"), f"--output={tmp_path / 'both'}"])


def test_a_record_of_a_run_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "lab/results/records/perceptron/device-cpu/hidden-256.json"
    path.parent.mkdir(parents=True)
    path.write_text("[]")
    with pytest.raises(SystemExit, match=r"hidden-256.json: a record of format None"):
        compare.main([str(tmp_path / "lab"), f"--output={tmp_path / 'both'}"])


def test_runs_of_which_nothing_can_be_asked_are_named(tmp_path):
    put(tmp_path / "lab/results/records", study="nothing")
    with pytest.raises(SystemExit, match="lab: no question has all its records there"):
        compare.main([str(tmp_path / "lab"), f"--output={tmp_path / 'both'}"])


def test_runs_that_learned_from_different_data_are_not_compared_in_that(tmp_path):
    config = {"questions": {"width": {"studies": ["perceptron"]}, "a": {"studies": ["alignment"]}}}
    folders = [tmp_path / name / "results/records" for name in ("quick", "default")]
    for folder, digest in zip(folders, "ab", strict=True):
        made = make_record("perceptron", {"device": "cpu"}, [])
        made.provenance.dataset = record.DatasetInfo(
            name="fashion-mnist", asked="fashion-mnist", source="s", reason=None, digest=digest
        )
        record.write(folder / "perceptron/device-cpu.json", made)
        put(folder, study="alignment")
    assert compare.apart(config, ["width", "a"], folders) == ["width"]
    assert compare.apart(config, ["width", "a"], folders[:1]) == []


@pytest.mark.parametrize("holds", ["config.yaml", "results/records/norm_log/device-cpu.json"])
def test_a_comparison_writes_over_no_other_run(tmp_path, holds):
    """--output . in a clone would be the end of its config.yaml."""
    put(tmp_path / "lab/results/records")
    theirs = tmp_path / "here" / holds
    theirs.parent.mkdir(parents=True)
    theirs.write_text("preset: default\n")
    with pytest.raises(SystemExit, match=r"here holds a run, or another .* --output"):
        compare.main([str(tmp_path / "lab"), f"--output={tmp_path / 'here'}"])
    assert theirs.read_text() == "preset: default\n"


def test_a_comparison_may_be_made_again(tmp_path):
    (tmp_path / "config.yaml").write_text(compare.yaml.safe_dump({"preset": compare.NAME}))
    assert compare.configuration(tmp_path) == tmp_path / "config.yaml"


def test_a_folder_without_records_is_named(tmp_path):
    command = [sys.executable, ROOT / "workflow/compare.py", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{tmp_path}: no records of torch-assay" in done.stderr


def test_references_are_whole_and_from_a_clean_commit():
    """A stranger is measured against them, so they must say what they are, and nothing of where."""
    folders = sorted((ROOT / "resources/references").glob("*/"))
    assert folders
    for folder in folders:
        seen = other_runs.read(sorted(folder.rglob("*.json")), ROOT / "results/records")
        studies = {each.study for each in seen}
        assert REFERENCED <= studies <= {*submit.studies(submit.defaults())}
        assert len({each.provenance.machine_id for each in seen}) == 1
        for each in seen:
            assert each.status == "ok", each.axes
            assert each.provenance.commit
            assert not each.provenance.dirty
            assert each.provenance.dataset is None
            assert not re.search("/(home|root|work|tmp|Users)/", each.model_dump_json())


@pytest.mark.workflow
def test_references_are_shown_beside_this_run(copied):
    """compare.references: nothing is measured again, and the answer shows both machines."""
    copied.edit("tests/config.yaml", lambda text: f"{text}\ncompare: {{references: true}}\n")
    asked = "results/answers/norm_log.json"
    assert not [rule for rule in copied.planned(asked) if rule.startswith("measure")]
    done = copied.run(asked)
    assert done.returncode == 0, done.stdout
    answer = json.loads((copied.folder / "results/answers/norm_log.json").read_text())
    assert {"cpu", "cpu (epyc-2-cores)"} <= set(answer["numbers"])
