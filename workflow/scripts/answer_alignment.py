"""Does alignment matter? A verdict per device and number format.

Three contrasts between sizes near the anchor (1024) keep apart what the exercise's five sizes
confound, each a ratio of geometric means of the time per FLOP:

- *alignment*: sizes divisible by at most 4 against sizes divisible by at least 16, on the same
  side of the anchor;
- *tile quantisation*: sizes just above the anchor against sizes just below it, all divisible by
  at least 16;
- *power of two*: the anchor itself against the sizes just below it that are divisible by at
  least 16 (not those above, which a tile's edge may slow down).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from assay import figure, question, statistic
from assay.question import Column, Comparison, Findings, Picture, Snippet, Table, Word
from assay.record import Record, Status
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ALIGNED, MISALIGNED = 16, 4  # smallest and largest power of two that divides such a size
NEAR = 32  # "just above" and "just below": at most this far from the anchor

EFFECTS = {
    "alignment": "misaligned sizes against aligned ones",
    "tile quantisation": "sizes just above the anchor against those just below",
    "power of two": "the anchor against aligned sizes just below it",
}
LAYOUT_NAMES = {
    "offset": "moved by one element",
    "odd_leading_dimension": "odd leading dimension",
    "padded_leading_dimension": "padded leading dimension",
}


def power_of_two(n: int) -> int:
    """Largest power of two that divides n."""
    return n & -n


def rows(records: Sequence[Record]) -> pd.DataFrame:
    """The tidy table: one row per trial, with its verdict."""
    table = pd.DataFrame([_row(each, trial) for each in records for trial in each.trials])
    if table.empty:
        raise SystemExit("No record of alignment holds a trial; see the records' reasons.")
    measured = table.index[table["status"] == Status.OK]
    comparisons = [_comparison(table.loc[i]) for i in measured]
    table["verdict"] = ""
    table.loc[measured, "verdict"] = [word.value for word in question.verdicts(comparisons)]
    table.loc[measured, "bound"] = [each.bound for each in comparisons]
    return table.sort_values(["device", "dtype", "layout", "n"], na_position="first")


def _row(each: Record, trial: Any) -> dict[str, Any]:
    n = int(trial.what["n"])
    row = {
        "device": each.axes["device"],
        "dtype": trial.what["dtype"],
        "n": n,
        "layout": trial.what["layout"],
        "anchor": trial.what["anchor"],
        "power_of_two": power_of_two(n),
        "status": trial.status.value,
        "reason": trial.reason,
    }
    result = trial.result
    for key in (
        "throughput_flops",
        "kernel",
        "relative_error",
        "rounds",
        "rounds_void",
        "host_visible_s",
        "cuda_graph_s",
    ):
        row[key] = result.get(key)
    if result.get("arms"):
        row["time_s"] = result["arms"]["target"]["time_median_s"]
    for arm in ("target", "twin"):
        seen = result.get("ratios", {}).get(arm, {})
        row |= {f"{arm}_{key}": seen.get(key) for key in ("ratio", "ratio_low", "ratio_high", "p")}
    return row


def _comparison(row: pd.Series) -> Comparison:
    return Comparison(
        row["target_ratio"],
        row["target_ratio_low"],
        row["target_ratio_high"],
        row["target_p"],
        row["twin_ratio_low"],
        row["twin_ratio_high"],
    )


def contrasts(sizes: pd.DataFrame) -> dict[str, Comparison]:
    """The contrasts that the dense sizes of one device and number format allow.

    Args:
        sizes: Rows of :func:`rows` with one anchor, dense, measured.
    """
    anchor = sizes["anchor"].iloc[0]
    near = sizes[(sizes["n"] != anchor) & ((sizes["n"] - anchor).abs() <= NEAR)]
    below, above = near[near["n"] < anchor], near[near["n"] > anchor]
    aligned = [side[side["power_of_two"] >= ALIGNED] for side in (below, above)]
    misaligned = [side[side["power_of_two"] <= MISALIGNED] for side in (below, above)]
    pairs = [
        (odd, even) for odd, even in zip(misaligned, aligned, strict=True) if len(odd) * len(even)
    ]
    found = {}
    if pairs:
        found["alignment"] = _contrast(pairs)
    if all(map(len, aligned)):
        found["tile quantisation"] = _contrast([(aligned[1], aligned[0])])
        found["power of two"] = _contrast([(sizes[sizes["n"] == anchor], aligned[0])])
    return found


def _contrast(pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> Comparison:
    """Geometric mean over pairs of groups of (mean of the first / mean of the second).

    The trials are independent, so their standard errors on the log scale add in quadrature; a
    standard error is a quarter of the 95 % interval's width, nearly (3.92).
    """
    estimate, variance = 0.0, 0.0
    for pair in pairs:
        for sign, group in zip((1, -1), pair, strict=True):
            logs = np.log(group["target_ratio"].astype(float))
            width = np.log(group["target_ratio_high"].astype(float)) - np.log(
                group["target_ratio_low"].astype(float)
            )
            estimate += sign * logs.mean() / len(pairs)
            variance += float(((width / 3.92) ** 2).sum()) / (len(group) * len(pairs)) ** 2
    error = math.sqrt(variance)
    bound = max(group["bound"].max() for pair in pairs for group in pair)
    return Comparison(
        math.exp(estimate),
        math.exp(estimate - 1.96 * error),
        math.exp(estimate + 1.96 * error),
        p=statistic.two_sided_p(estimate, error),
        twin_low=1 - bound,
        twin_high=1 + bound,
    )


def judge(table: pd.DataFrame) -> pd.DataFrame:
    """One row per device, number format and effect, with the word of its contrast."""
    dense = table[(table["status"] == Status.OK) & table["layout"].isna()]
    found = [
        {"device": device, "dtype": dtype, "effect": effect, "seen": seen}
        for (device, dtype), sizes in dense.groupby(["device", "dtype"], sort=False)
        for effect, seen in contrasts(sizes).items()
    ]
    words = question.verdicts([row["seen"] for row in found])
    return pd.DataFrame([row | {"word": word} for row, word in zip(found, words, strict=True)])


def verdict(effects: pd.DataFrame) -> str:
    """The verdict on one device and number format, in words."""
    if len(effects) < len(EFFECTS):
        return "cannot tell (no control sizes on both sides of the anchor were measured)"
    named = [_phrase(row) for _, row in effects.iterrows() if row["word"] in _DIFFERENT]
    unknown = [row["effect"] for _, row in effects.iterrows() if row["word"] == Word.UNKNOWN]
    if named:
        return "; ".join(named) + (f" ({' and '.join(unknown)}: cannot tell)" if unknown else "")
    if unknown:
        return f"cannot tell ({', '.join(unknown)})"
    bound = max(row["seen"].bound for _, row in effects.iterrows())
    return f"neither (all the same within {100 * bound:.1f} %)"


_DIFFERENT = (Word.SLOWER, Word.FASTER)


def _phrase(row: pd.Series) -> str:
    slower = row["word"] == Word.SLOWER
    name = row["effect"] if slower else f"{row['effect']}, reversed"
    return f"{name} ({EFFECTS[row['effect']]}: {times(row['seen'])} the time per FLOP)"


def times(seen: Comparison) -> str:
    """A ratio with its interval: ``1.08 [1.06, 1.10] ×``."""
    return f"{seen.ratio:.2f} [{seen.low:.2f}, {seen.high:.2f}] ×"


def address_or_size(layouts: pd.DataFrame) -> str:
    """What the layout controls of one device and number format say."""
    parts = [
        f"{row['n']} with {_article(LAYOUT_NAMES[row['layout']])} is {row['verdict']} "
        f"({times(_comparison(row))} the dense {row['n']})"
        for _, row in layouts.iterrows()
    ]
    return "; ".join(parts)


def _article(name: str) -> str:
    return (
        f"its matrices {name}"
        if name.startswith("moved")
        else f"a{'n' * (name[0] in 'aeiou')} {name}"
    )


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and size."""
    table = rows(records)
    effects = judge(table)
    groups = _verdicts(table, effects)
    findings = []
    for (device, dtype), text in groups.items():
        here = table[(table["device"] == device) & (table["dtype"] == dtype)]
        layouts = here[here["layout"].notna() & (here["status"] == Status.OK)]
        detail = f" Address or size? {address_or_size(layouts)}." if len(layouts) else ""
        findings.append(f"{device}, {dtype}: {text}.{detail}")
    return Findings(
        sentence=_sentence(groups),
        findings=findings,
        numbers=_numbers(table, effects, groups),
        method=_method(records, table),
        caveats=_caveats(records),
        picture=Picture(title="Time per FLOP against matrix size", alternative=_alternative(table)),
        table=_page_table(table),
        frame=table,
        figure=_figure(table),
        snippet=SNIPPET,
    )


def _verdicts(table: pd.DataFrame, effects: pd.DataFrame) -> dict[tuple[str, str], str]:
    measured = table[(table["status"] == Status.OK) & table["layout"].isna()]
    keys = list(dict.fromkeys(zip(measured["device"], measured["dtype"], strict=True)))
    if effects.empty:
        return {key: verdict(effects) for key in keys}
    return {
        key: verdict(effects[(effects["device"] == key[0]) & (effects["dtype"] == key[1])])
        for key in keys
    }


def _sentence(groups: dict[tuple[str, str], str]) -> str:
    """One sentence: per device, the short verdict of every number format."""
    if not groups:
        return "Nothing could be measured; the reasons are below."
    devices = dict.fromkeys(device for device, _ in groups)
    parts = []
    for device in devices:
        short: dict[str, list[str]] = {}
        for (where, dtype), text in groups.items():
            if where == device:
                short.setdefault(_short(text), []).append(dtype)
        said = "; ".join(f"{', '.join(dtypes)}: {word}" for word, dtypes in short.items())
        parts.append(f"{device} – {said}")
    return ". ".join(parts) + "."


def _short(text: str) -> str:
    """A verdict without its figures."""
    *names, last = [part.split(" (")[0] for part in text.split("; ")]
    return f"{', '.join(names)} and {last}" if names else last


def _numbers(
    table: pd.DataFrame, effects: pd.DataFrame, groups: dict[tuple[str, str], str]
) -> dict[str, Any]:
    words = table.loc[table["status"] == Status.OK, "verdict"].value_counts().to_dict()
    return {
        "comparisons": words,
        "verdicts": {f"{device}, {dtype}": text for (device, dtype), text in groups.items()},
        "effects": [
            {
                "device": row["device"],
                "dtype": row["dtype"],
                "effect": row["effect"],
                "ratio": row["seen"].ratio,
                "ratio_low": row["seen"].low,
                "ratio_high": row["seen"].high,
                "word": row["word"].value,
            }
            for _, row in effects.iterrows()
        ],
    }


def _method(records: Sequence[Record], table: pd.DataFrame) -> list[str]:
    protocol: Any = records[0].settings["protocol"]
    done = table[table["status"] == Status.OK]
    rounds = int(done["rounds"].median()) if len(done) else 0
    void = int(done["rounds_void"].sum()) if len(done) else 0
    threads = sorted({each.conditions.threads_used for each in records})
    return [
        f"Each size is one process, and in it each number format is one trial: rounds of "
        f"{int(table['anchor'].dropna().iloc[0])}, a twin of it on other memory, and the size, in "
        f"an order drawn anew (median {rounds} rounds, at least {protocol['rounds_least']}; "
        f"{void} void for contention or clocks).",
        f"Every arm has {protocol['operand_sets']} sets of operands (normal random numbers), drawn "
        "anew for every block; operands are reused, so caches are as warm as the sizes allow.",
        "The ratio is the median of the per-round ratios of time per FLOP (2n³ each), with the "
        "exact interval of a median; verdicts are Holm-corrected over this question, and no "
        "difference under 2 %, or under what the twin showed, is called one.",
        f"CPU threads: {', '.join(map(str, threads))}. Each product was checked against float64.",
    ]


def _caveats(records: Sequence[Record]) -> list[str]:
    caveats = [
        "One process per size: how much a fresh process changes a ratio is not in the intervals.",
        "A published answer timed one cold call each and found 1024 twenty times slower than "
        "1025: that was the start-up of the library, not alignment.",
    ]
    if any(each.conditions.contention["delay_share"] is None for each in records):
        caveats.append("Contention unknown: this system does not show the run-queue delay.")
    return caveats


def _page_table(table: pd.DataFrame) -> Table:
    """One row per device, size and layout; one column per number format."""
    dtypes = list(dict.fromkeys(table["dtype"]))
    body = []
    order = table.fillna({"layout": ""}).groupby(["device", "layout", "n"], sort=True)
    for (device, layout, n), here in order:
        cells = {row["dtype"]: _cell(row) for _, row in here.iterrows()}
        name = LAYOUT_NAMES.get(layout, "dense")
        body.append([device, n, power_of_two(n), name, *(cells.get(d, "") for d in dtypes)])
    columns = ["device", "size", "divisible by", "layout", *dtypes]
    return Table(columns=[Column(name=name) for name in columns], rows=body)


def _cell(row: pd.Series) -> str:
    if row["status"] != Status.OK:
        return str(row["status"]).replace("_", " ")
    return f"{times(_comparison(row))} {row['verdict']}"


def _alternative(table: pd.DataFrame) -> str:
    done = table[(table["status"] == Status.OK) & table["layout"].isna()]
    parts = []
    for (device, dtype), here in done.groupby(["device", "dtype"], sort=False):
        low, high = here.loc[here["target_ratio"].idxmin()], here.loc[here["target_ratio"].idxmax()]
        parts.append(
            f"{device}, {dtype}: from {low['target_ratio']:.2f} at {low['n']} "
            f"to {high['target_ratio']:.2f} at {high['n']}"
        )
    return "Time per FLOP relative to the anchor size, with intervals. " + "; ".join(parts) + "."


def _figure(table: pd.DataFrame) -> Figure:
    """A column of panels per device, a row per number format; one place per size in each."""
    done = table[table["status"] == Status.OK]
    devices, dtypes = list(dict.fromkeys(done["device"])), list(dict.fromkeys(done["dtype"]))
    if not devices:
        return figure.nothing()
    places = _places(table)
    drawn, grid = figure.panels(len(dtypes), len(devices), height_in=1.9, sharex=True)
    for i, dtype in enumerate(dtypes):
        for j, device in enumerate(devices):
            here = done[(done["device"] == device) & (done["dtype"] == dtype)]
            _panel(grid[i, j], f"{device}, {dtype}", here, places)
    drawn.supylabel("time per FLOP relative to the anchor", fontsize="medium", color=figure.INK)
    drawn.supxlabel(
        "matrix size, and the largest power of two that divides it; right: other addresses",
        fontsize="medium",
        color=figure.INK,
    )
    return drawn


Place = tuple[str, int]  # layout ("" for dense) and size


def _places(table: pd.DataFrame) -> dict[Place, int]:
    """Where each size stands on the axis: the dense sizes, a gap, then the other layouts."""
    keys = sorted({(str(layout), int(n)) for layout, n in _keys(table)})
    gap = {key: bool(key[0]) for key in keys}  # dense comes first: "" sorts before any name
    return {key: place + gap[key] for place, key in enumerate(keys)}


def _keys(table: pd.DataFrame) -> zip[tuple[Any, Any]]:
    return zip(table["layout"].fillna(""), table["n"], strict=True)


def _panel(axes: Axes, title: str, here: pd.DataFrame, places: dict[Place, int]) -> None:
    kernels = ", ".join(dict.fromkeys(here["kernel"].dropna()))
    axes.set_title(f"{title} · {kernels}" if kernels else title)
    axes.set_xticks(list(places.values()), [_tick(*key) for key in places])
    axes.tick_params(axis="x", labelsize=7)
    if here.empty:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        return
    bound = here["bound"].median()
    axes.axhspan(1 - bound, 1 + bound, color=figure.BAND, lw=0)
    axes.axhline(1, color=figure.MUTED, lw=0.8)
    for (layout, n), (_, row) in zip(_keys(here), here.iterrows(), strict=True):
        figure.interval(
            axes,
            [places[layout, n]],
            [row["target_ratio"]],
            [row["target_ratio_low"]],
            [row["target_ratio_high"]],
            fmt="D" if layout else "o",
            color=figure.SCALE[min(len(figure.SCALE) - 1, int(math.log2(power_of_two(n))))],
        )


def _tick(layout: str, n: int) -> str:
    short = {"offset": "moved", "odd_leading_dimension": "odd ld"}
    short["padded_leading_dimension"] = "padded"
    return f"{n}\n{short.get(layout) or f'÷{power_of_two(n)}'}"


SNIPPET = Snippet(
    text="First the published way, one cold call each; then medians of warm, repeated calls.",
    code="""\
import time, torch
from torch.utils.benchmark import Timer

data = {n: (torch.randn(n, n), torch.randn(n, n)) for n in (1024, 1025)}
for n, (a, b) in data.items():  # wrong: the first call also starts the library
    start = time.perf_counter()
    a @ b
    print(n, f"{(time.perf_counter() - start) / n**3:.2e} s per n³, once, cold")
for n, (a, b) in data.items():  # better: warm, many calls, the median
    timer = Timer("a @ b", globals={"a": a, "b": b}, num_threads=torch.get_num_threads())
    print(n, f"{timer.blocked_autorange(min_run_time=1).median / n**3:.2e} s per n³, median")
""",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("alignment", answer, argv)


if __name__ == "__main__":
    main()
