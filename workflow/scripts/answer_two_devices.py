"""Are two products on two devices at once almost twice as fast as in sequence on one?

The speed-up S is the time in sequence over the time at once, the reciprocal of the trial's ratio.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from functools import partial
from typing import Any

from assay.answer import arms, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Band, Row
from assay.answer.model import Cell, Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Comparison, Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval

IDEAL = 2.0
LEAST, MOST = 0.95 * IDEAL, 1.05 * IDEAL  # what "almost linear" allows
QUESTION, STAND_IN = "question", "stand-in"
ARM, PAIR = "at_once", "two GPUs"
TITLE = "Speed-up of two products at once"


class Scaling(StrEnum):
    """What a speed-up comes to."""

    LINEAR = "almost linear"
    SUBLINEAR = "sublinear"
    FASTER = "faster"
    BEYOND = "more than linear"
    NONE = "none"
    LOSS = "a loss"
    UNKNOWN = "cannot tell"


MEANING = {  # of those that a sentence says otherwise
    Scaling.FASTER: "perhaps almost linear",
    Scaling.NONE: f"no speed-up beyond {100 * verdict.MARGIN:g} %",
    Scaling.LOSS: "slower than in sequence",
}


def scaling(seen: Comparison, word: Word) -> Scaling:
    """What a comparison of the time at once with the time in sequence says about scaling."""
    speedup = inverse(seen)
    cases = [
        (word == Word.SLOWER, Scaling.LOSS),
        (word == Word.SAME, Scaling.NONE),
        (word != Word.FASTER, Scaling.UNKNOWN),
        (speedup.low > MOST, Scaling.BEYOND),
        (speedup.high < LEAST, Scaling.SUBLINEAR),
        (speedup.low >= LEAST and speedup.high <= MOST, Scaling.LINEAR),
    ]
    return next((found for holds, found in cases if holds), Scaling.FASTER)


def inverse(ratio: Interval) -> Interval:
    """The speed-up that a ratio of times is."""
    return Interval(1 / ratio.value, 1 / ratio.high, 1 / ratio.low if ratio.low else math.inf)


# ---- the arms ------------------------------------------------------------------------------------


def pairs(records: Sequence[Record]) -> list[Arm]:
    """Every trial beside the same work in sequence, judged; those of the question come first."""
    found = [_arm(each, trial) for each in records for trial in each.trials]
    found.sort(key=lambda arm: (arm.extras["role"], arm.group, arm.device, arm.extras["n"]))
    return [
        arms.with_extras(arm, {"scaling": scaling(arm.seen, arm.word).value})
        if arm.seen and arm.word
        else arm
        for arm in arms.judged(found)
    ]


def _arm(each: Record, trial: Trial) -> Arm:
    """A trial; of one whose rounds were too few for a verdict the times are known all the same."""
    result: Any = trial.result
    extras: dict[str, Any] = {key: trial.what[key] for key in ("pair", "role", "n")}
    if result.get("arms"):
        extras["in_sequence_s"] = result["arms"]["anchor"]["time_median_s"]
        extras["at_once_s"] = result["arms"][ARM]["time_median_s"]
    extras |= {key: result.get(key) for key in ("repeats", "handover_s")}
    extras["lanes"] = lanes_in_words(result.get("lanes", []))
    seen = speedup = None
    if trial.status == Status.OK:
        seen = verdict.paired(result, ARM)
        speedup = inverse(seen)
        extras |= verdict.ends("speedup", speedup)
    return Arm(
        str(each.axes["device"]),
        extras["pair"] + (f" ({STAND_IN})" if extras["role"] == STAND_IN else ""),
        str(extras["n"]),
        f"n = {extras['n']}",
        speedup,
        seen,
        lost="" if seen else model.lost(trial.status),
        extras=extras,
    )


def lanes_in_words(lanes: Sequence[dict[str, Any]]) -> str | None:
    """What the two lanes were: ``4 threads each, bound to cores``; ``cuda:0 (…) | cuda:1 (…)``."""
    if not lanes:
        return None
    if "threads" not in lanes[0]:
        return " | ".join(f"{lane['device']} ({lane.get('name') or 'unnamed'})" for lane in lanes)
    bound = "" if all(lane.get("pinned_to_cpus") for lane in lanes) else "not "
    threads = say.plural(min(lane["threads"] for lane in lanes), "thread")
    return f"{threads} each, {bound}bound to cores of their own"


def largest(found: Sequence[Arm], role: str) -> list[Arm]:
    """The largest size of each pair, where launching work decides least.

    Of two GPUs that either of them measured, the first's.
    """
    own = [arm for arm in found if arm.extras["role"] == role]
    first: dict[str, Arm] = {}
    for group in arms.grouped(own, lambda arm: f"{arm.group}, {arm.device}").values():
        first.setdefault(_lanes(group[-1]), group[-1])
    return [*first.values()]


def _lanes(arm: Arm) -> str:
    """Which two GPUs these are, of which machine, whichever of them measured."""
    if arm.extras["role"] != QUESTION or not arm.extras["lanes"]:
        return f"{arm.group}, {arm.device}"
    run = arm.device.partition(" (")[2]  # a device of another run is called after that, too
    return f"{sorted(arm.extras['lanes'].split(' | '))} {run}"


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and size."""
    found = pairs(records)
    measured = [arm for arm in found if arm.seen]
    by_device = arms.grouped(measured, lambda arm: arm.device)
    views = [_view(device, own) for device, own in by_device.items() if len(own) > 1]
    known = {arm.group: arm.extras["lanes"] for arm in measured if arm.extras["lanes"]}
    return Findings(
        **vars(_tell(_cells(records, found), measured)),
        numbers={"speedups": [_numbers(arm) for arm in measured]},
        why=[f"{say.capital(pair)}: {lanes}." for pair, lanes in known.items()],
        method=_method(records),
        caveats=CAVEATS,
        views=views or question.nothing(TITLE, "Fewer than two sizes were measured"),
        table=arms.table(
            found,
            "size",
            value="speed-up (ideal 2)",
            against="time at once against in sequence",
            group="pair",
            extra={
                "scaling": lambda arm: _meaning(arm) if arm.seen else None,
                "in sequence, ms": lambda arm: _milliseconds(arm, "in_sequence_s"),
                "at once, ms": lambda arm: _milliseconds(arm, "at_once_s"),
                "handed over after, ms": lambda arm: _milliseconds(arm, "handover_s"),
            },
        ),
        frame=trials.frame(records, map(arms.flat, found)),
    )


def _cells(records: Sequence[Record], found: Sequence[Arm]) -> list[Main]:
    """The headline rests on the largest size that was asked for of two GPUs, never on stand-ins."""
    cells = [Main(f"{PAIR}, {a.label}", a.word, a.lost) for a in largest(found, QUESTION)]
    return cells or [Main(PAIR, lost=trials.why_lost(records))]


def _tell(cells: Sequence[Main], measured: Sequence[Arm]) -> Told:
    """The answer for two GPUs, or why there is none and what the stand-ins show."""
    leads, others = (largest(measured, role) for role in (QUESTION, STAND_IN))
    devices, words = [arm.device for arm in leads], {arm.word for arm in leads}
    lost, so = [cell for cell in cells if cell.lost], ""
    if not leads:
        short = "; ".join(["Two GPUs not measured", *(f"{STAND_IN} {_of(a)}" for a in others[:1])])
        reasons = say.listed(dict.fromkeys(cell.lost for cell in lost))
        shown = [f"As a {STAND_IN}, {_speedup(arm)}." for arm in others]
        return Told(short, " ".join([f"Two GPUs: {reasons}.", *shown]), so, cells)
    short = "; ".join(
        f"{say.on(arm.device, devices)}{say.capital(_meaning(arm))}, {_of(arm)}" for arm in leads
    )
    parts = [
        f"{say.on(arm.device, devices)}{say.capital(_speedup(arm))}, {_meaning(arm)}"
        f"{_smaller(arm, measured)}."
        for arm in leads
    ]
    parts += [f"{say.capital(cell.name)}: {cell.lost}." for cell in lost]
    if words == {Word.FASTER}:
        so = "Give independent products of this size to both GPUs."
    elif words <= {Word.SAME, Word.SLOWER}:
        so = "Keep products of this size on one GPU."
    return Told(short, " ".join(dict.fromkeys(parts)), so, cells)


def _smaller(lead: Arm, found: Sequence[Arm]) -> str:
    """The size of a pair at which it gains least, where that is another answer than the lead's."""
    same = [arm for arm in found if (arm.device, arm.group) == (lead.device, lead.group)]
    least = min(same, key=lambda arm: arm.extras["speedup"])
    if least.value is None or least.extras["scaling"] == lead.extras["scaling"]:
        return ""
    return f", and {say.value(least.value)} at {least.label}"


def _speedup(arm: Arm) -> str:
    assert arm.value
    doubt = " (cannot tell)" if arm.word == Word.UNKNOWN and arm.extras["role"] == STAND_IN else ""
    return f"{arm.extras['pair']}: {say.interval(arm.value)} times as fast at {arm.label}{doubt}"


def _of(arm: Arm) -> str:
    assert arm.value
    return f"{say.value(arm.value)} of {IDEAL:g}"


def _meaning(arm: Arm) -> str:
    scaling = arm.extras["scaling"]
    return MEANING.get(scaling, str(scaling))


def _numbers(arm: Arm) -> dict[str, Any]:
    keys = ("pair", "role", "n", "speedup", "speedup_low", "speedup_high", "scaling")
    return {"device": arm.device, **{key: arm.extras[key] for key in keys}}


def _milliseconds(arm: Arm, key: str) -> Cell | None:
    """The time of a pair of products, of which a call has many."""
    if arm.extras.get(key) is None:
        return None
    seconds = arm.extras[key] / (arm.extras["repeats"] or 1)
    return Cell(text=say.number(1e3 * seconds), value=seconds)


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    return [
        "Every round has both products in sequence on one device, and one on each device at once.",
        "A device is handed as many products in one go as keep it busy for "
        f"{1e3 * settings['work_s']:g} ms or more, so that starting it does not decide. The host's "
        "clock runs until both devices are done.",
        f"Products of {settings['dtype']} matrices of normal random numbers, filled on the device "
        "that multiplies them. Rows of each product were checked against float64.",
        "Almost linear: the interval lies within 5 % of 2.",
        "One path of code measures two GPUs and the stand-ins: streams of one GPU, or halves of "
        "the CPU's cores, each with its own queue and threads, whose start-up is not timed.",
    ]


CAVEATS = [
    "A published 0.003 s for two products of 10000 × 10000 means 1334 TFLOP/s, more than its "
    "GPUs have: the clock was stopped at the hand-over.",
    "Moving operands between devices is not in these figures.",
    "A stand-in is not two GPUs: streams share arithmetic units, halves of a CPU share caches, "
    "memory, power, perhaps a core.",
]


def _view(device: str, mine: Sequence[Arm]) -> Shown:
    groups = arms.grouped(mine, lambda arm: arm.group)
    return question.dotted(
        TITLE,
        {name: [_row(arm) for arm in group] for name, group in groups.items()},
        Axis("speed-up (1: none, 2: ideal; bar: 95 %)"),
        name=device,
        band=Band(LEAST, MOST, "grey: almost linear, within 5 % of 2"),
        line=1.0,
    )


def _row(arm: Arm) -> Row:
    assert arm.value
    return arm.row(seen=arm.value, text=f"{say.value(arm.value)}, {arm.extras['scaling']}")


main = partial(question.run, "two_devices", answer)

if __name__ == "__main__":
    main()
