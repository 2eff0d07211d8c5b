"""Say how many jobs a run has and about how long it will take, before anything runs.

Takes the arguments of the snakemake run it plans:

    python workflow/plan.py --configfile workflow/presets/quick.yaml
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

ROOT = Path(__file__).resolve().parents[1]


def merged(files: Sequence[str]) -> dict[str, Any]:
    """The configuration as Snakemake merges it: the defaults, then each file over them."""
    config: dict[str, Any] = {}
    for file in (ROOT / "config.yaml", *map(Path, files)):
        update_config(config, yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return config


def jobs_by_rule(arguments: Sequence[str]) -> dict[str, int]:
    """How many jobs of each rule Snakemake would run now.

    Raises:
        SystemExit: Snakemake refuses the workflow; its own words are passed on.
    """
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--dry-run",
        "--snakefile",
        str(ROOT / "Snakefile"),
    ]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr).strip())
    return counts(done.stdout + done.stderr)


def counts(text: str) -> dict[str, int]:
    """The first table of job counts in what Snakemake printed; empty when nothing is to be done."""
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def plan(config: Mapping[str, Any], jobs: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Name, jobs and expected minutes of each question.

    A shared study counts once: at the question of its own name, or else at the first that reads it.
    """
    rows, seen = [], set()
    for question in config["ask"]:
        reads = config["questions"][question]["studies"]
        studies = [s for s in reads if s == question or s not in {*config["ask"], *seen}]
        seen.update(studies)
        count = {study: jobs.get(f"measure_{study}", 0) for study in studies}
        seconds = sum(n * config["studies"][study]["expected_s"] for study, n in count.items())
        rows.append((question, sum(count.values()), seconds / 60))
    return rows


def main() -> None:
    """Print the plan of the run that the command line describes."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--configfile", nargs="+", default=[], help="as for snakemake")
    known, rest = parser.parse_known_args()
    files = ["--configfile", *known.configfile] if known.configfile else []
    jobs = jobs_by_rule([*rest, *files])
    rows = plan(merged(known.configfile), jobs)
    print(f"{'question':<16}{'measuring jobs':>15}{'minutes':>9}")
    for name, count, minutes in rows:
        print(f"{name:<16}{count:>15}{minutes:>9.1f}")
    count, minutes = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print(f"{'all':<16}{count:>15}{minutes:>9.1f}")
    print(f"Besides, {jobs.get('answer', 0)} answers and {jobs.get('page', 0)} page: seconds each.")
    print("Minutes are what such a run took on two cores without a GPU.")


if __name__ == "__main__":
    main()
