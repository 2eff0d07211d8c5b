"""How should a log of norms be kept? A verdict per device and way, against `.item()` each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from assay.answer import arms, model, question, say, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial

ANCHOR = "item"
WAYS = {
    "item": ".item() each",
    "list": "list, then stack",
    "buffer": "preallocated buffer",
    "print": "print each",
    "batched": "batched product",
    "graph": "CUDA graph",
}
# Ways that keep the loop of the exercise and transfer once, as a sentence calls them.
LOOP = {"list": "a list stacked at the end", "buffer": "a preallocated buffer"}
CALLED = LOOP | {"batched": "one batched product", "graph": "a CUDA graph"}
MARGIN = 0.1  # what reading back costs is a factor on a GPU; occasions move these ways by 4 %
PER = 1000  # products, of which times are given
TITLE = "Time of 1000 products by how the log is kept"


def compared(record: Record) -> Trial | None:
    """The trial of all ways; None where a record has none."""
    return next((trial for trial in record.trials if "products" in trial.what), None)


def published(record: Record) -> dict[str, Any]:
    """What came of the published answer, which computes something else; empty where nothing did."""
    found = (trial for trial in record.trials if trial.what.get("way") == "published")
    return next((trial.result for trial in found if trial.status == Status.OK), {})


def ways(records: Sequence[Record]) -> list[Arm]:
    """Every way that was measured, all devices judged as one family."""
    found = []
    for each in records:
        trial = compared(each)
        if trial and trial.status == Status.OK:
            result = trial.result
            waits = result.get("synchronisations") or result.get("reads", {})
            for arm in arms.timed(each, trial, WAYS, anchor=ANCHOR, per=PER, margin=MARGIN):
                ends = verdict.ends("time", arms.scaled(arm.value, 1e3), "_ms_per_1000")
                extras = {**ends, "synchronisations": waits.get(arm.name)}
                found.append(arms.with_extras(arm, extras))
    return arms.judged(found)


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    found = ways(records)
    by_device = arms.grouped(found, lambda arm: arm.device)
    told = question.joined({device: _tell(here) for device, here in by_device.items()})
    lost = _lost(records)
    return Findings(
        short=told.short,
        cells=[*told.cells, *lost],
        sentence=f"{told.sentence} {model.lost_told(lost) if found else ''}".rstrip(),
        so=told.so,
        numbers={"ways": [arms.flat(arm) for arm in found]}
        | {str(each.axes["device"]): _norms(each) | published(each) for each in records},
        why=[*dict.fromkeys(text for each in records for text in _why(each))],
        method=_method(records),
        caveats=[
            "Printing goes to the null device: a terminal or a notebook costs more.",
            "The batched way needs all operands before the first product, so it answers another "
            "question where each product depends on the one before.",
        ],
        views=[_view(device, here) for device, here in by_device.items()]
        or question.nothing(TITLE),
        table=arms.table(
            found,
            "way",
            value="1000 products",
            unit="ms",
            scale=1e3,
            against="against .item() each",
            extra={"synchronisations": lambda arm: arm.extras["synchronisations"]},
        ),
        frame=trials.frame(records, map(arms.flat, found)),
    )


# ---- telling ------------------------------------------------------------------------------------


def _tell(here: Sequence[Arm]) -> Told:
    """Whether reading each result back costs anything beside keeping the log on the device.

    It does if any way to keep it is faster; else the fastest one tells.
    """
    kept = [arm for arm in here if arm.name in LOOP and arm.seen]
    best = min(kept, key=lambda arm: (arm.word != Word.FASTER, arm.seen.value), default=None)
    costs = {None: "Cannot tell", Word.UNKNOWN: "Cannot tell", Word.FASTER: "Costs time"}.get(
        best and best.word, "Costs nothing"
    )
    faster = [arm for arm in here if arm.word == Word.FASTER]
    fastest = min(faster, key=lambda arm: arm.value.value, default=None)
    return Told(
        costs + (f"; {fastest.label} {say.change(fastest.seen.value)}" if fastest else ""),
        _sentence(best),
        f"Use {CALLED.get(fastest.name, fastest.label)}." if fastest else "",
        [arm.main for arm in here if arm.name in LOOP],
    )


def _sentence(best: Arm | None) -> str:
    if best is None:
        return "Keeping the log on the device was not measured."
    way, each = LOOP[best.name], "Reading back each of 1000 norms costs"
    if best.word == Word.UNKNOWN:
        return f"Cannot tell whether reading back costs time: {way} {say.ratio(best.seen)}."
    costs = "time" if best.word == Word.FASTER else "nothing here"
    return f"{each} {costs}: {way} takes {say.takes(best.seen, best.word)}."


def _lost(records: Sequence[Record]) -> list[Main]:
    found = {str(each.axes["device"]): compared(each) or each for each in records}
    return [
        Main(device, lost=model.lost(each.status))
        for device, each in found.items()
        if each.status != Status.OK
    ]


def _norms(each: Record) -> dict[str, Any]:
    trial = compared(each)
    return {k: v for k, v in trial.result.items() if k.startswith("norm_")} if trial else {}


def _why(each: Record) -> list[str]:
    """Where the published loop overflows, and the mean norm beside its expectation."""
    said, wrong, norms = [], published(each), _norms(each)
    if wrong.get("first_infinite"):
        said.append(
            "z = z * x, as published, has an infinite norm from iteration "
            f"{wrong['first_infinite_norm']} and infinite elements from iteration "
            f"{wrong['first_infinite']} of {wrong['iterations']}: it is no product of matrices, "
            "and most of its log is infinite."
        )
    if norms:
        ends = [norms["norm_mean_low"], norms["norm_mean_high"]]
        between = "" if None in ends else " [{:.1f}, {:.1f}]".format(*ends)
        said.append(
            f"The mean norm is {norms['norm_mean']:.1f}{between}, expected "
            f"{norms['norm_expected']:.0f} (n^1.5 for normal random matrices)."
        )
    return said


def _method(records: Sequence[Record]) -> list[str]:
    measured = [trial.what for each in records if (trial := compared(each))]
    sizes = sorted({(str(what["products"]), str(what["n"])) for what in measured})
    described = say.listed(f"{products} products of {n} × {n}" for products, n in sizes)
    return [
        f"One trial of {described or 'nothing'} in float32, every way in every round. Printing, "
        "the slowest, prints fewer, from which its time is extrapolated.",
        "The matrices are fresh normal random numbers, all different; product i is that of "
        "matrices i and i + 1. The time is the host's, until the whole log can be read there. All "
        "ways that keep a log were checked to log the same values.",
        "Synchronisations: reads by the host, as torch dispatches them, on an NVIDIA GPU those "
        "that torch itself reports. A CPU has nothing to wait for: there they are reads.",
    ]


def _view(device: str, here: Sequence[Arm]) -> Shown:
    rows = [
        arm.row(
            seen=arms.scaled(arm.value, 1e3), text=f"{say.value(arm.value, 'ms', 1e3)}, {arm.told}"
        )
        for arm in here
    ]
    axis = Axis("milliseconds for 1000 products (bar: 95 %)", within=(0, math.inf))
    line = next(1e3 * arm.value.value for arm in here if arm.role == Role.ANCHOR)
    return question.dotted(TITLE, {"": rows}, axis, name=device, line=line)


main = partial(question.run, "norm_log", answer)

if __name__ == "__main__":
    main()
