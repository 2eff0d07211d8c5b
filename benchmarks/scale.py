"""How the pipeline grows: cells planned, run and answered, seconds and memory.

The measuring script is replaced by one that writes a record of the right shape at once, so that
what is left is the pipeline's own cost. Near the end of a run one job sleeps, with others waiting:
what Snakemake's main process takes of a core meanwhile is what would disturb a timing. The records
are made up, lie in a temporary folder, and are thrown away.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config.yaml", "workflow", "profiles", "envs", "resources")
CELLS = (100, 1000, 5000)
ANCHOR = 64  # the size that all others are compared with; it is measured for real, once
PLAN_S, PLAN_MB, ANSWER_S, GROWTH = 15, 500, 20, 6  # goals at 5,000 cells
BESIDE = 0.01  # of a core: goal for Snakemake while a job runs, at any number of cells
WAITING = 20  # jobs that wait while one sleeps
SLEEP_S, LOOK_S = 5, 3  # of that job, and of the look at Snakemake in the middle of it

# Takes the arguments of a measuring script; needs nothing but Python, which starts in milliseconds.
STAND_IN = """\
import argparse, pathlib, time
parser = argparse.ArgumentParser()
for name in ("device", "label", "n", "occasion", "threads", "settings", "output"):
    parser.add_argument("--" + name)
given = parser.parse_args()
with open("started", "a") as started:
    started.write(".")
if pathlib.Path("started").stat().st_size == SLEEPS:
    pathlib.Path("sleeping").touch()
    time.sleep(SECONDS)
template = pathlib.Path(__file__).with_name("template.json").read_text()
path = pathlib.Path(given.output)
path.write_text(template.replace('"n": 65', '"n": ' + given.n).replace('"n":65', '"n":' + given.n))
"""


@dataclass(frozen=True)
class Cost:
    """What one command took."""

    seconds: float
    megabytes: float  # of its largest process


@dataclass(frozen=True)
class Row:
    """One number of cells."""

    cells: int
    plan: Cost
    run: Cost
    answer: Cost
    beside: float  # share of a core that Snakemake's main process takes while a job sleeps


def timed(
    command: Sequence[str], folder: Path, meanwhile: Callable[[int], object] = lambda pid: None
) -> Cost:
    """Run a command to its end.

    Args:
        command: What to run.
        folder: Where.
        meanwhile: Called with the process's id as soon as it runs.

    Raises:
        SystemExit: It failed; its output is passed on.
    """
    log = folder / "scale.log"
    start = time.perf_counter()
    with log.open("w") as output:
        child = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        meanwhile(child.pid)
        _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}\n{log.read_text()[-3000:]}")
    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in kB
    return Cost(seconds, usage.ru_maxrss * unit / 1e6)


def share_of_a_core(pid: int, sleeping: Path) -> float:
    """CPU time of a process while a job sleeps, per second; not a number if it ends before.

    Args:
        pid: Of Snakemake's main process.
        sleeping: A file that the job makes.
    """
    process = psutil.Process(pid)
    while not sleeping.exists():
        if process.status() == psutil.STATUS_ZOMBIE:
            return math.nan
        time.sleep(0.1)
    time.sleep((SLEEP_S - LOOK_S) / 2)
    before = sum(process.cpu_times()[:2])  # of the user and of the system
    time.sleep(LOOK_S)
    return (sum(process.cpu_times()[:2]) - before) / LOOK_S


def snakemake(*arguments: str) -> list[str]:
    """A command of Snakemake on the alignment of a copy."""
    options = ["--configfile", "cells.yaml", "--quiet", "all", "--cores", "all"]
    return [sys.executable, "-m", "snakemake", *options, *arguments]


def prepare(folder: Path, cells: int) -> None:
    """A copy of the workflow whose measuring script is the stand-in, with a real record as form."""
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy2
        copy(ROOT / part, folder / part)
    scripts = folder / "workflow/scripts"
    configure(folder, 2)
    subprocess.run(
        [
            *(sys.executable, str(scripts / "measure_alignment.py"), "--n", str(ANCHOR + 1)),
            *("--settings", json.dumps(settings(folder))),
            *("--output", str(scripts / "template.json")),
        ],
        check=True,
    )
    stand_in = STAND_IN.replace("SLEEPS", str(cells - WAITING)).replace("SECONDS", str(SLEEP_S))
    (scripts / "measure_alignment.py").write_text(stand_in)


def settings(folder: Path) -> dict[str, object]:
    """The settings of the copy's alignment, as the workflow would give them, but nothing is void.

    A record that lost a trial would be thousands of cells to measure once more.
    """
    tiny = yaml.safe_load((folder / "cells.yaml").read_text())
    default = yaml.safe_load((ROOT / "config.yaml").read_text())
    protocol = default["protocol"] | tiny["protocol"] | {"void_delay_share": 1e9}
    protocol["cpu"] = default["protocol"]["cpu"] | tiny["protocol"]["cpu"]
    return {
        "seed": default["seed"],
        "protocol": protocol,
        **default["studies"]["alignment"]["settings"],
        **tiny["studies"]["alignment"]["settings"],
    }


def configure(folder: Path, cells: int) -> None:
    """The tiny configuration with so many sizes of the alignment."""
    config = yaml.safe_load((ROOT / "tests/config.yaml").read_text())
    sizes = list(range(ANCHOR, ANCHOR + cells))
    config["ask"] = ["alignment"]
    config["studies"]["alignment"]["axes"]["n"] = sizes
    config["studies"]["alignment"]["settings"] |= {"layouts": [], "anchor": ANCHOR}
    (folder / "cells.yaml").write_text(yaml.safe_dump(config))


def measure(cells: int) -> Row:
    """Plan, run and answer so many cells in a copy of their own."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, cells)
        configure(folder, cells)
        target = "results/answers/alignment.json"
        timed(snakemake("--until", "measure_contrast", "--", target), folder)  # the only real one
        plan = timed(snakemake("--dry-run", target), folder)
        shares = []
        run = timed(
            snakemake("--until", "measure_alignment", "--", target),
            folder,
            lambda pid: shares.append(share_of_a_core(pid, folder / "sleeping")),
        )
        answer = timed(snakemake(target), folder)
        made = len(list((folder / "results/records/alignment").rglob("*.json")))
        if made != cells:
            raise SystemExit(f"{made} records, not {cells}")
    return Row(cells, plan, Cost(run.seconds - SLEEP_S, run.megabytes), answer, shares[0])


def judged(rows: Sequence[Row]) -> list[tuple[str, float, str, bool]]:
    """What the goals ask for: name, value, goal, met."""
    by_cells = {row.cells: row for row in rows}
    found: list[tuple[str, float, str, bool]] = []
    for row in rows:
        met = row.beside <= BESIDE
        found.append((f"{row.cells} cells, % of a core", row.beside * 100, "≤ 1", met))
    if 5000 in by_cells:
        last = by_cells[5000]
        found += [
            ("planning, s", last.plan.seconds, f"≤ {PLAN_S}", last.plan.seconds <= PLAN_S),
            ("planning, MB", last.plan.megabytes, f"≤ {PLAN_MB}", last.plan.megabytes <= PLAN_MB),
            ("answering, s", last.answer.seconds, f"≤ {ANSWER_S}", last.answer.seconds <= ANSWER_S),
        ]
    if {1000, 5000} <= set(by_cells):
        for name in ("plan", "run", "answer"):
            growth = getattr(by_cells[5000], name).seconds / getattr(by_cells[1000], name).seconds
            found.append((f"{name}, 5,000 / 1,000", growth, f"≤ {GROWTH}", growth <= GROWTH))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure each number of cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", type=int, nargs="+", default=CELLS, help="numbers of cells")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args(argv)
    costs = f"{'plan s':>9}{'MB':>6}{'run s':>9}{'MB':>6}{'answer s':>10}{'MB':>6}"
    print(f"{'cells':>6}{costs}{'of a core':>12}")
    rows = []
    for cells in arguments.cells:
        row = measure(cells)
        rows.append(row)
        parts = [(row.plan, 9), (row.run, 9), (row.answer, 10)]
        costs = "".join(f"{c.seconds:>{w}.1f}{c.megabytes:>6.0f}" for c, w in parts)
        print(f"{cells:>6}{costs}{row.beside:>12.2%}", flush=True)
    for name, value, goal, met in judged(rows):
        print(f"{name:<28}{value:>9.1f}  {goal:<6}{'yes' if met else 'NO'}")
    if arguments.output:
        arguments.output.write_text(json.dumps([asdict(row) for row in rows], indent=1))


if __name__ == "__main__":
    main()
