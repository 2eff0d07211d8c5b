"""Custom layers: which implementation of a quadratic layer to take, and what Fourier's layer keeps.

Times are compared with those of `einsum`, inside the trial of each size, and with the fastest.
Exponents are fitted to the largest sizes of a sweep: below them it is the number of calls that
costs, not the arithmetic. Accuracies are paired by seed: the leading coefficients against as many
at random.
"""

from __future__ import annotations

import math
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
    lost: str
    arms: Sequence[Arm]
    slower: Mapping[str, Arm]  # than the fastest, beside that

    @property
    def name(self) -> str:
        return self.arms[0].group

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
    """Judged arms by size, the sizes of a sweep in their order."""
    made = []
    for own in arms.grouped(found, lambda arm: f"{arm.device}: {arm.group}").values():
        here = sorted((arm for arm in own if arm.extras["against"] == ANCHOR), key=RATIO)
        beside = [arm for arm in own if arm.extras["against"] == here[0].name]
        slower = {arm.name: arm for arm in beside if arm.word == Word.SLOWER}
        first, sweep = here[0], here[0].extras["sweep"]
        made.append(Race(first.device, sweep, first.extras[sweep], first.lost, here, slower))
    return sorted(made, key=lambda race: (race.device, race.sweep, race.size))


def exponents(found: Sequence[Race]) -> dict[tuple[str, str, str], Interval]:
    """How the time grows along each sweep of enough sizes: by device, sweep, implementation."""
    times: dict[tuple[str, str, str], dict[int, float]] = {}
    for race in found:
        for arm in race.arms if not race.lost else ():
            own = times.setdefault((race.device, race.sweep, arm.name), {})
            own[race.size] = arm.extras["time_s"]
    return {
        key: inference.power_law(
            [*own.values()][-FITTED:], {"size": [*own][-FITTED:]}
        ).exponents["size"]
        for key, own in times.items()
        if len(own) >= FITTED
    }  # fmt: skip


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


@dataclass(frozen=True)
class Seen:
    """What the records of one device hold, judged with those of the others."""

    records: Sequence[Record]
    races: Sequence[Race]
    contests: Sequence[Arm]

    @property
    def by_n(self) -> list[Race]:
        """The sweep of n, largest first; that size is what the headline asks for."""
        return [race for race in reversed(self.races) if race.sweep == "n"]

    @property
    def largest(self) -> Race | None:
        """The largest n that was timed."""
        return next((race for race in self.by_n if not race.lost), None)

    @property
    def telling(self) -> Arm | None:
        """Leading against random where most can be told; None where nothing was compared."""
        mine = [arm for arm in self.contests if arm.extras["against"] == RANDOM]
        clearest = sorted(mine, key=lambda arm: (arm.word == Word.UNKNOWN, -abs(arm.seen.value)))
        return clearest[0] if clearest else None

    @property
    def cells(self) -> list[Main]:
        """The headline rests on the largest n and on whether leading coefficients are worth more.

        Where the largest was lost, on the next that was timed as well.
        """
        asked = self.by_n[:1]
        if asked and asked[0].lost and self.largest:
            asked.append(self.largest)
        raced = [Main(r.name, None if r.slower else Word.UNKNOWN, r.lost) for r in asked]
        contest = self.telling
        return [
            *(raced or [Main("quadratic layer", lost=self._lost("reduction"))]),
            Main("Fourier layer", contest.word)
            if contest
            else Main("Fourier layer", lost=self._lost("fourier")),
        ]

    def _lost(self, study: str) -> str:
        return trials.why_lost(each for each in self.records if each.study == study)


def by_device(records: Sequence[Record], judged: Sequence[Arm]) -> dict[str, Seen]:
    """Records and verdicts, device by device."""
    raced = races([arm for arm in judged if "sweep" in arm.extras])
    return {
        device: Seen(
            own,
            [race for race in raced if race.device == device],
            [arm for arm in judged if arm.device == device and "kept" in arm.extras],
        )
        for device, own in trials.by_device(records).items()
    }


def answer(records: list[Record]) -> Findings:
    """Answer from the records of both studies."""
    judged = arms.judged([*timed(records), *contests(levels(records))])
    found = by_device(records, judged)
    raced = [race for seen in found.values() for race in seen.races]
    compared = [arm for seen in found.values() for arm in seen.contests]
    told = question.joined({name: _tell(seen) for name, seen in found.items()})
    times = [_time(seen.largest, name) for name, seen in found.items() if seen.largest]
    learned = _contests(compared)
    return Findings(
        **vars(told),
        numbers=_numbers(records, raced, compared),
        why=_why(records),
        method=_method(records),
        caveats=CAVEATS,
        views=times or learned or question.nothing(TITLE),
        folded=learned if times else [],
        table=_table(raced),
        frame=trials.frame(records, map(arms.flat, judged)),
    )


def _tell(seen: Seen) -> Told:
    """With what the quadratic layer is fastest at the largest n, and what cannot be told."""
    race, contest, so = seen.largest, seen.telling, ""
    short, told = [], []
    if race and race.slower:
        short.append(f"fastest: {_named(race)}")
        told.append(_winner(race))
        # One or two that are faster than all the rest are worth a choice.
        so = f"For a forward pass at {race.name} use {_named(race)}." if len(race.best) < 3 else ""
    if contest and contest.word in BEATS:
        short.append(f"{contest.label} Fourier coefficients {BEATS[contest.word]} random")
        told.append(f"{short[-1]}.")
    if unknown := [cell.name for cell in seen.cells if not cell.lost and not cell.told]:
        told.append(f"Cannot tell: {say.listed(unknown)}.")
    sentence = " ".join(filter(None, [*told, model.lost_told(seen.cells)]))
    return Told(say.capital("; ".join(short)), sentence, so, seen.cells)


def _winner(race: Race) -> str:
    """What is fastest at one n, and by how much: than einsum, or the next that is slower."""
    behind = min(race.slower.values(), key=RATIO)
    by = f"{behind.label} {say.longer(behind.seen)}"
    if len(race.best) == 1 and race.best[0].seen:
        by = f"which takes {say.longer(race.best[0].seen, 'einsum')}"
    return f"Quadratic layers at {race.name}: fastest with {_named(race)}, {by}."


def _named(race: Race) -> str:
    first, *others = (arm.label for arm in race.best)
    many = [f"{say.worded(len(others))} others"] if len(others) > 1 else others
    return say.listed([first, *many], "or")


def _numbers(
    records: Sequence[Record], raced: Sequence[Race], compared: Sequence[Arm]
) -> dict[str, Any]:
    return {
        "disagreement": accuracy.finite(disagreement(records)),
        "same_at_all": same_at_all(levels(records)),
        "fastest": [
            {"device": race.device, "sweep": race.sweep, "size": race.size}
            | {"names": [arm.name for arm in race.best]}
            for race in raced
            if not race.lost
        ],
        "exponents": [
            {"device": device, "sweep": sweep, "implementation": name}
            | verdict.ends("time", seen)
            | {"time_theory": TIME_EXPONENTS[sweep]}
            for (device, sweep, name), seen in exponents(raced).items()
        ],
        "accuracy": [*map(arms.flat, compared)],
    }


# ---- why and how ---------------------------------------------------------------------------------


def checks(records: Sequence[Record], study: str, check: str) -> list[Trial]:
    """Every trial of one check that went well."""
    mine = [each for each in question.measured(records) if each.study == study]
    return [trial for each in mine for trial in each.trials if trial.what.get("check") == check]


def disagreement(records: Sequence[Record]) -> float:
    """Largest relative difference between two implementations, in float64, at any size.

    Those count, too, that were refused because of it.
    """
    found: Any = [trial.result.get("disagreement", {}) for each in records for trial in each.trials]
    return max((value for each in found for value in each.values()), default=math.nan)


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


# What the first trial of a check shows, by study and check.
WHY: dict[tuple[str, str], Callable[[Any], str]] = {
    ("reduction", "gradcheck"): lambda one: _accepted(one.result["right"]),
    ("reduction", "symmetry"): lambda one: (
        "Only the symmetric part of W matters: an antisymmetric part as large changes outputs by "
        f"{say.number(one.result['change_by_antisymmetric'], 1)}, so "
        f"{say.count(one.result['parameters_that_matter'])} of its "
        f"{say.count(one.result['parameters'])} numbers suffice."
    ),
    ("fourier", "transform"): lambda one: (
        f"rfft keeps all (inverse to {say.number(one.result['inverse_error'], 1)}); fft[:n//2] "
        f"drops a coefficient: at n = {one.what['n']} random input comes back off by "
        f"{say.number(one.result['halved_error'], 2)} of its size."
    ),
    ("fourier", "batch"): lambda one: (
        "fftn mixes samples: exchanging one moves another's output by "
        f"{say.number(one.result['moved_by_fftn'], 2)} of its size."
    ),
    ("fourier", "data"): lambda one: (
        "A layer that computes with weight.data gets no gradient and "
        + ("moves all the same." if one.result["moved_data"] else "never moves, silently.")
    ),
    ("fourier", "energy"): lambda one: _energy(one.samples["share_centred"]),
}


def _why(records: Sequence[Record]) -> list[str]:
    apart = disagreement(records)
    texts = [tell(trial) for key, tell in WHY.items() for trial in checks(records, *key)[:1]]
    if not math.isnan(apart):
        most = say.number(apart, 1)
        texts.insert(0, f"The six ways differ by at most {most} of the result in float64.")
    if same_at_all(levels(records)) is False:
        texts.append("With all coefficients the control learned OTHER weights: mistrust this run.")
    return texts


def _method(records: Sequence[Record]) -> list[str]:
    method = []
    for each in [r for r in records if r.study == "reduction"][:1]:
        own: Any = each.settings
        base = ", ".join(f"{key} = {value}" for key, value in own["base"].items())
        method += [
            f"Forward passes in {own['dtype']}. Each sweep lets one size grow from {base}; all six "
            "ways of a size are one trial. A way is among the fastest unless it is called slower "
            "than the fastest.",
            f"Exponents: least squares of the logarithms over the {FITTED} largest sizes. Memory: "
            "the most that was allocated at one time beside operands and result.",
        ]
    for each in [r for r in records if r.study == "fourier"][:1]:
        own, data = each.settings, each.provenance.dataset
        method.append(
            "Fourier: the kept coefficients of an image's 784 pixels"
            f"{f' ({data.name})' if data else ''}, scaled to variance 1, feed a ReLU perceptron "
            f"({'-'.join(map(str, [*own['hidden'], 10]))}): {own['seeds']} seeds, {own['epochs']} "
            f"epochs of plain SGD, the best of the rates "
            f"{say.listed(map(say.setting, own['rates']))}. The control draws its positions anew "
            "for every seed."
        )
    return method


CAVEATS = [
    "Only the forward pass is timed; training also needs the backward pass.",
    "Weights are packed and their indices made once, outside of the timing, as a layer would do "
    "it.",
    "Images are read pixel row by pixel row; a transform of both dimensions would order the "
    "frequencies otherwise.",
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
