"""Which of several like machines is ill? All times of each, beside those of its kind.

A node is a device of a run: the CPU of a cluster's node, or one of its GPUs. Asked by
``make compare``; how nodes are judged is told in :mod:`assay.answer.fleet`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import arms, figure, fleet, model, other_runs, question, say, verdict
from assay.answer.figure import Axis, Band, Row, Tone
from assay.answer.fleet import Standing
from assay.answer.model import Cell, Content, Main, Table
from assay.answer.nodes import ALL, EVERYTHING, Fleet, Node, Seen, fleets
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Word
from assay.record import Record
from assay.statistic import Interval

MOST = 24  # rows of a figure; of more nodes those that are in line share one
TITLE = "Time against the middle of its kind"
TONES = {Standing.IN_LINE: Tone.PLAIN, Standing.SLOW: Tone.BAD, Standing.FAST: Tone.GOOD,
         Standing.UNKNOWN: Tone.UNKNOWN}  # fmt: skip
SIGNS = {Standing.IN_LINE: "=", Standing.SLOW: "▼", Standing.FAST: "▲", Standing.UNKNOWN: "?"}


# ---- the answer ----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of all runs."""
    found = fleets(records)
    judged = [each for each in found if each.bounds]
    nodes = [node for each in judged or found for node in each.nodes]
    short, sentence = _told(nodes, judged) if judged else _untold(found)
    return Findings(
        short=short,
        cells=[Main(n.name, Word.UNKNOWN if n.word == Standing.UNKNOWN else None) for n in nodes],
        sentence=sentence,
        so=_so(nodes),
        numbers={
            "nodes": [_numbers(node) for each in found for node in each.nodes],
            "found_from": {each.kind: _bounds(each) for each in judged},
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


def _told(nodes: Sequence[Node], judged: Sequence[Fleet]) -> tuple[str, str]:
    """The answer in a few words, and in a sentence."""
    slow, fast = _of(nodes, Standing.SLOW), _of(nodes, Standing.FAST)
    if slow or fast:
        first, *others = slow or fast
        assert first.seen
        longer = say.longer(first.seen.ratio, "the middle of its kind")
        told = [f"{first.name} is {first.word.value}: in {first.part} it takes {longer}."]
        also = {"Also slow": others if slow else [], "Fast": fast if slow else others}
        told += [f"{what}: {_few(them)}." for what, them in also.items() if them]
        short = [f"{_few(them)} {word}" for them, word in ((slow, "slow"), (fast, "fast")) if them]
        return "; ".join(short), " ".join(told)
    least = max(each.bounds[EVERYTHING] for each in judged)
    one = f"one slower by {_per_cent(least)}" if least < say.FACTOR else "one over twice as slow"
    unknown = len(_of(nodes, Standing.UNKNOWN))
    if unknown == len(nodes):
        sentence = f"Cannot tell which node is ill: only {one} would have been found."
        return f"Cannot tell: only {one} would be found", sentence
    left = f", and of {unknown} nobody can tell" if unknown else ""
    sentence = f"No ill node is found among {len(nodes)}{left}: {one} would have been."
    return f"No ill node among {len(nodes)}: {one} would show", sentence


def _untold(found: Sequence[Fleet]) -> tuple[str, str]:
    """The same where nothing could be compared."""
    why = _too_few(found)
    sentence = f"Cannot tell which node is ill: {why[:1].lower()}{why[1:]}."
    return "Cannot tell: too few machines of a kind", sentence


def _too_few(found: Sequence[Fleet]) -> str:
    most, least = max((len(each.nodes) for each in found), default=0), say.worded(fleet.LEAST)
    if most >= fleet.LEAST:
        return f"No {least} machines of a kind measured the same"
    here = f"here {'is' if most == 1 else 'are'} {say.worded(most)}"
    return f"It takes {least} machines of a kind, and {here}"


def _of(nodes: Sequence[Node], *words: Standing) -> list[Node]:
    """The nodes of these words, those that differ most first."""
    return sorted((n for n in nodes if n.word in words), key=lambda n: n.distance, reverse=True)


def _few(nodes: Sequence[Node]) -> str:
    return say.few([node.name for node in nodes], 2)


def _per_cent(bound: float) -> str:
    return say.change(bound).removeprefix("+") if bound < say.FACTOR else "more than 100 %"


def _so(nodes: Sequence[Node]) -> str:
    if slow := _of(nodes, Standing.SLOW):
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
    machines = arms.grouped(records, lambda each: each.provenance.machine_id).values()
    runs = [sorted({other_runs.of(each) or "this run" for each in own}) for own in machines]
    one = "have one machine id: runs of one machine, which differ by when they were made, or clones"
    return [f"{say.few(own)} {one} of one system." for own in runs if len(own) > 1]


def _software(records: Sequence[Record]) -> list[str]:
    versions = sorted({each.provenance.versions.get("torch", "unknown") for each in records})
    return [f"Their torch differs: {say.listed(versions)}."] if len(versions) > 1 else []


def _numbers(node: Node) -> dict[str, str]:
    return {"node": node.name, "kind": node.kind, "verdict": node.word.value, "part": node.part}


def _bounds(each: Fleet) -> dict[str, float | None]:
    return {part: b if b < say.FACTOR else None for part, b in each.bounds.items()}


def _flat(node: Node) -> Iterator[dict[str, Any]]:
    """A node as rows of the tidy table, one per part."""
    own = {"node": node.name, "kind": node.kind}
    for part, each in node.parts.items():
        word = each.word.value
        yield {**own, "part": part, **verdict.row(each.ratio), "verdict": word, "most": each.most}
    if not node.parts:
        yield {**own, "verdict": node.word.value}


def _table(found: Sequence[Fleet]) -> Table:
    """One row per node, those that differ most first."""
    several = ["kind"] if len(found) > 1 else []
    parts = [part for part in ALL if any(part in each.bounds for each in found)]
    rows: list[list[Content]] = [
        [
            node.name,
            *([each.kind] if several else []),
            Cell(text=node.word.value, sign=SIGNS[node.word]),
            *(_cell(node.parts.get(part)) for part in parts),
            node.seen.most if node.seen else None,
        ]
        for each in found
        for node in sorted(each.nodes, key=lambda n: n.distance, reverse=True)
    ]
    return model.headed(["node", *several, "verdict", *parts, "differs most in"], rows)


def _cell(seen: Seen | None) -> Cell | None:
    if seen is None:
        return None
    ratio = seen.ratio
    known = ratio.low > 1 / say.FACTOR and ratio.high < say.FACTOR
    return Cell(text=say.ratio(ratio) if known else say.change(ratio.value), value=ratio.value)


# ---- the figure ----------------------------------------------------------------------------------


def _view(each: Fleet) -> Shown:
    bound, rows = each.bounds[EVERYTHING], [*_rows(each.nodes)]
    grey = Band(_off(1 / bound), _off(bound), "grey: differences too small to be found")
    values = [x for row in rows for x in (*row.dots, *([row.seen.value] if row.seen else []))]
    axis = Axis(
        "time against the middle of its kind (bar: 95 %)",
        lambda x: f"{say.short(x)} %",
        within=(min([_off(1 / say.FACTOR), *values]), max([_off(say.FACTOR), *values])),
    )
    drawn = figure.rows({"": rows}, axis, band=grey if bound < say.FACTOR else None, line=0.0)
    return Shown(TITLE, f"{TITLE}. {_table([each]).spoken}.", drawn, name=each.kind)


def _rows(found: Sequence[Node]) -> Iterator[Row]:
    """A row per node; of very many, those that are in line (or that nobody can tell) share one."""
    shown = [node for node in found if node.seen]
    alone = shown if len(shown) <= MOST else _of(shown, *fleet.ILL)[:MOST]
    for node in sorted(alone, key=lambda each: each.value, reverse=True):
        assert node.seen
        ratio, note = node.seen.ratio, node.part if node.part != EVERYTHING else ""
        seen = Interval(*map(_off, (ratio.value, ratio.low, ratio.high)))
        text = f"{say.change(ratio.value)}, {node.word.value}"
        yield Row(node.name, seen, text, note=note, tone=TONES[node.word])
    for word in Standing:
        rest = [node for node in shown if node not in alone and node.word == word]
        if rest:
            name = say.plural(len(rest), "other node" if alone else "node")
            dots = [_off(node.value) for node in rest]
            yield Row(name, None, word.value, tone=TONES[word], dots=dots)


def _off(ratio: float) -> float:
    """A ratio in per cent off 1."""
    return 100 * (ratio - 1)


main = partial(question.run, "fleet", answer)

if __name__ == "__main__":
    main()
