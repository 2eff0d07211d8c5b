"""How a question is answered: records in; verdicts, a table, figures and a sentence out."""

from __future__ import annotations

import argparse
import ast
import gc
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import JsonValue

from assay import grid, record
from assay.answer import arms, figure, model, occasion, other_runs, say, trials
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Band, Row
from assay.answer.model import (
    Answer,
    Circumstances,
    Disturbed,
    Main,
    Missing,
    Snippet,
    State,
    Table,
    View,
)
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

SNIPPETS = Path(__file__).resolve().parents[4] / "resources/snippets"
IDLE = 0.75  # share of its threads that compute, under which a job's number of them is not believed
NOTHING = "Nothing could be measured: the reasons are below."


@dataclass(frozen=True)
class Shown:
    """A view of the card, before it is drawn: a figure, a table in its place, or only words."""

    title: str
    alternative: str  # the same for those who cannot see it
    figure: Figure | None = None
    table: Table | None = None
    name: str = ""  # on the switch, where there are several views

    def drawn(self) -> Figure:
        """As a figure, whatever it is."""
        if self.table and self.figure is None:
            return figure.matrix(self.table)
        return self.figure or figure.nothing(self.alternative)

    @cached_property
    def svg(self) -> str:
        """As SVG, which file and page share."""
        return figure.svg(self.drawn(), self.alternative)

    def view(self) -> View:
        """As the page needs it."""
        parts = {"name": self.name, "title": self.title, "alternative": self.alternative}
        return View(**parts, svg=self.svg if self.figure else None, table=self.table)


@dataclass(frozen=True)
class Told:
    """What a question says of one device, or of all of them."""

    short: str  # the answer in at most 12 words
    sentence: str  # the answer in the question's own words, at most 25, with one number
    so: str  # what to do here, in at most 20 words; empty unless the verdict carries it
    cells: Sequence[Main]  # all that the headline rests on: they decide the state


@dataclass(frozen=True)
class Findings(Told):
    """What an answering function returns; :func:`run` adds the rest and writes the files."""

    numbers: dict[str, Any]  # for programs
    method: list[str]  # how it was measured, beyond what all questions share
    views: Sequence[Shown]  # shown one at a time; the first is the figure in the files
    table: Table  # all numbers
    frame: DataFrame  # tidy: one row per trial
    why: Sequence[str] = ()  # what supports it and stands in no row of the table
    caveats: Sequence[str] = ()  # what limits it, beyond what all questions share
    switch: str = "Device"  # what the views differ by
    folded: Sequence[Shown] = ()  # views that support it, shown on request


Answering = Callable[[list[Record]], Findings]


def nothing(title: str, why: str = "Nothing was measured") -> list[Shown]:
    """What an answer shows for which nothing, or too little for a figure, was measured: words."""
    return [Shown(title, f"{title}. {why}.")]


def tabled(
    title: str, heads: Sequence[str], rows: Sequence[list[model.Content]], name: str = ""
) -> Shown:
    """A view that is a table of these rows, such as of outcomes."""
    return of_table(title, model.headed(heads, rows), name)


# In words, of whom, the arms that it speaks of, and the words that bear it out.
Claim = tuple[str, str, Sequence[Arm], Container[Word | None]]
PUBLISHED = "What was published, and whether it holds here"


def published(claims: Iterable[Claim]) -> list[Shown]:
    """What was published, and whether it holds here, as a table; none without a claim."""
    rows: list[list[model.Content]] = [
        [claim, of, arms.bears_out(found, words), "; ".join(f"{a.label}: {a.told}" for a in found)]
        for claim, of, found, words in claims
    ]
    return [tabled(PUBLISHED, ("claim", "of", "here", "measured"), rows)] if rows else []


def of_table(title: str, table: Table, name: str = "") -> Shown:
    """A view that is a table; its rows are its text alternative."""
    return Shown(title, f"{title}: {table.spoken}.", table=table, name=name)


def dotted(
    title: str,
    groups: Mapping[str, Sequence[Row]],
    axis: Axis,
    *,
    name: str = "",
    band: Band | None = None,
    line: float | None = None,
) -> Shown:
    """A view that is rows of dots (:func:`assay.answer.figure.rows`); each is told in words."""
    told = [f"{group} {row.spoken}".strip() for group, rows in groups.items() for row in rows]
    drawn = figure.rows(groups, axis, band=band, line=line)
    return Shown(title, f"{title}. {'; '.join(told)}.", drawn, name=name)


def shared(views: Sequence[Shown]) -> list[Shown]:
    """Views, those that show the same of several devices once, under all their names."""
    same = arms.grouped(views, lambda each: (each.title, each.alternative)).values()
    return [replace(own[0], name=", ".join(e.name for e in own if e.name)) for own in same]


def alike(rows: Mapping[str, Mapping[str, model.Content]]) -> list[dict[str, model.Content]]:
    """A row of each device from its cells by column, equal ones once, under all their names."""
    same = arms.grouped(rows, lambda device: repr(rows[device]))
    return [{"device": ", ".join(own), **rows[own[0]]} for own in same.values()]


def joined(told: Mapping[str, Told]) -> Told:
    """What is said of each device as one; each is named where there are several."""

    def texts(name: str) -> list[str]:
        own = {device: getattr(each, name) for device, each in told.items()}
        return [say.on(device, told) + text for device, text in own.items() if text]

    return Told(
        "; ".join(texts("short")) or "Not measured",
        " ".join(texts("sentence")) or NOTHING,
        " ".join(texts("so")),
        [cell for each in told.values() for cell in each.cells],
    )


def on_each(told: Mapping[str, Iterable[str]]) -> list[str]:
    """Texts of each device, with its name where there are several."""
    return [say.on(device, told) + text for device, texts in told.items() for text in texts]


def run(question: str, answer: Answering, argv: Sequence[str] | None = None) -> None:
    """Read the records, answer, and write table, figure and answer.

    Raises:
        SystemExit: A record cannot be read, with one sentence that names the file.
    """
    arguments = _parse(question, argv)
    if argv is None:  # a program of its own, which ends sooner if what it imported is not collected
        gc.freeze()
    try:
        records = other_runs.read(arguments.records, own=arguments.answer.parent.parent / "records")
        refuse_mixed(arguments.records, records)
    except record.RecordError as error:
        raise SystemExit(str(error)) from error
    pooled = occasion.pooled(records, arguments.between)
    found = answer(pooled)
    views = shared(found.views)
    state = model.state(found.cells)
    devices = trials.devices(pooled)
    names = other_runs.called(devices)
    sentence, more = say.headline(say.once(found.sentence, devices), devices)
    kept = ("numbers", "caveats", "switch", "table")
    complete = Answer(
        question=question,
        **arguments.about,  # title, group, exercise
        **{name: getattr(found, name) for name in kept},
        short=say.brief(other_runs.renamed(found.short, names), [*names.values()]),
        state=state,
        sentence=sentence,
        more=more,
        so=say.once(found.so, devices) if state in (State.ANSWERED, State.PART) else "",
        why=say.together(found.why, devices),
        method=[*found.method, *idle(found.table, pooled)],
        missing=missing(pooled),
        notices=[*notices(records), *other_runs.on_several_machines(records)],
        views=[each.view() for each in views],
        folded=[each.view() for each in shared(found.folded)],
        snippet=snippet(question),
        circumstances=circumstances(*other_runs.at_hand(arguments.records, records)),
        records=[path.as_posix() for path in arguments.records],
    )
    figure.save(views[0].drawn(), arguments.figure, views[0].svg)
    record.write_atomically(arguments.table, found.frame.to_csv(index=False))
    record.write_atomically(arguments.answer, complete.model_dump_json(indent=1) + "\n")


def snippet(question: str) -> Snippet | None:
    """The lines to run at home, ``resources/snippets/<question>.py``: a docstring and code."""
    path = SNIPPETS / f"{question}.py"
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    code = "\n".join(text.splitlines()[tree.body[0].end_lineno :])
    return Snippet(text=ast.get_docstring(tree) or "", code=code.strip() + "\n")


def _parse(question: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"Answer the question {question!r} from records.")
    add = parser.add_argument
    add("--about", type=yaml.safe_load, required=True, help="YAML: title, exercise")
    add("--table", type=Path, required=True, help="CSV to write")
    add("--figure", type=Path, required=True, help="SVG to write (and a PNG)")
    add("--answer", type=Path, required=True, help="JSON to write")
    add("--grid", type=yaml.safe_load, help="YAML: where the records lie, as the workflow says it")
    add("--between", type=yaml.safe_load, help="YAML: each study's spread between occasions")
    retried = "JSON files with paths of more records: cells measured once more"
    add("--retried", type=Path, nargs="*", default=[], help=retried)
    add("records", type=Path, nargs="*", help="the question's records")
    arguments = parser.parse_args(argv)
    if arguments.between is None:
        arguments.between = occasion.known()
    if arguments.grid:
        arguments.records += grid.paths(arguments.grid)
    arguments.records += [Path(each) for file in arguments.retried for each in grid.listed(file)]
    if not arguments.records:
        parser.error("no records: name them, or give --grid")
    return arguments


def refuse_mixed(paths: Sequence[Path], records: Sequence[Record]) -> None:
    """Records of one question learned from the same data, and times of a label are of one GPU.

    Of one to a machine: a label of a cluster has many, and the answer says so. What is learned is
    the same on each of them.

    Raises:
        record.RecordError: They did not; the message names a record of each.
    """
    seen: dict[tuple[str, str], dict[JsonValue, str]] = {}
    for path, each in zip(paths, records, strict=True):
        if data := each.provenance.dataset:
            what = "Records come from different data sets"
            seen.setdefault((what, ""), {}).setdefault(data.digest, path.as_posix())
        found = (each.conditions.gpu or {}).get("gpu_id")
        if found and any("clock" in trial.result for trial in each.trials):
            what = f"Records of {each.axes['device']} come from different GPUs, or drivers"
            where = what, each.provenance.machine_id
            seen.setdefault(where, {}).setdefault(found, path.as_posix())
    for (what, _), places in seen.items():
        if len(places) > 1:
            named = " and ".join(places.values())
            raise record.RecordError(f"{what}: {named}. Delete those of one and run again.")


def notices(records: Sequence[Record]) -> list[str]:
    """What a reader must know first: that the data are not those that were asked for."""
    found = []
    for each in records:
        data = each.provenance.dataset
        if data and data.reason:
            found.append(
                f"These figures come from {data.name}, not from {data.asked}, which was asked for "
                f"and could not be had ({data.reason})."
            )
        found += [*_conditions(each.conditions)]
    return list(dict.fromkeys([*found, *idle_threads(records)]))


def _conditions(seen: record.Conditions) -> Iterator[str]:
    """What of a job's conditions is not as it should be."""
    name = str((seen.gpu or {}).get("name"))
    if name.startswith(record.SIMULATED):
        yield f"{name} is no GPU: these figures test the program, and tell nothing of any hardware."
    if seen.environment:
        named = [f"{name}={value}" for name, value in seen.environment.items()]
        yield f"Measured with {say.listed(named)} in the shell, which can change numbers."
    if seen.threads_asked and seen.threads_used < seen.threads_asked:
        threads = say.plural(seen.threads_asked, "thread")
        yield f"Some jobs were given {threads} and could use {seen.threads_used}."


def idle_threads(records: Iterable[Record]) -> Iterator[str]:
    """Of which jobs' threads not all compute, as where they are bound to one core.

    By the middle reading of a machine's jobs: a burst of something else moves a single one.
    """
    seen: dict[tuple[str, int], list[float]] = {}
    for each in records:
        if (at_work := each.conditions.threads_at_work) is not None:
            where = each.provenance.machine_id, each.conditions.threads_used
            seen.setdefault(where, []).append(at_work)
    for (_, used), readings in seen.items():
        if (usual := median(readings)) < IDLE * used:
            yield f"Jobs had {used} threads, and by CPU time {usual:.1f} of them computed."


def idle(table: Table, records: Iterable[Record]) -> list[str]:
    """What devices draw while nothing runs, where a table has a column of energies."""
    watts: dict[str, list[float]] = {}
    for each in records:
        seen: list[Any] = [trial.result.get("idle_w") for trial in each.trials]
        if drawn := [value for value in seen if value]:
            watts.setdefault(str(each.axes["device"]), []).extend(drawn)
    if not watts or not any(c.name.startswith(arms.ENERGY.name) for c in table.columns):
        return []
    told = say.listed(f"{say.on(d, watts)}{say.number(median(w), 2)} W" for d, w in watts.items())
    return [f"Energy is of one call and contains what is drawn at idle ({told})."]


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
        ended: list[tuple[str, Record | Trial]] = [(axes, each)] if not each.trials else []
        ended += [(f"{axes}, {_name(trial.what)}", trial) for trial in each.trials]
        found += [
            Missing(what=what, status=one.status, reason=one.reason or "")
            for what, one in ended
            if one.status != Status.OK
        ]
    return found


def circumstances(paths: Sequence[Path], records: Sequence[Record]) -> Circumstances:
    """Under which circumstances the records, read from these paths, were measured."""
    named = [(path.as_posix(), each) for path, each in zip(paths, records, strict=True)]
    every = [(each, trial) for each in records for trial in each.trials]
    measured = {
        (occasion.cell(each), _name(trial.what))
        for each, trial in every
        if trial.status == Status.OK
    }
    # Where a job's processes wait for each other, its waits tell nothing of others.
    shares = [
        each.conditions.contention.get("delay_share")
        for each in records
        if all(trial.result.get("contention_known", True) for trial in each.trials)
    ]
    results: list[Any] = [trial.result for _, trial in every]
    provenances = [each.provenance for each in records]
    moments = [each.started for each in provenances]
    return Circumstances(
        first=min(moments),
        last=max(moments),
        commits=sorted({_commit(each) for each in provenances}),
        torch=sorted({each.versions.get("torch", "unknown") for each in provenances}),
        threads=sorted({each.conditions.threads_used for each in records}),
        machines=sorted({each.machine_id for each in provenances}),
        delay_share=max((share for share in shares if share is not None), default=None),
        yardsticks=yardsticks(records),
        occasions=max([*Counter(map(occasion.cell, records)).values(), 1]),
        rounds=sum(result.get("rounds", 0) for result in results),
        rounds_void=sum(result.get("rounds_void", 0) for result in results),
        measurements={path: max(1, len(each.trials)) for path, each in named},
        disturbed=[found for path, each in named for found in _disturbed(path, each, measured)],
    )


def yardsticks(records: Iterable[Record]) -> dict[str, tuple[float, float]]:
    """Least and most seconds of each yardstick; nothing where machines differ."""
    machines = {each.provenance.machine_id for each in records}
    seen = [each.conditions.yardstick for each in records] if len(machines) == 1 else []
    names = {name for each in seen for name in each}
    every = {name: [each[name] for each in seen if name in each] for name in sorted(names)}
    return {name: (min(seconds), max(seconds)) for name, seconds in every.items()}


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
        value if isinstance(value, str) else f"{key} {value}"
        for key, value in values.items()
        if value is not None
    )
