"""What goes wrong when a network keeps its blocks where torch does not look?

A matrix of operations × ways to keep the blocks, and what training, saving and loading come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, model, question, say, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.model import Cell, Content, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval

# What keeps the blocks, in the order of the tables.
STORAGES = {
    "list": "list", "dict": "dict", "tuple": "tuple", "partial": "partly registered",
    "children": "children() loop", "add_module": "add_module", "module_list": "ModuleList",
    "module_dict": "ModuleDict", "attribute": "attributes", "sequential": "nn.Sequential",
    "fixed_tensor": "constant: tensor", "fixed_buffer": "constant: buffer",
}  # fmt: skip
LIST, REFERENCE = "list", "sequential"
CONSTANTS = ("fixed_tensor", "fixed_buffer")  # keep a weight rather than blocks
ADVISED = ("module_list", "module_dict", REFERENCE)
OPERATIONS = {
    "output": "output", "gradients": "gradients", "repetition": "one instance thrice",
    "parameters": "parameters()", "named_parameters": "named_parameters()",
    "buffers": "buffers()", "named_modules": "named_modules()", "state_dict": "state_dict()",
    "repr": "repr", "apply": "apply(f)", "optimiser": "optimiser's step",
    "zero_grad": "zero_grad()", "requires_grad": "requires_grad_(False)",
    "train_eval": "train(), eval()", "to_float64": "to(float64)", "half": "half()",
    "to_device": "to(device)", "deepcopy": "deepcopy", "save_load": "save and load",
}  # fmt: skip
SIGNS = {"pass": "✓", "silent": "✗", "loud": "!"}
TRAINED, RELOADED = "as trained", "after saving and loading"
EQUAL = "the reference's, bit for bit"
WEIGHTS = {True: EQUAL, False: f"NOT {EQUAL}", None: None}
TITLE = "Does it reach every block? ✓ yes · ✗ no, silently · ! no, with an error"
ACCURACIES = "Test accuracy as trained, and after saving and loading"

Cells = dict[str, dict[str, Cell]]  # by way of keeping and operation


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    name: str
    lost: str  # why the list was not tried, where it was not
    cells: Cells
    learned: Sequence[Arm]  # as trained, and after saving and loading

    def sign(self, way: str, operation: str) -> str:
        """What an operation came to; empty where there is nothing."""
        return self.cells[way][operation].sign if operation in self.cells.get(way, ()) else ""

    def count(self, way: str, signs: str) -> int:
        """How many operations on a way came to one of these signs."""
        return sum(cell.sign in signs for cell in self.cells.get(way, {}).values() if cell.sign)

    def works(self, way: str) -> bool:
        """Whether every operation was tried and passed."""
        return 0 < self.count(way, "✓") == len(self.cells.get(way, ()))


# ---- reading ------------------------------------------------------------------------------------


def devices(records: Sequence[Record]) -> list[Device]:
    """What was found, device by device; all accuracies are judged as one family."""
    by_device = trials.by_device(records)
    learned = judged([arm for label, own in by_device.items() for arm in _learned(label, own)])
    return [
        Device(
            label,
            trials.lost(own, "storage", LIST),
            _cells(own),
            [arm for arm in learned if arm.device == label],
        )
        for label, own in by_device.items()
    ]


def judged(learned: Sequence[Arm]) -> list[Arm]:
    """What is equal with every seed is so because its weights are, and is not tested."""
    words = verdict.words(arm.seen for arm in learned if arm.seen and chancy(arm.seen))
    return [
        replace(arm, word=words.get(arm.seen, Word.SAME)) if arm.seen else arm for arm in learned
    ]


def chancy(seen: Interval) -> bool:
    """Whether chance has a part: not in accuracies that are equal with every seed."""
    return (seen.low, seen.high) != (0, 0)


def _cells(own: Iterable[Record]) -> Cells:
    """By way and operation; ways with which nothing could be tried are left out."""
    found: Cells = {name: {} for name in STORAGES}
    for trial in (trial for each in own for trial in each.trials):
        if trial.what.get("operation") in OPERATIONS:
            found[str(trial.what["storage"])][str(trial.what["operation"])] = _cell(trial)
    return {name: cells for name, cells in found.items() if any(c.sign for c in cells.values())}


def _cell(trial: Trial) -> Cell:
    """An outcome, how many blocks or numbers it reached, and the error that it raised."""
    if trial.status != Status.OK:
        return Cell(text=model.lost(trial.status))
    result, error = trial.result, str(trial.result.get("error") or "")
    reached = f"{result['reached']} of {result['of']}" if "reached" in result else ""
    sign = SIGNS[str(result["outcome"])]
    return Cell(text="error" if error else reached, sign=sign, reason=error)


def _learned(device: str, own: Sequence[Record]) -> list[Arm]:
    """Every way that was trained against torch's own, and what saving and loading left of it."""
    runs = pd.concat([accuracy.runs(each) for each in own])
    if runs.empty or not runs["status"].isin([Status.OK, Status.DIVERGED]).any():
        return []
    parts = {name: part for name in STORAGES if len(part := runs[runs["storage"] == name])}
    whole = accuracy.whole(parts)
    # Torch's own container, or else the last in the order, the likeliest to be right.
    reference = REFERENCE if REFERENCE in whole else max(whole, key=[*STORAGES].index, default="")
    extras = {name: _trained(part, whole[reference]) for name, part in whole.items()}
    again = {
        n: part.assign(test_accuracy=part["test_accuracy_reloaded"]) for n, part in whole.items()
    }
    return [
        *arms.learned(device, parts, STORAGES, reference, group=TRAINED, extras=extras),
        *(
            replace(arm, seen=accuracy.difference(again[arm.name], whole[arm.name]))
            for arm in arms.learned(device, again, STORAGES, None, group=RELOADED)
        ),
    ]


def _trained(part: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """What was trained, and whether its weights are the reference's, bit for bit."""
    one, other = (each.set_index("seed")["weights_sha256"] for each in (part, reference))
    return {
        "parameters": int(part["parameters"].iloc[0]),
        "parameters_registered": int(part["parameters_registered"].iloc[0]),
        "weights_equal_reference": bool(one.equals(other)),
    }


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and ways of keeping."""
    everywhere = devices(records)
    found = [each for each in everywhere if each.cells or each.learned]
    told = question.joined({each.name: _tell(each) for each in everywhere})
    learned = [arm for each in found for arm in each.learned]
    return Findings(
        **vars(replace(told, so=_so(found))),
        numbers={each.name: _numbers(each) for each in found},
        why=question.on_each({each.name: _why(each) for each in everywhere}),
        method=_method(records),
        caveats=CAVEATS,
        views=[_view(each) for each in found if each.cells] or question.nothing(TITLE),
        folded=[question.of_table(ACCURACIES, _accuracies(learned))] if learned else [],
        table=_table(found),
        frame=trials.frame(records, map(arms.flat, learned)),
    )


def _tell(device: Device) -> Told:
    """What fails with a list; that rests on every operation on it."""
    if LIST not in device.cells:
        cell = Main("blocks in a Python list", lost=device.lost)
        return Told(f"List: {cell.lost}", f"{say.capital(cell.name)}: {cell.lost}.", "", [cell])
    cells = [
        Main(OPERATIONS[name], lost="" if cell.sign else cell.text)
        for name, cell in device.cells[LIST].items()
    ]
    failed, silent, tried = (device.count(LIST, signs) for signs in ("✗!", "✗", "✓✗!"))
    gone = say.few([each.name for each in cells if each.lost], 1)
    lost = f" Lost: {gone}." if gone else ""
    if not failed:
        short = f"All {tried} operations work"
        sentence = f"Blocks in a Python list do no harm: all {tried} operations work.{lost}"
        return Told(short, sentence, "", cells)
    short = f"{failed} of {tried} operations fail"
    sentence = (
        f"Torch does not see blocks in a Python list: {short}, {silent or 'none'} of them without "
        f"an error.{lost}"
    )
    return Told(f"{short}, {silent} silently", sentence, "", cells)


def _so(found: Sequence[Device]) -> str:
    """What to use instead: what works wherever the list does not."""
    harmed = [each for each in found if each.count(LIST, "✗!")]
    good = [
        STORAGES[name] for name in ADVISED if harmed and all(each.works(name) for each in harmed)
    ]
    return f"Keep blocks in {say.listed(good, 'or')}: every operation works there." if good else ""


def _why(device: Device) -> list[str]:
    """The silent case: with something registered, nothing complains."""
    levels = {arm.group: arm for arm in device.learned if arm.name == "partial" and arm.value}
    partly, after = levels.get(TRAINED), levels.get(RELOADED)
    right = next((arm for arm in device.learned if arm.role == Role.ANCHOR), None)
    if not (partly and after and right):
        return []
    registered, parameters = (
        say.count(partly.extras[name]) for name in ("parameters_registered", "parameters")
    )
    return [
        f"Registered in part, training raises no error: {registered} of {parameters} parameters "
        f"are trained, {say.accuracy(partly.value)} of the test images are right instead of "
        f"{say.accuracy(right.value)}, and {say.accuracy(after.value)} after saving and loading."
    ]


def _numbers(device: Device) -> dict[str, Any]:
    return {
        "operations": {
            way: {outcome: device.count(way, sign) for outcome, sign in SIGNS.items()}
            for way in device.cells
        },
        "training": [arms.flat(arm) for arm in device.learned],
    }


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    return [
        "Every operation was run on a small network whose blocks were also held outside of it. It "
        "passes when it reached all of them, and fails silently when it missed some and raised "
        "nothing. Conversions include a call with inputs of the new type or place.",
        f"A {'-'.join(map(str, [784, *settings['hidden'], 10]))} perceptron was trained with "
        f"{settings['seeds']} seeds, {say.plural(settings['epochs'], 'epoch')} of SGD at rate "
        f"{settings['rate']:g}, batches of {settings['batch']}; data: "
        f"{data.name if data else 'unknown'}. Where no parameter is found, it was given them by "
        "hand. Its state was loaded strictly into a network built anew with another seed.",
        "Accuracies that are equal with every seed are no matter of chance and not tested.",
    ]


CAVEATS = [
    "Without a second device, to(device) moves to “meta”, shapes without memory, which is lenient: "
    "a product with a tensor that stayed on the CPU goes through.",
    "Where an error is raised, the first use raises it, not the conversion.",
    "A deep copy works everywhere, because Python copies lists: it says nothing about "
    "registration.",
]


# ---- tables -------------------------------------------------------------------------------------


def _view(device: Device) -> Shown:
    """The matrix in short: what behaves alike shares a row, and a column."""
    blocks = [way for way in device.cells if way not in CONSTANTS] or [*device.cells]
    columns = arms.grouped(blocks, lambda way: str([device.sign(way, each) for each in OPERATIONS]))
    ways = [own[0] for own in columns.values()]
    rows = arms.grouped(OPERATIONS, lambda name: " ".join(device.sign(way, name) for way in ways))
    lines: list[list[Content]] = [
        [
            ", ".join(map(OPERATIONS.__getitem__, names)),
            *(Cell(text="", sign=sign) if sign else None for sign in signs.split(" ")),
        ]
        for signs, names in rows.items()
        if signs.strip()
    ]
    heads = [", ".join(map(STORAGES.__getitem__, own)) for own in columns.values()]
    return question.tabled(TITLE, ["operation", *heads], lines, device.name)


def _table(found: Sequence[Device]) -> Table:
    """Every operation on every way; devices on which it went alike share a row."""
    place = ["device"] if len(found) > 1 else []
    ways = [name for name in STORAGES if any(name in each.cells for each in found)]
    rows: list[list[Content]] = []
    for name, text in OPERATIONS.items():
        cells = {e.name: [e.cells.get(way, {}).get(name) for way in ways] for e in found}
        rows += [[text, *own[: len(place)], *own[1:]] for own in question.alike(cells)]
    return model.headed(["operation", *place, *map(STORAGES.__getitem__, ways)], rows)


def _accuracies(learned: Sequence[Arm]) -> Table:
    return arms.table(
        learned,
        "kept in",
        value="test accuracy",
        told=say.accuracy,
        against="against the reference, or as trained",
        group="network",
        extra={
            "parameters found": lambda arm: arm.extras.get("parameters_registered"),
            "weights": lambda arm: WEIGHTS[arm.extras.get("weights_equal_reference")],
        },
    )


main = partial(question.run, "registration", answer)

if __name__ == "__main__":
    main()
