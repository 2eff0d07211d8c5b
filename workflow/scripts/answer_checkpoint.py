"""What does a checkpoint have to hold? Resuming, reusing layers, and formats under hazards.

Three studies are read: ``resume`` (trainings and writers that were killed), ``transfer`` (two
layers reused in another network) and ``formats`` (every format under every hazard).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, inference, model, question, say, trials
from assay.answer.arms import Arm
from assay.answer.figure import Axis, Row
from assay.answer.model import Cell, Content, Main, outcome
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record

TITLE = "What a resumed training ends with when a part of the checkpoint is left out"
LOST = "Checkpoints that could not be read after a kill while they were written"

# ---- resuming ------------------------------------------------------------------------------------

AGAIN, RESUMED, KILLED = "unbroken again", "resumed", "killed while writing"  # phases
NOTHING = "nothing"  # was left out
STATES = {"optimizer": "optimiser state", "random": "generator state", "order": "order state"}
WRITERS = {"in place": "torch.save(state, path)", "atomic": "temporary file, then rename"}

Result = Mapping[str, Any]
Phases = Mapping[str, Mapping[str, Result]]  # by phase, then by what was left out, or the writer


def resume(records: Sequence[Record]) -> Phases:
    """What came of the trainings and writers of one device."""
    found: dict[str, dict[str, Result]] = {AGAIN: {}, RESUMED: {}, KILLED: {}}
    for trial in (trial for each in question.measured(records) for trial in each.trials):
        name = trial.what.get("left_out", trial.what.get("way")) or NOTHING
        found.setdefault(str(trial.what["phase"]), {})[str(name)] = trial.result
    return found


def needed(seen: Phases) -> list[str]:
    """Parts without which the weights end elsewhere; none where that cannot be judged."""
    known = all(seen[phase].get(NOTHING, {"same": False})["same"] for phase in (AGAIN, RESUMED))
    return [part for part in STATES if known and not seen[RESUMED].get(part, {"same": 1})["same"]]


def wrecks(seen: Phases) -> dict[str, list[int]]:
    """By way to write: files that could not be read, and kills."""
    return {way: [own["unreadable"], own["kills"]] for way, own in seen[KILLED].items()}


def _tell(records: Sequence[Record]) -> Told:
    """What is needed to end with the weights of an unbroken training, and how to write it."""
    seen = resume(records)
    again, ended = seen[AGAIN].get(NOTHING), seen[RESUMED]
    if not again or NOTHING not in ended:
        lost = Main("resumed training", lost=trials.why_lost(records))
        return Told("", model.lost_told([lost]), "", [lost])
    cells = [Main("resumed training", None if again["same"] else Word.UNKNOWN)]
    cells += [
        Main(f"resumed without {STATES[part]}", lost=model.lost(trial.status))
        for each in records
        for trial in each.trials
        if (part := trial.what.get("left_out")) in STATES and part not in ended
    ]
    short, sentence = _needed(seen)
    so = [f"save {_state(needed(seen))} with the weights"] if needed(seen) else []
    shares = {way: inference.share(*own) for way, own in wrecks(seen).items()}
    if len(shares) == len(WRITERS) and shares["in place"].low > shares["atomic"].high:
        so.append("write to a temporary file, then rename it")
    return Told(
        short,
        " ".join(filter(None, [sentence, model.lost_told(cells)])),
        f"{say.capital(', '.join(so))}." if so else "",
        cells,
    )


def _needed(seen: Phases) -> tuple[str, str]:
    """What a checkpoint has to hold: short, and as a sentence."""
    has_to, ended = "A checkpoint has to hold", seen[RESUMED]
    if not seen[AGAIN][NOTHING]["same"]:
        told = "what a checkpoint has to hold: two unbroken trainings end differently."
        return "Cannot tell", f"Cannot tell {told}"
    if not ended[NOTHING]["same"]:
        far = _far(ended[NOTHING]["relative_distance"])
        return "Cannot tell", f"{has_to} more than was saved: resumed, weights end {far} off."
    if not needed(seen):
        told = "Resumed, a training ends with identical weights, whatever state was left out."
        return "No state beyond the weights", told
    pieces = _state(needed(seen), "weights")
    far = _far(max(ended[part]["relative_distance"] for part in needed(seen)))
    told = f"{has_to} {pieces}: resumed without one, weights end up to {far} off."
    return say.capital(pieces), told


def _state(parts: Sequence[str], *others: str) -> str:
    """Parts of the state in a list: ``weights, optimiser and order state``."""
    return (
        f"{say.listed([*others, *(STATES[part].removesuffix(' state') for part in parts)])} state"
    )


def _far(distance: float) -> str:
    return f"{say.number(100 * distance, 2)} %"


def _resume_view(seen: Phases, device: str) -> Shown:
    """What was left out, and whether the training then ends elsewhere."""
    ending = ("✗ other", "✓ identical")
    rows: list[list[Content]] = [
        ["(unbroken, run twice)", outcome(ending[again["same"]]), None]
        for again in seen[AGAIN].values()
    ]
    for part, ended in seen[RESUMED].items():
        name = ({NOTHING: NOTHING} | STATES).get(part, "all three")
        far = ended["relative_distance"]
        rows.append([name, outcome(ending[ended["same"]]), Cell(text=_far(far), value=far)])
    return question.tabled(TITLE, ("left out", "final weights", "distance"), rows, device)


def _kills(found: Mapping[str, Phases]) -> list[Shown]:
    """What writers that were killed left."""
    rows: list[list[Content]] = []
    for device, seen in found.items():
        for way, (unreadable, kills) in wrecks(seen).items():
            share = inference.share(unreadable, kills)
            counts = outcome(f"{'✗' if unreadable else '✓'} {unreadable} of {kills}")
            exact = Cell(text=say.accuracy(share), value=share.value)
            rows.append([f"{say.on(device, found)}{WRITERS[way]}", counts, exact])
    heads = ("written with", "unreadable", "share, 95 %")
    return [question.tabled(LOST, heads, rows)] if rows else []


# ---- reusing layers ------------------------------------------------------------------------------

ARMS = {"scratch": "from scratch", "copied": "copied", "frozen": "copied, frozen",
        "aliased": "assigned"}  # fmt: skip
REUSED = "Test accuracy with two reused layers, seed by seed"


def reuses(records: Sequence[Record]) -> list[Arm]:
    """Every arm, by device and number of images; not yet judged."""
    found, order = [], [*ARMS]
    for each in records:
        images = next((int(str(trial.what["images"])) for trial in each.trials), 0)
        named = {trial.what.get("arm") for trial in each.trials}
        taken = {t.what["arm"]: t.result for t in each.trials if t.what["phase"] == "taken over"}
        table = accuracy.runs(each)
        by_arm = dict(iter(table.groupby("arm"))) if "arm" in table else {}
        runs = {arm: by_arm.get(arm, table[:0]) for arm in ARMS if arm in named}
        found += arms.learned(
            str(each.axes["device"]),
            runs,
            ARMS,
            "scratch",
            group=f"{say.count(images)} images",
            extras={a: {"images": images} | _donor(r) | taken.get(a, {}) for a, r in runs.items()},
            missing=dict.fromkeys(runs, "learned at no rate"),
        )
    return sorted(found, key=lambda a: (a.device, a.extras["images"], order.index(a.name)))


def _seed_by_seed(records: Sequence[Record], found: Sequence[Arm]) -> list[Shown]:
    """Per device: every arm by the number of images, a dot for each seed."""
    seeds = {
        (str(each.axes["device"]), int(images), arm): 100 * own["test_accuracy"]
        for each in records
        if "arm" in (runs := accuracy.runs(each))
        for (images, arm), own in runs.groupby(["images", "arm"])
        if accuracy.whole({"": own})
    }
    by_device = arms.grouped([arm for arm in found if not arm.lost], lambda arm: arm.device)
    axis = Axis("right images in %, one dot per seed", within=(0, 100))
    views = []
    for device, here in by_device.items():
        groups: dict[str, list[Row]] = {}
        for arm in here:
            dots = [*seeds[device, arm.extras["images"], arm.name]]
            groups.setdefault(arm.group, []).append(arm.row(seen=None, dots=dots))
        views.append(question.dotted(say.on(device, by_device) + REUSED, groups, axis))
    return views


def _donor(own: pd.DataFrame) -> dict[str, Any]:
    """What became of the network that the layers are from, in the classes that it had learned."""
    if not accuracy.whole({"": own}):
        return {}
    levels = own[["donor_accuracy_before", "donor_accuracy_after"]].mean()
    return {**levels.to_dict(), "donor_changed": bool(own["donor_changed"].any())}


def _donors(found: Sequence[Arm]) -> list[str]:
    """What assigning the donor's tensors does to the donor, where that is worst."""
    changed = [arm.extras for arm in found if arm.extras.get("donor_changed")]
    do = {True: "", False: "do not ", None: "perhaps "}
    return [
        f"Assigned weights {do[own.get('storage')]}lie in the donor's memory, its biases "
        f"{do[own.get('biases')]}come along: the donor, itself not trained, falls from "
        f"{_percent(own['donor_accuracy_before'])} to {_percent(own['donor_accuracy_after'])} of "
        "its own classes at worst."
        for own in sorted(changed, key=lambda own: own["donor_accuracy_after"])[:1]
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


# ---- formats -------------------------------------------------------------------------------------

FORMATS = {"state_dict": "state_dict", "module": "whole module", "class_in_dict": "class in dict",
           "torchscript": "TorchScript", "export": "torch.export",
           "safetensors": "safetensors"}  # fmt: skip
SAME = 1e-5  # largest difference of outputs that another order of summation can make
SLACK = 2  # a file this many times as large as that of a copy holds more than was saved
LOUD = "! says so"
SURVIVED = "What every format survives: ✓ yes · ! with a loss, or an error that says so · ✗ no"


def timings(found: Sequence[Record]) -> list[Arm]:
    """The times of every format beside a state_dict's; not yet judged."""
    made = []
    for each in found:
        name = str(each.axes["format"])
        labels = {"anchor" if name == "state_dict" else "target": FORMATS[name]}
        for trial in each.trials:
            if what := trial.what.get("time"):
                timed = arms.timed(each, trial, labels, group=f"to {what}")
                made += [replace(arm, name=name, extras={"time": what}) for arm in timed]
    return made


def reloaded(result: Result, at_build: str = LOUD) -> Cell:
    """What a file came to when it was loaded; ``at_build``: if only tensors could be had."""
    if stage := result["failed_at"]:
        failed = {"load": "✗ cannot be loaded", "build": at_build, "run": "✗ loads, fails when run"}
        return outcome(failed[stage], _error(result))
    same = result["largest_difference"] <= SAME
    return outcome("✓ unchanged" if same else "✗ silently different")


def _error(result: Result) -> str:
    return f"{result.get('error')}: {result.get('message')}"


def refused(result: Result, way: str) -> Cell:
    """What a hostile file did when it was loaded in one way."""
    error = result[f"error_{way}"] or ""
    if result[f"ran_{way}"]:
        return outcome("✗ its code ran", f"afterwards: {error or 'nothing'}")
    return outcome("✓ refused" if error else "✓ no effect", error)


def sharing(result: Result) -> Cell:
    """Whether a shared weight is still shared."""
    if result["failed_at"]:
        return outcome(f"✗ {result['failed_at']} fails", _error(result))
    return outcome("✓ still shared" if result["shared_after_loading"] else "! two copies")


def formats_kept(result: Result) -> Cell:
    """How many number formats came back bit for bit."""
    kept, lost = len(result["kept"]), result["lost"]
    reason = f"lost: {', '.join(lost)}" if lost else ""
    return outcome(f"{'!' if lost else '✓'} {kept} of {kept + len(lost)}", reason)


def part_kept(result: Result) -> Cell:
    """What was stored of a tensor of which a part was saved."""
    if "error" in result:
        return outcome("✗ cannot be saved", _error(result))
    if not result["equal"]:
        return outcome("✗ other values")
    times = result["file_bytes"] / result["file_bytes_of_copy"]
    return outcome("✓ part only" if times <= SLACK else f"! all of it, {times:.0f} × size")


UNKNOWN = outcome("not measured")
# What happened, in words; which trial saw it; and how its outcome is judged.
HAZARDS: dict[str, tuple[str, str, Callable[[Result], Cell]]] = {
    "unchanged": ("nothing happened", "unchanged", reloaded),
    "by_default": ("loaded with no options", "by_default", reloaded),
    "class_missing": ("code of the class missing", "class_missing",
                      partial(reloaded, at_build="! tensors only")),
    "class_moved": ("class moved", "class_moved", reloaded),
    "forward_edited": ("forward edited", "forward_edited", reloaded),
    "layer_renamed": ("layer renamed", "layer_renamed", reloaded),
    "hostile_default": ("hostile file, no options", "hostile", partial(refused, way="by_default")),
    "hostile_needed": ("hostile file, as needed", "hostile", partial(refused, way="as_needed")),
    "tied": ("weight shared by two layers", "tied", sharing),
    "dtypes": ("number formats, bit for bit", "dtypes", formats_kept),
    "rows": ("1 % of a tensor: rows", "views", lambda result: part_kept(result["rows"])),
    "columns": ("1 % of a tensor: columns", "views", lambda result: part_kept(result["columns"])),
}  # fmt: skip


def judged(each: Record) -> dict[str, Cell]:
    """The outcome of every hazard for the format of a record of measured trials."""
    results = {trial.what.get("hazard"): trial.result for trial in each.trials}
    return {
        hazard: judge(results[trial]) if trial in results else UNKNOWN
        for hazard, (_, trial, judge) in HAZARDS.items()
    }


Outcomes = Mapping[str, Mapping[str, Cell]]  # by format and hazard


def _format_view(found: Outcomes, compared: Sequence[Arm]) -> list[Shown]:
    """Every format under every hazard, and its times."""
    times = {
        (arm.name, arm.extras["time"]): outcome(
            f"{say.quantity(arm.value.value, 's')}, {arm.told}",
            say.told(arm.seen, arm.word) if arm.seen and arm.word else "",
        )
        for arm in compared
        if arm.value and "time" in arm.extras
    }
    rows: list[list[Content]] = [
        [told, *(own[hazard] for own in found.values())] for hazard, (told, *_) in HAZARDS.items()
    ]
    rows += [[f"time to {w}", *(times.get((name, w)) for name in found)] for w in ("save", "load")]
    heads = ("what happened", *map(FORMATS.__getitem__, found))
    return [question.tabled(SURVIVED, heads, rows)] if found else []


def _survivors(found: Outcomes) -> list[str]:
    """The formats that pass every hazard without a failure."""
    signs = {FORMATS[name]: [cell.sign for cell in own.values()] for name, own in found.items()}
    tried = {name: own for name, own in signs.items() if any(own)}
    clean = [name for name, own in tried.items() if all(own) and "✗" not in own]
    known = all(all(own) for own in tried.values())
    named = say.listed(clean) or ("none" if known else "none that was measured")
    return [f"Formats that pass every hazard without a failure: {named}."] if tried else []


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of the three studies."""
    by_study = arms.grouped(records, lambda each: each.study)
    resumed, reused, stored = (by_study.get(name, []) for name in ("resume", "transfer", "formats"))
    by_device = trials.by_device(resumed)
    resumes = {device: resume(own) for device, own in by_device.items()}
    stored = [each for each in question.measured(stored) if each.trials]
    survived = {str(each.axes["format"]): judged(each) for each in stored}
    compared = arms.judged([*reuses(reused), *timings(stored)])
    learned = [arm for arm in compared if "images" in arm.extras]
    told = {device: _tell(own) for device, own in (by_device or {"": resumed}).items()}
    return Findings(
        **vars(question.joined(told)),
        numbers={
            "resume": {
                device: {"left_out": seen[RESUMED], "unreadable": wrecks(seen)}
                | {"repeatable": seen[AGAIN].get(NOTHING, {}).get("same")}
                for device, seen in resumes.items()
            },
            "comparisons": [*map(arms.flat, compared)],
            "formats": {
                name: {hazard: model.written(cell) for hazard, cell in own.items()}
                for name, own in survived.items()
            },
        },
        why=[*_donors(learned), *_survivors(survived)],
        method=_method({each.study: each.settings for each in records}),
        caveats=CAVEATS,
        views=[_resume_view(seen, name) for name, seen in resumes.items() if seen[RESUMED]]
        or question.nothing(TITLE),
        folded=[
            *_seed_by_seed(reused, learned),
            *_format_view(survived, compared),
            *_kills(resumes),
        ],
        table=arms.table(
            learned,
            "two layers",
            value="test accuracy",
            told=say.accuracy,
            against="against from scratch",
            group="learned from",
            extra={"donor afterwards": arms.extra("donor_accuracy_after", _percent)},
        ),
        frame=trials.frame(records, map(arms.flat, compared)),
    )


def _method(settings: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How each study that was asked for was measured, by its settings."""
    texts = []
    if own := settings.get("resume"):
        texts.append(
            f"Resuming: a perceptron with dropout {own['dropout']:g} and momentum "
            f"{own['momentum']:g} trains for {own['steps']} steps, with a checkpoint every "
            f"{own['every']}. SIGKILL ends its process, and new ones go on without a part of the "
            "state (order: how far the shuffled examples are). Distances are relative to the norm "
            f"of the unbroken weights. {own['kills']} writers of each kind are killed at random."
        )
    if own := settings.get("transfer"):
        texts.append(
            f"Reuse: two layers of a {'-'.join(map(str, [784, *own['hidden'], 5]))} perceptron "
            f"that learned five classes go into one for the other five; {own['seeds']} seeds, "
            "rates chosen in validation."
        )
    if "formats" in settings:
        texts.append(
            "Formats: each hazard has a process that never imported the network's code. The "
            "hostile file creates a file if its code runs."
        )
    return texts


CAVEATS = [
    "Bit for bit holds for the same machine, versions and number of threads.",
    "SIGKILL ends a process, not the power: what the system has accepted is still written.",
    "Two halves of one data set are close relatives; layers from further away can help less.",
    "TorchScript and torch.export restrict what a forward pass may do, which is not tried here.",
]


main = partial(question.run, "checkpoint", answer)

if __name__ == "__main__":
    main()
