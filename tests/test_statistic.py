"""Laws of the statistics, and their values on cases worked out by hand."""

import math

import numpy as np
import pytest
from assay import statistic
from hypothesis import given, settings
from hypothesis import strategies as st

times = st.lists(st.floats(1e-6, 1e3), min_size=6, max_size=60)


def test_median_interval_by_order_statistics():
    """For n = 20 and 95 %, the tables give the 6th and the 15th value."""
    seen = statistic.median(range(1, 21))
    assert (seen.value, seen.low, seen.high) == (10.5, 6, 15)


def test_too_few_samples_give_an_endless_interval():
    seen = statistic.median([1, 2, 3])
    assert seen.low == -math.inf
    assert seen.high == math.inf


def test_the_interval_of_a_median_holds_the_truth_often_enough():
    draw = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        seen = statistic.median(draw.lognormal(size=25))
        hits += seen.low <= 1 <= seen.high
    assert hits >= 0.93 * 400


@given(times)
def test_the_estimate_lies_in_its_interval(values):
    seen = statistic.median(values)
    assert seen.low <= seen.value <= seen.high


@settings(deadline=None)
@given(times, st.floats(0.1, 10))
def test_scaling_the_target_scales_the_ratio(anchor, factor):
    seen = statistic.paired_ratio(np.array(anchor) * factor, anchor)
    assert seen.value == pytest.approx(factor)
    assert seen.low <= seen.high


@given(
    st.integers(6, 60).flatmap(
        lambda n: st.tuples(*[st.lists(st.floats(1e-6, 1e3), min_size=n, max_size=n)] * 2)
    )
)
def test_exchanging_the_arms_gives_the_reciprocal(pair):
    there, back = statistic.paired_ratio(*pair), statistic.paired_ratio(*reversed(pair))
    assert back.value == pytest.approx(1 / there.value)
    assert back.low == pytest.approx(1 / there.high)
    assert back.p == pytest.approx(there.p)


def test_equal_arms_have_ratio_one_and_p_one():
    seen = statistic.paired_ratio([1.0, 2.0, 3.0] * 3, [1.0, 2.0, 3.0] * 3)
    assert (seen.value, seen.p) == (1, 1)


def test_summary_flags_an_outlier_and_keeps_it():
    seen = statistic.summary([1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 50.0])
    assert (seen.count, seen.outliers, seen.best) == (7, 1, 0.9)
    assert seen.median == 1.0


def test_holm_by_hand():
    assert statistic.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistic.holm([]) == []


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_p_value(values):
    assert all(new >= old for new, old in zip(statistic.holm(values), values, strict=True))


def test_two_sided_p():
    assert statistic.two_sided_p(1.96, 1) == pytest.approx(0.05, abs=1e-3)
    assert statistic.two_sided_p(0, 0) == 1
    assert statistic.two_sided_p(1, 0) == 0


def test_a_power_law_is_found_in_two_factors_at_once():
    draw = np.random.default_rng(0)
    x, y = (draw.uniform(1, 100, 50) for _ in range(2))
    values = 3 * x**2 * y**-0.5 * np.exp(draw.normal(0, 0.01, 50))
    seen = statistic.power_law(values, {"x": x, "y": y})
    for fitted, true in ((seen.exponents["x"], 2), (seen.exponents["y"], -0.5), (seen.scale, 3)):
        assert fitted.low < true < fitted.high
    assert seen.exponents["x"].half_width < 0.01


def test_a_power_law_through_as_many_values_as_numbers_has_no_interval():
    seen = statistic.power_law([1, 4], {"x": [1, 2]})
    assert seen.exponents["x"].value == pytest.approx(2)
    assert seen.exponents["x"].low == -math.inf


def test_a_power_law_of_what_does_not_vary_is_refused():
    with pytest.raises(ValueError, match="x do not vary"):
        statistic.power_law([1, 2, 3], {"x": [5, 5, 5]})
