"""The page: every answer in, one self-contained HTML file out."""

from __future__ import annotations

import argparse
import base64
import gzip
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import yaml
from assay import record
from assay.answer import ability, figure, model, other_runs, say, whole_run
from assay.answer.model import (
    Answer,
    Cell,
    Column,
    Disturbed,
    Missing,
    State,
    Table,
    View,
)
from assay.answer.verdict import Word
from assay.probe import items
from assay.probe.items import Item
from assay.record import Record, Status
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic import BaseModel, ConfigDict, ValidationError

REPORT = Path(__file__).resolve().parent.parent / "report"
OWN = ("", "records")  # where the records of this run lie

NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\d)")
SMALLEST, LARGEST = 1e-4, 1e7  # numbers beyond are written as a power of ten
RAISED = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

# A sign beside the word, so that a list or a column of them can be scanned.
STATES = {State.ANSWERED: "●", State.PART: "◐", State.UNKNOWN: "?", State.NONE: "○"}
SIGNS = {Word.FASTER: "▲", Word.BETTER: "▲", Word.SLOWER: "▼", Word.WORSE: "▼", Word.SAME: "=",
         Word.UNKNOWN: "?"}  # fmt: skip
KINDS = {"▲": "good", "✓": "good", "▼": "bad", "✗": "bad", "!": "bad", "?": "unsure"}

# What words of this page mean. Those that mean nothing else are marked where a text first has them.
GLOSSARY = {
    "reference": "What the others are compared with.",
    "control copy": "The reference once more, on other memory, as if it were another.",
    "round": "Everything that is compared, timed once, in random order.",
    "occasion": "A process of its own, far from the others in the run.",
    "interval": "In brackets: it holds the true value in 19 of 20 such measurements.",
    "disturbed": "Other programs took the cores meanwhile, so no number is given.",
    "the same": "The whole interval lies within the margin that is stated.",
    "cannot tell": "The interval holds a difference as well as none.",
    "points": "The difference between two percentages.",
    "seed": "Where random numbers begin; runs of one seed share weights and batches.",
}
TERMS = re.compile(r"\b(control cop(?:y|ies)|disturbed|cannot tell|occasions?|seeds?)\b")

UNIT = re.compile(r"(?<=[\d\]]) (?=[%×])|(?<=\bn) (?==)|(?<=\bn =) (?=\d)")

COUNTED = (
    "Joules in a table are what a counter of the whole processor (RAPL) or GPU (NVML) counted, "
    "whoever else used it, while each arm ran on after the rounds, in turns with the others."
)

# Colours of figures that the page exchanges for its own, which follow light and dark.
THEME = {
    figure.INK: "var(--ink)",
    figure.MUTED: "var(--muted)",
    figure.BAND: "var(--band)",
    figure.BLUE: "var(--blue)",
    figure.GOOD: "var(--good)",
    figure.BAD: "var(--bad)",
    figure.PURPLE: "var(--purple)",
    "#ffffff": "var(--card)",  # hollow marks
}

FONT = "'DejaVu Sans', sans-serif"  # for which the places of its letters were reckoned
DESCRIPTION = ".//{http://purl.org/dc/elements/1.1/}description"
LONG = re.compile(r"\d+\.\d{3,}")  # a coordinate with more digits than a screen can show
REFERRED = re.compile(r"#([^)\"]+)[)\"]")
WRITTEN = frozenset({"text", "tspan", "title"})  # elements whose white space counts

# What matplotlib draws with; anything else in a file (scripts, styles of a whole page) stays out.
DRAWN = frozenset(
    {"svg", "g", "defs", "path", "use", "clipPath", "rect", "circle", "text", "tspan", "title"}
)


class PageError(ValueError):
    """The page cannot be made; one sentence that names the file."""


class Protocol(BaseModel):
    """What the page tells of how trials are run."""

    model_config = ConfigDict(extra="forbid")

    rounds_least: int
    void_delay_share: float


class About(BaseModel):
    """What the page says about the run and no record knows."""

    model_config = ConfigDict(extra="forbid")

    preset: str
    command: str  # of the full default run
    again: str = ""  # command that measures again what a neighbour spoilt; none if nothing can be
    questions: list[str]  # the questions asked, in the order of the page
    rehearsal: dict[str, int] = {}  # seeds of questions that the default run asks with more
    left_out: list[str] = []  # titles of questions that only the default run asks
    protocol: Protocol


@dataclass(frozen=True)
class Gap:
    """Everything that could not be measured for one and the same reason."""

    status: str
    reason: str
    what: list[str]


class Shown(Cell):
    """A cell as the template needs it, with the kind of its colour."""

    kind: str = ""


@dataclass(frozen=True)
class Grid:
    """A table as the template needs it."""

    columns: list[Column]
    numeric: list[bool]  # of each column
    rows: list[list[Shown]]


@dataclass(frozen=True)
class Machine:
    """The machine of this run, and those of other runs beside it."""

    name: str
    facts: list[str]
    virtual: str | None
    beside: list[str]


# ---- reading -------------------------------------------------------------------------------------


def read_answer(path: Path) -> Answer:
    """Read an answer.

    Raises:
        record.RecordError: The file is missing or is not an answer.
        PageError: One of its tables is no rectangle.
    """
    answer = model.read(path)
    views = [view.table for view in [*answer.views, *answer.folded] if view.table]
    for table in [answer.table, *views]:
        width = len(table.columns)
        if any(len(row) != width for row in table.rows):
            raise PageError(f"{path}: a row of a table has not {width} cells, as many as columns.")
    return answer


def _first(error: ValidationError) -> str:
    """The first thing that a model found wrong, without its line breaks."""
    found = error.errors()[0]
    where = ".".join(str(part) for part in found["loc"])
    return " ".join(f"{where}: {found['msg']}".removeprefix(": ").split())


def in_order(answers: Sequence[Answer], asked: Sequence[str]) -> list[Answer]:
    """The answers in the order of the questions.

    Raises:
        PageError: The answers are not those to the questions asked.
    """
    by_question = {answer.question: answer for answer in answers}
    if sorted(asked) != sorted(answer.question for answer in answers):
        given = ", ".join(answer.question for answer in answers)
        raise PageError(f"asked were {', '.join(asked)}, but the answers are to {given}.")
    return [by_question[name] for name in asked]


def read_card(path: Path) -> View:
    """Read the machine card; what it shows stands in its own description.

    Raises:
        PageError: It is missing, or no card.
    """
    try:
        text = path.read_text(encoding="utf-8")
        described = ElementTree.fromstring(text).findtext(DESCRIPTION)
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise PageError(f"{path}: cannot be read ({error}).") from error
    return View(title="What this machine can do", alternative=described or "", svg=text)


def read_table(path: Path) -> bytes:
    """Read the table of all trials of a question.

    Raises:
        PageError: It is missing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PageError(f"{path}: cannot be read ({error.strerror}).") from error


# ---- the machine and the run ---------------------------------------------------------------------


def machine(records: Sequence[Record], others: Iterable[str] = ()) -> Machine:
    """This machine in a few words, and those of other runs in one line for each model.

    Args:
        records: Of the hardware study.
        others: Names of other runs that answers tell of, whether their hardware was probed or not.
    """
    by_run: dict[str | None, list[Record]] = {name: [] for name in others}
    for each in records:
        by_run.setdefault(other_runs.of(each), []).append(each)
    own = by_run.pop(None, [])
    cpus = items.of_cpu(own)
    memory = [items.values(each, Item.MEMORY).get("total_bytes") for each in cpus[:1]]
    virtual = next(filter(None, map(items.virtual_machine, cpus)), None)
    beside = "Beside it: " if own else ""
    alike: dict[str, list[str]] = {}
    for name, seen in by_run.items():
        alike.setdefault(named(seen) if seen else "not probed", []).append(str(name))
    return Machine(
        name=named(own) if own else say.plural(len(by_run), "run") + " beside each other",
        facts=[*(items.size(each) for each in memory if each), *filter(None, [virtual])],
        virtual=virtual,
        beside=[f"{beside}{say.few(names)}: {text}" for text, names in alike.items()],
    )


def named(records: Sequence[Record]) -> str:
    """A machine's processor, cores and GPUs: ``AMD EPYC 7763, 2 cores, no GPU``."""
    parts = [items.short_name(each) for each in items.of_cpu(records)[:1]]
    known = [items.values(each, Item.GPU) for each in items.of_gpus(records)]
    gpus = Counter(each.get("name") or "unnamed GPU" for each in known if each)
    parts += [f"{count} × {name}" if count > 1 else name for name, count in gpus.items()]
    return ", ".join(parts if gpus else [*parts, "no GPU"])


def energy(records: Sequence[Record]) -> str:
    """How the energy of this machine's devices is counted, or why it is not; empty if unknown."""
    known = {
        str(each.axes["device"]): each.conditions.energy
        for each in records
        if each.conditions.energy and other_runs.of(each) is None
    }
    lost = {device: seen["reason"] for device, seen in known.items() if "reason" in seen}
    if not lost or len(lost) < len(known):
        told = [COUNTED] if known else []
        return " ".join([*told, *(f"Not of {d}: {why}." for d, why in lost.items())])
    return f"Not counted on this machine: {say.listed(dict.fromkeys(lost.values()))}."


def by_place(found: Iterable[Disturbed], devices: Sequence[str]) -> dict[str, list[str]]:
    """What was disturbed, under the study that measured it."""
    places: dict[str, list[str]] = {}
    for each in found:
        study = each.record.rpartition("records/")[2].partition("/")[0]
        wider = "" if each.lost else " (wider interval)"
        places.setdefault(study, []).append(without_device(each.what, devices) + wider)
    return places


def machine_card(records: Sequence[Record], about: About, run: whole_run.Run) -> str:
    """The machine and the run in one line, to paste into an issue."""
    own = [each for each in records if other_runs.of(each) is None]
    parts = [
        *(items.four_lines(own) if own else machine(records).beside),
        f"torch {run.torch}",
        f"threads {run.threads}",
        f"commit {run.commit}",
        f"preset {about.preset}",
        run.measured,
        f"machine {whole_run.joined(each[:8] for each in run.machines)}",
    ]
    return " ".join(" · ".join(part.rstrip(". \n") for part in parts).split())


# ---- one question --------------------------------------------------------------------------------


def by_study(
    answers: Iterable[Answer], page: Path, runs: Mapping[str, str]
) -> dict[str, list[tuple[str, str]]]:
    """Every record once, under its study; those of another run under that run's name as well.

    Args:
        answers: That were drawn from the records.
        page: Where the links stand.
        runs: What other runs are called, by their folder as seen from the page.

    Returns:
        Address and text of a link to each.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for path in dict.fromkeys(path for each in answers for path in each.records):
        where = _seen_from(page, path)
        folder, study = _placed(where)
        other = _run(folder, runs)
        name = f"{study} ({other})" if other else study
        text = where.removeprefix(f"{folder}/{study}/")
        # Quoted, so that it is never more than a path.
        found.setdefault(name, []).append((quote(where), text))
    return dict(sorted(found.items()))


def named_runs(paths: Sequence[Path], records: Sequence[Record], page: Path) -> dict[str, str]:
    """What other runs are called in labels, by their folder as seen from the page."""
    pairs = zip(paths, map(other_runs.of, records), strict=True)
    return {_placed(_seen_from(page, path))[0]: run for path, run in pairs if run}


def other_names(answers: Iterable[Answer], page: Path, runs: Mapping[str, str]) -> list[str]:
    """What the other runs are called whose records the answers read; see :func:`by_study`."""
    paths = (path for each in answers for path in each.records)
    names = (_run(_placed(_seen_from(page, path))[0], runs) for path in paths)
    return [*dict.fromkeys(filter(None, names))]


def _run(folder: str, runs: Mapping[str, str]) -> str:
    """What the run is called whose records lie in a folder; empty of this one."""
    return "" if folder in OWN else runs.get(folder) or other_runs.name(Path(folder))


def _seen_from(page: Path, path: Path | str) -> str:
    return Path(os.path.relpath(path, page.parent)).as_posix()


def _placed(where: str) -> tuple[str, str]:
    """The folder of a run's records, and the study, of a record; empty where it lies elsewhere."""
    before, _, _ = where.rpartition("/device-")
    folder, _, study = before.rpartition("/")
    return folder, study


def gaps(missing: Iterable[Missing], devices: Sequence[str]) -> list[Gap]:
    """What could not be measured, by reason; reasons that differ in numbers alone are one."""
    grouped: dict[tuple[Status, str], list[Missing]] = {}
    for each in missing:
        grouped.setdefault((each.status, NUMBER.sub("#", each.reason)), []).append(each)
    return [
        Gap(
            model.lost(status),
            in_one([each.reason for each in same]).removeprefix(f"{model.lost(status)} "),
            [without_device(each.what, devices) for each in same],
        )
        for (status, _), same in grouped.items()
    ]


def without_device(what: str, devices: Sequence[str]) -> str:
    """What was measured, without the name of the device where there is only one."""
    return what.removeprefix(f"{devices[0]}, ") if len(devices) == 1 else what


def in_one(reasons: Sequence[str]) -> str:
    """Reasons that differ in numbers alone as one, with the least and the largest of each."""
    columns = zip(*map(NUMBER.findall, reasons), strict=True)
    ranges = (sorted(set(column), key=float) for column in columns)
    said = (each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in ranges)
    return NUMBER.sub(lambda _: next(said), reasons[0])


# ---- tables --------------------------------------------------------------------------------------


def grid(table: Table) -> Grid:
    """A table with every cell ready to be shown, and sorted."""
    rows = [[*map(shown, row)] for row in table.rows]
    columns = [[row[i] for row in rows] for i in range(len(table.columns))]
    return Grid(table.columns, [*map(_numeric, columns)], rows)


def shown(given: object) -> Shown:
    """A cell: numbers with their digits, verdicts with their sign, one dash for nothing."""
    match given:
        case Cell():
            sign = given.sign or _sign(given.text)
            return Shown(**{**dict(given), "sign": sign}, kind=KINDS.get(sign, ""))
        case int():
            return Shown(text=say.count(given), value=given)
        case float():
            return Shown(text=_number(given), value=given)
        case str():
            sign = _sign(given)
            return Shown(text=given or say.DASH, sign=sign, kind=KINDS.get(sign, ""))
    return Shown(text=say.DASH)


def _number(value: float) -> str:
    if value and not SMALLEST <= abs(value) < LARGEST:
        mantissa, power = f"{value:.{say.PLAIN - 1}e}".split("e")
        mantissa = mantissa.replace("-", "−")
        return f"{mantissa} × 10{str(int(power)).translate(RAISED)}"
    return say.number(value)


def _sign(text: str) -> str:
    """The sign of a verdict: a word alone, or sameness with its margin."""
    same = Word.SAME if text.startswith(f"{Word.SAME.value} within ") else text
    return SIGNS[Word(same)] if same in list(Word) else ""


def _numeric(column: Sequence[Shown]) -> bool:
    """Whether a column holds numbers, and nothing in the place of some."""
    return all(cell.value is not None or cell.text == say.DASH for cell in column) and any(
        cell.value is not None for cell in column
    )


# ---- figures -------------------------------------------------------------------------------------


def inline(view: View, name: str) -> Markup:
    """A figure as part of the page: its own ids, the page's colours, a text alternative.

    It is cleaned: nothing in it runs, and it refers to nothing outside. All its ids begin with its
    name.

    Raises:
        PageError: It is not an SVG.
    """
    try:
        root = ElementTree.fromstring(view.svg or "")
    except ElementTree.ParseError as error:
        raise PageError(f"{name}: its figure is not a whole SVG ({error}).") from error
    box = root.get("viewBox", "").split()
    if _local(root.tag) != "svg" or len(box) != 4:
        raise PageError(f"{name}: its figure is not an SVG with a viewBox.")
    drawing = _cleaned(root, name, {*REFERRED.findall(view.svg or "")})
    for attribute in ("width", "height"):
        drawing.attrib.pop(attribute, None)
    drawing.attrib |= {
        "style": f"--width: {float(box[2]):g}px",
        "stroke-linejoin": "round",
        "font-family": FONT,
        "role": "img",
        "aria-labelledby": f"{name}-title",
        "aria-describedby": f"{name}-text",
    }
    described = ElementTree.Element("desc", {"id": f"{name}-text"})
    described.text = view.alternative
    drawing.insert(0, described)
    return Markup(ElementTree.tostring(drawing, encoding="unicode"))


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _cleaned(element: ElementTree.Element, name: str, used: Set[str]) -> ElementTree.Element:
    """A copy without namespaces and what is no drawing, with as few letters as draw the same.

    Ids begin with the name; those that nothing refers to go.
    """
    attributes = {
        _local(key): _rewritten(_local(key), value, name)
        for key, value in element.attrib.items()
        if _harmless(_local(key), value) and (key != "id" or value in used)
    }
    copy = ElementTree.Element(_local(element.tag), attributes)
    copy.text, copy.tail = element.text, element.tail
    if copy.tag not in WRITTEN:
        copy.text = None
    for child in element:
        if _local(child.tag) in DRAWN and child.attrib.get("style") != "fill: none":
            inner = _cleaned(child, name, used)
            inner.tail = inner.tail if copy.tag in WRITTEN else None
            idle = inner.tag == "g" and not inner.attrib and inner.find("title") is None
            copy.extend(inner if idle else [inner])
    return copy


def _harmless(key: str, value: str) -> bool:
    """Whether an attribute draws, and no more: it runs nothing and refers to nothing outside."""
    key, value = key.lower(), value.lower()  # as a browser reads them
    if key == "href":
        return value.startswith("#")
    if key == "transform" and value.startswith("rotate(-0 "):
        return False  # no turn at all
    return not key.startswith("on") and "url(" not in value.replace("url(#", "")


def _rewritten(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value[1:]}"
    value = value.replace("url(#", f"url(#{name}-")
    value = value.replace(f"font-family: {FONT}; ", "")  # said once for all
    value = LONG.sub(lambda found: f"{float(found[0]):.2f}", value)
    for colour, variable in THEME.items():
        value = value.replace(colour, variable)
    return value


# ---- all of it -----------------------------------------------------------------------------------


def glossed(text: str) -> Markup:
    """A text with what its terms mean, each where it first stands."""
    met: set[str] = set()

    def marked(found: re.Match[str]) -> str:
        term = found[0].removesuffix("s").replace("copie", "copy")
        if term in met:
            return found[0]
        met.add(term)
        return Markup('<abbr title="{}">{}</abbr>').format(GLOSSARY[term], found[0])

    return Markup(TERMS.sub(marked, str(escape(text))))


def bound(text: str) -> str:
    """A text whose numbers keep their unit in the same line."""
    return UNIT.sub("\u00a0", text)


def packed(tables: Mapping[str, bytes]) -> Markup:
    """Tables as text that stands in a page, compressed: they repeat themselves."""
    texts = {
        name: base64.b64encode(gzip.compress(table, mtime=0)).decode()
        for name, table in tables.items()
    }
    return Markup(json.dumps(texts).replace("<", "\\u003c"))


def in_groups(answers: Iterable[Answer]) -> dict[str, list[Answer]]:
    """The answers under their headings, both in their order."""
    found: dict[str, list[Answer]] = {}
    for each in answers:
        found.setdefault(each.group or "Questions", []).append(each)
    return found


def rehearsed(answers: Iterable[Answer], seeds: Mapping[str, int]) -> int | None:
    """With how few seeds undecided questions were asked, of which the default run takes more."""
    undecided = [each.question for each in answers if each.state in (State.PART, State.UNKNOWN)]
    return min((seeds[name] for name in undecided if name in seeds), default=None)


def slug(state: State) -> str:
    """A state as a class and a key."""
    return state.value.replace(" ", "-")


def render(
    about: About,
    records: Sequence[Record],
    answers: Sequence[Answer],
    tables: Mapping[str, bytes],
    page: Path,
    runs: Mapping[str, str],
    card: View | None = None,
) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(REPORT),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "glossed": glossed,
        "bound": bound,
        "slug": slug,
        "grid": grid,
        "inline": inline,
    }
    program = (REPORT / "page.js").read_text(encoding="utf-8")
    seen = [each.circumstances for each in answers]
    run, spoilt = whole_run.summary(seen), whole_run.disturbance(seen)
    devices = sorted({str(each.axes["device"]) for each in records})
    groups = in_groups(answers)
    context: dict[str, Any] = {
        "style": Markup((REPORT / "page.css").read_text(encoding="utf-8")),
        "program": Markup(program),
        "digest": base64.b64encode(hashlib.sha256(program.encode()).digest()).decode(),
        "about": about,
        "machine": machine(records, other_names(answers, page, runs)),
        "run": run,
        "took": run.took if any(other_runs.of(each) is None for each in records) else "",
        "energy": energy(records),
        "machine_card": machine_card(records, about, run),
        "card": card,
        "standing": ability.standing(ability.devices(answers)),
        "disturbance": spoilt,
        "disturbed": by_place(spoilt.found, devices),
        "notices": list(dict.fromkeys(text for each in answers for text in each.notices)),
        "groups": groups,
        "rehearsed": {name: rehearsed(own, about.rehearsal) for name, own in groups.items()},
        "most_views": max(len(each.views) for each in answers),
        "gaps": gaps,
        "devices": devices,
        "states": Counter(each.state for each in answers),
        "signs": STATES,
        "glossary": GLOSSARY,
        "tables": packed(tables),
        "studies": by_study(answers, page, runs),
        "plural": say.plural,
    }
    return environment.get_template("page.html.j2").render(context)


def build(arguments: argparse.Namespace) -> str:
    """Read everything and make the page.

    Raises:
        PageError: Something is missing or broken; one sentence that names the file.
        record.RecordError: The same for a hardware record.
    """
    records = other_runs.read(arguments.hardware, own=arguments.output.parent / "records")
    answers = in_order([read_answer(path) for path in arguments.answers], arguments.about.questions)
    folders = {path.stem: path.parent.parent / "tables" for path in arguments.answers}
    names = [answer.question for answer in answers]
    tables = {name: read_table(folders[name] / f"{name}.csv") for name in names}
    card = read_card(arguments.card) if arguments.card else None
    runs = named_runs(arguments.hardware, records, arguments.output)
    return render(arguments.about, records, answers, tables, arguments.output, runs, card)


def _about(text: str) -> About:
    try:
        return About.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise argparse.ArgumentTypeError(f"not YAML: {error}") from error
    except ValidationError as error:
        raise argparse.ArgumentTypeError(_first(error)) from error


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tell the answers on one page.")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    parser.add_argument(
        "--about", type=_about, required=True, help="YAML: preset, command, questions, protocol"
    )
    parser.add_argument("--hardware", type=Path, nargs="+", required=True, help="hardware records")
    parser.add_argument("--card", type=Path, nargs="?", help="the machine card, as SVG")
    parser.add_argument(
        "answers", type=Path, nargs="+", help="answers/QUESTION.json, beside tables/QUESTION.csv"
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page.

    Raises:
        SystemExit: Something is missing or broken, with one sentence that names the file.
    """
    arguments = _parse(argv)
    try:
        text = build(arguments)
        record.write_atomically(arguments.output, text)
    except (PageError, record.RecordError) as error:
        raise SystemExit(str(error)) from error
    except OSError as error:
        raise SystemExit(f"{arguments.output}: cannot be written ({error.strerror}).") from error


if __name__ == "__main__":
    main()
