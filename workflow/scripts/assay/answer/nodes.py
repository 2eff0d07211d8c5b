"""From the records of several runs to nodes, each beside the middle of its fleet.

A node is a device of a run: the CPU of a cluster's node, or one of its GPUs. Its fleet are the
devices of one model; how they are judged is told in :mod:`assay.answer.fleet`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from assay.answer import arms, fleet, occasion, other_runs, say, verdict
from assay.answer.fleet import Standing
from assay.answer.verdict import Comparison
from assay.probe import items
from assay.probe.items import Item
from assay.record import Record, Status, Trial

EVERYTHING = "everything"
PARTS = {  # where a node can be ill alone, by the studies that show it
    "memory": ("hardware", "bandwidth"),
    "products": ("alignment", "contrast", "crossover", "norm_log", "two_devices"),
    "training": ("implementation", "steps", "precision_steps"),
}
PART_OF = {study: part for part, studies in PARTS.items() for study in studies}
ALL = (EVERYTHING, *PARTS)
Key = tuple[str, str]  # a device, or a kind, and a part


class Seen(NamedTuple):
    """A node beside its like in a part of the work."""

    ratio: Comparison
    word: Standing
    most: str | None  # the time that differs most, where it is ill


@dataclass(frozen=True)
class Node:
    """A device of a run beside its like."""

    name: str
    kind: str
    parts: Mapping[str, Seen]  # everything first; empty where nothing could be compared

    @property
    def word(self) -> Standing:
        """What it comes to."""
        return fleet.together([each.word for each in self.parts.values()])

    @property
    def part(self) -> str:
        """Where an ill node differs most clearly; else everything."""
        ill = [name for name, each in self.parts.items() if each.word == self.word in fleet.ILL]
        return min(ill, key=lambda name: self.parts[name].ratio.p, default=EVERYTHING)

    @property
    def seen(self) -> Seen | None:
        """What its word rests on."""
        return self.parts.get(self.part)

    @property
    def value(self) -> float:
        """Its time over that of its like; 1 where nothing could be compared."""
        return self.seen.ratio.value if self.seen else 1.0

    @property
    def distance(self) -> float:
        """How far it is from its like, as a logarithm."""
        return abs(math.log(self.value))


@dataclass(frozen=True)
class Fleet:
    """Machines of one kind, and the smallest slowdown that would have been found in each part."""

    kind: str
    nodes: Sequence[Node]
    bounds: Mapping[str, float]  # everything first; empty where nothing could be compared


def fleets(records: Sequence[Record]) -> list[Fleet]:
    """The nodes of each kind, all of them and their parts judged as one family."""
    models = kinds(records)
    names = other_runs.called(models)
    seen = times(records, models)
    asked, words, bounds = judged(seen)
    seen = _off_the_middle(seen)

    def node(device: str) -> Node:
        own = seen.loc[seen["device"] == device]
        found = {}
        for part in ALL:
            if ratio := asked.get((device, part)):
                word = words[device, part]
                inside = own if part == EVERYTHING else own.loc[own["part"] == part]
                most = _most(inside, ratio.value > 1) if word in fleet.ILL else None
                found[part] = Seen(ratio, word, most)
        return Node(names[device], models[device], found)

    return [
        Fleet(kind, nodes, {part: bounds[kind, part] for part in ALL if (kind, part) in bounds})
        for kind, nodes in arms.grouped(map(node, models), lambda each: each.kind).items()
    ]


# ---- who they are --------------------------------------------------------------------------------


def kinds(records: Sequence[Record]) -> dict[str, str]:
    """The model of each device, as a record of it tells.

    Where none does it is that of all others of its label, or else that label.
    """
    models: dict[str, str] = {}
    for each in records:
        device = str(each.axes["device"])
        models[device] = _model(each) or models.get(device, "")

    def of_label(label: str) -> str:
        found = {m for device, m in models.items() if m and device.partition(" (")[0] == label}
        return found.pop() if len(found) == 1 else label

    return {d: known or of_label(d.partition(" (")[0]) for d, known in models.items()}


def _model(each: Record) -> str:
    cpu = items.values(each, Item.CPU)
    if brand := cpu.get("brand"):
        return f"{brand}, {items.plural(cpu.get('usable_cores'), 'core')}"
    return str((each.conditions.gpu or {}).get("name") or "")


# ---- what they took ------------------------------------------------------------------------------


def times(records: Sequence[Record], models: Mapping[str, str]) -> pd.DataFrame:
    """One row per time: whose, in which part and job, of what, its logarithm and error.

    What is to be compared shares its ``figure``: the same work on machines of one kind.
    """
    rows = [row for e in records for trial in e.trials for row in _times(e, trial, models)]
    columns = ["device", "kind", "part", "job", "what", "figure", "log", "error"]
    found = pd.DataFrame(rows, columns=columns)
    return found.loc[found["error"] < math.inf]


def _times(each: Record, trial: Trial, models: Mapping[str, str]) -> Iterator[tuple[Any, ...]]:
    if trial.status != Status.OK:
        return
    device, part = str(each.axes["device"]), PART_OF.get(each.study)
    axes = {name: value for name, value in each.axes.items() if name != "device"}
    job = f"{each.study} {sorted(axes.items())}"
    # What was set otherwise is other work; the protocol decides only how often it is timed.
    settings = sorted((k, v) for k, v in each.settings.items() if k != "protocol")
    for path, held in occasion.times(trial):
        seen = arms.time_of(held)
        what = _what(each.study, {**axes, **trial.what}, path, held)
        shared = f"{models[device]} {what} {settings}"
        error = verdict.log_error(seen)
        yield device, models[device], part, job, what, shared, math.log(seen.value), error


def _what(study: str, axes: Mapping[str, Any], path: Sequence[Any], held: Mapping[str, Any]) -> str:
    """What a time is of, in words: ``alignment, n 1025, float32, target``."""
    words = [study]
    for name, value in axes.items():
        if name != "anchor" and value is not None:
            words.append(value if isinstance(value, str) else f"{name} {value}")
    if "working_set_bytes" in held:
        words.append(items.size(held["working_set_bytes"]))
    elif path:
        words.append(str(axes.get("anchor", path[-1]) if path[-1] == "anchor" else path[-1]))
    return ", ".join(words)


def _off_the_middle(seen: pd.DataFrame) -> pd.DataFrame:
    """Times with how far they are off the median of the nodes, where enough nodes have them."""
    seen = seen.loc[seen.groupby("figure")["device"].transform("nunique") >= fleet.LEAST]
    return seen.assign(off=seen["log"] - seen.groupby("figure")["log"].transform("median"))


def _most(own: pd.DataFrame, slow: bool) -> str:
    """The time that differs most clearly, that way: ``bandwidth, read, 32 MiB: +40 %``."""
    clear = (own["off"] if slow else -own["off"]) / own["error"].clip(lower=fleet.HEALTHY)
    most = own.iloc[int(clear.to_numpy().argmax())]
    return f"{most['what']}: {say.change(math.exp(most['off']))}"


# ---- what that comes to --------------------------------------------------------------------------


def judged(
    seen: pd.DataFrame,
) -> tuple[dict[Key, Comparison], dict[Key, Standing], dict[Key, float]]:
    """Comparisons and words by device and part, and by kind and part what would have been found.

    Nodes that are found ill are taken out, and the rest compared among themselves, until no more
    are: an ill one moves the middle, and makes the others seem to vary.
    """
    asked: dict[Key, Comparison] = {}
    found: dict[Key, fleet.Effects] = {}
    ill: set[str] = set()
    while True:
        left = _off_the_middle(seen.loc[~seen["device"].isin(ill)])
        for kind, own in left.groupby("kind"):
            for part, (devices, effect) in _effects(own).items():
                found[str(kind), part] = effect
                both = zip(devices, effect.comparisons(), strict=True)
                asked |= {(device, part): each for device, each in both}
        words = dict(zip(asked, fleet.standings([*asked.values()]), strict=True))
        now = {device for (device, _), word in words.items() if word in fleet.ILL}
        if now <= ill:
            return asked, words, {key: each.detectable(len(asked)) for key, each in found.items()}
        ill |= now


def _effects(seen: pd.DataFrame) -> dict[str, tuple[list[str], fleet.Effects]]:
    """The nodes of a kind that have a part, and the effects on them; the same for everything."""
    found = {}
    for part, inside in seen.groupby("part"):
        jobs: Any = inside.groupby(["device", "job"])[["off", "error"]].median().unstack()
        if len(jobs) >= fleet.LEAST:
            both = fleet.over_jobs(jobs["off"].to_numpy(), jobs["error"].to_numpy())
            found[str(part)] = pd.DataFrame(dict(zip("vw", both, strict=True)), index=jobs.index)
    if not found:
        return {}
    wide = pd.concat(found, axis="columns").swaplevel(axis="columns")
    both = fleet.over_parts(wide["v"].to_numpy(), wide["w"].to_numpy())
    whole = pd.DataFrame(dict(zip("vw", both, strict=True)), index=wide.index)
    return {
        part: ([*each.index], fleet.effects(each["v"].to_numpy(), each["w"].to_numpy()))
        for part, each in {EVERYTHING: whole, **found}.items()
    }
