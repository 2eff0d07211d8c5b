"""Records of several runs beside each other: where each is from, and labels that tell them apart.

The devices of the run at hand keep their labels. Those of another run are called after its folder,
too: ``cpu (lab)``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from assay import record
from assay.record import Record

PLAIN = {"records", "results"}  # folders whose names say nothing about a run


def read(paths: Sequence[Path], own: Path) -> list[Record]:
    """Read records; those of other runs than that of this folder get labels of their own.

    One that does not lie where a run leaves it counts as this run's.

    Raises:
        record.RecordError: A record cannot be read, or is there twice; the message names it.
    """
    records = [record.read(path) for path in paths]
    folders = [folder(path, each.study) for path, each in zip(paths, records, strict=True)]
    machines: dict[Path | None, str] = {
        where: each.provenance.machine_id
        for where, each in zip(folders, records, strict=True)
        if where not in (own.resolve(), None)
    }
    names = _names(machines)
    for each, where in zip(records, folders, strict=True):
        if where in names:
            each.axes["device"] = f"{each.axes['device']} ({names[where]})"
    refuse_doubles(paths, records)
    return records


def folder(path: Path, study: str) -> Path | None:
    """The folder of all records of the run that a record is from; None if it lies elsewhere."""
    parents = path.absolute().parents
    return next((parent.parent.resolve() for parent in parents if parent.name == study), None)


def refuse_doubles(paths: Sequence[Path], records: Sequence[Record]) -> None:
    """A cell that were there twice would count twice.

    Raises:
        record.RecordError: One is; the message names both files.
    """
    seen: dict[tuple[str, str], Path] = {}
    for path, each in zip(paths, records, strict=True):
        cell = (each.study, repr(sorted(each.axes.items())))
        if cell in seen:
            raise record.RecordError(
                f"{seen[cell]} and {path} are records of the same measurement: leave one of them "
                "out; if they are of two runs, give their folders different names."
            )
        seen[cell] = path


def _names(machines: dict[Path | None, str]) -> dict[Path | None, str]:
    """A name for each folder: its own, with the machine's id where two have the same name."""
    names = {where: name(where) for where in machines if where is not None}
    taken = list(names.values())
    return {
        where: own if taken.count(own) == 1 else f"{own} {machines[where][:6]}"
        for where, own in names.items()
    }


def name(where: Path) -> str:
    """What a run is called by its folder, ``records`` and ``results`` apart."""
    return next((part for part in reversed(where.parts) if part not in PLAIN), where.name)


def of(each: Record) -> str | None:
    """The name of the other run that a record of :func:`read` is from; None for the run at hand."""
    return run_of(str(each.axes["device"]))


def at_hand(paths: Sequence[Path], records: Sequence[Record]) -> tuple[list[Path], list[Record]]:
    """Paths and records of the run at hand; of all runs where none is."""
    pairs = [*zip(paths, records, strict=True)]
    own = [pair for pair in pairs if of(pair[1]) is None] or pairs
    return [path for path, _ in own], [each for _, each in own]


def run_of(label: str) -> str | None:
    """The name of the other run that a label is of; None for the run at hand."""
    found = re.fullmatch(r".+? \((.+)\)", label)  # a folder's name may hold brackets, too
    return found[1] if found else None


def called(labels: Iterable[str]) -> dict[str, str]:
    """What each device is called where there is little room: its run if that has no other."""
    runs = {label: run_of(label) for label in labels}
    devices = Counter(runs.values())
    return {label: run if run and devices[run] == 1 else label for label, run in runs.items()}


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A text with the names of :func:`called` in the place of labels."""
    for label, name in names.items():
        text = text.replace(label, name)
    return text


def on_several_machines(records: Iterable[Record]) -> list[str]:
    """One sentence for each device whose records were not all measured on one machine."""
    machines: dict[str, set[str]] = {}
    for each in records:
        machines.setdefault(str(each.axes["device"]), set()).add(each.provenance.machine_id)
    return [
        f"The records of {label} come from {len(ids)} machines ({', '.join(sorted(ids))}), so "
        "differences between them are partly differences between machines."
        for label, ids in machines.items()
        if len(ids) > 1
    ]
