"""What does a checkpoint have to hold? Resuming, reusing layers, and formats under hazards.

Three studies are read: ``resume`` (trainings and writers that were killed), ``transfer`` (two
layers reused in another network) and ``formats`` (every format under every hazard).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from assay import inference
from assay.answer import accuracy, question, verdict
from assay.answer import old_figure as figure
from assay.answer.accuracy import Standing
from assay.answer.figure import Cell
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Trial
from assay.statistic import Interval
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# ---- resuming ------------------------------------------------------------------------------------

# What a part of the state is called.
STATES = {"optimizer": "optimiser state", "random": "generator state", "order": "order state"}
WRITERS = {"in place": "torch.save(state, path)", "atomic": "temporary file, then rename"}


@dataclass(frozen=True)
class Continued:
    """A killed training, continued."""

    left_out: str  # parts of the state that were not restored; empty: none
    same: bool  # SHA-256 of the final weights equals that of the unbroken training
    distance: float  # of the final weights from those of the unbroken one, relative to their norm
    killed_at: int  # step
    from_step: int
    steps_per_epoch: int

    @property
    def name(self) -> str:
        """What was restored."""
        if not self.left_out:
            return "everything restored"
        return "weights alone" if "," in self.left_out else f"without {STATES[self.left_out]}"


@dataclass(frozen=True)
class Killed:
    """Writers that were killed."""

    way: str
    unreadable: int
    kills: int

    @property
    def share(self) -> Interval:
        """Share of the kills that left no readable checkpoint, with its exact interval."""
        return inference.share(self.unreadable, self.kills)


@dataclass(frozen=True)
class Resume:
    """The resume study on one device."""

    device: str
    repeatable: bool | None  # two unbroken trainings end with the same weights; None: not measured
    continued: list[Continued]
    killed: list[Killed]

    @property
    def whole(self) -> Continued | None:
        """The one with everything restored; None where it was not measured."""
        return next((each for each in self.continued if not each.left_out), None)

    @property
    def needed(self) -> list[str]:
        """Parts without which the weights end elsewhere."""
        return [
            each.left_out
            for each in self.continued
            if each.left_out and "," not in each.left_out and not each.same
        ]


def resume(each: Record) -> Resume | None:
    """The resume study of one record of measured trials; None where there is none."""
    phases: dict[str, list[Any]] = {}
    for trial in each.trials:
        phases.setdefault(str(trial.what["phase"]), []).append(trial)
    continued, killed = phases.get("resumed", []), phases.get("killed while writing", [])
    if not continued and not killed:
        return None
    again = phases.get("unbroken again")
    return Resume(
        device=str(each.axes["device"]),
        repeatable=bool(again[0].result["same"]) if again else None,
        continued=[_continued(str(trial.what["left_out"]), trial.result) for trial in continued],
        killed=[
            Killed(trial.what["way"], trial.result["unreadable"], trial.result["kills"])
            for trial in killed
        ],
    )


def _continued(left_out: str, result: Mapping[str, Any]) -> Continued:
    return Continued(
        left_out,
        same=result["same"],
        distance=result["relative_distance"],
        killed_at=result["killed_at_step"],
        from_step=result["from_step"],
        steps_per_epoch=result["steps_per_epoch"],
    )


def resume_sentence(seen: Resume) -> str:
    """What became of the killed training, in a few words."""
    if seen.repeatable is None or seen.whole is None:
        return "what a resumed training ends with could not be measured"
    if not seen.repeatable:
        return "two unbroken trainings end with different weights, so resuming cannot be judged"
    if not seen.whole.same:
        return "a resumed training does not end with the weights of an unbroken one"
    text = "killed and resumed, a training ends with the weights of an unbroken one, bit for bit"
    if seen.needed:
        text += f", but not without {_and([STATES[part] for part in seen.needed])}"
    return text


def resume_findings(seen: Resume) -> list[str]:
    """The same with its numbers, and what was left of killed writers."""
    texts = [_continued_finding(seen)] if seen.continued else []
    if seen.repeatable is False:
        texts.append(f"{seen.device}: the control failed: two unbroken trainings differ.")
    texts += [
        f"{seen.device}: {WRITERS[each.way]}: {each.unreadable} of {each.kills} kills left no "
        f"readable checkpoint ({_percents(each.share)})."
        for each in seen.killed
    ]
    return texts


def _continued_finding(seen: Resume) -> str:
    one = seen.continued[0]
    epoch, step = divmod(one.from_step, one.steps_per_epoch)
    return (
        f"{seen.device}: killed with SIGKILL at step {one.killed_at}, resumed from step "
        f"{one.from_step} (epoch {epoch + 1}, after {step} of its {one.steps_per_epoch} steps). "
        + "; ".join(f"{each.name}: {_ending(each)}" for each in seen.continued)
        + "."
    )


def _ending(each: Continued) -> str:
    return "same SHA-256" if each.same else f"weights {100 * each.distance:.2g} % away"


# ---- reusing layers ------------------------------------------------------------------------------

REFERENCE = "scratch"
ARMS = {
    "scratch": "from scratch",
    "copied": "copied",
    "frozen": "copied, frozen",
    "aliased": "assigned (aliased)",
}
ARM_COLOURS = {
    "scratch": figure.MUTED,
    "copied": figure.BLUE,
    "frozen": figure.GREEN,
    "aliased": figure.RED,
}


@dataclass(frozen=True)
class Donor:
    """What became of the network that the layers were taken from, in the classes it had learned."""

    before: float  # accuracy
    after: Interval
    changed: bool


@dataclass(frozen=True)
class Reuse:
    """One arm with one number of images."""

    device: str
    images: int
    arm: str
    lost: str | None  # in how many runs it diverged; then nothing else is told of it
    standing: Standing | None  # on the test images of the new classes, against from scratch
    donor: Donor | None
    storage: bool | None  # a weight lies in the donor's memory; None where it was not looked up
    biases: bool | None  # the donor's biases were taken over

    @property
    def difference(self) -> Comparison | None:
        """To the network from scratch; None for that itself, and where nothing was compared."""
        return self.standing.difference if self.standing else None

    def judged(self, words: Mapping[Comparison, Word]) -> Reuse:
        """The same with the word of the question's family."""
        return replace(self, standing=self.standing.judged(words)) if self.standing else self


def reuses(records: Sequence[Record]) -> list[Reuse]:
    """Every arm, by device and number of images; not yet judged."""
    found = [reuse for each in records for reuse in _reuses(each)]
    return sorted(found, key=lambda reuse: (reuse.device, reuse.images))


def _reuses(each: Record) -> list[Reuse]:
    runs = accuracy.runs(each)
    named = {trial.what.get("arm") for trial in each.trials}
    arms = {
        name: runs[runs["arm"] == name] if len(runs) else runs for name in ARMS if name in named
    }
    seen = accuracy.standings(arms, REFERENCE)
    taken: dict[Any, Any] = {
        trial.what["arm"]: trial.result
        for trial in each.trials
        if trial.what["phase"] == "taken over"
    }
    return [
        Reuse(
            device=str(each.axes["device"]),
            images=int(str(each.trials[0].what["images"])),
            arm=arm,
            lost=accuracy.lost(own) if len(own) else "learned at no rate",
            standing=seen.get(arm),
            donor=_donor_of(own) if arm in seen else None,
            storage=taken.get(arm, {}).get("storage"),
            biases=taken.get(arm, {}).get("biases"),
        )
        for arm, own in arms.items()
    ]


def _donor_of(runs: pd.DataFrame) -> Donor:
    before, changed = (
        float(runs["donor_accuracy_before"].iloc[0]),
        bool(runs["donor_changed"].any()),
    )
    as_before = Interval(before, before, before)
    after = inference.mean(runs["donor_accuracy_after"]) if changed else as_before
    return Donor(before, after, changed)


def reuse_sentence(found: Sequence[Reuse]) -> str | None:
    """Where copying helps, and what assigning does to the donor, on one device."""
    parts = []
    if copied := [f"{each.images:,}: {_gain(each)}" for each in found if each.arm == "copied"]:
        said = "; ".join(copied)
        parts.append(f"two copied layers against none, by number of images: {said}")
    donors = [each.donor for each in found if each.donor and each.donor.changed]
    if donors:
        worst = min(donors, key=lambda donor: donor.after.value)
        parts.append(
            "assigning the donor's tensors instead takes the donor itself from "
            f"{100 * worst.before:.1f} to {100 * worst.after.value:.1f} %"
        )
    return "; ".join(parts) or None


def _gain(each: Reuse) -> str:
    """By how much an arm differs from a network from scratch, in a few words."""
    if each.standing is None or each.difference is None:
        return each.lost or "not compared"
    return f"{accuracy.points(each.difference.value)} points, {each.standing.said}"


def reuse_findings(found: Sequence[Reuse]) -> list[str]:
    """Every arm against scratch, and what became of the donor."""
    texts = [
        f"{device}, {images:,} images{_scratch(here)}: "
        + "; ".join(_arm(each) for each in here if each.arm != REFERENCE)
        + "."
        for (device, images), here in _grouped(found)
        if any(each.arm != REFERENCE for each in here)
    ]
    for reuse in found:
        if reuse.donor and reuse.donor.changed:
            texts.append(
                f"{reuse.device}, {reuse.images:,} images: assigned weights lie in the donor's "
                f"memory ({_yes(reuse.storage)}), its biases came along ({_yes(reuse.biases)}); "
                f"the donor went from {100 * reuse.donor.before:.1f} to "
                f"{_percents(reuse.donor.after)} of its own classes without being trained."
            )
    return texts


def _scratch(here: Sequence[Reuse]) -> str:
    """What the arms of one number of images are compared with."""
    scratch = next((each for each in here if each.arm == REFERENCE), None)
    if scratch and scratch.standing:
        return f", against {_percents(scratch.standing.accuracy)} from scratch"
    return f", not compared (from scratch: {scratch.lost if scratch else 'not measured'})"


def _arm(each: Reuse) -> str:
    if each.standing is None:
        return f"{ARMS[each.arm]}: {each.lost}"
    if each.difference is None:
        return f"{ARMS[each.arm]} {_percents(each.standing.accuracy)}"
    return f"{ARMS[each.arm]} {each.standing.against} points ({each.standing.said})"


def _grouped(found: Sequence[Reuse]) -> list[tuple[tuple[str, int], list[Reuse]]]:
    groups: dict[tuple[str, int], list[Reuse]] = {}
    for reuse in found:
        groups.setdefault((reuse.device, reuse.images), []).append(reuse)
    return list(groups.items())


# ---- formats -------------------------------------------------------------------------------------

FORMATS = {
    "state_dict": "state_dict",
    "module": "whole module",
    "class_in_dict": "class in dict",
    "torchscript": "TorchScript",
    "export": "torch.export",
    "safetensors": "safetensors",
}
OK, CARE, BAD = "✓", "!", "✗"
UNKNOWN = Cell("not\nmeasured")
SAME = 1e-5  # largest difference of outputs that another order of summation can make
SLACK = 2  # a file this many times as large as that of a copy holds more than was saved


@dataclass(frozen=True)
class Stored:
    """One format, with everything that was found out about it."""

    name: str
    results: dict[str, dict[str, Any]]  # by hazard
    times: dict[str, Trial]  # save, load

    def time(self, what: str) -> Interval | None:
        """Seconds to save or load; None where it was not timed."""
        trial = self.times.get(what)
        arms: Any = trial.result.get("arms") if trial else None
        if not arms:
            return None
        arm = arms.get("target", arms["anchor"])
        return Interval(*(arm[f"time_{key}_s"] for key in ("median", "low", "high")))

    @property
    def compared(self) -> dict[str, Comparison]:
        """The times relative to a state_dict's, by what was done; none for that itself."""
        results: dict[str, Any] = {what: trial.result for what, trial in self.times.items()}
        return {
            what: verdict.paired(result, "target")
            for what, result in results.items()
            if "target" in result.get("ratios", {})
        }


def stored(each: Record) -> Stored:
    """The format of one record of measured trials."""
    results: dict[str, Any] = {
        str(trial.what["hazard"]): trial.result for trial in each.trials if "hazard" in trial.what
    }
    times = {str(trial.what["time"]): trial for trial in each.trials if "time" in trial.what}
    return Stored(str(each.axes["format"]), results, times)


def reloaded(result: Mapping[str, Any], at_build: Cell) -> Cell:
    """What a file came to when it was loaded; ``at_build``: if only tensors could be had."""
    match result["failed_at"]:
        case None if result["largest_difference"] <= SAME:
            return Cell("unchanged", OK)
        case None:
            return Cell("silently\ndifferent", BAD)
        case "build":
            return at_build
        case "load":
            return Cell("cannot be\nloaded", BAD)
        case _:
            return Cell("loads, fails\nwhen run", BAD)


def refused(result: Mapping[str, Any], way: str) -> Cell:
    """What a hostile file did when it was loaded in one way."""
    if result[f"ran_{way}"]:
        return Cell("its code\nran", BAD)
    return Cell("refused" if result[f"error_{way}"] else "no effect", OK)


def sharing(result: Mapping[str, Any]) -> Cell:
    """Whether a shared weight is still shared."""
    if result["failed_at"]:
        return Cell(f"{result['failed_at']} fails", BAD)
    return Cell("still shared", OK) if result["shared_after_loading"] else Cell("two copies", CARE)


def formats_kept(result: Mapping[str, Any]) -> Cell:
    """How many number formats came back bit for bit."""
    kept, lost = len(result["kept"]), len(result["lost"])
    return Cell(f"{kept} of {kept + lost}", CARE if lost else OK)


def part_kept(result: Mapping[str, Any]) -> Cell:
    """What was stored of a tensor of which a part was saved."""
    if "error" in result:
        return Cell("cannot be\nsaved", BAD)
    if not result["equal"]:
        return Cell("other values", BAD)
    times = result["file_bytes"] / result["file_bytes_of_copy"]
    if times > SLACK:
        return Cell(f"all of it,\n{times:.0f} × size", CARE)
    return Cell("part only", OK)


TENSORS_ONLY, LOUD = Cell("tensors\nonly", CARE), Cell("says so", CARE)
HAZARDS = {
    "unchanged": "nothing happened",
    "by_default": "loaded with no options",
    "class_missing": "code of the class missing",
    "class_moved": "class moved",
    "forward_edited": "forward edited",
    "layer_renamed": "layer renamed",
    "hostile_default": "hostile file, no options",
    "hostile_needed": "hostile file, as needed",
    "tied": "weight shared by two layers",
    "dtypes": "number formats, bit for bit",
    "rows": "1 % of a tensor: rows",
    "columns": "1 % of a tensor: columns",
}


def judged(seen: Stored) -> dict[str, Cell]:
    """The outcome of every hazard for one format."""
    return {hazard: _outcome(hazard, seen.results) for hazard in HAZARDS}


# Hazards that are not judged by how far loading came: by which trial, and how.
JUDGES: dict[str, tuple[str, Callable[[Mapping[str, Any]], Cell]]] = {
    "class_missing": ("class_missing", lambda result: reloaded(result, TENSORS_ONLY)),
    "hostile_default": ("hostile", lambda result: refused(result, "by_default")),
    "hostile_needed": ("hostile", lambda result: refused(result, "as_needed")),
    "tied": ("tied", sharing),
    "dtypes": ("dtypes", formats_kept),
    "rows": ("views", lambda result: part_kept(result["rows"])),
    "columns": ("views", lambda result: part_kept(result["columns"])),
}


def _outcome(hazard: str, results: Mapping[str, Mapping[str, Any]]) -> Cell:
    trial, judge = JUDGES.get(hazard, (hazard, lambda result: reloaded(result, LOUD)))
    return judge(results[trial]) if trial in results else UNKNOWN


def told(seen: Stored) -> dict[str, Cell]:
    """What has a number and no verdict: size and times."""
    cells = {"file beyond its parameters": UNKNOWN}
    if size := seen.results.get("none"):
        more = 100 * (size["file_bytes"] / size["parameter_bytes"] - 1)
        cells["file beyond its parameters"] = Cell(f"+{more:.1f} %")
    for what in ("save", "load"):
        time = seen.time(what)
        cells[f"time to {what}"] = Cell(f"{1e3 * time.value:.3g} ms" if time else "not timed")
    return cells


def formats_sentence(found: Sequence[Stored]) -> str:
    """Which formats survive which hazards."""
    cells = {each.name: judged(each) for each in found}
    all_known = all(UNKNOWN not in own.values() for own in cells.values())

    def having(hazard: str, text: str) -> list[str]:
        return [FORMATS[name] for name, own in cells.items() if own[hazard].text.startswith(text)]

    clean = [
        FORMATS[name]
        for name, own in cells.items()
        if all(own[hazard].sign in (OK, CARE) for hazard in HAZARDS)
    ]
    parts = {
        "these cannot be loaded with no options": having("by_default", "cannot"),
        "these load an edited forward silently": having("forward_edited", "silently"),
        "these run a hostile file's code when loaded as they need": having(
            "hostile_needed", "its code"
        ),
        "these bring their own code": [
            FORMATS[name] for name, own in cells.items() if own["class_missing"].sign == OK
        ],
        "these pass every hazard without a failure": clean,
    }
    none = "none" if all_known else "none that was measured"
    return "of the formats, " + "; ".join(
        f"{text}: {_and(names) if names else none}" for text, names in parts.items()
    )


def format_findings(found: Sequence[Stored], words: Mapping[Comparison, Word]) -> list[str]:
    """Errors in torch's own words, what is lost, sizes and times."""
    texts = [text for each in found for text in (*_failures(each), *_hostile_findings(each))]
    return texts + [
        f"{FORMATS[each.name]} takes {seen.value:.3g} [{seen.low:.3g}, {seen.high:.3g}] times as "
        f"long as a state_dict to {what} ({verdict.told(seen, words[seen])})."
        for each in found
        for what, seen in each.compared.items()
    ]


def _failures(each: Stored) -> list[str]:
    failures = [
        f"{HAZARDS[hazard]}: {result['error']} ({result['message']})"
        for hazard, result in each.results.items()
        if result.get("failed_at")
    ]
    if lost := each.results.get("dtypes", {}).get("lost"):
        failures.append(f"number formats not kept: {', '.join(lost)}")
    return [f"{FORMATS[each.name]} – " + "; ".join(failures) + "."] if failures else []


def _hostile_findings(each: Stored) -> list[str]:
    name, hostile = FORMATS[each.name], each.results.get("hostile", {})
    texts = []
    if hostile.get("ran_by_default"):
        texts.append(
            f"{name}, hostile file: with no options its code ran and created a file; what the "
            f"loader said afterwards: {hostile['error_by_default'] or 'nothing'}."
        )
    if hostile.get("ran_trusting"):
        texts.append(
            f"{name}, hostile file: with weights_only=True its code "
            f"{'ran' if hostile['ran_weights_only'] else 'did not run'}, with "
            "weights_only=False it ran and created a file."
        )
    return texts


# ---- words ---------------------------------------------------------------------------------------


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _percents(seen: Interval) -> str:
    return f"{100 * seen.value:.1f} [{100 * seen.low:.1f}, {100 * seen.high:.1f}] %"


def _yes(value: bool | None) -> str:
    return {True: "yes", False: "no", None: "not measured"}[value]


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of the three studies."""
    by_study: dict[str, list[Record]] = {"resume": [], "transfer": [], "formats": []}
    for each in records:
        by_study[each.study].append(each)
    resumes = [seen for each in question.measured(by_study["resume"]) if (seen := resume(each))]
    reused = reuses(by_study["transfer"])
    found = [stored(each) for each in question.measured(by_study["formats"]) if each.trials]
    family = [each.difference for each in reused if each.difference]
    family += [seen for each in found for seen in each.compared.values()]
    words = verdict.words(family)
    reused = [each.judged(words) for each in reused]
    return Findings(
        sentence=_sentence(resumes, reused, found),
        findings=[
            *(text for seen in resumes for text in resume_findings(seen)),
            *reuse_findings(reused),
            *format_findings(found, words),
        ],
        numbers=_numbers(resumes, reused, found, words),
        method=[*_method(by_study), *([accuracy.method(len(family))] if family else [])],
        caveats=CAVEATS,
        picture=Picture(
            title="Resumed trainings, reused layers, and formats under hazards",
            alternative=_alternative(resumes, reused, found),
        ),
        table=_table(found),
        frame=_frame(records, reused, found, words),
        figure=_figure(resumes, reused, found),
    )


def _sentence(resumes: Sequence[Resume], reused: Sequence[Reuse], found: Sequence[Stored]) -> str:
    parts: dict[str, list[str]] = {}
    for seen in resumes:
        parts.setdefault(seen.device, []).append(resume_sentence(seen))
    for device in dict.fromkeys(reuse.device for reuse in reused):
        if text := reuse_sentence([reuse for reuse in reused if reuse.device == device]):
            parts.setdefault(device, []).append(text)
    said = [f"{device} – {'; '.join(texts)}." for device, texts in parts.items()]
    if found:
        text = formats_sentence(found)
        said.append(f"{text[0].upper()}{text[1:]}.")
    return " ".join(said) or "Nothing could be measured; the reasons are below."


def _numbers(
    resumes: Sequence[Resume],
    reused: Sequence[Reuse],
    found: Sequence[Stored],
    words: Mapping[Comparison, Word],
) -> dict[str, Any]:
    return {
        "resume": {
            seen.device: {
                "repeatable": seen.repeatable,
                "same_weights": {each.name: each.same for each in seen.continued},
                "relative_distance": {each.name: each.distance for each in seen.continued},
                "unreadable": {each.way: [each.unreadable, each.kills] for each in seen.killed},
            }
            for seen in resumes
        },
        "transfer": [_reuse_numbers(reuse) for reuse in reused],
        "times": {
            each.name: {
                what: verdict.row(seen) | {"word": words[seen].value}
                for what, seen in each.compared.items()
            }
            for each in found
        },
        "formats": {
            each.name: {
                hazard: f"{cell.sign} {_flat(cell)}".strip()
                for hazard, cell in judged(each).items()
            }
            for each in found
        },
    }


def _reuse_numbers(reuse: Reuse) -> dict[str, Any]:
    standing = reuse.standing.numbers if reuse.standing else {"word": None}
    donor = reuse.donor
    return {
        "device": reuse.device,
        "images": reuse.images,
        "arm": reuse.arm,
        "lost": reuse.lost,
        **standing,
        "donor_accuracy_before": donor.before if donor else None,
        "donor_accuracy_after": donor.after.value if donor else None,
        "donor_changed": donor.changed if donor else None,
        "shares_storage": reuse.storage,
        "takes_biases": reuse.biases,
    }


def _flat(cell: Cell) -> str:
    return " ".join(cell.text.split())


def _method(by_study: Mapping[str, Sequence[Record]]) -> list[str]:
    texts = []
    if by_study["resume"]:
        own: Any = by_study["resume"][0].settings
        texts.append(
            f"Resuming: a perceptron with dropout {own['dropout']:g}, SGD with momentum "
            f"{own['momentum']:g}, {own['steps']} steps on seeded random data, a checkpoint every "
            f"{own['every']} steps. The training runs in a process of its own and is killed with "
            "SIGKILL; each continuation is a new process that begins as a script does, seeds "
            "included, and then restores the checkpoint or a part of it. Control: the unbroken "
            "training twice."
        )
        texts.append(
            f"Writers: {own['kills']} of each kind write checkpoints of "
            f"{own['file_bytes'] / 1e6:.1f} MB without end and are killed at random moments after "
            "the first; then the file is read and its content checked. Interval of the share: "
            "exact (Clopper and Pearson)."
        )
    if by_study["transfer"]:
        own = by_study["transfer"][0].settings
        data = by_study["transfer"][0].provenance.dataset
        texts.append(
            f"Reuse: a perceptron 784-{'-'.join(map(str, own['hidden']))}-5 learns the first five "
            "classes of the data; its two hidden layers go into a network for the other five. "
            f"Rates {', '.join(f'{rate:g}' for rate in own['rates'])}, each arm's chosen on "
            f"validation images; {own['seeds']} seeds, paired: same images, same order, same "
            "initial weights where none are taken over. Fewer images are repeated until an epoch "
            f"has {own['epoch_images']:,}. Test images are read once. Differences are to the "
            "network from scratch. "
            f"Data: {data.name if data else '?'}."
        )
    if by_study["formats"]:
        own = by_study["formats"][0].settings
        texts.append(
            f"Formats: a network {own['features']}-{own['hidden']}-{own['features']} whose code "
            "lies in a file of its own. Each format has an interpreter of its own, which never "
            "imports that code; every hazard is tried in a process forked from it. In the hostile "
            "file every pickle was exchanged for one that creates a file; whether that file exists "
            "afterwards is looked up. Times are of the whole way, network to file and file to "
            "network, paired with a state_dict's, in the system's file cache."
        )
    return texts


CAVEATS = [
    "Bit for bit holds for the same machine, versions and number of threads; others add in another "
    "order.",
    "SIGKILL ends a process, not the power: what the system has accepted is still written.",
    "Two halves of one data set are close relatives; layers from further away can help less.",
    "A class of this kind of network has no control flow; TorchScript and torch.export restrict "
    "what a forward pass may do, which is not tried here.",
]


def _table(found: Sequence[Stored]) -> Table:
    columns = [Column(name="hazard"), *(Column(name=FORMATS[each.name]) for each in found)]
    own = [judged(each) | told(each) for each in found]
    names = [*HAZARDS, *told(found[0])] if found else []
    rows: list[list[str | float | int | None]] = [
        [
            HAZARDS.get(name, name),
            *(f"{each[name].sign} {_flat(each[name])}".strip() for each in own),
        ]
        for name in names
    ]
    return Table(columns=columns, rows=rows)


def _frame(
    records: Sequence[Record],
    reused: Sequence[Reuse],
    found: Sequence[Stored],
    words: Mapping[Comparison, Word],
) -> pd.DataFrame:
    """Tidy: one row per trial, then one per comparison; nested results stand in the records."""
    rows: list[dict[str, Any]] = []
    for each in records:
        axes = {"study": each.study, **each.axes}
        if not each.trials:
            rows.append({**axes, "status": each.status.value, "reason": each.reason})
        for trial in each.trials:
            plain = {k: v for k, v in trial.result.items() if not isinstance(v, dict | list)}
            status = {"status": trial.status.value, "reason": trial.reason}
            rows.append({**axes, **trial.what, **status, **plain})
    for reuse in reused:
        own = {"device": reuse.device, "images": reuse.images, "arm": reuse.arm}
        seen = reuse.standing.row if reuse.standing else {"phase": "verdict", "word": reuse.lost}
        rows.append({"study": "transfer", **own, **seen})
    for each_format in found:
        for what, ratio in each_format.compared.items():
            own = {"format": each_format.name, "time": what, "phase": "verdict"}
            rows.append(
                {"study": "formats", **own, **verdict.row(ratio), "word": words[ratio].value}
            )
    return pd.DataFrame(rows)


def _alternative(
    resumes: Sequence[Resume], reused: Sequence[Reuse], found: Sequence[Stored]
) -> str:
    texts = [
        f"{seen.device}: " + ", ".join(f"{each.name}: {_ending(each)}" for each in seen.continued)
        for seen in resumes
    ]
    texts += [
        f"{device}, {images} images: " + ", ".join(map(_level, here))
        for (device, images), here in _grouped(reused)
    ]
    texts += [
        f"{FORMATS[each.name]}: "
        + ", ".join(f"{HAZARDS[k]}: {_flat(cell)}" for k, cell in judged(each).items())
        for each in found
    ]
    return ". ".join(texts) + "." if texts else "Nothing was measured."


def _level(each: Reuse) -> str:
    accuracy = f"{100 * each.standing.accuracy.value:.1f} %" if each.standing else each.lost
    return f"{ARMS[each.arm]} {accuracy}"


# ---- drawing -------------------------------------------------------------------------------------


def _figure(resumes: Sequence[Resume], reused: Sequence[Reuse], found: Sequence[Stored]) -> Figure:
    """Per device a row for reused layers and one for resuming; below, the matrix of formats."""
    learned = list(dict.fromkeys(reuse.device for reuse in reused))
    rows: list[tuple[list[str], float]] = []
    rows += [([f"transfer {device}", f"donor {device}"], 2.5) for device in learned]
    rows += [([f"resume {seen.device}", f"kills {seen.device}"], 1.9) for seen in resumes]
    if found:
        rows.append((["formats"] * 2, 0.8 + 0.31 * (len(HAZARDS) + 3)))
    if not rows:
        return figure.nothing()
    drawn, axes = figure.mosaic(
        [names for names, _ in rows],
        height_in=sum(height for _, height in rows),
        height_ratios=[height for _, height in rows],
        width_ratios=[3, 2],
    )
    for device in learned:
        own = [reuse for reuse in reused if reuse.device == device]
        _transfer(axes[f"transfer {device}"], device, own)
        _donor(axes[f"donor {device}"], own)
    for seen in resumes:
        _resume(axes[f"resume {seen.device}"], seen)
        _kills(axes[f"kills {seen.device}"], seen)
    if found:
        _formats(axes["formats"], found)
    return drawn


def _empty(axes: Axes) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)


def _transfer(axes: Axes, device: str, found: Sequence[Reuse]) -> None:
    axes.set_title(f"{device}: two reused layers")
    levels = {
        arm: {
            each.images: each.standing.accuracy
            for each in found
            if each.standing and each.arm == arm
        }
        for arm in ARMS
    }
    if not any(levels.values()):
        return _empty(axes)
    _image_axis(axes, found, room=0.6)
    ends, names = [], []
    for i, (arm, own) in enumerate(levels.items()):
        if not own:
            continue
        x = [images * 1.05 ** (i - 1.5) for images in own]  # side by side, not one on another
        values = _percent_bounds([*own.values()])
        figure.interval(axes, x, *values, color=ARM_COLOURS[arm], fmt="o-", linewidth=1.3)
        ends.append(values[0][-1])
        names.append(arm)
    _percent_axis(axes)
    low, high = axes.get_ylim()
    places = figure.spread(ends, 0.09 * (high - low), high)
    last = max(reuse.images for reuse in found)
    for arm, place in zip(names, places, strict=True):
        axes.annotate(
            ARMS[arm],
            (last, place),
            (12, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=ARM_COLOURS[arm],
            in_layout=False,
        )
    axes.set_ylabel("% of the test images")


def _percent_bounds(seen: Sequence[Interval]) -> list[list[float]]:
    """Values, lower and upper ends, in percent; a single run has no interval to draw."""
    drawn = [each if math.isfinite(each.low) else Interval(*[each.value] * 3) for each in seen]
    return [[100 * getattr(each, key) for each in drawn] for key in ("value", "low", "high")]


def _percent_axis(axes: Axes) -> None:
    """Intervals over a few seeds may leave what a share can be."""
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, 0), min(high, 102))


def _image_axis(axes: Axes, found: Sequence[Reuse], room: float) -> None:
    """The numbers of images, with room for labels on the right as a share of the decades."""
    images = sorted({reuse.images for reuse in found})
    axes.set_xscale("log")
    axes.set_xlim(images[0] / 1.5, images[-1] * 1.5 * (images[-1] / images[0]) ** room)
    axes.set_xticks(images, [_short(number) for number in images])
    axes.minorticks_off()
    axes.set_xlabel("training images of the new classes")


def _short(images: int) -> str:
    """A number of images as a tick has room for it: 100, 1k, 25k."""
    return f"{images / 1000:.3g}k" if images >= 1000 else str(images)


def _donor(axes: Axes, found: Sequence[Reuse]) -> None:
    axes.set_title("the donor itself")
    shown = [each for each in found if each.donor and each.arm in ("copied", "aliased")]
    if not shown:
        return _empty(axes)
    _image_axis(axes, found, room=0.0)
    for arm in ("copied", "aliased"):
        own = {each.images: each.donor.after for each in shown if each.donor and each.arm == arm}
        if own:
            values = _percent_bounds([*own.values()])
            x = [*own]
            figure.interval(axes, x, *values, color=ARM_COLOURS[arm], fmt="o-", linewidth=1.3)
            axes.annotate(
                f"after {'copying' if arm == 'copied' else 'assigning'}",
                (x[0], max(values[1][0], 12)),  # under the interval
                (0, -12 if arm == "aliased" else 6),
                textcoords="offset points",
                fontsize=8,
                color=ARM_COLOURS[arm],
            )
    axes.margins(y=0.25)
    _percent_axis(axes)
    axes.set_xlabel("training images")
    axes.set_ylabel("% of its test images")


def _resume(axes: Axes, seen: Resume) -> None:
    if not seen.continued:
        return _empty(axes)
    axes.set_title(f"{seen.device}: killed at step {seen.continued[0].killed_at}, resumed")
    distances = [100 * each.distance for each in seen.continued]
    axes.set_xlim(-0.03 * max([*distances, 1e-9]), 1.8 * max([*distances, 1e-9]))
    for y, each in enumerate(seen.continued):
        sign = OK if each.same else BAD
        colour = figure.SIGN_COLOURS[sign]
        axes.plot(100 * each.distance, y, "o", color=colour)
        axes.annotate(
            f"{sign} {_ending(each)}",
            (100 * each.distance, y),
            (8, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
            in_layout=False,
        )
    axes.set_yticks(range(len(seen.continued)), [each.name for each in seen.continued])
    axes.set_ylim(len(seen.continued) - 0.5, -0.5)
    axes.set_xlabel("final weights, % from the unbroken run's")


def _kills(axes: Axes, seen: Resume) -> None:
    axes.set_title("killed while writing")
    if not seen.killed:
        return _empty(axes)
    for y, each in enumerate(seen.killed):
        share = each.share
        colour = figure.SIGN_COLOURS[BAD if each.unreadable else OK]
        axes.plot([100 * share.low, 100 * share.high], [y, y], color=colour, linewidth=1.6)
        axes.plot(100 * share.value, y, "o", color=colour, clip_on=False)
        axes.annotate(
            f"{BAD if each.unreadable else OK} {each.unreadable} of {each.kills}",
            (50, y),
            (0, -13),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=colour,
        )
    axes.set_yticks(range(len(seen.killed)), [each.way for each in seen.killed])
    axes.set_ylim(len(seen.killed) - 0.3, -0.5)
    axes.set_xlim(0, 100)
    axes.set_xlabel("unreadable, %")


def _formats(axes: Axes, found: Sequence[Stored]) -> None:
    own = [judged(each) | told(each) for each in found]
    names = [*HAZARDS, *told(found[0])]
    cells = [[each[name] for each in own] for name in names]
    columns = [FORMATS[each.name].replace(" ", "\n", 1) for each in found]
    figure.matrix(axes, [HAZARDS.get(name, name) for name in names], columns, cells)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("checkpoint", answer, argv)


if __name__ == "__main__":
    main()
