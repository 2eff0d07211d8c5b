"""Occasions: cells that belong together, and intervals that hold the machine's own median."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from assay.answer import occasion
from assay.record import Record, Status, Trial
from builders import make_record
from hypothesis import given
from hypothesis import strategies as st

NOTHING: dict[str, Any] = {}


def estimate(names: tuple[str, str, str], value: float, error: float) -> dict[str, float]:
    """A value whose logarithm has this standard error, in a 95 % interval."""
    reach = 1.959964 * error
    return dict(zip(names, (value, value * math.exp(-reach), value * math.exp(reach)), strict=True))


def ratio(value: float, error: float = 0.002) -> dict[str, float]:
    return estimate(("ratio", "ratio_low", "ratio_high"), value, error)


def time(value: float, error: float = 0.002) -> dict[str, float]:
    return estimate(("time_median_s", "time_low_s", "time_high_s"), value, error)


def bandwidth(value: float, error: float = 0.002) -> dict[str, float]:
    names = ("", "_low", "_high")
    return estimate(tuple(f"bandwidth{n}_bytes_per_s" for n in names), value, error)  # type: ignore[arg-type]


def paired(value: float, error: float = 0.002, **changes: Any) -> Trial:
    """A trial whose target takes so many times as long as its anchor."""
    result = {
        "rounds": 30,
        "rounds_void": 2,
        "arms": {"anchor": time(1e-3, error), "target": time(1e-3 * value, error)},
        "ratios": {"twin": ratio(1.001, error), "target": ratio(value, error)},
    }
    return Trial(what={"dtype": "float32"}, result=result, samples={"target": [value]}, **changes)


def cell(n: int, trials: list[Trial], when: int | None = None, study: str = "alignment") -> Record:
    axes: dict[str, Any] = {"device": "cpu", "n": n}
    return make_record(study, axes if when is None else {**axes, "occasion": when}, trials)


def only(records: list[Record], spread: dict[str, Any] = NOTHING) -> Any:
    """The result of the one trial of the one cell that these records are of."""
    (found,) = occasion.pooled(records, spread)
    return found.trials[0].result


# ---- which belong together -----------------------------------------------------------------------


def test_occasions_of_a_cell_become_one_and_cells_stay_apart() -> None:
    records = [cell(n, [paired(1.1)], when) for when in (1, 2) for n in (8, 9)]
    found = occasion.pooled(records, NOTHING)
    assert [each.axes for each in found] == [{"device": "cpu", "n": n} for n in (8, 9)]
    assert found[0].trials[0].result["occasions"] == 2
    assert found[0].trials[0].result["rounds"] == 60
    assert found[0].trials[0].result["rounds_void"] == 4
    assert found[0].trials[0].samples["target"] == [1.1, 1.1]


def test_records_from_before_count_as_one_occasion() -> None:
    assert only([cell(8, [paired(1.1)])])["occasions"] == 1


def test_the_ratio_is_the_geometric_mean() -> None:
    seen = only([cell(8, [paired(value)], when) for when, value in enumerate((1.0, 1.21))])
    assert seen["ratios"]["target"]["ratio"] == pytest.approx(1.1)


def test_an_occasion_that_was_lost_does_not_count() -> None:
    lost = Trial(what={"dtype": "float32"}, status=Status.CONTENDED, reason="busy")
    for order in ([paired(1.1), lost], [lost, paired(1.1)]):
        (found,) = occasion.pooled([cell(8, [t], w) for w, t in enumerate(order)], NOTHING)
        assert found.trials[0].status == Status.OK
        assert found.trials[0].result["occasions"] == 1


def test_where_no_occasion_went_well_the_first_says_why() -> None:
    lost = [
        Trial(what={"dtype": "float32"}, status=Status.CONTENDED, reason=reason)
        for reason in ("busy", "busy again")
    ]
    records = [cell(8, [trial], when) for when, trial in enumerate(lost)]
    (found,) = occasion.pooled(records, NOTHING)
    assert (found.trials[0].status, found.trials[0].reason) == (Status.CONTENDED, "busy")


def test_a_whole_record_that_was_lost_leaves_the_other() -> None:
    gone = make_record(
        "alignment",
        {"device": "cpu", "n": 8, "occasion": 1},
        [],
        status=Status.UNAVAILABLE,
        reason="gone",
    )
    (found,) = occasion.pooled([gone, cell(8, [paired(1.1)], 2)], NOTHING)
    assert found.status == Status.OK
    assert len(found.trials) == 1


# ---- the interval --------------------------------------------------------------------------------


def test_an_occasion_that_adds_nothing_changes_no_interval() -> None:
    before, after = paired(1.1).result, only([cell(8, [paired(1.1)])])
    for part, arm in (("ratios", "target"), ("ratios", "twin"), ("arms", "anchor")):
        mine = {k: v for k, v in after[part][arm].items() if k != "p"}
        assert mine == pytest.approx(before[part][arm])  # type: ignore[index, call-overload]


def test_one_occasion_takes_what_is_known_of_its_study() -> None:
    seen = only([cell(8, [paired(1.1)])], {"alignment": {"ratio": 0.01, "time": 0.05}})
    target, anchor = seen["ratios"]["target"], seen["arms"]["anchor"]
    assert math.log(target["ratio_high"] / 1.1) == pytest.approx(0.0212, rel=0.03)
    assert math.log(anchor["time_high_s"] / 1e-3) == pytest.approx(0.104, rel=0.03)
    other = only([cell(8, [paired(1.1)])], {"crossover": {"ratio": 0.01}})
    assert other["ratios"]["target"]["ratio_high"] < target["ratio_high"]


def test_a_number_format_can_have_a_spread_of_its_own() -> None:
    """Two formats of one cell move by different amounts; neither lends the other its own."""
    draw = np.random.default_rng(1)

    def trials() -> list[Trial]:
        seen = {"float32": 0.002, "bfloat16": 0.05}
        return [
            paired(math.exp(draw.normal(0, spread))).model_copy(update={"what": {"dtype": dtype}})
            for dtype, spread in seen.items()
        ]

    records = [cell(n, trials(), when) for n in range(40) for when in (1, 2)]
    known = {"alignment": {"ratio": 0.002, "time": 0, "bfloat16": {"ratio": 0.05, "time": 0}}}
    for between in (NOTHING, known):
        narrow, wide = (
            trial.result["ratios"]["target"]["ratio_high"]
            / trial.result["ratios"]["target"]["ratio"]
            for trial in occasion.pooled(records, between)[0].trials
        )
        assert narrow < 1.01 < 1.04 < wide


def test_a_published_answer_can_have_a_spread_of_its_own() -> None:
    known = {"reproduction": {"ratio": 0.03, "time": 0, "devices": {"ratio": 0.4, "time": 0}}}
    corrected = paired(1.1).model_copy(update={"what": {"method": "corrected"}})
    records = [
        make_record("reproduction", {"device": "cpu", "exercise": name}, [corrected])
        for name in ("framework", "devices")
    ]
    narrow, wide = (
        each.trials[0].result["ratios"]["target"]["ratio_high"] / 1.1
        for each in occasion.pooled(records, known)
    )
    assert narrow < 1.1 < 2 < wide


def test_the_control_shares_its_anchors_minute() -> None:
    """Nothing is added to it, or noise would be made up that the machine does not show."""
    seen = only([cell(8, [paired(1.1)])], {"alignment": {"ratio": 0.1, "time": 0.1}})
    assert seen["ratios"]["twin"]["ratio_high"] == pytest.approx(1.001, abs=0.005)


def test_p_and_interval_agree() -> None:
    for value in (1.0, 1.01, 1.019, 1.021, 1.03):
        seen = only([cell(8, [paired(value)])], {"alignment": {"ratio": 0.01}})["ratios"]["target"]
        assert (seen["p"] < 0.05) == (seen["ratio_low"] > 1)


def test_occasions_that_differ_widen_the_interval() -> None:
    def half(values: list[tuple[float, float]]) -> float:
        records = [
            cell(n, [paired(value)], when)
            for n, pair in enumerate(values)
            for when, value in enumerate(pair)
        ]
        seen: Any = occasion.pooled(records, NOTHING)[0].trials[0].result["ratios"]
        return float(math.log(seen["target"]["ratio_high"] / seen["target"]["ratio"]))

    calm, moving = [(1.1, 1.1)] * 20, [(1.08, 1.12), (1.12, 1.08)] * 10
    assert half(moving) > 5 * half(calm)
    # One cell that moves among many that do not is no reason to widen all of them as much.
    assert half([*calm, (1.08, 1.12)]) < half(moving) / 2


@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.99])
def test_intervals_of_any_confidence_come_to_the_same(confidence: float) -> None:
    """A trial's are those that it was stopped by; verdicts rest on 95 %."""
    usual, other = cell(8, [paired(1.1)]), cell(8, [paired(1.1)])
    wider = NormalDist().inv_cdf((1 + confidence) / 2) / 1.959964
    other.trials = [paired(1.1, error=0.002 * wider)]
    other.settings = {"protocol": {"confidence": confidence}}
    spread = {"alignment": {"ratio": 0.003, "time": 0.003}}
    for part in ("arms", "ratios"):
        for name, seen in only([usual], spread)[part].items():
            assert only([other], spread)[part][name] == pytest.approx(seen)


def test_one_noisy_trial_does_not_take_away_what_is_known() -> None:
    """Its rounds explain ten times what occasions differ by, and say nothing of other cells."""
    calm = [
        cell(n, [paired(value)], when) for n in range(8) for when, value in enumerate((1.09, 1.11))
    ]
    noisy = [cell(9, [paired(1.1, error=0.1)], when) for when in (0, 1)]
    between = {"alignment": {"ratio": 0.013}}
    alone, beside = (
        occasion.pooled(records, between)[0].trials[0].result["ratios"]
        for records in (calm, [*calm, *noisy])
    )
    reaches = [math.log(seen["target"]["ratio_high"] / 1.1) for seen in (alone, beside)]  # type: ignore[call-overload, index]
    assert reaches[1] > 0.7 * reaches[0]


def test_bandwidths_of_every_point_and_figures_of_paired_trials_are_widened() -> None:
    points = [
        {"working_set_bytes": 2**14, "status": "ok", **bandwidth(1e10)},
        {"working_set_bytes": 2**15, "status": "contended"},
    ]
    scan = Trial(what={"operation": "read"}, result={"rounds": 9, "points": points})
    copied = Trial(what={"transfer": "to"}, result={**bandwidth(5e9)})
    accuracies = {"relu": {"value": 0.8, "low": 0.79, "high": 0.81}}
    learned = Trial(what={"method": "right"}, result={"figures": accuracies})
    timed = paired(1.1)
    timed.result["figures"] = {"n 1024": {"value": 1e-3, "low": 0.999e-3, "high": 1.001e-3}}
    spread = {"alignment": {"time": 0.05, "ratio": 0.02}}
    (found,) = occasion.pooled([cell(8, [scan, copied, learned, timed])], spread)
    first, second = found.trials[0].result["points"]  # type: ignore[misc, union-attr]
    high = "bandwidth_high_bytes_per_s"
    assert first[high] == pytest.approx(1e10 * math.exp(0.104), rel=0.01)  # type: ignore[index, call-overload]
    assert second == points[1]
    assert found.trials[1].result[high] == pytest.approx(5e9 * math.exp(0.104), rel=0.01)
    assert found.trials[2].result["figures"] == accuracies
    widened: Any = found.trials[3].result["figures"]
    assert widened["n 1024"]["high"] == pytest.approx(1e-3 * math.exp(0.0417), rel=0.01)


def test_a_point_lost_on_one_occasion_is_that_of_the_other() -> None:
    lost, kept = {"status": "contended"}, {"status": "ok", **bandwidth(1e10)}
    scans = [
        Trial(what={"operation": "read"}, result={"rounds": 9, "points": [point, kept]})
        for point in (lost, kept)
    ]
    seen = only([cell(8, [scan], when) for when, scan in enumerate(scans)])
    assert seen["points"][0]["status"] == "ok"
    assert seen["points"][0]["bandwidth_bytes_per_s"] == pytest.approx(1e10)


@pytest.mark.parametrize("low", [0.0, None])
def test_too_few_rounds_stay_endless(low: float | None) -> None:
    """Infinity cannot be written in JSON: a record has null there."""
    trial = paired(1.1)
    trial.result["ratios"]["target"] |= {"ratio_low": low, "ratio_high": None}  # type: ignore[index, call-overload, operator]
    seen = only([cell(8, [trial])])["ratios"]["target"]
    assert (seen["ratio_low"], seen["p"]) == (0, 1)
    assert seen["ratio_high"] > 1e300


@given(st.floats(0.5, 2), st.floats(1e-4, 0.1), st.floats(0, 0.1), st.floats(0, 0.1))
def test_more_between_occasions_never_narrows(
    value: float, error: float, between: float, more: float
) -> None:
    def reach(spread: float) -> float:
        seen = only([cell(8, [paired(value, error)])], {"alignment": {"ratio": spread}})
        return float(seen["ratios"]["target"]["ratio_high"])

    assert reach(between + more) >= reach(between) * (1 - 1e-9)


# ---- coverage ------------------------------------------------------------------------------------

CELLS, REPEATS = 12, 60


@pytest.mark.parametrize("occasions", [1, 2, 3])
@pytest.mark.parametrize("between", [0.0, 0.01, 0.03])
def test_intervals_hold_the_truth_of_all_occasions(occasions: int, between: float) -> None:
    """A planted variance between occasions, of which the configuration knows about as much."""
    draw = np.random.default_rng(0)
    within, true, hits = 0.003, 1.05, 0
    for _ in range(REPEATS):
        records = [
            cell(
                n, [paired(true * math.exp(draw.normal(0, math.hypot(between, within))), within)], w
            )
            for n in range(CELLS)
            for w in range(occasions)
        ]
        for each in occasion.pooled(records, {"alignment": {"ratio": between}}):
            seen: Any = each.trials[0].result["ratios"]
            hits += seen["target"]["ratio_low"] <= true <= seen["target"]["ratio_high"]
    assert hits >= 0.93 * CELLS * REPEATS


def test_a_run_of_many_cells_outvotes_what_was_known() -> None:
    """Nothing was known of a spread: two occasions of eighty cells still cover, nearly."""
    draw = np.random.default_rng(1)
    within, between, hits = 0.003, 0.02, 0
    for _ in range(6):
        records = [
            cell(n, [paired(math.exp(draw.normal(0, math.hypot(between, within))), within)], w)
            for n in range(80)
            for w in range(2)
        ]
        for each in occasion.pooled(records, NOTHING):
            seen: Any = each.trials[0].result["ratios"]
            hits += seen["target"]["ratio_low"] <= 1 <= seen["target"]["ratio_high"]
    assert hits >= 0.9 * 6 * 80


def test_the_configuration_knows_every_study() -> None:
    known = occasion.known()
    assert {"alignment", "crossover", "bandwidth"} <= set(known)
    spreads = [
        each for own in known.values() for each in (own, *own.values()) if isinstance(each, dict)
    ]
    assert all(0 <= each[kind] < 1 for each in spreads if each for kind in ("ratio", "time"))


# ---- the yardstick -------------------------------------------------------------------------------


def steady(n: int, seconds: float, trial: Trial, **conditions: Any) -> Record:
    """A cell whose job found the machine at that speed."""
    made = cell(n, [trial])
    yardstick = {"product_s": seconds, "copy_s": 1.0}
    changed = made.conditions.model_copy(update={"yardstick": yardstick, **conditions})
    return made.model_copy(update={"conditions": changed})


def reach(records: list[Record], names: tuple[str, str, str]) -> float:
    """How many times its lower end the upper end of an estimate of the first cell is."""
    result: Any = occasion.pooled(records, NOTHING)[0].trials[0].result
    target = result["ratios" if names == RATIO else "arms"]["target"]
    return float(target[names[2]] / target[names[1]])


RATIO, TIME = ("ratio", "ratio_low", "ratio_high"), ("time_median_s", "time_low_s", "time_high_s")


def test_a_machine_that_wanders_widens_times_and_leaves_ratios() -> None:
    still = [steady(n, 1e-3, paired(1.1)) for n in (1, 2, 3, 4)]
    wandering = [steady(n, 1e-3 * 1.1**n, paired(1.1)) for n in (1, 2, 3, 4)]
    assert reach(wandering, TIME) > 1.2 > 1.02 > reach(still, TIME)
    assert reach(wandering, RATIO) == reach(still, RATIO)


def test_a_burst_in_one_reading_is_no_wandering_of_the_machine() -> None:
    readings = [1.00e-3, 1.02e-3, 0.98e-3, 1.01e-3, 0.99e-3, 12e-3]
    seen = [steady(n, seconds, paired(1.1)) for n, seconds in enumerate(readings)]
    assert reach(seen, TIME) < 1.15


def test_memory_has_a_yardstick_of_its_own() -> None:
    copied = Trial(what={}, result={"arms": {"target": bandwidth(1e9) | time(1e-3)}})
    wandering = [steady(n, 1e-3 * 1.1**n, copied) for n in (1, 2, 3, 4)]
    assert reach(wandering, TIME) < 1.02


def test_two_jobs_cannot_tell_how_steady_a_machine_is() -> None:
    (key, taken), *_ = occasion.wander([steady(n, 1e-3, paired(1.1)) for n in (1, 2)]).items()
    assert key == ("cpu", "product_s")
    assert taken == occasion.Component(occasion.WANDER**2, occasion.KNOWN_FREEDOM)


def test_a_gpu_and_records_from_before_have_no_yardstick() -> None:
    on_gpu = [steady(n, 1e-3 * 1.1**n, paired(1.1), gpu={"name": "a GPU"}) for n in range(4)]
    before = [cell(n, [paired(1.1)]) for n in range(4)]
    for records in (on_gpu, before):
        assert reach(records, TIME) < 1.02
        assert occasion.wander(records) == {}
