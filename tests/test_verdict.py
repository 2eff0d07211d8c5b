"""Verdicts: the only words, given by one rule; comparisons made by three constructors."""

import math

import pytest
from assay.answer import verdict
from assay.answer.verdict import Comparison, Word
from assay.statistic import Interval
from hypothesis import given
from hypothesis import strategies as st


def compare(ratio, low, high, p=1e-6, noise=0.01):
    return Comparison(ratio, low, high, p=p, noise=noise)


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (compare(1.10, 1.08, 1.12), Word.SLOWER),
        (compare(0.90, 0.88, 0.92), Word.FASTER),
        (compare(1.00, 0.99, 1.01), Word.SAME),
        (compare(1.015, 1.012, 1.018), Word.SAME),  # excludes 1, but under 2 %
        (compare(1.10, 0.99, 1.20), Word.UNKNOWN),
        (compare(1.10, 1.08, 1.12, p=0.2), Word.UNKNOWN),
        (compare(1.03, 1.00, 1.06), Word.UNKNOWN),
        # A twin that is off by 7 % hides smaller differences, and sameness, too.
        (compare(1.05, 1.04, 1.06, noise=0.07), Word.UNKNOWN),
        (compare(1.00, 0.99, 1.01, noise=0.07), Word.UNKNOWN),
        (compare(1.08, 1.06, 1.10, noise=0.07), Word.SLOWER),
        (compare(0.60, 0.50, 0.70, noise=0.6), Word.UNKNOWN),  # a twin up to 1.6
    ],
)
def test_words(seen, word):
    assert verdict.judge([seen]) == [word]


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.01, 0.03, Word.BETTER),
        (-0.03, -0.01, Word.WORSE),
        (-0.002, 0.002, Word.SAME),
        (-0.01, 0.02, Word.UNKNOWN),
    ],
)
def test_words_about_differences(low, high, word):
    seen = Comparison((low + high) / 2, low, high, p=1e-6, neutral=0, margin=0.003)
    assert verdict.judge([seen]) == [word]


def test_many_comparisons_raise_the_bar():
    """p = 0.01 alone is enough, one of twenty is not."""
    seen = compare(1.10, 1.08, 1.12, p=0.01)
    same = compare(1.0, 0.99, 1.01, p=0.9)
    assert verdict.judge([seen]) == [Word.SLOWER]
    assert verdict.judge([seen, *[same] * 19])[0] == Word.UNKNOWN
    assert verdict.judge([]) == []


ratios = st.floats(0.2, 5)
comparisons = st.builds(
    lambda ends, p, noise: compare(ends[1], ends[0], ends[2], p, noise),
    st.tuples(ratios, ratios, ratios).map(sorted),
    st.floats(0, 1),
    st.floats(0, 4),
)


@given(comparisons)
def test_a_verdict_never_contradicts_its_interval(seen):
    (word,) = verdict.judge([seen])
    if word in verdict.DIFFERENT:
        assert (seen.low > 1) if word == Word.SLOWER else (seen.high < 1)
        assert abs(seen.value - 1) > max(seen.margin, seen.noise)
    if word == Word.SAME:
        assert 1 - seen.margin <= seen.low <= seen.high <= 1 + seen.margin


@given(comparisons, st.floats(0, 4), st.floats(0, 0.5))
def test_more_noise_or_doubt_never_makes_sameness(seen, more, wider):
    """Whatever was not the same does not become so by a worse twin or a wider interval."""
    (before,) = verdict.judge([seen])
    low, high = seen.low * (1 - wider), seen.high * (1 + wider)
    (after,) = verdict.judge([compare(seen.value, low, high, seen.p, seen.noise + more)])
    assert after in (before, Word.UNKNOWN)


@pytest.mark.parametrize(
    ("seen", "word", "said"),
    [
        (compare(1, 1, 1), Word.SAME, "the same within 2 %"),
        (compare(2, 2, 2), Word.SLOWER, "slower"),
        (
            Comparison(0, 0, 0, p=1, neutral=0, margin=0.0032),
            Word.SAME,
            "the same within 0.32 poin",
        ),
    ],
)
def test_sameness_always_says_within_what(seen, word, said):
    assert verdict.told(seen, word).startswith(said)


# ---- constructors --------------------------------------------------------------------------------


def test_a_paired_comparison_is_the_trials():
    twin = {"ratio": 1.0, "ratio_low": 0.96, "ratio_high": 1.01, "p": 0.5}
    own = {"ratio": 1.5, "ratio_low": 1.4, "ratio_high": 1.6, "p": 0.01}
    seen = verdict.paired({"ratios": {"twin": twin, "target": own}}, "target", margin=0.03)
    assert (seen.value, seen.low, seen.high, seen.p) == (1.5, 1.4, 1.6, 0.01)
    assert (seen.noise, seen.margin, seen.bound) == (pytest.approx(0.04), 0.03, pytest.approx(0.04))


def test_a_paired_ratio_is_of_pairs():
    """What all pairs share cancels, and the ratio is a geometric mean."""
    levels = [0.0, 3.0, -5.0, 9.0]
    seen = verdict.paired_ratio(
        [level + math.log(each) for level, each in zip(levels, (1.9, 2.1, 2, 2), strict=True)],
        levels,
    )
    assert seen.value == pytest.approx((1.9 * 2.1 * 4) ** 0.25)
    assert 1.8 < seen.low < seen.value < seen.high < 2.2
    assert verdict.judge([seen]) == [Word.SLOWER]
    assert verdict.paired_ratio(levels, levels).value == 1.0
    assert verdict.judge([verdict.paired_ratio(levels, levels)]) == [Word.SAME]
    alone = verdict.paired_ratio([1.0], [0.0])
    assert (alone.low, alone.high) == (0.0, math.inf)


def test_a_paired_difference_is_of_pairs():
    seen = verdict.paired_difference([0.91, 0.8, 0.69], [0.8, 0.7, 0.6], margin=0.01)
    assert seen.value == pytest.approx(0.1)
    assert verdict.judge([seen]) == [Word.BETTER]


def within(value, relative):
    """A quantity whose logarithm has so wide a 95 % interval on both sides."""
    return Interval(value, value * math.exp(-relative), value * math.exp(relative))


widths = st.floats(0.001, 0.5)
values = st.floats(1e-6, 1e6)


@given(values, widths, values, widths)
def test_errors_of_what_was_measured_apart_add_in_quadrature(a, wide, b, narrow):
    seen = verdict.unpaired(within(a, wide), within(b, narrow))
    assert seen.value == pytest.approx(a / b)
    reach = math.hypot(wide, narrow)
    assert math.log(seen.high / seen.value) == pytest.approx(reach)
    assert math.log(seen.value / seen.low) == pytest.approx(reach)


@given(values, widths, values, widths)
def test_exchanging_what_is_compared_gives_the_reciprocal(a, wide, b, narrow):
    one, other = within(a, wide), within(b, narrow)
    there, back = verdict.unpaired(one, other), verdict.unpaired(other, one)
    assert there.low == pytest.approx(1 / back.high)
    assert there.p == pytest.approx(back.p)


@given(values, widths, values, widths, values, widths)
def test_a_contrast_of_contrasts_is_a_contrast(a, u, b, v, c, w):
    one, two, three = within(a, u), within(b, v), within(c, w)
    stepwise = verdict.unpaired(verdict.unpaired(one, two), three)
    at_once = verdict.contrast([(1, one), (-1, two), (-1, three)])
    assert stepwise.value == pytest.approx(at_once.value)
    assert stepwise.high == pytest.approx(at_once.high)


def test_a_mean_of_two_is_known_better_than_either():
    halves = verdict.contrast([(0.5, within(2, 0.1)), (0.5, within(8, 0.1))])
    assert halves.value == pytest.approx(4)
    assert math.log(halves.high / halves.value) == pytest.approx(0.1 / math.sqrt(2))


@given(values, widths, values, widths)
def test_p_and_interval_agree(a, wide, b, narrow):
    seen = verdict.unpaired(within(a, wide), within(b, narrow))
    if abs(seen.p - 0.05) > 1e-6:
        assert (seen.p < 0.05) == (not seen.low <= 1 <= seen.high)


def test_exact_quantities_have_no_interval():
    seen = verdict.unpaired(Interval(6, 6, 6), Interval(3, 3, 3))
    assert (seen.value, seen.p) == (pytest.approx(2), 0)
    assert seen.low == seen.value == seen.high


def test_an_endless_interval_stays_endless():
    seen = verdict.unpaired(Interval(2.0, 0.0, math.inf), within(1, 0.01))
    assert seen.low == 0
    assert seen.high > 1e300
    assert verdict.judge([seen]) == [Word.UNKNOWN]
