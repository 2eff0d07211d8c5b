"""Which learning rate? Test accuracy by rate; and rate and width searched together, if they were.

The best rate is the one that was best on the validation images, so that the test images choose
nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import fmean
from typing import Any

from assay.answer import accuracy, arms, question, say, sweep, trials, verdict
from assay.answer.arms import Arm
from assay.answer.model import Cell
from assay.answer.question import Findings, Shown
from assay.answer.sweep import Level, Sweep, Told
from assay.answer.verdict import Word
from assay.record import Record

SEARCH = "Rate and width searched together"


def answer(records: list[Record]) -> Findings:
    """Answer from one record per device and rate, and one per device and strategy of a search."""
    trained = [each for each in records if each.study == "perceptron"]
    searches = [each for each in records if each.study == "search" and each.trials]
    swept = sweep.sweeps(trained, lambda _, rate: rate, sweep.best_in_validation)
    contests = [arm for own in trials.by_device(searches).values() for arm in compared(own)]
    found = sweep.judged(swept, [arm.seen for arm in contests if arm.seen])
    contests = arms.judged(contests, [seen for each in swept for seen in each.comparisons])
    findings = sweep.findings(
        trained or records,
        found,
        "learning rate",
        tell,
        reference="the rate that was best in validation",
        why=[*_published(), *(text for each in found for text in _unsteady(each, found))],
        method=_search_method(searches),
        caveats=_caveats(found, searches),
        columns={"last epoch": _last_epoch},
        others=contests,
    )
    rows = [sweep.row("search", arm) | {"strategy": arm.name} for arm in contests]
    return replace(
        findings,
        numbers=findings.numbers | {"search": _search_numbers(contests)},
        folded=[*findings.folded, *_search_views(contests, searches)],
        frame=trials.frame(records, [*(row for each in found for row in sweep.rows(each)), *rows]),
    )


def tell(found: Sweep) -> Told:
    """What is said of one device: the best rate in validation, and which are as good."""
    best, same, worse = found.reference, found.of(Word.SAME), found.of(Word.WORSE)
    unknown = found.of(Word.UNKNOWN, Word.BETTER)
    diverged = [level for level in found.levels if level.lost and not level.main.lost]
    assert best.value
    reached = f"{say.accuracy(best.value)} of test images"
    if not (worse or same or (diverged and not unknown)):
        sentence = (
            f"Cannot tell which learning rate is best: {best.label}, ahead in validation, reaches "
            f"{reached}.{found.rest()}"
        )
        short = f"Cannot tell: {best.label} was best in validation"
        return Told(short, sentence, "", found.cells)
    was = "was best in validation" if unknown or same else "is best"
    sentence = f"Learning rate {best.label} {was}: {reached}."
    rest = found.rest(Word.UNKNOWN, Word.BETTER)
    if unknown:
        bad = _listed(found, [*worse, *diverged], "and")
        short = f"{_listed(found, [best, *unknown])}: cannot tell which"
        return Told(short, sentence + rest, bad and f"Avoid {bad}.", found.cells)
    good = _listed(found, [best, *same])
    short = f"{good} ({100 * best.value.value:.1f} % of test images)"
    sentence += _alike(same) + rest
    return Told(short, sentence, f"Use a learning rate of {good}.", found.cells)


def _listed(found: Sweep, levels: Sequence[Level], last: str = "or") -> str:
    return say.listed([each.label for each in found.levels if each in levels], last)


def _alike(same: Sequence[Level]) -> str:
    """Which are the same as the best, and within what."""
    if not same or not same[0].seen:
        return ""
    within = say.capital(verdict.told(same[0].seen, Word.SAME))
    return f" {within}: {say.few([level.label for level in same], 2)}."


def _published() -> list[str]:
    return [
        "Published, for comparison: about 85 % of the test images at rate 0.1 after 10 epochs "
        "(D2L 1.0). Another published answer, “0.01 is best”, drew its bars one rate off and "
        "tested on pixels between 0 and 255; the question about published answers runs that "
        "method.",
    ]


def _unsteady(found: Sweep, all_found: Sequence[Sweep]) -> list[str]:
    """At which rate the last epoch lies furthest below the best one, if it does so visibly."""
    worst = max(found.whole, key=_lost_at_the_end)
    if _lost_at_the_end(worst) < accuracy.sampling_error(worst.cell.runs):
        return []
    return [
        f"{say.on(found.device, [each.device for each in all_found])}At rate {worst.label} the "
        f"last epoch lies {100 * _lost_at_the_end(worst):.1f} points of validation below the best "
        "one: without choosing the epoch the rate would look worse than it is here."
    ]


def _lost_at_the_end(level: Level) -> float:
    return float(level.cell.runs["validation_accuracy"].mean()) - _at_the_end(level)


def _at_the_end(level: Level) -> float:
    return fmean(curve[-1] for curve in level.cell.curves)


def _last_epoch(level: Arm) -> Cell | None:
    """Validation accuracy after the last epoch."""
    if not isinstance(level, Level) or level.lost:
        return None
    share = _at_the_end(level)
    return Cell(text=f"{100 * share:.1f} % of validation", value=share)


def _caveats(found: Sequence[Sweep], searches: Sequence[Record]) -> list[str]:
    caveats = [
        "One network, one data set, few epochs: a smaller rate would catch up with more of them."
    ]
    edge = [
        each.reference.label
        for each in found
        if len(each.levels) > 1 and each.reference in (each.levels[0], each.levels[-1])
    ]
    if edge:
        caveats.append(
            f"The best rate lies at the edge of those tried ({say.listed(edge)}): a wider range "
            "(questions.rate.axes.rate) could hold a better one."
        )
    if not searches:
        caveats.append(
            "Rate and width were not searched together in this run; "
            "studies.search.axes.strategy: [grid, random] does that."
        )
    return caveats


# ---- the joint search ---------------------------------------------------------------------------


def compared(records: Sequence[Record]) -> list[Arm]:
    """The strategies of one device, search by search, against the best of them in validation.

    A strategy one of whose searches found no pair that trains is left out.
    """
    runs = {str(each.axes["strategy"]): accuracy.runs(each) for each in records}
    searches: Any = records[0].settings["seeds"]
    complete = {name: found for name, found in runs.items() if len(found) == searches}
    labels = {name: f"{name} search" for name in complete}
    device = str(records[0].axes["device"])
    return arms.learned(device, complete, labels, accuracy.best(complete))


def _search_numbers(contests: Sequence[Arm]) -> dict[str, Any]:
    return {
        device: {arm.name: sweep.numbers_of(arm) for arm in here}
        for device, here in arms.grouped(contests, lambda arm: arm.device).items()
    }


def _search_views(contests: Sequence[Arm], searches: Sequence[Record]) -> list[Shown]:
    """The strategies of each device beside each other, where there are two that can be compared."""
    by_strategy = {(each.axes["device"], each.axes["strategy"]): each for each in searches}
    found = []
    for device, here in arms.grouped(contests, lambda arm: arm.device).items():
        if sum(arm.value is not None for arm in here) > 1:
            shown = [(arm, _tested(arm, by_strategy[device, arm.name])) for arm in here]
            told = "; ".join(f"{arm.label} {arm.told}" for arm in here)
            title = f"{say.on(device, trials.devices(searches))}{SEARCH}: {told}"
            found.append(sweep.accuracies(title, shown, "strategy"))
    return found


def _tested(arm: Arm, search: Record) -> list[float]:
    return [*accuracy.runs(search)["test_accuracy"]] if arm.value else []


def _search_method(searches: Sequence[Record]) -> list[str]:
    if not searches:
        return []
    settings: Any = searches[0].settings
    widths, rates = (
        f"{settings[axis]['least']:g} to {settings[axis]['most']:g}" for axis in ("width", "rate")
    )
    return [
        f"The joint search: {settings['points'] ** 2} pairs of width ({widths}) and rate "
        f"({rates}), on a grid or at random, evenly in both logarithms; "
        f"{say.plural(settings['tuning_epochs'], 'epoch')} each, judged in validation. The best "
        f"pair is trained anew for {say.plural(settings['epochs'], 'epoch')} and reads the test "
        f"images, once. {say.plural(settings['seeds'], 'search', 'searches')} per strategy, "
        "paired by seed (Bergstra and Bengio, 2012).",
    ]


main = partial(question.run, "rate", answer)

if __name__ == "__main__":
    main()
