"""One tidy table: a row per trial of every record, made once for the CSV of a question."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from assay.answer import model
from assay.record import Record, Status, Trial

Flat = Callable[[Record, Trial], Mapping[str, Any]]


def frame(
    records: Iterable[Record],
    verdicts: Iterable[Mapping[str, Any]] = (),
    *,
    add: Flat = lambda each, trial: {},
) -> pd.DataFrame:
    """One row per trial with all that is a plain number or word, then one per verdict.

    A record without trials is a row of its own, with its reason. More can be added of a trial, such
    as numbers from deep within its results.
    """
    rows = [row for each in records for row in _rows(each, add)]
    return pd.DataFrame([*rows, *map(dict, verdicts)])


def _rows(each: Record, add: Flat) -> list[dict[str, Any]]:
    where = {"study": each.study, **each.axes}
    if not each.trials:
        return [where | {"status": each.status.value, "reason": each.reason}]
    return [
        {
            **where,
            **plain(trial.what),
            "status": trial.status.value,
            **plain(trial.result),
            **add(each, trial),
            "reason": trial.reason,
        }
        for trial in each.trials
    ]


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those values that fit into a cell."""
    return {key: value for key, value in values.items() if not isinstance(value, dict | list)}


def devices(records: Sequence[Record]) -> list[str]:
    """The devices of records, in their order."""
    return list(dict.fromkeys(str(each.axes["device"]) for each in records))


def by_device(records: Sequence[Record]) -> dict[str, list[Record]]:
    """The records of each device, in their order."""
    names = devices(records)
    return {name: [each for each in records if each.axes["device"] == name] for name in names}


def checks(records: Iterable[Record], check: str) -> list[Trial]:
    """Every trial of one kind of check that went well."""
    every = (trial for each in records for trial in each.trials)
    return [t for t in every if t.what.get("check") == check and t.status == Status.OK]


def cited(
    path: Path, columns: Sequence[str], positive: str, names: str, known: Container[str]
) -> pd.DataFrame:
    """A cited table, such as of published figures: a CSV file with these columns, no cell empty.

    Values of one column are positive, and those of another are known names.

    Raises:
        SystemExit: It is missing or is not that table; the message names it.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}).") from error
    if list(table.columns) != [*columns]:
        raise SystemExit(f"{path}: its columns must be {', '.join(columns)}.")
    if unknown := sorted(name for name in set(table[names].dropna()) if name not in known):
        raise SystemExit(f"{path}: unknown {names} {unknown[0]!r}.")
    if table.isna().any(axis=None) or not (table[positive] > 0).all():
        raise SystemExit(f"{path}: a cell is empty or not positive.")
    return table


def lost(records: Iterable[Record], axis: str, name: str) -> str:
    """Why nothing is known of a value of an axis, in a word or two; values may share a job."""
    own = [each for each in records if name in str(each.axes[axis]).split("+")]
    ended = [trial.status for each in own for trial in each.trials]
    ended += [each.status for each in own]
    return next((model.lost(each) for each in ended if each != Status.OK), "not measured")


def why_lost(records: Iterable[Record]) -> str:
    """Why nothing is known of records, in a word or two: their first status that is not ok."""
    ended = [s for each in records for s in (each.status, *(trial.status for trial in each.trials))]
    return model.lost(next((status for status in ended if status != Status.OK), Status.OK))
