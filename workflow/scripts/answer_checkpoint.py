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
from assay.answer.question import Findings, Shown
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

    device: str
    repeatable: bool | None  # two unbroken trainings end with the same weights; None: not measured
    continued: Mapping[str, Mapping[str, Any]]  # how it ended, by what was not restored
    killed: Mapping[str, tuple[int, int]]  # by way: files that could not be read, and kills

    @property
    def measured(self) -> bool:
        """Whether it is known how a resumed training ends, and how an unbroken one does again."""
        return self.repeatable is not None and "" in self.continued

    @property
    def judged(self) -> bool:
        """Whether what is left out can be seen to make a difference."""
        return self.measured and bool(self.repeatable and self.continued[""]["same"])

    @property
    def needed(self) -> list[str]:
        """Parts without which the weights end elsewhere."""
        return [p for p in STATES if p in self.continued and not self.continued[p]["same"]]


def resume(each: Record) -> Resume | None:
    """The resume study of one record of measured trials; None where there is none."""
    phases: dict[str, list[Any]] = {}
    for trial in each.trials:
        phases.setdefault(str(trial.what["phase"]), []).append(trial)
    continued, killed = phases.get("resumed", []), phases.get("killed while writing", [])
    again = phases.get("unbroken again")
    if not continued and not killed:
        return None
    return Resume(
        str(each.axes["device"]),
        bool(again[0].result["same"]) if again else None,
        {str(trial.what["left_out"]): trial.result for trial in continued},
        {t.what["way"]: (t.result["unreadable"], t.result["kills"]) for t in killed},
    )


def _resume_view(seen: Resume) -> Shown:
    """What was left out, and whether the training then ends elsewhere."""
    heads, ending = ("left out", "final weights", "distance"), ("✗ other", "✓ identical")
    rows: list[list[Content]] = []
    if seen.repeatable is not None:
        rows.append(["(unbroken, run twice)", outcome(ending[seen.repeatable]), None])
    for part, ended in seen.continued.items():
        name = STATES.get(part, "all three" if part else "nothing")
        far = Cell(text=_far(ended["relative_distance"]), value=ended["relative_distance"])
        rows.append([name, outcome(ending[ended["same"]]), far])
    return question.tabled(TITLE, heads, rows, seen.device)


def _far(distance: float) -> str:
    return f"{say.number(100 * distance, 2)} %"


def _kills(found: Sequence[Resume]) -> list[Shown]:
    """What writers that were killed left."""
    rows: list[list[Content]] = []
    for seen in found:
        where = say.on(seen.device, (each.device for each in found))
        for way, (unreadable, kills) in seen.killed.items():
            share = inference.share(unreadable, kills)
            counts = outcome(f"{'✗' if unreadable else '✓'} {unreadable} of {kills}")
            exact = Cell(text=say.accuracy(share), value=share.value)
            rows.append([f"{where}{WRITERS[way]}", counts, exact])
    heads = ("written with", "unreadable", "share, 95 %")
    return [question.tabled(KILLED, heads, rows)] if rows else []


def atomic_helps(found: Sequence[Resume]) -> bool:
    """Whether renaming a finished file leaves fewer wrecks, beyond both exact intervals."""
    shares = [{way: inference.share(*own) for way, own in seen.killed.items()} for seen in found]
    whole = [each for each in shares if each.keys() >= WRITERS.keys()]
    return any(each["in place"].low > each["atomic"].high for each in whole)


# ---- reusing layers ------------------------------------------------------------------------------

REFERENCE = "scratch"
ARMS = {"scratch": "from scratch", "copied": "copied", "frozen": "copied, frozen",
        "aliased": "assigned"}  # fmt: skip
REUSED = "Test accuracy with two reused layers, seed by seed"
DONORS = "The donor's own accuracy after a network with its assigned layers was trained"


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


def _seeds(records: Sequence[Record], column: str) -> dict[tuple[str, int, str], list[float]]:
    """Single runs in per cent, by device, number of images and arm."""
    return {
        (str(each.axes["device"]), int(own["images"].iloc[0]), arm): [*(100.0 * own[column])]
        for each in records
        for arm, own in accuracy.whole(_runs(each)).items()
    }


def _reuse_views(records: Sequence[Record], found: Sequence[Arm]) -> list[Shown]:
    """Per device: every arm, and what became of the donor, seed by seed."""
    learned, after = _seeds(records, "test_accuracy"), _seeds(records, "donor_accuracy_after")
    by_device = arms.grouped(found, lambda arm: arm.device)
    views: list[Shown] = []
    for device, here in by_device.items():
        groups: dict[str, list[Row]] = {}
        fallen, before = [], []
        for arm in here:
            key, where = (device, arm.extras["images"], arm.name), groups.setdefault(arm.group, [])
            text = _percent(arm.value.value) if arm.value else arm.lost
            text += f", {arm.word.value}" if arm.different else ""
            where.append(Row(arm.label, None, text, tone=arm.tone, dots=learned.get(key, [])))
            if arm.extras.get("donor_changed"):
                text = f"{_percent(arm.extras['donor_accuracy_after'])} on average"
                fallen.append(Row(arm.group, None, text, dots=after[key]))
                before.append(100 * arm.extras["donor_accuracy_before"])
        where = say.on(device, by_device)
        views += _dots(where + REUSED, groups)
        views += _dots(where + DONORS, {"": fallen}, *before[:1])
    return views


def _dots(
    title: str, groups: Mapping[str, Sequence[Row]], before: float | None = None
) -> list[Shown]:
    """Rows of dots, one for each seed; none where there is one dot at most."""
    if sum(len(row.dots) for rows in groups.values() for row in rows) < 2:
        return []
    name = "right images in %, one dot per seed" + ("; line: before" if before else "")
    return [question.dotted(title, groups, Axis(name, within=(0, 100)), line=before)]


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
    rows.append(["file beyond its parameters", *map(_size, found)])
    timed = {(arm.name, arm.extras["time"]): arm for arm in compared if "time" in arm.extras}
    for what in ("save", "load"):
        rows.append([f"time to {what}", *(_time(timed.get((each.name, what))) for each in found)])
    heads = ("what happened", *(FORMATS[each.name] for each in found))
    return [question.tabled(SURVIVED, heads, rows)] if found else []


def _time(arm: Arm | None) -> Cell | None:
    if arm is None:
        return None
    text = say.quantity(arm.value.value, "s")
    if arm.seen is None:
        return outcome(text)
    return outcome(f"{text}, {arm.told}", say.told(arm.seen, arm.word))


def _size(each: Stored) -> str | None:
    size = each.results.get("none")
    return f"+{100 * (size['file_bytes'] / size['parameter_bytes'] - 1):.1f} %" if size else None


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
    resumes = [seen for each in question.measured(by_study["resume"]) if (seen := resume(each))]
    found = [stored(each) for each in question.measured(by_study["formats"]) if each.trials]
    compared = arms.judged([*reuses(by_study["transfer"]), *timings(found)])
    reused = [arm for arm in compared if "images" in arm.extras]
    cells = _cells(by_study["resume"], resumes)
    return Findings(
        short=_short(resumes),
        cells=cells,
        sentence=_sentence(resumes, cells) if resumes or compared or found else question.NOTHING,
        so=_so(resumes),
        numbers={
            "resume": {seen.device: _resume_numbers(seen) for seen in resumes},
            "comparisons": [*map(arms.flat, compared)],
            "formats": {
                each.name: {hazard: model.written(own) for hazard, own in judged(each).items()}
                for each in found
            },
        },
        why=[*_donors(reused), *_survivors(found)],
        method=_method(by_study),
        caveats=CAVEATS,
        views=[_resume_view(seen) for seen in resumes if seen.continued] or question.nothing(TITLE),
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


def _cells(records: Sequence[Record], resumes: Sequence[Resume]) -> list[Main]:
    """The headline rests on the killed training that was resumed, with each part left out."""
    by_device = {seen.device: seen for seen in resumes if seen.measured}
    cells = []
    for each in records:
        device = str(each.axes["device"])
        where = f" on {device}" if len(records) > 1 else ""
        if seen := by_device.get(device):
            word = None if seen.repeatable else Word.UNKNOWN
            cells.append(Main(f"resumed training{where}", word))
            cells += [
                Main(f"resumed without {STATES[part]}{where}", lost=model.lost(trial.status))
                for trial in each.trials
                if (part := trial.what.get("left_out")) in STATES and part not in seen.continued
            ]
        else:
            cells.append(Main(f"resumed training{where}", lost=trials.why_lost([each])))
    return cells or [Main("resumed training", lost="not measured")]


def _sentence(resumes: Sequence[Resume], cells: Sequence[Main]) -> str:
    """What is needed to end with the weights of an unbroken training."""
    told = {seen.device: [_needed(seen)] for seen in resumes if seen.measured}
    said = say.together(question.on_each(told), [*told])
    unknown = ["What a checkpoint has to hold could not be measured."]
    return " ".join(filter(None, [*(said or unknown), model.lost_told(cells)]))


def _needed(seen: Resume) -> str:
    if not seen.repeatable:
        return "Cannot tell what a checkpoint has to hold: two unbroken trainings end differently."
    if not seen.judged:
        far = _far(seen.continued[""]["relative_distance"])
        return f"A checkpoint has to hold more than was saved: resumed, weights end {far} off."
    if not seen.needed:
        return "Resumed, a training ends with identical weights, whatever state was left out."
    far = _far(max(seen.continued[part]["relative_distance"] for part in seen.needed))
    pieces = _pieces(seen.needed, "weights")
    return f"A checkpoint has to hold {pieces}: resumed without one, weights end up to {far} off."


def _pieces(needed: Sequence[str], *others: str) -> str:
    """Parts of the state in a list: ``weights, optimiser and order state``."""
    return f"{say.listed([*others, *(STATES[n].removesuffix(' state') for n in needed)])} state"


def _short(resumes: Sequence[Resume]) -> str:
    texts = []
    for seen in (each for each in resumes if each.measured):
        known = _pieces(seen.needed, "weights") if seen.needed else "no state beyond the weights"
        texts.append(known if seen.judged else "cannot tell")
    return say.capital("; ".join(dict.fromkeys(texts))) or "Not measured"


def _so(resumes: Sequence[Resume]) -> str:
    """What to save, and how: only where a difference was seen."""
    needed = [part for part in STATES if any(s.judged and part in s.needed for s in resumes)]
    parts = [f"save {_pieces(needed)} with the weights"] if needed else []
    parts += ["write to a temporary file, then rename it"] if atomic_helps(resumes) else []
    return f"{say.capital(', '.join(parts))}." if parts else ""


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


def _resume_numbers(seen: Resume) -> dict[str, Any]:
    ended = {}
    for part, own in seen.continued.items():
        restored = "weights alone" if "," in part else f"without {STATES[part]}" if part else ""
        ended[restored or "everything restored"] = own
    return {
        "repeatable": seen.repeatable,
        "same_weights": {name: own["same"] for name, own in ended.items()},
        "relative_distance": {name: own["relative_distance"] for name, own in ended.items()},
        "unreadable": {way: [*counts] for way, counts in seen.killed.items()},
    }


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.1f} %"


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
