"""What goes wrong when a network keeps its blocks where torch does not look?

A matrix of operations × ways to keep the blocks, and what training, saving and loading come to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd
from assay import inference
from assay.answer import accuracy, question, verdict
from assay.answer import old_figure as figure
from assay.answer.accuracy import Standing
from assay.answer.question import Column, Findings, Picture, Snippet, Table
from assay.record import Record, Status, Trial
from assay.answer.verdict import Comparison, Word
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# What keeps the blocks, in the order of the figure.
STORAGES = {
    "list": "list",
    "dict": "dict",
    "tuple": "tuple",
    "partial": "partly registered",
    "children": "children() loop",
    "add_module": "add_module",
    "module_list": "ModuleList",
    "module_dict": "ModuleDict",
    "attribute": "attributes",
    "sequential": "nn.Sequential",
    "fixed_tensor": "constant: tensor",
    "fixed_buffer": "constant: buffer",
}
REFERENCE = "sequential"
UNREGISTERED = ("list", "dict", "tuple")
OPERATIONS = {
    "output": "output",
    "gradients": "gradients",
    "repetition": "one instance thrice",
    "parameters": "parameters()",
    "named_parameters": "named_parameters()",
    "buffers": "buffers()",
    "named_modules": "named_modules()",
    "state_dict": "state_dict()",
    "repr": "repr",
    "apply": "apply(f)",
    "optimiser": "optimiser's step",
    "zero_grad": "zero_grad()",
    "requires_grad": "requires_grad_(False)",
    "train_eval": "train(), eval()",
    "to_float64": "to(float64)",
    "half": "half()",
    "to_device": "to(device)",
    "deepcopy": "deepcopy",
    "save_load": "save, load strictly",
}
MARKS = {"pass": "✓", "silent": "✗", "loud": "!", None: "–"}
FILLS = {"pass": figure.BAND, "silent": figure.RED, "loud": figure.ORANGE, None: "none"}
MARK_COLOURS = {"pass": figure.INK, "silent": "white", "loud": "black", None: figure.MUTED}
GUESSING = 0.1  # ten classes


@dataclass(frozen=True)
class Cell:
    """One operation on one way of keeping the blocks."""

    device: str
    storage: str
    operation: str
    outcome: str  # pass, silent or loud
    reached: int | None
    of: int | None
    error: str | None
    target: str | None  # where .to(device) moved to


@dataclass(frozen=True)
class Way:
    """How training went with one way of keeping the blocks, on one device."""

    storage: str
    runs: pd.DataFrame
    before: Standing  # test accuracy, and the difference to the reference
    after: Standing  # of the network that was built anew and loaded, and the difference to before

    @cached_property
    def parameters(self) -> int:
        """Of the network."""
        return int(self.runs["parameters"].iloc[0])

    @cached_property
    def registered(self) -> int:
        """Parameters that torch finds."""
        return int(self.runs["parameters_registered"].iloc[0])

    @property
    def name(self) -> str:
        """How the report calls it."""
        return STORAGES[self.storage]

    @property
    def comparisons(self) -> list[Comparison]:
        """All that is given a word."""
        return [each.difference for each in (self.before, self.after) if each.difference]

    def judged(self, words: Mapping[Comparison, Word]) -> Way:
        """The same with the words of the question's family."""
        return replace(self, before=self.before.judged(words), after=self.after.judged(words))


@dataclass(frozen=True)
class Device:
    """Everything that was found on one device."""

    name: str
    cells: list[Cell]
    untried: Counter[str]  # how many operations could not be tried, by way
    runs: pd.DataFrame  # of all ways
    ways: list[Way]  # those that ended well with every seed
    lost: dict[str, str]  # the others that were trained: in how many runs they diverged
    hooks: list[tuple[int, int]]  # runs by a call, runs by ``forward``

    @property
    def storages(self) -> list[str]:
        """The ways of keeping that were tried, in the order of the figure."""
        seen = {cell.storage for cell in self.cells} | {way.storage for way in self.ways}
        return [storage for storage in STORAGES if storage in seen | set(self.lost)]

    def outcomes(self, storage: str) -> dict[str, str]:
        """Outcome by operation."""
        return {c.operation: c.outcome for c in self.cells if c.storage == storage}

    def count(self, storage: str, outcome: str) -> int:
        """How many operations came to an outcome."""
        return Counter(self.outcomes(storage).values())[outcome]

    def way(self, storage: str) -> Way | None:
        """How training went; None where nothing was trained."""
        return next((way for way in self.ways if way.storage == storage), None)

    @property
    def reference(self) -> Way | None:
        """The way that the others are compared with."""
        return self.way(_reference(way.storage for way in self.ways)) if self.ways else None


# ---- reading ------------------------------------------------------------------------------------


def devices(records: Sequence[Record]) -> list[Device]:
    """What was found, device by device, judged; devices on which nothing was are left out."""
    tried = [each for each in records if any(map(_ended, each.trials))]
    labels = dict.fromkeys(str(each.axes["device"]) for each in tried)
    found = [_device(label, tried) for label in labels]
    words = _words(comparisons(found))
    return [replace(each, ways=[way.judged(words) for way in each.ways]) for each in found]


def comparisons(found: Sequence[Device]) -> list[Comparison]:
    """All that is given a word in this question."""
    return [seen for each in found for way in each.ways for seen in way.comparisons]


def chancy(seen: Comparison) -> bool:
    """Whether chance has a part: not in accuracies that are equal with every seed."""
    return (seen.low, seen.high) != (0, 0)


def _words(seen: Sequence[Comparison]) -> dict[Comparison, Word]:
    """What is equal is so because its weights are, and is not tested."""
    return dict.fromkeys(seen, Word.SAME) | verdict.words(filter(chancy, seen))


def _ended(trial: Trial) -> bool:
    """Whether a trial came to something, be it that training diverged."""
    return trial.status in (Status.OK, Status.DIVERGED)


def _device(label: str, records: Sequence[Record]) -> Device:
    own = [each for each in records if each.axes["device"] == label]
    operated = [t for each in own for t in each.trials if "operation" in t.what]
    results: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (trial.what, trial.result) for trial in operated if trial.status == Status.OK
    ]
    runs = pd.concat([accuracy.runs(each) for each in own])
    arms = {name: runs[runs["storage"] == name] for name in STORAGES} if len(runs) else {}
    return Device(
        label,
        cells=[_cell(label, *pair) for pair in results if pair[0]["operation"] in OPERATIONS],
        untried=Counter(str(t.what["storage"]) for t in operated if t.status != Status.OK),
        runs=runs,
        ways=_ways(accuracy.whole(arms)),
        lost={name: lost for name, arm in arms.items() if (lost := accuracy.lost(arm))},
        hooks=[
            (result["runs_by_call"], result["runs_by_forward"])
            for what, result in results
            if what["operation"] == "hooks"
        ],
    )


def _cell(device: str, what: Mapping[str, Any], result: Mapping[str, Any]) -> Cell:
    names = ("outcome", "reached", "of", "error", "target")
    return Cell(device, what["storage"], what["operation"], *(result.get(name) for name in names))


def _ways(arms: Mapping[str, pd.DataFrame]) -> list[Way]:
    """Every way of which no run diverged, against one of them; not yet judged."""
    if not arms:
        return []
    found = accuracy.standings(arms, _reference(arms))
    return [Way(name, arm, found[name], _reloaded(arm)) for name, arm in arms.items()]


def _reloaded(arm: pd.DataFrame) -> Standing:
    """What saving and loading leaves of an accuracy."""
    after, margin = arm["test_accuracy_reloaded"], accuracy.sampling_error(arm)
    change = verdict.paired_difference(after, arm["test_accuracy"], margin)
    return Standing(inference.mean(after), change)


def _same(arm: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether training gave the same weights, bit for bit, with every seed."""
    one, two = (each.set_index("seed")["weights_sha256"] for each in (arm, other))
    return bool(one.equals(two))


def _reference(names: Iterable[str]) -> str:
    """Torch's own container, or else the last in the figure's order, the likeliest to be right."""
    present = [*names]
    order = [*STORAGES]
    return REFERENCE if REFERENCE in present else max(present, key=order.index)


# ---- telling ------------------------------------------------------------------------------------


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and ways of keeping."""
    found = devices(records)
    return Findings(
        sentence=" ".join(_sentence(each) for each in found)
        or "Nothing could be tried; the reasons are below.",
        findings=[text for each in found for text in _findings(each)],
        numbers={each.name: _numbers(each) for each in found},
        method=_method(records, found),
        caveats=CAVEATS,
        picture=Picture(
            title="Operations that reach the whole network, and accuracy before and after reload",
            alternative=_alternative(found),
        ),
        table=_table(found),
        frame=_frame(found),
        figure=_figure(found) if found else figure.nothing(),
    )


def _sentence(device: Device) -> str:
    parts = []
    plain = next((name for name in UNREGISTERED if device.outcomes(name)), None)
    if plain:
        tried = len(device.outcomes(plain))
        parts.append(
            f"kept in a {plain}, {device.count(plain, 'silent')} of {tried} operations fail "
            f"silently and {device.count(plain, 'loud')} with an error"
        )
    partly, reference = device.way("partial"), device.reference
    if partly and reference and partly is not reference:
        parts.append(
            f"registered in part, training raises no error: {partly.registered:,} of "
            f"{partly.parameters:,} parameters are trained, {_percent(partly.before)} of "
            f"the test images are right instead of {_percent(reference.before)}, and "
            f"{_percent(partly.after)} after saving and loading"
        )
    right = [STORAGES[name] for name in device.storages if _passes(device, name)]
    if right:
        parts.append(f"every operation works with {_listed(right)}")
    said = "; ".join(parts) or "what could be tried is below"
    return f"{device.name} – {said}{_not_compared(device)}."


def _passes(device: Device, storage: str) -> bool:
    outcomes = set(device.outcomes(storage).values())
    return outcomes == {"pass"} and not device.untried[storage]


def _not_compared(device: Device) -> str:
    """Which ways diverged, in words to be added to a sentence; nothing if none did."""
    names = [f"{STORAGES[name]} ({lost})" for name, lost in device.lost.items()]
    return f"; trained, but not compared: {', '.join(names)}" if names else ""


def _listed(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _percent(seen: Standing) -> str:
    return f"{100 * seen.accuracy.value:.1f} %"


def _findings(device: Device) -> list[str]:
    return [
        *_failures(device),
        *_trainings(device),
        *_divergences(device),
        *_equality(device),
        *_hooks(device),
    ]


def _failures(device: Device) -> list[str]:
    """What fails, told once for all ways with the same outcomes."""
    alike: dict[tuple[tuple[tuple[str, str], ...], int], list[str]] = {}
    for storage in device.storages:
        if tried := tuple(device.outcomes(storage).items()):
            alike.setdefault((tried, device.untried[storage]), []).append(storage)
    texts = []
    for (outcomes, untried), storages in alike.items():
        names = _listed([STORAGES[name] for name in storages])
        failed = {
            outcome: [OPERATIONS[name] for name, seen in outcomes if seen == outcome]
            for outcome in ("silent", "loud")
        }
        text = f"{device.name}, {names}: "
        if not any(failed.values()):
            passed = len(outcomes)
            count = f"{passed} of {passed + untried}" if untried else f"all {passed}"
            texts.append(f"{text}{count} operations do what they should.")
            continue
        said = []
        if failed["silent"]:
            said.append(f"silently wrong: {', '.join(failed['silent'])}")
        if failed["loud"]:
            said.append(f"an error: {', '.join(failed['loud'])}")
        texts.append(f"{text}{'; '.join(said)}.")
    errors = dict.fromkeys(
        (OPERATIONS[cell.operation], cell.error)
        for cell in device.cells
        if cell.storage in UNREGISTERED and cell.error
    )
    return texts + [f"{device.name}, {operation}: “{error}”." for operation, error in errors]


def _trainings(device: Device) -> list[str]:
    """What training came to, told once for all ways with the very same outcome."""
    alike: dict[tuple[Any, ...], list[Way]] = {}
    for way in device.ways:
        came_to = way.runs[["weights_sha256", "test_accuracy_reloaded"]].to_numpy().tolist()
        alike.setdefault((way.registered, str(came_to)), []).append(way)
    return [_training(device, ways) for ways in alike.values()]


def _training(device: Device, ways: Sequence[Way]) -> str:
    way = ways[0]
    trained = (
        "no parameter is found, the optimiser raises; given them by hand it trains all"
        if way.registered == 0
        else f"{way.registered:,} of {way.parameters:,} parameters are trained"
    )
    against = ""
    if way.before.difference and chancy(way.before.difference):
        seen = way.before
        against = f" ({seen.against} points against {_reference_name(device)}: {seen.said})"
    return (
        f"{device.name}, {_listed([each.name for each in ways])}: {trained}; "
        f"{_percent(way.before)} of the test images{against}, after saving and loading "
        f"{_percent(way.after)} ({_change(way)})."
    )


def _change(way: Way) -> str:
    """What saving and loading did to the accuracy."""
    if way.after.difference and chancy(way.after.difference):
        return f"{way.after.against} points: {way.after.said}"
    return "equal with every seed"


def _divergences(device: Device) -> list[str]:
    return [
        f"{device.name}, {STORAGES[name]}: not compared, {lost}."
        for name, lost in device.lost.items()
    ]


def _reference_name(device: Device) -> str:
    return device.reference.name if device.reference else "the reference"


def same_weights(device: Device, storage: str) -> bool | None:
    """Whether a way came to the reference's weights; None where there is nothing to compare."""
    way, reference = device.way(storage), device.reference
    if way is None or reference is None or way is reference:
        return None
    return _same(way.runs, reference.runs)


def _equality(device: Device) -> list[str]:
    """Whether a sequence of one's own is torch's own, bit for bit."""
    checks = ("output", "gradients", "repetition")
    own = device.outcomes("add_module") if "add_module" in device.storages else {}
    if not own:
        return []
    same = same_weights(device, "add_module")
    outcome = [
        f"{OPERATIONS[name]} {_bitwise(own[name] == 'pass')}" for name in checks if name in own
    ]
    if same is not None:
        outcome.append(f"weights after training {_bitwise(same)}")
    if not outcome:
        return []
    text = f"{device.name}: a Sequential of one's own against nn.Sequential: {', '.join(outcome)}."
    if device.outcomes("children").get("repetition") == "silent":
        text += (
            " With a loop over children(), as textbooks write it, an instance that stands in the "
            "network three times is applied once."
        )
    return [text]


def _bitwise(same: bool) -> str:
    return "equal bit for bit" if same else "NOT equal"


def _hooks(device: Device) -> list[str]:
    if not device.hooks:
        return []
    by_call, by_forward = (sorted(set(runs)) for runs in zip(*device.hooks, strict=True))
    return [
        f"{device.name}: a forward hook runs {_times(by_call)} in net(X) and {_times(by_forward)} "
        "in net.forward(X)."
    ]


def _times(counts: Sequence[int]) -> str:
    words = {0: "never", 1: "once"}
    return " or ".join(words.get(count, f"{count} times") for count in counts)


def _numbers(device: Device) -> dict[str, Any]:
    return {
        "operations": {
            storage: {
                outcome: device.count(storage, outcome) for outcome in ("pass", "silent", "loud")
            }
            for storage in device.storages
        },
        "training": {
            way.storage: {
                "parameters": way.parameters,
                "parameters_registered": way.registered,
                **way.before.numbers,
                **_reload_numbers(way),
                "weights_equal_reference": same_weights(device, way.storage),
            }
            for way in device.ways
        },
        "lost": device.lost,
        "reference": device.reference.storage if device.reference else None,
    }


def _reload_numbers(way: Way) -> dict[str, Any]:
    """What saving and loading comes to, for programs and tables: its own names for the same."""
    level, reloaded = "test_accuracy", "test_accuracy_reloaded"
    return {
        name.replace(level, reloaded) if name.startswith(level) else f"reload_{name}": value
        for name, value in way.after.numbers.items()
    }


def _method(records: Sequence[Record], found: Sequence[Device]) -> list[str]:
    settings: Any = records[0].settings
    widths = "-".join(map(str, [784, *settings["hidden"], 10]))
    data = records[0].provenance.dataset
    targets = sorted({cell.target for each in found for cell in each.cells if cell.target})
    return [
        "Every operation was run on a small network (two linear layers, batch normalisation, ReLU, "
        "dropout) whose blocks were also held outside of it. It passes when it reached all of "
        "them; it fails silently when it raised nothing and missed some; conversions include a "
        "call with an input of the new type or place. Each cell is a run of its own.",
        f"“to(device)” moved to {_listed(targets) if targets else 'nothing'}"
        + (
            ", which has shapes and no memory and stands in where there is no second device."
            if "meta" in targets
            else "."
        ),
        f"Then a {widths} perceptron with ReLU was trained with {settings['seeds']} seeds: "
        f"{settings['epochs']} epochs of plain SGD at rate {settings['rate']:g}, the same for all, "
        f"batches of {settings['batch']}; data: {data.name if data else 'unknown'}. Runs of one "
        "seed begin with the same weights and see the same batches; the weights are those of the "
        "best epoch in validation.",
        "The state was saved, loaded strictly into a network that was built anew with another "
        "seed, and the test images were read with both.",
        "Two accuracies are compared of every way: as trained with the reference's, and after "
        f"loading with as trained. {accuracy.method(sum(map(chancy, comparisons(found))))} "
        "Accuracies that are equal with every seed are no matter of chance and not counted among "
        "them.",
    ]


CAVEATS = [
    "The device “meta” is lenient: a product with a tensor that stayed on the CPU goes through on "
    "it, so that “to(device)” can fail silently where a second device would answer otherwise.",
    "Where an error is raised, it is the first use after the operation that raises it: the "
    "conversion itself returns as if all were well.",
    "A deep copy works everywhere, because Python copies lists: that a copy is right says nothing "
    "about registration.",
    "Built anew with the very seed of the first, a partly registered network would seem to reload "
    "well: the layers that were never trained would be drawn alike. Another process draws others.",
]


def _table(found: Sequence[Device]) -> Table:
    columns = [
        Column(name="device"),
        Column(name="kept in"),
        Column(name="passes"),
        Column(name="fails silently"),
        Column(name="raises"),
        Column(name="parameters found"),
        Column(name="test accuracy", unit="%"),
        Column(name="verdict"),
        Column(name="after reload", unit="%"),
        Column(name="verdict on reload"),
    ]
    rows = [_row(device, storage) for device in found for storage in device.storages]
    return Table(columns=columns, rows=rows)


def _row(device: Device, storage: str) -> list[str | float | int | None]:
    way = device.way(storage)
    trained: list[str | float | int | None] = [None, None, device.lost.get(storage), None, None]
    if way:
        trained = [
            f"{way.registered:,} of {way.parameters:,}",
            accuracy.interval(way.before.accuracy),
            way.before.said or way.before.against,
            accuracy.interval(way.after.accuracy),
            way.after.said,
        ]
    counts = [str(device.count(storage, outcome)) for outcome in ("pass", "silent", "loud")]
    return [device.name, STORAGES[storage], *counts, *trained]


def _frame(found: Sequence[Device]) -> pd.DataFrame:
    """Tidy: a row per cell, then a row per training run, then a row per way's verdicts."""
    cells = pd.DataFrame([vars(cell) for device in found for cell in device.cells])
    runs = [device.runs.assign(device=device.name) for device in found]
    verdicts = pd.DataFrame([row for device in found for row in _verdicts(device)])
    table = pd.concat([cells, *runs, verdicts], ignore_index=True)
    first = ["device", "storage", "operation", "outcome", "phase", "seed"]
    return table.reindex(columns=[*first, *(name for name in table if name not in first)])


def _verdicts(device: Device) -> list[dict[str, Any]]:
    """What the page says of each way, with all that it rests on."""
    told: list[tuple[str, dict[str, Any]]] = [
        (way.storage, way.before.row | _reload_numbers(way)) for way in device.ways
    ]
    told += [(name, {"phase": "verdict", "word": lost}) for name, lost in device.lost.items()]
    return [{"device": device.name, "storage": name, **row} for name, row in told]


# ---- the figure ---------------------------------------------------------------------------------


def _alternative(found: Sequence[Device]) -> str:
    texts = ["A matrix of operations by what keeps the blocks."]
    for device in found:
        texts += [
            f"{device.name}, {STORAGES[storage]}: {device.count(storage, 'pass')} pass, "
            f"{device.count(storage, 'silent')} fail silently, "
            f"{device.count(storage, 'loud')} raise."
            for storage in device.storages
        ]
        texts += [
            f"{device.name}, {way.name}: {_percent(way.before)} of the test images, "
            f"{_percent(way.after)} after reload."
            for way in device.ways
        ]
    return " ".join(texts)


def _figure(found: Sequence[Device]) -> Figure:
    """Per device the matrix and, under its columns, the accuracies."""
    drawn, grid = figure.panels(
        2 * len(found),
        height_in=3.6,
        gridspec_kw={"height_ratios": [4.6, 2.2] * len(found)},
    )
    for place, device in enumerate(found):
        _matrix(grid[2 * place, 0], device)
        _accuracies(grid[2 * place + 1, 0], device)
    return drawn


def _matrix(axes: Axes, device: Device) -> None:
    axes.set_title(f"{device.name}: does the operation reach the whole network?", pad=20)
    axes.annotate(
        "✓ yes    ✗ no, and nothing says so    ! no, and an error says so    – does not apply",
        (0, 1),
        (0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8.5,
    )
    seen = {(cell.storage, cell.operation): cell.outcome for cell in device.cells}
    for column, storage in enumerate(device.storages):
        for row, operation in enumerate(OPERATIONS):
            outcome = seen.get((storage, operation))
            corner = (column - 0.46, row - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=FILLS[outcome], linewidth=0))
            style = {"ha": "center", "va": "center", "color": MARK_COLOURS[outcome]}
            axes.text(column, row, MARKS[outcome], fontsize=9, **style)
    axes.set_ylim(len(OPERATIONS) - 0.5, -0.5)
    axes.set_yticks(range(len(OPERATIONS)), [*OPERATIONS.values()], fontsize=8)
    _columns(axes, device)
    axes.set_xticks(
        range(len(device.storages)),
        [STORAGES[storage] for storage in device.storages],
        rotation=30,
        ha="right",
        rotation_mode="anchor",
        fontsize=8,
    )
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)


def _columns(axes: Axes, device: Device) -> None:
    axes.set_xlim(-0.5, len(device.storages) - 0.5)


def _accuracies(axes: Axes, device: Device) -> None:
    """Filled: as trained. Hollow: after saving, building anew and loading."""
    axes.set_title("test accuracy of a network that was trained with it")
    _columns(axes, device)
    axes.set_xticks([])
    axes.set_ylim(0, 100)
    axes.set_ylabel("% of the test images")
    axes.axhline(100 * GUESSING, color=figure.MUTED, linewidth=1, zorder=0)
    axes.annotate(
        "guessing", (len(device.storages) - 0.5, 100 * GUESSING + 2), ha="right", fontsize=8
    )
    kinds: list[tuple[str, float, dict[str, Any], Callable[[Way], Standing]]] = [
        ("as trained", -0.13, {"color": figure.BLUE}, lambda way: way.before),
        (
            "saved, built anew, loaded",
            0.13,
            {"color": figure.RED, "fmt": "D", "markerfacecolor": "none"},
            lambda way: way.after,
        ),
    ]
    for label, shift, options, level in kinds:
        places = [device.storages.index(way.storage) + shift for way in device.ways]
        levels = [level(way).accuracy for way in device.ways]
        figure.interval(
            axes,
            places,
            [100 * each.value for each in levels],
            [100 * max(0.0, each.low) for each in levels],
            [100 * min(1.0, each.high) for each in levels],
            label=label,
            **options,
        )
    axes.legend(frameon=False, fontsize=8, loc="center right")
    by_hand = [way for way in device.ways if way.registered == 0]
    if by_hand:
        left = min(device.storages.index(way.storage) for way in by_hand) - 0.4
        axes.annotate("given the parameters by hand", (left, 98), va="top", fontsize=7.5)
    for way in device.ways:
        if 0 < way.registered < way.parameters:
            axes.annotate(
                f"{way.registered:,} of {way.parameters:,}\nparameters trained",
                (device.storages.index(way.storage), 100 * way.before.accuracy.value),
                (5, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("registration", answer, argv)


if __name__ == "__main__":
    main()
