"""What Snakemake does beside a job: next to nothing, and never more jobs at once than cores."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from assay import device
from conftest import ROOT

pytestmark = pytest.mark.workflow

# Two hundred jobs finish; then one sleeps on every core, while twenty wait.
TOY = """
{quiet}
rule all:
    default_target: True
    input:
        "slept",
        expand("after/{{i}}", i=range(20)),

rule one:
    output:
        "done/{{i}}",
    shell:
        "touch {{output}}"

rule sleep:
    input:
        expand("done/{{i}}", i=range(200)),
    output:
        "slept",
    threads: workflow.cores
    priority: 1
    shell:
        "touch sleeping; sleep 4; touch {{output}}"

rule after:
    input:
        expand("done/{{i}}", i=range(200)),
    output:
        "after/{{i}}",
    threads: workflow.cores
    shell:
        "touch {{output}}"
"""
QUIET = f'include: "{ROOT / "workflow/rules/scheduler.smk"}"'
AS_MODULE = """
module toy:
    snakefile: "toy.smk"

use rule * from toy
"""


@dataclass(frozen=True)
class Seen:
    """What a run of the toy took."""

    share: float  # CPU time of Snakemake's main process per second, while the job slept
    end_s: float  # from the last job's file to the end of the process


def run(folder: Path, *arguments: str) -> Seen:
    """Run the Snakefile of a folder, and look at its main process while a job sleeps."""
    command = [sys.executable, "-m", "snakemake", "--cores", "4", "--quiet", "all", *arguments]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    while not (folder / "sleeping").exists():
        assert running.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    time.sleep(0.5)
    process = psutil.Process(running.pid)
    before, clock = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(3)
    used, passed = sum(process.cpu_times()[:2]) - before, time.monotonic() - clock
    assert not (folder / "slept").exists()
    assert running.wait(timeout=60) == 0, (folder / "log").read_text()
    last = max(path.stat().st_mtime for path in (folder / "after").iterdir())
    return Seen(used / passed, time.time() - last)


@pytest.mark.parametrize("arguments", [(), ("--resources", "gpu=1"), ("--no-hooks",)])
def test_snakemake_sleeps_while_a_job_runs(tmp_path, arguments):
    (tmp_path / "Snakefile").write_text(TOY.format(quiet=QUIET))
    seen = run(tmp_path, *arguments)
    assert seen.share < 0.01
    assert seen.end_s < 5  # seconds where a worker tests beside it; timers would keep it for ten


def test_snakemake_sleeps_when_the_rules_are_a_module(tmp_path):
    (tmp_path / "toy.smk").write_text(TOY.format(quiet=QUIET))
    (tmp_path / "Snakefile").write_text(AS_MODULE)
    seen = run(tmp_path)
    assert seen.share < 0.01
    assert seen.end_s < 5  # seconds where a worker tests beside it; timers would keep it for ten


def test_left_alone_snakemake_does_not_sleep(tmp_path):
    """Else the remedy is no longer needed, or the tests above no longer see what it mends."""
    (tmp_path / "Snakefile").write_text(TOY.format(quiet=""))
    assert run(tmp_path).share > 0.03


def test_a_snakemake_that_is_built_otherwise_still_runs(tmp_path):
    renamed = (
        "from snakemake.scheduling.job_scheduler import JobScheduler\n"
        "JobScheduler._reevaluate = JobScheduler._schedule_reevalutation\n"
        "del JobScheduler._schedule_reevalutation\n"
    )
    (tmp_path / "Snakefile").write_text(TOY.format(quiet=renamed + QUIET))
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_no_more_jobs_at_once_than_cores(tmp_path):
    """Whatever --cores says: jobs that share a core would time each other."""
    cores = device.usable_cores()
    (tmp_path / "Snakefile").write_text(
        f"{QUIET}\n"
        "rule all:\n"
        f"    input: expand('{{i}}', i=range({3 * cores}))\n"
        "rule one:\n"
        "    output: '{i}'\n"
        "    shell: 'date +%s.%N > {output}; sleep 0.3; date +%s.%N >> {output}'\n"
    )
    command = [sys.executable, "-m", "snakemake", "--cores", str(2 * cores)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    spans = [
        [float(line) for line in (tmp_path / str(i)).read_text().split()] for i in range(3 * cores)
    ]
    at_once = [sum(start <= begun < end for start, end in spans) for begun, _ in spans]
    assert max(at_once) <= cores
