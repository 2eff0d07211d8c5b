"""What does a checkpoint have to hold? Resuming, reusing layers, and formats under hazards.

Three studies are read: ``resume`` (trainings and writers that were killed), ``transfer`` (two
layers reused in another network) and ``formats`` (every format under every hazard).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from assay import accuracy, figure, inference, question, verdict
from assay.figure import Cell
from assay.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from assay.verdict import Comparison, Word
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
    repeatable: bool  # two unbroken trainings end with the same weights
    continued: list[Continued]
    killed: list[Killed]
    killed_at: int
    from_step: int
    steps_per_epoch: int

    @property
    def whole(self) -> Continued:
        """The one with everything restored."""
        return next(each for each in self.continued if not each.left_out)

    @property
    def needed(self) -> list[str]:
        """Parts without which the weights end elsewhere."""
        return [
            each.left_out
            for each in self.continued
            if each.left_out and "," not in each.left_out and not each.same
        ]


def resume(each: Record) -> Resume | None:
    """The resume study of one record; None where what it is judged by could not be done."""
    phases: dict[str, list[Trial]] = {}
    for trial in _good(each):
        phases.setdefault(str(trial.what["phase"]), []).append(trial)
    whole = [trial for trial in phases.get("resumed", []) if not trial.what["left_out"]]
    if not whole or "unbroken again" not in phases:
        return None
    results: list[Any] = [trial.result for trial in phases["resumed"]]
    writers: list[Any] = phases.get("killed while writing", [])
    return Resume(
        device=str(each.axes["device"]),
        repeatable=bool(phases["unbroken again"][0].result["same"]),
        continued=[
            Continued(str(trial.what["left_out"]), result["same"], result["relative_distance"])
            for trial, result in zip(phases["resumed"], results, strict=True)
        ],
        killed=[
            Killed(trial.what["way"], trial.result["unreadable"], trial.result["kills"])
            for trial in writers
        ],
        killed_at=results[0]["killed_at_step"],
        from_step=results[0]["from_step"],
        steps_per_epoch=results[0]["steps_per_epoch"],
    )


def _good(each: Record) -> list[Trial]:
    return [trial for trial in each.trials if trial.status == Status.OK]


def resume_sentence(seen: Resume) -> str:
    """What became of the killed training, in a few words."""
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
    epoch, step = divmod(seen.from_step, seen.steps_per_epoch)
    texts = [
        f"{seen.device}: killed with SIGKILL at step {seen.killed_at}, resumed from step "
        f"{seen.from_step} (epoch {epoch + 1}, after {step} of its {seen.steps_per_epoch} steps). "
        + "; ".join(f"{each.name}: {_ending(each)}" for each in seen.continued)
        + "."
    ]
    if not seen.repeatable:
        texts.append(f"{seen.device}: the control failed: two unbroken trainings differ.")
    texts += [
        f"{seen.device}: {WRITERS[each.way]}: {each.unreadable} of {each.kills} kills left no "
        f"readable checkpoint ({_percents(each.share)})."
        for each in seen.killed
    ]
    return texts


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
class Reuse:
    """One arm with one number of images."""

    device: str
    images: int
    arm: str
    seen: accuracy.Standing  # on the test images of the new classes; against from scratch
    donor_before: float  # accuracy on the donor's own classes
    donor_after: Interval
    donor_changed: bool
    storage: bool | None  # a weight lies in the donor's memory
    biases: bool | None  # the donor's biases were taken over

    @property
    def accuracy(self) -> Interval:
        """On the test images, over seeds."""
        return self.seen.accuracy


@dataclass(frozen=True)
class Lost:
    """An arm of which a run diverged."""

    device: str
    images: int
    arm: str
    said: str


def reuses(records: Sequence[Record]) -> tuple[list[Reuse], list[Lost]]:
    """Every arm by device and number of images: those to compare, and those set apart."""
    found, lost = [], []
    for each in records:
        arms = _arms(each)
        taken: dict[Any, dict[str, Any]] = {
            trial.what["arm"]: trial.result
            for trial in _good(each)
            if trial.what["phase"] == "taken over"
        }
        device = str(each.axes["device"])
        for arm, seen in accuracy.standings(arms, REFERENCE).items():
            own = arms[arm]
            before, changed = float(own["donor_accuracy_before"].iloc[0]), own["donor_changed"]
            found.append(
                Reuse(
                    device,
                    _images(own),
                    arm,
                    seen,
                    donor_before=before,
                    donor_after=inference.mean(own["donor_accuracy_after"])
                    if changed.any()
                    else Interval(before, before, before),
                    donor_changed=bool(changed.any()),
                    storage=taken.get(arm, {}).get("storage"),
                    biases=taken.get(arm, {}).get("biases"),
                )
            )
        lost += [
            Lost(device, _images(own), arm, said)
            for arm, own in arms.items()
            if (said := accuracy.lost(own))
        ]
    order = [*ARMS].index
    return sorted(found, key=lambda one: (one.device, one.images, order(one.arm))), lost


def _arms(each: Record) -> dict[str, pd.DataFrame]:
    """The runs that count by arm; none where the data set has too few images."""
    runs = accuracy.runs(each)
    if "arm" not in runs:
        return {}
    return {str(arm): own for arm, own in runs.groupby("arm", sort=False)}


def _images(arm: pd.DataFrame) -> int:
    return int(arm["images"].iloc[0])


def reuse_sentence(found: Sequence[Reuse]) -> str:
    """Where copying helps, and what assigning does to the donor."""
    parts = [
        f"{reuse.images:,}: {accuracy.points(reuse.seen.difference.value)} points, "
        f"{reuse.seen.said}"
        for reuse in found
        if reuse.arm == "copied" and reuse.seen.difference
    ]
    text = "two copied layers could not be compared with none"
    if parts:
        text = f"two copied layers against none, by number of images: {'; '.join(parts)}"
    damaged = [reuse for reuse in found if reuse.donor_changed]
    if damaged:
        worst = min(damaged, key=lambda reuse: reuse.donor_after.value)
        text += (
            f"; assigning the donor's tensors instead takes the donor itself from "
            f"{100 * worst.donor_before:.1f} to {100 * worst.donor_after.value:.1f} %"
        )
    return text


def reuse_findings(found: Sequence[Reuse], lost: Sequence[Lost]) -> list[str]:
    """Every arm against scratch, and what became of the donor."""
    texts = []
    for (device, images), here in _grouped(found):
        parts = [
            f"{ARMS[reuse.arm]} {reuse.seen.against} points ({reuse.seen.said})"
            for reuse in here
            if reuse.seen.difference
        ]
        if parts:
            scratch = next(reuse for reuse in here if reuse.seen.is_reference)
            texts.append(
                f"{device}, {images:,} images, against {_percents(scratch.accuracy)} from "
                f"scratch: {'; '.join(parts)}."
            )
    texts += [
        f"{each.device}, {each.images:,} images, {ARMS[each.arm]}: not compared, {each.said}."
        for each in lost
    ]
    for reuse in found:
        if reuse.donor_changed:
            texts.append(
                f"{reuse.device}, {reuse.images:,} images: assigned weights lie in the donor's "
                f"memory ({_yes(reuse.storage)}), its biases came along ({_yes(reuse.biases)}); "
                f"the donor went from {100 * reuse.donor_before:.1f} to "
                f"{_percents(reuse.donor_after)} of its own classes without being trained."
            )
    return texts


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
TIMED = ("save", "load")
OK, CARE, BAD = "✓", "!", "✗"
SAME = 1e-5  # largest difference of outputs that another order of summation can make
SLACK = 2  # a file this many times as large as that of a copy holds more than was saved


@dataclass(frozen=True)
class Stored:
    """One format, with everything that was found out about it."""

    device: str
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

    def compared(self, what: str) -> Comparison | None:
        """The time relative to a state_dict's; None for that itself."""
        trial = self.times.get(what)
        ratios: Any = trial.result.get("ratios") if trial else None
        return verdict.paired(trial.result, "target") if "target" in (ratios or {}) else None


def stored(each: Record) -> Stored:
    """The format of one record."""
    results: dict[str, Any] = {
        str(trial.what["hazard"]): trial.result for trial in _good(each) if "hazard" in trial.what
    }
    times = {str(trial.what["time"]): trial for trial in _good(each) if "time" in trial.what}
    return Stored(str(each.axes["device"]), str(each.axes["format"]), results, times)


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


UNTRIED = Cell("not tried")
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
    results = seen.results
    cells = dict.fromkeys(HAZARDS, UNTRIED)
    cells |= {
        hazard: reloaded(results[hazard], TENSORS_ONLY if hazard == "class_missing" else LOUD)
        for hazard in HAZARDS
        if hazard in results and "failed_at" in results[hazard] and hazard != "tied"
    }
    if hostile := results.get("hostile"):
        cells["hostile_default"] = refused(hostile, "by_default")
        cells["hostile_needed"] = refused(hostile, "as_needed")
    if "tied" in results:
        cells["tied"] = sharing(results["tied"])
    if "dtypes" in results:
        cells["dtypes"] = formats_kept(results["dtypes"])
    if views := results.get("views"):
        cells |= {part: part_kept(views[part]) for part in ("rows", "columns")}
    return cells


def told(seen: Stored) -> dict[str, Cell]:
    """What has a number and no verdict: size and times."""
    size, more = seen.results.get("none"), "not known"
    if size:
        more = f"+{100 * (size['file_bytes'] / size['parameter_bytes'] - 1):.1f} %"
    cells = {"file beyond its parameters": Cell(more)}
    for what in TIMED:
        time = seen.time(what)
        cells[f"time to {what}"] = Cell(f"{1e3 * time.value:.3g} ms" if time else "not timed")
    return cells


def formats_sentence(found: Sequence[Stored]) -> str:
    """Which formats survive which hazards."""
    cells = {each.name: judged(each) for each in found}

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
    return "of the formats, " + "; ".join(
        f"{text}: {_and(names) if names else 'none'}" for text, names in parts.items()
    )


def format_findings(found: Sequence[Stored], words: Mapping[Comparison, Word]) -> list[str]:
    """Errors in torch's own words, what is lost, sizes and times."""
    texts = []
    for each in found:
        name, results = FORMATS[each.name], each.results
        failures = [
            f"{HAZARDS[hazard]}: {result['error']} ({result['message']})"
            for hazard, result in results.items()
            if result.get("failed_at")
        ]
        lost = results.get("dtypes", {}).get("lost")
        if lost:
            failures.append(f"number formats not kept: {', '.join(lost)}")
        if failures:
            texts.append(f"{name} – " + "; ".join(failures) + ".")
        hostile = results.get("hostile", {})
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
    return texts + [
        f"{FORMATS[each.name]} takes {seen.value:.3g} [{seen.low:.3g}, {seen.high:.3g}] times as "
        f"long as a state_dict to {what} ({verdict.told(seen, words[seen])})."
        for each, what, seen in timed(found)
    ]


def timed(found: Sequence[Stored]) -> Iterator[tuple[Stored, str, Comparison]]:
    """Every time that is compared with a state_dict's."""
    for what in TIMED:
        for each in found:
            if seen := each.compared(what):
                yield each, what, seen


# ---- words ---------------------------------------------------------------------------------------


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _percents(seen: Interval) -> str:
    return f"{100 * seen.value:.1f} [{100 * seen.low:.1f}, {100 * seen.high:.1f}] %"


def _yes(value: bool | None) -> str:
    return "not looked at" if value is None else "yes" if value else "no"


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of the three studies."""
    by_study: dict[str, list[Record]] = {"resume": [], "transfer": [], "formats": []}
    for each in records:
        by_study[each.study].append(each)
    resumes = [seen for each in by_study["resume"] if (seen := resume(each))]
    learned, lost = reuses(by_study["transfer"])
    found = [stored(each) for each in by_study["formats"] if _good(each)]
    family = [reuse.seen.difference for reuse in learned if reuse.seen.difference]
    family += [seen for *_, seen in timed(found)]
    words = verdict.words(family)
    reused = [replace(each, seen=each.seen.judged(words)) for each in learned]
    return Findings(
        sentence=_sentence(resumes, reused, found),
        findings=[
            *(text for seen in resumes for text in resume_findings(seen)),
            *reuse_findings(reused, lost),
            *format_findings(found, words),
        ],
        numbers=_numbers(resumes, reused, lost, found),
        method=_method(by_study, len(family)),
        caveats=CAVEATS,
        picture=Picture(
            title="Resumed trainings, reused layers, and formats under hazards",
            alternative=_alternative(resumes, reused, found),
        ),
        table=_table(found),
        frame=pd.concat(
            [_frame(records), _verdicts(reused, lost, found, words)], ignore_index=True
        ),
        figure=_figure(resumes, reused, found),
        snippet=SNIPPET,
    )


def _sentence(
    resumes: Sequence[Resume],
    reused: Sequence[Reuse],
    found: Sequence[Stored],
) -> str:
    parts: dict[str, list[str]] = {}
    for seen in resumes:
        parts.setdefault(seen.device, []).append(resume_sentence(seen))
    for device in dict.fromkeys(reuse.device for reuse in reused):
        own = [reuse for reuse in reused if reuse.device == device]
        parts.setdefault(device, []).append(reuse_sentence(own))
    said = [f"{device} – {'; '.join(texts)}." for device, texts in parts.items()]
    if found:
        text = formats_sentence(found)
        said.append(f"{text[0].upper()}{text[1:]}.")
    return " ".join(said) or "Nothing could be measured; the reasons are below."


def _numbers(
    resumes: Sequence[Resume],
    reused: Sequence[Reuse],
    lost: Sequence[Lost],
    found: Sequence[Stored],
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
        "transfer": [
            {
                "device": reuse.device,
                "images": reuse.images,
                "arm": reuse.arm,
                **reuse.seen.numbers,
                "donor_accuracy_before": reuse.donor_before,
                "donor_accuracy_after": reuse.donor_after.value,
                "donor_changed": reuse.donor_changed,
                "shares_storage": reuse.storage,
                "takes_biases": reuse.biases,
            }
            for reuse in reused
        ],
        "lost": [vars(each) for each in lost],
        "formats": {
            each.name: {
                hazard: f"{cell.sign} {_flat(cell)}" for hazard, cell in judged(each).items()
            }
            for each in found
        },
    }


def _flat(cell: Cell) -> str:
    return " ".join(cell.text.split())


def _method(by_study: Mapping[str, Sequence[Record]], comparisons: int) -> list[str]:
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
            f"network from scratch. {accuracy.method(comparisons)} "
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
            "network, paired with a state_dict's, in the system's file cache; “the same” is within "
            f"{verdict.MARGIN:.0%}. Verdicts are Holm-corrected over all {comparisons} comparisons "
            "of this question."
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


def _frame(records: Sequence[Record]) -> pd.DataFrame:
    """Tidy, one row per trial; nested results stand in the records."""
    rows = []
    for each in records:
        for trial in each.trials:
            plain = {k: v for k, v in trial.result.items() if not isinstance(v, dict | list)}
            rows.append(
                {"study": each.study, **each.axes, **trial.what, "status": trial.status.value}
                | plain
            )
    return pd.DataFrame(rows)


def _verdicts(
    reused: Sequence[Reuse],
    lost: Sequence[Lost],
    found: Sequence[Stored],
    words: Mapping[Comparison, Word],
) -> pd.DataFrame:
    """Tidy, one row per verdict, with what it rests on."""
    rows: list[dict[str, Any]] = [
        {"study": "transfer", "device": each.device, "arm": each.arm, "images": each.images}
        | each.seen.row
        for each in reused
    ]
    rows += [
        {"study": "transfer", "device": each.device, "arm": each.arm, "images": each.images}
        | {"phase": "verdict", "word": each.said}
        for each in lost
    ]
    rows += [
        {"study": "formats", "device": each.device, "format": each.name, "time": what}
        | {"phase": "verdict", **verdict.row(seen), "word": words[seen].value}
        for each, what, seen in timed(found)
    ]
    return pd.DataFrame(rows)


def _alternative(
    resumes: Sequence[Resume], reused: Sequence[Reuse], found: Sequence[Stored]
) -> str:
    texts = [
        f"{seen.device}: " + ", ".join(f"{each.name}: {_ending(each)}" for each in seen.continued)
        for seen in resumes
    ]
    texts += [
        f"{device}, {images} images: "
        + ", ".join(f"{ARMS[each.arm]} {100 * each.accuracy.value:.1f} %" for each in here)
        for (device, images), here in _grouped(reused)
    ]
    texts += [
        f"{FORMATS[each.name]}: "
        + ", ".join(f"{HAZARDS[k]}: {_flat(cell)}" for k, cell in judged(each).items())
        for each in found
    ]
    return ". ".join(texts) + "." if texts else "Nothing was measured."


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


def _transfer(axes: Axes, device: str, found: Sequence[Reuse]) -> None:
    axes.set_title(f"{device}: two reused layers")
    _image_axis(axes, found, room=0.6)
    ends, names = [], []
    for i, arm in enumerate(ARMS):
        own = [reuse for reuse in found if reuse.arm == arm]
        if not own:
            continue
        x = [reuse.images * 1.05 ** (i - 1.5) for reuse in own]  # side by side, not one on another
        values = [[100 * getattr(reuse.accuracy, key) for reuse in own] for key in BOUNDS]
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


BOUNDS = ("value", "low", "high")


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
    _image_axis(axes, found, room=0.0)
    for arm in ("copied", "aliased"):
        own = [reuse for reuse in found if reuse.arm == arm]
        if own:
            values = [[100 * getattr(reuse.donor_after, key) for reuse in own] for key in BOUNDS]
            x = [reuse.images for reuse in own]
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
    axes.set_title(f"{seen.device}: killed at step {seen.killed_at}, resumed")
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


SNIPPET = Snippet(
    text="First the line that shares the donor's memory and forgets its bias, then a copy.",
    code="""\
import torch
from torch import nn

def train(layer):
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(torch.ones(8, 4)).square().sum().backward()
    optimizer.step()

donor = nn.Linear(4, 4)
before = donor.weight.detach().clone()

new = nn.Linear(4, 4)
new.weight = nn.Parameter(donor.state_dict()["weight"])  # wrong: no copy, and no bias
train(new)
print("assigned: the donor moved by", (donor.weight - before).abs().max().item())
print("and its bias came along:", torch.equal(new.bias, donor.bias))

donor.weight.data.copy_(before)
new = nn.Linear(4, 4)
new.load_state_dict(donor.state_dict())  # right
print("copied: the bias came along:", torch.equal(new.bias, donor.bias))
train(new)
print("and the donor moved by", (donor.weight - before).abs().max().item())
""",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("checkpoint", answer, argv)


if __name__ == "__main__":
    main()
