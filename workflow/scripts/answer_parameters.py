"""Parameters: the law that layers begin by, what sharing does, and what a state_dict holds.

The law is read off the weights, not out of torch's source: a Kolmogorov–Smirnov test says which
distribution, a regression of the logarithms says what its width depends on. An initialisation
that does take inputs and outputs into account, Xavier's, is the control that the regression must
find so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from assay import inference
from assay.answer import question
from assay.answer import old_figure as figure
from assay.inference import PowerLaw
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.statistic import Interval
from matplotlib.axes import Axes
from matplotlib.figure import Figure
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
CONTROL = "xavier"
COLOURS = dict(zip(NAMES, figure.CYCLE, strict=False))
# The exponents that the claim is judged by: of what an output sums over, and of the outputs.
FACTORS = {
    "fan_in": "fan-in",
    "fan_out": "fan-out",
    "first": "first input",
    "second": "second input",
}
# The words of a verdict that may be open.
CLAIMED = {False: "false", True: "true", None: "not to be told"}
DEPENDS = {False: "does not depend", True: "depends", None: "cannot tell"}
UNIFORM, NORMAL, NEITHER = "uniform", "normal", "neither"
ITEMS = ("in_parameters", "in_state_dict", "restored")
HEADS = ("in parameters()", "in state_dict()", "there after a reload")


# ---- the law -------------------------------------------------------------------------------------

Density = tuple[list[float], list[float]]  # places in σ, density


@dataclass(frozen=True)
class Law:
    """How one kind of layer begins, on one device."""

    device: str
    layer: str
    rows: pd.DataFrame  # one per size: factors, bound, std, count, …
    distribution: str
    fit: PowerLaw  # of the width: the largest weight if uniform, else the standard deviation
    density: Density | None  # of the largest layer; None where that was not measured

    @property
    def width(self) -> pd.Series:
        """What measures the width of the distribution, per size."""
        return self.rows["bound" if self.distribution == UNIFORM else "std"]

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
    def unclear(self) -> list[str]:
        """The factors of which it cannot be told."""
        return [factor for factor in self.fit.exponents if self.depends_on(factor) is None]

    @property
    def as_claimed(self) -> bool | None:
        """Whether it is uniform, in a range that takes every input and output into account."""
        if self.distribution != UNIFORM or len(self.depends + self.unclear) < len(
            self.fit.exponents
        ):
            return False
        return None if self.unclear else True

    @property
    def bound_by_fan_in(self) -> Interval | None:
        """Middle, least and largest of max |w| · √fan-in; None where there is no fan-in."""
        if self.distribution != UNIFORM or "fan_in" not in self.rows:
            return None
        scaled = self.rows["bound"] * np.sqrt(self.rows["fan_in"].astype(float))
        return Interval(float(scaled.median()), float(scaled.min()), float(scaled.max()))


def laws(records: Sequence[Record]) -> list[Law]:
    """Every kind of layer on every device of which enough sizes were measured for a law."""
    rows = tested(records)
    if rows.empty:
        return []
    densities = {
        (device, str(trial.what["layer"])): _density(trial)
        for device, trial in _drawn(records)
        if trial.samples
    }
    found = [
        _law(str(device), str(layer), part.dropna(axis="columns"), densities.get((device, layer)))
        for (device, layer), part in rows.groupby(["device", "layer"], sort=False)
    ]
    return [law for law in found if law]


def tested(records: Sequence[Record]) -> pd.DataFrame:
    """Every size of every layer, tested; all tests are Holm-corrected as one family.

    A row has the factors, what was measured, and by distribution the corrected p-value and whether
    nothing contradicts it.
    """
    drawn = _drawn(records)
    corrected = inference.holm([_p(t, name) for name in (UNIFORM, NORMAL) for _, t in drawn])
    uniform, normal = corrected[: len(drawn)], corrected[len(drawn) :]
    return pd.DataFrame(
        [
            {
                "device": device,
                **trial.what,
                **_factors(trial),
                **{k: v for k, v in trial.result.items() if k != "factors"},
                UNIFORM: u >= SIGNIFICANCE,
                NORMAL: n >= SIGNIFICANCE,
                "uniform_p": _p(trial, UNIFORM),
                "normal_p": _p(trial, NORMAL),
                "uniform_p_corrected": u,
                "normal_p_corrected": n,
            }
            for (device, trial), u, n in zip(drawn, uniform, normal, strict=True)
        ]
    )


def _drawn(records: Sequence[Record]) -> list[tuple[str, Trial]]:
    """The layers that were drawn, with their device."""
    return [
        (str(each.axes["device"]), trial)
        for each in records
        for trial in each.trials
        if "factors" in trial.result
    ]


def _p(trial: Trial, name: str) -> float:
    """p-value of a Kolmogorov–Smirnov distance, asymptotic as the values are many."""
    result: Any = trial.result
    return float(stats.kstwobign.sf(math.sqrt(result["tested"]) * result[f"{name}_distance"]))


def _factors(trial: Trial) -> dict[str, float]:
    found: Any = trial.result["factors"]
    return dict(found)


def _density(trial: Trial) -> Density:
    samples: Any = trial.samples
    return list(samples["centre"]), list(samples["density"])


def _law(device: str, layer: str, rows: pd.DataFrame, density: Density | None) -> Law | None:
    distribution = next((d for d in (UNIFORM, NORMAL) if rows[d].all()), NEITHER)
    width = rows["bound" if distribution == UNIFORM else "std"]
    factors = {name: rows[name].astype(float) for name in FACTORS if name in rows}
    try:
        fit = inference.power_law(width, factors)
    except ValueError:  # the sizes that were not lost vary in one factor only
        return None
    return Law(device, layer, rows, distribution, fit, density)


# ---- what else was seen --------------------------------------------------------------------------


def checks(records: Sequence[Record], check: str) -> list[Trial]:
    """Every trial of one kind of check."""
    return [t for each in records for t in each.trials if t.what.get("check") == check]


def matrix(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Item by item: whether it is in parameters, in the state_dict, and there after a reload.

    A device where an item did not come back would overrule one where it did.
    """
    found: dict[str, dict[str, Any]] = {}
    for trial in checks(records, "item"):
        item = found.setdefault(str(trial.what["item"]), dict.fromkeys(ITEMS, True))
        found[str(trial.what["item"])] = {n: bool(item[n] and trial.result[n]) for n in ITEMS}
    return found


def tie_word(result: Mapping[str, Any]) -> str:
    """What an operation did to a tie."""
    if result["refused"]:
        return "refused"
    if not result["same_values"]:
        return "wrong values"
    return "still tied" if result["tied"] else "tie lost"


# ---- telling -------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and topic."""
    measured = question.measured(records)
    found = laws(measured)
    devices = list(dict.fromkeys(str(each.axes["device"]) for each in measured if each.trials))
    by_device = {d: [each for each in measured if each.axes["device"] == d] for d in devices}
    return Findings(
        sentence=" ".join(
            text for d, mine in by_device.items() if (text := _sentence(d, found, mine))
        )
        or "Nothing could be measured; the reasons are below.",
        findings=[
            *(_law_finding(law) for law in found),
            *(text for d, mine in by_device.items() for text in _tied_findings(d, mine)),
            *(text for d, mine in by_device.items() for text in _state_findings(d, mine)),
        ],
        numbers=_numbers(found, measured),
        method=_method(records),
        caveats=_caveats(),
        picture=Picture(
            title="Width of the initial weights by fan-in, their distribution, and what is saved",
            alternative=_alternative(found, measured),
        ),
        table=_table(found),
        frame=_frame(records, found),
        figure=_figure(found, matrix(measured)) if devices else figure.nothing(),
    )


def _sentence(device: str, found: Sequence[Law], records: Sequence[Record]) -> str | None:
    parts = []
    mine = [law for law in found if law.device == device and law.layer != CONTROL]
    if mine:
        names = {
            word: [NAMES[law.layer] for law in mine if law.as_claimed is claimed]
            for claimed, word in CLAIMED.items()
        }
        text = "“uniform, from a range that takes inputs and outputs into account” is "
        text += "; ".join(
            f"{word} for {', '.join(layers)}" for word, layers in names.items() if layers
        )
        parts.append(f"{text} ({_grouped(mine)})")
    if gradient := checks(records, "gradient"):
        error = float(str(gradient[0].result["error_of_sum"]))
        parts.append(f"the gradient of a tied layer is the sum of the untied ones (to {error:.0e})")
    if items := matrix(records):
        lost = [name for name, row in items.items() if not row["restored"]]
        missing = [t for t in checks(records, "layer") if t.result["missing"]]
        parts.append(
            f"state_dict holds {'not ' if missing else ''}every registered parameter, and does "
            f"not bring back {len(lost)} of {len(items)} things that were tried"
            if lost
            else "state_dict restored all that was tried"
        )
    return f"{device} – {'; '.join(parts)}." if parts else None


def _grouped(found: Sequence[Law]) -> str:
    """What the layers' widths depend on, each answer once."""
    groups: dict[str, list[str]] = {}
    for law in found:
        on = " and ".join(f"the {FACTORS[name]}" for name in law.depends)
        unclear = " and ".join(f"the {FACTORS[name]}" for name in law.unclear)
        by = [f"set by {on}"] if on else [] if unclear else ["whatever the sizes"]
        by += [f"cannot tell about {unclear}"] if unclear else []
        said = ", ".join([law.distribution, *by])
        groups.setdefault(said, []).append(NAMES[law.layer])
    return "; ".join(f"{', '.join(names)}: {said}" for said, names in groups.items())


def _law_finding(law: Law) -> str:
    fitted = " · ".join(
        f"{FACTORS[name]}^{_interval(seen)}" for name, seen in law.fit.exponents.items()
    )
    what = "largest weight" if law.distribution == UNIFORM else "standard deviation"
    text = (
        f"{law.device}, {NAMES[law.layer]}: {law.distribution} in {len(law.rows)} sizes; {what} = "
        f"{law.fit.scale.value:.3f} · {fitted}"
    )
    if (scaled := law.bound_by_fan_in) and law.layer != CONTROL:
        text += f"; max |w| · √fan-in between {scaled.low:.4f} and {scaled.high:.4f}"
    if law.layer == CONTROL:
        text += {
            True: ". The regression finds a dependence on the outputs where there is one",
            False: ". THE CONTROL FAILED: it does depend on the outputs",
            None: ". Too few sizes to tell that the control depends on the outputs, as it does",
        }[law.depends_on("fan_out")]
    return f"{text}."


def _interval(seen: Interval) -> str:
    text = f"{seen.value:.3f}".replace("-", "−")
    if math.isfinite(seen.low):
        text += f" [{seen.low:.3f}, {seen.high:.3f}]".replace("-", "−")
    return text.replace("−0.000", "0.000")


def _tied_findings(device: str, records: Sequence[Record]) -> list[str]:
    texts = []
    for trial in checks(records, "gradient"):
        r: Any = trial.result
        texts.append(
            f"{device}: a layer used in {r['positions']} places gets the sum of the gradients that "
            f"{r['positions']} layers of the same values get (relative difference "
            f"{r['error_of_sum']:.0e}; any one of them alone is off by "
            f"{r['error_of_largest_part']:.2f} or more)."
        )
    for trial in checks(records, "training"):
        r = trial.result
        texts.append(
            f"{device}: after {trial.what['steps']} steps of SGD the tied places still differ by "
            f"{r['difference_tied']:g}, the untied ones, which began equal, by "
            f"{r['difference_untied']:.2g}."
        )
    for trial in checks(records, "size"):
        r = trial.result
        texts.append(
            f"{device}: tied {r['parameters_tied']:,} parameters and {r['bytes_tied']:,} bytes, "
            f"untied {r['parameters_untied']:,} and {r['bytes_untied']:,}; yet both state_dicts "
            f"have {r['keys_tied']} and {r['keys_untied']} entries. torch.save writes what is "
            f"shared once: {r['file_bytes_tied']:,} against {r['file_bytes_untied']:,} bytes."
        )
    for sharing, ties in _ties(records).items():
        texts.append(
            f"{device}, {sharing}: " + ", ".join(f"{n} – {w}" for n, w in ties.items()) + "."
        )
    for trial in checks(records, "conflict"):
        r = trial.result
        texts.append(
            f"{device}: a tied network takes a state_dict whose two places hold 1 and 2 with "
            f"{r['complaints']} complaints and is left with {r['value']:g}: the last entry wins."
        )
    return texts


def _ties(records: Sequence[Record]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for trial in checks(records, "tie"):
        one = found.setdefault(str(trial.what["sharing"]), {})
        one[str(trial.what["operation"])] = tie_word(trial.result)
    return found


def _state_findings(device: str, records: Sequence[Record]) -> list[str]:
    texts = []
    library = checks(records, "layer")
    if library:
        total = sum(int(str(trial.result["parameters"])) for trial in library)
        lacking: list[str] = [
            f"{t.what['layer']}: {t.result['missing']}" for t in library if t.result["missing"]
        ]
        besides = [str(t.what["layer"]) for t in library if t.result["besides"]]
        texts.append(
            f"{device}: of {total} registered parameters in {len(library)} kinds of modules "
            + (f"these are missing: {'; '.join(lacking)}" if lacking else "none is missing")
            + f"; {', '.join(besides) or 'none'} "
            + ("has" if len(besides) == 1 else "have")
            + " more in it than parameters (buffers)."
        )
    if items := matrix(records):
        kept = [name for name, row in items.items() if row["restored"]]
        lost = [name for name, row in items.items() if not row["restored"]]
        texts.append(
            f"{device}: there after a reload – {', '.join(kept) or 'nothing'}; not there, and "
            f"without a word – {', '.join(lost) or 'nothing'}."
        )
    for trial in checks(records, "item"):
        if "error_without" in trial.result:
            r: Any = trial.result
            texts.append(
                f"{device}: without the optimiser's own state_dict the next step after a reload is "
                f"off by {r['error_without']:.2g} of the weights, with it by {r['error_with']:g}."
            )
    ways = checks(records, "access")
    if ways:
        same = [f"{t.what['way']}" for t in ways if t.result["is_parameter"]]
        only = [f"{t.what['way']}" for t in ways if not t.result["is_parameter"]]
        texts.append(
            f"{device}: the nested parameter itself, gradient and all, is reached by "
            f"{', '.join(same)}; only its values, though writing to them changes it, by "
            f"{', '.join(only)}."
        )
    for trial in checks(records, "snapshot"):
        r = trial.result
        texts.append(
            f"{device}: a state_dict kept in memory "
            + (
                "moves along when training goes on"
                if r["state_dict_changes"]
                else "stays as it was"
            )
            + ", a deep copy of it "
            + ("moves along too." if r["deepcopy_changes"] else "does not.")
        )
    return texts


def _numbers(found: Sequence[Law], records: Sequence[Record]) -> dict[str, Any]:
    return {
        "laws": [
            {
                "device": law.device,
                "layer": law.layer,
                "distribution": law.distribution,
                "scale": law.fit.scale.value,
                "exponents": {
                    name: {
                        "value": seen.value,
                        "low": _finite(seen.low),
                        "high": _finite(seen.high),
                    }
                    for name, seen in law.fit.exponents.items()
                },
                "bound_sqrt_fan_in_least": law.bound_by_fan_in.low if law.bound_by_fan_in else None,
                "bound_sqrt_fan_in_most": law.bound_by_fan_in.high if law.bound_by_fan_in else None,
                "as_claimed": law.as_claimed,
            }
            for law in found
        ],
        "items": matrix(records),
        "ties": _ties(records),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _method(records: Sequence[Record]) -> list[str]:
    settings: Any = records[0].settings
    return [
        "Layers of every combination of "
        f"{', '.join(map(str, settings['features']))} features (Linear, Embedding, the control) or "
        f"{', '.join(map(str, settings['channels']))} channels (Conv2d with kernels of "
        f"{' and '.join(map(str, settings['kernels']))}, Bilinear) are drawn as torch draws them.",
        f"Kolmogorov–Smirnov tests compare the first {settings['tested_values']:,} weights of each "
        "with the uniform distribution up to the largest weight and with the normal one of the "
        "same standard deviation. They are Holm-corrected as one family, both tests of all sizes "
        "and layers; a kind of layer is called uniform or normal when no size contradicts.",
        "Exponents: least squares of the logarithms with Student's interval. The width depends on "
        f"a factor when the interval excludes 0 and the exponent exceeds {NEGLIGIBLE:g}; it does "
        f"not when the whole interval lies within ±{NEGLIGIBLE:g}.",
        "For an embedding, fan-in is the number of embeddings: a linear layer for one-hot inputs.",
        "state_dict: one thing of a module is changed at a time; it is looked for in the "
        "state_dict, which is saved, loaded (weights_only) into a fresh module, and looked for "
        "again. An operation keeps a tie when both places are one parameter with the old values.",
    ]


def _caveats() -> list[str]:
    return [
        "What is measured is this version of torch; the default could change with another.",
        "The book's sentence fits Xavier's initialisation, which other frameworks use by default.",
        "Biases are not looked at here.",
    ]


def _alternative(found: Sequence[Law], records: Sequence[Record]) -> str:
    parts = [
        f"{law.device}, {NAMES[law.layer]}: {law.distribution}, width as "
        + ", ".join(f"{FACTORS[n]}^{seen.value:.2f}" for n, seen in law.fit.exponents.items())
        for law in found
    ]
    parts += [
        f"{name}: " + ", ".join(h for h, key in zip(HEADS, ITEMS, strict=True) if row[key])
        if any(row.values())
        else f"{name}: in none"
        for name, row in matrix(records).items()
    ]
    return "; ".join(parts) + "." if parts else "Nothing was measured."


def _table(found: Sequence[Law]) -> Table:
    columns = [
        Column(name="device"),
        Column(name="layer"),
        Column(name="distribution"),
        Column(name="exponent of the inputs"),
        Column(name="exponent of the outputs"),
        Column(name="max |w| · √fan-in"),
        Column(name="as claimed"),
    ]
    return Table(columns=columns, rows=[_row(law) for law in found])


def _row(law: Law) -> list[str | float | int | None]:
    fits = law.fit.exponents
    inputs = [name for name in fits if name != "fan_out"]
    scaled = law.bound_by_fan_in if law.layer != CONTROL else None
    named = len(inputs) > 1
    return [
        law.device,
        NAMES[law.layer],
        law.distribution,
        "; ".join((f"{FACTORS[n]}: " if named else "") + _interval(fits[n]) for n in inputs),
        _interval(fits["fan_out"]),
        f"{scaled.low:.4f} to {scaled.high:.4f}" if scaled else None,
        {True: "yes", False: "no", None: "cannot tell"}[law.as_claimed],
    ]


def _frame(records: Sequence[Record], found: Sequence[Law]) -> pd.DataFrame:
    """Tidy: one row per layer and size with its tests, per check, and per law and factor."""
    sizes = tested(question.measured(records)).assign(
        topic="initialisation", status=Status.OK.value
    )
    rows = [{str(k): v for k, v in row.items()} for row in sizes.to_dict("records")]
    for each in records:
        if not each.trials:
            rows.append({**each.axes, "status": each.status.value, "reason": each.reason})
        rows += [
            each.axes | _trial_row(trial)
            for trial in each.trials
            if "factors" not in trial.result or trial.status != Status.OK
        ]
    rows += [row for law in found for row in _law_rows(law)]
    return pd.DataFrame(rows)


def _trial_row(trial: Trial) -> dict[str, Any]:
    flat: dict[str, Any] = dict(trial.result)
    flat |= flat.pop("factors", {})
    lists = {k: "; ".join(map(str, v)) for k, v in flat.items() if isinstance(v, list)}
    return {**trial.what, "status": trial.status.value, "reason": trial.reason, **flat, **lists}


def _law_rows(law: Law) -> list[dict[str, Any]]:
    """What a kind of layer was found to follow, for each factor of its law."""
    return [
        {
            "device": law.device,
            "topic": "initialisation",
            "layer": law.layer,
            "phase": "verdict",
            "distribution": law.distribution,
            "factor": name,
            "exponent": seen.value,
            "exponent_low": seen.low,
            "exponent_high": seen.high,
            "exponent_bound": NEGLIGIBLE,
            "verdict": DEPENDS[law.depends_on(name)],
        }
        for name, seen in law.fit.exponents.items()
    ]


# ---- drawing -------------------------------------------------------------------------------------


def _figure(found: Sequence[Law], items: Mapping[str, Mapping[str, bool]]) -> Figure:
    """The first device: width by fan-in and the distributions above, what is saved below."""
    drawn, axes = figure.mosaic("wwd\niii", height_in=6.4, height_ratios=[1, 0.95])
    shown = [law for law in found if law.device == found[0].device]  # none where none was found
    _widths(axes["w"], [law for law in shown if "fan_in" in law.fit.exponents])
    plain = [law for law in shown if law.layer in ("linear", "embedding")]
    _densities(axes["d"], [(law, law.density) for law in plain if law.density])
    _items(axes["i"], items)
    return drawn


def _empty(axes: Axes) -> None:
    axes.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axes.transAxes)


def _widths(axes: Axes, shown: Sequence[Law]) -> None:
    """Points per size; the fitted line at the middle fan-out; theory for the linear layer."""
    axes.set_title("width of the initial weights by fan-in")
    if not shown:
        return _empty(axes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = {}
    for law in shown:
        colour, fan_in = COLOURS[law.layer], law.rows["fan_in"].astype(float)
        hollow = law.layer == CONTROL
        axes.plot(
            fan_in, law.width, "o", color=colour, markersize=4.5, alpha=0.8,
            markerfacecolor="none" if hollow else colour,
        )  # fmt: skip
        xs = np.array([fan_in.min(), fan_in.max()])
        middle = math.exp(np.log(law.rows["fan_out"].astype(float)).mean())
        exponents = law.fit.exponents
        ys = (
            law.fit.scale.value
            * xs ** exponents["fan_in"].value
            * middle ** exponents["fan_out"].value
        )
        axes.plot(xs, ys, color=colour, lw=1.2)
        name = NAMES[law.layer].replace(" (", "\n(")
        ends[law.layer] = (xs[1], float(ys[1]), f"{name}: {_rounded(exponents['fan_in'].value)}")
    span = [float(f) for law in shown for f in law.rows["fan_in"]]
    xs = np.array([min(span), max(span)])
    # Above the lines that it explains, or they would hide it.
    axes.plot(xs, xs**-0.5, color=figure.INK, lw=1.2, ls=(0, (1, 4)), zorder=3)
    axes.annotate(
        "1/√fan-in", (xs[0], xs[0] ** -0.5), (-2, -44),
        textcoords="offset points", fontsize=8, color=figure.INK,
    )  # fmt: skip
    axes.set_xlim(xs[0] / 1.3, xs[1] * (xs[1] / xs[0]) ** 0.75)
    low, high = (math.log10(value) for value in axes.get_ylim())
    places = figure.spread([math.log10(y) for _, y, _ in ends.values()], 0.11 * (high - low), high)
    for (layer, (x, y, text)), place in zip(ends.items(), places, strict=True):
        axes.annotate(
            text,
            xy=(x, y),
            xytext=(xs[1] * 1.5, 10**place),
            fontsize=8,
            va="center",
            color=COLOURS[layer],
            arrowprops={"arrowstyle": "-", "relpos": (0, 0.5), "color": COLOURS[layer], "lw": 0.7},
        )
    decades = [10**d for d in range(5) if xs[0] / 1.3 <= 10**d <= xs[1] * 1.3]
    axes.set_xticks(decades, [f"{decade:,}" for decade in decades])
    axes.minorticks_off()
    axes.set_xlabel("fan-in; points: every fan-out; number: fitted exponent")
    axes.set_ylabel("max |w|, or σ if normal")


def _rounded(exponent: float) -> str:
    """Two decimals with a real minus, and no minus before zero."""
    return f"{round(exponent, 2) + 0.0:.2f}".replace("-", "−")


def _densities(axes: Axes, shown: Sequence[tuple[Law, Density]]) -> None:
    axes.set_title("distribution")
    if not shown:
        return _empty(axes)
    for law, (places, density) in shown:
        axes.plot(places, density, color=COLOURS[law.layer], lw=1.6, drawstyle="steps-mid")
    axes.set_ylim(0, 1.25 * max(max(density) for _, (_, density) in shown))
    for line, (law, _) in enumerate(shown):
        axes.annotate(
            f"{NAMES[law.layer]}: {law.distribution}",
            (0.03, 0.97 - 0.09 * line),
            xycoords="axes fraction",
            va="top",
            fontsize=8,
            color=COLOURS[law.layer],
        )
    axes.set_xticks([-2, 0, 2])
    axes.set_xlabel("weight, in σ")
    axes.set_ylabel("density")


def _items(axes: Axes, items: Mapping[str, Mapping[str, bool]]) -> None:
    """What a module has, row by row, and where it was found: filled for yes, hollow for no."""
    axes.set_title("what a state_dict brings back")
    if not items:
        return _empty(axes)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.set_xlim(-0.5, len(HEADS) - 0.5)
    axes.set_yticks(range(len(items)), [*items])
    axes.set_xticks(range(len(HEADS)), HEADS)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    for y, row in enumerate(items.values()):
        axes.axhline(y, color=figure.BAND, lw=0.8, zorder=0)
        for x, key in enumerate(ITEMS):
            yes = row[key]
            colour = figure.BLUE if yes else figure.RED
            axes.plot(
                x, y, "o", markersize=7, color=colour, markerfacecolor=colour if yes else "none"
            )
            axes.annotate(
                "yes" if yes else "no", (x, y), (9, 0),
                textcoords="offset points", va="center", fontsize=8, color=colour,
            )  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("parameters", answer, argv)


if __name__ == "__main__":
    main()
