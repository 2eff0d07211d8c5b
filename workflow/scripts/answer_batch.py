"""How large must a batch be? Time per sample by batch, and accuracy after as many samples.

The best batch of a trial has the least time per sample; another one is *at its best*, too, where it
reaches 90 % of that speed. From which batch on that is so lies between two measured ones: the last
at which it cannot be, and the first from which on it certainly is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, figure, model, question, roofline, say, trials, verdict
from assay.answer.arms import Arm, Role
from assay.answer.figure import Axis, Line, Mark
from assay.answer.inference import ends
from assay.answer.model import Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.roofline import Roofline
from assay.answer.verdict import AS_GOOD, Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval

THROUGHPUT, SCALING = "throughput", "scaling"  # the studies of this question alone
NEAR = 0.9  # share of the best speed that counts as at its best
MARGIN = 1 / NEAR - 1  # the same as a margin of times
BEST = f"{say.share(NEAR)} of its best speed"
STEP, LAYER = "step", "layer"
WORKS = {STEP: "training step", LAYER: "linear layer"}
CONSTANT, PLACEBO = "constant", "linear"  # the latter changes nothing at the reference
RULES = {CONSTANT: "same rate", "linear": "linear rule", "square_root": "square-root rule",
         "tuned": "tuned"}  # fmt: skip
CLAIMED = {
    "linear": "Goyal et al. 2017, arXiv 1706.02677",
    "square_root": "Krizhevsky 2014, arXiv 1404.5997; Hoffer et al. 2017, arXiv 1705.08741",
}
TITLE = "Speed per sample by batch, in % of the best"
ACCURACY = "Test accuracy by batch and rate, after the same number of samples"
ONE = Interval(1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Curve:
    """The time of a sample by batch, of one work in one number format on one device."""

    arms: Sequence[Arm]  # by batch, against the best one; a single lost one where there are none

    @property
    def first(self) -> Arm:
        """The smallest batch, which stands for what all have in common."""
        return self.arms[0]

    @property
    def shares(self) -> dict[int, float]:
        """The share of the best speed, by batch."""
        return {arm.extras["batch"]: arm.extras["share"] for arm in self.arms}

    @property
    def ends(self) -> tuple[float, float] | None:
        """Between which batches it comes to its best; 0, 0 where it is there from the first on.

        None where no batch is certainly too small, nor the first enough. Beyond the best batch a
        sample takes longer again, which is not asked.
        """
        noisy = any(arm.seen.noise > MARGIN for arm in self.arms if arm.seen)
        if noisy or len(self.arms) < 2:
            return None
        rising = self.arms[: [arm.role for arm in self.arms].index(Role.ANCHOR) + 1]
        possible = [arm.seen is None or arm.seen.low <= 1 + MARGIN for arm in rising]
        certain = [arm.seen is None or arm.word == Word.SAME for arm in rising]
        low, high = ends([*self.shares][: len(rising)], possible, certain)
        return None if low == 0 < high else (low, high)

    @property
    def enough(self) -> int | None:
        """The first batch from which on it certainly is at its best; None where none is known."""
        return self.ends and int(self.ends[1] or self.first.extras["batch"])

    @property
    def told(self) -> str:
        """From where on it is at its best."""
        if not self.ends:
            return self.first.lost or Word.UNKNOWN.value
        low, high = self.ends
        return f"between batch {low} and {high}" if low else f"from batch {self.enough} on"


def timed(each: Record, trial: Trial) -> list[Arm]:
    """The time of a sample at every batch against that at the best one; not yet judged."""
    what, result, anchor = trial.what, dict(trial.result), str(trial.what["anchor"])
    group = f"{what['dtype']} {WORKS[what['work']]}"
    if trial.status != Status.OK:
        lost = model.lost(trial.status)
        return [Arm(str(each.axes["device"]), group, "", "all", lost=lost, extras=what)]
    batches = sorted((name for name in (anchor, *result["arms"]) if name.isdigit()), key=int)
    labels = dict(zip(batches, batches, strict=True))
    seen = arms.timed(each, trial, labels, group=group, anchor=anchor, per=1)
    best, found = min(seen, key=lambda arm: (arm.relative, arm.name != anchor)), []
    for arm in seen:
        terms = [(1.0, arm.seen or ONE), (-1.0, best.seen or ONE)]
        ratio = verdict.contrast(terms, MARGIN, verdict.noise(result))
        extras = {**what, "batch": int(arm.name), "share": 1 / ratio.value}
        extras |= {**verdict.ends("sample", arm.value, "_s"), "peak_flops": result["peak_flops"]}
        extras["throughput_flops"] = result["flop_per_sample"] / arm.value.value
        own = (None, Role.ANCHOR) if arm is best else (ratio, Role.TARGET)
        found.append(replace(arm, extras=extras, seen=own[0], role=own[1]))
    return found


def trained(records: Sequence[Record]) -> dict[str, pd.DataFrame]:
    """The runs of every batch and rule, the placebo among them; a lost batch has none."""
    found = {}
    for each in sorted(records, key=lambda each: int(str(each.axes["batch"]))):
        own = accuracy.runs(each)
        rules = own.groupby("rule", sort=False) if len(own) else [(CONSTANT, own)]
        found |= {f"{each.axes['batch']} {rule}": runs for rule, runs in rules}
    return found


def learned(device: str, records: Sequence[Record]) -> list[Arm]:
    """The accuracy of every batch and rule against the reference; the placebo is left out."""
    reference = next((each.settings["batch"] for each in records), None)
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


@dataclass(frozen=True)
class Device:
    """What was found on one device."""

    where: str  # its name, only where there are several
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
    def good(self) -> Arm | None:
        """That batch at a rate at which it costs nothing, which is the same one if it can be."""
        batch = self.larger and self.larger.extras["batch"]
        own = (arm for arm in self.accuracies if arm.extras["batch"] == batch)
        return next((arm for arm in own if arm.word in AS_GOOD), None)

    @property
    def smaller(self) -> Arm | None:
        """The one that is most ahead of the reference, of smaller batches found better."""
        below = (arm for arm in self.accuracies if arm.extras["batch"] < self.reference)
        better = [arm for arm in below if arm.word == Word.BETTER]
        return max(better, key=lambda arm: arm.relative, default=None)

    @property
    def number(self) -> int | None:
        """The batch to take; None where that cannot be told.

        The first one at the best speed, but none beyond those of which accuracy is known to hold.
        """
        known = self.good or next((a for a in self.accuracies if a.role == Role.ANCHOR), None)
        enough = self.step.enough
        return min(enough, known.extras["batch"]) if enough and known else None

    @property
    def placebo(self) -> tuple[str, str]:
        """What accuracies are compared with, and the rule that changes nothing there."""
        return f"{self.reference} {CONSTANT}", f"{self.reference} {PLACEBO}"

    def fed(self, curve: Curve) -> dict[int, float]:
        """Share of the best product's speed at which memory feeds a linear layer, by batch."""
        dtype, n = curve.first.extras["dtype"], self.features
        flop_a_byte = {batch: roofline.intensity(dtype, batch, n, n) for batch in curve.shares}
        found = {b: self.roofline.share(dtype, each) for b, each in flop_a_byte.items()}
        return {batch: share for batch, share in found.items() if share}


def devices(records: Sequence[Record]) -> dict[str, Device]:
    """Every device that was asked; times and accuracies are judged as one family."""
    studies, here, found = (THROUGHPUT, SCALING), trials.by_device(records), []
    parts = {d: [[e for e in own if e.study == s] for s in studies] for d, own in here.items()}
    parts = {device: own for device, own in parts.items() if any(own)}
    for device, (timings, learnings) in parts.items():
        found += [arm for each in timings for trial in each.trials for arm in timed(each, trial)]
        found += learned(device, learnings)
    judged, made = arms.nested(arms.judged(found)), {}
    for device, (timings, learnings) in parts.items():
        groups = judged.get(device, {})
        curves = [Curve([*times.values()]) for group, times in groups.items() if group]
        nothing = Curve([Arm(device, "", "", "", lost=trials.why_lost(timings))])
        made[device] = Device(
            say.on(device, parts),
            curves,
            next((each for each in curves if each.first.extras["work"] == STEP), nothing),
            next((each.settings["features"] for each in timings), 0),
            next((each.settings["batch"] for each in learnings), 0),
            [*groups.get("", {}).values()],
            trained(learnings),
            roofline.of(here[device]),
        )
    return made


# ---- the answer --------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the times and accuracies of every device, its bandwidth and its products."""
    found = devices(records)
    times = [arm for here in found.values() for curve in here.curves for arm in curve.arms]
    accuracies = [arm for here in found.values() for arm in here.accuracies]
    own = [each for each in records if each.study in (THROUGHPUT, SCALING)]
    learnt = arms.table(accuracies, "batch and rate", value="test accuracy", told=say.accuracy)
    return Findings(
        **vars(question.joined({name: _tell(here) for name, here in found.items()})),
        numbers={name: _numbers(here) for name, here in found.items()},
        why=question.on_each({name: _why(here) for name, here in found.items()}),
        method=_method(own),
        caveats=[
            "A network of another size has its best batch elsewhere.",
            "No warm-up, no momentum, few epochs. With many, and a rate tuned at each batch, "
            "Shallue et al. 2019 (arXiv 1811.03600) saw no loss of accuracy at larger batches.",
        ],
        views=[view for here in found.values() for view in _views(here)] or question.nothing(TITLE),
        switch="Format",
        folded=[
            *([question.of_table(ACCURACY, learnt)] if accuracies else []),
            *question.published(
                (f"{here.where}The {RULES[rule]} keeps the accuracy", of, tried, AS_GOOD)
                for here in found.values()
                for rule, of in CLAIMED.items()
                if (tried := here.by_rule(rule))
            ),
        ],
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
    step, larger, lost = here.step, here.larger, here.step.first.lost
    main = Main("training", None if lost or step.ends else Word.UNKNOWN, lost)
    speed = f"Training{':' if lost else f' reaches {BEST}'} {step.told}."
    if not main.told and not lost:
        speed = f"Cannot tell from which batch on training reaches {BEST}."
    cost = Main("a larger batch", lost="not measured")
    if larger:
        batch = larger.extras["batch"]
        cost = replace(larger.main, name=f"batch {batch}")
    costs = f": {cost.lost or cost.word}"
    brief = f"accuracy {cost.lost or cost.word}"
    if larger and larger.seen:
        points, told = say.points(larger.seen), verdict.told(larger.seen, larger.word)
        costs = f", same rate: {points} points, {told.removesuffix(' points')}"
        brief = f"accuracy at {batch}: {larger.word}"
        if larger.word == Word.WORSE:
            brief = f"{batch} at the same rate costs {points.split()[0].lstrip('−')} points"
    number = f"Batch {here.number}" if here.number else f"Speed: {step.told}"
    sentence = f"{speed} {say.capital(cost.name)}{costs}."
    return Told(f"{number}; {brief}", sentence, _so(here), [main, cost])


def _so(here: Device) -> str:
    """Which batch to take, and what to do, or to lose, at a larger one."""
    if not here.number:
        return ""
    take, share = f"Take a batch of {here.number}", here.step.shares.get(here.number)
    if here.good and here.good.extras["rule"] != CONSTANT:
        batch, rate = here.good.extras["batch"], here.good.extras["rate"]
        at = " at" if batch == here.number else f". With {batch}, take"
        return f"{take}{at} a rate of {rate:.3g}."
    if here.number == here.step.enough:
        return f"{take}."
    speed = f"it has {say.share(share)} of the best speed, and " if share else ""
    costs = here.larger and here.larger.word == Word.WORSE
    known = f"{here.larger.extras['batch']} costs" if costs else "larger ones may cost"
    return f"{take}: {speed}{known} accuracy."


def _numbers(here: Device) -> dict[str, Any]:
    told = [curve for curve in here.curves if not curve.first.lost]
    return {
        "between": {curve.first.group: curve.ends and [*curve.ends] for curve in told},
        "times": [arms.flat(arm) for curve in told for arm in curve.arms],
        "accuracies": [arms.flat(arm) for arm in here.accuracies],
        "placebo_difference": accuracy.placebo_difference(accuracy.whole(here.runs), *here.placebo),
    }


def _why(here: Device) -> list[str]:
    """The other curves and what bandwidth predicts, a better batch, the seeds, the placebo."""
    others = [
        f"{curve.first.group} {curve.told}{_predicted(here, curve)}"
        for curve in here.curves
        if curve is not here.step
    ]
    told = [f"{say.share(NEAR)} of the best speed: {'; '.join(others)}."] if others else []
    if (better := here.smaller) and better.seen:
        more = f"{better.label}, {say.points(better.seen)} points"
        told.append(f"A smaller batch learns more from as many samples: {more}.")
    return [*told, *accuracy.notes(here.runs, *here.placebo, "the reference")]


def _predicted(here: Device, curve: Curve) -> str:
    """From which batch on memory feeds a linear layer."""
    if curve.first.lost or curve.first.extras["work"] != LAYER:
        return ""
    if not (fed := here.fed(curve)):
        return " (bandwidth or products not measured)"
    flop = here.roofline.best[curve.first.extras["dtype"]].value / here.roofline.memory.value
    first = next((f"from {batch} on" for batch, share in fed.items() if share >= NEAR), "at none")
    return f" (memory allows it {first}: {say.number(flop, 2)} FLOP a byte)"


def _method(records: Sequence[Record]) -> list[str]:
    own = {each.study: each.settings for each in records}
    texts = []
    if timed := own.get(THROUGHPUT):
        network = "-".join(map(str, [784, *timed["hidden"], 10]))
        texts.append(
            "All batches are arms of one trial, compared by their time per sample, as the host "
            f"waits for it: of a step of SGD of a {network} perceptron, weights and images in the "
            f"number format, and of a layer with {timed['features']} inputs and outputs. “Between "
            f"a and b”: at a {say.share(NEAR)} cannot be, from b on it is sure."
        )
    if learnt := own.get(SCALING):
        rates = say.listed(map(say.setting, learnt["rates"]), "or")
        texts.append(
            f"{learnt['seeds']} runs of {say.plural(learnt['epochs'], 'epoch')} of each batch and "
            f"rate: as many samples, fewer steps. The reference is batch {learnt['batch']} at rate "
            f"{learnt['rate']:g}, from which the rules start; tuned is the best of {rates} in "
            f"validation after {say.plural(learnt['tuning_epochs'], 'epoch')}, if no rule's."
        )
    return texts


# ---- showing -----------------------------------------------------------------------------------


def _views(here: Device) -> list[Shown]:
    """Speed by batch, a drawing per number format; none of fewer than two batches."""
    told = [curve for curve in here.curves if len(curve.arms) > 1]
    shown = []
    for dtype, own in arms.grouped(told, lambda curve: curve.first.extras["dtype"]).items():
        named = {WORKS[curve.first.extras["work"]]: curve for curve in own}
        lines = [Line(name, [*curve.shares], _shares(curve)) for name, curve in named.items()]
        if fed := here.fed(own[0]):
            lines.append(Line("roofline", [*fed], [Interval(*[100 * x] * 3) for x in fed.values()]))
        drawn = figure.lines(
            lines,
            Axis("samples in a batch", say.count, log=True, ticks=lines[0].x),
            Axis("% of the best speed per sample", within=(0, 100)),
            levels=[Mark(100 * NEAR, say.share(NEAR))],
        )
        said = "; ".join(f"{k} {curve.told} ({_spoken(curve)})" for k, curve in named.items())
        text = f"{TITLE}. {say.share(NEAR)} of it: {said}."
        shown.append(Shown(TITLE, text, drawn, name=f"{here.where.replace(':', '')}{dtype}"))
    return shown


def _spoken(curve: Curve) -> str:
    shares = zip(curve.shares, _shares(curve), strict=True)
    return ", ".join(f"{batch}: {say.share(seen.value / 100)}" for batch, seen in shares)


def _shares(curve: Curve) -> list[Interval]:
    seen = [arm.seen or ONE for arm in curve.arms]
    return [Interval(*(min(100.0, 100 / x) for x in (s.value, s.high, s.low))) for s in seen]


main = partial(question.run, "batch", answer)

if __name__ == "__main__":
    main()
