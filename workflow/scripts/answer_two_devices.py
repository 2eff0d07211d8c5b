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
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Comparison, Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval

IDEAL = 2.0
NEAR = 0.05  # of the ideal: what "almost linear" allows
MUCH = 0.5  # of the time: a hand-over this long has a part in the speed-up
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


MEANING = {
    Scaling.LINEAR: "almost linear",
    Scaling.SUBLINEAR: "faster, but less than linear",
    Scaling.FASTER: "faster, cannot tell whether almost linear",
    Scaling.BEYOND: "more than twice as fast",
    Scaling.NONE: f"no speed-up beyond {100 * verdict.MARGIN:g} %",
    Scaling.LOSS: "slower than in sequence",
    Scaling.UNKNOWN: "cannot tell",
}


def scaling(seen: Comparison, word: Word) -> Scaling:
    """What a comparison of the time at once with the time in sequence says about scaling."""
    speedup, least, most = inverse(seen), (1 - NEAR) * IDEAL, (1 + NEAR) * IDEAL
    match word:
        case Word.SLOWER:
            return Scaling.LOSS
        case Word.SAME:
            return Scaling.NONE
        case Word.FASTER if speedup.low > most:
            return Scaling.BEYOND
        case Word.FASTER if speedup.high < least:
            return Scaling.SUBLINEAR
        case Word.FASTER if speedup.low >= least and speedup.high <= most:
            return Scaling.LINEAR
        case Word.FASTER:
            return Scaling.FASTER
    return Scaling.UNKNOWN


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
        at_once = result["arms"][ARM]
        extras["in_sequence_s"] = result["arms"]["anchor"]["time_median_s"]
        extras |= {"at_once_s": at_once["time_median_s"], "product_flop": at_once["units_per_call"]}
    extras |= {key: result.get(key) for key in ("repeats", "handover_s", "wrong_stream_s")}
    extras["lanes"] = lanes_in_words(result.get("lanes", []))
    seen = speedup = None
    if trial.status == Status.OK:
        seen = verdict.paired(result, ARM)
        speedup = inverse(seen)
        extras |= {"speedup": speedup.value, "speedup_low": speedup.low}
        extras["speedup_high"] = speedup.high if seen.low else None
    return Arm(
        str(each.axes["device"]),
        extras["pair"] if extras["role"] == QUESTION else f"{extras['pair']} ({STAND_IN})",
        str(extras["n"]),
        f"n = {extras['n']}",
        speedup,
        seen,
        lost="" if seen else model.lost(trial.status),
        extras=extras,
    )


def lanes_in_words(lanes: Sequence[dict[str, Any]]) -> str | None:
    """What the two lanes were: ``CPU 0 | CPU 1; 1 thread each``; ``cuda:0 (…) | cuda:1 (…)``."""
    if not lanes:
        return None
    if "threads" in lanes[0]:
        threads = f"{say.plural(min(lane['threads'] for lane in lanes), 'thread')} each"
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


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device and size."""
    found = pairs(records)
    here = arms.grouped(found, lambda arm: arm.device)
    views = [_view(device, mine) for device, mine in here.items() if len(_measured(mine)) > 1]
    return Findings(
        short=_short(found),
        cells=_cells(records, found),
        sentence=_sentence(records, found),
        so=_so(found),
        numbers={"speedups": [_numbers(arm) for arm in _measured(found)]},
        why=[
            say.on(group[0].device, here) + text
            for group in _groups(_measured(found))
            for text in _why(group)
        ],
        method=_method(records),
        caveats=_caveats(found),
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
            },
        ),
        frame=trials.frame(records, map(arms.flat, found)),
    )


def _measured(found: Sequence[Arm]) -> list[Arm]:
    return [arm for arm in found if arm.seen]


def _groups(found: Sequence[Arm]) -> list[list[Arm]]:
    """The sizes of each pair, in their order; of one that either device measured, the first's."""
    first: dict[str, list[Arm]] = {}
    for name, group in arms.grouped(found, lambda arm: f"{arm.group}, {arm.device}").items():
        first.setdefault(_lanes(group[-1]) or name, group)
    return [*first.values()]


def _lanes(arm: Arm) -> str:
    """Which two GPUs these are, of which machine, whichever of them measured; else nothing."""
    if arm.extras["role"] != QUESTION or not arm.extras["lanes"]:
        return ""
    run = arm.device.partition(" (")[2]  # a device of another run is called after that, too
    return f"{sorted(arm.extras['lanes'].split(' | '))} {run}"


def largest(found: Sequence[Arm], role: str) -> list[Arm]:
    """The largest size of each pair, where launching work decides least."""
    return [group[-1] for group in _groups(found) if group[-1].extras["role"] == role]


def smaller(lead: Arm, found: Sequence[Arm]) -> list[Arm]:
    """The size of a pair at which it gains least, where that is another answer than the lead's."""
    same = [a for a in _measured(found) if (a.device, a.group) == (lead.device, lead.group)]
    least = min(same, key=lambda arm: arm.extras["speedup"], default=lead)
    return [least] if least.extras["scaling"] != lead.extras["scaling"] else []


def _cells(records: Sequence[Record], found: Sequence[Arm]) -> list[Main]:
    """The headline rests on the largest size that was asked for of two GPUs, never on stand-ins."""
    cells = [Main(f"{PAIR}, {a.label}", a.word, a.lost) for a in largest(found, QUESTION)]
    bad = [each.status for each in records if each.status != Status.OK]
    return cells or [Main(PAIR, lost=model.lost(bad[0]) if bad else "not measured")]


def _sentence(records: Sequence[Record], found: Sequence[Arm]) -> str:
    """The answer for two GPUs, or why there is none and what the stand-ins show."""
    leads = largest(_measured(found), QUESTION)
    devices = [arm.device for arm in leads]
    lost = [cell for cell in _cells(records, found) if cell.lost]
    if leads:
        parts = [f"{say.on(arm.device, devices)}{_lead(arm, found)}." for arm in leads]
        parts += [f"{say.capital(cell.name)}: {cell.lost}." for cell in lost]
    else:
        parts = [f"Two GPUs: {say.listed(dict.fromkeys(cell.lost for cell in lost))}."]
        for arm in largest(_measured(found), STAND_IN):
            parts.append(f"As a {STAND_IN}, {_speedup(arm)}.")
    return " ".join(dict.fromkeys(parts))


def _lead(arm: Arm, found: Sequence[Arm]) -> str:
    other = "".join(f", and {_plain(each)} at {each.label}" for each in smaller(arm, found))
    return f"{say.capital(_speedup(arm))}, {_meaning(arm)}{other}"


def _plain(arm: Arm) -> str:
    assert arm.value
    return say.value(arm.value)


def _speedup(arm: Arm) -> str:
    assert arm.value
    doubt = " (cannot tell)" if arm.word == Word.UNKNOWN and arm.extras["role"] == STAND_IN else ""
    return f"{arm.extras['pair']}: {say.interval(arm.value)} times as fast at {arm.label}{doubt}"


def _short(found: Sequence[Arm]) -> str:
    leads = largest(_measured(found), QUESTION)
    devices = [arm.device for arm in leads]
    parts = [
        f"{say.on(arm.device, devices)}{say.capital(_meaning(arm))}, {_of_ideal(arm)}"
        + "".join(f", {_plain(each)} at {each.label}" for each in smaller(arm, found))
        for arm in leads
    ]
    others = [f"{STAND_IN} {_of_ideal(arm)}" for arm in largest(_measured(found), STAND_IN)]
    return "; ".join(parts or ["Two GPUs not measured", *others[:1]])


def _meaning(arm: Arm) -> str:
    return MEANING[arm.extras["scaling"]]


def _of_ideal(arm: Arm) -> str:
    return f"{_plain(arm)} of {IDEAL:g}"


def _so(found: Sequence[Arm]) -> str:
    """What to do with two GPUs, where all that were measured agree."""
    words = {arm.word for arm in largest(_measured(found), QUESTION)}
    if words == {Word.FASTER}:
        return "Give independent products of this size to both GPUs."
    if words and words <= {Word.SAME, Word.SLOWER}:
        return "Keep products of this size on one GPU."
    return ""


def _why(group: Sequence[Arm]) -> list[str]:
    """What the lanes were, and what a clock shows that does not wait for them."""
    texts = [f"{say.capital(group[0].group)}: {group[0].extras['lanes'] or 'lanes unknown'}."]
    known = [arm for arm in group if arm.extras["handover_s"]]
    if known:
        own, quantity = known[-1].extras, say.quantity
        implied, right = (own["product_flop"] / own[key] for key in ("handover_s", "at_once_s"))
        wrong = own["wrong_stream_s"]
        texts.append(
            f"At {known[-1].label} a clock stopped when the work is handed over shows "
            f"{quantity(own['handover_s'], 's')} instead of {quantity(own['at_once_s'], 's')}, as "
            f"if it were {quantity(implied, 'FLOP/s')} instead of {quantity(right, 'FLOP/s')}."
            + (f" Events on another stream show {quantity(wrong, 's')}." if wrong else "")
        )
    slow = [arm for arm in known if arm.extras["handover_s"] > MUCH * arm.extras["at_once_s"]]
    if slow:
        texts.append(
            f"At {say.listed(arm.label for arm in slow)} handing the work over takes half of the "
            "time or more, so the host has a part in the speed-up."
        )
    return texts


def _numbers(arm: Arm) -> dict[str, Any]:
    keys = ("pair", "role", "n", "speedup", "speedup_low", "speedup_high", "scaling")
    return {"device": arm.device, **{key: arm.extras[key] for key in keys}}


def _milliseconds(arm: Arm, key: str) -> Cell | None:
    """The time of a pair of products, of which a call has many."""
    if key not in arm.extras:
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
        f"Almost linear: the interval lies within {100 * NEAR:g} % of {IDEAL:g}.",
        "One path of code measures two GPUs and the stand-ins: streams of one GPU, or halves of "
        "the CPU's cores, each with its own queue and threads, whose start-up is not timed.",
    ]


def _caveats(found: Sequence[Arm]) -> list[str]:
    caveats = [
        "A published 0.003 s for two products of 10000 × 10000 means 1334 TFLOP/s, more than its "
        "GPUs have: the clock was stopped at the hand-over.",
        "Moving operands between devices is not in these figures.",
    ]
    if largest(_measured(found), STAND_IN):
        caveats.append(
            "A stand-in is not two GPUs: streams share arithmetic units, halves of a CPU share "
            "caches, memory, power, perhaps a core."
        )
    if any("not bound" in (arm.extras["lanes"] or "") for arm in found):
        caveats.append("The halves were not bound to cores.")
    return caveats


def _view(device: str, mine: Sequence[Arm]) -> Shown:
    groups = arms.grouped(_measured(mine), lambda arm: arm.group)
    return question.dotted(
        TITLE,
        {name: [_row(arm) for arm in group] for name, group in groups.items()},
        Axis("speed-up (1: none, 2: ideal; bar: 95 %)"),
        name=device,
        band=Band((1 - NEAR) * IDEAL, (1 + NEAR) * IDEAL, "grey: almost linear, within 5 % of 2"),
        line=1.0,
    )


def _row(arm: Arm) -> Row:
    assert arm.value
    return arm.row(seen=arm.value, text=f"{say.value(arm.value)}, {arm.extras['scaling']}")


main = partial(question.run, "two_devices", answer)

if __name__ == "__main__":
    main()
