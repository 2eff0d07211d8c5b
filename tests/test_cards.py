"""Every card says what it has to in so many words, in the real answers of a tiny run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from assay.answer import model
from assay.answer.model import Answer, Cell, State, Table, View
from conftest import ROOT, Workflow, check_budgets

pytestmark = pytest.mark.workflow

QUESTIONS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["ask"]
CARD = 170  # words before anything is unfolded


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture(params=QUESTIONS)
def answer(request: pytest.FixtureRequest, finished: Workflow) -> Answer:
    return model.read(Path(finished.folder, f"results/answers/{request.param}.json"))


def test_budgets(answer: Answer) -> None:
    check_budgets(answer)


def test_the_headline_is_one_that_answers(answer: Answer) -> None:
    assert answer.short
    assert answer.sentence.endswith(".")
    if answer.state == State.UNKNOWN:
        assert "annot tell" in answer.sentence + answer.short
    if answer.state in (State.UNKNOWN, State.NONE):
        assert answer.so == ""


def test_a_card_is_short(answer: Answer) -> None:
    shown = (answer.title, answer.state.value, answer.sentence, answer.so)
    assert sum(map(words, shown)) + words(" ".join(texts(answer.views[0]))) <= CARD


def test_nothing_is_left_open(answer: Answer) -> None:
    everything = [answer.short, answer.sentence, answer.so, *answer.why, *answer.method]
    everything += [*answer.caveats, *cells(answer.table)]
    everything += [text for view in (*answer.views, *answer.folded) for text in texts(view)]
    for text in everything:
        assert not re.search(r"\b(None|nan|NaN|inf)\b", text), text
        assert "cpu –" not in text
        assert not re.search(r"\b(twin|contended)\b", text), text


def texts(view: View) -> Iterator[str]:
    """What is read of a view before anything is unfolded."""
    if view.svg:
        for found in re.findall(r"<text[^>]*>(.*?)</text>", view.svg, re.DOTALL):
            yield re.sub("<[^>]+>", "", found).strip()
    if view.table:
        yield from cells(view.table)


def cells(table: Table) -> Iterator[str]:
    for column in table.columns:
        yield column.name
    for row in table.rows:
        for cell in row:
            if cell is not None:
                yield f"{cell.sign} {cell.text}".strip() if isinstance(cell, Cell) else str(cell)
