"""Parameters: the law that layers begin by, what sharing does, and what a state_dict holds.

The law is read off the weights, not out of torch's source: a Kolmogorov–Smirnov test says which
distribution, a regression of the logarithms says what its width depends on. An initialisation
that does take inputs and outputs into account, Xavier's, is the control that the regression must
find so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import numpy as np
import pandas as pd
from assay.answer import arms, inference, model, question, say, trials, verdict
from assay.answer.inference import PowerLaw
from assay.answer.model import Cell, Main, Table
from assay.answer.question import Findings, Shown, Told
from assay.answer.verdict import Word
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from scipy import stats

SIGNIFICANCE = 0.05  # of a Holm-corrected p-value
NEGLIGIBLE = 0.05  # an exponent this small makes the width move by less than 4 % in a doubling
NAMES = {
    "linear": "Linear",
    "conv": "Conv2d",
    "bilinear": "Bilinear",
    "embedding": "Embedding",
    "xavier": "xavier_uniform_ (control)",
}
TARGET, CONTROL = "linear", "xavier"
# The exponents that the claim is judged by: of what an output sums over, and of the outputs.
FACTORS = {"fan_in": "fan-in", "fan_out": "fan-out", "first": "first input",
           "second": "second input"}  # fmt: skip
UNIFORM, NORMAL, NEITHER = "uniform", "normal", "neither"
# Words and signs of a verdict that may be open.
CLAIMED = {False: "false", True: "true", None: "cannot tell"}
DEPENDS = {False: "does not depend", True: "depends", None: "cannot tell"}
SIGNS = {False: "✗", True: "✓", None: ""}
TITLE = "“Uniform, in a range that takes inputs and outputs into account”: fitted exponents"
ITEMS = {"in_parameters": "in parameters()", "in_state_dict": "in state_dict()",
         "restored": "there after a reload"}  # fmt: skip
WAYS = {"is_parameter": "is the parameter", "has_gradient": "has its gradient",
        "writes_through": "writing changes it"}  # fmt: skip

# ---- the law -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Law:
    """How one kind of layer begins, on one device."""

    device: str
    layer: str
    sizes: int
    distribution: str
    fit: PowerLaw  # of the width: the largest weight if uniform, else the standard deviation

    def depends_on(self, factor: str) -> bool | None:
        """Whether the width depends on a factor by more than next to nothing; None: cannot tell."""
        seen = self.fit.exponents[factor]
        if not seen.low <= 0 <= seen.high and abs(seen.value) > NEGLIGIBLE:
            return True
        return False if seen.low >= -NEGLIGIBLE and seen.high <= NEGLIGIBLE else None

    @property
    def depends(self) -> list[str]:
        """The factors that the width depends on."""
        return [factor for factor in self.fit.exponents if self.depends_on(factor)]

    @property
    def as_claimed(self) -> bool | None:
        """Whether it is uniform, in a range that takes every input and output into account."""
        known = {self.depends_on(factor) for factor in self.fit.exponents}
        if self.distribution != UNIFORM or False in known:
            return False
        return None if None in known else True


def tested(records: Sequence[Record]) -> pd.DataFrame:
    """One row per trial, with the tests of every size; all are Holm-corrected as one family."""

    def factors(each: Record, trial: Trial) -> dict[str, Any]:
        found: Any = trial.result.get("factors")
        return found or {}

    rows = trials.frame(records, add=factors)
    if "tested" not in rows:
        return rows
    drawn = rows[rows["tested"].notna() & (rows["status"] == Status.OK)]
    raw = pd.DataFrame({name: _p(drawn, name) for name in (UNIFORM, NORMAL)}, drawn.index)
    corrected = raw.copy()
    corrected[:] = np.reshape(inference.holm(raw.to_numpy().ravel()), raw.shape)
    p_values = raw.add_suffix("_p").join(corrected.add_suffix("_p_corrected"))
    return rows.join(corrected >= SIGNIFICANCE).join(p_values)


def _p(rows: Any, name: str) -> Any:
    """p-values of Kolmogorov–Smirnov distances, asymptotic as the values are many."""
    return stats.kstwobign.sf(np.sqrt(rows["tested"]) * rows[f"{name}_distance"])


def laws(records: Sequence[Record]) -> list[Law]:
    """Every kind of layer on every device of which enough sizes were measured for a law."""
    rows = tested(records)
    drawn = rows[rows[UNIFORM].notna()] if UNIFORM in rows else pd.DataFrame()
    kinds = drawn.groupby(["device", "layer"], sort=False) if len(drawn) else ()
    found = (_law(*map(str, key), part.dropna(axis="columns")) for key, part in kinds)
    return [law for law in found if law]


def _law(device: str, layer: str, rows: pd.DataFrame) -> Law | None:
    distribution = next((d for d in (UNIFORM, NORMAL) if rows[d].all()), NEITHER)
    width = rows["bound" if distribution == UNIFORM else "std"]
    factors = {name: rows[name].astype(float) for name in FACTORS if name in rows}
    try:
        fit = inference.power_law(width, factors)
    except ValueError:  # the sizes that were not lost vary in one factor only
        return None
    return Law(device, layer, len(rows), distribution, fit)


# ---- what else was seen --------------------------------------------------------------------------


def matrix(
    records: Sequence[Record], check: str = "item", what: str = "item", names: Iterable[str] = ITEMS
) -> dict[str, dict[str, bool]]:
    """Thing by thing, what holds of it; a device where something does not overrules the others."""
    found: dict[str, dict[str, bool]] = {}
    for trial in trials.checks(records, check):
        known = found.setdefault(str(trial.what[what]), dict.fromkeys(names, True))
        known |= {name: bool(known[name] and trial.result[name]) for name in known}
    return found


def _tied(result: Mapping[str, Any]) -> str:
    """What an operation did to a tie."""
    if result["refused"]:
        return "refused"
    if not result["same_values"]:
        return "wrong values"
    return "still tied" if result["tied"] else "tie lost"


def _ties(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for trial in trials.checks(records, "tie"):
        sharing, operation = str(trial.what["sharing"]), str(trial.what["operation"])
        found.setdefault(sharing, {})[operation] = _tied(trial.result)
    return found


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and topic."""
    found, by_device = laws(records), trials.by_device(records)
    told = {
        name: _tell(own, {law.layer: law for law in found if law.device == name})
        for name, own in by_device.items()
    }
    rows = [row for law in found for row in _law_rows(law)]
    views = [_view(name, own) for name, own in arms.grouped(found, attrgetter("device")).items()]
    return Findings(
        **vars(question.joined(told)),
        numbers={"laws": rows, "items": matrix(records), "ties": _ties(records)},
        why=question.on_each({name: _why(own) for name, own in by_device.items()}),
        method=_method(records),
        caveats=[
            "What is measured is this version of torch. The book's sentence fits Xavier's "
            "initialisation, which other frameworks use by default.",
            "Biases are not looked at here.",
        ],
        views=views or question.nothing(TITLE),
        folded=_folded(records),
        table=_table(found),
        frame=pd.concat([tested(records), pd.DataFrame(rows)]),
    )


def _tell(records: Sequence[Record], found: Mapping[str, Law]) -> Told:
    """The law of linear layers, what that makes of the claim, and what a state_dict holds."""
    short, claim, first = _claim(records, found.get(TARGET))
    saved, modules = _saved(records)
    cells, control = [first, *modules], found.get(CONTROL)
    # The regression must find the dependence that there is.
    if control and control.depends_on("fan_out") is False:
        claim += " The control failed."
        cells.append(Main("control", lost="failed"))
    return Told(short, f"{claim} {saved}", _so(records), cells)


def _claim(records: Sequence[Record], law: Law | None) -> tuple[str, str, Main]:
    """What linear layers begin by: short, as a sentence, and what a headline rests on."""
    name = NAMES[TARGET]
    if law is None:
        lost = trials.lost(records, "topic", "initialisation")
        return f"Law: {lost}", f"How Linear weights begin: {lost}.", Main(name, lost=lost)
    if law.as_claimed is None:
        unclear = say.listed(FACTORS[e] for e in law.fit.exponents if law.depends_on(e) is None)
        told = f"Linear weights begin uniform, but whether {unclear} counts: cannot tell."
        return "Cannot tell what the range depends on", told, Main(name, Word.UNKNOWN)
    claim = f"the claim is {CLAIMED[law.as_claimed]}"
    by = told = "whatever the sizes"
    if law.depends:
        only = " only" if len(law.depends) == 1 else ""
        by = f"set by {say.listed(FACTORS[each] for each in law.depends)}{only}"
        told = f"their range {by} (exponent {_exponent(law.fit.exponents[law.depends[0]])})"
    shape = law.distribution.replace(NEITHER, "neither uniform nor normal")
    return (
        f"{say.capital(by)}; {claim}",
        f"Linear weights begin {shape}, {told}: {claim}.",
        Main(name),
    )


def _saved(records: Sequence[Record]) -> tuple[str, list[Main]]:
    """Whether a state_dict holds all parameters: as a sentence, and what that rests on."""
    tried = [t for each in records for t in each.trials if t.what.get("check") == "layer"]
    bad = [t for t in tried if t.status != Status.OK]
    if len(bad) == len(tried):
        lost = trials.lost(records, "topic", "storage")
        return f"What a state_dict holds: {lost}.", [Main("state_dict", lost=lost)]
    holds, gone = "holds every registered parameter", f" ({len(bad)} lost)" if bad else ""
    if lacking := [t.what["layer"] for t in tried if t.result.get("missing")]:
        holds = f"lacks parameters of {say.few(lacking)}"
    cells = [Main(str(t.what["layer"]), lost=model.lost(t.status)) for t in bad]
    return f"A state_dict {holds}{gone}.", [Main("state_dict"), *cells]


def _so(records: Sequence[Record]) -> str:
    """What a state_dict does not bring back must be kept besides."""
    momentum = matrix(records).get("optimiser (momentum)")
    if momentum is None or momentum["restored"]:
        return ""
    return "Save the optimiser's state_dict as well: the network's does not hold it."


WHY: dict[str, Callable[[Any], str]] = {
    "gradient": lambda seen: (
        f"A layer used in {seen['positions']} places gets the sum of the gradients of its untied "
        f"copies (to {say.number(seen['error_of_sum'], 1)}; any one alone is off by "
        f"{say.number(seen['error_of_largest_part'], 2)} or more)."
    ),
    "snapshot": lambda seen: (
        "When training goes on, a state_dict kept in memory "
        f"{'changes' if seen['state_dict_changes'] else 'does not change'}, a deep copy of it "
        f"{'does' if seen['deepcopy_changes'] else 'does not'}."
    ),
}  # fmt: skip


def _why(records: Sequence[Record]) -> list[str]:
    return [tell(t.result) for check, tell in WHY.items() for t in trials.checks(records, check)]


def _method(records: Sequence[Record]) -> list[str]:
    own: Any = records[0].settings
    features, channels, kernels = (say.listed(own[e]) for e in ("features", "channels", "kernels"))
    return [
        f"Layers of every combination of {features} features (Linear, Embedding, control) or "
        f"{channels} channels (Conv2d with kernels of {kernels}, Bilinear), as torch draws them.",
        f"Kolmogorov–Smirnov tests of the first {say.count(own['tested_values'])} weights: "
        "uniform up to the largest weight, or normal; a kind of layer is called so when no size "
        "contradicts.",
        "Exponents: least squares of the logarithms. The width depends on a factor when the "
        f"interval excludes 0 and the exponent exceeds {NEGLIGIBLE:g}; it does not when the whole "
        f"interval lies within ±{NEGLIGIBLE:g}. An embedding's fan-in is its number of embeddings.",
        "state_dict: one thing of a module is changed at a time, saved, loaded and looked for.",
    ]


# ---- showing -------------------------------------------------------------------------------------


def _exponent(seen: Interval) -> str:
    """At most three decimals: more would tell of the fit, not of the law."""
    shown = min(3, say.decimals(seen.high - seen.low))
    value, low, high = (say.fixed(each, shown) for each in (seen.value, seen.low, seen.high))
    return f"{value} [{low}, {high}]"


def _view(device: str, found: Sequence[Law]) -> Shown:
    """The claim, part by part, for every kind of layer."""
    rows: list[Any] = [
        [
            NAMES[law.layer],
            Cell(text=law.distribution, sign=SIGNS[law.distribution == UNIFORM]),
            _counts(law, [name for name in law.fit.exponents if name != "fan_out"]),
            _counts(law, ["fan_out"]),
            Cell(text=CLAIMED[law.as_claimed], sign=SIGNS[law.as_claimed]),
        ]
        for law in found
    ]
    heads = ("layer", "uniform?", "inputs count?", "outputs count?", "claim")
    return question.tabled(TITLE, heads, rows, device)


def _counts(law: Law, factors: Sequence[str]) -> Cell:
    """Whether the width depends on factors, with the exponents; no sign where they differ."""
    fits, told = law.fit.exponents, {law.depends_on(name) for name in factors}
    text = ", ".join(say.fixed(fits[name].value, 2) for name in factors)
    reason = ", ".join(f"{FACTORS[name]}: {_exponent(fits[name])}" for name in factors)
    return Cell(text=text, sign=SIGNS[told.pop()] if len(told) == 1 else "", reason=reason)


def _table(found: Sequence[Law]) -> Table:
    """One row per kind of layer and factor."""
    return model.tabled(
        [
            {
                "layer": NAMES[law.layer],
                "device": law.device,
                "sizes": law.sizes,
                "distribution": law.distribution,
                "factor": FACTORS[name],
                "exponent": Cell(text=_exponent(seen), value=seen.value),
                "width": DEPENDS[law.depends_on(name)],
                "scale": say.fixed(law.fit.scale.value, 3),
            }
            for law in found
            for name, seen in law.fit.exponents.items()
        ]
    )


def _folded(records: Sequence[Record]) -> list[Shown]:
    """What is saved, what becomes of a tie, and ways to a parameter."""
    ties, ways = _ties(records), matrix(records, "access", "way", WAYS)
    operations = dict.fromkeys(name for one in ties.values() for name in one)
    kept = [[name, *(one.get(name) for one in ties.values())] for name in operations]
    found = [
        ("What a state_dict brings back", [*ITEMS.values()], _signed(matrix(records))),
        ("What an operation does to a tied weight", [*ties], kept),
        ("Ways to a nested parameter", [*WAYS.values()], _signed(ways)),
    ]
    return [question.tabled(title, ["what", *heads], rows) for title, heads, rows in found if rows]


def _signed(found: Mapping[str, Mapping[str, bool]]) -> list[Any]:
    return [
        [thing, *(Cell(text="yes" if holds else "no", sign=SIGNS[holds]) for holds in row.values())]
        for thing, row in found.items()
    ]


def _law_rows(law: Law) -> list[dict[str, Any]]:
    """What a kind of layer was found to follow, for each factor of its law."""
    return [
        {
            "device": law.device,
            "layer": law.layer,
            "distribution": law.distribution,
            "as_claimed": law.as_claimed,
            "scale": law.fit.scale.value,
            "factor": name,
            **verdict.ends("exponent", seen),
            "exponent_bound": NEGLIGIBLE,
            "verdict": DEPENDS[law.depends_on(name)],
        }
        for name, seen in law.fit.exponents.items()
    ]


main = partial(question.run, "parameters", answer)

if __name__ == "__main__":
    main()
