"""What an answer is: records in; verdicts, a table, a figure and a sentence out."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from assay import grid, occasion, record, runs
from assay.record import Record, Status

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Column(_Model):
    """A column of the table that the page shows."""

    name: str
    unit: str | None = None
    digits: int | None = Field(None, description="Significant digits; None for text")


class Table(_Model):
    """The few rows that the page shows; the tidy table has one row per trial."""

    columns: list[Column]
    rows: list[list[str | float | int | None]]


class Picture(_Model):
    """A figure of the answer."""

    title: str
    alternative: str = Field(description="What the picture shows, for those who cannot see it")


class Missing(_Model):
    """Something that was asked for and could not be measured."""

    what: str
    status: Status
    reason: str


class Snippet(_Model):
    """A few lines to run at home: the wrong number, then the right one."""

    text: str
    code: str


class Disturbed(_Model):
    """A measurement beside which something else used the machine."""

    record: str = Field(description="Path of its record")
    what: str = Field(description="What was measured in it")
    lost: bool = Field(description="Whether no number could be given")
    neighbours: dict[str, float] = Field(
        description="Who took the cores, by name, in cores; empty where the system does not tell"
    )


class Circumstances(_Model):
    """When, where and how the records of an answer were measured."""

    first: str = Field(description="When the first job started: ISO 8601, UTC")
    last: str = Field(description="When the last job started")
    commits: list[str] = Field(description="Short commits, and whether there were local changes")
    torch: list[str] = Field(description="Versions of torch")
    threads: list[int] = Field(description="Numbers of CPU threads used")
    machines: list[str] = Field(description="Machine ids")
    delay_share: float | None = Field(
        description="Largest share of its CPU time that a job waited for a core; null if unknown"
    )
    rounds: int = Field(description="Rounds of all paired trials")
    rounds_void: int = Field(description="Rounds among them that contention or a clock spoilt")
    measurements: dict[str, int] = Field(
        description="Measurements by path of their record; several questions may share it"
    )
    disturbed: list[Disturbed] = Field(description="Those that other programs disturbed")


class Answer(_Model):
    """What a question comes to."""

    question: str
    title: str
    exercise: str
    sentence: str = Field(description="The answer in one sentence")
    findings: list[str] = Field(description="What supports it: numbers with intervals")
    numbers: dict[str, JsonValue] = Field(description="The same numbers, for programs")
    method: list[str] = Field(description="How it was measured, under which conditions")
    caveats: list[str] = Field(description="What limits the answer")
    missing: list[Missing] = Field(description="What could not be measured, and why")
    notices: list[str] = Field(description="What the report must say before anything else")
    picture: Picture
    table: Table
    snippet: Snippet | None = None
    circumstances: Circumstances
    records: list[str] = Field(description="Paths of the records it was drawn from")


@dataclass(frozen=True)
class Findings:
    """What an answering function returns; :func:`run` adds the rest and writes the files."""

    sentence: str
    findings: list[str]
    numbers: dict[str, Any]
    method: list[str]
    caveats: list[str]
    picture: Picture
    table: Table
    frame: DataFrame  # tidy, one row per trial
    figure: Figure
    snippet: Snippet | None = None


Answering = Callable[[list[Record]], Findings]


def run(question: str, answer: Answering, argv: Sequence[str] | None = None) -> None:
    """Read the records, answer, and write table, figure and answer.

    Raises:
        SystemExit: A record cannot be read, with one sentence that names the file.
    """
    from assay import figure

    arguments = _parse(question, argv)
    try:
        records = runs.read(arguments.records, own=arguments.answer.parent.parent / "records")
        refuse_mixed_data(arguments.records, records)
    except record.RecordError as error:
        raise SystemExit(str(error)) from error
    pooled = occasion.pooled(records, arguments.between)
    found = answer(pooled)
    complete = Answer(
        question=question,
        title=arguments.about["title"],
        exercise=arguments.about["exercise"],
        sentence=found.sentence,
        findings=found.findings,
        numbers=found.numbers,
        method=found.method,
        caveats=found.caveats,
        missing=missing(pooled),
        notices=[*notices(records), *runs.on_several_machines(records)],
        picture=found.picture,
        table=found.table,
        snippet=found.snippet,
        circumstances=circumstances(arguments.records, records),
        records=[path.as_posix() for path in arguments.records],
    )
    record.write_atomically(arguments.table, found.frame.to_csv(index=False))
    figure.save(found.figure, arguments.figure, found.picture.alternative)
    record.write_atomically(arguments.answer, complete.model_dump_json(indent=1) + "\n")


def _parse(question: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Answer the question {question!r} from records.")
    parser.add_argument("--about", type=json.loads, required=True, help="JSON: title, exercise")
    parser.add_argument("--table", type=Path, required=True, help="CSV to write")
    parser.add_argument("--figure", type=Path, required=True, help="SVG to write (and a PNG)")
    parser.add_argument("--answer", type=Path, required=True, help="JSON to write")
    parser.add_argument(
        "--grid", type=json.loads, help="JSON: where the records lie, as the workflow says it"
    )
    parser.add_argument(
        "--between",
        type=json.loads,
        help="JSON: each study's spread between occasions (config.yaml)",
    )
    parser.add_argument(
        "--retried",
        type=Path,
        nargs="*",
        default=[],
        help="JSON files with paths of more records: cells measured once more",
    )
    parser.add_argument("records", type=Path, nargs="*", help="the question's records")
    arguments = parser.parse_args(argv)
    if arguments.between is None:
        arguments.between = occasion.known()
    if arguments.grid:
        arguments.records += grid.paths(arguments.grid)
    arguments.records += [Path(each) for file in arguments.retried for each in grid.listed(file)]
    if not arguments.records:
        parser.error("no records: name them, or give --grid")
    return arguments


def refuse_mixed_data(paths: Sequence[Path], records: Sequence[Record]) -> None:
    """Records of one question must have learned from the same data.

    Raises:
        record.RecordError: They did not; the message names a record of each data set.
    """
    seen: dict[str, str] = {}
    for path, each in zip(paths, records, strict=True):
        if each.provenance.dataset:
            seen.setdefault(each.provenance.dataset.digest, path.as_posix())
    if len(seen) > 1:
        named = " and ".join(f"{path} ({digest[:12]}…)" for digest, path in seen.items())
        raise record.RecordError(
            f"Records come from different data sets: {named}. Delete those of one and run again."
        )


def notices(records: Iterable[Record]) -> list[str]:
    """What a reader must know first: that the data are not those that were asked for."""
    found = []
    for each in records:
        data = each.provenance.dataset
        if data and data.reason:
            found.append(
                f"These figures come from {data.name}, not from {data.asked}, which was asked for "
                f"and could not be had ({data.reason})."
            )
    return list(dict.fromkeys(found))


def measured(records: Iterable[Record]) -> list[Record]:
    """The records with those trials alone that went well."""
    return [
        each.model_copy(update={"trials": [t for t in each.trials if t.status == Status.OK]})
        for each in records
    ]


def missing(records: Iterable[Record]) -> list[Missing]:
    """Everything in the records that is not ok, each reason once per place."""
    found: list[Missing] = []
    for each in records:
        axes = _name(each.axes)
        if each.status != Status.OK and not each.trials:
            found.append(Missing(what=axes, status=each.status, reason=each.reason or ""))
        for trial in each.trials:
            if trial.status != Status.OK:
                what = f"{axes}, {_name(trial.what)}"
                found.append(Missing(what=what, status=trial.status, reason=trial.reason or ""))
    return found


def circumstances(paths: Sequence[Path], records: Sequence[Record]) -> Circumstances:
    """Under which circumstances the records, read from these paths, were measured."""
    named = [(path.as_posix(), each) for path, each in zip(paths, records, strict=True)]
    measured = {
        (occasion.cell(each), _name(trial.what))
        for each in records
        for trial in each.trials
        if trial.status == Status.OK
    }
    provenances = [each.provenance for each in records]
    moments = sorted(each.started for each in provenances)
    shares = [each.conditions.contention.get("delay_share") for each in records]
    results: list[Any] = [trial.result for each in records for trial in each.trials]
    return Circumstances(
        first=moments[0],
        last=moments[-1],
        commits=sorted({_commit(each) for each in provenances}),
        torch=sorted({each.versions.get("torch", "unknown") for each in provenances}),
        threads=sorted({each.conditions.threads_used for each in records}),
        machines=sorted({each.machine_id for each in provenances}),
        delay_share=max((share for share in shares if share is not None), default=None),
        rounds=sum(result.get("rounds", 0) for result in results),
        rounds_void=sum(result.get("rounds_void", 0) for result in results),
        measurements={path: max(1, len(each.trials)) for path, each in named},
        disturbed=[found for path, each in named for found in _disturbed(path, each, measured)],
    )


def _disturbed(
    path: str, each: Record, measured: AbstractSet[tuple[tuple[str, str], str]]
) -> list[Disturbed]:
    """The measurements of a record beside which something else used the machine.

    What another occasion measured is not lost.
    """
    if each.status == Status.CONTENDED and not each.trials:
        return [Disturbed(record=path, what=_name(each.axes), lost=True, neighbours={})]
    found = []
    for trial in each.trials:
        result: Any = trial.result
        what = _name(trial.what)
        spoilt = trial.status == Status.CONTENDED or bool(result.get("disturbed"))
        lost = spoilt and (occasion.cell(each), what) not in measured
        if lost or result.get("beside_neighbour"):
            cores = {seen["name"]: seen["cores"] for seen in result.get("neighbours") or []}
            found.append(Disturbed(record=path, what=what, lost=lost, neighbours=cores))
    return found


def _commit(provenance: record.Provenance) -> str:
    if provenance.commit is None:
        return "no git checkout"
    return provenance.commit[:8] + (", with local changes" if provenance.dirty else "")


def _name(values: Mapping[str, JsonValue]) -> str:
    return ", ".join(
        str(value) if isinstance(value, str) else f"{key} {value}" for key, value in values.items()
    )


def read(path: Path) -> Answer:
    """Read an answer that :func:`run` wrote.

    Raises:
        record.RecordError: The file is missing or is not an answer; the message names it.
    """
    try:
        return Answer.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise record.RecordError(f"{path}: cannot be read ({error.strerror}).") from error
    except ValueError as error:  # not UTF-8, not JSON, or of another shape
        first = " ".join(str(error).split())[:200]
        raise record.RecordError(
            f"{path}: not a whole answer ({first}). Delete it and run again."
        ) from error
