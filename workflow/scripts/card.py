"""The machine card: what a machine can do in one picture, to be shown where links are shared."""

from __future__ import annotations

import argparse
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from assay import record
from assay.answer import ability, figure, model, other_runs, say, whole_run
from assay.answer.ability import Ability, Device
from assay.answer.figure import BAND, INK, MUTED
from assay.answer.model import Answer
from assay.probe import items
from assay.record import SIMULATED
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# Points: 1200 × 630 pixels as the house saves its figures, which is what previews of links want.
WIDTH, HEIGHT = 540.0, 283.5
EDGE, BETWEEN, GAP = 16.0, 20.0, 8.0
NAME, TEXT, SMALL = 19.0, 10.5, 10.0  # points: half the picture is still read
LABEL = 62.0  # points that the name of a row takes
TOP, BOTTOM = 54.0, 188.0  # between which the bars stand
FACTS, LINE = 207.0, 13.0  # where the facts below them begin, and their lines
FOOT = 263.0
PITCH = 24.0  # of rows, at most
LETTERS = 29  # of a fact's line
NOTHING = "not measured"
COLUMNS = 2


@dataclass(frozen=True)
class Block:
    """Rows of bars under a heading."""

    heading: str
    rows: Sequence[Ability]


@dataclass(frozen=True)
class Fact:
    """A number in words, of each device."""

    title: str
    values: Sequence[str]
    note: str


@dataclass(frozen=True)
class Card:
    """All that the picture says."""

    name: str
    about: str
    columns: Sequence[Sequence[Block]]
    facts: Sequence[Fact]
    foot: Sequence[str]

    @property
    def spoken(self) -> str:
        """The same for those who cannot see it."""
        blocks = [block for column in self.columns for block in column]
        bars = [
            f"{block.heading}: " + ", ".join(f"{row.name} {_told(row)}" for row in block.rows)
            for block in blocks
        ]
        facts = [f"{each.title}: {', '.join(each.values)} ({each.note})" for each in self.facts]
        return ". ".join([self.name, self.about, *bars, *facts, *self.foot]) + "."


# ---- what it says --------------------------------------------------------------------------------


def card(answers: Sequence[Answer], preset: str) -> Card:
    """What the answers tell of the machine at hand: of its CPU, and of its first GPU."""
    own = [each for each in ability.devices(answers) if not other_runs.run_of(each.label)]
    first = {each.kind: each for each in reversed(own)}
    shown = [first[kind] for kind in ("CPU", "GPU") if kind in first]
    several = len(shown) > 1
    blocks = [[*_blocks(each, several)] for each in shown]
    return Card(
        name=_name(own),
        about=_about(own),
        columns=blocks if several else [[block] for own_blocks in blocks for block in own_blocks],
        facts=[_operation(shown), _log(shown), _step(shown)],
        foot=_foot(answers, preset),
    )


def _name(own: Sequence[Device]) -> str:
    """The CPU and the GPUs: ``AMD EPYC 7763, 8 cores, 2 × NVIDIA H200``."""
    cpus = [each.probed.get("name", "") for each in own if each.kind == "CPU"]
    gpus = Counter(each.probed.get("name", "") for each in own if each.kind == "GPU")
    names = [*cpus[:1], *(f"{n} × {name}" if n > 1 else name for name, n in gpus.items())]
    return ", ".join(filter(None, names)) or "A machine that was not probed"


def _about(own: Sequence[Device]) -> str:
    told = []
    for each in own:
        size = each.probed.get("memory_bytes")
        told += [f"{each.kind} memory {items.size(size)}"] if size else []
        told += filter(None, [each.probed.get("virtual_machine")])
    if not any(each.kind == "GPU" for each in own):
        told.append("no GPU")
    if any(str(each.probed.get("name")).startswith(SIMULATED) for each in own):
        told.append("simulated: these figures tell nothing of any hardware")
    return " · ".join(dict.fromkeys(told))


def _blocks(device: Device, several: bool) -> Iterator[Block]:
    """Products and bandwidths of a device."""
    kind = f"{device.kind} " if several else ""
    products = device.products or [Ability("products", "FLOP/s")]
    yield Block(say.capital(f"{kind}products of matrices"), products)
    yield Block(say.capital(f"{kind}bandwidth"), device.levels)


def _operation(shown: Sequence[Device]) -> Fact:
    seen = [each.operation.seen for each in shown]
    told = [NOTHING if each is None else say.measured(each, "s") for each in seen]
    return Fact("One operation", _each(shown, told), "on one element, until its result is there")


def _log(shown: Sequence[Device]) -> Fact:
    """What it saves to read back once: the answer's own number."""
    found = [each.log.beside for each in shown]
    told = [say.ratio(each[0]) if each else NOTHING for each in found]
    words = [each[1] for each in found if each]
    verdict = f": {words[0]}" if len(shown) == 1 and words else ""
    note = f"at once in place of one by one, of 1000{verdict}"
    return Fact("Reading results back", _each(shown, told), note)


def _step(shown: Sequence[Device]) -> Fact:
    """The framework's step, and from scratch beside it."""
    seen = [each.step.seen for each in shown]
    told = [NOTHING if each is None else say.measured(each, "s") for each in seen]
    ratios = [say.ratio(each.step.beside[0]) for each in shown if each.step.beside]
    return Fact("Training step, nn.Module", _each(shown, told), f"from scratch {'; '.join(ratios) or NOTHING}")


def _each(shown: Sequence[Device], told: Sequence[str]) -> list[str]:
    """What is told of each device, which is named where there are several."""
    kinds = [each.kind for each in shown]
    return [say.on(kind, kinds) + text for kind, text in zip(kinds, told, strict=True)]


def _foot(answers: Sequence[Answer], preset: str) -> list[str]:
    """When, how and with what it was measured, and what disturbed it."""
    seen = [each.circumstances for each in answers]
    run, spoilt = whole_run.summary(seen), whole_run.disturbance(seen)
    occasions = "one occasion" if run.occasions == 1 else f"{run.occasions} occasions"
    lost = say.plural(len(spoilt.lost), "measurement") + f" of {spoilt.total}"
    return [
        f"{run.measured}, {preset} preset, {occasions}; in brackets: 95 % intervals"
        + (f"; disturbed: {lost}" if spoilt.lost else ""),
        f"torch-assay, commit {run.commit}; torch {run.torch}",
    ]


# ---- the picture ---------------------------------------------------------------------------------


def drawn(shown: Card) -> Figure:
    """The picture."""
    picture, pen = figure.canvas(WIDTH, HEIGHT)
    pen.add_patch(Rectangle((0, 0), WIDTH, HEIGHT, facecolor="#ffffff", edgecolor=BAND, lw=2))
    room = WIDTH - 2 * EDGE
    size = figure.fitting(shown.name, NAME, room, strong=True)
    _write(pen, EDGE, 28, shown.name, size, weight="bold")
    about = figure.fitting(shown.about, TEXT, room)
    _write(pen, EDGE, 44, shown.about, about, color=MUTED)
    wide = (room - BETWEEN * (COLUMNS - 1)) / COLUMNS
    lines = max(sum(1 + len(each.rows) for each in column) for column in shown.columns)
    pitch = min(PITCH, (BOTTOM - TOP) / lines)
    for i, column in enumerate(shown.columns):
        _draw_column(pen, EDGE + i * (wide + BETWEEN), wide, pitch, column)
    pen.plot([EDGE, WIDTH - EDGE], 2 * [FACTS - 14], color=BAND, lw=1)
    share = room / len(shown.facts)
    for i, fact in enumerate(shown.facts):
        _draw_fact(pen, EDGE + i * share, fact)
    for i, line in enumerate(shown.foot):
        size = figure.fitting(line, SMALL, room)
        _write(pen, EDGE, FOOT + i * LINE, line, size, color=MUTED)
    return picture


def _write(pen: Axes, x: float, y: float, text: str, size: float, **font: str) -> None:
    pen.text(x, y, text, fontsize=size, va="baseline", **{"color": INK, **font})


def _draw_column(pen: Axes, left: float, wide: float, pitch: float, blocks: Sequence[Block]) -> None:
    down = TOP
    for block in blocks:
        scale, prefix = say.scaled(_values(block.rows))
        heading = f"{block.heading}, {prefix}{block.rows[0].unit}"
        _write(pen, left, down + 0.75 * pitch, heading, TEXT, color=MUTED, weight="bold")
        texts = [_told(row, scale) for row in block.rows]
        most = max([*_values(block.rows), 1.0])
        bars = wide - LABEL - 2 * GAP - max(figure.text_width(text, TEXT) for text in texts)
        for row, text in zip(block.rows, texts, strict=True):
            down += pitch
            _write(pen, left, down + 0.75 * pitch, row.name, TEXT)
            _write(pen, left + wide, down + 0.75 * pitch, text, TEXT, ha="right")
            if row.seen:
                _draw_bar(pen, (left + LABEL, down + 0.25 * pitch), bars / most, 0.6 * pitch, row)
        down += pitch


def _draw_bar(
    pen: Axes, place: tuple[float, float], scale: float, thick: float, row: Ability
) -> None:
    """What was measured, before what there is in theory, with its interval."""
    x, y = place
    if row.theory:
        pen.add_patch(Rectangle(place, scale * row.theory, thick, color=BAND, lw=0))
    figure.bar(pen, place, (scale * row.seen.value, thick), f"{row.name}: {_told(row)}")
    ends = [x + scale * row.seen.low, x + scale * row.seen.high]
    pen.plot(ends, 2 * [y + thick / 2], color=INK, lw=1.4, solid_capstyle="butt")


def _values(rows: Sequence[Ability]) -> list[float]:
    """All that the bars of some rows show."""
    found = [[row.theory or 0.0, row.seen.high] for row in rows if row.seen]
    return [value for values in found for value in values]


def _told(row: Ability, scale: float | None = None) -> str:
    """A row's number with its interval, and its share of what there is in theory."""
    if row.seen is None:
        return NOTHING
    if scale is None:
        text = say.measured(row.seen, row.unit)
    else:
        text = say.interval(row.seen, scale=1 / scale)
    return text + (f", {say.share(row.seen.value, row.theory)}" if row.theory else "")


def _draw_fact(pen: Axes, left: float, fact: Fact) -> None:
    _write(pen, left, FACTS, fact.title, TEXT, color=MUTED, weight="bold")
    note = textwrap.wrap(fact.note, LETTERS)
    for i, line in enumerate([*fact.values, *note], 1):
        strong = "bold" if len(fact.values) == 1 == i else "normal"
        colour = INK if i <= len(fact.values) else MUTED
        _write(pen, left, FACTS + i * LINE, line, SMALL, color=colour, weight=strong)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the card.

    Raises:
        SystemExit: An answer cannot be read, with one sentence that names the file.
    """
    parser = argparse.ArgumentParser(description="Draw what a machine can do on one card.")
    parser.add_argument("--output", type=Path, required=True, help="SVG to write (and a PNG)")
    parser.add_argument("--preset", required=True, help="what the run is called")
    parser.add_argument("answers", type=Path, nargs="+", help="answers/QUESTION.json")
    arguments = parser.parse_args(argv)
    try:
        answers = [model.read(path) for path in arguments.answers]
    except record.RecordError as error:
        raise SystemExit(str(error)) from error
    made = card(answers, arguments.preset)
    figure.save(drawn(made), arguments.output, made.spoken)


if __name__ == "__main__":
    main()
