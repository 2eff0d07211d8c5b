"""What does a checkpoint have to hold? Resuming, reusing layers, and formats under hazards.

Three studies are read: ``resume`` (trainings and writers that were killed), ``transfer`` (two
layers reused in another network) and ``formats`` (every format under every hazard).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, inference, model, question, say, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis, Row
from assay.answer.model import Cell, Content, Main, outcome
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record

TITLE = "What a resumed training ends with when a part of the checkpoint is left out"
KILLED = "Checkpoints that could not be read after a kill while they were written"

# ---- resuming ------------------------------------------------------------------------------------

# What a part of the state is called.
STATES = {"optimizer": "optimiser state", "random": "generator state", "order": "order state"}
WRITERS = {"in place": "torch.save(state, path)", "atomic": "temporary file, then rename"}


@dataclass(frozen=True)
class Resume:
    """The resume study on one device."""

    records: Sequence[Record]
    repeatable: bool | None  # two unbroken trainings end with the same weights; None: not measured
    continued: Mapping[str, Mapping[str, Any]]  # how it ended, by what was not restored
    killed: Mapping[str, tuple[int, int]]  # by way: files that could not be read, and kills

    @property
    def measured(self) -> bool:
        """Whether it is known how a resumed training ends, and how an unbroken one does again."""
        return self.repeatable is not None and "" in self.continued

    @property
    def needed(self) -> list[str]:
        """Parts without which the weights end elsewhere; none where that cannot be judged."""
        known = self.measured and self.repeatable and self.continued[""]["same"]
        return [p for p in STATES if known and not self.continued.get(p, {"same": True})["same"]]

    @property
    def atomic_helps(self) -> bool:
        """Whether renaming a finished file leaves fewer wrecks, beyond both exact intervals."""
        shares = {way: inference.share(*own) for way, own in self.killed.items()}
        whole = shares.keys() >= WRITERS.keys()
        return whole and shares["in place"].low > shares["atomic"].high


def resume(records: Sequence[Record]) -> Resume:
    """The resume study of the records of one device."""
    phases: dict[str, list[Any]] = {}
    for trial in (trial for each in question.measured(records) for trial in each.trials):
        phases.setdefault(str(trial.what["phase"]), []).append(trial)
    again, killed = phases.get("unbroken again"), phases.get("killed while writing", [])
    return Resume(
        records,
        bool(again[0].result["same"]) if again else None,
        {str(trial.what["left_out"]): trial.result for trial in phases.get("resumed", [])},
        {t.what["way"]: (t.result["unreadable"], t.result["kills"]) for t in killed},
    )


def _tell(seen: Resume) -> Told:
    """What is needed to end with the weights of an unbroken training, and how to write it."""
    if not seen.measured:
        lost = Main("resumed training", lost=trials.why_lost(seen.records))
        return Told("", model.lost_told([lost]), "", [lost])
    cells = [Main("resumed training", None if seen.repeatable else Word.UNKNOWN)]
    cells += [
        Main(f"resumed without {STATES[part]}", lost=model.lost(trial.status))
        for each in seen.records
        for trial in each.trials
        if (part := trial.what.get("left_out")) in STATES and part not in seen.continued
    ]
    short, sentence = _needed(seen)
    so = [f"save {_pieces(seen.needed)} with the weights"] if seen.needed else []
    so += ["write to a temporary file, then rename it"] if seen.atomic_helps else []
    return Told(
        short,
        " ".join(filter(None, [sentence, model.lost_told(cells)])),
        f"{say.capital(', '.join(so))}." if so else "",
        cells,
    )


def _needed(seen: Resume) -> tuple[str, str]:
    """What a checkpoint has to hold: short, and as a sentence."""
    has_to, ended = "A checkpoint has to hold", seen.continued
    if not seen.repeatable:
        told = "what a checkpoint has to hold: two unbroken trainings end differently."
        return "Cannot tell", f"Cannot tell {told}"
    if not ended[""]["same"]:
        far = _far(ended[""]["relative_distance"])
        return "Cannot tell", f"{has_to} more than was saved: resumed, weights end {far} off."
    if not seen.needed:
        told = "Resumed, a training ends with identical weights, whatever state was left out."
        return "No state beyond the weights", told
    far = _far(max(ended[part]["relative_distance"] for part in seen.needed))
    pieces = _pieces(seen.needed, "weights")
    told = f"{has_to} {pieces}: resumed without one, weights end up to {far} off."
    return say.capital(pieces), told


def _pieces(needed: Sequence[str], *others: str) -> str:
    """Parts of the state in a list: ``weights, optimiser and order state``."""
    return f"{say.listed([*others, *(STATES[n].removesuffix(' state') for n in needed)])} state"


def _far(distance: float) -> str:
    return f"{say.number(100 * distance, 2)} %"


def _resume_view(seen: Resume, device: str) -> Shown:
    """What was left out, and whether the training then ends elsewhere."""
    heads, ending = ("left out", "final weights", "distance"), ("✗ other", "✓ identical")
    rows: list[list[Content]] = []
    if seen.repeatable is not None:
        rows.append(["(unbroken, run twice)", outcome(ending[seen.repeatable]), None])
    for part, ended in seen.continued.items():
        name = STATES.get(part, "all three" if part else "nothing")
        far = Cell(text=_far(ended["relative_distance"]), value=ended["relative_distance"])
        rows.append([name, outcome(ending[ended["same"]]), far])
    return question.tabled(TITLE, heads, rows, device)


def _kills(found: Mapping[str, Resume]) -> list[Shown]:
    """What writers that were killed left."""
    rows: list[list[Content]] = []
    for device, seen in found.items():
        for way, (unreadable, kills) in seen.killed.items():
            share = inference.share(unreadable, kills)
            counts = outcome(f"{'✗' if unreadable else '✓'} {unreadable} of {kills}")
            exact = Cell(text=say.accuracy(share), value=share.value)
            rows.append([f"{say.on(device, found)}{WRITERS[way]}", counts, exact])
    heads = ("written with", "unreadable", "share, 95 %")
    return [question.tabled(KILLED, heads, rows)] if rows else []


# ---- reusing layers ------------------------------------------------------------------------------

REFERENCE = "scratch"
ARMS = {"scratch": "from scratch", "copied": "copied", "frozen": "copied, frozen",
        "aliased": "assigned"}  # fmt: skip
REUSED = "Test accuracy with two reused layers, seed by seed"


def _runs(each: Record) -> dict[str, pd.DataFrame]:
    """The runs of every arm; empty where it learned at no rate."""
    runs, named = accuracy.runs(each), {trial.what.get("arm") for trial in each.trials}
    return {arm: runs[runs["arm"] == arm] if len(runs) else runs for arm in ARMS if arm in named}


def reuses(records: Sequence[Record]) -> list[Arm]:
    """Every arm, by device and number of images; not yet judged."""
    found, order = [arm for each in records for arm in _reuses(each)], [*ARMS]
    return sorted(found, key=lambda a: (a.device, a.extras["images"], order.index(a.name)))


def _reuses(each: Record) -> list[Arm]:
    runs, extras = _runs(each), {}
    taken = {t.what["arm"]: t.result for t in each.trials if t.what["phase"] == "taken over"}
    for arm, own in runs.items():
        images, seen = int(str(each.trials[0].what["images"])), taken.get(arm, {})
        lies = {"shares_storage": seen.get("storage"), "takes_biases": seen.get("biases")}
        extras[arm] = {"images": images, **_donor(own), **lies}
    group = f"{say.count(images)} images" if runs else ""
    lost = dict.fromkeys(runs, "learned at no rate")
    where = str(each.axes["device"])
    return arms.learned(where, runs, ARMS, REFERENCE, group=group, extras=extras, missing=lost)


def _donor(own: pd.DataFrame) -> dict[str, Any]:
    """What became of the network that the layers are from, in the classes that it had learned."""
    if not accuracy.whole({"": own}):
        return {}
    before, changed = float(own["donor_accuracy_before"].iloc[0]), bool(own["donor_changed"].any())
    after = float(own["donor_accuracy_after"].mean()) if changed else before
    levels = {"donor_accuracy_before": before, "donor_accuracy_after": after}
    return {**levels, "donor_changed": changed}


def _reuse_views(records: Sequence[Record], found: Sequence[Arm]) -> list[Shown]:
    """Per device: every arm by the number of images, seed by seed."""
    seeds = {
        (str(each.axes["device"]), int(own["images"].iloc[0]), arm): own["test_accuracy"]
        for each in records
        for arm, own in accuracy.whole(_runs(each)).items()
    }
    by_device = arms.grouped(found, lambda arm: arm.device)
    axis = Axis("right images in %, one dot per seed", within=(0, 100))
    views = []
    for device, here in by_device.items():
        groups: dict[str, list[Row]] = {}
        for arm in here:
            runs = seeds.get((device, arm.extras["images"], arm.name), ())
            row = arm.row(seen=None, dots=[100 * share for share in runs])
            groups.setdefault(arm.group, []).append(row)
        if any(row.dots for rows in groups.values() for row in rows):
            views.append(question.dotted(say.on(device, by_device) + REUSED, groups, axis))
    return views


def _donors(found: Sequence[Arm]) -> list[str]:
    """What assigning the donor's tensors does to the donor, where that is worst."""
    changed = [arm.extras for arm in found if arm.extras.get("donor_changed")]
    known = {True: "yes", False: "no", None: "not measured"}
    return [
        f"Assigned weights lie in the donor's memory ({known[own['shares_storage']]}), its biases "
        f"come along ({known[own['takes_biases']]}): untrained, it falls from "
        f"{_percent(own['donor_accuracy_before'])} to {_percent(own['donor_accuracy_after'])} of "
        "its own classes."
        for own in sorted(changed, key=lambda own: own["donor_accuracy_after"])[:1]
    ]


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f} %"


# ---- formats -------------------------------------------------------------------------------------

FORMATS = {"state_dict": "state_dict", "module": "whole module", "class_in_dict": "class in dict",
           "torchscript": "TorchScript", "export": "torch.export",
           "safetensors": "safetensors"}  # fmt: skip
SAME = 1e-5  # largest difference of outputs that another order of summation can make
SLACK = 2  # a file this many times as large as that of a copy holds more than was saved
SURVIVED = "What every format survives: ✓ yes · ! with a loss, or an error that says so · ✗ no"


@dataclass(frozen=True)
class Stored:
    """One format, with everything that was found out about it."""

    name: str
    results: Mapping[str, Mapping[str, Any]]  # by hazard
    times: Mapping[str, Mapping[str, Any]]  # save, load


def stored(each: Record) -> Stored:
    """The format of one record of measured trials."""
    by_hazard, by_time = (
        {str(t.what[key]): t.result for t in each.trials if key in t.what}
        for key in ("hazard", "time")
    )
    return Stored(str(each.axes["format"]), by_hazard, by_time)


def timings(found: Sequence[Stored]) -> list[Arm]:
    """The times of every format beside a state_dict's; not yet judged."""
    made = []
    for each in found:
        for what, result in each.times.items():
            if timed := result.get("arms"):
                time = arms.time_of(timed.get("target", timed["anchor"]))
                seen = verdict.paired(result, "target") if "target" in timed else None
                role = Role.TARGET if seen else Role.ANCHOR
                names = ("cpu", f"to {what}", each.name, FORMATS[each.name])
                made.append(Arm(*names, time, seen, role=role, extras={"time": what}))
    return made


def reloaded(result: Mapping[str, Any], at_build: str) -> Cell:
    """What a file came to when it was loaded; ``at_build``: if only tensors could be had."""
    if stage := result["failed_at"]:
        failed = "✗ cannot be loaded" if stage == "load" else "✗ loads, fails when run"
        return outcome(at_build if stage == "build" else failed, _error(result))
    same = result["largest_difference"] <= SAME
    return outcome("✓ unchanged" if same else "✗ silently different")


def _error(result: Mapping[str, Any]) -> str:
    return f"{result.get('error')}: {result.get('message')}"


def refused(result: Mapping[str, Any], way: str) -> Cell:
    """What a hostile file did when it was loaded in one way."""
    error = result[f"error_{way}"] or ""
    if result[f"ran_{way}"]:
        return outcome("✗ its code ran", f"afterwards: {error or 'nothing'}")
    return outcome("✓ refused" if error else "✓ no effect", error)


def sharing(result: Mapping[str, Any]) -> Cell:
    """Whether a shared weight is still shared."""
    if result["failed_at"]:
        return outcome(f"✗ {result['failed_at']} fails", _error(result))
    return outcome("✓ still shared" if result["shared_after_loading"] else "! two copies")


def formats_kept(result: Mapping[str, Any]) -> Cell:
    """How many number formats came back bit for bit."""
    kept, lost = len(result["kept"]), result["lost"]
    reason = f"lost: {', '.join(lost)}" if lost else ""
    return outcome(f"{'!' if lost else '✓'} {kept} of {kept + len(lost)}", reason)


def part_kept(result: Mapping[str, Any]) -> Cell:
    """What was stored of a tensor of which a part was saved."""
    if "error" in result:
        return outcome("✗ cannot be saved", _error(result))
    if not result["equal"]:
        return outcome("✗ other values")
    times = result["file_bytes"] / result["file_bytes_of_copy"]
    return outcome("✓ part only" if times <= SLACK else f"! all of it, {times:.0f} × size")


UNKNOWN, LOUD = outcome("not measured"), "! says so"
Judge = Callable[[Mapping[str, Any]], Cell]
_loud: Judge = partial(reloaded, at_build=LOUD)
# What happened, in words; which trial saw it; and how its outcome is judged.
HAZARDS: dict[str, tuple[str, str, Judge]] = {
    "unchanged": ("nothing happened", "unchanged", _loud),
    "by_default": ("loaded with no options", "by_default", _loud),
    "class_missing": ("code of the class missing", "class_missing",
                      partial(reloaded, at_build="! tensors only")),
    "class_moved": ("class moved", "class_moved", _loud),
    "forward_edited": ("forward edited", "forward_edited", _loud),
    "layer_renamed": ("layer renamed", "layer_renamed", _loud),
    "hostile_default": ("hostile file, no options", "hostile", partial(refused, way="by_default")),
    "hostile_needed": ("hostile file, as needed", "hostile", partial(refused, way="as_needed")),
    "tied": ("weight shared by two layers", "tied", sharing),
    "dtypes": ("number formats, bit for bit", "dtypes", formats_kept),
    "rows": ("1 % of a tensor: rows", "views", lambda result: part_kept(result["rows"])),
    "columns": ("1 % of a tensor: columns", "views", lambda result: part_kept(result["columns"])),
}  # fmt: skip


def judged(seen: Stored) -> dict[str, Cell]:
    """The outcome of every hazard for one format."""
    return {
        hazard: judge(seen.results[trial]) if trial in seen.results else UNKNOWN
        for hazard, (_, trial, judge) in HAZARDS.items()
    }


def _format_view(found: Sequence[Stored], compared: Sequence[Arm]) -> list[Shown]:
    """Every format under every hazard, its size, and its times."""
    outcomes = [judged(each) for each in found]
    rows: list[list[Content]] = [
        [told, *(own[hazard] for own in outcomes)] for hazard, (told, *_) in HAZARDS.items()
    ]
    timed = {(arm.name, arm.extras["time"]): arm for arm in compared if "time" in arm.extras}
    for what in ("save", "load"):
        rows.append([f"time to {what}", *(_time(timed.get((each.name, what))) for each in found)])
    heads = ("what happened", *(FORMATS[each.name] for each in found))
    return [question.tabled(SURVIVED, heads, rows)] if found else []


def _time(arm: Arm | None) -> Cell | None:
    if arm is None or arm.value is None:
        return None
    reason = say.told(arm.seen, arm.word) if arm.seen and arm.word else ""
    return outcome(f"{say.quantity(arm.value.value, 's')}, {arm.told}", reason)


def _survivors(found: Sequence[Stored]) -> list[str]:
    """The formats that pass every hazard without a failure."""
    outcomes = {FORMATS[each.name]: [*judged(each).values()] for each in found if each.results}
    clean = [name for name, own in outcomes.items() if all(c.sign in ("✓", "!") for c in own)]
    known = all(UNKNOWN not in own for own in outcomes.values())
    named = say.listed(clean) or ("none" if known else "none that was measured")
    return [f"Formats that pass every hazard without a failure: {named}."] if outcomes else []


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of the three studies."""
    by_study: dict[str, list[Record]] = {"resume": [], "transfer": [], "formats": []}
    for each in records:
        by_study[each.study].append(each)
    resumes = {
        device: resume(own) for device, own in trials.by_device(by_study["resume"]).items()
    } or {"": resume([])}
    found = [stored(each) for each in question.measured(by_study["formats"]) if each.trials]
    compared = arms.judged([*reuses(by_study["transfer"]), *timings(found)])
    reused = [arm for arm in compared if "images" in arm.extras]
    views = [_resume_view(seen, name) for name, seen in resumes.items() if seen.continued]
    return Findings(
        **vars(question.joined({device: _tell(seen) for device, seen in resumes.items()})),
        numbers={
            "resume": {
                device: {
                    "repeatable": seen.repeatable,
                    "left_out": {
                        part or "nothing": {
                            key: ended[key] for key in ("same", "relative_distance")
                        }
                        for part, ended in seen.continued.items()
                    },
                    "unreadable": {way: [*counts] for way, counts in seen.killed.items()},
                }
                for device, seen in resumes.items()
                if seen.records
            },
            "comparisons": [*map(arms.flat, compared)],
            "formats": {
                each.name: {hazard: model.written(own) for hazard, own in judged(each).items()}
                for each in found
            },
        },
        why=[*_donors(reused), *_survivors(found)],
        method=_method(by_study),
        caveats=CAVEATS,
        views=views or question.nothing(TITLE),
        folded=[
            *_reuse_views(by_study["transfer"], reused),
            *_format_view(found, compared),
            *_kills(resumes),
        ],
        table=arms.table(
            reused,
            "two layers",
            value="test accuracy",
            told=say.accuracy,
            against="against from scratch",
            group="learned from",
            extra={"donor afterwards": lambda a: _percent(a.extras.get("donor_accuracy_after"))},
        ),
        frame=trials.frame(records, map(arms.flat, compared)),
    )


def _method(by_study: Mapping[str, Sequence[Record]]) -> list[str]:
    settings = {study: records[0].settings for study, records in by_study.items() if records}
    texts = []
    if own := settings.get("resume"):
        texts.append(
            f"Resuming: a perceptron with dropout {own['dropout']:g} and momentum "
            f"{own['momentum']:g} trains for {own['steps']} steps with a checkpoint every "
            f"{own['every']}; SIGKILL ends its process, and new ones go on without a part of the "
            "state. Order: how far the shuffled examples are. Distance: from the unbroken weights, "
            "relative to their norm. Writers are killed at random "
            f"moments, {own['kills']} of each kind, then the file is checked (exact interval)."
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
