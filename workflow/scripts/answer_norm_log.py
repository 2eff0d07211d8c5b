"""How should a log of norms be kept? A verdict per device and way, against `.item()` each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.answer import arms, figure, model, question, say, trials
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis, Row
from assay.answer.model import Main
from assay.answer.question import Findings, Shown
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
LOOP = ("list", "buffer")  # ways that keep the loop of the exercise and transfer once
PER = 1000  # products, of which times are given
TITLE = "Time of 1000 products by how the log is kept"


def compared(record: Record) -> Trial | None:
    """The trial of all ways; None where a record has none."""
    return next((trial for trial in record.trials if "products" in trial.what), None)


def published(record: Record) -> Trial | None:
    """What the published answer computes instead."""
    found = (trial for trial in record.trials if trial.what.get("way") == "published")
    return next((trial for trial in found if trial.status == Status.OK), None)


def ways(records: Sequence[Record]) -> list[Arm]:
    """Every way that was measured, all devices judged as one family."""
    found = []
    for each in records:
        trial = compared(each)
        if trial and trial.status == Status.OK:
            found += _ways(each, trial)
    return arms.judged(found)


def _ways(each: Record, trial: Trial) -> list[Arm]:
    result: Any = trial.result
    per = PER / next(iter(result["arms"].values()))["units_per_call"]
    waits = result.get("synchronisations") or result.get("reads", {})
    return [
        arms.with_extras(arm, _extras(arm, waits.get(arm.name)))
        for arm in arms.timed(each, trial, WAYS, anchor=ANCHOR, per=per)
    ]


def _extras(arm: Arm, waits: int | None) -> dict[str, Any]:
    """The time in milliseconds for the table, and how often the host reads from the device."""
    assert arm.value
    low, high = 1e3 * arm.value.low, 1e3 * arm.value.high
    return {
        "time_ms_per_1000": 1e3 * arm.value.value,
        "time_low_ms_per_1000": low,
        "time_high_ms_per_1000": high,
        "synchronisations": waits,
    }


def answer(records: list[Record]) -> Findings:
    """Answer from the records of every device."""
    found = ways(records)
    by_device = arms.grouped(found, lambda arm: arm.device)
    return Findings(
        short=_short(by_device),
        cells=_cells(records, found),
        sentence=_sentence(by_device),
        so=_so(by_device),
        numbers=_numbers(found, records),
        why=[
            *dict.fromkeys(text for each in records for text in _published(each)),
            *(text for each in records for text in _norm(each)),
        ],
        method=_method(records),
        caveats=[
            "Printing goes to the null device: a terminal or a notebook costs more.",
            "The batched way needs all operands before the first product, so it answers another "
            "question where each product depends on the one before.",
        ],
        views=[_view(device, here) for device, here in by_device.items()]
        or question.nothing(TITLE),
        switch="Device",
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


def _cells(records: Sequence[Record], found: Sequence[Arm]) -> list[Main]:
    """The headline rests on the two ways that keep the loop, on each device."""
    cells = [arm.main for arm in found if arm.name in LOOP]
    for each in records:
        trial = compared(each)
        status = trial.status if trial else each.status
        if status != Status.OK:
            cells.append(Main(str(each.axes["device"]), lost=model.lost(status)))
    return cells


def _sentence(by_device: Mapping[str, list[Arm]]) -> str:
    """Whether reading each result back costs anything beside keeping the log on the device."""
    if not by_device:
        return question.NOTHING
    return " ".join(
        say.on(device, by_device) + _device_sentence(here) for device, here in by_device.items()
    )


def _device_sentence(here: Sequence[Arm]) -> str:
    kept = [arm for arm in here if arm.name in LOOP and arm.seen]
    if not kept:
        return "Keeping the log on the device was not measured."
    best = min(kept, key=lambda arm: arm.seen.value if arm.seen else 1.0)
    assert best.seen
    match best.word:
        case Word.FASTER:
            return f"Reading back each of 1000 norms costs time: a {best.label} takes {say.longer(best.seen)}."  # noqa: E501
        case Word.SLOWER:
            return f"Reading back each norm costs nothing here: a {best.label} takes {say.longer(best.seen)}."  # noqa: E501
        case Word.SAME:
            return (
                f"Reading back each of 1000 norms costs nothing here: a {best.label} takes the "
                f"same time within {100 * best.seen.margin:.2g} %."
            )
    return f"Cannot tell whether reading back costs time: {best.label} {say.ratio(best.seen)}."


def _short(by_device: Mapping[str, list[Arm]]) -> str:
    if not by_device:
        return "Not measured"
    parts = []
    for device, here in by_device.items():
        fastest = _fastest(here)
        kept = {arm.word for arm in here if arm.name in LOOP}
        costs = "costs time" if Word.FASTER in kept else (
            "costs nothing" if kept <= {Word.SAME, Word.SLOWER} else "cannot tell"
        )  # fmt: skip
        gain = (
            f"; {fastest.label} {say.change(fastest.seen.value)}"
            if fastest and fastest.seen
            else ""
        )
        where = say.on(device, by_device)
        parts.append(f"{where}{costs if where else say.capital(costs)}{gain}")
    return "; ".join(parts)


def _fastest(here: Sequence[Arm]) -> Arm | None:
    """The fastest way of those that were found faster than reading each back."""
    faster = [arm for arm in here if arm.word == Word.FASTER and arm.value]
    return min(faster, key=lambda arm: arm.value.value if arm.value else 0.0, default=None)


def _so(by_device: Mapping[str, list[Arm]]) -> str:
    """What to do: only where some way was found faster."""
    advice = {say.on(device, by_device): _fastest(here) for device, here in by_device.items()}
    parts = [
        f"{where}{'use' if where else 'Use'} {arm.label}" for where, arm in advice.items() if arm
    ]
    return "; ".join(parts) + "." if parts else ""


def _norm(each: Record) -> list[str]:
    """The mean norm beside its expectation."""
    trial = compared(each)
    if not trial or "norm_mean" not in trial.result:
        return []
    result: Any = trial.result
    ends = (
        f" [{result['norm_mean_low']:.1f}, {result['norm_mean_high']:.1f}]"
        if result["norm_mean_low"] is not None
        else ""
    )
    return [
        f"The mean norm is {result['norm_mean']:.1f}{ends}, expected "
        f"{result['norm_expected']:.0f} (n^1.5 for normal random matrices)."
    ]


def _published(each: Record) -> list[str]:
    """Where the published loop overflows."""
    wrong = published(each)
    if not wrong or not wrong.result["first_infinite"]:
        return []
    return [
        "z = z * x, as published, has an infinite norm from iteration "
        f"{wrong.result['first_infinite_norm']} and infinite elements from iteration "
        f"{wrong.result['first_infinite']} of {wrong.result['iterations']}: it is no product of "
        "matrices, and most of its log is infinite."
    ]


def _numbers(found: Sequence[Arm], records: Sequence[Record]) -> dict[str, Any]:
    numbers: dict[str, Any] = {"ways": [arms.flat(arm) for arm in found]}
    for each in records:
        trial, wrong = compared(each), published(each)
        numbers[str(each.axes["device"])] = {
            **({k: v for k, v in trial.result.items() if k.startswith("norm_")} if trial else {}),
            **(wrong.result if wrong else {}),
        }
    return numbers


def _method(records: Sequence[Record]) -> list[str]:
    measured = [trial for each in records if (trial := compared(each))]
    sizes = {(str(each.what["products"]), str(each.what["n"])) for each in measured}
    described = say.listed(f"{products} products of {n} × {n}" for products, n in sorted(sizes))
    return [
        f"One trial of {described or 'nothing'} in float32, every way in every round.",
        "The matrices are fresh normal random numbers, all different; product i is that of "
        "matrices i and i + 1. The time is the host's, until the whole log can be read there. All "
        "ways that keep a log were checked to log the same values.",
        "Synchronisations: reads by the host, as torch dispatches them, on an NVIDIA GPU those "
        "that torch itself reports. A CPU has nothing to wait for: there they are reads.",
    ]


def _view(device: str, here: Sequence[Arm]) -> Shown:
    shown = [arm for arm in here if arm.value]
    drawn = figure.rows(
        {"": [_row(arm) for arm in shown]},
        Axis("milliseconds for 1000 products (bar: 95 %)", within=(0, float("inf"))),
        line=next(1e3 * arm.value.value for arm in shown if arm.role == Role.ANCHOR and arm.value),
    )
    text = arms.alternative(TITLE, shown, unit="ms", scale=1e3)
    return Shown(TITLE, text, drawn, name=device)


def _row(arm: Arm) -> Row:
    assert arm.value
    own = say.value(arm.value, "ms", 1e3)
    return arm.row(seen=arms.scaled(arm.value, 1e3), text=f"{own}, {arm.told}")


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("norm_log", answer, argv)


if __name__ == "__main__":
    main()
