"""The one visual style: palette, sizes, intervals, and how a figure is saved.

Figures are drawn in ink on nothing: the background is transparent and every neutral colour is one
of the constants below, which the page exchanges for its own so that a figure follows light and
dark. Colours come from the Okabe-Ito palette, which colour-blind readers can tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.patches import Rectangle

from assay.record import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#1b1f24"  # text and axes
MUTED = "#6b7280"  # what should step back: reference lines, notes
BAND = "#d9dee5"  # areas behind the data

# Okabe & Ito, "Color Universal Design" (2008); the yellow is left out, it is too pale on white.
ORANGE, SKY, GREEN, BLUE, RED, PINK = (
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
# From warm to cold, for five ordered groups.
SCALE = [RED, ORANGE, GREEN, SKY, BLUE]
CYCLE = [BLUE, RED, GREEN, PINK, ORANGE, SKY]

WIDTH_IN = 7.2  # full text width of the page
STYLE = {
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": BAND,
    "font.size": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "path",  # looks the same everywhere; the words are in the text alternative
    "svg.hashsalt": "torch-assay",  # the same data give the same file
}


def panels(
    rows: int, columns: int = 1, *, height_in: float = 2.4, **options: Any
) -> tuple[Figure, Any]:
    """A figure of equal panels at the page's text width.

    Args:
        rows: Rows of panels.
        columns: Columns of panels.
        height_in: Height of one row in inches.
        options: Passed to :func:`matplotlib.pyplot.subplots`.

    Returns:
        The figure and a two-dimensional array of axes.
    """
    sns.set_theme(style="ticks", palette=CYCLE, rc=STYLE)
    return plt.subplots(
        rows,
        columns,
        figsize=(WIDTH_IN, height_in * rows),
        squeeze=False,
        layout="constrained",
        **options,
    )


def mosaic(layout: str, *, height_in: float, **options: Any) -> tuple[Figure, dict[str, Axes]]:
    """A figure of unequal panels at the page's text width.

    Args:
        layout: One letter per panel, as :func:`matplotlib.pyplot.subplot_mosaic` takes it.
        height_in: Height of the figure in inches.
        options: Passed on to it.

    Returns:
        The figure and its axes by letter.
    """
    sns.set_theme(style="ticks", palette=CYCLE, rc=STYLE)
    return plt.subplot_mosaic(
        layout, figsize=(WIDTH_IN, height_in), layout="constrained", **options
    )


def spread(values: Sequence[float], least: float, highest: float) -> list[float]:
    """Positions for direct labels: near the values and in their order, but apart.

    Args:
        values: Where the labels belong.
        least: Distance between two labels, at least.
        highest: Where the uppermost label may stand.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(values[i], placed[-1] + least) if placed else values[i])
    # Pushing only upwards would leave the labels above their lines on average.
    shift = sum(p - values[i] for p, i in zip(placed, order, strict=True)) / max(1, len(order))
    shift = max(shift, placed[-1] - highest) if placed else 0.0
    positions = [0.0] * len(values)
    for p, i in zip(placed, order, strict=True):
        positions[i] = p - shift
    return positions


def ordered(count: int) -> list[str]:
    """Colours for an ordered series, from warm to cold."""
    return list(sns.blend_palette(SCALE, count).as_hex())


def label_ends(
    axes: Axes, x: float, values: Sequence[float], names: Sequence[str], colours: Sequence[str]
) -> None:
    """Name lines directly, to the right of where they end; leaders keep the names apart.

    Args:
        axes: The panel, with its lines drawn and its limits set.
        x: Where all lines end.
        values: The height of each end.
        names: The name of each line.
        colours: The colour of each line.
    """
    left, right = axes.get_xlim()
    low, high = axes.get_ylim()
    ends = spread(values, 0.065 * (high - low), high)
    for value, name, colour, end in zip(values, names, colours, ends, strict=True):
        axes.annotate(
            name,
            xy=(x, value),
            xytext=(right + 0.06 * (right - left), end),
            fontsize=8,
            va="center",
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),  # to the label's left end
                "color": colour,
                "linewidth": 0.7,
            },
        )


def nothing() -> Figure:
    """The figure of an answer for which nothing could be measured."""
    figure, grid = panels(1)
    grid[0, 0].text(0.5, 0.5, "Nothing could be measured", ha="center", va="center")
    grid[0, 0].set_axis_off()
    return figure


def interval(
    axes: Axes,
    x: Sequence[float],
    value: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    **options: Any,
) -> None:
    """Draw estimates as points with their confidence intervals as bars."""
    below = [v - lo for v, lo in zip(value, low, strict=True)]
    above = [hi - v for v, hi in zip(value, high, strict=True)]
    axes.errorbar(
        x,
        value,
        yerr=[below, above],
        **{"fmt": "o", "markersize": 5, "capsize": 2.5, "elinewidth": 1.4, **options},
    )


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix: a sign that can be read without its colour, and a few words.

    Attributes:
        text: What happened, in one or two short lines.
        sign: ``✓``, ``!``, ``✗``, or nothing for a cell that only tells.
    """

    text: str
    sign: str = ""


# Of the signs of a cell.
SIGN_COLOURS = {"✓": GREEN, "!": ORANGE, "✗": RED, "": BAND}


def matrix(
    axes: Axes, rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[Cell]]
) -> None:
    """Draw a matrix of outcomes: a tinted tile per cell, with its sign and its words.

    Args:
        axes: Where to draw.
        rows: Their names, from top to bottom.
        columns: Their names, from left to right; they stand above.
        cells: Row by row.
    """
    for y, row in enumerate(cells):
        for x, cell in enumerate(row):
            colour = SIGN_COLOURS[cell.sign]
            axes.add_patch(
                Rectangle((x - 0.47, y - 0.45), 0.94, 0.9, color=colour, alpha=0.22, lw=0)
            )
            for text, right, size, ink in ((cell.sign, 5, 10, colour), (cell.text, 18, 7, INK)):
                axes.annotate(
                    text,
                    (x - 0.47, y),
                    (right if cell.sign else 5, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=size,
                    color=ink,
                    linespacing=1.0,
                    in_layout=False,
                )
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(
        length=0, labelsize=8, top=True, labeltop=True, bottom=False, labelbottom=False
    )
    for spine in axes.spines.values():
        spine.set_visible(False)


def mark_x(axes: Axes, x: float, name: str) -> None:
    """A named vertical line behind the data; nothing where it lies outside the panel."""
    left, right = axes.get_xlim()
    if left < x < right:
        axes.axvline(x, color=MUTED, lw=1, ls=(0, (4, 3)), zorder=0)
        axes.annotate(
            name,
            (x, 1),
            (3, -2),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=INK,
        )


def mark_y(axes: Axes, y: float, name: str) -> None:
    """A named horizontal line behind the data."""
    axes.axhline(y, color=MUTED, lw=1, zorder=0)
    axes.annotate(
        name,
        (0.01, y),
        (0, 3),
        xycoords=axes.get_yaxis_transform(),
        textcoords="offset points",
        fontsize=8,
        color=INK,
    )


def save(figure: Figure, path: Path, alternative: str) -> None:
    """Write the figure as SVG and, beside it, as PNG on white; then close it.

    Args:
        figure: What to save.
        path: The SVG file; the PNG has the same stem.
        alternative: Text alternative, kept in the SVG's metadata.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Description": alternative})
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path.with_suffix(".png"), dpi=160, facecolor="white")
    plt.close(figure)
    write_atomically(path, text.getvalue())
