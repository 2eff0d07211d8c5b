"""Pack a finished run into one archive, to be opened by others or added to their comparison.

    python workflow/share.py results --output laptop.zip

It holds the page, the machine card, the answers with their tables and figures, and every record.
No record names a person, a folder or a host; answers name the folders of other runs beside them.
"""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

PARTS = ("answers", "tables", "figures", "records")
PAGE = "report.html"
CARD = ("card.svg", "card.png")


def files(results: Path) -> Iterator[Path]:
    """What is packed, page first."""
    yield results / PAGE
    yield from (results / name for name in CARD if (results / name).exists())
    for part in PARTS:
        yield from sorted(path for path in (results / part).rglob("[!.]*") if path.is_file())


def pack(results: Path, archive: Path) -> int:
    """Write the archive; returns how many records it holds.

    Raises:
        FileNotFoundError: The run has no page yet, or no records; the message says what to do.
    """
    if not (results / PAGE).exists():
        raise FileNotFoundError(f"{results / PAGE} is missing: let the run finish first.")
    packing = [*files(results)]  # before the archive is there, which may lie among them
    records = sum(path.is_relative_to(results / "records") for path in packing)
    if not records:
        raise FileNotFoundError(f"{results / 'records'}: no records. Share the runs it compares.")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as packed:
        for path in packing:
            packed.write(path, Path("results") / path.relative_to(results))
    return records


def main(argv: Sequence[str] | None = None) -> None:
    """Pack the run that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("results", type=Path, nargs="?", default=Path("results"))
    parser.add_argument("--output", type=Path, default=Path("torch-assay-run.zip"))
    arguments = parser.parse_args(argv)
    try:
        records = pack(arguments.results, arguments.output)
    except OSError as error:
        raise SystemExit(str(error)) from error
    size = arguments.output.stat().st_size / 1e6
    print(f"{arguments.output}: the page and {records} records, {size:.1f} MB")
    print(f"Beside another run: make compare RUNS={arguments.output}")


if __name__ == "__main__":
    main()
