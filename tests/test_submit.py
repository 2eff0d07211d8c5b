"""A reference set: what is checked before one is made, and that nothing else is written."""

from __future__ import annotations

import getpass
import json
import platform
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from assay import record
from assay.record import Record, Status, Trial
from builders import make_record
from conftest import ROOT, load

submit = load(ROOT / "workflow/submit.py")

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONFIG = submit.defaults()
Edit = Callable[[Record], None]


def made(study: str, axes: dict[str, Any]) -> Record:
    """A record that the default preset could have written."""
    settings = {"seed": CONFIG["seed"], "protocol": CONFIG["protocol"]}
    settings |= CONFIG["studies"][study]["settings"]
    probed = {"brand": "Synthetic CPU", "physical_cores": 2}
    about, told = ({"item": "CPU"}, probed) if study == "hardware" else ({"dtype": "float32"}, {})
    trial = Trial(what={**about}, result={**told})
    each = make_record(study, axes, [trial], settings=settings)
    each.provenance.commit, each.provenance.dirty = COMMIT, False
    each.provenance.versions["library"] = "12.8.4.1"  # a version, no address
    return each


def cells() -> Iterator[tuple[str, dict[str, Any]]]:
    for study in submit.studies(CONFIG):
        axes = CONFIG["studies"][study]["axes"]
        for values in product(*axes.values()):
            yield study, {"device": "cpu", **dict(zip(axes, values, strict=True))}


class Run:
    """A finished run of the default preset."""

    def __init__(self, folder: Path) -> None:
        self.results, self.references = folder / "results", folder / "references"
        for study, axes in cells():
            record.write(self.path(study, axes), made(study, axes))

    def path(self, study: str, axes: dict[str, Any]) -> Path:
        inside = "/".join(f"{name}-{value}" for name, value in axes.items())
        return self.results / f"records/{study}/{inside}.json"

    def edit(self, change: Edit, study: str = "norm_log", **axes: Any) -> None:
        path = self.path(study, {"device": "cpu", **(axes or {"occasion": 1})})
        each = record.read(path)
        change(each)
        record.write(path, each)

    def submit(self, label: str = "synthetic-2-cores") -> Path:
        where = [str(self.results), f"--label={label}", f"--references={self.references}"]
        submit.main(where)
        return self.references / label


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_good_run_becomes_a_set_and_nothing_else_is_written(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in run.results.rglob("*.json")}
    target = run.submit()
    copied = {path.relative_to(target): path.read_bytes() for path in target.rglob("*.json")}
    assert copied == {
        path.relative_to(run.results / "records"): text for path, text in before.items()
    }
    assert {each.name for each in run.results.parent.iterdir()} == {"results", "references"}
    assert {path: path.read_bytes() for path in run.results.rglob("*.json")} == before
    said = capsys.readouterr().out
    assert "| `synthetic-2-cores` | Synthetic CPU, 2 cores | 2026-01-01 |" in said


def test_cells_that_the_default_preset_has_not_stay_behind(run: Run) -> None:
    record.write(
        run.path("alignment", {"device": "cpu", "n": 7, "occasion": 1}),
        made("alignment", {"device": "cpu", "n": 7, "occasion": 1}),
    )
    record.write(  # measured once more by itself, after a neighbour
        run.path("norm_log", {"device": "cpu", "occasion": 3}),
        made("norm_log", {"device": "cpu", "occasion": 3}),
    )
    target = run.submit()
    names = {path.relative_to(target).as_posix() for path in target.rglob("*.json")}
    assert "norm_log/device-cpu/occasion-3.json" in names
    assert not any("n-7" in name for name in names)


def holds(text: str) -> Edit:
    def change(each: Record) -> None:
        each.trials[0].reason = text

    return change


def changed(**values: Any) -> Edit:
    def change(each: Record) -> None:
        for key, value in values.items():
            setattr(each.provenance, key, value)

    return change


def quick(each: Record) -> None:
    each.settings["products"] = 10


def simulated(each: Record) -> None:
    each.conditions.gpu = {"name": "Simulated H100"}


def in_the_shell(each: Record) -> None:
    each.conditions.environment["OMP_NUM_THREADS"] = "1"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (quick, "default preset: .*: the setting products is not that of config.yaml"),
        (changed(commit=None), "one commit: measured by 01234567, no commit"),
        (changed(commit="f" * 40), "one commit: measured by 01234567, ffffffff"),
        (changed(dirty=True), "one commit: .*occasion-1.json: measured with local changes"),
        (changed(machine_id="other"), "one machine: measured on 2 machines"),
        (simulated, "one machine: .*simulated card"),
        (in_the_shell, "quiet machine: .*OMP_NUM_THREADS in the shell"),
        (holds("see /home/ada/notes"), r"trials\[0\].reason holds a home folder"),
        (holds(r"C:\Users\ada"), r"trials\[0\].reason holds a home folder"),
        (holds("ask ada@example.org"), r"trials\[0\].reason holds an e-mail address"),
        (holds("host 192.0.2.7 is busy"), r"trials\[0\].reason holds a network address"),
        (holds("via [2001:db8::7]"), r"trials\[0\].reason holds a network address"),
        (holds("00:1b:44:11:3a:b7"), r"trials\[0\].reason holds a network card's address"),
        (holds(f"in {ROOT}/results"), r"trials\[0\].reason holds the folder of this checkout"),
    ],
)
def test_a_run_with_a_fault_is_refused_by_name(run: Run, change: Edit, said: str) -> None:
    run.edit(change)
    with pytest.raises(SystemExit, match=rf"(?s)Not yet a reference set.*{said}.*To do: "):
        run.submit()
    assert not run.references.exists()


@pytest.mark.parametrize(
    ("user", "host", "said"),
    [
        ("ada", "vm", "[0].name holds the user's name: 'ada'"),
        ("root", "engine.example.org", "[0].on holds the host's name: 'engine'"),
    ],
)
def test_names_are_found_as_whole_words_wherever_they_stand(
    run: Run, monkeypatch: pytest.MonkeyPatch, user: str, host: str, said: str
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: user)
    monkeypatch.setattr(platform, "node", lambda: host)

    def change(each: Record) -> None:
        each.trials[0].reason = "Canada's engineers need root"
        each.trials[0].result["neighbours"] = [{"name": "ada", "on": "engine"}]

    run.edit(change)
    with pytest.raises(SystemExit, match="no personal detail: ") as refused:
        run.submit()
    assert f"norm_log/device-cpu/occasion-1.json: trials[0].result.neighbours{said}." in str(
        refused.value
    )


def test_a_disturbed_machine_is_refused_and_told_what_to_do(run: Run) -> None:
    lost = [axes for study, axes in cells() if study == "alignment" and axes["occasion"] == 1]
    for axes in lost:
        run.edit(_contended, "alignment", **axes)
    run.submit("measured-on-another-occasion")
    for axes in lost:
        run.edit(_contended, "alignment", **{**axes, "occasion": 2})
    with pytest.raises(SystemExit, match=r"(?s)quiet machine: 5 of \d+ measurements .*make again"):
        run.submit()


def _contended(each: Record) -> None:
    each.trials[0].status = Status.CONTENDED


def test_a_run_that_is_not_whole_is_refused(run: Run) -> None:
    run.path("crossover", {"device": "cpu", "n": 64, "occasion": 2}).unlink()
    with pytest.raises(SystemExit, match="crossover: device cpu, n 64, occasion 2 is not there"):
        run.submit()


def test_a_run_of_other_questions_makes_no_set(tmp_path: Path) -> None:
    other = make_record("activation", {"device": "cpu"}, [])
    record.write(tmp_path / "results/records/activation/device-cpu.json", other)
    with pytest.raises(SystemExit, match=r"no records of hardware, .*\. Run config\.yaml first"):
        submit.main([str(tmp_path / "results"), "--label=a", f"--references={tmp_path}"])


def test_a_record_of_another_shape_is_refused(run: Run) -> None:
    path = run.path("norm_log", {"device": "cpu", "occasion": 1})
    path.write_text(json.dumps({**json.loads(path.read_text()), "name": "Ada"}))
    with pytest.raises(SystemExit, match=r"schema: .*occasion-1.json: not a valid record \(name"):
        run.submit()


@pytest.mark.parametrize("label", ["../outside", "/tmp/x", "A machine", "", "a/b"])
def test_a_label_is_no_path(run: Run, label: str) -> None:
    with pytest.raises(SystemExit, match="small letters, digits and hyphens"):
        run.submit(label)


def test_a_set_is_never_written_over(run: Run) -> None:
    run.submit()
    with pytest.raises(SystemExit, match="choose another --label"):
        run.submit()
