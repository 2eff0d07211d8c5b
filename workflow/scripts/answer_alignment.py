"""Does alignment matter? A verdict per device and number format.

Three contrasts between sizes near the anchor (1024) keep apart what the exercise's five sizes
confound, each a ratio of geometric means of the time per FLOP:

- *alignment*: sizes divisible by at most 4 against sizes divisible by at least 16, on the same
  side of the anchor;
- *tile quantisation*: sizes just above the anchor against sizes just below it, all divisible by
  at least 16;
- *power of two*: the anchor itself against the sizes just below it that are divisible by at
  least 16 (not those above, which a tile's edge may slow down).

The verdict is on products of two square matrices. Other shapes, a batch of matrices times a matrix
and a matrix times a vector, stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from assay import figure, inference, question, verdict
from assay.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status
from assay.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ALIGNED, MISALIGNED = 16, 4  # smallest and largest power of two that divides such a size
NO_BREAK = "\u00a0"
TITLE = 80  # letters across a figure's width,
GAP = 12  # and across the gap between two columns
MARKS: dict[str, dict[str, Any]] = {
    "full": {},
    "hollow": {"mfc": "none"},
    "square": {"fmt": "s"},
    "hollow square": {"fmt": "s", "mfc": "none"},
    "triangle": {"fmt": "^"},
}  # one for each number format
CROWDED = 20  # places on the axes of a figure's width, above which their names stand upright
NAMED = 60  # places that are named, at most
NEAR = 32  # "just above" and "just below": at most this far from the anchor

EFFECTS = {
    "alignment": "misaligned sizes take {} the time per FLOP of aligned ones",
    "tile quantisation": "sizes just above the anchor take {} that of those just below",
    "power of two": "the anchor takes {} that of aligned sizes just below it",
}
LAYOUT_NAMES = {
    "offset": "moved by one element",
    "odd_leading_dimension": "with an odd leading dimension",
    "padded_leading_dimension": "with a padded leading dimension",
}
SQUARE = "matrix"
SHAPE_NAMES = {"batched": "tensor × matrix", "vector": "matrix × vector"}
BOUND_BY_BANDWIDTH = 0.5  # of the FLOP/s of the square product: arithmetic is not what limits


def power_of_two(n: int) -> int:
    """Largest power of two that divides n."""
    return n & -n


def rows(records: Sequence[Record]) -> pd.DataFrame:
    """The tidy table: one row per trial, with its verdict."""
    found = [_row(each, trial) for each in records for trial in each.trials]
    order = [SQUARE, *SHAPE_NAMES]
    table = pd.DataFrame(
        sorted(found, key=lambda r: (order.index(r["shape"]), r["layout"] or "", r["n"]))
    )
    if table.empty:
        raise SystemExit("No record of alignment holds a trial; see the records' reasons.")
    measured = table.index[table["status"] == Status.OK]
    comparisons = [_comparison(table.loc[i]) for i in measured]
    table["verdict"] = ""
    table.loc[measured, "verdict"] = [word.value for word in verdict.judge(comparisons)]
    table.loc[measured, "bound"] = [each.bound for each in comparisons]
    return table


def _row(each: Record, trial: Any) -> dict[str, Any]:
    n = int(trial.what["n"])
    row = {
        "device": each.axes["device"],
        "dtype": trial.what["dtype"],
        "shape": trial.what.get("shape", SQUARE),
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
        "throughput_bytes_per_s",
        "bytes_per_call",
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
        row["flop_per_call"] = result["arms"]["target"].get("units_per_call")
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
    itself = sizes[sizes["n"] == anchor]
    if len(itself) and len(aligned[0]):
        found["power of two"] = _contrast([(itself, aligned[0])])
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
        p=inference.two_sided_p(estimate, error),
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
    words = verdict.judge([row["seen"] for row in found])
    return pd.DataFrame([row | {"word": word} for row, word in zip(found, words, strict=True)])


DIFFERENT = (Word.SLOWER, Word.FASTER)


def verdict(effects: pd.DataFrame) -> str:
    """The verdict on one device and number format: what matters, and by how much."""
    if len(effects) < len(EFFECTS):
        return "cannot tell (a size that decides was not measured)"
    different = effects[effects["word"].isin(DIFFERENT)]
    if len(different):
        return ", ".join(
            f"{row['effect']} {percent(row['seen'].ratio)}" for _, row in different.iterrows()
        )
    return "cannot tell" if Word.UNKNOWN in list(effects["word"]) else "neither"


def percent(ratio: float) -> str:
    """A ratio as a difference in per cent: ``+5.1 %``."""
    return f"{100 * (ratio - 1):+.1f} %".replace("-", "−")


def times(seen: Comparison) -> str:
    """A ratio with its interval: ``1.081 [1.062, 1.104] ×``."""
    return f"{seen.value:.3f} [{seen.low:.3f}, {seen.high:.3f}] ×"


def evidence(effects: pd.DataFrame) -> str:
    """The contrasts behind a verdict, each with its interval and its word."""
    parts = []
    for _, row in effects.iterrows():
        word = "the same" if row["word"] == Word.SAME else "cannot tell"
        said = "" if row["word"] in DIFFERENT else f" ({word})"
        parts.append(EFFECTS[row["effect"]].format(times(row["seen"])) + said)
    return "; ".join(parts)


def addresses(layouts: pd.DataFrame) -> str:
    """What other addresses did to the same size on one device and in one number format."""
    parts = [
        f"{row['n']} {LAYOUT_NAMES[row['layout']]} {times(_comparison(row))} ({row['verdict']})"
        for _, row in layouts.iterrows()
    ]
    return f"the same size at other addresses, against dense: {'; '.join(parts)}"


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and size."""
    table = rows(records)
    squares, others = _by_shape(table)
    effects = judge(squares)
    groups = _grouped(squares, effects)
    verdicts = {key: verdict(group) for key, group in groups.items()}
    findings = []
    for (device, dtype), group in groups.items():
        here = squares[(squares["device"] == device) & (squares["dtype"] == dtype)]
        said = f"{device}, {dtype}: {verdicts[device, dtype]}"
        findings.append(f"{said} – {evidence(group)}." if len(group) else f"{said}.")
        layouts = here[here["layout"].notna() & (here["status"] == Status.OK)]
        if len(layouts):
            findings.append(f"{device}, {dtype}: {addresses(layouts)}.")
    return Findings(
        sentence=_sentence(verdicts),
        findings=[*findings, *shape_findings(others, squares)],
        numbers=_numbers(table, effects, verdicts),
        method=_method(records, table),
        caveats=_caveats(records),
        picture=Picture(
            title="Time per FLOP against matrix size", alternative=_alternative(squares, others)
        ),
        table=_page_table(table),
        frame=table,
        figure=_figure(squares, others),
        snippet=SNIPPET,
    )


def _by_shape(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The products of square matrices, and all others."""
    square = table["shape"] == SQUARE
    return table[square], table[~square]


def shape_findings(others: pd.DataFrame, squares: pd.DataFrame) -> list[str]:
    """Per device and shape: each size against the anchor, and what limits the product."""
    done = others[others["status"] == Status.OK]
    found = []
    for (device, shape), here in done.groupby(["device", "shape"], sort=False):
        parts = [
            f"{dtype} {_sizes_in_words(rows)}{_limit(rows, squares)}"
            for dtype, rows in here.groupby("dtype", sort=False)
        ]
        found.append(f"{device}, {SHAPE_NAMES[shape]}, against its own anchor: {'; '.join(parts)}.")
    return found


def _sizes_in_words(here: pd.DataFrame) -> str:
    """The sizes but the anchor by their word: ``the same: 1026; slower: 1025 (+8.1 %)``."""
    sizes = here[here["n"] != here["anchor"]]
    parts = []
    for word, same in sizes.groupby("verdict", sort=False):
        names = (
            f"{row['n']} ({percent(row['target_ratio'])})" if word in DIFFERENT else str(row["n"])
            for _, row in same.iterrows()
        )
        parts.append(f"{word} at {', '.join(names)}")
    return ", ".join(parts) or "no other size was measured"


def _limit(here: pd.DataFrame, squares: pd.DataFrame) -> str:
    """That memory limits a product, where it does: its FLOP/s are far from the square product's."""
    first = here.iloc[0]
    best = squares.loc[
        (squares["device"] == first["device"])
        & (squares["dtype"] == first["dtype"])
        & (squares["status"] == Status.OK),
        "throughput_flops",
    ].max()
    row = here.loc[(here["n"] - here["anchor"]).abs().idxmin()]
    flops, rate = row["throughput_flops"], row["throughput_bytes_per_s"]
    if pd.isna(best) or pd.isna(rate) or flops > BOUND_BY_BANDWIDTH * best:
        return ""
    intensity = row["flop_per_call"] / row["bytes_per_call"]
    return (
        f", and with {intensity:.2g} FLOP per byte bandwidth limits it ({rate / 1e9:.3g} GB/s, "
        f"{flops / best:.1%} of the FLOP/s of the product of two matrices)"
    )


Group = tuple[str, str]  # device and number format


def _grouped(table: pd.DataFrame, effects: pd.DataFrame) -> dict[Group, pd.DataFrame]:
    """The effects of each device and number format that was measured."""
    done = table[(table["status"] == Status.OK) & table["layout"].isna()]
    groups = sorted(
        set(zip(done["device"], done["dtype"], strict=True)),
        key=lambda group: (list(table["device"]).index(group[0]), _rank(group[1])),
    )
    if effects.empty:
        return dict.fromkeys(groups, effects)
    return {
        (device, dtype): effects[(effects["device"] == device) & (effects["dtype"] == dtype)]
        for device, dtype in groups
    }


def _rank(dtype: str) -> int:
    """Wide number formats first."""
    return ["float64", "float32", "tf32", "bfloat16", "float16"].index(dtype)


def _sentence(verdicts: dict[Group, str]) -> str:
    """One sentence: per device, the verdict of every number format."""
    if not verdicts:
        return "Nothing could be measured; the reasons are below."
    parts = []
    for device in dict.fromkeys(device for device, _ in verdicts):
        said = [f"{dtype}: {text}" for (place, dtype), text in verdicts.items() if place == device]
        parts.append(f"{device} – {'; '.join(said)}")
    return ". ".join(parts) + "."


def _numbers(
    table: pd.DataFrame, effects: pd.DataFrame, verdicts: dict[Group, str]
) -> dict[str, Any]:
    words = table.loc[table["status"] == Status.OK, "verdict"].value_counts().to_dict()
    return {
        "comparisons": words,
        "verdicts": {f"{device}, {dtype}": text for (device, dtype), text in verdicts.items()},
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
        f"Every arm has {protocol['operand_sets_least']} sets of operands or more (normal random "
        "numbers at different addresses), drawn anew for every block; operands are reused, so "
        "caches are as warm as the sizes allow.",
        "The ratio is the median of the per-round ratios of time per FLOP (2n³ each), with the "
        "exact interval of a median; verdicts are Holm-corrected over this question, and no "
        "difference under 2 %, or under what the twin showed, is called one.",
        f"CPU threads: {', '.join(map(str, threads))}. Each product was checked against float64.",
        *_shapes_method(records, table),
    ]


def _shapes_method(records: Sequence[Record], table: pd.DataFrame) -> list[str]:
    if (table["shape"] == SQUARE).all():
        return []
    batch = records[0].settings["shapes"]["batch"]
    return [
        f"Tensor × matrix: {batch} matrices in one call (batched), 2n³ FLOP each; matrix × vector: "
        "2n² FLOP. Each has trials of its own with the least number of rounds, and no part in the "
        "verdict."
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
    """One row per device, shape, layout and size; one column per number format."""
    dtypes = sorted(set(table["dtype"]), key=_rank)
    body = []
    order = table.fillna({"layout": ""}).groupby(["device", "shape", "layout", "n"], sort=False)
    for (device, shape, layout, n), here in sorted(order, key=lambda each: each[0][0]):
        cells = {row["dtype"]: _cell(row) for _, row in here.iterrows()}
        name = SHAPE_NAMES.get(shape) or LAYOUT_NAMES.get(layout, "dense")
        body.append([device, n, power_of_two(n), name, *(cells.get(d, "") for d in dtypes)])
    columns = ["device", "size", "divisible by", "layout or shape", *dtypes]
    return Table(columns=[Column(name=name) for name in columns], rows=body)


def _cell(row: pd.Series) -> str:
    """A ratio with its word, and its interval in a line of its own where the cell is narrow."""
    if row["status"] != Status.OK:
        return str(row["status"]).replace("_", " ")
    seen = _comparison(row)
    parts = f"{seen.value:.3f} {row['verdict']}", f"[{seen.low:.3f}, {seen.high:.3f}]"
    return " ".join(part.replace(" ", NO_BREAK) for part in parts)


def _alternative(squares: pd.DataFrame, others: pd.DataFrame) -> str:
    parts = []
    done = pd.concat([squares[squares["layout"].isna()], others])
    done = done[done["status"] == Status.OK]
    for (device, shape, dtype), here in done.groupby(["device", "shape", "dtype"], sort=False):
        low, high = here.loc[here["target_ratio"].idxmin()], here.loc[here["target_ratio"].idxmax()]
        name = f", {SHAPE_NAMES[shape]}" if shape in SHAPE_NAMES else ""
        parts.append(
            f"{device}{name}, {dtype}: from {low['target_ratio']:.2f} at {low['n']} "
            f"to {high['target_ratio']:.2f} at {high['n']}"
        )
    return "Time per FLOP relative to the anchor size, with intervals. " + "; ".join(parts) + "."


def _figure(squares: pd.DataFrame, others: pd.DataFrame) -> Figure:
    """A column of panels per device, a row per number format, then one per other shape.

    Each size has one place in all of them.
    """
    done, other = (part[part["status"] == Status.OK] for part in (squares, others))
    devices = list(dict.fromkeys([*done["device"], *other["device"]]))
    dtypes = sorted(set(done["dtype"]), key=_rank)
    shapes = list(dict.fromkeys(other["shape"]))
    if not devices:
        return figure.nothing()
    places = _places(squares)
    drawn, grid = figure.panels(len(dtypes) + len(shapes), len(devices), height_in=1.9, sharex=True)
    for j, device in enumerate(devices):
        for axes, dtype in zip(grid[:, j], dtypes, strict=False):
            here = done[(done["device"] == device) & (done["dtype"] == dtype)]
            _panel(axes, f"{device}, {dtype}", here, places, room=_room(len(devices)))
        for axes, shape in zip(grid[len(dtypes) :, j], shapes, strict=True):
            here = other[(other["device"] == device) & (other["shape"] == shape)]
            _shape_panel(axes, f"{device}, {SHAPE_NAMES[shape]}", here, places)
        for axes in grid[:, j]:
            _name_places(axes, places, len(devices))
    drawn.supylabel("time per FLOP relative to the anchor", fontsize="medium", color=figure.INK)
    drawn.supxlabel(
        "matrix size, and the largest power of two that divides it; right: other addresses",
        fontsize="medium",
        color=figure.INK,
    )
    return drawn


def _room(columns: int) -> int:
    """Letters of a panel's title; the gaps between the columns take some, too."""
    return (TITLE - GAP * (columns - 1)) // columns


Place = tuple[str, int]  # layout ("" for dense) and size


def _places(table: pd.DataFrame) -> dict[Place, float]:
    """Where each size stands on the axis: the dense sizes, a gap, then the other layouts."""
    keys = sorted({(str(layout), int(n)) for layout, n in _keys(table)})
    dense = sum(not layout for layout, _ in keys)  # they come first: "" sorts before any name
    wide = 1.3  # names need more room than numbers
    return {
        key: place if place < dense else dense + wide * (place - dense + 0.5)
        for place, key in enumerate(keys)
    }


def _keys(table: pd.DataFrame) -> zip[tuple[Any, Any]]:
    return zip(table["layout"].fillna(""), table["n"], strict=True)


def _panel(
    axes: Axes, title: str, here: pd.DataFrame, places: dict[Place, float], room: int
) -> None:
    """One number format; the kernels beside the title, as far as so many letters allow."""
    kernels = ", ".join(dict.fromkeys(here["kernel"].dropna()))
    whole = f"{title} · {kernels}" if kernels else title
    axes.set_title(whole if len(whole) <= room else f"{whole[: room - 1]}…")
    if here.empty:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        return
    _frame(axes, here)
    _points(axes, here, places)


def _shape_panel(axes: Axes, title: str, here: pd.DataFrame, places: dict[Place, float]) -> None:
    """The number formats side by side, told apart by their marks."""
    axes.set_title(title)
    if here.empty:
        axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)
        return
    _frame(axes, here)
    dtypes = sorted(set(here["dtype"]), key=_rank)
    marks = dict(zip(dtypes, MARKS, strict=False))
    for i, (dtype, mark) in enumerate(marks.items()):
        shift = 0.3 * (i - (len(marks) - 1) / 2)
        aside = {key: place + shift for key, place in places.items()}
        _points(axes, here[here["dtype"] == dtype], aside, **MARKS[mark])
    axes.text(
        0.01,
        0.96,
        "\n".join(f"{mark}: {dtype}" for dtype, mark in marks.items()),
        transform=axes.transAxes,
        va="top",
        fontsize=8,
    )


def _frame(axes: Axes, here: pd.DataFrame) -> None:
    """The anchor, and the band of differences that are none."""
    bound = here["bound"].median()
    axes.axhspan(1 - bound, 1 + bound, color=figure.BAND, lw=0)
    axes.axhline(1, color=figure.MUTED, lw=0.8)


def _points(axes: Axes, here: pd.DataFrame, places: dict[Place, float], **options: Any) -> None:
    """Every size in its place, coloured by the largest power of two that divides it.

    Drawn colour by colour: a call for each size takes seconds where there are a thousand.
    """
    brightest = len(figure.SCALE) - 1
    shades = here["n"].map(lambda n: min(brightest, int(math.log2(power_of_two(n)))))
    for (dense, shade), rows in here.groupby([here["layout"].isna(), shades]):
        figure.interval(
            axes,
            [places[key] for key in _keys(rows)],
            rows["target_ratio"],
            rows["target_ratio_low"],
            rows["target_ratio_high"],
            **{"fmt": "o" if dense else "D", "color": figure.SCALE[shade], **options},
        )


def _name_places(axes: Axes, places: dict[Place, float], columns: int) -> None:
    """Name each place, or some; upright where so many columns leave no room beside one another."""
    between, rotation = (" ", 90) if len(places) * columns > CROWDED else ("\n", 0)
    named = [*places][:: math.ceil(len(places) / NAMED)]
    axes.set_xticks(
        [places[key] for key in named], [_tick(*key, between) for key in named], rotation=rotation
    )
    axes.tick_params(axis="x", labelsize=7)


def _tick(layout: str, n: int, between: str) -> str:
    short = {"offset": "moved", "odd_leading_dimension": "odd ld"}
    short["padded_leading_dimension"] = "padded"
    return f"{n}{between}{short.get(layout) or f'÷{power_of_two(n)}'}"


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
