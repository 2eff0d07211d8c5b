"""The page: every answer in, one self-contained HTML file out."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from assay import hardware, record
from assay.answer import question, runs
from assay.answer.figure import BAND, BLUE, INK, MUTED
from assay.answer.question import Answer, Circumstances, Column, Disturbed, Missing, Picture, Table
from assay.record import Record, Status
from assay.answer.verdict import Word
from great_tables import GT, html
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from pandas import DataFrame
from pydantic import BaseModel, ConfigDict, Field, ValidationError

REPORT = Path(__file__).resolve().parent.parent / "report"

# Numbers outside this range are written as a power of ten.
SMALLEST, LARGEST = 1e-4, 1e7
PLAIN_DIGITS = 4  # of a number in a column that asks for none

NAMED = 3  # neighbours that a notice names, at most
AGAIN = "snakemake … --forcerun $(python workflow/again.py --list)"
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.]*\d)")

# A sign beside the word, so that a column of verdicts can be scanned.
SIGNS = {
    Word.FASTER: "▲",
    Word.BETTER: "▲",
    Word.SLOWER: "▼",
    Word.WORSE: "▼",
    Word.SAME: "=",
    Word.UNKNOWN: "?",
}

# Colours of figures that the page exchanges for its own: the neutral ones, and the one that a dark
# ground would swallow.
THEME = {INK: "var(--ink)", MUTED: "var(--muted)", BAND: "var(--band)", BLUE: "var(--blue)"}

# What matplotlib draws with; anything else in a file (scripts, styles of a whole page) stays out.
DRAWN = frozenset(
    {"svg", "g", "defs", "path", "use", "clipPath", "rect", "circle", "text", "image"}
)


class PageError(ValueError):
    """The page cannot be made; one sentence that names the file."""


class About(BaseModel):
    """What the page says about the run and no record knows."""

    model_config = ConfigDict(extra="forbid")

    preset: str
    command: str = Field(description="Command of the full default run")
    again: str = Field("", description="Command that measures again what a neighbour spoilt")
    questions: list[str] = Field(description="The questions asked, in the order of the page")


@dataclass(frozen=True)
class Link:
    """A file beside the page."""

    text: str
    address: str


@dataclass(frozen=True)
class Gap:
    """Everything that could not be measured for one and the same reason."""

    status: str
    reason: str
    what: list[str]


@dataclass(frozen=True)
class Section:
    """One question as the template needs it."""

    answer: Answer
    figure: Markup
    table: Markup
    gaps: list[Gap]
    files: list[Link]
    records: list[Link]


def read_answer(path: Path) -> Answer:
    """Read an answer.

    Raises:
        record.RecordError: The file is missing or is not an answer.
        PageError: Its table is no rectangle.
    """
    answer = question.read(path)
    width = len(answer.table.columns)
    if any(len(row) != width for row in answer.table.rows):
        raise PageError(f"{path}: a row of its table has not {width} cells, as many as columns.")
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


# ---- the first screen ----------------------------------------------------------------------------


def facts(preset: str, seen: Sequence[Circumstances]) -> dict[str, str]:
    """How this run was made, as name and value.

    Args:
        preset: Name of the preset.
        seen: The circumstances of every answer.
    """
    return {
        "Preset": preset,
        "Measured": measured(seen),
        "Commit": _joined(commit for each in seen for commit in each.commits),
        "torch": _joined(version for each in seen for version in each.torch),
        "Threads used": _joined(str(count) for each in seen for count in each.threads),
        "Other programs": others(seen),
    }


def _joined(values: Iterable[str]) -> str:
    """Each different value once, in order."""
    return " and ".join(dict.fromkeys(values))


def measured(seen: Sequence[Circumstances]) -> str:
    """When the measuring started; from the first day to the last if it took more than one."""
    first = day(min(each.first for each in seen))
    last = day(max(each.last for each in seen))
    return first if first == last else f"{first} to {last}"


def day(moment: str) -> str:
    """A moment in ISO 8601 as a day; as it stands if it is not one."""
    try:
        when = datetime.fromisoformat(moment).astimezone(UTC)
    except ValueError:
        return moment
    return f"{when.day} {when:%B %Y}"


def others(seen: Sequence[Circumstances]) -> str:
    """Whether something else used the machine, as far as the system tells."""
    known = [each.delay_share for each in seen if each.delay_share is not None]
    rounds, void = sum(each.rounds for each in seen), sum(each.rounds_void for each in seen)
    if lost := sum(each.lost for each in disturbed(seen)):
        return f"seen: {hardware.plural(lost, 'measurement')} given up because of them"
    if not known:
        return "unknown: this system does not show how long a thread waits for a core"
    return (
        f"no measurement given up; {void} of {rounds} rounds void; threads waited up to "
        f"{100 * max(known):.1f} % of the time for a core"
    )


def disturbed(seen: Sequence[Circumstances]) -> list[Disturbed]:
    """What other programs disturbed, each once though several questions may read its record."""
    found = {
        (each.record, each.what): each for circumstances in seen for each in circumstances.disturbed
    }
    return list(found.values())


def disturbance(seen: Sequence[Circumstances]) -> list[str]:
    """One line on what other programs cost this run, who they were, and what to do; or none."""
    found = disturbed(seen)
    if not found:
        return []
    total = sum({p: n for each in seen for p, n in each.measurements.items()}.values())
    lost, beside = ([e for e in found if e.lost == outcome] for outcome in (True, False))
    parts = []
    if lost:
        parts.append(
            f"{len(lost)} of {hardware.plural(total, 'measurement')} lost to other programs"
        )
    if beside:
        of = "more" if lost else f"of {hardware.plural(total, 'measurement')}"
        parts.append(f"{len(beside)} {of} made beside them, with wider intervals")
    who = neighbours(lost or beside)
    said = f"{' and '.join(parts)}{f' ({who})' if who else ''}"
    return [f"{said}: close them and run `make again`, or `{AGAIN}`." if lost else f"{said}."]


def neighbours(found: Sequence[Disturbed]) -> str:
    """Who took most of the cores: ``firefox took 0.6 of a core``; nothing where none is known."""
    cores: dict[str, float] = {}
    for each in found:
        for name, share in each.neighbours.items():
            cores[name] = max(share, cores.get(name, 0.0))
    most = sorted(cores, key=cores.__getitem__, reverse=True)[:NAMED]
    return ", ".join(f"{name} took {_cores(cores[name])}" for name in most)


def _cores(share: float) -> str:
    return f"{share:.1f} cores" if share > 1 else f"{share:.2g} of a core"


def machine_card(lines: Sequence[str], known: dict[str, str], machines: Iterable[str]) -> str:
    """The machine and the run in one line, to paste into an issue."""
    parts = [
        *lines,
        f"torch {known['torch']}",
        f"threads {known['Threads used']}",
        f"commit {known['Commit']}",
        f"preset {known['Preset']}",
        known["Measured"],
        f"machine {_joined(machine[:8] for machine in machines)}",
    ]
    return " ".join(" · ".join(part.rstrip(". \n") for part in parts).split())


# ---- one question --------------------------------------------------------------------------------


def section(answer: Answer, figure: Path, page: Path) -> Section:
    """Everything that the page shows of one question."""
    table = figure.parent.parent / "tables" / f"{answer.question}.csv"
    return Section(
        answer=answer,
        figure=inline(figure, answer.question, answer.picture),
        table=html_table(answer.table, answer.question, f"In numbers: {answer.title}"),
        gaps=gaps(answer.missing),
        files=[
            Link("table of all trials (CSV)", address(table, page)),
            Link("figure (PNG)", address(figure.with_suffix(".png"), page)),
            Link("figure (SVG)", address(figure, page)),
        ],
        records=[
            Link(relative(Path(path), page), address(Path(path), page)) for path in answer.records
        ],
    )


def relative(file: Path, page: Path) -> str:
    """Where a file lies as seen from the page."""
    return Path(os.path.relpath(file, page.parent)).as_posix()


def address(file: Path, page: Path) -> str:
    """The same for a link; quoted, so that it is never more than a path."""
    return quote(relative(file, page))


def gaps(missing: Iterable[Missing]) -> list[Gap]:
    """What could not be measured, by reason; reasons that differ in numbers alone are one."""
    grouped: dict[tuple[Status, str], list[Missing]] = {}
    for each in missing:
        grouped.setdefault((each.status, NUMBER.sub("#", each.reason)), []).append(each)
    return [
        Gap(
            status.value.replace("_", " "),
            in_one([each.reason for each in same]),
            [each.what for each in same],
        )
        for (status, _), same in grouped.items()
    ]


def in_one(reasons: Sequence[str]) -> str:
    """Reasons that differ in numbers alone as one, with the least and the largest of each."""
    columns = zip(*map(NUMBER.findall, reasons), strict=True)
    ranges = (sorted(set(column), key=float) for column in columns)
    said = (each[0] if len(each) == 1 else f"{each[0]} to {each[-1]}" for each in ranges)
    return NUMBER.sub(lambda _: next(said), reasons[0])


def html_table(table: Table, name: str, caption: str) -> Markup:
    """The table without great-tables' own styles, which know no dark mode."""
    keys = [f"column-{number}" for number in range(len(table.columns))]
    if not keys or not table.rows:
        return Markup("")
    made = GT(
        DataFrame(table.rows, columns=keys, dtype=object),
        id=f"{name}-table",
        rowname_col=keys[0],
    ).tab_stubhead(html(_header(table.columns[0])))
    for index, (key, column) in enumerate(zip(keys, table.columns, strict=True)):
        values = [row[index] for row in table.rows]
        made = _formatted(made, key, column.digits, values)
        if index > 0:
            made = made.cols_label({key: html(_header(column))})
            texts = any(isinstance(value, str) for value in values)
            made = made.cols_align("left" if texts else "right", [key])
    text = made.sub_missing(missing_text="—").as_raw_html()
    opening, inside = text[text.index("<table") : text.rindex("</table>")].split(">", 1)
    heading = Markup('><caption id="{}-caption">{}</caption>').format(name, caption)
    return Markup(opening) + heading + Markup(inside) + Markup("</table>")


def _header(column: Column) -> str:
    if column.unit is None:
        return str(Markup("{}").format(column.name))
    return str(Markup('{} <span class="unit">{}</span>').format(column.name, column.unit))


def _formatted(made: GT, key: str, digits: int | None, values: Sequence[Any]) -> GT:
    """Numbers with the column's digits, extreme ones as powers of ten, verdicts with their sign."""
    plain: list[int] = []
    extreme: list[int] = []
    verdicts: list[int] = []
    for row, value in enumerate(values):
        match value:
            case str() if _word(value):
                verdicts.append(row)
            case int() if digits is None:
                pass  # a size or a count: as it stands
            case int() | float():
                (extreme if _extreme(value) else plain).append(row)
    shown = digits or PLAIN_DIGITS
    if plain and digits is None:
        made = made.fmt(_general, key, rows=plain)
    elif plain:
        made = made.fmt_number(key, rows=plain, n_sigfig=digits)
    if extreme:
        made = made.fmt_scientific(key, rows=extreme, n_sigfig=shown)
    if verdicts:
        made = made.fmt(_verdict, key, rows=verdicts)
    return made


def _extreme(value: float) -> bool:
    return value != 0 and not SMALLEST <= abs(value) < LARGEST


def _general(value: float) -> str:
    return f"{value:.{PLAIN_DIGITS}g}".replace("-", "−")


def _word(text: str) -> Word | None:
    """The verdict that a cell holds: a word alone, or sameness with its margin."""
    same = Word.SAME if text.startswith(f"{Word.SAME.value} within ") else text
    return Word(same) if same in list(Word) else None


def _verdict(text: str) -> str:
    word = _word(text)
    assert word
    markup = Markup('<span class="verdict {}"><span aria-hidden="true">{}</span> {}</span>')
    return str(markup.format(word.value.replace(" ", "-"), SIGNS[word], text))


# ---- figures -------------------------------------------------------------------------------------


def inline(path: Path, name: str, picture: Picture) -> Markup:
    """A figure as part of the page: its own ids, the page's colours, a text alternative.

    Raises:
        PageError: The file is missing or is not an SVG.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise PageError(f"{path}: cannot be read ({error.strerror}).") from error
    except ElementTree.ParseError as error:
        raise PageError(
            f"{path}: not a whole SVG file ({error}). Delete it and run again."
        ) from error
    box = root.get("viewBox", "").split()
    if _local(root.tag) != "svg" or len(box) != 4:
        raise PageError(f"{path}: not an SVG file with a viewBox.")
    drawing = _cleaned(root, name)
    for attribute in ("width", "height"):
        drawing.attrib.pop(attribute, None)
    drawing.attrib |= {
        "style": f"--width: {float(box[2]):g}px",
        "role": "img",
        "aria-labelledby": f"{name}-figure-title",
        "aria-describedby": f"{name}-figure-text",
    }
    for tag, key, text in (
        ("desc", "text", picture.alternative),
        ("title", "title", picture.title),
    ):
        child = ElementTree.Element(tag, {"id": f"{name}-figure-{key}"})
        child.text = text
        drawing.insert(0, child)
    text = ElementTree.tostring(drawing, encoding="unicode")
    return Markup(text)


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _cleaned(element: ElementTree.Element, name: str) -> ElementTree.Element:
    """A copy without namespaces, without what is no drawing, its ids prefixed with the name."""
    attributes = {
        _local(key): _rewritten(_local(key), value, name)
        for key, value in element.attrib.items()
        if _harmless(_local(key), value)
    }
    copy = ElementTree.Element(_local(element.tag), attributes)
    copy.text, copy.tail = element.text, element.tail
    copy.extend(_cleaned(child, name) for child in element if _local(child.tag) in DRAWN)
    return copy


def _harmless(key: str, value: str) -> bool:
    """Whether an attribute only draws: it runs nothing and refers to nothing outside the file."""
    if key == "href":
        return value.startswith(("#", "data:image/png;base64,"))
    return not key.startswith("on") and "url(" not in value.replace("url(#", "")


def _rewritten(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value[1:]}" if value.startswith("#") else value
    value = value.replace("url(#", f"url(#{name}-")
    for colour, variable in THEME.items():
        value = value.replace(colour, variable)
    return value


# ---- all of it -----------------------------------------------------------------------------------


def render(about: About, records: Sequence[Record], sections: Sequence[Section]) -> str:
    """The page as text."""
    environment = Environment(
        loader=FileSystemLoader(REPORT),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    lines = machines(records)
    answers = [each.answer for each in sections]
    seen = [each.circumstances for each in answers]
    known = facts(about.preset, seen)
    notices = [*disturbance(seen), *(text for each in answers for text in each.notices)]
    return environment.get_template("page.html.j2").render(
        style=Markup((REPORT / "page.css").read_text(encoding="utf-8")),
        about=about,
        lines=lines,
        facts=known,
        notices=list(dict.fromkeys(notices)),
        card=machine_card(lines, known, [machine for each in seen for machine in each.machines]),
        sections=sections,
    )


def machines(records: Sequence[Record]) -> list[str]:
    """This machine in four lines, and each machine of another run in one."""
    by_run: dict[str | None, list[Record]] = {}
    for each in records:
        by_run.setdefault(runs.of(each), []).append(each)
    own = by_run.pop(None, [])
    lines = hardware.four_lines(own) if own else []
    beside = [f"{name}: {'; '.join(hardware.four_lines(seen))}" for name, seen in by_run.items()]
    return [*lines, *beside]


def build(arguments: argparse.Namespace) -> str:
    """Read everything and make the page.

    Raises:
        PageError: Something is missing or broken; one sentence that names the file.
        record.RecordError: The same for a hardware record.
    """
    figures = {path.stem: path for path in arguments.figures}
    records = runs.read(arguments.hardware, own=arguments.output.parent / "records")
    answers = in_order([read_answer(path) for path in arguments.answers], arguments.about.questions)
    without = [answer.question for answer in answers if answer.question not in figures]
    if without:
        raise PageError(f"{without[0]}.svg: the figure of this answer is not among --figures.")
    sections = [section(each, figures[each.question], arguments.output) for each in answers]
    return render(arguments.about, records, sections)


def _about(text: str) -> About:
    try:
        return About.model_validate_json(text)
    except ValidationError as error:
        raise argparse.ArgumentTypeError(_first(error)) from error


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Tell the answers on one page.")
    parser.add_argument("--output", type=Path, required=True, help="HTML file to write")
    parser.add_argument(
        "--about", type=_about, required=True, help="JSON: preset, command, questions (in order)"
    )
    parser.add_argument("--hardware", type=Path, nargs="+", required=True, help="hardware records")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="QUESTION.svg …")
    parser.add_argument("answers", type=Path, nargs="+", help="the answers")
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
