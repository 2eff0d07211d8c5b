"""Has GPU performance increased by a factor of 1000 every decade?

Published peaks from a cited table (never results of ours) are fitted by year, one line per number
format and one through the best of each year in any format; beside them stand the fastest products
that this machine was measured to compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from assay.answer import arms, figure, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Line
from assay.answer.model import Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record
from assay.statistic import Interval

TABLE = Path(__file__).resolve().parents[2] / "resources/peak-flops/peak_flops.csv"
COLUMNS = ["year", "chip", "format", "peak_flops", "source"]
PRODUCT = ["device", "dtype", "format", "n", "year", "flops", "flops_low", "flops_high"]
CLAIM = 1000.0  # times a decade, as the exercise's book has it
DECADE = 10
TERA = 1e-12
CONFIDENCE = 0.95
LEAST_YEARS, LEAST_CHIPS = 8, 4  # under which a line through the peaks says nothing of a decade

FORMATS = ["float64", "float32", "float16", "fp8", "fp4"]  # of the table, wide ones first
HEAD = "float32"  # of which the headline speaks, where it has a trend
MIXED = "best of any format"
PUBLISHED = {name: name for name in FORMATS[:3]} | {"bfloat16": "float16"}  # by its dtype
TITLE = "Growth of published peaks in a decade, against the claim of 1000"
PEAKS = "Published peaks by year, the best chip of each, and alignment's fastest product here"


# ---- what was published, and what was measured here ----------------------------------------------


def published(path: Path = TABLE) -> pd.DataFrame:
    """The cited table.

    Raises:
        SystemExit: It is missing or is not that table; the message names it.
    """
    return trials.cited(path, COLUMNS, "peak_flops", "format", FORMATS)


def best_of_each_year(table: pd.DataFrame) -> pd.DataFrame:
    """The highest peak of each year, whatever its format."""
    return table.sort_values(["year", "peak_flops"]).drop_duplicates("year", keep="last")


def trend(name: str, rows: pd.DataFrame) -> Arm:
    """The growth in a decade of these peaks, by a line through log₁₀ FLOP/s by year.

    It is beside the claim's, which above 1 grew faster; there is none of too few chips, or years.
    """
    first, last = int(rows["year"].min()), int(rows["year"].max())
    line = Arm("", "", name, name, extras={"peaks": len(rows), "years": f"{first} to {last}"})
    if last - first < LEAST_YEARS or rows["chip"].nunique() < LEAST_CHIPS:
        return replace(line, lost="too short a time")
    fitted = sm.OLS(np.log10(rows["peak_flops"]), sm.add_constant(rows["year"].astype(float))).fit()
    slopes = (fitted.params["year"], *fitted.conf_int(1 - CONFIDENCE).loc["year"])
    growth = Interval(*(float(10 ** (DECADE * each)) for each in slopes))
    return replace(line, value=growth, seen=verdict.unpaired(Interval(*[CLAIM] * 3), growth))


def groups(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The peaks of each number format, and the best of each year."""
    found = {name: table[table["format"] == name] for name in FORMATS}
    return {k: v for k, v in found.items() if len(v)} | {MIXED: best_of_each_year(table)}


def trends(table: pd.DataFrame) -> dict[str, Arm]:
    """A line for each number format, and one through the best of each year."""
    found = arms.judged([trend(name, rows) for name, rows in groups(table).items()])
    return {line.name: line for line in found}


def largest_jump(rows: pd.DataFrame) -> tuple[float, pd.Series, pd.Series] | None:
    """The largest ratio between the best of two years ten years apart, and both.

    None without such years.
    """
    best = {int(row["year"]): row for _, row in best_of_each_year(rows).iterrows()}
    pairs = ((row, best[year + DECADE]) for year, row in best.items() if year + DECADE in best)
    jumps = [(float(b["peak_flops"] / a["peak_flops"]), a, b) for a, b in pairs]
    return max(jumps, key=lambda jump: jump[0], default=None)


def measured(records: Iterable[Record]) -> pd.DataFrame:
    """The fastest product that was measured on each device in each number format."""
    found = []
    for each, trial in [(e, t) for e in question.measured(records) for t in e.trials]:
        result: Any = trial.result
        dtype, flops = str(trial.what.get("dtype")), result.get("throughput_flops")
        if dtype in PUBLISHED and flops:
            arm = result.get("arms", {}).get(result.get("arm", "target"), {})
            median = arm.get("time_median_s", 1.0)
            ends = (flops * median / arm.get(f"time_{end}_s", median) for end in ("high", "low"))
            where = (each.axes["device"], dtype, PUBLISHED[dtype], trial.what.get("n"))
            found.append((*where, int(each.provenance.started[:4]), flops, *ends))
    table = pd.DataFrame(found, columns=PRODUCT)
    return table.loc[table.groupby(["device", "dtype"], sort=False)["flops"].idxmax()]


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the cited table, and from this machine's records of alignment."""
    return answer_from(published(), records)


def answer_from(table: pd.DataFrame, records: Sequence[Record]) -> Findings:
    """The same, from a given table."""
    lines, best = trends(table), measured(records)
    return Findings(
        **vars(_tell(table, lines)),
        numbers={
            "claim_per_decade": CLAIM,
            "per_decade": {
                name: {**verdict.ends("factor", line.value), "word": line.word}
                for name, line in lines.items()
                if line.seen
            },
            "this_machine": best.to_dict("records"),
        },
        why=_why(table),
        method=[
            f"{len(table)} published dense peaks of {table['chip'].nunique()} chips, "
            f"{table['year'].min()} to {table['year'].max()}, from resources/peak-flops, each with "
            "its data sheet or whitepaper; a multiply-add counts as two operations.",
            "Least squares of log₁₀ FLOP/s on the year, with Student's interval of the slope; "
            "growth in a decade is ten to the power of ten slopes. A line needs "
            f"{LEAST_CHIPS} chips over {LEAST_YEARS} years. float16 stands for bfloat16, too.",
            "This machine's points are its fastest products in the question about alignment.",
        ],
        caveats=CAVEATS,
        views=_growth(lines),
        folded=_peaks(table, best),
        table=_table(lines, best),
        frame=_frame(table, lines, best),
    )


CAVEATS = [
    "Peaks are claims of data sheets, without sparsity; no program reaches all of one.",
    "NVIDIA's largest chips only, whose power and price grew, too: no growth at equal cost.",
    "Years are no independent draws; GeForce and data-centre chips alternate: intervals are rough.",
]
CLAIMS = {  # of one number format, and of the best of any
    Word.SLOWER: ("No", "Even mixing formats gives less than 1000 ×."),
    Word.FASTER: ("Yes, and more", "Mixing formats gives more than 1000 ×."),
    Word.SAME: ("Yes", "Mixing formats gives 1000 ×."),
    Word.UNKNOWN: ("Cannot tell", "Mixing formats: cannot tell."),
}


def _tell(table: pd.DataFrame, lines: Mapping[str, Arm]) -> Told:
    """Growth at a fixed number format, then with formats mixed."""
    words = {name: line.word for name, line in lines.items() if line.word}
    name = next((each for each in (HEAD, *FORMATS) if each in words), HEAD)
    cells = [Main(each, words.get(each, Word.UNKNOWN)) for each in (name, MIXED)]
    grew = lines[name].value if name in words else None
    if grew is None:
        sentence = "Cannot tell: the table spans too few years of any number format."
        return Told("Cannot tell: too few years", sentence, "", cells)
    start, beyond = CLAIMS[words[name]][0], CLAIMS[words.get(MIXED, Word.UNKNOWN)][1]
    short = f"{start}: {say.number(grew.value, 2)} × a decade in {name}"
    first = f"{start}: in {name} the peaks of GPUs grew {_told(grew)} a decade."
    # Formats are not to be mixed, where only that makes the claim true.
    jump = largest_jump(table)
    so = "Compare peaks within one number format: 1000 × takes two formats and two picked years."
    picked = set(words.values()) == {Word.SLOWER} and jump and jump[0] >= CLAIM
    return Told(short, f"{first} {beyond}", so if picked else "", cells)


def _why(table: pd.DataFrame) -> list[str]:
    """The largest growth in ten years, and between which chips."""
    if not (jump := largest_jump(table)):
        return []
    ratio, *chips = jump
    ends = [
        f"{chip['chip']} ({chip['year']}, {chip['format']}, "
        f"{say.quantity(chip['peak_flops'], 'FLOP/s')})"
        for chip in chips
    ]
    return [f"Largest growth within ten years: {say.number(ratio)} ×, from {' to '.join(ends)}."]


def _growth(lines: Mapping[str, Arm]) -> list[Shown]:
    """Growth in a decade by number format, against the claim."""
    if not any(line.value for line in lines.values()):
        return question.nothing(TITLE)
    ticks = (1, 10, 100, 1000, 10_000)
    axis = Axis("times in a decade (bar: 95 %; line: the claim)", say.count, log=True, ticks=ticks)
    rows = []
    for name, line in lines.items():
        text = f"{say.number(line.value.value, 2)} ×, {line.word}" if line.value else line.lost
        short = replace(line, label=line.label.removeprefix("best of "))  # one line to a row
        rows.append(short.row(seen=line.value, text=text, strong=name == HEAD))
    return [question.dotted(TITLE, {"": rows}, axis, line=CLAIM)]


def _peaks(table: pd.DataFrame, best: pd.DataFrame) -> list[Shown]:
    """The highest peak so far by year and number format, beside this machine."""
    lines = []
    for name, rows in groups(table).items():
        if name != MIXED and rows["year"].nunique() > 1:
            yearly = best_of_each_year(rows)
            highest = TERA * yearly["peak_flops"].cummax()
            lines.append(Line(name, [*yearly["year"]], [Interval(x, x, x) for x in highest]))
    if not lines:
        return []
    for _, row in best.loc[best.groupby("device", sort=False)["flops"].idxmax()].iterrows():
        seen = Interval(*(TERA * row[key] for key in ("flops", "flops_low", "flops_high")))
        lines.append(Line(f"{row['device']} here", [row["year"]], [seen]))
    years = Axis("year", lambda value: f"{value:.0f}", ticks=range(1990, 2100, 5))
    drawn = figure.lines(lines, years, Axis("highest published peak so far, TFLOP/s", log=True))
    ends = [f"{line.name} {say.number(line.seen[-1].value)} TFLOP/s" for line in lines]
    return [Shown(PEAKS, f"{PEAKS}. {', '.join(ends)}.", drawn)]


def _table(lines: Mapping[str, Arm], best: pd.DataFrame) -> Table:
    """One row per number format."""
    devices = best["device"].unique()

    def here(line: Arm) -> str | None:
        own = [
            f"{say.on(row['device'], devices)}{row['dtype']} {say.quantity(row['flops'], 'FLOP/s')}"
            for _, row in best[best["format"] == line.name].iterrows()
        ]
        return "; ".join(say.together(own, devices)) or None

    return arms.table(
        [*lines.values()],
        "number format",
        value="growth in a decade",
        told=_told,
        against="1000 × against it",
        extra={
            "peaks": arms.extra("peaks", str),
            "years": lambda line: line.extras["years"],
            "alignment's fastest here": here,
        },
    )


def _told(grew: Interval) -> str:
    """A factor whose interval spans powers of ten: each end with digits of its own."""
    value, low, high = (say.number(each, 2) for each in (grew.value, grew.low, grew.high))
    return f"{value} [{low}, {high}] ×"


def _frame(table: pd.DataFrame, lines: Mapping[str, Arm], best: pd.DataFrame) -> pd.DataFrame:
    """Tidy: one row per published peak, one per measured product, and one per line.

    The ratio of a line is the claim's growth in a decade over its own.
    """
    judged = [
        {"kind": "trend", "format": line.name, **line.extras, "verdict": line.word}
        | verdict.ends("growth", line.value)
        | verdict.row(line.seen)
        for line in lines.values()
        if line.seen
    ]
    own = best.rename(columns={"flops": "peak_flops", "device": "chip"})
    own = own.assign(kind="measured", source="alignment's fastest product here")
    return pd.concat([table.assign(kind="published"), own, pd.DataFrame(judged)])


main = partial(question.run, "decade", answer)

if __name__ == "__main__":
    main()
