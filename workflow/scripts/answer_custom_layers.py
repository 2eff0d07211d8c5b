"""Custom layers: which implementation of a quadratic layer to take, and what Fourier's layer keeps.

Times are compared with those of `einsum`, inside the trial of each size, and with the fastest.
Exponents are fitted to the largest sizes of a sweep: below them it is the number of calls that
costs, not the arithmetic. Accuracies are paired by seed: the leading coefficients against as many
at random.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, inference, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import Axis
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Trial
from assay.statistic import Interval

ANCHOR = "einsum"
NAMES = {"einsum": "einsum", "bilinear": "nn.Bilinear", "outer": "outer + matmul",
         "matmul": "matmul then ×", "packed": "packed matmul",
         "brute_force": "brute force"}  # fmt: skip
FLOPS = dict.fromkeys(NAMES, "2bkn²") | {"packed": "bkn²", "brute_force": "3bkn²"}
TIME_EXPONENTS = {"batch": 1, "n": 2, "k": 1}  # of every implementation, for large sizes
# What an implementation needs at one time beside its operands and result.
MEMORY = {"einsum": "bkn", "bilinear": "bn", "outer": "bn²", "matmul": "bkn", "packed": "bn²",
          "brute_force": "bkn²"}  # fmt: skip
FITTED = 3  # exponents come from so many largest sizes of a sweep
LEADING, RANDOM = "leading", "random"
BEATS = {Word.BETTER: "beat", Word.WORSE: "lose to", Word.SAME: "equal"}
WHERE = ("sweep", *TIME_EXPONENTS)  # extras that tell one trial from another
RATIO = attrgetter("relative")
TITLE = "Time of a quadratic layer against einsum"
CONTESTS = "Leading Fourier coefficients against as many at random, and against all"

Levels = Mapping[tuple[str, str, int], pd.DataFrame]  # runs by device, selection and number kept


# ---- the reduction -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Race:
    """One size of a sweep: every implementation beside einsum, fastest first."""

    device: str
    sweep: str
    size: int
    arms: Sequence[Arm]
    slower: Mapping[str, Arm]  # than the fastest, beside that

    @property
    def main(self) -> Main:
        """The size as something that a headline rests on."""
        return Main(self.arms[0].group, None if self.slower else Word.UNKNOWN, self.arms[0].lost)

    @property
    def best(self) -> list[Arm]:
        """The fastest implementation, and behind it those that are not called slower."""
        return [arm for arm in self.arms if arm.name not in self.slower]


def timed(records: Sequence[Record]) -> list[Arm]:
    """Every implementation at every size, beside einsum and beside the fastest; not yet judged."""
    mine = [each for each in records if each.study == "reduction"]
    cells = [_timed(each, t) for each in mine for t in each.trials if "check" not in t.what]
    return [arm for cell in cells for arm in (*cell, *arms.behind(cell, WHERE))]


def _timed(each: Record, trial: Trial) -> list[Arm]:
    sweep = str(each.axes["sweep"])
    where = {"sweep": sweep, **{size: trial.what[size] for size in TIME_EXPONENTS}}
    memory: Any = trial.result.get("memory_bytes", {})
    found = []
    for arm in arms.timed(each, trial, NAMES, group=f"{sweep} = {where[sweep]}", anchor=ANCHOR):
        costs = {}
        if arm.value:
            counted = memory.get(arm.name, {}).get("temporary")
            costs = verdict.ends("time", arm.value, "_s") | {"memory_bytes": counted}
        found.append(arms.with_extras(arm, {**where, "against": ANCHOR, **costs}))
    return found


def races(found: Sequence[Arm]) -> list[Race]:
    """The judged arms of a device by size, the sizes of a sweep in their order."""
    made, timed = [], [arm for arm in found if "sweep" in arm.extras]
    for own in arms.grouped(timed, attrgetter("group")).values():
        here = sorted((arm for arm in own if arm.extras["against"] == ANCHOR), key=RATIO)
        beside = [arm for arm in own if arm.extras["against"] == here[0].name]
        slower = {arm.name: arm for arm in beside if arm.word == Word.SLOWER}
        sweep = here[0].extras["sweep"]
        made.append(Race(here[0].device, sweep, here[0].extras[sweep], here, slower))
    return sorted(made, key=attrgetter("sweep", "size"))


def exponents(found: Sequence[Race]) -> dict[tuple[str, str, str], Interval]:
    """How the time grows along each sweep of enough sizes: by device, sweep, implementation."""
    times: dict[tuple[str, str, str], list[tuple[int, float]]] = {}
    for race in found:
        for arm in race.arms if not race.main.lost else ():
            own = times.setdefault((race.device, race.sweep, arm.name), [])
            own.append((race.size, arm.extras["time_s"]))
    fitted = {}
    for key, own in times.items():
        if len(own) >= FITTED:
            sizes, seconds = zip(*own[-FITTED:], strict=True)
            fitted[key] = inference.power_law(seconds, {"size": sizes}).exponents["size"]
    return fitted


# ---- Fourier -------------------------------------------------------------------------------------


def levels(records: Sequence[Record]) -> Levels:
    """The runs with every number of coefficients."""
    found = {}
    for each in records:
        runs = accuracy.runs(each) if each.study == "fourier" else pd.DataFrame()
        for kept, own in runs.groupby("kept") if len(runs) else ():
            found[str(each.axes["device"]), str(each.axes["selection"]), int(kept)] = own
    return found


def contests(found: Levels) -> list[Arm]:
    """Leading against random at every number, and against all coefficients; not yet judged."""
    whole = accuracy.whole(found)
    most = {device: max(k for d, _, k in found if d == device) for device, _, _ in found}
    return [
        _contest(device, kept, whole, other)
        for device, selection, kept in whole
        if selection == LEADING and kept < most[device]
        for other in ((device, RANDOM, kept), (device, LEADING, most[device]))
        if other in whole
    ]


def _contest(device: str, kept: int, whole: Levels, other: tuple[str, str, int]) -> Arm:
    own = whole[device, LEADING, kept]
    group = f"{kept} at random" if other[1] == RANDOM else f"all {other[2]}"
    level, seen = inference.mean(own["test_accuracy"]), accuracy.difference(own, whole[other])
    extras = {"selection": LEADING, "fraction": float(own["fraction"].iloc[0]), "kept": kept}
    extras |= {"against": other[1], "against_kept": other[2]}
    return Arm(device, group, LEADING, f"{kept} leading", level, seen, extras=extras)


def same_at_all(found: Levels) -> bool | None:
    """Whether the control with all coefficients learned the same weights, bit for bit."""
    full: dict[str, list[pd.Series]] = {}
    for (device, _, _), own in accuracy.whole(found).items():
        if own["fraction"].iloc[0] == 1:
            full.setdefault(device, []).append(own.set_index("seed")["weights_sha256"])
    pairs = [pair for pair in full.values() if len(pair) == 2]
    return all(one.equals(other) for one, other in pairs) if pairs else None


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from the records of both studies."""
    runs = levels(records)
    judged = arms.judged([*timed(records), *contests(runs)])
    compared = [arm for arm in judged if "kept" in arm.extras]
    by_device = trials.by_device(records)
    raced = {name: races([arm for arm in judged if arm.device == name]) for name in by_device}
    told = {
        name: _tell(own, raced[name], [arm for arm in compared if arm.device == name])
        for name, own in by_device.items()
    }
    every = [race for own in raced.values() for race in own]
    times = [_time(race, name) for name, own in raced.items() if (race := largest(own))]
    learned = _contests(compared)
    return Findings(
        **vars(question.joined(told)),
        numbers={
            "disagreement": disagreement(records),
            "same_at_all": same_at_all(runs),
            "fastest": [
                {"device": race.device, "sweep": race.sweep, "size": race.size}
                | {"names": [arm.name for arm in race.best]}
                for race in every
                if not race.main.lost
            ],
            "exponents": [
                {"device": device, "sweep": sweep, "implementation": name}
                | verdict.ends("time", seen)
                | {"time_theory": TIME_EXPONENTS[sweep]}
                for (device, sweep, name), seen in exponents(every).items()
            ],
            "accuracy": [*map(arms.flat, compared)],
        },
        why=_why(records),
        method=_method(records),
        caveats=CAVEATS,
        views=times or learned or question.nothing(TITLE),
        folded=learned if times else [],
        table=_table(every),
        frame=trials.frame(records, map(arms.flat, judged)),
    )


def largest(raced: Sequence[Race]) -> Race | None:
    """The largest n that was timed."""
    return next((r for r in reversed(raced) if r.sweep == "n" and not r.main.lost), None)


def _tell(records: Sequence[Record], raced: Sequence[Race], compared: Sequence[Arm]) -> Told:
    """What is fastest at the largest n, where leading coefficients tell most, what is unknown.

    Where the largest n was lost, the headline rests on the next that was timed as well.
    """
    race, so, studies = largest(raced), "", arms.grouped(records, attrgetter("study"))
    last = [each for each in raced if each.sweep == "n"][-1:]
    asked = [*last, *([race] if race and last[0].main.lost else [])]
    cells = [each.main for each in asked] or [
        Main("quadratic layer", lost=trials.why_lost(studies.get("reduction", ())))
    ]
    contest = min(
        (arm for arm in compared if arm.extras["against"] == RANDOM),
        key=lambda arm: (arm.word == Word.UNKNOWN, -abs(arm.relative)),
        default=None,
    )
    lost = "" if contest else trials.why_lost(studies.get("fourier", ()))
    cells.append(Main("Fourier layer", contest.word if contest else None, lost))
    short, told = [], []
    if race and race.slower:
        short.append(f"fastest: {_named(race)}")
        told.append(_winner(race))
        # One or two that are faster than all the rest are worth a choice.
        if len(race.best) < 3:
            so = f"For a forward pass at {race.main.name} use {_named(race)}."
    if contest and contest.word in BEATS:
        short.append(f"{contest.label} Fourier coefficients {BEATS[contest.word]} random")
        told.append(f"{short[-1]}.")
    if unknown := [cell.name for cell in cells if not cell.lost and not cell.told]:
        names = (each.replace("n =", "quadratic layers at n =") for each in unknown)
        told.append(f"Cannot tell: {say.listed(names)}.")
    if unknown and not short:
        short.append("cannot tell")
    sentence = " ".join(filter(None, [*told, model.lost_told(cells)]))
    return Told(say.capital("; ".join(short)), sentence, so, cells)


def _winner(race: Race) -> str:
    """What is fastest at one n, and by how much: than einsum, or the next that is slower."""
    behind = min(race.slower.values(), key=RATIO)
    by = f"{behind.label} {say.longer(behind.seen)}"
    if len(race.best) == 1 and race.best[0].seen:
        by = f"which takes {say.longer(race.best[0].seen, 'einsum')}"
    return f"Quadratic layers at {race.main.name}: fastest with {_named(race)}, {by}."


def _named(race: Race) -> str:
    first, *others = (arm.label for arm in race.best)
    many = [f"{say.worded(len(others))} others"] if len(others) > 1 else others
    return say.listed([first, *many], "or")


# ---- why and how ---------------------------------------------------------------------------------


def disagreement(records: Sequence[Record]) -> float | None:
    """Largest relative difference between two implementations, in float64, at any size.

    Those count, too, that were refused because of it.
    """
    found: Any = [trial.result.get("disagreement", {}) for each in records for trial in each.trials]
    return accuracy.finite(max((v for each in found for v in each.values()), default=None))


def _accepted(right: Mapping[str, bool]) -> str:
    wrong = [NAMES[name] for name, fine in right.items() if not fine]
    return f"gradcheck {f'fails for {say.listed(wrong)}' if wrong else 'accepts all ways'}."


def _energy(shares: Sequence[float]) -> str:
    tenth = max(1, round(0.1 * len(shares)))
    return (
        f"The leading {tenth} of {len(shares)} coefficients hold {say.share(sum(shares[:tenth]))} "
        f"of what varies between images, the strongest {tenth} "
        f"{say.share(sum(sorted(shares)[-tenth:]))}."
    )


WHY: dict[str, Callable[[Any], str]] = {  # what the first trial of a check shows
    "gradcheck": lambda one: _accepted(one.result["right"]),
    "symmetry": lambda one: (
        "Only the symmetric part of W matters: an antisymmetric part as large changes outputs by "
        f"{say.number(one.result['change_by_antisymmetric'], 1)}, so "
        f"{say.count(one.result['parameters_that_matter'])} of its "
        f"{say.count(one.result['parameters'])} numbers suffice."
    ),
    "transform": lambda one: (
        f"rfft keeps all (inverse to {say.number(one.result['inverse_error'], 1)}); fft[:n//2] "
        f"drops a coefficient: at n = {one.what['n']} random input comes back off by "
        f"{say.number(one.result['halved_error'], 2)} of its size."
    ),
    "batch": lambda one: (
        "fftn mixes samples: exchanging one moves another's output by "
        f"{say.number(one.result['moved_by_fftn'], 2)} of its size."
    ),
    "data": lambda one: (
        "A layer that computes with weight.data gets no gradient and "
        + ("moves all the same." if one.result["moved_data"] else "never moves, silently.")
    ),
    "energy": lambda one: _energy(one.samples["share_centred"]),
}


def _why(records: Sequence[Record]) -> list[str]:
    apart, texts = disagreement(records), []
    if apart is not None:
        most = say.number(apart, 1)
        texts.append(f"The six ways differ by at most {most} of the result in float64.")
    texts += [tell(one) for name, tell in WHY.items() for one in trials.checks(records, name)[:1]]
    if same_at_all(levels(records)) is False:
        texts.append("With all coefficients the control learned OTHER weights: mistrust this run.")
    return texts


def _method(records: Sequence[Record]) -> list[str]:
    method, studies = [], {each.study: each for each in reversed(records)}
    if each := studies.get("reduction"):
        own: Any = each.settings
        base = ", ".join(f"{key} = {value}" for key, value in own["base"].items())
        method += [
            f"Forward passes in {own['dtype']}. Each sweep lets one size grow from {base}; all six "
            "ways of a size are one trial. A way is among the fastest unless it is called slower "
            "than the fastest.",
            f"Exponents: least squares of the logarithms over the {FITTED} largest sizes. Memory: "
            "the most that was allocated at one time beside operands and result.",
        ]
    if each := studies.get("fourier"):
        own, data = each.settings, each.provenance.dataset
        hidden = "-".join(map(str, [*own["hidden"], 10]))
        method.append(
            "Fourier: the kept coefficients of an image's 784 pixels"
            f"{f' ({data.name})' if data else ''}, scaled to variance 1, feed a ReLU perceptron "
            f"({hidden}): {own['seeds']} seeds, {own['epochs']} epochs of plain SGD, the best of "
            f"the rates {say.listed(map(say.setting, own['rates']))}. The control draws its "
            "positions anew for every seed."
        )
    return method


CAVEATS = [
    "Only the forward pass is timed; training also needs the backward pass.",
    "Weights are packed and their indices made once, outside of the timing.",
    "Images are read row by row; a transform of both dimensions orders frequencies otherwise.",
]


# ---- tables and figures --------------------------------------------------------------------------


def _table(raced: Sequence[Race]) -> Table:
    """Every way at every size, with how its time grows along the sweep."""
    growth = exponents(raced)

    def grows(arm: Arm) -> Cell | None:
        sweep = arm.extras["sweep"]
        seen = growth.get((arm.device, sweep, arm.name))
        text = f"{say.interval(seen)} ({TIME_EXPONENTS[sweep]})" if seen else ""
        return Cell(text=text, value=seen.value) if seen else None

    return arms.table(
        [arm for race in raced for arm in race.arms],
        "way",
        unit="µs",
        scale=1e6,
        against="against einsum",
        group="size",
        extra={
            "operations": lambda arm: FLOPS[arm.name],
            "time ~ size^x (theory)": grows,
            "memory (MB)": arms.extra("memory_bytes", lambda size: say.number(size / 1e6)),
            "memory ~": lambda arm: MEMORY[arm.name],
        },
    )


def _contests(compared: Sequence[Arm]) -> list[Shown]:
    columns = {"value": "accuracy", "against": "difference", "group": "against"}
    table = arms.table(compared, "coefficients", told=say.accuracy, **columns)
    return [question.of_table(CONTESTS, table)] if compared else []


def _time(race: Race, name: str) -> Shown:
    sizes = ", ".join(f"{size} {race.arms[0].extras[size]}" for size in TIME_EXPONENTS)
    axis = Axis("time as a multiple of einsum's (bar: 95 %)", log=True)
    rows = {"": [arm.row() for arm in race.arms]}
    return question.dotted(f"{TITLE}: {sizes}", rows, axis, name=name, line=1.0)


main = partial(question.run, "custom_layers", answer)

if __name__ == "__main__":
    main()
