"""Measure again what a neighbour spoilt, and nothing else; then answer again.

Takes the arguments of the snakemake run whose results are to be mended:

    python workflow/again.py --configfile workflow/presets/quick.yaml
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from assay import grid  # noqa: E402

RUN = ("--cores", "all", "--resources", "gpu=1")


def snakemake(*arguments: str) -> list[str]:
    """A command on this workflow."""
    return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), *arguments]


def records(arguments: Sequence[str]) -> dict[str, str]:
    """Every record of the run, with what Snakemake would do about it now.

    Raises:
        SystemExit: Snakemake refuses the workflow; its own words are passed on.
    """
    done = subprocess.run(snakemake(*arguments, "--summary"), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr).strip())
    return dict(planned(done.stdout))


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


def main() -> None:
    """Measure again what is lost, or say that nothing is."""
    # Not abbreviated: --config is Snakemake's, and so is all that is not named here.
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0], allow_abbrev=False)
    parser.add_argument("--list", action="store_true", help="print the records and run nothing")
    parser.add_argument("--directory", "-d", type=Path, help="as for snakemake, like all others")
    known, rest = parser.parse_known_args()
    if known.directory:
        rest += ["--directory", str(known.directory)]
    paths = lost(records(rest), known.directory or Path())
    if known.list:
        print("\n".join(paths))
    elif paths:
        raise SystemExit(subprocess.run(snakemake(*RUN, *rest, "--forcerun", *paths)).returncode)
    else:
        print("No measurement was spoilt by a neighbour: nothing to measure again.")


if __name__ == "__main__":
    main()
