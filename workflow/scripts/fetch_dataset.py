"""Get Fashion-MNIST from the first source that has it, as one file that jobs map in milliseconds.

python workflow/scripts/fetch_dataset.py --output results/data/dataset.safetensors
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from assay.device import first_line
from assay.environment import without_folders
from assay.learning import dataset
from assay.learning.dataset import FULL, SAMPLE, DatasetError
from assay.record import DatasetInfo

ROOT = Path(__file__).resolve().parents[2]
EMBEDDED = ROOT / "resources/fashion-mnist-10k"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it
PACKAGE = "dataset-fashion-mnist"
PATIENCE_S = 20  # for a server that does not answer, and for apt ten times as long


class NotHere(Exception):
    """A source does not have the data set; the message is the reason."""


Source = Callable[[Path, Path | None], Path]  # scratch folder, configured folder → the files


def configured(scratch: Path, folder: Path | None) -> Path:
    """The folder that the configuration names, or where torchvision puts the files inside it."""
    if folder is None:
        raise NotHere("dataset.folder is not set")
    place = Path(os.path.expanduser(folder))  # pathlib raises where there is no such home
    if not place.is_dir():
        raise NotHere("dataset.folder: there is no such folder")
    inside = [place / each for each in (".", "FashionMNIST/raw", "raw")]
    return next((each for each in inside if any(each.glob("train-images-*"))), place)


def installed(scratch: Path, folder: Path | None) -> Path:
    """Debian's package, installed."""
    if not INSTALLED.is_dir():
        raise NotHere(f"Debian's package {PACKAGE} is not installed")
    return INSTALLED


def downloaded(scratch: Path, folder: Path | None) -> Path:
    """torchvision's download."""
    from torchvision.datasets import FashionMNIST

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        for train in (True, False):
            FashionMNIST(str(scratch), train=train, download=True)
    except (OSError, RuntimeError) as error:
        raise NotHere(f"torchvision could not download it ({first_line(error)})") from error
    finally:
        socket.setdefaulttimeout(before)
    return scratch / "FashionMNIST/raw"


def unpacked(scratch: Path, folder: Path | None) -> Path:
    """Debian's package, fetched and unpacked without installing it; needs no root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise NotHere("there is no apt-get here")
    try:
        _quietly(["apt-get", "download", PACKAGE], scratch)
        (archive,) = scratch.glob(f"{PACKAGE}_*.deb")
        _quietly(["dpkg-deb", "--extract", archive.name, "."], scratch)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise NotHere(f"apt-get could not download {PACKAGE}") from error
    return scratch / INSTALLED.relative_to("/")


def _quietly(command: list[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=10 * PATIENCE_S)


SOURCES: dict[str, Source] = {
    "folder": configured,
    "installed": installed,
    "torchvision": downloaded,
    "apt": unpacked,
}


def fetch(sources: Sequence[str], folder: Path | None, output: Path) -> list[str]:
    """Write the full data set from the first source that has it.

    Returns:
        Nothing when the file was written; else why each source did not have it.
    """
    reasons: list[str] = []
    for name in sources:
        with tempfile.TemporaryDirectory() as scratch:
            try:
                arrays = dataset.read_full(SOURCES[name](Path(scratch), folder))
            except (NotHere, DatasetError) as reason:
                print(f"{name}: {reason}", flush=True)
                reasons.append(f"{name}: {reason}")
                continue
            print(f"{name}: has it", flush=True)
            _write(output, arrays, FULL, name, None)
            return []
    return reasons or ["dataset.sources is empty"]


def embedded(output: Path, asked: str, reason: str | None) -> None:
    """Write the sample that comes with the workflow."""
    _write(output, dataset.read_sample(EMBEDDED), asked, "embedded sample", reason)


def _write(
    output: Path, arrays: dict[str, dataset.Array], asked: str, source: str, reason: str | None
) -> None:
    info = DatasetInfo(
        name=SAMPLE if source == "embedded sample" else FULL,
        asked=asked,
        source=source,
        reason=reason,
        digest=dataset.digest(arrays),
    )
    dataset.write(output, arrays, info)


def main(argv: Sequence[str] | None = None) -> None:
    """Make the file that the command line asks for.

    Raises:
        SystemExit: No source has it and there is no fallback, or the sample is damaged.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--settings", type=json.loads, help="JSON: the block dataset (that of config.yaml)"
    )
    parser.add_argument("--output", type=Path, required=True, help="safetensors file to write")
    arguments = parser.parse_args(argv)
    settings = arguments.settings or _configured()
    folder = Path(settings["folder"]) if settings["folder"] else None
    try:
        if settings["size"] == "sample":
            embedded(arguments.output, SAMPLE, None)
        elif reasons := fetch(settings["sources"], folder, arguments.output):
            why = "; ".join(reasons)
            if settings["fallback"] == "none":
                raise SystemExit(
                    f"Fashion-MNIST could not be had, and dataset.fallback is none: {why}."
                )
            embedded(arguments.output, FULL, without_folders(why))
    except DatasetError as error:
        raise SystemExit(str(error)) from error


def _configured() -> dict[str, Any]:
    """The settings that the workflow would give, for a person who runs the script by hand."""
    settings: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())["dataset"]
    return settings


if __name__ == "__main__":
    main()
