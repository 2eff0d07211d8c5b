"""How should a log of norms be kept? A verdict per device and way, against `.item()` each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

ANCHOR = "item"
WAYS = {
    "item": ".item() each",
    "list": "list, then stack",
    "buffer": "preallocated buffer",
    "print": "print each",
    "batched": "batched bmm",
    "graph": "CUDA graph",
}
# What each verdict looks like; a way that is the anchor has none.
COLOURS = {
    Word.FASTER: figure.GREEN,
    Word.SLOWER: figure.RED,
    Word.SAME: figure.BLUE,
    Word.UNKNOWN: figure.MUTED,
    None: figure.INK,
}
LOOP = ("list", "buffer")  # ways that keep the loop of the exercise and transfer once


@dataclass(frozen=True)
class Entry:
    """One way on one device. Times are in milliseconds per 1000 products."""

    device: str
    way: str
    time_ms: float
    low_ms: float
    high_ms: float
    seen: Comparison | None  # None for the anchor
    word: Word | None
    waits: int | None  # how often the host reads from the device

    @property
    def against(self) -> str:
        """The ratio to the anchor with its interval and its word."""
        if self.seen is None:
            return "the reference"
        ratio = f"{self.seen.value:.3g} [{self.seen.low:.3g}, {self.seen.high:.3g}] ×"
        return f"{ratio} the time: {self.verdict}"

    @property
    def verdict(self) -> str:
        """The word on it, with the margin of sameness; nothing for the anchor."""
        return verdict.told(self.seen, self.word) if self.seen and self.word else ""


def compared(record: Record) -> Trial | None:
    """The trial of all ways; None where a record has none."""
    return next((trial for trial in record.trials if "products" in trial.what), None)


def published(record: Record) -> Trial | None:
    """What the published answer computes instead."""
    found = (trial for trial in record.trials if trial.what.get("way") == "published")
    return next((trial for trial in found if trial.status == Status.OK), None)


def entries(records: Sequence[Record]) -> list[Entry]:
    """Every way that was measured, in the order of :data:`WAYS`; Holm over all devices."""
    trials = [(str(each.axes["device"]), trial) for each in records if (trial := compared(each))]
    measured = [
        (device, way, trial.result, _comparison(trial.result, way))
        for device, trial in trials
        if trial.status == Status.OK
        for way in WAYS
        if _arm(trial.result, way)
    ]
    words = iter(verdict.judge([seen for *_, seen in measured if seen]))
    return [
        _entry(device, way, result, seen, next(words) if seen else None)
        for device, way, result, seen in measured
    ]


def _arm(result: Mapping[str, Any], way: str) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = result["arms"].get("anchor" if way == ANCHOR else way)
    return found


def _comparison(result: Mapping[str, Any], way: str) -> Comparison | None:
    return None if way == ANCHOR else verdict.paired(result, way)


def _entry(
    device: str, way: str, result: Mapping[str, Any], seen: Comparison | None, word: Word | None
) -> Entry:
    arm = _arm(result, way)
    assert arm
    per_1000 = 1e3 * 1e3 / arm["units_per_call"]  # milliseconds, thousand products
    waits = result.get("synchronisations") or result.get("reads", {})
    return Entry(
        device,
        way,
        time_ms=arm["time_median_s"] * per_1000,
        low_ms=arm["time_low_s"] * per_1000,
        high_ms=arm["time_high_s"] * per_1000,
        seen=seen,
        word=word,
        waits=waits.get(way),
    )


# ---- the answer ------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    found = entries(records)
    devices = list(dict.fromkeys(entry.device for entry in found))
    by_device = {device: [each for each in found if each.device == device] for device in devices}
    return Findings(
        sentence=_sentence(by_device),
        findings=[
            *(_way_finding(entry) for entry in found),
            *(text for each in records for text in _norm_findings(each)),
            *dict.fromkeys(text for each in records for text in _published_findings(each)),
        ],
        numbers=_numbers(found, records),
        method=_method(records, found),
        caveats=_caveats(records),
        picture=Picture(
            title="Time per 1000 products by how the log is kept", alternative=_alternative(found)
        ),
        table=_page_table(found),
        frame=_frame(records, found),
        figure=_figure(by_device),
    )


def _sentence(by_device: Mapping[str, list[Entry]]) -> str:
    """Per device: whether keeping the log there pays, and which way is fastest."""
    if not by_device:
        return "Nothing could be measured; the reasons are below."
    return " ".join(_device_sentence(device, ways) for device, ways in by_device.items())


def _device_sentence(device: str, ways: Sequence[Entry]) -> str:
    anchor = next(entry for entry in ways if entry.way == ANCHOR)
    kept = [
        f"{WAYS[entry.way]} {_ms(entry)} ({entry.verdict})" for entry in ways if entry.way in LOOP
    ]
    text = f"{device} – 1000 products take {_ms(anchor)} with .item() each"
    text += f", kept on the device and transferred once: {'; '.join(kept)}" if kept else ""
    fastest = [entry for entry in ways if entry.word == Word.FASTER]
    if fastest:
        best = min(fastest, key=lambda entry: entry.time_ms)
        return f"{text}. Fastest: {WAYS[best.way]}, {_ms(best)} ({best.against})."
    return f"{text}. No way is faster than .item() each."


def _ms(entry: Entry) -> str:
    return f"{entry.time_ms:.3g} [{entry.low_ms:.3g}, {entry.high_ms:.3g}] ms"


def _way_finding(entry: Entry) -> str:
    waits = f", {entry.waits} synchronisations" if entry.waits is not None else ""
    if entry.waits == 1:
        waits = ", 1 synchronisation"
    text = f"{entry.device}, {WAYS[entry.way]}: {_ms(entry)} per 1000 products{waits}"
    return f"{text} ({entry.against})."


def _norm_findings(record: Record) -> list[str]:
    """The mean norm beside its expectation."""
    trial = compared(record)
    if not trial or "norm_mean" not in trial.result:
        return []
    return [f"{record.axes['device']}: {_mean_norm(trial.result)}."]


def _published_findings(record: Record) -> list[str]:
    """Where the published loop overflows."""
    wrong = published(record)
    if not wrong or not wrong.result["first_infinite"]:
        return []
    return [
        "z = z * x, as published, has an infinite norm from iteration "
        f"{wrong.result['first_infinite_norm']} and infinite elements from iteration "
        f"{wrong.result['first_infinite']} of {wrong.result['iterations']}: it is no product of "
        "matrices, and most of its log is inf."
    ]


def _mean_norm(result: Mapping[str, Any]) -> str:
    text = f"the mean norm is {result['norm_mean']:.1f}"
    if result["norm_mean_low"] is not None:
        text += f" [{result['norm_mean_low']:.1f}, {result['norm_mean_high']:.1f}]"
    return f"{text}, expected {result['norm_expected']:.0f} (n^1.5 for normal random matrices)"


def _numbers(found: Sequence[Entry], records: Sequence[Record]) -> dict[str, Any]:
    numbers: dict[str, Any] = {"ways": [_flat(entry) for entry in found]}
    for each in records:
        trial, wrong = compared(each), published(each)
        numbers[str(each.axes["device"])] = {
            **({k: v for k, v in trial.result.items() if k.startswith("norm_")} if trial else {}),
            **(wrong.result if wrong else {}),
        }
    return numbers


def _flat(entry: Entry) -> dict[str, Any]:
    return {
        "device": entry.device,
        "way": entry.way,
        "time_ms_per_1000": entry.time_ms,
        "time_low_ms_per_1000": entry.low_ms,
        "time_high_ms_per_1000": entry.high_ms,
        **(verdict.row(entry.seen) if entry.seen else {}),
        "verdict": entry.word.value if entry.word else None,
        "synchronisations": entry.waits,
    }


def _method(records: Sequence[Record], found: Sequence[Entry]) -> list[str]:
    settings: Any = records[0].settings
    trials = [trial for each in records if (trial := compared(each))]
    sets = sorted({str(each.result["operand_sets"]) for each in trials if each.result.get("arms")})
    rounds = [each.result["rounds"] for each in trials if each.result.get("arms")]
    sizes = sorted({(str(each.what["products"]), str(each.what["n"])) for each in trials})
    described = " or ".join(f"{products} products of {n} × {n}" for products, n in sizes)
    threads = sorted({each.conditions.threads_used for each in records})
    comparisons = sum(entry.seen is not None for entry in found)
    method = [
        f"{occasion.told(records)} In it one trial: {described or 'nothing'} in float32, every "
        "way in every round in an order drawn anew, with a twin of the reference on other memory.",
        "The reference is .item() each, the textbook's first way; a ratio is the median of the "
        f"per-round ratios to it, Holm-corrected over the {comparisons} comparisons of this "
        "question; no difference "
        f"under {verdict.MARGIN:.0%}, or under what the twin showed, is called one.",
        "The matrices are fresh normal random numbers, all different; product i is that of "
        "matrices i and i + 1. The time is the host's, until the whole log can be read there.",
        "All ways that keep a log were checked to log the same values on the same matrices.",
        "Synchronisations were counted: reads of a value or of the log by the host, as torch "
        "dispatches them, on an NVIDIA GPU those that torch itself reports. Printing reads at "
        "least one value a line. A CPU has nothing to wait for: there they are reads.",
    ]
    if rounds:
        method.append(
            f"{' or '.join(map(str, rounds))} rounds (at least "
            f"{settings['protocol']['rounds_least']}), {' or '.join(sets)} sets of matrices per "
            f"way; CPU threads: {', '.join(map(str, threads))}."
        )
    return method


def _caveats(records: Sequence[Record]) -> list[str]:
    caveats = [
        "Printing goes to the null device: a terminal or a notebook costs more, as a published "
        "answer found, whose 1000 printed lines were most of what it measured.",
        "The batched way needs all operands before the first product, so it answers another "
        "question where each product depends on the one before.",
    ]
    if any(each.conditions.contention["delay_share"] is None for each in records):
        caveats.append("Contention unknown: this system does not show the run-queue delay.")
    return caveats


def _page_table(found: Sequence[Entry]) -> Table:
    columns = [
        Column(name="device"),
        Column(name="way"),
        Column(name="per 1000 products", unit="ms"),
        Column(name="time relative to .item() each"),
        Column(name="verdict"),
        Column(name="synchronisations", digits=4),
    ]
    rows: list[list[str | float | int | None]] = [
        [
            entry.device,
            WAYS[entry.way],
            f"{entry.time_ms:.3g} [{entry.low_ms:.3g}, {entry.high_ms:.3g}]",
            _ratio(entry.seen),
            entry.verdict or "reference",
            entry.waits,
        ]
        for entry in found
    ]
    return Table(columns=columns, rows=rows)


def _ratio(seen: Comparison | None) -> str | None:
    return None if seen is None else f"{seen.value:.3f} [{seen.low:.3f}, {seen.high:.3f}]"


def _frame(records: Sequence[Record], found: Sequence[Entry]) -> pd.DataFrame:
    """Tidy: a row per way; what was not measured keeps its status and reason."""
    rows = [_flat(entry) | {"status": Status.OK.value} for entry in found]
    for each in records:
        device = each.axes["device"]
        if not each.trials:
            rows.append({"device": device, "status": each.status.value, "reason": each.reason})
        for trial in each.trials:
            if trial is published(each):
                rows.append({"device": device, "way": "published", "status": "ok", **trial.result})
            elif trial.status != Status.OK:
                way = trial.what.get("way", "all")
                status = {"status": trial.status.value, "reason": trial.reason}
                rows.append({"device": device, "way": way, **status})
    order = ["device", "way", "status", "reason", "time_ms_per_1000"]
    table = pd.DataFrame(rows)
    return table.reindex(columns=[*order, *(name for name in table if name not in order)])


# ---- the figure ------------------------------------------------------------------------------


def _alternative(found: Sequence[Entry]) -> str:
    parts = [f"{each.device}, {WAYS[each.way]}: {_ms(each)} {each.verdict}" for each in found]
    listed = "; ".join(part.strip() for part in parts) or "nothing was measured"
    return f"Time per 1000 products by way, with intervals. {listed}."


def _figure(by_device: Mapping[str, list[Entry]]) -> Figure:
    """One panel per device, one row per way."""
    if not by_device:
        return figure.nothing()
    drawn, grid = figure.panels(len(by_device), height_in=2.6)
    for axes, (device, ways) in zip(grid[:, 0], by_device.items(), strict=True):
        _panel(axes, device, ways)
    grid[-1, 0].set_xlabel("time per 1000 products, ms")
    return drawn


def _panel(axes: Axes, device: str, ways: Sequence[Entry]) -> None:
    """Ways from top to bottom; the interval as a bar, the verdict in words beside it."""
    axes.set_title(device)
    axes.set_ylim(len(ways) - 0.5, -0.5)
    axes.set_yticks(range(len(ways)), [WAYS[entry.way] for entry in ways])
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, 1.35 * max(entry.high_ms for entry in ways))  # room for the words
    anchor = next(entry for entry in ways if entry.way == ANCHOR)
    axes.axvline(anchor.time_ms, color=figure.MUTED, lw=0.8)
    for y, entry in enumerate(ways):
        colour = COLOURS[entry.word]
        axes.errorbar(
            [entry.time_ms],
            [y],
            xerr=[[entry.time_ms - entry.low_ms], [entry.high_ms - entry.time_ms]],
            fmt="o",
            markersize=5,
            capsize=2.5,
            elinewidth=1.4,
            color=colour,
        )
        text = f"{entry.time_ms:.3g} ms"
        if entry.seen:
            text += f", {entry.seen.value:.2f} ×, {entry.verdict}"
        axes.annotate(
            text,
            (max(entry.high_ms, anchor.high_ms), y),  # not across the reference's line
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("norm_log", answer, argv)


if __name__ == "__main__":
    main()
