"""Where the records of a question lie: the cells of grids, and the folders of other runs.

Used by the workflow while its files are read, so it imports nothing heavy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from assay.device import FAILED


def cells(pattern: str, axes: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """The path of every record of a grid.

    Args:
        pattern: A path with the axes in braces: ``records/alignment/device-{device}/n-{n}.json``.
        axes: The values of each axis.
    """
    named = (
        pattern.format(**dict(zip(axes, values, strict=True))) for values in product(*axes.values())
    )
    yield from dict.fromkeys(named)  # a study that no device changes has one record for all


def of_run(folder: Path) -> Path:
    """The folder of a run's records.

    Args:
        folder: Where the run was made, its results, or the records themselves.

    Raises:
        FileNotFoundError: It holds no records; one sentence that names it.
    """
    for inside in (folder / "results/records", folder / "records", folder):
        if any(inside.glob("*/device-*")):
            return inside
    raise FileNotFoundError(
        f"{folder}: no records of torch-assay there, nor in its results. Name another folder, or "
        "let its run finish first."
    )


def beside(folder: Path, study: str) -> list[str]:
    """The records of a study in the folder of another run's records."""
    patterns = (f"{study}/device-*/**/*.json", f"{study}/device-*.json")
    return sorted(path.as_posix() for pattern in patterns for path in folder.glob(pattern))


def paths(grid: Mapping[str, Any]) -> list[Path]:
    """All records that a grid in the form of the workflow's argument names.

    Args:
        grid: ``own``: a list of ``{pattern, axes}``; ``others``: folders; ``studies``: which of
            their records count; ``only_own_cells``: whether only those count whose cell is among
            the own ones, on whatever device.
    """
    own = [path for each in grid["own"] for path in cells(each["pattern"], each["axes"])]
    others = [
        path
        for study in grid["studies"]
        for folder in grid["others"]
        for path in beside(Path(folder), study)
    ]
    if grid.get("only_own_cells"):
        anywhere = [
            path
            for each in grid["own"]
            for path in cells(each["pattern"], {**each["axes"], "device": ["any"]})
        ]
        asked = {cell(path) for path in anywhere}
        others = [path for path in others if cell(path) in asked]
    return [Path(path) for path in own + others]


def cell(path: str) -> str:
    """What a record's path says besides folder, device and occasion: ``hidden-256/rate-0.1``."""
    named = path.rpartition("/device-")[2].partition("/")[2].removesuffix(".json")
    return re.sub(r"/?occasion-\d+$", "", named)


def listed(file: Path) -> list[str]:
    """The paths in a listing of records."""
    paths: list[str] = json.loads(file.read_text(encoding="utf-8"))
    return paths


def is_lost(path: Path) -> bool:
    """Whether a neighbour spoilt a trial of a record, or its GPU failed: again, it may be well.

    What cannot be read is not lost: whoever needs it says what is wrong with it.
    """
    try:
        seen = json.loads(path.read_text(encoding="utf-8"))
        failed = str(seen["reason"]).startswith(FAILED)
        return failed or any(_is_spoilt(trial) for trial in seen["trials"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def gpu_of(path: Path) -> str | None:
    """The hash of the GPU, and its driver, that a record was measured on; None where none tells."""
    try:
        conditions = json.loads(path.read_text(encoding="utf-8"))["conditions"]
        return str(conditions["gpu"]["gpu_id"] or "") or None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _is_spoilt(trial: Mapping[str, Any]) -> bool:
    """Rounds were lost, or the estimate for which it was skipped was itself disturbed."""
    disturbed = trial["status"] == "skipped" and trial["result"].get("disturbed", False)
    return trial["status"] == "contended" or bool(disturbed)
