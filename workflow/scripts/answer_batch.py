"""How large must a batch be? Time per sample by batch, and accuracy after as many samples.

The best batch of a trial has the least time per sample; another one is *at its best*, too, where it
reaches 90 % of that speed. From which batch on that is so lies between two measured ones: the last
at which it cannot be, and the first from which on it certainly is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import (
    accuracy,
    arms,
    figure,
    model,
    question,
    roofline,
    say,
    scan,
    trials,
    verdict,
)
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis, Line, Mark
from assay.answer.inference import bracket
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.roofline import ITEM_BYTES, Roofline
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval

THROUGHPUT, SCALING = "throughput", "scaling"  # the studies of this question alone
NEAR = 0.9  # share of the best speed that counts as at its best
MARGIN = 1 / NEAR - 1  # the same as a margin of times
STEP, LAYER = "step", "layer"
WORKS = {STEP: "training step", LAYER: "linear layer"}
CONSTANT, PLACEBO, TUNED = "constant", "linear", "tuned"
RULES = {CONSTANT: "same rate", "linear": "linear rule", "square_root": "square-root rule",
         TUNED: "tuned"}  # fmt: skip
CLAIMED = {
    "linear": "Goyal et al. 2017, arXiv 1706.02677",
    "square_root": "Krizhevsky 2014, arXiv 1404.5997; Hoffer et al. 2017, arXiv 1705.08741",
}
HOLDS = (Word.SAME, Word.BETTER)
TITLE = "Speed per sample by batch, in % of the best"
ACCURACY = "Test accuracy by batch and rate, after the same number of samples"


# ---- time --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """The time of a sample by batch, of one work in one number format on one device."""

    arms: Sequence[Arm]  # by batch, against the best one; a single lost one where there are none

    @property
    def first(self) -> Arm:
        """The smallest batch, which stands for what all have in common."""
        return self.arms[0]

    @property
    def ends(self) -> tuple[float, float]:
        """Between which batches it comes to its best; 0 where it may be there from the first on.

        Beyond the best batch a sample takes longer again, which is not asked.
        """
        best = [arm.role for arm in self.arms].index(Role.ANCHOR)
        rising = self.arms[: best + 1]
        batches = [arm.extras["batch"] for arm in rising]
        possible = [arm.seen is None or arm.seen.low <= 1 + MARGIN for arm in rising]
        certain = [arm.seen is None or arm.word == Word.SAME for arm in rising]
        return bracket(batches, possible)[0], bracket(batches, certain)[1]

    @property
    def doubtful(self) -> bool:
        """Whether nothing can be told: no batch is certainly too small, nor the first enough."""
        low, high = self.ends
        noisy = any(arm.seen.noise > MARGIN for arm in self.arms if arm.seen)
        return noisy or len(self.arms) < 2 or low == 0 < high

    @property
    def enough(self) -> int:
        """The first batch from which on it certainly is at its best."""
        return int(self.ends[1] or self.first.extras["batch"])

    @property
    def told(self) -> str:
        """From where on it is at its best."""
        if self.first.lost or self.doubtful:
            return self.first.lost or "cannot tell"
        low = self.ends[0]
        return f"between batch {low} and {self.enough}" if low else f"from batch {self.enough} on"

    @property
    def main(self) -> Main:
        """As something that the headline rests on."""
        lost = self.first.lost
        return Main("training", None if lost or not self.doubtful else Word.UNKNOWN, lost)


def timed(each: Record, trial: Trial) -> list[Arm]:
    """The time of a sample at every batch against that at the best one; not yet judged."""
    what: Any = trial.what
    result: Any = trial.result
    device, group = str(each.axes["device"]), f"{what['dtype']} {WORKS[what['work']]}"
    if trial.status != Status.OK:
        return [Arm(device, group, "", "all", lost=model.lost(trial.status), extras=what)]
    names = {what["anchor"]: arms.ANCHOR} | {int(n): n for n in result["arms"] if n.isdigit()}
    ratios: dict[int, Interval] = {what["anchor"]: Interval(1.0, 1.0, 1.0)}
    ratios |= {b: verdict.paired(result, n) for b, n in names.items() if n != arms.ANCHOR}
    best, found = min(ratios, key=lambda batch: ratios[batch].value), []
    for batch, name in sorted(names.items()):
        terms = [(1.0, ratios[batch]), (-1.0, ratios[best])]
        seen = verdict.contrast(terms, MARGIN, verdict.noise(result))
        time = arms.time_of(result["arms"][name], 1 / batch)
        extras = {**what, "batch": batch, "share": 1 / seen.value}
        extras |= {**verdict.ends("sample", time, "_s"), "peak_flops": result["peak_flops"]}
        extras["throughput_flops"] = result["flop_per_sample"] / time.value
        own = {"role": Role.ANCHOR} if batch == best else {"seen": seen}
        found.append(Arm(device, group, str(batch), str(batch), time, extras=extras, **own))
    return found


# ---- accuracy ----------------------------------------------------------------------------------


def trained(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """The runs of every batch and rule, the placebo among them; a lost batch has none."""
    found = {}
    for each in sorted(records, key=lambda each: int(str(each.axes["batch"]))):
        own = accuracy.runs(each)
        for rule in dict.fromkeys(own["rule"]) if len(own) else [CONSTANT]:
            found[f"{each.axes['batch']} {rule}"] = own[own["rule"] == rule] if len(own) else own
    return found


def learned(device: str, records: Sequence[Record]) -> list[Arm]:
    """The accuracy of every batch and rule against the reference; the placebo is left out."""
    if not records:
        return []
    reference = records[0].settings["batch"]
    runs = {n: own for n, own in trained(records).items() if n != f"{reference} {PLACEBO}"}
    labels, extras = {}, {}
    for name, own in runs.items():
        batch, rule = name.split()
        rate = float(own["rate"].iloc[0]) if len(own) else None
        labels[name] = f"{batch}, {RULES[rule]}" + (f" {rate:.3g}" if rate else "")
        extras[name] = {"batch": int(batch), "rule": rule, "rate": rate}
    missing = {f"{each.axes['batch']} {CONSTANT}": model.lost(each.status) for each in records}
    anchor = f"{reference} {CONSTANT}"
    found = arms.learned(device, runs, labels, anchor, extras=extras, missing=missing)
    return sorted(found, key=lambda arm: [*runs].index(arm.name))


# ---- a device ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    name: str
    curves: Sequence[Curve]  # of every number format and work
    step: Curve  # of a step of training in the format that was asked for first
    features: int  # of the linear layer
    reference: int  # the batch whose accuracy the others are compared with
    accuracies: Sequence[Arm]  # by batch, then by rule
    runs: dict[str, pd.DataFrame]
    roofline: Roofline

    def by_rule(self, rule: str) -> list[Arm]:
        """The accuracies of a rule at all batches but the reference, by batch."""
        found = [arm for arm in self.accuracies if arm.extras["rule"] == rule]
        return [arm for arm in found if arm.extras["batch"] != self.reference]

    @property
    def larger(self) -> Arm | None:
        """The largest batch at the reference's rate; None where none is larger."""
        above = [a for a in self.by_rule(CONSTANT) if a.extras["batch"] > self.reference]
        return above[-1] if above else None

    @property
    def cost(self) -> Main:
        """What that costs, as something that the headline rests on."""
        if self.larger is None:
            return Main("a larger batch", lost="not measured")
        word = None if self.larger.lost else self.larger.word or Word.UNKNOWN
        return Main(f"batch {self.larger.extras['batch']}", word, self.larger.lost)

    @property
    def remedy(self) -> float | None:
        """A rate at which the largest batch costs nothing, where it does at the reference's."""
        if self.larger is None or self.larger.word != Word.WORSE:
            return None
        batch = self.larger.extras["batch"]
        found = (a for a in self.accuracies if a.extras["batch"] == batch and a.word in HOLDS)
        return next((float(arm.extras["rate"]) for arm in found), None)

    @property
    def number(self) -> int | None:
        """The batch to take; None where that cannot be told.

        The first one at the best speed. But the reference, where that is smaller, and accuracy is
        lost beyond it at every rate that was tried.
        """
        if self.step.first.lost or self.step.doubtful:
            return None
        costs = self.larger is not None and self.larger.word == Word.WORSE and not self.remedy
        timed = [arm.extras["batch"] for arm in self.step.arms]
        if costs and self.reference in timed:
            return min(self.reference, self.step.enough)
        return self.step.enough

    @property
    def placebo_difference(self) -> float | None:
        """Of the rule that changes nothing at the reference; None where one of them is missing."""
        placebo, real = (f"{self.reference} {rule}" for rule in (PLACEBO, CONSTANT))
        return accuracy.placebo_difference(accuracy.whole(self.runs), placebo, real)

    def fed(self, dtype: str, batch: int) -> float | None:
        """Share of the best product's speed at which memory can feed the linear layer."""
        n = self.features
        return self.roofline.share(dtype, 2 * batch * n / (ITEM_BYTES[dtype] * (n + 2 * batch)))


def devices(records: Sequence[Record]) -> list[Device]:
    """Every device that was asked; times and accuracies are judged as one family."""
    timings, learnings = ([e for e in records if e.study == s] for s in (THROUGHPUT, SCALING))
    names = trials.devices([*timings, *learnings])
    found = [arm for each in timings for trial in each.trials for arm in timed(each, trial)]
    for name in names:
        found += learned(name, [each for each in learnings if each.axes["device"] == name])
    judged = arms.judged(found)
    return [_device(name, records, [a for a in judged if a.device == name]) for name in names]


def _device(name: str, records: Sequence[Record], judged: Sequence[Arm]) -> Device:
    own = [each for each in records if each.axes["device"] == name]
    timings, learnings = ([e for e in own if e.study == s] for s in (THROUGHPUT, SCALING))
    times = arms.grouped((a for a in judged if "work" in a.extras), lambda arm: arm.group)
    curves = [Curve(each) for each in times.values()]
    nothing = Curve([Arm(name, "", "", "", lost=trials.why_lost(timings))])
    return Device(
        name,
        curves,
        next((each for each in curves if each.first.extras["work"] == STEP), nothing),
        next((each.settings["features"] for each in timings), 0),
        next((each.settings["batch"] for each in learnings), 0),
        [arm for arm in judged if "rule" in arm.extras],
        trained(learnings),
        roofline.of(own),
    )


# ---- the answer --------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the times and accuracies of every device, its bandwidth and its products."""
    found = devices(records)
    names = [here.name for here in found]
    own = [each for each in records if each.study in (THROUGHPUT, SCALING)]
    times = [arm for here in found for curve in here.curves for arm in curve.arms]
    accuracies = [arm for here in found for arm in here.accuracies]
    return Findings(
        **vars(question.joined({here.name: _tell(here) for here in found})),
        numbers={here.name: _numbers(here) for here in found},
        why=[say.on(here.name, names) + text for here in found for text in _why(here)],
        method=_method(own),
        caveats=CAVEATS,
        views=[view for here in found for view in _views(here, names)] or question.nothing(TITLE),
        switch="Format",
        folded=_accuracies(accuracies),
        table=arms.table(
            times,
            "batch",
            value="time of a sample",
            unit="µs",
            scale=1e6,
            against="against the best",
            group="of",
            extra={"speed, of the best": arms.extra("share", say.share)},
        ),
        frame=trials.frame(own, map(arms.flat, [*times, *accuracies])),
    )


def _tell(here: Device) -> Told:
    """From which batch on the machine is at its best, and what the largest one costs."""
    step, larger = here.step, here.larger
    if step.first.lost or not step.doubtful:
        reached = f"reaches {say.share(NEAR)} of its best speed {step.told}."
        speed = f"Training: {step.told}." if step.first.lost else f"Training {reached}"
    else:
        speed = "Cannot tell from which batch on training reaches its best speed."
    if larger is None or larger.seen is None:
        why = here.cost.lost or Word.UNKNOWN.value
        cost, brief = f"{say.capital(here.cost.name)}: {why}.", f"accuracy {why}"
    else:
        batch, points = larger.extras["batch"], say.points(larger.seen)
        cost = f"Batch {batch} at the same rate: {points} points, {larger.word}."
        brief = f"accuracy at {batch}: {larger.word}"
        if larger.word == Word.WORSE:
            brief = f"{batch} costs {points.partition(' ')[0].lstrip('−')} points"
    number = f"Batch {here.number}" if here.number else f"Speed: {step.told}"
    told = f"{number}; {brief}", f"{speed} {cost}", _so(here)
    return Told(*told, [step.main, here.cost])


def _so(here: Device) -> str:
    """Which batch to take, and what to do, or to lose, at a larger one."""
    if not here.number:
        return ""
    text, batch = f"Take a batch of {here.number}", here.larger and here.larger.extras["batch"]
    if here.number < here.step.enough:
        share = next(a.extras["share"] for a in here.step.arms if a.extras["batch"] == here.number)
        return f"{text}: it has {say.share(share)} of the best speed, and {batch} costs accuracy."
    return (
        f"{text}. With {batch}, take a rate of {rate:.3g}." if (rate := here.remedy) else f"{text}."
    )


def _numbers(here: Device) -> dict[str, Any]:
    told = [curve for curve in here.curves if not curve.first.lost]
    return {
        "between": {c.first.group: None if c.doubtful else [*c.ends] for c in told},
        "times": [arms.flat(arm) for curve in told for arm in curve.arms],
        "accuracies": [arms.flat(arm) for arm in here.accuracies],
        "placebo_difference": here.placebo_difference,
    }


def _why(here: Device) -> list[str]:
    """The other curves, what bandwidth and peak predict, the published rules, the placebo."""
    others = [f"{each.first.group} {each.told}" for each in here.curves if each != here.step]
    return [
        *([f"{say.share(NEAR)} of the best: {'; '.join(others)}."] if others else []),
        *(text for curve in here.curves for text in _balance(here, curve)),
        *(text for rule in CLAIMED for text in _claim(here, rule)),
        *accuracy.resolution(here.runs, f"{here.reference} {CONSTANT}"),
        *accuracy.placebo_told(here.placebo_difference, "the reference"),
    ]


def _balance(here: Device, curve: Curve) -> list[str]:
    """From which batch on memory feeds a linear layer, beside what was measured."""
    if curve.first.lost or curve.first.extras["work"] != LAYER:
        return []
    dtype, memory, best = curve.first.extras["dtype"], here.roofline.memory, here.roofline.best
    if memory is None or dtype not in best:
        return [f"Bandwidth or products in {dtype} were not measured: nothing is predicted."]
    batches = [arm.extras["batch"] for arm in curve.arms]
    fed = [b for b in batches if (here.fed(dtype, b) or 0.0) >= NEAR]
    reached = max(arm.extras["throughput_flops"] for arm in curve.arms)
    return [
        f"The best {dtype} product has {say.quantity(best[dtype].value, 'FLOP/s')}, memory "
        f"{scan.told(memory)}: {say.number(best[dtype].value / memory.value, 2)} FLOP a byte. By "
        f"that the layer has {say.share(NEAR)} at {f'batch {fed[0]}' if fed else 'no batch'}; "
        f"measured: {curve.told}, and {say.share(reached, best[dtype].value)} of that product."
    ]


def _claim(here: Device, rule: str) -> list[str]:
    """Whether a published rule keeps the accuracy; none where it was not tried."""
    tried = here.by_rule(rule)
    outcome = "cannot be told"
    if all(arm.word in HOLDS for arm in tried):
        outcome = "holds"
    elif any(arm.word == Word.WORSE or arm.lost.startswith("diverged") for arm in tried):
        outcome = "does not hold"
    seen = [
        f"batch {arm.extras['batch']} "
        + (f"{say.points(arm.seen)} points" if arm.seen else arm.lost or "not compared")
        for arm in tried
    ]
    told = f"The {RULES[rule]} ({CLAIMED[rule]}) {outcome}: {', '.join(seen)}."
    return [told] if tried else []


def _method(records: Sequence[Record]) -> list[str]:
    own = {each.study: each.settings for each in records}
    texts = []
    if timed := own.get(THROUGHPUT):
        network = "-".join(map(str, [784, *timed["hidden"], 10]))
        texts.append(
            "All batches are arms of one trial, compared by their time per sample, as the host "
            f"waits for it. A step is forward, backward and SGD of a {network} perceptron, weights "
            f"and images in the number format; the layer has {timed['features']} inputs and "
            f"outputs. At its best means {say.share(NEAR)} of the fastest batch's speed, which "
            "comes between the last batch at which that cannot be and the first from which on it "
            "is certain."
        )
    if learnt := own.get(SCALING):
        rates = say.listed(map(say.setting, learnt["rates"]), "or")
        texts.append(
            f"{say.plural(learnt['seeds'], 'run')} of {say.plural(learnt['epochs'], 'epoch')} of "
            "each batch and rate: as many samples, fewer steps. The reference is batch "
            f"{learnt['batch']} at rate {learnt['rate']:g}, from which the rules start; tuned is "
            f"the best of {rates} in validation after "
            f"{say.plural(learnt['tuning_epochs'], 'epoch')}, where that is no rule's."
        )
    return texts


CAVEATS = [
    "A network of another size has its best batch elsewhere.",
    "No warm-up, no momentum, few epochs. With many, and a rate tuned at each batch, Shallue et "
    "al. 2019 (arXiv 1811.03600) saw no loss of accuracy at larger batches.",
]


# ---- showing -----------------------------------------------------------------------------------


def _views(here: Device, names: Sequence[str]) -> list[Shown]:
    """Speed by batch, a drawing per number format; none of fewer than two batches."""
    told = [curve for curve in here.curves if len(curve.arms) > 1]
    shown = []
    for dtype, own in arms.grouped(told, lambda curve: curve.first.extras["dtype"]).items():
        lines = [_line(curve) for curve in own]
        batches = lines[0].x
        shares = [here.fed(dtype, int(batch)) for batch in batches]
        if known := [100 * share for share in shares if share]:
            lines.append(Line("roofline", batches, [Interval(s, s, s) for s in known]))
        drawn = figure.lines(
            lines,
            Axis("samples in a batch", say.count, log=True, ticks=batches),
            Axis("% of the best speed per sample", within=(0, 100)),
            levels=[Mark(100 * NEAR, say.share(NEAR))],
        )
        said = "; ".join(f"{WORKS[c.first.extras['work']]} {c.told}" for c in own)
        text = f"{TITLE}. {say.share(NEAR)} of it: {said}."
        name = f"{here.name} {dtype}" if len(names) > 1 else dtype
        shown.append(Shown(TITLE, text, drawn, name=name))
    return shown


def _line(curve: Curve) -> Line:
    seen = [arm.seen or Interval(1.0, 1.0, 1.0) for arm in curve.arms]
    shares = [Interval(*(min(100.0, 100 / x) for x in (s.value, s.high, s.low))) for s in seen]
    name, batches = WORKS[curve.first.extras["work"]], [a.extras["batch"] for a in curve.arms]
    return Line(name, batches, shares)


def _accuracies(found: Sequence[Arm]) -> list[Shown]:
    """Test accuracy of every batch and rule, as a table."""
    table = arms.table(found, "batch and rate", value="test accuracy", told=say.accuracy)
    return [question.of_table(ACCURACY, table)] if found else []


main = partial(question.run, "batch", answer)

if __name__ == "__main__":
    main()
