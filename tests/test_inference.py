"""Laws of the statistics of answers, and their values on cases worked out by hand."""

import math

import numpy as np
import pytest
from assay.answer import inference
from assay.statistic import Interval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests


def test_holm_by_hand():
    assert inference.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert inference.holm([]) == []


@settings(max_examples=20)  # each time, statsmodels collects all garbage
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_is_that_of_statsmodels(values):
    assert inference.holm(values) == multipletests(values, method="holm")[1].tolist()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_never_lowers_a_p_value(values):
    assert all(new >= old for new, old in zip(inference.holm(values), values, strict=True))


def test_two_sided_p():
    assert inference.two_sided_p(1.96, 1) == pytest.approx(0.05, abs=1e-3)
    assert inference.two_sided_p(0, 0) == 1
    assert inference.two_sided_p(1, 0) == 0


def test_a_mean_of_one_is_endless():
    assert inference.mean([3.0]).high == math.inf
    seen = inference.mean([1.0, 2.0, 3.0])
    assert seen.high - seen.value == pytest.approx(stats.t.ppf(0.975, 2) / math.sqrt(3))


def test_a_share_of_none_has_an_exact_interval():
    seen = inference.share(0, 20)
    assert (seen.value, seen.low) == (0, 0)
    assert seen.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_equal_runs_differ_by_exactly_nothing():
    assert inference.paired_difference([0.5, 0.6], [0.5, 0.6]).p == 1
    assert inference.paired_difference([0.5], [0.4]).p == 1


@pytest.mark.parametrize("count", [2, 5, 6, 10])
def test_few_runs_that_differ_by_the_same_count_are_no_proof(count):
    seen = inference.paired_difference([0.6] * count, [0.5] * count)
    assert seen.value == pytest.approx(0.1)
    assert seen.p == pytest.approx(2 * stats.binom.cdf(0, count, 0.5))  # all on one side
    assert (seen.low > 0) == (count >= 6)


def test_a_difference_of_shares_by_hand():
    """Newcombe (1998), method 10, first example: 56 of 70 less 48 of 80."""
    one, other = Interval(0.8, 0.6918, 0.8775), Interval(0.6, 0.4904, 0.7006)
    seen = inference.difference(one, other)
    assert (seen.value, seen.low, seen.high) == (
        pytest.approx(0.2),
        pytest.approx(0.0524, abs=1e-3),
        pytest.approx(0.3339, abs=1e-3),
    )


def test_what_a_small_experiment_can_find():
    assert inference.detectable_difference(1.0, 1) == math.inf
    few, many = (inference.detectable_difference(1.0, count) for count in (5, 50))
    assert few > many > 0


def test_a_power_law_is_found_in_two_factors_at_once():
    draw = np.random.default_rng(0)
    x, y = (draw.uniform(1, 100, 50) for _ in range(2))
    values = 3 * x**2 * y**-0.5 * np.exp(draw.normal(0, 0.01, 50))
    seen = inference.power_law(values, {"x": x, "y": y})
    for fitted, true in ((seen.exponents["x"], 2), (seen.exponents["y"], -0.5), (seen.scale, 3)):
        assert fitted.low < true < fitted.high
    assert seen.exponents["x"].half_width < 0.01


def test_a_power_law_through_as_many_values_as_numbers_has_no_interval():
    seen = inference.power_law([1, 4], {"x": [1, 2]})
    assert seen.exponents["x"].value == pytest.approx(2)
    assert seen.exponents["x"].low == -math.inf


def test_a_power_law_of_what_does_not_vary_is_refused():
    with pytest.raises(ValueError, match="x do not vary"):
        inference.power_law([1, 2, 3], {"x": [5, 5, 5]})


# ---- slopes --------------------------------------------------------------------------------------

points = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=12).filter(
    lambda found: min(np.ptp(found, axis=0)) > 0.1
)


@given(points)
def test_without_errors_a_slope_is_that_of_least_squares(found):
    x, y = zip(*found, strict=True)
    seen, reference = inference.slope(x, y, [0.0] * len(x)), stats.linregress(x, y)
    assert seen.value == pytest.approx(reference.slope, abs=1e-9)
    reach = stats.t.ppf(0.975, len(x) - 2) * reference.stderr
    assert seen.high - seen.value == pytest.approx(reach, rel=1e-6, abs=1e-5)  # of scipy


def test_points_that_lie_on_a_line_by_chance_keep_their_errors():
    """Three on a line: the scatter says nothing, so the interval is that of the errors."""
    seen = inference.slope([-1, 0, 1], [1.0, 2.0, 3.0], [0.2, 0.2, 0.2])
    assert seen.value == pytest.approx(1)
    assert seen.high - 1 == pytest.approx(1.96 * 0.2 / math.sqrt(2), rel=1e-3)
    assert seen.p == pytest.approx(2 * stats.norm.sf(math.sqrt(2) / 0.2))


@given(points, st.floats(0, 1), st.floats(0, 1))
def test_larger_errors_never_narrow_a_slope(found, error, more):
    x, y = zip(*found, strict=True)
    before, after = (inference.slope(x, y, [each] * len(x)) for each in (error, error + more))
    assert after.low <= before.low
    assert after.high >= before.high
    assert after.p >= before.p


def test_too_few_points_or_one_place_have_no_slope():
    assert inference.slope([0, 1], [0, 1], [0, 0]) is None
    assert inference.slope([2, 2, 2], [0, 1, 2], [0, 0, 0]) is None
    level = inference.slope([0, 1, 2], [5, 5, 5], [0, 0, 0])
    assert (level.value, level.p) == (0, 1)
