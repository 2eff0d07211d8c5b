"""The few kinds of figure, in one style: rows of dots, lines with names at their ends, matrices.

Every figure is as narrow as a phone, :data:`WIDTH` points, so that its letters stay readable there
and are large elsewhere. It is drawn in ink on nothing: the page exchanges the colours below for
its own, so that a figure follows light and dark. Text stays text, and every mark carries its value
as a title for whoever points at it.
"""

from __future__ import annotations

import io
import math
import os
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

os.environ.pop("MPLBACKEND", None)  # a notebook's is nowhere else

import matplotlib

matplotlib.use("agg")

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogLocator, MaxNLocator
from scipy.optimize import isotonic_regression

from assay.answer import say
from assay.answer.model import Table, written
from assay.answer.verdict import Word
from assay.record import write_atomically
from assay.statistic import Interval

INK = "#1b1f24"  # text, axes, what everything is compared with
MUTED = "#59616d"  # what should step back: axes' names, what does not differ
BAND = "#e4e8ed"  # areas behind the data
BLUE, GOOD, BAD, PURPLE = "#0b5cad", "#00684c", "#a63c00", "#7b3b9e"
CYCLE = [BLUE, BAD, GOOD, PURPLE, INK, MUTED]  # all at least 4.5 : 1 on white
DASHES: list[Any] = ["-", (0, (5, 2)), (0, (1.5, 1.5))]  # tell further lines apart

WIDTH = 380.0  # points: the width of a phone
TEXT, SMALL = 14.0, 13.0  # points
LEADING = 1.3 * SMALL  # from line to line
ROW, GAP, EDGE = 26.0, 10.0, 4.0  # height of a row; between columns; at the border
CELL = 30  # letters of a line in a drawn table
AXIS_LEAST = 130.0  # of rows: where less is left for the dots, labels stand above them
PLOT_HEIGHT = 200.0  # of lines
TICKS = 4
DASHED: dict[str, Any] = {"color": MUTED, "lw": 0.9, "ls": (0, (4, 3)), "zorder": 0}  # marks
MARK = "mark: "  # before the title of a mark, in the place of its id, until it is SVG
SVG = "http://www.w3.org/2000/svg"

Point = tuple[float, float]

STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": TEXT,
    "text.parse_math": False,  # a dollar in the name of a run is one
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "axes.linewidth": 0.8,
    "svg.fonttype": "none",
    "svg.hashsalt": "torch-assay",  # the same data give the same file
}


class Tone(StrEnum):
    """What the colour of a mark says."""

    GOOD = "good"
    BAD = "bad"
    PLAIN = "plain"  # nothing to tell: the same, or not compared
    UNKNOWN = "unknown"  # cannot tell: hollow
    REFERENCE = "reference"  # what the others are compared with


COLOURS = {Tone.GOOD: GOOD, Tone.BAD: BAD, Tone.PLAIN: MUTED, Tone.UNKNOWN: MUTED,
           Tone.REFERENCE: INK}  # fmt: skip
TONES = {
    Word.FASTER: Tone.GOOD,
    Word.BETTER: Tone.GOOD,
    Word.SLOWER: Tone.BAD,
    Word.WORSE: Tone.BAD,
    Word.SAME: Tone.PLAIN,
    Word.UNKNOWN: Tone.UNKNOWN,
}


# ---- rows of dots -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One row: what it is, where it stands, and that in words."""

    label: str
    seen: Interval | None  # where its dot and bar stand; None where nothing was measured
    text: str  # its value in words, to the right: +7.5 % slower; or why there is none
    note: str = ""  # a few muted letters after the label: ÷16
    tone: Tone = Tone.PLAIN  # what its colour says
    dots: Sequence[float] = ()  # single values, such as of seeds: small, in the place of a bar
    strong: bool = False  # whether its label stands out

    @property
    def title(self) -> str:
        """The mark's value, for whoever points at it."""
        ends = "" if self.seen is None else say.bracketed(*_three(self.seen))
        return f"{self.label}{f' {self.note}' if self.note else ''}: {self.text or ends}"

    @property
    def spoken(self) -> str:
        """The same for those who cannot see it: of what cannot be told, its interval as well."""
        unknown = self.seen if self.tone == Tone.UNKNOWN and not self.dots else None
        return self.title + (f" {say.bracketed(*_three(unknown))}" if unknown else "")


@dataclass(frozen=True)
class Axis:
    """What an axis shows."""

    name: str  # quantity and unit
    tick: Callable[[float], str] = say.short  # how a tick is written
    log: bool = False  # whether equal steps are equal ratios
    within: tuple[float, float] = (-math.inf, math.inf)  # what it does not leave
    ticks: Sequence[float] = ()  # where ticks stand, where that is given


@dataclass(frozen=True)
class Band:
    """What counts as no difference, behind the rows: from low to high, said above them."""

    low: float
    high: float
    text: str


def rows(
    groups: Mapping[str, Sequence[Row]],
    axis: Axis,
    *,
    band: Band | None = None,
    line: float | None = None,
) -> Figure:
    """Rows of dots with their intervals, by the heading above them; each has its value in words.

    The band is what counts as no difference, the line is where the reference stands.
    """
    listed = [row for group in groups.values() for row in group]
    left = max((_label_width(row) for row in listed), default=0.0)
    right = max((text_width(row.text, SMALL) for row in listed), default=0.0)
    above = left + right + 2 * GAP + AXIS_LEAST > WIDTH - 2 * EDGE
    pitch, free = (1.75 * ROW, 0.875 * ROW) if above else (ROW, 0.0)  # of a row; above its dot
    start, end = (0.0, 0.0) if above else (left + GAP, right + GAP)
    height = pitch * len(listed) + ROW * sum(map(bool, groups))
    drawn, axes = _panel((EDGE + start, EDGE + end), band.text if band else "", height, axis)
    axes.set_ylim(height, 0)
    across = [each for row in listed if row.seen for each in _three(row.seen)]
    across += [each for row in listed for each in row.dots] + ([] if line is None else [line])
    _set_limits(axes, "x", across + ([band.low, band.high] if band else []), axis)
    top = 0.0
    for name, group in groups.items():
        if name:
            _in_row(axes, (0, top + 0.6 * ROW), -start, name, weight="bold")
            top += ROW
        # Headings, and labels above the dots, stay free of what is behind these.
        spans = [(top, top + pitch * len(group))]
        if above:
            spans = [(top + pitch * i + free, top + pitch * (i + 1)) for i in range(len(group))]
        for span in spans:
            if band:
                axes.fill_betweenx(span, band.low, band.high, color=BAND, lw=0, zorder=0)
            if line is not None:
                axes.plot([line, line], span, color=INK, lw=0.9, zorder=1)
        for row in group:
            label = top + (0.455 * ROW if above else 0.5 * ROW)
            _label(axes, row, label, (-start, end))
            _mark(axes, row, label + 0.82 * ROW if above else label)
            top += pitch
    axes.tick_params(left=False, labelleft=False)
    axes.spines[["left", "top", "right"]].set_visible(False)
    return drawn


def _label_width(row: Row) -> float:
    note = text_width(row.note, SMALL) + 0.6 * GAP if row.note else 0.0
    return text_width(row.label, TEXT, row.strong) + note


def _label(axes: Axes, row: Row, y: float, sides: Point) -> None:
    """What a row is and its note, so many points from the left border; its value from the right."""
    left, right = sides
    weight = "bold" if row.strong else "normal"
    _in_row(axes, (0, y), left, row.label, color=INK, size=TEXT, weight=weight)
    if row.note:
        left += text_width(row.label, TEXT, row.strong) + 0.6 * GAP
        _in_row(axes, (0, y), left, row.note)
    _in_row(axes, (1, y), right, row.text, color=COLOURS[row.tone], ha="right")


def _in_row(axes: Axes, place: Point, x: float, text: str, **font: Any) -> None:
    """Text so many points from a border of the axes: 0 is the left one, 1 the right one."""
    _beside(axes, text, place, (x, 0), axes.get_yaxis_transform(), va="center", **font)


def _mark(axes: Axes, row: Row, y: float) -> None:
    """The dot with its bar, or the small dots of single values."""
    colour = COLOURS[row.tone]
    fill = "white" if row.tone == Tone.UNKNOWN else colour
    if row.dots:
        single = [y] * len(row.dots)
        axes.plot(row.dots, single, "o", ms=4, color=colour, alpha=0.55, gid=MARK + row.title)
    elif row.seen:
        ends = np.clip([row.seen.low, row.seen.high], *axes.get_xlim())
        axes.plot(ends, [y, y], color=colour, lw=2.5, solid_capstyle="butt")
    if row.seen:
        (dot,) = axes.plot([row.seen.value], [y], "o", ms=8, color=colour, mfc=fill, mew=1.6)
        dot.set(clip_on=False, gid=MARK + row.title)


# ---- lines --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line through points, named at its end."""

    name: str
    x: Sequence[float]
    seen: Sequence[Interval]


@dataclass(frozen=True)
class Mark:
    """A named place on an axis, such as the size of a cache."""

    at: float
    name: str


def lines(
    series: Sequence[Line],
    x: Axis,
    y: Axis,
    *,
    marks: Sequence[Mark] = (),
    levels: Sequence[Mark] = (),
    band: Band | None = None,
) -> Figure:
    """Lines with their names at their ends; marks are named places across, levels heights.

    The name of the axis upwards stands above it; within the band nothing differs.
    """
    series = _together(series)
    names = [text_width(line.name, SMALL) + GAP for line in series if len(series) > 1]
    right = EDGE + max(names, default=0.0)
    drawn, axes = _panel((0.0, right), y.name, PLOT_HEIGHT, x, SMALL * 1.5 if marks else 0.0)
    up = [each for line in series for seen in line.seen for each in _three(seen)]
    ticks = _set_limits(axes, "y", up + [mark.at for mark in levels], y)
    left = (max(text_width(tick, SMALL) for tick in ticks) + EDGE + GAP) / WIDTH
    box = axes.get_position()
    axes.set_position((left, box.y0, box.x1 - left, box.height))
    across = [each for line in series for each in line.x]
    _set_limits(axes, "x", across + [mark.at for mark in marks], x)
    if band:
        axes.axhspan(band.low, band.high, color=BAND, lw=0, zorder=0)
    _draw_marks(axes, marks, levels)
    colours = [CYCLE[i % len(CYCLE)] for i in range(len(series))]
    for i, (line, colour) in enumerate(zip(series, colours, strict=True)):
        _draw_line(axes, line, colour, DASHES[i // len(CYCLE) % len(DASHES)], y)
    if names:
        _name_ends(axes, series, colours)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _together(series: Sequence[Line]) -> list[Line]:
    """The lines, those that would lie under an equal one as one with all their names."""
    same: dict[str, list[Line]] = {}
    for line in series:
        same.setdefault(repr((line.x, line.seen)), []).append(line)
    return [replace(own[0], name=", ".join(each.name for each in own)) for own in same.values()]


def _draw_line(axes: Axes, line: Line, colour: str, dash: Any, y: Axis) -> None:
    axes.plot(line.x, [seen.value for seen in line.seen], color=colour, lw=1.8, ls=dash)
    for place, seen in zip(line.x, line.seen, strict=True):
        if seen.high > seen.low:
            ends = np.clip([seen.low, seen.high], *axes.get_ylim())
            axes.plot([place, place], ends, color=colour, lw=1.6)
        title = f"{line.name}: {y.tick(seen.value)}" if line.name else y.tick(seen.value)
        axes.plot([place], [seen.value], "o", ms=5.5, color=colour, clip_on=False, gid=MARK + title)


def _draw_marks(axes: Axes, marks: Sequence[Mark], levels: Sequence[Mark]) -> None:
    """Named places: across above the panel where they do not touch, heights within it."""
    free = -math.inf
    for mark in sorted(marks, key=lambda each: each.at):
        axes.axvline(mark.at, **DASHED)
        width = text_width(mark.name, SMALL)
        place = axes.transData.transform((mark.at, 1))[0] - axes.bbox.x0
        start = min(place - width / 2, axes.bbox.width - width)
        if start > free:
            _beside(axes, mark.name, (0, 1), (start, 4))
            free = start + width + GAP
    for mark in levels:
        axes.axhline(mark.at, **DASHED)
        _beside(axes, mark.name, (0, mark.at), (4, 3), axes.get_yaxis_transform())


def _name_ends(axes: Axes, series: Sequence[Line], colours: Sequence[str]) -> None:
    """Names to the right of where lines end, moved apart."""
    ends = [axes.transData.transform((line.x[-1], line.seen[-1].value))[1] for line in series]
    places = spread([end - axes.bbox.y0 for end in ends], SMALL * 1.25, PLOT_HEIGHT)
    for line, place, colour in zip(series, places, colours, strict=True):
        _beside(axes, line.name, (1, 0), (GAP, place), color=colour, va="center")


def spread(values: Sequence[float], least: float, highest: float) -> list[float]:
    """Positions for names: near their values, at least so far apart, and within 0 … highest."""
    order, steps = np.argsort(values, kind="stable"), least * np.arange(len(values))
    placed = isotonic_regression(np.asarray(values)[order] - steps).x
    positions = np.empty(len(values))
    positions[order] = np.clip(placed, 0.0, max(0.0, highest - steps[-1])) + steps
    return [float(each) for each in positions]


# ---- tables as figures --------------------------------------------------------------------------


def matrix(table: Table) -> Figure:
    """A table drawn, for where no HTML is: beside the page, and in Snakemake's own report."""
    heads = [f"{each.name} ({each.unit})" if each.unit else each.name for each in table.columns]
    cells = [
        [textwrap.wrap(each, CELL, break_long_words=False) or [""] for each in row]
        for row in (heads, *([*map(written, row)] for row in table.rows))
    ]
    heights = [ROW + LEADING * (max(map(len, row)) - 1) for row in cells]
    wide = [
        GAP
        + max(text_width(line, SMALL, i < 1 or row is cells[0]) for row in cells for line in row[i])
        for i in range(len(table.columns))
    ]
    drawn, axes = canvas(max(WIDTH, sum(wide) + 2 * EDGE), sum(heights) + 2 * EDGE)
    for row, top in zip(cells, accumulate(heights, initial=EDGE), strict=False):
        for i, (cell, left) in enumerate(zip(row, accumulate(wide, initial=EDGE), strict=False)):
            weight = "bold" if i < 1 or row is cells[0] else "normal"
            for k, line in enumerate(cell):
                down = top + ROW / 2 + LEADING * k
                axes.text(left, down, line, va="center", size=SMALL, weight=weight)
    return drawn


def nothing(why: str) -> Figure:
    """The figure of an answer for which nothing could be measured."""
    drawn = _figure(ROW + _height(why))
    _text(drawn, ROW, why, INK)
    return drawn


# ---- drawn by hand ------------------------------------------------------------------------------


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty drawing of so many points, whose coordinates are points from the upper left."""
    drawn = _figure(height, width)
    axes = drawn.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    return drawn, axes


def fitting(text: str, size: float, room: float, strong: bool = False) -> float:
    """The size of letters, at most the given one, in which a text has room in so many points."""
    return size * min(1.0, room / max(text_width(text, size, strong), 1.0))


def bar(axes: Axes, place: Point, size: Point, title: str) -> None:
    """A bar on a :func:`canvas` from its upper left corner, with its value as its title."""
    axes.add_patch(Rectangle(place, *size, color=BLUE, lw=0, gid=MARK + title))


# ---- what all kinds share -----------------------------------------------------------------------


def _figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of so many points, each of which is a pixel while it is drawn."""
    sns.set_theme(style="ticks", rc=STYLE)
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def _panel(
    free: Point, above: str, height: float, x: Axis, marks: float = 0.0
) -> tuple[Figure, Axes]:
    """A figure of axes so many points high, with so many free to the left and to the right.

    A text stands above them, and room for names of marks; below them what lies across.
    """
    top = (_height(above) if above else EDGE) + marks
    foot = ROW + LEADING * len(_wrapped(x.name))
    whole = top + height + foot
    drawn = _figure(whole)
    axes = drawn.add_axes((free[0] / WIDTH, foot / whole, 1 - sum(free) / WIDTH, height / whole))
    _text(drawn, SMALL, above)
    _text(drawn, top + height + ROW + 0.8 * SMALL, x.name)
    return drawn, axes


def _text(drawn: Figure, down: float, text: str, colour: str = MUTED) -> None:
    """Text in lines, the first of which stands so many points from the top."""
    height = 72 * drawn.get_size_inches()[1]
    for i, line in enumerate(_wrapped(text)):
        y = 1 - (down + LEADING * i) / height
        drawn.text(EDGE / WIDTH, y, line, color=colour, size=SMALL, va="baseline")


def _beside(
    axes: Axes, text: str, at: Point, offset: Point, within: Any = "axes fraction", **font: Any
) -> None:
    """Text so many points from a place, in shares of the axes or other coordinates."""
    options: dict[str, Any] = {"color": MUTED, "size": SMALL, "annotation_clip": False, **font}
    axes.annotate(text, at, offset, within, textcoords="offset points", **options)


def _wrapped(text: str) -> list[str]:
    """Text in lines that the drawing's width holds; ``95 %`` stays together."""
    letters = int((WIDTH - 2 * EDGE) / (0.58 * SMALL))
    lines = textwrap.wrap(text.replace(" %", "\u00a0%"), letters) or [""]
    return [line.replace("\u00a0", " ") for line in lines]


def _height(text: str) -> float:
    return LEADING * len(_wrapped(text)) + 0.6 * SMALL


def text_width(text: str, size: float, strong: bool = False) -> float:
    """The width of text in points."""
    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if strong else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def _three(seen: Interval) -> tuple[float, float, float]:
    return seen.value, seen.low, seen.high


def _set_limits(axes: Axes, which: str, values: Sequence[float], axis: Axis) -> list[str]:
    """Limits a little wider than the values, and a few ticks, whose names it returns."""
    least, most = axis.within
    known = [min(max(each, least), most) for each in values if not math.isnan(each)]
    known = [each for each in known if math.isfinite(each) and (each > 0 or not axis.log)]
    low, high = (min(known), max(known)) if known else (float(axis.log), 1.0)
    if axis.log:
        room = (high / low) ** 0.06 if high > low else 1.2
        low, high = low / room, high * room
    else:
        room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        low, high = max(least, low - room), min(most, high + room)
    scale = "log" if axis.log else "linear"
    axes.set(**{f"{which}scale": scale, f"{which}lim": (low, high)})
    given = axis.ticks or _round_values(low, high, axis.log)
    places = [each for each in given if low <= each <= high] or [low, high]
    if which == "x":
        places = _apart(axes, places, axis)
    names = [axis.tick(each) for each in places]
    axes.set(**{f"{which}ticks": places, f"{which}ticklabels": names})
    (axes.xaxis if which == "x" else axes.yaxis).set_ticks([], minor=True)
    return names


def _apart(axes: Axes, places: Sequence[float], axis: Axis) -> list[float]:
    """Those ticks whose names stay in the drawing: all, or every second, … that do not touch."""
    ends = {}
    for place in places:
        half = text_width(axis.tick(place), SMALL) / 2
        middle = axes.transData.transform((place, 1))[0]
        ends[place] = middle - half, middle + half
    inside = [each for each in places if ends[each][0] >= 0 and ends[each][1] <= WIDTH]
    places = inside if len(inside) > 1 else [*places]
    for step in range(1, len(places)):
        kept = places[::step]
        if all(ends[b][0] - ends[a][1] >= GAP / 2 for a, b in pairwise(kept)):
            return kept
    return places[:: max(1, len(places) - 1)]


def _round_values(low: float, high: float, log: bool) -> list[float]:
    """A few round values about between two, by equal steps or by equal ratios."""
    found: list[float] = []
    if log:
        decades = math.log10(high / low)
        steps = (1.0,) if decades > 2 else (1.0, 3.0) if decades > 1 else (1.0, 2.0, 5.0)
        ticks = LogLocator(subs=steps, numticks=20).tick_values(low, high)
        found = [float(each) for each in ticks if low <= each <= high]
    if len(found) < 2:
        return [float(each) for each in MaxNLocator(TICKS).tick_values(low, high)]
    return found[:: math.ceil(len(found) / (TICKS + 2))]


def svg(drawn: Figure, alternative: str) -> str:
    """A figure as SVG, each mark with its value as a title, described by its text alternative."""
    text = io.StringIO()
    drawn.savefig(text, format="svg", metadata={"Date": None, "Description": alternative})
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(text.getvalue())
    for group in root.iter(f"{{{SVG}}}g"):
        if group.get("id", "").startswith(MARK):
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = group.attrib.pop("id").removeprefix(MARK)
            group.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode")


def save(drawn: Figure, path: Path, text: str) -> None:
    """Write a figure as the :func:`svg` that was made of it, and beside it as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path.with_suffix(".png"), dpi=160, facecolor="white")
    write_atomically(path, text)
