"""An arm beside its anchor: the object that headline, table, CSV and figure are made from.

Since all of them are made from the same arms, they cannot contradict each other. All arms that a
question compares are one family and are judged together, once (:func:`judged`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import pandas as pd

from assay.answer import accuracy, model, say, verdict
from assay.answer.figure import TONES, Row, Tone
from assay.answer.model import Cell, Column, Main, Table
from assay.answer.verdict import DIFFERENT, Comparison, Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval

ANCHOR, CONTROL = "anchor", "twin"  # as paired trials name them
SECONDS = {"ms": 1e3, "µs": 1e6, "s": 1.0, "ns": 1e9}


class Role(StrEnum):
    """What an arm is there for."""

    TARGET = "target"
    ANCHOR = "reference"  # what the others of its group are compared with
    CONTROL = "control"  # does the anchor's very work: no verdict is asked of it


@dataclass(frozen=True)
class Arm:
    """One thing that was measured, beside what it is compared with.

    Attributes:
        device: Where.
        group: What it shares with its anchor: a number format, a network, a size.
        name: What it is called in records and tables for programs.
        label: What a reader calls it.
        value: Its own figure, such as seconds of a call or the share of images.
        seen: Its comparison with the anchor; None of the anchor itself and where none was made.
        word: The verdict on that, once judged.
        role: What it is there for.
        lost: Why there is nothing, in a word or two; empty where there is.
        extras: What else is known of it, by the name it has in tables for programs.
    """

    device: str
    group: str
    name: str
    label: str
    value: Interval | None = None
    seen: Comparison | None = None
    word: Word | None = None
    role: Role = Role.TARGET
    lost: str = ""
    extras: Mapping[str, Any] = field(default_factory=dict)

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
            number = f"{say.bracketed(*_points(self.seen), '+').partition(' ')[0]} points"
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
        """The arm as something that a headline rests on."""
        return Main(self.label, self.word, self.lost)

    def compared(self) -> Interval | None:
        """What a figure draws of it: the ratio or difference; the anchor's own is neutral."""
        if self.seen is not None:
            return self.seen
        return Interval(1.0, 1.0, 1.0) if self.role == Role.ANCHOR else None

    def row(self, **changes: Any) -> Row:
        """The arm as a row of dots of what it compares."""
        options: dict[str, Any] = {"seen": self.compared(), "text": self.told, "tone": self.tone}
        return Row(self.label, **{**options, **changes})


def _points(seen: Interval) -> tuple[float, float, float]:
    return 100 * seen.value, 100 * seen.low, 100 * seen.high


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
    per: float = 1.0,
) -> list[Arm]:
    """The arms of one paired trial, in the order of their labels; not yet judged.

    Args:
        each: The record, whose occasions are pooled.
        trial: The trial.
        labels: What a reader calls each arm, by its name in the record.
        group: What these arms share.
        anchor: The label's name of the arm that records call ``anchor``.
        controls: Arms that do the anchor's very work.
        margin: Within which two are the same.
        per: What times are multiplied by, such as products of a unit over those of a call.
    """
    device = str(each.axes["device"])
    if trial.status != Status.OK:
        lost = model.lost(trial.status)
        return [
            Arm(device, group, name, label, lost=lost, role=_role(name, anchor, controls))
            for name, label in labels.items()
        ]
    result: Any = trial.result
    found = []
    for name, label in labels.items():
        own = ANCHOR if name == anchor else name
        if own in result["arms"]:
            seen = verdict.paired(result, own, margin) if own in result["ratios"] else None
            role = _role(name, anchor, controls)
            time = time_of(result["arms"][own], per)
            found.append(Arm(device, group, name, label, time, seen, role=role))
    return found


def _role(name: str, anchor: str, controls: Iterable[str]) -> Role:
    if name == anchor:
        return Role.ANCHOR
    return Role.CONTROL if name in {CONTROL, *controls} else Role.TARGET


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

    Args:
        device: Where.
        runs: The runs of each arm (:func:`assay.answer.accuracy.runs`), by its name.
        labels: What a reader calls each.
        reference: With which the others are compared, seed by seed.
        group: What these arms share.
        extras: What else is known of an arm, by its name; its test accuracy is added.
        missing: Why an arm has no runs, by its name.
    """
    standings = accuracy.standings(runs, reference)
    lost = [name for name, own in runs.items() if name not in standings]
    return [
        Arm(
            device,
            group,
            name,
            labels[name],
            accuracy.mean(runs[name]) if name in standings else None,
            standings[name].difference if name in standings else None,
            role=Role.ANCHOR if name == reference and name in standings else Role.TARGET,
            lost=_lost(runs[name], (missing or {}).get(name)) if name in lost else "",
            extras={**_level(standings.get(name)), **(extras or {}).get(name, {})},
        )
        for name in [*standings, *lost]
    ]


def _lost(own: pd.DataFrame, missing: str | None) -> str:
    return accuracy.lost(own) or missing or "not measured"


def _level(standing: accuracy.Standing | None) -> dict[str, float | None]:
    if standing is None:
        return {}
    seen = standing.accuracy
    return {
        "test_accuracy": seen.value,
        "test_accuracy_low": accuracy.finite(seen.low),
        "test_accuracy_high": accuracy.finite(seen.high),
    }


def time_of(arm: Mapping[str, Any], per: float = 1.0) -> Interval:
    """The time of a call with its interval, in seconds, times a factor."""
    return Interval(*(per * arm[key] for key in ("time_median_s", "time_low_s", "time_high_s")))


def judged(arms: Sequence[Arm], others: Iterable[Comparison] = ()) -> list[Arm]:
    """The arms with the words on their comparisons, all of the question's being one family.

    Args:
        arms: All of the question; controls are shown but not judged.
        others: Comparisons of the question that belong to no arm.
    """
    asked = [arm.seen for arm in arms if arm.seen and arm.role == Role.TARGET]
    words = verdict.words([*asked, *others])
    return [
        replace(arm, word=words[arm.seen]) if arm.seen and arm.role == Role.TARGET else arm
        for arm in arms
    ]


def with_extras(arm: Arm, extras: Mapping[str, Any]) -> Arm:
    """The same arm with more that is known of it."""
    return replace(arm, extras={**arm.extras, **extras})


def scaled(seen: Interval, factor: float) -> Interval:
    """An interval in another unit."""
    return Interval(factor * seen.value, factor * seen.low, factor * seen.high)


def grouped(arms: Iterable[Arm], key: Callable[[Arm], str]) -> dict[str, list[Arm]]:
    """Arms by something of theirs, in their order."""
    found: dict[str, list[Arm]] = {}
    for arm in arms:
        found.setdefault(key(arm), []).append(arm)
    return found


# ---- telling ------------------------------------------------------------------------------------


def flat(arm: Arm) -> dict[str, Any]:
    """An arm as a row of the tidy table, and as numbers for programs."""
    row: dict[str, Any] = {"device": arm.device, "group": arm.group or None, "arm": arm.name}
    if arm.seen and arm.seen.neutral:
        row |= verdict.row(arm.seen)
    elif arm.seen:
        row |= {
            "difference": arm.seen.value,
            "difference_low": arm.seen.low,
            "difference_high": arm.seen.high,
            **arm.seen.fields,
        }
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
    extra: Mapping[str, Callable[[Arm], str | float | int | Cell | None]] | None = None,
) -> Table:
    """One row per arm: what it is, its value, its comparison and its verdict.

    Args:
        arms: All of them; the device has a column where there are several.
        name: What an arm is: the heading of the first column.
        unit: Of the value.
        scale: What the value is multiplied by.
        value: What the value is.
        told: How it is written, such as a share that stays within 0 and 1; else by its interval.
        against: What the comparison is with.
        group: What the arms of a group share: the heading of its column; none where empty.
        extra: More columns, each with what an arm shows there.
    """
    several = len({arm.device for arm in arms}) > 1
    timed = any(arm.value for arm in arms)
    columns = [Column(name=name)]
    columns += [Column(name="device")] if several else []
    columns += [Column(name=group)] if group else []
    columns += [Column(name=value, unit=unit or None)] if timed else []
    columns += [Column(name=against), Column(name="verdict")]
    columns += [Column(name=key) for key in extra or {}]
    rows = [
        [
            arm.label,
            *([arm.device] if several else []),
            *([arm.group] if group else []),
            *([value_cell(arm.value, scale, told)] if timed else []),
            ratio_cell(arm),
            word_cell(arm),
            *(show(arm) for show in (extra or {}).values()),
        ]
        for arm in arms
    ]
    return Table(columns=columns, rows=rows)


def extra(name: str, show: Callable[[float], str]) -> Callable[[Arm], Cell | None]:
    """A column of :func:`table` of numbers that are known of arms besides.

    Args:
        name: Of the number among an arm's extras.
        show: The number as text.
    """

    def cell(arm: Arm) -> Cell | None:
        seen = arm.extras.get(name)
        return None if seen is None else Cell(text=show(seen), value=seen)

    return cell


def value_cell(
    seen: Interval | None, scale: float = 1.0, told: Callable[[Interval], str] | None = None
) -> Cell | None:
    """A value with its interval, sorted by the value."""
    if seen is None:
        return None
    return Cell(text=told(seen) if told else say.interval(seen, scale=scale), value=seen.value)


def ratio_cell(arm: Arm) -> Cell | None:
    """A comparison with its interval, sorted by its value."""
    if arm.seen is None:
        return None
    text = say.ratio(arm.seen) if arm.seen.neutral else f"{say.points(arm.seen)} points"
    return Cell(text=text, value=arm.seen.value)


def word_cell(arm: Arm) -> str | Cell | None:
    """The verdict, with the margin of sameness; what was lost tells why."""
    if arm.lost:
        return arm.lost
    if arm.seen and arm.word:
        return verdict.told(arm.seen, arm.word)
    return arm.role.value if arm.role != Role.TARGET else None


def alternative(title: str, arms: Sequence[Arm], *, unit: str = "", scale: float = 1.0) -> str:
    """The text for those who cannot see a figure: every arm that is drawn, and no other."""
    devices = [arm.device for arm in arms]
    parts = []
    for arm in arms:
        where = say.on(arm.device, devices) + (f"{arm.group}, " if arm.group else "")
        own = f"{say.value(arm.value, unit, scale)}, " if arm.value and unit else ""
        parts.append(f"{where}{arm.label} {own}{arm.told}")
    return f"{title}. {'; '.join(parts) or 'Nothing was measured'}."
