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
TIMES = {"in_sequence_s": arms.ANCHOR, "at_once_s": ARM}  # of these arms
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
    if word != Word.FASTER:
        return {Word.SLOWER: Scaling.LOSS, Word.SAME: Scaling.NONE}.get(word, Scaling.UNKNOWN)
    speedup = inverse(seen)
    if speedup.low > MOST:
        return Scaling.BEYOND
    if speedup.high < LEAST:
        return Scaling.SUBLINEAR
    return Scaling.LINEAR if LEAST <= speedup.low <= speedup.high <= MOST else Scaling.FASTER


def inverse(ratio: Interval) -> Interval:
    """The speed-up that a ratio of times is."""
    return Interval(1 / ratio.value, 1 / ratio.high, 1 / ratio.low if ratio.low else math.inf)


# ---- the arms ------------------------------------------------------------------------------------


def pairs(records: Sequence[Record]) -> list[Arm]:
    """Every trial beside the same work in sequence, judged; those of the question come first."""
    found = [_arm(each, trial) for each in records for trial in each.trials]
    found.sort(key=lambda arm: (arm.extras["role"], arm.group, arm.device, arm.extras["n"]))
    judged = arms.judged(found)
    told = [{"scaling": scaling(a.seen, a.word).value} if a.seen else {} for a in judged]
    return [*map(arms.with_extras, judged, told)]


def _arm(each: Record, trial: Trial) -> Arm:
    """A trial; of one whose rounds were too few for a verdict the times are known all the same."""
    result: Any = trial.result
    timed = result.get("arms") or {}
    extras: dict[str, Any] = {key: trial.what[key] for key in ("pair", "role", "n")}
    extras |= {key: timed[arm]["time_median_s"] for key, arm in TIMES.items() if arm in timed}
    extras |= {key: result.get(key) for key in ("repeats", "handover_s")}
    extras["lanes"] = lanes_in_words(result.get("lanes", []))
    seen = verdict.paired(result, ARM) if trial.status == Status.OK else None
    speedup = inverse(seen) if seen else None
    extras |= verdict.ends("speedup", speedup) if speedup else {}
    group = extras["pair"] + (f" ({STAND_IN})" if extras["role"] == STAND_IN else "")
    device, n = str(each.axes["device"]), str(extras["n"])
    lost = "" if seen else model.lost(trial.status)
    return Arm(device, group, n, f"n = {n}", speedup, seen, lost=lost, extras=extras)


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
    own = {(arm.group, arm.device): arm for arm in found if arm.extras["role"] == role}
    first: dict[str, Arm] = {}
    for arm in own.values():
        first.setdefault(_lanes(arm), arm)
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
    known = {(a.device, a.group): a.extras["lanes"] for a in measured if a.extras["lanes"]}
    return Findings(
        **vars(_tell(records, found)),
        numbers={"speedups": [arms.flat(arm) for arm in measured]},
        why=[
            f"{say.on(device, by_device)}{say.capital(pair)}: {lanes}."
            for (device, pair), lanes in known.items()
        ],
        method=_method(records),
        caveats=CAVEATS,
        views=views or question.nothing(TITLE, "Fewer than two sizes were measured"),
        table=arms.table(
            found,
            "size",
            value="speed-up (ideal 2)",
            against="time at once against in sequence",
            group="pair",
            extra={"scaling": lambda arm: _meaning(arm) if arm.seen else None}
            | {
                f"{key.removesuffix('_s').replace('_', ' ')}, ms": partial(_milliseconds, key)
                for key in (*TIMES, "handover_s")
            },
        ),
        frame=trials.frame(records, map(arms.flat, found)),
    )


def _tell(records: Sequence[Record], found: Sequence[Arm]) -> Told:
    """The answer for two GPUs, or why there is none and what the stand-ins show.

    The headline rests on the largest size that was asked for of two GPUs, never on stand-ins.
    """
    cells = [Main(f"{PAIR}, {a.label}", a.word, a.lost) for a in largest(found, QUESTION)]
    cells = cells or [Main(PAIR, lost=trials.why_lost(records))]
    measured, lost = [arm for arm in found if arm.seen], [cell for cell in cells if cell.lost]
    leads, others = (largest(measured, role) for role in (QUESTION, STAND_IN))
    if not leads:
        alone = others if len(others) == 1 else []
        short = "; ".join(["Two GPUs not measured", *(f"{STAND_IN} {_of(arm)}" for arm in alone)])
        reasons = say.listed(dict.fromkeys(cell.lost for cell in lost))
        devices = [arm.device for arm in others]
        shown = [f"{say.on(a.device, devices)}As a {STAND_IN}, {_speedup(a)}." for a in others]
        return Told(short, " ".join([f"Two GPUs: {reasons}.", *shown]), "", cells)
    told = question.joined({arm.device: _tell_of(arm, measured) for arm in leads})
    words, so = {arm.word for arm in leads}, ""
    if words == {Word.FASTER}:
        so = "Give independent products of this size to both GPUs."
    elif words <= {Word.SAME, Word.SLOWER}:
        so = "Keep products of this size on one GPU."
    parts = [told.sentence, *(f"{say.capital(cell.name)}: {cell.lost}." for cell in lost)]
    return Told(told.short, " ".join(dict.fromkeys(parts)), so, cells)


def _tell_of(lead: Arm, found: Sequence[Arm]) -> Told:
    """Of two GPUs, with the size at which they gain least where that is another answer."""
    same = [arm for arm in found if (arm.device, arm.group) == (lead.device, lead.group)]
    least, meaning = min(same, key=lambda arm: arm.extras["speedup"]), _meaning(lead)
    alike = least.extras["scaling"] == lead.extras["scaling"]
    more = "" if alike else f", and {say.value(least.value)} at {least.label}{_doubt(least)}"
    sentence = f"{say.capital(_speedup(lead))}, {meaning}{more}."
    return Told(f"{say.capital(meaning)}, {_of(lead)}", sentence, "", [])


def _doubt(arm: Arm) -> str:
    return " (cannot tell)" if arm.word == Word.UNKNOWN else ""


def _speedup(arm: Arm) -> str:
    doubt = _doubt(arm) if arm.extras["role"] == STAND_IN else ""
    return f"{arm.extras['pair']}: {say.interval(arm.value)} times as fast at {arm.label}{doubt}"


def _of(arm: Arm) -> str:
    return f"{say.value(arm.value)} of {IDEAL:g}"


def _meaning(arm: Arm) -> str:
    return MEANING.get(arm.extras["scaling"], arm.extras["scaling"])


def _milliseconds(key: str, arm: Arm) -> Cell | None:
    """The time of a pair of products, of which a call has many."""
    if arm.extras.get(key) is None:
        return None
    seconds = arm.extras[key] / (arm.extras["repeats"] or 1)
    return Cell(text=say.number(1e3 * seconds), value=seconds)


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    return [
        "Every round has both products in sequence on one device, and one on each device at once: "
        f"{settings['dtype']} matrices of normal random numbers, filled on the device that "
        "multiplies them. Rows of each product were checked against float64.",
        "A device is handed as many products in one go as keep it busy for "
        f"{1e3 * settings['work_s']:g} ms or more, so that starting it does not decide. The host's "
        "clock runs until both devices are done.",
        "Two GPUs and the stand-ins, streams of one GPU or halves of the CPU's cores, are measured "
        "by the same code; each has its own queue and threads, whose start-up is not timed. Almost "
        "linear: the interval lies within 5 % of 2.",
    ]


CAVEATS = [
    "A published 0.003 s for two products of 10000 × 10000 means 1334 TFLOP/s, more than its "
    "GPUs have: the clock was stopped at the hand-over.",
    "Moving operands between devices is not in these figures.",
    "A stand-in is not two GPUs: streams share arithmetic units, halves of a CPU share caches, "
    "memory, power, perhaps a core.",
]


def _view(device: str, mine: Sequence[Arm]) -> Shown:
    groups: dict[str, list[Row]] = {}
    for arm in mine:
        text = f"{say.value(arm.value)}, {arm.extras['scaling']}"
        groups.setdefault(arm.group, []).append(arm.row(seen=arm.value, text=text))
    axis = Axis("speed-up (1: none, 2: ideal; bar: 95 %)")
    band = Band(LEAST, MOST, "grey: almost linear, within 5 % of 2")
    return question.dotted(TITLE, groups, axis, name=device, band=band, line=1.0)


main = partial(question.run, "two_devices", answer)

if __name__ == "__main__":
    main()
