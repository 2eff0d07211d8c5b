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
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

os.environ.pop("MPLBACKEND", None)  # a notebook's is nowhere else

import matplotlib

matplotlib.use("agg")

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

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
ROW, GAP, EDGE = 26.0, 10.0, 4.0  # height of a row; between columns; at the border
CELL = 30  # letters of a line in a drawn table
AXIS_LEAST = 130.0  # of rows: where less is left for the dots, labels stand above them
PLOT_HEIGHT = 200.0  # of lines
TICKS = 4
SVG = "http://www.w3.org/2000/svg"

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
    "axes.unicode_minus": True,
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
    pitch = ROW * (1.75 if above else 1.0)
    headings = sum(bool(name) for name in groups)
    foot = ROW + SMALL * 1.3 * len(_wrapped(axis.name))
    head = _lines_height(band.text) if band else EDGE
    drawn = _figure(head + pitch * len(listed) + ROW * headings + foot)
    start, end = (0.0, 0.0) if above else (left + GAP, right + GAP)
    axes = _axes(drawn, EDGE + start, EDGE + end, head, foot)
    places, named = _places(groups, pitch)
    height = pitch * len(listed) + ROW * headings
    axes.set_ylim(height, 0)
    across = [each for row in listed if row.seen for each in _three(row.seen)]
    across += [each for row in listed for each in row.dots] + ([] if line is None else [line])
    _set_limits(axes, "x", across + ([band.low, band.high] if band else []), axis)
    if band:
        _text(drawn, EDGE, SMALL, band.text, MUTED)
    for span in _spans(places, pitch, above):
        if band:
            axes.fill_betweenx(span, band.low, band.high, color=BAND, lw=0, zorder=0)
        if line is not None:
            axes.plot([line, line], span, color=INK, lw=0.9, zorder=1)
    for name, y in named:
        _in_row(axes, (0, y), -start, name, color=MUTED, size=SMALL, weight="bold")
    for row, y in zip(listed, places, strict=True):
        text_y, dot_y = (y - 0.42 * ROW, y + 0.4 * ROW) if above else (y, y)
        weight = "bold" if row.strong else "normal"
        _in_row(axes, (0, text_y), -start, row.label, color=INK, size=TEXT, weight=weight)
        if row.note:
            shift = text_width(row.label, TEXT, row.strong) + 0.6 * GAP
            _in_row(axes, (0, text_y), shift - start, row.note, color=MUTED, size=SMALL)
        _in_row(axes, (1, text_y), end, row.text, color=COLOURS[row.tone], size=SMALL, ha="right")
        _mark(axes, row, dot_y)
    _name_x(drawn, axes, axis)
    axes.tick_params(left=False, labelleft=False)
    axes.spines[["left", "top", "right"]].set_visible(False)
    return drawn


def _places(
    groups: Mapping[str, Sequence[Row]], pitch: float
) -> tuple[list[float], list[tuple[str, float]]]:
    """How far down rows and headings stand, in points."""
    rows: list[float] = []
    headings, down = [], 0.0
    for name, group in groups.items():
        if name:
            headings.append((name, down + 0.6 * ROW))
            down += ROW
        rows += [down + pitch * (i + 0.5) for i in range(len(group))]
        down += pitch * len(group)
    return rows, headings


def _spans(places: Sequence[float], pitch: float, above: bool) -> list[tuple[float, float]]:
    """From where to where dots stand: headings, and labels above the dots, stay free of lines."""
    found: list[tuple[float, float]] = []
    for y in places:
        top, bottom = y if above else y - pitch / 2, y + pitch / 2
        if found and math.isclose(found[-1][1], top):
            top = found.pop()[0]
        found.append((top, bottom))
    return found


def _label_width(row: Row) -> float:
    note = text_width(row.note, SMALL) + 0.6 * GAP if row.note else 0.0
    return text_width(row.label, TEXT, row.strong) + note


def _in_row(axes: Axes, place: tuple[float, float], x: float, text: str, **font: Any) -> None:
    """Text so many points from a border of the axes: 0 is the left one, 1 the right one."""
    axes.annotate(
        text, place, (x, 0), xycoords=axes.get_yaxis_transform(), textcoords="offset points",
        va="center", annotation_clip=False, **font,
    )  # fmt: skip


def _mark(axes: Axes, row: Row, y: float) -> None:
    """The dot with its bar, or the small dots of single values."""
    colour = COLOURS[row.tone]
    hollow = row.tone == Tone.UNKNOWN
    if row.dots:
        (single,) = axes.plot(row.dots, [y] * len(row.dots), "o", ms=4, color=colour, alpha=0.55)
        _titled(single, row.title)
    elif row.seen:
        low, high = axes.get_xlim()
        ends = [max(low, row.seen.low), min(high, row.seen.high)]
        axes.plot(ends, [y, y], color=colour, lw=2.5, solid_capstyle="butt")
    if row.seen:
        (dot,) = axes.plot(
            [row.seen.value], [y], "o", ms=8, color=colour, mfc="white" if hollow else colour,
            mew=1.6, clip_on=False,
        )  # fmt: skip
        _titled(dot, row.title)


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
    names = max((text_width(line.name, SMALL) for line in series), default=0.0)
    names = names if len(series) > 1 else 0.0
    head = _lines_height(y.name) + (SMALL * 1.5 if marks else 0.0)
    foot = ROW + SMALL * 1.3 * len(_wrapped(x.name))
    drawn = _figure(head + PLOT_HEIGHT + foot)
    axes = _axes(drawn, 0.0, EDGE + (names + GAP if names else 0.0), head, foot)
    across = [each for line in series for each in line.x]
    up = [each for line in series for seen in line.seen for each in _three(seen)]
    _set_limits(axes, "y", up + [mark.at for mark in levels], y)
    left = max(text_width(y.tick(each), SMALL) for each in _ticks(axes, "y", y)) + EDGE + GAP
    axes.set_position(_box(drawn, left, EDGE + (names + GAP if names else 0.0), head, foot))
    _set_limits(axes, "x", across + [mark.at for mark in marks], x)
    if band:
        axes.axhspan(band.low, band.high, color=BAND, lw=0, zorder=0)
    _draw_marks(axes, marks, levels)
    for i, line in enumerate(series):
        dash = DASHES[i // len(CYCLE) % len(DASHES)]
        _draw_line(axes, line, CYCLE[i % len(CYCLE)], dash, y)
    _name_ends(axes, series, y)
    _text(drawn, EDGE, SMALL, y.name, MUTED)
    _name_x(drawn, axes, x)
    axes.spines[["top", "right"]].set_visible(False)
    return drawn


def _together(series: Sequence[Line]) -> list[Line]:
    """The lines, those that would lie under an equal one as one with all their names."""
    same: dict[str, list[Line]] = {}
    for line in series:
        same.setdefault(repr((line.x, line.seen)), []).append(line)
    return [replace(own[0], name=", ".join(each.name for each in own)) for own in same.values()]


def _draw_line(axes: Axes, line: Line, colour: str, dash: Any, y: Axis) -> None:
    values = [seen.value for seen in line.seen]
    axes.plot(line.x, values, color=colour, lw=1.8, ls=dash)
    bottom, top = axes.get_ylim()
    for place, seen in zip(line.x, line.seen, strict=True):
        if seen.high > seen.low:
            ends = [max(bottom, seen.low), min(top, seen.high)]
            axes.plot([place, place], ends, color=colour, lw=1.6)
        (dot,) = axes.plot([place], [seen.value], "o", ms=5.5, color=colour, clip_on=False)
        _titled(dot, f"{line.name}: {y.tick(seen.value)}" if line.name else y.tick(seen.value))


def _draw_marks(axes: Axes, marks: Sequence[Mark], levels: Sequence[Mark]) -> None:
    """Named places: across above the panel where they do not touch, heights within it."""
    free = -math.inf
    box = axes.get_window_extent()
    points = 72 / axes.figure.dpi
    for mark in sorted(marks, key=lambda each: each.at):
        axes.axvline(mark.at, color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=0)
        place = (axes.transData.transform((mark.at, 1))[0] - box.x0) * points
        width = text_width(mark.name, SMALL)
        start = min(place - width / 2, box.width * points - width)
        if start > free:
            axes.annotate(
                mark.name, (0, 1), (start, 4), xycoords="axes fraction",
                textcoords="offset points", color=MUTED, fontsize=SMALL, annotation_clip=False,
            )  # fmt: skip
            free = start + width + GAP
    for mark in levels:
        axes.axhline(mark.at, color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=0)
        axes.annotate(
            mark.name, (0, mark.at), (4, 3), xycoords=axes.get_yaxis_transform(),
            textcoords="offset points", color=MUTED, fontsize=SMALL,
        )  # fmt: skip


def _name_ends(axes: Axes, series: Sequence[Line], y: Axis) -> None:
    """Names to the right of where lines end, moved apart; a thin leader leads to each."""
    if len(series) < 2:
        return
    bottom, top = axes.get_ylim()
    scale = math.log if y.log else float
    low, high = scale(bottom), scale(top)
    heights = [(scale(line.seen[-1].value) - low) / (high - low) * PLOT_HEIGHT for line in series]
    ends = spread(heights, SMALL * 1.25, PLOT_HEIGHT)
    points, box = 72 / axes.figure.dpi, axes.get_window_extent()
    for i, (line, end) in enumerate(zip(series, ends, strict=True)):
        last = (line.x[-1], line.seen[-1].value)
        x, y = axes.transData.transform(last) * points
        axes.annotate(
            line.name, last, (box.x1 * points + GAP - x, box.y0 * points + end - y),
            textcoords="offset points", va="center", fontsize=SMALL, annotation_clip=False,
            color=CYCLE[i % len(CYCLE)],
        )  # fmt: skip


def spread(values: Sequence[float], least: float, highest: float) -> list[float]:
    """Positions for names: near their values, at least so far apart, and within 0 … highest."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(values[i], placed[-1] + least) if placed else values[i])
    # Pushing only upwards would leave the names above their lines on average.
    shift = sum(p - values[i] for p, i in zip(placed, order, strict=True)) / max(1, len(order))
    top, last = max(highest, least * (len(order) - 1)), len(order) - 1
    positions = [0.0] * len(values)
    for k, (p, i) in enumerate(zip(placed, order, strict=True)):
        # Room is left for those below and for those above.
        positions[i] = min(max(p - shift, k * least), top - (last - k) * least)
    return positions


# ---- tables as figures --------------------------------------------------------------------------


def matrix(table: Table) -> Figure:
    """A table drawn, for where no HTML is: beside the page, and in Snakemake's own report."""
    texts = [[f"{each.name} ({each.unit})" if each.unit else each.name for each in table.columns]]
    texts += [[*map(written, row)] for row in table.rows]
    cells = [[textwrap.wrap(each, CELL, break_long_words=False) for each in row] for row in texts]
    heights = [ROW + 1.3 * SMALL * (max(1, *map(len, row)) - 1) for row in cells]
    wide = [
        GAP
        + max(
            text_width(line, SMALL, not i or not y)
            for y, row in enumerate(cells)
            for line in row[i] or [""]
        )
        for i in range(len(table.columns))
    ]
    width = max(WIDTH, sum(wide) + 2 * EDGE)
    drawn = _figure(sum(heights) + 2 * EDGE, width)
    axes = _axes(drawn, EDGE, EDGE, EDGE, EDGE)
    axes.set_axis_off()
    axes.set_xlim(0, width - 2 * EDGE)
    axes.set_ylim(sum(heights), 0)
    top = 0.0
    for y, row in enumerate(cells):
        right = 0.0
        for i, cell in enumerate(row):
            weight = "normal" if y and i else "bold"
            for k, line in enumerate(cell):
                down = top + ROW / 2 + 1.3 * SMALL * k
                axes.text(right, down, line, va="center", fontsize=SMALL, fontweight=weight)
            right += wide[i]
        top += heights[y]
    return drawn


def nothing(why: str) -> Figure:
    """The figure of an answer for which nothing could be measured."""
    drawn = _figure(ROW + _lines_height(why))
    _text(drawn, EDGE, ROW, why, INK)
    return drawn


# ---- drawn by hand ------------------------------------------------------------------------------


def canvas(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty drawing of so many points, whose coordinates are points from the upper left."""
    drawn = _figure(height, width)
    axes = _axes(drawn, 0, 0, 0, 0)
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    return drawn, axes


def fitting(text: str, size: float, room: float, strong: bool = False) -> float:
    """The size of letters, at most the given one, in which a text has room in so many points."""
    return size * min(1.0, room / max(text_width(text, size, strong), 1.0))


def bar(axes: Axes, place: tuple[float, float], size: tuple[float, float], title: str) -> None:
    """A bar on a :func:`canvas` from its upper left corner, with its value as its title."""
    mark = Rectangle(place, *size, color=BLUE, lw=0)
    axes.add_patch(mark)
    _titled(mark, title)


# ---- what all kinds share -----------------------------------------------------------------------


def _figure(height: float, width: float = WIDTH) -> Figure:
    """An empty figure of so many points."""
    sns.set_theme(style="ticks", rc=STYLE)
    return Figure(figsize=(width / 72, height / 72), dpi=72)


def _axes(drawn: Figure, left: float, right: float, top: float, bottom: float) -> Axes:
    return drawn.add_axes(_box(drawn, left, right, top, bottom))


def _box(
    drawn: Figure, left: float, right: float, top: float, bottom: float
) -> tuple[float, float, float, float]:
    """Where axes lie that leave so many points free at each border, in shares of the figure."""
    width, height = (72 * each for each in drawn.get_size_inches())
    return (
        left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height,
    )  # fmt: skip


def _text(drawn: Figure, x: float, down: float, text: str, colour: str) -> None:
    """Text at so many points from the left and from the top, in lines."""
    width, height = (72 * each for each in drawn.get_size_inches())
    for i, line in enumerate(_wrapped(text)):
        drawn.text(
            x / width, 1 - (down + 1.3 * SMALL * i) / height, line, color=colour, fontsize=SMALL,
            va="baseline",
        )  # fmt: skip


def _name_x(drawn: Figure, axes: Axes, axis: Axis) -> None:
    """The axis's name below its ticks, in as many lines as the drawing's width asks for."""
    height = 72 * drawn.get_size_inches()[1]
    below = height - 1.3 * SMALL * (len(_wrapped(axis.name)) - 1) - 0.5 * SMALL
    _text(drawn, EDGE, below, axis.name, MUTED)


def _wrapped(text: str) -> list[str]:
    """Text in lines that the drawing's width holds; ``95 %`` stays together."""
    letters = int((WIDTH - 2 * EDGE) / (0.58 * SMALL))
    lines = textwrap.wrap(text.replace(" %", "\u00a0%"), letters) or [""]
    return [line.replace("\u00a0", " ") for line in lines]


def _lines_height(text: str) -> float:
    return 1.3 * SMALL * len(_wrapped(text)) + 0.6 * SMALL


def text_width(text: str, size: float, strong: bool = False) -> float:
    """The width of text in points."""
    if not text:
        return 0.0
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if strong else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0])


def _three(seen: Interval) -> tuple[float, float, float]:
    return seen.value, seen.low, seen.high


def _set_limits(axes: Axes, which: str, values: Sequence[float], axis: Axis) -> None:
    """Limits a little wider than the values, and a few ticks whose names do not touch."""
    least, most = axis.within
    known = [min(max(each, least), most) for each in values if not math.isnan(each)]
    known = [each for each in known if math.isfinite(each) and (each > 0 or not axis.log)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    if axis.log:
        axes.set_xscale("log") if which == "x" else axes.set_yscale("log")
        room = (high / low) ** 0.06 if high > low else 1.2
        low, high = low / room, high * room
    else:
        room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        low, high = max(least, low - room), min(most, high + room)
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    named = axes.xaxis if which == "x" else axes.yaxis
    named.set_minor_locator(NullLocator())
    places = _ticks(axes, which, axis)
    named.set_major_locator(FixedLocator(places))
    named.set_ticklabels([axis.tick(each) for each in places])


def _ticks(axes: Axes, which: str, axis: Axis) -> list[float]:
    """Where ticks stand: as given, or a few round values; fewer where names touch or stand out."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    places = [*axis.ticks] or _round_values(low, high, axis.log)
    places = [each for each in places if low <= each <= high] or [low, high]
    if which == "y":
        return places
    points = 72 / axes.figure.dpi

    def ends(place: float) -> tuple[float, float]:
        middle, half = (
            axes.transData.transform((place, 1))[0],
            text_width(axis.tick(place), SMALL) / 2,
        )
        return middle * points - half, middle * points + half

    border = axes.figure.bbox.width * points
    inside = [place for place in places if ends(place)[0] >= 0 and ends(place)[1] <= border]
    places = inside if len(inside) > 1 else places
    if axis.ticks:  # uneven ones: as many as have room
        kept = places[:1]
        for place in places[1:]:
            if ends(place)[0] - ends(kept[-1])[1] >= GAP / 2:
                kept.append(place)
        return kept
    while len(places) > 2 and any(ends(b)[0] - ends(a)[1] < GAP / 2 for a, b in pairwise(places)):
        places = places[::2]
    return places


def _round_values(low: float, high: float, log: bool) -> list[float]:
    if not log:
        return [float(each) for each in MaxNLocator(TICKS).tick_values(low, high)]
    decades = math.log10(high / low)
    steps = (1.0,) if decades > 2 else (1.0, 3.0) if decades > 1 else (1.0, 2.0, 5.0)
    found = [float(each) for each in LogLocator(subs=steps, numticks=20).tick_values(low, high)]
    within = [each for each in found if low <= each <= high]
    if len(within) < 2:
        return [float(each) for each in MaxNLocator(TICKS).tick_values(low, high)]
    return within[:: math.ceil(len(within) / (TICKS + 2))]


def _titled(mark: Any, text: str) -> None:
    """Keep a mark's value with it, for :func:`svg`."""
    mark.set_gid("mark")
    mark.set_label(text)


def svg(drawn: Figure, alternative: str) -> str:
    """A figure as SVG, each mark with its value as a title, described by its text alternative."""
    titles: list[Any] = drawn.findobj(lambda artist: artist.get_gid() == "mark")
    for number, mark in enumerate(titles):
        mark.set_gid(f"mark-{number}")
    text = io.StringIO()
    drawn.savefig(text, format="svg", metadata={"Date": None, "Description": alternative})
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(text.getvalue())
    named = {f"mark-{number}": str(mark.get_label()) for number, mark in enumerate(titles)}
    for group in root.iter(f"{{{SVG}}}g"):
        if group.get("id") in named:
            title = ElementTree.Element(f"{{{SVG}}}title")
            title.text = named[str(group.get("id"))]
            group.insert(0, title)
    return ElementTree.tostring(root, encoding="unicode")


def save(drawn: Figure, path: Path, alternative: str) -> str:
    """Write a figure as SVG, with its text alternative, and beside it as PNG; returns the SVG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path.with_suffix(".png"), dpi=160, facecolor="white")
    text = svg(drawn, alternative)
    write_atomically(path, text)
    return text
