"""Can networks be composed of blocks: side by side, and of several instances of one?

Every claim about the parallel block is a check that was run. Of several instances, the factory's
(each made anew) are compared with copies of one and with one that is used again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from assay.answer import accuracy, arms, inference, model, question, say, sweep, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.model import Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Trial
from assay.statistic import exponential
from numpy.typing import NDArray

PARALLEL = "parallel"
REFERENCE, SLIP = "independent", "shared"
NAMES = {
    "independent": "each made anew",
    "copied": "copies of the first",
    "shared": "one, used again",
}
ACCURACY, DISTANCE = "accuracy", "distance"  # groups of comparisons
NOTHING = 1e-30  # a relative distance that no float64 can show; stands for 0 in a logarithm
TITLE = "Test accuracy by how a network gets its instances of a block"
CLAIMED = "What must hold of a parallel block"
APART = "By what factor a block changes the distance between two outputs, before training"

# What it means to use one instance again, by the verdict on its accuracy, and on its distances.
SLIPS = {
    Word.WORSE: "One instance used again costs accuracy",
    Word.BETTER: "One instance used again gains accuracy",
    Word.SAME: "One instance used again is as accurate",
    Word.UNKNOWN: "Cannot tell whether one instance used again costs accuracy",
}
DRAWN = {
    Word.SAME: "The initialisation draws two outputs together, not the sharing",
    Word.FASTER: "Sharing adds to how the initialisation draws two outputs together",
    Word.SLOWER: "Sharing slows how the initialisation draws two outputs together",
}
# What must hold of a parallel block: the check that shows it, and whether its result does.
CLAIMS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "outputs equal those of the branches, concatenated by hand":
        ("equality", lambda seen: seen["outputs_equal"]),
    "gradients equal theirs": ("equality", lambda seen: seen["gradients_equal"]),
    "its parameters are those of the branches":
        ("equality", lambda seen: seen["parameters"] == seen["parameters_of_branches"]),
    "the Jacobian by the parameters is block diagonal":
        ("jacobian by parameters", lambda seen: seen["largest_outside"] == 0),
    "the Jacobian by the inputs is the branches' own, stacked":
        ("jacobian by inputs", lambda seen: seen["equals_stack"]),
    "samples do not mix":
        ("jacobian by inputs", lambda seen: seen["largest_between_samples"] == 0),
    "features are joined, not samples":
        ("cat without dim", lambda seen: seen["shape_of_block"] == [2, 32]),
    "outputs that do not fit are refused, with both shapes":
        ("contract", lambda seen: seen["names_both_shapes"]),
}  # fmt: skip
CHECKS = [*dict.fromkeys(check for check, _ in CLAIMS.values())]


@dataclass(frozen=True)
class Device:
    """What was found on one device; nothing where it is empty."""

    name: str
    records: Sequence[Record]
    checks: Mapping[str, Mapping[str, Any]]  # of the parallel block
    claims: Mapping[str, bool]  # whether each holds, where its check was made
    instances: Mapping[str, Mapping[str, Any]]  # what the largest number of them has in common
    runs: Mapping[str, pd.DataFrame]  # by structure
    arms: Sequence[Arm]

    def of(self, group: str) -> dict[str, Arm]:
        """The arms of one kind of comparison, by structure."""
        return {arm.name: arm for arm in self.arms if arm.group == group}

    def lost(self, structure: str) -> str:
        """Why something is not known of a structure, where it is not."""
        return trials.lost(self.records, "structure", structure)


# ---- reading ------------------------------------------------------------------------------------


def devices(records: Sequence[Record]) -> list[Device]:
    """What was found, device by device, judged as one family."""
    found = [_device(label, own) for label, own in trials.by_device(records).items()]
    judged = arms.judged([arm for each in found for arm in each.arms])
    return [replace(e, arms=[arm for arm in judged if arm.device == e.name]) for e in found]


def _device(label: str, own: Sequence[Record]) -> Device:
    made: dict[str, dict[str, Trial]] = {name: {} for name in (PARALLEL, *NAMES)}
    for trial in (trial for each in question.measured(own) for trial in each.trials):
        what = trial.what.get("check") or trial.what["phase"]
        made[str(trial.what["structure"])][str(what)] = trial  # the last has most instances
    runs = pd.concat([accuracy.runs(each) for each in own])
    parts = {n: runs[runs["structure"] == n] if len(runs) else runs for n in NAMES if made[n]}
    checks = {check: trial.result for check, trial in made[PARALLEL].items()}
    counted = {name: each["instances"] for name, each in made.items() if "instances" in each}
    return Device(
        label,
        own,
        checks,
        {c: bool(holds(checks[check])) for c, (check, holds) in CLAIMS.items() if check in checks},
        {name: {"count": each.what["count"], **each.result} for name, each in counted.items()},
        parts,
        [*_learned(label, parts), *_decays(label, made)],
    )


def _learned(device: str, parts: Mapping[str, pd.DataFrame]) -> list[Arm]:
    """Accuracies against instances made anew."""
    whole = accuracy.whole(parts)
    reference = REFERENCE if len(parts.get(REFERENCE, ())) else next(iter(whole), None)
    extras = {
        name: {"parameters": int(part["parameters"].iloc[0]), "rate": float(part["rate"].iloc[0])}
        for name, part in whole.items()
    }
    missing = dict.fromkeys(parts, "not trained")
    return arms.learned(
        device, parts, NAMES, reference, group=ACCURACY, extras=extras, missing=missing
    )


def _decays(device: str, made: Mapping[str, Mapping[str, Trial]]) -> list[Arm]:
    """By what factor a block changes the distance; against the reference, draw by draw."""
    per_block = {n: _per_block(own["distance"]) for n, own in made.items() if "distance" in own}
    base, found = per_block.get(REFERENCE), []
    for name, own in per_block.items():
        factor, is_base = exponential(inference.mean(own)), name == REFERENCE
        seen = None if base is None or is_base else verdict.paired_ratio(own, base)
        role, ends = Role.ANCHOR if is_base else Role.TARGET, verdict.ends("factor", factor)
        found.append(Arm(device, DISTANCE, name, NAMES[name], factor, seen, role=role, extras=ends))
    return found


def _per_block(trial: Trial) -> NDArray[np.float64]:
    """The logarithm of the factor of each draw, whose distances are relative to the first."""
    distances = np.array([*trial.samples.values()], dtype=float)
    logs: NDArray[np.float64] = np.log(np.maximum(distances, NOTHING))
    return logs[:, -1] / (logs.shape[1] - 1)


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and structures."""
    found = devices(records)
    every = [arm for each in found for arm in each.arms]
    return Findings(
        **vars(question.joined({each.name: _tell(each) for each in found})),
        numbers={e.name: _numbers(e) for e in found if e.checks or e.arms},
        why=question.on_each({each.name: _why(each) for each in found}),
        method=_method(records),
        caveats=[
            "At equal depth the network with one instance has fewer parameters: its accuracy tells "
            "what the slip costs, not what sharing weights on purpose is worth.",
            "Another initialisation, or training, changes the distance's factor.",
        ],
        views=[shown for each in found for shown in _view(each)] or question.nothing(TITLE),
        folded=_folded(found, [arm for arm in every if arm.group == DISTANCE]),
        table=_table(found, [arm for arm in every if arm.group == ACCURACY]),
        frame=trials.frame(
            records,
            map(arms.flat, every),
            add=lambda each, trial: {k: str(v) for k, v in trial.result.items() if type(v) is list},
        ),
    )


def _tell(device: Device) -> Told:
    """Whether blocks can be composed, and what it costs to use one instance again."""
    made, learned = device.checks, device.of(ACCURACY)
    cells = [Main(name, lost="" if name in made else device.lost(PARALLEL)) for name in CHECKS]
    block, parallel = _parallel(device)
    slip = learned.get(SLIP)
    if slip and slip.seen and slip.word:
        cell, short = Main(NAMES[SLIP], slip.word), slip.word.value
        told = f"{SLIPS[slip.word]}: {say.points(slip.seen)} points."
    else:
        gone = [learned[n].lost if n in learned else device.lost(n) for n in (SLIP, REFERENCE)]
        short = gone[0] or f"{NAMES[REFERENCE]} {gone[1]}"
        cell, told = Main(NAMES[SLIP], lost=short), f"One instance used again: {short}."
    # Advice only where sharing by mistake was found to cost accuracy.
    so = "Make every instance anew: one used again has one set of parameters and learns less."
    so = so if cell.word == Word.WORSE else ""
    return Told(f"{block}; sharing: {short}", f"{parallel} {told}", so, [*cells, cell])


def _parallel(device: Device) -> tuple[str, str]:
    """What the checks of the parallel block come to: short, and as a sentence."""
    held, lost = device.claims, device.lost(PARALLEL)
    failed = len(held) - sum(held.values())
    left = [check for check in CHECKS if check not in device.checks]
    if not held:
        return f"Parallel block {lost}", f"The parallel block was not checked ({lost})."
    if failed:
        told = f"{failed} of {len(held)} checks"
        return f"No, {told} fail", f"The parallel block fails {told}."
    if left:
        not_made = f"not made: {say.few(left, 1)}"
        return "Yes", f"The parallel block passes {len(held)} checks, {not_made}."
    return "Yes", f"Blocks can be composed: the parallel block passes all {len(held)} checks."


def _why(device: Device) -> list[str]:
    texts = []
    if cat := device.checks.get("cat without dim"):
        one, other = (tuple(shape) for shape in cat["shapes"])
        texts.append(
            f"torch.cat without dim turns {one} and {other} into "
            f"{tuple(cat['shape_without_dim'])}, a batch of twice the samples; the block gives "
            f"{tuple(cat['shape_of_block'])}."
        )
    if contract := device.checks.get("contract"):
        texts.append(f"Outputs that do not fit raise “{contract['error']}”.")
    slip = device.of(DISTANCE).get(SLIP)
    if slip and slip.value and slip.word in DRAWN:
        texts.append(f"{DRAWN[slip.word]}: by a factor of {say.interval(slip.value)} a block.")
    return texts


def _numbers(device: Device) -> dict[str, Any]:
    learned = device.of(ACCURACY)
    return {
        "parallel": device.claims,
        "instances": device.instances,
        "factor_per_block": {name: arms.flat(arm) for name, arm in device.of(DISTANCE).items()},
        "accuracy": {name: arms.flat(arm) for name, arm in learned.items() if arm.value},
        "lost": {name: arm.lost for name, arm in learned.items() if arm.lost},
    }


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    width = settings["width"]
    return [
        "The parallel block was compared with its branches, on the same inputs and weights, entry "
        "by entry, with no tolerance.",
        f"An instance is a linear layer of {width} units and ReLU, initialised by default. "
        f"Distance: {settings['draws']} draws of two normal random inputs and of the weights, the "
        f"same inputs and first block in every structure, through {settings['stacked']} blocks.",
        f"Accuracy: 784-{width}, {settings['depth']} blocks, {width}-10; SGD, batches of "
        f"{settings['batch']}, the better rate of "
        f"{say.listed(map(say.setting, settings['rates']), 'or')} after "
        f"{say.plural(settings['tuning_epochs'], 'epoch')}, then {settings['seeds']} seeds of "
        f"{say.plural(settings['epochs'], 'epoch')}; data: {data.name if data else 'unknown'}. "
        "Runs of one seed begin with the same weights, but for further instances.",
    ]


def _view(device: Device) -> list[Shown]:
    """Every structure, seed by seed; none where nothing is compared."""
    learned = device.of(ACCURACY).values()
    if not any(arm.seen for arm in learned):
        return []
    shown = [(arm, device.runs[arm.name]["test_accuracy"] if arm.value else ()) for arm in learned]
    return [sweep.accuracies(TITLE, shown, "instances", device.name)]


def _table(found: Sequence[Device], learned: Sequence[Arm]) -> Table:
    """How each structure learned, and what its instances have in common."""
    counted = {(each.name, name): row for each in found for name, row in each.instances.items()}

    def of(key: str) -> Callable[[Arm], Any]:
        return lambda arm: counted.get((arm.device, arm.name), {}).get(key)

    return arms.table(
        learned,
        "instances",
        value="test accuracy",
        told=say.accuracy,
        extra={
            "parameters": lambda arm: arm.extras.get("parameters"),
            "rate": lambda arm: arm.extras.get("rate"),
            "instances counted": of("count"),
            "their parameters": of("parameters"),
            "places in memory": of("memory_places"),
            "pairs that begin equal": of("pairs_of_equal_values"),
        },
    )


def _folded(found: Sequence[Device], decays: Sequence[Arm]) -> list[Shown]:
    held = {each.name: each.claims for each in found if each.checks}
    heads = ["claim", *(held if len(held) > 1 else ["holds"])]
    said = {True: model.outcome("✓ yes"), False: model.outcome("✗ NO"), None: None}
    rows: list[Any] = [[c, *(said[own.get(c)] for own in held.values())] for c in CLAIMS]
    table = arms.table(decays, "instances", value="factor per block")
    shown = [question.tabled(CLAIMED, heads, rows)] if held else []
    return [*shown, question.of_table(APART, table)] if decays else shown


main = partial(question.run, "composition", answer)

if __name__ == "__main__":
    main()
