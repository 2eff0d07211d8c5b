"""Which learning rate? Test accuracy by rate; and rate and width searched together, if they were.

The best rate is the one that was best on the validation images, so that the test images choose
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from assay.answer import accuracy, question, sweep, verdict
from assay.answer import old_figure as figure
from assay.answer.accuracy import Standing
from assay.answer.question import Column, Findings, Picture, Snippet
from assay.record import Phase, Record, Status
from assay.answer.sweep import Level, Published, Sweep
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PUBLISHED = [Published(0.1, 0.85, "D2L 1.0, 10 epochs")]


def rate(hidden: Sequence[int], rate: float) -> float:
    """Where a network stands on the axis: its learning rate."""
    return rate


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and rate, and one per device and strategy of a search."""
    trained = [each for each in records if each.study == "perceptron"]
    searches = [each for each in records if each.study == "search" and each.trials]
    swept = sweep.sweeps(trained, rate, sweep.best_in_validation)
    raced = {
        device: contest
        for device in dict.fromkeys(str(each.axes["device"]) for each in searches)
        if (contest := compared([each for each in searches if each.axes["device"] == device]))
    }
    family = [seen for each in swept for seen in each.comparisons]
    family += [e.difference for seen in raced.values() for e in seen.values() if e.difference]
    words = verdict.words(family)
    found = [each.judged(words) for each in swept]
    contests = {
        device: {name: each.judged(words) for name, each in seen.items()}
        for device, seen in raced.items()
    }
    return Findings(
        sentence=" ".join(map(_sentence, found)) or sweep.NOTHING,
        findings=[
            *(text for each in found for text in _findings(each)),
            *(text for device, seen in contests.items() for text in _contest(device, seen)),
        ],
        numbers=sweep.numbers(found)
        | {"search": {device: _search_numbers(seen) for device, seen in contests.items()}},
        method=[
            *sweep.method(trained or records, "the rate that was best in validation", len(family)),
            *(_search_method(searches[0]) if searches else []),
        ],
        caveats=_caveats(found, searches),
        picture=Picture(
            title="Test accuracy by learning rate, and learning curves",
            alternative=sweep.alternative(found, "learning rate"),
        ),
        table=sweep.table(
            found,
            "learning rate",
            (
                Column(name="last epoch", unit="% of validation", digits=4),
                lambda level: 100 * level.cell.last_epoch,
            ),
        ),
        frame=_frame(records, found, contests),
        figure=_figure(found, searches) if found else figure.nothing(),
    )


def _sentence(found: Sweep) -> str:
    best = found.reference
    said = sweep.grouped([(level.seen, level.label) for level in found.others])
    parts = [
        f"{found.device} – {best.label} was best in validation ({best.share} of test images)",
        *([f"against it, {said}"] if said else []),
    ]
    return "; ".join(parts) + sweep.diverged(found) + "."


def _findings(found: Sweep) -> list[str]:
    return [
        *(
            f"{found.device}, rate {level.label}: {sweep.gain(level.seen)} points against "
            f"{found.reference.label} ({level.seen.said})."
            for level in found.others
        ),
        *_unsteady(found),
        *sweep.detectable(found),
    ]


def _unsteady(found: Sweep) -> list[str]:
    """At which rate the last epoch lies furthest below the best one, if it does so visibly."""
    worst = max(found.levels, key=_lost_at_the_end)
    if _lost_at_the_end(worst) < accuracy.sampling_error(worst.cell.runs):
        return []
    return [
        f"{found.device}: at rate {worst.label} the last epoch lies "
        f"{accuracy.points(_lost_at_the_end(worst))} points of validation below the best one: "
        "without choosing the epoch the rate would look worse than it is here."
    ]


def _lost_at_the_end(level: Level) -> float:
    return float(level.cell.runs["validation_accuracy"].mean()) - level.cell.last_epoch


def _caveats(found: Sequence[Sweep], searches: Sequence[Record]) -> list[str]:
    caveats = [
        *sweep.CAVEATS[:1],
        "One network, one data set, one batch size and a few epochs: a smaller rate would catch up "
        "with more of them.",
        'A published answer, "0.01 is best", drew its bars one rate off and tested on pixels '
        "between 0 and 255; the question about published answers runs that method.",
    ]
    edge = [
        f"{each.reference.label} on {each.device}"
        for each in found
        if len(each.levels) > 1
        and each.reference in (each.levels[0], each.levels[-1])
        and not each.lost
    ]
    if edge:
        caveats.append(
            f"The best rate lies at the edge of those tried ({', '.join(edge)}): a wider range "
            "(questions.rate.axes.rate) could hold a better one."
        )
    if not searches:
        caveats.append(
            "Rate and width were not searched together in this run; "
            "studies.search.axes.strategy: [grid, random] does that."
        )
    return caveats


# ---- the joint search ---------------------------------------------------------------------------


def compared(records: Sequence[Record]) -> dict[str, Standing]:
    """The strategies of one device, search by search, against the best of them in validation.

    A strategy one of whose searches found no pair that trains is left out.
    """
    runs = {str(each.axes["strategy"]): accuracy.runs(each) for each in records}
    searches: Any = records[0].settings["seeds"]
    complete = {name: found for name, found in runs.items() if len(found) == searches}
    return accuracy.standings(complete, accuracy.best(complete))


def _contest(device: str, seen: Mapping[str, Standing]) -> list[str]:
    shares = ", ".join(
        f"{name} {accuracy.interval(each.accuracy)} %" for name, each in seen.items()
    )
    verdicts = [
        f"{name} against {_leader(seen)}: {sweep.gain(each)} points ({each.said})"
        for name, each in seen.items()
        if each.difference
    ]
    return [
        f"{device}, rate and width searched together: {'; '.join([', '.join(shares), *verdicts])}."
    ]


def _leader(seen: Mapping[str, Standing]) -> str:
    return next(name for name, each in seen.items() if each.is_reference)


def _search_numbers(seen: Mapping[str, Standing]) -> dict[str, Any]:
    return {name: each.numbers for name, each in seen.items()}


def _frame(
    records: Sequence[Record],
    found: Sequence[Sweep],
    contests: Mapping[str, Mapping[str, Standing]],
) -> pd.DataFrame:
    """Tidy: the trials, the verdicts on the rates, and those on the strategies."""
    rows = [
        {"study": "search", "device": device, "strategy": name, **each.row}
        for device, seen in contests.items()
        for name, each in seen.items()
    ]
    return pd.concat([sweep.frame(records, found), pd.DataFrame(rows)], ignore_index=True)


def _search_method(search: Record) -> list[str]:
    settings: Any = search.settings
    pairs = settings["points"] ** 2
    widths, rates = (
        f"{settings[axis]['least']:g} to {settings[axis]['most']:g}" for axis in ("width", "rate")
    )
    return [
        f"The joint search: {pairs} pairs of width ({widths}) and rate ({rates}), on a grid or "
        f"drawn at random, evenly in both logarithms; {settings['tuning_epochs']} epochs of each, "
        f"judged on the validation images. The best pair is trained anew for "
        f"{settings['epochs']} epochs and reads the test images, once. {settings['seeds']} such "
        "searches per strategy, paired by seed. Bergstra and Bengio (2012) explain why random "
        "draws can win: they try as many values of the axis that matters as there are trainings."
    ]


# ---- drawing ------------------------------------------------------------------------------------


def _figure(found: Sequence[Sweep], searches: Sequence[Record]) -> Figure:
    """Accuracy and learning curves; below them the searches of the first device, if there are."""
    here = [each for each in searches if each.axes["device"] == found[0].device]
    drawn, grid = figure.panels(2 if here else 1, 2, height_in=3.2)
    sweep.ticks(grid[0, 0], found, base=10)
    sweep.draw_accuracies(grid[0, 0], found, PUBLISHED)
    grid[0, 0].set_xlabel("learning rate (bar: 95 %, dashes: seeds)")
    sweep.draw_curves(grid[0, 1], found[0], "rate")
    for axes, search in zip(grid[-1] if here else [], here, strict=False):
        _draw_search(axes, search)
    for axes in grid[-1][len(here) :] if here else []:
        axes.set_axis_off()
    return drawn


def _draw_search(axes: Axes, search: Record) -> None:
    """Every pair that was tried, by its validation accuracy; ringed: chosen, cross: diverged."""
    pairs = sweep.frame([search], [])
    tried = pairs[pairs["phase"] == Phase.TUNING]
    learned = tried[tried["status"] == Status.OK]
    lost = tried[tried["status"] != Status.OK]
    chosen = pairs[pairs["phase"] == Phase.TRAINING]
    points = axes.scatter(
        learned["width"],
        learned["rate"],
        c=100 * learned["validation_accuracy"],
        cmap="cividis",
        s=26,
    )
    axes.plot(lost["width"], lost["rate"], "x", color=figure.MUTED, markersize=5)
    axes.plot(
        chosen["width"], chosen["rate"], "o", color=figure.RED, markerfacecolor="none", markersize=9
    )
    axes.set_title(f"{search.axes['strategy']} search (ringed: chosen)")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("hidden units")
    axes.set_ylabel("learning rate")
    bar = axes.figure.colorbar(points, ax=axes, label="% of validation")
    bar.outline.set_visible(False)


def main(argv: Sequence[str] | None = None) -> None:
    """Answer from the records that the command line names."""
    question.run("rate", answer, argv)


if __name__ == "__main__":
    main()
