"""Accuracies: which arms are compared, within what they are the same, and what is said of them."""

import math

import numpy as np
import pandas as pd
import pytest
from assay.answer import accuracy, verdict
from assay.answer.verdict import Comparison, Word


def arm(mean, statuses=("ok",) * 5, spread=0.0003, seed=0):
    """A table of runs that scatter around a mean; those that diverged have no accuracies."""
    scores = mean + np.random.default_rng(seed).normal(0, spread, len(statuses))
    return pd.DataFrame(
        {
            "seed": range(len(statuses)),
            "status": statuses,
            "validation_accuracy": scores,
            "test_accuracy": np.where(np.array(statuses) == "ok", scores, math.nan),
            "test_images": 10_000,
        }
    )


LOST = ("ok", "diverged", "ok", "ok", "diverged")


@pytest.mark.parametrize(
    ("value", "low", "high", "p", "said"),
    [
        (-0.01, -0.012, -0.008, 0.001, Word.WORSE),
        (0.01, 0.008, 0.012, 0.001, Word.BETTER),
        (-0.01, -0.012, -0.008, 0.06, Word.UNKNOWN),
        (-0.002, -0.0022, -0.0018, 0.001, Word.SAME),  # real, but within the margin
        (0.0, -0.002, 0.002, 0.9, Word.SAME),
        (0.0, -0.02, 0.02, 0.9, Word.UNKNOWN),
    ],
)
def test_words(value, low, high, p, said):
    seen = Comparison(value, low, high, p=p, neutral=0.0, margin=0.003)
    assert verdict.judge([seen]) == [said]


@pytest.mark.parametrize(
    ("statuses", "said"),
    [
        (("ok",) * 3, None),
        (("ok", "diverged", "ok"), "diverged in 1 of 3 runs"),
        (("diverged",) * 3, "diverged in 3 of 3 runs"),
        (("out_of_memory", "diverged", "ok"), "failed in 2 of 3 runs"),
        ((), None),
    ],
)
def test_what_is_said_of_an_arm_with_runs_that_were_lost(statuses, said):
    assert accuracy.lost(arm(0.8, statuses)) == said


def test_an_arm_with_a_lost_run_is_neither_the_best_nor_compared():
    arms = {"good": arm(0.85), "lucky": arm(0.9, LOST), "other": arm(0.8, seed=1)}
    assert accuracy.best(arms) == "good"
    assert set(accuracy.standings(arms, "good")) == {"good", "other"}


def test_beside_a_reference_with_a_lost_run_nothing_is_compared():
    found = accuracy.standings({"reference": arm(0.9, LOST), "other": arm(0.8)}, "reference")
    assert set(found) == {"other"}
    assert found["other"] is None


def test_the_same_says_within_what():
    arms = {"one": arm(0.88), "two": arm(0.88, seed=1)}
    seen = accuracy.standings(arms, "one")["two"]
    assert seen is not None
    word = verdict.words([seen])[seen]
    assert verdict.told(seen, word) == "the same within 0.32 points"
    numbers = accuracy.verdict_numbers(seen, word)
    assert numbers["margin"] == pytest.approx(0.0032, abs=5e-5)
    assert {"p", "bound", "word"} <= set(numbers)


def test_what_the_seeds_could_have_shown_is_told_where_something_is_compared():
    arms = {"one": arm(0.88), "two": arm(0.88, seed=1)}
    (text,) = accuracy.resolution(arms, "one")
    assert "10,000 test images" in text
    assert "error of 0.32." in text
    assert accuracy.resolution({"one": arm(0.88)}, "one") == []


def test_where_no_arm_is_left_there_is_no_best():
    assert accuracy.best({"lucky": arm(0.9, LOST)}) is None
    assert accuracy.standings({"lucky": arm(0.9, LOST)}, None) == {}
