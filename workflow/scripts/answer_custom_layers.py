"""Custom layers: which implementation of a quadratic layer to take, and what Fourier's layer keeps.

Times are compared with those of `einsum`, inside the trial of each size. Exponents are fitted to
the largest sizes of a sweep: below them it is the number of calls that costs, not the arithmetic.
Accuracies are paired by seed: the leading coefficients against as many at random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from assay import inference
from assay.answer import accuracy, question, verdict
from assay.answer import old_figure as figure
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure

ANCHOR = "einsum"
NAMES = {
    "einsum": "einsum",
    "bilinear": "nn.Bilinear",
    "outer": "outer + matmul",
    "matmul": "matmul then ×",
    "packed": "packed (i ≤ j)",
    "brute_force": "brute force",
}
COLOURS = dict(zip(NAMES, figure.CYCLE, strict=True))
FLOPS = dict.fromkeys(NAMES, "2bkn²") | {"packed": "bkn²", "brute_force": "3bkn²"}
TIME_EXPONENTS = {"batch": 1, "n": 2, "k": 1}  # of every implementation, for large sizes
# What an implementation needs at one time beside its operands and result.
MEMORY = {
    "einsum": "bkn",
    "bilinear": "bn",
    "outer": "bn²",
    "matmul": "bkn",
    "packed": "bn²",
    "brute_force": "bkn²",
}
FITTED = 3  # exponents come from so many largest sizes of a sweep
LEADING, RANDOM = "leading", "random"
SELECTIONS = {LEADING: "leading", RANDOM: "random (control)"}


def memory_exponent(name: str, size: str) -> int:
    """The exponent of a size in the memory of an implementation, from its formula."""
    symbol, formula = size[0], MEMORY[name]
    return 2 if f"{symbol}²" in formula else int(symbol in formula)


# ---- the reduction: what was measured ------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Cell:
    """One size of a sweep: every implementation in one trial."""

    device: str
    sweep: str
    sizes: dict[str, int]
    times: dict[str, Interval]  # seconds of a call
    memory: dict[str, int | None]  # bytes beside operands and result
    seen: dict[str, Comparison]  # relative to the anchor

    @property
    def size(self) -> int:
        """The size that the sweep varies."""
        return self.sizes[self.sweep]

    @cached_property
    def order(self) -> list[str]:
        """The implementations, fastest first."""
        return sorted(NAMES, key=lambda name: self.seen[name].value if name in self.seen else 1.0)

    @cached_property
    def behind(self) -> dict[str, Comparison]:
        """The others relative to the fastest."""
        best, *others = self.order
        return self.seen if best == ANCHOR else {n: self._against(n, best) for n in others}

    def _against(self, name: str, best: str) -> Comparison:
        """Of two ratios to the anchor, as if apart: what they share only makes it wider."""
        terms: list[tuple[float, Interval]] = [(-1.0, self.seen[best])]
        if name != ANCHOR:
            terms.append((1.0, self.seen[name]))
        return verdict.contrast(terms, noise=self.seen[best].noise)

    def fastest(self, words: Mapping[Comparison, Word]) -> list[str]:
        """The fastest implementation, and behind it those that are not called slower."""
        best, *others = self.order
        return [best, *(name for name in others if words[self.behind[name]] != Word.SLOWER)]


def cells(records: Sequence[Record]) -> list[Cell]:
    """Every size that could be timed, in the order of the sweeps."""
    return [
        _cell(each, trial)
        for each in records
        if each.study == "reduction"
        for trial in each.trials
        if trial.status == Status.OK and "check" not in trial.what
    ]


def _cell(record: Record, trial: Trial) -> Cell:
    result: Any = trial.result
    what: Any = trial.what
    arms = {ANCHOR: result["arms"]["anchor"], **result["arms"]}
    return Cell(
        device=str(record.axes["device"]),
        sweep=str(record.axes["sweep"]),
        sizes={name: what[name] for name in TIME_EXPONENTS},
        times={name: _interval(arms[name]) for name in NAMES},
        memory={name: result["memory_bytes"][name]["temporary"] for name in NAMES},
        seen={name: verdict.paired(result, name) for name in NAMES if name != ANCHOR},
    )


def _interval(arm: Mapping[str, float]) -> Interval:
    return Interval(arm["time_median_s"], arm["time_low_s"], arm["time_high_s"])


@dataclass(frozen=True)
class Growth:
    """How an implementation's time and memory grow with one size."""

    device: str
    sweep: str
    name: str
    time: Interval
    memory: float | None  # None where it needs none, or none was counted

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is the growth of."""
        return self.device, self.sweep, self.name


def growths(found: Sequence[Cell]) -> list[Growth]:
    """Exponents of every implementation over every sweep of at least two sizes."""
    sweeps = dict.fromkeys((cell.device, cell.sweep) for cell in found)
    result = []
    for device, sweep in sweeps:
        mine = [cell for cell in found if (cell.device, cell.sweep) == (device, sweep)]
        largest = sorted(mine, key=lambda cell: cell.size)[-FITTED:]
        if len(largest) < 2:
            continue
        for name in NAMES:
            times = {cell.size: cell.times[name].value for cell in largest}
            bytes_ = {cell.size: cell.memory[name] or 0 for cell in largest}
            result.append(
                Growth(
                    device,
                    sweep,
                    name,
                    time=_exponent(times),
                    memory=_exponent(bytes_).value if all(bytes_.values()) else None,
                )
            )
    return result


def _exponent(values: Mapping[int, float]) -> Interval:
    return inference.power_law([*values.values()], {"size": [*values]}).exponents["size"]


# ---- Fourier: what was learned -------------------------------------------------------------------


@dataclass(frozen=True)
class Level:
    """An accuracy at one number of coefficients."""

    device: str
    selection: str
    fraction: float
    kept: int
    runs: pd.DataFrame

    @property
    def lost(self) -> str | None:
        """In how many runs it diverged; None if in none."""
        return accuracy.lost(self.runs)

    @property
    def accuracy(self) -> Interval:
        """On the test images, over the seeds; none may be lost."""
        return inference.mean(self.runs["test_accuracy"])


@dataclass(frozen=True)
class Contest:
    """A level against another one of the same device, seed by seed."""

    level: Level
    against: Level
    difference: Comparison


def levels(records: Sequence[Record]) -> list[Level]:
    """Every number of coefficients that was learned from, fewest first."""
    found = []
    for each in records:
        runs = accuracy.runs(each) if each.study == "fourier" else pd.DataFrame()
        if len(runs):
            device, selection = str(each.axes["device"]), str(each.axes["selection"])
            for (fraction, kept), rows in runs.groupby(["fraction", "kept"]):
                found.append(Level(device, selection, float(fraction), int(kept), rows))
    return found


def contests(found: Sequence[Level]) -> list[Contest]:
    """Leading against random at every number, and against all coefficients; whole levels only."""
    by_key = {(x.device, x.selection, x.kept): x for x in found if not x.lost}
    most = {level.device: max(x.kept for x in found if x.device == level.device) for level in found}
    pairs = [
        (level, by_key.get(other))
        for (device, selection, kept), level in by_key.items()
        if selection == LEADING and kept < most[device]
        for other in ((device, RANDOM, kept), (device, LEADING, most[device]))
    ]
    return [
        Contest(level, other, accuracy.difference(level.runs, other.runs))
        for level, other in pairs
        if other
    ]


def same_at_all(found: Sequence[Level]) -> bool | None:
    """Whether the control with all coefficients learned the same weights, bit for bit."""
    full = {
        (level.device, level.selection): level.runs.set_index("seed")["weights_sha256"]
        for level in found
        if level.fraction == 1
    }
    pairs = [
        (full[d, LEADING], full[d, RANDOM]) for d, s in full if s == LEADING and (d, RANDOM) in full
    ]
    return all(one.equals(other) for one, other in pairs) if pairs else None


# ---- checks --------------------------------------------------------------------------------------


def results(records: Sequence[Record], study: str, check: str) -> list[dict[str, Any]]:
    """The results of one check, from every record of a study."""
    return [dict(trial.result) for trial in _trials(records, study, check)]


def _trials(records: Sequence[Record], study: str, check: str) -> list[Trial]:
    return [
        trial
        for each in question.measured(records)
        if each.study == study
        for trial in each.trials
        if trial.what.get("check") == check
    ]


def disagreement(records: Sequence[Record]) -> float:
    """Largest relative difference between two implementations, in float64, at any size.

    Those count, too, that were refused because of it.
    """
    found: Any = [
        trial.result["disagreement"]
        for each in records
        for trial in each.trials
        if "disagreement" in trial.result
    ]
    return max((value for each in found for value in each.values()), default=math.nan)


def energy(records: Sequence[Record]) -> list[float]:
    """Share of the images' energy by coefficient, their mean image taken off; empty if unknown."""
    found = _trials(records, "fourier", "energy")
    return [float(str(value)) for value in found[0].samples["share_centred"]] if found else []


# ---- telling -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Everything that the records hold, judged."""

    records: Sequence[Record]
    cells: list[Cell]
    growths: list[Growth]
    levels: list[Level]  # of which no run was lost
    lost: list[Level]
    contests: list[Contest]
    words: Mapping[Comparison, Word]

    @property
    def devices(self) -> list[str]:
        """Every device that something was measured on."""
        return list(dict.fromkeys(each.device for each in (*self.cells, *self.levels, *self.lost)))

    def sweep(self, device: str, name: str) -> list[Cell]:
        """The cells of one sweep, smallest first."""
        mine = [c for c in self.cells if (c.device, c.sweep) == (device, name)]
        return sorted(mine, key=lambda cell: cell.size)

    def said(self, comparison: Comparison) -> str:
        """The word on a comparison as a reader gets it."""
        return verdict.told(comparison, self.words[comparison])


def judge(records: Sequence[Record]) -> Seen:
    """The records with all verdicts, as one family."""
    timed, learned = cells(records), levels(records)
    compared = contests(learned)
    times = [seen for cell in timed for seen in (*cell.seen.values(), *cell.behind.values())]
    return Seen(
        records,
        timed,
        growths(timed),
        levels=[level for level in learned if not level.lost],
        lost=[level for level in learned if level.lost],
        contests=compared,
        words=verdict.words(dict.fromkeys([*times, *(each.difference for each in compared)])),
    )


def answer(records: list[Record]) -> Findings:
    """Answer from the records of both studies."""
    seen = judge(records)
    return Findings(
        sentence=" ".join(text for device in seen.devices if (text := _sentence(device, seen)))
        or "Nothing could be measured; the reasons are below.",
        findings=[
            *_checks_of_reduction(seen),
            *(text for device in seen.devices for text in _winners(device, seen)),
            *(text for device in seen.devices for text in _growth_findings(device, seen)),
            *_checks_of_fourier(seen),
            *_accuracy_findings(seen),
        ],
        numbers=_numbers(seen),
        method=_method(seen),
        caveats=_caveats(),
        picture=Picture(
            title="Time and memory of the quadratic layer by n; accuracy and energy by coefficient",
            alternative=_alternative(seen),
        ),
        table=_table(seen),
        frame=_frame(seen),
        figure=_figure(seen),
    )


def _sentence(device: str, seen: Seen) -> str | None:
    parts = []
    if rows := seen.sweep(device, "n"):
        parts.append(f"six equal implementations of Σ W_ijk x_i x_j: {_winner(rows[-1], seen)}")
    parts += [_fourier_words(each, seen) for each in _most_telling(device, seen)]
    if lost := [f"{_named(level)} {level.lost}" for level in seen.lost if level.device == device]:
        parts.append(f"not compared: {', '.join(lost)}")
    return f"{device} – {'; '.join(parts)}." if parts else None


def _named(level: Level) -> str:
    return f"{level.kept} {SELECTIONS[level.selection]} coefficients"


def _winner(cell: Cell, seen: Seen) -> str:
    """Who is fastest at one n, and by how much."""
    best = cell.fastest(seen.words)
    if len(best) == len(NAMES):
        return f"at n = {cell.size} none can be told to be fastest"
    text = f"at n = {cell.size} {_listed(best)} {'is' if len(best) == 1 else 'are'} fastest"
    if best[0] == ANCHOR:
        return text
    ratio = cell.seen[best[0]]
    which = "" if len(best) == 1 else f"{NAMES[best[0]]} "
    times = f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}] ×"
    return f"{text} ({which}{times} the time of einsum)"


def _listed(names: Sequence[str]) -> str:
    *others, last = (NAMES[name] for name in names)
    return f"{', '.join(others)} and {last}" if others else last


def _most_telling(device: str, seen: Seen) -> list[Contest]:
    """Leading against random where most can be told; none where nothing was compared."""
    mine = [c for c in seen.contests if c.level.device == device and c.against.selection == RANDOM]
    mine.sort(key=lambda c: (seen.words[c.difference] == Word.UNKNOWN, -abs(c.difference.value)))
    return mine[:1]


def _fourier_words(each: Contest, seen: Seen) -> str:
    level, other = each.level, each.against
    return (
        f"the leading {100 * level.fraction:g} % of the Fourier coefficients give "
        f"{accuracy.points(level.accuracy.value)} % test accuracy, as many at random "
        f"{accuracy.points(other.accuracy.value)} % ({seen.said(each.difference)})"
    )


def _checks_of_reduction(seen: Seen) -> list[str]:
    return [*_equality(seen), *_symmetry(seen)]


def _equality(seen: Seen) -> list[str]:
    right = [r["right"] for r in results(seen.records, "reduction", "gradcheck")]
    apart = disagreement(seen.records)
    if not right or math.isnan(apart):
        return []
    wrong = sorted({NAMES[name] for each in right for name, fine in each.items() if not fine})
    return [
        f"The six implementations differ by at most {apart:.0e} of the result in float64; "
        + (f"gradcheck fails: {', '.join(wrong)}." if wrong else "gradcheck accepts all of them.")
    ]


def _symmetry(seen: Seen) -> list[str]:
    return [
        "Only the symmetric part of W matters: an antisymmetric part as large changes the outputs "
        f"by {one['change_by_antisymmetric']:.0e}, a symmetric one by "
        f"{one['change_by_symmetric']:.2f}; of the gradient "
        f"{one['antisymmetric_share_of_gradient']:.0e} is antisymmetric, so training never changes "
        f"that part. {one['parameters_that_matter']:,} numbers say what {one['parameters']:,} say."
        for one in results(seen.records, "reduction", "symmetry")[:1]
    ]


def _winners(device: str, seen: Seen) -> list[str]:
    """Per sweep: who is fastest at each size."""
    texts = []
    for sweep in TIME_EXPONENTS:
        rows = seen.sweep(device, sweep)
        if rows:
            fixed = ", ".join(f"{k} = {v}" for k, v in rows[0].sizes.items() if k != sweep)
            each = "; ".join(f"{cell.size}: {_all_fastest(cell, seen)}" for cell in rows)
            texts.append(f"{device}, fastest by {sweep} ({fixed}) – {each}.")
    return texts


def _all_fastest(cell: Cell, seen: Seen) -> str:
    best = cell.fastest(seen.words)
    return "cannot tell" if len(best) == len(NAMES) else _listed(best)


def _growth_findings(device: str, seen: Seen) -> list[str]:
    """Per sweep: fitted exponents beside theory."""
    texts = []
    for sweep, theory in TIME_EXPONENTS.items():
        mine = [g for g in seen.growths if (g.device, g.sweep) == (device, sweep)]
        if mine:
            each = ", ".join(f"{NAMES[g.name]} {_exponent_text(g.time)}" for g in mine)
            texts.append(
                f"{device}: time grows as {sweep}^x with x = {each}; the number of operations as "
                f"{sweep}^{theory}."
            )
    for sweep in TIME_EXPONENTS:
        mine = [g for g in seen.growths if (g.device, g.sweep) == (device, sweep)]
        each = ", ".join(
            f"{NAMES[g.name]} {_exponent_text(Interval(g.memory, -math.inf, math.inf))} "
            f"({memory_exponent(g.name, sweep)})"
            for g in mine
            if g.memory is not None
        )
        if each:
            texts.append(f"{device}: memory on the way grows as {sweep}^x, x (theory) = {each}.")
    return texts


def _exponent_text(seen: Interval) -> str:
    text = f"{seen.value:.2f}"
    text += f" [{seen.low:.2f}, {seen.high:.2f}]" if math.isfinite(seen.low) else ""
    return text.replace("-", "−")


def _checks_of_fourier(seen: Seen) -> list[str]:
    return [*_transforms(seen), *_mixing(seen), *_detached(seen)]


def _transforms(seen: Seen) -> list[str]:
    transforms = _trials(seen.records, "fourier", "transform")
    if not transforms:
        return []
    rows: dict[int, Any] = {int(str(t.what["n"])): t.result for t in transforms}
    worst = {key: max(r[key] for r in rows.values()) for key in ("parseval_error", "inverse_error")}
    n = 8 if 8 in rows else max(rows)
    gradients = all(r["gradient_right"] for r in rows.values())
    return [
        f"rfft's n//2 + 1 coefficients hold everything, for n = {', '.join(map(str, rows))}: "
        f"Parseval to {worst['parseval_error']:.0e}, the inverse to {worst['inverse_error']:.0e}, "
        + ("gradients right." if gradients else "but gradients WRONG."),
        f"fft[:n//2] drops one: at n = {n} it keeps {rows[n]['halved_coefficients']} of "
        f"{rows[n]['coefficients']}, and what comes back is off by "
        f"{rows[n]['halved_error']:.2f} of a random input "
        f"(theory {rows[n]['halved_error_expected']:.2f})"
        + (
            f", by {rows[n]['halved_error_alternating']:.2f} of 1, −1, 1, …."
            if rows[n]["halved_error_alternating"] is not None
            else "."
        ),
    ]


def _mixing(seen: Seen) -> list[str]:
    return [
        "fftn goes along the batch as well: exchanging one sample moves another's output by "
        f"{batch['moved_by_fftn']:.2f} of its size; with the layer by {batch['moved_by_layer']:g}."
        for batch in results(seen.records, "fourier", "batch")[:1]
    ]


def _detached(seen: Seen) -> list[str]:
    return [
        f"A linear layer that computes with weight.data gets "
        f"{'a' if data['has_gradient_data'] else 'no'} gradient and moves by "
        f"{data['moved_data']:g} in {data['steps']} steps, while the layer before it moves by "
        f"{data['moved_before_it_data']:.2g} and nothing fails; the right layer moves by "
        f"{data['moved_right']:.2g}."
        for data in results(seen.records, "fourier", "data")[:1]
    ]


def _accuracy_findings(seen: Seen) -> list[str]:
    texts = []
    for each in seen.contests:
        level, other = each.level, each.against
        against = "as many at random" if other.selection == RANDOM else f"all {other.kept}"
        texts.append(
            f"{level.device}, {level.kept} leading coefficients "
            f"({accuracy.interval(level.accuracy)} %) against {against}: "
            f"{accuracy.gain(each.difference)} points ({seen.said(each.difference)})."
        )
    texts += [f"{x.device}, {_named(x)}: {x.lost}, not compared." for x in seen.lost]
    same = same_at_all(seen.levels)
    if same is not None:
        texts.append(
            "With all coefficients kept, the control learned "
            + ("the same weights, bit for bit." if same else "OTHER weights: mistrust this run.")
        )
    if shares := energy(seen.records):
        tenth = max(1, round(0.1 * len(shares)))
        total = np.cumsum(sorted(shares, reverse=True))
        texts.append(
            f"The leading {tenth} of {len(shares)} coefficients hold {sum(shares[:tenth]):.0%} of "
            f"what varies between images, the strongest {tenth} hold {total[tenth - 1]:.0%}: an "
            "image read row by row also repeats every 28 numbers."
        )
    return texts


def _numbers(seen: Seen) -> dict[str, Any]:
    return {
        "disagreement": accuracy.finite(disagreement(seen.records)),
        "same_at_all": same_at_all(seen.levels),
        "fastest": [
            {"device": c.device, "sweep": c.sweep, "size": c.size, "names": c.fastest(seen.words)}
            for c in seen.cells
        ],
        "exponents": [
            {
                "device": g.device,
                "sweep": g.sweep,
                "implementation": g.name,
                "time": g.time.value,
                "time_low": accuracy.finite(g.time.low),
                "time_high": accuracy.finite(g.time.high),
                "time_theory": TIME_EXPONENTS[g.sweep],
                "memory": g.memory,
                "memory_theory": memory_exponent(g.name, g.sweep),
            }
            for g in seen.growths
        ],
        "accuracy": [
            {
                "device": c.level.device,
                "kept": c.level.kept,
                "against": c.against.selection,
                "against_kept": c.against.kept,
                **accuracy.verdict_numbers(c.difference, seen.words[c.difference]),
            }
            for c in seen.contests
        ],
        "lost": {f"{x.device}, {_named(x)}": x.lost for x in seen.lost},
    }


def _method(seen: Seen) -> list[str]:
    method = []
    if timed := next((r for r in seen.records if r.study == "reduction"), None):
        settings: Any = timed.settings
        threads = sorted(
            {r.conditions.threads_used for r in seen.records if r.study == "reduction"}
        )
        base = ", ".join(f"{k} = {v}" for k, v in settings["base"].items())
        method += [
            f"Forward passes in {settings['dtype']} on {' or '.join(map(str, threads))} threads. "
            f"Each sweep lets one size grow from {base}; every size is one trial of all six "
            "implementations and a twin, in rounds of an order drawn anew. An implementation is "
            "among the fastest unless it is called slower than the fastest.",
            f"Exponents: least squares of the logarithms over the {FITTED} largest sizes; the "
            "interval is wide where these do not lie on a line, as when a cache is left. Memory "
            "is the most that was allocated at one time, as torch's profiler reports it (on an "
            "NVIDIA GPU its allocator), without operands and result.",
            "All six were compared with brute force in float64 on the operands of every size.",
        ]
    if learned := next((r for r in seen.records if r.study == "fourier"), None):
        settings = learned.settings
        data = learned.provenance.dataset
        widths = "-".join(map(str, [*settings["hidden"], 10]))
        method += [
            "Each image is read as 784 numbers; real and imaginary parts of the kept coefficients, "
            "scaled to variance 1, are the input of a ReLU perceptron "
            f"({widths}), plain SGD, batches of {settings['batch']}; "
            f"data: {data.name if data else 'unknown'}. The layer has no parameters and is applied "
            "once, ahead of the training.",
            f"Rates {', '.join(f'{r:g}' for r in settings['rates'])} are tried for "
            f"{settings['tuning_epochs']} epochs and judged in validation, for every number of "
            f"coefficients anew; then {settings['seeds']} runs of {settings['epochs']} epochs, "
            "paired by seed. The control draws its positions with the seed of the run.",
        ]
    if seen.words:
        method.append(accuracy.method(len(seen.words)))
    return method


def _caveats() -> list[str]:
    return [
        "Only the forward pass is timed; training also needs the backward pass.",
        "The packed layer needs its weights packed and its indices ready: that is done once, "
        "outside the timing, as a layer would do it.",
        "What an implementation allocates is timed with it; an allocator that is asked for the "
        "same again answers fast.",
        "A row of pixels after the other is how a perceptron sees an image; a transform of both "
        "dimensions would order the frequencies otherwise.",
    ]


def _alternative(seen: Seen) -> str:
    parts = [
        f"{cell.device}, n = {cell.size}: "
        + ", ".join(f"{NAMES[name]} {1e3 * t.value:.3g} ms" for name, t in cell.times.items())
        for cell in seen.cells
        if cell.sweep == "n"
    ]
    parts += [
        f"{level.device}, {level.kept} {SELECTIONS[level.selection]} coefficients: "
        f"{accuracy.points(level.accuracy.value)} %"
        for level in seen.levels
    ]
    return "; ".join(parts) + "." if parts else "Nothing was measured."


def _table(seen: Seen) -> Table:
    columns = [
        Column(name="device"),
        Column(name="implementation"),
        Column(name="operations"),
        Column(name="sizes"),
        Column(name="time", unit="µs"),
        Column(name="relative to einsum"),
        Column(name="verdict"),
        Column(name="time ~ n^x, x"),
        Column(name="memory", unit="MB", digits=3),
        Column(name="memory ~"),
    ]
    return Table(
        columns=columns, rows=[row for device in seen.devices for row in _rows(device, seen)]
    )


def _rows(device: str, seen: Seen) -> list[list[str | float | int | None]]:
    """Every implementation at the largest n that was timed."""
    cells_by_n = seen.sweep(device, "n")
    if not cells_by_n:
        return []
    cell = cells_by_n[-1]
    by_key = {growth.key: growth for growth in seen.growths}
    rows: list[list[str | float | int | None]] = []
    for name in sorted(NAMES, key=lambda name: cell.times[name].value):
        time, growth = cell.times[name], by_key.get((device, "n", name))
        against, memory = cell.seen.get(name), cell.memory[name]
        rows.append(
            [
                device,
                NAMES[name],
                FLOPS[name],
                ", ".join(f"{size} {value}" for size, value in cell.sizes.items()),
                f"{1e6 * time.value:.3g} [{1e6 * time.low:.3g}, {1e6 * time.high:.3g}]",
                f"{against.value:.2f} [{against.low:.2f}, {against.high:.2f}]" if against else None,
                seen.said(against) if against else "reference",
                _exponent_text(growth.time) if growth else None,
                None if memory is None else memory / 1e6,
                MEMORY[name],
            ]
        )
    return rows


def _frame(seen: Seen) -> pd.DataFrame:
    """Tidy: a row per implementation and size, per run of a training, per check and verdict."""
    rows = [row for cell in seen.cells for row in _cell_rows(cell, seen.words)]
    for each in seen.records:
        axes = {"study": each.study, **each.axes}
        if not each.trials:
            rows.append({**axes, "status": each.status.value, "reason": each.reason})
        for trial in each.trials:
            if "anchor" not in trial.what or trial.status != Status.OK:
                status = {"status": trial.status.value, "reason": trial.reason}
                plain = {k: v for k, v in trial.result.items() if not isinstance(v, dict | list)}
                rows.append({**axes, **trial.what, **status, **plain})
    rows += [_contest_row(each, seen.words[each.difference]) for each in seen.contests]
    rows += [_level_row(level) | {"word": level.lost} for level in seen.lost]
    table = pd.DataFrame(rows)
    order = ["study", "device", "status", "reason"]
    return table.reindex(columns=[*order, *(name for name in table if name not in order)])


def _cell_rows(cell: Cell, words: Mapping[Comparison, Word]) -> list[dict[str, Any]]:
    """Every implementation against einsum, and against the fastest where that is another."""
    where = {"study": "reduction", "device": cell.device, "sweep": cell.sweep, **cell.sizes}
    rows: list[dict[str, Any]] = [
        {
            **where,
            "status": Status.OK.value,
            "implementation": name,
            "time_s": time.value,
            "time_low_s": time.low,
            "time_high_s": time.high,
            "memory_bytes": cell.memory[name],
            **_verdict(ANCHOR, cell.seen.get(name), words),
        }
        for name, time in cell.times.items()
    ]
    if cell.behind is not cell.seen:
        rows += [
            {**where, "phase": "verdict", "implementation": n, **_verdict(cell.order[0], c, words)}
            for n, c in cell.behind.items()
        ]
    return rows


def _verdict(
    against: str, seen: Comparison | None, words: Mapping[Comparison, Word]
) -> dict[str, Any]:
    if seen is None:
        return {"word": "reference"}
    return {"against": against, **verdict.row(seen), "word": words[seen].value}


def _contest_row(each: Contest, word: Word) -> dict[str, Any]:
    other = {"against": each.against.selection, "against_kept": each.against.kept}
    return _level_row(each.level) | other | accuracy.verdict_numbers(each.difference, word)


def _level_row(level: Level) -> dict[str, Any]:
    return {
        "study": "fourier",
        "phase": "verdict",
        "device": level.device,
        "selection": level.selection,
        "fraction": level.fraction,
        "kept": level.kept,
    }


# ---- drawing -------------------------------------------------------------------------------------


def _figure(seen: Seen) -> Figure:
    """The first device: time and memory by n above, accuracy and energy by coefficient below."""
    if not seen.devices:
        return figure.nothing()
    device = seen.devices[0]
    drawn, axes = figure.mosaic("tm\nae", height_in=6.6)
    rows = seen.sweep(device, "n")
    _times(axes["t"], rows)
    _memory(axes["m"], rows)
    _accuracies(axes["a"], [level for level in seen.levels if level.device == device])
    _energy(axes["e"], energy(seen.records))
    return drawn


def _empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)


def _sizes(axes: Axes, rows: Sequence[Cell]) -> None:
    """A logarithmic axis of n with a tick at every size, and room for the labels at the right."""
    sizes = [cell.size for cell in rows]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(sizes[0] / 1.2, sizes[-1] * (sizes[-1] / sizes[0]) ** 0.75 * 1.3)
    axes.set_xticks(sizes, [f"{size}" for size in sizes])
    axes.minorticks_off()
    fixed = ", ".join(f"{k} {v}" for k, v in rows[0].sizes.items() if k != "n")
    axes.set_xlabel(f"n ({fixed})")


def _label_ends(axes: Axes, x: float, ends: Mapping[str, float]) -> None:
    """The name of each line behind its end, apart from the others, on a logarithmic axis."""
    low, high = (math.log10(value) for value in axes.get_ylim())
    places = figure.spread([math.log10(y) for y in ends.values()], 0.075 * (high - low), high)
    for (name, y), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            NAMES[name],
            xy=(x, y),
            xytext=(x * 1.35, 10**place),
            fontsize=8,
            va="center",
            color=COLOURS[name],
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "color": COLOURS[name], "lw": 0.7},
        )


def _times(axes: Axes, rows: Sequence[Cell]) -> None:
    axes.set_title("time of a forward pass")
    if not rows:
        return _empty(axes)
    _sizes(axes, rows)
    sizes = [cell.size for cell in rows]
    for name, colour in COLOURS.items():
        times = [cell.times[name] for cell in rows]
        figure.interval(
            axes,
            sizes,
            [1e6 * t.value for t in times],
            [1e6 * t.low for t in times],
            [1e6 * t.high for t in times],
            color=colour,
            fmt="o-",
            markersize=3.5,
        )
    _slope(axes, rows)
    axes.set_ylabel("µs")
    _label_ends(axes, sizes[-1], {n: 1e6 * t.value for n, t in rows[-1].times.items()})


def _slope(axes: Axes, rows: Sequence[Cell]) -> None:
    """A line of slope 2 below the data, to compare with."""
    if len(rows) < 2:
        return
    first, last = rows[-2].size, rows[-1].size
    end = 0.45e6 * min(t.value for t in rows[-1].times.values())
    start = end * (first / last) ** 2
    axes.plot([first, last], [start, end], color=figure.MUTED, lw=1, ls=(0, (4, 3)))
    axes.annotate(
        "n²", (math.sqrt(first * last), math.sqrt(start * end)), (6, -8),
        textcoords="offset points", fontsize=8, color=figure.INK,
    )  # fmt: skip


def _memory(axes: Axes, rows: Sequence[Cell]) -> None:
    axes.set_title("memory on the way")
    counted = {
        name: [cell.memory[name] for cell in rows]
        for name in NAMES
        if rows and all(cell.memory[name] for cell in rows)
    }
    if not counted:
        return _empty(axes)
    _sizes(axes, rows)
    sizes = [cell.size for cell in rows]
    for name, values in counted.items():
        kilobytes = [value / 1e3 for value in values if value]
        axes.plot(sizes, kilobytes, "o-", markersize=3.5, color=COLOURS[name])
    axes.set_ylabel("kB, at most at one time")
    _label_ends(axes, sizes[-1], {n: (v[-1] or 0) / 1e3 for n, v in counted.items()})


def _accuracies(axes: Axes, found: Sequence[Level]) -> None:
    axes.set_title("accuracy by coefficients kept")
    if not found:
        return _empty(axes)
    axes.set_xscale("log")
    for selection, colour in ((LEADING, figure.BLUE), (RANDOM, figure.RED)):
        mine = sorted((x for x in found if x.selection == selection), key=lambda x: x.kept)
        if not mine:
            continue
        seen = [each.accuracy for each in mine]
        finite = [s if math.isfinite(s.low) else Interval(s.value, s.value, s.value) for s in seen]
        figure.interval(
            axes,
            # The control a little to the right, so that neither hides the other.
            [each.kept * (1 if selection == LEADING else 1.06) for each in mine],
            [100 * s.value for s in finite],
            [100 * s.low for s in finite],
            [100 * s.high for s in finite],
            color=colour,
            fmt="o-" if selection == LEADING else "s--",
            markersize=4,
        )
        at = 0 if len(mine) < 3 else 1
        above = seen[at].value > _other(found, mine[at])
        axes.annotate(
            SELECTIONS[selection],
            (mine[at].kept, 100 * seen[at].value),
            (-4, 6) if above else (8, -4),
            textcoords="offset points",
            ha="right" if above and at else "left",
            va="bottom" if above else "top",
            fontsize=8,
            color=colour,
        )
    ticks = sorted({level.kept for level in found})
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("coefficients kept")
    axes.set_ylabel("% of the test images, mean and 95 %")


def _other(found: Sequence[Level], level: Level) -> float:
    """Accuracy of the other selection at the same number; the level's own where there is none."""
    others = [
        each.accuracy.value
        for each in found
        if each.kept == level.kept and each.selection != level.selection
    ]
    return others[0] if others else level.accuracy.value


def _energy(axes: Axes, shares: Sequence[float]) -> None:
    axes.set_title("energy of the images")
    if not shares:
        return _empty(axes)
    count = np.arange(1, len(shares) + 1)
    lines = {
        "strongest first": (100 * np.cumsum(sorted(shares, reverse=True)), figure.GREEN, "-"),
        "leading": (100 * np.cumsum(shares), figure.BLUE, "-"),
    }
    axes.set_xscale("log")
    for name, (total, colour, dash) in lines.items():
        axes.plot(count, total, dash, color=colour, lw=1.6, drawstyle="steps-post")
        left = name == "strongest first"
        level = 75 if left else 50
        at = int(np.searchsorted(total, level))
        axes.annotate(
            name,
            (count[at], level),
            (-8 if left else 6, 6 if left else 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
            color=colour,
        )
    axes.set_ylim(0, 103)
    axes.set_xlabel("coefficients kept")
    axes.set_ylabel("% of what varies between images")


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("custom_layers", answer, argv)


if __name__ == "__main__":
    main()
