"""The kinds of figure: what they hold, in letters that stay readable, in the drawing's bounds."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from assay.answer import figure
from assay.answer.figure import Axis, Band, Line, Mark, Row, Tone
from assay.answer.model import Cell, Column, Table
from assay.statistic import Interval
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg

heights = st.lists(st.floats(0, 100), min_size=1, max_size=6)
ROWS = [
    Row("1024", Interval(0, 0, 0), "reference", "÷1024", Tone.REFERENCE, strong=True),
    Row("1025", Interval(7.5, 6.6, 8.7), "+7.5 %, slower", "÷1", Tone.BAD),
    Row("1026", None, "disturbed", "÷2"),
]
PER_CENT = Axis("time per operation against 1024, in per cent (bar: 95 %)", "{:+g} %".format)


def drawn() -> figure.Figure:
    band = Band(-2, 2, "grey: under 2 %, called the same")
    return figure.rows({"": ROWS}, PER_CENT, band=band, line=0)


def texts(svg: str) -> list[str]:
    found = ElementTree.fromstring(svg).iter(f"{{{figure.SVG}}}text")
    return ["".join(each.itertext()) for each in found]


@given(heights, st.floats(0.01, 10), st.floats(60, 200))
def test_names_keep_their_distance_their_order_and_their_bounds(values, least, highest):
    placed = figure.spread(values, least, highest)
    order = sorted(range(len(values)), key=lambda i: values[i])
    for below, above in pairwise(order):
        assert placed[above] - placed[below] >= least - 1e-6
    assert min(placed) >= -1e-6
    if max(values) <= highest:
        assert max(placed) <= max(highest, least * (len(values) - 1)) + 1e-6


@given(heights)
def test_names_with_room_stay_where_they_belong(values):
    apart = [100.0 * i + v / 10 for i, v in enumerate(values)]
    assert figure.spread(apart, 1.0, 1e9) == pytest.approx(apart)


def test_rows_hold_labels_values_notes_the_band_and_the_axis():
    seen = texts(figure.svg(drawn(), "three sizes"))
    for text in ("1025", "÷1", "+7.5 %, slower", "disturbed", "grey: under 2 %, called the same"):
        assert text in seen
    assert any("time per operation" in text for text in seen)


def test_every_mark_carries_its_value():
    svg = figure.svg(drawn(), "three sizes")
    titles = [each.text for each in ElementTree.fromstring(svg).iter(f"{{{figure.SVG}}}title")]
    assert titles == ["1024 ÷1024: reference", "1025 ÷1: +7.5 %, slower"]


def test_of_what_cannot_be_told_its_interval_is_spoken_but_of_single_values_none():
    row = Row("1040", Interval(1, -3, 5), "cannot tell", tone=Tone.UNKNOWN)
    assert row.spoken == "1040: cannot tell 1.0 [−3.0, 5.0]"
    seeds = Row("16 units", Interval(79.4, 79.4, 79.4), "cannot tell", "", Tone.UNKNOWN, [79, 80])
    assert seeds.spoken == "16 units: cannot tell"


def test_letters_are_large_enough_for_a_phone():
    sizes = re.findall(r"font-size: (\d+(?:\.\d+)?)px", figure.svg(drawn(), "sizes"))
    assert sizes
    assert min(map(float, sizes)) * 324 / figure.WIDTH >= 11


def test_long_labels_stand_above_their_dots():
    long = [Row("a way with a very long name indeed", Interval(1, 0.9, 1.1), "1.0 ms, the same")]
    short = [Row("a", Interval(1, 0.9, 1.1), "1.0")]
    tall, low = (
        figure.rows({"": each}, Axis("time")).get_size_inches()[1] for each in (long, short)
    )
    assert tall > low


def test_names_of_ticks_stay_within_the_drawing():
    wide = [Row("a way with a very long name indeed", Interval(0.43, 0.31, 5.6), "0.43 ×, faster")]
    made = figure.rows({"": wide}, Axis("time", log=True))
    across = made.axes[0].xaxis.get_ticklabels()
    boxes = [each.get_window_extent(FigureCanvasAgg(made).get_renderer()) for each in across]
    assert len(boxes) > 1
    assert all(box.x0 >= 0 and box.x1 <= made.bbox.width for box in boxes)


def test_lines_are_named_at_their_ends_and_marks_where_they_stand():
    sizes = [1e3, 1e4, 1e5]
    series = [
        Line(name, sizes, [Interval(v * k, v * k * 0.9, v * k * 1.1) for v in (3, 2, 1)])
        for name, k in (("all threads", 2), ("one thread", 1))
    ]
    across = Axis("working set", log=True)
    places = {"marks": [Mark(2e4, "L2")], "levels": [Mark(1, "memory")]}
    made = figure.lines(series, across, Axis("GB/s"), **places)
    seen = texts(figure.svg(made, "two curves"))
    for text in ("all threads", "one thread", "L2", "memory", "working set", "GB/s"):
        assert text in seen


def test_a_table_is_drawn_where_no_html_is():
    columns = [Column(name="way"), Column(name="kept")]
    table = Table(columns=columns, rows=[["list", Cell(text="no", sign="✗")]])
    seen = texts(figure.svg(figure.matrix(table), "a table"))
    assert {"way", "kept", "list", "✗ no"} <= set(seen)


def test_a_figure_is_saved_twice_and_says_what_it_shows(tmp_path):
    made = drawn()
    figure.save(made, tmp_path / "new/one.svg", figure.svg(made, "a point at 2"))
    assert "a point at 2" in (tmp_path / "new/one.svg").read_text(encoding="utf-8")
    assert (tmp_path / "new/one.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_data_give_the_same_drawing():
    assert figure.svg(drawn(), "the same") == figure.svg(drawn(), "the same")
