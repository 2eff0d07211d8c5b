"""What must survive: each fault is played, and then the next run has to finish.

After each: what was finished is still there, what was not is finished by the next run, and the
message said what to do. Faults that other files play are named in the table of docs/faults.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from assay import device, record
from assay.answer import other_runs
from assay.record import Status
from builders import make_record
from conftest import ROOT, Workflow, copy_workflow

pytestmark = pytest.mark.workflow

NORM_LOG = (
    "results/records/norm_log/device-cpu/occasion-1.json"  # the quickest of the measuring jobs
)
SCRIPTS = ROOT / "workflow/scripts"


def changed(workflow: Workflow, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the tiny configuration of a copy."""
    file = workflow.folder / "tests/config.yaml"
    config = yaml.safe_load(file.read_text())
    change(config)
    file.write_text(yaml.safe_dump(config))


def records(workflow: Workflow) -> dict[Path, bytes]:
    folder = workflow.folder / "results/records"
    return {path: path.read_bytes() for path in folder.rglob("*.json")}


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A file system on a folder; skips where one may not be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"mounting wants root: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_fails_with_a_sentence_and_leaves_no_half_record(fresh):
    results = fresh.folder / "results"
    with mounted(results, "-t", "tmpfs", "-o", "size=8k", "tmpfs"):
        done = fresh.run(NORM_LOG)
        assert done.returncode != 0
        assert "cannot be written (No space left on device)" in done.stdout
        assert "make room" in done.stdout
        assert not list((results / "records").rglob("*.json*"))
        remount(results, "size=16m")
        done = fresh.run(NORM_LOG)
        assert done.returncode == 0, done.stdout
        record.read(fresh.folder / NORM_LOG)


def test_results_that_cannot_be_written_are_named_and_stay_as_they_are(copied):
    results = copied.folder / "results"
    before = records(copied)
    changed(copied, lambda config: config["studies"]["norm_log"]["settings"].update(n=17))
    with mounted(results, "--bind", str(results)):
        remount(results, "bind,ro")
        done = copied.run(NORM_LOG)
        assert done.returncode != 0
        assert "Write-protected output files" in done.stdout
        assert NORM_LOG in done.stdout
    assert records(copied) == before
    done = copied.run(NORM_LOG)
    assert done.returncode == 0, done.stdout
    assert record.read(copied.folder / NORM_LOG).settings["n"] == 17


def test_tampered_data_are_refused_by_name_and_fetched_again_once_deleted(copied):
    data = copied.folder / "results/data/dataset.safetensors"
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    target = "results/records/activation/device-cpu/activation-relu.json"
    done = copied.run(target)
    assert done.returncode != 0
    assert "dataset.safetensors: its content was changed. Delete it and run again." in done.stdout
    data.unlink()
    done = copied.run(target)
    assert done.returncode == 0, done.stdout
    record.read(copied.folder / target)


def test_a_record_that_is_there_twice_is_refused(tmp_path):
    paths = [tmp_path / "records/norm_log" / name for name in ("device-cpu.json", "copy.json")]
    for path in paths:
        record.write(path, make_record("norm_log", {"device": "cpu"}, []))
    with pytest.raises(record.RecordError, match="records of the same measurement") as error:
        other_runs.read(paths, own=tmp_path / "records")
    assert all(path.name in str(error.value) for path in paths)


def test_without_a_network_the_sample_is_used_and_the_record_says_so(copied):
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("taking the network away wants root and Linux")
    changed(
        copied, lambda config: config["dataset"].update(size="full", sources=["torchvision", "apt"])
    )
    command = ["unshare", "--net", sys.executable, "-m", "snakemake", "--cores", "2"]
    target = "results/records/activation/device-cpu/activation-relu.json"
    done = subprocess.run(
        [*command, target, "--configfile", "tests/config.yaml"],
        **copied.options(),
    )
    assert done.returncode == 0, done.stdout
    data = record.read(copied.folder / target).provenance.dataset
    assert data is not None
    assert data.name == "fashion-mnist-10k"
    assert data.reason


def test_two_snakemakes_in_one_folder(copied):
    """The second is turned away and the first finishes."""
    changed(copied, lambda config: config["protocol"]["cpu"].update(settle_s=15))
    first = copied.start(NORM_LOG)
    lock = copied.folder / ".snakemake/locks"
    wait_until(lambda: lock.exists() and any(lock.iterdir()), first)
    second = copied.run(NORM_LOG)
    assert second.returncode != 0
    assert "cannot be locked" in second.stdout
    assert first.wait(timeout=120) == 0
    assert copied.planned(NORM_LOG) == {}


def wait_until(condition: Callable[[], bool], running: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert running.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)


def by_hand(script: str, output: Path, *arguments: str, **options: Any) -> record.Record:
    """Run a measuring script without Snakemake, and read its record."""
    command = [sys.executable, str(SCRIPTS / script), *arguments, "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return record.read(output)


def test_what_does_not_fit_is_a_status_with_its_reason(tmp_path, tiny_settings):
    settings = tiny_settings("crossover") | {"cell_s": 1e6}
    settings["protocol"] = settings["protocol"] | {"cap_s": 1e6}
    size = 2 * int(psutil.virtual_memory().total ** 0.5)  # 16 times the memory, in float32
    seen = by_hand(
        "measure_crossover.py",
        tmp_path / "n.json",
        *("--n", str(size), "--settings", json.dumps(settings)),
    )
    assert seen.status == Status.OUT_OF_MEMORY
    assert "are free" in str(seen.reason)


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="the kernel tells no delays")
def test_a_busy_neighbour_is_in_the_record(tmp_path, tiny_settings):
    """Two busy processes per core: what counts did not wait, or says so."""
    settings = tiny_settings("alignment")
    settings["protocol"] |= {"cap_s": 1, "void_delay_share": 0.02}
    busy = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(2 * (os.cpu_count() or 1))
    ]
    try:
        seen = by_hand(
            "measure_alignment.py", tmp_path / "n.json", "--n", "65", "--settings",
            json.dumps(settings),
        )  # fmt: skip
    finally:
        for process in busy:
            process.kill()
    for trial in (each for each in seen.trials if each.status == Status.OK):
        rounds = zip(trial.samples["delay_share"], trial.samples["void"], strict=True)
        counted = [share for share, void in rounds if not void]
        assert trial.result["beside_neighbour"] or max(counted) <= 0.02
    assert seen.conditions.contention["delay_share"] > 0.05


def test_more_cores_than_there_are(copied):
    changed(copied, lambda config: config["studies"]["norm_log"]["settings"].update(n=17))
    done = copied.run("--cores", "64", NORM_LOG)
    assert done.returncode == 0, done.stdout
    conditions = record.read(copied.folder / NORM_LOG).conditions
    assert conditions.threads_asked == conditions.threads_used == device.usable_cores()


def test_time_zone_and_locale_change_nothing(finished, tmp_path):
    """The same records give the same answer, byte for byte; it is in UTF-8, and times in UTC."""
    answers = []
    for name, place in {
        "here": {},
        "there": {"TZ": "Asia/Kathmandu", "LC_ALL": "C", "LANG": "tr_TR"},
    }.items():
        out = tmp_path / name
        script = str(SCRIPTS / "answer_norm_log.py")
        about = json.dumps({"title": "Wie schnell – und warum?", "exercise": "größer × kleiner"})
        subprocess.run(
            [
                *(sys.executable, script, "--about", about, NORM_LOG),
                *("--table", str(out / "t.csv"), "--figure", str(out / "f.svg")),
                *("--answer", str(out / "a.json")),
            ],
            cwd=finished.folder,
            env=os.environ | place,
            check=True,
        )
        answers.append((out / "a.json").read_bytes())
    assert answers[0] == answers[1]
    assert "größer × kleiner" in answers[0].decode("utf-8")
    assert record.read(finished.folder / NORM_LOG).provenance.started.endswith("+00:00")


def test_a_clone_that_cannot_be_written_measures_elsewhere(tmp_path):
    """With --directory and --configfile, as on a cluster with shared software."""
    clone = copy_workflow(tmp_path / "clone").folder
    tiny = shutil.copy(clone / "tests/config.yaml", tmp_path / "tiny.yaml")
    out = tmp_path / "out"
    out.mkdir()
    with mounted(clone, "--bind", str(clone)):
        remount(clone, "bind,ro")
        done = subprocess.run(
            [
                *(sys.executable, "-m", "snakemake", "--snakefile", str(clone / "Snakefile")),
                *("--directory", str(out), "--configfile", str(tiny), "--cores", "2", NORM_LOG),
            ],
            **(Workflow(out).options()),
        )
        assert done.returncode == 0, done.stdout
    record.read(out / NORM_LOG)


def test_an_interrupted_run_keeps_what_was_finished(copied):
    """Ctrl-C: the running job is stopped, what is there stays, the next run goes on."""
    before = records(copied)
    changed(copied, lambda config: config["studies"]["norm_log"]["settings"].update(n=17))
    running = copied.start(NORM_LOG)
    wait_until(lambda: any(map(measures, psutil.Process(running.pid).children())), running)
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(timeout=60) != 0
    others = {
        path: content for path, content in records(copied).items() if "norm_log" not in str(path)
    }
    assert others == {
        path: content for path, content in before.items() if "norm_log" not in str(path)
    }
    done = copied.run(NORM_LOG)
    assert done.returncode == 0, done.stdout


def test_measuring_again_can_be_interrupted(copied):
    """Ctrl-C reaches all that runs in the terminal; Snakemake still unlocks the folder."""
    command = [sys.executable, "workflow/again.py", "--device", "cpu"]
    running = subprocess.Popen(command, **copied.options(), start_new_session=True)
    lock = copied.folder / ".snakemake/locks"
    wait_until(lambda: any(map(measures, psutil.Process(running.pid).children())), running)
    assert any(lock.iterdir())
    os.killpg(running.pid, signal.SIGINT)
    assert running.wait(timeout=120) != 0
    assert not lock.exists() or not any(lock.iterdir())


def measures(process: psutil.Process) -> bool:
    """Whether it is a job that measures, and does so for long enough for Snakemake to be at rest.

    While it starts a job, what it is interrupted in may be where Python drops exceptions.
    """
    with suppress(psutil.Error):  # it has ended, or is not yet what it will be
        named = any("measure_" in argument for argument in process.cmdline())
        return named and time.time() - process.create_time() > 1
    return False


@pytest.fixture
def tiny_settings() -> Callable[[str], dict[str, Any]]:
    """The settings of a study in the tiny configuration, as the workflow gives them."""
    from snakemake.utils import update_config

    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(config, yaml.safe_load((ROOT / "tests/config.yaml").read_text()))

    def settings(study: str) -> dict[str, Any]:
        shared = {"seed": config["seed"], "protocol": config["protocol"]}
        return {**shared, **config["studies"][study]["settings"]}

    return settings
