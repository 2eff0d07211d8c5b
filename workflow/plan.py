"""Say how many jobs a run has and about how long it will take, before anything runs.

Takes the arguments of the snakemake run it plans:

    python workflow/plan.py --cores 4 --configfile workflow/presets/quick.yaml

With --measured, it says instead what the jobs of a finished run took, beside what was expected:

    python workflow/plan.py --measured results --configfile workflow/presets/quick.yaml
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from snakemake.utils import update_config

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow"), str(ROOT / "workflow/scripts")]

import again  # noqa: E402
from assay import device  # noqa: E402

# Seconds of one core that the other jobs take, on the machine of `expected_s`.
OTHERS_S = {"fetch_dataset": 1.5, "find_lost": 0.2, "answer": 1.7, "card": 1.7, "page": 1.8}
SNAKEMAKE_S = 3  # until the first job starts
ONE_GPU = ["--config", "devices=[cpu, gpu]"]  # planned like any, though none is here
START_S = 1.75  # that Python and torch take to start there, before a record's clock does


def merged(files: Sequence[str]) -> dict[str, Any]:
    """The configuration as Snakemake merges it: the defaults, then each file over them."""
    config: dict[str, Any] = {}
    for file in (ROOT / "config.yaml", *map(Path, files)):
        update_config(config, yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    return config


def counts(text: str) -> dict[str, int]:
    """The first table of job counts in what Snakemake printed; empty when nothing is to be done."""
    table = text.partition("Job stats:")[2].partition("\n\n")[0]
    return {rule: int(n) for rule, n in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def threads(text: str) -> dict[str, list[int]]:
    """The threads of every job of each rule in what Snakemake printed."""
    jobs = defaultdict(list)
    blocks = re.findall(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?: .*\n)*)", text, re.MULTILINE)
    for rule, block in blocks:
        told = re.search(r"^ +threads: (\d+)$", block, re.MULTILINE)
        jobs[rule].append(int(told[1]) if told else 1)
    return dict(jobs)


def slowness() -> float:
    """How many times as long Python and torch take to start as on the machine of `expected_s`.

    The faster of two starts counts, since the first may have to read the files from disk. All of a
    run takes about so much longer: what is timed, too, for its rounds have a least number. Where
    only jobs have torch (--sdm conda), as long is taken.
    """
    if find_spec("torch") is None:
        return 1.0

    def once() -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        return time.perf_counter() - begun

    return min(once(), once()) / START_S


def job_s(config: Mapping[str, Any], rule: str) -> float:
    """Expected seconds of a job of a rule, on the machine of `expected_s`."""
    study = config["studies"].get(rule.removeprefix("measure_"), {})
    return float(OTHERS_S.get(rule) or study.get("expected_s", 0))


def minutes(
    config: Mapping[str, Any], jobs: Mapping[str, Sequence[int]], cores: int, slower: float = 1
) -> float:
    """Expected minutes of jobs. Each has its share of the cores: one that times takes them all.

    Args:
        config: The merged configuration.
        jobs: The threads of every job of each rule.
        cores: How many there are for all jobs together.
        slower: Times as long as a job takes here, see :func:`slowness`.
    """
    core_s = sum(sum(each) * job_s(config, rule) for rule, each in jobs.items())
    return slower * core_s / cores / 60


def plan(
    config: Mapping[str, Any], jobs: Mapping[str, Sequence[int]], cores: int, slower: float = 1
) -> Iterator[tuple[str, int, float]]:
    """Name, measuring jobs and expected minutes of each question, then of all the rest.

    A shared study counts once: at the question of its own name, or else at the first that reads it.
    The arguments are those of :func:`minutes`.
    """
    seen: set[str] = set()
    for question in config["ask"]:
        reads = config["questions"][question]["studies"]
        studies = [s for s in reads if s == question or s not in {*config["ask"], *seen}]
        seen.update(studies)
        each = {f"measure_{study}": jobs.get(f"measure_{study}", ()) for study in studies}
        yield question, sum(map(len, each.values())), minutes(config, each, cores, slower)
    rest = {rule: jobs.get(rule, ()) for rule in OTHERS_S}
    yield "answers, page", 0, minutes(config, rest, cores, slower) + slower * SNAKEMAKE_S / 60


def opening(
    config: Mapping[str, Any], jobs: Mapping[str, Sequence[int]], cores: int, slower: float = 1
) -> str:
    """What a run begins with: ``24 questions, 161 measuring jobs: about 23.0 min on 2 cores``.

    The arguments are those of :func:`minutes`.
    """
    measuring = sum(len(each) for rule, each in jobs.items() if rule.startswith("measure_"))
    questions = counted(len(jobs.get("answer", ())), "question")
    about = f"{minutes(config, jobs, cores, slower):.1f} min on {counted(cores, 'core')}"
    return f"{questions}, {counted(measuring, 'measuring job')}: about {about}"


def counted(number: int, name: str) -> str:
    """How many of something: ``1 core``, ``2 cores``."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def usable(asked: str) -> int:
    """As many cores as --cores names, and no more than there are."""
    there = device.usable_cores()
    return there if asked == "all" else max(1, min(int(asked), there))


def measured(results: Path, slower: float = 1) -> dict[str, list[float]]:
    """Seconds of every job of each study in a finished run, from its start to its end."""
    seconds = defaultdict(list)
    for path in sorted((results / "records").rglob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        took = record["provenance"]["duration_s"] + slower * START_S
        seconds[record["study"]].append(took)
    return dict(seconds)


def compare(config: Mapping[str, Any], seconds: Mapping[str, Sequence[float]]) -> None:
    """Print what the jobs of a finished run took, beside what was expected."""
    print(f"{'study':<16}{'jobs':>6}{'seconds':>9}{'expected_s':>12}{'ratio':>7}")
    for study, each in sorted(seconds.items()):
        expected, took = config["studies"][study]["expected_s"], fmean(each)
        print(f"{study:<16}{len(each):>6}{took:>9.1f}{expected:>12g}{took / expected:>7.2f}")


def table(plans: Sequence[Sequence[tuple[str, int, float]]], heads: Sequence[str]) -> None:
    """Print the rows of plans beside each other: the jobs of the first, the minutes of each."""
    print(f"{'question':<16}{'measuring jobs':>15}", *(f"{head:>11}" for head in heads))
    for cells in zip(*plans, strict=True):
        print(f"{cells[0][0]:<16}{cells[0][1]:>15}", *(f"{cell[2]:>11.1f}" for cell in cells))
    sums = (f"{sum(row[2] for row in rows):>11.1f}" for rows in plans)
    print(f"{'all':<16}{sum(row[1] for row in plans[0]):>15}", *sums)


def main() -> None:
    """Print the plan of the run that the command line describes."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,  # --config is Snakemake's, not short for --configfile
    )
    parser.add_argument("--configfile", nargs="+", default=[], help="as for snakemake")
    parser.add_argument("--cores", "-c", default="all", help="as for snakemake (all)")
    parser.add_argument("--measured", type=Path, metavar="RESULTS", help="of a finished run")
    known, rest = parser.parse_known_args()
    if known.measured:
        return compare(merged(known.configfile), measured(known.measured, slowness()))
    files = ["--configfile", *known.configfile] if known.configfile else []
    arguments = ["--dry-run", *rest, "--cores", known.cores, *files]
    said = {"minutes": again.said(*arguments)}  # first: Snakemake has words for what is wrong
    config, cores, slower = merged(known.configfile), usable(known.cores), slowness()
    searched = config["devices"] in ("auto", "all") and "--config" not in rest
    if searched and not device.visible_gpus():
        said["with a GPU"] = again.said(*arguments, *ONE_GPU)
    table([[*plan(config, threads(each), cores, slower)] for each in said.values()], [*said])
    jobs = counts(said["minutes"])
    answers, pages = jobs.get("answer", 0), jobs.get("page", 0)
    print(f"Besides, {counted(answers, 'answer')} and {counted(pages, 'page')}.")
    print(f"Minutes with {counted(cores, 'core')}, from what jobs took on two cores without a GPU;")
    print(f"here a start of torch, and so all, takes {slower:.2f} times as long.")
    if len(said) > 1:
        print("With a GPU: its jobs are taken for as long as a CPU's; no real one was timed yet.")


if __name__ == "__main__":
    main()
