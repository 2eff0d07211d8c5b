"""The style's helpers."""

from itertools import pairwise

import pytest
from assay.answer import figure
from hypothesis import given
from hypothesis import strategies as st

heights = st.lists(st.floats(-100, 100), min_size=1, max_size=12)


@given(heights, st.floats(0.01, 10), st.floats(-100, 100))
def test_labels_keep_their_distance_their_order_and_their_limit(values, least, highest):
    placed = figure.spread(values, least, highest)
    order = sorted(range(len(values)), key=lambda i: values[i])
    for below, above in pairwise(order):
        assert placed[above] - placed[below] >= least - 1e-6
    assert max(placed) <= highest + 1e-6


@given(heights)
def test_labels_with_room_stay_where_they_belong(values):
    apart = [100.0 * i + v / 10 for i, v in enumerate(values)]
    assert figure.spread(apart, 1.0, 1e9) == pytest.approx(apart)


def test_a_figure_is_saved_twice_and_says_what_it_shows(tmp_path):
    drawn, grid = figure.panels(1)
    figure.interval(grid[0, 0], [1], [2], [1.5], [2.5])
    figure.save(drawn, tmp_path / "new/one.svg", "a point at 2")
    assert "a point at 2" in (tmp_path / "new/one.svg").read_text()
    assert (tmp_path / "new/one.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_data_give_the_same_file(tmp_path):
    for name in ("one", "two"):
        drawn, grid = figure.panels(1)
        figure.interval(grid[0, 0], [1], [2], [1.5], [2.5])
        figure.save(drawn, tmp_path / f"{name}.svg", "the same")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
