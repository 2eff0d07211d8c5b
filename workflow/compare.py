"""Show the records of several runs, or of several machines, side by side in one report.

    python workflow/compare.py ../laptop ../cluster --output comparison

A run is given by the folder it was made in, by its results, by its records, or by the archive that
`make share` made of it. Nothing is measured. Machines that should be alike are asked which of them
is ill; of very many nothing else is.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "workflow/scripts"))

from assay import grid, record  # noqa: E402

NAME = "comparison"  # of the preset, by which its folder is known again
FLEET = "fleet"  # the question that only several machines answer
CARDS = 12  # runs that a card can show beside each other

# What an archive can fail with that is cut, encrypted, packed another way, or none.
UNPACKING = (OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile)
RECORD = re.compile(r"results/records/(?:\w[\w+.=-]*/)+\w[\w+.=-]*\.json")


def asked(config: Mapping[str, Any], folders: Sequence[Path]) -> list[str]:
    """What the runs can be asked."""
    studies = config["questions"][FLEET]["studies"]
    is_fleet = len(folders) > 1 and any(measured(study, {}, {}, folders) for study in studies)
    if is_fleet and len(folders) > CARDS:
        return [FLEET]
    return [*answerable(config, folders), *([FLEET] if is_fleet else [])]


def answerable(config: Mapping[str, Any], folders: Sequence[Path]) -> list[str]:
    """The questions about each machine with at least one record of each study that they need."""
    return [
        name
        for name, block in config["questions"].items()
        if name != FLEET
        and all(
            measured(
                study, config["studies"][study]["axes"] | block.get("axes", {}), block, folders
            )
            for study in block["studies"]
        )
    ]


def measured(
    study: str, axes: Mapping[str, Any], block: Mapping[str, Any], folders: Sequence[Path]
) -> bool:
    """Whether the runs hold a record of a study, and of a cell that the question asks for.

    Raises:
        record.RecordError: A record cannot be read; the message names it.
    """
    if [] in axes.values():
        return True  # nobody asked for it
    found = [path for folder in folders for path in grid.beside(folder, study)]
    if "axes" not in block:
        return bool(found)
    cells = (record.read(Path(path)).axes for path in found)
    return any(all(cell.get(name) in axes[name] for name in axes) for cell in cells)


def apart(config: Mapping[str, Any], names: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """Those of the questions for which the runs learned from different data: no comparison.

    Raises:
        record.RecordError: A record cannot be read; the message names it.
    """
    studies = {name: config["questions"][name]["studies"] for name in names}
    return [name for name, own in studies.items() if len(learned(own, folders)) > 1]


def learned(studies: Sequence[str], folders: Sequence[Path]) -> set[str]:
    """The data that studies learned from, as the first record of each in each run tells for all."""
    firsts = [grid.beside(folder, study)[:1] for study in studies for folder in folders]
    found = [record.read(Path(path)).provenance.dataset for first in firsts for path in first]
    return {each.digest for each in found if each}


def unpacked(archive: Path, to: Path) -> Path:
    """The folder of an archived run's records, under a name that is the archive's.

    Only what is named as a record is written, and only below a folder of its content: of two
    archives of one name neither gets among the other.

    Raises:
        FileNotFoundError: It cannot be unpacked, or holds no records; the message names it.
    """
    try:
        with archive.open("rb") as file:
            folder = to / hashlib.file_digest(file, "sha256").hexdigest()[:8] / archive.stem
        with zipfile.ZipFile(archive) as packed:
            members = [name for name in packed.namelist() if RECORD.fullmatch(name)]
            packed.extractall(folder, members)
        return grid.of_run(folder)
    except UNPACKING as error:
        raise FileNotFoundError(
            f"{archive}: no archive of a run ({error}). `make share` makes one."
        ) from error


def configuration(output: Path) -> Path:
    """The file of a comparison's configuration in its folder.

    Raises:
        FileExistsError: The folder holds a run or another configuration; it says what to do.
    """
    file = output / "config.yaml"
    is_other = file.exists() and f"preset: {NAME}" not in file.read_text("utf-8").splitlines()
    if is_other or (output / "results/records").exists():
        raise FileExistsError(
            f"{output} holds a run, or another configuration, which the comparison would write "
            "over: name another folder with --output."
        )
    return file


def main(argv: Sequence[str] | None = None) -> None:
    """Write the configuration of the comparison, and run the workflow on it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("runs", type=Path, nargs="+", help="folders of runs, or archives")
    parser.add_argument("--output", type=Path, default=Path("comparison"), help="folder to write")
    arguments = parser.parse_args(argv)
    defaults = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    try:
        file = configuration(arguments.output)
        folders = [
            unpacked(run, arguments.output / "runs") if run.is_file() else grid.of_run(run)
            for run in arguments.runs
        ]
        questions = asked(defaults, folders)
        left_out = apart(defaults, questions, folders)
    except (OSError, record.RecordError) as error:
        raise SystemExit(str(error)) from error
    if not questions:
        named = ", ".join(map(str, arguments.runs))
        raise SystemExit(f"{named}: no question has all its records there. Finish a run first.")
    if left_out:
        told = "Left out, because these runs learned from different data"
        print(f"{told}: {', '.join(left_out)}.", flush=True)
    compared = [name for name in questions if name not in left_out]
    if not compared:
        raise SystemExit("No question is left to compare.")
    config = {
        "preset": NAME,
        "ask": compared,
        "devices": [],
        "records": [folder.resolve().as_posix() for folder in folders],
    }
    arguments.output.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "all"]
    where = ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(arguments.output)]
    os.execv(sys.executable, [*command, *where])  # Ctrl-C is Snakemake's alone


if __name__ == "__main__":
    main()
