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
from assay.answer import accuracy, arms, inference, question, say, sweep, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial
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

# What it means to use one instance again, by the verdict on its accuracy.
SLIPS = {
    Word.WORSE: "One instance used again costs accuracy",
    Word.BETTER: "One instance used again gains accuracy",
    Word.SAME: "One instance used again is as accurate",
    Word.UNKNOWN: "Cannot tell whether one instance used again costs accuracy",
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


@dataclass(frozen=True)
class Device:
    """What was found on one device; nothing where it is empty."""

    name: str
    lost: Mapping[str, str]  # why a structure was not measured, where it was not
    checks: dict[str, Trial]  # of the parallel block
    instances: dict[str, dict[str, Any]]  # what the largest number of them has in common
    runs: dict[str, pd.DataFrame]  # by structure
    arms: list[Arm]

    def group(self, name: str) -> list[Arm]:
        """The arms of one kind of comparison."""
        return [arm for arm in self.arms if arm.group == name]

    def arm(self, group: str, structure: str) -> Arm | None:
        """How one structure fared."""
        return next((arm for arm in self.group(group) if arm.name == structure), None)

    @property
    def claims(self) -> dict[str, bool]:
        """Whether each claim on a parallel block holds, where its check was made."""
        return {
            claim: bool(holds(self.checks[check].result))
            for claim, (check, holds) in CLAIMS.items()
            if check in self.checks
        }


# ---- reading ------------------------------------------------------------------------------------


def devices(records: Sequence[Record]) -> list[Device]:
    """What was found, device by device, judged as one family."""
    found = [_device(label, own) for label, own in trials.by_device(records).items()]
    judged = arms.judged([arm for each in found for arm in each.arms])
    return [replace(e, arms=[arm for arm in judged if arm.device == e.name]) for e in found]


def _device(label: str, own: Sequence[Record]) -> Device:
    done = [trial for each in own for trial in each.trials if trial.status == Status.OK]
    runs = pd.concat([accuracy.runs(each) for each in own])
    present = [name for name in NAMES if any(t.what["structure"] == name for t in done)]
    parts = {name: runs[runs["structure"] == name] if len(runs) else runs for name in present}
    return Device(
        label,
        {name: trials.lost(own, "structure", name) for name in (PARALLEL, *NAMES)},
        {str(t.what["check"]): t for t in done if t.what["structure"] == PARALLEL},
        {
            name: {"count": trial.what["count"], **trial.result}
            for name, trial in _checked(done, "instances").items()
        },
        parts,
        [*_learned(label, parts), *_decays(label, _checked(done, "distance"))],
    )


def _checked(done: Sequence[Trial], check: str) -> dict[str, Trial]:
    """The trial of a check by structure; the last, which has most instances."""
    found = {str(t.what["structure"]): t for t in done if t.what.get("check") == check}
    return {name: found[name] for name in NAMES if name in found}


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


def _decays(device: str, followed: Mapping[str, Trial]) -> list[Arm]:
    """By what factor a block changes the distance; against the reference, draw by draw."""
    found, per_block = [], {name: _per_block(trial) for name, trial in followed.items()}
    for name, own in per_block.items():
        anchor = name == REFERENCE or REFERENCE not in per_block
        factor = exponential(inference.mean(own))
        seen = None if anchor else verdict.paired_ratio(own, per_block[REFERENCE])
        arm = Arm(device, DISTANCE, name, NAMES[name], factor, seen)
        role = Role.ANCHOR if name == REFERENCE else Role.TARGET
        found.append(replace(arm, role=role, extras=verdict.ends("factor", factor)))
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
    return Findings(
        **vars(question.joined({each.name: _tell(each) for each in found})),
        numbers={each.name: _numbers(each) for each in found if each.checks or each.arms},
        why=question.on_each({each.name: _why(each) for each in found}),
        method=_method(records),
        caveats=CAVEATS,
        views=[shown for each in found for shown in _view(each)] or question.nothing(TITLE),
        folded=_folded(found),
        table=_table(found),
        frame=trials.frame(
            records,
            [arms.flat(arm) for each in found for arm in each.arms],
            add=lambda each, trial: {k: str(v) for k, v in trial.result.items() if type(v) is list},
        ),
    )


def _tell(device: Device) -> Told:
    """Whether blocks can be composed, and what it costs to use one instance again."""
    checks = dict.fromkeys(check for check, _ in CLAIMS.values())
    cells = [
        Main(name, lost="" if name in device.checks else device.lost[PARALLEL]) for name in checks
    ]
    block, parallel = _parallel(device)
    slip = device.arm(ACCURACY, SLIP)
    if slip and slip.seen and slip.word:
        short, told = slip.word.value, f"{SLIPS[slip.word]}: {say.points(slip.seen)} points."
        cells.append(Main(NAMES[SLIP], slip.word))
    else:
        short = _not_compared(device)
        told = f"One instance used again: {short}."
        cells.append(Main(NAMES[SLIP], lost=short))
    # Advice only where sharing by mistake was found to cost accuracy.
    worse = slip is not None and slip.word == Word.WORSE
    so = "Make every instance anew: one used again has one set of parameters and learns less."
    return Told(f"{block}; sharing: {short}", f"{parallel} {told}", so if worse else "", cells)


def _parallel(device: Device) -> tuple[str, str]:
    """What the checks of the parallel block come to: short, and as a sentence."""
    held, lost = device.claims, device.lost[PARALLEL]
    failed = len(held) - sum(held.values())
    if not held:
        return f"Parallel block {lost}", f"The parallel block was not checked ({lost})."
    if failed:
        told = f"The parallel block fails {failed} of {len(held)} checks."
        return f"No, {failed} of {len(held)} checks fail", told
    if len(held) < len(CLAIMS):
        left = dict.fromkeys(check for check, _ in CLAIMS.values() if check not in device.checks)
        not_made = f"not made: {say.few([*left], 1)}"
        return "Yes", f"The parallel block passes {len(held)} checks, {not_made}."
    return "Yes", f"Blocks can be composed: the parallel block passes all {len(held)} checks."


def _not_compared(device: Device) -> str:
    """Why one used again was not compared."""
    slip, reference = (device.arm(ACCURACY, name) for name in (SLIP, REFERENCE))
    if slip is None or slip.lost:
        return slip.lost if slip else device.lost[SLIP]
    return f"{NAMES[REFERENCE]} {reference.lost if reference else device.lost[REFERENCE]}"


def _why(device: Device) -> list[str]:
    results: dict[str, Any] = {name: trial.result for name, trial in device.checks.items()}
    texts = []
    if cat := results.get("cat without dim"):
        one, other = (tuple(shape) for shape in cat["shapes"])
        texts.append(
            f"torch.cat without dim turns {one} and {other} into "
            f"{tuple(cat['shape_without_dim'])}, a batch of twice the samples; the block gives "
            f"{tuple(cat['shape_of_block'])}."
        )
    if contract := results.get("contract"):
        texts.append(f"Outputs that do not fit raise “{contract['error']}”.")
    slip = device.arm(DISTANCE, SLIP)
    reading = {
        Word.SAME: "The initialisation draws two outputs together, not the sharing",
        Word.FASTER: "Sharing adds to how the initialisation draws two outputs together",
        Word.SLOWER: "Sharing slows how the initialisation draws two outputs together",
    }
    if slip and slip.value and slip.word in reading:
        texts.append(f"{reading[slip.word]}: by a factor of {say.interval(slip.value)} a block.")
    return texts


def _numbers(device: Device) -> dict[str, Any]:
    return {
        "parallel": device.claims,
        "instances": device.instances,
        "factor_per_block": {arm.name: arms.flat(arm) for arm in device.group(DISTANCE)},
        "accuracy": {arm.name: arms.flat(arm) for arm in device.group(ACCURACY) if arm.value},
        "lost": {arm.name: arm.lost for arm in device.group(ACCURACY) if arm.lost},
    }


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    data = records[0].provenance.dataset
    width, depth = settings["width"], settings["depth"]
    return [
        "The parallel block was compared with its branches, called and concatenated by hand, on "
        "the same inputs and weights, entry by entry, with no tolerance.",
        f"An instance is a linear layer of {width} units and ReLU, initialised by default. "
        f"Distance: {settings['draws']} draws of two normal random inputs and of the weights, the "
        f"same inputs and first block in every structure, through {settings['stacked']} blocks; "
        "structures are compared draw by draw.",
        f"Accuracy: 784-{width}, {depth} blocks, {width}-10; SGD, batches of {settings['batch']}, "
        f"the better rate of {say.listed(map(say.setting, settings['rates']), 'or')} after "
        f"{say.plural(settings['tuning_epochs'], 'epoch')}, then {settings['seeds']} seeds of "
        f"{say.plural(settings['epochs'], 'epoch')}; data: {data.name if data else 'unknown'}. "
        "Runs of one seed begin with the same weights, but for further instances.",
    ]


CAVEATS = [
    "At equal depth the network with one instance has fewer parameters: its accuracy tells what "
    "the slip costs, not what sharing weights on purpose is worth.",
    "Another initialisation, or training, changes the distance's factor.",
]


# ---- showing ------------------------------------------------------------------------------------


def _view(device: Device) -> list[Shown]:
    """Every structure, seed by seed; none where nothing is compared."""
    shown = device.group(ACCURACY)
    if not any(arm.seen for arm in shown):
        return []
    seeds = [[] if arm.lost else device.runs[arm.name]["test_accuracy"] for arm in shown]
    return [sweep.accuracies(TITLE, [*zip(shown, seeds, strict=True)], "instances", device.name)]


def _table(found: Sequence[Device]) -> Table:
    """How each structure learned, and what its instances have in common."""
    counted = {(each.name, name): row for each in found for name, row in each.instances.items()}

    def of(key: str) -> Callable[[Arm], Any]:
        return lambda arm: counted.get((arm.device, arm.name), {}).get(key)

    return arms.table(
        [arm for each in found for arm in each.group(ACCURACY)],
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


def _folded(found: Sequence[Device]) -> list[Shown]:
    decays = [arm for each in found for arm in each.group(DISTANCE)]
    held = {each.name: each.claims for each in found if each.checks}
    heads = ["claim", *(held if len(held) > 1 else ["holds"])]
    word = {True: Cell(text="yes", sign="✓"), False: Cell(text="NO", sign="✗"), None: None}
    rows: list[Any] = [[c, *(word[own.get(c)] for own in held.values())] for c in CLAIMS]
    shown = [question.tabled(CLAIMED, heads, rows)] if held else []
    if decays:
        table = arms.table(decays, "instances", value="factor per block")
        shown.append(question.of_table(APART, table))
    return shown


main = partial(question.run, "composition", answer)

if __name__ == "__main__":
    main()
