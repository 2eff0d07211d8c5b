"""Does alignment matter? Size 1025 against 1024, per device and number format, and why.

The headline is about the size just above the reference, timed beside it in a process of its own
(study ``alignment``). What explains it, alignment, tiles or powers of two, is told by contrasts
between sizes near the reference (:mod:`assay.timing.contrast`), timed in the same rounds (study
``contrast``). Other addresses and other shapes stand beside both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Any

import pandas as pd
from assay.answer import arms, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Band, Row
from assay.answer.model import Main, Table
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from assay.timing import contrast
from assay.timing.contrast import power_of_two

FORMATS = ("float64", "float32", "tf32", "bfloat16", "float16")  # wide ones first
SQUARE = "matrix"
SHAPES = {"batched": "tensor × matrix", "vector": "matrix × vector"}
LAYOUTS = {
    "offset": "moved by one element",
    "odd_leading_dimension": "odd leading dimension",
    "padded_leading_dimension": "padded leading dimension",
}
ADVICE = {
    contrast.ALIGNMENT: "choose multiples of 16",
    contrast.TILE: "stay at or below {}",
    contrast.POWER: "avoid {} itself",
}
DENSE, ADDRESS, SHAPE, CONTRAST = "size", "address", "shape", "contrast"  # what an arm is of
COPY = "control copy"  # the reference as a size of its own, beside itself
KINDS = (DENSE, ADDRESS, SHAPE, CONTRAST)  # in the table's order
ROWS = 14  # sizes in the figure, at most, and
LISTED = 200  # in the page's table: those nearest to the reference
MARGIN = 100 * verdict.MARGIN
EXPLAINED = "What explains it, by contrasts of sizes timed in the same rounds."


# ---- what was measured --------------------------------------------------------------------------


def compared(records: Sequence[Record]) -> list[Arm]:
    """Everything that was compared, judged as one family: by device, number format and kind."""
    known = {
        (each.axes["device"], trial.what["dtype"]): trial.what["anchor"]
        for each in records
        for trial in each.trials
        if trial.what.get("shape", SQUARE) == SQUARE and not trial.what.get("layout")
    }
    found = [
        arm
        for each in records
        for trial in each.trials or _lost(each, known)
        for arm in _arms(each, trial)
    ]
    devices = trials.devices(records)
    found.sort(key=lambda arm: (devices.index(arm.device), *_place(arm)))
    return arms.judged(found)


def _lost(each: Record, known: Mapping[Any, Any]) -> list[Trial]:
    """What a record would have held that was lost as a whole."""
    size = {"n": each.axes["n"]} if "n" in each.axes else {}
    return [
        Trial(what={"dtype": dtype, "anchor": n, **size}, status=each.status, reason=each.reason)
        for (device, dtype), n in known.items()
        if device == each.axes["device"]
    ]


def _arms(each: Record, trial: Trial) -> list[Arm]:
    """The size of a trial, or its contrasts; where it has none of these, one that says why."""
    if each.study == "contrast":
        names = [name for name in ADVICE if name in trial.result.get("ratios", {})] or ["all"]
        return [_arm(each, trial, name, CONTRAST, f"contrast: {name}") for name in names]
    n, layout, shape = (trial.what.get(key) for key in ("n", "layout", "shape"))
    kind = ADDRESS if layout else SHAPE if shape in SHAPES else DENSE
    name = LAYOUTS.get(layout) or SHAPES.get(shape) or (COPY if _is_copy(trial.what) else "")
    return [_arm(each, trial, "target", kind, f"{n}, {name}" if name else str(n))]


def _is_copy(what: Mapping[str, Any]) -> bool:
    return what.get("n") == what["anchor"]


def _arm(each: Record, trial: Trial, against: str, kind: str, label: str) -> Arm:
    """One comparison of a trial, with all that the tidy table holds of it."""
    result, n = trial.result, trial.what.get("n")
    target = result.get("arms", {}).get("target", {})
    extras = {
        "kind": kind,
        **{"shape": SQUARE, "n": n, "layout": None, **trial.what},
        "power_of_two": power_of_two(n) if n else None,
        "time_s": target.get("time_median_s"),
        **arms.energy_of(target),
        "status": trial.status.value,
        **trials.plain(result),
        "reason": trial.reason,
    }
    where = str(each.axes["device"]), str(trial.what["dtype"])
    if trial.status != Status.OK or against not in result.get("ratios", {}):
        slow = trial.status == Status.SKIPPED and "call_s" in result
        lost = "too slow" if slow else model.lost(trial.status)
        return Arm(*where, against, label, lost=lost, extras=extras)
    time = arms.time_of(target) if target else None
    return Arm(*where, against, label, time, verdict.paired(result, against), extras=extras)


def _place(arm: Arm) -> tuple[Any, ...]:
    shape, layout, n = (arm.extras[key] or "" for key in ("shape", "layout", "n"))
    return FORMATS.index(arm.group), KINDS.index(arm.extras["kind"]), shape, layout, n


def _of(found: Sequence[Arm], *kinds: str) -> list[Arm]:
    return [arm for arm in found if arm.extras["kind"] in kinds]


def _group(arm: Arm) -> str:
    return f"{arm.device}, {arm.group}"


# ---- what it comes to ---------------------------------------------------------------------------


def headline(here: Sequence[Arm]) -> Arm:
    """The size just above the reference, or else the nearest misaligned one that was asked for."""
    extras, anchor = here[0].extras, here[0].extras["anchor"]

    def aside(arm: Arm) -> tuple[bool, bool, int]:
        n = arm.extras["n"]
        return n != anchor + 1, power_of_two(n) > contrast.MISALIGNED, abs(n - anchor)

    sizes = [arm for arm in _of(here, DENSE) if arm.extras["n"] != anchor]
    lost = Arm(here[0].device, here[0].group, "", "", lost="not measured")
    return min(sizes, key=aside, default=arms.with_extras(lost, {**extras, "n": anchor + 1}))


def _interest(arm: Arm) -> tuple[int, float]:
    """Differences first, large ones first; what cannot be told and what was lost last."""
    if arm.seen is None:
        return 3, 0.0
    rank = 0 if arm.different else 1 if arm.word == Word.SAME else 2
    return rank, -abs(math.log(arm.seen.value))


def explained(here: Sequence[Arm]) -> str:
    """What matters on a device in a number format, and by how much: its contrasts."""
    if not any(arm.seen for arm in here):
        return here[0].lost
    effects = _of(here, CONTRAST)
    missing = "not measured" if len(effects) < len(ADVICE) else ""
    if lost := next((arm.lost for arm in effects if arm.lost), missing):
        return f"cannot tell (sizes that decide, in the same rounds: {lost})"
    told = [f"{e.name} {say.change(e.relative)}" for e in effects if e.different]
    if not told and any(arm.word == Word.UNKNOWN for arm in effects):
        return "cannot tell"
    return ", ".join(told) or f"neither (all the same within {MARGIN:g} %)"


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device, size and occasion."""
    found = compared(records)
    measured = {arm.device for arm in found}
    named = "{0.group} on {0.device}" if len(measured) > 1 else "{0.group}"
    groups = arms.grouped(_of(found, DENSE, ADDRESS, CONTRAST), _group)
    mains = [replace(headline(here), label=named.format(here[0])) for here in groups.values()]
    mains.sort(key=_interest)
    by_device = arms.grouped(mains, lambda arm: arm.device).values()
    statuses = {str(each.axes["device"]): each.status for each in records}
    absent = [Main(d, lost=model.lost(s)) for d, s in statuses.items() if d not in measured]
    verdicts = {name: explained(here) for name, here in groups.items()}
    told = "; ".join(f"{arm.label}: {verdicts[_group(arm)]}" for arm in mains)
    anchor: Any = found[0].extras["anchor"] if found else "the reference"
    return Findings(
        short=_short(mains),
        cells=[*(arm.main for arm in mains), *absent],
        sentence=_sentence(mains, absent),
        so=_so(found),
        numbers={
            "verdicts": verdicts,
            "effects": [arms.flat(arm) for arm in _of(found, CONTRAST) if arm.seen],
        },
        why=[f"{EXPLAINED} {told}."] if mains else [],
        method=_method(anchor),
        caveats=[
            "A published answer timed one cold call each and found 1024 twenty times slower than "
            "1025: that was the start-up of the library, not alignment.",
            "Padding to a multiple of 16 adds operations of its own.",
        ],
        views=[v for here in by_device for arm in here if (v := _view(arm, groups[_group(arm)]))]
        or question.nothing("Time per operation by size"),
        switch="Format",
        table=_table(found, anchor),
        frame=pd.DataFrame(map(arms.flat, found)).convert_dtypes(),
    )


# ---- telling ------------------------------------------------------------------------------------


def _sentence(mains: Sequence[Arm], absent: Sequence[Main]) -> str:
    """The number of the format that differs most, and a word on every other."""
    if not mains:
        return question.NOTHING
    several = len({arm.device for arm in mains}) > 1
    others = arms.grouped(mains[1:] if mains[0].seen else mains, lambda arm: arm.device)
    told = arms.grouped(others, lambda on: arms.each_word(others[on], attrgetter("group")))
    rest = [f"{f'on {say.listed(on)}, ' if several else ''}{text}." for text, on in told.items()]
    rest += [model.lost_told(absent)] if absent else []
    return " ".join([_claim(mains[0]), *map(say.capital, rest)])


def _claim(arm: Arm) -> str:
    takes, other = f"size {arm.extras['n']} takes", arm.extras["anchor"]
    whether = f"whether {takes} longer per operation than {other}"
    if arm.seen is None:
        return f"{say.capital(whether)} was not measured."
    if arm.word == Word.UNKNOWN:
        return f"Cannot tell {whether}: {say.ratio(arm.seen)} in {arm.label}."
    takes = f"In {arm.label}, {takes}"
    if arm.word == Word.SAME:
        return f"{takes} the same time per operation as {other}: {say.ratio(arm.seen)}."
    than = "as" if say.is_factor(arm.seen.value) else "than"
    return f"{takes} {say.longer(arm.seen)} per operation {than} {other}."


def _short(mains: Sequence[Arm]) -> str:
    if not mains:
        return "Not measured"
    lead, *others = mains
    n, words = lead.extras["n"], list(dict.fromkeys(arm.lost or str(arm.word) for arm in others))
    if lead.seen is None:
        return f"{n}: {lead.lost}"
    if lead.word == Word.UNKNOWN:
        return f"Cannot tell whether {n} is slower than {lead.extras['anchor']}"
    said = lead.told.partition(", ")[2 if lead.word == Word.SAME else 0]
    who = others[0].label if len(others) == 1 else "others"
    rest = f"; {who} {say.listed(words, 'or') if len(words) < 3 else 'differ'}" if words else ""
    return f"{n}: {said} in {lead.label}{rest}"


def _so(found: Sequence[Arm]) -> str:
    """Which sizes to choose, where a contrast shows that the others are slower."""
    told, effects = [], [arm for arm in _of(found, CONTRAST) if arm.seen]
    by_device = arms.grouped(effects, attrgetter("device"))
    for device, here in by_device.items():
        texts, everywhere = [], {arm.group for arm in here}
        for effect, text in ADVICE.items():
            if slower := [a.group for a in here if a.name == effect and a.word == Word.SLOWER]:
                where = "" if set(slower) == everywhere else f" in {say.listed(slower)}"
                texts.append(text.format(here[0].extras["anchor"]) + where)
        if texts:
            told.append(say.on(device, by_device) + say.capital(f"{', and '.join(texts[:2])}."))
    return " ".join(told)


def _method(anchor: object) -> list[str]:
    return [
        f"Each size is timed beside {anchor} in a process of its own; compared are times per "
        "operation, 2n³ a product. After ÷ stands the largest power of two that divides the size. "
        "Every product was checked against float64. Another address is compared with the same "
        "size, dense, another shape with its own kind.",
        "Contrasts: alignment is sizes that at most 4 divides against sizes that 16 divides, on "
        f"either side of {anchor}; tile quantisation is multiples of 16 just above {anchor} "
        f"against those just below; power of two is {anchor} against those just below.",
        f"The figure shows the {ROWS} sizes nearest to {anchor}, the table {LISTED}, the CSV all.",
    ]


# ---- showing ------------------------------------------------------------------------------------


def _view(main: Arm, here: Sequence[Arm]) -> Shown | None:
    """The sizes nearest to the reference, in per cent; None of fewer than two."""
    anchor, named = main.extras["anchor"], (main.extras["anchor"], main.extras["n"])
    sizes = {arm.extras["n"]: arm for arm in _of(here, DENSE)}
    near = sorted(sizes, key=lambda n: (n not in named, abs(n - anchor)))[:ROWS]
    shown = {n: sizes[n] for n in sorted(near)}
    if sum(arm.seen is not None for arm in shown.values()) < 2:
        return None
    return question.dotted(
        f"Time per operation against {anchor}, {main.label}",
        {"": [_row(arm, n in named) for n, arm in shown.items()]},
        Axis(f"time per operation against {anchor} (bar: 95 %)", lambda x: f"{say.short(x)} %"),
        name=main.label,
        band=Band(-MARGIN, MARGIN, f"grey: under {MARGIN:g} %, called the same"),
        line=0.0,
    )


def _row(arm: Arm, strong: bool) -> Row:
    three = (arm.seen.value, arm.seen.low, arm.seen.high) if arm.seen else ()
    seen = Interval(*(100 * (each - 1) for each in three)) if three else None
    text = Word.UNKNOWN.value if arm.word == Word.UNKNOWN else arm.told
    if _is_copy(arm.extras):
        arm, text = replace(arm, label=str(arm.extras["n"])), arm.lost or COPY
    return arm.row(seen=seen, text=text, note=f"÷{arm.extras['power_of_two']}", strong=strong)


def _table(found: Sequence[Arm], anchor: Any) -> Table:
    """All comparisons; of many sizes those nearest to the reference."""
    sizes = {arm.extras["n"] for arm in _of(found, DENSE)}
    listed = {None, *sorted(sizes, key=lambda n: abs(n - anchor))[:LISTED]}
    return arms.table(
        [arm for arm in found if arm.extras["n"] in listed or not _of([arm], DENSE)],
        "size",
        unit="ms",
        scale=1e3,
        against="per operation, against the reference",
        group="format",
        extra={
            "divisible by": lambda arm: arm.extras["power_of_two"],
            "GFLOP/s": arms.extra("throughput_flops", lambda flops: say.number(flops / 1e9)),
            "kernel": lambda arm: arm.extras.get("kernel"),
        },
    )


main = partial(question.run, "alignment", answer)

if __name__ == "__main__":
    main()
