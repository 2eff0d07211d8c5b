"""What an answer is, as it lies in ``results/answers``: what the page and programs read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, JsonValue

from assay import record
from assay.answer import say
from assay.answer.verdict import Word
from assay.record import Status


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class State(StrEnum):
    """How far a question is answered on this machine."""

    ANSWERED = "answered"
    PART = "in part"
    UNKNOWN = "cannot tell"
    NONE = "not measured"


class Cell(_Model):
    """A cell of a table that is more than its text."""

    text: str
    value: float | None = None  # what a column of such cells is sorted by
    sign: str = ""  # ✓, ! or ✗, where the cell is an outcome
    reason: str = ""  # what is shown on hover: the whole reason of a short word


Content = str | float | int | Cell | None  # of a cell


class Column(_Model):
    """A column of a table."""

    name: str
    unit: str | None = None


class Table(_Model):
    """Rows that the page shows; the tidy table has one row per trial."""

    columns: list[Column]
    rows: list[list[Content]]

    @property
    def spoken(self) -> str:
        """Its rows in words, for those who cannot see it."""
        return "; ".join(", ".join(map(written, row)) for row in self.rows)


def outcome(said: str, reason: str = "") -> Cell:
    """An outcome, ``✓ moved``: its sign, its words, and what is said on hover."""
    sign, _, text = said.partition(" ") if said[0] in "✓!✗" else ("", "", said)
    return Cell(text=text, sign=sign, reason=reason)


def written(cell: Content) -> str:
    """A cell as plain text."""
    if isinstance(cell, Cell):
        return f"{cell.sign} {cell.text}".strip()
    if isinstance(cell, float):
        return say.number(cell)
    return say.DASH if cell is None else str(cell)


class View(_Model):
    """What a card shows of one device, number format or machine."""

    name: str = ""  # its name on the switch; empty where there is one view
    title: str
    alternative: str  # what it shows, for those who cannot see it
    svg: str | None = None
    table: Table | None = None  # in the place of a figure; with neither, the alternative is shown


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

    record: str  # path of its record
    what: str  # what was measured in it
    lost: bool  # whether no number could be given
    neighbours: dict[str, float]  # who took how many cores; empty where unknown


class Circumstances(_Model):
    """When, where and how an answer's records of the run at hand were measured."""

    first: str  # when the first job started: ISO 8601, UTC
    last: str  # when the last job started
    commits: list[str]  # short commits, and whether there were local changes
    torch: list[str]  # versions of torch
    threads: list[int]  # numbers of CPU threads used
    machines: list[str]  # machine ids
    delay_share: float | None  # most that a job waited for a core, of its CPU time
    yardsticks: dict[str, tuple[float, float]] = {}  # least and most seconds, on one machine
    occasions: int = 1  # on how many occasions a cell was measured, at most
    rounds: int  # rounds of all paired trials
    rounds_void: int  # rounds among them that contention or a clock spoilt
    measurements: dict[str, int]  # by path of a record, which questions may share
    disturbed: list[Disturbed]  # those that other programs disturbed


class Answer(_Model):
    """What a question comes to."""

    question: str
    title: str
    group: str = ""  # under which heading the page lists it
    exercise: str
    short: str  # the answer in a few words, for the list of all
    state: State
    sentence: str  # the answer in a sentence, with one number
    more: str = ""  # what that has no room for, such as other devices
    so: str = ""  # what to do on this machine; empty unless the verdict says so
    numbers: dict[str, JsonValue]  # the numbers, for programs
    why: list[str]  # what supports it and stands in no row of the table
    method: list[str]  # how it was measured, beyond what all share
    caveats: list[str]  # what limits it, beyond what all share
    missing: list[Missing]  # what could not be measured, and why
    notices: list[str]  # what the report must say before anything else
    switch: str = ""  # what the views differ by: format, device, machine
    views: list[View]  # what the card shows, one at a time
    folded: list[View]  # what supports it, shown on request
    table: Table  # all numbers, shown on request
    snippet: Snippet | None = None
    circumstances: Circumstances
    records: list[str]  # paths of the records it was drawn from


@dataclass(frozen=True)
class Main:
    """Something that the headline rests on."""

    name: str  # as the headline calls it
    word: Word | None = None  # its verdict; None where it needs none
    lost: str = ""  # why there is nothing: disturbed, not measured; empty where there is

    @property
    def told(self) -> bool:
        """Whether it says something."""
        return not self.lost and self.word != Word.UNKNOWN


def headed(heads: Iterable[str], rows: Iterable[list[Content]]) -> Table:
    """A table of rows under these heads."""
    return Table(columns=[Column(name=head) for head in heads], rows=[*rows])


def tabled(rows: Sequence[Mapping[str, Any]], units: Mapping[str, str] | None = None) -> Table:
    """A table of rows whose keys name the columns, with their units; what a row lacks is empty.

    Columns that hold nothing are left out, and so is one device that is the same everywhere.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    kept = [
        name
        for name in names
        if any(row.get(name) is not None for row in rows)
        and (name != "device" or len({row.get(name) for row in rows}) > 1)
    ]
    return Table(
        columns=[Column(name=name, unit=(units or {}).get(name)) for name in kept],
        rows=[[row.get(name) for name in kept] for row in rows],
    )


def state(cells: Sequence[Main]) -> State:
    """How far a question is answered, from all that its headline rests on."""
    told = sum(each.told for each in cells)
    if cells and told == len(cells):
        return State.ANSWERED
    if told:
        return State.PART
    unknown = any(each.word == Word.UNKNOWN and not each.lost for each in cells)
    return State.UNKNOWN if unknown else State.NONE


def lost(status: Status) -> str:
    """Why something was not measured, in a word or two."""
    return {
        Status.OK: "not measured",
        Status.CONTENDED: "disturbed",
        Status.UNAVAILABLE: "not available",
        Status.OUT_OF_MEMORY: "out of memory",
    }.get(status, status.value.replace("_", " "))


def lost_told(cells: Sequence[Main]) -> str:
    """Lost cells by what became of them, for a headline: ``Disturbed: read, copy`` and a stop."""
    found: dict[str, list[str]] = {}
    for each in cells:
        if each.lost:
            found.setdefault(each.lost, []).append(each.name)
    return " ".join(f"{why.capitalize()}: {', '.join(names)}." for why, names in found.items())


def read(path: Path) -> Answer:
    """Read an answer.

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
