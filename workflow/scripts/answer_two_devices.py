"""Are two products on two devices at once almost twice as fast as in sequence on one?

The speed-up S is the time in sequence over the time at once, the reciprocal of the trial's ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any

import pandas as pd
from assay import occasion
from assay.answer import question, verdict
from assay.answer import old_figure as figure
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

IDEAL = 2.0
NEAR = 0.05  # of the ideal: what "almost linear" allows
MUCH = 0.5  # of the time: a hand-over this long has a part in the speed-up
QUESTION, STAND_IN = "question", "stand-in"
ARM = "at_once"


class Scaling(StrEnum):
    """What a speed-up comes to."""

    LINEAR = "almost linear"
    SUBLINEAR = "sublinear"
    FASTER = "faster"
    BEYOND = "more than linear"
    NONE = "none"
    LOSS = "a loss"
    UNKNOWN = "cannot tell"


MEANING = {
    Scaling.LINEAR: "almost linear",
    Scaling.SUBLINEAR: "faster, but less than linear",
    Scaling.FASTER: "faster, but cannot tell whether almost linear",
    Scaling.BEYOND: "more than twice as fast",
    Scaling.NONE: f"no speed-up beyond {verdict.MARGIN:.0%}",
    Scaling.LOSS: "slower than in sequence",
    Scaling.UNKNOWN: "cannot tell",
}


def scaling(seen: Comparison, word: Word) -> Scaling:
    """What a comparison of the time at once with the time in sequence says about scaling."""
    low, high = 1 / seen.high, 1 / seen.low
    match word:
        case Word.SLOWER:
            return Scaling.LOSS
        case Word.SAME:
            return Scaling.NONE
        case Word.FASTER if low > (1 + NEAR) * IDEAL:
            return Scaling.BEYOND
        case Word.FASTER if high < (1 - NEAR) * IDEAL:
            return Scaling.SUBLINEAR
        case Word.FASTER if low >= (1 - NEAR) * IDEAL and high <= (1 + NEAR) * IDEAL:
            return Scaling.LINEAR
        case Word.FASTER:
            return Scaling.FASTER
    return Scaling.UNKNOWN


# ---- the tidy table ------------------------------------------------------------------------------


def rows(records: Iterable[Record]) -> pd.DataFrame:
    """One row per trial, with its speed-up and what that comes to."""
    found = sorted((_row(each, trial) for each in records for trial in each.trials), key=_order)
    measured = [row for row in found if row["seen"]]
    seen = [row["seen"] for row in measured]
    for row, word in zip(measured, verdict.judge(seen), strict=True):
        row |= {"verdict": word.value, "scaling": scaling(row["seen"], word).value}
    return pd.DataFrame(found, columns=_COLUMNS)


_COLUMNS = [
    *("device", "pair", "role", "dtype", "n", "status", "reason", "repeats", "lanes", "kernel"),
    *("in_sequence_s", "at_once_s", "speedup", "speedup_low", "speedup_high", "p"),
    *("ratio", "ratio_low", "ratio_high", "bound", "margin", "verdict", "scaling"),
    *("throughput_flops", "handover_s", "wrong_stream_s", "product_flop", "rounds", "rounds_void"),
]


def _order(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["role"] != QUESTION, row["pair"], row["device"], row["n"]


def _row(each: Record, trial: Trial) -> dict[str, Any]:
    result: dict[str, Any] = trial.result
    row = {
        **{key: trial.what[key] for key in ("pair", "role", "dtype", "n")},
        "device": each.axes["device"],
        "status": trial.status.value,
        "reason": trial.reason,
        "lanes": lanes_in_words(result.get("lanes", [])),
        "seen": None,
        "verdict": "",
        "scaling": "",
    }
    for key in ("repeats", "kernel", "throughput_flops", "handover_s", "wrong_stream_s"):
        row[key] = result.get(key)
    row |= {key: result.get(key) for key in ("rounds", "rounds_void")}
    if result.get("arms"):
        for arm, name in (("anchor", "in_sequence_s"), (ARM, "at_once_s")):
            row[name] = result["arms"][arm]["time_median_s"]
        row["product_flop"] = result["arms"][ARM]["units_per_call"]
    if trial.status == Status.OK:
        seen = row["seen"] = verdict.paired(result, ARM)
        row |= verdict.row(seen)
        row |= {"speedup": 1 / seen.value, "speedup_low": 1 / seen.high}
        row["speedup_high"] = 1 / seen.low if seen.low else None
    return row


def lanes_in_words(lanes: Sequence[dict[str, Any]]) -> str | None:
    """What the two lanes were: ``CPU 0 | CPU 1; 1 thread each``; ``cuda:0 (…) | cuda:1 (…)``."""
    if not lanes:
        return None
    if "threads" in lanes[0]:
        counts = sorted({lane["threads"] for lane in lanes})
        threads = f"{counts[0]} thread{'s' if counts[0] > 1 else ''} each"
        if not all(lane.get("pinned_to_cpus") for lane in lanes):
            return f"{threads}, not bound to cores"
        bound = " | ".join(_cpus(lane["pinned_to_cpus"]) for lane in lanes)
        return f"{bound}; {threads}"
    return " | ".join(f"{lane['device']} ({lane.get('name') or 'unnamed'})" for lane in lanes)


def _cpus(numbers: Sequence[int]) -> str:
    """Numbers of CPUs as people write them: ``CPU 0``, ``CPUs 0-3, 8``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][-1] + 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    listed = ", ".join(f"{s[0]}-{s[-1]}" if len(s) > 1 else str(s[0]) for s in spans)
    return f"CPU{'s' if len(numbers) > 1 else ''} {listed}"


# ---- words ---------------------------------------------------------------------------------------


def speedup(row: pd.Series) -> str:
    """A speed-up with its interval: ``1.93 [1.91, 1.95]``."""
    return f"{row['speedup']:.2f} [{row['speedup_low']:.2f}, {row['speedup_high']:.2f}]"


def _grouped(done: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The measured rows of each pair and device, with what to call them."""
    named = []
    for (pair, device), here in done.groupby(["pair", "device"], sort=False):
        several = done.loc[done["pair"] == pair, "device"].nunique() > 1
        named.append((f"{pair} ({device})" if several else str(pair), here))
    return named


def sentence(table: pd.DataFrame) -> str:
    """The answer for two GPUs, or why there is none, and what the stand-ins show."""
    done = table[table["status"] == Status.OK]
    real, others = done[done["role"] == QUESTION], done[done["role"] == STAND_IN]
    parts = [_verdicts(name, here) for name, here in _grouped(real)] or [_why_not(table)]
    for name, here in _grouped(others):
        parts.append(f"stand-in, {_verdicts(name, here)}")
    return "; ".join(parts) + "."


def _verdicts(name: str, here: pd.DataFrame) -> str:
    """What one pair comes to, by size: ``two GPUs: almost linear at n = 4096 (1.98 […] of 2)``."""
    parts = []
    for kind, same in _runs(here):
        sizes = sorted(same["n"])
        at = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
        last = same.loc[same["n"].idxmax()]
        where = "" if len(sizes) == 1 else f" at n = {sizes[-1]}"
        parts.append(
            f"{MEANING[Scaling(kind)]} at {at} ({speedup(last)} times as fast{where}, ideal 2)"
        )
    return f"{name}: {', '.join(parts)}"


def _runs(here: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Neighbouring sizes of the same outcome together, the largest first."""
    found: list[tuple[str, list[int]]] = []
    for i, row in here.sort_values("n", ascending=False).iterrows():
        if not found or found[-1][0] != row["scaling"]:
            found.append((row["scaling"], []))
        found[-1][1].append(int(str(i)))
    return [(kind, here.loc[list(reversed(each))]) for kind, each in found]


def _why_not(table: pd.DataFrame) -> str:
    """Why two GPUs were not measured."""
    asked = table[table["role"] == QUESTION]
    if asked.empty:
        return "Two GPUs were not measured: no job ran on a GPU"
    reason = asked["reason"].dropna().iloc[0]
    return f"Two GPUs were not measured: {reason}"


def findings(done: pd.DataFrame) -> list[str]:
    """Every speed-up of a pair, and its share of the ideal."""
    found = []
    for name, here in _grouped(done):
        role = "" if here["role"].iloc[0] == QUESTION else "Stand-in, "
        lanes = here["lanes"].dropna()
        which = f" ({lanes.iloc[0]})" if len(lanes) else ""
        sizes = "; ".join(
            f"n = {row['n']}: {speedup(row)}, {row['speedup'] / IDEAL:.0%} of the ideal, "
            f"{MEANING[Scaling(row['scaling'])]}"
            for _, row in here.iterrows()
        )
        text = f"{role}{name}{which}: speed-up {sizes}."
        found.append(_capital(text))
        found += _handover_findings(name, here)
    return found


def _handover_findings(name: str, here: pd.DataFrame) -> list[str]:
    """What a clock would have shown that waits for no device, or watches another stream."""
    known = here.dropna(subset=["handover_s", "product_flop"])
    if known.empty:
        return []
    row = known.loc[known["n"].idxmax()]
    flops, implied = (row["product_flop"] / row[key] for key in ("at_once_s", "handover_s"))
    text = (
        f"{name}, n = {row['n']}, stopping the clock when the work is handed over instead of done: "
        f"{_seconds(row['handover_s'])} instead of {_seconds(row['at_once_s'])}, which would be "
        f"{_tera(implied)} instead of {_tera(flops)}"
    )
    if pd.notna(row["wrong_stream_s"]):
        text += f"; two events on another stream than the work's: {_seconds(row['wrong_stream_s'])}"
    found = [f"{_capital(text)}."]
    slow = known[known["handover_s"] > MUCH * known["at_once_s"]]
    if len(slow):
        sizes = ", ".join(map(str, slow["n"]))
        found.append(
            f"{_capital(name)}, n = {sizes}: handing the work over takes {MUCH:.0%} of the time or "
            "more, so the host has a part in these speed-ups."
        )
    return found


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _seconds(value: float) -> str:
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} µs"


def _tera(flops: float) -> str:
    return f"{flops / 1e12:.3g} TFLOP/s"


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and size."""
    table = rows(records)
    done = table[table["status"] == Status.OK]
    return Findings(
        sentence=sentence(table),
        findings=findings(done),
        numbers={"speedups": _numbers(done)},
        method=_method(records, done),
        caveats=_caveats(records, done),
        picture=Picture(title="Speed-up of two at once", alternative=_alternative(done)),
        table=_page_table(table),
        frame=table,
        figure=_figure(done),
    )


def _numbers(done: pd.DataFrame) -> list[dict[str, Any]]:
    keys = ["device", "pair", "role", "n", "speedup", "speedup_low", "speedup_high", "scaling"]
    numbers: list[dict[str, Any]] = done[keys].to_dict("records")
    return numbers


def _method(records: Sequence[Record], done: pd.DataFrame) -> list[str]:
    settings: Any = records[0].settings
    rounds = int(done["rounds"].median()) if len(done) else 0
    void = int(done["rounds_void"].sum()) if len(done) else 0
    return [
        "In every round, in an order drawn anew: both products in sequence on one device, its twin "
        "on other memory, and one product on each device at once "
        f"(median {rounds} rounds, at least {settings['protocol']['rounds_least']}; {void} void).",
        occasion.told(records),
        f"A device is handed as many products in one go as keep it busy for "
        f"{1e3 * settings['work_s']:g} ms or more, so that starting it does not decide; the host's "
        "clock runs until both devices are done.",
        f"Products of {settings['dtype']} matrices of normal random numbers, filled on the device "
        "that multiplies them; rows of each product were checked against float64.",
        f"S is the median over the rounds of time in sequence / time at once. Almost linear: its "
        f"interval lies within {NEAR:.0%} of {IDEAL:g}. Whether it is a speed-up at all is "
        f"Holm-corrected over the {len(done)} comparisons of this question, against what the twin "
        f"showed; none at all is a ratio within {verdict.MARGIN:.0%} of 1.",
        "One path of code measures two GPUs and the stand-ins: streams of one GPU, or halves of "
        "the CPU's cores, each with its own queue and threads, whose start-up is not timed.",
    ]


def _caveats(records: Sequence[Record], done: pd.DataFrame) -> list[str]:
    caveats = [
        "A published answer gives 0.003 s for two products of 10000 × 10000: that is 1334 TFLOP/s, "
        "more than its GPUs have, because the clock was stopped when the work was handed over.",
        "The two products are independent and their operands lie where they are needed: moving "
        "them between devices is not in these figures.",
    ]
    if (done["role"] == STAND_IN).any():
        caveats.append(
            "A stand-in is not two GPUs: streams of one GPU share its arithmetic units, and halves "
            "of a CPU share its caches, its memory, its power and, in many virtual machines "
            "without saying so, the arithmetic units of one core."
        )
    if done["lanes"].astype(str).str.contains("not bound").any():
        caveats.append("The halves of the CPU could not be bound to cores: they may have moved.")
    if any(each.conditions.contention["delay_share"] is None for each in records):
        caveats.append("Contention unknown: this system does not show the run-queue delay.")
    return caveats


def _page_table(table: pd.DataFrame) -> Table:
    columns = [
        Column(name="pair"),
        Column(name="device"),
        Column(name="size"),
        Column(name="in sequence", unit="ms", digits=3),
        Column(name="at once", unit="ms", digits=3),
        Column(name="speed-up (ideal 2)"),
        Column(name="scaling"),
    ]
    body: list[list[str | float | int | None]] = []
    for _, row in table.iterrows():
        pair = row["pair"] if row["role"] == QUESTION else f"{row['pair']} (stand-in)"
        head = [pair, row["device"], int(row["n"])]
        if row["status"] == Status.OK:
            times = [1e3 * row[key] / row["repeats"] for key in ("in_sequence_s", "at_once_s")]
            body.append([*head, *times, speedup(row), MEANING[Scaling(row["scaling"])]])
        else:
            body.append([*head, None, None, None, str(row["status"]).replace("_", " ")])
    return Table(columns=columns, rows=body)


# ---- the figure ----------------------------------------------------------------------------------


def _alternative(done: pd.DataFrame) -> str:
    parts = [
        f"{name}: "
        + ", ".join(f"{row['speedup']:.2f} at n = {row['n']}" for _, row in here.iterrows())
        for name, here in _grouped(done)
    ]
    said = "; ".join(parts) or "nothing could be measured"
    return f"Speed-up by matrix size, with intervals, between none (1) and ideal (2). {said}."


def _figure(done: pd.DataFrame) -> Figure:
    """Speed-up against size, one line per pair, between none and ideal."""
    if done.empty:
        return figure.nothing()
    drawn, grid = figure.panels(1, height_in=3.0)
    axes = grid[0, 0]
    groups = _grouped(done)
    sizes = sorted(set(done["n"]))
    _frame_axes(axes, done, sizes)
    ends = [float(here.sort_values("n")["speedup"].iloc[-1]) for _, here in groups]
    heights = figure.spread(ends, 0.16, axes.get_ylim()[1])
    for (name, here), height, colour in zip(groups, heights, figure.CYCLE * 3, strict=False):
        _line(axes, here.sort_values("n"), colour)
        role = "" if here["role"].iloc[0] == QUESTION else "\n(stand-in)"
        axes.annotate(
            f"{name}{role}",
            (1, height),
            (5, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=9,
            annotation_clip=False,
        )
    return drawn


def _frame_axes(axes: Axes, done: pd.DataFrame, sizes: Sequence[int]) -> None:
    axes.axhspan((1 - NEAR) * IDEAL, (1 + NEAR) * IDEAL, color=figure.BAND, lw=0, zorder=0)
    for level, name in ((IDEAL, "ideal: twice as fast"), (1.0, "no speed-up")):
        axes.axhline(level, color=figure.MUTED, lw=0.8)
        axes.annotate(
            name,
            (0, level),
            (4, 3),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            fontsize=8,
            color=figure.INK,
        )
    axes.set_xscale("log", base=2)
    axes.set_xlim(sizes[0] / 2.4, sizes[-1] * 1.25)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    low, high = done["speedup_low"].min(), done["speedup_high"].max()
    axes.set_ylim(min(0.9, low - 0.05), max((1 + NEAR) * IDEAL + 0.05, high + 0.05))
    axes.set_xlabel("matrix size n (two products of n × n matrices)")
    axes.set_ylabel("speed-up S, in sequence / at once")


def _line(axes: Axes, here: pd.DataFrame, colour: str) -> None:
    axes.plot(here["n"], here["speedup"], color=colour, lw=1.2)
    figure.interval(
        axes,
        list(here["n"]),
        list(here["speedup"]),
        list(here["speedup_low"]),
        list(here["speedup_high"]),
        color=colour,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("two_devices", answer, argv)


if __name__ == "__main__":
    main()
