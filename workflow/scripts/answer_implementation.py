"""Is a framework faster than code from scratch, and what does that depend on?

Every implementation is compared with `nn.Module` and `torch.optim.SGD`, in one paired trial per
network and batch; then each claim of the textbook's prose gets a verdict of its own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from assay.answer import arms, inference, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis
from assay.answer.inference import Slope
from assay.answer.model import Cell, Content, Main
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Comparison, Word
from assay.record import Record, Status
from assay.statistic import exponential

ANCHOR, SCRATCH, GROWTH = "module", "scratch", "growth with the batch"
SIMPLE = "depth-1"  # also the middle of the axes of width and batch
COMPLEX = {"convolution": "convolutional", "recurrent": "recurrent"}
RUNGS = {
    "numpy": "NumPy by hand",
    "torch": "torch by hand",
    "scratch": "from scratch",
    "module": "nn.Module",
    "fused": "fused optimiser",
    "compiled": "torch.compile",
    "graph": "CUDA graph",
}
FRAMEWORK = {"fused": "a fused optimiser", "compiled": "torch.compile", "graph": "a CUDA graph"}
AXES = {
    "flops": "FLOP of a step",
    "depth": "hidden layers",
    "width": "units of the hidden layer",
    "batch": "images in a step",
}
COUNTED = ("operations", "memory_bytes", "lines", "first_step_s")  # of each implementation
TITLE = "Time of a step against nn.Module"


def steps(records: Sequence[Record]) -> list[Arm]:
    """Every implementation of every network, not judged; from scratch also where it was lost."""
    return [arm for each in records for arm in _network(each)]


def _network(each: Record) -> list[Arm]:
    trial = next((t for t in each.trials if t.what.get("anchor") == ANCHOR), None)
    shape, device = str(each.axes["shape"]), str(each.axes["device"])
    family, _, number = shape.partition("-")
    place = {"shape": shape, "family": family, "number": int(number)}
    found: list[Arm] = []
    if trial and trial.status == Status.OK:
        timed = arms.timed(each, trial, RUNGS, group=network(trial.result), anchor=ANCHOR)
        found = [arms.with_extras(arm, place | _extras(arm, trial.result)) for arm in timed]
    if not any(arm.name == SCRATCH for arm in found):
        own = [t for t in each.trials if t is trial or t.what.get("rung") in (SCRATCH, ANCHOR)]
        why = trials.lost([each.model_copy(update={"trials": own})], "shape", shape)
        group = found[0].group if found else shape.replace("-", " ")
        found.append(Arm(device, group, SCRATCH, RUNGS[SCRATCH], lost=why, extras=place))
    return found


def _extras(arm: Arm, result: Mapping[str, Any]) -> dict[str, Any]:
    hidden = result["hidden"] or [None]
    return {
        **{key: result[key] for key in ("batch", "flops", "parameters")},
        "depth": len(hidden),
        "width": hidden[0],
        **verdict.ends("time", arm.value, "_s"),
        "data_s": result["arms"]["data"]["time_median_s"],
        **result["parts"].get(arm.name, {}),
        **{key: result[key].get(arm.name) for key in COUNTED},
    }


def network(result: Any) -> str:
    """A network and its batch in words."""
    if result["family"] in COMPLEX:
        name = f"{COMPLEX[result['family']]}, {say.plural(result['number'], 'layer')}"
    else:
        name = "-".join(map(str, [784, *result["hidden"], 10]))
    return f"{name}, batch {result['batch']}"


# ---- what the ratio depends on -----------------------------------------------------------------


def along(found: Sequence[Arm], axis: str) -> list[Arm]:
    """The perceptrons from scratch in which an axis varies and nothing else does, in its order.

    For ``flops`` these are all perceptrons.
    """
    mine = [a for a in scratch(found) if a.seen and a.extras["family"] not in COMPLEX]
    if axis != "flops":
        mine = [a for a in mine if axis == a.extras["family"] or a.extras["shape"] == SIMPLE]
    return sorted(mine, key=lambda arm: float(arm.extras[axis]))


def trend(found: Sequence[Arm], axis: str) -> Slope | None:
    """How much the log of a ratio grows when the axis doubles; None for fewer than three points."""
    mine = along(found, axis)
    seen = [arm.seen for arm in mine if arm.seen]
    across = [math.log2(arm.extras[axis]) for arm in mine]
    errors = [verdict.log_error(each) for each in seen]
    return inference.slope(across, [math.log(each.value) for each in seen], errors)


def advantage(found: Sequence[Arm]) -> Comparison | None:
    """What a slope over all batches comes to: the ratio's growth from the smallest to the largest.

    None where there is no slope. Its noise is that of the worst trial.
    """
    mine, line = along(found, "batch"), trend(found, "batch")
    if line is None:
        return None
    doublings = math.log2(mine[-1].extras["batch"] / mine[0].extras["batch"])
    grown = exponential(arms.scaled(line, doublings))
    noise = max(arm.seen.noise for arm in mine if arm.seen)
    return Comparison(grown.value, grown.low, grown.high, p=line.p, noise=noise)


# ---- the claims --------------------------------------------------------------------------------

HOLDS, FAILS, OPEN = "✓ holds", "✗ does not hold", "! cannot tell"


def claims(found: Sequence[Arm], records: Sequence[Record]) -> dict[str, Cell]:
    """What the claims of the prose end in on one device: all that was judged there, its records."""
    limit = 1 + records[0].settings["substantial"]
    plain = next((arm for arm in scratch(found) if arm.extras["shape"] == SIMPLE), None)
    grew = next((arm for arm in found if arm.name == GROWTH), None)
    told = {"not significant for simple networks": _insignificant(plain, limit)}
    for family, name in COMPLEX.items():
        own = largest(found, family)
        told[f"substantial for {name} networks"] = _substantial(own, limit)
    return told | {
        "mini-batches add substantially to the advantage": _substantial(grew, limit),
        "a framework converges faster": _converges(records),
    }


def _insignificant(own: Arm | None, limit: float) -> Cell:
    """Whether there is no significant difference."""
    if own is None or own.seen is None:
        return model.outcome(OPEN, "not measured from scratch")
    small = own.different and 1 / limit < own.seen.low and own.seen.high < limit
    because = say.told(own.seen, own.word) + (", though not substantially" if small else "")
    truth = FAILS if own.different else HOLDS if own.word == Word.SAME else OPEN
    return model.outcome(truth, because)


def _substantial(own: Arm | None, limit: float) -> Cell:
    """Whether the framework gains a substantial factor; not, if it certainly gains less."""
    if own is None or own.seen is None:
        return model.outcome(OPEN, "not measured from scratch, or at fewer than three sizes")
    gains = own.word == Word.SLOWER and own.seen.low > limit
    truth = HOLDS if gains else FAILS if own.seen.high < limit else OPEN
    because = f"{say.told(own.seen, own.word)}; substantial is more than {say.change(limit)}"
    return model.outcome(truth, because)


def _converges(records: Sequence[Record]) -> Cell:
    """Whether a framework needs fewer steps: not if every step has the same loss."""
    losses = [t for r in records for t in r.trials if t.what.get("measured") == "losses"]
    refused = any(t.status == Status.REFUSED and t.what.get("rung") == SCRATCH for t in losses)
    seen: dict[str, float] = {}
    for trial in losses:
        dtype, own = str(trial.what["dtype"]), trial.result.get("largest_difference", {})
        if SCRATCH in own:
            seen[dtype] = max(seen.get(dtype, 0.0), own[SCRATCH])
    if refused or not seen:
        return model.outcome(OPEN, "the losses from scratch are not those of the framework")
    said = say.listed(f"{value:.0e} in {dtype}" for dtype, value in seen.items())
    because = f"from equal weights the losses of a step differ by at most {said}"
    return model.outcome(FAILS, because)


def scratch(found: Sequence[Arm]) -> list[Arm]:
    """From scratch, every network."""
    return [arm for arm in found if arm.name == SCRATCH]


def largest(found: Sequence[Arm], family: str) -> Arm | None:
    """The largest network of a family from scratch; one that was lost only if all were."""
    mine = [arm for arm in scratch(found) if arm.extras["family"] == family]
    return max(mine, key=lambda arm: (not arm.lost, int(arm.extras["number"])), default=None)


# ---- what a device comes to --------------------------------------------------------------------


@dataclass(frozen=True)
class Side:
    """What one device came to; no claims where nothing was timed."""

    device: str
    found: list[Arm]
    claims: dict[str, Cell]

    @property
    def mains(self) -> list[Arm]:
        """What the headline rests on: from scratch, the simple and the largest complex networks."""
        plain = [arm for arm in scratch(self.found) if arm.extras["shape"] == SIMPLE]
        others = [largest(self.found, family) for family in COMPLEX]
        return [*plain, *filter(None, others)] or scratch(self.found)[:1]

    @property
    def lead(self) -> Arm | None:
        """The first of them that was measured: its number is the headline's."""
        return next((arm for arm in self.mains if arm.seen), None)


def sides(records: Sequence[Record]) -> list[Side]:
    """Every device; all that is compared on any of them is judged as one family."""
    found = steps(records)
    for device, mine in arms.grouped(found, lambda arm: arm.device).items():
        if seen := advantage(mine):
            found.append(Arm(device, "", GROWTH, GROWTH, seen=seen))
    made, own = [], trials.by_device(records)
    for device, mine in arms.grouped(arms.judged(found), lambda arm: arm.device).items():
        told = claims(mine, own[device]) if any(arm.value for arm in mine) else {}
        made.append(Side(device, [arm for arm in mine if arm.name != GROWTH], told))
    return made


# ---- telling -----------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and network."""
    found = sides(records)
    timed = [side for side in found if side.claims]
    everything = [arm for side in found for arm in side.found]
    told = question.joined({side.device: _tell(side) for side in found})
    if not any(side.lead for side in found):
        told = replace(told, sentence=question.NOTHING)
    return Findings(
        **vars(told),
        numbers={side.device: _numbers(side) for side in timed},
        why=question.on_each({side.device: _why(side) for side in found}),
        method=_method(records),
        caveats=CAVEATS,
        views=[_view(side) for side in timed if sum(bool(arm.seen) for arm in side.found) > 1]
        or question.nothing(TITLE, "Fewer than two ratios were measured"),
        folded=[_claims(timed)] if timed else [],
        table=arms.table(
            everything,
            "implementation",
            value="step",
            unit="ms",
            scale=1e3,
            against="against nn.Module",
            group="network",
            extra={
                **{
                    f"{part}, ms": arms.extra(f"{part}_s", lambda s: say.number(1e3 * s))
                    for part in ("forward", "backward", "update")
                },
                "operations": arms.extra("operations", say.count),
                "peak memory": arms.extra("memory_bytes", lambda size: say.quantity(size, "B")),
                "lines of code": arms.extra("lines", say.count),
                "first step": arms.extra("first_step_s", lambda s: say.quantity(s, "s")),
            },
        ),
        frame=trials.frame(records, [_flat(arm) for arm in everything if arm.value]),
    )


def kind(arm: Arm) -> str:
    """Which network it is, as the headline calls it."""
    if arm.extras["shape"] == SIMPLE:
        return "simple perceptron"
    family = str(arm.extras["family"])
    return f"{COMPLEX[family]} network" if family in COMPLEX else arm.group


WINNER = {
    Word.SLOWER: "The framework is faster",
    Word.FASTER: "From scratch is faster",
    Word.SAME: "Neither is faster",
    Word.UNKNOWN: "Cannot tell which is faster",
}


def _tell(side: Side) -> Told:
    """The first number, and the words on the other networks."""
    lead, short, sentence = side.lead, "", ""
    if lead:
        ratio = say.ratio(lead.seen).partition(" [")[0]
        short = WINNER[lead.word] + (f"; from scratch {ratio}" if lead.different else "")
        takes = say.takes(lead.seen, lead.word)
        sentence = f"{WINNER[lead.word]}: a {kind(lead)} from scratch takes {takes}. "
    others = [arm for arm in side.mains if arm is not lead]
    rest = arms.each_word(others, lambda arm: kind(arm).removesuffix(" network"))
    sentence += f"From scratch, {rest}." if rest else ""
    cells = [Main(kind(arm), arm.word, arm.lost) for arm in side.mains]
    return Told(short, sentence.strip(), _so(side), cells)


def _so(side: Side) -> str:
    """What to write: the framework where it is faster, and its fastest way where one is.

    Where from scratch is faster than nn.Module, that way must be faster than both.
    """
    lead = side.lead
    if lead is None or lead.seen is None:
        return ""
    ahead = lead.seen.low if lead.word == Word.FASTER else math.inf
    ways = [arm for arm in side.found if arm.name in FRAMEWORK and arm.word == Word.FASTER]
    ways = [arm for arm in ways if arm.extras["shape"] == lead.extras["shape"]]
    if faster := [arm for arm in ways if arm.seen and arm.seen.high < ahead]:
        best = min(faster, key=lambda arm: float(arm.extras["time_s"]))
        return f"Use nn.Module with {FRAMEWORK[best.name]} for a {kind(best)}."
    words = {arm.word for arm in side.mains if arm.seen}
    slower = Word.SLOWER in words and words <= {Word.SLOWER, Word.UNKNOWN}
    return "Use nn.Module." if slower else ""


def _why(side: Side) -> list[str]:
    """How the ratio changes with the network."""
    told = [
        f"of the {name} by {say.ratio(exponential(line))} ({line.count} perceptrons)"
        for axis, name in AXES.items()
        if (line := trend(side.found, axis))
    ]
    text = f"A doubling changes the ratio of from scratch to nn.Module: {say.listed(told)}."
    return [text] if told else []


def _numbers(side: Side) -> dict[str, Any]:
    growth = {
        axis: {**verdict.ends("factor", exponential(line)), "p": line.p, "networks": line.count}
        for axis in AXES
        if (line := trend(side.found, axis))
    }
    return {
        "claims": {text: cell.text for text, cell in side.claims.items()},
        "steps": [_flat(arm) for arm in side.found if arm.value],
        "growth_per_doubling": {SCRATCH: growth},
    }


def _flat(arm: Arm) -> dict[str, Any]:
    row = arms.flat(arm)
    return {"network": row.pop("group"), "rung": row.pop("arm"), **row}


def _method(records: Sequence[Record]) -> list[str]:
    settings = records[0].settings
    within = say.listed(f"{value:g} in {name}" for name, value in settings["tolerance"].items())
    return [
        "A job is one network and batch, in float32: plain SGD, softmax and cross-entropy.",
        f"Before, all implementations trained {settings['steps']} steps from the same weights on "
        "the same batches. One takes part only if every loss was the reference's within "
        f"{within} (relative).",
        "“From scratch” is tensors, autograd and a hand-written network, loss and SGD. “By hand” "
        "also writes the chain rule out.",
        "Forward, backward and update are differences inside a round. Operations, memory and lines "
        "are counted. Taking a random batch is in no time, compiling in the first step's alone.",
    ]


CAVEATS = [
    "“From scratch” is not one program: another loss or update by hand has another ratio. The "
    "source is workflow/scripts/assay/ladder/rungs.py and by_hand.py.",
    "NumPy and torch call different libraries for products: their ratio is also one of those.",
]


# ---- what is shown -----------------------------------------------------------------------------


def _view(side: Side) -> Shown:
    """The simple and the largest complex networks, each with all that was compared."""
    shapes = [arm.extras["shape"] for arm in side.mains]
    shown = [a for a in side.found if a.name != ANCHOR and a.extras["shape"] in shapes]
    rows = {
        name: [a.row(text=Word.UNKNOWN.value if a.word == Word.UNKNOWN else a.told) for a in own]
        for name, own in arms.grouped(shown, lambda arm: arm.group).items()
    }
    axis = Axis("time of a step, nn.Module's is 1 (bar: 95 %)", log=True)
    return question.dotted(TITLE, rows, axis, name=side.device, line=1.0)


def _claims(timed: Sequence[Side]) -> Shown:
    """The claims of the prose and what became of them."""
    devices = [side.device for side in timed]
    told: list[list[Content]] = [
        [f"{say.on(side.device, devices)}{text}", cell, cell.reason]
        for side in timed
        for text, cell in side.claims.items()
    ]
    title = "What the textbook says, and what was found"
    return question.tabled(title, ("claim", "verdict", "why"), told)


main = partial(question.run, "implementation", answer)

if __name__ == "__main__":
    main()
