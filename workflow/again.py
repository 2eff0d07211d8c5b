"""Measure again what a neighbour spoilt, and nothing else; then answer again.

    python workflow/again.py

Mends the last run of this folder; with --configfile, what a run with that made. With --device it
measures all of a label instead, such as when its GPU was replaced. Takes the other arguments of
snakemake, too.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from assay import grid  # noqa: E402

LAST = Path("results/run.json")  # what the workflow leaves at the start of a run


def parsed(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, list[str]]:
    """The parsed arguments, and all of snakemake's: those of the last run unless others are named.

    Args:
        parser: Knows the arguments that are not snakemake's.
    """
    parser.add_argument("--directory", "-d", type=Path, default=Path(), help="as for snakemake")
    parser.add_argument("--configfile", nargs="+", help="as for snakemake (that of the last run)")
    known, rest = parser.parse_known_args()
    files = ["--configfile", *known.configfile] if known.configfile else last(known.directory)
    # What was typed stands last, where it counts.
    return known, [*files, "--directory", str(known.directory), *rest]


def last(folder: Path) -> list[str]:
    """The arguments of the run that was last made in a folder."""
    try:
        run = json.loads((folder / LAST).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # none yet, or there was no room for it
        return []
    files = [str((folder / file).resolve()) for file in run["configfile"]]
    cores = [str(run["cores"])] if run["cores"] else []
    named = {"--cores": cores, "--configfile": files, "--config": run["config"]}
    words = [word for flag, values in named.items() if values for word in (flag, *values)]
    return [*run.get("where", ()), *words]


def snakemake(*arguments: str) -> list[str]:
    """A command on this workflow."""
    return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments]


def live(*arguments: str) -> list[str]:
    """The same, told in a line per question."""
    program = str(ROOT / "workflow/live.py")
    return [sys.executable, program, "--snakefile", str(ROOT / "Snakefile"), *arguments]


def become(command: Sequence[str]) -> NoReturn:
    """Go on as that command, which so is stopped by Ctrl-C alone, and takes the time it needs.

    A parent would kill Snakemake a quarter of a second later, and leave the folder locked.
    """
    os.execv(command[0], command)


def said(*arguments: str) -> str:
    """What a command on this workflow prints.

    Raises:
        SystemExit: Snakemake refuses the workflow; its own words are passed on.
    """
    done = subprocess.run(snakemake(*arguments), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr).strip())
    return done.stdout


def records(arguments: Sequence[str]) -> dict[str, str]:
    """Every record of the run, with what Snakemake would do about it now.

    Raises:
        SystemExit: Snakemake refuses the workflow; its own words are passed on.
    """
    return dict(planned(said(*arguments, "--summary", "--nolock")))


def planned(summary: str) -> Iterator[tuple[str, str]]:
    """Path and plan of each record in the table that ``snakemake --summary`` prints."""
    for line in summary.splitlines():
        path, *_, plan = line.split("\t")
        if path.endswith(".json") and "records" in Path(path).parts:
            yield path, plan.strip()


def lost(plans: dict[str, str], folder: Path) -> list[str]:
    """The records that lost a trial to a neighbour.

    Args:
        plans: What :func:`records` gives.
        folder: What their paths are relative to.

    Raises:
        SystemExit: Others are not there or out of date, so that they would be measured, too.
    """
    pending = [path for path, plan in plans.items() if plan != "no update"]
    if pending:
        raise SystemExit(
            f"{len(pending)} of {len(plans)} records are not there or out of date ({pending[0]}). "
            "Give the --configfile that the run was made with, or finish the run first."
        )
    return [path for path in plans if grid.is_lost(folder / path)]


def of_device(plans: Iterable[str], label: str) -> list[str]:
    """The records of a label among all.

    Raises:
        SystemExit: There are none; it names the labels that there are.
    """
    labels = {path: re.findall(r"/device-([a-z0-9_]+)", path)[-1] for path in plans}
    if label not in labels.values():
        there = ", ".join(sorted({*labels.values()}))
        raise SystemExit(
            f"{label}: no record of the last run has this label; it has {there or 'none'}."
        )
    return [path for path, each in labels.items() if each == label]


def main() -> None:
    """Measure again what is lost, or say that nothing is."""
    # Not abbreviated: --config is Snakemake's, and so is all that is not named here.
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="print the records and run nothing")
    parser.add_argument("--device", metavar="LABEL", help="all of this label, not what is spoilt")
    known, arguments = parsed(parser)
    plans = records(arguments)
    paths = of_device(plans, known.device) if known.device else lost(plans, known.directory)
    if known.list:
        print("\n".join(paths))
    elif paths:
        become(live(*arguments, "--forcerun", *paths))
    else:
        print("No measurement was spoilt by a neighbour: nothing to measure again.")


if __name__ == "__main__":
    main()
