"""Every snippet is a few lines that run at home."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest
import yaml
from assay.answer import question
from conftest import ROOT

FILES = sorted((ROOT / "resources/snippets").glob("*.py"))
QUESTIONS = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["questions"]


def test_every_question_has_one() -> None:
    assert {file.stem for file in FILES} == set(QUESTIONS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_says_what_it_shows_and_runs(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = question.snippet(file.stem)
    assert seen
    assert seen.text.endswith(".")
    assert len(seen.code.splitlines()) <= 45
    ast.parse(seen.code)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(file), run_name="__main__")
    assert capsys.readouterr().out.strip()
