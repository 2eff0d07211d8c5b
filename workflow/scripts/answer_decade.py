"""Has GPU performance increased by a factor of 1000 every decade?

Published peaks from a cited table (never results of ours) are fitted by year, one line per number
format and one through the best of each year in any format; beside them stand the fastest products
that this machine was measured to compute.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from assay import hardware
from assay.answer import question, verdict
from assay.answer import old_figure as figure
from assay.hardware import Item
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status
from assay.statistic import Interval
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

TABLE = Path(__file__).resolve().parents[2] / "resources/peak-flops/peak_flops.csv"
COLUMNS = ["year", "chip", "format", "peak_flops", "source"]
CLAIM = 1000.0  # times a decade, as the exercise's book has it
DECADE = 10
CONFIDENCE = 0.95
LEAST_YEARS, LEAST_CHIPS = 8, 4  # under which a line through the peaks says nothing of a decade

FORMATS = ["float64", "float32", "float16", "fp8", "fp4"]  # of the table, wide ones first
MIXED = "best of any format"
PUBLISHED = {
    "float64": "float64",
    "float32": "float32",
    "bfloat16": "float16",
    "float16": "float16",
}
COLOURS = dict(
    zip(
        FORMATS,
        [figure.BLUE, figure.RED, figure.GREEN, figure.PINK, figure.ORANGE],
        strict=True,
    )
)


# ---- the table and its trends --------------------------------------------------------------------


def published(path: Path = TABLE) -> pd.DataFrame:
    """The cited table.

    Raises:
        SystemExit: It is missing or is not that table; the message names it.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{path}: cannot be read ({error}).") from error
    if list(table.columns) != COLUMNS:
        raise SystemExit(f"{path}: its columns must be {', '.join(COLUMNS)}.")
    unknown = sorted(set(table["format"]) - set(FORMATS))
    if unknown or table.isna().any(axis=None) or not (table["peak_flops"] > 0).all():
        what = f"unknown format {unknown[0]!r}" if unknown else "a cell is empty or not positive"
        raise SystemExit(f"{path}: {what}.")
    return table


def best_of_each_year(table: pd.DataFrame) -> pd.DataFrame:
    """The highest peak of each year, whatever its format."""
    return table.sort_values(["year", "peak_flops"]).drop_duplicates("year", keep="last")


@dataclass(frozen=True)
class Trend:
    """A line through log₁₀ of the peaks by year, by least squares."""

    name: str
    chips: int
    first: int  # year
    last: int
    slope: float  # log₁₀(FLOP/s) a year
    low: float  # of its interval
    high: float
    intercept: float

    @property
    def comparison(self) -> Comparison:
        """The claim's growth in a decade relative to this one; above 1 it grew slower."""
        grew = Interval(*(factor(each) for each in (self.slope, self.low, self.high)))
        return verdict.unpaired(Interval(CLAIM, CLAIM, CLAIM), grew)

    def at(self, year: float) -> float:
        """The fitted peak of that year in FLOP/s."""
        return float(10 ** (self.intercept + self.slope * year))

    def year_of(self, flops: float) -> float:
        """The year in which the line passes that many FLOP/s."""
        return (math.log10(flops) - self.intercept) / self.slope


def factor(slope: float) -> float:
    """Growth in a decade, of a slope in log₁₀ a year."""
    return float(10 ** (DECADE * slope))


def trend(name: str, rows: pd.DataFrame) -> Trend | None:
    """The line through these peaks; None where they are too few or of too few years."""
    first, last = int(rows["year"].min()), int(rows["year"].max())
    if last - first < LEAST_YEARS or rows["chip"].nunique() < LEAST_CHIPS:
        return None
    fitted = sm.OLS(np.log10(rows["peak_flops"]), sm.add_constant(rows["year"].astype(float))).fit()
    low, high = fitted.conf_int(1 - CONFIDENCE).loc["year"]
    return Trend(
        name=name,
        chips=len(rows),
        first=first,
        last=last,
        slope=float(fitted.params["year"]),
        low=float(low),
        high=float(high),
        intercept=float(fitted.params["const"]),
    )


def trends(table: pd.DataFrame) -> dict[str, Trend]:
    """The lines that can be drawn: one per number format, and one through the best of each year."""
    groups = {
        name: table[table["format"] == name] for name in FORMATS if name in set(table["format"])
    }
    groups[MIXED] = best_of_each_year(table)
    return {name: line for name, rows in groups.items() if (line := trend(name, rows))}


@dataclass(frozen=True)
class Jump:
    """What ten years came to between two chips."""

    ratio: float
    before: pd.Series
    after: pd.Series


def largest_jump(rows: pd.DataFrame) -> Jump | None:
    """The largest ratio between the best of two years ten years apart; None without such years."""
    best = {int(row["year"]): row for _, row in best_of_each_year(rows).iterrows()}
    pairs = [
        Jump(float(best[year + DECADE]["peak_flops"] / row["peak_flops"]), row, best[year + DECADE])
        for year, row in best.items()
        if year + DECADE in best
    ]
    return max(pairs, key=lambda each: each.ratio, default=None)


# ---- this machine --------------------------------------------------------------------------------


def measured(records: Iterable[Record]) -> pd.DataFrame:
    """The fastest product that was measured on each device in each number format."""
    found = [
        row
        for each in records
        for trial in each.trials
        if trial.status == Status.OK and (row := _measured(each, trial))
    ]
    columns = ["device", "dtype", "format", "n", "year", "flops", "flops_low", "flops_high"]
    table = pd.DataFrame(found, columns=columns)
    return table.loc[table.groupby(["device", "dtype"], sort=False)["flops"].idxmax()]


def _measured(each: Record, trial: Any) -> dict[str, Any] | None:
    flops, dtype = trial.result.get("throughput_flops"), trial.what.get("dtype")
    if not flops or dtype not in PUBLISHED:
        return None
    arm = trial.result.get("arms", {}).get(trial.result.get("arm", "target"), {})
    median = arm.get("time_median_s", 1.0)
    return {
        "device": each.axes["device"],
        "dtype": dtype,
        "format": PUBLISHED[dtype],
        "n": trial.what.get("n"),
        "year": int(each.provenance.started[:4]),
        "flops": flops,
        "flops_low": flops * median / arm.get("time_high_s", median),
        "flops_high": flops * median / arm.get("time_low_s", median),
    }


def names(records: Iterable[Record]) -> dict[str, str]:
    """What each device is, by its label."""
    found = {}
    for each in records:
        values = hardware.values(each, Item.GPU) or hardware.values(each, Item.CPU)
        if name := values.get("name") or values.get("brand"):
            found[str(each.axes["device"])] = str(name)
    return found


# ---- words ---------------------------------------------------------------------------------------


def growth(line: Trend) -> str:
    """Growth in a decade with its interval: ``19 [15, 24] ×``."""
    return (
        f"{_short(factor(line.slope))} [{_short(factor(line.low))}, {_short(factor(line.high))}] ×"
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def flops_in_words(value: float) -> str:
    """FLOP/s as people write them: ``346 GFLOP/s``, ``19.5 TFLOP/s``, ``9 PFLOP/s``."""
    unit, prefix = next(
        (each for each in ((1e15, "P"), (1e12, "T")) if value >= each[0]), (1e9, "G")
    )
    scaled = value / unit
    return f"{scaled:.0f} {prefix}FLOP/s" if scaled >= 100 else f"{scaled:.3g} {prefix}FLOP/s"


SAYING = {
    Word.SLOWER: "slower than",
    Word.FASTER: "faster than",
    Word.SAME: f"within {verdict.MARGIN:.0%} the same as",
    Word.UNKNOWN: "cannot tell from",
}


def sentence(lines: Mapping[str, Trend], words: Mapping[str, Word], jump: Jump | None) -> str:
    """The answer: growth at a fixed number format, then with formats mixed."""
    fixed = [name for name in FORMATS if name in lines]
    if not fixed:
        return "Cannot tell: the table spans too few years of any number format."
    claimed = f"{CLAIM:g} a decade"
    slower = [name for name in fixed if words[name] == Word.SLOWER]
    grew = ", ".join(f"{name} {growth(lines[name])}" for name in fixed)
    if len(slower) == len(fixed):
        first = f"No: at a fixed number format peaks grew more slowly than {claimed} ({grew})"
    else:
        said = "; ".join(f"{name} {SAYING[words[name]]} {claimed}" for name in fixed)
        first = f"By number format: {said} ({grew})"
    if MIXED not in lines:
        return f"{first}."
    mixed = f"mixing formats, the best of each year grew {growth(lines[MIXED])}"
    if words[MIXED] == Word.SLOWER:
        mixed += ", still slower"
        if jump and jump.ratio >= CLAIM:
            mixed += f"; {CLAIM:g} is reached only between two years picked for it, and two formats"
    else:
        mixed += f" ({SAYING[words[MIXED]]} {claimed})"
    return f"{first}; {mixed}."


def trend_findings(
    table: pd.DataFrame, lines: Mapping[str, Trend], words: Mapping[str, Word]
) -> list[str]:
    """What each line comes to, and which formats have none."""
    found = []
    for name, line in lines.items():
        found.append(
            f"{name}: {growth(line)} a decade ({line.chips} peaks, {line.first} to {line.last}), "
            f"{SAYING[words[name]]} {CLAIM:g}."
        )
    for name in FORMATS:
        rows = table[table["format"] == name]
        if name not in lines and len(rows):
            years = f"{rows['year'].min()} to {rows['year'].max()}"
            found.append(
                f"{name}: {len(rows)} peaks from {years} are too short a time for a trend."
            )
    return found


def jump_finding(name: str, jump: Jump | None) -> list[str]:
    """The largest growth in ten years, and between which chips."""
    if jump is None:
        return []
    ends = [
        f"{end['chip']} ({end['year']}, {end['format']}, {flops_in_words(end['peak_flops'])})"
        for end in (jump.before, jump.after)
    ]
    return [f"Largest growth within ten years, {name}: {jump.ratio:.0f} ×, {' to '.join(ends)}."]


def machine_findings(
    best: pd.DataFrame, lines: Mapping[str, Trend], called: Mapping[str, str]
) -> list[str]:
    """Where this machine stands among the peaks: in which year a GPU's was as high."""
    found = []
    for device, here in best.groupby("device", sort=False):
        parts = []
        for _, row in here.iterrows():
            line = lines.get(row["format"])
            as_of = f" ({_as_of(line, row['flops'])})" if line else ""
            parts.append(f"{row['dtype']} {flops_in_words(row['flops'])}{as_of}")
        name = called.get(str(device), "")
        named = f"{device} ({name})" if name else str(device)
        found.append(f"This machine's fastest measured products, {named}: {'; '.join(parts)}.")
    return found


def _as_of(line: Trend, flops: float) -> str:
    year = line.year_of(flops)
    if year < line.first:
        return f"below a GPU's peak of {line.first}"
    if year > line.last:
        return f"above the line's end in {line.last}"
    return f"a GPU's peak of about {year:.0f}"


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the cited table, and from this machine's records of alignment and hardware."""
    return answer_from(published(), records)


def answer_from(table: pd.DataFrame, records: Sequence[Record]) -> Findings:
    """The same, from a given table."""
    lines = trends(table)
    found = verdict.judge([line.comparison for line in lines.values()])
    words = dict(zip(lines, found, strict=True))
    best, called = measured(records), names(records)
    mixed_jump = largest_jump(table)
    return Findings(
        sentence=sentence(lines, words, mixed_jump),
        findings=[
            *trend_findings(table, lines, words),
            *jump_finding("float32 only", largest_jump(table[table["format"] == "float32"])),
            *jump_finding("any format", mixed_jump),
            *(
                machine_findings(best, lines, called)
                or ["This machine: no product was measured, so it has no point of its own."]
            ),
        ],
        numbers=_numbers(lines, words, best),
        method=_method(table),
        caveats=CAVEATS,
        picture=Picture(
            title="Published peaks by year and number format",
            alternative=_alternative(lines, best),
        ),
        table=_page_table(table, lines, words, best),
        frame=_frame(table, lines, words, best),
        figure=_figure(table, lines, best),
    )


CAVEATS = [
    "The peaks are claims of data sheets, not measurements, and no program reaches all of one.",
    "The claim counts narrower number formats, tensor cores and often sparsity as if they were the "
    "same work done faster. Figures with sparsity, which are twice as high, are not used here.",
    "The table holds NVIDIA's largest chips; their power and price grew, too, "
    "so this is not growth at equal cost.",
    "Peaks of neighbouring years are not independent draws, and GeForce and data-centre chips "
    "alternate, so the intervals are a rough guide.",
]


def _numbers(
    lines: Mapping[str, Trend], words: Mapping[str, Word], best: pd.DataFrame
) -> dict[str, Any]:
    return {
        "claim_per_decade": CLAIM,
        "per_decade": {
            name: {
                "factor": factor(line.slope),
                "factor_low": factor(line.low),
                "factor_high": factor(line.high),
                "word": words[name].value,
            }
            for name, line in lines.items()
        },
        "this_machine": best.to_dict("records"),
    }


def _method(table: pd.DataFrame) -> list[str]:
    return [
        f"{len(table)} published dense peaks of {table['chip'].nunique()} chips, "
        f"{table['year'].min()} to {table['year'].max()}, from resources/peak-flops, each with the "
        "data sheet or whitepaper it stands in; a multiply-add counts as two operations.",
        "Least squares of log₁₀ FLOP/s on the year; growth in a decade is ten to the power of ten "
        f"slopes, with Student's {CONFIDENCE:.0%} interval; the slope is tested against that of "
        f"{CLAIM:g} a decade, Holm-corrected over all lines.",
        f"A line is drawn from {LEAST_CHIPS} chips over {LEAST_YEARS} years on. float16 stands for "
        "bfloat16, too.",
        "This machine's points are the fastest products of the question about alignment, in the "
        "year of the measurement.",
    ]


def _alternative(lines: Mapping[str, Trend], best: pd.DataFrame) -> str:
    grew = "; ".join(f"{name}: {growth(line)} a decade" for name, line in lines.items())
    own = "; ".join(
        f"{row['device']}, {row['dtype']}: {flops_in_words(row['flops'])}"
        for _, row in best.iterrows()
    )
    return (
        f"Published peaks of GPUs on a logarithmic scale by year, with a line per number format. "
        f"{grew}. This machine: {own or 'not measured'}."
    )


def _page_table(
    table: pd.DataFrame,
    lines: Mapping[str, Trend],
    words: Mapping[str, Word],
    best: pd.DataFrame,
) -> Table:
    columns = [
        Column(name="number format"),
        Column(name="peaks"),
        Column(name="years"),
        Column(name="growth in a decade"),
        Column(name=f"against {CLAIM:g}"),
        Column(name="this machine's best"),
    ]
    body: list[list[str | float | int | None]] = []
    for name in [*FORMATS, MIXED]:
        rows = best_of_each_year(table) if name == MIXED else table[table["format"] == name]
        if rows.empty:
            continue
        line = lines.get(name)
        own = "; ".join(
            f"{row['device']}: {flops_in_words(row['flops'])} ({row['dtype']})"
            for _, row in best[best["format"] == name].iterrows()
        )
        body.append(
            [
                name,
                len(rows),
                f"{rows['year'].min()} to {rows['year'].max()}",
                growth(line) if line else "too short a time",
                verdict.told(line.comparison, words[name]) if line else "",
                own or None,
            ]
        )
    return Table(columns=columns, rows=body)


def _frame(
    table: pd.DataFrame, lines: Mapping[str, Trend], words: Mapping[str, Word], best: pd.DataFrame
) -> pd.DataFrame:
    """Tidy: one row per published peak, one per measured product, and one per line.

    The ratio of a line is the claim's growth in a decade over its own.
    """
    judged = pd.DataFrame(
        {
            "kind": "trend",
            "format": name,
            "peaks": line.chips,
            "growth": factor(line.slope),
            "growth_low": factor(line.low),
            "growth_high": factor(line.high),
            **verdict.row(line.comparison),
            "verdict": words[name].value,
        }
        for name, line in lines.items()
    )
    own = best.rename(columns={"flops": "peak_flops", "device": "chip"})
    own = own.assign(source="fastest product measured here")
    return pd.concat([table.assign(kind="published"), own.assign(kind="measured"), judged])


# ---- the figure ----------------------------------------------------------------------------------


def _figure(table: pd.DataFrame, lines: Mapping[str, Trend], best: pd.DataFrame) -> Figure:
    """Peaks by year with their lines, the claim's slope, and this machine."""
    drawn, grid = figure.panels(1, height_in=4.4)
    axes = grid[0, 0]
    axes.set_yscale("log")
    first, last = int(table["year"].min()), int(table["year"].max())
    for name, rows in table.groupby("format"):
        axes.plot(rows["year"], rows["peak_flops"], "o", ms=4, color=COLOURS[str(name)])
    _draw_lines(axes, lines)
    _draw_claim(axes, table, first, last)
    _draw_machine(axes, best)
    _label_formats(axes, table, lines)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("year")
    axes.set_ylabel("peak FLOP/s, dense")
    axes.grid(axis="y", lw=0.6)
    return drawn


def _draw_lines(axes: Axes, lines: Mapping[str, Trend]) -> None:
    for name, line in lines.items():
        years = [line.first, line.last]
        style = {"color": figure.INK, "ls": (0, (5, 3))} if name == MIXED else {}
        axes.plot(
            years,
            [line.at(year) for year in years],
            **{"color": COLOURS.get(name), "lw": 1.4} | style,
        )


def _draw_claim(axes: Axes, table: pd.DataFrame, first: int, last: int) -> None:
    """What the claim would have come to, from the first chip of the table on."""
    start = float(table.loc[table["year"] == first, "peak_flops"].max())
    end = start * CLAIM ** ((last - first) / DECADE)
    axes.plot([first, last], [start, end], color=figure.MUTED, lw=1, ls=":")
    axes.annotate(
        f"the claim: {CLAIM:g} × a decade",
        ((first + last) / 2, math.sqrt(start * end)),
        (-6, 4),
        textcoords="offset points",
        ha="right",
        fontsize=9,
        color=figure.INK,
    )


def _draw_machine(axes: Axes, best: pd.DataFrame) -> None:
    for _, row in best.iterrows():
        axes.errorbar(
            [row["year"]],
            [row["flops"]],
            yerr=[[row["flops"] - row["flops_low"]], [row["flops_high"] - row["flops"]]],
            fmt="D",
            ms=6,
            mfc="none",
            mew=1.5,
            color=COLOURS[row["format"]],
        )
    for device, here in best.groupby("device", sort=False):
        lowest = here.loc[here["flops"].idxmin()]
        axes.annotate(
            f"measured on {device}",
            (lowest["year"], lowest["flops"]),
            (7, -8),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8,
        )


def _label_formats(axes: Axes, table: pd.DataFrame, lines: Mapping[str, Trend]) -> None:
    """Names and growth at the right end, in the order of the lines, without touching."""
    labels: dict[str, float] = {}
    for name in FORMATS:
        rows = table[table["format"] == name]
        if len(rows):
            end = lines[name].at(lines[name].last) if name in lines else rows["peak_flops"].median()
            labels[name] = math.log10(end)
    if MIXED in lines:
        labels[MIXED] = math.log10(lines[MIXED].at(lines[MIXED].last))
    heights = figure.spread(list(labels.values()), 0.56, math.log10(axes.get_ylim()[1]))
    for (name, _), height in zip(labels.items(), heights, strict=True):
        text = name + (f"\n{growth(lines[name])} a decade" if name in lines else "")
        axes.annotate(
            text,
            (1, 10**height),
            (5, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=COLOURS.get(name, figure.INK),
            annotation_clip=False,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("decade", answer, argv)


if __name__ == "__main__":
    main()
