"""An arm beside its anchor: the object that headline, table, CSV and figure are made from.

Since all of them are made from the same arms, they cannot contradict each other. All arms that a
question compares are one family and are judged together, once (:func:`judged`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeVar

import pandas as pd

from assay.answer import accuracy, inference, model, say, verdict
from assay.answer.figure import TONES, Row, Tone
from assay.answer.model import Cell, Column, Content, Main, Table
from assay.answer.verdict import DIFFERENT, Comparison, Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval

ANCHOR, CONTROL = "anchor", "twin"  # as paired trials name them
JOULES = ("energy_j", "energy_low_j", "energy_high_j")  # and their energies
ENERGY = Column(name="energy", unit="mJ")

Thing = TypeVar("Thing")
Key = TypeVar("Key", bound=Hashable)
AnyArm = TypeVar("AnyArm", bound="Arm")
Show = Callable[["Arm"], Content]  # what an arm shows in a column


class Role(StrEnum):
    """What an arm is there for."""

    TARGET = "target"
    ANCHOR = "reference"  # what the others of its group are compared with
    CONTROL = "control"  # does the anchor's very work: no verdict is asked of it


@dataclass(frozen=True)
class Arm:
    """One thing that was measured, beside what it is compared with."""

    device: str
    group: str  # what it shares with its anchor: a number format, a network, a size
    name: str  # in records and tables for programs
    label: str  # for a reader
    value: Interval | None = None  # its own figure, such as seconds of a call, share of images
    seen: Comparison | None = None  # with the anchor; None of itself, and where none was made
    word: Word | None = None  # the verdict on that, once judged
    role: Role = Role.TARGET
    lost: str = ""  # why there is nothing, in a word or two; empty where there is
    extras: Mapping[str, Any] = field(default_factory=dict)  # what else is known, for programs

    @property
    def relative(self) -> float:
        """Its value relative to its anchor's; 1 where it is compared with none."""
        return self.seen.value if self.seen else 1.0

    @property
    def different(self) -> bool:
        """Whether it was found to differ from its anchor."""
        return self.word in DIFFERENT

    @property
    def told(self) -> str:
        """The comparison in words, for a row of a figure: ``+7.5 % slower``, ``the same``."""
        if self.lost:
            return self.lost
        if self.role != Role.TARGET:
            return self.role.value
        if self.seen is None or self.word is None:
            return say.DASH
        if self.seen.neutral == 0:
            seen = scaled(self.seen, 100)
            number = say.bracketed(seen.value, seen.low, seen.high, "+").partition(" ")[0]
            number += " points"
        else:
            number = say.ratio(self.seen).partition(" [")[0]
            number += " ×" if say.is_factor(self.seen.value) else ""
        return f"{number}, {self.word.value}"

    @property
    def tone(self) -> Tone:
        """The colour of its mark."""
        if self.role == Role.ANCHOR:
            return Tone.REFERENCE
        return TONES[self.word] if self.word else Tone.PLAIN

    @property
    def main(self) -> Main:
        """The arm as something that a headline rests on; compared with nothing it tells nothing."""
        alone = self.role == Role.TARGET and not (self.lost or self.seen)
        return Main(self.label, Word.UNKNOWN if alone else self.word, self.lost)

    def row(self, **changes: Any) -> Row:
        """The arm as a row of dots of what it compares; the anchor's own place is neutral."""
        neutral = Interval(1.0, 1.0, 1.0) if self.role == Role.ANCHOR else None
        options: dict[str, Any] = {"seen": self.seen or neutral, "text": self.told}
        return Row(self.label, **{**options, "tone": self.tone, **changes})


# ---- making -------------------------------------------------------------------------------------


def timed(
    each: Record,
    trial: Trial,
    labels: Mapping[str, str],
    *,
    group: str = "",
    anchor: str = ANCHOR,
    controls: Iterable[str] = (),
    margin: float = verdict.MARGIN,
    per: float | None = None,
) -> list[Arm]:
    """The arms of one paired trial, in the order of their labels; not yet judged.

    Args:
        each: The record, whose occasions are pooled.
        trial: Of that record.
        labels: What a reader calls each arm, by its name in the record.
        group: What these arms share.
        anchor: The label's name of the arm that records call ``anchor``.
        controls: Arms that do the anchor's very work.
        margin: Within which two are the same.
        per: Of how many units of work times are given, such as products; of a call when None.
    """
    result: Any = trial.result
    device = str(each.axes["device"])
    lost = "" if trial.status == Status.OK else model.lost(trial.status)
    found = []
    for name, label in labels.items():
        role = Role.CONTROL if name in {CONTROL, *controls} else Role.TARGET
        role = Role.ANCHOR if name == anchor else role
        made = Arm(device, group, name, label, role=role, lost=lost)
        own = ANCHOR if name == anchor else name
        if not lost and own in result["arms"]:
            seen = verdict.paired(result, own, margin) if own in result["ratios"] else None
            arm = result["arms"][own]
            scale = per / arm["units_per_call"] if per else 1.0
            used = energy_of(arm, scale)
            made = replace(made, value=time_of(arm, scale), seen=seen, extras=used)
        if lost or made.value:
            found.append(made)
    return found


def learned(
    device: str,
    runs: Mapping[str, pd.DataFrame],
    labels: Mapping[str, str],
    reference: str | None,
    *,
    group: str = "",
    extras: Mapping[str, Mapping[str, Any]] | None = None,
    missing: Mapping[str, str] | None = None,
) -> list[Arm]:
    """Arms that were trained, best test accuracy first, then those of which a run was lost.

    Each by its name: its runs (:func:`assay.answer.accuracy.runs`), what a reader calls it, what
    else is known of it, and why it has no runs. They are compared with the reference seed by seed.
    """
    standings = accuracy.standings(runs, reference)

    def made(name: str) -> Arm:
        arm = Arm(device, group, name, labels[name], extras=(extras or {}).get(name, {}))
        if name not in standings:
            lost = accuracy.lost(runs[name]) or (missing or {}).get(name) or "not measured"
            return replace(arm, lost=lost)
        reached = verdict.ends("test_accuracy", inference.mean(runs[name]["test_accuracy"]))
        return replace(
            arm,
            value=accuracy.mean(runs[name]),
            seen=standings[name],
            role=Role.ANCHOR if name == reference else Role.TARGET,
            extras=reached | dict(arm.extras),
        )

    return [made(name) for name in {**standings, **runs}]


def time_of(arm: Mapping[str, Any], per: float = 1.0) -> Interval:
    """The time of a call with its interval, in seconds, times a factor."""
    return Interval(*(per * arm[key] for key in ("time_median_s", "time_low_s", "time_high_s")))


def energy_of(arm: Mapping[str, Any], per: float = 1.0) -> dict[str, float]:
    """The energy of a call with its interval, in joules, times a factor, for an arm's extras.

    Empty where it was not counted. Arms that have some give their table its column.
    """
    return {key: per * arm[key] for key in JOULES if key in arm}


def judged(arms: Sequence[AnyArm], others: Iterable[Comparison] = ()) -> list[AnyArm]:
    """The arms with the words on their comparisons, all of the question's being one family.

    Controls are not judged. Others are comparisons of the question that belong to no arm.
    """
    asked = [arm.seen for arm in arms if arm.seen and arm.role == Role.TARGET]
    words = verdict.words([*asked, *others])
    return [
        replace(arm, word=words[arm.seen]) if arm.seen and arm.role == Role.TARGET else arm
        for arm in arms
    ]


def behind(trial: Sequence[Arm], shared: Iterable[str] = ()) -> list[Arm]:
    """The arms of a trial beside the fastest, where that is not the anchor; not yet judged.

    As if measured apart: what the two ratios share only makes the interval wider. They have those
    of their extras that all of them share.
    """
    best = min(trial, key=lambda arm: arm.relative, default=None)
    if best is None or best.seen is None:
        return []
    extras = {name: best.extras[name] for name in shared} | {"against": best.name}
    found = []
    for arm in trial:
        if arm is not best:
            terms = [(-1.0, best.seen), *([(1.0, arm.seen)] if arm.seen else [])]
            seen = verdict.contrast(terms, noise=best.seen.noise)
            found.append(replace(arm, value=None, seen=seen, role=Role.TARGET, extras=extras))
    return found


def with_extras(arm: Arm, extras: Mapping[str, Any]) -> Arm:
    """The same arm with more that is known of it."""
    return replace(arm, extras={**arm.extras, **extras})


def scaled(seen: Interval, factor: float) -> Interval:
    """An interval in another unit."""
    return Interval(factor * seen.value, factor * seen.low, factor * seen.high)


def grouped(things: Iterable[Thing], key: Callable[[Thing], Key]) -> dict[Key, list[Thing]]:
    """Arms, or records, by something of theirs, in their order."""
    found: dict[Key, list[Thing]] = {}
    for thing in things:
        found.setdefault(key(thing), []).append(thing)
    return found


def nested(found: Iterable[Arm]) -> dict[str, dict[str, dict[str, Arm]]]:
    """Arms by device, by group, then by name, in their order."""
    made: dict[str, dict[str, dict[str, Arm]]] = {}
    for arm in found:
        made.setdefault(arm.device, {}).setdefault(arm.group, {})[arm.name] = arm
    return made


# ---- telling ------------------------------------------------------------------------------------


def flat(arm: Arm) -> dict[str, Any]:
    """An arm as a row of the tidy table, and as numbers for programs."""
    row: dict[str, Any] = {"device": arm.device, "group": arm.group or None, "arm": arm.name}
    if arm.seen:
        row |= verdict.row(arm.seen)
    word = arm.word.value if arm.word else arm.role.value if arm.role != Role.TARGET else None
    return row | {"verdict": word, "lost": arm.lost or None, **arm.extras}


def table(
    arms: Sequence[Arm],
    name: str,
    *,
    unit: str = "",
    scale: float = 1.0,
    value: str = "time",
    told: Callable[[Interval], str] | None = None,
    against: str = "against the reference",
    group: str = "",
    extra: Mapping[str, Show] | None = None,
) -> Table:
    """One row per arm: what it is, its value, its energy, its comparison and its verdict.

    The device has a column where there are several, what a group shares where that is named. A
    value is written by its interval, scaled to its unit, if not told otherwise.
    """
    write = told or (lambda seen: say.interval(seen, scale=scale))
    shown: list[tuple[Column, Show]] = [(Column(name=name), lambda arm: arm.label)]
    if len({arm.device for arm in arms}) > 1:
        shown.append((Column(name="device"), lambda arm: arm.device))
    if group:
        shown.append((Column(name=group), lambda arm: arm.group))
    if any(arm.value for arm in arms):
        own = Column(name=value, unit=unit or None)
        shown.append((own, lambda arm: _cell(arm.value, write)))
    if any(map(energy, arms)):
        shown.append((ENERGY, energy))
    shown += [(Column(name=against), _ratio), (Column(name="verdict"), word_cell)]
    shown += [(Column(name=key), show) for key, show in (extra or {}).items()]
    rows = [[show(arm) for _, show in shown] for arm in arms]
    return Table(columns=[column for column, _ in shown], rows=rows)


def each_word(found: Iterable[Arm], name: Callable[[Arm], str]) -> str:
    """A word on each of several arms: ``float64 and float16: the same, float32: disturbed``."""
    same = grouped(found, lambda arm: arm.lost or str(arm.word))
    return ", ".join(f"{say.listed(map(name, own))}: {word}" for word, own in same.items())


def extra(name: str, write: Callable[[Any], str]) -> Show:
    """A column of :func:`table`: a number among an arm's extras, and how it is written."""

    def show(arm: Arm) -> Cell | None:
        seen = arm.extras.get(name)
        return None if seen is None else Cell(text=write(seen), value=seen)

    return show


def _cell(seen: Interval | None, write: Callable[[Any], str]) -> Cell | None:
    return Cell(text=write(seen), value=seen.value) if seen else None


def _ratio(arm: Arm) -> Cell | None:
    ratio = arm.seen is None or arm.seen.neutral
    return _cell(arm.seen, say.ratio if ratio else lambda seen: f"{say.points(seen)} points")


def word_cell(arm: Arm) -> str | Cell | None:
    """The verdict, with the margin of sameness; what was lost tells why."""
    if arm.lost:
        return arm.lost
    if arm.seen and arm.word:
        return verdict.told(arm.seen, arm.word)
    return arm.role.value if arm.role != Role.TARGET else None


def energy(arm: Arm | None) -> Cell | None:
    """The energy of a call in mJ, with its interval; None where it was not counted."""
    if arm is None or JOULES[0] not in arm.extras:
        return None
    seen = Interval(*(arm.extras[key] for key in JOULES))
    return _cell(seen, lambda seen: say.interval(seen, scale=1e3))


def beside(timed: Iterable[Arm], title: str = "{}") -> dict[str, Show]:
    """Columns of times, and of their energies, in a table of arms that compare something else.

    Each group of these times, of the same devices and names, has one, with a title of its own.
    """
    known = {(arm.device, arm.group, arm.name): arm for arm in timed}
    groups = dict.fromkeys(group for _, group, _ in known)
    counted = [group for (_, group, _), arm in known.items() if energy(arm)]

    def show(group: str, of: Callable[[Arm | None], Content]) -> Show:
        return lambda arm: of(known.get((arm.device, group, arm.name)))

    return {
        **{title.format(group): show(group, _beside) for group in groups},
        **{f"{ENERGY.name}, {group}, {ENERGY.unit}": show(group, energy) for group in counted},
    }


def _beside(arm: Arm | None) -> Content:
    """A ratio with its verdict."""
    if arm is None:
        return None
    if arm.seen is None:
        return arm.lost or arm.role.value
    return Cell(text=f"{say.ratio(arm.seen)}, {word_cell(arm)}", value=arm.seen.value)


def worded(found: Mapping[str, Arm]) -> dict[str, dict[str, Any]]:
    """The comparisons of arms with their words, or what else an arm is, for programs."""
    return {
        name: verdict.row(arm.seen) | {"word": (arm.word or arm.role).value}
        for name, arm in found.items()
        if arm.seen
    }


def bears_out(found: Sequence[Arm], words: Container[Word | None]) -> Cell:
    """Whether a claim holds: every arm that it speaks of has one of the words that bear it out.

    A run that diverges is a worse one.
    """
    seen = [Word.WORSE if arm.lost.startswith("diverged") else arm.word for arm in found]
    if any(word in DIFFERENT or word == Word.SAME for word in seen if word not in words):
        return model.outcome("✗ no")
    if found and all(word in words for word in seen):
        return model.outcome("✓ yes")
    lost = next((arm.lost for arm in found if arm.lost), "" if found else "not measured")
    return model.outcome(lost or "! cannot tell")
