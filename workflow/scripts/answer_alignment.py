"""Does alignment matter? A verdict per device and number format.

The verdict is on products of two square matrices and comes from contrasts between sizes near the
anchor (:mod:`assay.contrast`), which were timed in the same rounds (study ``contrast``). The single
sizes, each in a process of its own (study ``alignment``), make the curve and the table. Other
shapes, a batch of matrices times a matrix and a matrix times a vector, stand beside it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from assay import contrast
from assay.answer import question, verdict
from assay.answer import old_figure as figure
from assay.contrast import power_of_two
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.answer.verdict import DIFFERENT, Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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

EFFECTS = {
    contrast.ALIGNMENT: "misaligned sizes take {} the time per FLOP of aligned ones",
    contrast.TILE: "sizes just above the anchor take {} that of those just below",
    contrast.POWER: "the anchor takes {} that of aligned sizes just below it",
}
LAYOUT_NAMES = {
    "offset": "moved by one element",
    "odd_leading_dimension": "with an odd leading dimension",
    "padded_leading_dimension": "with a padded leading dimension",
}
SQUARE = "matrix"
SHAPE_NAMES = {"batched": "tensor × matrix", "vector": "matrix × vector"}
BESIDE = "float32"  # what a number format is compared with that is too slow to be measured
BOUND_BY_BANDWIDTH = 0.5  # of the FLOP/s of the square product: arithmetic is not what limits


MEASURED = (
    "throughput_flops",
    "throughput_bytes_per_s",
    "bytes_per_call",
    "kernel",
    "relative_error",
    "occasions",
    "rounds",
    "rounds_void",
    "host_visible_s",
    "cuda_graph_s",
    "call_s",
)
COLUMNS = [
    *("device", "dtype", "shape", "n", "layout", "effect", "anchor", "power_of_two"),
    *("status", "reason", *MEASURED, "time_s", "anchor_s", "flop_per_call"),
    *("target_ratio", "target_ratio_low", "target_ratio_high"),
    *("twin_ratio", "twin_ratio_low", "twin_ratio_high"),
    *("verdict", "p", "bound", "margin"),
]


def rows(records: Sequence[Record]) -> pd.DataFrame:
    """The tidy table: one row per trial of a size, and one per contrast, with its verdict.

    All of them are one family of comparisons. The column ``seen`` holds each as an object.
    """
    found = [
        row
        for each in records
        for trial in each.trials
        for row in (_contrasts(each, trial) if each.study == "contrast" else [_size(each, trial)])
    ]
    measured = [row for row in found if row["seen"]]
    words = verdict.judge([row["seen"] for row in measured])
    for row, word in zip(measured, words, strict=True):
        row |= {"verdict": word.value, **row["seen"].fields}
    order = [SQUARE, *SHAPE_NAMES]
    found.sort(key=lambda row: (order.index(row["shape"]), row["layout"] or "", row["n"] or 0))
    return pd.DataFrame(found, columns=[*COLUMNS, "seen"]).astype({"verdict": object})


def _size(each: Record, trial: Trial) -> dict[str, Any]:
    n = int(str(trial.what["n"]))
    row = _row(each, trial, "target") | {
        "shape": trial.what.get("shape", SQUARE),
        "n": n,
        "layout": trial.what["layout"],
        "power_of_two": power_of_two(n),
    }
    arms: Any = trial.result.get("arms")
    if arms:
        row |= {
            "time_s": arms["target"]["time_median_s"],
            "flop_per_call": arms["target"].get("units_per_call"),
        }
    return row


def _contrasts(each: Record, trial: Trial) -> Iterator[dict[str, Any]]:
    """The rows of a trial's contrasts; where it has none, one that says why."""
    ratios: Any = trial.result.get("ratios", {})
    for name in [name for name in EFFECTS if name in ratios] or [""]:
        yield _row(each, trial, name) | {"shape": SQUARE, "n": None, "layout": None, "effect": name}


def _row(each: Record, trial: Trial, compared: str) -> dict[str, Any]:
    """What the rows of sizes and contrasts have in common."""
    result: Any = trial.result
    row = {
        "device": each.axes["device"],
        "dtype": trial.what["dtype"],
        "anchor": trial.what["anchor"],
        "status": trial.status.value,
        "reason": trial.reason,
        "verdict": "",
        "anchor_s": result.get("arms", {}).get("anchor", {}).get("time_median_s"),
        "seen": verdict.paired(result, compared)
        if trial.status == Status.OK and compared
        else None,
    }
    row |= {key: result.get(key) for key in MEASURED}
    for arm, name in (("target", compared), ("twin", "twin")):
        seen = result.get("ratios", {}).get(name, {})
        row |= {f"{arm}_{key}": seen.get(key) for key in ("ratio", "ratio_low", "ratio_high")}
    return row


def headline(effects: pd.DataFrame) -> str:
    """The verdict on one device and number format: what matters, and by how much.

    Args:
        effects: Its contrasts, as rows of :func:`rows`.
    """
    if effects.empty:
        return "cannot tell (the sizes that decide were not timed together)"
    lost = effects[effects["status"] != Status.OK]
    if len(lost):
        return f"cannot tell (the trial that decides: {lost['status'].iloc[0].replace('_', ' ')})"
    if len(effects) < len(EFFECTS):
        return "cannot tell (a size that decides was not measured)"
    different = effects[effects["verdict"].isin(DIFFERENT)]
    if len(different):
        return ", ".join(
            f"{row['effect']} {percent(row['target_ratio'])}" for _, row in different.iterrows()
        )
    if Word.UNKNOWN in set(effects["verdict"]):
        return "cannot tell"
    return f"neither (all {told(effects.iloc[0])})"


def told(row: pd.Series) -> str:
    """The word of a row, as a reader gets it."""
    return verdict.told(row["seen"], Word(row["verdict"]))


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
        said = "" if row["verdict"] in DIFFERENT else f" ({told(row)})"
        parts.append(EFFECTS[row["effect"]].format(times(row["seen"])) + said)
    return "; ".join(parts)


def addresses(layouts: pd.DataFrame) -> str:
    """What other addresses did to the same size on one device and in one number format."""
    parts = [
        f"{row['n']} {LAYOUT_NAMES[row['layout']]} {times(row['seen'])} ({told(row)})"
        for _, row in layouts.iterrows()
    ]
    return f"the same size at other addresses, against dense: {'; '.join(parts)}"


Group = tuple[str, str]  # device and number format


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device, size and occasion."""
    table = rows(records)
    squares, others, effects = _parts(table)
    verdicts, findings = {}, []
    for group in _groups(pd.concat([squares, effects])):
        here = _of(group, squares)
        verdicts[group], said = _said(group, here, _of(group, effects), squares)
        findings.append(f"{', '.join(group)}: {said}.")
        layouts = here[here["layout"].notna() & here["seen"].notna()]
        if len(layouts):
            findings.append(f"{', '.join(group)}: {addresses(layouts)}.")
    return Findings(
        sentence=_sentence(verdicts),
        findings=[*findings, *shape_findings(others, squares)],
        numbers=_numbers(table, verdicts),
        method=_method(records, table),
        caveats=_caveats(records, table),
        picture=Picture(
            title="Time per FLOP against matrix size", alternative=_alternative(squares, others)
        ),
        table=_page_table(pd.concat([squares, others])),
        frame=table.drop(columns="seen").astype({"n": "Int64", "power_of_two": "Int64"}),
        figure=_figure(squares, others),
    )


def _said(
    group: Group, here: pd.DataFrame, effects: pd.DataFrame, squares: pd.DataFrame
) -> tuple[str, str]:
    """What the sentence says of a device and number format, and what its finding says."""
    if not here["seen"].notna().any() and not effects["seen"].notna().any():
        return _slow(group, pd.concat([here, effects]), squares)
    said, reasons = headline(effects), evidence(effects[effects["seen"].notna()])
    return said, f"{said} – {reasons}" if reasons else said


def _slow(group: Group, here: pd.DataFrame, squares: pd.DataFrame) -> tuple[str, str]:
    """Of a number format that was left out for its slowness: how slow it is."""
    seconds, anchor = here["call_s"].astype(float).median(), here["anchor"].iloc[0]
    said = f"one product of {anchor} takes {seconds:.2g} s here"
    beside = _of((group[0], BESIDE), squares)["anchor_s"].astype(float).median()
    if math.isnan(beside):
        return f"too slow ({seconds:.2g} s a product)", f"{said}; not measured further"
    slower = f"{seconds / beside:.3g} × {BESIDE}'s"
    return f"a product takes {slower} time", f"{said}, {slower}; not measured further"


def _parts(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The products of square matrices, those of other shapes, and the contrasts."""
    sizes, effects = table[table["effect"].isna()], table[table["effect"].notna()]
    sizes = sizes.astype({"n": int, "power_of_two": int})
    square = sizes["shape"] == SQUARE
    return sizes[square], sizes[~square], effects


def _groups(table: pd.DataFrame) -> list[Group]:
    """Devices and number formats that were measured, or found too slow; as the report has them."""
    here = table[(table["seen"].notna() & table["layout"].isna()) | table["call_s"].notna()]
    devices = list(table["device"])
    return sorted(
        set(zip(here["device"], here["dtype"], strict=True)),
        key=lambda group: (devices.index(group[0]), _rank(group[1])),
    )


def _of(group: Group, table: pd.DataFrame) -> pd.DataFrame:
    device, dtype = group
    return table[(table["device"] == device) & (table["dtype"] == dtype)]


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
    """The sizes but the anchor by their word: ``slower at 1025 (+8.1 %), cannot tell at 1026``."""
    sizes = here[here["n"] != here["anchor"]]
    parts = []
    for _, same in sizes.groupby("verdict", sort=False):
        names = (
            f"{row['n']} ({percent(row['target_ratio'])})"
            if row["verdict"] in DIFFERENT
            else str(row["n"])
            for _, row in same.iterrows()
        )
        parts.append(f"{told(same.iloc[0])} at {', '.join(names)}")
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


def _numbers(table: pd.DataFrame, verdicts: dict[Group, str]) -> dict[str, Any]:
    done = table[table["seen"].notna()]
    sizes, effects = done[done["effect"].isna()], done[done["effect"].notna()]
    return {
        "comparisons": sizes["verdict"].value_counts().to_dict(),
        "verdicts": {f"{device}, {dtype}": text for (device, dtype), text in verdicts.items()},
        "effects": [
            {
                "device": row["device"],
                "dtype": row["dtype"],
                "effect": row["effect"],
                "ratio": row["seen"].value,
                "ratio_low": row["seen"].low,
                "ratio_high": row["seen"].high,
                "word": row["verdict"],
                **row["seen"].fields,
            }
            for _, row in effects.iterrows()
        ],
    }


def _method(records: Sequence[Record], table: pd.DataFrame) -> list[str]:
    settings: Any = records[0].settings
    done = table[table["seen"].notna()]
    sizes, effects = done[done["effect"].isna()], done[done["effect"].notna()]
    threads = sorted({each.conditions.threads_used for each in records})
    return [
        "The verdict comes from trials in which the sizes that decide are timed in the same "
        "rounds, so that each round has its own contrasts; their median is taken "
        f"({_rounds(effects)}).",
        f"For the curve and the table, each size is one process, and in it each number format is "
        f"one trial: rounds of {settings['anchor']}, a twin of it on other memory, and the size, "
        f"in an order drawn anew ({_rounds(sizes)}).",
        f"Every arm has {settings['protocol']['operand_sets_least']} sets of operands or more "
        "(normal random numbers at different addresses), drawn anew for every block; operands are "
        "reused, so caches are as warm as the sizes allow.",
        "Each ratio is one of times per FLOP (2n³ each), with the exact interval of a median, "
        "widened by what the machine differs by from one occasion to the next. The comparisons of "
        f"sizes, addresses, shapes and contrasts are one family of {len(done)}, Holm-corrected "
        f"together. The same means within {100 * verdict.MARGIN:g} %; no difference under that, or "
        "under what the twin showed, is called one.",
        f"CPU threads: {', '.join(map(str, threads))}. Each product was checked against float64.",
        *_shapes_method(records, table),
    ]


def _rounds(done: pd.DataFrame) -> str:
    if done.empty:
        return "none was measured"
    occasions = sorted(set(done["occasions"].fillna(1).astype(int)))
    return (
        f"{' or '.join(map(str, occasions))} occasion{'s' if occasions != [1] else ''}, "
        f"median {int(done['rounds'].median())} rounds, "
        f"{int(done['rounds_void'].sum())} void for contention or clocks"
    )


def _shapes_method(records: Sequence[Record], table: pd.DataFrame) -> list[str]:
    if (table["shape"] == SQUARE).all():
        return []
    shapes: Any = next(each.settings["shapes"] for each in records if "shapes" in each.settings)
    batch = shapes["batch"]
    return [
        f"Tensor × matrix: {batch} matrices in one call (batched), 2n³ FLOP each; matrix × vector: "
        "2n² FLOP. Each has trials of its own with the least number of rounds, and no part in the "
        "verdict."
    ]


def _caveats(records: Sequence[Record], table: pd.DataFrame) -> list[str]:
    caveats = [
        "A published answer timed one cold call each and found 1024 twenty times slower than "
        "1025: that was the start-up of the library, not alignment.",
    ]
    if (table.loc[table["seen"].notna(), "occasions"].fillna(1) < 2).any():
        caveats.append(
            "Some figures are of one occasion: by how much they would differ on another is taken "
            "from what other cells and other runs showed."
        )
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
    seen = row["seen"]
    word, *within = told(row).partition(" within")
    parts = (
        f"{seen.value:.3f} {word}",
        "".join(within).strip(),
        f"[{seen.low:.3f}, {seen.high:.3f}]",
    )
    return " ".join(part.replace(" ", NO_BREAK) for part in parts if part)


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


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("alignment", answer, argv)


if __name__ == "__main__":
    main()
