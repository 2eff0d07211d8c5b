"""Name one more occasion for each cell that lost a trial to a neighbour."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from assay import grid

OCCASION = "occasion"


def one_more(pattern: str, axes: Mapping[str, Sequence[Any]]) -> Iterator[str]:
    """The record after the last occasion of each cell of which any record is lost.

    Args:
        pattern: Where the records of a study lie, with its axes in braces.
        axes: Their values; a study without occasions has none to add.
    """
    if OCCASION not in axes:
        return
    occasions = axes[OCCASION]
    fixed = pattern.replace("{occasion}", "{{occasion}}")
    others = {name: values for name, values in axes.items() if name != OCCASION}
    for cell in grid.cells(fixed, others):
        if any(grid.is_lost(Path(cell.format(occasion=each))) for each in occasions):
            yield cell.format(occasion=max(occasions) + 1)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the list of records to measure: a JSON list of paths."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", type=yaml.safe_load, required=True, help="YAML: where they lie")
    parser.add_argument("--output", type=Path, required=True, help="JSON file to write")
    arguments = parser.parse_args(argv)
    paths = [path for each in arguments.grid["own"] for path in one_more(**each)]
    arguments.output.write_text(json.dumps(paths, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
