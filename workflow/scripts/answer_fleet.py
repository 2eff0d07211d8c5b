"""Which of several like machines is ill? All times of each, beside those of its kind.

A node is a device of a run: the CPU of a cluster's node, or one of its GPUs. Asked by
``make compare``; how nodes are judged is told in :mod:`assay.answer.fleet`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import arms, figure, fleet, occasion, other_runs, question, say, verdict
from assay.answer.figure import Axis, Band, Row, Tone
from assay.answer.fleet import Standing
from assay.answer.model import Cell, Column, Content, Main, Table
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Comparison, Word
from assay.probe import items
from assay.probe.items import Item
from assay.record import Record, Status, Trial
from assay.statistic import Interval

EVERYTHING = "everything"
PARTS = {  # where a node can be ill alone, by the studies that show it
    "memory": ("hardware", "bandwidth"),
    "products": ("alignment", "contrast", "crossover", "norm_log", "two_devices"),
    "training": ("implementation", "steps", "precision_steps"),
}
Key = tuple[str, str]  # a device, or a kind, and a part
MOST = 24  # rows of a figure; of more nodes those that are in line share one
TITLE = "Time against the middle of its kind"
TONES = {Standing.IN_LINE: Tone.PLAIN, Standing.SLOW: Tone.BAD, Standing.FAST: Tone.GOOD,
         Standing.UNKNOWN: Tone.UNKNOWN}  # fmt: skip
SIGNS = {Standing.IN_LINE: "=", Standing.SLOW: "▼", Standing.FAST: "▲", Standing.UNKNOWN: "?"}


@dataclass(frozen=True)
class Node:
    """A device of a run beside its like."""

    name: str
    kind: str
    parts: Mapping[str, Comparison]  # everything first; empty where nothing could be compared
    words: Mapping[str, Standing]  # on each part
    worst: Mapping[str, str]  # the time that differs most in each part

    @property
    def word(self) -> Standing:
        """What it comes to."""
        return fleet.together([*self.words.values()]) if self.words else Standing.UNKNOWN

    @property
    def part(self) -> str:
        """Where an ill node differs most clearly; else everything."""
        ill = [name for name, word in self.words.items() if word == self.word in fleet.ILL]
        return min(ill, key=lambda name: self.parts[name].p, default=EVERYTHING)

    @property
    def seen(self) -> Comparison | None:
        """The comparison that its word rests on."""
        return self.parts.get(self.part)

    @property
    def distance(self) -> float:
        """How far it is from its like, as a logarithm."""
        return abs(math.log(self.seen.value)) if self.seen else 0.0


@dataclass(frozen=True)
class Fleet:
    """Machines of one kind, and the smallest slowdown that would have been found in each part."""

    kind: str
    nodes: Sequence[Node]
    bounds: Mapping[str, float]


# ---- from records to nodes -----------------------------------------------------------------------


def times(records: Sequence[Record]) -> pd.DataFrame:
    """One row per time of each device: in which study and job, of what, its logarithm and error."""
    rows = [row for each in records for trial in each.trials for row in _times(each, trial)]
    columns = ["device", "study", "job", "what", "figure", "log", "error"]
    found = pd.DataFrame(rows, columns=columns)
    return found.loc[found["error"] < math.inf]


def _times(each: Record, trial: Trial) -> Iterator[tuple[Any, ...]]:
    if trial.status != Status.OK:
        return
    axes = {name: value for name, value in each.axes.items() if name != "device"}
    job = repr(sorted(axes.items()))
    # What was set otherwise is other work; the protocol decides only how often it is timed.
    settings = repr(sorted((k, v) for k, v in each.settings.items() if k != "protocol"))
    for path, held in occasion.times(trial):
        seen = arms.time_of(held)
        what = _what(each.study, {**axes, **trial.what}, path, held)
        error = verdict.log_error(seen)
        yield (
            each.axes["device"], each.study, job, what, f"{what} {settings}", math.log(seen.value),
            error,
        )  # fmt: skip


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


def off_the_middle(seen: pd.DataFrame) -> pd.DataFrame:
    """Times with how far they are off the median of the nodes, where enough nodes have them."""
    seen = seen.loc[seen.groupby("figure")["device"].transform("nunique") >= fleet.LEAST]
    return seen.assign(off=seen["log"] - seen.groupby("figure")["log"].transform("median"))


def effects(seen: pd.DataFrame) -> dict[str, tuple[list[str], fleet.Effects]]:
    """The nodes that have a part, and the effects on them, in everything and in each part."""
    found = {}
    for part, studies in PARTS.items():
        inside = seen[seen["study"].isin(studies)]
        of_jobs = inside.groupby(["device", "study", "job"])[["off", "error"]].median()
        jobs: Any = of_jobs.unstack([1, 2])
        if len(jobs) >= fleet.LEAST:
            both = fleet.over_jobs(jobs["off"].to_numpy(), jobs["error"].to_numpy())
            found[part] = pd.DataFrame(dict(zip("vw", both, strict=True)), index=jobs.index)
    if not found:
        return {}
    wide = pd.concat(found, axis="columns").swaplevel(axis="columns")
    both = fleet.over_parts(wide["v"].to_numpy(), wide["w"].to_numpy())
    whole = pd.DataFrame(dict(zip("vw", both, strict=True)), index=wide.index)
    return {
        part: ([*each.index], fleet.effects(each["v"].to_numpy(), each["w"].to_numpy()))
        for part, each in {EVERYTHING: whole, **found}.items()
    }


def kinds(records: Sequence[Record]) -> dict[str, str]:
    """The model of each device, as a record of it tells.

    Where none does it is that of all others of its label, or else that label.
    """
    models: dict[str, str] = {}
    for each in records:
        device = str(each.axes["device"])
        models[device] = _model(each) or models.get(device, "")
    labels = {device: device.partition(" (")[0] for device in models}
    alike: dict[str, set[str]] = {}
    for device, model in models.items():
        alike.setdefault(labels[device], set()).update({model} - {""})
    only = {label: next(iter(own)) for label, own in alike.items() if len(own) == 1}
    return {
        device: model or only.get(labels[device], labels[device])
        for device, model in models.items()
    }


def _model(each: Record) -> str:
    cpu = items.values(each, Item.CPU)
    if brand := cpu.get("brand"):
        return f"{brand}, {items.plural(cpu.get('usable_cores'), 'core')}"
    return str((each.conditions.gpu or {}).get("name") or "")


def fleets(records: Sequence[Record]) -> list[Fleet]:
    """The nodes of each kind, all of them and their parts judged as one family."""
    seen, names = times(records), _names(records)
    by_kind: dict[str, list[str]] = {}
    for device, kind in kinds(records).items():
        by_kind.setdefault(kind, []).append(device)
    frames = {
        kind: off_the_middle(seen.loc[seen["device"].isin(devices)])
        for kind, devices in by_kind.items()
    }
    asked, words, found = judged(frames)
    return [
        Fleet(
            kind,
            [_node(device, names[device], kind, asked, words, frames[kind]) for device in devices],
            {
                part: effect.detectable(len(asked))
                for (own, part), effect in found.items()
                if own == kind
            },
        )
        for kind, devices in by_kind.items()
    ]


def judged(
    frames: Mapping[str, pd.DataFrame],
) -> tuple[dict[Key, Comparison], dict[Key, Standing], dict[Key, fleet.Effects]]:
    """The comparison and the word of each device and part, and the effects by kind and part.

    Nodes that are found ill are taken out, and the rest compared among themselves, until no more
    are: an ill one moves the middle, and makes the others seem to vary.
    """
    asked: dict[Key, Comparison] = {}
    found: dict[Key, fleet.Effects] = {}
    ill: set[str] = set()
    while True:
        for kind, frame in frames.items():
            left = off_the_middle(frame.loc[~frame["device"].isin(ill)])
            for part, (devices, effect) in effects(left).items():
                found[kind, part] = effect
                seen = effect.comparisons()
                asked |= {(d, part): each for d, each in zip(devices, seen, strict=True)}
        words = dict(zip(asked, fleet.standings([*asked.values()]), strict=True))
        now = {device for (device, _), word in words.items() if word in fleet.ILL}
        if now <= ill:
            return asked, words, found
        ill |= now


def _node(
    device: str,
    name: str,
    kind: str,
    asked: Mapping[Key, Comparison],
    words: Mapping[Key, Standing],
    frame: pd.DataFrame,
) -> Node:
    parts = [part for part in (EVERYTHING, *PARTS) if (device, part) in asked]
    ill = [part for part in parts if words[device, part] in fleet.ILL]
    own = frame[frame["device"] == device]
    return Node(
        name,
        kind,
        {part: asked[device, part] for part in parts},
        {part: words[device, part] for part in parts},
        {part: _worst(own, part, asked[device, part].value > 1) for part in ill},
    )


def _worst(own: pd.DataFrame, part: str, slow: bool) -> str:
    """The time of a part that differs most clearly, that way: ``bandwidth, read: 1.4 ×``."""
    inside = own if part == EVERYTHING else own[own["study"].isin(PARTS[part])]
    clear = (inside["off"] if slow else -inside["off"]) / inside["error"].clip(lower=fleet.HEALTHY)
    place = int(clear.to_numpy().argmax())
    what, off = inside["what"].iloc[place], float(inside["off"].iloc[place])
    return f"{what}: {say.change(math.exp(off))}"


def _names(records: Sequence[Record]) -> dict[str, str]:
    """What each device is called: its run where that has no other, else its label."""
    runs = {str(each.axes["device"]): other_runs.of(each) for each in records}
    taken = [*runs.values()]
    return {
        device: run if run and taken.count(run) == 1 else device for device, run in runs.items()
    }


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of all runs."""
    found = fleets(records)
    judged = [each for each in found if each.bounds]
    nodes = [node for each in judged or found for node in each.nodes]
    return Findings(
        short=_short(nodes, judged),
        cells=[Main(n.name, Word.UNKNOWN if n.word == Standing.UNKNOWN else None) for n in nodes],
        sentence=_sentence(nodes, judged),
        so=_so(nodes),
        numbers={
            "nodes": [_numbers(node) for each in found for node in each.nodes],
            "found_from": {
                each.kind: {
                    part: bound if bound < say.FACTOR else None
                    for part, bound in each.bounds.items()
                }
                for each in judged
            },
        },
        why=[_why(each) for each in judged],
        method=METHOD,
        caveats=[*CAVEATS, *_one_machine(records), *_software(records)],
        views=[_view(each) for each in judged] or question.nothing(TITLE, _too_few(found)),
        switch="Kind",
        table=_table(found),
        frame=pd.DataFrame([row for e in found for node in e.nodes for row in _flat(node)]),
    )


METHOD = [
    "Compared is the same work on machines of one model (of one label, where no model is known): "
    "each time with the median of its kind. A job counts as the median of its times, a node as "
    "the robust mean of its jobs, which weigh by how well each is known; in everything, by part.",
    "A node differs if p < 0.05, corrected over all nodes and parts. A healthy one may differ by "
    f"what rounds, occasions and {100 * fleet.HEALTHY:g} % explain; how far the others spread is "
    "joined with that.",
    f"In line: the whole interval within {100 * fleet.TOLERANCE:g} %. It takes "
    f"{say.worded(fleet.LEAST)} of a kind: of two that differ nobody can say which is ill.",
]
CAVEATS = ["Ill is what differs from most: where most nodes are ill alike, nobody sees it."]


def _ill(nodes: Sequence[Node], *words: Standing) -> list[Node]:
    """The nodes of these words, those that differ most first."""
    return sorted((n for n in nodes if n.word in words), key=lambda n: n.distance, reverse=True)


def _too_few(found: Sequence[Fleet]) -> str:
    most = max((len(each.nodes) for each in found), default=0)
    if most >= fleet.LEAST:
        return f"No {say.worded(fleet.LEAST)} machines of a kind measured the same"
    return f"It takes {say.worded(fleet.LEAST)} machines of a kind, and here are {say.worded(most)}"


def _sentence(nodes: Sequence[Node], judged: Sequence[Fleet]) -> str:
    slow, fast = _ill(nodes, Standing.SLOW), _ill(nodes, Standing.FAST)
    unknown = _ill(nodes, Standing.UNKNOWN)
    if not judged:
        why = _too_few([Fleet("", nodes, {})])
        return f"Cannot tell which node is ill: {why[:1].lower()}{why[1:]}."
    if slow or fast:
        first, *others = slow or fast
        assert first.seen
        parts = [
            f"{first.name} is {first.word.value}: in {first.part} it takes "
            f"{say.longer(first.seen)} than the middle of its kind."
        ]
        also = {"Also slow": others if slow else [], "Fast": fast if slow else others}
        parts += [f"{what}: {_few(them)}." for what, them in also.items() if them]
        return " ".join(parts)
    if len(unknown) == len(nodes):
        return f"Cannot tell which node is ill: only {_found(judged)} would have been found."
    left = f", and of {len(unknown)} nobody can tell" if unknown else ""
    return f"No ill node is found among {len(nodes)}{left}: {_found(judged)} would have been."


def _few(nodes: Sequence[Node]) -> str:
    return say.few([node.name for node in nodes], 2)


def _found(judged: Sequence[Fleet]) -> str:
    """The smallest slowdown that would have been found in every kind."""
    bound = max(each.bounds[EVERYTHING] for each in judged)
    return f"one slower by {_per_cent(bound)}" if bound < say.FACTOR else "one twice as slow"


def _per_cent(bound: float) -> str:
    return say.change(bound).removeprefix("+") if bound < say.FACTOR else "more than 100 %"


def _short(nodes: Sequence[Node], judged: Sequence[Fleet]) -> str:
    slow, fast = _ill(nodes, Standing.SLOW), _ill(nodes, Standing.FAST)
    if not judged:
        return "Cannot tell: too few machines of a kind"
    if slow or fast:
        parts = {"slow": slow, "fast": fast}
        return "; ".join(f"{_few(them)} {word}" for word, them in parts.items() if them)
    if all(node.word == Standing.UNKNOWN for node in nodes):
        return f"Cannot tell: only {_found(judged)} would be found"
    return f"No ill node among {len(nodes)}: {_found(judged)} would show"


def _so(nodes: Sequence[Node]) -> str:
    if slow := _ill(nodes, Standing.SLOW):
        it = "it" if len(slow) == 1 else "them"
        return f"Take {_few(slow)} out of use, look for what slows {it}, and measure {it} again."
    return ""


def _why(each: Fleet) -> str:
    """The smallest slowdown that would have been found, by part."""
    bounds = [f"by {_per_cent(bound)} in {part}" for part, bound in each.bounds.items()]
    return (
        f"{each.kind}, {say.plural(len(each.nodes), 'node')}: one that is slower would have been "
        f"found in {100 * fleet.POWER:g} of 100 cases, if {say.listed(bounds, 'or')}."
    )


def _one_machine(records: Sequence[Record]) -> list[str]:
    """That several runs are of one machine, so that no node is between them."""
    runs: dict[str, set[str]] = {}
    for each in records:
        runs.setdefault(each.provenance.machine_id, set()).add(other_runs.of(each) or "this run")
    return [
        f"{say.few(sorted(own))} are runs of one machine: they differ by when they were made."
        for own in runs.values()
        if len(own) > 1
    ]


def _software(records: Sequence[Record]) -> list[str]:
    versions = sorted({each.provenance.versions.get("torch", "unknown") for each in records})
    return [f"Their torch differs: {say.listed(versions)}."] if len(versions) > 1 else []


def _numbers(node: Node) -> dict[str, Any]:
    return {"node": node.name, "kind": node.kind, "verdict": node.word.value, "part": node.part}


def _flat(node: Node) -> Iterator[dict[str, Any]]:
    """A node as rows of the tidy table, one per part."""
    own = {"node": node.name, "kind": node.kind}
    for part, seen in node.parts.items():
        word, worst = node.words[part].value, node.worst.get(part)
        yield {**own, "part": part, **verdict.row(seen), "verdict": word, "most": worst}
    if not node.parts:
        yield {**own, "verdict": node.word.value}


def _table(found: Sequence[Fleet]) -> Table:
    """One row per node, those that differ most first."""
    several = len(found) > 1
    parts = [p for p in (EVERYTHING, *PARTS) if any(p in each.bounds for each in found)]
    names = ["node", *(["kind"] if several else []), "verdict", *parts, "differs most in"]
    rows: list[list[Content]] = [
        [
            node.name,
            *([each.kind] if several else []),
            Cell(text=node.word.value, sign=SIGNS[node.word]),
            *(_cell(node.parts.get(part)) for part in parts),
            node.worst.get(node.part),
        ]
        for each in found
        for node in sorted(each.nodes, key=lambda n: n.distance, reverse=True)
    ]
    return Table(columns=[Column(name=name) for name in names], rows=rows)


def _cell(seen: Comparison | None) -> Cell | None:
    if seen is None:
        return None
    known = seen.low > 1 / say.FACTOR and seen.high < say.FACTOR
    return Cell(text=say.ratio(seen) if known else say.change(seen.value), value=seen.value)


# ---- the figure ----------------------------------------------------------------------------------


def _view(each: Fleet) -> Shown:
    bound, rows = each.bounds[EVERYTHING], [*_rows(each.nodes)]
    grey = Band(100 / bound - 100, 100 * bound - 100, "grey: differences too small to be found")
    least, most = (100 * (end - 1) for end in (1 / say.FACTOR, say.FACTOR))
    values = [row.seen.value for row in rows if row.seen]
    axis = Axis(
        "time against the middle of its kind (bar: 95 %)",
        lambda x: f"{say.short(x)} %",
        within=(min([least, *values]), max([most, *values])),
    )
    drawn = figure.rows(
        {"": rows},
        axis,
        band=grey if bound < say.FACTOR else None,
        line=0.0,
    )
    return Shown(TITLE, f"{TITLE}. {_table([each]).spoken}.", drawn, name=each.kind)


def _rows(nodes: Sequence[Node]) -> Iterator[Row]:
    """A row per node; of very many, those that are in line (or that nobody can tell) share one."""
    shown = sorted(filter(lambda node: node.seen, nodes), key=_ratio, reverse=True)
    alone = shown if len(shown) <= MOST else _ill(shown, *fleet.ILL)[:MOST]
    yield from map(_row, sorted(alone, key=_ratio, reverse=True))
    for word in Standing:
        rest = [node for node in shown if node not in alone and node.word == word]
        if rest:
            dots = [100 * (_ratio(node) - 1) for node in rest]
            name = say.plural(len(rest), "other node" if alone else "node")
            yield Row(name, None, word.value, tone=TONES[word], dots=dots)


def _ratio(node: Node) -> float:
    return node.seen.value if node.seen else 1.0


def _row(node: Node) -> Row:
    assert node.seen
    ends = (100 * (each - 1) for each in (node.seen.value, node.seen.low, node.seen.high))
    text = f"{say.change(node.seen.value)}, {node.word.value}"
    note = node.part if node.part != EVERYTHING else ""
    return Row(node.name, Interval(*ends), text, note=note, tone=TONES[node.word])


main = partial(question.run, "fleet", answer)

if __name__ == "__main__":
    main()
