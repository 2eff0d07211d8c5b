"""Laws of the statistics, and their values on cases worked out by hand."""

import math
import subprocess
import sys

import numpy as np
import pytest
from assay import statistic
from assay.answer import inference
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

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


def test_equal_arms_have_ratio_one():
    seen = statistic.paired_ratio([1.0, 2.0, 3.0] * 3, [1.0, 2.0, 3.0] * 3)
    assert (seen.value, seen.low, seen.high) == (1, 1, 1)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_interval_of_a_median_is_scipys(confidence):
    """For every number of samples from 1 to 200."""
    for count in range(1, 201):
        values = np.arange(1.0, count + 1)
        low, high = stats.quantile_test(values).confidence_interval(confidence)
        seen = statistic.median(values, confidence)
        expected = [-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high]
        assert [seen.low, seen.high] == expected, count


def test_a_mean_of_many_is_students():
    values = np.random.default_rng(0).normal(3, 1, 2000)
    seen, exact = statistic.mean_of_many(values), inference.mean(values)
    assert (seen.low, seen.high) == pytest.approx((exact.low, exact.high), rel=1e-4)
    assert statistic.mean_of_many([1.0]).high == math.inf


@pytest.mark.parametrize(("hits", "tries"), [(0, 20), (7, 20), (20, 20), (8812, 10_000)])
def test_a_share_is_wilsons(hits, tries):
    seen = statistic.wilson_share(hits, tries)
    low, high = proportion_confint(hits, tries, method="wilson")
    assert (seen.low, seen.high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_measuring_scripts_are_spared_scipy():
    """It takes half a second to import, before anything is measured."""
    code = "import sys; from assay import statistic; assert 'scipy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "workflow/scripts")


def test_summary_flags_an_outlier_and_keeps_it():
    seen = statistic.summary([1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 50.0])
    assert (seen.count, seen.outliers, seen.best) == (7, 1, 0.9)
    assert seen.median == 1.0
