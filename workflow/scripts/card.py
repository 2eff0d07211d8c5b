"""The machine card: what a machine can do in one picture, to be shown where links are shared."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay import record
from assay.answer import ability, figure, model, other_runs, say, whole_run
from assay.answer.ability import Ability, Device
from assay.answer.figure import BAND, INK, MUTED
from assay.answer.model import Answer
from assay.probe import items
from assay.record import SIMULATED
from assay.statistic import Interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

# Points: 1200 × 630 pixels as the house saves its figures, which is what previews of links want.
WIDTH, HEIGHT = 540.0, 283.5
EDGE, BETWEEN, GAP = 16.0, 20.0, 8.0
NAME, TEXT, SMALL = 19.0, 10.5, 10.0  # points: half the picture is still read
TOP, BOTTOM = 54.0, 188.0  # between which the bars stand
FACTS, LINE = 207.0, 13.0  # where the facts below them begin, and their lines
FOOT = 263.0
PITCH = 24.0  # of rows, at most
PAPER = "#ffffff"
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
    notes: Sequence[str]  # lines


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
        facts = [
            f"{each.title}: {', '.join(each.values)} ({' '.join(each.notes)})"
            for each in self.facts
        ]
        return ". ".join([self.name, self.about, *bars, *facts, *self.foot]) + "."


# ---- what it says --------------------------------------------------------------------------------


def card(answers: Sequence[Answer], preset: str, gpus: Container[str] | None = None) -> Card:
    """What the answers tell of the machine at hand: of its CPU, and of its first GPU.

    Args:
        answers: To the questions that a card tells of.
        preset: What the run is called.
        gpus: The labels that are GPUs; None where nobody says.
    """
    own = [each for each in ability.devices(answers, gpus) if not other_runs.run_of(each.label)]
    first = {each.kind: each for each in reversed(own)}
    shown = [first[kind] for kind in ("CPU", "GPU") if kind in first] or [Device("cpu", {})]
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
        told.append("no GPU measured")
    if any(str(each.probed.get("name")).startswith(SIMULATED) for each in own):
        told.append("simulated: these figures tell nothing of any hardware")
    return " · ".join(dict.fromkeys(told))


def _blocks(device: Device, several: bool) -> Iterator[Block]:
    """Products and bandwidths of a device."""
    kind = f"{device.kind} " if several else ""
    products = device.products or [Ability("products", "FLOP/s")]
    yield Block(say.capital(f"{kind}matrix products"), products)
    *caches, memory = device.levels
    levels = [*(cache for cache in caches if cache.seen), memory]  # of small ones a call hides it
    yield Block(say.capital(f"{kind}bandwidth"), levels)


def _operation(shown: Sequence[Device]) -> Fact:
    told = [_told(each.operation) for each in shown]
    return Fact("One operation", _each(shown, told), ["on one element, waited for"])


def _log(shown: Sequence[Device]) -> Fact:
    """What it saves to read back once: the answer's own number."""
    found = [each.log.beside for each in shown]
    told = [say.ratio(each[0]) if each else NOTHING for each in found]
    notes = ["at once, not one by one"]
    if len(shown) == 1:
        notes += [f"(of 1000): {found[0][1]}" if found[0] else "(of 1000)"]
    return Fact("Reading results back", _each(shown, told), notes)


def _step(shown: Sequence[Device]) -> Fact:
    """From scratch against the framework; of one device also the framework's time."""
    told = [say.ratio(each.step.beside[0]) if each.step.beside else NOTHING for each in shown]
    if len(shown) > 1:
        return Fact("Training from scratch", _each(shown, told), ["a step, against nn.Module"])
    return Fact("Training step", [_told(shown[0].step)], ["of nn.Module; from scratch:", *told])


def _each(shown: Sequence[Device], told: Sequence[str]) -> list[str]:
    """What is told of each device, which is named where there are several."""
    kinds = [each.kind for each in shown]
    return [say.on(kind, kinds) + text for kind, text in zip(kinds, told, strict=True)]


def _foot(answers: Sequence[Answer], preset: str) -> list[str]:
    """When, how and with what it was measured, and what disturbed it."""
    seen = [each.circumstances for each in answers]
    run, spoilt = whole_run.summary(seen), whole_run.disturbance(seen)
    occasions = "one occasion" if run.occasions == 1 else f"{run.occasions} occasions"
    lost = f"; disturbed: {len(spoilt.lost)} of its {spoilt.total} measurements"
    return [
        f"{run.measured}, {preset} preset, {occasions}; in brackets: 95 % intervals"
        + (lost if spoilt.lost else ""),
        f"torch-assay, commit {run.commit}; torch {run.torch}",
    ]


# ---- the picture ---------------------------------------------------------------------------------


def drawn(shown: Card) -> Figure:
    """The picture."""
    picture, pen = figure.canvas(WIDTH, HEIGHT)
    pen.add_patch(Rectangle((0, 0), WIDTH, HEIGHT, facecolor=PAPER, edgecolor=BAND, lw=2))
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
        _draw_fact(pen, EDGE + i * share, share - GAP, fact)
    for i, line in enumerate(shown.foot):
        size = figure.fitting(line, SMALL, room)
        _write(pen, EDGE, FOOT + i * LINE, line, size, color=MUTED)
    return picture


def _write(pen: Axes, x: float, y: float, text: str, size: float, **font: Any) -> None:
    pen.text(x, y, text, fontsize=size, va="baseline", **{"color": INK, **font})


def _draw_column(
    pen: Axes, left: float, wide: float, pitch: float, blocks: Sequence[Block]
) -> None:
    down = TOP
    for block in blocks:
        scale, prefix = say.scaled(row.seen.value for row in block.rows if row.seen)
        share = ", % of theory" if any(row.theory for row in block.rows) else ""
        heading = f"{block.heading}, {prefix}{block.rows[0].unit}{share}"
        size = figure.fitting(heading, TEXT, wide, strong=True)
        _write(pen, left, down + 0.75 * pitch, heading, size, color=MUTED, weight="bold")
        texts = [_told(row, scale) for row in block.rows]
        start = max(figure.text_width(row.name, TEXT) for row in block.rows) + GAP
        bars = wide - start - GAP - max(figure.text_width(text, TEXT) for text in texts)
        most = max(max(row.theory or 0.0, row.seen.high) if row.seen else 1.0 for row in block.rows)
        for row, text in zip(block.rows, texts, strict=True):
            down += pitch
            _write(pen, left, down + 0.75 * pitch, row.name, TEXT)
            _write(pen, left + wide, down + 0.75 * pitch, text, TEXT, ha="right")
            if row.seen:
                box = Bbox.from_bounds(left + start, down + 0.25 * pitch, bars / most, 0.6 * pitch)
                _draw_bar(pen, box, row.seen, row.theory or 0.0, f"{row.name}: {text}")
        down += pitch


def _draw_bar(pen: Axes, one: Bbox, seen: Interval, theory: float, title: str) -> None:
    """What was measured, before what there is in theory, with its interval.

    Args:
        one: The place of a bar of length one.
    """
    if theory:
        pen.add_patch(Rectangle(one.p0, theory * one.width, one.height, color=BAND, lw=0))
    figure.bar(pen, (one.x0, one.y0), (seen.value * one.width, one.height), title)
    low, value, high = (one.x0 + one.width * each for each in (seen.low, seen.value, seen.high))
    for ends, colour in (([low, value], PAPER), ([value, high], INK)):
        middle = 2 * [one.y0 + one.height / 2]
        pen.plot(ends, middle, color=colour, lw=1.6, solid_capstyle="butt")


def _told(row: Ability, scale: float | None = None) -> str:
    """A row's number with its interval, and its share of what there is in theory."""
    if row.seen is None:
        return NOTHING
    text = say.interval(row.seen, scale=1 / scale) if scale else say.measured(row.seen, row.unit)
    return text + (f", {say.share(row.seen.value, row.theory)}" if row.theory else "")


def _draw_fact(pen: Axes, left: float, room: float, fact: Fact) -> None:
    _write(pen, left, FACTS, fact.title, TEXT, color=MUTED, weight="bold")
    alone = len(fact.values) == 1
    lines = [(text, INK, alone) for text in fact.values] + [(t, MUTED, False) for t in fact.notes]
    for i, (text, colour, strong) in enumerate(lines, 1):
        size = figure.fitting(text, SMALL, room, strong)
        weight = "bold" if strong else "normal"
        _write(pen, left, FACTS + i * LINE, text, size, color=colour, weight=weight)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the card.

    Raises:
        SystemExit: An answer cannot be read, with one sentence that names the file.
    """
    parser = argparse.ArgumentParser(description="Draw what a machine can do on one card.")
    parser.add_argument("--output", type=Path, required=True, help="SVG to write (and a PNG)")
    parser.add_argument("--preset", required=True, help="what the run is called")
    parser.add_argument("--gpus", nargs="*", help="labels that are GPUs")
    parser.add_argument("answers", type=Path, nargs="+", help="answers/QUESTION.json")
    arguments = parser.parse_args(argv)
    try:
        answers = [model.read(path) for path in arguments.answers]
    except record.RecordError as error:
        raise SystemExit(str(error)) from error
    made = card(answers, arguments.preset, arguments.gpus)
    picture = drawn(made)
    figure.save(picture, arguments.output, figure.svg(picture, made.spoken))


if __name__ == "__main__":
    main()
