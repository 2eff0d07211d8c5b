"""An arm beside its anchor: headline, table, figure and state are made of the same objects."""

from __future__ import annotations

from typing import Any

import pytest
from assay.answer import arms, model
from assay.answer.arms import Arm, Role
from assay.answer.figure import Tone
from assay.answer.model import Cell, Main, State
from assay.answer.verdict import Comparison, Word
from assay.record import Status, Trial
from assay.statistic import Interval
from builders import make_record
from hypothesis import given
from hypothesis import strategies as st

LABELS = {"item": "each", "list": "list", "twin": "again"}


def trial(**ratios: tuple[float, float, float, float]) -> Trial:
    """A paired trial whose targets have these ratios, ends and p-values."""
    time = {"time_median_s": 1e-3, "time_low_s": 0.9e-3, "time_high_s": 1.1e-3}
    keys = ("ratio", "ratio_low", "ratio_high", "p")
    result: dict[str, Any] = {
        "arms": dict.fromkeys(["anchor", "twin", *ratios], time),
        "ratios": {
            "twin": dict(zip(keys, (1.0, 0.99, 1.01, 0.5), strict=True)),
            **{name: dict(zip(keys, seen, strict=True)) for name, seen in ratios.items()},
        },
    }
    return Trial(what={"n": 1}, result=result)


def of(made: Trial, device: str = "cpu") -> list[Arm]:
    record = make_record("s", {"device": device}, [made])
    return arms.timed(record, made, LABELS, anchor="item")


def test_a_trial_becomes_arms_that_are_judged_together() -> None:
    found = arms.judged(of(trial(list=(1.5, 1.4, 1.6, 1e-6))))
    assert [(arm.name, arm.role, arm.word) for arm in found] == [
        ("item", Role.ANCHOR, None),
        ("list", Role.TARGET, Word.SLOWER),
        ("twin", Role.CONTROL, None),
    ]
    assert found[1].told == "+50 %, slower"
    assert (found[0].tone, found[1].tone) == (Tone.REFERENCE, Tone.BAD)


def test_what_was_not_measured_says_why() -> None:
    gone = Trial(what={}, status=Status.CONTENDED, reason="busy")
    found = arms.judged(of(gone))
    assert {arm.lost for arm in found} == {"disturbed"}
    assert {arm.told for arm in found} == {"disturbed"}


def test_a_device_has_a_column_only_where_there_are_several() -> None:
    one = arms.judged(of(trial(list=(1.0, 0.995, 1.005, 0.9))))
    two = [*one, *arms.judged(of(trial(list=(1.0, 0.995, 1.005, 0.9)), "gpu"))]
    names = [[column.name for column in arms.table(each, "way").columns] for each in (one, two)]
    assert "device" not in names[0]
    assert "device" in names[1]
    assert "the same within 2 %" in arms.table(one, "way").rows[1]


ratio = st.floats(0.3, 3.0)
comparison = st.builds(
    lambda value, below, above, p, noise: Comparison(
        value, value * (1 - below), value * (1 + above), p=p, noise=noise
    ),
    ratio,
    st.floats(0.001, 0.5),
    st.floats(0.001, 0.5),
    st.floats(0, 1),
    st.floats(0, 0.1),
)
arm = st.builds(
    lambda name, seen, lost: Arm(
        "cpu", "", name, name, None if lost else Interval(1, 0.9, 1.1), None if lost else seen,
        lost="disturbed" if lost else "",
    ),
    st.sampled_from("abcdef"),
    comparison,
    st.booleans(),
)  # fmt: skip


@given(st.lists(arm, max_size=5))
def test_word_state_row_and_cell_agree(made: list[Arm]) -> None:
    found = arms.judged(made)
    table = arms.table(found, "way")
    column = [each.name for each in table.columns].index("verdict")
    for one, row in zip(found, table.rows, strict=True):
        cell = row[column]
        text = cell.text if isinstance(cell, Cell) else str(cell)
        if one.lost:
            assert one.told == text == one.lost
            continue
        assert one.word
        assert text.startswith(one.word.value)
        assert one.told.endswith(one.word.value)
        assert one.seen
        if one.word == Word.SAME:
            assert 1 - one.seen.margin <= one.seen.low
            assert one.seen.high <= 1 + one.seen.margin
        if one.word == Word.SLOWER:
            assert one.told.startswith("+") or "×" in one.told
        if one.word == Word.FASTER:
            assert one.told.startswith("−") or "×" in one.told


@given(st.lists(arm, max_size=5))
def test_the_state_is_that_of_what_the_headline_rests_on(made: list[Arm]) -> None:
    cells = [one.main for one in arms.judged(made)]
    state = model.state(cells)
    if any(cell.lost for cell in cells) or not cells:
        assert state != State.ANSWERED
    assert (state == State.ANSWERED) == (bool(cells) and all(cell.told for cell in cells))
    assert (state == State.NONE) == all(cell.lost for cell in cells)


@pytest.mark.parametrize(
    ("cells", "state"),
    [
        ([], State.NONE),
        ([Main("a", lost="disturbed")], State.NONE),
        ([Main("a")], State.ANSWERED),
        ([Main("a", Word.SAME), Main("b", lost="disturbed")], State.PART),
        ([Main("a", Word.SAME), Main("b", Word.UNKNOWN)], State.PART),
        ([Main("a", Word.UNKNOWN), Main("b", lost="disturbed")], State.UNKNOWN),
    ],
)
def test_states(cells: list[Main], state: State) -> None:
    assert model.state(cells) == state
