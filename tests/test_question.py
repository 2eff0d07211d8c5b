"""Verdicts: the only words, given by the rule."""

import pytest
from assay import question
from assay.question import Comparison, Word
from assay.record import Status, Trial
from conftest import make_record
from hypothesis import given, settings
from hypothesis import strategies as st


def compare(ratio, low, high, p=1e-6, twin=(0.99, 1.01)):
    return Comparison(ratio, low, high, p, *twin)


@pytest.mark.parametrize(
    ("seen", "word"),
    [
        (compare(1.10, 1.08, 1.12), Word.SLOWER),
        (compare(0.90, 0.88, 0.92), Word.FASTER),
        (compare(1.00, 0.99, 1.01), Word.SAME),
        (compare(1.015, 1.012, 1.018), Word.SAME),  # excludes 1, but under 2 %
        (compare(1.10, 0.99, 1.20), Word.UNKNOWN),
        (compare(1.10, 1.08, 1.12, p=0.2), Word.UNKNOWN),
        (compare(1.05, 1.04, 1.06, twin=(0.93, 1.01)), Word.SAME),  # the twin is off by 7 %
        (compare(1.08, 1.06, 1.10, twin=(0.93, 1.01)), Word.SLOWER),
        (compare(1.03, 1.00, 1.06), Word.UNKNOWN),
    ],
)
def test_words(seen, word):
    assert question.verdicts([seen]) == [word]


def test_many_comparisons_raise_the_bar():
    """p = 0.01 alone is enough, one of twenty is not."""
    seen = compare(1.10, 1.08, 1.12, p=0.01)
    same = compare(1.0, 0.99, 1.01, p=0.9)
    assert question.verdicts([seen]) == [Word.SLOWER]
    assert question.verdicts([seen, *[same] * 19])[0] == Word.UNKNOWN


ratios = st.floats(0.2, 5)


@settings(max_examples=40, deadline=None)
@given(ratios, ratios, ratios, st.floats(0, 1), ratios, ratios)
def test_a_verdict_never_contradicts_its_interval(a, b, c, p, d, e):
    low, ratio, high = sorted([a, b, c])
    seen = Comparison(ratio, low, high, p, min(d, e), max(d, e))
    (word,) = question.verdicts([seen])
    assert seen.bound >= 0.02
    if word in (Word.FASTER, Word.SLOWER):
        assert (low > 1) if word == Word.SLOWER else (high < 1)
        assert abs(ratio - 1) > seen.bound
    if word == Word.SAME:
        assert 1 - seen.bound <= low <= high <= 1 + seen.bound


def test_what_could_not_be_measured_is_named_with_its_reason():
    trials = [
        Trial(what={"dtype": "float16"}, status=Status.SKIPPED, reason="too slow"),
        Trial(what={"dtype": "float32"}),
    ]
    gone = make_record(
        "alignment",
        {"device": "gpu", "n": 8},
        [],
        status=Status.UNAVAILABLE,
        reason="no GPU",
    )
    seen = question.missing([make_record("alignment", {"device": "cpu", "n": 8}, trials), gone])
    assert [(each.what, each.status, each.reason) for each in seen] == [
        ("cpu, n 8, float16", Status.SKIPPED, "too slow"),
        ("gpu, n 8", Status.UNAVAILABLE, "no GPU"),
    ]


def test_circumstances_sum_up_every_record():
    def one(started, commit, dirty, rounds):
        trial = Trial(what={}, result={"rounds": rounds, "rounds_void": 1})
        made = make_record("alignment", {"device": "cpu"}, [trial])
        made.provenance.started, made.provenance.commit = started, commit
        made.provenance.dirty = dirty
        return made

    seen = question.circumstances(
        [
            one("2026-01-02T00:00:00+00:00", "0123456789", True, 20),
            one("2026-01-01T00:00:00+00:00", None, None, 30),
        ]
    )
    assert (seen.first, seen.last) == ("2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00")
    assert seen.commits == ["01234567, with local changes", "no git checkout"]
    assert (seen.rounds, seen.rounds_void, seen.delay_share) == (50, 2, 0.0)
