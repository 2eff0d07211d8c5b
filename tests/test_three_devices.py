"""Three devices on a card: every figure can be read, and none hides what it shows.

No text leaves the drawing, none lies over another, and no line lies under an equal one unnamed.
Headlines are as short as those of one device.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator
from importlib import import_module
from itertools import combinations, groupby

import invented
import pytest
import yaml
from assay.answer import occasion, question, say
from assay.answer.question import Findings
from conftest import ROOT
from invented import World
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
DEVICES = ["cpu", "gpu0", "gpu1"]
WORLDS = {
    "apart": World(seed=3, effect=0.5, failing=0.1),
    "alike": World(seed=4, effect=0.05, width=0.05, equal=True),
}
TOLERANCE = 1.5  # points by which letters may touch


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", CONFIG["ask"])
def test_every_figure_can_be_read(name: str, world: str) -> None:
    found = answered(name, world)
    for shown in question.shared([*found.views, *found.folded]):
        if shown.figure is not None:
            check(shown.figure, shown.title)
    named = [each.name for each in question.shared(found.views)]
    assert len(set(named)) == len(named)  # the switch tells every view apart


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", CONFIG["ask"])
def test_a_headline_is_short_and_the_rest_stands_below(name: str, world: str) -> None:
    told = say.once(answered(name, world).sentence, DEVICES)
    headline, below = say.headline(told, DEVICES)
    assert len(headline.split()) <= 25, headline
    assert told.split()[-1] == f"{headline} {below}".split()[-1]


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", ["loader", "precision", "batch"])
def test_a_short_answer_and_the_advice_are_short(name: str, world: str) -> None:
    found = answered(name, world)
    assert len(say.brief(found.short, DEVICES).split()) <= 24
    assert len(say.once(found.so, DEVICES).split()) <= 60


def test_devices_whose_curves_differ_are_drawn_apart() -> None:
    """Though their knees lie between the same two batches."""
    found = asked("batch", World(seed=11, effect=0.4, width=0.02))
    assert not [each.name for each in question.shared(found.views) if "," in each.name]


def test_the_switch_has_the_formats_of_a_device_side_by_side() -> None:
    names = [each.name for each in answered("alignment", "apart").views]
    places = [name.partition(" on ")[2] for name in names]
    assert len([*groupby(places)]) == len(set(places))


@functools.cache
def answered(name: str, world: str) -> Findings:
    return asked(name, WORLDS[world])


def asked(name: str, world: World) -> Findings:
    config = {**copy.deepcopy(CONFIG), "devices": DEVICES}
    records = occasion.pooled(invented.of_question(config, name, world), {})
    return import_module(f"answer_{name}").answer(records)


def check(drawn: Figure, title: str) -> None:
    """The boxes of all texts lie inside the drawing and apart; equal lines are one."""
    boxes = [*texts(drawn)]
    width, height = (72 * each for each in drawn.get_size_inches())
    for text, box in boxes:
        beyond = (-box.x0, -box.y0, box.x1 - width, box.y1 - height)
        assert max(beyond) <= TOLERANCE, (title, text, box)
    for (one, a), (other, b) in combinations(boxes, 2):
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        down = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert across <= TOLERANCE or down <= TOLERANCE, (title, one, other)
    for axes in drawn.axes:
        lines = [
            tuple(map(tuple, line.get_xydata()))
            for line in axes.lines
            if len(line.get_xydata()) > 2
        ]
        assert len(set(lines)) == len(lines), (title, "a line lies under an equal one")


def texts(drawn: Figure) -> Iterator[tuple[str, Bbox]]:
    """Every text with the box of its letters, in points from the lower left."""
    canvas = FigureCanvasAgg(drawn)
    canvas.draw()
    renderer = canvas.get_renderer()
    for artist in drawn.findobj(Text):
        if artist.get_visible() and artist.get_text().strip():
            box = artist.get_window_extent(renderer)
            cut = 0.15 * box.height  # of the leading above and below the letters
            yield artist.get_text(), Bbox([[box.x0, box.y0 + cut], [box.x1, box.y1 - cut]])
