"""The law of the answers: whatever is configured and whatever came of it, they say what is so.

Any configuration that the checks accept, on made-up records of every status, gives an answer to
every question that does not crash, is not empty, and does not contradict its own table.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import invented
import pytest
import yaml
from assay import configuration
from assay.answer import model, occasion, say, trials
from assay.answer.model import Cell, Main, State, Table
from assay.answer.question import Findings
from assay.answer.verdict import Word
from conftest import ROOT
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from invented import World
from matplotlib.figure import Figure

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
QUESTIONS: list[str] = CONFIG["ask"]
PLACES = [["cpu"], ["cpu", "gpu0"], ["gpu0"], ["cpu", "gpu0", "gpu1"]]
HIDDEN = ["none", "8", "16", "64", "256"]
# Values of an axis or a setting that is a list, beyond those of the default run.
MORE: dict[str, list[Any]] = {
    "crossover.n": [1, 3, 64, 128, 1024, 8192],
    "two_devices.n": [64, 256, 1024, 4096],
    "initialization.depth": [1, 2, 4, 7],
    "transfer.images": [1, 100, 5000, "all"],
    "implementation.shape": ["depth-1", "depth-2", "width-4", "batch-1", "convolution-1"],
    "reduction.sizes.n": [2, 8, 16, 64],
    "activation.rates": [0.01, 0.1, 1.0],
    "initialization.rates": [0.01, 0.1],
    "fourier.kept": [0.01, 0.5, 1],
    "search.strategy": ["grid", "random"],
}
ASKED: dict[str, st.SearchStrategy[list[Any]]] = {  # axes of the questions that have their own
    "width": st.lists(st.sampled_from(HIDDEN), min_size=1, unique=True),
    "depth": st.lists(st.integers(0, 4), min_size=1, unique=True).map(
        lambda depths: ["-".join(["16"] * depth) or "none" for depth in depths]
    ),
    "bottleneck": st.lists(
        st.sampled_from(["16", "16-1", "16-2", "16-16"]), min_size=1, unique=True
    ),
    "rate": st.lists(st.sampled_from([0.001, 0.03, 0.1, 1, 3]), min_size=1, unique=True),
}


def some(values: Sequence[Any]) -> st.SearchStrategy[list[Any]]:
    """A list of at least one of some values, in any order."""
    every = [*dict.fromkeys(values)]
    return st.lists(st.sampled_from(every), min_size=1, max_size=6, unique_by=repr)


@st.composite
def configurations(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """A configuration in which a question asks for few or many values, in any order."""
    config = copy.deepcopy(CONFIG)
    config["devices"] = draw(st.sampled_from(PLACES))
    asked = config["questions"][name]
    if name in ASKED:
        asked["axes"] = {axis: draw(ASKED[name]) for axis in asked["axes"]}
    for study in asked["studies"]:
        block = config["studies"][study]
        for axis, values in block["axes"].items():
            if axis == "occasion":
                block["axes"][axis] = draw(st.sampled_from([[1], [1, 2]]))
            elif axis not in asked.get("axes", {}):
                block["axes"][axis] = draw(some([*values, *MORE.get(f"{study}.{axis}", [])]))
        own = block["settings"]
        for key in ("dtypes", "rates", "kept", "operations", "precisions", "widths"):
            if isinstance(own.get(key), list):
                own[key] = draw(some([*own[key], *MORE.get(f"{study}.{key}", [])]))
        if "seeds" in own:
            own["seeds"] = draw(st.integers(2, 4))
        if study == "crossover":
            tasks = draw(some(["product", "elementwise"]))
            own["operations"] = {task: draw(some(["float32", "bfloat16"])) for task in tasks}
        if study == "reduction":
            own["sizes"] |= {"n": sorted(draw(some(MORE["reduction.sizes.n"])))}
        if study == "alignment":
            sizes = block["axes"]["n"]
            sizes += [own["anchor"]] if own["anchor"] not in sizes else []
        if study == "scaling" and own["batch"] not in block["axes"]["batch"]:
            block["axes"]["batch"].append(own["batch"])
        if study == "composition":
            own |= {"draws": 3}
    return config


WORLDS = st.builds(
    World,
    seed=st.integers(0, 10**6),
    width=st.sampled_from([0.001, 0.02, 0.5]),
    effect=st.sampled_from([0.0, 0.02, 0.5]),
    failing=st.sampled_from([0.0, 0.3, 1.0]),
    equal=st.booleans(),
    counted=st.booleans(),
)


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn: that takes most of the time, and has tests of its own."""
    from assay.answer import figure

    def blank(*_: Any, **__: Any) -> Figure:
        drawn = Figure()
        drawn.add_axes((0, 0, 1, 1)).set_ylim(0.1, 1)
        return drawn

    monkeypatch.setattr(figure, "rows", blank)
    monkeypatch.setattr(figure, "lines", blank)


@pytest.mark.parametrize("name", QUESTIONS)
def test_every_legal_configuration_is_answered_and_no_answer_contradicts_its_table(
    name: str,
) -> None:
    examples = settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )

    @examples
    @given(configurations(name), WORLDS)
    def law(config: dict[str, Any], world: World) -> None:
        check(name, config, world)

    law()


def check(name: str, config: dict[str, Any], world: World) -> None:
    """The law, of one question."""
    configuration.check({**config, "ask": [name]}, memory_bytes=2**40)
    records = invented.of_question(config, name, world)
    pooled = occasion.pooled(records, {})
    found = import_module(f"answer_{name}").answer(pooled)
    devices = trials.devices(pooled)
    short, sentence = (say.once(text, devices) for text in (found.short, found.sentence))
    for text in (short, sentence, *found.why, *found.method, *found.caveats):
        whole(text)
    for text in written(found):
        assert not re.search(r"\b(None|nan|NaN|inf)\b", text), text
    assert sentence.endswith(".")
    assert found.views
    assert found.cells
    names_what_is_lost(sentence, found.cells)
    says_its_state(short, sentence, model.state(found.cells))
    agrees(f"{short}. {sentence}", found)


def whole(text: str) -> None:
    """A text is there, and no part of it is empty."""
    assert text.strip()
    assert not re.search(r"\b(None|nan|NaN|inf)\b|–\.|: ?[.;,]|, ?[.,;]|  |\[ ?\]", text), text
    assert not re.search(r"(\b[\w.]+) → \1\b", text), text


def written(found: Findings) -> Iterator[str]:
    """Every cell of every table."""
    for shown in (*found.views, *found.folded):
        yield shown.title
        yield shown.alternative
        yield from cells(shown.table) if shown.table else ()
    yield from cells(found.table)


def cells(table: Table) -> Iterator[str]:
    """The texts of a table."""
    for row in table.rows:
        for cell in row:
            yield f"{cell.sign} {cell.text}" if isinstance(cell, Cell) else str(cell or "")


def names_what_is_lost(sentence: str, found: Sequence[Main]) -> None:
    """Of what the headline rests on, one at least of those that came to nothing is named with why.

    A sentence names a few and counts the rest.
    """
    lost = [cell for cell in found if cell.lost]
    if lost and not re.match("Nothing could be|.* nothing to compare", sentence):
        named = [cell for cell in lost if cell.name.lower() in sentence.lower()]
        why = [cell for cell in lost if cell.lost.partition(" in ")[0] in sentence.lower()]
        assert named or why, (sentence, lost)


def says_its_state(short: str, sentence: str, state: State) -> None:
    """What cannot be told is said so, and what is answered is not called unknown."""
    if state == State.UNKNOWN:
        assert "annot tell" in sentence + short or "cannot be told" in sentence, (short, sentence)
    if state == State.ANSWERED:
        assert not re.search(r"annot tell|[Nn]ot measured|[Nn]othing (to|could)", sentence)


CLAIMS = {  # what a headline says, and the words of which a table must hold one
    r"\b(works best|is best)\b": {"worse", "slower", "the same"},
    r"\b(hurts|loses|costs -?[\d.]+)\b": {"worse", "slower"},
    r"\b(helps|gains) ": {"better", "faster"},
    r"\bchanges nothing\b": {"the same"},
    r"\bdoes not matter\b": {"the same"},
}


def agrees(text: str, found: Findings) -> None:
    """What the headline claims stands in a row."""
    verdicts = {re.sub(r" within .*", "", each).strip() for each in cells(found.table)}
    verdicts |= {str(row.get("verdict")) for row in found.frame.to_dict("records")}
    for pattern, words in CLAIMS.items():
        if re.search(pattern, text) and not re.search("annot (tell|be told)", text):
            assert verdicts & words or any("diverged" in each for each in verdicts), (
                text,
                verdicts,
            )
    words = {cell.word for cell in found.cells if cell.word}
    for word in words - {Word.UNKNOWN}:
        assert word.value in verdicts, (word, verdicts)
