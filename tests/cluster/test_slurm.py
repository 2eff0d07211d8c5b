"""The workflow on a real Slurm of one node, through profiles/slurm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from assay import record
from assay.record import Status
from conftest import ROOT, Workflow, copy_workflow
from slurm import Slurm, why_not

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(why_not() is not None, reason=f"no Slurm can be started: {why_not()}"),
]
SIZES = [63, 64]
ACTIVATIONS = ["relu", "placebo"]
# A stand-in GPU: Slurm hands it out, torch finds none, and the records say so.
DEVICES = {
    "cpu": {"device": "cpu", "threads": 2},
    "gpu": {"device": "cuda", "threads": 1, "resources": {"gpu": 1}},
}


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        running = Slurm.start(Path(folder) / "slurm")
        try:
            yield running
        finally:
            running.stop()


def site(workflow: Workflow, **alignment: Any) -> Workflow:
    """The tiny configuration as the site's, with few cells."""
    config = yaml.safe_load((ROOT / "tests/config.yaml").read_text())
    config |= {"devices": DEVICES, "ask": ["alignment", "activation"], "retry": False}
    studies = config["studies"]
    studies["alignment"]["axes"]["n"] = alignment.get("n", SIZES)
    studies["alignment"]["settings"] |= {"layouts": []}
    studies["activation"]["axes"]["activation"] = ACTIVATIONS
    (workflow.folder / "profiles/slurm/site.yaml").write_text(yaml.safe_dump(config))
    return workflow


def submit(workflow: Workflow, *arguments: str) -> subprocess.Popen[str]:
    """Start snakemake with the profile, asking for the state of jobs more often."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm"),
            *("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "10"),
            *arguments,
        ],
        cwd=workflow.folder,
        env=environment
        | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def finish(running: subprocess.Popen[str], seconds: float = 900) -> str:
    """Everything that was printed, once it ended."""
    try:
        return running.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        running.send_signal(signal.SIGINT)
        raise AssertionError(running.communicate()[0][-5000:]) from None


def sabotage(workflow: Workflow, code: str) -> str:
    """Put code before the measuring of alignment; returns the script as it was."""
    script = workflow.folder / "workflow/scripts/measure_alignment.py"
    text = script.read_text()
    last = 'if __name__ == "__main__":\n'
    assert last in text
    script.write_text(text.replace(last, f"{code}\n\n{last}"))
    return text


FAILS_ONCE = """
import pathlib, sys
marker = pathlib.Path("failed-once")
if "63" in sys.argv and not marker.exists():
    marker.touch()
    raise SystemExit("a node went away")
"""


@pytest.fixture(scope="module")
def run(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, str, list[Any]]:
    """A whole run, one cell of which fails the first time."""
    workflow = site(copy_workflow(tmp_path_factory.mktemp("slurm") / "a földer"))
    sabotage(workflow, FAILS_ONCE)
    running = submit(workflow)
    printed = finish(running)
    assert running.returncode == 0, printed[-5000:]
    return workflow, printed, slurm.ended()


def test_a_run_leaves_the_records_of_a_local_run(run):
    workflow, _, _ = run
    folder = workflow.folder / "results/records"
    made = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json"))
    wanted = [f"alignment/device-{d}/n-{n}/occasion-1.json" for d in DEVICES for n in SIZES]
    wanted += [f"{s}/device-{d}/occasion-1.json" for s in ("contrast", "steps") for d in DEVICES]
    wanted += [f"activation/device-{d}/activation-{a}.json" for d in DEVICES for a in ACTIVATIONS]
    wanted += [f"hardware/device-{d}.json" for d in DEVICES]
    assert made == sorted(wanted)
    for path in folder.rglob("*.json"):
        seen = record.read(path)
        # A crowded node may take a tiny trial's rounds; that is no matter of the cluster.
        cpu = (Status.OK, Status.CONTENDED, Status.SKIPPED)
        assert seen.status in ((Status.UNAVAILABLE,) if seen.axes["device"] == "gpu" else cpu)
        assert seen.conditions.threads_asked in (1, 2)
    assert (workflow.folder / "results/report.html").exists()


def test_nothing_is_left_to_do(run):
    workflow, _, _ = run
    done = finish(submit(workflow, "--dry-run"))
    assert "Nothing to be done" in done


def test_a_timing_has_the_node_to_itself(run):
    _, _, jobs = run
    timings = [job for job in jobs if "measure_alignment" in job.name]
    assert len(timings) == len(DEVICES) * len(SIZES) + 1  # one of them twice
    assert all(job.exclusive for job in timings)
    for timing in timings:
        assert not [job for job in jobs if job is not timing and timing.overlaps(job)]


def test_jobs_on_the_gpu_take_turns(run):
    _, _, jobs = run
    on_gpu = [job for job in jobs if job.gpus]
    assert len(on_gpu) >= len(SIZES) + 1
    assert not [pair for pair in combinations(on_gpu, 2) if pair[0].overlaps(pair[1])]


def test_a_job_that_failed_was_tried_again(run):
    workflow, printed, _ = run
    assert (workflow.folder / "failed-once").exists()
    assert "Trying to restart job" in printed


def test_measuring_again_asks_the_cluster(slurm, run):
    """What is spoilt is measured where the rest was, not where one types."""
    workflow, _, _ = run
    path = workflow.folder / "results/records/contrast/device-cpu/occasion-1.json"
    seen = record.read(path)
    spoilt = {"status": Status.CONTENDED, "reason": "a neighbour"}
    trials = [each.model_copy(update=spoilt) for each in seen.trials]
    record.write(path, seen.model_copy(update={"trials": trials}))
    before = slurm.ended()
    command = [sys.executable, "workflow/again.py", "--latency-wait", "10"]
    done = subprocess.run(command, **workflow.options(), timeout=300)
    assert done.returncode == 0, done.stdout
    [job] = [job for job in slurm.ended() if job not in before]
    assert "measure_contrast" in job.name


def test_jobs_of_one_core_can_share_a_submission(slurm, run, tmp_path):
    """Two activations in one Slurm job, one record each; the timing of their steps in another."""
    workflow = site(copy_workflow(tmp_path / "grouped"))
    config = workflow.folder / "profiles/slurm/site.yaml"
    only_cpu = yaml.safe_load(config.read_text()) | {"devices": {"cpu": DEVICES["cpu"]}}
    config.write_text(yaml.safe_dump(only_cpu))
    before = len(slurm.ended())
    running = submit(
        workflow, "results/answers/activation.json",
        "--groups", "measure_activation=accuracy", "--group-components", "accuracy=2",
    )  # fmt: skip
    printed = finish(running)
    assert running.returncode == 0, printed[-5000:]
    assert len(list((workflow.folder / "results/records/activation").rglob("*.json"))) == 2
    assert len(slurm.ended()) == before + 2


def test_nodes_are_measured_and_compared_as_documented(slurm, tmp_path):
    """Of docs/cluster.md, with the tiny configuration and one node under three names."""
    workflow = copy_workflow(tmp_path / "fleet")
    text = (ROOT / "docs/cluster.md").read_text(encoding="utf-8")
    command = text.partition("## Which node is ill?")[2].split("```")[1].removeprefix("sh\n")
    for documented, here in (
        ("--nodelist=$node", f"--nodelist={slurm.host}"),
        ("--directory", "--configfile tests/config.yaml --directory"),
        ("hardware, bandwidth, alignment, crossover, ", ""),
        (", two_devices, implementation", ""),
    ):
        assert documented in command
        command = command.replace(documented, here)
    options = workflow.options() | {"check": True, "timeout": 400}
    subprocess.run(["bash", "-c", command.replace("sbatch", "sbatch --wait")], **options)
    runs = sorted(map(str, (workflow.folder / "runs").iterdir()))
    assert len(runs) == 3
    compared = subprocess.run([sys.executable, "workflow/compare.py", *runs], **options)
    assert "The fleet" in compared.stdout
    answer = json.loads((workflow.folder / "comparison/results/answers/fleet.json").read_text())
    assert {each["node"] for each in answer["numbers"]["nodes"]} == {"n01", "n02", "n03"}
    assert any("n01, n02 and n03 have one machine id" in each for each in answer["caveats"])


TROUBLE = """
import sys, time
n = sys.argv[sys.argv.index("--n") + 1]
if n == "63":
    raise SystemExit("a bug in the script")
if n == "65" or n == "66":
    time.sleep(600)
if n == "67":
    hoard = bytearray(6_000_000_000)
    hoard[::4096] = b"x" * len(hoard[::4096])
    time.sleep(600)
"""


def test_each_way_to_lose_a_job(slurm, tmp_path):
    """Failed, cancelled, out of time, out of memory: named, no half record, finished next time."""
    workflow = site(copy_workflow(tmp_path / "trouble"), n=[63, 64, 65, 66, 67])
    target = "results/answers/alignment.json"
    config = workflow.folder / "profiles/slurm/site.yaml"
    only_cpu = yaml.safe_load(config.read_text()) | {"devices": {"cpu": DEVICES["cpu"]}}
    config.write_text(yaml.safe_dump(only_cpu))
    script = workflow.folder / "workflow/scripts/measure_alignment.py"
    whole = sabotage(workflow, TROUBLE)
    together = ["--set-resources", "measure_alignment:runtime=1", "measure_alignment:mem_mb=3000"]
    running = submit(workflow, target, *together, "--retries", "0")
    cancelled = wait_for(slurm, "_65_1", running)
    slurm.cancel(cancelled)
    printed = finish(running)
    assert running.returncode != 0
    for n in (63, 65, 66, 67):
        assert f"n-{n}/occasion-1.json" in printed
    assert "a bug in the script" in printed
    records = workflow.folder / "results/records/alignment"
    assert [path.parent.name for path in records.rglob("*") if path.is_file()] == ["n-64"]
    script.write_text(whole)
    running = submit(workflow, target)
    printed = finish(running)
    assert running.returncode == 0, printed[-5000:]
    assert len(list(records.rglob("n-*/occasion-1.json"))) == 5


def wait_for(slurm: Slurm, ending: str, running: subprocess.Popen[str]) -> int:
    """The id of the running job whose comment ends so."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert running.poll() is None
        for job, state, comment in slurm.queue():
            if state == "RUNNING" and comment.endswith(ending):
                return job
        time.sleep(0.2)
    raise AssertionError(f"no running job {ending}: {slurm.queue()}")
