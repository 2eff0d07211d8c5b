"""Custom layers: which implementation of a quadratic layer to take, and what Fourier's layer keeps.

Times are compared with those of `einsum`, inside the trial of each size, and with the fastest.
Exponents are fitted to the largest sizes of a sweep: below them it is the number of calls that
costs, not the arithmetic. Accuracies are paired by seed: the leading coefficients against as many
at random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import pandas as pd
from assay.answer import accuracy, arms, inference, model, question, say, trials, verdict
from assay.answer.arms import Arm
from assay.answer.figure import TONES, Axis, Row, Tone
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown
from assay.answer.verdict import Word
from assay.record import Record, Trial

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
SELECTIONS = {LEADING: "leading", RANDOM: "random (control)"}
BEATS = {Word.BETTER: "beat", Word.WORSE: "lose to", Word.SAME: "equal"}
WHERE = ("sweep", *TIME_EXPONENTS)  # extras that tell one trial from another
RATIO = attrgetter("relative")
TITLE = "Time of a quadratic layer against einsum"
ACCURACIES = "Accuracy with the leading and with random Fourier coefficients"
CONTESTS = "Leading Fourier coefficients against as many at random, and against all"

Levels = Mapping[tuple[str, str, int], pd.DataFrame]  # runs by device, selection and number kept


def memory_exponent(name: str, size: str) -> int:
    """The exponent of a size in the memory of an implementation, from its formula."""
    symbol, formula = size[0], MEMORY[name]
    return 2 if f"{symbol}²" in formula else int(symbol in formula)


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


def exponents(found: Sequence[Race]) -> list[dict[str, Any]]:
    """How the time and memory of each implementation grow with each size that has two values."""
    by_key: dict[tuple[str, str, str], dict[int, Arm]] = {}
    for race in found:
        for arm in race.arms if not race.lost else ():
            by_key.setdefault((race.device, race.sweep, arm.name), {})[race.size] = arm
    return [
        {
            **dict(zip(("device", "sweep", "implementation"), key, strict=True)),
            **_exponents([*own][-FITTED:], [*own.values()][-FITTED:]),
            "time_theory": TIME_EXPONENTS[key[1]],
            "memory_theory": memory_exponent(key[2], key[1]),
        }
        for key, own in by_key.items()
        if len(own) > 1
    ]


def _exponents(sizes: Sequence[int], own: Sequence[Arm]) -> dict[str, float | None]:
    times, memory = ([arm.extras[key] for arm in own] for key in ("time_s", "memory_bytes"))
    time, *counted = (
        inference.power_law(values, {"size": sizes}).exponents["size"]
        for values in ([times, memory] if all(memory) else [times])
    )
    return {**verdict.ends("time", time), "memory": counted[0].value if counted else None}


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


# ---- checks --------------------------------------------------------------------------------------


def results(records: Sequence[Record], study: str, check: str) -> list[dict[str, Any]]:
    """The results of one check, from every record of a study."""
    return [dict(trial.result) for trial in _trials(records, study, check)]


def _trials(records: Sequence[Record], study: str, check: str) -> list[Trial]:
    mine = [each for each in question.measured(records) if each.study == study]
    return [trial for each in mine for trial in each.trials if trial.what.get("check") == check]


def disagreement(records: Sequence[Record]) -> float:
    """Largest relative difference between two implementations, in float64, at any size.

    Those count, too, that were refused because of it.
    """
    found: Any = [trial.result.get("disagreement", {}) for each in records for trial in each.trials]
    return max((value for each in found for value in each.values()), default=math.nan)


# ---- telling -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the records of one device hold, judged with those of the others."""

    name: str
    on: str  # its name before what is said of it, only where there are several
    records: Sequence[Record]
    races: Sequence[Race]
    contests: Sequence[Arm]
    levels: Levels

    @property
    def by_n(self) -> list[Race]:
        """The sweep of n, largest first; that size is what the headline asks for."""
        return [race for race in reversed(self.races) if race.sweep == "n"]

    @property
    def whole(self) -> list[Race]:
        """Those sizes that were timed."""
        return [race for race in self.by_n if not race.lost]

    @property
    def won(self) -> Race | None:
        """The largest of them; None where it cannot be told what is fastest there."""
        return next((race for race in self.whole[:1] if race.slower), None)

    @property
    def telling(self) -> Arm | None:
        """Leading against random where most can be told; None where nothing was compared."""
        mine = [arm for arm in self.contests if arm.extras["against"] == RANDOM]
        clearest = sorted(mine, key=lambda arm: (arm.word == Word.UNKNOWN, -abs(arm.seen.value)))
        return clearest[0] if clearest else None

    def lost(self, study: str) -> str:
        """Why a study has nothing to tell."""
        return trials.why_lost(each for each in self.records if each.study == study)


def by_device(records: Sequence[Record], judged: Sequence[Arm]) -> list[Seen]:
    """Records and verdicts, device by device."""
    learned, here = levels(records), trials.by_device(records)
    raced = races([arm for arm in judged if "sweep" in arm.extras])
    return [
        Seen(
            device,
            say.on(device, here),
            own,
            [race for race in raced if race.device == device],
            [arm for arm in judged if arm.device == device and "kept" in arm.extras],
            {key: runs for key, runs in learned.items() if key[0] == device},
        )
        for device, own in here.items()
    ]


def answer(records: list[Record]) -> Findings:
    """Answer from the records of both studies."""
    judged = arms.judged([*timed(records), *contests(levels(records))])
    found = by_device(records, judged)
    cells = [cell for seen in found for cell in _cells(seen)]
    raced = [race for seen in found for race in seen.races]
    compared = [arm for seen in found for arm in seen.contests]
    times = [  # every n, largest first; of several devices the largest n alone
        _time(race, seen.name if seen.on else race.name)
        for seen in found
        for race in (seen.whole[:1] if seen.on else seen.whole)
    ]
    learned = [view for seen in found for view in _accuracies(seen)]
    return Findings(
        short=_short(found),
        cells=cells,
        sentence=_sentence(found, cells),
        so=_so(found),
        numbers=_numbers(records, raced, compared),
        why=_why(records),
        method=_method(records),
        caveats=CAVEATS,
        views=times or learned or question.nothing(TITLE),
        switch="Size" if times and len(found) == 1 else "Device",
        folded=[*(learned if times else []), *_contest_table(compared)],
        table=_table(raced),
        frame=trials.frame(records, map(arms.flat, judged)),
    )


def _cells(seen: Seen) -> list[Main]:
    """The headline rests on the largest n and on whether leading coefficients are worth more."""
    where, contest = f"{seen.name} " if seen.on else "", seen.telling
    asked = seen.by_n[:1]
    asked += seen.whole[:1] if any(race.lost for race in asked) else []
    raced = [
        Main(f"{where}{race.name}", None if race.slower else Word.UNKNOWN, race.lost)
        for race in asked
    ]
    raced = raced or [Main(f"{where}quadratic layer", lost=seen.lost("reduction"))]
    fourier = Main(f"{where}Fourier layer", lost=seen.lost("fourier"))
    return [*raced, Main(fourier.name, contest.word) if contest else fourier]


def _sentence(found: Sequence[Seen], cells: Sequence[Main]) -> str:
    """With what the quadratic layer is fastest at the largest n, and what cannot be told."""
    if not any(seen.whole or seen.levels for seen in found):
        return question.NOTHING
    told = [f"{seen.on}{_winner(seen.won)}" for seen in found if seen.won]
    unknown = [cell.name for cell in cells if not cell.lost and not cell.told]
    notes = [model.lost_told(cells), f"Cannot tell: {say.listed(unknown)}." if unknown else ""]
    nothing = ["How a custom layer is best computed cannot be told."]
    return " ".join([*(told or nothing), *filter(None, notes)])


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


def _short(found: Sequence[Seen]) -> str:
    parts = []
    for seen in found:
        if race := seen.won:
            first, *others = race.best
            alone = first.seen and not others
            change = f"{say.change(first.seen.value)} against einsum" if alone else "fastest"
            parts.append(f"{seen.on}{_named(race)} {change}")
        elif seen.whole:
            parts.append(f"{seen.on}cannot tell what is fastest")
    contest = found[0].telling if len(found) == 1 else None
    if contest and contest.word in BEATS:
        parts.append(f"{contest.label} Fourier coefficients {BEATS[contest.word]} random")
    return _joined(parts) or "Not measured"


def _so(found: Sequence[Seen]) -> str:
    """What to use: only where one or two were found faster than all the rest."""
    parts = [
        f"{seen.on}for a forward pass at {seen.won.name} use {_named(seen.won)}"
        for seen in found
        if seen.won and len(seen.won.best) < 3
    ]
    return f"{_joined(parts)}." if parts else ""


def _joined(parts: Sequence[str]) -> str:
    """Parts of a sentence; the names of devices stay as they are."""
    text = "; ".join(parts)
    return text if ": " in text else say.capital(text)


def _numbers(
    records: Sequence[Record], raced: Sequence[Race], compared: Sequence[Arm]
) -> dict[str, Any]:
    learned = levels(records)
    fastest = [
        {"device": r.device, "sweep": r.sweep, "size": r.size, "names": [a.name for a in r.best]}
        for r in raced
        if not r.lost
    ]
    kept = [
        {"device": arm.device}
        | {key: arm.extras[key] for key in ("kept", "against", "against_kept")}
        | accuracy.verdict_numbers(arm.seen, arm.word)
        for arm in compared
    ]
    lost = {
        f"{device}, {kept} {SELECTIONS[selection]} coefficients": text
        for (device, selection, kept), own in learned.items()
        if (text := accuracy.lost(own))
    }
    return {
        "disagreement": accuracy.finite(disagreement(records)),
        "same_at_all": same_at_all(learned),
        "fastest": fastest,
        "exponents": exponents(raced),
        "accuracy": kept,
        "lost": lost,
    }


# ---- why and how ---------------------------------------------------------------------------------


def _why(records: Sequence[Record]) -> list[str]:
    texts = []
    right = [one["right"] for one in results(records, "reduction", "gradcheck")]
    apart = disagreement(records)
    if right and not math.isnan(apart):
        wrong = sorted({NAMES[name] for each in right for name, fine in each.items() if not fine})
        texts.append(
            f"The six ways differ by at most {say.number(apart, 1)} of the result in float64; "
            f"gradcheck {f'fails for {say.listed(wrong)}' if wrong else 'accepts all'}."
        )
    for one in results(records, "reduction", "symmetry")[:1]:
        texts.append(
            "Only the symmetric part of W matters: an antisymmetric part as large changes outputs "
            f"by {say.number(one['change_by_antisymmetric'], 1)}, so "
            f"{say.count(one['parameters_that_matter'])} of its {say.count(one['parameters'])} "
            "numbers suffice."
        )
    return [*texts, *_transforms(records), *_traps(records), *_control(records)]


def _transforms(records: Sequence[Record]) -> list[str]:
    rows: dict[Any, Any] = {t.what["n"]: t.result for t in _trials(records, "fourier", "transform")}
    if not rows:
        return []
    n = 8 if 8 in rows else max(rows)
    worst = max(each["inverse_error"] for each in rows.values())
    right = all(each["gradient_right"] for each in rows.values())
    return [
        f"rfft keeps all (inverse to {say.number(worst, 1)}); fft[:n//2] drops a coefficient: at "
        f"n = {n} random input comes back off by {say.number(rows[n]['halved_error'], 2)} of its "
        "size."
        f"{'' if right else ' Its gradients are WRONG.'}"
    ]


def _traps(records: Sequence[Record]) -> list[str]:
    mixed = [
        "fftn mixes samples: exchanging one moves another's output by "
        f"{say.number(each['moved_by_fftn'], 2)} of its size."
        for each in results(records, "fourier", "batch")[:1]
    ]
    return mixed + [
        "A layer that computes with weight.data gets no gradient and never moves, silently."
        for each in results(records, "fourier", "data")[:1]
        if not each["has_gradient_data"] and each["moved_data"] == 0
    ]


def _control(records: Sequence[Record]) -> list[str]:
    """Whether the control was one, and which coefficients hold most."""
    wrong = "With all coefficients the control learned OTHER weights: mistrust this run."
    texts = [wrong] if same_at_all(levels(records)) is False else []
    for trial in _trials(records, "fourier", "energy")[:1]:
        shares = [float(str(value)) for value in trial.samples["share_centred"]]
        tenth = max(1, round(0.1 * len(shares)))
        texts.append(
            f"The leading {tenth} of {len(shares)} coefficients hold "
            f"{say.share(sum(shares[:tenth]))} of what varies between images, the strongest "
            f"{tenth} {say.share(sum(sorted(shares)[-tenth:]))}."
        )
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
    """Every way at every size, with how its time and memory grow along the sweep."""
    growth = {(e["device"], e["sweep"], e["implementation"]): e for e in exponents(raced)}

    def grows(arm: Arm, what: str) -> Cell | None:
        own = growth.get((arm.device, arm.extras["sweep"], arm.name), {})
        value, low = own.get(what), own.get(f"{what}_low")
        if value is None:
            return None
        ends = "" if low is None else f" [{say.fixed(low, 2)}, {say.fixed(own[f'{what}_high'], 2)}]"
        return Cell(text=f"{say.fixed(value, 2)}{ends} ({own[f'{what}_theory']})", value=value)

    return arms.table(
        [arm for race in raced for arm in race.arms],
        "way",
        unit="µs",
        scale=1e6,
        against="against einsum",
        group="size",
        extra={
            "operations": lambda arm: FLOPS[arm.name],
            "time ~ size^x (theory)": lambda arm: grows(arm, "time"),
            "memory (MB)": arms.extra("memory_bytes", lambda size: say.number(size / 1e6)),
            "memory ~": lambda arm: MEMORY[arm.name],
            "memory ~ size^x (theory)": lambda arm: grows(arm, "memory"),
        },
    )


def _contest_table(compared: Sequence[Arm]) -> list[Shown]:
    columns = {"value": "accuracy", "against": "difference", "group": "against"}
    table = arms.table(compared, "coefficients", told=say.accuracy, **columns)
    return [question.of_table(CONTESTS, table)] if compared else []


def _time(race: Race, name: str) -> Shown:
    sizes = ", ".join(f"{size} {race.arms[0].extras[size]}" for size in TIME_EXPONENTS)
    title = f"{TITLE}: {sizes}"
    axis = Axis("time as a multiple of einsum's (bar: 95 %)", log=True)
    return question.dotted(title, {"": [a.row() for a in race.arms]}, axis, name=name, line=1.0)


def _accuracies(seen: Seen) -> list[Shown]:
    """Leading beside random coefficients, fewest first."""
    if len(accuracy.whole(seen.levels)) < 2:
        return []
    by_random = [arm for arm in seen.contests if arm.extras["against"] == RANDOM]
    words = {(LEADING, arm.extras["kept"]): arm.word for arm in by_random}
    groups: dict[str, list[Row]] = {}
    for (_, selection, kept), own in sorted(seen.levels.items(), key=lambda item: item[0][2]):
        row = _level(selection, own, words.get((selection, kept)))
        groups.setdefault(say.plural(kept, "coefficient"), []).append(row)
    axis = Axis("test accuracy in % (bar: 95 %)", within=(0, 100))
    return [question.dotted(f"{seen.on}{ACCURACIES}", groups, axis, name=seen.name)]


def _level(selection: str, own: pd.DataFrame, word: Word | None) -> Row:
    if lost := accuracy.lost(own):
        return Row(selection, None, lost)
    level = inference.mean(own["test_accuracy"])
    text = f"{say.fixed(100 * level.value, 1)} %{f', {word.value}' if word else ''}"
    tone = TONES[word] if word else Tone.REFERENCE
    return Row(selection, arms.scaled(level, 100), text, tone=tone)


main = partial(question.run, "custom_layers", answer)

if __name__ == "__main__":
    main()
