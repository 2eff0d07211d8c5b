"""What goes wrong when a network keeps its blocks where torch does not look?

A matrix of operations × ways to keep the blocks, and what training, saving and loading come to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.model import Cell, Content, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial

# What keeps the blocks, in the order of the tables.
STORAGES = {
    "list": "list", "dict": "dict", "tuple": "tuple", "partial": "partly registered",
    "children": "children() loop", "add_module": "add_module", "module_list": "ModuleList",
    "module_dict": "ModuleDict", "attribute": "attributes", "sequential": "nn.Sequential",
    "fixed_tensor": "constant: tensor", "fixed_buffer": "constant: buffer",
}  # fmt: skip
LIST = "list"
CONSTANTS = ("fixed_tensor", "fixed_buffer")  # keep a weight rather than blocks
ADVISED = ("module_list", "module_dict", "sequential")
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

Cells = Mapping[str, Cell]  # what operations came to


# ---- reading ------------------------------------------------------------------------------------


def judged(learned: Sequence[Arm]) -> list[Arm]:
    """What is equal with every seed is so because its weights are: no matter of chance to test."""
    seen = [arm.seen for arm in learned if arm.seen]
    words = verdict.words(each for each in seen if (each.low, each.high) != (0, 0))
    return [replace(a, word=words.get(a.seen, Word.SAME)) if a.seen else a for a in learned]


def _cells(own: Iterable[Record]) -> dict[str, Cells]:
    """By way of keeping; ways with which nothing could be tried are left out."""
    found: dict[str, dict[str, Cell]] = {name: {} for name in STORAGES}
    for trial in (trial for each in own for trial in each.trials):
        if trial.what.get("operation") in OPERATIONS:
            found[str(trial.what["storage"])][str(trial.what["operation"])] = _cell(trial)
    return {name: cells for name, cells in found.items() if any(signs(cells))}


def signs(cells: Cells) -> Counter[str]:
    """How many operations came to each sign; to none those that were lost."""
    return Counter(cell.sign for cell in cells.values())


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
    reference = next(reversed(whole), "")  # torch's own container, or the likeliest to be right
    extras = {name: _trained(part, whole[reference]) for name, part in whole.items()}
    again = {
        n: part.assign(test_accuracy=part["test_accuracy_reloaded"]) for n, part in whole.items()
    }
    reloaded = arms.learned(device, again, STORAGES, None, group=RELOADED)
    return [
        *arms.learned(device, parts, STORAGES, reference, group=TRAINED, extras=extras),
        *(replace(a, seen=accuracy.difference(again[a.name], whole[a.name])) for a in reloaded),
    ]


def _trained(part: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """What was trained, and whether its weights are the reference's, bit for bit."""
    one, other = (each.set_index("seed")["weights_sha256"] for each in (part, reference))
    counts = {key: int(part[key].iloc[0]) for key in ("parameters", "parameters_registered")}
    return {**counts, "weights_equal_reference": bool(one.equals(other))}


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and ways of keeping."""
    by_device = trials.by_device(records)
    every = {label: _cells(own) for label, own in by_device.items()}
    found = {label: cells for label, cells in every.items() if cells}
    learned = judged([arm for label, own in by_device.items() for arm in _learned(label, own)])
    runs = arms.grouped(learned, lambda arm: arm.device)
    told = {
        label: _tell(every[label].get(LIST, {}), trials.lost(own, "storage", LIST))
        for label, own in by_device.items()
    }
    return Findings(
        **vars(replace(question.joined(told), so=_so([*found.values()]))),
        numbers={
            label: _numbers(cells, runs.get(label, []))
            for label, cells in every.items()
            if cells or label in runs
        },
        why=question.on_each({label: _why(runs.get(label, ())) for label in by_device}),
        method=_method(records),
        caveats=[
            "Without a second device, to(device) moves to “meta”, shapes without memory, which is "
            "lenient: a product with a tensor that stayed on the CPU goes through.",
            "Where an error is raised, the first use raises it, not the conversion.",
            "A deep copy works everywhere, because Python copies lists: it says nothing about "
            "registration.",
        ],
        views=[_view(*each) for each in found.items()] or question.nothing(TITLE),
        folded=[question.of_table(ACCURACIES, _accuracies(learned))] if learned else [],
        table=_table(found),
        frame=trials.frame(records, map(arms.flat, learned)),
    )


def _tell(cells: Cells, lost: str) -> Told:
    """What fails with a list; that rests on every operation on it."""
    if not cells:
        name = "blocks in a Python list"
        return Told(f"List: {lost}", f"{say.capital(name)}: {lost}.", "", [Main(name, lost=lost)])
    seen = signs(cells)
    silent, failed, tried = seen["✗"], seen["✗"] + seen["!"], len(cells) - seen[""]
    main = [Main(OPERATIONS[n], lost="" if cell.sign else cell.text) for n, cell in cells.items()]
    gone = say.few([each.name for each in main if each.lost], 1)
    also = f" Lost: {gone}." if gone else ""
    if not failed:
        work = f"all {tried} operations work"
        sentence = f"Blocks in a Python list do no harm: {work}.{also}"
        return Told(say.capital(work), sentence, "", main)
    fail = f"{failed} of {tried} operations fail"
    loudly = f"{silent or 'none'} of them without an error"
    sentence = f"Torch does not see blocks in a Python list: {fail}, {loudly}.{also}"
    return Told(f"{fail}, {silent} silently", sentence, "", main)


def _so(found: Sequence[Mapping[str, Cells]]) -> str:
    """What to use instead: what works wherever the list does not."""
    known = [{way: {*signs(own)} for way, own in cells.items()} for cells in found]
    harmed = [each for each in known if each.get(LIST, set()) & {"✗", "!"}]
    good = [name for name in ADVISED if harmed and all(e.get(name) == {"✓"} for e in harmed)]
    listed = say.listed([STORAGES[name] for name in good], "or")
    return f"Keep blocks in {listed}: every operation works there." if good else ""


def _why(learned: Sequence[Arm]) -> list[str]:
    """The silent case: with something registered, nothing complains."""
    return [
        "Registered in part, training raises no error: "
        f"{say.count(arm.extras['parameters_registered'])} of "
        f"{say.count(arm.extras['parameters'])} parameters are trained."
        for arm in learned
        if arm.name == "partial" and arm.group == TRAINED and arm.value
    ]


def _numbers(found: Mapping[str, Cells], learned: Sequence[Arm]) -> dict[str, Any]:
    counts = {way: signs(cells) for way, cells in found.items()}
    return {
        "operations": {w: {k: n[sign] for k, sign in SIGNS.items()} for w, n in counts.items()},
        "training": [*map(arms.flat, learned)],
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


def _view(device: str, found: Mapping[str, Cells]) -> Shown:
    """The matrix in short: what behaves alike shares a row, and a column."""

    def sign(way: str, name: str) -> str:
        return found[way][name].sign if name in found[way] else ""

    blocks = [way for way in found if way not in CONSTANTS] or [*found]
    columns = arms.grouped(blocks, lambda way: str([sign(way, name) for name in OPERATIONS]))
    ways = [own[0] for own in columns.values()]
    rows = arms.grouped(OPERATIONS, lambda name: " ".join(sign(way, name) for way in ways))
    lines: list[list[Content]] = [
        [
            ", ".join(OPERATIONS[name] for name in names),
            *(Cell(text="", sign=shown) if shown else None for shown in seen.split(" ")),
        ]
        for seen, names in rows.items()
        if seen.strip()
    ]
    heads = [", ".join(STORAGES[way] for way in own) for own in columns.values()]
    return question.tabled(TITLE, ["operation", *heads], lines, device)


def _table(found: Mapping[str, Mapping[str, Cells]]) -> Table:
    """Every operation on every way; devices on which it went alike share a row."""
    rows: list[Any] = []
    for name, told in OPERATIONS.items():
        cells = {
            device: {kept: own.get(way, {}).get(name) for way, kept in STORAGES.items()}
            for device, own in found.items()
        }
        rows += [{"operation": told, **row} for row in question.alike(cells)]
    return model.tabled(rows)


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
